//! What a layer holds: its entries, small in memory.

use std::ops::Range;
use std::rc::Rc;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::gzip::SharedCheckpoints;
use super::sparse::SparseMap;
use crate::compression::Compression;
use crate::tar::BLOCK;

/// How many records stand together: a list that grows by copying itself would need its size twice.
const CHUNK: usize = 1 << 14;

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A hard link, as it stands in a layer. In a merged file system it is what it leads to.
    HardLink,
    /// A character device.
    CharacterDevice,
    /// A block device.
    BlockDevice,
    /// A named pipe.
    Fifo,
}

const KINDS: [FileKind; 7] = [
    FileKind::File,
    FileKind::Directory,
    FileKind::Symlink,
    FileKind::HardLink,
    FileKind::CharacterDevice,
    FileKind::BlockDevice,
    FileKind::Fifo,
];

/// Who a file belongs to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Owner {
    pub(super) uid: u64,
    pub(super) gid: u64,
    pub(super) user: Box<[u8]>,
    pub(super) group: Box<[u8]>,
}

/// An extended attribute's name and value, as they stand in a layer.
pub type RawXattr = (Box<[u8]>, Box<[u8]>);

/// What few entries have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Detail {
    /// Where its link's text stands, or 0.
    pub(super) link: u32,
    pub(super) device: Option<(u32, u32)>,
    /// Sizes that do not fit the record.
    pub(super) size: Option<u64>,
    /// Times that do not.
    pub(super) mtime: Option<i64>,
    /// Owners' numbers that do not.
    pub(super) owner: Option<u32>,
    pub(super) xattrs: Box<[RawXattr]>,
    pub(super) sparse: Option<Box<SparseMap>>,
    /// Whether its path, or what its hard link names, leads out of the root.
    pub(super) is_outside: bool,
}

/// Says that the detail is only a link, whose text stands there.
pub(super) const LINK: u32 = 1 << 31;

/// One entry: 28 bytes, because there may be a million.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record {
    /// Which of the index's directories it is in.
    pub(super) directory: u32,
    /// Where its name stands.
    pub(super) name: u32,
    /// Where its data begins, in blocks of the uncompressed layer.
    pub(super) block: u32,
    /// Bytes; [`u32::MAX`] where the detail says how many.
    pub(super) size: u32,
    pub(super) mtime: u32,
    pub(super) owner: u16,
    /// The kind above the twelve bits of the mode.
    pub(super) mode: u16,
    /// 0; the detail's number and one; or [`LINK`] and where the link's text stands.
    pub(super) detail: u32,
}

impl Record {
    pub(super) fn kind(self) -> FileKind {
        KINDS.get(usize::from(self.mode >> 12)).copied().unwrap_or(FileKind::File)
    }

    /// The permissions of the unpacked file: links have none of their own, and Linux shows all of them.
    pub(super) fn unpacked_mode(self) -> u32 {
        if self.kind() == FileKind::Symlink { 0o777 } else { u32::from(self.mode & 0o7777) }
    }

    pub(super) fn mode_of(kind: FileKind, mode: u32) -> u16 {
        #[allow(clippy::cast_possible_truncation)] // twelve bits
        let bits = (mode & 0o7777) as u16;
        bits | (kind as u16) << 12
    }
}

/// Every entry of a layer, in its order, and how to get at their data.
///
/// It takes some 45 bytes for an entry of usual names, so that a million fit a Worker's memory.
#[derive(Debug, Default)]
pub struct LayerIndex {
    pub(super) records: Vec<Vec<Record>>,
    /// Names and link targets, each after its length as two bytes.
    pub(super) names: Vec<u8>,
    /// Where each directory's path stands. The first is the root.
    pub(super) directories: Vec<u32>,
    pub(super) owners: Vec<Owner>,
    pub(super) details: Vec<Detail>,
    pub(super) checkpoints: SharedCheckpoints,
    pub(super) compression: Option<Compression>,
    /// Uncompressed bytes up to where the tar ends.
    pub(super) size: u64,
}

impl LayerIndex {
    /// How many entries the layer has, whiteouts included.
    pub fn len(&self) -> usize {
        self.records.last().map_or(0, |last| (self.records.len() - 1) * CHUNK + last.len())
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// How the layer is compressed.
    pub fn compression(&self) -> Option<Compression> {
        self.compression
    }

    /// Bytes of memory that it takes, more or less.
    pub fn memory(&self) -> usize {
        let detail = |detail: &Detail| {
            let xattrs = detail.xattrs.iter().map(|(key, value)| 32 + key.len() + value.len());
            size_of::<Detail>()
                + xattrs.sum::<usize>()
                + detail.sparse.as_ref().map_or(0, |sparse| sparse.memory())
        };
        self.records.iter().map(|chunk| chunk.capacity() * size_of::<Record>()).sum::<usize>()
            + self.names.capacity()
            + self.directories.capacity() * 4
            + self.owners.len() * size_of::<Owner>()
            + self.details.iter().map(detail).sum::<usize>()
            + self.checkpoints.memory()
    }

    /// The entry with that number, in the layer's order: whiteouts are entries too.
    pub fn entry(&self, number: usize) -> Option<FileEntry> {
        let number = u32::try_from(number).ok()?;
        let record = self.record(number)?;
        Some(self.describe(&self.path(record), record))
    }

    pub(super) fn push(&mut self, record: Record) {
        if let Some(last) = self.records.last_mut().filter(|last| last.len() < CHUNK) {
            last.push(record);
        } else {
            // Most layers are small.
            let mut chunk = Vec::with_capacity(if self.records.is_empty() { 64 } else { CHUNK });
            chunk.push(record);
            self.records.push(chunk);
        }
    }

    pub(super) fn record(&self, number: u32) -> Option<Record> {
        let number = number as usize;
        self.records.get(number / CHUNK)?.get(number % CHUNK).copied()
    }

    /// A text of the arena.
    pub(super) fn text(&self, at: u32) -> &[u8] {
        let at = at as usize;
        let Some(&[low, high]) = self.names.get(at..at + 2) else { return &[] };
        let len = usize::from(u16::from_le_bytes([low, high]));
        self.names.get(at + 2..at + 2 + len).unwrap_or_default()
    }

    pub(super) fn name(&self, record: Record) -> &[u8] {
        self.text(record.name)
    }

    /// The path of the directory with that number.
    pub(super) fn directory(&self, number: u32) -> &[u8] {
        self.directories.get(number as usize).map_or(&[], |&at| self.text(at))
    }

    /// The path from the root, without a slash before it.
    pub(super) fn path(&self, record: Record) -> Vec<u8> {
        join(self.directory(record.directory), self.name(record))
    }

    pub(super) fn detail(&self, record: Record) -> Option<&Detail> {
        if record.detail & LINK != 0 {
            return None;
        }
        self.details.get((record.detail as usize).checked_sub(1)?)
    }

    pub(super) fn link(&self, record: Record) -> Option<&[u8]> {
        let at = match self.detail(record) {
            Some(detail) => detail.link,
            None => record.detail & !LINK,
        };
        (at != 0).then(|| self.text(at))
    }

    /// How many bytes a reader of the file gets.
    pub(super) fn size(&self, record: Record) -> u64 {
        let stated = self.detail(record).and_then(|detail| detail.size);
        stated.unwrap_or(u64::from(record.size))
    }

    /// Where the file's bytes stand in the uncompressed layer, with what fills the last block up; of a sparse file those that
    /// are no holes.
    pub(super) fn data(&self, record: Record) -> Range<u64> {
        let start = u64::from(record.block) * BLOCK;
        let len = match self.sparse(record) {
            Some(map) => map.stored,
            None if record.kind() == FileKind::File => self.size(record),
            None => 0,
        };
        start..start + len.next_multiple_of(BLOCK)
    }

    /// Where an entry stands in the uncompressed layer: its extension headers, and whatever else comes after the entry before.
    pub(super) fn extent(&self, number: u32) -> Range<u64> {
        let end = |number: u32| self.record(number).map_or(0, |record| self.data(record).end);
        number.checked_sub(1).map_or(0, end)..end(number)
    }

    pub(super) fn mtime(&self, record: Record) -> i64 {
        let stated = self.detail(record).and_then(|detail| detail.mtime);
        stated.unwrap_or(i64::from(record.mtime))
    }

    pub(super) fn sparse(&self, record: Record) -> Option<&SparseMap> {
        self.detail(record)?.sparse.as_deref()
    }

    pub(super) fn owner(&self, record: Record) -> Option<&Owner> {
        let stated = self.detail(record).and_then(|detail| detail.owner);
        self.owners.get(stated.unwrap_or(u32::from(record.owner)) as usize)
    }

    pub(super) fn xattrs(&self, record: Record) -> &[RawXattr] {
        self.detail(record).map_or(&[], |detail| &detail.xattrs)
    }

    pub(super) fn describe(&self, path: &[u8], record: Record) -> FileEntry {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let name = |bytes: &[u8]| (!bytes.is_empty()).then(|| text(bytes));
        let owner = self.owner(record);
        let xattr = |(key, value): &RawXattr| Xattr { name: text(key), value: value.clone() };
        FileEntry {
            path: text(path),
            kind: record.kind(),
            mode: u32::from(record.mode & 0o7777),
            uid: owner.map_or(0, |owner| owner.uid),
            gid: owner.map_or(0, |owner| owner.gid),
            user: owner.and_then(|owner| name(&owner.user)),
            group: owner.and_then(|owner| name(&owner.group)),
            size: self.size(record),
            mtime: self.mtime(record),
            link: self.link(record).map(text),
            device: self.detail(record).and_then(|detail| detail.device),
            xattrs: self.xattrs(record).iter().map(xattr).collect(),
            layer: None,
            links: 1,
        }
    }
}

/// A name below a directory.
pub(super) fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(directory.len() + 1 + name.len());
    path.extend_from_slice(directory);
    if !directory.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}

/// An extended attribute. Its value is any bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Xattr {
    /// `security.capability`, `user.…`
    pub name: String,
    /// As hexadecimal digits in JSON.
    #[serde(serialize_with = "as_hex", deserialize_with = "from_hex")]
    pub value: Box<[u8]>,
}

fn as_hex<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().map_or('0', char::from);
    let text: String = bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect();
    serializer.serialize_str(&text)
}

fn from_hex<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Box<[u8]>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let byte = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    let bytes: Option<_> = (0..text.len()).step_by(2).map(byte).collect();
    bytes.ok_or_else(|| D::Error::custom("these are no hexadecimal digits"))
}

/// A file of a layer or of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FileEntry {
    /// From the root, without a slash before it; empty for the root. Bytes that are not UTF-8 are replaced by U+FFFD.
    pub path: String,
    /// What it is.
    pub kind: FileKind,
    /// The twelve bits of permissions.
    pub mode: u32,
    /// The owner's number.
    pub uid: u64,
    /// The group's.
    pub gid: u64,
    /// The owner's name, where the layer says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The group's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Bytes that a reader gets: of a sparse file, the holes included.
    pub size: u64,
    /// Seconds since 1970.
    pub mtime: i64,
    /// Where a link leads, as written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// Major and minor number of a device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<(u32, u32)>,
    /// Extended attributes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub xattrs: Vec<Xattr>,
    /// In a merged file system, which layer it comes from; none for a directory that no layer has an entry of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layer: Option<usize>,
    /// How many names the file has, of which this is one.
    pub links: u32,
}

/// A layer's index is shared by all that read from it.
pub type SharedIndex = Rc<LayerIndex>;
