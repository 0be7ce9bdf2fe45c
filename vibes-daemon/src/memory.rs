//! How the C library gives memory: so that what a session took goes back when it ends.
//!
//! Invariant: the daemon serves with these settings or with those of whoever started it; failing to set them changes
//! nothing else.

/// Begins the program again with the settings, because the C library reads them before `main`; comes back when they are
/// set, when it has none, or when that fails.
///
/// Left alone, it makes an arena for every thread, and each keeps what lives short between what lives long: a daemon
/// that held 23 MiB kept 80, and half a KiB more with every session. Nor does it hand large blocks back any more once it
/// has seen some come and go, unless their size is fixed.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn settle() {
    use std::{
        env,
        os::unix::process::CommandExt,
        process::{self, Command},
    };
    /// Arenas; bytes from which a block is mapped by itself; bytes free at the end of the heap that are kept.
    const SETTINGS: [(&str, &str); 3] = [
        ("MALLOC_ARENA_MAX", "1"),
        ("MALLOC_MMAP_THRESHOLD_", "131072"),
        ("MALLOC_TRIM_THRESHOLD_", "131072"),
    ];
    if SETTINGS.iter().any(|(name, _)| env::var_os(name).is_some()) {
        return;
    }
    let Ok(program) = env::current_exe() else { return };
    let mut again = Command::new(program);
    again.args(env::args_os().skip(1)).envs(SETTINGS);
    if let Some(name) = env::args_os().next() {
        again.arg0(name);
    }
    let error = again.exec();
    eprintln!("vibesd {}: memory is not given back as it could be: {error}", process::id());
}

/// Other C libraries have no such settings.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn settle() {}
