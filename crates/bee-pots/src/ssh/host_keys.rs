//! The trap's SSH host keys: made once, kept under `host_keys/` in its directory with mode 0600, in OpenSSH's own format.
//!
//! They stay the same over restarts, as a real host's do: a changed key is what attackers' tools complain about.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::KeySize;
use russh::keys::ssh_key::LineEnding;
use russh::keys::{Algorithm, EcdsaCurve, PrivateKey};

use crate::harden::private_dir;
use crate::run::PotError;

/// Reads the keys, or makes those that are missing: Ed25519, RSA 3072 and ECDSA P-256, as `ssh-keygen -A` does.
///
/// # Errors
/// A key that cannot be made, read, parsed or written; the text names its file.
pub(super) fn load_or_make(dir: &Path) -> Result<Vec<PrivateKey>, PotError> {
    let dir = dir.join("host_keys");
    private_dir(&dir).map_err(|cause| PotError::Dir { dir: dir.clone(), cause })?;
    // russh signs with the first that fits, so the cheapest is first.
    [
        ("ed25519", make_ed25519 as fn() -> Result<PrivateKey, String>),
        ("rsa", make_rsa),
        ("ecdsa", make_ecdsa),
    ]
    .into_iter()
    .map(|(name, make)| {
        let path = dir.join(format!("ssh_host_{name}_key"));
        one(&path, make).map_err(|reason| PotError::HostKeys(format!("{}: {reason}", path.display())))
    })
    .collect()
}

fn one(path: &Path, make: fn() -> Result<PrivateKey, String>) -> Result<PrivateKey, String> {
    match fs::read_to_string(path) {
        Ok(text) => PrivateKey::from_openssh(&text)
            .map_err(|e| format!("{e}; remove the file to have a new key made")),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let key = make()?;
            let text = key.to_openssh(LineEnding::LF).map_err(|e| e.to_string())?;
            let temporary = path.with_extension("tmp");
            let _ = fs::remove_file(&temporary);
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&temporary)
                .map_err(|e| e.to_string())?;
            file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(|e| e.to_string())?;
            fs::rename(&temporary, path).map_err(|e| e.to_string())?;
            Ok(key)
        }
        Err(error) => Err(error.to_string()),
    }
}

fn make_ed25519() -> Result<PrivateKey, String> {
    PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519).map_err(|e| e.to_string())
}

fn make_ecdsa() -> Result<PrivateKey, String> {
    PrivateKey::random(&mut rand::rng(), Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 })
        .map_err(|e| e.to_string())
}

fn make_rsa() -> Result<PrivateKey, String> {
    // aws-lc makes an RSA key in a tenth of a second; the pure Rust way takes seconds.
    let pair = aws_lc_rs::rsa::KeyPair::generate(KeySize::Rsa3072)
        .map_err(|_| "the RSA key could not be made".to_owned())?;
    let der: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| "the RSA key could not be encoded".to_owned())?;
    russh::keys::pkcs8::decode_pkcs8(der.as_ref(), None).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn keys_are_made_once_kept_private_and_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let prints = || {
            load_or_make(dir.path())
                .unwrap()
                .iter()
                .map(|k| k.fingerprint(Default::default()).to_string())
                .collect::<Vec<_>>()
        };
        let first = prints();
        assert_eq!(first.len(), 3);
        assert_eq!(first, prints());
        for entry in fs::read_dir(dir.path().join("host_keys")).unwrap() {
            assert_eq!(entry.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_damaged_key_is_an_error_that_names_the_file_and_the_way_out() {
        let dir = tempfile::tempdir().unwrap();
        load_or_make(dir.path()).unwrap();
        fs::write(dir.path().join("host_keys/ssh_host_rsa_key"), "damaged").unwrap();
        let error = load_or_make(dir.path()).unwrap_err().to_string();
        assert!(error.contains("ssh_host_rsa_key") && error.contains("remove the file"), "{error}");
    }
}
