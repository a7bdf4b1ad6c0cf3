//! Whether another layout would help: whether a reader would load the archive's images if they were written anew, with
//! layers that it can unpack.

use std::collections::HashSet;

use crate::compression::Compression::{Bzip2, Gzip, Lz4, Xz, Zstd};
use crate::formats::{manifest_json, oci_index};
use crate::source::Source;

use super::Reader;
use super::config::Config;
use super::docker::{MAX_LAYERS, sha256_flaw};
use super::facts::{Facts, items};
use super::oci::{self, Descriptor, Document};

/// Readers follow an index of platforms, and none in it.
const MAX_DEPTH: usize = 1;

/// An image: its config and the members that hold its layers.
struct Image {
    config: Config,
    layers: Vec<usize>,
}

/// Whether `reader` would load what is written anew. `None` where the images are not known well enough to say.
pub(super) fn helps<S: Source + Clone>(facts: &Facts<'_, S>, reader: Reader) -> Option<bool> {
    let images = match facts.unpacked(manifest_json::PATH) {
        Some(manifest) => listed(facts, manifest),
        None => laid_out(facts, facts.unpacked(oci_index::PATH)?),
    };
    let Some(images) = images else { return Some(false) };
    let takes_one = matches!(reader, Reader::Skopeo | Reader::Crane);
    let is_count_right = images.len() == 1 || !takes_one && !images.is_empty();
    Some(is_count_right && images.iter().all(|image| would_load(facts, reader, image)))
}

fn would_load<S: Source + Clone>(facts: &Facts<'_, S>, reader: Reader, image: &Image) -> bool {
    let Image { config, layers } = image;
    let is_docker = matches!(reader, Reader::Docker24 | Reader::Docker25);
    let is_sound = |(&layer, diff_id): (&usize, &String)| {
        sha256_flaw(diff_id).is_none()
            && facts.layer_flaw(layer, diff_id, &[Gzip, Bzip2, Xz, Zstd, Lz4]).is_none()
            && !facts.is_too_much(layer)
            && facts.content_flaw(layer, reader).is_none()
    };
    config.count_flaw(layers.len()).is_none()
        && layers.iter().zip(&config.diff_ids).all(is_sound)
        && if is_docker {
            config.is_for_linux() && config.steps <= layers.len() && layers.len() <= MAX_LAYERS
        } else {
            reader == Reader::Skopeo || !config.has_shell_form
        }
}

fn listed<S: Source + Clone>(facts: &Facts<'_, S>, manifest: usize) -> Option<Vec<Image>> {
    let items = items(&facts.document(manifest, u64::MAX).ok()?, false).ok()??;
    let image = |item: &super::facts::Item| {
        let config = facts.document(facts.unpacked(&item.config)?, u64::MAX).ok()?;
        let layers = item.layers.iter().map(|path| facts.unpacked(path)).collect::<Option<_>>()?;
        Some(Image { config: Config::read(&config).ok()?, layers })
    };
    items.iter().map(image).collect()
}

fn laid_out<S: Source + Clone>(facts: &Facts<'_, S>, index: usize) -> Option<Vec<Image>> {
    let Some(Document::Index(listed)) = oci::parse(&facts.document(index, u64::MAX).ok()?, false) else {
        return None;
    };
    let mut seen = HashSet::new();
    let is_image =
        |descriptor: &&Descriptor| !descriptor.is_attestation && seen.insert(descriptor.digest.clone());
    listed.iter().filter(is_image).map(|descriptor| platform(facts, descriptor, 0)).collect()
}

/// The image, or the first of its platforms that is there.
fn platform<S: Source + Clone>(facts: &Facts<'_, S>, descriptor: &Descriptor, depth: usize) -> Option<Image> {
    let find = |path: &str| facts.unpacked(path);
    match oci::read(facts, &find, &descriptor.digest).ok().filter(|_| descriptor.size > 0)? {
        Document::Manifest(manifest) if manifest.is_of_tars() => {
            let config = Config::read(&oci::document(facts, &find, &manifest.config.digest).ok()?).ok()?;
            Some(Image { config, layers: oci::blobs(facts, &find, &manifest.layers).ok()? })
        }
        Document::Index(platforms) if depth < MAX_DEPTH => platforms
            .iter()
            .filter(|descriptor| !descriptor.is_attestation)
            .find_map(|descriptor| platform(facts, descriptor, depth + 1)),
        Document::Index(_) | Document::Manifest(_) => None,
    }
}
