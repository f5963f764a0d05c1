//! Reads certificates: fingerprints, validity, and which node one names.
//!
//! Called after a handshake (who is this?), at start (is the certificate due for renewal?) and by
//! the CLI (fingerprints to compare). Trust decisions are rustls's, not made here.

use std::fmt::{self, Display};
use std::str::FromStr;

use data_encoding::{BASE32_NOPAD, HEXLOWER_PERMISSIVE, HEXUPPER};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use sha2::{Digest as _, Sha256};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// What a node certificate's subject alternative name starts with; the node id follows in decimal.
pub const NODE_URI_PREFIX: &str = "honeybee:node:";

/// SHA-256 of a certificate's DER form.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The fingerprint of a certificate.
    #[must_use]
    pub fn of(der: &[u8]) -> Self {
        Self(Sha256::digest(der).into())
    }

    /// From the 32 raw bytes, as a join code carries them.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 raw bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// For people to compare at a glance: `4F2A…9C71`.
    #[must_use]
    pub fn short(&self) -> String {
        let hex = self.to_string();
        format!("{}…{}", hex.get(..4).unwrap_or_default(), hex.get(hex.len() - 4..).unwrap_or_default())
    }

    /// Unpadded base32 (RFC 4648), 52 characters; fits codes that people may have to type.
    #[must_use]
    pub fn base32(&self) -> String {
        BASE32_NOPAD.encode(&self.0)
    }
}

impl Display for Fingerprint {
    /// 64 upper-case hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXUPPER.encode(&self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

/// A text that is not a SHA-256 fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a SHA-256 fingerprint: 64 hexadecimal digits are needed (colons between bytes and a `sha256:` prefix are fine)"
)]
pub struct FingerprintError;

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    /// Takes hex of either case, with or without colons and a `sha256:` prefix, and 52 base32 digits.
    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        let text = text.trim();
        let text = match text.get(..7) {
            Some(prefix) if prefix.eq_ignore_ascii_case("sha256:") => text.get(7..).unwrap_or_default(),
            _ => text,
        };
        let compact: String = text.chars().filter(|c| *c != ':').take(65).collect();
        let bytes = match compact.len() {
            64 => HEXLOWER_PERMISSIVE.decode(compact.as_bytes()).ok(),
            52 => BASE32_NOPAD.decode(compact.to_ascii_uppercase().as_bytes()).ok(),
            _ => None,
        };
        bytes.and_then(|bytes| bytes.try_into().ok()).map(Self).ok_or(FingerprintError)
    }
}

impl serde::Serialize for Fingerprint {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Fingerprint {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Why a certificate does not name a node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerIdError {
    /// The bytes are not an X.509 certificate.
    #[error("the certificate cannot be parsed")]
    Unreadable,
    /// No `honeybee:node:<id>` name in it.
    #[error("the certificate names no node (no `honeybee:node:<id>` in its subject alternative names)")]
    NoNode,
    /// More than one node in it, which our CA never signs.
    #[error("the certificate names more than one node")]
    Ambiguous,
    /// The id is not an unsigned 64-bit number.
    #[error("the certificate names a node id that is not a number")]
    BadId,
}

/// The node id named by a certificate that the handshake has verified.
///
/// # Errors
/// When the certificate names no node, several, or cannot be parsed.
pub fn node_id_of(der: &[u8]) -> Result<u64, PeerIdError> {
    let certificate = parse(der).ok_or(PeerIdError::Unreadable)?;
    node_id_in(&certificate)
}

/// The certificate with this fingerprint in a chain, if it is there.
#[must_use]
pub fn find_in_chain<'a>(
    chain: &'a [CertificateDer<'static>],
    fingerprint: &Fingerprint,
) -> Option<&'a CertificateDer<'static>> {
    chain.iter().find(|der| Fingerprint::of(der) == *fingerprint)
}

/// What people and renewal decisions need to know of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateInfo {
    /// SHA-256 of the DER form.
    pub fingerprint: Fingerprint,
    /// The subject as text, `CN=..`.
    pub subject: String,
    /// DNS names and addresses it is good for, sorted.
    pub names: Vec<String>,
    /// The node it names, if it names exactly one.
    pub node_id: Option<u64>,
    /// First valid second, Unix time.
    pub not_before: i64,
    /// Last valid second, Unix time.
    pub not_after: i64,
    /// Whether it may sign other certificates.
    pub is_ca: bool,
}

impl CertificateInfo {
    /// Reads a DER certificate; `None` when it is not one.
    #[must_use]
    pub fn from_der(der: &[u8]) -> Option<Self> {
        let certificate = parse(der)?;
        let mut names: Vec<String> = general_names(&certificate).into_iter().filter_map(name_text).collect();
        names.sort();
        Some(Self {
            fingerprint: Fingerprint::of(der),
            subject: certificate.subject().to_string(),
            names,
            node_id: node_id_in(&certificate).ok(),
            not_before: certificate.validity().not_before.timestamp(),
            not_after: certificate.validity().not_after.timestamp(),
            is_ca: certificate.is_ca(),
        })
    }

    /// Reads the first certificate of a PEM text; `None` when there is none.
    #[must_use]
    pub fn from_pem(pem: &[u8]) -> Option<Self> {
        let der = CertificateDer::from_pem_slice(pem).ok()?;
        Self::from_der(&der)
    }

    /// Whether a third of the validity or less is left at `now_seconds` (Unix time), or it is not
    /// valid yet: time to renew.
    #[must_use]
    pub fn is_due(&self, now_seconds: i64) -> bool {
        let whole = self.not_after.saturating_sub(self.not_before);
        let left = self.not_after.saturating_sub(now_seconds);
        now_seconds < self.not_before || left <= whole / 3
    }
}

fn parse(der: &[u8]) -> Option<X509Certificate<'_>> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Some(certificate),
        _ => None,
    }
}

fn general_names<'a>(certificate: &'a X509Certificate<'_>) -> Vec<&'a GeneralName<'a>> {
    match certificate.subject_alternative_name() {
        Ok(Some(extension)) => extension.value.general_names.iter().collect(),
        _ => Vec::new(),
    }
}

fn node_id_in(certificate: &X509Certificate<'_>) -> Result<u64, PeerIdError> {
    let mut found = None;
    for name in general_names(certificate) {
        let GeneralName::URI(uri) = name else { continue };
        let Some(id) = uri.strip_prefix(NODE_URI_PREFIX) else {
            continue;
        };
        // `parse` alone would take "+7": one node must have one spelling.
        if !id.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(PeerIdError::BadId);
        }
        let id: u64 = id.parse().map_err(|_| PeerIdError::BadId)?;
        if found.replace(id).is_some() {
            return Err(PeerIdError::Ambiguous);
        }
    }
    found.ok_or(PeerIdError::NoNode)
}

fn name_text(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match **bytes {
            [a, b, c, d] => Some(std::net::Ipv4Addr::new(a, b, c, d).to_string()),
            ref bytes => {
                <[u8; 16]>::try_from(bytes).ok().map(|bytes| std::net::Ipv6Addr::from(bytes).to_string())
            }
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_fingerprint_reads_in_every_common_spelling() {
        let print = Fingerprint::of(b"a certificate");
        let hex = print.to_string();
        assert_eq!(hex.len(), 64);
        let colons: Vec<&str> = (0..32).map(|i| &hex[i * 2..i * 2 + 2]).collect();
        for text in
            [hex.clone(), hex.to_lowercase(), colons.join(":"), format!("SHA256:{hex}"), print.base32()]
        {
            assert_eq!(text.parse(), Ok(print), "{text}");
        }
        assert_eq!(print.short(), format!("{}…{}", &hex[..4], &hex[60..]));
    }

    #[test]
    fn what_is_not_a_fingerprint_is_refused() {
        for text in ["", "sha256:", "4F2A", &"Z".repeat(64), &"A".repeat(63), "é"] {
            assert_eq!(text.parse::<Fingerprint>(), Err(FingerprintError), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_certificate_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
            prop_assert!(CertificateInfo::from_der(&bytes).is_none());
            prop_assert_eq!(node_id_of(&bytes), Err(PeerIdError::Unreadable));
        }
    }
}
