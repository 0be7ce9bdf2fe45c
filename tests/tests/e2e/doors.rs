//! Who gets in, by which names, and through which places: the socket, its directory, and the ids in requests.

use rustix::{
    process::{Uid, geteuid},
    thread::set_thread_res_uid,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::{PermissionsExt, chown, symlink},
    path::Path,
};
use vibes_protocol::wire::Request;
use vibes_tests::{TestEnv, Wire};

/// Nobody, as most systems number it.
const NOBODY: u32 = 65_534;

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("our own files can be opened up");
}

/// Every name below a directory.
fn everything(dir: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(dir).expect("it can be read").filter_map(Result::ok);
    entries
        .flat_map(|entry| {
            let path = entry.path();
            let mut below = if path.is_dir() { everything(&path) } else { BTreeSet::new() };
            below.insert(path.display().to_string());
            below
        })
        .collect()
}

#[test]
fn fault_81_another_user_is_turned_away_though_every_door_stands_open() {
    if !geteuid().is_root() {
        return eprintln!("SKIPPED: only root can be another user");
    }
    let env = TestEnv::started();
    let socket = env.state().socket();
    chmod(env.state().root(), 0o777);
    chmod(&socket, 0o777);
    let mine = || Wire::connect(&socket).request("list_sessions", json!({}));
    assert_eq!(mine()["type"], "session_list");
    let other = std::thread::spawn({
        let socket = socket.clone();
        move || {
            // This thread alone: what it connects carries its user.
            let nobody = Some(Uid::from_raw(NOBODY));
            set_thread_res_uid(nobody, nobody, nobody).expect("root may be anybody");
            let mut wire = Wire::connect(&socket);
            let _ = wire.try_ask("list_sessions", json!({}));
            wire.next_within(vibes_tests::PATIENCE)
        }
    });
    assert_eq!(other.join().expect("it does not panic"), None, "not a word");
    assert_eq!(mine()["type"], "session_list", "its own user is still served");
    chmod(env.state().root(), 0o700);
}

#[test]
fn fault_83_ids_are_never_paths() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({}));
    let before = everything(env.root());
    let golden = include_str!("../../../protocol/schema/v1/golden.ndjson");
    let long = "a".repeat(4096);
    let ids = [
        "",
        ".",
        "..",
        "../x",
        "../../etc/passwd",
        "/etc/passwd",
        "%2e%2e",
        "%2e%2e%2fx",
        "a\0b",
        "\0",
        "․․/x",
        "‥/x",
        "。。/x",
        "\u{202e}x",
        "-",
        "--help",
        "*",
        "'; DROP TABLE session; --",
        &long,
    ];
    for line in golden.lines() {
        let mut example: Value = serde_json::from_str(line).expect("golden lines are JSON");
        if example["dir"] != "in" || example["line"].get("session_id").is_none() {
            continue;
        }
        let kind = example["line"]["type"].take();
        let kind = kind.as_str().expect("a request has a type");
        assert!(Request::TYPES.contains(&kind));
        for id in ids {
            let mut fields = example["line"].clone();
            fields["session_id"] = id.into();
            fields
                .as_object_mut()
                .expect("a request is an object")
                .retain(|name, _| name != "type" && name != "request_id");
            let answer = ada.request(kind, fields);
            let code = answer["code"].as_str().unwrap_or_default();
            assert!(["SESSION_NOT_FOUND", "BAD_REQUEST"].contains(&code), "{kind} {id:?}: {answer}");
            assert!(
                answer.to_string().len() < 8192,
                "an answer to a long id is short: {}",
                answer.to_string().len()
            );
        }
    }
    for name in ids {
        let create = json!({"agent": "fake", "cwd": env.work(), "env": env.client_env(), "name": name});
        assert_eq!(ada.refused("create_session", create), "BAD_REQUEST", "{name:?}");
        assert_eq!(
            ada.refused("update_session", json!({"session_id": session, "name": name})),
            "BAD_REQUEST",
            "{name:?}"
        );
        assert_eq!(ada.refused("subscribe", json!({"session_ids": [name]})), "SESSION_NOT_FOUND", "{name:?}");
    }
    for id in ["../x", "%2e%2e", "․․/x", &long] {
        env.vibes(&["kill", id]).exits(3);
    }
    assert_eq!(everything(env.root()), before, "nothing was made anywhere");
    assert_eq!(ada.ok("get_session", json!({"session_id": session}))["session"]["state"], "idle");
}

#[test]
fn fault_23_what_lies_in_the_place_of_the_socket_is_neither_removed_nor_followed() {
    let env = TestEnv::new();
    let socket = env.state().socket();
    let target = env.root().join("target");
    let refused = |what: &str| {
        let ran = env.vibes(&["ls"]).exits(4);
        assert!(ran.stderr.contains(&socket.display().to_string()), "{what}: {}", ran.stderr);
        assert!(fs::symlink_metadata(&socket).is_ok(), "{what} is still there");
    };
    fs::create_dir(&socket).expect("a directory can be made");
    refused("a directory");
    fs::remove_dir(&socket).expect("it is still there, and empty");
    symlink(&target, &socket).expect("a link can be made");
    refused("a link to nothing");
    assert!(!target.exists(), "nothing was made behind the link");
    fs::write(&target, "precious").expect("a file can be made");
    refused("a link to a file");
    assert_eq!(fs::read_to_string(&target).ok().as_deref(), Some("precious"));
    fs::remove_file(&socket).expect("it is still there");
    env.vibes(&["ls"]).ok();
}

#[test]
fn fault_24_a_state_directory_that_is_not_ours_alone_is_refused() {
    let env = TestEnv::new();
    let state = env.state().root().to_owned();
    let refused = |why: &str| {
        let ran = env.vibes(&["ls"]).exits(4);
        assert!(ran.stderr.contains(why), "{why}: {}", ran.stderr);
        assert!(!env.state().store().exists(), "{why}: nothing was made in it");
    };
    chmod(&state, 0o777);
    refused("written by other users");
    chmod(&state, 0o700);
    if geteuid().is_root() {
        chown(&state, Some(NOBODY), None).expect("root may give files away");
        refused("belongs to user");
        chown(&state, Some(0), None).expect("root may take files back");
    } else {
        eprintln!("SKIPPED in part: only root can give a directory away");
    }
    let real = env.root().join("real");
    fs::rename(&state, &real).expect("it can be moved");
    symlink(&real, &state).expect("a link can be made");
    refused("symlink");
    fs::remove_file(&state).expect("it is a link");
    fs::rename(&real, &state).expect("it can be moved back");
    env.vibes(&["ls"]).ok();
}

#[test]
fn fault_28_a_path_longer_than_a_socket_address_works() {
    let env = TestEnv::new();
    let deep = env.root().join("d".repeat(100)).join("e".repeat(120));
    let state = deep.display().to_string();
    let run = |args: &[&str]| env.spawn_vibes(args, "", &[("VIBES_STATE_DIR", &state)]).wait();
    run(&["ls"]).ok();
    let session = run(&["run", "fake", "--wait-ready", "-d", "say hi"]).ok().line().to_owned();
    run(&["kill", &session]).ok();
    run(&["daemon", "stop", "--agents"]).ok();
}
