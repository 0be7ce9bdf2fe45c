//! The legal changes of a session's state, and nothing else.

use vibes_protocol::model::SessionState::{self, *};

/// Whether a session may go from one state to another.
pub fn may_change(from: SessionState, to: SessionState) -> bool {
    match (from, to) {
        // An agent that is there waits, works, asks, and goes back to waiting.
        (Starting, Idle | WaitingPermission)
        | (Idle, Processing | WaitingPermission)
        | (Processing, Idle | WaitingPermission)
        | (WaitingPermission, Idle | Processing) => true,
        // Whatever it does, it can be stopped, end or fail.
        (
            Starting | Idle | Processing | WaitingPermission,
            Suspended | Finished | Failed | Killed | Expired,
        ) => true,
        // Without an agent: started again, or ended.
        (Suspended, Starting | Finished | Failed | Killed | Expired) => true,
        // An ended session is resumed on purpose only.
        (Finished | Failed | Killed | Expired, Starting) => true,
        // An agent that crashed is started again.
        (Idle | Processing | WaitingPermission, Starting) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [SessionState; 9] =
        [Starting, Idle, Processing, WaitingPermission, Suspended, Finished, Failed, Killed, Expired];

    #[test]
    fn an_ended_session_only_starts_again() {
        for from in ALL.into_iter().filter(|state| state.is_ended()) {
            for to in ALL {
                assert_eq!(may_change(from, to), to == Starting, "{from:?} -> {to:?}");
            }
        }
    }

    #[test]
    fn work_begins_only_in_a_session_that_waits() {
        for from in ALL {
            assert_eq!(may_change(from, Processing), matches!(from, Idle | WaitingPermission), "{from:?}");
        }
    }

    #[test]
    fn every_living_state_can_end_in_every_way() {
        for from in ALL.into_iter().filter(|state| !state.is_ended()) {
            for to in ALL.into_iter().filter(|state| state.is_ended()) {
                assert!(may_change(from, to), "{from:?} -> {to:?}");
            }
        }
    }
}
