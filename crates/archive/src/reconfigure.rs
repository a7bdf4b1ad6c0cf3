//! An image with another config: a new ID, and with it new manifests and indexes, while its layers stay where they are.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::archive::Archive;
use crate::changes::ConfigChanges;
use crate::config::{Config, object};
use crate::digest::{blob_path, sha256};
use crate::error::{Code, Error, Result};
use crate::formats::{manifest_json, oci, oci_index, repositories};
use crate::json::{self, Object};
use crate::members::{Members, Place};
use crate::model::{Format, Image};
use crate::source::Source;

/// How deep indexes may nest, as in [`oci::Walk`].
const MAX_DEPTH: usize = 8;
/// The longest path that fits into a tar header.
const MAX_PATH: usize = 100;

/// An archive in which images have another config.
#[derive(Debug, Clone)]
pub struct Reconfigured<S> {
    /// The archive after the edit.
    pub archive: Archive<S>,
    /// The IDs that the images have now, in the order in which they were chosen.
    pub ids: Vec<String>,
}

impl<S: Source + Clone> Archive<S> {
    /// Changes the config of an image, as `docker commit --change` does: the image gets a new ID and a new manifest, to
    /// which its names move; layers stay where they are, and what only the old image needed leaves the archive. A name
    /// means the images for all its platforms, as in [`Archive::choose`]; an index that lists the image is made anew,
    /// without the attestations of the old one.
    ///
    /// Fails as [`Archive::find`] does, and with `invalid-argument` for a change that Docker refuses, where nothing would
    /// change, or for an archive in the format of Docker 1.9, whose images have no config.
    pub fn reconfigure(&self, image: &str, changes: &ConfigChanges) -> Result<Reconfigured<S>> {
        let mut chosen = Vec::new();
        for number in self.choose(image)? {
            // An image that is there with different manifests has one ID.
            let id = self.images().get(number).map(|image| image.id.clone()).unwrap_or_default();
            if !chosen.contains(&id) {
                chosen.push(id);
            }
        }
        let mut archive = self.clone();
        let mut ids = Vec::new();
        for id in chosen {
            let (after, new) = archive.with_changed_config(&id, changes)?;
            archive = after;
            ids.push(new);
        }
        Ok(Reconfigured { archive, ids })
    }

    /// The archive in which the image with that ID has another config, and the ID that it has then.
    fn with_changed_config(&self, id: &str, changes: &ConfigChanges) -> Result<(Self, String)> {
        if self.format() == Format::DockerV1 {
            let sentence =
                "An image of Docker 1.9 has no config of its own: write the archive in another format first.";
            return Err(Error::new(Code::InvalidArgument, sentence).with("image", id));
        }
        let found = self.find(id)?;
        let bytes = self.config(found)?;
        let config = changes.apply(&bytes, id)?;
        self.members.within_budget(|| self.with_config(id, config))
    }

    fn with_config(&self, id: &str, config: Vec<u8>) -> Result<(Self, String)> {
        let members = &self.members;
        let new_id = sha256(&config);
        let own = |image: &&Image| image.id == id;
        let old: BTreeSet<usize> = self.images().iter().filter(own).map(|image| image.config_entry).collect();
        let mut new = Rework::new(members, (id, &old), (&new_id, config.len() as u64));
        let mut changed = Vec::new();
        // What Docker 1.9 reads beside the top layer says the same; whoever takes a secret out wants it out there, too.
        if let Some(listing) = members.listing(repositories::PATH).transpose()? {
            changed.extend(self.legacy(id, &config, &listing.bytes));
        }
        if let Some(listing) = members.listing(manifest_json::PATH).transpose()? {
            let mut paths = HashMap::new();
            for (number, image) in self.images().iter().enumerate().filter(|(_, image)| image.id == id) {
                let path = new.path_of(image.config_entry);
                new.blobs.insert(path.clone(), config.clone());
                paths.insert(number, path);
            }
            let bytes = manifest_json::with_configs(&listing.bytes, &paths);
            changed.extend(bytes.map(|bytes| (Place::At(listing.entry), bytes)));
        }
        let index = members.listing(oci_index::PATH).transpose()?;
        if let Some(listing) = &index {
            new.gone.extend(oci::reachable(members, &listing.bytes).into_values());
            let document = json::first_value(&listing.bytes).ok();
            if let Some((document, text)) = document.and_then(|d| new.index(d.value, 0).map(|text| (d, text)))
            {
                changed.push((Place::At(listing.entry), document.with_value(&text)));
            }
            // Docker 25 to 29 leave an untagged image out of the index, but not its manifest.
            if let Some((_, digest, _)) = oci_index::manifests_by_config(members).remove(id) {
                new.blob(&digest, 0);
            }
            if new.has_manifest {
                new.blobs.insert(blob_path(&new_id).unwrap_or_default(), config);
            }
        }
        let Rework { blobs, mut gone, .. } = new;
        let blobs = blobs.into_iter().filter(|(path, _)| members.index.find(path).is_none());
        changed.extend(blobs.map(|(path, bytes)| (Place::New(path), bytes)));
        let after = Self::assemble(members.with(changed)?)?;
        gone.extend(old);
        gone.extend(self.legacy_blobs(id));
        gone.extend(blob_path(id).and_then(|path| members.resolve(&path)));
        let gone = after.index().same_paths(gone);
        let needed = after.needed()?;
        let unneeded = gone.into_iter().filter(|entry| !needed.contains(entry)).collect();
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

    /// The `json` of the image's top layer with the new config's container, unless another image has the same top layer.
    fn legacy(&self, id: &str, config: &[u8], listing: &[u8]) -> Option<(Place, Vec<u8>)> {
        let (own, others): (Vec<_>, Vec<_>) = self.images().iter().partition(|image| image.id == id);
        let known = repositories::read(listing).unwrap_or_default();
        let directory = |image: &Image| repositories::top_of(&self.members, image, &known);
        let top = own.iter().find_map(|image| directory(image))?;
        if others.iter().any(|image| directory(image).as_ref() == Some(&top)) {
            return None;
        }
        let entry = self.members.resolve(&format!("{top}/json"))?;
        let bytes = self.members.document(entry).ok()?;
        let document = json::first_value(&bytes).ok()?;
        let mut object = Object::parse(document.value)?;
        let config = Object::parse(json::first_value(config).ok()?.value)?;
        for key in ["config", "author", "created"] {
            match config.get(key) {
                Some(value) => object.set(key, value),
                None => object.remove(key),
            }
        }
        Some((Place::At(entry), document.with_value(&object.to_json())))
    }
}

/// Manifests and indexes that lead to the new config.
struct Rework<'a, S> {
    members: &'a Members<S>,
    /// The members that hold the old config.
    old: &'a BTreeSet<usize>,
    old_id: &'a str,
    id: &'a str,
    size: u64,
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
    ) -> Self {
        let (done, blobs, gone) = (HashMap::new(), BTreeMap::new(), BTreeSet::new());
        Self { members, old, old_id, id, size, done, blobs, gone, has_manifest: false }
    }

    /// Where the new config goes: beside the old one, by the same kind of name.
    fn path_of(&self, entry: usize) -> String {
        let hex = |id: &'_ str| id.rsplit(':').next().unwrap_or_default().to_owned();
        let path =
            self.members.entry(entry).map(|entry| entry.path.replace(&hex(self.old_id), &hex(self.id)));
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

/// A descriptor that leads elsewhere; a copy of what it led to goes.
fn redirected(text: &str, digest: &str, size: u64) -> String {
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
