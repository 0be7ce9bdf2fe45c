//! What an agent can be set to, as every dialect keeps it: `{id: {value, values: [{id, name}], via}}`.
//!
//! Invariant: an option that is set is one the agent offers, with a value it offers, or the error names what it offers.

use serde_json::{Map, Value};

/// The option, if it can have this value.
pub fn check<'a>(
    options: &'a Map<String, Value>,
    option_id: &str,
    value: &Value,
) -> Result<&'a Value, String> {
    let Some(option) = options.get(option_id) else {
        let known: Vec<&str> = options.keys().map(String::as_str).collect();
        return Err(format!("the agent has no option {option_id:?}; it has: {}", or_none(&known)));
    };
    let values: Vec<&str> = option["values"]
        .as_array()
        .map(|values| values.iter().filter_map(|value| value["id"].as_str()).collect())
        .unwrap_or_default();
    if let Some(text) = value.as_str()
        && !values.is_empty()
        && !values.contains(&text)
    {
        return Err(format!("{option_id} cannot be {text:?}; it can be: {}", values.join(", ")));
    }
    Ok(option)
}

/// The options with their present values.
pub fn values(options: &Map<String, Value>) -> Map<String, Value> {
    options.iter().map(|(id, option)| (id.clone(), option["value"].clone())).collect()
}

/// What each option can be set to: `{id: [{id, name}]}`.
pub fn offers(options: &Map<String, Value>) -> Map<String, Value> {
    options.iter().map(|(id, option)| (id.clone(), option["values"].clone())).collect()
}

fn or_none(names: &[&str]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
