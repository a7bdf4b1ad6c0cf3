//! `index.json` of an OCI image layout, as it stands beside `manifest.json` in Docker 25 and later and in what
//! containerd exports.

use std::borrow::Cow;
use std::collections::HashSet;

use crate::compression::Compression;
use crate::digest::{blob_path, sha256};
use crate::error::{Code, Error, Finding, FindingCode, Result, Severity};
use crate::json::{self, Object};
use crate::members::Members;
use crate::model::{Image, Name};
use crate::reference::Reference;
use crate::source::Source;

pub(crate) const PATH: &str = "index.json";

/// The name in full, as containerd and Docker write it.
const CONTAINERD_NAME: &str = "io.containerd.image.name";
/// The tag alone, or whatever a tool thinks a reference is (OCI image specification, `annotations.md`).
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// How deep indexes may nest. Real ones go one deep.
const MAX_DEPTH: usize = 8;

/// One descriptor of the index.
struct Descriptor<'a> {
    text: &'a str,
    name: Option<Name>,
    /// The images that it leads to.
    images: Vec<usize>,
}

/// What an image's manifest adds to what `manifest.json` says.
struct Manifest {
    digest: String,
    config: String,
    layers: Vec<(String, String)>,
}

/// Reads the index: fills in the images' manifest digests and their layers' media types, and gives the names that
/// the index gives each image. `None` where it is no index.
pub(crate) fn read<S: Source + Clone>(
    members: &Members<S>,
    bytes: &[u8],
    images: &mut [Image],
    findings: &mut Vec<Finding>,
) -> Option<Vec<Vec<Name>>> {
    let (_, descriptors) = descriptors(members, bytes, images)?;
    let mut manifests = Vec::new();
    for descriptor in &descriptors {
        collect(
            members,
            &Object::parse(descriptor.text).unwrap_or_default(),
            0,
            &mut HashSet::new(),
            &mut manifests,
        );
    }
    for image in images.iter_mut() {
        let Some(manifest) = manifests.iter().find(|manifest| manifest.config == image.id) else { continue };
        image.digest = Some(manifest.digest.clone());
        for (layer, (media_type, digest)) in image.layers.iter_mut().zip(&manifest.layers) {
            media_type.clone_into(&mut layer.media_type);
            layer.digest = Some(digest.clone());
            let compression = layer
                .entry
                .and_then(|entry| members.entry(entry))
                .and_then(|entry| Compression::of(&entry.magic))
                .map(Compression::name);
            let stated = ["gzip", "zstd"].into_iter().find(|name| media_type.ends_with(name));
            if stated != compression && layer.entry.is_some() {
                findings.push(
                    Finding::new(
                        FindingCode::MediaTypeMismatch,
                        Severity::Warning,
                        format!(
                            "The layer {} is called {media_type}, but its first bytes say {}.",
                            layer.path,
                            compression.unwrap_or("uncompressed")
                        ),
                    )
                    .with("entry", layer.path.as_str())
                    .with("expected", media_type.as_str())
                    .with("actual", compression.unwrap_or("none")),
                );
            }
        }
    }
    let names_of = |image: usize| {
        let mut names: Vec<Name> = Vec::new();
        for descriptor in descriptors.iter().filter(|descriptor| descriptor.images.contains(&image)) {
            names.extend(
                descriptor.name.iter().filter(|name| !names.contains(name)).cloned().collect::<Vec<_>>(),
            );
        }
        names
    };
    Some((0..images.len()).map(names_of).collect())
}

/// The index with other names; `Ok(None)` where it has them already, or is no index. `names` is per image.
pub(crate) fn rewrite<S: Source + Clone>(
    members: &Members<S>,
    bytes: &[u8],
    images: &[Image],
    names: &[Vec<Name>],
) -> Result<Option<Vec<u8>>> {
    let Ok(document) = json::first_value(bytes) else { return Ok(None) };
    let Some((mut index, descriptors)) = descriptors(members, bytes, images) else { return Ok(None) };
    let is_wanted = |descriptor: &Descriptor<'_>, name: &Name| {
        descriptor.images.iter().any(|&image| names.get(image).is_some_and(|names| names.contains(name)))
    };
    // What becomes of each descriptor: kept (as it is, or renamed), or dropped.
    let mut kept: Vec<Option<Slot<'_>>> =
        descriptors.iter().map(|descriptor| Some(Slot::of(descriptor))).collect();
    for (slot, descriptor) in kept.iter_mut().zip(&descriptors) {
        let unwanted = descriptor.name.as_ref().is_some_and(|name| !is_wanted(descriptor, name));
        if unwanted && !descriptor.images.is_empty() {
            *slot = None;
        }
    }
    for (image, wanted) in names.iter().enumerate() {
        let own: Vec<usize> = (0..descriptors.len())
            .filter(|&i| descriptors.get(i).is_some_and(|d| d.images.contains(&image)))
            .collect();
        let is_there = |name: &Name, kept: &[Option<Slot<'_>>]| {
            own.iter()
                .any(|&i| kept.get(i).and_then(Option::as_ref).is_some_and(|slot| slot.names.contains(&name)))
        };
        for name in wanted {
            if is_there(name, &kept) {
                continue;
            }
            // A descriptor that lost its name takes the new one; one without a name takes it; else a copy does.
            let free = own.iter().copied().find(|&i| kept.get(i).is_some_and(Option::is_none));
            let nameless = || {
                let is_nameless = |slot: &Slot<'_>| slot.names.is_empty();
                own.iter().copied().find(|&i| kept.get(i).and_then(Option::as_ref).is_some_and(is_nameless))
            };
            let last = || own.iter().copied().rev().find(|&i| kept.get(i).is_some_and(Option::is_some));
            let Some(at) = free.or_else(nameless).or_else(last) else {
                let text = find_manifest(members, images, image)?;
                kept.push(Some(Slot { text: text.into(), name: None, names: vec![name] }));
                continue;
            };
            let Some(descriptor) = descriptors.get(at) else { continue };
            if let Some(slot) = kept.get_mut(at) {
                slot.get_or_insert_with(|| Slot::nameless(descriptor)).names.push(name);
            }
        }
        // The last descriptor of an image that has no name left stays, without a name, as Docker writes it.
        if let Some(&first) =
            own.first().filter(|_| own.iter().all(|&i| kept.get(i).is_some_and(Option::is_none)))
            && let (Some(slot), Some(descriptor)) = (kept.get_mut(first), descriptors.get(first))
        {
            *slot = Some(Slot::nameless(descriptor));
        }
    }
    let texts = json::array_of(kept.into_iter().flatten().flat_map(Slot::into_texts));
    if texts == json::array_of(descriptors.iter().map(|descriptor| descriptor.text.to_owned())) {
        return Ok(None);
    }
    index.set("manifests", &texts);
    Ok(Some(document.with_value(&index.to_json())))
}

/// A descriptor on its way into the new index: once for each of its names, or once without a name.
struct Slot<'a> {
    text: Cow<'a, str>,
    /// The name that the text has already.
    name: Option<&'a Name>,
    names: Vec<&'a Name>,
}

impl<'a> Slot<'a> {
    fn of(descriptor: &'a Descriptor<'a>) -> Self {
        let name = descriptor.name.as_ref();
        Self { text: descriptor.text.into(), name, names: name.into_iter().collect() }
    }

    fn nameless(descriptor: &'a Descriptor<'a>) -> Self {
        Self { names: Vec::new(), ..Self::of(descriptor) }
    }

    fn into_texts(self) -> Vec<String> {
        let text = |name: Option<&Name>| {
            if self.name == name { self.text.clone().into_owned() } else { with_name(&self.text, name) }
        };
        if self.names.is_empty() {
            return vec![text(None)];
        }
        self.names.iter().map(|&name| text(Some(name))).collect()
    }
}

/// A descriptor with another name, or without one.
fn with_name(descriptor: &str, name: Option<&Name>) -> String {
    let mut descriptor = Object::parse(descriptor).unwrap_or_default();
    let text = descriptor.get("annotations").unwrap_or("{}").to_owned();
    let mut annotations = Object::parse(&text).unwrap_or_default();
    annotations.remove(CONTAINERD_NAME);
    annotations.remove(REF_NAME);
    if let Some(name) = name {
        let full = name.reference().map_or_else(|| name.text().to_owned(), Reference::canonical);
        annotations.push(CONTAINERD_NAME, json::string(&full));
        if let Some(tag) = name.reference().and_then(|reference| reference.tag()) {
            annotations.push(REF_NAME, json::string(tag));
        }
    }
    if annotations.is_empty() {
        descriptor.remove("annotations");
    } else {
        descriptor.set("annotations", &annotations.to_json());
    }
    descriptor.to_json()
}

/// The index's object and its descriptors.
fn descriptors<'a, S: Source + Clone>(
    members: &Members<S>,
    bytes: &'a [u8],
    images: &[Image],
) -> Option<(Object<'a>, Vec<Descriptor<'a>>)> {
    let document = json::first_value(bytes).ok()?;
    let index = Object::parse(document.value)?;
    let manifests = match index.text("manifests") {
        None => Vec::new(),
        Some(text) => json::array(text)?,
    };
    let read = |text: &'a str| {
        let object = Object::parse(text)?;
        let mut manifests = Vec::new();
        collect(members, &object, 0, &mut HashSet::new(), &mut manifests);
        let leads_to = |image: &Image| manifests.iter().any(|manifest| manifest.config == image.id);
        let own: Vec<usize> = (0..images.len()).filter(|&i| images.get(i).is_some_and(leads_to)).collect();
        Some(Descriptor { text, name: name(&object, &own, images), images: own })
    };
    Some((index, manifests.into_iter().map(read).collect::<Option<_>>()?))
}

/// The name that a descriptor's annotations give, as containerd reads them: the full name where there is one; else
/// the reference, which is often the bare tag of a name that `manifest.json` has in full.
fn name(descriptor: &Object<'_>, own: &[usize], images: &[Image]) -> Option<Name> {
    let annotations = descriptor.object("annotations")?;
    if let Some(full) = annotations.read::<String>(CONTAINERD_NAME) {
        return Some(Name::new(full));
    }
    let text: String = annotations.read(REF_NAME)?;
    let known = own.iter().filter_map(|&image| images.get(image)).flat_map(|image| &image.names);
    let same_tag = |name: &&Name| name.reference().is_some_and(|name| name.tag() == Some(text.as_str()));
    Some(
        known
            .clone()
            .find(|name| **name == Name::new(text.as_str()))
            .or_else(|| known.clone().find(same_tag))
            .cloned()
            .unwrap_or_else(|| Name::new(text.as_str())),
    )
}

/// Follows a descriptor to the image manifests that the archive holds.
fn collect<S: Source + Clone>(
    members: &Members<S>,
    descriptor: &Object<'_>,
    depth: usize,
    seen: &mut HashSet<String>,
    manifests: &mut Vec<Manifest>,
) {
    let Some(digest) = descriptor.read::<String>("digest") else { return };
    let Some(entry) = blob_path(&digest).and_then(|path| members.index.resolve(&path)) else { return };
    if depth > MAX_DEPTH || !seen.insert(digest.clone()) {
        return;
    }
    let Ok(bytes) = members.document(entry) else { return };
    let Ok(document) = json::first_value(&bytes) else { return };
    let Some(object) = Object::parse(document.value) else { return };
    if let Some(children) = object.array("manifests") {
        for child in children.into_iter().filter_map(Object::parse) {
            collect(members, &child, depth + 1, seen, manifests);
        }
    } else {
        manifests.extend(manifest(&object, digest));
    }
}

fn manifest(object: &Object<'_>, digest: String) -> Option<Manifest> {
    let config = object.object("config")?.read("digest")?;
    let layers = object.array("layers").unwrap_or_default();
    let layers = layers.into_iter().map(|layer| {
        let layer = Object::parse(layer).unwrap_or_default();
        Some((layer.read("mediaType")?, layer.read("digest")?))
    });
    Some(Manifest { digest, config, layers: layers.collect::<Option<_>>()? })
}

/// A descriptor for an image that the index leaves out. Docker 25 to 29 do that to an untagged image saved beside a
/// tagged one, but still write its manifest as a blob.
fn find_manifest<S: Source + Clone>(members: &Members<S>, images: &[Image], image: usize) -> Result<String> {
    let id = images.get(image).map(|image| image.id.as_str()).unwrap_or_default();
    let blobs = members.index.entries().iter().enumerate().filter(|(_, entry)| {
        entry.path.contains("blobs/sha256/") && entry.magic.first() == Some(&b'{') && entry.size < 1 << 20
    });
    for (number, _) in blobs {
        let Ok(bytes) = members.document(number) else { continue };
        let Ok(document) = json::first_value(&bytes) else { continue };
        let Some(object) = Object::parse(document.value) else { continue };
        let digest = sha256(&bytes);
        if manifest(&object, digest.clone()).is_some_and(|manifest| manifest.config == id) {
            let media_type = object
                .read::<String>("mediaType")
                .unwrap_or_else(|| "application/vnd.oci.image.manifest.v1+json".to_owned());
            return Ok(format!(
                r#"{{"mediaType":{},"digest":{},"size":{}}}"#,
                json::string(&media_type),
                json::string(&digest),
                bytes.len()
            ));
        }
    }
    Err(Error::new(
        Code::IndexMismatch,
        format!("index.json does not list the image {id}, and its manifest is not in the archive: it cannot be named there."),
    )
    .with("image", id))
}
