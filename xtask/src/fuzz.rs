//! Runs the fuzz targets of `fuzz/`, each for a given time, with the corpus that is kept beside them.

use crate::{Failure, cargo, setup};
use std::path::Path;

/// `cargo xtask fuzz [seconds] [target]`: libFuzzer needs sanitizer flags that stable rustc accepts only when told to.
pub(crate) fn run_all(root: &Path, seconds: u64, only: Option<&str>) -> Result<(), Failure> {
    setup::ensure(setup::FUZZ)?;
    if !cargo().args(["fuzz", "--version"]).output().is_ok_and(|output| output.status.success()) {
        crate::run(cargo().args(["install", "cargo-fuzz", "--locked"]))?;
    }
    let listed = std::fs::read_dir(root.join("fuzz/fuzz_targets"))
        .map_err(|cause| format!("cannot list fuzz/fuzz_targets: {cause}"))?;
    let mut targets: Vec<String> = listed
        .filter_map(|entry| entry.ok()?.path().file_stem()?.to_str().map(str::to_owned))
        .filter(|target| only.is_none_or(|name| name == target))
        .collect();
    targets.sort();
    for target in targets {
        eprintln!("xtask: {target} for {seconds} s");
        let limit = format!("-max_total_time={seconds}");
        crate::run(cargo().env("RUSTC_BOOTSTRAP", "1").args(["fuzz", "run", &target, "--"]).args([
            limit.as_str(),
            "-rss_limit_mb=2048",
            "-timeout=10",
            "-print_final_stats=1",
        ]))?;
    }
    Ok(())
}

/// Reads the arguments, then runs.
pub(crate) fn run(root: &Path, args: &[String]) -> Result<(), Failure> {
    let seconds = match args.first() {
        None => 60,
        Some(text) => text.parse().map_err(|_| format!("`{text}` is not a number of seconds"))?,
    };
    run_all(root, seconds, args.get(1).map(String::as_str))
}
