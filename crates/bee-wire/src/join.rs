//! Join codes: everything a new node needs to find its Core, to know it is the right one, and to be let in.
//!
//! `hb1_` and base64url (RFC 4648 section 5, no padding) of: format (1 byte, 1), SHA-256 of the CA certificate (32 bytes),
//! length and bytes of the secret, number of addresses, length and bytes of each, and the first four bytes of the SHA-256
//! of all that, so that a code cut off in a terminal is told from a wrong one.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE64URL_NOPAD;
use sha2::{Digest, Sha256};
use zeroize::Zeroize;

use crate::limits;
use crate::secret::Secret;

const PREFIX: &str = "hb1_";
const FORMAT: u8 = 1;
const CHECK_BYTES: usize = 4;
const SECRET_BYTES_MIN: usize = 16;
const SECRET_BYTES_MAX: usize = 128;

/// What a join code says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinCode {
    /// Where Core listens for nodes, `host:port`, the best one first; 1 to [`limits::JOIN_ADDRESSES_MAX`].
    pub addresses: Vec<String>,
    /// SHA-256 of Core's CA certificate (DER).
    pub ca_sha256: [u8; 32],
    /// The one-time secret that a registration carries as `enrollment_token`; 16 to 128 bytes of text.
    pub secret: Secret,
}

/// Why a text is not a join code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JoinCodeError {
    /// It doesn't begin with `hb1_`.
    #[error("a join code begins with hb1_; copy the whole code that `honeybee invite` printed")]
    NotACode,
    /// Characters are missing or changed.
    #[error("the join code is damaged or cut off; copy it again")]
    Damaged,
    /// Made by a newer HoneyBee.
    #[error("the join code is of a newer format; update this program")]
    NewerFormat,
    /// Its parts cannot be put into a code.
    #[error("a join code takes 1 to 8 addresses of at most 255 bytes and a secret of 16 to 128 bytes")]
    Invalid,
}

impl JoinCode {
    /// The code as text, `hb1_..`.
    ///
    /// # Errors
    /// [`JoinCodeError::Invalid`] if there are no or too many addresses, or a part is too long.
    pub fn encode(&self) -> Result<Secret, JoinCodeError> {
        let secret = self.secret.expose().as_bytes();
        self.check()?;
        let mut bytes = vec![FORMAT];
        bytes.extend_from_slice(&self.ca_sha256);
        push_text(&mut bytes, secret)?;
        bytes.push(u8::try_from(self.addresses.len()).map_err(|_| JoinCodeError::Invalid)?);
        for address in &self.addresses {
            push_text(&mut bytes, address.as_bytes())?;
        }
        let code = Secret::new(seal(&bytes));
        bytes.zeroize();
        Ok(code)
    }

    fn check(&self) -> Result<(), JoinCodeError> {
        let secret_ok = (SECRET_BYTES_MIN..=SECRET_BYTES_MAX).contains(&self.secret.expose().len());
        let count_ok = (1..=limits::JOIN_ADDRESSES_MAX).contains(&self.addresses.len());
        let addresses_ok = self.addresses.iter().all(|address| is_address(address));
        if secret_ok && count_ok && addresses_ok { Ok(()) } else { Err(JoinCodeError::Invalid) }
    }
}

impl FromStr for JoinCode {
    type Err = JoinCodeError;

    /// Takes a code with white space around it or line breaks in it.
    fn from_str(text: &str) -> Result<Self, JoinCodeError> {
        if text.len() > limits::JOIN_CODE_BYTES_MAX * 2 {
            return Err(JoinCodeError::Damaged);
        }
        let text: String = text.split_ascii_whitespace().collect();
        let encoded = text.strip_prefix(PREFIX).ok_or(JoinCodeError::NotACode)?;
        let bytes = BASE64URL_NOPAD.decode(encoded.as_bytes()).map_err(|_| JoinCodeError::Damaged)?;
        let split = bytes.len().checked_sub(CHECK_BYTES).ok_or(JoinCodeError::Damaged)?;
        let (body, check) = bytes.split_at_checked(split).ok_or(JoinCodeError::Damaged)?;
        if !Sha256::digest(body).starts_with(check) {
            return Err(JoinCodeError::Damaged);
        }
        let mut reader = Reader(body);
        if reader.byte()? != FORMAT {
            return Err(JoinCodeError::NewerFormat);
        }
        let ca_sha256 = reader.take(32)?.try_into().map_err(|_| JoinCodeError::Damaged)?;
        let secret = Secret::new(reader.text()?);
        let addresses_count = reader.byte()?;
        let addresses =
            (0..addresses_count).map(|_| reader.text().map(str::to_owned)).collect::<Result<_, _>>()?;
        let code = Self { addresses, ca_sha256, secret };
        code.check()?;
        Ok(code)
    }
}

/// Puts any inside into the outside of a code: checksum, base64url, prefix. For the fuzzer and for tests of readers; a
/// real code comes from [`JoinCode::encode`].
#[doc(hidden)]
pub fn seal(body: &[u8]) -> String {
    let mut bytes = body.to_vec();
    bytes.extend(Sha256::digest(body).iter().take(CHECK_BYTES));
    let code = format!("{PREFIX}{}", BASE64URL_NOPAD.encode(&bytes));
    bytes.zeroize();
    code
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], JoinCodeError> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(JoinCodeError::Damaged)?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, JoinCodeError> {
        self.take(1)?.first().copied().ok_or(JoinCodeError::Damaged)
    }

    fn text(&mut self) -> Result<&'a str, JoinCodeError> {
        let length = self.byte()?;
        std::str::from_utf8(self.take(usize::from(length))?).map_err(|_| JoinCodeError::Damaged)
    }
}

fn push_text(bytes: &mut Vec<u8>, text: &[u8]) -> Result<(), JoinCodeError> {
    bytes.push(u8::try_from(text.len()).map_err(|_| JoinCodeError::Invalid)?);
    bytes.extend_from_slice(text);
    Ok(())
}

/// `host:port` in printable ASCII; whether the host exists is the connection's business.
fn is_address(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    !host.is_empty()
        && text.len() <= 255
        && text.bytes().all(|byte| byte.is_ascii_graphic())
        && port.parse::<u16>().is_ok_and(|port| port != 0)
}

impl fmt::Display for JoinCode {
    /// Where it leads, without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fingerprint = data_encoding::HEXUPPER.encode(&self.ca_sha256);
        write!(f, "{} (CA {fingerprint})", self.addresses.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> JoinCode {
        JoinCode {
            addresses: vec![
                "10.0.0.5:9001".into(),
                "[2001:db8::1]:9001".into(),
                "core.example.org:443".into(),
            ],
            ca_sha256: [0xA5; 32],
            secret: "abcdefghijklmnopqrstuvwxyz".into(),
        }
    }

    #[test]
    fn a_code_is_read_as_it_was_written_even_when_a_mail_program_wrapped_it() {
        let code = example().encode().unwrap();
        assert!(code.expose().starts_with("hb1_"));
        assert_eq!(code.expose().parse(), Ok(example()));
        let (first, second) = code.expose().split_at(40);
        assert_eq!(format!(" {first}\r\n  {second}\n").parse(), Ok(example()));
    }

    #[test]
    fn every_cut_and_every_changed_character_is_noticed() {
        let code = example().encode().unwrap();
        let code = code.expose();
        for end in 0..code.len() {
            assert!(code[..end].parse::<JoinCode>().is_err(), "cut at {end}");
            let other = if &code[end..=end] == "A" { "B" } else { "A" };
            let changed = format!("{}{other}{}", &code[..end], &code[end + 1..]);
            assert!(changed.parse::<JoinCode>().is_err(), "changed at {end}");
        }
    }

    #[test]
    fn a_newer_format_is_named() {
        assert_eq!(seal(&[2, 1, 2, 3]).parse::<JoinCode>(), Err(JoinCodeError::NewerFormat));
    }

    #[test]
    fn parts_that_do_not_fit_are_refused() {
        let refused = |change: fn(&mut JoinCode)| {
            let mut code = example();
            change(&mut code);
            assert_eq!(code.encode().err(), Some(JoinCodeError::Invalid), "{code}");
        };
        refused(|code| code.addresses.clear());
        refused(|code| code.addresses = vec!["h:1".into(); 9]);
        refused(|code| code.addresses = vec!["no-port".into()]);
        refused(|code| code.addresses = vec!["h:0".into()]);
        refused(|code| code.addresses = vec!["h h:1".into()]);
        refused(|code| code.addresses = vec![format!("{}:1", "h".repeat(254))]);
        refused(|code| code.secret = "short".into());
        refused(|code| code.secret = "x".repeat(129).into());
    }

    #[test]
    fn neither_debug_nor_display_shows_the_secret() {
        let code = example();
        assert!(!format!("{code:?}{code}").contains("abcdef"));
    }
}
