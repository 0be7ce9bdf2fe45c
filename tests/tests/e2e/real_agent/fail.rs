//! A model that cannot answer: what the agent makes of it is told as what it is.

use super::{answered, ended, interrupt};
use vibes_tests::{
    Real,
    agents::{Agent, Failure},
    eventually_within,
    real::PATIENCE,
    turns,
};

pub fn model(agent: &'static Agent) {
    let Some(real) = Real::started(agent) else { return };
    let mut ada = real.client();
    let session = real.create(&mut ada);
    for (what, failure) in agent.failures {
        let prompt = format!("[[{what}]] this");
        ada.prompt(&session, &prompt);
        match failure {
            Failure::Told => {
                let record = ada.fact(&session, "turn_ended");
                assert_eq!(record["fact"]["outcome"], "failed", "{what}: {record}");
                assert!(record["fact"]["error"].as_str().is_some_and(|error| !error.is_empty()), "{record}");
            }
            Failure::TriedAgain => {
                let tried = || real.calls().iter().filter(|call| call.prompt() == prompt).count();
                eventually_within(PATIENCE, &format!("{what}: the model is asked again"), || {
                    (tried() >= 2).then_some(())
                });
                interrupt(&mut ada, &session);
                assert_eq!(ended(&mut ada, &session), "interrupted", "{what}");
            }
            Failure::Waits => {
                real.called("the model is asked", |call| call.prompt() == prompt);
                interrupt(&mut ada, &session);
                assert_eq!(ended(&mut ada, &session), "interrupted", "{what}");
            }
        }
        let next = format!("carry on after {what}");
        answered(&mut ada, &session, &next);
        ada.said(&session, &format!("you said {next}"));
    }
    let journals = real.check();
    let lied = turns(&journals[&session])
        .into_iter()
        .find(|turn| turn.prompt.starts_with("[[") && turn.outcome == "finished");
    assert!(lied.is_none(), "{lied:?}");
}
