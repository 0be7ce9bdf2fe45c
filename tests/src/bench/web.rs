//! F11: the fan-out of F1 over WebSockets, beside the same over the local socket.

use super::{
    Plan,
    drain::{Drain, finish, subscribe},
    report::{Goal, Report},
    stage,
};
use serde_json::json;
use std::time::Instant;
use vibes_tests::web::Site;

/// Subscribers, and how many updates for each of those that `--records` names.
const LOADS: [(usize, f64); 3] = [(1, 1.5), (10, 1.0), (100, 0.2)];

/// Takes the figure.
pub fn measure(plan: &Plan, report: &mut Report) {
    for (readers, part) in LOADS {
        let records = (plan.records as f64 * part).ceil() as u64;
        let (mut web, mut local) = (Vec::new(), Vec::new());
        for _ in 0..plan.rounds {
            web.push(delivered(readers, records, true));
            local.push(delivered(readers, records, false));
        }
        let against = Some(("the local socket", local.as_slice()));
        report.figure(&format!("F11.n{readers}.ws"), "frames/s", &web, against, Goal::RatioAtLeast(0.7));
    }
}

/// Frames delivered per second.
fn delivered(readers: usize, records: u64, web: bool) -> f64 {
    let env = stage::started();
    let mut control = env.client("bench");
    let session = stage::sessions(&env, &mut control, 1).remove(0);
    let mut drains: Vec<Drain> = if web {
        let site = Site::open(&env);
        let join = |_| {
            let mut socket = site.socket();
            socket.ok("subscribe", json!({"session_ids": [session], "after": "end", "role": "viewer"}));
            Drain::web(socket.stream().try_clone().expect("a socket can be cloned"))
        };
        (0..readers).map(join).collect()
    } else {
        let socket = env.state().socket();
        let join = |_| {
            let (stream, read) = subscribe(&socket, &session, json!("end"));
            Drain::new(stream, &read)
        };
        (0..readers).map(join).collect()
    };
    let began = Instant::now();
    control.ask("input", json!({"session_id": session, "content": format!("flood {records} 300")}));
    let ended = finish(&mut drains, records, r#""kind":"turn_ended""#);
    (records * readers as u64) as f64 / (ended - began).as_secs_f64()
}
