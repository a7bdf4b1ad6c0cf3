//! The bytes of files, wherever in the layers they are.

use std::rc::Rc;

use super::layer::{FileKind, Record, SharedIndex};
use super::stream::LayerStream;
use super::tree::Tree;
use crate::error::{Code, Error, Result};
use crate::recipe::Recipe;
use crate::source::{Source, past_end};
use crate::tar::BLOCK;
use crate::unpack::Limits;

/// How much is unpacked at a time to get to where a file begins.
const SKIP: u64 = 1 << 20;
/// The most parts of one step.
const PARTS: usize = 1024;

/// Layers whose files can be read: the bytes of each as they are stored, and its index.
///
/// One of them at a time is being unpacked. Files that are read in the order in which they stand cost one pass.
pub(super) struct Contents<S: Source + Clone> {
    data: Vec<Recipe<S>>,
    indexes: Vec<SharedIndex>,
    limits: Limits,
    unpacking: Option<(usize, LayerStream<S>)>,
}

/// A file that is being read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor {
    layer: usize,
    record: Record,
    /// How many bytes were given out, of how many.
    at: u64,
    size: u64,
}

impl Cursor {
    /// At the beginning of the file; `None` where that is no regular one.
    pub(super) fn new(tree: &Tree, number: usize) -> Option<Self> {
        let (layer, index, record) = tree.record(number)?;
        (record.kind() == FileKind::File).then(|| Self { layer, record, at: 0, size: index.size(record) })
    }

    /// Bytes of the file.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// How many bytes were given out.
    pub(super) fn position(&self) -> u64 {
        self.at
    }
}

impl<S: Source + Clone> Contents<S> {
    pub(super) fn new(data: Vec<Recipe<S>>, indexes: Vec<SharedIndex>, limits: Limits) -> Self {
        Self { data, indexes, limits, unpacking: None }
    }

    /// The next of a file's bytes; `None` at its end. Not a single one where the way to them was too long for one step.
    ///
    /// What stands in a layer that is not compressed is not copied, however much it is; else it is up to `max` bytes.
    pub(super) fn next(&mut self, cursor: &mut Cursor, max: usize) -> Result<Option<Recipe<S>>> {
        self.piece(cursor, max, u64::MAX)
    }

    /// As [`Self::next`], and the bytes are read, wherever they stand.
    pub(super) fn bytes(&mut self, cursor: &mut Cursor, max: usize) -> Result<Option<Vec<u8>>> {
        let Some(recipe) = self.piece(cursor, max, max as u64)? else { return Ok(None) };
        // At most `max`.
        let mut bytes = vec![0; usize::try_from(recipe.len()).unwrap_or(max)];
        recipe.read_at(0, &mut bytes)?;
        Ok(Some(bytes))
    }

    fn piece(&mut self, cursor: &mut Cursor, max: usize, max_range: u64) -> Result<Option<Recipe<S>>> {
        let left = cursor.size - cursor.at;
        if left == 0 {
            return Ok(None);
        }
        let missing = || Error::new(Code::MissingEntry, "The layer of the file is not in the archive.");
        let index = self.indexes.get(cursor.layer).ok_or_else(missing)?;
        let mut offset = u64::from(cursor.record.block) * BLOCK;
        let mut len = left;
        if let Some(map) = index.sparse(cursor.record) {
            let mut stored = 0;
            let mut next = cursor.size;
            let mut inside = None;
            for &(start, part) in &map.parts {
                if cursor.at < start {
                    next = start;
                    break;
                }
                if cursor.at < start + part {
                    inside = Some((stored + (cursor.at - start), start + part - cursor.at));
                    break;
                }
                stored += part;
            }
            let Some((at, rest)) = inside else {
                let zeros = usize::try_from(next - cursor.at).unwrap_or(usize::MAX).min(max);
                cursor.at += zeros as u64;
                let mut recipe = Recipe::default();
                recipe.push_bytes(vec![0; zeros]);
                return Ok(Some(recipe));
            };
            offset += at;
            len = rest;
        } else {
            offset += cursor.at;
        }
        let mut recipe = Recipe::default();
        let data = self.data.get(cursor.layer).ok_or_else(missing)?;
        if index.compression.is_none() {
            len = len.min(max_range);
            if offset + len > data.len() {
                return Err(past_end(offset, usize::try_from(len).unwrap_or(usize::MAX), data.len()));
            }
            recipe.push_slice(data, offset..offset + len);
            cursor.at += len;
            return Ok(Some(recipe));
        }
        let stream = match &mut self.unpacking {
            Some((layer, stream))
                if *layer == cursor.layer
                    && stream.position() <= offset
                    && index.checkpoints.start_for(offset) <= stream.position() =>
            {
                stream
            }
            // The old one first: each may take much memory.
            unpacking => {
                *unpacking = None;
                let checkpoints = &index.checkpoints;
                let stream =
                    LayerStream::at(data.clone(), index.compression, self.limits, checkpoints, offset);
                &mut unpacking.insert((cursor.layer, stream)).1
            }
        };
        let until = stream.position() + SKIP;
        while stream.position() < offset {
            if stream.position() >= until {
                return Ok(Some(recipe));
            }
            if stream.skip(offset - stream.position())? == 0 {
                return Err(stream.ends_early(1));
            }
        }
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(usize::MAX).min(max)];
        stream.read_exact(&mut bytes)?;
        cursor.at += bytes.len() as u64;
        recipe.push_bytes(bytes);
        Ok(Some(recipe))
    }
}

/// Files that are being read, one after the other, a bounded number of bytes at a time.
pub struct FileReader<S: Source + Clone> {
    contents: Contents<S>,
    files: Vec<(usize, Cursor)>,
    /// Which of them is being read.
    at: usize,
}

impl<S: Source + Clone> FileReader<S> {
    /// Begins to read a regular file of a tree; `layers` are the bytes of the tree's layers as they are stored.
    ///
    /// Fails with `invalid-argument` where the file is none that has bytes.
    pub fn new(tree: &Rc<Tree>, number: usize, layers: Vec<Recipe<S>>, limits: Limits) -> Result<Self> {
        Self::several(tree, &[number], layers, limits)
    }

    /// Begins to read several: in the order in which they stand, so that each layer is unpacked once; see [`Self::files`].
    /// Fails as [`Self::new`] does.
    pub fn several(
        tree: &Rc<Tree>,
        numbers: &[usize],
        layers: Vec<Recipe<S>>,
        limits: Limits,
    ) -> Result<Self> {
        let file = |&number: &usize| {
            let cursor = Cursor::new(tree, number).ok_or_else(|| {
                let path = String::from_utf8_lossy(&tree.path(number)).into_owned();
                Error::new(Code::InvalidArgument, format!("/{path} is not a regular file."))
                    .with("entry", path)
            })?;
            Ok((number, cursor))
        };
        let mut files = numbers.iter().map(file).collect::<Result<Vec<_>>>()?;
        files.sort_by_key(|(_, cursor)| (cursor.layer, cursor.record.block));
        Ok(Self { contents: Contents::new(layers, tree.layers().to_vec(), limits), files, at: 0 })
    }

    /// The files' numbers, and how many bytes each has, in the order in which these come.
    pub fn files(&self) -> impl Iterator<Item = (usize, u64)> {
        self.files.iter().map(|(number, cursor)| (*number, cursor.size))
    }

    /// The next bytes, about `max` of them; `None` at the end. There may be none, where it took long to get to them.
    ///
    /// Ranges of a layer that is not compressed are not copied, and may be longer. Fails as unpacking does.
    pub fn read(&mut self, max: usize) -> Result<Option<Recipe<S>>> {
        let mut read = Recipe::default();
        let mut room = max as u64;
        while room > 0 && read.parts().len() < PARTS {
            let Some((_, cursor)) = self.files.get_mut(self.at) else {
                return Ok((!read.is_empty()).then_some(read));
            };
            match self.contents.next(cursor, max)? {
                None => self.at += 1,
                Some(bytes) if bytes.is_empty() => break,
                Some(bytes) => {
                    room = room.saturating_sub(bytes.in_memory());
                    read.append(bytes);
                }
            }
        }
        Ok(Some(read))
    }
}

impl<S: Source + Clone> std::fmt::Debug for FileReader<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileReader").field("files", &self.files.len()).finish_non_exhaustive()
    }
}
