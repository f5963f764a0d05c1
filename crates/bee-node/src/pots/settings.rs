//! Turns what an operator wrote for a pot into what the trap is started with.
//!
//! Settings come as typed values from our own config file, and as strings from `InstallPot` (PROTOCOL section 4: a
//! string map). Strings are read by the type of the key's default; `auth.policy` style names reach into objects.
//! Unknown keys are errors that name the nearest known one.

use std::net::{IpAddr, SocketAddr};

use bee_pots::{Kind, KindInfo, config};
use serde_json::{Map, Value};

use crate::limits::POT_CONFIG_BYTES_MAX;

/// A pot's settings as the trap takes them.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Its own configuration.
    pub config: Map<String, Value>,
}

/// Names that say where to listen rather than how to behave.
const LISTEN_KEYS: [&str; 4] = ["listen", "address", "host", "port"];

/// Reads settings for a pot of `info`'s kind; `default` is where it listens if they do not say.
///
/// # Errors
/// One sentence that names the key and what would be right.
pub fn read(info: &KindInfo, given: &Map<String, Value>, default: SocketAddr) -> Result<Settings, String> {
    let mut listen = default;
    let mut config = Map::new();
    let own_port = format!("{}_port", info.name);
    // `listen` first: `port` and `address` refine it, whatever their order.
    if let Some(value) = given.get("listen") {
        listen = text(value)
            .parse()
            .map_err(|_| format!("`listen` is {value}; it must be ADDRESS:PORT, for example 0.0.0.0:22"))?;
    }
    for (key, value) in given {
        match key.as_str() {
            "listen" => {}
            "address" | "host" => {
                let ip: IpAddr = text(value)
                    .parse()
                    .map_err(|_| format!("`{key}` is {value}; it must be an IP address"))?;
                listen.set_ip(ip);
            }
            name if name == "port" || name == own_port => {
                let port = text(value)
                    .parse()
                    .map_err(|_| format!("`{key}` is {value}; it must be a port from 1 to 65535"))?;
                listen.set_port(port);
            }
            name => {
                let (first, rest) =
                    name.split_once('.').map_or((name, None), |(first, rest)| (first, Some(rest)));
                let known = info
                    .config
                    .iter()
                    .find(|known| known.name == first)
                    .ok_or_else(|| unknown(info, name))?;
                match rest {
                    None => {
                        config.insert(first.to_owned(), typed(name, value, &known.default)?);
                    }
                    Some(rest) => {
                        let default = known.default.get(rest).unwrap_or(&Value::Null);
                        let value = typed(name, value, default)?;
                        match config.entry(first).or_insert_with(|| Value::Object(Map::new())) {
                            Value::Object(inner) => drop(inner.insert(rest.to_owned(), value)),
                            _ => return Err(format!("`{name}` and `{first}` cannot both be set")),
                        }
                    }
                }
            }
        }
    }
    check(info.kind, &config)?;
    Ok(Settings { listen, config })
}

/// What the trap itself thinks of its configuration.
fn check(kind: Kind, given: &Map<String, Value>) -> Result<(), String> {
    let value = Value::Object(given.clone());
    let bytes = value.to_string().len();
    if bytes > POT_CONFIG_BYTES_MAX {
        return Err(format!(
            "the configuration has {bytes} bytes; at most {POT_CONFIG_BYTES_MAX} are allowed"
        ));
    }
    match kind {
        Kind::Ssh => config::parse::<config::SshConfig>(&value).map(drop),
        Kind::Telnet => config::parse::<config::TelnetConfig>(&value).map(drop),
        Kind::Http => config::parse::<config::HttpConfig>(&value).map(drop),
    }
    .map_err(|error| error.to_string())
}

/// `value` as the type of `default`: only strings are converted, anything else is what it is.
fn typed(key: &str, value: &Value, default: &Value) -> Result<Value, String> {
    let Value::String(text) = value else { return Ok(value.clone()) };
    if default.is_string() {
        return Ok(value.clone());
    }
    match serde_json::from_str(text) {
        Ok(parsed) => Ok(parsed),
        // Members without a default (options inside objects) may well be words.
        Err(_) if default.is_null() => Ok(value.clone()),
        Err(_) => Err(format!("`{key}` is {text:?}; it must look like {default}")),
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.trim().to_owned(),
        other => other.to_string(),
    }
}

fn unknown(info: &KindInfo, key: &str) -> String {
    let own_port = format!("{}_port", info.name);
    let known =
        info.config.iter().map(|known| known.name.as_str()).chain(LISTEN_KEYS).chain([own_port.as_str()]);
    let nearest = known.max_by(|a, b| strsim::jaro_winkler(a, key).total_cmp(&strsim::jaro_winkler(b, key)));
    format!("the {} trap has no setting `{key}`; did you mean `{}`?", info.name, nearest.unwrap_or("port"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read_as(kind: &str, given: Value) -> Result<Settings, String> {
        let info = bee_pots::kinds().into_iter().find(|info| info.name == kind).unwrap();
        let Value::Object(given) = given else { panic!("not an object") };
        read(&info, &given, "127.0.0.1:2222".parse().unwrap())
    }

    #[test]
    fn strings_become_what_the_key_is() {
        let settings = read_as(
            "ssh",
            json!({"ssh_port": "22", "address": "0.0.0.0", "auth_delay_ms": "5", "seed": "17", "auth.policy": "any"}),
        )
        .unwrap();
        assert_eq!(settings.listen, "0.0.0.0:22".parse().unwrap());
        assert_eq!(
            Value::Object(settings.config),
            json!({"auth_delay_ms": 5, "seed": "17", "auth": {"policy": "any"}})
        );
    }

    #[test]
    fn a_port_refines_a_listen_address() {
        let settings = read_as("http", json!({"port": 81, "listen": "[::1]:80"})).unwrap();
        assert_eq!(settings.listen, "[::1]:81".parse().unwrap());
    }

    #[test]
    fn mistakes_name_the_key_and_the_nearest_one() {
        for (given, says) in [
            (json!({"hostnam": "x"}), "`hostname`"),
            (json!({"ssh_prt": "x"}), "`ssh_port`"),
            (json!({"port": "http"}), "`port`"),
            (json!({"listen": "22"}), "ADDRESS:PORT"),
            (json!({"auth_delay_ms": "soon"}), "auth_delay_ms"),
            (json!({"sessions_max": 0}), "sessions_max"),
        ] {
            let error = read_as("ssh", given).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }
}
