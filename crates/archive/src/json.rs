//! JSON as Go reads it, and edits that keep what they do not touch.
//!
//! Docker and its kin are written in Go, whose decoder matches keys without regard to case and lets the last of
//! several win. Values stay the text that they are: a document that changes keeps its unknown keys, their order, and
//! every number and string as written.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

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
        let twice = |(index, (key, _)): &(usize, &(Cow<'a, str>, Cow<'a, str>))| {
            self.0.iter().take(*index).any(|(earlier, _)| earlier.eq_ignore_ascii_case(key))
        };
        self.0.iter().enumerate().find(twice).map(|(_, (key, _))| key.as_ref())
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

/// A string as JSON text.
pub(crate) fn string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
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
