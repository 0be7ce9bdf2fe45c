//! The ledger: what a row says of its turn, and that costs add up whichever way an agent counts.

use super::case::*;
use crate::{
    prices::{Price, Prices},
    session::{event::Command, ledger::parts, state::State},
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use vibes_protocol::model::{Cost, SessionState::Suspended, TurnInfo, TurnOutcome};

/// The last row.
fn row(state: &State) -> TurnInfo {
    let none = Default::default();
    state.ledger.changed(&none).last().expect("there is a turn").clone()
}

fn update(case: &mut Case, update: Value) {
    case.say(
        json!({"jsonrpc": "2.0", "method": "session/update", "params": {"sessionId": "s", "update": update}}),
    );
}

/// The agent says what its conversation has cost.
fn total(case: &mut Case, amount: f64) {
    let cost = json!({"amount": amount, "currency": "USD"});
    update(case, json!({"sessionUpdate": "usage_update", "used": 1, "size": 2, "cost": cost}));
}

fn turn(case: &mut Case, amount: f64) -> f64 {
    case.ok(ANN, input("work"));
    total(case, amount);
    case.end_turn("end_turn");
    row(&case.state).cost.map_or(0.0, |cost| cost.amount)
}

fn suspended(case: &mut Case) {
    case.ask(ANN, Command::Suspend { now: true });
    case.exit(0);
    case.stands(Suspended);
}

fn again(case: &mut Case) {
    case.ok(ANN, Command::Resume { context: None });
    case.live();
    case.open();
}

fn spent(case: &Case) -> f64 {
    case.state.body.cost.as_ref().map_or(0.0, |cost| cost.amount)
}

#[test]
fn a_row_says_what_the_records_say() {
    let mut case = Case::idle();
    case.ok(ANN, input("make it so"));
    let begun = row(&case.state);
    assert_eq!((begun.turn, begun.prompt.as_str(), begun.outcome), (1, "make it so", None));
    assert_eq!((begun.first_seq, begun.last_seq), (case.state.head - 1, None));
    case.now += 5_000;
    let usage = json!({"inputTokens": 10, "outputTokens": 5});
    case.result("session/prompt", json!({"stopReason": "max_tokens", "usage": usage}));
    let ended = row(&case.state);
    assert_eq!(ended.outcome, Some(TurnOutcome::Finished));
    assert_eq!((ended.ended_ms, ended.stop_reason.as_deref()), (Some(T0 + 5_000), Some("max_tokens")));
    assert_eq!(ended.usage.map(|usage| usage.input_tokens), Some(10));
    assert_eq!(case.facts[ended.last_seq.unwrap_or_default() as usize - 1]["kind"], "turn_ended");
    // Each way for a turn to end has its outcome.
    case.ok(ANN, input("x"));
    case.error("session/prompt", "overloaded");
    let failed = row(&case.state);
    assert_eq!(
        (failed.outcome, failed.error.as_deref()),
        (Some(TurnOutcome::Failed), Some("overloaded (code -1)"))
    );
    case.ok(ANN, input("x"));
    case.ok(ANN, Command::Interrupt { turn: None });
    case.end_turn("end_turn");
    assert_eq!(row(&case.state).outcome, Some(TurnOutcome::Interrupted), "whatever the agent calls it");
    case.ok(ANN, input("x"));
    case.gone(lost(case.state.body.last_frame));
    assert_eq!(row(&case.state).outcome, Some(TurnOutcome::Unknown));
    assert_eq!(row(&case.state).turn, 4);
    let long = "ä".repeat(2_000);
    let mut case = Case::idle();
    case.ok(ANN, input(&long));
    assert_eq!(row(&case.state).prompt.chars().count(), 501);
}

#[test]
fn costs_add_up_whether_a_count_goes_on_or_begins_anew_with_the_process() {
    for (goes_on, third) in [(true, 0.75), (false, 0.25)] {
        let mut case = Case::idle();
        assert_eq!([turn(&mut case, 0.25), turn(&mut case, 0.5)], [0.25, 0.25]);
        suspended(&mut case);
        again(&mut case);
        assert_eq!(turn(&mut case, third), 0.25, "goes on: {goes_on}");
        assert_eq!(turn(&mut case, third), 0.0, "nothing more was spent");
        assert_eq!(spent(&case), 0.75);
        case.exit(1);
        case.live();
        case.open();
        assert_eq!(turn(&mut case, if goes_on { 0.875 } else { 0.125 }), 0.125, "goes on: {goes_on}");
        assert_eq!(spent(&case), 0.875);
    }
}

#[test]
fn what_is_told_before_the_first_prompt_was_spent_before_and_after_a_turn_by_that_turn() {
    let mut case = Case::idle();
    // A conversation that began elsewhere.
    total(&mut case, 3.0);
    assert_eq!(turn(&mut case, 3.5), 0.5);
    total(&mut case, 3.75);
    assert_eq!((row(&case.state).cost.expect("it said so").amount, spent(&case)), (0.75, 0.75));
    suspended(&mut case);
    again(&mut case);
    // It says where it stands: so a first turn that costs more than all before is counted whole.
    total(&mut case, 0.0);
    assert_eq!(turn(&mut case, 9.0), 9.0);
    assert_eq!(spent(&case), 9.75);
}

#[test]
fn tokens_become_money_by_the_price_table_and_are_marked() {
    let mut case = Case::idle();
    let price = Price { input: 2.0, output: 10.0, cache_read: None, cache_write: None };
    case.state.prices = Prices(BTreeMap::from([("m-*".to_owned(), price)])).into();
    let quota = json!({"token_count": {"input_tokens": 1_000, "output_tokens": 100},
        "model_usage": [{"model": "m-1", "token_count": {"input_tokens": 1_000, "output_tokens": 100}}]});
    let result = json!({"stopReason": "end_turn", "_meta": {"quota": quota}});
    case.ok(ANN, input("x"));
    case.result("session/prompt", result.clone());
    let cost = Cost { amount: 0.003, currency: "USD".to_owned(), estimated: true };
    assert_eq!((row(&case.state).cost, &case.state.body.cost), (Some(cost.clone()), &Some(cost.clone())));
    assert_eq!(case.fact("turn_ended")["cost"], json!(cost));
    assert_eq!(case.fact("turn_ended")["models"]["m-1"]["cost"]["estimated"], true);
    // What the agent says itself counts.
    case.ok(ANN, input("x"));
    total(&mut case, 0.5);
    case.result("session/prompt", result.clone());
    let told = row(&case.state).cost.expect("it said so");
    assert_eq!((told.amount, told.estimated, spent(&case)), (0.5, false, 0.503));
    // An agent that knows no price says nought.
    case.ok(ANN, input("x"));
    total(&mut case, 0.5);
    case.result("session/prompt", result);
    assert_eq!(row(&case.state).cost, Some(cost));
}

#[test]
fn files_count_when_their_call_went_well() {
    let mut case = Case::idle();
    case.ok(ANN, input("x"));
    let call = |case: &mut Case, id: &str, path: &str| {
        update(
            case,
            json!({"sessionUpdate": "tool_call", "toolCallId": id, "title": "t", "kind": "edit",
            "status": "in_progress", "locations": [{"path": path}]}),
        );
    };
    let over = |case: &mut Case, id: &str, status: &str| {
        update(case, json!({"sessionUpdate": "tool_call_update", "toolCallId": id, "status": status}));
    };
    for (id, path) in [("a", "/a"), ("b", "/b"), ("c", "/c"), ("d", "/a")] {
        call(&mut case, id, path);
    }
    assert!(row(&case.state).files.is_empty(), "nothing is done yet");
    over(&mut case, "a", "completed");
    over(&mut case, "b", "failed");
    over(&mut case, "d", "completed");
    assert_eq!(row(&case.state).files, ["/a"]);
    case.end_turn("end_turn");
    assert_eq!(row(&case.state).files, ["/a", "/c"], "agents forget to close their calls");
    case.ok(ANN, input("y"));
    call(&mut case, "e", "/e");
    case.ok(ANN, Command::Interrupt { turn: None });
    case.end_turn("cancelled");
    assert!(row(&case.state).files.is_empty(), "it was cut short");
    assert!(case.state.body.touching.is_empty());
    case.ok(ANN, input("z"));
    for n in 0..150 {
        call(&mut case, &format!("n{n}"), &format!("/{n}"));
        over(&mut case, &format!("n{n}"), "completed");
    }
    assert_eq!((row(&case.state).files.len(), row(&case.state).more_files), (100, 50));
}

#[test]
fn the_parts_of_a_turn_add_up_to_it() {
    let turn = |more: Value| {
        let mut turn = json!({"turn": 1, "usage": {"input_tokens": 9, "output_tokens": 1}});
        turn.as_object_mut().expect("fields").extend(more.as_object().expect("fields").clone());
        let parts = parts(&serde_json::from_value(turn).expect("a turn"));
        parts.into_iter().map(|part| (part.model, part.amount, part.usage.input_tokens)).collect::<Vec<_>>()
    };
    let of = |model: &str, amount: u64, tokens: u64| (model.to_owned(), amount, tokens);
    assert_eq!(turn(json!({})), [of("", 0, 9)], "nobody said which model");
    let usd = |amount: f64| json!({"amount": amount, "currency": "USD"});
    let models = json!({"a": {"input_tokens": 1, "cost": usd(0.25)}, "b": {"input_tokens": 2}, "c": {"input_tokens": 6}});
    assert_eq!(
        turn(json!({"cost": usd(1.0), "models": models})),
        [of("a", 333_333_333, 1), of("b", 166_666_666, 2), of("c", 500_000_001, 6)],
        "what was told by model, and the rest by tokens"
    );
    assert_eq!(turn(json!({"usage": null, "cost": usd(0.5)})), [of("", 500_000_000, 0)]);
    assert_eq!(turn(json!({"usage": null})), [], "it took nothing");
}
