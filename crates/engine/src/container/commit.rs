//! `docker commit` (moby `daemon/commit.go`, `daemon/images/image_commit.go`).

use std::collections::BTreeSet;

use longshore_archive::{Code, Commit, Error, Reference, Result, blob_path, sha256};
use serde::{Deserialize, Serialize};

use crate::catalog::{Catalog, Target, json, no_such_image};
use crate::change::Change;
use crate::image::{Descriptor, Image, Layer, Row};
use crate::save::Export;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// What a container is committed as.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CommitOptions {
    /// `REPOSITORY[:TAG]`; the image has no name without it.
    pub reference: Option<String>,
    /// Author, message, time, and changes to the config.
    pub commit: Commit,
}

/// The layer that a container's changes are: an uncompressed tar, which [`Overlay::layer`](crate::Overlay::layer) gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NewLayer {
    /// Its digest, which is also its diff ID.
    pub diff_id: String,
    /// Bytes.
    pub size: u64,
}

/// What `docker commit` does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Committed {
    /// What becomes of the catalog; it prints the image's ID. The container stays as it is.
    #[serde(skip)]
    pub change: Change,
    /// The new image's ID.
    pub id: String,
    /// Digests and texts of the documents that the store has to keep beside the layer: config and manifest.
    pub documents: Vec<(String, String)>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    schema_version: u32,
    media_type: &'static str,
    config: Descriptor,
    layers: Vec<Descriptor>,
}

impl Catalog {
    /// `docker commit`: an image of what a container is, made from its image, which stays as it is. Where nothing was changed
    /// there is no layer, and the new step of the history says so.
    ///
    /// Fails as [`Self::find_container`] and [`Commit::config`] do, with `invalid-reference`, with `no-such-image` where the
    /// container's image is gone, as Docker does, and with `invalid-argument` where a container that was changed has no layer.
    pub fn commit(
        &self,
        container: &str,
        layer: Option<&NewLayer>,
        options: &CommitOptions,
    ) -> Result<Committed> {
        let name = options.reference.as_deref().filter(|name| !name.is_empty());
        let name = name.map(Reference::parse_target).transpose()?;
        let container = self.find_container(container)?;
        let base =
            self.image(&container.image).ok_or_else(|| no_such_image(&container.image, &container.image))?;
        if layer.is_some() != self.upper(&container.id).next().is_some() {
            let sentence = "The layer is not of what was changed in the container.";
            return Err(Error::new(Code::InvalidArgument, sentence).with("container", container.id.as_str()));
        }
        let Made { image, documents } = made(base, layer, &options.commit)?;
        let id = image.id().to_owned();
        let mut after = self.clone();
        // The same once more is the same image.
        if after.image(&id).is_none() {
            after.put_image(image.with_parent(Some(base.id().to_owned())));
        }
        if let Some(name) = name {
            after.name(name, Target::Image(id.clone()));
        }
        let change = Change::between(self, &after, vec![id.clone()]);
        Ok(Committed { change, id, documents })
    }

    /// What makes up an archive whose only image has the files of a container: those of its image, or, with the layer that its
    /// changes are, all of them. The edge puts that layer beside the blobs: it is none of the store's. An image that is gone
    /// from the store is here all the same.
    ///
    /// Fails as [`Self::find_container`] does, and with `damaged-image`.
    pub fn view(&self, container: &str, layer: Option<&NewLayer>) -> Result<Export> {
        let container = self.find_container(container)?;
        let base =
            self.base_of(container).ok_or_else(|| no_such_image(&container.image, &container.image))?;
        let mut alone = Self::default();
        let Some(layer) = layer else {
            alone.put_image(base.with_parent(None));
            return alone.save(&[base.id().to_owned()], &[]);
        };
        let commit = Commit { created: container.created.clone(), ..Commit::default() };
        let Made { image, documents } = made(base, Some(layer), &commit)?;
        let id = image.id().to_owned();
        alone.put_image(image.with_damage(base.damaged().clone()));
        let mut export = alone.save(&[id], &[])?;
        let is_stored = |digest: &String| {
            *digest != layer.diff_id && documents.iter().all(|(document, _)| document != digest)
        };
        export.blobs.retain(|blob| is_stored(&blob.digest));
        let place = |(digest, text): (String, String)| Some((blob_path(&digest)?, text));
        export.documents.extend(documents.into_iter().filter_map(place));
        Ok(export)
    }
}

/// An image that is made of another one, and its config and manifest by their digests.
struct Made {
    image: Image,
    documents: Vec<(String, String)>,
}

fn made(base: &Image, layer: Option<&NewLayer>, commit: &Commit) -> Result<Made> {
    let diff_id = layer.map(|layer| layer.diff_id.as_str());
    let config = commit.config(base.config_text().as_bytes(), diff_id, base.id())?;
    let config = String::from_utf8_lossy(&config).into_owned();
    let id = sha256(config.as_bytes());
    let mut layers = base.layers().to_vec();
    layers.extend(layer.map(|layer| Layer {
        digest: layer.diff_id.clone(),
        diff_id: layer.diff_id.clone(),
        media_type: LAYER.to_owned(),
        size: layer.size,
        absent: false,
    }));
    let described = |layer: &Layer| Descriptor {
        digest: layer.digest.clone(),
        size: layer.size,
        media_type: layer.media_type.clone(),
    };
    let manifest = json(&Manifest {
        schema_version: 2,
        media_type: MANIFEST,
        config: Descriptor { digest: id.clone(), size: config.len() as u64, media_type: CONFIG.to_owned() },
        layers: layers.iter().map(described).collect(),
    });
    let digest = sha256(manifest.as_bytes());
    let image = Image::try_from(Row {
        id: id.clone(),
        config: config.clone(),
        manifest: Descriptor {
            digest: digest.clone(),
            size: manifest.len() as u64,
            media_type: MANIFEST.to_owned(),
        },
        layers,
        parent: None,
        damaged: BTreeSet::new(),
    })?;
    Ok(Made { image, documents: vec![(id, config), (digest, manifest)] })
}
