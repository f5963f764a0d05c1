//! Points in time: microseconds since the Unix epoch, UTC.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::lenient::{self, Scalar};

/// A point in time, in microseconds since 1970-01-01T00:00:00Z.
///
/// Written as RFC 3339 with six digits of fraction and `Z`. Read from RFC 3339 with any offset, from the same without
/// an offset (taken as UTC), and from Unix seconds or milliseconds, as a number or as text. Always between the years
/// 1 and 9999, so that each value can be written.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
pub struct Micros(i64);

/// The name the protocol documents use.
pub type Timestamp = Micros;

const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

impl Micros {
    /// 0001-01-01T00:00:00Z.
    pub const MIN: Self = Self(-62_135_596_800_000_000);
    /// 9999-12-31T23:59:59.999999Z.
    pub const MAX: Self = Self(253_402_300_799_999_999);

    /// From microseconds since the epoch; beyond [`Micros::MIN`] or [`Micros::MAX`] it becomes that.
    pub const fn from_unix_us(micros: i64) -> Self {
        if micros < Self::MIN.0 {
            Self::MIN
        } else if micros > Self::MAX.0 {
            Self::MAX
        } else {
            Self(micros)
        }
    }

    /// From milliseconds since the epoch, bounded like [`Micros::from_unix_us`].
    pub const fn from_unix_ms(millis: i64) -> Self {
        Self::from_unix_us(millis.saturating_mul(1000))
    }

    /// Microseconds since the epoch.
    pub const fn unix_us(self) -> i64 {
        self.0
    }

    /// Milliseconds since the epoch, rounded down.
    pub const fn unix_ms(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Later by that many milliseconds (earlier if negative), bounded.
    pub const fn plus_ms(self, millis: i64) -> Self {
        Self::from_unix_us(self.0.saturating_add(millis.saturating_mul(1000)))
    }

    /// Reads any of the text forms; `None` if it is none of them.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        parse_civil(text.as_bytes()).or_else(|| parse_unix(text))
    }
}

impl From<std::time::SystemTime> for Micros {
    fn from(time: std::time::SystemTime) -> Self {
        let micros = match time.duration_since(std::time::UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_micros()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_micros()).map_or(i64::MIN, i64::wrapping_neg),
        };
        Self::from_unix_us(micros)
    }
}

impl fmt::Debug for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.div_euclid(MICROS_PER_SECOND);
        let micros = self.0.rem_euclid(MICROS_PER_SECOND);
        let (year, month, day) = civil_from_days(seconds.div_euclid(SECONDS_PER_DAY));
        let second_of_day = seconds.rem_euclid(SECONDS_PER_DAY);
        let (hour, minute, second) = (second_of_day / 3600, second_of_day / 60 % 60, second_of_day % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
    }
}

impl std::str::FromStr for Micros {
    type Err = NotATime;
    fn from_str(text: &str) -> Result<Self, NotATime> {
        Self::parse(text).ok_or(NotATime)
    }
}

/// A text that is not a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a time like 2026-01-31T12:00:00Z, or Unix seconds or milliseconds")]
pub struct NotATime;

impl Serialize for Micros {
    fn serialize<S: Serializer>(&self, ser: S) -> Result<S::Ok, S::Error> {
        ser.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Micros {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        from_scalar(&lenient::scalar(de)?).ok_or_else(|| serde::de::Error::custom(NotATime))
    }
}

/// A time in any accepted form; `None` for null and for anything that is no time.
pub(crate) fn from_scalar(scalar: &Scalar<'_>) -> Option<Micros> {
    match scalar {
        Scalar::Text(text) => Micros::parse(text),
        Scalar::Unsigned(number) => Some(from_unix_number(i128::from(*number))),
        Scalar::Signed(number) => Some(from_unix_number(i128::from(*number))),
        Scalar::Float(number) => from_unix_float(*number),
        Scalar::Bool(_) | Scalar::Null => None,
    }
}

/// Seconds, milliseconds, microseconds or nanoseconds, told apart by size: seconds reach 10^11 in the year 5138,
/// which is 1973 in milliseconds.
fn from_unix_number(number: i128) -> Micros {
    let micros = match number.unsigned_abs() {
        0..100_000_000_000 => number.saturating_mul(1_000_000),
        100_000_000_000..100_000_000_000_000 => number.saturating_mul(1000),
        100_000_000_000_000..100_000_000_000_000_000 => number,
        _ => number / 1000,
    };
    let end = if micros < 0 { i64::MIN } else { i64::MAX };
    Micros::from_unix_us(i64::try_from(micros).unwrap_or(end))
}

fn from_unix_float(number: f64) -> Option<Micros> {
    if !number.is_finite() {
        return None;
    }
    let micros = match number.abs() {
        size if size < 1e11 => number * 1e6,
        size if size < 1e14 => number * 1e3,
        size if size < 1e17 => number,
        _ => number / 1e3,
    };
    // `as` saturates, and the constructor bounds what is left.
    Some(Micros::from_unix_us(micros.round() as i64))
}

fn parse_unix(text: &str) -> Option<Micros> {
    // `f64` would also take "inf", "nan" and exponents.
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty()
        || digits.len() > 32
        || !digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
    {
        return None;
    }
    match text.parse::<i128>() {
        Ok(number) => Some(from_unix_number(number)),
        Err(_) => from_unix_float(text.parse().ok()?),
    }
}

/// `YYYY-MM-DD[T ]HH:MM:SS[.,fraction][Z|+HH:MM|+HHMM|+HH]`, without an offset taken as UTC (RFC 3339, ISO 8601).
fn parse_civil(text: &[u8]) -> Option<Micros> {
    let (date, rest) = text.split_at_checked(19)?;
    let &[
        y0,
        y1,
        y2,
        y3,
        b'-',
        mo0,
        mo1,
        b'-',
        d0,
        d1,
        b'T' | b't' | b' ',
        h0,
        h1,
        b':',
        mi0,
        mi1,
        b':',
        s0,
        s1,
    ] = date
    else {
        return None;
    };
    let year = number(&[y0, y1, y2, y3])?;
    let (month, day) = (number(&[mo0, mo1])?, number(&[d0, d1])?);
    let (hour, minute, second) = (number(&[h0, h1])?, number(&[mi0, mi1])?, number(&[s0, s1])?);
    // Second 60 is a leap second (RFC 3339 section 5.7); Unix time has none, so it is the next second.
    if year == 0 || !(1..=12).contains(&month) || day == 0 || day > days_in_month(year, month) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (fraction, offset) = split_fraction(rest)?;
    let seconds = days_from_civil(year, month, day) * SECONDS_PER_DAY + hour * 3600 + minute * 60 + second;
    Some(Micros::from_unix_us((seconds - parse_offset(offset)?) * MICROS_PER_SECOND + fraction))
}

/// Microseconds of a fraction like `.123` (further digits are cut), and what follows it.
fn split_fraction(rest: &[u8]) -> Option<(i64, &[u8])> {
    let Some((b'.' | b',', digits)) = rest.split_first() else { return Some((0, rest)) };
    let length = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = digits.split_at_checked(length)?;
    if digits.is_empty() {
        return None;
    }
    let fraction =
        (0..6).fold(0, |sum, place| sum * 10 + digits.get(place).map_or(0, |byte| i64::from(byte - b'0')));
    Some((fraction, rest))
}

/// Seconds east of UTC.
fn parse_offset(text: &[u8]) -> Option<i64> {
    // Elasticpot writes "+00:00Z".
    let text = text.strip_suffix(b"Z").or_else(|| text.strip_suffix(b"z")).unwrap_or(text);
    let (sign, hours, minutes) = match *text {
        [] => return Some(0),
        [sign, h0, h1, b':', m0, m1] | [sign, h0, h1, m0, m1] => {
            (sign, number(&[h0, h1])?, number(&[m0, m1])?)
        }
        [sign, h0, h1] => (sign, number(&[h0, h1])?, 0),
        _ => return None,
    };
    if hours > 23 || minutes > 59 {
        return None;
    }
    match sign {
        b'+' => Some(hours * 3600 + minutes * 60),
        b'-' => Some(-(hours * 3600 + minutes * 60)),
        _ => None,
    }
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |sum, byte| {
        if byte.is_ascii_digit() { Some(sum * 10 + i64::from(byte - b'0')) } else { None }
    })
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days since the epoch, counting years from March so that the leap day comes last.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_accepted_form_is_read() {
        for text in [
            "2024-01-15T10:30:00Z",
            "2024-01-15t10:30:00z",
            "2024-01-15T10:30:00.000Z",
            "2024-01-15T10:30:00.000000999Z",
            "2024-01-15T12:30:00+02:00",
            "2024-01-15T10:30:00.000000+00:00Z",
            "2024-01-15T05:00:00-0530",
            "2024-01-15T12:30:00+02",
            "2024-01-15T10:30:00",
            "2024-01-15 10:30:00",
            "2024-01-15 10:30:00,000",
            " 2024-01-15T10:30:00Z\n",
            "1705314600",
            "1705314600.0",
            "1705314600000",
            "1705314600000000",
            "1705314600000000000",
        ] {
            assert_eq!(Micros::parse(text).map(Micros::unix_us), Some(1_705_314_600_000_000), "{text}");
        }
        for json in ["1705314600", "1705314600000", "1705314600.0", "1.7053146e9", "\"1705314600\""] {
            assert_eq!(
                serde_json::from_str::<Micros>(json).unwrap().unix_us(),
                1_705_314_600_000_000,
                "{json}"
            );
        }
        assert_eq!(
            serde_json::from_str::<Micros>("-1.5").unwrap().to_string(),
            "1969-12-31T23:59:58.500000Z"
        );
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "now",
            "2024-01-15",
            "2024-13-01T00:00:00Z",
            "2023-02-29T00:00:00Z",
            "2024-01-15T24:00:00Z",
            "2024-01-15T10:60:00Z",
            "2024-01-15T10:30:61Z",
            "0000-01-01T00:00:00Z",
            "2024-01-15T10:30:00.Z",
            "2024-01-15T10:30:00+24:00",
            "2024-01-15T10:30:00*02:00",
            "2024-01-15T10:30:00+2:00",
            "+2024-01-15T10:30:00Z",
            "inf",
            "nan",
            "1e9",
            "0x10",
            "--5",
            "1.2.3",
            "２０２４-01-15T10:30:00Z",
        ] {
            assert_eq!(Micros::parse(text), None, "{text}");
        }
        for json in ["null", "true", "[]", "{}"] {
            assert!(serde_json::from_str::<Micros>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn numbers_out_of_range_become_the_first_or_last_moment() {
        assert_eq!(serde_json::from_str::<Micros>("-1e300").unwrap(), Micros::MIN);
        assert_eq!(Micros::parse("-99999999999"), Some(Micros::MIN));
        assert_eq!(Micros::parse("99999999999999999999999999999999"), Some(Micros::MAX));
        assert_eq!(serde_json::from_str::<Micros>("1e300").unwrap(), Micros::MAX);
        assert_eq!(
            serde_json::from_str::<Micros>("18446744073709551615").unwrap().to_string(),
            "2554-07-21T23:34:33.709551Z"
        );
        assert_eq!(Micros::from_unix_ms(i64::MAX), Micros::MAX);
        assert_eq!(Micros::MIN.to_string(), "0001-01-01T00:00:00.000000Z");
        assert_eq!(Micros::MAX.to_string(), "9999-12-31T23:59:59.999999Z");
    }

    #[test]
    fn it_agrees_with_the_time_crate_on_every_day() {
        for day in (-719_000..2_900_000).step_by(7) {
            let us = day * SECONDS_PER_DAY * MICROS_PER_SECOND + 45_296_789_012;
            let theirs = time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(us) * 1000).unwrap();
            let text = Micros::from_unix_us(us).to_string();
            let parsed =
                time::OffsetDateTime::parse(&text, &time::format_description::well_known::Rfc3339).unwrap();
            assert_eq!(parsed, theirs, "{text}");
            assert_eq!(Micros::parse(&text), Some(Micros::from_unix_us(us)), "{text}");
        }
    }
}
