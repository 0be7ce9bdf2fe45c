//! Requests about triggers.
//!
//! Invariant: one that is answered is on disk. What it calls is looked at when it is added, so that a slip is told to whoever
//! made it, and again when it is carried out.

use crate::{
    connection::Connection,
    dispatch::{Answer, Said, error},
};
use std::{path::Path, sync::Arc};
use vibes_core::{clock, sessions::store_error};
use vibes_protocol::{
    model::{Trigger, TriggerState},
    wire::{
        CodedError, ErrorCode, Message,
        request::{AddTrigger, ListTriggers, RemoveTrigger},
    },
};

/// The most words of a command, and the longest of them, in bytes.
const WORDS: (usize, usize) = (256, 16 * 1024);

/// Adds one.
pub fn add(connection: &Arc<Connection>, request_id: Option<String>, body: AddTrigger) -> Answer {
    let server = connection.server.clone();
    let by = connection.caller().identity;
    Answer::Later(Box::pin(async move {
        let found = match server.sessions.locate(&body.session_id) {
            Ok(found) => found,
            Err(why) => return Said::from(error(request_id, None, why)),
        };
        if let Some(why) = wrong(&body, |name| server.webhooks.contains(name)) {
            return error(request_id, Some(found), CodedError::new(ErrorCode::BadRequest, why)).into();
        }
        let trigger = Trigger {
            trigger_id: 0,
            session_id: found,
            when: body.when,
            command: body.command,
            cwd: body.cwd,
            webhook: body.webhook,
            by,
            created_ms: clock::wall_ms(),
            state: TriggerState::Armed,
            fired_ms: None,
            attempts: 0,
            next_ms: None,
            ended_ms: None,
            error: None,
        };
        match server.triggers.add(trigger).await {
            Ok(Some(trigger)) => Message::Triggers { request_id, triggers: vec![trigger] }.into(),
            Ok(None) => {
                let most = crate::triggers::MAX_TRIGGERS;
                let why = format!("{most} triggers wait already; remove some first");
                error(request_id, Some(found), CodedError::new(ErrorCode::LimitExceeded, why)).into()
            }
            Err(why) => error(request_id, Some(found), store_error(&why)).into(),
        }
    }))
}

/// What is wrong with a wish.
fn wrong(body: &AddTrigger, known: impl Fn(&str) -> bool) -> Option<String> {
    match (&body.webhook, body.command.first()) {
        (Some(_), Some(_)) => Some("command, webhook: one of them, not both".to_owned()),
        (None, None) => Some("command or webhook: one of them is needed".to_owned()),
        (Some(name), None) if !known(name) => {
            Some(format!("webhook: none is called {name:?} under [webhooks] in the configuration"))
        }
        (Some(_), None) => None,
        (None, Some(program)) => {
            let (words, longest) = WORDS;
            let long = body.command.len() > words || body.command.iter().any(|word| word.len() > longest);
            let nul = body.command.iter().any(|word| word.contains('\0'));
            let cwd = body.cwd.as_deref();
            if program.is_empty() || long || nul {
                Some(format!("command: a program and at most {words} words of {longest} bytes"))
            } else if cwd.is_some_and(|cwd| !Path::new(cwd).is_absolute() || !Path::new(cwd).is_dir()) {
                Some("cwd: not an absolute path of a directory".to_owned())
            } else {
                None
            }
        }
    }
}

/// Tells them, those of one session if one is named.
pub fn list(connection: &Arc<Connection>, request_id: Option<String>, body: ListTriggers) -> Answer {
    let mut triggers = connection.server.triggers.all();
    if let Some(session) = body.session_id {
        match connection.server.sessions.locate(&session) {
            Ok(found) => triggers.retain(|trigger| trigger.session_id == found),
            Err(why) => return Answer::Now(error(request_id, None, why)),
        }
    }
    Answer::Now(Message::Triggers { request_id, triggers })
}

/// Takes one away.
pub fn remove(connection: &Arc<Connection>, request_id: Option<String>, body: RemoveTrigger) -> Answer {
    let server = connection.server.clone();
    Answer::Later(Box::pin(async move {
        match server.triggers.remove(body.trigger_id).await {
            Ok(true) => Message::Ok { request_id }.into(),
            Ok(false) => {
                let why = format!("there is no trigger {}", body.trigger_id);
                error(request_id, None, CodedError::new(ErrorCode::BadRequest, why)).into()
            }
            Err(why) => error(request_id, None, store_error(&why)).into(),
        }
    }))
}
