//! What a measurement found: a table for people on stderr, one JSON document a measurement on stdout.

use std::io::Write as _;
use std::time::Duration;

use serde::Serialize;

/// The machine and how busy it was: a number without it means little.
#[derive(Debug, Clone, Serialize)]
struct Machine {
    cpu: String,
    cores: usize,
    memory_mb: u64,
    kernel: String,
    /// Load average over one minute before and after.
    load1_before: f64,
    load1_after: f64,
}

/// One number, measured several times.
#[derive(Debug, Clone, Serialize)]
struct Measure {
    /// Under which conditions.
    case: String,
    /// What.
    metric: String,
    unit: &'static str,
    /// One a round, in order.
    rounds: Vec<f64>,
    min: f64,
    median: f64,
    max: f64,
    /// What DESIGN section 6 asks for, as it says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<&'static str>,
}

/// A report that is being written.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Report {
    name: &'static str,
    machine: Machine,
    settings: Vec<(String, String)>,
    measures: Vec<Measure>,
    notes: Vec<String>,
}

impl Report {
    pub(crate) fn new(name: &'static str) -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, key: &str| {
            let line = text.lines().find(|line| line.starts_with(key));
            line.and_then(|line| line.split(':').nth(1)).unwrap_or_default().trim().to_owned()
        };
        let memory_kb = field(&read("/proc/meminfo"), "MemTotal");
        let load1 = load1();
        let machine = Machine {
            cpu: field(&read("/proc/cpuinfo"), "model name"),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_mb: memory_kb.trim_end_matches(" kB").parse().unwrap_or(0) / 1024,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            load1_before: load1,
            load1_after: load1,
        };
        Self { name, machine, settings: Vec::new(), measures: Vec::new(), notes: Vec::new() }
    }

    /// A condition that the numbers depend on.
    pub(crate) fn setting(&mut self, key: &str, value: impl ToString) {
        self.settings.push((key.to_owned(), value.to_string()));
    }

    /// One more round of a number.
    pub(crate) fn round(&mut self, case: &str, metric: &str, unit: &'static str, value: f64) {
        let known = self.measures.iter_mut().find(|measure| measure.case == case && measure.metric == metric);
        let measure = match known {
            Some(measure) => measure,
            None => {
                self.measures.push(Measure {
                    case: case.to_owned(),
                    metric: metric.to_owned(),
                    unit,
                    rounds: Vec::new(),
                    min: value,
                    median: value,
                    max: value,
                    target: None,
                });
                let Some(last) = self.measures.last_mut() else { return };
                last
            }
        };
        measure.rounds.push(value);
        let mut sorted = measure.rounds.clone();
        sorted.sort_by(f64::total_cmp);
        measure.min = sorted.first().copied().unwrap_or(value);
        measure.median = sorted.get(sorted.len() / 2).copied().unwrap_or(value);
        measure.max = sorted.last().copied().unwrap_or(value);
    }

    /// What the design asks of a number.
    pub(crate) fn target(&mut self, metric: &str, target: &'static str) {
        for measure in self.measures.iter_mut().filter(|measure| measure.metric == metric) {
            measure.target = Some(target);
        }
    }

    /// Something that a reader of the numbers has to know.
    pub(crate) fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// Prints both forms.
    pub(crate) fn print(mut self) -> anyhow::Result<()> {
        self.machine.load1_after = load1();
        let mut err = std::io::stderr().lock();
        let machine = &self.machine;
        writeln!(
            err,
            "\n== {} ==  {}, {} cores, {} MB, Linux {}, load {:.1} to {:.1}",
            self.name,
            machine.cpu,
            machine.cores,
            machine.memory_mb,
            machine.kernel,
            machine.load1_before,
            machine.load1_after
        )?;
        let settings: Vec<String> =
            self.settings.iter().map(|(key, value)| format!("{key} {value}")).collect();
        writeln!(err, "{}", settings.join("; "))?;
        let width =
            |text: fn(&Measure) -> &str| self.measures.iter().map(|m| text(m).len()).max().unwrap_or(0);
        let (case, metric, unit) = (width(|m| &m.case), width(|m| &m.metric), width(|m| m.unit));
        for m in &self.measures {
            let rounds = match m.rounds.len() {
                1 => String::new(),
                n => format!("  ({} .. {}, {n} rounds)", number(m.min), number(m.max)),
            };
            let target = m.target.map(|target| format!("  [target {target}]")).unwrap_or_default();
            writeln!(
                err,
                "  {:case$}  {:metric$}  {:>12} {:unit$}{rounds}{target}",
                m.case,
                m.metric,
                number(m.median),
                m.unit
            )?;
        }
        for note in &self.notes {
            writeln!(err, "  note: {note}")?;
        }
        let mut out = std::io::stdout().lock();
        serde_json::to_writer(&mut out, &self)?;
        writeln!(out)?;
        Ok(())
    }
}

/// A number with the digits that mean something, thousands apart.
fn number(value: f64) -> String {
    if value.abs() < 100.0 {
        return if value.abs() < 10.0 { format!("{value:.3}") } else { format!("{value:.2}") };
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) && !text.ends_with('-') {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn load1() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(0.0)
}

/// The given share (0 to 1) of sorted times, in milliseconds.
pub(crate) fn quantile_ms(sorted: &[Duration], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    let at = (last as f64 * share).round() as usize;
    sorted.get(at).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_readable() {
        let cases = [
            (0.12345, "0.123"),
            (42.0, "42.00"),
            (1234567.8, "1,234,568"),
            (-1234.0, "-1,234"),
            (999.6, "1,000"),
        ];
        for (value, text) in cases {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn the_median_and_the_ends_of_the_rounds_are_kept() {
        let mut report = Report::new("test");
        for value in [3.0, 1.0, 2.0] {
            report.round("case", "metric", "ms", value);
        }
        let measure = report.measures.first().unwrap();
        assert_eq!((measure.min, measure.median, measure.max), (1.0, 2.0, 3.0));
    }
}
