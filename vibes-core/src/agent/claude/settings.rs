//! What the agent can be set to, and which commands it knows.
//!
//! Invariant: what is told of modes, models and commands is told again only when it has changed.

use super::{Claude, MAX_KEPT, clip, update};
use crate::agent::{AgentEvent, Hint};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The option for its permission mode.
pub const MODE: &str = "mode";
/// The option for its model.
const MODEL: &str = "model";
/// The modes it can be switched to, with words for them. One that skips all questions has to be asked for at its start.
const MODES: &[(&str, &str)] = &[
    ("default", "Ask before edits and commands"),
    ("acceptEdits", "Edit files without asking"),
    ("plan", "Plan, change nothing"),
    ("auto", "Let the agent judge what to ask"),
    ("dontAsk", "Deny what would be asked"),
];

impl Claude {
    /// Takes what the agent tells of itself before the first prompt.
    pub(super) fn introduced<'a>(&mut self, told: &Value, events: &mut Vec<AgentEvent<'a>>) {
        let mode = told["current_permission_mode"].as_str().unwrap_or("default");
        let mut modes: Vec<Value> = MODES.iter().map(|(id, name)| json!({"id": id, "name": name})).collect();
        if !MODES.iter().any(|(id, _)| *id == mode) {
            modes.push(json!({"id": mode, "name": mode}));
        }
        self.options.insert(MODE.to_owned(), json!({"value": mode, "values": modes}));
        let models: Vec<Value> = told["models"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|model| model["value"].is_string())
            .map(|model| json!({"id": model["value"], "name": model["displayName"]}))
            .collect();
        let first = models.first().map_or(Value::Null, |model| model["id"].clone());
        let models = json!({"value": first, "values": models});
        if models.to_string().len() <= MAX_KEPT {
            self.options.insert(MODEL.to_owned(), models);
        }
        let commands = told["commands"].as_array().into_iter().flatten();
        self.tell_commands(
            commands.filter_map(|command| {
                let hint = command["argumentHint"].as_str().filter(|hint| !hint.is_empty());
                Some((
                    command["name"].as_str()?.to_owned(),
                    json!({"name": command["name"], "description": command["description"],
                       "input": hint.map(|hint| json!({"hint": hint}))}),
                ))
            }),
            events,
        );
    }

    /// Takes what every turn begins with.
    pub(super) fn began_turn<'a>(&mut self, init: &Value, events: &mut Vec<AgentEvent<'a>>) {
        self.names_conversation(init);
        self.takes_mode(&init["permissionMode"], events);
        // What is new since: it has a name and no description.
        let names = init["slash_commands"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let names: Vec<&str> = names.collect();
        if names.iter().any(|name| !self.commands.contains(*name)) {
            let command = |name: &&str| ((*name).to_owned(), json!({"name": name, "description": ""}));
            self.tell_commands(names.iter().map(command), events);
        }
    }

    fn tell_commands<'a>(
        &mut self,
        commands: impl Iterator<Item = (String, Value)>,
        events: &mut Vec<AgentEvent<'a>>,
    ) {
        let (names, commands): (BTreeSet<String>, Vec<Value>) = commands.unzip();
        if names != self.commands && names.iter().map(String::len).sum::<usize>() <= MAX_KEPT {
            self.commands = names;
            events.push(update("available_commands_update", json!({"availableCommands": commands}), None));
        }
    }

    /// The agent's mode, when it has changed.
    pub(super) fn takes_mode<'a>(&mut self, mode: &Value, events: &mut Vec<AgentEvent<'a>>) {
        let Some(mode) = mode.as_str().map(|mode| clip(mode, 80)) else { return };
        let Some(option) = self.options.get_mut(MODE).filter(|option| option["value"] != mode) else {
            return;
        };
        option["value"] = mode.into();
        let raw = json!({"sessionUpdate": "current_mode_update", "currentModeId": mode}).to_string();
        events.push(AgentEvent::Update { raw: raw.into(), hint: Hint::Options });
    }
}
