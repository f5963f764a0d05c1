//! A Core process (`honeybee core`) on ports of the system's choice.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use bee_wire::JoinCode;
use serde_json::{Value, json};

use crate::process::{self, Process};
use crate::rest::Rest;
use crate::wait::until;

/// A running Core.
#[derive(Debug)]
pub struct Core {
    data: PathBuf,
    /// The process.
    pub process: Process,
    /// Its API, with the operator's token.
    pub rest: Rest,
    /// Where nodes connect.
    pub nodes: SocketAddr,
    /// Where REST and modules over TCP connect.
    pub api: SocketAddr,
    /// Where modules over WebSocket connect.
    pub ws: SocketAddr,
}

impl Core {
    /// Starts a Core on `data`. `config` is TOML beside the ports, which are all 0.
    pub async fn start(data: &Path, config: &str) -> Self {
        fs::create_dir_all(data).unwrap();
        let ports = "[server]\nnode_port = 0\nbackend_port = 0\n[proxy]\nport = 0\n";
        fs::write(data.join("bee_config.toml"), format!("{ports}{config}")).unwrap();
        let process = start_process(data);
        let (rest, [nodes, api, ws]) = addresses(data, &process).await;
        Self { data: data.to_owned(), process, rest, nodes, api, ws }
    }

    /// The data folder.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Starts it again after it was stopped or killed; its ports are others.
    pub async fn start_again(&mut self) {
        assert!(!self.process.is_running(), "Core still runs");
        self.process = start_process(&self.data);
        let (rest, [nodes, api, ws]) = addresses(&self.data, &self.process).await;
        (self.rest, self.nodes, self.api, self.ws) = (rest, nodes, api, ws);
    }

    /// A join code with one use that names `address` as the way to Core.
    pub async fn join_code(&self, address: SocketAddr) -> String {
        self.invite(json!({"uses": 1, "addresses": [address.to_string()]})).await.0
    }

    /// A join code made as asked, and the id by which it can be revoked.
    pub async fn invite(&self, request: Value) -> (String, String) {
        let made = self.rest.post("/api/v1/join-tokens", &request).await.ok();
        (made["code"].as_str().unwrap().to_owned(), made["id"].as_str().unwrap().to_owned())
    }

    /// A join code whose time is over.
    pub async fn expired_code(&self) -> String {
        let (code, id) = self.invite(json!({"expires_in_s": 1})).await;
        until("the token's time is over", async || {
            let list = self.rest.json("/api/v1/join-tokens").await;
            let token =
                list["tokens"].as_array().unwrap().iter().find(|token| token["id"] == id.as_str())?.clone();
            // Core runs on this machine's clock.
            (token["expires"].as_str().unwrap() < now().as_str()).then_some(())
        })
        .await;
        code
    }

    /// The secret inside a fresh join code: what a hand-written node puts into its registration.
    pub async fn enrollment_token(&self) -> String {
        let code: JoinCode = self.join_code(self.nodes).await.parse().unwrap();
        code.secret.expose().to_owned()
    }

    /// A token for a module or a program.
    pub async fn api_token(&self, scopes: &[&str]) -> String {
        let made = self.rest.post("/api/v1/tokens", &json!({"name": "test", "scopes": scopes})).await.ok();
        made["secret"].as_str().unwrap().to_owned()
    }
}

/// Now, in the form that Core writes times in.
fn now() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    bee_wire::Micros::from_unix_us(i64::try_from(now.as_micros()).unwrap()).to_string()
}

fn start_process(data: &Path) -> Process {
    // The folder, too, keeps a bee_config.toml of the caller's out of the way.
    let mut command = process::command("honeybee");
    command.arg("--data").arg(data).arg("core").arg("--config").arg(data.join("bee_config.toml"));
    command.current_dir(data);
    // Beside the data, which may be a file system that is to fill up.
    let logs = data.with_extension("output");
    Process::start(command, &logs, "core")
}

/// Waits until this process answers, and reads its addresses.
async fn addresses(data: &Path, process: &Process) -> (Rest, [SocketAddr; 3]) {
    let file = data.join("core/operator.json");
    until("Core answers", async || {
        let rest = Rest::from_operator_file(&file)?;
        // The file may still be the one of the process before.
        let api: SocketAddr = rest.authority().parse().ok()?;
        if !process.listeners().contains(&api) {
            return None;
        }
        let status = rest.try_get("/api/v1/status").await?;
        assert_eq!(status.status, 200, "{}", status.text);
        let status = status.json();
        let address = |name: &str| status[name].as_str().unwrap().parse().unwrap();
        let addresses = [address("nodes_listen"), address("http_listen"), address("ws_listen")];
        Some((rest, addresses))
    })
    .await
}
