//! `vibes doctor`: looks at the state directory, the store and the runners, and says what is wrong and what helps.
//!
//! Invariant: looks only, unless asked to reap; and reaps only what carries this state directory's marker and belongs
//! to no session of a living daemon.
#![allow(clippy::print_stdout)]

use crate::{
    instance::{Instance, Running},
    paths,
};
use std::{collections::BTreeMap, process::ExitCode};
use vibes_core::{
    agent::{launch::Yard, link},
    host, journal,
};

/// Runs the check-up. The exit code is 1 when something is wrong.
pub fn run(reap: bool) -> anyhow::Result<ExitCode> {
    let dir = paths::state_dir()?;
    let mut wrong = 0;
    let mut say = |good: bool, text: String| {
        println!("{} {text}", if good { "ok  " } else { "WRONG" });
        wrong += usize::from(!good);
    };
    if !dir.root().exists() {
        say(true, format!("{}: nothing here yet; the first `vibes` command makes it", dir.root().display()));
        return Ok(ExitCode::SUCCESS);
    }
    match paths::private_dir(dir.root()) {
        Ok(()) => say(true, format!("state directory {} is private", dir.root().display())),
        Err(error) => say(false, format!("{error:#}")),
    }
    // Holding the lock means that no daemon runs, and keeps one from starting meanwhile.
    let alone = Instance::take(&dir);
    match &alone {
        Ok(_) => say(true, "no daemon runs".to_owned()),
        Err(error) if error.is::<Running>() => say(true, format!("{error}")),
        Err(error) => say(false, format!("{error:#}")),
    }
    if dir.store().exists() {
        match journal::check(&dir.store()) {
            Ok(faults) if faults.is_empty() => say(true, format!("store {} is sound", dir.store().display())),
            Ok(faults) => {
                for fault in faults {
                    say(false, format!("store: {fault}"));
                }
                say(
                    false,
                    "stop the daemon and start it again: a damaged store is set aside and salvaged"
                        .to_owned(),
                );
            }
            Err(error) => say(false, format!("store: {error}")),
        }
    }
    for entry in std::fs::read_dir(dir.root())?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("corrupt-") {
            let place = entry.path();
            say(
                false,
                format!("a damaged store was set aside in {0}: look, then `rm -r {0}`", place.display()),
            );
        }
    }
    runners(&dir, reap, alone.is_ok(), &mut say)?;
    Ok(if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn runners(
    dir: &vibes_protocol::paths::StateDir,
    reap: bool,
    alone: bool,
    say: &mut dyn FnMut(bool, String),
) -> anyhow::Result<()> {
    let yard = Yard { dir: dir.runners(), runner: Default::default(), state_id: paths::state_id(dir)? };
    let mut newest: BTreeMap<_, u64> = BTreeMap::new();
    let present = yard.present().unwrap_or_default();
    for (session, generation) in &present {
        let seen = newest.entry(*session).or_default();
        *seen = (*seen).max(*generation);
    }
    for (session, generation) in present {
        let place = yard.dir_of(&session, generation);
        let marker = yard.marker_of(&session, generation);
        let short = &session.to_string()[..8];
        let runner = link::runner_process(&place);
        let old = newest.get(&session) != Some(&generation);
        match runner {
            Some(process) if !old => {
                say(true, format!("runner of {short}.{generation}: pid {}", process.pid));
            }
            _ => {
                let left = host::carrying(&marker);
                if runner.is_none() && left.is_empty() && alone {
                    say(
                        true,
                        format!("runner of {short}.{generation} has ended; its output waits for the daemon"),
                    );
                    continue;
                }
                if runner.is_none() && left.is_empty() {
                    continue;
                }
                if reap {
                    let left = host::sweep(&marker, 100);
                    say(left.is_empty(), format!("runner of {short}.{generation}: reaped, left: {left:?}"));
                } else {
                    let why = if old { "is of an earlier generation" } else { "is gone" };
                    say(
                        false,
                        format!(
                            "runner of {short}.{generation} {why}, processes {left:?}: `vibes doctor --reap`"
                        ),
                    );
                }
            }
        }
    }
    Ok(())
}
