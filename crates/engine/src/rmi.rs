//! `docker rmi` (moby `daemon/images/image_delete.go`, docker/cli `command/image/remove.go`).

use std::collections::BTreeSet;
use std::fmt;

use longshore_archive::{Code, Error, Reference, Result};
use serde::{Deserialize, Serialize};

use crate::catalog::{Catalog, Found, Target};
use crate::change::Change;
use crate::image::{Image, Index};

/// A container that was made from an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Use {
    /// The container's ID.
    pub id: String,
    /// The image's ID.
    pub image: String,
    /// Whether it runs, or is written to.
    pub running: bool,
    /// Chain IDs of the layers that it stands on, which stay when the image goes.
    #[serde(default)]
    pub chain_ids: Vec<String>,
}

/// How images are removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RmiOptions<'a> {
    /// `--force`: whatever names it has, and whatever stopped container uses it.
    pub force: bool,
    /// `--no-prune`: images without a name that it was made from stay.
    pub no_prune: bool,
    /// The containers that there are.
    pub in_use: &'a [Use],
}

/// One thing that was removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removed {
    /// A name, as Docker prints it.
    Untagged(String),
    /// An image's ID, an index's digest, or a layer's chain ID.
    Deleted(String),
}

/// As `docker rmi` prints it.
impl fmt::Display for Removed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Untagged(name) => write!(f, "Untagged: {name}"),
            Self::Deleted(id) => write!(f, "Deleted: {id}"),
        }
    }
}

/// What became of one argument of `docker rmi`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemovedItem {
    /// The argument.
    pub image: String,
    /// What was removed, in Docker's order, or why nothing was.
    pub outcome: Result<Vec<Removed>>,
}

/// What `docker rmi` does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    /// What becomes of the catalog. An argument that fails does not keep the others from being removed.
    pub change: Change,
    /// Argument by argument, in order.
    pub items: Vec<RemovedItem>,
    /// Whether Docker would end with an error: with `force`, what is not there is none.
    pub failed: bool,
}

impl Removal {
    /// What Docker prints to stderr: a line for each argument that failed.
    pub fn errors(&self) -> impl Iterator<Item = &Error> {
        self.items.iter().filter_map(|item| item.outcome.as_ref().err())
    }
}

impl Catalog {
    /// `docker rmi`: takes names away, and images with their last one.
    ///
    /// An argument fails with `no-such-image`, `ambiguous-image`, `invalid-reference`, or with `image-in-use` where
    /// something needs the image, in Docker's words. The error's detail `force` says whether it can be forced.
    pub fn rmi(&self, images: &[String], options: &RmiOptions<'_>) -> Removal {
        let mut remover = Remover::new(self, options);
        let items: Vec<RemovedItem> = images
            .iter()
            .map(|image| RemovedItem { image: image.clone(), outcome: remover.remove(image) })
            .collect();
        let lines =
            items.iter().flat_map(|item| item.outcome.iter().flatten()).map(ToString::to_string).collect();
        let is_fatal = |error: &Error| !(options.force && error.code() == Code::NoSuchImage);
        let failed = items.iter().any(|item| item.outcome.as_ref().is_err_and(is_fatal));
        Removal { change: Change::between(self, &remover.catalog, lines), items, failed }
    }
}

/// Removes images from a catalog, one after the other.
pub(crate) struct Remover<'a> {
    pub(crate) catalog: Catalog,
    options: &'a RmiOptions<'a>,
    /// Layers that containers stand on.
    held: BTreeSet<&'a str>,
}

/// Why an image cannot be removed.
enum Conflict {
    /// Whatever is asked.
    Child,
    Running(String),
    /// Unless it is forced.
    Named,
    Stopped(String),
}

impl Conflict {
    fn is_of_use(&self) -> bool {
        matches!(self, Self::Running(_) | Self::Stopped(_))
    }

    fn to_error(&self, id: &str) -> Error {
        let (force, why) = match self {
            Self::Child => ("cannot", "image has dependent child images".to_owned()),
            Self::Running(container) => {
                ("cannot", format!("image is being used by running container {}", short(container)))
            }
            Self::Named => ("must", "image is referenced in multiple repositories".to_owned()),
            Self::Stopped(container) => {
                ("must", format!("image is being used by stopped container {}", short(container)))
            }
        };
        let sentence = format!("conflict: unable to delete {} ({force} be forced) - {why}", short(id));
        Error::new(Code::ImageInUse, sentence).with("image", id).with("force", force)
    }
}

/// Which conflicts count.
#[derive(Clone, Copy)]
struct Mask {
    named: bool,
    stopped: bool,
}

impl<'a> Remover<'a> {
    pub(crate) fn new(catalog: &Catalog, options: &'a RmiOptions<'a>) -> Self {
        let held = options.in_use.iter().flat_map(|one| &one.chain_ids).map(String::as_str).collect();
        Self { catalog: catalog.clone(), options, held }
    }

    /// Removes what an argument means; nothing where it fails.
    pub(crate) fn remove(&mut self, argument: &str) -> Result<Vec<Removed>> {
        let Found { target, name } = self.catalog.find(argument)?;
        // A name that is also the beginning of its image's ID is taken for that.
        let name = name.filter(|_| !is_id_prefix(target.digest(), argument));
        if let Target::Image(id) = &target
            && name.is_none()
            && self.catalog.listings(id).next().is_some()
        {
            return self.remove_platform(id);
        }
        let names = self.names_of(&target);
        let is_single = is_single(&names);
        let mut removed = Vec::new();
        if let Some(name) = name {
            if !self.options.force
                && is_single
                && let Some((one, image)) = self.first_use(&target)
            {
                let sentence = format!(
                    "conflict: unable to remove repository reference {argument:?} (must force) - container {} is using its referenced image {}",
                    short(&one),
                    short(&image)
                );
                return Err(Error::new(Code::ImageInUse, sentence)
                    .with("image", image)
                    .with("force", "must"));
            }
            self.untag(&name, &mut removed);
            if name.digest().is_none() {
                self.untag_digests_of(&target, &name, &mut removed);
            }
            if self.catalog.names_of(&target).next().is_none() {
                self.delete(&target, true, &mut removed)?;
            }
            return Ok(removed);
        }
        if is_single {
            self.check(&target, Mask { named: false, stopped: !self.options.force })?;
            for name in &names {
                self.untag(name, &mut removed);
            }
        }
        self.delete(&target, false, &mut removed)?;
        Ok(removed)
    }

    /// Removes one platform of an image for several: with force only, as Docker's `--platform` does.
    fn remove_platform(&mut self, id: &str) -> Result<Vec<Removed>> {
        if !self.options.force {
            let sentence = "Content will be removed from all images referencing this variant. Use --force to force delete.";
            return Err(Error::new(Code::ImageInUse, sentence).with("image", id).with("force", "must"));
        }
        let own = Target::Image(id.to_owned());
        self.check(&own, Mask { named: false, stopped: false })?;
        let mut removed = Vec::new();
        let indexes: Vec<Index> = self.catalog.listings(id).cloned().collect();
        for index in indexes {
            let index = self.catalog.part(&index, |image| image.id() != id);
            if index.images().next().is_some() {
                self.catalog.put_index(index);
                continue;
            }
            for name in self.names_of(&Target::Index(index.digest.clone())) {
                self.untag(&name, &mut removed);
            }
            self.catalog.remove_index(&index.digest);
            removed.push(Removed::Deleted(index.digest));
        }
        self.delete(&own, false, &mut removed)?;
        Ok(removed)
    }

    fn names_of(&self, target: &Target) -> Vec<Reference> {
        self.catalog.names_of(target).cloned().collect()
    }

    fn untag(&mut self, name: &Reference, removed: &mut Vec<Removed>) {
        self.catalog.unname(&crate::catalog::key(name));
        removed.push(Removed::Untagged(name.to_string()));
    }

    /// With the last tag of a repository, the digests go that the image is known by there.
    fn untag_digests_of(&mut self, target: &Target, gone: &Reference, removed: &mut Vec<Removed>) {
        let same = |name: &&Reference| name.domain() == gone.domain() && name.path() == gone.path();
        let names: Vec<Reference> = self.catalog.names_of(target).filter(same).cloned().collect();
        if names.iter().all(|name| name.digest().is_some()) {
            for name in &names {
                self.untag(name, removed);
            }
        }
    }

    /// Deletes an image or an index with its images. `quietly`: what stands against it is no error.
    fn delete(&mut self, target: &Target, quietly: bool, removed: &mut Vec<Removed>) -> Result<()> {
        match target {
            Target::Image(id) => self.delete_image(id, quietly, self.options.force, removed),
            Target::Index(digest) => self.delete_index(digest, quietly, removed),
        }
    }

    fn delete_image(
        &mut self,
        id: &str,
        quietly: bool,
        force: bool,
        removed: &mut Vec<Removed>,
    ) -> Result<()> {
        // An image, then what it was made from, as long as nothing stands against that.
        let (mut id, mut quietly, mut force) = (id.to_owned(), quietly, force);
        loop {
            // What an index lists goes with it.
            if self.catalog.listings(&id).next().is_some() {
                return Ok(());
            }
            if let Some(conflict) = self.conflict(&id, Mask { named: !force, stopped: !force }) {
                if quietly && (!self.is_dangling(&id) || conflict.is_of_use()) {
                    return Ok(());
                }
                return Err(conflict.to_error(&id));
            }
            for name in self.names_of(&Target::Image(id.clone())) {
                self.untag(&name, removed);
            }
            let parent = self.catalog.image(&id).and_then(Image::parent).map(str::to_owned);
            let held = self.layers_held_for(&id);
            self.catalog.keep_for_containers(&id);
            let freed = self.catalog.remove_image(&id);
            removed.push(Removed::Deleted(id));
            let is_free = |chain: &String| !self.held.contains(chain.as_str()) && !held.contains(chain);
            removed.extend(freed.into_iter().filter(is_free).map(Removed::Deleted));
            match parent {
                Some(parent) if !self.options.no_prune => (id, quietly, force) = (parent, true, false),
                _ => return Ok(()),
            }
        }
    }

    /// Layers of an image that a container stands on which does not say on which it does.
    fn layers_held_for(&self, id: &str) -> BTreeSet<String> {
        let is_used = self.options.in_use.iter().any(|one| one.image == id);
        let image = self.catalog.image(id).filter(|_| is_used);
        image.into_iter().flat_map(Image::chain_ids).cloned().collect()
    }

    fn delete_index(&mut self, digest: &str, quietly: bool, removed: &mut Vec<Removed>) -> Result<()> {
        let target = Target::Index(digest.to_owned());
        let mask = Mask { named: !self.options.force, stopped: !self.options.force };
        if let Err(conflict) = self.check(&target, mask) {
            return if quietly { Ok(()) } else { Err(conflict) };
        }
        for name in self.names_of(&target) {
            self.untag(&name, removed);
        }
        let Some(index) = self.catalog.remove_index(digest) else { return Ok(()) };
        removed.push(Removed::Deleted(digest.to_owned()));
        let ids: BTreeSet<&str> = index.images().collect();
        for id in ids {
            // What has a name of its own stays.
            if !self.catalog.is_named(id) {
                self.delete_image(id, true, self.options.force, removed)?;
            }
        }
        Ok(())
    }

    /// Fails where something stands against deleting a target.
    fn check(&self, target: &Target, mask: Mask) -> Result<()> {
        match target {
            Target::Image(id) => match self.conflict(id, mask) {
                Some(conflict) => Err(conflict.to_error(id)),
                None => Ok(()),
            },
            Target::Index(digest) => {
                if mask.named && self.catalog.names_of(target).next().is_some() {
                    return Err(Conflict::Named.to_error(digest));
                }
                let images = self.catalog.index(digest).into_iter().flat_map(Index::images);
                for id in images
                    .filter(|id| self.catalog.names_of(&Target::Image((*id).to_owned())).next().is_none())
                {
                    let conflict = self.conflict(id, Mask { named: false, ..mask });
                    if let Some(conflict) = conflict.filter(Conflict::is_of_use) {
                        return Err(conflict.to_error(id));
                    }
                }
                Ok(())
            }
        }
    }

    fn conflict(&self, id: &str, mask: Mask) -> Option<Conflict> {
        let used = |running: bool| {
            let mut uses = self.options.in_use.iter();
            uses.find(|one| one.image == id && one.running == running).map(|one| one.id.clone())
        };
        if self.catalog.children(id).next().is_some() {
            return Some(Conflict::Child);
        }
        if let Some(container) = used(true) {
            return Some(Conflict::Running(container));
        }
        if mask.named && self.catalog.names_of(&Target::Image(id.to_owned())).next().is_some() {
            return Some(Conflict::Named);
        }
        used(false).filter(|_| mask.stopped).map(Conflict::Stopped)
    }

    fn is_dangling(&self, id: &str) -> bool {
        !self.catalog.is_named(id) && self.catalog.children(id).next().is_none()
    }

    /// The first container that uses a target, and the image that it uses.
    fn first_use(&self, target: &Target) -> Option<(String, String)> {
        let ids: BTreeSet<&str> = match target {
            Target::Image(id) => BTreeSet::from([id.as_str()]),
            Target::Index(digest) => self.catalog.index(digest).into_iter().flat_map(Index::images).collect(),
        };
        let one = self.options.in_use.iter().find(|one| ids.contains(one.image.as_str()))?;
        Some((one.id.clone(), one.image.clone()))
    }
}

/// Whether all names are of one repository, with one tag at most; none are not.
fn is_single(names: &[Reference]) -> bool {
    let tags = names.iter().filter(|name| name.digest().is_none()).count();
    let repositories: BTreeSet<String> = names.iter().map(Reference::name).collect();
    tags <= 1 && repositories.len() == 1
}

/// Whether an argument is the beginning of an ID.
fn is_id_prefix(id: &str, argument: &str) -> bool {
    id.starts_with(argument) || id.split_once(':').is_some_and(|(_, hex)| hex.starts_with(argument))
}

/// An ID as Docker shortens it: twelve digits.
fn short(id: &str) -> &str {
    let hex = id.split_once(':').map_or(id, |(_, hex)| hex);
    hex.get(..12).unwrap_or(hex)
}
