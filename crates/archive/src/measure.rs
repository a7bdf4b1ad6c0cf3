//! One pass over a blob: the digest of its bytes as stored and, where they are compressed, of what they hold.

use std::ops::Range;

use crate::compression::Compression;
use crate::digest::{Algorithm, Hasher};
use crate::error::Result;
use crate::files::{Looking, Odd};
use crate::source::Source;
use crate::unpack::{Limits, Stream, Unpacked};

/// How much is unpacked at a time.
const OUTPUT: usize = 128 << 10;

/// What one pass over a blob shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measured {
    /// Digest of the bytes as stored.
    pub digest: String,
    /// Their number.
    pub size: u64,
    /// How they are compressed, by their first bytes.
    pub compression: Option<Compression>,
    /// What they hold; an error where they cannot be unpacked.
    pub content: Result<Content>,
    /// What in it makes readers refuse it as a layer. Looked at where it is unpacked.
    pub odd: Vec<Odd>,
}

/// What a blob holds, unpacked if it is compressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// Digest of the unpacked bytes: the diff ID, if the blob is a layer.
    pub digest: String,
    /// Their number.
    pub size: u64,
    /// Bytes after the compressed data that are none. Go's readers refuse these.
    pub trailing: u64,
}

/// A blob that is being measured, a bounded number of bytes at a time.
#[derive(Debug)]
pub struct Measuring<S: Source> {
    source: S,
    range: Range<u64>,
    compression: Option<Compression>,
    work: Work<S>,
    /// Of the content, where it is not hashed as the bytes are read.
    hasher: Option<Hasher>,
    content: Option<Result<Content>>,
    /// At the content, while it goes by.
    looking: Option<Looking>,
    odd: Vec<Odd>,
}

#[derive(Debug)]
enum Work<S: Source> {
    Unpacking(Box<Unpacked<S>>, Vec<u8>),
    /// Reading what is not compressed, or what is left when unpacking has come to its end.
    Reading(Stream<S>),
}

impl<S: Source + Clone> Measuring<S> {
    /// Begins to measure `range` of `source`: `stored` is for the digest of the bytes as stored, `content` for that of
    /// what they hold. Without `limits` nothing is unpacked.
    ///
    /// Fails as the source does.
    pub fn new(
        source: S,
        range: Range<u64>,
        stored: Algorithm,
        content: Algorithm,
        limits: Option<Limits>,
    ) -> Result<Self> {
        Self::with(source, range, stored, content, limits, Algorithm::hasher)
    }

    /// As [`Self::new`], with hashers of the caller's.
    pub fn with(
        source: S,
        range: Range<u64>,
        stored: Algorithm,
        content: Algorithm,
        limits: Option<Limits>,
        hasher: impl Fn(Algorithm) -> Hasher,
    ) -> Result<Self> {
        let mut stream = Stream::new(source.clone(), range.clone(), Some(hasher(stored)));
        let compression = Compression::of(stream.head()?);
        let (work, hashed_twice) = match (compression, limits) {
            (Some(compression), Some(limits)) => {
                let unpacked = Box::new(Unpacked::of(stream, compression, limits));
                (Work::Unpacking(unpacked, vec![0; OUTPUT]), true)
            }
            // One hash is enough where both are of the same bytes.
            _ => (Work::Reading(stream), stored != content && limits.is_some()),
        };
        let hasher = hashed_twice.then(|| hasher(content));
        let looking = limits.map(|_| Looking::default());
        Ok(Self { source, range, compression, work, hasher, content: None, looking, odd: Vec::new() })
    }

    /// Goes on for about `bytes` bytes, as read or as unpacked, whichever are more; `true` at the end.
    ///
    /// Fails as the source does. Damaged data is no failure: [`Measured::content`] says so.
    pub fn step(&mut self, bytes: u64) -> Result<bool> {
        let mut done = 0;
        while done < bytes {
            match &mut self.work {
                Work::Unpacking(unpacked, buffer) => match unpacked.read(buffer) {
                    Ok(0) => {
                        let (size, trailing) = (unpacked.given(), unpacked.trailing());
                        let digest = self.hasher.take().map(Hasher::finish).unwrap_or_default();
                        self.end_unpacking(Ok(Content { digest, size, trailing }));
                    }
                    Ok(count) => {
                        let piece = buffer.get(..count).unwrap_or_default();
                        if let Some(hasher) = &mut self.hasher {
                            hasher.update(piece);
                        }
                        if let Some(looking) = &mut self.looking {
                            looking.push(piece);
                        }
                        done += count as u64;
                    }
                    Err(error) if error.is_of_source() => return Err(error),
                    Err(error) => self.end_unpacking(Err(error)),
                },
                Work::Reading(stream) => {
                    let chunk = stream.chunk()?;
                    if chunk.is_empty() {
                        return Ok(true);
                    }
                    if let Some(hasher) = &mut self.hasher {
                        hasher.update(chunk);
                    }
                    if let Some(looking) = &mut self.looking {
                        looking.push(chunk);
                    }
                    done += chunk.len() as u64;
                }
            }
        }
        Ok(false)
    }

    /// The rest counts for the digest of the stored bytes all the same.
    fn end_unpacking(&mut self, content: Result<Content>) {
        self.odd = self.looking.take().filter(|_| content.is_ok()).map(Looking::finish).unwrap_or_default();
        self.content = Some(content);
        self.hasher = None;
        if let Work::Unpacking(unpacked, _) = &self.work {
            self.work = Work::Reading(unpacked.rest(self.source.clone(), self.range.end));
        }
    }

    /// Bytes as stored that were read so far.
    pub fn consumed(&self) -> u64 {
        match &self.work {
            Work::Unpacking(unpacked, _) => unpacked.consumed(),
            Work::Reading(stream) => stream.fetched() - self.range.start,
        }
    }

    /// What was found. To be called at the end.
    pub fn finish(self) -> Measured {
        let size = self.range.end - self.range.start;
        let digest = match self.work {
            Work::Reading(stream) => stream.digest(),
            Work::Unpacking(..) => String::new(),
        };
        let content = self.content.unwrap_or_else(|| {
            let digest = self.hasher.map_or_else(|| digest.clone(), Hasher::finish);
            Ok(Content { digest, size, trailing: 0 })
        });
        let odd = self.looking.map_or(self.odd, Looking::finish);
        Measured { digest, size, compression: self.compression, content, odd }
    }
}

/// Measures a blob at once; see [`Measuring`].
pub fn measure<S: Source + Clone>(
    source: S,
    range: Range<u64>,
    stored: Algorithm,
    content: Algorithm,
    limits: Option<Limits>,
) -> Result<Measured> {
    let mut measuring = Measuring::new(source, range, stored, content, limits)?;
    while !measuring.step(u64::MAX)? {}
    Ok(measuring.finish())
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::rc::Rc;

    use super::*;
    use crate::digest::sha256;
    use crate::error::Code;

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    fn measured(bytes: &[u8]) -> Measured {
        let len = bytes.len() as u64;
        measure(
            Rc::new(bytes.to_vec()),
            0..len,
            Algorithm::Sha256,
            Algorithm::Sha256,
            Some(Limits::default()),
        )
        .unwrap()
    }

    #[test]
    fn both_digests_in_one_pass() {
        let content: Vec<u8> = (0..5_000_000_u32).map(|i| (i % 251) as u8).collect();
        let mut stored = gzip(&content);
        stored.extend(b"trailing");
        let measured = measured(&stored);
        assert_eq!(measured.digest, sha256(&stored));
        let found = measured.content.unwrap();
        assert_eq!((found.digest, found.size, found.trailing), (sha256(&content), 5_000_000, 8));
    }

    #[test]
    fn what_is_not_compressed_is_its_own_content() {
        let found = measured(b"plain");
        assert_eq!(found.digest, sha256(b"plain"));
        assert_eq!(found.content.unwrap().digest, found.digest);
        assert_eq!(measured(b"").digest, sha256(b""));
    }

    #[test]
    fn a_damaged_blob_still_has_its_digest() {
        let mut stored = gzip(&(0..1_000_000_u32).flat_map(u32::to_le_bytes).collect::<Vec<_>>());
        let middle = stored.len() / 2;
        stored[middle] ^= 1;
        let found = measured(&stored);
        assert_eq!(found.digest, sha256(&stored));
        assert_eq!(found.content.unwrap_err().code(), Code::InvalidCompression);
        // Not even a header.
        let found = measured(b"\x28\xb5\x2f\xfd");
        assert_eq!(found.digest, sha256(b"\x28\xb5\x2f\xfd"));
        assert!(found.content.is_err());
    }

    #[test]
    fn two_algorithms() {
        let bytes = Rc::new(b"plain".to_vec());
        let found =
            measure(bytes, 0..5, Algorithm::Sha512, Algorithm::Sha256, Some(Limits::default())).unwrap();
        assert_eq!(found.digest, Algorithm::Sha512.digest(b"plain"));
        assert_eq!(found.content.unwrap().digest, sha256(b"plain"));
    }
}
