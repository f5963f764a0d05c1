//! One running pot process: its start, its output, its end.
//!
//! The child leads a process group of its own, so that whatever it starts ends with it. Its standard input is a pipe
//! whose other end only this process holds: when the node dies without a word, the trap reads the end of the pipe and
//! leaves, and its port is free for the next start. Output goes to a capped file and never to the node's own.

use std::{
    collections::BTreeMap,
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::AsyncReadExt,
    net::unix::pipe,
    process::{Child, ChildStdin, Command},
    task::JoinHandle,
};
use tracing::debug;

use crate::{limits::POT_LOG_BYTES_MAX, pots::procfs, rotating_file::RotatingFile};

/// How often a stopping group is looked at.
const GROUP_POLL: Duration = Duration::from_millis(20);

/// What to start.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its whole environment: nothing is inherited.
    pub env: BTreeMap<String, String>,
    /// Its working directory.
    pub dir: PathBuf,
    /// Where its output is kept.
    pub log: PathBuf,
}

/// A started pot process.
#[derive(Debug)]
pub(super) struct PotProcess {
    child: Child,
    pgid: u32,
    started: Instant,
    output: JoinHandle<()>,
    _stdin: Option<ChildStdin>,
}

impl PotProcess {
    /// Starts `launch`.
    pub(super) fn start(launch: &Launch) -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        let output = keep_output(reader, &launch.log)?;
        let mut child = Command::new(&launch.program)
            .args(&launch.args)
            .env_clear()
            .envs(&launch.env)
            .current_dir(&launch.dir)
            .stdin(Stdio::piped())
            .stdout(writer.try_clone()?)
            .stderr(writer)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let pgid = child.id().ok_or_else(|| io::Error::other("the process ended before it had a number"))?;
        Ok(Self { _stdin: child.stdin.take(), child, output, pgid, started: Instant::now() })
    }

    /// The process id, which is also that of its group.
    pub(super) fn pid(&self) -> u32 {
        self.pgid
    }

    /// Time since the start.
    pub(super) fn ran(&self) -> Duration {
        self.started.elapsed()
    }

    /// Waits until the first process of the group ended. Cancel-safe.
    pub(super) async fn ended(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Ends the whole group: SIGTERM, then SIGKILL for what is left after `grace`.
    pub(super) async fn stop(&mut self, grace: Duration) -> io::Result<()> {
        self.signal(Signal::TERM);
        let deadline = tokio::time::Instant::now() + grace;
        let left = tokio::time::timeout_at(deadline, async {
            let _ = self.child.wait().await;
            while procfs::group_is_alive(self.pgid) {
                tokio::time::sleep(GROUP_POLL).await;
            }
        })
        .await
        .is_err();
        if left {
            debug!(pid = self.pgid, "a pot did not end in time; killing its group");
        }
        self.kill().await
    }

    /// Ends the whole group at once.
    pub(super) async fn kill(&mut self) -> io::Result<()> {
        self.signal(Signal::KILL);
        self.child.wait().await.map(drop)
    }

    /// Waits until the output of an ended group is in its log file, at most `patience`.
    pub(super) async fn output_kept(&mut self, patience: Duration) {
        let _ = tokio::time::timeout(patience, &mut self.output).await;
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = i32::try_from(self.pgid).ok().and_then(Pid::from_raw) {
            // The group may be gone already, which is what was wanted.
            let _ = kill_process_group(pid, signal);
        }
    }
}

impl Drop for PotProcess {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// Copies a pot's output to its log file until every process that holds the pipe is gone.
fn keep_output(reader: io::PipeReader, log: &Path) -> io::Result<JoinHandle<()>> {
    let mut reader = pipe::Receiver::from_owned_fd(OwnedFd::from(reader))?;
    let mut file = RotatingFile::open(log, POT_LOG_BYTES_MAX)?;
    Ok(tokio::spawn(async move {
        let mut buffer = [0_u8; 2048];
        while let Ok(len @ 1..) = reader.read(&mut buffer).await {
            file.write(buffer.get(..len).unwrap_or_default());
        }
    }))
}

/// The path of a pot's output under its directory.
pub fn log_path(pot_dir: &Path) -> PathBuf {
    pot_dir.join("log").join("output.log")
}
