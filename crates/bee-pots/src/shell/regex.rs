//! POSIX patterns of `grep`, `sed` and `awk` on top of a regex engine that runs in linear time.

use regex_lite::{Regex, RegexBuilder};

/// Bytes of a pattern; longer ones are refused like a broken pattern.
const PATTERN_BYTES_MAX: usize = 4096;

/// Compiles a basic (`extended: false`) or extended POSIX pattern.
pub(crate) fn compile(pattern: &str, extended: bool, ignore_case: bool) -> Option<Regex> {
    if pattern.len() > PATTERN_BYTES_MAX {
        return None;
    }
    build(&translate(pattern, extended), ignore_case)
}

/// Matches `text` literally (`grep -F`).
pub(crate) fn literal(text: &str, ignore_case: bool) -> Option<Regex> {
    if text.len() > PATTERN_BYTES_MAX { None } else { build(&regex_lite::escape(text), ignore_case) }
}

pub(crate) fn build(pattern: &str, ignore_case: bool) -> Option<Regex> {
    RegexBuilder::new(pattern).case_insensitive(ignore_case).size_limit(1 << 19).build().ok()
}

/// Rewrites the POSIX syntax: which characters are special unescaped differs, and brackets take `\` literally.
fn translate(pattern: &str, extended: bool) -> String {
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut chars = pattern.chars().peekable();
    let mut at_start = true;
    while let Some(c) = chars.next() {
        let started = std::mem::replace(&mut at_start, false);
        match c {
            '\\' => match chars.next() {
                Some(c @ ('(' | ')' | '{' | '}' | '|' | '+' | '?')) if !extended => {
                    at_start = matches!(c, '(' | '|');
                    out.push(c);
                }
                Some('<') => out.push_str(r"\b"),
                Some('>') => out.push_str(r"\b"),
                Some(c) if c.is_ascii_alphanumeric() => {
                    out.push('\\');
                    out.push(c);
                }
                Some(c) => out.push_str(&regex_lite::escape(c.encode_utf8(&mut [0; 4]))),
                None => out.push_str(r"\\"),
            },
            '[' => {
                out.push('[');
                if chars.peek() == Some(&'^') {
                    chars.next();
                    out.push('^');
                }
                if chars.peek() == Some(&']') {
                    chars.next();
                    out.push_str(r"\]");
                }
                while let Some(c) = chars.next() {
                    match c {
                        ']' => {
                            out.push(']');
                            break;
                        }
                        '[' if chars.peek() == Some(&':') => {
                            out.push('[');
                            for c in chars.by_ref() {
                                out.push(c);
                                if c == ']' {
                                    break;
                                }
                            }
                        }
                        '\\' if extended
                            && matches!(chars.peek(), Some('n' | 't' | '/' | '.' | ']' | '\\')) =>
                        {
                            out.push('\\');
                            out.extend(chars.next());
                        }
                        '[' | '\\' | '&' | '~' => {
                            out.push('\\');
                            out.push(c);
                        }
                        _ => out.push(c),
                    }
                }
            }
            '(' | ')' | '{' | '}' | '|' | '+' | '?' if !extended => {
                out.push('\\');
                out.push(c);
            }
            '{' if extended && !chars.peek().is_some_and(char::is_ascii_digit) => out.push_str(r"\{"),
            '*' if started => out.push_str(r"\*"),
            '(' | '|' => {
                at_start = true;
                out.push(c);
            }
            '^' if !extended && !started => out.push_str(r"\^"),
            '^' => {
                at_start = true;
                out.push('^');
            }
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn posix_patterns_mean_what_they_mean_to_grep() {
        for (pattern, extended, text, expect) in [
            ("[Mm]iner", false, "/tmp/Miner", true),
            ("a+b", false, "a+b", true),
            ("a\\+b", false, "aab", true),
            ("a+b", true, "aab", true),
            ("model name|Hardware", true, "model name : x", true),
            ("^ *", false, "  x", true),
            ("x\\{2\\}", false, "axx", true),
            ("*x", false, "*x", true),
            ("^processor", false, "processor : 0", true),
            ("[]a]", false, "]", true),
            ("a.c", false, "abc", true),
            ("\\.sh$", false, "a.sh", true),
            ("\\.sh$", false, "ash", false),
        ] {
            assert_eq!(compile(pattern, extended, false).expect(pattern).is_match(text), expect, "{pattern}");
        }
        assert!(compile("a(", true, false).is_none());
    }
}
