//! Expressions of `awk`, evaluated as they are read. Nesting and steps are bounded.

use super::{DEPTH_MAX, State, number, show, truth};
use crate::shell::regex;

/// Reads and evaluates one expression.
pub(super) struct Eval<'t, 's> {
    pub(super) text: &'t str,
    pub(super) at: usize,
    pub(super) state: &'s mut State,
    pub(super) depth: u32,
}

impl<'t, 's> Eval<'t, 's> {
    pub(super) fn new(text: &'t str, state: &'s mut State) -> Eval<'t, 's> {
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

    pub(super) fn list(&mut self) -> Vec<String> {
        let mut values = vec![self.or()];
        while self.take(",") && values.len() < 256 {
            values.push(self.or());
        }
        values
    }

    pub(super) fn assignment(&mut self) {
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

    pub(super) fn or(&mut self) -> String {
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

    pub(super) fn primary(&mut self) -> String {
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
