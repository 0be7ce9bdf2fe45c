//! What an agent answers: it introduces itself, opens a conversation, takes options and ends turns.
//!
//! Invariant: a conversation is taken up by the best way that the agent knows, and by the next one when that fails; an agent
//! counts as ready once it has, and the options that are wanted are set.

use super::{Acp, Call, How, MAX_CONVERSATION, MAX_OPTIONS, clip, ends, request};
use crate::agent::{AgentEvent, Outgoing, TurnResult, rpc};
use agent_client_protocol_schema::{
    ProtocolVersion,
    v1::{InitializeResponse, LoadSessionRequest, NewSessionRequest, ResumeSessionRequest},
};
use serde_json::{Value, json};

impl Acp {
    pub(super) fn response<'a>(
        &mut self,
        id: u64,
        outcome: Result<&str, &str>,
        events: &mut Vec<AgentEvent<'a>>,
        out: &mut Outgoing,
    ) -> Result<(), String> {
        let outcome = outcome.map_err(|error| error_text(error, self.ways_in.as_deref()));
        match (self.calls.remove(&id), outcome) {
            (None, _) => {}
            (Some(Call::GivenUp { method }), _) => {
                return Err(format!("the answer to {method} came after it was given up"));
            }
            (Some(Call::Initialize), Ok(result)) => {
                match serde_json::from_str::<InitializeResponse>(result) {
                    Ok(answer) if answer.protocol_version != ProtocolVersion::V1 => {
                        let theirs = answer.protocol_version;
                        events.push(AgentEvent::StartFailed(format!(
                            "the agent speaks version {theirs} of the Agent Client Protocol, vibes speaks 1"
                        )));
                    }
                    Ok(answer) => {
                        self.ways_in = ways_in(result);
                        let prompts = &answer.agent_capabilities.prompt_capabilities;
                        let takes = [
                            ("audio", prompts.audio),
                            ("image", prompts.image),
                            ("resource", prompts.embedded_context),
                        ];
                        let takes = takes.into_iter().filter(|(_, takes)| *takes);
                        self.accepts = Some(takes.map(|(kind, _)| kind.to_owned()).collect());
                        self.can_load = answer.agent_capabilities.load_session;
                        self.can_resume = answer.agent_capabilities.session_capabilities.resume.is_some();
                        let how = match self.conversation {
                            Some(_) if self.copy && can_fork(result) => How::Fork,
                            // Another session's conversation is not ours to go on with.
                            Some(_) if self.copy => How::New,
                            Some(_) if self.can_resume => How::Resume,
                            Some(_) if self.can_load => How::Load,
                            _ => How::New,
                        };
                        self.open(how, out);
                    }
                    Err(error) => {
                        events.push(AgentEvent::StartFailed(format!(
                            "the agent's answer to initialize: {error}"
                        )));
                    }
                }
            }
            (Some(Call::Initialize), Err(error)) => {
                events.push(AgentEvent::StartFailed(format!("the agent refused to initialize: {error}")));
            }
            (Some(Call::Open(how)), Ok(text)) => {
                let result: Value = serde_json::from_str(text).unwrap_or(Value::Null);
                if let Some(id) = result["sessionId"].as_str().filter(|id| id.len() <= MAX_CONVERSATION) {
                    self.conversation = Some(id.to_owned());
                }
                // A copy has an id of its own; with the other's it would be no copy.
                let is_own = !self.copy || result["sessionId"].is_string();
                if self.conversation.is_none() || !is_own {
                    let why = "the agent opened a session without an id that can be used";
                    events.push(AgentEvent::StartFailed(why.to_owned()));
                    return Ok(());
                }
                (self.how, self.copy) = (Some(how), false);
                if can_be_kept(text) {
                    self.take_options(&result);
                }
                self.settle(events, out);
            }
            (Some(Call::Open(how)), Err(error)) => match how {
                // The agent's own memory of the conversation may be gone; a new one is better than none.
                How::Resume if self.can_load => self.open(How::Load, out),
                How::Resume | How::Load | How::Fork => self.open(How::New, out),
                How::New => {
                    events.push(AgentEvent::StartFailed(format!(
                        "the agent could not open a session: {error}"
                    )));
                }
            },
            (Some(Call::Prompt), outcome) => {
                let result = outcome.map_or_else(TurnResult::failed, |result| ends::turn(result, self.local));
                events.push(AgentEvent::TurnEnded(Box::new(result)));
            }
            (Some(Call::Option { option_id, value }), outcome) => {
                let error = match outcome {
                    Ok(result) => {
                        if let Some(option) = self.options.get_mut(&option_id) {
                            option["value"] = value.clone();
                        }
                        if can_be_kept(result) {
                            let result: Value = serde_json::from_str(result).unwrap_or(Value::Null);
                            self.take_config_options(&result["configOptions"]);
                        }
                        None
                    }
                    Err(error) => Some(error),
                };
                if self.ready {
                    events.push(AgentEvent::OptionAnswered { call: id, option_id, value, error });
                } else {
                    match error {
                        Some(why) if self.again => {
                            events.push(AgentEvent::OptionDropped { option_id, value, why });
                        }
                        Some(error) => {
                            let why = format!("{option_id} could not be set to {value}: {error}");
                            events.push(AgentEvent::StartFailed(why));
                            return Ok(());
                        }
                        None => {}
                    }
                    self.settle(events, out);
                }
            }
        }
        Ok(())
    }

    fn open(&mut self, how: How, out: &mut Outgoing) {
        let conversation = self.conversation.clone().unwrap_or_default();
        let cwd = self.cwd.clone();
        // History that the agent tells again is in the journal already, whichever way it comes.
        self.replaying = how != How::New;
        let call = match how {
            How::New => {
                (self.conversation, self.copy) = (None, false);
                out.push(|id| request(id, "session/new", NewSessionRequest::new(cwd)))
            }
            How::Load => {
                out.push(|id| request(id, "session/load", LoadSessionRequest::new(conversation, cwd)))
            }
            How::Resume => {
                out.push(|id| request(id, "session/resume", ResumeSessionRequest::new(conversation, cwd)))
            }
            How::Fork => {
                let params = json!({"sessionId": conversation, "cwd": cwd, "mcpServers": []});
                out.push(|id| request(id, "session/fork", params))
            }
        };
        self.calls.insert(call, Call::Open(how));
    }

    /// Sets the next wanted option, or declares the agent ready.
    fn settle<'a>(&mut self, events: &mut Vec<AgentEvent<'a>>, out: &mut Outgoing) {
        while let Some((option_id, value)) = self.wanted.pop() {
            if self.options.get(&option_id).is_some_and(|option| option["value"] == value) {
                continue;
            }
            match self.set_option(&option_id, &value, out) {
                Ok(_) => return,
                // A conversation is worth more than an option: models are withdrawn, modes are renamed.
                Err(why) if self.again => {
                    events.push(AgentEvent::OptionDropped { option_id, value, why });
                }
                Err(why) => {
                    events.push(AgentEvent::StartFailed(why));
                    return;
                }
            }
        }
        if self.how == Some(How::Load) {
            self.telling = true;
        } else {
            events.push(self.opened());
        }
    }

    /// From now on the agent takes prompts.
    pub fn opened(&mut self) -> AgentEvent<'static> {
        (self.ready, self.telling) = (true, false);
        AgentEvent::Ready { how: self.how.unwrap_or(How::New).as_str() }
    }
}

/// Whether an answer's options may become part of the state.
fn can_be_kept(result: &str) -> bool {
    result.len() <= MAX_OPTIONS && rpc::sound(result).is_ok()
}

/// The code of an agent that wants credentials first.
const AUTH_REQUIRED: i64 = -32000;

/// Whether the agent makes copies of conversations, as the answer to `initialize` tells.
fn can_fork(result: &str) -> bool {
    let result: Value = serde_json::from_str(result).unwrap_or(Value::Null);
    result["agentCapabilities"]["sessionCapabilities"]["fork"].is_object()
}

/// The agent's ways to get credentials, in its own words, as the answer to `initialize` tells them.
fn ways_in(result: &str) -> Option<String> {
    let result: Value = serde_json::from_str(result).ok()?;
    let methods = result["authMethods"].as_array()?;
    let names: Vec<&str> = methods.iter().filter_map(|method| method["name"].as_str()).collect();
    (!names.is_empty()).then(|| clip(&names.join("; "), 300).to_owned())
}

/// An error of the agent as a sentence, with what it takes where that is known. It becomes part of the session's state, so it is no longer than one.
fn error_text(error: &str, ways_in: Option<&str>) -> String {
    let error: Value = serde_json::from_str(error).unwrap_or(Value::Null);
    let message = error["message"].as_str().unwrap_or("no message");
    let detail = match &error["data"] {
        Value::Null => String::new(),
        Value::String(text) => format!(": {text}"),
        Value::Object(data) => {
            match data.get("details").or_else(|| data.get("message")).and_then(Value::as_str) {
                Some(text) => format!(": {text}"),
                None => String::new(),
            }
        }
        _ => String::new(),
    };
    let code = error["code"].as_i64().map_or_else(|| "none".to_owned(), |code| code.to_string());
    let ways = ways_in.filter(|_| error["code"] == AUTH_REQUIRED);
    let ways = ways.map(|ways| format!("; it wants credentials: {ways}")).unwrap_or_default();
    format!("{} (code {code}){ways}", clip(&format!("{message}{detail}"), 2_000))
}
