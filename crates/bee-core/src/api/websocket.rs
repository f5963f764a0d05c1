//! `/ws`: the module protocol over WebSocket (RFC 6455), for modules and for pages of our own origin.
//!
//! The token comes in the `Authorization` header or, because a browser cannot set that, in the registration. The
//! task that serves the socket is tracked like every other, so that a shutdown waits for it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use bee_wire::ErrorCode;
use bee_wire::api::Problem;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::problem::Refusal;
use super::{Api, Connection, auth, origin};
use crate::modules::{self, Caller, WsPeer};

/// Open a WebSocket that speaks the module protocol
///
/// One JSON message a text frame. The first is `BackendRegistration`; its `token` may be left out when the handshake
/// has an `Authorization` header.
#[utoipa::path(get, path = "/ws", tag = "live", security(("bearer" = []), ()),
    responses((status = 101, description = "The connection speaks WebSocket from here on."), (status = 401, body = Problem), (status = 403, body = Problem), (status = 426, body = Problem)))]
pub(crate) async fn upgrade(State(api): State<Arc<Api>>, request: Request) -> Result<Response, Refusal> {
    switch(&api, request)
}

/// The same where nothing else is served
#[utoipa::path(get, path = "/", tag = "live", responses((status = 101)))]
pub(crate) async fn upgrade_at_root(
    State(api): State<Arc<Api>>,
    request: Request,
) -> Result<Response, Refusal> {
    switch(&api, request)
}

fn switch(api: &Arc<Api>, mut request: Request) -> Result<Response, Refusal> {
    let headers = request.headers();
    let key = handshake_key(headers)?;
    if !origin::is_allowed(headers, &api.handle.config().api_origins) {
        api.handle.counters().ws_origin_refused.one();
        let detail = "a page of this origin may not open a WebSocket here; api.origins allows further ones";
        return Err(Refusal::new(StatusCode::FORBIDDEN, detail));
    }
    let connection = request.extensions().get::<Connection>().cloned();
    let connection =
        connection.ok_or_else(|| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "no connection"))?;
    let principal = match auth::bearer(headers)? {
        Some(secret) => Some(api.authenticate(secret, Some(connection.from.ip()))?),
        None => None,
    };
    let caller = Caller {
        from: connection.from,
        principal,
        may_be_anonymous: origin::is_local_host(headers)
            && !headers.contains_key(header::FORWARDED)
            && !headers.contains_key("x-forwarded-for"),
    };
    let accept = HeaderValue::try_from(derive_accept_key(key.as_bytes()))
        .map_err(|_| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "no accept key"))?;
    let upgraded = hyper::upgrade::on(&mut request);
    let task = Arc::clone(api);
    api.shutdown.spawn(async move {
        // The place among the connections belongs to the socket from here on.
        let _slot = connection.slot;
        match upgraded.await {
            Ok(stream) => {
                let max_frame_bytes = task.handle.config().max_frame_bytes;
                let peer = WsPeer::new(TokioIo::new(stream), max_frame_bytes).await;
                modules::run(Arc::clone(&task.modules), peer, caller, task.shutdown.token()).await;
            }
            Err(error) => tracing::debug!(%error, "a WebSocket handshake was not finished"),
        }
    });
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    Ok(response)
}

/// The key of a proper handshake (RFC 6455 section 4.2.1).
fn handshake_key(headers: &HeaderMap) -> Result<HeaderValue, Refusal> {
    let names = |name: HeaderName, wanted: &str| {
        headers
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .any(|value| value.split(',').any(|token| token.trim().eq_ignore_ascii_case(wanted)))
    };
    if !names(header::CONNECTION, "upgrade") || !names(header::UPGRADE, "websocket") {
        let detail = "this is a WebSocket: ask with `Connection: Upgrade` and `Upgrade: websocket`";
        return Err(Refusal::new(StatusCode::UPGRADE_REQUIRED, detail));
    }
    if !names(header::SEC_WEBSOCKET_VERSION, "13") {
        return Err(Refusal::new(
            StatusCode::UPGRADE_REQUIRED,
            "only version 13 of WebSocket is spoken here",
        ));
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY).filter(|key| key.len() == 24);
    let missing = || {
        Refusal::coded(
            StatusCode::BAD_REQUEST,
            ErrorCode::InvalidMessageFormat,
            "Sec-WebSocket-Key must be 16 bytes in base64",
        )
    };
    key.cloned().ok_or_else(missing)
}
