//! F3: attaching from the start of a long session, beside reading the same rows from the store.

use super::{
    Plan,
    drain::{Drain, finish, subscribe},
    report::{Goal, Report},
    stage,
    store::Store,
};
use serde_json::json;
use std::{
    thread,
    time::{Duration, Instant},
};

/// Takes the figure.
pub fn measure(plan: &Plan, report: &mut Report) {
    let env = stage::started();
    let mut control = env.client("bench");
    let session = stage::filled(&env, &mut control, plan.records);
    let store = Store::open(&env.state().store()).expect("the store can be opened");
    let (no, head) = store.session(&session).expect("the session is stored");
    // Packing follows the turn's end when the writer has nothing else to do.
    let until = Instant::now() + Duration::from_secs(10);
    while store.loose(no, head).expect("the store can be read") > 0 {
        assert!(Instant::now() < until, "groups are still loose long after the turn");
        thread::sleep(Duration::from_millis(20));
    }
    let (mut replayed, mut alone) = (Vec::new(), Vec::new());
    // Twice as many rounds: they are short.
    for _ in 0..plan.rounds * 2 {
        let began = Instant::now();
        let (stream, read) = subscribe(&env.state().socket(), &session, json!(0));
        let mut drains = [Drain::new(stream, &read)];
        let ended = finish(&mut drains, plan.records, r#""kind":"turn_ended""#);
        replayed.push(drains[0].frames as f64 / (ended - began).as_secs_f64());
        let (began, mut count) = (Instant::now(), 0.0);
        store.read(no, head, |_| count += 1.0).expect("the store can be read");
        alone.push(count / began.elapsed().as_secs_f64());
    }
    let against = Some(("the store alone", alone.as_slice()));
    report.figure("F3.replay", "records/s", &replayed, against, Goal::RatioAtLeast(0.5));
}
