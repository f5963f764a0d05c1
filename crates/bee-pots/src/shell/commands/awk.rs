//! `awk`: patterns, fields, `print`, `printf`, variables, `gsub`, `if`; what one-liners use. Bounded by its statements.

mod expression;

use super::Ctx;
use super::text::lines;
use crate::shell::exec::Run;
use crate::shell::regex;
use expression::Eval;
use std::collections::HashMap;

/// Expression nesting.
const DEPTH_MAX: u32 = 48;

struct Rule {
    pattern: String,
    body: Option<String>,
}

#[derive(Default)]
struct State {
    vars: HashMap<String, String>,
    line: String,
    fields: Vec<String>,
    nr: usize,
    out: Vec<u8>,
    exit: Option<i32>,
    next: bool,
    steps: usize,
}

pub(super) fn awk(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let mut options = c.options("F v f");
    if options.operands.is_empty() {
        c.err("Usage: mawk [Options] [Program] [file ...]\n")?;
        return Ok(2);
    }
    let program = options.operands.remove(0);
    let Some(rules) = rules(&program) else {
        return c
            .fail(format!("line 1: syntax error at or near {}", program.chars().last().unwrap_or(' ')), 2);
    };
    let separator = options.value("F").unwrap_or(" ").replace("\\t", "\t");
    let mut state = State::default();
    state.vars.insert("FS".into(), separator);
    state.vars.insert("OFS".into(), " ".into());
    for assign in options.values("v") {
        if let Some((name, value)) = assign.split_once('=') {
            state.vars.insert(name.to_owned(), value.to_owned());
        }
    }
    for rule in rules.iter().filter(|r| r.pattern == "BEGIN") {
        state.body(rule);
    }
    let only_begin = rules.iter().all(|r| r.pattern == "BEGIN");
    let mut fine = true;
    if !only_begin && state.exit.is_none() {
        let (inputs, ok) = c.inputs(&options.operands)?;
        fine = ok;
        'all: for (_, data) in inputs {
            for line in lines(&data) {
                state.nr += 1;
                state.set_line(String::from_utf8_lossy(line).into_owned());
                state.next = false;
                for rule in rules.iter().filter(|r| r.pattern != "BEGIN" && r.pattern != "END") {
                    let hit = rule.pattern.is_empty() || truth(&Eval::new(&rule.pattern, &mut state).or());
                    if hit {
                        state.body(rule);
                    }
                    if state.next || state.exit.is_some() {
                        break;
                    }
                }
                c.i.work(line.len() + 64 * rules.len() + state.out.len() / 8)?;
                if state.exit.is_some() || state.steps > 400_000 {
                    break 'all;
                }
            }
        }
    }
    for rule in rules.iter().filter(|r| r.pattern == "END") {
        state.body(rule);
    }
    c.out(&state.out)?;
    Ok(state.exit.unwrap_or(if fine { 0 } else { 2 }))
}

/// Splits a program into `pattern { body }`.
fn rules(program: &str) -> Option<Vec<Rule>> {
    let mut rules = Vec::new();
    let mut rest = program.trim();
    while !rest.is_empty() && rules.len() < 64 {
        let open = outside(rest, '{');
        let end = outside(rest, ';').or_else(|| outside(rest, '\n')).unwrap_or(rest.len());
        match open {
            Some(open) if open <= end => {
                let pattern = rest.get(..open)?.trim().to_owned();
                let after = rest.get(open + 1..)?;
                let close = closing(after)?;
                rules.push(Rule { pattern, body: Some(after.get(..close)?.to_owned()) });
                rest = after.get(close + 1..)?;
            }
            _ => {
                rules.push(Rule { pattern: rest.get(..end)?.trim().to_owned(), body: None });
                rest = rest.get(end..)?;
            }
        }
        rest = rest.trim_start_matches([';', '\n', ' ', '\t']);
    }
    Some(rules)
}

/// Position of a character outside strings and patterns.
fn outside(text: &str, wanted: char) -> Option<usize> {
    let (mut quote, mut escaped, mut before) = (None, false, ' ');
    for (at, ch) in text.char_indices() {
        match quote {
            Some(q) => {
                if ch == q && !escaped {
                    quote = None;
                }
                escaped = ch == '\\' && !escaped;
            }
            None if ch == wanted => return Some(at),
            None if ch == '"' => quote = Some('"'),
            None if ch == '/' && matches!(before, ' ' | '(' | ',' | '~' | '!' | '&' | '|' | '{' | ';') => {
                quote = Some('/')
            }
            None => {}
        }
        if ch != ' ' || before == ' ' {
            before = ch;
        }
    }
    None
}

fn closing(text: &str) -> Option<usize> {
    let (mut from, mut depth) = (0, 0);
    loop {
        let rest = text.get(from..)?;
        let close = outside(rest, '}')?;
        match outside(rest, '{') {
            Some(open) if open < close => {
                depth += 1;
                from += open + 1;
            }
            _ if depth == 0 => return Some(from + close),
            _ => {
                depth -= 1;
                from += close + 1;
            }
        }
    }
}

fn number(text: &str) -> f64 {
    let text = text.trim();
    let end = text
        .find(|ch: char| !(ch.is_ascii_digit() || matches!(ch, '.' | '-' | '+' | 'e')))
        .unwrap_or(text.len());
    text.get(..end).and_then(|t| t.parse().ok()).unwrap_or(0.0)
}

fn show(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e15 {
        format!("{value:.0}")
    } else {
        let text = format!("{value:.6}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

fn truth(value: &str) -> bool {
    !value.is_empty() && (value.trim().parse::<f64>() != Ok(0.0))
}

impl State {
    fn set_line(&mut self, line: String) {
        let fs = self.vars.get("FS").cloned().unwrap_or_else(|| " ".into());
        self.fields = if fs == " " {
            line.split_whitespace().map(str::to_owned).collect()
        } else if fs.chars().count() == 1 && !line.is_empty() {
            line.split(fs.as_str()).map(str::to_owned).collect()
        } else {
            match regex::compile(&fs, true, false) {
                Some(pattern) if !line.is_empty() => pattern.split(&line).map(str::to_owned).collect(),
                _ => Vec::new(),
            }
        };
        self.line = line;
    }

    fn get(&self, name: &str) -> String {
        match name {
            "NR" | "FNR" => self.nr.to_string(),
            "NF" => self.fields.len().to_string(),
            _ => self.vars.get(name).cloned().unwrap_or_default(),
        }
    }

    fn field(&self, n: usize) -> String {
        if n == 0 { self.line.clone() } else { self.fields.get(n - 1).cloned().unwrap_or_default() }
    }

    fn set(&mut self, name: &str, mut value: String) {
        value.truncate(value.floor_char_boundary(1 << 16));
        if let Some(n) = name.strip_prefix('$').and_then(|n| n.parse::<usize>().ok()) {
            if n == 0 {
                self.set_line(value);
            } else if n < 1000 {
                if self.fields.len() < n {
                    self.fields.resize(n, String::new());
                }
                if let Some(field) = self.fields.get_mut(n - 1) {
                    *field = value;
                }
                let ofs = self.get("OFS");
                self.line = self.fields.join(&ofs);
            }
        } else if self.vars.len() < 512 {
            self.vars.insert(name.to_owned(), value);
        }
    }

    fn body(&mut self, rule: &Rule) {
        match &rule.body {
            None => {
                let line = format!("{}\n", self.line);
                self.print(line.as_bytes());
            }
            Some(body) => self.statements(body, 0),
        }
    }

    fn print(&mut self, bytes: &[u8]) {
        if self.out.len() < 1 << 20 {
            self.out.extend_from_slice(bytes);
        }
    }

    fn statements(&mut self, text: &str, depth: u32) {
        let mut rest = text.trim();
        while !rest.is_empty() && depth < DEPTH_MAX && self.exit.is_none() && !self.next {
            self.steps += 1;
            if self.steps > 400_000 {
                return;
            }
            if let Some(tail) = rest.strip_prefix("if").map(str::trim_start).filter(|t| t.starts_with('(')) {
                let mut eval = Eval::new(tail, self);
                let condition = truth(&eval.primary());
                let used = eval.at;
                rest = tail.get(used..).unwrap_or_default().trim_start();
                let (then, after) = block(rest);
                let (otherwise, after) = match after.trim_start_matches([';', ' ', '\n']).strip_prefix("else")
                {
                    Some(tail) => block(tail.trim_start()),
                    None => ("", after),
                };
                self.statements(if condition { then } else { otherwise }, depth + 1);
                rest = after.trim_start_matches([';', ' ', '\n', '\t']);
                continue;
            }
            let (statement, after) = block(rest);
            if rest.starts_with('{') {
                self.statements(statement, depth + 1)
            } else {
                self.statement(statement.trim())
            }
            rest = after.trim_start_matches([';', ' ', '\n', '\t']);
        }
    }

    fn statement(&mut self, text: &str) {
        if let Some(args) = text.strip_prefix("printf") {
            let args = args.trim().trim_start_matches('(').trim_end_matches(')').to_owned();
            let values = Eval::new(&args, self).list();
            let text = format_text(&values);
            self.print(text.as_bytes());
        } else if let Some(args) =
            text.strip_prefix("print").filter(|a| !a.starts_with(|ch: char| ch.is_alphanumeric()))
        {
            // Output to a file or pipe is shown instead.
            let args = args.split(" > ").next().unwrap_or(args).trim().to_owned();
            let values =
                if args.is_empty() { vec![self.line.clone()] } else { Eval::new(&args, self).list() };
            let ofs = self.get("OFS");
            let line = format!("{}\n", values.join(&ofs));
            self.print(line.as_bytes());
        } else if let Some(code) = text.strip_prefix("exit") {
            self.exit = Some(number(code) as i32);
        } else if text == "next" {
            self.next = true;
        } else if !text.is_empty() {
            Eval::new(text, self).assignment();
        }
    }
}

/// The first statement or braced block, and the rest.
fn block(text: &str) -> (&str, &str) {
    if let Some(inside) = text.strip_prefix('{') {
        let close = closing(inside).unwrap_or(inside.len());
        return (inside.get(..close).unwrap_or_default(), inside.get(close + 1..).unwrap_or_default());
    }
    let end = [';', '\n'].iter().filter_map(|ch| outside(text, *ch)).min().unwrap_or(text.len());
    text.split_at(end)
}

fn format_text(values: &[String]) -> String {
    let mut values = values.iter();
    let format = values.next().cloned().unwrap_or_default();
    let (mut out, mut chars) = (String::new(), format.chars());
    while let Some(ch) = chars.next() {
        if ch != '%' {
            out.push(ch);
            continue;
        }
        let mut spec = String::new();
        let kind = loop {
            match chars.next() {
                Some(ch) if ch.is_ascii_digit() || matches!(ch, '-' | '.' | '+') => spec.push(ch),
                other => break other,
            }
        };
        let text = match kind {
            Some('%') => "%".to_owned(),
            Some('d' | 'i') => format!("{:.0}", number(values.next().map_or("", String::as_str)).trunc()),
            Some('f') => {
                let digits =
                    spec.split_once('.').and_then(|(_, d)| d.parse().ok()).unwrap_or(6_usize).min(20);
                format!("{:.*}", digits, number(values.next().map_or("", String::as_str)))
            }
            Some(_) => values.next().cloned().unwrap_or_default(),
            None => break,
        };
        let width: usize = spec
            .trim_start_matches('-')
            .split('.')
            .next()
            .and_then(|w| w.parse().ok())
            .unwrap_or(0)
            .min(1024);
        out.push_str(&if spec.starts_with('-') {
            format!("{text:<width$}")
        } else {
            format!("{text:>width$}")
        });
    }
    out
}
