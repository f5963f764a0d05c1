//! What nodes say about their pots.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bee_wire::NodeId;
use bee_wire::api::Pot;
use bee_wire::module::PotChanged;
use bee_wire::node::PotStatusUpdate;
use serde::{Deserialize, Serialize};

use super::{Fleet, FleetChange};
use crate::limits;
use crate::state::{Change, Record, State, StateError};
use crate::text;

/// Longest texts kept of a pot's report.
const TEXT_BYTES_MAX: usize = 1_024;

/// The pots of one node, by id.
#[derive(Debug, Default)]
pub(super) struct Pots(BTreeMap<String, Pot>);

impl Pots {
    pub(super) fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Pot> {
        self.0.values()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct StoredPot(Pot);

impl Record for StoredPot {
    const KIND: &'static str = "pot";
    const VERSION: u32 = 1;
}

pub(super) fn key(node_id: NodeId, pot_id: &str) -> String {
    format!("pot/{node_id}/{pot_id}")
}

pub(super) fn load(state: &State) -> Result<HashMap<NodeId, Pots>, StateError> {
    let mut nodes: HashMap<NodeId, Pots> = HashMap::new();
    for (_, StoredPot(pot)) in state.records("pot/")? {
        nodes.entry(pot.node_id).or_default().0.insert(pot.pot_id.clone(), pot);
    }
    Ok(nodes)
}

impl Fleet {
    /// A node reports the state of a pot.
    pub(crate) async fn pot_status(&self, node_id: NodeId, update: PotStatusUpdate) {
        // Ours say so of a pot that was removed; it must not stand in the list as a stopped one for ever.
        let removed =
            update.detail.as_ref().is_some_and(|detail| detail.get("removed") == Some(&true.into()));
        let pot = Pot {
            node_id,
            node: node_id.to_string(),
            pot_id: text::cut(&update.pot_id, bee_wire::limits::POT_ID_BYTES_MAX).to_owned(),
            pot_type: text::cut(&update.pot_type, bee_wire::limits::POT_ID_BYTES_MAX).to_owned(),
            status: update.status,
            message: update.message.map(|message| text::cut(&message, TEXT_BYTES_MAX).to_owned()),
            detail: update
                .detail
                .filter(|detail| detail.to_string().len() <= limits::COMMAND_RESULT_BYTES_MAX),
            updated: Some(self.time()),
        };
        if removed {
            return self.pot_removed(pot).await;
        }
        let store = {
            let mut inner = self.lock();
            let pots = inner.pots.entry(node_id).or_default();
            if !pots.0.contains_key(&pot.pot_id) && pots.0.len() >= limits::POTS_PER_NODE_MAX {
                tracing::warn!(%node_id, "a node reports more pots than are remembered; the newest was ignored");
                return;
            }
            let old = pots.0.insert(pot.pot_id.clone(), pot.clone());
            // A report that repeats itself costs no disk write.
            old.is_none_or(|old| {
                (old.status, &old.message, &old.pot_type, &old.detail)
                    != (pot.status, &pot.message, &pot.pot_type, &pot.detail)
            })
        };
        if store {
            let stored = match Change::put(key(node_id, &pot.pot_id), &StoredPot(pot.clone())) {
                Ok(change) => self
                    .state
                    .commit(vec![change])
                    .await
                    .map(drop)
                    .map_err(|error| text::chain(error.as_ref())),
                Err(error) => Err(text::chain(&error)),
            };
            if let Err(error) = stored {
                tracing::warn!(%node_id, error, "a pot's state could not be stored");
            }
            self.send(|| FleetChange::Pot(Arc::new(PotChanged { pot, removed: false })));
        }
    }

    async fn pot_removed(&self, pot: Pot) {
        let known =
            self.lock().pots.get_mut(&pot.node_id).and_then(|pots| pots.0.remove(&pot.pot_id)).is_some();
        if !known {
            return;
        }
        let change = Change::delete(key(pot.node_id, &pot.pot_id));
        if let Err(error) = self.state.commit(vec![change]).await {
            tracing::warn!(node_id = %pot.node_id, error = text::chain(error.as_ref()), "a removed pot could not be forgotten");
        }
        self.send(|| FleetChange::Pot(Arc::new(PotChanged { pot, removed: true })));
    }

    /// All pots of all nodes, by node and id.
    pub(crate) fn pots(&self) -> Vec<Pot> {
        let inner = self.lock();
        let mut pots: Vec<Pot> = inner.pots.values().flat_map(Pots::all).cloned().collect();
        pots.sort_by(|a, b| (a.node_id, &a.pot_id).cmp(&(b.node_id, &b.pot_id)));
        pots
    }
}
