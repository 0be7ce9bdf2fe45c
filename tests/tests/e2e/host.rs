//! The host around daemon, runners and agents: terminals and pipes that close, groups that are killed, numbers that
//! are used again, directories that are full of the dead.

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use std::{
    fs,
    io::Read,
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
};
use vibes_tests::{TestEnv, Wire, eventually, oracle, processes};

/// A process that has nothing to do with vibes and leads a group of its own. It ends with the test.
struct Stranger(Child);

impl Stranger {
    fn new() -> Self {
        Self(Command::new("sleep").arg("600").env_clear().process_group(0).spawn().expect("it starts"))
    }

    fn is_unharmed(&mut self) -> bool {
        self.0.try_wait().expect("it is ours").is_none()
    }

    /// Gives its number to what a runner wrote about itself.
    fn takes_the_number_in(&mut self, meta: &Path) {
        let text = fs::read(meta).expect("a runner wrote it");
        let mut said: Value = serde_json::from_slice(&text).expect("it is JSON");
        // Nothing but its start, told in ticks, tells two processes of one number apart. No number comes round in a tick.
        let of_their_tick = |stranger: u32| {
            let start = processes::start_time(stranger.cast_signed());
            ["start_time", "agent_start_time"].iter().any(|name| said[name].as_u64() == Some(start))
        };
        while of_their_tick(self.0.id()) {
            *self = Self::new();
        }
        (said["pid"], said["agent_pid"]) = (self.0.id().into(), self.0.id().into());
        fs::write(meta, said.to_string()).expect("it can be written");
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A shell in this environment with a script; `$VIBES` is the program.
fn shell(env: &TestEnv, script: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", script]).env_clear().envs(env.variables()).env("VIBES", env.binary("vibes"));
    shell.current_dir(env.work()).stdin(Stdio::null());
    shell
}

/// The only session.
fn only_session(wire: &mut Wire) -> String {
    let list = wire.ok("list_sessions", json!({}));
    assert_eq!(list["sessions"].as_array().map(Vec::len), Some(1), "{list}");
    list["sessions"][0]["id"].as_str().expect("a session has an id").to_owned()
}

#[test]
fn fault_14_a_session_outlives_the_terminal_it_was_started_in() {
    let env = TestEnv::new();
    let (go, works) = (env.path("go"), env.path("works"));
    let (terminal, inside) = pty_process::blocking::open().expect("a terminal can be opened");
    // The daemon is started from the terminal too. `cat` keeps the shell there for as long as there is a terminal.
    let mut shell = pty_process::blocking::Command::new("sh")
        .args(["-c", "\"$VIBES\" run fake -d \"$PROMPT\" & cat"])
        .env_clear()
        .envs(env.variables())
        .env("VIBES", env.binary("vibes"))
        .env("PROMPT", format!("touch {works}\nsleep_until {go}\nsay lived on"))
        .current_dir(env.work())
        .spawn(inside)
        .expect("a shell can be started in a terminal");
    eventually("the agent works", || Path::new(&works).exists().then_some(()));
    let daemon = env.running_daemon().expect("it was started").pid;
    drop(terminal);
    let end = eventually("the shell ends with its terminal", || shell.try_wait().expect("it is ours"));
    assert!(!end.success(), "it was hung up: {end}");
    fs::write(&go, "").expect("a file can be made");
    let mut ada = env.client("ada");
    let session = only_session(&mut ada);
    ada.subscribe(&session, 0, "writer");
    ada.said(&session, "lived on");
    assert_eq!(ada.fact(&session, "turn_ended")["fact"]["outcome"], "finished");
    assert_eq!(env.running_daemon().map(|daemon| daemon.pid), Some(daemon), "the same daemon");
    oracle::check(&env);
}

#[test]
fn fault_15_a_pipe_ends_with_the_command_line_though_it_started_a_daemon_and_an_agent() {
    let env = TestEnv::new();
    // 7 is what a script may have open besides: a lock, a pipe to somebody who waits for its end.
    let script = "exec 7>&1; \"$VIBES\" run fake --wait-ready -d 'say hi' 2>&1 | cat";
    let mut shell = shell(&env, script).stdout(Stdio::piped()).spawn().expect("there is a shell");
    let mut pipe = shell.stdout.take().expect("it is piped");
    let reader = thread::spawn(move || {
        let mut text = String::new();
        pipe.read_to_string(&mut text).map(|_| text)
    });
    eventually("the pipe ends", || reader.is_finished().then_some(()));
    let said = reader.join().expect("it only reads").expect("it is text");
    assert!(shell.wait().expect("it is ours").success(), "{said}");
    let mut ada = env.client("ada");
    let session = only_session(&mut ada);
    assert_eq!(said.trim(), session);
    ada.subscribe(&session, 0, "writer");
    ada.prompt(&session, "say still here");
    ada.said(&session, "still here");
}

#[test]
fn fault_16_a_daemon_that_is_killed_with_its_group_leaves_its_agents() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    ada.prompt(&session, &format!("sleep_until {}\nsay lived on", env.path("go")));
    ada.fact(&session, "turn_started");
    let agent = processes::of(&mut ada, &session, "agent_pid");
    let daemon = env.daemon();
    let group = Pid::from_raw(daemon.pid).expect("0 is no process");
    kill_process_group(group, Signal::KILL).expect("the daemon leads a group of its own");
    daemon.gone();
    env.daemon();
    fs::write(env.path("go"), "").expect("a file can be made");
    let mut again = env.client("ada");
    again.subscribe(&session, 0, "writer");
    again.said(&session, "lived on");
    assert_eq!(again.fact(&session, "turn_ended")["fact"]["outcome"], "finished");
    assert_eq!(processes::of(&mut again, &session, "agent_pid"), agent, "it was adopted");
    oracle::check(&env);
}

#[test]
fn fault_16_a_host_that_kills_every_process_leaves_a_session_that_says_so_and_goes_on() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    let [go, never] = ["go", "never"].map(|name| env.path(name));
    ada.prompt(&session, &format!("say before\nsleep_until {go}\nchunks 300 100 0 f\nsleep_until {never}"));
    ada.said(&session, "before");
    // What the agent says last no daemon has read.
    processes::signal(env.daemon().pid, Signal::STOP);
    fs::write(go, "").expect("a file can be made");
    let spool = env.state().runners().join(format!("{session}.1/out.0000000000000000"));
    eventually("it is in the spool", || {
        let bytes = fs::read(&spool).ok()?;
        (bytes.ends_with(b"\n") && String::from_utf8_lossy(&bytes).contains("f#299 ")).then_some(())
    });
    // As a service manager does that takes the whole control group down.
    for process in env.processes() {
        processes::signal(process.pid, Signal::KILL);
    }
    eventually("nothing runs", || env.processes().is_empty().then_some(()));
    env.daemon();
    let mut again = env.client("ada");
    again.subscribe(&session, 0, "writer");
    assert_eq!(again.fact(&session, "turn_ended")["fact"]["outcome"], "unknown");
    assert_eq!(oracle::check_chunks(&session, again.stream(&session), "f"), 300);
    assert_eq!(again.state(&session, "suspended")["reason"], "restart");
    env.vibes(&["doctor"]).ok();
    again.prompt(&session, "say again");
    again.said(&session, "again");
    oracle::check(&env);
}

#[test]
fn fault_17_a_stop_and_a_check_up_never_signal_who_has_a_runners_number_now() {
    let env = TestEnv::started();
    let mut stranger = Stranger::new();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    let meta = |session: &str| env.state().runners().join(format!("{session}.1/meta.json"));
    let (runner, agent) =
        (processes::of(&mut ada, &session, "pid"), processes::of(&mut ada, &session, "agent_pid"));
    // It cannot carry out the stop, so that the daemon has to end it by its number or by its marker.
    processes::signal(runner, Signal::STOP);
    stranger.takes_the_number_in(&meta(&session));
    let text = fs::read(meta(&session)).expect("it is there");
    ada.ok("kill_session", json!({"session_id": session}));
    eventually("runner and agent are gone", || {
        (!processes::alive(runner) && !processes::alive(agent)).then_some(())
    });
    assert!(stranger.is_unharmed(), "the kill hit a stranger");
    env.vibes(&["daemon", "stop"]).ok();
    let unknown = meta("00000000-0000-4000-8000-000000000001");
    let dir = unknown.parent().expect("it lies in a directory");
    fs::create_dir(dir).expect("it can be made");
    fs::write(&unknown, text).expect("it can be written");
    env.vibes(&["doctor", "--reap"]);
    assert!(!dir.exists(), "it was reaped");
    assert!(stranger.is_unharmed(), "the check-up hit a stranger");
}

#[test]
fn fault_18_without_a_daemon_a_runner_whose_directory_is_deleted_ends_itself_and_its_agent() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    ada.prompt(&session, "say working\nignore_term\nno_answer");
    ada.said(&session, "working");
    let both = ["pid", "agent_pid"].map(|name| processes::of(&mut ada, &session, name));
    env.daemon().kill9();
    fs::remove_dir_all(env.state().runners().join(format!("{session}.1"))).expect("it can be removed");
    eventually("both are gone", || both.iter().all(|pid| !processes::alive(*pid)).then_some(()));
    env.daemon();
    let mut again = env.client("ada");
    again.subscribe(&session, 0, "writer");
    assert_eq!(again.fact(&session, "turn_ended")["fact"]["outcome"], "unknown");
    assert_eq!(again.text(&session), "working");
    again.state(&session, "suspended");
}

#[test]
fn fault_27_living_runners_are_found_among_the_dead_while_the_daemon_serves() {
    const LIVING: usize = 20;
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let sessions: Vec<String> = (0..LIVING).map(|_| ada.create(&env, json!({}))).collect();
    let pids = |wire: &mut Wire, name| -> Vec<i32> {
        sessions.iter().map(|session| processes::of(wire, session, name)).collect()
    };
    let (runners, agents) = (pids(&mut ada, "pid"), pids(&mut ada, "agent_pid"));
    env.daemon().kill9();
    // Dead ones of earlier starts, which are cleared away, and of sessions that nobody knows, which are told.
    let dead = |name: String| {
        let dir = env.state().runners().join(name);
        fs::create_dir(&dir).expect("it can be made");
        fs::write(dir.join("meta.json"), "{\"pid\":1,\"agent_pid\":1}").expect("it can be written");
        dir
    };
    let earlier: Vec<_> = sessions.iter().map(|session| dead(format!("{session}.0"))).collect();
    let unknown: Vec<_> =
        (0..500 - LIVING).map(|n| dead(format!("{n:08x}-0000-4000-8000-000000000000.1"))).collect();
    // A runner that is stopped cannot be adopted: what is answered now is answered before.
    runners.iter().for_each(|pid| processes::signal(*pid, Signal::STOP));
    env.daemon();
    let mut again = env.client("ada");
    let links = |wire: &mut Wire, link: &str| {
        let list = wire.ok("list_sessions", json!({}));
        list["sessions"].as_array().into_iter().flatten().filter(|session| session["link"] == link).count()
    };
    assert_eq!(links(&mut again, "adopting"), LIVING);
    runners.iter().for_each(|pid| processes::signal(*pid, Signal::CONT));
    eventually("all are adopted", || (links(&mut again, "live") == LIVING).then_some(()));
    assert_eq!(pids(&mut again, "agent_pid"), agents, "the same agents");
    eventually("the dead of earlier starts are cleared away", || {
        earlier.iter().all(|dir| !dir.exists()).then_some(())
    });
    let told = format!("{} more agents of sessions that the store does not know", unknown.len() - 5);
    eventually("the others are told", || {
        again.ok("daemon_status", json!({})).to_string().contains(&told).then_some(())
    });
    assert!(unknown.iter().all(|dir| dir.exists()), "what they said may be all that is left");
}

#[test]
fn the_ports_that_an_agent_listens_at_are_told() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    let port = env.path("port");
    let server = format!(
        "import socket,time;s=socket.create_server(('127.0.0.1',0));open('{port}.new','w').write(str(s.getsockname()[1]));\
         __import__('os').rename('{port}.new','{port}');time.sleep(600)"
    );
    fs::write(env.path("server.py"), server).expect("it is written");
    ada.prompt(&session, &format!("spawn python3 {}", env.path("server.py")));
    let port = eventually("the server listens", || fs::read_to_string(&port).ok());
    let doctor = env.vibes(&["doctor"]).ok().stdout;
    let told = format!("session {} listens at 127.0.0.1:{port}: python3", &session[..8]);
    assert!(doctor.contains(&told), "{told}: {doctor}");
    let shown = env.vibes(&["show", &session]).ok().stdout;
    assert!(shown.contains("listens at") && shown.contains(&format!("127.0.0.1:{port}: python3")), "{shown}");
    let shown = env.vibes(&["show", &session, "--json"]).ok().json();
    assert_eq!(shown["ports"][0]["address"], format!("127.0.0.1:{port}"));
    ada.ok("kill_session", json!({"session_id": session}));
    assert!(!env.vibes(&["doctor"]).ok().stdout.contains("listens at"));
}
