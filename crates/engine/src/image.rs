//! An image of the store, and an index that lists one image for several platforms.

use std::collections::BTreeSet;

use longshore_archive::{Algorithm, Code, Config, Error, MAX_LEN, Platform, Result, sha256};
use serde::{Deserialize, Serialize};

/// A blob as a manifest describes it (OCI image specification, `descriptor.md`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// Its digest.
    pub digest: String,
    /// Bytes.
    pub size: u64,
    /// What it is.
    pub media_type: String,
}

/// One layer of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Layer {
    /// Digest of the blob as stored.
    pub digest: String,
    /// Digest of the uncompressed tar, as the config states it.
    pub diff_id: String,
    /// As the manifest states it.
    pub media_type: String,
    /// Bytes as stored.
    pub size: u64,
    /// Whether it may not be distributed and was left out of the archive, so that no blob is kept.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub absent: bool,
}

/// An image of the store: its row, and what follows from it.
///
/// Made by reading a row, or an image of an archive on its way in. What cannot be true does not become one: the ID is the
/// digest of the config, and the layers are those that the config lists. The errors have Docker's sentences:
/// `digest-mismatch`, `invalid-config`, `invalid-manifest`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Row", into = "Row")]
pub struct Image {
    row: Row,
    config: Config,
    chain_ids: Vec<String>,
}

/// What is kept of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Row {
    pub(crate) id: String,
    /// The config's bytes: their digest is the ID.
    pub(crate) config: String,
    pub(crate) manifest: Descriptor,
    pub(crate) layers: Vec<Layer>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) parent: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) damaged: BTreeSet<String>,
}

impl TryFrom<Row> for Image {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self> {
        let invalid =
            |sentence: String| Error::new(Code::InvalidManifest, sentence).with("image", row.id.as_str());
        let actual = sha256(row.config.as_bytes());
        if actual != row.id {
            let sentence = format!("The config of {} is not what its digest says: it is {actual}.", row.id);
            return Err(Error::new(Code::DigestMismatch, sentence)
                .with("expected", row.id)
                .with("actual", actual));
        }
        let config = Config::read(row.config.as_bytes(), &row.id)?;
        if row.layers.len() != config.diff_ids.len() {
            return Err(invalid(format!(
                "invalid manifest, layers length mismatch: expected {}, got {}",
                row.layers.len(),
                config.diff_ids.len()
            )));
        }
        for (number, (layer, stated)) in row.layers.iter().zip(&config.diff_ids).enumerate() {
            if layer.diff_id != *stated {
                return Err(invalid(format!(
                    "invalid diffID for layer {number}: expected {stated:?}, got {:?}",
                    layer.diff_id
                )));
            }
        }
        let steps = config.history.iter().filter(|step| !step.empty_layer).count();
        if steps > row.layers.len() {
            return Err(invalid("too many non-empty layers in History section".to_owned()));
        }
        let layers = row.layers.iter().map(|layer| (&layer.digest, layer.size));
        check_blobs(layers.chain([(&row.manifest.digest, row.manifest.size)]))?;
        if let Some(bad) = config.diff_ids.iter().find(|diff_id| Algorithm::of(diff_id).is_none()) {
            return Err(invalid(format!("the diff ID {bad:?} is no digest")));
        }
        let chain_ids = chain_ids(config.diff_ids.iter().map(String::as_str));
        Ok(Self { row, config, chain_ids })
    }
}

impl From<Image> for Row {
    fn from(image: Image) -> Self {
        image.row
    }
}

impl Image {
    /// Digest of the config's bytes: the ID that Docker knows it by.
    pub fn id(&self) -> &str {
        &self.row.id
    }

    /// The config's bytes, which are JSON.
    pub fn config_text(&self) -> &str {
        &self.row.config
    }

    /// What the config says.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The machine that it was built for.
    pub fn platform(&self) -> &Platform {
        &self.config.platform
    }

    /// Its manifest.
    pub fn manifest(&self) -> &Descriptor {
        &self.row.manifest
    }

    /// Bottom first.
    pub fn layers(&self) -> &[Layer] {
        &self.row.layers
    }

    /// What Docker calls its layers, bottom first: each stands for a layer and all below it.
    pub fn chain_ids(&self) -> &[String] {
        &self.chain_ids
    }

    /// ID of the image that it was made from, where that is known.
    pub fn parent(&self) -> Option<&str> {
        self.row.parent.as_deref()
    }

    /// Digests of its blobs that are lost, or not what their digests say.
    pub fn damaged(&self) -> &BTreeSet<String> {
        &self.row.damaged
    }

    /// Sum of the layers' sizes as stored.
    pub fn size(&self) -> u64 {
        self.row.layers.iter().fold(0, |sum, layer| sum.saturating_add(layer.size))
    }

    /// Every blob that it is made of and that is kept: config, manifest and layers.
    pub fn blobs(&self) -> impl Iterator<Item = Blob> + '_ {
        let config = Blob { digest: self.row.id.clone(), size: self.row.config.len() as u64, diff_id: None };
        let manifest = &self.row.manifest;
        let manifest = Blob { digest: manifest.digest.clone(), size: manifest.size, diff_id: None };
        let layers = self.row.layers.iter().filter(|layer| !layer.absent).map(|layer| Blob {
            digest: layer.digest.clone(),
            size: layer.size,
            diff_id: Some(layer.diff_id.clone()),
        });
        [config, manifest].into_iter().chain(layers)
    }

    /// The same image with another parent.
    pub(crate) fn with_parent(&self, parent: Option<String>) -> Self {
        Self { row: Row { parent, ..self.row.clone() }, ..self.clone() }
    }

    /// The same image with other damage.
    pub(crate) fn with_damage(&self, damaged: BTreeSet<String>) -> Self {
        Self { row: Row { damaged, ..self.row.clone() }, ..self.clone() }
    }
}

/// A blob that the store keeps.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Blob {
    /// Its digest.
    pub digest: String,
    /// Bytes.
    pub size: u64,
    /// For a layer, the digest that what it holds must have once unpacked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diff_id: Option<String>,
}

/// An index that lists one image for several platforms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Digest of the index.
    pub digest: String,
    /// Its length in bytes.
    pub size: u64,
    /// Its media type.
    pub media_type: String,
    /// What it lists, in its order, nested indexes followed.
    pub manifests: Vec<Manifest>,
    /// All that it leads to and that is here, each once, by digest; not itself.
    pub blobs: Vec<Blob>,
    /// Digests of its blobs that are lost, or not what their digests say.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub damaged: BTreeSet<String>,
}

/// A manifest that an index lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Its digest.
    pub digest: String,
    /// ID of the image that it is of. None for attestations, and for platforms that are not here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
}

impl Index {
    /// IDs of the images that are here, in the index's order.
    pub fn images(&self) -> impl Iterator<Item = &str> {
        self.manifests.iter().filter_map(|manifest| manifest.image.as_deref())
    }

    /// Every blob that it leads to, itself included.
    pub fn all_blobs(&self) -> impl Iterator<Item = Blob> + '_ {
        let own = Blob { digest: self.digest.clone(), size: self.size, diff_id: None };
        self.blobs.iter().cloned().chain([own])
    }

    /// Fails with `invalid-manifest` where a digest is none or a size makes no sense.
    pub(crate) fn check(&self) -> Result<()> {
        let manifests = self.manifests.iter().map(|manifest| (&manifest.digest, 0));
        let blobs = self.blobs.iter().map(|blob| (&blob.digest, blob.size));
        check_blobs(manifests.chain(blobs).chain([(&self.digest, self.size)]))
    }
}

fn check_blobs<'a>(blobs: impl Iterator<Item = (&'a String, u64)>) -> Result<()> {
    let mut sum: u64 = 0;
    for (digest, size) in blobs {
        sum = sum.saturating_add(size);
        if Algorithm::of(digest).is_none() || sum > MAX_LEN {
            let sentence = format!("The blob {digest:?} has no digest or size that could be one.");
            return Err(Error::new(Code::InvalidManifest, sentence).with("digest", digest.as_str()));
        }
    }
    Ok(())
}

/// What Docker calls layers: each ID is made of the one below and of the layer's diff ID.
fn chain_ids<'a>(diff_ids: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut ids: Vec<String> = Vec::new();
    for diff_id in diff_ids {
        let id = match ids.last() {
            None => diff_id.to_owned(),
            Some(below) => sha256(format!("{below} {diff_id}").as_bytes()),
        };
        ids.push(id);
    }
    ids
}
