//! The connecting side: whom to trust, which certificate to show, and [`connect`].
//!
//! Called by the node's uplink, `honeybee join` and the CLI.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tracing::warn;

use super::identity::Fingerprint;
use super::server::ServerIdentity;
use super::{CORE_NAME, CaError, provider};
use crate::secret_file::{self, SecretFileError};
use crate::stream::MaybeTls;

const PEM_FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Whom a client trusts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// The CA with this fingerprint, which the server has to send in its chain (join codes).
    PinnedCa(Fingerprint),
    /// The CA certificates in this PEM text (a node's own `ca.pem` after it joined).
    CaPem(Vec<u8>),
    /// The CA certificates in this PEM file (`tls.ca_file`).
    CaFile(PathBuf),
    /// Anyone at all (`tls.insecure_skip_verify`): the link is open to whoever sits in between.
    Anyone,
}

/// What can be wrong with a client's TLS settings or its connection.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// A PEM file of ours could not be read.
    #[error(transparent)]
    File(#[from] SecretFileError),
    /// Our own certificate or key is not usable.
    #[error(transparent)]
    Identity(#[from] CaError),
    /// No CA certificate in the file.
    #[error("no CA certificate in {place}: give the PEM file of the CA that signed the Core's certificate")]
    NoCa {
        /// Where it was looked for.
        place: String,
    },
    /// The server name is neither a DNS name nor an address.
    #[error("{name:?} is not a server name: use a DNS name or an IP address")]
    ServerName {
        /// The name as given.
        name: String,
    },
    /// The CA that was pinned is not in the server's chain: another Core, or somebody in between.
    #[error("the server does not belong to the pinned CA {expected}: check the join code, then the address; if both are right, somebody sits in between", expected = .expected.short())]
    WrongCa {
        /// The fingerprint that was asked for.
        expected: Fingerprint,
    },
    /// TCP connect, or the handshake, took longer than allowed.
    #[error("no answer within {limit_ms} ms while {doing}")]
    Timeout {
        /// What was being done.
        doing: &'static str,
        /// The limit, in milliseconds.
        limit_ms: u128,
    },
    /// TCP connect failed.
    #[error("cannot connect to {address}")]
    Connect {
        /// The address.
        address: String,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The handshake failed.
    #[error("the TLS handshake failed")]
    Handshake(#[source] io::Error),
    /// rustls refused the settings.
    #[error("TLS settings refused")]
    Settings(#[from] rustls::Error),
}

/// A ready client side.
#[derive(Clone)]
pub struct ClientTls {
    connector: TlsConnector,
    server_name: ServerName<'static>,
    pinned: Option<Fingerprint>,
}

impl ClientTls {
    /// Builds the configuration.
    ///
    /// `server_name` is what the server's certificate has to carry; `None` means [`CORE_NAME`],
    /// right for every Core that uses its own CA. `identity` is the certificate to show.
    ///
    /// # Errors
    /// When a file, the CA, the name or the identity is not usable.
    pub fn new(
        trust: &Trust,
        server_name: Option<&str>,
        identity: Option<ServerIdentity>,
    ) -> Result<Self, ClientError> {
        let provider = provider();
        let verifier = verifier(trust, &provider)?;
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match identity {
            Some(identity) => builder.with_client_auth_cert(identity.chain, identity.key)?,
            None => builder.with_no_client_auth(),
        };
        config.resumption = rustls::client::Resumption::disabled();
        let name = server_name.unwrap_or(CORE_NAME);
        let server_name = ServerName::try_from(name.to_owned())
            .map_err(|_| ClientError::ServerName { name: name.to_owned() })?;
        Ok(Self {
            connector: TlsConnector::from(Arc::new(config)),
            server_name,
            pinned: match trust {
                Trust::PinnedCa(fingerprint) => Some(*fingerprint),
                _ => None,
            },
        })
    }

    /// Does the handshake on a connected stream, within `limit`.
    ///
    /// # Errors
    /// [`ClientError::WrongCa`], [`ClientError::Timeout`] or [`ClientError::Handshake`].
    pub async fn handshake(&self, stream: TcpStream, limit: Duration) -> Result<MaybeTls, ClientError> {
        let handshake = self.connector.connect(self.server_name.clone(), stream);
        match tokio::time::timeout(limit, handshake).await {
            Err(_) => Err(ClientError::Timeout { doing: "shaking hands", limit_ms: limit.as_millis() }),
            Ok(Ok(stream)) => Ok(stream.into()),
            Ok(Err(cause)) => match self.pinned {
                Some(expected) if is_unknown_issuer(&cause) => Err(ClientError::WrongCa { expected }),
                _ => Err(ClientError::Handshake(cause)),
            },
        }
    }
}

impl std::fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientTls")
            .field("server_name", &self.server_name)
            .field("pinned", &self.pinned)
            .finish_non_exhaustive()
    }
}

/// Connects to `address` (`host:port`), with TLS when given, each step within `limit`. Nagle's
/// algorithm is off: acknowledgements are small and awaited.
///
/// # Errors
/// When the name does not resolve, nobody listens, or the handshake fails.
pub async fn connect(
    address: &str,
    tls: Option<&ClientTls>,
    limit: Duration,
) -> Result<MaybeTls, ClientError> {
    let stream = match tokio::time::timeout(limit, TcpStream::connect(address)).await {
        Err(_) => {
            return Err(ClientError::Timeout { doing: "connecting", limit_ms: limit.as_millis() });
        }
        Ok(Err(cause)) => {
            return Err(ClientError::Connect { address: address.to_owned(), cause });
        }
        Ok(Ok(stream)) => stream,
    };
    // Failing here only costs latency.
    let _ = stream.set_nodelay(true);
    match tls {
        Some(tls) => tls.handshake(stream, limit).await,
        None => Ok(MaybeTls::Plain(stream)),
    }
}

fn verifier(
    trust: &Trust,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, ClientError> {
    match trust {
        Trust::PinnedCa(fingerprint) => Ok(Arc::new(Pinned {
            fingerprint: *fingerprint,
            provider: Arc::clone(provider),
            verifier: OnceLock::new(),
        })),
        Trust::CaPem(pem) => from_pem(pem, "the CA given", provider),
        Trust::CaFile(path) => {
            let pem = secret_file::read_public(path, PEM_FILE_BYTES_MAX)?;
            from_pem(&pem, &path.display().to_string(), provider)
        }
        Trust::Anyone => {
            warn!(
                "TLS certificate verification is OFF (insecure_skip_verify): anyone between this machine and the Core can read and change everything; pin the Core's CA instead (honeybee invite shows the code)"
            );
            Ok(Arc::new(Anyone(Arc::clone(provider))))
        }
    }
}

fn from_pem(
    pem: &[u8],
    place: &str,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, ClientError> {
    let no_ca = || ClientError::NoCa { place: place.to_owned() };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        roots.add(certificate.map_err(|_| no_ca())?)?;
    }
    if roots.is_empty() {
        return Err(no_ca());
    }
    Ok(webpki(roots, provider)?)
}

fn webpki(
    roots: RootCertStore,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, rustls::Error> {
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|error| rustls::Error::General(error.to_string()))
}

fn is_unknown_issuer(cause: &io::Error) -> bool {
    cause.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()).is_some_and(|error| {
        matches!(error, rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer))
    })
}

/// Trusts the one CA whose SHA-256 is known: finds it in the server's chain, then verifies as usual
/// (signatures, validity, purpose, name) with that CA as the only root.
#[derive(Debug)]
struct Pinned {
    fingerprint: Fingerprint,
    provider: Arc<CryptoProvider>,
    verifier: OnceLock<Arc<WebPkiServerVerifier>>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        // The leaf is not a candidate: a pinned CA signs servers, it is not one.
        let ca = intermediates
            .iter()
            .find(|der| Fingerprint::of(der) == self.fingerprint)
            .ok_or(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
        let verifier = match self.verifier.get() {
            Some(verifier) => verifier,
            None => {
                let mut roots = RootCertStore::empty();
                roots.add(ca.clone().into_owned())?;
                let fresh = webpki(roots, &self.provider)?;
                self.verifier.get_or_init(|| fresh)
            }
        };
        verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(tls12_refused())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Trusts any certificate, but still makes the server prove that it holds the certificate's key.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(tls12_refused())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

fn tls12_refused() -> rustls::Error {
    rustls::Error::General("TLS 1.2 is not spoken here".to_owned())
}
