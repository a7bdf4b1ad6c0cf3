//! Image configs, as Go's types have them: one value of the wrong type, and nothing of the config is read.

use crate::digest::sha256;
use crate::json::{self, Object};
use crate::time::Timestamp;

use super::Flaw;

/// What readers want to know of a config.
#[derive(Debug)]
pub(super) struct Config {
    /// Digest of its bytes.
    pub(super) id: String,
    pub(super) os: String,
    /// Whether it says anything of layers.
    pub(super) has_rootfs: bool,
    pub(super) diff_ids: Vec<String>,
    /// Steps of the history that made a layer.
    pub(super) steps: usize,
    /// Whether a command is a string and no list.
    pub(super) has_shell_form: bool,
}

impl Config {
    /// As Docker reads it, for whom a command may be a string.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Flaw> {
        let flaw = "The image's config cannot be read: it is no JSON, or a value in it has the wrong type.";
        Self::parse(bytes).ok_or_else(|| Flaw::of_image(flaw))
    }

    /// As those read it who go by the OCI's types.
    pub(super) fn read_as_oci(bytes: &[u8]) -> Result<Self, Flaw> {
        Self::read(bytes)?.without_shell_form()
    }

    pub(super) fn without_shell_form(self) -> Result<Self, Flaw> {
        if self.has_shell_form {
            return Err(Flaw::of_image(
                "A command of the config is a string, which only Docker and skopeo take.",
            ));
        }
        Ok(self)
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let document = json::first_value(bytes).ok().filter(|document| document.after.trim().is_empty())?;
        let object = Object::parse(document.value).filter(|object| fits(object, CONFIG))?;
        let rootfs = object.object("rootfs");
        let diff_ids = match &rootfs {
            Some(rootfs) if rootfs.get("diff_ids").is_some() => rootfs.read("diff_ids")?,
            _ => Vec::new(),
        };
        let runs = object.object("config").unwrap_or_default();
        let makes_layer = |step: &&str| {
            let step = Object::parse(step).unwrap_or_default();
            !step.read("empty_layer").unwrap_or(false)
        };
        Some(Self {
            id: sha256(bytes),
            os: object.read("os").unwrap_or_default(),
            has_rootfs: rootfs.is_some(),
            diff_ids,
            steps: object.array("history").unwrap_or_default().into_iter().filter(makes_layer).count(),
            has_shell_form: COMMANDS.iter().any(|key| runs.get(key).is_some_and(is_string)),
        })
    }

    /// No system named is Linux too.
    pub(super) fn is_for_linux(&self) -> bool {
        matches!(self.os.as_str(), "" | "linux")
    }

    /// The config says of which layers the image is, and it is as many as there are.
    pub(super) fn count_flaw(&self, layers: usize) -> Option<Flaw> {
        if !self.has_rootfs {
            return Some(Flaw::of_image("The image's config has no rootfs."));
        }
        (self.diff_ids.len() != layers).then(|| {
            let listed = self.diff_ids.len();
            Flaw::of_image(format!("The image has {layers} layers, but its config lists {listed}."))
        })
    }
}

/// Whether a value's JSON is of some type.
type Is = fn(&str) -> bool;

const CONFIG: &[(&str, Is)] = &[
    ("architecture", is_string),
    ("author", is_string),
    ("created", is_time),
    ("os", is_string),
    ("config", |text| Object::parse(text).is_some_and(|object| fits(&object, RUNS))),
    ("rootfs", is_object),
    ("history", |text| are(text, |step| Object::parse(step).is_some_and(|object| fits(&object, STEP)))),
];

const COMMANDS: [&str; 2] = ["Cmd", "Entrypoint"];

const RUNS: &[(&str, Is)] = &[
    (COMMANDS[0], is_command),
    (COMMANDS[1], is_command),
    ("Env", is_list),
    ("Labels", |text| holds(text, is_string)),
    ("ExposedPorts", is_set),
    ("Volumes", is_set),
    ("User", is_string),
    ("WorkingDir", is_string),
    ("StopSignal", is_string),
];

const STEP: &[(&str, Is)] = &[
    ("author", is_string),
    ("comment", is_string),
    ("created", is_time),
    ("created_by", is_string),
    ("empty_layer", |text| matches!(text, "true" | "false")),
];

fn fits(object: &Object<'_>, types: &[(&str, Is)]) -> bool {
    types.iter().all(|(key, is)| object.get(key).is_none_or(is))
}

fn is_string(text: &str) -> bool {
    text.starts_with('"')
}

fn is_object(text: &str) -> bool {
    text.starts_with('{')
}

fn is_list(text: &str) -> bool {
    are(text, is_string)
}

fn is_command(text: &str) -> bool {
    is_string(text) || is_list(text)
}

fn is_set(text: &str) -> bool {
    holds(text, is_object)
}

fn is_time(text: &str) -> bool {
    text.strip_prefix('"').and_then(|text| Timestamp::parse(text.strip_suffix('"')?)).is_some()
}

/// Whether a list has elements of that type only. `null` is of every type.
fn are(text: &str, is: Is) -> bool {
    json::array(text).is_some_and(|list| list.iter().all(|text| *text == "null" || is(text)))
}

/// As [`are`], for an object that is a map.
fn holds(text: &str, is: Is) -> bool {
    Object::parse(text).is_some_and(|map| map.members().all(|(_, text)| text == "null" || is(text)))
}
