//! What Core answers to each request of a module: one response a request, whatever happens.

use std::time::Instant;

use bee_link::limiter::{Limiter, LimiterConfig};
use bee_wire::api::{EventQuery, Node, Scope};
use bee_wire::id::{Cursor, RequestId};
use bee_wire::module::{
    BackendCommand, BackendMessage, BackendResponse, Lagged, Log, LogLevel, ModuleMessage, PublishEvent,
    RaiseAlert, Request, Subscribe, Topic,
};
use bee_wire::{ErrorCode, encode_backend};
use serde::Serialize;
use serde_json::{Value, json};

use super::Module;
use super::feed::Feed;
use super::session::reply;
use crate::api::limits;
use crate::error::CoreError;
use crate::live::OnLag;

/// Longest filter of a subscription, bytes.
const FILTER_BYTES_MAX: usize = 4_096;
/// Longest text among the short ones of an event or alert, bytes.
const NAME_BYTES_MAX: usize = 256;
/// Longest log line kept, characters.
const LOG_CHARS_MAX: usize = 500;

/// An answer, or why not.
type Answer = Result<BackendResponse, Refused>;

/// A refusal in the words of the protocol.
struct Refused(ErrorCode, String);

impl From<CoreError> for Refused {
    fn from(error: CoreError) -> Self {
        let code = match error {
            CoreError::NoSuchNode(_) => ErrorCode::NodeNotFound,
            CoreError::Invalid { .. } => ErrorCode::InvalidCommand,
            CoreError::NotFound { .. }
            | CoreError::TooMany(_)
            | CoreError::State(_)
            | CoreError::Log(_)
            | CoreError::Closed => ErrorCode::CommandFailed,
        };
        Self(code, error.to_string())
    }
}

/// The answer to a good registration.
pub(super) fn welcome(module: &Module) -> BackendResponse {
    let scopes: Vec<&str> = module.principal.scopes.iter().map(|scope| scope.as_str()).collect();
    let data = json!({ "backend_id": module.id, "scopes": scopes, "version": env!("CARGO_PKG_VERSION") });
    BackendResponse::success(format!("registered as {}", module.id), Some(data))
}

/// Answers one module's requests.
pub(super) struct Answering<'a> {
    module: &'a Module,
    started: Instant,
    log_lines: Limiter<()>,
}

impl<'a> Answering<'a> {
    pub(super) fn new(module: &'a Module) -> Self {
        let config =
            LimiterConfig { burst: limits::LOG_LINES_MAX, refill_ms: limits::LOG_LINE_MS, keys_max: 1 };
        Self { module, started: Instant::now(), log_lines: Limiter::new(config) }
    }

    /// The messages that answer a request, encoded. A new subscription goes into `feed`.
    pub(super) async fn answer(&mut self, request: Request<ModuleMessage>, feed: &mut Feed) -> Vec<Vec<u8>> {
        let Request { request_id, message } = request;
        let answer = match message {
            ModuleMessage::Ping => {
                return vec![encode_backend(&Request { request_id, message: BackendMessage::Pong })];
            }
            ModuleMessage::Pong | ModuleMessage::BackendDrop => return Vec::new(),
            ModuleMessage::Subscribe(subscribe) => return self.subscribe(request_id, subscribe, feed),
            ModuleMessage::Unsubscribe => {
                *feed = Feed::default();
                Ok(BackendResponse::success("unsubscribed", None))
            }
            ModuleMessage::BackendRegistration(_) => {
                let text = format!("registered already, as {}", self.module.id);
                Err(Refused(ErrorCode::InvalidCommand, text))
            }
            ModuleMessage::BackendCommand(command) => self.command(command).await,
            ModuleMessage::Query(query) => self.query(*query).await,
            ModuleMessage::PublishEvent(event) => self.publish(event).await,
            ModuleMessage::RaiseAlert(alert) => self.alert(alert),
            ModuleMessage::Log(line) => self.log(&line),
        };
        vec![reply(request_id, response(answer))]
    }

    fn needs(&self, scope: Scope) -> Result<(), Refused> {
        if self.module.principal.may(scope) {
            return Ok(());
        }
        self.module.modules.handle.counters().api_forbidden.one();
        let text = format!("the token \"{}\" lacks the scope {scope}", self.module.principal.name);
        Err(Refused(ErrorCode::AuthenticationFailed, text))
    }

    async fn command(&self, command: BackendCommand) -> Answer {
        let handle = &self.module.modules.handle;
        match command {
            BackendCommand::GetNodes => {
                self.needs(Scope::NodesRead)?;
                listed(handle.nodes())
            }
            BackendCommand::GetNodesByStatus(by) => {
                self.needs(Scope::NodesRead)?;
                listed(handle.nodes().into_iter().filter(|node| node.status == by.status).collect())
            }
            BackendCommand::GetNode(node) => {
                self.needs(Scope::NodesRead)?;
                let found = handle.node(node.node_id).ok_or(CoreError::NoSuchNode(node.node_id))?;
                succeeded(format!("node {}", node.node_id), &found)
            }
            BackendCommand::GetNodeCount => {
                self.needs(Scope::NodesRead)?;
                let count = handle.nodes().len();
                Ok(BackendResponse::success(format!("{count} nodes"), Some(json!({ "count": count }))))
            }
            BackendCommand::GetActiveConnections => {
                self.needs(Scope::NodesRead)?;
                let nodes = handle.connected_nodes();
                let data = json!({ "count": nodes.len(), "nodes": nodes });
                Ok(BackendResponse::success(format!("{} nodes are connected", nodes.len()), Some(data)))
            }
            BackendCommand::RemoveNode(node) => {
                self.needs(Scope::NodesAdmin)?;
                handle.remove_node(node.node_id).await?;
                Ok(BackendResponse::success(format!("node {} is removed", node.node_id), None))
            }
            BackendCommand::NodeCommand(to) => {
                self.needs(Scope::NodesCommand)?;
                let view = handle.command(to.node_id, to.command, None).await?;
                succeeded(format!("the command for node {} is {}", to.node_id, view.state), &view)
            }
            BackendCommand::BroadcastCommand(broadcast) => {
                self.needs(Scope::NodesCommand)?;
                let views = handle.broadcast(broadcast.command, None).await?;
                let nodes: Vec<_> = views.iter().map(|view| view.node_id).collect();
                let text = format!("the command was given to {} connected nodes", nodes.len());
                succeeded(text, &json!({ "nodes": nodes, "commands": views }))
            }
        }
    }

    async fn query(&self, query: EventQuery) -> Answer {
        self.needs(Scope::EventsRead)?;
        let page = self.module.modules.handle.events(query).await?;
        succeeded(format!("{} events", page.events.len()), &page)
    }

    async fn publish(&self, event: PublishEvent) -> Answer {
        self.needs(Scope::EventsWrite)?;
        let wrong = |text: String| Err(Refused(ErrorCode::InvalidCommand, text));
        if event.event_type.is_empty() || event.event_type.len() > NAME_BYTES_MAX {
            return wrong(format!("event_type must have 1 to {NAME_BYTES_MAX} bytes"));
        }
        let names = [("pot_id", &event.pot_id), ("pot_type", &event.pot_type)];
        if let Some((name, _)) =
            names.iter().find(|(_, text)| text.as_ref().is_some_and(|text| text.len() > NAME_BYTES_MAX))
        {
            return wrong(format!("{name} must have at most {NAME_BYTES_MAX} bytes"));
        }
        if event.data.get().len() > limits::PUBLISH_BYTES_MAX {
            return wrong(format!("data must have at most {} bytes", limits::PUBLISH_BYTES_MAX));
        }
        if event.tags.len() > limits::LIST_MAX || event.tags.iter().any(|tag| tag.len() > NAME_BYTES_MAX) {
            return wrong(format!(
                "tags are at most {}, of at most {NAME_BYTES_MAX} bytes each",
                limits::LIST_MAX
            ));
        }
        let stored = self.module.modules.handle.publish_event(&self.module.name, event);
        match tokio::time::timeout(limits::PUBLISH_MAX, stored).await {
            Ok(stored) => {
                let id: Cursor = stored?;
                self.module.modules.handle.counters().module_events.one();
                Ok(BackendResponse::success(format!("stored as {id}"), Some(json!({ "id": id }))))
            }
            Err(_) => {
                let seconds = limits::PUBLISH_MAX.as_secs();
                let text = format!(
                    "not on disk after {seconds} seconds; it is stored when the disk takes events again"
                );
                Err(Refused(ErrorCode::CommandTimeout, text))
            }
        }
    }

    fn alert(&self, alert: RaiseAlert) -> Answer {
        self.needs(Scope::AlertsWrite)?;
        let wrong = |text: String| Err(Refused(ErrorCode::InvalidCommand, text));
        if alert.title.trim().is_empty() {
            return wrong("title is empty; say in one line what it is".to_owned());
        }
        if alert.events.len() > limits::LIST_MAX {
            return wrong(format!("an alert names at most {} events", limits::LIST_MAX));
        }
        if alert.dedup_key.as_ref().is_some_and(|key| key.len() > NAME_BYTES_MAX) {
            return wrong(format!("dedup_key must have at most {NAME_BYTES_MAX} bytes"));
        }
        let (modules, name) = (&self.module.modules, self.module.name.as_str());
        let (handle, now) = (&modules.handle, modules.handle.now());
        let key = alert.dedup_key.clone();
        if let Some(id) = key.as_deref().and_then(|key| modules.repeated_alert(name, key, now)) {
            handle.counters().alerts_repeated.one();
            let data = json!({ "id": id, "repeated": true });
            return Ok(BackendResponse::success("the same alert was raised within the hour", Some(data)));
        }
        let raised = handle.raise_alert(name, alert);
        handle.counters().alerts_raised.one();
        if let Some(key) = key {
            modules.remember_alert(name, &key, now, &raised.id);
        }
        Ok(BackendResponse::success("raised", Some(json!({ "id": raised.id, "repeated": false }))))
    }

    fn log(&mut self, line: &Log) -> Answer {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        if let Err(wait_ms) = self.log_lines.check(&(), now) {
            self.module.modules.handle.counters().module_log_lines_dropped.one();
            return Err(Refused(ErrorCode::CommandFailed, format!("too many log lines; wait {wait_ms} ms")));
        }
        self.log_lines.fail(&(), now);
        let module = bee_daemon::escape::untrusted_max(&self.module.name, 64);
        let text = bee_daemon::escape::untrusted_max(&line.message, LOG_CHARS_MAX);
        match line.level {
            LogLevel::Debug => tracing::debug!(%module, %text, "a module says"),
            LogLevel::Info => tracing::info!(%module, %text, "a module says"),
            LogLevel::Warn => tracing::warn!(%module, %text, "a module says"),
            LogLevel::Error => tracing::error!(%module, %text, "a module says"),
        }
        Ok(BackendResponse::success("logged", None))
    }

    fn subscribe(
        &self,
        request_id: Option<RequestId>,
        subscribe: Subscribe,
        feed: &mut Feed,
    ) -> Vec<Vec<u8>> {
        match self.subscribed(subscribe) {
            Ok((new, cursor, topics, gone)) => {
                *feed = new;
                let data = json!({ "cursor": cursor, "topics": topics });
                let mut messages =
                    vec![reply(request_id, BackendResponse::success("subscribed", Some(data)))];
                messages.extend(gone.map(|gone| encode_backend(&BackendMessage::Lagged(gone).into())));
                messages
            }
            Err(refused) => vec![reply(request_id, response(Err(refused)))],
        }
    }

    /// The subscription, where it begins, and what of the wanted stretch the log no longer has.
    fn subscribed(
        &self,
        subscribe: Subscribe,
    ) -> Result<(Feed, Cursor, Vec<Topic>, Option<Lagged>), Refused> {
        let handle = &self.module.modules.handle;
        let Subscribe { mut topics, filter, from } = subscribe;
        if topics.is_empty() {
            topics.push(Topic::Events);
        }
        topics.sort_unstable_by_key(|topic| topic.as_str());
        topics.dedup();
        for topic in &topics {
            self.needs(match topic {
                Topic::Events | Topic::Alerts => Scope::EventsRead,
                Topic::Nodes | Topic::Pots => Scope::NodesRead,
            })?;
        }
        if filter.as_ref().is_some_and(|filter| filter.len() > FILTER_BYTES_MAX) {
            let text = format!("filter: has more than {FILTER_BYTES_MAX} bytes");
            return Err(Refused(ErrorCode::InvalidCommand, text));
        }
        let (first, next) = handle.inner.events.bounds();
        let gone = from.filter(|from| from.0 < first && topics.contains(&Topic::Events));
        let gone = gone.map(|from| Lagged { missed: first - from.0, cursor: from });
        // Who names a place wants everything from there on and reads it from the log when it is slow; who does not
        // wants what is new and is told what it missed.
        let on_lag = if from.is_some() { OnLag::CatchUp } else { OnLag::Skip };
        let events = if topics.contains(&Topic::Events) {
            let from = from.map(|from| Cursor(from.0.max(first)));
            Some(handle.subscribe(filter.as_deref(), from, on_lag)?)
        } else {
            None
        };
        let changes = topics.iter().any(|topic| *topic != Topic::Events).then(|| handle.changes());
        let cursor = events.as_ref().map_or(Cursor(next), crate::live::Subscription::cursor);
        Ok((Feed::new(topics.clone(), events, changes), cursor, topics, gone))
    }
}

fn response(answer: Answer) -> BackendResponse {
    answer.unwrap_or_else(|Refused(code, text)| BackendResponse::failure(code, text))
}

fn listed(nodes: Vec<Node>) -> Answer {
    let ids: Vec<_> = nodes.iter().map(|node| node.node_id).collect();
    succeeded(format!("{} nodes", ids.len()), &json!({ "nodes": ids, "details": nodes }))
}

fn succeeded(message: String, data: &impl Serialize) -> Answer {
    let data: Value = serde_json::to_value(data).map_err(|error| {
        Refused(ErrorCode::CommandFailed, format!("the answer cannot be written: {error}"))
    })?;
    Ok(BackendResponse::success(message, Some(data)))
}
