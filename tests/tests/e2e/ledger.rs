//! The ledger of turns through the real programs: what it says, whoever dies meanwhile, and what turns cost.
//!
//! Invariant: rows are compared with the records by the oracle, here and after every other test.

use serde_json::{Value, json};
use std::fs;
use vibes_runner::points::Point;
use vibes_tests::{Real, TestEnv, Wire, agents, eventually, oracle, points::Hook};

/// The last turn, as the command line tells it.
#[track_caller]
fn last(env: &TestEnv, session: &str) -> Value {
    let turns = env.vibes(&["runs", session, "--json", "--limit", "1"]).ok().json();
    turns[0].clone()
}

fn turn(wire: &mut Wire, session: &str, prompt: &str) {
    wire.prompt(session, prompt);
    wire.fact(session, "turn_ended");
    wire.rests(session);
}

fn amount(cost: &Value) -> f64 {
    cost["amount"].as_f64().unwrap_or(0.0)
}

#[test]
fn a_turn_is_listed_with_what_it_said_took_and_changed() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    assert_eq!(env.vibes(&["runs", &session, "--json"]).ok().json(), json!([]));
    turn(
        &mut ada,
        &session,
        "edit a /w/a.rs\ntool_done a\nedit b /w/b.rs\ntool_failed b\nusage 1200 34\ncost 0.25",
    );
    let first = last(&env, &session);
    assert_eq!((&first["turn"], &first["outcome"]), (&json!(1), &json!("finished")));
    assert_eq!((&first["files"], &first["cost"]["amount"]), (&json!(["/w/a.rs"]), &json!(0.25)));
    assert_eq!(first["usage"]["input_tokens"], 1200);
    ada.prompt(&session, "error 7 the model is overloaded");
    assert_eq!(ada.fact(&session, "turn_ended")["fact"]["outcome"], "failed");
    for n in 3..30 {
        turn(&mut ada, &session, &format!("say {n}"));
    }
    let table = env.vibes(&["runs", &session]).ok().stdout;
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 22, "a heading, twenty turns, where the older ones are: {table}");
    assert!(lines[0].starts_with("TURN  AGE") && lines[21].contains("--before 10"), "{table}");
    let older = env.vibes(&["runs", &session, "--before", "10"]).ok().stdout;
    assert_eq!(older.lines().count(), 10, "{older}");
    assert!(older.contains("failed") && older.contains("the model is overloaded"), "{older}");
    assert!(older.contains("1200") && older.contains("$0.25"), "{older}");
    env.vibes(&["runs", "nobody"]).exits(3);
    oracle::check(&env);
}

#[test]
fn the_ledger_is_exact_when_the_daemon_is_killed_between_and_in_turns() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    turn(&mut ada, &session, "cost 0.5\nedit a /a\ntool_done a");
    env.daemon().kill9();
    env.daemon();
    let mut ada = env.client("ada");
    ada.subscribe(&session, 0, "writer");
    let go = env.path("go");
    ada.prompt(
        &session,
        &format!("cost 0.75\nedit b /b\ntool_done b\nedit c /c\nsay half\nsleep_until {go}\ncost 1.0"),
    );
    ada.said(&session, "half");
    let running = last(&env, &session);
    assert_eq!((&running["outcome"], &running["ended_ms"]), (&Value::Null, &Value::Null));
    env.daemon().kill9();
    fs::write(&go, "").expect("a file can be made");
    env.daemon();
    let mut ada = env.client("ada");
    ada.subscribe(&session, 0, "writer");
    ada.wait_for("the second turn ends", |message| {
        message["fact"]["kind"] == "turn_ended" && message["fact"]["turn"] == 2
    });
    let second = last(&env, &session);
    assert_eq!((&second["outcome"], &second["files"]), (&json!("finished"), &json!(["/b", "/c"])));
    assert_eq!(
        (&second["started_ms"], &second["first_seq"]),
        (&running["started_ms"], &running["first_seq"])
    );
    assert_eq!(amount(&second["cost"]), 0.5, "what both daemons heard of it");
    oracle::check(&env);
}

#[test]
fn tokens_are_priced_by_the_table_and_marked() {
    let env = TestEnv::new();
    let config = env.path("cfg/vibes");
    fs::create_dir_all(&config).expect("a directory can be made");
    let write =
        |price: &str| fs::write(format!("{config}/config.toml"), price).expect("a file can be written");
    write("[prices.\"fake-*\"]\nin = 1.0\nout = -2.0\n");
    assert!(env.vibes(&["daemon", "start"]).exits(4).stderr.contains("prices"), "a price is no debt");
    write("[prices.\"fake-*\"]\nin = 1.0\nout = 10.0\n");
    env.daemon();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    turn(&mut ada, &session, "usage 1000 100 fake-1");
    let cost = json!({"amount": 0.002, "currency": "USD", "estimated": true});
    assert_eq!(last(&env, &session)["cost"], cost);
    assert_eq!(last(&env, &session)["models"]["fake-1"]["cost"], cost);
    assert!(env.vibes(&["runs", &session]).ok().stdout.contains("~$0.0020"));
    assert!(env.vibes(&["ls"]).ok().stdout.contains("~$0.0020"));
    oracle::check(&env);
}

#[test]
fn claude_code_tells_files_tokens_and_costs_that_add_up_over_a_suspension() {
    let Some(claude) = Real::started(&agents::CLAUDE) else { return };
    let (env, mut ada) = (&claude.env, claude.client());
    let session = claude.create_with(&mut ada, json!({"mode": "acceptEdits"}));
    let file = env.path("work/new.rs");
    let call = json!({"file_path": file, "content": "x"});
    turn(&mut ada, &session, &format!("[[call: Write: {call}]] write it"));
    let first = last(env, &session);
    assert_eq!((&first["outcome"], &first["files"]), (&json!("finished"), &json!([file])), "{first}");
    assert!(
        amount(&first["cost"]) > 0.0 && first["models"].as_object().is_some_and(|all| all.len() == 1),
        "{first}"
    );
    env.vibes(&["suspend", &session]).ok();
    ada.state(&session, "suspended");
    turn(&mut ada, &session, "and again");
    let second = last(env, &session);
    assert!(
        amount(&second["cost"]) > 0.0 && amount(&second["cost"]) < 2.0 * amount(&first["cost"]),
        "{second}"
    );
    turn(&mut ada, &session, "[[fail: 400]] no");
    let third = last(env, &session);
    assert_eq!(third["outcome"], "failed", "whatever it calls that: {third}");
    assert!(third["error"].as_str().is_some_and(|why| why.contains("400")), "{third}");
    claude.check();
}

#[test]
fn claude_code_over_acp_tells_the_same_and_its_count_goes_on_over_a_suspension() {
    let Some(real) = Real::started(&agents::CLAUDE_ACP) else { return };
    let mut ada = real.client();
    let session = real.create(&mut ada);
    turn(&mut ada, &session, "the first");
    let first = last(&real.env, &session);
    assert!(amount(&first["cost"]) > 0.0 && first["models"].is_object(), "{first}");
    real.env.vibes(&["suspend", &session]).ok();
    ada.state(&session, "suspended");
    real.env.vibes(&["resume", &session]).ok();
    turn(&mut ada, &session, "the second");
    let second = last(&real.env, &session);
    assert!(amount(&second["cost"]) > 0.0, "{second}");
    let journals = real.check();
    let told = journals[&session].iter().rev().find(|record| record["fact"]["update"]["cost"].is_object());
    let told = told.expect("it tells a total").clone();
    let session = ada.ok("get_session", json!({"session_id": session}))["session"].take();
    let total = amount(&told["fact"]["update"]["cost"]);
    assert!((amount(&session["cost"]) - total).abs() < 1e-8, "{first} {second} {told} {}", session["cost"]);
}

/// What was spent, by this.
#[track_caller]
fn costs(env: &TestEnv, more: &[&str]) -> Value {
    env.vibes(&[&["costs", "--json"], more].concat()).ok().json()
}

#[test]
fn costs_are_summed_up_by_whatever_is_asked_and_outlive_their_sessions() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    assert_eq!(costs(&env, &[]), json!([]));
    assert!(env.vibes(&["costs"]).ok().stderr.contains("Nothing was spent"));
    let api = ada.create(&env, json!({"subscribe": true, "name": "api"}));
    turn(&mut ada, &api, "usage 100 10 large\ncost 0.25");
    turn(&mut ada, &api, "usage 200 20 small\ncost 0.75");
    turn(&mut ada, &api, "say nothing that costs");
    let web = ada.create(&env, json!({"subscribe": true}));
    turn(&mut ada, &web, "usage 1 2 small\ncost 2.0");
    let sum = |by: &str| -> Vec<(String, f64, u64)> {
        let sums = costs(&env, &["--by", by]);
        let sums = sums.as_array().expect("a list").iter();
        sums.map(|sum| {
            let key = sum["name"].as_str().or(sum["key"].as_str()).expect("a sum is of something");
            (key.to_owned(), amount(&sum["cost"]), sum["turns"].as_u64().expect("a number"))
        })
        .collect()
    };
    let of = |key: &str, amount: f64, turns: u64| (key.to_owned(), amount, turns);
    assert_eq!(sum("model"), [of("small", 2.5, 2), of("large", 0.25, 1)]);
    assert_eq!(sum("session"), [of(&web, 2.0, 1), of("api", 0.75, 2)]);
    assert_eq!(sum("agent"), [of("fake", 2.75, 3)]);
    assert_eq!(sum("directory"), [of(&env.work(), 2.75, 3)]);
    // The test may run over midnight.
    let days = sum("day");
    assert_eq!(days.iter().map(|(_, amount, _)| amount).sum::<f64>(), 2.75, "{days:?}");
    let (first, last) = (&days[0].0, &days[days.len() - 1].0);
    assert_eq!(costs(&env, &["--since", first, "--until", last]), costs(&env, &[]));
    assert_eq!(costs(&env, &["--until", "2001-01-01"]), json!([]));
    assert_eq!(costs(&env, &["--since", "1d", "--by", "agent"])[0]["turns"], 3);
    for wrong in ["yesterday", "2026-13-99", "d", ""] {
        env.vibes(&["costs", "--since", wrong]).exits(1);
    }
    let table = env.vibes(&["costs", "--by", "model"]).ok().stdout;
    assert!(table.starts_with("MODEL") && table.contains("$2.50") && table.contains('█'), "{table}");
    let csv = env.vibes(&["costs", "--by", "model", "--csv"]).ok().stdout;
    assert_eq!(csv.lines().nth(1), Some("small,,2,201,22,0,0,2.5,USD,no"), "{csv}");
    // Deleted, the daemon killed: what was spent was spent.
    ada.ok("kill_session", json!({"session_id": web}));
    env.vibes(&["rm", &web]).ok();
    env.daemon().kill9();
    env.daemon();
    assert_eq!(sum("session"), [of(&web, 2.0, 1), of("api", 0.75, 2)]);
    env.vibes(&["undelete", &web]).ok();
    oracle::check(&env);
}

/// Three turns of one session and one of another, and what is told of them; the daemon is stopped, and its store is as it was
/// when there was no ledger.
fn of_before(env: &TestEnv) -> (String, [Value; 3]) {
    let mut ada = env.client("ada");
    let session = ada.create(env, json!({"subscribe": true}));
    turn(
        &mut ada,
        &session,
        "usage 100 10 large\ncost 0.5\nedit a /a\ntool_done a\nedit b /b\ntool_failed b",
    );
    ada.prompt(&session, "error 7 the model is overloaded");
    ada.fact(&session, "turn_ended");
    env.vibes(&["suspend", &session]).ok();
    // It counts anew with each process.
    turn(&mut ada, &session, "cost 0.25\nexit 3");
    let ended = ada.create(env, json!({"subscribe": true, "name": "ended"}));
    turn(&mut ada, &ended, "cost 2.0");
    ada.ok("kill_session", json!({"session_id": ended}));
    let before = told(env, &session);
    assert_eq!(before[0].as_array().map(Vec::len), Some(3));
    drop(ada);
    env.daemon().terminate();
    env.as_of_schema(2);
    (session, before)
}

/// What the ledger tells of the two.
fn told(env: &TestEnv, session: &str) -> [Value; 3] {
    let runs = |id: &str| env.vibes(&["runs", id, "--json"]).ok().json();
    [runs(session), runs("ended"), costs(env, &["--by", "session"])]
}

/// It goes on from what was told.
fn goes_on(env: &TestEnv, session: &str) {
    let mut ada = env.client("ada");
    ada.subscribe(session, 0, "writer");
    turn(&mut ada, session, "cost 0.75");
    assert_eq!(last(env, session)["turn"], 4);
    assert_eq!(costs(env, &["--by", "agent"])[0]["turns"], 4, "one took nothing");
    oracle::check(env);
}

#[test]
fn turns_of_a_store_that_had_no_ledger_are_told_by_their_records() {
    let env = TestEnv::started();
    let (session, before) = of_before(&env);
    env.daemon();
    eventually("the ledger is as it was", || (told(&env, &session) == before).then_some(()));
    // What it has is not told again, and goes on.
    env.daemon().kill9();
    env.daemon();
    goes_on(&env, &session);
}

#[test]
#[cfg_attr(not(feature = "points"), ignore = "needs programs with points: --features points")]
fn fault_01_killed_while_turns_of_before_are_told() {
    dies(Point::LedgerTold);
}

/// It dies at a point of the telling; the next one tells the rest, and nothing twice.
fn dies(point: Point) {
    for hit in [1, 2] {
        let env = TestEnv::started();
        let (session, before) = of_before(&env);
        let hook = Hook::killing(&env, point, hit, |_| {});
        env.spawn_vibes(&["daemon", "start"], "", &hook.variables()).wait();
        hook.held();
        let owed = "key = 'ledger' AND value = 'owed'";
        assert_eq!(env.rows("meta", owed), 1, "it is not done");
        assert_ne!(env.rows("payer", "1"), 0, "some are in it");
        env.daemon();
        eventually("the ledger is as it was", || (told(&env, &session) == before).then_some(()));
        eventually("nothing is owed", || (env.rows("meta", owed) == 0).then_some(()));
        goes_on(&env, &session);
    }
}
