//! What is attached to prompts, as bytes.
//!
//! Invariant: whatever it holds, a browser that opens it by its address saves it and runs nothing: only pictures that hold
//! no script have a kind of their own, and all of it is an attachment.

use super::{
    assets, pair,
    problem::Problem,
    routes::{self, Ask},
};
use axum::{
    body::Body,
    http::{HeaderValue, Response, StatusCode, header},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use std::pin::Pin;
use vibes_protocol::wire::ErrorCode;

/// The kinds that are told, each with how it begins.
pub const KINDS: &[&str] =
    &["application/octet-stream", "image/png", "image/jpeg", "image/gif", "image/webp", "image/avif"];

/// What bytes are: by how they begin, never by what somebody said of them.
fn kind(bytes: &[u8]) -> &'static str {
    match bytes {
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => KINDS[1],
        [0xff, 0xd8, 0xff, ..] => KINDS[2],
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => KINDS[3],
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => KINDS[4],
        [_, _, _, _, b'f', b't', b'y', b'p', b'a', b'v', b'i', b'f' | b's', ..] => KINDS[5],
        _ => KINDS[0],
    }
}

/// Gives one out.
pub fn get(ask: Ask) -> Pin<Box<dyn Future<Output = Response<Body>> + Send>> {
    Box::pin(async move { try_get(ask).await.unwrap_or_else(Problem::response) })
}

async fn try_get(ask: Ask) -> Result<Response<Body>, Problem> {
    let hash = ask.path.get("sha256").cloned().unwrap_or_default();
    let request = json!({"type": "get_blob", "session_id": ask.session(), "sha256": hash});
    let line = pair::ask(&ask.door.server, &ask.guest()?, &request).await?;
    let answer: Value = serde_json::from_slice(&line).unwrap_or_default();
    let broken = || Problem::new(ErrorCode::Internal, "the attachment came broken");
    let bytes = answer["data"].as_str().and_then(|data| STANDARD.decode(data).ok()).ok_or_else(broken)?;
    let hash = answer["sha256"].as_str().unwrap_or_default();
    let (kind, tag) = (kind(&bytes), format!("\"{hash}\""));
    // It was looked for all the same: who may not see it is not told that it is there.
    let known = assets::is_known(&ask.parts.headers, &tag);
    let mut response = routes::json(if known { Vec::new() } else { bytes });
    if known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let name = format!("attachment; filename=\"{hash}.{}\"", extension(kind));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    for (header, value) in [(header::ETAG, tag), (header::CONTENT_DISPOSITION, name)] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(header, value);
        }
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers.insert(header::VARY, HeaderValue::from_static("Authorization"));
    Ok(response)
}

fn extension(kind: &str) -> &str {
    kind.strip_prefix("image/").unwrap_or("bin")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pictures_have_a_kind_of_their_own() {
        assert_eq!(kind(b"\x89PNG\r\n\x1a\nrest"), "image/png");
        assert_eq!(kind(b"RIFF\0\0\0\0WEBPVP8 "), "image/webp");
        assert_eq!(kind(b"\0\0\0\x1cftypavif"), "image/avif");
        for held in [&b"<svg onload=alert(1)>"[..], b"<html>", b"%PDF-1.7", b"GIF", b"RIFF\0\0\0\0WAVE", b""]
        {
            assert_eq!(kind(held), "application/octet-stream");
        }
    }
}
