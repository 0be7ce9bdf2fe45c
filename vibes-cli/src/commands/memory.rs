//! `vibes memory`: what is to be remembered, across sessions and agents.
//!
//! Invariant: the daemon has the one store, so that the web and this see the same; nothing here needs an agent.

use crate::args::{MemoryFormat, MemoryVerb, WhichMemories};
use crate::client::{Daemon, Start};
use crate::commands::now;
use crate::error::{Failure, Outcome};
use crate::render::{count, memories};
use crate::{editor, sanitize, ui};
use vibes_protocol::codec::MAX_CLIENT_LINE;
use vibes_protocol::model::Memory;
use vibes_protocol::remember;
use vibes_protocol::wire::request::{AddMemory, EditMemory, GetMemory, RemoveMemories, SearchMemories};
use vibes_protocol::wire::{Message, Request};

/// How many are asked for at once.
const PAGE: u32 = 200;

pub(crate) fn run(verb: MemoryVerb) -> Outcome {
    match verb {
        MemoryVerb::Add { text, category, mut tag, session, json } => {
            let text = words(&text)?;
            let mut daemon = Daemon::introduced(Start::Auto)?;
            let session_id = session.map(|id| daemon.named(&id)).transpose()?;
            tag.extend(remember::tags(&text));
            let memory = one(&mut daemon, AddMemory { text, category, tags: tag, session_id })?;
            if json.json { ui::json(&memory) } else { ui::data(&memory.id.to_string()) }
        }
        MemoryVerb::Search { query, which } => list(Some(query.join(" ")), which),
        MemoryVerb::List { which } => list(None, which),
        MemoryVerb::Show { id, json } => {
            let memory = one(&mut Daemon::here(Start::Auto)?, GetMemory { id })?;
            if json.json {
                return ui::json(&memory);
            }
            ui::data(&memories::whole(&memory, now(), ui::Paint::stdout()).join("\n"))
        }
        MemoryVerb::Edit { id, text, category, tag, untag, json } => {
            let memory = edit(id, &text, category, tag, &untag)?;
            if json.json {
                return ui::json(&memory);
            }
            ui::say(&format!("changed {id}"));
            Ok(())
        }
        MemoryVerb::Rm { ids, json } => {
            Daemon::introduced(Start::Auto)?.ask(RemoveMemories { ids: ids.clone() })?;
            if json.json {
                return ui::json(&serde_json::json!({"removed": ids}));
            }
            ui::say(&format!("forgot {}", count(ids.len(), "memory", "memories")));
            Ok(())
        }
        MemoryVerb::Export { format, category, tag } => export(format, category, tag),
    }
}

/// Given words, or standard input.
fn words(given: &[String]) -> Outcome<String> {
    match given {
        [] if ui::stdin_is_terminal() => {
            Err(Failure::usage("there is nothing to remember")
                .hint("vibes memory add WORDS, or pipe them in"))
        }
        [] => ui::read_stdin(MAX_CLIENT_LINE as u64),
        [dash] if dash == "-" => ui::read_stdin(MAX_CLIENT_LINE as u64),
        words => Ok(words.join(" ")),
    }
}

fn one(daemon: &mut Daemon, request: impl Into<Request>) -> Outcome<Memory> {
    match daemon.ask(request)? {
        Message::Memory { memory, .. } => Ok(memory),
        _ => Err(Failure::unexpected("a request about memories")),
    }
}

fn page(daemon: &mut Daemon, request: SearchMemories) -> Outcome<(Vec<Memory>, u64)> {
    match daemon.ask(request)? {
        Message::Memories { memories, total, .. } => Ok((memories, total)),
        _ => Err(Failure::unexpected("search_memories")),
    }
}

fn list(query: Option<String>, which: WhichMemories) -> Outcome {
    let mut daemon = Daemon::here(Start::Auto)?;
    let searched = query.is_some();
    let (mut found, mut total) = (Vec::new(), 0);
    while let left @ 1.. = which.limit.saturating_sub(found.len().try_into().unwrap_or(u32::MAX)) {
        let request = SearchMemories {
            query: query.clone(),
            category: which.category.clone(),
            tags: which.tag.clone(),
            limit: Some(left.min(PAGE)),
            offset: Some(found.len().try_into().unwrap_or(u32::MAX)),
        };
        let (some, all) = page(&mut daemon, request)?;
        total = all;
        if some.is_empty() {
            break;
        }
        found.extend(some);
    }
    if which.json {
        return ui::json(&found);
    }
    if found.is_empty() {
        let filtered = searched || which.category.is_some() || !which.tag.is_empty();
        ui::say(if filtered {
            "Nothing that is remembered fits."
        } else {
            "Nothing is remembered yet: vibes memory add 'the staging host is box7' --tag ops"
        });
        return Ok(());
    }
    let lines = memories::table(&found, now(), ui::width(), ui::stdout_is_terminal(), ui::Paint::stdout());
    ui::data(&lines.join("\n"))?;
    if total > found.len() as u64 {
        ui::say(&format!("{} of {total}; --limit shows more", found.len()));
    }
    Ok(())
}

fn edit(
    id: u64,
    text: &[String],
    category: Option<String>,
    tag: Vec<String>,
    untag: &[String],
) -> Outcome<Memory> {
    let mut daemon = Daemon::introduced(Start::Auto)?;
    let now = one(&mut daemon, GetMemory { id })?;
    let text = match text {
        [] if category.is_none() && tag.is_empty() && untag.is_empty() => {
            Some(editor::edit(&now.text, "memory.md")?)
        }
        [] => None,
        text => Some(words(text)?),
    };
    let tags = (!tag.is_empty() || !untag.is_empty()).then(|| {
        let untag: Vec<String> = untag.iter().map(|tag| tag.to_lowercase()).collect();
        now.tags.into_iter().chain(tag).filter(|tag| !untag.contains(tag)).collect()
    });
    one(&mut daemon, EditMemory { id, text, category, tags })
}

fn export(format: MemoryFormat, category: Option<String>, tags: Vec<String>) -> Outcome {
    let mut daemon = Daemon::here(Start::Auto)?;
    let mut all: Vec<Memory> = Vec::new();
    loop {
        let request = SearchMemories {
            query: None,
            category: category.clone(),
            tags: tags.clone(),
            limit: Some(PAGE),
            offset: Some(all.len().try_into().unwrap_or(u32::MAX)),
        };
        let (some, total) = page(&mut daemon, request)?;
        let done = some.is_empty();
        // One that was added meanwhile moves all others a place on.
        all.extend(
            some.into_iter().filter(|one| all.last().is_none_or(|last| one.id < last.id)).collect::<Vec<_>>(),
        );
        if done || all.len() as u64 >= total {
            break;
        }
    }
    all.reverse();
    match format {
        MemoryFormat::Json => ui::json(&all),
        MemoryFormat::Ndjson => all.iter().try_for_each(ui::json_line),
        MemoryFormat::Markdown => {
            let text = memories::document(&all);
            if ui::stdout_is_terminal() { ui::raw(&sanitize::text(&text)) } else { ui::raw(&text) }
        }
    }
}
