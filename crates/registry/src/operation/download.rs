//! Getting a blob, from where it was cut off if it was. (Specification, "Pulling blobs")

use longshore_archive::{Algorithm, Code, Error, Hasher, Result};

use super::{Flow, Operation};
use crate::authority::Scope;
use crate::error::{invalid, mismatch, refused};
use crate::exchange::Outcome;
use crate::headers::part_begins;
use crate::http::{Answer, Method, Request, Take};
use crate::session::Session;

pub(crate) struct Download {
    repository: String,
    digest: String,
    size: u64,
    algorithm: Algorithm,
    hasher: Hasher,
    /// How many bytes have come, and are hashed.
    done: u64,
    /// The most that ever were.
    best: u64,
    /// Whether bytes that came were others than the digest says. That may be the line's fault: once.
    was_wrong: bool,
}

impl Download {
    pub(crate) fn new(repository: &str, digest: &str, size: u64) -> Result<Self> {
        let algorithm = Algorithm::of(digest).ok_or_else(|| {
            Error::new(Code::InvalidAnswer, format!("{digest} is no digest that can be checked."))
                .with("digest", digest)
        })?;
        let [repository, digest] = [repository, digest].map(str::to_owned);
        Ok(Self {
            repository,
            digest,
            size,
            algorithm,
            hasher: algorithm.hasher(),
            done: 0,
            best: 0,
            was_wrong: false,
        })
    }

    fn restart(&mut self) {
        self.hasher = self.algorithm.hasher();
        self.done = 0;
    }
}

impl Operation for Download {
    fn about(&self) -> String {
        format!("the blob {}", self.digest)
    }

    fn scope(&self) -> Scope {
        Scope::none().and(&self.repository, "pull")
    }

    fn request(&mut self, session: &Session) -> Result<Request> {
        let url = session.host.url(&[&self.repository, "blobs", &self.digest]);
        // What is sent as it is must come as it is: digests are of that.
        let request = Request::new(Method::Get, url).take(Take::Content);
        Ok(if self.done > 0 { request.header("range", format!("bytes={}-", self.done)) } else { request })
    }

    fn began(&mut self, head: &Answer) -> Result<u64> {
        if head.status == 206 && self.done > 0 {
            // Where it does not say, it is what was asked for.
            let begins = head.header("content-range").and_then(part_begins).unwrap_or(self.done);
            if begins != self.done {
                return Err(invalid(format!(
                    "The registry sends another part of {} than was asked for.",
                    self.about()
                )));
            }
        } else {
            self.restart();
        }
        Ok(self.done)
    }

    fn received(&mut self, bytes: &[u8]) -> Result<bool> {
        self.done += bytes.len() as u64;
        if self.done > self.size {
            return Err(invalid(format!("The registry sends more than {} has.", self.about()))
                .with("expected", self.size));
        }
        self.hasher.update(bytes);
        let is_further = self.done > self.best;
        self.best = self.best.max(self.done);
        Ok(is_further)
    }

    fn answer(&mut self, _session: &mut Session, answer: &Answer) -> Result<Flow> {
        if answer.status == 416 && self.done > 0 {
            self.restart();
            return Ok(Flow::Again(refused(answer, &self.about())));
        }
        if !answer.is_success() {
            return Err(refused(answer, &self.about()));
        }
        if self.done < self.size {
            let sentence = format!("The registry sends less than {} has.", self.about());
            return Ok(Flow::Again(invalid(sentence).with("expected", self.size).with("actual", self.done)));
        }
        let actual = std::mem::replace(&mut self.hasher, self.algorithm.hasher()).finish();
        if actual == self.digest {
            return Ok(Flow::Done(Outcome::Content));
        }
        self.restart();
        let error = mismatch(&format!("What the registry sends as {}", self.about()), &self.digest, &actual);
        if std::mem::replace(&mut self.was_wrong, true) { Err(error) } else { Ok(Flow::Again(error)) }
    }
}
