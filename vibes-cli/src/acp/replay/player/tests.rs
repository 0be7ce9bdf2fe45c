//! What is played, in which order, and when.

use super::*;
use vibes_protocol::model::Permission;

fn timed(at_ms: i64, step: Step) -> Timed {
    Timed { at_ms, step }
}

fn say(at_ms: i64, text: &str) -> Timed {
    timed(at_ms, Step::Say(json!({"text": text})))
}

fn ended(fields: Value) -> TurnEnded {
    let mut value = json!({"turn": 1, "outcome": "finished", "stop_reason": "end_turn"});
    value.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    serde_json::from_value(value).unwrap()
}

fn ask(at_ms: i64) -> Timed {
    let permission: Permission = serde_json::from_value(json!({
        "permission_id": "p", "hash": "h", "tool": "execute", "raw_input": {}, "cwd": "/",
        "options": [{"option_id": "y", "kind": "allow_once", "name": "Yes"}]}))
    .unwrap();
    timed(at_ms, Step::Ask(Box::new(permission)))
}

fn recording(steps: Vec<Timed>) -> Recording {
    let end = Some((ended(json!({})), 5_000));
    let turn = Turn { prompt: Vec::new(), began_ms: 1_000, steps, end, after: vec![say(9_000, "after")] };
    Recording {
        session: "3fa9c1d2-0000-4000-8000-000000000000".parse().unwrap(),
        before: vec![say(0, "before")],
        turns: vec![turn],
    }
}

/// Plays at a moment; returns what came out, in short, and when there is more.
fn play(
    player: &mut Player,
    recording: &Recording,
    speed: Option<f64>,
    now: Instant,
) -> (Vec<String>, Option<Instant>) {
    let (mut out, mut last_request) = (Vec::new(), 0);
    let next = player.play(now, &mut Cx { recording, speed, last_request: &mut last_request, out: &mut out });
    let short = |message: &Value| match message["method"].as_str() {
        Some("session/update") => message["params"]["update"]["text"].as_str().unwrap().to_owned(),
        Some(method) => method.to_owned(),
        None => message["result"]["stopReason"].as_str().unwrap_or("error").to_owned(),
    };
    (out.iter().map(short).collect(), next)
}

#[test]
fn a_prompt_gets_its_turn_and_the_recording_has_an_end() {
    let recording = recording(vec![say(2_000, "a"), say(3_000, "b")]);
    let (mut player, now) = (Player::new("s".to_owned()), Instant::now());
    assert_eq!(play(&mut player, &recording, None, now), (vec!["before".to_owned()], None));
    player.begin(json!(1), &recording).unwrap();
    assert!(player.begin(json!(2), &recording).is_err(), "one turn at a time");
    assert_eq!(play(&mut player, &recording, None, now).0, ["a", "b", "end_turn", "after"]);
    assert!(player.begin(json!(3), &recording).unwrap_err().message.contains("1 turns"));
}

#[test]
fn a_question_holds_the_turn_until_it_is_answered() {
    let answered = timed(3_000, Step::Answered("p".to_owned()));
    let recording = recording(vec![ask(2_000), say(2_100, "meanwhile"), answered, say(3_100, "then")]);
    let (mut player, now) = (Player::new("s".to_owned()), Instant::now());
    player.begin(json!(1), &recording).unwrap();
    assert_eq!(
        play(&mut player, &recording, None, now),
        (vec!["session/request_permission".to_owned(), "meanwhile".to_owned()], None)
    );
    assert!(player.asked(&json!(1)) && !player.asked(&json!(2)));
    player.answered(&json!(1));
    assert_eq!(play(&mut player, &recording, None, now).0, ["then", "end_turn", "after"]);
}

#[test]
fn a_question_that_was_taken_back_is_taken_back() {
    let recording =
        recording(vec![ask(2_000), timed(2_500, Step::TakeBack("p".to_owned())), say(3_000, "on")]);
    let (mut player, now) = (Player::new("s".to_owned()), Instant::now());
    player.begin(json!(1), &recording).unwrap();
    let (played, _) = play(&mut player, &recording, None, now);
    assert_eq!(played, ["session/request_permission", "$/cancel_request", "on", "end_turn", "after"]);
}

#[test]
fn a_cancel_leaves_the_rest_unplayed() {
    let recording = recording(vec![say(2_000, "a"), say(60_000, "b")]);
    let (mut player, now) = (Player::new("s".to_owned()), Instant::now());
    player.begin(json!(1), &recording).unwrap();
    let second = Duration::from_secs(1);
    assert_eq!(play(&mut player, &recording, Some(1.0), now + second).0, Vec::<String>::new());
    assert_eq!(play(&mut player, &recording, Some(1.0), now + 2 * second).0, ["a"]);
    assert_eq!(player.cancel().unwrap()["result"]["stopReason"], "cancelled");
    assert_eq!(player.cancel(), None);
    assert_eq!(play(&mut player, &recording, Some(1.0), now + 900 * second), (Vec::new(), None));
}

#[test]
fn pauses_are_those_of_the_recording_divided_by_the_speed() {
    let recording = recording(vec![say(2_000, "a"), say(2_500, "b")]);
    for speed in [1.0, 2.0, 0.5] {
        let (mut player, now) = (Player::new("s".to_owned()), Instant::now());
        let after = |ms: f64| now + Duration::from_secs_f64(ms / 1000.0 / speed);
        player.begin(json!(1), &recording).unwrap();
        assert_eq!(play(&mut player, &recording, Some(speed), now), (Vec::new(), Some(after(1_000.0))));
        // However late it wakes, what follows keeps its distance from the beginning.
        let (played, next) = play(&mut player, &recording, Some(speed), after(1_100.0));
        assert_eq!((played, next), (vec!["a".to_owned()], Some(after(1_500.0))));
        assert_eq!(play(&mut player, &recording, Some(speed), after(4_000.0)).0, ["b", "end_turn"]);
    }
}

#[test]
fn ends_are_said_so_that_they_are_recorded_as_they_were() {
    let told = outcome(&ended(json!({"stop_reason": "max_tokens", "exit_code": 3}))).unwrap();
    assert_eq!(
        (&told["stopReason"], &told["_meta"]["vibes"]["exit_code"]),
        (&json!("max_tokens"), &json!(3))
    );
    let failed = |error: &str| {
        outcome(&ended(json!({"outcome": "failed", "stop_reason": "error", "error": error}))).unwrap_err()
    };
    assert_eq!(
        (failed("no (credit) (code -32001)").code, failed("no (credit) (code -32001)").message.as_str()),
        (-32001, "no (credit)")
    );
    assert_eq!((failed("words").code, failed("words").message.as_str()), (-32603, "words"));
    assert!(outcome(&ended(json!({"outcome": "unknown"}))).unwrap_err().message.contains("lost"));
}
