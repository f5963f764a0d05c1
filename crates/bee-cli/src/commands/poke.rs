//! `honeybee poke`: attacks this machine's own traps as a real client would, and waits until Core shows it.
//!
//! Goes to loopback addresses alone: a trap that listens elsewhere is somebody else's to attack.

use crate::args::{Global, Poke};
use crate::client::Client;
use crate::commands::nodes::local_traps;
use crate::error::CliError;
use crate::output::{self, Style};
use bee_wire::api::{Category, Event, EventPage};
use bee_wire::id::Cursor;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What one attack did, for one line on the screen.
struct Attack {
    kind: &'static str,
    address: SocketAddr,
    told: String,
    took: Duration,
}

/// How long the events may take to show up in Core.
const ARRIVE_WITHIN: Duration = Duration::from_secs(15);
/// No trap of ours lets a client wait longer for an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// # Errors
/// HB0401 when nothing listens, HB0701 when the events do not arrive.
pub(crate) async fn run(global: &Global, style: Style, args: &Poke) -> Result<(), CliError> {
    let client = Client::new(crate::context::find(global)?)?;
    let traps = local_traps(&client, args.kind.as_deref()).await?;
    if traps.is_empty() {
        return Err(CliError::new("HB0401", "no built-in trap listens on this machine's loopback addresses"));
    }
    let newest: EventPage = client.get("/api/v1/events?limit=1").await?;
    let before = newest.events.first().map(|event| event.id);
    let started = Instant::now();
    let mut attacks = Vec::new();
    for (kind, address) in traps {
        let began = Instant::now();
        let attack = match kind.as_str() {
            "ssh" => ssh(address).await.map(|told| ("ssh", told)),
            "telnet" => telnet(address).await.map(|told| ("telnet", told)),
            _ => http(address).await.map(|told| ("http", told)),
        };
        let (kind, told) = attack.map_err(|cause| {
            CliError::new("HB0401", format!("the {kind} trap at {address} does not answer as it should"))
                .detail(cause)
        })?;
        let attack = Attack { kind, address, told, took: began.elapsed() };
        if !global.json {
            let took = format!("{:.1}s", attack.took.as_secs_f64());
            output::note(&format!(
                "{:<7}{:<22}{}   {}",
                attack.kind,
                attack.address,
                attack.told,
                style.dim(&took)
            ));
        }
        attacks.push(attack);
    }
    report(&client, global, style, &attacks, before, started).await
}

/// Waits until each attacked trap's events are in Core, then says what was seen.
async fn report(
    client: &Client,
    global: &Global,
    style: Style,
    attacks: &[Attack],
    before: Option<Cursor>,
    started: Instant,
) -> Result<(), CliError> {
    let is_new = |event: &&Event| Some(event.id) > before;
    let mut first_after = None;
    loop {
        let page: EventPage = client.get("/api/v1/events?limit=200").await?;
        let fresh: Vec<&Event> = page.events.iter().filter(is_new).collect();
        if !fresh.is_empty() && first_after.is_none() {
            first_after = Some(started.elapsed());
        }
        let arrived = |attack: &Attack| {
            fresh.iter().any(|event| event.pot_type == attack.kind && event.category == Category::Auth)
        };
        let missing: Vec<&str> =
            attacks.iter().filter(|attack| !arrived(attack)).map(|attack| attack.kind).collect();
        if missing.is_empty() {
            if global.json {
                output::json(&serde_json::json!({"events": fresh}));
                return Ok(());
            }
            let after = lag_ms(&fresh).unwrap_or_default();
            output::note(&format!(
                "{} {} events reached Core, each on its disk within {after} ms of happening",
                style.tick(),
                fresh.len()
            ));
            if let Some(session) =
                fresh.iter().find(|event| event.pot_type == "ssh").and_then(|event| event.session.as_deref())
            {
                output::note(&format!(
                    "\n{}  honeybee events ls --session {}",
                    style.bold("Next"),
                    output::clean(session, 64)
                ));
            }
            return Ok(());
        }
        if started.elapsed() > ARRIVE_WITHIN {
            let missing = missing.join(", ");
            return Err(CliError::new(
                "HB0701",
                format!("the attack on {missing} did not show up in Core within 15 s"),
            ));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The longest way from a trap to Core's disk among the events, in ms.
fn lag_ms(events: &[&Event]) -> Option<i64> {
    events.iter().map(|event| (event.received.unix_us() - event.time.unix_us()).max(0) / 1_000).max()
}

/// Three passwords as scanners try them, then two commands.
async fn ssh(address: SocketAddr) -> Result<String, String> {
    let shown = |cause: russh::Error| cause.to_string();
    let config = Arc::new(russh::client::Config::default());
    let mut told = Vec::new();
    for password in ["123456", "admin", "toor"] {
        let mut session = russh::client::connect(config.clone(), address, AnyKey).await.map_err(shown)?;
        let accepted = session.authenticate_password("root", password).await.map_err(shown)?.success();
        told.push(format!("root/{password} {}", if accepted { "yes" } else { "no" }));
        if accepted {
            for command in ["uname -a; id", "cat /etc/passwd"] {
                let mut channel = session.channel_open_session().await.map_err(shown)?;
                channel.exec(true, command).await.map_err(shown)?;
                while channel.wait().await.is_some() {}
            }
            told.push("2 commands".to_owned());
        }
        let _ = session.disconnect(russh::Disconnect::ByApplication, "", "en").await;
        if accepted {
            break;
        }
    }
    Ok(told.join(" · "))
}

/// The trap's key is not ours to know beforehand.
struct AnyKey;

impl russh::client::Handler for AnyKey {
    type Error = russh::Error;
    async fn check_server_key(
        &mut self,
        _key: &russh::keys::PublicKeyOrCertificate,
    ) -> Result<bool, Self::Error> {
        Ok(true)
    }
}

/// A login as worms do it, one command.
async fn telnet(address: SocketAddr) -> Result<String, String> {
    let mut stream = connect(address).await?;
    wait_for(&mut stream, b"ogin:").await?;
    send(&mut stream, b"root\r\n").await?;
    wait_for(&mut stream, b"assword:").await?;
    send(&mut stream, b"xc3511\r\n").await?;
    send(&mut stream, b"/bin/busybox HONEYBEE\r\n").await?;
    wait_for(&mut stream, b"HONEYBEE: applet not found").await?;
    send(&mut stream, b"exit\r\n").await?;
    Ok("root/xc3511 · 1 command".to_owned())
}

/// A look at the login page, then a guess.
async fn http(address: SocketAddr) -> Result<String, String> {
    let form = "log=admin&pwd=admin123&wp-submit=Log+In";
    let head = format!("Host: {address}\r\nUser-Agent: Mozilla/5.0 (honeybee poke)\r\nConnection: close\r\n");
    let get = format!("GET /wp-login.php HTTP/1.1\r\n{head}\r\n");
    let post = format!(
        "POST /wp-login.php HTTP/1.1\r\n{head}Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
        form.len()
    );
    for request in [get, post] {
        let mut stream = connect(address).await?;
        send(&mut stream, request.as_bytes()).await?;
        wait_for(&mut stream, b"HTTP/1.1 ").await?;
    }
    Ok("GET /wp-login.php · POST log=admin".to_owned())
}

async fn connect(address: SocketAddr) -> Result<TcpStream, String> {
    TcpStream::connect(address).await.map_err(|cause| cause.to_string())
}

async fn send(stream: &mut TcpStream, bytes: &[u8]) -> Result<(), String> {
    stream.write_all(bytes).await.map_err(|cause| cause.to_string())
}

/// Reads until the text has come, at most 64 KiB of it.
async fn wait_for(stream: &mut TcpStream, text: &[u8]) -> Result<(), String> {
    let mut seen = Vec::new();
    let mut chunk = [0; 2_048];
    let reading = async {
        while seen.len() < 65_536 {
            let read = stream.read(&mut chunk).await.map_err(|cause| cause.to_string())?;
            seen.extend_from_slice(chunk.get(..read).unwrap_or_default());
            if seen.windows(text.len()).any(|window| window == text) {
                return Ok(());
            }
            if read == 0 {
                break;
            }
        }
        Err(format!("`{}` never came", String::from_utf8_lossy(text)))
    };
    tokio::time::timeout(ANSWER_WITHIN, reading)
        .await
        .unwrap_or_else(|_| Err("no answer within 10 s".to_owned()))
}
