//! The agent of the benchmark: cheap enough that what is measured is vibes.
//!
//! As an agent ([`SERVE`]) it speaks just enough of the Agent Client Protocol; a prompt is its script. By itself
//! ([`WRITE`]) it writes the same lines to standard output, for the bare relay. A script is one line:
//!
//! - `flood COUNT SIZE [AT_MS]`: so many updates of SIZE bytes as fast as the pipe takes them, from the time AT_MS on;
//! - `pace COUNT PER_SECOND SIZE`: one write per update, which begins with `t=` and the time in nanoseconds.

use serde_json::{Value, json};
use std::{
    io::{self, BufRead, Write},
    process::ExitCode,
    thread,
    time::{Duration, Instant, SystemTime},
};

/// The argument that makes this program an agent.
pub const SERVE: &str = "--agent";
/// The argument that makes this program write a script's lines.
pub const WRITE: &str = "--agent-lines";
/// The last line of [`WRITE`].
pub const LAST_LINE: &str = r#"{"end":true}"#;
/// What stands before the time in a paced update.
pub const STAMP: &str = "t=";

/// How many different texts a flood has: enough that compression does not see the same one in a window.
const TEXTS: usize = 2048;
/// How much of a flood is written at once.
const PIECE: usize = 64 * 1024;

/// Nanoseconds since the Unix epoch: the clock that the agent and its reader share.
pub fn now_ns() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}

/// An update of `size` bytes inside its notification.
fn line(session: &str, text: &str, size: usize) -> String {
    let head = r#"{"sessionUpdate":"agent_message_chunk","content":{"type":"text","text":""#;
    let room = size.saturating_sub(head.len() + 3);
    let text: String = text.chars().cycle().take(room).collect();
    format!(
        r#"{{"jsonrpc":"2.0","method":"session/update","params":{{"sessionId":"{session}","update":{head}{text}"}}}}}}}}"#
    ) + "\n"
}

/// Words that are the same in every run, frequent ones more often.
fn words(count: usize, seed: u64) -> String {
    const SYLLABLES: [&str; 16] =
        ["ka", "lo", "mi", "ter", "pro", "con", "st", "re", "an", "ion", "er", "qu", "fa", "de", "xi", "ba"];
    let mut dice = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut below = |limit: u64| {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        dice % limit
    };
    let mut text = String::new();
    for _ in 0..count {
        let limit = below(4096) + 1;
        // The word's number, written in syllables.
        let mut number = below(limit);
        while number > 0 {
            text.push_str(SYLLABLES[(number % 16) as usize]);
            number /= 16;
        }
        text.push(' ');
    }
    text
}

fn field<T: std::str::FromStr>(fields: &[&str], at: usize) -> T {
    let text = fields.get(at).copied().unwrap_or("0");
    text.parse().unwrap_or_else(|_| panic!("a script has {text:?} where a number belongs"))
}

fn play(out: &mut impl Write, session: &str, script: &str) -> io::Result<()> {
    let fields: Vec<&str> = script.split_whitespace().collect();
    let count: u64 = field(&fields, 1);
    match fields.first() {
        Some(&"flood") => {
            let size = field(&fields, 2);
            let lines: Vec<String> = (0..TEXTS).map(|n| line(session, &words(40, n as u64), size)).collect();
            let at = field::<u64>(&fields, 3) * 1_000_000;
            thread::sleep(Duration::from_nanos(at.saturating_sub(now_ns())));
            let mut piece = Vec::with_capacity(PIECE + size * 2);
            for n in 0..count {
                piece.extend_from_slice(lines[n as usize % TEXTS].as_bytes());
                if piece.len() >= PIECE || n + 1 == count {
                    out.write_all(&piece)?;
                    piece.clear();
                }
            }
        }
        Some(&"pace") => {
            let (every, size) = (Duration::from_secs(1) / field::<u32>(&fields, 2), field(&fields, 3));
            let mut due = Instant::now();
            for n in 0..count {
                thread::sleep(due.saturating_duration_since(Instant::now()));
                due += every;
                let text = words(40, n);
                out.write_all(line(session, &format!("{STAMP}{} {text}", now_ns()), size).as_bytes())?;
            }
        }
        _ => panic!("{script:?} is no script"),
    }
    Ok(())
}

/// Writes a script's lines and the last line.
pub fn write(script: &str) -> ExitCode {
    let mut out = io::stdout().lock();
    let written = play(&mut out, "bench", script).and_then(|()| writeln!(out, "{LAST_LINE}"));
    // Whoever read is gone: the benchmark has ended.
    if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Serves as an agent until standard input ends.
pub fn serve() -> ExitCode {
    let mut out = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let Ok(line) = line else { break };
        let message: Value = serde_json::from_str(&line).unwrap_or_default();
        let Some(id) = message.get("id") else { continue };
        let session = message["params"]["sessionId"].as_str().unwrap_or("bench");
        let result = match message["method"].as_str() {
            Some("initialize") => json!({
                "protocolVersion": 1, "agentCapabilities": {"loadSession": true}, "authMethods": [],
            }),
            Some("session/new") => json!({"sessionId": "bench"}),
            Some("session/prompt") => {
                let script = message["params"]["prompt"][0]["text"].as_str().unwrap_or_default();
                if play(&mut out, session, script).is_err() {
                    return ExitCode::FAILURE;
                }
                json!({"stopReason": "end_turn"})
            }
            _ => json!({}),
        };
        let answer = json!({"jsonrpc": "2.0", "id": id, "result": result});
        if writeln!(out, "{answer}").and_then(|()| out.flush()).is_err() {
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
