//! Who is asking, and whether they may: bearer tokens, scopes, and a brake on guessing.
//!
//! A handler names the scope it needs in its first argument, [`Allowed`], so a route cannot be written without one.
//! Secrets are looked up by their SHA-256 (`crate::tokens`), whose timing tells nothing about the secret.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use bee_link::limiter::{Limiter, LimiterConfig};
use bee_wire::ErrorCode;
use bee_wire::api::Scope;

use super::problem::Refusal;
use super::{Api, Connection, limits, origin};
use crate::tokens::Principal;

/// The caller was found to hold the scope `S`.
pub(crate) struct Allowed<S> {
    scope: std::marker::PhantomData<fn() -> S>,
}

/// A scope as a type, for [`Allowed`].
pub(crate) trait Needs {
    /// Which one.
    const SCOPE: Scope;
}

macro_rules! needs {
    ($($name:ident),+) => {$(
        #[doc = concat!("Needs the scope `Scope::", stringify!($name), "`.")]
        pub(crate) struct $name;
        impl Needs for $name {
            const SCOPE: Scope = Scope::$name;
        }
    )+};
}

needs!(EventsRead, NodesRead, NodesCommand, NodesAdmin, Admin);

impl<S: Needs> FromRequestParts<Arc<Api>> for Allowed<S> {
    type Rejection = Refusal;

    // Nothing is awaited, but the trait's signature is async.
    fn from_request_parts(
        parts: &mut Parts,
        api: &Arc<Api>,
    ) -> impl Future<Output = Result<Self, Refusal>> + Send {
        let allowed = Self::check(parts, api);
        std::future::ready(allowed)
    }
}

impl<S: Needs> Allowed<S> {
    fn check(parts: &Parts, api: &Api) -> Result<Self, Refusal> {
        let connection = parts.extensions.get::<Connection>();
        let from = connection.map(|connection| connection.from.ip());
        let principal = match bearer(&parts.headers)? {
            Some(secret) => api.authenticate(secret, from)?,
            None => anonymous(parts, api, from).ok_or_else(|| {
                unauthorized(
                    "this needs a token: send `Authorization: Bearer <token>`; `honeybee tokens` makes one",
                )
            })?,
        };
        if principal.may(S::SCOPE) {
            return Ok(Self { scope: std::marker::PhantomData });
        }
        api.handle.counters().api_forbidden.one();
        let detail =
            format!("the token \"{}\" lacks the scope {}; make one that has it", principal.name, S::SCOPE);
        Err(Refusal::coded(StatusCode::FORBIDDEN, ErrorCode::AuthenticationFailed, detail))
    }
}

/// Anonymous reads from this machine, if the operator switched them on. A page in a browser on this machine, and a
/// proxy that speaks for others, are not this machine.
fn anonymous(parts: &Parts, api: &Api, from: Option<IpAddr>) -> Option<Principal> {
    let local = from.is_some_and(|ip| ip.to_canonical().is_loopback())
        && origin::is_local_host(&parts.headers)
        && !parts.headers.contains_key(header::ORIGIN)
        && !parts.headers.contains_key(header::FORWARDED)
        && !parts.headers.contains_key("x-forwarded-for");
    (api.handle.config().api_anonymous_loopback && local).then(|| Principal {
        token_id: String::new(),
        name: "anonymous on loopback".to_owned(),
        scopes: vec![Scope::EventsRead, Scope::NodesRead],
    })
}

/// The secret of `Authorization: Bearer ..` (RFC 6750 section 2.1), if the header is there.
pub(crate) fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default();
    match text.split_once(' ') {
        Some((scheme, secret)) if scheme.eq_ignore_ascii_case("bearer") => Ok(Some(secret.trim())),
        _ => Err(unauthorized("the Authorization header must be `Bearer <token>`")),
    }
}

pub(crate) fn unauthorized(detail: &str) -> Refusal {
    Refusal::coded(StatusCode::UNAUTHORIZED, ErrorCode::AuthenticationFailed, detail)
}

/// Counts wrong tokens per source. A right token always passes, so nobody can lock out a neighbour behind the same
/// address; what is limited is guessing.
pub(crate) struct Failures {
    started: Instant,
    limiter: Mutex<Limiter<IpAddr>>,
}

impl Failures {
    pub(crate) fn new() -> Self {
        let config = LimiterConfig {
            burst: limits::AUTH_FAILURES_MAX,
            refill_ms: limits::AUTH_FORGIVE_MS,
            keys_max: limits::AUTH_SOURCES_MAX,
        };
        Self { started: Instant::now(), limiter: Mutex::new(Limiter::new(config)) }
    }

    /// Counts a failure.
    ///
    /// # Errors
    /// Seconds to wait, when the source has had too many.
    pub(crate) fn fail(&self, from: IpAddr) -> Result<(), u64> {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let source = source_of(from);
        let mut limiter = self.limiter.lock().unwrap_or_else(PoisonError::into_inner);
        let before = limiter.check(&source, now);
        limiter.fail(&source, now);
        before.map_err(|wait_ms| wait_ms.div_ceil(1_000))
    }
}

/// What counts as one source: an IPv4 address, an IPv6 /64.
pub(crate) fn source_of(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bearer_is_read_whatever_the_case_of_its_scheme() {
        let headers =
            |value: &'static str| HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())]);
        assert_eq!(bearer(&headers("bearer  hbt_x")).unwrap(), Some("hbt_x"));
        assert_eq!(bearer(&HeaderMap::new()).unwrap(), None);
        assert!(bearer(&headers("Basic aGJ0")).is_err());
        assert!(bearer(&headers("hbt_x")).is_err());
    }

    #[test]
    fn a_source_that_guesses_is_told_to_wait_and_its_neighbour_is_not() {
        let failures = Failures::new();
        let guesser: IpAddr = "2001:db8::1".parse().unwrap();
        let same_net: IpAddr = "2001:db8::2".parse().unwrap();
        let outcomes: Vec<_> = (0..100).map(|_| failures.fail(guesser)).collect();
        assert!(outcomes.iter().take(20).all(Result::is_ok));
        assert!(outcomes.last().unwrap().is_err());
        assert!(failures.fail(same_net).is_err(), "an IPv6 /64 is one source");
        assert!(failures.fail("192.0.2.1".parse().unwrap()).is_ok());
    }
}
