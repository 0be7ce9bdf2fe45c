//! The terminal while a person types into it: raw, and always given back as it was.
//!
//! Invariant: whatever ends the program in an orderly way (its end, a panic, a signal that asks) restores what
//! [`enter`] changed, once; what it wrote in between goes through [`super::canvas`].

use super::Event;
use super::keys::Keyboard;
use crate::error::{Failure, Outcome};
use crate::ui;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::stdio::stdin;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use std::sync::mpsc::Sender;
use std::sync::{Mutex, Once, PoisonError};
use std::thread;

/// What the terminal was like before.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);
static HOOK: Once = Once::new();

/// An escape character is the key of that name when nothing follows for so long. A terminal sends a sequence in one
/// go; over a slow line it may be cut.
const DOUBT: Timespec = Timespec { tv_sec: 0, tv_nsec: 30_000_000 };

/// Keys come one by one from now on, and what is pasted is marked.
pub(crate) fn enter() -> Outcome {
    let failed = |error: Errno| Failure::io("cannot set the terminal", &error.into());
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            restore();
            before(panic);
        }));
    });
    let found = tcgetattr(stdin()).map_err(failed)?;
    let mut raw = found.clone();
    raw.make_raw();
    *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
    tcsetattr(stdin(), OptionalActions::Now, &raw).map_err(failed)?;
    ui::raw("\x1b[?2004h")
}

/// Gives it back. A second time does nothing.
pub(crate) fn restore() {
    let before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(before) = before {
        let _ = ui::raw("\x1b[?2026l\x1b[?2004l\x1b[?25h");
        let _ = tcsetattr(stdin(), OptionalActions::Now, &before);
    }
}

/// Reads keys on a thread of their own until the terminal is gone, which is a leave.
pub(crate) fn read_keys(events: Sender<Event>) {
    thread::spawn(move || {
        let mut keyboard = Keyboard::default();
        let mut buffer = [0; 4096];
        loop {
            if keyboard.is_in_doubt() && !more_comes() {
                let settled = keyboard.settle();
                if settled.into_iter().any(|key| events.send(Event::Press(key)).is_err()) {
                    return;
                }
                continue;
            }
            let count = match rustix::io::read(stdin(), &mut buffer) {
                Ok(count @ 1..) => count,
                Err(Errno::INTR | Errno::AGAIN) => continue,
                Ok(0) | Err(_) => {
                    let _ = events.send(Event::Leave);
                    return;
                }
            };
            let keys = keyboard.feed(&buffer[..count]);
            if keys.into_iter().any(|key| events.send(Event::Press(key)).is_err()) {
                return;
            }
        }
    });
}

fn more_comes() -> bool {
    let input = stdin();
    let mut fds = [PollFd::new(&input, PollFlags::IN)];
    matches!(poll(&mut fds, Some(&DOUBT)), Ok(1..))
}

/// Reads whole lines on a thread of their own, for a terminal that understands nothing else.
pub(crate) fn read_lines(events: Sender<Event>) {
    thread::spawn(move || {
        for line in std::io::stdin().lines() {
            let event = line.map_or(Event::Leave, Event::Line);
            let over = matches!(event, Event::Leave);
            if events.send(event).is_err() || over {
                return;
            }
        }
        let _ = events.send(Event::Leave);
    });
}

/// Stops this program as Ctrl-Z does everywhere; it goes on when the shell says so.
pub(crate) fn suspend() -> Outcome {
    restore();
    let me = rustix::process::getpid();
    let _ = rustix::process::kill_process(me, rustix::process::Signal::TSTP);
    enter()
}
