//! Edits of names: `docker tag`, its undoing, and renaming a whole archive.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::archive::{Archive, no_such_image};
use crate::error::{Code, Error, Result};
use crate::formats::oci_index::{Line, NameIndexes};
use crate::model::Name;
use crate::reference::Reference;
use crate::source::Source;

/// An edited archive and what is different about it.
#[derive(Debug, Clone)]
pub struct Edit<S> {
    /// The archive after the edit.
    pub archive: Archive<S>,
    /// Every name that changed.
    pub changes: Vec<NameChange>,
}

/// One name that an edit changed: added without `from`, removed without `to`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NameChange {
    /// The image's ID.
    pub image: String,
    /// What the image was called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// What it is called now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// Names that begin with `from` get `to` in its place.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct RenameRule {
    /// A registry host (`docker.io`), the beginning of a repository at a slash (`docker.io/library`, `team`), a
    /// repository (`nginx`), or a whole name (`nginx:1.25`). Empty stands for the registry of every name: `to` comes
    /// before the repository, as in `registry.local/mirror/nginx:1.25`.
    pub from: String,
    /// What stands there afterwards.
    pub to: String,
}

impl<S: Source + Clone> Archive<S> {
    /// Gives an image one more name, as `docker tag SOURCE TARGET` does: `latest` where the target has no tag, and a
    /// target that names another image moves.
    ///
    /// Fails as [`Archive::find`] does for the source, with `invalid-reference` for a target that Docker refuses, and
    /// with `duplicate-reference` where the image has that name already.
    pub fn tag(&self, source: &str, target: &str) -> Result<Edit<S>> {
        let target = Reference::parse_target(target)?;
        let found = self.find(source)?;
        let name = Name::of(target, self.is_in_full());
        // A line of its own names the image alone; an index names the images for all its platforms at once.
        let alone = || self.lines.iter().rposition(|line| line.index.is_none() && line.has(found));
        let place = self.line(found, &Name::new(source)).or_else(alone);
        let place = place.or_else(|| self.lines.iter().rposition(|line| line.has(found)));
        let line = |place: Option<usize>| place.and_then(|place| self.lines.get(place));
        let is_alike = |one: &Line, other: &Line| (&one.index, &one.images) == (&other.index, &other.images);
        // The newest name comes last.
        let alike = |line: &Line| self.lines.iter().rposition(|other| is_alike(line, other));
        let place = line(place).and_then(alike);
        let meant = line(place).map_or_else(|| vec![found], |line| line.images.clone());
        let mut names = self.names();
        // It may have the name by another line.
        let has_it = || {
            line(self.line(found, &name)).zip(line(place)).is_none_or(|(there, here)| is_alike(there, here))
        };
        if names.get(found).is_some_and(|names| names.contains(&name)) && has_it() {
            return Err(Error::new(
                Code::DuplicateReference,
                format!("The image already has the name {name}."),
            )
            .with("reference", name.to_string()));
        }
        for (number, names) in names.iter_mut().enumerate() {
            names.retain(|other| *other != name);
            if meant.binary_search(&number).is_ok() {
                names.push(name.clone());
            }
        }
        // One that `index.json` does not list has no place there yet.
        self.renamed(&names, &HashMap::from([(name, place.unwrap_or(self.lines.len()))]))
    }

    /// Takes a name away. The image stays, without a name if it was the last; but in Docker 1.9's format one that another is
    /// built on is a layer of that only, then.
    ///
    /// Fails with `no-such-image` where no image has the name, and with `invalid-reference` where it is none.
    pub fn untag(&self, reference: &str) -> Result<Edit<S>> {
        let unwanted = Name::new(reference);
        let mut names = self.names();
        let mut found = false;
        for names in &mut names {
            let before = names.len();
            names.retain(|name| *name != unwanted);
            found |= names.len() < before;
        }
        if !found {
            Reference::parse(reference)?;
            return Err(no_such_image(reference));
        }
        self.renamed(&names, &HashMap::new())
    }

    /// Renames every name that a rule fits; for each name the first such rule counts.
    ///
    /// Fails with `invalid-reference` where a new name would be none, and with `duplicate-reference` where two images
    /// would get the same name. Then nothing is renamed.
    pub fn rename(&self, rules: &[RenameRule]) -> Result<Edit<S>> {
        let in_full = self.is_in_full();
        let rename = |name: &Name| match rules.iter().find_map(|rule| rule.apply(name)) {
            Some(text) => Ok(Name::of(Reference::parse(&text)?, in_full)),
            None => Ok(name.clone()),
        };
        // With each name, what leads to the image by it: an index that lists it, or its ID.
        let indexes = NameIndexes::of(&self.lines);
        let mut renamed: Vec<Vec<(Name, &String)>> = Vec::with_capacity(self.images().len());
        for (number, image) in self.images().iter().enumerate() {
            let new =
                |name: &Name| Ok((rename(name)?, indexes.get(number, image, name).unwrap_or(&image.id)));
            renamed.push(image.names.iter().map(new).collect::<Result<_>>()?);
        }
        let mut owners: HashMap<&Name, &String> = HashMap::new();
        let mut shared: HashSet<&Name> = HashSet::new();
        for (name, owner) in renamed.iter().flatten() {
            if owners.insert(name, owner).is_some_and(|other| other != *owner) {
                shared.insert(name);
            }
        }
        let mut after = Vec::with_capacity(renamed.len());
        for (image, renamed) in self.images().iter().zip(&renamed) {
            // Names that two images had before are theirs to keep.
            let before: HashSet<&Name> = image.names.iter().collect();
            let mut known = HashSet::with_capacity(renamed.len());
            let names = renamed.iter().map(|(name, _)| name).filter(|name| known.insert(*name));
            let names: Vec<Name> = names.cloned().collect();
            if let Some(name) = names.iter().find(|name| shared.contains(name) && !before.contains(name)) {
                return Err(Error::new(
                    Code::DuplicateReference,
                    format!("Two images would get the name {name}."),
                )
                .with("reference", name.to_string()));
            }
            after.push(names);
        }
        // A new name stands where the old one stood.
        let known: HashSet<&Name> = self.lines.iter().filter_map(|line| line.name.as_ref()).collect();
        let mut places = HashMap::new();
        for (place, line) in self.lines.iter().enumerate().rev().filter(|(_, line)| !line.images.is_empty()) {
            let Some(name) = &line.name else { continue };
            let new = rename(name)?;
            if !known.contains(&new) {
                places.insert(new, place);
            }
        }
        self.renamed(&after, &places)
    }

    fn names(&self) -> Vec<Vec<Name>> {
        self.images().iter().map(|image| image.names.clone()).collect()
    }

    /// Whether the archive writes names in full, as skopeo and podman do.
    fn is_in_full(&self) -> bool {
        self.images().iter().flat_map(|image| &image.names).any(|name| {
            name.reference()
                .is_some_and(|known| known.canonical() == name.text() && known.to_string() != name.text())
        })
    }

    /// The edit that gives the images these names, some of them on one line of `index.json`.
    fn renamed(&self, names: &[Vec<Name>], places: &HashMap<Name, usize>) -> Result<Edit<S>> {
        let mut changes = Vec::new();
        for (image, after) in self.images().iter().zip(names) {
            let old: HashSet<&Name> = image.names.iter().collect();
            let new: HashSet<&Name> = after.iter().collect();
            let removed = image.names.iter().filter(|name| !new.contains(name)).map(ToString::to_string);
            let added = after.iter().filter(|name| !old.contains(name)).map(ToString::to_string);
            let (mut removed, mut added) = (removed.fuse(), added.fuse());
            loop {
                let change = NameChange { image: image.id.clone(), from: removed.next(), to: added.next() };
                if change.from.is_none() && change.to.is_none() {
                    break;
                }
                changes.push(change);
            }
        }
        Ok(Edit { archive: self.with_names(names, places)?, changes })
    }
}

impl RenameRule {
    /// The name after this rule; `None` where it does not fit.
    fn apply(&self, name: &Name) -> Option<String> {
        let from = self.from.trim_end_matches('/');
        let familiar = name.to_string();
        let Some(reference) = name.reference() else {
            return rest_after(&familiar, from).map(|rest| join(&self.to, rest));
        };
        if from.is_empty() {
            return Some(join(&self.to, &reference.without_registry()));
        }
        let canonical = reference.canonical();
        let official = format!("docker.io/library/{from}");
        let hub = format!("docker.io/{from}");
        let rest = rest_after(&familiar, from)
            .or_else(|| [from, &hub, &official].into_iter().find_map(|from| rest_after(&canonical, from)))?;
        Some(join(&self.to, rest))
    }
}

/// What follows `from` in `name`, where `from` ends at a slash, the colon of a tag (not that of a port), an at sign or the end.
fn rest_after<'a>(name: &'a str, from: &str) -> Option<&'a str> {
    let is_tag = |rest: &str| rest.starts_with(':') && !rest.contains('/');
    name.strip_prefix(from).filter(|rest| rest.is_empty() || rest.starts_with(['/', '@']) || is_tag(rest))
}

/// `to` before `rest`, with one slash between where they are both paths.
fn join(to: &str, rest: &str) -> String {
    let to = to.trim_end_matches('/');
    if rest.starts_with([':', '@']) || rest.is_empty() {
        return format!("{to}{rest}");
    }
    let rest = rest.trim_start_matches('/');
    if to.is_empty() { rest.to_owned() } else { format!("{to}/{rest}") }
}
