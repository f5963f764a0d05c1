//! The child process of a built-in trap: `honeybee-node pot <kind> --listen A:P --dir D --config JSON`.
//!
//! Started by [`crate::pots`], or by hand for a look. When the node that started it dies without a word, the pipe on its
//! standard input ends, and the trap stops as it would on SIGTERM, so that its port is free for the next node.

use std::{ffi::OsString, io::Read as _, net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::Context as _;
use bee_pots::{EventTarget, Kind, PotSetup};
use clap::Parser;
use rustix::process::{Signal, getpid, kill_process};

use crate::pots::PARENT_PIPE_VARIABLE;

/// A trap that does not stop when asked is ended after this.
const ORPHAN_STOPS_WITHIN: Duration = Duration::from_secs(20);

/// Run one trap in this process.
#[derive(Debug, Parser)]
#[command(name = "pot", no_binary_name = true)]
struct PotArgs {
    /// ssh, telnet or http
    kind: Kind,
    /// Where to listen; port 0 takes a free one
    #[arg(long)]
    listen: SocketAddr,
    /// The trap's own directory
    #[arg(long)]
    dir: PathBuf,
    /// Its configuration as JSON
    #[arg(long, default_value = "{}")]
    config: String,
}

/// Runs a trap until SIGTERM, SIGINT or the death of the node that started it. `args` is what follows `pot`.
///
/// # Errors
/// The arguments, the environment of [`EventTarget::from_env`] or the trap's setup; the text says which. A request for
/// help is answered on stdout and ends the process.
pub fn pot_main(args: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> anyhow::Result<()> {
    let args = match PotArgs::try_parse_from(args) {
        Ok(args) => args,
        Err(error) => error.exit(),
    };
    let config = serde_json::from_str(&args.config).context("--config is not JSON")?;
    let setup = PotSetup {
        kind: args.kind,
        listen: args.listen,
        dir: args.dir,
        config,
        events: EventTarget::from_env()?,
    };
    if std::env::var_os(PARENT_PIPE_VARIABLE).is_some() {
        std::thread::Builder::new()
            .name("parent".into())
            .stack_size(64 * 1024)
            .spawn(stop_with_parent)
            .context("cannot watch the node that started this trap")?;
    }
    bee_pots::run(setup).context("the trap cannot run")
}

fn stop_with_parent() {
    let mut byte = [0_u8; 1];
    // Nothing is ever written to this pipe: it ends when the node does.
    while let Ok(1..) = std::io::stdin().read(&mut byte) {}
    let _ = kill_process(getpid(), Signal::TERM);
    std::thread::sleep(ORPHAN_STOPS_WITHIN);
    std::process::exit(1);
}
