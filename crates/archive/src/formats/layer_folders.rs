//! The folders that Docker 1.9 reads, one for each layer: its tar or a link to it, and a `json` that says which folder is
//! below it. All writers up to Docker 24 leave them beside `manifest.json`.

use std::collections::{BTreeSet, HashMap};

use super::repositories::Tops;
use crate::archive::Archive;
use crate::digest::{hex, sha256};
use crate::error::Result;
use crate::json::{self, Object};
use crate::members::{Members, Place};
use crate::model::{Image, Name};
use crate::relayer::{NewLayer, slots};
use crate::source::Source;
use crate::tar::{EntryKind, NewContent, normal};

/// What becomes of the folders of an image that is edited.
pub(crate) struct Folders<S> {
    pub(crate) changed: Vec<(Place, NewContent<S>)>,
    /// Members that give way, whatever they are.
    pub(crate) gone: BTreeSet<usize>,
    /// The paths of layers in folders that `manifest.json` names, by the numbers that the layers had.
    pub(crate) paths: HashMap<usize, String>,
    /// What `repositories` gives the image's names, where that is something else now.
    pub(crate) top: Option<String>,
}

impl<S> Default for Folders<S> {
    fn default() -> Self {
        Self { changed: Vec::new(), gone: BTreeSet::new(), paths: HashMap::new(), top: None }
    }
}

/// The folders of an image's layers, bottom first, of which each names the one below; `None` where these are not as many.
fn chain<S: Source + Clone>(members: &Members<S>, image: &Image, top: &str) -> Option<Vec<String>> {
    let mut folders = Vec::with_capacity(image.layers.len());
    let mut next = Some(top.to_owned());
    while let Some(folder) = next {
        if folders.len() >= image.layers.len() {
            return None;
        }
        let bytes = members.document(members.resolve(&format!("{folder}/json"))?).ok()?;
        next = Object::parse(json::first_value(&bytes).ok()?.value)?.read("parent");
        folders.push(folder);
    }
    folders.reverse();
    (folders.len() == image.layers.len()).then_some(folders)
}

/// The folders of the image with that ID when it has another config, and other layers; `known` is what
/// `repositories` says.
///
/// A folder that no other image has stays where it is, with another content: its name is nobody's digest. Fails as reading
/// new layers does.
pub(crate) fn rework<S: Source + Clone>(
    archive: &Archive<S>,
    id: &str,
    config: &[u8],
    known: &[(Name, String)],
    new: &[NewLayer<S>],
    path_of: impl Fn(&Image, usize, &NewLayer<S>) -> String,
) -> Result<Folders<S>> {
    let members = &archive.members;
    let mut done = Folders::default();
    let (own, others): (Vec<&Image>, Vec<&Image>) = archive.images().iter().partition(|image| image.id == id);
    let tops = Tops::new(members, known);
    let top_of = |image: &Image| tops.of(members, image);
    let Some((image, top)) = own.iter().find_map(|&image| Some((image, top_of(image)?))) else {
        done.top = digest_of_top(&own, known, new);
        return Ok(done);
    };
    let folders = match chain(members, image, &top) {
        Some(folders) => folders,
        None if new.is_empty() => vec![top.clone()],
        None => {
            done.top = digest_of_top(&own, known, new);
            done.gone = leading_to(members, &own, &others, new);
            return Ok(done);
        }
    };
    let of_others: BTreeSet<String> = others
        .iter()
        .filter_map(|image| Some((image, top_of(image)?)))
        .flat_map(|(image, top)| chain(members, image, &top).unwrap_or_else(|| vec![top]))
        .collect();
    let offset = image.layers.len().saturating_sub(folders.len());
    let all = slots(image.layers.len(), new);
    let is_kept = |&&(_, new): &&(usize, Option<&NewLayer<S>>)| new.is_none();
    let kept = all.iter().filter(is_kept).filter_map(|(number, _)| image.layers.get(*number)?.entry);
    let needed: BTreeSet<usize> =
        kept.chain(others.iter().flat_map(|image| &image.layers).filter_map(|layer| layer.entry)).collect();
    let mut below: Option<String> = None;
    for &(number, layer) in all.iter().filter(|(number, _)| *number >= offset) {
        let (Some(folder), Some(old)) = (folders.get(number - offset), image.layers.get(number)) else {
            continue;
        };
        let is_top = number + 1 == image.layers.len();
        let Some((entry, bytes)) = document(members, folder) else { continue };
        let Ok(first) = json::first_value(&bytes) else { continue };
        let Some(mut object) = Object::parse(first.value) else { continue };
        let moves = offset == 0 && object.read::<String>("parent") != below;
        let tar = format!("{folder}/layer.tar");
        let is_inside = normal(&old.path) == normal(&tar);
        let is_own = !of_others.contains(folder)
            && (layer.is_none() || !is_inside || old.entry.is_none_or(|entry| !needed.contains(&entry)));
        if !moves && layer.is_none() && !(is_top && is_own) {
            below = Some(folder.clone());
            continue;
        }
        if moves {
            match &below {
                Some(below) => object.set("parent", &json::string(below)),
                None => object.remove("parent"),
            }
        }
        if is_top {
            with_container(&mut object, config);
        }
        let name = if is_own {
            folder.clone()
        } else {
            let content = layer.map_or("", |layer| layer.digest.as_str());
            let name = sha256(format!("{folder} {content} {}", object.to_json()).as_bytes());
            hex(&name).to_owned()
        };
        let path = format!("{name}/layer.tar");
        if !is_own {
            object.set("id", &json::string(&name));
            done.changed.push((Place::New(format!("{name}/VERSION")), b"1.0".to_vec().into()));
        }
        let json = first.with_value(&object.to_json());
        let place = if is_own { Place::At(entry) } else { Place::New(format!("{name}/json")) };
        done.changed.push((place, json.into()));
        let content = match layer {
            Some(layer) if is_inside => {
                done.paths.insert(number, path.clone());
                Some(NewContent::stored(layer.data.clone())?)
            }
            Some(layer) => Some(NewContent::link(&format!("../{}", path_of(image, number, layer)))),
            None if is_own => None,
            None => Some(NewContent::link(&format!("../{}", normal(&old.path)))),
        };
        if let Some(content) = content {
            done.gone.extend(members.index.find(&tar).filter(|_| is_own));
            done.changed.push((Place::New(path), content));
        }
        below = Some(name);
    }
    done.top = below.filter(|below| *below != top);
    // The folders of layers that became one with others.
    let is_there = |number: &usize| all.iter().any(|(kept, _)| kept == number);
    for (_, folder) in (offset..).zip(&folders).filter(|(number, _)| !is_there(number)) {
        let found = members_of(members, folder);
        done.gone.extend(found.filter(|entry| !of_others.contains(folder) && !needed.contains(entry)));
    }
    Ok(done)
}

/// Folders that lead to layers which are no more, where nobody knows which is below which, as in some of podman's.
fn leading_to<S: Source + Clone>(
    members: &Members<S>,
    own: &[&Image],
    others: &[&Image],
    new: &[NewLayer<S>],
) -> BTreeSet<usize> {
    let is_new = |number: &usize| new.iter().any(|new| new.range().contains(number));
    let layers = |image: &&Image| -> Vec<(bool, usize)> {
        let layers = image.layers.iter().enumerate();
        layers.filter_map(|(number, layer)| Some((is_new(&number), layer.entry?))).collect()
    };
    let (mut replaced, mut needed) = (BTreeSet::new(), BTreeSet::new());
    for (is_replaced, entry) in own.iter().flat_map(layers) {
        if is_replaced {
            replaced.insert(entry)
        } else {
            needed.insert(entry)
        };
    }
    needed.extend(others.iter().flat_map(|image| &image.layers).filter_map(|layer| layer.entry));
    let mut gone = BTreeSet::new();
    for entry in members.index.entries().iter().filter(|entry| entry.kind == EntryKind::Symlink) {
        let Some(folder) = entry.path.strip_suffix("/layer.tar") else { continue };
        let leads =
            members.resolve(&entry.path).is_some_and(|to| replaced.contains(&to) && !needed.contains(&to));
        if leads {
            gone.extend(members_of(members, folder));
        }
    }
    gone
}

/// What a folder has, and the folder.
fn members_of<S: Source + Clone>(members: &Members<S>, folder: &str) -> impl Iterator<Item = usize> {
    ["", "/json", "/VERSION", "/layer.tar"]
        .into_iter()
        .filter_map(move |name| members.index.find(&format!("{folder}{name}")))
}

fn document<S: Source + Clone>(members: &Members<S>, folder: &str) -> Option<(usize, std::rc::Rc<[u8]>)> {
    let entry = members.resolve(&format!("{folder}/json"))?;
    Some((entry, members.document(entry).ok()?))
}

/// What Docker 25 and later write in place of a folder: the digest of the top layer.
fn digest_of_top<S>(own: &[&Image], known: &[(Name, String)], new: &[NewLayer<S>]) -> Option<String> {
    let image = own.first()?;
    let old = image.layers.last()?.diff_id.as_deref()?.strip_prefix("sha256:")?;
    let is_listed = known.iter().any(|(name, top)| image.names.contains(name) && top == old);
    let top = new.iter().find(|new| new.range().end == image.layers.len())?;
    top.diff_id.strip_prefix("sha256:").filter(|_| is_listed).map(str::to_owned)
}

/// What the top layer's `json` says of the container, as the config says it.
fn with_container(object: &mut Object<'_>, config: &[u8]) {
    let Some(config) = json::first_value(config).ok().and_then(|config| Object::parse(config.value)) else {
        return;
    };
    for key in ["config", "author", "created"] {
        match config.get(key) {
            Some(value) => object.set(key, value),
            None => object.remove(key),
        }
    }
}
