//! What Tab offers, in real shells; and the manual.

use std::process::Command;
use vibes_tests::TestEnv;

/// What a shell offers after these words, asked as it asks.
fn offered(env: &TestEnv, words: &[&str]) -> Vec<String> {
    let index = words.len() - 1;
    let ran = Command::new(env.binary("vibes"))
        .arg("--")
        .args(words)
        .env_clear()
        .envs(env.variables())
        .envs([("VIBES_COMPLETE", "bash"), ("_CLAP_IFS", "\n"), ("_CLAP_COMPLETE_INDEX", &index.to_string())])
        .current_dir(env.work())
        .output()
        .expect("vibes can be started");
    assert!(ran.status.success());
    let text = String::from_utf8(ran.stdout).expect("UTF-8");
    text.lines().map(|line| line.trim_end().to_owned()).filter(|line| !line.is_empty()).collect()
}

#[test]
fn what_there_is_is_offered_and_no_daemon_is_started_for_it() {
    let env = TestEnv::new();
    assert!(offered(&env, &["vibes", "ki"]).contains(&"kill".to_owned()));
    assert!(offered(&env, &["vibes", "show", ""]).iter().all(|word| word.starts_with('-')));
    env.vibes(&["daemon", "status"]).exits(4);
    let session = env.vibes(&["run", "shell", "-d", "--name", "api", "--wait-ready"]).ok().line().to_owned();
    let asking = env.run_fake("ask t1 ls");
    env.vibes(&["wait", &asking, "--until", "needs-approval"]).ok();
    env.vibes_reading(&["template", "save", "greet", "-"], "agent = \"shell\"\n").ok();
    env.vibes(&["memory", "add", "x #ops"]).ok();
    let has = |words: &[&str], word: &str| {
        let all = offered(&env, words);
        assert!(all.iter().any(|one| one == word), "{words:?}: {all:?}");
    };
    has(&["vibes", "attach", ""], "api");
    has(&["vibes", "attach", &session[..2]], &session[..8]);
    has(&["vibes", "sessions", "kill", "a"], "api");
    has(&["vibes", "approve", ""], &asking[..8]);
    assert!(!offered(&env, &["vibes", "approve", ""]).contains(&"api".to_owned()), "it asks nothing");
    has(&["vibes", "run", "--template", ""], "greet");
    has(&["vibes", "template", "rm", ""], "greet");
    has(&["vibes", "run", "sh"], "shell");
    has(&["vibes", "set", "api", ""], "mode");
    has(&["vibes", "set", "api", "mode", ""], "auto");
    has(&["vibes", "memory", "show", ""], "1");
    has(&["vibes", "memory", "list", "--tag", ""], "ops");
}

/// The name that a shell completes from its first letters, by what its own completion says.
fn completes(env: &TestEnv, shell: &str, script: &str) {
    if Command::new(shell).arg("--version").output().is_err() {
        return;
    }
    let ran = Command::new(shell)
        .args(["-c", script])
        .env_clear()
        .envs(env.variables())
        .current_dir(env.work())
        .output()
        .expect("the shell is there");
    let text = format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(text.contains("nightingale"), "{shell}: {text}");
}

#[test]
fn the_real_shells_complete_a_session() {
    let env = TestEnv::started();
    env.vibes(&["run", "shell", "-d", "--name", "nightingale", "--wait-ready"]).ok();
    completes(
        &env,
        "bash",
        "source <(vibes completion bash); COMP_WORDS=(vibes attach night); COMP_CWORD=2; COMP_TYPE=9; \
         _clap_complete_vibes vibes night attach; echo \"${COMPREPLY[@]}\"",
    );
    completes(&env, "fish", "vibes completion fish | source; complete -C 'vibes attach night'");
    completes(
        &env,
        "zsh",
        "autoload -Uz compinit; compinit -u -D; source <(vibes completion zsh); \
         _describe() { print -l -- ${(P)2} ${(P)3} ${(P)4}; }; compadd() { print -l -- $@; }; \
         words=(vibes attach night); CURRENT=3; _clap_dynamic_completer_vibes",
    );
}

#[test]
fn the_manual_has_a_page_for_each_verb() {
    let env = TestEnv::new();
    assert!(env.vibes(&["man"]).ok().stdout.contains(".TH vibes 1"));
    let dir = env.path("man1");
    env.vibes(&["man", &dir]).ok();
    let page = |name: &str| std::fs::read_to_string(format!("{dir}/{name}.1")).unwrap_or_default();
    assert!(page("vibes-send").contains("interrupt") || page("vibes-send").contains("Interrupt"));
    assert!(page("vibes-queue-move").contains("place"));
    assert!(page("vibes-sessions-kill").is_empty(), "one spelling");
    // Where there is a formatter it has nothing to say against any page.
    let pages = std::fs::read_dir(&dir).expect("a directory").flatten().map(|entry| entry.path());
    let formatted =
        Command::new("groff").args(["-man", "-Kutf8", "-Tutf8", "-ww", "-z"]).args(pages).output();
    if let Ok(formatted) = formatted {
        let said = String::from_utf8_lossy(&formatted.stderr).into_owned();
        assert!(formatted.status.success() && said.is_empty(), "{said}");
    }
}
