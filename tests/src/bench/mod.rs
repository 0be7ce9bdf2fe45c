//! Figures of the real programs, each beside a floor or a peer measured in the same run.
//!
//! `vibes-bench [F1 F2 …] [--rounds N] [--sessions N] [--records N] [--json FILE]`, or `--instructions [--bless]`. Without names every figure is
//! taken, which needs about six minutes. Invariant: every figure runs in a state directory of its own and is
//! bounded in time, and whatever happens, an interrupt included, no process and no directory stays behind.
#![expect(clippy::print_stderr, reason = "it says how the run goes; figures are printed by `report`")]

mod agent;
mod commands;
mod crowd;
mod drain;
mod fanout;
mod growth;
mod guard;
mod ingest;
mod instructions;
mod latency;
mod memory;
mod overhead;
mod recovery;
mod relay;
mod replay;
mod report;
mod search;
mod stage;
mod store;
mod web;

use report::Report;
use std::{panic, path::PathBuf, process::ExitCode, time::Instant};

/// What a run is asked to do.
struct Plan {
    /// The names of figures; empty is all.
    wanted: Vec<String>,
    /// How often what varies is repeated.
    rounds: usize,
    /// How many live sessions F6 and F8 hold.
    sessions: usize,
    /// How many records F3 and F8 store, F10 a thousandth of them in each session, and F13 ten times as many.
    records: u64,
    json: PathBuf,
}

/// One figure: its name, and what takes it.
type Figure = (&'static str, fn(&Plan, &mut Report));

const FIGURES: [Figure; 13] = [
    ("F1", fanout::measure),
    ("F2", latency::measure),
    ("F3", replay::measure),
    ("F4", commands::warm),
    ("F5", commands::cold),
    ("F6", memory::measure),
    ("F7", crowd::measure),
    ("F8", recovery::measure),
    ("F9", ingest::measure),
    ("F10", growth::measure),
    ("F11", web::measure),
    ("F12", overhead::measure),
    ("F13", search::measure),
];

fn plan(arguments: impl Iterator<Item = String>) -> Result<Plan, String> {
    let json = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/bench.json"));
    let mut plan = Plan { wanted: Vec::new(), rounds: 3, sessions: 200, records: 100_000, json };
    let mut arguments = arguments;
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        let number = |text: String| text.parse::<usize>().map_err(|_| format!("{text:?} is no number"));
        match argument.as_str() {
            "--rounds" => plan.rounds = number(value()?)?.max(1),
            "--sessions" => plan.sessions = number(value()?)?.max(1),
            "--records" => plan.records = number(value()?)?.max(1) as u64,
            "--json" => plan.json = value()?.into(),
            name if FIGURES.iter().any(|(known, _)| *known == name) => plan.wanted.push(argument),
            other => {
                let known = FIGURES.map(|(name, _)| name).join(" ");
                return Err(format!(
                    "{other:?} is no figure; there are {known}, --rounds, --sessions, --records and --json"
                ));
            }
        }
    }
    Ok(plan)
}

/// Runs the program.
pub fn run() -> ExitCode {
    let mut arguments = std::env::args().skip(1).peekable();
    if arguments.next_if(|first| first == agent::SERVE).is_some() {
        return agent::serve();
    }
    if arguments.next_if(|first| first == agent::WRITE).is_some() {
        return agent::write(&arguments.next().unwrap_or_default());
    }
    if arguments.next_if(|first| first == "--instructions").is_some() {
        return instructions::run(arguments.next().as_deref() == Some("--bless"));
    }
    let plan = match plan(arguments) {
        Ok(plan) => plan,
        Err(why) => {
            eprintln!("vibes-bench: {why}");
            return ExitCode::from(2);
        }
    };
    if cfg!(debug_assertions) {
        eprintln!("vibes-bench: built without --release: these figures mean nothing");
    }
    guard::watch();
    let mut report = Report::begin();
    let mut failed = false;
    for (name, measure) in FIGURES {
        if !plan.wanted.is_empty() && !plan.wanted.iter().any(|wanted| wanted == name) {
            continue;
        }
        let began = Instant::now();
        // A figure that cannot be taken is said and does not hide the others.
        let taken = panic::catch_unwind(panic::AssertUnwindSafe(|| measure(&plan, &mut report)));
        eprintln!("# {name} took {:.1} s", began.elapsed().as_secs_f64());
        if taken.is_err() {
            eprintln!("# {name} could not be taken, see above");
            failed = true;
        }
    }
    match report.write(&plan.json) {
        Ok(()) => eprintln!("# written to {}", plan.json.display()),
        Err(error) => {
            eprintln!("vibes-bench: {} cannot be written: {error}", plan.json.display());
            failed = true;
        }
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
