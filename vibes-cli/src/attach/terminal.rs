//! The terminal while a person types into it: raw, and always given back as it was.
//!
//! Invariant: whatever ends the program in an orderly way (its end, a panic, a signal that asks) restores what
//! [`enter`] changed, once; what it wrote in between goes through [`super::canvas`].

use super::Event;
use super::keys::{Keyboard, Press};
use crate::error::{Failure, Outcome};
use crate::ui;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::stdio::stdin;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Mutex, Once, PoisonError};
use std::thread::{self, JoinHandle};

/// What the terminal was like before.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);
static HOOK: Once = Once::new();
/// The other screen is shown, the one without a scrollback.
static WHOLE: AtomicBool = AtomicBool::new(false);

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

/// How the terminal is now; nothing of one that is gone.
pub(crate) fn modes() -> Option<Termios> {
    tcgetattr(stdin()).ok()
}

/// Makes it so again after a program that died with the terminal in its hands, and takes away what it had drawn below.
pub(crate) fn mend(modes: &Termios) {
    let _ = ui::raw("\x1b[0m\x1b[?2026l\x1b[?2004l\x1b[?25h\r\x1b[J");
    let _ = tcsetattr(stdin(), OptionalActions::Now, modes);
}

/// The same, and the whole screen is ours: what stood on it comes back with [`restore`].
pub(crate) fn enter_whole() -> Outcome {
    enter()?;
    WHOLE.store(true, Ordering::Relaxed);
    ui::raw("\x1b[?1049h\x1b[?25l")
}

/// Takes a whole screen again that is ours already, from whoever changed it meanwhile.
pub(crate) fn take_again() -> Outcome {
    if BEFORE.lock().unwrap_or_else(PoisonError::into_inner).is_none() {
        return Ok(());
    }
    let failed = |error: Errno| Failure::io("cannot set the terminal", &error.into());
    let mut raw = tcgetattr(stdin()).map_err(failed)?;
    raw.make_raw();
    tcsetattr(stdin(), OptionalActions::Now, &raw).map_err(failed)?;
    ui::raw("\x1b[?2004h\x1b[?1049h\x1b[?25l")
}

/// Gives it back. A second time does nothing.
pub(crate) fn restore() {
    let before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(before) = before {
        let whole = if WHOLE.swap(false, Ordering::Relaxed) { "\x1b[0m\x1b[?1049l" } else { "" };
        let _ = ui::raw(&format!("\x1b[?2026l{whole}\x1b[?2004l\x1b[?25h"));
        let _ = tcsetattr(stdin(), OptionalActions::Now, &before);
    }
}

/// Reads keys on a thread of their own until the terminal is gone, which is a leave.
pub(crate) fn read_keys(events: Sender<Event>) {
    thread::spawn(move || {
        pump(None, |press| events.send(press.map_or(Event::Leave, Event::Press)).is_ok());
    });
}

/// A reader of keys that can be stopped, so that somebody else may read.
pub(crate) struct Keys {
    /// Closing it wakes the thread.
    stop: OwnedFd,
    thread: JoinHandle<()>,
}

impl Keys {
    /// Tells each key; nothing when the terminal is gone.
    pub(crate) fn listen(tell: impl FnMut(Option<Press>) -> bool + Send + 'static) -> Outcome<Self> {
        let (woken, stop) =
            pipe_with(PipeFlags::CLOEXEC).map_err(|error| Failure::io("cannot read keys", &error.into()))?;
        let thread = thread::spawn(move || pump(Some(&woken), tell));
        Ok(Self { stop, thread })
    }

    /// From now on no byte is taken.
    pub(crate) fn stop(self) {
        drop(self.stop);
        let _ = self.thread.join();
    }
}

/// Reads keys until `stop` is closed, nobody listens, or the terminal is gone: that is told as nothing.
fn pump(stop: Option<&OwnedFd>, mut tell: impl FnMut(Option<Press>) -> bool) {
    let mut keyboard = Keyboard::default();
    let mut buffer = [0; 4096];
    loop {
        if keyboard.is_in_doubt() && !more_comes() {
            if !keyboard.settle().into_iter().all(|key| tell(Some(key))) {
                return;
            }
            continue;
        }
        if stop.is_some_and(is_stopped) {
            return;
        }
        let count = match rustix::io::read(stdin(), &mut buffer) {
            Ok(count @ 1..) => count,
            Err(Errno::INTR | Errno::AGAIN) => continue,
            Ok(0) | Err(_) => {
                tell(None);
                return;
            }
        };
        if !keyboard.feed(&buffer[..count]).into_iter().all(|key| tell(Some(key))) {
            return;
        }
    }
}

/// Waits until there are bytes to read, or nobody wants any.
fn is_stopped(stop: &OwnedFd) -> bool {
    let input = stdin();
    loop {
        let mut fds = [PollFd::new(stop, PollFlags::IN), PollFd::new(&input, PollFlags::IN)];
        match poll(&mut fds, None) {
            Ok(_) => return !fds[0].revents().is_empty(),
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(_) => return true,
        }
    }
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
    stop_here();
    enter()
}

/// The same for a terminal that has been given back.
pub(crate) fn stop_here() {
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TSTP);
}

/// The same for a program that heeds that signal.
pub(crate) fn stop_now() {
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::STOP);
}

/// Tells signals as events, from a thread of its own.
pub(crate) fn heed<E: Send + 'static>(signals: &[i32], events: Sender<E>, meaning: fn(i32) -> E) {
    let Ok(mut signals) = signal_hook::iterator::Signals::new(signals) else { return };
    thread::spawn(move || {
        for signal in signals.forever() {
            if events.send(meaning(signal)).is_err() {
                return;
            }
        }
    });
}
