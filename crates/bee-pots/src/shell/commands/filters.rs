//! `grep`, `sort`, `uniq`, `cut`, `tr`.

use super::Ctx;
use super::text::lines;
use crate::shell::exec::Run;
use crate::shell::expand::unescape;
use crate::shell::regex;
use crate::vfs::Errno;

pub(super) fn grep(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let mut options = c.options("e f A B C m max-count regexp color colour include exclude");
    let patterns: Vec<String> = match options.values("e regexp") {
        given if !given.is_empty() => given.into_iter().map(str::to_owned).collect(),
        _ if options.operands.is_empty() => {
            c.err("Usage: grep [OPTION]... PATTERNS [FILE]...\nTry 'grep --help' for more information.\n")?;
            return Ok(2);
        }
        _ => vec![options.operands.remove(0)],
    };
    let ignore_case = options.has("i ignore-case y");
    let mut matchers = Vec::new();
    for pattern in patterns.iter().flat_map(|p| p.split('\n')) {
        let fixed = c.name == "fgrep" || options.has("F fixed-strings");
        let matcher = if fixed {
            regex::literal(pattern, ignore_case)
        } else if options.has("P perl-regexp") {
            regex::build(pattern, ignore_case)
        } else {
            let extended = c.name == "egrep" || options.has("E extended-regexp");
            let pattern =
                if options.has("w word-regexp") { format!("\\<{pattern}\\>") } else { pattern.to_owned() };
            regex::compile(&pattern, extended, ignore_case)
        };
        match matcher {
            Some(matcher) => matchers.push(matcher),
            None => return c.fail("Unmatched [, [^, [:, [., or [=", 2),
        }
    }
    let recursive = options.has("r R recursive");
    let operands = if recursive { tree(c, &options.operands) } else { options.operands.clone() };
    if recursive && operands.is_empty() {
        return Ok(1);
    }
    let quiet = options.has("q quiet silent");
    let (mut any, mut bad) = (false, false);
    let mut inputs = Vec::new();
    if operands.is_empty() {
        inputs.push(("(standard input)".to_owned(), c.stdin()?));
    }
    for path in &operands {
        match c.read(path)? {
            Ok(data) => inputs.push((path.clone(), data)),
            Err(error) => {
                bad = true;
                if !options.has("s no-messages") {
                    let hint = if error == Errno::IsDir {
                        format!("{path}: Is a directory")
                    } else {
                        format!("{path}: {}", error.text())
                    };
                    c.fail(hint, 2)?;
                }
            }
        }
    }
    let named = (inputs.len() > 1 || recursive || options.has("H")) && !options.has("h no-filename");
    let max = options.value("m max-count").and_then(|m| m.parse().ok()).unwrap_or(usize::MAX);
    let number =
        |names: &str| options.value(names).and_then(|n| n.parse::<usize>().ok()).unwrap_or(0).min(1000);
    let (before, after) = (number("B").max(number("C")), number("A").max(number("C")));
    for (path, data) in inputs {
        let prefix = if named { format!("{path}:") } else { String::new() };
        let rows: Vec<&[u8]> = lines(&data).collect();
        let (mut hits, mut shown) = (0, 0);
        for (n, line) in rows.iter().enumerate() {
            if hits >= max {
                break;
            }
            c.i.work(line.len() * matchers.len() / 4 + 8)?;
            let text = String::from_utf8_lossy(line);
            let hit = matchers.iter().any(|m| m.is_match(&text))
                && (!options.has("x line-regexp")
                    || matchers.iter().any(|m| m.find(&text).is_some_and(|f| f.len() == text.len())));
            if hit == options.has("v invert-match") {
                continue;
            }
            hits += 1;
            any = true;
            if quiet {
                return Ok(0);
            }
            if options.has("c count l files-with-matches L") {
                continue;
            }
            let number = |n: usize, mark: char| {
                if options.has("n line-number") { format!("{}{mark}", n + 1) } else { String::new() }
            };
            if options.has("o only-matching") {
                for found in matchers.iter().flat_map(|m| m.find_iter(&text)).filter(|f| !f.is_empty()) {
                    c.out(format!("{prefix}{}{}\n", number(n, ':'), found.as_str()))?;
                }
                continue;
            }
            let from = n.saturating_sub(before).max(shown);
            let to = if after > 0 { (n + after).min(rows.len().saturating_sub(1)) } else { n };
            for at in from.min(n.max(shown))..=to {
                if at < shown {
                    continue;
                }
                let mark = if at == n { ':' } else { '-' };
                let head = format!("{prefix}{}", number(at, mark));
                c.out([head.as_bytes(), rows.get(at).copied().unwrap_or_default(), b"\n"].concat())?;
                shown = at + 1;
            }
        }
        if options.has("l files-with-matches") {
            if hits > 0 {
                c.out(format!("{path}\n"))?;
            }
        } else if options.has("c count") {
            c.out(format!("{prefix}{hits}\n"))?;
        }
    }
    Ok(if bad && !any { 2 } else { i32::from(!any) })
}

/// Files below the operands, for `grep -r`.
fn tree(c: &Ctx<'_, '_>, operands: &[String]) -> Vec<String> {
    let mut todo: Vec<String> = if operands.is_empty() { vec![".".into()] } else { operands.to_vec() };
    let mut files = Vec::new();
    while let Some(path) = todo.pop() {
        if files.len() > 400 || todo.len() > 4000 {
            break;
        }
        let Ok(stat) = c.i.vfs.lstat(&c.cwd(), &path) else {
            files.push(path);
            continue;
        };
        if stat.is_dir() {
            let names = c.i.vfs.list_id(stat.id).unwrap_or_default();
            todo.extend(names.into_iter().rev().map(|(n, _)| format!("{}/{n}", path.trim_end_matches('/'))));
        } else if stat.is_file() && stat.size < 64 << 10 {
            files.push(path);
        }
    }
    files
}

/// What `sort` compares: the number, then the text.
type Key = (f64, Vec<u8>);

pub(super) fn sort(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let options = c.options("k t o T S");
    let (inputs, fine) = c.inputs(&options.operands)?;
    let all: Vec<u8> = inputs.iter().fold(Vec::new(), |mut all, (_, d)| {
        all.extend_from_slice(d);
        if all.last().is_some_and(|b| *b != b'\n') {
            all.push(b'\n');
        }
        all
    });
    c.i.work(all.len())?;
    let field: Option<usize> = options
        .value("k")
        .and_then(|k| k.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok());
    let numeric = options.has("n g h numeric-sort V")
        || options.value("k").is_some_and(|k| k.contains(['n', 'g', 'h']));
    let reverse = options.has("r reverse") || options.value("k").is_some_and(|k| k.contains('r'));
    let separator = options.value("t").and_then(|t| t.bytes().next());
    let key = |line: &[u8]| -> Key {
        let part = match (field, separator) {
            (None, _) => line.to_vec(),
            (Some(n), Some(sep)) => {
                line.split(|b| *b == sep).skip(n.saturating_sub(1)).collect::<Vec<_>>().join(&sep)
            }
            (Some(n), None) => line
                .split(u8::is_ascii_whitespace)
                .filter(|w| !w.is_empty())
                .skip(n.saturating_sub(1))
                .collect::<Vec<_>>()
                .join(&b' '),
        };
        let text = String::from_utf8_lossy(&part);
        let digits: String = text
            .trim_start()
            .chars()
            .take_while(|ch| ch.is_ascii_digit() || matches!(ch, '.' | '-'))
            .collect();
        let scale = match text.trim_start().chars().nth(digits.len()) {
            Some('K') if options.has("h") => 1e3,
            Some('M') if options.has("h") => 1e6,
            Some('G') if options.has("h") => 1e9,
            _ => 1.0,
        };
        let number = if numeric { digits.parse::<f64>().unwrap_or(0.0) * scale } else { 0.0 };
        (number, if options.has("f ignore-case") { part.to_ascii_lowercase() } else { part })
    };
    let mut rows: Vec<(Key, &[u8])> = lines(&all).map(|l| (key(l), l)).collect();
    c.i.work(rows.len() * 64)?;
    rows.sort_by(|(a, x), (b, y)| a.0.total_cmp(&b.0).then_with(|| a.1.cmp(&b.1)).then_with(|| x.cmp(y)));
    if reverse {
        rows.reverse();
    }
    if options.has("u unique") {
        rows.dedup_by(|a, b| if numeric { a.0.0.total_cmp(&b.0.0).is_eq() } else { a.0.1 == b.0.1 });
    }
    let mut out = Vec::with_capacity(all.len());
    for (_, line) in rows {
        out.extend_from_slice(line);
        out.push(b'\n');
    }
    match options.value("o") {
        Some(path) => {
            let path = path.to_owned();
            let _ = c.write_file(&path, &out, false)?;
        }
        None => c.out(out)?,
    }
    Ok(if fine { 0 } else { 2 })
}

pub(super) fn uniq(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let options = c.options("f s w");
    let (inputs, fine) =
        c.inputs(options.operands.get(..1.min(options.operands.len())).unwrap_or_default())?;
    for (_, data) in inputs {
        let mut groups: Vec<(usize, &[u8])> = Vec::new();
        for line in lines(&data) {
            match groups.last_mut() {
                Some((n, last)) if *last == line || options.has("i") && last.eq_ignore_ascii_case(line) => {
                    *n += 1
                }
                _ => groups.push((1, line)),
            }
        }
        for (n, line) in groups {
            if options.has("d") && n < 2 || options.has("u") && n > 1 {
                continue;
            }
            let head = if options.has("c") { format!("{n:7} ") } else { String::new() };
            c.out([head.as_bytes(), line, b"\n"].concat())?;
        }
    }
    Ok(i32::from(!fine))
}

/// `1,3-5,7-` as inclusive ranges.
fn ranges(text: &str) -> Option<Vec<(usize, usize)>> {
    text.split(',')
        .take(256)
        .map(|part| match part.split_once('-') {
            None => part.parse().ok().map(|n| (n, n)),
            Some(("", to)) => to.parse().ok().map(|n| (1, n)),
            Some((from, "")) => from.parse().ok().map(|n| (n, usize::MAX)),
            Some((from, to)) => Some((from.parse().ok()?, to.parse().ok()?)),
        })
        .collect()
}

pub(super) fn cut(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let options = c.options("d f c b delimiter fields output-delimiter");
    let delimiter = options.value("d delimiter").and_then(|d| d.bytes().next()).unwrap_or(b'\t');
    let (by_field, list) = match (options.value("f fields"), options.value("c b")) {
        (Some(list), _) => (true, list),
        (None, Some(list)) => (false, list),
        _ => {
            c.fail("you must specify a list of bytes, characters, or fields", 1)?;
            c.err("Try 'cut --help' for more information.\n")?;
            return Ok(1);
        }
    };
    let Some(ranges) = ranges(list) else {
        return c.fail(format!("invalid field value '{list}'"), 1);
    };
    let wanted = |n: usize| ranges.iter().any(|(from, to)| (*from..=*to).contains(&n));
    let (inputs, fine) = c.inputs(&options.operands)?;
    for (_, data) in inputs {
        c.i.work(data.len() * ranges.len())?;
        let mut out = Vec::new();
        for line in lines(&data) {
            if !by_field {
                out.extend(line.iter().enumerate().filter(|(n, _)| wanted(n + 1)).map(|(_, b)| *b));
            } else if !line.contains(&delimiter) {
                if options.has("s") {
                    continue;
                }
                out.extend_from_slice(line);
            } else {
                let fields: Vec<&[u8]> = line
                    .split(|b| *b == delimiter)
                    .enumerate()
                    .filter(|(n, _)| wanted(n + 1))
                    .map(|(_, f)| f)
                    .collect();
                let joint = options
                    .value("output-delimiter")
                    .map_or_else(|| vec![delimiter], |d| d.as_bytes().to_vec());
                out.extend(fields.join(joint.as_slice()));
            }
            out.push(b'\n');
        }
        c.out(out)?;
    }
    Ok(i32::from(!fine))
}

/// A set of `tr`: ranges, classes, escapes.
fn set(text: &str) -> Vec<u8> {
    let bytes = unescape(text.as_bytes()).0;
    let mut out = Vec::new();
    let mut n = 0;
    while let Some(byte) = bytes.get(n) {
        let rest = bytes.get(n..).unwrap_or_default();
        let class = [("[:upper:]", b'A'..=b'Z'), ("[:lower:]", b'a'..=b'z'), ("[:digit:]", b'0'..=b'9')];
        if let Some((name, range)) = class.into_iter().find(|(name, _)| rest.starts_with(name.as_bytes())) {
            out.extend(range);
            n += name.len();
        } else if rest.starts_with(b"[:space:]") {
            out.extend(b" \t\n\r\x0b\x0c");
            n += 9;
        } else if rest.starts_with(b"[:alnum:]") || rest.starts_with(b"[:alpha:]") {
            out.extend((0..=127_u8).filter(|b| {
                if rest.starts_with(b"[:alpha:]") {
                    b.is_ascii_alphabetic()
                } else {
                    b.is_ascii_alphanumeric()
                }
            }));
            n += 9;
        } else if rest.starts_with(b"[:punct:]") || rest.starts_with(b"[:cntrl:]") {
            out.extend((0..=127_u8).filter(|b| {
                if rest.starts_with(b"[:punct:]") { b.is_ascii_punctuation() } else { b.is_ascii_control() }
            }));
            n += 9;
        } else if let (Some(b'-'), Some(to)) = (bytes.get(n + 1), bytes.get(n + 2)) {
            out.extend(*byte..=*to);
            n += 3;
        } else {
            out.push(*byte);
            n += 1;
        }
    }
    out
}

pub(super) fn tr(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let options = c.options("");
    let (Some(from), to) = (options.operands.first(), options.operands.get(1)) else {
        return c.fail("missing operand\nTry 'tr --help' for more information.", 1);
    };
    let mut from = set(from);
    if options.has("c C complement") {
        from = (0..=255).filter(|b| !from.contains(b)).collect();
    }
    let data = c.stdin()?;
    c.i.work(data.len() * 4)?;
    let delete = options.has("d delete");
    let squeeze = options.has("s squeeze-repeats");
    let to = to.map(|t| set(t)).unwrap_or_default();
    let mut table: [Option<u8>; 256] = [None; 256];
    let mut member = [false; 256];
    for (n, byte) in from.iter().enumerate() {
        if let (Some(slot), Some(m)) = (table.get_mut(usize::from(*byte)), member.get_mut(usize::from(*byte)))
        {
            *slot = to.get(n).or(to.last()).copied();
            *m = true;
        }
    }
    let is_member = |b: u8| member.get(usize::from(b)).copied().unwrap_or(false);
    let mut out = Vec::with_capacity(data.len());
    for byte in data.iter() {
        if delete && is_member(*byte) {
            continue;
        }
        let new =
            if delete { *byte } else { table.get(usize::from(*byte)).copied().flatten().unwrap_or(*byte) };
        if squeeze
            && out.last() == Some(&new)
            && (if to.is_empty() { is_member(new) } else { to.contains(&new) })
        {
            continue;
        }
        out.push(new);
    }
    c.out(out)?;
    Ok(0)
}
