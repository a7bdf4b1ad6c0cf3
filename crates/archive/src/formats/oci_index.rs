//! `index.json` of an OCI image layout: alone, or beside `manifest.json` as in Docker 25 and later and in what
//! containerd exports.

mod lines;
mod names;

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use super::oci::{self, Found, Leaf, Manifest, Walk};
use super::{check_media_type, note_flaws};
use crate::digest::{blob_path, sha256};
use crate::error::{Code, Error, Finding, FindingCode, Result, Severity};
use crate::json::{self, Object};
use crate::members::Members;
use crate::model::{Image, Layer, Name, Other, is_foreign};
use crate::source::Source;
use crate::write::{OCI_MANIFEST, descriptor};

pub(crate) use lines::{Line, NameIndexes};
use names::{KnownNames, name};
pub(crate) use names::{Style, annotations_of, with_name};

pub(crate) const PATH: &str = "index.json";

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
    /// What each descriptor leads to.
    pub(crate) lines: Vec<Line>,
    /// Layers that it has elsewhere than `manifest.json` does, each with the number of its image.
    pub(crate) copies: Vec<(usize, Layer)>,
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
    let mut known_others: HashMap<String, usize> = HashMap::new();
    let mut unread = None;
    let listed = listed(members, &descriptors, images);
    let mut by_digest: HashMap<String, usize> = HashMap::new();
    let mut copies = Vec::new();
    let mut lines = Vec::with_capacity(descriptors.len());
    for (number, image) in images.iter_mut().enumerate() {
        let Some((leaf, manifest)) = listed.get(number).copied().flatten() else { continue };
        by_digest.entry(leaf.descriptor.digest.clone()).or_insert(number);
        image.digest = Some(leaf.descriptor.digest.clone());
        let found = compare(members, image, manifest, findings);
        copies.extend(found.into_iter().map(|layer| (number, layer)));
    }
    for descriptor in &mut descriptors {
        descriptor.forget_others(images);
        let names: Vec<Name> = descriptor.name.iter().cloned().collect();
        let top = oci::Descriptor::read(descriptor.text).map(|top| top.digest);
        for leaf in &descriptor.leaves {
            if let (Found::Absent, Some(name), true) =
                (&leaf.found, &descriptor.name, top.as_ref() == Some(&leaf.descriptor.digest))
            {
                let sentence = format!("index.json lists {name}, and what it leads to is not there.");
                findings.push(
                    Finding::new(FindingCode::IncompleteImage, Severity::Error, sentence)
                        .with("digest", leaf.descriptor.digest.as_str())
                        .with("reference", name.to_string()),
                );
            }
            if let Some(other) = oci::other(leaf, names.clone()) {
                let known = *known_others.entry(other.digest.clone()).or_insert(others.len());
                match others.get_mut(known) {
                    Some(known) => known.names.extend(other.names),
                    None => others.push(other),
                }
            }
            let Some((_, manifest)) = image_of(leaf) else { continue };
            let digest = leaf.descriptor.digest.as_str();
            let number = match by_digest.get(digest) {
                Some(&known) => known,
                None => match oci::read_image(members, digest, manifest, Vec::new(), findings) {
                    Ok(image) => {
                        by_digest.insert(digest.to_owned(), images.len());
                        images.push(image);
                        images.len() - 1
                    }
                    Err(error) if error.is_of_source() => {
                        unread = Some(error);
                        continue;
                    }
                    Err(error) => {
                        // Of an image for several platforms an archive may have some.
                        let is_own = top.as_deref() == Some(digest);
                        let severity = if is_own { Severity::Error } else { Severity::Warning };
                        let sentence = format!("An image of index.json cannot be read. {}", error.message());
                        findings.push(
                            Finding::new(FindingCode::IncompleteImage, severity, sentence)
                                .with("digest", digest),
                        );
                        unread.get_or_insert(error);
                        continue;
                    }
                },
            };
            if let Err(at) = descriptor.images.binary_search(&number) {
                descriptor.images.insert(at, number);
            }
        }
        let mut index = None;
        for &number in &descriptor.images {
            if let Some(image) = images.get_mut(number)
                && image.digest != top
            {
                image.index.clone_from(&top);
                index.clone_from(&top);
            }
        }
        lines.push(Line { name: descriptor.name.clone(), index, images: descriptor.images.clone() });
    }
    let mut names: Vec<Vec<Name>> = vec![Vec::new(); images.len()];
    let mut seen = HashSet::new();
    for descriptor in &descriptors {
        let Some(name) = &descriptor.name else { continue };
        for &image in &descriptor.images {
            if let Some(names) = names.get_mut(image).filter(|_| seen.insert((image, name))) {
                names.push(name.clone());
            }
        }
    }
    Some(Listing { others, names, lines, copies, unread })
}

impl Descriptor<'_> {
    /// Of images that one config made it seem to lead to, leaves those that are its manifests'.
    fn forget_others(&mut self, images: &[Image]) {
        let own: HashSet<&str> = self.leaves.iter().map(|leaf| leaf.descriptor.digest.as_str()).collect();
        let is_own = |image: &Image| image.digest.as_deref().is_some_and(|digest| own.contains(digest));
        self.images.retain(|&number| images.get(number).is_some_and(is_own));
    }
}

/// What lists each image of `manifest.json`: of the manifests with its config the one with its layers, for it may be there packed
/// otherwise, too; else the first.
fn listed<'a, S: Source + Clone>(
    members: &Members<S>,
    descriptors: &'a [Descriptor<'_>],
    images: &[Image],
) -> Vec<Option<(&'a Leaf, &'a Manifest)>> {
    let mut by_config = HashMap::new();
    let mut by_layers = HashMap::new();
    for (leaf, manifest) in descriptors.iter().flat_map(|descriptor| &descriptor.leaves).filter_map(image_of)
    {
        let id = manifest.config.digest.as_str();
        let entries: Vec<_> = manifest.layers.iter().map(|layer| layer.entry(members)).collect();
        by_layers.entry((id, entries)).or_insert((leaf, manifest));
        by_config.entry(id).or_insert((leaf, manifest));
    }
    let of = |image: &Image| {
        let id = image.id.as_str();
        let entries = image.layers.iter().map(|layer| layer.entry).collect();
        by_layers.get(&(id, entries)).or_else(|| by_config.get(id)).copied()
    };
    images.iter().map(of).collect()
}

/// Takes from a manifest what it says of the layers of an image that `manifest.json` lists, and notes what it says otherwise.
/// Gives the layers that it has elsewhere.
fn compare<S: Source + Clone>(
    members: &Members<S>,
    image: &mut Image,
    manifest: &Manifest,
    findings: &mut Vec<Finding>,
) -> Vec<Layer> {
    let mut copies = Vec::new();
    let size = |entry: Option<usize>| entry.and_then(|entry| members.entry(entry)).map(|entry| entry.size);
    let id = image.id.as_str();
    if manifest.layers.len() != image.layers.len() {
        let (index, list) = (manifest.layers.len(), image.layers.len());
        let sentence = format!(
            "The image {id} has {list} layers in manifest.json, but {index} in index.json: containerd and others that read this refuse it."
        );
        findings.push(
            Finding::new(FindingCode::LayerCountMismatch, Severity::Error, sentence)
                .with("image", id)
                .with("expected", list)
                .with("actual", index),
        );
    }
    let oci::Descriptor { digest, size: stated, .. } = &manifest.config;
    if let Some(actual) = size(manifest.config.entry(members)) {
        oci::check_size(digest, *stated, actual, findings);
    }
    for (layer, stated) in image.layers.iter_mut().zip(&manifest.layers) {
        let entry = stated.entry(members);
        if entry == layer.entry {
            stated.media_type.clone_into(&mut layer.media_type);
            layer.digest = Some(stated.digest.clone());
            check_media_type(members, layer, findings);
        } else if entry.is_some() {
            copies.push(Layer {
                digest: Some(stated.digest.clone()),
                media_type: stated.media_type.clone(),
                path: blob_path(&stated.digest).unwrap_or_default(),
                entry,
                ..layer.clone()
            });
        } else if !is_foreign(&stated.media_type) {
            let sentence = format!(
                "index.json has the layer {} in place of {}, and it is not there: containerd and others that read this refuse the image.",
                stated.digest, layer.path
            );
            findings.push(
                Finding::new(FindingCode::IncompleteImage, Severity::Error, sentence)
                    .with("image", id)
                    .with("digest", stated.digest.as_str()),
            );
        }
        if let Some(actual) = size(entry) {
            oci::check_size(&stated.digest, stated.size, actual, findings);
        }
    }
    copies
}

fn image_of(leaf: &Leaf) -> Option<(&Leaf, &Manifest)> {
    match &leaf.found {
        Found::Image(manifest) => Some((leaf, manifest)),
        _ => None,
    }
}

/// The index with other names; `Ok(None)` where it has them already, or is no index. `names` is per image; those of `places`
/// go to the descriptor with that number, if there is one, and to no other that there is; what is no image loses them, too.
pub(crate) fn rewrite<S: Source + Clone>(
    members: &Members<S>,
    bytes: &[u8],
    images: &[Image],
    names: &[Vec<Name>],
    places: &HashMap<Name, usize>,
) -> Result<Option<Vec<u8>>> {
    let Ok(document) = json::first_value(bytes) else { return Ok(None) };
    let Some((mut index, descriptors)) = descriptors(members, bytes, images, &mut Vec::new()) else {
        return Ok(None);
    };
    let style = Style::of(&descriptors);
    let wanted: HashSet<(usize, &Name)> = names
        .iter()
        .enumerate()
        .flat_map(|(image, names)| names.iter().map(move |name| (image, name)))
        .collect();
    let place_of = |name: &Name| places.get(name).copied();
    let is_wanted = |number: usize, descriptor: &Descriptor<'_>, name: &Name| {
        place_of(name).is_none_or(|place| place == number)
            && descriptor.images.iter().any(|&image| wanted.contains(&(image, name)))
    };
    // The descriptors of each image.
    let mut owned: Vec<Vec<usize>> = vec![Vec::new(); names.len()];
    for (number, descriptor) in descriptors.iter().enumerate() {
        for &image in &descriptor.images {
            if let Some(own) = owned.get_mut(image) {
                own.push(number);
            }
        }
    }
    let mut manifests = None;
    // What becomes of each descriptor: kept (as it is, or renamed), or dropped.
    let mut kept: Vec<Option<Slot<'_>>> =
        descriptors.iter().map(|descriptor| Some(Slot::of(descriptor))).collect();
    for ((number, slot), descriptor) in kept.iter_mut().enumerate().zip(&descriptors) {
        let unwanted = descriptor.name.as_ref().is_some_and(|name| !is_wanted(number, descriptor, name));
        let is_moved = || descriptor.name.as_ref().and_then(place_of).is_some();
        if unwanted && !descriptor.images.is_empty() {
            *slot = None;
        } else if unwanted && is_moved() {
            *slot = Some(Slot::nameless(descriptor));
        }
    }
    for ((image, wanted), own) in names.iter().enumerate().zip(&owned) {
        let slots = || own.iter().filter_map(|&i| kept.get(i).map(|slot| (i, slot.as_ref())));
        let mut there: HashSet<&Name> =
            slots().filter_map(|(_, slot)| slot).flat_map(|slot| slot.names.iter().copied()).collect();
        let mut free: VecDeque<usize> = slots().filter(|(_, slot)| slot.is_none()).map(|(i, _)| i).collect();
        let is_nameless = |slot: Option<&Slot<'_>>| slot.is_some_and(|slot| slot.names.is_empty());
        free.extend(slots().filter(|(_, slot)| is_nameless(*slot)).map(|(i, _)| i));
        let leads_here = |at: &usize| {
            descriptors.get(*at).is_some_and(|descriptor| descriptor.images.binary_search(&image).is_ok())
        };
        let last = own.last().copied();
        for name in wanted {
            if !there.insert(name) {
                continue;
            }
            // A descriptor that lost its name takes the new one; one without a name takes it; else a copy does.
            let place = place_of(name).filter(leads_here);
            let is_free =
                |at: &usize| kept.get(*at).and_then(Option::as_ref).is_none_or(|slot| slot.names.is_empty());
            let at = place.or_else(|| std::iter::from_fn(|| free.pop_front()).find(is_free));
            let Some(at) = at.or(last) else {
                let id = images.get(image).map_or("", |image| &image.id);
                let manifests = manifests.get_or_insert_with(|| manifests_by_config(members));
                let (media_type, digest, size) = manifests.get(id).ok_or_else(|| not_listed(id))?;
                let text = descriptor(media_type, digest, *size, &[]);
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
    for slot in kept.iter().flatten() {
        members.spend(slot.names.len() as u64 * slot.text.len() as u64)?;
    }
    let texts = json::array_of(kept.into_iter().flatten().flat_map(|slot| slot.into_texts(style)));
    if texts == json::array_of(descriptors.iter().map(|descriptor| descriptor.text.to_owned())) {
        return Ok(None);
    }
    index.set("manifests", &texts);
    Ok(Some(document.with_value(&index.to_json())))
}

/// The index without the descriptors that lead to some images and to no others; `None` where it has none, or is no
/// index.
pub(crate) fn without<S: Source + Clone>(
    members: &Members<S>,
    bytes: &[u8],
    images: &[Image],
    gone: &BTreeSet<usize>,
) -> Option<Vec<u8>> {
    let document = json::first_value(bytes).ok()?;
    let (mut index, descriptors) = descriptors(members, bytes, images, &mut Vec::new())?;
    let is_gone = |own: &[usize]| !own.is_empty() && own.iter().all(|image| gone.contains(image));
    let kept = descriptors.iter().filter(|descriptor| !is_gone(&descriptor.images));
    let kept: Vec<String> = kept.map(|descriptor| descriptor.text.to_owned()).collect();
    if kept.len() == descriptors.len() {
        return None;
    }
    index.set("manifests", &json::array_of(kept));
    Some(document.with_value(&index.to_json()))
}

/// What one descriptor of the index leads to.
pub(crate) struct Top {
    pub(crate) text: String,
    pub(crate) digest: String,
    pub(crate) name: Option<Name>,
    /// The images, by their numbers.
    pub(crate) images: Vec<usize>,
    pub(crate) leaves: Vec<Leaf>,
}

/// The descriptors of the index, for whoever knows its images already. None where it is no index.
pub(crate) fn tops<S: Source + Clone>(members: &Members<S>, bytes: &[u8], images: &[Image]) -> Vec<Top> {
    let descriptors = descriptors(members, bytes, images, &mut Vec::new());
    let top = |Descriptor { text, name, leaves, images }| {
        Some(Top { text: text.to_owned(), digest: oci::Descriptor::read(text)?.digest, name, images, leaves })
    };
    descriptors.into_iter().flat_map(|(_, descriptors)| descriptors).filter_map(top).collect()
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
    note_flaws(PATH, document.value.as_bytes(), findings);
    // An image whose manifest is known is that manifest's, another one is that of its config.
    let mut by_digest: HashMap<&str, Vec<usize>> = HashMap::new();
    let mut by_config: HashMap<&str, Vec<usize>> = HashMap::new();
    for (number, image) in images.iter().enumerate() {
        let (map, key) = match &image.digest {
            Some(digest) => (&mut by_digest, digest),
            None => (&mut by_config, &image.id),
        };
        map.entry(key).or_default().push(number);
    }
    let names = KnownNames::of(images);
    let mut known: HashSet<Finding> = findings.iter().cloned().collect();
    let mut followed = 0;
    let mut read = |text: &'a str| {
        let object = Object::parse(text)?;
        let mut walk = Walk::after(followed);
        walk.follow(members, text);
        followed = walk.followed;
        findings.extend(walk.findings.into_iter().filter(|finding| known.insert(finding.clone())));
        let mut own = BTreeSet::new();
        for (leaf, manifest) in walk.leaves.iter().filter_map(image_of) {
            let of_digest = by_digest.get(leaf.descriptor.digest.as_str());
            let of_config = by_config.get(manifest.config.digest.as_str());
            for numbers in of_digest.into_iter().chain(of_config) {
                // Images that are listed many times over, each by many descriptors.
                if members.spend(8 * numbers.len() as u64).is_ok() {
                    own.extend(numbers);
                }
            }
        }
        let own: Vec<usize> = own.into_iter().collect();
        Some(Descriptor { text, name: name(&object, &own, &names), leaves: walk.leaves, images: own })
    };
    let descriptors = manifests.into_iter().map(&mut read).collect::<Option<_>>()?;
    Some((index, descriptors))
}

/// The image manifests among the blobs, by the digests of their configs: media type, digest and size of the first of
/// each. Docker 25 to 29 leave out of the index an untagged image saved beside a tagged one, but still write its
/// manifest.
pub(crate) fn manifests_by_config<S: Source + Clone>(
    members: &Members<S>,
) -> HashMap<String, (String, String, u64)> {
    let mut found = HashMap::new();
    let blobs = members.index.entries().iter().enumerate().filter(|(_, entry)| {
        entry.path.contains("blobs/sha256/") && entry.magic.first() == Some(&b'{') && entry.size < 1 << 20
    });
    for (number, _) in blobs {
        let Ok(bytes) = members.document(number) else { continue };
        let Ok(document) = json::first_value(&bytes) else { continue };
        let Some(object) = Object::parse(document.value) else { continue };
        let Some(manifest) = Manifest::read(&object) else { continue };
        let media_type = object.read("mediaType").unwrap_or_else(|| OCI_MANIFEST.to_owned());
        let described = || (media_type, sha256(&bytes), Source::len(&bytes));
        found.entry(manifest.config.digest).or_insert_with(described);
    }
    found
}
