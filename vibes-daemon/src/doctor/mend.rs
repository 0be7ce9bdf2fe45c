//! What `vibes doctor` looks at besides the store and the runners, and mends when it is asked to.
//!
//! Invariant: mended is only what loses nothing: a mode, a file that nobody uses any more. Whatever may hold somebody's
//! work or words is told with what to do.

use crate::{config::Config, paths, templates};
use std::{
    fs,
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::Path,
};
use vibes_core::memory::Memories;
use vibes_protocol::paths::StateDir;

/// Looks, and mends if that is wanted. `alone` says that no daemon runs, and that none can start meanwhile.
pub fn look(dir: &StateDir, alone: bool, fix: bool, say: &mut dyn FnMut(bool, String)) {
    modes(dir, fix, say);
    let socket = dir.socket();
    if alone && fs::symlink_metadata(&socket).is_ok_and(|meta| meta.file_type().is_socket()) {
        let what = format!("{} is of a daemon that is gone", socket.display());
        mend(fix, what, say, || fs::remove_file(&socket));
    }
    for directory in
        [Some(dir.root().to_owned()), paths::config_file().and_then(|file| Some(file.parent()?.to_owned()))]
            .into_iter()
            .flatten()
    {
        leftovers(&directory, fix, say);
        leftovers(&directory.join("templates"), fix, say);
    }
    match Config::read() {
        Ok(_) => say(true, "the configuration is right".to_owned()),
        Err(error) => say(false, format!("{error:#}: `vibes config edit`")),
    }
    for template in templates::list().unwrap_or_default() {
        if let Some(why) = template.error {
            say(false, format!("template {}: {why}: `vibes template edit {}`", template.path, template.name));
        }
    }
    if dir.memory().exists() {
        match Memories::at(dir.memory()).check() {
            Ok(()) => say(true, format!("memories {} are sound", dir.memory().display())),
            Err(error) => say(false, format!("{error}")),
        }
    }
}

/// Does something about it, or says what would.
fn mend(
    fix: bool,
    what: String,
    say: &mut dyn FnMut(bool, String),
    act: impl FnOnce() -> std::io::Result<()>,
) {
    if !fix {
        return say(false, format!("{what}: `vibes doctor --fix`"));
    }
    match act() {
        Ok(()) => say(true, format!("{what}: mended")),
        Err(error) => say(false, format!("{what}, and it cannot be mended: {error}")),
    }
}

/// What others of this machine could read or write.
fn modes(dir: &StateDir, fix: bool, say: &mut dyn FnMut(bool, String)) {
    for entry in fs::read_dir(dir.root()).into_iter().flatten().flatten() {
        let path = entry.path();
        // What a link leads to is somebody else's to judge; who may connect is the directory's to say.
        let Ok(meta) = fs::symlink_metadata(&path) else { continue };
        let kind = meta.file_type();
        if kind.is_symlink() || kind.is_socket() || meta.permissions().mode() & 0o077 == 0 {
            continue;
        }
        let mode = if kind.is_dir() { 0o700 } else { 0o600 };
        let what = format!("{} has mode {:o}", path.display(), meta.permissions().mode() & 0o7777);
        mend(fix, what, say, || fs::set_permissions(&path, fs::Permissions::from_mode(mode)));
    }
}

/// Files that were written aside by a process that is gone: `NAME.PID`.
fn leftovers(directory: &Path, fix: bool, say: &mut dyn FnMut(bool, String)) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some((before, pid)) = name.rsplit_once('.') else { continue };
        let aside = before == "last-session" || before.ends_with(".toml");
        let Some(pid) = pid.parse::<i32>().ok().and_then(rustix::process::Pid::from_raw) else { continue };
        if aside && rustix::process::test_kill_process(pid).is_err() {
            let path = entry.path();
            mend(fix, format!("{} was left by a process that is gone", path.display()), say, || {
                fs::remove_file(&path)
            });
        }
    }
}
