//! Makes JSON text out of bytes that are almost JSON text, without losing what they said.
//!
//! Attackers type any byte, and some honeypots copy them into their log lines as they are. Two kinds of damage are
//! repaired, both only inside strings: bytes that are not UTF-8 become the six characters `\\xNN` (which read as
//! `\xNN` after decoding, so the byte is still known), and raw control characters, NUL among them, become `\u00NN`.
//! Everything else is left alone: a line that is still not JSON afterwards is malformed.

use std::borrow::Cow;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// `line` with its repairable damage repaired; borrowed when there was none. Grows at most six-fold.
pub(super) fn repair(line: &[u8]) -> Cow<'_, [u8]> {
    if std::str::from_utf8(line).is_ok() && !line.iter().any(|byte| *byte < 0x20) {
        return Cow::Borrowed(line);
    }
    let mut out = Vec::with_capacity(line.len() + 64);
    let mut scan = Scan::default();
    for chunk in line.utf8_chunks() {
        for byte in chunk.valid().bytes() {
            if scan.in_string && byte < 0x20 {
                scan.close_escape(&mut out);
                push_hex(&mut out, b"\\u00", byte);
            } else {
                scan.step(byte);
                out.push(byte);
            }
        }
        for byte in chunk.invalid() {
            if scan.in_string {
                scan.close_escape(&mut out);
                push_hex(&mut out, b"\\\\x", *byte);
            } else {
                out.push(*byte);
            }
        }
    }
    Cow::Owned(out)
}

#[derive(Default)]
struct Scan {
    in_string: bool,
    escaped: bool,
}

impl Scan {
    fn step(&mut self, byte: u8) {
        if !self.in_string {
            self.in_string = byte == b'"';
        } else if self.escaped {
            self.escaped = false;
        } else if byte == b'\\' {
            self.escaped = true;
        } else if byte == b'"' {
            self.in_string = false;
        }
    }

    /// A backslash right before damage was meant as itself.
    fn close_escape(&mut self, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.escaped) {
            out.push(b'\\');
        }
    }
}

fn push_hex(out: &mut Vec<u8>, prefix: &[u8], byte: u8) {
    out.extend_from_slice(prefix);
    for nibble in [byte >> 4, byte & 15] {
        out.push(HEX.get(usize::from(nibble)).copied().unwrap_or(b'0'));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &[u8], expect: &str) {
        let repaired = repair(input);
        assert_eq!(String::from_utf8_lossy(&repaired), expect);
        assert!(serde_json::from_slice::<serde_json::Value>(&repaired).is_ok(), "not JSON: {expect}");
    }

    #[test]
    fn sound_json_is_borrowed() {
        assert!(matches!(repair("{\"a\":\"\\u0000 \u{e9}\"}".as_bytes()), Cow::Borrowed(_)));
    }

    #[test]
    fn bytes_that_are_not_utf8_stay_readable() {
        check(b"{\"p\":\"a\xff\xc3\x28\"}", r#"{"p":"a\\xff\\xc3("}"#);
    }

    #[test]
    fn raw_nul_and_control_characters_are_escaped_inside_strings_alone() {
        check(b"{\t\"p\":\"a\0b\x1b[0m\tc\"}", "{\t\"p\":\"a\\u0000b\\u001b[0m\\u0009c\"}");
    }

    #[test]
    fn escaped_quotes_do_not_end_a_string() {
        check(b"{\"p\":\"\\\"\0\\\\\"}", r#"{"p":"\"\u0000\\"}"#);
    }

    #[test]
    fn a_backslash_before_damage_stays_a_backslash() {
        check(b"{\"p\":\"\\\xff\\\0\"}", r#"{"p":"\\\\xff\\\u0000"}"#);
    }

    #[test]
    fn bytes_outside_strings_are_left_to_the_parser() {
        assert_eq!(&*repair(b"{\xff}"), b"{\xff}");
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_inside_a_string_become_json(inner in proptest::collection::vec(0u8..=255, 0..200)) {
            let inner: Vec<u8> = inner.into_iter().filter(|byte| !b"\"\\\n".contains(byte)).collect();
            let line = [b"{\"v\":\"".as_slice(), &inner, b"\"}"].concat();
            let repaired = repair(&line);
            let value: serde_json::Value = serde_json::from_slice(&repaired).unwrap();
            let text = value["v"].as_str().unwrap();
            for chunk in inner.utf8_chunks() {
                proptest::prop_assert!(text.contains(chunk.valid()));
            }
        }
    }
}
