//! TLS 1.3 between nodes and Core, and the private CA behind it.
//!
//! - [`ca`]: the installation's own authority: creates itself, issues Core's server certificate,
//!   signs nodes' requests.
//! - [`identity`]: reads certificates: fingerprints, validity, which node one names.
//! - [`server`]: the accepting side: configuration, certificate renewal in place, [`server::accept`].
//! - [`client`]: the connecting side: pinned CA, CA file or (loudly) nothing, [`client::connect`].
//!
//! TLS 1.3 alone, aws-lc-rs alone, hybrid X25519MLKEM768 first. No session resumption and no early
//! data: links live for days, and tickets would only cost memory. Keys are ECDSA P-256, which every
//! TLS 1.3 implementation has to verify (RFC 8446, 9.1), so that foreign nodes can join too.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs::{cipher_suite, kx_group};
use rustls::crypto::{CryptoProvider, aws_lc_rs};

pub mod ca;
pub mod client;
pub mod identity;
pub mod server;

pub use ca::{CaError, CertificateAuthority, NodeKey};
pub use client::{ClientError, ClientTls, Trust};
pub use identity::{CertificateInfo, Fingerprint};
pub use server::{ClientCertificates, Mode, ServerIdentity, ServerTls};

/// A name that every server certificate of a HoneyBee Core carries. A client that trusts exactly one
/// CA (pinned or from a file) asks for this name, so that it does not matter behind which address,
/// forwarded port or DNS name the Core is reached: that CA signs server certificates for its own
/// Core alone.
pub const CORE_NAME: &str = "core.honeybee.internal";

/// The cryptography both sides use: TLS 1.3 suites, hybrid post-quantum key exchange first.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites: vec![
            cipher_suite::TLS13_AES_128_GCM_SHA256,
            cipher_suite::TLS13_AES_256_GCM_SHA384,
            cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        ],
        kx_groups: vec![kx_group::X25519MLKEM768, kx_group::X25519, kx_group::SECP256R1],
        ..aws_lc_rs::default_provider()
    })
}
