//! How many instructions a record costs on its way, counted by valgrind and compared with what is on file.
//!
//! Time on a shared machine says little; a count says exactly what a change did. Invariant: what a program does before
//! and after its records never counts: each figure is the difference of two runs, by the records between them. Counts
//! depend on the compiler, so with another one than the file names they are shown and not judged.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it prints a table of its own")]

use super::{guard, stage};
use serde_json::{Map, Value, json};
use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};
use vibes_tests::TestEnv;

/// How much more a record may cost than on file, in percent.
const TOLERANCE: f64 = 5.0;
/// Records in a round of `hot_path`.
const RECORDS: u64 = 200;
/// A scenario of `hot_path`, and its rounds in the shorter of two runs.
const SCENARIOS: [(&str, u64); 4] = [("ingest", 10), ("publish", 200), ("commit", 40), ("replay", 20)];
/// Records of the sessions that are drawn on a terminal.
const DRAWN: [u64; 2] = [500, 1_500];

/// Counts, and compares with the file, or writes it with `bless`.
pub fn run(bless: bool) -> ExitCode {
    if Command::new("valgrind").arg("--version").stdout(Stdio::null()).status().is_err() {
        eprintln!("########## valgrind is not installed: NO INSTRUCTION WAS COUNTED ##########");
        return ExitCode::SUCCESS;
    }
    guard::watch();
    let env = stage::empty();
    let hot_path = env.binary("vibes").with_file_name("examples").join("hot_path");
    let mut counted = Map::new();
    for (scenario, rounds) in SCENARIOS {
        let count = |rounds: u64| {
            let mut command = counting(&env, &hot_path);
            command.args([scenario, &rounds.to_string()]);
            let status = command.status().expect("valgrind can be started");
            assert!(status.success(), "{scenario} ended with {status}");
            instructions(&env)
        };
        let each = (count(rounds * 2) - count(rounds)) / (rounds * RECORDS) as f64;
        counted.insert(format!("core.{scenario}"), json!(each.round()));
    }
    counted.insert("vibes.logs".to_owned(), json!(drawn(&env).round()));
    judge(counted, bless)
}

fn log(env: &TestEnv) -> PathBuf {
    env.root().join("counted")
}

/// A program under valgrind, which leaves its count in [`log`].
fn counting(env: &TestEnv, program: &Path) -> Command {
    let mut command = Command::new("valgrind");
    let log = format!("--log-file={}", log(env).display());
    command
        .args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null", &log])
        .arg(program);
    command.env_clear().envs(env.variables()).current_dir(env.work()).stdin(Stdio::null());
    command
}

/// The count that valgrind left.
fn instructions(env: &TestEnv) -> f64 {
    let text = fs::read_to_string(log(env)).expect("valgrind leaves its log");
    let count = text
        .lines()
        .find_map(|line| line.split_once("refs:").map(|(_, count)| count.trim().replace(',', "")));
    count.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("no count in {text}"))
}

/// Instructions of `vibes logs` on a terminal for each record: reading, folding, sanitising, wrapping.
fn drawn(env: &TestEnv) -> f64 {
    env.daemon();
    let mut control = env.client("bench");
    let counts = DRAWN.map(|records| {
        let session = stage::filled(env, &mut control, records);
        let (mut terminal, inside) = pty_process::blocking::open().expect("a terminal can be opened");
        terminal.resize(pty_process::Size::new(30, 100)).expect("a terminal has a size");
        let plain = counting(env, &env.binary("vibes"));
        let command = pty_process::blocking::Command::new(plain.get_program())
            .args(plain.get_args())
            .args(["logs", &session])
            .env_clear()
            .envs(env.variables())
            .env("TERM", "xterm-256color")
            .current_dir(env.work());
        let mut child = command.spawn(inside).expect("valgrind can be started");
        let mut buffer = vec![0; 64 * 1024];
        // A terminal whose program has ended is an error to read.
        while matches!(terminal.read(&mut buffer), Ok(1..)) {}
        let status = child.wait().expect("it was started");
        assert!(status.success(), "vibes logs ended with {status}");
        instructions(env)
    });
    (counts[1] - counts[0]) / (DRAWN[1] - DRAWN[0]) as f64
}

fn judge(counted: Map<String, Value>, bless: bool) -> ExitCode {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("instructions.json");
    let rustc = Command::new("rustc").arg("--version").output();
    let rustc = rustc.map(|told| String::from_utf8_lossy(&told.stdout).trim().to_owned()).unwrap_or_default();
    // Without its name nothing is ever compared, and nobody would notice.
    if rustc.is_empty() {
        eprintln!(
            "vibes-bench: `rustc --version` tells nothing: the counts of one compiler are no measure of another's"
        );
        return ExitCode::FAILURE;
    }
    if bless {
        let whole = json!({"rustc": rustc, "instructions_per_record": counted});
        fs::write(&path, format!("{whole:#}\n")).expect("the file can be written");
    }
    let known: Value =
        fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
    let comparable = known["rustc"] == *rustc;
    let mut failed = false;
    for (name, count) in &counted {
        let (count, before) =
            (count.as_f64().unwrap_or(0.0), known["instructions_per_record"][name].as_f64());
        let change = before.map(|before| (count / before - 1.0) * 100.0);
        let word = match change {
            None => "not on file",
            Some(change) if change > TOLERANCE && comparable => {
                failed = true;
                "MORE THAN ON FILE"
            }
            Some(change) if change < -TOLERANCE && comparable => "less: `just instructions --bless` keeps it",
            Some(_) => "",
        };
        let change = change.map_or("-".to_owned(), |change| format!("{change:+.1} %"));
        println!("{name:<16} {count:>8} instructions/record {change:>9}  {word}");
    }
    if !comparable {
        eprintln!("########## counted with {rustc:?}, on file is {}: NOT JUDGED ##########", known["rustc"]);
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
