//! The SSH trap: a believable OpenSSH server on russh, with the fake system behind it.
//!
//! A session is a TCP connection. [`stream`] exchanges the identification lines and looks at the client's KEXINIT,
//! russh does the transport, [`handler`] decides logins and opens channels, [`channel`] answers them.

mod channel;
mod handler;
mod host_keys;
pub mod kexinit;
mod sftp;
mod stream;

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use russh::keys::{Algorithm, EcdsaCurve, HashAlg};
use russh::server::Config;
use russh::{MethodKind, MethodSet, Preferred, SshId, cipher, compression, kex, mac};
use serde_json::json;
use tokio::time::timeout;

use crate::artifacts::Artifacts;
use crate::auth::Gate;
use crate::config::{Algorithms, ConfigError, SshConfig};
use crate::limits::LOGIN_GRACE;
use crate::listener::{self, Accept, Connection, SessionLimits};
use crate::persona::Family;
use crate::run::PotError;
use crate::session::{Session, text};
use crate::terminal::Machine;
use handler::SshHandler;
use kexinit::{KexInit, names};
use stream::{Greeting, SshStream, greet};

/// Everything that the sessions of this trap share.
#[derive(Debug)]
pub(crate) struct Service {
    config: SshConfig,
    banner: String,
    gate: Gate,
    machine: Arc<Machine>,
    russh: Arc<Config>,
}

impl Service {
    pub(crate) fn new(config: SshConfig, pot_id: &str, dir: &Path) -> Result<Self, PotError> {
        let gate = Gate::new(&config.auth).map_err(|reason| ConfigError { kind: "ssh", reason })?;
        let artifacts = Artifacts::open(dir, config.artifact_bytes_max, config.artifacts_bytes_max)
            .map_err(|cause| PotError::Dir { dir: dir.join("artifacts"), cause })?;
        let keys = host_keys::load_or_make(dir)?;
        let seed = if config.seed.is_empty() { pot_id } else { &config.seed };
        let machine = Machine::new(Family::Server, seed, &config.hostname, artifacts);
        let banner = if config.banner.is_empty() {
            machine.system.persona().ssh_banner().to_owned()
        } else {
            config.banner.clone()
        };
        let mut methods = MethodSet::empty();
        methods.push(MethodKind::PublicKey);
        methods.push(MethodKind::Password);
        let russh = Config {
            server_id: SshId::Standard(Cow::Owned(banner.clone())),
            methods,
            // Refusals are delayed by the handler, which knows a password from a key; OpenSSH answers keys at once.
            auth_rejection_time: Duration::ZERO,
            auth_rejection_time_initial: Some(Duration::ZERO),
            keys,
            preferred: preferred(config.algorithms),
            // Counted by the handler, so that the goodbye reads as OpenSSH's.
            max_auth_attempts: 0,
            inactivity_timeout: Some(Duration::from_secs(config.idle_secs_max)),
            // Output is written by the handler itself; these queues carry next to nothing.
            channel_buffer_size: 4,
            nodelay: true,
            ..Config::default()
        };
        Ok(Self { config, banner, gate, machine, russh: Arc::new(russh) })
    }
}

/// The algorithm lists. `Cis` is what the CIS benchmark for Linux prescribes for sshd, name by name and in its order: a list
/// that real servers show and of which russh implements every entry. (Stock OpenSSH also offers sntrup761 and UMAC, which
/// russh has not; offering less than stock in stock order would be a fingerprint of this trap alone.)
fn preferred(algorithms: Algorithms) -> Preferred {
    const KEX: &[kex::Name] = &[
        kex::CURVE25519,
        kex::CURVE25519_PRE_RFC_8731,
        kex::DH_G14_SHA256,
        kex::DH_G16_SHA512,
        kex::DH_G18_SHA512,
        kex::ECDH_SHA2_NISTP521,
        kex::ECDH_SHA2_NISTP384,
        kex::ECDH_SHA2_NISTP256,
        kex::DH_GEX_SHA256,
    ];
    const CIPHERS: &[cipher::Name] = &[
        cipher::CHACHA20_POLY1305,
        cipher::AES_256_GCM,
        cipher::AES_128_GCM,
        cipher::AES_256_CTR,
        cipher::AES_192_CTR,
        cipher::AES_128_CTR,
    ];
    const MACS: &[mac::Name] =
        &[mac::HMAC_SHA512_ETM, mac::HMAC_SHA256_ETM, mac::HMAC_SHA512, mac::HMAC_SHA256];
    // The order of sshd's default HostKey lines: RSA, ECDSA, Ed25519.
    let mut key = vec![
        Algorithm::Rsa { hash: Some(HashAlg::Sha512) },
        Algorithm::Rsa { hash: Some(HashAlg::Sha256) },
        Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
        Algorithm::Ed25519,
    ];
    let (mut kex, mut cipher, mut mac) = (KEX.to_vec(), CIPHERS.to_vec(), MACS.to_vec());
    if algorithms == Algorithms::Wide {
        kex.extend([kex::DH_G14_SHA1, kex::DH_GEX_SHA1, kex::DH_G1_SHA1]);
        cipher.extend([cipher::AES_128_CBC, cipher::AES_192_CBC, cipher::AES_256_CBC]);
        mac.extend([mac::HMAC_SHA1_ETM, mac::HMAC_SHA1]);
        key.push(Algorithm::Rsa { hash: None });
    }
    kex.push(kex::EXTENSION_OPENSSH_STRICT_KEX_AS_SERVER);
    Preferred {
        kex: Cow::Owned(kex),
        key: Cow::Owned(key),
        host_key_certificates: Cow::Borrowed(&[]),
        cipher: Cow::Owned(cipher),
        mac: Cow::Owned(mac),
        compression: Cow::Borrowed(&[compression::NONE]),
    }
}

/// Serves until the trap stops.
pub(crate) async fn serve(accept: Accept, service: Arc<Service>) {
    let limits = SessionLimits {
        sessions_max: service.config.sessions_max,
        source_sessions_max: service.config.source_sessions_max,
        session_max: Duration::from_secs(service.config.session_secs_max),
    };
    listener::accept(accept, limits, move |connection| session(connection, Arc::clone(&service))).await;
}

async fn session(connection: Connection, service: Arc<Service>) {
    let Connection { mut stream, source, local, emitter, stop, background } = connection;
    let session = Session::open(emitter, "cowrie", "ssh", source, local, background);
    let greeting = tokio::select! {
        () = stop.cancelled() => return,
        greeting = timeout(LOGIN_GRACE, greet(&mut stream, &service.banner)) => greeting,
    };
    let (version, read) = match greeting {
        Ok(Ok(Greeting::Version(version, read))) => (version, read),
        Ok(Ok(Greeting::NotSsh(said))) => {
            session.event(
                "client.version",
                json!({ "version": text(said.get(..256).unwrap_or(&said)), "malformed": true }),
            );
            return;
        }
        Ok(Ok(Greeting::Gone(said))) => {
            if !said.is_empty() {
                session.event("client.version", json!({ "version": text(said.get(..256).unwrap_or(&said)), "malformed": true, "incomplete": true }));
            }
            return;
        }
        // The client did not read our line, or never said its own.
        Ok(Err(_)) | Err(_) => return,
    };
    session.event("client.version", json!({ "version": text(&version) }));

    let id_len = read.iter().position(|b| *b == b'\n').map_or(read.len(), |end| end + 1);
    let told = session.clone();
    let on_kexinit = Box::new(move |found: KexInit| told.event("client.kex", kex_members(&found)));
    let stream = SshStream::new(stream, read, id_len, service.banner.len() + 2, stop.clone(), on_kexinit);
    let logged_in = Arc::new(AtomicBool::new(false));
    let handler = SshHandler::new(session, Arc::clone(&service), local, stop.clone(), Arc::clone(&logged_in));
    let control = handler.control();
    let Ok(mut running) = russh::server::run_stream(Arc::clone(&service.russh), stream, handler).await else {
        return;
    };
    // Set once, here.
    let _ = control.set(running.handle());
    // However it ends - client gone, protocol broken, time over - the handler is dropped and closes the session.
    if timeout(LOGIN_GRACE, &mut running).await.is_err() {
        if !logged_in.load(Ordering::Relaxed) {
            stop.cancel();
        }
        let _ = running.await;
    }
}

fn kex_members(found: &KexInit) -> serde_json::Value {
    json!({
        "hassh": found.hassh(),
        "hasshAlgorithms": found.hassh_algorithms(),
        "kexAlgs": names(&found.kex),
        "keyAlgs": names(&found.host_key),
        "encCS": names(&found.ciphers),
        "macCS": names(&found.macs),
        "compCS": names(&found.compression),
        "langCS": names(&found.languages),
    })
}
