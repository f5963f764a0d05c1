//! What a module has subscribed to, and the messages that it is sent because of it.

use std::future::pending;

use bee_wire::encode_backend;
use bee_wire::id::Cursor;
use bee_wire::module::{BackendMessage, EventPush, Lagged, Topic};
use tokio::sync::broadcast::{Receiver, error::RecvError};

use crate::api::limits;
use crate::fleet::FleetChange;
use crate::live::{Delivery, Subscription};

/// A module's subscription. Empty: none.
#[derive(Default)]
pub(super) struct Feed {
    topics: Vec<Topic>,
    events: Option<Subscription>,
    changes: Option<Receiver<FleetChange>>,
}

impl Feed {
    /// A subscription; it replaces the one before.
    pub(super) fn new(
        topics: Vec<Topic>,
        events: Option<Subscription>,
        changes: Option<Receiver<FleetChange>>,
    ) -> Self {
        Self { topics, events, changes }
    }

    /// Whether anything is subscribed to.
    pub(super) fn is_active(&self) -> bool {
        self.events.is_some() || self.changes.is_some()
    }

    /// The next messages, encoded; waits for ever when nothing is subscribed to. `None`: it cannot go on. Safe to
    /// drop while waiting.
    pub(super) async fn next(&mut self) -> Option<Vec<Vec<u8>>> {
        let Self { topics, events, changes } = self;
        let events_next = async {
            match events.as_mut() {
                Some(events) => events.next(limits::MODULE_PUSH_MAX).await,
                None => pending().await,
            }
        };
        let changes_next = async {
            match changes.as_mut() {
                Some(changes) => changes.recv().await,
                None => pending().await,
            }
        };
        tokio::select! {
            delivery = events_next => match delivery {
                Ok(Some(delivery)) => Some(delivered(&delivery)),
                Ok(None) => None,
                Err(error) => {
                    tracing::warn!(%error, "a module's subscription ended because the event log cannot be read");
                    None
                }
            },
            change = changes_next => match change {
                Ok(change) => Some(changed(topics, &change).into_iter().collect()),
                Err(RecvError::Lagged(missed)) => {
                    let cursor = self.events.as_ref().map_or(Cursor(0), Subscription::cursor);
                    Some(vec![encode_backend(&BackendMessage::Lagged(Lagged { missed, cursor }).into())])
                }
                Err(RecvError::Closed) => None,
            },
        }
    }
}

fn delivered(delivery: &Delivery) -> Vec<Vec<u8>> {
    let missed = (delivery.missed > 0).then(|| {
        let cursor = delivery.missed_from.unwrap_or(delivery.cursor);
        BackendMessage::Lagged(Lagged { missed: delivery.missed, cursor })
    });
    let events = delivery.events.iter().map(|event| {
        let cursor = Cursor(event.id.0.saturating_add(1));
        BackendMessage::Event(Box::new(EventPush { cursor, event: event.as_ref().clone() }))
    });
    missed.into_iter().chain(events).map(|message| encode_backend(&message.into())).collect()
}

fn changed(topics: &[Topic], change: &FleetChange) -> Option<Vec<u8>> {
    let (topic, message) = match change {
        FleetChange::Node(node) => {
            (Topic::Nodes, BackendMessage::NodeChanged(Box::new(node.as_ref().clone())))
        }
        FleetChange::Pot(pot) => (Topic::Pots, BackendMessage::PotChanged(Box::new(pot.as_ref().clone()))),
        FleetChange::Alert(alert) => {
            (Topic::Alerts, BackendMessage::AlertRaised(Box::new(alert.as_ref().clone())))
        }
    };
    topics.contains(&topic).then(|| encode_backend(&message.into()))
}
