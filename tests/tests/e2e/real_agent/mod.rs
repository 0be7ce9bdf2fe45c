//! Real agents through the real programs: one suite of scenarios, run for each of them. What people do with an agent on a
//! good day, and what it does on a bad one.
//!
//! Invariant: what an agent did is read from what it leaves (files, processes, what its model was asked), not from what it
//! says. After every scenario the model's log and the journal tell the same, word for word. Where agents differ, the
//! difference is a field of their row in `tests/src/real/agents.rs`, never a test of its own.

mod ask;
mod crash;
mod credentials;
mod fail;
mod resume;
mod start;
mod talk;

use serde_json::json;
use std::path::Path;
use vibes_tests::{Real, Wire, agents, eventually_within, processes::Process, real::PATIENCE};

/// A prompt to run a command, which the agent asks about first.
fn run(command: &str) -> String {
    format!("please [[run: {command}]]")
}

/// A command that runs until a file is there, and then leaves another one.
fn run_until(real: &Real) -> String {
    let env = &real.env;
    run(&format!(
        "touch {}; until test -e {}; do sleep 0.05; done; touch {}",
        env.path("began"),
        env.path("go"),
        env.path("done")
    ))
}

/// A session whose agent runs that command, with leave, and a client that has joined it.
#[track_caller]
fn at_work(real: &Real) -> (Wire, String) {
    let mut ada = real.client();
    let session = real.create(&mut ada);
    works(real, &mut ada, &session);
    (ada, session)
}

/// Has the agent run that command, with leave.
#[track_caller]
fn works(real: &Real, wire: &mut Wire, session: &str) {
    wire.prompt(session, &run_until(real));
    decide(wire, session, "allow_once");
    file(real, "began");
}

/// Waits until a file of the environment is there.
fn file(real: &Real, name: &str) {
    let path = real.env.path(name);
    eventually_within(PATIENCE, &format!("there is a file {name}"), || {
        Path::new(&path).exists().then_some(())
    });
}

/// Answers the next question; returns nothing, because it must go well.
fn decide(wire: &mut Wire, session: &str, decision: &str) {
    let permission = wire.permission(session);
    assert_eq!(wire.decide(session, &permission, decision)["type"], "ok");
}

/// Waits for the end of a turn; returns its outcome.
fn ended(wire: &mut Wire, session: &str) -> String {
    wire.fact(session, "turn_ended")["fact"]["outcome"].as_str().expect("an outcome is a word").to_owned()
}

/// Gives a prompt and waits until it is answered well.
fn answered(wire: &mut Wire, session: &str, prompt: &str) {
    wire.prompt(session, prompt);
    let record = wire.fact(session, "turn_ended");
    assert_eq!(record["fact"]["outcome"], "finished", "{prompt}: {record}");
}

fn interrupt(wire: &mut Wire, session: &str) {
    wire.ok("interrupt", json!({"session_id": session}));
}

/// The living processes of runners, agents and tools.
fn of_agent(real: &Real) -> Vec<Process> {
    let mut processes = real.env.processes();
    processes.retain(|process| ["vibesd", "model.py"].iter().all(|other| !process.command.contains(other)));
    processes
}

/// The suite for one agent: each test is a scenario of its name.
macro_rules! suite {
    ($agent:ident, $which:expr) => {
        mod $agent {
            use super::*;

            #[test]
            fn a_streamed_turn_is_kept_word_by_word_and_shown() {
                talk::streamed(&$which);
            }

            #[test]
            fn prompts_queue_and_are_answered_in_order() {
                talk::queued(&$which);
            }

            #[test]
            fn an_image_and_a_file_reach_the_model() {
                talk::attached(&$which);
            }

            #[test]
            fn an_interrupted_answer_ends_and_the_next_turn_works() {
                talk::interrupted(&$which);
            }

            #[test]
            fn an_approved_command_runs_and_a_denied_one_does_not() {
                ask::approved_and_denied(&$which);
            }

            #[test]
            fn an_interrupt_answers_the_question_that_waits() {
                ask::interrupted(&$which);
            }

            #[test]
            fn an_interrupted_command_ends_its_turn_and_dies_with_the_session_at_the_latest() {
                ask::interrupted_at_work(&$which);
            }

            #[test]
            fn a_killed_session_leaves_no_process_of_the_agent_or_its_tools() {
                ask::killed_at_work(&$which);
            }

            #[test]
            fn an_agent_that_is_killed_at_work_leaves_no_command() {
                ask::agent_killed_at_work(&$which);
            }

            #[test]
            fn the_conversation_goes_on_in_a_new_process_and_is_not_told_twice() {
                resume::conversation(&$which);
            }

            #[test]
            fn a_conversation_that_the_agent_has_lost_is_told_again_once() {
                resume::forgotten(&$which);
            }

            #[test]
            fn agents_that_are_stopped_with_their_daemon_go_on_in_the_next_one() {
                resume::replaced(&$which);
            }

            #[test]
            fn a_fork_knows_what_was_said() {
                resume::forked(&$which);
            }

            #[test]
            fn what_the_agent_streams_while_no_daemon_lives_is_there_afterwards() {
                crash::streaming(&$which);
            }

            #[test]
            fn fault_71_an_answer_after_a_restart_is_heard_once() {
                crash::asking(&$which);
            }

            #[test]
            fn a_command_that_runs_outlives_the_daemon() {
                crash::working(&$which);
            }

            #[test]
            fn a_model_that_fails_is_never_a_success() {
                fail::model(&$which);
            }

            #[test]
            fn an_agent_that_cannot_be_started_says_why() {
                start::cannot(&$which);
            }
        }
    };
}

suite!(codex, agents::CODEX);
suite!(claude, agents::CLAUDE);
suite!(claude_acp, agents::CLAUDE_ACP);
suite!(gemini, agents::GEMINI);
suite!(opencode, agents::OPENCODE);
