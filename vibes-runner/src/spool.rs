//! What lies in a runner's directory: names and shapes shared by the runner, which writes, and the daemon, which reads.
//!
//! Invariant: a segment's name is the logical offset of its first byte, so that the files alone tell where every
//! byte of the agent's output is, whoever died.

use std::{fs, io, path::Path, path::PathBuf};

/// Put here by a daemon whose store did not know of this runner: it is nobody's, until a person decides.
pub const UNKNOWN: &str = "unknown";
/// The socket.
pub const SOCKET: &str = "s";
/// Who runs here: JSON, written whole by rename.
pub const META: &str = "meta.json";
/// How the agent ended: JSON, written whole by rename.
pub const EXIT: &str = "exit.json";
/// The log of input frames: [`IN_ENTRY`] bytes each.
pub const IN_LOG: &str = "in.log";
/// The older and the newer half of the agent's standard error.
pub const ERR_OLD: &str = "err.old";
/// The newer half of the agent's standard error.
pub const ERR_NEW: &str = "err.new";
/// How long a segment may grow, in bytes. It is cut at a newline, or here if the line is longer.
pub const SEGMENT: u64 = 16 * 1024 * 1024;
/// How much un-ingested output may lie in the spool before the agent has to wait, in bytes.
pub const BUDGET: u64 = 1024 * 1024 * 1024;
/// How much may lie in all spools of a state directory together unless the daemon says otherwise, in bytes. One agent
/// alone may have half of what is free, so that a newcomer always finds room.
pub const SHARED: u64 = 4 * 1024 * 1024 * 1024;
/// How much of it every agent has to itself, however much the others hold, in bytes: whoever is read goes on.
pub const LEAST: u64 = 1024 * 1024;
/// How long each half of the standard error may grow, in bytes.
pub const ERR_HALF: u64 = 4 * 1024 * 1024;
/// An entry of the input log: `[u64 in_seq][32 bytes hash][u32 length][u32 crc32 of what stands before]`.
pub const IN_ENTRY: usize = 48;

/// The file name of the segment that begins at `offset`.
pub fn segment_name(offset: u64) -> String {
    format!("out.{offset:016x}")
}

/// The first offset that a file name announces: the reverse of [`segment_name`], and only of that. A file by any
/// other name is not ours.
pub fn offset_of(name: &str) -> Option<u64> {
    let offset = u64::from_str_radix(name.strip_prefix("out.")?, 16).ok()?;
    (segment_name(offset) == name).then_some(offset)
}

/// The segments in a directory as (first offset, path), in order.
pub fn segments(dir: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if let Some(offset) = entry.file_name().to_str().and_then(offset_of) {
            found.push((offset, entry.path()));
        }
    }
    found.sort();
    Ok(found)
}

/// How many bytes lie in the segments of a directory. What cannot be looked at counts nothing.
pub fn length(dir: &Path) -> u64 {
    let found = segments(dir).unwrap_or_default();
    found.iter().filter_map(|(_, path)| fs::metadata(path).ok()).map(|file| file.len()).sum()
}

/// How many bytes lie in all spools below `runners`, which holds one directory for each.
pub fn total(runners: &Path) -> u64 {
    fs::read_dir(runners).into_iter().flatten().flatten().map(|entry| length(&entry.path())).sum()
}

/// The bytes of one entry of the input log.
pub fn in_entry(in_seq: u64, hash: &[u8; 32], length: u32) -> [u8; IN_ENTRY] {
    let mut entry = [0; IN_ENTRY];
    entry[..8].copy_from_slice(&in_seq.to_le_bytes());
    entry[8..40].copy_from_slice(hash);
    entry[40..44].copy_from_slice(&length.to_le_bytes());
    let crc = crc32fast::hash(&entry[..44]);
    entry[44..].copy_from_slice(&crc.to_le_bytes());
    entry
}

/// The number of the last whole entry of the input log, 0 when there is none. A torn entry at the end was never
/// acknowledged and its bytes never reached the agent.
pub fn last_logged_input(dir: &Path) -> io::Result<u64> {
    let log = match fs::read(dir.join(IN_LOG)) {
        Ok(log) => log,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let mut last = 0;
    for entry in log.chunks_exact(IN_ENTRY) {
        let (body, crc) = entry.split_at(44);
        if crc != crc32fast::hash(body).to_le_bytes() {
            break;
        }
        if let Some(number) = body.first_chunk::<8>() {
            last = u64::from_le_bytes(*number);
        }
    }
    Ok(last)
}
