//! Runs syntax trees. One [`Interp`] lives for one line; the shell's memory outlives it.
//!
//! A command that needs input the attacker has not sent yet stops the whole line. The state before the line is then
//! restored, and when input arrives the line runs again from the start with all input so far. Running is
//! deterministic, so the second run repeats the first one exactly; only what is new is shown and reported.

mod launch;

use super::io::{Fds, Input, Output, Source, Stream, Target};
use super::limits::{DELAY_MS_MAX, DEPTH_MAX, EFFECTS_MAX, INPUT_BYTES_MAX, RESUMES_MAX, STEPS_MAX};
use super::parse::{self, Command, Item, Kind, List, Pipeline, Redirect, RedirectKind, SyntaxError};
use super::state::{Flavour, State};
use super::{Effect, Outcome, Progress, Shell, System, Want, glob};
use crate::vfs::{OpenFlags, Origin, Vfs};
use std::sync::Arc;

/// Why execution of a line left its normal course.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Input is needed that has not arrived.
    Need(Want),
    /// A limit was reached: the line ends as if it had been killed.
    Limit,
    /// Nobody reads on: the stage of the pipeline ends.
    PipeFull,
    Break(u32),
    Continue(u32),
    Return(i32),
    /// `exit`.
    Exit(i32),
    /// An error that ends the line but not the shell.
    Abort(i32),
}

/// Result of anything that runs.
pub(crate) type Run<T> = Result<T, Stop>;

/// What is needed to run a line again once more input is there.
#[derive(Debug)]
pub(crate) struct Pending {
    line: Vec<u8>,
    state: State,
    vfs: Vfs,
    input: Vec<u8>,
    shown: (usize, usize, usize),
    effects: usize,
    delay_ms: u64,
    resumes: u32,
    now_ms: i64,
}

/// Runs one line.
pub(crate) struct Interp<'a> {
    pub(crate) sys: &'a System,
    pub(crate) vfs: &'a mut Vfs,
    pub(crate) st: &'a mut State,
    pub(crate) now_ms: i64,
    pub(crate) delay_ms: u64,
    pub(crate) output: Output,
    pub(crate) input: Input,
    pub(crate) buffers: Vec<Vec<u8>>,
    pub(crate) streams: Vec<Stream>,
    pub(crate) effects: Vec<Effect>,
    pub(crate) worked: usize,
    steps: u32,
    pub(crate) depth: u32,
    // Inside a subshell, pipeline or substitution: `sh` reads its script there instead of becoming the shell.
    pub(crate) inner: u32,
    // `set -e` and conditions: a failing command in a condition does not end the shell.
    condition: u32,
}

/// Runs a fresh line.
pub(crate) fn start(shell: &mut Shell, line: &[u8], input: Option<&[u8]>, now_ms: i64) -> Outcome {
    shell.pending = None;
    let text = String::from_utf8_lossy(line);
    if shell.state.tty {
        shell.state.remember(text.trim_end());
    }
    let pending = Pending {
        line: line.to_vec(),
        state: shell.state.clone(),
        vfs: shell.vfs.lock().clone(),
        input: input.unwrap_or_default().to_vec(),
        shown: (0, 0, 0),
        effects: 0,
        delay_ms: 0,
        resumes: 0,
        now_ms,
    };
    run(shell, pending, input.is_some())
}

/// Runs a waiting line again with more input.
pub(crate) fn resume(shell: &mut Shell, input: &[u8], end: bool, now_ms: i64) -> Outcome {
    let Some(mut pending) = shell.pending.take() else { return start(shell, b"", None, now_ms) };
    pending.resumes += 1;
    let room = INPUT_BYTES_MAX.saturating_sub(pending.input.len());
    pending.input.extend_from_slice(input.get(..room.min(input.len())).unwrap_or_default());
    let ended = end || pending.resumes >= RESUMES_MAX || room == 0;
    shell.state = pending.state.clone();
    run(shell, pending, ended)
}

fn run(shell: &mut Shell, mut pending: Pending, ended: bool) -> Outcome {
    let system = shell.system.clone();
    let shared = shell.vfs.clone();
    let mut vfs = shared.lock();
    vfs.set_now(pending.now_ms / 1000);
    let mut interp = Interp {
        sys: &system,
        vfs: &mut vfs,
        st: &mut shell.state,
        now_ms: pending.now_ms,
        delay_ms: 0,
        output: Output::default(),
        input: Input { data: pending.input.clone(), at: 0, ended },
        buffers: Vec::new(),
        streams: Vec::new(),
        effects: Vec::new(),
        worked: 0,
        steps: 0,
        depth: 0,
        inner: 0,
        condition: 0,
    };
    let result = interp.script(&pending.line.clone(), Fds::SESSION);
    let (mut progress, mut status) = (Progress::Done, interp.st.last_status);
    match result {
        Ok(code) | Err(Stop::Return(code) | Stop::Abort(code)) => status = code,
        Err(Stop::Break(_) | Stop::Continue(_)) => {}
        Err(Stop::PipeFull) => status = 141,
        Err(Stop::Limit) => {
            status = 137;
            let _ = interp.write(Target::Err, b"Killed\n");
            interp.delay_ms = DELAY_MS_MAX;
        }
        Err(Stop::Exit(code)) => {
            status = code;
            if !interp.st.pop() {
                interp.st.exited = Some(code);
                progress = Progress::Exited(code);
            }
        }
        Err(Stop::Need(want)) => progress = Progress::Reads { want },
    }
    interp.st.last_status = status;
    let (output, effects, delay) = (interp.output, interp.effects, interp.delay_ms.min(DELAY_MS_MAX));
    let new = |bytes: &[u8], shown: usize| bytes.get(shown..).unwrap_or_default().to_vec();
    let outcome = Outcome {
        output: new(&output.all, pending.shown.0),
        stdout: new(&output.out, pending.shown.1),
        stderr: new(&output.err, pending.shown.2),
        exit_code: status,
        effects: effects.get(pending.effects..).unwrap_or_default().to_vec(),
        delay_ms: delay.saturating_sub(pending.delay_ms),
        progress,
    };
    if matches!(progress, Progress::Reads { .. }) {
        *vfs = pending.vfs.clone();
        shell.state = pending.state.clone();
        pending.shown = (output.all.len(), output.out.len(), output.err.len());
        pending.effects = effects.len();
        pending.delay_ms = delay;
        shell.pending = Some(pending);
    }
    outcome
}

impl Interp<'_> {
    /// The fake time in Unix seconds; sleeping moves it.
    pub(crate) fn now(&self) -> i64 {
        (self.now_ms + self.delay_ms as i64) / 1000
    }

    /// Counts a step of execution.
    pub(crate) fn step(&mut self) -> Run<()> {
        self.steps += 1;
        if self.steps > STEPS_MAX { Err(Stop::Limit) } else { Ok(()) }
    }

    pub(crate) fn effect(&mut self, effect: Effect) {
        if self.effects.len() < EFFECTS_MAX {
            self.effects.push(effect);
        }
    }

    /// How messages of the shell itself begin.
    pub(crate) fn shell_name(&self) -> String {
        let f = self.st.top();
        if f.flavour == Flavour::Dash { format!("{}: 1", f.name) } else { f.name.clone() }
    }

    /// Parses and runs a text.
    pub(crate) fn script(&mut self, text: &[u8], fds: Fds) -> Run<i32> {
        match parse::parse(text) {
            Ok(list) => self.list(&list, fds),
            Err(error) => {
                let (name, bash) = (self.shell_name(), self.st.top().flavour == Flavour::Bash);
                let line = match error {
                    SyntaxError::Incomplete if bash => {
                        format!("{name}: -c: line 1: syntax error: unexpected end of file\n")
                    }
                    SyntaxError::Incomplete => format!("{name}: Syntax error: end of file unexpected\n"),
                    SyntaxError::Unexpected(token) if bash => {
                        format!("{name}: syntax error near unexpected token `{token}'\n")
                    }
                    SyntaxError::Unexpected(token) => {
                        format!("{name}: Syntax error: \"{token}\" unexpected\n")
                    }
                    SyntaxError::TooComplex => format!("{name}: xmalloc: cannot allocate 268435456 bytes\n"),
                };
                self.write(fds.err, line.as_bytes())?;
                self.st.last_status = 2;
                Ok(2)
            }
        }
    }

    fn deeper<T>(&mut self, run: impl FnOnce(&mut Self) -> Run<T>) -> Run<T> {
        if self.depth >= DEPTH_MAX {
            return Err(Stop::Limit);
        }
        self.depth += 1;
        let result = run(self);
        self.depth -= 1;
        result
    }

    pub(crate) fn list(&mut self, list: &List, fds: Fds) -> Run<i32> {
        self.deeper(|i| {
            let mut status = 0;
            for item in &list.0 {
                status = i.item(item, fds)?;
            }
            Ok(status)
        })
    }

    fn item(&mut self, item: &Item, fds: Fds) -> Run<i32> {
        if item.background {
            let pid = self.st.next_pid();
            self.st.background = pid;
            if self.st.tty && self.inner == 0 && self.st.top().flavour == Flavour::Bash {
                self.write(fds.err, format!("[1] {pid}\n").as_bytes())?;
            }
            let fds =
                Fds { input: if fds.input == Source::Session { Source::Null } else { fds.input }, ..fds };
            let delay = self.delay_ms;
            self.isolated(|i| i.chain(item, fds))?;
            self.delay_ms = delay;
            self.st.last_status = 0;
            return Ok(0);
        }
        self.chain(item, fds)
    }

    fn chain(&mut self, item: &Item, fds: Fds) -> Run<i32> {
        let guarded = u32::from(!item.rest.is_empty());
        self.condition += guarded;
        let mut result = self.pipeline(&item.first, fds);
        for (and, pipeline) in &item.rest {
            let Ok(status) = result else { break };
            if (status == 0) == *and {
                result = self.pipeline(pipeline, fds);
            }
        }
        self.condition -= guarded;
        result
    }

    fn pipeline(&mut self, pipeline: &Pipeline, fds: Fds) -> Run<i32> {
        let mut status = match pipeline.commands.as_slice() {
            [one] => self.command(one, fds)?,
            many => self.stages(many, fds)?,
        };
        if pipeline.negated {
            status = i32::from(status == 0);
        }
        self.st.last_status = status;
        if status != 0 && self.condition == 0 && !pipeline.negated && self.st.top().errexit {
            return Err(Stop::Exit(status));
        }
        Ok(status)
    }

    /// Runs the stages one after the other, each with the output of the one before.
    fn stages(&mut self, stages: &[Command], fds: Fds) -> Run<i32> {
        let mut input = fds.input;
        let (last, before) = match stages.split_last() {
            Some(split) => split,
            None => return Ok(0),
        };
        for stage in before {
            let bytes = self.capture(Fds { input, ..fds }, |i, fds| i.isolated(|i| i.command(stage, fds)))?;
            input = self.stream(Arc::new(bytes));
        }
        self.isolated(|i| i.command(last, Fds { input, ..fds }))
    }

    /// Runs in a subshell: changes to variables and directory are forgotten, `exit` ends only this.
    pub(crate) fn isolated(&mut self, run: impl FnOnce(&mut Self) -> Run<i32>) -> Run<i32> {
        self.work(self.st.top().vars_bytes + 256)?;
        let saved = self.st.clone();
        self.inner += 1;
        let result = run(self);
        self.inner -= 1;
        let (pid, random, status) = (self.st.last_pid, self.st.random, self.st.last_status);
        let crontabs = std::mem::take(&mut self.st.crontabs);
        let history = self.st.history.clone();
        *self.st = State { last_pid: pid, random, last_status: status, crontabs, history, ..saved };
        match result {
            Err(Stop::Exit(code) | Stop::Return(code) | Stop::Abort(code)) => Ok(code),
            Err(Stop::Break(_) | Stop::Continue(_)) => Ok(0),
            Err(Stop::PipeFull) if self.inner == 0 => Ok(141),
            other => other,
        }
    }

    pub(crate) fn subshell(&mut self, list: &List, fds: Fds) -> Run<i32> {
        self.isolated(|i| i.list(list, fds))
    }

    fn command(&mut self, command: &Command, fds: Fds) -> Run<i32> {
        self.step()?;
        if let Kind::Simple { assigns, words } = &command.kind {
            return self.deeper(|i| i.simple(assigns, words, &command.redirects, fds));
        }
        let fds = match self.redirect(&command.redirects, fds)? {
            Some(fds) => fds,
            None => return Ok(1),
        };
        self.deeper(|i| i.compound(&command.kind, fds))
    }

    fn compound(&mut self, kind: &Kind, fds: Fds) -> Run<i32> {
        match kind {
            Kind::Simple { .. } => Ok(0),
            Kind::Group(list) => self.list(list, fds),
            Kind::Subshell(list) => self.subshell(list, fds),
            Kind::Arithmetic(text) => Ok(i32::from(self.arithmetic(&String::from_utf8_lossy(text)) == 0)),
            Kind::Function { name, body } => {
                let functions = &mut self.st.top_mut().functions;
                if functions.len() < super::limits::NAMES_MAX {
                    functions.insert(name.clone(), body.clone());
                }
                Ok(0)
            }
            Kind::If { arms, otherwise } => {
                for (condition, body) in arms {
                    if self.condition(condition, fds)? == 0 {
                        return self.list(body, fds);
                    }
                }
                otherwise.as_ref().map_or(Ok(0), |body| self.list(body, fds))
            }
            Kind::While { condition, body, until } => {
                let mut status = 0;
                loop {
                    self.step()?;
                    if (self.condition(condition, fds)? == 0) == *until {
                        return Ok(status);
                    }
                    match turn(self.list(body, fds))? {
                        Turn::Next(code) => status = code,
                        Turn::Leave => return Ok(0),
                    }
                }
            }
            Kind::For { name, words, body } => {
                let values = match words {
                    Some(words) => self.words(words, fds)?,
                    None => self.st.top().args.clone(),
                };
                let mut status = 0;
                for value in values {
                    self.step()?;
                    self.st.top_mut().set(name, value, None);
                    match turn(self.list(body, fds))? {
                        Turn::Next(code) => status = code,
                        Turn::Leave => return Ok(0),
                    }
                }
                Ok(status)
            }
            Kind::Case { word, arms } => {
                let value = self.value(word, fds)?;
                for (patterns, body) in arms {
                    for pattern in patterns {
                        let pattern = self.pattern(pattern, fds)?;
                        self.work(pattern.len() + value.len())?;
                        if glob::matches(&pattern, &value) {
                            return self.list(body, fds);
                        }
                    }
                }
                Ok(0)
            }
        }
    }

    fn condition(&mut self, list: &List, fds: Fds) -> Run<i32> {
        self.condition += 1;
        let result = self.list(list, fds);
        self.condition -= 1;
        result
    }

    /// Applies redirections; `None` if one failed, which was said.
    pub(crate) fn redirect(&mut self, redirects: &[Redirect], fds: Fds) -> Run<Option<Fds>> {
        let mut new = fds;
        for redirect in redirects {
            match &redirect.kind {
                RedirectKind::Read(word) => {
                    let path = self.path(word, fds)?;
                    if path == "/dev/stdin" || path == "/dev/tty" {
                        continue;
                    }
                    let cred = self.st.top().cred;
                    let cwd = self.st.top().cwd.clone();
                    let open = self.vfs.open(&cwd, &path, OpenFlags::READ, cred, Origin::Command);
                    match open.and_then(|h| self.vfs.read_id(h.id)) {
                        Ok(data) => new.input = self.stream(data),
                        Err(error) => {
                            self.cannot(&path, error.text(), true, fds)?;
                            return Ok(None);
                        }
                    }
                }
                RedirectKind::Write(word) | RedirectKind::Append(word) | RedirectKind::Both { word, .. } => {
                    let append = matches!(
                        redirect.kind,
                        RedirectKind::Append(_) | RedirectKind::Both { append: true, .. }
                    );
                    let path = self.path(word, fds)?;
                    let Some(target) = self.open_target(&path, append, new, fds)? else { return Ok(None) };
                    match (&redirect.kind, redirect.fd) {
                        (RedirectKind::Both { .. }, _) => (new.out, new.err) = (target, target),
                        (_, None | Some(1)) => new.out = target,
                        (_, Some(2)) => new.err = target,
                        _ => {}
                    }
                }
                RedirectKind::Duplicate(word) => {
                    let to = self.value(word, fds)?;
                    let source = match to.as_slice() {
                        b"1" => Some(new.out),
                        b"2" => Some(new.err),
                        b"-" => Some(Target::Null),
                        _ => None,
                    };
                    match (source, redirect.fd) {
                        (Some(target), None | Some(1)) => new.out = target,
                        (Some(target), Some(2)) => new.err = target,
                        (Some(_), _) => {}
                        (None, fd) => {
                            // `>& file` sends both there; other descriptors are closed here.
                            if fd.is_none() && !to.iter().all(u8::is_ascii_digit) {
                                let path = String::from_utf8_lossy(&to).into_owned();
                                let Some(target) = self.open_target(&path, false, new, fds)? else {
                                    return Ok(None);
                                };
                                (new.out, new.err) = (target, target);
                            }
                        }
                    }
                }
                RedirectKind::Here(word) => {
                    let data = self.value(word, fds)?;
                    new.input = self.stream(Arc::new(data));
                }
            }
        }
        Ok(Some(new))
    }

    fn path(&mut self, word: &parse::Word, fds: Fds) -> Run<String> {
        Ok(String::from_utf8_lossy(&self.value(word, fds)?).into_owned())
    }

    fn open_target(&mut self, path: &str, append: bool, new: Fds, fds: Fds) -> Run<Option<Target>> {
        match path {
            "/dev/stdout" | "/dev/tty" => return Ok(Some(new.out)),
            "/dev/stderr" => return Ok(Some(new.err)),
            _ => {}
        }
        let (cred, cwd) = (self.st.top().cred, self.st.top().cwd.clone());
        let flags = if append { OpenFlags::APPEND } else { OpenFlags::REPLACE };
        match self.vfs.open(&cwd, path, flags, cred, Origin::Command) {
            Ok(handle) if self.vfs.device(handle.id).is_some() => Ok(Some(Target::Null)),
            Ok(handle) => Ok(Some(Target::File(handle))),
            Err(error) => {
                self.cannot(path, error.text(), false, fds)?;
                Ok(None)
            }
        }
    }

    fn cannot(&mut self, path: &str, why: &str, reading: bool, fds: Fds) -> Run<()> {
        let name = self.shell_name();
        let line = match self.st.top().flavour {
            Flavour::Bash => format!("{name}: {path}: {why}\n"),
            _ => {
                let verb = if reading { "open" } else { "create" };
                let why = if why.starts_with("No such file") {
                    if reading { "no such file" } else { "nonexistent directory" }
                } else {
                    why
                };
                format!("{name}: can't {verb} {path}: {why}\n")
            }
        };
        self.st.last_status = 1;
        self.write(fds.err, line.as_bytes())
    }
}

enum Turn {
    Next(i32),
    Leave,
}

/// What a loop does after one turn.
fn turn(result: Run<i32>) -> Run<Turn> {
    match result {
        Ok(code) => Ok(Turn::Next(code)),
        Err(Stop::Break(1)) => Ok(Turn::Leave),
        Err(Stop::Break(n)) => Err(Stop::Break(n - 1)),
        Err(Stop::Continue(1)) => Ok(Turn::Next(0)),
        Err(Stop::Continue(n)) => Err(Stop::Continue(n - 1)),
        Err(stop) => Err(stop),
    }
}
