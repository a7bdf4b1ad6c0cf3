//! A file system, or a folder of it, as a tar: what `docker export` and `docker cp` give.

use std::collections::HashMap;
use std::rc::Rc;

use tar::{EntryType, Header};

use super::layer::FileKind;
use super::read::{Contents, Cursor};
use super::tree::Tree;
use crate::compression::Compression;
use crate::error::Result;
use crate::recipe::Recipe;
use crate::source::Source;
use crate::unpack::Limits;

/// The most headers of one step.
const HEADERS: usize = 512;
/// The largest number of seven octal digits, and of eleven.
const SEVEN: u64 = 0o7_777_777;
const ELEVEN: u64 = 0o77_777_777_777;

/// A tar of a file system that is being made, a bounded number of bytes at a time.
///
/// Directories come first, then files in the order in which they stand in their layers, so that each layer is unpacked
/// once; then the further names of files that have several.
pub struct Export<S: Source + Clone> {
    tree: Rc<Tree>,
    contents: Contents<S>,
    /// What is before each path that is not in the tar.
    strip: usize,
    order: Vec<u32>,
    at: usize,
    /// Which name of a file with several comes first.
    first: HashMap<u32, u32>,
    file: Option<Cursor>,
    ended: bool,
    done: u64,
    total: u64,
}

impl<S: Source + Clone> Export<S> {
    /// Begins with the file of that number and all that is below it. Paths in the tar begin with its name; those of the root
    /// with what is in it. `layers` are the bytes of the tree's layers as they are stored.
    pub fn new(tree: Rc<Tree>, number: usize, layers: Vec<Recipe<S>>, limits: Limits) -> Self {
        let path = tree.path(number);
        let strip = path.len() - tree.name(number).len();
        let (mut directories, mut files, mut others) = (Vec::new(), Vec::new(), Vec::new());
        let mut first = HashMap::new();
        let mut total = 0;
        for at in number.max(usize::from(number == 0))..tree.end(number) {
            let Ok(node) = u32::try_from(at) else { break };
            if tree.kind(at) == FileKind::Directory {
                directories.push(node);
                continue;
            }
            let several = tree.inode(at).is_some_and(|inode| inode.links > 1);
            match tree.identity(at) {
                Some(inode) if several && first.contains_key(&inode) => others.push(node),
                Some(inode) => {
                    if several {
                        first.insert(inode, node);
                    }
                    total += tree.size(at);
                    files.push(node);
                }
                None => {}
            }
        }
        files.sort_by_key(|&node| tree.record(node as usize).map(|(layer, _, record)| (layer, record.block)));
        directories.append(&mut files);
        directories.append(&mut others);
        let contents = Contents::new(layers, tree.layers().to_vec(), limits);
        Self {
            tree,
            contents,
            strip,
            order: directories,
            at: 0,
            first,
            file: None,
            ended: false,
            done: 0,
            total,
        }
    }

    /// Bytes of files in the tar so far, and in all.
    pub fn progress(&self) -> (u64, u64) {
        (self.done + self.file.map_or(0, |file| file.position()), self.total)
    }

    /// The next of the tar, with about `max` new bytes; `None` at the end. There may be nothing, where it took long.
    ///
    /// Fails as unpacking does.
    pub fn step(&mut self, max: usize) -> Result<Option<Recipe<S>>> {
        if self.ended {
            return Ok(None);
        }
        let mut recipe = Recipe::default();
        let (mut fresh, mut headers) = (0, 0);
        while fresh < max && headers < HEADERS {
            if let Some(file) = &mut self.file {
                if let Some(bytes) = self.contents.next(file, max)? {
                    recipe.push_slice(&bytes, 0..bytes.len());
                    if bytes.is_empty() {
                        break;
                    }
                    fresh += if copied(&bytes) { usize::try_from(bytes.len()).unwrap_or(max) } else { 0 };
                    continue;
                }
                let size = file.position();
                self.done += size;
                recipe.push_bytes(vec![0; usize::try_from(size.next_multiple_of(512) - size).unwrap_or(0)]);
                self.file = None;
            }
            let Some(&node) = self.order.get(self.at) else {
                recipe.push_bytes(vec![0; 1024]);
                self.ended = true;
                break;
            };
            self.at += 1;
            headers += 1;
            let (header, has_content) = self.header(node as usize);
            fresh += header.len();
            recipe.push_bytes(header);
            self.file = if has_content { Cursor::new(&self.tree, node as usize) } else { None };
        }
        Ok(Some(recipe))
    }

    /// A file's header, and whether its content follows.
    fn header(&self, number: usize) -> (Vec<u8>, bool) {
        let tree = &self.tree;
        let path = |number: usize| tree.path(number).split_off(self.strip);
        let mut name = path(number);
        let first = tree.identity(number).and_then(|inode| self.first.get(&inode));
        let linked = first.map(|&first| first as usize).filter(|&first| first != number);
        let kind = if linked.is_some() { FileKind::HardLink } else { tree.kind(number) };
        if kind == FileKind::Directory {
            name.push(b'/');
        }
        // A tar whose first bytes are those of a compressed file would be taken for one.
        if Compression::of(&name).is_some() {
            name.splice(..0, *b"./");
        }
        let found = tree.record(number);
        let link = match linked {
            Some(first) => path(first),
            None => found.and_then(|(_, index, record)| index.link(record)).unwrap_or_default().to_vec(),
        };
        let mut header = Header::new_ustar();
        header.set_entry_type(match kind {
            FileKind::File => EntryType::Regular,
            FileKind::Directory => EntryType::Directory,
            FileKind::Symlink => EntryType::Symlink,
            FileKind::HardLink => EntryType::Link,
            FileKind::CharacterDevice => EntryType::Char,
            FileKind::BlockDevice => EntryType::Block,
            FileKind::Fifo => EntryType::Fifo,
        });
        let mut records = Records::default();
        let mut mtime = 0;
        header.set_mode(0o755);
        let mut size = 0;
        let (mut uid, mut gid) = (0, 0);
        if let Some((_, index, record)) = found {
            header.set_mode(record.unpacked_mode());
            mtime = index.mtime(record);
            if kind == FileKind::File {
                size = index.size(record);
            }
            if let (Some(owner), Some(ustar)) = (index.owner(record), header.as_ustar_mut()) {
                (uid, gid) = (owner.uid, owner.gid);
                records.text(b"uname", &owner.user, &mut ustar.uname, 31);
                records.text(b"gname", &owner.group, &mut ustar.gname, 31);
            }
            if let Some((major, minor)) = index.detail(record).and_then(|detail| detail.device) {
                // Where a field has no room there is no record for it either.
                let _ = header.set_device_major(major);
                let _ = header.set_device_minor(minor);
            }
            if kind != FileKind::HardLink {
                for (key, value) in index.xattrs(record) {
                    records.push(&[b"SCHILY.xattr.", &**key].concat(), value);
                }
            }
        }
        header.set_uid(records.number(b"uid", uid, SEVEN));
        header.set_gid(records.number(b"gid", gid, SEVEN));
        header.set_size(records.number(b"size", size, ELEVEN));
        if let Ok(seconds) = u64::try_from(mtime) {
            header.set_mtime(records.number(b"mtime", seconds, ELEVEN));
        } else {
            records.push(b"mtime", mtime.to_string().as_bytes());
            header.set_mtime(0);
        }
        let old = header.as_old_mut();
        records.text(b"path", &name, &mut old.name, 100);
        records.text(b"linkpath", &link, &mut old.linkname, 100);
        header.set_cksum();
        let mut bytes = records.finish();
        bytes.extend_from_slice(header.as_bytes());
        (bytes, kind == FileKind::File)
    }
}

/// Whether bytes stand in memory: those that stand in a source take none.
fn copied<S: Source + Clone>(recipe: &Recipe<S>) -> bool {
    recipe.parts().iter().any(|part| matches!(part, crate::recipe::Part::Bytes(_)))
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

impl<S: Source + Clone> std::fmt::Debug for Export<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Export").field("files", &self.order.len()).finish_non_exhaustive()
    }
}
