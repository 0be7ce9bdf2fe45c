//! The path of a record, scenario by scenario, for counting instructions: `hot_path SCENARIO ROUNDS`.
//!
//! What a scenario prepares costs the same however many rounds follow, so the difference between two runs is the
//! rounds' own; [`RECORDS`] records pass in each. `vibes-bench --instructions` runs this under valgrind.

use std::{error::Error, hint::black_box, path::Path};
use vibes_core::{
    agent::spool::{Chunk, Line},
    clock::Moment,
    journal::{
        self, Append, Change, Feed, NewSession, Pull, Reader, Slab, SpoolOffset, Writer, group::Frames,
    },
    session::{
        Plan,
        event::Event,
        persist::Saved,
        state::State,
        step::{Out, step},
    },
};
use vibes_protocol::model::SessionId;

/// Records in a round.
const RECORDS: u64 = 200;
/// Subscribers that pull what is published.
const READERS: usize = 10;

type Outcome = Result<(), Box<dyn Error>>;

fn session() -> State {
    let plan = Plan {
        dialect: Default::default(),
        conversation: None,
        agent: "bench".into(),
        argv: vec!["bench".into()],
        cwd: "/".into(),
        name: None,
        description: None,
        metadata: Default::default(),
        options: Default::default(),
        orphan_policy: Default::default(),
        ttl_s: None,
        env_names: Vec::new(),
        umask: None,
        once: false,
        ephemeral: false,
        created_by: None,
        approvals: Default::default(),
        ..Plan::default()
    };
    State::new(SessionId(uuid::Uuid::from_u128(1 << 100)), plan, 1, 1_763_670_000_000)
}

/// A round's lines: updates of about 300 bytes, some with what has to be escaped.
fn chunk() -> Chunk {
    let line = |n: u64| {
        let text = format!("{n} words of an answer, {}", "some of them \\\"quoted\\\" and é ".repeat(8));
        let update = format!(
            r#"{{"sessionUpdate":"agent_message_chunk","content":{{"type":"text","text":"{text}"}}}}"#
        );
        let line = format!(
            r#"{{"jsonrpc":"2.0","method":"session/update","params":{{"sessionId":"s","update":{update}}}}}"#
        );
        Line::Whole(line.into())
    };
    Chunk { lines: (0..RECORDS).map(line).collect(), to: 1 }
}

/// Takes in a round: what the task does with a chunk before and after its commit.
fn take(state: &mut State, saved: &mut Saved, chunk: &Chunk) -> (Out, Frames) {
    let (mut next, mut out) = (state.clone(), Out::default());
    let at = Moment { wall_ms: 1_763_670_000_001, steady_ms: 1_763_670_000_001 };
    step(&mut next, at, Event::Lines(chunk), &mut out);
    assert!(saved.body_change(&next).is_none() && saved.row_changes(&next).is_empty(), "words change no row");
    let mut frames = Frames::of(&next.body.id);
    frames.extend(next.epoch, state.head + 1, &out.facts);
    *saved = Saved::of(&next);
    *state = next;
    (out, frames)
}

/// A line becomes a fact, stored and to be sent.
fn ingest(rounds: u64) -> Outcome {
    let (mut state, chunk) = (session(), chunk());
    let mut saved = Saved::of(&state);
    for _ in 0..rounds {
        black_box(take(&mut state, &mut saved, &chunk));
    }
    Ok(())
}

/// Frames are published and pulled by [`READERS`] cursors.
fn publish(rounds: u64) -> Outcome {
    let (mut state, chunk) = (session(), chunk());
    let mut saved = Saved::of(&state);
    let (bytes, ends) = take(&mut state, &mut saved, &chunk).1.freeze();
    let (feed, ends, wake) = (Feed::new(0, &Default::default()), ends.into(), Default::default());
    feed.listen(&wake);
    for round in 0..rounds {
        let (first, last) = (round * RECORDS + 1, (round + 1) * RECORDS);
        feed.publish(Slab {
            first,
            last,
            epoch: 1,
            bytes: bytes.clone(),
            ends: std::sync::Arc::clone(&ends),
        });
        for _ in 0..READERS {
            assert!(matches!(black_box(feed.pull(first - 1, 1 << 20)), Pull::Frames(..)));
        }
    }
    Ok(())
}

/// Writes rounds into a store of its own, one commit each; then `read`s so often all that lies there.
async fn store(dir: &Path, written: u64, read: u64) -> Outcome {
    let path = dir.join("vibes.db");
    let writer = Writer::start(journal::open(&path, "boot", 1)?)?;
    let (mut state, chunk) = (session(), chunk());
    let id = state.body.id;
    let new = NewSession { id, create_key: None, name: None, at_ms: 1, body: "{}".into() };
    let (no, ..) = writer.create(new).await?;
    let body = take(&mut state, &mut Saved::of(&session()), &chunk).0.facts.body;
    for round in 0..written {
        let (head, last) = (round * RECORDS, (round + 1) * RECORDS);
        let change = Change {
            session: no,
            expect: (head, SpoolOffset { generation: 0, offset: round }),
            head: last,
            spool: SpoolOffset { generation: 0, offset: round + 1 },
            last_ms: 1,
            active_ms: 0,
            append: Some(Append { first: head + 1, last, epoch: 1, body: body.clone() }),
            body: None,
            place: None,
            rows: Vec::new(),
            spent: None,
            sync: false,
        };
        writer.commit(change).await?;
    }
    let reader = Reader::new(&path);
    for _ in 0..read {
        let mut at = 0;
        while at < written * RECORDS {
            at = black_box(reader.page(no, &id, at, 256 * 1024, usize::MAX)?).last;
        }
    }
    Ok(writer.close().await?)
}

fn main() -> Outcome {
    let mut arguments = std::env::args().skip(1);
    let scenario = arguments.next().unwrap_or_default();
    let rounds = arguments.next().and_then(|text| text.parse().ok()).ok_or("hot_path SCENARIO ROUNDS")?;
    let dir = std::env::temp_dir().join(format!("vibes-hot-path-{}", uuid::Uuid::new_v4()));
    std::fs::create_dir(&dir)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let done = match scenario.as_str() {
        "ingest" => ingest(rounds),
        "publish" => publish(rounds),
        "commit" => runtime.block_on(store(&dir, rounds, 0)),
        // One round is enough for a read to meet: every read passes it.
        "replay" => runtime.block_on(store(&dir, 1, rounds)),
        other => Err(format!("{other:?} is no scenario").into()),
    };
    std::fs::remove_dir_all(dir)?;
    done
}
