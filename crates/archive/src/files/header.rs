//! Headers that are made here: what an entry of a layer says, under whatever path.

use super::layer::{FileKind, LayerIndex, Record};
use super::member::TarMember;

/// An entry of a layer.
pub(super) type Found<'a> = Option<(&'a LayerIndex, Record)>;

/// What stands for the holes of a sparse file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holes {
    /// Zeros.
    Filled,
    /// Nothing: a map tells of them (GNU tar's format 0.1).
    Mapped,
}

/// The header of one more name of the file at `first`.
pub(super) fn link(path: Vec<u8>, found: Found<'_>, first: &[u8]) -> Vec<u8> {
    made(path, FileKind::HardLink, found, first, Holes::Filled)
}

/// A file's header, as `found` tells of it; what no entry tells of is a directory like any other, or an empty file for root.
pub(super) fn header(path: Vec<u8>, kind: FileKind, found: Found<'_>, holes: Holes) -> Vec<u8> {
    let link = found.and_then(|(index, record)| index.link(record)).unwrap_or_default();
    made(path, kind, found, link, holes)
}

fn made(path: Vec<u8>, kind: FileKind, found: Found<'_>, link: &[u8], holes: Holes) -> Vec<u8> {
    let mode = if kind == FileKind::Directory { 0o755 } else { 0o600 };
    let mut member = TarMember { kind, path, link: link.to_vec(), mode, ..TarMember::default() };
    if let Some((index, record)) = found {
        member.mode = record.unpacked_mode();
        member.mtime = index.mtime(record);
        if kind == FileKind::File {
            member.size = index.size(record);
            let map = index.sparse(record).filter(|_| holes == Holes::Mapped);
            member.stored = map.map(|map| map.parts.clone());
        }
        if let Some(owner) = index.owner(record) {
            (member.uid, member.gid) = (owner.uid, owner.gid);
            (member.user, member.group) = (owner.user.clone(), owner.group.clone());
        }
        member.device = index.detail(record).and_then(|detail| detail.device);
        if kind != FileKind::HardLink {
            member.xattrs = index.xattrs(record).to_vec();
        }
    }
    member.header()
}
