//! An image on its way into another archive, with what was found out about its layers.

use std::collections::HashMap;
use std::rc::Rc;

use super::document::{Document, manifest, manifest_of, original};
use super::groups::{Index, Root};
use super::tarball::seconds;
use super::{Packing, Repacked, Selection, Target, v1};
use crate::compression::Compression;
use crate::digest::{Algorithm, blob_path, sha256};
use crate::error::{Code, Error, Result};
use crate::formats::{self, manifest_json};
use crate::json;
use crate::model::{Format, Image, Layer, Name, is_foreign};
use crate::recipe::Recipe;
use crate::source::Source;

/// What Docker calls its layers, before what says how they are packed.
const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";
const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// An image on its way into another archive, once for each of its roots.
#[derive(Clone)]
pub(super) struct Packed<S> {
    pub(super) id: String,
    pub(super) config: Rc<[u8]>,
    /// The ID of the image that it was made from.
    pub(super) parent: Option<String>,
    pub(super) names: Vec<Name>,
    /// Seconds since 1970.
    pub(super) created: u64,
    pub(super) is_common: bool,
    pub(super) layers: Vec<Blob<S>>,
    pub(super) manifest: Document,
    /// The digest of the manifest that it had in its archive.
    pub(super) digest: Option<String>,
    /// The index that lists it with those for other platforms.
    pub(super) index: Option<Rc<Index<S>>>,
}

/// A layer on its way into another archive.
#[derive(Debug, Clone)]
pub(super) struct Blob<S> {
    pub(super) digest: String,
    pub(super) diff_id: String,
    pub(super) size: u64,
    pub(super) media_type: String,
    /// How it is packed, where that is for all to see.
    pub(super) packing: Option<Packing>,
    /// `None` for a layer that may not be distributed and is not there.
    pub(super) content: Option<Recipe<S>>,
    /// Its descriptor's `urls`, as JSON.
    pub(super) urls: Option<String>,
    /// Its descriptor's `annotations`, as JSON: those of an encrypted layer hold its keys.
    pub(super) annotations: Option<String>,
}

impl<S> Blob<S> {
    /// Its descriptor in a manifest of the OCI's, as JSON.
    pub(super) fn descriptor(&self) -> String {
        let field = |key: &str, value: &Option<String>| {
            value.as_ref().map(|value| format!(r#","{key}":{value}"#)).unwrap_or_default()
        };
        let (urls, annotations) = (field("urls", &self.urls), field("annotations", &self.annotations));
        format!(
            r#"{{"mediaType":{},"digest":{},"size":{}{urls}{annotations}}}"#,
            json::string(&self.media_type),
            json::string(&self.digest),
            self.size
        )
    }
}

impl<S: Source + Clone> Packed<S> {
    pub(super) fn all(selection: &Selection<'_, S>, roots: &[Root<S>], target: Target) -> Result<Vec<Self>> {
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
        if !matches!(target, Target::Oci | Target::Registry) && Algorithm::of(&id) != Some(Algorithm::Sha256)
        {
            id = sha256(&config);
        }
        let is_stated = |stated: &formats::oci::Manifest| {
            let digests = stated.layers.iter().map(|layer| &layer.digest);
            stated.config.digest == id && digests.eq(layers.iter().map(|layer| &layer.digest))
        };
        let is_stated = stated.as_ref().is_some_and(is_stated);
        // What goes to a registry keeps its digests, and so its manifests, whatever these say.
        let are_true = target == Target::Registry || layers.iter_mut().filter_map(correct_type).count() == 0;
        let kept = original.clone().filter(|_| is_stated && are_true);
        let manifest = kept.unwrap_or_else(|| {
            for layer in &mut layers {
                // In a manifest of the OCI's, Docker's own types are strangers.
                if let Some(packing) = layer.packing.filter(|_| layer.media_type.starts_with(DOCKER_LAYER)) {
                    layer.media_type = media_type(packing);
                }
            }
            let remade = original
                .as_ref()
                .zip(stated.as_ref())
                .and_then(|(original, stated)| original.with_parts(stated, (&id, config.len()), &layers));
            remade.unwrap_or_else(|| manifest(&id, config.len(), &layers))
        });
        Ok(Self {
            names: Vec::new(),
            created: image.created.as_deref().map_or(0, seconds),
            is_common: image.platform.is_common(),
            digest: image.digest.clone(),
            parent: image.parent.clone(),
            index: None,
            id,
            config,
            layers,
            manifest,
        })
    }

    /// What tells it from others.
    pub(super) fn key(&self) -> (String, String, Option<String>) {
        let index = self.index.as_ref().map(|index| index.digest.clone());
        (self.id.clone(), self.manifest.digest.clone(), index)
    }
}

/// What is known of an image's layers beside the layers.
struct Sources<'a> {
    /// The descriptors of its manifest.
    pub(super) stated: &'a [formats::oci::Descriptor],
    /// Those of its item of `manifest.json`, by diff ID.
    pub(super) listed: HashMap<String, String>,
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
            .and_then(|_| archive.manifest_listing().ok()?);
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
    let is_plain = !layer.is_encrypted() && !is_foreign(&layer.media_type);
    let compression = member.compression();
    let packing = Packing::of(compression).filter(|_| is_plain);
    let measured = measured.map(|measured| measured.digest.clone());
    let digest = if is_proof(layer, compression) { layer.digest.clone() } else { measured };
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

/// Corrects the type of a layer that is compressed and called a plain tar, which containerd takes at its word; `None` where
/// nothing is to be corrected.
fn correct_type<S>(layer: &mut Blob<S>) -> Option<()> {
    let packing = layer.packing.filter(|&packing| packing != Packing::None)?;
    (layer.media_type == OCI_LAYER).then(|| layer.media_type = media_type(packing))
}

/// Whether the layer's digest is one that verifying the archive proves. Outside of a layout, one in the name of a file
/// is just a name.
pub(super) fn is_proof(layer: &Layer, stored: Option<Compression>) -> bool {
    let is_content = stored.is_none() && layer.digest.is_some() && layer.digest == layer.diff_id;
    let place = layer.digest.as_deref().and_then(blob_path);
    is_content || layer.path.starts_with("blobs/") && place.as_ref() == Some(&layer.path)
}

/// The media type of a layer that takes the place of one of another type: of the same family.
pub(crate) fn media_type_like(other: &str, packing: Packing) -> String {
    match packing {
        _ if !other.starts_with(DOCKER_LAYER) => media_type(packing),
        Packing::None => DOCKER_LAYER.to_owned(),
        _ => format!("{DOCKER_LAYER}.{}", packing.as_str()),
    }
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
