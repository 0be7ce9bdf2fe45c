//! Sessions that are taken in from archives.
//!
//! Invariant: one conversation comes in once: it is known by its lineage, or by the agent's own id of it. What comes in
//! carries nothing that starts a program, and takes the place only of an import of the same beginning.

use super::{Sessions, store_error};
use crate::{
    archive::{Foreign, Intake, Kind, Lines, Whole},
    clock,
    journal::{Farewell, Piece, SessionNo, Settled, Spent, StoreError},
    session::{Plan, leavings::Leavings, persist, state::State},
};
use std::time::Duration;
use vibes_protocol::model::{
    ArchiveHead, CodedError, ErrorCode, ImportOutcome, Imported, Seq, SessionId, SessionState,
};

/// How long a session may take to come to rest that is to be replaced.
const RESTING: Duration = Duration::from_secs(5);
/// The longest words of a head that are kept, in bytes.
const MOST_WORDS: usize = 4096;

/// What a head leads to.
pub enum Begun {
    /// Nothing is to be done, and why.
    Known(SessionId, String),
    /// Its records are wanted.
    Wanted(Arrival),
}

/// A session on its way in.
pub struct Arrival {
    /// What is read of it, once it is known which one it is.
    target: Option<Box<Target>>,
    /// Who reads it, when it is no archive of ours; and the hash of where it is read from.
    foreign: Option<Box<(Foreign, Lines)>>,
    source: Option<String>,
    /// The number it has in the store.
    no: Option<SessionNo>,
}

struct Target {
    state: State,
    imported: Imported,
    intake: Intake,
    /// What it is to take the place of.
    before: Option<(SessionId, Imported)>,
}

/// What some of it led to.
pub enum Arriving {
    /// More is wanted.
    On(Arrival),
    /// Nothing is to be done, and why.
    Known(SessionId, String),
}

impl Arrival {
    fn read(&mut self, text: &str) -> Result<(), String> {
        match (&mut self.foreign, &mut self.target) {
            (None, Some(target)) => target.intake.read(text, &mut target.state),
            (None, None) => Err("it is not known which session it is of".to_owned()),
            (Some(reader), _) => {
                let (foreign, lines) = &mut **reader;
                lines.feed(text, |_, line| foreign.line(line))?;
                self.hear()
            }
        }
    }

    /// Takes what was told, once it is known of what.
    fn hear(&mut self) -> Result<(), String> {
        if let (Some(reader), Some(target)) = (&mut self.foreign, &mut self.target) {
            while let Some((at_ms, fact)) = reader.0.story().take() {
                target.intake.tell(at_ms, &fact, &mut target.state)?;
            }
        }
        Ok(())
    }

    /// The end of it. How many records are there only for that.
    fn end(&mut self) -> Result<usize, String> {
        let Some(reader) = &mut self.foreign else { return Ok(0) };
        let (foreign, lines) = &mut **reader;
        lines.end(|_, line| foreign.line(line))?;
        let closing = foreign.end()?;
        self.hear()?;
        Ok(closing)
    }
}

/// What became of it.
pub struct Arrived {
    /// In a word.
    pub outcome: ImportOutcome,
    /// The session.
    pub id: SessionId,
    /// How many records there are.
    pub records: Seq,
    /// How many turns they tell of.
    pub turns: u64,
    /// Why nothing was done.
    pub why: Option<String>,
}

fn bad(why: impl Into<String>) -> CodedError {
    CodedError::new(ErrorCode::BadRequest, why)
}

fn key_of(lineage: &str) -> String {
    format!("lineage:{lineage}")
}

impl Sessions {
    /// Looks at what is to come: an archive of ours with this head, or a file of the program of this name, of which the
    /// head may tell the directory. Blocking.
    pub fn arrival(
        &self,
        head: Option<&ArchiveHead>,
        from: Option<&str>,
        source: Option<String>,
    ) -> Result<Begun, CodedError> {
        match (from, head) {
            (None | Some("vibes"), Some(head)) => self.announced(head, None, source),
            (Some(from), head) if from != "vibes" => {
                let kind = Kind::named(from)
                    .ok_or_else(|| bad(format!("from: {from:?} is none of vibes, claude, codex, gemini")))?;
                let cwd = head.and_then(|head| head.session.get("cwd")?.as_str().map(str::to_owned));
                let foreign = Some(Box::new((Foreign::new(kind, cwd), Lines::default())));
                Ok(Begun::Wanted(Arrival { target: None, foreign, source, no: None }))
            }
            _ => Err(bad("head: to begin, the archive's head is needed")),
        }
    }

    fn announced(
        &self,
        head: &ArchiveHead,
        from: Option<&str>,
        source: Option<String>,
    ) -> Result<Begun, CodedError> {
        let lineage = &*head.lineage;
        if head.format != crate::archive::FORMAT {
            return Err(bad(format!(
                "head.format: {} is not one that this version reads ({}); a newer vibes may",
                head.format,
                crate::archive::FORMAT
            )));
        }
        let plain = lineage.bytes().all(|byte| byte.is_ascii_graphic());
        if lineage.is_empty() || lineage.len() > 200 || !plain {
            return Err(bad("head.lineage: 1 to 200 plain characters"));
        }
        if head.first != 1 {
            return Err(bad(format!(
                "head.first: this archive begins with record {}; one that can be imported has all of them",
                head.first
            )));
        }
        let known = |id: SessionId, what: &str| {
            Ok(Begun::Known(id, format!("{what} is session {}", &id.to_string()[..8])))
        };
        let before = self.imported_before(lineage).map_err(|error| store_error(&error))?;
        if let Some((id, imported, deleted)) = &before {
            if *deleted {
                return known(*id, "it was imported, and deleted: `vibes undelete` has it back; it");
            }
            if source.is_some() && imported.source == source {
                return known(*id, "nothing was added since it was imported; it");
            }
        }
        let conversation = lineage.split_once(':').map_or(lineage, |(_, conversation)| conversation);
        if before.is_none() {
            let own = self.of_conversation(lineage, conversation).map_err(|error| store_error(&error))?;
            if let Some(id) = own {
                return known(id, "vibes recorded this conversation itself: it");
            }
        }
        let before = before.map(|(id, imported, _)| (id, imported));
        let target = Some(Box::new(self.wanted(head, from, source.as_deref(), before)?));
        Ok(Begun::Wanted(Arrival { target, foreign: None, source, no: None }))
    }

    fn wanted(
        &self,
        head: &ArchiveHead,
        from: Option<&str>,
        source: Option<&str>,
        before: Option<(SessionId, Imported)>,
    ) -> Result<Target, CodedError> {
        let word = |name: &str| {
            let text =
                head.session.get(name).and_then(|value| value.as_str()).filter(|text| !text.is_empty());
            match text {
                Some(text) if text.len() > MOST_WORDS => {
                    Err(bad(format!("head.session.{name}: more than {MOST_WORDS} bytes")))
                }
                text => Ok(text.map(str::to_owned)),
            }
        };
        // The id it had is the best one, as long as nobody has it here.
        let id = match (&before, word("id")?.map(|id| id.parse::<SessionId>())) {
            (Some((id, _)), _) => *id,
            (None, Some(Err(_))) => return Err(bad("head.session.id: it is no session id")),
            (None, Some(Ok(id))) if !self.has(&id).map_err(|error| store_error(&error))? => id,
            (None, _) => SessionId::random(),
        };
        let name = word("name")?;
        if let Some(name) = &name {
            // Only whether it could be one: ended sessions may share it.
            super::check_name(name)?;
        }
        let metadata = head.session.get("metadata").and_then(|value| value.as_object()).cloned();
        let metadata = metadata.unwrap_or_default();
        if serde_json::to_string(&metadata).map_or(0, |text| text.len()) > 16 * MOST_WORDS {
            return Err(bad(format!("head.session.metadata: more than {} bytes", 16 * MOST_WORDS)));
        }
        let from = from.map(str::to_owned).or_else(|| {
            let told = head.session.get("imported")?.get("from")?.as_str()?;
            (told.len() <= 64).then(|| told.to_owned())
        });
        let plan = Plan {
            agent: word("agent")?.unwrap_or_else(|| "unknown".to_owned()),
            cwd: word("cwd")?.unwrap_or_else(|| "/".to_owned()),
            name,
            description: word("description")?,
            metadata,
            ..Plan::default()
        };
        let imported = Imported {
            from: from.unwrap_or_else(|| "vibes".to_owned()),
            lineage: head.lineage.clone(),
            at: clock::wall_ms() / 1000,
            records: 0,
            digest: String::new(),
            source: source.map(|source| source.chars().take(128).collect()),
        };
        let mark = before.as_ref().map_or(0, |(_, imported)| imported.records);
        let state = State::new(id, plan, self.parts.epoch, clock::wall_ms());
        Ok(Target { state, imported, intake: Intake::new(mark), before })
    }

    /// An import of this lineage, and whether it is deleted.
    fn imported_before(&self, lineage: &str) -> Result<Option<(SessionId, Imported, bool)>, StoreError> {
        let Some(id) = self.parts.reader.created_with(&key_of(lineage))? else { return Ok(None) };
        let Some(no) = self.parts.reader.number(&id)? else { return Ok(None) };
        let Some(stored) = self.parts.reader.session(no)? else { return Ok(None) };
        let body = persist::restore(&stored, self.parts.epoch).ok().map(|state| state.body.clone());
        Ok(body.and_then(|body| Some((id, body.imported.clone()?, body.deleted_ms.is_some()))))
    }

    /// The session in which vibes itself recorded this conversation.
    fn of_conversation(&self, lineage: &str, conversation: &str) -> Result<Option<SessionId>, StoreError> {
        if let Ok(id) = lineage.parse::<SessionId>()
            && self.has(&id)?
        {
            return Ok(Some(id));
        }
        for stored in self.parts.reader.mentioning(conversation)? {
            let Ok(state) = persist::restore(&stored, self.parts.epoch) else { continue };
            if state.body.imported.is_none() && state.body.codec.conversation() == Some(conversation) {
                return Ok(Some(stored.id));
            }
        }
        Ok(None)
    }

    fn has(&self, id: &SessionId) -> Result<bool, StoreError> {
        Ok(self.parts.reader.number(id)?.is_some())
    }

    /// Takes text of its records, and keeps what is whole. After an error nothing of it is kept.
    pub async fn arrives(&self, mut arrival: Arrival, text: String) -> Result<Arriving, CodedError> {
        let mut no = arrival.no;
        let read = tokio::task::spawn_blocking(move || {
            let read = arrival.read(&text);
            (arrival, read)
        });
        let done = match read.await {
            Ok((arrival, Ok(()))) => self.sorted(arrival, &mut no).await,
            Ok((_, Err(why))) => Err(bad(why)),
            Err(_) => Err(CodedError::new(ErrorCode::Internal, "the archive was not read")),
        };
        if done.is_err() {
            self.forgets(no).await;
        }
        done
    }

    /// Finds out which session it is, if that can be known by now, and keeps what is ready.
    async fn sorted(&self, mut arrival: Arrival, no: &mut Option<SessionNo>) -> Result<Arriving, CodedError> {
        if arrival.target.is_none()
            && let Some(reader) = &mut arrival.foreign
            && let story = reader.0.story()
            && let (Some(lineage), true) = (story.lineage(), story.waiting() > 0)
        {
            let mut session = serde_json::Map::new();
            session.insert("agent".to_owned(), story.agent().into());
            session.insert("cwd".to_owned(), story.cwd().unwrap_or("/").into());
            let head = ArchiveHead {
                kind: String::new(),
                format: crate::archive::FORMAT,
                lineage: lineage.to_owned(),
                exported_at: 0,
                version: String::new(),
                redacted: false,
                first: 1,
                last: 0,
                session,
            };
            let (agent, source) = (story.agent(), arrival.source.clone());
            let begun = tokio::task::block_in_place(|| self.announced(&head, Some(agent), source))?;
            match begun {
                Begun::Known(id, why) => return Ok(Arriving::Known(id, why)),
                Begun::Wanted(named) => arrival.target = named.target,
            }
            arrival.hear().map_err(bad)?;
        }
        if let Some(target) = &mut arrival.target {
            let ready = target.intake.ready();
            self.stage(no, ready).await.map_err(|error| store_error(&error))?;
        }
        arrival.no = *no;
        Ok(Arriving::On(arrival))
    }

    async fn forgets(&self, no: Option<SessionNo>) {
        if let Some(no) = no {
            self.parts.writer.erase(no).await;
        }
    }

    async fn stage(
        &self,
        no: &mut Option<SessionNo>,
        ready: crate::archive::Ready,
    ) -> Result<(), StoreError> {
        if ready.records.is_empty() && ready.rows.is_empty() {
            return Ok(());
        }
        let piece = Piece {
            session: *no,
            leavings: Leavings::nothing().encode(),
            epoch: self.parts.epoch,
            records: ready.records,
            rows: ready.rows,
        };
        *no = Some(self.parts.writer.stage(piece).await?);
        Ok(())
    }

    /// Nothing of it is kept.
    pub async fn turns_back(&self, arrival: Arrival) {
        self.forgets(arrival.no).await;
    }

    /// All of it is there, up to the last record that its head told of, if it did.
    pub async fn settles(&self, mut arrival: Arrival, last: Seq) -> Result<Arrived, CodedError> {
        let mut no = arrival.no;
        let finished = tokio::task::spawn_blocking(move || {
            let closing = arrival.end()?;
            let Some(target) = arrival.target else {
                return Err("it holds no conversation that this version can read".to_owned());
            };
            let Target { mut state, imported, intake, before } = *target;
            let whole = intake.finish(closing, &mut state)?;
            if last != 0 && whole.records != last {
                let records = whole.records;
                return Err(format!(
                    "the archive ends with record {records}, and its head tells of {last}: it was cut off"
                ));
            }
            Ok((state, imported, before, whole, closing))
        });
        let done = match finished.await {
            Ok(Ok((state, mut imported, before, whole, closing))) => {
                self.settle(&mut no, state, &mut imported, whole, closing, before).await
            }
            Ok(Err(why)) => Err(bad(why)),
            Err(_) => Err(CodedError::new(ErrorCode::Internal, "the archive was not read")),
        };
        if done.as_ref().map_or(true, |arrived| arrived.outcome == ImportOutcome::Known) {
            self.forgets(no).await;
        }
        done
    }

    async fn settle(
        &self,
        no: &mut Option<SessionNo>,
        mut state: State,
        imported: &mut Imported,
        whole: Whole,
        closing: usize,
        before: Option<(SessionId, Imported)>,
    ) -> Result<Arrived, CodedError> {
        let id = state.body.id;
        let mut arrived = Arrived {
            outcome: ImportOutcome::Imported,
            id,
            records: whole.records,
            turns: whole.turns,
            why: None,
        };
        imported.records = whole.records.saturating_sub(closing as u64);
        imported.digest = whole.digest;
        if let Some((_, earlier)) = &before {
            let same = whole.mark.as_ref() == Some(&earlier.digest);
            arrived.outcome = ImportOutcome::Extended;
            if imported.records <= earlier.records {
                arrived.outcome = ImportOutcome::Known;
                let less = imported.records < earlier.records;
                arrived.why = Some(match (less, same) {
                    (true, _) => "the session that was imported has more of it".to_owned(),
                    (false, true) => "nothing was added since it was imported".to_owned(),
                    (false, false) => return Err(differs(&id)),
                });
                return Ok(arrived);
            }
            if !same {
                return Err(differs(&id));
            }
        }
        let instead = match before {
            Some(_) => Some(self.at_rest(&id, &mut state).await?),
            None => None,
        };
        self.stage(no, whole.ready).await.map_err(|error| store_error(&error))?;
        let Some(session) = *no else { return Err(bad("there is no record in it")) };
        let now = clock::wall_ms();
        state.head = whole.records;
        // A clock that was ahead puts nothing on top of every list for ever.
        state.last_ms = whole.span.1.min(now);
        state.body.created_ms = whole.span.0.min(now);
        state.body.state = SessionState::Finished;
        state.body.turns = whole.turns;
        state.body.cost = whole.cost;
        state.body.recall = false;
        state.body.imported = Some(imported.clone());
        let spent =
            Spent { agent: state.body.agent.clone(), cwd: state.body.cwd.clone(), turns: whole.spent };
        let settled = Settled {
            session,
            id,
            key: key_of(&imported.lineage),
            head: state.head,
            last_ms: state.last_ms,
            name: state.body.name.clone(),
            body: persist::encode(&state),
            spent,
            instead: instead.clone(),
        };
        self.parts.writer.settle(settled).await.map_err(|error| store_error(&error))?;
        match instead {
            Some(gone) => self.parts.writer.erase(gone.session).await,
            None => self.registry.one_more(),
        }
        Ok(arrived)
    }

    /// Waits until the session that is to be replaced has no task; what a person said of it stays.
    async fn at_rest(&self, id: &SessionId, state: &mut State) -> Result<Farewell, CodedError> {
        let patient = async {
            while let Some(handle) = self.registry.get(id) {
                drop(handle);
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        if tokio::time::timeout(RESTING, patient).await.is_err() {
            let why = "somebody is attached to what was imported of it: detach, and import again";
            return Err(CodedError::new(ErrorCode::Busy, why));
        }
        let stored = self.parts.reader.resting(id).map_err(|error| store_error(&error))?;
        let gone = || CodedError::new(ErrorCode::SessionNotFound, "what was imported of it has just gone");
        let stored = stored.ok_or_else(gone)?;
        let body = persist::restore(&stored, self.parts.epoch).map_err(|_| gone())?.body.clone();
        state.body.name.clone_from(&body.name);
        state.body.description.clone_from(&body.description);
        state.body.metadata.clone_from(&body.metadata);
        (state.body.pinned, state.body.version) = (body.pinned, body.version);
        Ok(Farewell {
            session: stored.no,
            expect: (stored.head, stored.spool),
            leavings: Leavings::nothing().encode(),
        })
    }
}

fn differs(id: &SessionId) -> CodedError {
    let id = &id.to_string()[..8];
    let why = format!(
        "it begins otherwise than what was imported of the same lineage, session {id}: \
         `vibes rm --purge {id}` first, if this is the right one"
    );
    CodedError::new(ErrorCode::InvalidState, why)
}
