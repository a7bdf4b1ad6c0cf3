//! `index.json` of an OCI image layout: alone, or beside `manifest.json` as in Docker 25 and later and in what
//! containerd exports.

use std::borrow::Cow;

use super::check_media_type;
use super::oci::{self, Found, Leaf, Manifest, Walk};
use crate::digest::sha256;
use crate::error::{Code, Error, Finding, FindingCode, Result, Severity};
use crate::json::{self, Object};
use crate::members::Members;
use crate::model::{Image, Name, Other};
use crate::source::Source;
use crate::write::{OCI_MANIFEST, descriptor};

pub(crate) const PATH: &str = "index.json";

/// The name in full, as containerd and Docker write it.
const CONTAINERD_NAME: &str = "io.containerd.image.name";
/// The tag alone, or whatever a tool thinks a reference is (OCI image specification, `annotations.md`).
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// One descriptor of the index.
struct Descriptor<'a> {
    text: &'a str,
    name: Option<Name>,
    /// What it leads to.
    leaves: Vec<Leaf>,
    /// The images that it leads to.
    images: Vec<usize>,
}

/// What an index says.
pub(crate) struct Listing {
    /// What is no image, or not there.
    pub(crate) others: Vec<Other>,
    /// The names of each image.
    pub(crate) names: Vec<Vec<Name>>,
    /// Why an image that it lists could not be read: the first such reason.
    pub(crate) unread: Option<Error>,
}

/// Reads the index: adds to `images` those that it alone knows, and to the others their manifests' digests and
/// their layers' media types. `None` where it is no index.
pub(crate) fn read<S: Source + Clone>(
    members: &Members<S>,
    bytes: &[u8],
    images: &mut Vec<Image>,
    findings: &mut Vec<Finding>,
) -> Option<Listing> {
    let (_, mut descriptors) = descriptors(members, bytes, images, findings)?;
    let mut others: Vec<Other> = Vec::new();
    let mut unread = None;
    for image in images.iter_mut() {
        let leaves = descriptors.iter().flat_map(|descriptor| &descriptor.leaves);
        let Some((leaf, manifest)) = leaves.filter_map(image_of).find(|(_, found)| is_of(found, image))
        else {
            continue;
        };
        image.digest = Some(leaf.descriptor.digest.clone());
        for (layer, stated) in image.layers.iter_mut().zip(&manifest.layers) {
            stated.media_type.clone_into(&mut layer.media_type);
            layer.digest = Some(stated.digest.clone());
            check_media_type(members, layer, findings);
        }
    }
    for descriptor in &mut descriptors {
        let names: Vec<Name> = descriptor.name.iter().cloned().collect();
        for leaf in &descriptor.leaves {
            if let Some(other) = oci::other(leaf, names.clone()) {
                match others.iter_mut().find(|known| known.digest == other.digest) {
                    Some(known) => known.names.extend(other.names),
                    None => others.push(other),
                }
            }
            let Some((_, manifest)) = image_of(leaf) else { continue };
            let digest = leaf.descriptor.digest.as_str();
            let known = images.iter().position(|image| match &image.digest {
                Some(known) => known == digest,
                None => is_of(manifest, image),
            });
            let number = match known {
                Some(known) => known,
                None => match oci::read_image(members, digest, manifest, Vec::new(), findings) {
                    Ok(image) => {
                        images.push(image);
                        images.len() - 1
                    }
                    Err(error) if error.is_of_source() => {
                        unread = Some(error);
                        continue;
                    }
                    Err(error) => {
                        findings.push(
                            Finding::new(
                                FindingCode::IncompleteImage,
                                Severity::Warning,
                                format!("An image of index.json cannot be read. {}", error.message()),
                            )
                            .with("digest", digest),
                        );
                        unread.get_or_insert(error);
                        continue;
                    }
                },
            };
            if !descriptor.images.contains(&number) {
                descriptor.images.push(number);
            }
        }
        let top = oci::Descriptor::read(descriptor.text).map(|top| top.digest);
        for &number in &descriptor.images {
            if let Some(image) = images.get_mut(number)
                && image.digest != top
            {
                image.index.clone_from(&top);
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
    let names = (0..images.len()).map(names_of).collect();
    Some(Listing { others, names, unread })
}

fn image_of(leaf: &Leaf) -> Option<(&Leaf, &Manifest)> {
    match &leaf.found {
        Found::Image(manifest) => Some((leaf, manifest)),
        _ => None,
    }
}

fn is_of(manifest: &Manifest, image: &Image) -> bool {
    manifest.config.digest == image.id
}

/// The index with other names; `Ok(None)` where it has them already, or is no index. `names` is per image.
pub(crate) fn rewrite<S: Source + Clone>(
    members: &Members<S>,
    bytes: &[u8],
    images: &[Image],
    names: &[Vec<Name>],
) -> Result<Option<Vec<u8>>> {
    let Ok(document) = json::first_value(bytes) else { return Ok(None) };
    let Some((mut index, descriptors)) = descriptors(members, bytes, images, &mut Vec::new()) else {
        return Ok(None);
    };
    let style = Style::of(&descriptors);
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
                let id = images.get(image).map_or("", |image| &image.id);
                let found = images.get(image).and_then(|image| find_manifest(members, image));
                let (media_type, digest, size) = found.ok_or_else(|| not_listed(id))?;
                let text = descriptor(&media_type, &digest, size, &[]);
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
    let texts = json::array_of(kept.into_iter().flatten().flat_map(|slot| slot.into_texts(style)));
    if texts == json::array_of(descriptors.iter().map(|descriptor| descriptor.text.to_owned())) {
        return Ok(None);
    }
    index.set("manifests", &texts);
    Ok(Some(document.with_value(&index.to_json())))
}

fn not_listed(id: &str) -> Error {
    Error::new(
        Code::IndexMismatch,
        format!("index.json does not list the image {id}, and its manifest is not in the archive: it cannot be named there."),
    )
    .with("image", id)
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

    fn into_texts(self, style: Style) -> Vec<String> {
        let text = |name: Option<&Name>| {
            if self.name == name {
                self.text.clone().into_owned()
            } else {
                with_name(&self.text, name, style)
            }
        };
        if self.names.is_empty() {
            return vec![text(None)];
        }
        self.names.iter().map(|&name| text(Some(name))).collect()
    }
}

impl Style {
    /// The style of an index's own names.
    fn of(descriptors: &[Descriptor<'_>]) -> Self {
        let has_path = |name: &String| name.contains([':', '/']);
        let mut style = None;
        for descriptor in descriptors.iter().filter(|descriptor| descriptor.name.is_some()) {
            let object = Object::parse(descriptor.text).unwrap_or_default();
            let annotations = object.object("annotations").unwrap_or_default();
            let in_full = annotations.read::<String>(REF_NAME).as_ref().is_some_and(has_path);
            let own = match (annotations.get(CONTAINERD_NAME), in_full) {
                (None, true) => Self::InFull,
                (Some(_), true) => Self::Both,
                (_, false) => Self::Containerd,
            };
            if *style.get_or_insert(own) != own {
                return Self::Containerd;
            }
        }
        style.unwrap_or(Self::Containerd)
    }
}

/// A descriptor with another name, or without one.
fn with_name(descriptor: &str, name: Option<&Name>, style: Style) -> String {
    let mut descriptor = Object::parse(descriptor).unwrap_or_default();
    let text = descriptor.get("annotations").unwrap_or("{}").to_owned();
    let mut annotations = Object::parse(&text).unwrap_or_default();
    annotations.remove(CONTAINERD_NAME);
    annotations.remove(REF_NAME);
    for (key, value) in name.map(|name| annotations_of(name, style)).unwrap_or_default() {
        annotations.push(key, json::string(&value));
    }
    if annotations.is_empty() {
        descriptor.remove("annotations");
    } else {
        descriptor.set("annotations", &annotations.to_json());
    }
    descriptor.to_json()
}

/// How an index writes names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// As Docker and containerd do: in full in an annotation of their own, and the tag.
    Containerd,
    /// As skopeo and podman do: in full, in the annotation that is for tags.
    InFull,
    /// In full in both: containerd and podman see the same name.
    Both,
}

/// The annotations that give a name.
pub(crate) fn annotations_of(name: &Name, style: Style) -> Vec<(&'static str, String)> {
    let Some(reference) = name.reference() else { return vec![(REF_NAME, name.text().to_owned())] };
    let full = reference.canonical();
    match style {
        Style::InFull => vec![(REF_NAME, full)],
        Style::Both => vec![(CONTAINERD_NAME, full.clone()), (REF_NAME, full)],
        Style::Containerd => {
            let tag = reference.tag().map(|tag| (REF_NAME, tag.to_owned()));
            [(CONTAINERD_NAME, full)].into_iter().chain(tag).collect()
        }
    }
}

/// The index's object and its descriptors.
fn descriptors<'a, S: Source + Clone>(
    members: &Members<S>,
    bytes: &'a [u8],
    images: &[Image],
    findings: &mut Vec<Finding>,
) -> Option<(Object<'a>, Vec<Descriptor<'a>>)> {
    let document = json::first_value(bytes).ok()?;
    let index = Object::parse(document.value)?;
    let manifests = match index.text("manifests") {
        None => Vec::new(),
        Some(text) => json::array(text)?,
    };
    let mut read = |text: &'a str| {
        let object = Object::parse(text)?;
        let mut walk = Walk::default();
        walk.follow(members, text);
        for finding in walk.findings {
            if !findings.contains(&finding) {
                findings.push(finding);
            }
        }
        let leads_to = |image: &Image| {
            walk.leaves.iter().filter_map(image_of).any(|(leaf, manifest)| match &image.digest {
                Some(digest) => leaf.descriptor.digest == *digest,
                None => is_of(manifest, image),
            })
        };
        let own: Vec<usize> = (0..images.len()).filter(|&i| images.get(i).is_some_and(leads_to)).collect();
        Some(Descriptor { text, name: name(&object, &own, images), leaves: walk.leaves, images: own })
    };
    let descriptors = manifests.into_iter().map(&mut read).collect::<Option<_>>()?;
    Some((index, descriptors))
}

/// The name that a descriptor's annotations give, as containerd reads them: the full name where there is one; else
/// the reference, which is often the bare tag of a name that `manifest.json` has in full.
fn name(descriptor: &Object<'_>, own: &[usize], images: &[Image]) -> Option<Name> {
    let annotations = descriptor.object("annotations")?;
    if let Some(full) = annotations.read::<String>(CONTAINERD_NAME) {
        return Some(Name::new(full));
    }
    let text: String = annotations.read(REF_NAME).filter(|text: &String| !text.is_empty())?;
    let known = own.iter().filter_map(|&image| images.get(image)).flat_map(|image| &image.names);
    let same_tag = |name: &&Name| name.reference().is_some_and(|name| name.tag() == Some(text.as_str()));
    let alone =
        || if text.contains([':', '/', '@']) { Name::new(text.as_str()) } else { Name::bare(text.as_str()) };
    Some(
        known
            .clone()
            .find(|name| **name == Name::new(text.as_str()))
            .or_else(|| known.clone().find(same_tag))
            .cloned()
            .unwrap_or_else(alone),
    )
}

/// The manifest of an image that the index leaves out: its media type, digest and size. Docker 25 to 29 leave out an untagged
/// image saved beside a tagged one, but still write its manifest as a blob.
pub(crate) fn find_manifest<S: Source + Clone>(
    members: &Members<S>,
    image: &Image,
) -> Option<(String, String, u64)> {
    let blobs = members.index.entries().iter().enumerate().filter(|(_, entry)| {
        entry.path.contains("blobs/sha256/") && entry.magic.first() == Some(&b'{') && entry.size < 1 << 20
    });
    for (number, _) in blobs {
        let Ok(bytes) = members.document(number) else { continue };
        let Ok(document) = json::first_value(&bytes) else { continue };
        let Some(object) = Object::parse(document.value) else { continue };
        if Manifest::read(&object).is_some_and(|manifest| manifest.config.digest == image.id) {
            let media_type = object.read("mediaType").unwrap_or_else(|| OCI_MANIFEST.to_owned());
            return Some((media_type, sha256(&bytes), Source::len(&bytes)));
        }
    }
    None
}
