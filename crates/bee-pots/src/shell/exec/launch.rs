//! From the words of a simple command to the builtin, function, program or script they name.

use super::{Interp, Run, Stop};
use crate::persona::Packaging;
use crate::shell::commands::{self, Ctx};
use crate::shell::io::Fds;
use crate::shell::parse::{self, Redirect, Word};
use crate::shell::state::Flavour;
use crate::shell::{Effect, Want};
use crate::vfs::{Content, Kind, NodeId};
use std::sync::Arc;

/// What a name stands for.
pub(crate) enum Found {
    /// A command of this module, under the name it goes by.
    Command(commands::Command, String),
    /// A program that exists and does nothing visible.
    Silent,
    /// A file of the attacker or a script.
    File(NodeId, String),
    Denied,
    Directory,
    Missing {
        path: bool,
    },
}

impl Interp<'_> {
    pub(super) fn simple(
        &mut self,
        assigns: &[(String, bool, Word)],
        words: &[Word],
        redirects: &[Redirect],
        fds: Fds,
    ) -> Run<i32> {
        let words = self.unalias(words);
        let args = self.words(&words, fds)?;
        let Some(redirected) = self.redirect(redirects, fds)? else { return Ok(1) };
        if args.is_empty() {
            let before = self.st.last_status;
            self.st.last_status = 0;
            for (name, append, word) in assigns {
                let mut value = self.value(word, redirected)?;
                if *append {
                    let mut old = self.st.top().get(name).unwrap_or_default().to_vec();
                    old.append(&mut value);
                    value = old;
                }
                self.st.top_mut().set(name, value, None);
            }
            let status = if assigns.is_empty() { 0 } else { self.st.last_status };
            let _ = before;
            return Ok(status);
        }
        // `A=1 cmd`: the variable is there while the command runs.
        let mut saved = Vec::new();
        for (name, _, word) in assigns {
            let value = self.value(word, redirected)?;
            saved.push((name.clone(), self.st.top().vars.get(name).cloned()));
            self.st.top_mut().set(name, value, Some(true));
        }
        let result = self.run_args(args, redirected);
        for (name, old) in saved {
            match old {
                Some(variable) => self.st.top_mut().set(&name, variable.value, Some(variable.exported)),
                None => self.st.top_mut().unset(&name),
            }
        }
        match result {
            // Writing to a full disk or a closed pipe fails the command, not the line.
            Err(Stop::PipeFull) if matches!(redirected.out, crate::shell::io::Target::File(_)) => Ok(1),
            other => other,
        }
    }

    fn unalias(&self, words: &[Word]) -> Vec<Word> {
        let Some(first) = words.first() else { return Vec::new() };
        let name = match first.as_slice() {
            [parse::Piece::Literal(text)] => String::from_utf8_lossy(text).into_owned(),
            _ => return words.to_vec(),
        };
        match self.st.top().aliases.get(&name) {
            Some(value) => value
                .split_whitespace()
                .map(|part| vec![parse::Piece::Literal(part.trim_matches(['\'', '"']).as_bytes().to_vec())])
                .chain(words.iter().skip(1).cloned())
                .collect(),
            None => words.to_vec(),
        }
    }

    /// Runs a command given as words; `nohup`, `busybox`, `xargs`, `sudo` and the like come here again.
    pub(crate) fn run_args(&mut self, args: Vec<Vec<u8>>, fds: Fds) -> Run<i32> {
        self.step()?;
        let name = String::from_utf8_lossy(args.first().map(Vec::as_slice).unwrap_or_default()).into_owned();
        if let Some(body) = self.st.top().functions.get(&name).cloned() {
            let old =
                std::mem::replace(&mut self.st.top_mut().args, args.get(1..).unwrap_or_default().to_vec());
            let result = self.deeper(|i| i.command(&body, fds));
            self.st.top_mut().args = old;
            return match result {
                Err(Stop::Return(code)) => Ok(code),
                other => other,
            };
        }
        let found = self.find(&name);
        let input = String::from_utf8_lossy(&args.join(&b' ')).into_owned();
        self.effect(Effect::Command { input, found: !matches!(found, Found::Missing { .. }) });
        match found {
            Found::Command(command, called) => self.call(command, called, args, fds),
            Found::Silent => Ok(0),
            Found::File(id, path) => self.run_file(id, path, args, fds),
            Found::Denied => self.complain(&name, "Permission denied", 126, fds),
            Found::Directory => self.complain(&name, "Is a directory", 126, fds),
            Found::Missing { path: true } => {
                let why = if self.st.top().flavour == Flavour::Bash {
                    "No such file or directory"
                } else {
                    "not found"
                };
                self.complain(&name, why, 127, fds)
            }
            Found::Missing { path: false } => {
                let why =
                    if self.st.top().flavour == Flavour::Bash { "command not found" } else { "not found" };
                if self.st.top().flavour == Flavour::Bash
                    && self.st.tty
                    && self.sys.persona().distro.id == "ubuntu"
                {
                    self.write(fds.err, format!("{name}: {why}\n").as_bytes())?;
                    return Ok(127);
                }
                self.complain(&name, why, 127, fds)
            }
        }
    }

    /// Runs a command of this module under a name.
    pub(crate) fn call(
        &mut self,
        command: commands::Command,
        called: String,
        args: Vec<Vec<u8>>,
        fds: Fds,
    ) -> Run<i32> {
        self.deeper(|interp| {
            let mut ctx = Ctx { i: interp, name: called, args, fds };
            command(&mut ctx)
        })
    }

    fn complain(&mut self, name: &str, why: &str, code: i32, fds: Fds) -> Run<i32> {
        let line = format!("{}: {name}: {why}\n", self.shell_name());
        self.write(fds.err, line.as_bytes())?;
        Ok(code)
    }

    /// Looks a name up: shell builtins, then `$PATH`, or the file tree for names with a slash.
    pub(crate) fn find(&self, name: &str) -> Found {
        if name.contains('/') {
            let cwd = self.st.top().cwd.clone();
            return match self.vfs.resolve_as(&cwd, name, self.st.top().cred) {
                Ok(id) => self.classify(id, name, &cwd),
                Err(_) => Found::Missing { path: true },
            };
        }
        if commands::is_builtin(name, self.st.top().flavour)
            && let Some(command) = commands::lookup(name)
        {
            return Found::Command(command, name.to_owned());
        }
        match self.which(name) {
            Some((id, path)) => self.classify(id, &path, "/"),
            None => Found::Missing { path: false },
        }
    }

    /// The first file of that name on `$PATH`.
    pub(crate) fn which(&self, name: &str) -> Option<(NodeId, String)> {
        if name.is_empty() || name.contains('/') {
            return None;
        }
        let path = self.st.top().text("PATH");
        path.split(':').take(64).filter(|d| !d.is_empty()).find_map(|dir| {
            let full = format!("{}/{name}", dir.trim_end_matches('/'));
            let id = self.vfs.resolve(&self.st.top().cwd, &full).ok()?;
            (!self.vfs.is_dir_id(id)).then_some((id, full))
        })
    }

    fn classify(&self, id: NodeId, path: &str, cwd: &str) -> Found {
        let cred = self.st.top().cred;
        match self.vfs.node(id).map(|n| &n.kind) {
            Some(Kind::Dir(_)) => Found::Directory,
            Some(Kind::File(_)) if !self.vfs.allowed(id, cred, 1) => Found::Denied,
            Some(Kind::File(Content::Program { .. })) => {
                // `/bin/ls` may be a link to busybox, and a copy may have any name: the link's own name decides first.
                let own = path.rsplit('/').next().unwrap_or(path);
                let real = self.vfs.realpath(cwd, path).unwrap_or_default();
                let target = real.rsplit('/').next().unwrap_or(own).to_owned();
                for name in [own, target.as_str()] {
                    if let Some(command) = commands::lookup(name) {
                        return Found::Command(command, name.to_owned());
                    }
                }
                Found::Silent
            }
            Some(Kind::File(_)) => Found::File(id, path.to_owned()),
            _ => Found::Denied,
        }
    }

    /// Runs a file: a program does nothing visible, text is a script.
    pub(crate) fn run_file(&mut self, id: NodeId, path: String, args: Vec<Vec<u8>>, fds: Fds) -> Run<i32> {
        let cwd = self.st.top().cwd.clone();
        let full = self.vfs.realpath(&cwd, &path).unwrap_or_else(|_| path.clone());
        let data = self.vfs.read_id(id).unwrap_or_default();
        let written = self.vfs.take_written_id(id);
        let sha256 = written.as_ref().map(|w| w.sha256);
        if let Some(written) = written {
            self.effect(Effect::FileWritten(written));
        }
        self.effect(Effect::Executed { path: full, sha256: sha256.or_else(|| self.vfs.reported(id)) });
        if data.starts_with(b"\x7fELF") || data.starts_with(b"MZ") {
            return self.run_program(&data, &path, fds);
        }
        if data.iter().take(512).any(|b| *b == 0) {
            return self.complain(&path, "cannot execute binary file: Exec format error", 126, fds);
        }
        let first = data.split(|b| *b == b'\n').next().unwrap_or_default();
        let interpreter = String::from_utf8_lossy(first).into_owned();
        if let Some(interpreter) = interpreter.strip_prefix("#!")
            && !interpreter.contains("sh")
        {
            let program = interpreter.split_whitespace().last().unwrap_or_default();
            let program = program.rsplit('/').next().unwrap_or_default();
            return match self.find(program) {
                Found::Command(..) | Found::Silent => Ok(0),
                _ => self.complain(
                    &path,
                    &format!("{interpreter}: bad interpreter: No such file or directory"),
                    126,
                    fds,
                ),
            };
        }
        let flavour = match self.st.top().flavour {
            Flavour::Ash => Flavour::Ash,
            _ if interpreter.contains("bash") || !interpreter.starts_with("#!") => Flavour::Bash,
            _ if self.sys.persona().distro.packaging == Packaging::Deb => Flavour::Dash,
            _ => Flavour::Bash,
        };
        self.run_script(&data, &path, flavour, args.get(1..).unwrap_or_default().to_vec(), fds)
    }

    /// Runs a text as a script in a shell of its own.
    pub(crate) fn run_script(
        &mut self,
        text: &[u8],
        name: &str,
        flavour: Flavour,
        args: Vec<Vec<u8>>,
        fds: Fds,
    ) -> Run<i32> {
        let text: Arc<[u8]> = Arc::from(text);
        self.isolated(|i| {
            let top = i.st.top_mut();
            top.name = name.to_owned();
            top.flavour = flavour;
            top.args = args;
            top.aliases.clear();
            top.errexit = false;
            i.deeper(|i| i.script(&text, fds))
        })
    }

    /// A program of the attacker: it seems to run, go to the background and say nothing; another machine's fails.
    fn run_program(&mut self, data: &[u8], path: &str, fds: Fds) -> Run<i32> {
        let machine = match (data.get(5), data.get(18), data.get(19)) {
            (Some(2), Some(high), Some(low)) => u16::from_be_bytes([*high, *low]),
            (_, Some(low), Some(high)) => u16::from_le_bytes([*low, *high]),
            _ => return self.complain(path, "cannot execute binary file: Exec format error", 126, fds),
        };
        let native: &[u16] = match self.sys.persona().distro.arch {
            crate::persona::Arch::X86_64 => &[62, 3],
            crate::persona::Arch::Arm => &[40],
            crate::persona::Arch::Mips => &[8],
        };
        if data.starts_with(b"MZ") || !native.contains(&machine) {
            return self.complain(path, "cannot execute binary file: Exec format error", 126, fds);
        }
        self.st.next_pid();
        self.delay_ms += 120;
        Ok(0)
    }

    /// Reads a password without echo, showing a prompt first.
    pub(crate) fn secret(&mut self, prompt: &str, fds: Fds) -> Run<Vec<u8>> {
        self.write(fds.err, prompt.as_bytes())?;
        let line = self.read_line(fds.input, Want::Secret)?;
        self.write(fds.err, b"\n")?;
        Ok(line.map(|(l, _)| l).unwrap_or_default())
    }
}
