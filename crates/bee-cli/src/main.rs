//! The command `honeybee`: starts the daemons, and otherwise speaks Core's public API like any other client.

mod args;
mod client;
mod codes;
mod commands;
mod context;
mod error;
mod output;

use args::{Cli, Command};
use clap::Parser as _;
use error::{CliError, Exit};
use output::Style;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let style = Style::detect(cli.global.plain);
    // A trap is a small process of its own: it brings its own runtime.
    if let Command::Pot { args } = &cli.command {
        return match bee_node::pot_main(args) {
            Ok(()) => ExitCode::SUCCESS,
            Err(cause) => {
                output::note(&format!("{cause:#}"));
                ExitCode::FAILURE
            }
        };
    }
    let outcome = runtime(&cli.command).and_then(|runtime| runtime.block_on(run(&cli, style)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if cli.global.json {
                output::note(&failure.to_json().to_string());
            } else {
                output::note(failure.render(style).trim_end());
            }
            ExitCode::from(failure.exit as u8)
        }
    }
}

async fn run(cli: &Cli, style: Style) -> Result<(), CliError> {
    let global = &cli.global;
    match &cli.command {
        Command::Up(args) => commands::up::run(global, style, args).await,
        Command::Core(args) => commands::daemons::core(global, args).await,
        Command::Node(args) => commands::daemons::node(args).await,
        Command::Join(args) => commands::join::run(global, style, args).await,
        Command::Invite(args) => interruptible(commands::invite::run(global, style, args)).await,
        Command::Poke(args) => interruptible(commands::poke::run(global, style, args)).await,
        Command::Nodes(command) => commands::nodes::run(global, style, command).await,
        Command::Pots(command) => commands::pots::run(global, style, command).await,
        Command::Events(command) => interruptible(commands::events::run(global, style, command)).await,
        Command::Cmd(args) => interruptible(commands::cmd::run(global, style, args)).await,
        Command::Tokens(command) => commands::tokens::run(global, style, command).await,
        Command::Doctor => commands::doctor::run(global, style).await,
        Command::Help { code } => commands::help::run(style, code.as_deref()),
        Command::Pot { .. } => Ok(()),
    }
}

/// Daemons get both cores; a client command needs one thread.
fn runtime(command: &Command) -> Result<tokio::runtime::Runtime, CliError> {
    let mut builder = match command {
        Command::Up(_) | Command::Core(_) => tokio::runtime::Builder::new_multi_thread(),
        _ => tokio::runtime::Builder::new_current_thread(),
    };
    let built = builder.enable_all().build();
    built.map_err(|cause| CliError::new("HB0105", format!("cannot start the runtime: {cause}")))
}

/// Ends with 130 on Ctrl-C, quietly: the person knows.
async fn interruptible(work: impl Future<Output = Result<(), CliError>>) -> Result<(), CliError> {
    tokio::select! {
        outcome = work => outcome,
        _ = tokio::signal::ctrl_c() => std::process::exit(Exit::Interrupted as i32),
    }
}
