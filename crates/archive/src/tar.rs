//! The tar index: where every member of an archive stands, found by reading headers only.
//!
//! The `tar` crate reads the headers. The walk over them is done here because an edit has to know the first byte of
//! a member, extension headers included, and because every length is bounded before it is believed.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::rc::Rc;

use tar::{EntryType, Header};

use crate::compression::Compression;
use crate::error::{Code, Error, Result};
use crate::recipe::Recipe;
use crate::source::{MAX_LEN, Source, past_end, read_vec};

const BLOCK: u64 = 512;
/// The longest pax or GNU long-name payload that is read. Real ones are a few KiB.
const MAX_EXTENSION: u64 = 1 << 20;
/// The most members an archive may have. The largest real ones have some thousands.
const MAX_ENTRIES: usize = 250_000;
/// How long the paths of all members may be together. They stand in memory; twice as many of the longest usual ones fit.
const MAX_NAMES: u64 = 64 << 20;
/// The longest way to a member, all links on it included, as Linux has it for a path.
const MAX_PATH: usize = 4096;
/// The most links that are followed to reach a member, as Linux does.
const MAX_LINKS: usize = 40;

/// What a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A hard link to another member.
    HardLink,
    /// A file stored as a map of its non-zero parts.
    Sparse,
    /// A device, a pipe, a global pax header, or a type that this crate does not know.
    Other,
}

/// One member of a tar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its path as written; bytes that are not UTF-8 are replaced by U+FFFD.
    pub path: Rc<str>,
    /// What it is.
    pub kind: EntryKind,
    /// Where a symbolic or hard link points, as written.
    pub link: Option<Rc<str>>,
    /// First byte of the member: of its extension headers, where it has any.
    pub start: u64,
    /// First byte of its header.
    pub header: u64,
    /// First byte of its content.
    pub data: u64,
    /// Length of its content in bytes.
    pub size: u64,
    /// The first bytes of its content: enough to tell a compressed file. Zeros where it is shorter.
    pub magic: [u8; 6],
    /// Whether the path is UTF-8 as it stands.
    pub utf8: bool,
    /// The size that the header states, where a pax record overrules it.
    pub(crate) overruled: Option<u64>,
}

impl Entry {
    /// First byte after the member and its padding.
    pub fn end(&self) -> u64 {
        self.data + self.size.next_multiple_of(BLOCK)
    }
}

/// Every member of a tar, in order.
#[derive(Debug, Clone)]
pub struct TarIndex {
    entries: Vec<Entry>,
    /// Shared with the indexes of edited archives: an edit rarely adds a member, and never renames one.
    by_path: Rc<HashMap<Rc<str>, usize>>,
    /// For a member whose path an earlier one has too, that one.
    earlier: Rc<HashMap<usize, usize>>,
    end: u64,
    end_blocks: bool,
}

impl TarIndex {
    /// Indexes a whole tar at once. [`Indexer`] does it in steps.
    pub fn read(source: &impl Source) -> Result<Self> {
        let mut indexer = Indexer::default();
        while !indexer.step(source, usize::MAX)? {}
        Ok(indexer.finish())
    }

    fn new(entries: Vec<Entry>, end: u64, end_blocks: bool) -> Self {
        let key = |entry: &Entry| {
            let normal = normal(&entry.path);
            if *entry.path == *normal { entry.path.clone() } else { normal.into() }
        };
        let mut by_path = HashMap::with_capacity(entries.len());
        let mut earlier = HashMap::new();
        for (index, entry) in entries.iter().enumerate() {
            if let Some(other) = by_path.insert(key(entry), index) {
                earlier.insert(index, other);
            }
        }
        Self { entries, by_path: Rc::new(by_path), earlier: Rc::new(earlier), end, end_blocks }
    }

    /// The members, in the tar's order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Where the end-of-archive blocks begin, or would.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Whether the tar is closed by at least one zero block.
    pub fn has_end_blocks(&self) -> bool {
        self.end_blocks
    }

    /// The member at `path`: the last one, where several have it, as Docker reads it. A leading `./` or `/` is
    /// nothing.
    pub fn find(&self, path: &str) -> Option<usize> {
        self.by_path.get(normal(path).as_str()).copied()
    }

    /// The regular file at `path`, reached through symbolic and hard links and linked directories as Docker
    /// reaches it after unpacking. `None` where there is none, where links loop, or where they leave the archive.
    pub fn resolve(&self, path: &str) -> Option<usize> {
        self.walk(path).0
    }

    /// As [`Self::resolve`], and how much had to be looked at.
    pub(crate) fn walk(&self, path: &str) -> (Option<usize>, u64) {
        let mut walked = 0;
        (self.follow(path, &mut walked), walked)
    }

    fn follow(&self, path: &str, walked: &mut u64) -> Option<usize> {
        let (mut links, mut len) = (0, path.len());
        if len > MAX_PATH {
            return None;
        }
        let mut done = String::new();
        let mut todo: Vec<&str> = components(path).rev().collect();
        while let Some(component) = todo.pop() {
            if component == ".." {
                if done.is_empty() {
                    return None;
                }
                done.truncate(parent(&done));
                continue;
            }
            let directory = done.len();
            if directory > 0 {
                done.push('/');
            }
            done.push_str(component);
            *walked += done.len() as u64;
            let entry = self.by_path.get(done.as_str()).and_then(|&index| self.entries.get(index));
            let Some((entry, link)) = entry.and_then(|entry| Some((entry, entry.link.as_deref()?))) else {
                continue;
            };
            links += 1;
            len += link.len();
            if links > MAX_LINKS || len > MAX_PATH {
                return None;
            }
            // A hard link names a member from the root; a symbolic link goes on from its own directory.
            let from_root = entry.kind == EntryKind::HardLink || link.starts_with('/');
            done.truncate(if from_root { 0 } else { directory });
            todo.extend(components(link).rev());
        }
        let index = *self.by_path.get(done.as_str())?;
        self.entries.get(index).is_some_and(|entry| entry.kind == EntryKind::File).then_some(index)
    }

    /// All regular files that have the path of that member, in order.
    pub(crate) fn same_path(&self, entry: usize) -> Vec<usize> {
        let last = self.entries.get(entry).and_then(|entry| self.find(&entry.path));
        let all = std::iter::successors(last, |index| self.earlier.get(index).copied());
        let is_file = |&index: &usize| self.entries.get(index).is_some_and(|e| e.kind == EntryKind::File);
        let mut files: Vec<usize> = all.filter(is_file).collect();
        files.reverse();
        files
    }

    /// All regular files that have the path of one of those members.
    pub(crate) fn same_paths(&self, entries: impl IntoIterator<Item = usize>) -> BTreeSet<usize> {
        let last = |entry: usize| self.entries.get(entry).and_then(|entry| self.find(&entry.path));
        let lasts: HashSet<usize> = entries.into_iter().filter_map(last).collect();
        lasts.into_iter().flat_map(|last| self.same_path(last)).collect()
    }

    /// Members whose path a later member has too.
    pub(crate) fn duplicates(&self) -> impl Iterator<Item = &Entry> {
        let is_last = |index: usize, entry: &Entry| self.find(&entry.path) == Some(index);
        let entries = self.entries.iter().enumerate();
        entries
            .filter(move |(index, entry)| entry.kind != EntryKind::Directory && !is_last(*index, entry))
            .map(|(_, entry)| entry)
    }

    /// Replaces the content of some members, appends new ones and leaves some out; nothing else changes by a byte.
    ///
    /// Gives the recipe of the edited archive and its index. Appended members are regular files with mode 0644 and no times.
    pub(crate) fn splice<S: Source + Clone>(
        &self,
        data: &Recipe<S>,
        replaced: &[(usize, NewContent)],
        appended: &[(String, NewContent)],
        removed: &BTreeSet<usize>,
    ) -> Result<(Recipe<S>, Self)> {
        let mut recipe = Recipe::default();
        let mut entries = Vec::with_capacity(self.entries.len() + appended.len());
        let mut copied = 0;
        let replaced: HashMap<usize, &NewContent> =
            replaced.iter().map(|(index, new)| (*index, new)).collect();
        for (index, old) in self.entries.iter().enumerate() {
            if removed.contains(&index) {
                recipe.push_slice(data, copied..old.start);
                copied = old.end();
                continue;
            }
            let delta = recipe.len();
            let place = |offset: u64| offset - copied + delta;
            let mut entry = Entry {
                start: place(old.start),
                header: place(old.header),
                data: place(old.data),
                ..old.clone()
            };
            if let Some(content) = replaced.get(&index) {
                let head = resized_head(data, old, content.len())?;
                recipe.push_slice(data, copied..old.start);
                entry.size = content.len();
                entry.magic = content.magic();
                entry.overruled = None;
                entry.data = entry.start + head.len() as u64;
                entry.header = entry.data - BLOCK;
                recipe.push_bytes(head);
                recipe.push_bytes(content.padded.clone());
                copied = old.end();
            }
            entries.push(entry);
        }
        let mut end = self.end - copied + recipe.len();
        recipe.push_slice(data, copied..self.end);
        if !appended.is_empty() {
            // The file may end before its last member's padding does.
            let padding = bounded(end - recipe.len(), self.end)?;
            recipe.push_bytes(vec![0; padding]);
        }
        for (path, content) in appended {
            let start = recipe.len();
            let header = new_header(path, content.len());
            recipe.push_bytes(&header.as_bytes()[..]);
            recipe.push_bytes(content.padded.clone());
            entries.push(Entry {
                path: path.as_str().into(),
                kind: EntryKind::File,
                link: None,
                start,
                header: start,
                data: start + BLOCK,
                size: content.len(),
                magic: content.magic(),
                utf8: true,
                overruled: None,
            });
        }
        end = end.max(recipe.len());
        recipe.push_slice(data, self.end..data.len());
        let index = if appended.is_empty() && removed.is_empty() {
            let (by_path, earlier) = (self.by_path.clone(), self.earlier.clone());
            Self { entries, by_path, earlier, end, end_blocks: self.end_blocks }
        } else {
            Self::new(entries, end, self.end_blocks)
        };
        Ok((recipe, index))
    }
}

/// The path's components, without `.` and empty ones.
fn components(path: &str) -> impl DoubleEndedIterator<Item = &str> {
    path.split('/').filter(|component| !matches!(*component, "" | "."))
}

/// One spelling for all that name the same member.
pub(crate) fn normal(path: &str) -> String {
    components(path).collect::<Vec<_>>().join("/")
}

/// The length of the path of the directory that holds what is at `path`.
fn parent(path: &str) -> usize {
    path.rfind('/').unwrap_or(0)
}

/// New content of a member, filled up with zeros to whole blocks. Several members may share it.
#[derive(Debug, Clone)]
pub(crate) struct NewContent {
    padded: Rc<[u8]>,
    len: u64,
}

impl From<Vec<u8>> for NewContent {
    fn from(mut bytes: Vec<u8>) -> Self {
        let len = bytes.len() as u64;
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        Self { padded: bytes.into(), len }
    }
}

impl NewContent {
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    fn magic(&self) -> [u8; 6] {
        self.padded.first_chunk().copied().filter(|_| self.len >= 6).unwrap_or_default()
    }
}

fn set_name(header: &mut Header, path: &str) {
    let name = &mut header.as_old_mut().name;
    name.fill(0);
    for (to, from) in name.iter_mut().zip(path.bytes()) {
        *to = from;
    }
}

fn new_header(path: &str, size: u64) -> Header {
    let mut header = Header::new_ustar();
    set_name(&mut header, path);
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header.set_cksum();
    header
}

/// The headers of `entry`, extension headers included, for content of another size.
fn resized_head<S: Source + Clone>(data: &Recipe<S>, entry: &Entry, size: u64) -> Result<Vec<u8>> {
    // A pax size would overrule the header's: such a member, tiny as it is, goes without its extension headers.
    let start = if entry.overruled.is_some() { entry.header } else { entry.start };
    let mut head = read_vec(data, start, bounded(entry.data - start, start)?)?;
    let at = head.len().saturating_sub(512);
    if let Some(block) = head.get_mut(at..) {
        let mut header = Header::from_byte_slice(block).clone();
        if entry.overruled.is_some() {
            set_name(&mut header, &normal(&entry.path));
        }
        header.set_size(size);
        header.set_cksum();
        block.copy_from_slice(header.as_bytes());
    }
    Ok(head)
}

/// What extension headers say about the member that follows them.
#[derive(Debug, Default)]
struct Extensions {
    start: Option<u64>,
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    sparse: bool,
}

/// Walks a tar from header to header, a bounded number of members at a time.
#[derive(Debug, Default)]
pub struct Indexer {
    at: u64,
    entries: Vec<Entry>,
    /// How long their paths are together.
    names: u64,
    extensions: Extensions,
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
            if self.extensions.start.is_some() {
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
        let stated = size_of(header, at)?;
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
            return Err(Error::new(Code::LimitExceeded, "A tar extension header is too long.")
                .with("offset", at)
                .with("expected", MAX_EXTENSION)
                .with("actual", size));
        }
        let payload = read_vec(source, at + BLOCK, bounded(size, at)?)?;
        let extensions = &mut self.extensions;
        extensions.start.get_or_insert(at);
        let text = || payload.split(|&byte| byte == 0).next().unwrap_or_default().to_vec();
        match kind {
            EntryType::GNULongName => extensions.path = Some(text()),
            EntryType::GNULongLink => extensions.link = Some(text()),
            _ => {
                for record in PaxRecords(&payload) {
                    let (key, value) = record.ok_or_else(|| invalid("A pax header is malformed", at))?;
                    match key {
                        b"path" | b"GNU.sparse.name" => extensions.path = Some(value.to_vec()),
                        b"linkpath" => extensions.link = Some(value.to_vec()),
                        b"size" => {
                            let size = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
                            extensions.size = Some(size.ok_or_else(|| {
                                invalid("A pax header states a size that is no number", at)
                            })?);
                        }
                        _ if key.starts_with(b"GNU.sparse.") => extensions.sparse = true,
                        _ => {}
                    }
                }
            }
        }
        self.at = at + BLOCK + size.next_multiple_of(BLOCK);
        Ok(())
    }

    /// Notes a member and goes past its content.
    fn entry(&mut self, source: &impl Source, header: &Header, stated: u64) -> Result<()> {
        let at = self.at;
        let Extensions { start, path, link, size: pax_size, sparse } = std::mem::take(&mut self.extensions);
        let path = path.unwrap_or_else(|| header.path_bytes().into_owned());
        let link = link.or_else(|| header.link_name_bytes().map(std::borrow::Cow::into_owned));
        let kind = match header.entry_type() {
            EntryType::GNUSparse => EntryKind::Sparse,
            EntryType::Regular | EntryType::Continuous if sparse => EntryKind::Sparse,
            // Before there was a type for it, a directory was a file whose name ends in a slash.
            EntryType::Regular if path.ends_with(b"/") => EntryKind::Directory,
            EntryType::Regular | EntryType::Continuous => EntryKind::File,
            EntryType::Directory => EntryKind::Directory,
            EntryType::Symlink => EntryKind::Symlink,
            EntryType::Link => EntryKind::HardLink,
            _ => EntryKind::Other,
        };
        // As Go's reader has it: links and directories have no content, whatever their headers say.
        let size = match kind {
            EntryKind::Directory | EntryKind::Symlink | EntryKind::HardLink => 0,
            _ => pax_size.unwrap_or(stated),
        };
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
            link: link
                .filter(|_| matches!(kind, EntryKind::Symlink | EntryKind::HardLink))
                .map(|link| String::from_utf8_lossy(&link).into()),
            start: start.unwrap_or(at),
            header: at,
            data,
            size,
            magic: first,
            overruled: pax_size.map(|_| stated),
        };
        self.at = entry.end();
        self.entries.push(entry);
        Ok(())
    }
}

/// The `length key=value\n` records of a pax header (POSIX.1-2001); `None` for one that is malformed, then nothing.
struct PaxRecords<'a>(&'a [u8]);

impl<'a> Iterator for PaxRecords<'a> {
    type Item = Option<(&'a [u8], &'a [u8])>;

    fn next(&mut self) -> Option<Self::Item> {
        let all = std::mem::take(&mut self.0);
        // Some writers fill up the payload with zeros.
        if all.iter().all(|&byte| byte == 0) {
            return None;
        }
        let record = || {
            let space = all.iter().position(|&byte| byte == b' ')?;
            let len: usize = std::str::from_utf8(all.get(..space)?).ok()?.parse().ok()?;
            let (key_value, newline) = all.get(space + 1..len)?.split_last_chunk::<1>()?;
            let equals = key_value.iter().position(|&byte| byte == b'=')?;
            (newline == b"\n").then_some((len, key_value.get(..equals)?, key_value.get(equals + 1..)?))
        };
        Some(record().map(|(len, key, value)| {
            self.0 = all.get(len..).unwrap_or_default();
            (key, value)
        }))
    }
}

/// A length that is known to be small, as the machine's size type.
fn bounded(len: u64, offset: u64) -> Result<usize> {
    usize::try_from(len).map_err(|_| invalid("A tar header is too long", offset))
}

fn invalid(sentence: &str, offset: u64) -> Error {
    Error::new(Code::InvalidTar, format!("{sentence}.")).with("offset", offset)
}

/// Whether the header's checksum is the sum of its bytes, taken as unsigned or, as some old writers did, signed.
fn checksum_holds(header: &Header) -> bool {
    let Ok(stated) = header.cksum() else { return false };
    let sum = |value: fn(u8) -> i64| -> i64 {
        let bytes = header.as_bytes().iter().enumerate();
        bytes.map(|(i, &byte)| if (148..156).contains(&i) { 32 } else { value(byte) }).sum()
    };
    sum(i64::from) == i64::from(stated) || sum(|byte| i64::from(byte.cast_signed())) == i64::from(stated)
}

/// The size that a header states.
fn size_of(header: &Header, at: u64) -> Result<u64> {
    let field = header.as_old().size;
    // Old writers leave the field blank where there is no content.
    if field.iter().all(|byte| matches!(byte, 0 | b' ')) {
        return Ok(0);
    }
    match header.entry_size() {
        Ok(size) if size <= MAX_LEN => Ok(size),
        _ => Err(invalid("A tar header states a size that makes no sense", at)),
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
    let mut first = [0; 6];
    let known = usize::try_from(source.len()).map_or(first.len(), |len| len.min(first.len()));
    if let Some(head) = first.get_mut(..known) {
        source.read_at(0, head)?;
    }
    Ok(match Compression::of(&first) {
        Some(compression) => Error::new(
            Code::Compressed,
            format!(
                "The file is compressed with {}. Unpack it first, then open the tar.",
                compression.name()
            ),
        )
        .with("compression", compression.name()),
        None => Error::new(Code::NotATar, "The file is not a tar archive: its first block is no tar header."),
    })
}
