//! What a person reads when something did not work: a code, what happened, and the fix.

use crate::output::Style;
use std::fmt;

/// Exit codes, as `honeybee help exit-codes` lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// The thing was tried and failed.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// Only a person can go on: a wrong certificate, a refused token, an approval.
    NeedsHuman = 3,
    /// Ctrl-C.
    Interrupted = 130,
}

/// A failure with its code in the catalogue (`codes.rs`), so that `honeybee help HBnnnn` explains it offline.
#[derive(Debug)]
pub(crate) struct CliError {
    pub(crate) code: &'static str,
    pub(crate) exit: Exit,
    /// What happened, one sentence without a full stop. May hold text from elsewhere: it is escaped when shown.
    pub(crate) what: String,
    /// Facts under it, one a line.
    pub(crate) details: Vec<String>,
    /// What to do about it.
    pub(crate) help: Option<String>,
}

impl CliError {
    pub(crate) fn new(code: &'static str, what: impl Into<String>) -> Self {
        Self { code, exit: Exit::Failed, what: what.into(), details: Vec::new(), help: None }
    }

    pub(crate) fn exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    pub(crate) fn detail(mut self, line: impl Into<String>) -> Self {
        self.details.push(line.into());
        self
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// As people see it on stderr.
    pub(crate) fn render(&self, style: Style) -> String {
        let clean = |text: &str| bee_daemon::escape::untrusted_max(text, 2_000).to_string();
        let (cross, bar) = if style.ascii { ("x", "|") } else { ("×", "│") };
        let mut text =
            format!("{}: {}\n  {} {}\n", style.red("Error"), self.code, style.red(cross), clean(&self.what));
        for line in &self.details {
            text.push_str(&format!("  {bar} {}\n", clean(line)));
        }
        let fallback = crate::codes::find(self.code).map(|entry| entry.fix.to_owned());
        if let Some(help) = self.help.clone().or(fallback) {
            let indented = clean(&help).replace('\n', "\n        ");
            text.push_str(&format!("  {}: {indented}\n", style.cyan("help")));
        }
        text
    }

    /// The same as one JSON object, for `--json`.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        serde_json::json!({"error": {"code": self.code, "message": self.what, "details": self.details, "help": self.help}})
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.code, self.what)
    }
}
