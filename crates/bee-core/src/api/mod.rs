//! The doors that people and programs use: REST, `/metrics` and WebSocket on 9002 and 9003, modules on 9002.
//!
//! [`serve`] is called once by whoever started Core. [`port`] tells TLS, HTTP and modules apart and bounds all of
//! them; [`routes`] holds one file a subject, where handler, route and entry of the OpenAPI document are one thing;
//! `crate::modules` speaks the module protocol. Everything is asked of [`CoreHandle`]; nothing here reads Core's
//! state past it, and HTTP statuses appear nowhere else in this crate.

mod auth;
mod input;
pub(crate) mod limits;
mod metrics;
mod openapi;
pub(crate) mod origin;
mod params;
mod port;
mod problem;
mod problems;
mod routes;
mod stream;
mod websocket;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bee_daemon::shutdown::Shutdown;
use tokio::net::TcpListener;

use crate::handle::CoreHandle;
use crate::modules::Modules;
use crate::tokens::Principal;
use auth::Failures;
use problem::Refusal;

pub use openapi::document as openapi_document;

/// What all handlers share.
pub(crate) struct Api {
    handle: CoreHandle,
    modules: Arc<Modules>,
    shutdown: Shutdown,
    /// The OpenAPI document, written once.
    openapi: String,
}

/// The connection that a request came by.
#[derive(Clone)]
pub(crate) struct Connection {
    from: SocketAddr,
    // Held by whatever outlives the HTTP connection, such as a WebSocket.
    slot: Arc<port::Slot>,
}

/// Serves the API on the listeners of [`crate::Core::take_listeners`] until the shutdown starts. Spawns and returns;
/// every task is tracked by `shutdown`.
pub fn serve(handle: CoreHandle, api: TcpListener, ws: Option<TcpListener>, shutdown: &Shutdown) {
    let modules = Arc::new(Modules::new(handle.clone(), Failures::new()));
    let (router, openapi) = routes::router();
    let state = Arc::new(Api { handle, modules, shutdown: shutdown.clone(), openapi });
    let open = Arc::new(port::Open::default());
    let full = port::Port::new(
        Arc::clone(&state),
        Arc::clone(&open),
        routes::finish(router, &state),
        port::Speaks::All,
    );
    shutdown.spawn(port::listen(api, Arc::new(full)));
    if let Some(ws) = ws {
        let router = routes::finish(routes::websocket_only(), &state);
        let only = port::Port::new(state, open, router, port::Speaks::WebSocket);
        shutdown.spawn(port::listen(ws, Arc::new(only)));
    }
}

impl Api {
    /// Who a secret belongs to. Failures of a source are counted and, past a limit, answered with "wait".
    fn authenticate(&self, secret: &str, from: Option<IpAddr>) -> Result<Principal, Refusal> {
        use axum::http::StatusCode;
        use bee_wire::ErrorCode;

        if let Some(principal) = self.handle.authenticate(secret) {
            return Ok(principal);
        }
        self.handle.counters().api_auth_failures.one();
        match from.map(|from| self.modules.failures().fail(from)) {
            Some(Err(wait_s)) => {
                let detail = format!("too many wrong tokens from this address; wait {wait_s} seconds");
                Err(Refusal::coded(StatusCode::TOO_MANY_REQUESTS, ErrorCode::AuthenticationFailed, detail)
                    .retry_after(wait_s))
            }
            _ => Err(auth::unauthorized(
                "the token is wrong, expired or revoked; `honeybee tokens` makes another",
            )),
        }
    }
}

pub(crate) use auth::Failures as AuthFailures;
