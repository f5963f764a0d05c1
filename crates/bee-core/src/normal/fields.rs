//! Finding a value under one of the many names that honeypots give it.
//!
//! Names with a dot look one object deeper (`logdata.USERNAME`). The tables are ordered: the first name that
//! holds a usable value wins, so the unambiguous names stand first.

use std::net::{IpAddr, SocketAddr};

use serde_json::{Map, Value};

use super::COLUMN_BYTES_MAX;

pub(super) const SRC_IP: &[&str] = &[
    "src_ip",
    "src_host",
    "source_ip",
    "sourceIp",
    "srcip",
    "attack_connection.remote_ip",
    "peer.ip",
    "peerIP",
    "remote_ip",
    "remote_host",
    "client_ip",
    "attacker_ip",
    "remote_addr",
    "addr",
    "source",
    "saddr",
    "src",
    "IP",
    "ip",
];
pub(super) const SRC_PORT: &[&str] = &[
    "src_port",
    "source_port",
    "sourcePort",
    "srcport",
    "attack_connection.remote_port",
    "peer.port",
    "peerPort",
    "remote_port",
    "client_port",
    "spt",
    "Port",
];
pub(super) const DST_IP: &[&str] = &[
    "dst_ip",
    "dst_host",
    "dest_ip",
    "destination_ip",
    "destinationIp",
    "dstip",
    "attack_connection.local_ip",
    "local_ip",
    "local_host",
    "host_ip",
];
pub(super) const DST_PORT: &[&str] = &[
    "dst_port",
    "dest_port",
    "destination_port",
    "destinationPort",
    "dstport",
    "attack_connection.local_port",
    "local_port",
    "dpt",
];
pub(super) const PROTOCOL: &[&str] = &[
    "protocol",
    "data_type",
    "connection.protocol",
    "attack_connection.protocol",
    "server",
    "app_proto",
    "transport_type",
    "transport",
    "proto",
];
pub(super) const SESSION: &[&str] =
    &["session", "session_id", "sessionid", "sess_uuid", "cookies.sess_uuid", "flow_id"];
pub(super) const USERNAME: &[&str] = &[
    "username",
    "user",
    "login",
    "log",
    "userid",
    "logdata.USERNAME",
    "logdata.UserName",
    "event.user",
    "event.username",
    "auth_attempts.username",
    "credentials.username",
    "credentials.login",
    "data.username",
    "mstshash",
];
pub(super) const PASSWORD: &[&str] = &[
    "password",
    "passwd",
    "pass",
    "pwd",
    "logdata.PASSWORD",
    "logdata.Password",
    "logdata.VNC Password",
    "event.password",
    "auth_attempts.password",
    "credentials.password",
    "data.password",
];
pub(super) const COMMAND: &[&str] = &[
    "input",
    "command",
    "commands",
    "cmd",
    "logdata.CMD",
    "event.command",
    "event.input",
    "data.command",
    "logdata.NTP CMD",
];
pub(super) const URL: &[&str] = &["url", "uri_full", "download_url", "logdata.URL", "event.url", "http.url"];
pub(super) const PATH: &[&str] = &[
    "path",
    "request_uri",
    "uri",
    "request_path",
    "logdata.PATH",
    "logdata.REPO",
    "http.path",
    "logdata.FILENAME",
];
pub(super) const FILENAME: &[&str] = &["destfile", "filename", "file_name", "fname"];
pub(super) const USER_AGENT: &[&str] = &[
    "user_agent",
    "useragent",
    "user-agent",
    "http_user_agent",
    "sip_user_agent",
    "logdata.USERAGENT",
    "headers.user-agent",
    "headers.User-Agent",
    "auxiliary_data.User-Agent",
    "http.http_user_agent",
    "data.user-agent",
    "logdata.HEADERS.user-agent",
];
pub(super) const SHA256: &[&str] =
    &["shasum", "sha256", "sha256sum", "sha256_hash", "file_sha256", "artifact"];
pub(super) const HASSH: &[&str] = &["hassh", "ssh.hassh", "ssh.client.hassh.hash"];
pub(super) const JA4: &[&str] = &["ja4", "tls.ja4", "ja4h", "ja4t"];

/// Read access to one event's `data`.
pub(super) struct Fields<'a> {
    map: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(map: &'a Map<String, Value>) -> Self {
        Self { map }
    }

    /// True when `data` has the member at all.
    pub(super) fn has(&self, name: &str) -> bool {
        self.map.contains_key(name)
    }

    /// A top-level string.
    pub(super) fn top_text(&self, name: &str) -> Option<String> {
        self.map.get(name).and_then(text)
    }

    /// A top-level number, or a string of digits.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        match self.map.get(name)? {
            Value::Number(number) => number.as_u64(),
            Value::String(digits) => digits.parse().ok(),
            _ => None,
        }
    }

    /// The first of `names` that holds text (or a number, which some pots write instead).
    pub(super) fn text(&self, names: &[&str]) -> Option<String> {
        names.iter().find_map(|name| self.find(name).and_then(text))
    }

    /// An address and a port; the address field may hold both (`203.0.113.7:4711`).
    pub(super) fn address(&self, ips: &[&str], ports: &[&str]) -> (Option<IpAddr>, Option<u16>) {
        let mut found_port = None;
        let ip = ips.iter().find_map(|name| {
            let value = self.find(name)?.as_str()?;
            let (ip, port) = split_address(value)?;
            found_port = port;
            Some(ip)
        });
        let port = ports.iter().find_map(|name| self.find(name).and_then(port)).or(found_port);
        (ip, port)
    }

    fn find(&self, name: &str) -> Option<&'a Value> {
        if let Some(value) = self.map.get(name) {
            return Some(value);
        }
        let mut parts = name.split('.');
        let mut value = self.map.get(parts.next()?)?;
        for part in parts {
            // Heralding lists its attempts, SIP headers are lists: the first one stands for the event.
            if let Value::Array(items) = value {
                value = items.first()?;
            }
            value = value.as_object()?.get(part)?;
        }
        Some(value)
    }
}

/// Text of a value: strings as they are, numbers and booleans written out, the first of a list.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if text.is_empty() => None,
        Value::String(text) => Some(cut(text)),
        Value::Number(number) => Some(number.to_string()),
        Value::Array(items) => {
            items.first().and_then(|item| item.as_str()).filter(|text| !text.is_empty()).map(cut)
        }
        Value::Bool(_) | Value::Null | Value::Object(_) => None,
    }
}

fn cut(text: &str) -> String {
    let mut end = text.len().min(COLUMN_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}

fn port(value: &Value) -> Option<u16> {
    match value {
        Value::Number(number) => number.as_u64().and_then(|port| u16::try_from(port).ok()),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
    .filter(|port| *port != 0)
}

fn split_address(text: &str) -> Option<(IpAddr, Option<u16>)> {
    let text = text.trim();
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some((plain(ip), None));
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some((plain(address.ip()), Some(address.port()).filter(|port| *port != 0)));
    }
    // `[::1]`, `fe80::1%eth0` and `::ffff:..` come from pots that print what accept() gave them.
    let inner = text.trim_start_matches('[').trim_end_matches(']');
    inner.split('%').next().and_then(|ip| ip.parse::<IpAddr>().ok()).map(|ip| (plain(ip), None))
}

/// IPv4-mapped IPv6 is the same peer as its IPv4 address.
fn plain(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(ip, IpAddr::V4),
        IpAddr::V4(_) => ip,
    }
}
