//! The importer of containerd (`core/images/archive`), which Docker uses with the containerd image store: members become
//! blobs as they go by, and what an image is made of is looked up by name or digest. An `oci-layout` makes `index.json`
//! the list of images; else `manifest.json` is. Layers are unpacked after the import, and failures there go unsaid.

use std::collections::HashSet;

use crate::compression::Compression::{self, Gzip, Zstd};
use crate::formats::oci::LAYOUT;
use crate::formats::{manifest_json, oci_index};
use crate::json::{self, Object};
use crate::reference::Reference;
use crate::source::Source;
use crate::tar::EntryKind;

use super::config::Config;
use super::docker::{BY_PROGRAM, packing_flaw, sha256_flaw};
use super::facts::{Facts, Item, items};
use super::oci::{self, Descriptor, Document, Kind, Manifest};
use super::{Flaw, Loaded, Read, Reader, Reading, stored};

const VERSION: &str = "1.0.0";
const KNOWN: &[Compression] = &[Gzip, Zstd];
const MAX_DOCUMENT: u64 = 20 << 20;
/// More links than any real archive has one after the other.
const MAX_LINKS: usize = 40;

pub(super) fn read<S: Source + Clone>(facts: &Facts<'_, S>) -> Reading {
    if let Some(flaw) = packing_flaw(facts, Reader::Docker25Containerd) {
        return Err(flaw);
    }
    let listed = match facts.last(manifest_json::PATH) {
        Some(manifest) => items(&facts.document(manifest, MAX_DOCUMENT)?, false)?,
        None => None,
    };
    match layout_version(facts)?.as_deref() {
        None | Some("") => {}
        Some(VERSION) => return read_layout(facts),
        Some(version) => return Err(Flaw::of_form(format!("The OCI layout has the version {version}."))),
    }
    let items =
        listed.ok_or_else(|| Flaw::of_form("The archive has neither manifest.json nor an oci-layout."))?;
    if items.is_empty() {
        return Err(Flaw::of_image("manifest.json lists no image."));
    }
    for entry in facts.entries().iter().filter(|entry| entry.kind == EntryKind::Symlink) {
        if blob(facts, &entry.path).is_none() {
            return Err(Flaw::of_form(format!(
                "The link \"{}\" leads to no file of the archive.",
                entry.path
            )));
        }
    }
    let mut read = Read::default();
    for item in &items {
        let (image, flaw) = image(facts, item)?;
        read.images.push(image);
        read.flaw = read.flaw.or(flaw);
    }
    read.images = stored(read.images);
    Ok(read)
}

fn layout_version<S: Source + Clone>(facts: &Facts<'_, S>) -> Result<Option<String>, Flaw> {
    let Some(layout) = facts.last(LAYOUT) else { return Ok(None) };
    let bytes = facts.document(layout, MAX_DOCUMENT)?;
    let layout = json::first_value(&bytes).ok().and_then(|document| Object::parse(document.value));
    let layout = layout.ok_or_else(|| Flaw::of_form("oci-layout cannot be read."))?;
    Ok(layout.read("imageLayoutVersion"))
}

/// The file of that name: the name counts as it is written, but for the links, which were put in its place.
fn blob<S: Source + Clone>(facts: &Facts<'_, S>, path: &str) -> Option<usize> {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        if let Some(blob) = facts.last(&path) {
            return Some(blob);
        }
        path = facts.link(&path)?;
    }
    None
}

fn image<S: Source + Clone>(facts: &Facts<'_, S>, item: &Item) -> Result<(Loaded, Option<Flaw>), Flaw> {
    let missing = |path: &str| Flaw::of_form(format!("No member has the very name \"{path}\"."));
    let config = blob(facts, &item.config).ok_or_else(|| missing(&item.config))?;
    let layers: Vec<usize> = item
        .layers
        .iter()
        .map(|path| blob(facts, path).ok_or_else(|| missing(path)))
        .collect::<Result<_, _>>()?;
    let config = Config::read_as_oci(&facts.document(config, MAX_DOCUMENT)?)?;
    let names = item.tags.iter().map(|tag| {
        let invalid = || Flaw::of_image(format!("\"{tag}\" is no name for an image."));
        name(tag).ok_or_else(invalid)
    });
    // The importer makes a manifest, and the image's ID is its digest.
    let image = Loaded { id: None, names: names.collect::<Result<_, _>>()? };
    Ok((image, content_flaw(facts, &config, &layers)))
}

/// Why an image cannot be unpacked, which nobody says at the time.
fn content_flaw<S: Source + Clone>(facts: &Facts<'_, S>, config: &Config, layers: &[usize]) -> Option<Flaw> {
    let layer_flaw = |(&layer, diff_id): (&usize, &String)| {
        sha256_flaw(diff_id)
            .or_else(|| facts.layer_flaw(layer, diff_id, KNOWN))
            .or_else(|| facts.trailing_flaw(layer, BY_PROGRAM))
            .or_else(|| facts.content_flaw(layer, Reader::Docker25Containerd))
    };
    config.count_flaw(layers.len()).or_else(|| layers.iter().zip(&config.diff_ids).find_map(layer_flaw))
}

/// `latest` is added where there is neither tag nor digest; a digest makes the tag count for nothing.
fn name(text: &str) -> Option<String> {
    let reference = Reference::parse(text).ok()?;
    match reference.digest() {
        Some(digest) => Some(format!("{}@{digest}", reference.familiar_name())),
        None => Some(reference.to_string()),
    }
}

fn read_layout<S: Source + Clone>(facts: &Facts<'_, S>) -> Reading {
    let index =
        facts.last(oci_index::PATH).ok_or_else(|| Flaw::of_form("The OCI layout has no index.json."))?;
    let Some(Document::Index(listed)) = oci::parse(&facts.document(index, MAX_DOCUMENT)?, true) else {
        return Err(Flaw::of_image("index.json cannot be read, or a value in it has the wrong type."));
    };
    if listed.is_empty() {
        return Err(Flaw::of_image("index.json lists no image."));
    }
    let mut read = Read::default();
    let mut seen = HashSet::new();
    for descriptor in listed.iter().filter(|descriptor| !descriptor.is_attestation) {
        // A whole name counts before the specification's own annotation, which is a whole name here too.
        let names = descriptor.containerd_name.as_ref().or(descriptor.ref_name.as_ref());
        let names = names.and_then(|text| name(text)).into_iter().collect();
        read.images.push(Loaded { id: Some(descriptor.digest.clone()), names });
        if seen.insert(&descriptor.digest) {
            let flaw = layout_flaw(facts, descriptor)?;
            read.flaw = read.flaw.or(flaw);
        }
    }
    read.images = stored(read.images);
    Ok(read)
}

/// Why an image of a layout cannot be unpacked; `Err` where the import itself fails.
fn layout_flaw<S: Source + Clone>(
    facts: &Facts<'_, S>,
    descriptor: &Descriptor,
) -> Result<Option<Flaw>, Flaw> {
    if descriptor.media_type.is_empty() || descriptor.size <= 0 {
        return Err(Flaw::of_form("index.json states no media type, or no size, of an image."));
    }
    // Blobs are kept by sha256 alone, and what is asked for by another digest is not found.
    if let Some(flaw) = sha256_flaw(&descriptor.digest) {
        return Err(flaw);
    }
    let Some(kind) = Kind::of(&descriptor.media_type) else {
        let media_type = &descriptor.media_type;
        return Ok(Some(Flaw::of_form(format!("index.json calls an image a \"{media_type}\"."))));
    };
    let bytes = oci::document(facts, &|path| blob(facts, path), &descriptor.digest)?;
    let document = oci::read_bytes(&bytes, &descriptor.digest)?;
    if let Some(key) = kind.foreign_key(&bytes) {
        let sentence = format!("A manifest is not what its media type says: it has the key \"{key}\".");
        return Err(Flaw { sentence, of_form: document.kind() != kind });
    }
    Ok(match document {
        Document::Manifest(manifest) => manifest_flaw(facts, &manifest),
        Document::Index(platforms) => platforms_flaw(facts, &platforms),
    })
}

/// An image of many platforms is good for something as long as one of them is whole.
fn platforms_flaw<S: Source + Clone>(facts: &Facts<'_, S>, platforms: &[Descriptor]) -> Option<Flaw> {
    let mut flaw = Flaw::of_image("The image's index lists no platform that a machine has.");
    for descriptor in platforms.iter().filter(|one| !one.is_attestation && is_of_machine(one)) {
        let of_platform = match oci::read(facts, &|path| blob(facts, path), &descriptor.digest) {
            Err(flaw) => Some(flaw),
            Ok(Document::Manifest(manifest)) => manifest_flaw(facts, &manifest),
            Ok(Document::Index(_)) => None,
        };
        match of_platform {
            Some(other) => flaw = other,
            None => return None,
        }
    }
    Some(flaw)
}

/// Whether there are machines of an image's platform: none has an empty name, and none of amd64 is told a variant but the first.
fn is_of_machine(descriptor: &Descriptor) -> bool {
    descriptor.platform.as_ref().is_none_or(|platform| {
        let is_named = !platform.os.is_empty() && !platform.architecture.is_empty();
        is_named && (!platform.is_common() || platform.distance("linux/amd64") == Some(0))
    })
}

fn manifest_flaw<S: Source + Clone>(facts: &Facts<'_, S>, manifest: &Manifest) -> Option<Flaw> {
    let find = |path: &str| blob(facts, path);
    let check = || {
        let descriptors = || manifest.layers.iter().chain([&manifest.config]);
        if let Some(flaw) = descriptors().find_map(|descriptor| sha256_flaw(&descriptor.digest)) {
            return Err(flaw);
        }
        let config = oci::document(facts, &find, &manifest.config.digest)?;
        let blobs = oci::blobs(facts, &find, &manifest.layers)?;
        let mut layers = manifest.layers.iter().zip(&blobs);
        if let Some(flaw) = layers.find_map(|(layer, &blob)| type_flaw(facts, layer, blob)) {
            return Err(flaw);
        }
        Ok::<_, Flaw>(content_flaw(facts, &Config::read_as_oci(&config)?, &blobs))
    };
    check().unwrap_or_else(Some)
}

/// Why a layer of that media type cannot be unpacked. What a type says of gzip or zstd is not believed, and what Docker's types
/// say, either; but the OCI's plain tar is no more than that.
fn type_flaw<S: Source + Clone>(facts: &Facts<'_, S>, layer: &Descriptor, blob: usize) -> Option<Flaw> {
    const OCIS: [&str; 2] =
        ["application/vnd.oci.image.layer.v1.tar", "application/vnd.oci.image.layer.nondistributable.v1.tar"];
    const DOCKERS: [&str; 2] = [
        "application/vnd.docker.image.rootfs.diff.tar",
        "application/vnd.docker.image.rootfs.foreign.diff.tar",
    ];
    let media_type = layer.media_type.as_str();
    let is_one_of = |bases: [&str; 2], suffixes: &[&str]| {
        let mut found = bases.into_iter().filter_map(|base| media_type.strip_prefix(base));
        found.any(|suffix| suffixes.contains(&suffix))
    };
    if is_one_of(OCIS, &["+gzip", "+zstd"]) || is_one_of(DOCKERS, &["", ".gzip", ".zstd"]) {
        return None;
    }
    if !is_one_of(OCIS, &[""]) {
        return Some(Flaw::of_image(format!("containerd unpacks no layer of the type \"{media_type}\".")));
    }
    let is_compressed = facts.compression(blob).is_some();
    is_compressed.then(|| Flaw::of_form("A layer is compressed, and its media type says that it is not."))
}
