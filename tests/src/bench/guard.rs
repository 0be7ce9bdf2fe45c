//! Cleans up when the benchmark is interrupted or takes far too long.
//!
//! Sessions live under runners in sessions of their own, so an interrupt of the terminal does not reach them, and
//! the destructor that would end them does not run. Invariant: every state directory is known here before anything
//! is started in it.

use rustix::process::Signal;
use std::{
    path::PathBuf,
    process,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use vibes_tests::processes;

/// Several times what a whole run needs.
const LIMIT: Duration = Duration::from_secs(15 * 60);

static ROOTS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Makes a directory known.
pub fn register(root: PathBuf) {
    ROOTS.lock().unwrap_or_else(PoisonError::into_inner).push(root);
}

/// Watches for an interrupt and the limit from now on.
pub fn watch() {
    let asked = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP] {
        signal_hook::flag::register(signal, asked.clone()).expect("a handler can be set");
    }
    thread::spawn(move || {
        let until = Instant::now() + LIMIT;
        while !asked.load(Ordering::Acquire) && Instant::now() < until {
            thread::sleep(Duration::from_millis(50));
        }
        clean();
        process::exit(130);
    });
}

fn clean() {
    let roots = ROOTS.lock().unwrap_or_else(PoisonError::into_inner);
    let words: Vec<String> = roots.iter().map(|root| format!("{}/", root.display())).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if words.is_empty() {
        return;
    }
    // Until nothing is found: what was forking meanwhile, and what the figure's own end makes again while it is
    // being unwound, shows up in the next look.
    for _ in 0..200 {
        let living = processes::mentioning(&words);
        living.iter().for_each(|process| processes::signal(process.pid, Signal::KILL));
        for root in roots.iter() {
            // Gone already when its figure was finished.
            let _ = std::fs::remove_dir_all(root);
        }
        thread::sleep(Duration::from_millis(20));
        if living.is_empty() && !roots.iter().any(|root| root.exists()) {
            break;
        }
    }
}
