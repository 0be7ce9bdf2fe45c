//! What becomes of an agent's question besides an answer of a person: rules, a deadline, nobody there.
//!
//! Invariant: a question is resolved once, by whoever comes first, with a record that says how. A rule answers only
//! what it was asked about when the question came: what an earlier daemon left waiting is for people. Time and absence
//! only ever deny.

use super::{
    event::{Answer, Caller, Effect, Reply, Widen},
    state::{Pending, SLEPT_MS},
    step::Step,
};
use crate::{
    agent,
    rules::{Judgement, Request},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use vibes_protocol::model::{
    CodedError, Decision, Detached, ErrorCode, How, Link, Outcome, Role, SessionState, Surface, Verdict,
    fact::{self, Actor},
};

/// The most rules that one session keeps.
const MAX_RULES: usize = 200;
/// The longest that a question is set to wait, in seconds: 30 days.
const MAX_DEADLINE_S: u64 = 30 * 24 * 60 * 60;
/// How long a question waits at least after a restart of the daemon or of the machine, in milliseconds, so that
/// somebody can see it.
const SEEN_MS: i64 = 30_000;
/// How soon a deadline is looked at again while the agent cannot be answered, in milliseconds.
const AGAIN_MS: i64 = 1_000;

/// What becomes of questions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovalPolicy {
    /// How long they wait, in seconds; 0 is for ever.
    #[serde(default)]
    pub deadline_s: Option<u64>,
    /// What becomes of them when nobody is there.
    #[serde(default)]
    pub detached: Option<Detached>,
}

impl ApprovalPolicy {
    /// Where this says nothing, the other does.
    pub fn or(self, other: Self) -> Self {
        Self { deadline_s: self.deadline_s.or(other.deadline_s), detached: self.detached.or(other.detached) }
    }
}

/// What is under way about a question.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Watched {
    /// The rules are being asked: nobody else is yet.
    pub judging: bool,
    /// Until when it waits, in milliseconds of the steady clock.
    pub until_ms: Option<i64>,
}

/// How a question was resolved, for its record.
#[derive(Debug, Default)]
pub struct Resolution {
    /// How the answer came about.
    pub how: Option<How>,
    /// Who gave it.
    pub by: Option<Actor>,
    /// The agent's option.
    pub option_id: Option<String>,
    /// The rule.
    pub rule: Option<String>,
    /// The hash of its file.
    pub rules: Option<String>,
    /// What a person added.
    pub message: Option<String>,
    /// What the tool is called with instead.
    pub updated_input: Option<Value>,
    /// What was answered to questions.
    pub answers: Option<Value>,
    /// Where they sat.
    pub surface: Option<Surface>,
}

impl Step<'_> {
    fn policy(&self) -> ApprovalPolicy {
        self.s.body.approvals.or(self.s.policy)
    }

    /// How long a question waits, in milliseconds.
    pub(super) fn limit_ms(&self) -> Option<i64> {
        let deadline_s = self.policy().deadline_s.filter(|seconds| *seconds > 0)?;
        i64::try_from(deadline_s.min(MAX_DEADLINE_S)).ok()?.checked_mul(1000)
    }

    /// A question has come: the rules are asked, or people.
    pub(super) fn asked(&mut self, pending: Pending) {
        let until_ms = pending.limit_ms.map(|limit| self.now + limit);
        // What is read of an agent that an earlier daemon left may be as old as that: it is for people.
        let judging = self.s.link == Link::Live && (self.s.judges || !self.s.body.rules.is_empty());
        let permission = pending.permission.clone();
        self.record(fact::PermissionRequested { permission: permission.clone() });
        self.s.watched.insert(permission.permission_id.clone(), Watched { judging, until_ms });
        self.s.pending.insert(permission.permission_id.clone(), pending);
        if judging {
            self.effect(Effect::Judge(Box::new(permission)));
        } else {
            self.ask_people();
        }
    }

    fn ask_people(&mut self) {
        if self.s.body.state != SessionState::Starting && self.waits_for_people() {
            self.set_state(SessionState::WaitingPermission, None, None);
        }
        self.deny_detached();
    }

    /// Whether a question waits that no rule is asked about any more.
    pub(super) fn waits_for_people(&self) -> bool {
        self.s.pending.keys().any(|id| !self.is_judging(id))
    }

    fn is_judging(&self, permission_id: &str) -> bool {
        self.s.watched.get(permission_id).is_some_and(|watched| watched.judging)
    }

    /// Records what became of a question that is taken out already.
    pub(super) fn resolved(
        &mut self,
        permission_id: String,
        pending: &Pending,
        outcome: Outcome,
        who: &str,
        how: Resolution,
    ) {
        self.s.watched.remove(&permission_id);
        self.decided(&permission_id, who);
        let waited_ms = (pending.asked_ms > 0).then(|| (self.wall - pending.asked_ms).max(0).unsigned_abs());
        let hash = how.how.map(|_| pending.permission.hash.clone());
        self.record(fact::PermissionResolved {
            permission_id,
            outcome,
            by: how.by,
            option_id: how.option_id,
            rule: how.rule,
            message: how.message,
            updated_input: how.updated_input,
            answers: how.answers,
            how: how.how,
            rules: how.rules,
            surface: how.surface,
            waited_ms,
            hash,
        });
    }

    /// Answers a question that waits, with one of the agent's options or with none of them.
    pub(super) fn answered(
        &mut self,
        permission_id: &str,
        option_id: Option<String>,
        outcome: Outcome,
        who: &str,
        how: Resolution,
    ) {
        let Some(pending) = self.s.pending.remove(permission_id) else { return };
        let option =
            pending.permission.options.iter().find(|option| Some(&option.option_id) == option_id.as_ref());
        let verdict = option.map(|option| agent::Verdict {
            permission: &pending.permission,
            memo: &pending.memo,
            option,
            message: how.message.as_deref(),
            updated_input: how.updated_input.as_ref(),
            answers: how.answers.as_ref(),
        });
        self.send(|codec, out| codec.answer(&pending.rpc_id, verdict.as_ref(), out));
        self.resolved(permission_id.to_owned(), &pending, outcome, who, Resolution { option_id, ..how });
        let resting = self.resting_state();
        self.set_state(resting, None, None);
    }

    /// The agent's option of a kind, or the first that is near.
    fn option(&self, permission_id: &str, kind: &str, near: &str) -> Option<String> {
        let options = &self.s.pending.get(permission_id)?.permission.options;
        let exact = options.iter().find(|option| option.kind == kind);
        let near = || options.iter().find(|option| !near.is_empty() && option.kind.starts_with(near));
        exact.or_else(near).map(|option| option.option_id.clone())
    }

    /// Denies a question for want of a person.
    fn deny(&mut self, permission_id: &str, outcome: Outcome, who: &str, how: Resolution) {
        let option = self.option(permission_id, "reject_once", "reject");
        self.answered(permission_id, option, outcome, who, how);
    }

    /// The rules have spoken.
    pub(super) fn judged(&mut self, permission_id: &str, judgement: Judgement) {
        let Some(watched) = self.s.watched.get_mut(permission_id).filter(|watched| watched.judging) else {
            return;
        };
        watched.judging = false;
        let Judgement { verdict, rule, how, rules, .. } = judgement;
        let who = format!("the rule {}", rule.as_deref().unwrap_or_default());
        let how = Resolution { how: Some(how), rule, rules, ..Resolution::default() };
        // Never an option that allows more than this once: that would be a rule of the agent's own.
        let once = self.option(permission_id, "allow_once", "");
        match (verdict, once) {
            (Verdict::Deny, _) => self.deny(permission_id, Outcome::Denied, &who, how),
            (Verdict::Allow, Some(once)) => {
                self.answered(permission_id, Some(once), Outcome::Allowed, &who, how);
            }
            (Verdict::Allow, None) | (Verdict::Ask, _) => self.ask_people(),
        }
    }

    /// Denies what has waited too long.
    pub(super) fn expire(&mut self) {
        let now = self.now;
        let due = |watched: &Watched| watched.until_ms.is_some_and(|until| until <= now);
        let overdue: Vec<String> =
            self.s.watched.iter().filter(|(_, watched)| due(watched)).map(|(id, _)| id.clone()).collect();
        for id in overdue {
            let late =
                self.s.watched.get(&id).and_then(|watched| watched.until_ms).map_or(0, |until| now - until);
            let limit = self.s.pending.get(&id).and_then(|pending| pending.limit_ms).unwrap_or(SEEN_MS);
            let again = match self.s.link {
                // The agent may have taken it back meanwhile.
                link if link != Link::Live => Some(AGAIN_MS),
                // The daemon was stopped all the while, and nobody could have answered.
                _ if late > SLEPT_MS => Some(limit.min(SEEN_MS)),
                _ => None,
            };
            match (again, self.s.watched.get_mut(&id)) {
                (Some(again), Some(watched)) => watched.until_ms = Some(now + again),
                _ => {
                    let how = Resolution { how: Some(How::Expiry), ..Resolution::default() };
                    self.deny(&id, Outcome::Expired, "the deadline", how);
                }
            }
        }
    }

    /// Denies what waits while nobody is there who could answer, where that is wanted.
    pub(super) fn deny_detached(&mut self) {
        let somebody = self.s.ownership.seats.values().any(|seat| seat.role == Role::Writer);
        if somebody || self.s.link != Link::Live || self.policy().detached != Some(Detached::Deny) {
            return;
        }
        let waiting: Vec<String> = self.s.pending.keys().filter(|id| !self.is_judging(id)).cloned().collect();
        for id in waiting {
            let how = Resolution { how: Some(How::Detached), ..Resolution::default() };
            self.deny(&id, Outcome::Denied, "the policy for when nobody is there", how);
        }
    }

    /// What an earlier daemon left waiting waits for people, for what is left of its time.
    pub(super) fn restore_questions(&mut self) {
        let (now, wall) = (self.now, self.wall);
        self.s.watched.clear();
        let limits: Vec<(String, Option<i64>, Option<i64>)> = self
            .s
            .pending
            .iter()
            .map(|(id, pending)| (id.clone(), pending.limit_ms, pending.permission.deadline_ms))
            .collect();
        for (id, limit, deadline) in limits {
            let left = limit.zip(deadline).map(|(limit, at)| (at - wall).clamp(limit.min(SEEN_MS), limit));
            if left.map(|left| wall + left) != deadline
                && let Some(pending) = self.s.pending.get_mut(&id)
            {
                pending.permission.deadline_ms = left.map(|left| wall + left);
            }
            self.s.watched.insert(id, Watched { judging: false, until_ms: left.map(|left| now + left) });
        }
        if self.s.body.state == SessionState::Processing && !self.s.pending.is_empty() {
            self.set_state(SessionState::WaitingPermission, None, None);
        }
    }

    /// Allows a question, and its like from now on.
    pub(super) fn allow_for_session(
        &mut self,
        caller: &Caller,
        answer: Answer,
        widen: Widen,
    ) -> Result<Option<Reply>, CodedError> {
        let bad = |why: String| CodedError::new(ErrorCode::BadRequest, why);
        // The rule is ours, whatever the agent's own options mean: it hears "once".
        let answer = Answer { option_id: None, decision: Some(Decision::AllowOnce), ..answer };
        let made = match self.s.pending.get(&answer.permission_id) {
            Some(pending) => {
                let request = Request::read(&self.s.body.agent, &pending.permission);
                Some(
                    request
                        .session_rule(widen.pattern, widen.path)
                        .map_err(|why| bad(format!("for_session: {why}")))?,
                )
            }
            None => None,
        };
        if self.s.body.rules.len() >= MAX_RULES {
            return Err(bad(format!("for_session: the session has {MAX_RULES} rules; take some away first")));
        }
        let reply = self.answer(caller, answer)?;
        if let Some(mut rule) = made {
            self.s.body.rules_made += 1;
            rule.name = format!("s{}", self.s.body.rules_made);
            (rule.by, rule.at_ms) = (Some(Self::actor(caller)), self.wall);
            self.s.body.rules.push(rule.clone());
            self.record(fact::RuleAdded { rule });
        }
        Ok(reply)
    }

    /// Takes a rule of the session away.
    pub(super) fn forget_rule(&mut self, by: Actor, name: &str) -> Result<Option<Reply>, CodedError> {
        let Some(at) = self.s.body.rules.iter().position(|rule| rule.name == name) else {
            let known: Vec<&str> = self.s.body.rules.iter().map(|rule| rule.name.as_str()).collect();
            let message = format!("{} has no rule {name:?}; it has: {}", self.name(), known.join(", "));
            return Err(CodedError::new(ErrorCode::BadRequest, message));
        };
        self.s.body.rules.remove(at);
        self.record(fact::RuleRemoved { name: name.to_owned(), by });
        Ok(Some(Reply::Ok))
    }
}
