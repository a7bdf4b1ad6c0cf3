//! `docker system df`.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::catalog::{Catalog, Target};
use crate::image::{Image, Index, Layer};
use crate::rmi::Use;

/// What the images take, as `docker system df` tells it. Bytes as stored; a blob that several images have counts once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// How many images there are, those left out that have no name and that others were made from.
    pub total: usize,
    /// How many of them containers use.
    pub active: usize,
    /// All that is kept.
    pub size: u64,
    /// What would be free without the images that no container uses.
    pub reclaimable: u64,
    /// Image by image (`--verbose`), in the order of [`Catalog::images`].
    pub images: Vec<ImageUsage>,
}

/// What one image takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageUsage {
    /// The image's ID.
    pub id: String,
    /// The first of its names, as Docker prints it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Sum of its layers.
    pub size: u64,
    /// Of that, what other images have too.
    pub shared: u64,
    /// Of that, what is its own.
    pub unique: u64,
    /// How many containers use it.
    pub containers: usize,
}

impl Catalog {
    /// `docker system df`, with the containers that there are.
    pub fn df(&self, in_use: &[Use]) -> Usage {
        let mut owners: BTreeMap<&str, usize> = BTreeMap::new();
        for image in self.all_images() {
            for layer in distinct(image) {
                *owners.entry(&layer.digest).or_default() += 1;
            }
        }
        let is_shown =
            |image: &&Image| self.is_named(image.id()) || self.children(image.id()).next().is_none();
        let mut images: Vec<ImageUsage> = Vec::new();
        for image in self.all_images().filter(is_shown) {
            let is_shared =
                |layer: &&Layer| owners.get(layer.digest.as_str()).is_some_and(|owners| *owners > 1);
            let sum = |layers: &mut dyn Iterator<Item = &Layer>| {
                layers.fold(0_u64, |sum, layer| sum.saturating_add(layer.size))
            };
            let size = sum(&mut distinct(image).into_iter());
            let shared = sum(&mut distinct(image).into_iter().filter(is_shared));
            let own = Target::Image(image.id().to_owned());
            let indexes = self.listings(image.id()).map(|index| Target::Index(index.digest.clone()));
            let name = [own].into_iter().chain(indexes).find_map(|target| {
                self.names_of(&target).find(|name| name.tag().is_some()).map(ToString::to_string)
            });
            images.push(ImageUsage {
                id: image.id().to_owned(),
                name,
                created: image.config().created.clone(),
                size,
                shared,
                unique: size - shared,
                containers: in_use.iter().filter(|one| one.image == image.id()).count(),
            });
        }
        images.sort_by_key(|usage| {
            let image = self.image(&usage.id);
            std::cmp::Reverse(image.map(|image| crate::list::created(image).seconds))
        });
        let sum =
            |blobs: &BTreeMap<String, u64>| blobs.values().fold(0_u64, |sum, size| sum.saturating_add(*size));
        let size = sum(&self.blobs());
        let used = || images.iter().filter(|usage| usage.containers > 0);
        let own = used().filter_map(|usage| self.image(&usage.id)).flat_map(Image::blobs);
        let indexes = used().flat_map(|usage| self.listings(&usage.id)).flat_map(Index::all_blobs);
        let kept = own.chain(indexes).map(|blob| (blob.digest, blob.size)).chain(self.blobs_of_containers());
        let reclaimable = size.saturating_sub(sum(&kept.collect()));
        Usage {
            total: images.len(),
            active: images.iter().filter(|usage| usage.containers > 0).count(),
            size,
            reclaimable,
            images,
        }
    }
}

/// The layers that are kept, each once.
fn distinct(image: &Image) -> Vec<&Layer> {
    let layers: BTreeMap<&str, &Layer> = image
        .layers()
        .iter()
        .filter(|layer| !layer.absent)
        .map(|layer| (layer.digest.as_str(), layer))
        .collect();
    layers.into_values().collect()
}
