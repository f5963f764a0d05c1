//! What a request to Core can fail with, for callers that answer people or programs.

use std::sync::Arc;

use bee_link::core::{CommandError, RegistryError};
use bee_wire::NodeId;

use crate::events::{FilterError, ReadError};
use crate::live::TooManySubscribers;
use crate::state::StateError;

/// A request that could not be met. HTTP statuses and wire codes are chosen in `api` and `modules`.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CoreError {
    /// No node of this id.
    #[error("no node {0}; `honeybee nodes ls` lists them")]
    NoSuchNode(NodeId),
    /// Nothing of that name.
    #[error("no {what} {id}")]
    NotFound {
        /// What was looked for.
        what: &'static str,
        /// By which id.
        id: String,
    },
    /// A parameter makes no sense.
    #[error("{parameter}: {problem}")]
    Invalid {
        /// Which one.
        parameter: String,
        /// What is wrong with it, and what would be right.
        problem: String,
    },
    /// A limit is reached.
    #[error("{0}")]
    TooMany(String),
    /// The state store failed; nothing was changed.
    #[error("Core cannot write its state: {0}")]
    State(String),
    /// The event log could not be read or written.
    #[error("the event log failed: {0}")]
    Log(String),
    /// Core is shutting down.
    #[error("Core is shutting down")]
    Closed,
}

impl From<RegistryError> for CoreError {
    fn from(error: RegistryError) -> Self {
        match error {
            RegistryError::NoSuchNode(id) => Self::NoSuchNode(id),
            RegistryError::NoSuchPending(id) => Self::NotFound { what: "waiting node", id: id.to_string() },
            RegistryError::NoSuchToken(id) => Self::NotFound { what: "join token", id },
            RegistryError::NodesFull(_) | RegistryError::TokensFull(_) => Self::TooMany(error.to_string()),
        }
    }
}

impl From<CommandError> for CoreError {
    fn from(error: CommandError) -> Self {
        Self::TooMany(error.to_string())
    }
}

impl From<Arc<StateError>> for CoreError {
    fn from(error: Arc<StateError>) -> Self {
        match error.as_ref() {
            StateError::Closed => Self::Closed,
            other => Self::State(crate::text::chain(other)),
        }
    }
}

impl From<StateError> for CoreError {
    fn from(error: StateError) -> Self {
        Self::from(Arc::new(error))
    }
}

impl From<FilterError> for CoreError {
    fn from(error: FilterError) -> Self {
        Self::Invalid { parameter: error.parameter, problem: error.problem }
    }
}

impl From<ReadError> for CoreError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Closed => Self::Closed,
            other => Self::Log(crate::text::chain(&other)),
        }
    }
}

impl From<TooManySubscribers> for CoreError {
    fn from(error: TooManySubscribers) -> Self {
        Self::TooMany(error.to_string())
    }
}
