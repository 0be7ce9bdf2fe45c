//! What an agent can be set to: modes, models and options of its own, in one table.
//!
//! Invariant: an option that is set is one the agent offers, with a value it offers, or the error names what it offers.

use super::{super::options, Acp, Call, Outgoing, request};
use agent_client_protocol_schema::v1::SetSessionModeRequest;
use serde_json::{Value, json};

impl Acp {
    /// Sets an option the agent offers. The error names the ones it does offer.
    pub fn set_option(&mut self, option_id: &str, value: &Value, out: &mut Outgoing) -> Result<u64, String> {
        let Some(conversation) = self.conversation.clone() else {
            return Err("the agent is not ready yet".to_owned());
        };
        let option = options::check(&self.options, option_id, value)?;
        let frame = match (option["via"].as_str(), value.as_str()) {
            (Some("mode"), Some(mode)) => {
                let params = SetSessionModeRequest::new(conversation, mode.to_owned());
                out.push(|id| request(id, "session/set_mode", params))
            }
            (Some("model"), Some(model)) => {
                let params = json!({"sessionId": conversation, "modelId": model});
                out.push(|id| request(id, "session/set_model", params))
            }
            _ => {
                let mut params = json!({"sessionId": conversation, "configId": option_id, "value": value});
                if value.is_boolean() {
                    params["type"] = "boolean".into();
                }
                out.push(|id| request(id, "session/set_config_option", params))
            }
        };
        self.calls.insert(frame, Call::Option { option_id: option_id.to_owned(), value: value.clone() });
        Ok(frame)
    }

    /// Takes what the answer to an opening request says of options.
    pub(super) fn take_options(&mut self, result: &Value) {
        let list = |values: &Value, id: &str| -> Value {
            values
                .as_array()
                .map(|values| {
                    values.iter().map(|value| json!({"id": value[id], "name": value["name"]})).collect()
                })
                .unwrap_or_default()
        };
        let modes = &result["modes"];
        if modes["currentModeId"].is_string() {
            let values = list(&modes["availableModes"], "id");
            let option = json!({"value": modes["currentModeId"], "values": values, "via": "mode"});
            self.options.insert("mode".to_owned(), option);
        }
        let models = &result["models"];
        if models["currentModelId"].is_string() {
            let values = list(&models["availableModels"], "modelId");
            let option = json!({"value": models["currentModelId"], "values": values, "via": "model"});
            self.options.insert("model".to_owned(), option);
        }
        self.take_config_options(&result["configOptions"]);
    }

    /// Takes the list of options, which is always the whole list.
    pub(super) fn take_config_options(&mut self, options: &Value) {
        let Some(options) = options.as_array() else { return };
        self.options.retain(|_, option| option["via"] != "config");
        for option in options {
            let Some(id) = option["id"].as_str() else { continue };
            // Options may be grouped; the groups' entries are what can be chosen.
            let mut values = Vec::new();
            for entry in option["options"].as_array().into_iter().flatten() {
                match entry["options"].as_array() {
                    Some(group) => values.extend(group.iter()),
                    None => values.push(entry),
                }
            }
            let values: Vec<Value> =
                values.iter().map(|value| json!({"id": value["value"], "name": value["name"]})).collect();
            let option = json!({"value": option["currentValue"], "values": values, "via": "config",
                                "name": option["name"]});
            self.options.insert(id.to_owned(), option);
        }
    }
}
