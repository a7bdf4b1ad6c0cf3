//! What is known of one registry, shared by all that is being done there.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use crate::authority::Authority;
use crate::host::Host;

/// How much patience there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// How often one thing is tried again that failed for no lasting reason.
    pub retries: u32,
    /// Milliseconds before the first of these; each next waits twice as long.
    pub pause: u64,
    /// Milliseconds without a byte after which a request has failed.
    pub patience: u64,
    /// Blobs that are longer are sent in pieces of so many bytes; in one piece where there is no number.
    pub chunk: Option<u64>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { retries: 5, pause: 500, patience: 60_000, chunk: None }
    }
}

/// What is known of a registry.
#[derive(Debug)]
pub struct Session {
    pub(crate) host: Host,
    pub(crate) settings: Settings,
    pub(crate) authority: Authority,
    /// Whether it has ever answered.
    pub(crate) is_reached: bool,
    /// In which repositories a blob is known to be.
    blobs: HashMap<String, BTreeSet<String>>,
}

impl Session {
    /// A session with a registry of which nothing is known yet.
    pub fn new(host: Host, settings: Settings) -> Self {
        Self { host, settings, authority: Authority::default(), is_reached: false, blobs: HashMap::new() }
    }

    /// As exchanges take it.
    pub fn shared(self) -> Rc<RefCell<Self>> {
        Rc::new(RefCell::new(self))
    }

    /// The registry's address.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Notes that a repository has a blob.
    pub(crate) fn has_blob(&mut self, digest: &str, repository: &str) {
        self.blobs.entry(digest.to_owned()).or_default().insert(repository.to_owned());
    }

    /// Another repository that has the blob.
    pub(crate) fn elsewhere(&self, digest: &str, repository: &str) -> Option<String> {
        self.blobs.get(digest)?.iter().find(|known| *known != repository).cloned()
    }
}
