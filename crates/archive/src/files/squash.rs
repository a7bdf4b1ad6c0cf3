//! Several layers as one, which does to what is below them what they do together.

use std::collections::HashMap;

use super::header::{self, Holes};
use super::layer::{FileKind, Record, SharedIndex, join};
use super::merge::{Merging, OPAQUE};
use super::rewrite::{LayerPlan, Rewrite, RewrittenLayer, packing_after};
use super::tree::Tree;
use crate::error::{Code, Error, Result};

/// Which entry something comes from: its layer and its number there. Their order is that of unpacking.
type Origin = (u32, u32);

/// What stands at one place of the new layer. There may be a million: 20 bytes.
struct Item {
    /// The entry in whose place it is. A link that is made anew comes after that.
    at: Origin,
    number: u32,
    what: What,
}

/// How a file comes into the new layer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    /// By the entry in whose place it is.
    Entry,
    /// By the data of that entry, under the path that the file has.
    Renamed,
    /// As one more name of that file.
    Link(u32),
}

/// A file with several names: the one that has the data, and whether that stands below the new layer.
struct First {
    number: u32,
    origin: Origin,
    is_below: bool,
}

enum Stage {
    /// Merging what is below.
    Below(Merging),
    /// Merging all of it.
    All(Tree, Merging),
    Ended(Rewrite),
}

/// Layers that are being merged into one: a bounded number of entries at a time, until all are merged.
///
/// The new layer is what tells the two file systems apart: the entries whose files are still there, byte for byte where
/// their path is still theirs, and whiteouts for what the layers hide of what is below them.
pub struct Squashing {
    layers: Vec<SharedIndex>,
    /// The lowest of those that become one.
    first: usize,
    stage: Option<Stage>,
}

impl Squashing {
    /// Begins with an image's layers, of which those from `first` on become one.
    ///
    /// Fails with `invalid-argument` where these are fewer than two, and with `limit-exceeded`.
    pub fn new(layers: Vec<SharedIndex>, first: usize) -> Result<Self> {
        if layers.len() < first + 2 {
            let sentence = "Squashing takes two layers or more: nothing would change.";
            return Err(Error::new(Code::InvalidArgument, sentence)
                .with("expected", first + 2)
                .with("actual", layers.len()));
        }
        let below = layers.get(..first).unwrap_or_default().to_vec();
        let stage = Some(Stage::Below(Merging::new(below)?));
        Ok(Self { layers, first, stage })
    }

    /// Goes on for about that many entries; `true` at the end. Fails with `limit-exceeded`.
    pub fn step(&mut self, entries: usize) -> Result<bool> {
        self.stage = Some(match self.stage.take() {
            Some(Stage::Below(mut merging)) => {
                if merging.step(entries) {
                    Stage::All(merging.finish(), Merging::new(self.layers.clone())?)
                } else {
                    Stage::Below(merging)
                }
            }
            Some(Stage::All(below, mut merging)) => {
                if merging.step(entries) {
                    Stage::Ended(squashed(&below, &merging.finish(), self.first))
                } else {
                    Stage::All(below, merging)
                }
            }
            Some(Stage::Ended(rewrite)) => Stage::Ended(rewrite),
            None => return Ok(true),
        });
        Ok(matches!(self.stage, Some(Stage::Ended(_))))
    }

    /// What becomes of the layers. To be called at the end.
    pub fn finish(self) -> Rewrite {
        match self.stage {
            Some(Stage::Ended(rewrite)) => rewrite,
            _ => Rewrite::default(),
        }
    }
}

/// The layer that makes `all` of `below`.
fn squashed(below: &Tree, all: &Tree, first: usize) -> Rewrite {
    let hiding = Hiding::new(below, all, first);
    let mut plan = LayerPlan::default();
    let markers = hiding.tell(&mut plan);
    let mut items = items(all, first);
    // Docker refuses a layer that tells of a path twice.
    items.retain(|item| hiding.told.binary_search(&(item.number as usize)).is_err());
    items.sort_unstable_by_key(|item| (item.at, item.what, item.number));
    let mut used: Vec<Vec<bool>> = all.layers().iter().map(|index| vec![false; index.len()]).collect();
    for &Item { at: (layer, record), number, what } in &items {
        let (layer, path) = (layer as usize, |number: u32| all.path(number as usize));
        if let What::Link(first) = what {
            let file = all.record(number as usize).map(|(_, index, record)| (&**index, record));
            plan.add(&header::link(path(number), file, &path(first)));
            continue;
        }
        if let Some(used) = used.get_mut(layer).and_then(|used| used.get_mut(record as usize)) {
            *used = true;
        }
        let Some(index) = all.layers().get(layer) else { continue };
        if what == What::Entry {
            plan.keep_entry(layer, index, record);
        } else {
            plan.rename_entry(layer, index, record, path(number));
        }
    }
    plan.end();
    let squashed = || all.layers().iter().enumerate().skip(first);
    let mut rewrite = Rewrite::default();
    for ((layer, index), used) in squashed().zip(used.iter().skip(first)) {
        for (number, _) in (0..).zip(used).filter(|(_, is_used)| !**is_used) {
            let is_file =
                |record: Record| record.kind() == FileKind::File && !index.name(record).starts_with(b".wh.");
            if index.record(number).is_some_and(is_file) {
                rewrite.lose(layer, index, number);
            }
        }
    }
    rewrite.layers.push(RewrittenLayer {
        first,
        count: all.layers().len() - first,
        before: squashed().map(|(_, index)| index.size).sum(),
        after: plan.size(),
        entries_before: squashed().map(|(_, index)| index.len()).sum(),
        entries_after: markers + items.len(),
        packing: all.layers().last().map_or(crate::write::Packing::None, packing_after),
        plan,
    });
    rewrite
}

/// Which entry put a name where it is; of a directory, the last that tells of it. `None` for a directory that has none.
fn origin(tree: &Tree, number: usize) -> Option<Origin> {
    if tree.kind(number) != FileKind::Directory {
        return tree.placed(number);
    }
    let inode = tree.inode(number)?;
    tree.record(number).map(|_| (inode.layer, inode.record))
}

/// Whether a file is there by a layer below the `first`.
fn is_old(tree: &Tree, number: usize, first: usize) -> bool {
    let layer = match tree.kind(number) {
        FileKind::Directory => tree.inode(number).map(|inode| inode.layer),
        _ => tree.placed(number).map(|(layer, _)| layer),
    };
    layer.is_some_and(|layer| (layer as usize) < first)
}

/// All that the layers from `first` on put where it is.
fn items(tree: &Tree, first: usize) -> Vec<Item> {
    let firsts = firsts(tree, first);
    let mut items = Vec::new();
    for number in 0..tree.len() {
        if is_old(tree, number, first) {
            continue;
        }
        let Some(own) = origin(tree, number) else { continue };
        let entry = |(layer, record): Origin| {
            let index = tree.layers().get(layer as usize)?;
            Some((index, index.record(record)?))
        };
        let Some((index, record)) = entry(own) else { continue };
        let has_its_path = index.path(record) == tree.path(number);
        let data = tree.inode(number).map_or(own, |inode| (inode.layer, inode.record));
        let several = tree.identity(number).and_then(|inode| firsts.get(&inode));
        // As many as there are entries at most.
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        let Some(first) = several.filter(|first| first.number != number) else {
            let what = if data == own && has_its_path { What::Entry } else { What::Renamed };
            items.push(Item { at: data, number, what });
            continue;
        };
        let comes_later = first.is_below || first.origin < own;
        let leads_there = record.kind() == FileKind::HardLink
            && index.link(record).is_some_and(|link| link == tree.path(first.number as usize));
        items.push(if has_its_path && leads_there && comes_later {
            Item { at: own, number, what: What::Entry }
        } else {
            Item { at: own.max(first.origin), number, what: What::Link(first.number) }
        });
    }
    items
}

/// Of each file with several names, the one that is to have the data: one that is below, or the one that its own entry
/// has, or the first.
fn firsts(tree: &Tree, first: usize) -> HashMap<u32, First> {
    let mut firsts: HashMap<u32, First> = HashMap::new();
    for number in 0..tree.len() {
        let Some(inode) = tree.inode(number).filter(|inode| inode.links > 1) else { continue };
        let (Some(identity), Some(placed)) = (tree.identity(number), origin(tree, number)) else { continue };
        let data = (inode.layer, inode.record);
        let is_below = is_old(tree, number, first);
        let rank = |is_below: bool, placed: Origin| (!is_below, placed != data, placed);
        let known = firsts
            .get(&identity)
            .and_then(|known| Some(rank(known.is_below, origin(tree, known.number as usize)?)));
        // As many as there are entries at most.
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        if known.is_none_or(|known| rank(is_below, placed) < known) {
            firsts.insert(identity, First { number, origin: data, is_below });
        }
    }
    firsts
}

/// The walk that finds what of the file system below is no more.
struct Hiding<'a> {
    below: &'a Tree,
    all: &'a Tree,
    /// How many files before that of each number are there by layers below.
    old: Vec<u32>,
    /// Directories that have to be there before what is in them.
    told: Vec<usize>,
    /// The paths of whiteouts.
    hidden: Vec<Vec<u8>>,
}

impl<'a> Hiding<'a> {
    fn new(below: &'a Tree, all: &'a Tree, first: usize) -> Self {
        let mut hiding = Self { below, all, old: Vec::new(), told: Vec::new(), hidden: Vec::new() };
        let mut count = 0;
        hiding.old.reserve(all.len() + 1);
        for number in 0..all.len() {
            hiding.old.push(count);
            let is_old = is_old(all, number, first);
            count += u32::from(is_old);
            // No entry tells of it: it may be where there was something else, or what implied it may be gone.
            if number > 0 && !is_old && all.record(number).is_none() {
                hiding.told.push(number);
            }
        }
        hiding.old.push(count);
        hiding.hide();
        hiding.told.sort_unstable();
        hiding
    }

    /// Puts into the plan what has to be told beside the layers' own entries, and says how much that is.
    fn tell(&self, plan: &mut LayerPlan) -> usize {
        for &number in &self.told {
            let found = self.all.record(number).map(|(_, index, record)| (&**index, record));
            let path = self.all.path(number);
            plan.add(&header::header(path, FileKind::Directory, found, Holes::Filled));
        }
        for path in &self.hidden {
            plan.add(&header::header(path.clone(), FileKind::File, None, Holes::Filled));
        }
        self.told.len() + self.hidden.len()
    }

    /// Puts a whiteout where something is hidden: one for each name, or one for all where nothing below a directory stays.
    fn hide(&mut self) {
        if self.below.is_empty() || self.all.is_empty() {
            return;
        }
        let mut todo = vec![(0, 0)];
        while let Some((directory, below)) = todo.pop() {
            let outside = todo.len();
            let hidden = self.compare(directory, below, &mut todo);
            if hidden.is_empty() {
                continue;
            }
            let path = self.all.path(directory);
            let old = |number: usize| self.old.get(number).copied().unwrap_or_default();
            let is_new = old(directory + 1) == old(self.all.end(directory));
            // The root of a layer cannot be opaque: overlayfs does not look at it.
            if is_new && directory != 0 {
                todo.truncate(outside);
                self.hidden.push(join(&path, OPAQUE));
                continue;
            }
            for name in hidden {
                self.hidden.push(join(&path, &[b".wh.", self.below.name(name)].concat()));
            }
        }
    }

    /// Whether a directory has its entry after what is in it; what no entry tells of comes first of all.
    fn comes_late(&self, directory: usize) -> bool {
        let Some(own) = origin(self.all, directory) else { return false };
        let is_before = |number: usize| {
            let data = self.all.inode(number).map(|inode| (inode.layer, inode.record));
            origin(self.all, number).is_none_or(|placed| placed < own || data.is_some_and(|data| data < own))
        };
        (directory + 1..self.all.end(directory)).any(is_before)
    }

    /// What a directory had below and has no more. Directories that it has in both go to `todo`.
    fn compare(&mut self, directory: usize, below: usize, todo: &mut Vec<(usize, usize)>) -> Vec<usize> {
        let (all, lower) = (self.all, self.below);
        let mut hidden = Vec::new();
        let mut ours = all.children(directory).peekable();
        let start = todo.len();
        for old in lower.children(below) {
            let name = lower.name(old);
            while ours.next_if(|&ours| all.name(ours) < name).is_some() {}
            let Some(ours) = ours.next_if(|&ours| all.name(ours) == name) else {
                hidden.push(old);
                continue;
            };
            if all.kind(ours) != FileKind::Directory {
                continue;
            }
            if lower.kind(old) == FileKind::Directory {
                todo.push((ours, old));
            } else if self.comes_late(ours) {
                // What is in it must not go through a link that was there.
                self.told.push(ours);
            }
        }
        // The last is popped first.
        if let Some(added) = todo.get_mut(start..) {
            added.reverse();
        }
        hidden
    }
}

impl std::fmt::Debug for Squashing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Squashing").field("first", &self.first).finish_non_exhaustive()
    }
}
