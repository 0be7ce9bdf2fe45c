//! What a session can be set to, in the words of the Agent Client Protocol.
//!
//! Invariant: computed from the session as the daemon shows it and from nothing else, so that two editors of one
//! session are told the same. Editors that know options ignore the older modes and models beside them.

use serde_json::{Value, json};
use vibes_protocol::model::SessionInfo;

/// The option that older editors know as the mode, and the one they know as the model.
pub(super) const MODE: &str = "mode";
pub(super) const MODEL: &str = "model";

/// All options with their present values and what else they can be.
pub(super) fn config(session: &SessionInfo) -> Vec<Value> {
    session.options.iter().filter_map(|(id, value)| option(session, id, value)).collect()
}

fn option(session: &SessionInfo, id: &str, value: &Value) -> Option<Value> {
    let mut option = json!({"id": id, "name": title(id), "currentValue": value});
    match value {
        Value::String(text) => {
            let mut options: Vec<Value> = choices(session, id, "value");
            if options.is_empty() {
                options.push(json!({"value": text, "name": text}));
            }
            option["type"] = "select".into();
            option["options"] = options.into();
        }
        Value::Bool(_) => option["type"] = "boolean".into(),
        // The protocol knows no other kind.
        _ => return None,
    }
    if matches!(id, MODE | MODEL) {
        option["category"] = id.into();
    }
    Some(option)
}

/// What an option can be, each with its id under this name.
fn choices(session: &SessionInfo, id: &str, key: &str) -> Vec<Value> {
    let offers = session.offers.get(id).and_then(Value::as_array);
    let choice = |offer: &Value| {
        let id = offer["id"].as_str()?;
        Some(json!({key: id, "name": offer["name"].as_str().unwrap_or(id)}))
    };
    offers.into_iter().flatten().filter_map(choice).collect()
}

/// `thought_level` is `Thought level`.
fn title(id: &str) -> String {
    let words = id.replace(['_', '-'], " ");
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// Adds all of it to the answer to an opening request.
pub(super) fn add_to(answer: &mut Value, session: &SessionInfo) {
    let config = config(session);
    if !config.is_empty() {
        answer["configOptions"] = config.into();
    }
    let modes = choices(session, MODE, "id");
    if let (Some(mode), false) = (present(session, MODE), modes.is_empty()) {
        answer["modes"] = json!({"currentModeId": mode, "availableModes": modes});
    }
    let models = choices(session, MODEL, "modelId");
    if let (Some(model), false) = (present(session, MODEL), models.is_empty()) {
        answer["models"] = json!({"currentModelId": model, "availableModels": models});
    }
}

/// The present value of an option.
pub(super) fn present<'a>(session: &'a SessionInfo, id: &str) -> Option<&'a str> {
    session.options.get(id).and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::list::tests::session;

    #[test]
    fn options_are_told_to_new_editors_and_to_old_ones() {
        let info = session(json!({
            "options": {"mode": "ask", "thought_level": "high", "fast": true, "odd": 3},
            "offers": {"mode": [{"id": "ask", "name": "Ask"}, {"id": "auto", "name": null}]},
        }));
        let mut answer = json!({});
        add_to(&mut answer, &info);
        let told = answer["configOptions"].as_array().unwrap();
        let option = |id: &str| told.iter().find(|option| option["id"] == id).unwrap();
        assert_eq!(told.len(), 3, "an option of no known kind is left out");
        assert_eq!(
            *option("mode"),
            json!({"id": "mode", "name": "Mode", "type": "select", "category": "mode", "currentValue": "ask",
                   "options": [{"value": "ask", "name": "Ask"}, {"value": "auto", "name": "auto"}]})
        );
        assert_eq!(
            *option("thought_level"),
            json!({"id": "thought_level", "name": "Thought level", "type": "select", "currentValue": "high",
                   "options": [{"value": "high", "name": "high"}]})
        );
        let fast = json!({"id": "fast", "name": "Fast", "type": "boolean", "currentValue": true});
        assert_eq!(*option("fast"), fast);
        let modes = json!({"currentModeId": "ask", "availableModes":
            [{"id": "ask", "name": "Ask"}, {"id": "auto", "name": "auto"}]});
        assert_eq!(answer["modes"], modes);
        assert!(answer.get("models").is_none());
    }

    #[test]
    fn a_session_without_options_says_nothing_of_them() {
        let mut answer = json!({"sessionId": "x"});
        add_to(&mut answer, &session(json!({})));
        assert_eq!(answer, json!({"sessionId": "x"}));
    }
}
