//! The documents of Docker 1.9's format: one for each layer, which Docker up to 28 still writes beside its own, and which
//! archives by Docker up to 1.9 have instead of a config.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::packed::{Blob, Packed};
use crate::digest::{hex, sha256};
use crate::error::{Code, Error, Result};
use crate::json::{self, Object};
use crate::model::Image;
use crate::time::Timestamp;

/// Go's `time.Unix(0, 0)`, which all layers but the top one have.
const EPOCH: &str = r#""1970-01-01T00:00:00Z""#;
/// Go's time that is none.
const NEVER: &str = "0001-01-01T00:00:00Z";
/// Before that version, Docker left fields in a `json` that had nothing in them.
const WITHOUT_BLANKS: [u64; 3] = [1, 8, 3];

/// A layer in the format of Docker 1.9.
pub(super) struct V1Layer {
    /// Hexadecimal: the name of its directory.
    pub(super) id: String,
    /// Its `json`.
    pub(super) json: String,
}

/// The fields of Docker's `container.Config`, in its order, with the text of what is not set; empty where Docker
/// leaves it out.
const CONTAINER: [(&str, &str); 24] = [
    ("Hostname", r#""""#),
    ("Domainname", r#""""#),
    ("User", r#""""#),
    ("AttachStdin", "false"),
    ("AttachStdout", "false"),
    ("AttachStderr", "false"),
    ("ExposedPorts", ""),
    ("Tty", "false"),
    ("OpenStdin", "false"),
    ("StdinOnce", "false"),
    ("Env", "null"),
    ("Cmd", "null"),
    ("Healthcheck", ""),
    ("ArgsEscaped", ""),
    ("Image", r#""""#),
    ("Volumes", "null"),
    ("WorkingDir", r#""""#),
    ("Entrypoint", "null"),
    ("NetworkDisabled", ""),
    ("MacAddress", ""),
    ("OnBuild", "null"),
    ("Labels", "null"),
    ("StopSignal", ""),
    ("StopTimeout", ""),
];

/// What Go leaves out where it may, but for what a pointer leads to.
const ZEROS: [&str; 4] = [r#""""#, "false", "{}", "[]"];

/// The image's layers, bottom first (moby `image/tarexport/save.go`, `image/v1/imagev1.go`).
pub(super) fn layers<S>(image: &Packed<S>) -> Vec<V1Layer> {
    let document = json::first_value(&image.config).ok();
    let config = document.and_then(|document| Object::parse(document.value)).unwrap_or_default();
    let mut layers: Vec<V1Layer> = Vec::with_capacity(image.layers.len());
    let mut chain = String::new();
    for (number, layer) in image.layers.iter().enumerate() {
        chain = if chain.is_empty() {
            layer.diff_id.clone()
        } else {
            sha256(format!("{chain} {}", layer.diff_id).as_bytes())
        };
        let source = if number + 1 == image.layers.len() { &config } else { &Object::default() };
        let parent = layers.last().map(|layer| layer.id.clone());
        let id = id(&fields(source, EPOCH, None, as_written), &chain, parent.as_deref());
        let mut json = fields(source, EPOCH, Some(config.get("os").unwrap_or(r#""""#)), as_written);
        let own = [("id", Some(&id)), ("parent", parent.as_ref())];
        let own: Vec<_> =
            own.into_iter().filter_map(|(key, value)| Some((key.to_owned(), json::string(value?)))).collect();
        json.splice(0..0, own);
        layers.push(V1Layer { id, json: object(&json) });
    }
    layers
}

type Fields = Vec<(String, String)>;

/// What becomes of the value of a key.
type Writing = fn(key: &str, value: &str) -> String;

fn as_written(_: &str, value: &str) -> String {
    value.to_owned()
}

/// As Go writes what it has read into a struct.
fn by_go(key: &str, value: &str) -> String {
    match (key, serde_json::from_str::<String>(value)) {
        ("created", Ok(time)) => json::string(&go_time(&time)),
        ("Cmd" | "Entrypoint" | "Shell", Ok(word)) => json::array_of([json::string(&word)]),
        (_, Ok(text)) => json::string(&text),
        // This one's keys have an order of their own. Docker 1.12 was the first to write it.
        ("Healthcheck", _) => value.to_owned(),
        _ => {
            if let Some(elements) = json::array(value) {
                return json::array_of(elements.into_iter().map(|element| by_go("", element)));
            }
            let Some(map) = Object::parse(value) else { return value.to_owned() };
            let sorted: BTreeMap<&str, String> =
                map.members().map(|(key, value)| (key, by_go("", value))).collect();
            object(&sorted.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
        }
    }
}

/// Docker's `V1Image` without ID and parent; `created` is the time where there is none, `os` is in place of the source's.
fn fields(source: &Object<'_>, created: &str, os: Option<&str>, write: Writing) -> Fields {
    let container = |key: &str| container(&source.object(key).unwrap_or_default(), write);
    let mut fields = Fields::new();
    let mut put = |key: &str, value: Option<String>| {
        fields.extend(value.map(|value| (key.to_owned(), value)));
    };
    let value = |key: &str| source.get(key).map(|value| write(key, value));
    let text = |key: &str| value(key).filter(|value| value != r#""""#);
    put("comment", text("comment"));
    put("created", value("created").or_else(|| Some(created.to_owned())));
    put("container", text("container"));
    put("container_config", Some(container("container_config")));
    put("docker_version", text("docker_version"));
    put("author", text("author"));
    put("config", source.get("config").map(|_| container("config")));
    put("architecture", text("architecture"));
    put("variant", text("variant"));
    put("os", os.map(str::to_owned).or_else(|| text("os")).filter(|os| os != r#""""#));
    put("Size", value("Size").filter(|size| size != "0"));
    fields
}

fn container(config: &Object<'_>, write: Writing) -> String {
    let mut fields = Fields::new();
    for (key, unset) in CONTAINER.iter().chain(&[("Shell", "")]) {
        match config.get(key).map(|value| write(key, value)) {
            Some(value) if unset.is_empty() && ZEROS.contains(&&*value) && *key != "Healthcheck" => {}
            Some(value) => fields.push(((*key).to_owned(), value)),
            None if unset.is_empty() => {}
            None => fields.push(((*key).to_owned(), (*unset).to_owned())),
        }
    }
    object(&fields)
}

fn object(fields: &Fields) -> String {
    let members: Vec<_> =
        fields.iter().map(|(key, value)| format!("{}:{value}", json::string(key))).collect();
    format!("{{{}}}", members.join(","))
}

/// The ID hashes the document with two keys more, and all keys sorted.
fn id(fields: &Fields, chain: &str, parent: Option<&str>) -> String {
    let mut sorted: BTreeMap<&str, String> =
        fields.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
    sorted.insert("layer_id", json::string(chain));
    if let Some(parent) = parent {
        sorted.insert("parent", json::string(&format!("sha256:{parent}")));
    }
    let fields: Fields = sorted.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    hex(&sha256(object(&fields).as_bytes())).to_owned()
}

/// The config that Docker 1.10 to 28 make of a Docker 1.9 image when they load it (moby `image/v1`,
/// `MakeConfigFromV1Config`).
pub(super) fn to_config<S>(bytes: &[u8], image: &Image, layers: &[Blob<S>]) -> Result<Vec<u8>> {
    const DROPPED: [&str; 6] = ["id", "parent", "Size", "parent_id", "layer_id", "throwaway"];
    let fail = || Error::new(Code::InvalidConfig, "The image's json cannot be made into a config.");
    let text = json::first_value(bytes).map_err(|_| fail())?.value;
    let source = Object::parse(text).ok_or_else(fail)?;
    let text = if has_blanks(&source.read::<String>("docker_version").unwrap_or_default()) {
        object(&fields(&source, &json::string(NEVER), None, by_go))
    } else {
        text.to_owned()
    };
    let mut config: BTreeMap<String, Box<RawValue>> = serde_json::from_str(&text).map_err(|_| fail())?;
    config.retain(|key, _| !DROPPED.contains(&key.as_str()));
    let raw = |text: String| RawValue::from_string(text).map_err(|_| fail());
    let diff_ids = json::array_of(layers.iter().map(|layer| json::string(&layer.diff_id)));
    config.insert("rootfs".to_owned(), raw(format!(r#"{{"type":"layers","diff_ids":{diff_ids}}}"#))?);
    let history = image.history.iter().map(|step| {
        let created = go_time(step.created.as_deref().unwrap_or(NEVER));
        let mut fields: Fields = vec![("created".to_owned(), json::string(&created))];
        for (key, value) in
            [("author", &step.author), ("created_by", &step.created_by), ("comment", &step.comment)]
        {
            fields.extend(value.as_ref().map(|value| (key.to_owned(), json::string(value))));
        }
        if step.empty_layer {
            fields.push(("empty_layer".to_owned(), "true".to_owned()));
        }
        object(&fields)
    });
    config.insert("history".to_owned(), raw(json::array_of(history))?);
    serde_json::to_string(&config).map(|text| go_json(&text).into_bytes()).map_err(|_| fail())
}

/// Whether Docker reads and writes a `json` of that version before it makes a config of it (moby `api/types/versions`).
fn has_blanks(version: &str) -> bool {
    let mut numbers: Vec<u64> = version.split('.').map(|part| part.parse().unwrap_or(0)).collect();
    let mut others = WITHOUT_BLANKS.to_vec();
    let len = numbers.len().max(others.len());
    numbers.resize(len, 0);
    others.resize(len, 0);
    numbers < others
}

/// A time as Go writes it: no zeros at the end of the fraction, and `Z` where the clock is that of UTC.
fn go_time(text: &str) -> String {
    let Some((whole, rest)) = Timestamp::parse(text).and_then(|_| text.split_at_checked(19)) else {
        return text.to_owned();
    };
    let digits = rest.strip_prefix('.').unwrap_or_default();
    let (fraction, _) = digits.split_at(digits.bytes().take_while(u8::is_ascii_digit).count());
    let zone = rest.trim_start_matches(|char: char| char == '.' || char.is_ascii_digit());
    let zone = if matches!(zone, "+00:00" | "-00:00") { "Z" } else { zone };
    let fraction = fraction.get(..9).unwrap_or(fraction).trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{whole}{point}{fraction}{zone}")
}

/// JSON as Go writes it: without white space, and with what is something to HTML and JavaScript escaped.
fn go_json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut in_string, mut is_escaped) = (false, false);
    for char in text.chars() {
        match char {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            _ if in_string || !char.is_ascii_whitespace() => out.push(char),
            _ => {}
        }
        in_string ^= char == '"' && !is_escaped;
        is_escaped = in_string && char == '\\' && !is_escaped;
    }
    out
}
