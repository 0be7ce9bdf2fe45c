//! The routes of the API, as a table.
//!
//! Invariant: this is the only list of routes; the router, the description of the API and the tests of the wall come
//! from it. A route is a request of the wire in other clothes, unless it says otherwise.

use super::{agents, archive, auth, blob, events, openapi, prompt, routes::Ask, socket};
use axum::{body::Body, http::Response};
use std::pin::Pin;

/// A method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Looks.
    Get,
    /// Does.
    Post,
    /// Changes.
    Patch,
    /// Takes away.
    Delete,
}

/// How a parameter is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// As it is.
    Text,
    /// A whole number.
    Number,
    /// `true` or `false`.
    Flag,
    /// Words with commas between them.
    Words,
    /// One of these.
    OneOf(&'static [&'static str]),
}

/// A parameter.
#[derive(Debug)]
pub struct Param {
    /// Its name, there and in the request.
    pub name: &'static str,
    /// How it is written.
    pub kind: Kind,
    /// For people.
    pub about: &'static str,
}

/// What does it.
pub type Handler = fn(Ask) -> Pin<Box<dyn Future<Output = Response<Body>> + Send>>;

/// What a route is.
#[derive(Debug, Clone, Copy)]
pub enum Does {
    /// A request of this type.
    Asks(&'static str),
    /// Something else, for anybody whom the wall lets in.
    Open(Handler),
    /// Something else, for who has a token.
    Other(Handler),
}

/// A route.
#[derive(Debug)]
pub struct Route {
    /// The method.
    pub verb: Verb,
    /// The path; `{id}` is the session.
    pub path: &'static str,
    /// What it is.
    pub does: Does,
    /// What may stand in the query.
    pub query: &'static [Param],
    /// The definition of what it answers, in `messages.json` or beside it.
    pub answers: &'static str,
    /// For people.
    pub about: &'static str,
}

const fn text(name: &'static str, about: &'static str) -> Param {
    Param { name, kind: Kind::Text, about }
}

const fn number(name: &'static str, about: &'static str) -> Param {
    Param { name, kind: Kind::Number, about }
}

const fn flag(name: &'static str, about: &'static str) -> Param {
    Param { name, kind: Kind::Flag, about }
}

const fn words(name: &'static str, about: &'static str) -> Param {
    Param { name, kind: Kind::Words, about }
}

const fn asks(
    verb: Verb,
    path: &'static str,
    request: &'static str,
    query: &'static [Param],
    answers: &'static str,
    about: &'static str,
) -> Route {
    Route { verb, path, does: Does::Asks(request), query, answers, about }
}

const fn other(
    verb: Verb,
    path: &'static str,
    does: Does,
    query: &'static [Param],
    answers: &'static str,
    about: &'static str,
) -> Route {
    Route { verb, path, does, query, answers, about }
}

use Verb::{Delete, Get, Patch, Post};

const LIMIT: Param = number("limit", "At most so many.");

/// The field of a request that something in the path is, and how it is written there.
pub fn field(request: &str, in_path: &'static str) -> (&'static str, Kind) {
    match (in_path, request) {
        ("id", _) => ("session_id", Kind::Text),
        ("token_id", _) => ("id", Kind::Text),
        ("memory_id", "remove_memories") => ("ids", Kind::Number),
        ("memory_id", _) => ("id", Kind::Number),
        ("input_seq", _) => ("input_seq", Kind::Number),
        (other, _) => (other, Kind::Text),
    }
}

/// All of them.
pub const ROUTES: &[Route] = &[
    other(Get, "/v1/openapi.json", Does::Open(openapi::serve), &[], "OpenApi", "This description."),
    other(
        Post,
        "/v1/auth/exchange",
        Does::Open(auth::exchange),
        &[],
        "Exchanged",
        "Trade a one-time code for a token.",
    ),
    other(Get, "/v1/auth", Does::Other(auth::whoami), &[], "WhoAmI", "Tell whose token this is."),
    other(
        Delete,
        "/v1/auth",
        Does::Other(auth::forget),
        &[],
        "OkMessage",
        "Take back the token that this is asked with.",
    ),
    other(
        Get,
        "/v1/ws",
        Does::Open(socket::upgrade),
        &[],
        "WebSocket",
        "The wire as a WebSocket: a message in each text frame. Without a token in the header, the first message is `{\"type\":\"auth\",\"token\":\"…\"}`.",
    ),
    other(
        Get,
        "/v1/events",
        Does::Other(events::all),
        &[],
        "EventStream",
        "What happens to sessions, as server-sent events; the list first.",
    ),
    other(
        Get,
        "/v1/agents",
        Does::Other(agents::list),
        &[],
        "Agents",
        "Agents that can be started, and what they support.",
    ),
    asks(Get, "/v1/status", "daemon_status", &[], "DaemonStatusMessage", "The daemon."),
    asks(
        Get,
        "/v1/sessions",
        "list_sessions",
        &[
            words("states", "Only these states."),
            text("agent", "Only this agent."),
            flag("include_ended", "Ended ones too."),
            text("search", "Only those with this text."),
            LIMIT,
            text("cursor", "Where the page before ended."),
        ],
        "SessionListMessage",
        "Sessions, the most recently active first.",
    ),
    asks(
        Post,
        "/v1/sessions",
        "create_session",
        &[],
        "SessionCreatedMessage",
        "Create a session and start its agent.",
    ),
    asks(Get, "/v1/sessions/{id}", "get_session", &[], "SessionMessage", "All about a session."),
    asks(
        Patch,
        "/v1/sessions/{id}",
        "update_session",
        &[],
        "OkMessage",
        "Change what can be edited; `If-Match` is the version.",
    ),
    asks(
        Delete,
        "/v1/sessions/{id}",
        "delete_session",
        &[flag("purge", "For good.")],
        "OkMessage",
        "Delete a session.",
    ),
    asks(Post, "/v1/sessions/{id}/undelete", "undelete_session", &[], "OkMessage", "Take a deletion back."),
    other(
        Post,
        "/v1/sessions/{id}/prompt",
        Does::Other(prompt::prompt),
        &[text("wait", "Seconds to wait for the answer, or `true`.")],
        "PromptResult",
        "Prompt the agent, and wait for its answer if that is wanted.",
    ),
    asks(Post, "/v1/sessions/{id}/interrupt", "interrupt", &[], "OkMessage", "Cancel the running turn."),
    asks(
        Post,
        "/v1/sessions/{id}/permissions/{permission_id}",
        "permission_response",
        &[],
        "OkMessage",
        "Answer what the agent asks.",
    ),
    other(
        Get,
        "/v1/sessions/{id}/permissions",
        Does::Other(prompt::pending),
        &[],
        "Pending",
        "What the agent asks and nobody has answered.",
    ),
    asks(
        Post,
        "/v1/sessions/{id}/options",
        "set_option",
        &[],
        "OkMessage",
        "Set an option of the agent, such as mode or model.",
    ),
    asks(
        Post,
        "/v1/sessions/{id}/suspend",
        "suspend_session",
        &[],
        "OkMessage",
        "Stop the agent and keep everything.",
    ),
    asks(Post, "/v1/sessions/{id}/resume", "resume_session", &[], "OkMessage", "Start the agent again."),
    asks(Post, "/v1/sessions/{id}/finish", "finish_session", &[], "OkMessage", "End a session well."),
    asks(
        Post,
        "/v1/sessions/{id}/kill",
        "kill_session",
        &[],
        "OkMessage",
        "End a session and everything it started.",
    ),
    asks(
        Post,
        "/v1/sessions/{id}/fork",
        "fork_session",
        &[],
        "SessionCreatedMessage",
        "Go on from it in another session.",
    ),
    asks(Post, "/v1/sessions/{id}/transfer", "transfer_ownership", &[], "OkMessage", "Hand ownership over."),
    asks(Post, "/v1/sessions/{id}/take", "take_ownership", &[], "OkMessage", "Take ownership."),
    asks(Get, "/v1/sessions/{id}/members", "who", &[], "MembersMessage", "Who is attached."),
    asks(
        Get,
        "/v1/sessions/{id}/history",
        "read_records",
        &[number("after", "The last record that is known."), LIMIT],
        "RecordsMessage",
        "Records.",
    ),
    other(
        Get,
        "/v1/sessions/{id}/events",
        Does::Other(events::one),
        &[number("after", "The last record that is known; without it only what comes from now on.")],
        "EventStream",
        "Records as they come, as server-sent events; `Last-Event-ID` goes on after one.",
    ),
    asks(
        Get,
        "/v1/sessions/{id}/runs",
        "list_turns",
        &[number("before", "Only those before this turn."), LIMIT],
        "TurnsMessage",
        "Turns, the newest first.",
    ),
    asks(
        Patch,
        "/v1/sessions/{id}/queue/{input_seq}",
        "edit_input",
        &[],
        "OkMessage",
        "Change a prompt that waits.",
    ),
    asks(
        Post,
        "/v1/sessions/{id}/queue/{input_seq}/move",
        "move_input",
        &[],
        "OkMessage",
        "Move a prompt that waits.",
    ),
    asks(
        Delete,
        "/v1/sessions/{id}/queue/{input_seq}",
        "remove_input",
        &[],
        "OkMessage",
        "Remove a prompt that waits.",
    ),
    asks(
        Post,
        "/v1/sessions/{id}/read",
        "mark_read",
        &[],
        "OkMessage",
        "What is new in it is not new any more to the person whose token this is.",
    ),
    asks(
        Get,
        "/v1/sessions/{id}/rules",
        "get_rules",
        &[],
        "RulesMessage",
        "What the session allows by itself.",
    ),
    asks(
        Delete,
        "/v1/sessions/{id}/rules/{name}",
        "remove_rule",
        &[],
        "OkMessage",
        "Take a rule of the session away.",
    ),
    other(
        Get,
        "/v1/sessions/{id}/export",
        Does::Other(archive::export),
        &[
            number("after", "The record after which it begins."),
            number("to", "The record that it ends with."),
            flag("raw", "What looks like a secret too."),
        ],
        "Archive",
        "The session as an archive: a head, and then a record in each line.",
    ),
    other(
        Get,
        "/v1/sessions/{id}/blobs/{sha256}",
        Does::Other(blob::get),
        &[],
        "Blob",
        "What is attached to a prompt, by its hash; to be saved, not to be shown.",
    ),
    other(
        Post,
        "/v1/import",
        Does::Other(archive::import),
        &[],
        "Imports",
        "Take in archives of sessions, as lines.",
    ),
    asks(
        Post,
        "/v1/sessions/{id}/worktree",
        "worktree",
        &[],
        "WorktreeMessage",
        "Compare, merge or drop the session's worktree.",
    ),
    asks(
        Get,
        "/v1/search",
        "search",
        &[
            text("query", "Words, \"phrases\", prefix*, -not, scopes and filters."),
            words("agents", "Only of these agents."),
            words("modes", "Only of sessions in these modes."),
            words("states", "Only of sessions in these states."),
            words("session_ids", "Only of these sessions."),
            text("cwd", "Only of sessions in this directory or below it."),
            text("since", "From this day on, or so long ago (`7d`)."),
            text("until", "Until the end of this day, or so long ago."),
            Param { name: "order", kind: Kind::OneOf(&["newest", "rank"]), about: "In which order." },
            LIMIT,
            text("cursor", "Where the page before ended."),
            number("wait_ms", "Wait for what was recorded before, at most so long."),
        ],
        "SearchResultsMessage",
        "Look for words in everything that was said and done.",
    ),
    asks(Post, "/v1/search/rebuild", "rebuild_search", &[], "OkMessage", "Make the search index anew."),
    asks(
        Get,
        "/v1/approvals",
        "list_approvals",
        &[words("session_ids", "Only of these sessions."), LIMIT],
        "ApprovalsMessage",
        "What agents asked, and what became of it.",
    ),
    asks(
        Get,
        "/v1/costs",
        "get_costs",
        &[
            Param {
                name: "by",
                kind: Kind::OneOf(&["day", "week", "agent", "model", "session", "directory"]),
                about: "What is summed up.",
            },
            text("since", "From this day on, or so long ago (`7d`)."),
            text("until", "Until the end of this day, or so long ago."),
            LIMIT,
        ],
        "CostsMessage",
        "What was spent.",
    ),
    asks(
        Get,
        "/v1/disk-usage",
        "get_disk_usage",
        &[LIMIT],
        "DiskUsageMessage",
        "What the state directory takes, each session in it, and what leaves by itself.",
    ),
    asks(Get, "/v1/rules", "get_rules", &[], "RulesMessage", "The standing rules in force."),
    asks(Post, "/v1/rules", "apply_rules", &[], "RulesMessage", "Put a file of rules in force."),
    asks(
        Post,
        "/v1/rules/test",
        "test_rules",
        &[],
        "RulesTestedMessage",
        "Say what a file of rules would have answered.",
    ),
    asks(Get, "/v1/templates", "list_templates", &[], "TemplatesMessage", "Templates of sessions."),
    asks(Post, "/v1/templates", "save_template", &[], "TemplateMessage", "Save a template."),
    asks(Get, "/v1/templates/{name}", "get_template", &[], "TemplateMessage", "A template, and its text."),
    asks(Delete, "/v1/templates/{name}", "remove_template", &[], "OkMessage", "Remove a template."),
    asks(
        Get,
        "/v1/memories",
        "search_memories",
        &[
            text("query", "Words that they have."),
            text("category", "Only of this category."),
            words("tags", "Only those with these tags."),
            LIMIT,
            number("offset", "How many are passed over."),
        ],
        "MemoriesMessage",
        "What is remembered.",
    ),
    asks(Post, "/v1/memories", "add_memory", &[], "MemoryMessage", "Remember something."),
    asks(
        Post,
        "/v1/memories/command",
        "memory_command",
        &[],
        "MemoryDoneMessage",
        "Do what a line says about memories.",
    ),
    asks(Get, "/v1/memories/{memory_id}", "get_memory", &[], "MemoryMessage", "A memory."),
    asks(Patch, "/v1/memories/{memory_id}", "edit_memory", &[], "MemoryMessage", "Change a memory."),
    asks(Delete, "/v1/memories/{memory_id}", "remove_memories", &[], "OkMessage", "Forget a memory."),
    asks(Get, "/v1/tokens", "list_tokens", &[], "TokensMessage", "Tokens."),
    asks(Post, "/v1/tokens", "create_token", &[], "TokenCreatedMessage", "Make a token."),
    asks(Delete, "/v1/tokens/{token_id}", "revoke_token", &[], "OkMessage", "Take a token back."),
    asks(Get, "/v1/audit", "list_audit", &[LIMIT], "AuditMessage", "Who did what over the web."),
];
