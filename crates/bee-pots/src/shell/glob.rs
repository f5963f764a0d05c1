//! Wildcards: `*`, `?`, `[..]` against names, and against the file tree.

use crate::vfs::Vfs;

/// A pattern: literal characters are marked so that quoted wildcards stay literal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) byte: u8,
    pub(crate) quoted: bool,
}

/// Marks every byte as unquoted.
pub(crate) fn unquoted(pattern: &[u8]) -> Vec<Mark> {
    pattern.iter().map(|b| Mark { byte: *b, quoted: false }).collect()
}

/// Whether a word has something to expand.
pub(crate) fn is_pattern(marks: &[Mark]) -> bool {
    marks.iter().any(|m| !m.quoted && matches!(m.byte, b'*' | b'?' | b'['))
}

/// Whether the whole of `text` matches. Linear in pattern times text: only the last star is tried again.
pub(crate) fn matches(pattern: &[Mark], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        let step = match pattern.get(p) {
            Some(Mark { byte: b'*', quoted: false }) => {
                star = Some((p, t));
                p += 1;
                continue;
            }
            Some(mark) => text.get(t).and_then(|c| one(pattern, p, *mark, *c)),
            None if t == text.len() => return true,
            None => None,
        };
        match (step, star) {
            (Some(used), _) => {
                p += used;
                t += 1;
            }
            (None, Some((at, from))) if from < text.len() => {
                star = Some((at, from + 1));
                p = at + 1;
                t = from + 1;
            }
            _ => return false,
        }
    }
}

/// How many marks matched one character.
fn one(pattern: &[Mark], at: usize, mark: Mark, c: u8) -> Option<usize> {
    match mark {
        Mark { byte: b'?', quoted: false } => Some(1),
        Mark { byte: b'[', quoted: false } => match class(pattern.get(at + 1..)?, c) {
            Some((hit, used)) => hit.then_some(used + 1),
            None => (c == b'[').then_some(1),
        },
        Mark { byte, .. } => (byte == c).then_some(1),
    }
}

/// The inside of brackets: whether it holds `c`, and how many marks it takes with the closing one.
fn class(marks: &[Mark], c: u8) -> Option<(bool, usize)> {
    let byte = |n: usize| marks.get(n).map(|m| m.byte);
    let negated = matches!(byte(0), Some(b'!' | b'^'));
    let mut n = usize::from(negated);
    let (first, mut hit) = (n, false);
    loop {
        let low = byte(n)?;
        if low == b']' && n > first {
            return Some((hit != negated, n + 1));
        }
        if low == b'[' && byte(n + 1) == Some(b':') {
            let end = (n + 2..marks.len().min(n + 12))
                .find(|e| byte(*e) == Some(b':') && byte(e + 1) == Some(b']'))?;
            let name: Vec<u8> = marks.get(n + 2..end)?.iter().map(|m| m.byte).collect();
            hit |= match name.as_slice() {
                b"alpha" => c.is_ascii_alphabetic(),
                b"digit" => c.is_ascii_digit(),
                b"alnum" => c.is_ascii_alphanumeric(),
                b"upper" => c.is_ascii_uppercase(),
                b"lower" => c.is_ascii_lowercase(),
                b"space" => c.is_ascii_whitespace(),
                b"punct" => c.is_ascii_punctuation(),
                _ => false,
            };
            n = end + 2;
        } else if byte(n + 1) == Some(b'-') && byte(n + 2).is_some_and(|b| b != b']') {
            hit |= (low..=byte(n + 2)?).contains(&c);
            n += 3;
        } else {
            hit |= low == c;
            n += 1;
        }
    }
}

/// Paths that match, sorted; at most `max`.
pub(crate) fn expand(vfs: &Vfs, cwd: &str, pattern: &[Mark], max: usize) -> Vec<String> {
    let absolute = pattern.first().is_some_and(|m| m.byte == b'/');
    let mut found = vec![if absolute { "/".to_owned() } else { String::new() }];
    let mut visits = 0_usize;
    for part in pattern.split(|m| m.byte == b'/').filter(|p| !p.is_empty()) {
        let mut next = Vec::new();
        for base in &found {
            let join = |name: &str| {
                if base.is_empty() || base.ends_with('/') {
                    format!("{base}{name}")
                } else {
                    format!("{base}/{name}")
                }
            };
            if !is_pattern(part) {
                let name: Vec<u8> = part.iter().map(|m| m.byte).collect();
                let path = join(&String::from_utf8_lossy(&name));
                if vfs.lstat(cwd, &path).is_ok() {
                    next.push(path);
                }
                continue;
            }
            let dir = if base.is_empty() { "." } else { base };
            let Ok(entries) = vfs.resolve(cwd, dir).and_then(|id| vfs.list_id(id)) else { continue };
            let dots = part.first().is_some_and(|m| m.byte == b'.');
            for (name, _) in entries {
                visits += 1;
                if next.len() >= max || visits > 100_000 {
                    break;
                }
                if (dots || !name.starts_with('.')) && matches(part, name.as_bytes()) {
                    next.push(join(&name));
                }
            }
        }
        found = next;
    }
    found.retain(|f| !f.is_empty());
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_like_fnmatch() {
        for (pattern, text, expect) in [
            ("*", "abc", true),
            ("a*c", "abbbc", true),
            ("a*c", "abbbd", false),
            ("a?c", "abc", true),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[[:digit:]]*", "7up", true),
            ("[]x]", "]", true),
            ("[abc", "[abc", true),
            ("", "", true),
            ("*a*a*a*b", &"a".repeat(200), false),
        ] {
            assert_eq!(matches(&unquoted(pattern.as_bytes()), text.as_bytes()), expect, "{pattern} {text}");
        }
    }
}
