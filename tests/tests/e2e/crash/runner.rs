//! A runner dies at each of its points (row 4), or together with the daemon (row 5): its agent dies with it, what the
//! agent wrote is kept, its session can go on, and nobody else notices.

use super::{
    each, hits,
    work::{RESTING, Work},
};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{Arc, Mutex},
};
use vibes_runner::{points::Point, spool};
use vibes_tests::{TestEnv, eventually, oracle, points::Hook, processes};

/// What the spool held when its runner died: the session, and what its agent had said in whole lines.
type Left = Arc<Mutex<Option<(String, String)>>>;

#[track_caller]
fn dies(point: Point) {
    each(point, hits(), |hit| dies_once(point, hit, false));
}

#[track_caller]
fn dies_with_the_daemon(point: Point) {
    each(point, vec![1], |hit| dies_once(point, hit, true));
}

/// `false` when no runner came by for the `hit`th time.
fn dies_once(point: Point, hit: u32, together: bool) -> bool {
    let env = TestEnv::started();
    let bystander = bystander(&env);
    env.daemon().terminate();
    let left = Left::default();
    let (seen, lock) = (left.clone(), env.state().daemon_lock());
    let hook = Hook::killing(&env, point, hit, move |runner| {
        *seen.lock().expect("no look panics") = said(runner);
        if together {
            let daemon = fs::read_to_string(&lock).expect("the daemon's lock names it");
            processes::signal(daemon.trim().parse().expect("by its number"), Signal::KILL);
        }
    });
    env.spawn_vibes(&["daemon", "start"], "", &hook.variables()).wait().ok();
    let mut work = Work::new(&env);
    // A session that cannot be made is in the list as well.
    let _ = work.one_of_everything();
    let killed = hook.came_by();
    assert!(killed.is_none_or(|pid| !processes::alive(pid)), "it was killed at its point");
    let journals = recovered(&env, &mut work, &bystander);
    if let Some((session, said)) = left.lock().expect("no look panics").take() {
        oracle::check_chunks(&session, &journals[&session], "a");
        assert!(text(&journals[&session]).contains(&said), "what lay in the spool is lost: {said:?}");
    }
    killed.is_some()
}

/// A session in the middle of a turn, under a runner that nothing happens to.
pub(crate) fn bystander(env: &TestEnv) -> String {
    let mut other = env.client("other");
    let session = other.create(env, json!({"subscribe": true}));
    other.prompt(&session, &format!("say waiting\nsleep_until {}\nsay unharmed", env.path("go")));
    other.said(&session, "waiting");
    session
}

/// Under a daemon whose runners live, every session goes on, nothing of dead agents is left, and the bystander has
/// noticed nothing.
pub(crate) fn recovered(env: &TestEnv, work: &mut Work<'_>, bystander: &str) -> oracle::Journals {
    env.daemon().kill9();
    env.daemon();
    fs::write(env.path("go"), "").expect("a file can be made");
    work.join(bystander);
    let list = work.ask("list_sessions", json!({"include_ended": true}));
    for session in list["sessions"].as_array().into_iter().flatten() {
        let id = session["id"].as_str().expect("a session has an id");
        if work.state(id, RESTING) != "killed" {
            goes_on(work, id);
        }
    }
    let journals = work.check();
    let outcomes = Work::outcomes(&journals[bystander]);
    assert!(outcomes.values().all(|outcome| outcome == "finished"), "{outcomes:?}");
    one_agent_each(env, bystander);
    journals
}

/// A session that lost its agent works again, at the latest when it is told to.
fn goes_on(work: &mut Work<'_>, session: &str) {
    if work.state(session, RESTING) != "idle" {
        let resumed = work.ask("resume_session", json!({"session_id": session}));
        assert_eq!(resumed["type"], "ok", "{resumed}");
    }
    assert!(work.prompt(session, "say alive again", "finished"));
    work.state(session, RESTING);
    let finished = |outcomes: BTreeMap<String, String>| outcomes["say alive again"] == "finished";
    let journal = work.ask("read_records", json!({"session_id": session, "after": 0}));
    let records = journal["records"].as_array().expect("a page has records");
    assert!(finished(Work::outcomes(records)), "{journal}");
}

/// Of every session at most the last agent lives, in the last directory; the bystander never had another one.
fn one_agent_each(env: &TestEnv, bystander: &str) {
    let mut agents: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for entry in env.heard().iter().filter(|entry| entry.kind == "start") {
        let marker = entry.marker.clone().expect("an agent is marked");
        let session = marker.split_once(':').and_then(|(_, rest)| rest.split_once('.'));
        agents.entry(session.expect("a marker names a session").0.to_owned()).or_default().push(entry.pid);
    }
    assert_eq!(agents[bystander].len(), 1, "the bystander's agent was started once");
    for (session, mut pids) in agents {
        pids.pop();
        eventually(&format!("the earlier agents of {session} are gone"), || {
            pids.iter().all(|pid| !processes::alive(*pid as i32)).then_some(())
        });
    }
    eventually("only the last directory of each session is left", || {
        let names = fs::read_dir(env.state().runners()).ok()?;
        let mut names: Vec<String> =
            names.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
        let all = names.len();
        names.iter_mut().for_each(|name| name.truncate(36));
        names.sort();
        names.dedup();
        (names.len() == all).then_some(())
    });
}

/// What the agent of a runner has said so far, by the whole lines in its spool; the runner works in its directory.
fn said(runner: i32) -> Option<(String, String)> {
    let dir = fs::read_link(format!("/proc/{runner}/cwd")).ok()?;
    let session = dir.file_name()?.to_str()?.split_once('.')?.0.to_owned();
    let bytes: Vec<u8> =
        spool::segments(&dir).ok()?.iter().flat_map(|(_, path)| read(path).unwrap_or_default()).collect();
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let lines =
        bytes[..whole].split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
    let said = lines.filter_map(|line: Value| {
        let update = &line["params"]["update"];
        let text = update["content"]["text"].as_str();
        text.filter(|_| update["sessionUpdate"] == "agent_message_chunk").map(str::to_owned)
    });
    Some((session, said.collect()))
}

fn read(path: &Path) -> Option<Vec<u8>> {
    fs::read(path).ok()
}

/// What the agent of a journal has said.
fn text(records: &[Value]) -> String {
    let chunks = records.iter().map(|record| &record["fact"]["update"]);
    chunks
        .filter(|update| update["sessionUpdate"] == "agent_message_chunk")
        .filter_map(|update| update["content"]["text"].as_str())
        .collect()
}

cases! {
    fn fault_04_killed_with_its_socket_just_bound() { dies(Point::RunnerBound) }
    fn fault_04_killed_before_meta_has_its_name() { dies(Point::RunnerMetaTmp) }
    fn fault_04_killed_after_meta_got_its_name() { dies(Point::RunnerMetaRenamed) }
    fn fault_04_killed_having_said_ready() { dies(Point::RunnerReady) }
    fn fault_04_killed_when_told_to_go() { dies(Point::RunnerGo) }
    fn fault_04_killed_with_the_agent_just_started() { dies(Point::RunnerSpawned) }
    fn fault_04_killed_having_read_output() { dies(Point::RunnerRead) }
    fn fault_04_killed_with_output_half_in_the_spool() { dies(Point::RunnerSpoolPartial) }
    fn fault_04_killed_with_output_in_the_spool() { dies(Point::RunnerSpoolDone) }
    fn fault_04_killed_with_a_frame_just_logged() { dies(Point::RunnerInLogged) }
    fn fault_04_killed_with_a_frame_half_written() { dies(Point::RunnerInPartial) }
    fn fault_04_killed_with_a_frame_written() { dies(Point::RunnerInDone) }
    fn fault_04_killed_with_the_agent_reaped() { dies(Point::RunnerReaped) }
    fn fault_04_killed_before_exit_has_its_name() { dies(Point::RunnerExitTmp) }
    fn fault_04_killed_after_exit_got_its_name() { dies(Point::RunnerExitRenamed) }
    fn fault_05_killed_with_the_daemon_around_the_agents_output() {
        dies_with_the_daemon(Point::RunnerRead);
        dies_with_the_daemon(Point::RunnerSpoolPartial);
        dies_with_the_daemon(Point::RunnerSpoolDone);
    }
    fn fault_05_killed_with_the_daemon_around_its_input() {
        dies_with_the_daemon(Point::RunnerInLogged);
        dies_with_the_daemon(Point::RunnerInPartial);
        dies_with_the_daemon(Point::RunnerInDone);
    }
    fn fault_05_killed_with_the_daemon_at_the_agents_end() {
        dies_with_the_daemon(Point::RunnerReaped);
        dies_with_the_daemon(Point::RunnerExitRenamed);
    }
}
