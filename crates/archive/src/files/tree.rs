//! The file system that an image's layers come to, finished.

use super::layer::{FileEntry, FileKind, Record, SharedIndex};
use super::paths::{Step, components, follow};
use crate::error::{Code, Error, Result};

/// Where a name stands.
#[derive(Debug, Clone, Copy)]
pub(super) enum Named {
    /// In an entry.
    Entry { layer: u32, record: u32 },
    /// Nowhere but in the paths of others.
    Implied(u32),
}

impl Named {
    pub(super) fn of<'a>(self, layers: &'a [SharedIndex], implied: &'a [Box<[u8]>]) -> &'a [u8] {
        match self {
            Self::Entry { layer, record } => {
                let index = layers.get(layer as usize);
                index.and_then(|index| Some(index.name(index.record(record)?))).unwrap_or_default()
            }
            Self::Implied(number) => implied.get(number as usize).map_or(&[], |name| name),
        }
    }
}

/// A file, which may have several names.
#[derive(Debug, Clone, Copy)]
pub(super) struct Inode {
    pub(super) layer: u32,
    /// The entry that it comes from; `u32::MAX` for a directory that has none.
    pub(super) record: u32,
    pub(super) links: u32,
}

impl Inode {
    pub(super) fn record(self, layers: &[SharedIndex]) -> Option<(&SharedIndex, Record)> {
        let index = layers.get(self.layer as usize)?;
        Some((index, index.record(self.record)?))
    }

    pub(super) fn describe(self, layers: &[SharedIndex], path: &[u8]) -> FileEntry {
        match self.record(layers) {
            Some((index, record)) => FileEntry {
                layer: Some(self.layer as usize),
                links: self.links,
                mode: record.unpacked_mode(),
                ..index.describe(path, record)
            },
            None => FileEntry {
                path: String::from_utf8_lossy(path).into_owned(),
                kind: FileKind::Directory,
                mode: 0o755,
                uid: 0,
                gid: 0,
                user: None,
                group: None,
                size: 0,
                mtime: 0,
                link: None,
                device: None,
                xattrs: Vec::new(),
                layer: None,
                links: 1,
            },
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Node {
    parent: u32,
    name: Named,
    inode: u32,
    /// Where what is below it ends.
    end: u32,
}

/// What an entry of a tar says of where it goes.
#[derive(Debug)]
pub struct Written<'a> {
    /// From the root, without a slash before it, `.` and `..`.
    pub path: Vec<u8>,
    /// Where its link leads; a hard link's is from the root, too.
    pub link: &'a [u8],
    /// Whether `..` led out of the root, in the path or in a hard link's.
    pub is_outside: bool,
}

/// A file system as a list: each directory before what is in it, names sorted by their bytes.
///
/// A file is known by its number in that list. The root is 0.
#[derive(Debug)]
pub struct Tree {
    layers: Vec<SharedIndex>,
    implied: Vec<Box<[u8]>>,
    nodes: Vec<Node>,
    inodes: Vec<Inode>,
}

impl Tree {
    pub(super) fn new(layers: Vec<SharedIndex>, implied: Vec<Box<[u8]>>) -> Self {
        Self { layers, implied, nodes: Vec::new(), inodes: Vec::new() }
    }

    /// A tar's entries in their order, all in the root, by whatever name, and hard links and whiteouts among them: for who unpacks
    /// them elsewhere. [`Self::written`] says where each goes.
    pub fn of_tar(tar: SharedIndex) -> Self {
        let records = 0..u32::try_from(tar.len()).unwrap_or(u32::MAX);
        let mut tree = Self::new(vec![tar], vec![Box::default()]);
        tree.push(0, Named::Implied(0), None, Inode { layer: 0, record: u32::MAX, links: 0 });
        for record in records {
            tree.push(0, Named::Entry { layer: 0, record }, None, Inode { layer: 0, record, links: 0 });
        }
        tree.close();
        tree
    }

    /// What the entry that a file comes from says of where it goes; `None` for a directory that has none.
    pub fn written(&self, number: usize) -> Option<Written<'_>> {
        let (_, index, record) = self.record(number)?;
        let is_outside = index.detail(record).is_some_and(|detail| detail.is_outside);
        Some(Written { path: index.path(record), link: index.link(record).unwrap_or_default(), is_outside })
    }

    /// Appends a file; one with another name where its inode is known. Gives the numbers of both.
    pub(super) fn push(&mut self, parent: u32, name: Named, known: Option<u32>, file: Inode) -> (u32, u32) {
        #[allow(clippy::cast_possible_truncation)] // as many as there were entries at most
        let (number, fresh) = (self.nodes.len() as u32, self.inodes.len() as u32);
        let inode = known.unwrap_or(fresh);
        if inode == fresh {
            self.inodes.push(Inode { links: 0, ..file });
        }
        if let Some(inode) = self.inodes.get_mut(inode as usize) {
            inode.links += 1;
        }
        self.nodes.push(Node { parent, name, inode, end: number + 1 });
        (number, inode)
    }

    /// Says where each directory ends, when all are there.
    pub(super) fn close(&mut self) {
        for number in (1..self.nodes.len()).rev() {
            let Some(&Node { parent, end, .. }) = self.nodes.get(number) else { continue };
            if let Some(parent) = self.nodes.get_mut(parent as usize) {
                parent.end = parent.end.max(end);
            }
        }
    }

    /// The layers that it was made of, bottom first.
    pub fn layers(&self) -> &[SharedIndex] {
        &self.layers
    }

    pub(super) fn implied(&self) -> &[Box<[u8]>] {
        &self.implied
    }

    /// How many files there are, the root included.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is nothing, not even a root.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// A file; `None` for a number that is too large.
    pub fn entry(&self, number: usize) -> Option<FileEntry> {
        let node = self.nodes.get(number)?;
        Some(self.inodes.get(node.inode as usize)?.describe(&self.layers, &self.path(number)))
    }

    /// The path from the root, without a slash before it.
    pub fn path(&self, number: usize) -> Vec<u8> {
        let mut names = Vec::new();
        let mut at = number;
        while at != 0 {
            let Some(node) = self.nodes.get(at) else { break };
            names.push(self.name(at));
            at = node.parent as usize;
        }
        names.reverse();
        names.join(&b'/')
    }

    /// The last component of its path.
    pub fn name(&self, number: usize) -> &[u8] {
        self.nodes.get(number).map_or(&[], |node| node.name.of(&self.layers, &self.implied))
    }

    /// Where the list goes on after a file and all that is below it.
    pub fn end(&self, number: usize) -> usize {
        self.nodes.get(number).map_or(number + 1, |node| node.end as usize)
    }

    /// What is in a directory, sorted.
    pub fn children(&self, number: usize) -> impl Iterator<Item = usize> {
        let end = self.end(number);
        let next = move |&child: &usize| Some(self.end(child)).filter(|&next| next < end);
        std::iter::successors(Some(number + 1).filter(|&first| first < end), next)
    }

    /// The file of that name in a directory.
    pub fn child(&self, directory: usize, name: &[u8]) -> Option<usize> {
        // What is below a directory stands together, in the order of its children's names: each guess leads up to one.
        let (mut from, mut to) = (directory + 1, self.end(directory).min(self.nodes.len()));
        while from < to {
            let mut child = from.midpoint(to);
            loop {
                let parent = self.nodes.get(child)?.parent as usize;
                if parent == directory {
                    break;
                }
                child = parent;
            }
            match self.name(child).cmp(name) {
                std::cmp::Ordering::Equal => return Some(child),
                std::cmp::Ordering::Less => from = self.end(child),
                std::cmp::Ordering::Greater => to = child,
            }
        }
        None
    }

    /// The file at a path, which is followed through links as by a process that is confined to the root; the link itself,
    /// where it is the last component and `last` is false.
    pub fn find(&self, path: &[u8], last: bool) -> Option<usize> {
        let parent = |node: u32| self.nodes.get(node as usize).map_or(0, |node| node.parent);
        let found = follow(path, last, 0, parent, |directory, name| {
            let node = self.child(directory as usize, name)?;
            let link = self.record(node).filter(|(_, _, record)| record.kind() == FileKind::Symlink);
            let link = link.map(|(_, index, record)| index.link(record).unwrap_or_default().to_vec());
            Some(Step { node: u32::try_from(node).ok()?, link })
        });
        found.map(|node| node as usize)
    }

    /// As [`Self::find`]. Fails with `no-such-file`.
    pub fn lookup(&self, path: &[u8], last: bool) -> Result<usize> {
        self.find(path, last).ok_or_else(|| told(Code::NoSuchFile, "No such file or directory", path))
    }

    /// The directory at a path, which is followed through links. Fails with `no-such-file`, and with `not-a-directory`.
    pub fn directory(&self, path: &[u8]) -> Result<usize> {
        let number = self.lookup(path, true)?;
        match self.kind(number) {
            FileKind::Directory => Ok(number),
            _ => Err(told(Code::NotADirectory, "Not a directory", path)),
        }
    }

    /// The entry that a file comes from, with its layer; `None` for a directory that has none.
    pub(super) fn record(&self, number: usize) -> Option<(usize, &SharedIndex, Record)> {
        let inode = self.inode(number)?;
        let (index, record) = inode.record(&self.layers)?;
        Some((inode.layer as usize, index, record))
    }

    /// The layer and the entry that put the name there; `None` for a directory that has none.
    pub(super) fn placed(&self, number: usize) -> Option<(u32, u32)> {
        match self.nodes.get(number)?.name {
            Named::Entry { layer, record } => Some((layer, record)),
            Named::Implied(_) => None,
        }
    }

    pub(super) fn inode(&self, number: usize) -> Option<Inode> {
        self.inodes.get(self.nodes.get(number)?.inode as usize).copied()
    }

    /// Which file it is: those with several names have one number.
    pub(super) fn identity(&self, number: usize) -> Option<u32> {
        self.nodes.get(number).map(|node| node.inode)
    }

    pub(super) fn inodes(&self) -> &[Inode] {
        &self.inodes
    }

    /// What a file is.
    pub fn kind(&self, number: usize) -> FileKind {
        self.record(number).map_or(FileKind::Directory, |(_, _, record)| record.kind())
    }

    /// Where a symbolic link leads, as written.
    pub fn link(&self, number: usize) -> Option<&[u8]> {
        let (_, index, record) =
            self.record(number).filter(|(_, _, record)| record.kind() == FileKind::Symlink)?;
        index.link(record)
    }

    /// Bytes of a file.
    pub fn size(&self, number: usize) -> u64 {
        self.record(number).map_or(0, |(_, index, record)| index.size(record))
    }

    /// How deep a file is, the root being 0.
    pub fn depth(&self, number: usize) -> usize {
        let path = self.path(number);
        components(&path).count()
    }

    /// Bytes of memory that it takes beside its layers' indexes.
    pub fn memory(&self) -> usize {
        self.nodes.capacity() * size_of::<Node>() + self.inodes.capacity() * size_of::<Inode>()
    }
}

fn told(code: Code, sentence: &str, path: &[u8]) -> Error {
    let path = String::from_utf8_lossy(path);
    Error::new(code, format!("{sentence}: /{}.", path.trim_start_matches('/'))).with("entry", &*path)
}
