//! Archives made from images: any of them, of one archive or of several, in the layout that the next tool needs.
//!
//! Nothing is copied: a layer is a range of the source that it comes from. What has to be known about it first, its
//! digest or other bytes in place of its own, is asked for by [`needs`] and handed to [`save`].

mod docker;
mod document;
mod groups;
mod legacy;
mod oci;
mod packed;
mod shipment;
mod tarball;
mod v1;

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};

pub(crate) use document::{OCI_CONFIG, OCI_INDEX, OCI_MANIFEST, descriptor, manifest_of, original};
use groups::groups;
pub(crate) use groups::{Root, roots};
pub(crate) use packed::media_type_like;
use packed::{Packed, is_proof};
use serde::{Deserialize, Serialize};
pub use shipment::{Shipment, ShippedBlob, ShippedManifest, ShippedRoot};
use tarball::{Content, Members, Meta, Tarball};

use crate::archive::Archive;
use crate::compression::Compression;
use crate::error::{Code, Error, Result};
use crate::measure::Measured;
use crate::model::{Format, Name, is_encrypted};
use crate::recipe::Recipe;
use crate::reference::Reference;
use crate::source::Source;

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
    /// As [`Self::Docker`], for a store: several images may have one name, which the last keeps there, as `docker load` has it.
    Store,
    /// What a registry keeps, as an OCI image layout; layers that are not compressed become gzip, as `docker push` has it.
    Registry,
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

    /// The packing with that name; `None` where none has it.
    pub fn named(name: &str) -> Option<Self> {
        [Self::None, Self::Gzip, Self::Zstd].into_iter().find(|known| known.as_str() == name)
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
        let stored = archive.members.entry(entry).and_then(crate::tar::Entry::compression);
        let wanted = match (packing, Packing::of(stored), target) {
            _ if layer.is_encrypted() => None,
            (Some(wanted), own, _) => Some(wanted).filter(|wanted| own != Some(*wanted)),
            (None, None, Target::Docker | Target::Store | Target::Oci | Target::Registry)
            | (None, Some(Packing::None), Target::Registry) => Some(Packing::Gzip),
            // Docker before 23 unpacks gzip, bzip2 and xz, and nothing else.
            (None, Some(Packing::Zstd), Target::DockerLegacy) => Some(Packing::None),
            (None, None, Target::DockerLegacy) if stored == Some(Compression::Lz4) => Some(Packing::None),
            _ => None,
        };
        if let Some(packing) = wanted {
            needs.insert(entry, Need::Repacked(packing));
        } else if layer.diff_id.is_none() || !is_proof(layer, stored) {
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
/// `invalid-argument` where something is not known that [`needs`] asks for, or a layer is encrypted and the layout has no place
/// to say so, and as the source does.
pub fn save<S: Source + Clone>(selections: &[Selection<'_, S>], target: Target) -> Result<Recipe<S>> {
    let images = packed(selections, target)?;
    let groups = groups(&images, target)?;
    if matches!(target, Target::Docker | Target::DockerLegacy) {
        refuse_encrypted(&images)?;
    }
    match target {
        Target::Docker | Target::Store => Ok(docker::write(&groups)),
        Target::DockerLegacy => legacy::write(&images, &groups),
        Target::Oci | Target::Registry => Ok(oci::write(&groups)),
    }
}

/// `manifest.json` has no media types: who goes by it takes an encrypted layer for a tar.
fn refuse_encrypted<S>(images: &[Packed<S>]) -> Result<()> {
    let mut layers = images.iter().flat_map(|image| &image.layers);
    let Some(layer) = layers.find(|layer| is_encrypted(&layer.media_type)) else { return Ok(()) };
    let sentence = "A layer is encrypted, and Docker cannot load it: save the image as oci.";
    Err(Error::new(Code::InvalidArgument, sentence).with("digest", layer.digest.as_str()))
}

/// The names of images that what Docker reads has no place for, each once: tags alone, names with a digest, and what is no name.
/// None, for layouts without `manifest.json`.
pub fn left_out<S: Source + Clone>(selections: &[Selection<'_, S>], target: Target) -> Vec<String> {
    if matches!(target, Target::Oci | Target::Registry) {
        return Vec::new();
    }
    let mut seen = HashSet::new();
    let images = selections.iter().filter_map(|selection| selection.archive.images().get(selection.image));
    let names = images.flat_map(|image| &image.names);
    let is_tag = |reference: &Reference| reference.tag().is_some() && reference.digest().is_none();
    let has_place = |name: &Name| name.reference().is_some_and(is_tag);
    names.filter(|name| !has_place(name) && seen.insert(*name)).map(ToString::to_string).collect()
}

/// Puts images together as a registry keeps them. What [`needs`] asks for [`Target::Registry`] has to be there.
///
/// Fails as [`save`] does, and with `missing-entry` where an attestation is not all there.
pub fn ship<S: Source + Clone>(selections: &[Selection<'_, S>]) -> Result<Shipment<S>> {
    let images = packed(selections, Target::Registry)?;
    shipment::ship(&groups(&images, Target::Registry)?)
}

/// The images, each once.
fn packed<S: Source + Clone>(selections: &[Selection<'_, S>], target: Target) -> Result<Vec<Packed<S>>> {
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
    Ok(images)
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
