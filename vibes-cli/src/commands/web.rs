//! `vibes web`, `vibes token`, `vibes share`, `vibes audit`: the web and who may use it.
//!
//! Invariant: a secret is printed to standard output, once, because somebody asked for it; never to a log or a list.

use crate::args::{AuditArgs, ShareArgs, TokenVerb, WebArgs};
use crate::client::{Daemon, Start};
use crate::commands::{kill::each, now, now_ms};
use crate::error::{Failure, Kind, Outcome};
use crate::render::age;
use crate::render::table::{Cell, render};
use crate::ui;
use serde_json::json;
use std::process::{Command, Stdio};
use vibes_protocol::model::{Access, TokenInfo};
use vibes_protocol::wire::Message;
use vibes_protocol::wire::request::{CreateToken, ListAudit, ListTokens, RevokeToken, Web, WebAction};

/// What the daemon said of the web.
struct Served {
    url: Option<String>,
    code: Option<String>,
    code_expires_at: Option<i64>,
    hosts: Vec<String>,
}

fn ask(daemon: &mut Daemon, action: WebAction, port: Option<u16>) -> Outcome<Served> {
    match daemon.ask(Web { action, port })? {
        Message::Web { url, code, code_expires_at, hosts, .. } => {
            Ok(Served { url, code, code_expires_at, hosts })
        }
        _ => Err(Failure::unexpected("web")),
    }
}

pub(crate) fn web(args: &WebArgs) -> Outcome {
    let starts = !args.stop && !args.status;
    let mut daemon = Daemon::here(if starts { Start::Auto } else { Start::Never })?;
    if args.stop {
        ask(&mut daemon, WebAction::Stop, None)?;
        ui::say("the web is served no longer");
        return Ok(());
    }
    if args.status {
        let served = ask(&mut daemon, WebAction::Status, None)?;
        if args.json {
            return ui::json(
                &json!({"running": served.url.is_some(), "url": served.url, "hosts": served.hosts}),
            );
        }
        return match served.url {
            Some(url) => ui::data(&url),
            None => {
                ui::say("the web is not served; `vibes web` serves it");
                Ok(())
            }
        };
    }
    let served = ask(&mut daemon, WebAction::Start, args.port)?;
    let (Some(url), Some(code)) = (&served.url, &served.code) else { return Err(Failure::unexpected("web")) };
    let link = format!("{url}/#code={code}");
    if args.json {
        return ui::json(&json!({
            "running": true,
            "url": url,
            "link": link,
            "code": code,
            "code_expires_at": served.code_expires_at,
            "hosts": served.hosts,
        }));
    }
    ui::data(&link)?;
    for host in &served.hosts {
        ui::say(&format!("through a tunnel: https://{host}/#code={code}"));
    }
    ui::say(
        "this link lets one browser in, within a minute; `vibes web` gives another one, `vibes web --stop` ends it",
    );
    if args.open { open(&link) } else { Ok(()) }
}

/// Opens a link in the person's browser.
fn open(link: &str) -> Outcome {
    let program = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let ran = Command::new(program)
        .arg(link)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match ran {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(Failure::new(Kind::Failed, format!("{program} could not open a browser"))
            .hint("open the link yourself")),
        Err(error) => Err(Failure::new(Kind::Failed, format!("cannot run {program}: {error}"))
            .hint("open the link yourself")),
    }
}

fn create(daemon: &mut Daemon, ask: CreateToken) -> Outcome<(String, TokenInfo)> {
    match daemon.ask(ask)? {
        Message::TokenCreated { secret, token, .. } => Ok((secret, token)),
        _ => Err(Failure::unexpected("create_token")),
    }
}

pub(crate) fn token(verb: &TokenVerb) -> Outcome {
    let mut daemon = Daemon::here(Start::Auto)?;
    match verb {
        TokenVerb::Create { name, role, session, person, expires, json } => {
            let session_id = session.as_deref().map(|id| daemon.named(id)).transpose()?;
            let wish = CreateToken {
                name: name.clone(),
                role: (*role).into(),
                session_id,
                person: person.clone(),
                expires_s: *expires,
            };
            let (secret, token) = create(&mut daemon, wish)?;
            if *json {
                return ui::json(&json!({"secret": secret, "token": token}));
            }
            ui::data(&secret)?;
            ui::say(&format!(
                "token {} is told here and never again; `vibes token revoke {}` takes it back",
                token.id, token.id
            ));
            Ok(())
        }
        TokenVerb::List { json } => {
            let Message::Tokens { tokens, .. } = daemon.ask(ListTokens {})? else {
                return Err(Failure::unexpected("list_tokens"));
            };
            if *json {
                return ui::json(&tokens);
            }
            if tokens.is_empty() {
                ui::say("There are no tokens.");
                return Ok(());
            }
            let rows: Vec<Vec<Cell>> = tokens.iter().map(row).collect();
            let headings = ["ID", "NAME", "ROLE", "SESSION", "FOR", "AGE", "ENDS"];
            ui::data(&render(&headings, &rows, ui::Paint::stdout()).join("\n"))
        }
        TokenVerb::Revoke { ids } => each(ids, |id| {
            daemon.ask(RevokeToken { id: id.to_owned() })?;
            ui::say(&format!("revoked token {id}"));
            Ok(())
        }),
    }
}

fn row(token: &TokenInfo) -> Vec<Cell> {
    let session = token.session_id.map_or_else(|| "all".to_owned(), |id| id.to_string()[..8].to_owned());
    let ends = token.expires_at.map_or_else(|| "never".to_owned(), |end| format!("in {}", age(end - now())));
    vec![
        Cell::painted(&token.id, ui::Paint::bold),
        Cell::new(&token.name),
        Cell::new(token.role.as_str()),
        Cell::new(session),
        Cell::new(token.person.as_deref().unwrap_or("-")),
        Cell::new(age(now() - token.created_at)),
        Cell::new(ends),
    ]
}

pub(crate) fn share(args: &ShareArgs) -> Outcome {
    let mut daemon = Daemon::here(Start::Auto)?;
    let session_id = daemon.named(&args.id)?;
    let (session, ..) = daemon.session(&session_id)?;
    let served = match ask(&mut daemon, WebAction::Status, None)? {
        served if served.url.is_some() => served,
        _ => ask(&mut daemon, WebAction::Start, None)?,
    };
    let id = session.id.to_string();
    let name = format!("share {}", session.name.as_deref().unwrap_or(&id[..8]));
    let wish = CreateToken {
        name: name.chars().take(100).collect(),
        role: Access::View,
        session_id: Some(id.clone()),
        person: None,
        expires_s: Some(args.expires),
    };
    let (secret, token) = create(&mut daemon, wish)?;
    let path = format!("/#token={secret}&session={id}");
    let links: Vec<String> = served
        .url
        .iter()
        .cloned()
        .chain(served.hosts.iter().map(|host| format!("https://{host}")))
        .map(|place| place + &path)
        .collect();
    if args.json {
        return ui::json(&json!({"links": links, "token": token}));
    }
    ui::data(&links.join("\n"))?;
    ui::say(&format!(
        "whoever has this link sees this one session and changes nothing, for {}; `vibes token revoke {}` ends it",
        age(args.expires as i64),
        token.id
    ));
    Ok(())
}

pub(crate) fn audit(args: &AuditArgs) -> Outcome {
    let mut daemon = Daemon::here(Start::Auto)?;
    let Message::Audit { entries, .. } = daemon.ask(ListAudit { limit: Some(args.limit) })? else {
        return Err(Failure::unexpected("list_audit"));
    };
    if args.json {
        return ui::json(&entries);
    }
    if entries.is_empty() {
        ui::say("Nothing was done over the web.");
        return Ok(());
    }
    let rows = entries.iter().map(|entry| {
        vec![
            Cell::new(age((now_ms() - entry.at_ms) / 1000)),
            Cell::new(&entry.name),
            Cell::new(&entry.token),
            Cell::new(&entry.request),
            Cell::new(entry.session_id.as_deref().unwrap_or("-")),
            Cell::painted(
                &entry.outcome,
                if entry.outcome == "ok" { ui::Paint::dim } else { ui::Paint::red },
            ),
        ]
    });
    let rows: Vec<Vec<Cell>> = rows.collect();
    let headings = ["AGE", "NAME", "TOKEN", "REQUEST", "SESSION", "OUTCOME"];
    ui::data(&render(&headings, &rows, ui::Paint::stdout()).join("\n"))
}
