//! One node from start to stop: the parts, their order, and who waits for whom.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use anyhow::Context as _;
use bee_daemon::shutdown::Shutdown;
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use crate::{
    commands::Commander,
    config::Config,
    intake::{DeadLetter, Intake, IntakeCounters, IntakeParts},
    pots::{PotBoard, Pots, PotsConfig, Tokens},
    spool::Spool,
    state::State,
    uplink::{LinkState, Uplink, UplinkParts},
};

/// How long the last events may take to reach Core before the node says goodbye. What is left stays in the spool.
const LAST_EVENTS: Duration = Duration::from_secs(2);

/// Why a node ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Asked to: a signal, the caller, or the command `Stop`.
    Stopped,
    /// The command `Restart`, or a new config.
    Restart,
}

/// A running node.
#[derive(Debug)]
pub struct Node {
    event_port: u16,
    board: PotBoard,
    pots: Arc<Pots>,
    spool: Spool,
    counters: Arc<IntakeCounters>,
    parts: Arc<IntakeParts>,
    link: watch::Receiver<LinkState>,
    exits: watch::Receiver<Option<Exit>>,
    close_intake: CancellationToken,
    stop_intake: CancellationToken,
    intake: JoinHandle<()>,
    leave: CancellationToken,
    uplink: JoinHandle<()>,
}

impl Node {
    /// Starts every part and returns; the pots and the link come up by themselves.
    ///
    /// # Errors
    /// The state directory, the spool or the intake's port cannot be used.
    pub async fn start(config: Config) -> anyhow::Result<Self> {
        let config = Arc::new(config);
        let board = PotBoard::new();
        let tokens = Tokens::default();
        let opened = {
            let (config, board) = (config.clone(), board.clone());
            tokio::task::spawn_blocking(move || {
                let mut state = State::open(&config.state_dir, &config.totp_secret_dir)?;
                // The spool's lock keeps a second node out of this directory; only then is it ours to change.
                let (spool, stream) = Spool::open(&config.spool, board)?;
                state.change_identity(|identity| identity.boot += 1)?;
                let dead_letter = DeadLetter::open(&config.state_dir.join("dead-letter"))
                    .context("cannot open the dead-letter file")?;
                anyhow::Ok((state, spool, stream, dead_letter))
            })
        };
        let (state, spool, stream, dead_letter) = opened.await.context("the start was lost")??;
        let intake = Intake::bind(config.intake.clone())?;
        let event_port = intake.port();
        let pots_config =
            PotsConfig { persona_seed: state.identity().node_id.to_string(), ..config.pots.clone() };
        let pots = Arc::new(Pots::open(pots_config, event_port, board.clone(), tokens.clone())?);
        let commander = Commander::new(pots.clone(), config.clone());
        let uplink = {
            let (config, spool, board) = (config.clone(), spool.clone(), board.clone());
            let parts = UplinkParts { config, state, spool, stream, board, commander };
            tokio::task::spawn_blocking(move || Uplink::new(parts)).await.context("the start was lost")??
        };
        let parts = Arc::new(IntakeParts { spool: spool.clone(), tokens, board: board.clone(), dead_letter });
        let counters = Arc::new(IntakeCounters::default());
        let (close_intake, stop_intake, leave) =
            (CancellationToken::new(), CancellationToken::new(), CancellationToken::new());
        info!(name = %config.name, event_port, state_dir = %config.state_dir.display(), "node is up");
        pots.start_all().await;
        Ok(Self {
            event_port,
            board,
            pots,
            spool,
            link: uplink.watch(),
            exits: uplink.exits(),
            intake: tokio::spawn(intake.serve(
                parts.clone(),
                counters.clone(),
                close_intake.clone(),
                stop_intake.clone(),
            )),
            uplink: tokio::spawn(uplink.run(leave.clone())),
            counters,
            parts,
            close_intake,
            stop_intake,
            leave,
        })
    }

    /// The port on which pots hand over events.
    pub fn event_port(&self) -> u16 {
        self.event_port
    }

    /// What the pots are doing.
    pub fn board(&self) -> &PotBoard {
        &self.board
    }

    /// The pots, for an embedder that starts and stops them itself.
    pub fn pots(&self) -> &Arc<Pots> {
        &self.pots
    }

    /// Tells whether the node is registered.
    pub fn link(&self) -> watch::Receiver<LinkState> {
        self.link.clone()
    }

    /// The spool, for its numbers.
    pub fn spool(&self) -> &Spool {
        &self.spool
    }

    /// Runs until `stop` or until a command ends the node, then stops every part in order.
    pub async fn run_until(mut self, stop: CancellationToken) -> Exit {
        let exit = tokio::select! {
            () = stop.cancelled() => Exit::Stopped,
            exit = self.exits.wait_for(Option::is_some) => exit.ok().and_then(|exit| *exit).unwrap_or(Exit::Stopped),
        };
        self.stop().await;
        exit
    }

    /// Stops: no new connections on the intake; pots, which hand over their last events; the intake; the spool to disk;
    /// goodbye to Core.
    async fn stop(mut self) {
        self.close_intake.cancel();
        self.pots.stop_all().await;
        self.spool.stop_waiting();
        self.stop_intake.cancel();
        let _ = (&mut self.intake).await;
        // Everything handed over is on disk once the intake is gone; Core may still get the last of it.
        self.last_events_sent(&self.link).await;
        self.leave.cancel();
        let _ = (&mut self.uplink).await;
        self.spool.close().await;
        debug!(
            connections = self.counters.connections.load(Ordering::Relaxed),
            crowded_out = self.counters.crowded_out.load(Ordering::Relaxed),
            too_slow = self.counters.too_slow.load(Ordering::Relaxed),
            malformed = self.parts.dead_letter.lines(),
            "intake closed"
        );
        info!("node is down");
    }

    async fn last_events_sent(&self, link: &watch::Receiver<LinkState>) {
        let sent = async {
            self.spool.flush().await;
            while link.borrow().registered && self.spool.status().events > 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        // A Core that is slow or away gets them the next time.
        let _ = tokio::time::timeout(LAST_EVENTS, sent).await;
    }
}

/// Runs a node until `shutdown` or the command `Stop`; the command `Restart` and new configs start it anew in place.
///
/// # Errors
/// The node cannot start (again).
pub async fn run(mut config: Config, shutdown: Shutdown) -> anyhow::Result<()> {
    loop {
        let node = Node::start(config.clone()).await?;
        match node.run_until(shutdown.token()).await {
            Exit::Stopped => return Ok(()),
            Exit::Restart => {
                info!("starting again, as Core asked");
                if let Some(source) = &config.source {
                    // It was checked before the command was answered; a file broken since then keeps the old config.
                    match source.load() {
                        Ok(fresh) => config = fresh,
                        Err(error) => {
                            tracing::warn!(%error, "the config is not usable; going on with the old one")
                        }
                    }
                }
            }
        }
    }
}
