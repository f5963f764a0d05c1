//! HoneyBee Core: takes in what nodes send, keeps it, and answers for it.
//!
//! [`Core::start`] makes a running Core out of a [`Config`]; everything else goes through its [`CoreHandle`].
//!
//! ```text
//! node -> nodes (sessions) -> ingest (one writer: log, sync, acknowledge) -> live (subscribers)
//!              |                    |                                    \-> events (queries, newest first)
//!              v                    v
//!         fleet (registry,      log on disk             normal, geo: typed columns, made when someone looks
//!         pots, commands) -> state (redb)               vault: captured files · tokens: who may ask
//! ```
//! Core knows nothing of traps and of what a node is made of: it speaks Protocol v2 and nothing else.

pub mod api;
pub mod config;
mod core;
pub mod counters;
mod error;
pub mod events;
mod fleet;
pub mod geo;
mod handle;
pub mod ingest;
mod ledger;
pub mod limits;
pub mod live;
mod modules;
mod nodes;
pub mod normal;
mod seal;
pub mod state;
mod text;
pub mod tokens;
pub mod vault;

pub use crate::core::{Core, StartError};
pub use config::{Config, RawConfig};
pub use error::CoreError;
pub use fleet::FleetChange;
pub use handle::{Addresses, CORE_NODE_ID, CoreHandle};
pub use live::{Delivery, OnLag, Subscription};
pub use tokens::Principal;
