//! An image with other layers: squashed ones, or ones without what was dropped.

use std::ops::Range;

use crate::archive::{Archive, no_such_image};
use crate::config::{Config, object};
use crate::error::{Code, Error, Result};
use crate::json::{self, Object};
use crate::model::Image;
use crate::recipe::Recipe;
use crate::reconfigure::Reconfigured;
use crate::source::Source;
use crate::write::Packing;

/// A layer that takes the place of one of an image's, or of several that become one.
#[derive(Debug, Clone)]
pub struct NewLayer<S> {
    /// The lowest layer whose place it takes, counted from 0.
    pub first: usize,
    /// How many these are. If several, the last of them is the image's top layer.
    pub count: usize,
    /// Its bytes as they are to be stored: a tar, plain or packed with gzip or zstd.
    pub data: Recipe<S>,
    /// How they are packed.
    pub packing: Packing,
    /// Their sha256, `sha256:…`.
    pub digest: String,
    /// That of what they hold.
    pub diff_id: String,
}

impl<S> NewLayer<S> {
    pub(crate) fn range(&self) -> Range<usize> {
        self.first..self.first.saturating_add(self.count)
    }
}

/// The layers that an image has afterwards, bottom first: each as the number of the old one whose place it has, of several
/// the uppermost, and the new one if it is that.
pub(crate) fn slots<S>(count: usize, new: &[NewLayer<S>]) -> Vec<(usize, Option<&NewLayer<S>>)> {
    let of = |number: usize| new.iter().find(|new| new.range().contains(&number));
    let slot = |number: usize| match of(number) {
        Some(new) if number + 1 < new.range().end => None,
        new => Some((number, new)),
    };
    (0..count).filter_map(slot).collect()
}

impl<S: Source + Clone> Archive<S> {
    /// Gives images other layers in place of some of their own. Each image, by its ID, gets a new config, with which it is as
    /// in [`Archive::reconfigure`]: its names move to it, and what only the old image needed leaves the archive. The steps of
    /// the history whose layers become one stay as steps without a layer, before a new one that has it, as Docker's own
    /// `build --squash` leaves them.
    ///
    /// Fails with `no-such-image`, and with `invalid-argument` where the layers are none that the image has, or its config
    /// lists others than its manifest, and for an archive in the format of Docker 1.9.
    pub fn relayer(&self, images: &[(&str, &[NewLayer<S>])]) -> Result<Reconfigured<S>> {
        let mut archive = self.clone();
        let mut ids = Vec::new();
        for &(id, layers) in images {
            archive.has_configs(id)?;
            let found = archive.images().iter().position(|image| image.id == id);
            let found = found.ok_or_else(|| no_such_image(id))?;
            let bytes = archive.config(found)?;
            let config = match archive.images().get(found) {
                Some(image) => relayered(&bytes, image, layers)?,
                None => continue,
            };
            let (after, new) = archive.members.within_budget(|| archive.with_config(id, config, layers))?;
            archive = after;
            ids.push(new);
        }
        Ok(Reconfigured { archive, ids })
    }
}

/// The config of the image with other layers; every other key keeps its place and its text.
fn relayered<S>(bytes: &[u8], image: &Image, new: &[NewLayer<S>]) -> Result<Vec<u8>> {
    let refuse = |sentence: &str| {
        Err(Error::new(Code::InvalidArgument, sentence.to_owned()).with("image", image.id.as_str()))
    };
    let mut config = object(bytes, &image.id)?;
    let old = Config::read(bytes, &image.id)?;
    let count = image.layers.len();
    if old.diff_ids.len() != count {
        return refuse("The image's config lists other layers than its manifest.");
    }
    let mut free = 0;
    for layer in new {
        let range = layer.range();
        if range.is_empty()
            || range.start < free
            || range.end > count
            || layer.count > 1 && range.end != count
        {
            return refuse("The new layers do not fit the image's.");
        }
        free = range.end;
    }
    let slots = slots(count, new);
    let diff_id = |&(number, new): &(usize, Option<&NewLayer<S>>)| {
        new.map_or_else(|| old.diff_ids.get(number).cloned(), |new| Some(new.diff_id.clone()))
    };
    let diff_ids: Vec<String> = slots.iter().filter_map(diff_id).collect();
    let mut rootfs = config.object("rootfs").unwrap_or_default();
    rootfs.set("diff_ids", &json::array_of(diff_ids.iter().map(|id| json::string(id))));
    let rootfs = rootfs.to_json();
    config.set("rootfs", &rootfs);
    let merged = new.iter().find(|new| new.count > 1);
    if let Some(history) = merged.and_then(|merged| merged_history(&config, image, merged)) {
        config.set("history", &history);
    }
    Ok(json::first_value(bytes).map_or_else(|_| Vec::new(), |first| first.with_value(&config.to_json())))
}

/// The history in which the steps of several layers are steps without one, and a last one has the layer. An image
/// without a history gets none.
fn merged_history<S>(config: &Object<'_>, image: &Image, merged: &NewLayer<S>) -> Option<String> {
    let steps = config.array("history").filter(|steps| !steps.is_empty())?;
    let mut layers = 0..;
    let step = |text: &str| {
        let mut step = Object::parse(text).unwrap_or_default();
        let has_layer = !step.read("empty_layer").unwrap_or(false);
        if !has_layer || layers.next().is_none_or(|layer| !merged.range().contains(&layer)) {
            return text.to_owned();
        }
        step.set("empty_layer", "true");
        step.to_json()
    };
    let mut steps: Vec<String> = steps.into_iter().map(step).collect();
    let mut last = Object::default();
    if let Some(created) = config.get("created") {
        last.push("created", created.to_owned());
    }
    // In the words of Docker where it is all of them.
    let comment = match merged.first {
        0 => format!("create new from {}", image.id),
        _ => format!("merge {} layers of {}", merged.count, image.id),
    };
    last.push("comment", json::string(&comment));
    steps.push(last.to_json());
    Some(json::array_of(steps))
}
