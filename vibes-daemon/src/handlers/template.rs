//! Requests about templates.
//!
//! Invariant: what is saved of a session is what was started, by names: never the value of a variable.

use crate::{
    connection::Connection,
    dispatch::{Answer, Said, error},
    templates,
};
use std::sync::Arc;
use vibes_core::session::{Command, Reply, event::Looked};
use vibes_protocol::{
    model::{CodedError, ErrorCode, Template, TemplateInfo},
    wire::{Message, request::SaveTemplate},
};

type RequestId = Option<String>;

/// Does something with files beside the tasks that must not wait for a disk.
fn later<T: Send + 'static>(
    request_id: RequestId,
    act: impl FnOnce() -> Result<T, CodedError> + Send + 'static,
    say: impl FnOnce(RequestId, T) -> Message + Send + 'static,
) -> Answer {
    Answer::Later(Box::pin(async move { done(request_id, act, say).await }))
}

async fn done<T: Send + 'static>(
    request_id: RequestId,
    act: impl FnOnce() -> Result<T, CodedError> + Send + 'static,
    say: impl FnOnce(RequestId, T) -> Message,
) -> Said {
    match tokio::task::spawn_blocking(act).await {
        Ok(Ok(done)) => say(request_id, done).into(),
        Ok(Err(why)) => error(request_id, None, why).into(),
        Err(_) => {
            let why = CodedError::new(ErrorCode::StoreFailed, "the templates could not be read");
            error(request_id, None, why).into()
        }
    }
}

fn told(request_id: RequestId, (template, text): (TemplateInfo, String)) -> Message {
    Message::Template { request_id, template, text }
}

/// Lists them.
pub fn list(request_id: RequestId) -> Answer {
    later(request_id, templates::list, |request_id, templates| Message::Templates { request_id, templates })
}

/// Reads one.
pub fn get(request_id: RequestId, name: String) -> Answer {
    later(request_id, move || templates::read(&name), told)
}

/// Removes one.
pub fn remove(request_id: RequestId, name: String) -> Answer {
    later(request_id, move || templates::remove(&name), |request_id, ()| Message::Ok { request_id })
}

/// Writes one.
pub fn save(connection: &Arc<Connection>, request_id: RequestId, body: SaveTemplate) -> Answer {
    let SaveTemplate { name, session_id, prompt, text, replace } = body;
    match (session_id, text) {
        (None, Some(text)) if prompt.is_none() => {
            later(request_id, move || templates::save(&name, &text, replace), told)
        }
        (Some(session_id), None) => {
            let handle = match connection.server.sessions.resolve(&session_id) {
                Ok(handle) => handle,
                Err(why) => return Answer::Now(error(request_id, None, why)),
            };
            let reply = handle.ask(&connection.caller(), Command::Look, None);
            let connection = connection.clone();
            Answer::Later(Box::pin(async move {
                let looked = match reply.await {
                    Ok(Reply::Looked(looked)) => *looked,
                    Ok(_) => return Message::Ok { request_id }.into(),
                    Err(why) => return error(request_id, Some(handle.id), why).into(),
                };
                let template = Template { prompt, ..of_session(&connection, looked) };
                let save = move || templates::save(&name, &templates::written(&template)?, replace);
                done(request_id, save, told).await
            }))
        }
        _ => {
            let why = "save_template: either session_id, with prompt if you like, or text";
            Answer::Now(error(request_id, None, CodedError::new(ErrorCode::BadRequest, why)))
        }
    }
}

/// What a session was started with.
fn of_session(connection: &Connection, looked: Looked) -> Template {
    let Looked { info, launch, .. } = looked;
    let words = |value: &serde_json::Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(|word| word.as_str().map(str::to_owned)).collect()
    };
    let agent = connection.server.agents.get(&info.agent);
    let argv = words(&launch["argv"]);
    // What stands behind the agent's own command was given for this session.
    let args =
        agent.and_then(|agent| argv.strip_prefix(agent.command.as_slice())).unwrap_or_default().to_vec();
    let known = |name: &String| {
        name.starts_with("VIBES_")
            || crate::config::is_allowed(name)
            || agent.is_some_and(|agent| agent.pass_env.contains(name) || agent.env.contains_key(name))
    };
    let mut options = launch["options"].as_object().cloned().unwrap_or_default();
    let mut word = |name: &str| match options.get(name)?.as_str() {
        Some(value) => {
            let value = value.to_owned();
            options.remove(name);
            Some(value)
        }
        None => None,
    };
    let (mode, model) = (word("mode"), word("model"));
    Template {
        agent: info.agent,
        description: info.description,
        cwd: Some(info.worktree.as_ref().map_or(info.cwd, |worktree| worktree.repo.clone())),
        mode,
        model,
        args,
        worktree: info.worktree.map(|_| String::new()),
        orphan_policy: Some(info.orphan_policy).filter(|policy| *policy != Default::default()),
        ttl_s: info.ttl_s,
        approval_deadline_s: None,
        detached: None,
        env: words(&launch["env_names"]).into_iter().filter(|name| !known(name)).collect(),
        prompt: None,
        options,
    }
}
