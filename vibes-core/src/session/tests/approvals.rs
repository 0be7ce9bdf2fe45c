//! Answers that no person gives: rules, deadlines, nobody there; and that each question is resolved once all the same.

use super::case::*;
use crate::{
    rules::Judgement,
    session::{
        ApprovalPolicy,
        event::{Answer, Command, Event, Plan, Widen},
    },
};
use serde_json::json;
use vibes_protocol::model::{Detached, ErrorCode, How, Permission, Role, SessionState::*, Verdict};

/// A session whose person has rules.
fn judged() -> Case {
    let mut case = Case::processing();
    case.state.judges = true;
    case
}

fn says(permission: &Permission, verdict: Verdict) -> Command {
    let judgement = Judgement {
        verdict,
        rule: Some("r".into()),
        how: How::Rule,
        rules: Some("00".into()),
        guarded: None,
    };
    Command::Judged { permission_id: permission.permission_id.clone(), judgement: Box::new(judgement) }
}

fn with(policy: ApprovalPolicy) -> Case {
    let mut case = Case::idle_with(Plan { approvals: policy, ..plan() });
    case.ok(ANN, input("work"));
    case.forget();
    case
}

fn within(seconds: u64) -> Case {
    with(ApprovalPolicy { deadline_s: Some(seconds), detached: None })
}

/// The daemon ends and another one takes the session up; its runner answers.
fn restart(case: &mut Case) {
    case.feed(Event::Restored);
    let last = case.state.body.last_frame;
    case.feed(Event::Up(&standing(true, last)));
    case.feed(Event::CaughtUp);
}

#[test]
fn a_question_is_the_rules_before_it_is_a_persons() {
    for (verdict, option, outcome) in [(Verdict::Allow, "yes", "allowed"), (Verdict::Deny, "no", "denied")] {
        let mut case = judged();
        let permission = case.question(json!("q1"));
        assert_eq!(case.kinds(), ["permission_requested"]);
        assert_eq!(case.effects(), ["Judge"]);
        case.stands(Processing);
        case.ok(BEN, says(&permission, verdict));
        assert_eq!(case.kinds(), ["permission_resolved"]);
        let fact = case.fact("permission_resolved");
        assert_eq!(
            (&fact["outcome"], &fact["how"], &fact["rule"], &fact["rules"]),
            (&json!(outcome), &json!("rule"), &json!("r"), &json!("00"))
        );
        assert_eq!(fact.get("by"), None);
        let answers = case.answers_to(&json!("q1"));
        assert_eq!(answers.len(), 1);
        assert_eq!(answers[0]["result"]["outcome"]["optionId"], option);
        // What the rules say twice, or too late, changes nothing.
        case.ok(BEN, says(&permission, Verdict::Allow));
        assert_eq!(case.kinds(), [""; 0]);
        assert_eq!(case.refused(ANN, choose(&permission, "yes")), ErrorCode::AlreadyDecided);
    }
}

#[test]
fn a_question_that_no_rule_answers_is_for_people_from_then_on() {
    let mut case = judged();
    let permission = case.question(json!("q1"));
    case.ok(BEN, says(&permission, Verdict::Ask));
    assert_eq!(case.kinds(), ["state_changed"]);
    case.stands(WaitingPermission);
    case.ok(BEN, says(&permission, Verdict::Allow));
    assert_eq!(case.kinds(), [""; 0], "the rules have spoken");
    case.ok(ANN, choose(&permission, "no"));
    assert_eq!(case.fact("permission_resolved")["how"], "person");
}

#[test]
fn a_person_may_be_faster_than_the_rules() {
    let mut case = judged();
    let permission = case.question(json!("q1"));
    case.ok(ANN, choose(&permission, "no"));
    case.ok(BEN, says(&permission, Verdict::Allow));
    assert_eq!(case.count("permission_resolved"), 1);
    assert_eq!(case.answers_to(&json!("q1")).len(), 1);
    case.stands(Processing);
}

#[test]
fn a_rule_never_chooses_always() {
    let mut case = judged();
    case.say(json!({"jsonrpc": "2.0", "id": "q", "method": "session/request_permission", "params": {
        "sessionId": "s", "toolCall": {"kind": "edit", "rawInput": {"path": "a"}},
        "options": [{"optionId": "ever", "kind": "allow_always", "name": "Ever"},
            {"optionId": "never", "kind": "reject_always", "name": "Never"}]}}));
    let permission = case.state.pending.values().next().expect("it waits").permission.clone();
    case.ok(BEN, says(&permission, Verdict::Allow));
    case.stands(WaitingPermission);
    assert!(case.answers_to(&json!("q")).is_empty());
}

#[test]
fn what_waited_when_the_daemon_ended_is_for_people() {
    let mut case = judged();
    let permission = case.question(json!("q1"));
    restart(&mut case);
    case.stands(WaitingPermission);
    case.ok(BEN, says(&permission, Verdict::Allow));
    assert!(case.answers_to(&json!("q1")).is_empty());
    // So is what the agent asked meanwhile and is only read now.
    case.feed(Event::Restored);
    case.state.judges = true;
    case.effects();
    case.question(json!("q2"));
    assert!(!case.effects().contains(&"Judge".to_owned()));
    case.feed(Event::CaughtUp);
    case.question(json!("q3"));
    assert!(case.effects().contains(&"Judge".to_owned()), "and this one is the rules' again");
}

#[test]
fn a_question_is_denied_when_its_time_is_up_and_not_before() {
    let mut case = within(60);
    let permission = case.question(json!("q1"));
    assert_eq!(permission.deadline_ms, Some(T0 + 60_000));
    case.tick(T0 + 59_999);
    case.stands(WaitingPermission);
    // Somebody sets the clock a year ahead, and back.
    for skew in [365 * 86_400_000, -T0] {
        case.skew = skew;
        case.tick(T0 + 59_999);
        case.stands(WaitingPermission);
    }
    assert_eq!(case.state.next_deadline_ms(), Some(T0 + 60_000));
    case.tick(T0 + 60_000);
    let fact = case.fact("permission_resolved");
    assert_eq!((&fact["outcome"], &fact["how"]), (&json!("expired"), &json!("expiry")));
    assert_eq!(case.answers_to(&json!("q1"))[0]["result"]["outcome"]["optionId"], "no");
    case.stands(Processing);
    assert_eq!(case.state.next_deadline_ms(), None);
    assert_eq!(case.refused(ANN, choose(&permission, "yes")), ErrorCode::AlreadyDecided);
}

#[test]
fn time_that_nobody_had_does_not_count() {
    let mut case = within(60);
    case.question(json!("q1"));
    // The process stood still for an hour.
    case.tick(T0 + 3_600_000);
    case.stands(WaitingPermission);
    case.tick(T0 + 3_600_000 + 29_999);
    case.stands(WaitingPermission);
    case.tick(T0 + 3_600_000 + 30_000);
    assert_eq!(case.fact("permission_resolved")["outcome"], "expired");
}

#[test]
fn a_deadline_goes_on_in_the_next_daemon() {
    // What is left by the wall clock; half a minute for people to see it; never more than there was.
    for (gone_by, wanted) in [(10_000, 50_000), (3_600_000, 30_000)] {
        let mut case = within(60);
        case.question(json!("q1"));
        // The new daemon's steady clock begins at the wall clock, whatever that says.
        case.now = T0 + gone_by;
        restart(&mut case);
        let now = case.now;
        let left = case.state.next_deadline_ms().expect("it has a deadline") - now;
        assert_eq!(left, wanted, "{gone_by}");
        case.tick(now + left);
        assert_eq!(case.fact("permission_resolved")["outcome"], "expired", "{gone_by}");
    }
}

#[test]
fn nobody_there_is_a_denial_where_that_is_wanted() {
    let mut case = with(ApprovalPolicy { deadline_s: None, detached: Some(Detached::Deny) });
    // Ann sits there: it waits.
    case.question(json!("q1"));
    case.stands(WaitingPermission);
    case.ok(EVE, Command::Join(joiner(EVE, Role::Viewer)));
    case.ok(ANN, Command::Leave);
    assert_eq!(case.fact("permission_resolved")["how"], "detached", "one who watches could not answer");
    case.stands(Processing);
    case.request(json!("q2"));
    assert_eq!(
        case.kinds(),
        ["permission_requested", "state_changed", "permission_resolved", "state_changed"]
    );
    assert_eq!(case.answers_to(&json!("q2"))[0]["result"]["outcome"]["optionId"], "no");
    // One who may come back is there.
    case.ok(ANN, Command::Join(joiner(ANN, Role::Writer)));
    case.question(json!("q3"));
    case.ok(ANN, Command::Drop { grace_ms: 5_000 });
    case.stands(WaitingPermission);
    case.tick(T0 + 5_000);
    assert_eq!(case.count("permission_resolved"), 3);
}

#[test]
fn a_rule_of_the_session_is_made_from_what_was_allowed() {
    let (mut case, permission) = Case::asking();
    let answer = |hash: &str| Answer {
        permission_id: permission.permission_id.clone(),
        hash: hash.to_owned(),
        option_id: Some("no".into()),
        decision: None,
        message: None,
        updated_input: None,
        answers: None,
    };
    let wide = |answer: Answer| Command::AllowForSession(Box::new(answer), Widen::default());
    assert_eq!(case.refused(ANN, wide(answer("00"))), ErrorCode::BadRequest);
    let pattern = Widen { pattern: Some(vec!["rm".into()]), path: None };
    let other = Command::AllowForSession(Box::new(answer(&permission.hash)), pattern);
    assert_eq!(case.refused(ANN, other), ErrorCode::BadRequest);
    case.ok(ANN, wide(answer(&permission.hash)));
    assert_eq!(case.kinds(), ["permission_resolved", "state_changed", "rule_added"]);
    assert_eq!(case.answers_to(&json!("q1"))[0]["result"]["outcome"]["optionId"], "yes", "once");
    assert_eq!(case.state.body.rules[0].command.as_deref(), Some("ls"));
    case.effects();
    case.question(json!("q2"));
    assert!(case.effects().contains(&"Judge".to_owned()), "its rules are asked, without any standing ones");
    assert_eq!(case.refused(ANN, Command::ForgetRule("s9".into())), ErrorCode::BadRequest);
    case.ok(ANN, Command::ForgetRule("s1".into()));
    assert_eq!(case.kinds(), ["rule_removed"]);
    assert!(case.state.body.rules.is_empty());
}
