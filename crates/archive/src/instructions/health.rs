//! `HEALTHCHECK` (buildkit `frontend/dockerfile/instructions`).

use std::num::IntErrorKind;

use super::{list, values_of};
use crate::changes::refuse;
use crate::error::Result;
use crate::json::{self, Object};
use crate::time::duration;

/// The flags of a health check, and what they set.
const CHECK: [(&str, &str); 5] = [
    ("interval", "Interval"),
    ("timeout", "Timeout"),
    ("start-period", "StartPeriod"),
    ("start-interval", "StartInterval"),
    ("retries", "Retries"),
];

/// The JSON of a health check: `CMD …` with its flags, or `NONE`.
pub(super) fn health_check(flags: &[String], rest: &str) -> Result<String> {
    let (kind, rest) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let (kind, rest) = (kind.to_ascii_uppercase(), rest.trim());
    let words = list(rest)?;
    let is_empty = words.as_ref().map_or(rest.is_empty(), Vec::is_empty);
    let mut fields = Vec::new();
    let test = match kind.as_str() {
        // Docker does not look at its flags.
        "NONE" if is_empty => vec![kind],
        "NONE" => return Err(refuse("HEALTHCHECK NONE takes no arguments".to_owned())),
        _ => {
            fields = values_of(flags, &CHECK)?;
            match words {
                _ if kind != "CMD" => {
                    return Err(refuse(format!("Unknown type {kind:?} in HEALTHCHECK (try CMD)")));
                }
                _ if is_empty => return Err(refuse("Missing command after HEALTHCHECK CMD".to_owned())),
                Some(words) => [vec![kind], words].concat(),
                None => vec!["CMD-SHELL".to_owned(), rest.to_owned()],
            }
        }
    };
    let mut check = Object::default();
    check.push("Test", json::array_of(test.iter().map(|word| json::string(word))));
    for (name, key) in CHECK {
        let Some((_, value)) = fields.iter().find(|(known, value)| *known == name && !value.is_empty())
        else {
            continue;
        };
        let number = if name == "retries" { retries(value)? } else { interval(value, name)? };
        if number != 0 {
            check.push(key, number.to_string());
        }
    }
    Ok(check.to_json())
}

/// How often a check is tried again; its errors are Go's.
fn retries(text: &str) -> Result<i64> {
    let invalid = |error: std::num::ParseIntError| {
        let is_out = matches!(error.kind(), IntErrorKind::PosOverflow | IntErrorKind::NegOverflow);
        let what = if is_out { "value out of range" } else { "invalid syntax" };
        refuse(format!("strconv.ParseInt: parsing {text:?}: {what}"))
    };
    let number: i32 = text.parse().map_err(invalid)?;
    if number < 0 {
        return Err(refuse(format!("--retries cannot be negative ({number})")));
    }
    Ok(number.into())
}

/// A duration in nanoseconds: 0, or a millisecond at least.
fn interval(text: &str, flag: &str) -> Result<i64> {
    let nanoseconds = duration(text).map_err(refuse)?;
    if nanoseconds != 0 && nanoseconds < 1_000_000 {
        return Err(refuse(format!("Interval {flag:?} cannot be less than 1ms")));
    }
    Ok(nanoseconds)
}
