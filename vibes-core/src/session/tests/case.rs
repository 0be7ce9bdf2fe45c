//! The driver of the tables: events in, and what was recorded, sent, done and answered to look at.
//!
//! No runtime, no files, no clock: time is a number that a case sets.

use crate::{
    agent::{
        acp::HUSH_MS,
        link::Gone,
        spool::{Chunk, Line},
    },
    clock::Moment,
    ownership::Joiner,
    session::{
        Digest,
        event::{Answer, Caller, Command, Effect, Event, Plan, Reply, Tag},
        state::State,
        step::{Out, step},
    },
};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use vibes_protocol::model::{
    ClientId, CodedError, Decision, ErrorCode, OrphanPolicy, Permission, Role, SessionId, SessionState,
};
use vibes_runner::wire::{Exit, Standing};

/// The first client of most cases.
pub const ANN: u128 = 1;
/// The second one.
pub const BEN: u128 = 2;
/// The one who reads only.
pub const EVE: u128 = 3;

/// When every case begins, in milliseconds.
pub const T0: i64 = 1_000_000;

pub fn id(client: u128) -> ClientId {
    ClientId(uuid::Uuid::from_u128(client))
}

pub fn caller(client: u128) -> Caller {
    Caller {
        client: id(client),
        identity: Some(format!("seat{client}")),
        pid: Some(7),
        token_hash: None,
        surface: None,
    }
}

pub fn joiner(client: u128, role: Role) -> Joiner {
    Joiner {
        client: id(client),
        role,
        identity: Some(format!("seat{client}")),
        token_hash: None,
        pid: Some(7),
        reads: false,
        person: None,
    }
}

pub fn plan() -> Plan {
    Plan {
        dialect: Default::default(),
        conversation: None,
        agent: "fake".into(),
        argv: vec!["fake".into()],
        cwd: "/tmp".into(),
        name: None,
        description: None,
        metadata: Map::new(),
        options: Map::new(),
        orphan_policy: OrphanPolicy::Keep,
        ttl_s: None,
        env_names: Vec::new(),
        umask: None,
        once: false,
        ephemeral: false,
        created_by: None,
        approvals: Default::default(),
        ..Plan::default()
    }
}

pub fn text(words: &str) -> Vec<Value> {
    vec![json!({"type": "text", "text": words})]
}

pub fn input(words: &str) -> Command {
    Command::Input { content: text(words), key: None, now: false }
}

pub fn input_now(words: &str) -> Command {
    Command::Input { content: text(words), key: None, now: true }
}

pub fn keyed(words: &str, key: &str) -> Command {
    Command::Input { content: text(words), key: Some(key.into()), now: false }
}

/// An answer by the agent's option.
pub fn choose(permission: &Permission, option_id: &str) -> Command {
    Command::Answer(Box::new(Answer {
        permission_id: permission.permission_id.clone(),
        hash: permission.hash.clone(),
        option_id: Some(option_id.into()),
        decision: None,
        message: None,
        updated_input: None,
        answers: None,
    }))
}

/// An answer by its kind.
pub fn decide(permission: &Permission, decision: Decision) -> Command {
    Command::Answer(Box::new(Answer {
        permission_id: permission.permission_id.clone(),
        hash: permission.hash.clone(),
        option_id: None,
        decision: Some(decision),
        message: Some("because".into()),
        updated_input: None,
        answers: None,
    }))
}

pub fn standing(going: bool, last_in_seq: u64) -> Standing {
    Standing {
        protocol: 1,
        pid: 10,
        agent_pid: if going { 11 } else { 0 },
        going,
        fence: 1,
        last_in_seq,
        spool_end: 0,
        pending_input: 0,
        blocked: false,
        exit: None,
    }
}

/// An end that somebody saw.
pub fn exited(code: i32, last_in_seq: u64) -> Gone {
    Gone {
        exit: Some(Exit { code, signal: 0, start_errno: 0 }),
        left: Vec::new(),
        last_in_seq: Some(last_in_seq),
        stderr: if code == 0 { String::new() } else { "boom".into() },
    }
}

/// An end that nobody saw: the runner died too.
pub fn lost(last_in_seq: u64) -> Gone {
    Gone { exit: None, left: Vec::new(), last_in_seq: Some(last_in_seq), stderr: String::new() }
}

/// A frame that the session wrote for its agent.
#[derive(Debug, Clone)]
pub struct Sent {
    pub generation: u64,
    pub number: u64,
    pub line: Value,
}

/// A session and everything that came of it.
pub struct Case {
    pub state: State,
    pub now: i64,
    /// How far the wall clock is ahead of that.
    pub skew: i64,
    /// The time of the last record.
    pub told: i64,
    /// Every fact, in order: the first is number 1.
    pub facts: Vec<Value>,
    /// Effects since [`Case::effects`] was last called, replies aside.
    done: Vec<Effect>,
    pub replies: BTreeMap<Tag, Vec<Result<Reply, CodedError>>>,
    pub last_tag: Tag,
    pub sent: Vec<Sent>,
    /// Where the last event's facts begin.
    mark: usize,
    offset: u64,
    /// Whether what is to be told again is read at once.
    pub recalls: bool,
}

impl Case {
    /// A session whose agent is being started.
    pub fn starting() -> Self {
        Self::planned(plan())
    }

    pub fn planned(plan: Plan) -> Self {
        let session = SessionId(uuid::Uuid::from_u128(0xABCD << 96));
        let mut case = Self::around(State::new(session, plan, 1, T0));
        case.feed(Event::Begin);
        case
    }

    pub fn around(state: State) -> Self {
        Self {
            state,
            now: T0,
            skew: 0,
            told: 0,
            facts: Vec::new(),
            done: Vec::new(),
            replies: BTreeMap::new(),
            last_tag: 0,
            sent: Vec::new(),
            mark: 0,
            offset: 0,
            recalls: true,
        }
    }

    /// A session that waits for its first prompt; Ann has joined and owns it.
    pub fn idle() -> Self {
        Self::idle_with(plan())
    }

    pub fn idle_with(plan: Plan) -> Self {
        let mut case = Self::planned(plan);
        case.ok(ANN, Command::Join(joiner(ANN, Role::Writer)));
        case.live();
        case.open();
        assert_eq!(case.state.body.state, SessionState::Idle);
        case.forget();
        case
    }

    /// A session with one turn under way.
    pub fn processing() -> Self {
        let mut case = Self::idle();
        case.ok(ANN, input("work"));
        assert_eq!(case.state.body.state, SessionState::Processing);
        case.forget();
        case
    }

    /// A session whose agent asks one question in its turn.
    pub fn asking() -> (Self, Permission) {
        let mut case = Self::processing();
        let permission = case.question(json!("q1"));
        case.forget();
        (case, permission)
    }

    /// Takes one event and checks what holds of every step.
    pub fn feed(&mut self, event: Event<'_>) {
        let before = (self.state.head, self.state.body.generation, self.state.body.last_frame);
        let mut out = Out::default();
        self.mark = self.facts.len();
        let at = Moment { wall_ms: self.now + self.skew, steady_ms: self.now };
        step(&mut self.state, at, event, &mut out);
        assert_eq!(self.state.head, before.0 + out.facts.count, "the head counts the facts");
        for (at_ms, _) in out.facts.records() {
            assert!(at_ms >= self.told, "the time of records never falls");
            self.told = at_ms;
        }
        self.facts
            .extend(out.facts.records().map(|(_, fact)| serde_json::from_slice::<Value>(fact).unwrap()));
        let generation = self.state.body.generation;
        if generation == before.1 {
            assert!(self.state.body.last_frame >= before.2, "frame numbers never go back");
        } else {
            assert!(generation > before.1);
        }
        let known = if generation == before.1 { before.2 } else { 0 };
        for (number, bytes) in self.state.outbox.range(known + 1..) {
            let line = serde_json::from_slice(bytes).unwrap();
            self.sent.push(Sent { generation, number: *number, line });
        }
        let mut recall = false;
        for effect in out.effects {
            match effect {
                Effect::Recall => recall = true,
                Effect::Reply(tag, result) => {
                    let answers = self.replies.entry(tag).or_default();
                    answers.push(result);
                    assert_eq!(answers.len(), 1, "command {tag} was answered twice");
                }
                other => self.done.push(other),
            }
        }
        if recall && self.recalls {
            self.last_tag += 1;
            let digest = Box::new(Digest { text: "so far".to_owned(), turns: 1, ..Digest::default() });
            self.feed(Event::Command(Caller::nobody(), Command::Recalled(digest), self.last_tag));
        }
    }

    /// Asks; the reply may come later.
    pub fn ask(&mut self, client: u128, command: Command) -> Tag {
        self.last_tag += 1;
        self.feed(Event::Command(caller(client), command, self.last_tag));
        self.last_tag
    }

    pub fn reply(&self, tag: Tag) -> Option<&Result<Reply, CodedError>> {
        self.replies.get(&tag).map(|answers| &answers[0])
    }

    /// Asks for something that is done at once.
    #[track_caller]
    pub fn ok(&mut self, client: u128, command: Command) -> Reply {
        let shown = format!("{command:?}");
        let tag = self.ask(client, command);
        match self.reply(tag) {
            Some(Ok(reply)) => reply.clone(),
            other => panic!("{shown}: {other:?}"),
        }
    }

    /// Asks for something that is refused at once, which changes nothing.
    #[track_caller]
    pub fn refused(&mut self, client: u128, command: Command) -> ErrorCode {
        let shown = format!("{command:?}");
        let (before, facts, done) = (format!("{:?}", self.state), self.facts.len(), self.done.len());
        let tag = self.ask(client, command);
        let code = match self.reply(tag) {
            Some(Err(error)) => error.code,
            other => panic!("{shown}: {other:?}"),
        };
        assert_eq!(before, format!("{:?}", self.state), "{shown} was refused and changed something");
        assert_eq!(
            (facts, done),
            (self.facts.len(), self.done.len()),
            "{shown} was refused and left something"
        );
        code
    }

    /// The agent says a line.
    pub fn say(&mut self, line: Value) {
        self.raw(line.to_string().as_bytes());
    }

    pub fn raw(&mut self, line: &[u8]) {
        self.offset += line.len() as u64 + 1;
        self.line(Line::Whole(line.to_vec().into()), self.offset);
    }

    /// The agent wrote a line of whatever kind, which ends there.
    pub fn line(&mut self, line: Line, to: u64) {
        self.feed(Event::Lines(&Chunk { lines: vec![line], to }));
    }

    pub fn gone(&mut self, gone: Gone) {
        self.feed(Event::Gone(&gone));
    }

    /// Everything was delivered and the agent ended.
    pub fn exit(&mut self, code: i32) {
        self.gone(exited(code, self.state.body.last_frame));
    }

    pub fn tick(&mut self, now: i64) {
        self.now = now;
        self.feed(Event::Tick);
    }

    /// The runner answers for the first time and its (empty) spool is read.
    pub fn live(&mut self) {
        self.feed(Event::Up(&standing(false, 0)));
        self.feed(Event::CaughtUp);
    }

    /// The agent opens its conversation.
    pub fn open(&mut self) {
        self.result("initialize", json!({"protocolVersion": 1, "agentCapabilities": {"loadSession": true}}));
        let open = if self.last("session/load").is_some() { "session/load" } else { "session/new" };
        self.result(
            open,
            json!({"sessionId": "s", "modes": {"currentModeId": "ask",
                "availableModes": [{"id": "ask", "name": "Ask"}, {"id": "auto", "name": "Auto"}]}}),
        );
        if open == "session/load" {
            self.tick(self.now + HUSH_MS);
        }
    }

    /// The number of the last frame of this generation with this method.
    pub fn last(&self, method: &str) -> Option<u64> {
        let generation = self.state.body.generation;
        let of = |sent: &&Sent| sent.generation == generation && sent.line["method"] == method;
        self.sent.iter().rev().find(of).map(|sent| sent.number)
    }

    /// The agent answers our last request of this method.
    #[track_caller]
    pub fn result(&mut self, method: &str, result: Value) {
        let Some(call) = self.last(method) else { panic!("{method} was not sent: {:?}", self.sent) };
        self.say(json!({"jsonrpc": "2.0", "id": call, "result": result}));
    }

    #[track_caller]
    pub fn error(&mut self, method: &str, message: &str) {
        let Some(call) = self.last(method) else { panic!("{method} was not sent: {:?}", self.sent) };
        self.say(json!({"jsonrpc": "2.0", "id": call, "error": {"code": -1, "message": message}}));
    }

    pub fn end_turn(&mut self, stop_reason: &str) {
        self.result("session/prompt", json!({"stopReason": stop_reason}));
    }

    /// The agent asks.
    pub fn request(&mut self, rpc_id: Value) {
        self.say(json!({"jsonrpc": "2.0", "id": rpc_id, "method": "session/request_permission", "params": {
            "sessionId": "s", "toolCall": {"toolCallId": "t", "title": "Run it", "kind": "execute",
            "rawInput": {"command": "ls"}}, "options": [
                {"optionId": "yes", "kind": "allow_once", "name": "Yes"},
                {"optionId": "no", "kind": "reject_once", "name": "No"}]}}));
    }

    /// The agent asks, and the question waits.
    #[track_caller]
    pub fn question(&mut self, rpc_id: Value) -> Permission {
        self.request(rpc_id.clone());
        let found = self.state.pending.values().find(|pending| pending.rpc_id == rpc_id);
        found.map(|pending| pending.permission.clone()).expect("the question waits")
    }

    /// What the last event recorded: the kinds.
    pub fn kinds(&self) -> Vec<&str> {
        self.facts[self.mark..].iter().map(|fact| fact["kind"].as_str().unwrap()).collect()
    }

    /// The last fact of a kind, since the case began.
    #[track_caller]
    pub fn fact(&self, kind: &str) -> &Value {
        let found = self.facts.iter().rev().find(|fact| fact["kind"] == kind);
        found.unwrap_or_else(|| panic!("no {kind} in {:#?}", self.facts))
    }

    pub fn count(&self, kind: &str) -> usize {
        self.facts.iter().filter(|fact| fact["kind"] == kind).count()
    }

    /// The effects since the last call, each by its name.
    pub fn effects(&mut self) -> Vec<String> {
        let name = |effect: Effect| match effect {
            Effect::Notice(notice) => {
                let shown = format!("{notice:?}");
                shown.split(['(', ' ']).next().unwrap_or_default().to_owned()
            }
            other => format!("{other:?}").split([' ', '(']).next().unwrap_or_default().to_owned(),
        };
        std::mem::take(&mut self.done).into_iter().map(name).collect()
    }

    /// What the agent was sent as the answer to its request.
    pub fn answers_to(&self, rpc_id: &Value) -> Vec<&Value> {
        let to = |sent: &&Sent| sent.line.get("method").is_none() && sent.line["id"] == *rpc_id;
        self.sent.iter().filter(to).map(|sent| &sent.line).collect()
    }

    /// Begins a new page: what happened so far is not looked at any more.
    pub fn forget(&mut self) {
        self.done.clear();
        self.mark = self.facts.len();
    }

    #[track_caller]
    pub fn stands(&self, state: SessionState) {
        assert_eq!(self.state.body.state, state, "{:#?}", self.facts);
    }
}
