//! Lists: of tags, of repositories, of what refers to a manifest. (Specification, "Content discovery")

use std::collections::HashSet;

use longshore_archive::{Code, Error, Result};
use serde::Deserialize;
use serde_json::value::RawValue;
use url::Url;

use super::manifest::ACCEPTED;
use super::{Flow, Operation};
use crate::authority::Scope;
use crate::error::{invalid, refused};
use crate::exchange::Outcome;
use crate::headers::{address, next_link};
use crate::http::{Answer, Method, Request, Take};
use crate::session::Session;

/// How many are asked for at once.
const PAGE: &str = "1000";
/// How much of a list is taken in all, and how many pages of it: there has to be an end.
const MAX_ITEMS: usize = 200_000;
const MAX_PAGES: usize = 5_000;
const MAX_TEXT: u64 = 8 << 20;

/// The pages of a list.
#[derive(Default)]
struct Pages {
    next: Option<Url>,
    seen: HashSet<Url>,
}

impl Pages {
    /// Finds the next page of an answer. Only the registry itself is asked for it.
    fn follow(&mut self, session: &Session, answer: &Answer, about: &str) -> Result<bool> {
        let Some(link) = answer.header("link").and_then(next_link) else { return Ok(false) };
        let odd = || invalid(format!("The registry's list of {about} goes on where it cannot be followed."));
        let next = address(link, answer.here().as_ref()).ok_or_else(odd)?;
        if next.origin() != session.host.origin()
            || self.seen.len() >= MAX_PAGES
            || !self.seen.insert(next.clone())
        {
            return Err(odd());
        }
        self.next = Some(next);
        Ok(true)
    }
}

fn too_long(about: &str) -> Error {
    Error::new(Code::LimitExceeded, format!("The registry's list of {about} is too long."))
        .with("limit", "list")
        .with("expected", MAX_ITEMS)
}

/// Names of tags or repositories.
pub(crate) struct List {
    /// `None`: all repositories.
    repository: Option<String>,
    found: Vec<String>,
    pages: Pages,
}

impl List {
    pub(crate) fn tags(repository: &str) -> Self {
        Self { repository: Some(repository.to_owned()), found: Vec::new(), pages: Pages::default() }
    }

    pub(crate) fn catalog() -> Self {
        Self { repository: None, found: Vec::new(), pages: Pages::default() }
    }
}

impl Operation for List {
    fn about(&self) -> String {
        match &self.repository {
            Some(repository) => format!("the tags of {repository}"),
            None => "the repositories".to_owned(),
        }
    }

    fn scope(&self) -> Scope {
        match &self.repository {
            Some(repository) => Scope::none().and(repository, "pull"),
            None => Scope::catalog(),
        }
    }

    fn request(&mut self, session: &Session) -> Result<Request> {
        let url = self.pages.next.clone().unwrap_or_else(|| {
            let mut url = match &self.repository {
                Some(repository) => session.host.url(&[repository, "tags", "list"]),
                None => session.host.url(&["_catalog"]),
            };
            url.query_pairs_mut().append_pair("n", PAGE);
            url
        });
        Ok(Request::new(Method::Get, url).take(Take::Text(MAX_TEXT)))
    }

    fn answer(&mut self, session: &mut Session, answer: &Answer) -> Result<Flow> {
        #[derive(Deserialize)]
        struct Listed {
            tags: Option<Vec<String>>,
            repositories: Option<Vec<String>>,
        }
        let about = self.about();
        if !answer.is_success() {
            return Err(refused(answer, &about));
        }
        let odd = |_| invalid(format!("The registry sends something else than a list of {about}."));
        let listed: Listed = serde_json::from_slice(&answer.body).map_err(odd)?;
        // A repository without tags has `null`.
        let page = if self.repository.is_some() { listed.tags } else { listed.repositories };
        self.found.extend(page.unwrap_or_default());
        if self.found.len() > MAX_ITEMS {
            return Err(too_long(&about));
        }
        if self.pages.follow(session, answer, &about)? {
            return Ok(Flow::Next);
        }
        Ok(Flow::Done(Outcome::List(std::mem::take(&mut self.found))))
    }
}

/// What refers to a manifest: by the API, or by the tag that stands in for it where a registry has none.
pub(crate) struct Referrers {
    repository: String,
    digest: String,
    by_tag: bool,
    found: Vec<String>,
    pages: Pages,
}

impl Referrers {
    pub(crate) fn new(repository: &str, digest: &str) -> Self {
        let [repository, digest] = [repository, digest].map(str::to_owned);
        Self { repository, digest, by_tag: false, found: Vec::new(), pages: Pages::default() }
    }
}

/// The tag that stands in for the API. (Specification, "Referrers Tag Schema")
fn tag_of(digest: &str) -> String {
    let (algorithm, encoded) = digest.split_once(':').unwrap_or_default();
    // What no tag may have.
    format!("{algorithm:.32}-{encoded:.64}").replace(['+', '='], "-")
}

impl Operation for Referrers {
    fn about(&self) -> String {
        format!("what refers to {}@{}", self.repository, self.digest)
    }

    fn scope(&self) -> Scope {
        Scope::none().and(&self.repository, "pull")
    }

    fn request(&mut self, session: &Session) -> Result<Request> {
        let first = || {
            if self.by_tag {
                session.host.url(&[&self.repository, "manifests", &tag_of(&self.digest)])
            } else {
                session.host.url(&[&self.repository, "referrers", &self.digest])
            }
        };
        let url = self.pages.next.clone().unwrap_or_else(first);
        Ok(Request::new(Method::Get, url).header("accept", ACCEPTED).take(Take::Text(MAX_TEXT)))
    }

    fn answer(&mut self, session: &mut Session, answer: &Answer) -> Result<Flow> {
        #[derive(Deserialize)]
        struct Index<'a> {
            #[serde(borrow, default)]
            manifests: Vec<&'a RawValue>,
        }
        let about = self.about();
        match answer.status {
            200..300 => {}
            404 if self.by_tag => return Ok(Flow::Done(Outcome::Referrers(Vec::new()))),
            400 | 404 | 405 if !self.by_tag && self.found.is_empty() => {
                self.by_tag = true;
                return Ok(Flow::Next);
            }
            _ => return Err(refused(answer, &about)),
        }
        let odd = |_| invalid(format!("The registry sends something else than {about}."));
        let index: Index<'_> = serde_json::from_slice(&answer.body).map_err(odd)?;
        self.found.extend(index.manifests.into_iter().map(|one| one.get().to_owned()));
        if self.found.len() > MAX_ITEMS {
            return Err(too_long(&about));
        }
        if self.pages.follow(session, answer, &about)? {
            return Ok(Flow::Next);
        }
        Ok(Flow::Done(Outcome::Referrers(std::mem::take(&mut self.found))))
    }
}
