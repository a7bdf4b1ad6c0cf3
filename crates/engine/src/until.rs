//! The filter `until` (moby `api/types/time`): an instant, or how long ago.

use longshore_archive::{Code, Error, Result, Timestamp, duration};

const SECOND: i128 = 1_000_000_000;

/// The instant that the filter means: in RFC 3339, of which the end may be missing, in seconds since 1970, or a duration
/// (`24h`, `1h30m`) before `now`, which only the caller knows.
pub(crate) fn until(value: &str, now: Option<Timestamp>) -> Result<Timestamp> {
    let before = || {
        // That is 1970.
        let now = now.filter(|_| value != "0")?;
        let nanoseconds = i128::from(now.seconds) * SECOND + i128::from(now.nanoseconds);
        instant(nanoseconds - i128::from(duration(value).ok()?))
    };
    before().or_else(|| date(value)).or_else(|| instant(decimal(value)?)).ok_or_else(|| {
        let sentence = format!("failed to parse value as time or duration: {value:?}");
        Error::new(Code::InvalidArgument, sentence).with("filter", "until")
    })
}

/// A date, with a time down to its hours, minutes or seconds, or none; in UTC where there is no zone.
fn date(text: &str) -> Option<Timestamp> {
    // A zone comes after the two dashes of the date.
    let zone = text.find(['Z', '+']).or_else(|| text.match_indices('-').nth(2).map(|(at, _)| at));
    let (local, zone) = text.split_at(zone.unwrap_or(text.len()));
    let rest = match local.len() {
        length @ (10 | 13 | 16) => "0000-00-00T00:00:00".get(length..)?,
        _ => "",
    };
    Timestamp::parse(&format!("{local}{rest}{}", if zone.is_empty() { "Z" } else { zone }))
}

/// A decimal number, in billionths.
fn decimal(text: &str) -> Option<i128> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.len() <= 18 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !(digits(whole) && digits(fraction)) || whole.len() + fraction.len() == 0 {
        return None;
    }
    let fraction: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    format!("{whole}{fraction}").parse().ok()
}

fn instant(nanoseconds: i128) -> Option<Timestamp> {
    Some(Timestamp {
        seconds: i64::try_from(nanoseconds.div_euclid(SECOND)).ok()?,
        nanoseconds: u32::try_from(nanoseconds.rem_euclid(SECOND)).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_and_durations() {
        let now = Some(Timestamp { seconds: 1_000_000, nanoseconds: 500_000_000 });
        for (text, seconds, nanoseconds) in [
            ("24h", 913_600, 500_000_000),
            ("1h30m", 994_600, 500_000_000),
            ("1.5h", 994_600, 500_000_000),
            (".5s", 1_000_000, 0),
            ("-1s", 1_000_001, 500_000_000),
            ("750ms", 999_999, 750_000_000),
            ("0", 0, 0),
            ("0s", 1_000_000, 500_000_000),
            ("1970-01-02", 86_400, 0),
            ("1970-01-02Z", 86_400, 0),
            ("1970-01-02-01:00", 90_000, 0),
            ("1970-01-02T01", 90_000, 0),
            ("1970-01-02T01:01+01:00", 86_460, 0),
            ("1970-01-02T00:00", 86_400, 0),
            ("1970-01-02T00:00:00", 86_400, 0),
            ("1970-01-02T00:00:00.5", 86_400, 500_000_000),
            ("1970-01-01T00:00:10Z", 10, 0),
            ("1136073845", 1_136_073_845, 0),
            ("1136073845.000000001", 1_136_073_845, 1),
        ] {
            assert_eq!(until(text, now).ok(), Some(Timestamp { seconds, nanoseconds }), "{text}");
        }
        for text in [
            "1970-01",
            "1970-01-0Z",
            "1970-01-02T0",
            "1970-01-02Z+01:00",
            "\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}",
            "",
            "h",
            "1d",
            "1h2",
            "yesterday",
            "1..5h",
            "99999999999999999999h",
            "1 h",
            "+-1h",
            ".",
            "-1",
        ] {
            assert!(until(text, now).is_err(), "{text}");
        }
        assert!(until("24h", None).is_err(), "nobody knows what time it is");
    }
}
