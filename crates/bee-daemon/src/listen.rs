//! Opens listening sockets, and says clearly why one cannot be opened.
//!
//! Every listener of both daemons comes from here, so the rule "nothing off loopback unless
//! configured" is in one place.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::os::unix::fs::MetadataExt as _;

use tokio::net::{TcpListener, TcpSocket};

/// Connections the kernel keeps ready while we are busy; a fleet reconnects all at once.
pub const BACKLOG: u32 = 4_096;

/// Where a listener may bind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposure {
    /// 127.0.0.0/8 and ::1 alone.
    LoopbackOnly,
    /// Any address: the operator has said so.
    Anywhere,
}

/// Why a listener could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Off loopback without permission.
    #[error(
        "{what} would listen on {address}, which others can reach: use 127.0.0.1, or allow it with {allow}"
    )]
    NotLoopback {
        /// What wanted to listen.
        what: &'static str,
        /// Where.
        address: SocketAddr,
        /// The key or flag that allows it.
        allow: &'static str,
    },
    /// Somebody else has the port.
    #[error("{what} cannot listen on {address}: the port is taken{holder}; stop it, or set another port", holder = by(.holder.as_ref()))]
    Taken {
        /// What wanted to listen.
        what: &'static str,
        /// Where.
        address: SocketAddr,
        /// Who has it, when /proc tells.
        holder: Option<Holder>,
    },
    /// No port of a range was free.
    #[error("{what} found no free port from {first} to {last} on {ip}: free one, or set another port")]
    RangeTaken {
        /// What wanted to listen.
        what: &'static str,
        /// On which address.
        ip: IpAddr,
        /// First port tried.
        first: u16,
        /// Last port tried.
        last: u16,
    },
    /// A port below 1024 without the capability.
    #[error(
        "{what} may not listen on {address}: ports below 1024 need CAP_NET_BIND_SERVICE (systemd: AmbientCapabilities=CAP_NET_BIND_SERVICE), or set a port from 1024 on"
    )]
    Denied {
        /// What wanted to listen.
        what: &'static str,
        /// Where.
        address: SocketAddr,
    },
    /// The address is not this machine's.
    #[error(
        "{what} cannot listen on {address}: this machine has no such address; use one that `ip addr` shows"
    )]
    NotOurs {
        /// What wanted to listen.
        what: &'static str,
        /// Where.
        address: SocketAddr,
    },
    /// Anything else.
    #[error("{what} cannot listen on {address}")]
    Other {
        /// What wanted to listen.
        what: &'static str,
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        cause: io::Error,
    },
}

/// A process that has a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Process id.
    pub pid: u32,
    /// Its short name.
    pub name: String,
}

/// Opens a listener. `what` names it for people ("the node port"), `allow` is the key or flag that
/// would permit an address off loopback. Needs a running tokio runtime.
///
/// # Errors
/// See [`ListenError`]; each says what to do.
pub fn bind(
    what: &'static str,
    address: SocketAddr,
    exposure: Exposure,
    allow: &'static str,
) -> Result<TcpListener, ListenError> {
    if exposure == Exposure::LoopbackOnly && !is_loopback(address.ip()) {
        return Err(ListenError::NotLoopback { what, address, allow });
    }
    open(address).map_err(|cause| match cause.kind() {
        io::ErrorKind::AddrInUse => ListenError::Taken { what, address, holder: port_holder(address.port()) },
        io::ErrorKind::PermissionDenied => ListenError::Denied { what, address },
        io::ErrorKind::AddrNotAvailable => ListenError::NotOurs { what, address },
        _ => ListenError::Other { what, address, cause },
    })
}

/// Opens a listener on the first free port of `ports` (the intake: 9100 to 9199), loopback only.
///
/// # Errors
/// [`ListenError::RangeTaken`] when none is free, or the first error that is not "taken".
pub fn bind_first_free(
    what: &'static str,
    ip: IpAddr,
    ports: RangeInclusive<u16>,
) -> Result<TcpListener, ListenError> {
    let (first, last) = (*ports.start(), *ports.end());
    for port in ports {
        let address = SocketAddr::new(ip, port);
        match bind(what, address, Exposure::LoopbackOnly, "nothing: it stays on loopback") {
            Err(ListenError::Taken { .. }) => {}
            other => return other,
        }
    }
    Err(ListenError::RangeTaken { what, ip, first, last })
}

/// Whether only this machine can reach the address.
#[must_use]
pub fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

/// The process that listens on TCP `port`, as far as /proc lets this user see.
#[must_use]
pub fn port_holder(port: u16) -> Option<Holder> {
    let inodes: Vec<u64> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| listening_inodes(&table, port))
        .collect();
    if inodes.is_empty() {
        return None;
    }
    fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let has_it = fs::read_dir(entry.path().join("fd"))
            .ok()?
            .flatten()
            // The link's target is `socket:[inode]`; its own inode, followed, is the same number.
            .any(|fd| fs::metadata(fd.path()).is_ok_and(|meta| inodes.contains(&meta.ino())));
        let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        has_it.then(|| Holder { pid, name: crate::escape::untrusted(name.trim_end()).to_string() })
    })
}

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A restart must not wait for the old connections' TIME_WAIT.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Inodes of listening sockets on `port` in the format of /proc/net/tcp (proc(5)).
fn listening_inodes(table: &str, port: u16) -> Vec<u64> {
    const LISTEN: &str = "0A";
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let mut fields = line.split_ascii_whitespace().skip(1);
            let (_, local_port) = fields.next()?.rsplit_once(':')?;
            let state = fields.nth(1)?;
            let inode = fields.nth(5)?;
            (state == LISTEN && u16::from_str_radix(local_port, 16).ok()? == port)
                .then(|| inode.parse().ok())?
        })
        .collect()
}

fn by(holder: Option<&Holder>) -> String {
    holder.map_or_else(String::new, |holder| format!(" by {} (pid {})", holder.name, holder.pid))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loopback(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[tokio::test]
    async fn a_taken_port_names_the_process_that_has_it() {
        let first = bind("first", loopback(0), Exposure::LoopbackOnly, "-").unwrap();
        let taken = first.local_addr().unwrap();
        let error = bind("second", taken, Exposure::LoopbackOnly, "-").unwrap_err();
        let ListenError::Taken { holder: Some(holder), .. } = &error else {
            panic!("{error:?}");
        };
        assert_eq!(holder.pid, std::process::id());
        let text = error.to_string();
        assert!(text.contains(&format!("pid {}", std::process::id())), "{text}");
        assert!(text.contains(&taken.to_string()), "{text}");
    }

    #[tokio::test]
    async fn off_loopback_is_refused_unless_allowed() {
        for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "[::ffff:192.0.2.1]:0"] {
            let error =
                bind("the API", address.parse().unwrap(), Exposure::LoopbackOnly, "server.host").unwrap_err();
            assert!(matches!(error, ListenError::NotLoopback { .. }), "{error}");
            assert!(error.to_string().contains("server.host"), "{error}");
        }
        let elsewhere = "192.0.2.1:0".parse().unwrap();
        let error = bind("the API", elsewhere, Exposure::Anywhere, "-").unwrap_err();
        assert!(matches!(error, ListenError::NotOurs { .. }), "{error}");
    }

    #[tokio::test]
    async fn the_intake_takes_the_next_free_port() {
        let first = bind("first", loopback(0), Exposure::LoopbackOnly, "-").unwrap();
        let port = first.local_addr().unwrap().port();
        let ip = loopback(0).ip();
        let error = bind_first_free("intake", ip, port..=port).unwrap_err();
        assert!(matches!(error, ListenError::RangeTaken { .. }), "{error}");
        drop(first);
        let again = bind_first_free("intake", ip, port..=port).unwrap();
        assert_eq!(again.local_addr().unwrap().port(), port);
    }

    #[test]
    fn the_socket_table_is_read_for_listeners_alone() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
            0: 0100007F:2329 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 111 1 0 100 0 0 10 0\n   \
            1: 0100007F:2329 0100007F:9C40 01 00000000:00000000 00:00000000 00000000  1000        0 222 1 0 20 4 30 10 -1\n   \
            2: garbage\n";
        assert_eq!(listening_inodes(table, 9001), [111]);
        assert_eq!(listening_inodes(table, 9002), [] as [u64; 0]);
    }
}
