//! What a shell remembers between lines: users, directories, variables, history. Cheap to clone for subshells.

use super::parse::Command;
use super::{Login, System, clock, limits};
use crate::persona::{Family, Packaging};
use crate::vfs::Cred;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Which shell a level pretends to be: decides its messages and prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flavour {
    Bash,
    Dash,
    Ash,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Variable {
    pub(crate) value: Vec<u8>,
    pub(crate) exported: bool,
}

/// One shell level: the login shell, or one started with `sh`, `su`, `sudo -i`.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) flavour: Flavour,
    pub(crate) user: String,
    pub(crate) cred: Cred,
    pub(crate) home: String,
    pub(crate) cwd: String,
    pub(crate) vars: BTreeMap<String, Variable>,
    pub(crate) aliases: BTreeMap<String, String>,
    pub(crate) functions: BTreeMap<String, Arc<Command>>,
    pub(crate) args: Vec<Vec<u8>>,
    pub(crate) name: String,
    pub(crate) errexit: bool,
    pub(crate) vars_bytes: usize,
}

/// A shell's memory.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) frames: Vec<Arc<Frame>>,
    pub(crate) login: Arc<Login>,
    pub(crate) tty: bool,
    pub(crate) pid: u32,
    pub(crate) last_pid: u32,
    pub(crate) background: u32,
    pub(crate) last_status: i32,
    pub(crate) history: Arc<Vec<String>>,
    pub(crate) random: u64,
    pub(crate) exited: Option<i32>,
    // Accounts added or removed in this session are in /etc/passwd of the tree; crontabs are kept here per user.
    pub(crate) crontabs: BTreeMap<String, Vec<u8>>,
}

impl State {
    pub(crate) fn new(system: &System, login: &Login, tty: bool) -> State {
        let persona = system.persona();
        let known = persona.user(&login.user);
        let (cred, home) = match known {
            Some(user) => (Cred { uid: user.uid, gid: user.gid }, user.home.clone()),
            // Accounts the persona lacks are let in as the trap was told; a device runs everything as root.
            None if persona.family == Family::Device => (Cred::ROOT, "/".to_owned()),
            None => (Cred { uid: 1001, gid: 1001 }, "/tmp".to_owned()),
        };
        let flavour = if persona.family == Family::Device { Flavour::Ash } else { Flavour::Bash };
        let mut frame = Frame {
            flavour,
            user: login.user.clone(),
            cred,
            cwd: home.clone(),
            home,
            vars: BTreeMap::new(),
            aliases: BTreeMap::new(),
            functions: BTreeMap::new(),
            args: Vec::new(),
            name: match (flavour, tty) {
                (Flavour::Bash, true) => "-bash",
                (Flavour::Bash, false) => "bash",
                (Flavour::Ash, true) => "-sh",
                _ => "sh",
            }
            .to_owned(),
            errexit: false,
            vars_bytes: 0,
        };
        frame.environment(system, login, tty);
        let pid = persona.last_pid(login.at_ms / 1000) + 17;
        State {
            frames: vec![Arc::new(frame)],
            login: Arc::new(login.clone()),
            tty,
            pid,
            last_pid: pid + 14,
            background: 0,
            last_status: 0,
            history: Arc::default(),
            random: persona.draw("random") ^ u64::from(pid),
            exited: None,
            crontabs: BTreeMap::new(),
        }
    }

    /// The innermost shell.
    pub(crate) fn top(&self) -> &Frame {
        // There is always a login shell: `pop` keeps the first frame.
        #[expect(clippy::expect_used, reason = "the first frame is never removed")]
        self.frames.last().expect("a shell has at least its login frame")
    }

    pub(crate) fn top_mut(&mut self) -> &mut Frame {
        #[expect(clippy::expect_used, reason = "the first frame is never removed")]
        Arc::make_mut(self.frames.last_mut().expect("a shell has at least its login frame"))
    }

    /// Starts an inner shell; a chain longer than the limit is ignored.
    pub(crate) fn push(&mut self, frame: Frame) {
        if self.frames.len() < limits::SHELLS_MAX {
            self.frames.push(Arc::new(frame));
        }
    }

    /// Leaves the innermost shell; false if it was the login shell.
    pub(crate) fn pop(&mut self) -> bool {
        if self.frames.len() > 1 {
            self.frames.pop();
            return true;
        }
        false
    }

    /// The next process id.
    pub(crate) fn next_pid(&mut self) -> u32 {
        self.last_pid += 1 + (self.draw() % 2) as u32;
        self.last_pid
    }

    /// The next number of `$RANDOM`, `mktemp` and `shuf`.
    pub(crate) fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (z ^ (z >> 27)) >> 3
    }

    pub(crate) fn remember(&mut self, line: &str) {
        let history = Arc::make_mut(&mut self.history);
        if line.trim().is_empty() || history.last().is_some_and(|l| l == line) {
            return;
        }
        if history.len() >= limits::HISTORY_MAX {
            history.remove(0);
        }
        history.push(line.chars().take(4096).collect());
    }

    pub(crate) fn prompt(&self, system: &System) -> String {
        let f = self.top();
        let sign = if f.cred.uid == 0 { '#' } else { '$' };
        let dir = match f.cwd.strip_prefix(&f.home) {
            Some(rest) if f.home != "/" && (rest.is_empty() || rest.starts_with('/')) => format!("~{rest}"),
            _ => f.cwd.clone(),
        };
        match f.flavour {
            Flavour::Dash => format!("{sign} "),
            Flavour::Ash => format!("{dir} {sign} "),
            Flavour::Bash if system.persona().distro.packaging == Packaging::Rpm => {
                let short = if dir == "/" { "/" } else { dir.rsplit('/').next().unwrap_or("/") };
                format!("[{}@{} {short}]{sign} ", f.user, system.persona().hostname)
            }
            Flavour::Bash => format!("{}@{}:{dir}{sign} ", f.user, system.persona().hostname),
        }
    }

    pub(crate) fn greeting(&self, system: &System, now_ms: i64) -> String {
        let p = system.persona();
        let d = p.distro;
        let (now, load) = (now_ms / 1000, p.load(now_ms / 1000));
        let last = now - 40_000 - (p.draw("last login") % 500_000) as i64;
        let from = format!("{}.{}.{}.{}", p.ipv4[0], p.ipv4[1], p.ipv4[2], 2 + p.draw("admin ip") % 250);
        let last_login = format!(
            "Last login: {} from {from}\n",
            clock::strftime("%a %b %e %H:%M:%S %Y", last.max(p.booted))
        );
        match d.id {
            "debian" => format!(
                "Linux {} {} {} {}\n\nThe programs included with the Debian GNU/Linux system are free software;\nthe exact distribution terms for each program are described in the\nindividual files in /usr/share/doc/*/copyright.\n\nDebian GNU/Linux comes with ABSOLUTELY NO WARRANTY, to the extent\npermitted by applicable law.\n{last_login}",
                p.hostname, d.kernel, d.kernel_version, d.machine
            ),
            "ubuntu" => format!(
                "Welcome to {} (GNU/Linux {} {})\n\n * Documentation:  https://help.ubuntu.com\n * Management:     https://landscape.canonical.com\n * Support:        https://ubuntu.com/advantage\n\n  System information as of {}\n\n  System load:  {:<18.2} Processes:             {}\n  Usage of /:   {:<18} Users logged in:       0\n  Memory usage: {:<18} IPv4 address for {}: {}\n  Swap usage:   0%\n\n{last_login}",
                d.pretty_name,
                d.kernel,
                d.machine,
                clock::strftime("%a %b %e %H:%M:%S UTC %Y", now),
                load[0],
                90 + p.processes.len(),
                format!(
                    "{:.1}% of {:.2}GB",
                    p.disk_used_kb as f64 * 100.0 / p.disk_kb as f64,
                    p.disk_kb as f64 / 1_048_576.0
                ),
                format!("{}%", p.memory(now).used() * 100 / p.mem_kb),
                p.interface,
                p.ip()
            ),
            "centos" => last_login,
            _ => format!(
                "\n\n{} built-in shell (ash)\nEnter 'help' for a list of built-in commands.\n\n",
                d.busybox
            ),
        }
    }
}

impl Frame {
    /// Sets the variables of a fresh login.
    pub(crate) fn environment(&mut self, system: &System, login: &Login, tty: bool) {
        let persona = system.persona();
        let path = match (persona.family, self.cred.uid) {
            (Family::Device, _) => "/sbin:/usr/sbin:/bin:/usr/bin",
            (_, 0) => "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            _ => "/usr/local/bin:/usr/bin:/bin:/usr/games",
        };
        let shell = if self.flavour == Flavour::Bash { "/bin/bash" } else { "/bin/sh" };
        let (user, home, cwd) = (self.user.clone(), self.home.clone(), self.cwd.clone());
        let mut set = |name: &str, value: &str| self.set(name, value.as_bytes().to_vec(), Some(true));
        set("SHELL", shell);
        set("PWD", &cwd);
        set("LOGNAME", &user);
        set("HOME", &home);
        set("USER", &user);
        set("PATH", path);
        set("SHLVL", "1");
        if persona.family == Family::Server {
            set("LANG", if persona.distro.packaging == Packaging::Rpm { "en_US.UTF-8" } else { "C.UTF-8" });
            set("MAIL", &format!("/var/mail/{user}"));
            set("_", "/usr/bin/env");
        }
        if login.ssh {
            set("SSH_CLIENT", &format!("{} {} {}", login.client_ip, login.client_port, login.server_port));
            set(
                "SSH_CONNECTION",
                &format!(
                    "{} {} {} {}",
                    login.client_ip, login.client_port, login.server_ip, login.server_port
                ),
            );
        }
        if tty {
            set("TERM", if login.ssh { "xterm" } else { "vt100" });
            if login.ssh {
                set("SSH_TTY", "/dev/pts/0");
            }
        }
        if tty && persona.distro.packaging == Packaging::Deb {
            for (name, value) in [("ll", "ls -alF"), ("la", "ls -A"), ("l", "ls -CF")] {
                self.aliases.insert(name.into(), value.into());
            }
        } else if tty && persona.distro.packaging == Packaging::Rpm {
            self.aliases.insert("ll".into(), "ls -l --color=auto".into());
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&[u8]> {
        self.vars.get(name).map(|v| v.value.as_slice())
    }

    pub(crate) fn text(&self, name: &str) -> String {
        String::from_utf8_lossy(self.get(name).unwrap_or_default()).into_owned()
    }

    /// Sets a variable within the limits; `exported: None` keeps what it was.
    pub(crate) fn set(&mut self, name: &str, mut value: Vec<u8>, exported: Option<bool>) {
        value.truncate(limits::VALUE_BYTES_MAX);
        let old = self.vars.get(name);
        if old.is_none() && self.vars.len() >= limits::NAMES_MAX {
            return;
        }
        let held = old.map_or(0, |v| v.value.len());
        let total = self.vars_bytes + value.len() - held.min(self.vars_bytes);
        if total > limits::PIPE_BYTES_MAX {
            return;
        }
        let exported = exported.unwrap_or_else(|| old.is_some_and(|v| v.exported));
        self.vars_bytes = total;
        self.vars.insert(name.to_owned(), Variable { value, exported });
    }

    pub(crate) fn unset(&mut self, name: &str) {
        if let Some(old) = self.vars.remove(name) {
            self.vars_bytes = self.vars_bytes.saturating_sub(old.value.len());
        }
    }
}
