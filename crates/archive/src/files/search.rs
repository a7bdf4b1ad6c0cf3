//! Files found by their names and by what they hold.

use std::collections::HashSet;
use std::rc::Rc;

use memchr::memmem::Finder;
use regex_lite::Regex;
use serde::Serialize;

use super::layer::{FileEntry, FileKind};
use super::read::{Contents, Cursor};
use super::tree::Tree;
use crate::error::{Code, Error, Result};
use crate::recipe::Recipe;
use crate::source::{Source, sum};
use crate::unpack::Limits;

/// How much is read at a time.
const PIECE: usize = 256 << 10;
/// What a name costs of a step's bytes.
const NAME: u64 = 1024;
/// The longest pattern and the longest bytes that are looked for.
const MAX_PATTERN: usize = 4096;

/// What is looked for. A file has to have all of it; with nothing of it, every file has.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// A glob: `*` and `?` stand for anything in one name, `**` for any directories, `[a-z]` for one of these. Without a slash
    /// it is for the last component, else for the whole path.
    pub glob: Option<String>,
    /// A regular expression, for the path with a slash before it.
    pub regex: Option<String>,
    /// Bytes that a regular file holds; where there are none, each does.
    pub bytes: Option<Vec<u8>>,
}

/// A file that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Match {
    /// The file.
    pub file: FileEntry,
    /// Where in it the bytes stand first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
}

/// Reading a file to see what it holds.
struct Reading {
    number: u32,
    cursor: Cursor,
    /// The last bytes of what was read, in which what is looked for may begin.
    tail: Vec<u8>,
}

/// A search, done a bounded number of bytes at a time.
pub struct Search<S: Source + Clone> {
    tree: Rc<Tree>,
    contents: Contents<S>,
    glob: Option<(Regex, bool)>,
    regex: Option<Regex>,
    needle: Option<Finder<'static>>,
    /// Bytes are looked for, be it none: only regular files have any.
    only_files: bool,
    /// Which names are still to be looked at.
    at: usize,
    end: usize,
    /// Whose contents are to be looked at, in the order in which they stand in the layers, the last first.
    candidates: Vec<u32>,
    sorted: bool,
    reading: Option<Reading>,
    found: Vec<Match>,
    done: u64,
    total: u64,
}

impl<S: Source + Clone> Search<S> {
    /// Begins, in all that is below the directory of that number; else in the file that has it. `layers` are the bytes of the tree's layers as they are
    /// stored. A file with several names is found by the first that fits where contents are looked for.
    ///
    /// Fails with `invalid-argument` where a pattern makes no sense.
    pub fn new(
        tree: Rc<Tree>,
        number: usize,
        query: &Query,
        layers: Vec<Recipe<S>>,
        limits: Limits,
    ) -> Result<Self> {
        let long = |len: usize| len > MAX_PATTERN;
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let bytes = query.bytes.as_ref().filter(|bytes| !bytes.is_empty());
        if long(text(&query.glob)) || long(text(&query.regex)) || long(bytes.map_or(0, Vec::len)) {
            return Err(
                Error::new(Code::InvalidArgument, "The pattern is too long.").with("expected", MAX_PATTERN)
            );
        }
        let compile = |pattern: &str, shown: &str| {
            Regex::new(pattern).map_err(|error| {
                Error::new(Code::InvalidArgument, format!("The pattern makes no sense: {error}."))
                    .with("reference", shown)
            })
        };
        let glob = match &query.glob {
            Some(glob) => Some((compile(&regex_of(glob), glob)?, glob.contains('/'))),
            None => None,
        };
        let regex = query.regex.as_deref().map(|regex| compile(regex, regex)).transpose()?;
        Ok(Self {
            at: number + usize::from(tree.kind(number) == FileKind::Directory),
            end: tree.end(number),
            contents: Contents::new(layers, tree.layers().to_vec(), limits),
            tree,
            glob,
            regex,
            needle: bytes.map(|bytes| Finder::new(bytes).into_owned()),
            only_files: query.bytes.is_some(),
            candidates: Vec::new(),
            sorted: false,
            reading: None,
            found: Vec::new(),
            done: 0,
            total: 0,
        })
    }

    /// Goes on for about `bytes` bytes; `true` at the end. Fails as unpacking does.
    pub fn step(&mut self, bytes: u64) -> Result<bool> {
        let mut done = 0;
        while done < bytes {
            if self.at < self.end {
                self.name();
                done += NAME;
            } else if !self.sorted {
                self.sort();
            } else if let Some(read) = self.content()? {
                done += read.max(1);
                self.done += read;
            } else {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What was found since the last call.
    pub fn take(&mut self) -> Vec<Match> {
        std::mem::take(&mut self.found)
    }

    /// Bytes of contents looked through so far, and of all that have to be; 0 while that is not known.
    pub fn progress(&self) -> (u64, u64) {
        (self.done, self.total)
    }

    /// Looks at the next name.
    fn name(&mut self) {
        let number = self.at;
        self.at += 1;
        if self.glob.is_some() || self.regex.is_some() {
            let path = format!("/{}", String::from_utf8_lossy(&self.tree.path(number)));
            let name = path.rsplit('/').next().unwrap_or_default();
            let fits = self
                .glob
                .as_ref()
                .is_none_or(|(glob, whole)| glob.is_match(if *whole { &path } else { name }))
                && self.regex.as_ref().is_none_or(|regex| regex.is_match(&path));
            if !fits {
                return;
            }
        }
        if self.only_files && self.tree.kind(number) != FileKind::File {
            return;
        }
        if self.needle.is_some() {
            self.candidates.extend(u32::try_from(number));
        } else {
            self.found.extend(self.tree.entry(number).map(|file| Match { file, offset: None }));
        }
    }

    fn sort(&mut self) {
        self.sorted = true;
        let tree = &self.tree;
        let mut known = HashSet::new();
        let several = |number: usize| tree.inode(number).is_some_and(|inode| inode.links > 1);
        self.candidates.retain(|&number| {
            let number = number as usize;
            !several(number) || tree.identity(number).is_some_and(|inode| known.insert(inode))
        });
        self.total = sum(self.candidates.iter().map(|&number| tree.size(number as usize)));
        self.candidates.sort_by_key(|&number| {
            let place = tree.record(number as usize).map(|(layer, _, record)| (layer, record.block));
            std::cmp::Reverse(place)
        });
    }

    /// Looks at the next piece of a file; `None` at the end.
    fn content(&mut self) -> Result<Option<u64>> {
        let Some(needle) = &self.needle else { return Ok(None) };
        if self.reading.is_none() {
            let Some(number) = self.candidates.pop() else { return Ok(None) };
            let cursor = Cursor::new(&self.tree, number as usize);
            self.reading = cursor.map(|cursor| Reading { number, cursor, tail: Vec::new() });
        }
        let Some(reading) = &mut self.reading else { return Ok(Some(0)) };
        let Some(bytes) = self.contents.bytes(&mut reading.cursor, PIECE)? else {
            self.reading = None;
            return Ok(Some(0));
        };
        let before = reading.cursor.position() - (bytes.len() + reading.tail.len()) as u64;
        reading.tail.extend_from_slice(&bytes);
        if let Some(found) = needle.find(&reading.tail) {
            let file = self.tree.entry(reading.number as usize);
            self.found.extend(file.map(|file| Match { file, offset: Some(before + found as u64) }));
            // The rest of it is passed over.
            let rest = reading.cursor.size() - reading.cursor.position();
            self.reading = None;
            return Ok(Some(bytes.len() as u64 + rest));
        }
        let keep = needle.needle().len().saturating_sub(1).min(reading.tail.len());
        reading.tail.drain(..reading.tail.len() - keep);
        Ok(Some(bytes.len() as u64))
    }
}

/// The regular expression for a glob.
fn regex_of(glob: &str) -> String {
    let mut regex = String::from("(?s)^");
    let absolute = glob.contains('/') && !glob.starts_with('/') && !glob.starts_with("**");
    if absolute {
        regex.push('/');
    }
    let mut rest = glob.chars().peekable();
    let mut in_class = false;
    while let Some(char) = rest.next() {
        match char {
            ']' if in_class => {
                in_class = false;
                regex.push(']');
            }
            // One that is not closed makes no expression either.
            '[' if !in_class => {
                in_class = true;
                regex.push('[');
                if rest.next_if_eq(&'!').is_some() {
                    regex.push('^');
                }
                // As the first, it is one of them.
                if rest.next_if_eq(&']').is_some() {
                    regex.push_str("\\]");
                }
            }
            '*' if !in_class && rest.peek() == Some(&'*') => {
                rest.next();
                if rest.peek() == Some(&'/') {
                    rest.next();
                    regex.push_str("(?:.*/)?");
                } else {
                    regex.push_str(".*");
                }
            }
            '*' if !in_class => regex.push_str("[^/]*"),
            '?' if !in_class => regex.push_str("[^/]"),
            '-' if in_class => regex.push('-'),
            char if char.is_ascii_punctuation() => {
                regex.push('\\');
                regex.push(char);
            }
            char => regex.push(char),
        }
    }
    regex.push('$');
    regex
}

impl<S: Source + Clone> std::fmt::Debug for Search<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Search").field("found", &self.found.len()).finish_non_exhaustive()
    }
}
