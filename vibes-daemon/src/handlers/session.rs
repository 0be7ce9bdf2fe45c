//! Requests about sessions.
//!
//! Invariant: a session is asked (its inbox has the command) before the handler returns; only the wait for the reply
//! is left to later. So what a client asks in order happens in order. The exceptions wait for a name to be reserved
//! first: creating, renaming and resuming.

use crate::{
    connection::{Connection, Subscription, lock},
    dispatch::{Answer, Said, error},
    focus,
    handlers::{
        attachments, prompts,
        reading::{Eyes, seen_by},
    },
    known, templates, worktree,
};
use serde_json::{Map, Value};
use std::{path::Path, sync::Arc};
use vibes_core::{
    agent::{
        Dialect,
        claude::LAST,
        launch::{self, LaunchError},
    },
    budgets,
    ownership::Joiner,
    session::{
        ApprovalPolicy, Command, Plan, Reply, SessionHandle,
        event::{Looked, MetadataUpdate},
    },
    sessions::{Wanted, store_error},
};
use vibes_protocol::{
    model::{OrphanPolicy, Role, Seq, SessionId, SessionInfo, SessionState},
    wire::{
        CodedError, ErrorCode, Message,
        message::{Listener, SubscribedSession},
        request::{
            After, CreateSession, ForkSession, ListSessions, ReadRecords, ResumeSession, Subscribe,
            Unsubscribe, UpdateSession,
        },
    },
};

type RequestId = Option<String>;

pub(super) fn refused(request_id: RequestId, session: Option<SessionId>, why: CodedError) -> Answer {
    Answer::Now(error(request_id, session, why))
}

pub(super) fn later(answer: impl Future<Output = Said> + Send + 'static) -> Answer {
    Answer::Later(Box::pin(answer))
}

/// Asks a session for something whose answer is `ok`, or the record of a prompt.
pub fn ask(
    connection: &Arc<Connection>,
    request_id: RequestId,
    session_id: &str,
    command: Command,
) -> Answer {
    let handle = match connection.server.sessions.resolve(session_id) {
        Ok(handle) => handle,
        Err(why) => return refused(request_id, None, why),
    };
    let reply = handle.ask(&connection.caller(), command, None);
    later(async move { said(request_id, handle.id, reply.await).into() })
}

pub(super) fn said(
    request_id: RequestId,
    session_id: SessionId,
    reply: Result<Reply, CodedError>,
) -> Message {
    match reply {
        Ok(Reply::Accepted(seq)) => Message::Accepted { request_id, session_id, seq },
        Ok(_) => Message::Ok { request_id },
        Err(why) => error(request_id, Some(session_id), why),
    }
}

/// Lists sessions. Ended ones may have to be read from the store, which takes a while.
pub fn list(connection: &Arc<Connection>, request_id: RequestId, body: ListSessions) -> Answer {
    // Asking for an ended state is asking for ended sessions.
    let ended = body.include_ended
        || body.states.as_ref().is_some_and(|states| states.iter().any(|state| state.is_ended()));
    if !ended {
        return Answer::Now(listing(connection, request_id, &body, ended));
    }
    let connection = connection.clone();
    later(async move {
        // Lists are pages too: everybody's in turn.
        let _turn = connection.server.pages.acquire().await;
        tokio::task::block_in_place(|| listing(&connection, request_id, &body, ended)).into()
    })
}

fn listing(connection: &Connection, request_id: RequestId, body: &ListSessions, ended: bool) -> Message {
    let (me, eyes) = (connection.caller().client, connection.eyes());
    let wanted_text = body.search.as_ref().map(|text| text.to_lowercase());
    let fits = |info: &SessionInfo| {
        let in_states = body.states.as_ref().is_none_or(|states| states.contains(&info.state));
        let in_agent = body.agent.as_ref().is_none_or(|agent| *agent == info.agent);
        let in_text = wanted_text.as_ref().is_none_or(|text| {
            let hay =
                [info.name.as_deref(), info.description.as_deref(), info.preview.as_deref(), Some(&info.cwd)];
            info.id.to_string().starts_with(text.as_str())
                || hay.into_iter().flatten().any(|hay| hay.to_lowercase().contains(text.as_str()))
        });
        in_states && in_agent && in_text && connection.reaches(&info.id)
    };
    let place = |cursor: &String| {
        let (ms, id) = cursor.split_once(':')?;
        Some((ms.parse::<i64>().ok()?, id.to_owned()))
    };
    let after = match body.cursor.as_ref().map(|cursor| place(cursor).ok_or(cursor)).transpose() {
        Ok(after) => after,
        Err(_) => {
            let why = CodedError::new(ErrorCode::BadRequest, "cursor: not one that this daemon gave");
            return error(request_id, None, why);
        }
    };
    let limit = body.limit.map_or(usize::MAX, |limit| limit as usize);
    let listing = match connection.server.sessions.list(&Wanted { ended, after, limit, fits: &fits }) {
        Ok(listing) => listing,
        Err(why) => return error(request_id, None, store_error(&why)),
    };
    let next_cursor = match listing.sessions.last() {
        Some(last) if listing.more => Some(format!("{}:{}", last.last_activity_ms, last.id)),
        _ => None,
    };
    let own = |info: &Arc<SessionInfo>| seen_by(info, me, &eyes);
    let sessions = listing.sessions.iter().map(own).collect();
    // Who may see one session is told nothing of the others.
    let alone = connection.guest.as_ref().is_some_and(|guest| guest.token.session_id.is_some());
    let warnings = if alone { Vec::new() } else { lock(&connection.server.problems).clone() };
    let ended = if alone { 0 } else { u32::try_from(listing.ended).unwrap_or(u32::MAX) };
    Message::SessionList { request_id, sessions, warnings, ended, next_cursor }
}

/// Creates a session.
pub fn create(connection: &Arc<Connection>, request_id: RequestId, body: CreateSession) -> Answer {
    let connection = connection.clone();
    later(async move {
        let filled = match body.template {
            None => templates::fill(body),
            // A file is read, perhaps from a disk that is slow.
            Some(_) => tokio::task::block_in_place(|| templates::fill(body)),
        };
        match filled {
            Ok(body) => created(request_id, try_create(&connection, body, None).await),
            Err(why) => error(request_id, None, why).into(),
        }
    })
}

type Created = Result<(SessionInfo, Option<u64>, Vec<Subscription>), CodedError>;

fn created(request_id: RequestId, created: Created) -> Said {
    match created {
        Ok((session, input_seq, begin)) => {
            Said { message: Message::SessionCreated { request_id, session, input_seq }, begin }
        }
        Err(why) => error(request_id, None, why).into(),
    }
}

/// Where a session goes on from.
struct Source {
    parent: (SessionId, Seq),
    /// The agent goes on from a copy of its own conversation.
    fork: bool,
    /// What was started there, where the same is to be started.
    argv: Option<Vec<String>>,
}

/// Makes a session that goes on from where another one is, or was.
pub fn fork(connection: &Arc<Connection>, request_id: RequestId, body: ForkSession) -> Answer {
    let handle = match connection.server.sessions.resolve(&body.session_id) {
        Ok(handle) => handle,
        Err(why) => return refused(request_id, None, why),
    };
    let connection = connection.clone();
    later(async move { created(request_id, try_fork(&connection, &handle, body).await) })
}

async fn try_fork(connection: &Arc<Connection>, handle: &SessionHandle, body: ForkSession) -> Created {
    let Reply::Looked(looked) = handle.ask(&connection.caller(), Command::Look, None).await? else {
        return Err(CodedError::new(ErrorCode::InvalidState, "the session did not tell about itself"));
    };
    let Looked { info, launch, conversation: (dialect, conversation), .. } = *looked;
    if body.at.is_some_and(|at| at == 0 || at > info.head) {
        let why = format!("at: the records of this session are 1 to {}", info.head);
        return Err(CodedError::new(ErrorCode::BadRequest, why));
    }
    if info.imported.is_some() && body.cwd.is_none() {
        let why = "cwd: an imported session works nowhere here: name a directory (--cwd DIR)";
        return Err(CodedError::new(ErrorCode::BadRequest, why));
    }
    let agent = body.agent.unwrap_or_else(|| info.agent.clone());
    let same = agent == info.agent;
    let rests = info.state.is_ended() || matches!(info.state, SessionState::Idle | SessionState::Suspended);
    let known = connection.server.agents.get(&agent);
    // Its own copy is the better one, and it is of what it knows now.
    let fork = same
        && body.at.is_none()
        && rests
        && conversation.is_some()
        && known.is_some_and(|agent| agent.dialect == dialect);
    let words = |value: &Value| serde_json::from_value::<Vec<String>>(value.clone()).ok();
    let source = Source {
        parent: (handle.id, body.at.unwrap_or(info.head)),
        fork,
        argv: words(&launch["argv"]).filter(|argv| same && !argv.is_empty()),
    };
    let wish = CreateSession {
        agent,
        cwd: body.cwd.unwrap_or(info.cwd),
        template: None,
        values: Default::default(),
        name: body.name,
        prompt: body.prompt,
        conversation: conversation.filter(|_| fork).map(String::into_boxed_str),
        description: None,
        metadata: Map::new(),
        args: Vec::new(),
        options: launch["options"].as_object().filter(|_| same).cloned().unwrap_or_default(),
        mode: None,
        orphan_policy: Some(info.orphan_policy),
        ttl_s: info.ttl_s,
        budget: None,
        env: body.env,
        umask: body.umask,
        worktree: body.worktree,
        approval_deadline_s: None,
        detached: None,
        once: false,
        ephemeral: false,
        subscribe: body.subscribe,
        wait_ready: body.wait_ready,
        pause_others: body.pause_others,
        idempotency_key: body.idempotency_key,
    };
    try_create(connection, wish, Some(source)).await
}

async fn try_create(connection: &Arc<Connection>, body: CreateSession, source: Option<Source>) -> Created {
    let server = &connection.server;
    let bad = |why: String| CodedError::new(ErrorCode::BadRequest, why);
    let Some(agent) = server.agents.get(&body.agent) else {
        let known: Vec<&str> = server.agents.keys().map(String::as_str).collect();
        let why = format!("no agent is called {:?}; there are: {}", body.agent, known.join(", "));
        return Err(CodedError::new(ErrorCode::AgentNotFound, why));
    };
    if !Path::new(&body.cwd).is_absolute() {
        return Err(bad(format!("cwd: {:?} is not an absolute path", body.cwd)));
    }
    if !Path::new(&body.cwd).is_dir() {
        return Err(bad(format!("cwd: {:?} does not exist or is not a directory", body.cwd)));
    }
    if body.budget.is_some_and(|budget| !budgets::is_sound(budget)) {
        return Err(bad("budget: an amount from 0 to 1000000".to_owned()));
    }
    let env = (server.environment)(&body.agent, Some(&body.env));
    let argv = match source.as_ref().and_then(|source| source.argv.clone()) {
        Some(argv) => argv,
        None => agent.command.iter().cloned().chain(body.args).collect(),
    };
    if let Err(error) = launch::find_program(&argv[0], env.get("PATH").map(String::as_str), &body.cwd) {
        let (agent, program) = (&body.agent, &argv[0]);
        let how = known::of(program).map(|known| format!(" ({})", known.install)).unwrap_or_default();
        return Err(match error {
            LaunchError::NotFound { .. } => CodedError::new(
                ErrorCode::AgentNotFound,
                format!(
                    "the agent {agent} needs the program {program:?}, which is not on the PATH of this client; \
                     install it{how}, or name another one under [agents.{agent}] in the configuration"
                ),
            ),
            other => CodedError::new(ErrorCode::AgentStartFailed, format!("the agent {agent}: {other}")),
        });
    }
    if body.conversation.as_deref() == Some(LAST) && agent.dialect != Dialect::Claude {
        return Err(bad(format!("conversation: the agent {} takes one up by its id only", body.agent)));
    }
    let mut options = body.options;
    if let Some(mode) = body.mode {
        options.insert("mode".to_owned(), mode.into());
    }
    let key = body.idempotency_key;
    // A retry finds the session of the first try, which has the name already.
    if let Some(key) = &key
        && let Some(handle) = server.sessions.created_with(key).await?
    {
        let prompt = prompts::first(connection, &handle.id, body.prompt)?;
        return begin(connection, &handle, body.subscribe, prompt, Some(key.clone()), body.wait_ready).await;
    }
    let _focus = focus::take(server, &connection.caller(), None, body.pause_others).await?;
    let reserved = server.sessions.reserve(body.name.as_deref(), None)?;
    let id = SessionId::random();
    let prompt = prompts::first(connection, &id, body.prompt)?;
    let made = match &body.worktree {
        Some(name) => {
            let name = if name.is_empty() { body.name.as_deref().unwrap_or_default() } else { name };
            Some(worktree::make(&server.git, &server.dir, &id, &body.cwd, name).await?)
        }
        None => None,
    };
    let (cwd, worktree) = made.map_or((body.cwd, None), |made| (made.cwd, Some(made.worktree)));
    let plan = Plan {
        agent: body.agent,
        dialect: agent.dialect,
        conversation: body.conversation.map(String::from),
        parent: source.as_ref().map(|source| source.parent),
        fork: source.is_some_and(|source| source.fork),
        argv,
        cwd,
        name: body.name,
        description: body.description,
        metadata: body.metadata,
        options,
        orphan_policy: body.orphan_policy.unwrap_or(OrphanPolicy::Keep),
        ttl_s: body.ttl_s,
        budget: body.budget,
        env_names: env.keys().cloned().collect(),
        umask: body.umask,
        once: body.once,
        ephemeral: body.ephemeral,
        created_by: connection.caller().identity,
        approvals: ApprovalPolicy { deadline_s: body.approval_deadline_s, detached: body.detached },
        worktree: worktree.clone(),
    };
    let created = server.sessions.create(id, plan, key.clone(), Some(body.env)).await;
    if let Some(worktree) = worktree.filter(|_| !matches!(created, Ok((_, true)))) {
        worktree::unmake(&server.git, &server.dir, &id, &worktree).await;
    }
    if prompt.is_some() && !matches!(created, Ok((_, true))) {
        attachments::forget(connection, &id);
    }
    let (handle, _) = created?;
    drop(reserved);
    begin(connection, &handle, body.subscribe, prompt, key, body.wait_ready).await
}

/// What a new session does at once: joins its creator, takes its first prompt.
async fn begin(
    connection: &Arc<Connection>,
    handle: &SessionHandle,
    subscribe: bool,
    prompt: Option<Vec<Value>>,
    key: Option<String>,
    wait_ready: bool,
) -> Result<(SessionInfo, Option<u64>, Vec<Subscription>), CodedError> {
    let caller = connection.caller();
    let joined = subscribe.then(|| {
        connection.seat(handle);
        handle.ask(&caller, Command::Join(joiner(connection, Role::Writer, false)), None)
    });
    let accepted = prompt.map(|content| {
        let command = Command::Input { content, key, now: false };
        handle.ask(&caller, command, None)
    });
    let mut subscriptions = Vec::new();
    if let Some(joined) = joined {
        joined.await?;
        subscriptions.push(Subscription { handle: handle.clone(), after: 0, epoch: 0, rewound: false });
    }
    let input_seq = match accepted {
        Some(accepted) => match accepted.await? {
            Reply::Accepted(seq) => Some(seq),
            _ => None,
        },
        None => None,
    };
    if wait_ready {
        handle.ask(&caller, Command::WaitReady, None).await?;
    }
    let Reply::Looked(looked) = handle.ask(&caller, Command::Look, None).await? else {
        return Err(CodedError::new(ErrorCode::InvalidState, "the session did not tell about itself"));
    };
    Ok((own(connection, *looked).info, input_seq, subscriptions))
}

/// A look as this client sees it.
pub(super) fn own(connection: &Connection, looked: Looked) -> Looked {
    let info = seen_by(&looked.info, connection.caller().client, &connection.eyes());
    Looked { info, ..looked }
}

fn joiner(connection: &Connection, role: Role, reads: bool) -> Joiner {
    let caller = connection.caller();
    Joiner {
        client: caller.client,
        role,
        identity: caller.identity,
        token_hash: caller.token_hash,
        pid: caller.pid,
        reads,
        person: match (&connection.guest, connection.eyes()) {
            (Some(_), Eyes::Of(person)) => Some(person),
            _ => None,
        },
    }
}

/// Joins sessions: all of them or, with an error, none.
pub fn subscribe(connection: &Arc<Connection>, request_id: RequestId, body: Subscribe) -> Answer {
    let handles: Result<Vec<_>, _> =
        body.session_ids.iter().map(|id| connection.server.sessions.resolve(id)).collect();
    let handles = match handles {
        Ok(handles) if !handles.is_empty() => handles,
        Ok(_) => {
            let why = CodedError::new(ErrorCode::BadRequest, "session_ids: name at least one session");
            return refused(request_id, None, why);
        }
        Err(why) => return refused(request_id, None, why),
    };
    let caller = connection.caller();
    let asked: Vec<_> = handles
        .into_iter()
        .map(|handle| {
            connection.seat(&handle);
            let reply = handle.ask(&caller, Command::Join(joiner(connection, body.role, body.reads)), None);
            (handle, reply)
        })
        .collect();
    let connection = connection.clone();
    later(async move {
        let (mut sessions, mut begin) = (Vec::new(), Vec::new());
        for (handle, reply) in asked {
            let looked = match reply.await {
                Ok(Reply::Joined(looked)) => own(&connection, *looked),
                Ok(_) => continue,
                Err(why) => return error(request_id, Some(handle.id), why).into(),
            };
            match place(&connection, &handle, &looked, body.after, body.epoch).await {
                Ok(subscription) => begin.push(subscription),
                Err(why) => return error(request_id, Some(handle.id), why).into(),
            }
            sessions.push(SubscribedSession {
                head: looked.info.head,
                link: looked.info.link,
                pending_permissions: looked.pending,
                session: looked.info,
            });
        }
        Said { message: Message::Subscribed { request_id, sessions }, begin }
    })
}

/// Where a subscription begins. A cursor whose record is gone, or was written again under a later epoch, is set back.
async fn place(
    connection: &Connection,
    handle: &SessionHandle,
    looked: &Looked,
    after: After,
    epoch: Option<u64>,
) -> Result<Subscription, CodedError> {
    let now = connection.server.sessions.epoch();
    let start = |after, epoch, rewound| Subscription { handle: handle.clone(), after, epoch, rewound };
    let After::Seq(after) = after else { return Ok(start(looked.info.head, now, false)) };
    let epoch = epoch.unwrap_or(now);
    if epoch > now {
        // A future that this store does not know: where it parted from ours cannot be told.
        return Ok(start(0, now, true));
    }
    if after == 0 {
        return Ok(start(0, epoch, false));
    }
    let (reader, no, head) = (connection.server.sessions.reader().clone(), handle.no, looked.info.head);
    let found = tokio::task::spawn_blocking(move || {
        if after <= head && reader.epoch_of(no, after)?.is_some_and(|written| written <= epoch) {
            return Ok((epoch, after, false));
        }
        let (epoch, last) = reader.last_of_epoch(no, epoch)?;
        Ok((epoch, last.min(after), true))
    })
    .await;
    match found {
        Ok(Ok((epoch, after, rewound))) => Ok(start(after, epoch, rewound)),
        Ok(Err(why)) => Err(store_error(&why)),
        Err(_) => Err(CodedError::new(ErrorCode::StoreFailed, "the store could not be read")),
    }
}

/// Leaves sessions.
pub fn unsubscribe(connection: &Arc<Connection>, request_id: RequestId, body: Unsubscribe) -> Answer {
    let handles: Result<Vec<_>, _> =
        body.session_ids.iter().map(|id| connection.server.sessions.resolve(id)).collect();
    let handles = match handles {
        Ok(handles) => handles,
        Err(why) => return refused(request_id, None, why),
    };
    let caller = connection.caller();
    let asked: Vec<_> = handles
        .into_iter()
        .map(|handle| {
            connection.unseat(&handle.id);
            (handle.id, handle.ask(&caller, Command::Leave, None))
        })
        .collect();
    later(async move {
        for (id, reply) in asked {
            if let Err(why) = reply.await {
                return error(request_id, Some(id), why).into();
            }
        }
        Message::Ok { request_id }.into()
    })
}

/// Deletes a session, and keeps nothing of it if that is wanted.
pub fn delete(connection: &Arc<Connection>, request_id: RequestId, session_id: &str, purge: bool) -> Answer {
    if !purge {
        return ask(connection, request_id, session_id, Command::Delete);
    }
    let handle = match connection.server.sessions.resolve(session_id) {
        Ok(handle) => handle,
        Err(why) => return refused(request_id, None, why),
    };
    let caller = connection.caller();
    let deleted = handle.ask(&caller, Command::Delete, None);
    let purged = handle.ask(&caller, Command::Purge(None), None);
    let server = connection.server.clone();
    later(async move {
        let (deleted, purged) = (deleted.await, purged.await);
        server.triggers.look_again();
        // One that was deleted already is not deleted twice; one that cannot be deleted says why it is not purged.
        let reply = match purged {
            Err(why) if why.code == ErrorCode::InvalidState => deleted.and(Err(why)),
            purged => purged,
        };
        if reply.is_ok() {
            server.search.look_everywhere();
        }
        said(request_id, handle.id, reply).into()
    })
}

/// Starts an agent again.
pub fn resume(connection: &Arc<Connection>, request_id: RequestId, body: ResumeSession) -> Answer {
    let handle = match connection.server.sessions.resolve(&body.session_id) {
        Ok(handle) => handle,
        Err(why) => return refused(request_id, None, why),
    };
    let connection = connection.clone();
    later(async move {
        let env = (!body.env.is_empty()).then_some(body.env);
        let (server, caller) = (connection.server.clone(), connection.caller());
        let _focus = match focus::take(&server, &caller, Some(handle.id), body.pause_others).await {
            Ok(focus) => focus,
            Err(why) => return error(request_id, Some(handle.id), why).into(),
        };
        // An ended session gave its name up; another may have it now.
        let reserved = connection.server.sessions.reserve(handle.info().name.as_deref(), Some(handle.id));
        let _reserved = match reserved {
            Ok(reserved) => reserved,
            Err(why) => return error(request_id, Some(handle.id), why).into(),
        };
        if body.budget.is_some() {
            let update = MetadataUpdate { budget: Some(body.budget), ..MetadataUpdate::default() };
            let command = Command::Update(Box::new(update));
            if let Err(why) = handle.ask(&connection.caller(), command, None).await {
                return error(request_id, Some(handle.id), why).into();
            }
        }
        let command = Command::Resume { context: body.additional_context };
        let reply = handle.ask(&connection.caller(), command, env).await;
        said(request_id, handle.id, reply).into()
    })
}

/// Changes editable metadata; a new name must be free.
pub fn update(connection: &Arc<Connection>, request_id: RequestId, body: UpdateSession) -> Answer {
    let handle = match connection.server.sessions.resolve(&body.session_id) {
        Ok(handle) => handle,
        Err(why) => return refused(request_id, None, why),
    };
    let connection = connection.clone();
    later(async move {
        let name = body.name.clone().flatten();
        let update = MetadataUpdate {
            version: body.version,
            name: body.name,
            description: body.description,
            metadata: body.metadata,
            ttl_s: body.ttl_s,
            orphan_policy: body.orphan_policy,
            pinned: body.pinned,
            budget: body.budget,
            approval_deadline_s: body.approval_deadline_s,
            detached: body.detached,
        };
        // Reserved until the session has it, so that two renamings cannot both win.
        let reserved = connection.server.sessions.reserve(name.as_deref(), Some(handle.id));
        let _reserved = match reserved {
            Ok(reserved) => reserved,
            Err(why) => return error(request_id, Some(handle.id), why).into(),
        };
        let reply = handle.ask(&connection.caller(), Command::Update(Box::new(update)), None).await;
        said(request_id, handle.id, reply).into()
    })
}

/// Takes ownership; a client that was not seated is from now on.
pub fn take(connection: &Arc<Connection>, request_id: RequestId, session_id: &str) -> Answer {
    if let Ok(handle) = connection.server.sessions.resolve(session_id) {
        connection.seat(&handle);
    }
    ask(connection, request_id, session_id, Command::Take)
}

fn look(
    connection: &Arc<Connection>,
    request_id: RequestId,
    session_id: &str,
    say: impl FnOnce(RequestId, Looked) -> Message + Send + 'static,
) -> Answer {
    let handle = match connection.server.sessions.resolve(session_id) {
        Ok(handle) => handle,
        Err(why) => return refused(request_id, None, why),
    };
    let reply = handle.ask(&connection.caller(), Command::Look, None);
    let connection = connection.clone();
    later(async move {
        match reply.await {
            Ok(Reply::Looked(looked)) => say(request_id, own(&connection, *looked)).into(),
            Ok(other) => said(request_id, handle.id, Ok(other)).into(),
            Err(why) => error(request_id, Some(handle.id), why).into(),
        }
    })
}

/// Tells who is attached.
pub fn who(connection: &Arc<Connection>, request_id: RequestId, session_id: &str) -> Answer {
    look(connection, request_id, session_id, |request_id, looked| Message::Members {
        request_id,
        session_id: looked.info.id,
        members: looked.members,
    })
}

/// Reads one session.
pub fn get(connection: &Arc<Connection>, request_id: RequestId, session_id: &str) -> Answer {
    look(connection, request_id, session_id, |request_id, looked| told(request_id, looked, Vec::new()))
}

/// A session as one look shows it.
pub(super) fn told(request_id: RequestId, looked: Looked, ports: Vec<Listener>) -> Message {
    let Looked { info: session, members, launch, queue, .. } = looked;
    Message::Session { request_id, session, members, launch, queue, ports }
}

/// Reads records without joining.
pub fn read(connection: &Arc<Connection>, request_id: RequestId, body: ReadRecords) -> Answer {
    /// An answer ends near this size, in bytes.
    const PAGE: usize = 1024 * 1024;
    let handle = match connection.server.sessions.resolve(&body.session_id) {
        Ok(handle) => handle,
        Err(why) => return refused(request_id, None, why),
    };
    let reader = connection.server.sessions.reader().clone();
    let connection = connection.clone();
    later(async move {
        // One page at a time of each connection, once the last one has gone out; and everybody's in turn.
        let _mine = connection.page.lock().await;
        connection.has_room().await;
        let _turn = connection.server.pages.acquire().await;
        let (no, id, head) = (handle.no, handle.id, handle.feed.head());
        let limit = body.limit.map_or(usize::MAX, |limit| limit as usize);
        let read = tokio::task::spawn_blocking(move || {
            let page = reader.page(no, &id, body.after, PAGE, limit.max(1))?;
            let lines = page.frames.bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            // The frames are ours; one that cannot be read would be a damaged store, and is left out there too.
            Ok(lines.filter_map(|line| serde_json::from_slice(line).ok()).collect::<Vec<_>>())
        })
        .await;
        match read {
            Ok(Ok(records)) => Message::Records { request_id, session_id: id, records, head }.into(),
            Ok(Err(why)) => error(request_id, Some(id), store_error(&why)).into(),
            Err(_) => {
                let why = CodedError::new(ErrorCode::StoreFailed, "the store could not be read");
                error(request_id, Some(id), why).into()
            }
        }
    })
}
