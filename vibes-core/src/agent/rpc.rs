//! JSON-RPC lines: what a line is, before anybody asks what it means.
//!
//! Invariant: reading a line costs time in proportion to its length and a stack of at most [`MAX_DEPTH`] levels,
//! whatever stands in it. What passes here as `params` can be read by every client it may be sent to. The id of an
//! agent's request comes back byte for byte.

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeSeed, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Value, value::RawValue};
use std::{borrow::Cow, fmt};

/// How deep an agent's JSON may be nested. Readers of JSON give up at 128 (`serde_json`'s limit, and the contract's);
/// what an agent says is wrapped in up to a handful of levels on its way to a client.
pub const MAX_DEPTH: usize = 100;
/// The longest id of a request that is answered to, in bytes: ids are numbers and UUIDs, and every answer repeats one.
pub const MAX_ID: usize = 1024;

/// Not a message that can be served: a server's word for it.
pub const INVALID_REQUEST: i64 = -32600;
/// A method that is not served.
pub const METHOD_NOT_FOUND: i64 = -32601;
/// Parameters that cannot be used.
pub const INVALID_PARAMS: i64 = -32602;
/// Too much waits already.
pub const BUSY: i64 = -32000;

/// The id of a request: the JSON it came as. Two are equal when they mean the same, however they are spelled.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RpcId(Box<RawValue>);

impl RpcId {
    fn of(raw: &RawValue) -> Self {
        Self(raw.to_owned())
    }

    /// An id that is this text.
    pub fn text(id: &str) -> Self {
        // A string is JSON when it is encoded; that cannot fail.
        serde_json::value::to_raw_value(id).map_or_else(|_| Self::null(), Self)
    }

    /// The text, if it is one.
    pub fn as_text(&self) -> Option<String> {
        serde_json::from_str(self.0.get()).ok()
    }

    /// The id of answers to what has none of its own.
    pub fn null() -> Self {
        Self(RawValue::NULL.to_owned())
    }

    /// Strings, integers and null are ids; the protocol knows no others.
    fn is_id(&self) -> bool {
        self.0.get().len() <= MAX_ID
            && self.value().is_some_and(|id| id.is_string() || id.is_i64() || id.is_u64() || id.is_null())
    }

    fn value(&self) -> Option<Value> {
        serde_json::from_str(self.0.get()).ok()
    }
}

impl PartialEq for RpcId {
    fn eq(&self, other: &Self) -> bool {
        let (ours, theirs) = (self.0.get(), other.0.get());
        // Integers and null have one spelling; a string has more than one only by its escapes.
        let spelled = |raw: &str| raw.contains('\\');
        ours == theirs
            || ((spelled(ours) || spelled(theirs)) && self.value().is_some_and(|value| *other == value))
    }
}

impl PartialEq<Value> for RpcId {
    fn eq(&self, other: &Value) -> bool {
        self.value().is_some_and(|value| value == *other)
    }
}

/// An error that a request is answered with.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    /// The request.
    pub id: RpcId,
    /// JSON-RPC's number for it.
    pub code: i64,
    /// For the agent's log.
    pub message: String,
}

/// An answer to a request of the agent.
#[derive(Serialize)]
pub struct Answer<'a> {
    jsonrpc: &'static str,
    id: &'a RpcId,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Value>,
}

impl<'a> Answer<'a> {
    /// A good one.
    pub fn result(id: &'a RpcId, result: Value) -> Self {
        Self { jsonrpc: "2.0", id, result: Some(result), error: None }
    }

    /// A refusal.
    pub fn error(refusal: &'a Refusal) -> Self {
        let error = serde_json::json!({"code": refusal.code, "message": refusal.message});
        Self { jsonrpc: "2.0", id: &refusal.id, result: None, error: Some(error) }
    }
}

/// What one line is.
#[derive(Debug)]
pub enum Message<'a> {
    /// It wants an answer.
    Request {
        /// The id to answer to.
        id: RpcId,
        /// What it wants.
        method: Cow<'a, str>,
        /// With what.
        params: &'a str,
    },
    /// It wants none.
    Notification {
        /// What it tells.
        method: Cow<'a, str>,
        /// With what.
        params: &'a str,
    },
    /// It is one.
    Response {
        /// The id of our request, as JSON.
        id: &'a str,
        /// The result or the error, as JSON.
        outcome: Result<&'a str, &'a str>,
    },
}

/// A line that is no message.
#[derive(Debug)]
pub struct Broken {
    /// Why not.
    pub why: String,
    /// What the agent is to hear, when it is known to wait.
    pub refusal: Option<Refusal>,
}

impl Broken {
    fn unanswered(why: impl Into<String>) -> Self {
        Self { why: why.into(), refusal: None }
    }

    fn answered(id: RpcId, code: i64, why: impl Into<String>) -> Self {
        let why = why.into();
        Self { refusal: Some(Refusal { id, code, message: why.clone() }), why }
    }
}

#[derive(Deserialize)]
struct Envelope<'a> {
    /// Absent and null are two things here: a request may have the id null.
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

/// For a member that may be absent, or null, which is something else.
pub fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Reads a line just far enough to know what it is.
pub fn read(line: &[u8]) -> Result<Message<'_>, Broken> {
    if line.first() == Some(&b'[') {
        return Err(match serde_json::from_slice::<serde::de::IgnoredAny>(line) {
            // Version 1 of the protocol has no batches: none of the entries is looked at, and whoever sent them hears
            // one refusal, as from the protocol's own libraries.
            Ok(_) => Broken::answered(RpcId::null(), INVALID_REQUEST, "batches are not served"),
            Err(error) => Broken::unanswered(format!("not a JSON-RPC message: {error}")),
        });
    }
    let envelope: Envelope<'_> = serde_json::from_slice(line)
        .map_err(|error| Broken::unanswered(format!("not a JSON-RPC message: {error}")))?;
    let Some(method) = envelope.method else {
        let id = envelope.id.ok_or_else(|| Broken::unanswered("neither a request nor a response"))?.get();
        let outcome = match envelope.error {
            Some(error) => Err(error.get()),
            None => Ok(envelope.result.map_or("null", RawValue::get)),
        };
        return Ok(Message::Response { id, outcome });
    };
    let params = envelope.params.map_or("null", RawValue::get);
    let sound = sound(params);
    let Some(id) = envelope.id.map(RpcId::of) else {
        sound.map_err(Broken::unanswered)?;
        return Ok(Message::Notification { method, params });
    };
    if !id.is_id() {
        // A short scalar is repeated, so that the sender may recognise it; anything else has the id null.
        let raw = id.0.get();
        let scalar = raw.len() <= MAX_ID && !raw.starts_with(['{', '[', 't', 'f']);
        let id = if scalar { id } else { RpcId::null() };
        let why = format!("a request's id is a string, an integer or null, of at most {MAX_ID} bytes");
        return Err(Broken::answered(id, INVALID_REQUEST, why));
    }
    match sound {
        Ok(()) => Ok(Message::Request { id, method, params }),
        Err(why) => Err(Broken::answered(id, INVALID_PARAMS, why)),
    }
}

/// Whether every reader of JSON can read this: numbers in range, whole characters, bounded depth. Our own reader takes
/// a value's bytes as they stand, others will not.
pub fn sound(raw: &str) -> Result<(), String> {
    let mut reader = serde_json::Deserializer::from_str(raw);
    let mut seen = Seen::default();
    let walk = Walk { room: MAX_DEPTH, place: Place::Elsewhere, seen: &mut seen };
    walk.deserialize(&mut reader).map_err(|error| error.to_string())
}

/// The kind of an update and the text in it, found while looking whether it is sound. `None` when it is not, or has
/// something unusual that wants a careful look.
pub fn skim(update: &str) -> Option<(Cow<'_, str>, Option<Cow<'_, str>>)> {
    if !update.starts_with('{') {
        return None;
    }
    let mut seen = Seen::default();
    let walk = Walk { room: MAX_DEPTH - 1, place: Place::Update, seen: &mut seen };
    walk.deserialize(&mut serde_json::Deserializer::from_str(update)).ok()?;
    Some((seen.kind?, seen.text))
}

/// Where in an update a walk is.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Update,
    Kind,
    Content,
    Text,
    Elsewhere,
}

/// What a walk came by.
#[derive(Default)]
struct Seen<'de> {
    kind: Option<Cow<'de, str>>,
    content: bool,
    text: Option<Cow<'de, str>>,
}

/// A walk through all of a value.
struct Walk<'w, 'de> {
    room: usize,
    place: Place,
    seen: &'w mut Seen<'de>,
}

impl<'de> Walk<'_, 'de> {
    fn keep(self, text: Cow<'de, str>) {
        match self.place {
            Place::Kind => self.seen.kind = Some(text),
            Place::Text => self.seen.text = Some(text),
            Place::Update | Place::Content | Place::Elsewhere => {}
        }
    }

    fn deeper<E: serde::de::Error>(&self) -> Result<usize, E> {
        self.room.checked_sub(1).ok_or_else(|| E::custom(format!("nested deeper than {MAX_DEPTH} levels")))
    }
}

/// A key: where its value is.
struct Key(Place);

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Place;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Place, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key {
    type Value = Place;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Place, E> {
        Ok(match (self.0, key) {
            (Place::Update, "sessionUpdate") => Place::Kind,
            (Place::Update, "content") => Place::Content,
            (Place::Content, "text") => Place::Text,
            _ => Place::Elsewhere,
        })
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_, 'de> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<(), E> {
        self.keep(Cow::Borrowed(text));
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        if self.place != Place::Elsewhere {
            self.keep(Cow::Owned(text.to_owned()));
        }
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let room = self.deeper::<A::Error>()?;
        let place = Place::Elsewhere;
        while list.next_element_seed(Walk { room, place, seen: &mut *self.seen })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let room = self.deeper::<A::Error>()?;
        while let Some(place) = map.next_key_seed(Key(self.place))? {
            // What comes twice means something else to every reader.
            let twice = match place {
                Place::Kind => self.seen.kind.is_some(),
                Place::Content => std::mem::replace(&mut self.seen.content, true),
                Place::Text => self.seen.text.is_some(),
                Place::Update | Place::Elsewhere => false,
            };
            if twice {
                return Err(serde::de::Error::custom("a key comes twice"));
            }
            map.next_value_seed(Walk { room, place, seen: &mut *self.seen })?;
        }
        Ok(())
    }
}
