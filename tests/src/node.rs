//! A node process (`honeybee-node`), enrolled with a join code.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::core::Core;
use crate::process::{self, Process};
use crate::shell;
use crate::wait::until;

/// An enrolled node.
#[derive(Debug)]
pub struct Node {
    dir: PathBuf,
    /// Its name.
    pub name: String,
    /// The process.
    pub process: Process,
}

impl Node {
    /// Enrols a node over `way` (Core's node port, or a proxy in front of it) and starts it. `config` is YAML beside
    /// the name, the state folder and the intake's port.
    pub async fn join(core: &Core, dir: &Path, name: &str, way: SocketAddr, config: &str) -> Self {
        enrol(core, dir, name, way, config).await;
        Self { dir: dir.to_owned(), name: name.to_owned(), process: start_process(dir) }
    }

    /// Its folder; `state/` in it holds what it must not lose.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Starts it again after it was stopped or killed.
    pub fn start_again(&mut self) {
        assert!(!self.process.is_running(), "the node still runs");
        self.process = start_process(&self.dir);
    }

    /// Where it takes events: the one port that the daemon itself listens on.
    pub async fn intake(&self) -> SocketAddr {
        until("the node listens for events", async || self.process.listeners().first().copied()).await
    }
}

/// Makes a node's folder without starting the node.
pub async fn enrol(core: &Core, dir: &Path, name: &str, way: SocketAddr, config: &str) {
    fs::create_dir_all(dir).unwrap();
    let state = json!(dir.join("state"));
    let own = format!("node:\n  name: {}\nstate_dir: {state}\nintake:\n  event_port: 0\n", json!(name));
    fs::write(dir.join("config.yaml"), format!("{own}{config}")).unwrap();
    let code = core.join_code(way).await;
    let folder = dir.to_str().unwrap();
    let joined =
        shell::honeybee(core.data(), &["join", &code, "--enroll-only", "--name", name, "--dir", folder])
            .await;
    joined.ok();
}

fn start_process(dir: &Path) -> Process {
    let mut command = process::command("honeybee-node");
    command.arg("--config").arg(dir.join("config.yaml")).current_dir(dir);
    Process::start(command, &dir.with_extension("output"), "node")
}
