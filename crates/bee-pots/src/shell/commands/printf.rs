//! `printf`.

use super::Ctx;
use crate::shell::exec::Run;
use crate::shell::expand::unescape;

pub(super) fn printf(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let mut args = c.args.iter().skip(1);
    let mut format = args.next().cloned().unwrap_or_default();
    let mut variable = None;
    if format == b"-v" {
        variable = args.next().map(|v| String::from_utf8_lossy(v).into_owned());
        format = args.next().cloned().unwrap_or_default();
    }
    if format == b"--" {
        format = args.next().cloned().unwrap_or_default();
    }
    let values: Vec<Vec<u8>> = args.cloned().collect();
    let mut out = Vec::new();
    let mut next = 0;
    loop {
        let before = next;
        c.i.step()?;
        format_once(&format, &values, &mut next, &mut out);
        c.i.work(out.len())?;
        if next >= values.len() || next == before {
            break;
        }
    }
    match variable {
        Some(name) => c.i.st.top_mut().set(&name, out, None),
        None => c.out(out)?,
    }
    Ok(0)
}

fn format_once(format: &[u8], values: &[Vec<u8>], next: &mut usize, out: &mut Vec<u8>) {
    let (format, _) = unescape(&format.replace_double_percent());
    let mut rest = format.as_slice();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        match first {
            1 => out.push(b'%'),
            b'%' => {
                let len = rest.iter().take_while(|b| b"-+ 0#.123456789".contains(b)).count();
                let spec = String::from_utf8_lossy(rest.get(..len).unwrap_or_default()).into_owned();
                let Some(kind) = rest.get(len) else { return };
                rest = rest.get(len + 1..).unwrap_or_default();
                let value = values.get(*next).cloned().unwrap_or_default();
                *next += 1;
                let text = String::from_utf8_lossy(&value);
                let number = || {
                    text.trim()
                        .parse::<i64>()
                        .ok()
                        .or_else(|| i64::from_str_radix(text.trim_start_matches("0x"), 16).ok())
                        .unwrap_or(0)
                };
                let bytes = match kind {
                    b'd' | b'i' | b'u' => number().to_string().into_bytes(),
                    b'x' => format!("{:x}", number()).into_bytes(),
                    b'X' => format!("{:X}", number()).into_bytes(),
                    b'o' => format!("{:o}", number()).into_bytes(),
                    b'c' => value.first().map(|b| vec![*b]).unwrap_or_default(),
                    b'b' => unescape(&value).0,
                    b'f' | b'g' | b'e' => {
                        let digits = spec
                            .split_once('.')
                            .and_then(|(_, d)| d.parse::<usize>().ok())
                            .unwrap_or(6)
                            .min(20);
                        format!("{:.*}", digits, text.parse::<f64>().unwrap_or(0.0)).into_bytes()
                    }
                    _ => value,
                };
                pad(&spec, *kind, bytes, out);
            }
            byte => out.push(*byte),
        }
    }
}

trait DoublePercent {
    fn replace_double_percent(&self) -> Vec<u8>;
}

impl DoublePercent for [u8] {
    /// `%%` becomes byte 1, so that one pass can tell it from a directive.
    fn replace_double_percent(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.len());
        let mut bytes = self.iter().peekable();
        while let Some(byte) = bytes.next() {
            if *byte == b'%' && bytes.peek() == Some(&&b'%') {
                bytes.next();
                out.push(1);
            } else {
                out.push(*byte);
            }
        }
        out
    }
}

fn pad(spec: &str, kind: u8, mut bytes: Vec<u8>, out: &mut Vec<u8>) {
    let left = spec.starts_with('-');
    let zero = spec.starts_with('0') && kind != b's';
    let (width, precision) = spec.trim_start_matches(['-', '+', ' ', '#']).split_once('.').map_or_else(
        || (spec.trim_start_matches(['-', '+', ' ', '#']).to_owned(), None),
        |(w, p)| (w.to_owned(), p.parse::<usize>().ok()),
    );
    if let Some(precision) = precision
        && kind == b's'
    {
        bytes.truncate(precision);
    }
    let width: usize = width.parse().unwrap_or(0).min(4096);
    let fill = vec![if zero { b'0' } else { b' ' }; width.saturating_sub(bytes.len())];
    if left {
        out.extend(bytes);
        out.extend(fill);
    } else {
        out.extend(fill);
        out.extend(bytes);
    }
}
