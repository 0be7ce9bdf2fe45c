//! What connections say to the runner and hear from it.
//!
//! Invariant: only the connection greeted last gives orders, and its fence is the highest ever seen; every order but
//! Go and Signal that worked is answered.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use vibes_runner::wire::{Order, RUNNER_PROTOCOL, Refusal, Report, Standing};

use crate::control::Connection;
use crate::runner::Runner;
use crate::system;

/// How many connections may be open: the controller, its successor, and some that have not said who they are.
const MOST_CONNECTIONS: usize = 8;

impl Runner {
    pub(crate) fn accept(&mut self) {
        while !self.deaf {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    if stream.set_nonblocking(true).is_err() || !system::is_ours(&stream) {
                        continue;
                    }
                    if self.connections.len() >= MOST_CONNECTIONS {
                        // The controller stays; who has been silent longest goes.
                        let silent = self.connections.iter().position(|peer| !peer.greeted);
                        silent.map(|index| self.connections.remove(index));
                    }
                    self.connections.push(Connection::new(stream));
                }
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => return,
                    ErrorKind::Interrupted | ErrorKind::ConnectionAborted => {}
                    _ => self.deaf = true,
                },
            }
        }
    }

    pub(crate) fn serve(&mut self, now: Instant) {
        for index in 0..self.connections.len() {
            self.connections[index].receive();
            while let Some(order) = self.connections[index].next() {
                self.obey(index, order, now);
            }
        }
        self.connections.retain(|peer| !peer.is_over());
    }

    fn obey(&mut self, from: usize, order: Option<Order>, now: Instant) {
        let refuse = |in_seq, why| Some(Report::Refused { in_seq, why });
        let answer = match order {
            Some(Order::Hello { fence, .. }) if fence < self.fence => {
                self.connections[from].dismiss();
                refuse(0, Refusal::Fenced)
            }
            Some(Order::Hello { fence, .. }) => {
                let standing = self.standing();
                self.fence = fence;
                for (index, peer) in self.connections.iter_mut().enumerate() {
                    if index != from && peer.greeted {
                        peer.evict();
                    }
                }
                self.connections[from].greeted = true;
                self.told = (standing.spool_end, standing.blocked);
                Some(Report::Hello(standing))
            }
            Some(Order::Write { in_seq, .. }) if !self.connections[from].greeted => {
                refuse(in_seq, Refusal::Protocol)
            }
            None => refuse(0, Refusal::Protocol),
            Some(_) if !self.connections[from].greeted => refuse(0, Refusal::Protocol),
            Some(Order::Go) => {
                self.go();
                None
            }
            Some(Order::Write { in_seq, hash, bytes }) => match self.input.offer(in_seq, &hash, bytes) {
                Ok(()) => Some(Report::Ack { in_seq }),
                Err(why) => refuse(in_seq, why),
            },
            Some(Order::Stat) => Some(Report::Stat(self.standing())),
            Some(Order::Signal { signal }) => match (Signal::from_named_raw(signal), &self.agent) {
                (Some(signal), Some(agent)) => {
                    agent.signal(signal);
                    None
                }
                (Some(_), None) => refuse(0, Refusal::NotRunning),
                (None, _) => refuse(0, Refusal::Protocol),
            },
            Some(Order::Stop { eof_ms, term_ms }) => {
                self.stop_asked = true;
                self.stop(Duration::from_millis(eof_ms.into()), Duration::from_millis(term_ms.into()), now);
                None
            }
        };
        if let Some(answer) = answer {
            self.connections[from].send(&answer);
        }
    }

    fn standing(&self) -> Standing {
        Standing {
            protocol: RUNNER_PROTOCOL,
            pid: self.who.pid,
            agent_pid: self.agent_pid,
            going: self.going,
            fence: self.fence,
            last_in_seq: self.input.last,
            spool_end: self.output.end,
            pending_input: self.input.pending as u64,
            blocked: self.output.retry.is_some(),
            exit: self.exit,
        }
    }

    pub(crate) fn say(&mut self, report: &Report) {
        if let Some(controller) = self.connections.iter_mut().find(|peer| peer.greeted) {
            controller.send(report);
        }
    }

    /// Tells the controller what is new, growth only when it has read everything else, and writes what can be.
    pub(crate) fn tell(&mut self) {
        let (end, blocked) = (self.output.end, self.output.retry.is_some());
        self.flush();
        if let Some(controller) = self.connections.iter_mut().find(|peer| peer.greeted) {
            if blocked != self.told.1 {
                controller.send(&Report::Blocked { blocked });
                self.told.1 = blocked;
            }
            if end != self.told.0 && !controller.has_unsent() {
                controller.send(&Report::Grown { spool_end: end });
                self.told.0 = end;
            }
        }
        self.flush();
        self.connections.retain(|peer| !peer.is_over());
    }

    fn flush(&mut self) {
        self.connections.iter_mut().for_each(Connection::flush);
    }
}
