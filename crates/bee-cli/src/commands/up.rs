//! `honeybee up`: Core, a node and three traps in one process tree on this machine, ready in a second.
//!
//! Asks nothing, needs no root and no network. Everything it makes lies in the data folder; starting again finds it there.

use crate::args::{Global, Traps, Up};
use crate::commands::daemons::{self, RunningCore};
use crate::error::CliError;
use crate::output::{self, Style};
use bee_core::CoreHandle;
use bee_daemon::logging::Logging;
use bee_node::Node;
use bee_node::pots::DeclaredPot;
use bee_wire::api::JoinTokenRequest;
use bee_wire::node::PotStatus;
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

/// Long enough for a slow disk; what is not up by then is named as such.
const READY_WITHIN: Duration = Duration::from_secs(10);
/// The local node's own join code is used at once.
const OWN_CODE_SECONDS: u64 = 600;

/// # Errors
/// HB0101 to HB0106 when something cannot start.
pub(crate) async fn run(global: &Global, style: Style, args: &Up) -> Result<(), CliError> {
    let started = Instant::now();
    let is_new = !global.data.join("core").exists();
    daemons::init_logging(&Logging { level: "warn".to_owned(), ..Logging::default() })?;
    let signals = daemons::signals()?;
    if !global.json && !global.quiet {
        let which = if is_new { "new installation" } else { "installation" };
        output::note(&format!(
            "honeybee {} · {which} in {}",
            env!("CARGO_PKG_VERSION"),
            global.data.display()
        ));
    }
    let core = RunningCore::start(core_config(global, args)?).await?;
    let config = node_config(global, args, &core.handle()).await?;
    let node = match Node::start(config).await {
        Ok(node) => node,
        Err(cause) => {
            core.stop().await;
            return Err(daemons::start_failed("HB0106", cause.as_ref()));
        }
    };
    wait_until_ready(&node).await;
    greet(global, style, &core.handle(), &node, started.elapsed());
    // The node first: it says goodbye to a Core that still listens.
    let _ = node.run_until(signals.token()).await;
    core.stop().await;
    Ok(())
}

fn core_config(global: &Global, args: &Up) -> Result<bee_core::Config, CliError> {
    let text = |port: Option<u16>| port.map(|port| port.to_string());
    let flags = [
        ("--listen", "server.host", args.listen.map(|address| address.to_string())),
        ("--node-port", "server.node_port", text(args.node_port)),
        ("--port", "server.backend_port", text(args.port)),
        ("--ws-port", "proxy.port", text(args.ws_port)),
    ];
    daemons::check_core(daemons::load_core(global, None, &flags)?.value)
}

/// The local node, with a join code of its own while it is not enrolled.
async fn node_config(global: &Global, args: &Up, core: &CoreHandle) -> Result<bee_node::Config, CliError> {
    let state_dir = global.data.join("node");
    let mut address = core.addresses().nodes;
    if address.ip().is_unspecified() {
        address.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    let mut config = bee_node::Config::new(machine_name(), address.to_string(), &state_dir);
    config.intake.port = args.event_port;
    config.pots.declared = declared(&args.traps, args.expose);
    if !state_dir.join("client.pem").exists() {
        let request = JoinTokenRequest {
            expires_in_s: Some(OWN_CODE_SECONDS),
            uses: Some(1),
            note: Some("this machine's own node".to_owned()),
            addresses: vec![address.to_string()],
        };
        let made = core.create_join_token(request).await;
        let made = made.map_err(|cause| CliError::new("HB0105", crate::client::chain(&cause)))?;
        let code = made.code.expose().parse();
        config.join_code = Some(code.map_err(|cause| CliError::new("HB0301", format!("{cause}")))?);
    }
    Ok(config)
}

/// The traps as a node declares them; each listens on loopback unless the operator exposes them.
pub(crate) fn declared(traps: &Traps, expose: Option<IpAddr>) -> Vec<DeclaredPot> {
    let address = expose.unwrap_or(Ipv4Addr::LOCALHOST.into());
    let wanted = [("ssh", traps.ssh), ("telnet", traps.telnet), ("http", traps.http)];
    let there = wanted.iter().filter_map(|(kind, port)| port.0.map(|port| (*kind, port)));
    there
        .map(|(kind, port)| {
            let listen = Value::String(SocketAddr::new(address, port).to_string());
            DeclaredPot {
                pot_id: kind.to_owned(),
                kind: kind.to_owned(),
                enabled: true,
                settings: [("listen".to_owned(), listen)].into_iter().collect(),
            }
        })
        .collect()
}

/// What this machine calls itself.
pub(crate) fn machine_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "local".to_owned() } else { name.to_owned() }
}

/// Until the node is registered and no trap is still on its way.
async fn wait_until_ready(node: &Node) {
    let link = node.link();
    let ready = async {
        loop {
            let settled = |status| matches!(status, PotStatus::Running | PotStatus::Failed);
            if link.borrow().registered && node.board().all().iter().all(|pot| settled(pot.status)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let _ = tokio::time::timeout(READY_WITHIN, ready).await;
}

/// The first and last four digits: enough for a person to compare.
fn short(fingerprint: &str) -> String {
    let digits: String = fingerprint.chars().filter(char::is_ascii_hexdigit).collect();
    format!(
        "{}…{}",
        digits.get(..4).unwrap_or_default(),
        digits.get(digits.len().saturating_sub(4)..).unwrap_or_default()
    )
}

fn greet(global: &Global, style: Style, core: &CoreHandle, node: &Node, took: Duration) {
    let addresses = core.addresses();
    let url = crate::context::find(global).map(|context| context.url()).unwrap_or_default();
    let pots = node.board().all();
    let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    if global.json {
        let traps: Vec<Value> = pots
            .iter()
            .map(|pot| json!({"pot_id": pot.pot_id, "pot_type": pot.pot_type, "status": pot.status, "listen": pot.listening, "message": pot.message}))
            .collect();
        output::json(&json!({
            "url": url, "nodes": addresses.nodes, "api": addresses.api, "ws": addresses.ws,
            "event_port": node.event_port(), "traps": traps, "ready_ms": ms,
        }));
        return;
    }
    let linked = node.link().borrow().registered;
    let mark = |good: bool| if good { style.tick() } else { style.cross() };
    output::note(&format!("{} Core    {url}   CA {}", style.tick(), short(&core.ca_fingerprint())));
    let state = if linked {
        "TLS 1.3, the local node is in"
    } else {
        "the local node is not in yet: see `honeybee doctor`"
    };
    output::note(&format!("{} Nodes   {}   {state}", mark(linked), addresses.nodes));
    let running: Vec<String> = pots
        .iter()
        .filter(|pot| pot.status == PotStatus::Running)
        .map(|pot| {
            let ports: Vec<String> = pot.listening.iter().map(|address| address.port().to_string()).collect();
            format!("{} {}", pot.pot_type, ports.join("+"))
        })
        .collect();
    let is_local = pots.iter().flat_map(|pot| &pot.listening).all(|address| address.ip().is_loopback());
    let reach = if is_local { "loopback only, --expose to open" } else { "open to the network" };
    output::note(&format!("{} Traps   {}   {reach}", mark(!running.is_empty()), running.join(" · ")));
    for pot in pots.iter().filter(|pot| pot.status != PotStatus::Running) {
        output::note(&format!(
            "{} {} is {}: {}",
            style.cross(),
            pot.pot_id,
            pot.status.as_str(),
            output::clean(&pot.message, 300)
        ));
    }
    output::note(&format!("Ready in {:.1}s\n", took.as_secs_f64()));
    output::note(&format!("{}  honeybee poke        attack your own traps", style.bold("Next")));
    output::note("      honeybee events tail see what is captured, live");
    output::note("      honeybee invite      add another machine");
}
