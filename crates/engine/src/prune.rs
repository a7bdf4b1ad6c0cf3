//! `docker image prune` (moby `daemon/images/image_prune.go`).

use longshore_archive::{Code, Error, Reference, Result, Timestamp};

use crate::catalog::{Catalog, Target};
use crate::change::Change;
use crate::filter::{boolean, invalid, values};
use crate::image::{Image, Index};
use crate::list::{Labels, created};
use crate::rmi::{Removed, Remover, RmiOptions, Use};
use crate::units::human_size;
use crate::until::until;

/// Which images are pruned.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PruneOptions<'a> {
    /// `--all`: all that no container uses, not just those without a name.
    pub all: bool,
    /// `--filter KEY=VALUE`: `label`, `label!`, `until`, and `dangling`, which counts before `all` and says the opposite.
    pub filters: &'a [(String, String)],
    /// The containers that there are.
    pub in_use: &'a [Use],
    /// What time it is, for a filter that says how long ago; without it, such a filter makes no sense.
    pub now: Option<Timestamp>,
}

/// What `docker image prune` does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pruned {
    /// What becomes of the catalog, and what Docker prints.
    pub change: Change,
    /// What was removed, in order.
    pub removed: Vec<Removed>,
    /// Bytes of the blobs that are not needed any more.
    pub reclaimed: u64,
}

impl Catalog {
    /// `docker image prune`. Docker's own order is that of a map; here it is by ID.
    ///
    /// Fails with `invalid-argument` for a filter that makes no sense.
    pub fn prune(&self, options: &PruneOptions<'_>) -> Result<Pruned> {
        let filters = Filters::read(options)?;
        let all = !boolean(options.filters, "dangling")?.unwrap_or(!options.all);
        let rmi = RmiOptions { force: false, no_prune: false, in_use: options.in_use };
        let mut remover = Remover::new(self, &rmi);
        let remove = |remover: &mut Remover<'_>, targets: Vec<Target>| {
            let arguments = targets.iter().flat_map(|target| self.to_remove(target, all));
            // What is in use stays, and what is gone already is gone.
            arguments.flat_map(|argument| remover.remove(&argument).unwrap_or_default()).collect::<Vec<_>>()
        };
        let mut gone = remove(&mut remover, self.indexes_to_prune(&filters));
        // Images that an index listed are on their own once it is gone.
        let images = remover.catalog.images_to_prune(all, &filters);
        gone.extend(remove(&mut remover, images));
        let before = self.blobs();
        let after = remover.catalog.blobs();
        let freed = before.iter().filter(|(digest, _)| !after.contains_key(*digest));
        let reclaimed = freed.fold(0_u64, |sum, (_, size)| sum.saturating_add(*size));
        let mut lines = Vec::new();
        if !gone.is_empty() {
            lines.push("Deleted Images:".to_owned());
            lines.extend(gone.iter().map(|one| match one {
                Removed::Untagged(name) => format!("untagged: {name}"),
                Removed::Deleted(id) => format!("deleted: {id}"),
            }));
            lines.push(String::new());
        }
        lines.push(format!("Total reclaimed space: {}", human_size(reclaimed, 4)));
        Ok(Pruned { change: Change::between(self, &remover.catalog, lines), removed: gone, reclaimed })
    }

    /// By which names or ID a target is removed; none for one with a tag, unless all are.
    fn to_remove(&self, target: &Target, all: bool) -> Vec<String> {
        let names: Vec<&Reference> = self.names_of(target).collect();
        if names.is_empty() {
            vec![target.digest().to_owned()]
        } else if all || names.iter().all(|name| name.digest().is_some()) {
            names.into_iter().map(Reference::canonical).collect()
        } else {
            Vec::new()
        }
    }

    fn indexes_to_prune(&self, filters: &Filters) -> Vec<Target> {
        let is_meant =
            |index: &&Index| index.images().filter_map(|id| self.image(id)).all(|image| filters.take(image));
        self.all_indexes().filter(is_meant).map(|index| Target::Index(index.digest.clone())).collect()
    }

    /// Images that no index lists; those left out that have no name and that others were made from.
    fn images_to_prune(&self, all: bool, filters: &Filters) -> Vec<Target> {
        let is_meant = |image: &&Image| {
            let has_children = self.children(image.id()).next().is_some();
            let has_name = self.names_of(&Target::Image(image.id().to_owned())).next().is_some();
            let is_head = !has_children || all && has_name;
            is_head && self.listings(image.id()).next().is_none() && filters.take(image)
        };
        self.all_images().filter(is_meant).map(|image| Target::Image(image.id().to_owned())).collect()
    }
}

#[derive(Default)]
struct Filters {
    labels: Labels,
    without: Labels,
    until: Option<Timestamp>,
}

impl Filters {
    fn read(options: &PruneOptions<'_>) -> Result<Self> {
        let mut read = Self::default();
        if values(options.filters, "until").len() > 1 {
            let sentence = "more than one until filter specified";
            return Err(Error::new(Code::InvalidArgument, sentence).with("filter", "until"));
        }
        for (key, value) in options.filters {
            match key.as_str() {
                "label" => read.labels.add(value),
                "label!" => read.without.add(value),
                "until" => read.until = Some(until(value, options.now)?),
                "dangling" => {}
                _ => return Err(invalid(key)),
            }
        }
        Ok(read)
    }

    fn take(&self, image: &Image) -> bool {
        self.labels.are_on(image)
            && (self.without.is_empty() || !self.without.are_on(image))
            && self.until.is_none_or(|until| created(image) <= until)
    }
}
