//! The listeners: TLS or plain, then HTTP or a module, told apart by first bytes, all of it bounded.
//!
//! A stranger costs one task and a few kilobytes until it has said something sensible, and each step it takes has a
//! deadline: handshake, first byte, head, body (`input`), and every write (`stream`).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use bee_daemon::sniff::FirstByte;
use bee_daemon::tls::server::{self, AcceptError, Mode};
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::stream::WriteDeadline;
use super::{Api, Connection, auth, limits};
use crate::modules::{self, Caller, TcpPeer};

/// Pause after an accept that failed, usually for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a port speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaks {
    /// HTTP, and modules over bare TCP (9002).
    All,
    /// WebSocket alone (9003).
    WebSocket,
}

/// One listener's behaviour.
pub(crate) struct Port {
    api: Arc<Api>,
    open: Arc<Open>,
    router: Router,
    speaks: Speaks,
}

/// The connections of all API ports.
#[derive(Default)]
pub(crate) struct Open(Mutex<Table>);

#[derive(Default)]
struct Table {
    count: usize,
    sources: HashMap<IpAddr, usize>,
}

/// A place for one connection, given back when dropped.
pub(crate) struct Slot {
    open: Arc<Open>,
    source: Option<IpAddr>,
}

impl Open {
    fn admit(self: &Arc<Self>, from: IpAddr) -> Option<Slot> {
        let source = (!from.to_canonical().is_loopback()).then(|| auth::source_of(from));
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if table.count >= limits::CONNECTIONS_MAX {
            return None;
        }
        if let Some(source) = source {
            let of_source = table.sources.entry(source).or_insert(0);
            if *of_source >= limits::PER_SOURCE_MAX {
                return None;
            }
            *of_source += 1;
        }
        table.count += 1;
        Some(Slot { open: Arc::clone(self), source })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut table = self.open.0.lock().unwrap_or_else(PoisonError::into_inner);
        table.count = table.count.saturating_sub(1);
        let Some(source) = self.source else { return };
        if let Some(of_source) = table.sources.get_mut(&source) {
            *of_source = of_source.saturating_sub(1);
            if *of_source == 0 {
                table.sources.remove(&source);
            }
        }
    }
}

impl Port {
    pub(crate) fn new(api: Arc<Api>, open: Arc<Open>, router: Router, speaks: Speaks) -> Self {
        Self { api, open, router, speaks }
    }

    /// TLS as configured; but `optional` means plain for this machine alone.
    fn mode(&self, from: IpAddr) -> Mode {
        match crate::core::mode(self.api.handle.config().api_tls) {
            Mode::Optional if !from.to_canonical().is_loopback() => Mode::Required,
            mode => mode,
        }
    }
}

/// Accepts until the shutdown starts.
pub(crate) async fn listen(listener: TcpListener, port: Arc<Port>) {
    let stop = port.api.shutdown.token();
    let counters = port.api.handle.counters();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "an API connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        counters.api_connections.one();
        match port.open.admit(from.ip()) {
            Some(slot) => {
                let connection = Connection { from, slot: Arc::new(slot) };
                port.api.shutdown.spawn(serve(stream, connection, Arc::clone(&port)));
            }
            None => counters.api_connections_refused.one(),
        }
    }
}

async fn serve(stream: TcpStream, connection: Connection, port: Arc<Port>) {
    let stop = port.api.shutdown.token();
    modules::keep_alive(&stream);
    let counters = port.api.handle.counters();
    let opened = tokio::select! {
        opened = open(stream, connection.from.ip(), &port) => opened,
        () = stop.cancelled() => return,
    };
    match opened {
        Ok((stream, FirstByte::Json)) if port.speaks == Speaks::All => {
            let max = bee_wire::limits::FRAME_BYTES_BEFORE_REGISTRATION_MAX;
            let peer = TcpPeer::new(stream, max);
            let caller = Caller { from: connection.from, principal: None, may_be_anonymous: true };
            modules::run(Arc::clone(&port.api.modules), peer, caller, stop).await;
        }
        Ok((stream, FirstByte::Json | FirstByte::Other(_))) => http(stream, connection, &port).await,
        Ok((_, FirstByte::Tls)) => counters.api_wrong_transport.one(),
        Ok((_, FirstByte::Silent)) => counters.api_timeouts.one(),
        Ok((_, FirstByte::Closed)) => {}
        Err(error) => {
            match &error {
                AcceptError::PlainToTls | AcceptError::TlsToPlain => counters.api_wrong_transport.one(),
                AcceptError::Silent | AcceptError::Slow => counters.api_timeouts.one(),
                AcceptError::Handshake(_) => counters.api_tls_failures.one(),
                AcceptError::Closed | AcceptError::Io(_) => {}
            }
            tracing::debug!(from = %connection.from, reason = error.label(), "an API connection ended at once");
        }
    }
}

/// The stream of a connection once its transport is settled.
pub(crate) type Stream = BufReader<WriteDeadline<bee_daemon::stream::MaybeTls>>;

/// Settles the transport and looks at the first byte inside it, which stays in the stream.
async fn open(stream: TcpStream, from: IpAddr, port: &Port) -> Result<(Stream, FirstByte), AcceptError> {
    let tls = port.api.handle.api_tls();
    let stream = server::accept(stream, port.mode(from), tls, limits::HANDSHAKE_MAX).await?;
    let mut stream = BufReader::new(WriteDeadline::new(stream, limits::WRITE_MAX));
    let first = match tokio::time::timeout(limits::FIRST_BYTE_MAX, stream.fill_buf()).await {
        Err(_) => FirstByte::Silent,
        Ok(Ok(bytes)) => bytes.first().map_or(FirstByte::Closed, |byte| FirstByte::of(*byte)),
        Ok(Err(cause)) => return Err(AcceptError::Io(cause)),
    };
    Ok((stream, first))
}

async fn http(stream: Stream, connection: Connection, port: &Port) {
    let from = connection.from;
    let router = TowerToHyperService::new(port.router.clone());
    let service = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(connection.clone());
        router.call(request)
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits::HEAD_MAX)
        .max_buf_size(limits::HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut serving = std::pin::pin!(serving);
    let stop = port.api.shutdown.token();
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            match tokio::time::timeout(limits::GRACE, serving).await {
                Ok(ended) => ended,
                Err(_) => return,
            }
        }
    };
    if let Err(error) = ended {
        if error.is_timeout() {
            port.api.handle.counters().api_timeouts.one();
        }
        tracing::debug!(%from, %error, "an HTTP connection ended early");
    }
}
