//! Talking to the daemon: connect, start it where allowed, ask, try again where that is safe.
//!
//! Invariant: a request is sent a second time only when doing it twice is the same as doing it once: it reads, or it
//! carries an idempotency key.

pub(crate) mod connection;
pub(crate) mod launch;
pub(crate) mod socket;
pub(crate) mod stream;

use crate::error::{Failure, Kind, Outcome};
use crate::place;
use connection::{AskError, Connection};
use launch::{connect_or_start, connect_to_living, nobody_serves, not_running, unreachable, wait_gone};
use std::io;
use std::time::{Duration, Instant};
use vibes_protocol::PROTOCOL_VERSION;
use vibes_protocol::model::{ClientId, SessionInfo};
use vibes_protocol::paths::StateDir;
use vibes_protocol::wire::message::{AgentInfo, Member};
use vibes_protocol::wire::request::{ClientKind, ClientProgram, GetSession, Hello, ListAgents};
use vibes_protocol::wire::{CodedError, ErrorCode, Message, Request};

/// How long a daemon that said it is stopping may take before we give up on its successor.
const STOPPING_WITHIN: Duration = Duration::from_secs(15);

/// Whether a command may start the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// Start it when none serves.
    Auto,
    /// Never: the command is about the daemon itself.
    Never,
}

/// The daemon of one state directory.
#[derive(Debug)]
pub(crate) struct Daemon {
    dir: StateDir,
    start: Start,
    connection: Option<Connection>,
    /// Sent first on every new connection, for commands that follow notices or need a seat.
    hello: Option<Hello>,
}

/// What a new client says of itself.
pub(crate) fn hello(grace_ms: Option<u64>) -> Hello {
    Hello {
        protocol: PROTOCOL_VERSION,
        client: ClientProgram {
            name: "vibes".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            kind: ClientKind::Cli,
        },
        identity: Some(place::identity()),
        client_id: None,
        resume_token: None,
        grace_ms,
        heartbeat_ms: None,
    }
}

impl Daemon {
    /// The daemon of this process's state directory. Nothing is connected yet.
    pub(crate) fn here(start: Start) -> Outcome<Self> {
        Ok(Self { dir: place::state_dir()?, start, connection: None, hello: None })
    }

    /// The same, and every connection begins with `hello`, so that the daemon knows who asks and notices flow.
    pub(crate) fn introduced(start: Start) -> Outcome<Self> {
        Ok(Self { hello: Some(hello(None)), ..Self::here(start)? })
    }

    /// Its state directory.
    pub(crate) fn dir(&self) -> &StateDir {
        &self.dir
    }

    /// The connection; made now, if need be.
    pub(crate) fn connection(&mut self) -> Outcome<&mut Connection> {
        if self.connection.is_none() {
            let connection = self.connect()?;
            return Ok(self.connection.insert(connection));
        }
        self.connection.as_mut().ok_or_else(|| not_running(&self.dir))
    }

    fn connect(&self) -> Outcome<Connection> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let mut connection = match self.start {
                Start::Auto => connect_or_start(&self.dir)?,
                Start::Never => match Connection::open(&self.dir) {
                    Ok(connection) => connection,
                    Err(error) if nobody_serves(&error) => {
                        connect_to_living(&self.dir).ok_or_else(|| not_running(&self.dir))?
                    }
                    Err(error) => return Err(unreachable(&self.dir, &error)),
                },
            };
            let Some(hello) = &self.hello else { return Ok(connection) };
            let again = attempts == 1 && self.start == Start::Auto;
            match connection.ask(hello.clone().into()) {
                Ok(_) => return Ok(connection),
                // It died between our connect and its first answer.
                Err(AskError::Lost(_)) if again => {}
                Err(AskError::Refused(error)) if again && is_stopping(&error) => {
                    wait_gone(&self.dir, STOPPING_WITHIN);
                }
                Err(AskError::Refused(error)) => return Err(error.into()),
                Err(AskError::Lost(error)) => return Err(unreachable(&self.dir, &error)),
            }
        }
    }

    /// Forgets a connection that failed.
    pub(crate) fn drop_connection(&mut self) {
        self.connection = None;
    }

    /// Asks; tries once more after a lost connection, where that is safe.
    pub(crate) fn ask(&mut self, request: impl Into<Request>) -> Outcome<Message> {
        self.ask_by(request.into(), Connection::ask)
    }

    /// The same for an answer of this type, which is passed on and not read: its line.
    pub(crate) fn ask_line(&mut self, request: impl Into<Request>, kind: &str) -> Outcome<Vec<u8>> {
        self.ask_by(request.into(), |connection, request| connection.ask_line(request, kind))
    }

    fn ask_by<T>(
        &mut self,
        request: Request,
        ask: impl Fn(&mut Connection, Request) -> Result<T, AskError>,
    ) -> Outcome<T> {
        let repeatable = is_repeatable(&request);
        let mut attempts = 0;
        loop {
            attempts += 1;
            let answer = ask(self.connection()?, request.clone());
            match answer {
                Ok(answer) => return Ok(answer),
                // It lives and is silent: asking again would only wait again.
                Err(AskError::Lost(error)) if error.kind() == io::ErrorKind::TimedOut => {
                    self.drop_connection();
                    return Err(unreachable(&self.dir, &error));
                }
                Err(AskError::Lost(_)) if repeatable && attempts == 1 => self.drop_connection(),
                Err(AskError::Refused(error))
                    if is_stopping(&error) && attempts == 1 && self.start == Start::Auto =>
                {
                    // It did nothing with the request. Its successor will, once this one has let go of its lock.
                    self.drop_connection();
                    wait_gone(&self.dir, STOPPING_WITHIN);
                }
                Err(AskError::Refused(error)) => return Err(error.into()),
                Err(AskError::Lost(error)) => {
                    self.drop_connection();
                    return Err(lost(&request, &error));
                }
            }
        }
    }

    /// Reads one session without joining it, and its members.
    pub(crate) fn session(&mut self, id: &str) -> Outcome<(SessionInfo, Vec<Member>, serde_json::Value)> {
        match self.ask(GetSession { session_id: id.to_owned(), ports: false })? {
            Message::Session { session, members, launch, .. } => Ok((session, members, launch)),
            _ => Err(Failure::unexpected("get_session")),
        }
    }

    /// What is known of an agent; nothing of one that the daemon does not know.
    pub(crate) fn agent(&mut self, agent: &str) -> Outcome<Option<AgentInfo>> {
        let Message::Agents { agents, .. } = self.ask(ListAgents { env: Default::default() })? else {
            return Err(Failure::unexpected("list_agents"));
        };
        Ok(agents.into_iter().find(|known| known.id == agent))
    }

    /// The variables that an agent is to be passed.
    pub(crate) fn variables_of(&mut self, agent: &str) -> Outcome<Vec<String>> {
        Ok(self.agent(agent)?.map(|known| known.env).unwrap_or_default())
    }

    /// What the person typed for a session: `-` is the one used last, everything else is the daemon's to resolve.
    pub(crate) fn named(&self, id: &str) -> Outcome<String> {
        if id == "-" { place::last_session(&self.dir) } else { Ok(id.to_owned()) }
    }

    /// The next unasked message before the deadline. A lost connection is not an error: the caller gets
    /// [`Heard::Again`] on a new one and has to ask again for what it may have missed.
    pub(crate) fn hear(&mut self, deadline: Option<Instant>) -> Outcome<Heard> {
        match self.connection()?.next(deadline) {
            Ok(Some(message)) => Ok(Heard::Message(Box::new(message))),
            Ok(None) => Ok(Heard::Nothing),
            Err(_) => {
                self.drop_connection();
                self.connection()?;
                Ok(Heard::Again)
            }
        }
    }
}

/// What listening gave.
#[derive(Debug)]
pub(crate) enum Heard {
    /// A message.
    Message(Box<Message>),
    /// The deadline passed.
    Nothing,
    /// The daemon was lost and found again; something may have been missed.
    Again,
}

/// Whether a client id answers to what a person typed: the id, the start of it, or the seat.
pub(crate) fn member_matches(member: &Member, wanted: &str) -> bool {
    let id = member.client_id.to_string();
    member.identity.as_deref() == Some(wanted)
        || (wanted.len() >= 4 && id.starts_with(wanted))
        || id == wanted
}

/// The one subscriber that a person means.
pub(crate) fn pick_member(members: &[Member], wanted: &str) -> Outcome<ClientId> {
    let fitting: Vec<&Member> = members.iter().filter(|member| member_matches(member, wanted)).collect();
    match fitting.as_slice() {
        [one] => Ok(one.client_id),
        [] => Err(Failure::new(Kind::NotFound, format!("no subscriber is {wanted}")).hint(
            "`vibes who ID` lists the subscribers; give a client id, its first 4 characters, or a seat",
        )),
        _ => Err(Failure::new(Kind::NotFound, format!("{wanted} fits several subscribers"))
            .hint("give the whole client id; `vibes who ID` lists them")),
    }
}

fn is_stopping(error: &CodedError) -> bool {
    error.code == ErrorCode::ShuttingDown
}

fn is_repeatable(request: &Request) -> bool {
    match request {
        Request::Input(input) => input.idempotency_key.is_some(),
        Request::CreateSession(create) => create.idempotency_key.is_some(),
        Request::ListSessions(_)
        | Request::Who(_)
        | Request::GetSession(_)
        | Request::ReadRecords(_)
        | Request::Attach(_)
        | Request::GetBlob(_)
        | Request::ExportSession(_)
        | Request::ApplyRules(_)
        | Request::GetRules(_)
        | Request::TestRules(_)
        | Request::ListApprovals(_)
        | Request::Search(_)
        | Request::RebuildSearch(_)
        | Request::ListTemplates(_)
        | Request::GetTemplate(_)
        | Request::SearchMemories(_)
        | Request::GetMemory(_)
        | Request::ListTurns(_)
        | Request::GetCosts(_)
        | Request::ListAgents(_)
        | Request::GetDaemonStatus(_)
        | Request::Ping(_) => true,
        _ => false,
    }
}

fn lost(request: &Request, error: &io::Error) -> Failure {
    let message = format!("the connection to the daemon was lost during {}: {error}", request.type_name());
    let failure = Failure::new(Kind::Unreachable, message);
    if is_repeatable(request) {
        failure.hint("`vibes daemon logs` tells why the daemon ended")
    } else {
        failure.hint("whether it was done is not known; `vibes ls --all` tells")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vibes_protocol::model::Role;
    use vibes_protocol::wire::request::{Content, Input, KillSession};

    #[test]
    fn only_what_is_the_same_twice_is_repeated() {
        let mut input = Input {
            session_id: "a".to_owned(),
            content: Content::Text("x".to_owned()),
            idempotency_key: None,
            now: false,
        };
        assert!(!is_repeatable(&input.clone().into()));
        input.idempotency_key = Some("k".to_owned());
        assert!(is_repeatable(&input.into()));
        assert!(!is_repeatable(&KillSession { session_id: "a".to_owned() }.into()));
    }

    #[test]
    fn a_subscriber_is_found_by_id_prefix_or_seat() {
        let member = |identity: &str| Member {
            client_id: ClientId::random(),
            identity: Some(identity.to_owned()),
            role: Role::Writer,
            join: 1,
            is_owner: false,
            is_you: false,
            connected: true,
            since: 0,
            pid: None,
        };
        let members = [member("ann@box:pts/1"), member("bob@box:pts/2"), member("bob@box:pts/2")];
        let id = members[0].client_id;
        for wanted in ["ann@box:pts/1".to_owned(), id.to_string(), id.to_string()[..8].to_owned()] {
            assert_eq!(pick_member(&members, &wanted).unwrap(), id);
        }
        for wanted in ["bob@box:pts/2", "nobody"] {
            assert_eq!(pick_member(&members, wanted).unwrap_err().kind, Kind::NotFound);
        }
    }
}
