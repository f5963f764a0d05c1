//! The installation's own certificate authority: Core makes it at first start and keeps it.
//!
//! Called by Core (server certificate, signing nodes' requests), by nodes for [`NodeKey`], and by
//! the CLI to show fingerprints. It never signs what a request asks for: of a CSR only the public
//! key is used, names and purposes are ours.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use time::{Duration, OffsetDateTime};
use zeroize::Zeroizing;

use super::CORE_NAME;
use super::identity::{CertificateInfo, Fingerprint, NODE_URI_PREFIX};
use super::server::ServerIdentity;
use crate::secret_file::{self, SecretFileError};

/// Longest CSR that is looked at; ours are about 500 bytes.
pub const CSR_BYTES_MAX: usize = 16 * 1024;

const PEM_FILE_BYTES_MAX: u64 = 256 * 1024;
const CA_VALIDITY: Duration = Duration::days(3_652);
const SERVER_VALIDITY: Duration = Duration::days(397);
const NODE_VALIDITY: Duration = Duration::days(365);
// Clocks of small machines are off; a certificate that starts a day ago works on all of them.
const BACKDATE: Duration = Duration::days(1);

/// What can go wrong with the authority's files and signatures.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// A file could not be read or written, or is open to others.
    #[error(transparent)]
    File(#[from] SecretFileError),
    /// One of the two CA files is there without the other.
    #[error(
        "{present} exists but {missing} does not: restore it from a backup, or move {present} away to start a new CA (every node has to join again)"
    )]
    HalfThere {
        /// The file that exists.
        present: String,
        /// The file that is missing.
        missing: String,
    },
    /// A file does not hold what its name says.
    #[error("{file} is not a valid {what}: restore it from a backup")]
    Damaged {
        /// The file.
        file: String,
        /// What it should hold.
        what: &'static str,
    },
    /// The CA's key does not belong to its certificate.
    #[error("{key} is not the key of {certificate}: restore the pair from one backup")]
    KeyMismatch {
        /// Key file.
        key: String,
        /// Certificate file.
        certificate: String,
    },
    /// The CA certificate has expired.
    #[error(
        "the CA certificate in {file} has expired: move ca.pem and ca.key away to start a new CA (every node has to join again)"
    )]
    Expired {
        /// Certificate file.
        file: String,
    },
    /// A signing request that we do not sign.
    #[error("certificate request refused: {reason}")]
    RequestRefused {
        /// Why.
        reason: &'static str,
    },
    /// A server name that cannot stand in a certificate.
    #[error("{name:?} cannot stand in a server certificate: use a DNS name or an IP address")]
    BadName {
        /// The name.
        name: String,
    },
    /// The cryptographic library failed.
    #[error("cannot make a key or certificate")]
    Crypto(#[from] rcgen::Error),
    /// A time outside the calendar.
    #[error("the clock shows a time outside years 1950 to 9999: set it, then start again")]
    Clock,
}

/// The CA with its key. One per installation.
pub struct CertificateAuthority {
    certificate: CertificateDer<'static>,
    pem: String,
    info: CertificateInfo,
    issuer: Issuer<'static, KeyPair>,
}

/// Why a server certificate was issued, or that it was not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Issued {
    /// The one on disk is good.
    Kept,
    /// None was there.
    First,
    /// A third or less of its validity was left.
    Due,
    /// The names it has to carry changed.
    NamesChanged,
    /// It was unreadable, without its key, or from another CA.
    Replaced,
}

impl CertificateAuthority {
    /// Makes a new authority, valid for ten years from `now_seconds` (Unix time).
    ///
    /// # Errors
    /// When no key can be made or the clock is outside the calendar.
    pub fn create(now_seconds: i64) -> Result<Self, CaError> {
        Self::create_with_key(now_seconds).map(|(ca, _key_pem)| ca)
    }

    /// Reads `ca.pem` and `ca.key` from `dir`, or makes them (0600, directory 0700) when neither is there.
    ///
    /// # Errors
    /// When a file is unreadable, damaged, open to others or half of the pair is missing. An
    /// existing CA is never overwritten.
    pub fn load_or_create(dir: &Path, now_seconds: i64) -> Result<Self, CaError> {
        let (certificate_path, key_path) = (dir.join("ca.pem"), dir.join("ca.key"));
        match (certificate_path.exists(), key_path.exists()) {
            (true, true) => Self::load(&certificate_path, &key_path, now_seconds),
            (false, false) => {
                let (ca, key_pem) = Self::create_with_key(now_seconds)?;
                secret_file::create_private_dir(dir)?;
                // The key first: a crash in between leaves a key without a certificate, which the
                // next start reports, and never a published certificate whose key is lost.
                secret_file::write(&key_path, key_pem.as_bytes())?;
                secret_file::write_public(&certificate_path, ca.pem.as_bytes())?;
                Ok(ca)
            }
            (true, false) => Err(half_there(&certificate_path, &key_path)),
            (false, true) => Err(half_there(&key_path, &certificate_path)),
        }
    }

    /// The certificate, DER.
    #[must_use]
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// The certificate, PEM; public, goes into nodes' `ca.pem`.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// SHA-256 of the certificate; goes into join codes.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.info.fingerprint
    }

    /// Validity and names.
    #[must_use]
    pub fn info(&self) -> &CertificateInfo {
        &self.info
    }

    /// Issues a server certificate for `names` (DNS names or IP addresses) and [`CORE_NAME`].
    ///
    /// # Errors
    /// When a name cannot stand in a certificate or no key can be made.
    pub fn issue_server(&self, names: &[String], now_seconds: i64) -> Result<ServerIdentity, CaError> {
        let (chain, key) = self.issue_server_with_key(names, now_seconds)?;
        Ok(ServerIdentity {
            chain,
            key: PrivateKeyDer::try_from(key.serialize_der())
                .map_err(|_| rcgen::Error::CouldNotParseKeyPair)?,
        })
    }

    /// The server identity in `dir` (`server.pem`, `server.key`), issued anew when it is missing,
    /// due, from another CA, or does not carry exactly `names`.
    ///
    /// # Errors
    /// When the files cannot be read or written, or a name cannot stand in a certificate.
    pub fn load_or_issue_server(
        &self,
        dir: &Path,
        names: &[String],
        now_seconds: i64,
    ) -> Result<(ServerIdentity, Issued), CaError> {
        let (chain_path, key_path) = (dir.join("server.pem"), dir.join("server.key"));
        let why = if !chain_path.exists() && !key_path.exists() {
            Issued::First
        } else {
            match self.try_load_server(&chain_path, &key_path) {
                Err(error @ CaError::File(SecretFileError::TooOpen { .. })) => return Err(error),
                Err(_) => Issued::Replaced,
                Ok((_, info)) if info.names != wanted_names(names) => Issued::NamesChanged,
                Ok((_, info)) if info.is_due(now_seconds) => Issued::Due,
                Ok((identity, _)) => return Ok((identity, Issued::Kept)),
            }
        };
        let (chain, key) = self.issue_server_with_key(names, now_seconds)?;
        secret_file::create_private_dir(dir)?;
        secret_file::write(&key_path, Zeroizing::new(key.serialize_pem()).as_bytes())?;
        let pem: String = chain.iter().map(|der| to_pem(der)).collect();
        secret_file::write_public(&chain_path, pem.as_bytes())?;
        let (identity, _) = self.try_load_server(&chain_path, &key_path)?;
        Ok((identity, why))
    }

    /// Signs a node's request: verifies that the requester holds the key, takes the key and nothing
    /// else, and names the node by `honeybee:node:<id>`. Returns the certificate, PEM.
    ///
    /// # Errors
    /// [`CaError::RequestRefused`] when the request is too long, unreadable, its signature does not
    /// verify, or its key is neither ECDSA P-256/P-384 nor Ed25519.
    pub fn sign_node(&self, csr_pem: &str, node_id: u64, now_seconds: i64) -> Result<String, CaError> {
        let refused = |reason| CaError::RequestRefused { reason };
        if csr_pem.len() > CSR_BYTES_MAX {
            return Err(refused("it is longer than 16 KiB"));
        }
        let request = CertificateSigningRequestParams::from_pem(csr_pem).map_err(|error| match error {
            rcgen::Error::InvalidCertificationRequestSignature => refused("its signature does not verify"),
            _ => refused("it is not a readable PKCS #10 request"),
        })?;
        let algorithm = rcgen::PublicKeyData::algorithm(&request.public_key);
        let allowed = [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519];
        if !allowed.contains(&algorithm) {
            return Err(refused("its key is not ECDSA P-256, ECDSA P-384 or Ed25519"));
        }
        let uri = format!("{NODE_URI_PREFIX}{node_id}");
        let params = self.leaf(
            &format!("HoneyBee node {node_id}"),
            vec![SanType::URI(uri.try_into()?)],
            ExtendedKeyUsagePurpose::ClientAuth,
            now_seconds,
            NODE_VALIDITY,
        )?;
        Ok(params.signed_by(&request.public_key, &self.issuer)?.pem())
    }

    fn create_with_key(now_seconds: i64) -> Result<(Self, Zeroizing<String>), CaError> {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        let key_pem = Zeroizing::new(key.serialize_pem());
        let now = calendar(now_seconds)?;
        // A word of its own tells two CAs apart in a browser's or an operator's list.
        let tag: u32 = rand::random();
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name(&format!("HoneyBee CA {tag:08x}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.serial_number = Some(random_serial());
        params.not_before = now.saturating_sub(BACKDATE);
        params.not_after = now.saturating_add(CA_VALIDITY);
        let certificate = params.self_signed(&key)?;
        let pem = certificate.pem();
        let der = certificate.der().clone();
        let info = CertificateInfo::from_der(&der).ok_or(CaError::Clock)?;
        let ca = Self { certificate: der, pem, info, issuer: Issuer::new(params, key) };
        Ok((ca, key_pem))
    }

    fn load(certificate_path: &Path, key_path: &Path, now_seconds: i64) -> Result<Self, CaError> {
        let damaged = |file: &Path, what| CaError::Damaged { file: file.display().to_string(), what };
        let pem = secret_file::read_public(certificate_path, PEM_FILE_BYTES_MAX)?;
        let pem = String::from_utf8(pem).map_err(|_| damaged(certificate_path, "CA certificate"))?;
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes())
            .map_err(|_| damaged(certificate_path, "CA certificate"))?;
        let info = CertificateInfo::from_der(&certificate)
            .filter(|info| info.is_ca)
            .ok_or_else(|| damaged(certificate_path, "CA certificate"))?;
        let key_pem = secret_file::read_text(key_path, PEM_FILE_BYTES_MAX)?;
        let key = KeyPair::from_pem(&key_pem).map_err(|_| damaged(key_path, "private key"))?;
        if !is_key_of(&key, &certificate) {
            return Err(CaError::KeyMismatch {
                key: key_path.display().to_string(),
                certificate: certificate_path.display().to_string(),
            });
        }
        if now_seconds > info.not_after {
            return Err(CaError::Expired { file: certificate_path.display().to_string() });
        }
        let issuer = Issuer::from_ca_cert_der(&certificate, key)?;
        Ok(Self { certificate, pem, info, issuer })
    }

    fn issue_server_with_key(
        &self,
        names: &[String],
        now_seconds: i64,
    ) -> Result<(Vec<CertificateDer<'static>>, KeyPair), CaError> {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        let mut subject_alt_names = Vec::with_capacity(names.len() + 1);
        for name in wanted_names(names) {
            subject_alt_names.push(match name.parse::<IpAddr>() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) if is_dns_name(&name) => SanType::DnsName(name.try_into()?),
                Err(_) => return Err(CaError::BadName { name }),
            });
        }
        let params = self.leaf(
            "HoneyBee Core",
            subject_alt_names,
            ExtendedKeyUsagePurpose::ServerAuth,
            now_seconds,
            SERVER_VALIDITY,
        )?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        // The CA goes along: a client that knows only its fingerprint finds it in the chain.
        let chain = vec![certificate.der().clone(), self.certificate.clone()];
        Ok((chain, key))
    }

    fn try_load_server(
        &self,
        chain_path: &Path,
        key_path: &Path,
    ) -> Result<(ServerIdentity, CertificateInfo), CaError> {
        let damaged = |file: &Path, what| CaError::Damaged { file: file.display().to_string(), what };
        let identity = ServerIdentity::load(chain_path, key_path)?;
        let leaf = identity.chain.first().ok_or_else(|| damaged(chain_path, "certificate chain"))?;
        let info = CertificateInfo::from_der(leaf).ok_or_else(|| damaged(chain_path, "certificate chain"))?;
        let key = KeyPair::try_from(&identity.key).map_err(|_| damaged(key_path, "private key"))?;
        if !is_key_of(&key, leaf) || identity.chain.get(1) != Some(&self.certificate) {
            return Err(damaged(chain_path, "certificate of this CA with its key"));
        }
        Ok((identity, info))
    }

    /// What every certificate of ours has in common. It never outlives the CA: a chain is only as
    /// good as its root.
    fn leaf(
        &self,
        name: &str,
        subject_alt_names: Vec<SanType>,
        purpose: ExtendedKeyUsagePurpose,
        now_seconds: i64,
        validity: Duration,
    ) -> Result<CertificateParams, CaError> {
        let now = calendar(now_seconds)?;
        let ca_end = calendar(self.info.not_after)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name(name);
        params.subject_alt_names = subject_alt_names;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.insert_extended_key_usage(purpose);
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.serial_number = Some(random_serial());
        params.not_before = now.saturating_sub(BACKDATE);
        params.not_after = now.saturating_add(validity).min(ca_end);
        Ok(params)
    }
}

impl fmt::Debug for CertificateAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateAuthority")
            .field("fingerprint", &self.info.fingerprint)
            .finish_non_exhaustive()
    }
}

/// A node's private key and the request to have it certified.
pub struct NodeKey {
    /// PKCS #8, PEM; belongs into a 0600 file. Wiped from memory on drop.
    pub key_pem: Zeroizing<String>,
    /// PKCS #10 request, PEM; goes into the registration.
    pub csr_pem: String,
}

impl NodeKey {
    /// Makes a new key. `node_name` is a hint for people who read the request; Core ignores it.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn generate(node_name: &str) -> Result<Self, CaError> {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        Self::with_key(&key, node_name)
    }

    /// A new request for an existing key, to renew a certificate.
    ///
    /// # Errors
    /// When `key_pem` holds no key we can sign with.
    pub fn renew(key_pem: &str, node_name: &str) -> Result<Self, CaError> {
        Self::with_key(&KeyPair::from_pem(key_pem)?, node_name)
    }

    fn with_key(key: &KeyPair, node_name: &str) -> Result<Self, CaError> {
        // X.520 bounds a common name to 64 characters.
        let short_name: String = node_name.chars().take(64).collect();
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name(&short_name);
        Ok(Self {
            key_pem: Zeroizing::new(key.serialize_pem()),
            csr_pem: params.serialize_request(key)?.pem()?,
        })
    }
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeKey").field("csr_pem", &self.csr_pem).finish_non_exhaustive()
    }
}

fn half_there(present: &Path, missing: &Path) -> CaError {
    CaError::HalfThere { present: present.display().to_string(), missing: missing.display().to_string() }
}

/// `names` with [`CORE_NAME`], lower case, sorted, each once, addresses in their canonical form.
fn wanted_names(names: &[String]) -> Vec<String> {
    let mut wanted: Vec<String> = names
        .iter()
        .map(|name| match name.parse::<IpAddr>() {
            Ok(address) => address.to_string(),
            Err(_) => name.to_ascii_lowercase(),
        })
        .chain([CORE_NAME.to_owned()])
        .collect();
    wanted.sort();
    wanted.dedup();
    wanted
}

fn is_dns_name(name: &str) -> bool {
    rustls::pki_types::DnsName::try_from(name).is_ok()
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished_name = DistinguishedName::new();
    distinguished_name.push(DnType::CommonName, name);
    distinguished_name
}

fn random_serial() -> SerialNumber {
    // 126 random bits: unguessable, never zero, never negative (RFC 5280, 4.1.2.2).
    let mut bytes: [u8; 16] = rand::random();
    if let Some(first) = bytes.first_mut() {
        *first = (*first & 0x3f) | 0x40;
    }
    SerialNumber::from_slice(&bytes)
}

fn calendar(seconds: i64) -> Result<OffsetDateTime, CaError> {
    OffsetDateTime::from_unix_timestamp(seconds)
        .ok()
        .filter(|time| (1950..9_900).contains(&time.year()))
        .ok_or(CaError::Clock)
}

fn is_key_of(key: &KeyPair, certificate: &CertificateDer<'_>) -> bool {
    x509_parser::parse_x509_certificate(certificate).is_ok_and(|(_, certificate)| {
        certificate.public_key().subject_public_key.data.as_ref() == key.public_key_raw()
    })
}

fn to_pem(der: &CertificateDer<'_>) -> String {
    let body = data_encoding::BASE64.encode(der);
    let mut pem = String::with_capacity(body.len() + body.len() / 64 + 64);
    pem.push_str("-----BEGIN CERTIFICATE-----\n");
    for line in body.as_bytes().chunks(64) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}
