//! The description of the API, made from the table of routes and from the schemas of the wire.
//!
//! Invariant: what is not in the table is not described, and what is in it is; a body is described by the request that
//! the route stands for, without what the path and the query say already.

use super::{
    archive, blob,
    routes::{self, Ask},
    table::{self, Does, Kind, ROUTES, Route, Verb},
};
use axum::{body::Body, http::Response};
use serde_json::{Map, Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    pin::Pin,
    sync::LazyLock,
};

const REQUESTS: &str = include_str!("../../../protocol/schema/v1/requests.json");
const MESSAGES: &str = include_str!("../../../protocol/schema/v1/messages.json");
/// What is said beside the wire's own messages.
const OWN: &str = include_str!("own.json");

/// The fields of each request.
static FIELDS: LazyLock<BTreeMap<String, BTreeSet<String>>> = LazyLock::new(|| {
    let requests = definitions(REQUESTS);
    let fields = requests.values().filter_map(|request| {
        let properties = request["properties"].as_object()?;
        let kind = properties.get("type")?["const"].as_str()?;
        Some((kind.to_owned(), properties.keys().cloned().collect()))
    });
    fields.collect()
});

/// The fields of a request.
pub fn fields(kind: &str) -> &'static BTreeSet<String> {
    static NONE: BTreeSet<String> = BTreeSet::new();
    FIELDS.get(kind).unwrap_or(&NONE)
}

/// Tells all of it.
pub fn serve(ask: Ask) -> Pin<Box<dyn Future<Output = Response<Body>> + Send>> {
    Box::pin(async move { routes::tagged(&ask.parts.headers, document().to_string().into_bytes()) })
}

fn definitions(schema: &str) -> Map<String, Value> {
    let schema: Value = serde_json::from_str(schema).unwrap_or_default();
    schema["$defs"].as_object().cloned().unwrap_or_default()
}

/// The whole document.
pub fn document() -> Value {
    let (requests, mut schemas) = (definitions(REQUESTS), definitions(MESSAGES));
    let asked: BTreeMap<&str, &Value> = requests
        .values()
        .filter_map(|request| Some((request["properties"]["type"]["const"].as_str()?, request)))
        .collect();
    let own: Value = serde_json::from_str(OWN).unwrap_or_default();
    schemas.extend(own.as_object().cloned().unwrap_or_default());
    // What requests refer to may be described otherwise where it is written: those keep their own name.
    for (name, schema) in &requests {
        if schema["properties"]["type"]["const"].is_null() {
            schemas.insert(format!("{name}Asked"), renamed(schema.clone(), "Asked"));
        }
    }
    let mut paths = Map::new();
    for route in ROUTES {
        let body = match route.does {
            Does::Asks(kind) => asked.get(kind).map(|request| body(route, request)),
            _ if route.answers == "PromptResult" => asked.get("input").map(|request| body(route, request)),
            _ if route.answers == "Exchanged" => Some(json!({"$ref": "#/components/schemas/Exchange"})),
            _ => None,
        };
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        let required = match route.does {
            Does::Asks(kind) => asked.get(kind).map(|request| &request["required"]),
            _ => None,
        };
        path[verb(route.verb)] = operation(route, body, required.unwrap_or(&Value::Null));
    }
    let schemas: Map<String, Value> =
        schemas.into_iter().map(|(name, schema)| (name, renamed(schema, ""))).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "vibes",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Sessions of coding agents. Bodies and answers are the messages of the wire (PROTOCOL.md).",
        },
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    })
}

fn verb(verb: Verb) -> &'static str {
    match verb {
        Verb::Get => "get",
        Verb::Post => "post",
        Verb::Patch => "patch",
        Verb::Delete => "delete",
    }
}

/// Names of what stands in the path.
pub fn in_path(route: &Route) -> impl Iterator<Item = &'static str> {
    route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

/// The request, without what is said elsewhere.
fn body(route: &Route, request: &Value) -> Value {
    let mut body = request.clone();
    let mut elsewhere: BTreeSet<&str> = BTreeSet::from(["type", "request_id"]);
    if let Does::Asks(request) = route.does {
        elsewhere.extend(in_path(route).map(|name| table::field(request, name).0));
    }
    elsewhere.extend(in_path(route).filter(|name| *name == "id").map(|_| "session_id"));
    elsewhere.extend(route.query.iter().map(|param| param.name));
    if let Some(properties) = body["properties"].as_object_mut() {
        properties.retain(|name, _| !elsewhere.contains(name.as_str()));
    }
    if let Some(required) = body["required"].as_array_mut() {
        required.retain(|name| !elsewhere.contains(name.as_str().unwrap_or_default()));
    }
    renamed(body, "Asked")
}

/// The same with references into this document.
fn renamed(schema: Value, suffix: &str) -> Value {
    match schema {
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| match value.as_str().and_then(|text| text.strip_prefix("#/$defs/")) {
                Some(target) if name == "$ref" => {
                    (name, format!("#/components/schemas/{target}{suffix}").into())
                }
                _ => (name, renamed(value, suffix)),
            })
            .collect(),
        Value::Array(items) => items.into_iter().map(|item| renamed(item, suffix)).collect(),
        other => other,
    }
}

fn operation(route: &Route, body: Option<Value>, wanted: &Value) -> Value {
    let path = in_path(route).map(|name| {
        let schema = match name {
            "input_seq" | "memory_id" => json!({"type": "integer", "minimum": 0}),
            "sha256" => json!({"type": "string", "pattern": "^[0-9a-f]{64}$"}),
            _ => json!({"type": "string", "minLength": 1}),
        };
        json!({"name": name, "in": "path", "required": true, "schema": schema})
    });
    let query = route.query.iter().map(|param| {
        let schema = match param.kind {
            Kind::Text => json!({"type": "string"}),
            Kind::OneOf(words) => json!({"type": "string", "enum": words}),
            Kind::Number => json!({"type": "integer", "minimum": 0}),
            Kind::Flag => json!({"type": "boolean"}),
            Kind::Words => json!({"type": "array", "items": {"type": "string"}}),
        };
        let required = wanted.as_array().is_some_and(|wanted| wanted.iter().any(|name| name == param.name));
        let mut described = json!({
            "name": param.name, "in": "query", "required": required, "description": param.about, "schema": schema,
        });
        if param.kind == Kind::Words {
            described["style"] = "form".into();
            described["explode"] = false.into();
        }
        described
    });
    let parameters: Vec<Value> = path.chain(query).collect();
    let reference = |name: &str| json!({"$ref": format!("#/components/schemas/{name}")});
    let json_of = |name: &str| json!({"application/json": {"schema": reference(name)}});
    let problem = json!({
        "description": "What went wrong.",
        "content": {"application/problem+json": {"schema": reference("Problem")}},
    });
    let done = |content: Value| json!({"description": route.about, "content": content});
    let mut responses = match route.answers {
        "EventStream" => json!({"200": done(json!({"text/event-stream": {"schema": {"type": "string"}}}))}),
        "Archive" => json!({"200": done(json!({archive::LINES: {"schema": {"type": "string"}}}))}),
        "Blob" => {
            let kinds = blob::KINDS.iter().map(|kind| ((*kind).to_owned(), json!({})));
            json!({"200": done(Value::Object(kinds.collect()))})
        }
        "WebSocket" => json!({"101": {"description": "It is a WebSocket from here on."}}),
        "PromptResult" => json!({"200": done(json_of("PromptResult")), "202": done(json_of("PromptResult"))}),
        "SessionCreatedMessage" | "TokenCreatedMessage" => json!({"201": done(json_of(route.answers))}),
        answers => json!({"200": done(json_of(answers))}),
    };
    if route.verb == Verb::Get {
        responses["304"] = json!({"description": "Nothing changed since `If-None-Match`."});
    }
    responses["4XX"] = problem.clone();
    responses["5XX"] = problem;
    let id: String = format!("{}{}", verb(route.verb), route.path.replace("/v1", ""))
        .chars()
        .map(|char| if char.is_ascii_alphanumeric() { char } else { '_' })
        .collect();
    let mut operation = json!({
        "operationId": id.trim_end_matches('_'),
        "summary": route.about,
        "parameters": parameters,
        "responses": responses,
    });
    if let (false, Some(body)) = (route.verb == Verb::Get, body) {
        let empty = body["properties"].as_object().is_some_and(Map::is_empty);
        if !empty {
            let required = body["required"].as_array().is_some_and(|required| !required.is_empty());
            operation["requestBody"] =
                json!({"required": required, "content": {"application/json": {"schema": body}}});
        }
    }
    if route.answers == "Imports" {
        let lines = json!({"schema": {"type": "string", "description": "Heads and records, a line each."}});
        operation["requestBody"] = json!({"required": true, "content": {archive::LINES: lines}});
    }
    if matches!(route.does, Does::Open(_)) {
        operation["security"] = json!([]);
    }
    operation
}

#[cfg(test)]
mod tests {
    use super::*;

    fn references(part: &Value, found: &mut BTreeSet<String>) {
        match part {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
                fields.values().for_each(|field| references(field, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }

    #[test]
    fn every_route_is_described_and_nothing_leads_nowhere() {
        let document = document();
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        for reference in &found {
            let place = reference.trim_start_matches('#');
            assert!(document.pointer(place).is_some(), "{reference} leads nowhere");
        }
        for route in ROUTES {
            let operation = &document["paths"][route.path][verb(route.verb)];
            assert!(operation.is_object(), "{} {}", verb(route.verb), route.path);
        }
    }

    #[test]
    fn every_route_asks_for_something_that_there_is() {
        for route in ROUTES {
            let Does::Asks(kind) = route.does else { continue };
            let known = fields(kind);
            assert!(!known.is_empty(), "{kind} is no request");
            let in_query = route.query.iter().map(|param| param.name);
            for name in in_path(route).chain(in_query) {
                let field = table::field(kind, name).0;
                assert!(known.contains(field), "{kind} has no {field}");
            }
        }
    }
}
