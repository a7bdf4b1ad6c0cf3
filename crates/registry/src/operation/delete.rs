//! Removing a manifest or a tag. (Specification, "Content management")

use longshore_archive::Result;

use super::{Flow, Operation};
use crate::authority::Scope;
use crate::error::refused;
use crate::exchange::Outcome;
use crate::http::{Answer, Method, Request};
use crate::session::Session;

pub(crate) struct Delete {
    repository: String,
    reference: String,
}

impl Delete {
    pub(crate) fn new(repository: &str, reference: &str) -> Self {
        Self { repository: repository.to_owned(), reference: reference.to_owned() }
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
            Ok(Flow::Done(Outcome::Deleted))
        } else {
            Err(refused(answer, &self.about()))
        }
    }
}
