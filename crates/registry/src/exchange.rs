//! One thing to be done at a registry, from the first request to its outcome: with what the registry wants to see, over
//! redirects, again after failures that do not last.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use longshore_archive::{Code, Error, Result};
use url::Origin;

use crate::authority::{Scope, Show};
use crate::challenge;
use crate::error::{invalid, refused, unreachable, without};
use crate::headers::{address, retry_after};
use crate::http::{Answer, Failure, Method, Redirects, Request};
use crate::operation::{
    BlobOutcome, Delete, Download, Flow, List, Manifest, ManifestGet, ManifestPut, Operation, Ping,
    Referrers, Upload,
};
use crate::secret::Credentials;
use crate::session::Session;

/// How often one request may be sent elsewhere.
const MAX_REDIRECTS: u32 = 5;
/// How often what is shown may be refused before it is given up: a token that has just expired is one.
const MAX_REFUSALS: u32 = 2;
/// The longest pause between two tries, in milliseconds.
const MAX_PAUSE: u64 = 30_000;
/// A slow line sends so many bytes in a millisecond at least.
const SLOWEST: u64 = 16;
/// What a timer can wait for, in milliseconds: those of browsers and Node end at once where it is longer.
const LONGEST_WAIT: u64 = i32::MAX as u64;

/// What to do next.
#[derive(Debug)]
pub enum Step {
    /// Send this, and tell what came of it by [`Exchange::answered`] or [`Exchange::failed`].
    Send(Box<Request>),
    /// Wait so many milliseconds, then ask again.
    Wait(u64),
    /// It is done.
    Done(Outcome),
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The registry is one, and lets these credentials in.
    Welcome,
    /// A blob is there now.
    Blob(BlobOutcome),
    /// A manifest.
    Manifest(Manifest),
    /// A manifest was stored under this digest.
    Stored(String),
    /// All bytes of a blob have come, and they are what its digest says.
    Content,
    /// Names of tags or repositories.
    List(Vec<String>),
    /// What refers to a manifest: descriptors, as JSON.
    Referrers(Vec<String>),
    /// It is gone.
    Deleted,
}

/// One thing to be done at a registry.
pub struct Exchange {
    session: Rc<RefCell<Session>>,
    operation: Box<dyn Operation>,
    state: State,
    scope: Option<Scope>,
    /// Since something last went well.
    failures: u32,
    refusals: u32,
    redirects: u32,
}

enum State {
    Ready,
    Redirected { request: Box<Request>, is_token: bool },
    Waiting(u64),
    Sent { request: Box<Request>, is_token: bool },
    Done(Outcome),
}

/// Says what it is about, and no more: what is sent may hold secrets.
impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").field("about", &self.operation.about()).finish_non_exhaustive()
    }
}

impl Exchange {
    fn new(session: &Rc<RefCell<Session>>, operation: impl Operation + 'static) -> Self {
        Self {
            session: session.clone(),
            operation: Box::new(operation),
            state: State::Ready,
            scope: None,
            failures: 0,
            refusals: 0,
            redirects: 0,
        }
    }

    /// Asks whether there is a registry, and whether it lets the credentials in.
    pub fn ping(session: &Rc<RefCell<Session>>) -> Self {
        Self::new(session, Ping)
    }

    /// Makes a blob be in a repository: looks whether it is, mounts it from another one that is known to have it, or
    /// sends it.
    pub fn push_blob(session: &Rc<RefCell<Session>>, repository: &str, digest: &str, size: u64) -> Self {
        let chunk = session.borrow().settings.chunk;
        Self::new(session, Upload::new(repository, digest, size, chunk))
    }

    /// Stores a manifest or an index under a tag or its digest.
    pub fn push_manifest(
        session: &Rc<RefCell<Session>>,
        repository: &str,
        reference: &str,
        media_type: &str,
        bytes: &[u8],
    ) -> Self {
        Self::new(session, ManifestPut::new(repository, reference, media_type, bytes))
    }

    /// Gets a manifest or an index by its tag or digest.
    pub fn manifest(session: &Rc<RefCell<Session>>, repository: &str, reference: &str) -> Self {
        Self::new(session, ManifestGet::new(repository, reference))
    }

    /// Gets a blob, whose digest and size are known. Its content goes through [`Self::received`].
    pub fn blob(session: &Rc<RefCell<Session>>, repository: &str, digest: &str, size: u64) -> Result<Self> {
        Ok(Self::new(session, Download::new(repository, digest, size)?))
    }

    /// Lists the tags of a repository.
    pub fn tags(session: &Rc<RefCell<Session>>, repository: &str) -> Self {
        Self::new(session, List::tags(repository))
    }

    /// Lists the repositories.
    pub fn catalog(session: &Rc<RefCell<Session>>) -> Self {
        Self::new(session, List::catalog())
    }

    /// Lists what refers to a manifest.
    pub fn referrers(session: &Rc<RefCell<Session>>, repository: &str, digest: &str) -> Self {
        Self::new(session, Referrers::new(repository, digest))
    }

    /// Removes a manifest by its digest, or a tag.
    pub fn delete(session: &Rc<RefCell<Session>>, repository: &str, reference: &str) -> Self {
        Self::new(session, Delete::new(repository, reference))
    }

    /// What to do next. The credentials are used for this step alone.
    pub fn step(&mut self, credentials: &Credentials) -> Result<Step> {
        let (request, is_token) = match std::mem::replace(&mut self.state, State::Ready) {
            State::Waiting(pause) => return Ok(Step::Wait(pause)),
            State::Done(outcome) => {
                self.state = State::Done(outcome.clone());
                return Ok(Step::Done(outcome));
            }
            State::Redirected { request, is_token } => (*request, is_token),
            State::Ready | State::Sent { .. } => (self.operation.request(&self.session.borrow())?, false),
        };
        let session = self.session.borrow();
        let scope = self.scope.get_or_insert_with(|| self.operation.scope()).clone();
        let (request, is_token) = if !is_token && request.url.origin() == session.host.origin() {
            match session.authority.show(&scope, credentials) {
                Show::Nothing => (request, false),
                Show::This(value) => (request.secret("authorization", value), false),
                Show::TokenOf(request) => (request, true),
            }
        } else {
            (request, is_token)
        };
        let patience = session.settings.patience.saturating_add(length(&request) / SLOWEST).min(LONGEST_WAIT);
        let request = Box::new(Request { patience, ..request });
        self.state = State::Sent { request: request.clone(), is_token };
        Ok(Step::Send(request))
    }

    /// The head of a successful answer whose content is to be taken: says at which byte of the blob the content that
    /// follows begins. What was received beyond that counts no more.
    pub fn began(&mut self, head: &Answer) -> Result<u64> {
        self.operation.began(head)
    }

    /// Some of a blob's content.
    pub fn received(&mut self, bytes: &[u8]) -> Result<()> {
        // New bytes are as good as an answer.
        if self.operation.received(bytes)? {
            self.failures = 0;
        }
        Ok(())
    }

    /// Takes the answer to what was sent last, when all of it is there.
    pub fn answered(&mut self, answer: &Answer, credentials: &Credentials) -> Result<()> {
        let State::Sent { request, is_token } = std::mem::replace(&mut self.state, State::Ready) else {
            return Ok(());
        };
        self.session.borrow_mut().is_reached = true;
        let result = self.answer_to(&request, is_token, answer, credentials);
        result.map_err(|error| without(&error, request.secrets().chain(credentials.secrets())))
    }

    /// There is no answer to what was sent last, or not all of it.
    pub fn failed(&mut self, failure: Failure) -> Result<()> {
        let State::Sent { request, is_token } = std::mem::replace(&mut self.state, State::Ready) else {
            return Ok(());
        };
        let error = unreachable(&request.url, failure);
        let is_reached = self.session.borrow().is_reached;
        let most = match failure {
            Failure::Network if is_reached => u32::MAX,
            // Who is silent once for a minute is seldom there the next.
            Failure::Network | Failure::Timeout => 1,
            // A browser does not tell a connection that was cut from a permission that is missing.
            Failure::Cors if is_reached => 1,
            Failure::Certificate | Failure::Cors => 0,
        };
        if !is_token {
            self.operation.interrupted();
        }
        self.again(most, None, error)
    }

    fn answer_to(
        &mut self,
        request: &Request,
        is_token: bool,
        answer: &Answer,
        credentials: &Credentials,
    ) -> Result<()> {
        let origin = answer.here().map_or_else(Origin::new_opaque, |url| url.origin());
        // Elsewhere nothing is shown, whoever answers in the end.
        let may_show =
            !is_token && origin == request.url.origin() && origin == self.session.borrow().host.origin();
        match answer.status {
            301 | 302 | 303 | 307 | 308 => self.redirected(request, is_token, answer),
            401 if may_show => {
                let mut headers = request.headers.iter();
                let shown =
                    headers.find(|(name, _)| *name == "authorization").map(|(_, value)| value.expose());
                // Where nothing was shown, it only asks.
                self.refusals += u32::from(shown.is_some());
                self.refused(answer, shown, credentials)
            }
            408 | 425 | 429 | 500 | 502 | 503 | 504 => {
                if !is_token {
                    self.operation.interrupted();
                }
                let wait = retry_after(answer).and_then(|wait| u64::try_from(wait.as_millis()).ok());
                self.again(u32::MAX, wait, refused(answer, &self.operation.about()))
            }
            _ if is_token => self.granted(answer),
            _ => {
                let flow = self.operation.answer(&mut self.session.borrow_mut(), answer)?;
                // What the operation says about itself is no failure of the registry's.
                match flow {
                    Flow::Next => {
                        self.progressed();
                        Ok(())
                    }
                    Flow::Again(error) => self.again(u32::MAX, None, error),
                    Flow::Done(outcome) => {
                        self.state = State::Done(outcome);
                        Ok(())
                    }
                }
            }
        }
    }

    fn progressed(&mut self) {
        self.failures = 0;
        self.refusals = 0;
        self.redirects = 0;
        // The next request may need another one.
        self.scope = None;
    }

    /// The same once more, after a while, if it did not fail too often.
    fn again(&mut self, most: u32, wait: Option<u64>, error: Error) -> Result<()> {
        let settings = self.session.borrow().settings;
        if self.failures >= most.min(settings.retries) {
            return Err(error.with("tries", u64::from(self.failures) + 1));
        }
        let pause = settings.pause.saturating_mul(1 << self.failures.min(20)).min(MAX_PAUSE);
        self.failures += 1;
        self.redirects = 0;
        self.state = State::Waiting(wait.unwrap_or(pause));
        Ok(())
    }

    fn refused(&mut self, answer: &Answer, shown: Option<&str>, credentials: &Credentials) -> Result<()> {
        let about = self.operation.about();
        let mut session = self.session.borrow_mut();
        let Session { host, authority, .. } = &mut *session;
        let challenge = challenge::best(answer.all("www-authenticate"));
        let scope = self.scope.clone().unwrap_or_else(Scope::none);
        match authority.refused(host, challenge, &scope, shown, credentials)? {
            Some(scope) if self.refusals < MAX_REFUSALS => {
                self.scope = Some(scope);
                Ok(())
            }
            _ => Err(refused(answer, &about)),
        }
    }

    fn granted(&mut self, answer: &Answer) -> Result<()> {
        if !answer.is_success() {
            let error = refused(answer, "a token");
            // Whatever else the service says: nobody gets in that way.
            let code =
                if matches!(error.code(), Code::RegistryFailed) { error.code() } else { Code::Unauthorized };
            let sentence =
                format!("The token service does not let these credentials in: {}", error.message());
            return Err(Error::new(code, sentence).with("status", u64::from(answer.status)));
        }
        let scope = self.scope.clone().unwrap_or_else(Scope::none);
        self.session.borrow_mut().authority.granted(&scope, answer)
    }

    /// Goes where the answer says, with nothing that only the first address may see: what is shown is decided anew.
    fn redirected(&mut self, request: &Request, is_token: bool, answer: &Answer) -> Result<()> {
        let target = answer.header("location").and_then(|location| address(location, answer.here().as_ref()));
        let is_read = matches!(request.method, Method::Get | Method::Head);
        let keeps = matches!(answer.status, 307 | 308);
        self.redirects += 1;
        match target {
            Some(url)
                if (is_read || keeps)
                    && request.redirects == Redirects::Follow
                    && self.redirects <= MAX_REDIRECTS
                    && matches!(url.scheme(), "http" | "https")
                    // From a private line to one that everybody reads: no.
                    && (url.scheme() == "https" || request.url.scheme() == "http") =>
            {
                let stays = is_token && url.origin() == request.url.origin();
                let mut next = Request { url, ..request.clone() };
                next.headers.retain(|(name, _)| stays || *name != "authorization");
                self.state = State::Redirected { request: Box::new(next), is_token };
                Ok(())
            }
            _ => Err(invalid(format!(
                "The registry sends {} somewhere else than can be followed.",
                self.operation.about()
            ))
            .with("status", u64::from(answer.status))),
        }
    }
}

fn length(request: &Request) -> u64 {
    match &request.body {
        crate::http::Body::Blob(range) => range.end.saturating_sub(range.start),
        crate::http::Body::Bytes(bytes) => bytes.len() as u64,
        _ => 0,
    }
}
