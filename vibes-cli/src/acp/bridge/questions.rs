//! The questions of an agent, on their way to an editor and back.
//!
//! Invariant: a question is put to the editor once for as long as it waits, and taken back when others answered it or it is
//! gone. One that a rule answers is not put to it at all.

use super::session::Cx;
use super::words;
use crate::acp::rpc::{self, Refusal};
use serde_json::Value;
use std::collections::BTreeMap;
use vibes_protocol::model::{Permission, SessionId, SessionState};
use vibes_protocol::wire::request::PermissionResponse;

/// How often an editor is asked whose answers the daemon does not take: an editor may answer by itself.
const TIMES: u32 = 3;

/// A question that was put to the editor.
#[derive(Debug)]
struct Asked {
    /// The number of our request to the editor.
    rpc: u64,
    permission: Permission,
    /// The editor has answered.
    answered: bool,
    /// How often it was asked.
    times: u32,
}

/// All of one session.
#[derive(Debug)]
pub(super) struct Questions {
    session: SessionId,
    asked: BTreeMap<String, Asked>,
    /// Those that a rule may answer yet: until the session waits for people.
    held: Vec<Permission>,
    /// The session waits for people.
    waits: bool,
}

impl Questions {
    pub(super) fn new(session: SessionId) -> Self {
        Self { session, asked: BTreeMap::new(), held: Vec::new(), waits: false }
    }

    /// The agent asks.
    pub(super) fn arrived(&mut self, permission: Permission, cx: &mut Cx<'_>) {
        self.held.push(permission);
        self.put_held(cx);
    }

    /// The session is in another state.
    pub(super) fn state(&mut self, state: SessionState, cx: &mut Cx<'_>) {
        self.waits = state == SessionState::WaitingPermission;
        self.put_held(cx);
    }

    fn put_held(&mut self, cx: &mut Cx<'_>) {
        if self.waits {
            for permission in std::mem::take(&mut self.held) {
                self.put(permission, 1, cx);
            }
        }
    }

    fn put(&mut self, permission: Permission, times: u32, cx: &mut Cx<'_>) {
        *cx.last_request += 1;
        let rpc = *cx.last_request;
        let params = words::question(&self.session.to_string(), &permission);
        cx.tell(rpc::request(rpc, "session/request_permission", params));
        let id = permission.permission_id.clone();
        self.asked.insert(id, Asked { rpc, permission, answered: false, times });
    }

    /// A question has its end.
    pub(super) fn resolved(&mut self, id: &str, cx: &mut Cx<'_>) {
        self.held.retain(|held| held.permission_id != id);
        self.asked.remove(id).into_iter().for_each(|asked| take_back(&asked, cx));
    }

    /// These wait now, and no others.
    pub(super) fn renew(&mut self, pending: Vec<Permission>, cx: &mut Cx<'_>) {
        self.held.clear();
        let waits = |id: &String| pending.iter().any(|permission| permission.permission_id == *id);
        let (kept, gone) = std::mem::take(&mut self.asked).into_iter().partition(|(id, _)| waits(id));
        self.asked = kept;
        BTreeMap::into_values(gone).for_each(|asked| take_back(&asked, cx));
        for permission in pending {
            if !self.asked.contains_key(&permission.permission_id) {
                self.put(permission, 1, cx);
            }
        }
    }

    /// The editor begins anew, or is not served any more.
    pub(super) fn take_all_back(&mut self, cx: &mut Cx<'_>) {
        self.renew(Vec::new(), cx);
    }

    /// The editor answers our request with this number; `None` when it is none of ours, or was taken back. The permission's
    /// id is that of what was asked.
    pub(super) fn answered(&mut self, rpc: &Value) -> Option<&Permission> {
        let asked = self.asked.values_mut().find(|asked| Some(asked.rpc) == rpc.as_u64())?;
        asked.answered = true;
        Some(&asked.permission)
    }

    /// The daemon did not take the editor's answer. Unless others answered, the editor is asked again.
    pub(super) fn undecided(&mut self, id: &str, refusal: &Refusal, cx: &mut Cx<'_>) {
        cx.note(format!("session {}: {}", self.session, refusal.message));
        let Some(asked) = self.asked.remove(id) else { return };
        let decided = matches!(refusal.daemon, Some("ALREADY_DECIDED" | "PERMISSION_NOT_PENDING"));
        if !decided && asked.times < TIMES {
            self.put(asked.permission, asked.times + 1, cx);
        }
    }
}

fn take_back(asked: &Asked, cx: &mut Cx<'_>) {
    if !asked.answered {
        cx.tell(rpc::withdraw(asked.rpc));
    }
}

/// The answer to a question with one of the agent's options.
pub(super) fn response(session: SessionId, permission: &Permission, option: &str) -> PermissionResponse {
    PermissionResponse {
        session_id: session.to_string(),
        permission_id: permission.permission_id.clone(),
        hash: permission.hash.clone(),
        option_id: Some(option.to_owned()),
        decision: None,
        message: None,
        updated_input: None,
        answers: None,
        for_session: None,
    }
}
