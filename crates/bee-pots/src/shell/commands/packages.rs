//! Services and packages.

use super::Ctx;
use crate::persona::Packaging;
use crate::shell::clock::strftime;
use crate::shell::exec::Run;
use std::fmt::Write as _;

/// Services that seem to run.
const SERVICES: [(&str, &str); 6] = [
    ("ssh", "OpenBSD Secure Shell server"),
    ("sshd", "OpenSSH server daemon"),
    ("cron", "Regular background program processing daemon"),
    ("crond", "Command Scheduler"),
    ("rsyslog", "System Logging Service"),
    ("nginx", "A high performance web server and a reverse proxy server"),
];

pub(super) fn systemctl(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let operands = c.options("n p t u").operands;
    if c.name == "journalctl" {
        return c.out("-- No entries --\n").map(|()| 0);
    }
    // `service NAME VERB` turns the words of `systemctl VERB NAME` around.
    let (verb, unit) = match (c.name.as_str(), operands.as_slice()) {
        ("service" | "update-rc.d", [unit, verb, ..]) => (verb.clone(), unit.clone()),
        (_, [verb, unit, ..]) => (verb.clone(), unit.clone()),
        (_, [verb]) => (verb.clone(), String::new()),
        _ => (String::new(), String::new()),
    };
    let name = unit.trim_end_matches(".service").to_owned();
    let known = SERVICES.iter().find(|(n, _)| *n == name);
    match verb.as_str() {
        "start" | "stop" | "restart" | "reload" | "enable" | "disable" | "mask" | "force-reload" => {
            if known.is_none() && name != "iptables" && name != "firewalld" || name.is_empty() {
                let text = match (c.name.as_str(), c.persona().distro.packaging) {
                    ("service", Packaging::Deb) => format!("{name}: unrecognized service\n"),
                    _ => format!("Failed to {verb} {name}.service: Unit {name}.service not loaded.\n"),
                };
                c.err(text)?;
                return Ok(5);
            }
            if !c.is_root() {
                c.err(format!("Failed to {verb} {name}.service: Interactive authentication required.\n"))?;
                return Ok(1);
            }
            Ok(0)
        }
        "status" => match known {
            Some((name, title)) => {
                let booted = c.persona().booted;
                c.out(format!("* {name}.service - {title}\n     Loaded: loaded (/lib/systemd/system/{name}.service; enabled; vendor preset: enabled)\n     Active: active (running) since {}\n", strftime("%a %Y-%m-%d %H:%M:%S UTC", booted + 9)))?;
                Ok(0)
            }
            None => {
                c.err(format!("Unit {name}.service could not be found.\n"))?;
                Ok(4)
            }
        },
        "is-active" => {
            c.out(if known.is_some() { "active\n" } else { "inactive\n" })?;
            Ok(if known.is_some() { 0 } else { 3 })
        }
        "daemon-reload" => Ok(0),
        _ => {
            let mut text = "UNIT                 LOAD   ACTIVE SUB     DESCRIPTION\n".to_owned();
            for (name, title) in SERVICES.iter().filter(|(n, _)| !n.ends_with('d')) {
                let _ = writeln!(text, "{:<20} loaded active running {title}", format!("{name}.service"));
            }
            c.out(text)?;
            Ok(0)
        }
    }
}

pub(super) fn apt(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let operands = c.options("o t").operands;
    let d = c.persona().distro;
    let verb = operands.first().map_or("", String::as_str).to_owned();
    let names = operands.get(1..).unwrap_or_default().join(" ");
    if matches!(verb.as_str(), "install" | "update" | "upgrade" | "remove" | "purge" | "autoremove")
        && !c.is_root()
    {
        c.err("E: Could not open lock file /var/lib/dpkg/lock-frontend - open (13: Permission denied)\nE: Unable to acquire the dpkg frontend lock (/var/lib/dpkg/lock-frontend), are you root?\n")?;
        return Ok(100);
    }
    let text = match verb.as_str() {
        "update" => {
            c.i.delay_ms += 4000;
            let host = if d.id == "ubuntu" { "archive.ubuntu.com/ubuntu" } else { "deb.debian.org/debian" };
            c.out(format!("Ign:1 http://{host} {0} InRelease\nErr:1 http://{host} {0} InRelease\n  Temporary failure resolving '{1}'\nReading package lists... Done\n", d.codename, host.split('/').next().unwrap_or_default()))?;
            c.err("W: Some index files failed to download. They have been ignored, or old ones used instead.\n")?;
            return Ok(0);
        }
        "install" => {
            c.i.delay_ms += 1500;
            c.out("Reading package lists... Done\nBuilding dependency tree... Done\nReading state information... Done\n")?;
            c.err(format!("E: Unable to locate package {}\n", names.split(' ').next().unwrap_or_default()))?;
            return Ok(100);
        }
        "upgrade" | "dist-upgrade" | "full-upgrade" | "remove" | "purge" | "autoremove" => "Reading package lists... Done\nBuilding dependency tree... Done\nReading state information... Done\n0 upgraded, 0 newly installed, 0 to remove and 0 not upgraded.\n".to_owned(),
        _ => format!("{} 2.6.1 (amd64)\nUsage: {} [options] command\n", c.name, c.name),
    };
    c.out(text)?;
    Ok(0)
}

pub(super) fn yum(c: &mut Ctx<'_, '_>) -> Run<i32> {
    if !c.is_root() {
        c.err("Loaded plugins: fastestmirror\nYou need to be root to perform this command.\n")?;
        return Ok(1);
    }
    c.i.delay_ms += 4000;
    c.out("Loaded plugins: fastestmirror\nDetermining fastest mirrors\n")?;
    c.err("\n One of the configured repositories failed (Unknown),\n and yum doesn't have enough cached data to continue.\n\nCannot find a valid baseurl for repo: base/7/x86_64\n")?;
    Ok(1)
}

pub(super) fn dpkg(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let d = c.persona().distro;
    let options = c.options("");
    if options.has("print-architecture") {
        return c.out("amd64\n").map(|()| 0);
    }
    if options.has("l list") {
        let mut text = "Desired=Unknown/Install/Remove/Purge/Hold\n| Status=Not/Inst/Conf-files/Unpacked/halF-conf/Half-inst/trig-aWait/Trig-pend\n|/ Err?=(none)/Reinst-required (Status,Err: uppercase=bad)\n||/ Name            Version              Architecture Description\n+++-===============-====================-============-=================================\n".to_owned();
        for (name, version, title) in [
            ("bash", d.bash_version.split('(').next().unwrap_or_default(), "GNU Bourne Again SHell"),
            ("coreutils", d.coreutils, "GNU core utilities"),
            ("curl", d.curl, "command line tool for transferring data with URL syntax"),
            (
                "openssh-server",
                d.ssh_banner.split('_').nth(1).and_then(|v| v.split(' ').next()).unwrap_or_default(),
                "secure shell (SSH) server",
            ),
            ("python3", d.python, "interactive high-level object-oriented language"),
            ("wget", d.wget, "retrieves files from the web"),
        ] {
            let _ = writeln!(text, "ii  {name:<15} {version:<20} amd64        {title}");
        }
        c.out(text)?;
        return Ok(0);
    }
    c.err("dpkg: error: need an action option\n")?;
    Ok(2)
}

pub(super) fn rpm(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let options = c.options("i");
    let d = c.persona().distro;
    if options.has("q") && options.has("a") {
        c.out(format!("bash-4.2.46-35.el7_9.x86_64\ncoreutils-{}-24.el7_9.2.x86_64\nopenssh-server-7.4p1-23.el7_9.x86_64\nkernel-{}\nwget-{}-18.el7_6.1.x86_64\n", d.coreutils, d.kernel, d.wget))?;
        return Ok(0);
    }
    if options.has("q") {
        let name = options.operands.first().cloned().unwrap_or_default();
        c.out(format!("package {name} is not installed\n"))?;
        return Ok(1);
    }
    Ok(0)
}

pub(super) fn absent(c: &mut Ctx<'_, '_>) -> Run<i32> {
    c.fail("cannot communicate with server: Connection refused", 1)
}
