//! Core's end of the link: one [`Session`] for each connection, one [`Registry`], one [`Marks`]
//! and one [`Commands`] for all of them.
//!
//! # How a driver uses it
//! 1. A connection is accepted: `Session::new`. Frames go in as [`Input::Message`] or
//!    [`Input::Undecodable`], but only while [`Session::wants_message`]; outputs are drained after
//!    every input and carried out in order.
//! 2. [`Output::Decide`]: ask [`Registry::decide`], make its changes durable, sign the CSR if the
//!    verdict holds one, fill in `resume` from [`Marks::resume`], and feed the verdict back.
//! 3. [`Output::Registered`]: [`Registry::attach`] names an older connection of the same node, if
//!    there is one; feed it [`Input::Replaced`]. Raise the frame limit. Send what
//!    [`Commands::due_for`] returns.
//! 4. [`Output::Ingest`]: hand the events to the ingest thread, which asks [`Marks::admit`], appends,
//!    commits, and answers with [`Input::Stored`] to the node's live session.
//! 5. The connection is over: [`Input::Closed`], then [`Registry::detach`], which says whether the
//!    node is gone or has a newer connection already.

mod admission;
mod command;
mod marks;
mod registry;
mod session;
mod token;

pub use command::{CommandChange, CommandError, CommandRecord, CommandState, Commands, Outgoing};
pub use marks::{Admit, AdmitError, Mark, Marks, SEQ_MAX, STREAMS_PER_NODE_MAX};
pub use registry::{
    Change, ConnectionId, Decision, EnrolledBy, EnrollmentMode, NodeRecord, Peer, PeerCertificate,
    PendingNode, PendingState, Policy, Registry, RegistryError,
};
pub use session::{
    Accepted, BatchHead, Counters, Input, Output, RegistrationRequest, Session, SessionConfig, Verdict,
};
pub use token::{JoinToken, NewToken, TokenRefusal};
