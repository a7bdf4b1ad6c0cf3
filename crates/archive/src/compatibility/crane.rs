//! go-containerregistry's tarball reader (crane, ko, kaniko): the first member of a name counts, links are followed, and
//! the first layer's compression is taken for that of all.

use std::collections::HashSet;

use crate::compression::Compression::Gzip;
use crate::formats::manifest_json;
use crate::reference::Reference;
use crate::source::Source;
use crate::tar::{EntryKind, beside, clean};

use super::config::Config;
use super::docker::sha256_flaw;
use super::facts::{Facts, distinct, items};
use super::{Flaw, Loaded, Read, Reading};

pub(super) fn read<S: Source + Clone>(facts: &Facts<'_, S>) -> Reading {
    if let Some(packing) = facts.packing.first() {
        return Err(Flaw::of_form(format!("crane does not unpack archives, not even {}.", packing.name())));
    }
    let missing = |path: &str| Flaw::of_form(format!("No member has the name \"{path}\"."));
    let manifest = find(facts, manifest_json::PATH).ok_or_else(|| missing(manifest_json::PATH))?;
    let items = items(&facts.document(manifest, u64::MAX)?, false)?.unwrap_or_default();
    let [item] = items.as_slice() else {
        let sentence = format!("manifest.json lists {} images, and crane takes one at a time.", items.len());
        return Err(Flaw::of_image(sentence));
    };
    let config = find(facts, &item.config).ok_or_else(|| missing(&item.config))?;
    let config = Config::read(&facts.document(config, u64::MAX)?)?.without_shell_form()?;
    if !config.has_rootfs || config.diff_ids.len() > item.layers.len() {
        let flaw = config.count_flaw(item.layers.len());
        return Err(flaw.unwrap_or_else(|| Flaw::of_image("The image's config lists no layers.")));
    }
    let mut seen = HashSet::new();
    let mut compression = None;
    // A layer is looked up by its diff ID: of two that are the same, the first counts for both.
    for (path, diff_id) in
        item.layers.iter().zip(&config.diff_ids).filter(|(_, diff_id)| seen.insert(*diff_id))
    {
        let layer = find(facts, path).ok_or_else(|| missing(path))?;
        let own = facts.compression(layer);
        if *compression.get_or_insert(own) != own {
            return Err(Flaw::of_form("Some layers are compressed and some are not."));
        }
        let flaw = sha256_flaw(diff_id)
            .or_else(|| facts.layer_flaw(layer, diff_id, &[Gzip]))
            .or_else(|| facts.trailing_flaw(layer, None));
        if let Some(flaw) = flaw {
            return Err(flaw);
        }
    }
    // It takes any text for a name.
    let name = |tag: &String| Reference::parse(tag).map_or_else(|_| tag.clone(), |name| name.to_string());
    let names = distinct(item.tags.iter().map(name));
    Ok(Read { images: vec![Loaded { id: Some(config.id), names }], flaw: None })
}

/// The first member of that name, or what it links to.
fn find<S: Source + Clone>(facts: &Facts<'_, S>, path: &str) -> Option<usize> {
    let mut path = clean(path);
    let mut seen = HashSet::new();
    while seen.insert(path.clone()) {
        let (number, entry) = facts.first(&path)?;
        path = match entry.kind {
            EntryKind::File => return Some(number),
            EntryKind::Symlink => beside(&path, entry.link.as_deref()?),
            EntryKind::HardLink => clean(entry.link.as_deref()?),
            _ => return None,
        };
    }
    None
}
