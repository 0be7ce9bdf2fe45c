//! Budgets that are spent: a session pauses after its turn, whoever dies meanwhile, says so everywhere, and goes on on purpose.

use serde_json::{Value, json};
use std::fs;
use vibes_runner::points::Point;
use vibes_tests::{TestEnv, Wire, eventually, oracle, points::Hook};

fn configured(config: &str) -> TestEnv {
    let env = TestEnv::new();
    fs::create_dir_all(env.path("cfg/vibes")).expect("a directory can be made");
    fs::write(env.path("cfg/vibes/config.toml"), config).expect("it is written");
    env.daemon();
    env
}

fn info(wire: &mut Wire, session: &str) -> Value {
    wire.ok("get_session", json!({"session_id": session}))["session"].take()
}

/// A session is suspended for its budget.
fn pauses(wire: &mut Wire, session: &str) {
    let info = wire.state(session, "suspended");
    assert_eq!(info["reason"], "budget");
}

#[test]
fn a_session_pauses_when_its_budget_is_spent_says_so_and_goes_on_on_purpose() {
    let calls =
        "[attention]\ncommand = [\"/bin/sh\", \"-c\", \"cat >> ROOT/calls\"]\nevents = [\"budget\"]\n";
    let env = TestEnv::new();
    fs::create_dir_all(env.path("cfg/vibes")).expect("a directory can be made");
    fs::write(env.path("cfg/vibes/config.toml"), calls.replace("ROOT", &env.path("")))
        .expect("it is written");
    let id = env.vibes(&["run", "fake", "-d", "--name", "api", "--budget", "1.00"]).ok().line().to_owned();
    let mut ada = env.client("ada");
    ada.subscribe(&id, 0, "writer");
    for words in ["cost 0.5\nsay one", "cost 1.25\nsay two", "cost 1.5\nsay three"] {
        ada.prompt(&id, words);
    }
    let spent = ada.fact(&id, "budget_spent");
    assert_eq!(
        (&spent["fact"]["spent"]["amount"], &spent["fact"]["scope"]),
        (&json!(1.25), &json!("session"))
    );
    pauses(&mut ada, &id);
    env.runner_gone(&id);
    let now = info(&mut ada, &id);
    assert_eq!((&now["turns"], &now["queued"], &now["budget"]), (&json!(2), &json!(1), &json!(1.0)));
    let listed = env.vibes(&["ls"]).ok().stdout;
    assert!(listed.contains("suspended (budget)") && listed.contains("$1.25 of 1.00"), "{listed}");
    assert!(env.vibes(&["logs", "api"]).ok().stdout.contains("budget of 1.00 is spent ($1.25)"));
    let call = eventually("a person is called", || fs::read_to_string(env.path("calls")).ok());
    assert!(call.contains("\"event\":\"budget\""), "{call}");
    let refused = env.vibes(&["send", "api", "say no"]).exits(5);
    assert!(refused.stderr.contains("vibes resume api --budget +5"), "{}", refused.stderr);
    // For one turn, and then for as long as there is money.
    env.vibes(&["resume", "api"]).ok();
    ada.said(&id, "three");
    pauses(&mut ada, &id);
    env.vibes(&["resume", "api", "--budget", "+5"]).ok();
    assert!(env.vibes(&["send", "api", "--wait", "say four"]).ok().stdout.contains("four"));
    assert!(env.vibes(&["budget", "api"]).ok().line().contains("$1.50 of 6.50"));
    env.vibes(&["budget", "api", "none"]).ok();
    env.vibes(&["budget", "api", "-1"]).exits(2);
    drop(ada);
    oracle::check(&env);
}

#[test]
fn a_budget_of_a_day_or_a_directory_is_for_all_sessions_of_it() {
    let env = TestEnv::new();
    let [rich, poor] = ["rich", "poor"].map(|dir| env.path(&format!("work/{dir}")));
    for dir in [&rich, &poor] {
        fs::create_dir_all(format!("{dir}/below")).expect("a directory can be made");
    }
    fs::create_dir_all(env.path("cfg/vibes")).expect("a directory can be made");
    let config = format!("[budgets]\nday = 3.0\n[[budgets.directory]]\npath = \"{poor}\"\ntotal = 1.0\n");
    fs::write(env.path("cfg/vibes/config.toml"), config).expect("it is written");
    env.daemon();
    let mut ada = env.client("ada");
    let first = ada.create(&env, json!({"cwd": poor, "subscribe": true}));
    ada.prompt(&first, "cost 1.0\nsay one");
    let spent = ada.fact(&first, "budget_spent");
    assert_eq!((&spent["fact"]["scope"], &spent["fact"]["directory"]), (&json!("directory"), &json!(poor)));
    pauses(&mut ada, &first);
    // One that begins there waits with its prompt; one elsewhere works.
    let second = ada.create(&env, json!({"cwd": format!("{poor}/below"), "prompt": "say two"}));
    pauses(&mut ada, &second);
    assert_eq!(info(&mut ada, &second)["queued"], 1);
    let third = ada.create(&env, json!({"cwd": rich, "subscribe": true}));
    ada.prompt(&third, "cost 1.5\nsay three");
    // What all have spent is counted before its turn begins.
    ada.fact(&third, "turn_ended");
    ada.rests(&third);
    assert_eq!(info(&mut ada, &third)["state"], "idle");
    ada.prompt(&third, "cost 2.5\nsay more");
    pauses(&mut ada, &third);
    let refused = ada.request("input", json!({"session_id": third, "content": "x"}));
    assert!(refused["message"].as_str().unwrap_or_default().contains("the budget of today"), "{refused}");
    ada.ok("resume_session", json!({"session_id": second, "env": env.client_env()}));
    eventually("it has its turn and pauses again", || {
        let now = info(&mut ada, &second);
        (now["turns"] == 1 && now["state"] == "suspended" && now["reason"] == "budget").then_some(())
    });
    drop(ada);
    oracle::check(&env);
}

#[test]
fn a_budget_that_makes_no_sense_is_refused() {
    let env = configured("");
    let mut ada = env.client("ada");
    for budget in [json!(-1), json!(1e9)] {
        let fields = json!({"agent": "fake", "cwd": env.work(), "budget": budget});
        assert_eq!(ada.refused("create_session", fields), "BAD_REQUEST");
    }
    env.vibes(&["daemon", "stop"]).ok();
    for (config, says) in [
        ("[budgets]\nday = -1.0\n", "budgets.day"),
        ("[[budgets.directory]]\npath = \"work\"\nday = 1.0\n", "not an absolute path"),
        ("[[budgets.directory]]\npath = \"/work\"\n", "day or total"),
    ] {
        fs::write(env.path("cfg/vibes/config.toml"), config).expect("it is written");
        let refused = env.vibes(&["daemon", "start"]).exits(4);
        assert!(refused.stderr.contains(says), "{}", refused.stderr);
    }
}

#[test]
#[cfg_attr(not(feature = "points"), ignore = "needs programs with points: --features points")]
fn a_daemon_that_dies_around_the_pause_loses_nothing() {
    for (point, hit) in [(Point::IngestCommitted, 3), (Point::CloseBegun, 1), (Point::CloseGone, 1)] {
        let env = TestEnv::new();
        let hook = Hook::first(&env, point, hit, "kill", |_| {});
        env.spawn_vibes(&["daemon", "start"], "", &hook.variables()).wait();
        let work = format!("sleep_until {}\ncost 1.5\nsay one", env.path("go"));
        env.vibes(&["run", "fake", "-d", "--wait-ready", "--name", "api", "--budget", "1.00"]).ok();
        for words in [&work, "say two"] {
            env.vibes(&["send", "api", words]).ok();
        }
        fs::write(env.path("go"), "").expect("it is written");
        let shown = || env.vibes(&["show", "api", "--json"]);
        let info = eventually("it has paused, and the daemon has died", || {
            let text = shown().stdout;
            let now: Value = serde_json::from_str(&text).ok()?;
            let info = if now["session"].is_object() { now["session"].clone() } else { now };
            let paused = info["state"] == "suspended" && info["reason"] == "budget" && info["turns"] == 1;
            (paused && info["link"] == "none").then_some(info)
        });
        assert_eq!(info["queued"], 1, "{point:?}: what was accepted waits");
        assert!(hook.came_by().is_some(), "{point:?} was never reached");
        env.vibes(&["send", "api", "say no"]).exits(5);
        oracle::check(&env);
    }
}
