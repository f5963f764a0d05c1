//! The Node daemon: runs pots, collects their events, keeps them on disk, and delivers them to Core.
//!
//! ```text
//! pots (child processes) -> intake (9100) -> spool (disk) -> uplink ==TLS==> Core
//!                                                            commands <==
//! ```
//!
//! [`run`] is the daemon, [`Node`] the same for embedders, [`join`] enrols a machine, [`pot_main`] is the child process
//! of a built-in trap. The binary `honeybee-node` and the commands `honeybee node`, `join`, `up` and `pot` call these
//! four. Nothing here knows Core's store or the traps' insides.

mod commands;
pub mod config;
pub mod intake;
pub mod join;
pub mod limits;
mod node;
mod pot_process;
pub mod pots;
mod rotating_file;
pub mod spool;
pub mod state;
pub mod uplink;

pub use commands::{Commander, Done};
pub use config::{Config, ConfigError};
pub use join::{JoinError, JoinOptions, JoinStep, Joined, join};
pub use node::{Exit, Node, run};
pub use pot_process::pot_main;

/// Name and version of this software, as registrations carry it.
pub const SOFTWARE: &str = concat!("honeybee-node/", env!("CARGO_PKG_VERSION"));
