//! A session's records on their way out, page by page.
//!
//! Invariant: pages that follow each other hold every record once and in order; what is taken out of them does not depend on
//! where a page ends.

use crate::{
    journal::{Reader, SessionNo, StoreError},
    redact::Pieces,
};
use std::{borrow::Cow, collections::VecDeque};
use vibes_protocol::model::{Seq, SessionId};

/// The version of the archive's shape.
pub const FORMAT: u32 = 1;
/// A page ends near this size, in bytes.
const PAGE: usize = 1024 * 1024;

/// Which records are wanted.
#[derive(Debug, Clone, Copy)]
pub struct Wish {
    /// The last one seen.
    pub after: Seq,
    /// The last one wanted.
    pub to: Seq,
    /// With everything that looks like a secret.
    pub raw: bool,
}

/// The next page as a JSON array of records, and the last record in it: 0 when there are none left. Blocking.
pub fn leave(
    reader: &Reader,
    no: SessionNo,
    id: &SessionId,
    wish: Wish,
) -> Result<(String, Seq), StoreError> {
    let Wish { after, to, raw } = wish;
    let most = usize::try_from(to.saturating_sub(after)).unwrap_or(usize::MAX);
    if most == 0 {
        return Ok(("[]".to_owned(), 0));
    }
    let page = reader.page(no, id, after, PAGE, most)?;
    let text = std::str::from_utf8(&page.frames.bytes)
        .map_err(|error| StoreError::Damaged(format!("records after {after} are no text: {error}")))?;
    let mut out = String::with_capacity(text.len() + 2);
    out.push('[');
    let mut last = page.last;
    if raw {
        text.lines().for_each(|frame| add(&mut out, frame));
    } else {
        let at_end = page.last >= to;
        last = page.last - clean(text, page.frames.ends.len(), at_end, &mut out);
    }
    out.push(']');
    Ok((out, last))
}

fn add(out: &mut String, frame: &str) {
    if out.len() > 1 {
        out.push(',');
    }
    out.push_str(frame);
}

/// Adds frames without secrets. How many at the end were left to the next page, because what they say may go on.
fn clean(text: &str, count: usize, at_end: bool, out: &mut String) -> u64 {
    /// What comes before the fact of a frame is ours and has this at its end.
    const FACT: &str = r#","fact":"#;
    let (mut pieces, mut held) = (Pieces::default(), Vec::new());
    let mut heads = VecDeque::new();
    let tell = |out: &mut String, heads: &mut VecDeque<&str>, fact: Cow<'_, str>| {
        add(out, heads.pop_front().unwrap_or_default());
        out.push_str(&fact);
        out.push('}');
    };
    for frame in text.lines() {
        let Some((at, body)) = frame.find(FACT).map(|at| at + FACT.len()).zip(frame.strip_suffix('}')) else {
            continue;
        };
        heads.push_back(&frame[..at]);
        pieces.take(&mut held, &body[at..], |fact| tell(out, &mut heads, fact));
    }
    let behind = match pieces.whole() {
        _ if at_end => 0,
        _ if pieces.held() < count => pieces.held(),
        // All of it is one speech: it is cut where no word is, unless it is one word.
        0 => 0,
        whole => count - whole,
    };
    let now = pieces.held() - behind;
    pieces.shorten(now);
    held.truncate(now);
    pieces.flush(&mut held, |fact| tell(out, &mut heads, fact));
    behind as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn frames(facts: impl IntoIterator<Item = Value>) -> String {
        let frame =
            |(seq, fact)| format!("{{\"type\":\"record\",\"seq\":{seq},\"at_ms\":1,\"fact\":{fact}}}\n");
        (1..).zip(facts).map(frame).collect()
    }

    fn said(text: &str) -> Value {
        json!({"kind": "update", "update": {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": text}}})
    }

    /// Seqs that are told, and how many are left.
    fn page(facts: impl IntoIterator<Item = Value>, at_end: bool) -> (Vec<u64>, u64) {
        let text = frames(facts);
        let mut out = "[".to_owned();
        let behind = clean(&text, text.lines().count(), at_end, &mut out);
        let records: Vec<Value> = serde_json::from_str(&format!("{out}]")).expect("it is JSON");
        (records.iter().filter_map(|record| record["seq"].as_u64()).collect(), behind)
    }

    #[test]
    fn a_page_ends_before_a_speech_that_may_go_on() {
        let other = json!({"kind": "created"});
        assert_eq!(page([other.clone(), said("a"), said("b")], false), (vec![1], 2));
        assert_eq!(page([other.clone(), said("a"), said("b")], true), (vec![1, 2, 3], 0));
        assert_eq!(page([said("a"), other], false), (vec![1, 2], 0));
        assert_eq!(page([said("a"), said("b"), said(" c"), said("d")], false), (vec![1, 2], 2));
        assert_eq!(page([said("a"), said("b")], false), (vec![1, 2], 0), "one word as long as a page");
    }
}
