//! The traps as an attacker meets them: started in this process on free ports, driven over loopback, their events read from
//! an intake that speaks the node's protocol. Real clients (OpenSSH, curl) are used where they are installed.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test's helper fails as the test does: by a panic that names the line"
)]

mod clients;
mod emit;
mod http;
mod intake;
mod openssh;
mod ssh;
mod telnet;
