//! A real terminal with `vibes` in it.
//!
//! Invariant: the program is the leader of its own session with the terminal as its controlling one, so that keys
//! become signals as they do for a person. What it drew is kept as text, escape sequences taken out; and an emulator
//! (vt100) says what stands on the screen.

use crate::{PATIENCE, TestEnv, eventually};
use pty_process::{Size, blocking};
use std::{
    io::{Read, Write},
    num::NonZeroU16,
    process::Child,
    sync::{Arc, Mutex},
    thread,
};

/// A terminal.
pub struct Pty {
    child: Child,
    terminal: Arc<blocking::Pty>,
    drawn: Arc<Mutex<Vec<u8>>>,
    screen: Arc<Mutex<vt100::Parser>>,
    reader: Option<thread::JoinHandle<()>>,
    name: String,
}

fn cells(count: u16) -> NonZeroU16 {
    NonZeroU16::new(count).expect("a terminal has cells")
}

fn rows(screen: &vt100::Screen) -> Vec<String> {
    screen.rows(0, screen.size().1.get()).map(|row| row.trim_end().to_owned()).collect()
}

/// The text among escape sequences: CSI, OSC and two-byte ones.
fn plain(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut plain = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => match chars.next() {
                Some('[') => while chars.next().is_some_and(|c| !('@'..='~').contains(&c)) {},
                Some(']') => {
                    while let Some(c) = chars.next() {
                        let ends = c == '\u{7}' || c == '\u{1b}' && chars.next_if_eq(&'\\').is_some();
                        if ends {
                            break;
                        }
                    }
                }
                _ => {}
            },
            '\r' => {}
            c => plain.push(c),
        }
    }
    plain
}

impl Pty {
    /// Runs `vibes` in a terminal of 100 columns and 30 rows.
    pub fn vibes(env: &TestEnv, args: &[&str]) -> Self {
        Self::sized(env, args, (100, 30), "xterm-256color")
    }

    /// Runs `vibes` in a terminal of so many columns and rows.
    pub fn sized(env: &TestEnv, args: &[&str], (columns, rows): (u16, u16), kind: &str) -> Self {
        let (terminal, inside) = blocking::open().expect("a terminal can be opened");
        terminal.resize(Size::new(rows, columns)).expect("a terminal has a size");
        let child = blocking::Command::new(env.binary("vibes"))
            .args(args)
            .env_clear()
            .envs(env.variables())
            .env("TERM", kind)
            .current_dir(env.work())
            .spawn(inside)
            .expect("vibes can be started in a terminal");
        let terminal = Arc::new(terminal);
        let drawn = Arc::new(Mutex::new(Vec::new()));
        let screen = Arc::new(Mutex::new(vt100::Parser::new(cells(rows), cells(columns), 10_000)));
        let (reader, into, shows) = (terminal.clone(), drawn.clone(), screen.clone());
        let reader = thread::spawn(move || {
            let mut buffer = [0; 4096];
            // The end of the program is an error on a terminal.
            while let Ok(count @ 1..) = (&*reader).read(&mut buffer) {
                into.lock().expect("nobody panics holding it").extend_from_slice(&buffer[..count]);
                shows.lock().expect("nobody panics holding it").process(&buffer[..count]);
            }
        });
        let reader = Some(reader);
        Self { child, terminal, drawn, screen, reader, name: format!("vibes {}", args.join(" ")) }
    }

    /// The process, for signals.
    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// Everything drawn so far, as text.
    pub fn drawn(&self) -> String {
        plain(&self.drawn.lock().expect("nobody panics holding it"))
    }

    /// Everything drawn so far, as bytes.
    pub fn drawn_bytes(&self) -> Vec<u8> {
        self.drawn.lock().expect("nobody panics holding it").clone()
    }

    /// Everything that a program which has ended drew, as bytes.
    pub fn drawn_to_the_end(&mut self) -> Vec<u8> {
        if let Some(reader) = self.reader.take() {
            reader.join().expect("the reader only reads");
        }
        self.drawn_bytes()
    }

    /// Waits until a text is drawn.
    #[track_caller]
    pub fn wait_for_text(&self, text: &str) {
        let until = std::time::Instant::now() + PATIENCE;
        while !self.drawn().contains(text) {
            assert!(
                std::time::Instant::now() < until,
                "{} did not draw {text:?}; it drew:\n{}",
                self.name,
                self.drawn()
            );
            thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    /// The rows of the screen, without what is empty at their ends.
    pub fn screen(&self) -> Vec<String> {
        let parser = self.screen.lock().expect("nobody panics holding it");
        rows(parser.screen())
    }

    /// Row and column of the cursor.
    pub fn cursor(&self) -> (u16, u16) {
        self.screen.lock().expect("nobody panics holding it").screen().cursor_position()
    }

    /// The rows that scrolled out of the screen, and those on it.
    pub fn transcript(&self) -> Vec<String> {
        let mut parser = self.screen.lock().expect("nobody panics holding it");
        let screen = parser.screen_mut();
        let mut lines = Vec::new();
        for back in (1..=screen.scrollback_len()).rev() {
            screen.set_scrollback(back);
            lines.extend(rows(screen).into_iter().next());
        }
        screen.set_scrollback(0);
        lines.extend(rows(screen));
        lines
    }

    /// Waits until the screen is as wanted; gives its rows.
    #[track_caller]
    pub fn wait_for_screen(&self, what: &str, mut wanted: impl FnMut(&[String]) -> bool) -> Vec<String> {
        let until = std::time::Instant::now() + PATIENCE;
        loop {
            let rows = self.screen();
            if wanted(&rows) {
                return rows;
            }
            let name = &self.name;
            assert!(std::time::Instant::now() < until, "{name}: no {what} on:\n{}", rows.join("\n"));
            thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    /// Waits until a row of the screen holds a text; gives all of them.
    #[track_caller]
    pub fn wait_for_row(&self, text: &str) -> Vec<String> {
        self.wait_for_screen(text, |rows| rows.iter().any(|row| row.contains(text)))
    }

    /// The terminal gets another size.
    pub fn resize(&self, columns: u16, rows: u16) {
        // The emulator first: what the program draws for the new size must find it.
        let mut parser = self.screen.lock().expect("nobody panics holding it");
        parser.screen_mut().set_size(cells(rows), cells(columns));
        self.terminal.resize(Size::new(rows, columns)).expect("a terminal has a size");
    }

    /// Whether keys are taken one by one, without an echo.
    pub fn is_raw(&self) -> bool {
        use rustix::termios::{LocalModes, tcgetattr};
        let modes = tcgetattr(&*self.terminal).expect("a terminal has modes").local_modes;
        !modes.intersects(LocalModes::ICANON | LocalModes::ECHO)
    }

    /// Types keys; Enter is `\r`, Ctrl-C is `\x03`, Ctrl-D is `\x04`.
    pub fn keys(&self, keys: &str) {
        (&*self.terminal).write_all(keys.as_bytes()).expect("a terminal takes keys");
    }

    /// Waits for the end; returns the exit code.
    #[track_caller]
    pub fn wait_exit(&mut self) -> i32 {
        let name = format!("the end of `{}`", self.name);
        let status = eventually(&name, || self.child.try_wait().expect("a child can be waited for"));
        status.code().unwrap_or(-1)
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        // A terminal that closes takes its program with it; this only makes sure.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn escape_sequences_are_taken_out() {
        assert_eq!(super::plain(b"a\x1b[1;31mb\x1b[0mc\x1b]0;title\x07d\x1b]8;;x\x1b\\e\r\n"), "abcde\n");
    }
}
