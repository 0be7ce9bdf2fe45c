//! The floor: what no daemon can beat. The same agent writes into a pipe; one thread reads it, appends to a file and
//! writes the same bytes to every socket.

use super::agent;
use std::{
    fs::File,
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    process::{Command, Stdio},
    thread::{self, JoinHandle},
};

/// How much is taken from the pipe at once.
const CHUNK: usize = 256 * 1024;

/// Starts the relay of a script's lines; gives the readers' ends, and the thread that ends with the script.
pub fn start(dir: &Path, script: &str, readers: usize) -> (Vec<UnixStream>, JoinHandle<()>) {
    let pairs = (0..readers).map(|_| UnixStream::pair().expect("a pair of sockets can be made"));
    let (mut writers, ends): (Vec<_>, Vec<_>) = pairs.unzip();
    let mut file = File::create(dir.join("relay.out")).expect("a file can be made");
    let mut agent = Command::new(std::env::current_exe().expect("a running program has a path"))
        .args([agent::WRITE, script])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the agent can be started");
    let mut pipe = agent.stdout.take().expect("its output is piped");
    let relay = thread::spawn(move || {
        let mut chunk = vec![0; CHUNK];
        while let Ok(count @ 1..) = pipe.read(&mut chunk) {
            file.write_all(&chunk[..count]).expect("the disk has room");
            for writer in &mut writers {
                // A reader that has seen the end may be gone.
                let _ = writer.write_all(&chunk[..count]);
            }
        }
        drop(pipe);
        agent.wait().expect("the agent was started");
    });
    (ends, relay)
}
