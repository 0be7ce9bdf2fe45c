//! Tokens and one-time codes of the web: who may come in, and as what.
//!
//! Invariant: of a secret only the hash is kept, in a file that is this user's alone and is written whole; a code lets one
//! browser in, within a minute, once. Who guesses is slowed down; who has a good token is not.

use crate::handlers::reading::Eyes;
use anyhow::Context;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{
    collections::VecDeque,
    fs,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use subtle::ConstantTimeEq;
use tokio_util::sync::CancellationToken;
use vibes_protocol::model::{Access, SessionId, TokenInfo};

/// How long a code is good.
pub const CODE_LIVES: Duration = Duration::from_secs(60);
/// How many codes are good at once: one for each `vibes web` of the last minute.
const CODES: usize = 16;
/// How many tokens there may be: a person has some browsers and some scripts.
const TOKENS: usize = 256;
/// How many wrong tokens and codes are heard at once, and then one a second.
const GUESSES: u32 = 20;
/// How long a browser that came by a code need not come by another.
const BROWSER_S: i64 = 180 * 24 * 60 * 60;

/// Somebody whom the wall has let in.
pub struct Guest {
    /// The token.
    pub token: TokenInfo,
    /// Its process, where that could be seen.
    pub pid: Option<i32>,
    /// Whether that runs inside one of our agents.
    pub inside: bool,
    /// The token is good no more.
    pub revoked: CancellationToken,
    /// The web is served no longer.
    pub closed: CancellationToken,
}

impl Guest {
    /// Whose eyes it is. A token that may do something in all sessions is its person's, who is whoever asked for it; one
    /// of before that was noted is of whoever runs the daemon; one that only looks, or is for one session, may be in anybody's hands.
    pub fn eyes(&self, user: &str) -> Eyes {
        match self.token.role {
            Access::Edit | Access::Admin if self.token.session_id.is_none() => {
                Eyes::Of(self.token.person.as_deref().unwrap_or(user).to_owned())
            }
            _ => Eyes::Nobodys,
        }
    }

    /// Whether the token reaches this session.
    pub fn reaches(&self, session: &SessionId) -> bool {
        self.token.session_id.is_none_or(|only| only == *session)
    }

    /// Waits until it is good no more, whatever the reason.
    pub async fn over(&self) {
        let ends = async {
            let Some(end) = self.token.expires_at else { return std::future::pending().await };
            loop {
                let left = end - vibes_core::clock::wall_ms() / 1000;
                if left <= 0 {
                    return self.revoked.cancel();
                }
                // A clock that is set meanwhile is looked at again.
                tokio::time::sleep(Duration::from_secs(left.min(3600) as u64)).await;
            }
        };
        tokio::select! {
            () = self.revoked.cancelled() => {}
            () = self.closed.cancelled() => {}
            () = ends => {}
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Stored {
    #[serde(flatten)]
    token: TokenInfo,
    hash: String,
    #[serde(skip)]
    revoked: CancellationToken,
}

struct Code {
    hash: String,
    until: Instant,
    /// Who asked for it.
    person: Option<String>,
}

#[derive(Default)]
struct Inner {
    /// Read at first use: a daemon without web reads no file for it.
    tokens: Option<Vec<Stored>>,
    codes: VecDeque<Code>,
    guesses: Option<(f64, Instant)>,
}

/// All tokens and codes.
pub struct Tokens {
    file: PathBuf,
    inner: Mutex<Inner>,
}

/// A new secret: 256 bits, in hexadecimal.
fn secret() -> String {
    // Three random UUIDs carry 366 random bits from the operating system.
    let random: Vec<u8> = (0..3).flat_map(|_| *uuid::Uuid::new_v4().as_bytes()).collect();
    vibes_core::agent::spool::hex(&Sha256::digest(random))
}

fn same(one: &str, other: &str) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}

impl Tokens {
    /// The tokens of this file.
    pub fn new(file: PathBuf) -> Self {
        Self { file, inner: Mutex::default() }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, inner: &mut Inner) -> anyhow::Result<()> {
        if inner.tokens.is_some() {
            return Ok(());
        }
        let tokens = match fs::read(&self.file) {
            Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| {
                format!("{} cannot be read: remove it to begin anew", self.file.display())
            })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", self.file.display())),
        };
        inner.tokens = Some(tokens);
        Ok(())
    }

    /// Changes the tokens; what cannot be stored is not changed.
    fn change<T>(
        &self,
        now: i64,
        change: impl FnOnce(&mut Vec<Stored>) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let mut inner = self.inner();
        self.read(&mut inner)?;
        let Some(tokens) = &mut inner.tokens else { anyhow::bail!("the tokens were not read") };
        let result = change(tokens)?;
        tokens.retain(|stored| !is_past(&stored.token, now));
        let bytes = serde_json::to_vec(&tokens)?;
        if let Err(error) = self.write(&bytes) {
            // As it is stored, so it counts.
            inner.tokens = None;
            return Err(error).with_context(|| format!("cannot write {}", self.file.display()));
        }
        Ok(result)
    }

    fn write(&self, bytes: &[u8]) -> std::io::Result<()> {
        let fresh = self.file.with_extension("new");
        let mut file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&fresh, &self.file)
    }

    /// Makes a token; its secret is told here and never again.
    pub fn create(
        &self,
        name: String,
        role: Access,
        session_id: Option<SessionId>,
        person: Option<String>,
        expires_s: Option<i64>,
        now: i64,
    ) -> anyhow::Result<(TokenInfo, String)> {
        let secret = secret();
        let hash = crate::clients::hash(&secret);
        let token = TokenInfo {
            id: uuid::Uuid::new_v4().simple().to_string()[..8].to_owned(),
            name,
            role,
            session_id,
            person,
            created_at: now,
            expires_at: expires_s.map(|seconds| now.saturating_add(seconds)),
        };
        let made = token.clone();
        self.change(now, |tokens| {
            if tokens.iter().filter(|stored| !is_past(&stored.token, now)).count() >= TOKENS {
                anyhow::bail!("there are {TOKENS} tokens, which is the limit: revoke some");
            }
            tokens.push(Stored { token, hash, revoked: CancellationToken::new() });
            Ok(())
        })?;
        Ok((made, secret))
    }

    /// The tokens that are good, the newest first.
    pub fn list(&self, now: i64) -> anyhow::Result<Vec<TokenInfo>> {
        let mut inner = self.inner();
        self.read(&mut inner)?;
        let tokens = inner.tokens.iter().flatten().rev();
        Ok(tokens.map(|stored| stored.token.clone()).filter(|token| !is_past(token, now)).collect())
    }

    /// Takes tokens back: that of this id or the one whose id begins so. Gives back how many that were; more than one is
    /// none.
    pub fn revoke(&self, id: &str, now: i64) -> anyhow::Result<usize> {
        self.change(now, |tokens| {
            let fits = |stored: &Stored| !id.is_empty() && stored.token.id.starts_with(id);
            let found = tokens.iter().filter(|stored| fits(stored)).count();
            if found == 1 {
                tokens.iter().filter(|stored| fits(stored)).for_each(|stored| stored.revoked.cancel());
                tokens.retain(|stored| !fits(stored));
            }
            Ok(found)
        })
    }

    /// The token that this secret proves, while it is good.
    pub fn check(&self, secret: &str, now: i64) -> anyhow::Result<Option<(TokenInfo, CancellationToken)>> {
        let hash = crate::clients::hash(secret);
        let mut inner = self.inner();
        self.read(&mut inner)?;
        let found = inner.tokens.iter().flatten().find(|stored| same(&stored.hash, &hash));
        let good = found.filter(|stored| !is_past(&stored.token, now));
        Ok(good.map(|stored| (stored.token.clone(), stored.revoked.clone())))
    }

    /// A new code, for a browser of this person.
    pub fn code(&self, person: Option<String>) -> String {
        let code = secret();
        let mut inner = self.inner();
        let (hash, now) = (crate::clients::hash(&code), Instant::now());
        inner.codes.retain(|code| code.until > now);
        if inner.codes.len() >= CODES {
            inner.codes.pop_front();
        }
        inner.codes.push_back(Code { hash, until: now + CODE_LIVES, person });
        code
    }

    /// Trades a code for a token of a browser.
    pub fn exchange(
        &self,
        code: &str,
        name: String,
        now: i64,
    ) -> anyhow::Result<Option<(TokenInfo, String)>> {
        let hash = crate::clients::hash(code);
        let good = {
            let mut inner = self.inner();
            let at = inner.codes.iter().position(|code| same(&code.hash, &hash));
            at.and_then(|at| inner.codes.remove(at)).filter(|code| code.until > Instant::now())
        };
        let Some(code) = good else { return Ok(None) };
        self.create(name, Access::Admin, None, code.person, Some(BROWSER_S), now).map(Some)
    }

    /// Counts a wrong guess. False when there were too many: nobody who guesses is heard for a while.
    pub fn may_guess(&self) -> bool {
        let mut inner = self.inner();
        let now = Instant::now();
        let (left, since) = inner.guesses.unwrap_or((f64::from(GUESSES), now));
        let left = (left + now.duration_since(since).as_secs_f64()).min(f64::from(GUESSES));
        let may = left >= 1.0;
        inner.guesses = Some((if may { left - 1.0 } else { left }, now));
        may
    }
}

fn is_past(token: &TokenInfo, now: i64) -> bool {
    token.expires_at.is_some_and(|end| end <= now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn tokens(name: &str) -> (Tokens, PathBuf) {
        let file = std::env::temp_dir().join(format!("vibes-tokens-{name}-{}", uuid::Uuid::new_v4()));
        (Tokens::new(file.clone()), file)
    }

    #[test]
    fn a_token_outlives_the_daemon_and_only_its_hash_is_kept() {
        let (tokens, file) = tokens("outlives");
        let (made, secret) = tokens.create("a".to_owned(), Access::View, None, None, Some(10), 100).unwrap();
        let text = fs::read_to_string(&file).unwrap();
        assert!(!text.contains(&secret) && secret.len() == 64);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let next = Tokens::new(file.clone());
        assert_eq!(next.check(&secret, 109).unwrap().unwrap().0, made);
        assert!(next.check(&secret, 110).unwrap().is_none(), "it has ended");
        assert!(next.check(&secret[1..], 101).unwrap().is_none());
        fs::remove_file(file).unwrap();
    }

    #[test]
    fn who_has_a_revoked_token_is_cut_off() {
        let (tokens, file) = tokens("revoked");
        let (made, secret) = tokens.create("a".to_owned(), Access::Admin, None, None, None, 100).unwrap();
        let (_, revoked) = tokens.check(&secret, 100).unwrap().unwrap();
        assert_eq!(tokens.revoke("", 100).unwrap(), 0);
        assert_eq!(tokens.revoke(&made.id[..4], 100).unwrap(), 1);
        assert!(revoked.is_cancelled());
        assert!(tokens.check(&secret, 100).unwrap().is_none());
        assert_eq!(tokens.list(100).unwrap(), []);
        fs::remove_file(file).unwrap();
    }

    #[test]
    fn a_code_is_good_once() {
        let (tokens, file) = tokens("code");
        let code = tokens.code(None);
        assert!(tokens.exchange("", "b".to_owned(), 100).unwrap().is_none());
        assert!(tokens.exchange(&code, "b".to_owned(), 100).unwrap().is_some());
        assert!(tokens.exchange(&code, "b".to_owned(), 100).unwrap().is_none());
        let old = tokens.code(None);
        tokens.inner().codes[0].until = Instant::now();
        assert!(tokens.exchange(&old, "b".to_owned(), 100).unwrap().is_none());
        fs::remove_file(file).unwrap();
    }

    #[test]
    fn guesses_run_out() {
        let (tokens, _) = tokens("guesses");
        assert_eq!((0..100).filter(|_| tokens.may_guess()).count(), GUESSES as usize);
    }
}
