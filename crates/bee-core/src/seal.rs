//! Encryption of secrets at rest: TOTP keys in node records.
//!
//! AES-256-GCM with a random nonce; the key lies in `core/state.key` (0600), apart from `state.redb`, so that a
//! copy of the state alone, as backups and bug reports carry it, gives no key away. The name under which a
//! value is stored is bound in: sealed values cannot be swapped.

use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use bee_daemon::secret_file::{self, SecretFileError};
use data_encoding::BASE64;

const KEY_BYTES: usize = 32;

/// Seals and opens.
pub(crate) struct Sealer {
    key: RandomizedNonceKey,
}

/// A sealed value that does not open, or a key file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SealError {
    /// The key file.
    #[error("cannot use the state key")]
    File(#[from] SecretFileError),
    /// The key file has another length.
    #[error("{path} does not hold a key: restore it from the backup that {with} came from")]
    BadKey {
        /// The key file.
        path: String,
        /// What was sealed with it.
        with: &'static str,
    },
    /// The value was sealed with another key, under another name, or was changed.
    #[error("a sealed value does not open: state.key and state.redb are not of one installation")]
    DoesNotOpen,
    /// The system gave no random bytes.
    #[error("no random bytes from the system")]
    Random,
}

impl Sealer {
    /// Reads the key, or makes one.
    pub(crate) fn load_or_create(path: &Path) -> Result<Self, SealError> {
        if !path.exists() {
            let mut key = zeroize::Zeroizing::new([0_u8; KEY_BYTES]);
            aws_lc_rs::rand::fill(key.as_mut()).map_err(|_| SealError::Random)?;
            secret_file::write(path, key.as_ref())?;
        }
        let bytes = secret_file::read(path, 1_024)?;
        let key = RandomizedNonceKey::new(&AES_256_GCM, &bytes)
            .map_err(|_| SealError::BadKey { path: path.display().to_string(), with: "state.redb" })?;
        Ok(Self { key })
    }

    /// Seals `plain` under `name`: base64 of nonce, ciphertext and tag.
    pub(crate) fn seal(&self, name: &str, plain: &[u8]) -> Result<String, SealError> {
        let mut sealed = plain.to_vec();
        let nonce = self
            .key
            .seal_in_place_append_tag(Aad::from(name.as_bytes()), &mut sealed)
            .map_err(|_| SealError::Random)?;
        let mut bytes = nonce.as_ref().to_vec();
        bytes.extend_from_slice(&sealed);
        Ok(BASE64.encode(&bytes))
    }

    /// Opens what [`Self::seal`] made under the same name.
    pub(crate) fn open(&self, name: &str, sealed: &str) -> Result<Vec<u8>, SealError> {
        let bytes = BASE64.decode(sealed.as_bytes()).map_err(|_| SealError::DoesNotOpen)?;
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE_LEN>().ok_or(SealError::DoesNotOpen)?;
        let mut sealed = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let plain = self
            .key
            .open_in_place(nonce, Aad::from(name.as_bytes()), &mut sealed)
            .map_err(|_| SealError::DoesNotOpen)?;
        Ok(plain.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_opens_with_the_same_key_and_name_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.key");
        let sealed = Sealer::load_or_create(&path).unwrap().seal("node/1", b"secret").unwrap();
        assert!(!sealed.contains("secret"));
        let sealer = Sealer::load_or_create(&path).unwrap();
        assert_eq!(sealer.open("node/1", &sealed).unwrap(), b"secret");
        assert!(matches!(sealer.open("node/2", &sealed), Err(SealError::DoesNotOpen)));
        let other = Sealer::load_or_create(&dir.path().join("other.key")).unwrap();
        assert!(matches!(other.open("node/1", &sealed), Err(SealError::DoesNotOpen)));
        assert!(matches!(sealer.open("node/1", "AAAA"), Err(SealError::DoesNotOpen)));
    }
}
