//! What an agent is given in its environment: names are written down, values never. Whoever reads the state directory,
//! a log, a list or an error finds none; what the agent itself prints is its own matter.

use serde_json::json;
use std::{fs, path::Path};
use vibes_tests::{TestEnv, oracle, processes};

/// Every file below a directory in which the secret stands.
fn holding(dir: &Path, secret: &str) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("it can be read").filter_map(Result::ok);
    entries
        .flat_map(|entry| {
            let path = entry.path();
            if path.is_dir() {
                return holding(&path, secret);
            }
            // A socket cannot be read, and what was removed meanwhile holds nothing.
            let bytes = fs::read(&path).unwrap_or_default();
            let holds = bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
            if holds { vec![path.display().to_string()] } else { Vec::new() }
        })
        .collect()
}

/// Whether a process has it in its environment.
fn knows(pid: i32, secret: &str) -> bool {
    let environ = fs::read(format!("/proc/{pid}/environ")).expect("it lives");
    String::from_utf8_lossy(&environ).contains(secret)
}

#[test]
fn fault_89_what_an_agents_environment_holds_is_written_nowhere() {
    let env = TestEnv::with(&[("VIBES_LOG", "trace")]);
    let secret = format!("canary{}", uuid::Uuid::new_v4().simple());
    let mut said = String::new();
    // With the secret in its own environment, as a person's shell has it. The first one starts the daemon, too.
    let mut vibes = |args: &[&str]| {
        let ran = env.spawn_vibes(args, "", &[("API_TOKEN", &secret)]).wait();
        said.push_str(&format!("{}\n{}\n{}\n", ran.args, ran.stdout, ran.stderr));
        ran
    };
    let run = ["run", "fake", "--env", "API_TOKEN", "--wait-ready", "-d"];
    let session = vibes(&[&run[..], &["say hi"]].concat()).ok().line().to_owned();
    let other = vibes(&["run", "fake", "--wait-ready", "-d", "say hi"]).ok().line().to_owned();
    let mut ada = env.client("ada");
    let agent = processes::of(&mut ada, &session, "agent_pid");
    assert!(knows(agent, &secret), "this agent was given it");
    assert!(!knows(processes::of(&mut ada, &other, "agent_pid"), &secret), "this one was not");
    // It crashes and comes back with what the daemon remembers; the daemon is killed and forgets.
    ada.subscribe(&session, 0, "writer");
    ada.prompt(&session, "stderr 2000 last words\nkill 9");
    ada.fact(&session, "agent_exited");
    ada.prompt(&session, "say back");
    ada.said(&session, "back");
    assert!(knows(processes::of(&mut ada, &session, "agent_pid"), &secret), "the next start has it again");
    env.daemon().kill9();
    vibes(&["kill", &session]).ok();
    // Starts that fail, each in its own way.
    let bad = [["--", "--opts", "die-on-init"], ["--", "--opts", "bad-init"], ["--cwd", "/nowhere", "--"]];
    for more in bad {
        assert_ne!(vibes(&[&run[..5], &more[..]].concat()).code, 0, "{more:?}");
    }
    vibes(&["run", "nobody", "--env", "API_TOKEN", "-d", "x"]);
    let mut ada = env.client("ada");
    let mut asked =
        |fields: serde_json::Value| said.push_str(&ada.request("create_session", fields).to_string());
    asked(json!({"agent": "fake", "cwd": 7, "env": {"API_TOKEN": secret}}));
    asked(json!({"agent": "fake", "cwd": env.work(), "env": [secret]}));
    asked(json!({"agent": "fake", "cwd": env.work(), "env": {"API_TOKEN": secret, "PATH": "/nowhere"}}));
    asked(json!({"agent": "fake", "cwd": env.work(), "env": {"A=B": secret}}));
    asked(json!({"agent": "fake", "cwd": env.work(), "env": {"API_TOKEN": format!("{secret}\0")}}));
    let mut shown = |args: &[&str]| {
        let ran = env.vibes(args);
        said.push_str(&format!("{}\n{}\n", ran.stdout, ran.stderr));
    };
    for session in [&session, &other] {
        shown(&["show", session]);
        shown(&["show", "--json", session]);
        shown(&["logs", session]);
    }
    for args in
        [&["ls", "--all", "--json"][..], &["agents", "--json"], &["daemon", "status", "--json"], &["doctor"]]
    {
        shown(args);
    }
    assert!(said.contains("API_TOKEN"), "the name may be told: {said}");
    assert!(!said.contains(&secret), "{said}");
    let journals = oracle::check(&env);
    assert!(!format!("{journals:?}").contains(&secret), "{journals:?}");
    assert!(env.processes().iter().all(|process| !process.command.contains(&secret)));
    assert_eq!(holding(env.root(), &secret), [""; 0]);
    // The log is written by a thread of its own: what it says last comes with the end of the daemon.
    let daemon = env.daemon();
    env.vibes(&["daemon", "stop", "--agents"]).ok();
    daemon.gone();
    assert!(fs::read_dir(env.state().logs()).is_ok_and(|mut files| files.next().is_some()), "there is a log");
    assert_eq!(holding(env.root(), &secret), [""; 0]);
}
