//! The command line.
//!
//! Invariant: everything the runner is told before GO is in here, and nothing is guessed.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use rustix::fs::Mode;
use vibes_runner::spool;

const USAGE: &str = "usage: vibes-runner --dir DIR --session UUID --gen N --cwd CWD [--umask OCTAL] \
    [--descriptors N] [--ttl SECONDS] [--go-timeout-ms N] [--budget BYTES] [--shared BYTES] -- PROGRAM ARGS…";

/// What the daemon wants run, and where.
#[derive(Debug)]
pub(crate) struct Args {
    pub(crate) dir: PathBuf,
    pub(crate) session: String,
    pub(crate) generation: u64,
    pub(crate) cwd: PathBuf,
    /// The agent's; the inherited one when none is given.
    pub(crate) umask: Option<Mode>,
    /// How many the agent may have open; as many as inherited when none is given.
    pub(crate) descriptors: Option<u64>,
    /// How long to go on without a controller; `None` is for ever.
    pub(crate) ttl: Option<Duration>,
    pub(crate) go_timeout: Duration,
    pub(crate) budget: u64,
    /// What all spools beside this one may hold together; as much as they like when none is given.
    pub(crate) shared: Option<u64>,
    pub(crate) program: OsString,
    pub(crate) arguments: Vec<OsString>,
}

impl Args {
    pub(crate) fn parse(mut words: impl Iterator<Item = OsString>) -> Result<Self, String> {
        let (mut dir, mut session, mut generation, mut cwd, mut umask) = (None, None, None, None, None);
        let (mut descriptors, mut shared) = (None, None);
        let (mut ttl, mut go_timeout, mut budget) = (86_400, 10_000, spool::BUDGET);
        loop {
            let Some(flag) = words.next() else { return Err(USAGE.to_owned()) };
            if flag == "--" {
                break;
            }
            let flag = flag.into_string().map_err(|_| USAGE.to_owned())?;
            let value = words.next().ok_or_else(|| format!("{flag} needs a value"))?;
            match flag.as_str() {
                "--dir" => dir = Some(PathBuf::from(value)),
                "--cwd" => cwd = Some(PathBuf::from(value)),
                "--session" => session = value.into_string().ok(),
                "--gen" => generation = Some(number(&flag, value, 10)?),
                "--umask" => umask = Some(number(&flag, value, 8)?),
                "--descriptors" => descriptors = Some(number(&flag, value, 10)?),
                "--ttl" => ttl = number(&flag, value, 10)?,
                "--go-timeout-ms" => go_timeout = number(&flag, value, 10)?,
                "--budget" => budget = number(&flag, value, 10)?,
                "--shared" => shared = Some(number(&flag, value, 10)?),
                _ => return Err(format!("{flag} is unknown; {USAGE}")),
            }
        }
        let usage = || USAGE.to_owned();
        Ok(Self {
            dir: dir.ok_or_else(usage)?,
            session: session.ok_or_else(usage)?,
            generation: generation.ok_or_else(usage)?,
            cwd: cwd.ok_or_else(usage)?,
            umask: umask.map(|mask| Mode::from_raw_mode(mask as rustix::fs::RawMode & 0o777)),
            descriptors,
            ttl: (ttl > 0).then(|| Duration::from_secs(ttl)),
            go_timeout: Duration::from_millis(go_timeout),
            budget,
            shared,
            program: words.next().ok_or_else(usage)?,
            arguments: words.collect(),
        })
    }
}

/// Times are added to a clock: what would overflow it is refused here, once.
fn number(flag: &str, value: OsString, radix: u32) -> Result<u64, String> {
    let value = value.to_str().and_then(|text| u64::from_str_radix(text, radix).ok());
    value.filter(|&value| value < 1 << 48).ok_or_else(|| format!("{flag} needs a number"))
}
