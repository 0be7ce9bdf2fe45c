//! The end of the selected session's conversation.
//!
//! Invariant: records are asked for when the daemon has told of new ones, one request at a time, and each is read once.
//! Nobody joins for it: who looks at a list neither owns a session, nor is missed when they look at another, nor has
//! given away the right to answer there.

use crate::commands::now_ms;
use crate::render::conversation::{Conversation, Piece, Place};
use crate::screen::style;
use std::collections::VecDeque;
use vibes_protocol::model::{Seq, SessionId, SessionInfo};
use vibes_protocol::wire::Request;
use vibes_protocol::wire::message::Record;
use vibes_protocol::wire::request::ReadRecords;

/// So many records before the last are the first that are read.
const BEFORE: Seq = 400;
/// Who is further behind begins anew near the end.
const BEHIND: Seq = 4_000;
/// At most so many come in one answer.
const AT_ONCE: u32 = 2_000;
/// Lines that are kept; no screen has more.
const LINES: usize = 500;

pub(crate) struct Preview {
    pub(crate) session: SessionId,
    width: usize,
    conversation: Conversation,
    lines: VecDeque<String>,
    seen: Seq,
    /// A request for records is under way.
    asked: bool,
    /// Its id.
    request: Option<String>,
    /// The daemon would not give them.
    refused: bool,
}

impl Preview {
    pub(crate) fn new(session: &SessionInfo, width: usize) -> Self {
        let mut style = style(&session.agent, None, Place::Window, false);
        style.width = width;
        Self {
            session: session.id,
            width,
            conversation: Conversation::new(style),
            lines: VecDeque::new(),
            seen: session.head.saturating_sub(BEFORE),
            asked: false,
            request: None,
            refused: false,
        }
    }

    /// Whether it is of this session and width, and not hopelessly behind.
    pub(crate) fn fits(&self, session: &SessionInfo, width: usize) -> bool {
        self.session == session.id && self.width == width && session.head.saturating_sub(self.seen) <= BEHIND
    }

    /// What is to be asked for, if anything is.
    pub(crate) fn wants(&mut self, head: Seq) -> Option<Request> {
        if self.asked || self.refused || head <= self.seen {
            return None;
        }
        self.asked = true;
        let session_id = self.session.to_string();
        Some(ReadRecords { session_id, after: self.seen, limit: Some(AT_ONCE) }.into())
    }

    /// The request went out under this id.
    pub(crate) fn sent(&mut self, id: Option<String>) {
        self.request = id;
    }

    /// A request of this id was refused.
    pub(crate) fn refused(&mut self, id: Option<&str>) {
        if self.request.as_deref().is_some_and(|request| Some(request) == id) {
            self.refused = true;
        }
    }

    /// Reads an answer.
    pub(crate) fn read(&mut self, records: &[Record], head: Seq) {
        self.asked = false;
        let seen = self.seen;
        for record in records.iter().filter(|record| record.seq > seen) {
            self.seen = record.seq;
            for piece in self.conversation.read(record.at_ms, &record.fact) {
                let (Piece::Line(text) | Piece::Words(text)) = piece;
                self.lines.push_back(text);
            }
        }
        if records.is_empty() {
            // There is nothing between: what was told of is not to be had.
            self.seen = self.seen.max(head);
        }
        let more = self.lines.len().saturating_sub(LINES);
        self.lines.drain(..more);
    }

    /// The last lines, those under way among them.
    pub(crate) fn tail(&self, rows: usize) -> Vec<String> {
        let live = self.conversation.live(now_ms(), rows);
        let room = rows.saturating_sub(live.len());
        let first = self.lines.len().saturating_sub(room);
        self.lines.iter().skip(first).cloned().chain(live).collect()
    }
}
