//! `honeybee pots`: the honeypots on all nodes.

use crate::args::{Global, Pots};
use crate::client::Client;
use crate::error::CliError;
use crate::output::{self, Style};
use bee_wire::api::{Node, NodeList, Pot, PotList};
use serde_json::json;

/// # Errors
/// Those of talking to Core.
pub(crate) async fn run(global: &Global, style: Style, command: &Pots) -> Result<(), CliError> {
    let client = Client::new(crate::context::find(global)?)?;
    match command {
        Pots::Ls => {
            let pots: PotList = client.get("/api/v1/honeypots").await?;
            if global.json {
                output::json(&json!(pots));
                return Ok(());
            }
            let nodes: NodeList = client.get("/api/v1/nodes").await?;
            print(style, &pots.honeypots, &nodes.nodes);
            Ok(())
        }
    }
}

/// The table of honeypots, with their node's name where the nodes are given.
pub(crate) fn print(style: Style, pots: &[Pot], nodes: &[Node]) {
    if pots.is_empty() {
        output::note("No honeypots.");
        return;
    }
    let now = output::now_us();
    let node_name = |pot: &Pot| {
        let known = nodes.iter().find(|node| node.node_id == pot.node_id);
        known.map_or_else(|| pot.node_id.to_string(), |node| output::clean(&node.node_name, 40))
    };
    let rows: Vec<Vec<String>> = pots
        .iter()
        .map(|pot| {
            vec![
                output::clean(&pot.pot_id, 40),
                output::clean(&pot.pot_type, 24),
                style.status(pot.status.as_str()),
                output::clean(&or_dash(super::nodes::listening(pot).join(" ")), 60),
                node_name(pot),
                pot.updated.map_or_else(|| "-".to_owned(), |time| output::ago(time.unix_us(), now)),
                pot.message.as_deref().map_or_else(String::new, |text| output::clean(text, 60)),
            ]
        })
        .collect();
    output::table(&["POT", "TYPE", "STATUS", "LISTENS", "NODE", "SINCE", ""], &rows);
}

fn or_dash(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}
