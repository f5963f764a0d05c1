//! The commands. Each is a function over a [`Ctx`]; the table in [`lookup`] is the list of what exists.

mod accounts;
mod archive;
mod awk;
mod builtins;
mod dd;
mod disk;
mod files;
mod filters;
mod find;
mod hash;
mod help;
mod list;
mod network;
mod packages;
mod printf;
mod processes;
mod sed;
mod shells;
mod system;
mod test;
mod text;
mod transfer;

use super::Effect;
use super::exec::{Interp, Run};
use super::io::{Fds, Source, Target};
use super::state::Flavour;
use crate::persona::{Family, Persona};
use crate::vfs::{Cred, Errno, OpenFlags, Origin};
use std::sync::Arc;

/// A file's name as given and its content.
pub(crate) type Named = (String, Arc<Vec<u8>>);

/// How a command is called.
pub(crate) type Command = fn(&mut Ctx<'_, '_>) -> Run<i32>;

/// A running command: its arguments, its descriptors and the shell around it.
pub(crate) struct Ctx<'i, 'a> {
    pub(crate) i: &'i mut Interp<'a>,
    /// The name it goes by (`egrep` for grep, an applet's name).
    pub(crate) name: String,
    /// Arguments; the first is the name as typed.
    pub(crate) args: Vec<Vec<u8>>,
    pub(crate) fds: Fds,
}

/// Arguments sorted into options and operands.
pub(crate) struct Options {
    pub(crate) flags: Vec<(String, Option<String>)>,
    pub(crate) operands: Vec<String>,
}

impl Options {
    /// Whether one of the names was given.
    pub(crate) fn has(&self, names: &str) -> bool {
        names.split(' ').any(|n| self.flags.iter().any(|(f, _)| f == n))
    }

    /// The last value given to one of the names.
    pub(crate) fn value(&self, names: &str) -> Option<&str> {
        self.flags
            .iter()
            .rev()
            .find(|(f, _)| names.split(' ').any(|n| n == f))
            .and_then(|(_, v)| v.as_deref())
    }

    /// All values given to one of the names.
    pub(crate) fn values(&self, names: &str) -> Vec<&str> {
        self.flags
            .iter()
            .filter(|(f, _)| names.split(' ').any(|n| n == f))
            .filter_map(|(_, v)| v.as_deref())
            .collect()
    }
}

impl Ctx<'_, '_> {
    /// Arguments after the name, as text.
    pub(crate) fn texts(&self) -> Vec<String> {
        self.args.iter().skip(1).map(|a| String::from_utf8_lossy(a).into_owned()).collect()
    }

    /// Splits arguments; `with_value` lists the options that take one, short and long, separated by blanks.
    pub(crate) fn options(&self, with_value: &str) -> Options {
        let takes = |name: &str| with_value.split(' ').any(|w| w == name);
        let (mut flags, mut operands) = (Vec::new(), Vec::new());
        let mut args = self.texts().into_iter();
        let mut only_operands = false;
        while let Some(arg) = args.next() {
            if only_operands || !arg.starts_with('-') || arg == "-" {
                operands.push(arg);
            } else if arg == "--" {
                only_operands = true;
            } else if let Some(long) = arg.strip_prefix("--") {
                match long.split_once('=') {
                    Some((name, value)) => flags.push((name.to_owned(), Some(value.to_owned()))),
                    None => {
                        let value = if takes(long) { args.next() } else { None };
                        flags.push((long.to_owned(), value));
                    }
                }
            } else {
                let mut letters = arg.chars().skip(1);
                while let Some(letter) = letters.next() {
                    let name = letter.to_string();
                    if takes(&name) {
                        let rest: String = letters.by_ref().collect();
                        let value = if rest.is_empty() { args.next() } else { Some(rest) };
                        flags.push((name, value));
                    } else {
                        flags.push((name, None));
                    }
                }
            }
        }
        Options { flags, operands }
    }

    pub(crate) fn out(&mut self, text: impl AsRef<[u8]>) -> Run<()> {
        self.i.write(self.fds.out, text.as_ref())
    }

    pub(crate) fn err(&mut self, text: impl AsRef<[u8]>) -> Run<()> {
        self.i.write(self.fds.err, text.as_ref())
    }

    /// `name: text` on standard error, and the exit code to return.
    pub(crate) fn fail(&mut self, text: impl AsRef<str>, code: i32) -> Run<i32> {
        let line = format!("{}: {}\n", self.name, text.as_ref());
        self.err(line)?;
        Ok(code)
    }

    pub(crate) fn persona(&self) -> Arc<Persona> {
        self.i.sys.persona().clone()
    }

    pub(crate) fn is_device(&self) -> bool {
        self.i.sys.persona().family == Family::Device
    }

    pub(crate) fn cwd(&self) -> String {
        self.i.st.top().cwd.clone()
    }

    pub(crate) fn cred(&self) -> Cred {
        self.i.st.top().cred
    }

    pub(crate) fn is_root(&self) -> bool {
        self.cred().uid == 0
    }

    pub(crate) fn now(&self) -> i64 {
        self.i.now()
    }

    pub(crate) fn effect(&mut self, effect: Effect) {
        self.i.effect(effect);
    }

    /// Whether output goes to the attacker's screen.
    pub(crate) fn to_screen(&self) -> bool {
        self.fds.out == Target::Out && self.i.st.tty
    }

    /// Everything on standard input.
    pub(crate) fn stdin(&mut self) -> Run<Arc<Vec<u8>>> {
        self.i.read_all(self.fds.input)
    }

    /// Whether input would come from the attacker's keyboard.
    pub(crate) fn reads_session(&self) -> bool {
        self.fds.input == Source::Session
    }

    /// Content of a file; `-` is standard input.
    pub(crate) fn read(&mut self, path: &str) -> Run<Result<Arc<Vec<u8>>, Errno>> {
        if path == "-" || path == "/dev/stdin" {
            return self.stdin().map(Ok);
        }
        let (cwd, cred) = (self.cwd(), self.cred());
        let data = self
            .i
            .vfs
            .open(&cwd, path, OpenFlags::READ, cred, Origin::Command)
            .and_then(|h| self.i.vfs.read_id(h.id));
        if let Ok(data) = &data {
            self.i.work(data.len())?;
        }
        Ok(data)
    }

    /// Contents of the operands one by one, or standard input if there are none; failures are said.
    pub(crate) fn inputs(&mut self, operands: &[String]) -> Run<(Vec<Named>, bool)> {
        if operands.is_empty() {
            return Ok((vec![("-".to_owned(), self.stdin()?)], true));
        }
        let (mut found, mut fine) = (Vec::new(), true);
        for path in operands {
            match self.read(path)? {
                Ok(data) => found.push((path.clone(), data)),
                Err(error) => {
                    fine = false;
                    self.fail(format!("{path}: {}", error.text()), 1)?;
                }
            }
        }
        Ok((found, fine))
    }

    /// Writes a file as the shell's user.
    pub(crate) fn write_file(&mut self, path: &str, bytes: &[u8], append: bool) -> Run<Result<(), Errno>> {
        self.i.work(bytes.len())?;
        let (cwd, cred) = (self.cwd(), self.cred());
        let flags = if append { OpenFlags::APPEND } else { OpenFlags::REPLACE };
        Ok(self
            .i
            .vfs
            .open(&cwd, path, flags, cred, Origin::Command)
            .and_then(|h| self.i.vfs.write(h, 0, bytes)))
    }
}

/// Commands the shell has without a file.
pub(crate) fn is_builtin(name: &str, flavour: Flavour) -> bool {
    const ALL: &str = ". : [ alias bg break cd command continue echo eval exec exit export false fg getopts hash jobs kill printf pwd read readonly return set shift test times trap true type ulimit umask unalias unset wait local";
    const BASH: &str = "builtin caller declare dirs disown enable help history let logout mapfile popd pushd shopt source suspend typeset [[";
    const ASH: &str = "help history source";
    let has = |list: &str| list.split(' ').any(|n| n == name);
    has(ALL)
        || match flavour {
            Flavour::Bash => has(BASH),
            Flavour::Ash => has(ASH),
            Flavour::Dash => false,
        }
}

/// The command behind a name.
pub(crate) fn lookup(name: &str) -> Option<Command> {
    Some(match name {
        ":" | "true" => builtins::yes,
        "false" => builtins::no,
        "cd" | "chdir" => builtins::cd,
        "pwd" => builtins::pwd,
        "echo" => builtins::echo,
        "printf" => printf::printf,
        "exit" | "logout" => builtins::exit,
        "export" | "declare" | "typeset" | "readonly" | "local" => builtins::export,
        "unset" => builtins::unset,
        "set" => builtins::set,
        "shopt" | "ulimit" | "umask" | "trap" | "wait" | "hash" | "jobs" | "bg" | "fg" | "times"
        | "enable" | "disown" | "suspend" => builtins::minor,
        "alias" => builtins::alias,
        "unalias" => builtins::unalias,
        "history" => builtins::history,
        "help" => builtins::help,
        "type" | "which" | "whereis" | "command" | "locate" => builtins::which,
        "read" => builtins::read,
        "eval" => builtins::eval,
        "exec" | "builtin" => builtins::exec,
        "." | "source" => builtins::source,
        "break" | "continue" | "return" => builtins::leave,
        "shift" => builtins::shift,
        "let" => builtins::let_,
        "env" | "printenv" => builtins::env,
        "test" | "[" | "[[" => test::test,
        "sh" | "bash" | "ash" | "dash" | "rbash" => shells::sh,
        "busybox" => shells::busybox,
        "su" => shells::su,
        "sudo" => shells::sudo,
        "nohup" | "setsid" | "nice" | "ionice" | "time" | "timeout" | "stdbuf" | "strace" | "unshare"
        | "chroot" | "watch" => shells::wrapper,
        "screen" | "tmux" | "script" => shells::screen,
        "xargs" => shells::xargs,
        "python" | "python2" | "python3" | "python2.7" | "perl" | "php" | "ruby" | "node" | "gcc" | "cc"
        | "make" | "java" => shells::interpreter,
        "yes" => text::yes,
        "seq" => text::seq,
        "cat" => text::cat,
        "tac" => text::tac,
        "rev" => text::rev,
        "head" => text::head,
        "tail" => text::tail,
        "wc" => text::wc,
        "nl" => text::nl,
        "tee" => text::tee,
        "strings" => text::strings,
        "more" | "less" => text::cat,
        "hexdump" | "xxd" | "od" => text::hexdump,
        "expr" => text::expr,
        "sort" => filters::sort,
        "uniq" => filters::uniq,
        "cut" => filters::cut,
        "tr" => filters::tr,
        "grep" | "egrep" | "fgrep" | "zgrep" => filters::grep,
        "sed" => sed::sed,
        "awk" | "gawk" | "mawk" => awk::awk,
        "base64" => hash::base64,
        "md5sum" | "sha1sum" | "sha256sum" | "sha512sum" => hash::sum,
        "openssl" => hash::openssl,
        "ls" | "dir" | "vdir" => list::ls,
        "stat" => list::stat,
        "file" => list::file,
        "readlink" | "realpath" => list::readlink,
        "find" => find::find,
        "cp" | "mv" | "install" => files::cp,
        "rm" | "unlink" | "shred" => files::rm,
        "mkdir" => files::mkdir,
        "rmdir" => files::rmdir,
        "touch" => files::touch,
        "ln" => files::ln,
        "chmod" => files::chmod,
        "chown" | "chgrp" => files::chown,
        "chattr" => files::chattr,
        "lsattr" => files::lsattr,
        "mktemp" | "tempfile" => files::mktemp,
        "truncate" | "fallocate" => files::truncate,
        "basename" | "dirname" => files::basename,
        "dd" => dd::dd,
        "sync" => builtins::yes,
        "df" => disk::df,
        "du" => disk::du,
        "mount" => disk::mount,
        "umount" => disk::umount,
        "lsblk" => disk::lsblk,
        "fdisk" | "blkid" => disk::fdisk,
        "tar" | "gzip" | "gunzip" | "zcat" | "bzip2" | "bunzip2" | "xz" | "unzip" | "zip" => archive::archive,
        "uname" => system::uname,
        "arch" => system::arch,
        "hostname" | "hostnamectl" | "dnsdomainname" => system::hostname,
        "uptime" => system::uptime,
        "date" => system::date,
        "sleep" | "usleep" => system::sleep,
        "nproc" => system::nproc,
        "lscpu" => system::lscpu,
        "free" => system::free,
        "vmstat" => system::vmstat,
        "lspci" | "lsusb" => system::lspci,
        "lsmod" | "modprobe" | "insmod" | "rmmod" => system::lsmod,
        "dmesg" => system::dmesg,
        "dmidecode" => system::dmidecode,
        "lsb_release" => system::lsb_release,
        "sysctl" => system::sysctl,
        "getconf" => system::getconf,
        "clear" | "reset" => system::clear,
        "stty" | "tput" => system::stty,
        "tty" => system::tty,
        "reboot" | "shutdown" | "poweroff" | "halt" | "init" | "telinit" => system::power,
        "locale" => system::locale,
        "ps" => processes::ps,
        "top" | "htop" => processes::top,
        "kill" => processes::kill,
        "pkill" | "killall" => processes::pkill,
        "pidof" | "pgrep" => processes::pidof,
        "lsof" | "fuser" => processes::lsof,
        "id" => accounts::id,
        "whoami" | "logname" => accounts::whoami,
        "groups" => accounts::groups,
        "who" | "users" => accounts::who,
        "w" => accounts::w,
        "last" | "lastb" => accounts::last,
        "lastlog" => accounts::lastlog,
        "passwd" => accounts::passwd,
        "chpasswd" => accounts::chpasswd,
        "useradd" | "adduser" => accounts::useradd,
        "userdel" | "deluser" => accounts::userdel,
        "usermod" | "groupadd" | "addgroup" | "chsh" | "chage" | "gpasswd" => accounts::usermod,
        "crontab" => accounts::crontab,
        "ifconfig" => network::ifconfig,
        "ip" => network::ip,
        "netstat" => network::netstat,
        "ss" => network::ss,
        "route" => network::route,
        "arp" => network::arp,
        "iptables" | "ip6tables" | "iptables-save" | "ufw" | "firewall-cmd" | "nft" | "setenforce"
        | "getenforce" => network::firewall,
        "ping" | "ping6" => network::ping,
        "nslookup" | "dig" | "host" => network::nslookup,
        "ssh" | "sshpass" | "ssh-copy-id" => network::ssh,
        "ssh-keygen" => network::ssh_keygen,
        "nc" | "netcat" | "ncat" | "telnet" | "socat" => network::nc,
        "traceroute" | "tcpdump" | "nmap" => network::probe,
        "wget" => transfer::wget,
        "curl" => transfer::curl,
        "tftp" => transfer::tftp,
        "ftpget" | "ftpput" | "ftp" | "lwp-download" => transfer::ftp,
        "scp" | "rsync" | "sftp" => transfer::scp,
        "git" => transfer::git,
        "systemctl" | "service" | "chkconfig" | "update-rc.d" | "journalctl" => packages::systemctl,
        "apt" | "apt-get" | "apt-cache" | "aptitude" => packages::apt,
        "yum" | "dnf" => packages::yum,
        "dpkg" | "dpkg-query" => packages::dpkg,
        "rpm" => packages::rpm,
        "snap" | "pip" | "pip3" | "docker" => packages::absent,
        _ => return None,
    })
}
