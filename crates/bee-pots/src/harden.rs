//! Takes away what a trap does not need, before it talks to anybody: each step is tried, none is required, and the
//! result is printed as one JSON line, so that the node can show what really is in force.
//!
//! The process dies with its parent, gains no privilege by exec, has bounded memory, descriptors and no core dumps, and
//! (Landlock, by the kernel's ABI) sees only its own directory, binds only its port and connects only to the intake.

use std::fs::{self, DirBuilder};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, NetPort, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetStatus, Scope,
};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, set_parent_process_death_signal, setrlimit};
use serde::Serialize;

/// Address space of a trap: far above what it uses, far below what would hurt the node.
const ADDRESS_SPACE_MAX: u64 = 1 << 30;
/// Descriptors: sessions, files being received, and some.
const DESCRIPTORS_MAX: u64 = 4096;

/// What is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The trap ends when the node does.
    pub parent_death_signal: Step,
    /// No privilege can be gained by executing something.
    pub no_new_privs: Step,
    /// Memory, descriptors and core dumps are bounded.
    pub rlimits: Step,
    /// The file system outside the trap's directory, and the network apart from its two ports, are out of reach.
    pub landlock: Step,
}

/// The outcome of one step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// In force.
    Full,
    /// In force as far as the kernel can.
    Partial,
    /// Not in force, and why.
    Off(String),
}

impl Step {
    fn of(result: io::Result<()>) -> Self {
        match result {
            Ok(()) => Self::Full,
            Err(error) => Self::Off(error.to_string()),
        }
    }
}

/// Applies everything to the calling thread and the threads it starts later.
///
/// The death signal follows the parent's *thread* that started the trap (prctl(2)): the node must start traps from a
/// thread that lives as long as itself.
#[must_use]
pub fn apply(dir: &Path, listen_port: u16, event_port: u16) -> Report {
    Report {
        // SIGTERM, not SIGKILL: a node that was killed is often back within the time that a trap takes to hand over its last events.
        parent_death_signal: Step::of(
            set_parent_process_death_signal(Some(Signal::TERM)).map_err(Into::into),
        ),
        no_new_privs: Step::of(rustix::thread::set_no_new_privs(true).map_err(Into::into)),
        rlimits: Step::of(limit_resources()),
        landlock: restrict(dir, listen_port, event_port),
    }
}

/// Prints the report as one JSON line on stdout.
pub fn print(report: &Report) {
    let line = serde_json::json!({ "honeybee_hardening": report });
    // A closed stdout is no reason not to serve.
    let _ = writeln!(io::stdout(), "{line}");
}

/// Makes a directory with mode 0700, with its parents, and takes others' permissions away from one that is there.
///
/// # Errors
/// It cannot be made, or belongs to somebody else.
pub fn private_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    if fs::metadata(dir)?.permissions().mode() & 0o077 != 0 {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

fn limit_resources() -> io::Result<()> {
    for (resource, wanted) in
        [(Resource::Core, 0), (Resource::As, ADDRESS_SPACE_MAX), (Resource::Nofile, DESCRIPTORS_MAX)]
    {
        let hard = getrlimit(resource).maximum;
        let limit = Some(hard.map_or(wanted, |hard| hard.min(wanted)));
        setrlimit(resource, Rlimit { current: limit, maximum: limit })?;
    }
    Ok(())
}

fn restrict(dir: &Path, listen_port: u16, event_port: u16) -> Step {
    match restrict_self(dir, listen_port, event_port) {
        Ok(RulesetStatus::FullyEnforced) => Step::Full,
        Ok(RulesetStatus::PartiallyEnforced) => Step::Partial,
        Ok(RulesetStatus::NotEnforced) => Step::Off("this kernel has no Landlock".to_owned()),
        Err(error) => Step::Off(error.to_string()),
    }
}

fn restrict_self(
    dir: &Path,
    listen_port: u16,
    event_port: u16,
) -> Result<RulesetStatus, Box<dyn std::error::Error>> {
    let abi = ABI::V6;
    let own = AccessFs::from_all(abi) & !AccessFs::Execute;
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(abi))?
        .handle_access(AccessNet::from_all(abi))?
        .scope(Scope::from_all(abi))?
        .create()?
        .add_rule(PathBeneath::new(PathFd::new(dir)?, own))?
        .add_rule(NetPort::new(listen_port, AccessNet::BindTcp))?
        .add_rule(NetPort::new(event_port, AccessNet::ConnectTcp))?
        .restrict_self()?;
    Ok(status.ruleset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_made_private() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("a/b");
        private_dir(&inner).unwrap();
        fs::set_permissions(&inner, fs::Permissions::from_mode(0o755)).unwrap();
        private_dir(&inner).unwrap();
        assert_eq!(fs::metadata(&inner).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn the_report_says_what_is_off_and_why() {
        let report = Report {
            parent_death_signal: Step::Full,
            no_new_privs: Step::Full,
            rlimits: Step::Partial,
            landlock: Step::Off("no".into()),
        };
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["rlimits"], "partial");
        assert_eq!(json["landlock"]["off"], "no");
    }
}
