//! The config file as people type it. Unknown keys are errors; nothing here is trusted yet.
//!
//! The keys of the field's Go node (PROTOCOL section 11) keep their names and their meaning; the others are ours.

use std::{collections::BTreeMap, path::PathBuf};

use bee_daemon::{config::Secret, logging::Format};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The whole file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RawConfig {
    /// Who this node is.
    pub node: RawNode,
    /// Where Core is and how to stay in touch.
    pub server: RawServer,
    /// Encryption of the link.
    pub tls: RawTls,
    /// Proving who we are.
    pub auth: RawAuth,
    /// How a new node gets in.
    pub enrollment: RawEnrollment,
    /// Logging.
    pub log: RawLog,
    /// Pots in general.
    pub honeypot: RawHoneypot,
    /// The pots that run here.
    pub pots: Vec<RawPot>,
    /// Port 9100.
    pub intake: RawIntake,
    /// Events that wait for Core.
    pub spool: RawSpool,
    /// Extensions of the protocol that can be turned off.
    pub features: RawFeatures,
    /// Where this node keeps what it must not lose.
    pub state_dir: Option<PathBuf>,
}

/// `node:`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RawNode {
    /// Field key.
    pub name: Option<String>,
    /// Field key: `Full` or `Agent`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Field key: where this node says it can be reached.
    pub address: String,
    /// Field key: the port there.
    pub port: u16,
    /// Free labels for whoever reads the file; a registration does not carry them yet.
    pub labels: BTreeMap<String, String>,
}

/// `server:`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RawServer {
    /// Field key: `host:port` of Core.
    pub address: Option<String>,
    /// Field key, seconds.
    pub heartbeat_interval: u64,
    /// Field key, seconds: the first pause before trying again; later ones grow.
    pub reconnect_delay: u64,
    /// The longest pause, seconds.
    pub reconnect_delay_max: u64,
    /// Field key, seconds.
    pub connection_timeout: u64,
    /// Seconds that one write may wait for Core.
    pub write_timeout: u64,
}

/// `tls:`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RawTls {
    /// Field key. Left out: on, except to a Core on loopback whose CA is not known.
    pub enabled: Option<bool>,
    /// Field key.
    pub insecure_skip_verify: bool,
    /// Field key.
    pub server_name: Option<String>,
    /// Field key.
    pub cert_file: Option<PathBuf>,
    /// Field key.
    pub key_file: Option<PathBuf>,
    /// Field key.
    pub ca_file: Option<PathBuf>,
    /// Permits a link in plain text to another machine.
    pub allow_plaintext: bool,
}

/// `auth:`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RawAuth {
    /// Field key.
    pub totp_enabled: bool,
    /// Field key.
    pub totp_secret_dir: Option<PathBuf>,
}

/// `enrollment:`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RawEnrollment {
    /// What `honeybee invite` printed; used until this node is in.
    pub join_code: Secret,
}

/// `log:`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RawLog {
    /// Field key.
    pub level: String,
    /// Field key.
    pub format: Format,
    /// Field key.
    pub file: Option<PathBuf>,
}

/// `honeypot:`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RawHoneypot {
    /// Field key.
    pub enabled: bool,
    /// Field key.
    pub base_dir: Option<PathBuf>,
    /// Field key.
    pub default_ssh_port: Option<u16>,
    /// Field key.
    pub default_telnet_port: Option<u16>,
    /// The same for web traps.
    pub default_http_port: Option<u16>,
    /// Address that pots listen on unless their own settings name one.
    pub listen_address: std::net::IpAddr,
    /// Seconds that a pot may take to stop.
    pub stop_grace: u64,
}

/// One of `pots:`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RawPot {
    /// Its id.
    pub id: String,
    /// Its kind.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether it runs.
    pub enabled: bool,
    /// `ADDRESS:PORT`.
    pub listen: Option<String>,
    /// The trap's own settings.
    pub config: BTreeMap<String, Value>,
}

/// `intake:`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RawIntake {
    /// A fixed port instead of the first free one from 9100 to 9199.
    pub event_port: Option<u16>,
    /// Open connections.
    pub connections_max: usize,
    /// Bytes of one line.
    pub line_bytes_max: usize,
    /// Seconds in which a line that was begun has to end.
    pub line_seconds_max: u64,
}

/// `spool:`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RawSpool {
    /// Bytes on disk.
    pub bytes_max: u64,
    /// Bytes of one segment file.
    pub segment_bytes_max: u64,
}

/// `features:`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RawFeatures {
    /// Numbered batches with acknowledgements.
    pub batch: bool,
    /// Answers to commands.
    pub command_result: bool,
    /// Upload of captured files.
    pub artifacts: bool,
    /// TOTP codes on request.
    pub totp_request: bool,
    /// Error replies from Core.
    pub errors: bool,
}

impl Default for RawNode {
    fn default() -> Self {
        Self {
            name: None,
            kind: "Full".into(),
            address: "0.0.0.0".into(),
            port: 8080,
            labels: BTreeMap::new(),
        }
    }
}

impl Default for RawServer {
    fn default() -> Self {
        Self {
            address: None,
            heartbeat_interval: 30,
            reconnect_delay: 5,
            reconnect_delay_max: 60,
            connection_timeout: 10,
            write_timeout: 30,
        }
    }
}

impl Default for RawAuth {
    fn default() -> Self {
        Self { totp_enabled: true, totp_secret_dir: None }
    }
}

impl Default for RawHoneypot {
    fn default() -> Self {
        Self {
            enabled: true,
            base_dir: None,
            default_ssh_port: None,
            default_telnet_port: None,
            default_http_port: None,
            listen_address: std::net::Ipv4Addr::LOCALHOST.into(),
            stop_grace: 5,
        }
    }
}

impl Default for RawPot {
    fn default() -> Self {
        Self { id: String::new(), kind: String::new(), enabled: true, listen: None, config: BTreeMap::new() }
    }
}

impl Default for RawIntake {
    fn default() -> Self {
        Self {
            event_port: None,
            connections_max: crate::limits::INTAKE_CONNECTIONS_MAX,
            line_bytes_max: bee_wire::limits::POT_LINE_BYTES_MAX,
            line_seconds_max: crate::limits::INTAKE_LINE_SECS_MAX,
        }
    }
}

impl Default for RawSpool {
    fn default() -> Self {
        Self { bytes_max: 1024 * 1024 * 1024, segment_bytes_max: 16 * 1024 * 1024 }
    }
}

impl Default for RawFeatures {
    fn default() -> Self {
        Self { batch: true, command_result: true, artifacts: true, totp_request: true, errors: true }
    }
}
