//! The programs that seem to be installed. A program that the shell knows runs as the builtin of its name.

use super::{Builder, Content, Kind};
use crate::persona::{Family, Packaging};

const BIN: &str = "[ ar arch awk base32 base64 basename bash bashbug bunzip2 bzcat bzip2 c_rehash cal cat chage chattr chfn chgrp chmod chown chrt chsh cksum clear cmp column comm cp crontab csplit curl cut dash date dbus-send dd df diff dir dirname dmesg dnsdomainname domainname du echo ed egrep env expand expr factor fallocate false fgrep file find flock fmt fold free fuser gawk getconf getent getopt git gpasswd gpg grep groups gunzip gzip head hexdump hostid hostname hostnamectl iconv id install ionice ip ipcs ischroot join journalctl jq kill killall last lastb lastlog ldd less ln locale localectl logger login loginctl logname look ls lsattr lsblk lscpu lsipc lsmod lsof lspci lsusb man mawk md5sum mesg mkdir mkfifo mknod mktemp more mount mountpoint mv namei nano nc netcat networkctl newgrp nice nl nohup nproc nsenter numfmt od openssl passwd paste patch pathchk perl pgrep pidof ping ping6 pinky pkill pmap pr printenv printf ps pstree ptx pwd python3 readlink realpath renice reset resolvectl rev rm rmdir rsync run-parts scp screen script sed seq setpriv setsid sftp sh sha1sum sha224sum sha256sum sha384sum sha512sum shred shuf skill slabtop sleep sort split ss ssh ssh-add ssh-agent ssh-copy-id ssh-keygen ssh-keyscan stat stdbuf strace strings stty su sudo sum sync systemctl systemd-analyze tac tail tar taskset tee tempfile test timedatectl timeout tload tmux toe top touch tput tr true truncate tsort tty uname uncompress unexpand uniq unlink unshare unxz unzip uptime users utmpdump vdir vi vim vmstat w wall watch wc wdctl wget whereis which who whoami xargs xxd xz xzcat yes zcat zgrep zip";
const SBIN: &str = "adduser addgroup agetty arp arping blkid blockdev chpasswd chroot cron ctrlaltdel deluser depmod dhclient dmidecode fdisk fsck groupadd groupdel halt hwclock ifconfig ifdown ifup init insmod iptables ip6tables iptables-save iptables-restore kexec ldconfig losetup lsmod mkfs mkswap modinfo modprobe nologin pivot_root poweroff reboot rmmod route runlevel service shutdown sshd start-stop-daemon sulogin swapoff swapon sysctl telinit tc tcpdump traceroute ufw useradd userdel usermod visudo vipw zdump";
const DEB: &str = "apt apt-cache apt-get apt-key apt-mark dpkg dpkg-deb dpkg-query lsb_release update-alternatives add-apt-repository busybox debconf deb-systemd-helper snap tftp telnet ftp netstat";
const RPM: &str = "rpm yum yumdownloader repoquery rpmbuild rpm2cpio chkconfig firewall-cmd nmcli python python2 python2.7 ausearch restorecon getenforce setenforce semanage netstat ftp telnet";
/// Applets of a small device's BusyBox.
pub(crate) const APPLETS: &str = "[ arp arping ash awk basename cat chmod chown clear cp crond crontab cut date dd df dmesg du echo egrep env expr false find free ftpget ftpput getty grep gunzip gzip halt head hexdump hostname httpd id ifconfig init insmod ip kill killall klogd ln logger login ls lsmod md5sum mkdir mknod mktemp modprobe mount mv nc netstat nslookup passwd pidof ping ping6 poweroff printf ps pwd reboot reset rm rmdir rmmod route sed sh sleep sort stty sync syslogd sysctl tail tar tee telnet telnetd test tftp top touch tr true udhcpc umount uname uniq uptime vconfig vi watchdog wc wget which whoami xargs yes zcat";

pub(super) fn add(b: &mut Builder) {
    if b.persona.family == Family::Device {
        b.put("/bin/busybox", Kind::File(Content::Program { size: 402_152, seed: 7 }), 0o755);
        const SBIN_APPLETS: &str = " arp arping crond getty halt httpd ifconfig init insmod klogd lsmod modprobe poweroff reboot rmmod route syslogd sysctl telnetd udhcpc vconfig watchdog ";
        for name in APPLETS.split(' ') {
            let dir = if SBIN_APPLETS.contains(&format!(" {name} ")) { "/sbin" } else { "/bin" };
            let target = if dir == "/bin" { "busybox" } else { "../bin/busybox" };
            b.link(&format!("{dir}/{name}"), target);
        }
        for lib in ["libc.so.0", "ld-uClibc.so.0", "libpthread.so.0", "libm.so.0"] {
            b.put(
                &format!("/lib/{lib}"),
                Kind::File(Content::Program { size: 284_640, seed: lib.len() as u32 }),
                0o755,
            );
        }
        return;
    }
    let extra = if b.persona.distro.packaging == Packaging::Deb { DEB } else { RPM };
    let has_python = !b.persona.distro.python.is_empty();
    for (dir, list) in [("/usr/bin", BIN), ("/usr/bin", extra), ("/usr/sbin", SBIN)] {
        for name in list.split(' ').filter(|n| has_python || !n.starts_with("python")) {
            let draw =
                name.bytes().fold(2_166_136_261_u32, |h, c| (h ^ u32::from(c)).wrapping_mul(16_777_619));
            let size = match name {
                "bash" => 1_265_648,
                "ls" => 151_344,
                "cat" => 44_016,
                "python3" => 6_831_704,
                "perl" => 3_909_152,
                "git" => 3_737_240,
                "openssl" => 998_176,
                "busybox" => 768_600,
                _ => 14_000 + draw % 130_000 / 8 * 8,
            };
            let mode = if matches!(
                name,
                "su" | "sudo" | "passwd" | "chsh" | "chfn" | "gpasswd" | "newgrp" | "mount"
            ) {
                0o4755
            } else {
                0o755
            };
            b.put(&format!("{dir}/{name}"), Kind::File(Content::Program { size, seed: draw }), mode);
        }
    }
    for lib in [
        "libc.so.6",
        "libm.so.6",
        "libpthread.so.0",
        "libdl.so.2",
        "libssl.so.3",
        "libcrypto.so.3",
        "ld-linux-x86-64.so.2",
    ] {
        let dir = if b.persona.distro.packaging == Packaging::Deb {
            "/usr/lib/x86_64-linux-gnu"
        } else {
            "/usr/lib64"
        };
        b.put(
            &format!("{dir}/{lib}"),
            Kind::File(Content::Program { size: 1_922_136, seed: lib.len() as u32 }),
            0o755,
        );
    }
    b.put("/usr/lib/openssh/sftp-server", Kind::File(Content::Program { size: 72_392, seed: 3 }), 0o755);
}
