//! The store's images, indexes and names: a value.

mod find;
mod rows;

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use longshore_archive::Reference;
use serde::{Deserialize, Serialize};

use crate::container::{Container, Node, Upper};
use crate::image::{Image, Index, Manifest};

pub use find::Found;
pub(crate) use find::no_such_image;
pub(crate) use rows::{change_key, container_key, json};

/// What a name leads to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// One image, by its ID.
    Image(String),
    /// An image for several platforms, by its index's digest.
    Index(String),
}

impl Target {
    /// The image's ID or the index's digest.
    pub fn digest(&self) -> &str {
        match self {
            Self::Image(digest) | Self::Index(digest) => digest,
        }
    }
}

/// The store's images, their names and the working containers: a value, which the verbs read and give changes to.
///
/// A name always leads to something that is there, and so do parents, what indexes list, and what containers stand on. It is
/// kept as rows of a key-value table, whose keys are `image/<ID>`, `index/<digest>`, `name/<canonical reference>`,
/// `container/<ID>`, and `change/<container's ID>/<path>` for each change of a container, so that an edit's change is as
/// large as the edit.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    /// What was changed in each container in which something was.
    uppers: BTreeMap<String, Arc<Upper>>,
    containers: BTreeMap<String, Arc<Container>>,
    images: BTreeMap<String, Arc<Image>>,
    indexes: BTreeMap<String, Arc<Index>>,
    /// By canonical reference: the order in which Docker lists names.
    names: BTreeMap<String, (Reference, Target)>,
    /// The rest follows from these: the names of each target,
    named: BTreeMap<Target, BTreeSet<String>>,
    /// what was made from each image,
    children: BTreeMap<String, BTreeSet<String>>,
    /// which indexes list each image,
    listings: BTreeMap<String, BTreeSet<String>>,
    /// and how many images have each layer, by chain ID.
    chains: BTreeMap<String, usize>,
}

/// Catalogs are equal when their rows are.
impl PartialEq for Catalog {
    fn eq(&self, other: &Self) -> bool {
        (&self.uppers, &self.containers) == (&other.uppers, &other.containers)
            && (&self.images, &self.indexes, &self.names) == (&other.images, &other.indexes, &other.names)
    }
}

impl Eq for Catalog {}

impl Catalog {
    /// An image of each circle in which images would be made from each other.
    pub(crate) fn cycles(&self) -> Vec<String> {
        let mut cycles = Vec::new();
        let mut done: HashSet<&str> = HashSet::new();
        for id in self.images.keys() {
            let mut way = HashSet::new();
            let mut at = Some(id.as_str());
            while let Some(id) = at.filter(|id| !done.contains(id)) {
                if !way.insert(id) {
                    cycles.push(id.to_owned());
                    break;
                }
                at = self.image(id).and_then(Image::parent);
            }
            done.extend(way);
        }
        cycles
    }

    fn has(&self, target: &Target) -> bool {
        match target {
            Target::Image(id) => self.images.contains_key(id),
            Target::Index(digest) => self.indexes.contains_key(digest),
        }
    }

    /// The image with that whole ID.
    pub fn image(&self, id: &str) -> Option<&Image> {
        self.images.get(id).map(|image| &**image)
    }

    /// The index with that digest.
    pub fn index(&self, digest: &str) -> Option<&Index> {
        self.indexes.get(digest).map(|index| &**index)
    }

    /// Whether an image is kept as an index lists it, and not packed otherwise.
    pub(crate) fn is_as_listed(&self, manifest: &Manifest) -> bool {
        let image = manifest.image.as_deref().and_then(|id| self.image(id));
        image.is_some_and(|image| image.manifest().digest == manifest.digest)
    }

    /// An index with some of its images alone. What only the others need goes, as far as that is known: an image may be kept
    /// packed otherwise than the index lists it, and which of the index's blobs are its layers is not known then.
    pub(crate) fn part(&self, index: &Index, is_wanted: impl Fn(&Image) -> bool) -> Index {
        let mut part = index.clone();
        let (mut needed, mut layers, mut gone) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let mut is_known = true;
        for manifest in &mut part.manifests {
            let is_as_listed = self.is_as_listed(manifest);
            let Some(image) = manifest.image.as_deref().and_then(|id| self.image(id)) else { continue };
            let blobs = image.blobs().map(|blob| blob.digest);
            if is_wanted(image) {
                is_known &= is_as_listed;
                needed.extend(blobs.chain([manifest.digest.clone()]));
            } else {
                if is_as_listed {
                    layers.extend(blobs);
                }
                gone.extend([manifest.digest.clone(), image.id().to_owned()]);
                manifest.image = None;
            }
        }
        if is_known {
            gone.append(&mut layers);
        }
        let is_there = |digest: &String| !gone.contains(digest) || needed.contains(digest);
        part.blobs.retain(|blob| is_there(&blob.digest));
        part.damaged.retain(is_there);
        part
    }

    /// Every image, by ID.
    pub fn all_images(&self) -> impl Iterator<Item = &Image> {
        self.images.values().map(|image| &**image)
    }

    /// Every index, by digest.
    pub fn all_indexes(&self) -> impl Iterator<Item = &Index> {
        self.indexes.values().map(|index| &**index)
    }

    /// The working container with that whole ID.
    pub(crate) fn container(&self, id: &str) -> Option<&Container> {
        self.containers.get(id).map(|container| &**container)
    }

    /// Every working container, by ID.
    pub fn all_containers(&self) -> impl Iterator<Item = &Container> {
        self.containers.values().map(|container| &**container)
    }

    /// What was changed at a path in the container with that whole ID.
    pub(crate) fn change_at(&self, id: &str, path: &str) -> Option<&Node> {
        self.uppers.get(id)?.get(path)
    }

    /// What was changed in the container with that whole ID.
    pub fn upper(&self, id: &str) -> impl Iterator<Item = (&str, &Node)> {
        self.uppers
            .get(id)
            .into_iter()
            .flat_map(|upper| upper.iter())
            .map(|(path, node)| (path.as_str(), node))
    }

    /// The image that a container stands on: that of the store, or what the container kept of it.
    pub fn base_of<'a>(&'a self, container: &'a Container) -> Option<&'a Image> {
        self.image(&container.image).or(container.base.as_ref())
    }

    /// Every name and what it leads to, in the order of the names in full.
    pub fn names(&self) -> impl Iterator<Item = (&Reference, &Target)> {
        self.names.values().map(|(reference, target)| (reference, target))
    }

    /// What that very name leads to. Of a tag and a digest the digest counts, as for Docker.
    pub fn get(&self, reference: &Reference) -> Option<&Target> {
        self.names.get(&key(reference)).map(|(_, target)| target)
    }

    /// The names of an image or an index, in the order in which Docker lists them.
    pub fn names_of<'a>(&'a self, target: &Target) -> impl Iterator<Item = &'a Reference> + use<'a> {
        let names = self.named.get(target).into_iter().flatten();
        names.filter_map(|name| self.names.get(name).map(|(reference, _)| reference))
    }

    /// IDs of the images that were made from an image.
    pub fn children(&self, id: &str) -> impl Iterator<Item = &str> {
        self.children.get(id).into_iter().flatten().map(String::as_str)
    }

    /// The indexes that list an image.
    pub fn listings(&self, id: &str) -> impl Iterator<Item = &Index> {
        self.listings.get(id).into_iter().flatten().filter_map(|digest| self.index(digest))
    }

    /// Whether an image has a name, its own or that of an index.
    pub(crate) fn is_named(&self, id: &str) -> bool {
        self.named.contains_key(&Target::Image(id.to_owned()))
            || self.listings(id).any(|index| self.named.contains_key(&Target::Index(index.digest.clone())))
    }

    /// Every blob that the catalog needs, with its size: what collection keeps.
    pub fn blobs(&self) -> BTreeMap<String, u64> {
        let images = self.all_images().flat_map(Image::blobs);
        let indexes = self.all_indexes().flat_map(Index::all_blobs);
        images.chain(indexes).map(|blob| (blob.digest, blob.size)).chain(self.blobs_of_containers()).collect()
    }

    /// What was written in containers, and what these kept of images that are gone.
    pub(crate) fn blobs_of_containers(&self) -> impl Iterator<Item = (String, u64)> {
        let bases = self.bases().flat_map(Image::blobs).map(|blob| (blob.digest, blob.size));
        let contents = self.uppers.values().flat_map(|upper| upper.values()).filter_map(Node::content);
        bases.chain(contents.map(|content| (content.digest.clone(), content.size)))
    }

    /// What containers kept of images that are gone.
    pub(crate) fn bases(&self) -> impl Iterator<Item = &Image> {
        self.all_containers().filter_map(|container| container.base.as_ref())
    }

    pub(crate) fn put_container(&mut self, container: Container) {
        self.containers.insert(container.id.clone(), Arc::new(container));
    }

    /// Makes these what was changed in a container.
    pub(crate) fn put_changes(&mut self, id: &str, changes: impl Iterator<Item = (String, Node)>) {
        let upper: Upper = changes.collect();
        if upper.is_empty() {
            self.uppers.remove(id);
        } else {
            self.uppers.insert(id.to_owned(), Arc::new(upper));
        }
    }

    /// Takes a container out, with all that was changed in it.
    pub(crate) fn remove_container(&mut self, id: &str) {
        self.containers.remove(id);
        self.uppers.remove(id);
    }

    pub(crate) fn put_image(&mut self, image: Image) {
        self.remove_image(image.id());
        let id = image.id().to_owned();
        if let Some(parent) = image.parent() {
            self.children.entry(parent.to_owned()).or_default().insert(id.clone());
        }
        for chain in image.chain_ids() {
            *self.chains.entry(chain.clone()).or_default() += 1;
        }
        self.images.insert(id, Arc::new(image));
    }

    /// Takes an image out; gives the chain IDs that no other image has, top first, as Docker does.
    pub(crate) fn remove_image(&mut self, id: &str) -> Vec<String> {
        let Some(image) = self.images.remove(id) else { return Vec::new() };
        if let Some(parent) = image.parent() {
            remove_from(&mut self.children, parent, id);
        }
        let mut freed = Vec::new();
        for chain in image.chain_ids().iter().rev() {
            if let Some(count) = self.chains.get_mut(chain) {
                *count -= 1;
                if *count == 0 {
                    self.chains.remove(chain);
                    freed.push(chain.clone());
                }
            }
        }
        freed
    }

    pub(crate) fn put_index(&mut self, index: Index) {
        self.remove_index(&index.digest);
        for id in index.images() {
            self.listings.entry(id.to_owned()).or_default().insert(index.digest.clone());
        }
        self.indexes.insert(index.digest.clone(), Arc::new(index));
    }

    pub(crate) fn remove_index(&mut self, digest: &str) -> Option<Arc<Index>> {
        let index = self.indexes.remove(digest)?;
        for id in index.images() {
            remove_from(&mut self.listings, id, digest);
        }
        Some(index)
    }

    /// Gives a name to a target; gives what it led to before.
    pub(crate) fn name(&mut self, reference: Reference, target: Target) -> Option<Target> {
        let key = key(&reference);
        let before = self.unname(&key);
        self.named.entry(target.clone()).or_default().insert(key.clone());
        self.names.insert(key, (reference, target));
        before
    }

    /// Takes a name away, by its canonical form; gives what it led to.
    pub(crate) fn unname(&mut self, name: &str) -> Option<Target> {
        let (_, target) = self.names.remove(name)?;
        remove_from(&mut self.named, &target, name);
        Some(target)
    }
}

/// The key of a name. Of a tag and a digest Docker keeps the digest.
pub(crate) fn key(reference: &Reference) -> String {
    match reference.digest() {
        Some(digest) => format!("{}@{digest}", reference.name()),
        None => reference.canonical(),
    }
}

fn remove_from<K, Q>(map: &mut BTreeMap<K, BTreeSet<String>>, key: &Q, value: &str)
where
    K: Ord + Borrow<Q>,
    Q: Ord + ?Sized,
{
    if let Some(set) = map.get_mut(key) {
        set.remove(value);
        if set.is_empty() {
            map.remove(key);
        }
    }
}
