//! The rules in force: whose they are, and what they say to a session's question.
//!
//! Invariant: what is in force changes in one step and only by [`Judge::put`]; a set answers for the sessions of the
//! person who applied it and for nobody else's, unless it says so.

use super::{Disk, Ground, Judgement, Request, RuleSet, Scope, judge};
use crate::session::ApprovalPolicy;
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
};
use vibes_protocol::model::{Permission, SessionRule, Surface};

/// A set that was applied.
#[derive(Debug, Clone, PartialEq)]
pub struct Applied {
    /// By whom: `user@host`; none for a client that did not say.
    pub person: Option<String>,
    /// The file.
    pub text: String,
    /// The same, compiled.
    pub set: RuleSet,
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// From where.
    pub surface: Option<Surface>,
}

/// Answers without a person.
#[derive(Debug, Default)]
pub struct Judge {
    applied: RwLock<Arc<Vec<Applied>>>,
    /// The person's home directory.
    pub home: Option<PathBuf>,
    /// What no rule lets an agent touch.
    guarded: Vec<PathBuf>,
    /// What becomes of questions, as configured.
    policy: ApprovalPolicy,
    /// The same for single agents.
    policies: BTreeMap<String, ApprovalPolicy>,
}

/// The person of a seat: `ann@box` of `ann@box:pts/1`.
pub fn person_of(identity: &str) -> &str {
    identity.split_once(':').map_or(identity, |(person, _)| person)
}

impl Judge {
    /// One without rules.
    pub fn new(
        home: Option<PathBuf>,
        guarded: Vec<PathBuf>,
        policy: ApprovalPolicy,
        policies: BTreeMap<String, ApprovalPolicy>,
    ) -> Self {
        Self { applied: RwLock::default(), home, guarded, policy, policies }
    }

    /// The sets in force.
    pub fn applied(&self) -> Arc<Vec<Applied>> {
        self.applied.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// These are in force from now on.
    pub fn put(&self, applied: Vec<Applied>) {
        *self.applied.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(applied);
    }

    /// What becomes of an agent's questions, as configured.
    pub fn policy(&self, agent: &str) -> ApprovalPolicy {
        self.policies.get(agent).copied().unwrap_or_default().or(self.policy)
    }

    /// Whether there are rules for the sessions of whoever has this identity.
    pub fn applies(&self, identity: Option<&str>) -> bool {
        self.applied().iter().any(|applied| !applied.set.is_empty() && applied.is_for(identity))
    }

    /// What the rules say to a question. Looks at the file system; blocking.
    pub fn judge(
        &self,
        agent: &str,
        identity: Option<&str>,
        own: &[SessionRule],
        permission: &Permission,
    ) -> Judgement {
        let applied = self.applied();
        let sets = applied.iter().filter(|applied| applied.is_for(identity)).map(|applied| &applied.set);
        self.judge_by(sets, agent, own, permission)
    }

    /// What certain rules would say. Blocking.
    pub fn judge_by<'r>(
        &self,
        sets: impl IntoIterator<Item = &'r RuleSet>,
        agent: &str,
        own: &[SessionRule],
        permission: &Permission,
    ) -> Judgement {
        judge(sets, own, &Request::read(agent, permission), &self.ground())
    }

    /// The files that a question names and that do not lie in its session's directory. Blocking.
    pub fn outside(&self, agent: &str, permission: &Permission) -> Vec<String> {
        Request::read(agent, permission).outside(&self.ground())
    }

    fn ground(&self) -> Ground<'_> {
        Ground { world: &Disk, home: self.home.as_deref(), guarded: &self.guarded }
    }
}

impl Applied {
    /// Whether it answers for the sessions of whoever has this identity.
    pub fn is_for(&self, identity: Option<&str>) -> bool {
        self.set.scope == Scope::All || self.person.as_deref() == identity.map(person_of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::File;
    use serde_json::json;
    use vibes_protocol::model::Verdict;

    fn applied(person: Option<&str>, scope: &str, decision: &str) -> Applied {
        let file = json!({"version": 1, "scope": scope,
            "rule": [{"name": format!("{decision}s"), "decision": decision, "tool": "edit"}]});
        let file: File = serde_json::from_value(file).unwrap();
        let set = file.compile("", None).unwrap();
        Applied { person: person.map(str::to_owned), text: String::new(), set, at_ms: 0, surface: None }
    }

    #[test]
    fn a_set_answers_for_its_persons_sessions_only() {
        let judge = Judge::default();
        let permission: Permission = serde_json::from_value(json!({
            "permission_id": "p", "hash": "h", "tool": "edit", "raw_input": {}, "cwd": "/", "options": [],
        }))
        .unwrap();
        let verdict = |identity| judge.judge("a", identity, &[], &permission).verdict;
        judge.put(vec![applied(Some("ann@box"), "mine", "allow"), applied(None, "mine", "allow")]);
        for (identity, wanted) in [
            (Some("ann@box:pts/1"), Verdict::Allow),
            (Some("ann@box"), Verdict::Allow),
            (Some("ann@boxer:pts/1"), Verdict::Ask),
            (Some("bob@box:pts/1"), Verdict::Ask),
            (None, Verdict::Allow),
        ] {
            assert_eq!(verdict(identity), wanted, "{identity:?}");
            assert_eq!(judge.applies(identity), wanted == Verdict::Allow, "{identity:?}");
        }
        judge.put(vec![applied(Some("ann@box"), "mine", "allow"), applied(Some("bob@box"), "all", "deny")]);
        assert_eq!(verdict(Some("ann@box:pts/1")), Verdict::Deny, "it says that it is for everybody");
        assert_eq!(verdict(None), Verdict::Deny);
    }
}
