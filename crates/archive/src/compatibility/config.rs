//! Image configs, as Go's types have them.

use crate::digest::sha256;
use crate::json::{self, Object};

use super::Flaw;
use super::types::{
    Types, are, fits, is_bool, is_integer, is_list, is_map, is_set, is_string, is_struct, is_time,
};

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
        Self::parse(bytes, DOCKERS)
    }

    /// As those read it who go by the OCI's types.
    pub(super) fn read_as_oci(bytes: &[u8]) -> Result<Self, Flaw> {
        Self::parse(bytes, &[])?.without_shell_form()
    }

    pub(super) fn without_shell_form(self) -> Result<Self, Flaw> {
        if self.has_shell_form {
            return Err(Flaw::of_image(
                "A command of the config is a string, which only Docker and skopeo take.",
            ));
        }
        Ok(self)
    }

    /// Reads a config whose values have these types, and those that all readers know.
    fn parse(bytes: &[u8], types: &Types) -> Result<Self, Flaw> {
        let flaw = "The image's config cannot be read: it is no JSON, or a value in it has the wrong type.";
        Self::try_parse(bytes, types).ok_or_else(|| Flaw::of_image(flaw))
    }

    fn try_parse(bytes: &[u8], types: &Types) -> Option<Self> {
        let document = json::first_value(bytes).ok().filter(|document| document.after.trim().is_empty())?;
        let object = Object::parse(document.value)?;
        if !fits(&object, CONFIG) || !fits(&object, types) {
            return None;
        }
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

const CONFIG: &Types = &[
    (&["architecture", "author", "os", "os.version", "variant"], is_string),
    (&["os.features"], is_list),
    (&["created"], is_time),
    (&["config"], |text| is_struct(text, RUNS)),
    (&["rootfs"], |text| is_struct(text, &[(&["type"], is_string)])),
    (&["history"], |text| are(text, |step| is_struct(step, STEP))),
];

/// What Docker's own type has besides; skopeo and podman read it so in Docker's archives.
const DOCKERS: &Types = &[
    (&["id", "parent", "comment", "container", "docker_version"], is_string),
    (&["size"], is_integer),
    (&["config"], |text| is_struct(text, DOCKERS_RUNS)),
    (&["container_config"], |text| is_struct(text, RUNS) && is_struct(text, DOCKERS_RUNS)),
];

const COMMANDS: &[&str] = &["Cmd", "Entrypoint"];

const RUNS: &Types = &[
    (COMMANDS, is_command),
    (&["Env"], is_list),
    (&["Labels"], is_map),
    (&["ExposedPorts", "Volumes"], is_set),
    (&["User", "WorkingDir", "StopSignal"], is_string),
    (&["ArgsEscaped"], is_bool),
];

const DOCKERS_RUNS: &Types = &[
    (&["Hostname", "Domainname", "Image", "MacAddress"], is_string),
    (
        &["AttachStdin", "AttachStdout", "AttachStderr", "Tty", "OpenStdin", "StdinOnce", "NetworkDisabled"],
        is_bool,
    ),
    (&["OnBuild"], is_list),
    (&["Shell"], is_command),
    (&["StopTimeout"], is_integer),
    (&["Healthcheck"], |text| is_struct(text, HEALTH)),
];

const HEALTH: &Types =
    &[(&["Test"], is_list), (&["Interval", "Timeout", "StartPeriod", "Retries"], is_integer)];

const STEP: &Types = &[
    (&["author", "comment", "created_by"], is_string),
    (&["created"], is_time),
    (&["empty_layer"], is_bool),
];

fn is_command(text: &str) -> bool {
    is_string(text) || is_list(text)
}
