//! Time-based one-time passwords between Core and its nodes (RFC 6238: HMAC-SHA-1, 6 digits, 30 s).
//!
//! `Registry` checks codes with it and remembers which steps a node has spent; `NodeLink` makes
//! codes with it. Keys are wiped when dropped and never printed.

use std::fmt;

use data_encoding::{BASE32_NOPAD, DecodeError as BaseError};
use rand::CryptoRng;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use subtle::ConstantTimeEq;
use totp_rs::{Algorithm, Builder, Totp};
use zeroize::Zeroizing;

/// Seconds of one step (RFC 6238 section 4.1, `X`).
pub const STEP_SECS: u64 = 30;
/// Steps accepted on either side of the checker's own (RFC 6238 section 5.2).
pub const SKEW_STEPS: u64 = 1;
/// Bytes of a key that we make (160 bits, RFC 4226 section 4).
pub const KEY_BYTES: usize = 20;
/// Bytes of a key that we read from elsewhere, at most.
const KEY_BYTES_MAX: usize = 128;
/// Single steps remembered above the floor, at most.
const SPENT_MAX: usize = 32;

/// A shared TOTP key. Written as base32 without padding; `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct TotpKey(Zeroizing<Vec<u8>>);

/// A text that is not a TOTP key.
#[derive(Debug, thiserror::Error)]
pub enum TotpKeyError {
    /// The text has characters outside base32, or a wrong length.
    #[error("TOTP key is not base32")]
    NotBase32(#[source] BaseError),
    /// The key is empty or longer than any HMAC-SHA-1 key makes sense.
    #[error("TOTP key has {0} bytes; expected 1 to 128 (20 is usual)")]
    Length(usize),
}

impl TotpKey {
    /// A new 160-bit key.
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let mut bytes = Zeroizing::new(vec![0u8; KEY_BYTES]);
        rng.fill_bytes(&mut bytes);
        TotpKey(bytes)
    }

    /// Reads base32 (RFC 4648) as people and peers write it: any case, with or without padding,
    /// spaces or hyphens.
    ///
    /// # Errors
    /// The text is not base32, or the key is empty or over 128 bytes.
    pub fn from_base32(text: &str) -> Result<Self, TotpKeyError> {
        let clean: Zeroizing<String> = Zeroizing::new(
            text.chars()
                .filter(|c| !c.is_whitespace() && !matches!(c, '-' | '='))
                .map(|c| c.to_ascii_uppercase())
                .collect(),
        );
        let bytes = Zeroizing::new(BASE32_NOPAD.decode(clean.as_bytes()).map_err(TotpKeyError::NotBase32)?);
        if bytes.is_empty() || bytes.len() > KEY_BYTES_MAX {
            return Err(TotpKeyError::Length(bytes.len()));
        }
        Ok(TotpKey(bytes))
    }

    /// The key as base32 without padding, as it goes over the wire and into the secret file.
    pub fn to_base32(&self) -> Zeroizing<String> {
        Zeroizing::new(BASE32_NOPAD.encode(&self.0))
    }

    /// The 6-digit code of `step`.
    pub fn code(&self, step: u64) -> String {
        self.totp().generate(step.saturating_mul(STEP_SECS)).to_string()
    }

    fn totp(&self) -> Totp {
        // `build` would refuse keys below 128 bits; a Core from the field may have issued one.
        Builder::new()
            .with_algorithm(Algorithm::SHA1)
            .with_digits(6)
            .with_step_duration(STEP_SECS)
            .with_secret(self.0.to_vec())
            .build_noncompliant()
    }
}

impl fmt::Debug for TotpKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TotpKey(..)")
    }
}

impl Serialize for TotpKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_base32())
    }
}

impl<'de> Deserialize<'de> for TotpKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        TotpKey::from_base32(&text).map_err(de::Error::custom)
    }
}

/// The step a wall clock is in; 0 before 1970.
pub fn step_at(unix_ms: i64) -> u64 {
    u64::try_from(unix_ms).unwrap_or(0) / 1_000 / STEP_SECS
}

/// Milliseconds until the wall clock enters its next step: 1 to 30,000.
pub fn ms_to_next_step(unix_ms: i64) -> u64 {
    let step_ms = STEP_SECS * 1_000;
    step_ms - u64::try_from(unix_ms).unwrap_or(0) % step_ms
}

/// What a code turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodeCheck {
    /// Right, and its step was not used before: spend it before answering.
    Fresh {
        /// The step the code belongs to.
        step: u64,
    },
    /// Right, but its step was accepted before: somebody repeats it.
    Replayed,
    /// Wrong.
    Wrong,
}

/// Checks `code` against `key` at a wall-clock time, one step either side, in constant time.
pub fn check(key: &TotpKey, code: &str, unix_ms: i64, spent: &SpentSteps) -> CodeCheck {
    let now = step_at(unix_ms);
    let mut result = CodeCheck::Wrong;
    for step in now.saturating_sub(SKEW_STEPS)..=now.saturating_add(SKEW_STEPS) {
        let right: bool = key.code(step).as_bytes().ct_eq(code.trim().as_bytes()).into();
        if right && !spent.contains(step) {
            return CodeCheck::Fresh { step };
        }
        if right {
            result = CodeCheck::Replayed;
        }
    }
    result
}

/// The steps one node has used up; a step in here is never accepted again.
///
/// A single "last step" would lock a node out for as long as a clock had once run ahead; a set
/// of steps does not. It is bounded by counting everything up to a floor as spent, and the floor
/// rises only past the oldest entries.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpentSteps {
    floor: u64,
    above: Vec<u64>,
}

impl SpentSteps {
    /// Whether `step` was accepted before.
    pub fn contains(&self, step: u64) -> bool {
        (self.floor > 0 && step <= self.floor) || self.above.binary_search(&step).is_ok()
    }

    /// Remembers that `step` was accepted.
    pub fn spend(&mut self, step: u64) {
        if self.contains(step) {
            return;
        }
        if let Err(at) = self.above.binary_search(&step) {
            self.above.insert(at, step);
        }
        if self.above.len() > SPENT_MAX {
            self.floor = self.above.remove(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

    fn key() -> TotpKey {
        TotpKey(Zeroizing::new(b"12345678901234567890".to_vec()))
    }

    #[test]
    fn codes_are_those_of_rfc_6238_appendix_b() {
        // The RFC prints eight digits; a 6-digit code is their last six (RFC 4226 section 5.3).
        for (unix_s, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(key().code(step_at(unix_s * 1_000)), code, "at {unix_s}");
        }
    }

    #[test]
    fn one_step_either_side_is_accepted_and_no_more() {
        let now_ms = 1_700_000_015_000;
        let now = step_at(now_ms);
        for (offset, accepted) in [(-2i64, false), (-1, true), (0, true), (1, true), (2, false)] {
            let step = now.checked_add_signed(offset).unwrap();
            let expect = if accepted { CodeCheck::Fresh { step } } else { CodeCheck::Wrong };
            assert_eq!(check(&key(), &key().code(step), now_ms, &SpentSteps::default()), expect, "{offset}");
        }
    }

    #[test]
    fn a_step_is_accepted_once_even_after_the_clock_went_back() {
        let mut spent = SpentSteps::default();
        let now_ms = 1_700_000_015_000;
        let code = key().code(step_at(now_ms));
        let CodeCheck::Fresh { step } = check(&key(), &code, now_ms, &spent) else { panic!("fresh") };
        spent.spend(step);
        assert_eq!(check(&key(), &code, now_ms, &spent), CodeCheck::Replayed);
        for ahead in 1..200u64 {
            spent.spend(step + ahead * 5);
        }
        assert_eq!(check(&key(), &code, now_ms, &spent), CodeCheck::Replayed);
        assert!(spent.above.len() <= SPENT_MAX);
    }

    #[test]
    fn a_clock_that_once_ran_ahead_does_not_lock_the_node_out() {
        let mut spent = SpentSteps::default();
        spent.spend(90_000_000);
        spent.spend(50_000_000);
        assert!(!spent.contains(50_000_001));
        assert!(spent.contains(90_000_000));
    }

    #[test]
    fn odd_codes_are_wrong_not_a_panic() {
        for code in ["", "12345", "1234567", "abcdef", "\u{0}\u{0}", "１２３４５６", "-12345"] {
            assert_eq!(check(&key(), code, 1_700_000_000_000, &SpentSteps::default()), CodeCheck::Wrong);
        }
        check(&key(), "123456", i64::MIN, &SpentSteps::default());
        check(&key(), "123456", i64::MAX, &SpentSteps::default());
    }

    #[test]
    fn keys_survive_base32_in_every_spelling_and_stay_hidden() {
        let key = TotpKey::generate(&mut ChaCha8Rng::seed_from_u64(7));
        let text = key.to_base32();
        assert_eq!(text.len(), 32);
        let spelled = format!(" {}-{}== ", &text[..16].to_lowercase(), &text[16..]);
        assert_eq!(TotpKey::from_base32(&spelled).unwrap(), key);
        assert!(!format!("{key:?}").contains(text.as_str()));
        assert!(matches!(TotpKey::from_base32("not base32!"), Err(TotpKeyError::NotBase32(_))));
        assert!(matches!(TotpKey::from_base32(""), Err(TotpKeyError::Length(0))));
        let json = serde_json::to_string(&key).unwrap();
        assert_eq!(serde_json::from_str::<TotpKey>(&json).unwrap(), key);
    }
}
