//! Files taken out of every layer that has them, so that no byte of theirs is left.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::header::{self, Holes};
use super::indexing::{normal, split};
use super::layer::{FileKind, Record, SharedIndex, join};
use super::merge::{ChangeKind, Merging, OPAQUE, Outcome, hidden};
use super::rewrite::{LayerPlan, Rewrite, RewrittenLayer, packing_after};
use crate::error::{Code, Error, Result};

/// The layers are gone through four times.
enum Stage {
    /// Where the paths lead, after each layer: there may be links on the way.
    Finding,
    /// Which files they are: these may have other names.
    Gathering,
    /// Which other names these are.
    Naming,
    /// What becomes of each entry.
    Deciding,
}

/// Paths that are being taken out of layers, a bounded number of entries at a time.
///
/// With a path goes all that is below it, in every layer, its whiteouts, and every other name of its files; where such a
/// name hides something, a whiteout takes its place. Entries that stay are what they were, byte for byte, unless their path
/// leads through what goes. A layer of which nothing is left stays, so that the history's steps have theirs.
pub struct Dropping {
    layers: Vec<SharedIndex>,
    wanted: Vec<Wanted>,
    stage: Stage,
    merging: Merging,
    /// How many layers were merged when the paths were last looked for.
    looked: usize,
    /// All that goes, by path.
    gone: BTreeSet<Vec<u8>>,
    /// The files that go: their layers and entries.
    files: HashSet<(u32, u32)>,
    /// Where these have other names, each with the layers and the entries that put it there. Whatever led through a link
    /// there does so no more, and what such a layer had there before is not to be seen again.
    names: BTreeMap<Vec<u8>, Vec<(usize, u32)>>,
    plans: BTreeMap<usize, Draft>,
    rewrite: Rewrite,
}

/// A path that was asked for.
struct Wanted {
    path: Vec<u8>,
    /// Whether some layer has something at that very path.
    is_there: bool,
    /// Where links on the way lead.
    others: BTreeSet<Vec<u8>>,
}

/// A layer that is being put together.
#[derive(Default)]
struct Draft {
    plan: LayerPlan,
    entries: usize,
    is_changed: bool,
}

/// What becomes of an entry.
enum Fate {
    Stays,
    /// It is told again, because its path led through what goes.
    Renamed(Vec<u8>),
    /// A hard link whose target did.
    Relinked(Vec<u8>, Vec<u8>),
    Goes,
    /// It goes, and a whiteout at this path hides what it hid.
    Hides(Vec<u8>),
}

impl Dropping {
    /// Begins with an image's layers. Paths are from the root, with or without a slash before them. Where no layer has anything
    /// at a path, links on the way are followed; those at the end are what goes.
    ///
    /// Fails with `invalid-argument` where there is no path, or one of the root, and with `limit-exceeded`.
    pub fn new(layers: Vec<SharedIndex>, paths: &[&[u8]]) -> Result<Self> {
        let paths: Vec<Vec<u8>> = paths.iter().map(|path| normal(path)).collect();
        if paths.is_empty() || paths.iter().any(Vec::is_empty) {
            return Err(Error::new(Code::InvalidArgument, "The root of a file system cannot be dropped."));
        }
        Ok(Self {
            merging: Merging::new(layers.clone())?,
            layers,
            looked: 0,
            gone: BTreeSet::new(),
            wanted: paths.into_iter().map(Wanted::new).collect(),
            stage: Stage::Finding,
            files: HashSet::new(),
            names: BTreeMap::new(),
            plans: BTreeMap::new(),
            rewrite: Rewrite::default(),
        })
    }

    /// Goes on for that many entries; `true` at the end.
    ///
    /// Fails with `no-such-file` where no layer has anything at one of the paths.
    pub fn step(&mut self, entries: usize) -> Result<bool> {
        for _ in 0..entries {
            let went_on = match self.stage {
                Stage::Finding => self.find(),
                Stage::Gathering => self.gather(),
                Stage::Naming => self.name(),
                Stage::Deciding => self.decide(),
            };
            if went_on {
                continue;
            }
            self.stage = match self.stage {
                Stage::Finding => {
                    self.found()?;
                    Stage::Gathering
                }
                Stage::Gathering => Stage::Naming,
                Stage::Naming => Stage::Deciding,
                Stage::Deciding => {
                    self.end();
                    return Ok(true);
                }
            };
            self.merging = Merging::new(self.layers.clone())?;
        }
        Ok(false)
    }

    /// What becomes of the layers. To be called at the end.
    pub fn finish(self) -> Rewrite {
        self.rewrite
    }
}

impl Dropping {
    fn find(&mut self) -> bool {
        let Self { merging, wanted, looked, .. } = self;
        let next = merging.next(|state, _, _| {
            if std::mem::replace(looked, state.layer()) != state.layer() {
                for wanted in &mut *wanted {
                    wanted.look(state);
                }
            }
        });
        let went_on = next.is_some();
        if !went_on {
            for wanted in wanted {
                wanted.look(merging);
            }
        }
        went_on
    }

    fn found(&mut self) -> Result<()> {
        for Wanted { path, is_there, others } in std::mem::take(&mut self.wanted) {
            if is_there {
                self.gone.insert(path);
            } else if others.is_empty() {
                let path = String::from_utf8_lossy(&path).into_owned();
                let sentence = format!("No such file or directory: /{path}.");
                return Err(Error::new(Code::NoSuchFile, sentence).with("entry", path));
            } else {
                self.gone.extend(others);
            }
        }
        Ok(())
    }

    fn gather(&mut self) -> bool {
        let Some((_, _, outcome)) = self.merging.next(|_, _, _| {}) else { return false };
        if let Outcome::Placed(_, node) = outcome
            && !self.merging.is_directory(node)
            && self.is_gone(&self.merging.path(node))
        {
            self.files.extend(self.merging.origin(node));
        }
        true
    }

    fn name(&mut self) -> bool {
        let Some((layer, number, outcome)) = self.merging.next(|_, _, _| {}) else { return false };
        if let Outcome::Placed(_, node) = outcome
            && self.is_of_them(node)
        {
            let path = self.merging.path(node);
            if !self.is_gone(&path) {
                self.names.entry(path).or_default().push((layer, number));
            }
        }
        true
    }

    /// Whether what is at a node is one of the files that go.
    fn is_of_them(&self, node: u32) -> bool {
        !self.merging.is_directory(node)
            && self.merging.origin(node).is_some_and(|file| self.files.contains(&file))
    }

    fn decide(&mut self) -> bool {
        let mut way = None;
        let Some((layer, number, outcome)) =
            self.merging.next(|state, _, record| way = way_of(state, record))
        else {
            return false;
        };
        let Some(index) = self.layers.get(layer).cloned() else { return true };
        let Some(record) = index.record(number) else { return true };
        let fate = self.fate(&index, (layer, number), record, &outcome, way);
        let draft = self.plans.entry(layer).or_default();
        draft.is_changed |= !matches!(fate, Fate::Stays);
        draft.entries += usize::from(!matches!(fate, Fate::Goes));
        match fate {
            Fate::Stays => draft.plan.keep_entry(layer, &index, number),
            Fate::Renamed(path) => draft.plan.rename_entry(layer, &index, number, path),
            Fate::Relinked(path, target) => {
                draft.plan.add(&header::link(path, Some((&index, record)), &target));
            }
            Fate::Goes => self.rewrite.lose(layer, &index, number),
            Fate::Hides(path) => {
                draft.plan.add(&header::header(path, FileKind::File, None, Holes::Filled));
                self.rewrite.lose(layer, &index, number);
            }
        }
        true
    }

    fn fate(
        &self,
        index: &SharedIndex,
        (layer, number): (usize, u32),
        record: Record,
        outcome: &Outcome,
        way: Option<Vec<u8>>,
    ) -> Fate {
        let path = index.path(record);
        let (directory, name) = split(&path);
        let or_goes = |goes: bool, other: Fate| if goes { Fate::Goes } else { other };
        if let &Outcome::Placed(change, node) = outcome {
            let real = self.merging.path(node);
            if self.is_gone(&real) || self.is_outdone(&real, layer, number) {
                return Fate::Goes;
            }
            if self.is_of_them(node) {
                let (directory, name) = split(&real);
                let marker = join(directory, &[b".wh.", name].concat());
                return or_goes(change != ChangeKind::Changed, Fate::Hides(marker));
            }
            let is_link = record.kind() == FileKind::HardLink;
            if let Some(target) =
                way.filter(|_| is_link && self.leads_there(index.link(record).unwrap_or_default()))
            {
                return Fate::Relinked(real, target);
            }
            let moves = real != path && self.leads_there(&path);
            return if moves { Fate::Renamed(real) } else { Fate::Stays };
        }
        let hides = if name == OPAQUE { Some(None) } else { hidden(&path).map(|(_, name)| Some(name)) };
        let Some(hides) = hides else {
            // What has no place might get one when what is in its way is gone.
            let is_file = u32::try_from(layer).is_ok_and(|layer| self.files.contains(&(layer, number)));
            let is_idle = !path.is_empty() && !path.starts_with(b".wh..wh.");
            return or_goes(is_file || is_idle, Fate::Stays);
        };
        // A whiteout, which hides something in the directory where its way leads.
        let real = way.as_deref().unwrap_or(directory);
        let goes = self.is_gone(&hides.map_or_else(|| real.to_vec(), |name| join(real, name)));
        let moves = real != directory && self.leads_there(directory);
        or_goes(goes, if moves { Fate::Renamed(join(real, name)) } else { Fate::Stays })
    }

    /// Whether what is at that path goes: it or a directory above it.
    fn is_gone(&self, path: &[u8]) -> bool {
        ways(path).any(|way| self.gone.contains(way))
    }

    /// Whether a path as it is written may lead through what goes.
    fn leads_there(&self, path: &[u8]) -> bool {
        ways(path).any(|way| self.gone.contains(way) || self.names.contains_key(way))
    }

    /// Whether a later entry of the layer puts another name of what goes in the place of that one.
    fn is_outdone(&self, path: &[u8], layer: usize, number: u32) -> bool {
        let is_later = |&(other, put): &(usize, u32)| other == layer && put > number;
        ways(path).any(|way| self.names.get(way).is_some_and(|put| put.iter().any(is_later)))
    }

    fn end(&mut self) {
        for (layer, Draft { mut plan, entries, is_changed }) in std::mem::take(&mut self.plans) {
            let Some(index) = self.layers.get(layer).filter(|_| is_changed) else { continue };
            plan.end();
            self.rewrite.layers.push(RewrittenLayer {
                first: layer,
                count: 1,
                before: index.size,
                after: plan.size(),
                entries_before: index.len(),
                entries_after: entries,
                packing: packing_after(index),
                plan,
            });
        }
    }
}

/// The directories above a path, and the path.
fn ways(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let above = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
    above.chain([path.len()]).filter_map(|end| path.get(..end))
}

impl Wanted {
    fn new(path: Vec<u8>) -> Self {
        Self { path, is_there: false, others: BTreeSet::new() }
    }

    /// Notes where the path leads now.
    fn look(&mut self, state: &Merging) {
        let real = state.look_up(&self.path, false).map(|node| state.path(node));
        match real.filter(|real| !real.is_empty()) {
            Some(real) if real == self.path => self.is_there = true,
            real => self.others.extend(real),
        }
    }
}

/// Where the way of an entry leads: of a whiteout to its directory, of a hard link to its target.
fn way_of(state: &Merging, record: Record) -> Option<Vec<u8>> {
    let index = state.layers().get(state.layer())?;
    let node = if index.name(record).starts_with(b".wh.") {
        state.look_up(index.directory(record.directory), true)?
    } else if record.kind() == FileKind::HardLink {
        state.look_up(index.link(record)?, false)?
    } else {
        return None;
    };
    Some(state.path(node))
}

impl std::fmt::Debug for Dropping {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dropping").field("gone", &self.gone.len()).finish_non_exhaustive()
    }
}
