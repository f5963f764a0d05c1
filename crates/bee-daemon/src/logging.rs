//! Sets up `tracing`: text for people or JSON for machines, on stderr and, if asked, in a file.
//!
//! Called once by each binary. Reads the field's keys (`level`, `folder`, `force_color`, `format`,
//! `file`). stdout is never written to: it belongs to data. Attacker text goes into fields wrapped
//! in [`untrusted`], never into the message.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal as _, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry};

pub use crate::escape::untrusted;

/// A log file is set aside at this size.
pub const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Files set aside that are kept: `x.log.1` (newest) to `x.log.4`.
pub const FILES_KEPT: u32 = 4;

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One object a line.
    Json,
}

/// When text is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set or `TERM=dumb`.
    #[default]
    Auto,
    /// Always (`force_color = true`).
    Always,
    /// Never.
    Never,
}

/// What to log and where.
#[derive(Debug, Clone, Default)]
pub struct Logging {
    /// `error`, `warn`, `info`, `debug`, `trace`, `off`, or directives as in `info,bee_core=debug`.
    /// Empty means `info`.
    pub level: String,
    /// How lines look.
    pub format: Format,
    /// When text on stderr is coloured; files never are.
    pub color: Color,
    /// A file to write to as well, turned over at [`FILE_BYTES_MAX`].
    pub file: Option<PathBuf>,
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The level makes no sense.
    #[error("log level {level:?} is not known: use error, warn, info, debug, trace or off")]
    Level {
        /// As given.
        level: String,
    },
    /// The file cannot be written.
    #[error("cannot write the log file {path}: check the folder and its permissions", path = .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// `init` was called before.
    #[error("logging is set up already")]
    Twice,
}

/// Installs the global subscriber.
///
/// # Errors
/// When the level is not known, the file cannot be written, or this was called before.
pub fn init(logging: &Logging) -> Result<(), LoggingError> {
    let filter = filter(&logging.level)?;
    let is_colored = is_colored(logging.color);
    let mut layers: Vec<Box<dyn Layer<Registry> + Send + Sync>> = Vec::new();
    layers.push(layer(logging.format, is_colored, io::stderr));
    if let Some(path) = &logging.file {
        let writer = LogFile::open(path, FILE_BYTES_MAX)
            .map_err(|cause| LoggingError::File { path: path.clone(), cause })?;
        layers.push(layer(logging.format, false, writer));
    }
    tracing_subscriber::registry()
        .with(layers.with_filter(filter))
        .try_init()
        .map_err(|_| LoggingError::Twice)
}

/// Checks a level without installing anything; for `check` commands.
///
/// # Errors
/// When the level is not known.
pub fn check_level(level: &str) -> Result<(), LoggingError> {
    filter(level).map(|_| ())
}

/// Where the field's `folder` key puts the log of `program`: `<folder>/<program>.log`.
#[must_use]
pub fn file_in(folder: &Path, program: &str) -> PathBuf {
    folder.join(format!("{program}.log"))
}

fn filter(level: &str) -> Result<EnvFilter, LoggingError> {
    let refuse = || LoggingError::Level { level: level.to_owned() };
    let level = level.trim();
    if level.is_empty() {
        return EnvFilter::try_new("info").map_err(|_| refuse());
    }
    // A bare word that is no level would be taken as a module's name and log nothing at all.
    let is_directive = level.contains(['=', ',']);
    let lower = level.to_ascii_lowercase();
    let word = match lower.as_str() {
        "warning" => "warn",
        "critical" | "fatal" => "error",
        other => other,
    };
    let is_level = ["error", "warn", "info", "debug", "trace", "off"].contains(&word);
    match (is_level, is_directive) {
        (true, _) => EnvFilter::try_new(word).map_err(|_| refuse()),
        (false, true) => EnvFilter::try_new(level).map_err(|_| refuse()),
        (false, false) => Err(refuse()),
    }
}

fn is_colored(color: Color) -> bool {
    match color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => {
            let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
            let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
            !no_color && !is_dumb && io::stderr().is_terminal()
        }
    }
}

fn layer<W>(format: Format, is_colored: bool, writer: W) -> Box<dyn Layer<Registry> + Send + Sync>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(is_colored);
    match format {
        Format::Text => Box::new(layer.with_target(false)),
        Format::Json => Box::new(layer.json().flatten_event(true).with_current_span(false)),
    }
}

/// A log file that sets itself aside when it is full, so that logs cannot fill the disk.
#[derive(Debug, Clone)]
struct LogFile(Arc<Mutex<Rotating>>);

#[derive(Debug)]
struct Rotating {
    path: PathBuf,
    file: File,
    bytes: u64,
    bytes_max: u64,
}

impl LogFile {
    fn open(path: &Path, bytes_max: u64) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let file = append_to(path)?;
        let bytes = file.metadata()?.len();
        Ok(Self(Arc::new(Mutex::new(Rotating { path: path.to_owned(), file, bytes, bytes_max }))))
    }
}

impl Write for LogFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if log.bytes > 0 && log.bytes.saturating_add(line.len() as u64) > log.bytes_max {
            log.turn_over()?;
        }
        let written = log.file.write(line)?;
        log.bytes = log.bytes.saturating_add(written as u64);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).file.flush()
    }
}

impl<'w> MakeWriter<'w> for LogFile {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}

impl Rotating {
    fn turn_over(&mut self) -> io::Result<()> {
        for number in (1..FILES_KEPT).rev() {
            // A gap in the numbers is normal: not every file exists yet.
            let _ = fs::rename(numbered(&self.path, number), numbered(&self.path, number + 1));
        }
        fs::rename(&self.path, numbered(&self.path, 1))?;
        self.file = append_to(&self.path)?;
        self.bytes = 0;
        Ok(())
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    // Logs name addresses and paths: not for every user of the machine.
    OpenOptions::new().create(true).append(true).mode(0o640).open(path)
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_of_the_field_is_known_and_a_typo_is_refused() {
        for level in ["", "info", "INFO", "Warning", "debug", "off", "info,bee_core=debug"] {
            assert!(check_level(level).is_ok(), "{level}");
        }
        for level in ["inof", "loud", "bee_core=loud"] {
            let error = check_level(level).unwrap_err();
            assert!(error.to_string().contains(level), "{error}");
        }
    }

    #[test]
    fn a_full_log_file_is_set_aside_and_only_a_few_are_kept() {
        let temp = tempfile::tempdir().unwrap();
        let path = file_in(&temp.path().join("logs"), "core");
        let mut log = LogFile::open(&path, 10).unwrap();
        for number in 0..8 {
            writeln!(log, "line {number}").unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "line 7\n");
        assert_eq!(fs::read_to_string(numbered(&path, 1)).unwrap(), "line 6\n");
        assert_eq!(fs::read_to_string(numbered(&path, FILES_KEPT)).unwrap(), "line 3\n");
        assert!(!numbered(&path, FILES_KEPT + 1).exists());
    }

    #[test]
    fn attacker_text_in_a_field_reaches_the_file_escaped() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("core.log");
        let writer = LogFile::open(&path, FILE_BYTES_MAX).unwrap();
        let subscriber = tracing_subscriber::registry().with(layer(Format::Text, false, writer));
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(user = %untrusted(b"root\x1b[2J\xe2\x80\xae\n2026 INFO forged"), "login refused");
        });
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(r"user=root\x1b[2J\u{202e}\n2026 INFO forged"), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
    }

    #[test]
    fn json_lines_carry_fields_beside_the_message() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("core.log");
        let writer = LogFile::open(&path, FILE_BYTES_MAX).unwrap();
        let subscriber = tracing_subscriber::registry().with(layer(Format::Json, false, writer));
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(node_id = 7, "node joined");
        });
        let line = fs::read_to_string(&path).unwrap();
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["node_id"], 7);
        assert_eq!(value["message"], "node joined");
        assert_eq!(value["level"], "INFO");
    }
}
