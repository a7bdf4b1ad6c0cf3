//! Layers made of entries of other layers: which bytes of theirs come where, and these bytes as a stream.

use std::ops::Range;

use serde::Serialize;

use super::gzip::Checkpoints;
use super::header::{self, Holes};
use super::layer::{FileKind, SharedIndex};
use super::member::TarMember;
use super::stream::{LayerStream, compression_of};
use crate::compression::Compression;
use crate::digest::{Algorithm, Hasher};
use crate::error::{Code, Error, Result};
use crate::pack::Packer;
use crate::recipe::Recipe;
use crate::source::Source;
use crate::unpack::Limits;
use crate::write::Packing;

/// How much is unpacked, and how much packed, in one step.
const STEP: usize = 1 << 20;
/// The most files that go of which there is a word; the rest is counted.
const MAX_GONE: usize = 1000;
/// The blocks that end a tar.
const END: [u8; 1024] = [0; 1024];

/// Bytes of a new layer, not packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Those of an old layer, which is unpacked for it.
    Old {
        /// Which of the image's layers, counted from 0.
        layer: usize,
        /// Which of its bytes.
        range: Range<u64>,
    },
    /// Those that are new: a range of [`LayerPlan::fresh`].
    Fresh(Range<u64>),
}

impl Piece {
    fn range(&self) -> &Range<u64> {
        let (Self::Old { range, .. } | Self::Fresh(range)) = self;
        range
    }
}

/// What a new layer is made of.
#[derive(Debug, Clone, Default)]
pub struct LayerPlan {
    /// Its bytes, in order.
    pub pieces: Vec<Piece>,
    /// All bytes that no old layer has.
    pub fresh: Vec<u8>,
}

impl LayerPlan {
    /// Bytes of the new layer, not packed.
    pub fn size(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.range().end - piece.range().start).sum()
    }

    /// The new layer's bytes, where it is not to be packed and all layers that it is made of are not: nothing is copied.
    pub fn recipe<S: Source + Clone>(&self, layers: &[Recipe<S>]) -> Recipe<S> {
        let mut fresh = Recipe::default();
        fresh.push_bytes(self.fresh.as_slice());
        let mut recipe = Recipe::default();
        for piece in &self.pieces {
            match piece {
                Piece::Old { layer, range } => {
                    layers.get(*layer).into_iter().for_each(|layer| recipe.push_slice(layer, range.clone()));
                }
                Piece::Fresh(range) => recipe.push_slice(&fresh, range.clone()),
            }
        }
        recipe
    }

    /// Goes on with bytes of an old layer, which may end before the padding of its last file does.
    fn keep(&mut self, layer: usize, index: &SharedIndex, range: Range<u64>) {
        let range = range.start..range.end.min(index.size);
        let padding = TarMember::padding(range.end);
        if range.is_empty() {
            return;
        }
        if let Some(Piece::Old { layer: last, range: before }) = self.pieces.last_mut()
            && *last == layer
            && before.end == range.start
        {
            before.end = range.end;
        } else {
            self.pieces.push(Piece::Old { layer, range });
        }
        if padding > 0 {
            self.add(END.get(..padding).unwrap_or_default());
        }
    }

    /// Goes on with new bytes.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        let start = self.fresh.len() as u64;
        self.fresh.extend_from_slice(bytes);
        let end = self.fresh.len() as u64;
        match self.pieces.last_mut() {
            Some(Piece::Fresh(range)) => range.end = end,
            _ => self.pieces.push(Piece::Fresh(start..end)),
        }
    }

    /// Goes on with the entry of that number as it stands in its layer.
    pub(super) fn keep_entry(&mut self, layer: usize, index: &SharedIndex, number: u32) {
        self.keep(layer, index, index.extent(number));
    }

    /// Goes on with that entry under another path.
    pub(super) fn rename_entry(&mut self, layer: usize, index: &SharedIndex, number: u32, path: Vec<u8>) {
        let Some(record) = index.record(number) else { return };
        self.add(&header::header(path, record.kind(), Some((index, record)), Holes::Mapped));
        self.keep(layer, index, index.data(record));
    }

    pub(super) fn end(&mut self) {
        self.add(&END);
    }
}

/// A layer that takes the place of one or several.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RewrittenLayer {
    /// The lowest layer whose place it takes, counted from 0.
    pub first: usize,
    /// How many these are.
    pub count: usize,
    /// What they hold: uncompressed bytes.
    pub before: u64,
    /// What it holds.
    pub after: u64,
    /// How many entries they have, whiteouts included.
    pub entries_before: usize,
    /// How many it has.
    pub entries_after: usize,
    /// What it is made of.
    #[serde(skip)]
    pub plan: LayerPlan,
    /// How it is to be packed: as the uppermost of those whose place it takes.
    #[serde(skip)]
    pub packing: Packing,
}

/// A file that a layer has, and that no layer is to have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GoneFile {
    /// From the root, without a slash before it.
    pub path: String,
    /// What it is.
    pub kind: FileKind,
    /// The layer that has it, counted from 0.
    pub layer: usize,
    /// Bytes that a reader gets.
    pub size: u64,
}

/// What becomes of an image's layers.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rewrite {
    /// The layers that are written anew, bottom first; the others stay.
    pub layers: Vec<RewrittenLayer>,
    /// The files that go, in the order of the layers: at most a thousand.
    pub gone: Vec<GoneFile>,
    /// How many go.
    pub gone_count: usize,
    /// How large they are together.
    pub gone_bytes: u64,
}

impl Rewrite {
    pub(super) fn lose(&mut self, layer: usize, index: &SharedIndex, number: u32) {
        let Some(record) = index.record(number) else { return };
        let size = if record.kind() == FileKind::File { index.size(record) } else { 0 };
        self.gone_count += 1;
        self.gone_bytes += size;
        if self.gone.len() < MAX_GONE {
            let path = String::from_utf8_lossy(&index.path(record)).into_owned();
            self.gone.push(GoneFile { path, kind: record.kind(), layer, size });
        }
    }
}

/// How what takes the place of a layer is packed: alike, where that can be written.
pub(super) fn packing_after(index: &SharedIndex) -> Packing {
    match index.compression() {
        None => Packing::None,
        Some(Compression::Zstd) => Packing::Zstd,
        Some(_) => Packing::Gzip,
    }
}

/// A new layer's bytes, packed, a bounded number at a time.
pub struct Rewriting<S: Source + Clone> {
    plan: LayerPlan,
    layers: Vec<Recipe<S>>,
    limits: Limits,
    /// Which piece comes next, and how much of it is done.
    piece: usize,
    within: u64,
    /// The layer that is being unpacked.
    stream: Option<(usize, LayerStream<S>)>,
    packer: Packer,
    content: Hasher,
    done: u64,
    ended: bool,
}

impl<S: Source + Clone> Rewriting<S> {
    /// Begins; `layers` are the bytes of the image's layers as they are stored.
    pub fn new(plan: LayerPlan, layers: Vec<Recipe<S>>, packing: Packing, limits: Limits) -> Self {
        Self {
            plan,
            layers,
            limits,
            piece: 0,
            within: 0,
            stream: None,
            packer: Packer::new(packing),
            content: Algorithm::Sha256.hasher(),
            done: 0,
            ended: false,
        }
    }

    /// The next of the bytes, which may be none; `None` at the end. Fails as unpacking does.
    pub fn step(&mut self) -> Result<Option<Vec<u8>>> {
        if self.ended {
            return Ok(None);
        }
        Ok(Some(match self.plan.pieces.get(self.piece).cloned() {
            None => {
                self.ended = true;
                self.packer.finish()?
            }
            Some(piece) => {
                let start = piece.range().start + self.within;
                let left = piece.range().end - start;
                let len = usize::try_from(left).unwrap_or(usize::MAX).min(STEP);
                let mut bytes = vec![0; len];
                match piece {
                    Piece::Fresh(_) => self.plan.fresh.as_slice().read_at(start, &mut bytes)?,
                    Piece::Old { layer, .. } => {
                        let Some(stream) = self.stream_to(layer, start)? else {
                            return Ok(Some(Vec::new()));
                        };
                        stream.read_exact(&mut bytes)?;
                    }
                }
                self.content.update(&bytes);
                let packed = self.packer.push(&bytes)?;
                self.done += bytes.len() as u64;
                self.within += bytes.len() as u64;
                if bytes.len() as u64 == left {
                    self.piece += 1;
                    self.within = 0;
                }
                packed
            }
        }))
    }

    /// The layer's stream at that byte; `None` where the way there is too long for one step.
    fn stream_to(&mut self, layer: usize, start: u64) -> Result<Option<&mut LayerStream<S>>> {
        let is_before =
            |(open, stream): &(usize, LayerStream<S>)| *open == layer && stream.position() <= start;
        if !self.stream.as_ref().is_some_and(is_before) {
            // The old one first: each may take much memory.
            self.stream = None;
            let missing = || Error::new(Code::MissingEntry, "The layer is not in the archive.");
            let data = self.layers.get(layer).cloned().ok_or_else(missing)?;
            let compression = compression_of(&data)?;
            let stream = LayerStream::at(data, compression, self.limits, &Checkpoints::default(), 0);
            self.stream = Some((layer, stream));
        }
        let Some((_, stream)) = &mut self.stream else { return Ok(None) };
        let until = stream.position().saturating_add(STEP as u64);
        while stream.position() < start {
            if stream.position() >= until {
                return Ok(None);
            }
            if stream.skip(start - stream.position())? == 0 {
                return Err(stream.ends_early(1));
            }
        }
        Ok(Some(stream))
    }

    /// Bytes of the new layer that are made, before they were packed.
    pub fn done(&self) -> u64 {
        self.done
    }

    /// Digest of what the new bytes hold: the diff ID. To be called at the end.
    pub fn finish(self) -> String {
        self.content.finish()
    }
}

impl<S: Source + Clone> std::fmt::Debug for Rewriting<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rewriting").field("done", &self.done).finish_non_exhaustive()
    }
}
