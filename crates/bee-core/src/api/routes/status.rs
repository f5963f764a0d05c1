//! Core itself: health, status, metrics, the OpenAPI document and the start page.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{Html, IntoResponse};
use bee_wire::api::{CoreStatus, HealthStatus, Problem};

use super::super::auth::{Allowed, NodesRead};
use super::super::input::Answer;
use super::super::{Api, metrics, problems};

/// No script, no style, no request: it passes the policy it is served under.
const PAGE: &str = "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
<meta name=\"viewport\" content=\"width=device-width\">\n<title>HoneyBee Core</title>\n</head>\n<body>\n\
<h1>HoneyBee Core</h1>\n<p>The dashboard is not built into this binary.</p>\n\
<p>On this machine the command line shows the same: <code>honeybee nodes ls</code>, <code>honeybee events ls</code>, \
<code>honeybee events tail</code>.</p>\n\
<p>Programs use the REST API: <a href=\"/api/openapi.json\">/api/openapi.json</a> describes it. \
Live events come over WebSocket at <code>/ws</code>.</p>\n</body>\n</html>\n";

/// Whether Core answers
#[utoipa::path(get, path = "/health", tag = "core", responses((status = 200, body = HealthStatus)))]
pub(crate) async fn health() -> Json<HealthStatus> {
    Json(HealthStatus { status: "ok".to_owned() })
}

/// This document
#[utoipa::path(get, path = "/api/openapi.json", tag = "core", responses((status = 200, content_type = "application/json", body = serde_json::Value)))]
pub(crate) async fn openapi(State(api): State<Arc<Api>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], api.openapi.clone())
}

/// Counters and values for Prometheus
#[utoipa::path(get, path = "/metrics", tag = "core", security(("bearer" = ["nodes:read"])),
    responses((status = 200, body = String, content_type = "text/plain"), (status = 401, body = Problem), (status = 403, body = Problem)))]
pub(crate) async fn metrics(_: Allowed<NodesRead>, State(api): State<Arc<Api>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics::render(&api.handle))
}

/// How Core is
///
/// `problems` names what is wrong, each with what to do about it. `counters` has the names of `/metrics` without
/// their prefix `honeybee_`.
#[utoipa::path(get, path = "/api/v1/status", tag = "core", security(("bearer" = ["nodes:read"])),
    responses((status = 200, body = CoreStatus), (status = 401, body = Problem), (status = 403, body = Problem)))]
pub(crate) async fn status(_: Allowed<NodesRead>, State(api): State<Arc<Api>>) -> Answer<CoreStatus> {
    let mut status = api.handle.status().await;
    status.problems.extend(problems::of(&api.handle));
    Ok(Json(status))
}

/// The start page
#[utoipa::path(get, path = "/", tag = "core", responses((status = 200, body = String, content_type = "text/html")))]
pub(crate) async fn page() -> Html<&'static str> {
    Html(PAGE)
}
