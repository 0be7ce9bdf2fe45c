//! The wall before every handler: what a request must not be, whatever it asks for.
//!
//! Invariant: a page of another site gets nothing done and nothing told, by whatever trick its browser allows: names that
//! lead here, forms, images, upgrades. A request passes by names and origins on a list, never by equality alone, and
//! nothing of it is repeated in a log.

use super::problem::Problem;
use axum::http::{HeaderMap, Method, StatusCode, header, request::Parts};
use vibes_protocol::wire::ErrorCode;

/// The longest target of a request, in bytes.
const TARGET: usize = 8 * 1024;
/// Names in a query that would be secrets: those end in histories and logs.
const SECRETS: &[&str] = &[
    "token",
    "access_token",
    "auth",
    "authorization",
    "bearer",
    "code",
    "key",
    "api_key",
    "secret",
    "password",
];
/// Kinds of content that no form and no script of another site can send without asking first.
const KINDS: &[&str] = &["application/json", "application/x-ndjson", "application/octet-stream"];

/// The names that this daemon answers to.
#[derive(Debug, Clone)]
pub struct Names {
    /// With their ports, as they stand in `Host`.
    pub own: Vec<String>,
    /// Of tunnels, as they are configured.
    pub others: Vec<String>,
}

impl Names {
    /// Those of a port, and those that were configured.
    pub fn of(port: u16, hosts: &[String]) -> Self {
        let own = ["127.0.0.1", "localhost", "[::1]"].map(|name| format!("{name}:{port}")).to_vec();
        Self { own, others: hosts.iter().map(|host| host.to_ascii_lowercase()).collect() }
    }

    fn knows(&self, host: &str) -> bool {
        self.own.iter().chain(&self.others).any(|name| name.eq_ignore_ascii_case(host))
    }

    /// Whether this origin is the page that `host` serves.
    fn is_own_page(&self, origin: &str, host: &str) -> bool {
        let scheme =
            |scheme: &str| origin.strip_prefix(scheme).is_some_and(|rest| rest.eq_ignore_ascii_case(host));
        // A tunnel may speak TLS; nothing on the loopback does.
        scheme("http://")
            || (self.others.iter().any(|name| name.eq_ignore_ascii_case(host)) && scheme("https://"))
    }
}

/// The one value of a header, if it has one; an error when there are more, or it is no text.
fn one(headers: &HeaderMap, name: header::HeaderName) -> Result<Option<&str>, Problem> {
    let mut values = headers.get_all(&name).iter();
    let refuse =
        || Problem::new(ErrorCode::Forbidden, format!("the header {name} is not one readable value"));
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| refuse()),
        _ => Err(refuse()),
    }
}

/// What a request proves itself with.
pub fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(value) = one(headers, header::AUTHORIZATION)? else { return Ok(None) };
    match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(Some(token.trim())),
        _ => Err(Problem::unauthorized()),
    }
}

/// Whether a request asks to become a WebSocket, or anything else.
pub fn is_upgrade(headers: &HeaderMap) -> bool {
    headers.contains_key(header::UPGRADE)
}

/// Lets a request pass, or says why not. Gives back the name that it came by.
pub fn check(parts: &Parts, names: &Names) -> Result<String, Problem> {
    let forbidden = |message: &str| Problem::new(ErrorCode::Forbidden, message);
    let bad = |message: &str| Problem::new(ErrorCode::BadRequest, message);
    let headers = &parts.headers;
    let Some(host) = one(headers, header::HOST)? else {
        return Err(forbidden("the request names no host"));
    };
    if !names.knows(host) {
        return Err(forbidden(
            "this host is not one that the daemon answers to; names of tunnels are added as `hosts` under [web] in \
             the configuration",
        ));
    }
    if parts.uri.authority().is_some_and(|authority| !authority.as_str().eq_ignore_ascii_case(host)) {
        return Err(forbidden("the target and the header name different hosts"));
    }
    let changes = !matches!(parts.method, Method::GET | Method::HEAD);
    match one(headers, header::ORIGIN)? {
        Some(origin) if names.is_own_page(origin, host) => {}
        Some(_) => return Err(forbidden("this origin is not the daemon's own page")),
        // No browser leaves it out; and no program of a person's comes without a token.
        None if (changes || is_upgrade(headers)) && bearer(headers)?.is_none() => {
            return Err(Problem::unauthorized());
        }
        None => {}
    }
    match one(headers, "sec-fetch-site".parse().map_err(|_| bad("no header"))?)? {
        None | Some("same-origin" | "none") => {}
        Some(_) => return Err(forbidden("this request was set off by a page of another site")),
    }
    if parts.uri.path_and_query().is_some_and(|target| target.as_str().len() > TARGET) {
        return Err(bad("the target is too long").with(StatusCode::URI_TOO_LONG));
    }
    let query = parts.uri.query().unwrap_or_default();
    let is_secret = |pair: &str| {
        let name = pair.split('=').next().unwrap_or_default().to_ascii_lowercase();
        SECRETS.contains(&name.as_str())
    };
    // A name that is written in signs is no name of ours.
    if query
        .split('&')
        .any(|pair| is_secret(pair) || pair.split('=').next().is_some_and(|name| name.contains('%')))
    {
        return Err(bad("secrets do not belong into addresses: send the token as `Authorization: Bearer`"));
    }
    if changes {
        content(headers)?;
    }
    Ok(host.to_ascii_lowercase())
}

/// Whether what a request brings is of a kind that another site cannot send.
fn content(headers: &HeaderMap) -> Result<(), Problem> {
    let length = one(headers, header::CONTENT_LENGTH)?;
    let brings =
        headers.contains_key(header::TRANSFER_ENCODING) || length.is_some_and(|length| length != "0");
    match one(headers, header::CONTENT_TYPE)? {
        None if !brings => Ok(()),
        Some(kind) => {
            let name = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
            if KINDS.contains(&name.as_str()) { Ok(()) } else { Err(unsupported()) }
        }
        None => Err(unsupported()),
    }
}

fn unsupported() -> Problem {
    Problem::new(ErrorCode::BadRequest, "the body must be application/json, and say so")
        .with(StatusCode::UNSUPPORTED_MEDIA_TYPE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    fn ask(method: &str, target: &str, headers: &[(&str, &str)]) -> Result<String, u16> {
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let names = Names::of(7432, &["vibes.example.org".to_owned()]);
        check(&parts, &names).map_err(|problem| problem.status.as_u16())
    }

    const HOST: (&str, &str) = ("host", "127.0.0.1:7432");
    const BEARER: (&str, &str) = ("authorization", "Bearer abc");
    const JSON: (&str, &str) = ("content-type", "application/json");

    #[test]
    fn names_are_on_the_list_or_refused() {
        for good in ["127.0.0.1:7432", "localhost:7432", "[::1]:7432", "LOCALHOST:7432", "vibes.example.org"]
        {
            assert_eq!(ask("GET", "/", &[("host", good)]), Ok(good.to_ascii_lowercase()));
        }
        for evil in [
            "evil.com",
            "127.0.0.1",
            "127.0.0.1:80",
            "127.0.0.1.evil.com:7432",
            "0.0.0.0:7432",
            "localhost.:7432",
            "127.0.0.1:7432.evil.com",
            "[::1]",
            "",
            " ",
            "vibes.example.org:81",
            "a@127.0.0.1:7432",
        ] {
            assert_eq!(ask("GET", "/", &[("host", evil)]), Err(403), "{evil:?}");
        }
        assert_eq!(ask("GET", "/", &[]), Err(403));
        assert_eq!(ask("GET", "/", &[HOST, HOST]), Err(403), "twice");
        assert_eq!(ask("GET", "http://evil.com/", &[HOST]), Err(403));
    }

    #[test]
    fn origins_are_the_page_s_own() {
        let with = |origin| ask("POST", "/v1/sessions", &[HOST, JSON, BEARER, ("origin", origin)]);
        assert!(with("http://127.0.0.1:7432").is_ok());
        for evil in [
            "null",
            "https://127.0.0.1:7432",
            "http://localhost:7432",
            "http://evil.com",
            "http://127.0.0.1:3000",
            "http://127.0.0.1:7432.evil.com",
            "http://127.0.0.1:74320",
            "file://",
            "",
        ] {
            assert_eq!(with(evil), Err(403), "{evil:?}");
        }
        // A name that an attacker's server gives for this address.
        assert_eq!(
            ask("GET", "/", &[("host", "evil.com:7432"), ("origin", "http://evil.com:7432")]),
            Err(403)
        );
        let tunnel = [("host", "vibes.example.org"), JSON, BEARER, ("origin", "https://vibes.example.org")];
        assert!(ask("POST", "/v1/sessions", &tunnel).is_ok());
        assert_eq!(
            ask("POST", "/v1/sessions", &[HOST, JSON]),
            Err(401),
            "no browser leaves it out, and no token"
        );
        assert!(ask("POST", "/v1/sessions", &[HOST, JSON, BEARER]).is_ok());
        let upgrade = [HOST, ("upgrade", "websocket"), ("connection", "upgrade")];
        assert_eq!(ask("GET", "/v1/ws", &upgrade), Err(401));
    }

    #[test]
    fn what_another_site_set_off_is_refused() {
        for site in ["cross-site", "same-site", "anything"] {
            assert_eq!(ask("GET", "/", &[HOST, ("sec-fetch-site", site)]), Err(403));
        }
        for site in ["same-origin", "none"] {
            assert!(ask("GET", "/", &[HOST, ("sec-fetch-site", site)]).is_ok());
        }
    }

    #[test]
    fn simple_bodies_are_refused() {
        for kind in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data",
            "text/plain;application/json",
        ] {
            assert_eq!(ask("POST", "/v1/x", &[HOST, BEARER, ("content-type", kind)]), Err(415), "{kind}");
        }
        assert_eq!(ask("POST", "/v1/x", &[HOST, BEARER, ("content-length", "2")]), Err(415));
        assert!(
            ask("POST", "/v1/x", &[HOST, BEARER, ("content-type", "application/json; charset=utf-8")])
                .is_ok()
        );
        assert!(ask("POST", "/v1/x", &[HOST, BEARER]).is_ok(), "nothing is brought");
        // Which methods a route has is the route's to say, of those that come with an origin or a token.
        assert_eq!(ask("OPTIONS", "/v1/x", &[HOST]), Err(401));
    }

    #[test]
    fn secrets_do_not_come_in_addresses() {
        for query in ["token=x", "a=1&TOKEN=x", "access_token=x", "code=x", "%74oken=x"] {
            assert_eq!(ask("GET", &format!("/?{query}"), &[HOST]), Err(400), "{query}");
        }
        assert!(ask("GET", "/?search=token", &[HOST]).is_ok());
        assert_eq!(ask("GET", &format!("/{}", "x".repeat(TARGET)), &[HOST]), Err(414));
        assert_eq!(
            ask("GET", "/", &[HOST, ("authorization", "Basic YQ==")]),
            Ok("127.0.0.1:7432".to_owned())
        );
        assert_eq!(ask("POST", "/v1/x", &[HOST, ("authorization", "Basic YQ==")]), Err(401));
        assert_eq!(ask("POST", "/v1/x", &[HOST, BEARER, BEARER]), Err(403));
    }
}
