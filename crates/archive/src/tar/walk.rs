//! The walk from header to header that makes an index.

use tar::{EntryType, Header};

use super::extensions::{Described, Extensions};
use super::header::{MAX_EXTENSION, bounded, checksum_holds, invalid, stated_size, too_long};
use super::{BLOCK, Entry, EntryKind, TarIndex};
use crate::compression::Compression;
use crate::error::{Code, Error, Result};
use crate::source::{MAX_LEN, Source, past_end, read_vec};

/// The most members an archive may have. The largest real ones have some thousands.
const MAX_ENTRIES: usize = 250_000;
/// How long the paths of all members may be together. They stand in memory; twice as many of the longest usual ones fit.
const MAX_NAMES: u64 = 64 << 20;
/// So many frames to be skipped are passed over to tell zstd from LZ4.
const MAX_SKIPPED: usize = 16;
/// What is not unpacked, by its first bytes.
const OTHERS: [(&[u8], &str); 3] = [
    (b"\x02\x21\x4c\x18", "LZ4 in its legacy format (lz4 -l)"),
    (b"\x5d\0\0", "lzma (.lzma)"),
    (b"PK\x03\x04", "zip"),
];

/// Walks a tar from header to header, a bounded number of members at a time.
#[derive(Debug, Default)]
pub struct Indexer {
    at: u64,
    entries: Vec<Entry>,
    /// How long their paths are together.
    names: u64,
    extensions: Extensions,
    /// Where the first of the extension headers stands that belong to the next member.
    start: Option<u64>,
    end_blocks: bool,
}

impl Indexer {
    /// Indexes up to `members` more members; `true` when the end is reached.
    ///
    /// Fails with `empty-file`, `not-a-tar`, `compressed`, `truncated`, `invalid-tar` or `limit-exceeded`.
    pub fn step(&mut self, source: &impl Source, members: usize) -> Result<bool> {
        if source.is_empty() {
            return Err(Error::new(Code::EmptyFile, "The file is empty."));
        }
        if source.len() > MAX_LEN {
            return Err(
                Error::new(Code::LimitExceeded, "The file is too large.").with("actual", source.len())
            );
        }
        for _ in 0..members {
            if self.member(source)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Bytes of the archive passed so far.
    pub fn position(&self) -> u64 {
        self.at
    }

    /// The index of what was walked.
    pub fn finish(self) -> TarIndex {
        TarIndex::new(self.entries, self.at, self.end_blocks)
    }

    /// Reads one header and goes past its content; `true` at the end of the archive.
    fn member(&mut self, source: &impl Source) -> Result<bool> {
        let at = self.at;
        if at >= source.len() {
            if self.start.is_some() {
                return Err(past_end(at, 512, source.len()));
            }
            return Ok(true);
        }
        if source.len() - at < BLOCK {
            return Err(if at == 0 { not_a_tar(source)? } else { past_end(at, 512, source.len()) });
        }
        let block = read_vec(source, at, 512)?;
        if block.iter().all(|&byte| byte == 0) {
            self.end_blocks = true;
            return Ok(true);
        }
        let header = Header::from_byte_slice(&block);
        if !checksum_holds(header) {
            return Err(if at == 0 {
                not_a_tar(source)?
            } else {
                invalid("The file is damaged: a tar header's checksum is wrong", at)
            });
        }
        if self.entries.len() >= MAX_ENTRIES {
            return Err(Error::new(Code::LimitExceeded, "The archive has too many members.")
                .with("limit", "members")
                .with("expected", MAX_ENTRIES)
                .with("offset", at));
        }
        let kind = header.entry_type();
        let stated = stated_size(header, at)?;
        match kind {
            EntryType::XHeader | EntryType::GNULongName | EntryType::GNULongLink => {
                self.extension(source, kind, stated)?;
            }
            _ => self.entry(source, header, stated)?,
        }
        Ok(false)
    }

    /// Reads an extension header's payload.
    fn extension(&mut self, source: &impl Source, kind: EntryType, size: u64) -> Result<()> {
        let at = self.at;
        if size > MAX_EXTENSION {
            return Err(too_long(at, size));
        }
        let payload = read_vec(source, at + BLOCK, bounded(size, at)?)?;
        self.start.get_or_insert(at);
        self.extensions.read(kind, &payload, at)?;
        self.at = at + BLOCK + size.next_multiple_of(BLOCK);
        Ok(())
    }

    /// Notes a member and goes past its content.
    fn entry(&mut self, source: &impl Source, header: &Header, stated: u64) -> Result<()> {
        let at = self.at;
        let Described { path, link, kind, size, overruled } =
            std::mem::take(&mut self.extensions).describe(header, stated);
        let mut data = at + BLOCK;
        if kind == EntryKind::Sparse {
            data = past_sparse_map(source, header, data)?;
        }
        let path_text = String::from_utf8_lossy(&path);
        self.names += (path_text.len() + link.as_ref().map_or(0, Vec::len)) as u64;
        if self.names > MAX_NAMES {
            return Err(Error::new(Code::LimitExceeded, "The paths of the archive's members are too long.")
                .with("limit", "paths")
                .with("expected", MAX_NAMES)
                .with("offset", at));
        }
        if size > source.len().saturating_sub(data) {
            return Err(Error::new(
                Code::Truncated,
                format!("The file ends early: it is cut off inside {path_text}."),
            )
            .with("entry", path_text.into_owned())
            .with("offset", data)
            .with("expected", data.saturating_add(size))
            .with("actual", source.len()));
        }
        let mut first = [0; 6];
        if kind == EntryKind::File && size >= first.len() as u64 {
            source.read_at(data, &mut first)?;
        }
        let entry = Entry {
            utf8: matches!(path_text, std::borrow::Cow::Borrowed(_)),
            path: path_text.into(),
            kind,
            link: link.map(|link| String::from_utf8_lossy(&link).into()),
            start: self.start.take().unwrap_or(at),
            header: at,
            data,
            size,
            magic: first,
            overruled,
            is_contiguous: header.entry_type() == EntryType::Continuous,
        };
        self.at = entry.end();
        self.entries.push(entry);
        Ok(())
    }
}

/// Where the content of an old GNU sparse file begins: after the blocks that continue its map.
fn past_sparse_map(source: &impl Source, header: &Header, mut data: u64) -> Result<u64> {
    let mut more = header.as_gnu().is_some_and(tar::GnuHeader::is_extended);
    let start = data;
    while more {
        if data - start > MAX_EXTENSION {
            return Err(Error::new(Code::LimitExceeded, "The map of a sparse file is too long.")
                .with("offset", start)
                .with("expected", MAX_EXTENSION));
        }
        let block = read_vec(source, data, 512)?;
        more = block.get(504).is_some_and(|&flag| flag == 1);
        data += BLOCK;
    }
    Ok(data)
}

/// Says what the file is instead of a tar.
fn not_a_tar(source: &impl Source) -> Result<Error> {
    let first = head_at(source, 0)?;
    let mut compression = Compression::of(&first);
    // LZ4 and zstd have the same frames to be skipped.
    let (mut head, mut at) = (first, 0);
    for _ in 0..MAX_SKIPPED {
        let Some(len) = Compression::skipped(&head) else { break };
        at += len;
        head = head_at(source, at)?;
        compression = Compression::of(&head).or(compression);
    }
    if let Some(compression) = compression {
        let name = compression.name();
        let sentence = format!("The file is compressed with {name}. Unpack it first, then open the tar.");
        return Ok(Error::new(Code::Compressed, sentence).with("compression", name));
    }
    let other = OTHERS.iter().find(|(magic, _)| first.starts_with(magic));
    let sentence = match other {
        Some((_, name)) => {
            format!(
                "The file is not a tar archive: it looks like {name}. Unpack it first, then open the tar."
            )
        }
        None => "The file is not a tar archive: its first block is no tar header.".to_owned(),
    };
    Ok(Error::new(Code::NotATar, sentence))
}

/// The bytes at a place; zeros after the end.
fn head_at(source: &impl Source, at: u64) -> Result<[u8; 8]> {
    let mut head = [0; 8];
    let known =
        usize::try_from(source.len().saturating_sub(at)).map_or(head.len(), |len| len.min(head.len()));
    source.read_at(at, head.get_mut(..known).unwrap_or_default())?;
    Ok(head)
}
