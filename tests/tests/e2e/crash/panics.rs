//! A panic in any task (row 90): it costs whoever waited a second try and nobody anything else, and nothing is half
//! done.

use super::{
    daemon::{When, at_work, goes_on},
    each,
    work::Work,
};
use serde_json::json;
use vibes_runner::points::{PLAN, Point};
use vibes_tests::{TestEnv, eventually, processes};

#[track_caller]
fn panics(when: When, point: Point, hits: &[u32]) {
    each(point, hits.to_vec(), |hit| goes_on(when, point, hit, "panic"));
}

cases! {
    fn fault_90_a_panic_in_a_sessions_task_at_a_command() {
        panics(When::Work, Point::CmdReceived, &[1, 4]);
        panics(When::Work, Point::CmdCommitted, &[1, 4]);
        panics(When::Work, Point::PermCommitted, &[1]);
        panics(When::Work, Point::CloseBegun, &[1, 2]);
    }
    fn fault_90_a_panic_in_a_sessions_task_at_output() {
        panics(When::Work, Point::IngestCommitted, &[1, 5]);
        panics(When::Work, Point::IngestNotified, &[1, 5]);
        panics(When::Work, Point::PermIngested, &[1]);
        panics(When::Work, Point::NewAcpInit, &[1]);
        panics(When::Work, Point::CloseGone, &[1]);
        panics(When::Work, Point::CloseDirRemoved, &[1]);
        panics(When::Start, Point::AdoptDone, &[1, 2]);
    }
    fn fault_90_a_panic_in_a_link() {
        panics(When::Work, Point::IngestRead, &[1, 5]);
        panics(When::Work, Point::OutHalfFrame, &[1, 4]);
        panics(When::Work, Point::OutSent, &[1, 5]);
        panics(When::Work, Point::OutAcked, &[1, 4]);
    }
    fn fault_90_a_panic_of_the_writer_restarts_the_daemon() {
        panics(When::Work, Point::CommitBegin, &[1, 7]);
        panics(When::Work, Point::CommitApplied, &[7]);
        panics(When::Work, Point::CommitDone, &[7]);
        panics(When::Idle, Point::Checkpoint, &[1]);
        panics(When::Idle, Point::Pack, &[1]);
    }
    fn fault_90_a_panic_in_a_connection() {
        panics(When::Work, Point::CmdReplied, &[1, 4]);
    }
    fn fault_90_a_session_that_falls_again_and_again_is_left_and_the_others_are_served() {
        let env = TestEnv::new();
        let found = at_work(&env);
        let plan = format!("{}=panic", Point::AdoptUp.name());
        env.spawn_vibes(&["daemon", "start"], "", &[(PLAN, &plan)]).wait().ok();
        let daemon = env.daemon();
        let mut ada = env.client("ada");
        let session = ada.create(&env, json!({"subscribe": true}));
        ada.prompt(&session, "say served");
        ada.said(&session, "served");
        eventually("the session is given up", || {
            let answer = ada.request("input", json!({"session_id": found.resting, "content": "say no"}));
            answer["message"].as_str().is_some_and(|why| why.contains("three times")).then_some(())
        });
        assert!(processes::alive(daemon.pid));
        let records = ada.ok("read_records", json!({"session_id": found.resting, "after": 0}));
        assert_ne!(records["records"], json!([]), "what it had is there");
        let left = eventually("its agent is ended", || {
            let list = ada.ok("list_sessions", json!({}));
            let mut sessions = list["sessions"].as_array().into_iter().flatten();
            sessions.find(|session| session["id"] == *found.turning && session["link"] == "lost").cloned()
        });
        assert_eq!(left["state"], "processing", "nothing was made up about it");
        daemon.kill9();
        let mut work = Work::new(&env);
        // Its agent was ended, so its turn is over; it can go on.
        work.join(&found.turning);
        let ended = work.record(&found.turning, "the end of the turn", |record| {
            record["fact"]["kind"] == "turn_ended"
        });
        assert_eq!(ended["fact"]["outcome"], "unknown");
        work.check();
    }
}
