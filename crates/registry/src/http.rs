//! Requests and answers, as far as a registry needs them.

use std::ops::Range;

use url::Url;

use crate::secret::Secret;

/// The methods that registries know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // they are what they are called
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    /// As it is sent.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// The value of a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderValue {
    /// One that anybody may see.
    Plain(String),
    /// One that nobody may see.
    Secret(Secret),
}

impl HeaderValue {
    /// The value itself, for whoever sends it.
    pub fn expose(&self) -> &str {
        match self {
            Self::Plain(text) => text,
            Self::Secret(secret) => secret.expose(),
        }
    }
}

/// What is sent along.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Body {
    /// Nothing.
    #[default]
    None,
    /// A range of the blob that is being pushed.
    Blob(Range<u64>),
    /// A manifest.
    Bytes(Vec<u8>),
    /// A form, which holds a token.
    Form(Secret),
}

/// What is wanted of the answer's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Take {
    /// All of it, which is to be no longer than so many bytes.
    Text(u64),
    /// A blob's content: see [`crate::Exchange::began`]. Where the status is no success it is text.
    Content,
}

/// What may be done with a redirect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redirects {
    /// It is told as an answer; a browser, which tells nobody, may follow it and drops `Authorization` at another origin.
    Follow,
    /// It must not be followed: the body holds a secret.
    Refuse,
}

/// A request to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// Where to.
    pub url: Url,
    /// The headers, in no order.
    pub headers: Vec<(&'static str, HeaderValue)>,
    /// The body.
    pub body: Body,
    /// What is wanted of the answer.
    pub take: Take,
    /// What may be done with a redirect.
    pub redirects: Redirects,
    /// After so many milliseconds without a byte it has failed.
    pub patience: u64,
}

/// The longest text that is read of an answer, unless more is said to be fine.
const MAX_TEXT: u64 = 1 << 20;

impl Request {
    pub(crate) fn new(method: Method, url: Url) -> Self {
        Self {
            method,
            url,
            headers: Vec::new(),
            body: Body::None,
            take: Take::Text(MAX_TEXT),
            redirects: Redirects::Follow,
            patience: 0,
        }
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, HeaderValue::Plain(value.into())));
        self
    }

    pub(crate) fn secret(mut self, name: &'static str, value: Secret) -> Self {
        self.headers.push((name, HeaderValue::Secret(value)));
        self
    }

    pub(crate) fn body(self, body: Body) -> Self {
        Self { body, ..self }
    }

    pub(crate) fn take(self, take: Take) -> Self {
        Self { take, ..self }
    }

    /// What of this request must not be shown.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &str> {
        let values = self.headers.iter().filter_map(|(_, value)| match value {
            // With and without its scheme: `Basic …`, `Bearer …`.
            HeaderValue::Secret(secret) => secret.expose().rsplit(' ').next(),
            HeaderValue::Plain(_) => None,
        });
        // A signature in a URL is one, too.
        values.chain(self.url.query().filter(|query| query.len() > 16))
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Where it came from in the end, where redirects were followed.
    pub url: String,
    /// The headers that may be seen, their names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, where that was to be taken as text.
    pub body: Vec<u8>,
}

impl Answer {
    /// An answer with neither headers nor a body.
    pub fn new(status: u16, url: impl Into<String>) -> Self {
        Self { status, url: url.into(), headers: Vec::new(), body: Vec::new() }
    }

    /// Where it came from.
    pub(crate) fn here(&self) -> Option<Url> {
        Url::parse(&self.url).ok()
    }

    /// Adds a header.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_ascii_lowercase(), value.to_owned()));
        self
    }

    /// Gives it a body.
    #[must_use]
    pub fn with_body(self, body: &[u8]) -> Self {
        Self { body: body.to_owned(), ..self }
    }

    /// The first header of that name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut named = self.headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
        named.next().map(|(_, value)| value.as_str())
    }

    /// All headers of that name.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let is_named = move |(key, _): &&(String, String)| key.eq_ignore_ascii_case(name);
        self.headers.iter().filter(is_named).map(|(_, value)| value.as_str())
    }

    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The connection failed, or was cut.
    Network,
    /// Nothing came for too long.
    Timeout,
    /// The server's certificate is not to be trusted.
    Certificate,
    /// The server does not allow pages of other origins to talk to it.
    Cors,
}

impl Failure {
    /// Its name: `network`, `timeout`, `certificate` or `cors`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Timeout => "timeout",
            Self::Certificate => "certificate",
            Self::Cors => "cors",
        }
    }

    /// The failure with that name; [`Failure::Network`] where none has it.
    pub fn named(name: &str) -> Self {
        [Self::Timeout, Self::Certificate, Self::Cors]
            .into_iter()
            .find(|known| known.as_str() == name)
            .unwrap_or(Self::Network)
    }
}
