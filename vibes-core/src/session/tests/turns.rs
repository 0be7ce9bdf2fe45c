//! From the start of an agent to the end of its turns: the queue, interruptions, crashes, losses.

use super::case::*;
use crate::{
    agent::acp::HUSH_MS,
    session::{
        event::{Command, Event, QueueChange, Reply},
        state::MAX_QUEUED,
    },
};
use serde_json::json;
use vibes_protocol::model::{ErrorCode, Link, SessionState::*, SuspendReason};
use vibes_runner::wire::{Exit, Refusal};

#[test]
fn a_session_starts_gets_ready_works_and_rests() {
    let mut case = Case::starting();
    assert_eq!(case.kinds(), ["created", "agent_started"]);
    assert_eq!(case.effects(), ["Start", "Created"]);
    case.stands(Starting);
    assert_eq!(case.last("initialize"), Some(1));

    let ready = case.ask(ANN, Command::WaitReady);
    case.feed(Event::Up(&standing(false, 0)));
    assert_eq!(case.effects(), ["Go"]);
    case.feed(Event::CaughtUp);
    assert_eq!(case.state.link, Link::Live);
    assert!(case.reply(ready).is_none());
    case.open();
    assert_eq!(case.kinds(), ["agent_ready", "state_changed"]);
    assert_eq!(case.fact("agent_ready")["how"], "new");
    assert!(matches!(case.reply(ready), Some(Ok(Reply::Ok))));
    case.stands(Idle);

    let Reply::Accepted(seq) = case.ok(ANN, input("hello")) else { panic!() };
    assert_eq!(case.kinds(), ["input", "turn_started", "state_changed"]);
    assert_eq!(case.facts[seq as usize - 1]["kind"], "input");
    assert_eq!(case.fact("turn_started")["input_seq"], seq);
    assert!(case.fact("input").get("queued").is_none());
    case.stands(Processing);

    case.say(json!({"jsonrpc": "2.0", "method": "session/update", "params": {"sessionId": "s", "update":
        {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": "hi"}}}}));
    assert_eq!(case.kinds(), ["update"]);
    assert!(case.state.preview.ends_with("hi"), "{}", case.state.preview);
    case.end_turn("end_turn");
    assert_eq!(case.kinds(), ["turn_ended", "state_changed"]);
    assert_eq!(case.fact("turn_ended")["outcome"], "finished");
    assert_eq!(case.effects().last().map(String::as_str), Some("Pack"));
    case.stands(Idle);
}

#[test]
fn a_runner_that_goes_already_is_not_told_to_go_again() {
    let mut case = Case::starting();
    case.effects();
    case.feed(Event::Up(&standing(true, 0)));
    assert_eq!(case.effects(), [""; 0]);
}

#[test]
fn a_prompt_before_the_agent_is_ready_waits_for_it() {
    let mut case = Case::starting();
    case.ok(ANN, input("early"));
    assert_eq!(case.kinds(), ["input"]);
    case.live();
    case.open();
    assert_eq!(case.kinds(), ["agent_ready", "state_changed", "turn_started", "state_changed"]);
    case.stands(Processing);
}

#[test]
fn prompts_wait_their_turn_in_the_order_they_came() {
    let mut case = Case::processing();
    let seqs: Vec<u64> = (0..3)
        .map(|n| {
            let Reply::Accepted(seq) = case.ok(if n == 1 { BEN } else { ANN }, input(&n.to_string())) else {
                panic!()
            };
            assert_eq!(case.fact("input")["queued"], true);
            seq
        })
        .collect();
    for seq in seqs {
        case.end_turn("end_turn");
        assert_eq!(case.fact("turn_started")["input_seq"], seq);
        case.stands(Processing);
    }
    case.end_turn("end_turn");
    case.stands(Idle);
}

#[test]
fn the_thirty_third_waiting_prompt_is_refused_as_busy() {
    let mut case = Case::processing();
    for n in 0..MAX_QUEUED {
        case.ok(ANN, input(&n.to_string()));
    }
    assert_eq!(case.refused(ANN, input("one more")), ErrorCode::Busy);
    assert_eq!(case.refused(ANN, input_now("nor now")), ErrorCode::Busy);
    case.end_turn("end_turn");
    case.ok(ANN, input("one more"));
}

#[test]
fn a_prompt_now_interrupts_and_goes_before_those_that_wait() {
    let mut case = Case::processing();
    case.ok(ANN, input("waits"));
    let Reply::Accepted(urgent) = case.ok(BEN, input_now("urgent")) else { panic!() };
    assert!(case.last("session/cancel").is_some());
    case.end_turn("cancelled");
    assert_eq!(case.fact("turn_ended")["outcome"], "interrupted");
    assert_eq!(case.fact("turn_started")["input_seq"], urgent);
    // Without a turn, now is a prompt like any other.
    let mut case = Case::idle();
    case.ok(ANN, input_now("x"));
    assert!(case.last("session/cancel").is_none());
    case.stands(Processing);
}

fn queued(seq: u64, change: QueueChange) -> Command {
    Command::Queued(seq, change)
}

#[test]
fn a_prompt_that_waits_can_be_changed_moved_and_removed() {
    let mut case = Case::processing();
    let mut send = |words: &str| match case.ok(ANN, input(words)) {
        Reply::Accepted(seq) => seq,
        other => panic!("{other:?}"),
    };
    let [a, b, c] = ["a", "b", "c"].map(&mut send);
    let order = |case: &Case| case.state.body.queue.iter().map(|prompt| prompt.input_seq).collect::<Vec<_>>();

    case.ok(BEN, queued(c, QueueChange::Move(1)));
    assert_eq!((order(&case), case.kinds()), (vec![c, a, b], vec!["input_moved"]));
    assert_eq!(case.fact("input_moved")["place"], 1);
    case.ok(BEN, queued(c, QueueChange::Move(99)));
    assert_eq!((order(&case), &case.fact("input_moved")["place"]), (vec![a, b, c], &json!(3)));
    case.kinds();
    case.ok(BEN, queued(c, QueueChange::Move(3)));
    assert_eq!(case.kinds(), [""; 0], "it is there already");

    case.ok(ANN, queued(a, QueueChange::Edit(vec![json!({"type": "text", "text": "better"})])));
    assert_eq!(case.fact("input_edited")["by"]["label"], case.fact("input")["by"]["label"]);
    assert_eq!(case.refused(ANN, queued(a, QueueChange::Edit(Vec::new()))), ErrorCode::BadRequest);
    case.ok(BEN, queued(b, QueueChange::Remove));
    assert_eq!(case.fact("input_dropped")["input_seq"], b);
    assert_eq!(case.refused(BEN, queued(b, QueueChange::Remove)), ErrorCode::InvalidState);

    case.end_turn("end_turn");
    assert_eq!(case.fact("turn_started")["input_seq"], a);
    assert!(
        case.sent
            .iter()
            .rev()
            .find(|sent| sent.line["method"] == "session/prompt")
            .is_some_and(|sent| sent.line.to_string().contains("better"))
    );
    assert_eq!(case.refused(ANN, queued(a, QueueChange::Remove)), ErrorCode::InvalidState, "it runs");
    case.end_turn("end_turn");
    assert_eq!(case.fact("turn_started")["input_seq"], c);
}

#[test]
fn an_empty_prompt_is_refused() {
    let mut case = Case::idle();
    assert_eq!(
        case.refused(ANN, Command::Input { content: Vec::new(), key: None, now: false }),
        ErrorCode::BadRequest
    );
}

#[test]
fn an_interrupted_turn_ends_as_such_whatever_the_agent_says_and_the_queue_stays() {
    for (method, outcome) in [("end_turn", "interrupted"), ("cancelled", "interrupted"), ("!", "interrupted")]
    {
        let mut case = Case::processing();
        case.ok(BEN, input("next"));
        case.ok(BEN, Command::Interrupt { turn: None });
        assert!(case.last("session/cancel").is_some());
        if method == "!" {
            case.error("session/prompt", "cancelled")
        } else {
            case.end_turn(method)
        }
        assert_eq!(case.fact("turn_ended")["outcome"], outcome);
        case.stands(Processing);
        assert_eq!(case.state.body.turns, 2);
    }
    assert_eq!(Case::idle().refused(ANN, Command::Interrupt { turn: None }), ErrorCode::InvalidState);
}

#[test]
fn who_interrupts_a_turn_by_its_number_never_meets_the_next_one() {
    let mut case = Case::processing();
    case.ok(BEN, input("next"));
    assert_eq!(case.refused(BEN, Command::Interrupt { turn: Some(2) }), ErrorCode::InvalidState);
    case.ok(BEN, Command::Interrupt { turn: Some(1) });
    assert!(case.last("session/cancel").is_some());
    case.end_turn("cancelled");
    case.stands(Processing);
    // The same again, as who lost the answer says it.
    case.ok(BEN, Command::Interrupt { turn: Some(1) });
    case.end_turn("end_turn");
    assert_eq!(case.fact("turn_ended")["outcome"], "finished");
    case.ok(BEN, Command::Interrupt { turn: Some(2) });
    assert_eq!(case.refused(BEN, Command::Interrupt { turn: None }), ErrorCode::InvalidState);
}

#[test]
fn a_turn_the_agent_fails_is_failed_and_the_next_one_begins() {
    let mut case = Case::processing();
    case.ok(ANN, input("next"));
    case.error("session/prompt", "model overloaded");
    assert_eq!(case.facts.iter().rev().find(|f| f["kind"] == "turn_ended").unwrap()["outcome"], "failed");
    assert!(case.fact("turn_ended")["error"].as_str().unwrap().contains("model overloaded"));
    case.stands(Processing);
}

#[test]
fn an_idempotency_key_gives_the_same_record_and_no_second_prompt() {
    let mut case = Case::processing();
    let Reply::Accepted(first) = case.ok(ANN, keyed("x", "k")) else { panic!() };
    let Reply::Accepted(again) = case.ok(BEN, keyed("x", "k")) else { panic!() };
    assert_eq!((first, case.kinds()), (again, vec![]));
    assert_eq!(case.state.body.queue.len(), 1);
    // Even when the session has ended meanwhile.
    case.ask(ANN, Command::Kill);
    case.exit(0);
    case.stands(Killed);
    let Reply::Accepted(late) = case.ok(ANN, keyed("x", "k")) else { panic!() };
    assert_eq!(late, first);
}

#[test]
fn keys_are_forgotten_after_seven_days() {
    let mut case = Case::idle();
    case.ok(ANN, keyed("x", "old"));
    case.now += crate::session::state::KEY_LIFE_MS;
    case.ok(ANN, keyed("y", "new"));
    assert_eq!(case.state.keys.keys().collect::<Vec<_>>(), ["new"]);
}

#[test]
fn once_finishes_after_the_first_turn_but_not_before_what_waits() {
    let mut case = Case::idle_with(crate::session::event::Plan { once: true, ..plan() });
    case.ok(ANN, input("1"));
    case.ok(ANN, input("2"));
    case.end_turn("end_turn");
    case.stands(Processing);
    case.effects();
    case.end_turn("end_turn");
    assert_eq!(case.effects(), ["Pack", "Stop"]);
    case.exit(0);
    case.stands(Finished);
    // Resumed on purpose, it stays.
    case.ok(ANN, Command::Resume { context: None });
    case.live();
    case.open();
    case.ok(ANN, input("3"));
    case.end_turn("end_turn");
    assert!(case.state.body.stopping.is_none());
    case.stands(Idle);
}

#[test]
fn fault_07_a_crash_in_a_turn_fails_the_turn_and_starts_the_agent_at_most_three_times_a_minute() {
    let mut case = Case::idle();
    for crash in 1..=3 {
        case.ok(ANN, input("x"));
        case.exit(1);
        assert_eq!(case.fact("turn_ended")["outcome"], "failed");
        assert_eq!(case.fact("agent_stderr")["text"], "boom");
        case.stands(Starting);
        assert_eq!(case.effects(), if crash == 0 { vec![] } else { vec!["Forget", "Start"] });
        case.live();
        case.open();
        assert_eq!(case.count("turn_started"), crash, "a prompt is never sent again by itself");
        case.effects();
    }
    case.ok(ANN, input("x"));
    case.exit(1);
    case.stands(Failed);
    assert!(case.fact("state_changed")["reason"].as_str().unwrap().contains("code 1: boom"));

    // A minute later the count begins anew.
    let mut case = Case::idle();
    for _ in 0..6 {
        case.exit(1);
        case.stands(Starting);
        case.live();
        case.open();
        case.now += 20_001;
    }
}

#[test]
fn an_agent_started_again_takes_up_its_conversation() {
    let mut case = Case::processing();
    case.exit(1);
    case.live();
    case.open();
    assert_eq!(case.fact("agent_ready")["how"], "load");
    assert!(case.fact("agent_ready").get("context_lost").is_none());
    // History told again is not recorded again; a new prompt's words are.
    let chunk = json!({"jsonrpc": "2.0", "method": "session/update", "params": {"sessionId": "s", "update":
        {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": "hi"}}}});
    case.say(chunk.clone());
    assert_eq!(case.kinds(), [""; 0]);
    case.ok(ANN, input("go on"));
    case.say(chunk);
    assert_eq!(case.kinds(), ["update"]);
}

#[test]
fn history_that_is_told_after_the_agent_said_it_was_through_is_history_all_the_same() {
    let chunk = json!({"jsonrpc": "2.0", "method": "session/update", "params": {"sessionId": "s", "update":
        {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": "hi"}}}});
    let mut case = Case::processing();
    case.exit(1);
    case.live();
    case.ok(ANN, input("go on"));
    case.result("initialize", json!({"protocolVersion": 1, "agentCapabilities": {"loadSession": true}}));
    case.result("session/load", json!({}));
    // It tells on and on, never silent for long.
    for _ in 0..3 {
        case.tick(case.now + HUSH_MS - 1);
        case.say(chunk.clone());
        assert_eq!(case.kinds(), [""; 0]);
    }
    // The next daemon takes over late, and finds more of it in the spool.
    case.feed(Event::Restored);
    case.tick(case.now + 10 * HUSH_MS);
    case.say(chunk.clone());
    case.feed(Event::CaughtUp);
    assert_eq!(case.kinds(), [""; 0]);
    assert!(case.last("session/prompt").is_none(), "the prompt waits for the end of the history");
    case.tick(case.state.next_deadline_ms().expect("it is waited for"));
    assert_eq!(case.kinds(), ["agent_ready", "state_changed", "turn_started", "state_changed"]);
    case.say(chunk);
    assert_eq!(case.kinds(), ["update"]);
}

#[test]
fn how_things_stand_is_news_during_a_history_and_does_not_put_its_end_off() {
    let mut case = Case::processing();
    case.exit(1);
    case.live();
    case.result("initialize", json!({"protocolVersion": 1, "agentCapabilities": {"loadSession": true}}));
    case.result("session/load", json!({}));
    let told = case.state.next_deadline_ms().expect("it is waited for");
    case.tick(told - 1);
    case.say(json!({"jsonrpc": "2.0", "method": "session/update", "params": {"sessionId": "s", "update":
        {"sessionUpdate": "available_commands_update", "availableCommands": []}}}));
    assert_eq!(case.kinds(), ["update"]);
    case.tick(told);
    case.stands(Idle);
    assert_eq!(case.state.next_deadline_ms(), None);
}

#[test]
fn an_agent_that_lost_its_memory_says_so() {
    let mut case = Case::processing();
    case.exit(1);
    case.live();
    case.result("initialize", json!({"protocolVersion": 1}));
    case.result("session/new", json!({"sessionId": "other"}));
    assert_eq!(case.fact("agent_ready")["context_lost"], true);
}

#[test]
fn a_clean_exit_while_idle_suspends_and_input_goes_on() {
    let mut case = Case::idle();
    case.exit(0);
    case.stands(Suspended);
    assert_eq!(case.state.body.suspended, Some(SuspendReason::Idle));
    assert_eq!(case.state.info().reason.as_deref(), Some("idle"));
    case.ok(ANN, input("again"));
    case.stands(Starting);
    case.live();
    case.open();
    case.stands(Processing);
}

#[test]
fn fault_07_a_clean_exit_in_the_middle_of_a_turn_is_a_crash() {
    let mut case = Case::processing();
    case.exit(0);
    assert_eq!(case.fact("turn_ended")["outcome"], "failed");
    case.stands(Starting);
}

#[test]
fn a_turn_lost_with_its_runner_is_unknown_and_not_sent_again() {
    let mut case = Case::processing();
    let last = case.state.body.last_frame;
    case.gone(lost(last));
    assert_eq!(case.fact("turn_ended")["outcome"], "unknown");
    case.stands(Suspended);
    assert_eq!(case.state.body.suspended, Some(SuspendReason::Restart));
    assert_eq!(case.state.link, Link::Lost);
    assert!(case.state.body.queue.is_empty());
    case.ok(ANN, Command::Resume { context: None });
    case.live();
    case.open();
    case.stands(Idle);
    assert_eq!(case.count("turn_started"), 1);
}

#[test]
fn a_prompt_the_runner_never_logged_goes_back_to_the_queue_and_says_so() {
    for seen in [true, false] {
        let mut case = Case::processing();
        let Reply::Accepted(behind) = case.ok(ANN, input("behind")) else { panic!() };
        let before = case.last("session/prompt").unwrap() - 1;
        case.gone(if seen { exited(1, before) } else { lost(before) });
        let prompt = case.fact("turn_started")["input_seq"].clone();
        assert_eq!(case.fact("not_delivered")["input_seq"], prompt);
        assert_eq!(case.fact("turn_ended")["stop_reason"], "not_delivered");
        let waiting: Vec<u64> = case.state.body.queue.iter().map(|queued| queued.input_seq).collect();
        assert_eq!(waiting, [prompt.as_u64().unwrap(), behind], "before what came later");
        if !seen {
            case.stands(Suspended);
            case.ok(ANN, Command::Resume { context: None });
        }
        case.live();
        case.open();
        assert_eq!(case.fact("turn_started")["input_seq"], prompt);
        assert_eq!(case.fact("turn_started")["turn"], 2);
    }
}

#[test]
fn a_runner_lost_before_the_agent_heard_a_word_is_started_again() {
    let mut case = Case::starting();
    let ready = case.ask(ANN, Command::WaitReady);
    case.effects();
    case.gone(lost(0));
    assert_eq!(case.effects(), ["Forget", "Start"]);
    case.stands(Starting);
    assert_eq!(case.state.body.generation, 2);
    assert!(case.reply(ready).is_none(), "whoever waits goes on waiting");
}

#[test]
fn a_start_that_fails_tells_why_and_whose_fault() {
    for (not_found, code) in [(true, ErrorCode::AgentNotFound), (false, ErrorCode::AgentStartFailed)] {
        let mut case = Case::starting();
        let ready = case.ask(ANN, Command::WaitReady);
        case.feed(Event::StartFailed { why: "nope".into(), not_found });
        case.stands(Failed);
        assert_eq!(case.reply(ready).unwrap().as_ref().unwrap_err().code, code);
        assert_eq!(case.fact("state_changed")["reason"], "nope");
        assert_eq!(case.refused(ANN, Command::WaitReady), ErrorCode::AgentStartFailed);
        assert_eq!(case.refused(ANN, input("x")), ErrorCode::InvalidState);
    }
}

#[test]
fn fault_07_a_program_that_cannot_be_started_fails_with_the_systems_words() {
    let mut case = Case::starting();
    case.live();
    let mut gone = exited(-1, 0);
    gone.exit = Some(Exit { code: -1, signal: 0, start_errno: 2 });
    case.gone(gone);
    case.stands(Failed);
    assert!(case.fact("state_changed")["reason"].as_str().unwrap().contains("No such file"));
}

#[test]
fn an_agent_that_cannot_be_used_is_stopped_and_failed() {
    let hopeless: [fn(&mut Case); 3] = [
        |case| case.result("initialize", json!({"protocolVersion": 9})),
        |case| case.error("initialize", "login first"),
        |case| {
            case.result("initialize", json!({"protocolVersion": 1}));
            case.error("session/new", "login first");
        },
    ];
    for reply in hopeless {
        let mut case = Case::starting();
        case.live();
        let ready = case.ask(ANN, Command::WaitReady);
        case.effects();
        reply(&mut case);
        assert_eq!(case.reply(ready).unwrap().as_ref().unwrap_err().code, ErrorCode::AgentStartFailed);
        assert_eq!(case.effects(), ["Stop"]);
        case.exit(0);
        case.stands(Failed);
    }
}

#[test]
fn a_signal_is_told_as_one() {
    let mut case = Case::processing();
    let mut gone = exited(-1, case.state.body.last_frame);
    gone.exit = Some(Exit { code: -1, signal: 9, start_errno: 0 });
    case.gone(gone);
    let fact = case.fact("agent_exited");
    assert_eq!((fact.get("code"), fact["signal"].as_i64()), (None, Some(9)));
}

#[test]
fn what_the_runner_has_logged_is_not_sent_again() {
    let mut case = Case::processing();
    let last = case.state.body.last_frame;
    case.feed(Event::Acked(last - 1));
    assert_eq!(case.state.outbox.keys().copied().collect::<Vec<_>>(), [last]);
    case.feed(Event::Up(&standing(true, last)));
    assert!(case.state.outbox.is_empty());
    // A runner that knows more than the store leads the numbers on.
    case.feed(Event::Up(&standing(true, last + 5)));
    case.ok(ANN, Command::Interrupt { turn: None });
    assert_eq!(case.last("session/cancel"), Some(last + 6));
}

#[test]
fn a_frame_whose_number_is_taken_is_given_up_with_a_record() {
    let mut case = Case::processing();
    let last = case.state.body.last_frame;
    for why in [Refusal::Busy, Refusal::DiskFull, Refusal::NotRunning] {
        case.feed(Event::FrameRefused(last, why));
        assert_eq!(case.kinds(), [""; 0]);
        assert!(case.state.outbox.contains_key(&last), "{why:?} is tried again");
    }
    case.feed(Event::FrameRefused(last, Refusal::Mismatch));
    assert_eq!(case.kinds(), ["tail_lost"]);
    assert!(!case.state.outbox.contains_key(&last));
}

#[test]
fn a_line_that_is_not_understood_is_kept_and_changes_nothing_else() {
    let mut case = Case::processing();
    let long = "x".repeat(100_000);
    for line in
        ["noise", "[]", "{}", "\"\"", "{\"id\":99,\"result\":1}", "{\"method\":\"unheard/of\"}", &long]
    {
        case.raw(line.as_bytes());
        assert_eq!(case.kinds(), ["unparsed"], "{line}");
        assert_eq!(case.fact("unparsed")["bytes"], line.len());
    }
    assert_eq!(case.fact("unparsed")["text"].as_str().unwrap().len(), 64 * 1024);
    assert!(case.fact("unparsed")["sha256"].is_string());
    case.raw(b"\xff\xfe");
    assert_eq!(case.kinds(), ["unparsed"]);
    case.raw(b"");
    assert_eq!(case.kinds(), [""; 0]);
    case.line(crate::agent::spool::Line::Torn(b"{\"jsonrpc\"".to_vec()), 9);
    assert_eq!(case.kinds(), ["unparsed"]);
    let oversize =
        crate::agent::spool::Line::Oversize { head: b"{".to_vec(), bytes: 17 << 20, sha256: "00".into() };
    case.line(oversize, 9);
    assert_eq!(case.fact("unparsed")["bytes"], 17 << 20);
    case.stands(Processing);
}

#[test]
fn fault_47_a_request_that_is_not_served_is_refused_and_recorded() {
    let mut case = Case::processing();
    case.say(json!({"jsonrpc": "2.0", "id": "f", "method": "fs/read_text_file", "params": {}}));
    assert_eq!(case.kinds(), ["agent_request_refused"]);
    assert_eq!(case.answers_to(&json!("f"))[0]["error"]["code"], -32601);
}

#[test]
fn fault_50_a_second_response_to_the_same_prompt_is_kept_and_ignored() {
    let mut case = Case::processing();
    let call = case.last("session/prompt").unwrap();
    case.end_turn("end_turn");
    case.say(json!({"jsonrpc": "2.0", "id": call, "result": {"stopReason": "end_turn"}}));
    assert_eq!(case.kinds(), ["unparsed"]);
    case.stands(Idle);
}

#[test]
fn a_tool_call_that_an_interrupt_left_open_is_closed_in_the_agents_place() {
    let call = |id: &str, kind: &str, status: &str| {
        let update = json!({"sessionUpdate": kind, "toolCallId": id, "title": id, "status": status});
        json!({"jsonrpc": "2.0", "method": "session/update", "params": {"sessionId": "s", "update": update}})
    };
    for (stop, closed) in [("cancelled", vec!["b", "c"]), ("end_turn", vec![])] {
        let mut case = Case::processing();
        for (id, kind, status) in [
            ("a", "tool_call", "in_progress"),
            ("b", "tool_call", "pending"),
            ("a", "tool_call_update", "completed"),
            ("b", "tool_call_update", "in_progress"),
            // Some agents never send the first of the two.
            ("c", "tool_call_update", "in_progress"),
        ] {
            case.say(call(id, kind, status));
        }
        case.forget();
        case.end_turn(stop);
        let ours = case
            .facts
            .iter()
            .map(|fact| &fact["update"])
            .filter(|update| update["_meta"]["vibes"].is_object());
        let ours: Vec<_> = ours
            .map(|update| {
                assert_eq!(update["status"], "failed", "{update}");
                assert_eq!(update["_meta"]["vibes"]["closed"], "interrupted", "{update}");
                update["toolCallId"].as_str().unwrap()
            })
            .collect();
        assert_eq!(ours, closed);
        // It is told once, and a later turn has nothing to do with it.
        assert!(case.state.body.open_calls.is_empty());
    }
    // An agent that is gone says nothing more either.
    let mut case = Case::processing();
    case.say(call("a", "tool_call", "in_progress"));
    case.forget();
    case.exit(1);
    assert_eq!(case.fact("update")["update"]["_meta"]["vibes"]["closed"], "failed");
}
