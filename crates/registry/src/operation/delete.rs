//! Removing a manifest or a tag. (Specification, "Content management")

use longshore_archive::{Code, Result};

use super::manifest::named;
use super::{Flow, Operation};
use crate::authority::Scope;
use crate::error::{failure, meaning};
use crate::exchange::Outcome;
use crate::http::{Answer, Method, Request};
use crate::session::Session;

pub(crate) struct Delete {
    repository: String,
    reference: String,
    /// Whether it was asked for before, and no answer came.
    is_again: bool,
}

impl Delete {
    pub(crate) fn new(repository: &str, reference: &str) -> Self {
        Self { repository: repository.to_owned(), reference: reference.to_owned(), is_again: false }
    }
}

impl Operation for Delete {
    fn about(&self) -> String {
        format!("removing {} of {}", self.reference, self.repository)
    }

    fn scope(&self) -> Scope {
        Scope::none().and(&self.repository, "delete,pull")
    }

    fn request(&mut self, session: &Session) -> Result<Request> {
        Ok(Request::new(Method::Delete, session.host.url(&[&self.repository, "manifests", &self.reference])))
    }

    fn answer(&mut self, _session: &mut Session, answer: &Answer) -> Result<Flow> {
        if answer.is_success() {
            return Ok(Flow::Done(Outcome::Deleted));
        }
        Err(match meaning(answer) {
            Code::NotFound if self.is_again => return Ok(Flow::Done(Outcome::Deleted)),
            Code::NotFound => failure(answer, Code::NotFound, &named(&self.repository, &self.reference)),
            // Nothing was sent whose digest could be wrong: some registries say so of a tag.
            Code::DigestMismatch => failure(answer, Code::RegistryRefused, &self.about()),
            kind => failure(answer, kind, &self.about()),
        })
    }
    fn interrupted(&mut self) {
        self.is_again = true;
    }
}
