//! Making a blob be there: it is already, or another repository has it, or it is sent.
//! (Specification, "Pushing blobs", "Mounting a blob from another repository", "Resuming an upload")

use longshore_archive::{Algorithm, Code, Error, Result};
use url::Url;

use super::{Flow, Operation};
use crate::authority::Scope;
use crate::error::{invalid, mismatch, refused, told};
use crate::exchange::Outcome;
use crate::headers::{address, uploaded};
use crate::http::{Answer, Body, Method, Request};
use crate::session::Session;

/// The size of pieces where a registry takes no more at once, and the least that is tried.
const SMALLER: u64 = 32 << 20;
const SMALLEST: u64 = 1 << 20;
/// How often an upload is begun anew without getting any further.
const MAX_RESTARTS: u32 = 5;

/// How a blob came to be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlobOutcome {
    /// It was.
    Exists,
    /// It was in this other repository.
    Mounted(String),
    /// It was sent.
    Pushed,
}

pub(crate) struct Upload {
    repository: String,
    digest: String,
    size: u64,
    /// The most that is sent at once.
    chunk: Option<u64>,
    /// The least that the registry takes at once, but for the end.
    least: u64,
    stage: Stage,
    /// What may come from another repository, until that is refused.
    may_mount: bool,
    /// The furthest that it ever got.
    best: u64,
    restarts: u32,
}

#[derive(Debug, Clone)]
enum Stage {
    Look,
    Begin {
        from: Option<String>,
    },
    /// Bytes from `offset` on are to be sent.
    Send {
        to: Url,
        offset: u64,
    },
    /// How far did it get?
    Ask {
        at: Url,
    },
}

impl Upload {
    pub(crate) fn new(repository: &str, digest: &str, size: u64, chunk: Option<u64>) -> Self {
        let [repository, digest] = [repository, digest].map(str::to_owned);
        let chunk = chunk.map(|chunk| chunk.max(SMALLEST));
        let stage = Stage::Look;
        Self {
            repository,
            digest,
            size,
            chunk,
            least: SMALLEST,
            stage,
            may_mount: true,
            best: 0,
            restarts: 0,
        }
    }

    /// Where the piece that begins at `offset` ends.
    fn end_of(&self, offset: u64) -> u64 {
        self.chunk.map_or(self.size, |chunk| offset.saturating_add(chunk).min(self.size))
    }

    fn begin(&mut self, session: &Session) {
        let from = session.elsewhere(&self.digest, &self.repository).filter(|_| self.may_mount);
        self.stage = Stage::Begin { from };
    }

    fn done(&self, session: &mut Session, outcome: BlobOutcome) -> Flow {
        session.has_blob(&self.digest, &self.repository);
        Flow::Done(Outcome::Blob(outcome))
    }

    /// The registry has lost the upload, never had it, or is done with it: the answer that said so may be what was lost.
    fn restart(&mut self, why: Error) -> Result<Flow> {
        self.restarts += 1;
        if self.restarts > MAX_RESTARTS {
            return Err(why);
        }
        self.stage = Stage::Look;
        Ok(Flow::Again(why))
    }

    /// So much is there: goes on from it.
    fn reached(&mut self, to: Url, offset: u64) -> Result<Flow> {
        if offset > self.size {
            return Err(invalid(format!("The registry has got more than {} has.", self.about()))
                .with("actual", offset));
        }
        if offset > self.best {
            self.best = offset;
            self.restarts = 0;
        } else {
            self.restarts += 1;
            if self.restarts > MAX_RESTARTS {
                let sentence = format!("The upload of {} does not get any further.", self.about());
                return Err(Error::new(Code::Unreachable, sentence).with("reason", "network"));
            }
        }
        self.stage = Stage::Send { to, offset };
        Ok(Flow::Next)
    }

    /// Where the upload goes on.
    fn location(&self, answer: &Answer) -> Result<Option<Url>> {
        let Some(location) = answer.header("location") else { return Ok(None) };
        let odd = || invalid(format!("The registry sends {} to an address that is none.", self.about()));
        let here = answer.here();
        let url = address(location, here.as_ref()).ok_or_else(odd)?;
        let is_open = here.is_some_and(|here| here.scheme() == "https") && url.scheme() != "https";
        if !matches!(url.scheme(), "http" | "https") || is_open {
            return Err(odd());
        }
        Ok(Some(url))
    }

    fn begun(&mut self, session: &mut Session, answer: &Answer, from: Option<String>) -> Result<Flow> {
        match (answer.status, from) {
            (201, Some(from)) => Ok(self.done(session, BlobOutcome::Mounted(from))),
            (201, None) => Ok(self.done(session, BlobOutcome::Pushed)),
            (200..300, _) => {
                let to = self.location(answer)?.ok_or_else(|| {
                    let sentence = "The registry does not say where to send a blob: it gives no Location, or does not let \
                        pages of other origins see it (Access-Control-Expose-Headers).";
                    invalid(sentence).with("header", "location")
                })?;
                let least = answer.header("oci-chunk-min-length").and_then(|value| value.trim().parse().ok());
                self.least = self.least.max(least.unwrap_or(0));
                self.chunk = self.chunk.map(|chunk| chunk.max(self.least));
                self.stage = Stage::Send { to, offset: 0 };
                Ok(Flow::Next)
            }
            // It may not be mounted, but perhaps sent.
            (_, Some(_)) => {
                self.may_mount = false;
                self.stage = Stage::Begin { from: None };
                Ok(Flow::Next)
            }
            (_, None) => Err(refused(answer, &self.about())),
        }
    }

    fn sent(&mut self, session: &mut Session, answer: &Answer, to: Url, offset: u64) -> Result<Flow> {
        let end = self.end_of(offset);
        match answer.status {
            200..300 if end == self.size => {
                let stated =
                    answer.header("docker-content-digest").filter(|text| Algorithm::of(text).is_some());
                match stated.filter(|stated| *stated != self.digest) {
                    Some(stated) if Algorithm::of(stated) == Algorithm::of(&self.digest) => {
                        let what = format!("What the registry stored as {}", self.about());
                        Err(mismatch(&what, &self.digest, stated))
                    }
                    _ => Ok(self.done(session, BlobOutcome::Pushed)),
                }
            }
            200..300 => {
                let next = self.location(answer)?.unwrap_or(to);
                let reached = answer.header("range").and_then(uploaded).unwrap_or(end);
                if reached <= offset {
                    return self
                        .restart(invalid("The registry takes a part of a blob and does not have it then."));
                }
                self.reached(next, reached)
            }
            413 => {
                let smaller =
                    self.chunk.map_or(SMALLER.max(self.least), |chunk| chunk / 2).min(self.size / 2);
                if smaller < self.least {
                    return Err(refused(answer, &self.about()));
                }
                self.chunk = Some(smaller);
                self.begin(session);
                Ok(Flow::Next)
            }
            404 | 416 => self.restart(refused(answer, &self.about())),
            400 if told(answer).code.starts_with("BLOB_UPLOAD") => {
                self.restart(refused(answer, &self.about()))
            }
            _ => Err(refused(answer, &self.about())),
        }
    }
}

impl Operation for Upload {
    fn about(&self) -> String {
        format!("the blob {}", self.digest)
    }

    fn scope(&self) -> Scope {
        let scope = Scope::none().and(&self.repository, "pull,push");
        match &self.stage {
            Stage::Begin { from: Some(from) } => scope.and(from, "pull"),
            _ => scope,
        }
    }

    fn request(&mut self, session: &Session) -> Result<Request> {
        let repository = self.repository.as_str();
        Ok(match &self.stage {
            Stage::Look => Request::new(Method::Head, session.host.url(&[repository, "blobs", &self.digest])),
            Stage::Begin { from } => {
                // With a slash at the end, which is part of the address.
                let mut url = session.host.url(&[repository, "blobs", "uploads"]);
                if let Ok(mut path) = url.path_segments_mut() {
                    path.push("");
                }
                if let Some(from) = from {
                    url.query_pairs_mut().append_pair("mount", &self.digest).append_pair("from", from);
                }
                Request::new(Method::Post, url)
            }
            Stage::Send { to, offset } => {
                let end = self.end_of(*offset);
                let is_last = end == self.size;
                let mut url = to.clone();
                if is_last {
                    url.query_pairs_mut().append_pair("digest", &self.digest);
                }
                let method = if is_last { Method::Put } else { Method::Patch };
                let mut request =
                    Request::new(method, url).header("content-type", "application/octet-stream");
                let is_part = !(*offset == 0 && is_last);
                if is_part && end > *offset {
                    request = request.header("content-range", format!("{offset}-{}", end - 1));
                }
                request.body(Body::Blob(*offset..end))
            }
            Stage::Ask { at } => Request::new(Method::Get, at.clone()),
        })
    }

    fn answer(&mut self, session: &mut Session, answer: &Answer) -> Result<Flow> {
        match self.stage.clone() {
            Stage::Look => match answer.status {
                // What was sent has arrived.
                200..300 if self.restarts > 0 => Ok(self.done(session, BlobOutcome::Pushed)),
                200..300 => Ok(self.done(session, BlobOutcome::Exists)),
                401 | 403 => Err(refused(answer, &self.about())),
                _ => {
                    self.begin(session);
                    Ok(Flow::Next)
                }
            },
            Stage::Begin { from } => self.begun(session, answer, from),
            Stage::Send { to, offset } => self.sent(session, answer, to, offset),
            Stage::Ask { at } => {
                let reached = answer.header("range").and_then(uploaded).filter(|&reached| reached > 0);
                match reached {
                    Some(reached) if answer.is_success() => {
                        let to = self.location(answer)?.unwrap_or(at);
                        self.reached(to, reached)
                    }
                    // It has nothing, or says nothing: from the beginning.
                    _ => {
                        let sentence = format!("The upload of {} is cut off again and again.", self.about());
                        self.restart(Error::new(Code::Unreachable, sentence).with("reason", "network"))
                    }
                }
            }
        }
    }

    fn interrupted(&mut self) {
        if let Stage::Send { to, .. } = &self.stage {
            self.stage = Stage::Ask { at: to.clone() };
        }
    }
}
