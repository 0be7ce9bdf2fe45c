//! `vibesd`: the daemon of vibes, and the programs that come with it.
//!
//! Invariant: prints only here, before it serves: `ready` on stdout, or the reason on stderr. Everything later goes to
//! the log.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod attention;
mod budget;
mod clients;
mod config;
mod connection;
mod dispatch;
mod doctor;
mod errand;
mod focus;
mod git;
mod handlers;
mod instance;
mod known;
mod listen;
mod memory;
mod outlet;
mod paths;
mod ports;
mod rules;
mod server;
mod shell;
mod signals;
mod templates;
mod triggers;
mod web;
mod wire;
mod words;
mod worktree;
mod writer;

use anyhow::Context;
use clap::{Parser, Subcommand};
use std::{fs::File, io::Write, process::ExitCode};

/// How many lines of the log may wait for a slow disk; their places take memory from the start.
const LOG_LINES: usize = 4096;

/// Owns coding-agent sessions. `vibes` starts it when it is needed.
#[derive(Parser)]
#[command(name = "vibesd", version)]
struct Args {
    #[command(subcommand)]
    command: Option<Verb>,
}

#[derive(Subcommand)]
enum Verb {
    /// Serve (the default).
    Run {
        /// Leave the terminal's session, and let go of the standard streams once ready.
        #[arg(long)]
        detach_ready: bool,
        /// Only read the configuration and say whether it is right.
        #[arg(long)]
        check: bool,
    },
    /// Run an embedded agent on stdin and stdout.
    Agent {
        #[command(subcommand)]
        which: Embedded,
    },
    /// Tell what is configured, and where that is from.
    Config {
        #[command(subcommand)]
        what: config::tell::Verb,
    },
    /// Check the state directory, the store and the runners.
    Doctor {
        /// End what nobody owns.
        #[arg(long)]
        reap: bool,
        /// Mend what loses nothing, and reap.
        #[arg(long)]
        fix: bool,
    },
}

#[derive(Subcommand)]
enum Embedded {
    /// Commands for `sh`, with permission.
    Shell,
}

fn main() -> ExitCode {
    let result = match Args::parse().command.unwrap_or(Verb::Run { detach_ready: false, check: false }) {
        Verb::Run { check: true, .. } => config::Config::read().map(|_| ExitCode::SUCCESS),
        Verb::Run { detach_ready, .. } => serve(detach_ready),
        Verb::Agent { which: Embedded::Shell } => shell::run().map(|()| ExitCode::SUCCESS),
        Verb::Config { what } => config::tell::run(what),
        Verb::Doctor { reap, fix } => doctor::run(reap, fix),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("vibesd: {error:#}");
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn serve(detach: bool) -> anyhow::Result<ExitCode> {
    memory::settle();
    if detach {
        // Fails only for a process that leads its group already, which is as good.
        let _ = rustix::process::setsid();
    }
    let config = config::Config::read()?;
    paths::private_dir(config.dir.root())?;
    // Held until the end: dropping it flushes the log.
    let _log = log(&config.log, &config.dir.logs(), detach)?;
    tell_of_panics();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(server::run(config, move || ready(detach)))?;
    // Tasks that wait for a blocked file system must not hold up the end.
    runtime.shutdown_timeout(std::time::Duration::from_millis(200));
    Ok(ExitCode::SUCCESS)
}

fn ready(detach: bool) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout();
    // Whoever waited may be gone; the daemon serves all the same.
    let _ = writeln!(stdout, "ready").and_then(|()| stdout.flush());
    if detach {
        let null =
            File::options().read(true).write(true).open("/dev/null").context("cannot open /dev/null")?;
        rustix::stdio::dup2_stdin(&null)?;
        rustix::stdio::dup2_stdout(&null)?;
        rustix::stdio::dup2_stderr(&null)?;
    }
    Ok(())
}

/// A panic is contained where it costs one session or one client; the log is then all that tells of it. In the
/// store's writer it ends the process: agents go on, and the next daemon begins from what was committed.
fn tell_of_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        tracing::error!("{panic}\n{}", std::backtrace::Backtrace::force_capture());
        usual(panic);
        // The first thread's end is the daemon's; taking its half-begun runtime down could wait for ever.
        if matches!(std::thread::current().name(), Some(vibes_core::journal::WRITER | "main")) {
            // The log is written by a thread of its own, which needs a moment.
            std::thread::sleep(std::time::Duration::from_millis(100));
            std::process::abort();
        }
    }));
}

/// Logs to a file a day, the last seven kept; in the foreground to stderr. What is logged is in the configuration.
fn log(
    level: &str,
    dir: &std::path::Path,
    to_file: bool,
) -> anyhow::Result<Option<tracing_appender::non_blocking::WorkerGuard>> {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new(config::Config::DEFAULT_LOG));
    if !to_file {
        let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_ansi(colours)
            .with_writer(std::io::stderr)
            .init();
        return Ok(None);
    }
    paths::private_dir(dir)?;
    let file = tracing_appender::rolling::Builder::new()
        .rotation(tracing_appender::rolling::Rotation::DAILY)
        .filename_prefix("vibesd")
        .filename_suffix("log")
        .max_log_files(7)
        .build(dir)
        .with_context(|| format!("cannot log to {}", dir.display()))?;
    let (writer, guard) = tracing_appender::non_blocking::NonBlockingBuilder::default()
        .buffered_lines_limit(LOG_LINES)
        .finish(file);
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(writer).init();
    Ok(Some(guard))
}
