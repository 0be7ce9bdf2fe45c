//! A fact as far as those look who read very many: to index them, to tell an agent of them.
//!
//! Invariant: nothing is built but what is asked for. Content stays as it lies, and a field that is not there is empty; what
//! cannot be read at all is a fact of a newer daemon, or a lost one, and is passed over by whoever reads.

use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use vibes_protocol::model::Seq;

/// A record in JSON, as far as it is read before its fact.
#[derive(Deserialize)]
pub(crate) struct Line<'a> {
    pub(crate) seq: Seq,
    pub(crate) at_ms: i64,
    #[serde(borrow)]
    pub(crate) fact: &'a RawValue,
}

/// A fact of whatever kind.
#[derive(Deserialize)]
pub(crate) struct Kind<'a> {
    #[serde(borrow)]
    pub(crate) kind: Cow<'a, str>,
}

/// A fact of a kind that is read. Facts of other kinds may have fields of these names that are something else.
#[derive(Deserialize)]
pub(crate) struct Glimpse<'a> {
    #[serde(borrow)]
    pub(crate) kind: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(crate) update: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(crate) content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(crate) permission: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(crate) agent: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(crate) cwd: Option<Cow<'a, str>>,
    #[serde(default)]
    pub(crate) input_seq: Seq,
    #[serde(default)]
    pub(crate) turn: Option<u64>,
    #[serde(borrow, default)]
    pub(crate) outcome: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(crate) error: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(crate) text: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(crate) source: Option<Cow<'a, str>>,
}

/// What an agent sent, as it lies in a fact.
#[derive(Deserialize)]
pub(crate) struct Update<'a> {
    #[serde(borrow, rename = "sessionUpdate", default)]
    pub(crate) kind: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(crate) content: Option<&'a RawValue>,
}
