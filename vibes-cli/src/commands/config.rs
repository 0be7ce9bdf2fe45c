//! `vibes config`: what is configured and where that is from; the daemon's own program knows.
//!
//! Invariant: a file that is wrong is never put in the place of one that is right, and what was typed is not lost: the
//! editor opens on it again, if that is wanted.

use crate::args::ConfigVerb;
use crate::client::launch::daemon_command;
use crate::error::{Failure, Kind, Outcome};
use crate::{editor, place, sanitize, ui};
use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// What a new file begins with.
const SKELETON: &str = "\
# The configuration of vibes: `vibes config show` lists every key, docs/configuration.md explains them.
# [limits]
# sweep_s = 60
# [agents.review]
# command = [\"claude\", \"--flag\"]
";

pub(crate) fn run(verb: &ConfigVerb) -> Outcome {
    match verb {
        ConfigVerb::Show { key, json } => {
            let mut words = vec!["show"];
            words.extend(json.then_some("--json"));
            words.extend(key.as_deref());
            ui::raw(&sanitized(asked(&words)?))
        }
        ConfigVerb::Check { file } => {
            let file =
                file.as_deref().map(|file| std::path::absolute(file).unwrap_or_else(|_| file.to_owned()));
            let mut words = vec![OsStr::new("check")];
            words.extend(file.as_deref().map(Path::as_os_str));
            asked(&words)?;
            ui::say("right");
            Ok(())
        }
        ConfigVerb::Path => ui::raw(&asked(&["path"])?),
        ConfigVerb::Edit => edit(),
    }
}

fn sanitized(text: String) -> String {
    if ui::stdout_is_terminal() { sanitize::text(&text).into_owned() } else { text }
}

/// What the daemon's program says to `config` and these words.
fn asked<W: AsRef<OsStr>>(words: &[W]) -> Outcome<String> {
    let dir = place::state_dir()?;
    let mut command = daemon_command(&dir)?;
    let program = PathBuf::from(command.get_program());
    let ran = command.arg("config").args(words).stdin(Stdio::null()).output().map_err(|error| {
        Failure::new(Kind::Unreachable, format!("cannot run {}: {error}", program.display()))
    })?;
    if ran.status.success() {
        return Ok(String::from_utf8_lossy(&ran.stdout).into_owned());
    }
    let why = String::from_utf8_lossy(&ran.stderr).trim().trim_start_matches("vibesd: ").to_owned();
    Err(Failure::new(Kind::Failed, why)
        .hint("`vibes config edit` opens the file; docs/configuration.md has every key"))
}

fn edit() -> Outcome {
    if let Some(session) = place::inside_agent_of(&place::state_dir()?) {
        let message = format!("this process belongs to session {session}: the configuration is a person's");
        return Err(Failure::new(Kind::Refused, message));
    }
    let path = PathBuf::from(asked(&["path"])?.trim_end());
    let failed = |error: &std::io::Error| Failure::io(format_args!("cannot write {}", path.display()), error);
    let before = fs::read_to_string(&path).unwrap_or_default();
    let mut text = if before.is_empty() { SKELETON.to_owned() } else { before.clone() };
    let directory = path.parent().unwrap_or(Path::new("/")).to_owned();
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&directory).map_err(|error| failed(&error))?;
    // A link is somebody's way to keep the file elsewhere: what it leads to is written.
    let target = path.canonicalize().unwrap_or_else(|_| path.clone());
    let aside = target.with_extension(format!("toml.{}", std::process::id()));
    loop {
        let edited = editor::edit(&text, "config.toml")?;
        if edited == before {
            ui::say("nothing was changed");
            return Ok(());
        }
        fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&aside)
            .and_then(|mut file| file.write_all(edited.as_bytes()).and_then(|()| file.sync_all()))
            .map_err(|error| failed(&error))?;
        match asked(&[OsStr::new("check"), aside.as_os_str()]) {
            Ok(_) => {
                fs::rename(&aside, &target).map_err(|error| failed(&error))?;
                ui::say(&format!("saved {}; `vibes daemon restart` puts it in force", path.display()));
                return Ok(());
            }
            Err(failure) => {
                let _ = fs::remove_file(&aside);
                ui::failure(&failure);
                if !ui::confirm("Edit it again?")? {
                    return Err(Failure::new(Kind::Failed, "nothing was changed"));
                }
                text = edited;
            }
        }
    }
}
