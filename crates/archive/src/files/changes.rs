//! What one layer does to the file system below it.

use std::collections::HashMap;

use serde::Serialize;

use super::layer::{FileEntry, SharedIndex};
use super::merge::{ChangeKind, Merging, Outcome};
use crate::error::Result;

/// What a layer does to one path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LayerChange {
    /// What it does.
    pub change: ChangeKind,
    /// What is there afterwards; of what is deleted, what was there before.
    pub file: FileEntry,
    /// Bytes that the layer adds; of what is deleted, bytes that are hidden, with all that was below it.
    pub bytes: u64,
}

enum Change {
    /// What, which node, by which entry.
    Placed(ChangeKind, u32, u32),
    Deleted(Box<FileEntry>, u64),
}

/// The changes of one layer, which are being found a bounded number of entries at a time.
pub struct Changing {
    merging: Merging,
    layer: usize,
    changes: Vec<Change>,
    /// Which change is of which path: a layer may have one twice.
    known: HashMap<u32, usize>,
}

impl Changing {
    /// Begins with an image's layers up to the one that is meant, which is the last of them. Fails with `limit-exceeded`.
    pub fn new(layers: Vec<SharedIndex>) -> Result<Self> {
        let layer = layers.len().saturating_sub(1);
        Ok(Self { merging: Merging::new(layers)?, layer, changes: Vec::new(), known: HashMap::new() })
    }

    /// Goes on for that many entries; `true` at the end.
    pub fn step(&mut self, entries: usize) -> bool {
        for _ in 0..entries {
            let Some((layer, record, outcome)) = self.merging.next(|_, _, _| {}) else {
                self.settle();
                return true;
            };
            if layer != self.layer {
                continue;
            }
            match outcome {
                Outcome::Nothing => {}
                Outcome::Removed(_, removed) => {
                    for one in removed {
                        if let Some(file) = self.merging.files().describe(one.node, one.inode) {
                            self.changes.push(Change::Deleted(Box::new(file), one.bytes));
                        }
                    }
                }
                Outcome::Placed(kind, node) => {
                    let known = self.known.get(&node).and_then(|&at| self.changes.get_mut(at));
                    if let Some(Change::Placed(_, _, known)) = known {
                        *known = record;
                    } else {
                        self.known.insert(node, self.changes.len());
                        self.changes.push(Change::Placed(kind, node, record));
                    }
                }
            }
        }
        false
    }

    /// Leaves out what is not there afterwards: a later entry of the layer took the place of a directory above it.
    fn settle(&mut self) {
        let files = self.merging.files();
        let live = files.live();
        let stays = |node: u32| live.get(node as usize).is_some_and(|&live| live) && files.is_told(node);
        self.changes.retain(|change| match *change {
            Change::Placed(_, node, _) => stays(node),
            Change::Deleted(..) => true,
        });
    }

    /// How many changes there are.
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// The change with that number, in the layer's order.
    pub fn get(&self, number: usize) -> Option<LayerChange> {
        Some(match self.changes.get(number)? {
            Change::Placed(change, _, record) => {
                let file = self.merging.files().layers().get(self.layer)?.entry(*record as usize)?;
                LayerChange { change: *change, bytes: file.size, file }
            }
            Change::Deleted(file, bytes) => {
                LayerChange { change: ChangeKind::Deleted, file: (**file).clone(), bytes: *bytes }
            }
        })
    }
}

impl std::fmt::Debug for Changing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Changing").field("changes", &self.len()).finish_non_exhaustive()
    }
}
