//! `vibes export`: sessions as text: for programs, for keeping, for reading.
//!
//! Invariant: page by page, whatever a session's length; a file has its name only when all of it is there.

use crate::args::{ExportArgs, ExportFormat};
use crate::client::{Daemon, Start};
use crate::error::{Failure, Kind, Outcome};
use crate::render::document::Document;
use crate::span::Span;
use crate::{sanitize, ui};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use vibes_protocol::model::{ArchiveHead, Seq};
use vibes_protocol::wire::Message;
use vibes_protocol::wire::message::Record;
use vibes_protocol::wire::request::{ExportSession, ListSessions};

/// A page as it comes, with its records unread.
#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    head: &'a RawValue,
    #[serde(borrow)]
    records: Vec<&'a RawValue>,
    last: Seq,
    more: bool,
}

pub(crate) fn run(args: &ExportArgs) -> Outcome {
    let mut daemon = Daemon::here(Start::Auto)?;
    let targets = targets(&mut daemon, args)?;
    let mut out = Out::new(args.output.as_deref())?;
    for (at, target) in targets.iter().enumerate() {
        let id = daemon.named(&target.id)?;
        one(&mut daemon, id, target, args, at, &mut out)?;
    }
    out.finish()?;
    if let Some(path) = &args.output {
        let what = crate::render::count(targets.len(), "session", "sessions");
        ui::say(&format!("{what} exported to {}", sanitize::line(&path.display().to_string())));
    }
    Ok(())
}

/// What is to be exported: what was named, all there is, or what standard input names.
fn targets(daemon: &mut Daemon, args: &ExportArgs) -> Outcome<Vec<Span>> {
    if args.all {
        return all(daemon);
    }
    let named = if args.ids.is_empty() {
        if ui::stdin_is_terminal() {
            return Err(Failure::usage("which session?")
                .hint("`vibes export ID`, `vibes export --all`, or ids on standard input"));
        }
        ui::read_stdin(1 << 24)?.split_whitespace().map(str::to_owned).collect()
    } else {
        args.ids.clone()
    };
    named.iter().map(|text| Span::read(text)).collect()
}

/// Every session that is not deleted, ended ones too, the first one first.
fn all(daemon: &mut Daemon) -> Outcome<Vec<Span>> {
    let (mut found, mut cursor) = (Vec::new(), None);
    loop {
        let wish = ListSessions {
            states: None,
            agent: None,
            include_ended: true,
            search: None,
            limit: None,
            cursor,
        };
        let Message::SessionList { sessions, next_cursor, .. } = daemon.ask(wish)? else {
            return Err(Failure::unexpected("list_sessions"));
        };
        found.extend(sessions.iter().map(|info| (info.created_at, info.id)));
        cursor = next_cursor;
        if cursor.is_none() {
            found.sort();
            let target = |(_, id): (i64, _)| Span { id: format!("{id}"), first: None, last: None };
            return Ok(found.into_iter().map(target).collect());
        }
    }
}

fn one(
    daemon: &mut Daemon,
    session_id: String,
    target: &Span,
    args: &ExportArgs,
    at: usize,
    out: &mut Out,
) -> Outcome {
    let mut wish = ExportSession { session_id, after: target.after(), to: target.last, raw: args.raw };
    let mut document: Option<Document> = None;
    let mut begun = false;
    loop {
        let line = daemon.ask_line(wish.clone(), "exported")?;
        let page: Page<'_> = read(&line)?;
        let mut text = String::new();
        if !begun {
            let head: ArchiveHead = read(page.head.get().as_bytes())?;
            if target.first.is_some_and(|first| first > head.last) {
                let why = format!("{}: its last record is {}", target.id, head.last);
                return Err(Failure::new(Kind::NotFound, why));
            }
            // All pages are of the same records, whatever is recorded meanwhile.
            wish.to = Some(head.last);
            match args.format {
                ExportFormat::Ndjson => text.push_str(&format!("{}\n", page.head.get())),
                // The head's own fields, and the records beside them.
                ExportFormat::Json => {
                    let fields = page.head.get().strip_suffix('}').unwrap_or_default();
                    text.push_str(&format!("{fields},\"records\":["));
                }
                ExportFormat::Markdown => {
                    if at > 0 {
                        text.push_str("\n---\n\n");
                    }
                    let mut fresh = Document::default();
                    fresh.begin(&head, &mut text);
                    document = Some(fresh);
                }
            }
        }
        for record in &page.records {
            match (&mut document, args.format) {
                (Some(document), _) => {
                    let record: Record = read(record.get().as_bytes())?;
                    document.read(&record, &mut text);
                }
                (None, ExportFormat::Json) => {
                    text.push_str(if begun { ",\n" } else { "\n" });
                    text.push_str(record.get());
                }
                (None, _) => {
                    text.push_str(record.get());
                    text.push('\n');
                }
            }
            begun = true;
        }
        begun = true;
        if !page.more {
            if let Some(document) = &mut document {
                document.end(&mut text);
            } else if args.format == ExportFormat::Json {
                text.push_str("\n]}\n");
            }
        }
        out.put(&text)?;
        wish.after = page.last;
        if !page.more {
            return Ok(());
        }
    }
}

fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Outcome<T> {
    serde_json::from_slice(bytes)
        .map_err(|error| Failure::new(Kind::Failed, format!("the daemon sent something unreadable: {error}")))
}

/// Where it goes: standard output, or a file that gets its name at the end.
struct Out {
    file: Option<Aside>,
    terminal: bool,
}

/// A file beside the one it is to be.
struct Aside {
    file: Option<File>,
    aside: PathBuf,
    path: PathBuf,
}

impl Out {
    fn new(path: Option<&Path>) -> Outcome<Self> {
        let file = path.filter(|path| *path != Path::new("-")).map(Aside::begin).transpose()?;
        Ok(Self { terminal: file.is_none() && ui::stdout_is_terminal(), file })
    }

    fn put(&mut self, text: &str) -> Outcome {
        match &mut self.file {
            Some(file) => file.put(text),
            None if self.terminal => {
                // Both spellings of what a terminal obeys: in JSON an escape is still JSON, elsewhere it is a sign.
                let clean = if text.starts_with('{') { sanitize::json(text) } else { sanitize::text(text) };
                ui::raw(&clean)
            }
            None => ui::raw(text),
        }
    }

    fn finish(self) -> Outcome {
        self.file.map_or(Ok(()), Aside::finish)
    }
}

impl Aside {
    fn begin(path: &Path) -> Outcome<Self> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let path = path.to_owned();
        let failed = |error: &io::Error| Failure::io(format_args!("cannot write {}", path.display()), error);
        if path.is_dir() {
            return Err(failed(&io::Error::from(io::ErrorKind::IsADirectory)));
        }
        let name = path.file_name().ok_or_else(|| failed(&io::Error::from(io::ErrorKind::InvalidInput)))?;
        let name = format!(".{}.{}.part", name.to_string_lossy(), std::process::id());
        let aside = path.with_file_name(name);
        // Conversations are nobody else's business.
        let opened = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside);
        let file = Some(opened.map_err(|error| failed(&error))?);
        Ok(Self { file, aside, path })
    }

    fn failed(&self, error: &io::Error) -> Failure {
        Failure::io(format_args!("cannot write {}", self.path.display()), error)
    }

    fn put(&mut self, text: &str) -> Outcome {
        let written = self.file.as_mut().map_or(Ok(()), |file| file.write_all(text.as_bytes()));
        written.map_err(|error| self.failed(&error))
    }

    fn finish(mut self) -> Outcome {
        let done = self.file.take().map_or(Ok(()), |file| file.sync_all());
        done.and_then(|()| fs::rename(&self.aside, &self.path)).map_err(|error| self.failed(&error))
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        // After a rename there is nothing to remove.
        let _ = fs::remove_file(&self.aside);
    }
}
