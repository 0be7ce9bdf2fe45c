//! Clients that want the same thing at the same time, or twice: it happens once, and everybody hears the same.

use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::mpsc};
use vibes_tests::{PATIENCE, TestEnv, Wire, eventually, oracle};

/// How many questions are answered twice; `VIBES_RACES` says another number.
fn races() -> usize {
    std::env::var("VIBES_RACES").ok().and_then(|races| races.parse().ok()).unwrap_or(10_000)
}

/// Answers every question of each batch at once; gives back what it heard, by question.
fn decider(
    mut wire: Wire,
    session: &str,
    decision: &str,
    batches: &mpsc::Receiver<Vec<Value>>,
    done: &mpsc::Sender<()>,
) -> Heard {
    let mut heard = Heard::new();
    for batch in batches {
        let asked: Vec<(String, String)> = batch
            .iter()
            .map(|permission| {
                let id = wire.ask(
                    "permission_response",
                    json!({
                        "session_id": session, "permission_id": permission["permission_id"],
                        "hash": permission["hash"], "decision": decision,
                    }),
                );
                (id, permission["permission_id"].as_str().expect("a question has an id").to_owned())
            })
            .collect();
        for (id, permission) in asked {
            let answer = wire.wait_for("an answer", |message| message["request_id"] == *id);
            heard.insert(permission, answer);
        }
        // What every client hears of the session is not looked through again and again.
        wire.clear_inbox();
        let _ = done.send(());
    }
    heard
}

type Heard = BTreeMap<String, Value>;

#[test]
fn fault_69_of_two_answers_to_a_question_at_once_exactly_one_wins() {
    /// As many decisions as a session remembers, to say who was first.
    const BATCH: usize = 60;
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    let mut commands = BTreeMap::new();
    let (allowed, denied) = std::thread::scope(|scope| {
        let mut batches = Vec::new();
        let (done, answered) = mpsc::channel();
        let deciders = ["allow_once", "reject_once"].map(|decision| {
            let (sender, receiver) = mpsc::channel();
            batches.push(sender);
            let (wire, session, done) = (env.client(decision), &session, done.clone());
            scope.spawn(move || decider(wire, session, decision, &receiver, &done))
        });
        for round in 0..races().div_ceil(BATCH) {
            let go = env.path(&format!("go-{round}"));
            let mut script: Vec<String> =
                (0..BATCH).map(|n| format!("ask_nowait r{round}n{n} question {round} {n}")).collect();
            script.push(format!("sleep_until {go}"));
            ada.prompt(&session, &script.join("\n"));
            let batch: Vec<Value> = (0..BATCH).map(|_| ada.permission(&session)).collect();
            for (n, permission) in batch.iter().enumerate() {
                let id = permission["permission_id"].as_str().expect("a question has an id").to_owned();
                commands.insert(id, format!("ask-r{round}n{n}"));
            }
            batches.iter().for_each(|sender| sender.send(batch.clone()).expect("a decider waits"));
            for _ in 0..BATCH {
                ada.fact(&session, "permission_resolved");
            }
            // The later of two answers is told who was first only as long as that is remembered.
            for _ in &batches {
                answered.recv_timeout(PATIENCE).expect("a decider goes on");
            }
            std::fs::write(go, "").expect("a file can be made");
            ada.fact(&session, "turn_ended");
            ada.clear_inbox();
        }
        drop(batches);
        let [allowed, denied] = deciders.map(|decider| decider.join().expect("a decider does not panic"));
        (allowed, denied)
    });
    // What the agent was told, by its own number of the question. It does not wait for answers, so it may end first.
    let told = || {
        let mut told: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for entry in env.heard().iter().filter(|entry| entry.kind == "in") {
            let Ok(line) = serde_json::from_str::<Value>(&entry.line) else { return None };
            if let (Some(id), Some(result)) = (line["id"].as_str(), line.get("result")) {
                told.entry(id.to_owned()).or_default().push(result["outcome"]["optionId"].clone());
            }
        }
        commands.iter().all(|(_, id)| told.contains_key(id)).then_some(told)
    };
    let told = eventually("the agent has heard all answers", told);
    let mut wins = [0, 0];
    for (permission, id) in &commands {
        let answers = [&allowed[permission], &denied[permission]];
        let winners: Vec<usize> = (0..2).filter(|n| answers[*n]["type"] == "ok").collect();
        let &[winner] = winners.as_slice() else { panic!("{id}: {answers:?}") };
        assert_eq!(answers[1 - winner]["code"], "ALREADY_DECIDED", "{id}");
        assert_eq!(told[id], [json!(["allow", "reject"][winner])], "{id}: the agent hears the winner, once");
        wins[winner] += 1;
    }
    assert!(wins[0] > 0 && wins[1] > 0, "it was no race: {wins:?}");
    oracle::check(&env);
}

#[test]
fn fault_66_the_same_key_at_once_and_after_a_crash_is_one_prompt() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    let input = json!({"session_id": session, "content": "say once", "idempotency_key": "the-key"});
    let seqs = |env: &TestEnv| -> Vec<Value> {
        std::thread::scope(|scope| {
            let asked: Vec<_> = (0..16)
                .map(|n| {
                    let (mut wire, input) = (env.client(&format!("c{n}")), input.clone());
                    scope.spawn(move || wire.ok("input", input)["seq"].take())
                })
                .collect();
            asked.into_iter().map(|asked| asked.join().expect("a client does not panic")).collect()
        })
    };
    let mut all = seqs(&env);
    ada.fact(&session, "turn_ended");
    env.daemon().kill9();
    env.daemon();
    all.extend(seqs(&env));
    assert!(all.iter().all(|seq| *seq == all[0]), "{all:?}");
    let prompts = env.heard().iter().filter(|entry| entry.line.contains("session/prompt")).count();
    assert_eq!(prompts, 1);
    oracle::check(&env);
}

#[test]
fn fault_66_the_same_key_at_once_and_after_a_crash_is_one_session() {
    let env = TestEnv::started();
    let create = json!({
        "agent": "fake", "cwd": env.work(), "env": env.client_env(), "idempotency_key": "the-key", "prompt": "say once",
    });
    let ids = |env: &TestEnv| -> Vec<Value> {
        std::thread::scope(|scope| {
            let asked: Vec<_> = (0..16)
                .map(|n| {
                    let (mut wire, create) = (env.client(&format!("c{n}")), create.clone());
                    scope.spawn(move || {
                        let answer = wire.ok("create_session", create);
                        json!([answer["session"]["id"], answer["input_seq"]])
                    })
                })
                .collect();
            asked.into_iter().map(|asked| asked.join().expect("a client does not panic")).collect()
        })
    };
    let mut all = ids(&env);
    env.daemon().kill9();
    env.daemon();
    all.extend(ids(&env));
    assert!(all.iter().all(|id| *id == all[0]), "{all:?}");
    let mut ada = env.client("ada");
    assert_eq!(ada.ok("list_sessions", json!({}))["sessions"].as_array().map(Vec::len), Some(1));
    let session = all[0][0].as_str().expect("a session has an id").to_owned();
    ada.subscribe(&session, 0, "viewer");
    ada.fact(&session, "turn_ended");
    let prompts = env.heard().iter().filter(|entry| entry.line.contains("session/prompt")).count();
    assert_eq!(prompts, 1);
}
