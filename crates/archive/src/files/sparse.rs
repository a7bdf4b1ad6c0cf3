//! Sparse files, in the four ways that GNU tar has stored them.

use tar::{GnuSparseHeader, Header};

use super::stream::LayerStream;
use crate::error::{Code, Error, Result};
use crate::source::{MAX_LEN, Source};
use crate::tar::BLOCK;
use crate::tar::extensions::{SparseMapIn, version};
use crate::tar::header::invalid;

/// The most parts that a sparse file may have: the map of a real one has some hundreds.
const MAX_PARTS: usize = 1 << 16;

/// Which parts of a file are stored; between them are zeros.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct SparseMap {
    /// Where each part begins and how long it is, in order.
    pub(super) parts: Vec<(u64, u64)>,
    /// Bytes that the layer has of it: as many as the parts are long.
    pub(super) stored: u64,
}

impl SparseMap {
    /// Fails with `invalid-tar` where parts overlap, go past `size`, or are not just what is `stored`, as Go's reader has it.
    fn checked(mut self, size: u64, stored: u64, at: u64) -> Result<Self> {
        let (mut end, mut sum) = (0, 0);
        for &(offset, len) in &self.parts {
            let next = offset.checked_add(len).filter(|&next| offset >= end && next <= size);
            end = next.ok_or_else(|| no_map(at))?;
            sum += len;
        }
        if sum != stored {
            return Err(invalid("A sparse file has more or less data than its map says", at));
        }
        self.stored = stored;
        Ok(self)
    }

    fn push(&mut self, offset: u64, len: u64, at: u64) -> Result<()> {
        if self.parts.len() >= MAX_PARTS {
            return Err(Error::new(Code::LimitExceeded, "The map of a sparse file is too long.")
                .with("offset", at)
                .with("expected", MAX_PARTS));
        }
        self.parts.push((offset, len));
        Ok(())
    }

    pub(super) fn memory(&self) -> usize {
        self.parts.capacity() * 16
    }
}

/// What pax records say of a sparse file.
#[derive(Debug, Default)]
pub(super) struct SparseRecords {
    major: Option<u8>,
    minor: Option<u8>,
    size: Option<Vec<u8>>,
    real_size: Option<Vec<u8>>,
    /// Format 0.1.
    map: Vec<u8>,
    /// Format 0.0: the same, gathered from records of their own.
    pairs: Vec<u8>,
    is_between: bool,
}

impl SparseRecords {
    /// Takes a record whose key begins with `GNU.sparse.`, this not included.
    pub(super) fn record(&mut self, key: &[u8], value: &[u8], at: u64) -> Result<()> {
        match key {
            b"major" => self.major = Some(version(value)),
            b"minor" => self.minor = Some(version(value)),
            b"size" => self.size = Some(value.to_vec()),
            b"realsize" => self.real_size = Some(value.to_vec()),
            b"map" => self.map = value.to_vec(),
            b"offset" | b"numbytes" => {
                if self.is_between != (key == b"numbytes") || value.contains(&b',') {
                    return Err(no_map(at));
                }
                self.is_between = !self.is_between;
                if !self.pairs.is_empty() {
                    self.pairs.push(b',');
                }
                self.pairs.extend_from_slice(value);
            }
            _ => {}
        }
        Ok(())
    }

    /// Where its map is; `None` for a file like any other.
    pub(super) fn map_in(&self) -> Option<SparseMapIn> {
        let has_map = !self.map.is_empty() || !self.pairs.is_empty();
        SparseMapIn::of(self.major, self.minor, has_map)
    }

    /// The map that stands in the records.
    fn map(&self, at: u64) -> Result<SparseMap> {
        let text = if self.pairs.is_empty() { &self.map } else { &self.pairs };
        let mut map = SparseMap::default();
        let mut numbers = text.split(|&byte| byte == b',').map(number);
        while let Some(offset) = numbers.next().filter(|_| !text.is_empty()) {
            let pair = offset.zip(numbers.next().flatten());
            let (offset, len) = pair.ok_or_else(|| no_map(at))?;
            map.push(offset, len, at)?;
        }
        Ok(map)
    }

    /// The file's size and map, and how many of the `stored` bytes the map takes at their beginning, which are read.
    pub(super) fn finish<S: Source + Clone>(
        self,
        stream: &mut LayerStream<S>,
        stored: u64,
        at: u64,
    ) -> Result<(u64, SparseMap, u64)> {
        let size = match self.size.as_ref().or(self.real_size.as_ref()) {
            Some(size) => number(size).ok_or_else(|| no_map(at))?,
            None => stored,
        };
        if self.map_in() != Some(SparseMapIn::Content) {
            return Ok((size, self.map(at)?.checked(size, stored, at)?, 0));
        }
        // Format 1.0: decimal numbers on lines of their own, filled up to a whole block.
        let mut reading = Lines { stream, block: [0; 512], used: 512, read: 0, stored, at };
        let mut map = SparseMap::default();
        for _ in 0..reading.number()? {
            map.push(reading.number()?, reading.number()?, at)?;
        }
        let read = reading.read;
        Ok((size, map.checked(size, stored.saturating_sub(read), at)?, read))
    }
}

fn no_map(at: u64) -> Error {
    invalid("The map of a sparse file makes no sense", at)
}

fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok().filter(|&number| number <= MAX_LEN)
}

struct Lines<'a, S: Source + Clone> {
    stream: &'a mut LayerStream<S>,
    block: [u8; 512],
    used: usize,
    read: u64,
    stored: u64,
    at: u64,
}

impl<S: Source + Clone> Lines<'_, S> {
    fn number(&mut self) -> Result<u64> {
        let wrong = no_map(self.at);
        let mut digits = Vec::new();
        loop {
            if self.used == self.block.len() {
                if self.read + BLOCK > self.stored.next_multiple_of(BLOCK) {
                    return Err(wrong);
                }
                self.stream.read_exact(&mut self.block)?;
                self.read += BLOCK;
                self.used = 0;
            }
            let byte = self.block.get(self.used).copied().unwrap_or_default();
            self.used += 1;
            match byte {
                b'\n' => return number(&digits).ok_or(wrong),
                b'0'..=b'9' if digits.len() < 20 => digits.push(byte),
                _ => return Err(wrong),
            }
        }
    }
}

/// The size and the map of an old GNU sparse file, whose further map blocks are read.
pub(super) fn of_gnu<S: Source + Clone>(
    header: &Header,
    stream: &mut LayerStream<S>,
    stored: u64,
    at: u64,
) -> Result<(u64, SparseMap)> {
    let wrong = || no_map(at);
    let gnu = header.as_gnu().ok_or_else(wrong)?;
    let mut map = SparseMap::default();
    let take = |map: &mut SparseMap, parts: &[GnuSparseHeader]| {
        for part in parts.iter().filter(|part| !part.is_empty()) {
            let (offset, len) = part.offset().ok().zip(part.length().ok()).ok_or_else(wrong)?;
            map.push(offset, len, at)?;
        }
        Ok::<_, Error>(())
    };
    take(&mut map, &gnu.sparse)?;
    let mut more = gnu.is_extended();
    let mut blocks = 0;
    while more {
        blocks += 1;
        let mut block = tar::GnuExtSparseHeader::new();
        stream.read_exact(block.as_mut_bytes())?;
        take(&mut map, block.sparse())?;
        more = block.is_extended();
        if blocks > MAX_PARTS / block.sparse().len() {
            return Err(wrong());
        }
    }
    let size = gnu.real_size().ok().filter(|&size| size <= MAX_LEN).ok_or_else(wrong)?;
    Ok((size, map.checked(size, stored, at)?))
}
