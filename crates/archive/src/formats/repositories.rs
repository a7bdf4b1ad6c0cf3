//! `repositories`: names by repository and tag, each with the ID of the image's top layer (Docker up to 1.9; written
//! ever since, by Docker up to 28 and by skopeo and podman).

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
    let mut wanted: Vec<(&Name, String)> = Vec::new();
    for (image, names) in images.iter().zip(names) {
        let known = present.iter().find(|(name, _)| image.names.contains(name)).map(|(_, id)| id.clone());
        // Without a document, only readers that know layer directories alone would look for it.
        let top = known.or_else(|| top_layer_id(members, image, bytes.is_some()));
        wanted.extend(names.iter().filter_map(|name| Some((name, top.clone()?))));
    }
    // Docker gives a name that several images have to the last of them.
    let wanted_id = |name: &Name| wanted.iter().rev().find(|(wanted, _)| *wanted == name).map(|(_, id)| id);

    let mut repositories = Object::parse(document.value)?;
    let mut changed = false;
    let mut update =
        |repositories: &mut Object<'_>, repository: &str, edit: &mut dyn FnMut(&mut Object<'_>)| {
            let text = repositories.get(repository).unwrap_or("{}").to_owned();
            let mut tags = Object::parse(&text).unwrap_or_default();
            edit(&mut tags);
            if tags.is_empty() {
                repositories.remove(repository);
            } else {
                repositories.set(repository, &tags.to_json());
            }
            changed = true;
        };
    for (name, id) in &present {
        let Some((repository, tag)) = name.text().rsplit_once(':') else { continue };
        match wanted_id(name) {
            Some(wanted) if wanted == id => {}
            Some(wanted) => {
                update(&mut repositories, repository, &mut |tags| tags.set(tag, &json::string(wanted)));
            }
            None => update(&mut repositories, repository, &mut |tags| tags.remove(tag)),
        }
    }
    for (name, id) in &wanted {
        if present.iter().any(|(present, _)| present == *name) {
            continue;
        }
        // A name with a digest has no place here.
        let Some((repository, tag)) = name.text().rsplit_once(':').filter(|(name, _)| !name.contains('@'))
        else {
            continue;
        };
        update(&mut repositories, repository, &mut |tags| tags.set(tag, &json::string(id)));
    }
    changed.then(|| document.with_value(&repositories.to_json()))
}

/// What the document calls the image's top layer: the directory that holds it or a link to it, or else the digest
/// in its path. With `any_layout` false, only the former.
fn top_layer_id<S: Source + Clone>(members: &Members<S>, image: &Image, any_layout: bool) -> Option<String> {
    let top = image.layers.last()?;
    let is_directory_of_layer = |directory: &str| members.index.find(&format!("{directory}/json")).is_some();
    if let Some(directory) =
        top.path.strip_suffix("/layer.tar").filter(|directory| is_directory_of_layer(directory))
    {
        return Some(directory.trim_start_matches("./").to_owned());
    }
    // skopeo and podman keep `<digest>.tar` and directories with links to it, in the layers' order.
    let directories = members.index.entries().iter().rev().filter(|entry| entry.kind == EntryKind::Symlink);
    for entry in directories {
        let Some(directory) = entry.path.strip_suffix("/layer.tar") else { continue };
        if is_directory_of_layer(directory) && members.index.resolve(&entry.path) == top.entry {
            return Some(directory.trim_start_matches("./").to_owned());
        }
    }
    // The top layer's diff ID, as Docker 25 and later have it.
    top.diff_id.as_deref()?.strip_prefix("sha256:").filter(|_| any_layout).map(str::to_owned)
}
