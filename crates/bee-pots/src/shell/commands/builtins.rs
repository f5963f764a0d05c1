//! What the shell itself does: directories, variables, words, history, control flow.

use super::{Ctx, Options};
use crate::shell::exec::{Run, Stop};
use crate::shell::expand::unescape;
use crate::shell::state::Flavour;
use crate::shell::{Want, limits};
use crate::vfs::Errno;
use std::fmt::Write as _;

pub(super) fn yes(_: &mut Ctx<'_, '_>) -> Run<i32> {
    Ok(0)
}

pub(super) fn no(_: &mut Ctx<'_, '_>) -> Run<i32> {
    Ok(1)
}

pub(super) fn minor(c: &mut Ctx<'_, '_>) -> Run<i32> {
    match (c.name.as_str(), c.texts().first().map(String::as_str)) {
        ("umask", None) => c.out("0022\n")?,
        ("ulimit", None) => c.out("unlimited\n")?,
        ("ulimit", Some("-n")) if c.args.len() == 2 => c.out("1024\n")?,
        ("ulimit", Some("-a")) => c.out("core file size          (blocks, -c) 0\ndata seg size           (kbytes, -d) unlimited\nscheduling priority             (-e) 0\nfile size               (blocks, -f) unlimited\nopen files                      (-n) 1024\npipe size            (512 bytes, -p) 8\nstack size              (kbytes, -s) 8192\ncpu time               (seconds, -t) unlimited\nmax user processes              (-u) 7656\nvirtual memory          (kbytes, -v) unlimited\n")?,
        ("times", _) => c.out("0m0.012s 0m0.008s\n0m0.004s 0m0.000s\n")?,
        ("fg" | "bg", _) => {
            let name = c.i.shell_name();
            let text = format!("{name}: {}: current: no such job\n", c.name);
            c.err(text)?;
            return Ok(1);
        }
        // `enable`, `system`, `shell`, `linuxshell` are how Telnet worms leave a vendor's menu.
        _ => {}
    }
    Ok(0)
}

pub(super) fn cd(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let options = c.options("");
    let (cwd, cred) = (c.cwd(), c.cred());
    let (target, show) = match options.operands.first().map(String::as_str) {
        None => (c.i.st.top().text("HOME"), false),
        Some("-") => (c.i.st.top().text("OLDPWD"), true),
        Some(path) => (path.to_owned(), false),
    };
    if target.is_empty() {
        return Ok(0);
    }
    let result = c.i.vfs.resolve_as(&cwd, &target, cred).and_then(|id| {
        if !c.i.vfs.is_dir_id(id) {
            Err(Errno::NotDir)
        } else if !c.i.vfs.allowed(id, cred, 1) {
            Err(Errno::Access)
        } else {
            Ok(())
        }
    });
    if let Err(error) = result {
        let name = c.i.shell_name();
        let line = match c.i.st.top().flavour {
            Flavour::Bash => format!("{name}: cd: {target}: {}\n", error.text()),
            _ => format!("{name}: cd: can't cd to {target}\n"),
        };
        c.err(line)?;
        return Ok(if c.i.st.top().flavour == Flavour::Bash { 1 } else { 2 });
    }
    let new = crate::vfs::normalise(&cwd, &target);
    let new = if c.i.vfs.resolve("/", &new).is_ok_and(|id| c.i.vfs.is_dir_id(id)) {
        new
    } else {
        c.i.vfs.realpath(&cwd, &target).unwrap_or(new)
    };
    if show {
        c.out(format!("{new}\n"))?;
    }
    let top = c.i.st.top_mut();
    top.cwd.clone_from(&new);
    top.set("OLDPWD", cwd.into_bytes(), None);
    top.set("PWD", new.into_bytes(), None);
    Ok(0)
}

pub(super) fn pwd(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let cwd = c.cwd();
    c.out(format!("{cwd}\n"))?;
    Ok(0)
}

pub(super) fn echo(c: &mut Ctx<'_, '_>) -> Run<i32> {
    // dash expands escapes without being asked.
    let (mut newline, mut escapes) = (true, c.i.st.top().flavour == Flavour::Dash);
    let mut words = c.args.iter().skip(1).peekable();
    while let Some(word) = words.peek() {
        let Some(letters) = word.strip_prefix(b"-") else { break };
        if letters.is_empty() || !letters.iter().all(|l| b"neE".contains(l)) {
            break;
        }
        for letter in letters {
            match letter {
                b'n' => newline = false,
                b'e' => escapes = true,
                _ => escapes = false,
            }
        }
        words.next();
    }
    let mut text = words.cloned().collect::<Vec<_>>().join(&b' ');
    if escapes {
        let (new, stopped) = unescape(&text);
        text = new;
        newline &= !stopped;
    }
    if newline {
        text.push(b'\n');
    }
    c.out(text)?;
    Ok(0)
}

pub(super) fn exit(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let code = c.texts().first().and_then(|a| a.parse::<i32>().ok()).unwrap_or(c.i.st.last_status);
    if c.i.inner == 0 && c.i.st.tty && c.name == "exit" && c.i.st.top().flavour == Flavour::Bash {
        let text = if c.i.st.frames.len() == 1 { "logout\n" } else { "exit\n" };
        c.err(text)?;
    }
    Err(Stop::Exit(code & 255))
}

pub(super) fn export(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let options = c.options("");
    if options.operands.is_empty() {
        let mut text = String::new();
        for (name, variable) in c.i.st.top().vars.iter().filter(|(_, v)| v.exported) {
            let value = String::from_utf8_lossy(&variable.value);
            let _ = match c.i.st.top().flavour {
                Flavour::Bash => writeln!(text, "declare -x {name}=\"{value}\""),
                _ => writeln!(text, "export {name}='{value}'"),
            };
        }
        c.out(text)?;
        return Ok(0);
    }
    let exported = if c.name == "export" { Some(!options.has("n")) } else { None };
    for arg in c.args.clone().iter().skip(1) {
        if arg.starts_with(b"-") {
            continue;
        }
        let mut parts = arg.splitn(2, |b| *b == b'=');
        let name = String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            let text = format!(
                "{}: {}: `{}': not a valid identifier\n",
                c.i.shell_name(),
                c.name,
                String::from_utf8_lossy(arg)
            );
            c.err(text)?;
            continue;
        }
        match parts.next() {
            Some(value) => c.i.st.top_mut().set(&name, value.to_vec(), exported),
            None => {
                if let Some(value) = c.i.st.top().get(&name).map(<[u8]>::to_vec) {
                    c.i.st.top_mut().set(&name, value, exported);
                }
            }
        }
    }
    Ok(0)
}

pub(super) fn unset(c: &mut Ctx<'_, '_>) -> Run<i32> {
    for name in c.options("").operands {
        c.i.st.top_mut().unset(&name);
        c.i.st.top_mut().functions.remove(&name);
    }
    Ok(0)
}

pub(super) fn set(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let args = c.texts();
    match args.first().map(String::as_str) {
        None => {
            let text = c.i.st.top().vars.iter().fold(String::new(), |mut t, (name, v)| {
                let _ = writeln!(t, "{name}={}", String::from_utf8_lossy(&v.value));
                t
            });
            c.out(text)?;
        }
        Some("--") => c.i.st.top_mut().args = c.args.get(2..).unwrap_or_default().to_vec(),
        Some(flag) if flag.starts_with(['-', '+']) => {
            if flag.contains('e') && !flag.contains('o') {
                c.i.st.top_mut().errexit = flag.starts_with('-') && !c.i.st.tty;
            }
        }
        Some(_) => c.i.st.top_mut().args = c.args.get(1..).unwrap_or_default().to_vec(),
    }
    Ok(0)
}

pub(super) fn alias(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let args = c.texts();
    if args.is_empty() {
        let text = c.i.st.top().aliases.iter().fold(String::new(), |mut t, (name, value)| {
            let _ = writeln!(t, "alias {name}='{value}'");
            t
        });
        c.out(text)?;
    }
    for arg in args {
        if let Some((name, value)) = arg.split_once('=') {
            let aliases = &mut c.i.st.top_mut().aliases;
            if aliases.len() < limits::NAMES_MAX {
                aliases.insert(name.to_owned(), value.chars().take(1024).collect());
            }
        }
    }
    Ok(0)
}

pub(super) fn unalias(c: &mut Ctx<'_, '_>) -> Run<i32> {
    for name in c.texts() {
        c.i.st.top_mut().aliases.remove(&name);
    }
    Ok(0)
}

pub(super) fn history(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let options = c.options("");
    if options.has("c") {
        c.i.st.history = std::sync::Arc::default();
        return Ok(0);
    }
    if options.has("n r w a d s p") {
        return Ok(0);
    }
    let history = c.i.st.history.clone();
    let count = options.operands.first().and_then(|n| n.parse::<usize>().ok()).unwrap_or(usize::MAX);
    for (n, line) in history.iter().enumerate().skip(history.len().saturating_sub(count)) {
        c.out(format!("{:5}  {line}\n", n + 1))?;
    }
    Ok(0)
}

pub(super) fn help(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let p = c.persona();
    let text = match c.i.st.top().flavour {
        Flavour::Bash => format!("GNU bash, version {} ({}-pc-linux-gnu)\nThese shell commands are defined internally.  Type `help' to see this list.\nType `help name' to find out more about the function `name'.\nUse `info bash' to find out more about the shell in general.\nUse `man -k' or `info' to find out more about commands not in this list.\n\nA star (*) next to a name means that the command is disabled.\n\n", p.distro.bash_version, p.distro.machine),
        _ => "Built-in commands:\n------------------\n\t. : [ alias bg break cd chdir continue echo eval exec exit export\n\tfalse fg hash help history jobs kill let local printf pwd read\n\treadonly return set shift source test times trap true type ulimit\n\tumask unalias unset wait\n\n".to_owned(),
    };
    c.out(text)?;
    Ok(0)
}

pub(super) fn which(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let options: Options = c.options("");
    if c.name == "locate" {
        return Ok(1);
    }
    if c.name == "command" && !options.has("v V") {
        let rest = c.args.get(1..).unwrap_or_default().to_vec();
        return if rest.is_empty() { Ok(0) } else { c.i.run_args(rest, c.fds) };
    }
    let mut status = 0;
    for name in options.operands {
        let builtin =
            super::is_builtin(&name, c.i.st.top().flavour) && !matches!(c.name.as_str(), "which" | "whereis");
        let alias = c.i.st.top().aliases.get(&name).cloned();
        let path = c.i.which(&name).map(|(_, path)| path).or_else(|| {
            (name.contains('/') && c.i.vfs.resolve(&c.cwd(), &name).is_ok()).then(|| name.clone())
        });
        let line = match (c.name.as_str(), path) {
            ("whereis", Some(path)) => format!("{name}: {path} /usr/share/man/man1/{name}.1.gz\n"),
            ("whereis", None) => format!("{name}:\n"),
            ("type", _) if alias.is_some() => {
                format!("{name} is aliased to `{}'\n", alias.unwrap_or_default())
            }
            ("type", _) if builtin => format!("{name} is a shell builtin\n"),
            ("type", Some(path)) => format!("{name} is {path}\n"),
            ("command", _) if builtin => format!("{name}\n"),
            (_, Some(path)) => format!("{path}\n"),
            (kind, None) => {
                status = 1;
                if kind == "type" {
                    let text = format!("{}: type: {name}: not found\n", c.i.shell_name());
                    c.err(text)?;
                } else if kind == "which" && c.persona().distro.id == "centos" {
                    let path = c.i.st.top().text("PATH");
                    let text = format!("/usr/bin/which: no {name} in ({path})\n");
                    c.err(text)?;
                }
                String::new()
            }
        };
        c.out(line)?;
    }
    Ok(status)
}

pub(super) fn read(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let options = c.options("p t n d a u N");
    let secret = options.has("s");
    if let Some(prompt) = options.value("p")
        && c.reads_session()
    {
        let prompt = prompt.to_owned();
        c.err(prompt)?;
    }
    let line = c.i.read_line(c.fds.input, if secret { Want::Secret } else { Want::Line })?;
    let Some((line, whole)) = line else { return Ok(1) };
    let text = if options.has("r") { line } else { unescape_backslashes(&line) };
    let names = if options.operands.is_empty() { vec!["REPLY".to_owned()] } else { options.operands };
    let mut rest = text.trim_ascii();
    for (n, name) in names.iter().enumerate() {
        let end = if n + 1 == names.len() {
            rest.len()
        } else {
            rest.iter().position(|b| matches!(b, b' ' | b'\t')).unwrap_or(rest.len())
        };
        let (word, tail) = rest.split_at(end);
        c.i.st.top_mut().set(name, word.to_vec(), None);
        rest = tail.trim_ascii_start();
    }
    Ok(i32::from(!whole))
}

fn unescape_backslashes(line: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(line.len());
    let mut bytes = line.iter();
    while let Some(byte) = bytes.next() {
        if *byte == b'\\' { out.extend(bytes.next()) } else { out.push(*byte) }
    }
    out
}

pub(super) fn eval(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let text = c.args.get(1..).unwrap_or_default().join(&b' ');
    c.i.script(&text, c.fds)
}

pub(super) fn exec(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let rest = c.args.get(1..).unwrap_or_default().to_vec();
    if rest.is_empty() {
        return Ok(0);
    }
    let code = c.i.run_args(rest, c.fds)?;
    if c.name == "exec" && c.i.st.frames.len() == 1 { Err(Stop::Exit(code)) } else { Ok(code) }
}

pub(super) fn source(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let Some(path) = c.texts().into_iter().next() else {
        let text = format!("{}: {}: filename argument required\n", c.i.shell_name(), c.name);
        c.err(text)?;
        return Ok(2);
    };
    match c.read(&path)? {
        Ok(text) => match c.i.script(&text, c.fds) {
            Err(Stop::Return(code)) => Ok(code),
            other => other,
        },
        Err(error) => {
            let text = format!("{}: {path}: {}\n", c.i.shell_name(), error.text());
            c.err(text)?;
            Ok(1)
        }
    }
}

pub(super) fn leave(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let number = c.texts().first().and_then(|n| n.parse::<i32>().ok());
    Err(match c.name.as_str() {
        "break" => Stop::Break(number.unwrap_or(1).clamp(1, 64) as u32),
        "continue" => Stop::Continue(number.unwrap_or(1).clamp(1, 64) as u32),
        _ => Stop::Return(number.unwrap_or(c.i.st.last_status) & 255),
    })
}

pub(super) fn shift(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let count = c.texts().first().and_then(|n| n.parse::<usize>().ok()).unwrap_or(1);
    let args = &mut c.i.st.top_mut().args;
    if count > args.len() {
        return Ok(1);
    }
    args.drain(..count);
    Ok(0)
}

pub(super) fn let_(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let mut value = 0;
    for text in c.texts() {
        value = c.i.arithmetic(&text);
    }
    Ok(i32::from(value == 0))
}

pub(super) fn env(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let mut rest: Vec<Vec<u8>> = c.args.iter().skip(1).skip_while(|a| a.starts_with(b"-")).cloned().collect();
    if c.name == "printenv" && !rest.is_empty() {
        let name = String::from_utf8_lossy(rest.first().map(Vec::as_slice).unwrap_or_default()).into_owned();
        return match c.i.st.top().get(&name).map(<[u8]>::to_vec) {
            Some(mut value) => {
                value.push(b'\n');
                c.out(value)?;
                Ok(0)
            }
            None => Ok(1),
        };
    }
    while rest.first().is_some_and(|a| a.contains(&b'=')) {
        rest.remove(0);
    }
    if !rest.is_empty() {
        return c.i.run_args(rest, c.fds);
    }
    let text = c.i.st.top().vars.iter().filter(|(_, v)| v.exported).fold(Vec::new(), |mut t, (name, v)| {
        t.extend(format!("{name}=").into_bytes());
        t.extend(&v.value);
        t.push(b'\n');
        t
    });
    c.out(text)?;
    Ok(0)
}
