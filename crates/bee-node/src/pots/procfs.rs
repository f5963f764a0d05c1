//! What Linux's procfs says about a pot: the ports it listens on, its memory, its CPU time.
//!
//! Readiness is observed and never probed: a connect would be recorded as an attack. The pot's sockets are found by
//! the inode numbers of its open files, so another program's socket on the same port is not mistaken for it.

use std::{
    collections::HashSet,
    fs,
    io::{self, BufRead, BufReader, Read},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
};

/// `/proc/net/tcp` of a machine with very many sockets is cut here.
const TABLE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// State `LISTEN` in `/proc/net/tcp`.
const LISTEN: &str = "0A";
/// State `SYN_RECV` there.
const HALF_OPEN: &str = "03";
/// A line of that file has 150 bytes.
const LINE_BYTES_MAX: u64 = 1024;

/// Memory and CPU time of a group of processes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Resident memory in bytes, summed over the processes.
    pub rss_bytes: u64,
    /// User and system time in milliseconds, summed over the processes.
    pub cpu_ms: u64,
    /// Processes counted.
    pub processes: u32,
}

/// The TCP addresses on which a process of group `pgid` listens.
pub fn listening(pgid: u32) -> Vec<SocketAddr> {
    let inodes: HashSet<u64> = group_members(pgid).into_iter().flat_map(socket_inodes).collect();
    if inodes.is_empty() {
        return Vec::new();
    }
    let mut found = Vec::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        if let Ok(file) = fs::File::open(table) {
            let listeners = read_listeners(BufReader::new(file.take(TABLE_BYTES_MAX))).into_iter();
            found.extend(listeners.filter(|(_, inode)| inodes.contains(inode)).map(|(address, _)| address));
        }
    }
    found
}

/// The listeners of a table, with their inodes.
///
/// The kernel writes them first, half-open connections among them, then all connections. A machine under attack has
/// tens of thousands of those, which are neither kept nor, once they begin, read.
fn read_listeners(mut table: impl BufRead) -> Vec<(SocketAddr, u64)> {
    let (mut found, mut line) = (Vec::new(), Vec::new());
    // The first line names the columns.
    let mut is_head = true;
    loop {
        line.clear();
        // A line of this file is shorter than this; `take` bounds the read whatever it is.
        match (&mut table).take(LINE_BYTES_MAX).read_until(b'\n', &mut line) {
            Ok(1..) => {}
            Ok(0) | Err(_) => return found,
        }
        if std::mem::take(&mut is_head) {
            continue;
        }
        let Some((address, state, inode)) = std::str::from_utf8(&line).ok().and_then(parse_socket) else {
            continue;
        };
        match state {
            LISTEN => found.push((address, inode)),
            HALF_OPEN => {}
            _ => return found,
        }
    }
}

/// Memory and CPU time of the processes of group `pgid`.
pub fn usage(pgid: u32) -> Usage {
    let mut usage = Usage::default();
    for pid in group_members(pgid) {
        let Some(stat) = read_stat(pid) else { continue };
        usage.processes += 1;
        usage.rss_bytes += stat.rss_pages * rustix::param::page_size() as u64;
        usage.cpu_ms += stat.cpu_ticks * 1000 / rustix::param::clock_ticks_per_second().max(1);
    }
    usage
}

/// Memory and CPU time of one process.
pub fn usage_of(pid: u32) -> Usage {
    read_stat(pid).map_or_else(Usage::default, |stat| Usage {
        rss_bytes: stat.rss_pages * rustix::param::page_size() as u64,
        cpu_ms: stat.cpu_ticks * 1000 / rustix::param::clock_ticks_per_second().max(1),
        processes: 1,
    })
}

/// Whether any process of group `pgid` is left, zombies aside.
pub fn group_is_alive(pgid: u32) -> bool {
    !group_members(pgid).is_empty()
}

struct Stat {
    state: char,
    pgrp: u32,
    cpu_ticks: u64,
    rss_pages: u64,
}

fn group_members(pgid: u32) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| read_stat(*pid).is_some_and(|stat| stat.pgrp == pgid && stat.state != 'Z'))
        .collect()
}

fn read_stat(pid: u32) -> Option<Stat> {
    parse_stat(&read_capped(Path::new(&format!("/proc/{pid}/stat")), 4096).ok()?)
}

/// The process name is in brackets and may hold anything, so fields are counted from the last bracket.
fn parse_stat(text: &str) -> Option<Stat> {
    let (_, after_name) = text.rsplit_once(')')?;
    let fields: Vec<&str> = after_name.split_ascii_whitespace().collect();
    let number = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok());
    Some(Stat {
        state: fields.first()?.chars().next()?,
        pgrp: u32::try_from(number(2)?).ok()?,
        cpu_ticks: number(11)? + number(12)?,
        rss_pages: number(21)?,
    })
}

fn socket_inodes(pid: u32) -> Vec<u64> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .filter_map(|target| target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok())
        .collect()
}

/// Local address, state and inode of one line.
fn parse_socket(line: &str) -> Option<(SocketAddr, &str, u64)> {
    let mut fields = line.split_ascii_whitespace();
    let local = fields.nth(1)?;
    let state = fields.nth(1)?;
    let inode = fields.nth(5)?.parse().ok()?;
    Some((parse_address(local)?, state, inode))
}

/// `0100007F:1F90`: each 32-bit word in the machine's byte order, the port in hex.
fn parse_address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word =
        |at: usize| u32::from_str_radix(address.get(at * 8..at * 8 + 8)?, 16).ok().map(u32::to_ne_bytes);
    let ip = match address.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let words = [word(0)?, word(1)?, word(2)?, word(3)?];
            let octets: [u8; 16] = words.concat().try_into().ok()?;
            IpAddr::V6(Ipv6Addr::from(octets))
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

fn read_capped(path: &Path, bytes_max: u64) -> io::Result<String> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(bytes_max).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_read_as_linux_writes_them() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
             0: 0100007F:08AE 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0 0 10 0\n   \
             1: 0100007F:08AE 0100007F:1233 03 00000000:00000000 00:00000000 00000000     0        0 0 1 0 100 0 0 10 0\n   \
             2: 0100007F:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4712 1 0 100 0 0 10 0\n   \
             3: 0100007F:08AF 0100007F:1234 01 00000000:00000000 00:00000000 00000000     0        0 4713 1 0 100 0 0 10 0\n";
        let found = read_listeners(table.as_bytes());
        assert_eq!(
            found,
            [("127.0.0.1:2222".parse().unwrap(), 4711), ("127.0.0.1:22".parse().unwrap(), 4712)]
        );
        assert_eq!(parse_address("00000000000000000000000001000000:0016"), Some("[::1]:22".parse().unwrap()));
        assert_eq!(parse_address("0100007:0016"), None);
    }

    #[test]
    fn a_process_name_may_hold_brackets_and_spaces() {
        let stat = parse_stat(
            "12 (a) b) S 1 34 12 0 -1 0 1 0 0 0 5 7 0 0 20 0 1 0 100 1000 25 18446744073709551615 1",
        )
        .unwrap();
        assert_eq!((stat.state, stat.pgrp, stat.cpu_ticks, stat.rss_pages), ('S', 34, 12, 25));
        assert!(parse_stat("12 (x").is_none());
    }

    #[test]
    fn a_listener_of_this_process_is_found_by_its_group() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let pgid = rustix::process::getpgrp().as_raw_nonzero().get().unsigned_abs();
        assert!(listening(pgid).contains(&address));
        drop(listener);
        assert!(!listening(pgid).contains(&address));
        assert!(usage_of(std::process::id()).rss_bytes > 100_000);
        assert!(usage(pgid).processes >= 1);
    }
}
