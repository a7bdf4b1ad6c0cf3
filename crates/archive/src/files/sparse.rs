//! Sparse files, in the four ways that GNU tar has stored them.

use tar::{GnuSparseHeader, Header};

use super::stream::LayerStream;
use crate::error::{Code, Error, Result};
use crate::source::{MAX_LEN, Source};
use crate::tar::BLOCK;
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
            end = next.ok_or_else(|| invalid("The map of a sparse file makes no sense", at))?;
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
    /// Format 0.0 and 0.1.
    map: SparseMap,
    offset: Option<u64>,
    size: Option<u64>,
    major: u64,
}

impl SparseRecords {
    /// Takes a record whose key begins with `GNU.sparse.`, this not included.
    pub(super) fn record(&mut self, key: &[u8], value: &[u8], at: u64) -> Result<()> {
        let number = || number(value).ok_or_else(|| invalid("The map of a sparse file makes no sense", at));
        match key {
            b"major" => self.major = number()?,
            b"size" | b"realsize" => self.size = Some(number()?),
            b"offset" => self.offset = Some(number()?),
            b"numbytes" => {
                let offset = self.offset.take().unwrap_or_default();
                self.map.push(offset, number()?, at)?;
            }
            b"map" => {
                let mut numbers = value.split(|&byte| byte == b',').filter(|part| !part.is_empty());
                while let Some(offset) = numbers.next() {
                    let pair = numbers.next().and_then(self::number).zip(self::number(offset));
                    let (len, offset) =
                        pair.ok_or_else(|| invalid("The map of a sparse file makes no sense", at))?;
                    self.map.push(offset, len, at)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The file's size and map, and how many of the `stored` bytes the map takes at their beginning, which are read.
    pub(super) fn finish<S: Source + Clone>(
        self,
        stream: &mut LayerStream<S>,
        stored: u64,
        at: u64,
    ) -> Result<(u64, SparseMap, u64)> {
        let size = self.size.ok_or_else(|| invalid("A sparse file does not state its size", at))?;
        if self.major == 0 {
            return Ok((size, self.map.checked(size, stored, at)?, 0));
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
        let wrong = invalid("The map of a sparse file makes no sense", self.at);
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
    let wrong = || invalid("The map of a sparse file makes no sense", at);
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
