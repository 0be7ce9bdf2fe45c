//! `vibes queue`: the prompts that wait, and what can be done with them.
//!
//! Invariant: a prompt is named by its record, which never changes; its place does with every turn.

use crate::args::QueueVerb;
use crate::client::{Daemon, Start};
use crate::commands::{kill::each, send, simple::act};
use crate::error::{Failure, Outcome};
use crate::render::conversation::words_of_block;
use crate::render::table::{Cell, render};
use crate::ui;
use vibes_protocol::wire::Message;
use vibes_protocol::wire::message::QueuedPrompt;
use vibes_protocol::wire::request::{Content, EditInput, GetSession, MoveInput, RemoveInput};

pub(crate) fn run(verb: &QueueVerb) -> Outcome {
    match verb {
        QueueVerb::List(args) => list(&args.id, args.json),
        QueueVerb::Edit { id, seq, prompt } => {
            let content = Content::Text(send::prompt(prompt.as_deref())?);
            let input_seq = *seq;
            act(id, &format!("changed prompt {seq} of"), |session_id| {
                EditInput { session_id, input_seq, content }.into()
            })
        }
        QueueVerb::Move { id, seq, place } => {
            let (input_seq, place) = (*seq, *place);
            act(id, &format!("moved prompt {seq} of"), |session_id| {
                MoveInput { session_id, input_seq, place }.into()
            })
        }
        QueueVerb::Rm { id, seqs } => {
            let names: Vec<String> = seqs.iter().map(u64::to_string).collect();
            each(&names, |name| {
                let input_seq =
                    name.parse().map_err(|_| Failure::usage("a prompt is named by its record"))?;
                act(id, &format!("removed prompt {name} from"), |session_id| {
                    RemoveInput { session_id, input_seq }.into()
                })
            })
        }
    }
}

fn list(id: &str, json: bool) -> Outcome {
    let mut daemon = Daemon::here(Start::Auto)?;
    let session_id = daemon.named(id)?;
    let Message::Session { queue, .. } = daemon.ask(GetSession { session_id, ports: false })? else {
        return Err(Failure::unexpected("get_session"));
    };
    if json {
        return ui::json(&queue);
    }
    if queue.is_empty() {
        ui::say("No prompts wait.");
        return Ok(());
    }
    let row = |(at, prompt): (usize, &QueuedPrompt)| {
        let words: Vec<String> = prompt.content.iter().map(words_of_block).collect();
        vec![
            Cell::new((at + 1).to_string()),
            Cell::new(prompt.input_seq.to_string()),
            Cell::new(words.join(" ")),
        ]
    };
    let rows: Vec<Vec<Cell>> = queue.iter().enumerate().map(row).collect();
    ui::data(&render(&["PLACE", "PROMPT", "WORDS"], &rows, ui::Paint::stdout()).join("\n"))
}
