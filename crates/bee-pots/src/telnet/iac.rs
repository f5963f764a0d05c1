//! Takes the Telnet protocol (RFC 854, 855) out of a byte stream: data on one side, options on the other.
//!
//! Pure, bounded, accepts any bytes (fuzz target `telnet`). Nothing in a trap waits for an option: what a client sends is
//! recorded and, where it matters (window size), used.

use crate::limits::TELNET_SUB_MAX;

const SE: u8 = 240;
const SB: u8 = 250;
const WILL: u8 = 251;
const DONT: u8 = 254;
const IAC: u8 = 255;

/// Window size, RFC 1073.
pub const NAWS: u8 = 31;

/// One thing a client sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// Bytes of the terminal. A line end is one `\r`, however it was sent.
    Data(Vec<u8>),
    /// An option wanted or refused: WILL, WONT, DO or DONT and the option.
    Option(u8, u8),
    /// A subnegotiation: the option and its bytes, at most [`TELNET_SUB_MAX`] of them.
    Sub(u8, Vec<u8>),
    /// Another command, such as IP (244) for ^C or AYT (246).
    Command(u8),
}

/// The decoder's state between reads.
#[derive(Debug, Default)]
pub struct Decoder {
    state: State,
    sub: Vec<u8>,
    after_cr: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Data,
    Iac,
    Verb(u8),
    Sub,
    SubIac,
}

impl Decoder {
    /// Decodes what was read and hands each item to `sink`; consecutive data bytes come as one item.
    pub fn decode(&mut self, input: &[u8], mut sink: impl FnMut(Item)) {
        let mut data = Vec::new();
        for &byte in input {
            let mut item = None;
            self.state = match (self.state, byte) {
                (State::Data, IAC) => State::Iac,
                (State::Data, byte) => {
                    self.data(byte, &mut data);
                    State::Data
                }
                (State::Iac, IAC) => {
                    self.data(IAC, &mut data);
                    State::Data
                }
                (State::Iac, SB) => {
                    self.sub.clear();
                    State::Sub
                }
                (State::Iac, verb @ WILL..=DONT) => State::Verb(verb),
                (State::Iac, command) => {
                    item = Some(Item::Command(command));
                    State::Data
                }
                (State::Verb(verb), option) => {
                    item = Some(Item::Option(verb, option));
                    State::Data
                }
                (State::Sub, IAC) => State::SubIac,
                (State::Sub, byte) => {
                    self.sub_byte(byte);
                    State::Sub
                }
                (State::SubIac, SE) => {
                    item = self.sub.split_first().map(|(option, bytes)| Item::Sub(*option, bytes.to_vec()));
                    State::Data
                }
                (State::SubIac, IAC) => {
                    self.sub_byte(IAC);
                    State::Sub
                }
                // A command inside a subnegotiation: the peer forgot SE. Go on with the subnegotiation.
                (State::SubIac, _) => State::Sub,
            };
            if let Some(item) = item {
                if !data.is_empty() {
                    sink(Item::Data(std::mem::take(&mut data)));
                }
                sink(item);
            }
        }
        if !data.is_empty() {
            sink(Item::Data(data));
        }
    }

    fn data(&mut self, byte: u8, data: &mut Vec<u8>) {
        // CR LF and CR NUL are one line end each, and so is a bare LF; they may arrive in different reads.
        let was_cr = std::mem::replace(&mut self.after_cr, byte == b'\r');
        match byte {
            b'\n' | 0 if was_cr => {}
            b'\n' => data.push(b'\r'),
            byte => data.push(byte),
        }
    }

    fn sub_byte(&mut self, byte: u8) {
        if self.sub.len() <= TELNET_SUB_MAX {
            self.sub.push(byte);
        }
    }
}

/// The name of WILL, WONT, DO or DONT.
#[must_use]
pub fn verb_name(verb: u8) -> &'static str {
    match verb {
        251 => "WILL",
        252 => "WONT",
        253 => "DO",
        254 => "DONT",
        _ => "UNKNOWN",
    }
}

/// The name of an option (IANA telnet-options), or `UNKNOWN`.
#[must_use]
pub fn option_name(option: u8) -> &'static str {
    match option {
        0 => "BINARY",
        1 => "ECHO",
        3 => "SGA",
        5 => "STATUS",
        6 => "TIMING-MARK",
        24 => "TTYPE",
        NAWS => "NAWS",
        32 => "TSPEED",
        33 => "LFLOW",
        34 => "LINEMODE",
        35 => "XDISPLOC",
        36 => "OLD-ENVIRON",
        37 => "AUTHENTICATION",
        38 => "ENCRYPT",
        39 => "NEW-ENVIRON",
        _ => "UNKNOWN",
    }
}

/// Width and height of a NAWS subnegotiation.
#[must_use]
pub fn window_size(sub: &[u8]) -> Option<(u16, u16)> {
    match sub {
        [a, b, c, d] => Some((u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d]))),
        _ => None,
    }
}

/// Terminal bytes for the wire: IAC doubled, bare line ends made CR LF.
#[must_use]
pub fn encode(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 8);
    let mut before = 0;
    for &byte in text {
        match byte {
            IAC => out.extend([IAC, IAC]),
            b'\n' if before != b'\r' => out.extend(b"\r\n"),
            byte => out.push(byte),
        }
        before = byte;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(parts: &[&[u8]]) -> Vec<Item> {
        let (mut decoder, mut items) = (Decoder::default(), Vec::new());
        for part in parts {
            decoder.decode(part, |item| items.push(item));
        }
        items
    }

    #[test]
    fn options_and_data_are_told_apart_in_order() {
        let items = decode(&[b"ab\xff\xfb\x1fcd\xff\xf4"]);
        assert_eq!(
            items,
            [
                Item::Data(b"ab".to_vec()),
                Item::Option(251, NAWS),
                Item::Data(b"cd".to_vec()),
                Item::Command(244)
            ]
        );
    }

    #[test]
    fn a_sequence_may_be_split_anywhere() {
        let whole = b"x\xff\xfa\x1f\x00\x50\x00\x18\xff\xf0y\xff\xffz";
        for at in 0..whole.len() {
            let items = decode(&[&whole[..at], &whole[at..]]);
            let data: Vec<u8> = items
                .iter()
                .filter_map(|i| if let Item::Data(d) = i { Some(d.clone()) } else { None })
                .flatten()
                .collect();
            assert_eq!(data, b"xy\xffz", "split at {at}");
            assert!(items.contains(&Item::Sub(NAWS, vec![0, 80, 0, 24])), "split at {at}");
        }
        assert_eq!(window_size(&[0, 80, 0, 24]), Some((80, 24)));
    }

    #[test]
    fn every_line_end_is_one() {
        assert_eq!(
            decode(&[b"a\r\nb\r\0c\rd\ne\r", b"\nf"]),
            [Item::Data(b"a\rb\rc\rd\re\r".to_vec()), Item::Data(b"f".to_vec())]
        );
    }

    #[test]
    fn an_endless_subnegotiation_does_not_grow() {
        let (mut decoder, mut items) = (Decoder::default(), 0);
        decoder.decode(b"\xff\xfa", |_| items += 1);
        for _ in 0..1000 {
            decoder.decode(&[b'x'; 1000], |_| items += 1);
        }
        assert_eq!((items, decoder.sub.len()), (0, TELNET_SUB_MAX + 1));
    }

    #[test]
    fn output_is_escaped() {
        assert_eq!(encode(b"a\nb\r\nc\xff"), b"a\r\nb\r\nc\xff\xff");
    }
}
