//! The wire's types as JSON Schema: what `protocol/schema/v1/*.json` keeps, for programs in other languages.
//!
//! Invariant: made from the types that read and write the wire, so it says what they do. Each request, message and fact
//! has a definition of its own with its tag in it; kinds that a newer daemon may add are not described.

use crate::{
    model::Fact,
    printed::{Answered, Asked, Done, Settled},
    wire::{Message, Request},
};
use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// Everything that can be described, by the name of its file.
pub fn all() -> Vec<(&'static str, Value)> {
    let id = json!({"type": "string", "description": "Correlates the answer."});
    let mut requests = tagged::<Request>("type", "Request", SchemaSettings::draft2020_12());
    for variant in variants(&mut requests, "Request") {
        variant["properties"]["request_id"] = id.clone();
    }
    let written = || SchemaSettings::draft2020_12().for_serialize();
    let messages = tagged::<Message>("type", "Message", written());
    let facts = tagged::<Fact>("kind", "Fact", written());
    vec![("requests", requests), ("messages", messages), ("facts", facts), ("printed", printed(written()))]
}

/// What the command line prints besides.
fn printed(settings: SchemaSettings) -> Value {
    let mut generator = settings.into_generator();
    generator.subschema_for::<Answered>();
    generator.subschema_for::<Done>();
    generator.subschema_for::<Asked>();
    generator.subschema_for::<Settled>();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Printed",
        "$defs": generator.take_definitions(true),
    })
}

/// The definitions that are one variant of `name` each.
fn variants<'a>(schema: &'a mut Value, name: &str) -> Vec<&'a mut Value> {
    let Some(defs) = schema["$defs"].as_object_mut() else { return Vec::new() };
    let suffix = name.to_owned();
    defs.iter_mut()
        .filter(|(def, _)| def.ends_with(&suffix) && **def != suffix)
        .map(|(_, variant)| variant)
        .collect()
}

/// An internally tagged enum: `oneOf` references to definitions called by tag and enum, such as `HelloRequest`.
fn tagged<T: JsonSchema>(tag: &str, name: &str, settings: SchemaSettings) -> Value {
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    let mut defs = schema["$defs"].as_object().cloned().unwrap_or_default();
    // The facts are in a definition of their own when they are part of a message.
    if name != "Fact" && defs.contains_key("Fact") {
        let mut facts = defs.get("Fact").cloned().unwrap_or_default();
        split(&mut facts, "kind", "Fact", &mut defs);
        defs.insert("Fact".to_owned(), facts);
    }
    split(&mut schema, tag, name, &mut defs);
    // Bodies that were only referred to by their variant are in it now.
    let mut used = BTreeSet::from([String::new()]);
    let mut fresh = vec![json!({"oneOf": schema["oneOf"]})];
    while let Some(part) = fresh.pop() {
        let mut found = Vec::new();
        references(&part, &mut found);
        for name in found {
            if used.insert(name.clone()) {
                fresh.extend(defs.get(&name).cloned());
            }
        }
    }
    defs.retain(|name, _| used.contains(name));
    defs.sort_keys();
    schema["title"] = name.into();
    schema["$defs"] = Value::Object(defs);
    schema
}

/// The names of the definitions that something refers to.
fn references(part: &Value, found: &mut Vec<String>) {
    match part {
        Value::Object(fields) => {
            let name = fields.get("$ref").and_then(Value::as_str);
            found.extend(name.and_then(|name| Some(name.strip_prefix("#/$defs/")?.to_owned())));
            fields.values().for_each(|field| references(field, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

/// Moves each variant into a definition that has everything of it.
fn split(schema: &mut Value, tag: &str, name: &str, defs: &mut Map<String, Value>) {
    let Some(variants) = schema["oneOf"].as_array_mut() else { return };
    for variant in variants {
        let Some(kind) = variant["properties"][tag]["const"].as_str().map(str::to_owned) else { continue };
        let body = variant["$ref"].as_str().and_then(|body| body.strip_prefix("#/$defs/"));
        let body = body.and_then(|body| defs.get(body)).cloned().unwrap_or_default();
        let mut whole = variant.as_object().cloned().unwrap_or_default();
        whole.remove("$ref");
        for part in ["properties", "required"] {
            merge(&mut whole, part, &body[part]);
        }
        if let (false, Some(text)) = (whole.contains_key("description"), body.get("description")) {
            whole.insert("description".to_owned(), text.clone());
        }
        let title = format!("{}{name}", camel(&kind));
        *variant = json!({"$ref": format!("#/$defs/{title}")});
        defs.insert(title, Value::Object(whole));
    }
}

fn merge(whole: &mut Map<String, Value>, part: &str, more: &Value) {
    match (whole.entry(part).or_insert(Value::Null), more) {
        (Value::Object(here), Value::Object(more)) => here.extend(more.clone()),
        (Value::Array(here), Value::Array(more)) => here.extend(more.clone()),
        (here @ Value::Null, more) if !more.is_null() => *here = more.clone(),
        _ => {}
    }
}

fn camel(tag: &str) -> String {
    tag.split('_')
        .map(|word| {
            let (first, rest) = word.split_at(word.len().min(1));
            first.to_ascii_uppercase() + rest
        })
        .collect()
}
