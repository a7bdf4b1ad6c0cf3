//! Images as a registry keeps them: blobs and manifests by their digests (OCI distribution specification).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;

use super::document::{Document, OCI_INDEX, OCI_MANIFEST};
use super::groups::Group;
use super::tarball::bytes_of;
use crate::digest::{in_name, sha256};
use crate::error::{Code, Error, Result};
use crate::formats::oci::Descriptor;
use crate::json;
use crate::model::Name;
use crate::recipe::Recipe;
use crate::source::{Source, read_vec};

/// The longest manifest that registries take.
const MAX_MANIFEST: u64 = 4 << 20;

/// Images on their way to a registry.
#[derive(Debug, Clone)]
pub struct Shipment<S> {
    /// One for each image, or for the images that are one for several platforms.
    pub roots: Vec<ShippedRoot>,
    /// Manifests and indexes, each after all that it refers to.
    pub manifests: Vec<ShippedManifest>,
    /// Configs and layers, each once.
    pub blobs: Vec<ShippedBlob<S>>,
}

/// What a name leads to.
#[derive(Debug, Clone)]
pub struct ShippedRoot {
    /// Its names in the archive: none, for an image that has none.
    pub names: Vec<Name>,
    /// The digest of its manifest or index.
    pub digest: String,
}

/// A manifest or an index.
#[derive(Debug, Clone)]
pub struct ShippedManifest {
    /// Its media type.
    pub media_type: String,
    /// Its digest.
    pub digest: String,
    /// Its bytes.
    pub bytes: Rc<[u8]>,
    /// The digests of the manifests and blobs that have to be there before it.
    pub refers: Vec<String>,
}

/// A config or a layer.
#[derive(Debug, Clone)]
pub struct ShippedBlob<S> {
    /// Its digest.
    pub digest: String,
    /// Its bytes.
    pub content: Recipe<S>,
    /// Whether it is a layer.
    pub is_layer: bool,
}

/// Puts together what the groups lead to.
///
/// An index that lists images which are not there becomes one of those that are, because registries refuse it otherwise;
/// the one image that is left stands for itself. Fails with `missing-entry` where a blob is not there and may not be left
/// out.
pub(super) fn ship<S: Source + Clone>(groups: &[Group<'_, S>]) -> Result<Shipment<S>> {
    let mut packer = Packer {
        there: HashMap::new(),
        left_out: HashSet::new(),
        done: HashSet::new(),
        blobs: BTreeMap::new(),
        manifests: Vec::new(),
    };
    for group in groups {
        packer.collect(group);
    }
    let mut roots = Vec::new();
    for group in groups {
        let Some(top) = group.top() else { continue };
        let digest = packer.root(top)?;
        roots.push(ShippedRoot { names: group.names.clone(), digest });
    }
    Ok(Shipment { roots, manifests: packer.manifests, blobs: packer.blobs.into_values().collect() })
}

struct Packer<S> {
    /// All that could be sent, by digest.
    there: HashMap<String, Recipe<S>>,
    /// Layers that may not be distributed.
    left_out: HashSet<String>,
    done: HashSet<String>,
    blobs: BTreeMap<String, ShippedBlob<S>>,
    manifests: Vec<ShippedManifest>,
}

impl<S: Source + Clone> Packer<S> {
    fn collect(&mut self, group: &Group<'_, S>) {
        for (path, content) in group.blobs.iter().copied() {
            if let Some(digest) = in_name(path) {
                self.there.insert(digest, content.clone());
            }
        }
        for image in &group.images {
            self.there.insert(image.id.clone(), bytes_of(&image.config));
            self.there.insert(image.manifest.digest.clone(), bytes_of(&image.manifest.bytes));
            for layer in &image.layers {
                match &layer.content {
                    Some(content) => drop(self.there.insert(layer.digest.clone(), content.clone())),
                    None => drop(self.left_out.insert(layer.digest.clone())),
                }
            }
        }
    }

    /// Adds what a name leads to; says what that is in the end.
    fn root(&mut self, top: &Document) -> Result<String> {
        let text = std::str::from_utf8(&top.bytes).unwrap_or_default();
        let Some(mut object) = json::Object::parse(text) else { return Err(none(&top.digest)) };
        let Some(listed) = object.array("manifests") else {
            self.add(&top.media_type, &top.digest, &top.bytes)?;
            return Ok(top.digest.clone());
        };
        let of = |text: &str| Descriptor::read(text).filter(|one| self.there.contains_key(&one.digest));
        let present: Vec<Descriptor> = listed.iter().filter_map(|text| of(text)).collect();
        match present.as_slice() {
            [] => Err(none(&top.digest)),
            _ if present.len() == listed.len() => {
                self.add(&top.media_type, &top.digest, &top.bytes)?;
                Ok(top.digest.clone())
            }
            [one] => {
                self.child(&one.digest, &one.media_type)?;
                Ok(one.digest.clone())
            }
            several => {
                let kept = json::array_of(several.iter().map(|one| one.text.clone()));
                object.set("manifests", &kept);
                let bytes: Rc<[u8]> = object.to_json().into_bytes().into();
                let digest = sha256(&bytes);
                self.add(&top.media_type, &digest, &bytes)?;
                Ok(digest)
            }
        }
    }

    /// Adds a manifest that an index lists.
    fn child(&mut self, digest: &str, media_type: &str) -> Result<()> {
        if self.done.contains(digest) {
            return Ok(());
        }
        let content = self.there.get(digest).ok_or_else(|| none(digest))?;
        let len = content.len();
        let fits = usize::try_from(len.min(MAX_MANIFEST)).unwrap_or_default();
        if len > MAX_MANIFEST {
            let sentence = format!("The manifest {digest} is too long for a registry.");
            return Err(Error::new(Code::LimitExceeded, sentence)
                .with("actual", len)
                .with("expected", MAX_MANIFEST));
        }
        let bytes: Rc<[u8]> = read_vec(content, 0, fits)?.into();
        self.add(media_type, digest, &bytes)
    }

    /// Adds a manifest or an index after all that it refers to.
    fn add(&mut self, media_type: &str, digest: &str, bytes: &Rc<[u8]>) -> Result<()> {
        // Before its children: one that leads to itself must end.
        if !self.done.insert(digest.to_owned()) {
            return Ok(());
        }
        let text = std::str::from_utf8(bytes).unwrap_or_default();
        let object = json::Object::parse(text).ok_or_else(|| none(digest))?;
        let mut refers = Vec::new();
        for child in object.array("manifests").unwrap_or_default() {
            let Some(child) = Descriptor::read(child) else { continue };
            self.child(&child.digest, &child.media_type)?;
            refers.push(child.digest);
        }
        let layers = object.array("layers").into_iter().chain(object.array("blobs")).flatten();
        let blobs = layers.map(|text| (text, true)).chain(object.get("config").map(|text| (text, false)));
        for (text, is_layer) in blobs {
            let Some(blob) = Descriptor::read(text) else { continue };
            refers.extend(self.blob(blob.digest, is_layer)?);
        }
        let fallback = if object.get("manifests").is_some() { OCI_INDEX } else { OCI_MANIFEST };
        let media_type = if media_type.is_empty() { fallback } else { media_type };
        self.manifests.push(ShippedManifest {
            media_type: media_type.to_owned(),
            digest: digest.to_owned(),
            bytes: bytes.clone(),
            refers,
        });
        Ok(())
    }

    /// Adds a config or a layer; nothing for a layer that may not be distributed and is not there.
    fn blob(&mut self, digest: String, is_layer: bool) -> Result<Option<String>> {
        match self.there.get(&digest) {
            Some(content) => {
                let blob = ShippedBlob { digest: digest.clone(), content: content.clone(), is_layer };
                self.blobs.entry(digest.clone()).or_insert(blob);
                Ok(Some(digest))
            }
            None if self.left_out.contains(&digest) => Ok(None),
            None => Err(none(&digest)),
        }
    }
}

fn none(digest: &str) -> Error {
    Error::new(Code::MissingEntry, format!("The archive does not hold {digest}.")).with("entry", digest)
}
