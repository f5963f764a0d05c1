//! Loads an SSH trap: connect, key exchange, password, one command, close, over and over.
//!
//! `cargo run --release -p bee-pots --example ssh_load -- 127.0.0.1:2222 2000 16` makes 2000 sessions, 16 at once, and
//! prints the rate. The CPU time to divide by is the trap's own, in `/proc/<pid>/stat`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use russh::client::{self, Config, Handler};
use russh::keys::PublicKeyOrCertificate;
use russh::{ChannelMsg, Disconnect, Preferred, kex};

struct Client;

impl Handler for Client {
    type Error = russh::Error;

    async fn check_server_key(&mut self, _key: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        Ok(true)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(address), Some(total), Some(parallel)) = (args.next(), args.next(), args.next()) else {
        return Err("usage: ssh_load <address> <sessions> <parallel>".into());
    };
    let (total, parallel): (usize, usize) = (total.parse()?, parallel.parse()?);
    let preferred = Preferred { kex: vec![kex::CURVE25519].into(), ..Preferred::DEFAULT };
    let config = Arc::new(Config { preferred, nodelay: true, ..Config::default() });
    let (left, failed, started) =
        (Arc::new(AtomicUsize::new(total)), Arc::new(AtomicUsize::new(0)), Instant::now());
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..parallel {
        let (address, config, left, failed) =
            (address.clone(), Arc::clone(&config), Arc::clone(&left), Arc::clone(&failed));
        workers.spawn(async move {
            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok() {
                if let Err(error) = session(&address, Arc::clone(&config)).await {
                    eprintln!("a session failed: {error}");
                    failed.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
    while workers.join_next().await.is_some() {}
    let seconds = started.elapsed().as_secs_f64();
    eprintln!(
        "{total} sessions in {seconds:.2} s: {:.0} per second, {} failed",
        total as f64 / seconds,
        failed.load(Ordering::Relaxed)
    );
    Ok(())
}

async fn session(address: &str, config: Arc<Config>) -> Result<(), russh::Error> {
    let mut handle = client::connect(config, address, Client).await?;
    if !handle.authenticate_password("root", "hunter2").await?.success() {
        return Err(russh::Error::NotAuthenticated);
    }
    let mut channel = handle.channel_open_session().await?;
    channel.exec(true, "uname -a").await?;
    let mut said = 0;
    while let Some(message) = channel.wait().await {
        if let ChannelMsg::Data { data } = message {
            said += data.len();
        }
    }
    if said == 0 {
        return Err(russh::Error::RecvError);
    }
    handle.disconnect(Disconnect::ByApplication, "", "").await
}
