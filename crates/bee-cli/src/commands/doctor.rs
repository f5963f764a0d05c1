//! `honeybee doctor`: looks at this installation from outside and prints what is wrong, each with its fix.

use crate::args::Global;
use crate::client::Client;
use crate::codes;
use crate::error::CliError;
use crate::output::now_us;
use crate::output::{self, Style};
use bee_wire::api::{CoreStatus, NodeDetail, NodeList, PotList};
use bee_wire::node::{NodeStatus, PotStatus};
use serde_json::json;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Something that is wrong.
struct Finding {
    code: &'static str,
    what: String,
}

fn finding(code: &'static str, what: impl Into<String>) -> Finding {
    Finding { code, what: what.into() }
}

/// A clock that differs by more than this is worth a word, in ms: what the heartbeat told may be 30 s old, and TOTP
/// forgives 20 s on top.
const SKEW_MS_MAX: i64 = 50_000;
const DAY_US: i64 = 86_400_000_000;
const GIB: u64 = 1 << 30;

/// # Errors
/// HB0610 with exit code 1 when anything was found, after all of it was printed.
pub(crate) async fn run(global: &Global, style: Style) -> Result<(), CliError> {
    let mut findings = open_secrets(&global.data);
    match reach(global).await {
        Err(failure) => findings.push(finding("HB0601", failure.to_string())),
        Ok((client, status)) => {
            findings.extend(core_findings(&status));
            findings.extend(fleet_findings(&client).await?);
            if !global.json {
                output::note(&style.dim(&format!("Core {} · CA {}", status.version, status.ca_fingerprint)));
            }
        }
    }
    report(global, style, &findings)
}

fn report(global: &Global, style: Style, findings: &[Finding]) -> Result<(), CliError> {
    if global.json {
        let list: Vec<_> = findings
            .iter()
            .map(|found| json!({"code": found.code, "message": found.what, "help": codes::find(found.code).map(|entry| entry.fix)}))
            .collect();
        output::json(&json!({"findings": list}));
    } else if findings.is_empty() {
        output::data(&format!("{} ten checks, nothing is wrong", style.tick()));
    } else {
        for found in findings {
            output::data(&format!("{} {}  {}", style.cross(), found.code, output::clean(&found.what, 400)));
            if let Some(entry) = codes::find(found.code) {
                output::data(&format!("  {}", style.dim(entry.fix)));
            }
        }
    }
    match findings.len() {
        0 => Ok(()),
        1 => Err(CliError::new("HB0610", "one thing is wrong").help("See above.")),
        many => Err(CliError::new("HB0610", format!("{many} things are wrong")).help("See above.")),
    }
}

/// Check 1: Core answers, and takes our token.
async fn reach(global: &Global) -> Result<(Client, CoreStatus), CliError> {
    let client = Client::new(crate::context::find(global)?)?;
    let status = client.get("/api/v1/status").await?;
    Ok((client, status))
}

/// Check 2: what must be secret is 0600.
fn open_secrets(data: &Path) -> Vec<Finding> {
    let secrets = [
        "core/ca.key",
        "core/server.key",
        "core/operator.json",
        "core/state.redb",
        "node/client.key",
        "node/.honeybee_totp_secret",
    ];
    let mode = |name: &str| std::fs::metadata(data.join(name)).map(|meta| meta.permissions().mode() & 0o777);
    let open = secrets
        .iter()
        .filter_map(|name| mode(name).ok().map(|mode| (name, mode)))
        .filter(|(_, mode)| mode & 0o077 != 0);
    open.map(|(name, mode)| finding("HB0602", format!("{} has mode {mode:o}", data.join(name).display())))
        .collect()
}

/// Checks 3 to 6: what Core says of itself, its disk, who waits, and whether events come.
fn core_findings(status: &CoreStatus) -> Vec<Finding> {
    let mut findings = Vec::new();
    for problem in &status.problems {
        findings.push(finding("HB0610", format!("{}: {} {}", problem.code, problem.message, problem.help)));
    }
    let low = status.disk_free_bytes < GIB || status.disk_free_bytes < status.disk_total_bytes / 20;
    if low && status.disk_total_bytes > 0 {
        findings.push(finding("HB0603", format!("{} MiB are left", status.disk_free_bytes >> 20)));
    }
    if status.nodes_pending > 0 {
        findings.push(finding("HB0609", format!("{} wait", status.nodes_pending)));
    }
    match status.last_event {
        None => findings.push(finding("HB0611", "no event has ever arrived")),
        Some(time) if now_us() - time.unix_us() > DAY_US => {
            findings.push(finding(
                "HB0611",
                format!("the newest event came {}", output::ago(time.unix_us(), now_us())),
            ));
        }
        Some(_) => {}
    }
    findings
}

/// Checks 7 to 10: each node's link, clock, losses, and its pots.
async fn fleet_findings(client: &Client) -> Result<Vec<Finding>, CliError> {
    let mut findings = Vec::new();
    let nodes: NodeList = client.get("/api/v1/nodes").await?;
    for node in &nodes.nodes {
        if node.status == NodeStatus::Unknown {
            let seen = node
                .last_seen
                .map_or_else(|| "never".to_owned(), |time| output::ago(time.unix_us(), now_us()));
            findings.push(finding("HB0604", format!("{} was last heard {seen}", node.node_name)));
        }
        if node.events_dropped > 0 {
            findings.push(finding(
                "HB0607",
                format!("{} dropped {} events", node.node_name, node.events_dropped),
            ));
        }
        if node.connected {
            findings.extend(clock_finding(client, &node.id, &node.node_name).await?);
        }
    }
    let pots: PotList = client.get("/api/v1/honeypots").await?;
    for pot in pots.honeypots.iter().filter(|pot| pot.status == PotStatus::Failed) {
        let why = pot.message.as_deref().unwrap_or("no reason given");
        findings.push(finding("HB0605", format!("{} on node {}: {why}", pot.pot_id, pot.node_id)));
    }
    Ok(findings)
}

/// A heartbeat tells the node's clock; it is at most one heartbeat old.
async fn clock_finding(client: &Client, id: &str, name: &str) -> Result<Option<Finding>, CliError> {
    let detail: NodeDetail = client.get(&format!("/api/v1/nodes/{id}")).await?;
    let told = detail.health.as_ref().map(|health| health.clock_ms).filter(|clock_ms| *clock_ms > 0);
    let heard = detail.node.last_seen.map(bee_wire::Micros::unix_ms);
    let (Some(told), Some(heard)) = (told, heard) else { return Ok(None) };
    let skew_ms = told.saturating_sub(heard);
    let apart = skew_ms.saturating_abs() > SKEW_MS_MAX;
    Ok(apart.then(|| finding("HB0606", format!("{name}'s clock is {} s off", skew_ms / 1_000))))
}
