//! `docker load` with the graph-driver store (moby `image/tarexport`): the archive is unpacked into a directory, so the
//! last of several members counts, links lead anywhere in it, and a leading slash is nothing.

use std::collections::HashSet;

use crate::compression::Compression::{self, Bzip2, Gzip, Xz, Zstd};
use crate::formats::{manifest_json, repositories};
use crate::json::{self, Object};
use crate::reference::Reference;
use crate::source::Source;
use crate::tar::{Entry, EntryKind, clean};

use super::config::Config;
use super::facts::{Facts, Item, items};
use super::{Flaw, Loaded, Read, Reader, Reading, stored};

/// The layer store's limit, whatever the storage driver.
pub(super) const MAX_LAYERS: usize = 125;

/// What the engine unpacks, of archives as of layers. Never one within another.
const fn known(reader: Reader) -> &'static [Compression] {
    match reader {
        Reader::Docker24 => &[Gzip, Bzip2, Xz],
        _ => &[Gzip, Bzip2, Xz, Zstd],
    }
}

/// What engines leave to `unpigz`, which lets pass what follows the data.
pub(super) const BY_PROGRAM: Option<Compression> = Some(Gzip);

/// Why a file that is compressed like that is no tar for the engine.
pub(super) fn packing_flaw<S>(facts: &Facts<'_, S>, reader: Reader) -> Option<Flaw> {
    match facts.packing.as_slice() {
        [] => None,
        [one] if facts.trailing && Some(*one) != BY_PROGRAM => {
            Some(format!("Bytes follow the {} data of the file.", one.name()))
        }
        [one] if known(reader).contains(one) => None,
        [one] => Some(format!("{} does not unpack {}.", reader.name(), one.name())),
        _ => Some(format!("{} unpacks a file once, but this one is compressed twice.", reader.name())),
    }
    .map(Flaw::of_form)
}

pub(super) fn read<S: Source + Clone>(facts: &Facts<'_, S>, reader: Reader) -> Reading {
    if let Some(flaw) = packing_flaw(facts, reader) {
        return Err(flaw);
    }
    // Docker up to 24 unpacks in a chroot, where nothing is above.
    if let Some(flaw) = facts.unpacking_flaw(reader == Reader::Docker24) {
        return Err(flaw);
    }
    if let Some(flaw) = type_flaw(facts) {
        return Err(flaw);
    }
    let Some(manifest) = facts.unpacked(manifest_json::PATH) else {
        return match reader {
            Reader::Docker24 => read_v1(facts),
            _ => Err(Flaw::of_form("The archive has no manifest.json.")),
        };
    };
    let listed = items(&facts.document(manifest, u64::MAX)?, false)?;
    if listed.is_none() && reader == Reader::Docker25 {
        return Err(Flaw::of_image("manifest.json is null."));
    }
    let images = listed.unwrap_or_default().into_iter().map(|item| image(facts, &item, reader));
    Ok(Read { images: stored(images.collect::<Result<_, _>>()?), flaw: None })
}

fn image<S: Source + Clone>(facts: &Facts<'_, S>, item: &Item, reader: Reader) -> Result<Loaded, Flaw> {
    let missing = |path: &str| Flaw::of_image(format!("manifest.json names \"{path}\", which is not there."));
    let config = facts.unpacked(&item.config).ok_or_else(|| missing(&item.config))?;
    let config = Config::read(&facts.document(config, u64::MAX)?)?;
    if !config.is_for_linux() {
        return Err(Flaw::of_image(format!("The image is for {}, and the engine for Linux.", config.os)));
    }
    if let Some(flaw) = config.count_flaw(item.layers.len()) {
        return Err(flaw);
    }
    if item.layers.len() > MAX_LAYERS {
        return Err(Flaw::of_image(format!("The image has more than {MAX_LAYERS} layers.")));
    }
    if config.steps > item.layers.len() {
        return Err(Flaw::of_image(
            "The config's history has more steps with a layer than there are layers.",
        ));
    }
    for (path, diff_id) in item.layers.iter().zip(&config.diff_ids) {
        let layer = facts.unpacked(path).ok_or_else(|| missing(path))?;
        let flaw = sha256_flaw(diff_id)
            .or_else(|| facts.layer_flaw(layer, diff_id, known(reader)))
            .or_else(|| facts.trailing_flaw(layer, BY_PROGRAM))
            .or_else(|| facts.content_flaw(layer, reader));
        if let Some(flaw) = flaw {
            return Err(flaw);
        }
    }
    let names = item.tags.iter().map(|tag| name(tag, reader)).collect::<Result<_, _>>()?;
    Ok(Loaded { id: Some(config.id), names })
}

/// The engine computes no other digest.
pub(super) fn sha256_flaw(digest: &str) -> Option<Flaw> {
    let is_sha256 = digest.starts_with("sha256:");
    (!is_sha256).then(|| Flaw::of_image(format!("\"{digest}\" is no sha256 digest.")))
}

/// The engine unpacks files, directories, links, devices and pipes, passes over global pax headers, and refuses all else:
/// the label of `tar --label`, for one.
fn type_flaw<S: Source + Clone>(facts: &Facts<'_, S>) -> Option<Flaw> {
    const TYPE: u64 = 156;
    // What would be the directory itself is passed over before that.
    let odd = |entry: &&Entry| {
        (entry.is_contiguous || matches!(entry.kind, EntryKind::Other | EntryKind::Sparse))
            && clean(&entry.path) != "."
    };
    facts.entries().iter().filter(odd).find_map(|entry| {
        let [kind] = facts.bytes_at(entry.header + TYPE)?;
        let sentence = || {
            let (kind, path) = (char::from(kind), &entry.path);
            Flaw::of_form(format!("Docker does not unpack members of type {kind}, as \"{path}\" is."))
        };
        (!b"\x000346g".contains(&kind)).then(sentence)
    })
}

/// A name has to have a tag; none is added.
fn name(text: &str, reader: Reader) -> Result<String, Flaw> {
    match Reference::parse_bare(text) {
        Ok(name) if reader == Reader::Docker24 && !was_always_one(&name) => {
            let sentence = format!("\"{text}\" was no name for an image before Docker 25.");
            Err(Flaw::of_image(sentence))
        }
        Ok(reference) if reference.tag().is_some() => Ok(reference.to_string()),
        Ok(reference) => {
            let sentence = format!("The name \"{text}\" has no tag.");
            let of_form = reference.digest().is_none();
            Err(Flaw { sentence, of_form })
        }
        Err(_) => Err(Flaw::of_image(format!("\"{text}\" is no name for an image."))),
    }
}

/// Whether a name is one by the grammar of old, too: no registry was an IPv6 address, or was told by upper case alone, and its
/// name counted for the longest that there may be.
pub(super) fn was_always_one(name: &Reference) -> bool {
    let domain = name.domain();
    let is_told = domain == "localhost" || domain.contains(['.', ':']);
    is_told && !domain.starts_with('[') && name.name().len() <= 255
}

/// Archives of Docker up to 1.9: every directory at the top is a layer, and `repositories` has the names. The engine writes
/// a config for each image, whose digest nobody knows before.
fn read_v1<S: Source + Clone>(facts: &Facts<'_, S>) -> Reading {
    let mut layers = HashSet::new();
    for entry in facts.entries() {
        let path = clean(entry.path.trim_start_matches('/'));
        if let Some((directory, _)) = path.split_once('/') {
            layers.insert(directory.to_owned());
        } else if entry.kind == EntryKind::Directory && path != "." {
            layers.insert(path);
        }
    }
    for layer in &layers {
        for file in ["json", "layer.tar"] {
            if facts.unpacked(&format!("{layer}/{file}")).is_none() {
                let sentence = "The archive has no manifest.json, and is none of Docker up to 1.9 either.";
                return Err(Flaw::of_form(sentence));
            }
        }
    }
    let tags = || {
        let document = facts.document(facts.unpacked(repositories::PATH)?, u64::MAX).ok()?;
        let document = json::first_value(&document).ok()?;
        Object::parse(document.value)?;
        repositories::read(document.value.as_bytes())
    };
    let tags =
        tags().ok_or_else(|| Flaw::of_form("The archive has neither manifest.json nor repositories."))?;
    let mut images = Vec::new();
    for (tag, layer) in tags {
        if !layers.contains(&layer) {
            return Err(Flaw::of_image(format!("repositories names the image {layer}, which is not there.")));
        }
        images.push(Loaded { id: Some(layer), names: vec![name(tag.text(), Reader::Docker24)?] });
    }
    let nobody_knows = |image: Loaded| Loaded { id: None, ..image };
    Ok(Read { images: stored(images).into_iter().map(nobody_knows).collect(), flaw: None })
}
