//! Small things about words that people write in files: what they may have meant, and the places in a text.

use std::collections::BTreeMap;

/// The one of these that is nearest to what was written, when it is near enough to be meant.
pub fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = written.chars().count();
    let rank = |name: &'a str| (distance(written, name), name.chars().count().abs_diff(length), name);
    let near = known.into_iter().map(rank).min()?;
    // One slip in three letters; a short word is soon another one.
    (near.0 <= length.div_ceil(3)).then_some(near.2)
}

/// How many letters are to be changed, added, removed or swapped with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, to) in b.iter().enumerate() {
            let changed = last[j] + usize::from(from != to);
            let mut least = changed.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a[i - 1] == *to && *from == b[j - 1] {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(a.len())
}

/// A text in pieces: what stands as it is, and the names between braces.
fn pieces(text: &str) -> Vec<(&str, Option<&str>)> {
    let is_name = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    let (mut found, mut from, mut at) = (Vec::new(), 0, 0);
    while let Some(open) = text[at..].find('{').map(|open| at + open) {
        let name = text[open + 1..].split_once('}').map(|(name, _)| name).filter(|name| is_name(name));
        match name {
            Some(name) => {
                found.push((&text[from..open], Some(name)));
                from = open + name.len() + 2;
                at = from;
            }
            None => at = open + 1,
        }
    }
    found.push((&text[from..], None));
    found
}

/// The names in a text's places, `{name}`, once each. Other braces are only braces.
pub fn places(text: &str) -> Vec<&str> {
    let mut names: Vec<&str> = pieces(text).into_iter().filter_map(|(_, name)| name).collect();
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| seen.insert(*name));
    names
}

/// The text with these values in its places. What a value says is not looked at again.
pub fn filled(text: &str, values: &BTreeMap<String, String>) -> String {
    let mut out = String::new();
    for (words, name) in pieces(text) {
        out.push_str(words);
        out.push_str(name.and_then(|name| values.get(name)).map_or("", String::as_str));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_understood_and_another_word_is_none() {
        let known = ["sweep_s", "spool_mib", "deleted_days"];
        assert_eq!(nearest("swep_s", known), Some("sweep_s"));
        assert_eq!(nearest("spool_mbi", known), Some("spool_mib"));
        assert_eq!(nearest("delete_days", known), Some("deleted_days"));
        assert_eq!(nearest("colour", known), None);
        assert_eq!(nearest("", known), None);
    }

    #[test]
    fn places_are_names_in_braces() {
        let text = "see {file}, {file} and {other_1}; not {}, {A}, { x }, ${HOME} or {\"json\": 1}{";
        assert_eq!(places(text), ["file", "other_1"]);
        let values = BTreeMap::from([
            ("file".to_owned(), "{other_1}".to_owned()),
            ("other_1".to_owned(), "b".to_owned()),
        ]);
        let filled = filled(text, &values);
        assert!(filled.starts_with("see {other_1}, {other_1} and b; not {}, {A},"), "{filled}");
        assert!(filled.ends_with("{\"json\": 1}{"));
    }
}
