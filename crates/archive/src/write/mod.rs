//! Archives made from images: any of them, of one archive or of several, in the layout that the next tool needs.
//!
//! Nothing is copied: a layer is a range of the source that it comes from. What has to be known about it first, its
//! digest or other bytes in place of its own, is asked for by [`needs`] and handed to [`save`].

mod docker;
mod legacy;
mod oci;
mod tarball;
mod v1;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;

use serde::{Deserialize, Serialize};
use tarball::{Content, Members, Meta, Tarball};

use crate::archive::Archive;
use crate::compression::Compression;
use crate::digest::{Algorithm, blob_path, sha256};
use crate::error::{Code, Error, Result};
use crate::json;
use crate::measure::Measured;
use crate::model::{Format, Image, Name};
use crate::recipe::{Part, Recipe};
use crate::source::Source;

pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
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
    for layer in archive.images().get(image).into_iter().flat_map(|image| &image.layers) {
        let Some(entry) = layer.entry else { continue };
        let stored = archive.members.entry(entry).and_then(|entry| Compression::of(&entry.magic));
        let is_encrypted = layer.media_type.ends_with("+encrypted");
        let wanted = match (packing, Packing::of(stored), target) {
            _ if is_encrypted => None,
            (Some(wanted), own, _) => Some(wanted).filter(|wanted| own != Some(*wanted)),
            (None, None, Target::Docker | Target::Oci) => Some(Packing::Gzip),
            // Docker before 23 unpacks gzip, bzip2 and xz, and nothing else.
            (None, Some(Packing::Zstd), Target::DockerLegacy) => Some(Packing::None),
            (None, None, Target::DockerLegacy) if stored == Some(Compression::Lz4) => Some(Packing::None),
            _ => None,
        };
        if let Some(packing) = wanted {
            needs.insert(entry, Need::Repacked(packing));
        } else if layer.digest.is_none() || layer.diff_id.is_none() {
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
    let mut images: Vec<Packed<S>> = Vec::with_capacity(selections.len());
    for selection in selections {
        let packed = Packed::new(selection)?;
        match images.iter_mut().find(|image| image.is_same(&packed)) {
            Some(known) => {
                for name in packed.names {
                    if !known.names.contains(&name) {
                        known.names.push(name);
                    }
                }
            }
            None => images.push(packed),
        }
    }
    let mut owners: HashMap<&Name, &Packed<S>> = HashMap::new();
    for image in &images {
        for name in &image.names {
            let owner = owners.insert(name, image);
            let is_other =
                |owner: &Packed<S>| owner.index.is_none() || owner.index_digest() != image.index_digest();
            if owner.is_some_and(|owner| owner.id != image.id && is_other(owner)) {
                return Err(Error::new(
                    Code::DuplicateReference,
                    format!("Two images have the name {name}."),
                )
                .with("reference", name.to_string()));
            }
        }
    }
    match target {
        Target::Docker => Ok(docker::write(&images)),
        Target::DockerLegacy => legacy::write(&images),
        Target::Oci => Ok(oci::write(&images)),
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

/// An image on its way into another archive.
struct Packed<S> {
    id: String,
    config: Rc<[u8]>,
    names: Vec<Name>,
    /// Seconds since 1970.
    created: u64,
    is_common: bool,
    layers: Vec<Blob<S>>,
    manifest: Document,
    /// The index that lists it with those for other platforms.
    index: Option<Index<S>>,
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
    document: Document,
    /// What it says of the image: a descriptor, of a manifest that may be another one by now.
    descriptor: String,
    /// The digests of all images that it lists and the archive holds.
    images: Vec<String>,
    /// Whatever else it leads to: attestations, mostly.
    others: Vec<(String, Recipe<S>)>,
}

/// A layer on its way into another archive.
#[derive(Debug, Clone)]
struct Blob<S> {
    digest: String,
    diff_id: String,
    size: u64,
    media_type: String,
    /// `None` for a layer that may not be distributed and is not there.
    content: Option<Recipe<S>>,
    /// Its descriptor's `urls`, as JSON.
    urls: Option<String>,
}

impl<S: Source + Clone> Packed<S> {
    fn new(selection: &Selection<'_, S>) -> Result<Self> {
        let Selection { archive, image, .. } = selection;
        let members = &archive.members;
        let image = archive.images().get(*image).ok_or_else(|| {
            Error::new(Code::NoSuchImage, "The archive has no image with that number.").with("image", *image)
        })?;
        let mut config = members.document(image.config_entry)?;
        let layers: Vec<Blob<S>> =
            (0..image.layers.len()).map(|layer| blob(selection, image, layer)).collect::<Result<_>>()?;
        let mut id = image.id.clone();
        if archive.format() == Format::DockerV1 {
            config = v1::to_config(&config, image, &layers)?.into();
            id = sha256(&config);
        }
        let original = image.digest.as_deref().and_then(|digest| original(archive, digest));
        let is_untouched =
            layers.iter().zip(&image.layers).all(|(blob, layer)| Some(&blob.digest) == layer.digest.as_ref());
        let manifest = match original {
            Some(original) if is_untouched => original,
            _ => manifest(&id, config.len(), &layers),
        };
        Ok(Self {
            names: image.names.clone(),
            created: image.created.as_deref().map_or(0, seconds),
            is_common: image.platform.os == "linux" && image.platform.architecture == "amd64",
            index: image.index.as_deref().and_then(|digest| index_of(archive, image, digest)),
            id,
            config,
            layers,
            manifest,
        })
    }

    fn is_same(&self, other: &Self) -> bool {
        self.id == other.id && self.manifest.digest == other.manifest.digest
    }

    fn index_digest(&self) -> Option<&str> {
        self.index.as_ref().map(|index| index.document.digest.as_str())
    }
}

/// One image, or those of one index.
struct Group<'a, S> {
    images: Vec<&'a Packed<S>>,
    names: &'a [Name],
}

impl<S: Source + Clone> Group<'_, S> {
    /// The image that the names mean to a reader of one platform.
    fn preferred(&self) -> Option<&Packed<S>> {
        self.images.iter().find(|image| image.is_common).or_else(|| self.images.first()).copied()
    }
}

/// Puts the images of one index together, in the order of the first of each.
fn groups<S: Source + Clone>(images: &[Packed<S>]) -> Vec<Group<'_, S>> {
    let mut groups: Vec<Group<'_, S>> = Vec::new();
    for image in images {
        let is_of_same = |group: &&mut Group<'_, S>| {
            image.index.is_some()
                && group.images.iter().any(|other| other.index_digest() == image.index_digest())
        };
        match groups.iter_mut().find(is_of_same) {
            Some(group) => group.images.push(image),
            None => groups.push(Group { images: vec![image], names: &image.names }),
        }
    }
    groups
}

/// Puts a layer together from what is known about it.
fn blob<S: Source + Clone>(selection: &Selection<'_, S>, image: &Image, number: usize) -> Result<Blob<S>> {
    let unknown = || {
        Error::new(Code::InvalidArgument, "A layer has to be measured before it can be written.")
            .with("layer", number)
    };
    let layer = image.layers.get(number).ok_or_else(unknown)?;
    let Some(entry) = layer.entry else {
        return Ok(Blob {
            digest: layer.digest.clone().unwrap_or_default(),
            diff_id: layer.diff_id.clone().unwrap_or_default(),
            size: layer.size,
            media_type: layer.media_type.clone(),
            content: None,
            urls: selection.archive.urls(image, number),
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
            content: Some(Recipe::whole(source.clone())),
            urls: None,
        });
    }
    let member = selection.archive.members.entry(entry).ok_or_else(unknown)?;
    let mut stored = Recipe::default();
    stored.push_slice(selection.archive.recipe(), member.data..member.data + member.size);
    let packing = Packing::of(Compression::of(&member.magic));
    let digest = layer.digest.clone().or_else(|| measured.map(|measured| measured.digest.clone()));
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
        content: Some(stored),
        urls: None,
    })
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
        let urls = layer.urls.as_ref().map(|urls| format!(r#","urls":{urls}"#)).unwrap_or_default();
        format!(
            r#"{{"mediaType":{},"digest":{},"size":{}{urls}}}"#,
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

/// The index that lists an image with those for other platforms.
fn index_of<S: Source + Clone>(archive: &Archive<S>, image: &Image, digest: &str) -> Option<Index<S>> {
    let document = original(archive, digest)?;
    let object = json::Object::parse(std::str::from_utf8(&document.bytes).ok()?)?;
    let own = image.digest.as_deref()?;
    let is_own = |text: &&str| {
        json::Object::parse(text).and_then(|object| object.read::<String>("digest")).as_deref() == Some(own)
    };
    // Deeper indexes are rare: their images go out one by one.
    let descriptor = object.array("manifests")?.into_iter().find(is_own)?.to_owned();
    let same = archive.images().iter().filter(|other| other.index == image.index);
    let mut known: HashSet<usize> = HashSet::new();
    for image in same.clone() {
        known.insert(image.config_entry);
        known.extend(image.layers.iter().filter_map(|layer| layer.entry));
    }
    let mut others = Vec::new();
    for entry in crate::formats::oci::reachable(&archive.members, &document.bytes) {
        let Some(member) = archive.members.entry(entry).filter(|_| !known.contains(&entry)) else { continue };
        let mut stored = Recipe::default();
        stored.push_slice(archive.recipe(), member.data..member.data + member.size);
        others.push((crate::tar::normal(&member.path), stored));
    }
    others.sort_by(|(one, _), (two, _)| one.cmp(two));
    Some(Index {
        document,
        descriptor,
        images: same.filter_map(|image| image.digest.clone()).collect(),
        others,
    })
}

impl<S: Source + Clone> Archive<S> {
    /// Where a layer that is not in the archive can be had, as JSON: only shown and written, never asked.
    fn urls(&self, image: &Image, layer: usize) -> Option<String> {
        let manifest = original(self, image.digest.as_deref()?)?;
        let object = json::Object::parse(std::str::from_utf8(&manifest.bytes).ok()?)?;
        let layers = object.array("layers")?;
        json::Object::parse(layers.get(layer)?)?.get("urls").map(str::to_owned)
    }
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
