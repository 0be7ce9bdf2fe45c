//! The two ends of standard input and output: lines in by a thread, lines out in batches.
//!
//! Invariant: standard output carries whole lines of JSON and nothing else; whoever sends faster than it is served
//! waits, and so does who is served slower than it reads.

use crate::error::Outcome;
use crate::ui;
use serde_json::Value;
use std::fmt::Write as _;
use std::io::{self, Read as _};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use vibes_protocol::codec::{Line, LineBuffer, MAX_DAEMON_LINE};

/// How many lines the reader may be ahead.
const AHEAD: usize = 64;
/// How much output is gathered before it is written though more may follow, in bytes.
const BATCH: usize = 64 * 1024;

/// What standard input gives.
#[derive(Debug, PartialEq)]
pub(super) enum Input {
    /// A line, without its newline.
    Line(Vec<u8>),
    /// A line was too long; the rest cannot be followed.
    TooLong,
    /// It has ended.
    End,
}

/// The reader's tickets: one is taken for each line that was served.
pub(super) struct Lines(Receiver<()>);

impl Lines {
    /// Begins to read.
    pub(super) fn read<E: From<Input> + Send + 'static>(events: Sender<E>) -> Self {
        let (ticket, tickets) = mpsc::sync_channel(AHEAD);
        thread::spawn(move || {
            let deliver = |input: Input| ticket.send(()).is_ok() && events.send(input.into()).is_ok();
            let mut lines = LineBuffer::new(MAX_DAEMON_LINE);
            let mut chunk = vec![0; 64 * 1024];
            let mut stdin = io::stdin().lock();
            loop {
                while let Some(line) = lines.next_line() {
                    let (input, goes_on) = match line {
                        Line::Whole(line) => (Input::Line(line.to_vec()), true),
                        Line::TooLong => (Input::TooLong, false),
                    };
                    if !deliver(input) || !goes_on {
                        return;
                    }
                }
                match stdin.read(&mut chunk) {
                    Ok(0) => break,
                    Ok(length) => lines.push(&chunk[..length]),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(_) => break,
                }
            }
            // A last line without its newline was cut off: nothing that anybody finished saying.
            deliver(Input::End);
        });
        Self(tickets)
    }

    /// A line was served.
    pub(super) fn taken(&self) {
        let _ = self.0.try_recv();
    }
}

/// Lines on their way out.
#[derive(Debug, Default)]
pub(super) struct Out(String);

impl Out {
    /// Adds a line.
    pub(super) fn line(&mut self, message: &Value) -> Outcome {
        // Writing into a string cannot fail.
        let _ = writeln!(self.0, "{message}");
        if self.0.len() >= BATCH { self.flush() } else { Ok(()) }
    }

    /// Writes what was gathered.
    pub(super) fn flush(&mut self) -> Outcome {
        if self.0.is_empty() {
            return Ok(());
        }
        let written = ui::raw(&self.0);
        self.0.clear();
        written
    }
}
