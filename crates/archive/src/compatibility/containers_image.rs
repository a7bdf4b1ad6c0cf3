//! skopeo and podman (`containers/image`). `docker-archive:` searches the tar for each name from the start, so the first
//! of several members counts; `oci-archive:` unpacks it into a directory, so the last does.

use std::collections::HashSet;
use std::rc::Rc;

use crate::compression::Compression::{self, Bzip2, Gzip, Lz4, Xz, Zstd};
use crate::digest::sha256;
use crate::formats::{manifest_json, oci_index};
use crate::model::is_encrypted;
use crate::platform::Platform;
use crate::reference::Reference;
use crate::source::Source;
use crate::tar::{Entry, EntryKind, beside, clean};
use crate::write::{OCI_CONFIG, OCI_MANIFEST};

use super::config::Config;
use super::docker::{sha256_flaw, was_always_one};
use super::facts::{Facts, Item, distinct, items};
use super::oci::{self, DOCKER_MANIFEST, Descriptor, Document, Kind, Manifest};
use super::{Flaw, Loaded, Read, Reader, Reading, stored};

const KNOWN: &[Compression] = &[Gzip, Bzip2, Xz, Zstd];
const MAX_MANIFEST: u64 = 1 << 20;
const MAX_CONFIG: u64 = 4 << 20;

/// `podman load` tries an OCI layout first, and a Docker archive when that fails for any reason.
pub(super) fn podman<S: Source + Clone>(facts: &Facts<'_, S>) -> Reading {
    if let Ok(read) = podman_layout(facts) {
        return Ok(read);
    }
    podman_archive(facts).map(|images| Read { images: stored(images), flaw: None })
}

fn podman_layout<S: Source + Clone>(facts: &Facts<'_, S>) -> Reading {
    let layout = Layout::read(facts)?;
    if let Some(flaw) = layout.type_flaw() {
        return Err(flaw);
    }
    let config = Config::read_as_oci(&layout.config)?;
    for &layer in &layout.layers {
        let flaw = unpacking_flaw(facts, layer)
            .or_else(|| facts.trailing_flaw(layer, None))
            .or_else(|| facts.content_flaw(layer, Reader::Podman));
        if let Some(flaw) = flaw {
            return Err(flaw);
        }
    }
    let name = layout.descriptor.containerd_name.or(layout.descriptor.ref_name);
    let names = name.map(|text| podman_name(&text, Some(&layout.descriptor.digest))).transpose()?;
    let image = Loaded { id: Some(config.id), names: names.into_iter().collect() };
    // A value that Docker's own type has no place for comes out when images are listed.
    Ok(Read { images: vec![image], flaw: Config::read(&layout.config).err() })
}

fn podman_archive<S: Source + Clone>(facts: &Facts<'_, S>) -> Result<Vec<Loaded>, Flaw> {
    let items = archive_items(facts)?;
    for tag in items.iter().flat_map(|item| &item.tags) {
        match Reference::parse_bare(tag) {
            Ok(name) if name.digest().is_some() => {
                return Err(Flaw::of_image(format!("The name \"{tag}\" has a digest.")));
            }
            Ok(name) if name.tag().is_none() => {
                return Err(Flaw::of_form(format!("The name \"{tag}\" has no tag.")));
            }
            Ok(name) if was_always_one(&name) => {}
            _ => return Err(Flaw::of_image(format!("\"{tag}\" is no name for an image."))),
        }
    }
    let mut images = Vec::new();
    let (mut taken, mut known) = (HashSet::new(), HashSet::new());
    for item in &items {
        // The store does not ask for a layer that an earlier image has.
        let ArchiveImage { config, layers } = archive_image(facts, item, &known)?;
        let config = config.without_shell_form()?;
        known.extend(config.diff_ids);
        for layer in layers {
            if let Some(flaw) = facts.content_flaw(layer, Reader::Podman) {
                return Err(flaw);
            }
        }
        // An image is fetched by its name, which finds the first that has it.
        let own: Vec<&String> = item.tags.iter().filter(|tag| taken.insert(tag.as_str())).collect();
        if !item.tags.is_empty() && own.is_empty() {
            continue;
        }
        let names = own.into_iter().map(|tag| podman_name(tag, None)).collect::<Result<_, _>>()?;
        images.push(Loaded { id: Some(config.id), names });
    }
    Ok(images)
}

/// A name without a registry is of `localhost`. A digest in it has to be that of the manifest, where there is one.
fn podman_name(text: &str, digest: Option<&str>) -> Result<String, Flaw> {
    let has_registry =
        text.split_once('/').is_some_and(|(first, _)| first == "localhost" || first.contains(['.', ':']));
    let full = if has_registry { text.to_owned() } else { format!("localhost/{text}") };
    let is_own = |name: &Reference| name.digest().is_none_or(|own| digest.is_none_or(|digest| own == digest));
    let name = Reference::parse(&full).ok().filter(|name| was_always_one(name) && is_own(name));
    name.map(|name| name.canonical())
        .ok_or_else(|| Flaw::of_image(format!("\"{text}\" is no name for an image.")))
}

/// `skopeo copy` of the one image that there is.
pub(super) fn skopeo<S: Source + Clone>(facts: &Facts<'_, S>) -> Reading {
    let loaded = |id, names| Ok(Read { images: vec![Loaded { id: Some(id), names }], flaw: None });
    if facts.first(manifest_json::PATH).is_none() && facts.unpacked(manifest_json::PATH).is_none() {
        let layout = Layout::read(facts)?;
        // The digest of a blob in `dir:` and in registries is sha256.
        if let Some(flaw) = layout.manifest.layers.iter().find_map(|layer| sha256_flaw(&layer.digest)) {
            return Err(flaw);
        }
        let names = layout.descriptor.ref_name.into_iter().collect();
        return loaded(sha256(&layout.config), names);
    }
    let items = archive_items(facts)?;
    let [item] = items.as_slice() else {
        return Err(Flaw::of_image(format!(
            "manifest.json lists {} images, and skopeo takes one at a time: docker-archive:FILE:NAME says which.",
            items.len()
        )));
    };
    let config = archive_image(facts, item, &HashSet::new())?.config;
    if let Some(flaw) = config.diff_ids.iter().find_map(|diff_id| sha256_flaw(diff_id)) {
        return Err(flaw);
    }
    let in_full = |tag: &String| Reference::parse(tag).map_or_else(|_| tag.clone(), |name| name.canonical());
    loaded(config.id, distinct(item.tags.iter().map(in_full)))
}

/// An image of a Docker archive.
struct ArchiveImage {
    config: Config,
    /// The members that are read.
    layers: Vec<usize>,
}

fn archive_items<S: Source + Clone>(facts: &Facts<'_, S>) -> Result<Vec<Item>, Flaw> {
    match facts.packing.as_slice() {
        // These versions unpack gzip, look at the first bytes of what is within, and then lose some of it.
        [Gzip] => {
            Err(Flaw::of_form("skopeo 1.9 and podman 4.3 cannot read a Docker archive that is gzipped."))
        }
        // A layout is unpacked to the end of the tar, and no further.
        _ if facts.trailing => Err(Flaw::of_form("Bytes follow the compressed data of the file.")),
        packing => packing_flaw(packing, 2).map_or(Ok(()), Err),
    }?;
    let manifest = component(facts, manifest_json::PATH)
        .ok_or_else(|| Flaw::of_form("The archive has no manifest.json."))?;
    Ok(items(&facts.document(manifest, MAX_MANIFEST)?, true)?.unwrap_or_default())
}

fn packing_flaw(packing: &[Compression], times: usize) -> Option<Flaw> {
    if packing.contains(&Lz4) {
        return Some(Flaw::of_form("skopeo and podman do not unpack lz4."));
    }
    (packing.len() > times).then(|| Flaw::of_form("The file is compressed more often than it is unpacked."))
}

/// The first member of that name; one symbolic link is followed.
fn component<S: Source + Clone>(facts: &Facts<'_, S>, path: &str) -> Option<usize> {
    let is_file = |found: &(usize, &Entry)| found.1.kind == EntryKind::File;
    let (number, entry) = facts.first(path)?;
    if entry.kind == EntryKind::Symlink {
        let target = beside(&clean(path), entry.link.as_deref()?);
        return facts.first(&target).filter(is_file).map(|(number, _)| number);
    }
    (entry.kind == EntryKind::File).then_some(number)
}

fn archive_image<S: Source + Clone>(
    facts: &Facts<'_, S>,
    item: &Item,
    known: &HashSet<String>,
) -> Result<ArchiveImage, Flaw> {
    let missing = |path: &str| Flaw::of_form(format!("No member has the name \"{path}\"."));
    let config = component(facts, &item.config).ok_or_else(|| missing(&item.config))?;
    let config = Config::read(&facts.document(config, MAX_CONFIG)?)?;
    if let Some(flaw) = config.count_flaw(item.layers.len()) {
        return Err(flaw);
    }
    // A diff ID that was there before is not looked at again, wherever its path leads.
    let (mut diff_ids, mut paths) = (HashSet::new(), HashSet::new());
    let mut layers = Vec::new();
    for (path, diff_id) in item.layers.iter().zip(&config.diff_ids) {
        let path = clean(path);
        if !diff_ids.insert(diff_id.as_str()) {
            continue;
        }
        if !paths.insert(path.clone()) {
            return Err(Flaw::of_image(format!("Two layers of the config have one file, \"{path}\".")));
        }
        let (layer, entry) = facts.first(&path).ok_or_else(|| missing(&path))?;
        if known.contains(diff_id) {
            continue;
        }
        if entry.kind != EntryKind::File {
            // The size is taken from the link, and the content from where it leads.
            return Err(Flaw::of_form(format!("The layer \"{path}\" is not a regular file.")));
        }
        let flaw = unpacking_flaw(facts, layer)
            .or_else(|| facts.layer_flaw(layer, diff_id, KNOWN))
            .or_else(|| facts.trailing_flaw(layer, None));
        if let Some(flaw) = flaw {
            return Err(flaw);
        }
        layers.push(layer);
    }
    Ok(ArchiveImage { config, layers })
}

/// Why a layer's compression cannot be unpacked: Go's xz has no filters and wants a check, and zstd is known by the magic
/// number of its data alone.
fn unpacking_flaw<S: Source + Clone>(facts: &Facts<'_, S>, layer: usize) -> Option<Flaw> {
    let entry = facts.entries().get(layer)?;
    let odd = match entry.magic {
        [0x50..0x60, 0x2a, 0x4d, 0x18, ..] => "begins with a zstd frame to be skipped",
        [0xfd, b'7', ..] if is_odd_xz(facts.bytes_at(entry.data)?) => {
            "is xz without a check, or with a filter"
        }
        _ => return facts.compression_flaw(layer, KNOWN),
    };
    Some(Flaw::of_form(format!("A layer {odd}, which it cannot unpack.")))
}

/// By the flags of the stream and of its first block.
fn is_odd_xz([.., check, _, _, _, _, _, flags]: [u8; 14]) -> bool {
    check == 0 || flags & 3 != 0
}

/// The one image of an OCI layout, for this machine.
struct Layout {
    /// What `index.json` says of it.
    descriptor: Descriptor,
    manifest: Box<Manifest>,
    config: Rc<[u8]>,
    layers: Vec<usize>,
}

impl Layout {
    fn read<S: Source + Clone>(facts: &Facts<'_, S>) -> Result<Self, Flaw> {
        let flaw = packing_flaw(&facts.packing, 1).or_else(|| facts.unpacking_flaw(false));
        if let Some(flaw) = flaw {
            return Err(flaw);
        }
        let find = |path: &str| facts.unpacked(path);
        let index = find(oci_index::PATH)
            .ok_or_else(|| Flaw::of_form("The archive has neither manifest.json nor index.json."))?;
        let Some(Document::Index(mut listed)) = oci::parse(&facts.document(index, MAX_CONFIG)?, false) else {
            return Err(Flaw::of_image("index.json cannot be read, or a value in it has the wrong type."));
        };
        let (Some(descriptor), true) = (listed.pop(), listed.is_empty()) else {
            return Err(Flaw::of_form("index.json does not list exactly one image."));
        };
        let document = oci::read(facts, &find, &descriptor.digest)?;
        if !descriptor.media_type.is_empty() && Kind::of(&descriptor.media_type) != Some(document.kind()) {
            let media_type = &descriptor.media_type;
            return Err(Flaw::of_form(format!("index.json calls the manifest a \"{media_type}\".")));
        }
        let document = match document {
            Document::Index(platforms) => oci::read(facts, &find, &for_this_machine(&platforms)?.digest)?,
            document @ Document::Manifest(_) => document,
        };
        let Document::Manifest(manifest) = document else {
            return Err(Flaw::of_image("The image's index lists another index."));
        };
        if let Some(flaw) = sha256_flaw(&manifest.config.digest) {
            return Err(flaw);
        }
        let config = oci::document(facts, &find, &manifest.config.digest)?;
        if i64::try_from(config.len()) != Ok(manifest.config.size) {
            return Err(Flaw::of_form("The config's size is not what the manifest says."));
        }
        let layers = oci::blobs(facts, &find, &manifest.layers)?;
        Ok(Self { descriptor, manifest, config, layers })
    }

    /// Why podman's store does not take what the manifest is made of, by the media types.
    fn type_flaw(&self) -> Option<Flaw> {
        let Manifest { media_type, config, layers } = &*self.manifest;
        let is_oci = config.media_type == OCI_CONFIG;
        let own = match media_type.as_str() {
            "" if is_oci => OCI_MANIFEST,
            "" => DOCKER_MANIFEST,
            own => own,
        };
        let stated = match Kind::of(&self.descriptor.media_type) {
            Some(Kind::Manifest) => &self.descriptor.media_type,
            _ => own,
        };
        if stated != DOCKER_MANIFEST && !is_oci {
            return Some(Flaw::of_image("The manifest's config is not that of an image."));
        }
        if layers.iter().any(|layer| is_encrypted(&layer.media_type)) {
            return Some(Flaw::of_image("The manifest has layers that are encrypted."));
        }
        let is_dockers =
            |layer: &Descriptor| layer.media_type.starts_with("application/vnd.docker.image.rootfs.");
        (own == DOCKER_MANIFEST && !layers.iter().all(is_dockers))
            .then(|| Flaw::of_form("The manifest calls itself Docker's, but not its layers."))
    }
}

fn for_this_machine(platforms: &[Descriptor]) -> Result<&Descriptor, Flaw> {
    let is_ours = |platform: &&Descriptor| {
        let of_any_age = |platform: &Platform| platform.variant.as_deref().is_none_or(str::is_empty);
        platform.platform.as_ref().is_some_and(|platform| platform.is_common() && of_any_age(platform))
    };
    let any = || platforms.iter().find(|platform| platform.platform.is_none());
    let none = || Flaw::of_image("The image's index has no platform for Linux on amd64 without a variant.");
    platforms.iter().find(is_ours).or_else(any).ok_or_else(none)
}
