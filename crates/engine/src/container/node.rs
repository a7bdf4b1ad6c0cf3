//! What stands at a path that was changed in a container.

use std::collections::BTreeMap;
use std::fmt::Write;

use longshore_archive::{Algorithm, Code, Error, FileKind, MAX_LEN, Result, Xattr};
use serde::{Deserialize, Serialize};

/// What was changed in a container, by path in the form of [`path_text`]: its upper directory, as overlayfs has one.
pub(crate) type Upper = BTreeMap<String, Node>;

/// The longest path, as Linux has it.
pub(crate) const MAX_PATH: usize = 4096;

/// What stands at one path of a container's upper directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Row", into = "Row")]
pub enum Node {
    /// A whiteout: what the image has here is no more.
    Removed,
    /// A file, in place of what the image has.
    There(File),
}

impl Node {
    /// The content of a regular file.
    pub fn content(&self) -> Option<&Content> {
        match self {
            Self::There(File { kind: Kind::Regular(content), .. }) => Some(content),
            _ => None,
        }
    }
}

/// A file of any kind, directories included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// What it is.
    pub kind: Kind,
    /// The twelve bits of permissions.
    pub mode: u32,
    /// The owner's number.
    pub uid: u64,
    /// The group's.
    pub gid: u64,
    /// Seconds since 1970.
    pub mtime: i64,
    /// Extended attributes.
    pub xattrs: Vec<Xattr>,
}

/// What a file is, and what only such a file has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    Regular(Content),
    /// A directory.
    Directory {
        /// Whether it took the place of a directory of the image, of whose files nothing shows any more.
        opaque: bool,
    },
    /// A symbolic link.
    Symlink {
        /// Where it leads, as written.
        target: Vec<u8>,
    },
    /// A character device, by its major and minor number.
    CharacterDevice(u32, u32),
    /// A block device.
    BlockDevice(u32, u32),
    /// A named pipe.
    Fifo,
}

/// The content of a file: a range of a blob of the store, which may have those of other files too.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// The blob's digest.
    pub digest: String,
    /// Bytes of the blob.
    pub size: u64,
    /// Where in the blob the content begins.
    pub offset: u64,
    /// Bytes of the content.
    pub length: u64,
}

/// A node as a row has it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Row {
    kind: RowKind,
    #[serde(skip_serializing_if = "is_zero")]
    mode: u32,
    #[serde(skip_serializing_if = "is_zero")]
    uid: u64,
    #[serde(skip_serializing_if = "is_zero")]
    gid: u64,
    #[serde(skip_serializing_if = "is_zero")]
    mtime: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<Content>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    opaque: bool,
    /// In the form of [`path_text`].
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<(u32, u32)>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    xattrs: Vec<Xattr>,
}

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RowKind {
    #[default]
    Removed,
    File,
    Directory,
    Symlink,
    CharacterDevice,
    BlockDevice,
    Fifo,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the shape that serde wants")]
fn is_zero<T: Default + PartialEq>(number: &T) -> bool {
    *number == T::default()
}

impl TryFrom<Row> for Node {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self> {
        let invalid = || Error::new(Code::InvalidArgument, "the file makes no sense");
        let kind = match row.kind {
            RowKind::Removed => return Ok(Self::Removed),
            RowKind::File => {
                let content = row.content.ok_or_else(invalid)?;
                content.check()?;
                Kind::Regular(content)
            }
            RowKind::Directory => Kind::Directory { opaque: row.opaque },
            RowKind::Symlink => {
                let target = row.target.and_then(|target| path_bytes(&target));
                Kind::Symlink { target: target.filter(|target| is_target(target)).ok_or_else(invalid)? }
            }
            RowKind::CharacterDevice => {
                row.device.map(|(major, minor)| Kind::CharacterDevice(major, minor)).ok_or_else(invalid)?
            }
            RowKind::BlockDevice => {
                row.device.map(|(major, minor)| Kind::BlockDevice(major, minor)).ok_or_else(invalid)?
            }
            RowKind::Fifo => Kind::Fifo,
        };
        let Row { mode, uid, gid, mtime, xattrs, .. } = row;
        if mode > 0o7777 || uid > MAX_LEN || gid > MAX_LEN || mtime.unsigned_abs() > MAX_LEN {
            return Err(invalid());
        }
        Ok(Self::There(File { kind, mode, uid, gid, mtime, xattrs }))
    }
}

impl From<Node> for Row {
    fn from(node: Node) -> Self {
        let Node::There(File { kind, mode, uid, gid, mtime, xattrs }) = node else { return Self::default() };
        let row = Self { mode, uid, gid, mtime, xattrs, ..Self::default() };
        match kind {
            Kind::Regular(content) => Self { kind: RowKind::File, content: Some(content), ..row },
            Kind::Directory { opaque } => Self { kind: RowKind::Directory, opaque, ..row },
            Kind::Symlink { target } => {
                Self { kind: RowKind::Symlink, target: Some(path_text(&target)), ..row }
            }
            Kind::CharacterDevice(major, minor) => {
                Self { kind: RowKind::CharacterDevice, device: Some((major, minor)), ..row }
            }
            Kind::BlockDevice(major, minor) => {
                Self { kind: RowKind::BlockDevice, device: Some((major, minor)), ..row }
            }
            Kind::Fifo => Self { kind: RowKind::Fifo, ..row },
        }
    }
}

impl Content {
    /// All of a blob, of that digest and size.
    pub fn whole(digest: impl Into<String>, size: u64) -> Self {
        Self { digest: digest.into(), size, offset: 0, length: size }
    }

    /// Fails with `invalid-argument` for a digest that is none, a size that nothing has, and a range beyond it.
    pub(crate) fn check(&self) -> Result<()> {
        let is_inside = self.offset.checked_add(self.length).is_some_and(|end| end <= self.size);
        if Algorithm::of(&self.digest).is_none() || self.size > MAX_LEN || !is_inside {
            let sentence = format!(
                "The blob {:?} has no digest, size or range that could be one.",
                self.digest.as_str()
            );
            return Err(Error::new(Code::InvalidArgument, sentence).with("digest", self.digest.as_str()));
        }
        Ok(())
    }
}

impl Kind {
    /// The kind, as the archive crate has it.
    pub fn of_file(&self) -> FileKind {
        match self {
            Self::Regular(_) => FileKind::File,
            Self::Directory { .. } => FileKind::Directory,
            Self::Symlink { .. } => FileKind::Symlink,
            Self::CharacterDevice(..) => FileKind::CharacterDevice,
            Self::BlockDevice(..) => FileKind::BlockDevice,
            Self::Fifo => FileKind::Fifo,
        }
    }
}

/// Whether a symbolic link may lead there, as Linux has it.
pub(crate) fn is_target(target: &[u8]) -> bool {
    !target.is_empty() && target.len() < MAX_PATH && !target.contains(&0)
}

/// A path as text, which a row's key needs: what is not UTF-8, and `%`, as `%` and two hexadecimal digits.
pub fn path_text(path: &[u8]) -> String {
    let mut text = String::with_capacity(path.len());
    for chunk in path.utf8_chunks() {
        text.push_str(&chunk.valid().replace('%', "%25"));
        for byte in chunk.invalid() {
            // Writing to memory does not fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// The path that a text of [`path_text`] is of; `None` for any other.
pub fn path_bytes(text: &str) -> Option<Vec<u8>> {
    let mut parts = text.split('%');
    let mut path = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        path.push(u8::from_str_radix(digits, 16).ok()?);
        path.extend_from_slice(rest.as_bytes());
    }
    // Each path has one text.
    (path_text(&path) == text).then_some(path)
}

/// Fails with `invalid-argument` where a text is no path that a change could be at: from the root, without a slash before it.
pub(crate) fn check_path(text: &str) -> Result<()> {
    let is_component = |component: &[u8]| {
        !matches!(component, b"" | b"." | b"..") && component.len() < 256 && !component.contains(&0)
    };
    let is_path =
        |path: &Vec<u8>| path.len() < MAX_PATH && path.split(|&byte| byte == b'/').all(is_component);
    match path_bytes(text).filter(is_path) {
        Some(_) => Ok(()),
        None => Err(Error::new(Code::InvalidArgument, format!("{text:?} is no path")).with("entry", text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_path_has_one_text(path in prop::collection::vec(any::<u8>(), 0..40)) {
            prop_assert_eq!(path_bytes(&path_text(&path)), Some(path));
        }

        #[test]
        fn a_text_is_of_one_path_or_of_none(text in "[%0-9A-Fa-fé/]{0,12}") {
            if let Some(path) = path_bytes(&text) {
                prop_assert_eq!(path_text(&path), text);
            }
        }
    }

    #[test]
    fn paths_of_changes() {
        for path in ["a", "etc/my.cnf", "a%25", "caf%E9", "..."] {
            assert!(check_path(path).is_ok(), "{path}");
        }
        for path in ["", "/a", "a/", "a//b", "a/./b", "..", "a%", "a%41", "a%00", "%é"] {
            assert!(check_path(path).is_err(), "{path}");
        }
    }
}
