//! Who gets in: the decision on a login, made from the configuration and what this source tried before.
//!
//! Pure: the SSH and Telnet traps ask [`Gate::admit`] and record the answer.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Mutex;

use regex_lite::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

/// Sources whose attempts are remembered for the `after` policy; the oldest is forgotten first.
const SOURCES_MAX: usize = 4096;
/// Lines of a userdb.
const USERS_MAX: usize = 1000;

/// How logins are decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// The first matching line of `users` decides; no match refuses.
    #[default]
    Userdb,
    /// Everybody gets in at once.
    Any,
    /// A source gets in with its `after_attempts`-th password and keeps that pair.
    After,
    /// Nobody gets in: credentials are collected.
    None,
}

/// The `auth` member of a trap's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthConfig {
    /// How logins are decided.
    pub policy: Policy,
    /// Lines of Cowrie's userdb, `user:x:password`: `*` is anything, `!` before the password refuses, `/regex/` and `/regex/i` match.
    pub users: Vec<String>,
    /// With policy `after`: the attempt of a source that gets in.
    pub after_attempts: u32,
}

impl Default for AuthConfig {
    fn default() -> Self {
        // Cowrie's own default: root with the passwords that every scanner tries first is refused, so that a trap is not the one host on which everything works.
        let users = ["root:x:!root", "root:x:!123456", "root:x:!/honeypot/i", "*:x:*"];
        Self { policy: Policy::Userdb, users: users.map(String::from).to_vec(), after_attempts: 3 }
    }
}

impl AuthConfig {
    /// Says what is wrong, naming the key.
    ///
    /// # Errors
    /// The sentence shown to the operator.
    pub fn check(&self) -> Result<(), String> {
        if self.after_attempts == 0 {
            return Err("`auth.after_attempts` is 0; it must be at least 1".into());
        }
        if self.users.len() > USERS_MAX {
            return Err(format!("`auth.users` has {} lines; it may have {USERS_MAX}", self.users.len()));
        }
        self.users.iter().try_for_each(|line| Rule::parse(line).map(|_| ()))
    }
}

/// Decides logins. One per trap, shared by its sessions.
#[derive(Debug)]
pub struct Gate {
    policy: Policy,
    rules: Vec<Rule>,
    after_attempts: u32,
    sources: Mutex<VecDeque<Source>>,
}

#[derive(Debug)]
struct Source {
    addr: IpAddr,
    attempts: u32,
    admitted: Option<(String, String)>,
}

#[derive(Debug)]
struct Rule {
    user: Pattern,
    password: Pattern,
    admit: bool,
}

#[derive(Debug)]
enum Pattern {
    Anything,
    Exactly(String),
    Regex(Box<Regex>),
}

impl Gate {
    /// Builds the gate of a checked configuration; a line that does not parse is an error that names it.
    ///
    /// # Errors
    /// The sentence shown to the operator.
    pub fn new(config: &AuthConfig) -> Result<Self, String> {
        config.check()?;
        let rules = config.users.iter().map(|line| Rule::parse(line)).collect::<Result<_, _>>()?;
        Ok(Self {
            policy: config.policy,
            rules,
            after_attempts: config.after_attempts,
            sources: Mutex::default(),
        })
    }

    /// Whether this pair gets in.
    #[must_use]
    pub fn admit(&self, source: IpAddr, user: &str, password: &str) -> bool {
        match self.policy {
            Policy::Any => true,
            Policy::None => false,
            Policy::Userdb => self
                .rules
                .iter()
                .find(|r| r.user.matches(user) && r.password.matches(password))
                .is_some_and(|r| r.admit),
            Policy::After => self.admit_after(source, user, password),
        }
    }

    fn admit_after(&self, addr: IpAddr, user: &str, password: &str) -> bool {
        let Ok(mut sources) = self.sources.lock() else { return false };
        let mut source = match sources.iter().position(|s| s.addr == addr) {
            Some(at) => sources.remove(at).unwrap_or(Source { addr, attempts: 0, admitted: None }),
            None => Source { addr, attempts: 0, admitted: None },
        };
        source.attempts = source.attempts.saturating_add(1);
        let admit = match &source.admitted {
            Some((u, p)) => u == user && p == password,
            None => source.attempts >= self.after_attempts,
        };
        if admit && source.admitted.is_none() {
            source.admitted = Some((user.to_owned(), password.to_owned()));
        }
        if sources.len() >= SOURCES_MAX {
            sources.pop_front();
        }
        sources.push_back(source);
        admit
    }
}

impl Rule {
    fn parse(line: &str) -> Result<Self, String> {
        let mut parts = line.splitn(3, ':');
        let (Some(user), Some(_), Some(password)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(format!("`auth.users` has the line {line:?}; a line is user:x:password"));
        };
        let (admit, password) = match password.strip_prefix('!') {
            Some(rest) => (false, rest),
            None => (true, password),
        };
        let pattern = |text| {
            Pattern::parse(text).map_err(|e| {
                format!("`auth.users` has the line {line:?}, whose expression does not parse: {e}")
            })
        };
        Ok(Self { user: pattern(user)?, password: pattern(password)?, admit })
    }
}

impl Pattern {
    fn parse(text: &str) -> Result<Self, regex_lite::Error> {
        let (body, ignore_case) = match text.strip_suffix("/i") {
            Some(rest) => (rest.strip_prefix('/'), true),
            None => (text.strip_suffix('/').and_then(|rest| rest.strip_prefix('/')), false),
        };
        match body {
            Some(expression) => {
                // A userdb line is the operator's, but a bound costs nothing.
                let regex = RegexBuilder::new(expression)
                    .case_insensitive(ignore_case)
                    .size_limit(1 << 20)
                    .build()?;
                Ok(Self::Regex(Box::new(regex)))
            }
            None if text == "*" => Ok(Self::Anything),
            None => Ok(Self::Exactly(text.to_owned())),
        }
    }

    fn matches(&self, text: &str) -> bool {
        match self {
            Self::Anything => true,
            Self::Exactly(wanted) => wanted == text,
            Self::Regex(regex) => regex.is_match(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn gate(policy: Policy, users: &[&str], after_attempts: u32) -> Gate {
        let users = users.iter().map(ToString::to_string).collect();
        Gate::new(&AuthConfig { policy, users, after_attempts }).unwrap()
    }

    fn check(gate: &Gate, user: &str, password: &str, expect: bool) {
        assert_eq!(gate.admit(Ipv4Addr::LOCALHOST.into(), user, password), expect, "{user}/{password}");
    }

    #[test]
    fn the_default_refuses_roots_first_guesses_and_admits_the_rest() {
        let gate = Gate::new(&AuthConfig::default()).unwrap();
        check(&gate, "root", "root", false);
        check(&gate, "root", "123456", false);
        check(&gate, "root", "HoneyPot1", false);
        check(&gate, "root", "hunter2", true);
        check(&gate, "admin", "admin", true);
    }

    #[test]
    fn the_first_matching_line_decides_and_no_match_refuses() {
        let gate = gate(Policy::Userdb, &["pi:x:raspberry", "ubnt:x:!*", "/^adm/:x:/^[0-9]+$/"], 1);
        check(&gate, "pi", "raspberry", true);
        check(&gate, "pi", "Raspberry", false);
        check(&gate, "ubnt", "ubnt", false);
        check(&gate, "admin", "1234", true);
        check(&gate, "admin", "abc", false);
        check(&gate, "root", "", false);
    }

    #[test]
    fn after_admits_the_nth_attempt_of_a_source_and_then_only_that_pair() {
        let gate = gate(Policy::After, &[], 3);
        check(&gate, "root", "a", false);
        check(&gate, "root", "b", false);
        check(&gate, "root", "c", true);
        check(&gate, "root", "d", false);
        check(&gate, "root", "c", true);
        assert!(!gate.admit(Ipv4Addr::new(192, 0, 2, 1).into(), "root", "c"), "another source starts anew");
    }

    #[test]
    fn many_sources_do_not_grow_the_memory() {
        let gate = gate(Policy::After, &[], 2);
        for n in 0..(SOURCES_MAX as u32 + 500) {
            let _ = gate.admit(Ipv4Addr::from_bits(n).into(), "u", "p");
        }
        assert_eq!(gate.sources.lock().unwrap().len(), SOURCES_MAX);
    }

    #[test]
    fn a_password_may_contain_colons() {
        let gate = gate(Policy::Userdb, &["a:x:b:c"], 1);
        check(&gate, "a", "b:c", true);
    }
}
