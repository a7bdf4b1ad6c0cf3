//! How much of what an image stores nobody sees.

use std::collections::BTreeMap;

use serde::Serialize;

use super::growing::Growing;
use super::layer::{FileKind, Record, SharedIndex};
use super::merge::{Merging, Outcome, hidden};
use crate::error::Result;
use crate::source::plus;

/// How many paths are told of: those that waste most.
const TOLD: usize = 1000;

/// A path that several layers store, or that one stores and a later one deletes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WastedPath {
    /// From the root, without a slash before it.
    pub path: String,
    /// Bytes at this path that are not in the merged file system.
    pub bytes: u64,
    /// How many times they are stored.
    pub copies: u32,
}

/// What of an image's layers is in vain.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Efficiency {
    /// The score of `dive`: over all paths, the smallest of what layers have there against the sum of it; 1 is the best. A
    /// whiteout counts with what is below the directory that it hides.
    pub score: f64,
    /// Bytes of all files of all layers, unpacked.
    pub total: u64,
    /// Those that are not in the merged file system: later layers replace or delete them.
    pub wasted: u64,
    /// The paths that waste most, the worst first: at most a thousand.
    pub paths: Vec<WastedPath>,
}

/// What layers have at one path, as `dive` counts it.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    sum: u64,
    least: Option<u64>,
    /// The last layer that has it, and how much: of several in one layer the last counts.
    last: Option<(u32, u64)>,
}

impl Seen {
    fn add(&mut self, layer: u32, bytes: u64) {
        if self.last.is_some_and(|(last, _)| last != layer) {
            self.settle();
        }
        self.last = Some((layer, bytes));
    }

    fn settle(&mut self) {
        if let Some((_, bytes)) = self.last.take() {
            self.sum = plus(self.sum, bytes);
            self.least = Some(self.least.map_or(bytes, |least| least.min(bytes)));
        }
    }
}

/// An image's efficiency, which is being found a bounded number of entries at a time.
pub struct Weighing {
    merging: Merging,
    seen: Vec<Seen>,
}

impl Weighing {
    /// Begins with an image's layers, bottom first. Fails with `limit-exceeded`.
    pub fn new(layers: Vec<SharedIndex>) -> Result<Self> {
        Ok(Self { merging: Merging::new(layers)?, seen: Vec::new() })
    }

    /// Goes on for that many entries; `true` at the end.
    pub fn step(&mut self, entries: usize) -> bool {
        for _ in 0..entries {
            let mut whiteout = None;
            let next = self.merging.next(|merging, _, record| whiteout = hidden_bytes(merging, record));
            let Some((layer, record, outcome)) = next else { return true };
            let layer = u32::try_from(layer).unwrap_or(u32::MAX);
            let found = match outcome {
                Outcome::Placed(_, node) => {
                    let index = self.merging.files().layers().get(layer as usize);
                    let record = index.and_then(|index| Some((index, index.record(record)?)));
                    // A link in a file's place is one that has no bytes.
                    record
                        .filter(|(_, record)| record.kind() != FileKind::Directory)
                        .map(|(index, record)| (node, index.size(record)))
                }
                Outcome::Removed(..) => whiteout,
                Outcome::Nothing => None,
            };
            if let Some((node, bytes)) = found {
                let node = node as usize;
                if node >= self.seen.len() {
                    self.seen.resize(self.merging.files().names().max(node + 1), Seen::default());
                }
                if let Some(seen) = self.seen.get_mut(node) {
                    seen.add(layer, bytes);
                }
            }
        }
        false
    }

    /// What was found. To be called at the end.
    pub fn finish(mut self) -> Efficiency {
        let (mut least, mut sum) = (0_u64, 0_u64);
        for seen in &mut self.seen {
            seen.settle();
            least = plus(least, seen.least.unwrap_or(0));
            sum = plus(sum, seen.sum);
        }
        drop(self.seen);
        #[allow(clippy::cast_precision_loss)] // a ratio
        let score = if sum == 0 { 1.0 } else { least as f64 / sum as f64 };
        let tree = self.merging.finish();
        let mut visible: Vec<Vec<bool>> =
            tree.layers().iter().map(|index| vec![false; index.len()]).collect();
        for inode in tree.inodes() {
            let flag =
                visible.get_mut(inode.layer as usize).and_then(|layer| layer.get_mut(inode.record as usize));
            if let Some(flag) = flag {
                *flag = true;
            }
        }
        let (mut total, mut wasted) = (0_u64, 0_u64);
        let mut paths: BTreeMap<Vec<u8>, (u64, u32)> = BTreeMap::new();
        for (index, visible) in tree.layers().iter().zip(&visible) {
            for (number, visible) in visible.iter().enumerate() {
                let record = u32::try_from(number).ok().and_then(|number| index.record(number));
                let Some(record) = record.filter(|record| record.kind() == FileKind::File) else { continue };
                let size = index.size(record);
                total = plus(total, size);
                if !visible && size > 0 {
                    wasted = plus(wasted, size);
                    let path = paths.entry(index.path(record)).or_default();
                    path.0 = plus(path.0, size);
                    path.1 += 1;
                }
            }
        }
        let mut paths: Vec<_> = paths.into_iter().collect();
        paths.sort_by(|(a, (more, _)), (b, (less, _))| less.cmp(more).then_with(|| a.cmp(b)));
        paths.truncate(TOLD);
        let told = |(path, (bytes, copies)): (Vec<u8>, (u64, u32))| WastedPath {
            path: String::from_utf8_lossy(&path).into_owned(),
            bytes,
            copies,
        };
        Efficiency { score, total, wasted, paths: paths.into_iter().map(told).collect() }
    }
}

/// What a whiteout hides: which name, and how many bytes are below it, if it is a directory.
fn hidden_bytes(files: &Growing, record: Record) -> Option<(u32, u64)> {
    let index = files.layers().get(files.layer())?;
    let path = index.path(record);
    let (directory, name) = hidden(&path)?;
    let parent = files.look_up(directory, true)?;
    let node = files.child(parent, name)?;
    Some((node, if files.is_directory(node) { files.total(node) } else { 0 }))
}

impl std::fmt::Debug for Weighing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Weighing").field("merging", &self.merging).finish_non_exhaustive()
    }
}
