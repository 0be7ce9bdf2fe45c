//! Templates: files that sessions are made from, in the configuration's directory, for people to read and to write.
//!
//! Invariant: a file is written whole or not at all, holds no value of an environment, and what is wrong in one is an
//! error that names the place; one broken file hides no other. Everything here blocks.

use crate::{paths, words};
use std::{
    collections::BTreeMap,
    fs,
    io::{ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::PathBuf,
};
use vibes_protocol::{
    model::{CodedError, ErrorCode, Template, TemplateInfo},
    wire::request::{Content, CreateSession},
};

/// The longest file.
const LONGEST: u64 = 64 * 1024;
/// How many are listed: with the longest of them all, less than a line of the daemon may have.
const MOST: usize = 200;

fn bad(why: impl Into<String>) -> CodedError {
    CodedError::new(ErrorCode::BadRequest, why)
}

fn failed(what: &str, path: &std::path::Path, error: &std::io::Error) -> CodedError {
    let code = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => ErrorCode::StoreFull,
        _ => ErrorCode::StoreFailed,
    };
    CodedError::new(code, format!("cannot {what} {}: {error}", path.display()))
}

fn directory() -> Result<PathBuf, CodedError> {
    let file = paths::config_file().ok_or_else(|| bad("no home directory is known: set HOME"))?;
    Ok(file.with_file_name("templates"))
}

fn file_of(name: &str) -> Result<PathBuf, CodedError> {
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() || name.len() > 64 || !name.chars().all(known) || name.starts_with(['.', '-']) {
        return Err(bad(format!(
            "name: {name:?} is none for a template: 1 to 64 of A-Z a-z 0-9 . _ -, beginning with neither . nor -"
        )));
    }
    Ok(directory()?.join(format!("{name}.toml")))
}

/// Reads what a file says.
fn parse(text: &str) -> Result<Template, String> {
    let table: toml::Table = toml::from_str(text).map_err(|error| error.to_string())?;
    if let Some(key) = table.keys().find(|key| !Template::FIELDS.contains(&key.as_str())) {
        let line =
            text.lines().position(|line| line.trim_start().trim_start_matches('[').starts_with(key.as_str()));
        let line = line.map_or_else(String::new, |line| format!("line {}: ", line + 1));
        let near = words::nearest(key, Template::FIELDS.iter().copied());
        let near = near.map_or_else(
            || format!("there are {}", Template::FIELDS.join(", ")),
            |near| format!("did you mean {near}?"),
        );
        return Err(format!("{line}a template has no {key}: {near}"));
    }
    let template: Template = toml::from_str(text).map_err(|error| error.to_string())?;
    if template.agent.is_empty() {
        return Err("agent is missing: the name of one, as `vibes agents` lists it".to_owned());
    }
    if template.env.iter().any(|name| name.contains('=') || name.is_empty()) {
        return Err("env: names of variables only; their values are never kept".to_owned());
    }
    if template.cwd.as_ref().is_some_and(|cwd| !cwd.starts_with('/')) {
        return Err("cwd: an absolute path is wanted".to_owned());
    }
    Ok(template)
}

/// One by its name, and its text.
pub fn read(name: &str) -> Result<(TemplateInfo, String), CodedError> {
    let path = file_of(name)?;
    let text = match fs::metadata(&path)
        .and_then(|meta| if meta.len() > LONGEST { Ok(None) } else { fs::read_to_string(&path).map(Some) })
    {
        Ok(Some(text)) => text,
        Ok(None) => return Err(bad(format!("{}: longer than {LONGEST} bytes", path.display()))),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            let why = format!("no template is called {name:?}; `vibes template list` lists them");
            return Err(CodedError::new(ErrorCode::NotFound, why));
        }
        Err(error) => return Err(failed("read", &path, &error)),
    };
    let (template, error) = match parse(&text) {
        Ok(template) => (Some(template), None),
        Err(why) => (None, Some(why)),
    };
    let path = path.display().to_string();
    Ok((TemplateInfo { name: name.to_owned(), path, template, error }, text))
}

/// All of them, by name.
pub fn list() -> Result<Vec<TemplateInfo>, CodedError> {
    let directory = directory()?;
    let entries = match fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(failed("read", &directory, &error)),
    };
    let mut names: Vec<String> = entries
        .flatten()
        .filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".toml")?.to_owned()))
        .filter(|name| file_of(name).is_ok())
        .collect();
    names.sort();
    names.truncate(MOST);
    Ok(names.iter().filter_map(|name| read(name).ok()).map(|(info, _)| info).collect())
}

/// A template as a file.
pub fn written(template: &Template) -> Result<String, CodedError> {
    let mut template = template.clone();
    // TOML has no null.
    template.options.retain(|_, value| !value.is_null());
    toml::to_string_pretty(&template).map_err(|error| bad(format!("it cannot be written as TOML: {error}")))
}

/// Writes one. What is there is replaced only if that is wanted.
pub fn save(name: &str, text: &str, replace: bool) -> Result<(TemplateInfo, String), CodedError> {
    let path = file_of(name)?;
    if text.len() as u64 > LONGEST {
        return Err(bad(format!("a template has at most {LONGEST} bytes")));
    }
    parse(text).map_err(|why| bad(format!("template {name}: {why}")))?;
    let directory = directory()?;
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&directory);
    made.map_err(|error| failed("make", &directory, &error))?;
    if path.exists() && !replace {
        let why = format!("a template {name} is there already: {}", path.display());
        return Err(CodedError::new(ErrorCode::InvalidState, why));
    }
    // A link is somebody's way to keep the file elsewhere: what it leads to is written.
    let target = path.canonicalize().unwrap_or_else(|_| path.clone());
    let aside = target.with_extension(format!("toml.{}", std::process::id()));
    let wrote = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&aside)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&aside, &target));
    if let Err(error) = wrote {
        let _ = fs::remove_file(&aside);
        return Err(failed("write", &target, &error));
    }
    read(name)
}

/// Removes one.
pub fn remove(name: &str) -> Result<(), CodedError> {
    let path = file_of(name)?;
    fs::remove_file(&path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            CodedError::new(ErrorCode::NotFound, format!("no template is called {name:?}"))
        }
        _ => failed("remove", &path, &error),
    })
}

/// Makes of a request what its template says where it says nothing itself.
pub fn fill(mut body: CreateSession) -> Result<CreateSession, CodedError> {
    let Some(name) = body.template.take() else {
        if body.agent.is_empty() {
            return Err(bad("agent: name one, or a template"));
        }
        return Ok(body);
    };
    let (info, _) = read(&name)?;
    let template = info.template.ok_or_else(|| {
        bad(format!("the template {} cannot be used: {}", info.path, info.error.unwrap_or_default()))
    })?;
    body.prompt = prompt(&name, template.prompt.as_deref(), body.prompt.take(), &body.values)?;
    if body.agent.is_empty() {
        body.agent = template.agent;
        // Arguments and options are the one agent's: another one would not know them.
        if body.args.is_empty() {
            body.args = template.args;
        }
        for (option, value) in template.options {
            body.options.entry(option).or_insert(value);
        }
        if let Some(model) = template.model {
            body.options.entry("model").or_insert(model.into());
        }
        body.mode = body.mode.take().or(template.mode);
    }
    if body.cwd.is_empty() {
        body.cwd = template.cwd.unwrap_or_default();
    }
    body.description = body.description.take().or(template.description);
    body.worktree = body.worktree.take().or(template.worktree);
    body.orphan_policy = body.orphan_policy.or(template.orphan_policy);
    body.ttl_s = body.ttl_s.or(template.ttl_s);
    body.approval_deadline_s = body.approval_deadline_s.or(template.approval_deadline_s);
    body.detached = body.detached.or(template.detached);
    body.metadata.entry("template").or_insert(name.into());
    Ok(body)
}

/// The first prompt: the template's words with what the client says in their places.
fn prompt(
    name: &str,
    template: Option<&str>,
    said: Option<Content>,
    values: &BTreeMap<String, String>,
) -> Result<Option<Content>, CodedError> {
    let Some(template) = template else {
        return match values.keys().next() {
            Some(value) => Err(bad(format!("the template {name} has no prompt, so no place for {value}"))),
            None => Ok(said),
        };
    };
    let placed = words::places(template);
    if let Some(value) = values.keys().find(|value| !placed.contains(&value.as_str())) {
        return Err(bad(format!("the prompt of template {name} has no {{{value}}}")));
    }
    let mut values = values.clone();
    let wants_prompt = placed.contains(&"prompt");
    match (said, wants_prompt) {
        // It says nothing of where other words belong: they stand in its place.
        (Some(said), false) => return Ok(Some(said)),
        (Some(Content::Text(text)), true) => {
            values.insert("prompt".to_owned(), text);
        }
        (Some(Content::Blocks(_)), true) => {
            return Err(bad(format!("the prompt of template {name} takes words only")));
        }
        (None, _) => {}
    }
    let missing: Vec<&str> = placed.into_iter().filter(|place| !values.contains_key(*place)).collect();
    if !missing.is_empty() {
        return Err(bad(format!("the template {name} wants {}", missing.join(", "))));
    }
    Ok(Some(Content::Text(words::filled(template, &values))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_in_a_file_is_told_with_its_place() {
        for (text, why) in [
            ("agent = \"shell\"\nmodle = \"x\"\n", "line 2: a template has no modle: did you mean model?"),
            ("mode = \"x\"\n", "agent is missing"),
            ("agent = 3\n", "line 1"),
            ("agent = \"shell\"\nenv = [\"KEY=secret\"]\n", "names of variables only"),
            ("agent = \"shell\"\ncwd = \"here\"\n", "absolute"),
            ("agent = ", "line 1"),
        ] {
            let told = parse(text).expect_err(text);
            assert!(told.contains(why), "{told}");
        }
    }

    #[test]
    fn it_is_written_as_it_is_read() {
        let text = "agent = \"claude\"\nmodel = \"m\"\nargs = [\"--x\"]\nenv = [\"KEY\"]\n\n[options]\neffort = \"high\"\n";
        let template = parse(text).expect("it is right");
        assert_eq!(parse(&written(&template).expect("it can be written")).as_ref(), Ok(&template));
        let whole = Template {
            agent: "a".into(),
            description: Some("d".into()),
            cwd: Some("/".into()),
            mode: Some("m".into()),
            model: Some("m".into()),
            args: vec!["x".into()],
            worktree: Some(String::new()),
            orphan_policy: Some(Default::default()),
            ttl_s: Some(1),
            approval_deadline_s: Some(1),
            detached: Some(vibes_protocol::model::Detached::Deny),
            env: vec!["X".into()],
            prompt: Some("p\nq".into()),
            options: serde_json::Map::from_iter([("o".to_owned(), true.into())]),
        };
        let text = written(&whole).expect("it can be written");
        let table: toml::Table = toml::from_str(&text).expect("it is TOML");
        assert_eq!(table.keys().map(String::as_str).collect::<Vec<_>>().len(), Template::FIELDS.len());
        assert_eq!(parse(&text), Ok(whole));
    }

    #[test]
    fn a_prompt_has_what_is_said_in_its_places() {
        let values = |pairs: &[(&str, &str)]| {
            pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect::<BTreeMap<_, _>>()
        };
        let text = |words: &str| Some(Content::Text(words.to_owned()));
        let made = |template, said, pairs| prompt("t", template, said, &values(pairs));
        assert_eq!(
            made(Some("see {file}: {prompt}"), text("why {file}?"), &[("file", "a.rs")]).ok().flatten(),
            text("see a.rs: why {file}?")
        );
        assert_eq!(made(Some("look"), None, &[]).ok().flatten(), text("look"));
        assert_eq!(made(Some("look"), text("there"), &[]).ok().flatten(), text("there"));
        assert_eq!(made(None, text("there"), &[]).ok().flatten(), text("there"));
        assert!(
            made(Some("see {file} {prompt}"), None, &[])
                .expect_err("some are missing")
                .message
                .contains("file, prompt")
        );
        assert!(made(Some("see {file}"), None, &[("fiel", "x")]).is_err());
        assert!(made(None, None, &[("x", "y")]).is_err());
    }

    #[test]
    fn names_lead_nowhere_else() {
        for name in ["", ".", "..", ".x", "-x", "a/b", "../x", "ü", "x y", &"x".repeat(65)] {
            assert!(file_of(name).is_err(), "{name}");
        }
    }
}
