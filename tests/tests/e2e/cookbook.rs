//! The scripts of docs/cookbook.md, run as they stand there.
//!
//! Invariant: a script that is in the page and not run here fails a test.

use std::{collections::BTreeMap, fs, path::Path, process::Command};
use vibes_tests::TestEnv;

const PAGE: &str = include_str!("../../../docs/cookbook.md");

/// The scripts of the page by name.
fn scripts() -> BTreeMap<&'static str, &'static str> {
    let blocks = PAGE.split("```sh ").skip(1).filter_map(|block| block.split_once("\n```"));
    blocks.filter_map(|(block, _)| block.split_once('\n')).collect()
}

struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
}

/// Runs a script in a directory, with words and more variables.
fn run(env: &TestEnv, name: &str, dir: &str, words: &[&str], more: &[(&str, &str)]) -> Ran {
    let ran = Command::new("sh")
        .args(["-c", scripts().get(name).expect("the page has it"), name])
        .args(words)
        .env_clear()
        .envs(env.variables())
        .envs(more.iter().copied())
        .current_dir(dir)
        .output()
        .expect("a shell can be started");
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    Ran { code: ran.status.code().unwrap_or(-1), stdout: text(&ran.stdout), stderr: text(&ran.stderr) }
}

fn git(env: &TestEnv, dir: &str, words: &[&str]) {
    let done = Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@t", "-c", "init.defaultBranch=main"])
        .args(words)
        .env_clear()
        .envs(env.variables())
        .current_dir(dir)
        .output()
        .expect("git can be started");
    assert!(done.status.success(), "git {words:?}: {}", String::from_utf8_lossy(&done.stderr));
}

fn repository(env: &TestEnv) -> String {
    let dir = env.path("work/repo");
    fs::create_dir(&dir).expect("a directory can be made");
    git(env, &dir, &["init", "-q"]);
    fs::write(Path::new(&dir).join("a.txt"), "one\n").expect("a file can be written");
    git(env, &dir, &["add", "."]);
    git(env, &dir, &["commit", "-q", "-m", "first"]);
    dir
}

/// An agent that answers every first prompt with the same words: a recording.
fn reviewer(env: &mut TestEnv) {
    let session = env.run_fake("say Looks good.");
    env.vibes(&["wait", &session, "--until", "idle"]).ok();
    let recording = env.path("review.ndjson");
    fs::write(&recording, env.vibes(&["logs", &session, "--json"]).ok().stdout)
        .expect("a file can be written");
    env.vibes(&["daemon", "stop", "--agents"]).ok();
    let command = format!("{} agent replay {recording}", env.binary("vibes").display());
    env.set("VIBES_AGENT_REVIEWER", &command);
}

#[test]
fn every_script_of_the_page_is_run_here() {
    let here = include_str!("cookbook.rs");
    for name in scripts().keys() {
        assert!(here.contains(&format!("\"{name}\"")), "{name} is not run");
    }
    assert!(scripts().len() >= 5);
}

#[test]
fn one_prompt_goes_to_several_agents_and_is_compared() {
    let env = TestEnv::new();
    let dir = repository(&env);
    let more = [("AGENTS", "shell shell shell"), ("MODE", "auto"), ("TIMEOUT", "25")];
    let ran = run(&env, "fan-out", &dir, &["echo two >> a.txt; pwd"], &more);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(ran.stdout.matches("+two").count(), 3, "{}\n{}", ran.stdout, ran.stderr);
    assert_eq!(ran.stdout.matches("==== ").count(), 3);
}

#[test]
fn jobs_are_waited_for_and_what_failed_is_told() {
    let env = TestEnv::new();
    let ran = run(&env, "wait-all", &env.work(), &["true", "exit 3", "true"], &[("TIMEOUT", "25")]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert_eq!(ran.stdout.lines().count(), 1, "{}", ran.stdout);
    assert!(ran.stdout.starts_with("failed with 3: vibes logs "));
    assert_eq!(run(&env, "wait-all", &env.work(), &["true"], &[]).code, 0);
}

#[test]
fn costs_are_collected() {
    let env = TestEnv::new();
    env.vibes(&["run", "fake", "--once", "usage 10 3 m1\ncost 0.5"]).ok();
    let ran = run(&env, "costs", &env.work(), &[], &[]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains("fake") && ran.stdout.contains("m1"), "{}", ran.stdout);
}

#[test]
fn a_change_is_reviewed() {
    let mut env = TestEnv::new();
    reviewer(&mut env);
    let dir = repository(&env);
    assert!(run(&env, "review", &dir, &[], &[("AGENT", "reviewer")]).stderr.contains("nothing has changed"));
    fs::write(Path::new(&dir).join("a.txt"), "one\ntwo\n").expect("a file can be written");
    let ran = run(&env, "review", &dir, &[], &[("AGENT", "reviewer"), ("TIMEOUT", "25")]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "Looks good.\n"), "{}", ran.stderr);
}

#[test]
fn a_nightly_job_keeps_its_log_and_asks_why_it_failed() {
    let mut env = TestEnv::new();
    reviewer(&mut env);
    let dir = env.work();
    let out = env.path("out");
    let more = [("OUT", out.as_str()), ("AGENT", "reviewer"), ("TIMEOUT", "25")];
    let ran = run(&env, "nightly", &dir, &[&dir, "echo broken; exit 2"], &more);
    assert_eq!((ran.code, ran.stdout.as_str()), (2, "echo broken; exit 2: 2\n"), "{}", ran.stderr);
    let files: Vec<String> = fs::read_dir(&out)
        .expect("a directory")
        .flatten()
        .map(|entry| fs::read_to_string(entry.path()).expect("text"))
        .collect();
    assert!(
        files.iter().any(|text| text.contains("broken")) && files.contains(&"Looks good.\n".to_owned()),
        "{files:?}"
    );
    assert_eq!(run(&env, "nightly", &dir, &[&dir, "true"], &more).code, 0);
}
