//! The binary `honeybee-node`: the node daemon and its traps, small enough for a Pi.
//!
//! `run` (the default), `join`, `validate`, `gen-config`, `pot`, `version`. The flags of the field's Go node are taken as
//! it took them, with one dash or two: `-config FILE`, `-validate`, `-gen-config`.

use std::{
    env,
    ffi::OsString,
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use bee_daemon::{logging, shutdown::Shutdown};
use bee_node::{Config, JoinOptions, JoinStep, config, pot_main};
use clap::{Args, Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(
    name = "honeybee-node",
    version,
    about = "HoneyBee node: runs honeypots and delivers what they catch"
)]
struct Cli {
    #[command(flatten)]
    run: RunArgs,
    /// Check the config and leave; touches nothing
    #[arg(long, conflicts_with = "gen_config")]
    validate: bool,
    /// Print a commented example config and leave
    #[arg(long)]
    gen_config: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Args)]
struct RunArgs {
    /// Config file; default configs/config.yaml if there is one
    #[arg(long, short, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// State directory; wins over the config
    #[arg(long, global = true, value_name = "DIR")]
    state_dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the node (the default)
    Run,
    /// Join the Core that a code of `honeybee invite` names
    Join(JoinArgs),
    /// Check the config; touches nothing
    Validate,
    /// Print a commented example config
    GenConfig,
    /// Print the version
    Version,
}

#[derive(Debug, Args)]
struct JoinArgs {
    /// The code, hb1_..
    code: String,
    /// Name of this node; default: this machine's
    #[arg(long)]
    name: Option<String>,
    /// Give up the membership this directory holds
    #[arg(long)]
    replace: bool,
}

fn main() -> ExitCode {
    let args: Vec<OsString> = env::args_os().map(two_dashes).collect();
    // Before anything is parsed or set up: the child process of a trap is started often and stays small.
    let outcome = if args.get(1).is_some_and(|command| command == "pot") {
        pot_main(args.into_iter().skip(2))
    } else {
        let cli = Cli::parse_from(args);
        dispatch(&cli)
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One line to a cause, for journals and people alike.
            let _ = writeln!(anstream::stderr(), "Error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(cli: &Cli) -> anyhow::Result<()> {
    match &cli.command {
        _ if cli.gen_config => print(config::EXAMPLE),
        _ if cli.validate => validate(cli),
        None | Some(Command::Run) => run(&load(cli)?),
        Some(Command::Join(args)) => join(cli, args),
        Some(Command::Validate) => validate(cli),
        Some(Command::GenConfig) => print(config::EXAMPLE),
        Some(Command::Version) => print(&format!("{}\n", bee_node::SOFTWARE)),
    }
}

fn load(cli: &Cli) -> anyhow::Result<Config> {
    Ok(Config::load_with(cli.run.config.as_deref(), cli.run.state_dir.as_deref())?)
}

fn validate(cli: &Cli) -> anyhow::Result<()> {
    let config = load(cli)?;
    let file = cli.run.config.as_deref().unwrap_or(Path::new(config::DEFAULT_PATH));
    print(&format!("{} is valid: node {} to {}\n", file.display(), config.name, config.servers.join(", ")))
}

fn run(config: &Config) -> anyhow::Result<()> {
    logging::init(&config.logging)?;
    runtime()?.block_on(async {
        let shutdown = Shutdown::with_signals()?;
        bee_node::run(config.clone(), shutdown).await
    })
}

fn join(cli: &Cli, args: &JoinArgs) -> anyhow::Result<()> {
    let state_dir = cli.run.state_dir.clone().unwrap_or_else(config::default_state_dir);
    let mut options = JoinOptions::new(args.name.clone().unwrap_or_else(config::hostname), state_dir);
    options.replace = args.replace;
    let joined = runtime()?.block_on(bee_node::join(&args.code, &options, |step| {
        let line = match step {
            JoinStep::Reached { address, ms } => format!("Reached {address} in {ms}ms"),
            JoinStep::Verified { fingerprint } => format!("It is the Core named in the code ({fingerprint})"),
            JoinStep::Enrolled { name, .. } => format!("Enrolled as {name}"),
            JoinStep::HeartbeatAcknowledged => "First heartbeat acknowledged".to_owned(),
        };
        let _ = writeln!(anstream::stderr(), "✓ {line}");
    }))?;
    print(&format!("{}\n", joined.node_id))
}

/// Few threads: a node waits most of its time, and each thread costs memory on a small machine.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).max_blocking_threads(8).enable_all().build()
}

fn print(text: &str) -> anyhow::Result<()> {
    anstream::stdout().write_all(text.as_bytes())?;
    Ok(())
}

/// `-config` as the field's node took it is `--config`; real short flags have one letter.
fn two_dashes(arg: OsString) -> OsString {
    match arg.to_str() {
        Some(text)
            if ["-config", "-validate", "-gen-config", "-version"]
                .contains(&text.split('=').next().unwrap_or(text)) =>
        {
            format!("-{text}").into()
        }
        _ => arg,
    }
}
