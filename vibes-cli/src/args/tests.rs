//! Both spellings of every verb, and slips.

use super::*;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(std::iter::once("vibes").chain(line.split_whitespace()))
}

fn verb(line: &str) -> Verb {
    match parse(line).unwrap().command.unwrap() {
        Command::Verb(verb) => *verb,
        Command::Sessions(SessionsArgs { verb: Some(verb), .. }) => *verb,
        other => panic!("{line} is {other:?}"),
    }
}

#[test]
fn the_definition_is_sound() {
    command().debug_assert();
}

#[test]
fn every_session_verb_has_both_spellings() {
    for line in [
        "list --all --state idle --state needs-approval --json",
        "ls --ndjson --agent shell --search x --limit 3",
        "attach - --read-only --after 4",
        "kill a b",
        "kill --all --yes",
        "who a --json",
        "send a hello --wait --now",
        "wait a --until needs-approval --timeout 0.5",
        "wait a b --until cost>2.5 --any",
        "when a finished -- make deploy",
        "when a file:dist/* --webhook chat",
        "when list a --json",
        "when rm 4 5",
        "approve a --option x --permission p",
        "deny a --message no",
        "interrupt a",
        "suspend a --now",
        "resume a --context more --env X=1",
        "finish a",
        "rename a b",
        "update a --name b --ttl 7d --pin --metadata x=1 --version 3",
        "ttl a never",
        "pin a b",
        "budget a +5",
        "resume a --budget 7.50",
        "digest a --since 7d --mark-read --json",
        "read a b",
        "unpin a b",
        "transfer a bob@box:pts/1",
        "take a",
        "show a --json",
        "logs a -f --after 3 --json",
        "rm a b",
        "undelete a",
        "set a mode auto",
    ] {
        assert_eq!(format!("{:?}", verb(line)), format!("{:?}", verb(&format!("sessions {line}"))), "{line}");
    }
}

#[test]
fn sessions_alone_is_the_list() {
    let Command::Sessions(args) = parse("sessions --json --all").unwrap().command.unwrap() else { panic!() };
    assert!(args.verb.is_none() && args.list.json && args.list.all);
}

#[test]
fn agents_start_with_their_own_verbs() {
    let line = "run shell --mode auto --orphan remove --once --cwd /tmp --name n --env A=b make -- --flag x";
    let Command::Run(args) = parse(line).unwrap().command.unwrap() else { panic!() };
    assert_eq!((args.agent.as_deref(), args.start.prompt.as_deref()), (Some("shell"), Some("make")));
    assert_eq!(args.start.agent_args, ["--flag", "x"]);
    for agent in ["shell", "claude", "codex", "gemini", "opencode"] {
        assert!(parse(&format!("{agent} -d hello")).is_ok(), "{agent}");
    }
    assert!(parse("shell").is_ok(), "a prompt is not needed");
}

#[test]
fn slips_are_usage_errors() {
    for line in [
        "kill",
        "kill a --all",
        "wait a --timeout -1",
        "wait a --until never",
        "ls --json --ndjson",
        "ls --state asleep",
        "run",
        "run shell --json",
        "rm",
        "nonsense",
    ] {
        assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
    }
}
