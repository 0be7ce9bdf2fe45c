//! `vibes costs`: what was spent, summed up by the daemon.
//!
//! Invariant: only reads; `--json` prints what the daemon said, and `--csv` the same numbers.

use crate::args::CostsArgs;
use crate::client::{Daemon, Start};
use crate::error::{Failure, Outcome};
use crate::render::costs;
use crate::{place, ui};
use vibes_protocol::wire::Message;
use vibes_protocol::wire::request::GetCosts;

pub(crate) fn run(args: &CostsArgs) -> Outcome {
    let mut daemon = Daemon::introduced(Start::Auto)?;
    let ask = GetCosts { by: args.by, since: args.since.clone(), until: args.until.clone(), limit: None };
    let Message::Costs { costs: sums, .. } = daemon.ask(ask)? else {
        return Err(Failure::unexpected("get_costs"));
    };
    if args.json {
        return ui::json(&sums);
    }
    if args.csv {
        return ui::data(&costs::csv(&sums).join("\n"));
    }
    if sums.is_empty() {
        ui::say("Nothing was spent, as far as agents say.");
        return Ok(());
    }
    let home = place::home();
    ui::data(&costs::table(&sums, args.by, home.as_deref(), ui::width(), ui::Paint::stdout()).join("\n"))
}
