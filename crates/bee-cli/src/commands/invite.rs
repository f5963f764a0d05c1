//! `honeybee invite`: a join code, the command to run with it, and the wait for the node.

use crate::args::{Global, Invite};
use crate::client::Client;
use crate::error::{CliError, Exit};
use crate::output::{self, Style};
use bee_wire::api::{JoinTokenCreated, JoinTokenRequest, NodeList};
use serde_json::json;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// # Errors
/// Those of talking to Core.
pub(crate) async fn run(global: &Global, style: Style, args: &Invite) -> Result<(), CliError> {
    let Some(ttl) = output::seconds(&args.ttl) else {
        return Err(CliError::new("HB0001", format!("`{}` is no time span", args.ttl))
            .exit(Exit::Usage)
            .help("Write it as 30m, 1h or 7d."));
    };
    let client = Client::new(crate::context::find(global)?)?;
    let request = JoinTokenRequest {
        expires_in_s: Some(ttl),
        uses: Some(args.uses.into()),
        note: args.note.clone(),
        addresses: args.address.clone(),
    };
    let known = node_ids(&client).await?;
    let made: JoinTokenCreated = client.post("/api/v1/join-tokens", &request).await?;
    if global.json {
        output::json(&json!(made));
        return Ok(());
    }
    let uses = if args.uses == 1 { "1 use".to_owned() } else { format!("{} uses", args.uses) };
    output::note(&format!("Run this on the new machine ({uses}, {}):\n", args.ttl));
    output::data(&format!("  honeybee join {}", made.code.expose()));
    if args.no_wait {
        return Ok(());
    }
    output::note("\nWaiting for it… (Ctrl-C is fine, the code stays valid)");
    wait(&client, style, known, args.uses, Duration::from_secs(ttl)).await
}

async fn node_ids(client: &Client) -> Result<BTreeSet<String>, CliError> {
    let list: NodeList = client.get("/api/v1/nodes").await?;
    Ok(list.nodes.into_iter().map(|node| node.id).collect())
}

/// Says each node that joins, until the code is used up or has expired.
async fn wait(
    client: &Client,
    style: Style,
    mut known: BTreeSet<String>,
    uses: u32,
    ttl: Duration,
) -> Result<(), CliError> {
    let started = Instant::now();
    let mut joined = 0;
    while joined < uses && started.elapsed() < ttl {
        let list: NodeList = client.get("/api/v1/nodes").await?;
        for node in list.nodes {
            if node.connected && known.insert(node.id.clone()) {
                joined += 1;
                let from = node.address.as_deref().unwrap_or("?");
                output::note(&format!(
                    "{} {} joined from {}",
                    style.tick(),
                    output::clean(&node.node_name, 64),
                    output::clean(from, 48)
                ));
            }
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    Ok(())
}
