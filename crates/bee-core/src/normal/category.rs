//! What kind of thing happened, how much it matters, and which ATT&CK techniques it shows.
//!
//! Decided from the event type first (names are stable) and from the columns that were found otherwise.

use bee_wire::api::{Category, Severity};

use super::Columns;

/// Endings of dotted event types, most specific first.
const BY_ENDING: &[(&str, Category)] = &[
    (".session.connect", Category::Connection),
    (".session.closed", Category::Connection),
    (".session.file_download", Category::File),
    (".session.file_download.failed", Category::File),
    (".session.file_upload", Category::File),
    (".session.params", Category::Session),
    (".login.failed", Category::Auth),
    (".login.success", Category::Auth),
    (".command.input", Category::Command),
    (".command.failed", Category::Command),
    (".command.success", Category::Command),
    (".client.fingerprint", Category::Auth),
    (".client.version", Category::Session),
    (".client.kex", Category::Session),
    (".client.size", Category::Session),
    (".client.var", Category::Session),
    (".telnet.option", Category::Session),
    (".telnet.error", Category::Session),
    (".log.closed", Category::Session),
    (".log.open", Category::Session),
    (".direct-tcpip.request", Category::Request),
    (".direct-tcpip.data", Category::Request),
    (".direct-tcpip.ja4", Category::Request),
    (".direct-tcpip.ja4h", Category::Request),
    (".tcpip-forward.request", Category::Request),
    (".pot.dropped", Category::Other),
];

/// Words that settle it when one of them is a part of the type (split at `.`, `_`, `-`, space).
const BY_WORD: &[(&str, Category)] = &[
    ("login", Category::Auth),
    ("auth", Category::Auth),
    ("authentication", Category::Auth),
    ("password", Category::Auth),
    ("credential", Category::Auth),
    ("credentials", Category::Auth),
    ("command", Category::Command),
    ("cmd", Category::Command),
    ("exec", Category::Command),
    ("shell", Category::Command),
    ("input", Category::Command),
    ("download", Category::File),
    ("upload", Category::File),
    ("file", Category::File),
    ("tftp", Category::File),
    ("recon", Category::Scan),
    ("scan", Category::Scan),
    ("portscan", Category::Scan),
    ("synscan", Category::Scan),
    ("probe", Category::Scan),
    ("attack", Category::Request),
    ("request", Category::Request),
    ("query", Category::Request),
    ("get", Category::Request),
    ("post", Category::Request),
    ("http", Category::Request),
    ("connection", Category::Connection),
    ("connect", Category::Connection),
    ("closed", Category::Connection),
    ("close", Category::Connection),
    ("accept", Category::Connection),
    ("session", Category::Session),
];

pub(super) fn category(columns: &Columns) -> Category {
    let event_type = columns.event_type.as_str();
    if event_type.starts_with("opencanary.boot") || event_type.starts_with("honeybee.") {
        return Category::Other;
    }
    if let Some((_, category)) = BY_ENDING.iter().find(|(ending, _)| event_type.ends_with(ending)) {
        return *category;
    }
    // What was captured says more than a general name: a password is a login whatever the pot calls it.
    if columns.password.is_some() {
        return Category::Auth;
    }
    let lower = event_type.to_ascii_lowercase();
    let words = || lower.split(['.', '_', '-', ' ', ':', '/']);
    if let Some((_, category)) = BY_WORD.iter().find(|(word, _)| words().any(|part| part == *word)) {
        return *category;
    }
    if columns.command.is_some() {
        Category::Command
    } else if columns.sha256.is_some() {
        Category::File
    } else if columns.url.is_some() || columns.path.is_some() || columns.user_agent.is_some() {
        Category::Request
    } else if columns.username.is_some() {
        Category::Auth
    } else if columns.src_ip.is_some() && columns.src_port.is_some() {
        Category::Connection
    } else {
        Category::Other
    }
}

pub(super) fn severity(columns: &Columns) -> Severity {
    match columns.category {
        Category::File => Severity::High,
        Category::Command
            if columns.command.as_deref().is_some_and(|command| transfers(command) || persists(command)) =>
        {
            Severity::High
        }
        Category::Command => Severity::Medium,
        Category::Auth if succeeded(&columns.event_type) => Severity::Medium,
        Category::Auth => Severity::Low,
        Category::Request if columns.event_type.contains("direct-tcpip") || exploits(columns) => {
            Severity::Medium
        }
        Category::Request | Category::Scan => Severity::Low,
        Category::Connection | Category::Session | Category::Other => Severity::Info,
    }
}

/// A few technique ids that the event itself proves. Guessing more is the analyst's work.
pub(super) fn tags(columns: &Columns) -> Vec<&'static str> {
    let mut tags = Vec::new();
    match columns.category {
        Category::Auth if succeeded(&columns.event_type) => tags.push("T1078"),
        Category::Auth if columns.password.is_some() => tags.push("T1110"),
        Category::File => tags.push("T1105"),
        Category::Scan => tags.push("T1595"),
        Category::Request if columns.event_type.contains("direct-tcpip") => tags.push("T1090"),
        Category::Request if exploits(columns) => tags.push("T1190"),
        _ => {}
    }
    if let Some(command) = columns.command.as_deref().filter(|_| columns.category == Category::Command) {
        tags.push("T1059");
        for (id, found) in [
            ("T1105", transfers(command)),
            ("T1082", has_any(command, &["uname", "/proc/cpuinfo", "lscpu", "nproc"])),
            (
                "T1033",
                has_any(command, &["whoami", "w;", "last ", "id;"])
                    || command.trim() == "id"
                    || command.trim() == "w",
            ),
            ("T1053", has_any(command, &["crontab", "/etc/cron"])),
            ("T1098", has_any(command, &["authorized_keys"])),
            ("T1222", has_any(command, &["chmod ", "chattr "])),
            ("T1070", has_any(command, &["history -c", "HISTFILE", ".bash_history", "rm -rf /var/log"])),
            ("T1496", has_any(command, &["xmrig", "minerd", "stratum+tcp", "cpuminer"])),
            ("T1003", has_any(command, &["/etc/shadow"])),
        ] {
            if found {
                tags.push(id);
            }
        }
    }
    tags.sort_unstable();
    tags.dedup();
    tags
}

fn succeeded(event_type: &str) -> bool {
    event_type.ends_with(".success")
        || event_type.ends_with(".succeeded")
        || event_type.ends_with("login_success")
}

fn transfers(command: &str) -> bool {
    has_any(command, &["wget ", "curl ", "tftp ", "ftpget ", "scp -t", "busybox wget", "/dev/tcp/"])
}

fn persists(command: &str) -> bool {
    has_any(
        command,
        &["authorized_keys", "crontab", "/etc/cron", "systemctl enable", "rc.local", "useradd", "chpasswd"],
    )
}

fn exploits(columns: &Columns) -> bool {
    const MARKS: &[&str] = &[
        "../",
        "..%2f",
        "%2e%2e",
        "${jndi:",
        "/bin/sh",
        "cmd.exe",
        "eval-stdin.php",
        "union+select",
        "union%20select",
        "/cgi-bin/",
        "phpunit",
        "/.env",
        "/.git/",
        "/etc/passwd",
        "setup.php",
        "<?php",
        "wget+http",
        "wget%20http",
    ];
    if columns.event_type.ends_with(".attack") {
        return true;
    }
    [&columns.path, &columns.url, &columns.user_agent].into_iter().flatten().any(|text| {
        let lower = text.to_ascii_lowercase();
        has_any(&lower, MARKS)
    })
}

fn has_any(text: &str, needles: &[&str]) -> bool {
    needles.iter().any(|needle| memchr::memmem::find(text.as_bytes(), needle.as_bytes()).is_some())
}

/// OpenCanary's numbers by name (its `logger.py` calls them the same way). The boot and error lines of the
/// 1000 range are not attacks.
pub(super) fn opencanary_name(number: u64) -> Option<&'static str> {
    Some(match number {
        1000..=1999 => "opencanary.boot",
        2000 => "opencanary.ftp.login",
        2001 => "opencanary.ftp.auth_attempt_initiated",
        3000 => "opencanary.http.get",
        3001 => "opencanary.http.login",
        3002 | 3003 => "opencanary.http.request",
        4000 => "opencanary.ssh.connection",
        4001 => "opencanary.ssh.client.version",
        4002 => "opencanary.ssh.login",
        5000 => "opencanary.smb.file_open",
        5001..=5008 => "opencanary.portscan",
        6001 => "opencanary.telnet.login",
        6002 => "opencanary.telnet.connection",
        7001 => "opencanary.httpproxy.login",
        8001 => "opencanary.mysql.login",
        9001 => "opencanary.mssql.login",
        9002 => "opencanary.mssql.login_windows",
        9003 => "opencanary.mysql.connection",
        10001 => "opencanary.tftp.file",
        11001 => "opencanary.ntp.monlist_request",
        12001 => "opencanary.vnc.login",
        13001 => "opencanary.snmp.request",
        14001 => "opencanary.rdp.login",
        15001 => "opencanary.sip.request",
        16001 => "opencanary.git.request",
        17001 => "opencanary.redis.command",
        18001..=18005 => "opencanary.tcpbanner.connection",
        19001 => "opencanary.llmnr.request",
        _ => return None,
    })
}

/// Protocol from a type such as `opencanary.ssh.login`, `http.request`, `elasticpot.recon`.
pub(super) fn protocol_of_type(event_type: &str) -> Option<&'static str> {
    const BY_PRODUCT: &[(&str, &str)] = &[
        ("adbhoney", "adb"),
        ("elasticpot", "http"),
        ("honnypotter", "http"),
        ("ipphoney", "ipp"),
        ("httpproxy", "http"),
    ];
    const KNOWN: &[&str] = &[
        "ssh", "telnet", "http", "https", "ftp", "tftp", "smtp", "pop3", "imap", "mysql", "mssql",
        "postgres", "redis", "vnc", "rdp", "sip", "snmp", "ntp", "git", "smb", "ldap", "mongodb", "socks5",
    ];
    event_type.split(['.', '_']).take(3).find_map(|part| {
        BY_PRODUCT
            .iter()
            .find(|(product, _)| *product == part)
            .map(|(_, protocol)| *protocol)
            .or_else(|| KNOWN.iter().copied().find(|known| *known == part))
    })
}
