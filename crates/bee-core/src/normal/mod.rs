//! The normal form: typed columns from whatever a honeypot wrote (design decision 6).
//!
//! [`columns`] is a pure function of an event's type and raw `data`. It is called for live subscribers and
//! for queries, never while events are ingested, so that it may improve without anything being re-imported.
//! It never changes `data`, never fails (a field it cannot read is absent) and never trusts a length.

mod category;
mod fields;

use std::net::IpAddr;

use bee_wire::api::{Category, Severity};
use serde_json::{Map, Value};

use fields::Fields;

/// Longest text kept in one column, in bytes; the whole value stays in `data`.
pub const COLUMN_BYTES_MAX: usize = 4_096;

/// What the normal form says about one event beside its envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the documentation: they are the columns of DESIGN decision 6")]
pub struct Columns {
    /// The event type, or the one found in `data` when the envelope has none that says anything.
    pub event_type: String,
    pub category: Category,
    pub severity: Severity,
    pub src_ip: Option<IpAddr>,
    pub src_port: Option<u16>,
    pub dst_ip: Option<IpAddr>,
    pub dst_port: Option<u16>,
    pub protocol: Option<String>,
    pub session: Option<String>,
    pub username: Option<String>,
    pub password: Option<String>,
    pub command: Option<String>,
    pub url: Option<String>,
    pub path: Option<String>,
    pub user_agent: Option<String>,
    pub sha256: Option<String>,
    pub hassh: Option<String>,
    pub ja4: Option<String>,
    /// ATT&CK technique ids, sorted, each once.
    pub tags: Vec<&'static str>,
}

/// Maps one event. `data` is its raw JSON; anything but an object gives the envelope's columns alone.
pub fn columns(event_type: &str, pot_type: Option<&str>, data: &str) -> Columns {
    let map: Map<String, Value> = serde_json::from_str(data).unwrap_or_default();
    let fields = Fields::new(&map);
    let event_type = effective_type(event_type, pot_type, &fields);

    let (source_ip, source_port) = fields.address(fields::SRC_IP, fields::SRC_PORT);
    let (dst_ip, dst_port) = fields.address(fields::DST_IP, fields::DST_PORT);
    let (username, password) = credentials(&fields);
    let mut columns = Columns {
        src_ip: source_ip,
        src_port: source_port,
        dst_ip,
        dst_port,
        protocol: protocol(&fields, &event_type),
        session: fields.text(fields::SESSION),
        username,
        password,
        command: command(&fields, &event_type),
        url: fields.text(fields::URL),
        path: path(&fields, &event_type),
        user_agent: fields.text(fields::USER_AGENT),
        sha256: fields
            .text(fields::SHA256)
            .filter(|hash| is_sha256(hash))
            .map(|hash| hash.to_ascii_lowercase()),
        hassh: fields.text(fields::HASSH),
        ja4: fields.text(fields::JA4),
        event_type,
        category: Category::Other,
        severity: Severity::Info,
        tags: Vec::new(),
    };
    columns.category = category::category(&columns);
    columns.severity = category::severity(&columns);
    columns.tags = category::tags(&columns);
    columns
}

/// A node names an event by `eventid`, `event_type` or `logtype`. Some pots have none of them; then the
/// field that plays the part is used. OpenCanary's numbers get the names its source gives them.
fn effective_type(envelope: &str, pot_type: Option<&str>, fields: &Fields<'_>) -> String {
    if type_is_final(envelope) {
        return envelope.to_owned();
    }
    let number = fields.number("logtype").or_else(|| opencanary_number(envelope, pot_type));
    if let Some(name) = number.and_then(category::opencanary_name) {
        return name.to_owned();
    }
    let known = !envelope.is_empty() && envelope != "unknown" && envelope != "event";
    if known {
        return envelope.to_owned();
    }
    for name in ["eventid", "event_type", "action", "event"] {
        if let Some(text) = fields.top_text(name) {
            return match (name, fields.top_text("server")) {
                ("action", Some(server)) => {
                    format!("{}.{}", server.trim_end_matches("_server"), text.to_ascii_lowercase())
                }
                _ => text,
            };
        }
    }
    if fields.has("auth_attempts") {
        return if fields.text(fields::USERNAME).is_some() { "auth.attempt" } else { "session" }.to_owned();
    }
    if let Some(kind) = fields.text(&["connection.type"]) {
        return format!("connection.{kind}");
    }
    envelope.to_owned()
}

/// True when the envelope's type is the event's type whatever `data` says: dotted names are chosen with care.
pub fn type_is_final(envelope: &str) -> bool {
    envelope.contains('.')
}

fn opencanary_number(envelope: &str, pot_type: Option<&str>) -> Option<u64> {
    pot_type.filter(|kind| kind.eq_ignore_ascii_case("opencanary")).and_then(|_| envelope.parse().ok())
}

fn credentials(fields: &Fields<'_>) -> (Option<String>, Option<String>) {
    let username = fields.text(fields::USERNAME);
    let password = fields.text(fields::PASSWORD);
    match (username, password) {
        // Placeholders that a pot writes when it could not recover the password are not passwords.
        (username, Some(password)) if password.starts_with("<Password was not") => (username, None),
        found => found,
    }
}

fn command(fields: &Fields<'_>, event_type: &str) -> Option<String> {
    // Telnet negotiation calls its verbs commands; they are not what an attacker typed.
    if event_type.ends_with(".telnet.option") {
        return None;
    }
    let command = fields.text(fields::COMMAND)?;
    match fields.text(&["logdata.ARGS", "data.arg"]).filter(|text| !text.is_empty()) {
        Some(arguments) => Some(format!("{command} {arguments}")),
        None => Some(command),
    }
}

fn path(fields: &Fields<'_>, event_type: &str) -> Option<String> {
    if let Some(path) = fields.text(fields::PATH) {
        return Some(path);
    }
    // Cowrie's `filename`/`destfile` and TFTP's `FILENAME` are paths on the (pretended) host.
    if event_type.contains("file") || event_type.contains("tftp") {
        return fields.text(fields::FILENAME);
    }
    // Elasticpot's `url` is a request path.
    fields.text(&["url"]).filter(|url| url.starts_with('/'))
}

fn protocol(fields: &Fields<'_>, event_type: &str) -> Option<String> {
    if let Some(protocol) = fields.text(fields::PROTOCOL) {
        let protocol = protocol.trim_end_matches("_server").to_ascii_lowercase();
        // Dionaea names its service threads.
        return Some(match protocol.as_str() {
            "smbd" => "smb".to_owned(),
            "mssqld" => "mssql".to_owned(),
            "mysqld" => "mysql".to_owned(),
            "httpd" => "http".to_owned(),
            "ftpd" => "ftp".to_owned(),
            "tftpd" => "tftp".to_owned(),
            _ => protocol,
        });
    }
    category::protocol_of_type(event_type).map(str::to_owned)
}

fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests;
