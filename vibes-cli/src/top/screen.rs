//! The whole screen, by ratatui: a buffer of cells goes in, the bytes of what changed come out.
//!
//! Invariant: the bytes of one picture go out in one write, between the marks that keep a terminal from showing half of
//! it; a picture that changes nothing writes nothing; no control character reaches a cell.

use crate::error::{Failure, Kind, Outcome};
use crate::ui;
use ratatui::backend::{Backend as _, CrosstermBackend};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use std::io::{self, Write};

/// Bytes of one picture, until it is whole.
#[derive(Debug, Default)]
pub(crate) struct Out(Vec<u8>);

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let bytes = std::mem::take(&mut self.0);
        ui::raw(&String::from_utf8_lossy(&bytes)).map_err(|failure| match failure.kind {
            Kind::BrokenPipe => io::ErrorKind::BrokenPipe.into(),
            _ => io::Error::other(failure.message),
        })
    }
}

pub(crate) struct Screen<W: Write> {
    terminal: CrosstermBackend<W>,
    shown: Buffer,
    next: Buffer,
    torn: bool,
}

fn area((columns, rows): (usize, usize)) -> Rect {
    let cells = |count: usize| u16::try_from(count).unwrap_or(u16::MAX);
    Rect::new(0, 0, cells(columns), cells(rows))
}

impl<W: Write> Screen<W> {
    pub(crate) fn new(out: W, size: (usize, usize)) -> Self {
        let empty = || Buffer::empty(area(size));
        Self { terminal: CrosstermBackend::new(out), shown: empty(), next: empty(), torn: true }
    }

    /// Columns and rows.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.next.area.width.into(), self.next.area.height.into())
    }

    /// The screen has this size; what stands on it is nobody's guess.
    pub(crate) fn resize(&mut self, size: (usize, usize)) {
        self.next.resize(area(size));
        self.shown.resize(area(size));
        self.torn = true;
    }

    /// Draws a picture.
    pub(crate) fn draw(&mut self, picture: impl FnOnce(&mut Buffer)) -> Outcome {
        self.next.reset();
        picture(&mut self.next);
        if std::mem::take(&mut self.torn) {
            self.shown.reset();
            self.write(true)?;
        } else if self.shown != self.next {
            self.write(false)?;
        }
        std::mem::swap(&mut self.shown, &mut self.next);
        Ok(())
    }

    fn write(&mut self, clear: bool) -> Outcome {
        let begin: &[u8] =
            if clear { b"\x1b[?2026h\x1b[?25l\x1b[0m\x1b[H\x1b[2J" } else { b"\x1b[?2026h\x1b[?25l" };
        let changed = self.shown.diff(&self.next);
        let written = self
            .terminal
            .write_all(begin)
            .and_then(|()| self.terminal.draw(changed.into_iter()))
            .and_then(|()| self.terminal.write_all(b"\x1b[?2026l"))
            .and_then(|()| Write::flush(&mut self.terminal));
        written.map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::silent(Kind::BrokenPipe),
            _ => Failure::io("cannot write to standard output", &error),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::style::Style;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn only_what_changed_is_written_and_a_new_size_clears() {
        let kept = Kept::default();
        let mut screen = Screen::new(kept.clone(), (10, 3));
        let mut draw = |resize: Option<(usize, usize)>, words: &str| {
            if let Some(size) = resize {
                screen.resize(size);
            }
            screen
                .draw(|buffer| {
                    buffer.set_string(0, 0, "one", Style::new());
                    buffer.set_string(0, 1, words, Style::new());
                })
                .unwrap();
            String::from_utf8(std::mem::take(&mut *kept.0.lock().unwrap())).unwrap()
        };
        assert!(draw(None, "two").contains("\x1b[2J"));
        assert_eq!(draw(None, "two"), "");
        let bytes = draw(None, "tWo");
        assert!(bytes.contains("\x1b[2;2HW") && !bytes.contains("one"), "{bytes:?}");
        assert!(bytes.starts_with("\x1b[?2026h") && bytes.ends_with("\x1b[?2026l"), "{bytes:?}");
        let bytes = draw(Some((6, 3)), "日本語");
        assert!(
            bytes.contains("\x1b[2J")
                && bytes.contains("one")
                && ["日", "本", "語"].iter().all(|c| bytes.contains(c)),
            "{bytes:?}"
        );
        assert!(!draw(None, "\x1b]0;x\x07").contains("\x1b]"));
    }
}
