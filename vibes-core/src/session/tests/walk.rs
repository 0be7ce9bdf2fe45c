//! A long random walk over everything that can happen to a session; the invariants are checked after each step.
//!
//! The seed is fixed: every run tries the same steps, and a failure names the last of them.

use super::case::*;
use crate::{
    agent::{link::Hindrance, spool::Line},
    journal::{Place, RowKind, StoredSession},
    lifecycle,
    prices::billionths,
    session::{
        event::{Answer, Command, Event, MetadataUpdate, Plan, QueueChange, Reply},
        past::Past,
        persist::{self, Saved},
        state::{MAX_PENDING, MAX_QUEUED, State},
    },
};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use vibes_protocol::model::{Cost, Decision, Fact, OrphanPolicy, Role, SessionId, SessionState, TurnInfo};
use vibes_runner::wire::{Exit, Refusal};

/// A small deterministic generator.
pub struct Dice(u64);

impl Dice {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn coin(&mut self) -> bool {
        self.below(2) == 0
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        if from.is_empty() { None } else { Some(&from[self.below(from.len() as u64) as usize]) }
    }
}

/// What a store holds, driven by the changes a task would write.
#[derive(Default)]
pub struct Store {
    body: String,
    rows: BTreeMap<(RowKind, Vec<u8>), Vec<u8>>,
}

impl Store {
    /// Writes the difference.
    pub fn write(&mut self, saved: &Saved, next: &State) {
        if let Some(body) = saved.body_change(next) {
            self.body = body;
        }
        for change in saved.row_changes(next) {
            let key = (change.kind, change.key);
            match change.value {
                Some(value) => self.rows.insert(key, value),
                None => self.rows.remove(&key),
            };
        }
    }

    /// How many rows lie in it, the ledger aside.
    pub fn rows(&self) -> usize {
        self.rows.keys().filter(|(kind, _)| *kind != RowKind::Turn).count()
    }

    /// The ledger.
    pub fn turns(&self) -> Vec<TurnInfo> {
        let rows = self.rows.iter().filter(|((kind, _), _)| *kind == RowKind::Turn);
        rows.map(|(_, row)| serde_json::from_slice(row).expect("a row can be read")).collect()
    }

    /// What a later daemon reads.
    pub fn read(&self, of: &State) -> State {
        let stored = StoredSession {
            no: 1,
            id: of.body.id,
            head: of.head,
            spool: of.spool,
            last_ms: of.last_ms,
            active_ms: 0,
            place: Place::default(),
            body: self.body.clone(),
            rows: self.rows.iter().map(|((kind, key), value)| (*kind, key.clone(), value.clone())).collect(),
        };
        persist::restore(&stored, of.epoch).expect("what was written can be read")
    }
}

pub struct Walk {
    pub case: Case,
    dice: Dice,
    pub store: Store,
    saved: Saved,
    /// Whether the agent also asks outside of its turns.
    unasked: bool,
    /// Questions that were asked, and how often each was resolved.
    asked: BTreeMap<String, u32>,
    /// Turns that began, and how often each ended.
    turns: BTreeMap<u64, u32>,
    /// Inputs that may be given to the agent.
    deliverable: BTreeSet<u64>,
    /// Commands that have no answer yet.
    open: BTreeSet<u64>,
    /// The state as the facts tell it.
    told: SessionState,
    read_facts: usize,
    /// How far into the frames the agent has answered, by generation.
    answered: BTreeSet<u64>,
    generation: u64,
    up: bool,
    going: bool,
    steps: u64,
    /// Prompts that still come in one go.
    flood: u32,
    /// How often each kind of thing was reached: a walk that never gets anywhere proves nothing.
    pub reached: BTreeMap<String, u64>,
}

impl Walk {
    pub fn new(seed: u64, unasked: bool) -> Self {
        let mut dice = Dice(seed);
        let policies = [OrphanPolicy::Keep, OrphanPolicy::Suspend, OrphanPolicy::Remove];
        let policy = *dice.pick(&policies).expect("there are three");
        let once = dice.below(8) == 0;
        let session = SessionId(uuid::Uuid::from_u128(u128::from(seed) << 64));
        let state = State::new(session, Plan { orphan_policy: policy, once, ..plan() }, 1, T0);
        let saved = Saved::of(&state);
        let store = Store { body: persist::encode(&state), ..Store::default() };
        let mut walk = Self {
            case: Case::around(state),
            dice,
            store,
            saved,
            unasked,
            asked: BTreeMap::new(),
            turns: BTreeMap::new(),
            deliverable: BTreeSet::new(),
            open: BTreeSet::new(),
            told: SessionState::Starting,
            read_facts: 0,
            answered: BTreeSet::new(),
            generation: 0,
            up: false,
            going: false,
            steps: 0,
            flood: 0,
            reached: BTreeMap::new(),
        };
        walk.case.feed(Event::Begin);
        walk.check("begin");
        walk
    }

    /// One thing happens.
    pub fn step(&mut self) {
        self.steps += 1;
        if self.flood == 0 && self.dice.below(400) == 0 {
            self.flood = 36;
        }
        let what = match self.dice.below(100) {
            _ if self.flood > 0 => self.command(),
            0..30 => self.command(),
            30..36 => {
                let jumps = [0, 1, 100, 1_999, 2_000, 2_001, 61_000];
                let by = *self.dice.pick(&jumps).expect("there are some");
                // Somebody sets the clock: by 400 days, by a day back, and right again.
                let skews = [0, 0, 34_560_000_000, -86_400_000];
                self.case.skew = *self.dice.pick(&skews).expect("there are some");
                self.case.tick(self.case.now + by);
                format!("tick {by}")
            }
            36..37 => self.restart(),
            _ => self.agent(),
        };
        self.check(&what);
    }

    fn command(&mut self) -> String {
        let client = 1 + u128::from(self.dice.below(5));
        let pending: Vec<_> = self.case.state.pending.values().map(|p| p.permission.clone()).collect();
        let command = match self.dice.below(43) {
            _ if self.flood > 0 => {
                self.flood -= 1;
                input("and another")
            }
            0..4 => Command::Join(joiner(
                client,
                if self.dice.below(3) == 0 { Role::Viewer } else { Role::Writer },
            )),
            4 => Command::Leave,
            5 => Command::Drop { grace_ms: self.dice.below(3) as i64 * 1_000 },
            6..15 => input("words"),
            15 => input_now("urgent"),
            16 => keyed("once", &self.dice.below(4).to_string()),
            17..24 => match self.dice.pick(&pending).cloned() {
                Some(permission) => match self.dice.below(4) {
                    0 => choose(&permission, "yes"),
                    1 => decide(&permission, Decision::RejectOnce),
                    2 => decide(&permission, Decision::AllowAlways),
                    _ => choose(&permission, "no"),
                },
                None => {
                    let ids: Vec<_> = self.asked.keys().cloned().collect();
                    Command::Answer(Box::new(Answer {
                        permission_id: self.dice.pick(&ids).cloned().unwrap_or_default(),
                        hash: String::new(),
                        option_id: Some("yes".into()),
                        decision: None,
                        message: None,
                        updated_input: None,
                        answers: None,
                    }))
                }
            },
            24..26 => Command::Interrupt { turn: None },
            26 if self.dice.below(3) == 0 => Command::Kill,
            27 => Command::Suspend { now: self.dice.coin() },
            28..31 => Command::Resume { context: self.dice.coin().then(|| "context".to_owned()) },
            31 if self.dice.below(3) == 0 => Command::Finish,
            32 => Command::Delete,
            33 => Command::Undelete,
            34 => Command::Update(Box::new(MetadataUpdate {
                version: self.dice.coin().then(|| self.dice.below(5)),
                name: self.dice.coin().then(|| Some("name".to_owned())),
                pinned: self.dice.coin().then(|| self.dice.coin()),
                ..MetadataUpdate::default()
            })),
            35 => Command::Transfer(id(1 + u128::from(self.dice.below(5)))),
            36 => Command::Take,
            37 => Command::SetOption {
                option_id: if self.dice.below(4) == 0 { "speed" } else { "mode" }.into(),
                value: json!("auto"),
            },
            38 => Command::WaitReady,
            39..41 => {
                let queue = &self.case.state.body.queue;
                let waits = self.dice.below(queue.len().max(1) as u64) as usize;
                let seq = queue.get(waits).map_or(1, |prompt| prompt.input_seq);
                Command::Queued(
                    seq,
                    match self.dice.below(3) {
                        0 => QueueChange::Edit(text("other words")),
                        1 => QueueChange::Move(self.dice.below(5) as u32),
                        _ => QueueChange::Remove,
                    },
                )
            }
            _ => Command::Look,
        };
        let shown = format!("client {client}: {command:?}");
        let before = (self.case.state.clone(), self.case.facts.len());
        let tag = self.case.ask(client, command);
        match self.case.reply(tag) {
            None => {
                self.open.insert(tag);
            }
            Some(Err(error)) => {
                let code = error.code;
                assert_eq!(
                    before.1,
                    self.case.facts.len(),
                    "{shown} was refused ({code}) and recorded something"
                );
                assert_eq!(
                    before.0.body, self.case.state.body,
                    "{shown} was refused ({code}) and changed something"
                );
                assert_eq!(before.0.ownership, self.case.state.ownership, "{shown} was refused ({code})");
                assert_eq!(before.0.pending, self.case.state.pending, "{shown} was refused ({code})");
                assert_eq!(before.0.outbox, self.case.state.outbox, "{shown} was refused ({code})");
                self.reach(&format!("refused {code}"));
            }
            Some(Ok(Reply::Accepted(seq))) => {
                let seq = *seq;
                if before.1 < self.case.facts.len() {
                    assert_eq!(self.case.facts[seq as usize - 1]["kind"], "input");
                }
            }
            Some(Ok(_)) => {}
        }
        shown
    }

    /// A new daemon takes over: what lasts is read back, who waited is gone.
    fn restart(&mut self) -> String {
        self.case.state = self.store.read(&self.case.state);
        self.open.clear();
        self.up = false;
        self.case.feed(Event::Restored);
        "restart".to_owned()
    }

    fn agent(&mut self) -> String {
        let body = &self.case.state.body;
        if !body.running {
            return "nothing".to_owned();
        }
        if body.generation != self.generation {
            self.generation = body.generation;
            (self.up, self.going) = (false, false);
            self.answered.clear();
        }
        let last = body.last_frame;
        if !self.up {
            match self.dice.below(20) {
                0 if !self.going => {
                    self.case.feed(Event::StartFailed { why: "no".into(), not_found: self.dice.coin() });
                    return "start failed".to_owned();
                }
                1 => {
                    let logged = if self.going { self.dice.below(last + 1) } else { 0 };
                    self.case.gone(lost(logged));
                    return format!("lost after {logged}");
                }
                _ => {}
            }
            let logged = if self.going { self.dice.below(last + 1) } else { 0 };
            self.case.feed(Event::Up(&standing(self.going, logged)));
            (self.up, self.going) = (true, true);
            self.case.feed(Event::CaughtUp);
            return format!("up, {logged} logged");
        }
        match self.dice.below(100) {
            0..3 => {
                let logged = self.dice.below(last + 1);
                let mut gone =
                    if self.dice.coin() { lost(logged) } else { exited(self.dice.below(2) as i32, logged) };
                if self.dice.below(4) == 0 && gone.exit.is_some() {
                    gone.exit = Some(Exit { code: -1, signal: 9, start_errno: 0 });
                    gone.left = vec![77];
                }
                let shown = format!("{gone:?}");
                self.case.gone(gone);
                shown
            }
            3..8 => {
                let frame = self.dice.below(last + 1);
                self.case.feed(Event::Acked(frame));
                format!("acked {frame}")
            }
            8 => {
                let whys = [Refusal::Busy, Refusal::DiskFull, Refusal::NotRunning];
                let why = *self.dice.pick(&whys).expect("there are some");
                self.case.feed(Event::FrameRefused(last, why));
                format!("refused {why:?}")
            }
            9 => {
                self.case.feed(Event::Hindered(Hindrance::Blocked, self.dice.coin().then_some("no room")));
                "blocked".to_owned()
            }
            10 => {
                let to = self.case.state.spool.offset + 6;
                self.case.line(Line::Torn(b"{\"torn".to_vec()), to);
                "torn".to_owned()
            }
            11..45 => self.answer(),
            45..65 => {
                let in_turn = self.case.state.body.turn.is_some();
                if !in_turn && !self.unasked {
                    return "nothing".to_owned();
                }
                let rpc_id = json!(format!("q{}", self.dice.below(50)));
                self.case.request(rpc_id.clone());
                format!("asks {rpc_id}")
            }
            65..68 => {
                let request = json!(format!("q{}", self.dice.below(50)));
                self.case.say(
                    json!({"jsonrpc": "2.0", "method": "$/cancel_request", "params": {"requestId": request}}),
                );
                format!("takes {request} back")
            }
            68..72 => {
                let noise: [&[u8]; 6] = [
                    b"noise",
                    b"",
                    b"{\"id\":12345,\"result\":{}}",
                    b"{\"id\":1.5,\"method\":\"session/request_permission\"}",
                    b"{\"id\":\"x\",\"method\":\"fs/write_text_file\",\"params\":{}}",
                    b"\xff\x00[",
                ];
                let line = *self.dice.pick(&noise).expect("there are some");
                self.case.raw(line);
                format!("says {}", String::from_utf8_lossy(line))
            }
            _ => {
                let spent = self.dice.below(40) as f64 / 10.0;
                let updates = [
                    json!({"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": "so\nit goes"}}),
                    json!({"sessionUpdate": "usage_update", "cost": {"amount": spent, "currency": "EUR"}}),
                    json!({"sessionUpdate": "current_mode_update", "currentModeId": "ask"}),
                    json!({"sessionUpdate": "from_the_future", "x": [1, {"y": null}]}),
                ];
                let update = self.dice.pick(&updates).cloned().expect("there are some");
                self.case
                    .say(json!({"jsonrpc": "2.0", "method": "session/update", "params": {"update": update}}));
                format!("updates {update}")
            }
        }
    }

    /// The agent answers one of our requests, well or badly.
    fn answer(&mut self) -> String {
        let generation = self.case.state.body.generation;
        let waiting: Vec<(u64, String)> = self
            .case
            .sent
            .iter()
            .filter(|sent| sent.generation == generation && !self.answered.contains(&sent.number))
            .filter(|sent| sent.line.get("id").is_some())
            .filter_map(|sent| Some((sent.number, sent.line["method"].as_str()?.to_owned())))
            .collect();
        let Some((call, method)) = self.dice.pick(&waiting).cloned() else { return "nothing".to_owned() };
        self.answered.insert(call);
        let good = self.dice.below(12) != 0;
        let result = match method.as_str() {
            "initialize" => {
                json!({"protocolVersion": 1, "agentCapabilities": {"loadSession": self.dice.coin()}})
            }
            "session/prompt" => {
                json!({"stopReason": if self.dice.coin() { "end_turn" } else { "cancelled" }})
            }
            _ => json!({"sessionId": "s", "modes": {"currentModeId": "ask",
                "availableModes": [{"id": "ask", "name": "A"}, {"id": "auto", "name": "B"}]}}),
        };
        let line = if good {
            json!({"jsonrpc": "2.0", "id": call, "result": result})
        } else {
            json!({"jsonrpc": "2.0", "id": call, "error": {"code": 1, "message": "no"}})
        };
        self.case.say(line);
        format!("answers {method} {good}")
    }

    fn reach(&mut self, what: &str) {
        *self.reached.entry(what.to_owned()).or_default() += 1;
    }

    fn check(&mut self, what: &str) {
        let at = format!("step {}: {what}", self.steps);
        self.read_the_facts(&at);
        self.open.retain(|tag| !self.case.replies.contains_key(tag));
        let state = &self.case.state;
        let body = &state.body;
        use SessionState::*;

        assert_eq!(self.told, body.state, "{at}: the facts tell another state");
        match state.ownership.owner {
            Some(owner) => assert_eq!(state.ownership.role(owner), Some(Role::Writer), "{at}"),
            None => assert!(state.ownership.seats.values().all(|seat| seat.role == Role::Viewer), "{at}"),
        }
        assert_eq!(body.owner, state.ownership.owner, "{at}");
        let unresolved: Vec<_> =
            self.asked.iter().filter(|(_, times)| **times == 0).map(|(id, _)| id).collect();
        assert_eq!(
            unresolved,
            state.pending.keys().collect::<Vec<_>>(),
            "{at}: what waits is what was not resolved"
        );
        if body.stopping.is_none() && body.state != Starting {
            assert_eq!(!state.pending.is_empty(), body.state == WaitingPermission, "{at}: {:?}", body.state);
            if body.state == Processing {
                assert!(body.turn.is_some(), "{at}: nothing is processed");
            }
        }
        if body.turn.is_some() {
            assert!(matches!(body.state, Processing | WaitingPermission), "{at}: a turn in {:?}", body.state);
            assert!(body.running, "{at}: a turn without an agent");
        }
        if body.state.is_ended() || body.state == Suspended {
            assert!(!body.running && body.stopping.is_none(), "{at}: an agent in {:?}", body.state);
            assert!(
                state.pending.is_empty() && state.outbox.is_empty(),
                "{at}: leftovers in {:?}",
                body.state
            );
            assert!(self.open.is_empty(), "{at}: {:?} wait for ever", self.open);
        }
        assert!(state.pending.len() <= MAX_PENDING && body.queue.len() <= MAX_QUEUED + 1, "{at}");
        let waiting: BTreeSet<u64> = state
            .stop_waiters
            .iter()
            .chain(&state.ready_waiters)
            .chain(state.option_waiters.values())
            .copied()
            .collect();
        assert_eq!(waiting, self.open, "{at}: who waits is who was not answered");

        self.store.write(&self.saved, &self.case.state);
        self.case.state.ledger.forget_old();
        self.saved = Saved::of(&self.case.state);
        if self.steps.is_multiple_of(20) {
            self.check_the_ledger(&at);
        }
        let reached = self.case.state.body.state.as_str();
        self.reach(reached);
    }

    /// A row for each turn, which ends with it; together they cost what the session does.
    fn check_the_ledger(&self, at: &str) {
        let rows = self.store.turns();
        assert_eq!(rows.len(), self.turns.len(), "{at}: a turn without a row");
        for row in &rows {
            let ended = self.turns[&row.turn] == 1;
            assert_eq!((row.outcome.is_some(), row.last_seq.is_some()), (ended, ended), "{at}: {row:?}");
            let fact = |seq: u64| self.facts_of(seq);
            assert_eq!(fact(row.first_seq)["kind"], "turn_started", "{at}");
            if let Some(last) = row.last_seq {
                assert_eq!(fact(last)["turn"], row.turn, "{at}");
                assert_eq!(fact(last)["outcome"], json!(row.outcome), "{at}");
            }
        }
        let sum =
            |costs: &mut dyn Iterator<Item = &Cost>| costs.map(|cost| billionths(cost.amount)).sum::<u64>();
        let turns = sum(&mut rows.iter().filter_map(|row| row.cost.as_ref()));
        assert_eq!(turns, sum(&mut self.case.state.body.cost.iter()), "{at}: what the turns cost together");
    }

    /// What the records tell of turns is what the ledger has.
    fn check_the_past(&self) {
        let mut past = Past::default();
        for (seq, fact) in (1..).zip(&self.case.facts) {
            past.take(seq, 0, fact);
        }
        let rows = self.store.turns().into_iter().filter(|row| row.outcome.is_some());
        let rows: Vec<_> = rows.map(|row| TurnInfo { started_ms: 0, ended_ms: Some(0), ..row }).collect();
        assert_eq!(past.turns(true), rows);
    }

    fn facts_of(&self, seq: u64) -> &Value {
        &self.case.facts[seq as usize - 1]
    }

    fn read_the_facts(&mut self, at: &str) {
        let fresh: Vec<Value> = self.case.facts[self.read_facts..].to_vec();
        for fact in fresh {
            self.read_facts += 1;
            let kind = fact["kind"].as_str().unwrap_or_default().to_owned();
            let known: Fact = serde_json::from_value(fact).expect("a fact can be read");
            let seq = self.read_facts as u64;
            match known {
                Fact::Unknown(value) => panic!("{at}: {value}"),
                Fact::StateChanged(change) => {
                    assert_eq!(change.from, self.told, "{at}");
                    assert!(lifecycle::may_change(change.from, change.to), "{at}: {change:?}");
                    self.told = change.to;
                }
                Fact::PermissionRequested(asked) => {
                    let before = self.asked.insert(asked.permission.permission_id.clone(), 0);
                    assert_eq!(before, None, "{at}: an id is used twice");
                }
                Fact::PermissionResolved(resolved) => {
                    let times = self.asked.get_mut(&resolved.permission_id).expect("it was asked before");
                    *times += 1;
                    assert_eq!(*times, 1, "{at}: resolved twice");
                }
                Fact::Input(_) => {
                    self.deliverable.insert(seq);
                }
                Fact::TurnStarted(turn) => {
                    assert_eq!(turn.turn, self.turns.len() as u64 + 1, "{at}");
                    assert!(self.turns.values().all(|ended| *ended == 1), "{at}: two turns at once");
                    self.turns.insert(turn.turn, 0);
                    assert!(
                        self.deliverable.remove(&turn.input_seq),
                        "{at}: a prompt was sent again by itself"
                    );
                }
                Fact::NotDelivered(not) => {
                    assert!(self.deliverable.insert(not.input_seq), "{at}");
                }
                Fact::InputDropped(dropped) => {
                    assert!(self.deliverable.remove(&dropped.input_seq), "{at}: dropped what was given");
                }
                Fact::TurnEnded(turn) => {
                    let times = self.turns.get_mut(&turn.turn).expect("it began");
                    *times += 1;
                    assert_eq!(*times, 1, "{at}: ended twice");
                }
                _ => {}
            }
            self.reach(&kind);
        }
        let waiting: BTreeSet<u64> =
            self.case.state.body.queue.iter().map(|queued| queued.input_seq).collect();
        assert_eq!(waiting, self.deliverable, "{at}: what waits is what was accepted and not given");
    }
}

#[test]
fn any_interleaving_keeps_the_invariants() {
    let mut reached: BTreeMap<String, u64> = BTreeMap::new();
    for seed in 0..60 {
        let mut walk = Walk::new(seed, false);
        for _ in 0..1_000 {
            walk.step();
        }
        walk.check_the_past();
        walk.reached.into_iter().for_each(|(what, times)| *reached.entry(what).or_default() += times);
    }
    let everything = [
        "idle",
        "processing",
        "waiting_permission",
        "suspended",
        "finished",
        "failed",
        "killed",
        "input_dropped",
        "not_delivered",
        "permission_resolved",
        "option_set",
        "agent_exited",
        "unparsed",
        "agent_request_refused",
        "refused BUSY",
        "refused READ_ONLY",
        "refused INVALID_STATE",
        "refused VERSION_CONFLICT",
        "refused ALREADY_DECIDED",
        "refused NOT_OWNER",
        "refused BAD_REQUEST",
    ];
    for what in everything {
        assert!(
            reached.get(what).is_some_and(|times| *times >= 10),
            "{what} was hardly reached: {reached:#?}"
        );
    }
}
