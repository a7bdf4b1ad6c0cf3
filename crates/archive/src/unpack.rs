//! Compressed bytes as a stream of what they hold, in bounded memory.
//!
//! Compressed files are often several members one after the other (pigz, eStargz, zstd:chunked), filled up with zeros
//! or followed by bytes that nobody wants. All five formats are treated alike: one decoder for one member, and a look
//! at what comes after it.

use std::cell::RefCell;
use std::io::{self, BufRead, ErrorKind, Read};
use std::ops::Range;
use std::rc::Rc;

use ruzstd::decoding::errors::FrameDecoderError;

use crate::compression::Compression;
use crate::digest::Hasher;
use crate::error::{Code, Error, Result};
use crate::source::Source;

/// How much is asked of the source at a time.
const CHUNK: usize = 1 << 20;
/// The longest look back into its output that a stream may ask its decoder to keep, which is what `zstd --ultra -22` writes.
/// Beyond it, unpacking fails with `limit-exceeded`, and the detail `limit` is `window`.
const MAX_WINDOW: u64 = 128 << 20;

/// How much a compressed stream may become. Beyond it, unpacking fails with `limit-exceeded`, whose detail `limit`
/// says which one it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most bytes that may come out.
    pub bytes: u64,
    /// The most bytes that may come out for each byte that goes in, once [`Self::free`] have come out.
    pub ratio: u64,
    /// What may come out whatever the ratio.
    pub free: u64,
}

impl Limits {
    /// Fails with `limit-exceeded` where `consumed` bytes became more than is allowed.
    pub(crate) fn check(self, compression: Compression, given: u64, consumed: u64) -> Result<()> {
        let exceeded = |limit: &str, allowed: u64| {
            Error::new(
                Code::LimitExceeded,
                format!("The {} data unpacks to more than is allowed.", compression.name()),
            )
            .with("limit", limit)
            .with("expected", allowed)
            .with("actual", given)
        };
        if given > self.bytes {
            return Err(exceeded("bytes", self.bytes));
        }
        if given > self.free && given / self.ratio.max(1) > consumed {
            return Err(exceeded("ratio", self.ratio));
        }
        Ok(())
    }
}

impl Default for Limits {
    /// 1 TiB, and 2000 to one beyond 1 GiB. Nothing that is gzipped goes beyond 1032 to one, but zeros by the hundred
    /// megabytes, as of sparse files that lost their holes in a layer, do in all other formats.
    fn default() -> Self {
        Self { bytes: 1 << 40, ratio: 2000, free: 1 << 30 }
    }
}

/// What has been read of a stream, known to whoever reads it and to whoever takes over when a decoder gives up.
#[derive(Debug)]
struct Progress {
    /// Where in the source the next read begins.
    at: u64,
    hasher: Option<Hasher>,
    /// What the source said when it failed: decoders have errors of their own.
    failure: Option<Error>,
}

/// A range of a source, read from start to end.
#[derive(Debug)]
pub(crate) struct Stream<S> {
    source: S,
    end: u64,
    buffer: Vec<u8>,
    used: usize,
    progress: Rc<RefCell<Progress>>,
}

impl<S: Source> Stream<S> {
    /// Reads `range`; what is read is hashed on the way, where there is a hasher.
    pub(crate) fn new(source: S, range: Range<u64>, hasher: Option<Hasher>) -> Self {
        let progress = Progress { at: range.start, hasher, failure: None };
        Self {
            source,
            end: range.end,
            buffer: Vec::new(),
            used: 0,
            progress: Rc::new(RefCell::new(progress)),
        }
    }

    /// Where the next byte that is given out stands in the source.
    fn position(&self) -> u64 {
        self.progress.borrow().at - (self.buffer.len() - self.used) as u64
    }

    /// The next bytes, at least `len` of them if there are so many, left where they are.
    fn peek(&mut self, len: usize) -> io::Result<&[u8]> {
        if self.buffer.len() - self.used < len {
            self.buffer.drain(..self.used);
            self.used = 0;
            let mut progress = self.progress.borrow_mut();
            let left = usize::try_from(self.end.saturating_sub(progress.at)).unwrap_or(usize::MAX);
            let old = self.buffer.len();
            self.buffer.resize(old + left.min(CHUNK), 0);
            let fresh = self.buffer.get_mut(old..).unwrap_or_default();
            if let Err(error) = self.source.read_at(progress.at, fresh) {
                self.buffer.truncate(old);
                progress.failure = Some(error);
                return Err(io::Error::other("the source failed"));
            }
            if let Some(hasher) = &mut progress.hasher {
                hasher.update(fresh);
            }
            progress.at += fresh.len() as u64;
        }
        Ok(self.buffer.get(self.used..).unwrap_or_default())
    }
}

impl<S: Source> Stream<S> {
    /// The first bytes, left where they are. Fails as the source does.
    pub(crate) fn head(&mut self) -> Result<&[u8]> {
        self.peek(1).is_err().then(|| self.failure()).map_or(Ok(()), Err)?;
        Ok(self.buffer.get(self.used..).unwrap_or_default())
    }

    /// The next bytes, taken; none at the end. Fails as the source does.
    pub(crate) fn chunk(&mut self) -> Result<&[u8]> {
        self.head()?;
        let chunk = self.buffer.get(self.used..).unwrap_or_default();
        self.used = self.buffer.len();
        Ok(chunk)
    }

    /// Up to where the source was read.
    pub(crate) fn fetched(&self) -> u64 {
        self.progress.borrow().at
    }

    /// The digest of all that was read.
    pub(crate) fn digest(self) -> String {
        self.progress.borrow_mut().hasher.take().map(Hasher::finish).unwrap_or_default()
    }

    fn failure(&self) -> Error {
        let failure = self.progress.borrow_mut().failure.take();
        failure.unwrap_or_else(|| Error::new(Code::ReadFailed, "The file cannot be read."))
    }
}

impl<S: Source> BufRead for Stream<S> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.peek(1)
    }

    fn consume(&mut self, amount: usize) {
        self.used = (self.used + amount).min(self.buffer.len());
    }
}

impl<S: Source> Read for Stream<S> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(buf)?;
        self.consume(count);
        Ok(count)
    }
}

/// The decoder of one member: a gzip member, a zstd or LZ4 frame, a bzip2 or xz stream.
enum Member<R: BufRead> {
    Gzip(Box<flate2::bufread::GzDecoder<R>>),
    Zstd(Box<ruzstd::decoding::StreamingDecoder<R, ruzstd::decoding::FrameDecoder>>),
    Bzip2(bzip2::bufread::BzDecoder<R>),
    Xz(Box<lzma_rust2::XzReader<R>>),
    Lz4(Box<lz4_flex::frame::FrameDecoder<R>>),
}

impl<R: BufRead> Member<R> {
    fn new(compression: Compression, reader: R) -> io::Result<Self> {
        Ok(match compression {
            Compression::Gzip => Self::Gzip(Box::new(flate2::bufread::GzDecoder::new(reader))),
            Compression::Zstd => Self::Zstd(Box::new(
                ruzstd::decoding::StreamingDecoder::new_with_max_window_size(reader, MAX_WINDOW).map_err(
                    |error| match error {
                        // As of xz.
                        FrameDecoderError::WindowSizeTooBig { .. } => ErrorKind::OutOfMemory.into(),
                        error => io::Error::other(error),
                    },
                )?,
            )),
            Compression::Bzip2 => Self::Bzip2(bzip2::bufread::BzDecoder::new(reader)),
            Compression::Xz => Self::Xz(Box::new(lzma_rust2::XzReader::new_mem_limit(
                reader,
                false,
                u32::try_from(MAX_WINDOW >> 10).unwrap_or(u32::MAX) + (8 << 10),
            ))),
            Compression::Lz4 => Self::Lz4(Box::new(lz4_flex::frame::FrameDecoder::new(reader))),
        })
    }

    fn into_inner(self) -> R {
        match self {
            Self::Gzip(decoder) => decoder.into_inner(),
            Self::Zstd(decoder) => decoder.into_inner(),
            Self::Bzip2(decoder) => decoder.into_inner(),
            Self::Xz(decoder) => decoder.into_inner(),
            Self::Lz4(decoder) => decoder.into_inner(),
        }
    }
}

impl<R: BufRead> Read for Member<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Gzip(decoder) => decoder.read(buf),
            Self::Zstd(decoder) => {
                let count = decoder.read(buf)?;
                // The one decoder that leaves the comparison to its caller.
                let stated = decoder.decoder.get_checksum_from_data();
                if count == 0 && stated.is_some() && stated != decoder.decoder.get_calculated_checksum() {
                    return Err(io::Error::new(ErrorKind::InvalidData, "its checksum is wrong"));
                }
                Ok(count)
            }
            Self::Bzip2(decoder) => decoder.read(buf),
            Self::Xz(decoder) => decoder.read(buf),
            Self::Lz4(decoder) => decoder.read(buf),
        }
    }
}

enum State<S: Source> {
    /// Between members.
    Between(Stream<S>),
    Inside(Member<Stream<S>>),
    Done,
}

/// What a compressed range of a source holds, read from start to end.
pub struct Unpacked<S: Source> {
    compression: Compression,
    state: State<S>,
    progress: Rc<RefCell<Progress>>,
    start: u64,
    limits: Limits,
    given: u64,
    members: u64,
    trailing: u64,
}

impl<S: Source> Unpacked<S> {
    /// Unpacks `range` of `source`. Nothing is read yet.
    pub fn new(source: S, range: Range<u64>, compression: Compression, limits: Limits) -> Self {
        Self::of(Stream::new(source, range, None), compression, limits)
    }

    pub(crate) fn of(stream: Stream<S>, compression: Compression, limits: Limits) -> Self {
        Self {
            compression,
            start: stream.position(),
            progress: stream.progress.clone(),
            state: State::Between(stream),
            limits,
            given: 0,
            members: 0,
            trailing: 0,
        }
    }

    /// Fills the beginning of `buf`, which is not empty; 0 at the end.
    ///
    /// Fails with `truncated` where the compressed data ends early, `invalid-compression` where it is damaged,
    /// `limit-exceeded` where it becomes too much or takes too much memory, and as the source does.
    pub fn read(&mut self, buf: &mut [u8]) -> Result<usize> {
        loop {
            let (next, count) = match std::mem::replace(&mut self.state, State::Done) {
                State::Done => return Ok(0),
                State::Between(stream) => (self.next_member(stream), 0),
                State::Inside(mut member) => match member.read(buf) {
                    Ok(0) => (Ok(State::Between(member.into_inner())), 0),
                    Ok(count) => (Ok(State::Inside(member)), count),
                    Err(error) if error.kind() == ErrorKind::Interrupted => (Ok(State::Inside(member)), 0),
                    Err(error) => (Err(error), 0),
                },
            };
            self.state = next.map_err(|error| self.failed(&error))?;
            self.given += count as u64;
            self.limits.check(self.compression, self.given, self.consumed())?;
            if count > 0 {
                return Ok(count);
            }
        }
    }

    /// Bytes of the source that were read so far.
    pub fn consumed(&self) -> u64 {
        self.progress.borrow().at - self.start
    }

    /// Bytes given out so far.
    pub fn given(&self) -> u64 {
        self.given
    }

    /// Bytes beside the members, but for the zeros that xz allows. Known at the end.
    pub fn trailing(&self) -> u64 {
        self.trailing
    }

    /// What the source holds from where it was read to on: hashed, if all this was, into the same digest.
    pub(crate) fn rest(&self, source: S, end: u64) -> Stream<S> {
        Stream { source, end, buffer: Vec::new(), used: 0, progress: self.progress.clone() }
    }

    /// What follows the member that has just ended, or precedes the first.
    fn next_member(&mut self, mut stream: Stream<S>) -> io::Result<State<S>> {
        loop {
            let head = stream.peek(8)?;
            if head.is_empty() {
                if self.members == 0 {
                    return Err(ErrorKind::UnexpectedEof.into());
                }
                return Ok(State::Done);
            }
            let found = Compression::of(head);
            // What began with a frame to be skipped was taken for zstd.
            if found == Some(Compression::Lz4) && self.compression == Compression::Zstd && self.given == 0 {
                self.compression = Compression::Lz4;
            }
            if let Some(len) = Compression::skipped(head)
                && matches!(self.compression, Compression::Zstd | Compression::Lz4)
            {
                self.members += 1;
                if io::copy(&mut stream.by_ref().take(len), &mut io::sink())? < len {
                    return Err(ErrorKind::UnexpectedEof.into());
                }
            } else if found == Some(self.compression) || self.members == 0 {
                self.members += 1;
                return Ok(State::Inside(Member::new(self.compression, stream)?));
            } else if head.first() == Some(&0) {
                let zeros = head.iter().take_while(|&&byte| byte == 0).count();
                stream.consume(zeros);
                // xz has a place for them.
                if self.compression != Compression::Xz {
                    self.trailing += zeros as u64;
                }
            } else {
                self.trailing += stream.end - stream.position();
                return Ok(State::Done);
            }
        }
    }

    fn failed(&self, error: &io::Error) -> Error {
        if let Some(failure) = self.progress.borrow_mut().failure.take() {
            return failure;
        }
        let name = self.compression.name();
        let error = if ends_early(error) {
            Error::new(Code::Truncated, format!("The {name} data ends early."))
        } else if error.kind() == ErrorKind::OutOfMemory {
            let most = MAX_WINDOW >> 20;
            Error::new(
                Code::LimitExceeded,
                format!("Unpacking the {name} data takes more memory than is allowed: it looks back over more than {most} MiB."),
            )
            .with("limit", "window")
            .with("expected", MAX_WINDOW)
        } else {
            Error::new(Code::InvalidCompression, format!("The {name} data is damaged: {error}."))
        };
        error.with("compression", name).with("offset", self.start + self.consumed())
    }
}

/// Whether a decoder found the end where it wanted more; some wrap what the stream told them.
fn ends_early(error: &io::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        let io = error.downcast_ref::<io::Error>();
        if io.is_some_and(|error| error.kind() == ErrorKind::UnexpectedEof) {
            return true;
        }
        cause = match io.and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    false
}

impl<S: Source> std::fmt::Debug for Unpacked<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unpacked").field("compression", &self.compression).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn all(bytes: &[u8], compression: Compression, limits: Limits) -> Result<(Vec<u8>, u64)> {
        let mut unpacked = Unpacked::new(bytes, 0..bytes.len() as u64, compression, limits);
        let mut out = Vec::new();
        let mut buffer = vec![0; 1000];
        loop {
            match unpacked.read(&mut buffer)? {
                0 => return Ok((out, unpacked.trailing())),
                count => out.extend_from_slice(&buffer[..count]),
            }
        }
    }

    fn packed(compression: Compression, content: &[u8]) -> Vec<u8> {
        match compression {
            Compression::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(content).unwrap();
                encoder.finish().unwrap()
            }
            Compression::Zstd => {
                ruzstd::encoding::compress_to_vec(content, ruzstd::encoding::CompressionLevel::Fastest)
            }
            Compression::Bzip2 => {
                let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
                encoder.write_all(content).unwrap();
                encoder.finish().unwrap()
            }
            Compression::Xz => {
                let mut writer =
                    lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(1)).unwrap();
                writer.write_all(content).unwrap();
                writer.finish().unwrap()
            }
            Compression::Lz4 => {
                let info = lz4_flex::frame::FrameInfo::new().content_checksum(true);
                let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
                encoder.write_all(content).unwrap();
                encoder.finish().unwrap()
            }
        }
    }

    fn content() -> Vec<u8> {
        (0..3_000_000_u32).flat_map(|i| (i / 7 * 31).to_le_bytes()).take(2_500_000).collect()
    }

    #[test]
    fn every_format_with_one_member_and_with_several() {
        let content = content();
        let (first, second) = content.split_at(1_234_567);
        for compression in Compression::ALL {
            let one = packed(compression, &content);
            assert_eq!(Compression::of(&one), Some(compression));
            assert_eq!(all(&one, compression, Limits::default()).unwrap(), (content.clone(), 0));
            let mut two = [packed(compression, first), packed(compression, second)].concat();
            two.extend_from_slice(&[0; 1024]);
            let zeros = if compression == Compression::Xz { 0 } else { 1024 };
            assert!(
                all(&two, compression, Limits::default()).unwrap() == (content.clone(), zeros),
                "{compression:?}"
            );
            two.extend_from_slice(b"junk");
            assert!(
                all(&two, compression, Limits::default()).unwrap() == (content.clone(), zeros + 4),
                "{compression:?}"
            );
        }
    }

    #[test]
    fn what_ends_early_or_is_damaged_is_told() {
        let content = content();
        for compression in Compression::ALL {
            let whole = packed(compression, &content);
            let cut = &whole[..whole.len() / 2];
            assert_eq!(
                all(cut, compression, Limits::default()).unwrap_err().code(),
                Code::Truncated,
                "{compression:?}"
            );
            let mut damaged = whole.clone();
            let middle = damaged.len() / 2;
            for byte in &mut damaged[middle..middle + 40] {
                *byte ^= 0x5a;
            }
            let result = all(&damaged, compression, Limits::default());
            assert!(result.is_err(), "{compression:?}");
        }
    }

    #[test]
    fn bombs_are_stopped_by_a_limit_that_is_named() {
        let zeros = vec![0; 200 << 20];
        for compression in [Compression::Gzip, Compression::Bzip2, Compression::Zstd] {
            let bomb = packed(compression, &zeros);
            let error = all(&bomb, compression, Limits { bytes: 1 << 20, ..Limits::default() }).unwrap_err();
            assert_eq!(error.code(), Code::LimitExceeded);
            assert_eq!(error.detail()["limit"], "bytes".into());
            let error = all(&bomb, compression, Limits { ratio: 50, free: 64 << 20, ..Limits::default() })
                .unwrap_err();
            assert_eq!((error.code(), &error.detail()["limit"]), (Code::LimitExceeded, &"ratio".into()));
        }
    }

    /// xz data whose dictionary is stated to be of 256 MiB.
    fn xz_of_a_long_window() -> Vec<u8> {
        let mut xz = packed(Compression::Xz, b"x");
        // The header of the first block is behind the stream's: the filter LZMA2 has one byte of properties, and a CRC
        // is at the end.
        let len = (usize::from(xz[12]) + 1) * 4;
        let header = &mut xz[12..12 + len];
        let lzma2 = header.windows(2).position(|bytes| bytes == [0x21, 1]).unwrap();
        header[lzma2 + 2] = 32;
        let mut crc = flate2::Crc::new();
        crc.update(&header[..len - 4]);
        header[len - 4..].copy_from_slice(&crc.sum().to_le_bytes());
        xz
    }

    #[test]
    fn what_takes_too_much_memory_is_no_damage() {
        for (compression, bytes) in [
            (Compression::Zstd, b"\x28\xb5\x2f\xfd\0\x90\x09\0\0x".to_vec()),
            (Compression::Xz, xz_of_a_long_window()),
        ] {
            let error = all(&bytes, compression, Limits::default()).unwrap_err();
            assert_eq!((error.code(), &error.detail()["limit"]), (Code::LimitExceeded, &"window".into()));
        }
    }

    #[test]
    fn frames_to_be_skipped_are() {
        let content = content();
        let mut file = b"\x50\x2a\x4d\x18\x05\0\0\0hello".to_vec();
        file.extend(packed(Compression::Zstd, &content));
        file.extend(b"\x5f\x2a\x4d\x18\0\0\0\0");
        assert_eq!(Compression::of(&file), Some(Compression::Zstd));
        assert_eq!(all(&file, Compression::Zstd, Limits::default()).unwrap(), (content.clone(), 0));

        // LZ4 has the same.
        let mut file = b"\x50\x2a\x4d\x18\x05\0\0\0hello\x51\x2a\x4d\x18\0\0\0\0".to_vec();
        file.extend(packed(Compression::Lz4, &content));
        assert_eq!(all(&file, Compression::Zstd, Limits::default()).unwrap(), (content, 0));
    }
}
