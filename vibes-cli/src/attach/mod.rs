//! `vibes attach`, the second half of `vibes run`, and `vibes logs -f`: shows a session as it goes on and, on a
//! terminal, lets a person type into it.
//!
//! Invariant: one loop on one thread owns all state. Whatever can wake it is in [`Event`]; threads only bridge what
//! blocks (the socket, the keyboard, signals).

pub(crate) mod asking;
mod attention;
mod canvas;
mod complete;
mod history;
mod input;
pub(crate) mod keys;
mod line;
mod link;
mod output;
mod remember;
mod slash;
mod status;
pub(crate) mod terminal;
mod view;
pub(crate) mod window;

pub(crate) use asking::answers;
pub(crate) use window::SURPRISE;

use crate::args::AttachArgs;
use crate::client::stream::{self, Retry, Seen};
use crate::client::{Daemon, Start};
use crate::error::{Failure, Kind, Outcome};
use crate::place;
use crate::ui;
use history::History;
use keys::Press;
use link::Link;
use output::Output;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};
use vibes_protocol::model::{Role, Seq, SessionInfo};
use view::{End, View};
use window::{Key, Typed, Window};

/// A line under way is shown after so much silence, so that a question without a newline is seen.
const SILENCE: Duration = Duration::from_millis(700);

/// A window whose edge is drawn has many sizes: what is framed for one is framed anew when it has kept it for so long.
const SETTLED: Duration = Duration::from_millis(250);

/// Everything that can wake the loop.
#[derive(Debug)]
pub(crate) enum Event {
    /// The daemon, or the loss of it.
    Daemon(stream::Event),
    /// A key, in a window.
    Press(Press),
    /// A line was typed, where there is no window.
    Line(String),
    /// The terminal has another size.
    Resized,
    /// Somebody sent us the signal that Ctrl-C is.
    Interrupt,
    /// A signal asks us to leave.
    Leave,
}

impl From<stream::Event> for Event {
    fn from(event: stream::Event) -> Self {
        Self::Daemon(event)
    }
}

/// What to show, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mode {
    /// A person types.
    pub(crate) interactive: bool,
    /// Into a terminal that can be drawn on.
    pub(crate) window: bool,
    /// Never writes, never owns.
    pub(crate) read_only: bool,
    /// Ends with the exit code of the first turn.
    pub(crate) once: bool,
    /// Thoughts are shown whole.
    pub(crate) thoughts: bool,
}

pub(crate) fn attach(args: &AttachArgs) -> Outcome {
    let mut daemon = Daemon::here(Start::Auto)?;
    let id = daemon.named(&args.id.id)?;
    let (session, _, _) = daemon.session(&id)?;
    let after = match (args.id.record_in(&session)?, args.after) {
        (Some(_), Some(_)) => return Err(Failure::usage("ID@RECORD and --after both say where to begin")),
        (Some(seq), None) => seq - 1,
        (None, after) => after.unwrap_or(0),
    };
    place::remember_session(daemon.dir(), session.id);
    let mode = Mode::here(args.read_only, false, args.thoughts);
    run(&daemon, &session, after, mode)
}

/// Attaches to a session that was just created.
pub(crate) fn attach_new(daemon: Daemon, session: &SessionInfo, once: bool) -> Outcome {
    // The prompt is on its way: there is nothing to type into a session that ends by itself, but to answer.
    let mode = Mode::here(false, once, false);
    run(&daemon, session, 0, mode)
}

impl Mode {
    fn here(read_only: bool, once: bool, thoughts: bool) -> Self {
        let interactive = ui::stdin_is_terminal() && ui::stdout_is_terminal();
        Self { interactive, window: interactive && ui::obeys(), read_only, once, thoughts }
    }
}

fn run(daemon: &Daemon, session: &SessionInfo, after: Seq, mode: Mode) -> Outcome {
    let (events, heard) = mpsc::channel();
    let role = if mode.read_only { Role::Viewer } else { Role::Writer };
    // Who may change nothing may not note that something was read either.
    let reads = mode.interactive && place::inside_agent_of(daemon.dir()).is_none();
    let mut link = Link::new(daemon.dir().clone(), session.id, role, mode.once, reads);
    let joined = link.join(Seen { seq: after, epoch: None }, &events)?;
    heed_signals(&events, mode.window);
    let mut output = Output::plain(mode.once && !ui::stdout_is_terminal());
    let view = View::new(mode, joined, after, link.me(), daemon.dir());
    view.header(&mut output)?;
    if mode.interactive {
        ui::save_title();
        view.retitle();
    }
    if mode.window {
        let history = History::of(daemon.dir(), &session.cwd);
        output.window = Some(Window::open(history, session.cwd.clone().into(), mode.read_only)?);
        terminal::read_keys(events.clone());
    } else if mode.interactive {
        terminal::read_lines(events.clone());
    }
    let ended = Loop { link, view, output, events, heard, retry: None, reframe: None }.run();
    ended.and_then(End::outcome)
}

/// A terminal that is closed, or a polite kill: the terminal must be given back before we go. In a window, its size and
/// the signal of Ctrl-C are ours too.
fn heed_signals(events: &Sender<Event>, window: bool) {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGWINCH};
    let ours: &[i32] = if window { &[SIGHUP, SIGTERM, SIGWINCH, SIGINT] } else { &[SIGHUP, SIGTERM] };
    terminal::heed(ours, events.clone(), |signal| match signal {
        SIGWINCH => Event::Resized,
        SIGINT => Event::Interrupt,
        _ => Event::Leave,
    });
}

struct Loop {
    link: Link,
    view: View,
    output: Output,
    events: Sender<Event>,
    heard: Receiver<Event>,
    retry: Option<Retry>,
    /// When the request on the screen is framed anew, after the screen got another width.
    reframe: Option<Instant>,
}

impl Loop {
    fn run(mut self) -> Outcome<End> {
        let ended = self.until_end();
        let last = self.view.flush();
        let shown = self.output.pieces(last);
        self.output.stop();
        if self.view.mode.interactive {
            ui::restore_title();
        }
        let ended = ended?;
        shown?;
        self.view.farewell(&ended);
        Ok(ended)
    }

    fn until_end(&mut self) -> Outcome<End> {
        self.view.caught_up_if_empty(&mut self.output)?;
        loop {
            if let Some(end) = self.view.end() {
                return Ok(end);
            }
            if let Some(window) = &mut self.output.window {
                window.draw_if_due(&self.view)?;
            }
            if self.reframe.take_if(|at| *at <= Instant::now()).is_some() {
                self.view.frame_anew(&mut self.output)?;
            }
            let event = match self.heard.try_recv() {
                Ok(event) => Some(event),
                Err(_) => self.sleep()?,
            };
            if let Some(end) = self.handle(event)? {
                return Ok(end);
            }
        }
    }

    /// Waits for the next event, or for what the clock brings.
    fn sleep(&mut self) -> Outcome<Option<Event>> {
        let now = Instant::now();
        let window = self.output.window.as_ref();
        // In a window it is seen anyway.
        let silence = (window.is_none() && self.view.has_partial()).then(|| now + SILENCE);
        let picture = window.and_then(|window| window.due(self.view.running.is_some()));
        let retry = self.retry.as_ref().map(|retry| retry.at);
        let until = [silence, retry, picture, self.reframe, self.view.deadline()].into_iter().flatten().min();
        let Some(until) = until else {
            // The loop holds a sender itself, so the channel cannot close.
            return Ok(self.heard.recv().ok());
        };
        match self.heard.recv_timeout(until.saturating_duration_since(now)) {
            Ok(event) => Ok(Some(event)),
            Err(RecvTimeoutError::Timeout) => {
                if silence.is_some_and(|silence| silence <= Instant::now()) {
                    let pieces = self.view.flush();
                    self.output.pieces(pieces)?;
                }
                self.view.tick(Instant::now());
                Ok(None)
            }
            Err(RecvTimeoutError::Disconnected) => Ok(None),
        }
    }

    fn handle(&mut self, event: Option<Event>) -> Outcome<Option<End>> {
        let mut leave = false;
        if let (Some(window), Some(_)) = (&mut self.output.window, &event) {
            window.touch();
        }
        match event {
            Some(Event::Daemon(stream::Event::Message(generation, message)))
                if self.link.stream.is_current(generation) =>
            {
                self.link.stream.taken();
                self.view.message(*message, &mut self.link, &mut self.output)?;
            }
            Some(Event::Daemon(stream::Event::Lost(generation, error)))
                if self.link.stream.is_current(generation) =>
            {
                self.view.lost(&error, &mut self.output)?;
                self.retry = Some(Retry::now());
            }
            Some(Event::Daemon(_)) | None => {}
            Some(Event::Leave) => leave = true,
            Some(Event::Interrupt) => {
                leave = self.view.key(Key::Interrupt, &mut self.link, &mut self.output)?;
            }
            Some(Event::Resized) => {
                if let Some(width) = self.output.window.as_mut().and_then(Window::resized) {
                    self.view.conversation.resize(width);
                    self.reframe = Some(Instant::now() + SETTLED);
                }
            }
            Some(Event::Press(press)) => leave = self.press(press)?,
            Some(Event::Line(line)) => leave = self.view.line(&line, &mut self.link, &mut self.output)?,
        }
        if leave {
            return Ok(Some(End::Detached));
        }
        self.reconnect()?;
        Ok(None)
    }

    fn press(&mut self, press: Press) -> Outcome<bool> {
        let Some(window) = &mut self.output.window else { return Ok(false) };
        match window.press(press, &self.view.candidates)? {
            Typed::Nothing => Ok(false),
            Typed::Key(key) => self.view.key(key, &mut self.link, &mut self.output),
            Typed::Line(line) => self.view.line(&line, &mut self.link, &mut self.output),
        }
    }

    fn reconnect(&mut self) -> Outcome {
        let Some(retry) = self.retry.take_if(|retry| retry.is_due()) else { return Ok(()) };
        if let Some(window) = &mut self.output.window {
            window.draw(&self.view)?;
        }
        match self.link.join(self.view.seen(), &self.events) {
            Ok(joined) => self.view.rejoined(joined, &mut self.link, &mut self.output),
            Err(failure) => {
                self.retry = Some(retry.after(&failure).ok_or(failure)?);
                Ok(())
            }
        }
    }
}

impl End {
    /// The exit code of an attach.
    fn outcome(self) -> Outcome {
        match self {
            Self::Detached | Self::Ended => Ok(()),
            Self::Turn(ended) => crate::commands::turn_exit(&ended, true),
            Self::Killed { once: false } => Ok(()),
            Self::Killed { once: true } => Err(Failure::silent(Kind::Interrupted)),
            Self::Failed => Err(Failure::silent(Kind::AgentFailed)),
        }
    }
}
