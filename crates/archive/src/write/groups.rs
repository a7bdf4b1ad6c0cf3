//! Images that are one for several platforms: what leads to them in their archives, and which of them go out together.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use super::Target;
use super::document::{Document, original};
use super::oci;
use super::packed::Packed;
use crate::archive::Archive;
use crate::digest::blob_path;
use crate::error::{Code, Error, Result};
use crate::formats::{self, oci_index};
use crate::json;
use crate::model::{Image, Name};
use crate::recipe::Recipe;
use crate::source::Source;

/// What leads to an image in its archive: an index that lists it, or a descriptor of its own.
pub(crate) struct Root<S> {
    pub(crate) index: Option<Rc<Index<S>>>,
    /// The names that lead to it that way.
    pub(crate) names: Vec<Name>,
}

/// An index of images for several platforms.
pub(crate) struct Index<S> {
    pub(crate) digest: String,
    /// `None` where it is not what its digest says.
    pub(crate) document: Option<Document>,
    /// What it says, or an index below it, of each image, by its manifest's digest: a descriptor.
    pub(super) descriptors: HashMap<String, String>,
    /// The digests of all that it lists, in order.
    pub(crate) leaves: Vec<String>,
    /// The digests of all images that it lists and the archive holds.
    pub(super) images: Vec<String>,
    /// All that it leads to: attestations, mostly, beside the images. By their paths.
    pub(crate) blobs: Vec<(String, Recipe<S>)>,
}

/// The roots of an image, with the names of each in no order.
type Found<S> = Vec<(Option<Rc<Index<S>>>, HashSet<Name>)>;

/// What leads to each image of an archive.
pub(crate) fn roots<S: Source + Clone>(archive: &Archive<S>) -> Vec<Vec<Root<S>>> {
    let images = archive.images();
    let listing = archive.members.listing(oci_index::PATH).and_then(Result::ok);
    let tops = listing.map(|listing| oci_index::tops(&archive.members, &listing.bytes, images));
    let mut indexes: HashMap<String, Option<Rc<Index<S>>>> = HashMap::new();
    let mut found: Vec<Found<S>> = images.iter().map(|_| Vec::new()).collect();
    // The roots of each image, by their digests.
    let mut places: HashMap<(usize, String), usize> = HashMap::new();
    let mut listed: HashSet<(&str, Name)> = HashSet::new();
    for top in tops.into_iter().flatten() {
        let index =
            indexes.entry(top.digest.clone()).or_insert_with(|| Some(Rc::new(index_of(archive, &top)?)));
        for &number in &top.images {
            let (Some(image), Some(roots)) = (images.get(number), found.get_mut(number)) else { continue };
            let index = index.clone().filter(|_| image.digest.as_ref() != Some(&top.digest));
            let place = index.as_ref().map(|index| index.digest.clone()).unwrap_or_default();
            let place = *places.entry((number, place)).or_insert(roots.len());
            if roots.len() == place {
                roots.push((index, HashSet::new()));
            }
            if let (Some((_, names)), Some(name)) = (roots.get_mut(place), &top.name) {
                listed.insert((&image.id, name.clone()));
                names.insert(name.clone());
            }
        }
    }
    let of_image = |(image, found): (&Image, Found<S>)| {
        let mut roots: Vec<Root<S>> = Vec::new();
        for (index, names) in found {
            roots.push(Root {
                index,
                names: image.names.iter().filter(|name| names.contains(name)).cloned().collect(),
            });
        }
        if roots.is_empty() {
            roots.push(Root { index: None, names: Vec::new() });
        }
        // Names that manifest.json alone gives. One that index.json gives to the same image with another manifest
        // is that one's.
        let rest = image
            .names
            .iter()
            .filter(|name| !listed.contains(&(image.id.as_str(), (*name).clone())))
            .cloned();
        let own = roots
            .iter()
            .position(|root| root.index.as_ref().map(|index| &index.digest) == image.index.as_ref());
        if let Some(root) = roots.get_mut(own.unwrap_or(0)) {
            root.names.extend(rest);
        }
        roots
    };
    images.iter().zip(found).map(of_image).collect()
}

/// The index that lists an image with those for other platforms; `None` where it is no index.
fn index_of<S: Source + Clone>(archive: &Archive<S>, top: &oci_index::Top) -> Option<Index<S>> {
    let members = &archive.members;
    let bytes = members.document(members.index.resolve(&blob_path(&top.digest)?)?).ok()?;
    json::Object::parse(json::first_value(&bytes).ok()?.value)?.get("manifests")?;
    let leaves = top.leaves.iter().map(|leaf| &leaf.descriptor);
    let stored = |(digest, entry): (String, usize)| {
        let member = members.entry(entry)?;
        let mut stored = Recipe::default();
        stored.push_slice(archive.recipe(), member.data..member.data + member.size);
        Some((blob_path(&digest)?, stored))
    };
    let mut blobs: Vec<_> = formats::oci::reachable(members, &bytes).into_iter().filter_map(stored).collect();
    blobs.sort_by(|(one, _), (two, _)| one.cmp(two));
    Some(Index {
        digest: top.digest.clone(),
        document: original(archive, &top.digest),
        leaves: leaves.clone().map(|leaf| leaf.digest.clone()).collect(),
        descriptors: leaves.map(|leaf| (leaf.digest.clone(), leaf.text.clone())).collect(),
        images: top.images.iter().filter_map(|&image| archive.images().get(image)?.digest.clone()).collect(),
        blobs,
    })
}

/// One image, or those of one index.
pub(super) struct Group<'a, S> {
    pub(super) images: Vec<&'a Packed<S>>,
    pub(super) names: Vec<Name>,
    /// Its own index if all of it is there, else one of the images that are. `None` where one image stands for itself.
    pub(super) index: Option<Document>,
    /// What a whole index leads to.
    pub(super) blobs: Vec<&'a (String, Recipe<S>)>,
}

impl<'a, S: Source + Clone> Group<'a, S> {
    fn new(images: Vec<&'a Packed<S>>, names: Vec<Name>) -> Self {
        // The same index of two archives, each of which may hold other images of it.
        let mut indexes: Vec<&'a Rc<Index<S>>> = Vec::new();
        for index in images.iter().filter_map(|image| image.index.as_ref()) {
            if !indexes.iter().any(|known| Rc::ptr_eq(known, index)) {
                indexes.push(index);
            }
        }
        let there: HashSet<&str> = images.iter().map(|image| image.manifest.digest.as_str()).collect();
        let wanted = || indexes.iter().flat_map(|index| &index.images);
        let whole = indexes.first().and_then(|index| index.document.clone());
        let whole = whole.filter(|_| wanted().all(|digest| there.contains(digest.as_str())));
        let blobs = if whole.is_some() {
            indexes.iter().flat_map(|index| &index.blobs).collect()
        } else {
            Vec::new()
        };
        let original = || indexes.iter().find_map(|index| index.document.as_ref());
        let index = whole.or_else(|| (images.len() > 1).then(|| oci::index_of(&images, original())));
        Self { images, names, index, blobs }
    }

    /// The image that the names mean to a reader of one platform.
    pub(super) fn preferred(&self) -> Option<&'a Packed<S>> {
        self.images.iter().find(|image| image.is_common).or_else(|| self.images.first()).copied()
    }

    /// What an index lists for it.
    pub(super) fn top(&self) -> Option<&Document> {
        self.index.as_ref().or_else(|| Some(&self.images.first()?.manifest))
    }
}

/// The images that `manifest.json` lists, each once, with their names: those that the names mean to a reader of one
/// platform.
pub(super) fn preferred<'a, S: Source + Clone>(groups: &[Group<'a, S>]) -> Vec<(&'a Packed<S>, Vec<Name>)> {
    let mut items: Vec<(&Packed<S>, Vec<Name>)> = Vec::new();
    let mut known: HashMap<&str, usize> = HashMap::new();
    for group in groups {
        let Some(image) = group.preferred() else { continue };
        let at = *known.entry(&image.id).or_insert(items.len());
        match items.get_mut(at) {
            Some((_, names)) => names.extend(group.names.iter().cloned()),
            None => items.push((image, group.names.clone())),
        }
    }
    items
}

/// Puts the images of one index together, in the order of the first of each.
pub(super) fn groups<S: Source + Clone>(images: &[Packed<S>], target: Target) -> Result<Vec<Group<'_, S>>> {
    let mut grouped: Vec<Vec<&Packed<S>>> = Vec::new();
    let mut known: HashMap<&str, usize> = HashMap::new();
    for image in images {
        let free = grouped.len();
        let at = image.index.as_ref().map_or(free, |index| *known.entry(&index.digest).or_insert(free));
        match grouped.get_mut(at) {
            Some(group) => group.push(image),
            None => grouped.push(vec![image]),
        }
    }
    let names = names(&grouped, target)?;
    Ok(grouped.into_iter().zip(names).map(|(images, names)| Group::new(images, names)).collect())
}

/// The names of each group, each once.
///
/// Two groups may have the same name where all images of one are in the other, too: it is that one's, then. Otherwise only a
/// store takes both.
fn names<S>(groups: &[Vec<&Packed<S>>], target: Target) -> Result<Vec<Vec<Name>>> {
    let ids = |group: &[&Packed<S>]| group.iter().map(|image| image.id.clone()).collect::<HashSet<String>>();
    // The last group with each name, and those before it that have it too.
    let mut owners: HashMap<&Name, (usize, HashSet<usize>)> = HashMap::new();
    // Groups that share one name often share many.
    let mut keepers: HashMap<(usize, usize), Option<usize>> = HashMap::new();
    for (number, group) in groups.iter().enumerate() {
        for name in group.iter().flat_map(|image| &image.names) {
            let (owner, others) = owners.entry(name).or_insert_with(|| (number, HashSet::new()));
            if *owner == number {
                continue;
            }
            let keeper = *keepers.entry((*owner, number)).or_insert_with(|| {
                let (first, second) = (ids(groups.get(*owner)?), ids(group));
                let keeper = if first.is_superset(&second) { Some(*owner) } else { None };
                keeper.or_else(|| second.is_superset(&first).then_some(number))
            });
            if keeper.is_none() && target != Target::Store {
                let sentence = format!("Two images have the name {name}.");
                return Err(
                    Error::new(Code::DuplicateReference, sentence).with("reference", name.to_string())
                );
            }
            if keeper.is_none() {
                others.insert(*owner);
            }
            *owner = keeper.unwrap_or(number);
        }
    }
    let own = |(number, group): (usize, &Vec<&Packed<S>>)| {
        let is_owned = |name: &Name| {
            owners.get(name).is_some_and(|(owner, others)| *owner == number || others.contains(&number))
        };
        let mut seen = HashSet::new();
        let all = group.iter().flat_map(|image| &image.names);
        all.filter(|name| is_owned(name) && seen.insert(*name)).cloned().collect()
    };
    Ok(groups.iter().enumerate().map(own).collect())
}
