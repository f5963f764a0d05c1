//! Join tokens for nodes, and API tokens for people, programs and modules. Secrets are in one answer and nowhere else.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use bee_wire::api::{
    ApiTokenCreated, ApiTokenList, ApiTokenRequest, JoinTokenCreated, JoinTokenList, JoinTokenRequest,
    Problem,
};

use super::super::Api;
use super::super::auth::{Admin, Allowed, NodesAdmin};
use super::super::input::{Answer, JsonBody, Segment};
use super::super::problem::Refusal;

/// Join tokens, newest first
#[utoipa::path(get, path = "/api/v1/join-tokens", tag = "enrolment", security(("bearer" = ["nodes:admin"])),
    responses((status = 200, body = JoinTokenList), (status = 401, body = Problem), (status = 403, body = Problem)))]
pub(crate) async fn join_tokens(_: Allowed<NodesAdmin>, State(api): State<Arc<Api>>) -> Json<JoinTokenList> {
    Json(JoinTokenList { tokens: api.handle.join_tokens() })
}

/// Make a join token; its code is shown this once
#[utoipa::path(post, path = "/api/v1/join-tokens", tag = "enrolment", security(("bearer" = ["nodes:admin"])),
    request_body = JoinTokenRequest,
    responses((status = 201, body = JoinTokenCreated), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem)))]
pub(crate) async fn create_join_token(
    _: Allowed<NodesAdmin>,
    State(api): State<Arc<Api>>,
    JsonBody(request): JsonBody<JoinTokenRequest>,
) -> Result<(StatusCode, Json<JoinTokenCreated>), Refusal> {
    Ok((StatusCode::CREATED, Json(api.handle.create_join_token(request).await?)))
}

/// Revoke a join token
#[utoipa::path(delete, path = "/api/v1/join-tokens/{id}", tag = "enrolment", security(("bearer" = ["nodes:admin"])),
    params(("id" = String, Path, description = "The token's id.")),
    responses((status = 204), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem)))]
pub(crate) async fn revoke_join_token(
    _: Allowed<NodesAdmin>,
    State(api): State<Arc<Api>>,
    id: Segment,
) -> Result<StatusCode, Refusal> {
    api.handle.revoke_join_token(&id.0).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// API and module tokens, oldest first
#[utoipa::path(get, path = "/api/v1/tokens", tag = "tokens", security(("bearer" = ["admin"])),
    responses((status = 200, body = ApiTokenList), (status = 401, body = Problem), (status = 403, body = Problem)))]
pub(crate) async fn api_tokens(_: Allowed<Admin>, State(api): State<Arc<Api>>) -> Answer<ApiTokenList> {
    Ok(Json(ApiTokenList { tokens: api.handle.api_tokens() }))
}

/// Make an API or module token; its secret is shown this once
#[utoipa::path(post, path = "/api/v1/tokens", tag = "tokens", security(("bearer" = ["admin"])),
    request_body = ApiTokenRequest,
    responses((status = 201, body = ApiTokenCreated), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem)))]
pub(crate) async fn create_api_token(
    _: Allowed<Admin>,
    State(api): State<Arc<Api>>,
    JsonBody(request): JsonBody<ApiTokenRequest>,
) -> Result<(StatusCode, Json<ApiTokenCreated>), Refusal> {
    Ok((StatusCode::CREATED, Json(api.handle.create_api_token(request).await?)))
}

/// Revoke an API or module token
#[utoipa::path(delete, path = "/api/v1/tokens/{id}", tag = "tokens", security(("bearer" = ["admin"])),
    params(("id" = String, Path, description = "The token's id.")),
    responses((status = 204), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem)))]
pub(crate) async fn revoke_api_token(
    _: Allowed<Admin>,
    State(api): State<Arc<Api>>,
    id: Segment,
) -> Result<StatusCode, Refusal> {
    api.handle.revoke_api_token(&id.0).await?;
    Ok(StatusCode::NO_CONTENT)
}
