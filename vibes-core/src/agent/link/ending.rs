//! The end of a generation: what the runner left is killed, the rest of the spool is handed over, and how it ended is told.
//!
//! Invariant: every whole line that was written is handed over, or what is missing of it is told, before the link says that
//! the generation is gone.

use super::{Gone, Hindrance, LAST_TRIES, LinkEvent, READ_AGAIN, SWEEPS, Unheard, Worker};
use crate::{
    agent::place,
    host,
    points::{self, Point},
};
use std::io;
use vibes_runner::{spool, wire::Exit};

impl Worker {
    /// The runner is no more: kills what it left, hands over the rest of the spool, tells how it ended.
    pub(super) async fn conclude(&mut self, exit: Option<Exit>) -> Result<(), Unheard> {
        let (marker, dir) = (self.marker.clone(), self.dir.clone());
        let sweep = move || {
            place::kill_group(&dir);
            host::sweep(&marker, SWEEPS)
        };
        let left = tokio::task::spawn_blocking(sweep).await.unwrap_or_default();
        let _ = self.stopped.set(left.clone());
        let mut tries = 0;
        loop {
            match self.reader.read() {
                Ok(Some(chunk)) if chunk.lines.is_empty() => {}
                Ok(Some(chunk)) => {
                    points::hit(Point::IngestRead);
                    self.events.send(LinkEvent::Lines(chunk)).await?;
                }
                Ok(None) => break,
                Err(error) => {
                    tracing::error!(dir = %self.dir.display(), %error, "the rest of the spool cannot be read");
                    tries += 1;
                    if error.kind() == io::ErrorKind::NotFound {
                        break;
                    }
                    if tries > LAST_TRIES {
                        let chunk = self.reader.give_up(&format!("the rest of it cannot be read: {error}"));
                        self.events.send(LinkEvent::Lines(chunk)).await?;
                        break;
                    }
                    let why = Some(format!("what its agent wrote cannot be read: {error}"));
                    self.events.send(LinkEvent::Hindered(Hindrance::Unread, why)).await?;
                    tokio::time::sleep(READ_AGAIN).await;
                }
            }
        }
        let lost = self.reader.give_up_to(place::spool_end(&self.dir).unwrap_or(0));
        for chunk in lost.into_iter().chain(self.reader.finish()) {
            self.events.send(LinkEvent::Lines(chunk)).await?;
        }
        let gone = Gone {
            exit: exit.or_else(|| place::exit_file(&self.dir)),
            left,
            last_in_seq: spool::last_logged_input(&self.dir).ok(),
            stderr: place::stderr_tail(&self.dir),
        };
        self.events.send(LinkEvent::Gone(Box::new(gone))).await?;
        Ok(())
    }
}
