//! The doors of Core on real sockets: REST, `/metrics`, WebSocket and the module protocol.
//!
//! The peers are written by hand, down to the bytes, because what the field sends is not what our own types send.

mod client;
mod hostile;
mod modules;
mod rest;
mod spec;
mod websocket;
