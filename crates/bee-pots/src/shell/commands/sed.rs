//! `sed`: substitution, deletion, printing, with line numbers, ranges and patterns as addresses.

use super::Ctx;
use super::text::lines;
use crate::shell::exec::Run;
use crate::shell::regex;
use regex_lite::Regex;

/// Commands of one script.
const COMMANDS_MAX: usize = 64;

enum Address {
    Line(usize),
    Last,
    Pattern(Regex),
}

enum Action {
    Substitute { pattern: Regex, with: String, all: bool, print: bool },
    Delete,
    Print,
    Quit,
    Append(String),
    Insert(String),
    Change(String),
}

struct Step {
    from: Option<Address>,
    to: Option<Address>,
    negated: bool,
    action: Action,
    active: bool,
}

pub(super) fn sed(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let mut options = c.options("e f expression");
    let extended = options.has("E r regexp-extended");
    let script = match options.values("e expression") {
        given if !given.is_empty() => given.join("\n"),
        _ if options.operands.is_empty() => {
            c.err("Usage: sed [OPTION]... {script-only-if-no-other-script} [input-file]...\n")?;
            return Ok(1);
        }
        _ => options.operands.remove(0),
    };
    let Some(mut steps) = parse(&script, extended) else {
        let last = script.chars().last().unwrap_or(' ');
        return c.fail(format!("-e expression #1, char {}: unknown command: `{last}'", script.len()), 1);
    };
    let in_place = options.flags.iter().any(|(f, _)| f.starts_with('i'));
    let (inputs, fine) = c.inputs(&options.operands)?;
    for (path, data) in inputs {
        let mut out = String::new();
        let rows: Vec<&[u8]> = lines(&data).collect();
        'lines: for (n, row) in rows.iter().enumerate() {
            c.i.work(row.len() + steps.len() * 8)?;
            let mut line = String::from_utf8_lossy(row).into_owned();
            let (mut after, mut shown) = (String::new(), !options.has("n quiet silent"));
            let mut quit = false;
            for step in &mut steps {
                if !step.selects(n + 1, n + 1 == rows.len(), &line) {
                    continue;
                }
                match &step.action {
                    Action::Substitute { pattern, with, all, print } => {
                        let new = if *all {
                            pattern.replace_all(&line, with.as_str())
                        } else {
                            pattern.replace(&line, with.as_str())
                        }
                        .into_owned();
                        if *print && new != line {
                            out.push_str(&format!("{new}\n"));
                        }
                        line = new;
                        if line.len() > 1 << 20 {
                            return Err(crate::shell::exec::Stop::Limit);
                        }
                        c.i.work(line.len())?;
                    }
                    Action::Delete => continue 'lines,
                    Action::Print => out.push_str(&format!("{line}\n")),
                    Action::Quit => quit = true,
                    Action::Append(text) => after.push_str(&format!("{text}\n")),
                    Action::Insert(text) => out.push_str(&format!("{text}\n")),
                    Action::Change(text) => {
                        out.push_str(&format!("{text}\n"));
                        shown = false;
                    }
                }
                if quit {
                    break;
                }
            }
            if shown {
                out.push_str(&line);
                out.push('\n');
            }
            out.push_str(&after);
            if quit {
                break;
            }
        }
        if in_place && path != "-" {
            if let Err(error) = c.write_file(&path, out.as_bytes(), false)? {
                return c.fail(format!("couldn't open temporary file {path}: {}", error.text()), 4);
            }
        } else {
            c.out(out)?;
        }
    }
    Ok(if fine { 0 } else { 2 })
}

impl Step {
    fn selects(&mut self, n: usize, last: bool, line: &str) -> bool {
        let hit = |address: &Address| match address {
            Address::Line(at) => *at == n,
            Address::Last => last,
            Address::Pattern(pattern) => pattern.is_match(line),
        };
        let selected = match (&self.from, &self.to) {
            (None, _) => true,
            (Some(from), None) => hit(from),
            (Some(from), Some(to)) => {
                if self.active {
                    self.active = !hit(to);
                    true
                } else if hit(from) {
                    self.active = !matches!(to, Address::Line(end) if *end <= n);
                    true
                } else {
                    false
                }
            }
        };
        selected != self.negated
    }
}

fn parse(script: &str, extended: bool) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    let mut rest = script.trim_start_matches([';', ' ', '\n', '\t']);
    while !rest.is_empty() {
        if steps.len() >= COMMANDS_MAX {
            return None;
        }
        let (from, tail) = address(rest, extended)?;
        let (to, tail) = match tail.strip_prefix(',') {
            Some(tail) => address(tail, extended)?,
            None => (None, tail),
        };
        let tail = tail.trim_start();
        let negated = tail.starts_with('!');
        let tail = tail.trim_start_matches('!').trim_start();
        let mut chars = tail.chars();
        let command = chars.next()?;
        let mut tail = chars.as_str();
        let action = match command {
            's' => {
                let mark = tail.chars().next()?;
                let (pattern, after) = delimited(tail.get(mark.len_utf8()..)?, mark)?;
                let (with, after) = delimited(after, mark)?;
                let flags: String = after.chars().take_while(|f| "gpiIe0123456789".contains(*f)).collect();
                tail = after.get(flags.len()..)?;
                Action::Substitute {
                    pattern: regex::compile(&pattern, extended, flags.contains(['i', 'I']))?,
                    with: replacement(&with),
                    all: flags.contains('g'),
                    print: flags.contains('p'),
                }
            }
            'd' => Action::Delete,
            'p' => Action::Print,
            'q' => Action::Quit,
            'a' | 'i' | 'c' => {
                let (text, after) = tail.split_once('\n').unwrap_or((tail, ""));
                tail = after;
                let text = text.trim_start_matches(['\\', ' ']).to_owned();
                match command {
                    'a' => Action::Append(text),
                    'i' => Action::Insert(text),
                    _ => Action::Change(text),
                }
            }
            _ => return None,
        };
        steps.push(Step { from, to, negated, action, active: false });
        rest = tail.trim_start_matches([' ', '\t']);
        if !rest.is_empty() && !rest.starts_with([';', '\n', '}']) && !matches!(command, 'a' | 'i' | 'c') {
            return None;
        }
        rest = rest.trim_start_matches([';', ' ', '\n', '\t']);
    }
    Some(steps)
}

fn address(text: &str, extended: bool) -> Option<(Option<Address>, &str)> {
    if let Some(tail) = text.strip_prefix('$') {
        return Some((Some(Address::Last), tail));
    }
    if let Some(tail) = text.strip_prefix('/') {
        let (pattern, tail) = delimited(tail, '/')?;
        return Some((Some(Address::Pattern(regex::compile(&pattern, extended, false)?)), tail));
    }
    let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
    Some((digits.parse().ok().map(Address::Line), text.get(digits.len()..)?))
}

/// Up to the next unescaped `mark`; brackets may hold it.
fn delimited(text: &str, mark: char) -> Option<(String, &str)> {
    let mut out = String::new();
    let mut chars = text.char_indices();
    while let Some((at, ch)) = chars.next() {
        match ch {
            '\\' => match chars.next() {
                Some((_, next)) if next == mark => out.push(next),
                Some((_, 'n')) => out.push('\n'),
                Some((_, next)) => {
                    out.push('\\');
                    out.push(next);
                }
                None => return None,
            },
            _ if ch == mark => return Some((out, text.get(at + mark.len_utf8()..)?)),
            _ => out.push(ch),
        }
    }
    None
}

/// `&` and `\1` in the form the engine takes.
fn replacement(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(ch) = chars.next() {
        match ch {
            '$' => out.push_str("$$"),
            '&' => out.push_str("${0}"),
            '\\' => match chars.next() {
                Some(d) if d.is_ascii_digit() => out.push_str(&format!("${{{d}}}")),
                Some('t') => out.push('\t'),
                Some(other) => out.push(other),
                None => {}
            },
            _ => out.push(ch),
        }
    }
    out
}
