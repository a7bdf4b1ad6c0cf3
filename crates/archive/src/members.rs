//! The members of an archive: its bytes, the index over them, and the metadata documents that were read.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::rc::Rc;

use crate::error::{Code, Error, Result};
use crate::recipe::Recipe;
use crate::source::{Source, read_vec};
use crate::tar::{Entry, NewContent, TarIndex};

/// The longest `manifest.json`, `index.json` or `repositories` that is read; containerd's own limit.
const MAX_LISTING: u64 = 20 << 20;
/// The longest config or image manifest that is read; the limit of skopeo and podman.
const MAX_DOCUMENT: u64 = 4 << 20;
/// What may be made of an archive's documents in all. Few bytes can refer to the same large document many times, and
/// many tiny elements become much larger in memory: a document counts with its length each time that it is referred
/// to, and whatever becomes a thing of the model with [`ITEM`].
const MAX_METADATA: u64 = 256 << 20;
/// What an image, a name, a layer or a step of a history counts: about what it takes in memory.
const ITEM: u64 = 256;

#[derive(Debug, Clone)]
pub(crate) struct Members<S> {
    pub(crate) data: Recipe<S>,
    pub(crate) index: TarIndex,
    /// Documents are small and read once: an edit needs them again, and must not cost the reads again.
    documents: RefCell<HashMap<usize, Rc<[u8]>>>,
    /// What counts for [`MAX_METADATA`] so far, while that is counted.
    spent: Cell<Option<u64>>,
}

impl<S: Source + Clone> Members<S> {
    pub(crate) fn new(data: Recipe<S>, index: TarIndex) -> Self {
        Self { data, index, documents: RefCell::default(), spent: Cell::new(None) }
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
        self.spend_on(entry)?;
        self.read(entry, MAX_LISTING)
    }

    /// The content of a config or image manifest.
    pub(crate) fn document(&self, entry: usize) -> Result<Rc<[u8]>> {
        self.spend_on(entry)?;
        self.read(entry, MAX_DOCUMENT)
    }

    /// The regular file at a path, through links.
    pub(crate) fn resolve(&self, path: &str) -> Option<usize> {
        let (found, walked) = self.index.walk(path);
        // Links can make the way to a short path long, and a path that is hashed costs more than one that is copied.
        self.spend(walked * 4).ok().and(found)
    }

    /// Does work on the documents, and counts what they come to. Fails with `limit-exceeded` where that is too much,
    /// whatever the work made of it.
    pub(crate) fn within_budget<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        self.spent.set(Some(0));
        let result = work();
        let counted = self.spend(0);
        self.spent.set(None);
        counted.and(result)
    }

    /// Counts what is about to be made of documents, where that is counted. Fails with `limit-exceeded`.
    pub(crate) fn spend(&self, bytes: u64) -> Result<()> {
        let Some(spent) = self.spent.get().map(|spent| spent.saturating_add(bytes)) else { return Ok(()) };
        self.spent.set(Some(spent));
        if spent <= MAX_METADATA {
            return Ok(());
        }
        Err(Error::new(Code::LimitExceeded, "The archive's documents describe more than is allowed.")
            .with("limit", "metadata")
            .with("expected", MAX_METADATA)
            .with("actual", spent))
    }

    /// Counts images, names, layers or steps.
    pub(crate) fn spend_items(&self, count: usize) -> Result<()> {
        self.spend(ITEM.saturating_mul(count as u64))
    }

    fn spend_on(&self, entry: usize) -> Result<()> {
        let size = self.entry(entry).map_or(0, |entry| entry.size);
        // One that is too long by itself has an error that says so.
        self.spend(ITEM + if size > MAX_LISTING { 0 } else { size })
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

    /// The archive with other content for some members, in every one that has the member's path.
    pub(crate) fn with<C: Into<NewContent<S>>>(&self, changed: Vec<(Place, C)>) -> Result<Self> {
        let mut replaced = Vec::new();
        let mut appended = Vec::new();
        for (place, content) in changed {
            let content = content.into();
            match place {
                Place::At(entry) => {
                    for index in self.index.same_path(entry) {
                        self.spend(content.fresh())?;
                        replaced.push((index, content.clone()));
                    }
                }
                Place::New(path) => appended.push((path, content)),
            }
        }
        let (data, index) = self.index.splice(&self.data, &replaced, &appended, &BTreeSet::new())?;
        let replaced: HashSet<usize> = replaced.into_iter().map(|(index, _)| index).collect();
        let mut documents = self.documents.borrow().clone();
        documents.retain(|kept, _| !replaced.contains(kept));
        Ok(Self { data, index, documents: RefCell::new(documents), spent: Cell::new(None) })
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
