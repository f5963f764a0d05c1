//! One file a command: it asks Core or starts a daemon, and says what came of it.

pub(crate) mod cmd;
pub(crate) mod daemons;
pub(crate) mod doctor;
pub(crate) mod events;
pub(crate) mod help;
pub(crate) mod invite;
pub(crate) mod join;
pub(crate) mod nodes;
pub(crate) mod poke;
pub(crate) mod pots;
pub(crate) mod tokens;
pub(crate) mod up;
