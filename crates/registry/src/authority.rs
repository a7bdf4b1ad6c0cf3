//! Who may ask a registry: what it wants to see, and the tokens that its token service gave
//! (distribution's `spec/auth/token.md` and `oauth.md`).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use longshore_archive::{Code, Error, Result};
use serde::Deserialize;
use url::Url;

use crate::challenge::Challenge;
use crate::error::invalid;
use crate::headers::address;
use crate::host::Host;
use crate::http::{Answer, Body, Method, Redirects, Request};
use crate::secret::{Credentials, Secret};

/// What the token service is told that we are.
const CLIENT: &str = "longshore";

/// What is to be allowed: actions by resource, `repository:team/app` → `pull`, `push`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Scope(BTreeMap<String, BTreeSet<String>>);

impl Scope {
    /// Nothing but to be known.
    pub(crate) fn none() -> Self {
        Self::default()
    }

    /// Adds actions, separated by commas, on a repository.
    pub(crate) fn and(mut self, repository: &str, actions: &str) -> Self {
        self.add(format!("repository:{repository}"), actions);
        self
    }

    /// The list of all repositories.
    pub(crate) fn catalog() -> Self {
        let mut scope = Self::default();
        scope.add("registry:catalog".to_owned(), "*");
        scope
    }

    fn add(&mut self, resource: String, actions: &str) {
        self.0.entry(resource).or_default().extend(actions.split(',').map(str::to_owned));
    }

    /// Adds what a challenge asks for: `repository:a:pull,push`, several of them separated by spaces.
    fn with(mut self, challenged: &str) -> Self {
        for one in challenged.split_ascii_whitespace() {
            if let Some((resource, actions)) = one.rsplit_once(':') {
                self.add(resource.to_owned(), actions);
            }
        }
        self
    }

    /// As it is sent, one for each resource.
    fn texts(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|(resource, actions)| {
            let actions: Vec<&str> = actions.iter().map(String::as_str).collect();
            format!("{resource}:{}", actions.join(","))
        })
    }
}

/// What a registry wants to see, as far as it has said so.
#[derive(Debug, Default)]
pub(crate) struct Authority {
    way: Way,
    tokens: HashMap<Scope, Secret>,
}

#[derive(Debug, Default)]
enum Way {
    /// It has not said yet.
    #[default]
    Unknown,
    Basic,
    Bearer {
        realm: Url,
        service: Option<String>,
    },
}

/// What to do about `Authorization`.
pub(crate) enum Show {
    Nothing,
    This(Secret),
    /// First a token has to be fetched.
    TokenOf(Request),
}

impl Authority {
    /// What a request of that scope is to show.
    pub(crate) fn show(&self, scope: &Scope, credentials: &Credentials) -> Show {
        if let Credentials::Bearer(token) = credentials {
            return Show::This(bearer(token.expose()));
        }
        match &self.way {
            Way::Unknown => Show::Nothing,
            Way::Basic => credentials.basic().map_or(Show::Nothing, Show::This),
            Way::Bearer { realm, service } => match self.tokens.get(scope) {
                Some(token) => Show::This(bearer(token.expose())),
                None => Show::TokenOf(token_request(realm, service.as_deref(), scope, credentials)),
            },
        }
    }

    /// Learns from the refusal of a request that showed `shown`; others may have learnt since it was sent. Returns the scope
    /// that is asked for now, or `None` where there is nothing better to show.
    ///
    /// Fails where the token service that it names may not be trusted with anything.
    pub(crate) fn refused(
        &mut self,
        host: &Host,
        challenge: Option<Challenge>,
        scope: &Scope,
        shown: Option<&str>,
        credentials: &Credentials,
    ) -> Result<Option<Scope>> {
        if matches!(credentials, Credentials::Bearer(_)) {
            return Ok(None);
        }
        match challenge {
            Some(Challenge::Bearer { realm, service, scope: challenged }) => {
                let realm = trusted(&realm, host)?;
                self.way = Way::Bearer { realm, service };
                let wanted =
                    challenged.iter().fold(scope.clone(), |scope, challenged| scope.with(challenged));
                // What was shown is worth nothing any more. Another token for the same is newer than the request.
                let is_newer = |token: &Secret| shown != Some(bearer(token.expose()).expose());
                if wanted != *scope || !self.tokens.get(&wanted).is_some_and(is_newer) {
                    self.tokens.remove(&wanted);
                }
                Ok(Some(wanted))
            }
            // A browser does not show what is wanted where the registry does not expose it: the password it is, then.
            Some(Challenge::Basic) | None => {
                self.way = Way::Basic;
                let password = credentials.basic().filter(|password| shown != Some(password.expose()));
                Ok(password.map(|_| scope.clone()))
            }
        }
    }

    /// Takes the token service's answer.
    pub(crate) fn granted(&mut self, scope: &Scope, answer: &Answer) -> Result<()> {
        #[derive(Deserialize)]
        struct Granted {
            token: Option<String>,
            access_token: Option<String>,
        }
        let granted: Option<Granted> = serde_json::from_slice(&answer.body).ok();
        let token = granted.and_then(|granted| {
            [granted.token, granted.access_token].into_iter().flatten().find(|token| is_token(token))
        });
        let token = token.ok_or_else(|| invalid("The registry's token service answers without a token."))?;
        self.tokens.insert(scope.clone(), Secret::new(token));
        Ok(())
    }
}

/// Whether a text can be sent in a header.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn bearer(token: &str) -> Secret {
    Secret::new(format!("Bearer {token}"))
}

/// The token service's address, if it is one that a registry may name: over the registry's own scheme.
fn trusted(realm: &str, host: &Host) -> Result<Url> {
    let sentence =
        "The registry names a token service that is not at an address of the registry's own scheme.";
    let odd = || Error::new(Code::InvalidAnswer, sentence);
    let url = address(realm, None).ok_or_else(odd)?;
    let is_plain = url.username().is_empty() && url.password().is_none();
    if url.scheme() == host.base().scheme() && url.host().is_some() && is_plain {
        Ok(url)
    } else {
        Err(odd())
    }
}

fn token_request(realm: &Url, service: Option<&str>, scope: &Scope, credentials: &Credentials) -> Request {
    let scopes: Vec<String> = scope.texts().collect();
    if let Credentials::Identity(token) = credentials {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "refresh_token");
        form.append_pair("service", service.unwrap_or_default());
        form.append_pair("client_id", CLIENT);
        if !scopes.is_empty() {
            form.append_pair("scope", &scopes.join(" "));
        }
        form.append_pair("refresh_token", token.expose());
        let request = Request::new(Method::Post, realm.clone())
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Body::Form(Secret::new(form.finish())));
        return Request { redirects: Redirects::Refuse, ..request };
    }
    let mut url = realm.clone();
    {
        let mut query = url.query_pairs_mut();
        if let Some(service) = service {
            query.append_pair("service", service);
        }
        for scope in &scopes {
            query.append_pair("scope", scope);
        }
        query.append_pair("client_id", CLIENT);
    }
    let request = Request::new(Method::Get, url);
    match credentials.basic() {
        Some(basic) => request.secret("authorization", basic),
        None => request,
    }
}
