//! Project automation: everything that is run more than once and is not the product.
//!
//! Called as `cargo xtask <command>`. The README's two commands, `up` and `test`, live here; both work on a fresh
//! clone of a fresh machine. Never talks to the network itself: packages come through apt and cargo.

mod deny;
mod fuzz;
mod setup;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const HELP: &str = "\
cargo xtask <command>

  up [args]        build HoneyBee and start it: Core, a local node and its traps (args go to `honeybee up`)
  test [args]      install what the suite needs, then run the whole suite (args go to `cargo test`)
  lint             formatting, clippy, licences and duplicates, layout: what CI checks before the suite
  deny             licences, duplicate and banned crates, offline (deny.toml)
  tidy             the crate table of ARCHITECTURE.md against the code, and other promises of the layout
  bench [name]     the measurements of docs/benchmarks.md, one after the other, or the one named
  fuzz [seconds]   each fuzz target for so long (default 60), corpus kept; a finding ends it with an error
";

/// Why a task stopped, as a sentence for the person who ran it.
type Failure = String;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let command = args.next().unwrap_or_default();
    let rest: Vec<String> = args.collect();
    let outcome = match command.as_str() {
        "up" => up(&rest),
        "test" => test(&rest),
        "lint" => lint(),
        "deny" => deny::check(&root()),
        "tidy" => tidy::check(&root()),
        "bench" => bench(&rest),
        "fuzz" => fuzz::run(&root(), &rest),
        "" | "help" | "-h" | "--help" => {
            eprint!("{HELP}");
            Ok(())
        }
        other => Err(format!("there is no task `{other}`\n\n{HELP}")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("xtask: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// From a fresh clone to a running system. Ends when `honeybee up` ends.
fn up(args: &[String]) -> Result<(), Failure> {
    setup::ensure(setup::BUILD)?;
    run(cargo().args(["build", "--release", "--bin", "honeybee"]))?;
    run(Command::new(target_dir().join("release/honeybee")).arg("up").args(args).current_dir(root()))
}

/// The whole suite. Everything it needs is installed first, so that no test has to skip on a fresh machine.
fn test(args: &[String]) -> Result<(), Failure> {
    setup::ensure(setup::BUILD)?;
    setup::ensure(setup::SUITE)?;
    // The end-to-end tests start the real binaries, which cargo builds only when asked to.
    run(cargo().args(["build", "--workspace", "--bins"]))?;
    run(cargo().args(["test", "--workspace"]).args(args))
}

fn lint() -> Result<(), Failure> {
    setup::ensure(setup::BUILD)?;
    run(cargo().args(["fmt", "--all", "--check"]))?;
    tidy::check(&root())?;
    deny::check(&root())?;
    run(cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))
}

fn bench(args: &[String]) -> Result<(), Failure> {
    setup::ensure(setup::BUILD)?;
    run(cargo().args(["build", "--release", "--bins"]))?;
    run(cargo().args(["run", "--release", "--package", "bee-bench", "--"]).args(args))
}

/// Runs a command with our terminal; its failure is ours.
pub(crate) fn run(command: &mut Command) -> Result<(), Failure> {
    let shown = format!("{command:?}").replace('"', "");
    let status = command.status().map_err(|cause| format!("cannot start `{shown}`: {cause}"))?;
    if status.success() { Ok(()) } else { Err(format!("`{shown}` ended with {status}")) }
}

/// The cargo that runs us, so that a `+toolchain` is kept.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// The repository's root: this crate's parent folder.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}
