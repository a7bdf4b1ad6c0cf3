//! `repositories`: names by repository and tag, each with the ID of the image's top layer (Docker up to 1.9; written
//! ever since, by Docker up to 28 and by skopeo and podman).

use std::collections::{HashMap, HashSet};

use crate::json::{self, Object};
use crate::members::Members;
use crate::model::{Image, Name};
use crate::source::Source;
use crate::tar::EntryKind;

pub(crate) const PATH: &str = "repositories";

/// The names that the document gives, each with what it gives it to.
pub(crate) fn read(bytes: &[u8]) -> Option<Vec<(Name, String)>> {
    let document = json::first_value(bytes).ok()?;
    let mut names = Vec::new();
    for (repository, tags) in Object::parse(document.value)?.members() {
        for (tag, id) in Object::parse(tags)?.members() {
            names.push((Name::new(format!("{repository}:{tag}")), serde_json::from_str(id).ok()?));
        }
    }
    Some(names)
}

/// The document with other names; `None` where it has them already, and where it is not there and need not be.
/// `names` is per image.
pub(crate) fn rewrite<S: Source + Clone>(
    members: &Members<S>,
    bytes: Option<&[u8]>,
    images: &[Image],
    names: &[Vec<Name>],
) -> Option<Vec<u8>> {
    let document = match bytes {
        Some(bytes) => json::first_value(bytes).ok()?,
        None => json::Document { value: "{}", after: "\n" },
    };
    let present = read(document.value.as_bytes())?;
    let known: HashMap<&Name, &String> = present.iter().map(|(name, id)| (name, id)).collect();
    let mut wanted: HashMap<&Name, String> = HashMap::new();
    let linked = linked_directories(members);
    for (image, names) in images.iter().zip(names) {
        let top = image.names.iter().find_map(|name| known.get(name).map(|&id| id.clone()));
        // Without a document, only readers that know layer directories alone would look for it.
        let Some(top) = top.or_else(|| top_layer_id(members, image, &linked, bytes.is_some())) else {
            continue;
        };
        // Docker gives a name that several images have to the last of them.
        wanted.extend(names.iter().map(|name| (name, top.clone())));
    }
    let mut added: HashMap<&str, Vec<&Name>> = HashMap::new();
    let mut added_repositories = Vec::new();
    let mut seen = HashSet::new();
    for name in names.iter().flatten().filter(|name| !known.contains_key(name) && seen.insert(*name)) {
        let Some((repository, _)) = split(name) else { continue };
        let names = added.entry(repository).or_default();
        if names.is_empty() {
            added_repositories.push(repository);
        }
        names.push(name);
    }
    let id_of = |name: &Name| wanted.get(name).map(|id| json::string(id));
    let add = |tags: &mut Object<'_>, names: Vec<&Name>| {
        for name in names {
            if let (Some((_, tag)), Some(id)) = (split(name), id_of(name)) {
                tags.push(tag, id);
            }
        }
    };

    // Repositories and tags are told apart by case: keys here are data, not fields.
    let mut repositories = Object::default();
    for (repository, text) in Object::parse(document.value)?.members() {
        let mut tags = Object::default();
        for (tag, _) in Object::parse(text)?.members() {
            if let Some(id) = id_of(&Name::new(format!("{repository}:{tag}"))) {
                tags.push(tag, id);
            }
        }
        add(&mut tags, added.remove(repository).unwrap_or_default());
        if !tags.is_empty() {
            repositories.push(repository, tags.to_json());
        }
    }
    for repository in added_repositories {
        let mut tags = Object::default();
        add(&mut tags, added.remove(repository).unwrap_or_default());
        if !tags.is_empty() {
            repositories.push(repository, tags.to_json());
        }
    }
    let is_changed = read(repositories.to_json().as_bytes())? != present;
    is_changed.then(|| document.with_value(&repositories.to_json()))
}

/// The document in which some names lead to another top layer; `None` where it has none of them, or leads there already.
pub(crate) fn with_top(bytes: &[u8], names: &HashSet<&Name>, top: &str) -> Option<Vec<u8>> {
    let document = json::first_value(bytes).ok()?;
    let top = json::string(top);
    let mut changed = false;
    let mut repositories = Object::default();
    for (repository, text) in Object::parse(document.value)?.members() {
        let mut tags = Object::default();
        for (tag, id) in Object::parse(text)?.members() {
            let is_meant = names.contains(&Name::new(format!("{repository}:{tag}")));
            changed |= is_meant && id != top;
            tags.push(tag, if is_meant { top.clone() } else { id.to_owned() });
        }
        repositories.push(repository, tags.to_json());
    }
    changed.then(|| document.with_value(&repositories.to_json()))
}

/// A name's repository, as the archive writes it, and tag. A name with a digest has no place here.
fn split(name: &Name) -> Option<(&str, &str)> {
    let tag = name.reference()?.tag()?;
    let repository = name.text().strip_suffix(tag)?.strip_suffix(':')?;
    Some((repository, tag))
}

/// Where the top layers of images are, to an archive's `repositories` and to what links to them.
pub(crate) struct Tops<'a> {
    named: HashMap<&'a Name, &'a String>,
    linked: HashMap<usize, &'a str>,
}

impl<'a> Tops<'a> {
    /// `known` is what the document says.
    pub(crate) fn new<S: Source + Clone>(members: &'a Members<S>, known: &'a [(Name, String)]) -> Self {
        let named = known.iter().map(|(name, id)| (name, id)).collect();
        Self { named, linked: linked_directories(members) }
    }

    /// The directory of an image's top layer: what the document gives its names, or else what it would.
    pub(crate) fn of<S: Source + Clone>(&self, members: &Members<S>, image: &Image) -> Option<String> {
        let named = image.names.iter().find_map(|name| self.named.get(name));
        named.map(|&id| id.clone()).or_else(|| top_layer_id(members, image, &self.linked, false))
    }
}

/// What the document calls the image's top layer: the directory that holds it or a link to it, or else the digest
/// in its path. With `any_layout` false, only the former.
fn top_layer_id<S: Source + Clone>(
    members: &Members<S>,
    image: &Image,
    linked: &HashMap<usize, &str>,
    any_layout: bool,
) -> Option<String> {
    let top = image.layers.last()?;
    if let Some(directory) =
        top.path.strip_suffix("/layer.tar").filter(|directory| is_directory_of_layer(members, directory))
    {
        return Some(directory.trim_start_matches("./").to_owned());
    }
    if let Some(directory) = top.entry.and_then(|entry| linked.get(&entry)) {
        return Some(directory.trim_start_matches("./").to_owned());
    }
    // The top layer's diff ID, as Docker 25 and later have it.
    top.diff_id.as_deref()?.strip_prefix("sha256:").filter(|_| any_layout).map(str::to_owned)
}

fn is_directory_of_layer<S: Source + Clone>(members: &Members<S>, directory: &str) -> bool {
    members.index.find(&format!("{directory}/json")).is_some()
}

/// For each layer the last directory that has a link to it: skopeo and podman keep `<digest>.tar` and such
/// directories, in the layers' order.
fn linked_directories<S: Source + Clone>(members: &Members<S>) -> HashMap<usize, &str> {
    let links = members.index.entries().iter().filter(|entry| entry.kind == EntryKind::Symlink);
    links
        .filter_map(|entry| {
            let directory = entry.path.strip_suffix("/layer.tar")?;
            let layer = is_directory_of_layer(members, directory).then(|| members.resolve(&entry.path))??;
            Some((layer, directory))
        })
        .collect()
}
