//! The members of an archive: its bytes, the index over them, and the metadata documents that were read.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use crate::error::{Code, Error, Result};
use crate::recipe::Recipe;
use crate::source::{Source, read_vec};
use crate::tar::{Entry, TarIndex};

/// The longest `manifest.json`, `index.json` or `repositories` that is read; containerd's own limit.
const MAX_LISTING: u64 = 20 << 20;
/// The longest config or image manifest that is read; the limit of skopeo and podman.
const MAX_DOCUMENT: u64 = 4 << 20;

#[derive(Debug, Clone)]
pub(crate) struct Members<S> {
    pub(crate) data: Recipe<S>,
    pub(crate) index: TarIndex,
    /// Documents are small and read once: an edit needs them again, and must not cost the reads again.
    documents: RefCell<HashMap<usize, Rc<[u8]>>>,
}

impl<S: Source + Clone> Members<S> {
    pub(crate) fn new(data: Recipe<S>, index: TarIndex) -> Self {
        Self { data, index, documents: RefCell::default() }
    }

    /// The member with that number.
    pub(crate) fn entry(&self, index: usize) -> Option<&Entry> {
        self.index.entries().get(index)
    }

    /// A member that lists images or names.
    pub(crate) fn listing(&self, path: &str) -> Option<Result<Listing>> {
        let entry = self.index.resolve(path)?;
        Some(self.read_listing(entry).map(|bytes| Listing { entry, bytes }))
    }

    /// The content of a member that lists images or names.
    pub(crate) fn read_listing(&self, entry: usize) -> Result<Rc<[u8]>> {
        self.read(entry, MAX_LISTING)
    }

    /// The content of a config or image manifest.
    pub(crate) fn document(&self, entry: usize) -> Result<Rc<[u8]>> {
        self.read(entry, MAX_DOCUMENT)
    }

    fn read(&self, index: usize, limit: u64) -> Result<Rc<[u8]>> {
        if let Some(bytes) = self.documents.borrow().get(&index) {
            return Ok(bytes.clone());
        }
        let Some(entry) = self.entry(index) else {
            return Err(Error::new(Code::MissingEntry, "The archive has no such member."));
        };
        let len = usize::try_from(entry.size).ok().filter(|_| entry.size <= limit).ok_or_else(|| {
            Error::new(Code::LimitExceeded, format!("{} is too long for what it is.", entry.path))
                .with("entry", &*entry.path)
                .with("expected", limit)
                .with("actual", entry.size)
        })?;
        let bytes: Rc<[u8]> = read_vec(&self.data, entry.data, len)?.into();
        self.documents.borrow_mut().insert(index, bytes.clone());
        Ok(bytes)
    }

    /// The archive with other content for some listings, in every member that has the listing's path.
    pub(crate) fn with(&self, changed: Vec<(Place, Vec<u8>)>) -> Result<Self> {
        let mut replaced = Vec::new();
        let mut appended = Vec::new();
        for (place, bytes) in changed {
            match place {
                Place::At(entry) => {
                    let same = self.index.same_path(entry);
                    replaced.extend(same.into_iter().map(|index| (index, bytes.clone())));
                }
                Place::New(path) => appended.push((path, bytes)),
            }
        }
        let (data, index) = self.index.splice(&self.data, &replaced, &appended, &BTreeSet::new())?;
        let mut documents = self.documents.borrow().clone();
        documents.retain(|kept, _| replaced.iter().all(|(index, _)| index != kept));
        Ok(Self { data, index, documents: RefCell::new(documents) })
    }
}

impl<S: Source + Clone> Members<S> {
    /// The archive without some members.
    pub(crate) fn without(&self, removed: &BTreeSet<usize>) -> Result<Self> {
        let (data, index) = self.index.splice(&self.data, &[], &[], removed)?;
        Ok(Self::new(data, index))
    }
}

/// A listing that was read.
pub(crate) struct Listing {
    pub(crate) entry: usize,
    pub(crate) bytes: Rc<[u8]>,
}

/// Where changed content goes.
pub(crate) enum Place {
    /// Into the member with that number.
    At(usize),
    /// Into a new member at that path.
    New(String),
}
