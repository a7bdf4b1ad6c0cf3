//! Layers unpacked one after the other: what each of their entries does (OCI image specification, `layer.md`).

use std::collections::HashMap;

use super::growing::{Growing, NONE, ROOT, Removed};
use super::indexing::split;
use super::layer::{FileKind, Record, SharedIndex};
use super::tree::{Named, Tree};
use crate::error::{Code, Error, Result};

/// The most entries of all layers of one image together.
const MAX_ENTRIES: usize = 8_000_000;

/// What a layer does to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    /// There was nothing at this path.
    Added,
    /// There was something.
    Changed,
    /// What was there is no more.
    Deleted,
}

/// What follows from one entry.
pub(super) enum Outcome {
    /// It stands at that node now.
    Placed(ChangeKind, u32),
    /// A whiteout in the directory at that node took these away.
    Removed(u32, Vec<Removed>),
    /// Nothing: it cannot be unpacked, or is of no meaning.
    Nothing,
}

/// Layers that are being merged, a bounded number of entries at a time.
pub struct Merging {
    files: Growing,
    /// Which entry of the layer comes next.
    record: u32,
    /// Where the directories of this layer are, as of an epoch.
    places: Vec<(u32, u32)>,
    /// Files of `.wh..wh.plnk`, where AUFS kept what has several names.
    aufs: HashMap<Vec<u8>, u32>,
}

impl Merging {
    /// Begins to merge layers, bottom first. Fails with `limit-exceeded`.
    pub fn new(layers: Vec<SharedIndex>) -> Result<Self> {
        let entries = layers.iter().fold(0_usize, |sum, layer| sum.saturating_add(layer.len()));
        if entries > MAX_ENTRIES {
            return Err(Error::new(Code::LimitExceeded, "The image's layers have too many files.")
                .with("limit", "members")
                .with("expected", MAX_ENTRIES)
                .with("actual", entries));
        }
        let mut merging =
            Self { files: Growing::new(layers), record: 0, places: Vec::new(), aufs: HashMap::new() };
        merging.enter();
        Ok(merging)
    }

    /// The files as they are now.
    pub(super) fn files(&self) -> &Growing {
        &self.files
    }

    /// The file system. To be called at the end.
    pub fn finish(self) -> Tree {
        self.files.finish()
    }

    /// Goes on for that many entries; `true` at the end.
    pub fn step(&mut self, entries: usize) -> bool {
        (0..entries).any(|_| self.next(|_, _, _| {}).is_none())
    }

    /// Unpacks the next entry; `None` at the end. `before` sees it first.
    pub(super) fn next(
        &mut self,
        mut before: impl FnMut(&Growing, u32, Record),
    ) -> Option<(usize, u32, Outcome)> {
        loop {
            let layer = self.files.layer();
            let index = self.files.layers().get(layer)?.clone();
            let Some(record) = index.record(self.record) else {
                self.files.enter_next();
                self.enter();
                continue;
            };
            before(&self.files, self.record, record);
            let number = self.record;
            self.record += 1;
            let outcome = self.apply(number, record).unwrap_or(Outcome::Nothing);
            return Some((layer, number, outcome));
        }
    }

    fn enter(&mut self) {
        self.record = 0;
        let directories =
            self.files.layers().get(self.files.layer()).map_or(0, |index| index.directories.len());
        self.places.clear();
        self.places.resize(directories, (0, NONE));
    }

    /// What the entry does; nothing where it has no place.
    fn apply(&mut self, number: u32, record: Record) -> Option<Outcome> {
        let index = self.files.layers().get(self.files.layer())?.clone();
        let name = index.name(record);
        let directory = index.directory(record.directory);
        // What AUFS noted for itself, but for the files that have several names.
        if directory.starts_with(b".wh..wh.")
            || (directory.is_empty() && name.starts_with(b".wh..wh.") && name != OPAQUE)
        {
            if directory == AUFS_LINKS && record.kind() == FileKind::File {
                let inode = self.files.inode(number)?;
                self.aufs.insert(index.path(record), inode);
            }
            return None;
        }
        if name.is_empty() {
            if record.kind() == FileKind::Directory {
                let inode = self.files.inode(number)?;
                self.files.replace(ROOT, inode)?;
            }
            return None;
        }
        if let Some(hidden) = name.strip_prefix(b".wh.") {
            // A whiteout in a directory that is not there hides nothing, but Docker and containerd make that first.
            let parent = self.place(&index, record.directory)?;
            let mut removed = Vec::new();
            if name == OPAQUE {
                self.files.remove_lower_children(parent, &mut removed);
            } else if !matches!(hidden, b"" | b"." | b"..")
                && let Some(node) = self.files.child(parent, hidden)
            {
                self.files.remove_lower(node, &mut removed);
            }
            return Some(Outcome::Removed(parent, removed));
        }
        // One that leads nowhere, or to a directory, does nothing at all.
        let linked = match record.kind() {
            FileKind::HardLink => Some(self.linked(index.link(record)?)?),
            _ => None,
        };
        let parent = self.place(&index, record.directory)?;
        let existing = self.files.child(parent, name);
        // A directory that this very layer has made on its way was not there before.
        let change = match existing.filter(|&node| !self.files.is_implied(node)) {
            Some(_) => ChangeKind::Changed,
            None => ChangeKind::Added,
        };
        let is_directory = record.kind() == FileKind::Directory;
        if let Some(node) = existing
            && is_directory
            && self.files.kind(node) == Some(FileKind::Directory)
        {
            let inode = self.files.inode(number)?;
            self.files.replace(node, inode)?;
            return Some(Outcome::Placed(change, node));
        }
        if let Some(node) = existing {
            self.files.make_room(node, record.kind() != FileKind::File);
        }
        let inode = linked.or_else(|| self.files.inode(number))?;
        let named = Named::Entry { layer: u32::try_from(self.files.layer()).ok()?, record: number };
        let node = self.files.put(parent, name, named, inode)?;
        Some(Outcome::Placed(change, node))
    }

    /// The file that a hard link leads to.
    fn linked(&self, target: &[u8]) -> Option<u32> {
        let known = self.aufs.get(target).copied();
        let inode = known.or_else(|| self.files.file(self.files.look_up(target, false)?))?;
        (self.files.kind_of(inode)? != FileKind::Directory).then_some(inode)
    }

    /// The directory with that number in the layer's index, made where it is not there.
    fn place(&mut self, index: &SharedIndex, directory: u32) -> Option<u32> {
        if directory == 0 {
            return Some(ROOT);
        }
        if let Some(&(epoch, node)) = self.places.get(directory as usize)
            && epoch == self.files.epoch()
        {
            return (node != NONE).then_some(node);
        }
        let path = index.directory(directory);
        let found = self.files.make_way(path);
        let epoch = self.files.epoch();
        if let Some(place) = self.places.get_mut(directory as usize) {
            *place = (epoch, found.unwrap_or(NONE));
        }
        found
    }
}

/// Hides what lower layers have in its directory (OCI image layer specification, "Opaque Whiteout").
pub(super) const OPAQUE: &[u8] = b".wh..wh..opq";
/// Where AUFS kept files that have several names.
const AUFS_LINKS: &[u8] = b".wh..wh.plnk";

impl std::fmt::Debug for Merging {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Merging")
            .field("layer", &self.files.layer())
            .field("names", &self.files.names())
            .finish_non_exhaustive()
    }
}

/// Merges layers at once; see [`Merging`].
pub fn merge(layers: Vec<SharedIndex>) -> Result<Tree> {
    let mut merging = Merging::new(layers)?;
    while !merging.step(usize::MAX) {}
    Ok(merging.finish())
}

/// The directory and the name of what a whiteout hides; `None` for what is none, and for opaque ones.
pub(super) fn hidden(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let (directory, name) = split(path);
    let hidden = name.strip_prefix(b".wh.").filter(|_| name != OPAQUE)?;
    (!matches!(hidden, b"" | b"." | b"..") && !path.starts_with(b".wh..wh.")).then_some((directory, hidden))
}
