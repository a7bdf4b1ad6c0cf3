//! The file system that layers come to, as it grows: which names there are, below what, and which files have them.

use std::collections::{HashMap, HashSet};
use std::hash::Hasher;

use hashbrown::HashTable;

use super::layer::{FileKind, SharedIndex};
use super::paths::{Step, follow};
use super::tree::{Inode, Named, Tree};
use crate::source::plus;

/// No node, no file.
pub(super) const NONE: u32 = u32::MAX;
/// The root's number.
pub(super) const ROOT: u32 = 0;

/// A name in a directory. It stays when its file goes: another may come.
struct Node {
    parent: u32,
    name: Named,
    /// Which file has that name, or [`NONE`].
    inode: u32,
    /// Its children are those that were born in this one: so all go at once.
    generation: u32,
    born: u32,
    /// Its first child, and the next of its parent's.
    first: u32,
    next: u32,
    /// Whether it is among its parent's children.
    listed: bool,
}

/// A file that is no more, with all that was below it.
pub(super) struct Removed {
    pub(super) node: u32,
    /// Which it was: the node has none now.
    pub(super) inode: u32,
    /// Bytes of all of them.
    pub(super) bytes: u64,
}

/// A file system that layers are unpacked into, without a file being written.
pub(super) struct Growing {
    layers: Vec<SharedIndex>,
    nodes: Vec<Node>,
    inodes: Vec<Inode>,
    /// Names that no entry has: of directories above those that have one.
    implied: Vec<Box<[u8]>>,
    table: HashTable<u32>,
    /// Which layer is being unpacked.
    layer: u32,
    /// Another number whenever ways may lead elsewhere than before.
    epoch: u32,
    /// The directories that this layer took all from that lower ones have in them.
    emptied: HashSet<u32>,
}

impl Growing {
    /// An empty root directory, which layers are to be unpacked into.
    pub(super) fn new(layers: Vec<SharedIndex>) -> Self {
        let node = Node {
            parent: ROOT,
            name: Named::Implied(0),
            inode: 0,
            generation: 0,
            born: 0,
            first: NONE,
            next: NONE,
            listed: true,
        };
        Self {
            layers,
            nodes: vec![node],
            inodes: vec![Inode { layer: 0, record: NONE, links: 1 }],
            implied: vec![Box::default()],
            table: HashTable::new(),
            layer: 0,
            epoch: 1,
            emptied: HashSet::new(),
        }
    }

    /// All of this layer is unpacked.
    pub(super) fn enter_next(&mut self) {
        self.layer += 1;
        self.emptied.clear();
    }

    /// Another number whenever ways may lead elsewhere than before.
    pub(super) fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Which file a node has.
    pub(super) fn file(&self, node: u32) -> Option<u32> {
        Some(self.node(node)?.inode)
    }

    /// Gives a name another file.
    pub(super) fn replace(&mut self, node: u32, inode: u32) -> Option<()> {
        self.node_mut(node)?.inode = inode;
        Some(())
    }

    /// Takes away a file with all that is below it, for a directory or a link if that comes: ways that ended there may go on
    /// now.
    pub(super) fn make_room(&mut self, node: u32, is_for_way: bool) {
        self.remove(node);
        self.epoch += u32::from(is_for_way);
    }

    /// The directory at a path, made where it is not there.
    pub(super) fn make_way(&mut self, path: &[u8]) -> Option<u32> {
        Way(self).follow(path)
    }

    /// How many layers are merged completely.
    pub(super) fn layer(&self) -> usize {
        self.layer as usize
    }

    pub(super) fn layers(&self) -> &[SharedIndex] {
        &self.layers
    }

    /// How many names there are or were.
    pub(super) fn names(&self) -> usize {
        self.nodes.len()
    }

    /// What stands at a path; through a link at its end too, if `last` says so.
    pub(super) fn look_up(&self, path: &[u8], last: bool) -> Option<u32> {
        follow(
            path,
            last,
            ROOT,
            |node| self.parent(node),
            |directory, name| {
                let node = self.child(directory, name)?;
                Some(Step { node, link: self.link(node) })
            },
        )
    }

    /// All that a path leads through, as far as it leads, the links on it included.
    pub(super) fn way(&self, path: &[u8]) -> Vec<u32> {
        let passed = std::cell::RefCell::new(Vec::new());
        let step = |directory, name: &[u8]| {
            let node = self.child(directory, name)?;
            passed.borrow_mut().push(node);
            Some(Step { node, link: self.link(node) })
        };
        follow(path, true, ROOT, |node| self.parent(node), step);
        passed.into_inner()
    }

    fn parent(&self, node: u32) -> u32 {
        self.node(node).map_or(ROOT, |node| node.parent)
    }

    fn link(&self, node: u32) -> Option<Vec<u8>> {
        let inode = self.inodes.get(self.node(node)?.inode as usize)?;
        let index = self.layers.get(inode.layer as usize)?;
        let record = index.record(inode.record)?;
        (record.kind() == FileKind::Symlink).then(|| index.link(record).unwrap_or_default().to_vec())
    }

    fn node(&self, node: u32) -> Option<&Node> {
        self.nodes.get(node as usize)
    }

    fn node_mut(&mut self, node: u32) -> Option<&mut Node> {
        self.nodes.get_mut(node as usize)
    }

    pub(super) fn kind(&self, node: u32) -> Option<FileKind> {
        self.kind_of(self.node(node)?.inode)
    }

    pub(super) fn kind_of(&self, inode: u32) -> Option<FileKind> {
        let inode = self.inodes.get(inode as usize)?;
        Some(match self.layers.get(inode.layer as usize)?.record(inode.record) {
            Some(record) => record.kind(),
            None => FileKind::Directory,
        })
    }

    pub(super) fn is_directory(&self, node: u32) -> bool {
        self.kind(node) == Some(FileKind::Directory)
    }

    /// Bytes of the file at a node.
    pub(super) fn size(&self, node: u32) -> u64 {
        let size = || {
            let inode = self.inodes.get(self.node(node)?.inode as usize)?;
            let index = self.layers.get(inode.layer as usize)?;
            Some(index.size(index.record(inode.record)?))
        };
        size().unwrap_or(0)
    }

    /// Bytes of all files below a directory; of a file, its own.
    pub(super) fn total(&self, node: u32) -> u64 {
        let (mut sum, mut todo) = (0, vec![node]);
        while let Some(node) = todo.pop() {
            sum = plus(sum, self.size(node));
            todo.extend(self.children(node));
        }
        sum
    }

    /// The file that a node had, described as it was there.
    pub(super) fn describe(&self, node: u32, inode: u32) -> Option<super::layer::FileEntry> {
        let path = self.path(node);
        let inode = self.inodes.get(inode as usize)?;
        Some(inode.describe(&self.layers, &path))
    }

    /// The layer and the entry of the file at a node.
    pub(super) fn origin(&self, node: u32) -> Option<(u32, u32)> {
        let inode = self.inodes.get(self.node(node)?.inode as usize)?;
        Some((inode.layer, inode.record))
    }

    /// Whether there is a directory at a node that this layer is the first to imply, and that no entry tells of.
    pub(super) fn is_implied(&self, node: u32) -> bool {
        self.origin(node) == Some((self.layer, NONE))
    }

    /// Whether an entry tells of what is at a node.
    pub(super) fn is_told(&self, node: u32) -> bool {
        self.origin(node).is_some_and(|(_, record)| record != NONE)
    }

    /// The way to a node.
    pub(super) fn path(&self, mut node: u32) -> Vec<u8> {
        let mut names = Vec::new();
        while node != ROOT {
            let Some(own) = self.node(node) else { break };
            names.push(own.name.of(&self.layers, &self.implied));
            node = own.parent;
        }
        names.reverse();
        names.join(&b'/')
    }

    /// The number of a name, whether there is a file now or not.
    fn slot(&self, parent: u32, name: &[u8]) -> Option<u32> {
        let same = |&node: &u32| self.is_named(node, parent, name);
        self.table.find(hash(parent, name), same).copied()
    }

    fn is_named(&self, node: u32, parent: u32, name: &[u8]) -> bool {
        self.node(node)
            .is_some_and(|node| node.parent == parent && node.name.of(&self.layers, &self.implied) == name)
    }

    /// The file that a directory has under a name.
    pub(super) fn child(&self, parent: u32, name: &[u8]) -> Option<u32> {
        self.slot(parent, name).filter(|&node| self.is_live(node))
    }

    fn children(&self, node: u32) -> Vec<u32> {
        let first = self.node(node).map_or(NONE, |node| node.first);
        let next = |&node: &u32| self.node(node).map(|node| node.next);
        let all = std::iter::successors(Some(first), next).take_while(|&node| node != NONE);
        all.filter(|&node| self.is_live(node)).collect()
    }

    /// Whether a node whose parent is there is there too.
    fn is_live(&self, node: u32) -> bool {
        let node = self.node(node).filter(|node| node.inode != NONE);
        node.is_some_and(|node| self.node(node.parent).is_some_and(|parent| parent.generation == node.born))
    }

    /// Of each node, whether it is there with all that is above it.
    pub(super) fn live(&self) -> Vec<bool> {
        let mut live: Vec<bool> = Vec::with_capacity(self.nodes.len());
        for (number, node) in (0..).zip(&self.nodes) {
            // It comes after that in which it is.
            let is_above = |&live: &bool| live;
            live.push(self.is_live(number) && live.get(node.parent as usize).is_none_or(is_above));
        }
        live
    }

    /// Whether an entry of this layer has put there what is at a node; a link may lead to a file of a lower one.
    fn is_own(&self, node: u32) -> bool {
        let Some(own) = self.node(node) else { return false };
        if !self.is_directory(node) {
            return matches!(own.name, Named::Entry { layer, .. } if layer == self.layer);
        }
        let inode = self.inodes.get(own.inode as usize);
        inode.is_some_and(|inode| inode.layer == self.layer && inode.record != NONE)
    }

    fn is_there(&self, node: u32) -> bool {
        self.node(node).is_some_and(|node| node.inode != NONE)
    }

    /// The file of the entry with that number in the layer that is being unpacked.
    pub(super) fn inode(&mut self, record: u32) -> Option<u32> {
        let number = u32::try_from(self.inodes.len()).ok()?;
        self.inodes.push(Inode { layer: self.layer, record, links: 0 });
        Some(number)
    }

    /// Gives a file a name that is free.
    pub(super) fn put(&mut self, parent: u32, name: &[u8], named: Named, inode: u32) -> Option<u32> {
        let born = self.node(parent)?.generation;
        let number = if let Some(known) = self.slot(parent, name) {
            known
        } else {
            let number = u32::try_from(self.nodes.len()).ok()?;
            let (next, first) = (NONE, NONE);
            self.nodes.push(Node {
                parent,
                name: named,
                inode: NONE,
                generation: 0,
                born,
                first,
                next,
                listed: false,
            });
            let (nodes, layers, implied) = (&self.nodes, &self.layers, &self.implied);
            self.table.insert_unique(hash(parent, name), number, |&node| {
                let node = nodes.get(node as usize);
                node.map_or(0, |node| hash(node.parent, node.name.of(layers, implied)))
            });
            number
        };
        let first = self.node(parent)?.first;
        let node = self.node_mut(number)?;
        // The same text, but of the entry that put it there last.
        node.name = named;
        node.inode = inode;
        node.born = born;
        // What was below it before is not.
        node.generation += 1;
        if !std::mem::replace(&mut node.listed, true) {
            node.next = first;
            self.node_mut(parent)?.first = number;
        }
        Some(number)
    }

    /// A directory that no entry tells of.
    fn imply(&mut self, parent: u32, name: &[u8]) -> Option<u32> {
        let number = u32::try_from(self.implied.len()).ok()?;
        self.implied.push(name.into());
        let inode = u32::try_from(self.inodes.len()).ok()?;
        self.inodes.push(Inode { layer: self.layer, record: NONE, links: 0 });
        self.put(parent, name, Named::Implied(number), inode)
    }

    /// Takes away a file with all that is below it.
    fn remove(&mut self, node: u32) {
        let matters = matches!(self.kind(node), Some(FileKind::Directory | FileKind::Symlink));
        if let Some(node) = self.node_mut(node) {
            node.inode = NONE;
            node.generation += 1;
        }
        // Ways may lead elsewhere now.
        self.epoch += u32::from(matters);
    }

    /// Forgets the children that are no more: a list is not to grow with what has been in it.
    fn tidy(&mut self, node: u32) {
        let mut at = self.node(node).map_or(NONE, |node| node.first);
        let mut kept = NONE;
        while let Some(next) = self.node(at).map(|node| node.next) {
            let live = self.is_live(at);
            if let Some(own) = self.node_mut(at) {
                own.listed = live;
                if live {
                    own.next = kept;
                    kept = at;
                }
            }
            at = next;
        }
        if let Some(node) = self.node_mut(node) {
            node.first = kept;
        }
    }

    /// Whiteouts hide what lower layers have: what this one has stays, and what leads to it.
    pub(super) fn remove_lower(&mut self, top: u32, removed: &mut Vec<Removed>) {
        // Children before their parents, without recursion: paths may be deep.
        let mut order = Vec::new();
        let mut todo = vec![top];
        while let Some(node) = todo.pop() {
            let is_first = self.is_directory(node) && self.emptied.insert(node);
            if is_first {
                todo.extend(self.children(node));
            }
            order.push((node, is_first));
        }
        let mut gone = Vec::new();
        let mut sums: HashMap<u32, u64> = HashMap::new();
        for &(node, is_first) in order.iter().rev() {
            if self.is_own(node) {
                continue;
            }
            if is_first {
                self.tidy(node);
            }
            if self.is_directory(node) && self.node(node).is_some_and(|node| node.first != NONE) {
                continue;
            }
            let bytes = plus(self.size(node), sums.remove(&node).unwrap_or(0));
            let above = sums.entry(self.parent(node)).or_default();
            *above = plus(*above, bytes);
            gone.push(Removed { node, inode: self.node(node).map_or(NONE, |node| node.inode), bytes });
            self.remove(node);
        }
        // A file may have been in the way.
        self.epoch += u32::from(!gone.is_empty());
        // Of what went only the uppermost are told: the others went with them.
        gone.retain(|one| one.node == top || self.is_there(self.parent(one.node)));
        removed.append(&mut gone);
    }

    /// The same, of all that is in a directory.
    pub(super) fn remove_lower_children(&mut self, directory: u32, removed: &mut Vec<Removed>) {
        if !self.emptied.insert(directory) {
            return;
        }
        for child in self.children(directory) {
            self.remove_lower(child, removed);
        }
        self.tidy(directory);
    }

    /// The file system. To be called at the end.
    pub(super) fn finish(mut self) -> Tree {
        self.table = HashTable::new();
        let mut tree = Tree::new(std::mem::take(&mut self.layers), std::mem::take(&mut self.implied));
        let mut todo = vec![(ROOT, 0)];
        let mut numbers: HashMap<u32, u32> = HashMap::new();
        while let Some((node, parent)) = todo.pop() {
            let Some(own) = self.node(node) else { continue };
            let (name, inode) = (own.name, own.inode);
            let Some(file) = self.inodes.get(inode as usize).copied() else { continue };
            let known = numbers.get(&inode).copied();
            let (number, inode_number) = tree.push(parent, name, known, file);
            if file.record != NONE {
                numbers.insert(inode, inode_number);
            }
            let mut children: Vec<u32> = Vec::new();
            let first = own.first;
            let mut at = first;
            while let Some(child) = self.node(at) {
                if child.inode != NONE && child.born == own.generation {
                    children.push(at);
                }
                at = child.next;
            }
            // The last is popped first.
            children.sort_by(|&a, &b| {
                let name =
                    |node: u32| self.node(node).map(|node| node.name.of(tree.layers(), tree.implied()));
                name(b).cmp(&name(a))
            });
            todo.extend(children.into_iter().map(|child| (child, number)));
        }
        tree.close();
        tree
    }
}

/// A way that makes directories.
struct Way<'a>(&'a mut Growing);

impl Way<'_> {
    fn follow(self, path: &[u8]) -> Option<u32> {
        let cell = std::cell::RefCell::new(self.0);
        let parent = |node: u32| cell.borrow().parent(node);
        follow(path, true, ROOT, parent, |directory, name| {
            let mut files = cell.borrow_mut();
            let node = match files.child(directory, name) {
                Some(node) => node,
                None => files.imply(directory, name)?,
            };
            let link = files.link(node);
            if link.is_none() && files.kind(node) != Some(FileKind::Directory) {
                return None;
            }
            Some(Step { node, link })
        })
    }
}

fn hash(parent: u32, name: &[u8]) -> u64 {
    #[allow(deprecated)] // the hasher of `HashMap`, which has keys of its own where there is no random
    let mut hasher = std::hash::SipHasher::new();
    hasher.write_u32(parent);
    hasher.write(name);
    hasher.finish()
}
