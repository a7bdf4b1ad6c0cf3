//! The documents of an OCI image layout, as they stand in one or as they are made.

use std::rc::Rc;

use super::packed::Blob;
use crate::archive::Archive;
use crate::digest::{Algorithm, blob_path, sha256};
use crate::formats;
use crate::json;
use crate::source::Source;

pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// A manifest or an index.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    pub(crate) media_type: String,
    pub(crate) digest: String,
    pub(crate) bytes: Rc<[u8]>,
}

/// A manifest or an index of a layout, as it stands there.
pub(crate) fn original<S: Source + Clone>(archive: &Archive<S>, digest: &str) -> Option<Document> {
    let members = &archive.members;
    let bytes = members.document(members.index.resolve(&blob_path(digest)?)?).ok()?;
    let object = json::Object::parse(json::first_value(&bytes).ok()?.value)?;
    // What is not what its name says cannot be listed by that name again.
    let is_true = Algorithm::of(digest).is_some_and(|algorithm| algorithm.digest(&bytes) == digest);
    let fallback = if object.get("manifests").is_some() { OCI_INDEX } else { OCI_MANIFEST };
    let media_type = object.read("mediaType").unwrap_or_else(|| fallback.to_owned());
    is_true.then(|| Document { media_type, digest: digest.to_owned(), bytes: bytes.clone() })
}

/// The manifest of an image that has none, as Docker 25 and later write it.
pub(super) fn manifest<S>(id: &str, config: u64, layers: &[Blob<S>]) -> Document {
    let layers = layers.iter().map(|layer| {
        let field = |key: &str, value: &Option<String>| {
            value.as_ref().map(|value| format!(r#","{key}":{value}"#)).unwrap_or_default()
        };
        let (urls, annotations) = (field("urls", &layer.urls), field("annotations", &layer.annotations));
        format!(
            r#"{{"mediaType":{},"digest":{},"size":{}{urls}{annotations}}}"#,
            json::string(&layer.media_type),
            json::string(&layer.digest),
            layer.size
        )
    });
    let text = format!(
        r#"{{"schemaVersion":2,"mediaType":"{OCI_MANIFEST}","config":{},"layers":{}}}"#,
        descriptor(OCI_CONFIG, id, config, &[]),
        json::array_of(layers)
    );
    Document {
        media_type: OCI_MANIFEST.to_owned(),
        digest: sha256(text.as_bytes()),
        bytes: text.into_bytes().into(),
    }
}

/// A descriptor as JSON text.
pub(crate) fn descriptor(
    media_type: &str,
    digest: &str,
    size: u64,
    annotations: &[(&str, String)],
) -> String {
    let pair = |(key, value): &(&str, String)| format!("{}:{}", json::string(key), json::string(value));
    let pairs: Vec<_> = annotations.iter().map(pair).collect();
    let annotations =
        if pairs.is_empty() { String::new() } else { format!(r#","annotations":{{{}}}"#, pairs.join(",")) };
    format!(
        r#"{{"mediaType":{},"digest":{},"size":{size}{annotations}}}"#,
        json::string(media_type),
        json::string(digest)
    )
}

/// The manifest of a layout with that digest, whatever its bytes' own is.
pub(crate) fn manifest_of<S: Source + Clone>(
    archive: &Archive<S>,
    digest: &str,
) -> Option<formats::oci::Manifest> {
    let members = &archive.members;
    let bytes = members.document(members.index.resolve(&blob_path(digest)?)?).ok()?;
    formats::oci::Manifest::read(&json::Object::parse(json::first_value(&bytes).ok()?.value)?)
}
