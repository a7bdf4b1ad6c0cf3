//! `docker diff` (moby `pkg/archive/changes.go`).

use std::collections::BTreeMap;

use longshore_archive::{ChangeKind, FileEntry};
use serde::Serialize;

use super::operation::CAPABILITY;
use super::{Overlay, ancestors, join};
use crate::container::{File, Kind, Node, path_text};

/// One line of `docker diff`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// What became of it.
    #[serde(serialize_with = "letter")]
    pub kind: ChangeKind,
    /// From the root, with a slash before it. What is not UTF-8 is written as rows have it.
    pub path: String,
}

/// As Docker prints it.
impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", letter_of(self.kind), self.path)
    }
}

fn letter_of(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Added => "A",
        ChangeKind::Changed => "C",
        ChangeKind::Deleted => "D",
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the shape that serde wants")]
fn letter<S: serde::Serializer>(kind: &ChangeKind, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(letter_of(*kind))
}

impl Overlay {
    /// `docker diff`, sorted by the bytes of the paths, so that a directory comes before what is in it.
    ///
    /// What the image has is compared by what Docker looks at: kind, mode, owner, device, and of what is no directory size
    /// and time. A directory in which something changed is changed.
    pub fn diff(&self) -> Vec<Difference> {
        let mut lines: BTreeMap<Vec<u8>, ChangeKind> = BTreeMap::new();
        let mut tell = |path: Vec<u8>, kind| {
            for above in ancestors(&path) {
                if lines.contains_key(above) {
                    break;
                }
                lines.insert(above.to_vec(), ChangeKind::Changed);
            }
            lines.insert(path, kind);
        };
        for (path, node) in &*self.upper {
            let lower = self.in_base(path);
            let file = match (node, lower) {
                (Node::Removed, _) => {
                    tell(path.clone(), ChangeKind::Deleted);
                    continue;
                }
                (Node::There(file), None) => {
                    tell(path.clone(), ChangeKind::Added);
                    file
                }
                (Node::There(file), Some(number)) => {
                    if self.differs(file, number) {
                        tell(path.clone(), ChangeKind::Changed);
                    }
                    file
                }
            };
            let Some(number) = lower.filter(|_| matches!(file.kind, Kind::Directory { opaque: true })) else {
                continue;
            };
            // What it hides is gone, unless it is there again.
            for child in self.base.children(number) {
                let path = join(path, self.base.name(child));
                if !self.upper.contains_key(&path) {
                    tell(path, ChangeKind::Deleted);
                }
            }
        }
        let line =
            |(path, kind): (Vec<u8>, ChangeKind)| Difference { kind, path: format!("/{}", path_text(&path)) };
        lines.into_iter().map(line).collect()
    }

    fn differs(&self, file: &File, number: usize) -> bool {
        let Some(FileEntry { kind, mode, uid, gid, size, mtime, device, xattrs, .. }) =
            self.base.entry(number)
        else {
            return true;
        };
        if kind != file.kind.of_file() || (mode, uid, gid) != (file.mode, file.uid, file.gid) {
            return true;
        }
        let capability = |xattrs: &[longshore_archive::Xattr]| {
            xattrs.iter().find(|xattr| xattr.name == CAPABILITY).map(|xattr| xattr.value.clone())
        };
        if capability(&xattrs) != capability(&file.xattrs) {
            return true;
        }
        let is_same = match &file.kind {
            Kind::Directory { .. } => return false,
            Kind::Regular(content) => content.length == size,
            Kind::Symlink { target } => self.base.link(number) == Some(target),
            Kind::CharacterDevice(major, minor) | Kind::BlockDevice(major, minor) => {
                device == Some((*major, *minor))
            }
            Kind::Fifo => true,
        };
        !is_same || mtime != file.mtime
    }
}
