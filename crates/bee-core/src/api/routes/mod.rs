//! Every route, one file a subject. A route exists only through [`utoipa_axum::routes!`], so that the document and the
//! router cannot differ.

mod commands;
mod events;
mod fleet;
mod status;
mod tokens;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::problem::Refusal;
use super::{Api, openapi, websocket};
use crate::text;

/// Only what Core itself serves may run or be shown in its pages; attackers write the data that they show.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; \
    img-src 'self' data:; font-src 'self'; connect-src 'self'; worker-src 'self'; base-uri 'none'; \
    form-action 'self'; frame-ancestors 'none'";

/// All routes of 9002, and the document that describes them.
pub(super) fn router() -> (Router<Arc<Api>>, String) {
    let (router, document) = OpenApiRouter::with_openapi(openapi::base())
        .routes(routes!(status::health))
        .routes(routes!(status::openapi))
        .routes(routes!(status::metrics))
        .routes(routes!(status::status))
        .routes(routes!(fleet::nodes))
        .routes(routes!(fleet::node, fleet::remove_node))
        .routes(routes!(fleet::honeypots))
        .routes(routes!(fleet::pending))
        .routes(routes!(fleet::approve))
        .routes(routes!(fleet::refuse))
        .routes(routes!(events::events))
        .routes(routes!(events::event))
        .routes(routes!(events::alerts))
        .routes(routes!(events::artifacts))
        .routes(routes!(commands::give))
        .routes(routes!(commands::commands))
        .routes(routes!(commands::command))
        .routes(routes!(tokens::join_tokens, tokens::create_join_token))
        .routes(routes!(tokens::revoke_join_token))
        .routes(routes!(tokens::api_tokens, tokens::create_api_token))
        .routes(routes!(tokens::revoke_api_token))
        .routes(routes!(websocket::upgrade))
        .routes(routes!(status::page))
        .split_for_parts();
    // The document is plain data; were it ever not to serialise, the test that reads it fails.
    (router, document.to_json().unwrap_or_default())
}

/// The routes of 9003: WebSocket at `/` and `/ws`.
pub(super) fn websocket_only() -> Router<Arc<Api>> {
    let (router, _) = OpenApiRouter::new()
        .routes(routes!(websocket::upgrade))
        .routes(routes!(websocket::upgrade_at_root))
        .split_for_parts();
    router
}

/// What every answer goes through, whatever route it comes from.
pub(super) fn finish(router: Router<Arc<Api>>, api: &Arc<Api>) -> Router {
    router
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn_with_state(Arc::clone(api), every_answer))
        .with_state(Arc::clone(api))
}

async fn every_answer(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let counters = api.handle.counters();
    counters.api_requests.one();
    if response.status().is_server_error() {
        counters.api_errors.one();
    }
    let headers = response.headers_mut();
    let set: [(HeaderName, &'static str); 5] = [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in set {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn not_found(uri: Uri) -> Refusal {
    let path = text::cut(uri.path(), 200);
    Refusal::new(
        StatusCode::NOT_FOUND,
        format!("nothing is at {path}; /api/openapi.json lists what there is"),
    )
}

async fn method_not_allowed(request: Request) -> Refusal {
    let (method, path) = (request.method(), text::cut(request.uri().path(), 200));
    Refusal::new(
        StatusCode::METHOD_NOT_ALLOWED,
        format!("{method} is not possible at {path}; see /api/openapi.json"),
    )
}
