//! Runs a program of the person's, or posts to an address of theirs, with JSON that it is told.
//!
//! Invariant: what an agent said reaches them as data (JSON on standard input) and never as a part of a command or an address;
//! no redirect is followed; one that hangs is ended.

use std::{collections::BTreeMap, process::Stdio, time::Duration};
use tokio::{io::AsyncWriteExt, process::Command};
use vibes_core::{agent::launch, redact::redact};

/// The longest text of an agent, or of a program, that leaves, in characters.
pub const LONGEST: usize = 500;

/// Where and how errands are run.
#[derive(Debug, Clone)]
pub struct Errand<'a> {
    /// The daemon's own `PATH`.
    pub path: Option<&'a str>,
    /// What the program gets of the daemon's own environment.
    pub environment: &'a BTreeMap<String, String>,
    /// Its directory.
    pub cwd: &'a str,
    /// How long it may take.
    pub patience: Duration,
}

/// Text of an agent as it may leave.
pub fn outward(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let text = redact(&text);
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

/// Whether an address can be posted to.
pub fn is_address(url: &str) -> bool {
    (url.starts_with("http://") || url.starts_with("https://")) && !url.chars().any(char::is_control)
}

impl Errand<'_> {
    /// Posts JSON to an address. The error says why it was not taken.
    pub async fn post(&self, url: &str, json: &str) -> Result<(), String> {
        // Through its standard input: neither the address nor what is told stands in the list of processes.
        let quoted = |text: &str| {
            let text = text.replace('\\', "\\\\").replace('"', "\\\"");
            format!("\"{}\"", text.replace('\n', "\\n").replace('\r', "\\r").replace('\t', "\\t"))
        };
        let config = format!(
            "url = {}\nheader = \"Content-Type: application/json\"\ndata-binary = {}\n",
            quoted(url),
            quoted(json)
        );
        // No file of settings, no redirects (one is a failure: none may be followed), nothing but HTTP.
        let args = [
            "-q",
            "--silent",
            "--show-error",
            "--fail",
            "--globoff",
            "--location",
            "--max-redirs",
            "0",
            "--proto",
            "=http,https",
            "--max-time",
            "8",
            "--output",
            "/dev/null",
            "--config",
            "-",
        ];
        self.run("curl", &args.map(str::to_owned), config).await
    }

    /// Runs a program with input to its end, or ends it when it takes too long. The error says how it failed.
    pub async fn run(&self, program: &str, args: &[String], input: String) -> Result<(), String> {
        let program = launch::find_program(program, self.path, "/").map_err(|error| error.to_string())?;
        let child = Command::new(program)
            .args(args)
            .env_clear()
            .envs(self.environment)
            .current_dir(self.cwd)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn();
        let mut child = child.map_err(|error| error.to_string())?;
        let stdin = child.stdin.take();
        let done = async move {
            if let Some(mut stdin) = stdin {
                // One that does not read has no use for it.
                let _ = stdin.write_all(input.as_bytes()).await;
            }
            child.wait_with_output().await
        };
        match tokio::time::timeout(self.patience, done).await {
            Ok(Ok(output)) if output.status.success() => Ok(()),
            Ok(Ok(output)) => {
                let said = String::from_utf8_lossy(&output.stderr);
                let said: String = redact(said.trim()).chars().take(LONGEST).collect();
                let said = if said.is_empty() { said } else { format!(": {said}") };
                Err(format!("it ended badly ({}){said}", output.status))
            }
            Ok(Err(error)) => Err(format!("it could not be waited for: {error}")),
            Err(_) => Err(format!("it took more than {:?} and was ended", self.patience)),
        }
    }
}
