//! Who this node is: its files in the state directory, which is private (0700, secrets 0600).
//!
//! `identity.json` (node id, name, Core's address), `ca.pem`, `client.key`, `client.pem`, and the TOTP secret
//! `.honeybee_totp_secret`, which lies where the field's nodes keep it when the config says so. Losing this directory
//! means joining again; nothing here is ever sent anywhere except the public parts.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use bee_daemon::{
    secret_file::{self, SecretFileError},
    tls::{CertificateInfo, NodeKey, ServerIdentity},
};
use bee_wire::{NodeId, Secret};
use serde::{Deserialize, Serialize};

/// Name of the TOTP secret file, the same as in the field.
pub const TOTP_SECRET_FILE: &str = ".honeybee_totp_secret";
const SMALL_FILE_BYTES_MAX: u64 = 64 * 1024;

/// What `identity.json` holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The node's number.
    pub node_id: NodeId,
    /// The name it joined under, used when the config names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Core's addresses as of the join, used when the config names none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<String>,
    /// Times the node daemon was started.
    #[serde(default)]
    pub boot: u64,
}

impl Identity {
    /// Reads the identity in `state_dir` without changing anything; `None` when there is none yet.
    ///
    /// # Errors
    /// The file is unreadable or damaged.
    pub fn peek(state_dir: &Path) -> anyhow::Result<Option<Self>> {
        let path = state_dir.join("identity.json");
        match secret_file::read(&path, SMALL_FILE_BYTES_MAX) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).with_context(|| {
                format!(
                    "{} is damaged; restore it, or remove the state directory and join again",
                    path.display()
                )
            }),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// The open state directory.
#[derive(Debug)]
pub struct State {
    dir: PathBuf,
    totp_path: PathBuf,
    identity: Identity,
}

impl State {
    /// Opens the directory, made when missing; mints the node's id the first time.
    ///
    /// # Errors
    /// The directory or a file in it cannot be used, or is open to other users.
    pub fn open(dir: &Path, totp_secret_dir: &Path) -> anyhow::Result<Self> {
        secret_file::create_private_dir(dir)?;
        let identity = match Identity::peek(dir)? {
            Some(identity) => identity,
            None => Identity { node_id: mint(), name: None, servers: Vec::new(), boot: 0 },
        };
        let state = Self { dir: dir.to_owned(), totp_path: totp_secret_dir.join(TOTP_SECRET_FILE), identity };
        state.save_identity()?;
        Ok(state)
    }

    /// The state directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Who this node is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Changes `identity.json`.
    ///
    /// # Errors
    /// The file cannot be written; the old one is then still there.
    pub fn change_identity(&mut self, change: impl FnOnce(&mut Identity)) -> anyhow::Result<()> {
        change(&mut self.identity);
        self.save_identity()
    }

    /// The TOTP key that Core gave (base32), if there is one.
    ///
    /// # Errors
    /// The file is open to others or unreadable.
    pub fn totp_key(&self) -> anyhow::Result<Option<Secret>> {
        match secret_file::read_text(&self.totp_path, SMALL_FILE_BYTES_MAX) {
            Ok(text) if text.is_empty() => Ok(None),
            Ok(text) => Ok(Some(Secret::new(text.as_str()))),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Keeps the TOTP key.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save_totp_key(&self, key: &Secret) -> Result<(), SecretFileError> {
        if let Some(dir) = self.totp_path.parent() {
            secret_file::create_private_dir(dir)?;
        }
        secret_file::write(&self.totp_path, key.expose().as_bytes())
    }

    /// Forgets what belongs to a Core this node leaves behind: TOTP key, certificate, CA. The id stays.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub fn forget_core(&self) -> anyhow::Result<()> {
        for path in [self.totp_path.clone(), self.certificate_path(), self.ca_path()] {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("cannot remove {}", path.display()));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// A signing request for the node's key, which is made and kept the first time.
    ///
    /// # Errors
    /// The key cannot be made, read or kept.
    pub fn csr(&self, node_name: &str) -> anyhow::Result<String> {
        let path = self.key_path();
        match secret_file::read_text(&path, SMALL_FILE_BYTES_MAX) {
            Ok(pem) => Ok(NodeKey::renew(&pem, node_name)
                .with_context(|| format!("{} is no usable key", path.display()))?
                .csr_pem),
            Err(error) if error.is_not_found() => {
                let key = NodeKey::generate(node_name)?;
                secret_file::write(&path, key.key_pem.as_bytes())?;
                Ok(key.csr_pem)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Keeps the certificate that Core made for the node's key.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save_certificate(&self, pem: &str) -> Result<(), SecretFileError> {
        secret_file::write_public(&self.certificate_path(), pem.as_bytes())
    }

    /// Key and certificate to show to Core; `None` before Core made one, or once it expired.
    pub fn client_identity(&self, now_seconds: i64) -> Option<ServerIdentity> {
        let info = self.certificate_info()?;
        if now_seconds > info.not_after {
            return None;
        }
        ServerIdentity::load(&self.certificate_path(), &self.key_path()).ok()
    }

    /// What the node's certificate says, if there is one.
    pub fn certificate_info(&self) -> Option<CertificateInfo> {
        let pem = secret_file::read_public(&self.certificate_path(), SMALL_FILE_BYTES_MAX).ok()?;
        CertificateInfo::from_pem(&pem)
    }

    /// Where Core's CA certificate is kept.
    pub fn ca_path(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }

    /// Keeps Core's CA certificate.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save_ca(&self, pem: &str) -> Result<(), SecretFileError> {
        secret_file::write_public(&self.ca_path(), pem.as_bytes())
    }

    fn save_identity(&self) -> anyhow::Result<()> {
        let json = serde_json::to_vec_pretty(&self.identity)?;
        secret_file::write(&self.dir.join("identity.json"), &json)?;
        Ok(())
    }

    fn key_path(&self) -> PathBuf {
        self.dir.join("client.key")
    }

    fn certificate_path(&self) -> PathBuf {
        self.dir.join("client.pem")
    }
}

/// A number below 2^53 and never 0, which some peers take for "none".
fn mint() -> NodeId {
    NodeId(rand::random::<u64>() % (NodeId::MINTED_BELOW - 1) + 1)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_id_is_minted_once_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node");
        assert_eq!(Identity::peek(&path).unwrap(), None);
        let id = State::open(&path, &path).unwrap().identity().node_id;
        assert!(id.0 > 0 && id.0 < NodeId::MINTED_BELOW);
        assert_eq!(State::open(&path, &path).unwrap().identity().node_id, id);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn secrets_are_private_and_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node");
        let state = State::open(&path, &path).unwrap();
        assert_eq!(state.totp_key().unwrap(), None);
        state.save_totp_key(&Secret::new("JBSWY3DP")).unwrap();
        assert_eq!(state.totp_key().unwrap(), Some(Secret::new("JBSWY3DP")));
        let csr = state.csr("a").unwrap();
        assert!(csr.contains("CERTIFICATE REQUEST"));
        for name in [TOTP_SECRET_FILE, "client.key", "identity.json"] {
            assert_eq!(fs::metadata(path.join(name)).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
        }
        state.forget_core().unwrap();
        assert_eq!(state.totp_key().unwrap(), None);
        state.forget_core().unwrap();
    }

    #[test]
    fn the_key_stays_and_its_certificate_is_used_until_it_expires() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node");
        let state = State::open(&path, &path).unwrap();
        let now = 1_800_000_000;
        let ca = bee_daemon::tls::CertificateAuthority::create(now).unwrap();
        let pem = ca.sign_node(&state.csr("a").unwrap(), state.identity().node_id.0, now).unwrap();
        state.save_certificate(&pem).unwrap();
        assert_eq!(state.certificate_info().unwrap().node_id, Some(state.identity().node_id.0));
        assert!(state.client_identity(now).is_some());
        assert!(state.client_identity(now + 400 * 86_400).is_none());
    }

    #[test]
    fn a_damaged_identity_is_an_error_and_not_a_new_node() {
        let dir = tempfile::tempdir().unwrap();
        secret_file::write(&dir.path().join("identity.json"), b"{").unwrap();
        assert!(State::open(dir.path(), dir.path()).unwrap_err().to_string().contains("damaged"));
    }
}
