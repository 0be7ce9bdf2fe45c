//! Runners that no session speaks with.
//!
//! Invariant: what the store does not know is never ended by itself.

use super::{Sessions, has_agent};
use crate::agent::link;

impl Sessions {
    /// Ends runners that nobody speaks with any more: those of an earlier generation, and of a session that has no
    /// agent because the daemon died between the commit that says so and the clearing away. Runners of a session that
    /// the store does not know, or knows no more than the id of, are left alone and told: their output may be all that
    /// is left of it. Blocking.
    pub fn reap_strangers(&self) -> Vec<String> {
        /// How many are told one by one.
        const TOLD: usize = 5;
        let (mut told, mut more) = (Vec::new(), 0);
        for (session, generation) in self.parts.yard.present().unwrap_or_default() {
            let dir = self.parts.yard.dir_of(&session, generation);
            // What cannot be read now counts as unknown: it is left alone.
            match self.get(&session).ok().flatten().map(|handle| handle.info()) {
                Some(known) if known.generation == generation && has_agent(known.state) => {}
                Some(known) if known.generation >= generation && !link::is_unknown(&dir) => {
                    let left = link::end_runner(&self.parts.yard, &session, generation);
                    tracing::warn!(%session, generation, ?left, "an orphaned runner was ended");
                    let _ = std::fs::remove_dir_all(dir);
                }
                _ if told.len() == TOLD => more += 1,
                _ => {
                    let agent = link::agent_pid(&dir).filter(|_| link::runner_process(&dir).is_some());
                    let lives = agent.map_or("has ended".to_owned(), |pid| format!("runs as process {pid}"));
                    tracing::warn!(%session, generation, "a runner of a session that the store does not know");
                    told.push(format!(
                        "an agent of session {session} {lives}, but the store does not know it (start {generation}); \
                         what it said is kept in {}. `vibes doctor --reap` ends and removes it",
                        dir.display()
                    ));
                }
            }
        }
        if more > 0 {
            told.push(format!(
                "{more} more agents of sessions that the store does not know: `vibes doctor` lists them"
            ));
        }
        told
    }
}
