//! Bytes from a terminal to keys.
//!
//! Invariant: pure, and cut anywhere the same: a key that is not whole yet waits for the rest. What is pasted (between
//! the marks that a terminal puts around it) is text, whatever it holds, and never a key.

/// A key with its modifiers, as far as anybody here cares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Press {
    Char(char),
    Ctrl(char),
    Alt(char),
    Enter,
    /// Alt-Enter, Shift-Enter where the terminal tells, Ctrl-J.
    Newline,
    Tab,
    BackTab,
    Backspace,
    WordBackspace,
    Delete,
    Left,
    Right,
    WordLeft,
    WordRight,
    Up,
    Down,
    Home,
    End,
    Escape,
    /// Text that was pasted.
    Paste(String),
}

/// A sequence longer than this is none.
const LONGEST: usize = 32;
/// More than this is not pasted, but sent from a file.
const MOST_PASTED: usize = 1 << 20;
const PASTE_END: &[u8] = b"\x1b[201~";

/// What came and is no key yet.
#[derive(Debug, Default)]
pub(crate) struct Keyboard {
    bytes: Vec<u8>,
    pasted: Option<Vec<u8>>,
}

/// How a reading of the first bytes went.
enum Read {
    /// So many bytes are this key, or one that means nothing here.
    Key(usize, Option<Press>),
    /// More has to come.
    Part,
}

impl Keyboard {
    /// Takes bytes and gives the keys that are whole.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Vec<Press> {
        self.bytes.extend_from_slice(bytes);
        let mut keys = Vec::new();
        while !self.bytes.is_empty() {
            if self.pasted.is_some() {
                match self.paste() {
                    Some(text) => keys.push(Press::Paste(text)),
                    None => break,
                }
                continue;
            }
            match read(&self.bytes) {
                Read::Part => break,
                Read::Key(count, key) => {
                    if self.bytes[..count] == *b"\x1b[200~" {
                        self.pasted = Some(Vec::new());
                    }
                    self.bytes.drain(..count);
                    keys.extend(key);
                }
            }
        }
        keys
    }

    /// Whether an escape character waits: the key of that name, or the start of a sequence.
    pub(crate) fn is_in_doubt(&self) -> bool {
        self.bytes.first() == Some(&0x1b) && self.pasted.is_none()
    }

    /// Nothing more came: it was the key.
    pub(crate) fn settle(&mut self) -> Vec<Press> {
        let rest = std::mem::take(&mut self.bytes);
        let mut keys = vec![Press::Escape];
        keys.extend(self.feed(rest.get(1..).unwrap_or_default()));
        keys
    }

    /// Takes what is pasted; the text once its end came.
    fn paste(&mut self) -> Option<String> {
        let end = self.bytes.windows(PASTE_END.len()).position(|part| part == PASTE_END);
        // The end may be cut between two readings.
        let take = end.unwrap_or_else(|| self.bytes.len().saturating_sub(PASTE_END.len() - 1));
        let pasted = self.pasted.get_or_insert_default();
        let room = MOST_PASTED.saturating_sub(pasted.len());
        pasted.extend_from_slice(&self.bytes[..take.min(room)]);
        self.bytes.drain(..take + end.map_or(0, |_| PASTE_END.len()));
        end?;
        let text = String::from_utf8_lossy(&self.pasted.take()?).replace("\r\n", "\n").replace('\r', "\n");
        Some(text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect())
    }
}

fn read(bytes: &[u8]) -> Read {
    let one = |key| Read::Key(1, Some(key));
    match bytes[0] {
        0x1b => escape(bytes),
        b'\r' => one(Press::Enter),
        b'\n' => one(Press::Newline),
        b'\t' => one(Press::Tab),
        0x7f | 0x08 => one(Press::Backspace),
        byte @ 0x01..=0x1a => one(Press::Ctrl(char::from(byte + 0x60))),
        byte @ 0x1c..=0x1f => one(Press::Ctrl(char::from(byte + 0x40))),
        0 => Read::Key(1, None),
        _ => match character(bytes) {
            Some((count, Some(c))) => Read::Key(count, Some(Press::Char(c)).filter(|_| !c.is_control())),
            Some((count, None)) => Read::Key(count, None),
            None => Read::Part,
        },
    }
}

/// The first character; none in what is no UTF-8; nothing when it is not whole.
fn character(bytes: &[u8]) -> Option<(usize, Option<char>)> {
    let length = match bytes[0] {
        ..0x80 => 1,
        0xc2..0xe0 => 2,
        0xe0..0xf0 => 3,
        0xf0..0xf5 => 4,
        _ => return Some((1, None)),
    };
    match std::str::from_utf8(&bytes[..length.min(bytes.len())]) {
        Ok(text) => Some((length, text.chars().next())),
        Err(error) if error.error_len().is_none() && bytes.len() < length => None,
        Err(_) => Some((1, None)),
    }
}

fn escape(bytes: &[u8]) -> Read {
    match bytes.get(1) {
        None => Read::Part,
        Some(b'[') => sequence(bytes),
        Some(b'O') => match bytes.get(2) {
            None => Read::Part,
            Some(b'M') => Read::Key(3, Some(Press::Enter)),
            Some(last) => Read::Key(3, named(*last, 1)),
        },
        Some(0x1b) => Read::Key(1, Some(Press::Escape)),
        Some(b'\r' | b'\n') => Read::Key(2, Some(Press::Newline)),
        Some(0x7f | 0x08) => Read::Key(2, Some(Press::WordBackspace)),
        Some(_) => match character(&bytes[1..]) {
            Some((count, c)) => Read::Key(count + 1, c.filter(|c| !c.is_control()).map(Press::Alt)),
            None => Read::Part,
        },
    }
}

/// `ESC [ numbers letter`.
fn sequence(bytes: &[u8]) -> Read {
    let Some(end) = bytes[2..].iter().position(|byte| (0x40..=0x7e).contains(byte)) else {
        return if bytes.len() > LONGEST { Read::Key(bytes.len(), None) } else { Read::Part };
    };
    let last = bytes[2 + end];
    let text = String::from_utf8_lossy(&bytes[2..2 + end]);
    let mut numbers = text.split([';', ':']).map(|number| number.parse::<u32>().unwrap_or(0));
    let (first, modifier) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(1).max(1));
    let key = match (last, first) {
        (b'~', 1 | 7) => Some(Press::Home),
        (b'~', 4 | 8) => Some(Press::End),
        (b'~', 3) => Some(Press::Delete),
        // Terminals that tell every modifier write the key's code.
        (b'u', 13) if modifier > 1 => Some(Press::Newline),
        (b'u', 13) => Some(Press::Enter),
        (b'u', 27) => Some(Press::Escape),
        (b'u', code @ 0x61..=0x7a) if modifier == 5 => char::from_u32(code).map(Press::Ctrl),
        (b'Z', _) => Some(Press::BackTab),
        (b'~' | b'u', _) => None,
        _ => named(last, modifier),
    };
    Read::Key(3 + end, key)
}

/// The keys that have a letter.
fn named(letter: u8, modifier: u32) -> Option<Press> {
    let plain = modifier == 1 || modifier == 2;
    Some(match letter {
        b'A' => Press::Up,
        b'B' => Press::Down,
        b'C' if plain => Press::Right,
        b'D' if plain => Press::Left,
        b'C' => Press::WordRight,
        b'D' => Press::WordLeft,
        b'H' => Press::Home,
        b'F' => Press::End,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_the_same_however_they_are_cut() {
        let all: &[(&[u8], Press)] = &[
            (b"a", Press::Char('a')),
            ("é".as_bytes(), Press::Char('é')),
            ("日".as_bytes(), Press::Char('日')),
            ("👩".as_bytes(), Press::Char('👩')),
            (b"\r", Press::Enter),
            (b"\x1b\r", Press::Newline),
            (b"\x1b[13;2u", Press::Newline),
            (b"\n", Press::Newline),
            (b"\t", Press::Tab),
            (b"\x1b[Z", Press::BackTab),
            (b"\x7f", Press::Backspace),
            (b"\x1b\x7f", Press::WordBackspace),
            (b"\x01", Press::Ctrl('a')),
            (b"\x1c", Press::Ctrl('\\')),
            (b"\x1bf", Press::Alt('f')),
            (b"\x1b[A", Press::Up),
            (b"\x1bOB", Press::Down),
            (b"\x1b[1;5C", Press::WordRight),
            (b"\x1b[1;3D", Press::WordLeft),
            (b"\x1b[3~", Press::Delete),
            (b"\x1b[H", Press::Home),
            (b"\x1b[4~", Press::End),
        ];
        let bytes: Vec<u8> = all.iter().flat_map(|(bytes, _)| bytes.to_vec()).collect();
        let expected: Vec<Press> = all.iter().map(|(_, key)| key.clone()).collect();
        for cut in 0..=bytes.len() {
            let mut keyboard = Keyboard::default();
            let mut keys = keyboard.feed(&bytes[..cut]);
            keys.extend(keyboard.feed(&bytes[cut..]));
            assert_eq!(keys, expected, "cut at {cut}");
        }
    }

    #[test]
    fn what_is_pasted_is_text() {
        let bytes = "\x1b[200~one\r\ntwo\x03\x1b[A\tend\x1b[201~x".as_bytes();
        for cut in 0..=bytes.len() {
            let mut keyboard = Keyboard::default();
            let mut keys = keyboard.feed(&bytes[..cut]);
            keys.extend(keyboard.feed(&bytes[cut..]));
            assert_eq!(keys, [Press::Paste("one\ntwo[A\tend".to_owned()), Press::Char('x')], "cut at {cut}");
        }
    }

    #[test]
    fn an_escape_alone_is_the_key_and_rubbish_is_nothing() {
        let mut keyboard = Keyboard::default();
        assert!(keyboard.feed(b"\x1b").is_empty() && keyboard.is_in_doubt());
        assert_eq!(keyboard.settle(), [Press::Escape]);
        assert!(!keyboard.is_in_doubt());
        assert_eq!(keyboard.feed(b"\xff\xfe\x00\x1b[99;99~a"), [Press::Char('a')]);
        assert!(keyboard.feed(&[b"\x1b[".as_slice(), &[b'1'; 100]].concat()).is_empty());
        assert_eq!(keyboard.feed(b"b"), [Press::Char('b')]);
    }
}
