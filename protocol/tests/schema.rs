//! The schemas that are kept, compared with the types; and the golden lines, compared with the schemas.
//!
//! Invariant: `protocol/schema/v1/*.json` says what the wire's types say. `VIBES_BLESS=1` writes them anew.

use serde_json::Value;
use std::{fs, path::PathBuf};

fn place(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("schema/v1").join(format!("{name}.json"))
}

#[test]
fn the_schemas_that_are_kept_are_those_of_the_types() {
    for (name, schema) in vibes_protocol::schema::all() {
        let text = serde_json::to_string_pretty(&schema).expect("a schema is JSON") + "\n";
        if std::env::var_os("VIBES_BLESS").is_some() {
            fs::write(place(name), &text).expect("the schema can be written");
        }
        let kept = fs::read_to_string(place(name)).unwrap_or_default();
        assert!(
            kept == text,
            "protocol/schema/v1/{name}.json is not what the types say: run \
             `VIBES_BLESS=1 cargo test -p vibes-protocol --test schema` and commit it"
        );
    }
}

#[test]
fn every_golden_line_has_a_definition_with_its_fields() {
    let schemas = vibes_protocol::schema::all();
    let schema = |name: &str| &schemas.iter().find(|(known, _)| *known == name).expect("is made").1;
    for line in include_str!("../schema/v1/golden.ndjson").lines() {
        let golden: Value = serde_json::from_str(line).expect("a golden line is JSON");
        let (file, tag) = match golden["dir"].as_str() {
            Some("in") => ("requests", "type"),
            Some("out") => ("messages", "type"),
            _ => ("facts", "kind"),
        };
        let kind = &golden["line"][tag];
        let defs = schema(file)["$defs"].as_object().expect("there are definitions");
        let Some(def) = defs.values().find(|def| def["properties"][tag]["const"] == *kind) else {
            assert!(file == "facts", "{kind} is not described");
            continue;
        };
        let properties = def["properties"].as_object().expect("an object is described");
        for field in golden["line"].as_object().expect("an object").keys() {
            assert!(properties.contains_key(field), "{kind}: {field} is not described");
        }
        for field in def["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            // What a daemon of before did not say is required of the present one only.
            assert!(file != "requests" || !golden["line"][field].is_null(), "{kind}: {field} is required");
        }
    }
}
