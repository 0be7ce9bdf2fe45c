//! Searching all sessions: the index says where words are, the registry and the store whose they are now.
//!
//! Invariant: no session is woken. What is deleted or purged is not found, however far the index is behind.

use super::{Sessions, store_error};
use crate::{
    journal::StoreError,
    search::{self, Found, Hit, Order, Query, Search, Sought, Whose},
};
use std::{collections::HashMap, sync::Arc};
use vibes_protocol::model::{CodedError, ErrorCode, SessionId, SessionInfo, SessionState};

/// What is looked for, beside what the query says itself.
#[derive(Debug, Clone, Default)]
pub struct Seek {
    /// The query.
    pub query: String,
    /// Only these agents.
    pub agents: Vec<String>,
    /// Only in these modes.
    pub modes: Vec<String>,
    /// Only in these states.
    pub states: Vec<SessionState>,
    /// Only these sessions: ids, names or prefixes.
    pub sessions: Vec<String>,
    /// Only at this directory and below it.
    pub cwd: Option<String>,
    /// From this moment on, as `get_costs` takes it.
    pub since: Option<String>,
    /// Until this one.
    pub until: Option<String>,
    /// In which order.
    pub order: Order,
    /// At most so many.
    pub limit: usize,
    /// Where the last page ended.
    pub cursor: Option<String>,
}

/// A page of what was found.
#[derive(Debug, Default)]
pub struct Sightings {
    /// Each with its session as it is now.
    pub hits: Vec<(Hit, Arc<SessionInfo>)>,
    /// For the next page.
    pub cursor: Option<String>,
}

fn refused(why: String) -> CodedError {
    CodedError::new(ErrorCode::BadRequest, why)
}

/// What sessions have to be, from the request and from its query: one of each list that is not empty.
struct Filter {
    agents: [Vec<String>; 2],
    modes: [Vec<String>; 2],
    states: [Vec<SessionState>; 2],
    ids: Option<Vec<SessionId>>,
    dirs: Vec<String>,
}

fn is_in<T: PartialEq>(lists: &[Vec<T>; 2], value: &T) -> bool {
    lists.iter().all(|list| list.is_empty() || list.contains(value))
}

/// Whether a directory is this one or below it; of a name or a part of a path, whether it is in it.
fn lies_in(cwd: &str, dir: &str) -> bool {
    let dir = dir.strip_suffix('/').filter(|dir| !dir.is_empty()).unwrap_or(dir);
    let below = |cwd: &str, dir: &str| {
        cwd.strip_prefix(dir).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    match dir {
        "/" => true,
        dir if dir.starts_with('/') => below(cwd, dir),
        part => cwd.match_indices('/').any(|(at, _)| below(&cwd[at + 1..], part)),
    }
}

impl Filter {
    fn is_of_place(&self) -> bool {
        self.agents.iter().any(|list| !list.is_empty()) || self.ids.is_some() || !self.dirs.is_empty()
    }

    /// By what never changes.
    fn takes_place(&self, whose: &Whose) -> bool {
        is_in(&self.agents, &whose.agent)
            && self.dirs.iter().all(|dir| lies_in(&whose.cwd, dir))
            && self.ids.as_ref().is_none_or(|ids| ids.iter().any(|id| id.to_string() == whose.id))
    }

    /// By what does.
    fn takes(&self, info: &SessionInfo) -> bool {
        let mode = info.options.get("mode").and_then(|mode| mode.as_str()).unwrap_or_default();
        info.deleted_at.is_none() && is_in(&self.states, &info.state) && is_in(&self.modes, &mode.to_owned())
    }
}

impl Sessions {
    /// Looks for words. Blocking.
    pub fn seek(&self, search: &Search, seek: &Seek) -> Result<Sightings, CodedError> {
        let mut query = search::parse(&seek.query).map_err(|why| refused(format!("query: {why}")))?;
        let span = self.span(seek, &query)?;
        let filter = self.filter(seek, &mut query)?;
        let among = |whose: &Whose| filter.takes_place(whose);
        let sought = Sought {
            query: &query,
            span,
            order: seek.order,
            limit: seek.limit,
            cursor: seek.cursor.as_deref(),
            among: filter.is_of_place().then_some(&among as &dyn Fn(&Whose) -> bool),
        };
        let (mut infos, mut failed) = (HashMap::new(), None);
        let mut fits = |whose: &Whose| match self.now(whose) {
            Ok(Some(info)) if filter.takes(&info) => {
                infos.insert(whose.no, info);
                true
            }
            Ok(_) => false,
            Err(error) => {
                failed = Some(error);
                false
            }
        };
        let found = search.find(&sought, &mut fits).map_err(|error| store_error(&error))?;
        if let Some(error) = failed {
            return Err(store_error(&error));
        }
        let Found { hits, cursor } = found;
        let hits = hits.into_iter().filter_map(|hit| {
            let info = infos.get(&hit.no)?.clone();
            Some((hit, info))
        });
        Ok(Sightings { hits: hits.collect(), cursor })
    }

    /// A session as it is now; nothing of one that is gone.
    fn now(&self, whose: &Whose) -> Result<Option<Arc<SessionInfo>>, StoreError> {
        let Ok(id) = whose.id.parse::<SessionId>() else { return Ok(None) };
        if let Some(handle) = self.registry.get(&id) {
            return Ok(Some(handle.info()));
        }
        let stored = self.parts.reader.session(whose.no)?.filter(|stored| stored.id == id);
        Ok(stored.map(|stored| Arc::new(self.read_back(&stored).0.info())))
    }

    fn span(&self, seek: &Seek, query: &Query) -> Result<(i64, i64), CodedError> {
        let moment = |name: &str, word: &Option<String>, after: bool| match word {
            None => Ok(None),
            Some(word) => match self.parts.reader.moment(word, after).map_err(|error| store_error(&error))? {
                Some(moment) => Ok(Some(moment)),
                None => Err(refused(format!("{name}: a day such as 2026-11-01, or 12h, 7d, 4w ago"))),
            },
        };
        let since = [moment("since", &seek.since, false)?, moment("since", &query.since, false)?];
        let until = [moment("until", &seek.until, true)?, moment("until", &query.until, true)?];
        let since = since.into_iter().flatten().max().unwrap_or(0);
        Ok((since, until.into_iter().flatten().min().unwrap_or(i64::MAX)))
    }

    fn filter(&self, seek: &Seek, query: &mut Query) -> Result<Filter, CodedError> {
        let mut states = Vec::new();
        for name in &query.states {
            let state = serde_json::from_value(serde_json::Value::from(&**name)).map_err(|_| {
                refused(format!(
                    "query: state:{name}: one of starting, idle, processing, waiting_permission, suspended, finished, \
                     failed, killed, expired"
                ))
            })?;
            states.push(state);
        }
        let mut named = seek.sessions.clone();
        named.append(&mut query.sessions);
        let ids = named.iter().map(|name| self.locate(name)).collect::<Result<Vec<_>, _>>()?;
        let mut dirs = std::mem::take(&mut query.dirs);
        dirs.extend(seek.cwd.clone());
        Ok(Filter {
            agents: [seek.agents.clone(), std::mem::take(&mut query.agents)],
            modes: [seek.modes.clone(), std::mem::take(&mut query.modes)],
            states: [seek.states.clone(), states],
            ids: (!ids.is_empty()).then_some(ids),
            dirs,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_what_is_below_it_and_a_name_what_has_it() {
        let cases = [
            ("/home/ann/api", "/home/ann/api", true),
            ("/home/ann/api", "/home/ann/", true),
            ("/home/ann/api2", "/home/ann/api", false),
            ("/home/ann/api", "/", true),
            ("/home/ann/api", "ann", true),
            ("/home/ann/api", "ann/api", true),
            ("/home/ann/api", "an", false),
            ("/home/ann/api", "api/", true),
        ];
        for (cwd, dir, expected) in cases {
            assert_eq!(lies_in(cwd, dir), expected, "{cwd} in {dir}");
        }
    }
}
