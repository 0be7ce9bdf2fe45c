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
use vibes_protocol::model::content::bytes as size;
use vibes_protocol::wire::request::Content;

/// What the files of one prompt may have together, in bytes: a line for the daemon may have 1 MiB, and images become a third
/// longer in it.
const MOST: u64 = 704 * 1024;
/// A longer text goes as a link: the agent reads of it what it needs.
const LONGEST_TEXT: u64 = 128 * 1024;

/// A prompt with what goes with it.
pub(crate) fn content(
    daemon: &mut Daemon,
    agent: impl FnOnce(&mut Daemon) -> Outcome<String>,
    prompt: String,
    files: &[String],
) -> Outcome<Content> {
    if files.is_empty() {
        return Ok(Content::Text(prompt));
    }
    let agent = agent(daemon)?;
    let accepts = daemon.agent(&agent)?.map(|agent| agent.accepts).unwrap_or_default();
    let mut blocks = Vec::new();
    if !prompt.trim().is_empty() {
        blocks.push(json!({"type": "text", "text": prompt}));
    }
    let mut room = MOST;
    for file in files {
        let block = block(file, &accepts, &mut room)?;
        if block["type"] == "resource_link" && !file.contains("://") {
            ui::say(&format!("{file} goes as a link: the agent reads it by itself"));
        }
        blocks.push(block);
    }
    Ok(Content::Blocks(blocks))
}

/// One file, or link, as a block.
fn block(file: &str, accepts: &[String], room: &mut u64) -> Outcome<Value> {
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
    if meta.len() > *room {
        let message = format!("--attach {file}: {} are more than fits", size(meta.len()));
        let hint = format!(
            "a prompt carries {} of files; make it smaller, or name its path in the prompt for the agent to read",
            size(MOST)
        );
        return Err(Failure::usage(message).hint(hint));
    }
    let data = fs::read(&path).map_err(|error| failed(&error))?;
    // As it is now: somebody may be writing it.
    *room = room
        .checked_sub(data.len() as u64)
        .ok_or_else(|| Failure::usage(format!("--attach {file}: it grows")))?;
    Ok(match kind {
        "image" | "audio" => {
            json!({"type": kind, "mimeType": mime, "data": STANDARD.encode(data), "uri": uri})
        }
        _ => match String::from_utf8(data) {
            Ok(text) => json!({"type": "resource", "resource": {"uri": uri, "mimeType": mime, "text": text}}),
            Err(_) => link(Some("application/octet-stream")),
        },
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
                let mut room = MOST;
                let block = block(file, accepts, &mut room).unwrap();
                assert_eq!(block["type"], *kind, "{name}");
                let uri = block["uri"].as_str().or(block["resource"]["uri"].as_str()).unwrap();
                assert_eq!(uri, format!("file://{file}"));
                assert_eq!(room == MOST, *kind == "resource_link", "{name}");
            }
        }
        let image = block(dir.join("a.txt").to_str().unwrap(), &all, &mut MOST.clone()).unwrap();
        assert_eq!((&image["mimeType"], &image["data"]), (&json!("image/png"), &json!(STANDARD.encode(PNG))));
        let link = block("https://example.org/a/b.png", &all, &mut MOST.clone()).unwrap();
        assert_eq!((&link["type"], &link["name"]), (&json!("resource_link"), &json!("b.png")));
        assert_eq!(block(dir.to_str().unwrap(), &all, &mut MOST.clone()).unwrap()["type"], "resource_link");
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
        let mut room = MOST;
        let half = write("half.png", PNG, 400 * 1024);
        assert_eq!(block(&half, &all, &mut room).unwrap()["type"], "image");
        let error = block(&half, &all, &mut room).unwrap_err();
        assert!(error.message.contains("400 KiB are more than fits"), "{error:?}");
        let long = write("long.txt", b"", 200 * 1024);
        assert_eq!(block(&long, &all, &mut MOST.clone()).unwrap()["type"], "resource_link");
        for bad in ["/no/such/file", "/dev/null"] {
            assert!(block(bad, &all, &mut MOST.clone()).is_err(), "{bad}");
        }
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn an_address_has_no_characters_that_mean_something_else() {
        assert_eq!(uri(Path::new("/a b/ä#?.md")).unwrap(), "file:///a%20b/%C3%A4%23%3F.md");
    }
}
