//! A budget that is spent pauses a session between two turns, and a person goes on.

use super::case::*;
use crate::{
    budgets::{Budgets, DirectoryBudget},
    session::event::{Command, MetadataUpdate},
};
use serde_json::json;
use std::sync::Arc;
use vibes_protocol::model::{
    BudgetScope, Cost, ErrorCode, SessionState::*, SuspendReason, fact::BudgetSpent,
};

/// The agent says what its conversation has cost, in this process.
fn total(case: &mut Case, amount: f64) {
    let cost = json!({"amount": amount, "currency": "USD"});
    let update = json!({"sessionUpdate": "usage_update", "used": 1, "size": 2, "cost": cost});
    case.say(
        json!({"jsonrpc": "2.0", "method": "session/update", "params": {"sessionId": "s", "update": update}}),
    );
}

fn budget(amount: f64) -> Command {
    Command::Update(Box::new(MetadataUpdate { budget: Some(Some(amount)), ..MetadataUpdate::default() }))
}

fn again(case: &mut Case) {
    case.ok(ANN, Command::Resume { context: None });
    case.live();
    case.open();
}

fn paused(case: &mut Case) {
    case.exit(0);
    case.stands(Suspended);
    assert_eq!(case.state.body.suspended, Some(SuspendReason::Budget));
}

fn refusal(case: &mut Case) -> String {
    let tag = case.ask(ANN, input("more"));
    match case.reply(tag) {
        Some(Err(error)) if error.code == ErrorCode::InvalidState => error.message.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_session_pauses_after_the_turn_that_spends_its_budget_and_keeps_its_queue() {
    let mut case = Case::idle();
    case.ok(ANN, budget(1.0));
    case.ok(ANN, input("work"));
    case.ok(ANN, input("later"));
    total(&mut case, 0.5);
    case.end_turn("end_turn");
    case.stands(Processing);
    total(&mut case, 1.5);
    case.ok(ANN, input("last"));
    case.stands(Processing);
    case.forget();
    case.end_turn("end_turn");
    assert_eq!(case.kinds(), ["turn_ended", "state_changed", "budget_spent"]);
    assert_eq!(case.fact("budget_spent")["spent"]["amount"], 1.5);
    assert!(case.effects().contains(&"Stop".to_owned()));
    paused(&mut case);
    assert_eq!(case.fact("state_changed")["reason"], "its budget of $1.00 is spent ($1.50)");
    assert_eq!((case.state.body.queue.len(), case.state.body.turns), (1, 2));
    assert!(refusal(&mut case).contains("--budget +5"));
    // On purpose: for one turn.
    again(&mut case);
    case.stands(Processing);
    case.ok(ANN, input("one more"));
    case.end_turn("end_turn");
    paused(&mut case);
    assert_eq!((case.state.body.queue.len(), case.state.body.turns), (1, 3));
    // Or with a budget that was raised: for as long as it lasts.
    case.ok(ANN, budget(5.0));
    again(&mut case);
    case.stands(Processing);
    case.end_turn("end_turn");
    case.stands(Idle);
    case.ok(ANN, budget(0.0));
    case.ok(ANN, input("x"));
    total(&mut case, 100.0);
    case.end_turn("end_turn");
    case.stands(Idle);
    assert_eq!(case.refused(ANN, budget(-1.0)), ErrorCode::BadRequest);
    assert_eq!(case.refused(ANN, budget(f64::NAN)), ErrorCode::BadRequest);
}

#[test]
fn what_is_told_after_a_turn_and_a_budget_that_is_lowered_pause_as_well() {
    let mut case = Case::idle();
    case.ok(ANN, budget(1.0));
    case.ok(ANN, input("work"));
    case.end_turn("end_turn");
    case.stands(Idle);
    total(&mut case, 1.0);
    paused(&mut case);
    let mut case = Case::idle();
    case.ok(ANN, input("work"));
    total(&mut case, 1.0);
    case.end_turn("end_turn");
    case.stands(Idle);
    case.ok(ANN, budget(0.5));
    paused(&mut case);
}

#[test]
fn what_others_spent_is_asked_for_before_a_turn_and_after_it() {
    let mut case = Case::idle();
    let directory = vec![DirectoryBudget { path: "/tmp".into(), day: Some(1.0), total: None }];
    case.state.budgets = Arc::new(Budgets { directory, ..Budgets::default() });
    let counts = |case: &mut Case| case.effects().iter().filter(|effect| *effect == "Count").count();
    let counted = |case: &mut Case, spent: Option<BudgetSpent>| {
        case.ok(BEN, Command::Counted(Box::new(spent)));
    };
    case.ok(ANN, input("work"));
    case.ok(ANN, input("later"));
    case.stands(Idle);
    assert_eq!(counts(&mut case), 1, "it is asked once");
    counted(&mut case, None);
    case.stands(Processing);
    case.end_turn("end_turn");
    case.stands(Idle);
    assert_eq!(counts(&mut case), 1, "what was said before the turn does not count after it");
    let spent = Cost { amount: 1.25, currency: "USD".into(), estimated: false };
    let scope = BudgetScope::DirectoryDay;
    let over = BudgetSpent { scope, budget: 1.0, spent, directory: Some("/tmp".into()) };
    counted(&mut case, Some(over.clone()));
    paused(&mut case);
    let told = refusal(&mut case);
    assert!(told.contains("the budget of today for /tmp of $1.00") && !told.contains("--budget"), "{told}");
    again(&mut case);
    case.stands(Processing);
    case.end_turn("end_turn");
    counted(&mut case, Some(over));
    paused(&mut case);
    assert_eq!(case.state.body.turns, 2);
    // What comes late changes nothing.
    counted(&mut case, None);
    case.stands(Suspended);
}
