//! The catalog as rows of a key-value table: reading, writing, and what must hold between them.

use std::collections::HashSet;
use std::sync::Arc;

use longshore_archive::{Code, Error, Reference, Result};
use serde::Serialize;

use crate::container::{Container, Node, Upper, check_path};
use crate::image::{Image, Index};

use super::{Catalog, Target};

const CHANGE: &str = "change/";
const CONTAINER: &str = "container/";
const IMAGE: &str = "image/";
const INDEX: &str = "index/";
const NAME: &str = "name/";

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

fn damaged(key: &str, reason: &dyn std::fmt::Display) -> Error {
    let sentence = format!("The store's catalog is damaged: its row {key} cannot be used: {reason}.");
    Error::new(Code::DamagedCatalog, sentence).with("key", key)
}

pub(crate) fn json(value: &impl Serialize) -> String {
    // Writing to memory does not fail.
    serde_json::to_string(value).unwrap_or_default()
}
