//! OCI image layouts, as far as readers look at them.

use std::rc::Rc;

use crate::digest::{blob_path, sha256};
use crate::json::{self, Object};
use crate::source::Source;

use super::Flaw;
use super::facts::Facts;

/// The longest manifest or config that is read; the limit of skopeo and podman.
const MAX_DOCUMENT: u64 = 4 << 20;

/// The media types of image configs, the OCI's and Docker's.
const CONFIG_TYPES: [&str; 2] =
    ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];

/// An index or a manifest.
#[derive(Debug)]
pub(super) enum Document {
    Index(Vec<Descriptor>),
    /// Digests, and whether the config is one of an image.
    Manifest {
        config: String,
        /// The config's size, as it is stated.
        config_size: u64,
        is_image: bool,
        /// Whether the layers are tars that can be read, by their media types.
        is_tars: bool,
        layers: Vec<String>,
    },
}

/// What an index says of one image.
#[derive(Debug)]
pub(super) struct Descriptor {
    pub(super) digest: String,
    pub(super) containerd_name: Option<String>,
    pub(super) ref_name: Option<String>,
    /// Operating system and architecture.
    pub(super) platform: Option<(String, String)>,
    pub(super) is_attestation: bool,
}

/// Reads an index or a manifest.
pub(super) fn parse(bytes: &[u8]) -> Option<Document> {
    let document = json::first_value(bytes).ok()?;
    let object = Object::parse(document.value)?;
    if let Some(manifests) = object.array("manifests") {
        return manifests.into_iter().map(descriptor).collect::<Option<_>>().map(Document::Index);
    }
    let digest = |text: &str| Object::parse(text)?.read("digest");
    let layers = object.array("layers").unwrap_or_default();
    let config = object.get("config")?;
    let described = Object::parse(config)?;
    let media_type = |object: &Object<'_>| object.read::<String>("mediaType").unwrap_or_default();
    let is_tar = |layer: &&str| {
        let media_type = Object::parse(layer).as_ref().map(media_type).unwrap_or_default();
        media_type.is_empty() || media_type.contains("tar") && !media_type.ends_with("+encrypted")
    };
    Some(Document::Manifest {
        config: digest(config)?,
        config_size: described.number("size").unwrap_or_default(),
        is_image: CONFIG_TYPES.contains(&media_type(&described).as_str()),
        is_tars: layers.iter().all(is_tar),
        layers: layers.into_iter().map(digest).collect::<Option<_>>()?,
    })
}

/// Whether a document has keys of an index and of a manifest, be they `null`.
pub(super) fn is_ambiguous(bytes: &[u8]) -> bool {
    let document = json::first_value(bytes).ok();
    let object = document.and_then(|document| Object::parse(document.value)).unwrap_or_default();
    let has = |key: &str| object.members().any(|(name, _)| name.eq_ignore_ascii_case(key));
    has("manifests") && (has("config") || has("layers"))
}

fn descriptor(text: &str) -> Option<Descriptor> {
    let object = Object::parse(text)?;
    let annotations = object.object("annotations").unwrap_or_default();
    let annotation = |key: &str| annotations.read::<String>(key).filter(|text| !text.is_empty());
    let platform = object.object("platform").map(|platform| {
        let read = |key: &str| platform.read::<String>(key).unwrap_or_default();
        (read("os"), read("architecture"))
    });
    Some(Descriptor {
        digest: object.read("digest")?,
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
    let bytes = document(facts, find, digest)?;
    parse(&bytes).ok_or_else(|| Flaw::of_image(format!("The manifest {digest} cannot be read.")))
}

/// The members that hold these layers, none of them known to be damaged.
pub(super) fn blobs<S: Source + Clone>(
    facts: &Facts<'_, S>,
    find: Find<'_>,
    digests: &[String],
) -> Result<Vec<usize>, Flaw> {
    let layer = |digest: &String| {
        let member = blob(find, digest)?;
        if facts.is_corrupt(member, digest) { Err(corrupt(digest)) } else { Ok(member) }
    };
    digests.iter().map(layer).collect()
}
