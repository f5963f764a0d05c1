//! The accepting side: server configuration, certificate renewal in place, and [`accept`], which
//! turns a fresh TCP connection into a [`MaybeTls`] or a named refusal.
//!
//! Called by Core for port 9001 (and 9002 with HTTPS).

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::ca::CaError;
use super::provider;
use crate::secret_file;
use crate::sniff::{self, FirstByte};
use crate::stream::MaybeTls;

const PEM_FILE_BYTES_MAX: u64 = 256 * 1024;

/// Whether a port speaks TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// TLS alone; a peer that speaks plain is refused.
    Required,
    /// Both, told apart by the first byte.
    Optional,
    /// Plain alone; a peer that speaks TLS is refused.
    Off,
}

/// Whether clients show certificates of our CA.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientCertificates {
    /// Not asked for (HTTPS for browsers).
    None,
    /// Asked for and verified if shown (a node that enrols has none yet).
    Optional,
    /// A client without one is refused.
    Required,
}

/// A server's certificate chain and its private key.
pub struct ServerIdentity {
    /// The server's own certificate first, then its CA's.
    pub chain: Vec<CertificateDer<'static>>,
    /// The private key of the first certificate.
    pub key: PrivateKeyDer<'static>,
}

impl ServerIdentity {
    /// Reads an operator's (or our own) PEM files.
    ///
    /// # Errors
    /// When a file is unreadable, the key is open to others, or either is not what it should be.
    pub fn load(chain_path: &Path, key_path: &Path) -> Result<Self, CaError> {
        let damaged = |file: &Path, what| CaError::Damaged { file: file.display().to_string(), what };
        let pem = secret_file::read_public(chain_path, PEM_FILE_BYTES_MAX)?;
        let chain = CertificateDer::pem_slice_iter(&pem)
            .collect::<Result<Vec<_>, _>>()
            .ok()
            .filter(|chain| !chain.is_empty())
            .ok_or_else(|| damaged(chain_path, "certificate chain"))?;
        let key = secret_file::read(key_path, PEM_FILE_BYTES_MAX)?;
        let key = PrivateKeyDer::from_pem_slice(&key).map_err(|_| damaged(key_path, "private key"))?;
        Ok(Self { chain, key })
    }
}

impl Clone for ServerIdentity {
    fn clone(&self) -> Self {
        Self { chain: self.chain.clone(), key: self.key.clone_key() }
    }
}

impl fmt::Debug for ServerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerIdentity").field("certificates", &self.chain.len()).finish_non_exhaustive()
    }
}

/// A ready server side, whose certificate can be replaced while connections go on.
#[derive(Clone)]
pub struct ServerTls {
    acceptor: TlsAcceptor,
    certificate: Arc<Replaceable>,
}

impl ServerTls {
    /// Builds the configuration. Clients' certificates are verified against `client_ca`, which is
    /// ignored with [`ClientCertificates::None`].
    ///
    /// # Errors
    /// When the key does not fit the certificate or `client_ca` is not a usable CA.
    pub fn new(
        identity: ServerIdentity,
        clients: ClientCertificates,
        client_ca: &CertificateDer<'static>,
    ) -> Result<Self, rustls::Error> {
        let provider = provider();
        let certificate = Arc::new(Replaceable(RwLock::new(certified(identity)?)));
        let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13])?;
        let builder = match clients {
            ClientCertificates::None => builder.with_no_client_auth(),
            ClientCertificates::Optional | ClientCertificates::Required => {
                let mut roots = RootCertStore::empty();
                roots.add(client_ca.clone())?;
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                let verifier = if clients == ClientCertificates::Optional {
                    verifier.allow_unauthenticated()
                } else {
                    verifier
                };
                let verifier = verifier.build().map_err(|error| rustls::Error::General(error.to_string()))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder.with_cert_resolver(Arc::clone(&certificate) as Arc<dyn ResolvesServerCert>);
        // A link lives for days: tickets would cost memory a connection and buy nothing.
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), certificate })
    }

    /// Uses `identity` for every handshake from now on; running connections are not touched.
    ///
    /// # Errors
    /// When the key does not fit the certificate; the old one then stays.
    pub fn replace(&self, identity: ServerIdentity) -> Result<(), rustls::Error> {
        let fresh = certified(identity)?;
        *self.certificate.0.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    /// The acceptor, for servers that do their own accepting.
    #[must_use]
    pub fn acceptor(&self) -> &TlsAcceptor {
        &self.acceptor
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

/// Why a connection was refused before a single message. Each is a counter's label.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// The port wants TLS and the peer spoke plain.
    #[error("the peer speaks plain text to a TLS port")]
    PlainToTls,
    /// The port is plain and the peer spoke TLS.
    #[error("the peer speaks TLS to a plain port")]
    TlsToPlain,
    /// Nothing came in time.
    #[error("the peer sent nothing in time")]
    Silent,
    /// The handshake did not end in time.
    #[error("the TLS handshake took too long")]
    Slow,
    /// The peer closed before it said anything.
    #[error("the peer closed without a word")]
    Closed,
    /// The handshake failed: no common version, a certificate we do not accept, garbage.
    #[error("the TLS handshake failed")]
    Handshake(#[source] io::Error),
    /// The socket failed.
    #[error("the connection failed")]
    Io(#[source] io::Error),
}

impl AcceptError {
    /// A short fixed name for metrics.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::PlainToTls => "plain_to_tls",
            Self::TlsToPlain => "tls_to_plain",
            Self::Silent => "silent",
            Self::Slow => "slow_handshake",
            Self::Closed => "closed",
            Self::Handshake(_) => "handshake",
            Self::Io(_) => "io",
        }
    }
}

/// Turns a fresh connection into a plain or a TLS one as `mode` says, within `deadline` in all.
///
/// # Errors
/// A named refusal; the connection is closed by dropping it.
pub async fn accept(
    stream: TcpStream,
    mode: Mode,
    tls: Option<&ServerTls>,
    deadline: Duration,
) -> Result<MaybeTls, AcceptError> {
    let until = tokio::time::Instant::now() + deadline;
    let first = sniff::first_byte(&stream, deadline).await.map_err(AcceptError::Io)?;
    let is_tls = match first {
        FirstByte::Silent => return Err(AcceptError::Silent),
        FirstByte::Closed => return Err(AcceptError::Closed),
        FirstByte::Tls => true,
        FirstByte::Json | FirstByte::Other(_) => false,
    };
    match (mode, is_tls, tls) {
        (Mode::Required, false, _) => Err(AcceptError::PlainToTls),
        (Mode::Off, true, _) | (_, true, None) => Err(AcceptError::TlsToPlain),
        (_, false, _) => Ok(MaybeTls::Plain(stream)),
        (_, true, Some(tls)) => match tokio::time::timeout_at(until, tls.acceptor.accept(stream)).await {
            Err(_) => Err(AcceptError::Slow),
            Ok(Err(cause)) => Err(AcceptError::Handshake(cause)),
            Ok(Ok(stream)) => Ok(stream.into()),
        },
    }
}

#[derive(Debug)]
struct Replaceable(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Replaceable {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let current = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&current))
    }
}

fn certified(identity: ServerIdentity) -> Result<Arc<CertifiedKey>, rustls::Error> {
    CertifiedKey::from_der(identity.chain, identity.key, &provider()).map(Arc::new)
}
