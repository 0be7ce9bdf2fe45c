//! The rules in force, kept: read from the store when the daemon starts, written there when they are applied.
//!
//! Invariant: what answers is what somebody applied, byte for byte: never a file that changed by itself. A set that
//! cannot be read any more answers nothing, and that is told.

use crate::{config::Config, paths};
use serde::{Deserialize, Serialize};
use vibes_core::{
    journal::Reader,
    rules::{Applied, File, Judge, RuleSet},
    session::ApprovalPolicy,
};
use vibes_protocol::model::Surface;

/// Under which name they lie in the store.
pub const KEPT: &str = "rules";
/// The longest file, in bytes.
pub const LONGEST: usize = 256 * 1024;
/// How many people may have rules of their own.
pub const MOST_SETS: usize = 32;
/// How many applications are remembered.
const REMEMBERED: usize = 100;

/// What lies in the store.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Kept {
    sets: Vec<KeptSet>,
    /// Who applied what, and when: the newest last.
    history: Vec<KeptSet>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct KeptSet {
    person: Option<String>,
    hash: String,
    at_ms: i64,
    surface: Option<Surface>,
    /// Empty in the history.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    text: String,
}

/// Reads a file of rules.
pub fn read(text: &str, home: Option<&std::path::Path>) -> Result<RuleSet, String> {
    if text.len() > LONGEST {
        return Err(format!("the file has {} bytes; {LONGEST} are the most", text.len()));
    }
    let file: File = toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())?;
    file.compile(text, home)
}

/// The judge of this daemon, with the rules that were applied before, and what is wrong with them.
pub fn judge(config: &Config, reader: &Reader) -> (Judge, Vec<String>) {
    let configuration = paths::config_file().and_then(|file| file.parent().map(std::path::Path::to_owned));
    let guarded = [Some(config.dir.root().to_owned()), configuration].into_iter().flatten().collect();
    let policy =
        ApprovalPolicy { deadline_s: config.approvals.deadline_s, detached: config.approvals.detached };
    let judge = Judge::new(config.home.clone(), guarded, policy, config.approvals.agents.clone());
    let mut told = Vec::new();
    let mut applied = Vec::new();
    for kept in kept(reader, &mut told).sets {
        let whose = kept.person.clone().unwrap_or_else(|| "somebody without a name".to_owned());
        let set = read(&kept.text, config.home.as_deref());
        match set.and_then(|set| if set.hash == kept.hash { Ok(set) } else { Err("its hash differs".to_owned()) }) {
            Ok(set) => {
                let KeptSet { person, text, at_ms, surface, .. } = kept;
                applied.push(Applied { person, text, set, at_ms, surface });
            }
            Err(why) => told.push(format!(
                "the rules that {whose} applied answer nothing: they cannot be read ({why}); `vibes rules apply` \
                 them again"
            )),
        }
    }
    judge.put(applied);
    (judge, told)
}

fn kept(reader: &Reader, told: &mut Vec<String>) -> Kept {
    match reader.kept(KEPT) {
        Ok(None) => Kept::default(),
        Ok(Some(text)) => serde_json::from_str(&text).unwrap_or_else(|error| {
            told.push(format!("the rules in force cannot be read ({error}); every question is for a person"));
            Kept::default()
        }),
        Err(error) => {
            told.push(format!("the rules in force cannot be read ({error}); every question is for a person"));
            Kept::default()
        }
    }
}

/// What is to be kept when these are in force, the last of them newly.
pub fn keep(reader: &Reader, applied: &[Applied], new: &Applied) -> String {
    let one = |applied: &Applied| KeptSet {
        person: applied.person.clone(),
        hash: applied.set.hash.clone(),
        at_ms: applied.at_ms,
        surface: applied.surface.clone(),
        text: applied.text.clone(),
    };
    let mut history = kept(reader, &mut Vec::new()).history;
    history.push(KeptSet { text: String::new(), ..one(new) });
    let old = history.len().saturating_sub(REMEMBERED);
    let kept = Kept { sets: applied.iter().map(one).collect(), history: history.split_off(old) };
    // Our own types of strings and numbers: encoding them cannot fail.
    serde_json::to_string(&kept).unwrap_or_default()
}
