//! `vibes runs`: the ledger of a session's turns.
//!
//! Invariant: only reads; `--json` prints what the daemon said, in the order of time.

use crate::args::RunsArgs;
use crate::client::{Daemon, Start};
use crate::commands::now_ms;
use crate::error::{Failure, Outcome};
use crate::render::runs;
use crate::ui;
use vibes_protocol::model::TurnInfo;
use vibes_protocol::wire::Message;
use vibes_protocol::wire::request::ListTurns;

pub(crate) fn run(args: &RunsArgs) -> Outcome {
    let mut daemon = Daemon::introduced(Start::Auto)?;
    let session_id = daemon.named(&args.id)?;
    let (mut turns, mut before): (Vec<TurnInfo>, _) = (Vec::new(), args.before);
    // A page has a limit of its own.
    while let Some(left) = args.limit.checked_sub(turns.len() as u32).filter(|left| *left > 0) {
        let ask = ListTurns { session_id: session_id.clone(), before, limit: Some(left) };
        let Message::Turns { turns: page, next_before, .. } = daemon.ask(ask)? else {
            return Err(Failure::unexpected("list_turns"));
        };
        turns.extend(page);
        before = next_before;
        if before.is_none() {
            break;
        }
    }
    turns.reverse();
    if args.json {
        return ui::json(&turns);
    }
    if turns.is_empty() {
        ui::say("No turns so far.");
        return Ok(());
    }
    ui::data(&runs::table(&turns, before, ui::width(), now_ms(), ui::Paint::stdout()).join("\n"))
}
