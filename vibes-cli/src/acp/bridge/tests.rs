//! The bridge without its threads: lines of an editor and messages of a daemon in, in every order they can come; what
//! is to be done out.

use super::*;
use crate::render::list::tests::session;
use serde_json::json;
use vibes_protocol::wire::Message;

const ID: &str = "3fa9c1d2-0000-4000-8000-000000000000";
const ME: &str = "00000000-0000-4000-8000-000000000001";
const OTHER: &str = "00000000-0000-4000-8000-000000000002";

/// A bridge, and the two ends that it was told to speak to.
struct Case {
    bridge: Bridge,
    told: Vec<Value>,
    sent: Vec<Request>,
    requests: usize,
}

impl Case {
    /// An editor that has loaded an idle session with two records.
    fn loaded() -> Self {
        let bridge = Bridge::new(Some("shell".to_owned()), None);
        let mut case = Self { bridge, told: Vec::new(), sent: Vec::new(), requests: 0 };
        case.bridge.connected(ME.parse().ok());
        case.editor(json!({"id": 0, "method": "initialize", "params": {}}));
        let agent = json!({"id": "shell", "name": "Shell", "description": "", "installed": true});
        case.answer(json!({"type": "agents", "agents": [agent]}));
        case.editor(json!({"id": 1, "method": "session/load", "params": {"sessionId": ID, "cwd": "/"}}));
        case.joined(2);
        case.fact(1, json!({"kind": "created", "agent": "shell", "cwd": "/"}));
        case.fact(2, json!({"kind": "agent_ready", "generation": 1, "how": "new"}));
        assert_eq!(case.answers(1), 1, "{:?}", case.told);
        case
    }

    fn editor(&mut self, message: Value) {
        self.bridge.line(message.to_string().as_bytes());
        self.act();
    }

    fn prompt(&mut self, rpc: u64) {
        let prompt = json!([{"type": "text", "text": "x"}]);
        self.editor(
            json!({"id": rpc, "method": "session/prompt", "params": {"sessionId": ID, "prompt": prompt}}),
        );
    }

    fn cancel(&mut self) {
        self.editor(json!({"method": "session/cancel", "params": {"sessionId": ID}}));
    }

    fn act(&mut self) {
        for effect in std::mem::take(&mut self.bridge.effects) {
            match effect {
                Effect::Tell(message) | Effect::TellWhole(message) => self.told.push(message),
                Effect::Note(_) => {}
                Effect::Ask(request, then) => {
                    self.requests += 1;
                    self.sent.push((*request).clone());
                    let ask = Ask { request, then, tries: 0 };
                    self.bridge.asked.push((format!("r{}", self.requests), ask));
                }
            }
        }
    }

    fn daemon(&mut self, message: Value) {
        self.bridge.message(serde_json::from_value(message).unwrap());
        self.act();
    }

    /// Answers the oldest request that waits.
    fn answer(&mut self, mut message: Value) {
        message["request_id"] = self.bridge.asked[0].0.as_str().into();
        self.daemon(message);
    }

    fn joined(&mut self, head: u64) {
        let session = session(json!({"id": ID, "head": head}));
        let joined = json!({"session": session, "head": head, "pending_permissions": [], "link": "live"});
        self.answer(json!({"type": "subscribed", "sessions": [joined]}));
    }

    /// Takes the oldest prompt that waits.
    fn accepted(&mut self, seq: u64) {
        let mut asked = self.bridge.asked.iter();
        let (id, _) = asked.find(|(_, ask)| matches!(*ask.request, Request::Input(_))).unwrap();
        let id = id.clone();
        self.daemon(json!({"type": "accepted", "request_id": id, "session_id": ID, "seq": seq}));
    }

    fn fact(&mut self, seq: u64, fact: Value) {
        self.daemon(
            json!({"type": "record", "session_id": ID, "epoch": 1, "seq": seq, "at_ms": 0, "fact": fact}),
        );
    }

    fn input(&mut self, seq: u64, by: &str) {
        let content = json!([{"type": "text", "text": "x"}]);
        self.fact(seq, json!({"kind": "input", "content": content, "by": {"client_id": by}}));
    }

    fn begins(&mut self, seq: u64, turn: u64, input: u64) {
        self.fact(seq, json!({"kind": "turn_started", "turn": turn, "input_seq": input}));
    }

    fn ends(&mut self, seq: u64, turn: u64, reason: &str) {
        let fact = json!({"kind": "turn_ended", "turn": turn, "outcome": "finished", "stop_reason": reason});
        self.fact(seq, fact);
    }

    /// The connection is lost and found again.
    fn reconnects(&mut self) {
        self.bridge.lost();
        self.sent.clear();
        self.bridge.connected(ME.parse().ok());
        self.act();
    }

    fn answers(&self, rpc: u64) -> usize {
        self.told.iter().filter(|message| message["id"] == rpc && message.get("method").is_none()).count()
    }

    /// The one answer to a request.
    fn the_answer(&self, rpc: u64) -> &Value {
        assert_eq!(self.answers(rpc), 1, "{:?}", self.told);
        let is_it = |message: &&Value| message["id"] == rpc && message.get("method").is_none();
        self.told.iter().find(is_it).unwrap()
    }

    fn stop_reason(&self, rpc: u64) -> &str {
        self.the_answer(rpc)["result"]["stopReason"].as_str().unwrap()
    }

    fn interrupts(&self) -> usize {
        self.sent.iter().filter(|request| matches!(request, Request::Interrupt(_))).count()
    }
}

#[test]
fn the_end_of_a_turn_may_come_before_the_daemon_says_whose_it_is() {
    let mut case = Case::loaded();
    case.prompt(5);
    case.input(3, ME);
    case.begins(4, 1, 3);
    case.ends(5, 1, "max_tokens");
    assert_eq!(case.answers(5), 0);
    case.accepted(3);
    assert_eq!(case.stop_reason(5), "max_tokens");
}

#[test]
fn a_prompt_is_not_answered_by_the_turn_of_another() {
    let mut case = Case::loaded();
    case.prompt(5);
    case.input(3, OTHER);
    case.input(4, ME);
    case.accepted(4);
    case.begins(5, 1, 3);
    case.ends(6, 1, "end_turn");
    assert_eq!(case.answers(5), 0);
    case.begins(7, 2, 4);
    case.ends(8, 2, "refusal");
    assert_eq!(case.stop_reason(5), "refusal");
    let prompts =
        case.told.iter().filter(|one| one["params"]["update"]["sessionUpdate"] == "user_message_chunk");
    assert_eq!(prompts.count(), 1, "only the other's prompt is told");
}

#[test]
fn a_prompt_that_was_not_delivered_waits_for_its_second_turn() {
    let mut case = Case::loaded();
    case.prompt(5);
    case.input(3, ME);
    case.accepted(3);
    case.begins(4, 1, 3);
    case.fact(5, json!({"kind": "not_delivered", "input_seq": 3}));
    let ended =
        json!({"kind": "turn_ended", "turn": 1, "outcome": "interrupted", "stop_reason": "not_delivered"});
    case.fact(6, ended);
    assert_eq!(case.answers(5), 0);
    case.begins(7, 2, 3);
    case.ends(8, 2, "end_turn");
    assert_eq!(case.stop_reason(5), "end_turn");
}

#[test]
fn a_cancel_finds_its_prompt_wherever_that_is() {
    // Before the daemon has taken it.
    let mut case = Case::loaded();
    case.prompt(5);
    case.cancel();
    assert_eq!(case.interrupts(), 0);
    case.input(3, ME);
    case.begins(4, 1, 3);
    case.accepted(3);
    assert_eq!(case.interrupts(), 1);
    case.ends(5, 1, "end_turn");
    assert_eq!(case.stop_reason(5), "cancelled");
    // While another's turn runs: that one goes on, and ours leaves the queue.
    let mut case = Case::loaded();
    case.input(3, OTHER);
    case.begins(4, 1, 3);
    case.prompt(5);
    case.accepted(5);
    case.input(5, ME);
    case.cancel();
    let Some(Request::RemoveInput(removal)) = case.sent.last() else { panic!("{:?}", case.sent) };
    assert_eq!((removal.input_seq, case.interrupts()), (5, 0));
    case.fact(6, json!({"kind": "input_dropped", "input_seq": 5, "by": {"client_id": ME}}));
    assert_eq!(case.stop_reason(5), "cancelled");
    case.ends(7, 1, "end_turn");
    // The request itself may be cancelled, which is the same.
    let mut case = Case::loaded();
    case.prompt(5);
    case.accepted(3);
    case.input(3, ME);
    case.begins(4, 1, 3);
    case.editor(json!({"method": "$/cancel_request", "params": {"requestId": 6}}));
    assert_eq!(case.interrupts(), 0, "that is nobody's");
    case.editor(json!({"method": "$/cancel_request", "params": {"requestId": 5}}));
    assert_eq!(case.interrupts(), 1);
    // It begins before it could leave: then its turn is interrupted.
    let mut case = Case::loaded();
    case.prompt(5);
    case.accepted(3);
    case.input(3, ME);
    case.cancel();
    assert!(matches!(case.sent.last(), Some(Request::RemoveInput(_))), "{:?}", case.sent);
    case.begins(4, 1, 3);
    case.answer(json!({"type": "error", "code": "INVALID_STATE", "message": "it runs"}));
    assert_eq!(case.interrupts(), 1);
    case.ends(8, 1, "cancelled");
    assert_eq!(case.stop_reason(5), "cancelled");
    // Without a prompt of its own the editor stops what it sees.
    case.input(9, OTHER);
    case.begins(10, 3, 9);
    case.cancel();
    assert_eq!(case.interrupts(), 2);
    // What others take out of the queue is cancelled, too; what they reword is told in their words.
    case.prompt(6);
    case.accepted(11);
    case.input(11, ME);
    let words = json!([{"type": "text", "text": "better"}]);
    case.fact(
        12,
        json!({"kind": "input_edited", "input_seq": 11, "content": words, "by": {"client_id": OTHER}}),
    );
    case.prompt(7);
    case.accepted(13);
    case.input(13, ME);
    case.fact(14, json!({"kind": "input_dropped", "input_seq": 13, "by": {"client_id": OTHER}}));
    assert_eq!(case.stop_reason(7), "cancelled");
    case.ends(15, 3, "cancelled");
    case.begins(16, 4, 11);
    assert_eq!(case.told.last().unwrap()["params"]["update"]["content"]["text"], "better");
}

#[test]
fn after_a_loss_nothing_is_asked_twice_that_is_not_the_same_twice() {
    let mut case = Case::loaded();
    case.prompt(5);
    let Some(Request::Input(first)) = case.sent.last().cloned() else { panic!("{:?}", case.sent) };
    case.reconnects();
    let [Request::Subscribe(subscribe), Request::Input(again)] = &case.sent[..] else {
        panic!("{:?}", case.sent)
    };
    assert_eq!((subscribe.epoch, &again.idempotency_key), (Some(1), &first.idempotency_key));
    assert_eq!(serde_json::to_value(subscribe.after).unwrap(), 2);
    case.joined(4);
    case.accepted(3);
    case.input(3, ME);
    case.begins(4, 1, 3);
    // It is taken now: the records alone say what comes of it.
    case.cancel();
    assert_eq!(case.interrupts(), 1);
    case.reconnects();
    assert_eq!(case.sent.len(), 1, "{:?}", case.sent);
    case.joined(4);
    assert_eq!(case.interrupts(), 1, "whether the first was heard is not known");
    case.ends(5, 1, "cancelled");
    assert_eq!(case.stop_reason(5), "cancelled");
    assert_eq!(case.interrupts(), 1);
}

#[test]
fn a_question_is_asked_once_and_taken_back_when_it_is_gone() {
    let permission = json!({"permission_id": "p", "hash": "h", "tool": "execute", "raw_input": {}, "cwd": "/",
        "options": [{"option_id": "y", "kind": "allow_once", "name": "Yes"}]});
    let asks =
        |case: &Case| case.told.iter().filter(|one| one["method"] == "session/request_permission").count();
    let withdrawals =
        |case: &Case| case.told.iter().filter(|one| one["method"] == "$/cancel_request").count();
    let mut case = Case::loaded();
    // One that a rule answers is nobody's.
    let ruled = json!({"permission_id": "r", "hash": "h", "tool": "read", "raw_input": {}, "cwd": "/", "options": []});
    case.fact(3, json!({"kind": "permission_requested", "permission": ruled}));
    case.fact(
        4,
        json!({"kind": "permission_resolved", "permission_id": "r", "outcome": "allowed", "rule": "reads"}),
    );
    case.fact(5, json!({"kind": "permission_requested", "permission": permission}));
    case.fact(6, json!({"kind": "state_changed", "from": "processing", "to": "waiting_permission"}));
    assert_eq!((asks(&case), withdrawals(&case)), (1, 0));
    case.reconnects();
    // Nobody answered meanwhile: it is still the same question.
    let info = session(json!({"id": ID}));
    let joined = json!({"session": info, "head": 6, "pending_permissions": [permission], "link": "live"});
    case.answer(json!({"type": "subscribed", "sessions": [joined]}));
    assert_eq!((asks(&case), withdrawals(&case)), (1, 0));
    // The answer of the editor is taken; the record of it takes nothing back.
    let rpc =
        case.told.iter().find(|one| one["method"] == "session/request_permission").unwrap()["id"].clone();
    case.editor(json!({"id": rpc, "result": {"outcome": {"outcome": "selected", "optionId": "y"}}}));
    let Some(Request::PermissionResponse(response)) = case.sent.last() else { panic!("{:?}", case.sent) };
    assert_eq!((response.option_id.as_deref(), response.hash.as_str()), (Some("y"), "h"));
    // A store that is full takes no approval: the editor is asked again.
    case.answer(json!({"type": "error", "code": "STORE_FULL", "message": "full"}));
    assert_eq!(asks(&case), 2);
    case.fact(7, json!({"kind": "permission_resolved", "permission_id": "p", "outcome": "allowed"}));
    assert_eq!(withdrawals(&case), 1);
}

#[test]
fn what_the_daemon_puts_off_is_asked_again_and_what_it_cannot_is_refused() {
    let mut case = Case::loaded();
    case.prompt(5);
    case.answer(json!({"type": "error", "code": "SHUTTING_DOWN", "message": "stops"}));
    case.reconnects();
    assert!(matches!(case.sent[..], [Request::Subscribe(_), Request::Input(_)]), "{:?}", case.sent);
    case.joined(2);
    case.answer(json!({"type": "error", "code": "ADOPTING", "message": "soon"}));
    assert_eq!((case.bridge.again.len(), case.answers(5)), (1, 0));
    case.bridge.again.clear();
    case.bridge.give_up(Failure::new(crate::error::Kind::Unreachable, "no daemon"));
    case.act();
    assert_eq!(case.the_answer(5)["error"]["message"], "no daemon");
    // Ends that nobody can tell any more are errors as well.
    case.prompt(6);
    case.accepted(3);
    case.daemon(json!({"type": "rewind", "session_id": ID, "to": {"epoch": 2, "seq": 2}}));
    assert!(case.the_answer(6)["error"]["message"].as_str().unwrap().contains("lost"));
    case.prompt(7);
    case.accepted(3);
    case.fact(
        4,
        json!({"kind": "state_changed", "from": "starting", "to": "failed", "reason": "no program"}),
    );
    assert!(case.the_answer(7)["error"]["message"].as_str().unwrap().contains("no program"));
}

#[test]
fn what_is_asked_before_the_introduction_is_over_waits_for_it() {
    let bridge = Bridge::new(Some("shell".to_owned()), None);
    let mut case = Case { bridge, told: Vec::new(), sent: Vec::new(), requests: 0 };
    case.editor(json!({"id": 0, "method": "session/list"}));
    assert_eq!(case.the_answer(0)["error"]["code"], -32600);
    case.editor(json!({"id": 1, "method": "initialize"}));
    case.editor(json!({"id": 2, "method": "session/new", "params": {"cwd": "/"}}));
    assert!(case.bridge.owes());
    let agent = json!({"id": "shell", "name": "Shell", "description": "", "installed": true});
    case.answer(json!({"type": "agents", "agents": [agent]}));
    assert_eq!(case.answers(1), 1);
    assert!(matches!(case.sent.last(), Some(Request::CreateSession(_))), "{:?}", case.sent);
}

#[test]
fn a_history_that_is_asked_for_twice_is_told_twice_and_answered_twice() {
    let mut case = Case::loaded();
    for rpc in [7, 8] {
        case.editor(json!({"id": rpc, "method": "session/load", "params": {"sessionId": ID, "cwd": "/"}}));
    }
    case.joined(2);
    case.joined(2);
    case.fact(1, json!({"kind": "created", "agent": "shell", "cwd": "/"}));
    case.fact(2, json!({"kind": "update", "update": {"sessionUpdate": "plan"}}));
    assert_eq!((case.answers(7), case.answers(8)), (1, 1));
    let plans = case.told.iter().filter(|one| one["params"]["update"]["sessionUpdate"] == "plan");
    assert_eq!(plans.count(), 1);
}

#[test]
fn an_unknown_message_of_the_daemon_is_none_of_ours() {
    let mut case = Case::loaded();
    case.bridge.message(Message::Unknown);
    case.daemon(json!({"type": "ok", "request_id": "nobody's"}));
    assert!(case.bridge.effects.is_empty());
}

#[test]
fn an_editor_hears_what_its_agent_waits_for_and_lost_and_not_as_history() {
    let mut case = Case::loaded();
    case.fact(3, json!({"kind": "agent_waits", "why": "busy", "attempt": 2, "of": 10, "retry_ms": 1200}));
    case.fact(
        4,
        json!({"kind": "option_dropped", "option_id": "model", "value": "opus", "why": "not offered"}),
    );
    let thoughts = |case: &Case| -> Vec<String> {
        let thought = |one: &&Value| one["params"]["update"]["sessionUpdate"] == "agent_thought_chunk";
        let told = case.told.iter().filter(thought);
        told.map(|one| one["params"]["update"]["content"]["text"].as_str().unwrap().to_owned()).collect()
    };
    let expected =
        ["[vibes] busy; try 2 of 10, again in 2 s\n", "[vibes] model is no longer opus: not offered\n"];
    assert_eq!(thoughts(&case), expected);
    case.editor(json!({"id": 7, "method": "session/load", "params": {"sessionId": ID, "cwd": "/"}}));
    case.joined(2);
    case.fact(1, json!({"kind": "created", "agent": "shell", "cwd": "/"}));
    case.fact(2, json!({"kind": "agent_waits", "why": "busy"}));
    assert_eq!((case.answers(7), thoughts(&case).len()), (1, 2), "that was then");
}
