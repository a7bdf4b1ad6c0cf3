//! JSON as Go reads it, and edits that keep what they do not touch.
//!
//! Docker and its kin are written in Go, whose decoder matches keys without regard to case and lets the last of
//! several win. Values stay the text that they are: a document that changes keeps its unknown keys, their order, and
//! every number and string as written.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::source::MAX_LEN;

/// Go is not strict about the last bits.
const BASE64: GeneralPurpose =
    GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));

/// An object: its keys in order, each with its value as JSON text.
#[derive(Debug, Clone, Default)]
pub(crate) struct Object<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((key, value)) = map.next_entry::<String, &'de RawValue>()? {
                    members.push((Cow::Owned(key), Cow::Borrowed(value.get())));
                }
                Ok(Object(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

impl<'a> Object<'a> {
    /// Reads an object; `None` where the text is something else.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// The value at `key`, as JSON text. `null` counts as absent, as it does for Go.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        let member = self.0.iter().rev().find(|(name, _)| name.eq_ignore_ascii_case(key));
        member.map(|(_, value)| value.as_ref()).filter(|value| *value != "null")
    }

    /// As [`Self::get`], for a value that was not put there by an edit: it lives as long as the document.
    pub(crate) fn text(&self, key: &str) -> Option<&'a str> {
        let member = self.0.iter().rev().find(|(name, _)| name.eq_ignore_ascii_case(key));
        match member {
            Some((_, Cow::Borrowed(value))) if *value != "null" => Some(value),
            _ => None,
        }
    }

    /// The value at `key`, read as `T`; `None` where it is absent or something else.
    pub(crate) fn read<T: for<'de> Deserialize<'de>>(&self, key: &str) -> Option<T> {
        serde_json::from_str(self.get(key)?).ok()
    }

    /// The whole number at `key`, where it is one that JavaScript has, too.
    pub(crate) fn number(&self, key: &str) -> Option<u64> {
        self.read(key).filter(|&number| number <= MAX_LEN)
    }

    /// The object at `key`.
    pub(crate) fn object(&self, key: &str) -> Option<Object<'_>> {
        Object::parse(self.get(key)?)
    }

    /// The array at `key`, each element as JSON text.
    pub(crate) fn array(&self, key: &str) -> Option<Vec<&str>> {
        array(self.get(key)?)
    }

    /// The members, in order.
    pub(crate) fn members(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_ref(), value.as_ref()))
    }

    /// A key that stands in the object more than once.
    pub(crate) fn duplicate_key(&self) -> Option<&str> {
        let mut seen = HashSet::with_capacity(self.0.len());
        self.members().map(|(key, _)| key).find(|key| !seen.insert(key.to_ascii_lowercase()))
    }

    /// Puts a value at `key`: in every place where the key stands, or at the end.
    pub(crate) fn set(&mut self, key: &str, value: &str) {
        let mut found = false;
        for (_, old) in self.0.iter_mut().filter(|(name, _)| name.eq_ignore_ascii_case(key)) {
            *old = Cow::Owned(value.to_owned());
            found = true;
        }
        if !found {
            self.push(key, value.to_owned());
        }
    }

    /// Takes a key out.
    pub(crate) fn remove(&mut self, key: &str) {
        self.0.retain(|(name, _)| !name.eq_ignore_ascii_case(key));
    }

    /// Appends a member, whatever keys there are: for objects that are maps, whose keys are data.
    pub(crate) fn push(&mut self, key: &str, value: String) {
        self.0.push((Cow::Owned(key.to_owned()), Cow::Owned(value)));
    }

    /// Whether there are no members.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The object as JSON text.
    pub(crate) fn to_json(&self) -> String {
        let members: Vec<_> = self.members().map(|(key, value)| format!("{}:{value}", string(key))).collect();
        format!("{{{}}}", members.join(","))
    }
}

/// The elements of an array, each as JSON text; `None` where the text is something else.
pub(crate) fn array(text: &str) -> Option<Vec<&str>> {
    let elements: Vec<&RawValue> = serde_json::from_str(text).ok()?;
    Some(elements.into_iter().map(RawValue::get).collect())
}

/// A key that stands twice in one object of the text, however deep. Case counts: the keys of labels are data.
pub(crate) fn repeated_key(text: &str) -> Option<String> {
    let mut found = None;
    // What nests deeper than the parser goes has been looked at until there.
    let _ = Search(&mut found).deserialize(&mut serde_json::Deserializer::from_str(text));
    found
}

/// Looks at every object of a value; keeps the first key that one has twice.
struct Search<'a>(&'a mut Option<String>);

impl<'de> DeserializeSeed<'de> for Search<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Search<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            if self.0.is_none() && seen.contains(&key) {
                *self.0 = Some(key.clone().into_owned());
            }
            seen.insert(key);
            map.next_value_seed(Search(self.0))?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(Search(self.0))?.is_some() {}
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// A string's bytes, which Go writes as base64; `None` for what is none.
pub(crate) fn bytes(text: &str) -> Option<Vec<u8>> {
    BASE64.decode(serde_json::from_str::<String>(text).ok()?).ok()
}

/// A string as JSON text.
pub(crate) fn string(text: &str) -> String {
    // Writing to memory does not fail.
    serde_json::to_string(text).unwrap_or_default()
}

/// Elements as the JSON text of an array.
pub(crate) fn array_of(elements: impl IntoIterator<Item = String>) -> String {
    format!("[{}]", elements.into_iter().collect::<Vec<_>>().join(","))
}

/// A document cut into its first value and what stands around it. `Err` says what is wrong, in the parser's words.
pub(crate) fn first_value(bytes: &[u8]) -> Result<Document<'_>, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<&RawValue>();
    match values.next() {
        Some(Ok(value)) => {
            let after = text.get(values.byte_offset()..).unwrap_or_default();
            Ok(Document { value: value.get(), after })
        }
        Some(Err(error)) => Err(error.to_string()),
        None => Err("the document is empty".to_owned()),
    }
}

/// A JSON document.
pub(crate) struct Document<'a> {
    /// Its first value, as JSON text.
    pub(crate) value: &'a str,
    /// What follows it: white space, if all is well.
    pub(crate) after: &'a str,
}

impl Document<'_> {
    /// The document with another value.
    pub(crate) fn with_value(&self, value: &str) -> Vec<u8> {
        format!("{value}{}", self.after).into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_as_go_does() {
        let object = Object::parse(r#"{"config":1,"Config":2,"x":null,"CONFIG":3}"#).unwrap();
        assert_eq!(object.get("Config"), Some("3"));
        assert_eq!(object.get("x"), None);
        assert_eq!(object.duplicate_key(), Some("Config"));
        assert!(Object::parse("[]").is_none());
    }

    #[test]
    fn a_key_that_stands_twice_is_found_at_any_depth() {
        assert_eq!(repeated_key(r#"[{"a":{"b":[1,{"c":null,"c":1.5}]}}]"#).as_deref(), Some("c"));
        assert_eq!(repeated_key(r#"{"labels":{"a":"","A":""},"a":{"a":-1}}"#), None);
    }

    #[test]
    fn an_edit_keeps_what_it_does_not_touch() {
        let text = r#"{"z":1.50e1, "a":{"deep": [1, 2]}, "b":"\u0041"}"#;
        let mut object = Object::parse(text).unwrap();
        object.set("a", "[]");
        object.set("new", "true");
        object.remove("Z");
        assert_eq!(object.to_json(), r#"{"a":[],"b":"\u0041","new":true}"#);
    }

    #[test]
    fn what_follows_a_document_is_told_apart() {
        let document = first_value(b" [1] garbage\n").unwrap();
        assert_eq!((document.value, document.after), ("[1]", " garbage\n"));
        assert!(first_value(b"").is_err());
        assert!(first_value(b"\xef\xbb\xbf[]").is_err());
        let deep = "[".repeat(100_000);
        assert!(first_value(deep.as_bytes()).is_err());
    }
}
