//! A tar that is being written, as a recipe.

use std::collections::BTreeMap;
use std::rc::Rc;

use tar::{EntryType, Header};

use crate::recipe::{Part, Recipe};
use crate::source::Source;
use crate::time::Timestamp;

/// What stands in a tar header beside name and size.
#[derive(Debug, Clone, Copy)]
pub(super) struct Meta {
    pub(super) mode: u32,
    /// Seconds since 1970.
    pub(super) mtime: u64,
}

/// The members of an archive that is laid out by path.
pub(super) type Members<S> = BTreeMap<String, (Meta, Content<S>)>;

/// What a member holds.
#[derive(Debug, Clone)]
pub(super) enum Content<S> {
    Directory,
    /// A symbolic link.
    Link(String),
    Bytes(Vec<u8>),
    /// Bytes that stand in a source already.
    Stored(Recipe<S>),
}

/// New bytes become one part of the recipe as long as they are no more than that: a part costs more than a header.
const JOINED: usize = 1 << 20;

/// Writes members, one after the other.
pub(super) struct Tarball<S> {
    recipe: Recipe<S>,
    /// What comes next in the recipe.
    fresh: Vec<u8>,
    /// User and group name of every member.
    owner: &'static str,
    /// Go's file type bits above the permissions, as Docker wrote them up to 24.
    type_bits: bool,
}

impl<S: Source + Clone> Tarball<S> {
    /// As Docker writes it since 25, and containerd.
    pub(super) fn new() -> Self {
        Self { recipe: Recipe::default(), fresh: Vec::new(), owner: "", type_bits: false }
    }

    /// As Docker wrote it up to 24.
    pub(super) fn legacy() -> Self {
        Self { owner: "root", type_bits: true, ..Self::new() }
    }

    /// Appends a member.
    pub(super) fn push(&mut self, path: &str, meta: Meta, content: &Content<S>) {
        let (kind, size, type_bits) = match content {
            Content::Directory => (EntryType::Directory, 0, 0o040_000),
            Content::Link(_) => (EntryType::Symlink, 0, 0o120_000),
            Content::Bytes(bytes) => (EntryType::Regular, bytes.len() as u64, 0o100_000),
            Content::Stored(recipe) => (EntryType::Regular, recipe.len(), 0o100_000),
        };
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(meta.mode | if self.type_bits { type_bits } else { 0 });
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(size);
        header.set_mtime(meta.mtime);
        if let Some(ustar) = header.as_ustar_mut() {
            for (field, text) in [(&mut ustar.uname, self.owner), (&mut ustar.gname, self.owner)] {
                put(field, text);
            }
            put(&mut ustar.dev_major, "0000000");
            put(&mut ustar.dev_minor, "0000000");
        }
        if let Content::Link(target) = content {
            put(&mut header.as_old_mut().linkname, target);
        }
        if path.len() > header.as_old().name.len() {
            self.push_long_name(path, meta);
        }
        put(&mut header.as_old_mut().name, path);
        seal(&mut header);
        self.push_bytes(header.as_bytes());
        match content {
            Content::Directory | Content::Link(_) => {}
            Content::Bytes(bytes) => self.push_bytes(bytes),
            Content::Stored(recipe) => recipe.parts().iter().for_each(|part| self.push_part(part)),
        }
        let padding = size.next_multiple_of(512) - size;
        self.fresh.resize(self.fresh.len() + usize::try_from(padding).unwrap_or(0), 0);
    }

    fn push_part(&mut self, part: &Part<S>) {
        match part {
            Part::Bytes(bytes) => self.push_bytes(bytes),
            Part::Range { .. } => {
                self.flush();
                self.recipe.push(part.clone());
            }
        }
    }

    fn push_bytes(&mut self, bytes: &[u8]) {
        if self.fresh.len() + bytes.len() > JOINED {
            self.flush();
        }
        self.fresh.extend_from_slice(bytes);
    }

    fn flush(&mut self) {
        self.recipe.push_bytes(self.fresh.as_slice());
        self.fresh.clear();
    }

    /// Appends all members, in the order of their paths.
    pub(super) fn push_all(&mut self, members: &Members<S>) {
        for (path, (meta, content)) in members {
            self.push(path, *meta, content);
        }
    }

    /// The tar with the two blocks that end it.
    pub(super) fn finish(mut self) -> Recipe<S> {
        self.push_bytes(&[0; 1024]);
        self.flush();
        self.recipe
    }

    /// A pax header with the path of the member that follows: one of sha512 is too long for the field.
    fn push_long_name(&mut self, path: &str, meta: Meta) {
        let rest = format!(" path={path}\n");
        let mut length = rest.len();
        while length.to_string().len() + rest.len() != length {
            length = length.to_string().len() + rest.len();
        }
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::XHeader);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(meta.mtime);
        header.set_size(length as u64);
        put(&mut header.as_old_mut().name, "PaxHeaders.0/path");
        seal(&mut header);
        self.push_bytes(header.as_bytes());
        let mut record = format!("{length}{rest}").into_bytes();
        record.resize(length.next_multiple_of(512), 0);
        self.push_bytes(&record);
    }
}

/// Writes the checksum as Go and GNU tar do: six digits, NUL, space.
fn seal(header: &mut Header) {
    header.as_old_mut().cksum.fill(b' ');
    let sum: u32 = header.as_bytes().iter().map(|&byte| u32::from(byte)).sum();
    put(&mut header.as_old_mut().cksum, &format!("{sum:06o}\0 "));
}

/// Writes as much of a text as the field has room for.
fn put(field: &mut [u8], text: &str) {
    for (to, from) in field.iter_mut().zip(text.bytes()) {
        *to = from;
    }
}

/// The recipe of bytes that stand in no source.
pub(super) fn bytes_of<S: Source + Clone>(bytes: &Rc<[u8]>) -> Recipe<S> {
    let mut recipe = Recipe::default();
    recipe.push(Part::Bytes(bytes.clone()));
    recipe
}

/// RFC 3339 as seconds since 1970, which is what tar headers have; 0 for what is earlier or something else.
pub(super) fn seconds(text: &str) -> u64 {
    Timestamp::parse(text).and_then(|time| u64::try_from(time.seconds).ok()).unwrap_or(0)
}
