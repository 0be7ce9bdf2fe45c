//! From a request of HTTP to its route, and from a route to a request of the wire.
//!
//! Invariant: a route translates and no more. What may be done, and by whom, is decided where the wire's requests are.

use super::{
    Door, assets, no_route, openapi,
    problem::Problem,
    seen::Seen,
    table::{self, Does, Kind, ROUTES, Route, Verb},
    tokens::Guest,
    wall,
};
use axum::{
    Router,
    body::Body,
    extract::{FromRequestParts, Query, RawPathParams, Request},
    http::{HeaderMap, HeaderValue, Response, StatusCode, Uri, header, request::Parts},
    routing::{MethodFilter, on},
};
use http_body_util::{BodyExt, Limited};
use serde_json::{Map, Value};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use vibes_core::clock;
use vibes_protocol::{codec::MAX_CLIENT_LINE, wire::ErrorCode};

/// How long a body may take to come.
const BODY: Duration = Duration::from_secs(15);

/// What somebody asks of a route.
pub struct Ask {
    /// The listener.
    pub door: Arc<Door>,
    /// Which one.
    pub route: &'static Route,
    /// Who it is, where that is known.
    pub guest: Option<Arc<Guest>>,
    /// What was seen of the other end.
    pub seen: Arc<Seen>,
    /// Head of the request.
    pub parts: Parts,
    /// What stands in the path.
    pub path: BTreeMap<String, String>,
    /// What stands in the query.
    pub query: Vec<(String, String)>,
    /// What comes with it.
    pub body: Body,
}

impl Ask {
    /// The session that the path names.
    pub fn session(&self) -> String {
        self.path.get("id").cloned().unwrap_or_default()
    }

    /// Who it is; the router has seen to it that somebody is.
    pub fn guest(&self) -> Result<Arc<Guest>, Problem> {
        self.guest.clone().ok_or_else(Problem::unauthorized)
    }

    /// What stands in the query, as the route says that it is written.
    pub fn parameters(&self) -> Result<Map<String, Value>, Problem> {
        let known = |name: &str| self.route.query.iter().find(|param| param.name == name);
        let read = |(name, text): &(String, String)| {
            let param = known(name)?;
            let read = value(param.kind, text);
            let bad = |why| Problem::new(ErrorCode::BadRequest, format!("{name}: {why}"));
            Some(read.map(|value| (name.clone(), value)).map_err(bad))
        };
        self.query.iter().filter_map(read).collect()
    }

    /// The body as JSON: an object, or nothing.
    pub async fn json(&mut self) -> Result<Map<String, Value>, Problem> {
        let bad = |message: String| Problem::new(ErrorCode::BadRequest, message);
        let body = Limited::new(std::mem::take(&mut self.body), MAX_CLIENT_LINE).collect();
        let bytes = match tokio::time::timeout(BODY, body).await {
            Ok(Ok(bytes)) => bytes.to_bytes(),
            Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
                let message = format!("the body is longer than {MAX_CLIENT_LINE} bytes");
                return Err(Problem::new(ErrorCode::FrameTooLarge, message));
            }
            Ok(Err(_)) => return Err(bad("the body ended early".to_owned())),
            Err(_) => return Err(bad("the body did not come".to_owned()).with(StatusCode::REQUEST_TIMEOUT)),
        };
        if bytes.is_empty() {
            return Ok(Map::new());
        }
        let is_json =
            self.parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).is_some_and(
                |kind| {
                    kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
                },
            );
        if !is_json {
            let message = "the body must be application/json, and say so";
            return Err(bad(message.to_owned()).with(StatusCode::UNSUPPORTED_MEDIA_TYPE));
        }
        serde_json::from_slice(&bytes).map_err(|error| bad(format!("the body is not a JSON object: {error}")))
    }
}

/// The router of all routes.
pub fn router(door: &Arc<Door>) -> Router {
    let mut router = Router::new();
    for route in ROUTES {
        let door = door.clone();
        let filter = match route.verb {
            Verb::Get => MethodFilter::GET,
            Verb::Post => MethodFilter::POST,
            Verb::Patch => MethodFilter::PATCH,
            Verb::Delete => MethodFilter::DELETE,
        };
        let handler = move |request: Request| enter(door.clone(), route, request);
        router = router.route(route.path, on(filter, handler));
    }
    router
        .method_not_allowed_fallback(async || {
            let why = "this route has other methods; the header Allow lists them";
            Problem::new(ErrorCode::BadRequest, why).with(StatusCode::METHOD_NOT_ALLOWED).response()
        })
        .fallback(async |request: Request| {
            assets::serve(request.method(), request.uri().path(), request.headers())
        })
}

async fn enter(door: Arc<Door>, route: &'static Route, request: Request) -> Response<Body> {
    match try_enter(door, route, request).await {
        Ok(response) => response,
        Err(problem) => problem.response(),
    }
}

async fn try_enter(
    door: Arc<Door>,
    route: &'static Route,
    request: Request,
) -> Result<Response<Body>, Problem> {
    let (mut parts, body) = request.into_parts();
    let Some(seen) = parts.extensions.get::<Arc<Seen>>().cloned() else { return Err(no_route()) };
    let bad = |message: String| Problem::new(ErrorCode::BadRequest, message);
    let path = RawPathParams::from_request_parts(&mut parts, &())
        .await
        .map_err(|_| bad("the path is not readable text".to_owned()))?;
    let path = path.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let guest = guest(&door, &seen, &parts.headers).await?;
    let handler = match route.does {
        Does::Open(handler) => Some(handler),
        _ if guest.is_none() => return Err(Problem::unauthorized()),
        Does::Other(handler) => Some(handler),
        Does::Asks(_) => None,
    };
    let query = query(route, &parts.uri).map_err(bad)?;
    let mut ask = Ask { door, route, guest, seen, parts, path, query, body };
    let Does::Asks(kind) = route.does else {
        let Some(handler) = handler else { return Err(no_route()) };
        return Ok(handler(ask).await);
    };
    let request = request_of(route, kind, &mut ask).await?;
    let answer = super::pair::ask(&ask.door.server, &ask.guest()?, &request).await?;
    Ok(respond(route, &ask.parts.headers, answer))
}

/// Who asks, by the token in the header; nobody without one.
pub async fn guest(door: &Door, seen: &Seen, headers: &HeaderMap) -> Result<Option<Arc<Guest>>, Problem> {
    match wall::bearer(headers)? {
        Some(token) => identify(door, seen, token).await.map(Some),
        None => Ok(None),
    }
}

/// Who has this token.
pub async fn identify(door: &Door, seen: &Seen, token: &str) -> Result<Arc<Guest>, Problem> {
    let tokens = &door.server.web.tokens;
    let checked = tokio::task::block_in_place(|| tokens.check(token, clock::wall_ms() / 1000));
    let found = checked.map_err(|error| Problem::new(ErrorCode::StoreFailed, format!("{error:#}")))?;
    let Some((token, revoked)) = found else {
        return Err(if tokens.may_guess() { Problem::unauthorized() } else { Problem::too_many() });
    };
    let sight = seen.sight().await;
    Ok(Arc::new(Guest { token, pid: sight.pid, inside: sight.inside, revoked, closed: door.closed.clone() }))
}

fn query(route: &Route, uri: &Uri) -> Result<Vec<(String, String)>, String> {
    let Query(pairs): Query<Vec<(String, String)>> =
        Query::try_from_uri(uri).map_err(|_| "the query is not readable text".to_owned())?;
    for (name, _) in &pairs {
        if !route.query.iter().any(|param| param.name == name) {
            let known: Vec<_> = route.query.iter().map(|param| param.name).collect();
            return Err(match known.as_slice() {
                [] => format!("{name}: this route takes no parameters"),
                known => format!("{name}: this route takes {}", known.join(", ")),
            });
        }
    }
    Ok(pairs)
}

/// What stands in the path, as fields of a request.
fn in_path<'a>(
    route: &'static Route,
    request: &'a str,
    ask: &'a Ask,
) -> impl Iterator<Item = (&'static str, Kind, &'a str)> {
    openapi::in_path(route).filter_map(move |name| {
        let (field, kind) = table::field(request, name);
        Some((field, kind, ask.path.get(name)?.as_str()))
    })
}

/// The request of the wire that a route stands for.
async fn request_of(route: &'static Route, kind: &str, ask: &mut Ask) -> Result<Value, Problem> {
    let bad = |message: String| Problem::new(ErrorCode::BadRequest, message);
    let mut fields = ask.json().await?;
    fields.shift_remove("request_id");
    let known = openapi::fields(kind);
    fields.extend(ask.parameters()?);
    for (field, kind, text) in in_path(route, kind, ask) {
        let one = value(kind, text).map_err(|why| bad(format!("{field}: {why}")))?;
        fields.insert(field.to_owned(), if field == "ids" { Value::from(vec![one]) } else { one });
    }
    let header = |name: &str| ask.parts.headers.get(name).and_then(|value| value.to_str().ok());
    if let (true, Some(key)) = (known.contains("idempotency_key"), header("idempotency-key")) {
        fields.insert("idempotency_key".to_owned(), key.into());
    }
    if let (true, Some(version)) = (known.contains("version"), header("if-match")) {
        let version = version.trim_start_matches("W/").trim_matches('"');
        let version = value(Kind::Number, version).map_err(|why| bad(format!("If-Match: {why}")))?;
        fields.insert("version".to_owned(), version);
    }
    fields.insert("type".to_owned(), kind.into());
    Ok(Value::Object(fields))
}

fn value(kind: Kind, text: &str) -> Result<Value, String> {
    match kind {
        Kind::Text | Kind::OneOf(_) => Ok(text.into()),
        Kind::Number => {
            text.parse::<u64>().map(Value::from).map_err(|_| "a whole number is expected".to_owned())
        }
        Kind::Flag => match text {
            "true" => Ok(true.into()),
            "false" => Ok(false.into()),
            _ => Err("true or false is expected".to_owned()),
        },
        Kind::Words => Ok(text.split(',').filter(|word| !word.is_empty()).map(Value::from).collect()),
    }
}

/// A line of the daemon as a response.
fn respond(route: &Route, asked: &HeaderMap, line: Vec<u8>) -> Response<Body> {
    let created = route.answers == "SessionCreatedMessage" || route.answers == "TokenCreatedMessage";
    let place = (route.answers == "SessionCreatedMessage")
        .then(|| serde_json::from_slice::<Value>(&line).ok())
        .flatten()
        .and_then(|answer| {
            HeaderValue::from_str(&format!("/v1/sessions/{}", answer["session"]["id"].as_str()?)).ok()
        });
    let mut response = if route.verb == Verb::Get { tagged(asked, line) } else { json(line) };
    if created {
        *response.status_mut() = StatusCode::CREATED;
    }
    response.headers_mut().extend(place.map(|place| (Some(header::LOCATION), place)));
    response
}

/// JSON.
pub fn json(bytes: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(bytes.into());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// JSON that is not sent again to who has it already.
pub fn tagged(asked: &HeaderMap, bytes: Vec<u8>) -> Response<Body> {
    use sha2::{Digest, Sha256};
    let tag = format!("\"{}\"", vibes_core::agent::spool::hex(&Sha256::digest(&bytes)[..16]));
    let known = assets::is_known(asked, &tag);
    let mut response = json(if known { Vec::new() } else { bytes });
    if known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers.insert(header::VARY, HeaderValue::from_static("Authorization"));
    response
}
