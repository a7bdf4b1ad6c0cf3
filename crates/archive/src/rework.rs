//! What an image is told by, made anew: its config, its manifests, the indexes that list these, and Docker's listings.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::archive::Archive;
use crate::config::{Config, object};
use crate::digest::{blob_path, sha256};
use crate::error::Result;
use crate::formats::{layer_folders, manifest_json, oci, oci_index, repositories};
use crate::json::{self, Object};
use crate::members::{Members, Place};
use crate::model::{Format, Image, Layer, Name};
use crate::relayer::{NewLayer, slots};
use crate::source::Source;
use crate::tar::{NewContent, normal};
use crate::write::{descriptor, media_type_like};

/// How deep indexes may nest, as in [`oci::Walk`].
const MAX_DEPTH: usize = 8;
/// The longest path that fits into a tar header.
const MAX_PATH: usize = 100;

impl<S: Source + Clone> Archive<S> {
    /// The archive in which the image with that ID has another config, and other layers in place of some; and the ID that it
    /// has then.
    pub(crate) fn with_config(
        &self,
        id: &str,
        config: Vec<u8>,
        layers: &[NewLayer<S>],
    ) -> Result<(Self, String)> {
        let members = &self.members;
        let new_id = sha256(&config);
        let own = || self.images().iter().enumerate().filter(|(_, image)| image.id == id);
        let old: BTreeSet<usize> = own().map(|(_, image)| image.config_entry).collect();
        let mut new = Rework::new(members, (id, &old), (&new_id, config.len() as u64), layers);
        let mut changed: Vec<(Place, NewContent<S>)> = Vec::new();
        // What Docker 1.9 reads says the same; whoever takes a secret out wants it out there, too.
        let listing = members.listing(repositories::PATH).transpose()?;
        let known =
            listing.as_ref().and_then(|listing| repositories::read(&listing.bytes)).unwrap_or_default();
        let mut folders = layer_folders::rework(self, id, &config, &known, layers, path_of)?;
        if let (Some(top), Some(listing)) = (&folders.top, &listing) {
            let names: HashSet<&Name> = own().flat_map(|(_, image)| &image.names).collect();
            let bytes = repositories::with_top(&listing.bytes, &names, top);
            changed.extend(bytes.map(|bytes| (Place::At(listing.entry), bytes.into())));
        }
        changed.append(&mut folders.changed);
        let mut gone: BTreeSet<usize> = old.clone();
        let mut stored: BTreeMap<String, &NewLayer<S>> = BTreeMap::new();
        if let Some(listing) = self.manifest_listing()? {
            let mut items = HashMap::new();
            for (number, image) in own() {
                let path = new.path_of(image.config_entry);
                new.blobs.insert(path.clone(), config.clone());
                let slots = slots(image.layers.len(), layers);
                let mut paths = Vec::with_capacity(slots.len());
                for &(number, layer) in &slots {
                    let old = image.layers.get(number).map(|layer| layer.path.clone()).unwrap_or_default();
                    paths.push(match (layer, folders.paths.get(&number)) {
                        (None, _) => old,
                        (Some(_), Some(path)) => path.clone(),
                        (Some(layer), None) => {
                            let path = path_of(image, number, layer);
                            stored.insert(path.clone(), layer);
                            path
                        }
                    });
                }
                items.insert(number, reworked(image, path, paths, layers));
            }
            let bytes = manifest_json::reworked(&listing.bytes, id, &items);
            changed.extend(bytes.map(|bytes| (Place::At(listing.entry), bytes.into())));
        }
        if let Some(listing) = members.listing(oci_index::PATH).transpose()? {
            gone.extend(oci::reachable(members, &listing.bytes).into_values());
            let document = json::first_value(&listing.bytes).ok();
            if let Some((document, text)) = document.and_then(|d| new.index(d.value, 0).map(|text| (d, text)))
            {
                changed.push((Place::At(listing.entry), document.with_value(&text).into()));
            }
            // Docker 25 to 29 leave an untagged image out of the index, but not its manifest.
            if let Some((_, digest, _)) = oci_index::manifests_by_config(members).remove(id) {
                new.blob(&digest, 0);
            }
            if new.has_manifest {
                new.blobs.insert(blob_path(&new_id).unwrap_or_default(), config);
                stored.extend(layers.iter().filter_map(|layer| Some((blob_path(&layer.digest)?, layer))));
            }
        }
        for (_, image) in own() {
            let replaced = layers.iter().flat_map(NewLayer::range);
            gone.extend(replaced.filter_map(|number| image.layers.get(number)?.entry));
        }
        gone.append(&mut new.gone);
        let is_new = |path: &String| members.index.find(path).is_none();
        for (path, bytes) in std::mem::take(&mut new.blobs).into_iter().filter(|(path, _)| is_new(path)) {
            changed.push((Place::New(path), bytes.into()));
        }
        for (path, layer) in stored.into_iter().filter(|(path, _)| is_new(path)) {
            changed.push((Place::New(path), NewContent::stored(layer.data.clone())?));
        }
        let after = Self::assemble(members.with(changed)?)?;
        gone.extend(self.legacy_blobs(id));
        gone.extend(blob_path(id).and_then(|path| members.resolve(&path)));
        let gone = after.index().same_paths(gone);
        let needed = after.needed()?;
        let mut unneeded: BTreeSet<usize> =
            gone.into_iter().filter(|entry| !needed.contains(entry)).collect();
        unneeded.append(&mut folders.gone);
        Ok((Self::assemble(after.members.without(&unneeded)?)?, new_id))
    }

    /// What the images and the index lead to.
    fn needed(&self) -> Result<BTreeSet<usize>> {
        let mut needed = BTreeSet::new();
        for image in self.images() {
            needed.insert(image.config_entry);
            needed.extend(image.layers.iter().filter_map(|layer| layer.entry));
        }
        if let Some(listing) = self.members.listing(oci_index::PATH).transpose()? {
            needed.extend(oci::reachable(&self.members, &listing.bytes).into_values());
        }
        Ok(needed)
    }

    /// What Docker 25 and later write about the image's top layer for Docker 1.9, as blobs that nothing leads to.
    fn legacy_blobs(&self, id: &str) -> BTreeSet<usize> {
        if self.format() != Format::DockerOci {
            return BTreeSet::new();
        }
        let (own, others): (Vec<_>, Vec<_>) = self.images().iter().partition(|image| image.id == id);
        let mut found = self.orphans();
        found.retain(|&number| {
            let Some(entry) = self.members.entry(number) else { return false };
            if entry.magic.first() != Some(&b'{') || !entry.path.contains("blobs/sha256/") {
                return false;
            }
            let Ok(bytes) = self.members.document(number) else { return false };
            let is_legacy = object(&bytes, &entry.path).is_ok_and(|object| object.get("id").is_some());
            let Ok(config) = Config::read(&bytes, &entry.path) else { return false };
            let is_of = |image: &&Image| is_legacy && image.config == config.container;
            own.iter().any(is_of) && !others.iter().any(is_of)
        });
        found
    }
}

/// Where a layer goes that takes the place of the one with that number: beside that one, by the same kind of name.
fn path_of<S>(image: &Image, number: usize, new: &NewLayer<S>) -> String {
    let hex = |digest: &str| digest.rsplit(':').next().unwrap_or_default().to_owned();
    let old = image.layers.get(number);
    let renamed = |old: &Layer| {
        let pairs = [(&old.digest, &new.digest), (&old.diff_id, &new.diff_id)];
        pairs.into_iter().find_map(|(digest, new)| {
            let digest = hex(digest.as_deref()?);
            let path = normal(&old.path);
            path.contains(&digest)
                .then(|| path.replace(&digest, &hex(new)))
                .filter(|path| path.len() <= MAX_PATH)
        })
    };
    old.and_then(renamed).unwrap_or_else(|| format!("{}.tar", hex(&new.digest)))
}

/// What `manifest.json` is to say of the image.
fn reworked<S: Source + Clone>(
    image: &Image,
    config: String,
    paths: Vec<String>,
    new: &[NewLayer<S>],
) -> manifest_json::Reworked {
    let slots = slots(image.layers.len(), new);
    let diff_ids = slots.iter().filter(|(_, new)| new.is_none());
    let diff_ids = diff_ids.filter_map(|(number, _)| image.layers.get(*number)?.diff_id.clone()).collect();
    let sources = slots.iter().filter_map(|(number, new)| {
        let old = image.layers.get(*number)?;
        new.map(|new| (new.diff_id.clone(), descriptor_of(new, &old.media_type)))
    });
    let layers = Some(paths).filter(|_| !new.is_empty());
    manifest_json::Reworked { config, layers, sources: sources.collect(), diff_ids }
}

/// The descriptor of a new layer in the place of one of that type.
fn descriptor_of<S: Source + Clone>(new: &NewLayer<S>, old: &str) -> String {
    descriptor(&media_type_like(old, new.packing), &new.digest, new.data.len(), &[])
}

/// Manifests and indexes that lead to the new config.
struct Rework<'a, S> {
    members: &'a Members<S>,
    /// The members that hold the old config.
    old: &'a BTreeSet<usize>,
    old_id: &'a str,
    id: &'a str,
    size: u64,
    layers: &'a [NewLayer<S>],
    /// What was made of each document, by its digest: its new digest and size.
    done: HashMap<String, Option<(String, u64)>>,
    /// The new blobs by their paths.
    blobs: BTreeMap<String, Vec<u8>>,
    /// Members that are not needed any more, unless something else needs them.
    gone: BTreeSet<usize>,
    has_manifest: bool,
}

impl<'a, S: Source + Clone> Rework<'a, S> {
    fn new(
        members: &'a Members<S>,
        (old_id, old): (&'a str, &'a BTreeSet<usize>),
        (id, size): (&'a str, u64),
        layers: &'a [NewLayer<S>],
    ) -> Self {
        let (done, blobs, gone) = (HashMap::new(), BTreeMap::new(), BTreeSet::new());
        Self { members, old, old_id, id, size, layers, done, blobs, gone, has_manifest: false }
    }

    /// Where the new config goes: beside the old one, by the same kind of name. `manifest.json` says it, and containerd finds no
    /// `./` there.
    fn path_of(&self, entry: usize) -> String {
        let hex = |id: &'_ str| id.rsplit(':').next().unwrap_or_default().to_owned();
        let entry = self.members.entry(entry);
        let path = entry.map(|entry| normal(&entry.path).replace(&hex(self.old_id), &hex(self.id)));
        let is_fitting = |path: &String| path.contains(&hex(self.id)) && path.len() <= MAX_PATH;
        path.filter(is_fitting).unwrap_or_else(|| format!("{}.json", hex(self.id)))
    }

    /// The text of an index whose descriptors lead to the new config; `None` where none led to the old one.
    fn index(&mut self, text: &str, depth: usize) -> Option<String> {
        let mut index = Object::parse(text)?;
        let descriptors = json::array(index.text("manifests")?)?;
        let mut replaced = BTreeSet::new();
        let mut made = Vec::with_capacity(descriptors.len());
        for text in descriptors {
            let digest = oci::Descriptor::read(text).map(|descriptor| descriptor.digest);
            let new = digest.as_ref().and_then(|digest| self.blob(digest, depth));
            made.push(match new {
                Some((new, size)) => {
                    replaced.extend(digest);
                    redirected(text, &new, size)
                }
                None => text.to_owned(),
            });
        }
        if replaced.is_empty() {
            return None;
        }
        // What was attested is true of the old image only.
        made.retain(|text| !subject(text).is_some_and(|subject| replaced.contains(&subject)));
        index.set("manifests", &json::array_of(made));
        Some(index.to_json())
    }

    /// What becomes of a manifest or an index: its new digest and size.
    fn blob(&mut self, digest: &str, depth: usize) -> Option<(String, u64)> {
        if let Some(known) = self.done.get(digest) {
            return known.clone();
        }
        self.done.insert(digest.to_owned(), None);
        let entry = self.members.resolve(&blob_path(digest)?).filter(|_| depth <= MAX_DEPTH)?;
        let bytes = self.members.document(entry).ok()?;
        let document = json::first_value(&bytes).ok()?;
        let mut object = Object::parse(document.value)?;
        let leads_there = |manifest: &oci::Manifest| {
            manifest.config.entry(self.members).is_some_and(|entry| self.old.contains(&entry))
                || manifest.config.digest == self.old_id
        };
        let text = match oci::Manifest::read(&object).filter(leads_there) {
            Some(manifest) => {
                self.has_manifest = true;
                object.set("config", &redirected(&manifest.config.text, self.id, self.size));
                if !self.layers.is_empty() {
                    object.set("layers", &self.descriptors(&manifest.layers));
                }
                object.to_json()
            }
            None => self.index(document.value, depth + 1)?,
        };
        let made = document.with_value(&text);
        let new = (sha256(&made), made.len() as u64);
        self.members.spend(new.1).ok()?;
        self.blobs.insert(blob_path(&new.0)?, made);
        self.gone.insert(entry);
        self.done.insert(digest.to_owned(), Some(new.clone()));
        Some(new)
    }
}

impl<S: Source + Clone> Rework<'_, S> {
    /// A manifest's layers, with the new ones.
    fn descriptors(&self, old: &[oci::Descriptor]) -> String {
        let slots = slots(old.len(), self.layers);
        json::array_of(slots.into_iter().filter_map(|(number, new)| {
            let old = old.get(number)?;
            Some(new.map_or_else(|| old.text.clone(), |new| descriptor_of(new, &old.media_type)))
        }))
    }
}

/// A descriptor that leads elsewhere; a copy of what it led to goes.
pub(crate) fn redirected(text: &str, digest: &str, size: u64) -> String {
    let mut descriptor = Object::parse(text).unwrap_or_default();
    descriptor.set("digest", &json::string(digest));
    descriptor.set("size", &size.to_string());
    descriptor.remove("data");
    descriptor.to_json()
}

/// The manifest that a descriptor's own is about (`BuildKit`'s attestations).
fn subject(text: &str) -> Option<String> {
    Object::parse(text)?.object("annotations")?.read("vnd.docker.reference.digest")
}
