//! The commands about bytes: what no well-meaning agent writes.
//!
//! Invariant: exactly the bytes that the script names reach the pipe, in one write each unless the command is about
//! many.

use super::{
    Fake,
    scenario::{number, split},
};
use serde_json::json;
use std::io::{self, Write};

/// Carries out a command about bytes; says whether it is one.
pub(super) fn write(fake: &Fake, session: &str, verb: &str, rest: &str) -> bool {
    let xs = || "x".repeat(number(rest));
    match verb {
        "raw" => fake.write(format!("{rest}\n").as_bytes()),
        "partial" => fake.write(rest.as_bytes()),
        "bytes" => fake.write(&from_hex(rest)),
        "bigline" => fake.write(format!("{}\n", xs()).as_bytes()),
        "bigchunk" => fake.say(session, &xs()),
        "deep" => {
            let depth = number(rest);
            fake.write(format!("{}{}\n", "[".repeat(depth), "]".repeat(depth)).as_bytes());
        }
        "keys" => {
            let mut update = json!({"sessionUpdate": "from_the_future"});
            for n in 0..number::<u64>(rest) {
                update[format!("key{n}")] = n.into();
            }
            fake.update(session, update);
        }
        "dribble" => dribble(fake, session, rest),
        "stderr" => stderr(rest),
        _ => return false,
    }
    true
}

fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| {
        let pair = std::str::from_utf8(pair).expect("hexadecimal digits are ASCII");
        u8::from_str_radix(pair, 16).expect("two hexadecimal digits are a byte")
    };
    digits.chunks_exact(2).map(byte).collect()
}

/// A chunk of the message, one write per byte, so that a reader meets every boundary there is.
fn dribble(fake: &Fake, session: &str, text: &str) {
    let update = json!({"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": text}});
    let params = json!({"sessionId": session, "update": update});
    let line = format!("{}\n", json!({"jsonrpc": "2.0", "method": "session/update", "params": params}));
    line.as_bytes().chunks(1).for_each(|byte| fake.write(byte));
}

fn stderr(rest: &str) {
    let (bytes, last) = split(rest);
    let line = format!("{}\n", "e".repeat(99));
    let block = line.repeat(1000);
    let mut left: usize = number(bytes);
    let mut err = io::stderr().lock();
    while left > 0 {
        let count = left.min(block.len());
        // A closed standard error is the runner's business, not the script's.
        let _ = err.write_all(&block.as_bytes()[block.len() - count..]);
        left -= count;
    }
    let _ = err.write_all(format!("{last}\n").as_bytes());
}
