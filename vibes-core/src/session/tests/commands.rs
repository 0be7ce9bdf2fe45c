//! Options, metadata, deletion.

use super::case::*;
use crate::session::event::{Command, Event, MetadataUpdate, Reply};
use serde_json::{Map, Value, json};
use vibes_protocol::model::{ErrorCode, OrphanPolicy, SessionState::*};

fn set(option_id: &str, value: &str) -> Command {
    Command::SetOption { option_id: option_id.into(), value: json!(value) }
}

fn update(update: MetadataUpdate) -> Command {
    Command::Update(Box::new(update))
}

#[test]
fn an_option_is_set_when_the_agent_says_so_and_kept_for_the_next_start() {
    let mut case = Case::idle();
    let tag = case.ask(ANN, set("mode", "auto"));
    assert!(case.reply(tag).is_none());
    case.result("session/set_mode", json!({}));
    assert_eq!(case.kinds(), ["option_set"]);
    assert!(matches!(case.reply(tag), Some(Ok(Reply::Ok))));
    assert_eq!(case.state.body.launch.options["mode"], "auto");
    assert_eq!(case.state.info().options["mode"], "auto");
}

#[test]
fn an_option_the_agent_refuses_or_never_answers_is_told() {
    let mut case = Case::idle();
    let tag = case.ask(ANN, set("mode", "auto"));
    case.error("session/set_mode", "not now");
    assert_eq!(case.kinds(), [""; 0]);
    assert_eq!(case.reply(tag).unwrap().as_ref().unwrap_err().code, ErrorCode::AgentFailed);
    let tag = case.ask(ANN, set("mode", "auto"));
    case.exit(0);
    assert_eq!(case.reply(tag).unwrap().as_ref().unwrap_err().code, ErrorCode::AgentStartFailed);
}

#[test]
fn options_that_are_not_offered_are_refused_with_those_that_are() {
    let mut case = Case::idle();
    assert_eq!(case.refused(ANN, set("speed", "x")), ErrorCode::BadRequest);
    assert_eq!(case.refused(ANN, set("mode", "fly")), ErrorCode::BadRequest);
    let tag = case.ask(ANN, set("mode", "fly"));
    assert!(case.reply(tag).unwrap().as_ref().unwrap_err().message.contains("ask, auto"));
    assert_eq!(Case::starting().refused(ANN, set("mode", "auto")), ErrorCode::InvalidState);
}

#[test]
fn a_mode_the_agent_changes_by_itself_is_kept() {
    let mut case = Case::processing();
    case.say(json!({"jsonrpc": "2.0", "method": "session/update", "params": {"sessionId": "s", "update":
        {"sessionUpdate": "current_mode_update", "currentModeId": "auto"}}}));
    assert_eq!(case.state.body.launch.options["mode"], "auto");
}

#[test]
fn metadata_is_changed_whole_and_counted() {
    let mut case = Case::idle();
    assert_eq!(case.state.body.version, 1);
    let free: Map<String, Value> = json!({"a": 1}).as_object().cloned().unwrap();
    case.ok(
        ANN,
        update(MetadataUpdate {
            version: Some(1),
            name: Some(Some("n".into())),
            description: Some(Some("d".into())),
            metadata: Some(free.clone()),
            ttl_s: Some(Some(60)),
            orphan_policy: Some(OrphanPolicy::Remove),
            budget: None,
            pinned: Some(true),
            approval_deadline_s: None,
            detached: None,
        }),
    );
    assert_eq!(case.kinds(), ["renamed", "metadata_changed"]);
    let info = case.state.info();
    assert_eq!(
        (info.name.as_deref(), info.description.as_deref(), info.metadata),
        (Some("n"), Some("d"), free)
    );
    assert_eq!(
        (info.ttl_s, info.orphan_policy, info.pinned, info.version),
        (Some(60), OrphanPolicy::Remove, true, 2)
    );
    assert_eq!(case.fact("metadata_changed")["changes"].as_object().unwrap().len(), 6);
    // What is not named stays; null takes away.
    case.ok(ANN, update(MetadataUpdate { name: Some(None), ..MetadataUpdate::default() }));
    assert_eq!(case.fact("renamed")["name"], json!(null));
    assert_eq!((case.state.body.name.as_deref(), case.state.body.description.as_deref()), (None, Some("d")));
}

#[test]
fn a_change_based_on_an_old_version_is_refused() {
    let mut case = Case::idle();
    let rename = |version| {
        update(MetadataUpdate { version, name: Some(Some("n".into())), ..MetadataUpdate::default() })
    };
    case.ok(ANN, rename(Some(1)));
    assert_eq!(case.refused(BEN, rename(Some(1))), ErrorCode::VersionConflict);
    assert_eq!(case.refused(BEN, rename(Some(3))), ErrorCode::VersionConflict);
    case.ok(BEN, rename(None));
    assert_eq!(case.state.body.version, 3);
    assert_eq!(case.refused(BEN, update(MetadataUpdate::default())), ErrorCode::BadRequest);
    assert_eq!(
        case.refused(BEN, update(MetadataUpdate { version: Some(3), ..MetadataUpdate::default() })),
        ErrorCode::BadRequest
    );
}

#[test]
fn turns_do_not_count_as_changes_of_metadata() {
    let mut case = Case::processing();
    case.end_turn("end_turn");
    case.ok(ANN, Command::Leave);
    assert_eq!(case.state.body.version, 1);
}

#[test]
fn only_what_does_not_run_is_deleted_and_there_is_a_way_back() {
    for mut case in [Case::starting(), Case::idle(), Case::processing()] {
        assert_eq!(case.refused(ANN, Command::Delete), ErrorCode::InvalidState);
        assert_eq!(case.refused(ANN, Command::Undelete), ErrorCode::InvalidState);
    }
    for killed in [true, false] {
        let mut case = Case::idle();
        if killed {
            case.ask(ANN, Command::Kill);
        }
        case.exit(0);
        case.effects();
        case.ok(ANN, Command::Delete);
        assert_eq!(case.effects(), ["Removed"]);
        assert!(case.state.info().deleted_at.is_some());
        assert_eq!(case.refused(ANN, Command::Delete), ErrorCode::InvalidState);
        assert_eq!(case.refused(ANN, Command::Resume { context: None }), ErrorCode::InvalidState);
        case.ok(ANN, Command::Undelete);
        assert_eq!(case.effects(), if killed { vec![] } else { vec!["Created"] });
        assert_eq!(case.refused(ANN, Command::Undelete), ErrorCode::InvalidState);
        case.ok(ANN, Command::Resume { context: None });
        case.stands(Starting);
    }
}

#[test]
fn what_is_ephemeral_is_deleted_when_it_ends_until_somebody_wants_it() {
    let mut case = Case::idle_with(crate::session::event::Plan { ephemeral: true, ..plan() });
    assert!(case.state.info().deleted_at.is_none());
    case.ask(ANN, Command::Kill);
    case.exit(0);
    case.stands(Killed);
    assert!(case.state.info().deleted_at.is_some());
    assert!(case.state.may_be_purged(None).is_ok());
    case.ok(ANN, Command::Undelete);
    case.ok(ANN, Command::Resume { context: None });
    case.live();
    case.open();
    case.ask(ANN, Command::Kill);
    case.exit(0);
    assert!(case.state.info().deleted_at.is_none(), "it was wanted");
}

#[test]
fn only_what_is_deleted_is_purged_and_only_if_it_was_by_then() {
    let mut case = Case::idle();
    assert_eq!(case.refused(ANN, Command::Purge(None)), ErrorCode::InvalidState);
    case.ask(ANN, Command::Kill);
    assert_eq!(case.refused(ANN, Command::Purge(None)), ErrorCode::InvalidState, "its agent still runs");
    case.exit(0);
    assert_eq!(case.refused(ANN, Command::Purge(None)), ErrorCode::InvalidState, "it is not deleted");
    case.ok(ANN, Command::Delete);
    case.forget();
    let at = case.state.body.deleted_ms.expect("it is deleted");
    assert_eq!(case.refused(ANN, Command::Purge(Some(at - 1))), ErrorCode::InvalidState);
    for by in [None, Some(at)] {
        let tag = case.ask(ANN, Command::Purge(by));
        assert_eq!((case.effects(), case.kinds()), (vec!["Purge".to_owned()], vec![]));
        assert!(case.reply(tag).is_none(), "it is answered when it is done");
    }
    case.ok(ANN, Command::Undelete);
    assert!(case.state.may_be_purged(None).is_err(), "what was asked before is looked at again");
}

#[test]
fn waiting_for_ready_is_answered_at_once_when_there_is_nothing_to_wait_for() {
    for mut case in [Case::idle(), Case::processing(), Case::asking().0] {
        case.ok(ANN, Command::WaitReady);
    }
}

#[test]
fn a_session_that_was_stored_but_never_begun_begins_after_a_restart() {
    let fresh = Case::starting().state;
    let state = crate::session::state::State::new(fresh.body.id, plan(), 1, T0);
    let mut case = Case::around(state);
    case.feed(Event::Restored);
    assert_eq!(case.kinds(), ["created", "agent_started"]);
    assert_eq!(case.effects(), ["Start", "Created"]);
}
