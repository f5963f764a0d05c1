//! Builds the shared tree of a persona: programs, configuration, logs, homes, `/proc`, `/dev`.

mod etc;
mod programs;

use super::{Base, Content, Device, Kind, Node, NodeId, ROOT};
use crate::persona::{Family, Live, Packaging, Persona};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) use programs::APPLETS;

struct Builder {
    nodes: Vec<Node>,
    persona: Arc<Persona>,
}

pub(super) fn build(persona: Arc<Persona>) -> Base {
    let root =
        Node { kind: Kind::Dir(Arc::default()), mode: 0o755, uid: 0, gid: 0, mtime: persona.installed };
    let mut b = Builder { nodes: vec![root], persona };
    b.skeleton();
    programs::add(&mut b);
    etc::add(&mut b);
    b.homes();
    b.proc();
    b.devices();
    b.logs();
    Base { nodes: b.nodes, persona: b.persona }
}

impl Builder {
    /// Adds a directory with its parents and returns it.
    fn dir(&mut self, path: &str) -> NodeId {
        let mut here = ROOT;
        for part in path.split('/').filter(|p| !p.is_empty()) {
            here = match self.child(here, part) {
                Some(id) => id,
                None => self.insert(here, part, Kind::Dir(Arc::default()), 0o755),
            };
        }
        here
    }

    fn child(&self, dir: NodeId, name: &str) -> Option<NodeId> {
        let Kind::Dir(children) = &self.nodes.get(dir as usize)?.kind else { return None };
        let id = *children.get(name)?;
        if let Kind::Link(target) = &self.nodes.get(id as usize)?.kind {
            let target = target.to_string();
            return target.split('/').filter(|p| !p.is_empty()).try_fold(ROOT, |d, p| self.child(d, p));
        }
        Some(id)
    }

    fn insert(&mut self, dir: NodeId, name: &str, kind: Kind, mode: u16) -> NodeId {
        let id = self.nodes.len() as NodeId;
        let mtime = self.persona.installed + i64::from(id % 900);
        self.nodes.push(Node { kind, mode, uid: 0, gid: 0, mtime });
        if let Some(Node { kind: Kind::Dir(children), .. }) = self.nodes.get_mut(dir as usize) {
            Arc::make_mut(children).insert(Arc::from(name), id);
        }
        id
    }

    fn put(&mut self, path: &str, kind: Kind, mode: u16) -> NodeId {
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
        let dir = self.dir(dir);
        self.insert(dir, name, kind, mode)
    }

    fn file(&mut self, path: &str, text: impl Into<Vec<u8>>) -> NodeId {
        self.put(path, Kind::File(Content::Bytes(Arc::new(text.into()))), 0o644)
    }

    fn live(&mut self, path: &str, live: Live) {
        self.put(path, Kind::File(Content::Live(live)), 0o444);
    }

    fn link(&mut self, path: &str, target: &str) {
        self.put(path, Kind::Link(Arc::from(target)), 0o777);
    }

    fn own(&mut self, id: NodeId, uid: u32, gid: u32, mode: u16) {
        if let Some(node) = self.nodes.get_mut(id as usize) {
            (node.uid, node.gid, node.mode) = (uid, gid, mode);
        }
    }

    fn dated(&mut self, id: NodeId, mtime: i64) {
        if let Some(node) = self.nodes.get_mut(id as usize) {
            node.mtime = mtime;
        }
    }

    fn skeleton(&mut self) {
        if self.persona.family == Family::Server {
            self.dir("/usr");
            for name in ["bin", "sbin", "lib", "lib64"] {
                self.dir(&format!("/usr/{name}"));
                self.link(&format!("/{name}"), &format!("usr/{name}"));
            }
            for dir in [
                "/boot",
                "/home",
                "/media",
                "/mnt",
                "/opt",
                "/srv",
                "/sys/class/net",
                "/sys/class/dmi/id",
                "/usr/local/bin",
                "/usr/local/sbin",
                "/usr/share/doc",
                "/usr/src",
                "/var/cache",
                "/var/lib",
                "/var/mail",
                "/var/spool/cron",
                "/var/backups",
                "/run/lock",
            ] {
                self.dir(dir);
            }
            self.link("/var/run", "/run");
            let kernel = self.persona.distro.kernel;
            for (name, size) in
                [("vmlinuz", 8_152_768), ("initrd.img", 38_215_642), ("System.map", 5_214_332)]
            {
                self.put(
                    &format!("/boot/{name}-{kernel}"),
                    Kind::File(Content::Program { size, seed: size }),
                    0o644,
                );
            }
            self.dir(&format!("/lib/modules/{kernel}/kernel"));
        } else {
            for dir in [
                "/bin",
                "/sbin",
                "/usr/bin",
                "/usr/sbin",
                "/lib",
                "/mnt",
                "/var/run",
                "/var/log",
                "/home",
                "/sys",
                "/www",
            ] {
                self.dir(dir);
            }
        }
        for dir in ["/tmp", "/var/tmp"] {
            let id = self.dir(dir);
            self.own(id, 0, 0, 0o1777);
        }
    }

    fn homes(&mut self) {
        let id = self.dir("/root");
        self.own(id, 0, 0, 0o700);
        if self.persona.family == Family::Device {
            return;
        }
        let skeleton: [(&str, &[u8]); 2] =
            [(".bashrc", etc::BASHRC.as_bytes()), (".profile", etc::PROFILE.as_bytes())];
        let people: Vec<_> = self
            .persona
            .users
            .iter()
            .filter(|u| u.uid == 0 || u.uid >= 1000 && u.uid < 65_000)
            .cloned()
            .collect();
        for user in people {
            let home = self.dir(&user.home);
            self.own(home, user.uid, user.gid, if user.uid == 0 { 0o700 } else { 0o755 });
            for (name, text) in skeleton {
                let id = self.file(&format!("{}/{name}", user.home), text);
                self.own(id, user.uid, user.gid, 0o644);
            }
            let ssh = self.dir(&format!("{}/.ssh", user.home));
            self.own(ssh, user.uid, user.gid, 0o700);
            let history = if user.uid == 0 {
                etc::root_history(&self.persona)
            } else {
                "ls\nsudo su -\nexit\n".to_owned()
            };
            let id = self.file(&format!("{}/.bash_history", user.home), history);
            self.own(id, user.uid, user.gid, 0o600);
            self.dated(id, self.persona.booted + 5_400);
        }
    }

    fn proc(&mut self) {
        for (path, live) in [
            ("uptime", Live::Uptime),
            ("loadavg", Live::LoadAvg),
            ("meminfo", Live::MemInfo),
            ("cpuinfo", Live::CpuInfo),
            ("stat", Live::Stat),
            ("mounts", Live::Mounts),
            ("version", Live::Version),
            ("cmdline", Live::CmdLine),
            ("net/dev", Live::NetDev),
            ("net/route", Live::NetRoute),
            ("net/arp", Live::NetArp),
            ("net/tcp", Live::NetTcp),
            ("partitions", Live::Partitions),
            ("modules", Live::Modules),
            ("filesystems", Live::FileSystems),
            ("swaps", Live::Swaps),
            ("self/mounts", Live::Mounts),
            ("self/status", Live::SelfStatus),
        ] {
            self.live(&format!("/proc/{path}"), live);
        }
        self.link("/proc/self/exe", "/bin/cat");
        self.file("/proc/self/cmdline", "cat\0/proc/self/cmdline\0");
        let hostname = format!("{}\n", self.persona.hostname);
        self.file("/proc/sys/kernel/hostname", hostname);
        let release = format!("{}\n", self.persona.distro.kernel);
        self.file("/proc/sys/kernel/osrelease", release);
        self.file("/proc/sys/vm/drop_caches", "0\n");
        self.file("/proc/sys/net/ipv4/ip_forward", "0\n");
        self.file("/proc/sys/fs/file-max", "9223372036854775807\n");
        for process in self.persona.processes.clone() {
            let dir = format!("/proc/{}", process.pid);
            let program = process.command.split(' ').next().unwrap_or_default();
            let name =
                program.rsplit('/').next().unwrap_or_default().trim_matches(['[', ']', ':']).to_owned();
            let short: String = name.chars().take(15).collect();
            let kernel = process.command.starts_with('[');
            self.file(
                &format!("{dir}/cmdline"),
                if kernel { String::new() } else { format!("{}\0", process.command.replace(' ', "\0")) },
            );
            self.file(&format!("{dir}/comm"), format!("{short}\n"));
            self.file(
                &format!("{dir}/status"),
                format!(
                    "Name:\t{short}\nState:\tS (sleeping)\nPid:\t{}\nPPid:\t{}\nVmRSS:\t{:>8} kB\n",
                    process.pid, process.ppid, process.rss_kb
                ),
            );
            if program.starts_with('/') {
                self.link(&format!("{dir}/exe"), program);
            }
        }
    }

    fn devices(&mut self) {
        let mut device = |name: &str, block, major, minor, mode| {
            self.put(&format!("/dev/{name}"), Kind::Device(Device { block, major, minor }), mode);
        };
        for (name, minor) in [("null", 3), ("zero", 5), ("full", 7), ("random", 8), ("urandom", 9)] {
            device(name, false, 1, minor, 0o666);
        }
        device("tty", false, 5, 0, 0o666);
        device("console", false, 5, 1, 0o600);
        device("ptmx", false, 5, 2, 0o666);
        for n in 0..4 {
            device(&format!("tty{n}"), false, 4, n, 0o620);
        }
        device("ttyS0", false, 4, 64, 0o660);
        device("pts/0", false, 136, 0, 0o620);
        if self.persona.family == Family::Server {
            let disk = self.persona.hypervisor.disk;
            let mut device = |name: &str, minor| {
                self.put(
                    &format!("/dev/{name}"),
                    Kind::Device(Device { block: true, major: 254, minor }),
                    0o660,
                );
            };
            device(disk, 0);
            device(&format!("{disk}1"), 1);
        } else {
            for n in 0..6 {
                self.put(
                    &format!("/dev/mtdblock{n}"),
                    Kind::Device(Device { block: true, major: 31, minor: n }),
                    0o660,
                );
            }
        }
        let shm = self.dir("/dev/shm");
        self.own(shm, 0, 0, 0o1777);
        self.link("/dev/stdin", "/proc/self/fd/0");
        self.link("/dev/stdout", "/proc/self/fd/1");
        self.link("/dev/stderr", "/proc/self/fd/2");
    }

    fn logs(&mut self) {
        let p = self.persona.clone();
        let mut logs: BTreeMap<&str, String> = BTreeMap::new();
        let boot = crate::shell::clock::syslog(p.booted);
        let sshd = format!(
            "{boot} {} sshd[{}]: Server listening on 0.0.0.0 port 22.\n",
            p.hostname,
            600 + p.draw("sshd") % 300
        );
        match p.distro.packaging {
            Packaging::Deb => {
                logs.insert("auth.log", sshd);
                logs.insert(
                    "syslog",
                    format!(
                        "{boot} {} kernel: [    0.000000] Linux version {} {} {}\n",
                        p.hostname, p.distro.kernel, p.distro.compiler, p.distro.kernel_version
                    ),
                );
                logs.insert("dpkg.log", String::new());
                logs.insert("nginx/access.log", String::new());
                logs.insert("nginx/error.log", String::new());
            }
            Packaging::Rpm => {
                logs.insert("secure", sshd);
                logs.insert(
                    "messages",
                    format!("{boot} {} kernel: Linux version {}\n", p.hostname, p.distro.kernel),
                );
                logs.insert("yum.log", String::new());
                logs.insert("cron", String::new());
            }
            Packaging::None => {
                logs.insert("messages", format!("{boot} syslogd started: {}\n", p.distro.busybox));
            }
        }
        for (name, text) in logs {
            let id = self.file(&format!("/var/log/{name}"), text);
            self.dated(id, p.booted + 120);
        }
        for (name, size) in [("wtmp", 38_016), ("btmp", 1_152), ("lastlog", 292_292)] {
            let id = self.put(&format!("/var/log/{name}"), Kind::File(Content::Zeros(size)), 0o664);
            self.dated(id, p.booted + 60);
        }
    }
}
