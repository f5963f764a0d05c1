//! Programs that run to their end: our CLI, and the attackers' tools.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::process;

/// Longest run of an attack tool; hydra and nmap take seconds.
const TOOL_WITHIN: Duration = Duration::from_secs(90);

/// What a program left behind.
#[derive(Debug)]
pub struct Finished {
    /// Its exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// What it printed.
    pub stdout: String,
    /// What it said beside.
    pub stderr: String,
}

impl Finished {
    /// Both outputs, for messages of assertions.
    pub fn all(&self) -> String {
        format!("exit {:?}\n--- stdout\n{}\n--- stderr\n{}", self.code, self.stdout, self.stderr)
    }

    /// The output, of a program that must have succeeded.
    pub fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{}", self.all());
        self.stdout
    }

    /// The output of a program that must have succeeded, as JSON.
    pub fn json(self) -> Value {
        let text = self.ok();
        serde_json::from_str(&text).unwrap_or_else(|cause| panic!("{cause} in {text}"))
    }

    /// Each line of its output as JSON.
    pub fn json_lines(self) -> Vec<Value> {
        self.ok().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// Runs `honeybee` on an installation.
pub async fn honeybee(data: &Path, args: &[&str]) -> Finished {
    let mut command = process::command("honeybee");
    command.arg("--data").arg(data).args(args);
    run(command, b"").await
}

/// Runs an attack tool in a folder of its own, with text on its stdin.
pub async fn tool(dir: &Path, program: &str, args: &[&str], stdin: &str) -> Finished {
    let mut command = Command::new(program);
    command.args(args).current_dir(dir);
    // Nothing of a person's own account: no agent, no known hosts, no keys.
    command.env("HOME", dir).env_remove("SSH_AUTH_SOCK").env("TERM", "xterm").env("LC_ALL", "C");
    run(command, stdin.as_bytes()).await
}

/// Runs an interactive tool: waits for each text on its stdout before the answer to it is typed. Gives its stdout.
pub async fn dialogue(dir: &Path, program: &str, args: &[&str], turns: &[(&str, &str)]) -> String {
    let mut command = tokio::process::Command::new(program);
    command.args(args).current_dir(dir).env("TERM", "xterm").kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap_or_else(|cause| panic!("cannot start {program}: {cause}"));
    let (mut input, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut heard = Vec::new();
    let talk = async {
        for (awaited, answer) in turns {
            let already = heard.len();
            while !String::from_utf8_lossy(&heard[already..]).contains(awaited) {
                if output.read_buf(&mut heard).await.unwrap() == 0 {
                    return Some(*awaited);
                }
            }
            input.write_all(answer.as_bytes()).await.unwrap();
        }
        output.read_to_end(&mut heard).await.unwrap();
        None
    };
    let ended = tokio::time::timeout(TOOL_WITHIN, talk).await;
    let heard = String::from_utf8_lossy(&heard).into_owned();
    match ended {
        Ok(None) => heard,
        Ok(Some(awaited)) => panic!("{program} ended before it said `{awaited}`; it said: {heard}"),
        Err(_) => panic!("{program} did not end within {TOOL_WITHIN:?}; it said: {heard}"),
    }
}

async fn run(command: Command, stdin: &[u8]) -> Finished {
    let shown = format!("{command:?}");
    let mut command = tokio::process::Command::from(command);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap_or_else(|cause| panic!("cannot start {shown}: {cause}"));
    let mut input = child.stdin.take().unwrap();
    let work = async {
        // A program may end without reading all of it.
        let _ = input.write_all(stdin).await;
        drop(input);
        child.wait_with_output().await.unwrap()
    };
    let output = tokio::time::timeout(TOOL_WITHIN, work).await;
    let output = output.unwrap_or_else(|_| panic!("{shown} did not end within {TOOL_WITHIN:?}"));
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Finished { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}
