//! The pages: embedded at build time, so that the program is all there is to install.
//!
//! Invariant: what is served lies in `web-ui/dist` and nowhere else. Every response of the web carries the headers that
//! keep other sites out and its own page small: no inline script, no frame, no foreign address.

use super::problem::Problem;
use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header},
};
use rust_embed::{Embed, EmbeddedFile};
use vibes_protocol::wire::ErrorCode;

#[derive(Embed)]
#[folder = "../web-ui/dist"]
struct Dist;

const INDEX: &str = "index.html";
/// Files whose names carry a hash of what is in them.
const HASHED: &str = "assets/";

fn kind(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "webp" => "image/webp",
        "woff2" => "font/woff2",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "txt" => "text/plain; charset=utf-8",
        "wasm" => "application/wasm",
        _ => "application/octet-stream",
    }
}

/// A file of the pages; a path of the page's own gives the page.
pub fn serve(method: &Method, path: &str, asked: &HeaderMap) -> Response<Body> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        let mut problem =
            Problem::new(ErrorCode::BadRequest, "this is read only").with(StatusCode::METHOD_NOT_ALLOWED);
        problem.header = Some(("allow", "GET, HEAD"));
        return problem.response();
    }
    let path = path.trim_start_matches('/');
    // Paths of the page's own have no dots: a file that is not there is not the page.
    let is_file = path.split('/').any(|name| name.contains('.'));
    let (name, file) = match Dist::get(path) {
        Some(file) if !path.is_empty() => (path, file),
        _ if is_file || path == "v1" || path.starts_with("v1/") => return super::no_route().response(),
        _ => match Dist::get(INDEX) {
            Some(file) => (INDEX, file),
            None => return super::no_route().response(),
        },
    };
    response(name, file, asked)
}

fn response(name: &str, file: EmbeddedFile, asked: &HeaderMap) -> Response<Body> {
    let tag = format!("\"{}\"", vibes_core::agent::spool::hex(&file.metadata.sha256_hash()[..16]));
    let known = is_known(asked, &tag);
    let body = match file.data {
        _ if known => Body::empty(),
        std::borrow::Cow::Borrowed(bytes) => Body::from(bytes),
        std::borrow::Cow::Owned(bytes) => Body::from(bytes),
    };
    let mut response = Response::new(body);
    if known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind(name)));
    let cache = if name.starts_with(HASHED) { "public, max-age=31536000, immutable" } else { "no-cache" };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    response
}

/// Whether who asks has this already.
pub fn is_known(asked: &HeaderMap, tag: &str) -> bool {
    asked.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok()).any(|known| {
        known.split(',').map(str::trim).any(|known| known == "*" || known.trim_start_matches("W/") == tag)
    })
}

/// The headers of every response. `host` is the name that the request came by, once the wall has let it in.
pub fn guard(headers: &mut HeaderMap, host: Option<&str>) {
    // Not every browser counts its own page's WebSocket as its own.
    let sockets = host.map(|host| format!(" ws://{host} wss://{host}")).unwrap_or_default();
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; style-src-attr 'unsafe-inline'; img-src 'self' data: \
         blob:; font-src 'self'; connect-src 'self'{sockets}; manifest-src 'self'; worker-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'"
    );
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    let fixed = [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("permissions-policy", "camera=(), microphone=(), geolocation=(), payment=(), usb=()"),
    ];
    for (name, value) in fixed {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(path: &str) -> Response<Body> {
        serve(&Method::GET, path, &HeaderMap::new())
    }

    #[test]
    fn the_page_is_served_for_paths_of_its_own_and_nothing_for_others() {
        for path in ["/", "/index.html", "/s/3fa9", "/settings"] {
            let response = get(path);
            assert_eq!(response.status(), StatusCode::OK, "{path}");
            assert_eq!(response.headers()[header::CACHE_CONTROL], "no-cache");
            assert!(response.headers()[header::CONTENT_TYPE].to_str().unwrap().starts_with("text/html"));
        }
        for path in
            ["/v1", "/v1/none", "/assets/none.js", "/../Cargo.toml", "/%2e%2e/Cargo.toml", "/.git/config"]
        {
            assert_eq!(get(path).status(), StatusCode::NOT_FOUND, "{path}");
        }
        assert_eq!(serve(&Method::POST, "/", &HeaderMap::new()).status(), StatusCode::METHOD_NOT_ALLOWED);
    }

    #[test]
    fn what_is_known_is_not_sent_again() {
        let mut asked = HeaderMap::new();
        asked.insert(header::IF_NONE_MATCH, get("/").headers()[header::ETAG].clone());
        assert_eq!(serve(&Method::GET, "/", &asked).status(), StatusCode::NOT_MODIFIED);
    }
}
