//! The connection to Core: whom to trust, and bytes in and out.

use std::time::Duration;

use bee_daemon::{
    stream::MaybeTls,
    tls::{ClientError, ClientTls, Fingerprint, ServerIdentity, Trust, client, identity::find_in_chain},
};
use bee_wire::{CoreMessage, Frame, FrameDecoder, decode_core, limits::FRAME_BYTES_MAX};
use data_encoding::BASE64;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf},
    sync::mpsc,
    task::JoinHandle,
};

use crate::{
    config::{Config, is_loopback_address},
    state::State,
};

const READ_BYTES: usize = 8 * 1024;
/// Messages of Core waiting for the uplink; when full, Core is not read.
const INCOMING_MAX: usize = 64;
/// How long a clean close may take.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// What came from Core.
#[derive(Debug)]
pub(super) enum Incoming {
    Message(CoreMessage),
    /// Bytes that are no message; the text says why.
    Garbage(String),
    /// The connection is over; the text says why.
    Closed(String),
}

/// An open connection to Core.
#[derive(Debug)]
pub(super) struct Transport {
    writer: WriteHalf<MaybeTls>,
    incoming: mpsc::Receiver<Incoming>,
    reader: JoinHandle<()>,
    write_timeout: Duration,
}

impl Transport {
    pub(super) fn new(stream: MaybeTls, write_timeout: Duration) -> Self {
        let (reader, writer) = tokio::io::split(stream);
        let (sender, incoming) = mpsc::channel(INCOMING_MAX);
        Self { writer, incoming, reader: tokio::spawn(read(reader, sender)), write_timeout }
    }

    /// What came next. Cancel-safe.
    pub(super) async fn next(&mut self) -> Incoming {
        self.incoming.recv().await.unwrap_or_else(|| Incoming::Closed("the connection is over".into()))
    }

    /// Writes and flushes; an error ends the connection.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        let write = async {
            self.writer.write_all(bytes).await?;
            self.writer.flush().await
        };
        match tokio::time::timeout(self.write_timeout, write).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(format!("cannot write to Core: {error}")),
            Err(_) => Err(format!("Core read nothing for {} s", self.write_timeout.as_secs())),
        }
    }

    /// Ends the connection after what was written.
    pub(super) async fn close(mut self) {
        // The peer may be gone already; nothing is left to say then.
        let _ = tokio::time::timeout(CLOSE_WITHIN, self.writer.shutdown()).await;
    }
}

impl Drop for Transport {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

async fn read(mut reader: ReadHalf<MaybeTls>, sender: mpsc::Sender<Incoming>) {
    let mut decoder = FrameDecoder::new(FRAME_BYTES_MAX);
    let mut buffer = vec![0_u8; READ_BYTES];
    let why = loop {
        match reader.read(&mut buffer).await {
            Ok(0) => break "Core closed the connection".to_owned(),
            Ok(len) => decoder.push(buffer.get(..len).unwrap_or_default()),
            Err(error) => break format!("the connection broke: {error}"),
        }
        loop {
            let incoming = match decoder.next_frame() {
                Ok(None) => break,
                Ok(Some(Frame::Object(bytes))) => match decode_core(&bytes) {
                    Ok(message) => Incoming::Message(message),
                    Err(error) => Incoming::Garbage(error.to_string()),
                },
                Ok(Some(Frame::Garbage(garbage))) => Incoming::Garbage(garbage.reason.to_string()),
                Err(error) => {
                    let _ = sender.send(Incoming::Closed(error.to_string())).await;
                    return;
                }
            };
            if sender.send(incoming).await.is_err() {
                return;
            }
        }
    };
    let _ = sender.send(Incoming::Closed(why)).await;
}

/// How to reach one of Core's addresses.
#[derive(Debug)]
pub(super) struct Dial {
    address: String,
    tls: Option<ClientTls>,
    /// The pin of a join code, while the CA itself is not kept yet.
    pin: Option<Fingerprint>,
    timeout: Duration,
}

/// A connection, and the CA certificate (PEM) to keep if it was only known by its pin.
pub(super) type Dialled = (MaybeTls, Option<String>);

impl Dial {
    /// Decides about encryption and trust from the config and what the state directory holds. Blocking (small files).
    ///
    /// # Errors
    /// A sentence: no CA is known, or a file is not usable.
    pub(super) fn plan(
        config: &Config,
        state: &State,
        address: &str,
        now_seconds: i64,
    ) -> Result<Self, String> {
        let pin = config.join_code.as_ref().map(|code| Fingerprint::from_bytes(code.ca_sha256));
        let kept_ca = state.ca_path();
        let trust = if config.tls.insecure_skip_verify {
            Some(Trust::Anyone)
        } else if let Some(file) = &config.tls.ca_file {
            Some(Trust::CaFile(file.clone()))
        } else if kept_ca.exists() {
            Some(Trust::CaFile(kept_ca))
        } else {
            pin.map(Trust::PinnedCa)
        };
        let wanted = match config.tls.enabled {
            Some(enabled) => enabled,
            None => {
                !is_loopback_address(address) || trust.as_ref().is_some_and(|trust| *trust != Trust::Anyone)
            }
        };
        if !wanted {
            return Ok(Self {
                address: address.to_owned(),
                tls: None,
                pin: None,
                timeout: config.connection_timeout,
            });
        }
        let trust = trust.ok_or(
            "TLS is on but no CA is known: join with a code from `honeybee invite`, or set tls.ca_file to Core's ca.pem",
        )?;
        let pin = if let Trust::PinnedCa(pin) = trust { Some(pin) } else { None };
        let identity = match &config.tls.client_files {
            Some((chain, key)) => Some(ServerIdentity::load(chain, key).map_err(|error| error.to_string())?),
            None => state.client_identity(now_seconds),
        };
        let tls = ClientTls::new(&trust, config.tls.server_name.as_deref(), identity)
            .map_err(|error| error.to_string())?;
        Ok(Self { address: address.to_owned(), tls: Some(tls), pin, timeout: config.connection_timeout })
    }

    /// Whether this connection is encrypted.
    pub(super) fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Connects.
    pub(super) async fn connect(self) -> Result<Dialled, ClientError> {
        let stream = client::connect(&self.address, self.tls.as_ref(), self.timeout).await?;
        let ca = self.pin.and_then(|pin| pinned_ca_pem(&stream, &pin));
        Ok((stream, ca))
    }
}

/// The pinned CA's certificate out of the chain that was verified against it.
pub(crate) fn pinned_ca_pem(stream: &MaybeTls, pin: &Fingerprint) -> Option<String> {
    let der = find_in_chain(stream.peer_certificates(), pin)?;
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in BASE64.encode(der).as_bytes().chunks(64) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    Some(pem)
}
