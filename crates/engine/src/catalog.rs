//! The store's images, indexes and names: a value.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use longshore_archive::{Algorithm, Code, Error, Reference, Result};
use serde::{Deserialize, Serialize};

use crate::container::{Container, Node, Upper, check_path};
use crate::image::{Image, Index};

const CHANGE: &str = "change/";
const CONTAINER: &str = "container/";
const IMAGE: &str = "image/";
const INDEX: &str = "index/";
const NAME: &str = "name/";

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
    /// Reads a catalog from its rows, in any order. Rows of kinds that are unknown here are left out.
    ///
    /// Fails with `damaged-catalog`, whose detail `key` names the row, where one cannot be read or leads to nothing.
    pub fn from_rows(rows: impl IntoIterator<Item = (String, String)>) -> Result<Self> {
        let mut catalog = Self::default();
        for (key, value) in rows {
            catalog.put_row(&key, &value)?;
        }
        catalog.check()?;
        Ok(catalog)
    }

    /// The rows, in the order of their keys.
    pub fn rows(&self) -> impl Iterator<Item = (String, String)> + '_ {
        self.values().map(|(key, value)| (key, value.to_json()))
    }

    /// The row at a key.
    pub fn row(&self, key: &str) -> Option<String> {
        let value = if let Some(key) = key.strip_prefix(CHANGE) {
            let (id, path) = key.split_once('/')?;
            Value::Change(self.uppers.get(id)?.get(path)?)
        } else if let Some(id) = key.strip_prefix(CONTAINER) {
            Value::Container(self.containers.get(id)?)
        } else if let Some(id) = key.strip_prefix(IMAGE) {
            Value::Image(self.images.get(id)?)
        } else if let Some(digest) = key.strip_prefix(INDEX) {
            Value::Index(self.indexes.get(digest)?)
        } else {
            Value::Name(&self.names.get(key.strip_prefix(NAME)?)?.1)
        };
        Some(value.to_json())
    }

    /// The rows' keys and what they hold, in the order of the keys.
    fn values(&self) -> impl Iterator<Item = (String, Value<'_>)> {
        self.values_where(|_, _| true)
    }

    /// As [`Self::values`], without the changes of containers that are those of another catalog, too: there may be many.
    pub(crate) fn values_unlike<'a>(
        &'a self,
        other: &'a Self,
    ) -> impl Iterator<Item = (String, Value<'a>)> + use<'a> {
        self.values_where(|id, upper| other.uppers.get(id).is_none_or(|other| !Arc::ptr_eq(upper, other)))
    }

    fn values_where<'a>(
        &'a self,
        is_wanted: impl Fn(&str, &Arc<Upper>) -> bool + 'a,
    ) -> impl Iterator<Item = (String, Value<'a>)> {
        let uppers = self.uppers.iter().filter(move |(id, upper)| is_wanted(id, upper));
        let changes = uppers.flat_map(|(id, upper)| {
            upper.iter().map(move |(path, node)| (change_key(id, path), Value::Change(node)))
        });
        let containers =
            self.containers.iter().map(|(id, container)| (container_key(id), Value::Container(container)));
        let images = self.images.iter().map(|(id, image)| (format!("{IMAGE}{id}"), Value::Image(image)));
        let indexes =
            self.indexes.iter().map(|(digest, index)| (format!("{INDEX}{digest}"), Value::Index(index)));
        let names =
            self.names.iter().map(|(name, (_, target))| (format!("{NAME}{name}"), Value::Name(target)));
        changes.chain(containers).chain(images).chain(indexes).chain(names)
    }

    pub(crate) fn put_row(&mut self, key: &str, value: &str) -> Result<()> {
        let damaged = |reason: &dyn std::fmt::Display| damaged(key, reason);
        if let Some(change) = key.strip_prefix(CHANGE) {
            let (id, path) =
                change.split_once('/').ok_or_else(|| damaged(&"its key is no container's and a path"))?;
            check_path(path).map_err(|error| damaged(&error.message()))?;
            let node: Node = serde_json::from_str(value).map_err(|error| damaged(&error))?;
            Arc::make_mut(self.uppers.entry(id.to_owned()).or_default()).insert(path.to_owned(), node);
        } else if let Some(id) = key.strip_prefix(CONTAINER) {
            let container: Container = serde_json::from_str(value).map_err(|error| damaged(&error))?;
            container.check().map_err(|error| damaged(&error.message()))?;
            if container.id != id {
                return Err(damaged(&"it is another container's"));
            }
            self.put_container(container);
        } else if let Some(id) = key.strip_prefix(IMAGE) {
            let image: Image = serde_json::from_str(value).map_err(|error| damaged(&error))?;
            if image.id() != id {
                return Err(damaged(&"it is another image's"));
            }
            self.put_image(image);
        } else if let Some(digest) = key.strip_prefix(INDEX) {
            let index: Index = serde_json::from_str(value).map_err(|error| damaged(&error))?;
            index.check().map_err(|error| damaged(&error.message()))?;
            if index.digest != digest {
                return Err(damaged(&"it is another index's"));
            }
            self.put_index(index);
        } else if let Some(name) = key.strip_prefix(NAME) {
            let target = serde_json::from_str(value).map_err(|error| damaged(&error))?;
            let reference = Reference::parse_bare(name).map_err(|error| damaged(&error.message()))?;
            if reference.canonical() != name || reference.tag().is_some() == reference.digest().is_some() {
                return Err(damaged(&"its key is no name in full"));
            }
            self.name(reference, target);
        }
        Ok(())
    }

    pub(crate) fn delete_row(&mut self, key: &str) {
        if let Some((id, path)) = key.strip_prefix(CHANGE).and_then(|change| change.split_once('/')) {
            if let Some(upper) = self.uppers.get_mut(id) {
                Arc::make_mut(upper).remove(path);
                if upper.is_empty() {
                    self.uppers.remove(id);
                }
            }
        } else if let Some(id) = key.strip_prefix(CONTAINER) {
            self.containers.remove(id);
        } else if let Some(id) = key.strip_prefix(IMAGE) {
            self.remove_image(id);
        } else if let Some(digest) = key.strip_prefix(INDEX) {
            self.remove_index(digest);
        } else if let Some(name) = key.strip_prefix(NAME) {
            self.unname(name);
        }
    }

    /// Fails where something leads to nothing.
    pub(crate) fn check(&self) -> Result<()> {
        for (id, image) in &self.images {
            if image.parent().is_some_and(|parent| parent == id || !self.images.contains_key(parent)) {
                return Err(damaged(&format!("{IMAGE}{id}"), &"its parent is not there"));
            }
        }
        if let Some(id) = self.cycles().first() {
            return Err(damaged(&format!("{IMAGE}{id}"), &"its parent was made from it"));
        }
        for (digest, index) in &self.indexes {
            if index.images().any(|id| !self.images.contains_key(id)) {
                return Err(damaged(&format!("{INDEX}{digest}"), &"an image that it lists is not there"));
            }
        }
        for (name, (_, target)) in &self.names {
            if !self.has(target) {
                return Err(damaged(&format!("{NAME}{name}"), &"what it leads to is not there"));
            }
        }
        let mut names = HashSet::new();
        for (id, container) in &self.containers {
            let key = || container_key(id);
            if self.base_of(container).is_none() {
                return Err(damaged(&key(), &"the image that it was made from is not there"));
            }
            if !names.insert(&container.name) {
                return Err(damaged(&key(), &"another container has its name"));
            }
        }
        if let Some(id) = self.uppers.keys().find(|id| !self.containers.contains_key(*id)) {
            return Err(damaged(&change_key(id, ""), &"its container is not there"));
        }
        Ok(())
    }

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

    /// Every image, by ID.
    pub fn all_images(&self) -> impl Iterator<Item = &Image> {
        self.images.values().map(|image| &**image)
    }

    /// Every index, by digest.
    pub fn all_indexes(&self) -> impl Iterator<Item = &Index> {
        self.indexes.values().map(|index| &**index)
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

/// What a row holds.
#[derive(Clone, Copy)]
pub(crate) enum Value<'a> {
    Change(&'a Node),
    Container(&'a Arc<Container>),
    Image(&'a Arc<Image>),
    Index(&'a Arc<Index>),
    Name(&'a Target),
}

impl Value<'_> {
    pub(crate) fn to_json(self) -> String {
        match self {
            Self::Change(node) => json(node),
            Self::Container(container) => json(&**container),
            Self::Image(image) => json(&**image),
            Self::Index(index) => json(&**index),
            Self::Name(target) => json(target),
        }
    }

    /// Whether the rows are the same. What no verb has touched is the very same thing.
    pub(crate) fn is(self, other: Self) -> bool {
        match (self, other) {
            (Self::Change(one), Self::Change(two)) => one == two,
            (Self::Container(one), Self::Container(two)) => Arc::ptr_eq(one, two) || one == two,
            (Self::Image(one), Self::Image(two)) => Arc::ptr_eq(one, two) || one == two,
            (Self::Index(one), Self::Index(two)) => Arc::ptr_eq(one, two) || one == two,
            (Self::Name(one), Self::Name(two)) => one == two,
            _ => false,
        }
    }
}

/// The key of a container.
pub(crate) fn container_key(id: &str) -> String {
    format!("{CONTAINER}{id}")
}

/// The key of a container's change.
pub(crate) fn change_key(id: &str, path: &str) -> String {
    format!("{CHANGE}{id}/{path}")
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

/// What was meant by a name or an ID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What it leads to.
    pub target: Target,
    /// The name by which it was found; `None`: by its ID.
    pub name: Option<Reference>,
}

impl Catalog {
    /// Finds what is meant as Docker does: a whole ID, a name (`latest` where no tag is given), or the beginning of an
    /// ID. A name wins over an ID that begins so.
    ///
    /// Fails with `no-such-image`, with `ambiguous-image` where several IDs begin so (Docker's sentence is the same), and
    /// with `invalid-reference`.
    pub fn find(&self, image: &str) -> Result<Found> {
        let whole =
            if is_hex(image) && image.len() == 64 { format!("sha256:{image}") } else { image.to_owned() };
        if Algorithm::of(&whole).is_some() {
            let target = self.by_digest(&whole).ok_or_else(|| no_such_image(&whole, image))?;
            return Ok(Found { target, name: None });
        }
        let reference = Reference::parse(image)?;
        if let Some((name, target)) = self.names.get(&key(&reference)) {
            return Ok(Found { target: target.clone(), name: Some(name.clone()) });
        }
        match self.search(image)? {
            Some(target) => Ok(Found { target, name: None }),
            None => Err(no_such_image(&reference.to_string(), image)),
        }
    }

    /// As [`Self::find`], for verbs that are about one image: of an image for several platforms, the one for
    /// `linux/amd64`, or the first.
    pub fn find_image(&self, image: &str) -> Result<&Image> {
        let found = self.find(image)?;
        self.preferred(&found.target).ok_or_else(|| no_such_image(image, image))
    }

    /// The image that a name means to a reader of one platform.
    pub(crate) fn preferred(&self, target: &Target) -> Option<&Image> {
        match target {
            Target::Image(id) => self.image(id),
            Target::Index(digest) => {
                let images = || self.index(digest).into_iter().flat_map(Index::images);
                let mut images = images().filter_map(|id| self.image(id));
                let first = images.next()?;
                let is_common = |image: &&Image| image.platform().is_common();
                Some([first].into_iter().chain(images).find(is_common).unwrap_or(first))
            }
        }
    }

    fn by_digest(&self, digest: &str) -> Option<Target> {
        let image = self.images.contains_key(digest).then(|| Target::Image(digest.to_owned()));
        image.or_else(|| self.indexes.contains_key(digest).then(|| Target::Index(digest.to_owned())))
    }

    /// What has an ID that begins so.
    pub(crate) fn search(&self, image: &str) -> Result<Option<Target>> {
        let hex = image.strip_prefix("sha256:").unwrap_or(image);
        if hex.is_empty() || !is_hex(hex) {
            return Ok(None);
        }
        let prefix = format!("sha256:{hex}");
        let mut found = BTreeSet::new();
        let begins = |id: &&String| id.starts_with(&prefix);
        found.extend(self.images.range(prefix.clone()..).map(|(id, _)| id).take_while(begins).take(2));
        found.extend(self.indexes.range(prefix.clone()..).map(|(id, _)| id).take_while(begins).take(2));
        match found.len() {
            0 | 1 => Ok(found.first().and_then(|id| self.by_digest(id))),
            _ => {
                let name = Reference::parse(image).map_or_else(|_| image.to_owned(), |name| name.to_string());
                let sentence = format!("No such image: {name}");
                Err(Error::new(Code::AmbiguousImage, sentence).with("reference", image))
            }
        }
    }
}

/// Docker's sentence.
pub(crate) fn no_such_image(name: &str, asked: &str) -> Error {
    Error::new(Code::NoSuchImage, format!("No such image: {name}")).with("reference", asked)
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn damaged(key: &str, reason: &dyn std::fmt::Display) -> Error {
    let sentence = format!("The store's catalog is damaged: its row {key} cannot be used: {reason}.");
    Error::new(Code::DamagedCatalog, sentence).with("key", key)
}

pub(crate) fn json(value: &impl Serialize) -> String {
    // Writing to memory does not fail.
    serde_json::to_string(value).unwrap_or_default()
}
