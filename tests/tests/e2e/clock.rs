//! The wall clock is set, and the machine sleeps: nothing expires, nothing that waits is lost.
//!
//! Invariant: a clock that jumps is a file that the programs under test read, so no case waits for time. Programs
//! without points do not read it; then these tests are ignored and say so.

use rustix::process::Signal;
use serde_json::{Value, json};
use std::fs;
use vibes_runner::points::CLOCK;
use vibes_tests::{TestEnv, Wire, eventually, oracle, processes};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// Beyond what 32 bits of seconds can count.
const FAR_MS: i64 = 0x8000_0000 * 1000;

/// The wall clock of an environment's programs.
struct Clock(String);

impl Clock {
    /// Starts a daemon that goes by this clock.
    fn started(env: &TestEnv) -> Self {
        let clock = Self(env.path("clock"));
        clock.set(0);
        clock.start(env);
        clock
    }

    fn start(&self, env: &TestEnv) {
        env.spawn_vibes(&["daemon", "start"], "", &[(CLOCK, &self.0)]).wait().ok();
    }

    /// How far it is off from now on, in milliseconds. Whoever reads it meanwhile reads the old or the new number.
    fn set(&self, skew_ms: i64) {
        let beside = format!("{}.new", self.0);
        fs::write(&beside, skew_ms.to_string()).expect("it is written");
        fs::rename(&beside, &self.0).expect("it is renamed");
    }
}

/// A session whose agent waits for an answer, one whose agent works, and a client that is away from the first.
struct Waiting {
    ada: Wire,
    asks: String,
    works: String,
    permission: Value,
    /// Who is away: id and token.
    bob: (String, String),
}

impl Waiting {
    fn new(env: &TestEnv) -> Self {
        let mut ada = env.client("ada");
        let [asks, works] = [(); 2].map(|()| ada.create(env, json!({"subscribe": true})));
        ada.prompt(&works, &format!("sleep_until {}\nsay worked", env.path("go")));
        ada.fact(&works, "turn_started");
        ada.prompt(&asks, "ask t1 rm\nsay onward");
        let permission = ada.permission(&asks);
        let mut bob = env.connect();
        bob.hello(json!({"identity": "bob", "grace_ms": 60_000}));
        bob.subscribe(&asks, "end", "writer");
        let named = (bob.client_id.clone(), bob.resume_token.clone());
        drop(bob);
        let mut waiting = Self { ada, asks, works, permission, bob: named };
        eventually("bob is away", || (waiting.seat_of_bob()?["connected"] == false).then_some(()));
        waiting
    }

    fn seat_of_bob(&mut self) -> Option<Value> {
        let members = self.ada.ok("who", json!({"session_id": self.asks}))["members"].take();
        members.as_array()?.iter().find(|member| member["client_id"] == *self.bob.0).cloned()
    }

    /// Both sessions have looked at the clock: each has taken in what somebody did, several times.
    fn looked_at_the_clock(&self, env: &TestEnv) {
        let mut passer_by = env.client("passer-by");
        for session in [&self.asks, &self.works, &self.asks, &self.works, &self.asks, &self.works] {
            passer_by.subscribe(session, "end", "viewer");
            passer_by.ok("unsubscribe", json!({"session_ids": [session]}));
        }
    }

    /// Whatever waited still does, is answered, and goes on.
    fn goes_on(mut self, env: &TestEnv) -> Wire {
        self.looked_at_the_clock(env);
        let seat = self.seat_of_bob().expect("bob's place is kept");
        assert_eq!(seat["connected"], false);
        let info = self.ada.ok("get_session", json!({"session_id": self.asks}))["session"].take();
        assert_eq!(info["state"], "waiting_permission", "{info}");
        let mut bob = env.connect();
        let welcome = bob.hello(json!({"client_id": self.bob.0, "resume_token": self.bob.1}));
        assert_eq!(welcome["client_id"], *self.bob.0);
        bob.subscribe(&self.asks, "end", "writer");
        assert_eq!(self.ada.decide(&self.asks, &self.permission, "allow_once")["type"], "ok");
        self.ada.said(&self.asks, "answer t1 allowonward");
        fs::write(env.path("go"), "").expect("a file can be made");
        self.ada.said(&self.works, "worked");
        for session in [&self.asks, &self.works] {
            let ended = self.ada.fact(session, "turn_ended");
            assert_eq!(ended["fact"]["outcome"], "finished", "{ended}");
            let times: Vec<_> =
                self.ada.stream(session).iter().map(|record| record["at_ms"].as_i64()).collect();
            assert!(times.is_sorted(), "the time of records falls: {times:?}");
        }
        self.ada
    }
}

fn at_ms(wire: &Wire, session: &str) -> i64 {
    let last = wire.stream(session).last().expect("there are records");
    last["at_ms"].as_i64().expect("a record has a time")
}

#[test]
#[cfg_attr(not(feature = "points"), ignore = "needs programs with points: --features points")]
fn fault_74_a_clock_that_is_set_lets_nothing_expire_and_no_records_time_fall() {
    for jump in [400 * DAY_MS, -DAY_MS, FAR_MS] {
        let env = TestEnv::new();
        let clock = Clock::started(&env);
        let waiting = Waiting::new(&env);
        let (session, before) = (waiting.asks.clone(), at_ms(&waiting.ada, &waiting.asks));
        clock.set(jump);
        let ada = waiting.goes_on(&env);
        let by = at_ms(&ada, &session) - before;
        assert!(by >= jump, "the clock was not set: {by}");
        oracle::check(&env);
    }
}

#[test]
#[cfg_attr(not(feature = "points"), ignore = "needs programs with points: --features points")]
fn fault_74_a_clock_that_is_set_between_two_daemons_lets_nothing_expire() {
    for jump in [400 * DAY_MS, -DAY_MS] {
        let env = TestEnv::new();
        let clock = Clock::started(&env);
        let mut waiting = Waiting::new(&env);
        let keyed = json!({"session_id": waiting.works, "content": "say once", "idempotency_key": "k"});
        let accepted = waiting.ada.ok("input", keyed.clone())["seq"].take();
        env.daemon().kill9();
        clock.set(jump);
        clock.start(&env);
        let mut ada = env.connect();
        ada.hello(json!({"client_id": waiting.ada.client_id, "resume_token": waiting.ada.resume_token}));
        for session in [&waiting.asks, &waiting.works] {
            ada.subscribe(session, 0, "writer");
        }
        ada.permission(&waiting.asks);
        assert_eq!(ada.ok("input", keyed)["seq"], accepted, "the same input again is not a second one");
        waiting.ada = ada;
        waiting.goes_on(&env);
        oracle::check(&env);
    }
}

#[test]
#[cfg_attr(not(feature = "points"), ignore = "needs programs with points: --features points")]
fn fault_75_a_machine_that_slept_for_eight_hours_goes_on_where_it_was() {
    let env = TestEnv::new();
    let clock = Clock::started(&env);
    let mut waiting = Waiting::new(&env);
    let status = waiting.ada.ok("daemon_status", json!({}));
    let runners = status["runners"].as_array().into_iter().flatten();
    let agents = runners.flat_map(|runner| ["pid", "agent_pid"].map(|name| runner[name].as_i64()));
    let all: Vec<i32> =
        agents.chain([status["pid"].as_i64()]).flatten().map(|pid| pid.try_into().expect("a pid")).collect();
    assert_eq!(all.len(), 5, "two runners, two agents and the daemon: {status}");
    for pid in &all {
        processes::signal(*pid, Signal::STOP);
    }
    clock.set(8 * 60 * 60 * 1000);
    // Nobody wakes in an order.
    for pid in &all {
        processes::signal(*pid, Signal::CONT);
    }
    waiting.goes_on(&env);
    oracle::check(&env);
}
