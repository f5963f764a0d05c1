//! `test`, `[` and `[[`.

use super::Ctx;
use crate::shell::exec::Run;
use crate::shell::{glob, regex};

pub(super) fn test(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let mut words = c.texts();
    let closing = match c.name.as_str() {
        "[" => Some("]"),
        "[[" => Some("]]"),
        _ => None,
    };
    if let Some(closing) = closing
        && words.pop().as_deref() != Some(closing)
    {
        let text = format!("{}: [: missing `]'\n", c.i.shell_name());
        c.err(text)?;
        return Ok(2);
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    c.i.work(words.len() * 32)?;
    Ok(i32::from(!either(c, &words)))
}

fn either(c: &mut Ctx<'_, '_>, words: &[&str]) -> bool {
    words
        .split(|w| matches!(*w, "-o" | "||"))
        .any(|part| part.split(|w| matches!(*w, "-a" | "&&")).all(|p| one(c, p)))
}

fn one(c: &mut Ctx<'_, '_>, words: &[&str]) -> bool {
    match words {
        ["!", rest @ ..] => {
            let negations = 1 + rest.iter().take_while(|w| **w == "!").count();
            simple(c, words.get(negations..).unwrap_or_default()) == (negations % 2 == 0)
        }
        _ => simple(c, words),
    }
}

fn simple(c: &mut Ctx<'_, '_>, words: &[&str]) -> bool {
    let number = |text: &str| text.trim().parse::<i64>().unwrap_or(0);
    match words {
        ["(", inside @ .., ")"] | inside @ [_] if words.len() > 1 || inside.len() == 1 => match inside {
            [text] => !text.is_empty(),
            [operator, operand] => unary(c, operator, operand),
            _ => false,
        },
        [operator, operand] => unary(c, operator, operand),
        [a, operator, b] => match *operator {
            "=" | "==" if c.name == "[[" => glob::matches(&glob::unquoted(b.as_bytes()), a.as_bytes()),
            "!=" if c.name == "[[" => !glob::matches(&glob::unquoted(b.as_bytes()), a.as_bytes()),
            "=" | "==" => a == b,
            "!=" => a != b,
            "=~" => regex::compile(b, true, false).is_some_and(|r| r.is_match(a)),
            "<" => a < b,
            ">" => a > b,
            "-eq" => number(a) == number(b),
            "-ne" => number(a) != number(b),
            "-lt" => number(a) < number(b),
            "-le" => number(a) <= number(b),
            "-gt" => number(a) > number(b),
            "-ge" => number(a) >= number(b),
            "-nt" | "-ot" | "-ef" => false,
            _ => false,
        },
        _ => false,
    }
}

fn unary(c: &mut Ctx<'_, '_>, operator: &str, operand: &str) -> bool {
    let (cwd, cred) = (c.cwd(), c.cred());
    let stat = || c.i.vfs.stat(&cwd, operand).ok();
    let may = |bits| stat().is_some_and(|s| c.i.vfs.allowed(s.id, cred, bits));
    match operator {
        "-n" => !operand.is_empty(),
        "-z" => operand.is_empty(),
        "-e" | "-a" => stat().is_some(),
        "-f" => stat().is_some_and(|s| s.is_file()),
        "-d" => stat().is_some_and(|s| s.is_dir()),
        "-s" => stat().is_some_and(|s| s.size > 0),
        "-L" | "-h" => c.i.vfs.lstat(&cwd, operand).is_ok_and(|s| s.is_link()),
        "-c" => stat().is_some_and(|s| s.mode & 0o170_000 == 0o020_000),
        "-b" => stat().is_some_and(|s| s.mode & 0o170_000 == 0o060_000),
        "-r" => may(4),
        // A device's root cannot be written although its bits say so; worms look for a place that can.
        "-w" => may(2) && c.i.vfs.can_write_at(&cwd, operand),
        "-x" => may(1),
        "-t" => c.i.st.tty,
        _ => false,
    }
}
