//! Commands to nodes.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use bee_wire::api::{CommandList, CommandRequest, CommandView, Problem};
use bee_wire::limits::PAGE_ITEMS_MAX;
use bee_wire::{CommandId, NodeId};

use super::super::Api;
use super::super::auth::{Allowed, NodesCommand, NodesRead};
use super::super::input::{Answer, JsonBody, Segment};
use super::super::params::Params;
use super::super::problem::Refusal;
use super::events::page_length;

/// Give a node a command
///
/// The command is durable when this answers; it is sent now, or when the node is back, until its time is over.
#[utoipa::path(post, path = "/api/v1/nodes/{node_id}/commands", tag = "commands", security(("bearer" = ["nodes:command"])),
    params(("node_id" = String, Path, description = "The node's id.")), request_body = CommandRequest,
    responses((status = 202, body = CommandView), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem), (status = 429, body = Problem)))]
pub(crate) async fn give(
    _: Allowed<NodesCommand>,
    State(api): State<Arc<Api>>,
    id: Segment,
    JsonBody(request): JsonBody<CommandRequest>,
) -> Result<(StatusCode, Json<CommandView>), Refusal> {
    let timeout = request.timeout_s.map(Duration::from_secs);
    let view = api.handle.command(id.node_id()?, request.command, timeout).await?;
    Ok((StatusCode::ACCEPTED, Json(view)))
}

/// Commands, newest first
///
/// For the next page pass the last `command_id` as `before`.
#[utoipa::path(get, path = "/api/v1/commands", tag = "commands", security(("bearer" = ["nodes:read"])),
    params(
        ("node" = Option<String>, Query, description = "A node's id or name."),
        ("limit" = Option<u64>, Query, minimum = 1, maximum = 1000, description = "Commands on a page; 100 if left out."),
        ("before" = Option<String>, Query, description = "Older than the command of this id."),
    ),
    responses((status = 200, body = CommandList), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem)))]
pub(crate) async fn commands(
    _: Allowed<NodesRead>,
    State(api): State<Arc<Api>>,
    uri: Uri,
) -> Answer<CommandList> {
    let mut params = Params::of(&uri, &["node", "limit", "before"]);
    let node = params.text("node");
    let limit = page_length(params.number("limit", 1..=PAGE_ITEMS_MAX as u64));
    let before: Option<CommandId> = params.parsed("before", "a command id: the last one of the page before");
    let nodes: Option<Vec<NodeId>> = node.map(|node| api.handle.node_ids(&node));
    if nodes.as_ref().is_some_and(Vec::is_empty) {
        params.wrong("node", "is neither the id nor the name of a known node");
    }
    params.finish()?;
    let all =
        |node: Option<NodeId>| api.handle.commands(node, if before.is_some() { usize::MAX } else { limit });
    let mut commands = match nodes {
        None => all(None),
        Some(nodes) => nodes.into_iter().flat_map(|node| all(Some(node))).collect(),
    };
    // UUIDv7: the order of ids is the order of time.
    commands.sort_by_key(|command| std::cmp::Reverse(command.command_id));
    commands.retain(|command| before.is_none_or(|before| command.command_id < before));
    commands.truncate(limit);
    Ok(Json(CommandList { commands }))
}

/// One command and where it stands
#[utoipa::path(get, path = "/api/v1/commands/{id}", tag = "commands", security(("bearer" = ["nodes:read"])),
    params(("id" = String, Path, description = "The command's id.")),
    responses((status = 200, body = CommandView), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem)))]
pub(crate) async fn command(
    _: Allowed<NodesRead>,
    State(api): State<Arc<Api>>,
    id: Segment,
) -> Answer<CommandView> {
    let id: CommandId = id.parsed("a command id, which is a UUID")?;
    let found = api.handle.command_view(id);
    found.map(Json).ok_or_else(|| {
        Refusal::new(StatusCode::NOT_FOUND, format!("no command {id}; old ones are forgotten"))
    })
}
