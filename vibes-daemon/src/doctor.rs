//! `vibes doctor`: looks at the state directory, the store and the runners, and says what is wrong and what helps.
//!
//! Invariant: looks only, unless asked to mend or to reap; and reaps only what carries this state directory's marker and belongs
//! to no session that the store knows. A damaged store is noted, so that the next start sees to it.
#![allow(clippy::print_stdout)]

mod mend;

use crate::{
    config::Config,
    instance::{Instance, Running},
    paths, ports, worktree,
};
use std::{collections::BTreeMap, process::ExitCode};
use vibes_core::{
    agent::{launch::Yard, link, place},
    clock, host,
    journal::{self, StoreError},
    room, search,
    session::persist,
    sessions::retain,
};
use vibes_protocol::{
    model::{LeavesFor, Leaving, content},
    paths::StateDir,
    wire::message::Listener,
};

/// How many sessions that leave are named.
const LEAVING: usize = 5;
/// What helps against a damaged store.
const SET_ASIDE: &str =
    "`vibes daemon restart`: the damaged store is set aside whole, and what can be read of it goes on";

/// Runs the check-up. The exit code is 1 when something is wrong.
pub fn run(reap: bool, fix: bool) -> anyhow::Result<ExitCode> {
    let dir = paths::state_dir()?;
    let mut wrong = 0;
    let mut say = |good: bool, text: String| {
        println!("{} {text}", if good { "ok  " } else { "WRONG" });
        wrong += usize::from(!good);
    };
    if !dir.root().exists() {
        say(true, format!("{}: nothing here yet; the first `vibes` command makes it", dir.root().display()));
        return Ok(ExitCode::SUCCESS);
    }
    match paths::private_dir(dir.root()) {
        Ok(_) => say(true, format!("state directory {} is private", dir.root().display())),
        Err(error) => say(false, format!("{error:#}")),
    }
    if let Some(why) = paths::unfit(&dir) {
        say(false, why);
    }
    // Holding the lock means that no daemon runs, and keeps one from starting meanwhile.
    let alone = Instance::take(&dir);
    match &alone {
        Ok(_) => say(true, "no daemon runs".to_owned()),
        Err(error) if error.is::<Running>() => say(true, format!("{error}")),
        Err(error) => say(false, format!("{error:#}")),
    }
    if dir.store().exists() {
        match journal::check(&dir.store()) {
            Ok(faults) if faults.is_empty() => say(true, format!("store {} is sound", dir.store().display())),
            Ok(faults) => {
                journal::note_damage(&dir.store(), &faults[0]);
                for fault in faults {
                    say(false, format!("store: {fault}"));
                }
                say(false, SET_ASIDE.to_owned());
            }
            Err(error @ StoreError::Damaged(_)) => {
                journal::note_damage(&dir.store(), &error.to_string());
                say(false, format!("store: {error}"));
                say(false, SET_ASIDE.to_owned());
            }
            Err(error) => say(false, format!("store: {error}")),
        }
    }
    match search::check(&dir.search()) {
        Ok(None) if dir.search().exists() => say(true, "the search index is sound".to_owned()),
        Ok(None) => say(true, "there is no search index; the daemon makes one".to_owned()),
        Ok(Some(why)) => say(
            false,
            format!(
                "the search index cannot be used ({why}): `vibes search --rebuild`, or the next start, makes it anew"
            ),
        ),
        Err(error) => say(false, format!("search index: {error}")),
    }
    for entry in std::fs::read_dir(dir.root())?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("corrupt-") {
            let place = entry.path();
            say(
                false,
                format!("a damaged store was set aside in {0}: look, then `rm -r {0}`", place.display()),
            );
        }
    }
    mend::look(&dir, alone.is_ok(), fix, &mut say);
    runners(&dir, reap || fix, alone.is_ok(), &mut say)?;
    let reader = journal::Reader::new(&dir.store());
    if dir.store().exists() {
        // A store that cannot be read was told of above.
        size(&dir, &reader).unwrap_or_default().into_iter().for_each(|text| say(true, text));
    }
    let worktree = |session: &_| {
        let stored = reader.number(session).ok()?.and_then(|no| reader.session(no).ok()?)?;
        Some(persist::restore(&stored, 0).ok()?.body.worktree.clone())
    };
    if dir.store().exists() {
        worktree::astray(&dir, alone.is_err(), worktree).into_iter().for_each(|why| say(false, why));
    }
    Ok(if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What the store takes, how fast that grows, and what leaves.
fn size(dir: &StateDir, reader: &journal::Reader) -> Result<Vec<String>, StoreError> {
    let usage = room::of_directory(dir, reader)?;
    let bytes = content::bytes;
    let grows = match usage.growth_per_day {
        Some(more) if more < 0 => format!("{} less each day", bytes(more.unsigned_abs())),
        Some(more) => format!("{} more each day", bytes(more.unsigned_abs())),
        None => "how fast it grows is known after a day".to_owned(),
    };
    let mut told = vec![format!(
        "the state directory takes {}, the store {}, of which {} can be used again; {grows}",
        bytes(usage.total),
        bytes(usage.store),
        bytes(usage.free)
    )];
    let leaving = retain::leaving(reader)?;
    for Leaving { session_id, name, at_ms, why } in leaving.iter().take(LEAVING) {
        let why = match why {
            LeavesFor::Age => "its age",
            LeavesFor::Size => "the room that all take",
        };
        let name = name.as_ref().map_or_else(String::new, |name| format!(" ({name})"));
        let left = u64::try_from(at_ms - clock::wall_ms()).unwrap_or(0) / 3_600_000;
        let short = &session_id.to_string()[..8];
        told.push(format!(
            "session {short}{name} leaves in {} d {} h for {why}: `vibes pin {short}` keeps it",
            left / 24,
            left % 24
        ));
    }
    if let more @ 1.. = leaving.len().saturating_sub(LEAVING) {
        told.push(format!("{more} more sessions leave: `vibes du` lists them"));
    }
    Ok(told)
}

fn runners(
    state: &StateDir,
    reap: bool,
    alone: bool,
    say: &mut dyn FnMut(bool, String),
) -> anyhow::Result<()> {
    let state_id = paths::state_id(state)?;
    let yard = Yard {
        dir: state.runners(),
        runner: Default::default(),
        state_id,
        descriptors: None,
        floods: Default::default(),
        spools: Config::read().map(|config| config.limits).unwrap_or_default().spools(),
    };
    // What the store cannot tell of itself, nobody is called a stranger for.
    let stored =
        state.store().exists().then(|| journal::Reader::new(&state.store()).sessions().ok()).flatten();
    let readable = |stored: &journal::StoredSession| (stored.id, persist::restore(stored, 0).is_ok());
    let known: Option<BTreeMap<_, _>> = stored.map(|stored| stored.iter().map(readable).collect());
    let mut newest: BTreeMap<_, u64> = BTreeMap::new();
    let present = yard.present().unwrap_or_default();
    for (session, generation) in &present {
        let seen = newest.entry(*session).or_default();
        *seen = (*seen).max(*generation);
    }
    for (session, generation) in present {
        let dir = yard.dir_of(&session, generation);
        let marker = yard.marker_of(&session, generation);
        let short = &session.to_string()[..8];
        let runner = link::runner_process(&dir);
        let unread = known.as_ref().is_some_and(|known| known.get(&session) != Some(&true));
        let stranger = unread || link::is_unknown(&dir);
        let old = stranger || newest.get(&session) != Some(&generation);
        match runner {
            Some(process) if !old => {
                let pid = process.pid;
                if place::answers(&dir) {
                    say(true, format!("runner of {short}.{generation}: pid {pid}"));
                } else {
                    let help = format!("`kill -CONT {pid}` if it is stopped, `vibes kill {short}` to end it");
                    say(false, format!("runner of {short}.{generation}: pid {pid} does not answer: {help}"));
                }
                for Listener { address, local, program, pid } in ports::of(&marker) {
                    // A dev server is what an agent may be asked for; one that the whole network reaches is worth a word.
                    let reach = if local { "" } else { ", which other machines can reach" };
                    say(true, format!("session {short} listens at {address}{reach}: {program}, pid {pid}"));
                }
                if let Some(why) = place::crowded(&dir, yard.spools) {
                    say(false, format!("session {short}: {why}"));
                }
            }
            _ => {
                let left = host::carrying(&marker);
                if runner.is_none() && left.is_empty() && alone && !stranger {
                    say(
                        true,
                        format!("runner of {short}.{generation} has ended; its output waits for the daemon"),
                    );
                    continue;
                }
                if runner.is_none() && left.is_empty() && !stranger {
                    continue;
                }
                if reap {
                    let left = host::sweep(&marker, 100);
                    if stranger && left.is_empty() {
                        let _ = std::fs::remove_dir_all(&dir);
                    }
                    say(left.is_empty(), format!("runner of {short}.{generation}: reaped, left: {left:?}"));
                } else {
                    let why = match (stranger, old) {
                        (true, _) => "belongs to no session that the store can read",
                        (_, true) => "is of an earlier generation",
                        (_, false) => "is gone",
                    };
                    say(
                        false,
                        format!(
                            "runner of {short}.{generation} {why}, processes {left:?}: `vibes doctor --reap`"
                        ),
                    );
                }
            }
        }
    }
    Ok(())
}
