//! `vibes search`: words in everything that was said and done.
//!
//! Invariant: only reads, but for `--rebuild`. As with `grep`, finding nothing is exit code 1; `--json` prints what the
//! daemon said.

use crate::args::{SearchArgs, SearchSort};
use crate::client::{Daemon, Start};
use crate::commands::now_ms;
use crate::error::{Failure, Kind, Outcome};
use crate::render::search::{self, Frame};
use crate::{place, ui};
use vibes_protocol::wire::Message;
use vibes_protocol::wire::request::{RebuildSearch, Search, SearchOrder};
use vibes_protocol::wire::search::SearchHit;

/// How long `--wait` waits, in milliseconds.
const WAIT_MS: u64 = 60_000;

pub(crate) fn run(args: &SearchArgs) -> Outcome {
    let mut daemon = Daemon::introduced(Start::Auto)?;
    if args.rebuild {
        daemon.ask(RebuildSearch {})?;
        ui::say("the search index is made anew; until it is done, `vibes search` says how far it is");
        return Ok(());
    }
    let (hits, behind) = fetch(&mut daemon, args)?;
    if behind > 0 {
        ui::say(&format!("{behind} records are not in the index yet; --wait waits for them"));
    }
    if args.json {
        ui::json(&hits)?;
    } else if args.ndjson {
        hits.iter().try_for_each(ui::json_line)?;
    } else if !hits.is_empty() {
        let home = place::home();
        let frame = Frame {
            width: ui::width(),
            now_ms: now_ms(),
            home: home.as_deref(),
            grouped: ui::stdout_is_terminal(),
            paint: ui::Paint::stdout(),
        };
        ui::data(&search::lines(&hits, &frame).join("\n"))?;
    }
    if hits.is_empty() {
        ui::say("Nothing was found.");
        return Err(Failure::silent(Kind::Failed));
    }
    Ok(())
}

/// All pages of an answer, and how many records the index lacks.
fn fetch(daemon: &mut Daemon, args: &SearchArgs) -> Outcome<(Vec<SearchHit>, u64)> {
    let cwd = args.cwd.as_ref().map(|dir| {
        std::path::absolute(dir)
            .and_then(|dir| dir.canonicalize().or(Ok(dir)))
            .map_err(|error| Failure::io(format!("--cwd {}", dir.display()), &error))
    });
    let mut ask = Search {
        query: args.query.join(" "),
        agents: args.agent.clone(),
        modes: args.mode.clone(),
        states: args.state.clone(),
        session_ids: args.session.iter().map(|id| daemon.named(id)).collect::<Outcome<_>>()?,
        cwd: cwd.transpose()?.map(|dir| dir.display().to_string()),
        since: args.since.clone(),
        until: args.until.clone(),
        order: match args.sort {
            SearchSort::Newest => SearchOrder::Newest,
            SearchSort::Rank => SearchOrder::Rank,
        },
        limit: None,
        cursor: None,
        wait_ms: args.wait.then_some(WAIT_MS),
    };
    let mut found: Vec<SearchHit> = Vec::new();
    loop {
        let left = args.limit.saturating_sub(u32::try_from(found.len()).unwrap_or(u32::MAX));
        ask.limit = Some(left.max(1));
        let Message::SearchResults { hits, next_cursor, behind, .. } = daemon.ask(ask.clone())? else {
            return Err(Failure::unexpected("search"));
        };
        found.extend(hits);
        if next_cursor.is_none() || found.len() >= args.limit as usize {
            found.truncate(args.limit as usize);
            return Ok((found, behind));
        }
        (ask.cursor, ask.wait_ms) = (next_cursor, None);
    }
}
