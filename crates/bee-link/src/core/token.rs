//! Join tokens: one-time secrets that let an unknown node in.
//!
//! `Registry` mints and checks them. Only the SHA-256 of a token's secret is kept: the secret is
//! 160 random bits, so a plain hash cannot be searched, and a stolen state file lets nobody in.

use data_encoding::{BASE32_NOPAD, HEXLOWER};
use rand::CryptoRng;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// Random bytes of a token's secret.
const SECRET_BYTES: usize = 20;
/// Hexadecimal digits of a token's public id.
const ID_CHARS: usize = 12;
/// Longest secret looked at, in bytes; anything longer is not a token.
const SECRET_CHARS_MAX: usize = 128;

/// What an operator asks of a new token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// Nodes it may enrol; at least 1.
    pub uses_max: u32,
    /// Wall-clock moment after which it is refused, in Unix milliseconds.
    pub expires_unix_ms: i64,
    /// A remark for people, e.g. the name of the node it is meant for.
    pub note: String,
}

/// A join token as Core keeps it: everything but the secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinToken {
    /// Public name, used to list and revoke; tells nothing about the secret that helps to guess it.
    pub id: String,
    /// SHA-256 of the secret, lower-case hexadecimal.
    pub sha256: String,
    /// When it was made, in Unix milliseconds.
    pub created_unix_ms: i64,
    /// When it stops working, in Unix milliseconds.
    pub expires_unix_ms: i64,
    /// Nodes it may enrol.
    pub uses_max: u32,
    /// Nodes it has enrolled.
    pub uses_count: u32,
    /// Set by an operator to end it early.
    pub revoked: bool,
    /// A remark for people.
    pub note: String,
}

/// Why a token does not let a node in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefusal {
    /// No token has this secret.
    #[error("this join token is unknown; ask the operator for a new one (`honeybee invite`)")]
    Unknown,
    /// An operator ended it.
    #[error("this join token was revoked; ask the operator for a new one (`honeybee invite`)")]
    Revoked,
    /// Its time is over.
    #[error("this join token has expired; ask the operator for a new one (`honeybee invite`)")]
    Expired,
    /// It has enrolled all the nodes it may.
    #[error("this join token is used up; ask the operator for a new one (`honeybee invite`)")]
    UsedUp,
}

impl JoinToken {
    /// Makes a token and its secret; the secret exists only in the answer.
    pub fn mint<R: CryptoRng + ?Sized>(
        new: NewToken,
        unix_ms: i64,
        rng: &mut R,
    ) -> (Zeroizing<String>, Self) {
        let mut bytes = Zeroizing::new([0u8; SECRET_BYTES]);
        rng.fill_bytes(bytes.as_mut());
        let secret = Zeroizing::new(BASE32_NOPAD.encode(bytes.as_ref()).to_ascii_lowercase());
        let sha256 = hash(&secret);
        let token = JoinToken {
            id: sha256.get(..ID_CHARS).unwrap_or_default().to_owned(),
            sha256,
            created_unix_ms: unix_ms,
            expires_unix_ms: new.expires_unix_ms,
            uses_max: new.uses_max.max(1),
            uses_count: 0,
            revoked: false,
            note: new.note,
        };
        (secret, token)
    }

    /// Whether the token lets one more node in at `unix_ms`.
    ///
    /// # Errors
    /// Why it does not.
    pub fn usable(&self, unix_ms: i64) -> Result<(), TokenRefusal> {
        if self.revoked {
            return Err(TokenRefusal::Revoked);
        }
        if unix_ms >= self.expires_unix_ms {
            return Err(TokenRefusal::Expired);
        }
        if self.uses_count >= self.uses_max { Err(TokenRefusal::UsedUp) } else { Ok(()) }
    }
}

/// The key a secret is looked up by; `None` when the text is too long to be a secret of ours.
///
/// The lookup compares hashes of secrets, so its timing tells nothing about the secret itself.
pub(crate) fn lookup_key(secret: &str) -> Option<String> {
    let secret = secret.trim();
    (secret.len() <= SECRET_CHARS_MAX).then(|| hash(&secret.to_ascii_lowercase()))
}

fn hash(secret: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(secret.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

    fn mint(uses_max: u32) -> (Zeroizing<String>, JoinToken) {
        let new = NewToken { uses_max, expires_unix_ms: 1_000, note: "web-1".into() };
        JoinToken::mint(new, 0, &mut ChaCha8Rng::seed_from_u64(1))
    }

    #[test]
    fn the_record_does_not_contain_the_secret() {
        let (secret, token) = mint(1);
        assert_eq!(secret.len(), 32);
        assert!(!serde_json::to_string(&token).unwrap().contains(secret.as_str()));
        assert_eq!(lookup_key(&format!(" {}\n", secret.to_uppercase())), Some(token.sha256));
    }

    #[test]
    fn a_token_ends_by_time_by_use_and_by_revocation() {
        let (_, mut token) = mint(2);
        assert_eq!(token.usable(999), Ok(()));
        assert_eq!(token.usable(1_000), Err(TokenRefusal::Expired));
        token.uses_count = 2;
        assert_eq!(token.usable(999), Err(TokenRefusal::UsedUp));
        token.revoked = true;
        assert_eq!(token.usable(999), Err(TokenRefusal::Revoked));
    }

    #[test]
    fn an_endless_secret_is_not_hashed() {
        assert_eq!(lookup_key(&"a".repeat(10_000)), None);
    }
}
