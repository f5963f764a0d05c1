//! `bee_config.toml`: what people type ([`RawConfig`]) and what the program trusts ([`Config`]).
//!
//! All keys of the field are read with their meaning; ours come beside them. Unknown keys are errors that
//! name the key (the loader in `bee_daemon::config` does that). [`Config::check`] decides everything that can
//! be decided without touching anything: it opens no file and binds no port.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// `bee_config.toml` as it is typed. Every key may be left out.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawConfig {
    /// Where Core keeps everything: certificates, state, events, captured files. Default `honeybee-data`.
    pub data_dir: Option<PathBuf>,
    /// Addresses and ports (keys of the field).
    pub server: RawServer,
    /// Log output (keys of the field).
    pub logging: RawLogging,
    /// The WebSocket front of the module protocol, port 9003 (keys of the field; it is called a proxy there
    /// because an older Core translated WebSocket to TCP in a process of its own).
    pub proxy: RawProxy,
    /// TLS on the node port.
    pub tls: RawTls,
    /// Who may become a node.
    pub enrollment: RawEnrollment,
    /// Numbers an operator may want to change.
    pub limits: RawLimits,
    /// Extension modules.
    pub modules: RawModules,
    /// Where addresses are.
    pub geoip: RawGeoip,
    /// The event log.
    pub log: RawLog,
    /// Captured files.
    pub vault: RawVault,
    /// REST, WebSocket and dashboard.
    pub api: RawApi,
}

/// `[server]`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawServer {
    /// Address that all ports listen on. Default 127.0.0.1.
    pub host: Option<String>,
    /// Port for nodes. Default 9001; 0 asks the system for one.
    pub node_port: Option<u16>,
    /// Port for REST, dashboard and modules. Default 9002.
    pub backend_port: Option<u16>,
    /// Log everything at debug level. `logging.level` wins when both are given.
    pub debug: Option<bool>,
}

/// `[logging]`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawLogging {
    /// `error`, `warn`, `info`, `debug` or `trace`, or a filter such as `bee_core=debug,info`.
    pub level: Option<String>,
    /// Folder for log files. Without it the log goes to stderr alone.
    pub folder: Option<PathBuf>,
    /// Colour even when stderr is not a terminal.
    pub force_color: Option<bool>,
}

/// `[proxy]`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawProxy {
    /// Listen for modules over WebSocket. Default true.
    pub enabled: Option<bool>,
    /// Address; default is `server.host`.
    pub host: Option<String>,
    /// Port. Default 9003.
    pub port: Option<u16>,
}

/// `[tls]`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawTls {
    /// `required`, `optional` or `off`. Default: `optional` on loopback, `required` elsewhere.
    pub mode: Option<String>,
    /// Names and addresses that the server certificate is made for, beside localhost and `server.host`.
    pub names: Vec<String>,
}

/// `[enrollment]`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawEnrollment {
    /// `token` (default), `approve` or `open`.
    pub mode: Option<String>,
    /// Says that `open` is really meant on an address other machines can reach.
    pub open_off_loopback: Option<bool>,
}

/// `[limits]`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawLimits {
    /// Largest message of a registered node, bytes. Default 10 MiB.
    pub max_frame_bytes: Option<usize>,
    /// Node connections in total. Default 20,000.
    pub connections_max: Option<usize>,
    /// Node connections from one source address. Default 1,000 (nodes behind one NAT), unlimited on loopback.
    pub connections_per_source_max: Option<usize>,
    /// Connections that have not registered yet. Default 1,024.
    pub unregistered_max: Option<usize>,
    /// Seconds between heartbeats asked of nodes. Default 30.
    pub heartbeat_interval_s: Option<u32>,
}

/// `[modules]`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawModules {
    /// Accept modules without a token from this machine, for backends written before tokens. Default false.
    pub allow_anonymous_loopback: Option<bool>,
}

/// `[geoip]`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawGeoip {
    /// An MMDB with countries (GeoLite2-Country, DB-IP, IPinfo ..).
    pub country: Option<PathBuf>,
    /// An MMDB with cities; read for its countries when `country` is not given.
    pub city: Option<PathBuf>,
    /// An MMDB with autonomous systems.
    pub asn: Option<PathBuf>,
}

/// `[log]`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawLog {
    /// Bytes of events kept on disk; the oldest go first. Default 20 GB.
    pub bytes_max: Option<u64>,
    /// Bytes of one log file. Default 64 MiB.
    pub segment_bytes: Option<u64>,
}

/// `[vault]`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawVault {
    /// Largest captured file taken from a node. Default 100 MiB.
    pub artifact_bytes_max: Option<u64>,
    /// Bytes of all captured files. Default 10 GB; beyond, new ones are refused and counted.
    pub bytes_max: Option<u64>,
}

/// `[api]`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawApi {
    /// TLS on 9002 and 9003: `required`, `optional` or `off`. Default as `tls.mode`.
    pub tls: Option<String>,
    /// Read routes without a token from this machine, for clients written before tokens. Default false.
    pub allow_anonymous_loopback: Option<bool>,
    /// Web origins, beside Core's own, that may open a WebSocket.
    pub origins: Vec<String>,
}

/// How connections are protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    /// TLS 1.3 or nothing.
    Required,
    /// TLS and plain on one port, told apart by the first byte.
    Optional,
    /// Plain only.
    Off,
}

/// Who may become a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnrollmentMode {
    /// An unknown node needs a join token.
    Token,
    /// An unknown node waits until an operator approves it.
    Approve,
    /// Anyone (lab use).
    Open,
}

/// The checked configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// Everything of Core lives here.
    pub data_dir: PathBuf,
    /// Listener for nodes.
    pub node_addr: SocketAddr,
    /// Listener for REST, dashboard and modules over TCP.
    pub api_addr: SocketAddr,
    /// Listener for modules over WebSocket, if any.
    pub ws_addr: Option<SocketAddr>,
    /// TLS on the node port.
    pub tls: TlsMode,
    /// Further names of the server certificate.
    pub tls_names: Vec<String>,
    /// TLS on the API ports.
    pub api_tls: TlsMode,
    /// Enrolment policy.
    pub enrollment: EnrollmentMode,
    /// Log level or filter.
    pub log_level: String,
    /// Folder of log files.
    pub log_folder: Option<PathBuf>,
    /// Colour always.
    pub log_color: bool,
    /// Largest message of a registered node, bytes.
    pub max_frame_bytes: usize,
    /// Node connections in total.
    pub connections_max: usize,
    /// Node connections from one address (loopback is not limited).
    pub connections_per_source_max: usize,
    /// Node connections that have not registered yet.
    pub unregistered_max: usize,
    /// Heartbeat interval asked of nodes.
    pub heartbeat: Duration,
    /// Anonymous modules on loopback.
    pub modules_anonymous_loopback: bool,
    /// Anonymous reads of the REST API on loopback.
    pub api_anonymous_loopback: bool,
    /// Further web origins.
    pub api_origins: Vec<String>,
    /// Country MMDB.
    pub geoip_country: Option<PathBuf>,
    /// ASN MMDB.
    pub geoip_asn: Option<PathBuf>,
    /// Bytes of the event log.
    pub log_bytes_max: u64,
    /// Bytes of one log segment.
    pub log_segment_bytes: u64,
    /// Largest captured file.
    pub artifact_bytes_max: u64,
    /// Bytes of all captured files.
    pub vault_bytes_max: u64,
}

/// One thing that is wrong with the configuration: the key, what is wrong, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct Problem {
    /// Dotted key, e.g. `tls.mode`.
    pub key: &'static str,
    /// A sentence that names the fix.
    pub problem: String,
}

const DEFAULT_LOG_BYTES: u64 = 20_000_000_000;
const DEFAULT_SEGMENT_BYTES: u64 = 64 << 20;
const DEFAULT_ARTIFACT_BYTES: u64 = 100 << 20;
const DEFAULT_VAULT_BYTES: u64 = 10_000_000_000;
const DEFAULT_FRAME_BYTES: usize = 10 << 20;
/// A frame must hold at least one sensible batch.
const FRAME_BYTES_RANGE: std::ops::RangeInclusive<usize> = (64 << 10)..=(32 << 20);
/// Room beside the events of a frame in a log record: lengths, times, defaults of fields that were left out.
const RECORD_OVERHEAD_BYTES: usize = 1 << 20;
/// Room beside one group in a log segment: headers.
pub(crate) const SEGMENT_OVERHEAD_BYTES: usize = 128 << 10;
const SEGMENT_BYTES_MAX: u64 = 1 << 30;

impl Config {
    /// Turns what was typed into what is trusted, or says everything that is wrong with it.
    pub fn check(raw: RawConfig) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut wrong = |key, problem: String| problems.push(Problem { key, problem });

        let host =
            address("server.host", raw.server.host.as_deref(), IpAddr::V4(Ipv4Addr::LOCALHOST), &mut wrong);
        let ws_host = address("proxy.host", raw.proxy.host.as_deref(), host, &mut wrong);
        let tls_default = if host.is_loopback() { TlsMode::Optional } else { TlsMode::Required };
        let tls = tls_mode("tls.mode", raw.tls.mode.as_deref(), tls_default, &mut wrong);
        let api_tls = tls_mode("api.tls", raw.api.tls.as_deref(), tls, &mut wrong);
        if tls == TlsMode::Off && !host.is_loopback() {
            // Allowed, because the field's nodes can be plain; the operator has typed it.
            tracing::warn!(%host, "tls.mode is off on an address that other machines can reach: events and codes travel in the clear");
        }
        let enrollment = enrollment_mode(&raw.enrollment, host, &mut wrong);

        let max_frame_bytes = raw.limits.max_frame_bytes.unwrap_or(DEFAULT_FRAME_BYTES);
        if !FRAME_BYTES_RANGE.contains(&max_frame_bytes) {
            wrong("limits.max_frame_bytes", format!("{max_frame_bytes} is not between 65536 and 33554432"));
        }
        let heartbeat_s = raw.limits.heartbeat_interval_s.unwrap_or(30);
        if !(1..=3_600).contains(&heartbeat_s) {
            wrong("limits.heartbeat_interval_s", format!("{heartbeat_s} is not between 1 and 3600 seconds"));
        }
        let connections_max = raw.limits.connections_max.unwrap_or(20_000);
        if connections_max == 0 {
            wrong("limits.connections_max", "0 would refuse every node".to_owned());
        }
        let log_bytes_max = raw.log.bytes_max.unwrap_or(DEFAULT_LOG_BYTES);
        // A segment holds at least the largest frame with room around it.
        let segment_min =
            (max_frame_bytes.saturating_add(RECORD_OVERHEAD_BYTES + 2 * SEGMENT_OVERHEAD_BYTES)) as u64;
        let log_segment_bytes = raw
            .log
            .segment_bytes
            .unwrap_or_else(|| DEFAULT_SEGMENT_BYTES.min(log_bytes_max / 4).max(segment_min));
        if log_segment_bytes < segment_min || log_segment_bytes > SEGMENT_BYTES_MAX {
            wrong(
                "log.segment_bytes",
                format!(
                    "{log_segment_bytes} is not between {segment_min} (a largest frame) and {SEGMENT_BYTES_MAX}"
                ),
            );
        } else if log_bytes_max < log_segment_bytes.saturating_mul(2) {
            wrong(
                "log.bytes_max",
                format!("{log_bytes_max} holds fewer than two segments of {log_segment_bytes} bytes"),
            );
        }
        let log_level = match (raw.logging.level, raw.server.debug) {
            (Some(level), _) if level.trim().is_empty() => {
                wrong("logging.level", "is empty: write error, warn, info, debug or trace".to_owned());
                String::new()
            }
            (Some(level), _) => level.to_ascii_lowercase(),
            (None, Some(true)) => "debug".to_owned(),
            (None, _) => "info".to_owned(),
        };
        let node_port = raw.server.node_port.unwrap_or(9001);
        let api_port = raw.server.backend_port.unwrap_or(9002);
        let ws_port = raw.proxy.port.unwrap_or(9003);
        let ws_enabled = raw.proxy.enabled.unwrap_or(true);
        if node_port != 0 && node_port == api_port {
            wrong("server.backend_port", format!("{api_port} is the node port already: give each its own"));
        }
        if ws_enabled && ws_port != 0 && ws_host == host && (ws_port == node_port || ws_port == api_port) {
            wrong("proxy.port", format!("{ws_port} is taken by server.node_port or server.backend_port"));
        }

        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self {
            data_dir: raw.data_dir.unwrap_or_else(|| PathBuf::from("honeybee-data")),
            node_addr: SocketAddr::new(host, node_port),
            api_addr: SocketAddr::new(host, api_port),
            ws_addr: ws_enabled.then(|| SocketAddr::new(ws_host, ws_port)),
            tls,
            tls_names: raw.tls.names,
            api_tls,
            enrollment,
            log_level,
            log_folder: raw.logging.folder,
            log_color: raw.logging.force_color.unwrap_or(false),
            max_frame_bytes,
            connections_max,
            connections_per_source_max: raw.limits.connections_per_source_max.unwrap_or(1_000).max(1),
            unregistered_max: raw.limits.unregistered_max.unwrap_or(1_024).max(1),
            heartbeat: Duration::from_secs(u64::from(heartbeat_s)),
            modules_anonymous_loopback: raw.modules.allow_anonymous_loopback.unwrap_or(false),
            api_anonymous_loopback: raw.api.allow_anonymous_loopback.unwrap_or(false),
            api_origins: raw.api.origins,
            geoip_country: raw.geoip.country.or(raw.geoip.city),
            geoip_asn: raw.geoip.asn,
            log_bytes_max,
            log_segment_bytes,
            artifact_bytes_max: raw.vault.artifact_bytes_max.unwrap_or(DEFAULT_ARTIFACT_BYTES),
            vault_bytes_max: raw.vault.bytes_max.unwrap_or(DEFAULT_VAULT_BYTES),
        })
    }

    /// The folder of Core inside the data directory.
    pub fn core_dir(&self) -> PathBuf {
        self.data_dir.join("core")
    }

    /// Largest record of the event log: a largest frame, stored.
    pub(crate) fn record_bytes_max(&self) -> usize {
        self.max_frame_bytes.saturating_add(RECORD_OVERHEAD_BYTES)
    }
}

fn address(
    key: &'static str,
    typed: Option<&str>,
    default: IpAddr,
    wrong: &mut impl FnMut(&'static str, String),
) -> IpAddr {
    match typed.map(str::trim) {
        None => default,
        Some("localhost") => IpAddr::V4(Ipv4Addr::LOCALHOST),
        Some(text) => text.parse().unwrap_or_else(|_| {
            wrong(key, format!("\"{text}\" is not an IP address; write one, e.g. 127.0.0.1 or 0.0.0.0"));
            default
        }),
    }
}

fn tls_mode(
    key: &'static str,
    typed: Option<&str>,
    default: TlsMode,
    wrong: &mut impl FnMut(&'static str, String),
) -> TlsMode {
    match typed {
        None => default,
        Some("required") => TlsMode::Required,
        Some("optional") => TlsMode::Optional,
        Some("off") => TlsMode::Off,
        Some(other) => {
            wrong(key, format!("\"{other}\" is not a mode; write required, optional or off"));
            default
        }
    }
}

fn enrollment_mode(
    raw: &RawEnrollment,
    host: IpAddr,
    wrong: &mut impl FnMut(&'static str, String),
) -> EnrollmentMode {
    match raw.mode.as_deref() {
        None | Some("token") => EnrollmentMode::Token,
        Some("approve") => EnrollmentMode::Approve,
        Some("open") => {
            if !host.is_loopback() && raw.open_off_loopback != Some(true) {
                wrong(
                    "enrollment.mode",
                    format!(
                        "\"open\" on {host} lets any machine become a node; use token or approve, or set enrollment.open_off_loopback = true"
                    ),
                );
            }
            EnrollmentMode::Open
        }
        Some(other) => {
            wrong("enrollment.mode", format!("\"{other}\" is not a mode; write token, approve or open"));
            EnrollmentMode::Token
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<Config, Vec<Problem>> {
        Config::check(toml::from_str(text).unwrap())
    }

    fn problem_keys(text: &str) -> Vec<&'static str> {
        check(text).unwrap_err().into_iter().map(|problem| problem.key).collect()
    }

    #[test]
    fn an_empty_file_is_a_safe_core_on_loopback() {
        let config = check("").unwrap();
        assert_eq!(config.node_addr, "127.0.0.1:9001".parse().unwrap());
        assert_eq!(config.api_addr, "127.0.0.1:9002".parse().unwrap());
        assert_eq!(config.ws_addr, Some("127.0.0.1:9003".parse().unwrap()));
        assert_eq!((config.tls, config.enrollment), (TlsMode::Optional, EnrollmentMode::Token));
        assert!(!config.modules_anonymous_loopback && !config.api_anonymous_loopback);
    }

    #[test]
    fn a_file_of_the_field_is_read_with_its_meaning() {
        let config = check(
            "[server]\nhost = \"127.0.0.1\"\nnode_port = 19001\nbackend_port = 19002\ndebug = true\n\
             [logging]\nfolder = \"logs\"\nforce_color = true\n\
             [proxy]\nenabled = true\nhost = \"0.0.0.0\"\nport = 19003\n",
        )
        .unwrap();
        assert_eq!(config.node_addr.port(), 19001);
        assert_eq!(config.ws_addr, Some("0.0.0.0:19003".parse().unwrap()));
        assert_eq!((config.log_level.as_str(), config.log_color), ("debug", true));
        assert_eq!(check("[proxy]\nenabled = false").unwrap().ws_addr, None);
        assert_eq!(check("[server]\ndebug=true\n[logging]\nlevel=\"WARN\"").unwrap().log_level, "warn");
    }

    #[test]
    fn off_loopback_tls_is_required_and_open_enrolment_must_be_forced_by_name() {
        assert_eq!(check("[server]\nhost=\"0.0.0.0\"").unwrap().tls, TlsMode::Required);
        assert_eq!(check("[server]\nhost=\"::1\"").unwrap().tls, TlsMode::Optional);
        assert_eq!(
            check("[server]\nhost=\"localhost\"\n[enrollment]\nmode=\"open\"").unwrap().enrollment,
            EnrollmentMode::Open
        );
        let open = "[server]\nhost=\"0.0.0.0\"\n[enrollment]\nmode=\"open\"\n";
        assert_eq!(problem_keys(open), ["enrollment.mode"]);
        assert!(check(&format!("{open}open_off_loopback=true")).is_ok());
    }

    #[test]
    fn all_problems_are_said_at_once_with_their_keys() {
        let keys = problem_keys(
            "[server]\nhost=\"here\"\nnode_port=9002\n[tls]\nmode=\"maybe\"\n[enrollment]\nmode=\"x\"\n\
             [limits]\nmax_frame_bytes=1\nheartbeat_interval_s=0\n[log]\nbytes_max=1\n",
        );
        assert_eq!(
            keys,
            [
                "server.host",
                "tls.mode",
                "enrollment.mode",
                "limits.max_frame_bytes",
                "limits.heartbeat_interval_s",
                "log.bytes_max",
                "server.backend_port"
            ]
        );
    }

    #[test]
    fn unknown_keys_are_refused() {
        let error = toml::from_str::<RawConfig>("[server]\nhots = \"x\"").unwrap_err();
        assert!(error.to_string().contains("hots"), "{error}");
    }
}
