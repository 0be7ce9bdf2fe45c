//! Clocks that jump: the wall clock is set forth and back, under a session and between two daemons.

use super::case::*;
use crate::session::{
    event::{Command, Event, Reply},
    state::{KEY_KEPT_MS, KEY_LIFE_MS},
    step::CANCEL_MS,
};
use vibes_protocol::model::{Role, SessionState::*};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// Beyond what 32 bits of seconds can count.
const FAR_MS: i64 = 0x8000_0000 * 1000;

fn stops(case: &mut Case) -> bool {
    case.effects().iter().any(|effect| effect == "Stop")
}

#[test]
fn fault_74_no_jump_of_the_wall_clock_lets_a_deadline_pass_or_stand_still() {
    for jump in [400 * DAY_MS, -DAY_MS, FAR_MS] {
        let (mut case, permission) = Case::asking();
        case.ok(BEN, Command::Join(joiner(BEN, Role::Writer)));
        case.ok(ANN, keyed("once", "k"));
        let Reply::Accepted(first) = case.ok(ANN, keyed("once", "k")) else { panic!() };
        case.ok(BEN, Command::Drop { grace_ms: 10_000 });
        case.forget();
        case.skew = jump;
        case.tick(case.now + 9_999);
        assert!(case.state.ownership.seats.contains_key(&id(BEN)), "{jump}: the seat waits");
        assert!(case.kinds().is_empty(), "{jump}: nothing has happened");
        let Reply::Accepted(again) = case.ok(ANN, keyed("once", "k")) else { panic!() };
        assert_eq!(first, again, "{jump}: the key is known");
        assert_eq!(case.state.next_deadline_ms(), Some(case.now + 1), "{jump}");
        case.tick(case.now + 1);
        assert!(!case.state.ownership.seats.contains_key(&id(BEN)), "{jump}: the seat waits for ever");
        case.ok(ANN, choose(&permission, "yes"));
        case.ask(ANN, Command::Suspend { now: true });
        case.skew = 0;
        case.tick(case.now + CANCEL_MS - 1);
        assert!(!stops(&mut case), "{jump}: the turn has its moment to end");
        case.tick(case.now + 1);
        assert!(stops(&mut case), "{jump}: and no longer");
    }
}

#[test]
fn fault_74_the_time_of_records_never_falls_and_is_the_wall_clocks_again_when_that_comes_by() {
    let mut case = Case::idle();
    case.skew = DAY_MS;
    // Counts as no activity, and has its time all the same.
    case.ok(ANN, Command::NoteRefused { request: "kill_session" });
    let ahead = case.told;
    assert_eq!(ahead, case.now + DAY_MS);
    assert!(case.state.last_ms < ahead);
    case.skew = 0;
    case.ok(ANN, input("x"));
    assert_eq!(case.told, ahead);
    case.now += DAY_MS + 1;
    case.ok(ANN, input("y"));
    assert_eq!(case.told, ahead + 1);
    assert_eq!(case.state.last_ms, case.told);
}

#[test]
fn fault_74_a_new_daemon_takes_no_moment_of_the_old_ones_clock_for_exact() {
    for jump in [400 * DAY_MS, -DAY_MS] {
        let mut case = Case::processing();
        let Reply::Accepted(first) = case.ok(ANN, keyed("once", "k")) else { panic!() };
        case.ask(ANN, Command::Suspend { now: true });
        case.forget();
        case.now += jump;
        case.feed(Event::Restored);
        case.tick(case.now + CANCEL_MS - 1);
        assert!(!stops(&mut case), "{jump}: the stop is in no hurry");
        case.tick(case.now + 1);
        assert!(stops(&mut case), "{jump}: and does not wait for ever");
        case.exit(0);
        // Old ones are forgotten when there is a new one.
        case.ok(ANN, keyed("another", "a"));
        let Reply::Accepted(again) = case.ok(ANN, keyed("once", "k")) else { panic!() };
        assert_eq!(first, again, "{jump}: a key that was used is known for a while");
        case.now += KEY_KEPT_MS.max(KEY_LIFE_MS);
        case.ok(ANN, keyed("other", "l"));
        assert_eq!(case.state.keys.keys().collect::<Vec<_>>(), ["l"], "{jump}: not for ever");
        assert!(case.state.ownership.seats.contains_key(&id(ANN)));
    }
}

#[test]
fn fault_74_crashes_of_a_time_to_come_are_forgotten_a_minute_later() {
    let mut case = Case::processing();
    for _ in 0..3 {
        case.exit(1);
        case.stands(Starting);
        case.live();
        case.open();
        case.ok(ANN, input("work"));
    }
    case.now -= DAY_MS;
    case.feed(Event::Restored);
    case.live();
    case.now += 60_001;
    case.exit(1);
    case.stands(Starting);
}
