//! What traps there are: names, ports and config keys, for the node's catalogue, the CLI's help and the dashboard's forms.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::{HttpConfig, SshConfig, TelnetConfig};

/// One of the built-in traps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// An OpenSSH server with a shell, scp and sftp.
    Ssh,
    /// A Telnet login with the same shell.
    Telnet,
    /// A small web site with the pages that scanners ask for.
    Http,
}

impl Kind {
    /// The name used on the command line, in configuration and as the pot's type.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ssh => "ssh",
            Self::Telnet => "telnet",
            Self::Http => "http",
        }
    }
}

/// A name that is no trap's. Its text lists the ones that are.
#[derive(Debug, thiserror::Error)]
#[error("there is no trap {0:?}; the built-in traps are ssh, telnet and http")]
pub struct UnknownKind(String);

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(name: &str) -> Result<Self, UnknownKind> {
        kinds()
            .into_iter()
            .map(|info| info.kind)
            .find(|kind| kind.name() == name)
            .ok_or_else(|| UnknownKind(name.to_owned()))
    }
}

/// One configuration key of a trap.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ConfigKey {
    /// Its name, as written in the trap's configuration.
    pub name: String,
    /// What it is when nothing is configured.
    pub default: Value,
    /// One sentence for a form or a help page.
    pub help: &'static str,
}

/// A trap as the catalogue shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KindInfo {
    /// Which trap.
    pub kind: Kind,
    /// Its name: `ssh`, `telnet` or `http`.
    pub name: &'static str,
    /// One line on what it pretends to be.
    pub summary: &'static str,
    /// Protocols seen in its events' `protocol`.
    pub protocols: &'static [&'static str],
    /// Port used when the operator names none. Unprivileged, so that a first run needs no root.
    pub default_port: u16,
    /// Every configuration key.
    pub config: Vec<ConfigKey>,
}

/// All built-in traps.
#[must_use]
pub fn kinds() -> Vec<KindInfo> {
    vec![
        KindInfo {
            kind: Kind::Ssh,
            name: "ssh",
            summary: "OpenSSH server with a shell, scp, sftp and recorded tunnels",
            protocols: &["ssh"],
            default_port: 2222,
            config: keys(&SshConfig::default(), SshConfig::help),
        },
        KindInfo {
            kind: Kind::Telnet,
            name: "telnet",
            summary: "Telnet login with the same shell",
            protocols: &["telnet"],
            default_port: 2323,
            config: keys(&TelnetConfig::default(), TelnetConfig::help),
        },
        KindInfo {
            kind: Kind::Http,
            name: "http",
            summary: "WordPress-like web site with the pages that scanners ask for",
            protocols: &["http"],
            default_port: 8080,
            config: keys(&HttpConfig::default(), HttpConfig::help),
        },
    ]
}

/// The keys of a configuration are those that its default serialises to: the list cannot fall behind the code.
fn keys<C: Serialize>(default: &C, help: fn(&str) -> &'static str) -> Vec<ConfigKey> {
    let Ok(Value::Object(members)) = serde_json::to_value(default) else { return Vec::new() };
    members.into_iter().map(|(name, default)| ConfigKey { help: help(&name), name, default }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_config_key_has_a_help_sentence() {
        for info in kinds() {
            assert!(info.config.len() > 5, "{} lists its keys", info.name);
            for key in info.config {
                assert!(!key.help.is_empty(), "{}.{} has no help", info.name, key.name);
            }
        }
    }

    #[test]
    fn an_unknown_name_is_told_the_known_ones() {
        let error = "smb".parse::<Kind>().unwrap_err().to_string();
        assert!(error.contains("ssh, telnet and http"), "{error}");
        assert_eq!("telnet".parse::<Kind>().unwrap(), Kind::Telnet);
    }
}
