//! The one model that every format is read into.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};

use serde::{Serialize, Serializer};

use crate::platform::Platform;
use crate::reference::Reference;

/// The layouts that image archives come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// `manifest.json` names configs and layers: Docker 1.10 to 24, skopeo, podman, crane, kaniko, Jib, Bazel, Nix.
    Docker,
    /// `manifest.json` beside an OCI image layout: Docker 25 and later, containerd, buildx.
    DockerOci,
    /// An OCI image layout alone.
    Oci,
    /// `repositories` and layer directories alone: Docker up to 1.9.
    DockerV1,
}

impl Format {
    /// The format as the library's users see it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::DockerOci => "docker-oci",
            Self::Oci => "oci",
            Self::DockerV1 => "docker-v1",
        }
    }
}

/// A name of an image, as the archive writes it and, where Docker's grammar allows it, as what it means.
#[derive(Debug, Clone)]
pub struct Name {
    pub(crate) text: String,
    pub(crate) reference: Option<Reference>,
    is_bare: bool,
}

impl Name {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { reference: Reference::parse(&text).ok(), text, is_bare: false }
    }

    /// A tag without a repository, as OCI layouts may have it.
    pub(crate) fn bare(text: impl Into<String>) -> Self {
        Self { text: text.into(), reference: None, is_bare: true }
    }

    /// Whether it is a tag without a repository, for which only `index.json` has a place.
    pub(crate) fn is_bare(&self) -> bool {
        self.is_bare
    }

    /// A name to be written in full, or as Docker prints it.
    pub(crate) fn of(reference: Reference, in_full: bool) -> Self {
        let text = if in_full { reference.canonical() } else { reference.to_string() };
        Self { text, reference: Some(reference), is_bare: false }
    }

    /// The name as the archive writes it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What the name means; `None` where Docker would refuse it.
    pub fn reference(&self) -> Option<&Reference> {
        self.reference.as_ref()
    }
}

/// Names are equal when they mean the same.
impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        match (&self.reference, &other.reference) {
            (Some(a), Some(b)) => a == b,
            _ => self.text == other.text,
        }
    }
}

impl Eq for Name {}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match &self.reference {
            Some(reference) => reference.hash(state),
            None => self.text.hash(state),
        }
    }
}

/// As Docker prints it.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reference {
            Some(reference) => reference.fmt(f),
            None => f.write_str(&self.text),
        }
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One layer of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Layer {
    /// Digest of the blob as stored, where the archive says it or where it follows from the diff ID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Digest of the uncompressed tar, as the config states it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diff_id: Option<String>,
    /// As the manifest states it, or as the layer's first bytes show it.
    pub media_type: String,
    /// Bytes as stored.
    pub size: u64,
    /// Name of the member that the manifest gives for the layer.
    pub path: String,
    /// Which member holds the layer; `None` for a foreign layer that the archive leaves out.
    #[serde(skip)]
    pub entry: Option<usize>,
}

impl Layer {
    /// Whether its bytes are encrypted (OCIcrypt): then nothing can be said of what they hold.
    pub(crate) fn is_encrypted(&self) -> bool {
        is_encrypted(&self.media_type)
    }
}

/// Whether a layer of that media type is encrypted.
pub(crate) fn is_encrypted(media_type: &str) -> bool {
    media_type.ends_with("+encrypted")
}

/// The media type of a layer that may not be distributed, where nobody states one.
pub(crate) const FOREIGN_LAYER: &str = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";

/// Whether layers of images have that media type.
pub(crate) fn is_layer(media_type: &str) -> bool {
    ["application/vnd.oci.image.layer.", "application/vnd.docker.image.rootfs."]
        .iter()
        .any(|kind| media_type.starts_with(kind))
}

/// Whether a layer of that media type may not be distributed, so that archives may leave it out.
pub(crate) fn is_foreign(media_type: &str) -> bool {
    media_type.contains("foreign") || media_type.contains("nondistributable")
}

/// One step of an image's history.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HistoryEntry {
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// The command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// Who made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// A message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Whether the step changed only the config.
    pub empty_layer: bool,
    /// Which of the image's layers the step made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layer: Option<usize>,
}

/// How Docker checks that a container is healthy. Durations are nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)] // the fields are Docker's own
pub struct HealthCheck {
    pub test: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_period: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_interval: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retries: Option<u64>,
}

/// What a container made from the image starts with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)] // the fields are Docker's own
pub struct ContainerConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cmd: Option<Vec<String>>,
    pub env: Vec<String>,
    pub labels: BTreeMap<String, String>,
    pub exposed_ports: Vec<String>,
    pub volumes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<HealthCheck>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shell: Option<Vec<String>>,
    pub on_build: Vec<String>,
}

/// One image of an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Image {
    /// Digest of the config's bytes: the image ID of Docker's classic store.
    pub id: String,
    /// Digest of the image's manifest, where the archive has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Digest of the index that lists the image beside those for other platforms, where there is one: they share
    /// their names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<String>,
    /// ID of the image that it was made from, where `manifest.json` says so (`Parent`): what Docker keeps of a build.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// The image's names, in the archive's order, each once.
    #[serde(rename = "references")]
    pub names: Vec<Name>,
    /// The machine that it was built for.
    pub platform: Platform,
    /// RFC 3339, as the config states it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Who made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// Sum of the layers' sizes as stored.
    pub size: u64,
    /// Bottom first.
    pub layers: Vec<Layer>,
    /// Oldest first.
    pub history: Vec<HistoryEntry>,
    /// What a container made from it starts with.
    pub config: ContainerConfig,
    /// Which member holds the config.
    #[serde(skip)]
    pub config_entry: usize,
}

/// Something that an index lists and that is no image of the archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Other {
    /// What it is.
    pub kind: OtherKind,
    /// Digest of its manifest.
    pub digest: String,
    /// The manifest's media type, as its descriptor states it.
    pub media_type: String,
    /// The machine that it is for, where its descriptor says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Digest of the manifest that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The names that the index gives it.
    #[serde(rename = "references")]
    pub names: Vec<Name>,
    /// Size of its manifest in bytes.
    pub size: u64,
}

/// What an [`Other`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OtherKind {
    /// Not in this archive: the index lists it, but its blobs were left out, as of a platform that was not pulled.
    Absent,
    /// What a builder says of how an image was made (BuildKit's in-toto attestations).
    Attestation,
    /// A signature of an image (cosign, notation).
    Signature,
    /// Anything else: a chart, a module, a document of an unknown type.
    Artifact,
}
