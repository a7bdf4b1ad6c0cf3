//! Registries: what to ask them, and what their answers mean. The asking is JavaScript's.

#![allow(clippy::needless_pass_by_value)] // what wasm-bindgen gives is owned

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::{Array, Reflect, Uint8Array};
use longshore_archive::{Platform, Reference};
use longshore_registry as core;
use longshore_registry::{Answer, BlobOutcome, Body, Chosen, Credentials, Failure, Host, Manifest, Outcome};
use longshore_registry::{Redirects, Secret, Session, Settings, Step, Take};
use wasm_bindgen::prelude::*;

use crate::error::{JsResult, to_throw};
use crate::values::{object, to_js, whole};

/// A registry, and who asks it.
#[wasm_bindgen]
pub struct Registry {
    session: Rc<RefCell<Session>>,
    credentials: Rc<Credentials>,
}

#[wasm_bindgen]
impl Registry {
    /// `access`: `{ user?, password?, identityToken?, token?, chunk?, retries?, pause?, timeout? }`.
    /// Throws `invalid-argument` for what is no registry.
    #[wasm_bindgen(constructor)]
    pub fn new(
        host: &str,
        #[wasm_bindgen(unchecked_param_type = "RegistryAccess")] access: &JsValue,
    ) -> JsResult<Self> {
        let text =
            |name: &str| Ok::<_, JsValue>(Reflect::get(access, &name.into())?.as_string().map(Secret::new));
        let credentials = match (text("token")?, text("identityToken")?, text("user")?, text("password")?) {
            (Some(token), ..) => Credentials::Bearer(token),
            (None, Some(token), ..) => Credentials::Identity(token),
            (None, None, Some(user), Some(password)) => Credentials::Password { user, password },
            _ => Credentials::Anonymous,
        };
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // below 2^53
        let number = |name: &str| {
            Ok::<_, JsValue>(Reflect::get(access, &name.into())?.as_f64().map(|number| number as u64))
        };
        let usual = Settings::default();
        let settings = Settings {
            retries: number("retries")?
                .map_or(usual.retries, |count| u32::try_from(count).unwrap_or(u32::MAX)),
            pause: number("pause")?.unwrap_or(usual.pause),
            patience: number("timeout")?.unwrap_or(usual.patience),
            chunk: number("chunk")?,
        };
        let host = Host::parse(host).map_err(to_throw)?;
        Ok(Self { session: Session::new(host, settings).shared(), credentials: Rc::new(credentials) })
    }

    /// Where its API begins.
    pub fn base(&self) -> String {
        self.session.borrow().host().base().to_string()
    }

    /// Asks whether it is one, and lets the credentials in.
    pub fn ping(&self) -> Exchange {
        self.exchange(core::Exchange::ping(&self.session))
    }

    /// Makes a blob be in a repository.
    #[wasm_bindgen(js_name = pushBlob)]
    pub fn push_blob(&self, repository: &str, digest: &str, size: f64) -> Exchange {
        self.exchange(core::Exchange::push_blob(&self.session, repository, digest, whole(size)))
    }

    /// Stores a manifest.
    #[wasm_bindgen(js_name = pushManifest)]
    pub fn push_manifest(
        &self,
        repository: &str,
        reference: &str,
        media_type: &str,
        bytes: &[u8],
    ) -> Exchange {
        self.exchange(core::Exchange::push_manifest(&self.session, repository, reference, media_type, bytes))
    }

    /// Gets a manifest.
    pub fn manifest(&self, repository: &str, reference: &str) -> Exchange {
        self.exchange(core::Exchange::manifest(&self.session, repository, reference))
    }

    /// Gets a blob. Throws where its digest is none.
    pub fn blob(&self, repository: &str, digest: &str, size: f64) -> JsResult<Exchange> {
        let exchange = core::Exchange::blob(&self.session, repository, digest, whole(size));
        Ok(self.exchange(exchange.map_err(to_throw)?))
    }

    /// Lists tags.
    pub fn tags(&self, repository: &str) -> Exchange {
        self.exchange(core::Exchange::tags(&self.session, repository))
    }

    /// Lists repositories.
    pub fn catalog(&self) -> Exchange {
        self.exchange(core::Exchange::catalog(&self.session))
    }

    /// Lists what refers to a manifest.
    pub fn referrers(&self, repository: &str, digest: &str) -> Exchange {
        self.exchange(core::Exchange::referrers(&self.session, repository, digest))
    }

    /// Removes a manifest or a tag.
    pub fn delete(&self, repository: &str, reference: &str) -> Exchange {
        self.exchange(core::Exchange::delete(&self.session, repository, reference))
    }

    fn exchange(&self, exchange: core::Exchange) -> Exchange {
        Exchange { exchange, credentials: self.credentials.clone() }
    }
}

/// One thing to be done at a registry.
#[wasm_bindgen]
pub struct Exchange {
    exchange: core::Exchange,
    credentials: Rc<Credentials>,
}

#[wasm_bindgen]
impl Exchange {
    /// What to do next.
    #[wasm_bindgen(unchecked_return_type = "RegistryStep")]
    pub fn step(&mut self) -> JsResult {
        match self.exchange.step(&self.credentials).map_err(to_throw)? {
            #[allow(clippy::cast_precision_loss)] // minutes at most
            Step::Wait(pause) => object(&[("kind", "wait".into()), ("pause", (pause as f64).into())]),
            Step::Send(request) => sending(&request),
            Step::Done(outcome) => object(&[("kind", "done".into()), ("outcome", outcome_of(outcome)?)]),
        }
    }

    /// Content begins: at which byte of the blob.
    pub fn began(&mut self, status: u16, url: String, headers: Vec<String>) -> JsResult<f64> {
        let head = answer(status, url, headers, Vec::new());
        #[allow(clippy::cast_precision_loss)] // below 2^53
        Ok(self.exchange.began(&head).map_err(to_throw)? as f64)
    }

    /// Some content.
    pub fn received(&mut self, bytes: &[u8]) -> JsResult<()> {
        self.exchange.received(bytes).map_err(to_throw)
    }

    /// Takes an answer. `headers`: names and values by turns.
    pub fn answered(
        &mut self,
        status: u16,
        url: String,
        headers: Vec<String>,
        body: Vec<u8>,
    ) -> JsResult<()> {
        self.exchange.answered(&answer(status, url, headers, body), &self.credentials).map_err(to_throw)
    }

    /// There is no answer: because of `network`, `timeout`, `certificate` or `cors`.
    pub fn failed(&mut self, reason: &str) -> JsResult<()> {
        self.exchange.failed(Failure::named(reason)).map_err(to_throw)
    }
}

fn answer(status: u16, url: String, headers: Vec<String>, body: Vec<u8>) -> Answer {
    let mut pairs = headers.into_iter();
    let mut headers = Vec::new();
    while let (Some(name), Some(value)) = (pairs.next(), pairs.next()) {
        headers.push((name, value));
    }
    Answer { status, url, headers, body }
}

fn sending(request: &core::Request) -> JsResult {
    let headers = Array::new();
    for (name, value) in &request.headers {
        headers.push(&Array::of2(&(*name).into(), &value.expose().into()));
    }
    #[allow(clippy::cast_precision_loss)] // below 2^53
    let body = match &request.body {
        Body::None => JsValue::UNDEFINED,
        Body::Bytes(bytes) => Uint8Array::from(bytes.as_slice()).into(),
        Body::Form(form) => form.expose().into(),
        Body::Blob(range) => {
            object(&[("from", (range.start as f64).into()), ("to", (range.end as f64).into())])?
        }
    };
    #[allow(clippy::cast_precision_loss)] // a few MiB
    let limit = match request.take {
        Take::Text(most) => (most as f64).into(),
        Take::Content => JsValue::UNDEFINED,
    };
    #[allow(clippy::cast_precision_loss)] // far below 2^53
    let patience = request.patience as f64;
    object(&[
        ("kind", "send".into()),
        ("method", request.method.as_str().into()),
        ("url", request.url.as_str().into()),
        ("headers", headers.into()),
        ("body", body),
        ("limit", limit),
        ("follow", (request.redirects == Redirects::Follow).into()),
        ("patience", patience.into()),
    ])
}

fn outcome_of(outcome: Outcome) -> JsResult {
    let list = |list: Vec<String>| list.into_iter().map(JsValue::from).collect::<Array>().into();
    Ok(match outcome {
        Outcome::Welcome | Outcome::Content | Outcome::Deleted => JsValue::UNDEFINED,
        Outcome::Blob(BlobOutcome::Exists) => object(&[("status", "exists".into())])?,
        Outcome::Blob(BlobOutcome::Pushed) => object(&[("status", "pushed".into())])?,
        Outcome::Blob(BlobOutcome::Mounted(from)) => {
            object(&[("status", "mounted".into()), ("from", from.into())])?
        }
        Outcome::Manifest(manifest) => {
            let refers = core::descriptors(&manifest).map_err(to_throw)?;
            object(&[
                ("mediaType", manifest.media_type.into()),
                ("digest", manifest.digest.into()),
                ("bytes", Uint8Array::from(manifest.bytes.as_slice()).into()),
                ("refers", to_js(&refers)?),
            ])?
        }
        Outcome::Stored(digest) => digest.into(),
        Outcome::List(names) | Outcome::Referrers(names) => list(names),
    })
}

/// Takes a manifest as JavaScript has it.
fn manifest(media_type: String, digest: String, bytes: Vec<u8>) -> Manifest {
    Manifest { media_type, digest, bytes }
}

/// The digest of the image for a platform that an index lists; nothing where the manifest itself is to be taken.
/// Throws `no-such-platform`.
#[wasm_bindgen]
pub fn choose(
    media_type: String,
    digest: String,
    bytes: Vec<u8>,
    platform: Option<String>,
) -> JsResult<Option<String>> {
    match core::choose(&manifest(media_type, digest, bytes), platform.as_deref()).map_err(to_throw)? {
        Chosen::Itself => Ok(None),
        Chosen::One(descriptor) => Ok(Some(descriptor.digest)),
    }
}

/// Throws `no-such-platform` where an image's config is for another platform.
#[wasm_bindgen(js_name = assertFor)]
pub fn assert_for(config: &[u8], platform: &str) -> JsResult<()> {
    core::assert_for(config, platform).map_err(to_throw)
}

/// The `index.json` of a layout with one manifest. Throws `invalid-reference` for a name.
#[wasm_bindgen(js_name = indexJson)]
pub fn index_json(
    media_type: String,
    digest: String,
    bytes: Vec<u8>,
    names: Vec<String>,
) -> JsResult<String> {
    let names =
        names.iter().map(|name| Reference::parse(name)).collect::<Result<Vec<_>, _>>().map_err(to_throw)?;
    Ok(core::index_json(&manifest(media_type, digest, bytes), &names))
}

/// The name that an image gets in a mirror. Throws `invalid-reference`.
#[wasm_bindgen]
pub fn mirrored(name: &str, mirror: &str) -> JsResult<String> {
    Ok(core::mirrored(name, mirror).map_err(to_throw)?.to_string())
}

/// Whether one of the platforms that are wanted is an image's.
#[allow(unreachable_pub)] // JavaScript reaches it
#[wasm_bindgen(js_name = isFor)]
pub fn is_for(os: String, architecture: String, variant: Option<String>, wanted: Vec<String>) -> bool {
    let own = Platform { os, architecture, variant };
    wanted.iter().any(|wanted| own.matches(wanted))
}

/// A name taken apart as far as a registry needs it. Throws `invalid-reference`.
#[wasm_bindgen(unchecked_return_type = "Named")]
pub fn named(reference: &str) -> JsResult {
    let reference = Reference::parse(reference).map_err(to_throw)?;
    let by = reference.digest().or(reference.tag()).unwrap_or_default();
    object(&[
        ("domain", reference.domain().into()),
        ("repository", reference.path().into()),
        ("reference", by.into()),
        ("tag", reference.tag().map_or(JsValue::UNDEFINED, JsValue::from)),
        ("name", reference.name().into()),
        ("familiar", reference.to_string().into()),
    ])
}
