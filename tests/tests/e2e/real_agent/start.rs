//! An agent that does not start: not installed, wrong flags, signed out. And what it opens and leaves when it does.

use super::{answered, of_agent};
use serde_json::{Value, json};
use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
};
use vibes_tests::{Real, Wire, agents::Agent, processes};

pub fn cannot(agent: &'static Agent) {
    let Some(real) = Real::prepared(agent) else { return };
    let config = format!(
        "[agents.flagged]\ncommand = [{:?}, \"--no-such-flag-as-this\"{}]\n",
        agent.program, agent.flags
    );
    let _ = fs::create_dir_all(real.env.path("cfg/vibes"));
    fs::write(real.env.path("cfg/vibes/config.toml"), config).expect("a file can be written");
    real.env.daemon();
    // Not installed, as far as this terminal knows.
    let program = real.env.root().join("bin").join(agent.program);
    let away = real.env.root().join("away");
    fs::rename(&program, &away).expect("a file can be moved");
    let ran = real.env.vibes(&["run", agent.preset, "-d"]);
    assert_ne!(ran.code, 0);
    assert!(ran.stderr.contains(agent.program) && ran.stderr.contains("install"), "{}", ran.stderr);
    fs::rename(&away, &program).expect("a file can be moved");
    if agent.refuses_flags {
        let ran = real.env.vibes(&["run", "flagged", "--wait-ready", "-d"]).exits(7);
        assert!(ran.stderr.contains("the agent exited with code"), "{}", ran.stderr);
    }
    let mut ada = real.client();
    if let Some((key, told)) = agent.keyless {
        let mut env = real.client_env(&mut ada);
        env.as_object_mut().expect("variables are an object").remove(key);
        assert_eq!(listed(&mut ada, agent.preset, &env)["signed_in"], false);
        let fields = json!({
            "agent": agent.preset, "cwd": real.env.work(), "env": env, "wait_ready": true, "subscribe": true,
        });
        let answer = ada.request("create_session", fields);
        if let Some(told) = told {
            let session = answer["session"]["id"].as_str().expect("it starts");
            ada.prompt(session, "hello without a key");
            let record = ada.fact(session, "turn_ended");
            assert_eq!(record["fact"]["outcome"], "failed", "{record}");
            assert!(record["fact"]["error"].to_string().contains(told), "{record}");
            real.env.vibes(&["kill", session]).ok();
            real.env.runner_gone(session);
        } else {
            assert_eq!(answer["code"], "AGENT_START_FAILED", "{answer}");
            assert!(answer["message"].to_string().contains("it wants credentials: "), "{answer}");
        }
    }
    // It starts after all, and can do what it is said to do.
    let session = real.create(&mut ada);
    let env = real.client_env(&mut ada);
    let said = listed(&mut ada, agent.preset, &env);
    assert_eq!(said["installed"], true);
    assert!(agent.keyless.is_none() || said["signed_in"] == true, "{said}");
    let shown = ada.ok("get_session", json!({"session_id": session}));
    for (can, option) in [("modes", "mode"), ("models", "model")] {
        let has = !shown["session"]["options"][option].is_null();
        let told = said["can"].as_array().is_some_and(|all| all.iter().any(|one| one == can));
        assert_eq!(has, told, "{can}: {shown}");
    }
    closed_off(&real);
    answered(&mut ada, &session, "hello");
    // Idle: at the end of its input it is gone, in order or not.
    ada.state(&session, "idle");
    real.env.vibes(&["suspend", &session]).ok();
    real.env.runner_gone(&session);
    let left = of_agent(&real);
    assert!(left.is_empty(), "alive after the end: {left:#?}");
    real.check();
}

/// What `list_agents` says of an agent to a client with this environment.
fn listed(wire: &mut Wire, agent: &str, env: &Value) -> Value {
    let answer = wire.ok("list_agents", json!({"env": env}));
    let agents = answer["agents"].as_array().expect("agents are a list");
    agents.iter().find(|one| one["id"] == agent).expect("the preset is listed").clone()
}

/// The ports that the agent listens on let nobody in who does not know its password.
fn closed_off(real: &Real) {
    for process in of_agent(real) {
        for port in processes::listens(process.pid) {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
            write!(stream, "GET /session HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
                .expect("it reads");
            let mut answer = String::new();
            // What comes before an error still counts.
            let _ = stream.read_to_string(&mut answer);
            assert!(answer.starts_with("HTTP/1.1 401"), "port {port} of {}: {answer}", process.command);
        }
    }
}
