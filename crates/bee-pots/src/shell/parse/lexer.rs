//! Bytes to tokens. Words keep their quoting (see [`super::word`]); here-documents are read when their line ends.

use super::word::{self, Piece, Word};
use super::{Parse, SyntaxError};

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Word(Word),
    Op(&'static str),
    Redirect(Option<u32>, &'static str),
    Newline,
    End,
}

impl Token {
    /// The text of a word that is one unquoted literal.
    pub(super) fn plain(&self) -> Option<String> {
        if let Token::Word(word) = self { word::plain(word) } else { None }
    }

    /// The same, for comparing with reserved words.
    pub(super) fn reserved(&self) -> Option<String> {
        self.plain().filter(|w| w.len() <= 5)
    }

    pub(super) fn unexpected(&self) -> SyntaxError {
        match self {
            Token::End => SyntaxError::Incomplete,
            Token::Newline => SyntaxError::Unexpected("newline".into()),
            Token::Op(op) | Token::Redirect(_, op) => SyntaxError::Unexpected((*op).into()),
            Token::Word(word) => SyntaxError::Unexpected(word::source(word)),
        }
    }
}

pub(super) struct Lexer {
    text: Vec<u8>,
    at: usize,
    depth: u32,
    peeked: Option<Token>,
    here_documents: usize,
}

/// Here-documents in one script; each one moves the text behind it.
const HERE_DOCUMENTS_MAX: usize = 64;
const OPERATORS: [&str; 9] = ["&&", "||", "|&", ";;", ";", "&", "|", "(", ")"];
const REDIRECTS: [&str; 12] = ["<<<", "<<-", "&>>", "<<", ">>", "&>", ">&", "<&", ">|", "<>", "<", ">"];

impl Lexer {
    pub(super) fn new(text: &[u8], depth: u32) -> Lexer {
        Lexer { text: text.to_vec(), at: 0, depth, peeked: None, here_documents: 0 }
    }

    pub(super) fn peek(&mut self) -> Parse<Token> {
        if self.peeked.is_none() {
            self.peeked = Some(self.read()?);
        }
        Ok(self.peeked.clone().unwrap_or(Token::End))
    }

    pub(super) fn next(&mut self) -> Parse<Token> {
        match self.peeked.take() {
            Some(token) => Ok(token),
            None => self.read(),
        }
    }

    fn rest(&self) -> &[u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn read(&mut self) -> Parse<Token> {
        loop {
            match self.rest() {
                [] => return Ok(Token::End),
                [b' ' | b'\t' | b'\r', ..] => self.at += 1,
                [b'\\', b'\n', ..] => self.at += 2,
                [b'#', ..] => {
                    let line = self.rest().iter().position(|b| *b == b'\n');
                    self.at += line.unwrap_or(self.rest().len());
                }
                [b'\n', ..] => {
                    self.at += 1;
                    return Ok(Token::Newline);
                }
                rest => {
                    let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
                    if digits < 4 && matches!(rest.get(digits), Some(b'<' | b'>')) {
                        let fd = rest.get(..digits).and_then(|d| std::str::from_utf8(d).ok()?.parse().ok());
                        if let Some(op) = starts(rest.get(digits..).unwrap_or_default(), &REDIRECTS) {
                            self.at += digits + op.len();
                            return Ok(Token::Redirect(fd, op));
                        }
                    }
                    if let Some(op @ ("&>" | "&>>")) = starts(rest, &REDIRECTS) {
                        self.at += op.len();
                        return Ok(Token::Redirect(None, op));
                    }
                    if let Some(op) = starts(rest, &OPERATORS) {
                        self.at += op.len();
                        return Ok(Token::Op(op));
                    }
                    let (word, used) = word::read(rest, self.depth)?;
                    self.at += used.max(1);
                    return Ok(Token::Word(word));
                }
            }
        }
    }

    /// After `(`: the inside of `((..))`, if that is what follows.
    pub(super) fn arithmetic(&mut self) -> Option<Vec<u8>> {
        if self.peeked.is_some() || self.rest().first() != Some(&b'(') {
            return None;
        }
        let end = self.rest().windows(2).position(|w| w == b"))")?;
        let inside = self.rest().get(1..end)?.to_vec();
        self.at += end + 2;
        Some(inside)
    }

    /// Reads the delimiter after `<<` and cuts the body out of the following lines.
    pub(super) fn here_document(&mut self, strip_tabs: bool) -> Parse<Word> {
        self.here_documents += 1;
        if self.here_documents > HERE_DOCUMENTS_MAX {
            return Err(SyntaxError::TooComplex);
        }
        let Token::Word(delimiter) = self.next()? else {
            return Err(SyntaxError::Unexpected("newline".into()));
        };
        let quoted = delimiter.iter().any(|p| matches!(p, Piece::Quoted(_)));
        let end = word::source(&delimiter).into_bytes();
        let line_end = self.rest().iter().position(|b| *b == b'\n').ok_or(SyntaxError::Incomplete)?;
        let mut at = self.at + line_end + 1;
        let mut body = Vec::new();
        loop {
            let rest = self.text.get(at..).unwrap_or_default();
            if rest.is_empty() {
                return Err(SyntaxError::Incomplete);
            }
            let len = rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
            let mut line = rest.get(..len).unwrap_or_default();
            at += len + 1;
            if strip_tabs {
                line = line.trim_ascii_start();
            }
            if line.strip_suffix(b"\r").unwrap_or(line) == end.as_slice() {
                break;
            }
            body.extend_from_slice(line);
            body.push(b'\n');
        }
        // Cut the body out: what follows on the line and the lines after it are read as if it had never been there.
        self.text.drain(self.at + line_end + 1..at.min(self.text.len()));
        here_word(&body, quoted, self.depth)
    }
}

fn here_word(body: &[u8], quoted: bool, depth: u32) -> Parse<Word> {
    if quoted { Ok(vec![Piece::Quoted(body.to_vec())]) } else { word::here_document(body, depth) }
}

fn starts(rest: &[u8], set: &[&'static str]) -> Option<&'static str> {
    set.iter().copied().find(|op| rest.starts_with(op.as_bytes()))
}
