//! Artifacts on their way over one connection, each with its file in the vault.

use std::collections::HashMap;
use std::sync::Arc;

use bee_wire::node::{ArtifactBegin, ArtifactChunk, ArtifactEnd};
use bee_wire::{ArtifactId, ErrorCode, Micros, NodeId, StreamId};

use crate::counters::Counters;
use crate::limits;
use crate::text;
use crate::vault::{Begun, Incoming, Vault, VaultError};

/// What to tell the node.
pub(super) enum Answer {
    /// The artifact is durable.
    Stored { stream: StreamId, next_seq: u64 },
    /// It is not taken.
    Refused { code: ErrorCode, message: String },
}

/// The open artifacts of one connection.
pub(super) struct Artifacts {
    vault: Vault,
    counters: Arc<Counters>,
    open: HashMap<ArtifactId, Incoming>,
}

impl Artifacts {
    pub(super) fn new(vault: Vault, counters: Arc<Counters>) -> Self {
        Self { vault, counters, open: HashMap::new() }
    }

    pub(super) async fn begin(&mut self, node_id: NodeId, begin: ArtifactBegin) -> Option<Answer> {
        let (artifact, size) = (begin.artifact, begin.size);
        // Announced again after the node lost its place: it starts over.
        self.open.remove(&artifact);
        if self.open.len() >= limits::ARTIFACTS_OPEN_PER_NODE_MAX {
            self.counters.artifacts_refused.one();
            let message =
                format!("at most {} artifacts may be open at once", limits::ARTIFACTS_OPEN_PER_NODE_MAX);
            return Some(Answer::Refused { code: ErrorCode::InvalidMessageFormat, message });
        }
        let vault = self.vault.clone();
        match blocking(move || vault.begin(node_id, begin)).await {
            Ok(Begun::Known) => Some(Answer::Stored { stream: artifact.stream(), next_seq: size }),
            Ok(Begun::Receiving(incoming)) => {
                self.open.insert(artifact, *incoming);
                None
            }
            Err(error) => Some(refused(artifact, &error)),
        }
    }

    pub(super) async fn chunk(&mut self, chunk: ArtifactChunk) -> Option<Answer> {
        // A piece of an artifact that was refused or is known: the node has not heard yet.
        let mut incoming = self.open.remove(&chunk.artifact)?;
        let artifact = chunk.artifact;
        let written = blocking(move || incoming.chunk(chunk.offset, &chunk.data).map(|()| incoming)).await;
        match written {
            Ok(incoming) => {
                self.open.insert(artifact, incoming);
                None
            }
            Err(error) => {
                self.counters.artifacts_refused.one();
                Some(refused(artifact, &error))
            }
        }
    }

    pub(super) async fn end(&mut self, end: ArtifactEnd, time: Micros) -> Option<Answer> {
        let incoming = self.open.remove(&end.artifact)?;
        let stored = match blocking(move || incoming.finish(time)).await {
            Ok(finished) => finished.store().await,
            Err(error) => Err(error),
        };
        match stored {
            Ok(size) => Some(Answer::Stored { stream: end.artifact.stream(), next_seq: size }),
            Err(error) => {
                self.counters.artifacts_refused.one();
                Some(refused(end.artifact, &error))
            }
        }
    }
}

fn refused(artifact: ArtifactId, error: &VaultError) -> Answer {
    let code = match error {
        VaultError::TooLarge { .. } | VaultError::Full { .. } => ErrorCode::MessageTooLarge,
        _ => ErrorCode::InvalidMessageFormat,
    };
    Answer::Refused { code, message: format!("artifact {artifact}: {}", text::chain(error)) }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, VaultError> + Send + 'static,
) -> Result<T, VaultError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(_) => Err(VaultError::State("Core is shutting down".to_owned())),
    }
}
