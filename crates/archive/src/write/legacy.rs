//! What `docker save` of Docker 1.10 to 24 wrote: the lexical walk of a directory with one folder for each layer.

use std::collections::{HashMap, HashSet};

use super::docker::{parent, repositories, tags};
use super::groups::{Group, preferred};
use super::packed::Packed;
use super::tarball::{Content, Members, Meta, Tarball};
use super::v1;
use crate::error::{Code, Error, Result};
use crate::json;
use crate::model::Name;
use crate::recipe::Recipe;
use crate::source::Source;

pub(super) fn write<S: Source + Clone>(images: &[Packed<S>], groups: &[Group<'_, S>]) -> Result<Recipe<S>> {
    // Of the images for several platforms, one has the names: this layout has no place for an index.
    let mut by_id: HashMap<&str, Vec<Name>> =
        preferred(groups).into_iter().map(|(image, names)| (image.id.as_str(), names)).collect();
    let mut members: Members<S> = Members::new();
    let mut stored: HashMap<&str, String> = HashMap::new();
    let mut items = Vec::new();
    let mut tops: Vec<(Vec<Name>, String)> = Vec::new();
    let there: HashSet<&str> = images.iter().map(|image| image.id.as_str()).collect();
    let mut known = HashSet::new();
    for image in images.iter().filter(|image| known.insert(&image.id)) {
        let names = by_id.remove(image.id.as_str()).unwrap_or_default();
        let meta = |mode: u32| Meta { mode, mtime: image.created };
        let mut paths = Vec::new();
        let mut top = String::new();
        for (layer, v1) in image.layers.iter().zip(v1::layers(image)) {
            let folder = format!("{}/", v1.id);
            let path = format!("{folder}layer.tar");
            paths.push(path.clone());
            top.clone_from(&v1.id);
            if members.contains_key(&folder) {
                continue;
            }
            let content = match (stored.get(layer.diff_id.as_str()), &layer.content) {
                (Some(first), _) => Content::Link(format!("../{first}")),
                (None, Some(content)) => Content::Stored(content.clone()),
                (None, None) => {
                    let sentence = "A layer that may not be distributed is not in the archive: save it as docker or oci.";
                    return Err(
                        Error::new(Code::MissingEntry, sentence).with("digest", layer.digest.as_str())
                    );
                }
            };
            let mode = if matches!(content, Content::Link(_)) { 0o777 } else { 0o644 };
            stored.entry(&layer.diff_id).or_insert_with(|| path.clone());
            members.insert(format!("{folder}VERSION"), (meta(0o644), Content::Bytes(b"1.0".to_vec())));
            members.insert(format!("{folder}json"), (meta(0o644), Content::Bytes(v1.json.into_bytes())));
            members.insert(path, (meta(mode), content));
            members.insert(folder, (meta(0o755), Content::Directory));
        }
        let config = format!("{}.json", image.id.rsplit(':').next().unwrap_or_default());
        items.push(format!(
            r#"{{"Config":{},"RepoTags":{},"Layers":{}{}}}"#,
            json::string(&config),
            tags(&names),
            json::array_of(paths.iter().map(|path| json::string(path))),
            parent(image, &there)
        ));
        members.insert(config, (meta(0o644), Content::Bytes(image.config.to_vec())));
        tops.push((names, top));
    }
    let listing = Meta { mode: 0o644, mtime: 0 };
    let mut tarball = Tarball::legacy();
    tarball.push_all(&members);
    tarball.push("manifest.json", listing, &Content::Bytes((json::array_of(items) + "\n").into_bytes()));
    if let Some(repositories) = repositories(tops.iter().map(|(names, top)| (names.as_slice(), top.clone())))
    {
        tarball.push("repositories", listing, &Content::Bytes(repositories.into_bytes()));
    }
    Ok(tarball.finish())
}
