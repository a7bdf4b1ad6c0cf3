//! What `docker save` writes since Docker 25 (moby `image/tarexport/save.go`, graph-driver store): an OCI layout beside
//! `manifest.json`.

use std::collections::{BTreeMap, HashSet};

use super::groups::{Group, preferred};
use super::oci::{index_json, put_blobs};
use super::packed::{Blob, Packed};
use super::tarball::{Content, Members, Meta, Tarball};
use super::v1;
use crate::digest::{blob_path, hex, sha256};
use crate::formats::oci::LAYOUT;
use crate::formats::oci_index::Style;
use crate::json;
use crate::model::Name;
use crate::recipe::Recipe;
use crate::source::Source;

pub(super) fn write<S: Source + Clone>(groups: &[Group<'_, S>]) -> Recipe<S> {
    let images = || groups.iter().flat_map(|group| &group.images);
    let mut blobs = Members::new();
    for image in images() {
        // Nothing refers to these, but Docker writes them, and its archives are to be met to the byte.
        for layer in v1::layers(image) {
            let path = format!("blobs/sha256/{}", hex(&sha256(layer.json.as_bytes())));
            let meta = Meta { mode: 0o644, mtime: image.created };
            blobs.insert(path, (meta, Content::Bytes(layer.json.into_bytes())));
        }
    }
    put_blobs(&mut blobs, groups, true);
    let items = preferred(groups);
    let created = images().next().map_or(0, |image| image.created);
    let folder = Meta { mode: 0o755, mtime: created };
    let listing = Meta { mode: 0o644, mtime: 0 };
    let mut tarball = Tarball::new();
    tarball.push("blobs/", folder, &Content::Directory);
    for algorithm in algorithms(&blobs) {
        tarball.push(&algorithm, folder, &Content::Directory);
    }
    tarball.push_all(&blobs);
    let index = index_json(groups, Style::Containerd);
    tarball.push("index.json", listing, &Content::Bytes(index.into_bytes()));
    let there: HashSet<&str> = items.iter().map(|(image, _)| image.id.as_str()).collect();
    let manifest = json::array_of(items.iter().map(|(image, names)| item(image, names, &there)));
    tarball.push("manifest.json", listing, &Content::Bytes((manifest + "\n").into_bytes()));
    let layout = br#"{"imageLayoutVersion": "1.0.0"}"#;
    tarball.push(LAYOUT, listing, &Content::Bytes(layout.to_vec()));
    let tops = items.iter().map(|(image, names)| {
        let top = image.layers.last().map_or("", |layer| hex(&layer.diff_id));
        (names.as_slice(), top.to_owned())
    });
    if let Some(repositories) = repositories(tops) {
        tarball.push("repositories", listing, &Content::Bytes(repositories.into_bytes()));
    }
    tarball.finish()
}

/// The folders of the blobs, one for each algorithm.
pub(super) fn algorithms<S>(blobs: &Members<S>) -> Vec<String> {
    let mut folders: Vec<String> = Vec::new();
    for path in blobs.keys() {
        let folder = path.rsplit_once('/').map_or(path.as_str(), |(folder, _)| folder);
        if folders.last().is_none_or(|last| last.trim_end_matches('/') != folder) {
            folders.push(format!("{folder}/"));
        }
    }
    folders
}

/// One image of `manifest.json`, which lists those that are `there`.
fn item<S: Source + Clone>(image: &Packed<S>, names: &[Name], there: &HashSet<&str>) -> String {
    let path = |digest: &str| blob_path(digest).unwrap_or_default();
    let layers = json::array_of(image.layers.iter().map(|layer| json::string(&path(&layer.digest))));
    let mut sources: BTreeMap<&str, String> = BTreeMap::new();
    for layer in &image.layers {
        sources.insert(&layer.diff_id, source(layer));
    }
    let sources: Vec<_> =
        sources.iter().map(|(diff_id, source)| format!("{}:{source}", json::string(diff_id))).collect();
    format!(
        r#"{{"Config":{},"RepoTags":{},"Layers":{layers}{},"LayerSources":{{{}}}}}"#,
        json::string(&path(&image.id)),
        tags(names),
        parent(image, there),
        sources.join(",")
    )
}

/// `Parent`, which Docker writes where the parent is in the same archive.
pub(super) fn parent<S>(image: &Packed<S>, there: &HashSet<&str>) -> String {
    let parent = image.parent.as_deref().filter(|parent| there.contains(parent) && *parent != image.id);
    parent.map(|parent| format!(r#","Parent":{}"#, json::string(parent))).unwrap_or_default()
}

/// A descriptor with its keys in the order of Docker's own struct.
fn source<S>(layer: &Blob<S>) -> String {
    let urls = layer.urls.as_ref().map(|urls| format!(r#","urls":{urls}"#)).unwrap_or_default();
    format!(
        r#"{{"mediaType":{},"size":{},"digest":{}{urls}}}"#,
        json::string(&layer.media_type),
        layer.size,
        json::string(&layer.digest)
    )
}

/// `RepoTags`: names as Docker prints them, `null` where there is none. Bare tags and names with a digest have no place there.
pub(super) fn tags(names: &[Name]) -> String {
    let tags: Vec<_> =
        tagged(names).map(|(repository, tag)| json::string(&format!("{repository}:{tag}"))).collect();
    if tags.is_empty() { "null".to_owned() } else { json::array_of(tags) }
}

/// Repository and tag, as Docker prints them, of the names that have both. Where there is a digest, too, the tag says nothing.
fn tagged(names: &[Name]) -> impl Iterator<Item = (String, &str)> {
    let mut seen = HashSet::new();
    names.iter().filter_map(move |name| {
        let reference = name.reference().filter(|reference| reference.digest().is_none())?;
        let tag = reference.tag()?;
        let familiar = reference.familiar_name();
        seen.insert((familiar.clone(), tag)).then_some((familiar, tag))
    })
}

/// `repositories`: the names, each with its top layer; `None` where there is no name.
pub(super) fn repositories<'a>(images: impl Iterator<Item = (&'a [Name], String)>) -> Option<String> {
    let mut repositories: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for (names, top) in images {
        for (repository, tag) in tagged(names) {
            repositories.entry(repository).or_default().insert(tag.to_owned(), top.clone());
        }
    }
    if repositories.is_empty() {
        return None;
    }
    serde_json::to_string(&repositories).ok().map(|text| text + "\n")
}
