//! The headers of tars that are being written: of file systems, and of layers.

use tar::{EntryType, Header};

use super::layer::{FileKind, RawXattr};
use crate::compression::Compression;

/// The largest number of seven octal digits, and of eleven.
const SEVEN: u64 = 0o7_777_777;
const ELEVEN: u64 = 0o77_777_777_777;

/// A member of a tar that is being written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TarMember {
    /// What it is.
    pub kind: FileKind,
    /// From the root, without a slash before it or, for a directory, after it.
    pub path: Vec<u8>,
    /// Where a link leads.
    pub link: Vec<u8>,
    /// The twelve bits of permissions.
    pub mode: u32,
    /// The owner's number.
    pub uid: u64,
    /// The group's.
    pub gid: u64,
    /// The owner's name; empty where there is none.
    pub user: Box<[u8]>,
    /// The group's.
    pub group: Box<[u8]>,
    /// Bytes of a regular file.
    pub size: u64,
    /// For a sparse file, the parts of it that follow, by offset and length (GNU tar's format 0.1); between them are zeros.
    pub stored: Option<Vec<(u64, u64)>>,
    /// Seconds since 1970.
    pub mtime: i64,
    /// Major and minor number of a device.
    pub device: Option<(u32, u32)>,
    /// Extended attributes: names and values.
    pub xattrs: Vec<RawXattr>,
}

impl Default for TarMember {
    fn default() -> Self {
        Self {
            kind: FileKind::File,
            path: Vec::new(),
            link: Vec::new(),
            mode: 0o755,
            uid: 0,
            gid: 0,
            user: Box::default(),
            group: Box::default(),
            size: 0,
            stored: None,
            mtime: 0,
            device: None,
            xattrs: Vec::new(),
        }
    }
}

impl TarMember {
    /// Its header, with what there is no room for before it, in pax records. The content of a regular file follows, and
    /// [`Self::padding`] after that.
    pub fn header(&self) -> Vec<u8> {
        let mut header = Header::new_ustar();
        header.set_entry_type(match self.kind {
            FileKind::File => EntryType::Regular,
            FileKind::Directory => EntryType::Directory,
            FileKind::Symlink => EntryType::Symlink,
            FileKind::HardLink => EntryType::Link,
            FileKind::CharacterDevice => EntryType::Char,
            FileKind::BlockDevice => EntryType::Block,
            FileKind::Fifo => EntryType::Fifo,
        });
        let mut records = Records::default();
        header.set_mode(self.mode);
        if let Some(ustar) = header.as_ustar_mut() {
            records.text(b"uname", &self.user, &mut ustar.uname, 31);
            records.text(b"gname", &self.group, &mut ustar.gname, 31);
        }
        if let Some((major, minor)) = self.device {
            // Where a field has no room there is no record for it either.
            let _ = header.set_device_major(major);
            let _ = header.set_device_minor(minor);
        }
        for (key, value) in &self.xattrs {
            records.push(&[b"SCHILY.xattr.", &**key].concat(), value);
        }
        let mut size = self.size;
        if let Some(parts) = &self.stored {
            records.map(self.size, parts);
            size = parts.iter().map(|(_, len)| len).sum();
        }
        header.set_uid(records.number(b"uid", self.uid, SEVEN));
        header.set_gid(records.number(b"gid", self.gid, SEVEN));
        header.set_size(records.number(b"size", size, ELEVEN));
        if let Ok(seconds) = u64::try_from(self.mtime) {
            header.set_mtime(records.number(b"mtime", seconds, ELEVEN));
        } else {
            records.push(b"mtime", self.mtime.to_string().as_bytes());
            header.set_mtime(0);
        }
        let name = self.name();
        let old = header.as_old_mut();
        records.text(b"path", &name, &mut old.name, 100);
        records.text(b"linkpath", &self.link, &mut old.linkname, 100);
        header.set_cksum();
        let mut bytes = records.finish();
        bytes.extend_from_slice(header.as_bytes());
        bytes
    }

    /// How many zeros follow a content of that many bytes.
    pub fn padding(size: u64) -> usize {
        usize::try_from(size.next_multiple_of(512) - size).unwrap_or(0)
    }

    fn name(&self) -> Vec<u8> {
        let mut name = self.path.clone();
        if self.kind == FileKind::Directory {
            name.push(b'/');
        }
        // A tar whose first bytes are those of a compressed file would be taken for one.
        if Compression::of(&name).is_some() {
            name.splice(..0, *b"./");
        }
        name
    }
}

/// The pax records of a header: for what its fields have no room for.
#[derive(Default)]
struct Records(Vec<u8>);

impl Records {
    /// A record counts its own length, digits included.
    fn push(&mut self, key: &[u8], value: &[u8]) {
        let rest = key.len() + value.len() + 3;
        let mut len = rest;
        while len.to_string().len() + rest != len {
            len = len.to_string().len() + rest;
        }
        self.0.extend_from_slice(format!("{len} ").as_bytes());
        self.0.extend_from_slice(key);
        self.0.push(b'=');
        self.0.extend_from_slice(value);
        self.0.push(b'\n');
    }

    /// Puts a text into its field, and what does not fit or is not ASCII into a record.
    fn text(&mut self, key: &[u8], text: &[u8], field: &mut [u8], room: usize) {
        if text.len() > room || !text.is_ascii() {
            self.push(key, text);
        }
        for (to, from) in field.iter_mut().zip(text.iter().take(room)) {
            *to = *from;
        }
    }

    /// The number for its field: 0 where it goes into a record.
    fn number(&mut self, key: &[u8], number: u64, largest: u64) -> u64 {
        if number > largest {
            self.push(key, number.to_string().as_bytes());
            return 0;
        }
        number
    }

    /// The map of a sparse file.
    fn map(&mut self, size: u64, parts: &[(u64, u64)]) {
        // A file that is nothing but a hole has a part of no length at its end, as GNU tar writes it.
        let parts = if parts.is_empty() { &[(size, 0)] } else { parts };
        let map: Vec<String> = parts.iter().map(|(offset, len)| format!("{offset},{len}")).collect();
        self.push(b"GNU.sparse.size", size.to_string().as_bytes());
        self.push(b"GNU.sparse.numblocks", parts.len().to_string().as_bytes());
        self.push(b"GNU.sparse.map", map.join(",").as_bytes());
    }

    /// The member that holds them; nothing where there are none.
    fn finish(self) -> Vec<u8> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::XHeader);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(self.0.len() as u64);
        let name = &mut header.as_old_mut().name;
        for (to, from) in name.iter_mut().zip(b"PaxHeaders.0/entry") {
            *to = *from;
        }
        header.set_cksum();
        let mut bytes = header.as_bytes().to_vec();
        bytes.extend_from_slice(&self.0);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    }
}
