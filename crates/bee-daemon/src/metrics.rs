//! A small metrics registry and its Prometheus text form (exposition format 0.0.4).
//!
//! Each daemon owns one [`Registry`], registers its metrics at start and keeps the handles: counting
//! is one relaxed atomic add. There is no global, so two daemons in one process (`honeybee up`, the
//! tests) do not mix. Label values may come from peers, so every labelled counter has a bound: past
//! it, new values are counted under `other`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// The media type of [`Registry::render`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Where values past a labelled counter's bound are counted.
pub const OTHER: &str = "other";

/// Bounds in seconds for network and disk latencies, 100 us to 10 s.
pub const LATENCY_BOUNDS: &[f64] =
    &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Every metric of one daemon. Cheap to clone; all clones are one registry.
#[derive(Debug, Clone, Default)]
pub struct Registry(Arc<Mutex<BTreeMap<&'static str, Family>>>);

/// A number that only grows.
#[derive(Debug, Clone, Default)]
pub struct Counter(Arc<AtomicU64>);

/// A number that goes up and down.
#[derive(Debug, Clone, Default)]
pub struct Gauge(Arc<AtomicI64>);

/// A counter for each value of one label.
#[derive(Debug, Clone)]
pub struct CounterVec(Arc<VecInner>);

/// Counts observations in buckets.
#[derive(Debug, Clone)]
pub struct Histogram(Arc<HistogramInner>);

#[derive(Debug)]
struct VecInner {
    label: &'static str,
    values_max: usize,
    counters: RwLock<BTreeMap<String, Counter>>,
}

#[derive(Debug)]
struct HistogramInner {
    bounds: &'static [f64],
    // One more than bounds: the last is +Inf. Not cumulative; rendering adds up.
    buckets: Vec<AtomicU64>,
    sum_micros: AtomicU64,
}

#[derive(Debug)]
struct Family {
    help: &'static str,
    metric: Metric,
}

#[derive(Debug)]
enum Metric {
    Counter(Counter),
    Gauge(Gauge),
    CounterVec(CounterVec),
    Histogram(Histogram),
}

impl Registry {
    /// An empty registry.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A counter; `name` ends in `_total`. Asking again for a name gives the same counter.
    #[must_use]
    pub fn counter(&self, name: &'static str, help: &'static str) -> Counter {
        self.register(
            name,
            help,
            |metric| match metric {
                Metric::Counter(counter) => Some(counter.clone()),
                _ => None,
            },
            Metric::Counter,
            Counter::default,
        )
    }

    /// A gauge. Asking again for a name gives the same gauge.
    #[must_use]
    pub fn gauge(&self, name: &'static str, help: &'static str) -> Gauge {
        self.register(
            name,
            help,
            |metric| match metric {
                Metric::Gauge(gauge) => Some(gauge.clone()),
                _ => None,
            },
            Metric::Gauge,
            Gauge::default,
        )
    }

    /// A counter for each value of `label`, of which at most `values_max` are told apart.
    #[must_use]
    pub fn counter_vec(
        &self,
        name: &'static str,
        help: &'static str,
        label: &'static str,
        values_max: usize,
    ) -> CounterVec {
        self.register(
            name,
            help,
            |metric| match metric {
                Metric::CounterVec(counters) => Some(counters.clone()),
                _ => None,
            },
            Metric::CounterVec,
            || CounterVec(Arc::new(VecInner { label, values_max, counters: RwLock::default() })),
        )
    }

    /// A histogram with these upper bounds, ascending.
    #[must_use]
    pub fn histogram(&self, name: &'static str, help: &'static str, bounds: &'static [f64]) -> Histogram {
        self.register(
            name,
            help,
            |metric| match metric {
                Metric::Histogram(histogram) => Some(histogram.clone()),
                _ => None,
            },
            Metric::Histogram,
            || {
                Histogram(Arc::new(HistogramInner {
                    bounds,
                    buckets: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(),
                    sum_micros: AtomicU64::new(0),
                }))
            },
        )
    }

    /// All metrics in Prometheus text form, sorted by name.
    #[must_use]
    pub fn render(&self) -> String {
        let families = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = String::with_capacity(families.len() * 160);
        for (name, family) in families.iter() {
            // Writing to a String cannot fail.
            let _ = family.render(name, &mut out);
        }
        out
    }

    fn register<T: Clone>(
        &self,
        name: &'static str,
        help: &'static str,
        existing: impl FnOnce(&Metric) -> Option<T>,
        wrap: impl FnOnce(T) -> Metric,
        make: impl FnOnce() -> T,
    ) -> T {
        debug_assert!(is_metric_name(name), "{name} is not a metric name");
        let mut families = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(family) = families.get(name) {
            if let Some(found) = existing(&family.metric) {
                return found;
            }
            // Two kinds under one name is a slip of ours: the second counts, but is not shown.
            debug_assert!(false, "{name} is registered as another kind of metric");
            return make();
        }
        let fresh = make();
        let metric = wrap(fresh.clone());
        families.insert(name, Family { help, metric });
        fresh
    }
}

impl Counter {
    /// Adds one.
    pub fn inc(&self) {
        self.add(1);
    }

    /// Adds `by`.
    pub fn add(&self, by: u64) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }

    /// The count so far.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Gauge {
    /// Sets the value.
    pub fn set(&self, value: i64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Adds `by`, which may be negative.
    pub fn add(&self, by: i64) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }

    /// Adds one now and takes it away when the guard is dropped: for "how many are there".
    #[must_use]
    pub fn hold(&self) -> GaugeGuard {
        self.add(1);
        GaugeGuard(self.clone())
    }

    /// The value now.
    #[must_use]
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Takes one away from its gauge when dropped.
#[derive(Debug)]
pub struct GaugeGuard(Gauge);

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        self.0.add(-1);
    }
}

impl CounterVec {
    /// The counter of one value; keep it where the value is fixed.
    #[must_use]
    pub fn with(&self, value: &str) -> Counter {
        let counters = self.0.counters.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(counter) = counters.get(value) {
            return counter.clone();
        }
        drop(counters);
        let mut counters = self.0.counters.write().unwrap_or_else(PoisonError::into_inner);
        let is_full = counters.len() >= self.0.values_max && !counters.contains_key(value);
        let key = if is_full { OTHER } else { value };
        counters.entry(key.to_owned()).or_default().clone()
    }

    /// Adds one to the counter of `value`.
    pub fn inc(&self, value: &str) {
        self.with(value).inc();
    }

    /// The sum over all values.
    #[must_use]
    pub fn total(&self) -> u64 {
        let counters = self.0.counters.read().unwrap_or_else(PoisonError::into_inner);
        counters.values().map(Counter::get).sum()
    }
}

impl Histogram {
    /// Counts one observation.
    pub fn observe(&self, value: f64) {
        let index = self.0.bounds.partition_point(|bound| *bound < value);
        if let Some(bucket) = self.0.buckets.get(index) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        // Whole micro-units add up without loss in an integer; `as` saturates, NaN counts as zero.
        let micros = (value * 1e6) as u64;
        self.0.sum_micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// Counts a duration, in seconds.
    pub fn observe_duration(&self, duration: std::time::Duration) {
        self.observe(duration.as_secs_f64());
    }

    /// Observations so far.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).sum()
    }
}

impl Family {
    fn render(&self, name: &str, out: &mut String) -> std::fmt::Result {
        let kind = match &self.metric {
            Metric::Counter(_) | Metric::CounterVec(_) => "counter",
            Metric::Gauge(_) => "gauge",
            Metric::Histogram(_) => "histogram",
        };
        writeln!(out, "# HELP {name} {}", self.help.replace('\\', "\\\\").replace('\n', "\\n"))?;
        writeln!(out, "# TYPE {name} {kind}")?;
        match &self.metric {
            Metric::Counter(counter) => writeln!(out, "{name} {}", counter.get()),
            Metric::Gauge(gauge) => writeln!(out, "{name} {}", gauge.get()),
            Metric::CounterVec(counters) => {
                let label = counters.0.label;
                let counters = counters.0.counters.read().unwrap_or_else(PoisonError::into_inner);
                for (value, counter) in counters.iter() {
                    let value = label_value(value);
                    writeln!(out, "{name}{{{label}=\"{value}\"}} {}", counter.get())?;
                }
                Ok(())
            }
            Metric::Histogram(histogram) => histogram.render(name, out),
        }
    }
}

impl Histogram {
    fn render(&self, name: &str, out: &mut String) -> std::fmt::Result {
        let mut seen = 0_u64;
        let bounds = self.0.bounds.iter().map(ToString::to_string);
        let bounds = bounds.chain(["+Inf".to_owned()]);
        for (bucket, bound) in self.0.buckets.iter().zip(bounds) {
            seen += bucket.load(Ordering::Relaxed);
            writeln!(out, "{name}_bucket{{le=\"{bound}\"}} {seen}")?;
        }
        let sum = self.0.sum_micros.load(Ordering::Relaxed) as f64 / 1e6;
        writeln!(out, "{name}_sum {sum}")?;
        writeln!(out, "{name}_count {seen}")
    }
}

/// A label value as the exposition format wants it, with invisible characters made visible first.
fn label_value(value: &str) -> String {
    // Our own escapes use backslashes, which the format then doubles.
    crate::escape::untrusted(value).to_string().replace('\\', "\\\\").replace('"', "\\\"")
}

fn is_metric_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_form_is_what_prometheus_reads() {
        let registry = Registry::new();
        registry.counter("bee_events_total", "Events stored.").add(3);
        registry.gauge("bee_nodes", "Nodes connected.").set(-2);
        let refused = registry.counter_vec("bee_refused_total", "Refusals by reason.", "reason", 8);
        refused.inc("silent");
        refused.inc("odd\"\n\\");
        let latency = registry.histogram("bee_sync_seconds", "Sync time.", &[0.25, 1.0]);
        for value in [0.25, 0.5, 7.0] {
            latency.observe(value);
        }
        assert_eq!(
            registry.render(),
            "# HELP bee_events_total Events stored.\n# TYPE bee_events_total counter\nbee_events_total 3\n\
             # HELP bee_nodes Nodes connected.\n# TYPE bee_nodes gauge\nbee_nodes -2\n\
             # HELP bee_refused_total Refusals by reason.\n# TYPE bee_refused_total counter\n\
             bee_refused_total{reason=\"odd\\\"\\\\n\\\\\\\\\"} 1\nbee_refused_total{reason=\"silent\"} 1\n\
             # HELP bee_sync_seconds Sync time.\n# TYPE bee_sync_seconds histogram\n\
             bee_sync_seconds_bucket{le=\"0.25\"} 1\nbee_sync_seconds_bucket{le=\"1\"} 2\n\
             bee_sync_seconds_bucket{le=\"+Inf\"} 3\nbee_sync_seconds_sum 7.75\nbee_sync_seconds_count 3\n"
        );
    }

    #[test]
    fn a_peer_cannot_make_labels_without_bound() {
        let registry = Registry::new();
        let names = registry.counter_vec("bee_unknown_total", "By name.", "name", 10);
        for number in 0..10_000 {
            names.inc(&format!("m{number}"));
        }
        names.inc("m3");
        assert_eq!(names.total(), 10_001);
        let text = registry.render();
        assert_eq!(text.lines().filter(|line| !line.starts_with('#')).count(), 11);
        assert!(text.contains("{name=\"other\"} 9990"), "{text}");
        assert!(text.contains("{name=\"m3\"} 2"), "{text}");
    }

    #[test]
    fn asking_twice_for_a_name_gives_the_same_counter() {
        let registry = Registry::new();
        registry.counter("bee_x_total", "X.").inc();
        registry.clone().counter("bee_x_total", "X.").inc();
        assert_eq!(registry.counter("bee_x_total", "X.").get(), 2);
    }

    #[test]
    fn a_held_gauge_goes_down_when_its_holder_ends() {
        let gauge = Gauge::default();
        let holds = [gauge.hold(), gauge.hold()];
        assert_eq!(gauge.get(), 2);
        drop(holds);
        assert_eq!(gauge.get(), 0);
    }
}
