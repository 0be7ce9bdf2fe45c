//! `vibes worktree`: the branches and directories that sessions have to themselves.
//!
//! Invariant: the daemon and git do it; here it is asked for and shown.

use crate::args::WorktreeVerb;
use crate::client::{Daemon, Start};
use crate::commands::kill::each;
use crate::error::{Failure, Outcome};
use crate::render::short;
use crate::render::table::{Cell, render};
use crate::{sanitize, ui};
use vibes_protocol::model::SessionInfo;
use vibes_protocol::wire::Message;
use vibes_protocol::wire::request::{ListSessions, WorktreeRequest, WorktreeWish};

pub(crate) fn run(verb: &WorktreeVerb) -> Outcome {
    match verb {
        WorktreeVerb::List { json } => list(*json),
        WorktreeVerb::Diff { id } => {
            let Message::Worktree { diff, truncated, .. } = ask(id, WorktreeWish::Diff, false)? else {
                return Err(Failure::unexpected("worktree"));
            };
            let diff = diff.unwrap_or_default();
            if ui::stdout_is_terminal() {
                ui::raw(&sanitize::text(&diff))?
            } else {
                ui::raw(&diff)?
            }
            if truncated {
                ui::say("there is more: `git diff` in its directory shows all of it");
            } else if diff.is_empty() {
                ui::say("nothing has changed");
            }
            Ok(())
        }
        WorktreeVerb::Merge { id } => {
            let Message::Worktree { worktree, commit, saved, .. } = ask(id, WorktreeWish::Merge, false)?
            else {
                return Err(Failure::unexpected("worktree"));
            };
            let commit = commit.unwrap_or_default();
            let commit = sanitize::line(commit.get(..12).unwrap_or(&commit)).into_owned();
            let (branch, base) = (sanitize::line(&worktree.branch), sanitize::line(&worktree.base));
            ui::say(&format!("merged {branch} into {base}: {commit}"));
            if let Some(saved) = saved {
                ui::say(&format!("{base} as it was: {}", sanitize::line(&saved)));
            }
            Ok(())
        }
        WorktreeVerb::Drop { ids, force } => each(ids, |id| {
            let Message::Worktree { worktree, saved, .. } = ask(id, WorktreeWish::Drop, *force)? else {
                return Err(Failure::unexpected("worktree"));
            };
            ui::say(&format!(
                "dropped {} and {}",
                sanitize::line(&worktree.path),
                sanitize::line(&worktree.branch)
            ));
            if let Some(saved) = saved {
                ui::say(&format!("what was only there is kept in {}", sanitize::line(&saved)));
            }
            Ok(())
        }),
    }
}

fn ask(id: &str, action: WorktreeWish, force: bool) -> Outcome<Message> {
    let mut daemon = Daemon::introduced(Start::Auto)?;
    let session_id = daemon.named(id)?;
    daemon.ask(WorktreeRequest { session_id, action, force })
}

fn list(json: bool) -> Outcome {
    let mut daemon = Daemon::here(Start::Auto)?;
    let mut found: Vec<SessionInfo> = Vec::new();
    let mut cursor = None;
    loop {
        let request = ListSessions {
            states: None,
            agent: None,
            include_ended: true,
            search: None,
            limit: None,
            cursor: cursor.take(),
        };
        let Message::SessionList { sessions, next_cursor, .. } = daemon.ask(request)? else {
            return Err(Failure::unexpected("list_sessions"));
        };
        found.extend(sessions.into_iter().filter(|session| session.worktree.is_some()));
        match next_cursor {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    if json {
        return ui::json(&found);
    }
    if found.is_empty() {
        ui::say("No session has a worktree: `vibes run AGENT --worktree` makes one.");
        return Ok(());
    }
    let rows: Vec<Vec<Cell>> = found
        .iter()
        .filter_map(|session| {
            let worktree = session.worktree.as_ref()?;
            let name = session.name.clone().unwrap_or_else(|| short(session.id));
            Some(vec![
                Cell::new(name),
                Cell::new(session.state.as_str()),
                Cell::new(worktree.branch.clone()),
                Cell::new(worktree.base.clone()),
                Cell::new(worktree.path.clone()),
            ])
        })
        .collect();
    let heading = ["SESSION", "STATE", "BRANCH", "FROM", "DIRECTORY"];
    ui::data(&render(&heading, &rows, ui::Paint::stdout()).join("\n"))
}
