//! Files, images and links that go with a prompt.
//!
//! Invariant: what a block holds is decided by the file's content and by what the agent takes; what does not fit a prompt is
//! an error before anything is sent, never half of a file.

use crate::client::Daemon;
use crate::error::{Failure, Outcome};
use crate::ui;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use vibes_protocol::model::SessionInfo;
use vibes_protocol::model::content::{MOST_ATTACHED, bytes as size};
use vibes_protocol::wire::Message;
use vibes_protocol::wire::request::{Attach, Content, GetBlob};

/// A longer text goes as a link: the agent reads of it what it needs.
const LONGEST_TEXT: u64 = 128 * 1024;

/// Whoever gets the files.
pub(crate) enum To<'a> {
    /// An agent that is to be started.
    Agent(&'a str),
    /// A session, as it was named.
    Session(&'a str),
}

impl To<'_> {
    /// What it takes besides text and links: what its agent has said, or what is known of agents like it.
    fn accepts(&self, daemon: &mut Daemon) -> Outcome<Vec<String>> {
        let of_agent = |daemon: &mut Daemon, agent: &str| {
            Ok(daemon.agent(agent)?.map(|agent| agent.accepts).unwrap_or_default())
        };
        match self {
            Self::Agent(agent) => of_agent(daemon, agent),
            Self::Session(id) => {
                let SessionInfo { accepts, agent, .. } = daemon.session(id)?.0;
                accepts.map_or_else(|| of_agent(daemon, &agent), Ok)
            }
        }
    }
}

/// A prompt with what goes with it.
pub(crate) fn content(
    daemon: &mut Daemon,
    to: &To<'_>,
    prompt: String,
    files: &[String],
) -> Outcome<Content> {
    if files.is_empty() {
        return Ok(Content::Text(prompt));
    }
    let accepts = to.accepts(daemon)?;
    let mut blocks = Vec::new();
    if !prompt.trim().is_empty() {
        blocks.push(json!({"type": "text", "text": prompt}));
    }
    let mut room = MOST_ATTACHED;
    // The daemon reads the file, and keeps it once however often it is attached.
    let mut keep = |path: &str| match daemon.ask(Attach { path: path.to_owned() })? {
        Message::Attached { sha256, size, .. } => Ok((sha256, size)),
        _ => Err(Failure::unexpected("attach")),
    };
    for file in files {
        let block = block(file, &accepts, &mut room, &mut keep)?;
        if block["type"] == "resource_link" && !file.contains("://") {
            ui::say(&format!("{file} goes as a link: the agent reads it by itself"));
        }
        blocks.push(block);
    }
    Ok(Content::Blocks(blocks))
}

/// A block of a prompt with its bytes, where the daemon keeps them elsewhere.
pub(crate) fn whole(daemon: &mut Daemon, session_id: &str, mut block: Value) -> Outcome<Value> {
    let Some(sha256) = block["blob"]["sha256"].as_str().map(str::to_owned) else { return Ok(block) };
    let Message::Blob { data, .. } = daemon.ask(GetBlob { session_id: session_id.to_owned(), sha256 })?
    else {
        return Err(Failure::unexpected("get_blob"));
    };
    let is_text = block["blob"]["text"] == true;
    if let Some(block) = block.as_object_mut() {
        block.shift_remove("blob");
    }
    match (block["type"] == "resource", is_text) {
        (true, true) => {
            let bytes = STANDARD.decode(data).map_err(|_| Failure::unexpected("get_blob"))?;
            block["resource"]["text"] = String::from_utf8_lossy(&bytes).into();
        }
        (true, false) => block["resource"]["blob"] = data.into(),
        (false, _) => block["data"] = data.into(),
    }
    Ok(block)
}

/// One file, or link, as a block; `keep` has the daemon keep a file, and says its hash and its length.
fn block(
    file: &str,
    accepts: &[String],
    room: &mut u64,
    keep: &mut dyn FnMut(&str) -> Outcome<(String, u64)>,
) -> Outcome<Value> {
    let takes = |kind: &str| accepts.iter().any(|one| one == kind);
    if file.starts_with("https://") || file.starts_with("http://") {
        let name = file.trim_end_matches('/').rsplit('/').next().unwrap_or(file);
        return Ok(json!({"type": "resource_link", "uri": file, "name": name}));
    }
    let failed = |error: &std::io::Error| Failure::io(format!("--attach {file}"), error);
    let path = fs::canonicalize(file).map_err(|error| failed(&error))?;
    let meta = fs::metadata(&path).map_err(|error| failed(&error))?;
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    let uri = uri(&path)?;
    let link = |mime: Option<&str>| {
        let mut link = json!({"type": "resource_link", "uri": uri, "name": name});
        if let Some(mime) = mime {
            (link["mimeType"], link["size"]) = (mime.into(), meta.len().into());
        }
        link
    };
    if meta.is_dir() {
        return Ok(link(None));
    }
    if !meta.is_file() {
        return Err(Failure::usage(format!("--attach {file}: neither a file nor a directory")));
    }
    let mut head = Vec::new();
    let open = || fs::File::open(&path).map_err(|error| failed(&error));
    std::io::Read::read_to_end(&mut std::io::Read::take(open()?, 512), &mut head)
        .map_err(|error| failed(&error))?;
    let mime = mime(&path, &head);
    let kind = mime.split('/').next().unwrap_or_default();
    let is_text = !matches!(kind, "image" | "audio" | "video")
        && !["application/pdf", "application/octet-stream"].contains(&mime);
    let inline = match kind {
        "image" | "audio" => takes(kind),
        _ => is_text && takes("resource") && meta.len() <= LONGEST_TEXT,
    };
    if !inline {
        return Ok(link(Some(mime)));
    }
    let too_much = |found: u64| {
        let message = format!("--attach {file}: {} are more than fits", size(found));
        let hint = format!(
            "a prompt carries {} of files; make it smaller, or name its path in the prompt for the agent to read",
            size(MOST_ATTACHED)
        );
        Failure::usage(message).hint(hint)
    };
    if meta.len() > *room {
        return Err(too_much(meta.len()));
    }
    let is_text = !matches!(kind, "image" | "audio");
    if is_text && std::str::from_utf8(&fs::read(&path).map_err(|error| failed(&error))?).is_err() {
        return Ok(link(Some("application/octet-stream")));
    }
    // A path in an address is UTF-8 already.
    let (sha256, length) = keep(&path.to_string_lossy())?;
    // As it is now: somebody may be writing it.
    *room = room.checked_sub(length).ok_or_else(|| too_much(length))?;
    let blob = json!({"sha256": sha256, "size": length});
    Ok(if is_text {
        let mut block = json!({"type": "resource", "resource": {"uri": uri, "mimeType": mime}, "blob": blob});
        block["blob"]["text"] = true.into();
        block
    } else {
        json!({"type": kind, "mimeType": mime, "uri": uri, "blob": blob})
    })
}

/// A path as an address.
fn uri(path: &Path) -> Outcome<String> {
    let text = path.to_str().ok_or_else(|| Failure::usage(format!("{}: not UTF-8", path.display())))?;
    let mut uri = "file://".to_owned();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' | b'~' => {
                uri.push(byte.into())
            }
            byte => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    Ok(uri)
}

/// The type of a file, by how it begins and, for text, by how it is called.
fn mime(path: &Path, head: &[u8]) -> &'static str {
    const BEGINNINGS: &[(&[u8], &str)] = &[
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"\xff\xd8\xff", "image/jpeg"),
        (b"GIF87a", "image/gif"),
        (b"GIF89a", "image/gif"),
        (b"%PDF-", "application/pdf"),
        (b"ID3", "audio/mpeg"),
        (b"OggS", "audio/ogg"),
        (b"fLaC", "audio/flac"),
    ];
    const NAMES: &[(&str, &str)] = &[
        ("md", "text/markdown"),
        ("html", "text/html"),
        ("css", "text/css"),
        ("csv", "text/csv"),
        ("json", "application/json"),
        ("toml", "application/toml"),
        ("yaml", "application/yaml"),
        ("yml", "application/yaml"),
        ("js", "text/javascript"),
        ("ts", "text/typescript"),
        ("py", "text/x-python"),
        ("rs", "text/x-rust"),
        ("sh", "text/x-shellscript"),
        ("xml", "application/xml"),
        ("svg", "text/xml"),
        ("diff", "text/x-diff"),
        ("patch", "text/x-diff"),
    ];
    if let Some((_, mime)) = BEGINNINGS.iter().find(|(beginning, _)| head.starts_with(beginning)) {
        return mime;
    }
    match (head.get(..4), head.get(8..12)) {
        (Some(b"RIFF"), Some(b"WEBP")) => return "image/webp",
        (Some(b"RIFF"), Some(b"WAVE")) => return "audio/wav",
        _ => {}
    }
    // The head may end in the middle of a character.
    let is_text = !head.contains(&0)
        && match std::str::from_utf8(head) {
            Ok(_) => true,
            Err(error) => error.error_len().is_none(),
        };
    if !is_text {
        return "application/octet-stream";
    }
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let known = NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(extension));
    known.map_or("text/plain", |(_, mime)| mime)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n0000";

    fn keep(path: &str) -> Outcome<(String, u64)> {
        Ok(("00".repeat(32), fs::metadata(path).unwrap().len()))
    }

    fn dir() -> PathBuf {
        let dir = std::env::temp_dir().join(format!("vibes-attach-{}", uuid::Uuid::new_v4()));
        fs::create_dir_all(&dir).unwrap();
        fs::canonicalize(dir).unwrap()
    }

    #[test]
    fn a_file_becomes_what_the_agent_takes_of_it() {
        let dir = dir();
        let all = ["image", "resource", "audio"].map(str::to_owned);
        let cases: &[(&str, &[u8], &str, &str)] = &[
            ("a.txt", PNG, "image", "resource_link"),
            ("b.png", b"no picture", "resource", "resource_link"),
            ("c.md", "wörter".as_bytes(), "resource", "resource_link"),
            ("d.bin", b"a\0b", "resource_link", "resource_link"),
            ("e.txt", b"abc\xff\xfe", "resource_link", "resource_link"),
            ("f.wav", b"RIFF0000WAVEfmt ", "audio", "resource_link"),
            ("g.pdf", b"%PDF-1.7", "resource_link", "resource_link"),
        ];
        for (name, bytes, with_all, with_none) in cases {
            let path = dir.join(name);
            fs::write(&path, bytes).unwrap();
            let file = path.to_str().unwrap();
            for (accepts, kind) in [(&all[..], with_all), (&[][..], with_none)] {
                let mut room = MOST_ATTACHED;
                let block = block(file, accepts, &mut room, &mut keep).unwrap();
                assert_eq!(block["type"], *kind, "{name}");
                let uri = block["uri"].as_str().or(block["resource"]["uri"].as_str()).unwrap();
                assert_eq!(uri, format!("file://{file}"));
                assert_eq!(room == MOST_ATTACHED, *kind == "resource_link", "{name}");
                assert_eq!(block["blob"]["text"] == true, *kind == "resource", "{name}");
            }
        }
        let one = |file: &str| block(file, &all, &mut MOST_ATTACHED.clone(), &mut keep).unwrap();
        let image = one(dir.join("a.txt").to_str().unwrap());
        assert_eq!((&image["mimeType"], &image["blob"]["size"]), (&json!("image/png"), &json!(PNG.len())));
        let link = one("https://example.org/a/b.png");
        assert_eq!((&link["type"], &link["name"]), (&json!("resource_link"), &json!("b.png")));
        assert_eq!(one(dir.to_str().unwrap())["type"], "resource_link");
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn what_does_not_fit_is_an_error_and_a_long_text_a_link() {
        let dir = dir();
        let all = ["image", "resource"].map(str::to_owned);
        let write = |name: &str, head: &[u8], length: usize| {
            let path = dir.join(name).to_str().unwrap().to_owned();
            fs::write(&path, [head, &vec![b' '; length - head.len()]].concat()).unwrap();
            path
        };
        let mut room = MOST_ATTACHED;
        let half = write("half.png", PNG, 3 * 1024 * 1024);
        assert_eq!(block(&half, &all, &mut room, &mut keep).unwrap()["type"], "image");
        let error = block(&half, &all, &mut room, &mut keep).unwrap_err();
        assert!(error.message.contains("3.0 MiB are more than fits"), "{error:?}");
        let long = write("long.txt", b"", 200 * 1024);
        let one = |file: &str| block(file, &all, &mut MOST_ATTACHED.clone(), &mut keep);
        assert_eq!(one(&long).unwrap()["type"], "resource_link");
        for bad in ["/no/such/file", "/dev/null"] {
            assert!(one(bad).is_err(), "{bad}");
        }
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn an_address_has_no_characters_that_mean_something_else() {
        assert_eq!(uri(Path::new("/a b/ä#?.md")).unwrap(), "file:///a%20b/%C3%A4%23%3F.md");
    }
}
