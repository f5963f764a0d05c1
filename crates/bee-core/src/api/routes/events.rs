//! Stored events, alerts, and what is known of captured files.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use bee_wire::api::{AlertList, ArtifactList, Category, Event, EventPage, EventQuery, Problem};
use bee_wire::id::Cursor;
use bee_wire::limits::PAGE_ITEMS_MAX;
use bee_wire::{ArtifactId, Micros};

use super::super::Api;
use super::super::auth::{Allowed, EventsRead};
use super::super::input::{Answer, Segment};
use super::super::params::Params;
use super::super::problem::Refusal;

const CURSOR: &str = "a cursor: the number in next_cursor of the page before";

/// Stored events, newest first
///
/// All parameters must fit (AND). A page is stable: pass its `next_cursor` as `before` and nothing is seen twice or
/// missed, whatever arrives meanwhile.
#[utoipa::path(get, path = "/api/v1/events", tag = "events", security(("bearer" = ["events:read"])),
    params(
        ("since" = Option<String>, Query, description = "At or after: RFC 3339, Unix seconds or milliseconds, `now-1h` (units s, m, h, d, w)."),
        ("until" = Option<String>, Query, description = "Before, in the same forms."),
        ("node" = Option<String>, Query, description = "A node's id or name."),
        ("pot" = Option<String>, Query, description = "A honeypot's id."),
        ("pot_type" = Option<String>, Query, description = "A kind of honeypot."),
        ("type" = Option<String>, Query, description = "An event type; `cowrie.login.*` takes all that begin so."),
        ("category" = Option<Category>, Query, description = "A category."),
        ("src_ip" = Option<String>, Query, description = "A source address or network (CIDR)."),
        ("session" = Option<String>, Query, description = "A session's id."),
        ("text" = Option<String>, Query, description = "A text anywhere in the honeypot's own fields, whatever its case."),
        ("before" = Option<String>, Query, description = "Older than this event: `next_cursor` of the page before."),
        ("limit" = Option<u64>, Query, minimum = 1, maximum = 1000, description = "Events on a page; 100 if left out."),
    ),
    responses((status = 200, body = EventPage), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem)))]
pub(crate) async fn events(
    _: Allowed<EventsRead>,
    State(api): State<Arc<Api>>,
    uri: Uri,
) -> Answer<EventPage> {
    let query = event_query(&uri, api.handle.now())?;
    Ok(Json(api.handle.events(query).await?))
}

fn event_query(uri: &Uri, now: Micros) -> Result<EventQuery, Refusal> {
    let mut params = Params::of(
        uri,
        &[
            "since", "until", "node", "pot", "pot_type", "type", "category", "src_ip", "session", "text",
            "before", "limit",
        ],
    );
    let categories: Vec<&str> = Category::ALL.iter().map(|category| category.as_str()).collect();
    let categories = format!("a category; known are {}", categories.join(", "));
    let query = EventQuery {
        since: params.time("since", now),
        until: params.time("until", now),
        node: params.text("node"),
        pot: params.text("pot"),
        pot_type: params.text("pot_type"),
        event_type: params.text("type"),
        category: params.parsed::<Name>("category", &categories).map(|name| name.0),
        src_ip: params.text("src_ip"),
        session: params.text("session"),
        text: params.text("text"),
        before: params.parsed("before", CURSOR),
        limit: params.number("limit", 1..=PAGE_ITEMS_MAX as u64),
    };
    if let (Some(since), Some(until)) = (query.since, query.until)
        && since >= until
    {
        params.wrong("until", "is not after since, so nothing can fit; swap them");
    }
    params.finish()?;
    Ok(query)
}

struct Name(Category);

impl std::str::FromStr for Name {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        Category::parse(text).map(Self).ok_or(())
    }
}

/// One event
#[utoipa::path(get, path = "/api/v1/events/{id}", tag = "events", security(("bearer" = ["events:read"])),
    params(("id" = String, Path, description = "The event's id.")),
    responses((status = 200, body = Event), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem)))]
pub(crate) async fn event(_: Allowed<EventsRead>, State(api): State<Arc<Api>>, id: Segment) -> Answer<Event> {
    let number: Cursor = id.parsed("an event id, which is a whole number")?;
    let found = api.handle.event(number).await?;
    found
        .map(Json)
        .ok_or_else(|| Refusal::new(StatusCode::NOT_FOUND, format!("no event {number}; it may have expired")))
}

/// Alerts since Core started, newest first
#[utoipa::path(get, path = "/api/v1/alerts", tag = "events", security(("bearer" = ["events:read"])),
    params(("limit" = Option<u64>, Query, minimum = 1, maximum = 1000, description = "Alerts at most; 100 if left out.")),
    responses((status = 200, body = AlertList), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem)))]
pub(crate) async fn alerts(
    _: Allowed<EventsRead>,
    State(api): State<Arc<Api>>,
    uri: Uri,
) -> Answer<AlertList> {
    let mut params = Params::of(&uri, &["limit"]);
    let limit = params.number("limit", 1..=PAGE_ITEMS_MAX as u64);
    params.finish()?;
    let mut alerts = api.handle.alerts();
    alerts.truncate(page_length(limit));
    Ok(Json(AlertList { alerts }))
}

/// Captured files, newest first; their bytes are not served
///
/// For the next page pass the last `sha256` as `before`.
#[utoipa::path(get, path = "/api/v1/artifacts", tag = "events", security(("bearer" = ["events:read"])),
    params(
        ("limit" = Option<u64>, Query, minimum = 1, maximum = 1000, description = "Files on a page; 100 if left out."),
        ("before" = Option<String>, Query, description = "Older than the file of this SHA-256."),
    ),
    responses((status = 200, body = ArtifactList), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem)))]
pub(crate) async fn artifacts(
    _: Allowed<EventsRead>,
    State(api): State<Arc<Api>>,
    uri: Uri,
) -> Answer<ArtifactList> {
    let mut params = Params::of(&uri, &["limit", "before"]);
    let limit = params.number("limit", 1..=PAGE_ITEMS_MAX as u64);
    let before: Option<ArtifactId> =
        params.parsed("before", "a SHA-256 in hex: the last one of the page before");
    params.finish()?;
    let mut artifacts = api.handle.artifacts().await?;
    if let Some(before) = before {
        let before = before.to_string();
        match artifacts.iter().position(|artifact| artifact.sha256 == before) {
            Some(at) => drop(artifacts.drain(..=at)),
            None => artifacts.clear(),
        }
    }
    artifacts.truncate(page_length(limit));
    Ok(Json(ArtifactList { artifacts }))
}

/// The length of a page that names its limit, or not.
pub(super) fn page_length(limit: Option<u64>) -> usize {
    limit.map_or(100, |limit| usize::try_from(limit).unwrap_or(PAGE_ITEMS_MAX)).min(PAGE_ITEMS_MAX)
}
