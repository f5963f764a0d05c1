//! Query parameters: read one by one, so that every wrong one is named with what would be right.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::str::FromStr;

use axum::extract::Query;
use axum::http::Uri;
use bee_wire::Micros;

use super::problem::Refusal;
use crate::text;

/// Longest value of a text parameter, bytes.
const TEXT_BYTES_MAX: usize = 1_024;

/// The parameters of one request. Take them, then [`Params::finish`].
pub(crate) struct Params {
    given: BTreeMap<String, String>,
    wrong: BTreeMap<String, String>,
}

impl Params {
    /// Splits the query of a URI; names that are not `known` are errors.
    pub(crate) fn of(uri: &Uri, known: &[&str]) -> Self {
        let mut params = Self { given: BTreeMap::new(), wrong: BTreeMap::new() };
        let pairs = Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map(|Query(pairs)| pairs)
            .unwrap_or_else(|error| {
                params.wrong.insert("query".to_owned(), error.to_string());
                Vec::new()
            });
        for (name, value) in pairs {
            if !known.contains(&name.as_str()) {
                let nearest =
                    known.iter().min_by_key(|candidate| strsim::damerau_levenshtein(candidate, &name));
                let nearest = nearest.copied().unwrap_or_default();
                let problem =
                    format!("is no parameter here; did you mean {nearest}? Known are {}", known.join(", "));
                params.wrong.insert(text::cut(&name, 64).to_owned(), problem);
            } else if value.len() > TEXT_BYTES_MAX {
                params.wrong.insert(name, format!("is longer than {TEXT_BYTES_MAX} bytes"));
            } else if value.is_empty() {
                params.wrong.insert(name, "is empty; give it a value or leave it out".to_owned());
            } else if params.given.insert(name.clone(), value).is_some() {
                params.wrong.insert(name, "is given twice; give it once".to_owned());
            }
        }
        params
    }

    /// A text.
    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        self.given.remove(name)
    }

    /// Anything that is read from text; `expected` says what, with an example.
    pub(crate) fn parsed<T: FromStr>(&mut self, name: &str, expected: &str) -> Option<T> {
        self.read(name, expected, |value| value.parse().ok())
    }

    /// A number within a range.
    pub(crate) fn number(&mut self, name: &str, range: RangeInclusive<u64>) -> Option<u64> {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        self.read(name, &expected, |value| value.parse().ok().filter(|number| range.contains(number)))
    }

    /// A time: RFC 3339, Unix seconds or milliseconds, `now`, or `now-` and a duration.
    pub(crate) fn time(&mut self, name: &str, now: Micros) -> Option<Micros> {
        const EXPECTED: &str =
            "a time: 2026-01-31T12:00:00Z, Unix seconds, now, or now-15m (units s, m, h, d, w)";
        self.read(name, EXPECTED, |value| relative(value, now).or_else(|| Micros::parse(value)))
    }

    /// Notes that a parameter is wrong.
    pub(crate) fn wrong(&mut self, name: &str, problem: impl Into<String>) {
        self.wrong.insert(name.to_owned(), problem.into());
    }

    /// # Errors
    /// Names every parameter that was wrong.
    pub(crate) fn finish(self) -> Result<(), Refusal> {
        if self.wrong.is_empty() { Ok(()) } else { Err(Refusal::parameters(self.wrong)) }
    }

    fn read<T>(&mut self, name: &str, expected: &str, read: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let value = self.given.remove(name)?;
        let found = read(value.trim());
        if found.is_none() {
            self.wrong.insert(name.to_owned(), format!("\"{}\" is not {expected}", text::cut(&value, 64)));
        }
        found
    }
}

/// `now`, `now-1h`, `now-90m`, `now+5m`.
fn relative(text: &str, now: Micros) -> Option<Micros> {
    let rest = text.strip_prefix("now")?;
    if rest.is_empty() {
        return Some(now);
    }
    let (sign, duration) =
        match (rest.strip_prefix('-'), rest.strip_prefix('+').or_else(|| rest.strip_prefix(' '))) {
            (Some(duration), _) => (-1, duration),
            // An unescaped plus in a query is a space.
            (None, Some(duration)) => (1, duration),
            (None, None) => return None,
        };
    let unit = duration.chars().last()?;
    let count: i64 = duration.strip_suffix(unit)?.parse().ok().filter(|count| *count >= 0)?;
    let unit_ms = match unit {
        's' => 1_000,
        'm' => 60_000,
        'h' => 3_600_000,
        'd' => 86_400_000,
        'w' => 7 * 86_400_000,
        _ => return None,
    };
    Some(now.plus_ms(sign * count.checked_mul(unit_ms)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Micros {
        Micros::parse("2026-02-01T00:00:00Z").unwrap()
    }

    #[test]
    fn times_may_be_relative() {
        for (text, expect) in [
            ("now", "2026-02-01T00:00:00Z"),
            ("now-90m", "2026-01-31T22:30:00Z"),
            ("now-1d", "2026-01-31T00:00:00Z"),
            ("now-1w", "2026-01-25T00:00:00Z"),
            ("now 5s", "2026-02-01T00:00:05Z"),
        ] {
            assert_eq!(relative(text, now()), Micros::parse(expect), "{text}");
        }
        for text in ["now-", "now-1", "now-1y", "now--1h", "nowish", "now-9223372036854775807w", "now-é"] {
            assert_eq!(relative(text, now()), None, "{text}");
        }
    }

    #[test]
    fn every_wrong_parameter_is_named_with_its_remedy() {
        let uri = "/x?limit=0&sinc=1&until=yesterday&pot=a&pot=b&node=".parse().unwrap();
        let mut params = Params::of(&uri, &["limit", "since", "until", "pot", "node"]);
        assert_eq!(params.number("limit", 1..=1_000), None);
        assert_eq!(params.time("until", now()), None);
        let wrong = params.wrong;
        assert_eq!(wrong.len(), 5, "{wrong:?}");
        assert!(wrong["limit"].contains("from 1 to 1000"));
        assert!(wrong["sinc"].contains("did you mean since?"));
        assert!(wrong["until"].contains("now-15m"));
        assert!(wrong["pot"].contains("twice"));
    }
}
