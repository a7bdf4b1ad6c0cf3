//! What a header and the extension headers before it say of a member.

use tar::{EntryType, Header};

use super::EntryKind;
use super::header::{PaxRecords, invalid, is_old_directory, long_name, pax_number};
use crate::error::Result;

/// What extension headers say about the member that follows them.
#[derive(Debug, Default)]
pub(crate) struct Extensions {
    /// Those of GNU tar, which count for more than pax records, wherever they stand.
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    pax: Pax,
}

/// What the last pax header says: one more takes its place as a whole.
#[derive(Debug, Default)]
struct Pax {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    /// What is said of a sparse file.
    major: Option<u8>,
    minor: Option<u8>,
    has_map: bool,
    /// Its name, which counts for more than all others.
    name: Option<Vec<u8>>,
}

/// A part of the version of a sparse file's format; 2 for all that nobody knows.
pub(crate) fn version(value: &[u8]) -> u8 {
    match value {
        b"0" => 0,
        b"1" => 1,
        _ => 2,
    }
}

/// Where the map of a sparse file is that pax records tell of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SparseMapIn {
    /// In the records themselves (GNU tar's formats 0.0 and 0.1).
    Records,
    /// At the beginning of the content (1.0).
    Content,
}

impl SparseMapIn {
    /// As Go's reader has it, by the [`version`] and whether there is a map: `None` for a file like any
    /// other, whatever the records say of it.
    pub(crate) fn of(major: Option<u8>, minor: Option<u8>, has_map: bool) -> Option<Self> {
        match (major, minor) {
            (Some(0), Some(0 | 1)) => Some(Self::Records),
            (Some(1), Some(0)) => Some(Self::Content),
            (None, None) if has_map => Some(Self::Records),
            _ => None,
        }
    }
}

/// A member, as all its headers have it.
pub(crate) struct Described {
    pub(crate) path: Vec<u8>,
    /// Where a link leads.
    pub(crate) link: Option<Vec<u8>>,
    pub(crate) kind: EntryKind,
    /// Of its content, as it is stored.
    pub(crate) size: u64,
    /// The size that the header states, where a pax record overrules it.
    pub(crate) overruled: Option<u64>,
}

impl Extensions {
    /// Notes what the payload of an extension header says, which is at `at`. Fails with `invalid-tar`.
    pub(crate) fn read(&mut self, kind: EntryType, payload: &[u8], at: u64) -> Result<()> {
        match kind {
            EntryType::GNULongName => self.path = long_name(payload),
            EntryType::GNULongLink => self.link = long_name(payload),
            _ => {
                let mut pax = Pax::default();
                for record in PaxRecords(payload) {
                    let (key, value) = record.ok_or_else(|| invalid("A pax header is malformed", at))?;
                    // As Go's reader has it: then the header's own counts.
                    if value.is_empty() {
                        continue;
                    }
                    match (key, key.strip_prefix(b"GNU.sparse.")) {
                        (b"path", _) => pax.path = Some(value.to_vec()),
                        (b"linkpath", _) => pax.link = Some(value.to_vec()),
                        (b"size", _) => pax.size = Some(pax_number(value, at)?),
                        (_, Some(b"name")) => pax.name = Some(value.to_vec()),
                        (_, Some(b"major")) => pax.major = Some(version(value)),
                        (_, Some(b"minor")) => pax.minor = Some(version(value)),
                        (_, Some(b"map" | b"offset" | b"numbytes")) => pax.has_map = true,
                        _ => {}
                    }
                }
                self.pax = pax;
            }
        }
        Ok(())
    }

    /// The member whose header follows, which states that size.
    pub(crate) fn describe(self, header: &Header, stated: u64) -> Described {
        let Self { path, link, pax } = self;
        let path = path.or(pax.path).unwrap_or_else(|| header.path_bytes().into_owned());
        let is_old_directory = is_old_directory(header, &path);
        let map = SparseMapIn::of(pax.major, pax.minor, pax.has_map);
        let is_sparse = map.is_some() && header.entry_type() != EntryType::GNUSparse;
        let path = pax.name.filter(|_| is_sparse).unwrap_or(path);
        let kind = match header.entry_type() {
            EntryType::GNUSparse => EntryKind::Sparse,
            EntryType::Regular | EntryType::Continuous if is_sparse => EntryKind::Sparse,
            EntryType::Regular if is_old_directory => EntryKind::Directory,
            EntryType::Regular | EntryType::Continuous => EntryKind::File,
            EntryType::Directory => EntryKind::Directory,
            EntryType::Symlink => EntryKind::Symlink,
            EntryType::Link => EntryKind::HardLink,
            _ => EntryKind::Other,
        };
        let is_link = matches!(kind, EntryKind::Symlink | EntryKind::HardLink);
        let written = || header.link_name_bytes().map(std::borrow::Cow::into_owned);
        let link = if is_link { link.or(pax.link).or_else(written) } else { None };
        // As Go's reader has it: links, directories and devices have no content, whatever their headers say.
        let is_bare = matches!(header.entry_type(), EntryType::Char | EntryType::Block | EntryType::Fifo)
            || is_link
            || kind == EntryKind::Directory;
        let size = if is_bare { 0 } else { pax.size.unwrap_or(stated) };
        Described { path, link, kind, size, overruled: pax.size.map(|_| stated) }
    }
}
