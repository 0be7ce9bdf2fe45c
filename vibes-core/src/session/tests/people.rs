//! Who joins, owns, leaves, comes back, and who may only read.

use super::case::*;
use crate::session::event::{Command, Event, MetadataUpdate, Reply};
use serde_json::json;
use vibes_protocol::model::{ErrorCode, OrphanPolicy, Role, SessionState::*};

/// Ann owns, Ben writes, Eve reads.
fn three() -> Case {
    let mut case = Case::idle();
    case.ok(BEN, Command::Join(joiner(BEN, Role::Writer)));
    case.ok(EVE, Command::Join(joiner(EVE, Role::Viewer)));
    case.forget();
    case
}

#[test]
fn the_first_writer_owns_and_everybody_is_told() {
    let mut case = Case::starting();
    case.effects();
    case.ok(EVE, Command::Join(joiner(EVE, Role::Viewer)));
    assert_eq!(case.kinds(), [""; 0]);
    let Reply::Joined(looked) = case.ok(ANN, Command::Join(joiner(ANN, Role::Writer))) else { panic!() };
    assert_eq!((looked.info.is_owner, looked.info.subscriber_count), (true, 2));
    assert_eq!(case.fact("ownership_changed")["cause"], "joined");
    assert_eq!(case.effects(), ["Ownership"]);
    case.ok(BEN, Command::Join(joiner(BEN, Role::Writer)));
    assert_eq!(case.kinds(), [""; 0]);
    assert_eq!(case.state.body.owner, Some(id(ANN)), "the body keeps it");
}

#[test]
fn a_viewer_is_refused_every_command_that_changes_anything() {
    let mut case = three();
    case.ok(ANN, input("x"));
    let permission = case.question(json!("q"));
    for command in [
        input("x"),
        input_now("x"),
        choose(&permission, "yes"),
        choose(&permission, "no"),
        Command::Interrupt { turn: None },
        Command::Kill,
        Command::Suspend { now: true },
        Command::Resume { context: None },
        Command::Finish,
        Command::Delete,
        Command::Undelete,
        Command::Update(Box::new(MetadataUpdate { pinned: Some(true), ..MetadataUpdate::default() })),
        Command::Transfer(id(EVE)),
        Command::Take,
        Command::SetOption { option_id: "mode".into(), value: json!("auto") },
    ] {
        assert_eq!(case.refused(EVE, command), ErrorCode::ReadOnly);
    }
    assert!(matches!(case.ok(EVE, Command::Look), Reply::Looked(_)));
    case.ok(EVE, Command::Leave);
}

#[test]
fn who_is_not_subscribed_may_act_but_never_joins_by_it() {
    let mut case = three();
    for command in [input("x"), Command::Interrupt { turn: None }, Command::Look] {
        case.ok(9, command);
    }
    assert_eq!(case.state.ownership.seats.len(), 3);
    assert_eq!(case.refused(9, Command::Leave), ErrorCode::NotSubscribed);
    assert_eq!(case.refused(9, Command::Transfer(id(BEN))), ErrorCode::NotOwner);
}

#[test]
fn ownership_is_handed_over_by_the_owner_to_a_writer() {
    let mut case = three();
    assert_eq!(case.refused(BEN, Command::Transfer(id(BEN))), ErrorCode::NotOwner);
    assert_eq!(case.refused(ANN, Command::Transfer(id(EVE))), ErrorCode::ReadOnly);
    assert_eq!(case.refused(ANN, Command::Transfer(id(9))), ErrorCode::NotSubscribed);
    case.ok(ANN, Command::Transfer(id(ANN)));
    assert_eq!(case.kinds(), [""; 0], "to itself is nothing");
    case.ok(ANN, Command::Transfer(id(BEN)));
    assert_eq!(case.fact("ownership_changed")["cause"], "transferred");
    assert_eq!(case.fact("ownership_changed")["owner_label"], "seat2");
}

#[test]
fn a_writer_takes_ownership_and_another_window_takes_it_for_its_seat() {
    let mut case = three();
    case.ok(BEN, Command::Take);
    assert_eq!(case.fact("ownership_changed")["cause"], "taken");
    assert_eq!(case.state.ownership.owner, Some(id(BEN)));
    // A connection beside Ann's seat, with her identity.
    let mut beside = caller(9);
    beside.identity = Some("seat1".into());
    case.feed(Event::Command(beside, Command::Take, 1_000));
    assert_eq!(case.state.ownership.owner, Some(id(ANN)));
    assert_eq!(case.state.ownership.seats.len(), 3);
}

#[test]
fn the_owners_leave_passes_ownership_by_join_order() {
    let mut case = three();
    case.ok(4, Command::Join(joiner(4, Role::Writer)));
    case.ok(ANN, Command::Leave);
    assert_eq!(case.fact("ownership_changed")["cause"], "left");
    assert_eq!(case.state.ownership.owner, Some(id(BEN)));
    case.ok(BEN, Command::Drop { grace_ms: 0 });
    assert_eq!(case.state.ownership.owner, Some(id(4)));
    case.ok(4, Command::Leave);
    assert_eq!(case.fact("ownership_changed")["owner_id"], json!(null));
    case.stands(Idle);
}

#[test]
fn who_is_back_within_its_grace_never_left() {
    for back in [true, false] {
        let mut case =
            Case::idle_with(crate::session::event::Plan { orphan_policy: OrphanPolicy::Remove, ..plan() });
        case.ok(ANN, Command::Drop { grace_ms: 500 });
        assert_eq!(case.state.next_deadline_ms(), Some(T0 + 500));
        case.tick(T0 + 499);
        assert!(case.state.body.stopping.is_none());
        if back {
            case.ok(ANN, Command::Join(joiner(ANN, Role::Writer)));
            assert_eq!(case.kinds(), [""; 0]);
        }
        case.tick(T0 + 500);
        assert_eq!(case.state.body.stopping.is_none(), back);
        assert_eq!(case.state.ownership.owner.is_some(), back);
    }
}

#[test]
fn a_restart_of_the_daemon_is_no_leave_for_sixty_seconds() {
    let mut case = three();
    case.feed(Event::Restored);
    assert_eq!(case.kinds(), [""; 0]);
    assert_eq!(case.state.ownership.owner, Some(id(ANN)));
    assert!(case.state.ownership.seats.values().all(|seat| seat.away_until_ms == Some(T0 + 60_000)));
    assert_eq!(format!("{:?}", case.state.link), "Adopting");
    case.ok(BEN, Command::Join(joiner(BEN, Role::Writer)));
    case.tick(T0 + 59_999);
    assert_eq!(case.kinds(), [""; 0]);
    case.tick(T0 + 60_000);
    assert_eq!(case.state.ownership.owner, Some(id(BEN)));
    assert_eq!(case.state.ownership.seats.len(), 1);
}

#[test]
fn an_owner_who_joins_again_to_read_gives_up_ownership() {
    let mut case = three();
    case.ok(ANN, Command::Join(joiner(ANN, Role::Viewer)));
    assert_eq!(case.state.ownership.owner, Some(id(BEN)));
    assert_eq!(case.refused(ANN, input("x")), ErrorCode::ReadOnly);
}

#[test]
fn a_look_tells_members_in_join_order_and_who_looks() {
    let mut case = three();
    case.ok(BEN, Command::Drop { grace_ms: 1_000 });
    let Reply::Looked(looked) = case.ok(EVE, Command::Look) else { panic!() };
    let members: Vec<_> =
        looked.members.iter().map(|m| (m.client_id, m.is_owner, m.is_you, m.connected)).collect();
    assert_eq!(
        members,
        [(id(ANN), true, false, true), (id(BEN), false, false, false), (id(EVE), false, true, true)]
    );
}

#[test]
fn a_refusal_from_inside_an_agent_is_recorded() {
    let mut case = Case::idle();
    case.ok(9, Command::NoteRefused { request: "kill_session" });
    assert_eq!(
        (case.fact("refused")["request"].as_str(), case.fact("refused")["pid"].as_i64()),
        (Some("kill_session"), Some(7))
    );
}
