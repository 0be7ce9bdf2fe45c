//! The facts that vibes itself tells: prompts, the ends of turns, answers, states.
//!
//! Invariant: a name other than this person's is always said, and every word from outside is sanitised on its way.

use super::{Conversation, words_of, words_of_block};
use crate::render::list::money;
use crate::render::markdown::Markdown;
use crate::render::{columns, count, short, wrap};
use crate::sanitize;
use vibes_protocol::model::fact::{
    Actor, AgentWaits, BudgetSpent, ContextAdded, ContextSource, Created, Input, OptionDropped,
    PermissionResolved, StateChanged, TurnEnded, WorktreeAction, WorktreeFact,
};
use vibes_protocol::model::{BudgetScope, How, Outcome, SessionState, TurnOutcome, content};

/// What an agent waits for.
pub(crate) fn waits(waits: &AgentWaits) -> String {
    let status = waits.status.map_or_else(String::new, |status| format!(" (HTTP {status})"));
    let tries = match (waits.attempt, waits.of) {
        (Some(attempt), Some(of)) => format!("; try {attempt} of {of}"),
        _ => String::new(),
    };
    let next = waits.retry_ms.map_or_else(String::new, |ms| format!(", again in {} s", ms.div_ceil(1000)));
    format!("{}{status}{tries}{next}", waits.why)
}

/// An option that a session had, and its agent no longer takes.
pub(crate) fn option_dropped(dropped: &OptionDropped) -> String {
    format!("{} is no longer {}: {}", dropped.option_id, words_of(&dropped.value), dropped.why)
}

impl Conversation {
    pub(super) fn input(&mut self, input: &Input) {
        let text: Vec<String> = input.content.iter().map(words_of_block).collect();
        let mut tail = String::new();
        if let Some(label) = self.stranger(&input.by) {
            tail = format!("  ({})", sanitize::line(&label));
        }
        if input.queued {
            tail.push_str("  (queued)");
        }
        let (paint, width) = (self.style.paint, self.style.width.saturating_sub(3));
        let joined = text.join("\n");
        let clean = if self.style.terminal { sanitize::text(&joined).into_owned() } else { joined };
        let mut lines: Vec<String> = clean.lines().map(str::to_owned).collect();
        if self.style.terminal {
            lines = lines.iter().flat_map(|line| wrap(line, width)).collect();
        }
        let last = lines.len().saturating_sub(1);
        // Who and how come behind the words where there is room, and below them where there is none.
        let below = self.style.terminal
            && lines.last().is_some_and(|line| columns(line) + columns(&tail) > width.max(1));
        for (at, line) in lines.iter().enumerate() {
            let tail = if at == last && !below { paint.dim(&tail) } else { String::new() };
            self.whole(format!("{} {}{tail}", paint.green(">"), paint.bold(line)));
        }
        if below {
            for line in wrap(tail.trim_start(), width) {
                self.whole(format!("  {}", paint.dim(&line)));
            }
        }
    }

    /// Where the session goes on from.
    pub(super) fn created(&mut self, created: &Created) {
        if let Some(parent) = created.parent_id {
            let at = created.forked_at.unwrap_or_default();
            self.note(&format!("goes on from session {} at record {at}", short(parent)));
        }
    }

    pub(super) fn worktree(&mut self, done: &WorktreeFact) {
        let WorktreeFact { worktree, commit, saved, by, .. } = done;
        let who = by.as_ref().map_or_else(String::new, |by| format!(" by {}", self.who(by)));
        let (branch, base) = (&worktree.branch, &worktree.base);
        let kept =
            saved.as_ref().map_or_else(String::new, |saved| format!("; what was there is kept in {saved}"));
        self.note(&match done.action {
            WorktreeAction::Made => format!("works on {branch} (from {base}) in {}", worktree.path),
            WorktreeAction::Merged => {
                format!(
                    "{branch} was merged into {base}{who}: {}{kept}",
                    commit.as_deref().unwrap_or_default()
                )
            }
            WorktreeAction::Dropped => format!("{branch} and its worktree were dropped{who}{kept}"),
        });
    }

    /// What the agent was told besides the prompt, and how much of it.
    pub(super) fn context_added(&mut self, added: &ContextAdded) {
        let size = content::bytes(added.text.len() as u64);
        match (added.source, &added.error) {
            (_, Some(why)) => {
                let mark = self.style.paint.red("!");
                self.line(mark, &format!("the agent was not told what was said before: {why}"));
            }
            (ContextSource::Person, None) => {
                self.note(&format!("additional context for the agent: {} ({size})", added.text));
            }
            (ContextSource::Transcript, None) => {
                let turns = count(added.turns as usize, "turn", "turns");
                let without = match added.left_out {
                    0 => String::new(),
                    1 => ", without the one before".to_owned(),
                    n => format!(", without the {n} before"),
                };
                self.note(&format!("the agent was told again what was said: {turns}{without} ({size})"));
            }
        }
    }

    pub(super) fn turn_ended(&mut self, ended: &TurnEnded) {
        let paint = self.style.paint;
        let why = ended.error.as_deref().unwrap_or(&ended.stop_reason);
        match ended.outcome {
            TurnOutcome::Finished => match ended.stop_reason.as_str() {
                "end_turn" | "" => {}
                reason => self.note(&format!("turn ended: {reason}")),
            },
            TurnOutcome::Interrupted => self.line(paint.yellow("■"), "turn interrupted"),
            TurnOutcome::Failed => self.line(paint.red("✗"), &format!("turn failed: {why}")),
            TurnOutcome::Unknown => {
                self.line(paint.red("✗"), "the agent was lost during this turn; what it did is not known");
            }
        }
        self.work_ends();
        if self.style.terminal {
            let words = self.work.usage(ended);
            for line in wrap(&words, self.text_width()).iter().filter(|line| !line.is_empty()) {
                self.note(line);
            }
        }
        self.end_line();
        self.markdown = Markdown::default();
    }

    pub(super) fn resolved(&mut self, resolved: &PermissionResolved) {
        let paint = self.style.paint;
        let who = match (&resolved.rule, &resolved.by) {
            (Some(rule), _) => {
                let of =
                    if resolved.how == Some(How::SessionRule) { "the session's rule" } else { "the rule" };
                format!(" by {of} {}", crate::sanitize::line(rule))
            }
            (None, None) if resolved.how == Some(How::Detached) => ": nobody was there to answer".to_owned(),
            (None, Some(by)) => format!(" by {}", self.who(by)),
            (None, None) => String::new(),
        };
        let option = resolved.option_id.as_deref().map_or_else(String::new, |option| format!(" ({option})"));
        let message = resolved.message.as_deref().map_or_else(String::new, |message| format!(": {message}"));
        let (mark, words) = match resolved.outcome {
            Outcome::Allowed if resolved.answers.is_some() => (paint.green("✓"), "answered"),
            Outcome::Allowed => (paint.green("✓"), "allowed"),
            Outcome::Denied => (paint.red("✗"), "denied"),
            Outcome::Expired => (paint.red("✗"), "denied: nobody answered in time"),
            Outcome::Cancelled => (paint.yellow("■"), "request cancelled"),
            Outcome::Withdrawn => (paint.yellow("■"), "request withdrawn by the agent"),
        };
        self.line(mark, &format!("{words}{who}{option}{message}"));
    }

    pub(super) fn budget_spent(&mut self, spent: &BudgetSpent) {
        let whose = match (spent.scope, spent.directory.as_deref().unwrap_or_default()) {
            (BudgetScope::Session, _) => "the session's budget".to_owned(),
            (BudgetScope::Day, _) => "the budget of today".to_owned(),
            (BudgetScope::Directory, directory) => format!("the budget for {directory}"),
            (BudgetScope::DirectoryDay, directory) => format!("the budget of today for {directory}"),
        };
        let mark = self.style.paint.yellow("■");
        let (budget, so_far) = (spent.budget, money(&spent.spent));
        self.line(mark, &format!("{whose} of {budget:.2} is spent ({so_far}): the session pauses"));
    }

    pub(super) fn state_changed(&mut self, changed: &StateChanged) {
        let reason = changed.reason.as_deref().map_or_else(String::new, |reason| format!(": {reason}"));
        let who = changed.by.as_ref().map_or_else(String::new, |by| format!(" by {}", self.who(by)));
        match changed.to {
            SessionState::Suspended
            | SessionState::Finished
            | SessionState::Killed
            | SessionState::Expired => {
                self.note(&format!("session {}{who}{reason}", changed.to.as_str()));
            }
            SessionState::Failed => {
                let mark = self.style.paint.red("✗");
                self.line(mark, &format!("session failed{reason}"));
            }
            SessionState::Starting | SessionState::Idle if changed.from == SessionState::Suspended => {
                self.note(&format!("session resumed{who}"));
            }
            _ => {}
        }
    }

    /// Who did something, for this person.
    pub(super) fn who(&self, by: &Actor) -> String {
        self.stranger(by).map_or_else(|| "you".to_owned(), |label| sanitize::line(&label).into_owned())
    }

    /// Somebody else's name; nothing for this client.
    fn stranger(&self, by: &Actor) -> Option<String> {
        let same_seat = by.label.is_some() && by.label == self.style.seat;
        if same_seat || self.style.me == Some(by.client_id) {
            return None;
        }
        Some(by.label.clone().unwrap_or_else(|| format!("client {}", &by.client_id.to_string()[..8])))
    }
}
