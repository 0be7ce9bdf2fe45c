//! Death between the steps that make and drop a worktree: nothing is half without a word, and nothing is lost.

use crate::worktree::{git, repository};
use serde_json::json;
use std::{fs, path::Path};
use vibes_runner::points::Point;
use vibes_tests::{TestEnv, points::Hook};

/// A daemon that dies at a point, and one that is started after it.
fn dies_in(work: impl FnOnce(&TestEnv), point: Point) -> TestEnv {
    let env = TestEnv::new();
    let hook = Hook::killing(&env, point, 1, |_| {});
    env.spawn_vibes(&["daemon", "start"], "", &hook.variables()).wait().ok();
    work(&env);
    hook.held();
    env.daemon();
    env
}

/// Asks for a session with a worktree; nobody answers.
fn begin(env: &TestEnv) {
    let repo = repository(env);
    let mut ada = env.client("ada");
    let wish = json!({"agent": "fake", "cwd": repo, "env": env.client_env(), "worktree": "fix"});
    assert_eq!(ada.try_request("create_session", wish), None);
}

/// A session that has ended and left something in its worktree; then it is dropped, and nobody answers.
fn drop_all(env: &TestEnv) {
    let repo = repository(env);
    let mut ada = env.client("ada");
    let session = ada.create(env, json!({"cwd": repo, "worktree": "fix", "name": "fix"}));
    ada.ok("kill_session", json!({"session_id": session}));
    fs::write(env.path("work/repo.worktrees/fix/b"), "work\n").expect("it is written");
    let wish = json!({"session_id": session, "action": "drop", "force": true});
    assert_eq!(ada.try_request("worktree", wish), None);
}

/// Drops it once more: all of it goes, and what was there is kept.
fn dropped_again(env: &TestEnv) {
    let repo = env.path("work/repo");
    env.vibes(&["worktree", "drop", "--force", "fix"]).ok();
    assert!(!Path::new(&env.path("work/repo.worktrees")).exists());
    assert_eq!(git(env, &repo, &["branch", "--list", "vibes/*"]), "");
    let saved = git(env, &repo, &["for-each-ref", "--format=%(refname)", "refs/vibes/dropped"]);
    let kept = saved.lines().any(|saved| git(env, &repo, &["show", &format!("{saved}:b")]) == "work");
    assert!(kept, "{saved}");
    env.vibes(&["doctor"]).ok();
}

cases! {
    fn killed_before_git_has_made_a_worktree() {
        let env = dies_in(begin, Point::WorktreeNoted);
        assert!(!Path::new(&env.path("work/repo.worktrees/fix")).exists());
        env.vibes(&["doctor"]).ok();
        env.vibes(&["run", "fake", "-d", "--cwd", &env.path("work/repo"), "--worktree=fix"]).ok();
    }
    fn killed_when_a_worktree_is_made_and_no_session_has_it() {
        let env = dies_in(begin, Point::WorktreeMade);
        let tree = env.path("work/repo.worktrees/fix");
        assert!(Path::new(&tree).exists());
        let doctor = env.vibes(&["doctor"]).exits(1).stdout;
        let told = doctor.lines().find(|line| line.contains("belongs to no session")).unwrap_or_else(|| panic!("{doctor}"));
        // What it says helps.
        let commands = told.split('`').nth(1).expect("it names commands");
        let ran = std::process::Command::new("sh").args(["-c", commands]).envs(env.variables()).status();
        assert!(ran.expect("there is a shell").success(), "{commands}");
        env.daemon().terminate();
        env.daemon();
        env.vibes(&["doctor"]).ok();
        assert_eq!(git(&env, &env.path("work/repo"), &["branch", "--list", "vibes/*"]), "");
    }
    fn killed_when_a_ref_holds_what_is_to_be_dropped() {
        let env = dies_in(drop_all, Point::WorktreeSaved);
        assert!(Path::new(&env.path("work/repo.worktrees/fix/b")).exists());
        dropped_again(&env);
    }
    fn killed_when_a_worktree_is_removed_and_its_branch_is_not() {
        let env = dies_in(drop_all, Point::WorktreeRemoved);
        let doctor = env.vibes(&["doctor"]).exits(1).stdout;
        assert!(doctor.contains("is gone: `vibes worktree drop"), "{doctor}");
        dropped_again(&env);
    }
}
