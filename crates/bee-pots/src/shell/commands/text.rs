//! Commands that show or count text.

use super::Ctx;
use crate::shell::Want;
use crate::shell::exec::Run;
use std::fmt::Write as _;

/// Lines without their ends.
pub(super) fn lines(data: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    let data = data.strip_suffix(b"\n").unwrap_or(data);
    let empty = data.is_empty();
    data.split(|b| *b == b'\n').filter(move |_| !empty)
}

pub(super) fn yes(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let mut line = c.args.get(1..).unwrap_or_default().join(&b' ');
    if line.is_empty() {
        line = b"y".to_vec();
    }
    line.push(b'\n');
    let block = line.repeat((16_384 / line.len()).max(1));
    loop {
        c.out(&block)?;
    }
}

pub(super) fn seq(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let options = c.options("s f");
    let numbers: Vec<i64> = options.operands.iter().filter_map(|n| n.parse().ok()).collect();
    let (first, step, last) = match numbers.as_slice() {
        [last] => (1, 1, *last),
        [first, last] => (*first, 1, *last),
        [first, step, last] => (*first, *step, *last),
        _ => return c.fail("missing operand", 1),
    };
    let separator = options.value("s").unwrap_or("\n").to_owned();
    let (mut n, mut text, mut started) = (first, String::new(), false);
    while step != 0 && (if step > 0 { n <= last } else { n >= last }) {
        if started {
            text.push_str(&separator);
        }
        started = true;
        let _ = write!(text, "{n}");
        if text.len() > 8192 {
            c.out(std::mem::take(&mut text))?;
        }
        let Some(next) = n.checked_add(step) else { break };
        n = next;
    }
    if started {
        text.push('\n');
    }
    c.out(text)?;
    Ok(0)
}

pub(super) fn cat(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let options = c.options("");
    if options.has("help") {
        return super::help::help(c);
    }
    if options.has("version") {
        let text = format!("{} (GNU coreutils) {}\n", c.name, c.persona().distro.coreutils);
        c.out(text)?;
        return Ok(0);
    }
    if (options.operands.is_empty() || options.operands == ["-"]) && c.reads_session() && c.to_screen() {
        while let Some((mut line, _)) = c.i.read_line(c.fds.input, Want::Line)? {
            line.push(b'\n');
            c.out(line)?;
        }
        return Ok(0);
    }
    let operands = if options.operands.is_empty() { vec!["-".to_owned()] } else { options.operands.clone() };
    let (mut status, mut number) = (0, 0);
    for path in operands {
        match c.read(&path)? {
            Ok(data) if options.has("n b number A e E v T") => {
                let mut text = Vec::new();
                for line in lines(&data) {
                    number += 1;
                    if options.has("n number") || (options.has("b") && !line.is_empty()) {
                        text.extend(format!("{number:6}\t").into_bytes());
                    }
                    text.extend(line);
                    text.extend(if options.has("A e E") { &b"$\n"[..] } else { b"\n" });
                }
                c.out(text)?;
            }
            Ok(data) => c.out(data.as_slice())?,
            Err(error) => {
                status = c.fail(format!("{path}: {}", error.text()), 1)?;
            }
        }
    }
    Ok(status)
}

pub(super) fn tac(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let (inputs, fine) = c.inputs(&c.options("").operands)?;
    for (_, data) in inputs {
        let mut text: Vec<u8> = lines(&data).rev().collect::<Vec<_>>().join(&b'\n');
        text.push(b'\n');
        c.out(text)?;
    }
    Ok(i32::from(!fine))
}

pub(super) fn rev(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let (inputs, fine) = c.inputs(&c.options("").operands)?;
    for (_, data) in inputs {
        for line in lines(&data) {
            let text: String = String::from_utf8_lossy(line).chars().rev().chain(['\n']).collect();
            c.out(text)?;
        }
    }
    Ok(i32::from(!fine))
}

fn count(text: Option<&str>) -> (usize, bool, bool) {
    let text = text.unwrap_or("10");
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let unit = match text.chars().last() {
        Some('k' | 'K') => 1024,
        Some('m' | 'M') => 1 << 20,
        _ => 1,
    };
    (digits.parse::<usize>().unwrap_or(10).saturating_mul(unit), text.starts_with('-'), text.starts_with('+'))
}

pub(super) fn head(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let (options, number) = with_number(c);
    let (bytes, value) = match options.value("c bytes") {
        Some(value) => (true, Some(value.to_owned())),
        None => (false, options.value("n lines").map(str::to_owned).or(number)),
    };
    let (n, minus, _) = count(value.as_deref());
    let (inputs, fine) = c.inputs(&options.operands)?;
    let many = inputs.len() > 1;
    for (path, data) in inputs {
        if many {
            c.out(format!("==> {path} <==\n"))?;
        }
        if bytes {
            let len = if minus { data.len().saturating_sub(n) } else { n.min(data.len()) };
            c.out(data.get(..len).unwrap_or_default())?;
            continue;
        }
        let total = lines(&data).count();
        let keep = if minus { total.saturating_sub(n) } else { n };
        let mut end = 0;
        for (at, _) in data.iter().enumerate().filter(|(_, b)| **b == b'\n').take(keep) {
            end = at + 1;
        }
        if keep >= total {
            end = data.len();
        }
        c.out(data.get(..end).unwrap_or_default())?;
    }
    Ok(i32::from(!fine))
}

/// `head -5` and `tail -5`.
fn with_number(c: &mut Ctx<'_, '_>) -> (super::Options, Option<String>) {
    let mut number = None;
    c.args.retain(|arg| {
        let digits = arg.strip_prefix(b"-").filter(|d| !d.is_empty() && d.iter().all(u8::is_ascii_digit));
        match digits {
            Some(digits) => {
                number = Some(String::from_utf8_lossy(digits).into_owned());
                false
            }
            None => true,
        }
    });
    (c.options("n c lines bytes s"), number)
}

pub(super) fn tail(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let (options, number) = with_number(c);
    let bytes = options.value("c bytes").map(str::to_owned);
    let value = bytes.clone().or_else(|| options.value("n lines").map(str::to_owned)).or(number);
    let (n, _, plus) = count(value.as_deref());
    let (inputs, fine) = c.inputs(&options.operands)?;
    let many = inputs.len() > 1;
    for (path, data) in inputs {
        if many {
            c.out(format!("==> {path} <==\n"))?;
        }
        let start = if bytes.is_some() {
            if plus { n.saturating_sub(1).min(data.len()) } else { data.len().saturating_sub(n) }
        } else {
            let total = lines(&data).count();
            let skip = if plus { n.saturating_sub(1) } else { total.saturating_sub(n) };
            if skip == 0 {
                0
            } else {
                data.iter()
                    .enumerate()
                    .filter(|(_, b)| **b == b'\n')
                    .nth(skip - 1)
                    .map_or(data.len(), |(at, _)| at + 1)
            }
        };
        c.out(data.get(start..).unwrap_or_default())?;
    }
    Ok(i32::from(!fine))
}

pub(super) fn wc(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let options = c.options("");
    let (inputs, fine) = c.inputs(&options.operands)?;
    let all = !options.has("l w c m L lines words bytes chars");
    let mut totals = [0; 3];
    let many = inputs.len() > 1;
    let width = if !all && inputs.len() == 1 { 1 } else { 7 };
    let row = |counts: [usize; 3], name: &str| {
        let wanted = [
            all || options.has("l lines"),
            all || options.has("w words"),
            all || options.has("c m bytes chars"),
        ];
        let cells: Vec<String> =
            counts.iter().zip(wanted).filter(|(_, w)| *w).map(|(n, _)| format!("{n:>width$}")).collect();
        format!("{}{}\n", cells.join(" "), if name == "-" { String::new() } else { format!(" {name}") })
    };
    for (path, data) in inputs {
        let words = data.split(u8::is_ascii_whitespace).filter(|w| !w.is_empty()).count();
        let counts = [data.iter().filter(|b| **b == b'\n').count(), words, data.len()];
        for (total, n) in totals.iter_mut().zip(counts) {
            *total += n;
        }
        c.out(row(counts, &path))?;
    }
    if many {
        c.out(row(totals, "total"))?;
    }
    Ok(i32::from(!fine))
}

pub(super) fn nl(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let (inputs, fine) = c.inputs(&c.options("").operands)?;
    let mut n = 0;
    for (_, data) in inputs {
        for line in lines(&data) {
            n += usize::from(!line.is_empty());
            let mark = if line.is_empty() { " ".repeat(6) } else { format!("{n:6}\t") };
            c.out([mark.as_bytes(), line, b"\n"].concat())?;
        }
    }
    Ok(i32::from(!fine))
}

pub(super) fn tee(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let options = c.options("");
    let data = c.stdin()?;
    let mut status = 0;
    for path in &options.operands {
        if let Err(error) = c.write_file(path, &data, options.has("a"))? {
            status = c.fail(format!("{path}: {}", error.text()), 1)?;
        }
    }
    c.out(data.as_slice())?;
    Ok(status)
}

pub(super) fn strings(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let options = c.options("n");
    let least = options.value("n").and_then(|n| n.parse().ok()).unwrap_or(4);
    let (inputs, fine) = c.inputs(&options.operands)?;
    for (_, data) in inputs {
        for run in
            data.split(|b| !(b.is_ascii_graphic() || *b == b' ' || *b == b'\t')).filter(|r| r.len() >= least)
        {
            c.out([run, b"\n"].concat())?;
        }
    }
    Ok(i32::from(!fine))
}

pub(super) fn hexdump(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let options = c.options("n N l s e t A");
    let limit = options.value("n N l").and_then(|n| n.parse().ok()).unwrap_or(usize::MAX);
    let (inputs, fine) = c.inputs(&options.operands)?;
    let canonical = options.has("C") || c.name == "xxd";
    for (_, data) in inputs {
        let data = data.get(..limit.min(data.len())).unwrap_or_default();
        for (n, row) in data.chunks(16).enumerate() {
            let text: String =
                row.iter().map(|b| if (32..127).contains(b) { char::from(*b) } else { '.' }).collect();
            let line = match (c.name.as_str(), canonical) {
                ("xxd", _) => {
                    let hex: Vec<String> =
                        row.chunks(2).map(|p| p.iter().map(|b| format!("{b:02x}")).collect()).collect();
                    format!("{:08x}: {:<39}  {text}\n", n * 16, hex.join(" "))
                }
                (_, true) => {
                    let hex: String = row
                        .iter()
                        .enumerate()
                        .map(|(i, b)| format!("{b:02x}{}", if i == 7 { "  " } else { " " }))
                        .collect();
                    format!("{:08x}  {hex:<49} |{text}|\n", n * 16)
                }
                _ => {
                    let words: Vec<String> = row
                        .chunks(2)
                        .map(|p| {
                            format!(
                                "{:02x}{:02x}",
                                p.get(1).copied().unwrap_or(0),
                                p.first().copied().unwrap_or(0)
                            )
                        })
                        .collect();
                    format!("{:07x} {}\n", n * 16, words.join(" "))
                }
            };
            c.out(line)?;
        }
        if c.name != "xxd" {
            c.out(format!("{:0width$x}\n", data.len(), width = if canonical { 8 } else { 7 }))?;
        }
    }
    Ok(i32::from(!fine))
}

pub(super) fn expr(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let args = c.texts();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let value = match words.as_slice() {
        ["length", text] => text.chars().count().to_string(),
        [a, "=", b] => u8::from(a == b).to_string(),
        [a, "!=", b] => u8::from(a != b).to_string(),
        [a, ":", pattern] => crate::shell::regex::compile(&format!("^{pattern}"), false, false)
            .and_then(|r| {
                r.captures(a).map(|m| m.get(1).map_or_else(|| m.len().to_string(), |g| g.as_str().to_owned()))
            })
            .unwrap_or_else(|| "0".into()),
        [one] => (*one).to_owned(),
        [] => return c.fail("missing operand", 2),
        _ => c.i.arithmetic(&words.join(" ")).to_string(),
    };
    c.out(format!("{value}\n"))?;
    Ok(i32::from(value == "0" || value.is_empty()))
}
