//! One session after the other: made, played by two writers before a viewer, ended, checked to the last record,
//! deleted.
//!
//! Invariant: nothing of a session is kept once it is checked. The last one of a round stays and is looked at while
//! it runs.

use super::{
    client::Client,
    effects,
    ground::{Abandoned, Ground},
    player::Player,
};
use crate::{PATIENCE, dice::Dice, fake, oracle};
use serde_json::{Value, json};
use std::{
    fs,
    panic::resume_unwind,
    path::PathBuf,
    sync::atomic::{
        AtomicI64, AtomicU64, AtomicUsize,
        Ordering::{AcqRel, Acquire},
    },
    thread,
    time::{Duration, Instant},
};

/// Which agent plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Agent {
    /// The scripted one, which keeps a log.
    Fake,
    /// The embedded one, whose commands leave traces.
    Shell,
}

/// What the clients of one session share.
pub(super) struct Cast<'a> {
    agent: Agent,
    /// Prompts that are still to be made, over all players.
    prompts: AtomicI64,
    /// Players that may still make some.
    pub(super) acting: AtomicUsize,
    /// The last record that is an accepted prompt.
    pub(super) last_input: AtomicU64,
    /// How far everybody reads; known when the session rests or has ended.
    pub(super) until: AtomicU64,
    /// Where the shell's commands leave their traces.
    traces: &'a str,
}

impl Cast<'_> {
    pub(super) fn take_prompt(&self) -> bool {
        self.prompts.fetch_sub(1, AcqRel) > 0
    }

    pub(super) fn is_over(&self, client: &Client<'_>) -> bool {
        client.stream.len() as u64 >= self.until.load(Acquire)
    }

    /// A prompt that is like no other in this session.
    pub(super) fn prompt(&self, tag: &str, dice: &mut Dice) -> String {
        if self.agent == Agent::Shell {
            return format!("echo {tag} >>{}; seq 1 {}", self.traces, dice.roll(40));
        }
        let (chunks, pause) = (5 + dice.roll(60), dice.roll(150));
        let mut script = format!("chunks {chunks} 48 {pause} {tag}\n");
        match dice.roll(8) {
            0 | 1 => script.push_str(&format!("ask {tag} ls\n")),
            2 => script.push_str(&format!("tool {tag} look\nthink of {tag}\ntool_done {tag}\n")),
            3 => script.push_str(&format!("bigchunk {}\n", dice.roll(30_000))),
            _ => {}
        }
        script + &format!("say end of {tag}")
    }
}

/// Plays sessions until the round ends. Gives the one that still runs then.
pub(super) fn run(
    ground: &Ground<'_>,
    agent: Agent,
    at: usize,
    mut dice: Dice,
) -> Result<Option<String>, Abandoned> {
    for number in 0.. {
        if ground.stopping() {
            break;
        }
        let log = PathBuf::from(ground.env.path(&format!("heard-{at}-{number}")));
        let traces = ground.env.path(&format!("traces-{at}-{number}"));
        let session = create(ground, agent, &log, &mut dice)?;
        let cast = Cast {
            agent,
            prompts: AtomicI64::new(20 + dice.roll(60) as i64),
            acting: AtomicUsize::new(2),
            last_input: AtomicU64::new(0),
            until: AtomicU64::new(u64::MAX),
            traces: &traces,
        };
        let records = perform(ground, &cast, &session, &mut dice)?;
        oracle::check_session(&session, &records, &fake::heard(&log));
        effects::check(&session, &records, &traces);
        ground.sum.add(&records);
        if rests(ground, &session)? {
            match oracle::check_spool(&ground.env, &session, &journal(ground, &session)?) {
                Ok(()) => return Ok(Some(session)),
                // Its runner may have been killed since, which takes the spool along.
                Err(why) => assert!(!rests(ground, &session)?, "{why}"),
            }
        }
        delete(ground, &session, &mut dice)?;
        // Neither exists for every session.
        let _ = (fs::remove_file(&log), fs::remove_file(&traces));
    }
    Ok(None)
}

/// Whether the session runs and its agent waits for a prompt. Otherwise it has ended, or was suspended because its
/// runner was killed too late for anybody to resume it.
pub(super) fn rests(ground: &Ground<'_>, session: &str) -> Result<bool, Abandoned> {
    let until = Instant::now() + PATIENCE;
    loop {
        let found = ground.ask("get_session", &json!({"session_id": session}))?;
        let found = &found["session"];
        match found["state"].as_str() {
            Some("idle") if found["link"] == "live" => return Ok(true),
            Some("suspended" | "killed" | "finished" | "failed") => return Ok(false),
            _ => assert!(Instant::now() < until, "{session} does not come to rest: {found}"),
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Two writers and a viewer on one session, until it has ended or rests. Gives its journal, against which what each
/// of them saw and was told is checked.
fn perform<'g>(
    ground: &'g Ground<'g>,
    cast: &Cast<'_>,
    session: &str,
    dice: &mut Dice,
) -> Result<Vec<Value>, Abandoned> {
    let client = |role, name: &str| Client::new(ground, session, role, name.to_owned());
    let dices = [dice.child(), dice.child(), dice.child()];
    let [first, second, third] = dices;
    let lead = Player::new(client("writer", "ann"), cast, first, true);
    let other = Player::new(client("writer", "bob"), cast, second, false);
    let viewer = client("viewer", "eve");
    let (lead, other, viewer) = thread::scope(|scope| {
        let other = scope.spawn(move || {
            let _alarm = ground.alarm();
            other.play()
        });
        let viewer = scope.spawn(move || {
            let _alarm = ground.alarm();
            watch(viewer, cast, third)
        });
        let lead = lead.play();
        (
            lead,
            other.join().unwrap_or_else(|panic| resume_unwind(panic)),
            viewer.join().unwrap_or_else(|panic| resume_unwind(panic)),
        )
    });
    let (lead, other, viewer) = (lead?, other?, viewer?);
    let records = journal(ground, session)?;
    for stream in [&lead.client.stream, &other.client.stream, &viewer.stream] {
        oracle::check_fingerprints(session, stream, &records);
    }
    let (mut accepted, mut refused) = (lead.accepted, lead.refused);
    accepted.extend(other.accepted);
    refused.extend(other.refused);
    oracle::check_accepted(session, &records, &accepted);
    oracle::check_refused(session, &records, &refused);
    oracle::check_decisions(session, &records, lead.client.id(), &lead.decided);
    oracle::check_decisions(session, &records, other.client.id(), &other.decided);
    Ok(records)
}

/// A viewer that leaves now and then and comes back as somebody else, to an earlier place.
fn watch<'a>(mut viewer: Client<'a>, cast: &Cast<'_>, mut dice: Dice) -> Result<Client<'a>, Abandoned> {
    loop {
        let mut wire = viewer.join()?;
        let mut stay = 20 + dice.roll(2_000);
        while stay > 0 {
            if cast.is_over(&viewer) {
                return Ok(viewer);
            }
            match wire.next_within(Duration::from_millis(20)) {
                Some(message) => {
                    viewer.see(&message);
                    stay -= 1;
                }
                None if wire.is_closed() => break,
                None => viewer.check(|| format!("{} records seen", viewer.stream.len()))?,
            }
        }
        if stay == 0 {
            viewer.forget(dice.roll(viewer.stream.len() as u64 + 1) as usize);
        }
    }
}

fn create(
    ground: &Ground<'_>,
    agent: Agent,
    log: &std::path::Path,
    dice: &mut Dice,
) -> Result<String, Abandoned> {
    let mut fields = json!({
        "cwd": ground.env.work(), "env": ground.env.client_env(),
        "idempotency_key": uuid::Uuid::new_v4().to_string(),
    });
    if agent == Agent::Fake {
        (fields["agent"], fields["args"]) = (json!("fake"), json!(["--log", log]));
    } else {
        (fields["agent"], fields["mode"]) =
            (json!("shell"), json!(if dice.one_in(2) { "ask" } else { "auto" }));
    }
    let created = ground.ask("create_session", &fields)?;
    let id = created["session"]["id"].as_str();
    Ok(id.unwrap_or_else(|| panic!("a session is not created: {created}")).to_owned())
}

/// Deletes a session that has ended; takes that back once, now and then.
fn delete(ground: &Ground<'_>, session: &str, dice: &mut Dice) -> Result<(), Abandoned> {
    let mut kinds = vec!["delete_session"];
    if dice.one_in(4) {
        kinds.extend(["undelete_session", "delete_session"]);
    }
    for kind in kinds {
        let answer = ground.ask(kind, &json!({"session_id": session}))?;
        // An answer that was lost makes the second time one too many.
        assert!(answer["type"] == "ok" || answer["code"] == "INVALID_STATE", "{kind} of {session}: {answer}");
    }
    let found = ground.ask("get_session", &json!({"session_id": session}))?;
    assert!(found["session"]["deleted_at"].is_i64(), "{session} is deleted: {found}");
    Ok(())
}

/// Reads all records of a session, over as many daemons as it takes.
fn journal(ground: &Ground<'_>, session: &str) -> Result<Vec<Value>, Abandoned> {
    let mut records = Vec::new();
    loop {
        let mut page = ground.ask("read_records", &json!({"session_id": session, "after": records.len()}))?;
        let Value::Array(found) = page["records"].take() else { panic!("{session} is not read: {page}") };
        if found.is_empty() {
            assert!(
                page["head"].as_u64() <= Some(records.len() as u64),
                "{session}: records are missing: {page}"
            );
            return Ok(records);
        }
        records.extend(found);
    }
}
