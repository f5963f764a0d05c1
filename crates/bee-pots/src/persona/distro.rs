//! Coherent sets of versions: a kernel, a release file and an OpenSSH banner that belong together.

use super::{Family, User};

/// Processor architecture of a persona.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arch {
    /// 64-bit PC.
    X86_64,
    /// 32-bit ARM, little endian.
    Arm,
    /// 32-bit MIPS, big endian.
    Mips,
}

/// Which package tools exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packaging {
    /// dpkg and apt.
    Deb,
    /// rpm and yum.
    Rpm,
    /// A firmware without packages.
    None,
}

/// One distribution release.
#[derive(Debug)]
pub struct Distro {
    /// `ID` of os-release.
    pub id: &'static str,
    /// `NAME` of os-release.
    pub name: &'static str,
    /// `VERSION_ID` of os-release.
    pub version_id: &'static str,
    /// `VERSION` of os-release.
    pub version: &'static str,
    /// `PRETTY_NAME` of os-release.
    pub pretty_name: &'static str,
    /// Code name, or empty.
    pub codename: &'static str,
    /// `uname -r`.
    pub kernel: &'static str,
    /// `uname -v`.
    pub kernel_version: &'static str,
    /// Compiler text of `/proc/version`.
    pub compiler: &'static str,
    /// `uname -m`.
    pub machine: &'static str,
    /// Architecture of its binaries.
    pub arch: Arch,
    /// Which package tools exist.
    pub packaging: Packaging,
    /// SSH identification string.
    pub ssh_banner: &'static str,
    /// `ssh -V`.
    pub ssh_version: &'static str,
    /// `bash --version`, first line's version.
    pub bash_version: &'static str,
    /// Banner of BusyBox where it has one.
    pub busybox: &'static str,
    /// `PRETTY` version of coreutils.
    pub coreutils: &'static str,
    /// Python 3 version, or empty if absent.
    pub python: &'static str,
    /// Perl version.
    pub perl: &'static str,
    /// curl and wget versions.
    pub curl: &'static str,
    /// Version of wget.
    pub wget: &'static str,
    /// Root device and its file system.
    pub root_device: &'static str,
    /// File system of the root device.
    pub root_fs: &'static str,
    /// Release time, Unix seconds: nothing on the disk is older than the packages.
    pub released: i64,
}

const DEBIAN_12: Distro = Distro {
    id: "debian",
    name: "Debian GNU/Linux",
    version_id: "12",
    version: "12 (bookworm)",
    pretty_name: "Debian GNU/Linux 12 (bookworm)",
    codename: "bookworm",
    kernel: "6.1.0-18-amd64",
    kernel_version: "#1 SMP PREEMPT_DYNAMIC Debian 6.1.76-1 (2024-02-01)",
    compiler: "(debian-kernel@lists.debian.org) (gcc-12 (Debian 12.2.0-14) 12.2.0, GNU ld (GNU Binutils for Debian) 2.40)",
    machine: "x86_64",
    arch: Arch::X86_64,
    packaging: Packaging::Deb,
    ssh_banner: "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u2",
    ssh_version: "OpenSSH_9.2p1 Debian-2+deb12u2, OpenSSL 3.0.11 19 Sep 2023",
    bash_version: "5.2.15(1)-release",
    busybox: "BusyBox v1.35.0 (Debian 1:1.35.0-4+b3)",
    coreutils: "9.1",
    python: "3.11.2",
    perl: "v5.36.0",
    curl: "7.88.1",
    wget: "1.21.3",
    root_device: "/dev/vda1",
    root_fs: "ext4",
    released: 1_708_000_000,
};

const DEBIAN_11: Distro = Distro {
    version_id: "11",
    version: "11 (bullseye)",
    pretty_name: "Debian GNU/Linux 11 (bullseye)",
    codename: "bullseye",
    kernel: "5.10.0-28-amd64",
    kernel_version: "#1 SMP Debian 5.10.209-2 (2024-01-31)",
    compiler: "(debian-kernel@lists.debian.org) (gcc-10 (Debian 10.2.1-6) 10.2.1 20210110, GNU ld (GNU Binutils for Debian) 2.35.2)",
    ssh_banner: "SSH-2.0-OpenSSH_8.4p1 Debian-5+deb11u3",
    ssh_version: "OpenSSH_8.4p1 Debian-5+deb11u3, OpenSSL 1.1.1w  11 Sep 2023",
    bash_version: "5.1.4(1)-release",
    busybox: "BusyBox v1.30.1 (Debian 1:1.30.1-6+b3)",
    coreutils: "8.32",
    python: "3.9.2",
    perl: "v5.32.1",
    curl: "7.74.0",
    wget: "1.21",
    ..DEBIAN_12
};

const UBUNTU_22: Distro = Distro {
    id: "ubuntu",
    name: "Ubuntu",
    version_id: "22.04",
    version: "22.04.4 LTS (Jammy Jellyfish)",
    pretty_name: "Ubuntu 22.04.4 LTS",
    codename: "jammy",
    kernel: "5.15.0-97-generic",
    kernel_version: "#107-Ubuntu SMP Wed Feb 7 13:26:48 UTC 2024",
    compiler: "(buildd@lcy02-amd64-033) (gcc (Ubuntu 11.4.0-1ubuntu1~22.04) 11.4.0, GNU ld (GNU Binutils for Ubuntu) 2.38)",
    ssh_banner: "SSH-2.0-OpenSSH_8.9p1 Ubuntu-3ubuntu0.6",
    ssh_version: "OpenSSH_8.9p1 Ubuntu-3ubuntu0.6, OpenSSL 3.0.2 15 Mar 2022",
    bash_version: "5.1.16(1)-release",
    busybox: "BusyBox v1.30.1 (Ubuntu 1:1.30.1-7ubuntu3)",
    coreutils: "8.32",
    python: "3.10.12",
    perl: "v5.34.0",
    curl: "7.81.0",
    wget: "1.21.2",
    ..DEBIAN_12
};

const UBUNTU_20: Distro = Distro {
    version_id: "20.04",
    version: "20.04.6 LTS (Focal Fossa)",
    pretty_name: "Ubuntu 20.04.6 LTS",
    codename: "focal",
    kernel: "5.4.0-172-generic",
    kernel_version: "#190-Ubuntu SMP Fri Feb 2 23:24:22 UTC 2024",
    compiler: "(buildd@lcy02-amd64-112) (gcc version 9.4.0 (Ubuntu 9.4.0-1ubuntu1~20.04.2))",
    ssh_banner: "SSH-2.0-OpenSSH_8.2p1 Ubuntu-4ubuntu0.11",
    ssh_version: "OpenSSH_8.2p1 Ubuntu-4ubuntu0.11, OpenSSL 1.1.1f  31 Mar 2020",
    bash_version: "5.0.17(1)-release",
    busybox: "BusyBox v1.30.1 (Ubuntu 1:1.30.1-4ubuntu6.4)",
    coreutils: "8.30",
    python: "3.8.10",
    perl: "v5.30.0",
    curl: "7.68.0",
    wget: "1.20.3",
    ..UBUNTU_22
};

const CENTOS_7: Distro = Distro {
    id: "centos",
    name: "CentOS Linux",
    version_id: "7",
    version: "7 (Core)",
    pretty_name: "CentOS Linux 7 (Core)",
    codename: "Core",
    kernel: "3.10.0-1160.108.1.el7.x86_64",
    kernel_version: "#1 SMP Thu Jan 25 16:17:31 UTC 2024",
    compiler: "(mockbuild@kbuilder.bsys.centos.org) (gcc version 4.8.5 20150623 (Red Hat 4.8.5-44) (GCC) )",
    packaging: Packaging::Rpm,
    ssh_banner: "SSH-2.0-OpenSSH_7.4",
    ssh_version: "OpenSSH_7.4p1, OpenSSL 1.0.2k-fips  26 Jan 2017",
    bash_version: "4.2.46(2)-release",
    busybox: "",
    coreutils: "8.22",
    python: "3.6.8",
    perl: "v5.16.3",
    curl: "7.29.0",
    wget: "1.14",
    root_device: "/dev/sda1",
    root_fs: "xfs",
    ..DEBIAN_12
};

const ROUTER_MIPS: Distro = Distro {
    id: "buildroot",
    name: "Buildroot",
    version_id: "2014.02",
    version: "2014.02",
    pretty_name: "Buildroot 2014.02",
    codename: "",
    kernel: "3.10.14",
    kernel_version: "#3 SMP Tue Mar 12 10:51:44 CST 2019",
    compiler: "(build@localhost) (gcc version 4.6.3 (Buildroot 2012.11.1) )",
    machine: "mips",
    arch: Arch::Mips,
    packaging: Packaging::None,
    ssh_banner: "SSH-2.0-dropbear_2014.63",
    ssh_version: "Dropbear v2014.63",
    bash_version: "",
    busybox: "BusyBox v1.22.1 (2019-03-12 10:45:21 CST)",
    coreutils: "",
    python: "",
    perl: "",
    curl: "",
    wget: "",
    root_device: "/dev/mtdblock5",
    root_fs: "squashfs",
    released: 1_552_400_000,
};

const CAMERA_ARM: Distro = Distro {
    kernel: "3.0.8",
    kernel_version: "#1 Thu Jul 6 11:20:13 CST 2017",
    compiler: "(root@compile) (gcc version 4.4.1 (Hisilicon_v100(gcc4.4-290+uclibc_0.9.32.1+eabi+linuxpthread)) )",
    machine: "armv7l",
    arch: Arch::Arm,
    ssh_banner: "SSH-2.0-dropbear_2012.55",
    ssh_version: "Dropbear v2012.55",
    busybox: "BusyBox v1.16.1 (2017-07-06 11:02:47 CST)",
    root_device: "/dev/mtdblock2",
    released: 1_499_400_000,
    ..ROUTER_MIPS
};

static SERVERS: [Distro; 5] = [DEBIAN_12, DEBIAN_11, UBUNTU_22, UBUNTU_20, CENTOS_7];
static DEVICES: [Distro; 2] = [ROUTER_MIPS, CAMERA_ARM];

/// The distribution that `number` selects within a family.
pub(super) fn choose(family: Family, number: u64) -> &'static Distro {
    let set: &'static [Distro] = match family {
        Family::Server => &SERVERS,
        Family::Device => &DEVICES,
    };
    set.iter().cycle().nth((number % set.len() as u64) as usize).unwrap_or(&SERVERS[0])
}

const PEOPLE: [(&str, &str); 12] = [
    ("admin", "Administrator"),
    ("deploy", "Deploy"),
    ("ubuntu", "Ubuntu"),
    ("backup1", ""),
    ("sysop", "System Operator"),
    ("mike", "Mike"),
    ("anna", "Anna"),
    ("dev", ""),
    ("jenkins", "Jenkins"),
    ("webadmin", "Web Admin"),
    ("support", ""),
    ("peter", "Peter"),
];

const DEB_USERS: &[(&str, u32, u32, &str, &str)] = &[
    ("daemon", 1, 1, "daemon", "/usr/sbin"),
    ("bin", 2, 2, "bin", "/bin"),
    ("sys", 3, 3, "sys", "/dev"),
    ("sync", 4, 65534, "sync", "/bin"),
    ("games", 5, 60, "games", "/usr/games"),
    ("man", 6, 12, "man", "/var/cache/man"),
    ("lp", 7, 7, "lp", "/var/spool/lpd"),
    ("mail", 8, 8, "mail", "/var/mail"),
    ("news", 9, 9, "news", "/var/spool/news"),
    ("uucp", 10, 10, "uucp", "/var/spool/uucp"),
    ("proxy", 13, 13, "proxy", "/bin"),
    ("www-data", 33, 33, "www-data", "/var/www"),
    ("backup", 34, 34, "backup", "/var/backups"),
    ("list", 38, 38, "Mailing List Manager", "/var/list"),
    ("irc", 39, 39, "ircd", "/run/ircd"),
    ("nobody", 65534, 65534, "nobody", "/nonexistent"),
    ("_apt", 100, 65534, "", "/nonexistent"),
    ("systemd-network", 101, 102, "systemd Network Management,,,", "/run/systemd"),
    ("systemd-resolve", 102, 103, "systemd Resolver,,,", "/run/systemd"),
    ("messagebus", 103, 104, "", "/nonexistent"),
    ("systemd-timesync", 104, 105, "systemd Time Synchronization,,,", "/run/systemd"),
    ("sshd", 105, 65534, "", "/run/sshd"),
];

const RPM_USERS: &[(&str, u32, u32, &str, &str)] = &[
    ("bin", 1, 1, "bin", "/bin"),
    ("daemon", 2, 2, "daemon", "/sbin"),
    ("adm", 3, 4, "adm", "/var/adm"),
    ("lp", 4, 7, "lp", "/var/spool/lpd"),
    ("sync", 5, 0, "sync", "/sbin"),
    ("shutdown", 6, 0, "shutdown", "/sbin"),
    ("halt", 7, 0, "halt", "/sbin"),
    ("mail", 8, 12, "mail", "/var/spool/mail"),
    ("operator", 11, 0, "operator", "/root"),
    ("games", 12, 100, "games", "/usr/games"),
    ("ftp", 14, 50, "FTP User", "/var/ftp"),
    ("nobody", 99, 99, "Nobody", "/"),
    ("systemd-network", 192, 192, "systemd Network Management", "/"),
    ("dbus", 81, 81, "System message bus", "/"),
    ("polkitd", 999, 998, "User for polkitd", "/"),
    ("sshd", 74, 74, "Privilege-separated SSH", "/var/empty/sshd"),
    ("postfix", 89, 89, "", "/var/spool/postfix"),
    ("chrony", 998, 996, "", "/var/lib/chrony"),
];

/// The accounts of the distribution plus one person.
pub(super) fn users(distro: &Distro, number: u64) -> Vec<User> {
    let user = |name: &str, uid, gid, gecos: &str, home: &str, shell: &str| User {
        name: name.into(),
        uid,
        gid,
        gecos: gecos.into(),
        home: home.into(),
        shell: shell.into(),
    };
    let (system, nologin) = match distro.packaging {
        Packaging::Deb => (DEB_USERS, "/usr/sbin/nologin"),
        Packaging::Rpm => (RPM_USERS, "/sbin/nologin"),
        Packaging::None => {
            return vec![
                user("root", 0, 0, "root", "/root", "/bin/sh"),
                user("nobody", 99, 99, "nobody", "/", "/bin/false"),
            ];
        }
    };
    let mut users = vec![user("root", 0, 0, "root", "/root", "/bin/bash")];
    users.extend(
        system
            .iter()
            .map(|(n, u, g, c, h)| user(n, *u, *g, c, h, if *n == "sync" { "/bin/sync" } else { nologin })),
    );
    let (name, gecos) = PEOPLE.iter().cycle().nth((number % 12) as usize).unwrap_or(&PEOPLE[0]);
    users.push(user(name, 1000, 1000, &format!("{gecos},,,"), &format!("/home/{name}"), "/bin/bash"));
    users
}
