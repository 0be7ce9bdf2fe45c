//! Content blocks whose bytes lie in the blob store: on the way in they are put away, on the way to the agent brought back.
//!
//! Invariant: what is brought back is what came in, byte for byte. State, journal and clients have only the reference,
//! `blob: {sha256, size}` beside the block's `type`.

use super::{Blobs, Hash};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use std::io;
use vibes_protocol::model::{
    CodedError, ErrorCode, SessionId,
    content::{MOST_ATTACHED, bytes},
};

/// What is shorter stays in its block, in bytes: a file of its own would be larger.
const SHORT: usize = 4 * 1024;

/// Whether a block's bytes lie elsewhere.
fn is_reference(block: &Value) -> bool {
    !block["blob"].is_null()
}

/// Whether some of it has to be brought before an agent can get it.
pub fn has_references(content: &[Value]) -> bool {
    content.iter().any(is_reference)
}

/// Whether there is something to put away, or to look after: most prompts are words.
pub fn has_attachments(content: &[Value]) -> bool {
    content
        .iter()
        .any(|block| is_reference(block) || inline(block).is_some_and(|(_, text)| text.len() > SHORT))
}

/// Where a block has its bytes, and what is there.
fn inline(block: &Value) -> Option<(&'static str, &str)> {
    let resource = &block["resource"];
    match block["type"].as_str()? {
        "image" | "audio" => block["data"].as_str().map(|data| ("data", data)),
        "resource" => resource["text"]
            .as_str()
            .map(|text| ("text", text))
            .or_else(|| resource["blob"].as_str().map(|data| ("blob", data))),
        _ => None,
    }
}

/// A prompt as it is recorded: long attachments are put away for the session, those that were put before are looked up.
/// Blocking.
pub fn put_away(
    blobs: &Blobs,
    session: &SessionId,
    mut content: Vec<Value>,
) -> Result<Vec<Value>, CodedError> {
    let mut all = 0;
    for block in &mut content {
        let size = if is_reference(block) {
            look_up(blobs, session, block)?
        } else {
            put_one(blobs, session, block)?
        };
        all += size;
    }
    if all > MOST_ATTACHED {
        let message = format!(
            "content: {} are attached, and a prompt carries {}; name a file's path in the prompt for the agent to read",
            bytes(all),
            bytes(MOST_ATTACHED)
        );
        return Err(bad(message));
    }
    Ok(content)
}

fn bad(message: impl Into<String>) -> CodedError {
    CodedError::new(ErrorCode::BadRequest, message)
}

/// What could not be kept, as clients hear it.
pub fn failed(error: &io::Error) -> CodedError {
    let code = if error.kind() == io::ErrorKind::StorageFull {
        ErrorCode::StoreFull
    } else {
        ErrorCode::StoreFailed
    };
    CodedError::new(code, format!("an attachment could not be kept: {error}"))
}

/// Makes the session keep what a block names; says how long that is.
fn look_up(blobs: &Blobs, session: &SessionId, block: &mut Value) -> Result<u64, CodedError> {
    if !matches!(block["type"].as_str(), Some("image" | "audio" | "resource")) {
        return Err(bad(format!("content: a block of type {} has no blob", block["type"])));
    }
    let named = block["blob"]["sha256"].as_str().unwrap_or_default();
    let hash: Hash = named.parse().map_err(|why| bad(format!("content: blob.sha256: {why}")))?;
    let size = blobs.keep(session, &hash).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            bad(format!("content: nothing with the SHA-256 {hash} is kept: attach it again"))
        }
        _ => failed(&error),
    })?;
    let is_text = block["blob"]["text"] == true && block["type"] == "resource";
    if is_text && blobs.get(session, &hash).is_ok_and(|bytes| std::str::from_utf8(&bytes).is_err()) {
        return Err(bad(format!("content: what has the SHA-256 {hash} is no text")));
    }
    block["blob"] = reference(&hash, size, is_text);
    Ok(size)
}

fn reference(hash: &Hash, size: u64, is_text: bool) -> Value {
    let mut reference = json!({"sha256": hash.to_string(), "size": size});
    if is_text {
        reference["text"] = true.into();
    }
    reference
}

/// Puts the bytes of a block away, if they are many; says how many there are.
fn put_one(blobs: &Blobs, session: &SessionId, block: &mut Value) -> Result<u64, CodedError> {
    let Some((field, text)) = inline(block) else { return Ok(0) };
    if text.len() <= SHORT {
        return Ok(text.len() as u64);
    }
    let decoded;
    let bytes = match field {
        "text" => text.as_bytes(),
        _ => {
            decoded = STANDARD
                .decode(text)
                .map_err(|error| bad(format!("content: {} is not base64: {error}", block["type"])))?;
            &decoded
        }
    };
    let put = || {
        let hash = blobs.put(bytes)?;
        blobs.keep(session, &hash)?;
        Ok(hash)
    };
    let hash = put().map_err(|error| failed(&error))?;
    let size = bytes.len() as u64;
    let holder = if field == "data" { &mut *block } else { &mut block["resource"] };
    if let Some(holder) = holder.as_object_mut() {
        holder.shift_remove(field);
    }
    block["blob"] = reference(&hash, size, field == "text");
    Ok(size)
}

/// A prompt as an agent takes it: with its bytes. Blocking.
pub fn bring_back(blobs: &Blobs, session: &SessionId, content: &[Value]) -> Result<Vec<Value>, String> {
    content.iter().map(|block| bring_one(blobs, session, block)).collect()
}

fn bring_one(blobs: &Blobs, session: &SessionId, block: &Value) -> Result<Value, String> {
    if !is_reference(block) {
        return Ok(block.clone());
    }
    let lost = |why: String| {
        let mut named = block.clone();
        named["blob"].take();
        format!("its attachment {} is lost: {why}", vibes_protocol::model::content::words(&named))
    };
    let hash: Hash = block["blob"]["sha256"].as_str().unwrap_or_default().parse().map_err(lost)?;
    let bytes = blobs.get(session, &hash).map_err(|error| lost(error.to_string()))?;
    let mut whole = block.clone();
    if let Some(whole) = whole.as_object_mut() {
        whole.shift_remove("blob");
    }
    match (block["type"] == "resource", block["blob"]["text"] == true) {
        (true, true) => {
            whole["resource"]["text"] =
                String::from_utf8(bytes).map_err(|error| lost(error.to_string()))?.into();
        }
        (true, false) => whole["resource"]["blob"] = STANDARD.encode(bytes).into(),
        (false, _) => whole["data"] = STANDARD.encode(bytes).into(),
    }
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blobs() -> Blobs {
        Blobs::at(std::env::temp_dir().join(format!("vibes-blocks-{}", uuid::Uuid::new_v4())))
    }

    #[test]
    fn what_is_put_away_comes_back_as_it_was() {
        let (blobs, session) = (blobs(), SessionId::random());
        let (data, text) = (STANDARD.encode([7_u8; 9000]), "ä".repeat(9000));
        let content = vec![
            json!({"type": "text", "text": "x".repeat(9000)}),
            json!({"type": "image", "mimeType": "image/png", "data": data, "uri": "file:///a.png"}),
            json!({"type": "audio", "mimeType": "audio/wav", "data": "AAAA"}),
            json!({"type": "resource", "resource": {"uri": "file:///a", "text": text}}),
            json!({"type": "resource", "resource": {"uri": "file:///b", "blob": data}}),
            json!({"type": "resource_link", "uri": "file:///c", "name": "c"}),
        ];
        assert!(has_attachments(&content) && !has_references(&content));
        let kept = put_away(&blobs, &session, content.clone()).expect("there is room");
        assert!(has_references(&kept));
        assert_eq!(kept[1]["blob"]["size"], 9000);
        assert_eq!(
            (&kept[0], &kept[2], &kept[5]),
            (&content[0], &content[2], &content[5]),
            "these are short"
        );
        let recorded = serde_json::to_string(&kept[1..]).expect("it is JSON");
        assert!(recorded.len() < 1000, "{recorded}");
        assert_eq!(bring_back(&blobs, &session, &kept), Ok(content));
        // A reference is a prompt as well, in another session too.
        let other = SessionId::random();
        assert_eq!(put_away(&blobs, &other, kept.clone()), Ok(kept.clone()));
        blobs.forget(&session).expect("it can go");
        assert!(bring_back(&blobs, &other, &kept).is_ok());
        let lost = bring_back(&blobs, &session, &kept).expect_err("it is gone");
        assert!(lost.contains("[image a.png image/png]"), "{lost}");
        std::fs::remove_dir_all(&blobs.root).expect("it is there");
    }

    #[test]
    fn what_cannot_be_kept_is_said() {
        let (blobs, session) = (blobs(), SessionId::random());
        let bytes = blobs.put(b"\xff\xfe").expect("there is room").to_string();
        let huge = "A".repeat((MOST_ATTACHED as usize / 3 + 8) * 4);
        for (block, why) in [
            (json!({"type": "image", "blob": {"sha256": "no"}}), "64 of"),
            (json!({"type": "image", "blob": {"sha256": "0".repeat(64)}}), "attach it again"),
            (json!({"type": "image", "blob": 7}), "64 of"),
            (json!({"type": "text", "blob": {"sha256": bytes}}), "has no blob"),
            (json!({"type": "resource", "resource": {}, "blob": {"sha256": bytes, "text": true}}), "no text"),
            (json!({"type": "image", "data": "~".repeat(9000)}), "not base64"),
            (json!({"type": "image", "data": huge}), "a prompt carries"),
        ] {
            let error = put_away(&blobs, &session, vec![block]).expect_err("it is wrong");
            assert_eq!(error.code, ErrorCode::BadRequest);
            assert!(error.message.contains(why), "{}", error.message);
        }
        std::fs::remove_dir_all(&blobs.root).expect("it is there");
    }
}
