//! Links: ordered both ways, slow at times, cut at any moment, with or without their last bytes.

use bee_link::core::{BatchHead, ConnectionId, PeerCertificate};
use bee_wire::{CoreMessage, NodeId, NodeMessage};
use rand::RngExt;

use super::{Moment, World};

/// What travels from a node to Core.
#[derive(Debug)]
pub(super) enum Wire {
    Message(NodeMessage),
    /// A batch, with the events as bare numbers.
    Batch(BatchHead, Vec<u64>),
}

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) node: usize,
    pub(super) node_life: u64,
    pub(super) certificate: Option<PeerCertificate>,
    pub(super) node_open: bool,
    // The life of Core that accepted it, and whether its session is open.
    pub(super) core_life: Option<u64>,
    pub(super) core_open: bool,
    pub(super) registered_as: Option<NodeId>,
    // Order is kept by never delivering before what was sent earlier.
    pub(super) to_core_ms: u64,
    to_node_ms: u64,
    // Bytes that arrive later than this are lost.
    pub(super) to_core_until_ms: u64,
    to_node_until_ms: u64,
}

pub(super) fn connection_id(connection: usize) -> ConnectionId {
    ConnectionId(connection as u64)
}

impl World {
    /// A transport that a node is making; Core may see it before or after the node does.
    pub(super) fn open_connection(&mut self, node: usize) -> usize {
        let machine = &self.nodes[node];
        let connection = self.connections.len();
        self.connections.push(Connection {
            node,
            node_life: machine.life,
            certificate: machine.certificate(),
            node_open: true,
            core_life: None,
            core_open: false,
            registered_as: None,
            to_core_ms: 0,
            to_node_ms: 0,
            to_core_until_ms: u64::MAX,
            to_node_until_ms: u64::MAX,
        });
        let delay = self.latency();
        self.connections[connection].to_core_ms = self.now_ms + delay;
        self.after(delay, Moment::Accept { connection });
        connection
    }

    pub(super) fn send_to_core(&mut self, connection: usize, message: Option<Wire>) {
        let latency = self.latency();
        let link = &mut self.connections[connection];
        let at = (self.now_ms + latency).max(link.to_core_ms);
        link.to_core_ms = at;
        self.after(at - self.now_ms, Moment::ToCore { connection, message });
    }

    pub(super) fn send_to_node(&mut self, connection: usize, message: Option<CoreMessage>) {
        let latency = self.latency();
        let link = &mut self.connections[connection];
        let at = (self.now_ms + latency).max(link.to_node_ms);
        link.to_node_ms = at;
        self.after(at - self.now_ms, Moment::ToNode { connection, message });
    }

    /// Cuts a link. Each side learns of it on its own, soon or very late; what is on its way may
    /// still arrive, all of it or a part, also after the node has a newer connection.
    pub(super) fn cut(&mut self, connection: usize) {
        self.tally.links_cut += 1;
        let tail = |world: &mut World| match world.rng.random_range(0..3) {
            0 => 0,
            1 => world.rng.random_range(0..500),
            _ => world.rng.random_range(500..60_000),
        };
        let (to_core, to_node) = (tail(self), tail(self));
        let link = &mut self.connections[connection];
        link.to_core_until_ms = link.to_core_until_ms.min(self.now_ms + to_core);
        link.to_node_until_ms = link.to_node_until_ms.min(self.now_ms + to_node);
        link.to_core_ms = link.to_core_ms.max(self.now_ms + to_core);
        link.to_node_ms = link.to_node_ms.max(self.now_ms + to_node);
        self.send_to_core(connection, None);
        self.send_to_node(connection, None);
    }

    pub(super) fn cut_link_of(&mut self, node: usize) {
        if let Some(connection) = self.nodes[node].connection {
            self.cut(connection);
        }
    }

    pub(super) fn deliver_to_core(&mut self, connection: usize, message: Option<Wire>) {
        let link = &self.connections[connection];
        let Some(core_life) = link.core_life.filter(|_| link.core_open) else { return };
        if !self.core.is_life(core_life) || (message.is_some() && self.now_ms > link.to_core_until_ms) {
            return;
        }
        if message.is_some() && !link.node_open {
            self.tally.late_tails += 1;
        }
        self.core_receives(connection, message);
    }

    pub(super) fn deliver_to_node(&mut self, connection: usize, message: Option<CoreMessage>) {
        let link = &self.connections[connection];
        let machine = &self.nodes[link.node];
        let current = machine.is_life(link.node_life) && machine.connection == Some(connection);
        if !current || !link.node_open || (message.is_some() && self.now_ms > link.to_node_until_ms) {
            return;
        }
        self.node_receives(connection, message);
    }

    fn latency(&mut self) -> u64 {
        match self.rng.random_range(0..50) {
            0 if self.faults => self.rng.random_range(0..5_000),
            _ => self.rng.random_range(1..40),
        }
    }
}
