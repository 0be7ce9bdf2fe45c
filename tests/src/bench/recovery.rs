//! F8: the daemon is killed with live sessions; when does the command line answer again?
#![expect(clippy::print_stderr, reason = "it says why a figure is missing")]

use super::{
    Plan,
    report::{Goal, Report},
    stage,
};
use std::{
    thread,
    time::{Duration, Instant},
};
use vibes_tests::Wire;

/// The most live sessions; F6 holds more.
const SESSIONS: usize = 100;
/// How long adopting them may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// Takes the figure.
pub fn measure(plan: &Plan, report: &mut Report) {
    let env = stage::started();
    let mut control = env.client("bench");
    let count = plan.sessions.min(SESSIONS);
    stage::filled(&env, &mut control, plan.records);
    stage::sessions(&env, &mut control, count - 1);
    drop(control);
    let (mut answers, mut adopted) = (Vec::new(), Vec::new());
    for _ in 0..plan.rounds + 2 {
        let daemon = env.running_daemon().expect("it runs");
        let began = Instant::now();
        daemon.kill9();
        let listed = env.vibes(&["sessions", "list", "--json"]).ok();
        answers.push(began.elapsed().as_secs_f64() * 1e3);
        let sessions = listed.json();
        let sessions = sessions.as_array().or_else(|| sessions["sessions"].as_array());
        assert_eq!(sessions.map(Vec::len), Some(count), "no session is lost: {}", listed.stdout);
        match until_adopted(&mut env.client("bench")) {
            Some(when) => adopted.push((when - began).as_secs_f64() * 1e3),
            None => eprintln!("# F8: {PATIENCE:?} after the start the list does not show every link as live"),
        }
    }
    report.figure(&format!("F8.answers.s{count}"), "ms", &answers, None, Goal::AtMost(300.0));
    if !adopted.is_empty() {
        report.figure(&format!("F8.adopted.s{count}"), "ms", &adopted, None, Goal::None);
    }
}

/// When the list shows every runner as adopted.
fn until_adopted(control: &mut Wire) -> Option<Instant> {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        if stage::list(control).iter().all(|session| session["link"] == "live") {
            return Some(Instant::now());
        }
        thread::sleep(Duration::from_millis(5));
    }
    None
}
