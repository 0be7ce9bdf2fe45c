//! A text in the person's own editor.
//!
//! Invariant: only on a terminal; the file is this user's alone and goes when the editor has ended, whatever it did. A
//! text that was not saved or is empty changes nothing.

use crate::error::{Failure, Kind, Outcome};
use crate::{place, ui};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs the editor on a file, and waits for its end.
pub(crate) fn open(path: &Path) -> Outcome {
    if !ui::stdin_is_terminal() || !ui::stdout_is_terminal() {
        return Err(
            Failure::usage("an editor needs a terminal").hint(format!("the file is {}", path.display()))
        );
    }
    let named = ["VISUAL", "EDITOR"].iter().find_map(|name| place::variable(name));
    let named = named.and_then(|name| name.into_string().ok()).unwrap_or_else(|| "vi".to_owned());
    // As git does it: what is named may have arguments, so a shell reads it; the file is none of its words.
    let status = Command::new("sh")
        .args(["-c", &format!("{named} \"$@\""), &named])
        .arg(path)
        .status()
        .map_err(|error| Failure::io(format_args!("cannot run {named}"), &error))?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::new(Kind::Failed, format!("{named} ended with {status}; nothing was changed"))
        .hint("EDITOR or VISUAL names another editor"))
}

struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A text, as it is when the editor has ended. `name` tells the editor what it is.
pub(crate) fn edit(text: &str, name: &str) -> Outcome<String> {
    let failed = |error: &std::io::Error| Failure::io("cannot make a file for the editor", error);
    let dir = std::env::temp_dir().join(format!("vibes-{}", uuid::Uuid::new_v4()));
    fs::DirBuilder::new().mode(0o700).create(&dir).map_err(|error| failed(&error))?;
    let scratch = Scratch(dir);
    let path = scratch.0.join(name);
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| failed(&error))?;
    open(&path)?;
    let edited = fs::read_to_string(&path)
        .map_err(|error| Failure::io(format_args!("cannot read {}", path.display()), &error))?;
    if edited.trim().is_empty() {
        return Err(Failure::new(Kind::Failed, "the text is empty; nothing was changed"));
    }
    Ok(edited)
}
