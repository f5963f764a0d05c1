//! What machine this is: kernel, time, memory, hardware, power.

use super::Ctx;
use crate::persona::Packaging;
use crate::shell::clock::{strftime, syslog};
use crate::shell::exec::{Run, Stop};
use crate::shell::limits::DELAY_MS_MAX;
use std::fmt::Write as _;

pub(super) fn uname(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let options = c.options("");
    if let Some(extra) = options.operands.first() {
        let extra = extra.clone();
        c.fail(format!("extra operand '{extra}'\nTry 'uname --help' for more information."), 1)?;
        return Ok(1);
    }
    if let Some((bad, _)) =
        options.flags.iter().find(|(f, _)| !"asnrvmpio".contains(f.as_str()) && f.len() == 1)
    {
        let bad = bad.clone();
        return c.fail(format!("invalid option -- '{bad}'\nTry 'uname --help' for more information."), 1);
    }
    let p = c.persona();
    let d = p.distro;
    let all = options.has("a all");
    let centos = d.packaging == Packaging::Rpm;
    let platform = if centos { d.machine } else { "unknown" };
    let mut words = Vec::new();
    for (names, word) in [
        ("s kernel-name", "Linux"),
        ("n nodename", p.hostname.as_str()),
        ("r kernel-release", d.kernel),
        ("v kernel-version", d.kernel_version),
        ("m machine", d.machine),
        ("p processor", platform),
        ("i hardware-platform", platform),
        ("o operating-system", "GNU/Linux"),
    ] {
        let shown_in_all =
            !matches!(names, "p processor" | "i hardware-platform") || centos || d.id == "ubuntu";
        if options.has(names) || all && shown_in_all {
            words.push(if all && word == "unknown" { d.machine } else { word });
        }
    }
    if words.is_empty() {
        words.push("Linux");
    }
    c.out(format!("{}\n", words.join(" ")))?;
    Ok(0)
}

pub(super) fn arch(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let text = format!("{}\n", c.persona().distro.machine);
    c.out(text)?;
    Ok(0)
}

pub(super) fn hostname(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let options = c.options("");
    let p = c.persona();
    if c.name == "hostnamectl" {
        c.out(format!("   Static hostname: {}\n         Icon name: computer-vm\n           Chassis: vm\n        Machine ID: {:016x}{:016x}\n    Virtualization: {}\n  Operating System: {}\n            Kernel: Linux {}\n      Architecture: x86-64\n", p.hostname, p.draw("machine-id"), p.draw("machine-id-2"), p.hypervisor.vendor.to_lowercase(), p.distro.pretty_name, p.distro.kernel))?;
        return Ok(0);
    }
    if c.name == "dnsdomainname" || options.has("d") {
        return Ok(0);
    }
    if !options.operands.is_empty() {
        return if c.is_root() { Ok(0) } else { c.fail("you must be root to change the host name", 1) };
    }
    c.out(if options.has("I i") { format!("{}\n", p.ip()) } else { format!("{}\n", p.hostname) })?;
    Ok(0)
}

/// ` 10:11:12 up 3 days,  4:05,  1 user,  load average: 0.00, 0.01, 0.05`.
pub(super) fn uptime_line(c: &Ctx<'_, '_>) -> String {
    let (p, now) = (c.persona(), c.now());
    let up = p.uptime_s(now);
    let (days, hours, minutes) = (up / 86_400, up / 3600 % 24, up / 60 % 60);
    let days = match days {
        0 => String::new(),
        1 => "1 day, ".to_owned(),
        n => format!("{n} days, "),
    };
    let time = if hours > 0 { format!("{hours:2}:{minutes:02}") } else { format!("{minutes} min") };
    let [a, b, d] = p.load(now);
    format!(
        " {} up {days}{time},  1 user,  load average: {a:.2}, {b:.2}, {d:.2}\n",
        strftime("%H:%M:%S", now)
    )
}

pub(super) fn uptime(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let options = c.options("");
    let (p, now) = (c.persona(), c.now());
    let text = if options.has("s since") {
        strftime("%Y-%m-%d %H:%M:%S\n", p.booted)
    } else if options.has("p pretty") {
        let up = p.uptime_s(now);
        format!(
            "up {} weeks, {} days, {} hours, {} minutes\n",
            up / 604_800,
            up / 86_400 % 7,
            up / 3600 % 24,
            up / 60 % 60
        )
    } else {
        uptime_line(c)
    };
    c.out(text)?;
    Ok(0)
}

pub(super) fn date(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let options = c.options("d s r date set");
    let time = match options.value("d date") {
        Some(text) => text.strip_prefix('@').and_then(|n| n.parse().ok()).unwrap_or(c.now()),
        None => c.now(),
    };
    let format = options.operands.iter().find_map(|o| o.strip_prefix('+'));
    let format = match format {
        Some(format) => format.to_owned(),
        None if options.has("R") => "%a, %d %b %Y %H:%M:%S %z".to_owned(),
        None if options.has("I iso-8601") => "%F".to_owned(),
        None => "%a %b %e %H:%M:%S %Z %Y".to_owned(),
    };
    c.out(format!("{}\n", strftime(&format, time)))?;
    Ok(0)
}

pub(super) fn sleep(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let Some(text) = c.texts().into_iter().next() else {
        return c.fail("missing operand\nTry 'sleep --help' for more information.", 1);
    };
    let (digits, unit) = text.split_at(text.find(|ch: char| ch.is_ascii_alphabetic()).unwrap_or(text.len()));
    let Ok(number) = digits.parse::<f64>() else {
        return c.fail(format!("invalid time interval '{text}'"), 1);
    };
    let factor = match (unit, c.name.as_str()) {
        (_, "usleep") => 0.001,
        ("m", _) => 60_000.0,
        ("h", _) => 3_600_000.0,
        ("d", _) => 86_400_000.0,
        _ => 1000.0,
    };
    // The fake clock moves by the whole time; the trap waits for a bounded part of it.
    c.i.delay_ms = c.i.delay_ms.saturating_add((number * factor).clamp(0.0, 86_400_000.0 * 30.0) as u64);
    Ok(0)
}

pub(super) fn nproc(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let text = format!("{}\n", c.persona().cpus);
    c.out(text)?;
    Ok(0)
}

pub(super) fn lscpu(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let p = c.persona();
    let u = p.cpu;
    let mut text = String::new();
    for (name, value) in [
        ("Architecture", p.distro.machine.to_owned()),
        ("CPU op-mode(s)", "32-bit, 64-bit".into()),
        ("Byte Order", "Little Endian".into()),
        ("CPU(s)", p.cpus.to_string()),
        ("On-line CPU(s) list", if p.cpus == 1 { "0".into() } else { format!("0-{}", p.cpus - 1) }),
        ("Thread(s) per core", "1".into()),
        ("Core(s) per socket", "1".into()),
        ("Socket(s)", p.cpus.to_string()),
        ("NUMA node(s)", "1".into()),
        ("Vendor ID", u.vendor.into()),
        ("CPU family", u.family.to_string()),
        ("Model", u.model.to_string()),
        ("Model name", u.model_name.into()),
        ("Stepping", u.stepping.to_string()),
        ("CPU MHz", u.mhz.into()),
        ("BogoMIPS", u.bogomips.into()),
        ("Hypervisor vendor", p.hypervisor.vendor.into()),
        ("Virtualization type", "full".into()),
        ("L1d cache", "32K".into()),
        ("L1i cache", "32K".into()),
        ("L3 cache", format!("{}K", u.cache_kb)),
        ("NUMA node0 CPU(s)", if p.cpus == 1 { "0".into() } else { format!("0-{}", p.cpus - 1) }),
        ("Flags", u.flags.into()),
    ] {
        let _ = writeln!(text, "{:<23}{value}", format!("{name}:"));
    }
    c.out(text)?;
    Ok(0)
}

pub(super) fn free(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let options = c.options("s c");
    let p = c.persona();
    let m = p.memory(c.now());
    let human = options.has("h human");
    let divide = if options.has("g") {
        1 << 20
    } else if options.has("m") {
        1 << 10
    } else {
        1
    };
    let show = |kb: u64| {
        if !human {
            return (if options.has("b") { kb * 1024 } else { kb / divide }).to_string();
        }
        match kb {
            0 => "0B".to_owned(),
            kb if kb >= 10 << 20 => format!("{}Gi", kb >> 20),
            kb if kb >= 1 << 20 => format!("{:.1}Gi", kb as f64 / 1_048_576.0),
            kb if kb >= 1 << 10 => format!("{}Mi", kb >> 10),
            kb => format!("{kb}Ki"),
        }
    };
    let text = if c.is_device() {
        format!(
            "             total         used         free       shared      buffers\nMem:     {:>9}    {:>9}    {:>9}    {:>9}    {:>9}\n-/+ buffers:          {:>9}    {:>9}\nSwap:    {:>9}    {:>9}    {:>9}\n",
            show(m.total),
            show(m.total - m.free),
            show(m.free),
            0,
            show(m.buffers),
            show(m.total - m.free - m.buffers),
            show(m.free + m.buffers),
            0,
            0,
            0
        )
    } else {
        format!(
            "               total        used        free      shared  buff/cache   available\nMem:    {:>12}{:>12}{:>12}{:>12}{:>12}{:>12}\nSwap:   {:>12}{:>12}{:>12}\n",
            show(m.total),
            show(m.used()),
            show(m.free),
            show(m.shared),
            show(m.buffers + m.cached),
            show(m.available),
            show(0),
            show(0),
            show(0)
        )
    };
    c.out(text)?;
    Ok(0)
}

pub(super) fn vmstat(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let m = c.persona().memory(c.now());
    c.out(format!("procs -----------memory---------- ---swap-- -----io---- -system-- ------cpu-----\n r  b   swpd   free   buff  cache   si   so    bi    bo   in   cs us sy id wa st\n 1  0      0 {:>6} {:>6} {:>6}    0    0     2     9   31   48  0  0 99  0  0\n", m.free, m.buffers, m.cached))?;
    Ok(0)
}

pub(super) fn lspci(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let text = match c.name.as_str() {
        "lspci" => c.persona().hypervisor.pci.iter().fold(String::new(), |mut t, l| {
            let _ = writeln!(t, "{l}");
            t
        }),
        _ => "Bus 001 Device 002: ID 0627:0001 Adomax Technology Co., Ltd QEMU USB Tablet\nBus 001 Device 001: ID 1d6b:0001 Linux Foundation 1.1 root hub\n".to_owned(),
    };
    c.out(text)?;
    Ok(0)
}

pub(super) fn lsmod(c: &mut Ctx<'_, '_>) -> Run<i32> {
    if c.name != "lsmod" {
        if c.args.len() < 2 {
            return c.fail("missing parameters. See -h.", 1);
        }
        let module = c.options("").operands.join(" ");
        return if c.is_root() && c.name == "modprobe" {
            Ok(0)
        } else {
            c.fail(format!("ERROR: could not insert '{module}': Operation not permitted"), 1)
        };
    }
    let mut text = "Module                  Size  Used by\n".to_owned();
    for (name, size, used, by) in c.persona().modules() {
        let _ = writeln!(text, "{name:<20} {size:>8}  {used} {by}");
    }
    c.out(text)?;
    Ok(0)
}

pub(super) fn dmesg(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let p = c.persona();
    if !c.is_root() {
        return c.fail("read kernel buffer failed: Operation not permitted", 1);
    }
    let d = p.distro;
    c.out(format!(
        "[    0.000000] Linux version {} {} {}\n[    0.000000] Command line: {}[    0.000000] DMI: {} {}\n[    0.004000] tsc: Detected {} MHz processor\n[    0.412315] Memory: {}K/{}K available\n[    1.103442] virtio_net virtio0 {}: renamed from eth0\n[    2.004183] EXT4-fs ({}): mounted filesystem with ordered data mode\n[    2.871002] systemd[1]: Set hostname to <{}>.\n[    4.220191] {}: link becomes ready\n",
        d.kernel, d.compiler, d.kernel_version, p.live(crate::persona::Live::CmdLine, c.now()), p.hypervisor.manufacturer, p.hypervisor.product, p.cpu.mhz, p.mem_kb - 90_000, p.mem_kb, p.interface, p.root_device().trim_start_matches("/dev/"), p.hostname, p.interface
    ))?;
    Ok(0)
}

pub(super) fn dmidecode(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let p = c.persona();
    if !c.is_root() {
        return c.fail("/dev/mem: Permission denied", 1);
    }
    let options = c.options("s t string type");
    let text = match options.value("s string") {
        Some("processor-version") => p.cpu.model_name.to_owned(),
        Some("system-manufacturer" | "chassis-manufacturer") => p.hypervisor.manufacturer.to_owned(),
        Some("system-product-name") => p.hypervisor.product.to_owned(),
        Some(_) => "Not Specified".to_owned(),
        None => format!(
            "# dmidecode 3.3\nGetting SMBIOS data from sysfs.\nSMBIOS 2.8 present.\n\nHandle 0x0100, DMI type 1, 27 bytes\nSystem Information\n\tManufacturer: {}\n\tProduct Name: {}\n\tSerial Number: Not Specified\n",
            p.hypervisor.manufacturer, p.hypervisor.product
        ),
    };
    c.out(format!("{text}\n"))?;
    Ok(0)
}

pub(super) fn lsb_release(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let d = c.persona().distro;
    let options = c.options("");
    let id = if d.id == "ubuntu" { "Ubuntu" } else { "Debian" };
    let all = options.has("a all");
    let mut text = String::new();
    for (names, title, value) in [
        ("i id", "Distributor ID", id),
        ("d description", "Description", d.pretty_name),
        ("r release", "Release", d.version_id),
        ("c codename", "Codename", d.codename),
    ] {
        if all || options.has(names) {
            let _ = if options.has("s short") {
                writeln!(text, "{value}")
            } else {
                writeln!(text, "{:<16}{value}", format!("{title}:"))
            };
        }
    }
    c.err("No LSB modules are available.\n")?;
    c.out(text)?;
    Ok(0)
}

pub(super) fn sysctl(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let options = c.options("");
    for key in options.operands {
        if let Some((name, value)) = key.split_once('=') {
            if !c.is_root() {
                return c.fail(format!("permission denied on key \"{name}\""), 255);
            }
            c.out(format!("{name} = {value}\n"))?;
            continue;
        }
        match c.read(&format!("/proc/sys/{}", key.replace('.', "/")))? {
            Ok(data) => c.out([format!("{key} = ").as_bytes(), &data].concat())?,
            Err(_) => {
                c.fail(
                    format!("cannot stat /proc/sys/{}: No such file or directory", key.replace('.', "/")),
                    255,
                )?;
            }
        }
    }
    Ok(0)
}

pub(super) fn getconf(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let cpus = c.persona().cpus;
    let text = match c.texts().first().map(String::as_str) {
        Some("LONG_BIT") => "64\n".to_owned(),
        Some("_NPROCESSORS_ONLN" | "_NPROCESSORS_CONF") => format!("{cpus}\n"),
        Some("PAGE_SIZE" | "PAGESIZE") => "4096\n".to_owned(),
        _ => "undefined\n".to_owned(),
    };
    c.out(text)?;
    Ok(0)
}

pub(super) fn clear(c: &mut Ctx<'_, '_>) -> Run<i32> {
    c.out("\x1b[H\x1b[2J\x1b[3J")?;
    Ok(0)
}

pub(super) fn stty(c: &mut Ctx<'_, '_>) -> Run<i32> {
    if !c.i.st.tty {
        return c.fail("'standard input': Inappropriate ioctl for device", 1);
    }
    match (c.name.as_str(), c.texts().first().map(String::as_str)) {
        ("tput", Some("cols")) => c.out("80\n")?,
        ("tput", Some("lines")) => c.out("24\n")?,
        ("stty", Some("size")) => c.out("24 80\n")?,
        ("stty", None | Some("-a")) => c.out("speed 38400 baud; rows 24; columns 80; line = 0;\n")?,
        _ => {}
    }
    Ok(0)
}

pub(super) fn tty(c: &mut Ctx<'_, '_>) -> Run<i32> {
    if c.i.st.tty {
        c.out("/dev/pts/0\n")?;
        return Ok(0);
    }
    c.out("not a tty\n")?;
    Ok(1)
}

pub(super) fn power(c: &mut Ctx<'_, '_>) -> Run<i32> {
    if !c.is_root() {
        return c.fail("Must be root.", 1);
    }
    let stays = c.options("t").has("c k help")
        || c.name.contains("init") && !matches!(c.texts().first().map(String::as_str), Some("0" | "6"));
    if stays {
        return Ok(0);
    }
    let text = format!(
        "\nBroadcast message from root@{} ({}):\n\nThe system is going down NOW!\n",
        c.persona().hostname,
        syslog(c.now())
    );
    c.err(text)?;
    c.i.delay_ms = DELAY_MS_MAX.min(1500);
    // Every shell level goes with the machine.
    c.i.st.frames.truncate(1);
    Err(Stop::Exit(0))
}

pub(super) fn locale(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let lang = c.i.st.top().text("LANG");
    c.out(format!("LANG={lang}\nLANGUAGE=\nLC_CTYPE=\"{lang}\"\nLC_ALL=\n"))?;
    Ok(0)
}
