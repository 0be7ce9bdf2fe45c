//! F13: how fast everything is searched, how fast the index is built, and what that costs those who work meanwhile.
//!
//! The store is written by the benchmark itself: sessions of turns as agents have them, of words that are as unlike each
//! other in number as those of a language. One session is lived through the real programs, and its state is the others'.

use super::{
    Plan, latency,
    report::{Goal, Report, quantile},
    stage,
};
use rusqlite::{Connection, params};
use serde_json::{Value, json};
use std::{fs, time::Instant};
use vibes_tests::{TestEnv, Wire, dice::Dice};

/// How many records a session has.
const EACH: u64 = 1_000;
/// How many of them a turn has.
const TURN: u64 = 100;
/// How many words there are.
const WORDS: u64 = 50_000;
/// How often each kind of question is asked.
const ASKED: usize = 60;
/// How long a search may take.
const FAST: f64 = 50.0;
/// What may happen to the latency of an update while the index is built.
const SLOWER: f64 = 1.5;

/// Takes the figure: a million records, or ten times what F3 stores.
pub fn measure(plan: &Plan, report: &mut Report) {
    let sessions = (plan.records * 10 / EACH).max(1);
    let env = stage::empty();
    env.daemon();
    let mut control = env.client("bench");
    let session = stage::filled(&env, &mut control, 1);
    control.ok("finish_session", json!({"session_id": session}));
    drop(control);
    env.vibes(&["daemon", "stop"]).ok();
    let words: Vec<String> = (0..WORDS).map(word).collect();
    fill(&env, &session, sessions, &words);
    env.daemon();
    let quiet = until_indexed(&env, report, sessions * EACH);
    let mut control = env.client("bench");
    let mut dice = Dice::new(7);
    let mut all = Vec::new();
    for (name, question) in QUESTIONS {
        let took: Vec<f64> = (0..ASKED).map(|_| ask(&mut control, question(&mut dice, &words))).collect();
        let goal = Goal::AtMost(FAST);
        report.figure(&format!("F13.{name}.p50"), "ms", &[quantile(&took, 0.5)], None, goal);
        all.extend(took);
    }
    report.figure("F13.search.p50", "ms", &[quantile(&all, 0.5)], None, Goal::AtMost(FAST));
    report.figure("F13.search.p99", "ms", &[quantile(&all, 0.99)], None, Goal::None);
    drop(control);
    // The same updates while all of it is made anew.
    env.vibes(&["search", "--rebuild"]).ok();
    let building = latency::through(&env);
    let answer = env.client("bench").ok("search", json!({"query": "x"}));
    assert!(answer["behind"].as_u64() > Some(0), "it is built meanwhile: {answer}");
    let base = [quantile(&quiet, 0.5)];
    let against = Some(("nothing to index", &base[..]));
    let took = [quantile(&building, 0.5)];
    report.figure("F13.latency.building.p50", "ms", &took, against, Goal::RatioAtMost(SLOWER));
    env.vibes(&["daemon", "stop"]).ok();
}

/// Waits for the index, and tells what that took; gives the latency of updates afterwards.
fn until_indexed(env: &TestEnv, report: &mut Report, records: u64) -> Vec<f64> {
    let began = Instant::now();
    let mut control = env.client("bench").patient(std::time::Duration::from_secs(120));
    let indexed = loop {
        let answer = control.ok("search", json!({"query": "x", "wait_ms": 60_000}));
        if answer["behind"] == 0 && answer["indexed"].as_u64() >= Some(records) {
            break answer["indexed"].as_u64().unwrap_or(0);
        }
        assert!(began.elapsed().as_secs() < 600, "the index is not built: {answer}");
    };
    let rate = indexed as f64 / began.elapsed().as_secs_f64();
    report.figure("F13.build", "records/s", &[rate], None, Goal::None);
    let size =
        |path: std::path::PathBuf| fs::metadata(path).map_or(0.0, |file| file.len() as f64 / 1_048_576.0);
    let store = [size(env.state().store())];
    let against = Some(("the store", &store[..]));
    report.figure("F13.index", "MiB", &[size(env.state().search())], against, Goal::None);
    latency::through(env)
}

/// A question: of which kind, and one of them.
type Question = (&'static str, fn(&mut Dice, &[String]) -> Value);

const QUESTIONS: [Question; 7] = [
    ("rare", |dice, words| json!({"query": words[(1_000 + dice.roll(WORDS - 1_000)) as usize]})),
    (
        "two",
        |dice, words| json!({"query": format!("{} {}", words[dice.roll(200) as usize], words[(200 + dice.roll(5_000)) as usize])}),
    ),
    ("common", |dice, words| json!({"query": words[dice.roll(20) as usize]})),
    (
        "phrase",
        |dice, words| json!({"query": format!("\"{} {}\"", words[dice.roll(50) as usize], words[dice.roll(50) as usize])}),
    ),
    ("prefix", |dice, words| {
        let word = &words[dice.roll(WORDS) as usize];
        json!({"query": format!("output:{}*", &word[..word.len() - 1])})
    }),
    (
        "filter",
        |dice, words| json!({"query": format!("{} dir:/w/place{}", words[dice.roll(500) as usize], dice.roll(20))}),
    ),
    ("rank", |dice, words| {
        let order = "rank";
        json!({"query": words[(500 + dice.roll(WORDS - 500)) as usize], "order": order})
    }),
];

fn ask(control: &mut Wire, fields: Value) -> f64 {
    let began = Instant::now();
    control.ok("search", fields);
    began.elapsed().as_secs_f64() * 1e3
}

/// A word like no other, of syllables.
fn word(number: u64) -> String {
    const SYLLABLES: [&str; 16] =
        ["ba", "ce", "di", "fo", "gu", "ha", "je", "ki", "lo", "mu", "na", "pe", "ri", "so", "tu", "wa"];
    let mut word = String::new();
    let mut rest = number + 16;
    while rest > 0 {
        word.push_str(SYLLABLES[(rest % 16) as usize]);
        rest /= 16;
    }
    word
}

/// So many words, most of them common ones.
fn text(dice: &mut Dice, words: &[String], count: u64) -> String {
    let mut text = String::new();
    for _ in 0..count {
        // The less likely, the rarer it is: evenly spread over the magnitudes.
        let magnitude = 1 << dice.roll(17);
        text.push_str(&words[(dice.roll(magnitude) as usize).min(words.len() - 1)]);
        text.push(' ');
    }
    text
}

/// The facts of one session.
fn facts(dice: &mut Dice, words: &[String], place: u64) -> Vec<Value> {
    let update = |update: Value| json!({"kind": "update", "update": update});
    let say = |kind: &str, text: String| {
        update(json!({"sessionUpdate": kind, "content": {"type": "text", "text": text}}))
    };
    let mut facts = vec![json!({"kind": "created", "agent": "bench", "cwd": format!("/w/place{place}")})];
    let mut turn = 0;
    while (facts.len() as u64) < EACH {
        turn += 1;
        let input = facts.len() as u64 + 1;
        let by = json!({"client_id": "3ce46d0d-ca77-4aef-a795-96896c482e99"});
        let prompt = text(dice, words, 30);
        facts.push(json!({"kind": "input", "content": [{"type": "text", "text": prompt}], "by": by}));
        facts.push(json!({"kind": "turn_started", "turn": turn, "input_seq": input}));
        for n in 0..TURN - 3 {
            let id = format!("call-{turn}-{}", n / 10);
            facts.push(match n % 10 {
                0 => say("agent_thought_chunk", text(dice, words, 20)),
                1 => update(json!({
                    "sessionUpdate": "tool_call", "toolCallId": id, "title": text(dice, words, 4), "kind": "execute",
                    "rawInput": {"command": text(dice, words, 6)}, "locations": [{"path": format!("/w/src/{}.rs", words[dice.roll(9_000) as usize])}],
                })),
                2 => update(json!({
                    "sessionUpdate": "tool_call_update", "toolCallId": id, "status": "completed",
                    "content": [{"type": "content", "content": {"type": "text", "text": text(dice, words, 120)}}],
                })),
                _ => say("agent_message_chunk", text(dice, words, 8)),
            });
        }
        facts.push(
            json!({"kind": "turn_ended", "turn": turn, "outcome": "finished", "stop_reason": "end_turn"}),
        );
    }
    facts.truncate(EACH as usize);
    facts
}

/// Writes sessions like this one into the store.
fn fill(env: &TestEnv, session: &str, sessions: u64, words: &[String]) {
    let mut store = Connection::open(env.state().store()).expect("the store can be opened");
    let tx = store.transaction().expect("nobody else writes");
    let (no, body) = stage::stored(&tx, session);
    let mut dice = Dice::new(1);
    for n in 0..sessions {
        let id = uuid::Uuid::new_v4().to_string();
        tx.execute(
            "INSERT INTO session (id, head, generation, spool, last_ms, body, rest)
             SELECT ?1, ?2, generation, spool, last_ms, ?3, rest FROM session WHERE no = ?4",
            params![id, EACH as i64, body.replace(session, &id), no],
        )
        .expect("a session can be written");
        let copy = tx.last_insert_rowid();
        for (at, facts) in facts(&mut dice, words, n % 20).chunks(TURN as usize).enumerate() {
            let mut group = Vec::new();
            let first = at as i64 * TURN as i64 + 1;
            for (fact, seq) in facts.iter().zip(first..) {
                let fact = fact.to_string();
                let at_ms = 1_795_000_000_000 + n as i64 * 60_000 + seq * 40;
                group.extend((fact.len() as u32).to_le_bytes());
                group.extend(at_ms.to_le_bytes());
                group.extend(fact.as_bytes());
            }
            let packed = zstd::bulk::compress(&group, 3).expect("it can be compressed");
            tx.execute(
                "INSERT INTO records (session, first, last, epoch, packed, body) VALUES (?1, ?2, ?3, 1, 1, ?4)",
                params![copy, first, first + facts.len() as i64 - 1, packed],
            )
            .expect("records can be written");
        }
    }
    tx.commit().expect("the sessions can be written");
}
