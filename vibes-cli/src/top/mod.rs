//! `vibes top`: all sessions on one screen, what needs a person first; requests answered with one key.
//!
//! Invariant: one loop on one thread owns all state, one connection feeds it, and a picture is drawn at most once in
//! [`FRAME`], however much agents say. The terminal is given back whatever ends the program in an orderly way.

mod list;
mod picture;
mod press;
mod preview;
mod screen;
mod state;
mod styled;
#[cfg(test)]
mod tests;
mod words;

use crate::attach::keys::Press;
use crate::attach::terminal::{self, Keys};
use crate::client::hello;
use crate::client::stream::{self, Retry, Stream};
use crate::error::{Failure, Kind, Outcome};
use crate::{commands, place, ui};
use rustix::process::{Pid, Signal, WaitOptions};
use rustix::termios::Termios;
use screen::{Out, Screen};
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGTERM, SIGTSTP, SIGWINCH};
use state::{Effect, Top};
use std::process::Command;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};
use vibes_protocol::model::{SessionId, SessionInfo};
use vibes_protocol::wire::Message;
use vibes_protocol::wire::request::ListSessions;

/// Between two pictures of what agents do: ten in a second are as live as an eye wants a list.
const FRAME: Duration = Duration::from_millis(100);
/// Ages are seen to grow.
const TICK: Duration = Duration::from_secs(1);

/// Everything that can wake the loop.
#[derive(Debug)]
enum Event {
    Daemon(stream::Event),
    /// A key; none when the terminal is gone.
    Press(Option<Press>),
    Resized,
    /// Stop, as a signal asks.
    Stop,
    /// Whoever was stopped goes on; what others did with the terminal meanwhile is nobody's guess.
    Continued,
    Leave,
    /// The attached window is closed, with this exit code.
    Returned(Option<i32>),
}

impl From<stream::Event> for Event {
    fn from(event: stream::Event) -> Self {
        Self::Daemon(event)
    }
}

pub(crate) fn run() -> Outcome {
    if !ui::stdin_is_terminal() || !ui::obeys() {
        return Err(Failure::usage("vibes top draws on a terminal, and this is none that it could draw on")
            .hint("`vibes ls` prints the sessions, `vibes ls --watch` goes on with what changes"));
    }
    let (events, heard) = mpsc::channel();
    let mut all = Loop {
        stream: Stream::new(place::state_dir()?, hello(None)),
        top: Top::new(),
        screen: Screen::new(Out::default(), ui::size()),
        events,
        heard,
        keys: None,
        usual: terminal::modes(),
        attached: None,
        retry: None,
        drawn: None,
        stale: true,
        leaving: false,
    };
    all.connect()?;
    terminal::heed(&[SIGHUP, SIGTERM, SIGINT, SIGWINCH, SIGTSTP, SIGCONT], all.events.clone(), |signal| {
        match signal {
            SIGWINCH => Event::Resized,
            SIGTSTP => Event::Stop,
            SIGCONT => Event::Continued,
            _ => Event::Leave,
        }
    });
    all.open()?;
    let ended = all.until_end();
    all.close();
    ended
}

struct Loop {
    stream: Stream,
    top: Top,
    screen: Screen<Out>,
    events: Sender<Event>,
    heard: Receiver<Event>,
    keys: Option<Keys>,
    /// How the terminal was before anybody drew on it.
    usual: Option<Termios>,
    /// The process of the attached window.
    attached: Option<Pid>,
    retry: Option<Retry>,
    drawn: Option<Instant>,
    /// Something changed that is drawn.
    stale: bool,
    leaving: bool,
}

impl Loop {
    fn connect(&mut self) -> Outcome {
        let mut connection = self.stream.connect()?;
        let mut all: Vec<SessionInfo> = Vec::new();
        let mut cursor = None;
        loop {
            let request = ListSessions {
                states: None,
                agent: None,
                include_ended: false,
                search: None,
                limit: None,
                cursor: cursor.take(),
            };
            let answer = self.stream.ask(&mut connection, request)?;
            let Message::SessionList { sessions, next_cursor, .. } = answer else {
                return Err(Failure::unexpected("list_sessions"));
            };
            let empty = sessions.is_empty();
            all.extend(sessions);
            match next_cursor {
                Some(next) if !empty => cursor = Some(next),
                _ => break,
            }
        }
        self.top.connected(all);
        self.stream.listen(connection, &self.events);
        self.stale = true;
        Ok(())
    }

    /// Takes the terminal.
    fn open(&mut self) -> Outcome {
        terminal::enter_whole()?;
        let events = self.events.clone();
        self.keys = Some(Keys::listen(move |press| events.send(Event::Press(press)).is_ok())?);
        self.screen.resize(ui::size());
        self.draw()
    }

    /// Gives the terminal back; nobody reads keys any more.
    fn close(&mut self) {
        if let Some(keys) = self.keys.take() {
            keys.stop();
        }
        terminal::restore();
    }

    fn until_end(&mut self) -> Outcome {
        loop {
            let due = self.drawn.map_or_else(Instant::now, |at| at + if self.stale { FRAME } else { TICK });
            if self.attached.is_none() && due <= Instant::now() {
                self.draw()?;
                continue;
            }
            let due = self.attached.is_none().then_some(due);
            let until = [due, self.retry.as_ref().map(|retry| retry.at)].into_iter().flatten().min();
            // The loop holds a sender itself, so the channel cannot close.
            let event = match until {
                None => self.heard.recv().ok(),
                Some(until) => self.heard.recv_timeout(until.saturating_duration_since(Instant::now())).ok(),
            };
            if let Some(event) = event {
                self.handle(event)?;
            }
            if self.leaving && self.attached.is_none() {
                return Ok(());
            }
            self.reconnect()?;
        }
    }

    fn handle(&mut self, event: Event) -> Outcome {
        match event {
            Event::Daemon(stream::Event::Message(generation, message))
                if self.stream.is_current(generation) =>
            {
                self.stream.taken();
                self.stale = true;
                if let Some(Effect::Send(request)) = self.top.message(*message) {
                    let _ = self.stream.send(*request);
                }
            }
            Event::Daemon(stream::Event::Lost(generation, error)) if self.stream.is_current(generation) => {
                self.stream.lost();
                self.top.lost(&error.to_string());
                self.retry = Some(Retry::now());
                self.stale = true;
            }
            Event::Daemon(_) => {}
            Event::Press(None) => self.leaving = true,
            Event::Press(Some(press)) if self.attached.is_none() => {
                let effect = self.top.press(&press);
                self.act(effect)?;
                // A key is answered at once.
                if self.attached.is_none() && !self.leaving {
                    self.draw()?;
                }
            }
            // It was on its way when the window opened.
            Event::Press(Some(_)) => {}
            Event::Resized => {
                self.screen.resize(ui::size());
                self.stale = true;
            }
            Event::Stop if self.attached.is_none() => self.stop()?,
            // The window stops by itself, and we with it.
            Event::Stop => {}
            Event::Continued if self.attached.is_none() => {
                terminal::take_again()?;
                self.screen.resize(ui::size());
                self.stale = true;
            }
            Event::Continued => {}
            Event::Leave => {
                self.leaving = true;
                if let Some(window) = self.attached {
                    let _ = rustix::process::kill_process(window, Signal::TERM);
                }
            }
            Event::Returned(code) => {
                self.attached = None;
                if let (None, Some(usual)) = (code, &self.usual) {
                    terminal::mend(usual);
                }
                if !self.leaving {
                    self.open()?;
                    if code != Some(0) {
                        self.top.note =
                            Some("the attached window ended with an error; q shows it".to_owned());
                        self.stale = true;
                    }
                }
            }
        }
        Ok(())
    }

    fn act(&mut self, effect: Option<Effect>) -> Outcome {
        match effect {
            None => {}
            Some(Effect::Leave) => self.leaving = true,
            Some(Effect::Redraw) => self.screen.resize(ui::size()),
            Some(Effect::Suspend) => self.stop()?,
            Some(Effect::Attach(id)) => self.attach(id)?,
            Some(Effect::Send(request)) => {
                let sent = self.stream.send(*request);
                self.top.sent(sent.is_some());
            }
        }
        Ok(())
    }

    /// Stops until somebody says that it goes on, with the terminal given back.
    fn stop(&mut self) -> Outcome {
        self.close();
        terminal::stop_now();
        self.open()
    }

    /// A window of its own process: it is the same as `vibes attach`, and whatever becomes of it we are still here.
    fn attach(&mut self, id: SessionId) -> Outcome {
        self.close();
        let me = std::env::current_exe();
        let child = me.and_then(|me| Command::new(me).args(["attach", &id.to_string()]).spawn());
        let child = match child {
            Ok(child) => child,
            Err(error) => {
                self.top.note = Some(format!("cannot attach: {error}"));
                return self.open();
            }
        };
        let pid = Pid::from_child(&child);
        self.attached = Some(pid);
        let events = self.events.clone();
        thread::spawn(move || {
            // Whoever is stopped by Ctrl-Z takes us along, so that the shell gets its terminal.
            let code = loop {
                match rustix::process::waitpid(Some(pid), WaitOptions::UNTRACED) {
                    Ok(Some((_, status))) if status.stopped() => terminal::stop_now(),
                    Ok(Some((_, status))) => break status.exit_status(),
                    Ok(None) | Err(rustix::io::Errno::INTR) => {}
                    Err(_) => break None,
                }
            };
            let _ = events.send(Event::Returned(code));
        });
        Ok(())
    }

    fn reconnect(&mut self) -> Outcome {
        let Some(retry) = self.retry.take_if(|retry| retry.is_due()) else { return Ok(()) };
        match self.connect() {
            Ok(()) => self.top.note = Some("connected again".to_owned()),
            Err(failure) => match retry.after(&failure) {
                Some(again) => self.retry = Some(again),
                None if failure.kind == Kind::BrokenPipe => return Ok(()),
                None => return Err(failure),
            },
        }
        Ok(())
    }

    fn draw(&mut self) -> Outcome {
        let size = self.screen.size();
        if let Some(request) = self.top.tend(picture::pane_width(size.0)) {
            let id = self.stream.send(request);
            if let Some(preview) = &mut self.top.preview {
                preview.sent(id);
            }
        }
        let dir = self.stream.dir().clone();
        let home = place::home();
        let frame = picture::Frame {
            narrow: picture::is_narrow(size.0),
            now_ms: commands::now_ms(),
            now: Instant::now(),
            home: home.as_deref(),
            holds_state: &|cwd| place::holds_state(&dir, cwd),
            paint: ui::Paint::stdout(),
        };
        self.stale = false;
        self.drawn = Some(Instant::now());
        let top = &mut self.top;
        self.screen.draw(|buffer| picture::draw(top, &frame, buffer))
    }
}
