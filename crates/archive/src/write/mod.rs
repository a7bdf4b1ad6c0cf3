//! Archives made from images: any of them, of one archive or of several, in the layout that the next tool needs.
//!
//! Nothing is copied: a layer is a range of the source that it comes from. What has to be known about it first, its
//! digest or other bytes in place of its own, is asked for by [`needs`] and handed to [`save`].

mod docker;
mod legacy;
mod oci;
mod tarball;
mod v1;

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;

use serde::{Deserialize, Serialize};
use tarball::{Content, Members, Meta, Tarball};

use crate::archive::Archive;
use crate::compression::Compression;
use crate::digest::{Algorithm, blob_path, sha256};
use crate::error::{Code, Error, Result};
use crate::formats::{self, manifest_json, oci_index};
use crate::json;
use crate::measure::Measured;
use crate::model::{Format, Image, Layer, Name};
use crate::recipe::{Part, Recipe};
use crate::source::Source;

pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// What Docker calls its layers, before what says how they are packed.
const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";
const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// The layouts that can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// What Docker 25 and later save: an OCI layout beside `manifest.json`. Docker, containerd, podman, skopeo and
    /// crane load it.
    Docker,
    /// What Docker 1.10 to 24 saved: a directory for each layer.
    DockerLegacy,
    /// An OCI image layout.
    Oci,
}

impl Target {
    /// The nearest layout to that of an archive.
    pub fn nearest(format: Format) -> Self {
        match format {
            Format::DockerOci => Self::Docker,
            Format::Oci => Self::Oci,
            Format::Docker | Format::DockerV1 => Self::DockerLegacy,
        }
    }
}

/// How layers are to be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Packing {
    /// As tars.
    None,
    /// As gzip, the same bytes each time.
    Gzip,
    /// As zstd.
    Zstd,
}

impl Packing {
    /// Its name: `none`, `gzip` or `zstd`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    fn of(compression: Option<Compression>) -> Option<Self> {
        match compression {
            None => Some(Self::None),
            Some(Compression::Gzip) => Some(Self::Gzip),
            Some(Compression::Zstd) => Some(Self::Zstd),
            Some(_) => None,
        }
    }
}

/// An image to be written, and what was found out about its layers.
#[derive(Debug)]
pub struct Selection<'a, S> {
    /// The archive that holds it.
    pub archive: &'a Archive<S>,
    /// Its number there.
    pub image: usize,
    /// The layers that were measured, by their members' numbers.
    pub measured: &'a HashMap<usize, Measured>,
    /// The layers that were packed anew, by their members' numbers.
    pub repacked: &'a HashMap<usize, Repacked<S>>,
}

/// A layer that was packed anew.
#[derive(Debug, Clone)]
pub struct Repacked<S> {
    /// Its bytes: the whole source.
    pub source: S,
    /// Their digest.
    pub digest: String,
    /// How they are packed.
    pub packing: Packing,
}

/// What has to be known about a layer before it can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// The digest of its bytes, and of what they hold.
    Measured,
    /// Other bytes in place of its own.
    Repacked(Packing),
}

/// What has to be known about the layers of an image before it can be written, by their members' numbers.
///
/// With a `packing`, layers that are stored otherwise are packed anew; without, only those that readers of the
/// layout could not unpack.
pub fn needs<S: Source + Clone>(
    archive: &Archive<S>,
    image: usize,
    target: Target,
    packing: Option<Packing>,
) -> BTreeMap<usize, Need> {
    let mut needs = BTreeMap::new();
    let Some(image) = archive.images().get(image) else { return needs };
    for layer in &image.layers {
        let Some(entry) = layer.entry else { continue };
        let stored = archive.members.entry(entry).and_then(|entry| Compression::of(&entry.magic));
        let wanted = match (packing, Packing::of(stored), target) {
            _ if is_encrypted(layer) => None,
            (Some(wanted), own, _) => Some(wanted).filter(|wanted| own != Some(*wanted)),
            (None, None, Target::Docker | Target::Oci) => Some(Packing::Gzip),
            // Docker before 23 unpacks gzip, bzip2 and xz, and nothing else.
            (None, Some(Packing::Zstd), Target::DockerLegacy) => Some(Packing::None),
            (None, None, Target::DockerLegacy) if stored == Some(Compression::Lz4) => Some(Packing::None),
            _ => None,
        };
        if let Some(packing) = wanted {
            needs.insert(entry, Need::Repacked(packing));
        } else if layer.diff_id.is_none() || !is_proof(image, layer, stored) {
            needs.insert(entry, Need::Measured);
        }
    }
    needs
}

/// Writes images. What [`needs`] asks for has to be there.
///
/// Images that are one for several platforms come out as one, each with those of its platforms that are selected. A
/// layer that several images share is written once. The same input gives the same bytes.
///
/// Fails with `duplicate-reference` where two images have one name, `no-such-image` for a selection that is none,
/// `invalid-argument` where something is not known that [`needs`] asks for, and as the source does.
pub fn save<S: Source + Clone>(selections: &[Selection<'_, S>], target: Target) -> Result<Recipe<S>> {
    let mut archives: HashMap<*const Archive<S>, Vec<Vec<Root<S>>>> = HashMap::new();
    let mut images: Vec<Packed<S>> = Vec::with_capacity(selections.len());
    let mut known: HashMap<_, usize> = HashMap::new();
    for selection in selections {
        let roots =
            archives.entry(std::ptr::from_ref(selection.archive)).or_insert_with(|| roots(selection.archive));
        let roots = roots.get(selection.image).map(Vec::as_slice).unwrap_or_default();
        for packed in Packed::all(selection, roots, target)? {
            match known.entry(packed.key()) {
                Entry::Occupied(known) => {
                    if let Some(known) = images.get_mut(*known.get()) {
                        known.names.extend(packed.names);
                    }
                }
                Entry::Vacant(free) => {
                    free.insert(images.len());
                    images.push(packed);
                }
            }
        }
    }
    let groups = groups(&images)?;
    match target {
        Target::Docker => Ok(docker::write(&groups)),
        Target::DockerLegacy => legacy::write(&images, &groups),
        Target::Oci => Ok(oci::write(&groups)),
    }
}

/// The tar of a folder's files, in the order of their paths.
pub(crate) fn folder<S: Source + Clone>(files: impl IntoIterator<Item = (String, S)>) -> Recipe<S> {
    let meta = Meta { mode: 0o644, mtime: 0 };
    let member = |(path, source)| (path, (meta, Content::Stored(Recipe::whole(source))));
    let members: Members<S> = files.into_iter().map(member).collect();
    let mut tarball = Tarball::new();
    tarball.push_all(&members);
    tarball.finish()
}

/// What leads to an image in its archive: an index that lists it, or a descriptor of its own.
struct Root<S> {
    index: Option<Rc<Index<S>>>,
    /// The names that lead to it that way.
    names: Vec<Name>,
}

/// An image on its way into another archive, once for each of its roots.
#[derive(Clone)]
struct Packed<S> {
    id: String,
    config: Rc<[u8]>,
    names: Vec<Name>,
    /// Seconds since 1970.
    created: u64,
    is_common: bool,
    layers: Vec<Blob<S>>,
    manifest: Document,
    /// The digest of the manifest that it had in its archive.
    digest: Option<String>,
    /// The index that lists it with those for other platforms.
    index: Option<Rc<Index<S>>>,
}

/// A manifest or an index.
#[derive(Debug, Clone)]
struct Document {
    media_type: String,
    digest: String,
    bytes: Rc<[u8]>,
}

/// An index of images for several platforms.
struct Index<S> {
    digest: String,
    /// `None` where it is not what its digest says.
    document: Option<Document>,
    /// What it says, or an index below it, of each image, by its manifest's digest: a descriptor.
    descriptors: HashMap<String, String>,
    /// The digests of all images that it lists and the archive holds.
    images: Vec<String>,
    /// All that it leads to: attestations, mostly, beside the images.
    blobs: Vec<(String, Recipe<S>)>,
}

/// A layer on its way into another archive.
#[derive(Debug, Clone)]
struct Blob<S> {
    digest: String,
    diff_id: String,
    size: u64,
    media_type: String,
    /// How it is packed, where that is for all to see.
    packing: Option<Packing>,
    /// `None` for a layer that may not be distributed and is not there.
    content: Option<Recipe<S>>,
    /// Its descriptor's `urls`, as JSON.
    urls: Option<String>,
    /// Its descriptor's `annotations`, as JSON: those of an encrypted layer hold its keys.
    annotations: Option<String>,
}

impl<S: Source + Clone> Packed<S> {
    fn all(selection: &Selection<'_, S>, roots: &[Root<S>], target: Target) -> Result<Vec<Self>> {
        let packed = Self::new(selection, target)?;
        let of = |root: &Root<S>| {
            let (names, index) = (root.names.clone(), root.index.clone());
            Self { names, index, ..packed.clone() }
        };
        Ok(roots.iter().map(of).collect())
    }

    fn new(selection: &Selection<'_, S>, target: Target) -> Result<Self> {
        let Selection { archive, image: number, .. } = selection;
        let members = &archive.members;
        let image = archive.images().get(*number).ok_or_else(|| {
            Error::new(Code::NoSuchImage, "The archive has no image with that number.").with("image", *number)
        })?;
        let mut config = members.document(image.config_entry)?;
        let original = image.digest.as_deref().and_then(|digest| original(archive, digest));
        let stated = image.digest.as_deref().and_then(|digest| manifest_of(archive, digest));
        let sources = Sources::new(selection, stated.as_ref());
        let mut layers: Vec<Blob<S>> = (0..image.layers.len())
            .map(|layer| blob(selection, image, layer, &sources))
            .collect::<Result<_>>()?;
        let mut id = image.id.clone();
        if archive.format() == Format::DockerV1 {
            config = v1::to_config(&config, image, &layers)?.into();
            id = sha256(&config);
        }
        // To readers of manifest.json, an image's ID is the config's sha256.
        if target != Target::Oci && Algorithm::of(&id) != Some(Algorithm::Sha256) {
            id = sha256(&config);
        }
        let is_stated = |stated: &formats::oci::Manifest| {
            let digests = stated.layers.iter().map(|layer| &layer.digest);
            stated.config.digest == id && digests.eq(layers.iter().map(|layer| &layer.digest))
        };
        let original = original.filter(|_| stated.as_ref().is_some_and(is_stated));
        let manifest = original.unwrap_or_else(|| {
            for layer in &mut layers {
                // In a manifest of the OCI's, Docker's own types are strangers.
                if let Some(packing) = layer.packing.filter(|_| layer.media_type.starts_with(DOCKER_LAYER)) {
                    layer.media_type = media_type(packing);
                }
            }
            manifest(&id, config.len(), &layers)
        });
        Ok(Self {
            names: Vec::new(),
            created: image.created.as_deref().map_or(0, seconds),
            is_common: image.platform.os == "linux" && image.platform.architecture == "amd64",
            digest: image.digest.clone(),
            index: None,
            id,
            config,
            layers,
            manifest,
        })
    }

    /// What tells it from others.
    fn key(&self) -> (String, String, Option<String>) {
        let index = self.index.as_ref().map(|index| index.digest.clone());
        (self.id.clone(), self.manifest.digest.clone(), index)
    }
}

/// One image, or those of one index.
struct Group<'a, S> {
    images: Vec<&'a Packed<S>>,
    names: Vec<Name>,
    /// Its own index if all of it is there, else one of the images that are. `None` where one image stands for itself.
    index: Option<Document>,
    /// What a whole index leads to.
    blobs: Vec<&'a (String, Recipe<S>)>,
}

impl<'a, S: Source + Clone> Group<'a, S> {
    fn new(images: Vec<&'a Packed<S>>, names: Vec<Name>) -> Self {
        // The same index of two archives, each of which may hold other images of it.
        let mut indexes: Vec<&'a Rc<Index<S>>> = Vec::new();
        for index in images.iter().filter_map(|image| image.index.as_ref()) {
            if !indexes.iter().any(|known| Rc::ptr_eq(known, index)) {
                indexes.push(index);
            }
        }
        let there: HashSet<&str> = images.iter().map(|image| image.manifest.digest.as_str()).collect();
        let wanted = || indexes.iter().flat_map(|index| &index.images);
        let whole = indexes.first().and_then(|index| index.document.clone());
        let whole = whole.filter(|_| wanted().all(|digest| there.contains(digest.as_str())));
        let blobs = if whole.is_some() {
            indexes.iter().flat_map(|index| &index.blobs).collect()
        } else {
            Vec::new()
        };
        let index = whole.or_else(|| (images.len() > 1).then(|| oci::index_of(&images)));
        Self { images, names, index, blobs }
    }

    /// The image that the names mean to a reader of one platform.
    fn preferred(&self) -> Option<&'a Packed<S>> {
        self.images.iter().find(|image| image.is_common).or_else(|| self.images.first()).copied()
    }

    /// What an index lists for it.
    fn top(&self) -> Option<&Document> {
        self.index.as_ref().or_else(|| Some(&self.images.first()?.manifest))
    }
}

/// The images that `manifest.json` lists, each once, with their names: those that the names mean to a reader of one
/// platform.
fn preferred<'a, S: Source + Clone>(groups: &[Group<'a, S>]) -> Vec<(&'a Packed<S>, Vec<Name>)> {
    let mut items: Vec<(&Packed<S>, Vec<Name>)> = Vec::new();
    let mut known: HashMap<&str, usize> = HashMap::new();
    for group in groups {
        let Some(image) = group.preferred() else { continue };
        let at = *known.entry(&image.id).or_insert(items.len());
        match items.get_mut(at) {
            Some((_, names)) => names.extend(group.names.iter().cloned()),
            None => items.push((image, group.names.clone())),
        }
    }
    items
}

/// Puts the images of one index together, in the order of the first of each.
fn groups<S: Source + Clone>(images: &[Packed<S>]) -> Result<Vec<Group<'_, S>>> {
    let mut grouped: Vec<Vec<&Packed<S>>> = Vec::new();
    let mut known: HashMap<&str, usize> = HashMap::new();
    for image in images {
        let free = grouped.len();
        let at = image.index.as_ref().map_or(free, |index| *known.entry(&index.digest).or_insert(free));
        match grouped.get_mut(at) {
            Some(group) => group.push(image),
            None => grouped.push(vec![image]),
        }
    }
    let names = names(&grouped)?;
    Ok(grouped.into_iter().zip(names).map(|(images, names)| Group::new(images, names)).collect())
}

/// The names of each group, each once.
///
/// Two groups may have the same name where all images of one are in the other, too: it is that one's, then.
fn names<S>(groups: &[Vec<&Packed<S>>]) -> Result<Vec<Vec<Name>>> {
    let ids = |group: &[&Packed<S>]| group.iter().map(|image| image.id.clone()).collect::<HashSet<String>>();
    let mut owners: HashMap<&Name, usize> = HashMap::new();
    // Groups that share one name often share many.
    let mut keepers: HashMap<(usize, usize), Option<usize>> = HashMap::new();
    for (number, group) in groups.iter().enumerate() {
        for name in group.iter().flat_map(|image| &image.names) {
            let owner = *owners.entry(name).or_insert(number);
            if owner == number {
                continue;
            }
            let keeper = *keepers.entry((owner, number)).or_insert_with(|| {
                let (first, second) = (ids(groups.get(owner)?), ids(group));
                let keeper = if first.is_superset(&second) { Some(owner) } else { None };
                keeper.or_else(|| second.is_superset(&first).then_some(number))
            });
            let keeper = keeper.ok_or_else(|| {
                Error::new(Code::DuplicateReference, format!("Two images have the name {name}."))
                    .with("reference", name.to_string())
            })?;
            owners.insert(name, keeper);
        }
    }
    let mut seen = HashSet::new();
    let own = |(number, group): (usize, &Vec<&Packed<S>>)| {
        let all = group.iter().flat_map(|image| &image.names);
        all.filter(|name| owners.get(name) == Some(&number) && seen.insert((*name).clone()))
            .cloned()
            .collect()
    };
    Ok(groups.iter().enumerate().map(own).collect())
}

/// What is known of an image's layers beside the layers.
struct Sources<'a> {
    /// The descriptors of its manifest.
    stated: &'a [formats::oci::Descriptor],
    /// Those of its item of `manifest.json`, by diff ID.
    listed: HashMap<String, String>,
}

impl<'a> Sources<'a> {
    fn new<S: Source + Clone>(
        selection: &Selection<'_, S>,
        stated: Option<&'a formats::oci::Manifest>,
    ) -> Self {
        let Selection { archive, image, .. } = selection;
        let has_absent = |image: &Image| image.layers.iter().any(|layer| layer.entry.is_none());
        let listing = archive
            .images()
            .get(*image)
            .filter(|image| has_absent(image))
            .and_then(|_| archive.members.listing(manifest_json::PATH)?.ok());
        let listed = listing.and_then(|listing| manifest_json::sources(&listing.bytes, *image));
        Self {
            stated: stated.map(|stated| stated.layers.as_slice()).unwrap_or_default(),
            listed: listed.unwrap_or_default(),
        }
    }

    /// A field of the layer's descriptor, as JSON.
    fn field(&self, number: usize, layer: &Layer, key: &str) -> Option<String> {
        let stated = self.stated.get(number).filter(|stated| Some(&stated.digest) == layer.digest.as_ref());
        let text = stated.map(|stated| &stated.text);
        let text = text.or_else(|| self.listed.get(layer.diff_id.as_ref()?))?;
        json::Object::parse(text)?.get(key).map(str::to_owned)
    }
}

/// Puts a layer together from what is known about it.
fn blob<S: Source + Clone>(
    selection: &Selection<'_, S>,
    image: &Image,
    number: usize,
    sources: &Sources<'_>,
) -> Result<Blob<S>> {
    let unknown = || {
        Error::new(Code::InvalidArgument, "A layer has to be measured before it can be written.")
            .with("layer", number)
    };
    let layer = image.layers.get(number).ok_or_else(unknown)?;
    let Some(entry) = layer.entry else {
        let digest = layer.digest.clone().filter(|digest| blob_path(digest).is_some());
        return Ok(Blob {
            digest: digest.ok_or_else(|| {
                let sentence =
                    "A layer that may not be distributed is not in the archive, nor is its digest.";
                Error::new(Code::MissingEntry, sentence).with("entry", layer.path.as_str())
            })?,
            diff_id: layer.diff_id.clone().unwrap_or_default(),
            size: layer.size,
            media_type: layer.media_type.clone(),
            packing: None,
            content: None,
            urls: sources.field(number, layer, "urls"),
            annotations: sources.field(number, layer, "annotations"),
        });
    };
    let measured = selection.measured.get(&entry);
    let content = measured.and_then(|measured| measured.content.as_ref().ok());
    let diff_id = layer.diff_id.clone().or_else(|| content.map(|content| content.digest.clone()));
    let diff_id = diff_id.ok_or_else(unknown)?;
    if let Some(Repacked { source, digest, packing }) = selection.repacked.get(&entry) {
        return Ok(Blob {
            digest: digest.clone(),
            diff_id,
            size: source.len(),
            media_type: media_type(*packing),
            packing: Some(*packing),
            content: Some(Recipe::whole(source.clone())),
            urls: None,
            annotations: None,
        });
    }
    let member = selection.archive.members.entry(entry).ok_or_else(unknown)?;
    let mut stored = Recipe::default();
    stored.push_slice(selection.archive.recipe(), member.data..member.data + member.size);
    let is_plain = !is_encrypted(layer) && !is_foreign(&layer.media_type);
    let compression = Compression::of(&member.magic);
    let packing = Packing::of(compression).filter(|_| is_plain);
    let measured = measured.map(|measured| measured.digest.clone());
    let digest = if is_proof(image, layer, compression) { layer.digest.clone() } else { measured };
    // Docker's own types are the same things under other names; those of a manifest stay.
    let media_type = match packing {
        Some(packing) if image.digest.is_none() => media_type(packing),
        _ => layer.media_type.clone(),
    };
    Ok(Blob {
        digest: digest.ok_or_else(unknown)?,
        diff_id,
        size: member.size,
        media_type,
        packing,
        content: Some(stored),
        urls: sources.field(number, layer, "urls"),
        annotations: sources.field(number, layer, "annotations"),
    })
}

fn is_encrypted(layer: &Layer) -> bool {
    layer.media_type.ends_with("+encrypted")
}

fn is_foreign(media_type: &str) -> bool {
    media_type.contains("foreign") || media_type.contains("nondistributable")
}

/// Whether the layer's digest is one that verifying the archive proves. Outside of a layout, one in the name of a file
/// is just a name.
fn is_proof(image: &Image, layer: &Layer, stored: Option<Compression>) -> bool {
    image.digest.is_some()
        || stored.is_none() && layer.digest.is_some() && layer.digest == layer.diff_id
        || layer.path.starts_with("blobs/")
            && layer.digest.as_deref().and_then(blob_path).as_ref() == Some(&layer.path)
}

/// The OCI's media type of a layer.
fn media_type(packing: Packing) -> String {
    let suffix = match packing {
        Packing::None => "",
        Packing::Gzip => "+gzip",
        Packing::Zstd => "+zstd",
    };
    format!("{OCI_LAYER}{suffix}")
}

/// A manifest or an index of a layout, as it stands there.
fn original<S: Source + Clone>(archive: &Archive<S>, digest: &str) -> Option<Document> {
    let members = &archive.members;
    let bytes = members.document(members.index.resolve(&blob_path(digest)?)?).ok()?;
    let object = json::Object::parse(json::first_value(&bytes).ok()?.value)?;
    // What is not what its name says cannot be listed by that name again.
    let is_true = Algorithm::of(digest).is_some_and(|algorithm| algorithm.digest(&bytes) == digest);
    let fallback = if object.get("manifests").is_some() { OCI_INDEX } else { OCI_MANIFEST };
    let media_type = object.read("mediaType").unwrap_or_else(|| fallback.to_owned());
    is_true.then(|| Document { media_type, digest: digest.to_owned(), bytes: bytes.clone() })
}

/// The manifest of an image that has none, as Docker 25 and later write it.
fn manifest<S>(id: &str, config: u64, layers: &[Blob<S>]) -> Document {
    let layers = layers.iter().map(|layer| {
        let field = |key: &str, value: &Option<String>| {
            value.as_ref().map(|value| format!(r#","{key}":{value}"#)).unwrap_or_default()
        };
        let (urls, annotations) = (field("urls", &layer.urls), field("annotations", &layer.annotations));
        format!(
            r#"{{"mediaType":{},"digest":{},"size":{}{urls}{annotations}}}"#,
            json::string(&layer.media_type),
            json::string(&layer.digest),
            layer.size
        )
    });
    let text = format!(
        r#"{{"schemaVersion":2,"mediaType":"{OCI_MANIFEST}","config":{},"layers":{}}}"#,
        descriptor(OCI_CONFIG, id, config, &[]),
        json::array_of(layers)
    );
    Document {
        media_type: OCI_MANIFEST.to_owned(),
        digest: sha256(text.as_bytes()),
        bytes: text.into_bytes().into(),
    }
}

/// A descriptor as JSON text.
pub(crate) fn descriptor(
    media_type: &str,
    digest: &str,
    size: u64,
    annotations: &[(&str, String)],
) -> String {
    let pair = |(key, value): &(&str, String)| format!("{}:{}", json::string(key), json::string(value));
    let pairs: Vec<_> = annotations.iter().map(pair).collect();
    let annotations =
        if pairs.is_empty() { String::new() } else { format!(r#","annotations":{{{}}}"#, pairs.join(",")) };
    format!(
        r#"{{"mediaType":{},"digest":{},"size":{size}{annotations}}}"#,
        json::string(media_type),
        json::string(digest)
    )
}

/// The manifest of a layout with that digest, whatever its bytes' own is.
pub(crate) fn manifest_of<S: Source + Clone>(
    archive: &Archive<S>,
    digest: &str,
) -> Option<formats::oci::Manifest> {
    let members = &archive.members;
    let bytes = members.document(members.index.resolve(&blob_path(digest)?)?).ok()?;
    formats::oci::Manifest::read(&json::Object::parse(json::first_value(&bytes).ok()?.value)?)
}

/// The roots of an image, with the names of each in no order.
type Found<S> = Vec<(Option<Rc<Index<S>>>, HashSet<Name>)>;

/// What leads to each image of an archive.
fn roots<S: Source + Clone>(archive: &Archive<S>) -> Vec<Vec<Root<S>>> {
    let images = archive.images();
    let listing = archive.members.listing(oci_index::PATH).and_then(Result::ok);
    let tops = listing.map(|listing| oci_index::tops(&archive.members, &listing.bytes, images));
    let mut indexes: HashMap<String, Option<Rc<Index<S>>>> = HashMap::new();
    let mut found: Vec<Found<S>> = images.iter().map(|_| Vec::new()).collect();
    // The roots of each image, by their digests.
    let mut places: HashMap<(usize, String), usize> = HashMap::new();
    let mut listed: HashSet<(&str, Name)> = HashSet::new();
    for top in tops.into_iter().flatten() {
        let index =
            indexes.entry(top.digest.clone()).or_insert_with(|| Some(Rc::new(index_of(archive, &top)?)));
        for &number in &top.images {
            let (Some(image), Some(roots)) = (images.get(number), found.get_mut(number)) else { continue };
            let index = index.clone().filter(|_| image.digest.as_ref() != Some(&top.digest));
            let place = index.as_ref().map(|index| index.digest.clone()).unwrap_or_default();
            let place = *places.entry((number, place)).or_insert(roots.len());
            if roots.len() == place {
                roots.push((index, HashSet::new()));
            }
            if let (Some((_, names)), Some(name)) = (roots.get_mut(place), &top.name) {
                listed.insert((&image.id, name.clone()));
                names.insert(name.clone());
            }
        }
    }
    let of_image = |(image, found): (&Image, Found<S>)| {
        let mut roots: Vec<Root<S>> = Vec::new();
        for (index, names) in found {
            roots.push(Root {
                index,
                names: image.names.iter().filter(|name| names.contains(name)).cloned().collect(),
            });
        }
        if roots.is_empty() {
            roots.push(Root { index: None, names: Vec::new() });
        }
        // Names that manifest.json alone gives. One that index.json gives to the same image with another manifest
        // is that one's.
        let rest = image
            .names
            .iter()
            .filter(|name| !listed.contains(&(image.id.as_str(), (*name).clone())))
            .cloned();
        let own = roots
            .iter()
            .position(|root| root.index.as_ref().map(|index| &index.digest) == image.index.as_ref());
        if let Some(root) = roots.get_mut(own.unwrap_or(0)) {
            root.names.extend(rest);
        }
        roots
    };
    images.iter().zip(found).map(of_image).collect()
}

/// The index that lists an image with those for other platforms; `None` where it is no index.
fn index_of<S: Source + Clone>(archive: &Archive<S>, top: &oci_index::Top) -> Option<Index<S>> {
    let members = &archive.members;
    let bytes = members.document(members.index.resolve(&blob_path(&top.digest)?)?).ok()?;
    json::Object::parse(json::first_value(&bytes).ok()?.value)?.get("manifests")?;
    let leaves = top.leaves.iter().map(|leaf| &leaf.descriptor);
    let stored = |(digest, entry): (String, usize)| {
        let member = members.entry(entry)?;
        let mut stored = Recipe::default();
        stored.push_slice(archive.recipe(), member.data..member.data + member.size);
        Some((blob_path(&digest)?, stored))
    };
    let mut blobs: Vec<_> = formats::oci::reachable(members, &bytes).into_iter().filter_map(stored).collect();
    blobs.sort_by(|(one, _), (two, _)| one.cmp(two));
    Some(Index {
        digest: top.digest.clone(),
        document: original(archive, &top.digest),
        descriptors: leaves.map(|leaf| (leaf.digest.clone(), leaf.text.clone())).collect(),
        images: top.images.iter().filter_map(|&image| archive.images().get(image)?.digest.clone()).collect(),
        blobs,
    })
}

/// The recipe of bytes that stand in no source.
fn bytes_of<S: Source + Clone>(bytes: &Rc<[u8]>) -> Recipe<S> {
    let mut recipe = Recipe::default();
    recipe.push(Part::Bytes(bytes.clone()));
    recipe
}

/// RFC 3339 as seconds since 1970, which is what tar headers have; 0 for what is earlier or something else.
fn seconds(text: &str) -> u64 {
    let number = |from: usize, to: usize| text.get(from..to).and_then(|digits| digits.parse::<i64>().ok());
    let parse = || {
        let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
        let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
        // Days since 1970 of the civil calendar, counted from the first of March (H. Hinnant, `days_from_civil`).
        let shifted = if month <= 2 { year - 1 } else { year };
        let era = shifted.div_euclid(400);
        let of_era = shifted.rem_euclid(400);
        let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
        let zone = text.get(19..)?.trim_start_matches(|c: char| c == '.' || c.is_ascii_digit());
        let offset = match zone.as_bytes().first()? {
            b'Z' | b'z' => 0,
            sign @ (b'+' | b'-') => {
                let minutes =
                    zone.get(1..3)?.parse::<i64>().ok()? * 60 + zone.get(4..6)?.parse::<i64>().ok()?;
                if *sign == b'-' { -minutes } else { minutes }
            }
            _ => return None,
        };
        u64::try_from(days * 86_400 + hour * 3600 + minute * 60 + second - offset * 60).ok()
    };
    parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn times() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T00:00:00Z", 951_782_400),
            ("2020-01-02T03:04:05.123456789Z", 1_577_934_245),
            ("2020-01-02T05:04:05+02:00", 1_577_934_245),
            ("2020-12-31T23:59:59-00:00", 1_609_459_199),
            ("0001-01-01T00:00:00Z", 0),
            ("yesterday", 0),
            ("", 0),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }
}
