//! What the fake machine is made of: processor, hypervisor, sizes, interface name, host name, processes.

use super::{Arch, Distro, Family, Packaging, Persona, Process};

/// A processor model with the numbers `/proc/cpuinfo` and `lscpu` show.
#[derive(Debug)]
pub struct Cpu {
    /// `vendor_id`.
    pub vendor: &'static str,
    /// `model name`.
    pub model_name: &'static str,
    /// `cpu family`.
    pub family: u32,
    /// `model`.
    pub model: u32,
    /// `stepping`.
    pub stepping: u32,
    /// Clock in MHz.
    pub mhz: &'static str,
    /// Last level cache in KiB.
    pub cache_kb: u32,
    /// BogoMIPS.
    pub bogomips: &'static str,
    /// Feature flags.
    pub flags: &'static str,
}

/// What the machine seems to be virtualised by.
#[derive(Debug)]
pub struct Hypervisor {
    /// Vendor as `lscpu` shows it; empty on real hardware.
    pub vendor: &'static str,
    /// First three bytes of its network cards' addresses.
    pub oui: [u8; 3],
    /// DMI manufacturer and product.
    pub manufacturer: &'static str,
    /// DMI product name.
    pub product: &'static str,
    /// Disk name prefix.
    pub disk: &'static str,
    /// `lspci` lines.
    pub pci: &'static [&'static str],
}

const INTEL_FLAGS: &str = "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 ss ht syscall nx pdpe1gb rdtscp lm constant_tsc arch_perfmon rep_good nopl xtopology cpuid tsc_known_freq pni pclmulqdq ssse3 fma cx16 pcid sse4_1 sse4_2 x2apic movbe popcnt tsc_deadline_timer aes xsave avx f16c rdrand hypervisor lahf_lm abm 3dnowprefetch invpcid_single pti ssbd ibrs ibpb stibp fsgsbase tsc_adjust bmi1 avx2 smep bmi2 erms invpcid rdseed adx smap xsaveopt arat md_clear";
const AMD_FLAGS: &str = "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 ht syscall nx mmxext fxsr_opt pdpe1gb rdtscp lm rep_good nopl cpuid extd_apicid tsc_known_freq pni pclmulqdq ssse3 fma cx16 sse4_1 sse4_2 x2apic movbe popcnt tsc_deadline_timer aes xsave avx f16c rdrand hypervisor lahf_lm cmp_legacy svm cr8_legacy abm sse4a misalignsse 3dnowprefetch osvw topoext perfctr_core ssbd ibrs ibpb stibp vmmcall fsgsbase tsc_adjust bmi1 avx2 smep bmi2 rdseed adx smap clflushopt clwb sha_ni xsaveopt xsavec xgetbv1 clzero xsaveerptr wbnoinvd arat npt nrip_save umip rdpid";

static X86: [Cpu; 5] = [
    Cpu {
        vendor: "GenuineIntel",
        model_name: "Intel(R) Xeon(R) CPU E5-2680 v4 @ 2.40GHz",
        family: 6,
        model: 79,
        stepping: 1,
        mhz: "2399.996",
        cache_kb: 35840,
        bogomips: "4799.99",
        flags: INTEL_FLAGS,
    },
    Cpu {
        vendor: "GenuineIntel",
        model_name: "Intel(R) Xeon(R) Gold 6240 CPU @ 2.60GHz",
        family: 6,
        model: 85,
        stepping: 7,
        mhz: "2593.906",
        cache_kb: 25344,
        bogomips: "5187.81",
        flags: INTEL_FLAGS,
    },
    Cpu {
        vendor: "GenuineIntel",
        model_name: "Intel(R) Xeon(R) CPU E5-2650 v3 @ 2.30GHz",
        family: 6,
        model: 63,
        stepping: 2,
        mhz: "2299.998",
        cache_kb: 25600,
        bogomips: "4599.99",
        flags: INTEL_FLAGS,
    },
    Cpu {
        vendor: "AuthenticAMD",
        model_name: "AMD EPYC 7601 32-Core Processor",
        family: 23,
        model: 1,
        stepping: 2,
        mhz: "2199.996",
        cache_kb: 512,
        bogomips: "4399.99",
        flags: AMD_FLAGS,
    },
    Cpu {
        vendor: "AuthenticAMD",
        model_name: "AMD EPYC 7543 32-Core Processor",
        family: 25,
        model: 1,
        stepping: 1,
        mhz: "2794.750",
        cache_kb: 512,
        bogomips: "5589.50",
        flags: AMD_FLAGS,
    },
];
static MIPS: Cpu = Cpu {
    vendor: "Ralink",
    model_name: "MIPS 24Kc V5.0",
    family: 0,
    model: 0,
    stepping: 0,
    mhz: "580.000",
    cache_kb: 32,
    bogomips: "386.04",
    flags: "",
};
static ARM: Cpu = Cpu {
    vendor: "ARM",
    model_name: "ARMv7 Processor rev 1 (v7l)",
    family: 7,
    model: 0xc09,
    stepping: 1,
    mhz: "800.000",
    cache_kb: 32,
    bogomips: "1325.46",
    flags: "swp half thumb fastmult vfp edsp neon vfpv3 tls",
};

static HYPERVISORS: [Hypervisor; 2] = [
    Hypervisor {
        vendor: "KVM",
        oui: [0x52, 0x54, 0x00],
        manufacturer: "QEMU",
        product: "Standard PC (i440FX + PIIX, 1996)",
        disk: "vda",
        pci: &[
            "00:00.0 Host bridge: Intel Corporation 440FX - 82441FX PMC [Natoma] (rev 02)",
            "00:01.0 ISA bridge: Intel Corporation 82371SB PIIX3 ISA [Natoma/Triton II]",
            "00:01.1 IDE interface: Intel Corporation 82371SB PIIX3 IDE [Natoma/Triton II]",
            "00:01.2 USB controller: Intel Corporation 82371SB PIIX3 USB [Natoma/Triton II] (rev 01)",
            "00:01.3 Bridge: Intel Corporation 82371AB/EB/MB PIIX4 ACPI (rev 03)",
            "00:02.0 VGA compatible controller: Cirrus Logic GD 5446",
            "00:03.0 Ethernet controller: Red Hat, Inc. Virtio network device",
            "00:04.0 SCSI storage controller: Red Hat, Inc. Virtio block device",
            "00:05.0 Unclassified device [00ff]: Red Hat, Inc. Virtio memory balloon",
        ],
    },
    Hypervisor {
        vendor: "VMware",
        oui: [0x00, 0x50, 0x56],
        manufacturer: "VMware, Inc.",
        product: "VMware Virtual Platform",
        disk: "sda",
        pci: &[
            "00:00.0 Host bridge: Intel Corporation 440BX/ZX/DX - 82443BX/ZX/DX Host bridge (rev 01)",
            "00:01.0 PCI bridge: Intel Corporation 440BX/ZX/DX - 82443BX/ZX/DX AGP bridge (rev 01)",
            "00:07.0 ISA bridge: Intel Corporation 82371AB/EB/MB PIIX4 ISA (rev 08)",
            "00:07.1 IDE interface: Intel Corporation 82371AB/EB/MB PIIX4 IDE (rev 01)",
            "00:07.3 Bridge: Intel Corporation 82371AB/EB/MB PIIX4 ACPI (rev 08)",
            "00:0f.0 VGA compatible controller: VMware SVGA II Adapter",
            "03:00.0 Serial Attached SCSI controller: VMware PVSCSI SCSI Controller (rev 02)",
            "0b:00.0 Ethernet controller: VMware VMXNET3 Ethernet Controller (rev 01)",
        ],
    },
];
static BOARD: Hypervisor = Hypervisor {
    vendor: "",
    oui: [0x00, 0x0c, 0x43],
    manufacturer: "",
    product: "",
    disk: "mtdblock",
    pci: &[],
};

pub(super) fn cpu(arch: Arch, number: u64) -> &'static Cpu {
    match arch {
        Arch::Mips => &MIPS,
        Arch::Arm => &ARM,
        Arch::X86_64 => X86.get((number % X86.len() as u64) as usize).unwrap_or(&X86[0]),
    }
}

pub(super) fn hypervisor(family: Family, number: u64) -> &'static Hypervisor {
    match family {
        Family::Device => &BOARD,
        Family::Server => HYPERVISORS.get((number % 3 / 2) as usize).unwrap_or(&HYPERVISORS[0]),
    }
}

/// Processors, memory in KiB and disk in KiB.
pub(super) fn size(family: Family, number: u64) -> (u32, u64, u64) {
    const GIB: u64 = 1 << 20;
    if family == Family::Device {
        let mem = if number.is_multiple_of(2) { 64 << 10 } else { 128 << 10 };
        return (1, mem, 15_360);
    }
    let (cpus, mem) = match number % 5 {
        0 => (1, 2 * GIB),
        1 => (2, 4 * GIB),
        2 => (2, 8 * GIB),
        3 => (4, 8 * GIB),
        _ => (4, 16 * GIB),
    };
    let disk = match (number >> 8) % 4 {
        0 => 25,
        1 => 40,
        2 => 80,
        _ => 160,
    };
    (cpus, mem, disk * GIB * 97 / 100)
}

pub(super) fn interface(distro: &Distro, hypervisor: &Hypervisor) -> &'static str {
    match (distro.packaging, hypervisor.vendor) {
        (Packaging::None, _) => "br0",
        (Packaging::Rpm, "KVM") => "eth0",
        (_, "VMware") => "ens192",
        _ => "ens3",
    }
}

pub(super) fn hostname(family: Family, number: u64, ip: [u8; 4]) -> String {
    const ROLES: [&str; 16] = [
        "web", "db", "app", "mail", "backup", "srv", "vps", "node", "proxy", "files", "git", "build",
        "monitor", "cache", "shop", "intranet",
    ];
    const DEVICES: [&str; 5] = ["router", "dvr", "localhost", "HomeGateway", "ipcam"];
    if family == Family::Device {
        return DEVICES.get((number % 5) as usize).copied().unwrap_or("router").to_owned();
    }
    let role = ROLES.get((number % 16) as usize).copied().unwrap_or("srv");
    let n = number >> 16;
    match (number >> 8) % 5 {
        0 => format!("{role}{:02}", 1 + n % 9),
        1 => format!("{role}-{}", 1 + n % 6),
        2 => format!("{role}-prod-{:02}", 1 + n % 12),
        3 => format!("{role}{}", 100 + n % 800),
        _ => format!("ip-{}-{}-{}-{}", ip[0], ip[1], ip[2], ip[3]),
    }
}

type Row = (&'static str, &'static str, u32, u32, &'static str);

const KERNEL_THREADS: [&str; 14] = [
    "[kthreadd]",
    "[rcu_gp]",
    "[rcu_par_gp]",
    "[kworker/0:0H-kblockd]",
    "[mm_percpu_wq]",
    "[ksoftirqd/0]",
    "[rcu_sched]",
    "[migration/0]",
    "[cpuhp/0]",
    "[kdevtmpfs]",
    "[netns]",
    "[kauditd]",
    "[khungtaskd]",
    "[kswapd0]",
];
const DEB: &[Row] = &[
    ("root", "/lib/systemd/systemd-journald", 31_240, 64_512, "Ss"),
    ("root", "/lib/systemd/systemd-udevd", 6_212, 22_840, "Ss"),
    ("systemd-timesync", "/lib/systemd/systemd-timesyncd", 6_680, 90_148, "Ssl"),
    ("root", "/usr/sbin/cron -f", 2_912, 8_504, "Ss"),
    (
        "messagebus",
        "/usr/bin/dbus-daemon --system --address=systemd: --nofork --nopidfile --systemd-activation --syslog-only",
        4_520,
        9_128,
        "Ss",
    ),
    ("root", "/usr/sbin/rsyslogd -n -iNONE", 5_904, 220_796, "Ssl"),
    ("root", "/lib/systemd/systemd-logind", 7_860, 25_340, "Ss"),
    ("root", "/usr/sbin/qemu-ga", 4_112, 82_004, "Ss"),
    ("root", "/sbin/agetty -o -p -- \\u --noclear tty1 linux", 1_048, 5_832, "Ss+"),
    (
        "root",
        "/usr/bin/python3 /usr/bin/unattended-upgrade-shutdown --wait-for-signal",
        20_904,
        110_016,
        "Ssl",
    ),
    ("root", "sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups", 9_104, 15_432, "Ss"),
    ("root", "nginx: master process /usr/sbin/nginx -g daemon on; master_process on;", 1_640, 55_212, "Ss"),
    ("www-data", "nginx: worker process", 5_480, 55_844, "S"),
];
const RPM: &[Row] = &[
    ("root", "/usr/lib/systemd/systemd-journald", 9_612, 39_080, "Ss"),
    ("root", "/usr/lib/systemd/systemd-udevd", 2_480, 45_412, "Ss"),
    ("root", "/sbin/auditd", 1_204, 55_532, "S<sl"),
    (
        "dbus",
        "/usr/bin/dbus-daemon --system --address=systemd: --nofork --nopidfile --systemd-activation",
        2_540,
        66_456,
        "Ssl",
    ),
    ("polkitd", "/usr/lib/polkit-1/polkitd --no-debug", 13_240, 612_236, "Ssl"),
    ("root", "/usr/lib/systemd/systemd-logind", 1_760, 26_384, "Ss"),
    ("chrony", "/usr/sbin/chronyd", 1_632, 117_808, "S"),
    ("root", "/usr/sbin/crond -n", 1_700, 126_388, "Ss"),
    ("root", "/sbin/agetty --noclear tty1 linux", 864, 110_208, "Ss+"),
    ("root", "/usr/sbin/NetworkManager --no-daemon", 11_104, 476_384, "Ssl"),
    ("root", "/usr/bin/python2 -Es /usr/sbin/tuned -l -P", 17_368, 574_284, "Ssl"),
    ("root", "/usr/sbin/rsyslogd -n", 6_024, 222_740, "Ssl"),
    ("root", "/usr/sbin/sshd -D", 4_316, 112_984, "Ss"),
    ("root", "/usr/libexec/postfix/master -w", 2_216, 89_708, "Ss"),
];
const DEVICE: &[Row] = &[
    ("root", "/sbin/syslogd -s 20", 388, 1_612, "S"),
    ("root", "/sbin/klogd", 364, 1_608, "S"),
    ("root", "/usr/sbin/telnetd -l /bin/login", 396, 1_612, "S"),
    ("root", "/usr/sbin/dnsmasq -C /var/dnsmasq.conf", 704, 1_928, "S"),
    ("root", "/usr/sbin/httpd -p 80 -h /www", 992, 2_804, "S"),
    ("root", "/sbin/watchdog -t 5 /dev/watchdog", 356, 1_604, "S"),
    ("root", "/usr/sbin/udhcpc -i eth0 -s /etc/udhcpc.script", 408, 1_616, "S"),
];

pub(super) fn processes(persona: &Persona) -> Vec<Process> {
    let (init, init_rss, services) = match persona.distro.packaging {
        Packaging::Deb => ("/sbin/init", 12_104, DEB),
        Packaging::Rpm => ("/usr/lib/systemd/systemd --switched-root --system --deserialize 22", 6_772, RPM),
        Packaging::None => ("init", 396, DEVICE),
    };
    let mut noise = persona.draw("processes");
    let mut next = move |below: u32| {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((noise >> 33) % u64::from(below.max(1))) as u32
    };
    let process = |pid, ppid, user: &str, command: &str, rss_kb, vsz_kb, stat, cpu_s, start_s| Process {
        pid,
        ppid,
        user: user.to_owned(),
        command: command.to_owned(),
        rss_kb,
        vsz_kb,
        stat,
        cpu_s,
        start_s,
    };
    let mut list =
        vec![process(1, 0, "root", init, init_rss + next(900), init_rss * 14, "Ss", 4 + next(40), 0)];
    let mut pid = 1;
    for (n, name) in KERNEL_THREADS.iter().enumerate() {
        if persona.family == Family::Device && n > 7 {
            break;
        }
        pid += 1 + next(3);
        let parent = if n == 0 { 0 } else { 2 };
        pid = if n == 0 { 2 } else { pid.max(3) };
        list.push(process(pid, parent, "root", name, 0, 0, if n % 3 == 1 { "I<" } else { "S" }, next(3), 0));
    }
    pid = pid.max(if persona.family == Family::Device { 90 } else { 220 });
    for (user, command, rss, vsz, stat) in services {
        if command.contains("qemu-ga") && persona.hypervisor.vendor != "KVM" {
            continue;
        }
        pid += 2 + next(60);
        let start = 2 + next(9);
        list.push(process(
            pid,
            1,
            user,
            command,
            rss + next(rss / 4),
            vsz + next(64) * 4,
            stat,
            next(90),
            start,
        ));
    }
    list
}
