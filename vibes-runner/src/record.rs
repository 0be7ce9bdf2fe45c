//! `meta.json` and `exit.json`: who runs here, and how it ended.
//!
//! Invariant: whoever opens one of them reads it whole: it is written beside and renamed.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use vibes_runner::points::{self, Point};
use vibes_runner::spool::{EXIT, META};
use vibes_runner::wire::{Exit, RUNNER_PROTOCOL};

use crate::args::Args;
use crate::system;

/// What does not change while the runner lives.
#[derive(Debug)]
pub(crate) struct Identity {
    session: String,
    generation: u64,
    pub(crate) pid: i32,
    start_time: u64,
    boot_id: String,
    /// `VIBES_SESSION=…` as every process of this agent inherits it. `None` when the variable names another session
    /// or generation (a runner started by hand inside an agent's tree): sweeping by it would kill strangers.
    pub(crate) marker: Option<Vec<u8>>,
}

impl Identity {
    pub(crate) fn of(args: &Args) -> Self {
        let pid = std::process::id() as i32;
        let suffix = format!(":{}.{}", args.session, args.generation);
        let value = std::env::var("VIBES_SESSION").ok().filter(|value| value.ends_with(&suffix));
        Self {
            session: args.session.clone(),
            generation: args.generation,
            pid,
            start_time: system::start_time(pid),
            boot_id: system::boot_id(),
            marker: value.map(|value| format!("VIBES_SESSION={value}").into_bytes()),
        }
    }

    /// Whether the directory is still ours. What cannot be read for another reason than its absence says nothing.
    pub(crate) fn holds(&self, dir: &Path) -> bool {
        match fs::read_to_string(dir.join(META)) {
            Ok(text) => pid_in(&text) == Some(self.pid),
            Err(error) => !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory),
        }
    }
}

/// Good enough for what [`write_meta`] writes: a quote inside a string is escaped, so the key cannot be forged.
fn pid_in(meta: &str) -> Option<i32> {
    let rest = meta.split_once("\"pid\"")?.1.trim_start().strip_prefix(':')?.trim_start();
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// Writes `meta.json`; `agent` is 0 before it runs.
pub(crate) fn write_meta(who: &Identity, agent: i32) -> io::Result<()> {
    let agent_start = if agent == 0 { 0 } else { system::start_time(agent) };
    write_whole(
        META,
        &format!(
            "{{\"protocol\":{RUNNER_PROTOCOL},\"version\":{},\"session\":{},\"gen\":{},\"pid\":{},\"start_time\":{},\
             \"boot_id\":{},\"agent_pid\":{agent},\"agent_start_time\":{agent_start}}}\n",
            quoted(env!("CARGO_PKG_VERSION")),
            quoted(&who.session),
            who.generation,
            who.pid,
            who.start_time,
            quoted(&who.boot_id),
        ),
        [Point::RunnerMetaTmp, Point::RunnerMetaRenamed],
    )
}

/// Writes `exit.json`. The spool is at its end by then.
pub(crate) fn write_exit(exit: Exit, spool_end: u64) -> io::Result<()> {
    let Exit { code, signal, start_errno } = exit;
    write_whole(
        EXIT,
        &format!(
            "{{\"code\":{code},\"signal\":{signal},\"start_errno\":{start_errno},\"spool_end\":{spool_end}}}\n"
        ),
        [Point::RunnerExitTmp, Point::RunnerExitRenamed],
    )
}

fn write_whole(name: &str, text: &str, [written, named]: [Point; 2]) -> io::Result<()> {
    let beside = format!("{name}.tmp");
    let there = File::create(&beside).and_then(|mut file| file.write_all(text.as_bytes()));
    points::hit(written);
    there.and_then(|()| fs::rename(&beside, name)).inspect_err(|_| {
        // It may hold the very block that is missing.
        let _ = fs::remove_file(&beside);
    })?;
    points::hit(named);
    Ok(())
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_name_cannot_forge_the_pid() {
        let forged = quoted("x\",\"pid\":7,\"\n");
        assert_eq!(forged, r#""x\",\"pid\":7,\"\u000a""#);
        assert_eq!(pid_in(&format!("{{\"session\":{forged},\"pid\": 12,\"agent_pid\":3}}")), Some(12));
        assert_eq!(pid_in("{}"), None);
    }
}
