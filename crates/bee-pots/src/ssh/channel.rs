//! One channel of an SSH connection: what it is used for, and what to send when the client says something.
//!
//! The five uses (shell or command, SFTP, scp both ways, tunnel) answer in one form, [`Outcome`], which the handler sends.

use serde_json::json;

use super::sftp::Sftp;
use crate::limits::TUNNEL_DATA_MAX;
use crate::session::{Session, text};
use crate::shell::Window;
use crate::shell::limits::INPUT_BYTES_MAX;
use crate::shell::scp::{self, Sink, Source};
use crate::terminal::{Output, Terminal};

/// A channel.
pub(super) struct Open {
    pub(super) work: Work,
    /// The terminal that was asked for, before the shell or command.
    pub(super) pty: Option<(Window, String)>,
    /// Output that waits for the client to read, in bytes.
    pub(super) unread: usize,
    /// Bytes the client sent that may still be held, at most what a console holds.
    pub(super) typed: u64,
}

/// What a channel is used for.
pub(super) enum Work {
    /// Opened, nothing asked yet.
    Idle,
    /// A shell or one command.
    Terminal(Box<Terminal>),
    /// The SFTP subsystem.
    Sftp(Box<Sftp>),
    /// An upload with the old scp protocol.
    ScpSink(Box<Sink>),
    /// A download with the old scp protocol.
    ScpSource(Box<Source>),
    /// A tunnel to nowhere.
    Tunnel(Tunnel),
}

/// A direct-tcpip channel: recorded, answered from here, connected nowhere.
pub(super) struct Tunnel {
    /// Which tunnel of the connection, from 0.
    pub(super) number: usize,
    /// Host that the client asked for.
    pub(super) host: String,
    /// Port that the client asked for.
    pub(super) port: u32,
    /// Bytes shown in events so far.
    pub(super) recorded: usize,
}

/// What the handler does after a step of a channel.
#[derive(Default)]
pub(super) struct Outcome {
    /// For standard output and standard error.
    pub(super) output: Output,
    /// Files were completed: report them.
    pub(super) files: bool,
    /// The channel is over without an exit status.
    pub(super) close: bool,
}

impl Open {
    pub(super) fn new(work: Work) -> Self {
        Self { work, pty: None, unread: 0, typed: 0 }
    }

    /// Bytes from the client.
    pub(super) fn input(&mut self, bytes: &[u8], session: &Session) -> Outcome {
        self.typed = (self.typed + bytes.len() as u64).min(INPUT_BYTES_MAX as u64);
        match &mut self.work {
            Work::Idle => Outcome::default(),
            Work::Terminal(terminal) => terminal.input(bytes).into(),
            Work::ScpSink(sink) => sink.input(bytes).into(),
            Work::ScpSource(source) => source.input(bytes).into(),
            Work::Tunnel(tunnel) => tunnel.input(bytes, session),
            Work::Sftp(sftp) => {
                let step = sftp.input(bytes);
                for path in step.read {
                    session.event("session.file_read", json!({ "path": path, "tool": "sftp" }));
                }
                let output = Output { stdout: step.reply, ..Output::default() };
                Outcome { output, files: step.closed_written, close: step.broken }
            }
        }
    }

    /// The client will send no more on this channel.
    pub(super) fn eof(&mut self) -> Outcome {
        match &mut self.work {
            Work::Idle => Outcome::default(),
            Work::Terminal(terminal) => terminal.eof().into(),
            Work::ScpSink(sink) => sink.eof().into(),
            Work::ScpSource(source) => source.eof().into(),
            Work::Sftp(_) => Output { exit: Some(0), ..Output::default() }.into(),
            Work::Tunnel(_) => Outcome { close: true, ..Outcome::default() },
        }
    }
}

impl Tunnel {
    /// Records what the client sends and hangs up after the first of it, as a proxy or mail relay does with a stranger.
    fn input(&mut self, bytes: &[u8], session: &Session) -> Outcome {
        let shown = bytes.get(..TUNNEL_DATA_MAX.saturating_sub(self.recorded)).unwrap_or(bytes);
        self.recorded += shown.len();
        if !shown.is_empty() {
            let (host, port, id) = (&self.host, self.port, self.number);
            session.event(
                "direct-tcpip.data",
                json!({ "dst_ip": host, "dst_port": port, "id": id, "data": text(shown), "size": bytes.len() }),
            );
        }
        let asks_http = [&b"GET "[..], b"POST ", b"HEAD "].iter().any(|method| bytes.starts_with(method));
        let reply: &[u8] = if asks_http {
            b"HTTP/1.1 403 Forbidden\r\nServer: nginx\r\nContent-Type: text/html\r\nContent-Length: 146\r\nConnection: close\r\n\r\n<html>\r\n<head><title>403 Forbidden</title></head>\r\n<body>\r\n<center><h1>403 Forbidden</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
        } else if self.is_mail() {
            b"421 4.7.0 Try again later, closing connection.\r\n"
        } else {
            b""
        };
        let output = Output { stdout: reply.to_vec(), ..Output::default() };
        Outcome { output, close: true, ..Outcome::default() }
    }

    /// Whether the far end would be the first to speak.
    pub(super) fn is_mail(&self) -> bool {
        matches!(self.port, 25 | 587)
    }
}

impl From<Output> for Outcome {
    fn from(output: Output) -> Self {
        Self { output, ..Self::default() }
    }
}

impl From<scp::Step> for Outcome {
    fn from(step: scp::Step) -> Self {
        let output = Output { stdout: step.reply, exit: step.exit, ..Output::default() };
        Self { output, files: !step.files.is_empty(), close: false }
    }
}
