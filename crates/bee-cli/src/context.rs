//! Which Core to talk to, and with which token.
//!
//! Flags and environment first, then `core/operator.json` in the data folder, which `honeybee up` and `honeybee core`
//! write (mode 0600) for the person who runs them.

use crate::args::Global;
use crate::error::{CliError, Exit};
use serde::Deserialize;
use std::path::PathBuf;

/// A Core that can be called.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    /// Host and port of its API.
    pub(crate) authority: String,
    /// Whether to speak TLS.
    pub(crate) tls: bool,
    /// SHA-256 of its CA in hex; None for plain connections on loopback.
    pub(crate) ca_fingerprint: Option<String>,
    pub(crate) token: String,
}

impl Context {
    /// The URL as people type it.
    pub(crate) fn url(&self) -> String {
        format!("{}://{}", if self.tls { "https" } else { "http" }, self.authority)
    }
}

/// What Core writes for the operator of its own machine.
#[derive(Debug, Deserialize)]
struct OperatorFile {
    url: String,
    token: String,
    #[serde(default)]
    ca_fingerprint: Option<String>,
}

/// Where Core leaves the operator's access.
pub(crate) fn operator_file(global: &Global) -> PathBuf {
    global.data.join("core").join("operator.json")
}

/// # Errors
/// HB0202 when no token can be found, HB0001 when the URL is none.
pub(crate) fn find(global: &Global) -> Result<Context, CliError> {
    let path = operator_file(global);
    let file: Option<OperatorFile> = match std::fs::read(&path) {
        Err(_) => None,
        Ok(bytes) => Some(serde_json::from_slice(&bytes).map_err(|cause| {
            CliError::new("HB0202", format!("{} cannot be read: {cause}", path.display()))
                .exit(Exit::NeedsHuman)
        })?),
    };
    // The file's token belongs to the file's Core: it is never sent to another one.
    let own = file.as_ref().filter(|file| global.core.as_ref().is_none_or(|url| *url == file.url));
    let url = global.core.clone().or_else(|| own.map(|file| file.url.clone()));
    let token = global.token.clone().or_else(|| own.map(|file| file.token.clone()));
    let (Some(url), Some(token)) = (url, token) else {
        return Err(CliError::new("HB0202", format!("there is no token in {}", path.display()))
            .exit(Exit::NeedsHuman));
    };
    let ca_fingerprint = global.ca.clone().or_else(|| own.and_then(|file| file.ca_fingerprint.clone()));
    let (tls, authority) = match url.split_once("://") {
        Some(("http", rest)) => (false, rest),
        Some(("https", rest)) => (true, rest),
        _ => {
            return Err(
                CliError::new("HB0001", format!("`{url}` is no http:// or https:// URL")).exit(Exit::Usage)
            );
        }
    };
    Ok(Context { authority: authority.trim_end_matches('/').to_owned(), tls, ca_fingerprint, token })
}
