//! Layers packed anew, as a stream in bounded memory.

use std::ops::Range;

use flate2::CompressError;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use crate::compression::Compression;
use crate::digest::{Algorithm, Hasher};
use crate::error::{Code, Error, Result};
use crate::gzip::Gzip;
use crate::source::Source;
use crate::unpack::{Limits, Stream, Unpacked};
use crate::write::Packing;

/// How much is unpacked at a time.
const INPUT: usize = 1 << 20;
/// What one zstd frame holds. Several frames are one file to every reader, and let some begin in the middle.
const FRAME: usize = 4 << 20;

/// Packs what is pushed into it. The same content gives the same bytes, however it arrives: no time, no name, no system in the
/// header.
pub struct Packer(Kind);

enum Kind {
    None,
    Gzip(Box<Gzip>),
    Zstd(Vec<u8>),
}

impl Packer {
    /// Begins to pack.
    pub fn new(packing: Packing) -> Self {
        Self(match packing {
            Packing::None => Kind::None,
            Packing::Gzip => Kind::Gzip(Box::new(Gzip::new())),
            Packing::Zstd => Kind::Zstd(Vec::new()),
        })
    }

    /// Takes content; gives the next of the packed bytes, which may be none.
    ///
    /// Fails with `invalid-compression` where the compressor does.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<Vec<u8>> {
        match &mut self.0 {
            Kind::None => Ok(bytes.to_vec()),
            Kind::Gzip(gzip) => gzip.push(bytes).map(|()| gzip.take()).map_err(fail),
            Kind::Zstd(frame) => {
                let mut packed = Vec::new();
                while !bytes.is_empty() {
                    let (taken, rest) = bytes.split_at(bytes.len().min(FRAME - frame.len()));
                    frame.extend_from_slice(taken);
                    bytes = rest;
                    if frame.len() == FRAME {
                        packed.extend(compress_to_vec(&frame[..], CompressionLevel::Fastest));
                        frame.clear();
                    }
                }
                Ok(packed)
            }
        }
    }

    /// The last of the packed bytes. To be called once.
    ///
    /// Fails as [`Self::push`] does.
    pub fn finish(&mut self) -> Result<Vec<u8>> {
        match &mut self.0 {
            Kind::None => Ok(Vec::new()),
            Kind::Gzip(gzip) => gzip.finish().map(|()| gzip.take()).map_err(fail),
            Kind::Zstd(frame) => Ok(compress_to_vec(&frame[..], CompressionLevel::Fastest)),
        }
    }
}

impl std::fmt::Debug for Packer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Packer").finish_non_exhaustive()
    }
}

#[allow(clippy::needless_pass_by_value)] // what `map_err` gives is owned
fn fail(error: CompressError) -> Error {
    Error::new(Code::InvalidCompression, format!("The layer cannot be packed: {error}."))
}

enum Input<S: Source> {
    Plain(Stream<S>),
    Packed(Box<Unpacked<S>>, Vec<u8>),
    Done,
}

/// A range of a source on its way from whatever packing it has into another one.
pub struct Repacking<S: Source> {
    input: Input<S>,
    start: u64,
    packer: Packer,
    content: Hasher,
    consumed: u64,
}

impl<S: Source> Repacking<S> {
    /// Begins to repack `range` of `source`. Fails as the source does.
    pub fn new(source: S, range: Range<u64>, packing: Packing, limits: Limits) -> Result<Self> {
        let start = range.start;
        let mut stream = Stream::new(source, range, None);
        let input = match Compression::of(stream.head()?) {
            Some(compression) => {
                Input::Packed(Box::new(Unpacked::of(stream, compression, limits)), vec![0; INPUT])
            }
            None => Input::Plain(stream),
        };
        Ok(Self {
            input,
            start,
            packer: Packer::new(packing),
            content: Algorithm::Sha256.hasher(),
            consumed: 0,
        })
    }

    /// The next of the new bytes, which may be none; `None` at the end.
    ///
    /// Fails as [`Unpacked::read`] and the source do.
    pub fn step(&mut self) -> Result<Option<Vec<u8>>> {
        let (mut packed, more) = match &mut self.input {
            Input::Done => return Ok(None),
            Input::Plain(stream) => {
                let chunk = stream.chunk()?;
                self.content.update(chunk);
                let packed = self.packer.push(chunk)?;
                let more = !chunk.is_empty();
                self.consumed = stream.fetched() - self.start;
                (packed, more)
            }
            Input::Packed(unpacked, buffer) => {
                let count = unpacked.read(buffer)?;
                let chunk = buffer.get(..count).unwrap_or_default();
                self.content.update(chunk);
                self.consumed = unpacked.consumed();
                (self.packer.push(chunk)?, count > 0)
            }
        };
        if !more {
            packed.extend(self.packer.finish()?);
            self.input = Input::Done;
        }
        Ok(Some(packed))
    }

    /// Bytes of the source that were read so far.
    pub fn consumed(&self) -> u64 {
        self.consumed
    }

    /// Digest of what the new bytes hold: the diff ID of a layer. To be called at the end.
    pub fn finish(self) -> String {
        self.content.finish()
    }
}

impl<S: Source> std::fmt::Debug for Repacking<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Repacking").field("consumed", &self.consumed).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::sha256;

    fn repack(bytes: &[u8], packing: Packing) -> (Vec<u8>, String) {
        let mut repacking = Repacking::new(bytes, 0..bytes.len() as u64, packing, Limits::default()).unwrap();
        let mut out = Vec::new();
        while let Some(chunk) = repacking.step().unwrap() {
            out.extend(chunk);
        }
        (out, repacking.finish())
    }

    #[test]
    fn from_every_packing_to_every_other() {
        let content: Vec<u8> = (0..200_000_u32).flat_map(|i| (i / 5).to_le_bytes()).collect();
        for first in [Packing::None, Packing::Gzip, Packing::Zstd] {
            let (bytes, found) = repack(&content, first);
            assert_eq!(found, sha256(&content));
            assert!(repack(&content, first).0 == bytes, "the same again");
            for second in [Packing::None, Packing::Gzip, Packing::Zstd] {
                let (again, found) = repack(&bytes, second);
                assert_eq!(found, sha256(&content));
                assert!(repack(&again, Packing::None).0 == content, "{first:?} {second:?}");
            }
        }
        assert_eq!(&repack(&content, Packing::Gzip).0[..10], b"\x1f\x8b\x08\0\0\0\0\0\0\xff");
        assert_eq!(repack(b"", Packing::None), (Vec::new(), sha256(b"")));
        assert!(repack(&repack(b"", Packing::Zstd).0, Packing::None).0.is_empty());
    }

    #[test]
    fn the_same_bytes_in_whatever_pieces() {
        let content: Vec<u8> = (0..(1_u32 << 21) + 9).flat_map(|i| (i / 5).to_le_bytes()).collect();
        assert!(content.len() > 2 * FRAME);
        let packed = |piece: usize| {
            let mut packer = Packer::new(Packing::Zstd);
            let pieces = content.chunks(piece).flat_map(|piece| packer.push(piece).unwrap());
            let mut out: Vec<u8> = pieces.collect();
            out.extend(packer.finish().unwrap());
            out
        };
        let whole = packed(content.len());
        for piece in [1_000_003, FRAME + 1] {
            assert!(packed(piece) == whole, "in pieces of {piece}");
        }
    }
}
