//! Commands that run other commands: shells, BusyBox, sudo, wrappers, interpreters.

use super::{Ctx, lookup};
use crate::persona::Packaging;
use crate::shell::Effect;
use crate::shell::exec::{Run, Stop};
use crate::shell::state::Flavour;
use crate::vfs::Cred;

fn flavour(c: &Ctx<'_, '_>, name: &str) -> Flavour {
    match (c.persona().distro.packaging, name) {
        (Packaging::None, _) | (_, "ash") => Flavour::Ash,
        (_, "bash" | "rbash") | (Packaging::Rpm, _) => Flavour::Bash,
        _ => Flavour::Dash,
    }
}

pub(super) fn sh(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let flavour = flavour(c, &c.name.clone());
    let name = c.name.clone();
    let mut args = c.args.get(1..).unwrap_or_default().to_vec();
    let (mut command, mut from_stdin, mut trace) = (false, false, false);
    while let Some(first) = args.first().map(|a| String::from_utf8_lossy(a).into_owned()) {
        if first == "--version" {
            let p = c.persona();
            c.out(format!(
                "GNU bash, version {} ({}-pc-linux-gnu)\n",
                p.distro.bash_version, p.distro.machine
            ))?;
            return Ok(0);
        }
        if !first.starts_with(['-', '+']) || first == "-" {
            break;
        }
        command |= !first.starts_with("--") && first.contains('c');
        from_stdin |= first == "-s";
        trace |= first == "-x";
        args.remove(0);
        if command {
            break;
        }
    }
    let _ = trace;
    if command {
        if args.is_empty() {
            return c.fail("-c: option requires an argument", 2);
        }
        let text = args.remove(0);
        let called = args.first().map_or_else(|| name.clone(), |a| String::from_utf8_lossy(a).into_owned());
        let rest = args.get(1..).unwrap_or_default().to_vec();
        return c.i.run_script(&text, &called, flavour, rest, c.fds);
    }
    if let Some(path) = args
        .first()
        .filter(|_| !from_stdin)
        .map(|a| String::from_utf8_lossy(a).into_owned())
        .filter(|p| p != "-")
    {
        let text = match c.read(&path)? {
            Ok(text) => text,
            Err(error) => return c.fail(format!("{path}: {}", error.text()), 127),
        };
        if let Ok(id) = c.i.vfs.resolve(&c.cwd(), &path)
            && let Some(written) = c.i.vfs.take_written_id(id)
        {
            c.effect(Effect::Executed { path: written.path.clone(), sha256: Some(written.sha256) });
            c.effect(Effect::FileWritten(written));
        }
        if text.starts_with(b"\x7fELF") || text.iter().take(256).any(|b| *b == 0) {
            return c.fail(format!("{path}: cannot execute binary file"), 126);
        }
        return c.i.run_script(&text, &path, flavour, args.get(1..).unwrap_or_default().to_vec(), c.fds);
    }
    if c.reads_session() && c.i.inner == 0 {
        // An inner shell: it takes the session's next lines.
        let mut frame = c.i.st.top().clone();
        frame.flavour = flavour;
        frame.name = name;
        frame.aliases.clear();
        frame.functions.clear();
        frame.args = args;
        c.i.st.push(frame);
        return Ok(0);
    }
    let text = c.stdin()?;
    c.i.run_script(&text, &name, flavour, args, c.fds)
}

pub(super) fn busybox(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let rest = c.args.get(1..).unwrap_or_default().to_vec();
    let banner = c.persona().distro.busybox;
    let Some(applet) = rest.first().map(|a| String::from_utf8_lossy(a).into_owned()) else {
        c.out(format!("{banner} multi-call binary.\nBusyBox is copyrighted by many authors between 1998-2012.\nLicensed under GPLv2. See source distribution for detailed\ncopyright notices.\n\nUsage: busybox [function [arguments]...]\n   or: busybox --list[-full]\n   or: function [arguments]...\n\n\tBusyBox is a multi-call binary that combines many common Unix\n\tutilities into a single executable.  Most people will create a\n\tlink to busybox for each function they wish to use and BusyBox\n\twill act like whatever it was invoked as.\n\nCurrently defined functions:\n\t{}\n\n", crate::vfs::APPLETS.replace(' ', ", ")))?;
        return Ok(0);
    };
    if applet == "--list" {
        c.out(format!("{}\n", crate::vfs::APPLETS.replace(' ', "\n")))?;
        return Ok(0);
    }
    let known = crate::vfs::APPLETS.split(' ').any(|a| a == applet)
        || matches!(applet.as_str(), "sh" | "ash" | "wget" | "tftp");
    match lookup(&applet).filter(|_| known) {
        Some(command) => c.i.call(command, applet, rest, c.fds),
        None if known => Ok(0),
        None => {
            // What worms ask to see that they are on a real BusyBox.
            c.err(format!("{applet}: applet not found\n"))?;
            Ok(127)
        }
    }
}

/// The user a name stands for, as a frame.
fn become_user(c: &mut Ctx<'_, '_>, name: &str, login: bool) -> Option<crate::shell::state::Frame> {
    let persona = c.persona();
    let mut frame = c.i.st.top().clone();
    let user = persona.user(name)?;
    frame.user.clone_from(&user.name);
    frame.cred = Cred { uid: user.uid, gid: user.gid };
    frame.home.clone_from(&user.home);
    frame.name =
        if frame.flavour == Flavour::Bash { if login { "-bash" } else { "bash" } } else { "sh" }.to_owned();
    if login {
        frame.cwd.clone_from(&user.home);
        let attacker = c.i.st.login.clone();
        frame.environment(c.i.sys, &attacker, c.i.st.tty);
    }
    for (variable, value) in [("USER", &user.name), ("LOGNAME", &user.name), ("HOME", &user.home)] {
        frame.set(variable, value.clone().into_bytes(), Some(true));
    }
    Some(frame)
}

fn switch(c: &mut Ctx<'_, '_>, frame: crate::shell::state::Frame, command: Option<Vec<u8>>) -> Run<i32> {
    match command {
        Some(text) => c.i.isolated(|i| {
            i.st.push(frame);
            i.script(&text, c.fds)
        }),
        None if c.reads_session() && c.i.inner == 0 => {
            c.i.st.push(frame);
            Ok(0)
        }
        None => {
            let text = c.stdin()?;
            c.i.isolated(|i| {
                i.st.push(frame);
                i.script(&text, c.fds)
            })
        }
    }
}

pub(super) fn su(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let args = c.texts();
    let login = args.iter().any(|a| matches!(a.as_str(), "-" | "-l" | "--login"));
    let options = c.options("c s command shell");
    let name = options.operands.iter().find(|o| *o != "-").cloned().unwrap_or_else(|| "root".to_owned());
    if !c.is_root() {
        let secret = c.i.secret("Password: ", c.fds)?;
        c.effect(Effect::Command {
            input: format!("su {name} (password: {})", String::from_utf8_lossy(&secret)),
            found: true,
        });
        c.i.delay_ms += 1800;
        if secret.is_empty() {
            return c.fail("Authentication failure", 1);
        }
    }
    let Some(frame) = become_user(c, &name, login) else {
        return c.fail(
            format!("user {name} does not exist or the user entry does not contain all the required fields"),
            1,
        );
    };
    let command = options.value("c command").map(|t| t.as_bytes().to_vec());
    switch(c, frame, command)
}

pub(super) fn sudo(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let mut rest: Vec<Vec<u8>> = c.args.get(1..).unwrap_or_default().to_vec();
    let (mut shell, mut login, mut user, mut from_stdin) = (false, false, "root".to_owned(), false);
    while let Some(first) = rest.first().map(|a| String::from_utf8_lossy(a).into_owned()) {
        if !first.starts_with('-') {
            break;
        }
        rest.remove(0);
        match first.as_str() {
            "-V" | "--version" => return c.out("Sudo version 1.9.5p2\n").map(|()| 0),
            "-l" => {
                let (user, host) = (c.i.st.top().user.clone(), c.persona().hostname.clone());
                return c
                    .out(format!(
                        "User {user} may run the following commands on {host}:\n    (ALL : ALL) ALL\n"
                    ))
                    .map(|()| 0);
            }
            "-u" if !rest.is_empty() => user = String::from_utf8_lossy(&rest.remove(0)).into_owned(),
            "-p" if !rest.is_empty() => {
                rest.remove(0);
            }
            "-S" => from_stdin = true,
            "-i" => login = true,
            "-s" => shell = true,
            _ => {}
        }
    }
    if rest.is_empty() && !shell && !login {
        c.err("usage: sudo -h | -K | -k | -V\nusage: sudo [-ABbEHnPS] [-g group] [-u user] [VAR=value] [-i|-s] [<command>]\n")?;
        return Ok(1);
    }
    if !c.is_root() && (c.i.st.tty || from_stdin) {
        let name = c.i.st.top().user.clone();
        let secret = c.i.secret(&format!("[sudo] password for {name}: "), c.fds)?;
        c.effect(Effect::Command {
            input: format!("sudo (password: {})", String::from_utf8_lossy(&secret)),
            found: true,
        });
    } else if !c.is_root() {
        return c.fail("a terminal is required to read the password; either use the -S option to read from standard input or configure an askpass helper", 1);
    }
    let Some(frame) = become_user(c, &user, login) else { return c.fail(format!("unknown user: {user}"), 1) };
    if rest.is_empty() {
        return switch(c, frame, None);
    }
    let fds = c.fds;
    c.i.isolated(|i| {
        i.st.push(frame);
        i.run_args(rest, fds)
    })
}

pub(super) fn wrapper(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let mut rest: Vec<Vec<u8>> = c.args.get(1..).unwrap_or_default().to_vec();
    // Options, and the number that `timeout` and `nice -n` take.
    while rest.first().is_some_and(|a| a.starts_with(b"-")) {
        let option = rest.remove(0);
        if matches!(option.as_slice(), b"-n" | b"-c" | b"-p" | b"-s" | b"-k" | b"-o" | b"-e")
            && !rest.is_empty()
        {
            rest.remove(0);
        }
    }
    if matches!(c.name.as_str(), "timeout" | "chroot") && !rest.is_empty() {
        rest.remove(0);
    }
    if rest.is_empty() {
        return if c.name == "time" {
            Ok(0)
        } else {
            c.fail(format!("missing operand\nTry '{} --help' for more information.", c.name), 125)
        };
    }
    if c.name == "nohup" && c.to_screen() {
        c.err("nohup: ignoring input and appending output to 'nohup.out'\n")?;
        let (cwd, cred) = (c.cwd(), c.cred());
        let handle =
            c.i.vfs.open(&cwd, "nohup.out", crate::vfs::OpenFlags::APPEND, cred, crate::vfs::Origin::Command);
        if let Ok(handle) = handle {
            c.fds.out = crate::shell::io::Target::File(handle);
            c.fds.err = c.fds.out;
        }
    }
    let name = c.name.clone();
    let status = c.i.run_args(rest, c.fds)?;
    if name == "time" {
        c.err("\nreal\t0m0.014s\nuser\t0m0.004s\nsys\t0m0.008s\n")?;
    }
    Ok(status)
}

pub(super) fn screen(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let options = c.options("S t c x r n");
    if options.has("ls list") || options.operands.first().is_some_and(|o| o == "ls") {
        let user = c.i.st.top().user.clone();
        c.out(format!("No Sockets found in /run/screen/S-{user}.\n"))?;
        return Ok(1);
    }
    let rest: Vec<Vec<u8>> = options.operands.iter().map(|o| o.clone().into_bytes()).collect();
    if options.has("d m") && !rest.is_empty() {
        c.i.isolated(|i| i.run_args(rest, c.fds)).map(|_| 0)
    } else {
        Ok(0)
    }
}

pub(super) fn xargs(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let mut rest: Vec<Vec<u8>> = c.args.get(1..).unwrap_or_default().to_vec();
    let (mut per, mut replace, mut nul, mut skip_empty) = (usize::MAX, None, false, false);
    while let Some(first) = rest.first().map(|a| String::from_utf8_lossy(a).into_owned()) {
        if !first.starts_with('-') {
            break;
        }
        rest.remove(0);
        let mut value = |short: &str| {
            let tail = first.strip_prefix(short).unwrap_or_default().to_owned();
            if tail.is_empty() && !rest.is_empty() {
                String::from_utf8_lossy(&rest.remove(0)).into_owned()
            } else {
                tail
            }
        };
        match first.get(..2) {
            Some("-n" | "-L") => per = value(first.get(..2).unwrap_or("-n")).parse().unwrap_or(1).max(1),
            Some("-I") => replace = Some(value("-I")),
            Some("-P" | "-d" | "-s" | "-E") => {
                value(first.get(..2).unwrap_or("-P"));
            }
            Some("-0") => nul = true,
            Some("-r") => skip_empty = true,
            _ => {}
        }
    }
    if rest.is_empty() {
        rest.push(b"echo".to_vec());
    }
    let data = c.stdin()?;
    let words: Vec<Vec<u8>> = if nul {
        data.split(|b| *b == 0).filter(|w| !w.is_empty()).map(<[u8]>::to_vec).collect()
    } else if replace.is_some() {
        data.split(|b| *b == b'\n').map(|w| w.trim_ascii().to_vec()).filter(|w| !w.is_empty()).collect()
    } else {
        data.split(u8::is_ascii_whitespace)
            .filter(|w| !w.is_empty())
            .map(|w| w.iter().copied().filter(|b| !matches!(b, b'\'' | b'"')).collect())
            .collect()
    };
    if words.is_empty() {
        return if skip_empty || replace.is_some() { Ok(0) } else { c.i.run_args(rest, c.fds) };
    }
    let mut status = 0;
    match replace {
        Some(mark) => {
            for word in words {
                let word = String::from_utf8_lossy(&word).into_owned();
                let args = rest
                    .iter()
                    .map(|a| String::from_utf8_lossy(a).replace(&mark, &word).into_bytes())
                    .collect();
                status = c.i.run_args(args, c.fds)?;
            }
        }
        None => {
            for part in words.chunks(per.min(2000)) {
                let args = rest.iter().chain(part).cloned().collect();
                status = c.i.run_args(args, c.fds)?;
            }
        }
    }
    Ok(if status == 0 { 0 } else { 123 })
}

pub(super) fn interpreter(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let d = c.persona().distro;
    let name = c.name.clone();
    let args = c.texts();
    let flag = args.first().map_or("", String::as_str);
    if matches!(flag, "-V" | "--version" | "-v" | "-version") {
        let text = match name.as_str() {
            "perl" => format!(
                "\nThis is perl 5, version {}, subversion {} ({}) built for x86_64-linux-gnu-thread-multi\n",
                d.perl.split('.').nth(1).unwrap_or("30"),
                d.perl.split('.').nth(2).unwrap_or("0"),
                d.perl
            ),
            "python" | "python2" | "python2.7" => "Python 2.7.5\n".to_owned(),
            _ => format!("Python {}\n", d.python),
        };
        return c.out(text).map(|()| 0);
    }
    if matches!(flag, "-c" | "-e") || flag.starts_with("-M") {
        let code = args.get(1..).unwrap_or_default().join(" ");
        // `print("x")` is how a script probes for a working interpreter.
        let inside = code.trim().strip_prefix("print").map(|p| p.trim().trim_matches(['(', ')', ';']).trim());
        if let Some(text) = inside.filter(|t| t.len() >= 2 && t.starts_with(['\'', '"'])) {
            let newline = if name == "perl" { "" } else { "\n" };
            let text = crate::shell::expand::unescape(text.trim_matches(['\'', '"']).as_bytes()).0;
            c.out(text)?;
            c.out(newline)?;
        }
        return Ok(0);
    }
    match args.iter().find(|a| !a.starts_with('-')).cloned() {
        Some(path) => match c.read(&path)? {
            Ok(_) => Ok(0),
            Err(error) => {
                let text = match name.as_str() {
                    "perl" => format!("Can't open perl script \"{path}\": {}\n", error.text()),
                    "gcc" | "cc" => format!(
                        "{name}: error: {path}: {}\n{name}: fatal error: no input files\ncompilation terminated.\n",
                        error.text()
                    ),
                    _ => format!("{name}: can't open file '{path}': [Errno 2] {}\n", error.text()),
                };
                c.err(text)?;
                Ok(2)
            }
        },
        None if c.reads_session() => {
            if name.starts_with("python") {
                c.out(format!("Python {}\n", d.python))?;
            }
            Ok(0)
        }
        None => match c.stdin() {
            Ok(_) => Ok(0),
            Err(Stop::Need(want)) => Err(Stop::Need(want)),
            Err(stop) => Err(stop),
        },
    }
}
