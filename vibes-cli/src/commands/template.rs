//! `vibes template`: what sessions can be made from, under a name.
//!
//! Invariant: the daemon reads and writes the files, so that what is saved here is what it will use; a text that is wrong
//! is not lost: the editor opens on it again, if that is wanted.

use crate::args::{SaveTemplateArgs, TemplateVerb};
use crate::client::{Daemon, Start};
use crate::commands::kill::each;
use crate::commands::rules;
use crate::error::{Failure, Kind, Outcome};
use crate::render::table::{self, Cell};
use crate::{editor, sanitize, ui};
use vibes_protocol::model::TemplateInfo;
use vibes_protocol::wire::request::{GetTemplate, ListTemplates, RemoveTemplate, SaveTemplate};
use vibes_protocol::wire::{ErrorCode, Message, Request};

/// What a new one begins with.
const SKELETON: &str = "\
# What a session is made from: vibes run --template NAME. Only `agent` is required.
agent = \"claude\"
# description = \"\"
# cwd = \"/absolute/path\"          # where `run` is started otherwise
# mode = \"\"
# model = \"\"
# args = [\"--flag\"]               # for the agent's program
# env = [\"NAME\"]                  # variables that are passed on; never their values
# worktree = \"\"                   # a git branch of its own
# orphan_policy = \"keep\"          # or suspend, remove
# prompt = \"review {file}: {prompt}\"
# [options]                       # others of the agent
# effort = \"high\"
";

pub(crate) fn run(verb: TemplateVerb) -> Outcome {
    match verb {
        TemplateVerb::Save(args) => save(args),
        TemplateVerb::List(args) => list(args.json),
        TemplateVerb::Show { name, json } => {
            let (template, text) = get(&mut Daemon::here(Start::Auto)?, &name)?;
            if json.json {
                return ui::json(&template);
            }
            ui::raw(&if ui::stdout_is_terminal() { sanitize::text(&text).into_owned() } else { text })?;
            told(&template)
        }
        TemplateVerb::Edit { name } => edit(&name),
        TemplateVerb::Rm { names, json } => {
            let mut daemon = Daemon::introduced(Start::Auto)?;
            each(&names, |name| {
                daemon.ask(RemoveTemplate { name: name.to_owned() })?;
                if json.json {
                    return ui::json_line(&serde_json::json!({"removed": name}));
                }
                ui::say(&format!("removed {}", sanitize::line(name)));
                Ok(())
            })
        }
    }
}

fn one(daemon: &mut Daemon, request: impl Into<Request>) -> Outcome<(TemplateInfo, String)> {
    match daemon.ask(request)? {
        Message::Template { template, text, .. } => Ok((template, text)),
        _ => Err(Failure::unexpected("a request about templates")),
    }
}

/// One by its name.
pub(crate) fn get(daemon: &mut Daemon, name: &str) -> Outcome<(TemplateInfo, String)> {
    one(daemon, GetTemplate { name: name.to_owned() }).map_err(|failure| match failure.code {
        Some(ErrorCode::NotFound) => failure.hint("`vibes template list` lists them"),
        _ => failure,
    })
}

/// What is wrong with one that can be read and not be used.
fn told(template: &TemplateInfo) -> Outcome {
    match &template.error {
        Some(why) => Err(Failure::new(Kind::Failed, format!("{}: {why}", template.path))),
        None => Ok(()),
    }
}

fn save(args: SaveTemplateArgs) -> Outcome {
    let text = args.file.as_deref().map(rules::read).transpose()?;
    let mut daemon = Daemon::introduced(Start::Auto)?;
    let session_id = args.from.map(|id| daemon.named(&id)).transpose()?;
    let request =
        SaveTemplate { name: args.name, session_id, prompt: args.prompt, text, replace: args.replace };
    let (template, _) = one(&mut daemon, request).map_err(|failure| match failure.code {
        Some(ErrorCode::InvalidState) => failure.hint("--replace writes over it"),
        _ => failure,
    })?;
    if args.json.json {
        return ui::json(&template);
    }
    let name = sanitize::line(&template.name);
    ui::say(&format!("saved {}; `vibes run --template {name}` starts a session from it", template.path));
    Ok(())
}

fn list(json: bool) -> Outcome {
    let Message::Templates { templates, .. } = Daemon::here(Start::Auto)?.ask(ListTemplates {})? else {
        return Err(Failure::unexpected("list_templates"));
    };
    if json {
        return ui::json(&templates);
    }
    if templates.is_empty() {
        ui::say("There are no templates: `vibes template save NAME --from ID` makes one of a session.");
        return Ok(());
    }
    let row = |info: &TemplateInfo| {
        let template = info.template.clone().unwrap_or_default();
        let about = match &info.error {
            Some(why) => Cell::painted(why, ui::Paint::red),
            None => Cell::new(template.description.or(template.prompt).unwrap_or_default()),
        };
        let model = template.model.or(template.mode).unwrap_or_default();
        vec![Cell::painted(&info.name, ui::Paint::bold), Cell::new(template.agent), Cell::new(model), about]
    };
    let rows: Vec<_> = templates.iter().map(row).collect();
    ui::data(&table::render(&["NAME", "AGENT", "MODEL", "ABOUT"], &rows, ui::Paint::stdout()).join("\n"))
}

fn edit(name: &str) -> Outcome {
    let mut daemon = Daemon::introduced(Start::Auto)?;
    let (mut text, mut replace) = match get(&mut daemon, name) {
        Ok((_, text)) => (text, true),
        Err(failure) if failure.code == Some(ErrorCode::NotFound) => (SKELETON.to_owned(), false),
        Err(failure) => return Err(failure),
    };
    loop {
        let edited = editor::edit(&text, &format!("{name}.toml"))?;
        if edited == text && replace {
            ui::say("nothing was changed");
            return Ok(());
        }
        let save = SaveTemplate {
            name: name.to_owned(),
            session_id: None,
            prompt: None,
            text: Some(edited.clone()),
            replace,
        };
        match one(&mut daemon, save) {
            Ok((template, _)) => {
                ui::say(&format!("saved {}", template.path));
                return Ok(());
            }
            Err(failure) if failure.code == Some(ErrorCode::BadRequest) => {
                ui::failure(&failure);
                if !ui::confirm("Edit it again?")? {
                    return Err(Failure::silent(failure.kind));
                }
                (text, replace) = (edited, replace);
            }
            Err(failure) => return Err(failure),
        }
    }
}
