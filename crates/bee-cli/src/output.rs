//! The one place that writes to the terminal. Data goes to stdout, everything else to stderr.
//!
//! Attacker text passes `bee_daemon::escape` before it gets here or in [`table`]; no raw control byte is ever printed.

use std::io::{IsTerminal, Write};

/// How to decorate: decided once at start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    pub(crate) colour: bool,
    pub(crate) ascii: bool,
}

impl Style {
    /// From `--plain`, NO_COLOR (no-color.org), TERM and whether stderr is a terminal.
    pub(crate) fn detect(plain: bool) -> Self {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            colour: !(plain || dumb || no_colour) && std::io::stderr().is_terminal(),
            ascii: plain || dumb,
        }
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    pub(crate) fn red(self, text: &str) -> String {
        self.paint("31;1", text)
    }

    pub(crate) fn green(self, text: &str) -> String {
        self.paint("32", text)
    }

    pub(crate) fn cyan(self, text: &str) -> String {
        self.paint("36", text)
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    pub(crate) fn tick(self) -> String {
        self.green(if self.ascii { "ok" } else { "✓" })
    }

    pub(crate) fn cross(self) -> String {
        self.red(if self.ascii { "x" } else { "✗" })
    }

    /// A status word with its symbol: a shape for each, so that colour is never the only sign.
    pub(crate) fn status(self, word: &str) -> String {
        let (symbol, ascii, colour) = match word {
            "Running" | "Connected" => ("●", "*", "32"),
            "Installing" | "Deploying" | "Pending" => ("◌", "~", "33"),
            "Failed" => ("✗", "x", "31"),
            "Unknown" => ("▲", "!", "33"),
            _ => ("○", "-", "2"),
        };
        let shape = if self.ascii { ascii } else { symbol };
        format!("{} {}", self.paint(colour, shape), word.to_lowercase())
    }
}

/// One line of data. A closed pipe ends the program quietly, as `head` expects.
pub(crate) fn data(line: &str) {
    let mut out = std::io::stdout().lock();
    if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
        std::process::exit(0);
    }
}

/// One line for the person, not for the pipe.
pub(crate) fn note(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// A value as one JSON document on stdout.
pub(crate) fn json(value: &serde_json::Value) {
    data(&serde_json::to_string_pretty(value).unwrap_or_default());
}

/// A table without borders on stdout: the header in capitals, cells escaped and cut.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>]) {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_content_arrangement(comfy_table::ContentArrangement::Disabled);
    table.set_header(header.to_vec());
    for row in rows {
        table.add_row(row.clone());
    }
    for line in table.to_string().lines() {
        // The library pads each cell on both sides.
        data(line.strip_prefix(' ').unwrap_or(line).trim_end());
    }
}

/// Text from elsewhere, fit for a table cell.
pub(crate) fn clean(text: &str, chars_max: usize) -> String {
    bee_daemon::escape::untrusted_max(text, chars_max).to_string()
}

/// Now, in microseconds since 1970.
pub(crate) fn now_us() -> i64 {
    use bee_daemon::clock::Clock as _;
    bee_daemon::clock::SystemClock::new().wall_micros()
}

/// "3s ago", "14m ago", "2h ago", "5d ago".
pub(crate) fn ago(then_us: i64, now_us: i64) -> String {
    let seconds = now_us.saturating_sub(then_us).max(0) / 1_000_000;
    match seconds {
        0..=59 => format!("{seconds}s ago"),
        60..=3_599 => format!("{}m ago", seconds / 60),
        3_600..=86_399 => format!("{}h ago", seconds / 3_600),
        _ => format!("{}d ago", seconds / 86_400),
    }
}

/// "30s", "5m", "1h", "7d" as seconds.
pub(crate) fn seconds(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = match text.get(digits.len()..)? {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_of_time_are_read_with_their_unit() {
        assert_eq!(seconds("90"), Some(90));
        assert_eq!(seconds("5m"), Some(300));
        assert_eq!(seconds("7d"), Some(604_800));
        assert_eq!(seconds("5y"), None);
        assert_eq!(seconds("99999999999999999999d"), None);
    }

    #[test]
    fn without_colour_no_escape_byte_is_written() {
        let plain = Style { colour: false, ascii: true };
        let all = format!("{}{}{}{}", plain.tick(), plain.cross(), plain.status("Failed"), plain.bold("x"));
        assert!(all.is_ascii() && !all.contains('\x1b'));
    }
}
