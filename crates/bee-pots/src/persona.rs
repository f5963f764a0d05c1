//! The machine an attacker believes to be on: name, distribution, kernel, hardware, network, users.
//!
//! A [`Persona`] is derived from a seed that belongs to the node, so that two nodes differ and one node stays
//! itself over restarts. The SSH trap takes its banner from here and the shell everything it shows. Nothing in
//! here reads the real machine, and nothing is random: the same seed and time give the same persona.

mod distro;
mod hardware;
mod text;

pub use distro::{Arch, Distro, Packaging};
pub use hardware::{Cpu, Hypervisor};
pub use text::Live;

use sha2::{Digest, Sha256};

/// Which kind of machine to pretend to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Family {
    /// A Debian, Ubuntu or CentOS server: what SSH attackers expect.
    #[default]
    Server,
    /// A small BusyBox device (router, camera, recorder): what Telnet worms expect.
    Device,
}

/// A user of the fake machine, as in `/etc/passwd`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Login name.
    pub name: String,
    /// Numeric user id.
    pub uid: u32,
    /// Numeric group id.
    pub gid: u32,
    /// The comment (GECOS) field.
    pub gecos: String,
    /// Home directory.
    pub home: String,
    /// Login shell.
    pub shell: String,
}

/// One line of the process list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Process id.
    pub pid: u32,
    /// Parent process id.
    pub ppid: u32,
    /// Owner.
    pub user: String,
    /// Command line; kernel threads are in square brackets.
    pub command: String,
    /// Resident memory in KiB.
    pub rss_kb: u32,
    /// Virtual memory in KiB.
    pub vsz_kb: u32,
    /// State letters as `ps` shows them.
    pub stat: &'static str,
    /// CPU time used, in seconds.
    pub cpu_s: u32,
    /// Start, in seconds after boot.
    pub start_s: u32,
}

/// A fake machine. Create it once per trap and share it (it is immutable).
#[derive(Debug, Clone)]
pub struct Persona {
    seed: [u8; 32],
    /// Host name without domain.
    pub hostname: String,
    /// The distribution and its versions.
    pub distro: &'static Distro,
    /// Server or device.
    pub family: Family,
    /// Processor.
    pub cpu: &'static Cpu,
    /// Number of processors.
    pub cpus: u32,
    /// Total memory in KiB.
    pub mem_kb: u64,
    /// Size of the root file system in KiB.
    pub disk_kb: u64,
    /// Used part of the root file system in KiB.
    pub disk_used_kb: u64,
    /// What the machine seems to run on.
    pub hypervisor: &'static Hypervisor,
    /// Name of the first network interface.
    pub interface: &'static str,
    /// Its hardware address.
    pub mac: [u8; 6],
    /// Its private IPv4 address.
    pub ipv4: [u8; 4],
    /// Prefix length of that address.
    pub prefix: u8,
    /// Default gateway.
    pub gateway: [u8; 4],
    /// Users, in the order of `/etc/passwd`.
    pub users: Vec<User>,
    /// Running processes, by pid.
    pub processes: Vec<Process>,
    /// When the machine was installed (Unix seconds); most files carry times near it.
    pub installed: i64,
    /// When the machine was booted last (Unix seconds).
    pub booted: i64,
}

impl Persona {
    /// Derives the machine of `seed` as it is at `now` (Unix seconds).
    ///
    /// Only the boot time depends on `now`: the machine reboots on a rhythm of its own, so uptime keeps growing over
    /// restarts of the trap and never exceeds what an administrator would believe.
    #[must_use]
    pub fn derive(seed: &[u8], family: Family, now: i64) -> Persona {
        let seed: [u8; 32] = Sha256::digest(seed).into();
        let draw = |label: &str| draw(&seed, label);
        let distro = distro::choose(family, draw("distro"));
        let hypervisor = hardware::hypervisor(family, draw("hypervisor"));
        let cpu = hardware::cpu(distro.arch, draw("cpu"));
        let (cpus, mem_kb, disk_kb) = hardware::size(family, draw("size"));
        let reserved = mem_kb / 40 + draw("mem") % 9000;
        let subnet = draw("subnet");
        let ipv4 = match (family, subnet % 3) {
            (Family::Device, _) => [192, 168, (subnet >> 8) as u8 % 3, 1],
            (_, 0) => [10, (subnet >> 8) as u8 % 64, (subnet >> 16) as u8, 4 + (subnet >> 24) as u8 % 240],
            (_, 1) => {
                [172, 16 + (subnet >> 8) as u8 % 15, (subnet >> 16) as u8, 4 + (subnet >> 24) as u8 % 240]
            }
            _ => [192, 168, (subnet >> 8) as u8 % 250, 10 + (subnet >> 24) as u8 % 230],
        };
        let gateway = match family {
            Family::Device => [ipv4[0], ipv4[1], ipv4[2], 254],
            Family::Server => [ipv4[0], ipv4[1], ipv4[2], 1],
        };
        let mac_tail = draw("mac").to_le_bytes();
        let [o1, o2, o3] = hypervisor.oui;
        let installed =
            (distro.released + 86_400 * (20 + (draw("installed") % 300) as i64)).min(now - 40 * 86_400);
        let rhythm = 86_400 * (23 + (draw("rhythm") % 190) as i64) + (draw("rhythm-s") % 86_400) as i64;
        let booted = (now - (now - (draw("phase") % 20_000_000) as i64).rem_euclid(rhythm)).max(installed);
        let users = distro::users(distro, draw("user"));
        let mut persona = Persona {
            seed,
            hostname: hardware::hostname(family, draw("hostname"), ipv4),
            distro,
            family,
            cpu,
            cpus,
            mem_kb: mem_kb.saturating_sub(reserved),
            disk_kb,
            disk_used_kb: disk_kb / 100 * (9 + draw("used") % 51) + draw("used-kb") % (disk_kb / 100),
            hypervisor,
            interface: hardware::interface(distro, hypervisor),
            mac: [o1, o2, o3, mac_tail[0], mac_tail[1], mac_tail[2]],
            ipv4,
            prefix: 24,
            gateway,
            users,
            processes: Vec::new(),
            installed,
            booted,
        };
        persona.processes = hardware::processes(&persona);
        persona
    }

    /// Replaces the derived host name with one the operator chose.
    #[must_use]
    pub fn with_hostname(mut self, hostname: &str) -> Persona {
        self.hostname = hostname.to_owned();
        self
    }

    /// A number that belongs to this persona and `label`, the same at every start.
    #[must_use]
    pub fn draw(&self, label: &str) -> u64 {
        draw(&self.seed, label)
    }

    /// The SSH identification string without CR LF (RFC 4253, 4.2), coherent with the distribution.
    #[must_use]
    pub fn ssh_banner(&self) -> &'static str {
        self.distro.ssh_banner
    }

    /// The private IPv4 address in dotted form.
    #[must_use]
    pub fn ip(&self) -> String {
        dotted(self.ipv4)
    }

    /// The hardware address in colon form.
    #[must_use]
    pub fn mac_text(&self) -> String {
        self.mac.map(|b| format!("{b:02x}")).join(":")
    }

    /// The user called `name`.
    #[must_use]
    pub fn user(&self, name: &str) -> Option<&User> {
        self.users.iter().find(|u| u.name == name)
    }

    /// The first ordinary user (uid 1000), where the distribution has one.
    #[must_use]
    pub fn person(&self) -> Option<&User> {
        self.users.iter().find(|u| u.uid == 1000)
    }

    /// Seconds since boot at `now` (Unix seconds).
    #[must_use]
    pub fn uptime_s(&self, now: i64) -> i64 {
        (now - self.booted).max(61)
    }
}

/// `a.b.c.d`.
pub(crate) fn dotted(ip: [u8; 4]) -> String {
    ip.map(|b| b.to_string()).join(".")
}

fn draw(seed: &[u8; 32], label: &str) -> u64 {
    let digest = Sha256::new().chain_update(seed).chain_update(label.as_bytes()).finalize();
    digest.iter().take(8).fold(0, |n, b| n << 8 | u64::from(*b))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_790_000_000;

    #[test]
    fn one_seed_is_one_machine_for_ever_and_two_seeds_are_two() {
        let a = Persona::derive(b"node-a", Family::Server, NOW);
        let again = Persona::derive(b"node-a", Family::Server, NOW + 3600);
        assert_eq!(
            (&a.hostname, a.mac, a.ipv4, a.booted),
            (&again.hostname, again.mac, again.ipv4, again.booted)
        );
        assert_eq!(a.processes, again.processes);
        let b = Persona::derive(b"node-b", Family::Server, NOW);
        assert_ne!((a.mac, a.ipv4), (b.mac, b.ipv4));
    }

    #[test]
    fn every_persona_is_coherent() {
        for n in 0..300_u32 {
            for family in [Family::Server, Family::Device] {
                let p = Persona::derive(&n.to_le_bytes(), family, NOW);
                assert!(p.booted < NOW && p.booted >= p.installed, "{p:?}");
                assert!(p.uptime_s(NOW) < 230 * 86_400, "{}", p.uptime_s(NOW));
                assert!(p.disk_used_kb < p.disk_kb && p.mem_kb > 20_000);
                assert!(p.ssh_banner().starts_with("SSH-2.0-"));
                assert!(p.user("root").is_some_and(|u| u.uid == 0));
                assert!(p.processes.windows(2).all(|w| w[0].pid < w[1].pid), "{:?}", p.processes);
                assert_eq!(family == Family::Device, p.distro.packaging == Packaging::None);
            }
        }
    }

    #[test]
    fn all_distributions_occur() {
        let names: std::collections::BTreeSet<_> = (0..200_u32)
            .map(|n| Persona::derive(&n.to_le_bytes(), Family::Server, NOW).distro.pretty_name)
            .collect();
        assert!(names.len() >= 5, "{names:?}");
    }
}
