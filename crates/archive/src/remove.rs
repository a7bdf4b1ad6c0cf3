//! Taking an image out of an archive, with everything that only it needs.

use std::collections::{BTreeSet, HashSet};

use crate::archive::Archive;
use crate::digest::blob_path;
use crate::edit::{Edit, NameChange};
use crate::error::{Code, Error, Result};
use crate::formats::oci_index::Line;
use crate::formats::{manifest_json, oci, oci_index, repositories};
use crate::members::Place;
use crate::model::{Image, Name};
use crate::source::Source;
use crate::tar::{EntryKind, normal};

/// What the directory of a layer holds.
const OF_LAYER: [&str; 3] = ["json", "VERSION", "layer.tar"];

impl<S: Source + Clone> Archive<S> {
    /// Takes an image out, with all its names and whatever only it needs: its config, its layers, its documents. A name
    /// means the images for all its platforms, as in [`Archive::choose`]. What else is in the archive stays as it is.
    ///
    /// Fails as [`Archive::find`] does, and with `invalid-argument` where nothing would be left, or where an index goes
    /// on listing the image beside those for other platforms.
    pub fn remove(&self, image: &str) -> Result<Edit<S>> {
        let gone: BTreeSet<usize> = self.choose(image)?.into_iter().collect();
        let is_gone = |number: usize| gone.contains(&number);
        let refuse =
            |sentence: &str| Err(Error::new(Code::InvalidArgument, sentence).with("reference", image));
        let (removed, kept): (Vec<_>, Vec<_>) =
            self.images().iter().enumerate().partition(|(number, _)| is_gone(*number));
        if kept.is_empty() {
            return refuse("An archive has at least one image, and this is the last.");
        }
        let is_shared = |line: &Line| {
            let lost = line.images.iter().filter(|&&image| is_gone(image)).count();
            line.index.is_some() && lost > 0 && lost < line.images.len()
        };
        if self.lines.iter().any(is_shared) {
            return refuse(
                "An index lists the image beside those for other platforms: remove all of them, by name.",
            );
        }
        let members = &self.members;
        let names: Vec<Vec<Name>> = self
            .images()
            .iter()
            .enumerate()
            .map(|(number, image)| if is_gone(number) { Vec::new() } else { image.names.clone() })
            .collect();
        let mut changed = Vec::new();
        if let Some(listing) = self.manifest_listing()? {
            let bytes = manifest_json::without(&listing.bytes, &gone);
            changed.extend(bytes.map(|bytes| (Place::At(listing.entry), bytes)));
        }
        if let Some(listing) = members.listing(repositories::PATH).transpose()? {
            let bytes = repositories::rewrite(members, Some(&listing.bytes), self.images(), &names);
            changed.extend(bytes.map(|bytes| (Place::At(listing.entry), bytes)));
        }
        let mut unneeded = self.own(&removed, &kept);
        if let Some(listing) = members.listing(oci_index::PATH).transpose()?
            && let Some(bytes) = oci_index::without(members, &listing.bytes, self.images(), &gone)
        {
            unneeded.extend(oci::reachable(members, &listing.bytes).into_values());
            for entry in oci::reachable(members, &bytes).values() {
                unneeded.remove(entry);
            }
            changed.push((Place::At(listing.entry), bytes));
        }
        for entry in self.own(&kept, &removed) {
            unneeded.remove(&entry);
        }
        let lost = removed.iter().flat_map(|(_, image)| {
            image.names.iter().map(|name| NameChange {
                image: image.id.clone(),
                from: Some(name.to_string()),
                to: None,
            })
        });
        let archive = Self::assemble(members.within_budget(|| members.with(changed))?.without(&unneeded)?)?;
        Ok(Edit { archive, changes: lost.collect() })
    }

    /// The members that images are made of. Of the directories with a layer and Docker's documents about it, those that
    /// the images' own paths name; where nobody's path does, as in what skopeo writes, those that lead to their layers.
    fn own(&self, images: &[(usize, &Image)], others: &[(usize, &Image)]) -> BTreeSet<usize> {
        let index = self.index();
        let layers = |images: &[(usize, &Image)]| -> Vec<String> {
            images.iter().flat_map(|(_, image)| &image.layers).map(|layer| normal(&layer.path)).collect()
        };
        let directories = |paths: &[String]| -> HashSet<String> {
            paths.iter().filter_map(|path| path.strip_suffix("/layer.tar")).map(str::to_owned).collect()
        };
        let paths = layers(images);
        let (named, named_by_others) = (directories(&paths), directories(&layers(others)));
        let stored: BTreeSet<usize> =
            images.iter().flat_map(|(_, image)| &image.layers).filter_map(|layer| layer.entry).collect();
        let mut own = stored.clone();
        own.extend(paths.iter().filter_map(|path| index.find(path)));
        for (_, image) in images {
            own.insert(image.config_entry);
            own.extend(image.digest.as_deref().and_then(blob_path).and_then(|path| index.resolve(&path)));
        }
        let is_own = |directory: &str| {
            let leads_there = || index.resolve(&format!("{directory}/layer.tar"));
            named.contains(directory)
                || !named_by_others.contains(directory)
                    && leads_there().is_some_and(|layer| stored.contains(&layer))
        };
        for (number, entry) in index.entries().iter().enumerate() {
            let path = normal(&entry.path);
            let directory = match path.rsplit_once('/') {
                Some((directory, name)) if OF_LAYER.contains(&name) => directory,
                _ if entry.kind == EntryKind::Directory => &path,
                _ => continue,
            };
            if is_own(directory) {
                own.insert(number);
            }
        }
        let same = index.same_paths(own.iter().copied());
        own.extend(same);
        own
    }
}
