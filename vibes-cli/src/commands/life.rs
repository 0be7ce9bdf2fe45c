//! Verbs that change what is known of a session: rename, ttl, budget, pin, unpin, read, update.
//!
//! Invariant: a change says which version of the session it was made for. When somebody else changed it meanwhile it is
//! read again and the wish repeated once, because it is still the same; a version that a person named is not.

use crate::args::{Budget, Ttl, UpdateArgs};
use crate::client::{Daemon, Start};
use crate::commands::kill::each;
use crate::commands::simple::act;
use crate::error::{Failure, Outcome};
use crate::render::list::money;
use crate::render::ttl_words;
use crate::{sanitize, ui};
use serde_json::Value;
use vibes_protocol::model::SessionInfo;
use vibes_protocol::wire::ErrorCode;
use vibes_protocol::wire::request::{MarkRead, UpdateSession};

/// Asks for a change that is made from the session as it is, and gives the session as it was.
fn change(
    id: &str,
    version: Option<u64>,
    wish: impl Fn(&SessionInfo, UpdateSession) -> UpdateSession,
) -> Outcome<SessionInfo> {
    let mut daemon = Daemon::introduced(Start::Auto)?;
    let id = daemon.named(id)?;
    let mut tries = if version.is_some() { 1 } else { 2 };
    let (mut session, ..) = daemon.session(&id)?;
    loop {
        // The id: after a first try the old name may be gone.
        let id = session.id.to_string();
        let base = UpdateSession::of(id.clone(), version.or(Some(session.version)));
        tries -= 1;
        match daemon.ask(wish(&session, base)) {
            Ok(_) => return Ok(session),
            Err(failure) if failure.code == Some(ErrorCode::VersionConflict) && tries > 0 => {
                (session, ..) = daemon.session(&id)?;
            }
            Err(failure) => return Err(failure),
        }
    }
}

pub(crate) fn rename(id: &str, name: &str) -> Outcome {
    let name = (!name.is_empty()).then(|| name.to_owned());
    change(id, None, |_, base| UpdateSession { name: Some(name.clone()), ..base })?;
    match name {
        Some(name) => ui::say(&format!("{} is now called {}", sanitize::line(id), sanitize::line(&name))),
        None => ui::say(&format!("{} has no name now", sanitize::line(id))),
    }
    Ok(())
}

pub(crate) fn pin(ids: &[String], pinned: bool) -> Outcome {
    for id in ids {
        change(id, None, |_, base| UpdateSession { pinned: Some(pinned), ..base })?;
        let words = if pinned { "pinned: it does not expire" } else { "not pinned any more" };
        ui::say(&format!("{} is {words}", sanitize::line(id)));
    }
    Ok(())
}

/// Tells how long a session lives, or sets it.
pub(crate) fn ttl(id: &str, ttl: Option<Ttl>) -> Outcome {
    let Some(Ttl(ttl_s)) = ttl else {
        let mut daemon = Daemon::introduced(Start::Auto)?;
        let named = daemon.named(id)?;
        let (session, ..) = daemon.session(&named)?;
        return ui::data(&ttl_words(session.ttl_s));
    };
    change(id, None, |_, base| UpdateSession { ttl_s: Some(ttl_s), ..base })?;
    ui::say(&format!("{} lives without activity: {}", sanitize::line(id), ttl_words(ttl_s)));
    Ok(())
}

/// What a session may cost from now on; `None` is what the configuration says.
pub(crate) fn amount(session: &SessionInfo, budget: Budget) -> Option<f64> {
    match budget {
        Budget::To(amount) => Some(amount),
        // More than it may cost, or has cost where that is more already.
        Budget::More(more) => {
            let cost = session.cost.as_ref().map_or(0.0, |cost| cost.amount);
            Some(session.budget.unwrap_or(0.0).max(cost) + more)
        }
        Budget::None => Some(0.0),
        Budget::Default => None,
    }
}

/// Tells what a session may cost, or sets it.
pub(crate) fn budget(id: &str, budget: Option<Budget>) -> Outcome {
    let told = |session: &SessionInfo| {
        let cost = session.cost.as_ref().map_or_else(|| "nothing".to_owned(), money);
        let budget = session.budget.map_or_else(|| "no budget".to_owned(), |budget| format!("{budget:.2}"));
        format!("{cost} of {budget}")
    };
    let Some(wanted) = budget else {
        let mut daemon = Daemon::introduced(Start::Auto)?;
        let named = daemon.named(id)?;
        return ui::data(&told(&daemon.session(&named)?.0));
    };
    change(id, None, |session, base| UpdateSession { budget: Some(amount(session, wanted)), ..base })?;
    ui::say(&format!("changed the budget of {}", sanitize::line(id)));
    Ok(())
}

pub(crate) fn read(ids: &[String]) -> Outcome {
    each(ids, |id| act(id, "read", |session_id| MarkRead { session_id, seq: None }.into()))
}

pub(crate) fn update(args: &UpdateArgs) -> Outcome {
    let metadata = args
        .metadata
        .iter()
        .map(|pair| match pair.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok((name, value)),
            _ => Err(Failure::usage(format!("--metadata {pair:?}: NAME=VALUE is wanted"))),
        })
        .collect::<Outcome<Vec<_>>>()?;
    let text = |text: &Option<String>| text.clone().map(|text| (!text.is_empty()).then_some(text));
    let pinned = if args.pin { Some(true) } else { args.unpin.then_some(false) };
    let nothing = args.name.is_none()
        && args.description.is_none()
        && args.ttl.is_none()
        && args.orphan.is_none()
        && pinned.is_none()
        && metadata.is_empty();
    if nothing {
        return Err(
            Failure::usage("nothing to change was named").hint("`vibes update --help` lists what can be")
        );
    }
    change(&args.id, args.version, |session, base| UpdateSession {
        name: text(&args.name),
        description: text(&args.description),
        ttl_s: args.ttl.map(|ttl| ttl.0),
        orphan_policy: args.orphan.map(Into::into),
        pinned,
        metadata: (!metadata.is_empty()).then(|| {
            let mut all = session.metadata.clone();
            for (name, value) in &metadata {
                match value.is_empty() {
                    true => all.remove(*name),
                    false => all.insert((*name).to_owned(), parsed(value)),
                };
            }
            all
        }),
        ..base
    })?;
    ui::say(&format!("changed {}", sanitize::line(&args.id)));
    Ok(())
}

/// JSON where it is some; words otherwise.
fn parsed(value: &str) -> Value {
    serde_json::from_str(value).unwrap_or_else(|_| Value::from(value))
}
