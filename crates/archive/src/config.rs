//! Image configs (OCI image specification, `config.md`; Docker's image JSON), read with the leniency of Docker.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::error::{Code, Error, Result};
use crate::json::{self, Object};
use crate::model::{ContainerConfig, HealthCheck, HistoryEntry};
use crate::platform::Platform;
use crate::time::Timestamp;

/// What a config says about an image, apart from its bytes' digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The machine that the image was built for.
    pub platform: Platform,
    /// RFC 3339.
    pub created: Option<String>,
    /// Who made it.
    pub author: Option<String>,
    /// A message: its own, or else that of its last step.
    pub comment: Option<String>,
    /// The version of Windows that it was built for.
    pub os_version: Option<String>,
    /// Digests of the uncompressed layers, bottom first.
    pub diff_ids: Vec<String>,
    /// Oldest first.
    pub history: Vec<HistoryEntry>,
    /// What a container made from it starts with.
    pub container: ContainerConfig,
}

impl Config {
    /// Reads a config; `path` is for the error, which has the code `invalid-config`.
    pub fn read(bytes: &[u8], path: &str) -> Result<Self> {
        Ok(Self::of(&object(bytes, path)?))
    }

    fn of(object: &Object<'_>) -> Self {
        let text = |key: &str| object.read::<String>(key).filter(|text| !text.is_empty());
        let diff_ids = object.object("rootfs").and_then(|rootfs| rootfs.read("diff_ids")).unwrap_or_default();
        let history = history(object);
        let comment = text("comment").or_else(|| history.last()?.comment.clone());
        Self {
            platform: Platform {
                os: text("os").unwrap_or_default(),
                architecture: text("architecture").unwrap_or_default(),
                variant: text("variant"),
            },
            created: text("created"),
            author: text("author"),
            comment,
            os_version: text("os.version"),
            diff_ids,
            history,
            container: object.object("config").map(|config| container(&config)).unwrap_or_default(),
        }
    }

    /// Reads a config that Docker would load: with a `rootfs`, and times that are some (moby `image.NewFromJSON`).
    ///
    /// Fails with `invalid-config`, in Docker's words.
    pub fn loadable(bytes: &[u8], path: &str) -> Result<Self> {
        let object = object(bytes, path)?;
        let fail = |sentence: String| Err(Error::new(Code::InvalidConfig, sentence).with("entry", path));
        let history = object.array("history").unwrap_or_default().into_iter().filter_map(Object::parse);
        for dated in [object.clone()].into_iter().chain(history) {
            let Some(created) = dated.get("created").filter(|created| *created != "null") else { continue };
            let time: String = serde_json::from_str(created).unwrap_or_default();
            if Timestamp::parse(&time).is_none() {
                return fail(format!("parsing time {created} as \"2006-01-02T15:04:05Z07:00\""));
            }
        }
        if object.object("rootfs").is_none() {
            return fail("invalid image JSON, no RootFS key".to_owned());
        }
        Ok(Self::of(&object))
    }

    /// How many things of the model it becomes.
    pub(crate) fn items(&self) -> usize {
        1 + self.diff_ids.len() + self.history.len()
    }
}

/// The `config` object of an image's config, as it stands: what `docker image inspect` prints under `Config`.
///
/// `path` is for the error, which has the code `invalid-config`.
pub(crate) fn container_value(bytes: &[u8], path: &str) -> Result<Box<RawValue>> {
    let text = object(bytes, path)?.text("config").map(str::to_owned);
    Ok(text.and_then(|text| RawValue::from_string(text).ok()).unwrap_or_else(|| RawValue::NULL.to_owned()))
}

pub(crate) fn object<'a>(bytes: &'a [u8], path: &str) -> Result<Object<'a>> {
    let fail = |reason: String| {
        Error::new(Code::InvalidConfig, format!("The image's config {path} cannot be read: {reason}."))
            .with("entry", path)
            .with("reason", reason)
    };
    let document = json::first_value(bytes).map_err(&fail)?;
    Object::parse(document.value).ok_or_else(|| fail("it is not a JSON object".to_owned()))
}

/// The steps, each with the layer that it made: layers belong to the steps that are not empty, in order.
fn history(config: &Object<'_>) -> Vec<HistoryEntry> {
    let mut layers = 0..;
    let entries = config.array("history").unwrap_or_default();
    let entry = |text: &str| {
        let entry = Object::parse(text).unwrap_or_default();
        let empty_layer = entry.read("empty_layer").unwrap_or(false);
        HistoryEntry {
            created: entry.read("created"),
            created_by: entry.read("created_by"),
            author: entry.read("author"),
            comment: entry.read("comment"),
            empty_layer,
            layer: if empty_layer { None } else { layers.next() },
        }
    };
    entries.into_iter().map(entry).collect()
}

fn container(config: &Object<'_>) -> ContainerConfig {
    let text = |key: &str| config.read::<String>(key).filter(|text| !text.is_empty());
    let list = |key: &str| config.read::<Vec<String>>(key);
    // Docker takes a text for a list of one (`strslice.StrSlice`).
    let words = |key: &str| list(key).or_else(|| config.read::<String>(key).map(|word| vec![word]));
    let mut labels = BTreeMap::new();
    for (key, value) in config.object("Labels").unwrap_or_default().members() {
        // What is null is empty to Go.
        labels.insert(key.to_owned(), serde_json::from_str(value).unwrap_or_default());
    }
    let keys = |key: &str| {
        let object = config.object(key).unwrap_or_default();
        object.members().map(|(key, _)| key.to_owned()).collect()
    };
    ContainerConfig {
        entrypoint: words("Entrypoint"),
        cmd: words("Cmd"),
        env: list("Env").unwrap_or_default(),
        labels,
        exposed_ports: keys("ExposedPorts"),
        volumes: keys("Volumes"),
        user: text("User"),
        working_dir: text("WorkingDir"),
        healthcheck: config.object("Healthcheck").map(|check| HealthCheck {
            test: check.read("Test").unwrap_or_default(),
            interval: check.number("Interval"),
            timeout: check.number("Timeout"),
            start_period: check.number("StartPeriod"),
            start_interval: check.number("StartInterval"),
            retries: check.number("Retries"),
        }),
        stop_signal: text("StopSignal"),
        shell: list("Shell"),
        on_build: list("OnBuild").unwrap_or_default(),
    }
}
