//! Is there a registry? (Specification, "Determining support")

use longshore_archive::Result;

use super::{Flow, Operation};
use crate::authority::Scope;
use crate::error::{invalid, refused};
use crate::exchange::Outcome;
use crate::http::{Answer, Method, Request};
use crate::session::Session;

pub(crate) struct Ping;

impl Operation for Ping {
    fn about(&self) -> String {
        "its API".to_owned()
    }

    fn scope(&self) -> Scope {
        Scope::none()
    }

    fn request(&mut self, session: &Session) -> Result<Request> {
        Ok(Request::new(Method::Get, session.host.base().clone()))
    }

    fn answer(&mut self, _session: &mut Session, answer: &Answer) -> Result<Flow> {
        match answer.status {
            200..300 => Ok(Flow::Done(Outcome::Welcome)),
            404 => Err(invalid("There is no registry: nothing is at /v2/.")),
            _ => Err(refused(answer, &self.about())),
        }
    }
}
