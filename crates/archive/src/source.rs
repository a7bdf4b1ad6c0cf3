//! Where bytes come from: the one thing that this crate asks of the world.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use crate::error::{Code, Error, Result};

/// The largest offset and size that anything may have: what a JavaScript number holds exactly.
pub const MAX_LEN: u64 = (1 << 53) - 1;

/// The sum of sizes that may be anybody's claims, which is no more than a size may be.
pub(crate) fn sum(sizes: impl IntoIterator<Item = u64>) -> u64 {
    sizes.into_iter().fold(0, plus)
}

/// The same, of two.
pub(crate) fn plus(one: u64, other: u64) -> u64 {
    one.saturating_add(other).min(MAX_LEN)
}

/// An immutable sequence of bytes, read at any position.
pub trait Source {
    /// Length in bytes.
    fn len(&self) -> u64;

    /// Fills `buf` with the bytes that begin at `offset`.
    ///
    /// Fails with `truncated` when there are not so many, and with `read-failed` or `source-changed` when the
    /// storage behind it says so.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()>;

    /// Whether there is not a single byte.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Reads `len` bytes at `offset` into a new vector. The caller has bounded `len`.
pub(crate) fn read_vec(source: &impl Source, offset: u64, len: usize) -> Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    source.read_at(offset, &mut bytes)?;
    Ok(bytes)
}

/// The error for a read that goes past the end.
pub(crate) fn past_end(offset: u64, wanted: usize, len: u64) -> Error {
    Error::new(Code::Truncated, "The file ends early: some of its bytes are missing.")
        .with("offset", offset)
        .with("expected", offset.saturating_add(wanted as u64))
        .with("actual", len)
}

impl Source for [u8] {
    fn len(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let bytes = usize::try_from(offset)
            .ok()
            .and_then(|start| self.get(start..start.checked_add(buf.len())?))
            .ok_or_else(|| past_end(offset, buf.len(), Source::len(self)))?;
        buf.copy_from_slice(bytes);
        Ok(())
    }
}

impl Source for Vec<u8> {
    fn len(&self) -> u64 {
        Source::len(self.as_slice())
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.as_slice().read_at(offset, buf)
    }
}

macro_rules! forward {
    ($($pointer:ty),+) => {$(
        impl<T: Source + ?Sized> Source for $pointer {
            fn len(&self) -> u64 {
                (**self).len()
            }

            fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
                (**self).read_at(offset, buf)
            }
        }
    )+};
}

forward!(&T, Rc<T>, Arc<T>);

/// A file of the operating system.
#[cfg(any(unix, windows))]
#[derive(Debug)]
pub struct FileSource {
    file: std::fs::File,
    len: u64,
}

#[cfg(any(unix, windows))]
impl FileSource {
    /// Opens the file at `path` for reading; fails with `read-failed`.
    pub fn open(path: impl AsRef<std::path::Path>) -> Result<Self> {
        let open = || {
            let file = std::fs::File::open(path.as_ref())?;
            let len = file.metadata()?.len();
            Ok::<_, std::io::Error>(Self { file, len })
        };
        open().map_err(|error| Error::new(Code::ReadFailed, format!("The file cannot be opened: {error}.")))
    }
}

#[cfg(any(unix, windows))]
impl Source for FileSource {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let mut done = 0;
        while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let at = offset + done as u64;
            #[cfg(unix)]
            let read = std::os::unix::fs::FileExt::read_at(&self.file, rest, at);
            #[cfg(windows)]
            let read = std::os::windows::fs::FileExt::seek_read(&self.file, rest, at);
            match read {
                Ok(0) => return Err(past_end(at, rest.len(), self.len)),
                Ok(count) => done += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(Error::new(Code::ReadFailed, format!("The file cannot be read: {error}."))
                        .with("offset", at));
                }
            }
        }
        Ok(())
    }
}

/// What was asked of the storage behind a [`ReadAhead`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Reads {
    /// How many reads.
    pub count: u64,
    /// How many bytes in all.
    pub bytes: u64,
}

/// A source that reads more than it is asked for, and answers what follows from memory.
///
/// In a browser a small read costs as much as a large one (0.2 to 1 ms). The window starts small, because whoever
/// walks an archive hops from header to header over payloads that nobody wants; it doubles with each read that goes
/// on where the last one ended or not far from there, and falls back with each hop.
#[derive(Debug)]
pub struct ReadAhead<S> {
    inner: S,
    window: RefCell<Window>,
    reads: Cell<Reads>,
}

#[derive(Debug, Default)]
struct Window {
    start: u64,
    bytes: Vec<u8>,
    ahead: usize,
}

impl<S: Source> ReadAhead<S> {
    /// The window after a hop.
    pub const SMALLEST: usize = 16 << 10;
    /// What is rather read than hopped over: in a browser it takes as long as another read.
    pub const GAP: u64 = 128 << 10;
    /// The window of a long sequential read.
    pub const LARGEST: usize = 4 << 20;

    /// Wraps `inner`; nothing is read yet.
    pub fn new(inner: S) -> Self {
        Self { inner, window: RefCell::default(), reads: Cell::default() }
    }

    /// The source behind the window.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    /// What was read from the source behind the window so far.
    pub fn reads(&self) -> Reads {
        self.reads.get()
    }

    /// Forgets what is in the window: the next read asks the storage again.
    pub fn forget(&self) {
        *self.window.borrow_mut() = Window::default();
    }

    fn fetch(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let Reads { count, bytes } = self.reads.get();
        self.reads.set(Reads { count: count + 1, bytes: bytes + buf.len() as u64 });
        self.inner.read_at(offset, buf)
    }
}

impl Window {
    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    fn get(&self, offset: u64, len: usize) -> Option<&[u8]> {
        let from = usize::try_from(offset.checked_sub(self.start)?).ok()?;
        self.bytes.get(from..from.checked_add(len)?)
    }
}

impl<S: Source> Source for ReadAhead<S> {
    fn len(&self) -> u64 {
        self.inner.len()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let mut window = self.window.borrow_mut();
        if let Some(bytes) = window.get(offset, buf.len()) {
            buf.copy_from_slice(bytes);
            return Ok(());
        }
        if buf.len() >= Self::LARGEST {
            return self.fetch(offset, buf);
        }
        if offset.saturating_add(buf.len() as u64) > self.len() {
            return Err(past_end(offset, buf.len(), self.len()));
        }
        let left = self.len() - offset;
        let goes_on = !window.bytes.is_empty() && (window.start..=window.end() + Self::GAP).contains(&offset);
        window.ahead = if goes_on { (window.ahead * 2).min(Self::LARGEST) } else { Self::SMALLEST };
        let size = window.ahead.max(buf.len()).min(usize::try_from(left).unwrap_or(usize::MAX));
        let mut bytes = std::mem::take(&mut window.bytes);
        bytes.resize(size, 0);
        self.fetch(offset, &mut bytes)?;
        if let Some(head) = bytes.get(..buf.len()) {
            buf.copy_from_slice(head);
        }
        window.start = offset;
        window.bytes = bytes;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counting(len: usize) -> ReadAhead<Vec<u8>> {
        ReadAhead::new((0..251).cycle().take(len).collect())
    }

    #[test]
    fn hops_read_little_and_streams_read_much() {
        let source = counting(64 << 20);
        let mut block = [0; 512];
        for hop in 0..10 {
            source.read_at(hop * (5 << 20), &mut block).unwrap();
        }
        assert_eq!(source.reads(), Reads { count: 10, bytes: 10 * (16 << 10) });

        let source = counting(64 << 20);
        for at in (0..64 << 20).step_by(512) {
            source.read_at(at, &mut block).unwrap();
            assert_eq!(usize::from(block[0]), usize::try_from(at).unwrap() % 251);
        }
        let reads = source.reads();
        assert_eq!(reads.bytes, 64 << 20, "nothing is read twice");
        assert!(reads.count < 30, "{} reads", reads.count);
    }

    #[test]
    fn over_small_files_nobody_hops() {
        let source = counting(64 << 20);
        let mut block = [0; 512];
        for file in 0..640 {
            source.read_at(file * 100_000, &mut block).unwrap();
        }
        assert!(source.reads().count < 40, "{:?}", source.reads());
    }

    #[test]
    fn a_read_across_the_windows_edge_is_whole() {
        let source = counting(100_000);
        let mut buf = [0; 1000];
        source.read_at(0, &mut buf).unwrap();
        source.read_at(16_000, &mut buf).unwrap();
        assert!(buf.iter().enumerate().all(|(i, &b)| usize::from(b) == (16_000 + i) % 251));
    }

    #[test]
    fn past_the_end_is_truncated() {
        let source = counting(1000);
        let mut buf = [0; 100];
        assert_eq!(source.read_at(950, &mut buf).unwrap_err().code(), Code::Truncated);
        assert_eq!(source.read_at(u64::MAX, &mut buf).unwrap_err().code(), Code::Truncated);
        source.read_at(900, &mut buf).unwrap();
    }
}
