//! Files taken out of every layer that has them, so that no byte of theirs is left.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::growing::Growing;
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
    /// The paths that the old layer has, and those that are told anew: Docker refuses a layer that tells of one twice.
    known: Option<HashSet<Vec<u8>>>,
    entries: usize,
    is_changed: bool,
}

impl Draft {
    /// Tells of a directory or a whiteout, unless an entry of the layer does.
    fn tell(&mut self, index: &SharedIndex, path: Vec<u8>, kind: FileKind) {
        let paths =
            || (0..).map_while(|number| index.record(number)).map(|record| index.path(record)).collect();
        if self.known.get_or_insert_with(paths).insert(path.clone()) {
            self.plan.add(&header::header(path, kind, None, Holes::Filled));
            self.entries += 1;
        }
    }
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
                wanted.look(merging.files());
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
            && !self.merging.files().is_directory(node)
            && self.is_gone(&self.merging.files().path(node))
        {
            self.files.extend(self.merging.files().origin(node));
        }
        true
    }

    fn name(&mut self) -> bool {
        let Some((layer, number, outcome)) = self.merging.next(|_, _, _| {}) else { return false };
        if let Outcome::Placed(_, node) = outcome
            && self.is_of_them(node)
        {
            let path = self.merging.files().path(node);
            if !self.is_gone(&path) {
                self.names.entry(path).or_default().push((layer, number));
            }
        }
        true
    }

    /// Whether what is at a node is one of the files that go.
    fn is_of_them(&self, node: u32) -> bool {
        !self.merging.files().is_directory(node)
            && self.merging.files().origin(node).is_some_and(|file| self.files.contains(&file))
    }

    fn decide(&mut self) -> bool {
        let Self { merging, gone, names, .. } = self;
        let mut way = Way::default();
        let next = merging.next(|state, _, record| way = Way::of(state, record, gone, names));
        let Some((layer, number, outcome)) = next else { return false };
        let Some(index) = self.layers.get(layer).cloned() else { return true };
        let Some(record) = index.record(number) else { return true };
        let fate = self.fate(&index, (layer, number), record, &outcome, &way);
        let implied = match fate {
            Fate::Goes | Fate::Hides(_) if way.is_new => self.implied(index.directory(record.directory)),
            _ => Vec::new(),
        };
        let draft = self.plans.entry(layer).or_default();
        for directory in implied {
            draft.tell(&index, directory, FileKind::Directory);
        }
        draft.is_changed |= !matches!(fate, Fate::Stays);
        draft.entries += usize::from(!matches!(fate, Fate::Goes | Fate::Hides(_)));
        match fate {
            Fate::Stays => draft.plan.keep_entry(layer, &index, number),
            Fate::Renamed(path) => draft.plan.rename_entry(layer, &index, number, path),
            Fate::Relinked(path, target) => {
                draft.plan.add(&header::link(path, Some((&index, record)), &target));
            }
            Fate::Goes => self.rewrite.lose(layer, &index, number),
            Fate::Hides(path) => {
                draft.tell(&index, path, FileKind::File);
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
        way: &Way,
    ) -> Fate {
        let path = index.path(record);
        let (directory, name) = split(&path);
        let or_goes = |goes: bool, other: Fate| if goes { Fate::Goes } else { other };
        if let &Outcome::Placed(change, node) = outcome {
            let real = self.merging.files().path(node);
            if self.is_gone(&real) || self.is_outdone(&real, layer, number) {
                return Fate::Goes;
            }
            if self.is_of_them(node) {
                let (directory, name) = split(&real);
                let marker = join(directory, &[b".wh.", name].concat());
                return or_goes(change != ChangeKind::Changed, Fate::Hides(marker));
            }
            if let Some(target) = way.leads.clone().filter(|_| way.relinks) {
                return Fate::Relinked(real, target);
            }
            return if way.moves && real != path { Fate::Renamed(real) } else { Fate::Stays };
        }
        let hides = if name == OPAQUE { Some(None) } else { hidden(&path).map(|(_, name)| Some(name)) };
        let (&Outcome::Removed(place, _), Some(hides)) = (outcome, hides) else {
            // What has no place might get one when what is in its way is gone.
            let is_file = u32::try_from(layer).is_ok_and(|layer| self.files.contains(&(layer, number)));
            let is_idle = !path.is_empty() && !path.starts_with(b".wh..wh.");
            return or_goes(is_file || is_idle, Fate::Stays);
        };
        // A whiteout, which hides something in the directory where its way leads.
        let real = self.merging.files().path(place);
        let goes = self.is_gone(&hides.map_or_else(|| real.clone(), |name| join(&real, name)));
        let moves = way.moves && real != directory;
        or_goes(goes, if moves { Fate::Renamed(join(&real, name)) } else { Fate::Stays })
    }

    /// Directories that are there because the entry that goes was in them, and stay.
    fn implied(&self, directory: &[u8]) -> Vec<Vec<u8>> {
        let files = self.merging.files();
        let way = files.way(directory).into_iter().filter(|&node| files.is_implied(node));
        let goes =
            |path: &Vec<u8>| ways(path).any(|way| self.gone.contains(way) || self.names.contains_key(way));
        way.map(|node| files.path(node)).filter(|path| !goes(path)).collect()
    }

    /// Whether what is at that path goes: it or a directory above it.
    fn is_gone(&self, path: &[u8]) -> bool {
        ways(path).any(|way| self.gone.contains(way))
    }

    /// Whether a later entry of the layer puts another name of what goes in the place of that one.
    fn is_outdone(&self, path: &[u8], layer: usize, number: u32) -> bool {
        ways(path).any(|way| {
            // In the order in which they were found: there may be very many of one path.
            let put = self.names.get(way).map_or(&[][..], Vec::as_slice);
            let next = put.get(put.partition_point(|&one| one <= (layer, number)));
            next.is_some_and(|&(other, _)| other == layer)
        })
    }

    fn end(&mut self) {
        for (layer, Draft { mut plan, entries, is_changed, .. }) in std::mem::take(&mut self.plans) {
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
    fn look(&mut self, state: &Growing) {
        let real = state.look_up(&self.path, false).map(|node| state.path(node));
        match real.filter(|real| !real.is_empty()) {
            Some(real) if real == self.path => self.is_there = true,
            real => self.others.extend(real),
        }
    }
}

/// Where the paths of an entry lead before it is unpacked.
#[derive(Default)]
struct Way {
    /// Of a hard link, where its target is.
    leads: Option<Vec<u8>>,
    /// Whether nothing is there yet.
    is_new: bool,
    /// Whether its directory is reached through what goes.
    moves: bool,
    /// Whether the target of a hard link is.
    relinks: bool,
}

impl Way {
    fn of(
        state: &Growing,
        record: Record,
        gone: &BTreeSet<Vec<u8>>,
        names: &BTreeMap<Vec<u8>, Vec<(usize, u32)>>,
    ) -> Self {
        let Some(index) = state.layers().get(state.layer()) else { return Self::default() };
        let goes = |node: u32| {
            let path = state.path(node);
            ways(&path).any(|way| gone.contains(way) || names.contains_key(way))
        };
        // Most directories are where their paths say. Where one leads that is not there yet nobody knows.
        let is_through = |directory: &[u8], real: Option<u32>| {
            let is_elsewhere = |node: u32| state.path(node) != directory;
            real.is_none_or(|node| is_elsewhere(node) && state.way(directory).into_iter().any(goes))
        };
        let directory = index.directory(record.directory);
        let real = state.look_up(directory, true);
        let way = Self { is_new: real.is_none(), moves: is_through(directory, real), ..Self::default() };
        let Some(target) = index.link(record).filter(|_| record.kind() == FileKind::HardLink) else {
            return way;
        };
        let leads = state.look_up(target, false).map(|node| state.path(node));
        let (directory, _) = split(target);
        Self { leads, relinks: is_through(directory, state.look_up(directory, true)), ..way }
    }
}

impl std::fmt::Debug for Dropping {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dropping").field("gone", &self.gone.len()).finish_non_exhaustive()
    }
}
