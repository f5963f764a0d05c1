//! Processes: the persona's own and those of the session.

use super::Ctx;
use crate::persona::Process;
use crate::shell::clock::strftime;
use crate::shell::exec::Run;
use std::fmt::Write as _;

/// The persona's processes and the session's, by pid.
fn all(c: &Ctx<'_, '_>) -> Vec<Process> {
    let p = c.persona();
    let mut list = p.processes.clone();
    let since = (c.i.st.login.at_ms / 1000 - p.booted).max(0) as u32;
    let (pid, user) = (c.i.st.pid, c.i.st.top().user.clone());
    let sshd = list
        .iter()
        .find(|q| q.command.contains("sshd") || q.command.contains("telnetd"))
        .map_or(1, |q| q.pid);
    let own = |pid, ppid, command: String, rss_kb, stat| Process {
        pid,
        ppid,
        user: user.clone(),
        command,
        rss_kb,
        vsz_kb: rss_kb * 2,
        stat,
        cpu_s: 0,
        start_s: since,
    };
    if c.i.st.login.ssh {
        list.push(Process {
            user: "root".into(),
            ..own(
                pid - 9,
                sshd,
                format!("sshd: {user}{}", if c.i.st.tty { "@pts/0" } else { "@notty" }),
                8_812,
                "Ss",
            )
        });
    }
    list.push(own(
        pid,
        if c.i.st.login.ssh { pid - 9 } else { sshd },
        c.i.st.top().name.clone(),
        if c.is_device() { 412 } else { 4_936 },
        "Ss",
    ));
    list.push(own(
        c.i.st.last_pid + 1,
        pid,
        String::from_utf8_lossy(&c.args.join(&b' ')).into_owned(),
        if c.is_device() { 380 } else { 3_204 },
        "R+",
    ));
    list
}

fn terminal(c: &Ctx<'_, '_>, p: &Process) -> &'static str {
    if c.i.st.tty && p.pid >= c.i.st.pid {
        "pts/0"
    } else if p.command.contains("tty1") {
        "tty1"
    } else {
        "?"
    }
}

pub(super) fn ps(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let args = c.texts();
    let flags: String = args.iter().map(|a| a.trim_start_matches('-')).collect();
    let (persona, now) = (c.persona(), c.now());
    let list = all(c);
    let mut text = String::new();
    let clock = |s: u32| format!("{:02}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
    if c.is_device() {
        text.push_str("  PID USER       VSZ STAT COMMAND\n");
        for p in &list {
            let _ = writeln!(text, "{:5} {:<8} {:5} {:<4} {}", p.pid, p.user, p.vsz_kb, p.stat, p.command);
        }
    } else if flags.contains('u') && (flags.contains('a') || flags.contains('x')) {
        text.push_str("USER         PID %CPU %MEM    VSZ   RSS TTY      STAT START   TIME COMMAND\n");
        for p in &list {
            let start = persona.booted + i64::from(p.start_s);
            let start = if now - start > 86_400 { strftime("%b%d", start) } else { strftime("%H:%M", start) };
            let memory = f64::from(p.rss_kb) * 100.0 / persona.mem_kb as f64;
            let user: String = if p.user.len() > 8 {
                format!("{}+", p.user.get(..7).unwrap_or_default())
            } else {
                p.user.clone()
            };
            let _ = writeln!(
                text,
                "{user:<8} {:7}  0.0 {memory:4.1} {:6} {:5} {:<8} {:<4} {start:<7} {}:{:02} {}",
                p.pid,
                p.vsz_kb,
                p.rss_kb,
                terminal(c, p),
                p.stat,
                p.cpu_s / 60,
                p.cpu_s % 60,
                p.command
            );
        }
    } else if flags.contains('e') || flags.contains('A') {
        let full = flags.contains('f');
        text.push_str(if full {
            "UID          PID    PPID  C STIME TTY          TIME CMD\n"
        } else {
            "    PID TTY          TIME CMD\n"
        });
        for p in &list {
            let start = persona.booted + i64::from(p.start_s);
            let start = if now - start > 86_400 { strftime("%b%d", start) } else { strftime("%H:%M", start) };
            if full {
                let _ = writeln!(
                    text,
                    "{:<8} {:7} {:7}  0 {start:<5} {:<8} {} {}",
                    p.user,
                    p.pid,
                    p.ppid,
                    terminal(c, p),
                    clock(p.cpu_s),
                    p.command
                );
            } else {
                let name =
                    p.command.split(' ').next().unwrap_or_default().rsplit('/').next().unwrap_or_default();
                let _ = writeln!(text, "{:7} {:<8} {} {name}", p.pid, terminal(c, p), clock(p.cpu_s));
            }
        }
    } else if flags.contains('x') || flags.contains('a') {
        text.push_str("    PID TTY      STAT   TIME COMMAND\n");
        for p in list.iter().filter(|p| p.user == c.i.st.top().user) {
            let _ = writeln!(
                text,
                "{:7} {:<8} {:<4} {:3}:{:02} {}",
                p.pid,
                terminal(c, p),
                p.stat,
                p.cpu_s / 60,
                p.cpu_s % 60,
                p.command
            );
        }
    } else {
        text.push_str("    PID TTY          TIME CMD\n");
        for p in list.iter().filter(|p| p.pid >= c.i.st.pid) {
            let name = p.command.split(' ').next().unwrap_or_default().trim_start_matches('-');
            let _ = writeln!(text, "{:7} {:<8} {} {name}", p.pid, terminal(c, p), clock(p.cpu_s));
        }
    }
    c.out(text)?;
    Ok(0)
}

pub(super) fn top(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let (p, now) = (c.persona(), c.now());
    let m = p.memory(now);
    let list = all(c);
    let mib = |kb: u64| kb as f64 / 1024.0;
    let mut text = format!(
        "top -{}Tasks: {:3} total,   1 running, {:3} sleeping,   0 stopped,   0 zombie\n%Cpu(s):  0.3 us,  0.2 sy,  0.0 ni, 99.4 id,  0.0 wa,  0.0 hi,  0.1 si,  0.0 st\nMiB Mem : {:8.1} total, {:8.1} free, {:8.1} used, {:8.1} buff/cache\nMiB Swap:      0.0 total,      0.0 free,      0.0 used. {:8.1} avail Mem\n\n    PID USER      PR  NI    VIRT    RES    SHR S  %CPU  %MEM     TIME+ COMMAND\n",
        super::system::uptime_line(c),
        list.len(),
        list.len() - 1,
        mib(m.total),
        mib(m.free),
        mib(m.used()),
        mib(m.buffers + m.cached),
        mib(m.available)
    );
    for q in list.iter().take(20) {
        let name = q.command.split(' ').next().unwrap_or_default().rsplit('/').next().unwrap_or_default();
        let _ = writeln!(
            text,
            "{:7} {:<9} 20   0 {:7} {:6} {:6} {}   0.0 {:5.1} {:3}:{:02}.00 {name}",
            q.pid,
            q.user.get(..8).unwrap_or(&q.user),
            q.vsz_kb,
            q.rss_kb,
            q.rss_kb * 2 / 3,
            q.stat.get(..1).unwrap_or("S"),
            f64::from(q.rss_kb) * 100.0 / p.mem_kb as f64,
            q.cpu_s / 60,
            q.cpu_s % 60
        );
    }
    c.out(text)?;
    Ok(0)
}

pub(super) fn kill(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let args = c.texts();
    if args.first().is_some_and(|a| a == "-l") {
        c.out(" 1) SIGHUP\t 2) SIGINT\t 3) SIGQUIT\t 9) SIGKILL\t15) SIGTERM\n")?;
        return Ok(0);
    }
    let mut status = 0;
    let list = all(c);
    for pid in args.iter().filter(|a| !a.starts_with('-')) {
        let known = pid.parse::<u32>().ok().and_then(|n| list.iter().find(|p| p.pid == n));
        let why = match known {
            None => "No such process",
            Some(p) if !c.is_root() && p.user != c.i.st.top().user => "Operation not permitted",
            Some(_) => continue,
        };
        let text = format!("{}: kill: ({pid}) - {why}\n", c.i.shell_name());
        c.err(text)?;
        status = 1;
    }
    if args.is_empty() {
        c.err(
            "kill: usage: kill [-s sigspec | -n signum | -sigspec] pid | jobspec ... or kill -l [sigspec]\n",
        )?;
        return Ok(2);
    }
    Ok(status)
}

fn named(c: &Ctx<'_, '_>, name: &str, anywhere: bool) -> Vec<u32> {
    let hit = |p: &Process| {
        let program = p
            .command
            .split(' ')
            .next()
            .unwrap_or_default()
            .trim_end_matches(':')
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .trim_matches(['[', ']'])
            .to_owned();
        if anywhere { p.command.contains(name) } else { program == name }
    };
    all(c).iter().filter(|p| p.pid <= c.i.st.pid && hit(p)).map(|p| p.pid).collect()
}

pub(super) fn pkill(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let options = c.options("u s signal");
    if options.operands.is_empty() {
        return c.fail("no process selection criteria", 2);
    }
    let mut status = 1;
    for name in options.operands {
        if named(c, &name, c.name == "pkill").is_empty() {
            if c.name == "killall" && !options.flags.iter().any(|(f, _)| f == "q") {
                c.err(format!("{name}: no process found\n"))?;
            }
        } else {
            status = 0;
        }
    }
    Ok(status)
}

pub(super) fn pidof(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let options = c.options("u");
    let pids: Vec<String> =
        options.operands.iter().flat_map(|n| named(c, n, c.name == "pgrep")).map(|p| p.to_string()).collect();
    if pids.is_empty() {
        return Ok(1);
    }
    c.out(pids.join(if c.name == "pidof" { " " } else { "\n" }) + "\n")?;
    Ok(0)
}

pub(super) fn lsof(c: &mut Ctx<'_, '_>) -> Run<i32> {
    if c.name == "fuser" {
        return Ok(1);
    }
    let sshd = all(c).iter().find(|p| p.command.contains("sshd")).map_or(1, |p| p.pid);
    c.out(format!("COMMAND   PID USER   FD   TYPE DEVICE SIZE/OFF NODE NAME\nsshd    {sshd:5} root    3u  IPv4  16384      0t0  TCP *:ssh (LISTEN)\n"))?;
    Ok(0)
}
