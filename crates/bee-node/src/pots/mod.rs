//! The pots of this node: which there are, what keeps them running, what became of them.
//!
//! Commands and the config file say which pots there should be; each has a [`task`] that supervises its process; the
//! [`board`] shows what is. Pots that Core installed are kept in `pots.json` and come back with the next start of the
//! node. Never talks to Core: the uplink reads the board.

pub mod board;
mod process;
pub mod procfs;
mod restart;
pub mod settings;
mod store;
mod task;
mod tokens;

use std::{
    collections::BTreeMap,
    fs,
    net::{IpAddr, SocketAddr},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use bee_pots::KindInfo;
use bee_wire::{
    ErrorCode,
    command::{InstallPot, NodeSpec},
    id::is_pot_id,
    node::PotStatus,
};
use serde_json::{Map, Value, json};
use tokio::sync::Mutex;
use tracing::{info, warn};

pub use board::{PotBoard, PotCounters, PotView};
pub use process::{Launch, log_path};
pub use store::{Origin, PotRecord};
pub use tokens::{Tokens, Who};

use crate::{
    limits::{POT_LOG_TAIL_BYTES_MAX, POTS_MAX},
    rotating_file,
};
use settings::Settings;
use store::PotStore;
use task::{Order, PotTask, order};

/// Set for traps whose standard input is the pipe that tells them of the node's death.
pub const PARENT_PIPE_VARIABLE: &str = "HONEYBEE_PARENT_PIPE";

/// How pots are run on this node.
#[derive(Debug, Clone, PartialEq)]
pub struct PotsConfig {
    /// The node's state directory; `pots.json` lies there.
    pub state_dir: PathBuf,
    /// Each pot has its directory below this one.
    pub base_dir: PathBuf,
    /// `false`: this node runs no pots and refuses to install any.
    pub enabled: bool,
    /// Where pots listen unless their settings say otherwise.
    pub listen_address: IpAddr,
    /// Ports of kinds whose default is not the trap's own.
    pub default_ports: BTreeMap<String, u16>,
    /// How long a pot may take to end before it is killed.
    pub stop_grace: Duration,
    /// The program that runs traps, and what comes before `pot <kind>` on its command line.
    pub program: PathBuf,
    /// See `program`.
    pub program_args: Vec<String>,
    /// Pots that the config file declares.
    pub declared: Vec<DeclaredPot>,
    /// Decides the persona of every trap whose settings name no seed, so that the traps of one node are one
    /// machine, and two nodes are two. Empty: each trap derives its own from its id.
    pub persona_seed: String,
}

/// A pot of the config file.
#[derive(Debug, Clone, PartialEq)]
pub struct DeclaredPot {
    /// Its id.
    pub pot_id: String,
    /// `ssh`, `telnet` or `http`.
    pub kind: String,
    /// Whether it runs.
    pub enabled: bool,
    /// Its settings.
    pub settings: Map<String, Value>,
}

/// Why a pot command failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PotError {
    /// The code for the `CommandResult`.
    pub code: ErrorCode,
    /// One or two sentences with the fix.
    pub message: String,
}

impl PotError {
    fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    fn not_found(pot_id: &str) -> Self {
        let shown = bee_daemon::escape::untrusted(pot_id);
        Self::new(
            ErrorCode::HoneypotNotFound,
            format!("there is no pot {shown} on this node; `GetInstalledPots` lists the ones there are"),
        )
    }
}

/// The pots of this node.
#[derive(Debug)]
pub struct Pots {
    config: PotsConfig,
    event_port: u16,
    board: PotBoard,
    tokens: Tokens,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: PotStore,
    tasks: BTreeMap<String, PotTask>,
}

impl Pots {
    /// Reads which pots there are; nothing is started yet.
    ///
    /// # Errors
    /// `pots.json` is damaged, or a declared pot cannot be.
    pub fn open(
        mut config: PotsConfig,
        event_port: u16,
        board: PotBoard,
        tokens: Tokens,
    ) -> anyhow::Result<Self> {
        // A trap runs in its own folder, where a relative path would lead elsewhere.
        config.base_dir =
            std::path::absolute(&config.base_dir).context("cannot tell where the pots' folder is")?;
        let mut store = PotStore::load(&config.state_dir.join("pots.json"))?;
        if config.enabled {
            store.declare(&config.declared);
        }
        Ok(Self {
            config,
            event_port,
            board,
            tokens,
            inner: Mutex::new(Inner { store, tasks: BTreeMap::new() }),
        })
    }

    /// Starts every pot that should run. Returns once each has its task; the board tells how they fare.
    pub async fn start_all(&self) {
        if !self.config.enabled {
            return;
        }
        let mut inner = self.inner.lock().await;
        let records: Vec<PotRecord> = inner.store.pots().cloned().collect();
        for record in records {
            let spawned = self.spawn(&mut inner, &record);
            if let Err(error) = spawned {
                warn!(pot_id = %record.pot_id, %error, "pot cannot be run");
                self.board.set(PotView {
                    pot_id: record.pot_id,
                    pot_type: record.kind,
                    status: PotStatus::Failed,
                    message: error.message,
                    pid: None,
                    listening: Vec::new(),
                    restarts: 0,
                    removed: false,
                });
            }
        }
    }

    /// Stops every pot, all at the same time. Their configuration stays.
    pub async fn stop_all(&self) {
        let tasks = std::mem::take(&mut self.inner.lock().await.tasks);
        let quits: Vec<_> = tasks.into_values().map(|task| tokio::spawn(task.quit(false))).collect();
        for quit in quits {
            let _ = quit.await;
        }
    }

    /// Installs a pot, and starts it when asked to.
    ///
    /// # Errors
    /// `HONEYPOT_ALREADY_EXISTS`, `HONEYPOT_INSTALL_FAILED` or `HONEYPOT_START_FAILED`, with the reason.
    pub async fn install(&self, wanted: &InstallPot) -> Result<Value, PotError> {
        self.may_install()?;
        if wanted.git_url.is_some() || wanted.git_branch.is_some() {
            return Err(PotError::new(
                ErrorCode::HoneypotInstallFailed,
                "this node runs its built-in traps only and fetches nothing; leave out git_url and git_branch",
            ));
        }
        let record = self.record(
            &wanted.pot_id,
            &wanted.honeypot_type,
            string_settings(&wanted.config),
            wanted.auto_start,
        )?;
        let orders = {
            let mut inner = self.inner.lock().await;
            if inner.store.get(&record.pot_id).is_some() {
                let text = format!("pot {} is already installed; use UpdatePot to change it", record.pot_id);
                return Err(PotError::new(ErrorCode::HoneypotAlreadyExists, text));
            }
            if inner.store.len() >= POTS_MAX {
                let text = format!("this node already has {POTS_MAX} pots; remove one first");
                return Err(PotError::new(ErrorCode::HoneypotInstallFailed, text));
            }
            self.put(&mut inner, record.clone())?;
            self.spawn(&mut inner, &record)?;
            self.orders(&inner, &record.pot_id)?
        };
        info!(pot_id = %record.pot_id, pot_type = %record.kind, "pot installed");
        if record.running {
            start(&orders).await?;
        }
        Ok(self.describe(&record))
    }

    /// Starts a pot and remembers that it should run.
    ///
    /// # Errors
    /// `HONEYPOT_NOT_FOUND` or `HONEYPOT_START_FAILED`.
    pub async fn start(&self, pot_id: &str) -> Result<(), PotError> {
        start(&self.want(pot_id, Some(true)).await?).await
    }

    /// Stops a pot and remembers that it should not run.
    ///
    /// # Errors
    /// `HONEYPOT_NOT_FOUND` or `HONEYPOT_STOP_FAILED`.
    pub async fn stop(&self, pot_id: &str) -> Result<(), PotError> {
        let orders = self.want(pot_id, Some(false)).await?;
        order(&orders, Order::Stop).await.map_err(|why| PotError::new(ErrorCode::HoneypotStopFailed, why))
    }

    /// Stops and starts a pot.
    ///
    /// # Errors
    /// `HONEYPOT_NOT_FOUND` or `HONEYPOT_START_FAILED`.
    pub async fn restart(&self, pot_id: &str) -> Result<(), PotError> {
        let orders = self.want(pot_id, Some(true)).await?;
        order(&orders, Order::Restart).await.map_err(|why| PotError::new(ErrorCode::HoneypotStartFailed, why))
    }

    /// Stops a pot and forgets it. Artifacts that Core does not have yet are kept until it has.
    ///
    /// # Errors
    /// `HONEYPOT_NOT_FOUND`, or `HONEYPOT_STOP_FAILED` for a pot of the config file.
    pub async fn remove(&self, pot_id: &str) -> Result<(), PotError> {
        let mut inner = self.inner.lock().await;
        let record = inner.store.get(pot_id).ok_or_else(|| PotError::not_found(pot_id))?;
        if record.origin == Origin::Declared {
            return Err(PotError::new(
                ErrorCode::HoneypotStopFailed,
                format!("pot {pot_id} is declared in this node's config file; remove it there, or stop it"),
            ));
        }
        self.drop_pot(&mut inner, pot_id).await
    }

    /// Changes an installed pot; a running one is started again with the new settings.
    ///
    /// # Errors
    /// `HONEYPOT_NOT_FOUND`, `HONEYPOT_INSTALL_FAILED` or `HONEYPOT_START_FAILED`.
    pub async fn update(&self, wanted: &InstallPot) -> Result<Value, PotError> {
        self.may_install()?;
        let mut record = self.record(
            &wanted.pot_id,
            &wanted.honeypot_type,
            string_settings(&wanted.config),
            wanted.auto_start,
        )?;
        let (orders, launch) = {
            let mut inner = self.inner.lock().await;
            let old = inner.store.get(&record.pot_id).ok_or_else(|| PotError::not_found(&record.pot_id))?;
            if old.kind != record.kind {
                let text = format!(
                    "pot {} is a {}; remove it before installing a {}",
                    old.pot_id, old.kind, record.kind
                );
                return Err(PotError::new(ErrorCode::HoneypotInstallFailed, text));
            }
            record.running |= old.running;
            record.origin = old.origin;
            self.put(&mut inner, record.clone())?;
            (self.orders(&inner, &record.pot_id)?, self.launch(&record)?)
        };
        let failed = |why| PotError::new(ErrorCode::HoneypotStartFailed, why);
        order(&orders, |reply| Order::Relaunch(Box::new(launch), reply)).await.map_err(failed)?;
        if record.running {
            start(&orders).await?;
        }
        Ok(self.describe(&record))
    }

    /// Makes the pots that Core declared be the ones of `spec`. Pots of the config file and pots installed one by one
    /// are left alone. Idempotent; a spec older than the last one is ignored.
    ///
    /// # Errors
    /// The first failure, after everything was tried; the board tells about each pot.
    pub async fn apply(&self, spec: &NodeSpec) -> Result<Value, PotError> {
        self.may_install()?;
        let mut failures = Vec::new();
        let mut wanted = Vec::new();
        for pot in &spec.pots {
            match self.record(&pot.pot_id, &pot.honeypot_type, string_settings(&pot.config), pot.running) {
                Ok(record) => wanted.push(PotRecord { origin: Origin::Spec, ..record }),
                Err(error) => failures.push((pot.pot_id.clone(), error)),
            }
        }
        let mut inner = self.inner.lock().await;
        if spec.revision < inner.store.revision() {
            return Ok(json!({"revision": inner.store.revision(), "ignored": spec.revision}));
        }
        let named: Vec<&str> = spec.pots.iter().map(|pot| pot.pot_id.as_str()).collect();
        let gone: Vec<String> = inner
            .store
            .pots()
            .filter(|record| record.origin == Origin::Spec && !named.contains(&record.pot_id.as_str()))
            .map(|record| record.pot_id.clone())
            .collect();
        for pot_id in gone {
            if let Err(error) = self.drop_pot(&mut inner, &pot_id).await {
                failures.push((pot_id, error));
            }
        }
        for record in wanted {
            let pot_id = record.pot_id.clone();
            if let Err(error) = self.converge(&mut inner, record).await {
                failures.push((pot_id, error));
            }
        }
        if let Err(error) = inner.store.set_revision(spec.revision) {
            failures.push((String::new(), PotError::new(ErrorCode::CommandFailed, error.to_string())));
        }
        let result = json!({
            "revision": spec.revision,
            "failed": failures.iter().map(|(id, error)| json!({"pot_id": id, "code": error.code, "message": error.message})).collect::<Vec<_>>(),
        });
        match failures.into_iter().next() {
            None => Ok(result),
            Some((pot_id, error)) => Err(PotError::new(error.code, format!("{pot_id}: {}", error.message))),
        }
    }

    /// What is known of one pot.
    ///
    /// # Errors
    /// `HONEYPOT_NOT_FOUND`.
    pub async fn info(&self, pot_id: &str) -> Result<Value, PotError> {
        let inner = self.inner.lock().await;
        inner.store.get(pot_id).map(|record| self.describe(record)).ok_or_else(|| PotError::not_found(pot_id))
    }

    /// What is known of every pot.
    pub async fn list(&self) -> Value {
        let inner = self.inner.lock().await;
        Value::Array(inner.store.pots().map(|record| self.describe(record)).collect())
    }

    /// The end of what a pot wrote to stdout and stderr, escaped.
    ///
    /// # Errors
    /// `HONEYPOT_NOT_FOUND`.
    pub async fn logs(&self, pot_id: &str) -> Result<Value, PotError> {
        if self.inner.lock().await.store.get(pot_id).is_none() {
            return Err(PotError::not_found(pot_id));
        }
        let tail =
            rotating_file::tail(&log_path(&self.dir(pot_id)), POT_LOG_TAIL_BYTES_MAX).map_err(|error| {
                PotError::new(ErrorCode::CommandFailed, format!("cannot read the log of {pot_id}: {error}"))
            })?;
        let lines: Vec<String> = String::from_utf8_lossy(&tail)
            .lines()
            .map(|line| bee_daemon::escape::untrusted_max(line, 2000).to_string())
            .collect();
        Ok(json!({"pot_id": pot_id, "lines": lines}))
    }

    /// A pot's memory, CPU time and counters.
    ///
    /// # Errors
    /// `HONEYPOT_NOT_FOUND`.
    pub async fn metrics(&self, pot_id: &str) -> Result<Value, PotError> {
        if self.inner.lock().await.store.get(pot_id).is_none() {
            return Err(PotError::not_found(pot_id));
        }
        let view = self.board.get(pot_id);
        let usage = view.as_ref().and_then(|view| view.pid).map(procfs::usage).unwrap_or_default();
        let counters = self.board.counters(pot_id);
        Ok(json!({
            "pot_id": pot_id,
            "rss_bytes": usage.rss_bytes,
            "cpu_ms": usage.cpu_ms,
            "processes": usage.processes,
            "restarts": view.map_or(0, |view| view.restarts),
            "events": counters.events,
            "malformed": counters.malformed,
        }))
    }

    /// Each pot's directory and id, for the artifact uploader: also of pots that were removed.
    pub fn base_dir(&self) -> &Path {
        &self.config.base_dir
    }

    fn may_install(&self) -> Result<(), PotError> {
        if self.config.enabled {
            return Ok(());
        }
        Err(PotError::new(
            ErrorCode::HoneypotInstallFailed,
            "this node runs no pots: its type is Agent, or honeypot.enabled is false in its config; use a node of type Full",
        ))
    }

    /// Checks what was asked for and makes the record of it.
    fn record(
        &self,
        pot_id: &str,
        kind: &str,
        settings: Map<String, Value>,
        running: bool,
    ) -> Result<PotRecord, PotError> {
        let failed = |text: String| PotError::new(ErrorCode::HoneypotInstallFailed, text);
        if !is_pot_id(pot_id) {
            let shown = bee_daemon::escape::untrusted(pot_id);
            return Err(failed(format!(
                "{shown} cannot be a pot id: use 1 to 64 of A-Z a-z 0-9 . _ -, not starting with . or -"
            )));
        }
        let record = PotRecord {
            pot_id: pot_id.to_owned(),
            kind: kind.to_owned(),
            settings,
            running,
            origin: Origin::Installed,
        };
        self.settings(&record)?;
        Ok(record)
    }

    fn settings(&self, record: &PotRecord) -> Result<Settings, PotError> {
        let failed = |text: String| PotError::new(ErrorCode::HoneypotInstallFailed, text);
        let kinds = bee_pots::kinds();
        let info = kinds
            .iter()
            .find(|info| info.name == record.kind)
            .ok_or_else(|| failed(unknown_kind(&kinds, &record.kind)))?;
        let port = self.config.default_ports.get(&record.kind).copied().unwrap_or(info.default_port);
        settings::read(info, &record.settings, SocketAddr::new(self.config.listen_address, port))
            .map_err(failed)
    }

    fn put(&self, inner: &mut Inner, record: PotRecord) -> Result<(), PotError> {
        let listen = self.settings(&record)?.listen;
        for other in inner.store.pots().filter(|other| other.pot_id != record.pot_id) {
            let taken =
                self.settings(other).is_ok_and(|settings| listen.port() != 0 && settings.listen == listen);
            if taken {
                let text =
                    format!("{listen} is already used by pot {}; give this one another port", other.pot_id);
                return Err(PotError::new(ErrorCode::HoneypotInstallFailed, text));
            }
        }
        inner.store.put(record).map_err(|error| {
            PotError::new(ErrorCode::HoneypotInstallFailed, format!("cannot save the pot: {error}"))
        })
    }

    /// Makes the pot's directory and task; starts it when it should run.
    fn spawn(&self, inner: &mut Inner, record: &PotRecord) -> Result<(), PotError> {
        let launch = self.launch(record)?;
        let task = PotTask::spawn(
            record.pot_id.clone(),
            record.kind.clone(),
            launch,
            self.board.clone(),
            self.config.stop_grace,
        );
        if record.running {
            let orders = task.orders();
            // The board shows how it went; nobody waits for it here.
            tokio::spawn(async move { order(&orders, Order::Start).await });
        }
        inner.tasks.insert(record.pot_id.clone(), task);
        Ok(())
    }

    fn launch(&self, record: &PotRecord) -> Result<Launch, PotError> {
        let mut settings = self.settings(record)?;
        if !self.config.persona_seed.is_empty() {
            settings.config.entry("seed").or_insert_with(|| self.config.persona_seed.clone().into());
        }
        let dir = self.dir(&record.pot_id);
        for folder in [dir.join("log"), dir.join("artifacts")] {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(|error| {
                PotError::new(
                    ErrorCode::HoneypotInstallFailed,
                    format!("cannot make {}: {error}", folder.display()),
                )
            })?;
        }
        let token = self.tokens.issue(&record.pot_id, &record.kind);
        let mut args = self.config.program_args.clone();
        args.extend(["pot", &record.kind, "--listen"].map(str::to_owned));
        args.extend([settings.listen.to_string(), "--dir".into(), dir.display().to_string()]);
        args.extend(["--config".into(), Value::Object(settings.config).to_string()]);
        let env = [
            ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()),
            ("HONEYBEE_EVENT_PORT", self.event_port.to_string()),
            ("HONEYBEE_POT_ID", record.pot_id.clone()),
            ("HONEYBEE_HONEYPOT_TYPE", record.kind.clone()),
            ("HONEYBEE_EVENT_TOKEN", token),
            (PARENT_PIPE_VARIABLE, "1".to_owned()),
        ];
        Ok(Launch {
            program: self.config.program.clone(),
            args,
            env: env.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            log: log_path(&dir),
            dir,
        })
    }

    /// Brings one pot of a spec to what the spec says.
    async fn converge(&self, inner: &mut Inner, record: PotRecord) -> Result<(), PotError> {
        let old = inner.store.get(&record.pot_id).cloned();
        match old {
            Some(old) if old == record && inner.tasks.contains_key(&record.pot_id) => {
                self.set_running(inner, &record).await
            }
            Some(old) if old.origin == Origin::Declared => Err(PotError::new(
                ErrorCode::HoneypotInstallFailed,
                "a pot of this id is declared in the node's config file; choose another id",
            )),
            old => {
                if old.is_some_and(|old| old.kind != record.kind) {
                    self.drop_pot(inner, &record.pot_id).await?;
                }
                self.put(inner, record.clone())?;
                if let Some(task) = inner.tasks.get(&record.pot_id) {
                    let (orders, launch) = (task.orders(), self.launch(&record)?);
                    let failed = |why| PotError::new(ErrorCode::HoneypotStartFailed, why);
                    order(&orders, |reply| Order::Relaunch(Box::new(launch), reply)).await.map_err(failed)?;
                } else {
                    self.spawn(inner, &record)?;
                }
                self.set_running(inner, &record).await
            }
        }
    }

    async fn set_running(&self, inner: &Inner, record: &PotRecord) -> Result<(), PotError> {
        let orders = self.orders(inner, &record.pot_id)?;
        if record.running {
            start(&orders).await
        } else {
            order(&orders, Order::Stop).await.map_err(|why| PotError::new(ErrorCode::HoneypotStopFailed, why))
        }
    }

    async fn drop_pot(&self, inner: &mut Inner, pot_id: &str) -> Result<(), PotError> {
        if let Some(task) = inner.tasks.remove(pot_id) {
            task.quit(true).await;
        }
        self.tokens.revoke(pot_id);
        inner.store.remove(pot_id).map_err(|error| {
            PotError::new(ErrorCode::CommandFailed, format!("cannot save the removal: {error}"))
        })?;
        let dir = self.dir(pot_id);
        // Evidence that is still to be uploaded stays; the uploader removes it once Core has it.
        remove_all_but(&dir, "artifacts");
        let _ = fs::remove_dir(dir.join("artifacts")).and_then(|()| fs::remove_dir(&dir));
        info!(pot_id, "pot removed");
        Ok(())
    }

    /// Remembers whether the pot should run, and how to reach its task.
    async fn want(
        &self,
        pot_id: &str,
        running: Option<bool>,
    ) -> Result<tokio::sync::mpsc::Sender<Order>, PotError> {
        let mut inner = self.inner.lock().await;
        let record = inner.store.get(pot_id).cloned().ok_or_else(|| PotError::not_found(pot_id))?;
        if let Some(running) = running.filter(|running| *running != record.running) {
            let changed = PotRecord { running, ..record.clone() };
            inner.store.put(changed).map_err(|error| {
                PotError::new(ErrorCode::CommandFailed, format!("cannot save the pot: {error}"))
            })?;
        }
        if !inner.tasks.contains_key(pot_id) {
            self.spawn(&mut inner, &PotRecord { running: false, ..record })?;
        }
        self.orders(&inner, pot_id)
    }

    fn orders(&self, inner: &Inner, pot_id: &str) -> Result<tokio::sync::mpsc::Sender<Order>, PotError> {
        inner.tasks.get(pot_id).map(PotTask::orders).ok_or_else(|| PotError::not_found(pot_id))
    }

    fn describe(&self, record: &PotRecord) -> Value {
        let view = self.board.get(&record.pot_id);
        let listen = self.settings(record).ok().map(|settings| settings.listen.to_string());
        json!({
            "pot_id": record.pot_id,
            "pot_type": record.kind,
            "status": view.as_ref().map_or(PotStatus::Stopped, |view| view.status),
            "message": view.as_ref().map_or("", |view| view.message.as_str()),
            "listen": listen,
            "listening": view.as_ref().map(|view| view.listening.clone()).unwrap_or_default(),
            "pid": view.as_ref().and_then(|view| view.pid),
            "restarts": view.as_ref().map_or(0, |view| view.restarts),
            "should_run": record.running,
            "origin": record.origin,
            "config": record.settings,
        })
    }

    fn dir(&self, pot_id: &str) -> PathBuf {
        self.config.base_dir.join(pot_id)
    }
}

async fn start(orders: &tokio::sync::mpsc::Sender<Order>) -> Result<(), PotError> {
    order(orders, Order::Start).await.map_err(|why| PotError::new(ErrorCode::HoneypotStartFailed, why))
}

fn string_settings(config: &BTreeMap<String, String>) -> Map<String, Value> {
    config.iter().map(|(key, value)| (key.clone(), Value::String(value.clone()))).collect()
}

fn unknown_kind(kinds: &[KindInfo], kind: &str) -> String {
    let names: Vec<&str> = kinds.iter().map(|info| info.name).collect();
    let shown = bee_daemon::escape::untrusted(kind);
    format!("this node cannot install {shown}; the built-in traps are {}", names.join(", "))
}

fn remove_all_but(dir: &Path, keep: &str) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_name() != keep) {
        let path = entry.path();
        let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let removed = if is_dir { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        if let Err(error) = removed {
            warn!(path = %path.display(), %error, "cannot remove a file of a removed pot");
        }
    }
}
