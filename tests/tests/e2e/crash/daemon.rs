//! The daemon dies at each of its points (row 1): whatever it was in the middle of, the next one goes on as if nothing
//! had been.

use super::{
    each, hits,
    work::{RESTING, Work},
};
use serde_json::json;
use vibes_runner::points::Point;
use vibes_tests::{TestEnv, eventually, points::Hook, processes};

/// When the daemon that is to die comes by its point.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum When {
    /// At the first start of all.
    First,
    /// At a start that finds sessions at work.
    Start,
    /// At work.
    Work,
    /// At work, with nothing to do for a while.
    Idle,
    /// When a spool has grown by a segment.
    Flood,
    /// When it is asked to stop.
    Stop,
}

/// Kills the daemon at the point, each time in an environment of its own.
#[track_caller]
fn dies(when: When, point: Point) {
    let hits = match when {
        When::First | When::Stop => vec![1],
        When::Start if !matches!(point, Point::AdoptUp | Point::AdoptDone) => vec![1],
        When::Start => vec![1, 2, 3],
        When::Flood => vec![1, 2],
        When::Work | When::Idle => hits(),
    };
    each(point, hits, |hit| goes_on(when, point, hit, "kill"));
}

/// One of everything, while a word is said to the daemon at its point. `false` when it never came by for the `hit`th
/// time.
pub(crate) fn goes_on(when: When, point: Point, hit: u32, word: &'static str) -> bool {
    let env = TestEnv::new();
    let hook = Hook::first(&env, point, hit, word, |_| {});
    let mut work = Work::new(&env);
    let found = (when == When::Start).then(|| at_work(&env));
    // It may die while it starts.
    env.spawn_vibes(&["daemon", "start"], "", &hook.variables()).wait();
    work.one_of_everything().unwrap_or_else(|why| panic!("a session cannot be made: {why}"));
    match when {
        When::Idle => rest(&mut work, &hook, 4 * hit, "say more"),
        When::Flood => rest(&mut work, &hook, 4 + 4 * hit, &format!("bigline {}", hit * 17_000_000)),
        When::Stop => drop(env.vibes(&["daemon", "stop"])),
        When::First | When::Start | When::Work => {}
    }
    let came_by = hook.came_by();
    match came_by {
        Some(pid) if survives(point, word) => {
            assert!(processes::alive(pid), "{word} took more than its session")
        }
        // A process with much memory is not gone at once.
        Some(pid) => eventually("the daemon dies", || (!processes::alive(pid)).then_some(())),
        None => {}
    }
    work.unharmed();
    if let Some(found) = found {
        found_again(&env, &mut work, &found);
    }
    came_by.is_some()
}

/// A panic is contained, except where every session would suffer from what is left.
fn survives(point: Point, word: &str) -> bool {
    let needed_by_all = matches!(
        point,
        Point::CommitBegin | Point::CommitApplied | Point::CommitDone | Point::Checkpoint | Point::Pack
    );
    word == "panic" && !needed_by_all
}

/// Prompts with rests between them, until the daemon has died of one. The first one is as given.
fn rest(work: &mut Work<'_>, hook: &Hook, rounds: u32, first: &str) {
    let session = work.create().unwrap_or_else(|why| panic!("a session cannot be made: {why}"));
    for round in 0..rounds {
        let text = if round == 0 { first.to_owned() } else { format!("say round {round}") };
        work.rest_after(&session, &text);
        if hook.came_by().is_some() {
            return;
        }
    }
}

/// Sessions that a daemon leaves behind when it is killed: in a turn, with a question, at rest.
pub(crate) struct AtWork {
    pub(crate) turning: String,
    asking: String,
    pub(crate) resting: String,
}

pub(crate) fn at_work(env: &TestEnv) -> AtWork {
    let daemon = env.daemon();
    let mut client = env.client("before");
    let [turning, asking, resting] = [(); 3].map(|()| client.create(env, json!({"subscribe": true})));
    client.prompt(&turning, &format!("say turning\nsleep_until {}", env.path("go")));
    client.said(&turning, "turning");
    client.prompt(&asking, "ask t1 ls");
    client.permission(&asking);
    daemon.kill9();
    AtWork { turning, asking, resting }
}

/// They are what they were, under the agents they had.
fn found_again(env: &TestEnv, work: &mut Work<'_>, AtWork { turning, asking, resting }: &AtWork) {
    for session in [turning, asking, resting] {
        work.join(session);
    }
    std::fs::write(env.path("go"), "").expect("a file can be made");
    work.approve(asking);
    work.prompt(resting, "say rested", "finished");
    for session in [turning, asking, resting] {
        work.state(session, RESTING);
    }
    let journals = work.check();
    for session in [turning, asking, resting] {
        let outcomes = Work::outcomes(&journals[session]);
        assert_eq!(outcomes.values().collect::<Vec<_>>(), ["finished"], "{outcomes:?}");
        let starts = env.heard().into_iter().filter(|entry| {
            entry.kind == "start" && entry.marker.as_deref().is_some_and(|marker| marker.contains(session))
        });
        assert_eq!(starts.count(), 1, "the agent outlived its daemons");
    }
}

cases! {
    fn fault_01_killed_with_the_lock_just_taken() { dies(When::Start, Point::LockTaken) }
    fn fault_01_38_killed_in_a_migration() { dies(When::First, Point::Migrate) }
    fn fault_01_killed_with_the_store_just_opened() { dies(When::Start, Point::StoreOpened) }
    fn fault_01_killed_with_the_socket_just_bound() { dies(When::Start, Point::BindDone) }
    fn fault_01_killed_having_just_said_ready() { dies(When::Start, Point::ReadySaid) }
    fn fault_01_killed_finding_a_runner() { dies(When::Start, Point::AdoptUp) }
    fn fault_01_killed_having_caught_up_with_a_runner() { dies(When::Start, Point::AdoptDone) }
    fn fault_01_killed_having_read_output() { dies(When::Work, Point::IngestRead) }
    fn fault_01_killed_at_the_beginning_of_a_transaction() { dies(When::Work, Point::CommitBegin) }
    fn fault_01_killed_before_a_commit() { dies(When::Work, Point::CommitApplied) }
    fn fault_01_killed_after_a_commit() { dies(When::Work, Point::CommitDone) }
    fn fault_01_killed_when_output_is_committed() { dies(When::Work, Point::IngestCommitted) }
    fn fault_01_killed_when_subscribers_are_woken() { dies(When::Work, Point::IngestNotified) }
    fn fault_01_killed_before_a_spool_segment_goes() { dies(When::Flood, Point::GcBeforeUnlink) }
    fn fault_01_killed_after_a_spool_segment_went() { dies(When::Flood, Point::GcAfterUnlink) }
    fn fault_01_killed_before_a_command_is_done() { dies(When::Work, Point::CmdReceived) }
    fn fault_01_67_killed_when_a_command_is_committed() { dies(When::Work, Point::CmdCommitted) }
    fn fault_01_killed_when_a_command_is_answered() { dies(When::Work, Point::CmdReplied) }
    fn fault_01_killed_in_the_middle_of_a_frame() { dies(When::Work, Point::OutHalfFrame) }
    fn fault_01_killed_when_a_frame_is_sent() { dies(When::Work, Point::OutSent) }
    fn fault_01_killed_when_a_frame_is_acknowledged() { dies(When::Work, Point::OutAcked) }
    fn fault_01_killed_when_a_question_is_committed() { dies(When::Work, Point::PermIngested) }
    fn fault_01_killed_when_a_decision_is_committed() { dies(When::Work, Point::PermCommitted) }
    fn fault_01_killed_when_a_session_has_a_row() { dies(When::Work, Point::NewRow) }
    fn fault_01_killed_when_a_runner_is_started() { dies(When::Work, Point::NewRunnerSpawned) }
    fn fault_01_killed_when_a_runner_is_ready() { dies(When::Work, Point::NewRunnerReady) }
    fn fault_01_killed_when_an_agent_has_introduced_itself() { dies(When::Work, Point::NewAcpInit) }
    fn fault_01_killed_when_a_stop_is_committed() { dies(When::Work, Point::CloseBegun) }
    fn fault_01_killed_when_an_agent_is_gone() { dies(When::Work, Point::CloseGone) }
    fn fault_01_killed_when_a_runner_directory_is_removed() { dies(When::Work, Point::CloseDirRemoved) }
    fn fault_01_killed_in_a_checkpoint() { dies(When::Idle, Point::Checkpoint) }
    fn fault_01_killed_while_records_are_packed() { dies(When::Idle, Point::Pack) }
    fn fault_01_killed_when_a_stop_begins() { dies(When::Stop, Point::StopBegun) }
    fn fault_01_killed_when_sessions_are_let_go() { dies(When::Stop, Point::StopLetGo) }
    fn fault_01_killed_when_the_store_is_closed() { dies(When::Stop, Point::StopClosed) }
}
