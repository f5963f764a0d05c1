//! What a client may do once it speaks SSH: try logins, open channels, run shells, commands, transfers and tunnels.
//!
//! russh calls in here for each message. Nothing is ever connected: tunnels are accepted, recorded and answered from here.
//! Everything a client can make grow is bounded: channels, tunnels, variables, unread output, files in memory.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use russh::keys::ssh_key::public::KeyData;
use russh::keys::{HashAlg, PublicKey};
use russh::server::{Auth, ChannelOpenHandle, Handle, Handler, Msg, PublicKeyOffer, Session as Wire};
use russh::{Channel, ChannelId, ChannelOpenFailure, Disconnect, Pty};
use serde_json::json;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::Service;
use super::channel::{Open, Outcome, Tunnel, Work};
use super::sftp::Sftp;
use crate::limits::{SSH_CHANNELS_MAX, SSH_ENV_MAX, SSH_TUNNELS_MAX, UNREAD_OUTPUT_MAX};
use crate::session::{Session, text};
use crate::shell::scp::{Request, Sink, Source};
use crate::shell::{Login, Window};
use crate::terminal::{self, Files, Terminal, now_ms};

/// Keys recorded for one connection.
const KEYS_MAX: u32 = 32;

/// One connection's handler.
pub(super) struct SshHandler {
    session: Session,
    service: Arc<Service>,
    local: SocketAddr,
    stop: CancellationToken,
    logged_in: Arc<AtomicBool>,
    /// Set as soon as russh runs the session; used to say goodbye.
    control: Arc<OnceLock<Handle>>,
    user: String,
    failures: u32,
    keys: u32,
    tunnels: usize,
    variables: usize,
    files: Files,
    channels: HashMap<ChannelId, Open>,
}

impl SshHandler {
    pub(super) fn new(
        session: Session,
        service: Arc<Service>,
        local: SocketAddr,
        stop: CancellationToken,
        logged_in: Arc<AtomicBool>,
    ) -> Self {
        let files = service.machine.files();
        Self {
            session,
            service,
            local,
            stop,
            logged_in,
            control: Arc::default(),
            user: String::new(),
            failures: 0,
            keys: 0,
            tunnels: 0,
            variables: 0,
            files,
            channels: HashMap::new(),
        }
    }

    /// Where the caller puts russh's handle once there is one.
    pub(super) fn control(&self) -> Arc<OnceLock<Handle>> {
        Arc::clone(&self.control)
    }

    /// Counts a refused attempt; ends the connection, in OpenSSH's words, when it was the last one allowed.
    async fn refuse(&mut self) -> Auth {
        self.failures += 1;
        if self.failures >= self.service.config.auth_attempts_max
            && let Some(control) = self.control.get()
        {
            // The session may be gone already; then there is nobody to say goodbye to.
            let _ = control
                .disconnect(
                    Disconnect::ProtocolError,
                    "Too many authentication failures".into(),
                    String::new(),
                )
                .await;
        }
        // The whole list again: russh otherwise strikes out the method that was tried, which OpenSSH does not.
        Auth::Reject {
            proceed_with_methods: Some(self.service.russh.methods.clone()),
            partial_success: false,
        }
    }

    fn login(&self) -> Login {
        Login {
            user: self.user.clone(),
            client_ip: self.session.source().ip().to_canonical(),
            client_port: self.session.source().port(),
            server_ip: self.local.ip().to_canonical(),
            server_port: self.local.port(),
            at_ms: now_ms(),
            ssh: true,
        }
    }

    /// Whether a channel is there and not used yet.
    fn is_idle(&self, id: ChannelId) -> bool {
        self.channels.get(&id).is_some_and(|channel| matches!(channel.work, Work::Idle))
    }

    /// Gives a channel its use.
    fn set(&mut self, id: ChannelId, work: Work) {
        if let Some(channel) = self.channels.get_mut(&id) {
            channel.work = work;
        }
    }

    /// Starts a shell or command on a channel that has none yet.
    async fn open(
        &mut self,
        id: ChannelId,
        command: Option<&[u8]>,
        wire: &mut Wire,
    ) -> Result<(), russh::Error> {
        if !self.is_idle(id) {
            return wire.channel_failure(id);
        }
        wire.channel_success(id)?;
        let line = command.map(text).unwrap_or_default();
        if let Some(request) = Request::parse(&line) {
            let first = self.open_scp(id, &line, request);
            return self.show(id, first, wire).await;
        }
        let pty = self.channels.get(&id).and_then(|channel| channel.pty.clone());
        let pty = pty.as_ref().map(|(window, term)| (*window, term.as_str()));
        let open = match (command, pty) {
            (Some(command), pty) => terminal::Open::Exec(command, pty),
            (None, Some((window, term))) => terminal::Open::Terminal(window, term),
            (None, None) => terminal::Open::Piped,
        };
        let (terminal, output) =
            Terminal::open(self.session.clone(), &self.service.machine, &self.files, &self.login(), open);
        self.set(id, Work::Terminal(Box::new(terminal)));
        self.show(id, output.into(), wire).await
    }

    /// Starts the remote side of `scp`.
    fn open_scp(&mut self, id: ChannelId, line: &str, request: Request) -> Outcome {
        self.session.event("command.input", json!({ "input": line }));
        let machine = &self.service.machine;
        let (vfs, cred, home) = (self.files.vfs(), machine.cred(&self.user), machine.home(&self.user));
        match request {
            Request::Sink(path) => {
                let sink = Sink::new(vfs.clone(), cred, &home, &path);
                let first = sink.start();
                self.set(id, Work::ScpSink(Box::new(sink)));
                first.into()
            }
            Request::Source(path) => {
                self.session.event("session.file_read", json!({ "path": path, "tool": "scp" }));
                let source = Source::new(vfs, cred, &home, &path);
                self.set(id, Work::ScpSource(Box::new(source)));
                Outcome::default()
            }
        }
    }

    /// Sends what a step of a channel led to, after the time a real machine would have taken.
    async fn show(&mut self, id: ChannelId, outcome: Outcome, wire: &mut Wire) -> Result<(), russh::Error> {
        let Outcome { output, files, close } = outcome;
        if output.delay_ms > 0 {
            let _ = timeout(Duration::from_millis(output.delay_ms), self.stop.cancelled()).await;
        }
        if files {
            self.files.report_written(&self.session);
        }
        self.count_unread(id, output.stdout.len() + output.stderr.len(), wire)?;
        if !output.stderr.is_empty() {
            wire.extended_data(id, 1, output.stderr)?;
        }
        if !output.stdout.is_empty() {
            wire.data(id, output.stdout)?;
        }
        if let Some(code) = output.exit {
            wire.exit_status_request(id, u32::try_from(code & 0xff).unwrap_or_default())?;
        }
        if close || output.exit.is_some() {
            self.channels.remove(&id);
            wire.eof(id)?;
            wire.close(id)?;
        }
        let typed = self.channels.values().map(|channel| channel.typed).sum();
        if self.files.within_budget(typed) {
            Ok(())
        } else {
            wire.disconnect(Disconnect::ByApplication, "", "")
        }
    }

    /// Counts output that a client leaves unread, and ends its connection when that is too much.
    fn count_unread(&mut self, id: ChannelId, bytes: usize, wire: &mut Wire) -> Result<(), russh::Error> {
        let Some(channel) = self.channels.get_mut(&id) else { return Ok(()) };
        channel.unread = if wire.has_pending_data(id) { channel.unread + bytes } else { bytes };
        if channel.unread > UNREAD_OUTPUT_MAX {
            wire.disconnect(Disconnect::ByApplication, "", "")
        } else {
            Ok(())
        }
    }

    fn record_key(&mut self, user: &str, key: &PublicKey) {
        self.keys += 1;
        if self.keys > KEYS_MAX {
            return;
        }
        let md5 = key
            .to_bytes()
            .map(|blob| md5::compute(blob).0.map(|b| format!("{b:02x}")).join(":"))
            .unwrap_or_default();
        let members = json!({
            "username": user,
            "fingerprint": md5,
            "fingerprint_sha256": key.fingerprint(HashAlg::Sha256).to_string(),
            "key": key.to_openssh().unwrap_or_default(),
            "type": key.algorithm().to_string(),
            "bits": bits(key.key_data()),
        });
        self.session.event("client.fingerprint", members.clone());
        self.session.event("login.failed", members);
    }
}

impl Handler for SshHandler {
    type Error = russh::Error;

    async fn auth_password(&mut self, user: &str, password: &str) -> Result<Auth, Self::Error> {
        let admitted = self.service.gate.admit(self.session.source().ip(), user, password);
        let event = if admitted { "login.success" } else { "login.failed" };
        self.session.event(event, json!({ "username": user, "password": password }));
        if admitted {
            user.clone_into(&mut self.user);
            self.logged_in.store(true, Ordering::Relaxed);
            return Ok(Auth::Accept);
        }
        let _ =
            timeout(Duration::from_millis(self.service.config.auth_delay_ms), self.stop.cancelled()).await;
        Ok(self.refuse().await)
    }

    async fn auth_publickey_offered(
        &mut self,
        user: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, Self::Error> {
        self.record_key(user, offer.public_key);
        Ok(self.refuse().await)
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _wire: &mut Wire,
    ) -> Result<(), Self::Error> {
        if self.channels.len() >= SSH_CHANNELS_MAX {
            reply.reject(ChannelOpenFailure::ConnectFailed).await;
            return Ok(());
        }
        self.channels.insert(channel.id(), Open::new(Work::Idle));
        reply.accept().await;
        Ok(())
    }

    async fn channel_open_direct_tcpip(
        &mut self,
        channel: Channel<Msg>,
        host: &str,
        port: u32,
        origin: &str,
        origin_port: u32,
        reply: ChannelOpenHandle,
        _wire: &mut Wire,
    ) -> Result<(), Self::Error> {
        self.tunnels += 1;
        if self.tunnels <= SSH_TUNNELS_MAX {
            // As Cowrie: in tunnel events dst_ip and dst_port are the tunnel's target.
            self.session.event(
                "direct-tcpip.request",
                json!({ "dst_ip": host, "dst_port": port, "orig_ip": origin, "orig_port": origin_port }),
            );
        }
        if self.tunnels > SSH_TUNNELS_MAX || self.channels.len() >= SSH_CHANNELS_MAX {
            reply.reject(ChannelOpenFailure::ConnectFailed).await;
            return Ok(());
        }
        let tunnel = Tunnel { number: self.tunnels - 1, host: host.to_owned(), port, recorded: 0 };
        let greets = tunnel.is_mail();
        self.channels.insert(channel.id(), Open::new(Work::Tunnel(tunnel)));
        reply.accept().await;
        if greets && let Some(control) = self.control.get() {
            // Through the queue, because the channel exists for russh only after this call. Full or gone: no greeting.
            let greeting: &'static [u8] = b"220 mx1.mail.local ESMTP Postfix\r\n";
            let _ = timeout(Duration::from_millis(100), control.data(channel.id(), greeting)).await;
        }
        Ok(())
    }

    async fn channel_open_direct_streamlocal(
        &mut self,
        _channel: Channel<Msg>,
        path: &str,
        reply: ChannelOpenHandle,
        _wire: &mut Wire,
    ) -> Result<(), Self::Error> {
        self.tunnels += 1;
        if self.tunnels <= SSH_TUNNELS_MAX {
            self.session.event("direct-streamlocal.request", json!({ "path": path }));
        }
        reply.reject(ChannelOpenFailure::ConnectFailed).await;
        Ok(())
    }

    async fn channel_open_x11(
        &mut self,
        _c: Channel<Msg>,
        _origin: &str,
        _port: u32,
        reply: ChannelOpenHandle,
        _wire: &mut Wire,
    ) -> Result<(), Self::Error> {
        reply.reject(ChannelOpenFailure::AdministrativelyProhibited).await;
        Ok(())
    }

    async fn channel_open_forwarded_tcpip(
        &mut self,
        _channel: Channel<Msg>,
        _host: &str,
        _port: u32,
        _origin: &str,
        _origin_port: u32,
        reply: ChannelOpenHandle,
        _wire: &mut Wire,
    ) -> Result<(), Self::Error> {
        // Only servers open these; a client that does is testing.
        reply.reject(ChannelOpenFailure::AdministrativelyProhibited).await;
        Ok(())
    }

    async fn tcpip_forward(
        &mut self,
        address: &str,
        port: &mut u32,
        _wire: &mut Wire,
    ) -> Result<bool, Self::Error> {
        self.tunnels += 1;
        if self.tunnels > SSH_TUNNELS_MAX {
            return Ok(false);
        }
        self.session.event("tcpip-forward.request", json!({ "bind_ip": address, "bind_port": *port }));
        if *port == 0 {
            // The port that a kernel would have picked; nothing listens on it.
            *port = 32_768 + u32::from(rand::random::<u16>()) % 28_000;
        }
        Ok(true)
    }

    async fn cancel_tcpip_forward(
        &mut self,
        _address: &str,
        _port: u32,
        _wire: &mut Wire,
    ) -> Result<bool, Self::Error> {
        Ok(true)
    }

    async fn pty_request(
        &mut self,
        id: ChannelId,
        term: &str,
        columns: u32,
        rows: u32,
        _pixels_wide: u32,
        _pixels_high: u32,
        _modes: &[(Pty, u32)],
        wire: &mut Wire,
    ) -> Result<(), Self::Error> {
        if !self.is_idle(id) {
            return wire.channel_failure(id);
        }
        self.session.event("client.size", json!({ "width": columns, "height": rows }));
        let window = Window {
            columns: if columns == 0 { 80 } else { columns.min(1000) },
            rows: if rows == 0 { 24 } else { rows.min(1000) },
        };
        if let Some(channel) = self.channels.get_mut(&id) {
            channel.pty = Some((window, term.chars().take(64).collect()));
        }
        wire.channel_success(id)
    }

    async fn env_request(
        &mut self,
        id: ChannelId,
        name: &str,
        value: &str,
        wire: &mut Wire,
    ) -> Result<(), Self::Error> {
        self.variables += 1;
        if self.variables <= SSH_ENV_MAX {
            self.session.event("client.var", json!({ "name": name, "value": value }));
        }
        // AcceptEnv LANG LC_*, as Debian's sshd_config has it.
        if name == "LANG" || name.starts_with("LC_") {
            wire.channel_success(id)
        } else {
            wire.channel_failure(id)
        }
    }

    async fn shell_request(&mut self, id: ChannelId, wire: &mut Wire) -> Result<(), Self::Error> {
        self.open(id, None, wire).await
    }

    async fn exec_request(
        &mut self,
        id: ChannelId,
        command: &[u8],
        wire: &mut Wire,
    ) -> Result<(), Self::Error> {
        self.open(id, Some(command), wire).await
    }

    async fn subsystem_request(
        &mut self,
        id: ChannelId,
        name: &str,
        wire: &mut Wire,
    ) -> Result<(), Self::Error> {
        self.session.event("client.subsystem", json!({ "name": name }));
        if name != "sftp" || !self.is_idle(id) {
            return wire.channel_failure(id);
        }
        wire.channel_success(id)?;
        let machine = &self.service.machine;
        let sftp = Sftp::new(self.files.vfs().clone(), machine.cred(&self.user), machine.home(&self.user));
        self.set(id, Work::Sftp(Box::new(sftp)));
        Ok(())
    }

    async fn x11_request(
        &mut self,
        id: ChannelId,
        _single: bool,
        _protocol: &str,
        _cookie: &str,
        _screen: u32,
        wire: &mut Wire,
    ) -> Result<(), Self::Error> {
        wire.channel_failure(id)
    }

    async fn window_change_request(
        &mut self,
        id: ChannelId,
        columns: u32,
        rows: u32,
        _wide: u32,
        _high: u32,
        _wire: &mut Wire,
    ) -> Result<(), Self::Error> {
        if let Some(Open { work: Work::Terminal(terminal), .. }) = self.channels.get_mut(&id) {
            terminal.resize(Window { columns: columns.clamp(1, 1000), rows: rows.clamp(1, 1000) });
        }
        Ok(())
    }

    async fn data(&mut self, id: ChannelId, data: &[u8], wire: &mut Wire) -> Result<(), Self::Error> {
        let Some(channel) = self.channels.get_mut(&id) else { return Ok(()) };
        let outcome = channel.input(data, &self.session);
        self.show(id, outcome, wire).await
    }

    async fn channel_eof(&mut self, id: ChannelId, wire: &mut Wire) -> Result<(), Self::Error> {
        let Some(channel) = self.channels.get_mut(&id) else { return Ok(()) };
        let outcome = channel.eof();
        self.show(id, outcome, wire).await
    }

    async fn channel_close(&mut self, id: ChannelId, _wire: &mut Wire) -> Result<(), Self::Error> {
        self.channels.remove(&id);
        self.files.report_written(&self.session);
        Ok(())
    }
}

impl Drop for SshHandler {
    fn drop(&mut self) {
        // Consoles first: they report what they wrote; then what SFTP left open.
        self.channels.clear();
        self.files.report_written(&self.session);
    }
}

/// Size of a key in bits, 0 when it is of another kind.
fn bits(key: &KeyData) -> usize {
    match key {
        KeyData::Ed25519(_) => 256,
        KeyData::Ecdsa(key) => match key.curve() {
            russh::keys::EcdsaCurve::NistP256 => 256,
            russh::keys::EcdsaCurve::NistP384 => 384,
            russh::keys::EcdsaCurve::NistP521 => 521,
        },
        KeyData::Rsa(key) => key.key_size() as usize,
        _ => 0,
    }
}
