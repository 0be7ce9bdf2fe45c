//! `vibes ask`: one prompt, one answer, and nothing left.
//!
//! Invariant: the session is one that the daemon deletes when it ends and ends when we are gone, so that nothing of it
//! goes on whatever becomes of this process; and standard output has the answer alone, once the turn is over.

mod said;
mod talk;

use crate::args::AskArgs;
use crate::client::stream::{self, Retry, Seen, Stream};
use crate::client::{Daemon, Start, hello};
use crate::commands::run::{directory, turn_exit};
use crate::commands::turn::{Step, Turn};
use crate::commands::{idempotency_key, now};
use crate::error::{Failure, Kind, Outcome};
use crate::render::markdown;
use crate::render::permission::action;
use crate::render::short;
use crate::{attachment, place, sanitize, ui};
use said::Said;
use serde_json::{Map, Value};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};
use talk::Talk;
use vibes_protocol::codec::MAX_CLIENT_LINE;
use vibes_protocol::model::fact::TurnEnded;
use vibes_protocol::model::{
    Detached, Fact, OrphanPolicy, Outcome as Decided, Permission, Role, Seq, SessionInfo, SessionState,
    TurnInfo,
};
use vibes_protocol::printed::Answered;
use vibes_protocol::wire::message::Record;
use vibes_protocol::wire::request::{
    After, CreateSession, DeleteSession, Interrupt, KillSession, ListTurns, Subscribe,
};
use vibes_protocol::wire::{ErrorCode, Message};

/// How long an agent that has answered may take to leave; the daemon sees to the rest.
const GONE_WITHIN: Duration = Duration::from_secs(15);

/// Everything that can wake the loop.
enum Event {
    /// The daemon, or the loss of it.
    Daemon(stream::Event),
    /// A person typed a line, or has no more to say.
    Line(Option<String>),
    /// A signal asks us to stop.
    Stop,
}

impl From<stream::Event> for Event {
    fn from(event: stream::Event) -> Self {
        Self::Daemon(event)
    }
}

pub(crate) fn run(args: &AskArgs) -> Outcome {
    let deadline = args.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let text = prompt(&args.prompt)?;
    let (events, heard) = mpsc::channel();
    heed_signals(&events);
    let talk = Talk::here(&events);
    let (session, input_seq) = create(args, text, talk.is_possible())?;
    let dir = place::state_dir()?;
    let mut asking = Asking {
        role: if talk.is_possible() { Role::Writer } else { Role::Viewer },
        holds_state: place::holds_state(&dir, &session.cwd),
        stream: Stream::new(dir, hello(None)),
        session,
        seen: Seen::default(),
        turn: Turn::of(input_seq),
        said: Said::default(),
        denied: Vec::new(),
        waiting: Vec::new(),
        ended: None,
        stopped: false,
        retry: None,
        talk,
        deadline,
        ndjson: args.ndjson,
        events,
        heard,
    };
    let ended = asking.until_end();
    asking.finish(args, ended)
}

/// The prompt: words, and what standard input has where `-` stands.
fn prompt(words: &[String]) -> Outcome<String> {
    let mut parts = Vec::new();
    for (at, group) in words.split(|word| word == "-").enumerate() {
        match at {
            0 => {}
            1 => {
                let text = ui::read_stdin(MAX_CLIENT_LINE as u64)?;
                parts.push(text.strip_suffix('\n').map_or(text.clone(), str::to_owned));
            }
            _ => return Err(Failure::usage("`-` stands for standard input, which is read once")),
        }
        if !group.is_empty() {
            parts.push(group.join(" "));
        }
    }
    let text = parts.join("\n\n");
    if text.trim().is_empty() && !words.is_empty() {
        return Err(Failure::usage("the prompt is empty"));
    }
    Ok(text)
}

/// The first signal ends the turn, a second one us: what is left then is the daemon's to remove.
fn heed_signals(events: &Sender<Event>) {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let Ok(mut signals) = signal_hook::iterator::Signals::new([SIGHUP, SIGTERM, SIGINT]) else { return };
    let events = events.clone();
    std::thread::spawn(move || {
        let mut first = true;
        for _ in signals.forever() {
            if !std::mem::replace(&mut first, false) || events.send(Event::Stop).is_err() {
                std::process::exit(i32::from(Kind::Interrupted.exit_code()));
            }
        }
    });
}

/// Makes the session; it is joined in a moment. The record of its prompt comes with it.
fn create(args: &AskArgs, text: String, can_ask: bool) -> Outcome<(SessionInfo, Seq)> {
    let mut options = Map::new();
    if let Some(model) = &args.model {
        options.insert("model".to_owned(), Value::from(model.as_str()));
    }
    let mut env = place::agent_environment(&args.env)?;
    let cwd = directory(args.cwd.as_deref())?;
    let mut daemon = Daemon::introduced(Start::Auto)?;
    place::pass_on(daemon.variables_of(&args.agent)?, &mut env);
    let to = attachment::To::Agent(&args.agent);
    let content = attachment::content(&mut daemon, &to, text, &args.attach)?;
    let create = CreateSession {
        budget: None,
        pause_others: false,
        agent: args.agent.clone(),
        cwd,
        template: None,
        values: Default::default(),
        name: args.name.clone(),
        prompt: Some(content),
        conversation: None,
        description: None,
        metadata: Map::new(),
        args: args.agent_args.clone(),
        options,
        mode: args.mode.clone(),
        orphan_policy: Some(if args.keep { OrphanPolicy::Keep } else { OrphanPolicy::Remove }),
        ttl_s: None,
        env,
        umask: place::umask(),
        worktree: args.worktree.clone(),
        approval_deadline_s: None,
        // Where nobody can be asked, we watch only: then nobody is there who could answer.
        detached: Some(if can_ask { Detached::Stall } else { Detached::Deny }),
        once: true,
        ephemeral: !args.keep,
        subscribe: false,
        wait_ready: false,
        idempotency_key: idempotency_key(),
    };
    let Message::SessionCreated { session, input_seq: Some(input_seq), .. } = daemon.ask(create)? else {
        return Err(Failure::unexpected("create_session"));
    };
    if args.keep {
        place::remember_session(daemon.dir(), session.id);
    }
    Ok((session, input_seq))
}

/// What was asked, and what came of it so far.
struct Asking {
    stream: Stream,
    role: Role,
    session: SessionInfo,
    /// Whether the session's directory holds vibes' own state.
    holds_state: bool,
    seen: Seen,
    turn: Turn,
    said: Said,
    denied: Vec<String>,
    /// Questions that nobody has answered.
    waiting: Vec<Permission>,
    ended: Option<TurnEnded>,
    /// The session has ended.
    stopped: bool,
    retry: Option<Retry>,
    talk: Talk,
    deadline: Option<Instant>,
    /// Records are printed as they come.
    ndjson: bool,
    events: Sender<Event>,
    heard: Receiver<Event>,
}

impl Asking {
    /// Until the turn is over, or cannot be any more.
    fn until_end(&mut self) -> Outcome<TurnEnded> {
        self.join()?;
        loop {
            if let Some(ended) = &self.ended {
                return Ok(ended.clone());
            }
            if self.stopped {
                let (state, reason) = (self.session.state.as_str(), self.session.reason.clone());
                let why = reason.map_or_else(String::new, |reason| format!(": {reason}"));
                return Err(Failure::new(Kind::AgentFailed, format!("the session is {state}{why}")));
            }
            match self.next(self.deadline)? {
                Some(Event::Stop) => return Err(Failure::new(Kind::Interrupted, "interrupted")),
                Some(event) => self.handle(event)?,
                None => {
                    return Err(Failure::new(Kind::TimedOut, "timed out; the turn was ended"));
                }
            }
        }
    }

    /// The next event; `None` when the deadline has passed.
    fn next(&mut self, deadline: Option<Instant>) -> Outcome<Option<Event>> {
        loop {
            if self.retry.as_ref().is_some_and(Retry::is_due) {
                self.rejoin()?;
            }
            let until = [self.retry.as_ref().map(|retry| retry.at), deadline].into_iter().flatten().min();
            let Some(until) = until else { return Ok(self.heard.recv().ok()) };
            match self.heard.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(event) => return Ok(Some(event)),
                Err(RecvTimeoutError::Timeout) if deadline.is_some_and(|at| at <= Instant::now()) => {
                    return Ok(None);
                }
                Err(_) => {}
            }
        }
    }

    fn join(&mut self) -> Outcome {
        let mut connection = self.stream.connect()?;
        let subscribe = Subscribe {
            reads: false,
            session_ids: vec![self.session.id.to_string()],
            after: After::Seq(self.seen.seq),
            epoch: self.seen.epoch.filter(|_| self.seen.seq > 0),
            role: self.role,
        };
        let Message::Subscribed { sessions, .. } = self.stream.ask(&mut connection, subscribe)? else {
            return Err(Failure::unexpected("subscribe"));
        };
        if let Some(joined) = sessions.into_iter().next() {
            self.session = joined.session;
        }
        self.stream.listen(connection, &self.events);
        Ok(())
    }

    fn rejoin(&mut self) -> Outcome {
        let Some(retry) = self.retry.take() else { return Ok(()) };
        match self.join() {
            Ok(()) => Ok(()),
            Err(failure) => {
                self.retry = Some(retry.after(&failure).ok_or(failure)?);
                Ok(())
            }
        }
    }

    fn handle(&mut self, event: Event) -> Outcome {
        match event {
            Event::Daemon(stream::Event::Message(generation, message))
                if self.stream.is_current(generation) =>
            {
                self.stream.taken();
                self.message(*message)?;
            }
            Event::Daemon(stream::Event::Lost(generation, _)) if self.stream.is_current(generation) => {
                self.stream.lost();
                self.retry = Some(Retry::now());
            }
            Event::Line(line) => {
                if let Some(answer) = self.talk.line(line, &self.session) {
                    self.stream.send(answer);
                }
            }
            Event::Daemon(_) | Event::Stop => {}
        }
        // Rules are asked first: it is a person's only when the session says so.
        let open = self.session.state == SessionState::WaitingPermission;
        self.talk.about(self.waiting.first().filter(|_| open), &self.session, self.holds_state);
        Ok(())
    }

    fn message(&mut self, message: Message) -> Outcome {
        let id = self.session.id;
        match message {
            Message::Record(record) if record.session_id == id => self.record(record)?,
            Message::SessionUpdated { session } if session.id == id => self.session = session,
            Message::Rewind { session_id, .. } if session_id == id => {
                // What is gathered cannot be cut back: read again from the start.
                self.turn = Turn::of(self.turn.input_seq());
                (self.said, self.denied, self.waiting) = Default::default();
                self.seen = Seen::default();
                self.stream.lost();
                self.retry = Some(Retry::now());
            }
            // Somebody was faster, or it waits no more: the records tell.
            Message::Error { code: ErrorCode::AlreadyDecided | ErrorCode::PermissionNotPending, .. } => {}
            Message::Error { message, .. } => {
                ui::say(&sanitize::line(&message));
                self.talk.again();
            }
            _ => {}
        }
        Ok(())
    }

    fn record(&mut self, record: Record) -> Outcome {
        self.seen = Seen { seq: record.seq, epoch: Some(record.epoch) };
        match self.turn.read(&record.fact) {
            Step::Words(words) => self.said.words(&words),
            Step::Thought => self.said.pause(),
            Step::Tool(title) => {
                self.said.tool();
                self.talk.progress(&title);
            }
            Step::Ended(ended) => self.ended = Some(ended),
            Step::Dropped(why) => self.session.reason = Some(why),
            Step::Nothing => {}
        }
        match &record.fact {
            Fact::PermissionRequested(asked) => self.waiting.push(asked.permission.clone()),
            Fact::PermissionResolved(resolved) => {
                let at = self.waiting.iter().position(|one| one.permission_id == resolved.permission_id);
                let asked = at.map(|at| self.waiting.remove(at));
                if let Some(asked) =
                    asked.filter(|_| matches!(resolved.outcome, Decided::Denied | Decided::Expired))
                {
                    self.denied.push(action(&asked));
                }
            }
            Fact::StateChanged(changed) => {
                self.session.state = changed.to;
                self.session.reason.clone_from(&changed.reason);
                self.stopped = changed.to.is_ended();
            }
            _ => {}
        }
        if self.ndjson {
            ui::json_line(&Message::Record(record))?;
        }
        Ok(())
    }

    /// Prints what came of it and leaves nothing behind that is not wanted.
    fn finish(mut self, args: &AskArgs, ended: Outcome<TurnEnded>) -> Outcome {
        let mut daemon = Daemon::introduced(Start::Auto)?;
        let ended = match ended {
            Ok(ended) => ended,
            Err(failure) => {
                self.abandon(&mut daemon, args.keep);
                return Err(failure);
            }
        };
        let as_json = args.json || args.ndjson;
        let printed = if as_json { Ok(()) } else { self.print() };
        self.tell_denied();
        if !args.keep || as_json {
            // What is told after a turn counts to it: the sums are whole when the session has ended.
            let until = Instant::now() + GONE_WITHIN;
            while !self.stopped {
                match self.next(Some(until))? {
                    Some(Event::Daemon(event)) => self.handle(Event::Daemon(event))?,
                    Some(Event::Line(_)) => {}
                    Some(Event::Stop) | None => break,
                }
            }
        }
        let turn = if as_json { self.ledger(&mut daemon) } else { None };
        if args.keep {
            ui::say(&format!("kept as {}; `vibes resume` goes on with it", short(self.session.id)));
        } else {
            self.discard(&mut daemon);
        }
        printed?;
        if as_json {
            let answered = self.answered(&ended, turn, args.keep);
            if args.ndjson { ui::json_line(&answered)? } else { ui::json(&answered)? }
        }
        turn_exit(&ended, false)
    }

    /// The turn was not waited for.
    fn abandon(&mut self, daemon: &mut Daemon, keep: bool) {
        let session_id = self.session.id.to_string();
        if keep {
            let stopped =
                self.stopped || daemon.ask(Interrupt { session_id, turn: self.turn.number() }).is_ok();
            let what = if stopped { "kept as" } else { "the turn goes on in" };
            return ui::say(&format!("{what} {}", short(self.session.id)));
        }
        if !self.stopped
            && let Err(failure) = daemon.ask(KillSession { session_id })
        {
            ui::say(&format!("session {} was not ended: {}", short(self.session.id), failure.message));
        }
        self.discard(daemon);
    }

    fn discard(&self, daemon: &mut Daemon) {
        let session_id = self.session.id.to_string();
        match daemon.ask(DeleteSession { session_id, purge: true }) {
            Ok(_) => {}
            // It is deleted when it ends all the same, and purged with what was deleted.
            Err(failure) => {
                ui::say(&format!(
                    "session {} was not purged yet: {}",
                    short(self.session.id),
                    failure.message
                ));
            }
        }
    }

    fn ledger(&self, daemon: &mut Daemon) -> Option<TurnInfo> {
        let request = ListTurns { session_id: self.session.id.to_string(), before: None, limit: Some(1) };
        match daemon.ask(request) {
            Ok(Message::Turns { turns, .. }) => turns.into_iter().next(),
            _ => None,
        }
    }

    fn print(&self) -> Outcome {
        let answer = self.said.answer();
        if self.said.was_cut() {
            ui::say("the answer is longer than what is kept of one: its end is missing");
        }
        if answer.is_empty() {
            return Ok(());
        }
        if !ui::stdout_is_terminal() {
            ui::raw(answer)?;
            return if answer.ends_with('\n') { Ok(()) } else { ui::raw("\n") };
        }
        if self.session.agent == "shell" {
            return ui::data(sanitize::text(answer).trim_end_matches('\n'));
        }
        ui::data(&markdown::page(answer, ui::width(), ui::Paint::stdout()).join("\n"))
    }

    fn tell_denied(&self) {
        for action in &self.denied {
            ui::say(&format!("denied: {action}"));
        }
        if !self.denied.is_empty() && !self.talk.is_possible() {
            ui::say("there was nobody to ask: `--mode` or `vibes rules apply` say what is allowed");
        }
    }

    fn answered(&self, ended: &TurnEnded, turn: Option<TurnInfo>, kept: bool) -> Answered {
        let turn = turn.unwrap_or_default();
        Answered {
            answer: self.said.answer().to_owned(),
            session_id: self.session.id,
            kept,
            agent: self.session.agent.clone(),
            outcome: ended.outcome,
            stop_reason: ended.stop_reason.clone(),
            error: ended.error.clone(),
            exit_code: ended.exit_code,
            usage: turn.usage.or_else(|| ended.usage.clone()),
            cost: turn.cost.or_else(|| ended.cost.clone()),
            models: turn.models,
            files: turn.files,
            denied: self.denied.clone(),
            duration_ms: turn.ended_ms.map(|at| at - turn.started_ms),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_is_words() {
        let words = |words: &[&str]| prompt(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        assert_eq!(words(&["what", "is  this?"]).unwrap(), "what is  this?");
        assert_eq!(words(&["one\n\ntwo"]).unwrap(), "one\n\ntwo");
        assert_eq!(words(&[" "]).unwrap_err().kind, Kind::Usage);
        assert_eq!(words(&[]).unwrap(), "", "files may be all of it");
    }
}
