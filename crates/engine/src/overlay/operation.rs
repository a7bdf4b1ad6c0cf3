//! What a person does to a container's files.

use std::collections::{BTreeMap, HashMap};

use longshore_archive::{Code, Error, FileKind, Result, Tree, Written};
use serde::{Deserialize, Deserializer};

use super::{
    Overlay, Place, Seen, Stop, Way, file_of, is_transparent, join, not_a_directory, parent, refuse, told,
};
use crate::container::{Content, File, Kind, Node, check_path, is_target, path_text};

/// One thing that is done to a container's files. Paths are from the root, and are followed through links as a process of the
/// container would. As JSON, names are in camel case, and `do` says which it is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "do", rename_all = "camelCase")]
pub enum Operation {
    /// A regular file gets that content; a new one is made where there is none, in a directory that is there.
    #[serde(rename_all = "camelCase")]
    Write {
        /// Where; a link at its end is followed.
        #[serde(deserialize_with = "bytes")]
        path: Vec<u8>,
        /// What it holds: a blob of the store.
        content: Content,
        /// What the file has beside; else it stays as it is, and a new one has 0644, root and now.
        #[serde(default)]
        attributes: Attributes,
    },
    /// A directory is made.
    Mkdir {
        /// Where; there is nothing.
        #[serde(deserialize_with = "bytes")]
        path: Vec<u8>,
        /// `-p`: also those above it, and it may be there.
        #[serde(default)]
        parents: bool,
        /// What it has beside; else 0755, root and now.
        #[serde(default)]
        attributes: Attributes,
    },
    /// A symbolic link is made.
    Symlink {
        /// Where; there is nothing.
        #[serde(deserialize_with = "bytes")]
        path: Vec<u8>,
        /// Where it leads, as it is written.
        #[serde(deserialize_with = "bytes")]
        target: Vec<u8>,
    },
    /// A file goes, or a directory with all that is below it (`rm -r`).
    Remove {
        /// Which; a link at its end is itself meant. `.` and `..` are refused there.
        #[serde(deserialize_with = "bytes")]
        path: Vec<u8>,
    },
    /// A file or a directory goes elsewhere (`mv -T`): what is there is replaced, unless it is a directory that is not empty.
    Move {
        /// Which; a link at its end is itself meant.
        #[serde(deserialize_with = "bytes")]
        from: Vec<u8>,
        /// Where it is then.
        #[serde(deserialize_with = "bytes")]
        to: Vec<u8>,
    },
    /// A file gets other permissions, or another owner, or a time; a link is followed. With another owner a program loses its
    /// set-user-ID bit, unless the mode is given, too.
    Change {
        /// Which.
        #[serde(deserialize_with = "bytes")]
        path: Vec<u8>,
        /// What of it.
        attributes: Attributes,
    },
}

/// What a file has beside its content.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Attributes {
    /// The twelve bits of permissions.
    pub mode: Option<u32>,
    /// The owner's number.
    pub uid: Option<u64>,
    /// The group's.
    pub gid: Option<u64>,
    /// Seconds since 1970.
    pub mtime: Option<i64>,
}

impl Attributes {
    /// Fails with `invalid-argument` where no file can have them. `path` is for the error.
    fn check(self, path: &[u8]) -> Result<()> {
        if self.mode.is_some_and(|mode| mode > 0o7777) {
            return Err(refuse("Permissions have twelve bits, up to 7777", path));
        }
        // As many as the kernel knows.
        if [self.uid, self.gid].into_iter().flatten().any(|id| id > u32::MAX.into()) {
            return Err(refuse("An owner's number is at most 4294967295", path));
        }
        Ok(())
    }

    fn put(self, file: &mut File) {
        // As Linux has it, whoever does it.
        if (self.uid.is_some() || self.gid.is_some()) && !matches!(file.kind, Kind::Directory { .. }) {
            file.mode &= !0o4000;
            if file.mode & 0o010 != 0 {
                file.mode &= !0o2000;
            }
            file.xattrs.retain(|xattr| xattr.name != CAPABILITY);
        }
        file.mode = self.mode.unwrap_or(file.mode);
        file.uid = self.uid.unwrap_or(file.uid);
        file.gid = self.gid.unwrap_or(file.gid);
        file.mtime = self.mtime.unwrap_or(file.mtime);
    }
}

const DIRECTORY: Kind = Kind::Directory { opaque: false };
/// What a program may do that its user may not.
pub(super) const CAPABILITY: &str = "security.capability";

fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    String::deserialize(deserializer).map(String::into_bytes)
}

impl Overlay {
    pub(super) fn operate(&mut self, operation: &Operation, now: i64) -> Result<()> {
        match operation {
            Operation::Write { path, content, attributes } => self.write(path, content, *attributes, now),
            Operation::Mkdir { path, parents, attributes } => self.mkdir(path, *parents, *attributes, now),
            Operation::Symlink { path, target } => {
                if !is_target(target) {
                    return Err(refuse("A link cannot lead there", target));
                }
                let at = self.free(path)?;
                let link = self.born(&at, Kind::Symlink { target: target.clone() }, 0o777, now);
                self.place(&at, link);
                Ok(())
            }
            Operation::Remove { path } => {
                let at = self.find(path, false)?;
                not_the_root(&at)?;
                let last = path.rsplit(|&byte| byte == b'/').find(|name| !name.is_empty());
                if matches!(last, Some(b"." | b"..")) {
                    return Err(refuse("Refusing to remove '.' or '..' directory", &at));
                }
                self.remove(&at);
                Ok(())
            }
            Operation::Move { from, to } => self.rename(from, to),
            Operation::Change { path, attributes } => {
                attributes.check(path)?;
                let at = self.find(path, true)?;
                not_the_root(&at)?;
                self.change(&at, *attributes);
                Ok(())
            }
        }
    }

    /// Where something new goes, of which there is nothing yet.
    fn free(&self, path: &[u8]) -> Result<Vec<u8>> {
        let at = self.locate(path, false)?;
        if self.see(&at).is_some() {
            return Err(file_exists(path));
        }
        fit(&at)?;
        Ok(at)
    }

    /// A new file of root: in a directory with the set-group-ID bit, of that group, and a directory with the bit.
    fn born(&self, at: &[u8], kind: Kind, mode: u32, mtime: i64) -> File {
        let directory = self.see(parent(at)).and_then(|seen| match seen {
            Seen::Upper(file) => Some((file.mode, file.gid)),
            Seen::Base(number) => self.base.entry(number).map(|entry| (entry.mode, entry.gid)),
        });
        let group = directory.filter(|(mode, _)| mode & 0o2000 != 0).map(|(_, gid)| gid);
        let bit = if group.is_some() && matches!(kind, Kind::Directory { .. }) { 0o2000 } else { 0 };
        File { kind, mode: mode | bit, uid: 0, gid: group.unwrap_or(0), mtime, xattrs: Vec::new() }
    }

    fn write(&mut self, path: &[u8], content: &Content, attributes: Attributes, now: i64) -> Result<()> {
        content.check()?;
        attributes.check(path)?;
        let at = self.locate(path, true)?;
        let seen = self.see(&at);
        if seen.is_some_and(|seen| self.kind(seen) == FileKind::Directory) {
            return Err(is_a_directory(path));
        }
        fit(&at)?;
        let old = match seen {
            Some(Seen::Upper(file)) => Some(file.clone()),
            Some(Seen::Base(number)) => file_of(&self.base, number, || content.clone()),
            None => None,
        };
        let mut file = old.unwrap_or_else(|| self.born(&at, Kind::Regular(content.clone()), 0o644, now));
        file.kind = Kind::Regular(content.clone());
        file.xattrs.retain(|xattr| xattr.name != CAPABILITY);
        file.mtime = now;
        attributes.put(&mut file);
        self.place(&at, file);
        Ok(())
    }

    fn mkdir(&mut self, path: &[u8], parents: bool, attributes: Attributes, now: i64) -> Result<()> {
        attributes.check(path)?;
        if parents {
            let mut way = Way::new(Place::root(), path, path, true)?;
            self.make(&mut way, now)?;
            let at = way.at.path;
            if attributes != Attributes::default() {
                not_the_root(&at)?;
                self.change(&at, attributes);
            }
            return Ok(());
        }
        let at = self.free(path)?;
        let mut file = self.born(&at, DIRECTORY, 0o755, now);
        attributes.put(&mut file);
        self.place(&at, file);
        Ok(())
    }

    /// Goes to a directory; it is made where it is not there, and those above it, too.
    fn make(&mut self, way: &mut Way, now: i64) -> Result<()> {
        loop {
            match way.follow(self)? {
                Stop::Directory => return Ok(()),
                Stop::File(_) => return Err(not_a_directory(way.path)),
                // A link that leads nowhere is no directory, and no place for one.
                Stop::Missing(_) if way.in_link => return Err(file_exists(way.path)),
                Stop::Missing(at) => {
                    fit(&at)?;
                    let file = self.born(&at, DIRECTORY, 0o755, now);
                    self.place(&at, file);
                    way.at.enter(at, None);
                }
            }
        }
    }

    /// Gives a file other attributes, with its content where it has one. Nothing where it has them already.
    fn change(&mut self, at: &[u8], attributes: Attributes) {
        let wanting = self.wanting.len();
        let Some(before) = self.file(at) else { return };
        let mut file = before.clone();
        attributes.put(&mut file);
        if file == before {
            // What is the image's stays so.
            self.wanting.truncate(wanting);
            return;
        }
        self.set(at, Some(Node::There(file)));
    }

    fn rename(&mut self, from: &[u8], to: &[u8]) -> Result<()> {
        let (source, target) = (self.find(from, false)?, self.locate(to, false)?);
        not_the_root(&source)?;
        not_the_root(&target)?;
        fit(&target)?;
        if source == target {
            return Ok(());
        }
        if target.starts_with(&join(&source, b"")) {
            return Err(refuse("A directory cannot be moved into itself", to));
        }
        let is_directory = self.is_directory(&source);
        if self.see(&target).is_some() {
            match (is_directory, self.is_directory(&target)) {
                (true, false) => return Err(not_a_directory(to)),
                (false, true) => return Err(is_a_directory(to)),
                (true, true) if self.files(&target).len() > 1 => {
                    return Err(told(Code::FileExists, "Directory not empty", to));
                }
                _ => {}
            }
        }
        let files = self.files(&source);
        let moved: Vec<(Vec<u8>, File)> = files
            .into_iter()
            .filter_map(|path| {
                let rest = path.get(source.len()..).unwrap_or_default();
                Some(([&target, rest].concat(), self.file(&path)?))
            })
            .collect();
        self.remove(&source);
        self.remove(&target);
        for (path, file) in moved {
            fit(&path)?;
            self.place(&path, file);
        }
        Ok(())
    }

    /// The paths of a file that one sees and of all below it, each directory before what is in it.
    fn files(&self, top: &[u8]) -> Vec<Vec<u8>> {
        let mut paths: BTreeMap<Vec<u8>, bool> =
            self.below(top).map(|(path, node)| (path.clone(), *node != Node::Removed)).collect();
        if let Some(number) = self.through(top) {
            let mut at = number;
            while at < self.base.end(number) {
                let path = self.base.path(at);
                // What is hidden is so with all that is below it.
                let (seen, next) = match self.upper.get(&path) {
                    Some(node) if !is_transparent(node) => (*node != Node::Removed, self.base.end(at)),
                    _ => (true, at + 1),
                };
                paths.insert(path, seen);
                at = next;
            }
        }
        paths.into_iter().filter_map(|(path, seen)| seen.then_some(path)).collect()
    }

    /// The file at a path, with its content where it has one: if nobody knows that yet, it is wanted.
    fn file(&mut self, path: &[u8]) -> Option<File> {
        let number = match self.see(path)? {
            Seen::Upper(file) => return Some(file.clone()),
            Seen::Base(number) => number,
        };
        let known = self.copies.get(&number).cloned();
        let mut wanted = false;
        let file = file_of(&self.base, number, || {
            wanted = known.is_none();
            known.unwrap_or_default()
        });
        if wanted {
            self.wanting.push(number);
        }
        file
    }

    /// Takes away a file with all that is below it; nothing where nothing is.
    fn remove(&mut self, at: &[u8]) {
        let gone: Vec<Vec<u8>> = self.below(at).map(|(path, _)| path.clone()).collect();
        for path in gone {
            self.set(&path, None);
        }
        if self.through(at).is_some() {
            self.set(at, Some(Node::Removed));
        }
    }

    /// Puts a file at a path where nothing is, or no directory.
    fn place(&mut self, at: &[u8], mut file: File) {
        if let Kind::Directory { opaque } = &mut file.kind {
            *opaque = self.is_directory_in_base(at);
        }
        self.set(at, Some(Node::There(file)));
    }

    pub(super) fn unpack_all(
        &mut self,
        tar: &Tree,
        contents: &HashMap<usize, Content>,
        directory: &[u8],
    ) -> Result<()> {
        let top = self.find(directory, true)?;
        if !self.is_directory(&top) {
            return Err(not_a_directory(directory));
        }
        // The directory of the entry before, as it is written, and where that is: most are in the same, or below.
        let mut last = (Vec::new(), Place::root());
        for number in 1..tar.len() {
            let Some(Written { path, link, is_outside }) = tar.written(number) else { continue };
            if is_outside && !top.is_empty() {
                return Err(refuse("The tar leads out of the directory", &path));
            }
            // The directory itself stays as it is.
            if path.is_empty() {
                continue;
            }
            let path = join(&top, &path);
            let directory = parent(&path);
            let known = directory.strip_prefix(&last.0[..]).filter(|rest| matches!(rest, [] | [b'/', ..]));
            let (from, rest) = match known {
                Some(rest) => (last.1, rest),
                None => (Place::root(), directory),
            };
            let mut way = Way::new(from, rest, &path, true)?;
            self.make(&mut way, 0)?;
            let (at, seen, _) = self.step(&way.at, tar.name(number));
            let seen = seen.map(|seen| self.kind(seen));
            fit(&at)?;
            last = (directory.to_vec(), way.at);
            if (tar.kind(number), seen) == (FileKind::Directory, Some(FileKind::Directory)) {
                let opaque = matches!(
                    self.upper.get(&at),
                    Some(Node::There(File { kind: Kind::Directory { opaque: true }, .. }))
                );
                if let Some(file) = file_of(tar, number, Content::default) {
                    self.set(&at, Some(Node::There(File { kind: Kind::Directory { opaque }, ..file })));
                }
                continue;
            }
            if let Some(kind) = seen {
                self.remove(&at);
                // Ways may lead elsewhere now.
                if matches!(kind, FileKind::Directory | FileKind::Symlink) {
                    last = (Vec::new(), Place::root());
                }
            }
            let file = if tar.kind(number) == FileKind::HardLink {
                let target = self.find(&join(&top, link), false)?;
                if self.is_directory(&target) {
                    return Err(is_a_directory(&target));
                }
                self.file(&target)
            } else {
                file_of(tar, number, || {
                    contents.get(&number).cloned().unwrap_or_else(|| {
                        self.unpacking.push(number);
                        Content::default()
                    })
                })
            };
            let Some(file) = file else { continue };
            match &file.kind {
                Kind::Symlink { target } if !is_target(target) => {
                    return Err(refuse("A link cannot lead there", &at));
                }
                // Overlayfs has it for what is removed.
                Kind::CharacterDevice(0, 0) => return Err(refuse("A device cannot be 0:0", &at)),
                _ => self.place(&at, file),
            }
        }
        Ok(())
    }
}

fn is_a_directory(path: &[u8]) -> Error {
    told(Code::IsADirectory, "Is a directory", path)
}

fn file_exists(path: &[u8]) -> Error {
    told(Code::FileExists, "File exists", path)
}

fn not_the_root(at: &[u8]) -> Result<()> {
    if at.is_empty() { Err(refuse("The root stays as it is", at)) } else { Ok(()) }
}

/// Fails where a path is one that no layer could tell of: too long, or a whiteout's.
fn fit(at: &[u8]) -> Result<()> {
    let name = at.get(parent(at).len()..).unwrap_or_default();
    if name.strip_prefix(b"/").unwrap_or(name).starts_with(b".wh.") || check_path(&path_text(at)).is_err() {
        return Err(refuse("No file can be called so", at));
    }
    Ok(())
}
