//! The types that Go's structs give to JSON values: one value of another type, and nothing of the document is read.

use crate::json::{self, Object};
use crate::time::Timestamp;

/// Whether a value's JSON is of some type.
pub(super) type Is = fn(&str) -> bool;

/// The types of an object's values, by their keys. What is not listed may be anything.
pub(super) type Types = [(&'static [&'static str], Is)];

/// Whether an object's values are of these types. `null` is of every type.
pub(super) fn fits(object: &Object<'_>, types: &Types) -> bool {
    types.iter().all(|(keys, is)| keys.iter().all(|key| object.get(key).is_none_or(is)))
}

/// Whether a value is an object with values of these types.
pub(super) fn is_struct(text: &str, types: &Types) -> bool {
    Object::parse(text).is_some_and(|object| fits(&object, types))
}

pub(super) fn is_string(text: &str) -> bool {
    text.starts_with('"')
}

pub(super) fn is_object(text: &str) -> bool {
    text.starts_with('{')
}

pub(super) fn is_bool(text: &str) -> bool {
    matches!(text, "true" | "false")
}

pub(super) fn is_integer(text: &str) -> bool {
    text.parse::<i64>().is_ok()
}

pub(super) fn is_list(text: &str) -> bool {
    are(text, is_string)
}

pub(super) fn is_map(text: &str) -> bool {
    holds(text, is_string)
}

pub(super) fn is_bytes(text: &str) -> bool {
    json::bytes(text).is_some()
}

pub(super) fn is_set(text: &str) -> bool {
    holds(text, is_object)
}

pub(super) fn is_time(text: &str) -> bool {
    text.strip_prefix('"').and_then(|text| Timestamp::parse(text.strip_suffix('"')?)).is_some()
}

/// Whether a list has elements of that type only. `null` is of every type.
pub(super) fn are(text: &str, is: Is) -> bool {
    json::array(text).is_some_and(|list| list.iter().all(|text| *text == "null" || is(text)))
}

/// As [`are`], for an object that is a map.
fn holds(text: &str, is: Is) -> bool {
    Object::parse(text).is_some_and(|map| map.members().all(|(_, text)| text == "null" || is(text)))
}
