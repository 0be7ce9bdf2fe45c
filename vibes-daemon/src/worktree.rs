//! A branch and a worktree of its own for a session: made, compared, merged, dropped.
//!
//! Invariant: what a session did is never lost: nothing is removed before a ref holds it. A note in the state directory is
//! written before git makes anything and goes after all of it is gone, so that what a crash leaves half is found and told.

use crate::git::{Git, Said};
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    time::Duration,
};
use vibes_core::points::{self, Point};
use vibes_protocol::{
    model::{CodedError, ErrorCode, SessionId, Worktree},
    paths::StateDir,
};

/// Where a session's own directory is within a worktree, and what was left behind in the one it came from.
#[derive(Debug)]
pub struct Made {
    /// The worktree.
    pub worktree: Worktree,
    /// The session's working directory.
    pub cwd: String,
}

fn refused(why: impl Into<String>) -> CodedError {
    CodedError::new(ErrorCode::InvalidState, why)
}

fn failed(why: impl Into<String>) -> CodedError {
    CodedError::new(ErrorCode::Other, why)
}

fn bad(why: impl std::fmt::Display) -> CodedError {
    CodedError::new(ErrorCode::BadRequest, format!("worktree: {why}"))
}

/// Makes a branch and a worktree for a session in `cwd`. An empty name is chosen.
pub async fn make(
    git: &Git,
    state: &StateDir,
    session: &SessionId,
    cwd: &str,
    name: &str,
) -> Result<Made, CodedError> {
    let here = Path::new(cwd);
    let top = match git.line(here, &["rev-parse", "--path-format=absolute", "--show-toplevel"]).await {
        Ok(top) => PathBuf::from(top),
        Err(_)
            if git
                .line(here, &["rev-parse", "--is-bare-repository"])
                .await
                .is_ok_and(|bare| bare == "true") =>
        {
            return Err(bad(format!(
                "{cwd} is a bare repository: name a directory that has files checked out"
            )));
        }
        Err(why) => return Err(bad(why)),
    };
    let Ok(base) = git.line(&top, &["symbolic-ref", "--short", "-q", "HEAD"]).await else {
        return Err(bad(format!(
            "{} has no branch checked out (its HEAD is detached): `git switch BRANCH` first, so that there is something to merge into",
            top.display()
        )));
    };
    let Ok(commit) = git.line(&top, &["rev-parse", "--verify", "-q", "HEAD^{commit}"]).await else {
        return Err(bad(format!("{} has no commit yet: make a first one", top.display())));
    };
    if top.join(".gitmodules").exists() {
        return Err(bad(format!(
            "{} has submodules, which git leaves empty in worktrees; start the session without",
            top.display()
        )));
    }
    let short = &session.to_string()[..8];
    let name = if name.is_empty() { short } else { name };
    let branch = format!("vibes/{name}");
    if name.contains("..") || !git.holds(&top, &["check-ref-format", "--branch", &branch]).await {
        return Err(bad(format!("{branch:?} is no name for a branch")));
    }
    let reference = format!("refs/heads/{branch}");
    if git.holds(&top, &["show-ref", "--verify", "-q", &reference]).await {
        return Err(bad(format!(
            "the branch {branch} exists already: choose another name with --worktree=NAME"
        )));
    }
    let repository = top.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let beside = top.parent().unwrap_or(Path::new("/")).join(format!("{repository}.worktrees"));
    let path = beside.join(name.replace('/', "-"));
    if path.exists() {
        return Err(bad(format!(
            "{} exists already: choose another name with --worktree=NAME",
            path.display()
        )));
    }
    let left_behind =
        git.run(&top, &["status", "--porcelain"]).await.map_err(bad)?.text.lines().count() as u64;
    let config = config_of(git, &top).await?;
    let text = |path: &Path| {
        path.to_str().map(str::to_owned).ok_or_else(|| bad(format!("{} is not UTF-8", path.display())))
    };
    let worktree =
        Worktree { path: text(&path)?, branch, repo: text(&top)?, base, commit, config, left_behind };
    fs::create_dir_all(&beside).map_err(|error| bad(format!("{}: {error}", beside.display())))?;
    note(state, session, &worktree).map_err(|error| failed(format!("a note of the worktree: {error}")))?;
    points::hit(Point::WorktreeNoted);
    let made = git
        .run(&top, &["worktree", "add", "-q", "-b", &worktree.branch, &worktree.path, &worktree.commit])
        .await;
    if let Err(why) = made {
        unmake(git, state, session, &worktree).await;
        return Err(failed(why));
    }
    points::hit(Point::WorktreeMade);
    let below = fs::canonicalize(here).ok().and_then(|here| Some(here.strip_prefix(&top).ok()?.to_owned()));
    // A directory that is not in the commit is not in the worktree.
    let cwd = below.map(|below| path.join(below)).filter(|cwd| cwd.is_dir()).unwrap_or(path);
    Ok(Made { cwd: text(&cwd)?, worktree })
}

/// Takes back what was made for a session that did not come to be. Nobody has worked in it.
pub async fn unmake(git: &Git, state: &StateDir, session: &SessionId, worktree: &Worktree) {
    let repo = Path::new(&worktree.repo);
    let untouched = git.line(repo, &["rev-parse", "--verify", "-q", &worktree.branch]).await;
    let _ = git.run(repo, &["worktree", "remove", "--force", &worktree.path]).await;
    if untouched.is_ok_and(|commit| commit == worktree.commit) {
        let _ = git.run(repo, &["branch", "-q", "-D", &worktree.branch]).await;
    }
    let _ = fs::remove_dir(Path::new(&worktree.path).parent().unwrap_or(repo));
    forget(state, session);
}

/// What the session has changed since its worktree was made, committed or not.
pub async fn diff(git: &Git, worktree: &Worktree) -> Result<Said, CodedError> {
    let path = there(worktree)?;
    same_config(git, worktree).await?;
    let index = Index::copied(git, path).await?;
    let git = git.with_index(&index.0);
    git.run(path, &["add", "-A"]).await.map_err(failed)?;
    let args = ["diff", "--cached", "--no-ext-diff", "--no-textconv", "--no-color", "-M", &worktree.commit];
    git.run(path, &args).await.map_err(failed)
}

/// Merges the session's branch into the one it came from. Gives the commit, and the ref that holds what was there before.
pub async fn merge(
    git: &Git,
    session: &SessionId,
    worktree: &Worktree,
) -> Result<(String, String), CodedError> {
    let (path, repo) = (there(worktree)?, Path::new(&worktree.repo));
    let Worktree { branch, base, commit, .. } = worktree;
    same_config(git, worktree).await?;
    let open = changes(git, path).await?;
    if open > 0 {
        return Err(refused(format!(
            "{open} changes in {} are not committed: have the agent commit them, or do it there",
            path.display()
        )));
    }
    let range = format!("{commit}..{branch}");
    let attributes = ["diff", "--no-ext-diff", "--name-only", &range, "--", ":(glob)**/.gitattributes"];
    let attributes = git.line(repo, &attributes).await.map_err(failed)?;
    if !attributes.is_empty() {
        return Err(refused(format!(
            "{branch} changes {}, which says what programs git runs: look at it, then `git merge {branch}` by hand",
            attributes.replace('\n', ", ")
        )));
    }
    match git.line(repo, &["symbolic-ref", "--short", "-q", "HEAD"]).await {
        Ok(now) if now == *base => {}
        now => {
            let now = now.unwrap_or_else(|_| "no branch".to_owned());
            return Err(refused(format!(
                "{} is on {now}, not on {base}: `git switch {base}` there",
                repo.display()
            )));
        }
    }
    let tracked = git.run(repo, &["status", "--porcelain", "--untracked-files=no"]).await.map_err(failed)?;
    if !tracked.text.is_empty() {
        return Err(refused(format!(
            "{} has changes that are not committed: a merge needs a clean tree",
            repo.display()
        )));
    }
    let before = git.line(repo, &["rev-parse", "--verify", "-q", "HEAD"]).await.map_err(failed)?;
    let saved = save(git, repo, session, "before-merge", &before).await?;
    points::hit(Point::WorktreeSaved);
    // Drivers of the repository are programs: what they would have merged is a conflict instead.
    let drivers = git.line(repo, &["config", "--name-only", "--get-regexp", r"^merge\..*\.driver$"]).await;
    let off: Vec<String> = drivers.unwrap_or_default().lines().map(|name| format!("{name}=false")).collect();
    let message = format!("Merge branch '{branch}'");
    let mut args: Vec<&str> = off.iter().flat_map(|setting| ["-c", setting]).collect();
    args.extend(["merge", "--no-ff", "--no-verify", "--no-edit", "-q", "-m", &message, branch]);
    if let Err(why) = git.run(repo, &args).await {
        let conflicts = git.line(repo, &["diff", "--no-ext-diff", "--name-only", "--diff-filter=U"]).await;
        let conflicts = conflicts.unwrap_or_default().replace('\n', ", ");
        let aborted = git.run(repo, &["merge", "--abort"]).await;
        let _ = git.run(repo, &["update-ref", "-d", &saved]).await;
        let (why, left) = match (conflicts.is_empty(), aborted) {
            (true, _) => (why, String::new()),
            (false, Ok(_)) => (format!("conflicts in {conflicts}"), "; nothing was changed".to_owned()),
            (false, Err(error)) => {
                (format!("conflicts in {conflicts}"), format!("; it could not be taken back: {error}"))
            }
        };
        return Err(refused(format!("{why}{left}: `git merge {branch}` in {} by hand", repo.display())));
    }
    let after = git.line(repo, &["rev-parse", "--verify", "-q", "HEAD"]).await.map_err(failed)?;
    Ok((after, saved))
}

/// Removes the worktree and its branch. What is in neither is refused, or with `force` kept in the ref that is given.
pub async fn drop(
    git: &Git,
    session: &SessionId,
    worktree: &Worktree,
    force: bool,
) -> Result<Option<String>, CodedError> {
    let (path, repo) = (Path::new(&worktree.path), Path::new(&worktree.repo));
    let Worktree { branch, base, .. } = worktree;
    let head = git.line(repo, &["rev-parse", "--verify", "-q", &format!("refs/heads/{branch}")]).await.ok();
    let mut saved = None;
    if path.exists() {
        same_config(git, worktree).await?;
        let open = changes(git, path).await?;
        if open > 0 && !force {
            return Err(refused(format!(
                "{open} changes in {} are not committed: `vibes worktree diff` shows them, --force drops them all the same",
                path.display()
            )));
        }
        if open > 0 {
            let index = Index::copied(git, path).await?;
            let apart = git.with_index(&index.0);
            apart.run(path, &["add", "-A"]).await.map_err(failed)?;
            let tree = apart.line(path, &["write-tree"]).await.map_err(failed)?;
            let message = format!("What was not committed in {}", path.display());
            let who = ["-c", "user.name=vibes", "-c", "user.email=vibes@localhost"];
            let args = [&who[..], &["commit-tree", &tree, "-p", "HEAD", "-m", &message]].concat();
            let commit = git.line(path, &args).await.map_err(failed)?;
            saved = Some(save(git, repo, session, "dropped", &commit).await?);
        }
    }
    if let Some(head) = &head {
        let unmerged = git.line(repo, &["rev-list", "--count", &format!("{base}..{head}")]).await;
        // Where the branch it came from is gone, nothing is known to be merged.
        let unmerged = unmerged.ok().and_then(|count| count.parse().ok()).unwrap_or(1_u64);
        if unmerged > 0 && !force {
            return Err(refused(format!(
                "{unmerged} commits of {branch} are not in {base}: `vibes worktree merge` merges them, --force drops them all the same"
            )));
        }
        if unmerged > 0 && saved.is_none() {
            saved = Some(save(git, repo, session, "dropped", head).await?);
        }
    }
    points::hit(Point::WorktreeSaved);
    match path.exists() {
        true => git.run(repo, &["worktree", "remove", "--force", &worktree.path]).await.map_err(failed)?,
        false => git.run(repo, &["worktree", "prune"]).await.map_err(failed)?,
    };
    points::hit(Point::WorktreeRemoved);
    if head.is_some() {
        git.run(repo, &["branch", "-q", "-D", branch]).await.map_err(failed)?;
    }
    // The directory beside the repository goes with the last one in it.
    let _ = fs::remove_dir(path.parent().unwrap_or(repo));
    Ok(saved)
}

fn there(worktree: &Worktree) -> Result<&Path, CodedError> {
    let path = Path::new(&worktree.path);
    let why = || refused(format!("{} is gone: `vibes worktree drop` forgets it", path.display()));
    path.is_dir().then_some(path).ok_or_else(why)
}

/// How many files differ from what is committed.
async fn changes(git: &Git, path: &Path) -> Result<usize, CodedError> {
    let said = git.run(path, &["status", "--porcelain", "--untracked-files=all"]).await.map_err(failed)?;
    Ok(said.text.lines().count())
}

/// Keeps a commit under a name that no branch has.
async fn save(
    git: &Git,
    repo: &Path,
    session: &SessionId,
    what: &str,
    commit: &str,
) -> Result<String, CodedError> {
    let (short, commit_short) = (&session.to_string()[..8], commit.get(..8).unwrap_or(commit));
    let name = format!("refs/vibes/{what}/{short}-{commit_short}");
    git.run(repo, &["update-ref", &name, commit]).await.map_err(failed)?;
    Ok(name)
}

/// What of a repository's configuration makes git run programs or read elsewhere, as a hash. Branches and remotes come and go.
async fn config_of(git: &Git, repo: &Path) -> Result<String, CodedError> {
    const TELLING: &[&str] = &[
        "core.",
        "filter.",
        "diff.",
        "merge.",
        "include.",
        "includeif.",
        "credential.",
        "gpg.",
        "alias.",
        "extensions.",
    ];
    let list = git.run(repo, &["config", "--local", "--list", "-z"]).await.map_err(failed)?;
    let telling = |entry: &&str| TELLING.iter().any(|section| entry.to_lowercase().starts_with(section));
    let entries: BTreeSet<&str> = list.text.split('\0').filter(telling).collect();
    let hash = Sha256::digest(entries.into_iter().collect::<Vec<_>>().join("\0").as_bytes());
    Ok(hash.iter().map(|byte| format!("{byte:02x}")).collect())
}

async fn same_config(git: &Git, worktree: &Worktree) -> Result<(), CodedError> {
    let repo = Path::new(&worktree.repo);
    if config_of(git, repo).await? == worktree.config {
        return Ok(());
    }
    Err(refused(format!(
        "the configuration of {} was changed since the worktree was made, and may say what programs git runs: look at \
         `git config --local --list`, then work in {} by hand",
        repo.display(),
        worktree.path
    )))
}

/// A copy of a worktree's index, for looking at all of it without touching what is staged.
struct Index(PathBuf);

impl Index {
    async fn copied(git: &Git, path: &Path) -> Result<Self, CodedError> {
        let index = git
            .line(path, &["rev-parse", "--path-format=absolute", "--git-path", "index"])
            .await
            .map_err(failed)?;
        let copy = PathBuf::from(format!("{index}.vibes-{}", uuid::Uuid::new_v4().simple()));
        match fs::copy(&index, &copy) {
            Ok(_) => Ok(Self(copy)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self(copy)),
            Err(error) => Err(failed(format!("{index}: {error}"))),
        }
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        // It may never have been there.
        let _ = fs::remove_file(&self.0);
    }
}

/// How long git may take to check out a worktree before one without a session is called astray.
const MAKING: Duration = Duration::from_secs(600);

fn notes(state: &StateDir) -> PathBuf {
    state.root().join("worktrees")
}

fn note(state: &StateDir, session: &SessionId, worktree: &Worktree) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(notes(state))?;
    let mut file = fs::File::create(notes(state).join(session.to_string()))?;
    io::Write::write_all(&mut file, &serde_json::to_vec(worktree)?)?;
    file.sync_all()?;
    fs::File::open(notes(state))?.sync_all()
}

/// Takes the note away: nothing of the worktree is left, or nobody needs to be told.
pub fn forget(state: &StateDir, session: &SessionId) {
    let _ = fs::remove_file(notes(state).join(session.to_string()));
}

/// What is half: worktrees of no session, and sessions whose worktree is gone. `of` gives the worktree of a session that the
/// store knows; `living` says whether a daemon serves.
pub fn astray(
    state: &StateDir,
    living: bool,
    mut of: impl FnMut(&SessionId) -> Option<Option<Worktree>>,
) -> Vec<String> {
    // Its socket is as old as the daemon.
    let begun = living.then(|| fs::metadata(state.socket()).and_then(|meta| meta.modified()).ok()).flatten();
    let mut told = Vec::new();
    for entry in fs::read_dir(notes(state)).into_iter().flatten().flatten() {
        let Ok(session) = entry.file_name().to_string_lossy().parse::<SessionId>() else { continue };
        let noted_at = entry.metadata().and_then(|meta| meta.modified()).ok();
        // Of this daemon's own time, and fresh: the session may be in the making.
        let fresh = noted_at.and_then(|at| at.elapsed().ok()).is_none_or(|age| age < MAKING);
        if fresh && noted_at > begun && begun.is_some() && of(&session).is_none() {
            continue;
        }
        let noted =
            fs::read(entry.path()).ok().and_then(|text| serde_json::from_slice::<Worktree>(&text).ok());
        let short = &session.to_string()[..8];
        match (of(&session), noted) {
            (Some(Some(worktree)), _) => {
                if !Path::new(&worktree.path).is_dir() {
                    told.push(format!(
                        "the worktree {} of session {short} is gone: `vibes worktree drop {short}` forgets it",
                        worktree.path
                    ));
                }
            }
            (None | Some(None), Some(noted)) if Path::new(&noted.path).exists() => {
                let Worktree { path, repo, branch, .. } = noted;
                told.push(format!(
                    "the worktree {path} belongs to no session: `git -C {repo} worktree remove {path} && git -C {repo} branch -d {branch}`"
                ));
            }
            // Git made nothing, or all of it is gone again.
            (None | Some(None), _) => forget(state, &session),
        }
    }
    told
}
