//! Tables of what rules say, and what they never say.

use super::*;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use vibes_protocol::model::Permission;

/// A file system without links.
struct Flat;

impl World for Flat {
    fn real(&self, path: &Path) -> Option<PathBuf> {
        Some(places::as_written(path))
    }
}

fn spec(rules: Value) -> Result<RuleSet, String> {
    let file = json!({"version": 1, "rule": rules});
    let file: File = serde_json::from_value(file).map_err(|error| error.to_string())?;
    file.compile("text", Some(Path::new("/home/ann")))
}

fn set(rules: Value) -> RuleSet {
    spec(rules).unwrap()
}

fn asks(tool: &str, input: Value) -> Request {
    asks_in("/work/api", tool, input)
}

fn asks_in(cwd: &str, tool: &str, input: Value) -> Request {
    let permission: Permission = serde_json::from_value(json!({
        "permission_id": "p", "hash": "h", "tool": tool, "raw_input": input, "cwd": cwd, "options": [],
    }))
    .unwrap();
    Request::read("fake", &permission)
}

fn runs(command: &str) -> Request {
    asks("execute", json!({"command": command}))
}

fn judged(rules: &RuleSet, own: &[SessionRule], request: &Request) -> Judgement {
    let guarded = [PathBuf::from("/home/ann/.local/state/vibes"), PathBuf::from("/home/ann/.config/vibes")];
    let ground = Ground { world: &Flat, home: Some(Path::new("/home/ann")), guarded: &guarded };
    judge([rules], own, request, &ground)
}

fn verdict(rules: &RuleSet, request: &Request) -> Verdict {
    judged(rules, &[], request).verdict
}

fn allow(conditions: Value) -> Value {
    rule("allow", conditions)
}

fn rule(decision: &str, mut conditions: Value) -> Value {
    conditions["name"] = format!("{decision} {}", conditions).into();
    conditions["name"] = conditions["name"].as_str().unwrap().chars().take(64).collect::<String>().into();
    conditions["decision"] = decision.into();
    conditions
}

#[test]
fn the_most_restrictive_rule_wins_whatever_the_order() {
    let rules = [
        allow(json!({"command": ["git -..."]})),
        rule("ask", json!({"command": "git push"})),
        rule("deny", json!({"command": "git push --force"})),
    ];
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [0, 2, 1]] {
        let rules = set(Value::from(order.map(|at| rules[at].clone()).to_vec()));
        for (command, wanted) in [
            ("git status", Verdict::Allow),
            ("git push", Verdict::Ask),
            ("git push origin --force", Verdict::Deny),
            ("ls", Verdict::Ask),
        ] {
            assert_eq!(verdict(&rules, &runs(command)), wanted, "{command} in {order:?}");
        }
    }
}

#[test]
fn a_judgement_names_its_rule_and_its_set() {
    let rules = set(json!([{"name": "tests", "decision": "allow", "command": "make test"}]));
    let found = judged(&rules, &[], &runs("make test"));
    assert_eq!((found.rule.as_deref(), found.how), (Some("tests"), How::Rule));
    assert_eq!(found.rules, Some(RuleSet::hash_of("text")));
    assert_eq!(judged(&rules, &[], &runs("make all")), Judgement::ask());
}

#[test]
fn conditions_are_all_needed() {
    let rules = set(json!([{
        "name": "r", "decision": "allow", "agent": ["fake", "other"], "directory": "/work", "tool": "execute",
        "command": "ls",
    }]));
    assert_eq!(verdict(&rules, &runs("ls")), Verdict::Allow);
    assert_eq!(verdict(&rules, &asks_in("/workshop", "execute", json!({"command": "ls"}))), Verdict::Ask);
    assert_eq!(verdict(&rules, &asks_in("/work/../etc", "execute", json!({"command": "ls"}))), Verdict::Ask);
    assert_eq!(verdict(&rules, &asks("fetch", json!({"command": "ls"}))), Verdict::Ask);
    let mut other = runs("ls");
    other.agent = "claude".into();
    assert_eq!(verdict(&rules, &other), Verdict::Ask);
    // What a command names as its directory counts besides the session's.
    let there = |cwd: &str| asks("execute", json!({"command": "ls", "cwd": cwd}));
    assert_eq!(verdict(&rules, &there("/work/api/src")), Verdict::Allow);
    assert_eq!(verdict(&rules, &there("/etc")), Verdict::Ask);
    assert_eq!(verdict(&rules, &there("../../etc")), Verdict::Ask);
}

#[test]
fn tools_are_known_by_their_name_and_by_their_kind() {
    let rules = set(json!([allow(json!({"tool": ["edit", "read"]}))]));
    for tool in ["edit", "Edit", "Write", "MultiEdit", "Read", "read"] {
        assert_eq!(verdict(&rules, &asks(tool, json!({"file_path": "x"}))), Verdict::Allow, "{tool}");
    }
    for tool in ["Bash", "execute", "editor", "delete", "EDIT"] {
        assert_eq!(verdict(&rules, &asks(tool, json!({"file_path": "x"}))), Verdict::Ask, "{tool}");
    }
    let named = set(json!([allow(json!({"tool": "Write"}))]));
    assert_eq!(verdict(&named, &asks("Edit", json!({"file_path": "x"}))), Verdict::Ask);
}

#[test]
fn a_question_to_a_person_is_answered_by_a_person() {
    let every =
        set(json!([allow(json!({"tool": "*"})), rule("allow", json!({"tool": "*", "any_command": true}))]));
    for tool in ["AskUserQuestion", "ExitPlanMode", "switch_mode"] {
        assert_eq!(verdict(&every, &asks(tool, json!({"plan": "x"}))), Verdict::Ask, "{tool}");
    }
    assert_eq!(verdict(&every, &asks("other", json!({"x": "y"}))), Verdict::Allow);
    let named = set(json!([allow(json!({"tool": "ExitPlanMode"}))]));
    assert_eq!(verdict(&named, &asks("ExitPlanMode", json!({}))), Verdict::Allow);
}

/// A small deterministic generator.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}

#[test]
fn no_rule_that_allows_matches_a_command_with_a_separator() {
    let rules = set(json!([
        allow(json!({"command": ["git -...", "ls ...", "echo -...", "npm run *", "x --a=*"]})),
        allow(json!({"tool": "*"})),
        allow(json!({"tool": ["execute", "Bash"], "directory": "/work"})),
    ]));
    let heads =
        ["git", "git log", "ls", "ls a", "echo hi", "npm run x", "x --a=b", "echo 'a'", "echo \"b\" c"];
    let separators = [
        ";", "&&", "||", "|", "&", "\n", "\r\n", "$(id)", "`id`", "$HOME", "${x}", ">", ">>", "<", "2>&1",
        "<<EOF", "<(id)", "(", ")", "|&", ";;", "$'x'", "*", "?", "[a]", "{a,b}", " #", "\u{0}", "\r",
        "\u{200b}",
    ];
    let tails = ["", " ", "rm -rf /", " id", "x", " 'y'", "\"z\"", " a b"];
    let mut dice = Dice(11);
    for _ in 0..20_000 {
        let mut command = heads[dice.below(heads.len())].to_owned();
        for _ in 0..=dice.below(3) {
            command.push_str([" ", ""][dice.below(2)]);
            command.push_str(separators[dice.below(separators.len())]);
            command.push_str(tails[dice.below(tails.len())]);
        }
        // Blanks at the end do nothing.
        if command.trim_end()
            == heads.iter().find(|head| **head == command.trim_end()).copied().unwrap_or_default()
        {
            continue;
        }
        assert_eq!(verdict(&rules, &runs(&command)), Verdict::Ask, "{command:?}");
        let listed = asks("execute", json!({"command": ["/bin/bash", "-lc", command]}));
        assert_eq!(verdict(&rules, &listed), Verdict::Ask, "{command:?}");
    }
    for head in heads {
        assert_eq!(verdict(&rules, &runs(head)), Verdict::Allow, "{head:?}");
    }
}

#[test]
fn commands_in_disguise_are_not_allowed() {
    let rules = set(json!([
        allow(json!({"command": ["git status", "cargo test -...", "rm ...", "bash -c *"]})),
        allow(json!({"tool": "*"})),
    ]));
    for command in [
        "FOO=1 rm x",
        "GIT_SSH_COMMAND=x git status",
        "env git status",
        "bash -c 'git status'; id",
        "bash -lc 'rm x'",
        "git status\nrm x",
        "git\u{a0}status",
        "git status\u{2028}rm",
        "GIT status",
        "git  statu's",
        "'git status'",
        "\"git status\"",
        "git statu''sx",
        "exec git status",
        "command git status",
        "./git status",
        "~/git status",
        "git status &",
        "cargo test $(rm x)",
        "cargo test `rm x`",
        "cargo test > x",
        "cargo test 2>x",
        "rm -rf x",
        "rm \"$HOME\"",
        "rm {a,b}",
        "rm *",
    ] {
        assert_eq!(verdict(&rules, &runs(command)), Verdict::Ask, "{command:?}");
    }
    // An input that says more than the command is not understood.
    for more in [
        json!({"env": {"PATH": "/evil"}}),
        json!({"dangerouslyDisableSandbox": true}),
        json!({"cmd": "rm x"}),
        json!({"shell": "python"}),
        json!({"stdin": "x"}),
        json!({"args": ["x"]}),
    ] {
        let mut input = json!({"command": "git status"});
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        assert_eq!(verdict(&rules, &asks("execute", input.clone())), Verdict::Ask, "{input}");
    }
    for input in [
        json!({"command": ["git", "status; id"]}),
        json!({"command": ["git"]}),
        json!({"command": []}),
        json!({"command": ["git", 1]}),
        json!({"command": {"git": "status"}}),
        json!({"command": 7}),
        json!({"command": ["/evil/bash", "-lc", "git status"]}),
        json!({"command": ["bash", "-x", "git status"]}),
        json!({}),
        Value::Null,
        json!("git status"),
        json!({"title": "git status"}),
        json!({"command": ""}),
    ] {
        assert_eq!(verdict(&rules, &asks("execute", input.clone())), Verdict::Ask, "{input}");
    }
    for input in [
        json!({"command": "git status", "description": "look", "timeout": 5}),
        json!({"command": ["git", "status"]}),
        json!({"command": ["/bin/bash", "-lc", "git status"], "cwd": "/work/api", "call_id": "c"}),
        json!({"command": "git status", "run_in_background": false, "dangerouslyDisableSandbox": false}),
    ] {
        assert_eq!(verdict(&rules, &asks("Bash", input.clone())), Verdict::Allow, "{input}");
    }
}

#[test]
fn more_than_one_command_is_allowed_only_by_a_rule_that_says_so() {
    let rules = set(json!([
        {"name": "s", "decision": "allow", "sequence": true, "command": ["cd *", "git status", "make ..."]},
        {"name": "e", "decision": "allow", "exactly": "make test 2>&1 | tail -n 20"},
    ]));
    for (command, wanted) in [
        ("cd x && git status", Verdict::Allow),
        ("cd x; make test | git status", Verdict::Allow),
        ("cd x && rm y", Verdict::Ask),
        ("cd x && git status > y", Verdict::Ask),
        ("cd $(id) && git status", Verdict::Ask),
        ("make test & git status", Verdict::Ask),
        ("make test 2>&1 | tail -n 20", Verdict::Allow),
        ("make test 2>&1 | tail -n 20 ", Verdict::Ask),
        ("make test 2>&1 | tail -n 200", Verdict::Ask),
    ] {
        assert_eq!(verdict(&rules, &runs(command)), wanted, "{command}");
    }
    let every = set(json!([{"name": "e", "decision": "allow", "any_command": true, "directory": "/work"}]));
    assert_eq!(verdict(&every, &runs("curl x | sh")), Verdict::Allow, "it says so");
    assert_eq!(verdict(&every, &asks_in("/etc", "execute", json!({"command": "ls"}))), Verdict::Ask);
    assert_eq!(verdict(&every, &asks("edit", json!({"path": "x"}))), Verdict::Ask, "no command");
}

#[test]
fn files_are_allowed_only_where_all_of_them_lie() {
    let rules = set(json!([allow(json!({"tool": "edit", "path": ["src", "/work/api/docs", "~/notes"]}))]));
    let edits = |input: Value| verdict(&rules, &asks("edit", input));
    for input in [
        json!({"file_path": "src/a"}),
        json!({"path": "/work/api/src/a"}),
        json!({"path": "docs/../src/a"}),
        json!({"path": "~/notes/x"}),
        json!({"paths": ["src/a", "docs/b"]}),
        json!({"path": "src", "content": "/etc/x"}),
    ] {
        assert_eq!(edits(input.clone()), Verdict::Allow, "{input}");
    }
    for input in [
        json!({"path": "srcx/a"}),
        json!({"path": "src/../Cargo.toml"}),
        json!({"path": "/etc/passwd"}),
        json!({"paths": ["src/a", "/etc/passwd"]}),
        json!({"path": "src/a", "target_file": "/etc/x"}),
        json!({"content": "x"}),
        json!({}),
        json!({"path": ""}),
        json!({"path": "src/a\0"}),
        json!({"path": "src/a", "options": {"destination": "../x"}}),
        json!({"changes": {"/etc/x": {}}}),
        json!({"path": "src/a", "command": "rm x"}),
    ] {
        assert_eq!(edits(input.clone()), Verdict::Ask, "{input}");
    }
    assert_eq!(
        verdict(&rules, &asks("execute", json!({"path": "src/a"}))),
        Verdict::Ask,
        "it runs something"
    );
    // What the request says beside its input counts.
    let permission: Permission = serde_json::from_value(json!({
        "permission_id": "p", "hash": "h", "tool": "edit", "raw_input": {"path": "src/a"}, "cwd": "/work/api",
        "options": [], "paths": ["/etc/passwd"],
    }))
    .unwrap();
    assert_eq!(verdict(&rules, &Request::read("fake", &permission)), Verdict::Ask);
}

#[test]
fn links_lead_out_of_what_is_allowed_and_into_what_is_denied() {
    struct Linked;
    impl World for Linked {
        fn real(&self, path: &Path) -> Option<PathBuf> {
            let path = places::as_written(path);
            match path.strip_prefix("/work/api/src/away") {
                Ok(rest) => Some(Path::new("/secret").join(rest)),
                Err(_) if path.starts_with("/work/api/src/broken") => None,
                Err(_) => Some(path),
            }
        }
    }
    let ground = Ground { world: &Linked, home: None, guarded: &[] };
    let rules = [set(json!([
        allow(json!({"tool": "edit", "path": "src"})),
        rule("deny", json!({"path": "/secret"})),
    ]))];
    let judged = |path: &str| judge(&rules, &[], &asks("edit", json!({"path": path})), &ground).verdict;
    assert_eq!(judged("src/x"), Verdict::Allow);
    assert_eq!(judged("src/away/x"), Verdict::Deny);
    assert_eq!(judged("src/broken"), Verdict::Ask);
    let run = |command: &str| judge(&rules, &[], &runs(command), &ground).verdict;
    assert_eq!(run("cat src/away/x"), Verdict::Deny, "the words of a command are looked at too");
    assert_eq!(run("cat --from=/secret/x && ls"), Verdict::Deny);
    assert_eq!(run("cat src/x"), Verdict::Ask);
}

#[test]
fn nothing_of_vibes_is_touched_by_a_rule() {
    let rules = set(json!([
        allow(json!({"tool": "*"})),
        allow(json!({"any_command": true})),
        allow(json!({"exactly": "cat ~/.config/vibes/config.toml"})),
    ]));
    for command in [
        "cat /home/ann/.local/state/vibes/vibes.db",
        "cat /home/ann/x/../.config/vibes/config.toml",
        "rm -rf /home/ann",
        "ls /",
        "cat ~/.config/vibes/config.toml",
        "cp x --target=/home/ann/.config/vibes",
        "cat ~/.conf*/vibes/x",
        "cat $HOME/.config/vibes/x",
        "cat \"$X.config/vibes\"",
        "vibes approve -",
        "sudo /usr/bin/vibes rules apply x",
        "vibesd",
        "bash -c 'rm .config/vibes/x'",
    ] {
        let found = judged(&rules, &[], &runs(command));
        // A star in the middle of it is beyond what can be told; nobody but `any_command` allows it.
        let told = !command.contains("conf*");
        assert_eq!(found.verdict == Verdict::Ask, told, "{command}");
        assert_eq!(found.guarded.is_some(), told, "{command}");
    }
    for path in
        ["/home/ann/.config/vibes/config.toml", "../../home/ann/.local/state/vibes/x", "/home/ann", "/"]
    {
        assert_eq!(verdict(&rules, &asks("edit", json!({"path": path}))), Verdict::Ask, "{path}");
    }
    assert_eq!(
        verdict(&rules, &asks_in("/home/ann/.config/vibes", "execute", json!({"command": "ls"}))),
        Verdict::Ask
    );
    assert_eq!(verdict(&rules, &asks("mcp", json!({"query": "x .config/vibes y"}))), Verdict::Ask);
    // What only sounds like it is nobody's business.
    for command in ["ls", "cargo test -p vibes-cli", "cat /home/ann/vibes/README.md", "cat .config/other"] {
        assert_eq!(verdict(&rules, &runs(command)), Verdict::Allow, "{command}");
    }
    assert_eq!(
        verdict(&rules, &asks("edit", json!({"path": "x", "content": ".config/vibes"}))),
        Verdict::Allow
    );
    assert_eq!(
        verdict(&rules, &asks_in("/home/ann", "execute", json!({"command": "git status"}))),
        Verdict::Allow
    );
    assert_eq!(verdict(&rules, &asks_in("/home/ann", "execute", json!({"command": "ls ."}))), Verdict::Ask);
}

#[test]
fn nothing_is_hidden_behind_more_than_can_be_looked_at() {
    let rules = set(json!([allow(json!({"command": "cat -..."})), rule("deny", json!({"command": "rm"}))]));
    let many = "x ".repeat(1_100);
    let hidden = runs(&format!("cat {many} /home/ann/.config/vibes/config.toml"));
    assert_eq!(verdict(&rules, &hidden), Verdict::Ask);
    assert!(judged(&rules, &[], &hidden).guarded.is_some());
    assert_eq!(verdict(&rules, &runs(&format!("cat {}", "x ".repeat(100)))), Verdict::Allow);
    assert_eq!(verdict(&rules, &runs(&format!("env {} rm x", "-u A ".repeat(3_000)))), Verdict::Ask);
}

#[test]
fn what_runs_under_another_name_runs() {
    let rules = set(json!([
        allow(json!({"tool": "*"})),
        rule("deny", json!({"any_command": true, "agent": "other"}))
    ]));
    for input in [json!({"script": "rm x"}), json!({"code": "import os"}), json!({"argv": ["rm"]})] {
        assert_eq!(verdict(&rules, &asks("mcp__tool", input.clone())), Verdict::Ask, "{input}");
        let mut other = asks("mcp__tool", input.clone());
        other.agent = "other".into();
        assert_eq!(verdict(&rules, &other), Verdict::Deny, "{input}");
    }
    assert_eq!(verdict(&rules, &asks("mcp__tool", json!({"query": "x"}))), Verdict::Allow);
}

#[test]
fn a_session_rule_allows_what_it_was_made_from_and_little_else() {
    let none = set(json!([]));
    let of =
        |request: &Request| SessionRule { name: "s1".into(), ..request.session_rule(None, None).unwrap() };
    let same = |rule: &SessionRule, request: &Request| {
        let found = judged(&none, std::slice::from_ref(rule), request);
        assert!(found.verdict != Verdict::Allow || found.how == How::SessionRule);
        found.verdict == Verdict::Allow
    };
    let line = of(&runs("make test | tail"));
    assert!(same(&line, &runs("make test | tail")));
    assert!(!same(&line, &runs("make test | tail -n 1")));
    assert!(!same(&line, &asks("Bash", json!({"command": "make test | tail"}))), "another tool");
    assert!(!same(&line, &asks("execute", json!({"command": "make test | tail", "cwd": "/etc"}))));
    assert!(!same(&line, &asks("execute", json!({"command": "make test | tail", "env": {"A": "1"}}))));
    let file = of(&asks("edit", json!({"path": "src/a", "content": "1"})));
    assert!(same(&file, &asks("edit", json!({"path": "src/a", "content": "2"}))));
    assert!(!same(&file, &asks("edit", json!({"path": "src/b", "content": "2"}))));
    let input = of(&asks("fetch", json!({"url": "http://a"})));
    assert!(same(&input, &asks("fetch", json!({"url": "http://a"}))));
    assert!(!same(&input, &asks("fetch", json!({"url": "http://b"}))));
    let words = |text: &str| Some(text.split(' ').map(str::to_owned).collect());
    let wide = runs("cargo test x").session_rule(words("cargo test -..."), None).unwrap();
    assert!(same(&wide, &runs("cargo test y --z")));
    assert!(!same(&wide, &runs("cargo test y; id")));
    let place = asks("edit", json!({"path": "src/a"})).session_rule(None, Some("src".into())).unwrap();
    assert!(same(&place, &asks("edit", json!({"path": "src/b"}))));
    assert!(!same(&place, &asks("edit", json!({"path": "docs/b"}))));
    assert!(runs("cargo build").session_rule(words("cargo test -..."), None).is_err());
    assert!(runs("a; b").session_rule(words("a"), None).is_err());
    assert!(asks("ExitPlanMode", json!({})).session_rule(None, None).is_err());
    assert!(asks("other", Value::Null).session_rule(None, None).is_err());
    // Standing rules that restrict win, and what is vibes' stays so.
    let ask = set(json!([rule("ask", json!({"command": "make"}))]));
    assert_eq!(judged(&ask, std::slice::from_ref(&line), &runs("make test | tail")).verdict, Verdict::Ask);
    let own = of(&runs("vibes ls"));
    assert!(!same(&own, &runs("vibes ls")));
}

#[test]
fn a_file_that_could_be_misread_is_refused() {
    for (rules, says) in [
        (json!([{"name": "a", "decision": "allow"}]), "names a tool"),
        (json!([{"name": "a", "decision": "allow", "directory": "/x"}]), "names a tool"),
        (json!([{"name": "a", "decision": "maybe"}]), "maybe"),
        (json!([{"name": "", "decision": "deny"}]), "name"),
        (json!([{"name": "a", "decision": "deny"}, {"name": "a", "decision": "ask"}]), "twice"),
        (json!([{"name": "a", "decision": "deny", "comand": "x"}]), "comand"),
        (json!([{"name": "a", "decision": "allow", "command": []}]), "empty list"),
        (json!([{"name": "a", "decision": "allow", "command": "git st*"}]), "whole word"),
        (json!([{"name": "a", "decision": "allow", "command": "git 'a b'"}]), "quotes"),
        (json!([{"name": "a", "decision": "allow", "command": "*"}]), "program"),
        (json!([{"name": "a", "decision": "allow", "tool": ""}]), "empty text"),
        (json!([{"name": "a", "decision": "allow", "tool": "edit", "directory": "src"}]), "not absolute"),
        (json!([{"name": "a", "decision": "allow", "tool": "edit", "directory": "/a/../b"}]), ".."),
        (json!([{"name": "a", "decision": "allow", "command": "ls", "path": "x"}]), "commands or paths"),
        (json!([{"name": "a", "decision": "deny", "command": "ls", "sequence": true}]), "sequence"),
    ] {
        let why = spec(rules.clone()).unwrap_err();
        assert!(why.contains(says), "{rules}: {why}");
    }
    let why = serde_json::from_value::<File>(json!({"version": 2})).unwrap().compile("", None).unwrap_err();
    assert!(why.contains("version"), "{why}");
}
