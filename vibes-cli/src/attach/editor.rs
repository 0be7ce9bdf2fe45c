//! The line editor: it owns the terminal while a person is attached.
//!
//! Invariant: everything printed while it runs goes through its printer, in order, above the line being typed. The
//! printer only works while the editor reads; between two lines the gate is shut, because text would otherwise
//! overtake what the editor still holds.

use super::Event;
use crate::error::{Failure, Outcome};
use crate::ui::Paint;
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::{Hint, Hinter};
use rustyline::history::MemHistory;
use rustyline::validate::Validator;
use rustyline::{
    Cmd, ConditionalEventHandler, Config, Editor, Event as KeyPress, EventContext, EventHandler,
    ExternalPrinter, Helper, KeyCode, KeyEvent, Modifiers, Movement, RepeatCount,
};
use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// A key pressed within this time of a request's appearance was meant for something else.
pub(crate) const SURPRISE: Duration = Duration::from_millis(600);

/// A key with a meaning of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    /// Say yes to the request shown.
    Approve,
    /// Say yes to it and to its like for the rest of the session.
    ForSession,
    /// Say no to it.
    Deny,
    /// Answer with the agent's option of this number, from 1.
    Option(usize),
    /// Ctrl-C on an empty line.
    Interrupt,
    /// Ctrl-D or Ctrl-\.
    Detach,
}

/// What the editor's keys depend on; set by the attach loop, read by the editor's thread.
#[derive(Debug)]
pub(crate) struct Keys {
    begun: Instant,
    /// Milliseconds since `begun` at which a request was shown, plus one; 0 when none is.
    asked_at: AtomicU64,
    /// How many options it has.
    options: AtomicUsize,
    read_only: bool,
}

impl Keys {
    fn new(read_only: bool) -> Self {
        Self { begun: Instant::now(), asked_at: AtomicU64::new(0), options: AtomicUsize::new(0), read_only }
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// A request is on the screen.
    pub(crate) fn ask(&self, options: usize) {
        self.options.store(options, Ordering::Relaxed);
        self.asked_at.store(self.elapsed_ms() + 1, Ordering::Release);
    }

    /// No request is on the screen.
    pub(crate) fn settle(&self) {
        self.asked_at.store(0, Ordering::Release);
    }

    fn asks(&self) -> bool {
        self.asked_at.load(Ordering::Acquire) > 0 && !self.read_only
    }

    /// What a key means on an empty line.
    fn meaning(&self, pressed: char) -> Option<Key> {
        let asked_at = self.asked_at.load(Ordering::Acquire);
        let long_enough = u64::try_from(SURPRISE.as_millis()).unwrap_or(0);
        if self.read_only || asked_at == 0 || self.elapsed_ms() + 1 < asked_at + long_enough {
            return None;
        }
        match pressed {
            'a' | 'A' => Some(Key::Approve),
            's' | 'S' => Some(Key::ForSession),
            'd' | 'D' => Some(Key::Deny),
            digit => {
                let number = digit.to_digit(10).and_then(|number| usize::try_from(number).ok())?;
                (1..=self.options.load(Ordering::Relaxed)).contains(&number).then_some(Key::Option(number))
            }
        }
    }

    /// The words behind an empty line.
    fn footer(&self) -> &'static str {
        match (self.read_only, self.asks()) {
            (true, _) => "watching · Ctrl-D detaches",
            (false, true) => "[A]pprove  [S]ession  [D]eny  or a number · Ctrl-D detaches",
            (false, false) => "type a prompt · Ctrl-C twice interrupts · Ctrl-D detaches · /help",
        }
    }
}

/// Open while the editor reads.
#[derive(Debug, Default)]
struct Gate {
    /// The editor is about to read; the next picture it draws opens the gate.
    armed: AtomicBool,
    open: Mutex<bool>,
    changed: Condvar,
}

impl Gate {
    fn set(&self, open: bool) {
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = open;
        self.changed.notify_all();
    }

    /// Waits until it is open; false when it stayed shut that long.
    fn wait(&self, within: Duration) -> bool {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let (open, _) = self
            .changed
            .wait_timeout_while(open, within, |open| !*open)
            .unwrap_or_else(PoisonError::into_inner);
        *open
    }
}

/// The words behind an empty line. The editor asks for them whenever it draws, so they follow what is asked.
struct Footer(Arc<Keys>);

impl Hint for Footer {
    fn display(&self) -> &str {
        self.0.footer()
    }

    fn completion(&self) -> Option<&str> {
        None
    }
}

/// What the editor asks while it draws.
struct Hands {
    gate: Arc<Gate>,
    keys: Arc<Keys>,
    paint: Paint,
}

impl Helper for Hands {}
impl Validator for Hands {}

impl Completer for Hands {
    type Candidate = String;
}

impl Highlighter for Hands {
    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        Cow::Owned(self.paint.dim(hint))
    }

    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(&'s self, prompt: &'p str, _default: bool) -> Cow<'b, str> {
        Cow::Owned(self.paint.green(prompt))
    }
}

impl Hinter for Hands {
    type Hint = Footer;

    fn hint(&self, line: &str, _pos: usize, _ctx: &rustyline::Context<'_>) -> Option<Footer> {
        // Called for every picture, the first of them when the terminal is in raw mode: only now may the printer work.
        if self.gate.armed.swap(false, Ordering::AcqRel) {
            self.gate.set(true);
        }
        line.is_empty().then(|| Footer(Arc::clone(&self.keys)))
    }
}

/// Enter: the editor is about to stop reading.
struct Enter(Arc<Gate>);

impl ConditionalEventHandler for Enter {
    fn handle(&self, _: &KeyPress, _: RepeatCount, _: bool, _: &EventContext<'_>) -> Option<Cmd> {
        self.0.set(false);
        Some(Cmd::AcceptLine)
    }
}

/// A key that means something while the line is empty.
struct Single {
    keys: Arc<Keys>,
    events: Sender<Event>,
}

impl ConditionalEventHandler for Single {
    fn handle(&self, press: &KeyPress, _: RepeatCount, _: bool, context: &EventContext<'_>) -> Option<Cmd> {
        let KeyEvent(KeyCode::Char(pressed), _) = press.get(0)? else { return None };
        let key = context.line().is_empty().then(|| self.keys.meaning(*pressed)).flatten()?;
        let _ = self.events.send(Event::Key(key));
        Some(Cmd::Noop)
    }
}

/// Ctrl-C and the keys that detach: they never end the editor by themselves.
struct Control {
    key: Key,
    events: Sender<Event>,
}

impl ConditionalEventHandler for Control {
    fn handle(&self, _: &KeyPress, _: RepeatCount, _: bool, context: &EventContext<'_>) -> Option<Cmd> {
        if context.line().is_empty() || self.key == Key::Detach {
            let _ = self.events.send(Event::Key(self.key));
            return Some(Cmd::Noop);
        }
        // A line being typed is what Ctrl-C gives up first, as everywhere.
        Some(Cmd::Kill(Movement::WholeBuffer))
    }
}

/// A running editor, as the attach loop holds it.
pub(crate) struct Console {
    printer: Box<dyn ExternalPrinter + Send>,
    gate: Arc<Gate>,
    stop: Arc<AtomicBool>,
    ended: Receiver<()>,
    /// What its keys depend on.
    pub(crate) keys: Arc<Keys>,
}

impl Console {
    /// Starts the editor on a thread of its own.
    pub(crate) fn start(events: &Sender<Event>, read_only: bool, paint: Paint) -> Outcome<Self> {
        let broken = |error: ReadlineError| {
            Failure::new(crate::error::Kind::Failed, format!("no line editor: {error}"))
        };
        // The editor's own handler stands only while it reads; in between, this one keeps the signal harmless.
        let harmless = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(signal_hook::consts::SIGINT, harmless)
            .map_err(|error| Failure::io("cannot handle signals", &error))?;
        let config = Config::builder().auto_add_history(true).build();
        let history = MemHistory::with_config(&config);
        let mut editor: Editor<Hands, MemHistory> = Editor::with_history(config, history).map_err(broken)?;
        let (gate, keys) = (Arc::new(Gate::default()), Arc::new(Keys::new(read_only)));
        editor.set_helper(Some(Hands { gate: Arc::clone(&gate), keys: Arc::clone(&keys), paint }));
        let printer = Box::new(editor.create_external_printer().map_err(broken)?);
        bind(&mut editor, &gate, &keys, events);
        let (stop, (tell, ended)) = (Arc::new(AtomicBool::new(false)), mpsc::channel());
        let (stopping, arming, events) = (Arc::clone(&stop), Arc::clone(&gate), events.clone());
        thread::spawn(move || {
            read_lines(&mut editor, &stopping, &arming, &events);
            arming.set(false);
            let _ = tell.send(());
        });
        Ok(Self { printer, gate, stop, ended, keys })
    }

    /// Prints whole lines above the line being typed. Waits while the editor is between two lines.
    pub(crate) fn print(&mut self, text: String) -> Outcome {
        while !self.gate.wait(Duration::from_millis(200)) {
            if self.has_ended() {
                return crate::ui::raw(&text);
            }
        }
        // The editor hangs on a text without a last newline.
        let text = if text.ends_with('\n') { text } else { format!("{text}\n") };
        self.printer.print(text).map_err(|error| {
            Failure::new(crate::error::Kind::Failed, format!("cannot write to the terminal: {error}"))
        })
    }

    fn has_ended(&self) -> bool {
        !matches!(self.ended.try_recv(), Err(mpsc::TryRecvError::Empty))
    }

    /// Ends the editor and gives the terminal back as it was.
    pub(crate) fn stop(mut self) {
        // One line up and down again changes nothing on the screen; once the printer has taken it, the editor has
        // printed all that came before.
        if self.gate.wait(Duration::from_millis(200)) {
            let _ = self.printer.print("\x1b[1A\n".to_owned());
            let _ = self.printer.print("\x1b[1A\n".to_owned());
        }
        self.stop.store(true, Ordering::Release);
        // A signal between two lines finds our own handler and is lost, hence the repetition.
        for _ in 0..100 {
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::INT);
            if !matches!(
                self.ended.recv_timeout(Duration::from_millis(20)),
                Err(mpsc::RecvTimeoutError::Timeout)
            ) {
                break;
            }
        }
        // The editor leaves its empty line behind.
        let _ = crate::ui::raw("\x1b[1A\x1b[2K");
    }
}

fn read_lines(
    editor: &mut Editor<Hands, MemHistory>,
    stop: &AtomicBool,
    gate: &Gate,
    events: &Sender<Event>,
) {
    while !stop.load(Ordering::Acquire) {
        gate.armed.store(true, Ordering::Release);
        let read = editor.readline("› ");
        gate.set(false);
        let told = match read {
            Ok(line) => events.send(Event::Line(line)),
            Err(ReadlineError::Interrupted) if stop.load(Ordering::Acquire) => break,
            // Somebody sent us the signal; the key never comes this way.
            Err(ReadlineError::Interrupted) => events.send(Event::Key(Key::Interrupt)),
            // The terminal is gone: a person who can neither read nor type has left.
            Err(_) => {
                let _ = events.send(Event::Key(Key::Detach));
                break;
            }
        };
        if told.is_err() {
            break;
        }
    }
}

fn bind(editor: &mut Editor<Hands, MemHistory>, gate: &Arc<Gate>, keys: &Arc<Keys>, events: &Sender<Event>) {
    for enter in [KeyEvent(KeyCode::Enter, Modifiers::NONE), KeyEvent::ctrl('J'), KeyEvent::ctrl('M')] {
        editor.bind_sequence(enter, EventHandler::Conditional(Box::new(Enter(Arc::clone(gate)))));
    }
    for pressed in "aAsSdD123456789".chars() {
        let single = Single { keys: Arc::clone(keys), events: events.clone() };
        let event = KeyEvent(KeyCode::Char(pressed), Modifiers::NONE);
        editor.bind_sequence(event, EventHandler::Conditional(Box::new(single)));
    }
    for (pressed, key) in [('C', Key::Interrupt), ('D', Key::Detach), ('\\', Key::Detach)] {
        let control = Control { key, events: events.clone() };
        editor.bind_sequence(KeyEvent::ctrl(pressed), EventHandler::Conditional(Box::new(control)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_answer_only_a_request_that_was_seen() {
        let mut keys = Keys::new(false);
        assert_eq!(keys.meaning('a'), None, "nothing is asked");
        keys.ask(2);
        assert_eq!(keys.meaning('a'), None, "typed before it could be read");
        keys.begun = Instant::now() - SURPRISE - Duration::from_millis(50);
        assert_eq!(keys.meaning('a'), Some(Key::Approve));
        assert_eq!(keys.meaning('s'), Some(Key::ForSession));
        assert_eq!(keys.meaning('D'), Some(Key::Deny));
        assert_eq!(keys.meaning('2'), Some(Key::Option(2)));
        assert_eq!(keys.meaning('3'), None);
        keys.settle();
        assert_eq!(keys.meaning('a'), None);
        let watching = Keys::new(true);
        watching.ask(1);
        assert!(!watching.asks());
    }
}
