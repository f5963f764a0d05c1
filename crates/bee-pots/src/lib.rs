//! The traps that come with HoneyBee: SSH, Telnet and HTTP, each run in a child process of its own.
//!
//! `honeybee-node pot <kind>` calls [`run`], which locks the process down and serves until it is told to stop.
//! Tests and other embedders call [`start`], which serves inside the caller's runtime and touches no process state.
//! [`kinds`] tells what can be run and how it can be configured.
//!
//! A trap knows neither node nor Core: it writes JSON lines to the node's intake (see [`emit`]), and files to its own
//! directory (see [`artifacts`]). It never connects anywhere else, and what an attacker typed goes to events only.

pub mod artifacts;
pub mod auth;
pub mod cast;
pub mod config;
pub mod emit;
pub mod harden;
pub mod http;
mod kinds;
pub mod limits;
mod listener;
pub mod persona;
mod run;
mod session;
pub mod shell;
pub mod ssh;
pub mod telnet;
mod terminal;
pub mod vfs;

pub use emit::EventTarget;
pub use kinds::{ConfigKey, Kind, KindInfo, UnknownKind, kinds};
pub use run::{PotError, PotSetup, RunningPot, run, start};
