//! The window of an attached session: the transcript scrolls above, below it stand what is under way, the line being
//! typed and one row about the session.
//!
//! Invariant: drawn at most once in [`FRAME`], however fast an agent speaks, and always whole; a key that answers counts
//! only for the request that stood on the screen long enough to be read.

use super::canvas::{Canvas, Picture};
use super::complete::{Candidate, Completion, complete};
use super::history::History;
use super::keys::Press;
use super::line::{Act, Line};
use super::terminal;
use super::view::View;
use crate::commands::now_ms;
use crate::error::Outcome;
use crate::render::permission::Kind;
use crate::ui::{self, Paint};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// A key pressed within this time of a request's appearance was meant for something else.
pub(crate) const SURPRISE: Duration = Duration::from_millis(600);
/// Between two pictures: thirty in a second.
const FRAME: Duration = Duration::from_millis(33);
/// While something runs, its time is seen to pass.
const TICK: Duration = Duration::from_secs(1);
/// Text that waits for a picture beyond this is written at once, so that it does not pile up.
const ENOUGH: usize = 256 * 1024;

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
    /// Show what was folded.
    Unfold,
}

/// What came of a key.
#[derive(Debug)]
pub(crate) enum Typed {
    Nothing,
    Key(Key),
    Line(String),
}

/// The request on the screen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    kind: Kind,
    options: usize,
    since: Instant,
}

impl Asked {
    /// A request that is drawn with this picture.
    pub(crate) fn new(kind: Kind, options: usize, since: Instant) -> Self {
        Self { kind, options, since }
    }

    /// Whether it came up just now: a key was meant for something else.
    pub(crate) fn is_fresh(self) -> bool {
        self.since.elapsed() < SURPRISE
    }

    /// What a key means on an empty line.
    pub(crate) fn meaning(self, pressed: char) -> Option<Key> {
        if self.is_fresh() {
            return None;
        }
        match (pressed, self.kind) {
            ('a' | 'A', Kind::Leave | Kind::Plan) => Some(Key::Approve),
            ('s' | 'S', Kind::Leave) => Some(Key::ForSession),
            ('d' | 'D', _) => Some(Key::Deny),
            // To answer in words takes words.
            ('1', Kind::Words) => None,
            (digit, _) => {
                let number = digit.to_digit(10).and_then(|number| usize::try_from(number).ok())?;
                (1..=self.options).contains(&number).then_some(Key::Option(number))
            }
        }
    }

    fn hint(self) -> &'static str {
        match self.kind {
            Kind::Leave => "[A]pprove  [S]ession  [D]eny  or a number · Ctrl-D detaches",
            Kind::Plan => "[A]pprove  [D] keep planning  or a number · Ctrl-D detaches",
            Kind::Choice => "a number answers  [D] does not  or /answer WORDS",
            Kind::Words => "/answer WORDS  [D] does not · Ctrl-D detaches",
        }
    }
}

pub(crate) struct Window {
    canvas: Canvas,
    line: Line,
    asked: Option<Asked>,
    read_only: bool,
    /// Lines of the transcript that the next picture brings.
    gathered: String,
    paint: Paint,
    cwd: PathBuf,
    drawn_at: Option<Instant>,
    stale: bool,
}

impl Window {
    /// Takes the terminal.
    pub(crate) fn open(history: History, cwd: PathBuf, read_only: bool) -> Outcome<Self> {
        terminal::enter()?;
        Ok(Self {
            canvas: Canvas::new(ui::size()),
            line: Line::new(history),
            asked: None,
            read_only,
            gathered: String::new(),
            paint: Paint::stdout(),
            cwd,
            drawn_at: None,
            stale: true,
        })
    }

    /// A request is on the screen.
    pub(crate) fn ask(&mut self, kind: Kind, options: usize) {
        self.asked = Some(Asked { kind, options, since: Instant::now() });
    }

    /// No request is on the screen.
    pub(crate) fn settle(&mut self) {
        self.asked = None;
    }

    /// Lines for the transcript.
    pub(crate) fn gather(&mut self, line: &str) {
        self.gathered.push_str(line);
        self.gathered.push('\n');
        self.stale = true;
    }

    /// A text at the cursor of the line, as if it had been pasted.
    pub(crate) fn insert(&mut self, text: &str) {
        self.line.insert(text);
        self.stale = true;
    }

    /// Something changed that is drawn.
    pub(crate) fn touch(&mut self) {
        self.stale = true;
    }

    /// The screen may have another size; its width, if it has.
    pub(crate) fn resized(&mut self) -> Option<usize> {
        let size = ui::size();
        self.stale = true;
        (size != self.canvas.size()).then(|| self.canvas.resize(size))?;
        Some(size.0)
    }

    /// A key.
    pub(crate) fn press(&mut self, key: Press, commands: &[Candidate]) -> Outcome<Typed> {
        self.stale = true;
        Ok(match self.line.press(key) {
            Act::Nothing => Typed::Nothing,
            Act::Submit(line) => Typed::Line(line),
            Act::Key(c) => match self.asked.filter(|_| !self.read_only).and_then(|asked| asked.meaning(c)) {
                Some(key) => Typed::Key(key),
                None => {
                    self.line.insert(c.encode_utf8(&mut [0; 4]));
                    Typed::Nothing
                }
            },
            Act::Interrupt => Typed::Key(Key::Interrupt),
            Act::Detach => Typed::Key(Key::Detach),
            Act::Unfold => Typed::Key(Key::Unfold),
            Act::Redraw => {
                self.canvas.redraw();
                Typed::Nothing
            }
            Act::Suspend => {
                ui::raw(&self.canvas.leave())?;
                terminal::suspend()?;
                Typed::Nothing
            }
            Act::Complete => {
                self.complete(commands);
                Typed::Nothing
            }
        })
    }

    fn complete(&mut self, commands: &[Candidate]) {
        let cursor = self.line.cursor();
        match complete(self.line.text(), cursor, commands, &self.cwd) {
            Completion::Nothing => ui::ring(),
            Completion::Word(from, word) => self.line.replace(from, cursor, &word),
            Completion::Menu(from, word, menu) => {
                self.line.replace(from, cursor, &word);
                self.line.menu = Some(menu);
            }
        }
    }

    /// When a picture is due, if one is.
    pub(crate) fn due(&self, runs: bool) -> Option<Instant> {
        let Some(drawn_at) = self.drawn_at else { return Some(Instant::now()) };
        if self.stale { Some(drawn_at + FRAME) } else { runs.then(|| drawn_at + TICK) }
    }

    /// Draws, if a picture is due.
    pub(crate) fn draw_if_due(&mut self, view: &View) -> Outcome {
        let due = self.due(view.running.is_some()).is_some_and(|due| due <= Instant::now());
        if due || self.gathered.len() > ENOUGH { self.draw(view) } else { Ok(()) }
    }

    /// Draws now.
    pub(crate) fn draw(&mut self, view: &View) -> Outcome {
        let picture = self.picture(view);
        let above = std::mem::take(&mut self.gathered);
        self.stale = false;
        self.drawn_at = Some(Instant::now());
        match self.canvas.draw(&above, picture) {
            Some(bytes) => ui::raw(&bytes),
            None => Ok(()),
        }
    }

    fn picture(&self, view: &View) -> Picture {
        let (columns, rows) = self.canvas.size();
        let width = columns.saturating_sub(1).max(1);
        let hint = match (self.read_only, self.asked) {
            (true, _) => "watching · Ctrl-D detaches",
            (false, Some(asked)) => asked.hint(),
            (false, None) if columns < 60 => "a prompt · Ctrl-D detaches · /help",
            (false, None) => "type a prompt · Ctrl-C twice interrupts · Ctrl-D detaches · /help",
        };
        let line = self.line.draw(width, (rows / 3).max(1), hint, self.paint);
        let menu = self.line.menu.as_ref();
        let menu = menu.map(|menu| menu.rows(width, (rows / 4).clamp(1, 8), self.paint)).unwrap_or_default();
        let taken = line.rows.len() + menu.len() + 2;
        let room = rows.saturating_sub(taken).min(rows / 2);
        let mut picture = Picture { rows: view.under_way(now_ms(), room), cursor: (0, 0) };
        picture.cursor = (picture.rows.len() + line.cursor.0, line.cursor.1);
        picture.rows.extend(line.rows);
        picture.rows.extend(menu);
        picture.rows.push(view.status_row(width, self.paint));
        picture
    }

    /// Gives the terminal back; what was gathered is shown first.
    pub(crate) fn close(mut self) {
        let bytes = self.canvas.draw(&std::mem::take(&mut self.gathered), Picture::default());
        let _ = ui::raw(&bytes.unwrap_or_default());
        let _ = ui::raw(&self.canvas.leave());
        terminal::restore();
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        terminal::restore();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_answer_only_a_request_that_was_seen_and_that_they_fit() {
        let seen = Instant::now() - SURPRISE - Duration::from_millis(50);
        let asked = |kind| Asked { kind, options: 2, since: seen };
        let fresh = Asked { since: Instant::now(), ..asked(Kind::Leave) };
        assert_eq!(fresh.meaning('a'), None, "typed before it could be read");
        let leave = asked(Kind::Leave);
        assert_eq!(leave.meaning('a'), Some(Key::Approve));
        assert_eq!(leave.meaning('s'), Some(Key::ForSession));
        assert_eq!(leave.meaning('D'), Some(Key::Deny));
        assert_eq!(leave.meaning('2'), Some(Key::Option(2)));
        assert_eq!(leave.meaning('3'), None);
        for kind in [Kind::Choice, Kind::Words] {
            assert_eq!((asked(kind).meaning('a'), asked(kind).meaning('s')), (None, None));
            assert_eq!(asked(kind).meaning('d'), Some(Key::Deny));
        }
        assert_eq!(asked(Kind::Choice).meaning('1'), Some(Key::Option(1)));
        assert_eq!(asked(Kind::Words).meaning('1'), None);
        assert_eq!(
            (asked(Kind::Plan).meaning('a'), asked(Kind::Plan).meaning('s')),
            (Some(Key::Approve), None)
        );
    }
}
