//! One task per pot: keeps its process as it was asked to be, and says on the board what it sees.
//!
//! Owned by [`crate::pots::Pots`], which sends it orders. It decides restarts with
//! [`RestartPolicy`], and readiness by reading procfs.

use std::{net::SocketAddr, time::Duration};

use bee_wire::node::PotStatus;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::{Instant, sleep_until},
};
use tracing::{info, warn};

use crate::pots::{
    board::{PotBoard, PotView},
    process::{Launch, PotProcess},
    procfs,
    restart::{Decision, RestartPolicy},
};

/// A pot that listens nowhere this long after its start has failed. The first start of an SSH trap makes host keys,
/// which takes a small machine many seconds.
const READY_WITHIN: Duration = Duration::from_secs(60);
const READY_POLL_FIRST: Duration = Duration::from_millis(10);
const READY_POLL_MAX: Duration = Duration::from_millis(200);
/// How long the last output of an ended pot is waited for: it goes into the status message.
const OUTPUT_PATIENCE: Duration = Duration::from_millis(200);
/// How often a running pot's ports are looked at.
const WATCH_EVERY: Duration = Duration::from_secs(30);

/// Why an order could not be carried out; one sentence for the operator.
pub(super) type Refusal = String;
type Reply = oneshot::Sender<Result<(), Refusal>>;

/// What a pot's task can be told.
#[derive(Debug)]
pub(super) enum Order {
    /// Run; answered when the pot listens, or will not.
    Start(Reply),
    /// Do not run; answered when every process is gone.
    Stop(Reply),
    /// Stop, then start.
    Restart(Reply),
    /// Use this from the next start on; a running pot is started again.
    Relaunch(Box<Launch>, Reply),
    /// Stop and end the task; `true` when the pot was removed for good.
    Quit(bool, Reply),
}

/// A pot's task and the way to reach it.
#[derive(Debug)]
pub(super) struct PotTask {
    orders: mpsc::Sender<Order>,
    task: JoinHandle<()>,
}

impl PotTask {
    /// Starts the task; the pot itself waits for [`Order::Start`].
    pub(super) fn spawn(
        pot_id: String,
        pot_type: String,
        launch: Launch,
        board: PotBoard,
        grace: Duration,
    ) -> Self {
        let (orders, inbox) = mpsc::channel(8);
        let runner = Runner {
            launch,
            board,
            grace,
            policy: RestartPolicy::default(),
            state: State::Stopped,
            waiting: Vec::new(),
            view: PotView {
                pot_id,
                pot_type,
                status: PotStatus::Stopped,
                message: String::new(),
                pid: None,
                listening: Vec::new(),
                restarts: 0,
                removed: false,
            },
        };
        Self { orders, task: tokio::spawn(runner.run(inbox)) }
    }

    /// A way to send orders that does not borrow the task.
    pub(super) fn orders(&self) -> mpsc::Sender<Order> {
        self.orders.clone()
    }

    /// Stops the pot and the task.
    pub(super) async fn quit(self, removed: bool) {
        let _ = order(&self.orders, |reply| Order::Quit(removed, reply)).await;
        let _ = self.task.await;
    }
}

/// Sends an order and waits for its answer.
pub(super) async fn order(
    orders: &mpsc::Sender<Order>,
    make: impl FnOnce(Reply) -> Order,
) -> Result<(), Refusal> {
    let (reply, answer) = oneshot::channel();
    let gone = || "the pot is being removed".to_owned();
    orders.send(make(reply)).await.map_err(|_| gone())?;
    answer.await.map_err(|_| gone())?
}

enum State {
    Stopped,
    /// Started, not seen listening yet.
    Starting {
        process: PotProcess,
        deadline: Instant,
        poll: Duration,
    },
    Running {
        process: PotProcess,
    },
    /// Ended by itself; started again at this time.
    Waiting {
        until: Instant,
    },
}

struct Runner {
    launch: Launch,
    board: PotBoard,
    grace: Duration,
    policy: RestartPolicy,
    state: State,
    /// Who waits for the pot to be ready.
    waiting: Vec<Reply>,
    view: PotView,
}

enum Happened {
    Ordered(Option<Order>),
    Ended(String),
    Due,
}

impl Runner {
    async fn run(mut self, mut inbox: mpsc::Receiver<Order>) {
        self.show(PotStatus::Stopped, "not started");
        loop {
            match self.next(&mut inbox).await {
                Happened::Ordered(None) => {
                    self.stop_process().await;
                    return;
                }
                Happened::Ordered(Some(Order::Quit(removed, reply))) => {
                    self.stop_process().await;
                    self.view.removed = removed;
                    self.show(PotStatus::Stopped, if removed { "removed" } else { "the node is stopping" });
                    let _ = reply.send(Ok(()));
                    return;
                }
                Happened::Ordered(Some(order)) => self.obey(order).await,
                Happened::Ended(how) => self.ended(&how).await,
                Happened::Due => self.due().await,
            }
        }
    }

    async fn next(&mut self, inbox: &mut mpsc::Receiver<Order>) -> Happened {
        let due = match &self.state {
            State::Stopped => None,
            State::Starting { poll, .. } => Some(Instant::now() + *poll),
            State::Running { .. } => Some(Instant::now() + WATCH_EVERY),
            State::Waiting { until } => Some(*until),
        };
        let process = match &mut self.state {
            State::Starting { process, .. } | State::Running { process } => Some(process),
            State::Stopped | State::Waiting { .. } => None,
        };
        tokio::select! {
            biased;
            order = inbox.recv() => Happened::Ordered(order),
            status = async { match process { Some(process) => process.ended().await, None => std::future::pending().await } } => {
                Happened::Ended(match status {
                    Ok(status) => format!("it ended by itself ({status})"),
                    Err(error) => format!("it was lost: {error}"),
                })
            }
            () = async { match due { Some(due) => sleep_until(due).await, None => std::future::pending().await } } => Happened::Due,
        }
    }

    async fn obey(&mut self, order: Order) {
        match order {
            Order::Start(reply) => {
                self.policy.forgive();
                match &self.state {
                    State::Running { .. } => drop(reply.send(Ok(()))),
                    State::Starting { .. } => self.waiting.push(reply),
                    State::Stopped | State::Waiting { .. } => {
                        self.waiting.push(reply);
                        self.start();
                    }
                }
            }
            Order::Stop(reply) => {
                self.stop_process().await;
                self.show(PotStatus::Stopped, "stopped as asked");
                let _ = reply.send(Ok(()));
            }
            Order::Restart(reply) => {
                self.policy.forgive();
                self.stop_process().await;
                self.waiting.push(reply);
                self.start();
            }
            Order::Relaunch(launch, reply) => {
                self.launch = *launch;
                if matches!(self.state, State::Stopped) {
                    let _ = reply.send(Ok(()));
                } else {
                    self.policy.forgive();
                    self.stop_process().await;
                    self.waiting.push(reply);
                    self.start();
                }
            }
            Order::Quit(..) => {}
        }
    }

    fn start(&mut self) {
        match PotProcess::start(&self.launch) {
            Ok(process) => {
                self.view.pid = Some(process.pid());
                self.state = State::Starting {
                    process,
                    deadline: Instant::now() + READY_WITHIN,
                    poll: READY_POLL_FIRST,
                };
            }
            Err(error) => {
                self.state = State::Stopped;
                let program = self.launch.program.display();
                self.fail(&format!("cannot start {program}: {error}"));
            }
        }
    }

    /// A timer ran out: look at a pot that starts or runs, or start one that waited.
    async fn due(&mut self) {
        match std::mem::replace(&mut self.state, State::Stopped) {
            State::Starting { process, deadline, poll } => {
                let listening = procfs::listening(process.pid());
                if !listening.is_empty() {
                    self.state = State::Running { process };
                    self.ready(listening);
                } else if Instant::now() < deadline {
                    self.state = State::Starting { process, deadline, poll: (poll * 2).min(READY_POLL_MAX) };
                } else {
                    self.state = State::Running { process };
                    let how = format!("it listened on no port within {} s", READY_WITHIN.as_secs());
                    self.ended(&how).await;
                }
            }
            State::Running { process } => {
                let listening = procfs::listening(process.pid());
                self.state = State::Running { process };
                if listening.is_empty() {
                    self.view.listening.clear();
                    self.show(PotStatus::Failed, "it runs but listens on no port");
                } else {
                    self.view.listening = listening;
                    self.show(PotStatus::Running, "");
                }
            }
            State::Waiting { .. } => self.start(),
            State::Stopped => {}
        }
    }

    fn ready(&mut self, listening: Vec<SocketAddr>) {
        info!(pot_id = %self.view.pot_id, pot_type = %self.view.pot_type, ?listening, "pot is running");
        self.view.listening = listening;
        self.show(PotStatus::Running, "");
        for reply in self.waiting.drain(..) {
            let _ = reply.send(Ok(()));
        }
    }

    async fn ended(&mut self, how: &str) {
        let ran = match &mut self.state {
            State::Starting { process, .. } | State::Running { process } => {
                let ran = process.ran();
                // Whatever the process started must not outlive it and hold its port.
                let _ = process.kill().await;
                process.output_kept(OUTPUT_PATIENCE).await;
                ran
            }
            State::Stopped | State::Waiting { .. } => Duration::ZERO,
        };
        self.gone();
        match self.policy.ended(u64::try_from(ran.as_millis()).unwrap_or(u64::MAX)) {
            Decision::After(delay_ms) => {
                warn!(pot_id = %self.view.pot_id, %how, delay_ms, "pot ended; starting it again");
                self.state = State::Waiting { until: Instant::now() + Duration::from_millis(delay_ms) };
                self.view.restarts = self.policy.restarts();
                self.fail(&format!("{how}; starting it again in {delay_ms} ms{}", self.last_words()));
            }
            Decision::GiveUp => {
                warn!(pot_id = %self.view.pot_id, %how, "pot keeps ending; giving up");
                self.state = State::Stopped;
                self.fail(&format!(
                    "{how}, several times in a row; it is left alone until it is started again{}",
                    self.last_words()
                ));
            }
        }
    }

    async fn stop_process(&mut self) {
        if let State::Starting { mut process, .. } | State::Running { mut process } =
            std::mem::replace(&mut self.state, State::Stopped)
            && let Err(error) = process.stop(self.grace).await
        {
            warn!(pot_id = %self.view.pot_id, %error, "cannot stop a pot cleanly");
        }
        self.gone();
        for reply in self.waiting.drain(..) {
            let _ = reply.send(Err("it was stopped before it was ready".into()));
        }
    }

    fn gone(&mut self) {
        self.view.pid = None;
        self.view.listening.clear();
    }

    fn fail(&mut self, why: &str) {
        self.show(PotStatus::Failed, why);
        for reply in self.waiting.drain(..) {
            let _ = reply.send(Err(why.to_owned()));
        }
    }

    /// The pot's last line of output: most often the reason why it ended.
    fn last_words(&self) -> String {
        let tail = crate::rotating_file::tail(&self.launch.log, 2048).unwrap_or_default();
        let text = String::from_utf8_lossy(&tail);
        match text.lines().rev().find(|line| !line.trim().is_empty()) {
            Some(line) => format!("; its last output: {}", bee_daemon::escape::untrusted(line)),
            None => String::new(),
        }
    }

    fn show(&mut self, status: PotStatus, message: &str) {
        self.view.status = status;
        message.clone_into(&mut self.view.message);
        self.board.set(self.view.clone());
    }
}
