//! A whole installation in one process tree: `honeybee up`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::process::{self, Process};
use crate::rest::Rest;
use crate::wait::until;

/// Flags that let the system choose every port.
pub const FREE_PORTS: [&str; 14] = [
    "--port",
    "0",
    "--node-port",
    "0",
    "--ws-port",
    "0",
    "--event-port",
    "0",
    "--ssh",
    "0",
    "--telnet",
    "0",
    "--http",
    "0",
];

/// A running installation.
#[derive(Debug)]
pub struct Up {
    data: PathBuf,
    /// The process; the traps are its children.
    pub process: Process,
    /// Core's API, with the operator's token.
    pub rest: Rest,
    /// What it printed when it was ready.
    pub said: Value,
}

impl Up {
    /// Starts one in the empty folder `dir` and waits until it is ready.
    pub async fn start(dir: &Path) -> Self {
        let data = dir.join("honeybee-data");
        let mut command = process::command("honeybee");
        command.args(["--json", "up"]).args(FREE_PORTS).current_dir(dir);
        let process = Process::start(command, &dir.join("output"), "up");
        let said =
            until("`honeybee up` is ready", async || serde_json::from_str(&process.stdout()).ok()).await;
        let rest = Rest::from_operator_file(&data.join("core/operator.json")).unwrap();
        Self { data, process, rest, said }
    }

    /// The data folder.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Where a trap of that kind listens.
    pub fn trap(&self, kind: &str) -> SocketAddr {
        let traps = self.said["traps"].as_array().unwrap();
        let trap = traps.iter().find(|trap| trap["pot_type"] == kind);
        let trap = trap.unwrap_or_else(|| panic!("no {kind} trap in {}", self.said));
        trap["listen"][0].as_str().unwrap_or_else(|| panic!("{trap} does not listen")).parse().unwrap()
    }

    /// One of the addresses `nodes`, `api` and `ws`.
    pub fn address(&self, name: &str) -> SocketAddr {
        self.said[name].as_str().unwrap().parse().unwrap()
    }
}
