//! `approve` and `deny`.
//!
//! Invariant: an answer goes out only for a request that was read a moment ago, with its hash, and only when there is
//! no doubt which one is meant; what was answered is printed.

use crate::args::AnswerArgs;
use crate::client::{Daemon, Start};
use crate::error::{Failure, Kind, Outcome};
use crate::place;
use crate::render::permission::action;
use crate::render::{sheet, short};
use crate::{sanitize, ui};
use serde_json::Value;
use vibes_protocol::model::{Permission, PermissionOption, SessionInfo};
use vibes_protocol::wire::ErrorCode;
use vibes_protocol::wire::request::{Decision, ForSession, PermissionResponse};

/// How much more a rule made from a request is to allow.
pub(crate) fn for_session(pattern: Option<&str>, path: Option<&str>) -> ForSession {
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect();
    ForSession { pattern: pattern.map(words), path: path.map(str::to_owned) }
}

pub(crate) fn run(args: &AnswerArgs, allow: bool, wide: Option<ForSession>) -> Outcome {
    let mut daemon = Daemon::introduced(Start::Auto)?;
    let id = daemon.named(&args.id)?;
    let (session, _, _) = daemon.session(&id)?;
    place::remember_session(daemon.dir(), session.id);
    let permission = choose(&session, args.permission.as_deref())?;
    let mut response = response(&session, permission, allow, args.option.as_deref())?;
    response.message.clone_from(&args.message);
    let ours = wide.is_some();
    response.for_session = wide;
    response.answers = answers(permission, &args.answer)?;
    if let Some(input) = &args.input {
        let bad = |error| Failure::usage(format!("--input: {error}"));
        response.updated_input = Some(serde_json::from_str(input).map_err(bad)?);
    }
    let picked = response.option_id.clone();
    daemon.ask(response)?;
    let verb = if allow { "approved" } else { "denied" };
    let option = picked.map_or_else(String::new, |id| format!(" ({})", sanitize::line(&id)));
    ui::data(&format!("{verb}{option} {}", action(permission)))?;
    if ours {
        ui::say(&format!(
            "its like is allowed for this session: vibes rules show --session {}",
            short(session.id)
        ));
    }
    ui::data(&format!("  in {} · session {}", sanitize::strict(&permission.cwd), short(session.id)))
}

/// The request that is meant.
fn choose<'a>(session: &'a SessionInfo, named: Option<&str>) -> Outcome<&'a Permission> {
    let pending = &session.pending_permissions;
    let refused = |message: String| {
        let mut failure =
            Failure::new(Kind::Refused, format!("{message} ({})", ErrorCode::PermissionNotPending));
        failure.code = Some(ErrorCode::PermissionNotPending);
        failure
    };
    if let Some(named) = named {
        return pending
            .iter()
            .find(|permission| permission.permission_id == named)
            .ok_or_else(|| refused(format!("no request {named} waits in session {}", short(session.id))));
    }
    match pending.as_slice() {
        [one] => Ok(one),
        [] => Err(refused(format!("no request waits in session {}", short(session.id)))),
        several => {
            let list: Vec<String> = sheet::asks(session).iter().map(|line| format!("  {line}")).collect();
            Err(Failure::usage(format!("{} requests wait:\n{}", several.len(), list.join("\n")))
                .hint("--permission PERMISSION_ID names one"))
        }
    }
}

/// What is answered to the questions in a request, in their order.
fn answers(permission: &Permission, given: &[String]) -> Outcome<Option<Value>> {
    if given.is_empty() {
        return Ok(None);
    }
    let asked = permission.raw_input["questions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let names: Vec<&str> = asked.iter().filter_map(|question| question["question"].as_str()).collect();
    if names.len() != given.len() {
        let list: Vec<String> = names.iter().map(|name| format!("  {}", sanitize::strict(name))).collect();
        let message =
            format!("{} questions are asked and {} answered:\n{}", names.len(), given.len(), list.join("\n"));
        return Err(Failure::usage(message).hint("--answer TEXT, once for each"));
    }
    let answers =
        names.into_iter().zip(given).map(|(name, answer)| (name.to_owned(), answer.as_str().into()));
    Ok(Some(Value::Object(answers.collect())))
}

/// The agent's option for a plain yes or no: once rather than always.
pub(crate) fn plain_option(permission: &Permission, allow: bool) -> Option<&PermissionOption> {
    let decision = plain_decision(allow);
    let options = &permission.options;
    let same_side =
        |option: &&PermissionOption| option.kind.starts_with(if allow { "allow" } else { "reject" });
    // A question that wants words has one way to answer, which the words go with; to choose among several is not ours.
    let answer = |option: &&PermissionOption| allow && option.kind == "answer" && option.option_id == "allow";
    options
        .iter()
        .find(|option| option.kind == decision.as_kind())
        .or_else(|| options.iter().find(same_side))
        .or_else(|| options.iter().find(answer))
}

fn plain_decision(allow: bool) -> Decision {
    if allow { Decision::AllowOnce } else { Decision::RejectOnce }
}

/// The answer to a request: the named option, or a plain yes or no.
pub(crate) fn response(
    session: &SessionInfo,
    permission: &Permission,
    allow: bool,
    option: Option<&str>,
) -> Outcome<PermissionResponse> {
    let option_id = match option {
        Some(wanted) => {
            let found = permission.options.iter().find(|option| option.option_id == wanted);
            let found = found.ok_or_else(|| {
                let offered: Vec<&str> =
                    permission.options.iter().map(|option| option.option_id.as_str()).collect();
                Failure::usage(format!("the agent offers no option {wanted}"))
                    .hint(format!("it offers {}", offered.join(", ")))
            })?;
            // `approve --option reject` is more likely a slip than a wish.
            if found.allows() != allow && (found.allows() || found.kind.starts_with("reject")) {
                let (verb, other) = if allow { ("approve", "deny") } else { ("deny", "approve") };
                return Err(Failure::usage(format!(
                    "{verb} cannot choose {wanted}: its kind is {}",
                    found.kind
                ))
                .hint(format!("`vibes {other}` can")));
            }
            Some(found.option_id.clone())
        }
        None => plain_option(permission, allow).map(|option| option.option_id.clone()),
    };
    // An agent may offer no option of that side; the daemon knows what a decision means to its codec.
    let decision = option_id.is_none().then(|| plain_decision(allow));
    Ok(PermissionResponse {
        session_id: session.id.to_string(),
        permission_id: permission.permission_id.clone(),
        hash: permission.hash.clone(),
        option_id,
        decision,
        message: None,
        updated_input: None,
        answers: None,
        for_session: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::list::tests::session;
    use serde_json::{Value, json};

    fn asking(ids: &[&str]) -> SessionInfo {
        let pending: Vec<Value> = ids
            .iter()
            .map(|id| {
                json!({"permission_id": id, "hash": format!("hash of {id}"), "tool": "execute", "raw_input": {},
                "cwd": "/", "options": [
                    {"option_id": "always", "kind": "allow_always", "name": "Always"},
                    {"option_id": "yes", "kind": "allow_once", "name": "Yes"},
                    {"option_id": "never", "kind": "reject_always", "name": "Never"}]})
            })
            .collect();
        session(json!({"pending_permissions": pending}))
    }

    #[test]
    fn one_request_needs_no_name_and_others_do() {
        assert_eq!(choose(&asking(&["a"]), None).unwrap().permission_id, "a");
        assert_eq!(choose(&asking(&["a", "b"]), Some("b")).unwrap().permission_id, "b");
        assert_eq!(choose(&asking(&[]), None).unwrap_err().kind, Kind::Refused);
        assert_eq!(choose(&asking(&["a"]), Some("x")).unwrap_err().kind, Kind::Refused);
        let several = choose(&asking(&["a", "b"]), None).unwrap_err();
        assert_eq!(several.kind, Kind::Usage);
        assert!(several.message.contains("  a  ") && several.message.contains("  b  "));
    }

    #[test]
    fn once_comes_before_always_and_the_hash_goes_along() {
        let session = asking(&["a"]);
        let permission = &session.pending_permissions[0];
        let yes = response(&session, permission, true, None).unwrap();
        assert_eq!(
            (yes.option_id.as_deref(), yes.decision, yes.hash.as_str()),
            (Some("yes"), None, "hash of a")
        );
        let no = response(&session, permission, false, None).unwrap();
        assert_eq!(no.option_id.as_deref(), Some("never"), "the only one of that side");
        let always = response(&session, permission, true, Some("always")).unwrap();
        assert_eq!(always.option_id.as_deref(), Some("always"));
        assert_eq!(response(&session, permission, true, Some("never")).unwrap_err().kind, Kind::Usage);
        assert_eq!(response(&session, permission, true, Some("no-such")).unwrap_err().kind, Kind::Usage);
        let bare = Permission { options: Vec::new(), ..permission.clone() };
        assert_eq!(response(&session, &bare, false, None).unwrap().decision, Some(Decision::RejectOnce));
    }
}
