//! A container's files: those of its image, and over them what was changed.

mod diff;
mod layer;
mod operation;

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::rc::Rc;

use longshore_archive::{Code, Error, FileEntry, FileKind, Result, Tree};

use crate::container::{Content, Edit, File, Kind, MAX_PATH, Node, check_path, path_bytes, path_text};

pub use diff::Difference;
pub use layer::{LayerPart, LayerParts};
pub use operation::{Attributes, Operation};

/// What was changed, by path.
type UpperFiles = BTreeMap<Vec<u8>, Node>;

/// The most links that are followed on one way, as Linux does.
const MAX_LINKS: usize = 40;

/// A container's files: the tree of its image, and the changes over it, as overlayfs puts an upper directory over a lower one.
///
/// [`Self::apply`] does what a person wants and says what changes by that. A regular file that is changed in any way has its
/// content in the upper directory: where that is the image's, it has to be copied first ([`Applied::Wanting`]).
#[derive(Debug)]
pub struct Overlay {
    base: Rc<Tree>,
    /// By path from the root. What is in a directory stands there only if it is changed itself.
    upper: Rc<UpperFiles>,
    /// What is known of the contents of the image's files, by their numbers in the tree.
    copies: HashMap<usize, Content>,
    /// What stood at each path in `upper` before the operations that are being done.
    touched: BTreeMap<Vec<u8>, Option<Node>>,
    /// Files of the image whose contents these need, and of the tar that is being unpacked.
    wanting: Vec<usize>,
    unpacking: Vec<usize>,
}

/// What came of operations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied {
    /// They are done, and this is what changed.
    Edited(Edit),
    /// Nothing was done: the contents of these files have to be blobs of the store first; then it goes.
    Wanting {
        /// By their numbers in the tree: to be told by [`Overlay::copied`].
        image: Vec<usize>,
        /// By their numbers in the tar: to be told to [`Overlay::unpack`].
        tar: Vec<usize>,
    },
}

/// What one sees at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sight {
    /// A file of the image, by its number in the tree.
    Image(usize),
    /// What was changed.
    Changed(File),
}

/// Where a file is that one sees.
#[derive(Debug, Clone, Copy)]
enum Seen<'a> {
    Upper(&'a File),
    Base(usize),
}

impl Overlay {
    /// The files of a container over the tree of its image; `rows` are what [`Catalog::upper`](crate::Catalog::upper) gives.
    ///
    /// Fails with `damaged-catalog` where a change is in no directory.
    pub fn new(base: Rc<Tree>, rows: impl IntoIterator<Item = (String, Node)>) -> Result<Self> {
        let damaged = |path: &str| {
            let sentence = format!("A change of the container cannot be used: {path} is in no directory.");
            Error::new(Code::DamagedCatalog, sentence).with("entry", path)
        };
        let mut upper = UpperFiles::new();
        for (text, node) in rows {
            check_path(&text).map_err(|_| damaged(&text))?;
            upper.insert(path_bytes(&text).unwrap_or_default(), node);
        }
        let (copies, touched) = (HashMap::new(), BTreeMap::new());
        let (wanting, unpacking) = (Vec::new(), Vec::new());
        let overlay = Self { base, upper: Rc::new(upper), copies, touched, wanting, unpacking };
        if let Some(lost) = overlay.upper.keys().find(|path| !overlay.is_directory(parent(path))) {
            return Err(damaged(&path_text(lost)));
        }
        Ok(overlay)
    }

    /// The tree of the image.
    pub fn base(&self) -> &Rc<Tree> {
        &self.base
    }

    /// How many paths were changed.
    pub fn len(&self) -> usize {
        self.upper.len()
    }

    /// Whether nothing was.
    pub fn is_empty(&self) -> bool {
        self.upper.is_empty()
    }

    /// What is at a path, which is followed as a process of the container would; at its end, too, if `last` says so.
    ///
    /// Fails with `no-such-file`, `not-a-directory`, and `invalid-argument` where links lead nowhere.
    pub fn look(&self, path: &[u8], last: bool) -> Result<Sight> {
        let found = self.locate(path, last)?;
        match self.see(&found) {
            Some(Seen::Upper(file)) => Ok(Sight::Changed(file.clone())),
            Some(Seen::Base(number)) => Ok(Sight::Image(number)),
            None => Err(no_such_file(path)),
        }
    }

    /// Takes down that the content of the image's file of that number is a blob of the store.
    pub fn copied(&mut self, number: usize, content: Content) {
        self.copies.insert(number, content);
    }

    /// Does operations, one after the other; all or none. `now` is the time that files get which have none of their own, in
    /// seconds since 1970.
    ///
    /// Fails with `no-such-file`, `file-exists`, `not-a-directory`, `is-a-directory` and `invalid-argument`.
    pub fn apply(&mut self, operations: &[Operation], now: i64) -> Result<Applied> {
        let done = operations.iter().try_for_each(|operation| self.operate(operation, now));
        self.conclude(done)
    }

    /// Unpacks a tar ([`Tree::of_tar`]) into a directory, as `docker cp` does: one entry after the other, each as the container's
    /// files are then. A hard link is a file of its own. `contents` are those of its regular files, by their numbers there.
    ///
    /// Fails as [`Self::apply`] does.
    pub fn unpack(
        &mut self,
        tar: &Tree,
        contents: &HashMap<usize, Content>,
        directory: &[u8],
    ) -> Result<Applied> {
        let done = self.unpack_all(tar, contents, directory);
        self.conclude(done)
    }

    /// Ends what was begun: what changed, or all as it was before.
    fn conclude(&mut self, done: Result<()>) -> Result<Applied> {
        let touched = std::mem::take(&mut self.touched);
        let (mut image, tar) = (std::mem::take(&mut self.wanting), std::mem::take(&mut self.unpacking));
        if done.is_err() || !image.is_empty() || !tar.is_empty() {
            let upper = Rc::make_mut(&mut self.upper);
            for (path, node) in touched {
                match node {
                    Some(node) => upper.insert(path, node),
                    None => upper.remove(&path),
                };
            }
            // Several links may lead to one.
            image.sort_unstable();
            image.dedup();
            return done.map(|()| Applied::Wanting { image, tar });
        }
        let mut edit = Edit::default();
        for (path, before) in touched {
            match self.upper.get(&path) {
                // What is written as it was may be in place of what was lost.
                Some(node) if before.as_ref() != Some(node) || node.content().is_some() => {
                    edit.put.push((path_text(&path), node.clone()));
                }
                None if before.is_some() => edit.delete.push(path_text(&path)),
                _ => {}
            }
        }
        Ok(Applied::Edited(edit))
    }

    /// Puts a node at a path of the upper directory, or takes it away.
    fn set(&mut self, path: &[u8], node: Option<Node>) {
        let upper = Rc::make_mut(&mut self.upper);
        let before = match node {
            Some(node) => upper.insert(path.to_vec(), node),
            None => upper.remove(path),
        };
        self.touched.entry(path.to_vec()).or_insert(before);
    }

    /// The file of the image at a path, whether one sees it or not.
    fn in_base(&self, path: &[u8]) -> Option<usize> {
        in_base(&self.base, path)
    }

    fn is_directory_in_base(&self, path: &[u8]) -> bool {
        self.in_base(path).is_some_and(|number| self.base.kind(number) == FileKind::Directory)
    }

    /// The file of the image at a path, if nothing hides what is in the directories above it.
    fn through(&self, path: &[u8]) -> Option<usize> {
        let hides = |path: &[u8]| self.upper.get(path).is_some_and(|node| !is_transparent(node));
        if ancestors(path).any(hides) { None } else { self.in_base(path) }
    }

    /// What one sees at a path, of which no component is a link.
    fn see(&self, path: &[u8]) -> Option<Seen<'_>> {
        match self.upper.get(path) {
            Some(Node::Removed) => None,
            Some(Node::There(file)) => Some(Seen::Upper(file)),
            None => self.through(path).map(Seen::Base),
        }
    }

    fn kind(&self, seen: Seen<'_>) -> FileKind {
        match seen {
            Seen::Upper(file) => file.kind.of_file(),
            Seen::Base(number) => self.base.kind(number),
        }
    }

    fn is_directory(&self, path: &[u8]) -> bool {
        self.see(path).is_some_and(|seen| self.kind(seen) == FileKind::Directory)
    }

    /// What one sees under a name in a directory: its path, what it is, and which file of the image shows through there.
    fn step(&self, from: &Place, name: &[u8]) -> (Vec<u8>, Option<Seen<'_>>, Option<usize>) {
        let path = join(&from.path, name);
        let node = self.upper.get(&path);
        let directory = from.shown.last().copied().flatten().filter(|_| node.is_none_or(is_transparent));
        let shown = directory.and_then(|directory| self.base.child(directory, name));
        let seen = match node {
            Some(Node::Removed) => None,
            Some(Node::There(file)) => Some(Seen::Upper(file)),
            None => shown.map(Seen::Base),
        };
        (path, seen, shown)
    }

    /// Where a path leads as a process confined to the root sees it: a path without links, whose directory is there. What is at
    /// its end may be missing; it may be a link, unless `last` says that it is followed, too.
    fn locate(&self, path: &[u8], last: bool) -> Result<Vec<u8>> {
        let mut way = Way::new(Place::root(), path, path, last)?;
        match way.follow(self)? {
            Stop::Missing(_) if !way.todo.is_empty() => Err(no_such_file(path)),
            Stop::Missing(at) | Stop::File(at) => Ok(at),
            Stop::Directory => Ok(way.at.path),
        }
    }

    /// Where something is that has to be there.
    fn find(&self, path: &[u8], last: bool) -> Result<Vec<u8>> {
        let found = self.locate(path, last)?;
        if self.see(&found).is_some() { Ok(found) } else { Err(no_such_file(path)) }
    }

    /// Every node at and below a path of the upper directory.
    fn below(&self, path: &[u8]) -> impl Iterator<Item = (&Vec<u8>, &Node)> {
        let own = self.upper.get_key_value(path);
        own.into_iter().chain(self.inside(path))
    }

    /// Every node below a path of the upper directory.
    fn inside(&self, path: &[u8]) -> impl Iterator<Item = (&Vec<u8>, &Node)> {
        // The byte after the slash.
        let (from, to) = ([path, b"/"].concat(), [path, b"0"].concat());
        self.upper.range::<[u8], _>((Bound::Included(&from[..]), Bound::Excluded(&to[..])))
    }
}

/// A directory that one has come to.
#[derive(Debug, Clone)]
struct Place {
    /// From the root; no component is a link.
    path: Vec<u8>,
    /// Which files of the image show through at the root, and at each component.
    shown: Vec<Option<usize>>,
}

impl Place {
    fn root() -> Self {
        Self { path: Vec::new(), shown: vec![Some(0)] }
    }

    fn enter(&mut self, path: Vec<u8>, shown: Option<usize>) {
        self.path = path;
        self.shown.push(shown);
    }

    fn leave(&mut self) {
        self.path.truncate(parent(&self.path).len());
        self.shown.truncate((self.shown.len() - 1).max(1));
    }
}

/// A path that is being followed: each step goes on from the directory before, however deep that is.
struct Way<'a> {
    at: Place,
    /// The components that are left, the next one last.
    todo: Vec<Vec<u8>>,
    /// How many of these the path itself still has: the others are of links.
    own: usize,
    /// Whether the last step was a link's.
    in_link: bool,
    links: usize,
    /// Whether a link at the end is followed.
    last: bool,
    /// For errors.
    path: &'a [u8],
}

/// Where it goes no further.
enum Stop {
    /// At its end, in a directory: where it is then.
    Directory,
    /// At its end, where no directory is.
    File(Vec<u8>),
    /// Here nothing is.
    Missing(Vec<u8>),
}

impl<'a> Way<'a> {
    /// Begins to follow `rest` from a directory; `path` is what an error says. Fails where it is too long for any.
    fn new(at: Place, rest: &[u8], path: &'a [u8], last: bool) -> Result<Self> {
        if path.len() >= MAX_PATH {
            return Err(refuse("No file can be called so", path));
        }
        let todo: Vec<_> = components(rest).rev().map(<[u8]>::to_vec).collect();
        Ok(Self { at, own: todo.len(), todo, in_link: false, links: 0, last, path })
    }

    fn follow(&mut self, files: &Overlay) -> Result<Stop> {
        while let Some(name) = self.todo.pop() {
            self.in_link = self.todo.len() >= self.own;
            self.own = self.own.min(self.todo.len());
            if name == b".." {
                self.at.leave();
                continue;
            }
            let (path, seen, shown) = files.step(&self.at, &name);
            let Some(seen) = seen else { return Ok(Stop::Missing(path)) };
            match files.kind(seen) {
                FileKind::Symlink if self.last || !self.todo.is_empty() => {
                    self.links += 1;
                    if self.links > MAX_LINKS {
                        return Err(refuse("Too many levels of symbolic links", self.path));
                    }
                    let target = match seen {
                        Seen::Upper(File { kind: Kind::Symlink { target }, .. }) => target,
                        Seen::Upper(_) => &[][..],
                        Seen::Base(number) => files.base.link(number).unwrap_or_default(),
                    };
                    if target.first() == Some(&b'/') {
                        self.at = Place::root();
                    }
                    self.todo.extend(components(target).rev().map(<[u8]>::to_vec));
                }
                FileKind::Directory => self.at.enter(path, shown),
                _ if self.todo.is_empty() => return Ok(Stop::File(path)),
                _ => return Err(not_a_directory(self.path)),
            }
        }
        Ok(Stop::Directory)
    }
}

/// Whether what the image has in a directory shows through: where the directory itself is changed, say.
fn is_transparent(node: &Node) -> bool {
    matches!(node, Node::There(File { kind: Kind::Directory { opaque: false }, .. }))
}

/// A file of a tree, which is not a regular one unless its content is known.
fn file_of(tree: &Tree, number: usize, content: impl FnOnce() -> Content) -> Option<File> {
    let FileEntry { kind, mode, uid, gid, mtime, device, xattrs, .. } = tree.entry(number)?;
    let (major, minor) = device.unwrap_or_default();
    let kind = match kind {
        FileKind::File | FileKind::HardLink => Kind::Regular(content()),
        FileKind::Directory => Kind::Directory { opaque: false },
        FileKind::Symlink => Kind::Symlink { target: tree.link(number).unwrap_or_default().to_vec() },
        FileKind::CharacterDevice => Kind::CharacterDevice(major, minor),
        FileKind::BlockDevice => Kind::BlockDevice(major, minor),
        FileKind::Fifo => Kind::Fifo,
    };
    Some(File { kind, mode, uid, gid, mtime, xattrs })
}

/// The file of a tree at a path, of which no component is a link.
fn in_base(tree: &Tree, path: &[u8]) -> Option<usize> {
    components(path).try_fold(0, |directory, name| tree.child(directory, name))
}

/// The path's components, without `.` and empty ones.
fn components(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|&byte| byte == b'/').filter(|component| !matches!(*component, b"" | b"."))
}

/// The directory that a path is in.
fn parent(path: &[u8]) -> &[u8] {
    let slash = path.iter().rposition(|&byte| byte == b'/');
    path.get(..slash.unwrap_or(0)).unwrap_or_default()
}

/// The directories that a path is in, without the root, from below.
fn ancestors(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::successors(Some(parent(path)), |path| Some(parent(path))).take_while(|path| !path.is_empty())
}

fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    if directory.is_empty() { name.to_vec() } else { [directory, b"/", name].concat() }
}

fn told(code: Code, sentence: &str, path: &[u8]) -> Error {
    let path = String::from_utf8_lossy(path);
    let path = path.trim_start_matches('/');
    Error::new(code, format!("{sentence}: /{path}.")).with("entry", path)
}

fn no_such_file(path: &[u8]) -> Error {
    told(Code::NoSuchFile, "No such file or directory", path)
}

fn not_a_directory(path: &[u8]) -> Error {
    told(Code::NotADirectory, "Not a directory", path)
}

fn refuse(sentence: &str, path: &[u8]) -> Error {
    told(Code::InvalidArgument, sentence, path)
}
