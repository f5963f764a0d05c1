//! The traps as an attacker meets them: started in this process on free ports, driven over loopback, their events read from
//! an intake that speaks the node's protocol. Real clients (OpenSSH, curl) are used where they are installed.

mod clients;
mod emit;
mod http;
mod intake;
mod openssh;
mod ssh;
mod telnet;
