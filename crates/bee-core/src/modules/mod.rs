//! The module protocol (PROTOCOL section 8): one implementation over any framed peer.
//!
//! `crate::api` hands over connections from bare TCP on 9002 and WebSocket on 9002 and 9003; [`peer`] makes both look
//! alike, [`session`] is the conversation, [`answers`] what Core says to each command, [`feed`] what it pushes. A
//! module's bad message costs it an error reply; what it may do is decided by its token's scopes.

mod answers;
mod feed;
mod peer;
mod session;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bee_wire::api::Scope;
use bee_wire::module::{BackendRegistration, BackendResponse};
use bee_wire::{ErrorCode, Micros};

pub(crate) use peer::{TcpPeer, WsPeer, keep_alive};
pub(crate) use session::run;

use crate::api::{AuthFailures, limits};
use crate::events::age_ms;
use crate::handle::CoreHandle;
use crate::text;
use crate::tokens::Principal;

/// What all modules share.
pub(crate) struct Modules {
    handle: CoreHandle,
    failures: AuthFailures,
    next_id: AtomicU64,
    registered: AtomicUsize,
    // By source and key: when it was raised, and as what.
    alerts: Mutex<HashMap<(String, String), (Micros, String)>>,
}

/// Who is at the other end, as far as the transport knows.
pub(crate) struct Caller {
    /// Its address.
    pub(crate) from: SocketAddr,
    /// Who the token of the handshake belongs to, if there was one.
    pub(crate) principal: Option<Principal>,
    /// Whether the transport speaks against treating a loopback address as this machine.
    pub(crate) may_be_anonymous: bool,
}

/// A registered module. Its place is given back when dropped.
struct Module {
    modules: Arc<Modules>,
    id: u64,
    name: String,
    principal: Principal,
}

impl Modules {
    /// Nobody is registered yet. `failures` is shared with the REST API, so that guessing counts once.
    pub(crate) fn new(handle: CoreHandle, failures: AuthFailures) -> Self {
        Self {
            handle,
            failures,
            next_id: AtomicU64::new(1),
            registered: AtomicUsize::new(0),
            alerts: Mutex::default(),
        }
    }

    /// Wrong tokens by source.
    pub(crate) fn failures(&self) -> &AuthFailures {
        &self.failures
    }

    /// Lets a module in, or says why not.
    fn admit(
        self: &Arc<Self>,
        registration: &BackendRegistration,
        caller: &Caller,
    ) -> Result<Module, BackendResponse> {
        let name = text::cut(registration.backend_name.trim(), limits::MODULE_NAME_BYTES_MAX).to_owned();
        if name.is_empty() {
            let text = "backend_name is empty; say what this module is";
            return Err(BackendResponse::failure(ErrorCode::InvalidMessageFormat, text));
        }
        let principal = self.principal(registration, caller)?;
        if self.registered.fetch_add(1, Ordering::Relaxed) >= limits::MODULES_MAX {
            self.registered.fetch_sub(1, Ordering::Relaxed);
            let text =
                format!("{} modules are connected, which is the limit; close some", limits::MODULES_MAX);
            return Err(BackendResponse::failure(ErrorCode::RegistrationFailed, text));
        }
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        Ok(Module { modules: Arc::clone(self), id, name, principal })
    }

    fn principal(
        &self,
        registration: &BackendRegistration,
        caller: &Caller,
    ) -> Result<Principal, BackendResponse> {
        let refused = |text: &str| BackendResponse::failure(ErrorCode::AuthenticationFailed, text);
        let secret =
            registration.token.as_ref().map(|token| token.expose().trim()).filter(|token| !token.is_empty());
        if let Some(secret) = secret {
            if let Some(principal) = self.handle.authenticate(secret) {
                return Ok(principal);
            }
            self.handle.counters().api_auth_failures.one();
            return Err(match self.failures.fail(caller.from.ip()) {
                Ok(()) => refused("the token is wrong, expired or revoked; `honeybee tokens` makes another"),
                Err(wait_s) => {
                    refused(&format!("too many wrong tokens from this address; wait {wait_s} seconds"))
                }
            });
        }
        if let Some(principal) = &caller.principal {
            return Ok(principal.clone());
        }
        let local = caller.may_be_anonymous && caller.from.ip().to_canonical().is_loopback();
        if self.handle.config().modules_anonymous_loopback && local {
            // Every command of a backend written before tokens works; tokens and their like stay out of reach.
            let scopes = Scope::ALL.iter().copied().filter(|scope| *scope != Scope::Admin).collect();
            return Ok(Principal {
                token_id: String::new(),
                name: "anonymous on loopback".to_owned(),
                scopes,
            });
        }
        Err(refused(
            "a module needs a token: put one made by `honeybee tokens` into BackendRegistration.token \
             (or, for old backends on this machine, set modules.allow_anonymous_loopback)",
        ))
    }

    /// The alert of the same source and key that was raised within the hour, if there is one.
    fn repeated_alert(&self, source: &str, key: &str, now: Micros) -> Option<String> {
        let alerts = self.alerts.lock().unwrap_or_else(PoisonError::into_inner);
        let (raised, id) = alerts.get(&(source.to_owned(), key.to_owned()))?;
        (age_ms(now, *raised) < limits::ALERT_SAME_MS).then(|| id.clone())
    }

    /// Remembers a raised alert by its key. When there are too many keys a new one is not remembered, so that the
    /// alert is rather raised twice than not at all.
    fn remember_alert(&self, source: &str, key: &str, now: Micros, id: &str) {
        let mut alerts = self.alerts.lock().unwrap_or_else(PoisonError::into_inner);
        if alerts.len() >= limits::ALERT_KEYS_MAX {
            alerts.retain(|_, (raised, _)| age_ms(now, *raised) < limits::ALERT_SAME_MS);
        }
        if alerts.len() < limits::ALERT_KEYS_MAX {
            alerts.insert((source.to_owned(), key.to_owned()), (now, id.to_owned()));
        }
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        self.modules.registered.fetch_sub(1, Ordering::Relaxed);
    }
}
