//! `awk`: patterns, fields, `print`, `printf`, variables, `gsub`, `if`; what one-liners use. Bounded by its statements.

use super::Ctx;
use super::text::lines;
use crate::shell::exec::Run;
use crate::shell::regex;
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

struct Eval<'t, 's> {
    text: &'t str,
    at: usize,
    state: &'s mut State,
    depth: u32,
}

impl<'t, 's> Eval<'t, 's> {
    fn new(text: &'t str, state: &'s mut State) -> Eval<'t, 's> {
        Eval { text, at: 0, state, depth: 0 }
    }

    fn rest(&mut self) -> &'t str {
        let text: &'t str = self.text.get(self.at..).unwrap_or_default();
        let trimmed = text.trim_start_matches([' ', '\t']);
        self.at += text.len() - trimmed.len();
        trimmed
    }

    fn take(&mut self, token: &str) -> bool {
        let hit = self.rest().starts_with(token);
        self.at += if hit { token.len() } else { 0 };
        hit
    }

    fn list(&mut self) -> Vec<String> {
        let mut values = vec![self.or()];
        while self.take(",") && values.len() < 256 {
            values.push(self.or());
        }
        values
    }

    fn assignment(&mut self) {
        let rest = self.rest();
        let len =
            rest.find(|ch: char| !(ch.is_alphanumeric() || matches!(ch, '_' | '$'))).unwrap_or(rest.len());
        let (name, tail) = rest.split_at(len);
        let tail = tail.trim_start();
        let base = number(&Eval::new(name, self.state).or());
        for (token, sign) in [("++", 1.0), ("--", -1.0)] {
            if tail.starts_with(token) {
                self.state.set(name, show(base + sign));
                return;
            }
        }
        for token in ["+=", "-=", "*=", "="] {
            if let Some(value) = tail.strip_prefix(token)
                && !tail.starts_with("==")
                && !name.is_empty()
            {
                let value = Eval { text: value, at: 0, state: self.state, depth: 0 }.or();
                let value = match token {
                    "+=" => show(base + number(&value)),
                    "-=" => show(base - number(&value)),
                    "*=" => show(base * number(&value)),
                    _ => value,
                };
                self.state.set(name, value);
                return;
            }
        }
        self.or();
    }

    fn or(&mut self) -> String {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            self.at = self.text.len();
            return String::new();
        }
        let mut left = self.and();
        while self.take("||") {
            let right = self.and();
            left = u8::from(truth(&left) || truth(&right)).to_string();
        }
        self.depth -= 1;
        left
    }

    fn and(&mut self) -> String {
        let mut left = self.compare();
        while self.take("&&") {
            let right = self.compare();
            left = u8::from(truth(&left) && truth(&right)).to_string();
        }
        left
    }

    fn compare(&mut self) -> String {
        let left = self.join();
        for operator in ["==", "!=", "<=", ">=", "!~", "<", ">", "~"] {
            if !self.take(operator) {
                continue;
            }
            let pattern = matches!(operator, "~" | "!~").then(|| self.pattern()).flatten();
            let right = if pattern.is_some() { String::new() } else { self.join() };
            let numbers = left.trim().parse::<f64>().ok().zip(right.trim().parse::<f64>().ok());
            let order = match numbers {
                Some((a, b)) => a.total_cmp(&b),
                None => left.cmp(&right),
            };
            let hit = match operator {
                "==" => order.is_eq(),
                "!=" => order.is_ne(),
                "<=" => order.is_le(),
                ">=" => order.is_ge(),
                "<" => order.is_lt(),
                ">" => order.is_gt(),
                _ => {
                    let found = regex::compile(&pattern.unwrap_or(right), true, false)
                        .is_some_and(|r| r.is_match(&left));
                    found == (operator == "~")
                }
            };
            return u8::from(hit).to_string();
        }
        left
    }

    /// Values side by side are joined.
    fn join(&mut self) -> String {
        let mut left = self.sum();
        while self.rest().starts_with(|ch: char| ch.is_alphanumeric() || matches!(ch, '"' | '$' | '(' | '_'))
            && left.len() < 1 << 16
        {
            let right = self.sum();
            left.push_str(&right);
        }
        left
    }

    fn sum(&mut self) -> String {
        let mut left = self.product();
        loop {
            if self.take("+") {
                left = show(number(&left) + number(&self.product()));
            } else if self.take("-") {
                left = show(number(&left) - number(&self.product()));
            } else {
                return left;
            }
        }
    }

    fn product(&mut self) -> String {
        let mut left = self.primary();
        loop {
            if self.take("*") {
                left = show(number(&left) * number(&self.primary()));
            } else if self.take("/") {
                let right = number(&self.primary());
                left = if right == 0.0 { "0".into() } else { show(number(&left) / right) };
            } else if self.take("%") {
                let right = number(&self.primary());
                left = if right == 0.0 { "0".into() } else { show(number(&left) % right) };
            } else {
                return left;
            }
        }
    }

    fn pattern(&mut self) -> Option<String> {
        let inside = self.rest().strip_prefix('/')?;
        let mut escaped = false;
        let end = inside.char_indices().find(|(_, ch)| {
            let hit = *ch == '/' && !escaped;
            escaped = *ch == '\\' && !escaped;
            hit
        })?;
        self.at += end.0 + 2;
        inside.get(..end.0).map(|p| p.replace("\\/", "/"))
    }

    fn primary(&mut self) -> String {
        self.depth += 1;
        self.state.steps += 1;
        if self.depth > DEPTH_MAX || self.state.steps > 400_000 {
            self.at = self.text.len();
            return String::new();
        }
        let value = self.value();
        self.depth -= 1;
        value
    }

    fn value(&mut self) -> String {
        if let Some(pattern) = self.pattern() {
            let hit = regex::compile(&pattern, true, false).is_some_and(|r| r.is_match(&self.state.line));
            return u8::from(hit).to_string();
        }
        if self.take("!") {
            return u8::from(!truth(&self.primary())).to_string();
        }
        if self.take("-") {
            return show(-number(&self.primary()));
        }
        if self.take("(") {
            let value = self.or();
            self.take(")");
            return value;
        }
        if self.take("$") {
            let n = number(&self.primary());
            return self.state.field(if n >= 0.0 { n as usize } else { 0 });
        }
        let rest = self.rest();
        if let Some(inside) = rest.strip_prefix('"') {
            let mut escaped = false;
            let end = inside.char_indices().find(|(_, ch)| {
                let hit = *ch == '"' && !escaped;
                escaped = *ch == '\\' && !escaped;
                hit
            });
            let end = end.map_or(inside.len(), |e| e.0);
            self.at += end + 2;
            let text = crate::shell::expand::unescape(inside.get(..end).unwrap_or_default().as_bytes()).0;
            return String::from_utf8_lossy(&text).into_owned();
        }
        let len =
            rest.find(|ch: char| !(ch.is_alphanumeric() || matches!(ch, '_' | '.'))).unwrap_or(rest.len());
        let name = rest.get(..len).unwrap_or_default();
        if name.is_empty() {
            self.at = self.text.len();
            return String::new();
        }
        self.at += len;
        if name.starts_with(|ch: char| ch.is_ascii_digit()) {
            return name.to_owned();
        }
        if self.take("(") {
            let value = self.function(name);
            self.take(")");
            return value;
        }
        if name == "length" { self.state.line.chars().count().to_string() } else { self.state.get(name) }
    }

    fn function(&mut self, name: &str) -> String {
        if let "gsub" | "sub" = name {
            let pattern = match self.pattern() {
                Some(pattern) => pattern,
                None => self.or(),
            };
            self.take(",");
            let with = self.or().replace('$', "$$").replace('&', "${0}");
            let target = if self.take(",") {
                let rest = self.rest();
                let end = rest.find(')').unwrap_or(rest.len());
                self.at += end;
                rest.get(..end).unwrap_or_default().trim().to_owned()
            } else {
                "$0".to_owned()
            };
            let old = Eval::new(&target, self.state).or();
            let Some(pattern) = regex::compile(&pattern, true, false) else { return "0".into() };
            let new = if name == "gsub" {
                pattern.replace_all(&old, with.as_str())
            } else {
                pattern.replace(&old, with.as_str())
            };
            let changed = new != old;
            let new = new.into_owned();
            self.state.set(&target, new);
            return u8::from(changed).to_string();
        }
        let args = if self.rest().starts_with(')') { vec![self.state.line.clone()] } else { self.list() };
        let text = args.first().cloned().unwrap_or_default();
        match name {
            "length" => text.chars().count().to_string(),
            "tolower" => text.to_lowercase(),
            "toupper" => text.to_uppercase(),
            "int" => show(number(&text).trunc()),
            "substr" => {
                let start = args.get(1).map_or(1.0, |n| number(n)).max(1.0) as usize - 1;
                let len = args.get(2).map_or(usize::MAX, |n| number(n).max(0.0) as usize);
                text.chars().skip(start).take(len).collect()
            }
            "index" => args.get(1).and_then(|n| text.find(n.as_str())).map_or(0, |at| at + 1).to_string(),
            "systime" => "0".into(),
            _ => String::new(),
        }
    }
}
