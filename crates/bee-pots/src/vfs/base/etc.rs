//! `/etc` and other text files of the base tree.

use super::{Builder, Family};
use crate::persona::{Packaging, Persona};
use std::fmt::Write as _;

pub(super) const BASHRC: &str = "# ~/.bashrc: executed by bash(1) for non-login shells.\n\n# If not running interactively, don't do anything\ncase $- in\n    *i*) ;;\n      *) return;;\nesac\n\nHISTCONTROL=ignoreboth\nHISTSIZE=1000\nHISTFILESIZE=2000\nshopt -s checkwinsize\n\nalias ll='ls -alF'\nalias la='ls -A'\nalias l='ls -CF'\n";
pub(super) const PROFILE: &str = "# ~/.profile: executed by Bourne-compatible login shells.\n\nif [ \"$BASH\" ]; then\n  if [ -f ~/.bashrc ]; then\n    . ~/.bashrc\n  fi\nfi\n\nmesg n 2> /dev/null || true\n";

/// What the administrator seems to have done last.
pub(super) fn root_history(p: &Persona) -> String {
    const DEB: [&str; 8] = [
        "apt update",
        "apt upgrade -y",
        "systemctl status nginx",
        "df -h",
        "nano /etc/nginx/sites-available/default",
        "nginx -t",
        "tail -f /var/log/nginx/error.log",
        "ufw status",
    ];
    const RPM: [&str; 8] = [
        "yum update -y",
        "systemctl status sshd",
        "df -h",
        "vi /etc/sysconfig/network-scripts/ifcfg-eth0",
        "free -m",
        "tail /var/log/messages",
        "crontab -l",
        "firewall-cmd --list-all",
    ];
    let set = if p.distro.packaging == Packaging::Deb { DEB } else { RPM };
    let mut text = String::new();
    let mut n = p.draw("history");
    for _ in 0..6 + n % 9 {
        n = n.rotate_left(7).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let _ = writeln!(text, "{}", set.iter().cycle().nth((n >> 60) as usize).unwrap_or(&"ls"));
    }
    text + "exit\n"
}

/// A password hash nobody can reverse, in the form the distribution uses.
fn shadow_hash(p: &Persona, user: &str) -> String {
    const LETTERS: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let text = |len: usize, label: &str| {
        (0..len)
            .map(|n| {
                let draw = p.draw(&format!("shadow {user} {label} {n}"));
                char::from(LETTERS.get((draw % 64) as usize).copied().unwrap_or(b'.'))
            })
            .collect::<String>()
    };
    match p.distro.codename {
        "bookworm" | "bullseye" | "jammy" => format!("$y$j9T${}${}", text(22, "salt"), text(43, "hash")),
        "" => format!("$1${}${}", text(8, "salt"), text(22, "hash")),
        _ => format!("$6${}${}", text(16, "salt"), text(86, "hash")),
    }
}

pub(super) fn add(b: &mut Builder) {
    let p = b.persona.clone();
    let d = p.distro;
    let passwd = p.users.iter().fold(String::new(), |mut s, u| {
        let _ = writeln!(s, "{}:x:{}:{}:{}:{}:{}", u.name, u.uid, u.gid, u.gecos, u.home, u.shell);
        s
    });
    b.file("/etc/passwd", passwd);
    let day = p.installed / 86_400;
    let shadow = p.users.iter().fold(String::new(), |mut s, u| {
        let hash = if u.uid == 0 || u.uid == 1000 { shadow_hash(&p, &u.name) } else { "*".to_owned() };
        let _ = writeln!(s, "{}:{hash}:{day}:0:99999:7:::", u.name);
        s
    });
    let id = b.file("/etc/shadow", shadow);
    b.own(
        id,
        0,
        if d.packaging == Packaging::Deb { 42 } else { 0 },
        if d.packaging == Packaging::Deb { 0o640 } else { 0o600 },
    );
    let group = p.users.iter().filter(|u| u.gid == u.uid || u.uid < 100).fold(String::new(), |mut s, u| {
        let _ = writeln!(s, "{}:x:{}:", u.name, u.gid);
        s
    });
    b.file("/etc/group", group);
    b.file("/etc/hostname", format!("{}\n", p.hostname));
    b.file(
        "/etc/hosts",
        format!(
            "127.0.0.1\tlocalhost\n127.0.1.1\t{}\n\n::1\tlocalhost ip6-localhost ip6-loopback\n",
            p.hostname
        ),
    );
    b.file("/etc/resolv.conf", format!("nameserver {}\n", crate::persona::dotted(p.gateway)));
    b.file("/etc/localtime", "TZif2");
    b.file("/etc/fstab", format!("# <file system> <mount point>   <type>  <options>       <dump>  <pass>\n{} /               {}    errors=remount-ro 0       1\n", p.root_device(), d.root_fs));
    b.file("/etc/profile", "# /etc/profile: system-wide .profile file for the Bourne shell\n\nif [ \"$(id -u)\" -eq 0 ]; then\n  PATH=\"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\"\nfi\nexport PATH\n");
    b.file("/etc/shells", "# /etc/shells: valid login shells\n/bin/sh\n/bin/bash\n/usr/bin/bash\n");
    b.file("/etc/services", "ftp\t\t21/tcp\nssh\t\t22/tcp\ntelnet\t\t23/tcp\nsmtp\t\t25/tcp\ndomain\t\t53/tcp\ndomain\t\t53/udp\nhttp\t\t80/tcp\npop3\t\t110/tcp\nhttps\t\t443/tcp\n");
    if p.family == Family::Device {
        b.file("/etc/inittab", "::sysinit:/etc/init.d/rcS\n::respawn:/sbin/getty -L ttyS1 57600 vt100\n::shutdown:/bin/umount -a -r\n");
        let id =
            b.file("/etc/init.d/rcS", "#!/bin/sh\nmount -a\nmkdir -p /var/run\nifconfig lo up\ntelnetd\n");
        b.own(id, 0, 0, 0o755);
        b.file("/etc/version", format!("{}\n", d.version));
        b.file(
            "/www/index.html",
            "<html><head><meta http-equiv=\"refresh\" content=\"0;url=login.html\"></head></html>\n",
        );
        return;
    }
    let release = match d.id {
        "debian" => format!(
            "PRETTY_NAME=\"{}\"\nNAME=\"{}\"\nVERSION_ID=\"{}\"\nVERSION=\"{}\"\nVERSION_CODENAME={}\nID=debian\nHOME_URL=\"https://www.debian.org/\"\nSUPPORT_URL=\"https://www.debian.org/support\"\nBUG_REPORT_URL=\"https://bugs.debian.org/\"\n",
            d.pretty_name, d.name, d.version_id, d.version, d.codename
        ),
        "ubuntu" => format!(
            "PRETTY_NAME=\"{}\"\nNAME=\"{}\"\nVERSION_ID=\"{}\"\nVERSION=\"{}\"\nVERSION_CODENAME={}\nID=ubuntu\nID_LIKE=debian\nHOME_URL=\"https://www.ubuntu.com/\"\nSUPPORT_URL=\"https://help.ubuntu.com/\"\nBUG_REPORT_URL=\"https://bugs.launchpad.net/ubuntu/\"\nUBUNTU_CODENAME={}\n",
            d.pretty_name, d.name, d.version_id, d.version, d.codename, d.codename
        ),
        _ => format!(
            "NAME=\"CentOS Linux\"\nVERSION=\"{}\"\nID=\"centos\"\nID_LIKE=\"rhel fedora\"\nVERSION_ID=\"{}\"\nPRETTY_NAME=\"{}\"\nANSI_COLOR=\"0;31\"\nCPE_NAME=\"cpe:/o:centos:centos:7\"\nHOME_URL=\"https://www.centos.org/\"\nBUG_REPORT_URL=\"https://bugs.centos.org/\"\n",
            d.version, d.version_id, d.pretty_name
        ),
    };
    b.file("/usr/lib/os-release", release);
    b.link("/etc/os-release", "../usr/lib/os-release");
    b.file(
        "/etc/issue",
        match d.id {
            "centos" => "\\S\nKernel \\r on an \\m\n\n".to_owned(),
            "ubuntu" => format!("{} \\n \\l\n\n", d.pretty_name),
            _ => format!("{} {} \\n \\l\n\n", d.name, d.version_id),
        },
    );
    match d.packaging {
        Packaging::Rpm => {
            b.file("/etc/redhat-release", "CentOS Linux release 7.9.2009 (Core)\n");
            b.link("/etc/centos-release", "redhat-release");
            b.file("/etc/sysconfig/network", "# Created by anaconda\n");
            b.file("/etc/selinux/config", "SELINUX=disabled\nSELINUXTYPE=targeted\n");
        }
        _ => {
            if d.id == "debian" {
                b.file("/etc/debian_version", if d.version_id == "12" { "12.5\n" } else { "11.9\n" });
            } else {
                b.file(
                    "/etc/debian_version",
                    if d.version_id == "22.04" { "bookworm/sid\n" } else { "bullseye/sid\n" },
                );
                b.file("/etc/lsb-release", format!("DISTRIB_ID=Ubuntu\nDISTRIB_RELEASE={}\nDISTRIB_CODENAME={}\nDISTRIB_DESCRIPTION=\"{}\"\n", d.version_id, d.codename, d.pretty_name));
            }
            let (host, parts) = if d.id == "debian" {
                ("http://deb.debian.org/debian", "main")
            } else {
                ("http://archive.ubuntu.com/ubuntu", "main restricted universe multiverse")
            };
            b.file(
                "/etc/apt/sources.list",
                format!("deb {host} {0} {parts}\ndeb {host} {0}-updates {parts}\n", d.codename),
            );
            b.file(
                "/etc/network/interfaces",
                format!(
                    "auto lo\niface lo inet loopback\n\nallow-hotplug {0}\niface {0} inet dhcp\n",
                    p.interface
                ),
            );
        }
    }
    b.file("/etc/motd", if d.id == "debian" { "\nThe programs included with the Debian GNU/Linux system are free software;\nthe exact distribution terms for each program are described in the\nindividual files in /usr/share/doc/*/copyright.\n\nDebian GNU/Linux comes with ABSOLUTELY NO WARRANTY, to the extent\npermitted by applicable law.\n" } else { "" });
    b.file("/etc/crontab", "SHELL=/bin/sh\nPATH=/usr/local/sbin:/usr/local/bin:/sbin:/bin:/usr/sbin:/usr/bin\n\n17 *\t* * *\troot\tcd / && run-parts --report /etc/cron.hourly\n25 6\t* * *\troot\ttest -x /usr/sbin/anacron || ( cd / && run-parts --report /etc/cron.daily )\n");
    for dir in [
        "cron.d",
        "cron.daily",
        "cron.hourly",
        "cron.weekly",
        "cron.monthly",
        "init.d",
        "ssl/certs",
        "systemd/system",
        "skel",
        "security",
        "modprobe.d",
        "sudoers.d",
        "nginx/sites-enabled",
    ] {
        b.dir(&format!("/etc/{dir}"));
    }
    for name in ["ssh", "cron", "rsyslog", "nginx"] {
        let id = b.file(
            &format!("/etc/init.d/{name}"),
            format!(
                "#!/bin/sh\n### BEGIN INIT INFO\n# Provides:          {name}\n### END INIT INFO\nexit 0\n"
            ),
        );
        b.own(id, 0, 0, 0o755);
    }
    b.file("/etc/ssh/sshd_config", "Include /etc/ssh/sshd_config.d/*.conf\n\nPermitRootLogin yes\nPasswordAuthentication yes\nKbdInteractiveAuthentication no\nUsePAM yes\nX11Forwarding yes\nPrintMotd no\nAcceptEnv LANG LC_*\nSubsystem\tsftp\t/usr/lib/openssh/sftp-server\n");
    let id = b.file(
        "/etc/sudoers",
        "Defaults\tenv_reset\nDefaults\tmail_badpass\n\nroot\tALL=(ALL:ALL) ALL\n%sudo\tALL=(ALL:ALL) ALL\n",
    );
    b.own(id, 0, 0, 0o440);
    b.file("/etc/machine-id", format!("{:016x}{:016x}\n", p.draw("machine-id"), p.draw("machine-id-2")));
    b.file("/sys/class/dmi/id/product_name", format!("{}\n", p.hypervisor.product));
    b.file("/sys/class/dmi/id/sys_vendor", format!("{}\n", p.hypervisor.manufacturer));
    b.file(&format!("/sys/class/net/{}/address", p.interface), format!("{}\n", p.mac_text()));
    b.file("/var/www/html/index.html", "<!DOCTYPE html>\n<html>\n<head>\n<title>Welcome to nginx!</title>\n</head>\n<body>\n<h1>Welcome to nginx!</h1>\n</body>\n</html>\n");
}
