//! `vibes send`: gives a prompt; with `--wait`, stays until its own turn has ended and prints the answer.
//!
//! Invariant: the prompt carries a key, so that a retry after a lost connection is the same prompt; and only the turn
//! of this prompt counts, whatever else the session works on.

use crate::args::SendArgs;
use crate::client::{Daemon, Start};
use crate::commands::logs::page;
use crate::commands::turn::{Step, Turn};
use crate::commands::wait::{needs_approval, news};
use crate::commands::{idempotency_key, run::turn_exit};
use crate::error::{Failure, Kind, Outcome};
use crate::render::short;
use crate::{attachment, place, sanitize, ui};
use vibes_protocol::codec::MAX_CLIENT_LINE;
use vibes_protocol::model::SessionState;
use vibes_protocol::wire::Message;
use vibes_protocol::wire::request::Input;

pub(crate) fn run(args: &SendArgs) -> Outcome {
    // Files are a prompt of their own; standard input is read only when it is named.
    let prompt = match &args.prompt {
        None if !args.attach.is_empty() => String::new(),
        given => prompt(given.as_deref())?,
    };
    let mut daemon = Daemon::introduced(Start::Auto)?;
    let session_id = daemon.named(&args.id)?;
    let to = attachment::To::Session(&session_id);
    let content = attachment::content(&mut daemon, &to, prompt, &args.attach)?;
    let request = Input { session_id, content, idempotency_key: idempotency_key(), now: args.now };
    let Message::Accepted { session_id, seq, .. } = daemon.ask(request)? else {
        return Err(Failure::unexpected("input"));
    };
    place::remember_session(daemon.dir(), session_id);
    if !args.wait {
        ui::say(&format!("sent to {} (record {seq})", short(session_id)));
        return Ok(());
    }
    let mut turn = Turn::of(seq);
    let mut after = seq;
    let mut printed = Printed::default();
    loop {
        // First what is written, then what is the matter: a request for approval is seen before its answer is missed.
        loop {
            let (records, head) = page(&mut daemon, session_id, after)?;
            for record in &records {
                after = record.seq;
                match turn.read(&record.fact) {
                    Step::Nothing | Step::Thought | Step::Tool(_) => {}
                    Step::Words(words) => printed.print(&words)?,
                    Step::Ended(ended) => {
                        printed.end()?;
                        return turn_exit(&ended, false);
                    }
                    Step::Dropped(why) => {
                        printed.end()?;
                        return Err(Failure::new(Kind::AgentFailed, why));
                    }
                }
            }
            if records.is_empty() || after >= head {
                break;
            }
        }
        // Judged by a look of our own, not by the notice that woke us, which may be older than what was read.
        let session = daemon.session(&session_id.to_string())?.0;
        if session.head > after {
            continue;
        }
        if session.state == SessionState::WaitingPermission {
            printed.end()?;
            return Err(needs_approval(&session));
        }
        if session.state.is_ended() {
            printed.end()?;
            let message = format!("session {} is {}", short(session_id), session.state.as_str());
            return Err(Failure::new(Kind::AgentFailed, message));
        }
        news(&mut daemon, session_id, None)?;
    }
}

/// The prompt: given, or from standard input.
pub(crate) fn prompt(given: Option<&str>) -> Outcome<String> {
    let text = match given {
        Some(text) if text != "-" => text.to_owned(),
        None if ui::stdin_is_terminal() => {
            return Err(
                Failure::usage("no prompt was given").hint("vibes send ID PROMPT, or pipe the prompt in")
            );
        }
        _ => {
            let text = ui::read_stdin(MAX_CLIENT_LINE as u64)?;
            text.strip_suffix('\n').map_or(text.clone(), str::to_owned)
        }
    };
    if text.trim().is_empty() {
        return Err(Failure::usage("the prompt is empty"));
    }
    Ok(text)
}

/// The answer on standard output.
#[derive(Default)]
struct Printed {
    mid_line: bool,
}

impl Printed {
    fn print(&mut self, words: &str) -> Outcome {
        self.mid_line = !words.is_empty() && !words.ends_with('\n');
        if ui::stdout_is_terminal() { ui::raw(&sanitize::text(words)) } else { ui::raw(words) }
    }

    fn end(&self) -> Outcome {
        if self.mid_line { ui::raw("\n") } else { Ok(()) }
    }
}
