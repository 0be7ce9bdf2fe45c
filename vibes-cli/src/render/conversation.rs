//! A session's records as a person reads them.
//!
//! Invariant: a fold of records in order, and nothing else: replay and live look the same. On a terminal every line
//! of an agent is sanitised, indented and cut to the width, so that the left edge belongs to vibes alone; without a
//! terminal an agent's words pass byte for byte.

mod speech;
pub(crate) mod told;
mod work;

use super::markdown::Markdown;
use super::{keep_start, permission};
use crate::sanitize;
use crate::ui::Paint;
use serde_json::Value;
use vibes_protocol::model::{ClientId, Fact, content};
use work::Work;

/// Where a conversation is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Printed as it comes: what begins is said, because nothing can be drawn again.
    Stream,
    /// A transcript: what began and ended is one line.
    Page,
    /// A window with a live part, where what is under way is seen.
    Window,
}

/// How to draw.
#[derive(Debug, Clone)]
pub(crate) struct Style {
    /// Sanitise, indent, wrap, paint Markdown.
    pub(crate) terminal: bool,
    /// Where.
    pub(crate) place: Place,
    /// Thoughts are shown whole.
    pub(crate) thoughts: bool,
    /// Columns.
    pub(crate) width: usize,
    /// Colours.
    pub(crate) paint: Paint,
    /// The session's agent: `shell` sends plain output, not Markdown.
    pub(crate) agent: String,
    /// This client, whose own name need not be said.
    pub(crate) me: Option<ClientId>,
    /// This person's seat: what was sent from it by another command is theirs too.
    pub(crate) seat: Option<String>,
}

/// A piece to print.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    /// A whole line of vibes, or of an agent on a terminal.
    Line(String),
    /// An agent's words as they came, without a terminal.
    Words(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Speaker {
    Agent,
    Thought,
    User,
}

/// The fold.
#[derive(Debug)]
pub(crate) struct Conversation {
    style: Style,
    speaker: Speaker,
    /// The line under way, not sanitised yet: a sequence cut between two chunks is whole again here.
    partial: String,
    markdown: Markdown,
    work: Work,
    /// When the record was written that is read, in milliseconds.
    at_ms: i64,
    /// The lost records that were told last.
    lost: Option<(u64, u64)>,
    pieces: Vec<Piece>,
}

/// How many rows of a terminal a note takes at most: what it says of a rule or a branch is not cut on a phone.
const NOTE: usize = 3;

impl Conversation {
    /// A fold that has seen nothing.
    pub(crate) fn new(style: Style) -> Self {
        Self {
            style,
            speaker: Speaker::Agent,
            partial: String::new(),
            markdown: Markdown::default(),
            work: Work::default(),
            at_ms: 0,
            lost: None,
            pieces: Vec::new(),
        }
    }

    /// Whether a line is under way.
    pub(crate) fn has_partial(&self) -> bool {
        !self.partial.is_empty() || self.markdown.is_under_way()
    }

    /// From now on lines have so many columns.
    pub(crate) fn resize(&mut self, width: usize) {
        self.style.width = width;
    }

    /// Ends the line under way and gives what is to be printed.
    pub(crate) fn flush(&mut self) -> Vec<Piece> {
        // The end of a transcript, in the middle of a turn perhaps.
        if self.style.place == Place::Page {
            self.work_ends();
        }
        self.end_line();
        std::mem::take(&mut self.pieces)
    }

    /// Reads one fact and gives what is to be printed.
    pub(crate) fn read(&mut self, at_ms: i64, fact: &Fact) -> Vec<Piece> {
        self.at_ms = at_ms;
        let paint = self.style.paint;
        match fact {
            Fact::Update(update) => self.update(&update.update),
            Fact::Input(input) => self.input(input),
            Fact::TurnEnded(ended) => self.turn_ended(ended),
            Fact::PermissionRequested(requested) => {
                let action = permission::action(&requested.permission);
                self.line(paint.yellow("?"), &format!("asks for approval: {action}"));
            }
            Fact::PermissionResolved(resolved) => self.resolved(resolved),
            Fact::RuleAdded(added) => {
                let what = super::approvals::of_rule(&added.rule);
                self.note(&format!("allowed from now on in this session ({}): {what}", added.rule.name));
            }
            Fact::RuleRemoved(removed) => {
                self.note(&format!("no longer allowed by itself: rule {}", removed.name))
            }
            Fact::StateChanged(changed) => self.state_changed(changed),
            Fact::BudgetSpent(spent) => self.budget_spent(spent),
            Fact::OwnershipChanged(changed) if matches!(changed.cause.as_str(), "transferred" | "taken") => {
                let label = changed.owner_label.as_deref().unwrap_or("nobody");
                self.note(&format!("ownership {} to {label}", changed.cause));
            }
            Fact::AgentStarted(started) if started.generation > 1 => {
                self.note(&format!("the agent was started again (start {})", started.generation));
            }
            Fact::AgentReady(ready) if ready.context_lost => {
                self.line(
                    paint.red("!"),
                    "the agent could not take up the earlier conversation; it begins anew",
                );
            }
            Fact::AgentStderr(stderr) => {
                self.note("the agent's last words on standard error:");
                for line in sanitize::text(&stderr.text).lines().map(str::to_owned).collect::<Vec<_>>() {
                    let line = paint.dim(&keep_start(&format!("  {line}"), self.style.width));
                    self.whole(line);
                }
            }
            Fact::AgentExited(exited) => match (exited.code, exited.signal) {
                (Some(0), None) => {}
                (Some(code), _) => self.note(&format!("the agent ended with exit code {code}")),
                (None, Some(signal)) => self.note(&format!("the agent was ended by signal {signal}")),
                (None, None) => self.note("the agent ended"),
            },
            Fact::AgentSilent(silent) if silent.request == "session/cancel" => self.line(
                paint.red("!"),
                &format!(
                    "the agent was asked to end its turn {} s ago and has not; `vibes kill` ends it",
                    silent.after_s
                ),
            ),
            Fact::AgentSilent(silent) => self.line(
                paint.red("!"),
                &format!("the agent has not answered {} within {} s", silent.request, silent.after_s),
            ),
            Fact::AgentWaits(waits) => self.line(paint.yellow("…"), &told::waits(waits)),
            Fact::Created(created) => self.created(created),
            Fact::WorktreeFact(done) => self.worktree(done),
            Fact::ContextAdded(added) => self.context_added(added),
            Fact::NotDelivered(_) => self.note("a prompt did not reach the agent; it stays in the queue"),
            Fact::InputDropped(dropped) => match (&dropped.by, &dropped.reason) {
                (Some(by), _) => self.note(&format!("a queued prompt was removed by {}", self.who(by))),
                (None, Some(why)) => self.note(&format!("a prompt was not given to the agent: {why}")),
                (None, None) => self.note("a queued prompt was dropped: the session ended"),
            },
            Fact::InputEdited(edited) => {
                let words: Vec<String> = edited.content.iter().map(words_of_block).collect();
                let who = self.who(&edited.by);
                self.note(&format!("a queued prompt was changed by {who}: {}", words.join(" ")));
            }
            Fact::InputMoved(moved) => {
                let who = self.who(&moved.by);
                self.note(&format!("a queued prompt was moved to place {} by {who}", moved.place));
            }
            Fact::Unparsed(line) => {
                self.note(&format!(
                    "a line of the agent ({} bytes) could not be read: {}",
                    line.bytes, line.why
                ));
            }
            Fact::Renamed(renamed) => {
                self.note(&format!(
                    "the session is now called {}",
                    renamed.name.as_deref().unwrap_or("nothing")
                ));
            }
            Fact::OptionSet(set) => {
                self.work.option(&set.option_id, &set.value);
                self.note(&format!("{} = {}", set.option_id, words_of(&set.value)));
            }
            Fact::OptionDropped(dropped) => self.line(paint.yellow("!"), &told::option_dropped(dropped)),
            Fact::Refused(refused) => {
                self.line(paint.red("!"), &format!("refused to the agent itself: {}", refused.request));
            }
            Fact::RecordsLost(lost) => {
                // Each of them says the same: once is enough.
                if self.lost != Some((lost.first, lost.last)) {
                    let which = match lost.last.saturating_sub(lost.first) {
                        0 => format!("record {} is", lost.first),
                        _ => format!("records {} to {} are", lost.first, lost.last),
                    };
                    self.line(paint.red("!"), &format!("{which} lost: the store was damaged"));
                }
                self.lost = Some((lost.first, lost.last));
            }
            Fact::TailLost(lost) => {
                self.line(paint.red("!"), &format!("part of what the agent wrote is lost: {}", lost.why));
            }
            Fact::AgentRequestRefused(refused) => {
                self.note(&format!("refused to the agent: {}", refused.method))
            }
            // The rest is for programs: what began, what was counted, and kinds of a newer daemon.
            _ => {}
        }
        std::mem::take(&mut self.pieces)
    }

    fn update(&mut self, update: &Value) {
        let words = || words_of_block(&update["content"]);
        match update["sessionUpdate"].as_str() {
            Some("agent_message_chunk") => self.words(Speaker::Agent, &words()),
            Some("agent_thought_chunk") => self.words(Speaker::Thought, &words()),
            Some("user_message_chunk") => self.words(Speaker::User, &words()),
            Some("tool_call") => self.tool_begins(update),
            Some("tool_call_update") => self.tool_goes_on(update),
            Some("plan") => self.plan(update),
            Some("current_mode_update") => {
                self.work.option("mode", &update["currentModeId"]);
                self.note(&format!("mode: {}", words_of(&update["currentModeId"])));
            }
            Some("config_option_update") => {
                for option in update["configOptions"].as_array().into_iter().flatten() {
                    self.work.option(option["id"].as_str().unwrap_or_default(), &option["currentValue"]);
                }
            }
            Some("usage_update") => self.work.context(update),
            _ => {}
        }
    }

    /// A line of ours with a mark before it.
    fn line(&mut self, mark: String, words: &str) {
        let words = keep_start(&sanitize::line(words), self.style.width.saturating_sub(2));
        self.whole(format!("{mark} {words}"));
    }

    /// A line of ours in the background.
    fn note(&mut self, words: &str) {
        let (width, clean) = (self.style.width.saturating_sub(2), sanitize::line(words).into_owned());
        let mut lines = if self.style.terminal { super::wrap(&clean, width) } else { vec![clean] };
        if lines.len() > NOTE {
            let rest = lines.split_off(NOTE - 1).join(" ");
            lines.push(keep_start(&rest, width));
        }
        for (at, line) in lines.iter().enumerate() {
            let mark = if at == 0 { '·' } else { ' ' };
            self.whole(self.style.paint.dim(&format!("{mark} {line}")));
        }
    }

    fn whole(&mut self, line: String) {
        self.end_line();
        self.pieces.push(Piece::Line(line));
    }
}

/// The text of an ACP content block, or what it is.
pub(crate) fn words_of_block(block: &Value) -> String {
    content::words(block).into_owned()
}

pub(crate) fn words_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests;
