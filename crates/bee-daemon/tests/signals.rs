//! Signals as a service manager and an impatient operator send them, to a real process.

#![expect(
    clippy::unwrap_used,
    reason = "helpers outside #[test] functions: a step that fails is a test that fails"
)]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use bee_daemon::shutdown::{Drained, Shutdown};
use rustix::process::{Pid, Signal, kill_process};

const CHILD: &str = "BEE_DAEMON_TEST_CHILD";

/// The child: this same test binary, told by a variable to be a daemon that drains for ever
/// (`stuck`) or at once (`quick`). Without the variable it has nothing to do.
#[test]
fn daemon_process() {
    let Ok(kind) = std::env::var(CHILD) else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let shutdown = Shutdown::with_signals().unwrap();
        let token = shutdown.token();
        shutdown.spawn(async move {
            token.cancelled().await;
            if kind == "stuck" {
                std::future::pending::<()>().await;
            }
        });
        println!("\nready");
        shutdown.started().await;
        println!("\nstopping: {}", shutdown.reason().unwrap());
        let drained = shutdown.finish(Duration::from_secs(60)).await;
        std::process::exit(if drained == Drained::Clean { 7 } else { 8 });
    });
}

#[test]
fn the_first_signal_drains_and_the_daemon_ends_its_own_way() {
    for (signal, name) in [(Signal::TERM, "SIGTERM"), (Signal::INT, "SIGINT")] {
        let (mut child, mut lines) = start("quick");
        send(&child, signal);
        wait_for(&mut lines, &format!("stopping: {name}"));
        assert_eq!(child.wait().unwrap().code(), Some(7));
    }
}

#[test]
fn a_second_signal_leaves_at_once_while_tasks_still_run() {
    for (second, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let (mut child, mut lines) = start("stuck");
        send(&child, Signal::TERM);
        wait_for(&mut lines, "stopping: SIGTERM");
        send(&child, second);
        assert_eq!(child.wait().unwrap().code(), Some(code));
    }
}

fn start(kind: &str) -> (Child, BufReader<ChildStdout>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "daemon_process", "--nocapture"])
        .env(CHILD, kind)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    wait_for(&mut lines, "ready");
    (child, lines)
}

fn wait_for(lines: &mut BufReader<ChildStdout>, wanted: &str) {
    let mut seen = String::new();
    while seen.trim_end() != wanted {
        seen.clear();
        // The child ends by itself after its grace period, so this cannot wait for ever.
        assert_ne!(lines.read_line(&mut seen).unwrap(), 0, "the child ended before {wanted:?}");
    }
}

fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}
