//! `vibes du`: what the state directory takes, and each session in it.
//!
//! Invariant: only reads; `--json` prints what the daemon said.

use crate::args::DuArgs;
use crate::client::{Daemon, Start};
use crate::commands::now_ms;
use crate::error::{Failure, Outcome};
use crate::render::room;
use crate::ui;
use vibes_protocol::wire::Message;
use vibes_protocol::wire::request::GetDiskUsage;

/// How many sessions are told unless all are wanted, and then.
const USUAL: u32 = 20;
const ALL: u32 = 10_000;

pub(crate) fn run(args: &DuArgs) -> Outcome {
    let mut daemon = Daemon::introduced(Start::Auto)?;
    let limit = args.limit.unwrap_or(if args.all || args.json { ALL } else { USUAL });
    let Message::DiskUsage { usage, .. } = daemon.ask(GetDiskUsage { limit: Some(limit) })? else {
        return Err(Failure::unexpected("get_disk_usage"));
    };
    if args.json {
        return ui::json(&usage);
    }
    ui::data(&room::tables(&usage, now_ms(), ui::Paint::stdout()).join("\n"))?;
    if usage.more_sessions > 0 {
        ui::say(&format!("{} more: `vibes du --all`", usage.more_sessions));
    }
    Ok(())
}
