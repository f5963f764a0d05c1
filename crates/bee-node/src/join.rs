//! Enrols this machine with the Core named in a join code, step by step, for `honeybee join`.
//!
//! One attempt, no retries: every failure needs a person, who is told which of a few distinct things went wrong. When it
//! returns, everything that the daemon needs is in the state directory, and starting it without any config connects.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use bee_daemon::{
    stream::MaybeTls,
    tls::{ClientError, ClientTls, Fingerprint, Trust, client},
};
use bee_wire::{
    CoreMessage, ErrorCode, Frame, FrameDecoder, JoinCode, NodeId, NodeMessage, Secret, StreamId,
    codec::BatchEncoder,
    core::RegistrationAck,
    decode_core, encode_node,
    join::JoinCodeError,
    limits::FRAME_BYTES_MAX,
    node::{NodeRegistration, NodeStatus, NodeStatusUpdate, NodeType, TotpResponse, feature},
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{state::State, uplink::transport::pinned_ca_pem};

/// How long Core may take for each answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// How long the acknowledgement of the first heartbeat is waited for.
const HEARTBEAT_WITHIN: Duration = Duration::from_secs(10);

/// What to join as.
#[derive(Debug, Clone)]
pub struct JoinOptions {
    /// The node's name, unique in its Core.
    pub name: String,
    /// What it is able to do.
    pub node_type: NodeType,
    /// Where everything is kept.
    pub state_dir: PathBuf,
    /// Where the TOTP secret is kept; usually the state directory.
    pub totp_secret_dir: PathBuf,
    /// Join although this directory belongs to a node of some Core already: that identity is given up.
    pub replace: bool,
    /// Limit for connecting and for the handshake.
    pub timeout: Duration,
}

impl JoinOptions {
    /// A full node of that name with its state in `state_dir`.
    pub fn new(name: impl Into<String>, state_dir: impl Into<PathBuf>) -> Self {
        let state_dir = state_dir.into();
        Self {
            name: name.into(),
            node_type: NodeType::Full,
            totp_secret_dir: state_dir.clone(),
            state_dir,
            replace: false,
            timeout: Duration::from_secs(10),
        }
    }
}

/// A step that worked, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JoinStep {
    /// TCP answers.
    Reached {
        /// Which of the code's addresses.
        address: String,
        /// How long it took, in milliseconds.
        ms: u64,
    },
    /// Its certificate is signed by the CA of the code.
    Verified {
        /// The CA's fingerprint, short.
        fingerprint: String,
    },
    /// Core has let this node in; key, certificate and TOTP secret are kept.
    Enrolled {
        /// Under this name.
        name: String,
        /// And this number.
        node_id: NodeId,
    },
    /// The first heartbeat arrived.
    HeartbeatAcknowledged,
}

/// What a join led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// The node's number.
    pub node_id: NodeId,
    /// The address that answered.
    pub address: String,
    /// Whether Core confirmed the first heartbeat; a plain Core has no way to.
    pub heartbeat_acknowledged: bool,
}

/// Why a join failed. Each text says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// The code cannot be read.
    #[error(transparent)]
    Code(#[from] JoinCodeError),
    /// None of the code's addresses answers.
    #[error(
        "Core does not answer at {addresses}: {why}; check that it runs, listens on that address and is not behind a firewall"
    )]
    Unreachable {
        /// The addresses that were tried.
        addresses: String,
        /// What the last one said.
        why: String,
    },
    /// Somebody answers, but not the Core of the code.
    #[error(
        "the Core that answered at {address} is not the one in this join code (expected CA {expected}): Core was installed anew, or something sits in between; make a new code there with `honeybee invite`"
    )]
    WrongCore {
        /// Who answered.
        address: String,
        /// Fingerprint of the CA in the code, short.
        expected: String,
    },
    /// The code's time is over.
    #[error("this join code has expired; make a new one with `honeybee invite`")]
    Expired,
    /// The code has enrolled all the nodes it may.
    #[error("this join code is used up; make a new one with `honeybee invite`")]
    Used,
    /// An operator ended the code.
    #[error("this join code was revoked; ask the operator of Core for a new one")]
    Revoked,
    /// Core waits for an operator.
    #[error(
        "Core put this node on its waiting list; approve it there with `honeybee nodes approve`, then join again with the same code"
    )]
    Pending,
    /// Core says no, in its own words.
    #[error("Core refused this node: {message}")]
    Refused {
        /// Why, for programs.
        code: Option<ErrorCode>,
        /// Why, for people.
        message: String,
    },
    /// Core answered with something else than it should, or not at all.
    #[error(
        "Core did not complete the registration: {0}; look at its log, and check that both run the same release"
    )]
    Protocol(String),
    /// This directory has a node's identity in it.
    #[error("this machine has joined a Core already (state in {}); join with --replace to give that up", .0.display())]
    AlreadyJoined(PathBuf),
    /// Files cannot be read or written.
    #[error("cannot keep what Core gave: {0}")]
    State(String),
}

/// Joins the Core of `code` and tells `step` of each step that worked.
///
/// # Errors
/// See [`JoinError`]; nothing of an earlier membership was changed unless `options.replace` was set and Core accepted.
pub async fn join(
    code: &str,
    options: &JoinOptions,
    mut step: impl FnMut(JoinStep),
) -> Result<Joined, JoinError> {
    let code: JoinCode = code.parse()?;
    let pin = Fingerprint::from_bytes(code.ca_sha256);
    let mut state = State::open(&options.state_dir, &options.totp_secret_dir).map_err(state_error)?;
    let is_member = state.totp_key().map_err(state_error)?.is_some() || state.certificate_info().is_some();
    if is_member && !options.replace {
        return Err(JoinError::AlreadyJoined(options.state_dir.clone()));
    }

    let (address, stream) = reach(&code, &pin, options.timeout, &mut step).await?;
    let ca = pinned_ca_pem(&stream, &pin)
        .ok_or_else(|| JoinError::Protocol("its CA certificate is missing".into()))?;

    let mut talk = Talk { stream, decoder: FrameDecoder::new(FRAME_BYTES_MAX) };
    let node_id = state.identity().node_id;
    let csr = state.csr(&options.name).map_err(state_error)?;
    talk.send(&NodeMessage::NodeRegistration(Box::new(registration(&code, options, node_id, csr)))).await?;
    let ack = talk.registration_answer(node_id).await?;
    if !ack.accepted {
        return Err(refusal(&ack));
    }
    let node_id = ack.node_id.unwrap_or(node_id);
    keep(&mut state, options, &code, &address, &ca, &ack, node_id)?;
    step(JoinStep::Enrolled { name: options.name.clone(), node_id });

    let heartbeat = NodeStatusUpdate { node_id, status: NodeStatus::Connected, health: None };
    talk.send(&NodeMessage::NodeStatusUpdate(heartbeat)).await?;
    let heartbeat_acknowledged = ack.has_feature(feature::BATCH) && talk.is_heard(node_id).await?;
    if heartbeat_acknowledged {
        step(JoinStep::HeartbeatAcknowledged);
    }
    talk.send(&NodeMessage::NodeDrop).await?;
    let _ = tokio::time::timeout(Duration::from_secs(1), talk.stream.shutdown()).await;
    Ok(Joined { node_id, address, heartbeat_acknowledged })
}

/// The first address that answers; a wrong Core at any of them ends the attempt.
async fn reach(
    code: &JoinCode,
    pin: &Fingerprint,
    timeout: Duration,
    step: &mut impl FnMut(JoinStep),
) -> Result<(String, MaybeTls), JoinError> {
    let tls = ClientTls::new(&Trust::PinnedCa(*pin), None, None)
        .map_err(|error| JoinError::Protocol(error.to_string()))?;
    let mut why = String::new();
    for address in &code.addresses {
        let began = Instant::now();
        let tcp = match client::connect(address, None, timeout).await {
            Ok(MaybeTls::Plain(tcp)) => tcp,
            Ok(MaybeTls::Tls(_)) => continue,
            Err(error) => {
                why = chain(&error);
                continue;
            }
        };
        let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        step(JoinStep::Reached { address: address.clone(), ms });
        match tls.handshake(tcp, timeout).await {
            Ok(stream) => {
                step(JoinStep::Verified { fingerprint: pin.short() });
                return Ok((address.clone(), stream));
            }
            Err(ClientError::WrongCa { .. }) => {
                return Err(JoinError::WrongCore { address: address.clone(), expected: pin.short() });
            }
            Err(error) => {
                return Err(JoinError::Protocol(format!("{address} answers, but {}", chain(&error))));
            }
        }
    }
    Err(JoinError::Unreachable { addresses: code.addresses.join(", "), why })
}

fn registration(code: &JoinCode, options: &JoinOptions, node_id: NodeId, csr: String) -> NodeRegistration {
    NodeRegistration {
        address: "0.0.0.0".into(),
        port: 0,
        features: feature::ALL.iter().map(|name| (*name).to_owned()).collect(),
        enrollment_token: Some(code.secret.clone()),
        software: Some(crate::SOFTWARE.into()),
        os: Some(std::env::consts::OS.into()),
        arch: Some(std::env::consts::ARCH.into()),
        hostname: Some(crate::config::hostname()),
        csr: Some(csr),
        ..NodeRegistration::new(node_id, options.name.clone(), options.node_type)
    }
}

fn keep(
    state: &mut State,
    options: &JoinOptions,
    code: &JoinCode,
    address: &str,
    ca: &str,
    ack: &RegistrationAck,
    node_id: NodeId,
) -> Result<(), JoinError> {
    if options.replace {
        state.forget_core().map_err(state_error)?;
    }
    state.save_ca(ca).map_err(state_error)?;
    if let Some(key) = &ack.totp_key {
        state.save_totp_key(key).map_err(state_error)?;
    }
    if let Some(pem) = &ack.certificate {
        state.save_certificate(pem).map_err(state_error)?;
    }
    // The address that answered comes first from now on.
    let mut servers = vec![address.to_owned()];
    servers.extend(code.addresses.iter().filter(|other| *other != address).cloned());
    let change = state.change_identity(|identity| {
        identity.node_id = node_id;
        identity.name = Some(options.name.clone());
        identity.servers = servers;
    });
    change.map_err(state_error)
}

/// A conversation with Core, one message at a time.
struct Talk {
    stream: MaybeTls,
    decoder: FrameDecoder,
}

impl Talk {
    async fn send(&mut self, message: &NodeMessage) -> Result<(), JoinError> {
        self.write(&encode_node(message)).await
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), JoinError> {
        let write = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        match tokio::time::timeout(ANSWER_WITHIN, write).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(JoinError::Protocol(format!("the connection broke ({error})"))),
            Err(_) => Err(JoinError::Protocol("it stopped reading".into())),
        }
    }

    async fn next(&mut self, within: Duration) -> Result<CoreMessage, JoinError> {
        let read = async {
            let mut buffer = vec![0_u8; 8 * 1024];
            loop {
                match self.decoder.next_frame().map_err(|error| JoinError::Protocol(error.to_string()))? {
                    Some(Frame::Object(bytes)) => {
                        return decode_core(&bytes).map_err(|error| JoinError::Protocol(error.to_string()));
                    }
                    Some(Frame::Garbage(_)) => {}
                    None => match self.stream.read(&mut buffer).await {
                        Ok(0) => return Err(JoinError::Protocol("it closed the connection".into())),
                        Ok(len) => self.decoder.push(buffer.get(..len).unwrap_or_default()),
                        Err(error) => {
                            return Err(JoinError::Protocol(format!("the connection broke ({error})")));
                        }
                    },
                }
            }
        };
        match tokio::time::timeout(within, read).await {
            Ok(message) => message,
            Err(_) => Err(JoinError::Protocol(format!("no answer within {} s", within.as_secs()))),
        }
    }

    async fn registration_answer(&mut self, node_id: NodeId) -> Result<RegistrationAck, JoinError> {
        loop {
            match self.next(ANSWER_WITHIN).await? {
                CoreMessage::RegistrationAck(ack) => return Ok(*ack),
                CoreMessage::TotpRequest(_) => {
                    // A new node has no key yet; the token speaks for it.
                    let totp_code = Secret::new("");
                    self.send(&NodeMessage::TotpResponse(TotpResponse { node_id, totp_code })).await?;
                }
                CoreMessage::Error(error) => {
                    return Err(JoinError::Refused { code: Some(error.code), message: error.message });
                }
                CoreMessage::NodeCommand(_) | CoreMessage::EventAck(_) => {}
            }
        }
    }

    /// Core handles messages in order, so its answer to an empty batch behind the heartbeat covers both.
    async fn is_heard(&mut self, node_id: NodeId) -> Result<bool, JoinError> {
        let stream = StreamId::new(format!("join-{}", uuid::Uuid::now_v7().simple()))
            .map_err(|error| JoinError::Protocol(error.to_string()))?;
        self.write(&BatchEncoder::new(node_id, &stream, 0).finish()).await?;
        let deadline = Instant::now() + HEARTBEAT_WITHIN;
        loop {
            match self.next(deadline.saturating_duration_since(Instant::now())).await {
                Ok(CoreMessage::EventAck(ack)) if ack.stream == stream => return Ok(true),
                Ok(_) => {}
                // Enrolled it is; that Core confirms nothing is said by the result.
                Err(_) => return Ok(false),
            }
        }
    }
}

fn refusal(ack: &RegistrationAck) -> JoinError {
    let code = ack.refusal_code();
    let message = ack.message.clone().unwrap_or_default();
    let says = |word: &str| message.contains(word);
    match code {
        Some(ErrorCode::NodePending) => JoinError::Pending,
        // The protocol has one code for all of these; the words tell them apart (bee_link's `TokenRefusal`).
        Some(ErrorCode::AuthenticationFailed) if says("expired") => JoinError::Expired,
        Some(ErrorCode::AuthenticationFailed) if says("used up") => JoinError::Used,
        Some(ErrorCode::AuthenticationFailed) if says("revoked") => JoinError::Revoked,
        code => JoinError::Refused { code, message },
    }
}

fn state_error(error: impl Into<anyhow::Error>) -> JoinError {
    JoinError::State(format!("{:#}", error.into()))
}

fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: ErrorCode, text: &str) -> JoinError {
        refusal(&RegistrationAck::refused(None, code, text))
    }

    #[test]
    fn refusals_are_told_apart() {
        use bee_link::core::TokenRefusal;
        let token = |refusal: TokenRefusal| refused(ErrorCode::AuthenticationFailed, &refusal.to_string());
        assert!(matches!(token(TokenRefusal::Expired), JoinError::Expired));
        assert!(matches!(token(TokenRefusal::UsedUp), JoinError::Used));
        assert!(matches!(token(TokenRefusal::Revoked), JoinError::Revoked));
        assert!(matches!(token(TokenRefusal::Unknown), JoinError::Refused { .. }));
        assert!(matches!(refused(ErrorCode::NodePending, "wait"), JoinError::Pending));
    }

    #[tokio::test]
    async fn a_damaged_code_touches_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let options = JoinOptions::new("n", dir.path().join("node"));
        let error = join("hb1_AAAA", &options, |_| {}).await.unwrap_err();
        assert!(matches!(error, JoinError::Code(_)), "{error}");
        assert!(!dir.path().join("node").exists());
    }
}
