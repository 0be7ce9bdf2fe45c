//! The daemon's lives: it is started, serves for a random moment, and is killed.
//!
//! Invariant: the daemon is a child of ours, so that "killed" is known from the kernel and not by looking.

use super::ground::{Ground, count};
use crate::{dice::Dice, processes};
use rustix::process::Signal;
use std::{
    fs::{self, File},
    io::Read,
    process::{Child, ChildStdout, Command, Stdio},
    thread,
    time::Duration,
};

/// The longest life after the daemon is ready or at work, in microseconds.
const LIFE: u64 = 60_000;
/// The longest life of one that is killed before it said that it is ready, in microseconds.
const BIRTH: u64 = 15_000;

pub(super) struct Keeper<'a, 'b> {
    ground: &'a Ground<'b>,
    dice: Dice,
    child: Option<Child>,
}

impl<'a, 'b> Keeper<'a, 'b> {
    pub(super) fn new(ground: &'a Ground<'b>, dice: Dice) -> Self {
        Self { ground, dice, child: None }
    }

    fn start(&self) -> (Child, ChildStdout) {
        let env = &self.ground.env;
        let errors = File::options().create(true).append(true).open(env.path("vibesd.err"));
        let mut child = Command::new(env.binary("vibesd"))
            .args(["run", "--detach-ready"])
            .env_clear()
            .envs(env.variables())
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors.expect("a file for the daemon's errors can be made"))
            .spawn()
            .expect("the daemon can be started");
        let stdout = child.stdout.take().expect("stdout is piped");
        (child, stdout)
    }

    fn is_ready(&self, mut stdout: ChildStdout) -> bool {
        let mut word = [0; 6];
        stdout.read_exact(&mut word).is_ok() && word == *b"ready\n"
    }

    fn errors(&self) -> String {
        fs::read_to_string(self.ground.env.path("vibesd.err")).unwrap_or_default()
    }

    /// A daemon that serves, and stays.
    pub(super) fn serve(&mut self) {
        let (mut first, stdout) = self.start();
        // Now and then two start at once: exactly one may serve.
        if self.dice.one_in(50) {
            let (mut second, other) = self.start();
            let (ready, other_ready) = (self.is_ready(stdout), self.is_ready(other));
            assert!(
                ready != other_ready,
                "of two daemons one serves, not ({ready}, {other_ready}): {}",
                self.errors()
            );
            if other_ready {
                std::mem::swap(&mut first, &mut second);
            }
            let refused = second.wait().expect("a child can be waited for");
            assert_eq!(refused.code(), Some(1), "the second daemon says that one runs: {}", self.errors());
        } else {
            let ready = self.is_ready(stdout);
            assert!(ready, "the daemon does not start: {}", self.errors());
        }
        self.child = Some(first);
        self.ground.serves(true);
    }

    /// One life and its end.
    pub(super) fn cycle(&mut self) {
        // On its birth, on being found again, and most often in the middle of work, however slow the machine is.
        match self.dice.roll(8) {
            0 => {
                let (child, _stdout) = self.start();
                self.child = Some(child);
                self.live(BIRTH);
            }
            1 | 2 => {
                self.serve();
                self.live(LIFE);
            }
            _ => {
                self.serve();
                self.ground.until_it_moves();
                self.live(LIFE);
            }
        }
        let runner = self.dice.one_in(25).then(|| self.dice.child());
        let before = self.dice.one_in(2);
        if let (Some(dice), true) = (&runner, before) {
            self.kill_a_runner(dice.clone());
        }
        self.ground.serves(false);
        let mut child = self.child.take().expect("it was just started");
        child.kill().expect("a child can be killed");
        child.wait().expect("a child can be waited for");
        if let (Some(dice), false) = (runner, before) {
            self.kill_a_runner(dice);
        }
        count(&self.ground.sum.kills);
    }

    /// The random moment is the point of this test; it waits for nothing.
    fn live(&mut self, longest: u64) {
        thread::sleep(Duration::from_micros(self.dice.roll(longest)));
    }

    fn kill_a_runner(&self, mut dice: Dice) {
        let Ok(dirs) = fs::read_dir(self.ground.env.state().runners()) else { return };
        let mut dirs: Vec<_> = dirs.filter_map(|dir| Some(dir.ok()?.path())).collect();
        dirs.sort();
        if dirs.is_empty() {
            return;
        }
        let dir = dirs.swap_remove(dice.roll(dirs.len() as u64) as usize);
        let meta = fs::read(dir.join("meta.json")).unwrap_or_default();
        let meta: serde_json::Value = serde_json::from_slice(&meta).unwrap_or_default();
        let Some(pid) = meta["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()) else { return };
        // A directory may outlive its runner for a moment, and its number may be another's by now.
        let dir = dir.display().to_string();
        if processes::command(pid)
            .is_some_and(|command| command.contains("vibes-runner") && command.contains(&dir))
        {
            processes::signal(pid, Signal::KILL);
            count(&self.ground.sum.runners);
        }
    }

    /// The last daemon, for whoever waits for its end.
    pub(super) fn retire(self) -> Option<Child> {
        self.child
    }
}
