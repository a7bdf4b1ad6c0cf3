//! `docker load` (moby `image/tarexport/load.go`).

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use longshore_archive::{HistoryEntry, Reference, Result, Timestamp};
use serde::Serialize;

use crate::catalog::{Catalog, Target};
use crate::change::Change;
use crate::container::Carried;
use crate::image::{Blob, Image, Index, Manifest};
use crate::incoming::Incoming;

/// What loading an archive would do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// IDs of the images that are new.
    pub added: Vec<String>,
    /// IDs of those that are there already; their blobs are not needed.
    pub known: Vec<String>,
    /// IDs of those that are there, but damaged: they are made whole.
    pub mended: Vec<String>,
    /// Names of the working containers that are new, as the archive has them.
    pub containers: Vec<String>,
    /// Names that are new, as Docker prints them.
    pub names: Vec<String>,
    /// Names that lead to something else now.
    pub moves: Vec<Move>,
    /// Names that the archive gives to several images, from each to the next: the last keeps them.
    pub repeated: Vec<Move>,
    /// The blobs to be kept: what the catalog needs afterwards and does not need, or lacks, before.
    pub blobs: Vec<Blob>,
    /// Bytes of these.
    pub bytes: u64,
}

/// A name that would move from one image to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Move {
    /// The name, as Docker prints it.
    pub name: String,
    /// ID of the image, or digest of the index, that has it.
    pub from: String,
    /// ID of the image, or digest of the index, that is to have it.
    pub to: String,
}

impl Catalog {
    /// What [`Self::load`] would do. Fails as it does.
    pub fn plan(&self, incoming: &Incoming) -> Result<Plan> {
        let loaded = self.loaded(incoming)?;
        let mut plan = Plan::default();
        for image in &incoming.images {
            let list = match self.image(image.id()) {
                None => &mut plan.added,
                Some(known) if known.damaged().is_empty() => &mut plan.known,
                Some(_) => &mut plan.mended,
            };
            list.push(image.id().to_owned());
        }
        let is_new = |carried: &&Carried| self.container(&carried.container.id).is_none();
        let new = incoming.containers.iter().filter(is_new);
        plan.containers = new.map(|carried| carried.container.name.clone()).collect();
        let listed = incoming.references()?;
        let names =
            || listed.iter().flat_map(|(target, names)| names.iter().map(move |name| (name, *target)));
        let moved = |name: &Reference, from: &Target, to: &Target| Move {
            name: name.to_string(),
            from: from.digest().to_owned(),
            to: to.digest().to_owned(),
        };
        // Of a name that the archive has twice, the last counts.
        let mut leads: HashMap<&Reference, &Target> = HashMap::new();
        for (name, target) in names() {
            let before = leads.insert(name, target).filter(|before| *before != target);
            plan.repeated.extend(before.map(|before| moved(name, before, target)));
        }
        let mut told = HashSet::new();
        for (name, _) in names() {
            let Some(target) = leads.get(name).filter(|_| told.insert(name)) else { continue };
            match self.get(name) {
                None => plan.names.push(name.to_string()),
                Some(old) if old != *target => plan.moves.push(moved(name, old, target)),
                Some(_) => {}
            }
        }
        let lost = self.lost();
        let known = self.blobs();
        let needed = loaded.catalog.blobs();
        let is_wanted = |blob: &Blob| {
            needed.contains_key(&blob.digest)
                && (!known.contains_key(&blob.digest) || lost.contains(&blob.digest))
        };
        plan.blobs = incoming.blobs().into_values().filter(is_wanted).collect();
        plan.bytes = plan.blobs.iter().fold(0, |sum, blob| sum.saturating_add(blob.size));
        Ok(plan)
    }

    /// `docker load`: the images that are not there yet, and all names, which move from what has them; working containers,
    /// where the archive is that of a whole store.
    ///
    /// An image that is there keeps the blobs that it has, unless it is damaged. Fails with `invalid-argument` and
    /// `invalid-reference` for what [`Incoming::of`] would not give, and with `no-such-image` for a container without its image.
    pub fn load(&self, incoming: &Incoming) -> Result<Change> {
        let Loaded { catalog, lines } = self.loaded(incoming)?;
        Ok(Change::between(self, &catalog, lines))
    }

    fn loaded(&self, incoming: &Incoming) -> Result<Loaded> {
        incoming.check()?;
        let mut catalog = self.clone();
        catalog.mend(&incoming.blobs().into_keys().collect());
        for image in &incoming.images {
            // What is still damaged comes with other blobs: packed otherwise, say.
            let known = catalog.image(image.id());
            if known.is_none_or(|known| !known.damaged().is_empty()) {
                let parent = known.and_then(Image::parent).map(str::to_owned);
                catalog.put_image(image.with_parent(parent).with_damage(BTreeSet::new()));
            }
        }
        for index in &incoming.indexes {
            let index = Index { damaged: BTreeSet::new(), ..index.clone() };
            let known = catalog.index(&index.digest);
            let merged = known.map_or_else(|| index.clone(), |known| merged(known, &index));
            catalog.put_index(merged);
        }
        let lines = catalog.take_names(incoming)?;
        catalog.take_parents(incoming);
        catalog.take_containers(&incoming.containers)?;
        Ok(Loaded { catalog, lines })
    }

    /// Gives the names; gives what Docker prints.
    fn take_names(&mut self, incoming: &Incoming) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        let mut is_last_named = true;
        let listed = incoming.references()?;
        for (target, names) in &listed {
            is_last_named = !names.is_empty();
            let is_tagged = names.iter().any(|name| name.tag().is_some());
            for name in names {
                let before = self.name(name.clone(), (*target).clone());
                // The digest of what was pulled goes without saying.
                if is_tagged && name.tag().is_none() {
                    continue;
                }
                if let Some(before) = before.filter(|before| before != *target) {
                    lines.push(format!(
                        "The image {name} already exists, renaming the old one with ID {} to empty string",
                        before.digest()
                    ));
                }
                lines.push(format!("Loaded image: {name}"));
            }
        }
        // Docker says the IDs of all if the last has no name, and of none otherwise.
        if !is_last_named {
            lines.extend(listed.iter().map(|(target, _)| format!("Loaded image ID: {}", target.digest())));
        }
        Ok(lines)
    }

    /// Notes what was made from what, where both are in the archive and the histories bear it out. Docker fails here,
    /// after everything else is done; a link that cannot be is none.
    fn take_parents(&mut self, incoming: &Incoming) {
        let there: BTreeSet<&str> = incoming.images.iter().map(Image::id).collect();
        for image in &incoming.images {
            let Some(parent) = image.parent().filter(|parent| there.contains(parent)) else { continue };
            let (Some(child), Some(ancestor)) = (self.image(image.id()), self.image(parent)) else {
                continue;
            };
            if child.parent() != Some(parent) && may_be_parent(child, ancestor) {
                let child = child.with_parent(Some(parent.to_owned()));
                self.put_image(child);
            }
        }
        // Images without a history may claim anything.
        for id in self.cycles() {
            if let Some(orphan) = self.image(&id).map(|image| image.with_parent(None)) {
                self.put_image(orphan);
            }
        }
    }
}

/// A catalog after loading, and what Docker prints.
struct Loaded {
    catalog: Catalog,
    lines: Vec<String>,
}

/// The same index of two archives, each of which may hold other images of it.
fn merged(known: &Index, other: &Index) -> Index {
    let manifest = |(known, other): (&Manifest, &Manifest)| {
        let image = known.image.clone().or_else(|| other.image.clone());
        Manifest { digest: known.digest.clone(), image }
    };
    let mut blobs: BTreeMap<&String, &Blob> = known.blobs.iter().map(|blob| (&blob.digest, blob)).collect();
    blobs.extend(other.blobs.iter().map(|blob| (&blob.digest, blob)));
    // One digest, one document: they list the same.
    let is_same = known.manifests.iter().map(|manifest| &manifest.digest);
    let is_same = is_same.eq(other.manifests.iter().map(|manifest| &manifest.digest));
    let manifests = if is_same {
        known.manifests.iter().zip(&other.manifests).map(manifest).collect()
    } else {
        known.manifests.clone()
    };
    Index { manifests, blobs: blobs.into_values().cloned().collect(), ..known.clone() }
}

/// Whether the histories are those of an image and what was made from it in one step (moby `checkValidParent`).
fn may_be_parent(image: &Image, parent: &Image) -> bool {
    let (child, parent) = (&image.config().history, &parent.config().history);
    if child.is_empty() && parent.is_empty() {
        return true;
    }
    let time = |step: &HistoryEntry| step.created.as_deref().map(Timestamp::parse);
    let same = |(one, two): (&HistoryEntry, &HistoryEntry)| {
        time(one) == time(two)
            && HistoryEntry { created: None, ..one.clone() } == HistoryEntry { created: None, ..two.clone() }
    };
    child.len() == parent.len() + 1 && parent.iter().zip(child).all(same)
}
