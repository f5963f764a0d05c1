//! Makes attacker text safe to look at: terminals, logs and CSV files.
//!
//! An attacker chooses user names, commands and paths. Printed raw they could move the cursor, set a
//! window title, reverse the reading order or hide characters. Everything that prints such text goes
//! through here; what is stored stays untouched.
//!
//! Escapes are Rust's: `\n`, `\t`, `\x1b` for a byte below 0x80, `\u{202e}` for a character, `\xff`
//! for a byte that is not UTF-8, and `\\` for a backslash, so that what is shown is unambiguous.

use std::borrow::Cow;
use std::fmt::{self, Display, Write as _};

/// Characters shown of one attacker value in a log line or a table cell.
pub const SHOWN_CHARS_MAX: usize = 256;

/// Attacker bytes as a [`Display`]: escaped, and cut after `chars_max` characters of the original.
#[derive(Debug, Clone, Copy)]
pub struct Untrusted<'a> {
    bytes: &'a [u8],
    chars_max: usize,
}

/// Shows `bytes` escaped, cut after [`SHOWN_CHARS_MAX`] characters.
#[must_use]
pub fn untrusted(bytes: &(impl AsRef<[u8]> + ?Sized)) -> Untrusted<'_> {
    Untrusted { bytes: bytes.as_ref(), chars_max: SHOWN_CHARS_MAX }
}

/// Shows `bytes` escaped, cut after `chars_max` characters of the original; a cut is marked with
/// `…` and the number of bytes left out.
#[must_use]
pub fn untrusted_max(bytes: &(impl AsRef<[u8]> + ?Sized), chars_max: usize) -> Untrusted<'_> {
    Untrusted { bytes: bytes.as_ref(), chars_max }
}

/// The whole text escaped on one line; borrowed when nothing had to change.
#[must_use]
pub fn escape(text: &str) -> Cow<'_, str> {
    if text.chars().all(|c| !must_escape(c)) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(untrusted_max(text, usize::MAX).to_string())
    }
}

/// Whether a character may not reach a terminal or a log as it is.
///
/// Control characters (C0, DEL, C1), bidirectional controls, zero-width and other invisible
/// characters, line and paragraph separators, variation selectors, tags, private use and
/// noncharacters; and the backslash, because it starts an escape.
#[must_use]
pub fn must_escape(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_control() || c == '\\';
    }
    matches!(c,
        '\u{80}'..='\u{9f}'             // C1 controls
        | '\u{ad}'                      // soft hyphen
        | '\u{34f}'                     // combining grapheme joiner
        | '\u{61c}'                     // Arabic letter mark
        | '\u{115f}' | '\u{1160}'       // Hangul fillers
        | '\u{17b4}' | '\u{17b5}'       // Khmer inherent vowels, invisible
        | '\u{180b}'..='\u{180f}'       // Mongolian selectors and separator
        | '\u{200b}'..='\u{200f}'       // zero width, LRM, RLM
        | '\u{2028}'..='\u{202e}'       // separators, bidi embeddings and overrides
        | '\u{2060}'..='\u{206f}'       // word joiner, invisible operators, bidi isolates
        | '\u{2800}'                    // blank Braille pattern
        | '\u{3164}'                    // Hangul filler
        | '\u{fe00}'..='\u{fe0f}'       // variation selectors
        | '\u{feff}'                    // byte order mark
        | '\u{ffa0}'                    // half-width Hangul filler
        | '\u{fff0}'..='\u{fffb}'       // unassigned specials, interlinear annotation
        | '\u{1bca0}'..='\u{1bca3}'     // shorthand format controls
        | '\u{1d173}'..='\u{1d17a}'     // musical format controls
        | '\u{e0000}'..='\u{e0fff}'     // tags, variation selectors supplement
        | '\u{e000}'..='\u{f8ff}'       // private use
        | '\u{f0000}'..='\u{10ffff}'    // private use planes
        | '\u{fdd0}'..='\u{fdef}' | '\u{fffe}' | '\u{ffff}') // noncharacters
}

/// One CSV field (RFC 4180), escaped, and with formula starters neutralised by a leading `'`, so
/// that a spreadsheet shows an attacker's `=HYPERLINK(..)` and does not run it.
#[must_use]
pub fn csv_field(text: &str) -> String {
    let shown = escape(text);
    let is_formula = shown
        .trim_start()
        .starts_with(['=', '+', '-', '@', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'])
        // An escaped tab or carriage return starts a formula once somebody unescapes it.
        || shown.starts_with("\\t")
        || shown.starts_with("\\r");
    let is_quoted = is_formula || shown.contains([',', '"', ';']) || shown.trim() != shown;
    if !is_quoted {
        return shown.into_owned();
    }
    let mut field = String::with_capacity(shown.len() + 4);
    field.push('"');
    if is_formula {
        field.push('\'');
    }
    for c in shown.chars() {
        if c == '"' {
            field.push('"');
        }
        field.push(c);
    }
    field.push('"');
    field
}

impl Display for Untrusted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = 0_usize;
        let mut consumed = 0_usize;
        for chunk in self.bytes.utf8_chunks() {
            for c in chunk.valid().chars() {
                if shown == self.chars_max {
                    return self.cut(f, consumed);
                }
                write_char(f, c)?;
                shown += 1;
                consumed += c.len_utf8();
            }
            for byte in chunk.invalid() {
                if shown == self.chars_max {
                    return self.cut(f, consumed);
                }
                write!(f, "\\x{byte:02x}")?;
                shown += 1;
                consumed += 1;
            }
        }
        Ok(())
    }
}

impl Untrusted<'_> {
    fn cut(&self, f: &mut fmt::Formatter<'_>, consumed: usize) -> fmt::Result {
        write!(f, "…(+{} bytes)", self.bytes.len().saturating_sub(consumed))
    }
}

fn write_char(f: &mut fmt::Formatter<'_>, c: char) -> fmt::Result {
    match c {
        '\n' => f.write_str("\\n"),
        '\r' => f.write_str("\\r"),
        '\t' => f.write_str("\\t"),
        '\\' => f.write_str("\\\\"),
        c if !must_escape(c) => f.write_char(c),
        c if c.is_ascii() => write!(f, "\\x{:02x}", u32::from(c)),
        c => write!(f, "\\u{{{:x}}}", u32::from(c)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(input: &[u8], expect: &str) {
        assert_eq!(untrusted(input).to_string(), expect);
    }

    #[test]
    fn terminal_tricks_become_visible() {
        check(b"\x1b]0;owned\x07", "\\x1b]0;owned\\x07");
        check("user\u{202e}toor".as_bytes(), "user\\u{202e}toor");
        check("ro\u{200b}ot".as_bytes(), "ro\\u{200b}ot");
        check("\u{9b}31m".as_bytes(), "\\u{9b}31m");
        check(b"a\r\nb\tc\0\x7f", "a\\r\\nb\\tc\\x00\\x7f");
        check(b"\xff\xfeok\xc3", "\\xff\\xfeok\\xc3");
    }

    #[test]
    fn ordinary_text_in_any_script_is_left_alone() {
        for text in ["admin", "pässwörd", "пароль", "密码", "كلمة", "🐝"] {
            assert!(matches!(escape(text), Cow::Borrowed(_)), "{text}");
        }
    }

    #[test]
    fn a_literal_escape_cannot_be_mistaken_for_ours() {
        check(b"\\x1b", "\\\\x1b");
    }

    #[test]
    fn a_cut_says_how_much_is_missing() {
        assert_eq!(untrusted_max("abcdef", 4).to_string(), "abcd…(+2 bytes)");
        assert_eq!(untrusted_max("abcd", 4).to_string(), "abcd");
        assert_eq!(untrusted_max("é\u{202e}é", 1).to_string(), "é…(+5 bytes)");
    }

    #[test]
    fn csv_formulas_are_neutralised() {
        for (input, expect) in [
            ("plain", "plain"),
            ("a,b", "\"a,b\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("=1+1", "\"'=1+1\""),
            ("  @SUM(A1)", "\"'  @SUM(A1)\""),
            ("-2", "\"'-2\""),
            ("\t=1", "\"'\\t=1\""),
            ("two\nlines", "two\\nlines"),
        ] {
            assert_eq!(csv_field(input), expect);
        }
    }

    fn is_dangerous(c: char) -> bool {
        // Written apart from `must_escape` on purpose: what a reviewer would name as dangerous.
        c.is_control()
            || ('\u{200b}'..='\u{200f}').contains(&c)
            || ('\u{202a}'..='\u{202e}').contains(&c)
            || ('\u{2066}'..='\u{2069}').contains(&c)
            || ['\u{2028}', '\u{2029}', '\u{61c}', '\u{feff}', '\u{2060}', '\u{ad}'].contains(&c)
    }

    fn hostile_char() -> impl Strategy<Value = char> {
        prop_oneof![
            any::<char>(),
            (0_u32..0xa0).prop_filter_map("scalar", char::from_u32),
            (0x2000_u32..0x2070).prop_filter_map("scalar", char::from_u32),
        ]
    }

    proptest! {
        #[test]
        fn no_bytes_get_a_dangerous_character_through(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
            prop_assert!(!untrusted(&bytes).to_string().chars().any(is_dangerous));
        }

        #[test]
        fn no_text_gets_a_dangerous_character_through(text in prop::collection::vec(hostile_char(), 0..256)) {
            let text: String = text.into_iter().collect();
            prop_assert!(!escape(&text).chars().any(is_dangerous));
            prop_assert!(!csv_field(&text).chars().any(is_dangerous));
        }

        #[test]
        fn output_length_is_bounded_by_the_cut(bytes in prop::collection::vec(any::<u8>(), 0..2048), max in 0_usize..64) {
            // The longest escape is ten characters: \u{10ffff}.
            let shown = untrusted_max(&bytes, max).to_string();
            prop_assert!(shown.chars().count() <= max * 10 + "…(+2048 bytes)".chars().count());
        }

        #[test]
        fn two_different_inputs_never_look_the_same(a in prop::collection::vec(any::<u8>(), 0..8), b in prop::collection::vec(any::<u8>(), 0..8)) {
            prop_assume!(a != b);
            prop_assert_ne!(untrusted(&a).to_string(), untrusted(&b).to_string());
        }
    }
}
