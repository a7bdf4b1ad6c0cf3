//! The things that can be done at a registry, each as the requests that it takes. Who asks, redirects and failures that do
//! not last are the exchange's business.

mod delete;
mod download;
mod list;
mod manifest;
mod ping;
mod upload;

pub(crate) use delete::Delete;
pub(crate) use download::Download;
pub(crate) use list::{List, Referrers};
pub use manifest::Manifest;
pub(crate) use manifest::{ManifestGet, ManifestPut};
pub(crate) use ping::Ping;
pub use upload::BlobOutcome;
pub(crate) use upload::Upload;

use longshore_archive::{Error, Result};

use crate::authority::Scope;
use crate::error::invalid;
use crate::exchange::Outcome;
use crate::http::{Answer, Request};
use crate::session::Session;

/// What an answer means.
#[derive(Debug)]
pub(crate) enum Flow {
    /// It went well, and there is more to ask.
    Next,
    /// It did not go well, but may the next time.
    Again(Error),
    /// That was it.
    Done(Outcome),
}

/// Something that takes some requests.
pub(crate) trait Operation {
    /// What it is about, as in `The registry refuses …`.
    fn about(&self) -> String;

    /// What has to be allowed for the next request.
    fn scope(&self) -> Scope;

    /// The next request; the same again, where there was no answer to it.
    fn request(&mut self, session: &Session) -> Result<Request>;

    /// Takes an answer that is neither a redirect nor a failure that may not last.
    fn answer(&mut self, session: &mut Session, answer: &Answer) -> Result<Flow>;

    /// There was no answer, or not all of it: what the registry did is not known.
    fn interrupted(&mut self) {}

    /// Content begins: at which byte.
    fn began(&mut self, _head: &Answer) -> Result<u64> {
        Err(invalid("The registry sends content where none was asked for."))
    }

    /// Some content. Says whether it is more than ever came before.
    fn received(&mut self, _bytes: &[u8]) -> Result<bool> {
        Err(invalid("The registry sends content where none was asked for."))
    }
}
