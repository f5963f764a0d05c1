//! Who may be a node: records, join tokens, pending nodes, and the decision on each registration.
//!
//! One `Registry` serves all connections. Every method that alters what must survive a restart
//! returns [`Change`]s: whole records under a key, which the driver puts into its key-value store
//! before it answers the peer, and gives back to [`Registry::load`] at the next start. The registry
//! itself never waits and never writes. What an attacker can make it remember is capped.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use bee_wire::NodeId;
use bee_wire::node::{NodeStatus, NodeType};
use rand::CryptoRng;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::admission::Admission;
use super::session::{RegistrationRequest, Verdict};
use super::token::{JoinToken, NewToken};
use crate::Now;
use crate::limiter::{Limiter, LimiterConfig};
use crate::totp::{SpentSteps, TotpKey};

/// Certificates remembered for one node: a node may hold any of the last few it was given, because
/// the answer that carried the newest may have been lost.
const CERTIFICATES_MAX: usize = 4;

/// How a node that Core does not know gets in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EnrollmentMode {
    /// With a join token.
    #[default]
    Token,
    /// With a join token, or after an operator approved it.
    Approve,
    /// Always. For laboratories.
    Open,
}

/// The rules of the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// How unknown nodes get in.
    pub enrollment: EnrollmentMode,
    /// Node records at most.
    pub nodes_max: usize,
    /// Nodes waiting for approval at most; the one not heard of for longest makes room.
    pub pending_max: usize,
    /// Join tokens kept at most.
    pub tokens_max: usize,
    /// Failed authentications of one node. Failures from the address a node last came from and
    /// those from elsewhere count apart, so that strangers cannot lock a node out of its home.
    pub node_failures: LimiterConfig,
    /// Failed authentications from one source address (IPv6: from one /64).
    pub source_failures: LimiterConfig,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            enrollment: EnrollmentMode::Token,
            nodes_max: 100_000,
            pending_max: 1_000,
            tokens_max: 10_000,
            // One guess a minute finds a 6-digit code, of which three are right at any time, with a
            // chance of 0.4 % in a day.
            node_failures: LimiterConfig { burst: 5, refill_ms: 60_000, keys_max: 100_000 },
            // Wider: many nodes may share one address.
            source_failures: LimiterConfig { burst: 20, refill_ms: 6_000, keys_max: 100_000 },
        }
    }
}

/// Who is at the other end of a connection, as its transport knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Source address.
    pub addr: IpAddr,
    /// The client certificate that TLS verified against our own CA.
    pub certificate: Option<PeerCertificate>,
}

/// A verified client certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerCertificate {
    /// The node it names.
    pub node_id: NodeId,
    /// SHA-256 of its DER form, lower-case hexadecimal.
    pub sha256: String,
}

/// How a node got in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum EnrolledBy {
    /// With the join token of this id.
    Token(String),
    /// An operator approved it.
    Operator,
    /// The door was open.
    Open,
}

/// All that Core keeps of a node. Holds its TOTP key: encrypt it at rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// Its number.
    pub node_id: NodeId,
    /// Its name; not unique.
    pub node_name: String,
    /// What it can do.
    pub node_type: NodeType,
    /// Where it says it listens.
    pub address: String,
    /// The port there.
    pub port: u16,
    /// Name and version of its software.
    pub software: Option<String>,
    /// Its operating system.
    pub os: Option<String>,
    /// Its processor architecture.
    pub arch: Option<String>,
    /// Its host name.
    pub hostname: Option<String>,
    /// When it got in, Unix milliseconds.
    pub enrolled_unix_ms: i64,
    /// How it got in.
    pub enrolled_by: EnrolledBy,
    /// The address it got in from.
    pub enrolled_from: IpAddr,
    /// The address it registered from last.
    pub last_from: IpAddr,
    /// When it registered last, Unix milliseconds.
    pub registered_unix_ms: i64,
    /// The key its codes are made from.
    pub totp_key: Option<TotpKey>,
    /// Whether it has shown that it holds the key. Until then the key is sent again, because the
    /// first answer may have been lost.
    pub confirmed: bool,
    /// TOTP steps it has used up.
    pub spent: SpentSteps,
    /// SHA-256 of the certificates it was given last; others are refused.
    pub certificates: Vec<String>,
    /// Its state, as of the last change.
    pub status: NodeStatus,
    /// When that state began, Unix milliseconds.
    pub status_unix_ms: i64,
}

/// What an operator has said about a node that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PendingState {
    /// Nothing yet.
    Waiting,
    /// No.
    Refused,
}

/// A node that wants in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingNode {
    /// The number it claims.
    pub node_id: NodeId,
    /// The name it claims.
    pub node_name: String,
    /// What it says it can do.
    pub node_type: NodeType,
    /// Where it says it listens.
    pub address: String,
    /// The port there.
    pub port: u16,
    /// The host name it claims.
    pub hostname: Option<String>,
    /// The software it claims.
    pub software: Option<String>,
    /// Where it comes from.
    pub from: IpAddr,
    /// When it came first, Unix milliseconds.
    pub first_seen_unix_ms: i64,
    /// When it came last, Unix milliseconds; kept in memory between changes of state.
    pub last_seen_unix_ms: i64,
    /// What an operator said.
    pub state: PendingState,
}

/// Something to make durable: put the record under its key, or remove the key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Change {
    /// A node is new or different.
    Node(Box<NodeRecord>),
    /// A node was removed.
    NodeRemoved(NodeId),
    /// A join token is new or different.
    Token(JoinToken),
    /// A join token was removed; its id.
    TokenRemoved(String),
    /// A node waits, or was refused.
    Pending(PendingNode),
    /// A node waits no longer.
    PendingRemoved(NodeId),
}

impl Change {
    /// The key this change is about: `node/<id>`, `token/<id>` or `pending/<id>`.
    pub fn key(&self) -> String {
        match self {
            Change::Node(node) => format!("node/{}", node.node_id),
            Change::NodeRemoved(id) => format!("node/{id}"),
            Change::Token(token) => format!("token/{}", token.id),
            Change::TokenRemoved(id) => format!("token/{id}"),
            Change::Pending(pending) => format!("pending/{}", pending.node_id),
            Change::PendingRemoved(id) => format!("pending/{id}"),
        }
    }

    /// Whether the key is to be removed rather than put.
    pub fn is_removal(&self) -> bool {
        matches!(self, Change::NodeRemoved(_) | Change::TokenRemoved(_) | Change::PendingRemoved(_))
    }
}

/// The answer to a registration, and what to make durable before giving it.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// What to feed to the session.
    pub verdict: Verdict,
    /// What to make durable first.
    pub changes: Vec<Change>,
}

/// An operator's request that cannot be met.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// No record of this node.
    #[error("no node {0}; `honeybee nodes ls` lists them")]
    NoSuchNode(NodeId),
    /// No node of this id waits.
    #[error("no node {0} waits for approval; `honeybee nodes ls --pending` lists those that do")]
    NoSuchPending(NodeId),
    /// No such join token.
    #[error("no join token {0}")]
    NoSuchToken(String),
    /// The cap on node records is reached.
    #[error("the limit of {0} nodes is reached; remove nodes that are gone, or raise the limit")]
    NodesFull(usize),
    /// The cap on join tokens is reached.
    #[error("the limit of {0} join tokens is reached; remove old ones, or raise the limit")]
    TokensFull(usize),
}

/// Names one connection in [`Registry::attach`]; the driver counts them up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Guess {
    AtHome(NodeId),
    Elsewhere(NodeId),
}

/// Node records, join tokens, pending nodes and failure counters.
#[derive(Debug)]
pub struct Registry {
    pub(super) policy: Policy,
    pub(super) nodes: HashMap<NodeId, NodeRecord>,
    pub(super) by_name: HashMap<String, BTreeSet<NodeId>>,
    // By SHA-256 of the secret.
    pub(super) tokens: HashMap<String, JoinToken>,
    pub(super) pending: HashMap<NodeId, PendingNode>,
    pub(super) node_failures: Limiter<Guess>,
    pub(super) source_failures: Limiter<IpAddr>,
    live: HashMap<NodeId, ConnectionId>,
}

impl Registry {
    /// An empty registry.
    pub fn new(policy: Policy) -> Self {
        Registry {
            node_failures: Limiter::new(policy.node_failures),
            source_failures: Limiter::new(policy.source_failures),
            policy,
            nodes: HashMap::new(),
            by_name: HashMap::new(),
            tokens: HashMap::new(),
            pending: HashMap::new(),
            live: HashMap::new(),
        }
    }

    /// Takes in a stored change at start, in any order of keys. A node that was connected when Core
    /// went down is `Unknown` until it comes back.
    pub fn load(&mut self, change: Change) {
        match change {
            Change::Node(mut node) => {
                if !matches!(node.status, NodeStatus::Stopped | NodeStatus::Failed) {
                    node.status = NodeStatus::Unknown;
                }
                self.put_node(*node);
            }
            Change::NodeRemoved(id) => self.take_node(id),
            Change::Token(token) => {
                self.tokens.insert(token.sha256.clone(), token);
            }
            Change::TokenRemoved(id) => self.tokens.retain(|_, token| token.id != id),
            Change::Pending(pending) => {
                self.pending.insert(pending.node_id, pending);
            }
            Change::PendingRemoved(id) => {
                self.pending.remove(&id);
            }
        }
    }

    /// Decides on a registration. The decision holds in memory at once, so that two connections
    /// cannot both spend one code or one token; tell the peer only after the changes are durable.
    pub fn decide<R: CryptoRng + ?Sized>(
        &mut self,
        request: &RegistrationRequest,
        peer: &Peer,
        now: Now,
        rng: &mut R,
    ) -> Decision {
        Admission::new(self, request, peer, now).decide(rng)
    }

    /// Pins the certificate that was signed for a node. Persist it before the node gets it.
    ///
    /// # Errors
    /// The node was removed in the meantime.
    pub fn certificate_issued(&mut self, node_id: NodeId, sha256: &str) -> Result<Change, RegistryError> {
        let node = self.nodes.get_mut(&node_id).ok_or(RegistryError::NoSuchNode(node_id))?;
        node.certificates.push(sha256.to_ascii_lowercase());
        if node.certificates.len() > CERTIFICATES_MAX {
            node.certificates.remove(0);
        }
        Ok(Change::Node(Box::new(node.clone())))
    }

    /// Makes `connection` the live one of a node, at [`super::Output::Registered`]. Returns the one it replaces: feed that
    /// [`super::Input::Replaced`].
    pub fn attach(&mut self, node_id: NodeId, connection: ConnectionId) -> Option<ConnectionId> {
        self.live.insert(node_id, connection).filter(|older| *older != connection)
    }

    /// Ends `connection`. True if it was the node's live one; false if a newer one took its place,
    /// whose state must not change.
    pub fn detach(&mut self, node_id: NodeId, connection: ConnectionId) -> bool {
        let live = self.live.get(&node_id) == Some(&connection);
        if live {
            self.live.remove(&node_id);
        }
        live
    }

    /// The live connection of a node.
    pub fn connection(&self, node_id: NodeId) -> Option<ConnectionId> {
        self.live.get(&node_id).copied()
    }

    /// Records a node's state. Returns the change to make durable if it is a new state.
    pub fn set_status(&mut self, node_id: NodeId, status: NodeStatus, unix_ms: i64) -> Option<Change> {
        let node = self.nodes.get_mut(&node_id).filter(|node| node.status != status)?;
        node.status = status;
        node.status_unix_ms = unix_ms;
        Some(Change::Node(Box::new(node.clone())))
    }

    /// A node's record.
    pub fn node(&self, node_id: NodeId) -> Option<&NodeRecord> {
        self.nodes.get(&node_id)
    }

    /// All node records, in no order.
    pub fn nodes(&self) -> impl Iterator<Item = &NodeRecord> {
        self.nodes.values()
    }

    /// Nodes on record.
    pub fn nodes_count(&self) -> usize {
        self.nodes.len()
    }

    /// Removes a node; it has to enrol again. The answer names its live connection, to be closed.
    ///
    /// # Errors
    /// There is no such node.
    pub fn remove_node(&mut self, node_id: NodeId) -> Result<(Change, Option<ConnectionId>), RegistryError> {
        if !self.nodes.contains_key(&node_id) {
            return Err(RegistryError::NoSuchNode(node_id));
        }
        self.take_node(node_id);
        Ok((Change::NodeRemoved(node_id), self.live.remove(&node_id)))
    }

    /// Nodes that wait for approval or were refused, in no order.
    pub fn pending(&self) -> impl Iterator<Item = &PendingNode> {
        self.pending.values()
    }

    /// Lets a waiting node in at its next attempt.
    ///
    /// # Errors
    /// No node of this id waits, or there are too many nodes.
    pub fn approve(&mut self, node_id: NodeId, now: Now) -> Result<Vec<Change>, RegistryError> {
        if !self.pending.contains_key(&node_id) {
            return Err(RegistryError::NoSuchPending(node_id));
        }
        if self.nodes.len() >= self.policy.nodes_max {
            return Err(RegistryError::NodesFull(self.policy.nodes_max));
        }
        let pending = self.pending.remove(&node_id).ok_or(RegistryError::NoSuchPending(node_id))?;
        let node = NodeRecord {
            node_id,
            node_name: pending.node_name,
            node_type: pending.node_type,
            address: pending.address,
            port: pending.port,
            software: pending.software,
            os: None,
            arch: None,
            hostname: pending.hostname,
            enrolled_unix_ms: now.unix_ms,
            enrolled_by: EnrolledBy::Operator,
            enrolled_from: pending.from,
            last_from: pending.from,
            registered_unix_ms: 0,
            totp_key: None,
            confirmed: false,
            spent: SpentSteps::default(),
            certificates: Vec::new(),
            status: NodeStatus::Unknown,
            status_unix_ms: now.unix_ms,
        };
        self.put_node(node.clone());
        Ok(vec![Change::Node(Box::new(node)), Change::PendingRemoved(node_id)])
    }

    /// Refuses a waiting node: its further attempts fail without asking again.
    ///
    /// # Errors
    /// No node of this id waits.
    pub fn refuse(&mut self, node_id: NodeId) -> Result<Change, RegistryError> {
        let pending = self.pending.get_mut(&node_id).ok_or(RegistryError::NoSuchPending(node_id))?;
        pending.state = PendingState::Refused;
        Ok(Change::Pending(pending.clone()))
    }

    /// Makes a join token. The secret is in the answer and nowhere else; it goes into a join code.
    ///
    /// # Errors
    /// There are too many tokens.
    pub fn mint_token<R: CryptoRng + ?Sized>(
        &mut self,
        new: NewToken,
        now: Now,
        rng: &mut R,
    ) -> Result<(Zeroizing<String>, Change), RegistryError> {
        if self.tokens.len() >= self.policy.tokens_max {
            return Err(RegistryError::TokensFull(self.policy.tokens_max));
        }
        let (secret, token) = JoinToken::mint(new, now.unix_ms, rng);
        self.tokens.insert(token.sha256.clone(), token.clone());
        Ok((secret, Change::Token(token)))
    }

    /// Ends a join token; it stays listed until it is removed.
    ///
    /// # Errors
    /// There is no such token.
    pub fn revoke_token(&mut self, id: &str) -> Result<Change, RegistryError> {
        let token = self.tokens.values_mut().find(|token| token.id == id);
        let token = token.ok_or_else(|| RegistryError::NoSuchToken(id.to_owned()))?;
        token.revoked = true;
        Ok(Change::Token(token.clone()))
    }

    /// Forgets a join token.
    ///
    /// # Errors
    /// There is no such token.
    pub fn remove_token(&mut self, id: &str) -> Result<Change, RegistryError> {
        let before = self.tokens.len();
        self.tokens.retain(|_, token| token.id != id);
        if self.tokens.len() == before {
            return Err(RegistryError::NoSuchToken(id.to_owned()));
        }
        Ok(Change::TokenRemoved(id.to_owned()))
    }

    /// All join tokens, in no order.
    pub fn tokens(&self) -> impl Iterator<Item = &JoinToken> {
        self.tokens.values()
    }

    pub(super) fn put_node(&mut self, node: NodeRecord) {
        if let Some(old) = self.nodes.get(&node.node_id)
            && old.node_name != node.node_name
        {
            self.take_node(node.node_id);
        }
        self.by_name.entry(node.node_name.clone()).or_default().insert(node.node_id);
        self.nodes.insert(node.node_id, node);
    }

    fn take_node(&mut self, node_id: NodeId) {
        let Some(node) = self.nodes.remove(&node_id) else { return };
        if let Some(ids) = self.by_name.get_mut(&node.node_name) {
            ids.remove(&node_id);
            if ids.is_empty() {
                self.by_name.remove(&node.node_name);
            }
        }
    }
}

#[cfg(test)]
#[path = "registry_tests.rs"]
mod tests;
