//! What an operator should know about the fleet beside the troubles of Core itself: part of `GET /api/v1/status`.

use bee_wire::api::{CoreProblem, Node};
use bee_wire::node::NodeStatus;

use crate::config::{EnrollmentMode, TlsMode};
use crate::handle::CoreHandle;

/// Names shown in one message.
const NAMES_MAX: usize = 5;

/// Problems of nodes, of stored data and of the configuration.
pub(super) fn of(handle: &CoreHandle) -> Vec<CoreProblem> {
    let mut problems = of_nodes(&handle.nodes());
    let mut add = |code: &str, message: String, help: &str| problems.push(problem(code, message, help));

    let waiting = handle.pending().len();
    if waiting > 0 {
        add(
            "NODES_PENDING",
            format!("{waiting} nodes wait for approval"),
            "approve or refuse them: `honeybee nodes approve`",
        );
    }
    let damaged = handle.counters().log_records_damaged.get();
    if damaged > 0 {
        add(
            "LOG_DAMAGED",
            format!("{damaged} stored records cannot be read back"),
            "check the disk (smartctl, dmesg); what is readable is still served",
        );
    }
    let config = handle.config();
    if config.api_tls == TlsMode::Off && !config.api_addr.ip().is_loopback() {
        add(
            "API_WITHOUT_TLS",
            format!("tokens travel in the clear on {}", config.api_addr),
            "set api.tls to required, or bind to 127.0.0.1",
        );
    }
    if config.enrollment == EnrollmentMode::Open {
        add("ENROLLMENT_OPEN", "any node may join".to_owned(), "set enrollment.mode to token or approve");
    }
    problems
}

fn of_nodes(nodes: &[Node]) -> Vec<CoreProblem> {
    let named = |wanted: &dyn Fn(&Node) -> bool| -> Option<String> {
        let found: Vec<&Node> = nodes.iter().filter(|node| wanted(node)).collect();
        let names: Vec<&str> = found.iter().take(NAMES_MAX).map(|node| node.node_name.as_str()).collect();
        let more = found.len().saturating_sub(names.len());
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        (!found.is_empty()).then(|| format!("{}{more}", names.join(", ")))
    };
    let mut problems = Vec::new();
    if let Some(names) = named(&|node| node.status == NodeStatus::Unknown) {
        let help = "look at the machine and its network; the node reconnects by itself";
        problems.push(problem("NODES_SILENT", format!("no heartbeat from {names}"), help));
    }
    if let Some(names) = named(&|node| node.status == NodeStatus::Failed) {
        problems.push(problem(
            "NODES_FAILED",
            format!("a failure is reported by {names}"),
            "`honeybee nodes show` says more",
        ));
    }
    if let Some(names) = named(&|node| node.events_dropped > 0) {
        let help = "raise the spool's size on those nodes, or shorten the time they are cut off";
        problems.push(problem("EVENTS_LOST", format!("events had to be dropped by {names}"), help));
    }
    problems
}

fn problem(code: &str, message: String, help: &str) -> CoreProblem {
    CoreProblem { code: code.to_owned(), message, help: help.to_owned() }
}
