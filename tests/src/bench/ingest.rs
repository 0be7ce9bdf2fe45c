//! F9: many agents at once: how much is journaled in all, and whether one goes short.

use super::{
    Plan, agent,
    report::{Goal, Report},
    stage,
    store::Store,
};
use std::time::{Duration, Instant};

/// Sessions, and updates of each.
const LOADS: [(usize, u64); 2] = [(20, 20_000), (100, 4_000)];
/// How long the prompts have to reach their agents before all begin.
const LEAD: Duration = Duration::from_millis(1500);

/// Takes the figure.
pub fn measure(plan: &Plan, report: &mut Report) {
    for (sessions, records) in LOADS {
        let (mut rates, mut fair) = (Vec::new(), Vec::new());
        for _ in 0..plan.rounds {
            let (rate, fairness) = once(sessions, records);
            rates.push(rate);
            fair.push(fairness);
        }
        report.figure(
            &format!("F9.s{sessions}.journaled"),
            "records/s",
            &rates,
            None,
            Goal::AtLeast(50_000.0),
        );
        report.figure(&format!("F9.s{sessions}.fairness"), "min/max", &fair, None, Goal::AtLeast(0.5));
    }
}

/// Records a second over all sessions; and, when half of all were journaled, the least share by the largest.
fn once(count: usize, records: u64) -> (f64, f64) {
    let env = stage::started();
    let mut control = env.client("bench");
    let ids = stage::sessions(&env, &mut control, count);
    let begin = Instant::now() + LEAD;
    let begin_ms = (agent::now_ns() + LEAD.as_nanos() as u64) / 1_000_000;
    for id in &ids {
        control.prompt(id, &format!("flood {records} 300 {begin_ms}"));
    }
    assert!(Instant::now() < begin, "the prompts took longer than {LEAD:?}");
    // Seldom, because whoever looks takes time from who works. The times come from the records themselves.
    stage::until_idle(&mut control, Duration::from_millis(250), |_| {});
    let store = Store::open(&env.state().store()).expect("the store can be opened");
    let times = |id: &String| {
        let (no, head) = store.session(id).expect("the session is stored");
        let mut times = Vec::new();
        store.read(no, head, |at_ms| times.push(at_ms)).expect("the store can be read");
        times.retain(|at_ms| *at_ms >= begin_ms as i64);
        times
    };
    let times: Vec<Vec<i64>> = ids.iter().map(times).collect();
    let mut all: Vec<i64> = times.concat();
    all.sort_unstable();
    let (half, last) = (all[all.len() / 2], all[all.len() - 1]);
    let shares = || times.iter().map(|times| times.iter().filter(|at_ms| **at_ms <= half).count() as f64);
    let (least, most) = (shares().fold(f64::MAX, f64::min), shares().fold(0.0, f64::max));
    (all.len() as f64 / ((last - begin_ms as i64) as f64 / 1e3), least / most)
}
