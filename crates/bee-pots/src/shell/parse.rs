//! Text to syntax tree: the POSIX shell grammar with the usual bash extensions, bounded in length and nesting.

mod lexer;
mod word;

use super::limits::{DEPTH_MAX, LINE_BYTES_MAX};
use lexer::{Lexer, Token};
use std::sync::Arc;
pub(crate) use word::{Operator, Piece, Word};

/// Commands one after the other.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct List(pub(crate) Vec<Item>);

/// Pipelines joined by `&&` and `||`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Item {
    pub(crate) first: Pipeline,
    pub(crate) rest: Vec<(bool, Pipeline)>,
    pub(crate) background: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pipeline {
    pub(crate) negated: bool,
    pub(crate) commands: Vec<Command>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Command {
    pub(crate) kind: Kind,
    pub(crate) redirects: Vec<Redirect>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    Simple { assigns: Vec<(String, bool, Word)>, words: Vec<Word> },
    Group(Arc<List>),
    Subshell(Arc<List>),
    For { name: String, words: Option<Vec<Word>>, body: Arc<List> },
    While { condition: Arc<List>, body: Arc<List>, until: bool },
    If { arms: Vec<(Arc<List>, Arc<List>)>, otherwise: Option<Arc<List>> },
    Case { word: Word, arms: Vec<(Vec<Word>, Arc<List>)> },
    Function { name: String, body: Arc<Command> },
    Arithmetic(Vec<u8>),
}

/// `fd op target`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Redirect {
    pub(crate) fd: Option<u32>,
    pub(crate) kind: RedirectKind,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum RedirectKind {
    Read(Word),
    Write(Word),
    Append(Word),
    /// `&>` and `&>>`: standard output and error.
    Both {
        word: Word,
        append: bool,
    },
    /// `>&n`, `<&n`.
    Duplicate(Word),
    /// Here-document or here-string.
    Here(Word),
}

/// Why text is no program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SyntaxError {
    /// More lines may complete it.
    Incomplete,
    /// This token may not stand where it does.
    Unexpected(String),
    /// Longer or deeper than the limits.
    TooComplex,
}

type Parse<T> = Result<T, SyntaxError>;

/// Parses a whole script.
pub(crate) fn parse(text: &[u8]) -> Parse<Arc<List>> {
    parse_nested(text, 0)
}

/// Whether more lines could complete the text.
pub(crate) fn is_incomplete(text: &[u8]) -> bool {
    parse(text) == Err(SyntaxError::Incomplete)
}

fn parse_nested(text: &[u8], depth: u32) -> Parse<Arc<List>> {
    if text.len() > LINE_BYTES_MAX || depth > DEPTH_MAX {
        return Err(SyntaxError::TooComplex);
    }
    let mut parser = Parser { lexer: Lexer::new(text, depth), depth };
    let list = parser.list(&[])?;
    match parser.lexer.next()? {
        Token::End => Ok(Arc::new(list)),
        token => Err(token.unexpected()),
    }
}

struct Parser {
    lexer: Lexer,
    depth: u32,
}

const RESERVED: [&str; 14] =
    ["then", "do", "done", "fi", "else", "elif", "esac", "}", "if", "for", "while", "until", "case", "{"];

impl Parser {
    /// Commands up to one of `ends` (reserved words), a closing token or the end.
    fn list(&mut self, ends: &[&str]) -> Parse<List> {
        self.depth += 1;
        if self.depth > DEPTH_MAX * 2 {
            return Err(SyntaxError::TooComplex);
        }
        let mut items = Vec::new();
        loop {
            while self.lexer.peek()? == Token::Newline {
                self.lexer.next()?;
            }
            match self.lexer.peek()? {
                Token::End | Token::Op(")" | ";;") => break,
                token => {
                    if let Some(word) = token.reserved()
                        && ends.contains(&word.as_str())
                    {
                        break;
                    }
                }
            }
            let mut item = self.item()?;
            match self.lexer.peek()? {
                Token::Op(";") | Token::Newline => {
                    self.lexer.next()?;
                }
                Token::Op("&") => {
                    item.background = true;
                    self.lexer.next()?;
                }
                Token::End | Token::Op(")" | ";;") => {}
                token => return Err(token.unexpected()),
            }
            items.push(item);
        }
        self.depth -= 1;
        Ok(List(items))
    }

    fn item(&mut self) -> Parse<Item> {
        let first = self.pipeline()?;
        let mut rest = Vec::new();
        loop {
            let and = match self.lexer.peek()? {
                Token::Op("&&") => true,
                Token::Op("||") => false,
                _ => return Ok(Item { first, rest, background: false }),
            };
            self.lexer.next()?;
            self.newlines()?;
            rest.push((and, self.pipeline()?));
        }
    }

    fn pipeline(&mut self) -> Parse<Pipeline> {
        let mut negated = false;
        while self.lexer.peek()?.reserved().as_deref() == Some("!") {
            self.lexer.next()?;
            negated = !negated;
        }
        let mut commands = vec![self.command()?];
        loop {
            let both = match self.lexer.peek()? {
                Token::Op("|") => false,
                Token::Op("|&") => true,
                _ => return Ok(Pipeline { negated, commands }),
            };
            self.lexer.next()?;
            if both && let Some(last) = commands.last_mut() {
                let one = vec![Piece::Literal(b"1".to_vec())];
                last.redirects.push(Redirect { fd: Some(2), kind: RedirectKind::Duplicate(one) });
            }
            self.newlines()?;
            commands.push(self.command()?);
        }
    }

    fn newlines(&mut self) -> Parse<()> {
        while self.lexer.peek()? == Token::Newline {
            self.lexer.next()?;
        }
        if self.lexer.peek()? == Token::End { Err(SyntaxError::Incomplete) } else { Ok(()) }
    }

    fn command(&mut self) -> Parse<Command> {
        let token = self.lexer.peek()?;
        let kind = match (&token, token.reserved().as_deref()) {
            (Token::Op("("), _) => {
                self.lexer.next()?;
                if let Some(text) = self.lexer.arithmetic() {
                    Kind::Arithmetic(text)
                } else {
                    let list = self.list(&[])?;
                    self.op(")")?;
                    Kind::Subshell(Arc::new(list))
                }
            }
            (_, Some("{")) => {
                self.lexer.next()?;
                Kind::Group(self.body("}")?)
            }
            (_, Some("if")) => self.if_clause()?,
            (_, Some(word @ ("while" | "until"))) => {
                let until = word == "until";
                self.lexer.next()?;
                let condition = self.body("do")?;
                Kind::While { condition, body: self.body("done")?, until }
            }
            (_, Some("for")) => self.for_clause()?,
            (_, Some("case")) => self.case_clause()?,
            (_, Some("[[")) => self.conditional()?,
            (_, Some(word)) if RESERVED.contains(&word) => return Err(token.unexpected()),
            _ => return self.simple(),
        };
        let mut redirects = Vec::new();
        while let Some(redirect) = self.redirect()? {
            redirects.push(redirect);
        }
        Ok(Command { kind, redirects })
    }

    /// A list that may not be empty, and the reserved word after it.
    fn body(&mut self, end: &'static str) -> Parse<Arc<List>> {
        self.arm(&[end]).and_then(|list| self.word(end).map(|()| list))
    }

    fn arm(&mut self, ends: &[&str]) -> Parse<Arc<List>> {
        let list = self.list(ends)?;
        match self.lexer.peek()? {
            Token::End => Err(SyntaxError::Incomplete),
            token if list.0.is_empty() => Err(token.unexpected()),
            _ => Ok(Arc::new(list)),
        }
    }

    fn if_clause(&mut self) -> Parse<Kind> {
        self.lexer.next()?;
        let mut arms = Vec::new();
        loop {
            let condition = self.body("then")?;
            arms.push((condition, self.arm(&["elif", "else", "fi"])?));
            match self.lexer.next()?.reserved().as_deref() {
                Some("elif") => {}
                Some("else") => return Ok(Kind::If { arms, otherwise: Some(self.body("fi")?) }),
                _ => return Ok(Kind::If { arms, otherwise: None }),
            }
        }
    }

    fn for_clause(&mut self) -> Parse<Kind> {
        self.lexer.next()?;
        let token = self.lexer.next()?;
        if token == Token::End {
            return Err(SyntaxError::Incomplete);
        }
        let name = token.plain().filter(|n| word::is_name(n.as_bytes())).ok_or_else(|| token.unexpected())?;
        let mut words = None;
        while self.lexer.peek()? == Token::Newline {
            self.lexer.next()?;
        }
        if self.lexer.peek()?.reserved().as_deref() == Some("in") {
            self.lexer.next()?;
            let list = words.insert(Vec::new());
            while let Token::Word(word) = self.lexer.peek()? {
                self.lexer.next()?;
                list.push(word);
            }
        }
        while matches!(self.lexer.peek()?, Token::Newline | Token::Op(";")) {
            self.lexer.next()?;
        }
        self.word("do")?;
        Ok(Kind::For { name, words, body: self.body("done")? })
    }

    fn case_clause(&mut self) -> Parse<Kind> {
        self.lexer.next()?;
        let token = self.lexer.next()?;
        let Token::Word(word) = token else { return Err(token.unexpected()) };
        while self.lexer.peek()? == Token::Newline {
            self.lexer.next()?;
        }
        self.word("in")?;
        let mut arms = Vec::new();
        loop {
            while self.lexer.peek()? == Token::Newline {
                self.lexer.next()?;
            }
            if self.lexer.peek()? == Token::Op("(") {
                self.lexer.next()?;
            }
            let mut patterns = Vec::new();
            loop {
                let token = self.lexer.next()?;
                if patterns.is_empty() && token.reserved().as_deref() == Some("esac") {
                    return Ok(Kind::Case { word, arms });
                }
                let Token::Word(pattern) = token else { return Err(token.unexpected()) };
                patterns.push(pattern);
                match self.lexer.next()? {
                    Token::Op("|") => {}
                    Token::Op(")") => break,
                    token => return Err(token.unexpected()),
                }
            }
            let body = self.list(&["esac"])?;
            arms.push((patterns, Arc::new(body)));
            match self.lexer.peek()? {
                Token::Op(";;") => {
                    self.lexer.next()?;
                }
                Token::End => return Err(SyntaxError::Incomplete),
                _ => {}
            }
        }
    }

    /// `[[ .. ]]`: operators inside are words, and nothing in it is split or globbed.
    fn conditional(&mut self) -> Parse<Kind> {
        let mut words = Vec::new();
        loop {
            let word = match self.lexer.next()? {
                Token::Word(word) => word,
                Token::Op(op @ ("&&" | "||" | "(" | ")")) | Token::Redirect(None, op @ ("<" | ">")) => {
                    vec![Piece::Quoted(op.into())]
                }
                Token::Newline => continue,
                token => return Err(token.unexpected()),
            };
            let done = word::plain(&word).as_deref() == Some("]]");
            words.push(word.into_iter().map(word::quote).collect());
            if done {
                return Ok(Kind::Simple { assigns: Vec::new(), words });
            }
        }
    }

    fn simple(&mut self) -> Parse<Command> {
        let (mut assigns, mut words, mut redirects) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            if let Some(redirect) = self.redirect()? {
                redirects.push(redirect);
                continue;
            }
            match self.lexer.peek()? {
                Token::Word(word) => {
                    self.lexer.next()?;
                    match word::assignment(&word) {
                        Some(assign) if words.is_empty() => assigns.push(assign),
                        _ => words.push(word),
                    }
                }
                Token::Op("(") if words.len() == 1 && assigns.is_empty() && redirects.is_empty() => {
                    self.lexer.next()?;
                    self.op(")")?;
                    let name = words
                        .first()
                        .and_then(word::plain)
                        .ok_or_else(|| SyntaxError::Unexpected("(".into()))?;
                    self.newlines()?;
                    self.depth += 1;
                    if self.depth > DEPTH_MAX * 2 {
                        return Err(SyntaxError::TooComplex);
                    }
                    let body = Arc::new(self.command()?);
                    self.depth -= 1;
                    return Ok(Command { kind: Kind::Function { name, body }, redirects });
                }
                token => {
                    if assigns.is_empty() && words.is_empty() && redirects.is_empty() {
                        return Err(token.unexpected());
                    }
                    return Ok(Command { kind: Kind::Simple { assigns, words }, redirects });
                }
            }
        }
    }

    fn redirect(&mut self) -> Parse<Option<Redirect>> {
        let Token::Redirect(fd, op) = self.lexer.peek()? else { return Ok(None) };
        self.lexer.next()?;
        if let "<<" | "<<-" = op {
            let here = self.lexer.here_document(op == "<<-")?;
            return Ok(Some(Redirect { fd, kind: RedirectKind::Here(here) }));
        }
        let token = self.lexer.next()?;
        let Token::Word(mut word) = token else { return Err(token.unexpected()) };
        let kind = match op {
            "<" | "<>" => RedirectKind::Read(word),
            ">>" => RedirectKind::Append(word),
            "&>" | "&>>" => RedirectKind::Both { word, append: op == "&>>" },
            ">&" | "<&" => RedirectKind::Duplicate(word),
            "<<<" => {
                word.push(Piece::Quoted(b"\n".to_vec()));
                RedirectKind::Here(word)
            }
            _ => RedirectKind::Write(word),
        };
        Ok(Some(Redirect { fd, kind }))
    }

    fn op(&mut self, op: &'static str) -> Parse<()> {
        match self.lexer.next()? {
            Token::Op(found) if found == op => Ok(()),
            token => Err(token.unexpected()),
        }
    }

    fn word(&mut self, word: &'static str) -> Parse<()> {
        let token = self.lexer.next()?;
        if token.reserved().as_deref() == Some(word) { Ok(()) } else { Err(token.unexpected()) }
    }
}
