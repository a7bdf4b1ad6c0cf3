//! What in a layer makes readers refuse it, noted as its bytes go by: by its headers alone, and in bounded memory.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher};

use tar::{EntryType, Header};

use super::indexing::{leads_out, normal, split};
use super::paths::components;
use crate::compression::Compression;
use crate::tar::extensions::{Described, Extensions};
use crate::tar::header::{MAX_EXTENSION, checksum_holds, stated_size};
use crate::tar::{BLOCK, EntryKind};

/// A header, whole.
const HEADER: usize = 512;
/// The most paths that are remembered, directories that no entry makes included. Beyond it nothing is noted.
const MAX_PATHS: usize = 1 << 19;
/// The longest name and the longest path of Linux.
pub(crate) const MAX_NAME: usize = 255;
pub(crate) const MAX_PATH: usize = 4095;
/// How much of an odd entry's path is kept.
const MAX_SHOWN: usize = 256;

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// What makes readers refuse a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Oddity {
    /// An entry's path leaves the image.
    Above,
    /// An earlier entry has the path.
    Twice,
    /// The layer is no tar, or ends early.
    NoTar,
    /// What was unpacked is compressed once more.
    Packed,
    /// An entry is of a type that nobody unpacks: the label of `tar --label`, for one.
    Type,
    /// A name, a path or a link is too long for Linux.
    TooLong,
    /// An entry stands below one that is no directory.
    BelowFile,
    /// A hard link leads to no file that the layer has at that point. Engines unpack each layer by itself.
    DeadLink,
    /// A whiteout without a name, or of what the layer has itself.
    Whiteout,
}

impl Oddity {
    /// Every one.
    pub const ALL: [Self; 9] = [
        Self::Above,
        Self::Twice,
        Self::NoTar,
        Self::Packed,
        Self::Type,
        Self::TooLong,
        Self::BelowFile,
        Self::DeadLink,
        Self::Whiteout,
    ];

    /// Its name, for whoever has to write it down.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Above => "above",
            Self::Twice => "twice",
            Self::NoTar => "no-tar",
            Self::Packed => "packed",
            Self::Type => "type",
            Self::TooLong => "too-long",
            Self::BelowFile => "below-file",
            Self::DeadLink => "dead-link",
            Self::Whiteout => "whiteout",
        }
    }

    /// The one of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }
}

/// Something odd in a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Odd {
    /// What it is.
    pub what: Oddity,
    /// The beginning of the entry's path; empty where no entry is meant.
    pub path: String,
}

/// What stands at a path of the layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Stands {
    #[default]
    Nothing,
    Directory,
    Symlink,
    /// Anything else, what hides a file of lower layers included.
    File,
}

#[derive(Debug, Clone, Copy, Default)]
struct Known {
    stands: Stands,
    /// Whether an entry has the path, without and with a slash before it: these are two paths to Docker and podman.
    listed: [bool; 2],
}

/// What the bytes that are gathered will be.
#[derive(Debug, Clone, Copy)]
enum Awaited {
    Header,
    /// The payload of an extension header.
    Extension(EntryType),
    /// The block after one of zeros.
    End,
}

/// A layer whose uncompressed bytes go by.
#[derive(Debug)]
pub struct Looking {
    awaited: Awaited,
    /// How many bytes it takes, and what of them came already.
    wanted: usize,
    gathered: Vec<u8>,
    /// What comes before them, and how much of that is padding.
    skip: u64,
    padding: u64,
    began: bool,
    extensions: Extensions,
    /// By the hashes of their paths.
    known: HashMap<u64, Known>,
    /// Whether a path goes through a symbolic link, so that it is not known what stands where.
    is_linked: bool,
    odd: Vec<Odd>,
}

impl Default for Looking {
    fn default() -> Self {
        let root = Known { stands: Stands::Directory, ..Known::default() };
        Self {
            awaited: Awaited::Header,
            wanted: HEADER,
            gathered: Vec::new(),
            skip: 0,
            padding: 0,
            began: false,
            extensions: Extensions::default(),
            known: HashMap::from([(DefaultHasher::new().finish(), root)]),
            is_linked: false,
            odd: Vec::new(),
        }
    }
}

impl Looking {
    /// Passes over those of the next `len` bytes on which nothing depends; gives their number.
    pub fn pass(&mut self, len: usize) -> usize {
        let passed = usize::try_from(self.skip).unwrap_or(usize::MAX).min(len);
        self.skip -= passed as u64;
        passed
    }

    /// How many bytes are wanted then.
    pub fn wanted(&self) -> usize {
        self.wanted - self.gathered.len()
    }

    /// Looks at the next bytes.
    pub fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let passed = self.pass(bytes.len());
            bytes = bytes.get(passed..).unwrap_or_default();
            let (own, rest) = bytes.split_at(self.wanted().min(bytes.len()));
            self.gathered.extend_from_slice(own);
            bytes = rest;
            while self.skip == 0 && self.wanted() == 0 {
                self.go_on();
            }
        }
    }

    /// What was odd. To be called at the end.
    pub fn finish(mut self) -> Vec<Odd> {
        let is_whole = match self.awaited {
            // As Go's reader has it, the last padding may be missing.
            Awaited::Header => self.skip <= self.padding && self.gathered.is_empty(),
            Awaited::Extension(_) => false,
            Awaited::End => self.gathered.is_empty(),
        };
        if !is_whole && !self.is_done() {
            self.no_tar();
        }
        self.odd
    }

    /// Nothing more is looked at.
    fn done(&mut self) {
        self.skip = u64::MAX;
        self.padding = u64::MAX;
        self.known = HashMap::new();
    }

    /// No layer is so long that it gets past that.
    fn is_done(&self) -> bool {
        self.padding == u64::MAX
    }

    fn no_tar(&mut self) {
        let is_packed = !self.began && Compression::of(&self.gathered).is_some();
        self.refused(if is_packed { Oddity::Packed } else { Oddity::NoTar }, b"");
    }

    /// Notes what all who unpack layers refuse: what follows makes no difference.
    fn refused(&mut self, what: Oddity, path: &[u8]) {
        self.note(what, path);
        self.done();
    }

    fn note(&mut self, what: Oddity, path: &[u8]) {
        if self.odd.iter().all(|odd| odd.what != what) {
            let shown = path.get(..MAX_SHOWN).unwrap_or(path);
            self.odd.push(Odd { what, path: String::from_utf8_lossy(shown).into_owned() });
        }
    }

    /// Reads what was gathered.
    fn go_on(&mut self) {
        let bytes = std::mem::take(&mut self.gathered);
        let awaited = std::mem::replace(&mut self.awaited, Awaited::Header);
        self.wanted = HEADER;
        let is_zero = bytes.iter().all(|&byte| byte == 0);
        match awaited {
            Awaited::Header if is_zero => self.awaited = Awaited::End,
            Awaited::Header => {
                let header = Header::from_byte_slice(&bytes);
                match stated_size(header, 0) {
                    Ok(size) if checksum_holds(header) => self.header(header, size),
                    _ => {
                        self.gathered = bytes;
                        self.no_tar();
                    }
                }
            }
            Awaited::Extension(kind) => {
                self.pad(bytes.len() as u64, 0);
                if self.extensions.read(kind, &bytes, 0).is_err() {
                    self.no_tar();
                }
            }
            Awaited::End if is_zero => self.done(),
            Awaited::End => self.no_tar(),
        }
    }

    /// `size` bytes, the first of which were gathered or are to be passed over, are filled up to whole blocks.
    fn pad(&mut self, size: u64, skip: u64) {
        self.padding = size.next_multiple_of(BLOCK) - size;
        self.skip = skip + self.padding;
    }

    fn header(&mut self, header: &Header, stated: u64) {
        self.began = true;
        let kind = header.entry_type();
        if matches!(kind, EntryType::XHeader | EntryType::GNULongName | EntryType::GNULongLink) {
            match usize::try_from(stated) {
                Ok(size) if stated <= MAX_EXTENSION => {
                    self.awaited = Awaited::Extension(kind);
                    self.wanted = size;
                }
                _ => self.done(),
            }
            return;
        }
        let entry = std::mem::take(&mut self.extensions).describe(header, stated);
        self.pad(entry.size, entry.size);
        if let Some(what) = self.look(&entry, kind) {
            self.refused(what, &entry.path);
        } else if self.known.len() > MAX_PATHS {
            self.done();
        }
    }

    /// Looks at an entry; gives what all refuse of it.
    fn look(&mut self, entry: &Described, kind: EntryType) -> Option<Oddity> {
        let path = normal(&entry.path);
        let key = key(&path);
        if leads_out(&entry.path) {
            self.note(Oddity::Above, &entry.path);
        } else if self.list(key, entry.path.starts_with(b"/")) {
            self.note(Oddity::Twice, &entry.path);
        }
        // The directory itself is there, and a global pax header is passed over.
        if path.is_empty() || kind == EntryType::XGlobalHeader {
            return None;
        }
        if !is_unpacked(entry.kind, kind) {
            return Some(Oddity::Type);
        }
        let (directory, name) = split(&path);
        let hidden = name.strip_prefix(WHITEOUT);
        let link = entry.link.as_deref().unwrap_or_default();
        let mut names = components(directory).chain([hidden.unwrap_or(name)]);
        if names.any(|name| name.len() > MAX_NAME) || path.len().max(link.len()) > MAX_PATH {
            return Some(Oddity::TooLong);
        }
        if !self.make_directory(directory) {
            return Some(Oddity::BelowFile);
        }
        let stands = match (hidden, entry.kind) {
            (Some(_), _) if name == OPAQUE => return None,
            (Some(hidden), _) => return self.hide(directory, hidden),
            (None, EntryKind::Directory) => Stands::Directory,
            (None, EntryKind::Symlink) => Stands::Symlink,
            (None, EntryKind::HardLink) => match self.linked(&normal(link)) {
                Some(stands) => stands,
                None => return Some(Oddity::DeadLink),
            },
            (None, _) => Stands::File,
        };
        self.known.entry(key).or_default().stands = stands;
        None
    }

    /// Puts what hides lower layers' files in their place.
    fn hide(&mut self, directory: &[u8], name: &[u8]) -> Option<Oddity> {
        let target = normal(&[directory, b"/", name].concat());
        let known = self.known.entry(key(&target)).or_default();
        let is_there = known.stands != Stands::Nothing || matches!(name, b"" | b"." | b"..");
        known.stands = Stands::File;
        is_there.then_some(Oddity::Whiteout)
    }

    /// Notes that an entry has the path; `true` where one had it before.
    fn list(&mut self, key: u64, is_rooted: bool) -> bool {
        let [plain, rooted] = &mut self.known.entry(key).or_default().listed;
        std::mem::replace(if is_rooted { rooted } else { plain }, true)
    }

    fn stands(&self, path: &[u8]) -> Stands {
        self.known.get(&key(path)).map(|known| known.stands).unwrap_or_default()
    }

    /// Makes the directories of a path that are not there; `false` where one of them is something else.
    fn make_directory(&mut self, mut path: &[u8]) -> bool {
        loop {
            let known = self.known.entry(key(path)).or_default();
            match known.stands {
                Stands::Nothing => known.stands = Stands::Directory,
                Stands::Directory => return true,
                Stands::Symlink => {
                    self.is_linked = true;
                    return true;
                }
                Stands::File => return false,
            }
            path = split(path).0;
        }
    }

    /// What a hard link to that path is; `None` where there is certainly no file.
    fn linked(&mut self, path: &[u8]) -> Option<Stands> {
        match self.stands(path) {
            Stands::Directory => None,
            Stands::Nothing => {
                let mut above =
                    std::iter::successors(Some(path), |&path| (!path.is_empty()).then(|| split(path).0));
                self.is_linked = self.is_linked || above.any(|path| self.stands(path) == Stands::Symlink);
                self.is_linked.then_some(Stands::File)
            }
            stands => Some(stands),
        }
    }
}

/// Whether engines unpack entries of that type.
fn is_unpacked(kind: EntryKind, written: EntryType) -> bool {
    match written {
        EntryType::Char | EntryType::Block | EntryType::Fifo => true,
        EntryType::GNUSparse | EntryType::Continuous => false,
        _ => kind != EntryKind::Other,
    }
}

fn key(path: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(path);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::{FileKind, TarMember};

    fn member(path: &str) -> Vec<u8> {
        TarMember { kind: FileKind::File, path: path.into(), ..TarMember::default() }.header()
    }

    fn looked(layer: &[u8], piece: usize) -> Vec<Oddity> {
        let mut looking = Looking::default();
        layer.chunks(piece).for_each(|piece| looking.push(piece));
        looking.finish().iter().map(|odd| odd.what).collect()
    }

    #[test]
    fn pieces_of_any_length() {
        let long = "n".repeat(200);
        let layer = [member("../a"), member(&long), member(&long), member("b"), member("b/c")].concat();
        for piece in [1, 7, 512, 700, layer.len()] {
            assert_eq!(looked(&layer, piece), [Oddity::Above, Oddity::Twice, Oddity::BelowFile], "{piece}");
        }
        assert_eq!(looked(&layer[..layer.len() - 1], 512), [Oddity::Above, Oddity::Twice, Oddity::NoTar]);
        assert_eq!(looked(b"", 1), []);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let deep = |number: usize| member(&format!("{number}/{}", ["d"; 500].join("/")));
        let twice = || [member("a"), member("a")].concat();
        let mut layer: Vec<u8> = (0..MAX_PATHS / 501 - 1).flat_map(deep).collect();
        assert_eq!(looked(&[&layer[..], &twice()].concat(), 1 << 20), [Oddity::Twice]);
        layer.extend([MAX_PATHS, MAX_PATHS + 1].into_iter().flat_map(deep));
        assert_eq!(looked(&[&layer[..], &twice()].concat(), 1 << 20), []);
    }

    #[test]
    fn every_oddity_has_a_name() {
        assert!(Oddity::ALL.into_iter().all(|odd| Oddity::named(odd.name()) == Some(odd)));
    }
}
