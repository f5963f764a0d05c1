//! Real daemons as child processes: Core and node, release builds, in a folder of their own, on loopback.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use bee_wire::JoinCode;
use bee_wire::api::{CoreStatus, JoinTokenCreated, JoinTokenRequest};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tempfile::TempDir;

use crate::procfs;

const READY_WITHIN: Duration = Duration::from_secs(30);
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Where the binaries are and where daemons may write.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) bin_dir: PathBuf,
    pub(crate) work_dir: PathBuf,
}

impl Place {
    fn binary(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.bin_dir.join(name);
        ensure!(
            path.is_file(),
            "{} is not there: `cargo build --release --bins` first (`cargo xtask bench` does), or name its folder with --bin-dir",
            path.display()
        );
        Ok(path)
    }

    /// A folder that goes when it is dropped.
    pub(crate) fn temp_dir(&self) -> anyhow::Result<TempDir> {
        tempfile::Builder::new()
            .prefix("bee-bench-")
            .tempdir_in(&self.work_dir)
            .with_context(|| format!("make a folder in {}", self.work_dir.display()))
    }
}

/// A child process that dies with us.
pub(crate) struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    pub(crate) fn spawn(command: &mut Command, log: PathBuf) -> anyhow::Result<Self> {
        let file =
            std::fs::File::options().create(true).append(true).open(&log).context("open a log file")?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("start {command:?}"))?;
        Ok(Self { child, log })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// An error with the last words of the process if it has ended.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("the daemon has ended ({status}); its last words:\n{}", self.last_words());
        }
        Ok(())
    }

    pub(crate) fn last_words(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines.get(lines.len().saturating_sub(15)..).unwrap_or_default().join("\n")
    }

    /// SIGTERM, and waits until it has ended.
    pub(crate) async fn terminate(&mut self) -> anyhow::Result<()> {
        let pid = i32::try_from(self.pid())
            .ok()
            .and_then(rustix::process::Pid::from_raw)
            .context("a process id")?;
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)
            .context("ask the daemon to stop")?;
        let began = Instant::now();
        while self.child.try_wait()?.is_none() {
            ensure!(
                began.elapsed() < READY_WITHIN,
                "the daemon does not stop; its log:\n{}",
                self.last_words()
            );
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(())
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        // It may have ended already; either way it is gone after the wait.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Traps end with their node: the pipe they watch breaks.
        self.kill();
    }
}

/// A running `honeybee core`.
pub(crate) struct Core {
    pub(crate) daemon: Daemon,
    place: Place,
    dir: TempDir,
    pub(crate) nodes: SocketAddr,
    pub(crate) api: SocketAddr,
    pub(crate) ws: SocketAddr,
    token: String,
    /// From the start of the process to the first answer of its API.
    pub(crate) start_took: Duration,
}

impl Core {
    /// Starts one with fresh data. `more` is added to its configuration.
    pub(crate) async fn start(place: &Place, more: &str) -> anyhow::Result<Self> {
        let dir = place.temp_dir()?;
        let [nodes, api, ws] = free_ports()?;
        let config = format!(
            "data_dir = {data:?}\n[server]\nhost = \"127.0.0.1\"\nnode_port = {}\nbackend_port = {}\n[proxy]\nport = {}\n\
             [tls]\nmode = \"required\"\n[api]\ntls = \"off\"\n[logging]\nlevel = \"warn\"\n{more}",
            nodes.port(),
            api.port(),
            ws.port(),
            data = dir.path().join("data"),
        );
        std::fs::write(dir.path().join("bee_config.toml"), config).context("write Core's configuration")?;
        let daemon = Self::spawn(place, dir.path())?;
        let mut core = Self {
            daemon,
            place: place.clone(),
            dir,
            nodes,
            api,
            ws,
            token: String::new(),
            start_took: Duration::ZERO,
        };
        core.wait_until_ready().await?;
        Ok(core)
    }

    fn spawn(place: &Place, dir: &Path) -> anyhow::Result<Daemon> {
        let mut command = Command::new(place.binary("honeybee")?);
        command.arg("core").arg("--config").arg(dir.join("bee_config.toml")).current_dir(dir);
        Daemon::spawn(&mut command, dir.join("core.log"))
    }

    /// Kills it without warning and starts it again on the same data.
    pub(crate) async fn crash_and_restart(&mut self) -> anyhow::Result<()> {
        self.daemon.kill();
        self.daemon = Self::spawn(&self.place, self.dir.path())?;
        self.wait_until_ready().await
    }

    async fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let began = Instant::now();
        loop {
            self.daemon.check()?;
            if let Ok(token) = self.operator_token() {
                self.token = token;
                if self.status().await.is_ok() {
                    self.start_took = began.elapsed();
                    return Ok(());
                }
            }
            ensure!(
                began.elapsed() < READY_WITHIN,
                "Core is not ready; its log:\n{}",
                self.daemon.last_words()
            );
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    fn operator_token(&self) -> anyhow::Result<String> {
        let text = std::fs::read_to_string(self.dir.path().join("data/core/operator.json"))?;
        let file: serde_json::Value = serde_json::from_str(&text)?;
        let token = file.get("token").and_then(serde_json::Value::as_str);
        token.map(str::to_owned).context("operator.json has no token")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.daemon.pid()
    }

    /// The operator's token.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    pub(crate) async fn status(&self) -> anyhow::Result<CoreStatus> {
        self.get("/api/v1/status").await
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        self.request("GET", path, Vec::new()).await
    }

    /// A join code for so many nodes.
    pub(crate) async fn join_code(&self, uses: u64) -> anyhow::Result<(JoinCode, String)> {
        let request = JoinTokenRequest {
            expires_in_s: Some(24 * 3_600),
            uses: Some(uses),
            note: Some("measurement".to_owned()),
            addresses: vec![self.nodes.to_string()],
        };
        let made: JoinTokenCreated =
            self.request("POST", "/api/v1/join-tokens", serde_json::to_vec(&request)?).await?;
        let text = made.code.expose().to_owned();
        Ok((text.parse().context("read the join code")?, text))
    }

    async fn request<T: DeserializeOwned>(
        &self,
        method: &str,
        path: &str,
        body: Vec<u8>,
    ) -> anyhow::Result<T> {
        let work = async {
            let stream = tokio::net::TcpStream::connect(self.api).await?;
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
            let driver = tokio::spawn(connection);
            let request = hyper::Request::builder()
                .method(method)
                .uri(path)
                .header("host", self.api.to_string())
                .header("authorization", format!("Bearer {}", self.token))
                .header("content-type", "application/json")
                .body(Full::new(Bytes::from(body)))?;
            let response = sender.send_request(request).await?;
            let status = response.status();
            let collected = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
            let bytes = collected.map_err(|error| anyhow::anyhow!("{error}"))?.to_bytes();
            driver.abort();
            ensure!(status.is_success(), "{method} {path}: {status}: {}", String::from_utf8_lossy(&bytes));
            serde_json::from_slice(&bytes).with_context(|| format!("read the answer to {method} {path}"))
        };
        tokio::time::timeout(Duration::from_secs(30), work).await.context("Core's API does not answer")?
    }
}

/// A trap that a node shall run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trap {
    pub(crate) kind: &'static str,
    pub(crate) address: SocketAddr,
}

impl Trap {
    /// Traps of these kinds on free ports.
    pub(crate) fn of<const N: usize>(kinds: [&'static str; N]) -> anyhow::Result<Vec<Self>> {
        let addresses = free_ports::<N>()?;
        Ok(kinds.into_iter().zip(addresses).map(|(kind, address)| Self { kind, address }).collect())
    }
}

/// A running `honeybee-node`, joined to a Core.
pub(crate) struct Node {
    pub(crate) daemon: Daemon,
    place: Place,
    dir: TempDir,
    /// Where it takes events of honeypots.
    pub(crate) intake: SocketAddr,
    /// From the start of the process until it and all its traps listened.
    pub(crate) start_took: Duration,
    ports: Vec<u16>,
}

impl Node {
    /// Starts one and waits until all its traps listen.
    pub(crate) async fn start(place: &Place, core: &Core, traps: &[Trap]) -> anyhow::Result<Self> {
        let dir = place.temp_dir()?;
        let [intake] = free_ports()?;
        let (_, code) = core.join_code(1).await?;
        let mut config = format!(
            "node: {{ name: \"bench\" }}\nenrollment: {{ join_code: {code:?} }}\nlog: {{ level: \"warn\" }}\n\
             state_dir: {state:?}\nintake: {{ event_port: {} }}\npots:\n",
            intake.port(),
            state = dir.path().join("state"),
        );
        for (number, trap) in traps.iter().enumerate() {
            // Delays that hide the trap's own speed are off; what is measured is its work.
            let settings = if trap.kind == "http" { "{}" } else { "{ auth_delay_ms: 0 }" };
            config.push_str(&format!(
                "  - {{ id: \"{kind}-{number}\", type: \"{kind}\", listen: \"{}\", config: {settings} }}\n",
                trap.address,
                kind = trap.kind,
            ));
        }
        if traps.is_empty() {
            config = config.replace("pots:\n", "pots: []\n");
        }
        std::fs::write(dir.path().join("config.yaml"), config).context("write the node's configuration")?;
        let mut ports = vec![intake.port()];
        ports.extend(traps.iter().map(|trap| trap.address.port()));
        let began = Instant::now();
        let daemon = Self::spawn(place, dir.path())?;
        let mut node = Self { daemon, place: place.clone(), dir, intake, start_took: Duration::ZERO, ports };
        node.wait_until_listening(began).await?;
        Ok(node)
    }

    fn spawn(place: &Place, dir: &Path) -> anyhow::Result<Daemon> {
        let mut command = Command::new(place.binary("honeybee-node")?);
        command.arg("--config").arg(dir.join("config.yaml")).current_dir(dir);
        Daemon::spawn(&mut command, dir.join("node.log"))
    }

    async fn wait_until_listening(&mut self, began: Instant) -> anyhow::Result<()> {
        loop {
            let listening = procfs::listening_ports();
            if self.ports.iter().all(|port| listening.contains(port)) {
                self.start_took = began.elapsed();
                return Ok(());
            }
            self.daemon.check()?;
            ensure!(
                began.elapsed() < READY_WITHIN,
                "the traps do not listen; the node's log:\n{}",
                self.daemon.last_words()
            );
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Stops it cleanly and starts it again with what it keeps on disk.
    pub(crate) async fn restart(&mut self) -> anyhow::Result<()> {
        self.daemon.terminate().await?;
        let began = Instant::now();
        self.daemon = Self::spawn(&self.place, self.dir.path())?;
        self.wait_until_listening(began).await
    }

    pub(crate) fn pid(&self) -> u32 {
        self.daemon.pid()
    }

    /// The node's process and those of its traps.
    pub(crate) fn family(&self) -> anyhow::Result<Vec<u32>> {
        let family = procfs::family(self.pid());
        // One port is the node's own.
        let (traps, children) = (self.ports.len() - 1, family.len() - 1);
        ensure!(children == traps, "{traps} traps should run, the node has {children} children");
        Ok(family)
    }

    /// The process of the trap whose command line holds `what`.
    pub(crate) fn trap_pid(&self, what: &str) -> anyhow::Result<u32> {
        let mut family = self.family()?.into_iter().skip(1);
        let found = family.find(|pid| procfs::command_line(*pid).contains(what));
        found.with_context(|| format!("the node runs no process with `{what}` on its command line"))
    }

    /// Waits until the node is registered with Core.
    pub(crate) async fn wait_registered(&self, core: &Core) -> anyhow::Result<()> {
        let began = Instant::now();
        while core.status().await?.nodes_connected == 0 {
            ensure!(
                began.elapsed() < READY_WITHIN,
                "the node is not in; its log:\n{}",
                self.daemon.last_words()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }
}

/// Loopback addresses that nobody listens on at this moment.
pub(crate) fn free_ports<const N: usize>() -> anyhow::Result<[SocketAddr; N]> {
    let mut listeners = Vec::new();
    let mut addresses = [SocketAddr::from(([127, 0, 0, 1], 0)); N];
    for address in &mut addresses {
        let listener = TcpListener::bind(*address).context("find a free port")?;
        *address = listener.local_addr()?;
        listeners.push(listener);
    }
    Ok(addresses)
}
