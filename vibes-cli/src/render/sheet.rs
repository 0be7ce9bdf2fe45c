//! Pages about one thing: a session, its subscribers, the agents, the daemon.
//!
//! Invariant: every value that is not ours is sanitised here, whatever it was before.

use super::list::{money, state_words};
use super::permission::action;
use super::table::{self, Cell};
use super::{age, count, keep_start, short, tilde, ttl_words};
use crate::sanitize;
use crate::ui::Paint;
use serde_json::Value;
use vibes_protocol::model::{OrphanPolicy, Permission, Role, SessionInfo};
use vibes_protocol::wire::message::{AgentInfo, Listener, Member, RunnerInfo};

fn field(name: &str, value: impl AsRef<str>, paint: Paint) -> String {
    format!("{} {}", paint.dim(&format!("{name:<12}")), sanitize::line(value.as_ref()))
}

/// All that is known of a session.
pub(crate) fn session(
    session: &SessionInfo,
    members: &[Member],
    launch: &Value,
    now: i64,
    home: Option<&str>,
    paint: Paint,
) -> Vec<String> {
    let title = session.name.clone().unwrap_or_else(|| short(session.id));
    let mut lines = vec![paint.bold(&sanitize::line(&title))];
    let mut add = |name: &str, value: String| lines.push(field(name, value, paint));
    add("id", session.id.to_string());
    if let Some(parent) = session.parent_id {
        let at = session.forked_at.map_or_else(String::new, |at| format!(" at record {at}"));
        add("goes on from", format!("{}{at}", short(parent)));
    }
    add("agent", session.agent.clone());
    add("state", state_words(session));
    if let Some(imported) = &session.imported {
        add("imported", format!("{} ago, as {}", age(now - imported.at), imported.lineage));
        add("go on", format!("vibes fork {} --cwd DIR", short(session.id)));
    }
    if let Some(reason) = &session.reason {
        add("reason", reason.clone());
    }
    add("link", format!("{:?}", session.link).to_lowercase());
    add("directory", tilde(&session.cwd, home));
    if let Some(worktree) = &session.worktree {
        let at = worktree.commit.get(..12).unwrap_or(&worktree.commit);
        let of =
            format!("{} of {} from {} at {at}", worktree.branch, tilde(&worktree.repo, home), worktree.base);
        add("worktree", of);
    }
    if let Some(description) = &session.description {
        add("description", description.clone());
    }
    add("created", format!("{} ago", age(now - session.created_at)));
    add("last active", format!("{} ago", age(now - session.last_activity_at)));
    let policy = match session.orphan_policy {
        OrphanPolicy::Keep => "keep",
        OrphanPolicy::Suspend => "suspend",
        OrphanPolicy::Remove => "remove",
    };
    add("orphan", policy.to_owned());
    if session.pinned {
        add("pinned", "it does not expire".to_owned());
    } else if session.ttl_s.is_some() {
        add("lives", ttl_words(session.ttl_s));
    }
    add("records", session.head.to_string());
    add("turns", session.turns.to_string());
    add("agent starts", session.generation.to_string());
    if session.queued > 0 {
        add("queued", count(session.queued as usize, "prompt", "prompts"));
    }
    if let Some(cost) = &session.cost {
        add("cost", money(cost));
    }
    if let Some(budget) = session.budget {
        add("budget", format!("{budget:.2}"));
    }
    if session.unread > 0 {
        add("new to you", count(session.unread as usize, "thing", "things"));
    }
    for (name, value) in &session.options {
        add("option", format!("{name} = {}", option(value)));
    }
    for (name, value) in &session.metadata {
        add("metadata", format!("{name} = {value}"));
    }
    if let Some(argv) = launch.get("argv").or_else(|| launch.get("command")) {
        add("launch", argv.to_string());
    }
    lines.extend(asks(session).into_iter().map(|line| field("asks", line, paint)));
    if !members.is_empty() {
        lines.push(String::new());
        lines.extend(who(members, now, paint));
    }
    lines
}

/// Where something of a session listens, a line each.
pub(crate) fn ports(ports: &[Listener], paint: Paint) -> Vec<String> {
    let line = |one: &Listener| {
        let reach = if one.local { "" } else { ", which other machines can reach" };
        field("listens at", format!("{}{reach}: {}, pid {}", one.address, one.program, one.pid), paint)
    };
    ports.iter().map(line).collect()
}

/// The requests that wait, one short line each. An agent may ask hundreds of times; a person reads a few.
pub(crate) fn asks(session: &SessionInfo) -> Vec<String> {
    const SHOWN: usize = 10;
    let pending = &session.pending_permissions;
    let line = |one: &Permission| format!("{}  {}", one.permission_id, keep_start(&action(one), 200));
    let mut lines: Vec<String> = pending.iter().take(SHOWN).map(line).collect();
    if let Some(more) = pending.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        lines.push(format!("… and {more} more"));
    }
    lines
}

/// An option's present value and, where the agent names them, its other values.
fn option(option: &Value) -> String {
    let words = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let (Some(value), Some(values)) = (option.get("value"), option["values"].as_array()) else {
        return words(option);
    };
    let ids: Vec<String> = values.iter().map(|value| words(value.get("id").unwrap_or(value))).collect();
    format!("{} (of {})", words(value), ids.join(", "))
}

/// Who is attached.
pub(crate) fn who(members: &[Member], now: i64, paint: Paint) -> Vec<String> {
    if members.is_empty() {
        return vec!["Nobody is attached.".to_owned()];
    }
    let rows: Vec<Vec<Cell>> = members
        .iter()
        .map(|member| {
            let role = match (member.is_owner, member.role) {
                (true, _) => "owner",
                (false, Role::Writer) => "writer",
                (false, Role::Viewer) => "viewer",
            };
            let seat = member.identity.as_deref().unwrap_or("-");
            vec![
                Cell::painted(member.client_id.to_string(), Paint::bold),
                Cell::new(if member.is_you { format!("{seat} (you)") } else { seat.to_owned() }),
                Cell::new(role),
                Cell::new(age(now - member.since)),
                Cell::new(if member.connected { "connected" } else { "away" }),
                Cell::new(member.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string())),
            ]
        })
        .collect();
    table::render(&["CLIENT", "SEAT", "ROLE", "SINCE", "LINK", "PID"], &rows, paint)
}

/// The agents the daemon can start.
pub(crate) fn agents(agents: &[AgentInfo], paint: Paint) -> Vec<String> {
    let rows: Vec<Vec<Cell>> = agents
        .iter()
        .map(|agent| {
            let told = |seen: bool, not: &str| {
                if seen { Cell::painted("yes", Paint::green) } else { Cell::painted(not, Paint::dim) }
            };
            let can = if agent.can.is_empty() { agent.description.clone() } else { agent.can.join(", ") };
            vec![
                Cell::painted(&agent.id, Paint::bold),
                Cell::new(&agent.name),
                told(agent.installed, "no"),
                // A key chain cannot be looked into.
                agent.signed_in.map_or_else(|| Cell::new("-"), |seen| told(seen, "not seen")),
                Cell::new(can),
            ]
        })
        .collect();
    let mut lines = table::render(&["AGENT", "NAME", "INSTALLED", "SIGNED IN", "CAN"], &rows, paint);
    // What is missing, and what to do about it.
    let todo = agents.iter().filter_map(|agent| match (agent.installed, agent.signed_in) {
        (false, _) => Some((&agent.id, "install", agent.install.as_ref()?)),
        (true, Some(false)) => Some((&agent.id, "sign in", agent.sign_in.as_ref()?)),
        _ => None,
    });
    let todo: Vec<String> =
        todo.map(|(id, what, how)| paint.dim(&sanitize::line(&format!("{id}: {what}: {how}")))).collect();
    if !todo.is_empty() {
        lines.push(String::new());
        lines.extend(todo);
    }
    lines
}

/// The daemon's state, as `daemon status` prints it.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Status {
    pub(crate) pid: u32,
    pub(crate) version: String,
    pub(crate) protocol: u32,
    pub(crate) socket: String,
    pub(crate) epoch: u64,
    pub(crate) sessions: u64,
    pub(crate) runners: Vec<RunnerInfo>,
    pub(crate) started_at: i64,
    pub(crate) problems: Vec<String>,
}

/// The daemon, for people.
pub(crate) fn status(status: &Status, now: i64, paint: Paint) -> Vec<String> {
    let mut lines = vec![
        paint.bold("vibesd is running"),
        field("process", status.pid.to_string(), paint),
        field("version", format!("{} (protocol {})", status.version, status.protocol), paint),
        field("socket", &status.socket, paint),
        field("up", age(now - status.started_at), paint),
        field("sessions", status.sessions.to_string(), paint),
        field("runners", status.runners.len().to_string(), paint),
    ];
    let problems = status.problems.iter();
    lines.extend(problems.map(|problem| format!("{} {}", paint.red("problem:"), sanitize::line(problem))));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::list::tests::session as sample;
    use serde_json::json;
    use vibes_protocol::model::ClientId;

    #[test]
    fn a_sheet_names_what_there_is_and_stays_clean() {
        let sample = sample(json!({"reason": "x\u{1b}[2J", "queued": 2, "options": {"mode": "auto",
            "model": {"value": "x", "values": [{"id": "x", "name": "X"}, {"id": "y", "name": "Y"}]}}}));
        let lines = session(&sample, &[], &json!({"argv": ["a"]}), 1090, Some("/home/ann"), Paint::PLAIN);
        let text = lines.join("\n");
        for part in [
            "api",
            "idle",
            "~/code/api",
            "1m ago",
            "2 prompts",
            "mode = auto",
            "model = x (of x, y)",
            "[\"a\"]",
            "x␛[2J",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn subscribers_are_listed_with_their_roles() {
        assert_eq!(who(&[], 0, Paint::PLAIN), ["Nobody is attached."]);
        let member = Member {
            client_id: ClientId::random(),
            identity: Some("ann@box:pts/1".to_owned()),
            role: Role::Writer,
            join: 1,
            is_owner: true,
            is_you: true,
            connected: false,
            since: 0,
            pid: Some(7),
        };
        let text = who(&[member], 61, Paint::PLAIN).join("\n");
        assert!(text.contains("ann@box:pts/1 (you)  owner  1m     away  7"), "{text}");
    }

    #[test]
    fn agents_and_daemon_are_told() {
        let agent = AgentInfo {
            id: "shell".to_owned(),
            name: "Shell".to_owned(),
            description: "runs commands".to_owned(),
            installed: true,
            env: Vec::new(),
            accepts: Vec::new(),
            can: Vec::new(),
            signed_in: None,
            install: None,
            sign_in: None,
        };
        let codex = AgentInfo {
            id: "codex".to_owned(),
            name: "Codex".to_owned(),
            can: vec!["resume".to_owned(), "modes".to_owned()],
            signed_in: Some(false),
            install: Some("npm install -g it".to_owned()),
            sign_in: Some("run it".to_owned()),
            ..agent.clone()
        };
        let missing = AgentInfo { id: "gone".to_owned(), installed: false, ..codex.clone() };
        let lines = agents(&[agent, codex, missing], Paint::PLAIN);
        assert!(lines[1].contains("shell  Shell  yes        -          runs commands"), "{lines:#?}");
        assert!(lines[2].contains("yes        not seen   resume, modes"), "{lines:#?}");
        assert_eq!(lines[5..], ["codex: sign in: run it", "gone: install: npm install -g it"]);
        let sample = Status {
            pid: 7,
            version: "0.1.0".to_owned(),
            protocol: 1,
            socket: "/s".to_owned(),
            epoch: 1,
            sessions: 2,
            runners: Vec::new(),
            started_at: 0,
            problems: vec!["the disk is full".to_owned()],
        };
        assert!(status(&sample, 60, Paint::PLAIN).join("\n").contains("problem: the disk is full"));
        let keys: Vec<String> =
            serde_json::to_value(&sample).unwrap().as_object().unwrap().keys().cloned().collect();
        assert_eq!(keys[..7], ["pid", "version", "protocol", "socket", "epoch", "sessions", "runners"]);
    }
}
