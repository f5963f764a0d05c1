//! The decision on one registration: `Registry::decide`, step by step.
//!
//! Order matters and is the security of the door: the certificate first (it names the node), then
//! a record of that id, then a record of that name (peers in the field change their id at each
//! start), then enrolment. Failures are counted before anything is compared again.
//!
//! A code is accepted once. A node that proves its key in the TLS handshake is admitted by its
//! certificate: a code it sends must be right, but a code sent again within its 30 seconds does not
//! keep it out, because there the code is not what admits it and cannot be replayed without the key.

use std::net::{IpAddr, Ipv6Addr};

use bee_wire::node::{NodeRegistration, NodeStatus, feature};
use bee_wire::{ErrorCode, NodeId, Secret, limits};
use rand::{CryptoRng, RngExt};

use super::registry::{
    Change, Decision, EnrolledBy, EnrollmentMode, Guess, NodeRecord, Peer, PendingNode, PendingState,
    Registry,
};
use super::session::{Accepted, RegistrationRequest, Verdict};
use super::token::{self, JoinToken, TokenRefusal};
use crate::Now;
use crate::totp::{self, CodeCheck, SpentSteps, TotpKey};

/// Records of one name that a code is tried against.
const SAME_NAME_MAX: usize = 8;
/// Longest text of a registration that is kept, in bytes.
const TEXT_BYTES_MAX: usize = 256;
/// Longest CSR passed on for signing, in bytes.
const CSR_BYTES_MAX: usize = 16 * 1024;

type Refused = (ErrorCode, String);

/// One registration being decided.
pub(super) struct Admission<'a> {
    registry: &'a mut Registry,
    request: &'a RegistrationRequest,
    peer: &'a Peer,
    now: Now,
    changes: Vec<Change>,
}

/// How a known node has shown who it is.
enum Proof {
    /// By a fresh code of this step.
    Code { step: u64 },
    /// By its certificate, with a fresh code beside it.
    CertificateAndCode { step: u64 },
    /// By its certificate.
    Certificate,
    /// Not at all, but it was let in before and its answer may have been lost.
    Unconfirmed,
}

impl<'a> Admission<'a> {
    pub(super) fn new(
        registry: &'a mut Registry,
        request: &'a RegistrationRequest,
        peer: &'a Peer,
        now: Now,
    ) -> Self {
        Admission { registry, request, peer, now, changes: Vec::new() }
    }

    pub(super) fn decide<R: CryptoRng + ?Sized>(mut self, rng: &mut R) -> Decision {
        let verdict = match self.verdict(rng) {
            Ok(verdict) => verdict,
            Err((code, message)) => Verdict::Refuse { code, message },
        };
        Decision { verdict, changes: self.changes }
    }

    fn verdict<R: CryptoRng + ?Sized>(&mut self, rng: &mut R) -> Result<Verdict, Refused> {
        self.check_shape()?;
        if let Some(certificate) = &self.peer.certificate {
            let (named, claimed) = (certificate.node_id, self.registration().node_id);
            if claimed != named {
                let text = format!("the certificate names node {named}, the registration claims {claimed}");
                return self.fail_source(text);
            }
            if let Some(node) = self.registry.nodes.get(&named) {
                if node.certificates.contains(&certificate.sha256) {
                    return self.known(named, true, rng);
                }
                // Without any on record this one is from before the node was removed and enrolled
                // anew: it proves nothing, and the node has to show its code.
                if !node.certificates.is_empty() {
                    return self.fail_source("this certificate was replaced by a newer one".into());
                }
            }
        }
        self.check_source_limit()?;
        let claimed = self.registration().node_id;
        if self.registry.nodes.contains_key(&claimed) {
            return self.known(claimed, false, rng);
        }
        if let Some(found) = self.by_name()? {
            return match found {
                Named::Is(node_id, proof) => self.admit(node_id, proof, rng),
                Named::MayBe => Ok(Verdict::NeedCode),
            };
        }
        self.enrol(rng)
    }

    /// A node whose id is on record.
    fn known<R: CryptoRng + ?Sized>(
        &mut self,
        node_id: NodeId,
        certified: bool,
        rng: &mut R,
    ) -> Result<Verdict, Refused> {
        if !certified && self.may_repeat_enrolment(node_id) {
            return self.admit(node_id, Proof::Unconfirmed, rng);
        }
        let Some(code) = self.request.code() else {
            return if certified {
                self.admit(node_id, Proof::Certificate, rng)
            } else {
                self.without_code(node_id)
            };
        };
        if !certified {
            self.check_node_limit(node_id)?;
        }
        match self.check_code(node_id, code) {
            CodeCheck::Fresh { step } if certified => {
                self.admit(node_id, Proof::CertificateAndCode { step }, rng)
            }
            CodeCheck::Fresh { step } => self.admit(node_id, Proof::Code { step }, rng),
            CodeCheck::Replayed if certified => self.admit(node_id, Proof::Certificate, rng),
            CodeCheck::Replayed => refuse(
                ErrorCode::AuthenticationFailed,
                "this TOTP code was used before; the next one is valid within 30 seconds",
            ),
            CodeCheck::Wrong => {
                if !certified {
                    self.count_node_failure(node_id);
                }
                self.fail_source("the TOTP code is wrong; check the clock and the secret of this node".into())
            }
        }
    }

    /// A known node that neither certificate nor code vouches for.
    fn without_code(&mut self, node_id: NodeId) -> Result<Verdict, Refused> {
        if let Some(Ok(_)) = self.token() {
            return refuse(
                ErrorCode::NodeAlreadyRegistered,
                format_args!(
                    "node {node_id} is registered; join with a new identity, or remove it first \
                     (`honeybee nodes rm {node_id}`)"
                ),
            );
        }
        let may_ask =
            self.registration().has_feature(feature::TOTP_REQUEST) && self.request.answered.is_none();
        if may_ask {
            return Ok(Verdict::NeedCode);
        }
        refuse(
            ErrorCode::AuthenticationFailed,
            format_args!("node {node_id} is registered, and this registration has no TOTP code"),
        )
    }

    /// Looks for the record of a node that comes under a new id.
    fn by_name(&mut self) -> Result<Option<Named>, Refused> {
        let Some(ids) = self.registry.by_name.get(self.name()) else { return Ok(None) };
        let candidates: Vec<NodeId> = ids.iter().copied().take(SAME_NAME_MAX).collect();
        if let Some(node_id) = candidates.iter().find(|id| self.may_repeat_enrolment(**id)) {
            return Ok(Some(Named::Is(*node_id, Proof::Unconfirmed)));
        }
        let Some(code) = self.request.code() else {
            // Without a token the only way in for a name that is taken is the key behind it, except
            // where the next step lets anyone in or puts it before an operator.
            let ask = self.registration().has_feature(feature::TOTP_REQUEST)
                && self.request.answered.is_none()
                && self.token().is_none();
            return Ok(ask.then_some(Named::MayBe));
        };
        let (mut replayed, mut limited) = (false, None);
        for node_id in &candidates {
            if let Err(refused) = self.check_node_limit(*node_id) {
                limited = Some(refused);
                continue;
            }
            match self.check_code(*node_id, code) {
                CodeCheck::Fresh { step } => return Ok(Some(Named::Is(*node_id, Proof::Code { step }))),
                CodeCheck::Replayed => replayed = true,
                CodeCheck::Wrong => {}
            }
        }
        if self.token().is_some() {
            return Ok(None);
        }
        if replayed {
            return refuse(
                ErrorCode::AuthenticationFailed,
                "this TOTP code was used before; the next one is valid within 30 seconds",
            );
        }
        if let Some(refused) = limited {
            return Err(refused);
        }
        for node_id in &candidates {
            self.count_node_failure(*node_id);
        }
        let name = self.name().to_owned();
        self.fail_source(format!("the TOTP code fits no node named {name:?}"))
    }

    /// Lets a known node in.
    fn admit<R: CryptoRng + ?Sized>(
        &mut self,
        node_id: NodeId,
        proof: Proof,
        rng: &mut R,
    ) -> Result<Verdict, Refused> {
        let Some(mut node) = self.registry.nodes.get(&node_id).cloned() else {
            return refuse(ErrorCode::NodeNotFound, "the node was removed");
        };
        match proof {
            Proof::Code { step } | Proof::CertificateAndCode { step } => {
                node.spent.spend(step);
                node.confirmed = true;
                let guess = self.guess(&node);
                self.registry.node_failures.forgive(&guess);
            }
            // A certificate says that the first answer arrived, and with it the key.
            Proof::Certificate => node.confirmed = true,
            Proof::Unconfirmed => {}
        }
        let registration = self.registration();
        let key = node.totp_key.get_or_insert_with(|| TotpKey::generate(rng));
        let totp_key = (!node.confirmed).then(|| Secret::new(key.to_base32().as_str()));
        describe(&mut node, registration);
        node.last_from = self.peer.addr;
        node.registered_unix_ms = self.now.unix_ms;
        let sign = registration.csr.clone().filter(|csr| csr.len() <= CSR_BYTES_MAX);
        self.changes.push(Change::Node(Box::new(node.clone())));
        self.registry.put_node(node);
        Ok(Verdict::Accept(Box::new(Accepted { node_id, totp_key, sign, certificate: None, resume: None })))
    }

    /// A node that nobody knows.
    fn enrol<R: CryptoRng + ?Sized>(&mut self, rng: &mut R) -> Result<Verdict, Refused> {
        let token = self.token().transpose();
        let token = match token {
            Ok(token) => token,
            Err(refusal) => return self.fail_source(refusal.to_string()),
        };
        let enrolled_by = match (&token, self.registry.policy.enrollment) {
            (Some(token), _) => EnrolledBy::Token(token.id.clone()),
            (None, EnrollmentMode::Open) => EnrolledBy::Open,
            (None, EnrollmentMode::Approve) => return self.wait_for_approval(rng),
            (None, EnrollmentMode::Token) => {
                return refuse(
                    ErrorCode::AuthenticationFailed,
                    "this Core does not know the node; join it with a token (`honeybee invite`)",
                );
            }
        };
        if self.registry.nodes.len() >= self.registry.policy.nodes_max {
            return refuse(ErrorCode::RegistrationFailed, "this Core has all the nodes it may have");
        }
        if let Some(mut token) = token {
            token.uses_count = token.uses_count.saturating_add(1);
            self.changes.push(Change::Token(token.clone()));
            self.registry.tokens.insert(token.sha256.clone(), token);
        }
        let node_id = self.free_id(rng);
        let registration = self.registration();
        let mut node = NodeRecord {
            node_id,
            node_name: String::new(),
            node_type: registration.node_type,
            address: String::new(),
            port: 0,
            software: None,
            os: None,
            arch: None,
            hostname: None,
            enrolled_unix_ms: self.now.unix_ms,
            enrolled_by,
            enrolled_from: self.peer.addr,
            last_from: self.peer.addr,
            registered_unix_ms: self.now.unix_ms,
            totp_key: None,
            confirmed: false,
            spent: SpentSteps::default(),
            certificates: Vec::new(),
            status: NodeStatus::Unknown,
            status_unix_ms: self.now.unix_ms,
        };
        describe(&mut node, registration);
        if self.registry.pending.remove(&node_id).is_some() {
            self.changes.push(Change::PendingRemoved(node_id));
        }
        self.registry.put_node(node);
        self.admit(node_id, Proof::Unconfirmed, rng)
    }

    /// Puts a node on the list that an operator looks at.
    fn wait_for_approval<R: CryptoRng + ?Sized>(&mut self, rng: &mut R) -> Result<Verdict, Refused> {
        let registration = self.registration();
        let node_id = registration.node_id;
        if node_id == NodeId(0) {
            let node_id = self.free_id(rng);
            return refuse(
                ErrorCode::InvalidNodeId,
                format_args!("a node that waits for approval needs an id of its own, for example {node_id}"),
            );
        }
        if let Some(pending) = self.registry.pending.get_mut(&node_id) {
            pending.last_seen_unix_ms = self.now.unix_ms;
            return match pending.state {
                PendingState::Waiting => refuse(
                    ErrorCode::NodePending,
                    format_args!("node {node_id} waits for approval (`honeybee nodes approve {node_id}`)"),
                ),
                PendingState::Refused => {
                    refuse(ErrorCode::AuthenticationFailed, "an operator has refused this node")
                }
            };
        }
        if self.registry.pending.len() >= self.registry.policy.pending_max.max(1) {
            let pending = self.registry.pending.values();
            if let Some(oldest) = pending.min_by_key(|p| p.last_seen_unix_ms).map(|p| p.node_id) {
                self.registry.pending.remove(&oldest);
                self.changes.push(Change::PendingRemoved(oldest));
            }
        }
        let pending = PendingNode {
            node_id,
            node_name: clip(registration.node_name.trim(), limits::NODE_NAME_BYTES_MAX),
            node_type: registration.node_type,
            address: clip(&registration.address, TEXT_BYTES_MAX),
            port: registration.port,
            hostname: clip_opt(registration.hostname.as_deref()),
            software: clip_opt(registration.software.as_deref()),
            from: self.peer.addr,
            first_seen_unix_ms: self.now.unix_ms,
            last_seen_unix_ms: self.now.unix_ms,
            state: PendingState::Waiting,
        };
        self.changes.push(Change::Pending(pending.clone()));
        self.registry.pending.insert(node_id, pending);
        refuse(
            ErrorCode::NodePending,
            format_args!("node {node_id} waits for approval (`honeybee nodes approve {node_id}`)"),
        )
    }

    fn check_shape(&self) -> Result<(), Refused> {
        let name = self.registration().node_name.trim();
        if name.is_empty() {
            return refuse(
                ErrorCode::EmptyNodeName,
                "the node has no name; set `node.name` in its configuration",
            );
        }
        if name.len() > limits::NODE_NAME_BYTES_MAX {
            let max = limits::NODE_NAME_BYTES_MAX;
            return refuse(
                ErrorCode::RegistrationFailed,
                format_args!("the node's name is over {max} bytes"),
            );
        }
        Ok(())
    }

    /// Whether an enrolment that was never confirmed may be repeated, because its answer was lost:
    /// with the same token, or from the same address where no token was asked for.
    fn may_repeat_enrolment(&self, node_id: NodeId) -> bool {
        let Some(node) = self.registry.nodes.get(&node_id).filter(|node| !node.confirmed) else {
            return false;
        };
        match &node.enrolled_by {
            EnrolledBy::Token(id) => {
                let registration = self.registration();
                let presented = registration.enrollment_token.as_ref();
                let token = presented
                    .and_then(|secret| token::lookup_key(secret.expose()))
                    .and_then(|sha256| self.registry.tokens.get(&sha256));
                // Expired or used up does not matter: this node has used it already.
                token.is_some_and(|token| token.id == *id && !token.revoked)
            }
            EnrolledBy::Operator | EnrolledBy::Open => {
                self.request.code().is_none() && node.enrolled_from == self.peer.addr
            }
        }
    }

    /// The token of the registration, if it has one: a usable token, or why it is not.
    fn token(&self) -> Option<Result<JoinToken, TokenRefusal>> {
        let secret =
            self.registration().enrollment_token.as_ref().filter(|s| !s.expose().trim().is_empty())?;
        let known = token::lookup_key(secret.expose()).and_then(|sha256| self.registry.tokens.get(&sha256));
        Some(match known {
            Some(token) => token.usable(self.now.unix_ms).map(|()| token.clone()),
            None => Err(TokenRefusal::Unknown),
        })
    }

    fn check_code(&self, node_id: NodeId, code: &str) -> CodeCheck {
        let node = self.registry.nodes.get(&node_id);
        let key = node.and_then(|node| node.totp_key.as_ref().map(|key| (key, &node.spent)));
        key.map_or(CodeCheck::Wrong, |(key, spent)| totp::check(key, code, self.now.unix_ms, spent))
    }

    fn check_source_limit(&self) -> Result<(), Refused> {
        let source = source(self.peer.addr);
        self.registry.source_failures.check(&source, self.now.mono_ms).or_else(too_many_failures)
    }

    fn check_node_limit(&self, node_id: NodeId) -> Result<(), Refused> {
        let Some(node) = self.registry.nodes.get(&node_id) else { return Ok(()) };
        self.registry.node_failures.check(&self.guess(node), self.now.mono_ms).or_else(too_many_failures)
    }

    fn count_node_failure(&mut self, node_id: NodeId) {
        if let Some(node) = self.registry.nodes.get(&node_id) {
            let guess = self.guess(node);
            self.registry.node_failures.fail(&guess, self.now.mono_ms);
        }
    }

    fn fail_source<T>(&mut self, text: String) -> Result<T, Refused> {
        self.registry.source_failures.fail(&source(self.peer.addr), self.now.mono_ms);
        Err((ErrorCode::AuthenticationFailed, text))
    }

    fn guess(&self, node: &NodeRecord) -> Guess {
        if source(node.last_from) == source(self.peer.addr) {
            Guess::AtHome(node.node_id)
        } else {
            Guess::Elsewhere(node.node_id)
        }
    }

    /// The claimed id if nobody has it, else a new one below 2^53.
    fn free_id<R: CryptoRng + ?Sized>(&self, rng: &mut R) -> NodeId {
        let mut id = self.registration().node_id;
        while id == NodeId(0) || self.registry.nodes.contains_key(&id) {
            id = NodeId(rng.random_range(1..NodeId::MINTED_BELOW));
        }
        id
    }

    fn registration(&self) -> &'a NodeRegistration {
        &self.request.registration
    }

    fn name(&self) -> &'a str {
        self.registration().node_name.trim()
    }
}

enum Named {
    Is(NodeId, Proof),
    MayBe,
}

fn refuse<T>(code: ErrorCode, text: impl std::fmt::Display) -> Result<T, Refused> {
    Err((code, text.to_string()))
}

fn too_many_failures(wait_ms: u64) -> Result<(), Refused> {
    let wait_s = wait_ms.div_ceil(1_000);
    refuse(ErrorCode::AuthenticationFailed, format_args!("too many failed attempts; try again in {wait_s} s"))
}

/// The unit in which addresses are counted: one IPv4 address, one IPv6 /64 (a host commands a whole one).
fn source(addr: IpAddr) -> IpAddr {
    match addr.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
    }
}

/// Copies what a node says about itself into its record.
fn describe(node: &mut NodeRecord, registration: &NodeRegistration) {
    node.node_name = clip(registration.node_name.trim(), limits::NODE_NAME_BYTES_MAX);
    node.node_type = registration.node_type;
    node.address = clip(&registration.address, TEXT_BYTES_MAX);
    node.port = registration.port;
    node.software = clip_opt(registration.software.as_deref());
    node.os = clip_opt(registration.os.as_deref());
    node.arch = clip_opt(registration.arch.as_deref());
    node.hostname = clip_opt(registration.hostname.as_deref());
}

fn clip(text: &str, bytes_max: usize) -> String {
    text.get(..text.floor_char_boundary(bytes_max)).unwrap_or_default().to_owned()
}

fn clip_opt(text: Option<&str>) -> Option<String> {
    text.map(|text| clip(text, TEXT_BYTES_MAX))
}
