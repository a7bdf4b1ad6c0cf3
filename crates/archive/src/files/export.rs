//! A file system, or a folder of it, as a tar: what `docker export` and `docker cp` give.

use std::collections::HashMap;
use std::rc::Rc;

use super::header::{self, Holes};
use super::layer::FileKind;
use super::member::TarMember;
use super::read::{Contents, Cursor};
use super::tree::Tree;
use crate::error::Result;
use crate::recipe::Recipe;
use crate::source::Source;
use crate::unpack::Limits;

/// The most headers of one step.
const HEADERS: usize = 512;

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
                    if bytes.is_empty() {
                        break;
                    }
                    fresh += usize::try_from(bytes.in_memory()).unwrap_or(max);
                    recipe.append(bytes);
                    continue;
                }
                let size = file.position();
                self.done += size;
                recipe.push_bytes(vec![0; TarMember::padding(size)]);
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
        let first = tree.identity(number).and_then(|inode| self.first.get(&inode));
        let linked = first.map(|&first| first as usize).filter(|&first| first != number);
        let found = tree.record(number).map(|(_, index, record)| (&**index, record));
        if let Some(first) = linked {
            return (header::link(path(number), found, &path(first)), false);
        }
        let kind = tree.kind(number);
        (header::header(path(number), kind, found, Holes::Filled), kind == FileKind::File)
    }
}

impl<S: Source + Clone> std::fmt::Debug for Export<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Export").field("files", &self.order.len()).finish_non_exhaustive()
    }
}
