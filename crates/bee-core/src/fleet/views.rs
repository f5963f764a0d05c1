//! The fleet as the API shows it.

use bee_link::core::{NodeRecord, PendingState};
use bee_wire::api::{JoinToken, Node, NodeDetail, PendingNode};
use bee_wire::{Micros, NodeId};

use super::{Fleet, Inner};

impl Fleet {
    /// Every node, by name and id.
    pub(crate) fn nodes(&self) -> Vec<Node> {
        let inner = self.lock();
        let mut nodes: Vec<Node> = inner.registry.nodes().map(|record| self.node(&inner, record)).collect();
        nodes.sort_by(|a, b| (&a.node_name, a.node_id).cmp(&(&b.node_name, b.node_id)));
        nodes
    }

    /// One node as lists show it.
    pub(crate) fn node_view(&self, node_id: NodeId) -> Option<Node> {
        let inner = self.lock();
        inner.registry.node(node_id).map(|record| self.node(&inner, record))
    }

    /// One node with everything known of it.
    pub(crate) fn node_detail(&self, node_id: NodeId) -> Option<NodeDetail> {
        let inner = self.lock();
        let record = inner.registry.node(node_id)?;
        let live = inner.live.get(&node_id);
        Some(NodeDetail {
            node: self.node(&inner, record),
            honeypots: inner.pots.get(&node_id).map(|pots| pots.all().cloned().collect()).unwrap_or_default(),
            health: live.and_then(|live| live.health.clone()),
            os: record.os.clone(),
            arch: record.arch.clone(),
            hostname: record.hostname.clone(),
            features: live.map(|live| live.features.clone()).unwrap_or_default(),
            tls: live.is_some_and(|live| live.tls),
            certificate_sha256: record.certificates.last().cloned(),
        })
    }

    fn node(&self, inner: &Inner, record: &NodeRecord) -> Node {
        let live = inner.live.get(&record.node_id);
        let tally = self.ledger.of(record.node_id);
        let last_seen = live.map_or(record.status_unix_ms.max(record.registered_unix_ms), |live| {
            live.mailbox.heard_unix_ms()
        });
        Node {
            node_id: record.node_id,
            id: record.node_id.to_string(),
            node_name: record.node_name.clone(),
            status: record.status,
            node_type: record.node_type,
            connected: live.is_some(),
            address: Some(live.map_or(record.last_from, |live| live.from.ip()).to_string()),
            enrolled: Some(Micros::from_unix_ms(record.enrolled_unix_ms)),
            last_seen: (last_seen > 0).then(|| Micros::from_unix_ms(last_seen)),
            software: record.software.clone(),
            honeypots_count: inner.pots.get(&record.node_id).map_or(0, |pots| pots.len() as u64),
            events_stored: tally.stored,
            events_dropped: tally.dropped,
        }
    }

    /// The ids that a number or a name means.
    pub(crate) fn ids_of(&self, text: &str) -> Vec<NodeId> {
        let inner = self.lock();
        let by_number = text.parse::<NodeId>().ok();
        let by_name =
            inner.registry.nodes().filter(|record| record.node_name == text).map(|record| record.node_id);
        by_number.into_iter().chain(by_name).collect()
    }

    /// Known nodes, connected nodes, nodes that wait.
    pub(crate) fn counts(&self) -> (usize, usize, usize) {
        let inner = self.lock();
        (inner.registry.nodes_count(), inner.live.len(), inner.waiting().count())
    }

    /// Ids of the connected nodes.
    pub(crate) fn connected(&self) -> Vec<NodeId> {
        let mut ids: Vec<NodeId> = self.lock().live.keys().copied().collect();
        ids.sort_unstable();
        ids
    }

    /// Nodes that wait for approval, longest waiting first.
    pub(crate) fn pending(&self) -> Vec<PendingNode> {
        let inner = self.lock();
        let mut pending: Vec<PendingNode> = inner
            .waiting()
            .map(|node| {
                let attempts = inner.attempts.get(&node.node_id).cloned().unwrap_or_default();
                PendingNode {
                    id: node.node_id.to_string(),
                    node_id: node.node_id,
                    node_name: node.node_name.clone(),
                    node_type: node.node_type,
                    address: node.from.to_string(),
                    first_seen: Micros::from_unix_ms(node.first_seen_unix_ms),
                    last_seen: Micros::from_unix_ms(node.last_seen_unix_ms),
                    attempts: attempts.count.max(1),
                    software: node.software.clone(),
                    key_sha256: attempts.key_sha256,
                }
            })
            .collect();
        pending.sort_by_key(|node| (node.first_seen, node.node_id));
        pending
    }

    /// Join tokens, newest first.
    pub(crate) fn join_tokens(&self) -> Vec<JoinToken> {
        let inner = self.lock();
        let mut tokens: Vec<JoinToken> = inner.registry.tokens().map(join_token).collect();
        tokens.sort_by(|a, b| b.created.cmp(&a.created).then_with(|| a.id.cmp(&b.id)));
        tokens
    }
}

impl Inner {
    fn waiting(&self) -> impl Iterator<Item = &bee_link::core::PendingNode> {
        self.registry.pending().filter(|node| node.state == PendingState::Waiting)
    }
}

pub(super) fn join_token(token: &bee_link::core::JoinToken) -> JoinToken {
    JoinToken {
        id: token.id.clone(),
        created: Micros::from_unix_ms(token.created_unix_ms),
        expires: Micros::from_unix_ms(token.expires_unix_ms),
        uses_left: u64::from(token.uses_max.saturating_sub(token.uses_count)),
        uses_count: u64::from(token.uses_count),
        revoked: token.revoked,
        note: Some(token.note.clone()).filter(|note| !note.is_empty()),
    }
}
