//! Text that depends on the clock or the hardware: the contents of `/proc` and what several commands share.

use super::{Arch, Family, Persona};
use std::fmt::Write as _;

/// A file whose content is computed when it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Live {
    /// `/proc/uptime`.
    Uptime,
    /// `/proc/loadavg`.
    LoadAvg,
    /// `/proc/meminfo`.
    MemInfo,
    /// `/proc/cpuinfo`.
    CpuInfo,
    /// `/proc/stat`.
    Stat,
    /// `/proc/mounts`.
    Mounts,
    /// `/proc/version`.
    Version,
    /// `/proc/cmdline`.
    CmdLine,
    /// `/proc/net/dev`.
    NetDev,
    /// `/proc/net/route`.
    NetRoute,
    /// `/proc/net/arp`.
    NetArp,
    /// `/proc/net/tcp`.
    NetTcp,
    /// `/proc/partitions`.
    Partitions,
    /// `/proc/modules`.
    Modules,
    /// `/proc/filesystems`.
    FileSystems,
    /// `/proc/swaps`.
    Swaps,
    /// `/proc/self/status`.
    SelfStatus,
}

/// Memory figures in KiB, which `free`, `top` and `/proc/meminfo` must agree on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    pub(crate) total: u64,
    pub(crate) free: u64,
    pub(crate) buffers: u64,
    pub(crate) cached: u64,
    pub(crate) shared: u64,
    pub(crate) available: u64,
}

impl Memory {
    /// What programs use, as `free` computes it.
    pub(crate) fn used(&self) -> u64 {
        self.total.saturating_sub(self.free + self.buffers + self.cached)
    }
}

impl Persona {
    /// Text of a computed file at `now` (Unix seconds).
    #[must_use]
    pub fn live(&self, what: Live, now: i64) -> String {
        match what {
            Live::Uptime => {
                let up = self.uptime_s(now);
                let idle = up * i64::from(self.cpus) * 97 / 100;
                format!("{up}.{:02} {idle}.{:02}\n", now.rem_euclid(97), now.rem_euclid(89))
            }
            Live::LoadAvg => {
                let [a, b, c] = self.load(now);
                format!("{a:.2} {b:.2} {c:.2} 1/{} {}\n", 90 + self.processes.len(), self.last_pid(now))
            }
            Live::MemInfo => self.meminfo(now),
            Live::CpuInfo => self.cpuinfo(),
            Live::Stat => self.stat(now),
            Live::Mounts => self.mounts(),
            Live::Version => format!(
                "Linux version {} {} {}\n",
                self.distro.kernel, self.distro.compiler, self.distro.kernel_version
            ),
            Live::CmdLine => match self.family {
                Family::Server => {
                    format!("BOOT_IMAGE=/boot/vmlinuz-{} root={} ro quiet\n", self.distro.kernel, self.root_device())
                }
                Family::Device => format!("console=ttyS1,57600n8 root={} rootfstype=squashfs\n", self.distro.root_device),
            },
            Live::NetDev => {
                let (rx, tx) = self.traffic(now);
                format!(
                    "Inter-|   Receive                                                |  Transmit\n face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n    lo: {0:>7} {1:>7}    0    0    0     0          0         0 {0:>8} {1:>7}    0    0    0     0       0          0\n{2:>6}: {3} {4}    0    0    0     0          0         0 {5} {6}    0    0    0     0       0          0\n",
                    rx / 4000, rx / 400_000, self.interface, rx, rx / 812, tx, tx / 640
                )
            }
            Live::NetRoute => {
                let le = |ip: [u8; 4]| format!("{:02X}{:02X}{:02X}{:02X}", ip[3], ip[2], ip[1], ip[0]);
                let net = [self.ipv4[0], self.ipv4[1], self.ipv4[2], 0];
                format!(
                    "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n{0}\t00000000\t{1}\t0003\t0\t0\t0\t00000000\t0\t0\t0\n{0}\t{2}\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n",
                    self.interface, le(self.gateway), le(net)
                )
            }
            Live::NetArp => format!(
                "IP address       HW type     Flags       HW address            Mask     Device\n{:<16} 0x1         0x2         {}     *        {}\n",
                super::dotted(self.gateway), self.gateway_mac(), self.interface
            ),
            Live::NetTcp => "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 16384 1 0000000000000000 100 0 0 10 0\n".to_owned(),
            Live::Partitions => self.partitions(),
            Live::Modules => self.modules().iter().fold(String::new(), |mut s, (name, size, used, by)| {
                let by = if by.is_empty() { "-".to_owned() } else { format!("{by},") };
                let _ = writeln!(s, "{name} {size} {used} {by} Live 0x0000000000000000");
                s
            }),
            Live::FileSystems => "nodev\tsysfs\nnodev\ttmpfs\nnodev\tproc\nnodev\tcgroup2\nnodev\tdevtmpfs\nnodev\tdevpts\n\text3\n\text2\n\text4\n\tsquashfs\n\tvfat\n".to_owned(),
            Live::Swaps => "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n".to_owned(),
            Live::SelfStatus => "Name:\tcat\nUmask:\t0022\nState:\tR (running)\nTracerPid:\t0\nUid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\nFDSize:\t256\nThreads:\t1\nNoNewPrivs:\t0\nSeccomp:\t0\n".to_owned(),
        }
    }

    /// Load averages over 1, 5 and 15 minutes.
    #[must_use]
    pub fn load(&self, now: i64) -> [f64; 3] {
        let wave = |period: i64, top: i64| {
            (((now / period) * 7919 + self.draw("load") as i64 % 97).rem_euclid(top)) as f64 / 100.0
        };
        let floor = if self.family == Family::Device { 0.4 } else { 0.0 };
        [floor + wave(5, 19), floor + wave(60, 14), floor + wave(300, 9)]
    }

    /// The pid that a process started now would have.
    #[must_use]
    pub fn last_pid(&self, now: i64) -> u32 {
        let max = if self.family == Family::Device { 32_000 } else { 4_000_000 };
        let base = self.processes.last().map_or(300, |p| p.pid) + 400;
        let per_hour = 40 + self.draw("pids") % 90;
        base + ((self.uptime_s(now) as u64 * per_hour / 3600) % max) as u32
    }

    /// Memory figures at `now`.
    pub(crate) fn memory(&self, now: i64) -> Memory {
        let total = self.mem_kb;
        let sway = now.div_euclid(30).rem_euclid(61) as u64 * (total / 20_000);
        let used = match self.family {
            Family::Server => 160_000 + self.draw("used") % (total / 6) + sway,
            Family::Device => total / 2 + self.draw("used") % (total / 6) + sway,
        };
        let buffers = total / 60 + self.draw("buffers") % (total / 90);
        let cached = total / 6 + self.draw("cached") % (total / 3);
        let free = total.saturating_sub(used + buffers + cached);
        Memory {
            total,
            free,
            buffers,
            cached,
            shared: total / 900,
            available: free + cached * 9 / 10 + buffers / 2,
        }
    }

    /// The device the root file system is on.
    #[must_use]
    pub fn root_device(&self) -> String {
        match self.family {
            Family::Server => format!("/dev/{}1", self.hypervisor.disk),
            Family::Device => self.distro.root_device.to_owned(),
        }
    }

    /// Bytes received and sent on the first interface.
    #[must_use]
    pub fn traffic(&self, now: i64) -> (u64, u64) {
        let up = self.uptime_s(now) as u64;
        (up * (700 + self.draw("rx") % 5000), up * (300 + self.draw("tx") % 3000))
    }

    /// Hardware address of the gateway.
    #[must_use]
    pub fn gateway_mac(&self) -> String {
        let b = self.draw("gateway").to_le_bytes();
        format!("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", b[0] & 0xfc, b[1], b[2], b[3], b[4], b[5])
    }

    fn meminfo(&self, now: i64) -> String {
        let m = self.memory(now);
        let active = m.used() / 2 + m.cached / 3;
        let mut s = String::new();
        let mut rows = vec![("MemTotal", m.total), ("MemFree", m.free)];
        if self.family == Family::Server {
            rows.push(("MemAvailable", m.available));
        }
        rows.extend([
            ("Buffers", m.buffers),
            ("Cached", m.cached),
            ("SwapCached", 0),
            ("Active", active),
            ("Inactive", m.cached / 2),
            ("SwapTotal", 0),
            ("SwapFree", 0),
            ("Dirty", 64),
            ("Writeback", 0),
            ("AnonPages", m.used() / 2),
            ("Mapped", m.cached / 5),
            ("Shmem", m.shared),
            ("Slab", m.total / 40),
            ("SReclaimable", m.total / 60),
            ("SUnreclaim", m.total / 120),
            ("KernelStack", 2_304),
            ("PageTables", 3_412),
            ("CommitLimit", m.total / 2),
            ("Committed_AS", m.used()),
            ("VmallocTotal", 34_359_738_367),
            ("VmallocUsed", 12_944),
        ]);
        for (name, kb) in rows {
            let _ = writeln!(s, "{:<15} {kb:>8} kB", format!("{name}:"));
        }
        s
    }

    fn cpuinfo(&self) -> String {
        let c = self.cpu;
        match self.distro.arch {
            Arch::Mips => format!(
                "system type\t\t: MT7620\nmachine\t\t\t: Ralink MT7620A\nprocessor\t\t: 0\ncpu model\t\t: {}\nBogoMIPS\t\t: {}\nwait instruction\t: yes\nmicrosecond timers\t: yes\ntlb_entries\t\t: 32\nextra interrupt vector\t: yes\nhardware watchpoint\t: yes, count: 4, address/irw mask: [0x0000, 0x0ff8, 0x0ff8, 0x0ff8]\nASEs implemented\t: mips16 dsp\nshadow register sets\t: 1\ncore\t\t\t: 0\nVCED exceptions\t\t: not available\nVCEI exceptions\t\t: not available\n\n",
                c.model_name, c.bogomips
            ),
            Arch::Arm => format!(
                "Processor\t: {}\nBogoMIPS\t: {}\nFeatures\t: {}\nCPU implementer\t: 0x41\nCPU architecture: 7\nCPU variant\t: 0x4\nCPU part\t: 0xc09\nCPU revision\t: 1\n\nHardware\t: hi3520d\nRevision\t: 0000\nSerial\t\t: 0000000000000000\n",
                c.model_name, c.bogomips, c.flags
            ),
            Arch::X86_64 => (0..self.cpus).fold(String::new(), |mut s, n| {
                let _ = write!(
                    s,
                    "processor\t: {n}\nvendor_id\t: {}\ncpu family\t: {}\nmodel\t\t: {}\nmodel name\t: {}\nstepping\t: {}\nmicrocode\t: 0x1\ncpu MHz\t\t: {}\ncache size\t: {} KB\nphysical id\t: {n}\nsiblings\t: 1\ncore id\t\t: 0\ncpu cores\t: 1\napicid\t\t: {n}\ninitial apicid\t: {n}\nfpu\t\t: yes\nfpu_exception\t: yes\ncpuid level\t: 13\nwp\t\t: yes\nflags\t\t: {}\nbugs\t\t: spectre_v1 spectre_v2 spec_store_bypass\nbogomips\t: {}\nclflush size\t: 64\ncache_alignment\t: 64\naddress sizes\t: 40 bits physical, 48 bits virtual\npower management:\n\n",
                    c.vendor, c.family, c.model, c.model_name, c.stepping, c.mhz, c.cache_kb, c.flags, c.bogomips
                );
                s
            }),
        }
    }

    fn stat(&self, now: i64) -> String {
        let ticks = self.uptime_s(now) * 100;
        let mut s = String::new();
        let row = |share: i64| {
            format!(
                "{} {} {} {} {} 0 {} 0 0 0",
                ticks * share / 150,
                ticks / 9000,
                ticks * share / 210,
                ticks * share * 97 / 100,
                ticks / 1900,
                ticks / 4000
            )
        };
        let _ = writeln!(s, "cpu  {}", row(i64::from(self.cpus)));
        for n in 0..self.cpus {
            let _ = writeln!(s, "cpu{n} {}", row(1));
        }
        let _ = writeln!(
            s,
            "intr {}\nctxt {}\nbtime {}\nprocesses {}\nprocs_running 1\nprocs_blocked 0",
            ticks * 2,
            ticks * 4,
            self.booted,
            self.last_pid(now)
        );
        s
    }

    /// Lines of `/proc/mounts`.
    #[must_use]
    pub fn mounts(&self) -> String {
        let root = self.root_device();
        match self.family {
            Family::Device => format!(
                "rootfs / rootfs rw 0 0\n{root} / squashfs ro,relatime 0 0\nproc /proc proc rw,relatime 0 0\nsysfs /sys sysfs rw,relatime 0 0\ntmpfs /dev tmpfs rw,relatime,mode=0755 0 0\ndevpts /dev/pts devpts rw,relatime,mode=600 0 0\ntmpfs /tmp tmpfs rw,relatime 0 0\ntmpfs /var tmpfs rw,relatime 0 0\ntmpfs /dev/shm tmpfs rw,relatime 0 0\n"
            ),
            Family::Server => {
                let options = if self.distro.root_fs == "xfs" {
                    "rw,relatime,attr2,inode64,noquota"
                } else {
                    "rw,relatime,errors=remount-ro"
                };
                format!(
                    "sysfs /sys sysfs rw,nosuid,nodev,noexec,relatime 0 0\nproc /proc proc rw,nosuid,nodev,noexec,relatime 0 0\nudev /dev devtmpfs rw,nosuid,relatime,size={0}k,nr_inodes={1},mode=755 0 0\ndevpts /dev/pts devpts rw,nosuid,noexec,relatime,gid=5,mode=620,ptmxmode=000 0 0\ntmpfs /run tmpfs rw,nosuid,nodev,noexec,relatime,size={2}k,mode=755 0 0\n{root} / {3} {options} 0 0\nsecurityfs /sys/kernel/security securityfs rw,nosuid,nodev,noexec,relatime 0 0\ntmpfs /dev/shm tmpfs rw,nosuid,nodev 0 0\ntmpfs /run/lock tmpfs rw,nosuid,nodev,noexec,relatime,size=5120k 0 0\n",
                    self.mem_kb / 2 - 20_000,
                    self.mem_kb / 8,
                    self.mem_kb / 10,
                    self.distro.root_fs
                )
            }
        }
    }

    fn partitions(&self) -> String {
        let disk = self.hypervisor.disk;
        match self.family {
            Family::Server => format!(
                "major minor  #blocks  name\n\n 254        0 {:>10} {disk}\n 254        1 {:>10} {disk}1\n  11        0    1048575 sr0\n",
                self.disk_kb * 100 / 97, self.disk_kb * 100 / 97 - 1024
            ),
            Family::Device => "major minor  #blocks  name\n\n  31        0        192 mtdblock0\n  31        1         64 mtdblock1\n  31        2         64 mtdblock2\n  31        3       7808 mtdblock3\n  31        4       1126 mtdblock4\n  31        5       6681 mtdblock5\n".to_owned(),
        }
    }

    /// Loaded kernel modules: name, size, use count, used by.
    pub(crate) fn modules(&self) -> Vec<(&'static str, u32, u32, &'static str)> {
        match self.family {
            Family::Device => vec![
                ("rt2860v2_ap", 813_216, 1, ""),
                ("raeth", 34_112, 1, ""),
                ("nf_conntrack", 61_712, 0, ""),
            ],
            Family::Server => vec![
                ("tcp_diag", 16_384, 0, ""),
                ("inet_diag", 24_576, 1, "tcp_diag"),
                ("intel_rapl_msr", 20_480, 0, ""),
                ("intel_rapl_common", 32_768, 1, "intel_rapl_msr"),
                ("ghash_clmulni_intel", 16_384, 0, ""),
                ("aesni_intel", 393_216, 0, ""),
                ("crypto_simd", 16_384, 1, "aesni_intel"),
                ("cryptd", 28_672, 2, "crypto_simd,ghash_clmulni_intel"),
                ("joydev", 28_672, 0, ""),
                ("evdev", 28_672, 2, ""),
                ("serio_raw", 20_480, 0, ""),
                ("button", 24_576, 0, ""),
                ("ip_tables", 36_864, 0, ""),
                ("x_tables", 61_440, 1, "ip_tables"),
                ("autofs4", 53_248, 2, ""),
                ("ext4", 983_040, 1, ""),
                ("crc16", 16_384, 1, "ext4"),
                ("mbcache", 16_384, 1, "ext4"),
                ("jbd2", 167_936, 1, "ext4"),
            ],
        }
    }
}
