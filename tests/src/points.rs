//! Programs that stand still at a named point, and the test that says how they go on.
//!
//! Invariant: whoever reports gets exactly one answer, and a hook that is dropped answers nobody any more: what stands
//! then dies.

use crate::{PATIENCE, TestEnv};
use std::{
    cell::Cell,
    io::{BufRead, BufReader, Write},
    os::unix::net::{UnixListener, UnixStream},
    sync::mpsc,
    thread,
};
use vibes_runner::points::{PLAN, Point, SOCKET};

/// A program that stands at a point. Dropped without an answer, it dies.
#[derive(Debug)]
pub struct Held {
    /// The point's name.
    pub point: String,
    /// How often the process came by.
    pub hit: u32,
    /// The process.
    pub pid: i32,
    stream: UnixStream,
}

impl Held {
    fn read(stream: UnixStream) -> Option<Self> {
        let mut line = String::new();
        BufReader::new(stream.try_clone().ok()?).read_line(&mut line).ok()?;
        let mut words = line.split_whitespace();
        let point = words.next()?.to_owned();
        let (hit, pid) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        Some(Self { point, hit, pid, stream })
    }

    /// Says how it goes on: `go`, `kill` or `panic`. One that was killed meanwhile does not hear it.
    pub fn say(&self, word: &str) {
        let _ = writeln!(&self.stream, "{word}");
    }
}

/// Where held programs report.
#[derive(Debug)]
pub struct Hook {
    plan: String,
    path: String,
    held: mpsc::Receiver<Held>,
    came_by: Cell<Option<i32>>,
}

impl Hook {
    /// A hook for programs that come by a point for the `hit`th time, or whenever they do: they stand until they are
    /// told.
    pub fn holding(env: &TestEnv, point: Point, hit: Option<u32>) -> Self {
        Self::new(env, point, hit, Some)
    }

    /// A hook that kills the first one that comes by a point for the `hit`th time, after a look at what it leaves.
    pub fn killing(env: &TestEnv, point: Point, hit: u32, look: impl Fn(i32) + Send + 'static) -> Self {
        Self::first(env, point, hit, "kill", look)
    }

    /// A hook that says a word to the first one that comes by a point for the `hit`th time, after a look at it.
    pub fn first(
        env: &TestEnv,
        point: Point,
        hit: u32,
        word: &'static str,
        look: impl Fn(i32) + Send + 'static,
    ) -> Self {
        let mut said = false;
        Self::new(env, point, Some(hit), move |held| {
            if std::mem::replace(&mut said, true) {
                held.say("go");
                return None;
            }
            look(held.pid);
            held.say(word);
            Some(held)
        })
    }

    fn new(
        env: &TestEnv,
        point: Point,
        hit: Option<u32>,
        mut react: impl FnMut(Held) -> Option<Held> + Send + 'static,
    ) -> Self {
        let plan = format!("{}=hold{}", point.name(), hit.map(|hit| format!("@{hit}")).unwrap_or_default());
        let path = env.path("points");
        let listener = UnixListener::bind(&path).expect("the hook's path is free");
        let (sender, held) = mpsc::channel();
        // Ends with the test's process.
        thread::spawn(move || {
            let reports = listener.incoming().filter_map(Result::ok).filter_map(Held::read);
            for held in reports.filter_map(&mut react) {
                if sender.send(held).is_err() {
                    return;
                }
            }
        });
        Self { plan, path, held, came_by: Cell::new(None) }
    }

    /// The environment of programs that are to report here.
    pub fn variables(&self) -> [(&'static str, &str); 2] {
        [(PLAN, &self.plan), (SOCKET, &self.path)]
    }

    /// Waits for the next program that holds.
    #[track_caller]
    pub fn held(&self) -> Held {
        self.held.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("nothing came by {}", self.plan))
    }

    /// The process that came by first, if one did.
    pub fn came_by(&self) -> Option<i32> {
        let held = self.held.try_recv().ok().map(|held| held.pid);
        self.came_by.set(held.or(self.came_by.get()));
        self.came_by.get()
    }
}
