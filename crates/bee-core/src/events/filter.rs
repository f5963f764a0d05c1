//! Which events someone wants: one filter for queries and for live subscriptions.
//!
//! Checks run from cheap to dear: batch header, stored envelope, bytes of `data`, and only then the normal
//! form. A check may let too much through to the next one, never too little.

use std::net::IpAddr;

use bee_wire::api::{Category, Event, EventQuery};
use bee_wire::{Micros, NodeId};
use memchr::memmem;

use crate::ingest::record::{Header, StoredEvent};
use crate::normal;

/// A filter that makes no sense, by parameter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{parameter}: {problem}")]
pub struct FilterError {
    /// The parameter of the query, or the word of the filter.
    pub parameter: String,
    /// What is wrong and what would be right.
    pub problem: String,
}

/// What every event must be. Empty: all events.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    since: Option<Micros>,
    until: Option<Micros>,
    nodes: Option<Vec<NodeId>>,
    pot: Option<String>,
    pot_type: Option<String>,
    event_type: Option<Pattern>,
    category: Option<Category>,
    src_ip: Option<Network>,
    session: Option<String>,
    texts: Vec<String>,
    username: Option<String>,
}

impl EventFilter {
    /// The filter of a query. `node_ids` says which nodes a name or number means; none is a filter that
    /// nothing passes.
    pub fn of_query(query: &EventQuery, node_ids: impl Fn(&str) -> Vec<NodeId>) -> Result<Self, FilterError> {
        Ok(Self {
            since: query.since,
            until: query.until,
            nodes: query.node.as_deref().map(&node_ids),
            pot: query.pot.clone(),
            pot_type: query.pot_type.clone(),
            event_type: query.event_type.as_deref().map(Pattern::new),
            category: query.category,
            src_ip: query.src_ip.as_deref().map(Network::parse).transpose()?,
            session: query.session.clone(),
            texts: query.text.iter().map(|text| text.to_lowercase()).collect(),
            username: None,
        })
    }

    /// The filter of a subscription: words joined by "and", `key:value` or plain text.
    ///
    /// Keys: `event`, `pot`, `pot_type`, `node`, `category`, `src_ip`, `session`, `username`, `text`.
    pub fn parse(text: &str, node_ids: impl Fn(&str) -> Vec<NodeId>) -> Result<Self, FilterError> {
        let mut filter = Self::default();
        for word in words(text) {
            let wrong = |problem: &str| FilterError { parameter: word.clone(), problem: problem.to_owned() };
            match word.split_once(':') {
                Some(("event" | "type" | "event_type", value)) => {
                    filter.event_type = Some(Pattern::new(value))
                }
                Some(("pot" | "pot_id", value)) => filter.pot = Some(value.to_owned()),
                Some(("pot_type", value)) => filter.pot_type = Some(value.to_owned()),
                Some(("node", value)) => filter.nodes = Some(node_ids(value)),
                Some(("category", value)) => {
                    let known = Category::parse(value);
                    filter.category =
                        Some(known.ok_or_else(|| wrong("is not a category, e.g. auth or command"))?);
                }
                Some(("src_ip" | "src", value)) => filter.src_ip = Some(Network::parse(value)?),
                Some(("session", value)) => filter.session = Some(value.to_owned()),
                Some(("username", value)) => filter.username = Some(value.to_owned()),
                Some(("text", value)) => filter.texts.push(value.to_lowercase()),
                Some((key, _))
                    if key.chars().all(|c| c.is_ascii_lowercase() || c == '_') && !key.is_empty() =>
                {
                    return Err(wrong(
                        "has an unknown key; known are event, pot, pot_type, node, category, src_ip, session, username and text",
                    ));
                }
                _ => filter.texts.push(word.to_lowercase()),
            }
        }
        Ok(filter)
    }

    /// False when no event of the batch can pass.
    pub(crate) fn may_hold(&self, header: &Header) -> bool {
        self.nodes.as_ref().is_none_or(|nodes| nodes.contains(&header.node_id))
            && self.since.is_none_or(|since| header.time_max >= since)
            && self.until.is_none_or(|until| header.time_min < until)
    }

    /// False when the bytes of a whole body show that no event of it can pass.
    pub(crate) fn may_hold_bytes(&self, body: &[u8]) -> bool {
        self.needles().all(|needle| memmem::find(body, needle.as_bytes()).is_some())
    }

    /// The oldest moment of receipt worth looking at: events are never received long before they happen.
    pub(crate) fn received_from(&self) -> Option<Micros> {
        const CLOCK_SKEW_MS: i64 = 24 * 3_600 * 1_000;
        self.since.map(|since| since.plus_ms(-CLOCK_SKEW_MS))
    }

    /// False when the stored form shows that the event cannot pass.
    pub(crate) fn may_pass(&self, event: &StoredEvent<'_>) -> bool {
        self.since.is_none_or(|since| event.time >= since)
            && self.until.is_none_or(|until| event.time < until)
            && self.pot.as_deref().is_none_or(|pot| pot == event.pot_id)
            && self
                .pot_type
                .as_deref()
                .is_none_or(|kind| event.pot_type.unwrap_or_default().eq_ignore_ascii_case(kind))
            && self.event_type.as_ref().is_none_or(|pattern| {
                !normal::type_is_final(event.event_type) || pattern.matches(event.event_type)
            })
            && self.needles().all(|needle| memmem::find(event.data.as_bytes(), needle.as_bytes()).is_some())
            && self.texts.iter().all(|text| contains_folded(event, text))
    }

    /// The last word, on the normal form. The event has passed [`Self::may_hold`] and [`Self::may_pass`].
    pub(crate) fn passes(&self, event: &Event) -> bool {
        self.event_type.as_ref().is_none_or(|pattern| pattern.matches(&event.event_type))
            && self.category.is_none_or(|category| category == event.category)
            && self.session.as_ref().is_none_or(|session| event.session.as_ref() == Some(session))
            && self.username.as_ref().is_none_or(|username| event.username.as_ref() == Some(username))
            && self.src_ip.as_ref().is_none_or(|network| {
                event.src_ip.as_deref().and_then(|ip| ip.parse().ok()).is_some_and(|ip| network.contains(ip))
            })
    }

    /// Texts that must stand in `data` as they are. Only such as JSON never writes in another way.
    fn needles(&self) -> impl Iterator<Item = &str> {
        let plain = |text: &&str| {
            !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b))
        };
        let address = self.src_ip.as_ref().and_then(|network| network.exact_v4.as_deref());
        [self.session.as_deref(), self.username.as_deref(), address].into_iter().flatten().filter(plain)
    }
}

/// Splits at white space; double quotes keep a phrase together, and a backslash in them takes the next character as it is.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quoted = false;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => quoted = !quoted,
            '\\' if quoted => word.extend(chars.next()),
            c if c.is_whitespace() && !quoted => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            c => word.push(c),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

fn contains_folded(event: &StoredEvent<'_>, lower: &str) -> bool {
    // Most text is ASCII in both: no copy of `data` is made for those.
    let (first, rest) = match lower.as_bytes() {
        [] => return true,
        [first, rest @ ..] if lower.is_ascii() => (*first, rest),
        _ => {
            return event.data.to_lowercase().contains(lower)
                || event.event_type.to_lowercase().contains(lower);
        }
    };
    let found = |hay: &[u8]| {
        memchr::memchr2_iter(first, first.to_ascii_uppercase(), hay).any(|at| {
            let end = at + 1 + rest.len();
            hay.get(at + 1..end).is_some_and(|part| part.eq_ignore_ascii_case(rest))
        })
    };
    found(event.data.as_bytes()) || found(event.event_type.as_bytes())
}

/// A name with `*` standing for any text.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern {
    parts: Vec<String>,
}

impl Pattern {
    fn new(text: &str) -> Self {
        Self { parts: text.split('*').map(str::to_owned).collect() }
    }

    fn matches(&self, text: &str) -> bool {
        let [first, middle @ .., last] = self.parts.as_slice() else {
            return self.parts.first().is_none_or(|only| only == text);
        };
        let Some(mut rest) = text.strip_prefix(first.as_str()) else { return false };
        for part in middle {
            match rest.find(part.as_str()) {
                Some(at) => rest = rest.get(at + part.len()..).unwrap_or_default(),
                None => return false,
            }
        }
        rest.ends_with(last.as_str())
    }
}

/// An address or a CIDR block.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Network {
    base: u128,
    mask: u128,
    v4: bool,
    /// The text that a single IPv4 address has in JSON, for the search by bytes.
    exact_v4: Option<String>,
}

impl Network {
    fn parse(text: &str) -> Result<Self, FilterError> {
        let wrong = || FilterError {
            parameter: "src_ip".to_owned(),
            problem: format!(
                "\"{}\" is neither an address nor a network; write 203.0.113.7 or 203.0.113.0/24",
                crate::text::cut(text, 64)
            ),
        };
        let (address, bits) = match text.trim().split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u32>().map_err(|_| wrong())?)),
            None => (text.trim(), None),
        };
        let ip: IpAddr = address.parse().map_err(|_| wrong())?;
        let (value, v4) = number(ip);
        let width = if v4 { 32 } else { 128 };
        let bits = bits.unwrap_or(width);
        if bits > width {
            return Err(wrong());
        }
        // Both families are compared as 128 bits; IPv4 lives in the low 32.
        let host_bits = width - bits;
        let mask = u128::MAX.checked_shl(host_bits).unwrap_or(0);
        let exact_v4 = (v4 && bits == 32).then(|| ip.to_string());
        Ok(Self { base: value & mask, mask, v4, exact_v4 })
    }

    fn contains(&self, ip: IpAddr) -> bool {
        let (value, v4) = number(ip);
        v4 == self.v4 && value & self.mask == self.base
    }
}

fn number(ip: IpAddr) -> (u128, bool) {
    match ip {
        IpAddr::V4(v4) => (u128::from(u32::from(v4)), true),
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => (u128::from(u32::from(v4)), true),
            None => (u128::from(v6), false),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text, expect) in [
            ("cowrie.login.failed", "cowrie.login.failed", true),
            ("cowrie.login.failed", "cowrie.login.failed2", false),
            ("cowrie.login.*", "cowrie.login.failed", true),
            ("cowrie.login.*", "cowrie.logins", false),
            ("*.login.*", "opencanary.ftp.login", false),
            ("*login*", "opencanary.ftp.login", true),
            ("*", "", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "acb", false),
            ("a*a", "a", false),
        ] {
            assert_eq!(Pattern::new(pattern).matches(text), expect, "{pattern} {text}");
        }
    }

    #[test]
    fn networks_hold_their_addresses_and_no_others() {
        let network = Network::parse("203.0.113.0/24").unwrap();
        assert!(network.contains("203.0.113.255".parse().unwrap()));
        assert!(network.contains("::ffff:203.0.113.1".parse().unwrap()));
        assert!(!network.contains("203.0.114.0".parse().unwrap()));
        assert!(!network.contains("::cb00:7101".parse().unwrap()), "an IPv6 number is not an IPv4 one");
        assert!(Network::parse("0.0.0.0/0").unwrap().contains("9.9.9.9".parse().unwrap()));
        assert!(Network::parse("2001:db8::/32").unwrap().contains("2001:db8:1::".parse().unwrap()));
        assert!(!Network::parse("::/0").unwrap().contains("9.9.9.9".parse().unwrap()));
        for wrong in ["", "x", "1.2.3.4/33", "1.2.3.4/-1", "1.2.3", "::/129"] {
            assert!(Network::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn text_is_found_whatever_its_case() {
        let event = |data| StoredEvent {
            time: Micros::from_unix_us(0),
            pot_id: "p",
            pot_type: None,
            event_type: "T.x",
            data,
        };
        for (data, text, expect) in [
            (r#"{"a":"WGET http"}"#, "wget HTTP", true),
            (r#"{"a":"wge"}"#, "wget", false),
            (r#"{"a":"ÄÖ"}"#, "äö", true),
            ("{}", "t.X", true),
            ("{}", "", true),
        ] {
            assert_eq!(contains_folded(&event(data), &text.to_lowercase()), expect, "{data} {text}");
        }
    }

    #[test]
    fn subscription_filters_are_words_joined_by_and() {
        let nodes = |name: &str| if name == "edge" { vec![NodeId(4)] } else { vec![] };
        let filter =
            EventFilter::parse("event:cowrie.* node:edge \"wget http\" src_ip:10.0.0.0/8", nodes).unwrap();
        assert_eq!(filter.nodes, Some(vec![NodeId(4)]));
        assert_eq!(filter.texts, ["wget http"]);
        let filter = EventFilter::parse(r#"wget text:"say \"hi\" c:\\x" curl"#, nodes).unwrap();
        assert_eq!(filter.texts, ["wget", r#"say "hi" c:\x"#, "curl"]);
        let error = EventFilter::parse("colour:red", nodes).unwrap_err();
        assert!(error.to_string().contains("colour:red"), "{error}");
        assert!(EventFilter::parse("category:nope", nodes).is_err());
        assert!(
            EventFilter::parse("http://x", nodes).is_err(),
            "a bare URL must be quoted with text: first word"
        );
    }
}
