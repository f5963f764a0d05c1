//! `honeybee events`: what attackers did, stored or as it arrives.

use crate::args::{EventFilter, Events, EventsLs, Global};
use crate::client::{Client, query};
use crate::error::{CliError, Exit};
use crate::output::{self, Style};
use bee_wire::api::{Event, EventPage, Severity};
use bee_wire::frame::{Frame, FrameDecoder};
use bee_wire::module::{
    BackendMessage, BackendRegistration, BackendResponse, BackendType, ModuleMessage, Subscribe, Topic,
};
use bee_wire::{Secret, decode_backend, encode_module};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// # Errors
/// Those of talking to Core.
pub(crate) async fn run(global: &Global, style: Style, command: &Events) -> Result<(), CliError> {
    let client = Client::new(crate::context::find(global)?)?;
    match command {
        Events::Ls(args) => list(&client, global, style, args).await,
        Events::Tail(filter) => tail(&client, global, style, filter).await,
    }
}

async fn list(client: &Client, global: &Global, style: Style, args: &EventsLs) -> Result<(), CliError> {
    let filter = &args.filter;
    let path = query(&[
        ("limit", Some(args.limit.to_string())),
        ("before", args.cursor.clone()),
        ("since", args.from.clone()),
        ("until", args.to.clone()),
        ("node", filter.node.clone()),
        ("pot", filter.pot.clone()),
        ("pot_type", filter.pot_type.clone()),
        ("type", filter.event_type.clone()),
        ("src_ip", filter.src.clone()),
        ("session", filter.session.clone()),
        ("text", filter.search.clone()),
    ]);
    let page: EventPage = client.get(&format!("/api/v1/events{path}")).await?;
    if global.json {
        for event in &page.events {
            output::data(&serde_json::to_string(event).unwrap_or_default());
        }
    } else if page.events.is_empty() && page.next_cursor.is_none() {
        output::note("No events fit. `honeybee poke` makes some on a machine with traps.");
    } else {
        // Oldest at the top, so that the newest stands where the eye is: above the prompt.
        let rows: Vec<Vec<String>> = page.events.iter().rev().map(|event| row(style, event)).collect();
        output::table(HEADER, &rows);
    }
    if let Some(cursor) = page.next_cursor.filter(|_| !global.quiet) {
        let what = if page.partial { "stopped at the search limit" } else { "there are older ones" };
        output::note(&style.dim(&format!("{what}: --cursor {cursor}")));
    }
    Ok(())
}

/// Follows the live feed over the module protocol until Ctrl-C.
async fn tail(client: &Client, global: &Global, style: Style, filter: &EventFilter) -> Result<(), CliError> {
    let mut stream = client.connect().await?;
    let registration = BackendRegistration {
        backend_name: "honeybee-cli".to_owned(),
        backend_type: BackendType::Cli,
        token: Some(Secret::new(client.token())),
    };
    let subscribe = Subscribe { topics: vec![Topic::Events], filter: filter_text(filter), from: None };
    let lost = |cause: std::io::Error| {
        CliError::new("HB0201", "the connection to Core ended").detail(cause.to_string())
    };
    for message in [ModuleMessage::BackendRegistration(registration), ModuleMessage::Subscribe(subscribe)] {
        stream.write_all(&encode_module(&message.into())).await.map_err(lost)?;
    }
    stream.flush().await.map_err(lost)?;
    if !global.quiet && !global.json {
        output::note(&style.dim("waiting for events; Ctrl-C ends this"));
    }
    let mut decoder = FrameDecoder::new(bee_wire::limits::FRAME_BYTES_MAX);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = stream.read(&mut buffer).await.map_err(lost)?;
        if read == 0 {
            return Err(CliError::new("HB0201", "Core closed the connection"));
        }
        decoder.push(buffer.get(..read).unwrap_or_default());
        while let Some(frame) = decoder
            .next_frame()
            .map_err(|_| CliError::new("HB0206", "Core sent a message that is too long"))?
        {
            let Frame::Object(bytes) = frame else { continue };
            let Ok(request) = decode_backend(&bytes) else { continue };
            if let Some(answer) = show(global, style, request.message)? {
                stream.write_all(&encode_module(&answer.into())).await.map_err(lost)?;
            }
        }
    }
}

/// Prints one pushed message; says what to answer, if anything.
fn show(global: &Global, style: Style, message: BackendMessage) -> Result<Option<ModuleMessage>, CliError> {
    match message {
        BackendMessage::Event(push) if global.json => {
            output::data(&serde_json::to_string(&push.event).unwrap_or_default());
        }
        BackendMessage::Event(push) => output::data(&line(style, &push.event)),
        BackendMessage::Lagged(lagged) => {
            output::note(&format!(
                "{} {} events were left out: this terminal is slower than they come",
                style.cross(),
                lagged.missed
            ));
        }
        BackendMessage::BackendResponse(BackendResponse::Failure(text)) => {
            return Err(CliError::new("HB0206", text).exit(Exit::Failed));
        }
        BackendMessage::Ping => return Ok(Some(ModuleMessage::Pong)),
        _ => {}
    }
    Ok(None)
}

/// The filter in the words of the filter language.
fn filter_text(filter: &EventFilter) -> Option<String> {
    let parts = [
        ("node", &filter.node),
        ("pot", &filter.pot),
        ("pot_type", &filter.pot_type),
        ("type", &filter.event_type),
        ("src_ip", &filter.src),
        ("session", &filter.session),
        ("text", &filter.search),
    ];
    let quoted = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"");
    let words: Vec<String> = parts
        .iter()
        .filter_map(|(name, value)| value.as_ref().map(|value| format!("{name}:\"{}\"", quoted(value))))
        .collect();
    (!words.is_empty()).then(|| words.join(" "))
}

const HEADER: &[&str] = &["TIME", "SOURCE", "POT", "EVENT", "SESSION", "WHAT"];

fn row(style: Style, event: &Event) -> Vec<String> {
    let source = event.src_ip.as_deref().map_or_else(|| "-".to_owned(), |ip| output::clean(ip, 45));
    let country =
        event.country.as_deref().map(|code| format!(" ({})", output::clean(code, 2))).unwrap_or_default();
    let name = output::clean(&event.event_type, 40);
    let name = if event.severity >= Severity::High { style.red(&name) } else { name };
    vec![
        time(event),
        format!("{source}{country}"),
        output::clean(&event.pot_id, 20),
        name,
        event.session.as_deref().map_or_else(|| "-".to_owned(), |session| output::clean(session, 16)),
        what(event),
    ]
}

fn line(style: Style, event: &Event) -> String {
    let cells = row(style, event);
    let widths = [23, 18, 12, 30, 14, 0];
    let padded: Vec<String> =
        cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
    padded.join(" ").trim_end().to_owned()
}

/// To the millisecond, in UTC: what an analyst compares with other logs.
fn time(event: &Event) -> String {
    let text = event.time.to_string();
    text.get(..23).unwrap_or(&text).replace('T', " ")
}

/// The one thing a person wants to see of an event.
fn what(event: &Event) -> String {
    let clean = |text: &Option<String>| text.as_deref().map(|text| output::clean(text, 80));
    if event.username.is_some() || event.password.is_some() {
        let (user, password) = (clean(&event.username), clean(&event.password));
        return format!("{}/{}", user.unwrap_or_default(), password.unwrap_or_default());
    }
    let file = event.sha256.as_deref().map(|hash| format!("sha256 {}", output::clean(hash, 64)));
    let target = || event.path.as_deref().map(|path| output::clean(path, 60));
    match (clean(&event.command), clean(&event.url), file) {
        (Some(command), _, _) => command,
        (None, Some(url), Some(file)) => format!("{url} {file}"),
        (None, Some(url), None) => url,
        (None, None, Some(file)) => target().map_or_else(|| file.clone(), |path| format!("{path} {file}")),
        (None, None, None) => {
            target().or_else(|| clean(&event.user_agent)).or_else(|| clean(&event.hassh)).unwrap_or_default()
        }
    }
}
