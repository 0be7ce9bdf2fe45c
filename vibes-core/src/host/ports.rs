//! The ports that processes listen at, and who is at the other end of a connection.
//!
//! Invariant: a port is told only when a descriptor of one of the processes is its socket; what cannot be read is left out.

use std::{
    collections::HashMap,
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

/// Where these processes listen for TCP connections: address and process. Blocking.
pub fn listening(pids: &[i32]) -> Vec<(SocketAddr, i32)> {
    let mut sockets = HashMap::new();
    for pid in pids {
        // The tables are those of its own network, which a sandbox may have for itself.
        for table in ["tcp", "tcp6"] {
            let text = fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
            sockets.extend(text.lines().filter_map(listener));
        }
    }
    let mut found = Vec::new();
    for pid in pids {
        for entry in fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten() {
            let Ok(target) = fs::read_link(entry.path()) else { continue };
            let inode = target.to_str().and_then(|target| target.strip_prefix("socket:[")?.strip_suffix(']'));
            let address =
                inode.and_then(|inode| inode.parse::<u64>().ok()).and_then(|inode| sockets.get(&inode));
            found.extend(address.map(|address| (*address, *pid)));
        }
    }
    found.sort_unstable();
    // Children have their parents' sockets: the one that was first says it.
    found.dedup_by_key(|(address, _)| *address);
    found
}

/// Who is at the other end of a connection over the loopback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Connected {
    /// This process of this user.
    Process(i32),
    /// One of these of this user, which do not let themselves be looked at.
    OneOf(Vec<i32>),
    /// Nobody any more.
    Gone,
    /// Another user's, or not to be told here.
    Elsewhere,
}

/// Who has the socket that is `peer` and leads to `own`. Blocking.
pub fn connected(peer: SocketAddr, own: SocketAddr) -> Connected {
    let me = rustix::process::geteuid().as_raw();
    let table = if peer.is_ipv4() { "tcp" } else { "tcp6" };
    let Ok(text) = fs::read_to_string(format!("/proc/net/{table}")) else { return Connected::Elsewhere };
    let (uid, inode) = match text.lines().find_map(|line| end_of(line, peer, own)) {
        // Whoever asks something and closes at once leaves no trace.
        None | Some((_, 0)) => return Connected::Gone,
        Some(found) => found,
    };
    if uid != me {
        return Connected::Elsewhere;
    }
    let wanted = format!("socket:[{inode}]");
    let mut hidden = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        match fs::read_dir(entry.path().join("fd")) {
            Ok(mut fds) => {
                let is_it = |target: std::path::PathBuf| target.as_os_str() == wanted.as_str();
                if fds.any(|fd| fd.is_ok_and(|fd| fs::read_link(fd.path()).is_ok_and(is_it))) {
                    return Connected::Process(pid);
                }
            }
            Err(_) if is_of(pid, me) => hidden.push(pid),
            Err(_) => {}
        }
    }
    if hidden.is_empty() { Connected::Gone } else { Connected::OneOf(hidden) }
}

/// Whether a process is this user's, though it may not show what it has open.
fn is_of(pid: i32, user: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let uids = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    uids.and_then(|uids| uids.split_ascii_whitespace().nth(1)?.parse::<u32>().ok()) == Some(user)
}

/// The user and the socket of a line of the table, if it is this end of this connection.
fn end_of(line: &str, peer: SocketAddr, own: SocketAddr) -> Option<(u32, u64)> {
    let mut fields = line.split_ascii_whitespace();
    let (local, remote) = (fields.nth(1)?, fields.next()?);
    let is_it = address(local)? == peer && address(remote)? == own;
    let uid = fields.nth(4)?.parse().ok()?;
    let inode = fields.nth(1)?.parse().ok()?;
    is_it.then_some((uid, inode))
}

/// The socket and address of a line of the table, if it listens.
fn listener(line: &str) -> Option<(u64, SocketAddr)> {
    const LISTENS: &str = "0A";
    let mut fields = line.split_ascii_whitespace();
    let local = fields.nth(1)?;
    let state = fields.nth(1)?;
    let inode = fields.nth(5)?.parse().ok()?;
    (state == LISTENS).then_some((inode, address(local)?))
}

/// An address as the kernel writes it: words of four bytes in this machine's order, a port in hexadecimal.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |n: usize| Some(u32::from_str_radix(ip.get(8 * n..8 * n + 8)?, 16).ok()?.to_ne_bytes());
    let ip: IpAddr = match ip.len() {
        8 => Ipv4Addr::from(word(0)?).into(),
        32 => {
            let mut bytes = [0; 16];
            for (n, place) in bytes.chunks_exact_mut(4).enumerate() {
                place.copy_from_slice(&word(n)?);
            }
            Ipv6Addr::from(bytes).into()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn who_is_at_the_other_end_is_found() {
        let door = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = door.local_addr().unwrap();
        let near = std::net::TcpStream::connect(own).unwrap();
        let peer = near.local_addr().unwrap();
        let me = i32::try_from(std::process::id()).unwrap();
        assert_eq!(connected(peer, own), Connected::Process(me));
        assert_eq!(connected(own, own), Connected::Gone);
    }

    #[test]
    fn a_port_is_found_where_it_is_listened_at_and_by_whom() {
        let me = i32::try_from(std::process::id()).unwrap();
        let places = ["127.0.0.1:0", "[::1]:0", "0.0.0.0:0"];
        // A machine without IPv6 has two.
        let open: Vec<TcpListener> =
            places.iter().filter_map(|place| TcpListener::bind(place).ok()).collect();
        let mut expected: Vec<_> = open.iter().map(|socket| (socket.local_addr().unwrap(), me)).collect();
        expected.sort_unstable();
        let ours = |found: Vec<(SocketAddr, i32)>| -> Vec<_> {
            found.into_iter().filter(|listener| expected.contains(listener)).collect()
        };
        assert_eq!(ours(listening(&[me])), expected);
        assert_eq!(listening(&[1_999_999_999]), []);
        let to = open[0].local_addr().unwrap();
        drop(open);
        assert!(!listening(&[me]).iter().any(|(address, _)| *address == to));
    }
}
