//! The Telnet trap: a login prompt on a small device, then the fake system's shell.
//!
//! It offers options as BusyBox's telnetd does and waits for no answer: Mirai and hydra send none. A login whose name is
//! plainly another protocol's probe (nmap's `GET / HTTP/1.0`, a TLS hello) is recorded as that and never let in.

pub mod iac;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::artifacts::Artifacts;
use crate::auth::Gate;
use crate::config::{ConfigError, TelnetConfig};
use crate::limits::{TELNET_LINE_MAX, TELNET_LOGIN_GRACE, TELNET_OPTIONS_MAX};
use crate::listener::{self, Accept, Connection, SessionLimits};
use crate::persona::Family;
use crate::run::PotError;
use crate::session::{Session, text};
use crate::shell::{Login, Window};
use crate::terminal::{Machine, Open, Output, Terminal, now_ms};
use iac::{Decoder, Item, NAWS};

/// DO ECHO, DO NAWS, WILL ECHO, WILL SGA: what BusyBox's telnetd opens with.
const OFFER: &[u8] = &[255, 253, 1, 255, 253, NAWS, 255, 251, 1, 255, 251, 3];
/// Bytes read at once.
const READ_BYTES: usize = 4096;

/// Everything that the sessions of this trap share.
#[derive(Debug)]
pub(crate) struct Service {
    config: TelnetConfig,
    gate: Gate,
    machine: Arc<Machine>,
    issue: String,
}

impl Service {
    pub(crate) fn new(config: TelnetConfig, pot_id: &str, dir: &Path) -> Result<Self, PotError> {
        let gate = Gate::new(&config.auth).map_err(|reason| ConfigError { kind: "telnet", reason })?;
        let artifacts = Artifacts::open(dir, config.artifact_bytes_max, config.artifacts_bytes_max)
            .map_err(|cause| PotError::Dir { dir: dir.join("artifacts"), cause })?;
        let seed = if config.seed.is_empty() { pot_id } else { &config.seed };
        let machine = Machine::new(Family::Device, seed, &config.hostname, artifacts);
        let issue =
            if config.banner.is_empty() { String::new() } else { format!("{}\n", config.banner.trim_end()) };
        Ok(Self { config, gate, machine, issue })
    }

    fn prompt(&self) -> String {
        format!("{} login: ", self.machine.system.persona().hostname)
    }
}

/// Serves until the trap stops.
pub(crate) async fn serve(accept: Accept, service: Arc<Service>) {
    let limits = SessionLimits {
        sessions_max: service.config.sessions_max,
        source_sessions_max: service.config.source_sessions_max,
        session_max: Duration::from_secs(service.config.session_secs_max),
    };
    listener::accept(accept, limits, move |connection| session(connection, Arc::clone(&service))).await;
}

async fn session(connection: Connection, service: Arc<Service>) {
    let Connection { stream, source, local, emitter, stop, background } = connection;
    let session = Session::open(emitter, "cowrie", "telnet", source, local, background);
    let login = Login {
        user: String::new(),
        client_ip: source.ip().to_canonical(),
        client_port: source.port(),
        server_ip: local.ip().to_canonical(),
        server_port: local.port(),
        at_ms: now_ms(),
        ssh: false,
    };
    let mut client = Client {
        stream,
        session,
        decoder: Decoder::default(),
        options: 0,
        window: Window::default(),
        idle: Duration::from_secs(service.config.idle_secs_max),
        typed: Vec::new(),
    };
    tokio::select! {
        () = stop.cancelled() => {}
        // Ends when the client goes, is thrown out or logs out; none of these is an error of ours.
        _ = talk(&mut client, &service, login, &stop) => {}
    }
}

/// One client: its socket and what it has sent and not yet been used.
struct Client {
    stream: TcpStream,
    session: Session,
    decoder: Decoder,
    options: usize,
    window: Window,
    idle: Duration,
    /// Terminal bytes that were read and not used.
    typed: Vec<u8>,
}

/// What a read brought.
enum Read {
    /// Something, perhaps only options.
    Some,
    /// The client is gone or silent for too long.
    End,
}

async fn talk(
    client: &mut Client,
    service: &Service,
    mut login: Login,
    stop: &CancellationToken,
) -> io::Result<()> {
    client.stream.write_all(OFFER).await?;
    // BusyBox prints its line end through a terminal that adds another CR.
    client.say(format!("\r\r\n{}{}", service.issue, service.prompt()).as_bytes()).await?;
    let admitted = match timeout(TELNET_LOGIN_GRACE, log_in(client, service)).await {
        Ok(user) => user?,
        Err(_) => {
            client.say(b"\nLogin timed out after 60 seconds\n").await?;
            return Ok(());
        }
    };
    let Some(user) = admitted else { return Ok(()) };
    login.user = user;
    login.at_ms = now_ms();
    run_shell(client, service, &login, stop).await
}

/// Asks for name and password until one pair is let in (its user) or the client has had its tries (`None`).
async fn log_in(client: &mut Client, service: &Service) -> io::Result<Option<String>> {
    // A scanner's probe goes on over several lines: what follows its first is no login either.
    let mut probed = None;
    for attempt in 1..=service.config.auth_attempts_max {
        let Some(user) = client.line(true).await? else { return Ok(None) };
        if user.is_empty() && attempt < service.config.auth_attempts_max {
            client.say(service.prompt().as_bytes()).await?;
            continue;
        }
        client.say(b"Password: ").await?;
        let Some(password) = client.line(false).await? else {
            // The name alone is worth keeping: half of a probe's request often is all there is.
            probed = probed.or_else(|| probe(&user));
            let username = text(&user);
            client.session.event(
                "login.failed",
                json!({ "username": username, "password": null, "probe": probed, "incomplete": true }),
            );
            return Ok(None);
        };
        let (username, password_text) = (text(&user), text(&password));
        probed = probed.or_else(|| probe(&user)).or_else(|| probe(&password));
        let admitted =
            probed.is_none() && service.gate.admit(client.session.source().ip(), &username, &password_text);
        let members = json!({ "username": username, "password": password_text, "probe": probed });
        client.session.event(if admitted { "login.success" } else { "login.failed" }, members);
        if admitted {
            return Ok(Some(username));
        }
        tokio::time::sleep(Duration::from_millis(service.config.auth_delay_ms)).await;
        client.say(b"\nLogin incorrect\n").await?;
        if attempt < service.config.auth_attempts_max {
            client.say(service.prompt().as_bytes()).await?;
        }
    }
    Ok(None)
}

async fn run_shell(
    client: &mut Client,
    service: &Service,
    login: &Login,
    stop: &CancellationToken,
) -> io::Result<()> {
    let mut files = service.machine.files();
    let open = Open::Terminal(client.window, "vt102");
    let (mut terminal, output) =
        Terminal::open(client.session.clone(), &service.machine, &files, login, open);
    if !client.show(output, stop).await? {
        return Ok(());
    }
    let mut window = client.window;
    loop {
        if client.typed.is_empty() && matches!(client.read().await?, Read::End) {
            break;
        }
        if client.window != window {
            window = client.window;
            terminal.resize(window);
        }
        let typed = std::mem::take(&mut client.typed);
        let output = terminal.input(&typed);
        if !client.show(output, stop).await? || !files.within_budget(0) {
            break;
        }
    }
    Ok(())
}

impl Client {
    /// Reads once and sorts it into options and typed bytes.
    async fn read(&mut self) -> io::Result<Read> {
        let mut buffer = [0; READ_BYTES];
        let count = match timeout(self.idle, self.stream.read(&mut buffer)).await {
            Ok(Ok(0)) | Ok(Err(_)) | Err(_) => return Ok(Read::End),
            Ok(Ok(count)) => count,
        };
        let Self { decoder, session, options, window, typed, .. } = self;
        decoder.decode(buffer.get(..count).unwrap_or_default(), |item| match item {
            Item::Data(bytes) => typed.extend(bytes),
            Item::Option(verb, option) => {
                *options += 1;
                if *options <= TELNET_OPTIONS_MAX {
                    session.event("telnet.option", json!({ "command": iac::verb_name(verb), "option_name": iac::option_name(option), "option_byte": option }));
                }
            }
            Item::Sub(NAWS, bytes) => {
                if let Some((columns, rows)) = iac::window_size(&bytes).filter(|(c, r)| *c > 0 && *r > 0) {
                    *window = Window { columns: columns.into(), rows: rows.into() };
                    *options += 1;
                    if *options <= TELNET_OPTIONS_MAX {
                        session.event("client.size", json!({ "width": columns, "height": rows }));
                    }
                }
            }
            // Interrupt Process and Erase Character, as the keys that they stand for.
            Item::Command(244) => typed.push(3),
            Item::Command(247) => typed.push(127),
            Item::Sub(..) | Item::Command(_) => {}
        });
        Ok(Read::Some)
    }

    /// Reads a line at a login prompt, echoing if asked. `None` when the client is gone.
    async fn line(&mut self, echo: bool) -> io::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        loop {
            let mut shown = Vec::new();
            let mut taken = 0;
            let mut end = None;
            for &byte in &self.typed {
                taken += 1;
                match byte {
                    b'\r' => {
                        shown.extend(b"\r\n");
                        end = Some(true);
                    }
                    8 | 127 => {
                        let erased = line.pop().is_some();
                        shown.extend_from_slice(if erased && echo { b"\x08 \x08" } else { b"" });
                    }
                    // ^D on an empty line, ^C.
                    4 if line.is_empty() => end = Some(false),
                    3 => end = Some(false),
                    byte if line.len() < TELNET_LINE_MAX => {
                        line.push(byte);
                        match byte {
                            _ if !echo => {}
                            // As a terminal with ECHOCTL shows control characters.
                            0..0x20 => shown.extend([b'^', byte ^ 0x40]),
                            byte => shown.push(byte),
                        }
                    }
                    _ => {}
                }
                if end.is_some() {
                    break;
                }
            }
            self.typed.drain(..taken);
            if !shown.is_empty() {
                self.say(&shown).await?;
            }
            match end {
                Some(true) => return Ok(Some(line)),
                Some(false) => return Ok(None),
                None => {}
            }
            if matches!(self.read().await?, Read::End) {
                return Ok((!line.is_empty()).then_some(line));
            }
        }
    }

    async fn say(&mut self, text: &[u8]) -> io::Result<()> {
        // A client that does not read ends with the session's idle time, not with our memory.
        match timeout(self.idle, self.stream.write_all(&iac::encode(text))).await {
            Ok(written) => written,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// Sends a terminal's output; `false` when the shell is over.
    async fn show(&mut self, output: Output, stop: &CancellationToken) -> io::Result<bool> {
        if output.delay_ms > 0 {
            let _ = timeout(Duration::from_millis(output.delay_ms), stop.cancelled()).await;
        }
        self.say(&output.stdout).await?;
        Ok(output.exit.is_none())
    }
}

/// Which other protocol's first words these are, if any: such a "login" is a scanner finding out what listens here.
fn probe(line: &[u8]) -> Option<&'static str> {
    const WORDS: &[(&[u8], &str)] = &[
        (b"GET ", "http"),
        (b"POST ", "http"),
        (b"HEAD ", "http"),
        (b"OPTIONS ", "http-or-rtsp"),
        (b"CONNECT ", "http"),
        (b"SSH-", "ssh"),
        (b"EHLO", "smtp"),
        (b"HELO", "smtp"),
        (b"USER ", "ftp"),
        (b"TNMP", "tn3270"),
        (b"HELP", "help"),
        (b"\x16\x03", "tls"),
        (b"JRMI", "rmi"),
        (b"MGLNDD", "magellan"),
        (b"DmdT", "dmdt"),
        (b"stats", "memcached"),
    ];
    if let Some((_, name)) = WORDS.iter().find(|(word, _)| line.starts_with(word)) {
        return Some(name);
    }
    let odd = line.iter().filter(|b| **b < 0x20 || **b == 0x7f || **b >= 0x80).count();
    // Names in other scripts are UTF-8; raw binary is not.
    (odd > 0 && (std::str::from_utf8(line).is_err() || line.iter().any(|b| *b < 0x20 && *b != b'\t')))
        .then_some("binary")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_of_other_protocols_are_told_from_names() {
        for (line, expect) in [
            (&b"GET / HTTP/1.0"[..], Some("http")),
            (b"OPTIONS / RTSP/1.0", Some("http-or-rtsp")),
            (b"\x16\x03\x00\x00i\x01", Some("tls")),
            (b"\x00\x0c\x00\x00\x10", Some("binary")),
            (b"root", None),
            (b"Getty", None),
            ("админ".as_bytes(), None),
            (b"", None),
        ] {
            assert_eq!(probe(line), expect, "{line:?}");
        }
    }
}
