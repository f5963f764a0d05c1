//! Process limits the daemons raise for themselves at start.
//!
//! A Core with ten thousand nodes needs more than the usual 1,024 descriptors. Raising the soft
//! limit to the hard one needs no privilege; nothing here tries to go past the hard limit.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors Core asks for: ten thousand nodes, as many API clients, and room to spare.
pub const NOFILE_WANTED: u64 = 65_536;

/// What [`raise_nofile`] found and did. `None` stands for "unlimited".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nofile {
    /// Soft limit before.
    pub before: Option<u64>,
    /// Soft limit in force now.
    pub now: Option<u64>,
    /// Hard limit, which an operator can raise (systemd `LimitNOFILE=`).
    pub hard: Option<u64>,
}

impl Nofile {
    /// Whether at least `wanted` descriptors may be open.
    #[must_use]
    pub fn allows(&self, wanted: u64) -> bool {
        self.now.is_none_or(|now| now >= wanted)
    }
}

/// Raises the soft limit on open files to `wanted`, as far as the hard limit lets it; never lowers.
///
/// # Errors
/// When the kernel refuses the change.
pub fn raise_nofile(wanted: u64) -> std::io::Result<Nofile> {
    let limit = getrlimit(Resource::Nofile);
    let target = limit.maximum.map_or(wanted, |hard| hard.min(wanted));
    let mut now = limit.current;
    if limit.current.is_some_and(|soft| soft < target) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(target), maximum: limit.maximum })?;
        now = Some(target);
    }
    Ok(Nofile { before: limit.current, now, hard: limit.maximum })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raising_never_lowers_and_never_passes_the_hard_limit() {
        let small = raise_nofile(1).unwrap();
        assert_eq!(small.before, small.now);
        let all = raise_nofile(u64::MAX).unwrap();
        assert_eq!(all.now, all.hard);
        assert_eq!(getrlimit(Resource::Nofile).current, all.now);
        assert!(all.allows(64));
    }
}
