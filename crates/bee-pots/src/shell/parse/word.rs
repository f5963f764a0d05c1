//! Words: literals, quotes, parameters, substitutions. Text stays bytes; expansion happens in [`crate::shell`].

use super::{List, Parse, SyntaxError, parse_nested};
use std::sync::Arc;

/// A word before expansion.
pub(crate) type Word = Vec<Piece>;

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Piece {
    /// Unquoted text: split, globbed.
    Literal(Vec<u8>),
    /// Quoted or escaped text: taken as it is.
    Quoted(Vec<u8>),
    Param {
        name: String,
        operator: Operator,
        quoted: bool,
    },
    Command {
        list: Arc<List>,
        quoted: bool,
    },
    Arithmetic {
        word: Word,
        quoted: bool,
    },
}

/// What `${name..}` does to the value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Operator {
    None,
    Length,
    Indirect,
    Default { colon: bool, word: Word },
    Assign { colon: bool, word: Word },
    Error { colon: bool, word: Word },
    Alternative { colon: bool, word: Word },
    TrimStart { longest: bool, pattern: Word },
    TrimEnd { longest: bool, pattern: Word },
    Replace { all: bool, pattern: Word, with: Word },
    Substring { offset: Word, length: Option<Word> },
    Case { upper: bool, all: bool },
}

pub(crate) fn is_name(name: &[u8]) -> bool {
    !name.is_empty()
        && !name.first().is_some_and(u8::is_ascii_digit)
        && name.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_')
}

/// The text of a word that is one unquoted literal.
pub(super) fn plain(word: &Word) -> Option<String> {
    match word.as_slice() {
        [Piece::Literal(text)] => String::from_utf8(text.clone()).ok(),
        _ => None,
    }
}

/// Roughly the source text of a word: for messages and here-document delimiters.
pub(crate) fn source(word: &Word) -> String {
    let mut text = String::new();
    for piece in word {
        match piece {
            Piece::Literal(bytes) | Piece::Quoted(bytes) => text.push_str(&String::from_utf8_lossy(bytes)),
            Piece::Param { name, .. } => {
                text.push('$');
                text.push_str(name);
            }
            Piece::Command { .. } => text.push_str("$(...)"),
            Piece::Arithmetic { .. } => text.push_str("$((...))"),
        }
    }
    text
}

/// The piece as it is within double quotes.
pub(super) fn quote(piece: Piece) -> Piece {
    match piece {
        Piece::Literal(text) => Piece::Quoted(text),
        Piece::Param { name, operator, .. } => Piece::Param { name, operator, quoted: true },
        Piece::Command { list, .. } => Piece::Command { list, quoted: true },
        Piece::Arithmetic { word, .. } => Piece::Arithmetic { word, quoted: true },
        quoted @ Piece::Quoted(_) => quoted,
    }
}

/// `name=value` or `name+=value` (the flag) at the start of a command.
pub(super) fn assignment(word: &Word) -> Option<(String, bool, Word)> {
    let Some(Piece::Literal(first)) = word.first() else { return None };
    let at = first.iter().position(|b| *b == b'=')?;
    let (name, rest) = first.split_at(at);
    let append = name.last() == Some(&b'+');
    let name = if append { name.split_last()?.1 } else { name };
    if !is_name(name) {
        return None;
    }
    let mut value = Vec::new();
    let rest = rest.get(1..).unwrap_or_default();
    if !rest.is_empty() {
        value.push(Piece::Literal(rest.to_vec()));
    }
    value.extend(word.iter().skip(1).cloned());
    Some((String::from_utf8_lossy(name).into_owned(), append, value))
}

/// Reads one word at the start of `text`; also returns how many bytes it took.
pub(super) fn read(text: &[u8], depth: u32) -> Parse<(Word, usize)> {
    let mut reader = Reader { text, at: 0, depth };
    let word = reader.word(Until::Blank)?;
    Ok((word, reader.at))
}

/// A here-document's body: parameters and substitutions, no quotes.
pub(super) fn here_document(text: &[u8], depth: u32) -> Parse<Word> {
    Reader { text, at: 0, depth }.word(Until::End)
}

#[derive(Clone, Copy, PartialEq)]
enum Until {
    /// A blank or an operator.
    Blank,
    /// The closing double quote.
    Quote,
    /// The closing brace of `${`, or a slash in its pattern.
    Brace { slash: bool },
    /// The end of the text.
    End,
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    depth: u32,
}

impl Reader<'_> {
    fn peek(&self, ahead: usize) -> Option<u8> {
        self.text.get(self.at + ahead).copied()
    }

    fn deeper(&self) -> Parse<u32> {
        if self.depth >= super::DEPTH_MAX { Err(SyntaxError::TooComplex) } else { Ok(self.depth + 1) }
    }

    fn word(&mut self, until: Until) -> Parse<Word> {
        let mut word = Word::new();
        let in_quotes = matches!(until, Until::Quote | Until::End);
        while let Some(byte) = self.peek(0) {
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' | b';' | b'&' | b'|' | b'(' | b')' | b'<' | b'>'
                    if until == Until::Blank =>
                {
                    return Ok(word);
                }
                b'"' if until == Until::Quote => return Ok(word),
                b'}' if matches!(until, Until::Brace { .. }) => return Ok(word),
                b'/' if until == (Until::Brace { slash: true }) => return Ok(word),
                b'\\' => {
                    self.at += 1;
                    match self.peek(0) {
                        Some(b'\n') => self.at += 1,
                        None if until == Until::Blank => push(&mut word, true, b'\\'),
                        None => push(&mut word, in_quotes, b'\\'),
                        Some(next) => {
                            self.at += 1;
                            if in_quotes && !matches!(next, b'$' | b'`' | b'"' | b'\\') {
                                push(&mut word, true, b'\\');
                            }
                            push(&mut word, true, next);
                        }
                    }
                }
                b'\'' if !in_quotes => {
                    let rest = self.text.get(self.at + 1..).unwrap_or_default();
                    let end = rest.iter().position(|b| *b == b'\'').ok_or(SyntaxError::Incomplete)?;
                    word.push(Piece::Quoted(rest.get(..end).unwrap_or_default().to_vec()));
                    self.at += end + 2;
                }
                b'"' if until != Until::End => {
                    self.at += 1;
                    let depth = self.deeper()?;
                    let outer = std::mem::replace(&mut self.depth, depth);
                    let inside = self.word(Until::Quote)?;
                    self.depth = outer;
                    self.at += 1;
                    word.push(Piece::Quoted(Vec::new()));
                    word.extend(inside);
                }
                b'`' => word.push(self.backticks(in_quotes)?),
                b'$' => self.dollar(in_quotes, &mut word)?,
                other => {
                    self.at += 1;
                    push(&mut word, in_quotes, other);
                }
            }
        }
        if matches!(until, Until::Blank | Until::End) { Ok(word) } else { Err(SyntaxError::Incomplete) }
    }

    fn backticks(&mut self, quoted: bool) -> Parse<Piece> {
        self.at += 1;
        let mut inside = Vec::new();
        loop {
            match self.peek(0) {
                None => return Err(SyntaxError::Incomplete),
                Some(b'`') => break,
                Some(b'\\') if matches!(self.peek(1), Some(b'`' | b'\\' | b'$')) => {
                    inside.extend(self.peek(1));
                    self.at += 2;
                }
                Some(byte) => {
                    inside.push(byte);
                    self.at += 1;
                }
            }
        }
        self.at += 1;
        let list = parse_nested(&inside, self.deeper()?)?;
        Ok(Piece::Command { list, quoted })
    }

    fn dollar(&mut self, quoted: bool, word: &mut Word) -> Parse<()> {
        self.at += 1;
        match self.peek(0) {
            Some(b'(') if self.peek(1) == Some(b'(') => {
                if let Some(inside) = self.arithmetic() {
                    let depth = self.deeper()?;
                    let inside = Reader { text: &inside, at: 0, depth }.word(Until::End)?;
                    word.push(Piece::Arithmetic { word: inside, quoted });
                    return Ok(());
                }
                word.push(self.command(quoted)?);
            }
            Some(b'(') => word.push(self.command(quoted)?),
            Some(b'{') => word.push(self.braces(quoted)?),
            Some(b'\'') if !quoted => {
                self.at += 1;
                let mut text = Vec::new();
                loop {
                    match self.peek(0) {
                        None => return Err(SyntaxError::Incomplete),
                        Some(b'\'') => break,
                        Some(b'\\') => {
                            text.push(b'\\');
                            text.extend(self.peek(1));
                            self.at += 2;
                        }
                        Some(byte) => {
                            text.push(byte);
                            self.at += 1;
                        }
                    }
                }
                self.at += 1;
                word.push(Piece::Quoted(crate::shell::expand::unescape(&text).0));
            }
            Some(b'"') if !quoted => {}
            Some(byte) if byte.is_ascii_alphabetic() || byte == b'_' => {
                let rest = self.text.get(self.at..).unwrap_or_default();
                let len = rest.iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count();
                let name = String::from_utf8_lossy(rest.get(..len).unwrap_or_default()).into_owned();
                self.at += len;
                word.push(Piece::Param { name, operator: Operator::None, quoted });
            }
            Some(byte) if byte.is_ascii_digit() || b"?$!#@*-".contains(&byte) => {
                self.at += 1;
                word.push(Piece::Param {
                    name: char::from(byte).to_string(),
                    operator: Operator::None,
                    quoted,
                });
            }
            _ => push(word, quoted, b'$'),
        }
        Ok(())
    }

    /// `((..))` after a dollar, if it is closed by `))`.
    fn arithmetic(&mut self) -> Option<Vec<u8>> {
        let rest = self.text.get(self.at + 2..)?;
        let mut depth = 0_u32;
        for (n, byte) in rest.iter().enumerate() {
            match byte {
                b'(' => depth += 1,
                b')' if depth > 0 => depth -= 1,
                b')' if rest.get(n + 1) == Some(&b')') => {
                    self.at += n + 4;
                    return rest.get(..n).map(<[u8]>::to_vec);
                }
                b')' => return None,
                _ => {}
            }
        }
        None
    }

    fn command(&mut self, quoted: bool) -> Parse<Piece> {
        self.at += 1;
        let rest = self.text.get(self.at..).unwrap_or_default();
        let end = closing(rest, self.depth).ok_or(SyntaxError::Incomplete)?;
        let list = match parse_nested(rest.get(..end).unwrap_or_default(), self.deeper()?) {
            Err(SyntaxError::Incomplete) => return Err(SyntaxError::Unexpected(")".into())),
            list => list?,
        };
        self.at += end + 1;
        Ok(Piece::Command { list, quoted })
    }

    fn braces(&mut self, quoted: bool) -> Parse<Piece> {
        let outer = self.depth;
        self.depth = self.deeper()?;
        self.at += 1;
        let mut length = false;
        let mut indirect = false;
        if self.peek(0) == Some(b'#') && self.peek(1) != Some(b'}') {
            length = true;
            self.at += 1;
        } else if self.peek(0) == Some(b'!') {
            indirect = true;
            self.at += 1;
        }
        let rest = self.text.get(self.at..).unwrap_or_default();
        let mut len = rest.iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count();
        if len == 0 && rest.first().is_some_and(|b| b"?$!#@*-".contains(b)) {
            len = 1;
        }
        let name = String::from_utf8_lossy(rest.get(..len).unwrap_or_default()).into_owned();
        self.at += len;
        let operator = self.operator()?;
        self.depth = outer;
        if self.peek(0) != Some(b'}') {
            return if self.at >= self.text.len() {
                Err(SyntaxError::Incomplete)
            } else {
                Err(SyntaxError::Unexpected("}".into()))
            };
        }
        self.at += 1;
        let operator = match operator {
            Operator::None if length => Operator::Length,
            Operator::None if indirect => Operator::Indirect,
            operator => operator,
        };
        Ok(Piece::Param { name, operator, quoted })
    }

    fn operator(&mut self) -> Parse<Operator> {
        let Some(first) = self.peek(0) else { return Err(SyntaxError::Incomplete) };
        let second = self.peek(1);
        let doubled = second == Some(first);
        let colon = first == b':' && matches!(second, Some(b'-' | b'=' | b'?' | b'+'));
        let sign = if colon { second.unwrap_or(first) } else { first };
        if first != b'}' {
            self.at += if colon || (doubled && b"#%/^,".contains(&first)) { 2 } else { 1 };
        }
        Ok(match sign {
            b'}' => Operator::None,
            b'-' => Operator::Default { colon, word: self.operand()? },
            b'=' => Operator::Assign { colon, word: self.operand()? },
            b'?' => Operator::Error { colon, word: self.operand()? },
            b'+' => Operator::Alternative { colon, word: self.operand()? },
            b'#' => Operator::TrimStart { longest: doubled, pattern: self.operand()? },
            b'%' => Operator::TrimEnd { longest: doubled, pattern: self.operand()? },
            b'/' => {
                let pattern = self.word(Until::Brace { slash: true })?;
                let mut with = Word::new();
                if self.peek(0) == Some(b'/') {
                    self.at += 1;
                    with = self.operand()?;
                }
                Operator::Replace { all: doubled, pattern, with }
            }
            b'^' | b',' => {
                self.operand()?;
                Operator::Case { upper: sign == b'^', all: doubled }
            }
            b':' => {
                let mut text = self.operand()?;
                let mut length = None;
                if let Some(Piece::Literal(bytes)) = text.first_mut()
                    && let Some(at) = bytes.iter().position(|b| *b == b':')
                {
                    length = Some(vec![Piece::Literal(bytes.split_off(at).split_off(1))]);
                }
                Operator::Substring { offset: text, length }
            }
            _ => {
                self.operand()?;
                Operator::None
            }
        })
    }

    fn operand(&mut self) -> Parse<Word> {
        self.word(Until::Brace { slash: false })
    }
}

fn push(word: &mut Word, quoted: bool, byte: u8) {
    match word.last_mut() {
        Some(Piece::Quoted(text)) if quoted => text.push(byte),
        Some(Piece::Literal(text)) if !quoted => text.push(byte),
        _ if quoted => word.push(Piece::Quoted(vec![byte])),
        _ => word.push(Piece::Literal(vec![byte])),
    }
}

/// Where the parenthesis that is already open closes, minding quotes and nested parentheses.
fn closing(text: &[u8], depth: u32) -> Option<usize> {
    if depth > super::DEPTH_MAX {
        return None;
    }
    let (mut open, mut at, mut quoted) = (0_u32, 0, false);
    while let Some(byte) = text.get(at) {
        match byte {
            b'\\' => at += 1,
            b'"' => quoted = !quoted,
            b'\'' if !quoted => at += 1 + text.get(at + 1..)?.iter().position(|b| *b == b'\'')?,
            b'(' if !quoted => open += 1,
            b'(' if at > 0 && text.get(at - 1) == Some(&b'$') => {
                at += 1 + closing(text.get(at + 1..)?, depth + 1)?;
            }
            b')' if open > 0 && !quoted => open -= 1,
            b')' if !quoted => return Some(at),
            _ => {}
        }
        at += 1;
    }
    None
}
