//! Loads configuration: TOML or YAML, environment and flags into one typed struct, and remembers
//! where each value came from.
//!
//! Called once by each daemon and by its `check` and `show-config` commands. Layers, the later one
//! winning key by key: the struct's `Default` < files < environment < flags. A key the struct does
//! not have is an error that names file, line, the key and its nearest neighbour, whether or not the
//! struct says `deny_unknown_fields`; all unknown keys are reported at once. Loading touches nothing
//! but the files it is given.
//!
//! The struct wants `#[serde(default)]` and no `#[serde(flatten)]` (which hides its keys from the
//! check). Where a key goes by two names, give it two fields in the struct that people type and
//! settle them when building the one the program trusts: with `#[serde(alias)]` the value loads, but
//! its origin is shown as the default. Secrets are [`Secret`], so that no error and no
//! `show-config` prints them.

mod de;
mod secret;
mod tree;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use secret::Secret;
use tree::Node;

/// Largest configuration file that is read.
pub const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// A file.
    File {
        /// The file as it was named.
        file: Arc<str>,
        /// Line, from 1.
        line: usize,
    },
    /// An environment variable.
    Env {
        /// Its name.
        variable: Arc<str>,
    },
    /// A command-line flag.
    Flag {
        /// As it was typed, `--listen`.
        flag: Arc<str>,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { file, line } => write!(f, "{file}:{line}"),
            Self::Env { variable } => write!(f, "${variable}"),
            Self::Flag { flag } => f.write_str(flag),
        }
    }
}

/// One thing wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where it is.
    pub origin: Origin,
    /// The full key, `server.host`; empty for the whole file.
    pub key: String,
    /// What is wrong and what to write instead.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.origin != Origin::Default {
            write!(f, "{}: ", self.origin)?;
        }
        if !self.key.is_empty() {
            write!(f, "`{}` ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file could not be read.
    #[error("cannot read the configuration file {path}", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// A file is neither `.toml` nor `.yaml`/`.yml`.
    #[error("{path} is neither .toml nor .yaml: rename it, so that it is clear how to read it", path = .path.display())]
    UnknownFormat {
        /// The file.
        path: PathBuf,
    },
    /// A file is larger than [`FILE_BYTES_MAX`] or not UTF-8.
    #[error("{path} is not a configuration file: it is {reason}", path = .path.display())]
    NotConfig {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        reason: &'static str,
    },
    /// A file is not valid TOML or YAML.
    #[error("{0}")]
    Syntax(Problem),
    /// Unknown keys or bad values.
    #[error("{}", lines(.0))]
    Invalid(Vec<Problem>),
}

/// How a text is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// TOML 1.0.
    Toml,
    /// YAML 1.2.
    Yaml,
}

impl Format {
    /// By the file's extension.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "toml" => Some(Self::Toml),
            "yaml" | "yml" => Some(Self::Yaml),
            _ => None,
        }
    }
}

/// Gathers the layers; [`Loader::load`] makes the struct.
#[derive(Debug, Default)]
pub struct Loader {
    files: Vec<Node>,
    overrides: Vec<Override>,
}

#[derive(Debug)]
struct Override {
    key: String,
    value: String,
    origin: Origin,
}

impl Loader {
    /// No layers yet: loading now gives the defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a `.toml`, `.yaml` or `.yml` file; a later file wins over an earlier one, key by key.
    ///
    /// # Errors
    /// When it cannot be read or is not valid TOML or YAML.
    pub fn file(self, path: &Path) -> Result<Self, ConfigError> {
        let format = Format::of(path).ok_or_else(|| ConfigError::UnknownFormat { path: path.to_owned() })?;
        let text = read(path)?;
        self.text(format, &path.display().to_string(), &text)
    }

    /// Adds a text as if it were a file called `name`.
    ///
    /// # Errors
    /// When it is not valid TOML or YAML.
    pub fn text(mut self, format: Format, name: &str, text: &str) -> Result<Self, ConfigError> {
        let node = match format {
            Format::Toml => tree::from_toml(name, text),
            Format::Yaml => tree::from_yaml(name, text),
        };
        self.files.push(node.map_err(ConfigError::Syntax)?);
        Ok(self)
    }

    /// Adds the variables that start with `prefix`: with `HONEYBEE_CORE_`, the variable
    /// `HONEYBEE_CORE_SERVER__NODE_PORT` sets `server.node_port`. Two underscores separate levels,
    /// commas separate list elements.
    #[must_use]
    pub fn env(mut self, prefix: &str, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut found: Vec<Override> = variables
            .into_iter()
            .filter_map(|(name, value)| {
                let key = name.strip_prefix(prefix).filter(|key| !key.is_empty())?;
                Some(Override {
                    key: key.to_ascii_lowercase().replace("__", "."),
                    value,
                    origin: Origin::Env { variable: name.as_str().into() },
                })
            })
            .collect();
        // The environment has no order; results should.
        found.sort_by(|a, b| a.key.cmp(&b.key));
        // Before the flags, whatever the order of calls.
        let flags = std::mem::take(&mut self.overrides);
        self.overrides = found.into_iter().chain(flags).collect();
        self
    }

    /// Adds a flag that was given on the command line: `flag("--listen", "server.host", value)`.
    #[must_use]
    pub fn flag(mut self, flag: &str, key: &str, value: impl fmt::Display) -> Self {
        self.overrides.push(Override {
            key: key.to_owned(),
            value: value.to_string(),
            origin: Origin::Flag { flag: flag.into() },
        });
        self
    }

    /// Merges the layers and reads them into `T`.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] with every unknown key and the first value that does not fit.
    pub fn load<T: DeserializeOwned + Serialize>(self) -> Result<Loaded<T>, ConfigError> {
        let mut root = Node::empty();
        for file in self.files {
            root.merge(file);
        }
        for set in self.overrides {
            root.set(&set.key, set.value, set.origin);
        }
        let value = de::read(&root).map_err(ConfigError::Invalid)?;
        let mut origins = BTreeMap::new();
        root.origins("", &mut origins);
        Ok(Loaded { value, origins })
    }
}

/// A configuration and the origin of its values.
#[derive(Debug, Clone)]
pub struct Loaded<T> {
    /// The configuration as typed; the daemon turns it into what it trusts.
    pub value: T,
    origins: BTreeMap<String, Origin>,
}

/// One value as `show-config` prints it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The full key.
    pub key: String,
    /// The value as JSON; secrets show as `"(set)"`.
    pub value: String,
    /// Where it came from.
    pub origin: Origin,
}

impl<T> Loaded<T> {
    /// Where the value of a key came from.
    #[must_use]
    pub fn origin(&self, key: &str) -> Origin {
        let mut key = key;
        loop {
            if let Some(origin) = self.origins.get(key) {
                return origin.clone();
            }
            match key.rsplit_once('.') {
                // Part of a list or of a text that was set as a whole.
                Some((parent, _)) => key = parent,
                None => return Origin::Default,
            }
        }
    }

    /// Whether somebody set the key.
    #[must_use]
    pub fn is_set(&self, key: &str) -> bool {
        self.origin(key) != Origin::Default
    }

    /// A problem with the value of a key, found when checking what serde cannot; wrap one or many
    /// in [`ConfigError::Invalid`].
    #[must_use]
    pub fn problem(&self, key: &str, message: impl Into<String>) -> Problem {
        Problem { origin: self.origin(key), key: key.to_owned(), message: message.into() }
    }
}

impl<T: Serialize> Loaded<T> {
    /// Every value with its origin, in the struct's order; what `show-config` prints.
    ///
    /// # Errors
    /// When `T` does not serialise to JSON (a map with keys that are no strings).
    pub fn rows(&self) -> Result<Vec<Row>, serde_json::Error> {
        let mut rows = Vec::new();
        self.push_rows(String::new(), &serde_json::to_value(&self.value)?, &mut rows);
        Ok(rows)
    }

    fn push_rows(&self, key: String, value: &serde_json::Value, rows: &mut Vec<Row>) {
        match value {
            serde_json::Value::Object(members) if !members.is_empty() => {
                for (name, member) in members {
                    self.push_rows(join(&key, name), member, rows);
                }
            }
            leaf => rows.push(Row { origin: self.origin(&key), key, value: leaf.to_string() }),
        }
    }
}

fn read(path: &Path) -> Result<String, ConfigError> {
    use std::io::Read as _;

    let failed = |cause| ConfigError::Read { path: path.to_owned(), cause };
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    let not_config = |reason| ConfigError::NotConfig { path: path.to_owned(), reason };
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(not_config("larger than 1 MiB"));
    }
    String::from_utf8(bytes).map_err(|_| not_config("not UTF-8 text"))
}

fn join(parent: &str, name: &str) -> String {
    if parent.is_empty() { name.to_owned() } else { format!("{parent}.{name}") }
}

fn lines(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests;
