//! The tar index: where every member of an archive stands, found by reading headers only.
//!
//! The `tar` crate reads the headers. The walk over them is done here because an edit has to know the first byte of
//! a member, extension headers included, and because every length is bounded before it is believed.

pub(crate) mod extensions;
pub(crate) mod header;
mod walk;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::rc::Rc;

use tar::{EntryType, Header};

use crate::compression::Compression;
use crate::error::{Code, Error, Result};
use crate::recipe::{Part, Recipe};
use crate::source::{Source, read_vec};

use header::bounded;
pub use walk::Indexer;

pub(crate) const BLOCK: u64 = 512;
/// The longest way to a member, all links on it included, as Linux has it for a path.
const MAX_PATH: usize = 4096;
/// The most links that are followed to reach a member, as Linux does.
const MAX_LINKS: usize = 40;

/// What a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A hard link to another member.
    HardLink,
    /// A file stored as a map of its non-zero parts.
    Sparse,
    /// A device, a pipe, a global pax header, or a type that this crate does not know.
    Other,
}

/// One member of a tar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its path as written; bytes that are not UTF-8 are replaced by U+FFFD.
    pub path: Rc<str>,
    /// What it is.
    pub kind: EntryKind,
    /// Where a symbolic or hard link points, as written.
    pub link: Option<Rc<str>>,
    /// First byte of the member: of its extension headers, where it has any.
    pub start: u64,
    /// First byte of its header.
    pub header: u64,
    /// First byte of its content.
    pub data: u64,
    /// Length of its content in bytes.
    pub size: u64,
    /// The first bytes of its content: enough to tell a compressed file. Zeros where it is shorter.
    pub magic: [u8; 6],
    /// Whether the path is UTF-8 as it stands.
    pub utf8: bool,
    /// The size that the header states, where a pax record overrules it.
    pub(crate) overruled: Option<u64>,
    /// Whether it is a file of the type for contiguous ones, which few readers take for a file.
    pub(crate) is_contiguous: bool,
}

impl Entry {
    /// How its content is compressed, by its first bytes.
    pub fn compression(&self) -> Option<Compression> {
        Compression::of(&self.magic)
    }

    /// First byte after the member and its padding.
    pub fn end(&self) -> u64 {
        self.data + self.size.next_multiple_of(BLOCK)
    }
}

/// Every member of a tar, in order.
#[derive(Debug, Clone)]
pub struct TarIndex {
    entries: Vec<Entry>,
    /// Shared with the indexes of edited archives: an edit rarely adds a member, and never renames one.
    by_path: Rc<HashMap<Rc<str>, usize>>,
    /// For a member whose path an earlier one has too, that one.
    earlier: Rc<HashMap<usize, usize>>,
    end: u64,
    end_blocks: bool,
}

impl TarIndex {
    /// Indexes a whole tar at once. [`Indexer`] does it in steps.
    pub fn read(source: &impl Source) -> Result<Self> {
        let mut indexer = Indexer::default();
        while !indexer.step(source, usize::MAX)? {}
        Ok(indexer.finish())
    }

    fn new(entries: Vec<Entry>, end: u64, end_blocks: bool) -> Self {
        let key = |entry: &Entry| {
            let normal = normal(&entry.path);
            if *entry.path == *normal { entry.path.clone() } else { normal.into() }
        };
        let mut by_path = HashMap::with_capacity(entries.len());
        let mut earlier = HashMap::new();
        for (index, entry) in entries.iter().enumerate() {
            if let Some(other) = by_path.insert(key(entry), index) {
                earlier.insert(index, other);
            }
        }
        Self { entries, by_path: Rc::new(by_path), earlier: Rc::new(earlier), end, end_blocks }
    }

    /// The members, in the tar's order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Where the end-of-archive blocks begin, or would.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Whether the tar is closed by at least one zero block.
    pub fn has_end_blocks(&self) -> bool {
        self.end_blocks
    }

    /// The member at `path`: the last one, where several have it, as Docker reads it. A leading `./` or `/` is
    /// nothing.
    pub fn find(&self, path: &str) -> Option<usize> {
        self.by_path.get(normal(path).as_str()).copied()
    }

    /// The regular file at `path`, reached through symbolic and hard links and linked directories as Docker
    /// reaches it after unpacking. `None` where there is none, where links loop, or where they leave the archive.
    pub fn resolve(&self, path: &str) -> Option<usize> {
        self.walk(path).0
    }

    /// As [`Self::resolve`], and how much had to be looked at.
    pub(crate) fn walk(&self, path: &str) -> (Option<usize>, u64) {
        let mut walked = 0;
        (self.follow(path, &mut walked), walked)
    }

    fn follow(&self, path: &str, walked: &mut u64) -> Option<usize> {
        let (mut links, mut len) = (0, path.len());
        if len > MAX_PATH {
            return None;
        }
        let mut done = String::new();
        let mut todo: Vec<&str> = components(path).rev().collect();
        while let Some(component) = todo.pop() {
            if component == ".." {
                if done.is_empty() {
                    return None;
                }
                done.truncate(parent(&done));
                continue;
            }
            let directory = done.len();
            if directory > 0 {
                done.push('/');
            }
            done.push_str(component);
            *walked += done.len() as u64;
            let entry = self.by_path.get(done.as_str()).and_then(|&index| self.entries.get(index));
            let Some((entry, link)) = entry.and_then(|entry| Some((entry, entry.link.as_deref()?))) else {
                continue;
            };
            links += 1;
            len += link.len();
            if links > MAX_LINKS || len > MAX_PATH {
                return None;
            }
            // A hard link names a member from the root; a symbolic link goes on from its own directory.
            let from_root = entry.kind == EntryKind::HardLink || link.starts_with('/');
            done.truncate(if from_root { 0 } else { directory });
            todo.extend(components(link).rev());
        }
        let index = *self.by_path.get(done.as_str())?;
        self.entries.get(index).is_some_and(|entry| entry.kind == EntryKind::File).then_some(index)
    }

    /// All members that have the path of that one, the last first.
    fn at_path_of(&self, entry: usize) -> impl Iterator<Item = usize> {
        let last = self.entries.get(entry).and_then(|entry| self.find(&entry.path));
        std::iter::successors(last, |index| self.earlier.get(index).copied())
    }

    /// All regular files that have the path of that member, in order.
    pub(crate) fn same_path(&self, entry: usize) -> Vec<usize> {
        let is_file = |&index: &usize| self.entries.get(index).is_some_and(|e| e.kind == EntryKind::File);
        let mut files: Vec<usize> = self.at_path_of(entry).filter(is_file).collect();
        files.reverse();
        files
    }

    /// As [`Self::same_path`], with what the first member leads to if that is a link: some readers take the first. One hop is
    /// followed, and no link on the way: there may be very many.
    pub(crate) fn occurrences(&self, entry: usize) -> Vec<usize> {
        let first = self.at_path_of(entry).last().and_then(|first| self.entries.get(first));
        let target = first.and_then(|first| {
            let link = first.link.as_deref()?;
            let is_from_root = first.kind == EntryKind::HardLink;
            self.find(&if is_from_root { link.to_owned() } else { beside(&first.path, link) })
        });
        let is_file = |&index: &usize| self.entries.get(index).is_some_and(|e| e.kind == EntryKind::File);
        target.filter(is_file).into_iter().chain(self.same_path(entry)).collect()
    }

    /// All regular files that have the path of one of those members.
    pub(crate) fn same_paths(&self, entries: impl IntoIterator<Item = usize>) -> BTreeSet<usize> {
        let last = |entry: usize| self.entries.get(entry).and_then(|entry| self.find(&entry.path));
        let lasts: HashSet<usize> = entries.into_iter().filter_map(last).collect();
        lasts.into_iter().flat_map(|last| self.same_path(last)).collect()
    }

    /// Members whose path a later member has too.
    pub(crate) fn duplicates(&self) -> impl Iterator<Item = &Entry> {
        let is_last = |index: usize, entry: &Entry| self.find(&entry.path) == Some(index);
        let entries = self.entries.iter().enumerate();
        entries
            .filter(move |(index, entry)| entry.kind != EntryKind::Directory && !is_last(*index, entry))
            .map(|(_, entry)| entry)
    }

    /// Replaces the content of some members, appends new ones and leaves some out; nothing else changes by a byte.
    ///
    /// Gives the recipe of the edited archive and its index. Appended members are regular
    /// files with mode 0644, or symbolic links, and have no times.
    pub(crate) fn splice<S: Source + Clone>(
        &self,
        data: &Recipe<S>,
        replaced: &[(usize, NewContent<S>)],
        appended: &[(String, NewContent<S>)],
        removed: &BTreeSet<usize>,
    ) -> Result<(Recipe<S>, Self)> {
        let mut recipe = Recipe::default();
        let mut entries = Vec::with_capacity(self.entries.len() + appended.len());
        let mut copied = 0;
        let replaced: HashMap<usize, &NewContent<S>> =
            replaced.iter().map(|(index, new)| (*index, new)).collect();
        for (index, old) in self.entries.iter().enumerate() {
            if removed.contains(&index) {
                recipe.push_slice(data, copied..old.start);
                copied = old.end();
                continue;
            }
            let delta = recipe.len();
            let place = |offset: u64| offset - copied + delta;
            let mut entry = Entry {
                start: place(old.start),
                header: place(old.header),
                data: place(old.data),
                ..old.clone()
            };
            if let Some(content) = replaced.get(&index) {
                let head = resized_head(data, old, content.len)?;
                recipe.push_slice(data, copied..old.start);
                entry.size = content.len;
                entry.magic = content.magic;
                entry.overruled = None;
                entry.data = entry.start + head.len() as u64;
                entry.header = entry.data - BLOCK;
                recipe.push_bytes(head);
                recipe.push_slice(&content.padded, 0..content.padded.len());
                copied = old.end();
            }
            entries.push(entry);
        }
        let mut end = self.end - copied + recipe.len();
        recipe.push_slice(data, copied..self.end);
        if !appended.is_empty() {
            // The file may end before its last member's padding does.
            let padding = bounded(end - recipe.len(), self.end)?;
            recipe.push_bytes(vec![0; padding]);
        }
        for (path, content) in appended {
            let start = recipe.len();
            let header = new_header(path, content.len, content.link.as_deref())?;
            recipe.push_bytes(&header.as_bytes()[..]);
            recipe.push_slice(&content.padded, 0..content.padded.len());
            entries.push(Entry {
                path: path.as_str().into(),
                kind: if content.link.is_some() { EntryKind::Symlink } else { EntryKind::File },
                link: content.link.clone(),
                start,
                header: start,
                data: start + BLOCK,
                size: content.len,
                magic: content.magic,
                utf8: true,
                overruled: None,
                is_contiguous: false,
            });
        }
        end = end.max(recipe.len());
        recipe.push_slice(data, self.end..data.len());
        let index = if appended.is_empty() && removed.is_empty() {
            let (by_path, earlier) = (self.by_path.clone(), self.earlier.clone());
            Self { entries, by_path, earlier, end, end_blocks: self.end_blocks }
        } else {
            Self::new(entries, end, self.end_blocks)
        };
        Ok((recipe, index))
    }
}

/// The path's components, without `.` and empty ones.
fn components(path: &str) -> impl DoubleEndedIterator<Item = &str> {
    path.split('/').filter(|component| !matches!(*component, "" | "."))
}

/// The shortest path that means the same, as Go's `path.Clean` has it.
pub(crate) fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => _ = parts.pop(),
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    let joined = parts.join("/");
    match (rooted, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}

/// Where a link at `path` leads, as Go's `path.Join` has it: even an absolute target stays below the link's directory.
pub(crate) fn beside(path: &str, link: &str) -> String {
    let directory = path.rsplit_once('/').map_or(".", |(directory, _)| directory);
    clean(&format!("{directory}/{link}"))
}

/// One spelling for all that name the same member.
pub(crate) fn normal(path: &str) -> String {
    components(path).collect::<Vec<_>>().join("/")
}

/// The length of the path of the directory that holds what is at `path`.
fn parent(path: &str) -> usize {
    path.rfind('/').unwrap_or(0)
}

/// New content of a member, filled up with zeros to whole blocks. Several members may share it.
#[derive(Debug, Clone)]
pub(crate) struct NewContent<S> {
    padded: Recipe<S>,
    len: u64,
    magic: [u8; 6],
    /// Where it leads, if it is a symbolic link.
    link: Option<Rc<str>>,
}

impl<S: Source + Clone> From<Vec<u8>> for NewContent<S> {
    fn from(mut bytes: Vec<u8>) -> Self {
        let len = bytes.len() as u64;
        let magic = bytes.first_chunk().copied().unwrap_or_default();
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        let mut padded = Recipe::default();
        padded.push_bytes(bytes);
        Self { padded, len, magic, link: None }
    }
}

impl<S: Source + Clone> NewContent<S> {
    /// Bytes that stand somewhere already. Fails as reading the first of them does.
    pub(crate) fn stored(mut data: Recipe<S>) -> Result<Self> {
        let len = data.len();
        let mut magic = [0; 6];
        if len >= magic.len() as u64 {
            data.read_at(0, &mut magic)?;
        }
        data.push_bytes(vec![0; bounded(len.next_multiple_of(BLOCK) - len, len)?]);
        Ok(Self { padded: data, len, magic, link: None })
    }

    /// A symbolic link, for a new member only.
    pub(crate) fn link(target: &str) -> Self {
        Self { padded: Recipe::default(), len: 0, magic: [0; 6], link: Some(target.into()) }
    }

    /// Bytes of it that stand in memory.
    pub(crate) fn fresh(&self) -> u64 {
        let fresh = |part: &Part<S>| matches!(part, Part::Bytes(_)).then(|| part.len());
        self.padded.parts().iter().filter_map(fresh).sum()
    }
}

fn set_text(field: &mut [u8], text: &str) -> Result<()> {
    field.fill(0);
    let Some(place) = field.get_mut(..text.len()) else {
        let sentence = format!("The name {text} is too long for the member of a tar.");
        return Err(Error::new(Code::LimitExceeded, sentence).with("entry", text));
    };
    place.copy_from_slice(text.as_bytes());
    Ok(())
}

fn new_header(path: &str, size: u64, link: Option<&str>) -> Result<Header> {
    let mut header = Header::new_ustar();
    set_text(&mut header.as_old_mut().name, path)?;
    set_text(&mut header.as_old_mut().linkname, link.unwrap_or_default())?;
    header.set_entry_type(if link.is_some() { EntryType::Symlink } else { EntryType::Regular });
    header.set_mode(if link.is_some() { 0o777 } else { 0o644 });
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header.set_cksum();
    Ok(header)
}

/// The headers of `entry`, extension headers included, for content of another size.
fn resized_head<S: Source + Clone>(data: &Recipe<S>, entry: &Entry, size: u64) -> Result<Vec<u8>> {
    // A pax size would overrule the header's: such a member, tiny as it is, goes without its extension headers.
    let start = if entry.overruled.is_some() { entry.header } else { entry.start };
    let mut head = read_vec(data, start, bounded(entry.data - start, start)?)?;
    let at = head.len().saturating_sub(512);
    if let Some(block) = head.get_mut(at..) {
        let mut header = Header::from_byte_slice(block).clone();
        if entry.overruled.is_some() {
            set_text(&mut header.as_old_mut().name, &normal(&entry.path))?;
        }
        header.set_size(size);
        header.set_cksum();
        block.copy_from_slice(header.as_bytes());
    }
    Ok(head)
}
