//! OCI image layouts (OCI image specification, `image-layout.md`): what `index.json` leads to, through nested indexes,
//! to image manifests, and to what is no image.

use std::collections::{HashMap, HashSet};

use super::{Identity, check_media_type, image, note_flaws};
use crate::config::Config;
use crate::digest::{Algorithm, blob_path, digest};
use crate::error::{Code, Error, Finding, FindingCode, Result, Severity};
use crate::json::{self, Object};
use crate::members::Members;
use crate::model::{Image, Layer, Name, Other, OtherKind, is_foreign};
use crate::platform::Platform;
use crate::source::Source;

/// The file that says that what is beside it is a layout, and of which version.
pub(crate) const LAYOUT: &str = "oci-layout";
const VERSION_KEY: &str = "imageLayoutVersion";
/// The one version that there is.
const VERSION: &str = "1.0.0";

/// How deep indexes may nest. Real ones go one deep.
const MAX_DEPTH: usize = 8;
/// How many descriptors are followed in all.
const MAX_DESCRIPTORS: usize = 100_000;

/// The media types of image configs, the OCI's and Docker's.
const CONFIG_TYPES: [&str; 2] =
    ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];

/// A descriptor (OCI image specification, `descriptor.md`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Descriptor {
    pub(crate) media_type: String,
    pub(crate) digest: String,
    pub(crate) size: u64,
    /// The descriptor as it stands in its document.
    pub(crate) text: String,
}

impl Descriptor {
    /// Reads a descriptor; `None` where it has no digest or size that could be one.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let object = Object::parse(text)?;
        let found: String = object.read("digest")?;
        digest(&found)?;
        Some(Self {
            media_type: object.read("mediaType").unwrap_or_default(),
            digest: found,
            size: object.number("size")?,
            text: text.to_owned(),
        })
    }

    fn object(&self) -> Object<'_> {
        Object::parse(&self.text).unwrap_or_default()
    }

    fn annotation(&self, key: &str) -> Option<String> {
        self.object().object("annotations")?.read(key)
    }

    fn platform(&self) -> Option<Platform> {
        let object = self.object();
        let platform = object.object("platform")?;
        Some(Platform {
            os: platform.read("os").unwrap_or_default(),
            architecture: platform.read("architecture").unwrap_or_default(),
            variant: platform.read("variant"),
        })
    }

    /// Whether a copy of the blob stands in the descriptor (`data`), and is not what the digest says.
    fn has_wrong_data(&self) -> bool {
        let object = self.object();
        let Some(data) = object.get("data").filter(|data| *data != "null") else { return false };
        let data = json::bytes(data);
        let is_right = |data: &Vec<u8>| {
            Algorithm::of(&self.digest).is_none_or(|algorithm| algorithm.digest(data) == self.digest)
        };
        !data.as_ref().is_some_and(is_right)
    }

    /// Whether the blob is an index or a manifest.
    fn may_have_descriptors(&self) -> bool {
        self.media_type.ends_with("json") && !CONFIG_TYPES.contains(&self.media_type.as_str())
    }

    /// The member that holds the blob.
    pub(crate) fn entry<S: Source + Clone>(&self, members: &Members<S>) -> Option<usize> {
        blob_path(&self.digest).and_then(|path| members.resolve(&path))
    }
}

/// An image manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) config: Descriptor,
    pub(crate) layers: Vec<Descriptor>,
}

impl Manifest {
    /// Reads an image manifest from its document; `None` where it is none.
    pub(crate) fn read(object: &Object<'_>) -> Option<Self> {
        let layers = object.array("layers").unwrap_or_default();
        Some(Self {
            config: Descriptor::read(object.get("config")?)?,
            layers: layers.into_iter().map(Descriptor::read).collect::<Option<_>>()?,
        })
    }
}

/// Where a descriptor leads, index by index.
#[derive(Debug)]
pub(crate) struct Leaf {
    pub(crate) descriptor: Descriptor,
    pub(crate) found: Found,
}

/// What is at the end of the way.
#[derive(Debug)]
pub(crate) enum Found {
    /// Nothing: the archive does not hold the blob.
    Absent,
    Image(Manifest),
    Other(OtherKind),
}

/// Follows descriptors; keeps what was found on the way.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    pub(crate) leaves: Vec<Leaf>,
    pub(crate) findings: Vec<Finding>,
    seen: HashSet<String>,
    /// Descriptors followed so far, those of earlier walks over the same index included.
    pub(crate) followed: usize,
}

impl Walk {
    /// A walk after others over the same index, which followed so many descriptors.
    pub(crate) fn after(followed: usize) -> Self {
        Self { followed, ..Self::default() }
    }

    /// Follows the descriptor whose text this is.
    pub(crate) fn follow<S: Source + Clone>(&mut self, members: &Members<S>, text: &str) {
        self.descend(members, text, 0);
    }

    fn descend<S: Source + Clone>(&mut self, members: &Members<S>, text: &str, depth: usize) {
        let Some(descriptor) = Descriptor::read(text) else {
            let shown: String = text.chars().take(200).collect();
            return self.find(
                FindingCode::InvalidDescriptor,
                "An index has a descriptor without a valid digest or size.",
                &shown,
            );
        };
        self.check_data(&descriptor);
        self.followed += 1;
        if depth > MAX_DEPTH || self.followed > MAX_DESCRIPTORS {
            let sentence = "The indexes nest too deep, or list too much: the rest is left out.";
            return self.find(FindingCode::InvalidDescriptor, sentence, &descriptor.digest);
        }
        // A cycle of digests cannot be made, but one of names can: nobody has compared them with the contents yet.
        if !self.seen.insert(descriptor.digest.clone()) {
            return;
        }
        let Some(entry) = descriptor.entry(members) else {
            return self.leaves.push(Leaf { descriptor, found: Found::Absent });
        };
        let Ok(bytes) = members.document(entry) else {
            return self.leaves.push(Leaf { descriptor, found: Found::Other(OtherKind::Artifact) });
        };
        check_document(&descriptor.digest, descriptor.size, &bytes, &mut self.findings);
        let document = json::first_value(&bytes).ok();
        let Some(object) = document.and_then(|document| Object::parse(document.value)) else {
            let sentence = format!("The manifest {} is not JSON.", descriptor.digest);
            self.find(FindingCode::InvalidDescriptor, &sentence, &descriptor.digest);
            return self.leaves.push(Leaf { descriptor, found: Found::Other(OtherKind::Artifact) });
        };
        note_flaws(&descriptor.digest, &bytes, &mut self.findings);
        let children = object.array("manifests");
        let is_manifest = object.get("config").is_some() || object.get("layers").is_some();
        if children.is_some() && is_manifest {
            // CVE-2021-41190: one reader takes it for an index, another one for a manifest.
            let sentence = format!(
                "{} is an index and a manifest at once: readers see different images. It is left out.",
                descriptor.digest
            );
            return self.find(FindingCode::Ambiguous, &sentence, &descriptor.digest);
        }
        if let Some(stated) =
            object.read::<String>("mediaType").filter(|stated| *stated != descriptor.media_type)
            && !descriptor.media_type.is_empty()
        {
            let sentence = format!(
                "The manifest {} calls itself {stated}, its descriptor {}.",
                descriptor.digest, descriptor.media_type
            );
            self.find(FindingCode::MediaTypeMismatch, &sentence, &descriptor.digest);
        }
        if let Some(children) = children {
            for child in children {
                self.descend(members, child, depth + 1);
            }
            return;
        }
        let found = found(&descriptor, &object);
        if is_manifest && Manifest::read(&object).is_none() {
            let sentence = format!(
                "The manifest {} has a config or a layer without a valid digest or size.",
                descriptor.digest
            );
            self.find(FindingCode::InvalidDescriptor, &sentence, &descriptor.digest);
        } else {
            self.check_parts(members, &descriptor, &object, matches!(found, Found::Image(_)));
        }
        self.leaves.push(Leaf { descriptor, found });
    }

    /// Notes what is wrong with the descriptors of a manifest, and that a part of what is no image is not there.
    fn check_parts<S: Source + Clone>(
        &mut self,
        members: &Members<S>,
        of: &Descriptor,
        object: &Object<'_>,
        is_image: bool,
    ) {
        let lists = ["layers", "blobs"].into_iter().filter_map(|key| object.array(key)).flatten();
        let parts: Vec<Descriptor> = lists.chain(object.get("config")).filter_map(Descriptor::read).collect();
        for part in &parts {
            self.check_data(part);
        }
        // What is small may stand in its descriptor.
        let is_missing =
            |part: &&Descriptor| part.entry(members).is_none() && part.object().get("data").is_none();
        let Some(missing) = parts.iter().find(is_missing).filter(|_| !is_image) else { return };
        let sentence = format!("{} is incomplete: {} is not there.", of.digest, missing.digest);
        self.find(FindingCode::IncompleteImage, &sentence, &of.digest);
    }

    fn check_data(&mut self, of: &Descriptor) {
        if of.has_wrong_data() {
            let sentence = format!(
                "The data in the descriptor of {} is not what its digest says: who takes it from there reads something else, or refuses it.",
                of.digest
            );
            self.find(FindingCode::InvalidDescriptor, &sentence, &of.digest);
        }
    }

    fn find(&mut self, code: FindingCode, sentence: &str, digest: &str) {
        let severity = if code == FindingCode::Ambiguous { Severity::Error } else { Severity::Warning };
        self.findings.push(Finding::new(code, severity, sentence).with("digest", digest));
    }
}

/// The blobs that an index leads to, and the members that hold them: indexes, manifests, configs, layers and whatever
/// else has a descriptor.
pub(crate) fn reachable<S: Source + Clone>(members: &Members<S>, index: &[u8]) -> HashMap<String, usize> {
    let mut found = HashMap::new();
    // Links can make one member many blobs.
    let mut read = HashSet::new();
    let text = json::first_value(index).map(|document| document.value.to_owned());
    let mut todo: Vec<String> = text.into_iter().collect();
    while let Some(document) = todo.pop() {
        let object = Object::parse(&document).unwrap_or_default();
        let lists =
            ["manifests", "layers", "blobs"].into_iter().filter_map(|key| object.array(key)).flatten();
        let one = ["config", "subject"].into_iter().filter_map(|key| object.get(key));
        for descriptor in lists.chain(one).filter_map(Descriptor::read) {
            let Some(entry) = descriptor.entry(members) else { continue };
            let may_have_descriptors = descriptor.may_have_descriptors();
            found.insert(descriptor.digest, entry);
            if read.len() < MAX_DESCRIPTORS && may_have_descriptors && read.insert(entry) {
                let text = members.document(entry).ok().and_then(|bytes| {
                    json::first_value(&bytes).ok().map(|document| document.value.to_owned())
                });
                todo.extend(text);
            }
        }
    }
    found
}

/// Notes a document that is not what its digest and size say.
fn check_document(stated: &str, size: u64, bytes: &[u8], findings: &mut Vec<Finding>) {
    if let Some(actual) =
        Algorithm::of(stated).map(|algorithm| algorithm.digest(bytes)).filter(|actual| actual != stated)
    {
        findings.push(
            Finding::new(
                FindingCode::DigestMismatch,
                Severity::Error,
                format!("The blob {stated} is not what its name says: its digest is {actual}."),
            )
            .with("expected", stated)
            .with("actual", actual),
        );
    }
    check_size(stated, size, bytes.len() as u64, findings);
}

/// Notes a blob that has another size than its descriptor says.
pub(crate) fn check_size(digest: &str, stated: u64, actual: u64, findings: &mut Vec<Finding>) {
    if stated == actual {
        return;
    }
    findings.push(
        Finding::new(
            FindingCode::SizeMismatch,
            Severity::Error,
            format!("The blob {digest} has {actual} bytes; its descriptor says {stated}."),
        )
        .with("digest", digest)
        .with("expected", stated)
        .with("actual", actual),
    );
}

/// Notes an `oci-layout` by which containerd reads something else than podman and skopeo, which do not ask for it.
///
/// Fails as the source does.
pub(crate) fn check_layout<S: Source + Clone>(
    members: &Members<S>,
    has_index: bool,
    findings: &mut Vec<Finding>,
) -> Result<()> {
    let layout = match members.listing(LAYOUT) {
        Some(Err(error)) if error.is_of_source() => return Err(error),
        layout => layout.map(|layout| layout.ok().and_then(|layout| layout_version(&layout.bytes))),
    };
    let mut version = None;
    let flaw = match layout {
        None if !has_index => return Ok(()),
        None => "is not there",
        Some(_) if !has_index => "is there, but index.json is not",
        Some(None) => "cannot be read, or names no version",
        Some(Some(found)) if found == VERSION => return Ok(()),
        Some(Some(found)) => {
            version = Some(found);
            "has a version that nobody knows"
        }
    };
    let sentence = format!(
        "{LAYOUT} {flaw}: containerd goes by manifest.json or refuses the archive; podman and skopeo do not ask."
    );
    let mut finding =
        Finding::new(FindingCode::InvalidLayout, Severity::Warning, sentence).with("entry", LAYOUT);
    if let Some(version) = version {
        finding = finding.with("expected", VERSION).with("actual", version);
    }
    findings.push(finding);
    Ok(())
}

fn layout_version(bytes: &[u8]) -> Option<String> {
    Object::parse(json::first_value(bytes).ok()?.value)?
        .read(VERSION_KEY)
        .filter(|text: &String| !text.is_empty())
}

/// An `oci-layout` of the version that all know, with whatever else `bytes` say where they can be read.
pub(crate) fn layout_of(bytes: &[u8]) -> String {
    let document = json::first_value(bytes).ok();
    let mut layout = document.and_then(|document| Object::parse(document.value)).unwrap_or_default();
    layout.set(VERSION_KEY, &json::string(VERSION));
    layout.to_json()
}

/// What a manifest is of.
fn found(descriptor: &Descriptor, object: &Object<'_>) -> Found {
    let Some(manifest) = Manifest::read(object) else { return Found::Other(OtherKind::Artifact) };
    let is_attestation =
        descriptor.annotation("vnd.docker.reference.type").as_deref() == Some("attestation-manifest");
    let has_layer = |part: &str| manifest.layers.iter().any(|layer| layer.media_type.contains(part));
    if is_attestation || has_layer("vnd.in-toto") || has_layer("vnd.dsse") {
        return Found::Other(OtherKind::Attestation);
    }
    let kind: String = object.read("artifactType").unwrap_or_default();
    let config_type = manifest.config.media_type.as_str();
    let is_image_config = CONFIG_TYPES.contains(&config_type);
    if has_layer("vnd.dev.cosign")
        || has_layer("vnd.cncf.notary")
        || kind.contains("sigstore")
        || kind.contains("notary")
    {
        return Found::Other(OtherKind::Signature);
    }
    // A layer is of an unknown type sometimes; a stack of nothing but unknown types is no image.
    let is_stack = manifest.layers.is_empty() || has_layer("layer") || has_layer("image.rootfs");
    let may_be_image = is_image_config || kind.is_empty() && config_type.is_empty();
    if !is_stack || !may_be_image {
        return Found::Other(OtherKind::Artifact);
    }
    Found::Image(manifest)
}

/// What an archive holds beside its images, as the index lists it.
pub(crate) fn other(leaf: &Leaf, names: Vec<Name>) -> Option<Other> {
    let kind = match leaf.found {
        Found::Absent => OtherKind::Absent,
        Found::Other(kind) => kind,
        Found::Image(_) => return None,
    };
    let descriptor = &leaf.descriptor;
    Some(Other {
        kind,
        digest: descriptor.digest.clone(),
        media_type: descriptor.media_type.clone(),
        platform: descriptor.platform().filter(|platform| platform.os != "unknown"),
        subject: descriptor
            .annotation("vnd.docker.reference.digest")
            .or_else(|| descriptor.annotation("io.containerd.manifest.subject")),
        names,
        size: descriptor.size,
    })
}

/// Reads an image of an index.
///
/// Fails with `missing-entry` where its config or a layer is not there, and as the config does.
pub(crate) fn read_image<S: Source + Clone>(
    members: &Members<S>,
    digest: &str,
    manifest: &Manifest,
    names: Vec<Name>,
    findings: &mut Vec<Finding>,
) -> Result<Image> {
    let config_digest = manifest.config.digest.as_str();
    let config_entry = manifest.config.entry(members).ok_or_else(|| missing("config", config_digest))?;
    let bytes = members.document(config_entry)?;
    let config = Config::read(&bytes, config_digest)?;
    members.spend_items(manifest.layers.len() + config.items())?;
    note_flaws(config_digest, &bytes, findings);
    let mut layers = Vec::with_capacity(manifest.layers.len());
    for (position, descriptor) in manifest.layers.iter().enumerate() {
        layers.push(layer(members, descriptor, config.diff_ids.get(position), findings)?);
    }
    check_document(config_digest, manifest.config.size, &bytes, findings);
    for layer in &layers {
        check_media_type(members, layer, findings);
    }
    let id = Algorithm::of(config_digest).unwrap_or_default().digest(&bytes);
    let identity = Identity { id, digest: Some(digest.to_owned()), names, config_entry };
    Ok(image(identity, config, layers, findings))
}

fn layer<S: Source + Clone>(
    members: &Members<S>,
    descriptor: &Descriptor,
    diff_id: Option<&String>,
    findings: &mut Vec<Finding>,
) -> Result<Layer> {
    let Descriptor { media_type, digest, size, .. } = descriptor;
    let path = blob_path(digest).unwrap_or_default();
    let entry = descriptor.entry(members);
    let actual = entry.and_then(|entry| members.entry(entry)).map_or(*size, |entry| entry.size);
    if entry.is_none() {
        if !is_foreign(media_type) && descriptor.object().get("urls").is_none() {
            return Err(missing("layer", digest));
        }
        findings.push(
            Finding::new(
                FindingCode::ForeignLayerAbsent,
                Severity::Warning,
                format!("The layer {digest} may not be distributed, and the archive leaves it out."),
            )
            .with("entry", path.as_str()),
        );
    } else {
        check_size(digest, *size, actual, findings);
    }
    Ok(Layer {
        digest: Some(digest.clone()),
        diff_id: diff_id.cloned(),
        media_type: media_type.clone(),
        size: actual,
        path,
        entry,
    })
}

fn missing(what: &str, digest: &str) -> Error {
    let sentence = format!("The archive is incomplete: the {what} {digest} is not there.");
    Error::new(Code::MissingEntry, sentence).with("entry", blob_path(digest).unwrap_or_default())
}
