//! The HTTP trap: an HTTP/1.1 server that shows [`site`] and records every request.
//!
//! A session is a connection: `http.session.connect`, an `http.request` for each request, an `http.login` for each pair of
//! credentials, `http.session.closed`. `X-Forwarded-For` is recorded as the client's claim and never taken as its source.
//! Bounded: head, fields, body, requests on a connection, and the time for each. Nothing is ever fetched.

pub mod credentials;
pub mod request;
mod site;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::artifacts::{Artifacts, Receiving};
use crate::config::HttpConfig;
use crate::limits::{
    HTTP_BODY_COUNT_MAX, HTTP_BODY_DEADLINE, HTTP_BODY_TEXT_MAX, HTTP_HEAD_DEADLINE, HTTP_HEAD_MAX,
    HTTP_KEEPALIVE, HTTP_REQUESTS_MAX,
};
use crate::listener::{self, Accept, Connection, SessionLimits};
use crate::run::PotError;
use crate::session::{Session, text};
use request::{Chunked, Framing, Head, Parsed};
use site::{Page, Site, reason};

/// Body bytes kept in memory, for forms; a longer body goes to a file as it comes.
const BODY_MEMORY_MAX: usize = 64 * 1024;
/// Bytes of one header value in an event.
const HEADER_TEXT_MAX: usize = 1024;

const HTTP_DATE: &[BorrowedFormatItem<'_>] =
    format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");

/// Everything that the sessions of this trap share.
#[derive(Debug)]
pub(crate) struct Service {
    config: HttpConfig,
    site: Site,
    artifacts: Artifacts,
}

/// A body as far as it was read.
#[derive(Default)]
struct Body {
    memory: Vec<u8>,
    file: Option<Receiving>,
    size: u64,
    /// Why it is not whole.
    broken: Option<&'static str>,
}

impl Service {
    pub(crate) fn new(config: HttpConfig, pot_id: &str, dir: &Path) -> Result<Self, PotError> {
        let artifacts = Artifacts::open(dir, config.body_bytes_max, config.artifacts_bytes_max)
            .map_err(|cause| PotError::Dir { dir: dir.join("artifacts"), cause })?;
        let seed = if config.seed.is_empty() { pot_id } else { &config.seed };
        let site = Site::new(&config, seed);
        Ok(Self { config, site, artifacts })
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
    let Connection { mut stream, source, local, emitter, stop, background } = connection;
    let session = Session::open(emitter, "http", "http", source, local, background);
    tokio::select! {
        () = stop.cancelled() => {}
        // The client went away, or broke the protocol and was answered: either way the session is over.
        _ = requests(&mut stream, &session, &service) => {}
    }
}

/// Answers requests until the connection is to be closed.
async fn requests(stream: &mut TcpStream, session: &Session, service: &Service) -> io::Result<()> {
    let mut buffer = BytesMut::with_capacity(4096);
    for number in 0..HTTP_REQUESTS_MAX {
        let Some(head) = next_head(stream, &mut buffer, session, service, number == 0).await? else {
            return Ok(());
        };
        if head.header("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let body = match timeout(
            HTTP_BODY_DEADLINE,
            read_body(stream, &mut buffer, &head, &service.artifacts),
        )
        .await
        {
            Ok(body) => body,
            Err(_) => Body { broken: Some("the body did not arrive in time"), ..Body::default() },
        };
        let close = !answer(stream, session, service, head, body, number + 1 == HTTP_REQUESTS_MAX).await?;
        if close {
            return stream.shutdown().await;
        }
    }
    Ok(())
}

/// Reads the next request's head. `None` when the connection is over; what was not a request has been recorded and answered.
async fn next_head(
    stream: &mut TcpStream,
    buffer: &mut BytesMut,
    session: &Session,
    service: &Service,
    first: bool,
) -> io::Result<Option<Head>> {
    let wait = if first { HTTP_HEAD_DEADLINE } else { HTTP_KEEPALIVE };
    if buffer.is_empty() && !matches!(timeout(wait, stream.read_buf(buffer)).await, Ok(Ok(1..))) {
        return Ok(None);
    }
    let whole = timeout(HTTP_HEAD_DEADLINE, async {
        loop {
            match Head::parse(buffer) {
                Parsed::Head(head, length) => {
                    buffer.advance(length);
                    return Ok(Some(Ok(head)));
                }
                Parsed::Invalid(why) => return Ok(Some(Err(why))),
                Parsed::Incomplete => {}
            }
            if stream.read_buf(buffer).await? == 0 {
                return Ok(None);
            }
        }
    })
    .await;
    let (status, why) = match whole {
        Ok(Ok(Some(Ok(head)))) => return Ok(Some(head)),
        Ok(Ok(Some(Err(why)))) => (400, why),
        Ok(Ok(None)) => (0, "the client went away within the request's head"),
        Ok(Err(error)) => return Err(error),
        Err(_) => (408, "the request's head did not arrive in time"),
    };
    let raw = buffer.get(..HTTP_BODY_TEXT_MAX).unwrap_or(buffer);
    session.event("request", json!({"malformed": why, "raw": text(raw), "raw_bytes": buffer.len().min(HTTP_HEAD_MAX), "status": status}));
    if status > 0 {
        let page = service.site.error(
            status,
            reason(status),
            "Your browser sent a request that this server could not understand.<br />",
        );
        stream.write_all(&encode(&page, &service.site, false, true)).await?;
        stream.shutdown().await?;
    }
    Ok(None)
}

async fn read_body(
    stream: &mut TcpStream,
    buffer: &mut BytesMut,
    head: &Head,
    artifacts: &Artifacts,
) -> Body {
    let mut body = Body::default();
    let mut chunked = Chunked::default();
    let framing = head.framing();
    loop {
        match framing {
            Framing::Broken => {
                body.broken = Some("contradictory or unknown framing");
                return body;
            }
            Framing::Length(length) => {
                let left = usize::try_from(length - body.size).unwrap_or(usize::MAX);
                let now = buffer.split_to(left.min(buffer.len()));
                body.add(&now, artifacts);
                if body.size >= length {
                    return body;
                }
            }
            Framing::Chunked => {
                let used = chunked.decode(buffer, |data| body.add(data, artifacts));
                match used {
                    Ok(used) => buffer.advance(used),
                    Err(why) => {
                        body.broken = Some(why);
                        return body;
                    }
                }
                if chunked.is_done() {
                    return body;
                }
            }
        }
        if body.size > HTTP_BODY_COUNT_MAX {
            body.broken = Some("larger than is counted");
            return body;
        }
        if !matches!(stream.read_buf(buffer).await, Ok(1..)) {
            body.broken = Some("the client went away within the body");
            return body;
        }
    }
}

impl Body {
    fn add(&mut self, data: &[u8], artifacts: &Artifacts) {
        self.size += data.len() as u64;
        match &mut self.file {
            Some(file) => file.write(data),
            None if self.memory.len() + data.len() <= BODY_MEMORY_MAX => self.memory.extend_from_slice(data),
            None => {
                let mut file = artifacts.receive("payload");
                file.write(&self.memory);
                file.write(data);
                self.file = Some(file);
            }
        }
    }
}

/// Records and answers one request; says whether the connection stays open.
async fn answer(
    stream: &mut TcpStream,
    session: &Session,
    service: &Service,
    head: Head,
    body: Body,
    last: bool,
) -> io::Result<bool> {
    let pairs = credentials::find(&head, &body.memory);
    let page = match body.broken {
        Some(_) => service.site.error(
            400,
            "Bad Request",
            "Your browser sent a request that this server could not understand.<br />",
        ),
        None => service.site.answer(&head, &body.memory, pairs.first().map(|pair| pair.username.as_str())),
    };
    let keep = head.keep_alive() && body.broken.is_none() && !last;

    let mut members = request_members(&head, &page);
    members.insert("body_size".to_owned(), body.size.into());
    if let Some(why) = body.broken {
        members.insert("malformed".to_owned(), why.into());
    }
    if !body.memory.is_empty() {
        let shown = text(body.memory.get(..HTTP_BODY_TEXT_MAX).unwrap_or(&body.memory));
        members.insert("body".to_owned(), shown.into());
    }
    // What an event shows whole needs no file beside it.
    let shown = body.memory.len() <= HTTP_BODY_TEXT_MAX && std::str::from_utf8(&body.memory).is_ok();
    if body.size > 0 && !(shown && body.file.is_none()) {
        let (artifacts, memory, file) = (service.artifacts.clone(), body.memory, body.file);
        // Keeping a file waits for the disk.
        let kept = tokio::task::spawn_blocking(move || match file {
            Some(file) => file.finish(),
            None => artifacts.keep("payload", &memory),
        })
        .await;
        if let Ok(kept) = kept {
            members.extend(kept.members());
        }
    }
    session.event("request", Value::Object(members));
    for pair in pairs {
        session.event("login", json!({
            "username": pair.username, "password": pair.password, "method": pair.method, "path": head.path(), "success": false,
            "user_agent": head.header("user-agent").map(clip),
        }));
    }

    stream.write_all(&encode(&page, &service.site, head.method == "HEAD", !keep)).await?;
    Ok(keep)
}

fn request_members(head: &Head, page: &Page) -> Map<String, Value> {
    let headers: Vec<[String; 2]> =
        head.headers.iter().map(|(name, value)| [clip(name), clip(value)]).collect();
    let mut members = Map::from_iter([
        ("method".to_owned(), Value::from(head.method.as_str())),
        ("url".to_owned(), head.target.as_str().into()),
        ("path".to_owned(), head.path().into()),
        ("query".to_owned(), head.query().into()),
        ("version".to_owned(), format!("HTTP/1.{}", head.minor).into()),
        ("headers".to_owned(), json!(headers)),
        ("status".to_owned(), page.status.into()),
    ]);
    for (member, field) in [
        ("host", "host"),
        ("user_agent", "user-agent"),
        ("referer", "referer"),
        ("content_type", "content-type"),
        ("cookie", "cookie"),
        ("x_forwarded_for", "x-forwarded-for"),
    ] {
        if let Some(value) = head.header(field) {
            members.insert(member.to_owned(), clip(value).into());
        }
    }
    members
}

fn clip(value: &str) -> String {
    value.chars().take(HEADER_TEXT_MAX).collect()
}

fn encode(page: &Page, site: &Site, head_only: bool, close: bool) -> Vec<u8> {
    let date = OffsetDateTime::now_utc().format(HTTP_DATE).unwrap_or_default();
    let mut out = format!(
        "HTTP/1.1 {} {}\r\nDate: {date}\r\nServer: {}\r\n",
        page.status,
        reason(page.status),
        site.server()
    );
    for (name, value) in &page.headers {
        out.push_str(&format!("{name}: {value}\r\n"));
    }
    out.push_str(&format!("Content-Length: {}\r\n", page.body.len()));
    out.push_str(if close {
        "Connection: close\r\n"
    } else {
        "Keep-Alive: timeout=5, max=100\r\nConnection: Keep-Alive\r\n"
    });
    out.push_str(&format!("Content-Type: {}\r\n\r\n", page.content_type));
    let mut out = out.into_bytes();
    if !head_only {
        out.extend_from_slice(page.body.as_bytes());
    }
    out
}
