//! `honeybee join`: makes this machine a node of the Core in the code, step by step, and runs it.

use crate::args::{Global, Join};
use crate::commands::daemons;
use crate::commands::up;
use crate::error::{CliError, Exit};
use crate::output::{self, Style};
use bee_daemon::logging::Logging;
use bee_node::{JoinError, JoinOptions, JoinStep};
use bee_wire::node::NodeType;
use serde_json::json;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Instant;

/// # Errors
/// HB0301 to HB0317, each exit code 3 where only a person can go on.
pub(crate) async fn run(global: &Global, style: Style, args: &Join) -> Result<(), CliError> {
    let started = Instant::now();
    let name = args.name.clone().unwrap_or_else(up::machine_name);
    let mut options = JoinOptions::new(name.clone(), args.dir.join("state"));
    options.node_type = if args.agent { NodeType::Agent } else { NodeType::Full };
    options.replace = args.replace;
    let quiet = global.json || global.quiet;
    let step = |step: JoinStep| {
        if !quiet {
            output::note(&format!("{} {}", style.tick(), told(&step)));
        }
    };
    let joined = bee_node::join(&args.code, &options, step).await.map_err(failed)?;
    let config_path = args.dir.join("config.yaml");
    write_config(&config_path, &name, args).map_err(|cause| {
        CliError::new("HB0103", format!("cannot write {}: {cause}", config_path.display()))
    })?;
    if global.json {
        output::json(
            &json!({"node_id": joined.node_id, "name": name, "address": joined.address, "config": config_path}),
        );
    }
    let start = format!("honeybee node --config {}", config_path.display());
    if args.enroll_only {
        if !quiet {
            output::note(&format!("\n{}  {start}", style.bold("Next")));
        }
        return Ok(());
    }
    if !quiet {
        output::note(&style.dim(&format!("  {:.1}s", started.elapsed().as_secs_f64())));
        output::note(&format!("\nRunning; Ctrl-C stops it. Next time: {start}"));
    }
    let config =
        bee_node::Config::load(Some(&config_path)).map_err(|cause| daemons::node_config_failed(&cause))?;
    daemons::init_logging(&Logging { level: "warn".to_owned(), ..config.logging.clone() })?;
    daemons::run_node(config).await
}

fn told(step: &JoinStep) -> String {
    match step {
        JoinStep::Reached { address, ms } => format!("Reached {} in {ms}ms", output::clean(address, 128)),
        JoinStep::Verified { fingerprint } => format!("It is the Core named in the code ({fingerprint})"),
        JoinStep::Enrolled { name, .. } => format!("Enrolled as {}", output::clean(name, 64)),
        JoinStep::HeartbeatAcknowledged => "First heartbeat acknowledged".to_owned(),
    }
}

/// Each failure its own code, so that the person knows what to do, and a script whom to call.
fn failed(failure: JoinError) -> CliError {
    let code = match &failure {
        JoinError::Code(_) => "HB0301",
        JoinError::Unreachable { .. } => "HB0302",
        JoinError::WrongCore { .. } => "HB0311",
        JoinError::Expired => "HB0312",
        JoinError::Used => "HB0313",
        JoinError::Revoked => "HB0314",
        JoinError::Pending => "HB0316",
        JoinError::AlreadyJoined(_) => "HB0317",
        _ => "HB0315",
    };
    let exit = match &failure {
        JoinError::Code(_) => Exit::Usage,
        JoinError::Unreachable { .. } => Exit::Failed,
        _ => Exit::NeedsHuman,
    };
    CliError::new(code, failure.to_string()).exit(exit)
}

/// The node's configuration file; one that is there already belongs to the person who wrote it.
fn write_config(path: &Path, name: &str, args: &Join) -> std::io::Result<()> {
    if path.exists() {
        return Ok(());
    }
    let quoted = |text: &str| serde_json::Value::String(text.to_owned()).to_string();
    let state_dir = std::path::absolute(args.dir.join("state"))?;
    let mut text = String::from(
        "# Made by `honeybee join`. `honeybee node --gen-config` prints every key with its meaning.\n",
    );
    let kind = if args.agent { "Agent" } else { "Full" };
    let _ = writeln!(text, "node:\n  name: {}\n  type: {kind}", quoted(name));
    let _ = writeln!(text, "state_dir: {}", quoted(&state_dir.to_string_lossy()));
    if let Some(port) = args.event_port {
        let _ = writeln!(text, "intake:\n  event_port: {port}");
    }
    let traps = if args.agent { Vec::new() } else { up::declared(&args.traps, args.expose) };
    if !traps.is_empty() {
        text.push_str("pots:\n");
    }
    for trap in traps {
        let listen = trap.settings.get("listen").map(ToString::to_string).unwrap_or_default();
        let _ =
            writeln!(text, "  - id: {}\n    type: {}\n    listen: {listen}", quoted(&trap.pot_id), trap.kind);
    }
    std::fs::write(path, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    #[test]
    fn the_file_that_join_writes_is_a_configuration_that_holds() {
        let dir = tempfile::tempdir().unwrap();
        let command = [
            "honeybee",
            "join",
            "hb1_x",
            "--ssh",
            "2223",
            "--http",
            "off",
            "--event-port",
            "9111",
            "--name",
            "edge \"1\"",
        ];
        let cli = crate::args::Cli::try_parse_from(command).unwrap();
        let crate::args::Command::Join(mut args) = cli.command else { panic!("join was typed") };
        args.dir = dir.path().to_owned();
        let path = dir.path().join("config.yaml");
        write_config(&path, "edge \"1\"", &args).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        // A node that has joined takes Core's address from its state; here one is given beside it.
        let config = bee_node::Config::from_yaml(
            "config.yaml",
            &format!("{text}server:\n  address: 127.0.0.1:9001\n"),
        )
        .unwrap();
        assert_eq!(config.name, "edge \"1\"");
        assert_eq!(config.intake.port, Some(9111));
        let kinds: Vec<&str> = config.pots.declared.iter().map(|pot| pot.kind.as_str()).collect();
        assert_eq!(kinds, ["ssh", "telnet"]);
    }
}
