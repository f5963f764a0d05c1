//! Commands: given, made durable, sent now or when the node returns, ended by a result or a deadline.

use std::time::Duration;

use bee_link::core::{CommandChange, CommandRecord, CommandState, Input, Outgoing};
use bee_wire::api::{self, CommandView};
use bee_wire::node::CommandResult;
use bee_wire::{Command, CommandId, ErrorCode, Micros, NodeId};

use super::{Fleet, stored};
use crate::error::CoreError;
use crate::limits;

impl Fleet {
    /// Takes a command for a node. It is durable when this returns.
    pub(crate) async fn command(
        &self,
        node_id: NodeId,
        command: Command,
        timeout: Option<Duration>,
    ) -> Result<CommandView, CoreError> {
        let timeout = timeout.unwrap_or(limits::COMMAND_DEADLINE_DEFAULT).min(limits::COMMAND_DEADLINE_MAX);
        let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX).max(1);
        let (id, change) = {
            let mut inner = self.lock();
            if inner.registry.node(node_id).is_none() {
                return Err(CoreError::NoSuchNode(node_id));
            }
            let now = self.now();
            inner.commands.submit(node_id, command, timeout_ms, now, &mut rand::rng())?
        };
        self.counters.commands_created.one();
        self.persist_commands(vec![change]).await?;
        self.send_command(node_id, id);
        self.command_view(id).ok_or_else(|| CoreError::NotFound { what: "command", id: id.to_string() })
    }

    fn send_command(&self, node_id: NodeId, id: CommandId) {
        let (mailbox, outgoing): (_, Option<Outgoing>) = {
            let inner = self.lock();
            (inner.live.get(&node_id).map(|live| live.mailbox.clone()), inner.commands.outgoing(id))
        };
        if let (Some(mailbox), Some(outgoing)) = (mailbox, outgoing) {
            mailbox.push(Input::Command(outgoing));
        }
    }

    /// The connection has written the command.
    pub(crate) async fn command_sent(&self, id: CommandId, answered: bool) {
        let changes = {
            let now = self.now();
            self.lock().commands.sent(id, answered, now)
        };
        self.commands_ended(changes).await;
    }

    /// A node answered.
    pub(crate) async fn command_result(&self, node_id: NodeId, mut result: CommandResult) {
        let too_long = |text: &String| text.len() > limits::COMMAND_RESULT_BYTES_MAX;
        if let Some(message) = result.message.as_mut().filter(|text| too_long(text)) {
            *message = crate::text::cut(message, limits::COMMAND_RESULT_BYTES_MAX).to_owned();
        }
        if result.data.as_ref().is_some_and(|data| too_long(&data.to_string())) {
            result.data = Some(serde_json::json!({ "truncated": true }));
        }
        let changes = {
            let now = self.now();
            self.lock().commands.finished(node_id, result, now)
        };
        self.commands_ended(changes).await;
    }

    /// Ends the commands whose time is over.
    pub(crate) async fn sweep_commands(&self) {
        let changes = {
            let now = self.now();
            self.lock().commands.tick(now)
        };
        self.commands_ended(changes).await;
    }

    async fn commands_ended(&self, changes: Vec<CommandChange>) {
        if changes.is_empty() {
            return;
        }
        for change in &changes {
            let CommandChange::Put(record) = change else { continue };
            match &record.state {
                CommandState::Done { ok: true, .. } | CommandState::SentUnanswered => {
                    self.counters.commands_done.one()
                }
                CommandState::Done { .. } | CommandState::NodeRemoved => self.counters.commands_failed.one(),
                CommandState::TimedOut => self.counters.commands_timed_out.one(),
                CommandState::Queued | CommandState::Sent => {}
            }
        }
        if let Err(error) = self.persist_commands(changes).await {
            tracing::error!(%error, "the end of a command could not be stored; after a restart it is sent again");
        }
        self.commands_moved.notify_waiters();
    }

    async fn persist_commands(&self, changes: Vec<CommandChange>) -> Result<(), CoreError> {
        self.state.commit(stored::encode_commands(changes)?).await?;
        Ok(())
    }

    /// One command.
    pub(crate) fn command_view(&self, id: CommandId) -> Option<CommandView> {
        self.lock().commands.get(id).map(view)
    }

    /// Commands, newest first, of one node or of all.
    pub(crate) fn commands(&self, node_id: Option<NodeId>, limit: usize) -> Vec<CommandView> {
        let inner = self.lock();
        let mut found: Vec<&CommandRecord> =
            inner.commands.iter().filter(|record| node_id.is_none_or(|id| id == record.node_id)).collect();
        // UUIDv7: the order of ids is the order of time.
        found.sort_by_key(|record| std::cmp::Reverse(record.command_id));
        found.into_iter().take(limit).map(view).collect()
    }

    /// Waits until a command has ended, at most `wait`; answers it as it is then.
    pub(crate) async fn command_ended(&self, id: CommandId, wait: Duration) -> Option<CommandView> {
        let until = tokio::time::Instant::now() + wait;
        loop {
            let moved = self.commands_moved.notified();
            tokio::pin!(moved);
            moved.as_mut().enable();
            let view = self.command_view(id)?;
            let open = matches!(view.state, api::CommandState::Queued | api::CommandState::Sent);
            if !open || tokio::time::timeout_at(until, moved).await.is_err() {
                return self.command_view(id);
            }
        }
    }
}

fn view(record: &CommandRecord) -> CommandView {
    let (state, code, message, data) = match &record.state {
        CommandState::Queued => (api::CommandState::Queued, None, None, None),
        CommandState::Sent => (api::CommandState::Sent, None, None, None),
        CommandState::SentUnanswered => (
            api::CommandState::Done,
            None,
            Some("sent; this node does not answer commands, so it is not known what became of it".to_owned()),
            Some(serde_json::json!({ "confirmed": false })),
        ),
        CommandState::Done { ok: true, code, message, data } => {
            (api::CommandState::Done, *code, message.clone(), data.clone())
        }
        CommandState::Done { ok: false, code, message, data } => (
            api::CommandState::Failed,
            code.or(Some(ErrorCode::CommandFailed)),
            message.clone(),
            data.clone(),
        ),
        CommandState::TimedOut => (
            api::CommandState::TimedOut,
            Some(ErrorCode::CommandTimeout),
            Some("no result came before the deadline".to_owned()),
            None,
        ),
        CommandState::NodeRemoved => (
            api::CommandState::Failed,
            Some(ErrorCode::NodeNotFound),
            Some("the node was removed".to_owned()),
            None,
        ),
    };
    CommandView {
        command_id: record.command_id,
        node_id: record.node_id,
        node: record.node_id.to_string(),
        command: record.command.clone(),
        state,
        created: Micros::from_unix_ms(record.created_unix_ms),
        deadline: Micros::from_unix_ms(record.deadline_unix_ms()),
        finished: record.ended_unix_ms.map(Micros::from_unix_ms),
        code,
        message,
        data,
    }
}
