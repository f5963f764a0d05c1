//! The node's configuration: read from a file, checked, and turned into what the daemon trusts.
//!
//! Checking touches nothing; it reads the config file and, for a node that has joined before, its identity.

mod example;
mod raw;

use std::{
    collections::BTreeMap,
    env, fmt,
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use bee_daemon::{
    config::{ConfigError as LoadError, Format, Loaded, Loader, Problem},
    listen::is_loopback,
    logging::{self, Logging},
    secret_file,
};
use bee_wire::{
    ErrorCode, JoinCode, Secret,
    id::is_pot_id,
    limits::{NODE_NAME_BYTES_MAX, POT_LINE_BYTES_MAX},
    node::{NodeType, feature},
};
use serde_json::{Map, Value};

pub use example::EXAMPLE;
pub use raw::RawConfig;

use crate::{
    intake::IntakeConfig,
    pots::{DeclaredPot, PotsConfig, settings},
    spool::SpoolConfig,
    state::Identity,
};

/// Where the config file is looked for when none is named.
pub const DEFAULT_PATH: &str = "configs/config.yaml";
/// In the state directory: what Core changed with `UpdateConfig`, on top of the config file.
const OVERRIDE_FILE: &str = "override.yaml";
/// Sections that Core may change. Link, identity and state are the operator's of this machine: a mistake there would
/// cut the node off, and nobody could undo it from afar.
const OVERRIDABLE: [&str; 6] = ["log", "honeypot", "pots", "intake", "spool", "features"];

/// Environment variables with this prefix set keys: `HONEYBEE_NODE_SERVER__ADDRESS`.
pub const ENV_PREFIX: &str = "HONEYBEE_NODE_";

/// What the daemon runs with. Build it from a file with [`Config::load`], or in code with [`Config::new`].
#[derive(Debug, Clone)]
pub struct Config {
    /// The node's name.
    pub name: String,
    /// What it is able to do.
    pub node_type: NodeType,
    /// Where it says it can be reached.
    pub address: String,
    /// See `address`.
    pub port: u16,
    /// Free labels.
    pub labels: BTreeMap<String, String>,
    /// What must not be lost.
    pub state_dir: PathBuf,
    /// Core's addresses, the best one first; never empty.
    pub servers: Vec<String>,
    /// How often to send a heartbeat unless Core says otherwise.
    pub heartbeat_interval: Duration,
    /// First pause before connecting again.
    pub reconnect_delay: Duration,
    /// Longest pause.
    pub reconnect_delay_max: Duration,
    /// Limit for connecting and for the handshake.
    pub connection_timeout: Duration,
    /// Limit for one write.
    pub write_timeout: Duration,
    /// Encryption of the link.
    pub tls: TlsConfig,
    /// Whether TOTP codes are sent and their secret kept.
    pub totp_enabled: bool,
    /// Where the TOTP secret file lies.
    pub totp_secret_dir: PathBuf,
    /// Used until the node is in.
    pub join_code: Option<JoinCode>,
    /// Extensions offered to Core.
    pub features: Vec<String>,
    /// Port 9100.
    pub intake: IntakeConfig,
    /// The spool.
    pub spool: SpoolConfig,
    /// Pots.
    pub pots: PotsConfig,
    /// Logging, for binaries that set it up.
    pub logging: Logging,
    /// Where this came from, to read it again; `None` for a config made in code.
    pub source: Option<Source>,
}

/// A config file that can be read again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Source {
    /// The file named by the operator; `None` for [`DEFAULT_PATH`], which may be missing.
    pub path: Option<PathBuf>,
    /// The flag `--state-dir`.
    pub state_dir: Option<PathBuf>,
}

/// Encryption of the link.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsConfig {
    /// `None`: on, except to a Core on loopback whose CA is not known.
    pub enabled: Option<bool>,
    /// Trust any certificate.
    pub insecure_skip_verify: bool,
    /// The name that Core's certificate must carry, if not the usual one.
    pub server_name: Option<String>,
    /// A client certificate of the operator's own, and its key.
    pub client_files: Option<(PathBuf, PathBuf)>,
    /// The CA to trust instead of the one from the join.
    pub ca_file: Option<PathBuf>,
}

/// Why there is no usable configuration. Its text begins with the code.
#[derive(Debug, thiserror::Error)]
pub struct ConfigError {
    /// One of the CONFIG_ codes, EMPTY_NODE_NAME, INVALID_NODE_TYPE or EMPTY_SERVER_ADDR.
    pub code: ErrorCode,
    /// What is wrong, with file, line and key where they are known.
    pub text: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.text)
    }
}

impl From<LoadError> for ConfigError {
    fn from(error: LoadError) -> Self {
        let code = match &error {
            LoadError::Read { .. } => ErrorCode::ConfigReadFailed,
            LoadError::UnknownFormat { .. } | LoadError::NotConfig { .. } | LoadError::Syntax(_) => {
                ErrorCode::ConfigParseFailed
            }
            LoadError::Invalid(_) => ErrorCode::ConfigInvalid,
        };
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        Self { code, text: format!("{error}{cause}") }
    }
}

impl Config {
    /// A node with the defaults; for `honeybee up`, tests and other embedders.
    pub fn new(name: impl Into<String>, server: impl Into<String>, state_dir: impl Into<PathBuf>) -> Self {
        let state_dir = state_dir.into();
        let raw = RawConfig::default();
        Self {
            name: name.into(),
            node_type: NodeType::Full,
            address: raw.node.address,
            port: raw.node.port,
            labels: raw.node.labels,
            servers: vec![server.into()],
            heartbeat_interval: Duration::from_secs(raw.server.heartbeat_interval),
            reconnect_delay: Duration::from_secs(raw.server.reconnect_delay),
            reconnect_delay_max: Duration::from_secs(raw.server.reconnect_delay_max),
            connection_timeout: Duration::from_secs(raw.server.connection_timeout),
            write_timeout: Duration::from_secs(raw.server.write_timeout),
            tls: TlsConfig::default(),
            totp_enabled: raw.auth.totp_enabled,
            totp_secret_dir: state_dir.clone(),
            join_code: None,
            features: feature::ALL.iter().map(|name| (*name).to_owned()).collect(),
            intake: IntakeConfig {
                port: raw.intake.event_port,
                connections_max: raw.intake.connections_max,
                line_bytes_max: raw.intake.line_bytes_max,
                line_time_max: Duration::from_secs(raw.intake.line_seconds_max),
            },
            spool: SpoolConfig {
                state_dir: state_dir.clone(),
                bytes_max: raw.spool.bytes_max,
                segment_bytes_max: raw.spool.segment_bytes_max,
            },
            pots: PotsConfig {
                base_dir: state_dir.join("pots"),
                state_dir: state_dir.clone(),
                enabled: raw.honeypot.enabled,
                listen_address: raw.honeypot.listen_address,
                default_ports: BTreeMap::new(),
                stop_grace: Duration::from_secs(raw.honeypot.stop_grace),
                program: own_program(),
                program_args: Vec::new(),
                declared: Vec::new(),
                persona_seed: String::new(),
            },
            logging: Logging::default(),
            source: None,
            state_dir,
        }
    }

    /// Reads and checks a config file, with what Core changed and the environment on top. `None` reads
    /// [`DEFAULT_PATH`] if it exists.
    ///
    /// # Errors
    /// Everything that is wrong with it, all at once where possible.
    pub fn load(path: Option<&Path>) -> Result<Self, ConfigError> {
        Self::load_with(path, None)
    }

    /// The same with the flag `--state-dir`, which wins over the file.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_with(path: Option<&Path>, state_dir: Option<&Path>) -> Result<Self, ConfigError> {
        Source { path: path.map(Path::to_owned), state_dir: state_dir.map(Path::to_owned) }.load()
    }

    /// Reads and checks a text as if it were the config file `name`.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn from_yaml(name: &str, text: &str) -> Result<Self, ConfigError> {
        Self::check(&Loader::new().text(Format::Yaml, name, text)?.load()?)
    }

    /// Turns what was typed into what is trusted.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn check(loaded: &Loaded<RawConfig>) -> Result<Self, ConfigError> {
        Check { loaded, raw: &loaded.value, problems: Vec::new() }.run()
    }
}

impl Source {
    /// Reads and checks the config as [`Config::load`] does.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load(&self) -> Result<Config, ConfigError> {
        let plain = Config::check(&self.loader(None)?.load()?)?;
        let config = match std::fs::read_to_string(plain.state_dir.join(OVERRIDE_FILE)) {
            Ok(changes) => Config::check(&self.loader(Some(&changes))?.load()?)?,
            Err(_) => plain,
        };
        Ok(Config { source: Some(self.clone()), ..config })
    }

    fn loader(&self, changes: Option<&str>) -> Result<Loader, ConfigError> {
        let default = Path::new(DEFAULT_PATH);
        let mut loader = Loader::new();
        match &self.path {
            Some(path) => loader = loader.file(path)?,
            None if default.exists() => loader = loader.file(default)?,
            None => {}
        }
        if let Some(changes) = changes {
            loader = loader.text(Format::Yaml, OVERRIDE_FILE, changes)?;
        }
        loader = loader.env(ENV_PREFIX, env::vars());
        if let Some(dir) = &self.state_dir {
            loader = loader.flag("--state-dir", "state_dir", dir.display());
        }
        Ok(loader)
    }
}

/// Checks the config file again, with `changes` from Core on top if there are any, and keeps those for the next start.
///
/// # Errors
/// The config would not be usable; nothing was changed then.
pub fn apply_override(source: &Source, state_dir: &Path, changes: Option<&Value>) -> Result<(), ConfigError> {
    let path = state_dir.join(OVERRIDE_FILE);
    let Some(changes) = changes.filter(|changes| !changes.is_null()) else {
        return source.load().map(drop);
    };
    let invalid = |text: String| ConfigError { code: ErrorCode::ConfigInvalid, text };
    let sections =
        changes.as_object().ok_or_else(|| invalid("the new config must be an object of sections".into()))?;
    if let Some(section) = sections.keys().find(|section| !OVERRIDABLE.contains(&section.as_str())) {
        let text =
            format!("`{section}` cannot be changed from Core; it can change {}", OVERRIDABLE.join(", "));
        return Err(invalid(text));
    }
    // JSON is YAML.
    let text = changes.to_string();
    Config::check(&source.loader(Some(&text))?.load()?)?;
    secret_file::write(&path, text.as_bytes())
        .map_err(|error| ConfigError { code: ErrorCode::CommandFailed, text: error.to_string() })
}

struct Check<'a> {
    loaded: &'a Loaded<RawConfig>,
    raw: &'a RawConfig,
    problems: Vec<(ErrorCode, Problem)>,
}

impl Check<'_> {
    fn run(mut self) -> Result<Config, ConfigError> {
        let raw = self.raw;
        let state_dir = raw.state_dir.clone().unwrap_or_else(default_state_dir);
        let identity = match Identity::peek(&state_dir) {
            Ok(identity) => identity,
            Err(error) => {
                self.wrong("state_dir", format!("cannot be used: {error:#}"));
                None
            }
        };
        let mut config = Config::new(self.name(identity.as_ref()), "", &state_dir);
        config.node_type = self.node_type();
        config.address.clone_from(&raw.node.address);
        config.port = raw.node.port;
        config.labels.clone_from(&raw.node.labels);
        config.join_code = self.join_code();
        config.servers = self.servers(config.join_code.as_ref(), identity.as_ref());
        config.heartbeat_interval =
            self.seconds("server.heartbeat_interval", raw.server.heartbeat_interval, 1, 3600);
        config.reconnect_delay = self.seconds("server.reconnect_delay", raw.server.reconnect_delay, 1, 3600);
        config.reconnect_delay_max = self
            .seconds("server.reconnect_delay_max", raw.server.reconnect_delay_max, 1, 86_400)
            .max(config.reconnect_delay);
        config.connection_timeout =
            self.seconds("server.connection_timeout", raw.server.connection_timeout, 1, 600);
        config.write_timeout = self.seconds("server.write_timeout", raw.server.write_timeout, 1, 600);
        config.tls = self.tls(&config.servers);
        config.totp_enabled = raw.auth.totp_enabled;
        config.totp_secret_dir = match (&raw.auth.totp_secret_dir, &raw.state_dir) {
            (Some(dir), _) => dir.clone(),
            (None, Some(_)) => state_dir,
            // A join leaves the secret beside the rest of what it keeps.
            (None, None) if state_dir.join(crate::state::TOTP_SECRET_FILE).exists() => state_dir,
            (None, None) => user_config_dir(),
        };
        config.features = self.features();
        config.intake = self.intake();
        config.spool = SpoolConfig { state_dir: config.state_dir.clone(), ..self.spool() };
        config.pots = self.pots(&config);
        config.logging = Logging {
            level: raw.log.level.clone(),
            format: raw.log.format,
            file: raw.log.file.clone(),
            ..Logging::default()
        };
        if let Err(error) = logging::check_level(&raw.log.level) {
            self.wrong("log.level", error.to_string());
        }
        match self.problems.first() {
            None => Ok(config),
            Some((code, _)) => Err(ConfigError {
                code: *code,
                text: self
                    .problems
                    .iter()
                    .map(|(_, problem)| problem.to_string())
                    .collect::<Vec<_>>()
                    .join("\n"),
            }),
        }
    }

    fn name(&mut self, identity: Option<&Identity>) -> String {
        let name = match &self.raw.node.name {
            Some(name) => name.trim().to_owned(),
            None => identity.and_then(|identity| identity.name.clone()).unwrap_or_else(hostname),
        };
        if name.is_empty() {
            self.wrong_as(
                ErrorCode::EmptyNodeName,
                "node.name",
                "is empty; give this node a name that is unique in its Core",
            );
        } else if name.len() > NODE_NAME_BYTES_MAX || name.chars().any(char::is_control) {
            let text = format!("must be at most {NODE_NAME_BYTES_MAX} bytes without control characters");
            self.wrong("node.name", text);
        }
        name
    }

    fn node_type(&mut self) -> NodeType {
        let kind = self.raw.node.kind.trim();
        match NodeType::ALL.iter().find(|known| known.as_str().eq_ignore_ascii_case(kind)) {
            Some(known) => *known,
            None => {
                let text = format!("is {kind:?}; it must be Full or Agent");
                self.wrong_as(ErrorCode::InvalidNodeType, "node.type", text);
                NodeType::Full
            }
        }
    }

    fn join_code(&mut self) -> Option<JoinCode> {
        let code = self.raw.enrollment.join_code.expose();
        if code.trim().is_empty() {
            return None;
        }
        match code.parse() {
            Ok(code) => Some(code),
            Err(error) => {
                self.wrong("enrollment.join_code", format!("cannot be used: {error}"));
                None
            }
        }
    }

    fn servers(&mut self, code: Option<&JoinCode>, identity: Option<&Identity>) -> Vec<String> {
        if let Some(address) = &self.raw.server.address {
            let address = address.trim().to_owned();
            if address.is_empty() {
                self.wrong_as(
                    ErrorCode::EmptyServerAddr,
                    "server.address",
                    "is empty; give Core's address as HOST:9001",
                );
            } else if !is_host_port(&address) {
                self.wrong(
                    "server.address",
                    format!("is {address:?}; it must be HOST:PORT, for example core.example:9001"),
                );
            }
            return vec![address];
        }
        let known = code
            .map(|code| code.addresses.clone())
            .filter(|_| identity.is_none_or(|known| known.servers.is_empty()));
        let servers = known.or_else(|| identity.map(|known| known.servers.clone())).unwrap_or_default();
        if servers.is_empty() {
            self.wrong_as(
                ErrorCode::EmptyServerAddr,
                "server.address",
                "is missing; give Core's address as HOST:9001, or a code from `honeybee invite` as enrollment.join_code",
            );
        }
        servers
    }

    fn tls(&mut self, servers: &[String]) -> TlsConfig {
        let raw = &self.raw.tls;
        let is_remote = servers.iter().any(|server| !is_loopback_address(server));
        if raw.enabled == Some(false) && is_remote && !raw.allow_plaintext {
            self.wrong(
                "tls.enabled",
                "is false, but Core is on another machine: turn TLS on, or set tls.allow_plaintext to send everything in the clear",
            );
        }
        let client_files = match (&raw.cert_file, &raw.key_file) {
            (Some(cert), Some(key)) => Some((cert.clone(), key.clone())),
            (None, None) => None,
            (Some(_), None) => {
                self.wrong("tls.cert_file", "is set without tls.key_file; both are needed");
                None
            }
            (None, Some(_)) => {
                self.wrong("tls.key_file", "is set without tls.cert_file; both are needed");
                None
            }
        };
        for (key, file) in [
            ("tls.ca_file", &raw.ca_file),
            ("tls.cert_file", &raw.cert_file),
            ("tls.key_file", &raw.key_file),
        ] {
            if let Some(path) = file.as_ref().filter(|path| !path.is_file()) {
                self.wrong(key, format!("is {}, which is no file", path.display()));
            }
        }
        TlsConfig {
            enabled: raw.enabled,
            insecure_skip_verify: raw.insecure_skip_verify,
            server_name: raw.server_name.clone().filter(|name| !name.is_empty()),
            client_files,
            ca_file: raw.ca_file.clone(),
        }
    }

    fn features(&self) -> Vec<String> {
        let raw = &self.raw.features;
        [
            (feature::BATCH, raw.batch),
            (feature::COMMAND_RESULT, raw.command_result),
            (feature::ARTIFACTS, raw.artifacts),
            (feature::TOTP_REQUEST, raw.totp_request),
            (feature::ERRORS, raw.errors),
        ]
        .into_iter()
        .filter(|(_, on)| *on)
        .map(|(name, _)| name.to_owned())
        .collect()
    }

    fn intake(&mut self) -> IntakeConfig {
        let raw = &self.raw.intake;
        if raw.connections_max == 0 {
            self.wrong("intake.connections_max", "must be at least 1");
        }
        if !(1024..=POT_LINE_BYTES_MAX).contains(&raw.line_bytes_max) {
            self.wrong("intake.line_bytes_max", format!("must be from 1024 to {POT_LINE_BYTES_MAX}"));
        }
        IntakeConfig {
            port: raw.event_port,
            connections_max: raw.connections_max,
            line_bytes_max: raw.line_bytes_max,
            line_time_max: self.seconds("intake.line_seconds_max", raw.line_seconds_max, 1, 86_400),
        }
    }

    fn spool(&mut self) -> SpoolConfig {
        let raw = &self.raw.spool;
        if raw.segment_bytes_max < SpoolConfig::SEGMENT_BYTES_MIN {
            self.wrong(
                "spool.segment_bytes_max",
                format!("must be at least {}", SpoolConfig::SEGMENT_BYTES_MIN),
            );
        }
        if raw.bytes_max < raw.segment_bytes_max.saturating_mul(2) {
            self.wrong(
                "spool.bytes_max",
                "must be at least twice spool.segment_bytes_max: whole segments are dropped",
            );
        }
        SpoolConfig {
            state_dir: PathBuf::new(),
            bytes_max: raw.bytes_max,
            segment_bytes_max: raw.segment_bytes_max,
        }
    }

    fn pots(&mut self, config: &Config) -> PotsConfig {
        let raw = &self.raw.honeypot;
        let default_ports = [
            ("ssh", raw.default_ssh_port),
            ("telnet", raw.default_telnet_port),
            ("http", raw.default_http_port),
        ]
        .into_iter()
        .filter_map(|(kind, port)| Some((kind.to_owned(), port?)))
        .collect();
        let mut pots = PotsConfig {
            enabled: raw.enabled && config.node_type == NodeType::Full,
            base_dir: raw.base_dir.clone().unwrap_or_else(|| config.state_dir.join("pots")),
            listen_address: raw.listen_address,
            default_ports,
            stop_grace: self.seconds("honeypot.stop_grace", raw.stop_grace, 0, 600),
            ..config.pots.clone()
        };
        if self.raw.pots.len() > crate::limits::POTS_MAX {
            self.wrong("pots", format!("has more than {} entries", crate::limits::POTS_MAX));
        }
        for (at, pot) in self.raw.pots.iter().enumerate() {
            match self.pot(&pots, pot) {
                Ok(declared) => pots.declared.push(declared),
                Err(why) => self.wrong(&format!("pots[{at}]"), why),
            }
        }
        pots
    }

    fn pot(&self, pots: &PotsConfig, raw: &raw::RawPot) -> Result<DeclaredPot, String> {
        if !is_pot_id(&raw.id) {
            return Err(format!(
                "has the id {:?}; use 1 to 64 of A-Z a-z 0-9 . _ -, not starting with . or -",
                raw.id
            ));
        }
        if pots.declared.iter().any(|other| other.pot_id == raw.id) {
            return Err(format!("has the id {:?}, which another pot has", raw.id));
        }
        let mut given: Map<String, Value> =
            raw.config.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        if let Some(listen) = &raw.listen {
            given.insert("listen".into(), Value::String(listen.clone()));
        }
        let kinds = bee_pots::kinds();
        let info = kinds.iter().find(|info| info.name == raw.kind).ok_or_else(|| {
            let names: Vec<&str> = kinds.iter().map(|info| info.name).collect();
            format!("has the type {:?}; it must be one of {}", raw.kind, names.join(", "))
        })?;
        let port = pots.default_ports.get(&raw.kind).copied().unwrap_or(info.default_port);
        settings::read(info, &given, (pots.listen_address, port).into())?;
        Ok(DeclaredPot {
            pot_id: raw.id.clone(),
            kind: raw.kind.clone(),
            enabled: raw.enabled,
            settings: given,
        })
    }

    fn seconds(&mut self, key: &str, value: u64, least: u64, most: u64) -> Duration {
        if !(least..=most).contains(&value) {
            self.wrong(key, format!("is {value}; it must be {least} to {most} seconds"));
        }
        Duration::from_secs(value)
    }

    fn wrong(&mut self, key: &str, text: impl Into<String>) {
        self.wrong_as(ErrorCode::ConfigInvalid, key, text);
    }

    fn wrong_as(&mut self, code: ErrorCode, key: &str, text: impl Into<String>) {
        self.problems.push((code, self.loaded.problem(key, text)));
    }
}

/// The join code's secret as it goes into a registration.
pub(crate) fn enrollment_token(code: &JoinCode) -> Secret {
    code.secret.clone()
}

/// Whether `host:port` is on this machine.
pub fn is_loopback_address(address: &str) -> bool {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(is_loopback)
}

/// Where the state lies unless the config says otherwise.
pub fn default_state_dir() -> PathBuf {
    if rustix::process::geteuid().is_root() {
        return PathBuf::from("/var/lib/honeybee-node");
    }
    let base = env::var_os("XDG_STATE_HOME").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    base.unwrap_or_else(|| home().join(".local/state")).join("honeybee-node")
}

fn user_config_dir() -> PathBuf {
    let base = env::var_os("XDG_CONFIG_HOME").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    base.unwrap_or_else(|| home().join(".config")).join("honeybee")
}

fn home() -> PathBuf {
    env::var_os("HOME").map_or_else(|| PathBuf::from("/"), PathBuf::from)
}

/// This machine's name.
pub fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The running program, which also runs the traps. A program that was replaced by an update runs on from memory.
fn own_program() -> PathBuf {
    match env::current_exe() {
        Ok(path) if path.exists() => path,
        _ => PathBuf::from("/proc/self/exe"),
    }
}

fn is_host_port(address: &str) -> bool {
    address
        .rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = "node: {name: edge}\nserver: {address: '127.0.0.1:9001'}\n";

    fn check(text: &str) -> Result<Config, ConfigError> {
        let dir = tempfile::tempdir().unwrap();
        let text = format!("{text}\nstate_dir: {}\n", dir.path().display());
        let config = Config::from_yaml("node.yaml", &text);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "checking touches nothing");
        config
    }

    fn check_error(text: &str, code: ErrorCode, says: &str) {
        let error = check(text).unwrap_err();
        assert_eq!(error.code, code, "{error}");
        assert!(error.to_string().starts_with(code.as_str()), "{error}");
        assert!(error.to_string().contains(says), "{error}");
    }

    #[test]
    fn the_example_is_valid_and_says_what_the_defaults_are() {
        let config = check(EXAMPLE).unwrap();
        let plain = check("node: {name: my-node}\nserver: {address: '127.0.0.1:9001'}").unwrap();
        assert_eq!(config.features, plain.features);
        assert_eq!(config.intake, plain.intake);
        assert_eq!(config.tls, plain.tls);
        assert_eq!(config.heartbeat_interval, plain.heartbeat_interval);
        assert_eq!(config.reconnect_delay_max, plain.reconnect_delay_max);
        assert_eq!(config.spool.bytes_max, plain.spool.bytes_max);
        assert_eq!(config.pots.stop_grace, plain.pots.stop_grace);
        assert_eq!(config.name, "my-node");
    }

    #[test]
    fn a_file_of_the_fields_go_node_is_read_with_its_meaning() {
        let config = check(
            "node:\n  name: edge\n  type: Agent\n  address: 10.0.0.9\n  port: 7000\n\
             server:\n  address: \"127.0.0.1:9001\"\n  heartbeat_interval: 15\n  reconnect_delay: 3\n  connection_timeout: 4\n\
             tls:\n  enabled: false\n  insecure_skip_verify: true\n  server_name: core\n\
             auth:\n  totp_enabled: false\n  totp_secret_dir: /tmp/totp\n\
             log:\n  level: debug\n  format: json\n\
             honeypot:\n  enabled: true\n  base_dir: /tmp/pots\n  default_ssh_port: 2200\n  default_telnet_port: 2300\n",
        )
        .unwrap();
        assert_eq!((config.name.as_str(), config.node_type), ("edge", NodeType::Agent));
        assert_eq!((config.address.as_str(), config.port), ("10.0.0.9", 7000));
        assert_eq!(config.heartbeat_interval, Duration::from_secs(15));
        assert_eq!(config.reconnect_delay, Duration::from_secs(3));
        assert_eq!(config.connection_timeout, Duration::from_secs(4));
        assert_eq!(config.tls.enabled, Some(false));
        assert_eq!(config.tls.server_name.as_deref(), Some("core"));
        assert!(config.tls.insecure_skip_verify && !config.totp_enabled);
        assert_eq!(config.totp_secret_dir, Path::new("/tmp/totp"));
        assert_eq!(config.pots.base_dir, Path::new("/tmp/pots"));
        assert_eq!(config.pots.default_ports.get("telnet"), Some(&2300));
        assert!(!config.pots.enabled, "an Agent runs no pots");
    }

    #[test]
    fn the_fields_error_codes_are_given() {
        let server = "server: {address: '127.0.0.1:9001'}";
        check_error(
            &format!("node: {{name: ''}}\n{server}"),
            ErrorCode::EmptyNodeName,
            "node.yaml:1: `node.name`",
        );
        check_error(
            &format!("node: {{name: edge, type: Fool}}\n{server}"),
            ErrorCode::InvalidNodeType,
            "Full or Agent",
        );
        check_error("node: {name: edge}", ErrorCode::EmptyServerAddr, "honeybee invite");
        check_error(
            "node: {name: edge}\nserver: {address: ''}",
            ErrorCode::EmptyServerAddr,
            "server.address",
        );
        check_error("node: [", ErrorCode::ConfigParseFailed, "node.yaml");
        let error = Config::load(Some(Path::new("/nonexistent/config.yaml"))).unwrap_err();
        assert_eq!(error.code, ErrorCode::ConfigReadFailed, "{error}");
    }

    #[test]
    fn unknown_keys_and_bad_values_name_key_line_and_fix() {
        check_error(
            &format!("{LEAST}\nspool: {{byte_max: 1}}"),
            ErrorCode::ConfigInvalid,
            "did you mean `spool.bytes_max`?",
        );
        for (text, says) in [
            ("server: {address: nowhere}", "HOST:PORT"),
            ("server: {address: '127.0.0.1:9001', heartbeat_interval: 0}", "server.heartbeat_interval"),
            ("spool: {bytes_max: 17000000, segment_bytes_max: 16777216}", "twice"),
            ("pots: [{id: a, type: smb}]", "ssh, telnet, http"),
            ("pots: [{id: ../a, type: ssh}]", "pots[0]"),
            ("pots: [{id: a, type: ssh}, {id: a, type: ssh}]", "another pot"),
            ("pots: [{id: a, type: ssh, config: {hostnam: x}}]", "`hostname`"),
            ("log: {level: loud}", "log.level"),
            ("enrollment: {join_code: hb1_xx}", "damaged"),
            ("tls: {cert_file: /dev/null}", "tls.key_file"),
        ] {
            let server =
                if text.starts_with("server") { "" } else { "server: {address: '127.0.0.1:9001'}\n" };
            check_error(&format!("node: {{name: edge}}\n{server}{text}"), ErrorCode::ConfigInvalid, says);
        }
    }

    #[test]
    fn plain_text_to_another_machine_has_to_be_wanted() {
        let node = "node: {name: edge}\nserver: {address: 'core.example:9001'}\n";
        check_error(
            &format!("{node}tls: {{enabled: false}}"),
            ErrorCode::ConfigInvalid,
            "tls.allow_plaintext",
        );
        assert!(check(&format!("{node}tls: {{enabled: false, allow_plaintext: true}}")).is_ok());
        assert!(check(node).is_ok());
    }

    #[test]
    fn core_may_change_pots_but_not_the_link() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("node.yaml");
        std::fs::write(&file, format!("{LEAST}state_dir: {}\n", dir.path().join("state").display())).unwrap();
        let source = Source { path: Some(file.clone()), state_dir: None };
        let state_dir = dir.path().join("state");
        std::fs::create_dir(&state_dir).unwrap();
        let apply = |changes: Value| apply_override(&source, &state_dir, Some(&changes));
        let refused = apply(serde_json::json!({"server": {"address": "evil:1"}})).unwrap_err();
        assert!(refused.text.contains("`server`"), "{refused}");
        assert!(apply(serde_json::json!({"pots": [{"id": "a", "type": "smb"}]})).is_err());
        assert!(Config::load(Some(&file)).unwrap().pots.declared.is_empty());
        apply(serde_json::json!({"pots": [{"id": "a", "type": "ssh"}], "log": {"level": "debug"}})).unwrap();
        let config = Config::load(Some(&file)).unwrap();
        assert_eq!(config.pots.declared.len(), 1);
        assert_eq!(config.logging.level, "debug");
        assert_eq!(config.source, Some(source.clone()));
    }

    #[test]
    fn loopback_is_recognised_in_each_spelling() {
        for address in ["localhost:1", "127.0.0.1:1", "[::1]:1", "127.9.9.9:1"] {
            assert!(is_loopback_address(address), "{address}");
        }
        for address in ["10.0.0.1:1", "core.example:1", "localhost.evil:1"] {
            assert!(!is_loopback_address(address), "{address}");
        }
    }
}
