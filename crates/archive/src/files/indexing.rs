//! The one pass over a layer that makes its index.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use tar::{EntryType, Header};

use super::layer::{Detail, FileKind, LINK, LayerIndex, Owner, Record, SharedIndex};
use super::paths::components;
use super::sparse::{self, SparseRecords};
use super::stream::{LayerStream, compression_of};
use crate::error::{Code, Error, Result};
use crate::recipe::Recipe;
use crate::source::{MAX_LEN, Source};
use crate::tar::BLOCK;
use crate::tar::header::{
    MAX_EXTENSION, PaxRecords, bounded, checksum_holds, invalid, is_old_directory, long_name, pax_number,
    stated_size, too_long,
};
use crate::unpack::Limits;

/// The most entries of a layer. The largest real ones have some hundred thousand.
const MAX_ENTRIES: usize = 2_000_000;
/// How long all its names, links, attributes and maps may be together: they stand in memory.
const MAX_TEXT: usize = 64 << 20;
/// The longest path: that of Linux.
const MAX_PATH: usize = 4096;
/// What is counted for an entry's detail beside its texts.
const DETAIL: usize = 96;
/// The same for an extended attribute.
const XATTR: usize = 32;
/// How many headers count as much as a byte budget's piece: hopping over empty files is work too.
const HEADER: u64 = 2048;

/// What extension headers say about the entry that follows.
#[derive(Default)]
struct Extensions {
    /// Those of GNU tar, which count for more than pax records, wherever they stand.
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    pax: Pax,
}

/// What the last pax header says: one more takes its place as a whole.
#[derive(Default)]
struct Pax {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u64>,
    gid: Option<u64>,
    user: Option<Box<[u8]>>,
    group: Option<Box<[u8]>>,
    mtime: Option<i64>,
    xattrs: BTreeMap<Box<[u8]>, Box<[u8]>>,
    sparse: Option<SparseRecords>,
    /// The name of a sparse file, which counts for more than all others.
    name: Option<Vec<u8>>,
}

/// A layer that is being indexed, a bounded number of bytes at a time.
pub struct Indexing<S: Source + Clone> {
    stream: LayerStream<S>,
    index: LayerIndex,
    /// What the data and the padding of the last entry still have, and how much of it is padding.
    skip: u64,
    padding: u64,
    extensions: Extensions,
    directories: HashMap<Box<[u8]>, u32>,
    owners: HashMap<Owner, u32>,
    /// What counts for [`MAX_TEXT`].
    text: usize,
}

impl<S: Source + Clone> Indexing<S> {
    /// Begins with a layer's bytes as they are stored: a tar, plain or packed with gzip, zstd, bzip2, xz or LZ4.
    ///
    /// Fails as the source does.
    pub fn new(data: Recipe<S>, limits: Limits) -> Result<Self> {
        let compression = compression_of(&data)?;
        let stream = LayerStream::noting(data, compression, limits);
        // Offset 0 of the names says that there is none.
        let index =
            LayerIndex { compression, names: vec![0, 0], directories: vec![0], ..LayerIndex::default() };
        let directories = HashMap::from([(Box::default(), 0)]);
        Ok(Self {
            stream,
            index,
            skip: 0,
            padding: 0,
            extensions: Extensions::default(),
            directories,
            owners: HashMap::new(),
            text: 0,
        })
    }

    /// Goes on for about `bytes` uncompressed bytes; `true` at the end.
    ///
    /// Fails with `truncated`, `invalid-tar`, `invalid-compression` or `limit-exceeded`, and as the source does.
    pub fn step(&mut self, bytes: u64) -> Result<bool> {
        let mut done = 0;
        while done < bytes {
            if self.skip > 0 {
                let plain = matches!(self.stream, LayerStream::Plain { .. });
                let skipped = self.stream.skip(self.skip)?;
                if skipped == 0 && self.skip <= self.padding {
                    // As Go's reader has it, this is the end of the tar.
                    return Ok(true);
                }
                if skipped == 0 {
                    return Err(self.stream.ends_early(usize::try_from(self.skip).unwrap_or(usize::MAX)));
                }
                self.skip -= skipped;
                // What is hopped over costs nothing.
                done += if plain { 0 } else { skipped };
                continue;
            }
            done += HEADER;
            if self.header()? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Bytes of the layer as stored that were read so far.
    pub fn consumed(&self) -> u64 {
        self.stream.consumed()
    }

    /// The index of what was read. To be called at the end.
    pub fn finish(mut self) -> SharedIndex {
        self.index.size = self.stream.position();
        self.index.names.shrink_to_fit();
        self.index.checkpoints = Rc::new(self.stream.into_checkpoints());
        Rc::new(self.index)
    }

    /// Reads one header; `true` at the end of the tar.
    fn header(&mut self) -> Result<bool> {
        let at = self.stream.position();
        let mut block = [0; 512];
        let first = self.stream.read(&mut block)?;
        if first == 0 {
            return Ok(true);
        }
        self.stream.read_exact(block.get_mut(first..).unwrap_or_default())?;
        if block.iter().all(|&byte| byte == 0) {
            return Ok(true);
        }
        let header = Header::from_byte_slice(&block);
        if !checksum_holds(header) {
            return Err(invalid("The layer is damaged: a tar header's checksum is wrong", at));
        }
        if self.index.len() >= MAX_ENTRIES {
            return Err(Error::new(Code::LimitExceeded, "The layer has too many entries.")
                .with("limit", "members")
                .with("expected", MAX_ENTRIES)
                .with("offset", at));
        }
        let size = stated_size(header, at)?;
        match header.entry_type() {
            EntryType::XHeader | EntryType::GNULongName | EntryType::GNULongLink => {
                self.extension(header.entry_type(), size, at)?;
            }
            _ => self.entry(header, size, at)?,
        }
        Ok(false)
    }

    fn extension(&mut self, kind: EntryType, size: u64, at: u64) -> Result<()> {
        if size > MAX_EXTENSION {
            return Err(too_long(at, size));
        }
        let mut payload = vec![0; bounded(size, at)?];
        self.stream.read_exact(&mut payload)?;
        self.padding = size.next_multiple_of(BLOCK) - size;
        self.skip = self.padding;
        let mut gathered = 0;
        match kind {
            EntryType::GNULongName => self.extensions.path = long_name(&payload),
            EntryType::GNULongLink => self.extensions.link = long_name(&payload),
            _ => {
                let mut own = Pax::default();
                for record in PaxRecords(&payload) {
                    let (key, value) = record.ok_or_else(|| invalid("A pax header is malformed", at))?;
                    match key {
                        // As Go's reader has it: then the header's own counts.
                        _ if value.is_empty() && !key.starts_with(b"SCHILY.") => {}
                        b"path" => own.path = Some(value.to_vec()),
                        b"GNU.sparse.name" => own.name = Some(value.to_vec()),
                        b"linkpath" => own.link = Some(value.to_vec()),
                        b"size" => own.size = Some(pax_number(value, at)?),
                        b"uid" => own.uid = Some(pax_number(value, at)?),
                        b"gid" => own.gid = Some(pax_number(value, at)?),
                        b"uname" => own.user = Some(value.into()),
                        b"gname" => own.group = Some(value.into()),
                        b"mtime" => {
                            let wrong = || invalid("A pax header states a time that is no number", at);
                            own.mtime = Some(seconds(value).ok_or_else(wrong)?);
                        }
                        _ => {
                            if let Some(key) = key.strip_prefix(b"SCHILY.xattr.") {
                                gathered += XATTR + key.len() + value.len();
                                own.xattrs.insert(key.into(), value.into());
                            } else if let Some(key) = key.strip_prefix(b"GNU.sparse.") {
                                own.sparse.get_or_insert_default().record(key, value, at)?;
                            }
                        }
                    }
                }
                self.extensions.pax = own;
            }
        }
        // No entry may ever come that they belong to.
        self.spend(gathered, at)
    }

    fn entry(&mut self, header: &Header, stated: u64, at: u64) -> Result<()> {
        let Extensions { path, link, pax } = std::mem::take(&mut self.extensions);
        let Pax { path: pax_path, link: pax_link, size, uid, gid, user, group, mtime, xattrs, sparse, name } =
            pax;
        let path = path.or(pax_path).unwrap_or_else(|| header.path_bytes().into_owned());
        let is_old_directory = is_old_directory(header, &path);
        let is_known = |sparse: &SparseRecords| sparse.map_in().is_some();
        let sparse = sparse.filter(|_| header.entry_type() != EntryType::GNUSparse).filter(is_known);
        let path = name.filter(|_| sparse.is_some()).unwrap_or(path);
        let kind = match header.entry_type() {
            EntryType::Regular if is_old_directory => FileKind::Directory,
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => FileKind::File,
            EntryType::Directory => FileKind::Directory,
            EntryType::Symlink => FileKind::Symlink,
            EntryType::Link => FileKind::HardLink,
            EntryType::Char => FileKind::CharacterDevice,
            EntryType::Block => FileKind::BlockDevice,
            EntryType::Fifo => FileKind::Fifo,
            // Global pax headers, and what nobody knows: Docker goes past the first and has none of the others.
            _ => return self.pass(size.unwrap_or(stated), at),
        };
        let stored = if kind == FileKind::File { size.unwrap_or(stated) } else { 0 };
        self.pass(stored, at)?;
        let mut content = (stored, None);
        if header.entry_type() == EntryType::GNUSparse {
            let (size, map) = sparse::of_gnu(header, &mut self.stream, stored, at)?;
            content = (size, Some(Box::new(map)));
        } else if let Some(sparse) = sparse.filter(|_| kind == FileKind::File) {
            let (size, map, read) = sparse.finish(&mut self.stream, stored, at)?;
            content = (size, Some(Box::new(map)));
            self.skip = self.skip.saturating_sub(read);
        }
        let data = self.stream.position();
        let (size, sparse) = content;
        // Aligned, unless the tar is not: then nothing of it is where it says.
        let block = u32::try_from(data / BLOCK).ok().filter(|_| data.is_multiple_of(BLOCK));
        let block = block.ok_or_else(|| invalid("The layer is too large", at))?;
        let field =
            |number: std::io::Result<u64>| number.ok().filter(|&number| number <= MAX_LEN).unwrap_or(0);
        let name = |bytes: Option<&[u8]>| Box::<[u8]>::from(bytes.unwrap_or_default());
        let owner = Owner {
            uid: uid.unwrap_or_else(|| field(header.uid())),
            gid: gid.unwrap_or_else(|| field(header.gid())),
            user: user.unwrap_or_else(|| name(header.username_bytes())),
            group: group.unwrap_or_else(|| name(header.groupname_bytes())),
        };
        let owner = self.owner(owner, at)?;
        let mtime = mtime.or_else(|| header.mtime().ok().map(u64::cast_signed));
        let mtime = mtime.filter(|mtime| mtime.unsigned_abs() <= MAX_LEN).unwrap_or(0);
        let device = matches!(kind, FileKind::CharacterDevice | FileKind::BlockDevice).then(|| {
            let number = |number: std::io::Result<Option<u32>>| number.ok().flatten().unwrap_or(0);
            (number(header.device_major()), number(header.device_minor()))
        });
        let link = link.or(pax_link).or_else(|| header.link_name_bytes().map(std::borrow::Cow::into_owned));
        let is_outside = (path.first() != Some(&b'/') && leads_out(&path))
            || (kind == FileKind::HardLink && link.as_deref().is_some_and(leads_out));
        let link = match (kind, link) {
            // A hard link names an entry from the root.
            (FileKind::HardLink, link) => Some(normal(&link.unwrap_or_default())),
            (FileKind::Symlink, link) => Some(link.unwrap_or_default()),
            _ => None,
        };
        let link = link.map(|link| self.intern(&link, at)).transpose()?.unwrap_or(0);
        let detail = Detail {
            link,
            device,
            size: (size >= u64::from(u32::MAX)).then_some(size),
            mtime: u32::try_from(mtime).is_err().then_some(mtime),
            owner: u16::try_from(owner).is_err().then_some(owner),
            xattrs: xattrs.into_iter().collect(),
            sparse,
            is_outside,
        };
        let path = normal(&path);
        let (directory, name) = split(&path);
        let record = Record {
            directory: self.directory(directory, at)?,
            name: self.intern(name, at)?,
            block,
            size: u32::try_from(size).unwrap_or(u32::MAX),
            mtime: u32::try_from(mtime).unwrap_or(0),
            owner: u16::try_from(owner).unwrap_or(0),
            mode: Record::mode_of(kind, header.mode().unwrap_or(0)),
            detail: self.detail(detail, at)?,
        };
        self.index.push(record);
        Ok(())
    }

    /// Content of that size is to be gone past.
    fn pass(&mut self, size: u64, at: u64) -> Result<()> {
        if size > MAX_LEN {
            return Err(invalid("A tar header states a size that makes no sense", at));
        }
        self.skip = size.next_multiple_of(BLOCK);
        self.padding = self.skip - size;
        Ok(())
    }

    /// Puts a text into the arena.
    fn intern(&mut self, text: &[u8], at: u64) -> Result<u32> {
        if text.len() > MAX_PATH {
            return Err(Error::new(Code::LimitExceeded, "A path of the layer is too long.")
                .with("limit", "paths")
                .with("expected", MAX_PATH)
                .with("offset", at));
        }
        self.spend(text.len() + 2, at)?;
        let names = &mut self.index.names;
        let start = u32::try_from(names.len()).map_err(|_| too_much(at))?;
        // At most MAX_PATH.
        let len = u16::try_from(text.len()).unwrap_or(u16::MAX);
        names.extend_from_slice(&len.to_le_bytes());
        names.extend_from_slice(text);
        Ok(start)
    }

    fn spend(&mut self, bytes: usize, at: u64) -> Result<()> {
        self.text += bytes;
        if self.text > MAX_TEXT { Err(too_much(at)) } else { Ok(()) }
    }

    fn directory(&mut self, path: &[u8], at: u64) -> Result<u32> {
        if let Some(&known) = self.directories.get(path) {
            return Ok(known);
        }
        // It stands in the map too, while that lives.
        self.spend(path.len() + 32, at)?;
        let text = self.intern(path, at)?;
        let number = u32::try_from(self.index.directories.len()).map_err(|_| too_much(at))?;
        self.index.directories.push(text);
        self.directories.insert(path.into(), number);
        Ok(number)
    }

    fn owner(&mut self, owner: Owner, at: u64) -> Result<u32> {
        if let Some(&known) = self.owners.get(&owner) {
            return Ok(known);
        }
        self.spend(2 * (size_of::<Owner>() + owner.user.len() + owner.group.len()), at)?;
        let number = u32::try_from(self.index.owners.len()).map_err(|_| too_much(at))?;
        self.index.owners.push(owner.clone());
        self.owners.insert(owner, number);
        Ok(number)
    }

    fn detail(&mut self, detail: Detail, at: u64) -> Result<u32> {
        if detail == Detail::default() {
            return Ok(0);
        }
        if detail == (Detail { link: detail.link, ..Detail::default() }) && detail.link < LINK {
            return Ok(detail.link | LINK);
        }
        let sparse = detail.sparse.as_ref().map_or(0, |sparse| sparse.memory());
        self.spend(DETAIL + sparse, at)?;
        self.index.details.push(detail);
        u32::try_from(self.index.details.len()).map_err(|_| too_much(at))
    }
}

fn too_much(at: u64) -> Error {
    Error::new(Code::LimitExceeded, "The names of the layer's files are too long.")
        .with("limit", "paths")
        .with("expected", MAX_TEXT)
        .with("offset", at)
}

/// Seconds since 1970, of a decimal number that may be negative and may have a fraction, which goes.
fn seconds(value: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(value).ok()?;
    text.split('.').next()?.parse().ok()
}

/// One spelling for all that name the same file: `..` goes up, but never out of the root.
pub(super) fn normal(path: &[u8]) -> Vec<u8> {
    let mut normal: Vec<u8> = Vec::with_capacity(path.len());
    for component in path.split(|&byte| byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => normal.truncate(normal.iter().rposition(|&byte| byte == b'/').unwrap_or(0)),
            _ => {
                if !normal.is_empty() {
                    normal.push(b'/');
                }
                normal.extend_from_slice(component);
            }
        }
    }
    normal
}

/// Whether `..` goes up from the root, which [`normal`] stays in.
pub(super) fn leads_out(path: &[u8]) -> bool {
    let mut depth = 0_usize;
    components(path).any(|component| {
        let next = if component == b".." { depth.checked_sub(1) } else { Some(depth + 1) };
        depth = next.unwrap_or(0);
        next.is_none()
    })
}

/// A path's directory and its last component.
pub(super) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(slash) => (path.get(..slash).unwrap_or_default(), path.get(slash + 1..).unwrap_or_default()),
        None => (&[], path),
    }
}

impl<S: Source + Clone> std::fmt::Debug for Indexing<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Indexing").field("entries", &self.index.len()).finish_non_exhaustive()
    }
}

/// Indexes a layer at once; see [`Indexing`].
pub fn index_layer<S: Source + Clone>(data: Recipe<S>, limits: Limits) -> Result<SharedIndex> {
    let mut indexing = Indexing::new(data, limits)?;
    while !indexing.step(u64::MAX)? {}
    Ok(indexing.finish())
}
