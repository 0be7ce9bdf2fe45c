//! `vibes ls`: the sessions, as a table or as JSON.
//!
//! Invariant: one connection, which says whose it is: what is new is new to a person.

use crate::args::ListArgs;
use crate::client::{Daemon, Start};
use crate::commands::watch;
use crate::error::{Failure, Outcome};
use crate::render::list::{Frame, render};
use crate::{commands, place, sanitize, ui};
use vibes_protocol::model::SessionInfo;
use vibes_protocol::wire::Message;
use vibes_protocol::wire::request::ListSessions;

pub(crate) fn run(args: &ListArgs) -> Outcome {
    if args.watch {
        return watch::sessions(args);
    }
    let mut daemon = Daemon::introduced(Start::Auto)?;
    let (sessions, ended) = fetch(&mut daemon, args)?;
    if args.json {
        return ui::json(&sessions);
    }
    if args.ndjson {
        return sessions.iter().try_for_each(ui::json_line);
    }
    let (seat, home) = (place::identity(), place::home());
    let frame = Frame {
        width: ui::width(),
        now: commands::now(),
        seat: &seat,
        home: home.as_deref(),
        symbols: ui::stdout_is_terminal(),
        all: args.all,
        filtered: !args.state.is_empty() || args.agent.is_some() || args.search.is_some(),
        paint: ui::Paint::stdout(),
    };
    ui::data(&render(&sessions, ended, &frame).join("\n"))
}

/// All pages of an answer, and how many ended sessions it leaves out.
pub(crate) fn fetch(daemon: &mut Daemon, args: &ListArgs) -> Outcome<(Vec<SessionInfo>, u32)> {
    // Asking for an ended state is asking for ended sessions.
    let include_ended = args.all || args.state.iter().any(|state| state.is_ended());
    let mut all: Vec<SessionInfo> = Vec::new();
    let mut cursor = None;
    loop {
        let left = args.limit.map(|limit| limit.saturating_sub(u32::try_from(all.len()).unwrap_or(u32::MAX)));
        let request = ListSessions {
            states: (!args.state.is_empty()).then(|| args.state.clone()),
            agent: args.agent.clone(),
            include_ended,
            search: args.search.clone(),
            limit: left,
            cursor: cursor.take(),
        };
        let Message::SessionList { sessions, ended, next_cursor, warnings, .. } = daemon.ask(request)? else {
            return Err(Failure::unexpected("list_sessions"));
        };
        if all.is_empty() {
            warnings.iter().for_each(|warning| ui::say(&format!("warning: {}", sanitize::line(warning))));
        }
        let page_is_empty = sessions.is_empty();
        all.extend(sessions);
        let full = args.limit.is_some_and(|limit| all.len() >= limit as usize);
        match next_cursor {
            // A session that became active meanwhile may stand on two pages.
            Some(next) if !full && !page_is_empty => cursor = Some(next),
            _ => {
                let mut seen = std::collections::HashSet::new();
                all.retain(|session| seen.insert(session.id));
                all.truncate(args.limit.map_or(usize::MAX, |limit| limit as usize));
                return Ok((all, ended));
            }
        }
    }
}
