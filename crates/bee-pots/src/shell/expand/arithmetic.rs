//! `$((..))`: 64-bit integers, wrapping, with variables and assignment. Nonsense evaluates to 0.

use crate::shell::exec::Interp;

/// Nested parentheses and unary operators followed.
const NESTING_MAX: u32 = 64;

struct Eval<'t, 'i, 'a> {
    tokens: Vec<&'t str>,
    at: usize,
    interp: &'i mut Interp<'a>,
    depth: u32,
}

const OPERATORS: [&str; 30] = [
    "<<=", ">>=", "**", "++", "--", "<<", ">>", "<=", ">=", "==", "!=", "&&", "||", "+=", "-=", "*=", "/=",
    "%=", "+", "-", "*", "/", "%", "<", ">", "=", "!", "&", "|", "^",
];

fn tokens(text: &str) -> Vec<&str> {
    let mut rest = text.trim_start();
    let mut out = Vec::new();
    while let Some(first) = rest.chars().next() {
        let len = if first.is_ascii_alphanumeric() || matches!(first, '_' | '$') {
            rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '#' || c == '$'))
                .unwrap_or(rest.len())
        } else {
            OPERATORS.iter().find(|op| rest.starts_with(**op)).map_or(first.len_utf8(), |op| op.len())
        };
        let (token, tail) = rest.split_at(len);
        out.push(token.trim_start_matches('$'));
        rest = tail.trim_start();
    }
    out
}

impl Interp<'_> {
    /// Evaluates an arithmetic expression.
    pub(crate) fn arithmetic(&mut self, text: &str) -> i64 {
        let mut eval = Eval { tokens: tokens(text), at: 0, interp: self, depth: 0 };
        let mut value = eval.ternary();
        while eval.take(",") {
            value = eval.ternary();
        }
        value
    }

    fn number(&mut self, token: &str) -> i64 {
        if let Some(hex) = token.strip_prefix("0x").or_else(|| token.strip_prefix("0X")) {
            return i64::from_str_radix(hex, 16).unwrap_or(0);
        }
        if let Some((base, digits)) = token.split_once('#') {
            let base = base.parse().ok().filter(|b| (2..=36).contains(b));
            return base.and_then(|b| i64::from_str_radix(digits, b).ok()).unwrap_or(0);
        }
        if token.len() > 1 && token.starts_with('0') {
            return i64::from_str_radix(token, 8).unwrap_or(0);
        }
        if token.starts_with(|c: char| c.is_ascii_digit()) {
            return token.parse().unwrap_or(0);
        }
        let value = self.lookup(token).unwrap_or_default();
        String::from_utf8_lossy(&value).trim().parse().unwrap_or(0)
    }
}

impl Eval<'_, '_, '_> {
    fn peek(&self) -> &str {
        self.tokens.get(self.at).copied().unwrap_or_default()
    }

    fn take(&mut self, token: &str) -> bool {
        let hit = self.peek() == token;
        self.at += usize::from(hit);
        hit
    }

    fn ternary(&mut self) -> i64 {
        self.depth += 1;
        if self.depth > NESTING_MAX {
            self.at = self.tokens.len();
            return 0;
        }
        let assign = self.tokens.get(self.at + 1).copied().unwrap_or_default();
        let name = self.peek().to_owned();
        let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        let value = if is_name && matches!(assign, "=" | "+=" | "-=" | "*=" | "/=" | "%=") {
            let operator = assign.trim_end_matches('=').to_owned();
            self.at += 2;
            let right = self.ternary();
            let left = self.interp.number(&name);
            let value = if operator.is_empty() { right } else { apply(&operator, left, right) };
            self.interp.st.top_mut().set(&name, value.to_string().into_bytes(), None);
            value
        } else {
            let condition = self.binary(0);
            if self.take("?") {
                let yes = self.ternary();
                self.take(":");
                let no = self.ternary();
                if condition != 0 { yes } else { no }
            } else {
                condition
            }
        };
        self.depth -= 1;
        value
    }

    fn binary(&mut self, level: usize) -> i64 {
        const LEVELS: [&[&str]; 10] = [
            &["||"],
            &["&&"],
            &["|"],
            &["^"],
            &["&"],
            &["==", "!="],
            &["<=", ">=", "<", ">"],
            &["<<", ">>"],
            &["+", "-"],
            &["*", "/", "%"],
        ];
        let Some(operators) = LEVELS.get(level) else { return self.power() };
        let mut left = self.binary(level + 1);
        while let Some(operator) = operators.iter().find(|op| self.peek() == **op) {
            self.at += 1;
            let right = self.binary(level + 1);
            left = apply(operator, left, right);
        }
        left
    }

    fn power(&mut self) -> i64 {
        let base = self.unary();
        if self.take("**") {
            self.depth += 1;
            let exponent = if self.depth > NESTING_MAX { 0 } else { self.power() };
            self.depth -= 1;
            return base.wrapping_pow(u32::try_from(exponent.clamp(0, 64)).unwrap_or(0));
        }
        base
    }

    fn unary(&mut self) -> i64 {
        self.depth += 1;
        if self.depth > NESTING_MAX {
            self.at = self.tokens.len();
            return 0;
        }
        let value = if self.take("-") {
            self.unary().wrapping_neg()
        } else if self.take("+") {
            self.unary()
        } else if self.take("!") {
            i64::from(self.unary() == 0)
        } else if self.take("~") {
            !self.unary()
        } else if self.take("(") {
            let value = self.ternary();
            self.take(")");
            value
        } else if self.take("++") || self.take("--") {
            let up = self.tokens.get(self.at - 1) == Some(&"++");
            let name = self.peek().to_owned();
            self.at += 1;
            self.step(&name, up)
        } else {
            let token = self.peek().to_owned();
            self.at += 1;
            let value = self.interp.number(&token);
            if matches!(self.peek(), "++" | "--") {
                let up = self.peek() == "++";
                self.at += 1;
                self.step(&token, up);
            }
            value
        };
        self.depth -= 1;
        value
    }

    fn step(&mut self, name: &str, up: bool) -> i64 {
        let value = self.interp.number(name).wrapping_add(if up { 1 } else { -1 });
        self.interp.st.top_mut().set(name, value.to_string().into_bytes(), None);
        value
    }
}

fn apply(operator: &str, a: i64, b: i64) -> i64 {
    match operator {
        "||" => i64::from(a != 0 || b != 0),
        "&&" => i64::from(a != 0 && b != 0),
        "|" => a | b,
        "^" => a ^ b,
        "&" => a & b,
        "==" => i64::from(a == b),
        "!=" => i64::from(a != b),
        "<" => i64::from(a < b),
        ">" => i64::from(a > b),
        "<=" => i64::from(a <= b),
        ">=" => i64::from(a >= b),
        "<<" => a.wrapping_shl(b as u32),
        ">>" => a.wrapping_shr(b as u32),
        "+" => a.wrapping_add(b),
        "-" => a.wrapping_sub(b),
        "*" => a.wrapping_mul(b),
        "/" => a.checked_div(b).unwrap_or(0),
        "%" => a.checked_rem(b).unwrap_or(0),
        _ => 0,
    }
}
