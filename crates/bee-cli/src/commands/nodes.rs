//! `honeybee nodes`: the machines, and finding one by its name.

use crate::args::{Global, Nodes};
use crate::client::{Client, percent};
use crate::error::{CliError, Exit};
use crate::output::{self, Style};
use bee_wire::api::{Node, NodeDetail, NodeList, PendingNodeList, Pot, PotList};
use serde_json::{Value, json};
use std::io::{BufRead as _, IsTerminal as _};
use std::net::SocketAddr;

/// # Errors
/// Those of talking to Core; HB0002 when the name fits none or several.
pub(crate) async fn run(global: &Global, style: Style, command: &Nodes) -> Result<(), CliError> {
    let client = Client::new(crate::context::find(global)?)?;
    match command {
        Nodes::Ls => list(&client, global, style).await,
        Nodes::Show { node } => show(&client, global, style, node).await,
        Nodes::Approve { node } => {
            decide(&client, style, node, "approve", "will be let in when it asks again").await
        }
        Nodes::Refuse { node } => decide(&client, style, node, "refuse", "was turned away").await,
        Nodes::Rm { node, yes } => remove(&client, style, node, *yes).await,
    }
}

/// The one node with that id, or else with that name.
pub(crate) async fn resolve(client: &Client, name: &str) -> Result<Node, CliError> {
    let list: NodeList = client.get("/api/v1/nodes").await?;
    if let Some(node) = list.nodes.iter().find(|node| node.id == name) {
        return Ok(node.clone());
    }
    let mut named: Vec<Node> = list.nodes.into_iter().filter(|node| node.node_name == name).collect();
    match (named.len(), named.pop()) {
        (1, Some(node)) => Ok(node),
        (0, _) => Err(CliError::new("HB0002", format!("no node is called {name}"))),
        (many, _) => Err(CliError::new("HB0002", format!("{many} nodes are called {name}"))
            .help("Use the id, which `honeybee nodes ls` shows.")),
    }
}

/// The built-in traps that run and listen on this machine's loopback addresses: kind and address.
pub(crate) async fn local_traps(
    client: &Client,
    kind: Option<&str>,
) -> Result<Vec<(String, SocketAddr)>, CliError> {
    let list: PotList = client.get("/api/v1/honeypots").await?;
    let ours =
        list.honeypots.into_iter().filter(|pot| ["ssh", "telnet", "http"].contains(&pot.pot_type.as_str()));
    let wanted = ours.filter(|pot| kind.is_none_or(|kind| kind == pot.pot_type));
    Ok(wanted
        .filter_map(|pot| {
            let address: SocketAddr = listening(&pot).first()?.parse().ok()?;
            (pot.status == bee_wire::node::PotStatus::Running && address.ip().is_loopback())
                .then_some((pot.pot_type, address))
        })
        .collect())
}

/// Where a pot listens, as its node observed it.
pub(crate) fn listening(pot: &Pot) -> Vec<String> {
    let observed = pot.detail.as_ref().and_then(|detail| detail.get("listening")).and_then(Value::as_array);
    observed.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

async fn list(client: &Client, global: &Global, style: Style) -> Result<(), CliError> {
    let nodes: NodeList = client.get("/api/v1/nodes").await?;
    let pending: PendingNodeList = client.get("/api/v1/pending").await?;
    if global.json {
        output::json(&json!({"nodes": nodes.nodes, "pending": pending.pending}));
        return Ok(());
    }
    if nodes.nodes.is_empty() && pending.pending.is_empty() {
        output::note("No nodes yet. `honeybee invite` makes a join code for one.");
        return Ok(());
    }
    let now = output::now_us();
    let mut rows = Vec::new();
    for node in &nodes.nodes {
        rows.push(vec![
            output::clean(&node.node_name, 40),
            style.status(node.status.as_str()),
            node.last_seen.map_or_else(|| "-".to_owned(), |seen| output::ago(seen.unix_us(), now)),
            node.honeypots_count.to_string(),
            node.events_stored.to_string(),
            node.events_dropped.to_string(),
            node.address.as_deref().map_or_else(|| "-".to_owned(), |address| output::clean(address, 48)),
            node.id.clone(),
        ]);
    }
    for node in &pending.pending {
        rows.push(vec![
            output::clean(&node.node_name, 40),
            style.status("Pending"),
            output::ago(node.last_seen.unix_us(), now),
            "-".to_owned(),
            "-".to_owned(),
            "-".to_owned(),
            output::clean(&node.address, 48),
            output::clean(&node.id, 32),
        ]);
    }
    output::table(&["NAME", "STATUS", "SEEN", "POTS", "EVENTS", "LOST", "FROM", "ID"], &rows);
    Ok(())
}

async fn show(client: &Client, global: &Global, style: Style, name: &str) -> Result<(), CliError> {
    let node = resolve(client, name).await?;
    let detail: NodeDetail = client.get(&format!("/api/v1/nodes/{}", node.id)).await?;
    if global.json {
        output::json(&json!(detail));
        return Ok(());
    }
    let now = output::now_us();
    let or_dash = |text: Option<&str>| text.map_or_else(|| "-".to_owned(), |text| output::clean(text, 80));
    let mut rows = vec![
        ("name", output::clean(&node.node_name, 64)),
        ("id", node.id.clone()),
        ("status", style.status(node.status.as_str())),
        ("type", node.node_type.as_str().to_owned()),
        ("seen", node.last_seen.map_or_else(|| "-".to_owned(), |seen| output::ago(seen.unix_us(), now))),
        ("from", or_dash(node.address.as_deref())),
        ("link", if detail.tls { "TLS 1.3".to_owned() } else { "plain".to_owned() }),
        ("software", or_dash(node.software.as_deref())),
        ("system", format!("{} {}", or_dash(detail.os.as_deref()), or_dash(detail.arch.as_deref()))),
        ("events", format!("{} stored, {} lost", node.events_stored, node.events_dropped)),
    ];
    if let Some(health) = &detail.health {
        let text = serde_json::to_string(health).unwrap_or_default();
        rows.push(("health", output::clean(&text, 400)));
    }
    for (key, value) in rows {
        output::data(&format!("{key:<10}{value}"));
    }
    output::data("");
    super::pots::print(style, &detail.honeypots, &[]);
    Ok(())
}

async fn decide(client: &Client, style: Style, name: &str, verb: &str, done: &str) -> Result<(), CliError> {
    let pending: PendingNodeList = client.get("/api/v1/pending").await?;
    let mut fitting = pending.pending.iter().filter(|node| node.id == name || node.node_name == name);
    let (Some(node), None) = (fitting.next(), fitting.next()) else {
        return Err(CliError::new("HB0002", format!("no single waiting node is called {name}"))
            .help("`honeybee nodes ls` lists who waits; an id is always exact."));
    };
    let _: Value = client.post(&format!("/api/v1/pending/{}/{verb}", percent(&node.id)), &json!({})).await?;
    output::note(&format!("{} {} {done}", style.tick(), output::clean(&node.node_name, 64)));
    Ok(())
}

async fn remove(client: &Client, style: Style, name: &str, yes: bool) -> Result<(), CliError> {
    let node = resolve(client, name).await?;
    if !yes {
        if !std::io::stdin().is_terminal() {
            return Err(CliError::new("HB0004", format!("forgetting {name} is for good")).exit(Exit::Usage));
        }
        output::note(&format!(
            "Its certificate and TOTP key end for good; its events stay. Type the name {} to go on:",
            style.bold(name)
        ));
        let mut typed = String::new();
        let _ = std::io::stdin().lock().read_line(&mut typed);
        if typed.trim() != name {
            return Err(
                CliError::new("HB0004", "the name was not typed; nothing was changed").exit(Exit::NeedsHuman)
            );
        }
    }
    client.delete(&format!("/api/v1/nodes/{}", node.id)).await?;
    output::note(&format!("{} {} is forgotten", style.tick(), output::clean(&node.node_name, 64)));
    Ok(())
}
