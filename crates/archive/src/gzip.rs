//! Gzip made fast, the same bytes for the same content wherever it is made.

use flate2::{Compress, CompressError, Compression, Crc, FlushCompress, Status};

/// The usual 6 takes half as long again, for one part in 30 less.
const LEVEL: u32 = 3;
/// How much is packed at a time. What is done with a block depends on nothing but the content, however it arrives.
const BLOCK: usize = 256 << 10;
/// How much of a block is tried, to see whether packing it is worth the time.
const SAMPLE: usize = 8 << 10;
/// The longest block that deflate stores as it is (RFC 1951, section 3.2.4).
const STORED: usize = 0xffff;
/// The output grows by so much at a time.
const OUTPUT: usize = 64 << 10;

/// A gzip file (RFC 1952) in the making, of one member. Blocks that do not become smaller are stored, which costs no time.
pub(crate) struct Gzip {
    deflate: Compress,
    sampling: Compress,
    /// Whether the compressor has begun a block of the output.
    is_open: bool,
    crc: Crc,
    block: Vec<u8>,
    sample: Vec<u8>,
    out: Vec<u8>,
}

impl Gzip {
    pub(crate) fn new() -> Self {
        Self {
            deflate: Compress::new(Compression::new(LEVEL), false),
            sampling: Compress::new(Compression::fast(), false),
            is_open: false,
            crc: Crc::new(),
            block: Vec::with_capacity(BLOCK),
            sample: Vec::with_capacity(SAMPLE * 2),
            // No time, no name, no system.
            out: vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff],
        }
    }

    pub(crate) fn push(&mut self, mut bytes: &[u8]) -> Result<(), CompressError> {
        self.crc.update(bytes);
        while !bytes.is_empty() {
            let (taken, rest) = bytes.split_at(bytes.len().min(BLOCK - self.block.len()));
            self.block.extend_from_slice(taken);
            bytes = rest;
            if self.block.len() == BLOCK {
                self.pack()?;
            }
        }
        Ok(())
    }

    /// Ends the file.
    pub(crate) fn finish(&mut self) -> Result<(), CompressError> {
        self.pack()?;
        deflate(&mut self.deflate, &[], &mut self.out, FlushCompress::Finish)?;
        self.out.extend(self.crc.sum().to_le_bytes());
        self.out.extend(self.crc.amount().to_le_bytes());
        Ok(())
    }

    /// What there is of the file, which is the caller's from now on.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// Packs the block, or stores it.
    fn pack(&mut self) -> Result<(), CompressError> {
        if self.is_worth_it()? {
            deflate(&mut self.deflate, &self.block, &mut self.out, FlushCompress::None)?;
            self.is_open = true;
        } else {
            if self.is_open {
                // Ends at a byte, and forgets what came before: nothing that follows refers to it by a wrong distance.
                deflate(&mut self.deflate, &[], &mut self.out, FlushCompress::Full)?;
                self.is_open = false;
            }
            for stored in self.block.chunks(STORED) {
                let len = u16::try_from(stored.len()).unwrap_or(u16::MAX);
                self.out.push(0);
                self.out.extend(len.to_le_bytes());
                self.out.extend((!len).to_le_bytes());
                self.out.extend_from_slice(stored);
            }
        }
        self.block.clear();
        Ok(())
    }

    /// Whether a sample of the block becomes smaller, by more than one part in 32.
    fn is_worth_it(&mut self) -> Result<bool, CompressError> {
        let Some(sample) = self.block.get(BLOCK / 2..BLOCK / 2 + SAMPLE) else {
            return Ok(true);
        };
        self.sample.clear();
        self.sampling.reset();
        deflate(&mut self.sampling, sample, &mut self.sample, FlushCompress::Finish)?;
        Ok(self.sample.len() < SAMPLE - SAMPLE / 32)
    }
}

/// Gives bytes to a compressor, and takes all that it has for them.
fn deflate(
    deflate: &mut Compress,
    bytes: &[u8],
    out: &mut Vec<u8>,
    flush: FlushCompress,
) -> Result<(), CompressError> {
    let mut bytes = bytes;
    loop {
        out.reserve(OUTPUT);
        let before = deflate.total_in();
        let status = deflate.compress_vec(bytes, out, flush)?;
        let taken = usize::try_from(deflate.total_in() - before).unwrap_or_default();
        bytes = bytes.get(taken..).unwrap_or_default();
        // Where there is room left, nothing is left to come.
        let is_through = bytes.is_empty() && out.len() < out.capacity();
        if status == Status::StreamEnd || (is_through && flush != FlushCompress::Finish) {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use proptest::prelude::*;

    use super::*;

    fn gzip(content: &[u8], chunk: usize) -> Vec<u8> {
        let mut gzip = Gzip::new();
        let mut out = Vec::new();
        for bytes in content.chunks(chunk) {
            gzip.push(bytes).unwrap();
            out.extend(gzip.take());
        }
        gzip.finish().unwrap();
        out.extend(gzip.take());
        out
    }

    /// Bytes that nothing makes smaller.
    fn noise(len: usize, mut seed: u64) -> Vec<u8> {
        let next = || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed.to_le_bytes()
        };
        std::iter::repeat_with(next).flatten().take(len).collect()
    }

    #[test]
    fn what_does_not_become_smaller_is_stored() {
        let noise = noise(3 * BLOCK, 1);
        assert!(gzip(&noise, BLOCK).len() < noise.len() + noise.len() / 4096);
        assert!(gzip(&vec![7; 3 * BLOCK], BLOCK).len() < BLOCK / 100);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn the_same_content_gives_the_same_bytes_which_hold_it(
            runs in prop::collection::vec((any::<bool>(), 1..2 * BLOCK, 1..u64::MAX), 0..5),
            chunk in 1_usize..600_000,
        ) {
            // What repeats may refer to what came before it, but not across what was stored.
            let repeats = |len: usize| noise(300, 9).repeat(len / 300 + 1);
            let content: Vec<u8> = runs
                .into_iter()
                .flat_map(|(is_noise, len, seed)| if is_noise { noise(len, seed) } else { repeats(len) })
                .collect();
            let packed = gzip(&content, chunk);
            prop_assert!(packed == gzip(&content, BLOCK));
            let mut unpacked = Vec::new();
            flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut unpacked).unwrap();
            prop_assert!(unpacked == content);
        }
    }
}
