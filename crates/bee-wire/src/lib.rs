//! Every type that leaves a HoneyBee process, and the codec that carries it.
//!
//! Nodes, Core, modules, honeypots and API clients all speak through the types in this crate, so that the
//! protocol is written down once. It accepts what peers in the field send, odd forms included, and writes only
//! the clean form. It never does IO, never reads a clock and never allocates past the limits in [`limits`].
//!
//! - [`frame`] cuts a byte stream into JSON objects; [`codec`] turns one object into a message and back.
//! - [`node`] and [`core`] are Protocol v2 in its two directions, [`command`] what Core asks of a node.
//! - [`module`] is the protocol of modules (backends), [`pot_line`] the lines of honeypots on port 9100.
//! - [`api`] holds the views that REST and WebSocket clients read.

#[macro_use]
mod macros;

pub mod api;
pub mod codec;
pub mod command;
pub mod core;
pub mod error;
pub mod event;
mod event_read;
pub mod frame;
pub mod id;
pub mod join;
mod lenient;
pub mod limits;
pub mod module;
pub mod node;
pub mod pot_line;
pub mod secret;
pub mod time;

pub use codec::{
    DecodeError, NodeFrame, decode_backend, decode_core, decode_module, decode_node, decode_node_frame,
    encode_backend, encode_core, encode_module, encode_node,
};
pub use command::Command;
pub use core::CoreMessage;
pub use error::ErrorCode;
pub use event::{EventRef, PotEvent, PotEventBatch, PotEventBatchRef};
pub use frame::{Frame, FrameDecoder, FrameTooLarge};
pub use id::{ArtifactId, CommandId, NodeId, StreamId};
pub use join::JoinCode;
pub use module::{BackendMessage, ModuleMessage};
pub use node::NodeMessage;
pub use secret::Secret;
pub use time::Micros;

/// The protocol version that this crate speaks.
pub const PROTOCOL_VERSION: u64 = 2;
