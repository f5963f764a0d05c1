//! What an operator can configure, per trap. Unknown keys are errors; every key has a default.
//!
//! The node hands the configuration over as one JSON object. `help` gives each key its sentence for forms and help pages.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::auth::AuthConfig;

/// A configuration that cannot be used. The text names the key.
#[derive(Debug, thiserror::Error)]
#[error("the configuration of the {kind} trap cannot be used: {reason}")]
pub struct ConfigError {
    /// Which trap.
    pub kind: &'static str,
    /// What is wrong, and what would be right.
    pub reason: String,
}

/// Reads a trap's configuration. `null` and `{}` are the defaults.
///
/// # Errors
/// An unknown key, a value of the wrong type or out of range; the text names the key.
pub fn parse<C: DeserializeOwned + Default + Check>(config: &Value) -> Result<C, ConfigError> {
    if config.is_null() {
        return Ok(C::default());
    }
    let parsed = C::deserialize(config).map_err(|e| ConfigError { kind: C::KIND, reason: e.to_string() })?;
    parsed.check().map_err(|reason| ConfigError { kind: C::KIND, reason })?;
    Ok(parsed)
}

/// What a configuration checks beyond its types.
pub trait Check {
    /// The trap's name, for errors.
    const KIND: &'static str;
    /// Says what is wrong, naming the key.
    ///
    /// # Errors
    /// The sentence shown to the operator.
    fn check(&self) -> Result<(), String>;
}

fn at_least(key: &str, value: u64, least: u64) -> Result<(), String> {
    if value < least { Err(format!("`{key}` is {value}; it must be at least {least}")) } else { Ok(()) }
}

/// Which algorithm lists the SSH trap offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Algorithms {
    /// Those of an OpenSSH hardened as the CIS benchmark says: a fingerprint that many real servers have, all of it implemented here.
    #[default]
    Cis,
    /// Also SHA-1, CBC and `ssh-rsa`, for clients from before 2015. Catches more, but no real server offers exactly this.
    Wide,
}

/// The SSH trap's configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SshConfig {
    /// Host name shown in the prompt; empty: derived from the seed.
    pub hostname: String,
    /// Decides host name, hardware, addresses and dates of the persona; empty: derived from the pot id.
    pub seed: String,
    /// Identification line without line end; empty: the persona's.
    pub banner: String,
    /// Which algorithm lists are offered.
    pub algorithms: Algorithms,
    /// Who gets in.
    pub auth: AuthConfig,
    /// Delay before a refused password is answered, in milliseconds.
    pub auth_delay_ms: u64,
    /// Refused attempts before the connection is ended (OpenSSH's `MaxAuthTries`).
    pub auth_attempts_max: u32,
    /// Sessions at once.
    pub sessions_max: usize,
    /// Sessions at once from one source address.
    pub source_sessions_max: usize,
    /// Longest session, in seconds.
    pub session_secs_max: u64,
    /// Longest silence of a client, in seconds.
    pub idle_secs_max: u64,
    /// Largest file kept, in bytes; of larger ones the hash and size alone are recorded as cut.
    pub artifact_bytes_max: u64,
    /// Bytes kept in the artifacts folder before new files are refused.
    pub artifacts_bytes_max: u64,
}

impl Default for SshConfig {
    fn default() -> Self {
        Self {
            hostname: String::new(),
            seed: String::new(),
            banner: String::new(),
            algorithms: Algorithms::Cis,
            auth: AuthConfig::default(),
            auth_delay_ms: 700,
            auth_attempts_max: 6,
            sessions_max: 256,
            source_sessions_max: 64,
            session_secs_max: 1800,
            idle_secs_max: 300,
            artifact_bytes_max: 16 * 1024 * 1024,
            artifacts_bytes_max: 512 * 1024 * 1024,
        }
    }
}

impl SshConfig {
    /// One sentence on a key, empty for a name that is none.
    #[must_use]
    pub fn help(key: &str) -> &'static str {
        match key {
            "banner" => {
                "identification line, such as SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3; empty: the persona's"
            }
            "algorithms" => {
                "`cis` (as a hardened OpenSSH) or `wide` (also what old clients need; easier to recognise)"
            }
            "auth_attempts_max" => "refused attempts before the connection is ended",
            _ => shared_help(key),
        }
    }
}

impl Check for SshConfig {
    const KIND: &'static str = "ssh";

    fn check(&self) -> Result<(), String> {
        at_least("sessions_max", self.sessions_max as u64, 1)?;
        at_least("source_sessions_max", self.source_sessions_max as u64, 1)?;
        at_least("session_secs_max", self.session_secs_max, 1)?;
        at_least("idle_secs_max", self.idle_secs_max, 1)?;
        at_least("auth_attempts_max", u64::from(self.auth_attempts_max), 1)?;
        if !self.banner.is_empty()
            && (!self.banner.starts_with("SSH-2.0-")
                || self.banner.len() > 253
                || self.banner.contains(['\r', '\n', '\0']))
        {
            return Err("`banner` must start with SSH-2.0-, be one line and at most 253 bytes".into());
        }
        self.auth.check()
    }
}

/// The Telnet trap's configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TelnetConfig {
    /// Host name shown in the prompt; empty: derived from the seed.
    pub hostname: String,
    /// Decides the persona; empty: derived from the pot id.
    pub seed: String,
    /// Text before the first login prompt; empty: the persona's `/etc/issue.net`.
    pub banner: String,
    /// Who gets in.
    pub auth: AuthConfig,
    /// Delay before a refused password is answered, in milliseconds.
    pub auth_delay_ms: u64,
    /// Refused attempts before the connection is ended.
    pub auth_attempts_max: u32,
    /// Sessions at once.
    pub sessions_max: usize,
    /// Sessions at once from one source address.
    pub source_sessions_max: usize,
    /// Longest session, in seconds.
    pub session_secs_max: u64,
    /// Longest silence of a client, in seconds.
    pub idle_secs_max: u64,
    /// Largest file kept, in bytes.
    pub artifact_bytes_max: u64,
    /// Bytes kept in the artifacts folder before new files are refused.
    pub artifacts_bytes_max: u64,
}

impl Default for TelnetConfig {
    fn default() -> Self {
        let ssh = SshConfig::default();
        Self {
            hostname: String::new(),
            seed: String::new(),
            banner: String::new(),
            auth: AuthConfig::default(),
            auth_delay_ms: ssh.auth_delay_ms,
            auth_attempts_max: 5,
            sessions_max: ssh.sessions_max,
            source_sessions_max: ssh.source_sessions_max,
            session_secs_max: ssh.session_secs_max,
            idle_secs_max: ssh.idle_secs_max,
            artifact_bytes_max: ssh.artifact_bytes_max,
            artifacts_bytes_max: ssh.artifacts_bytes_max,
        }
    }
}

impl TelnetConfig {
    /// One sentence on a key, empty for a name that is none.
    #[must_use]
    pub fn help(key: &str) -> &'static str {
        match key {
            "banner" => "text before the first login prompt; empty: the persona's",
            "auth_attempts_max" => "refused logins before the connection is ended",
            _ => shared_help(key),
        }
    }
}

impl Check for TelnetConfig {
    const KIND: &'static str = "telnet";

    fn check(&self) -> Result<(), String> {
        at_least("sessions_max", self.sessions_max as u64, 1)?;
        at_least("source_sessions_max", self.source_sessions_max as u64, 1)?;
        at_least("session_secs_max", self.session_secs_max, 1)?;
        at_least("idle_secs_max", self.idle_secs_max, 1)?;
        at_least("auth_attempts_max", u64::from(self.auth_attempts_max), 1)?;
        if self.banner.len() > 4096 || self.banner.contains('\0') {
            return Err("`banner` must be at most 4096 bytes, without NUL".into());
        }
        self.auth.check()
    }
}

/// The HTTP trap's configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// Name of the site shown on its pages; empty: derived from the seed.
    pub site_title: String,
    /// Decides names and dates on the site; empty: derived from the pot id.
    pub seed: String,
    /// The `Server` header.
    pub server: String,
    /// The WordPress version shown.
    pub wordpress_version: String,
    /// Sessions (connections) at once.
    pub sessions_max: usize,
    /// Sessions at once from one source address.
    pub source_sessions_max: usize,
    /// Longest session, in seconds.
    pub session_secs_max: u64,
    /// Bytes of a request body that are kept; the rest is read and counted.
    pub body_bytes_max: u64,
    /// Bytes kept in the artifacts folder before new files are refused.
    pub artifacts_bytes_max: u64,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            site_title: String::new(),
            seed: String::new(),
            server: "Apache/2.4.57 (Debian)".into(),
            wordpress_version: "6.4.3".into(),
            sessions_max: 512,
            source_sessions_max: 128,
            session_secs_max: 600,
            body_bytes_max: 1024 * 1024,
            artifacts_bytes_max: 512 * 1024 * 1024,
        }
    }
}

impl HttpConfig {
    /// One sentence on a key, empty for a name that is none.
    #[must_use]
    pub fn help(key: &str) -> &'static str {
        match key {
            "site_title" => "name of the site shown on its pages; empty: derived from the seed",
            "server" => "the Server header",
            "wordpress_version" => "the WordPress version shown",
            "body_bytes_max" => "bytes of a request body that are kept; the rest is read and counted",
            _ => shared_help(key),
        }
    }
}

impl Check for HttpConfig {
    const KIND: &'static str = "http";

    fn check(&self) -> Result<(), String> {
        at_least("sessions_max", self.sessions_max as u64, 1)?;
        at_least("source_sessions_max", self.source_sessions_max as u64, 1)?;
        at_least("session_secs_max", self.session_secs_max, 1)?;
        for (key, value) in [
            ("server", &self.server),
            ("wordpress_version", &self.wordpress_version),
            ("site_title", &self.site_title),
        ] {
            if value.len() > 200
                || value.chars().any(char::is_control)
                || value.contains(['<', '>', '&', '"'])
            {
                return Err(format!(
                    "`{key}` must be at most 200 bytes of plain text without <, >, &, \" or control characters"
                ));
            }
        }
        Ok(())
    }
}

fn shared_help(key: &str) -> &'static str {
    match key {
        "hostname" => "host name shown in the prompt; empty: derived from the seed",
        "seed" => "decides names, hardware and dates of the persona; empty: derived from the pot's id",
        "auth" => {
            "who gets in: `policy` is `userdb`, `any`, `after` or `none`; `users` are Cowrie userdb lines (user:x:password)"
        }
        "auth_delay_ms" => "delay before a refused login is answered, in milliseconds",
        "sessions_max" => "sessions at once",
        "source_sessions_max" => "sessions at once from one source address",
        "session_secs_max" => "longest session, in seconds",
        "idle_secs_max" => "longest silence of a client, in seconds",
        "artifact_bytes_max" => "largest file kept, in bytes",
        "artifacts_bytes_max" => "bytes kept in the artifacts folder before new files are refused",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_unknown_key_is_an_error_that_names_it() {
        let error = parse::<SshConfig>(&json!({"hostnam": "web"})).unwrap_err().to_string();
        assert!(error.contains("hostnam") && error.contains("hostname"), "{error}");
    }

    #[test]
    fn values_out_of_range_are_errors_that_name_the_key() {
        for (config, key) in [
            (json!({"sessions_max": 0}), "sessions_max"),
            (json!({"banner": "HTTP/1.1"}), "banner"),
            (json!({"auth": {"policy": "after", "after_attempts": 0}}), "after_attempts"),
            (json!({"auth": {"users": ["root:x:/[/"]}}), "users"),
        ] {
            let error = parse::<SshConfig>(&config).unwrap_err().to_string();
            assert!(error.contains(key), "{error}");
        }
    }

    #[test]
    fn nothing_configured_is_the_default() {
        assert_eq!(parse::<SshConfig>(&Value::Null).unwrap(), SshConfig::default());
        assert_eq!(parse::<HttpConfig>(&json!({})).unwrap(), HttpConfig::default());
        assert_eq!(parse::<TelnetConfig>(&json!({})).unwrap(), TelnetConfig::default());
    }
}
