//! A shell on a channel: bytes from the attacker in, bytes for the attacker and effects out.
//!
//! Three kinds: a terminal (line editing, echo, CR LF), a piped shell (no echo, no prompt) and one command with its
//! standard input (`ssh host command`). The traps own the channel and the clock; this owns everything in between.

use super::limits::{INPUT_BYTES_MAX, LINE_BYTES_MAX};
use super::line_editor::{Key, LineEditor};
use super::{Effect, Outcome, Progress, Shell, Want};

/// Size of a terminal in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Columns.
    pub columns: u32,
    /// Rows.
    pub rows: u32,
}

impl Default for Window {
    fn default() -> Window {
        Window { columns: 80, rows: 24 }
    }
}

/// What the trap must do after giving the console something.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reaction {
    /// For the channel's standard output; on a terminal this is everything, with CR LF.
    pub stdout: Vec<u8>,
    /// For the channel's standard error; always empty on a terminal.
    pub stderr: Vec<u8>,
    /// To report, in order.
    pub effects: Vec<Effect>,
    /// How long a real machine would have taken.
    pub delay_ms: u64,
    /// The channel is done: send this exit status and close it.
    pub exit: Option<i32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Terminal,
    Piped,
    Exec { tty: bool },
}

/// A shell on a channel.
#[derive(Debug)]
pub struct Console {
    shell: Shell,
    mode: Mode,
    editor: LineEditor,
    command: Vec<u8>,
    // Lines of an unfinished construct (open quote, `for` without `done`, here-document).
    partial: Vec<u8>,
    // Input not yet given to a reading command, and bytes of an unfinished line of a piped shell.
    held: Vec<u8>,
    want: Option<Want>,
    done: bool,
}

impl Console {
    /// An interactive shell on a terminal (`pty-req` then `shell`; every Telnet session).
    #[must_use]
    pub fn terminal(shell: Shell, window: Window) -> Console {
        Console::new(shell, Mode::Terminal, window, Vec::new())
    }

    /// A shell without a terminal (`shell` without `pty-req`): reads lines, shows no prompt and no echo.
    #[must_use]
    pub fn piped(shell: Shell) -> Console {
        Console::new(shell, Mode::Piped, Window::default(), Vec::new())
    }

    /// One command (`exec`), with or without a terminal.
    #[must_use]
    pub fn exec(shell: Shell, command: &[u8], tty: bool) -> Console {
        Console::new(shell, Mode::Exec { tty }, Window::default(), command.to_vec())
    }

    fn new(shell: Shell, mode: Mode, window: Window, command: Vec<u8>) -> Console {
        let editor = LineEditor::new(window.columns);
        let (partial, held) = (Vec::new(), Vec::new());
        Console { shell, mode, editor, command, partial, held, want: None, done: false }
    }

    /// The shell inside.
    #[must_use]
    pub fn shell(&self) -> &Shell {
        &self.shell
    }

    /// The terminal changed its size.
    pub fn resize(&mut self, window: Window) {
        self.editor.set_columns(window.columns);
    }

    /// Begins: greeting and prompt, or the command's first output. Call it once.
    pub fn start(&mut self, now_ms: i64) -> Reaction {
        let mut reaction = Reaction::default();
        match self.mode {
            Mode::Terminal => {
                reaction.stdout = crlf(self.shell.greeting(now_ms).as_bytes());
                self.prompt(&mut reaction);
            }
            Mode::Piped => {}
            Mode::Exec { .. } => {
                let line = std::mem::take(&mut self.command);
                self.run(&line, now_ms, &mut reaction);
            }
        }
        reaction
    }

    /// Takes bytes from the attacker.
    pub fn input(&mut self, bytes: &[u8], now_ms: i64) -> Reaction {
        let mut reaction = Reaction::default();
        if self.done {
            return reaction;
        }
        if self.is_tty() {
            self.keys(bytes, now_ms, &mut reaction);
        } else {
            let room = INPUT_BYTES_MAX.saturating_sub(self.held.len());
            self.held.extend_from_slice(bytes.get(..room.min(bytes.len())).unwrap_or_default());
            self.drain(false, now_ms, &mut reaction);
        }
        reaction
    }

    /// The attacker closed their side (EOF of the channel).
    pub fn eof(&mut self, now_ms: i64) -> Reaction {
        let mut reaction = Reaction::default();
        if self.done {
            return reaction;
        }
        if self.is_tty() {
            self.end_of_input(now_ms, &mut reaction);
        } else {
            self.drain(true, now_ms, &mut reaction);
        }
        if !self.done {
            let code = self.shell.exit_code();
            self.close(code, &mut reaction);
        }
        reaction
    }

    /// Reports what is still unreported; call it when the connection is gone.
    pub fn finish(&mut self) -> Vec<Effect> {
        self.shell.finish()
    }

    fn is_tty(&self) -> bool {
        matches!(self.mode, Mode::Terminal | Mode::Exec { tty: true })
    }

    fn keys(&mut self, bytes: &[u8], now_ms: i64, reaction: &mut Reaction) {
        for byte in bytes {
            if self.done {
                return;
            }
            let history = self.shell.history();
            let key = self.editor.push(*byte, history, &mut reaction.stdout);
            match key {
                None => {}
                Some(Key::Line(line)) => self.line(&line, now_ms, reaction),
                Some(Key::Interrupt) => {
                    self.partial.clear();
                    self.held.clear();
                    self.want = None;
                    self.shell.interrupt();
                    self.settle(reaction);
                }
                Some(Key::End) => self.end_of_input(now_ms, reaction),
                Some(Key::Complete(line)) => {
                    let found = self.shell.complete(&line);
                    let prompt = self.shell.prompt();
                    self.editor.complete(&line, &found, &prompt, &mut reaction.stdout);
                }
                Some(Key::Redraw) => {
                    let prompt = self.shell.prompt();
                    self.editor.redraw(&prompt, &mut reaction.stdout);
                }
            }
        }
    }

    /// A whole line was typed on a terminal.
    fn line(&mut self, line: &[u8], now_ms: i64, reaction: &mut Reaction) {
        match self.want {
            None => self.run(line, now_ms, reaction),
            Some(Want::All) => {
                if self.held.len() + line.len() < INPUT_BYTES_MAX {
                    self.held.extend_from_slice(line);
                    self.held.push(b'\n');
                }
            }
            Some(Want::Line | Want::Secret) => {
                let mut input = line.to_vec();
                input.push(b'\n');
                let outcome = self.shell.resume(&input, false, now_ms);
                self.take(outcome, reaction);
                self.settle(reaction);
            }
        }
    }

    fn end_of_input(&mut self, now_ms: i64, reaction: &mut Reaction) {
        if self.want.is_some() {
            let held = std::mem::take(&mut self.held);
            let outcome = self.shell.resume(&held, true, now_ms);
            self.take(outcome, reaction);
            self.settle(reaction);
        } else if !self.partial.is_empty() {
            self.partial.clear();
            reaction.stdout.extend_from_slice(b"bash: syntax error: unexpected end of file\r\n");
            self.settle(reaction);
        } else {
            reaction.stdout.extend_from_slice(if self.shell.state.frames.len() > 1 {
                b"exit\r\n"
            } else {
                b"logout\r\n"
            });
            let outcome = self.shell.run_line(b"exit", now_ms);
            if let Progress::Exited(code) = outcome.progress {
                self.close(code, reaction);
            } else {
                self.settle(reaction);
            }
        }
    }

    /// Works through what a piped shell or a reading command was sent.
    fn drain(&mut self, end: bool, now_ms: i64, reaction: &mut Reaction) {
        while !self.done {
            match self.want {
                Some(Want::All) if !end => return,
                Some(Want::All) => {
                    let held = std::mem::take(&mut self.held);
                    let outcome = self.shell.resume(&held, true, now_ms);
                    self.take(outcome, reaction);
                }
                Some(Want::Line | Want::Secret) => {
                    let Some(line) = self.held_line(end) else { return };
                    let outcome = self.shell.resume(&line, end && self.held.is_empty(), now_ms);
                    self.take(outcome, reaction);
                }
                None => {
                    let Some(mut line) = self.held_line(end) else { return };
                    if line.is_empty() {
                        return;
                    }
                    while matches!(line.last(), Some(b'\n' | b'\r')) {
                        line.pop();
                    }
                    self.run(&line, now_ms, reaction);
                }
            }
            self.settle(reaction);
        }
    }

    /// The next line with its line end; at the end of input, whatever is left.
    fn held_line(&mut self, end: bool) -> Option<Vec<u8>> {
        match self.held.iter().position(|b| *b == b'\n') {
            Some(at) => Some(self.held.drain(..=at).collect()),
            None if end || self.held.len() > LINE_BYTES_MAX => Some(std::mem::take(&mut self.held)),
            None => None,
        }
    }

    fn run(&mut self, line: &[u8], now_ms: i64, reaction: &mut Reaction) {
        let mut whole = std::mem::take(&mut self.partial);
        if !whole.is_empty() {
            whole.push(b'\n');
        }
        whole.extend_from_slice(line);
        let interactive = !matches!(self.mode, Mode::Exec { .. }) || self.shell.state.frames.len() > 1;
        if interactive && whole.len() < LINE_BYTES_MAX && super::parse::is_incomplete(&whole) {
            self.partial = whole;
            if self.is_tty() {
                reaction.stdout.extend_from_slice(b"> ");
            }
            return;
        }
        let input = String::from_utf8_lossy(&whole).into_owned();
        if !input.trim().is_empty() {
            reaction.effects.push(Effect::Line { input });
        }
        let outcome = self.shell.run_line(&whole, now_ms);
        self.take(outcome, reaction);
        self.settle(reaction);
    }

    fn take(&mut self, outcome: Outcome, reaction: &mut Reaction) {
        if self.is_tty() {
            reaction.stdout.extend(crlf(&outcome.output));
        } else {
            reaction.stdout.extend(outcome.stdout);
            reaction.stderr.extend(outcome.stderr);
        }
        reaction.effects.extend(outcome.effects);
        reaction.delay_ms = reaction.delay_ms.saturating_add(outcome.delay_ms);
        self.want = match outcome.progress {
            Progress::Reads { want } => Some(want),
            _ => None,
        };
        if let Progress::Exited(code) = outcome.progress {
            self.close(code, reaction);
        }
    }

    /// Shows the next prompt, or ends a command that is done.
    fn settle(&mut self, reaction: &mut Reaction) {
        self.editor.set_echo(self.want != Some(Want::Secret));
        if self.done || self.want.is_some() || !self.partial.is_empty() {
            return;
        }
        match self.mode {
            Mode::Exec { .. } if self.shell.state.frames.len() <= 1 => {
                let code = self.shell.exit_code();
                self.close(code, reaction);
            }
            Mode::Terminal | Mode::Exec { tty: true } => self.prompt(reaction),
            Mode::Exec { tty: false } | Mode::Piped => {}
        }
    }

    fn prompt(&mut self, reaction: &mut Reaction) {
        let prompt = self.shell.prompt();
        reaction.stdout.extend_from_slice(prompt.as_bytes());
        self.editor.set_prompt_width(prompt.chars().count());
    }

    fn close(&mut self, code: i32, reaction: &mut Reaction) {
        self.done = true;
        reaction.exit = Some(code);
        reaction.effects.push(Effect::Exit { code });
    }
}

/// LF becomes CR LF, as a terminal in cooked mode shows it.
fn crlf(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 16);
    let mut previous = 0;
    for byte in bytes {
        if *byte == b'\n' && previous != b'\r' {
            out.push(b'\r');
        }
        out.push(*byte);
        previous = *byte;
    }
    out
}
