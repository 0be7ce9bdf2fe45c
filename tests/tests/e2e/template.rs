//! Templates: saved, read, changed and used, through the command line and on the wire.

use serde_json::json;
use vibes_tests::TestEnv;

/// The fake agent, which does what its prompt says.
const SAY: &str = "agent = \"fake\"\ndescription = \"says things\"\nprompt = \"say {what}, {prompt}\"\n";

fn file(env: &TestEnv, name: &str) -> std::path::PathBuf {
    std::path::PathBuf::from(env.path("cfg/vibes/templates")).join(format!("{name}.toml"))
}

#[test]
fn a_session_is_made_from_a_template() {
    let env = TestEnv::new();
    env.vibes_reading(&["template", "save", "greet", "-"], SAY).ok();
    assert_eq!(std::fs::read_to_string(file(&env, "greet")).expect("a file"), SAY);
    let ran = env.vibes(&["run", "--template", "greet", "--once", "--set", "what=hello", "world"]).ok();
    assert!(ran.stdout.contains("hello, world"), "{ran:?}");
    // What is missing is named, and so is what has no place.
    let ran = env.vibes(&["run", "--template", "greet", "--once"]).exits(1);
    assert!(ran.stderr.contains("wants what, prompt"), "{}", ran.stderr);
    let ran = env.vibes(&["run", "--template", "greet", "-d", "--set", "waht=x", "x"]).exits(1);
    assert!(ran.stderr.contains("{waht}"), "{}", ran.stderr);
    env.vibes(&["run", "--template", "no-such", "-d", "x"]).exits(3);
    env.vibes(&["run", "--set", "a=b", "fake"]).exits(2);
    // What is said wins over it, and the session tells where it is from.
    let id = env
        .vibes(&["run", "--template", "greet", "-d", "--description", "mine", "--set", "what=a", "b"])
        .ok();
    let session = env.vibes(&["show", id.line(), "--json"]).ok().json();
    assert_eq!(
        (&session["description"], &session["metadata"]["template"]),
        (&json!("mine"), &json!("greet"))
    );
    // Another agent, by two words.
    let id = env.vibes(&["run", "shell", "--template", "greet", "-d", "--set", "what=a", "b"]).ok();
    assert_eq!(env.vibes(&["show", id.line(), "--json"]).ok().json()["agent"], "shell");
}

#[test]
fn a_sessions_configuration_is_saved_without_values_of_its_environment() {
    let env = TestEnv::started();
    std::fs::create_dir(env.path("work/deep")).expect("a directory can be made");
    let id = env
        .vibes(&[
            "run",
            "shell",
            "-d",
            "--mode",
            "auto",
            "--cwd",
            "deep",
            "--orphan",
            "suspend",
            "--env",
            "SECRET=hunter2",
            "--description",
            "builds",
        ])
        .ok();
    env.vibes(&["template", "save", "build", "--from", id.line(), "--prompt", "echo $SECRET {prompt}"]).ok();
    let text = std::fs::read_to_string(file(&env, "build")).expect("a file");
    assert!(!text.contains("hunter2"), "{text}");
    let one = env.vibes(&["template", "show", "build", "--json"]).ok().json();
    let template = json!({"agent": "shell", "description": "builds", "cwd": env.path("work/deep"), "mode": "auto",
        "orphan_policy": "suspend", "env": ["SECRET"], "prompt": "echo $SECRET {prompt}"});
    assert_eq!(one["template"], template);
    let ran = env.spawn_vibes(&["run", "--template", "build", "--once", "here"], "", &[("SECRET", "given")]);
    assert!(ran.wait().ok().stdout.contains("given here"));
    // One that is there is replaced only on purpose.
    let ran = env.vibes(&["template", "save", "build", "--from", id.line()]).exits(5);
    assert!(ran.stderr.contains("--replace"), "{}", ran.stderr);
    env.vibes(&["template", "save", "build", "--from", id.line(), "--replace"]).ok();
    assert!(env.vibes(&["template", "show", "build"]).ok().stdout.contains("mode = \"auto\""));
    env.vibes(&["template", "rm", "build", "nobody"]).exits(3);
    assert_eq!(env.vibes(&["template", "list", "--json"]).ok().json(), json!([]));
}

#[test]
fn what_is_wrong_in_a_file_is_told_and_hides_no_other() {
    let env = TestEnv::new();
    env.vibes_reading(&["template", "save", "good", "-"], SAY).ok();
    let slip = "agent = \"fake\"\nmodle = \"x\"\n";
    let ran = env.vibes_reading(&["template", "save", "bad", "-"], slip).exits(1);
    assert!(ran.stderr.contains("line 2") && ran.stderr.contains("did you mean model?"), "{}", ran.stderr);
    assert!(!file(&env, "bad").exists());
    std::fs::write(file(&env, "bad"), slip).expect("a file can be written");
    let list = env.vibes(&["template", "list", "--json"]).ok().json();
    assert_eq!((&list[0]["name"], &list[1]["name"]), (&json!("bad"), &json!("good")));
    assert!(list[0]["error"].as_str().is_some_and(|why| why.contains("modle")), "{list}");
    assert_eq!(list[1]["template"]["agent"], "fake");
    assert!(env.vibes(&["template", "list"]).ok().stdout.contains("says things"));
    env.vibes(&["run", "--template", "bad", "-d", "x"]).exits(1);
    env.vibes_reading(&["template", "save", "../x", "-"], SAY).exits(1);
    let mut wire = env.client("ada");
    assert_eq!(wire.refused("save_template", json!({"name": "x"})), "BAD_REQUEST");
    assert_eq!(wire.refused("create_session", json!({"cwd": "/"})), "BAD_REQUEST");
    assert_eq!(wire.refused("create_session", json!({"template": "nobody"})), "NOT_FOUND");
}

#[test]
fn from_inside_an_agent_templates_are_read_and_not_written() {
    let env = TestEnv::new();
    env.vibes_reading(&["template", "save", "greet", "-"], SAY).ok();
    assert!(env.inside("template show greet").contains("ran 0"));
    assert!(env.inside("template rm greet").contains("ran 5"));
    assert!(env.inside("template save x --from -").contains("ran 5"));
    assert!(file(&env, "greet").exists());
}
