//! Installs what a task needs: with apt where that is possible, otherwise by printing the one line to run.

use crate::Failure;
use std::path::Path;
use std::process::{Command, Stdio};

/// A program the task needs, and the Debian package that brings it.
pub(crate) struct Need {
    program: &'static str,
    package: &'static str,
}

const fn need(program: &'static str, package: &'static str) -> Need {
    Need { program, package }
}

/// To compile: the C compiler that the cryptography and zstd crates call.
pub(crate) const BUILD: &[Need] = &[need("cc", "gcc"), need("ld", "binutils"), need("make", "make")];

/// To run the suite: the real clients that attack the traps, and what the fault tests stand on.
pub(crate) const SUITE: &[Need] = &[
    need("ssh", "openssh-client"),
    need("scp", "openssh-client"),
    need("sftp", "openssh-client"),
    need("sshpass", "sshpass"),
    need("telnet", "telnet"),
    need("hydra", "hydra"),
    need("nmap", "nmap"),
    need("curl", "curl"),
    need("mount", "mount"),
];

/// To fuzz: libFuzzer's runtime comes with clang.
pub(crate) const FUZZ: &[Need] = &[need("clang", "clang")];

/// Makes sure that every program is there, or says in one line how to get what is missing.
pub(crate) fn ensure(needs: &[Need]) -> Result<(), Failure> {
    let missing: Vec<&Need> = needs.iter().filter(|need| !on_path(need.program)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut packages: Vec<&str> = missing.iter().map(|need| need.package).collect();
    packages.dedup();
    let line = format!("apt-get install -y --no-install-recommends {}", packages.join(" "));
    if !on_path("apt-get") || !am_root() {
        return Err(format!(
            "these are missing: {}\nrun this, then try again:\n\n  sudo {line}\n",
            packages.join(" ")
        ));
    }
    eprintln!("xtask: installing {}", packages.join(" "));
    // A failed index update is no reason to stop: the packages may be in the index that is there.
    let _ = apt(&["update", "-q"]);
    let mut args = vec!["install", "-q", "-y", "--no-install-recommends"];
    args.extend(&packages);
    if !apt(&args) {
        return Err(format!("apt could not install them; try this yourself:\n\n  {line}\n"));
    }
    match missing.iter().find(|need| !on_path(need.program)) {
        None => Ok(()),
        Some(need) => Err(format!("`{}` is still missing after installing {}", need.program, need.package)),
    }
}

fn apt(args: &[&str]) -> bool {
    Command::new("apt-get")
        .args(args)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|dir| dir.join(program).is_file())
}

/// Whether apt would let us: the owner of our own entry in /proc is who we run as.
fn am_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(Path::new("/proc/self")).is_ok_and(|meta| meta.uid() == 0)
}
