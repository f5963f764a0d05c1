//! Nodes, their honeypots, and nodes that wait to be let in.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use bee_wire::api::{NodeDetail, NodeList, PendingNodeList, PotList, Problem};

use super::super::Api;
use super::super::auth::{Allowed, NodesAdmin, NodesRead};
use super::super::input::{Answer, Segment};
use super::super::problem::Refusal;
use crate::error::CoreError;

/// Every known node
#[utoipa::path(get, path = "/api/v1/nodes", tag = "nodes", security(("bearer" = ["nodes:read"])),
    responses((status = 200, body = NodeList), (status = 401, body = Problem), (status = 403, body = Problem)))]
pub(crate) async fn nodes(_: Allowed<NodesRead>, State(api): State<Arc<Api>>) -> Json<NodeList> {
    Json(NodeList { nodes: api.handle.nodes() })
}

/// One node with its honeypots
#[utoipa::path(get, path = "/api/v1/nodes/{node_id}", tag = "nodes", security(("bearer" = ["nodes:read"])),
    params(("node_id" = String, Path, description = "The node's id.")),
    responses((status = 200, body = NodeDetail), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem)))]
pub(crate) async fn node(
    _: Allowed<NodesRead>,
    State(api): State<Arc<Api>>,
    id: Segment,
) -> Answer<NodeDetail> {
    let node_id = id.node_id()?;
    api.handle.node(node_id).map(Json).ok_or_else(|| CoreError::NoSuchNode(node_id).into())
}

/// Remove a node; its events stay
#[utoipa::path(delete, path = "/api/v1/nodes/{node_id}", tag = "nodes", security(("bearer" = ["nodes:admin"])),
    params(("node_id" = String, Path, description = "The node's id.")),
    responses((status = 204), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem)))]
pub(crate) async fn remove_node(
    _: Allowed<NodesAdmin>,
    State(api): State<Arc<Api>>,
    id: Segment,
) -> Result<StatusCode, Refusal> {
    api.handle.remove_node(id.node_id()?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Every known honeypot
#[utoipa::path(get, path = "/api/v1/honeypots", tag = "nodes", security(("bearer" = ["nodes:read"])),
    responses((status = 200, body = PotList), (status = 401, body = Problem), (status = 403, body = Problem)))]
pub(crate) async fn honeypots(_: Allowed<NodesRead>, State(api): State<Arc<Api>>) -> Json<PotList> {
    Json(PotList { honeypots: api.handle.pots() })
}

/// Nodes that wait for approval, longest waiting first
#[utoipa::path(get, path = "/api/v1/pending", tag = "enrolment", security(("bearer" = ["nodes:read"])),
    responses((status = 200, body = PendingNodeList), (status = 401, body = Problem), (status = 403, body = Problem)))]
pub(crate) async fn pending(_: Allowed<NodesRead>, State(api): State<Arc<Api>>) -> Json<PendingNodeList> {
    Json(PendingNodeList { pending: api.handle.pending() })
}

/// Let a waiting node in at its next try
#[utoipa::path(post, path = "/api/v1/pending/{node_id}/approve", tag = "enrolment", security(("bearer" = ["nodes:admin"])),
    params(("node_id" = String, Path, description = "The waiting node's id.")),
    responses((status = 200, body = PendingNodeList), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem)))]
pub(crate) async fn approve(
    _: Allowed<NodesAdmin>,
    State(api): State<Arc<Api>>,
    id: Segment,
) -> Answer<PendingNodeList> {
    api.handle.approve(id.node_id()?).await?;
    Ok(Json(PendingNodeList { pending: api.handle.pending() }))
}

/// Refuse a waiting node for good
#[utoipa::path(post, path = "/api/v1/pending/{node_id}/refuse", tag = "enrolment", security(("bearer" = ["nodes:admin"])),
    params(("node_id" = String, Path, description = "The waiting node's id.")),
    responses((status = 200, body = PendingNodeList), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem)))]
pub(crate) async fn refuse(
    _: Allowed<NodesAdmin>,
    State(api): State<Arc<Api>>,
    id: Segment,
) -> Answer<PendingNodeList> {
    api.handle.refuse(id.node_id()?).await?;
    Ok(Json(PendingNodeList { pending: api.handle.pending() }))
}
