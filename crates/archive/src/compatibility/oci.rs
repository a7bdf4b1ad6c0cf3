//! OCI image layouts, as far as readers look at them.

use std::rc::Rc;

use crate::digest::{blob_path, sha256};
use crate::json::{self, Object};
use crate::model::{is_encrypted, is_layer};
use crate::platform::Platform;
use crate::source::Source;
use crate::write::{OCI_CONFIG, OCI_INDEX, OCI_MANIFEST};

use super::Flaw;
use super::facts::Facts;
use super::types::{Types, fits, is_bytes, is_integer, is_list, is_map, is_string, is_struct};

/// The longest manifest or config that is read; the limit of skopeo and podman.
const MAX_DOCUMENT: u64 = 4 << 20;

pub(super) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";

/// An index or a manifest.
#[derive(Debug)]
pub(super) enum Document {
    Index(Vec<Descriptor>),
    Manifest(Box<Manifest>),
}

impl Document {
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Index(_) => Kind::Index,
            Self::Manifest(_) => Kind::Manifest,
        }
    }
}

/// An image's manifest.
#[derive(Debug)]
pub(super) struct Manifest {
    /// What it calls itself; empty where it says nothing.
    pub(super) media_type: String,
    pub(super) config: Descriptor,
    pub(super) layers: Vec<Descriptor>,
}

impl Manifest {
    /// Whether it is one of an image of tars, by its media types.
    pub(super) fn is_of_tars(&self) -> bool {
        let is_tar = |layer: &Descriptor| is_layer(&layer.media_type) && !is_encrypted(&layer.media_type);
        [OCI_CONFIG, DOCKER_CONFIG].contains(&&*self.config.media_type) && self.layers.iter().all(is_tar)
    }
}

/// What a document says of another one, or of a layer.
#[derive(Debug)]
pub(super) struct Descriptor {
    /// Empty where it is not stated.
    pub(super) media_type: String,
    pub(super) digest: String,
    /// In bytes; 0 where it is not stated.
    pub(super) size: i64,
    pub(super) containerd_name: Option<String>,
    pub(super) ref_name: Option<String>,
    pub(super) platform: Option<Platform>,
    pub(super) is_attestation: bool,
}

/// What a document is, by a media type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Index,
    Manifest,
}

impl Kind {
    /// `None` for a type that is neither's.
    pub(super) fn of(media_type: &str) -> Option<Self> {
        match media_type {
            OCI_INDEX | DOCKER_INDEX => Some(Self::Index),
            OCI_MANIFEST | DOCKER_MANIFEST => Some(Self::Manifest),
            _ => None,
        }
    }

    /// A key of a document of this kind that one of the other kind has no place for, be it `null`.
    pub(super) fn foreign_key(self, bytes: &[u8]) -> Option<&'static str> {
        let document = json::first_value(bytes).ok()?;
        let object = Object::parse(document.value)?;
        let keys: &[&str] = match self {
            Self::Index => &["config", "layers"],
            Self::Manifest => &["manifests"],
        };
        keys.iter().copied().find(|key| object.members().any(|(name, _)| name.eq_ignore_ascii_case(key)))
    }
}

const DOCUMENT: &Types =
    &[(&["schemaVersion"], is_integer), (&["mediaType"], is_string), (&["annotations"], is_map)];

const DESCRIPTOR: &Types = &[
    (&["mediaType", "digest"], is_string),
    (&["size"], is_integer),
    (&["urls"], is_list),
    (&["annotations"], is_map),
    (&["data"], is_bytes),
    (&["platform"], |text| is_struct(text, PLATFORM)),
];

const PLATFORM: &Types =
    &[(&["architecture", "os", "os.version", "variant"], is_string), (&["os.features"], is_list)];

/// Reads an index or a manifest. `is_whole` is whether nothing may follow the JSON.
pub(super) fn parse(bytes: &[u8], is_whole: bool) -> Option<Document> {
    let document = json::first_value(bytes).ok()?;
    if is_whole && !document.after.trim().is_empty() {
        return None;
    }
    let object = Object::parse(document.value).filter(|object| fits(object, DOCUMENT))?;
    if let Some(manifests) = object.array("manifests") {
        return manifests.into_iter().map(descriptor).collect::<Option<_>>().map(Document::Index);
    }
    let layers = object.array("layers").unwrap_or_default();
    Some(Document::Manifest(Box::new(Manifest {
        media_type: object.read("mediaType").unwrap_or_default(),
        config: descriptor(object.get("config")?)?,
        layers: layers.into_iter().map(descriptor).collect::<Option<_>>()?,
    })))
}

fn descriptor(text: &str) -> Option<Descriptor> {
    let object = Object::parse(text).filter(|object| fits(object, DESCRIPTOR))?;
    let annotations = object.object("annotations").unwrap_or_default();
    let annotation = |key: &str| annotations.read::<String>(key).filter(|text| !text.is_empty());
    let platform = object.object("platform").map(|platform| {
        let read = |key: &str| platform.read::<String>(key).unwrap_or_default();
        Platform { os: read("os"), architecture: read("architecture"), variant: platform.read("variant") }
    });
    Some(Descriptor {
        media_type: object.read("mediaType").unwrap_or_default(),
        digest: object.read("digest")?,
        size: object.read("size").unwrap_or_default(),
        containerd_name: annotation("io.containerd.image.name"),
        ref_name: annotation("org.opencontainers.image.ref.name"),
        platform,
        is_attestation: annotation("vnd.docker.reference.type").is_some(),
    })
}

/// Finds the member at a path, each reader in its own way.
pub(super) type Find<'a> = &'a dyn Fn(&str) -> Option<usize>;

fn blob(find: Find<'_>, digest: &str) -> Result<usize, Flaw> {
    let found = blob_path(digest).and_then(|path| find(&path));
    found.ok_or_else(|| Flaw::of_image(format!("The blob {digest} is not in the archive.")))
}

fn corrupt(digest: &str) -> Flaw {
    Flaw::of_image(format!("The blob {digest} is damaged: its digest is another."))
}

/// The content of a blob that is a document.
pub(super) fn document<S: Source + Clone>(
    facts: &Facts<'_, S>,
    find: Find<'_>,
    digest: &str,
) -> Result<Rc<[u8]>, Flaw> {
    let bytes = facts.document(blob(find, digest)?, MAX_DOCUMENT)?;
    let is_whole = !digest.starts_with("sha256:") || sha256(&bytes) == digest;
    if is_whole { Ok(bytes) } else { Err(corrupt(digest)) }
}

/// The index or manifest with that digest.
pub(super) fn read<S: Source + Clone>(
    facts: &Facts<'_, S>,
    find: Find<'_>,
    digest: &str,
) -> Result<Document, Flaw> {
    read_bytes(&document(facts, find, digest)?, digest)
}

/// As [`read`], from its bytes.
pub(super) fn read_bytes(bytes: &[u8], digest: &str) -> Result<Document, Flaw> {
    let flaw = || {
        Flaw::of_image(format!("The manifest {digest} cannot be read, or a value in it has the wrong type."))
    };
    parse(bytes, true).ok_or_else(flaw)
}

/// The members that hold these layers, none of them known to be damaged.
pub(super) fn blobs<S: Source + Clone>(
    facts: &Facts<'_, S>,
    find: Find<'_>,
    layers: &[Descriptor],
) -> Result<Vec<usize>, Flaw> {
    let layer = |Descriptor { digest, .. }: &Descriptor| {
        let member = blob(find, digest)?;
        if facts.is_corrupt(member, digest) { Err(corrupt(digest)) } else { Ok(member) }
    };
    layers.iter().map(layer).collect()
}
