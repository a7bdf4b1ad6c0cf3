//! Times as configs write them, and durations as Go does.

/// The units of a duration, in nanoseconds.
const UNITS: [(&str, i128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Reads a duration (`24h`, `1h30m`, `-1.5s`) as Go's `time.ParseDuration` does: in nanoseconds. The error is Go's sentence.
pub fn duration(text: &str) -> Result<i64, String> {
    let invalid = || format!("time: invalid duration {text:?}");
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut sum = 0_i128;
    while !rest.is_empty() {
        let end = rest.find(|char: char| !char.is_ascii_digit() && char != '.').unwrap_or(rest.len());
        let (number, tail) = rest.split_at(end);
        let end = tail.find(|char: char| char.is_ascii_digit() || char == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() {
            return Err(invalid());
        }
        if unit.is_empty() || fraction.contains('.') {
            return Err(format!("time: missing unit in duration {text:?}"));
        }
        let (_, size) = UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .ok_or_else(|| format!("time: unknown unit {unit:?} in duration {text:?}"))?;
        let whole: u64 = if whole.is_empty() { Ok(0) } else { whole.parse() }.map_err(|_| invalid())?;
        let fraction: String = fraction.chars().chain("000000000000000000".chars()).take(18).collect();
        let fraction: u64 = fraction.parse().map_err(|_| invalid())?;
        let part = i128::from(whole) * size + i128::from(fraction) * size / 1_000_000_000_000_000_000;
        sum = sum.saturating_add(part);
        rest = tail;
    }
    i64::try_from(sign * sum).map_err(|_| invalid())
}

/// An instant, to the nanosecond. Orders by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp {
    /// Since 1970, UTC; negative before.
    pub seconds: i64,
    /// Beyond that second.
    pub nanoseconds: u32,
}

impl Timestamp {
    /// Reads RFC 3339, as Go writes it; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        // Then bytes are characters, and may be counted.
        if !text.is_ascii() {
            return None;
        }
        let number = |from: usize, to: usize| {
            let digits =
                text.get(from..to).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
            digits.parse::<i64>().ok()
        };
        let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
        let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
        let separators = [4, 7, 10, 13, 16].map(|at| text.as_bytes().get(at).copied());
        let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let days = match month {
            2 if is_leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            1..=12 => 31,
            _ => return None,
        };
        if separators != b"--T::".map(Some)
            || !(1..=days).contains(&day)
            || hour > 23
            || minute > 59
            || second > 59
        {
            return None;
        }
        // Days since 1970 of the civil calendar, counted from the first of March (H. Hinnant, `days_from_civil`).
        let shifted = if month <= 2 { year - 1 } else { year };
        let era = shifted.div_euclid(400);
        let of_era = shifted.rem_euclid(400);
        let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        let since = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
        let rest = text.get(19..)?;
        let (fraction, zone) = match rest.strip_prefix('.') {
            None => ("0", rest),
            Some(rest) => rest.split_at(rest.bytes().take_while(u8::is_ascii_digit).count()),
        };
        if fraction.is_empty() {
            return None;
        }
        let mut nanoseconds = 0;
        for place in 0..9 {
            let digit = fraction.as_bytes().get(place).map_or(0, |digit| u32::from(digit - b'0'));
            nanoseconds = nanoseconds * 10 + digit;
        }
        let zone_from = text.len() - zone.len();
        let offset = match zone.as_bytes() {
            b"Z" => 0,
            [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
                let (hours, minutes) =
                    (number(zone_from + 1, zone_from + 3)?, number(zone_from + 4, zone_from + 6)?);
                if hours > 23 || minutes > 59 {
                    return None;
                }
                if *sign == b'-' { -(hours * 60 + minutes) } else { hours * 60 + minutes }
            }
            _ => return None,
        };
        let seconds = since * 86_400 + hour * 3600 + minute * 60 + second - offset * 60;
        Some(Self { seconds, nanoseconds })
    }
}

#[cfg(test)]
mod tests {
    use super::{Timestamp, duration};

    #[test]
    fn durations() {
        for (text, nanoseconds) in [
            ("24h", 86_400_000_000_000),
            ("1h30m", 5_400_000_000_000),
            ("1.5h", 5_400_000_000_000),
            (".5s", 500_000_000),
            ("+5.s", 5_000_000_000),
            ("-1s", -1_000_000_000),
            ("0", 0),
            ("-0", 0),
            ("1.0000000001s", 1_000_000_000),
            ("3\u{b5}s3\u{3bc}s", 6_000),
            ("9223372036854775807ns", i64::MAX),
            ("-9223372036854775808ns", i64::MIN),
        ] {
            assert_eq!(duration(text), Ok(nanoseconds), "{text}");
        }
        for (text, sentence) in [
            ("", "invalid duration \"\""),
            ("-", "invalid duration \"-\""),
            ("h", "invalid duration \"h\""),
            (".s", "invalid duration \".s\""),
            ("+-1h", "invalid duration \"+-1h\""),
            ("1", "missing unit in duration \"1\""),
            ("1h2", "missing unit in duration \"1h2\""),
            ("1..5h", "missing unit in duration \"1..5h\""),
            ("1d", "unknown unit \"d\" in duration \"1d\""),
            ("1 h", "unknown unit \" h\" in duration \"1 h\""),
            ("9223372036854775808ns", "invalid duration \"9223372036854775808ns\""),
            ("99999999999999999999h", "invalid duration \"99999999999999999999h\""),
        ] {
            assert_eq!(duration(text), Err(format!("time: {sentence}")), "{text}");
        }
    }

    #[test]
    fn times() {
        for (text, seconds, nanoseconds) in [
            ("1970-01-01T00:00:00Z", 0, 0),
            ("2000-02-29T00:00:00Z", 951_782_400, 0),
            ("2020-01-02T03:04:05.123456789Z", 1_577_934_245, 123_456_789),
            ("2020-01-02T05:04:05.5+02:00", 1_577_934_245, 500_000_000),
            ("2020-12-31T23:59:59-00:00", 1_609_459_199, 0),
            ("0001-01-01T00:00:00Z", -62_135_596_800, 0),
        ] {
            assert_eq!(Timestamp::parse(text), Some(Timestamp { seconds, nanoseconds }), "{text}");
        }
        for text in [
            "yesterday",
            "",
            "2020-01-02",
            "2020-01-02T03:04:05",
            "2020-13-02T03:04:05Z",
            "2020-01-02T03:04:05+",
            "2020x01x02x03x04x05Z",
            "2020-01-02t03:04:05Z",
            "2020-01-02T03:04:05Zulu",
            "2020-01-02T03:04:05.Z",
            "2020-01-02T03:04:05+01x00",
            "2020-01-02T03:04:05++1:00",
            "2020-01-02T03:04:05+24:00",
            "2020-02-30T03:04:05Z",
            "2023-02-29T03:04:05Z",
            "1900-02-29T03:04:05Z",
            "2020-01-02T03:04:60Z",
        ] {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
        assert!(Timestamp::parse("2020-01-02T03:04:05.1Z") < Timestamp::parse("2020-01-02T03:04:05.2Z"));
    }
}
