//! Ids and cursors: one spelling for each id, numbers stay what they were, and nothing else passes.

#![no_main]

use libfuzzer_sys::fuzz_target;
use vibes_protocol::{
    model::SessionId,
    wire::{message::Cursor, request::After},
};
use vibes_runner::spool;

fuzz_target!(|data: &[u8]| {
    if let Ok(after) = serde_json::from_slice::<After>(data) {
        let again = serde_json::to_string(&after).expect("a cursor can be written");
        assert_eq!(serde_json::from_str::<After>(&again).ok(), Some(after));
    }
    if let Ok(cursor) = serde_json::from_slice::<Cursor>(data) {
        let again = serde_json::to_string(&cursor).expect("a cursor can be written");
        assert_eq!(serde_json::from_str::<Cursor>(&again).ok(), Some(cursor));
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(id) = text.parse::<SessionId>() {
        assert_eq!(id.to_string(), text.to_lowercase(), "one spelling per id, letters aside");
        assert!(!text.contains(['/', '.', '%', '\0']), "an id is never a path");
    }
    let mut le = [0; 8];
    let known = data.len().min(8);
    le[..known].copy_from_slice(&data[..known]);
    let offset = u64::from_le_bytes(le);
    assert_eq!(spool::offset_of(&spool::segment_name(offset)), Some(offset));
    if let Some(offset) = spool::offset_of(text) {
        assert_eq!(spool::segment_name(offset), text, "one name per offset");
    }
});
