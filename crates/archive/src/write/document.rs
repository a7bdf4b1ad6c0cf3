//! The documents of an OCI image layout, as they stand in one or as they are made.

use std::rc::Rc;

use super::packed::Blob;
use crate::archive::Archive;
use crate::digest::{Algorithm, blob_path, sha256};
use crate::formats;
use crate::json;
use crate::rework::redirected;
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

impl Document {
    pub(super) fn new(media_type: &str, text: String) -> Self {
        let digest = sha256(text.as_bytes());
        Self { media_type: media_type.to_owned(), digest, bytes: text.into_bytes().into() }
    }

    fn object(&self) -> Option<json::Object<'_>> {
        json::Object::parse(json::first_value(&self.bytes).ok()?.value)
    }

    /// The manifest, of the OCI's type, with another config or other layers. What else it says stays.
    pub(super) fn with_parts<S>(
        &self,
        stated: &formats::oci::Manifest,
        (id, config): (&str, u64),
        layers: &[Blob<S>],
    ) -> Option<Self> {
        let mut object = self.object().filter(|_| self.media_type == OCI_MANIFEST)?;
        object.set("config", &redirected(&stated.config.text, id, config));
        let of = |(number, layer): (usize, &Blob<S>)| {
            let old = stated.layers.get(number).filter(|old| old.digest == layer.digest);
            let old = old.filter(|old| old.media_type == layer.media_type);
            old.map_or_else(|| layer.descriptor(), |old| old.text.clone())
        };
        object.set("layers", &json::array_of(layers.iter().enumerate().map(of)));
        Some(Self::new(OCI_MANIFEST, object.to_json()))
    }

    /// The index, of the OCI's type, of other manifests. What else it says stays.
    pub(super) fn with_manifests(&self, manifests: &str) -> Option<Self> {
        let mut object = self.object().filter(|_| self.media_type == OCI_INDEX)?;
        object.set("manifests", manifests);
        Some(Self::new(OCI_INDEX, object.to_json()))
    }
}

/// The manifest of an image that has none, as Docker 25 and later write it.
pub(super) fn manifest<S>(id: &str, config: u64, layers: &[Blob<S>]) -> Document {
    let text = format!(
        r#"{{"schemaVersion":2,"mediaType":"{OCI_MANIFEST}","config":{},"layers":{}}}"#,
        descriptor(OCI_CONFIG, id, config, &[]),
        json::array_of(layers.iter().map(Blob::descriptor))
    );
    Document::new(OCI_MANIFEST, text)
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
