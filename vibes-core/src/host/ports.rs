//! The ports that processes listen at.
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
