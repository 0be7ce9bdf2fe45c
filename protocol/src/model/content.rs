//! Content blocks of the Agent Client Protocol in words.
//!
//! Invariant: what is no text is told by its kind, name, type and size, never by its bytes.

use serde_json::Value;
use std::borrow::Cow;

/// What the attachments of one prompt may have together, in bytes: in base64 it is what a runner takes at once, and less
/// than models do.
pub const MOST_ATTACHED: u64 = 5 * 1024 * 1024;

/// A block's text, or what it is, in brackets.
pub fn words(block: &Value) -> Cow<'_, str> {
    let kind = block["type"].as_str().unwrap_or_default();
    if let (Some(text), "text" | "") = (block["text"].as_str(), kind) {
        return text.into();
    }
    let resource = &block["resource"];
    let of = |name: &str| block[name].as_str().or_else(|| resource[name].as_str());
    let name = of("name").or_else(|| of("title")).or_else(|| {
        let uri = of("uri")?;
        Some(uri.strip_prefix("file://").and_then(|path| path.rsplit('/').next()).unwrap_or(uri))
    });
    let name = name.map(decoded);
    // Bytes that lie elsewhere, or a link.
    let told = block["blob"]["size"].as_u64().or_else(|| block["size"].as_u64());
    let size = match (of("data").or_else(|| of("blob")), of("text"), told) {
        (Some(data), ..) => {
            Some(data.len() as u64 / 4 * 3 - data.bytes().rev().take_while(|b| *b == b'=').count() as u64)
        }
        (None, Some(text), _) => Some(text.len() as u64),
        (None, None, size) => size,
    };
    let kind = match kind {
        "" => return "".into(),
        "resource" => "file",
        "resource_link" => "link",
        other => other,
    };
    let mut said = vec![kind.to_owned()];
    said.extend(name);
    said.extend(of("mimeType").map(str::to_owned));
    said.extend(size.map(bytes));
    format!("[{}]", said.join(" ")).into()
}

/// A name without the signs that addresses put in place of some bytes.
fn decoded(name: &str) -> String {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((before, after)) = rest.split_once('%') {
        bytes.extend_from_slice(before.as_bytes());
        match after.get(..2).and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(b'%');
                rest = after;
            }
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A size for people.
pub fn bytes(count: u64) -> String {
    match count {
        0..1024 => format!("{count} B"),
        1024..1_048_576 => format!("{} KiB", count.div_ceil(1024)),
        _ => format!("{:.1} MiB", count as f64 / 1_048_576.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_block_is_told_by_what_it_is() {
        let cases = [
            (json!({"type": "text", "text": "hello"}), "hello"),
            (json!({"text": "hello"}), "hello"),
            (json!({"type": "image", "mimeType": "image/png", "data": "aGVsbG8="}), "[image image/png 5 B]"),
            (
                json!({"type": "image", "uri": "file:///home/ann/a.png", "mimeType": "image/png", "data": "aGVsbG8h"}),
                "[image a.png image/png 6 B]",
            ),
            (
                json!({"type": "resource", "resource": {"uri": "file:///x/notes.md", "mimeType": "text/markdown", "text": "hi"}}),
                "[file notes.md text/markdown 2 B]",
            ),
            (
                json!({"type": "resource_link", "name": "big.bin", "uri": "file:///x/big.bin", "size": 3_500_000}),
                "[link big.bin 3.3 MiB]",
            ),
            (
                json!({"type": "resource_link", "uri": "https://example.org/a"}),
                "[link https://example.org/a]",
            ),
            (json!({"type": "image", "uri": "file:///x/a%20%C3%A4%.png"}), "[image a ä%.png]"),
            (json!({"type": "audio"}), "[audio]"),
            (
                json!({"type": "image", "uri": "file:///x/a.png", "blob": {"sha256": "00", "size": 2048}}),
                "[image a.png 2 KiB]",
            ),
            (json!(null), ""),
        ];
        for (block, expected) in cases {
            assert_eq!(words(&block), expected, "{block}");
        }
    }
}
