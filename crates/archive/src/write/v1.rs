//! The documents of Docker 1.9's format: one for each layer, which Docker up to 28 still writes beside its own, and which
//! archives by Docker up to 1.9 have instead of a config.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::packed::{Blob, Packed};
use crate::digest::{hex, sha256};
use crate::error::{Code, Error, Result};
use crate::json::{self, Object};
use crate::model::Image;

/// Go's `time.Unix(0, 0)`, which all layers but the top one have.
const EPOCH: &str = r#""1970-01-01T00:00:00Z""#;

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
        let is_top = number + 1 == image.layers.len();
        let parent = layers.last().map(|layer| layer.id.clone());
        let id = id(&fields(&config, is_top, None), &chain, parent.as_deref());
        let mut json = fields(&config, is_top, Some(config.get("os").unwrap_or(r#""""#)));
        let own = [("id", Some(&id)), ("parent", parent.as_ref())];
        let own: Vec<_> =
            own.into_iter().filter_map(|(key, value)| Some((key.to_owned(), json::string(value?)))).collect();
        json.splice(0..0, own);
        layers.push(V1Layer { id, json: object(&json) });
    }
    layers
}

type Fields = Vec<(String, String)>;

/// Docker's `V1Image` without ID and parent; `os` in place of the config's.
fn fields(config: &Object<'_>, is_top: bool, os: Option<&str>) -> Fields {
    let empty = Object::default();
    let source = if is_top { config } else { &empty };
    let container = |key: &str| container(&source.object(key).unwrap_or_default());
    let mut fields = Fields::new();
    let mut put = |key: &str, value: Option<String>| {
        fields.extend(value.map(|value| (key.to_owned(), value)));
    };
    let text = |key: &str| source.get(key).filter(|value| *value != r#""""#).map(str::to_owned);
    put("comment", text("comment"));
    put("created", Some(source.get("created").unwrap_or(EPOCH).to_owned()));
    put("container", text("container"));
    put("container_config", Some(container("container_config")));
    put("docker_version", text("docker_version"));
    put("author", text("author"));
    put("config", source.get("config").map(|_| container("config")));
    put("architecture", text("architecture"));
    put("variant", text("variant"));
    put("os", os.map(str::to_owned).or_else(|| text("os")).filter(|os| os != r#""""#));
    put("Size", source.get("Size").filter(|size| *size != "0").map(str::to_owned));
    fields
}

fn container(config: &Object<'_>) -> String {
    let mut fields = Fields::new();
    for (key, unset) in CONTAINER.iter().chain(&[("Shell", "")]) {
        match config.get(key) {
            Some(value) => fields.push(((*key).to_owned(), value.to_owned())),
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
    let mut config: BTreeMap<String, Box<RawValue>> = serde_json::from_str(text).map_err(|_| fail())?;
    config.retain(|key, _| !DROPPED.contains(&key.as_str()));
    let raw = |text: String| RawValue::from_string(text).map_err(|_| fail());
    let diff_ids = json::array_of(layers.iter().map(|layer| json::string(&layer.diff_id)));
    config.insert("rootfs".to_owned(), raw(format!(r#"{{"type":"layers","diff_ids":{diff_ids}}}"#))?);
    let history = image.history.iter().map(|step| {
        let created = step.created.clone().unwrap_or_else(|| "0001-01-01T00:00:00Z".to_owned());
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
    serde_json::to_vec(&config).map_err(|_| fail())
}
