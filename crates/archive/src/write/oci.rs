//! An OCI image layout in a tar.

use super::docker::algorithms;
use super::document::{Document, OCI_INDEX, descriptor};
use super::groups::Group;
use super::packed::Packed;
use super::tarball::{Content, Members, Meta, Tarball, bytes_of};
use crate::digest::blob_path;
use crate::formats::oci::LAYOUT;
use crate::formats::oci_index::{Style, annotations_of};
use crate::json;
use crate::recipe::Recipe;
use crate::rework::redirected;
use crate::source::Source;

pub(super) fn write<S: Source + Clone>(groups: &[Group<'_, S>]) -> Recipe<S> {
    let mut blobs = Members::new();
    put_blobs(&mut blobs, groups, false);
    let folder = Meta { mode: 0o755, mtime: 0 };
    let file = Meta { mode: 0o644, mtime: 0 };
    let mut tarball = Tarball::new();
    tarball.push("blobs/", folder, &Content::Directory);
    for algorithm in algorithms(&blobs) {
        tarball.push(&algorithm, folder, &Content::Directory);
    }
    tarball.push_all(&blobs);
    let index = index_json(groups, Style::Both);
    tarball.push("index.json", file, &Content::Bytes(index.into_bytes()));
    let layout = br#"{"imageLayoutVersion":"1.0.0"}"#;
    tarball.push(LAYOUT, file, &Content::Bytes(layout.to_vec()));
    tarball.finish()
}

/// Puts every blob of the images in its place; with `times`, as Docker gives them times and modes.
pub(super) fn put_blobs<S: Source + Clone>(blobs: &mut Members<S>, groups: &[Group<'_, S>], times: bool) {
    let mut put = |digest: &str, mode: u32, mtime: u64, content: Content<S>| {
        if let Some(path) = blob_path(digest) {
            blobs.insert(path, (Meta { mode, mtime: if times { mtime } else { 0 } }, content));
        }
    };
    for group in groups {
        for image in &group.images {
            let created = image.created;
            put(&image.id, 0o644, created, Content::Stored(bytes_of(&image.config)));
            put(&image.manifest.digest, 0o644, 0, Content::Stored(bytes_of(&image.manifest.bytes)));
            for layer in &image.layers {
                if let Some(content) = &layer.content {
                    put(
                        &layer.digest,
                        if times { 0o666 } else { 0o644 },
                        created,
                        Content::Stored(content.clone()),
                    );
                }
            }
        }
        if let Some(index) = &group.index {
            put(&index.digest, 0o644, 0, Content::Stored(bytes_of(&index.bytes)));
        }
    }
    // What a whole index leads to beside its images.
    for (path, content) in groups.iter().flat_map(|group| &group.blobs) {
        let meta = Meta { mode: 0o644, mtime: 0 };
        blobs.entry(path.clone()).or_insert_with(|| (meta, Content::Stored(content.clone())));
    }
}

/// An index of some images for several platforms; all else as in the one that they came with.
pub(super) fn index_of<S>(images: &[&Packed<S>], original: Option<&Document>) -> Document {
    let own = json::array_of(images.iter().copied().map(listed));
    original.and_then(|original| original.with_manifests(&own)).unwrap_or_else(|| {
        Document::new(
            OCI_INDEX,
            format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":{own}}}"#),
        )
    })
}

/// An image's descriptor in the index of its group: the one that it came with, of the manifest that it has now.
fn listed<S>(image: &Packed<S>) -> String {
    let text = image.index.as_ref().and_then(|index| index.descriptors.get(image.digest.as_ref()?));
    let mut descriptor = text.and_then(|text| json::Object::parse(text)).unwrap_or_default();
    descriptor.set("mediaType", &json::string(&image.manifest.media_type));
    let text = descriptor.to_json();
    if image.digest.as_ref() == Some(&image.manifest.digest) {
        return text;
    }
    redirected(&text, &image.manifest.digest, image.manifest.bytes.len())
}

/// `index.json`: a descriptor for each name, and one without a name for what has none.
pub(super) fn index_json<S: Source + Clone>(groups: &[Group<'_, S>], style: Style) -> String {
    let mut descriptors = Vec::new();
    for group in groups {
        let Some(top) = group.top() else { continue };
        let of = |annotations: &[(&str, String)]| {
            descriptor(&top.media_type, &top.digest, top.bytes.len(), annotations)
        };
        descriptors.extend(group.names.iter().map(|name| of(&annotations_of(name, style))));
        if group.names.is_empty() {
            descriptors.push(of(&[]));
        }
    }
    format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":{}}}"#, json::array_of(descriptors))
}
