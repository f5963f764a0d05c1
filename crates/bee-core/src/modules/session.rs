//! One module's conversation: registration, then requests answered one by one in order, with pushes in between.
//!
//! The task writes what it reads and pushes itself, so a module that stops reading stops only its own task, and the
//! feed behind it is bounded elsewhere (`crate::live`, the fleet's channel).

use std::io;
use std::sync::Arc;
use std::time::Instant;

use bee_wire::id::RequestId;
use bee_wire::module::{BackendMessage, BackendResponse, ModuleMessage, Request};
use bee_wire::{DecodeError, ErrorCode, decode_module, encode_backend};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use super::feed::Feed;
use super::peer::{Peer, Received};
use super::{Caller, Module, Modules, answers};
use crate::api::limits;

/// Serves a module until it leaves, errs, stops reading, or Core stops.
pub(crate) async fn run<P: Peer>(
    modules: Arc<Modules>,
    mut peer: P,
    caller: Caller,
    stop: CancellationToken,
) {
    let counters = modules.handle.counters();
    let outcome = match register(&modules, &mut peer, &caller, &stop).await {
        Ok(Some(module)) => {
            counters.module_registrations.one();
            let name = bee_daemon::escape::untrusted_max(&module.name, 64).to_string();
            info!(module = name, id = module.id, from = %caller.from, by = module.principal.name, "a module has registered");
            let outcome = converse(&module, &mut peer, &stop).await;
            info!(module = name, id = module.id, "a module has left");
            outcome
        }
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    match outcome {
        Ok(()) => peer.close().await,
        Err(error) => {
            if error.kind() == io::ErrorKind::TimedOut {
                counters.module_write_timeouts.one();
            }
            debug!(from = %caller.from, %error, "a module's connection broke");
        }
    }
}

/// Waits for a registration that is good. `None`: the connection is over and the peer knows why.
async fn register<P: Peer>(
    modules: &Arc<Modules>,
    peer: &mut P,
    caller: &Caller,
    stop: &CancellationToken,
) -> io::Result<Option<Module>> {
    let counters = modules.handle.counters();
    let until = tokio::time::Instant::now() + limits::MODULE_REGISTRATION_MAX;
    for _ in 0..limits::MODULE_STRIKES_MAX {
        let received = tokio::select! {
            received = tokio::time::timeout_at(until, peer.recv()) => received,
            () = stop.cancelled() => return Ok(None),
        };
        let (failure, last) = match received {
            Err(_) => {
                counters.module_timeouts.one();
                let seconds = limits::MODULE_REGISTRATION_MAX.as_secs();
                let text = format!("no BackendRegistration within {seconds} seconds");
                (reply(None, BackendResponse::failure(ErrorCode::RegistrationFailed, text)), true)
            }
            Ok(Received::Closed) => return Ok(None),
            Ok(Received::Frame(bytes)) => match decode_module(&bytes) {
                Ok(Request { message: ModuleMessage::BackendDrop, .. }) => return Ok(None),
                Ok(Request { request_id, message: ModuleMessage::BackendRegistration(registration) }) => {
                    match modules.admit(&registration, caller) {
                        Ok(module) => {
                            peer.registered(modules.handle.config().max_frame_bytes);
                            peer.send(vec![reply(request_id, answers::welcome(&module))]).await?;
                            return Ok(Some(module));
                        }
                        Err(failure) => {
                            counters.module_registrations_refused.one();
                            (reply(request_id, failure), true)
                        }
                    }
                }
                Ok(Request { request_id, .. }) => {
                    let text = "send BackendRegistration first";
                    (
                        reply(request_id, BackendResponse::failure(ErrorCode::AuthenticationFailed, text)),
                        false,
                    )
                }
                Err(error) => {
                    counters.module_messages_bad.one();
                    let last = matches!(error, DecodeError::VersionMismatch { .. });
                    (undecodable(&bytes, &error), last)
                }
            },
            Ok(Received::Garbage(text)) => {
                counters.module_messages_bad.one();
                (reply(None, BackendResponse::failure(ErrorCode::MessageParseFailed, text)), false)
            }
            Ok(Received::Fatal { code, text }) => (fatal(modules, code, text), true),
        };
        peer.send(vec![failure]).await?;
        if last {
            break;
        }
    }
    Ok(None)
}

enum Step {
    Received(Received),
    Pushed(Option<Vec<Vec<u8>>>),
    Quiet,
}

async fn converse<P: Peer>(module: &Module, peer: &mut P, stop: &CancellationToken) -> io::Result<()> {
    let counters = module.modules.handle.counters();
    let mut feed = Feed::default();
    let mut answering = answers::Answering::new(module);
    let mut heard = Instant::now();
    loop {
        let quiet = tokio::time::sleep_until((heard + limits::MODULE_PING_AFTER).into());
        let step = tokio::select! {
            received = peer.recv() => Step::Received(received),
            pushed = feed.next() => Step::Pushed(pushed),
            () = quiet, if feed.is_active() => Step::Quiet,
            () = stop.cancelled() => return Ok(()),
        };
        heard = Instant::now();
        let messages = match step {
            Step::Received(Received::Closed) => return Ok(()),
            Step::Received(Received::Garbage(text)) => {
                counters.module_messages_bad.one();
                vec![reply(None, BackendResponse::failure(ErrorCode::MessageParseFailed, text))]
            }
            Step::Received(Received::Fatal { code, text }) => {
                peer.send(vec![fatal(&module.modules, code, text)]).await?;
                return Ok(());
            }
            Step::Received(Received::Frame(bytes)) => {
                counters.module_messages.one();
                match decode_module(&bytes) {
                    Ok(Request { message: ModuleMessage::BackendDrop, .. }) => return Ok(()),
                    Ok(request) => answering.answer(request, &mut feed).await,
                    Err(error) => {
                        counters.module_messages_bad.one();
                        let answer = undecodable(&bytes, &error);
                        if matches!(error, DecodeError::VersionMismatch { .. }) {
                            peer.send(vec![answer]).await?;
                            return Ok(());
                        }
                        vec![answer]
                    }
                }
            }
            Step::Pushed(Some(messages)) => messages,
            // The feed cannot go on; whoever wants to comes back with its cursor.
            Step::Pushed(None) => return Ok(()),
            Step::Quiet => vec![encode_backend(&BackendMessage::Ping.into())],
        };
        peer.send(messages).await?;
    }
}

/// One answer, encoded.
pub(super) fn reply(request_id: Option<RequestId>, response: BackendResponse) -> Vec<u8> {
    encode_backend(&Request { request_id, message: BackendMessage::BackendResponse(response) })
}

fn fatal(modules: &Modules, code: ErrorCode, text: String) -> Vec<u8> {
    let counters = modules.handle.counters();
    match code {
        ErrorCode::MessageTooLarge => counters.module_frames_too_large.one(),
        _ => counters.module_messages_bad.one(),
    }
    reply(None, BackendResponse::failure(code, text))
}

/// The answer to a message that cannot be read, with its mark if that can.
fn undecodable(bytes: &[u8], error: &DecodeError) -> Vec<u8> {
    #[derive(Deserialize)]
    struct Marked {
        request_id: Option<RequestId>,
    }
    let marked: Option<Marked> = serde_json::from_slice(bytes).ok();
    let code = match error {
        DecodeError::Malformed { text } if text.starts_with("unknown command") => ErrorCode::InvalidCommand,
        other => other.code(),
    };
    reply(marked.and_then(|marked| marked.request_id), BackendResponse::failure(code, error))
}
