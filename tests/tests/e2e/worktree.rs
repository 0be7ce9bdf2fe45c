//! A branch and a directory of its own for a session: what a person does with them, and what git must not do meanwhile.
//!
//! Invariant: what the session did is in the repository, in a ref, or still where it was; nothing of the repository runs.

use serde_json::{Value, json};
use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};
use vibes_tests::{TestEnv, oracle};

/// Runs git as a person would; returns what it prints.
#[track_caller]
pub fn git(env: &TestEnv, dir: &str, args: &[&str]) -> String {
    let who = ["-c", "user.name=ann", "-c", "user.email=ann@localhost", "-c", "init.defaultBranch=main"];
    let out = Command::new("git")
        .args(who)
        .arg("-C")
        .arg(dir)
        .args(args)
        .env_clear()
        .envs(env.variables())
        .output()
        .expect("there is a git");
    assert!(out.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).trim_end().to_owned()
}

/// A repository with one commit and a person who is known in it.
pub fn repository(env: &TestEnv) -> String {
    let repo = env.path("work/repo");
    fs::create_dir_all(format!("{repo}/sub")).expect("a directory can be made");
    git(env, &repo, &["init", "-q"]);
    for (name, value) in [("user.name", "ann"), ("user.email", "ann@localhost")] {
        git(env, &repo, &["config", name, value]);
    }
    fs::write(format!("{repo}/a"), "one\n").expect("it is written");
    fs::write(format!("{repo}/sub/c"), "see\n").expect("it is written");
    git(env, &repo, &["add", "."]);
    git(env, &repo, &["commit", "-qm", "first"]);
    repo
}

/// A session of the shell on a branch of its own, which has run a command.
fn session(env: &TestEnv, dir: &str, name: &str, command: &str) -> Value {
    let worktree = format!("--worktree={name}");
    let args = ["shell", "-d", "--json", "--mode", "auto", "--name", name, "--cwd", dir, &worktree, command];
    env.vibes(&args).ok();
    env.vibes(&["wait", name, "--until", "idle"]).ok();
    env.vibes(&["show", name, "--json"]).ok().json()
}

#[track_caller]
fn refused(env: &TestEnv, args: &[&str], why: &str) {
    let ran = env.vibes(args);
    assert!(ran.code != 0 && ran.stderr.contains(why), "{args:?} ended with {} and {}", ran.code, ran.stderr);
}

#[test]
fn a_session_works_on_a_branch_of_its_own_until_it_is_merged_and_dropped() {
    let env = TestEnv::started();
    let repo = repository(&env);
    fs::write(format!("{repo}/a"), "mine\n").expect("it is written");
    // A person's own file is neither in the worktree nor lost.
    let shown = session(&env, &format!("{repo}/sub"), "fix", "echo two >> ../a; echo new > b");
    let tree = env.path("work/repo.worktrees/fix");
    assert_eq!(shown["cwd"], format!("{tree}/sub"));
    assert_eq!(shown["worktree"]["branch"], "vibes/fix");
    assert_eq!((&shown["worktree"]["base"], &shown["worktree"]["left_behind"]), (&json!("main"), &json!(1)));
    assert_eq!(fs::read_to_string(format!("{tree}/a")).expect("it is there"), "one\ntwo\n");
    git(&env, &repo, &["checkout", "-q", "a"]);
    assert!(env.vibes(&["show", "fix"]).ok().stdout.contains("vibes/fix of "));
    assert!(env.vibes(&["worktree", "list"]).ok().stdout.contains(&tree));
    let diff = env.vibes(&["worktree", "diff", "fix"]).ok().stdout;
    assert!(diff.contains("+two\n") && diff.contains("sub/b") && diff.contains("+new\n"), "{diff}");
    assert_eq!(
        git(&env, &tree, &["diff", "--cached", "--name-only"]),
        "",
        "what is staged is the session's affair"
    );
    refused(&env, &["worktree", "merge", "fix"], "2 changes in ");
    env.vibes(&["send", "fix", "--wait", "git add -A .. && git commit -qm work"]).ok();
    refused(&env, &["worktree", "drop", "fix"], "suspend or kill it first");
    let before = git(&env, &repo, &["rev-parse", "HEAD"]);
    let merged = env.vibes(&["worktree", "merge", "fix"]).ok().stderr;
    assert!(merged.contains("merged vibes/fix into main"), "{merged}");
    assert_eq!(fs::read_to_string(format!("{repo}/a")).expect("it is there"), "one\ntwo\n");
    assert_eq!(
        git(&env, &repo, &["for-each-ref", "--format=%(objectname)", "refs/vibes/before-merge"]),
        before
    );
    env.vibes(&["kill", "fix"]).ok();
    // Hidden or not, what it did stays until somebody drops it.
    let id = shown["id"].as_str().expect("an id");
    env.vibes(&["rm", id]).ok();
    assert!(Path::new(&tree).exists());
    env.vibes(&["undelete", id]).ok();
    env.vibes(&["worktree", "drop", id]).ok();
    assert!(!Path::new(&env.path("work/repo.worktrees")).exists());
    assert_eq!(git(&env, &repo, &["branch", "--list", "vibes/*"]), "");
    assert!(env.vibes(&["worktree", "list"]).ok().stdout.is_empty());
    let logs = env.vibes(&["logs", id]).ok().stdout;
    for said in [
        "works on vibes/fix (from main)",
        "vibes/fix was merged into main by",
        "its worktree were dropped by",
    ] {
        assert!(logs.contains(said), "{said}: {logs}");
    }
    assert!(env.vibes(&["doctor"]).ok().stdout.lines().all(|line| line.starts_with("ok")));
    oracle::check(&env);
}

#[test]
fn what_is_nowhere_else_is_not_dropped_or_kept_in_a_ref() {
    let env = TestEnv::started();
    let repo = repository(&env);
    let tree = |name: &str| env.path(&format!("work/repo.worktrees/{name}"));
    session(&env, &repo, "open", "echo lost > b");
    session(&env, &repo, "done", "echo kept > b; git add b; git commit -qm work");
    session(&env, &repo, "gone", "echo kept > b; git add b; git commit -qm work");
    for name in ["open", "done", "gone"] {
        env.vibes(&["kill", name]).ok();
    }
    refused(&env, &["worktree", "drop", "open"], "1 changes in ");
    refused(&env, &["worktree", "drop", "done"], "1 commits of vibes/done are not in main");
    assert!(Path::new(&tree("open")).exists() && Path::new(&tree("done")).exists());
    for (name, content) in [("open", "lost"), ("done", "kept")] {
        let said = env.vibes(&["worktree", "drop", "--force", name]).ok().stderr;
        let saved =
            said.lines().last().and_then(|line| line.rsplit(' ').next()).expect("a ref is named").to_owned();
        assert_eq!(git(&env, &repo, &["show", &format!("{saved}:b")]), content, "{said}");
        assert!(!Path::new(&tree(name)).exists());
    }
    // A directory that somebody removed is told of, and its branch is not lost either.
    fs::remove_dir_all(tree("gone")).expect("it is there");
    refused(&env, &["worktree", "diff", "gone"], "is gone");
    let doctor = env.vibes(&["doctor"]).stdout;
    assert!(doctor.contains("worktree drop"), "{doctor}");
    refused(&env, &["worktree", "drop", "gone"], "are not in main");
    env.vibes(&["worktree", "drop", "--force", "gone"]).ok();
    env.vibes(&["doctor"]).ok();
}

#[test]
fn what_git_cannot_do_is_said_before_anything_is_made() {
    let env = TestEnv::started();
    let repo = repository(&env);
    let start = |dir: &str, name: &str, why: &str| {
        refused(&env, &["shell", "-d", "--cwd", dir, &format!("--worktree={name}"), "true"], why);
    };
    start(&env.path("home"), "x", "not a git repository");
    start(&repo, "bad..name", "is no name for a branch");
    git(&env, &repo, &["branch", "vibes/taken"]);
    start(&repo, "taken", "exists already");
    fs::create_dir_all(env.path("work/repo.worktrees/there")).expect("a directory can be made");
    start(&repo, "there", "exists already");
    let other = |name: &str, args: &[&str]| {
        let dir = env.path(&format!("work/{name}"));
        fs::create_dir_all(&dir).expect("a directory can be made");
        git(&env, &dir, args);
        dir
    };
    start(&other("bare", &["init", "-q", "--bare"]), "x", "is a bare repository");
    start(&other("empty", &["init", "-q"]), "x", "has no commit yet");
    git(&env, &repo, &["checkout", "-q", "--detach"]);
    start(&repo, "x", "its HEAD is detached");
    git(&env, &repo, &["checkout", "-q", "main"]);
    fs::write(format!("{repo}/.gitmodules"), "").expect("it is written");
    start(&repo, "x", "has submodules");
    assert_eq!(env.vibes(&["ls", "--all", "--json"]).ok().json(), json!([]));
    assert_eq!(git(&env, &repo, &["worktree", "list"]).lines().count(), 1);
    env.vibes(&["doctor"]).ok();
}

#[test]
fn nothing_of_the_repository_runs_and_a_merge_is_whole_or_not_at_all() {
    let env = TestEnv::started();
    let repo = repository(&env);
    let ran = env.path("ran");
    for hook in ["post-checkout", "pre-merge-commit", "post-merge", "commit-msg", "reference-transaction"] {
        let path = format!("{repo}/.git/hooks/{hook}");
        fs::write(&path, format!("#!/bin/sh\necho {hook} >> {ran}\n")).expect("it is written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it is ours");
    }
    let commit = "git -c core.hooksPath=/dev/null commit -qam work";
    session(&env, &repo, "same", &format!("echo theirs > a; {commit}"));
    session(&env, &repo, "rules", &format!("echo '* merge=x' > .gitattributes; git add .; {commit}"));
    fs::write(format!("{repo}/a"), "ours\n").expect("it is written");
    refused(&env, &["worktree", "merge", "same"], "a merge needs a clean tree");
    git(&env, &repo, &["-c", "core.hooksPath=/dev/null", "commit", "-qam", "ours"]);
    let before = git(&env, &repo, &["rev-parse", "HEAD"]);
    refused(&env, &["worktree", "merge", "same"], "conflicts in a; nothing was changed");
    refused(&env, &["worktree", "merge", "rules"], "changes .gitattributes");
    git(&env, &repo, &["checkout", "-q", "-b", "elsewhere"]);
    fs::remove_file(&ran).expect("a person's own checkout runs hooks");
    refused(&env, &["worktree", "merge", "same"], "is on elsewhere, not on main");
    // An agent can write the configuration of the repository: what git would run by it is not run.
    let shared = format!("git config diff.external 'touch {ran}'; git config filter.x.clean 'touch {ran}'");
    env.vibes(&["send", "same", "--wait", &shared]).ok();
    for verb in ["diff", "merge"] {
        refused(&env, &["worktree", verb, "same"], "the configuration of ");
    }
    assert_eq!(git(&env, &repo, &["rev-parse", "main"]), before);
    assert_eq!(git(&env, &repo, &["status", "--porcelain"]), "");
    assert!(!Path::new(&ran).exists(), "{}", fs::read_to_string(&ran).unwrap_or_default());
}
