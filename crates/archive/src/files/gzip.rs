//! Gzip that can be read from the middle: while it is read once, places are noted from which decoding can go on later.
//!
//! The idea is that of zlib's `zran`: at the end of a deflate block, the 32 KiB of output before it and the bits that
//! are left of one byte are all that a decoder needs.

use std::io::Write;
use std::rc::Rc;

use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::{
    TINFL_FLAG_HAS_MORE_INPUT, TINFL_FLAG_STOP_ON_BLOCK_BOUNDARY,
};
use miniz_oxide::inflate::core::{BlockBoundaryState, DecompressorOxide, decompress};

use crate::compression::Compression;
use crate::error::{Code, Error, Result};
use crate::recipe::Recipe;
use crate::source::Source;
use crate::unpack::Limits;

/// How far apart checkpoints are, of unpacked bytes.
const SPACING: u64 = 4 << 20;
/// The most checkpoints that a layer has; beyond it, every other one goes. Packed, each takes some 10 KiB.
const MAX_CHECKPOINTS: usize = 2048;
/// How far back deflate refers.
const WINDOW: usize = 32 << 10;
/// The decoder's output, used round and round: a power of two, as it asks for.
const RING: usize = 256 << 10;
/// How much is asked of the source at a time.
const CHUNK: u64 = 256 << 10;

/// A place where decoding can begin.
struct Checkpoint {
    /// Unpacked bytes before it.
    out: u64,
    /// Where the next compressed byte stands.
    at: u64,
    state: BlockBoundaryState,
    /// The last of the output before it, packed.
    window: Box<[u8]>,
}

/// The places where decoding of one layer can begin, in order.
pub(super) struct Checkpoints {
    list: Vec<Checkpoint>,
    spacing: u64,
}

impl Default for Checkpoints {
    fn default() -> Self {
        Self { list: Vec::new(), spacing: SPACING }
    }
}

impl Checkpoints {
    fn wants(&self, out: u64) -> bool {
        out >= self.list.last().map_or(0, |last| last.out) + self.spacing
    }

    fn push(&mut self, checkpoint: Checkpoint) {
        self.list.push(checkpoint);
        if self.list.len() > MAX_CHECKPOINTS {
            let mut keep = false;
            self.list.retain(|_| {
                keep = !keep;
                keep
            });
            self.spacing *= 2;
        }
    }

    /// The last place before that byte of the output.
    fn before(&self, out: u64) -> Option<&Checkpoint> {
        self.list
            .partition_point(|checkpoint| checkpoint.out <= out)
            .checked_sub(1)
            .and_then(|at| self.list.get(at))
    }

    /// How many unpacked bytes stand before the place from which that byte is best read.
    pub(super) fn start_for(&self, out: u64) -> u64 {
        self.before(out).map_or(0, |checkpoint| checkpoint.out)
    }

    /// Bytes of memory that they take.
    pub(super) fn memory(&self) -> usize {
        self.list.iter().map(|one| one.window.len() + size_of::<Checkpoint>()).sum()
    }
}

/// The gzip trailer that is to come: the checksum and the length of what a member holds.
struct Member {
    crc: flate2::Crc,
}

enum State {
    /// Before a member.
    Between,
    /// Inside one; without what its trailer is held against, where decoding began in the middle.
    Inside(Option<Member>),
    Done,
}

/// What gzip members hold, from any checkpoint on.
pub(super) struct Gunzip<S> {
    data: Recipe<S>,
    /// Where the next bytes are read.
    at: u64,
    buffer: Vec<u8>,
    used: usize,
    state: State,
    inflate: Box<DecompressorOxide>,
    ring: Vec<u8>,
    /// Where in the ring the decoder writes next.
    head: usize,
    /// What of the ring was not given out yet.
    ready: std::ops::Range<usize>,
    out: u64,
    any: bool,
    /// Limits are of what one pass reads.
    began: (u64, u64),
    limits: Limits,
    /// What is noted on the way, in the pass that notes.
    noted: Option<Checkpoints>,
}

impl<S: Source + Clone> Gunzip<S> {
    /// Reads from the beginning, and notes checkpoints.
    pub(super) fn noting(data: Recipe<S>, limits: Limits) -> Self {
        Self { noted: Some(Checkpoints::default()), ..Self::at(data, limits, &Checkpoints::default(), 0) }
    }

    /// Reads from the last checkpoint before that byte of the output.
    pub(super) fn at(data: Recipe<S>, limits: Limits, checkpoints: &Checkpoints, out: u64) -> Self {
        let mut own = Self {
            data,
            at: 0,
            buffer: Vec::new(),
            used: 0,
            state: State::Between,
            inflate: Box::default(),
            ring: vec![0; RING],
            head: 0,
            ready: 0..0,
            out: 0,
            any: false,
            began: (0, 0),
            limits,
            noted: None,
        };
        if let Some(checkpoint) = checkpoints.before(out) {
            let mut window = Vec::with_capacity(WINDOW);
            let mut decoder = flate2::write::DeflateDecoder::new(&mut window);
            // What was packed here unpacks.
            let whole = decoder.write_all(&checkpoint.window).and_then(|()| decoder.finish().map(|_| ()));
            if whole.is_ok()
                && let Some(to) = own.ring.get_mut(..window.len())
            {
                to.copy_from_slice(&window);
                own.head = window.len();
                own.out = checkpoint.out;
                own.at = checkpoint.at;
                own.any = true;
                own.state = State::Inside(None);
                own.began = (checkpoint.out, checkpoint.at);
                *own.inflate = DecompressorOxide::from_block_boundary_state(&checkpoint.state);
            }
        }
        own
    }

    /// The next unpacked bytes, left where they are; none at the end.
    ///
    /// Fails with `truncated`, `invalid-compression` or `limit-exceeded`, and as the source does.
    pub(super) fn fill(&mut self) -> Result<&[u8]> {
        while self.ready.start >= self.ready.end {
            match &self.state {
                State::Done => break,
                State::Between => self.begin()?,
                State::Inside(_) => self.decode()?,
            }
        }
        Ok(self.ring.get(self.ready.clone()).unwrap_or_default())
    }

    /// Goes past bytes that [`Self::fill`] gave.
    pub(super) fn consume(&mut self, bytes: usize) {
        self.ready.start = (self.ready.start + bytes).min(self.ready.end);
    }

    /// Unpacked bytes before the next one that is given out.
    pub(super) fn position(&self) -> u64 {
        self.out - self.ready.len() as u64
    }

    /// Compressed bytes read so far.
    pub(super) fn consumed(&self) -> u64 {
        self.at - (self.buffer.len() - self.used) as u64
    }

    /// What was noted.
    pub(super) fn into_checkpoints(self) -> Checkpoints {
        self.noted.unwrap_or_default()
    }

    /// Whether there are more compressed bytes; reads them where there are none in the buffer.
    fn input(&mut self) -> Result<bool> {
        if self.used >= self.buffer.len() {
            let len = (self.data.len() - self.at).min(CHUNK);
            #[allow(clippy::cast_possible_truncation)] // at most a chunk
            self.buffer.resize(len as usize, 0);
            self.used = 0;
            self.data.read_at(self.at, &mut self.buffer)?;
            self.at += len;
        }
        Ok(self.used < self.buffer.len())
    }

    fn byte(&mut self) -> Result<u8> {
        if !self.input()? {
            return Err(self.truncated());
        }
        let byte = self.buffer.get(self.used).copied();
        self.used += 1;
        byte.ok_or_else(|| self.truncated())
    }

    fn skip(&mut self, count: usize) -> Result<()> {
        (0..count).try_for_each(|_| self.byte().map(|_| ()))
    }

    fn skip_text(&mut self) -> Result<()> {
        while self.byte()? != 0 {}
        Ok(())
    }

    /// Reads a member's header (RFC 1952, 2.3), or sees that there is none.
    fn begin(&mut self) -> Result<()> {
        // Files are filled up with zeros.
        while self.any && self.input()? && self.buffer.get(self.used) == Some(&0) {
            self.used += 1;
        }
        if self.any && !self.input()? {
            self.state = State::Done;
            return Ok(());
        }
        let magic = [self.byte()?, if self.input()? { self.byte()? } else { 0 }];
        if magic != [0x1f, 0x8b] {
            if self.any {
                // Bytes that nobody wants.
                self.state = State::Done;
                return Ok(());
            }
            return Err(self.damaged("it is no gzip"));
        }
        if self.byte()? != 8 {
            return Err(self.damaged("its method is unknown"));
        }
        let flags = self.byte()?;
        self.skip(6)?;
        if flags & 4 != 0 {
            let len = u16::from_le_bytes([self.byte()?, self.byte()?]);
            self.skip(len.into())?;
        }
        if flags & 8 != 0 {
            self.skip_text()?;
        }
        if flags & 16 != 0 {
            self.skip_text()?;
        }
        if flags & 2 != 0 {
            self.skip(2)?;
        }
        self.any = true;
        *self.inflate = DecompressorOxide::default();
        self.state = State::Inside(Some(Member { crc: flate2::Crc::new() }));
        Ok(())
    }

    fn decode(&mut self) -> Result<()> {
        let more = self.input()?;
        let input = self.buffer.get(self.used..).unwrap_or_default();
        let mut flags = if self.noted.is_some() { TINFL_FLAG_STOP_ON_BLOCK_BOUNDARY } else { 0 };
        if more {
            flags |= TINFL_FLAG_HAS_MORE_INPUT;
        }
        if self.head >= self.ring.len() {
            self.head = 0;
        }
        let (status, read, written) = decompress(&mut self.inflate, input, &mut self.ring, self.head, flags);
        self.used += read;
        self.ready = self.head..self.head + written;
        self.head += written;
        self.out += written as u64;
        if let State::Inside(Some(member)) = &mut self.state {
            member.crc.update(self.ring.get(self.ready.clone()).unwrap_or_default());
        }
        self.limits.check(Compression::Gzip, self.out - self.began.0, self.consumed() - self.began.1)?;
        match status {
            TINFLStatus::Done => self.end(),
            TINFLStatus::BlockBoundary => {
                self.note();
                Ok(())
            }
            TINFLStatus::NeedsMoreInput if more => Ok(()),
            TINFLStatus::HasMoreOutput => Ok(()),
            TINFLStatus::NeedsMoreInput | TINFLStatus::FailedCannotMakeProgress => Err(self.truncated()),
            _ => Err(self.damaged("its blocks make no sense")),
        }
    }

    /// Holds a member against its trailer.
    fn end(&mut self) -> Result<()> {
        let mut word = || Ok(u32::from_le_bytes([self.byte()?, self.byte()?, self.byte()?, self.byte()?]));
        let stated = (word()?, word()?);
        if let State::Inside(Some(member)) = std::mem::replace(&mut self.state, State::Between)
            && stated != (member.crc.sum(), member.crc.amount())
        {
            return Err(self.damaged("its checksum is wrong"));
        }
        Ok(())
    }

    fn note(&mut self) {
        let at = self.consumed();
        let Some(noted) = self.noted.as_mut().filter(|noted| noted.wants(self.out)) else { return };
        let Some(state) = self.inflate.block_boundary_state() else { return };
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
        let from = self.head.saturating_sub(WINDOW);
        // Before the ring's beginning is its end; nothing of it, where the output began less than a window ago.
        let wrapped = (WINDOW - (self.head - from))
            .min(usize::try_from(self.out).unwrap_or(WINDOW) - (self.head - from));
        let before = self.ring.get(self.ring.len() - wrapped..).unwrap_or_default();
        let last = self.ring.get(from..self.head).unwrap_or_default();
        let packed =
            encoder.write_all(before).and_then(|()| encoder.write_all(last)).and_then(|()| encoder.finish());
        // Writing to memory does not fail.
        if let Ok(window) = packed {
            noted.push(Checkpoint { out: self.out, at, state, window: window.into() });
        }
    }

    fn truncated(&self) -> Error {
        self.error(Code::Truncated, "The gzip data ends early.".to_owned())
    }

    fn damaged(&self, why: &str) -> Error {
        self.error(Code::InvalidCompression, format!("The gzip data is damaged: {why}."))
    }

    fn error(&self, code: Code, message: String) -> Error {
        Error::new(code, message).with("compression", "gzip").with("offset", self.consumed())
    }
}

impl std::fmt::Debug for Checkpoints {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Checkpoints").field("count", &self.list.len()).finish_non_exhaustive()
    }
}

/// Checkpoints are shared by whoever reads from a layer.
pub(super) type SharedCheckpoints = Rc<Checkpoints>;
