//! What both daemons need and neither is about: signals and the shutdown tree, configuration with
//! provenance, TLS and the private CA, logging, metrics, clocks, secret files, listening sockets.
//!
//! Called by `bee-node`, `bee-core` and `bee-cli`. It knows no product noun beyond "a node has a
//! numeric id" (which certificates carry), speaks no HoneyBee message and owns no global state
//! except the tracing subscriber that [`logging::init`] installs.

pub mod clock;
pub mod config;
pub mod escape;
pub mod health;
pub mod limits;
pub mod listen;
pub mod logging;
pub mod metrics;
pub mod secret_file;
pub mod shutdown;
pub mod sniff;
pub mod stream;
pub mod tls;
