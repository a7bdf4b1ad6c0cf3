//! Two file systems side by side.

use std::rc::Rc;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::layer::{FileEntry, FileKind, LayerIndex, RawXattr, Record, SharedIndex};
use super::merge::ChangeKind;
use super::paths::components;
use super::read::{Contents, Cursor};
use super::tree::Tree;
use crate::error::Result;
use crate::recipe::Recipe;
use crate::source::Source;
use crate::unpack::Limits;

/// How much is read and hashed at a time.
const PIECE: usize = 256 << 10;
/// What a pair of files costs of a step's bytes.
const PAIR: u64 = 4096;

/// One of two file systems: the tree, and the bytes of its layers as they are stored.
pub struct Side<S: Source + Clone> {
    /// What the layers come to.
    pub tree: Rc<Tree>,
    /// The layers' bytes, bottom first.
    pub layers: Vec<Recipe<S>>,
}

/// What differs at one path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// What the second file system has against the first.
    pub change: ChangeKind,
    /// Of what is changed: `kind`, `content`, `mode`, `owner`, `link`, `xattrs`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub what: Vec<&'static str>,
    /// What the first has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<FileEntry>,
    /// What the second has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<FileEntry>,
}

const WHAT: [&str; 6] = ["kind", "content", "mode", "owner", "link", "xattrs"];
const KIND: u8 = 1;
const CONTENT: u8 = 1 << 1;
const MODE: u8 = 1 << 2;
const OWNER: u8 = 1 << 3;
const LINK: u8 = 1 << 4;
const XATTRS: u8 = 1 << 5;

/// A path that differs, or may: the files' numbers, and what of them.
#[derive(Clone, Copy)]
struct Pair {
    before: Option<u32>,
    after: Option<u32>,
    what: u8,
}

/// Which of the pairs have contents of one size, of which nobody knows yet whether they are the same.
struct Doubts {
    /// Pairs by the place of one side's file in its layers, with the number of the doubt.
    order: Vec<(usize, u32)>,
    at: usize,
    hashes: Vec<[u8; 32]>,
    reading: Option<(Cursor, Sha256)>,
}

/// Two file systems that are being compared, a bounded number of bytes at a time.
pub struct Comparing<S: Source + Clone> {
    sides: [Rc<Tree>; 2],
    contents: [Contents<S>; 2],
    next: (usize, usize),
    pairs: Vec<Pair>,
    /// The pairs that are in doubt.
    doubtful: Vec<usize>,
    doubts: Option<[Doubts; 2]>,
    done: u64,
    total: u64,
}

impl<S: Source + Clone> Comparing<S> {
    /// Begins. Contents are compared where they have one size and do not stand at the same place of one layer.
    pub fn new(before: Side<S>, after: Side<S>, limits: Limits) -> Self {
        let contents = |side: &Side<S>, layers| Contents::new(layers, side.tree.layers().to_vec(), limits);
        let (first, second) =
            (contents(&before, before.layers.clone()), contents(&after, after.layers.clone()));
        Self {
            sides: [before.tree, after.tree],
            contents: [first, second],
            next: (0, 0),
            pairs: Vec::new(),
            doubtful: Vec::new(),
            doubts: None,
            done: 0,
            total: 0,
        }
    }

    /// Goes on for about `bytes` bytes; `true` at the end. Fails as unpacking does.
    pub fn step(&mut self, bytes: u64) -> Result<bool> {
        let mut done = 0;
        while done < bytes {
            if self.doubts.is_none() {
                done += PAIR;
                if !self.pair() {
                    self.begin();
                }
                continue;
            }
            let mut ended = true;
            let Self { sides, contents, doubts, doubtful, pairs, .. } = self;
            for (side, doubts) in doubts.iter_mut().flatten().enumerate() {
                let (Some(tree), Some(contents)) = (sides.get(side), contents.get_mut(side)) else {
                    continue;
                };
                let number = |doubt: usize| {
                    let pair = doubtful.get(doubt).and_then(|&pair| pairs.get(pair))?;
                    Some(if side == 0 { pair.before? } else { pair.after? } as usize)
                };
                if let Some(read) = doubts.step(tree, contents, number)? {
                    done += read.max(1);
                    self.done += read;
                    ended = false;
                    break;
                }
            }
            if ended {
                self.settle();
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Bytes of contents compared so far, and of all that have to be; 0 while that is not known.
    pub fn progress(&self) -> (u64, u64) {
        (self.done, self.total)
    }

    /// How many differences there are. To be called at the end, as [`Self::get`] is.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// The difference with that number, in the order of the paths.
    pub fn get(&self, number: usize) -> Option<Difference> {
        let pair = self.pairs.get(number)?;
        let [before, after] = &self.sides;
        let before = pair.before.and_then(|number| before.entry(number as usize));
        let after = pair.after.and_then(|number| after.entry(number as usize));
        let change = match (&before, &after) {
            (None, _) => ChangeKind::Added,
            (_, None) => ChangeKind::Deleted,
            _ => ChangeKind::Changed,
        };
        let what = WHAT.iter().enumerate().filter(|(bit, _)| pair.what & (1 << bit) != 0);
        Some(Difference { change, what: what.map(|(_, &what)| what).collect(), before, after })
    }

    /// Takes the next path of either side; `false` at the end.
    fn pair(&mut self) -> bool {
        let [before, after] = &self.sides;
        let (a, b) = self.next;
        let order = match (a < before.len(), b < after.len()) {
            (false, false) => return false,
            (true, false) => std::cmp::Ordering::Less,
            (false, true) => std::cmp::Ordering::Greater,
            (true, true) => components(&before.path(a)).cmp(components(&after.path(b))),
        };
        let number = |number: usize| u32::try_from(number).ok();
        match order {
            std::cmp::Ordering::Less => {
                self.pairs.push(Pair { before: number(a), after: None, what: 0 });
                self.next.0 += 1;
            }
            std::cmp::Ordering::Greater => {
                self.pairs.push(Pair { before: None, after: number(b), what: 0 });
                self.next.1 += 1;
            }
            std::cmp::Ordering::Equal => {
                let (what, doubt) = differences(before, a, after, b);
                if doubt {
                    self.doubtful.push(self.pairs.len());
                    self.total += 2 * before.size(a);
                }
                if what != 0 || doubt {
                    self.pairs.push(Pair { before: number(a), after: number(b), what });
                }
                self.next = (a + 1, b + 1);
            }
        }
        true
    }

    /// All paths were looked at: what is in doubt is put into the order in which it is read.
    fn begin(&mut self) {
        let side = |tree: &Tree, number: &dyn Fn(&Pair) -> Option<u32>| {
            let mut order: Vec<(usize, u32)> = Vec::with_capacity(self.doubtful.len());
            for (doubt, &pair) in self.doubtful.iter().enumerate() {
                order.extend(self.pairs.get(pair).and_then(number).map(|number| (doubt, number)));
            }
            order.sort_by_key(|&(_, number)| {
                tree.record(number as usize).map(|(layer, _, record)| (layer, record.block))
            });
            Doubts { hashes: vec![[0; 32]; order.len()], order, at: 0, reading: None }
        };
        let [before, after] = &self.sides;
        self.doubts = Some([side(before, &|pair| pair.before), side(after, &|pair| pair.after)]);
    }

    /// What was in doubt differs or goes.
    fn settle(&mut self) {
        let Some([before, after]) = self.doubts.take() else { return };
        self.doubts = Some([Doubts::none(), Doubts::none()]);
        for (&pair, hashes) in self.doubtful.iter().zip(before.hashes.iter().zip(&after.hashes)) {
            if hashes.0 != hashes.1
                && let Some(pair) = self.pairs.get_mut(pair)
            {
                pair.what |= CONTENT;
            }
        }
        self.doubtful = Vec::new();
        self.pairs.retain(|pair| pair.what != 0 || pair.before.is_none() || pair.after.is_none());
    }
}

impl Doubts {
    fn none() -> Self {
        Self { order: Vec::new(), at: 0, hashes: Vec::new(), reading: None }
    }

    /// Reads and hashes one piece; `None` when all is hashed.
    fn step<S: Source + Clone>(
        &mut self,
        tree: &Tree,
        contents: &mut Contents<S>,
        number: impl Fn(usize) -> Option<usize>,
    ) -> Result<Option<u64>> {
        let Some(&(doubt, _)) = self.order.get(self.at) else { return Ok(None) };
        if self.reading.is_none() {
            self.reading = number(doubt).and_then(|number| Some((Cursor::new(tree, number)?, Sha256::new())));
        }
        if let Some((cursor, hasher)) = &mut self.reading
            && let Some(bytes) = contents.bytes(cursor, PIECE)?
        {
            hasher.update(&bytes);
            return Ok(Some(bytes.len() as u64));
        }
        if let Some((_, hasher)) = self.reading.take()
            && let Some(hash) = self.hashes.get_mut(doubt)
        {
            *hash = hasher.finalize().into();
        }
        self.at += 1;
        Ok(Some(0))
    }
}

/// What differs of two files, and whether their contents may.
fn differences(before: &Tree, a: usize, after: &Tree, b: usize) -> (u8, bool) {
    if before.kind(a) != after.kind(b) {
        return (KIND, false);
    }
    let (was, is) = (before.record(a), after.record(b));
    let mut what = 0;
    let mut note = |differs: bool, flag: u8| what |= if differs { flag } else { 0 };
    // A directory that no entry tells of is root's, and 0755.
    let mode = |found: Option<Found>| found.map_or(0o755, |(_, _, record)| record.unpacked_mode());
    let ids = |found: Option<Found>| {
        let owner = found.and_then(|(_, index, record)| index.owner(record));
        owner.map_or((0, 0), |owner| (owner.uid, owner.gid))
    };
    note(mode(was) != mode(is), MODE);
    note(ids(was) != ids(is), OWNER);
    note(xattrs(was) != xattrs(is), XATTRS);
    let (Some((_, old, was)), Some((_, new, is))) = (was, is) else { return (what, false) };
    note(old.link(was) != new.link(is), LINK);
    let device = |index: &LayerIndex, record| index.detail(record).and_then(|detail| detail.device);
    note(device(old, was) != device(new, is) || old.size(was) != new.size(is), CONTENT);
    let same_place = Rc::ptr_eq(old, new) && was.block == is.block;
    let doubt = was.kind() == FileKind::File && what & CONTENT == 0 && old.size(was) > 0 && !same_place;
    (what, doubt)
}

/// The entry that a file comes from, as a tree tells of it.
type Found<'a> = (usize, &'a SharedIndex, Record);

fn xattrs(found: Option<Found<'_>>) -> &[RawXattr] {
    found.map_or(&[], |(_, index, record)| index.xattrs(record))
}

impl<S: Source + Clone> std::fmt::Debug for Comparing<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Comparing").field("pairs", &self.pairs.len()).finish_non_exhaustive()
    }
}

impl<S: Source + Clone> std::fmt::Debug for Side<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Side").field("files", &self.tree.len()).finish_non_exhaustive()
    }
}
