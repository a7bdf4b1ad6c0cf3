//! Getting and storing manifests and indexes. (Specification, "Pulling manifests", "Pushing manifests")

use longshore_archive::{Algorithm, Result, sha256};
use serde::Deserialize;

use super::{Flow, Operation};
use crate::authority::Scope;
use crate::error::{invalid, mismatch, refused};
use crate::exchange::Outcome;
use crate::http::{Answer, Body, Method, Request, Take};
use crate::session::Session;

/// All that is taken for a manifest: the OCI's documents and Docker's.
pub(crate) const ACCEPTED: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json";

/// The longest manifest that registries have to take.
const MAX_MANIFEST: u64 = 4 << 20;

/// A manifest or an index, as a registry gave it. Its bytes are what its digest says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Its media type.
    pub media_type: String,
    /// Its digest.
    pub digest: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

pub(crate) struct ManifestGet {
    repository: String,
    reference: String,
}

impl ManifestGet {
    pub(crate) fn new(repository: &str, reference: &str) -> Self {
        Self { repository: repository.to_owned(), reference: reference.to_owned() }
    }

    /// The document, if it is one, of the digest that it was asked for or that the registry gives it.
    fn read(&self, answer: &Answer) -> Result<Manifest> {
        #[derive(Deserialize)]
        struct Kind {
            #[serde(rename = "schemaVersion")]
            version: Option<u64>,
            #[serde(rename = "mediaType")]
            media_type: Option<String>,
            manifests: Option<Vec<serde::de::IgnoredAny>>,
            layers: Option<Vec<serde::de::IgnoredAny>>,
        }
        let about = self.about();
        let wanted = Some(self.reference.as_str()).filter(|text| text.contains(':'));
        // A digest of an algorithm that nobody here knows says nothing; that of the registry says nothing about what was
        // asked for by digest.
        let stated = wanted.or_else(|| answer.header("docker-content-digest"));
        let known = stated.and_then(|stated| Some((stated, Algorithm::of(stated)?)));
        let digest =
            known.map_or_else(|| sha256(&answer.body), |(_, algorithm)| algorithm.digest(&answer.body));
        if let Some((stated, _)) = known.filter(|(stated, _)| *stated != digest) {
            return Err(mismatch(&about, stated, &digest));
        }
        let odd = || invalid(format!("The registry sends something else than {about}."));
        let kind: Kind = serde_json::from_slice(&answer.body).map_err(|_| odd())?;
        if kind.manifests.is_some() && kind.layers.is_some() {
            // Readers would see two different things (CVE-2021-41190).
            return Err(invalid(format!("For {about} the registry sends an index and a manifest in one.")));
        }
        if kind.version == Some(1) {
            return Err(invalid(format!(
                "For {about} the registry has Docker's old format only, which is not supported."
            )));
        }
        let header = answer.header("content-type").and_then(|value| value.split(';').next()).map(str::trim);
        let fallback = match (&kind.manifests, &kind.layers) {
            (Some(_), _) => "application/vnd.oci.image.index.v1+json",
            (None, Some(_)) => "application/vnd.oci.image.manifest.v1+json",
            (None, None) => return Err(odd()),
        };
        let is_known = |text: &&str| ACCEPTED.split(", ").any(|known| known.trim() == *text);
        let media_type =
            kind.media_type.as_deref().filter(is_known).or(header.filter(is_known)).unwrap_or(fallback);
        if media_type.contains("index") != fallback.contains("index") && !media_type.contains("manifest.list")
        {
            return Err(odd());
        }
        Ok(Manifest { media_type: media_type.to_owned(), digest, bytes: answer.body.clone() })
    }
}

/// `app:1`, `app@sha256:…`.
pub(super) fn named(repository: &str, reference: &str) -> String {
    let mark = if reference.contains(':') { '@' } else { ':' };
    format!("{repository}{mark}{reference}")
}

impl Operation for ManifestGet {
    fn about(&self) -> String {
        named(&self.repository, &self.reference)
    }

    fn scope(&self) -> Scope {
        Scope::none().and(&self.repository, "pull")
    }

    fn request(&mut self, session: &Session) -> Result<Request> {
        let url = session.host.url(&[&self.repository, "manifests", &self.reference]);
        Ok(Request::new(Method::Get, url).header("accept", ACCEPTED).take(Take::Text(MAX_MANIFEST)))
    }

    fn answer(&mut self, _session: &mut Session, answer: &Answer) -> Result<Flow> {
        if !answer.is_success() {
            return Err(refused(answer, &self.about()));
        }
        Ok(Flow::Done(Outcome::Manifest(self.read(answer)?)))
    }
}

pub(crate) struct ManifestPut {
    repository: String,
    reference: String,
    media_type: String,
    bytes: Vec<u8>,
}

impl ManifestPut {
    pub(crate) fn new(repository: &str, reference: &str, media_type: &str, bytes: &[u8]) -> Self {
        let [repository, reference, media_type] = [repository, reference, media_type].map(str::to_owned);
        Self { repository, reference, media_type, bytes: bytes.to_owned() }
    }
}

impl Operation for ManifestPut {
    fn about(&self) -> String {
        named(&self.repository, &self.reference)
    }

    fn scope(&self) -> Scope {
        Scope::none().and(&self.repository, "pull,push")
    }

    fn request(&mut self, session: &Session) -> Result<Request> {
        let url = session.host.url(&[&self.repository, "manifests", &self.reference]);
        let request = Request::new(Method::Put, url).header("content-type", self.media_type.clone());
        Ok(request.body(Body::Bytes(self.bytes.clone())))
    }

    fn answer(&mut self, _session: &mut Session, answer: &Answer) -> Result<Flow> {
        if !answer.is_success() {
            return Err(refused(answer, &self.about()));
        }
        let stated =
            answer.header("docker-content-digest").and_then(|text| Some((text, Algorithm::of(text)?)));
        let (stated, digest) = match stated {
            Some((stated, algorithm)) => (stated.to_owned(), algorithm.digest(&self.bytes)),
            None => (sha256(&self.bytes), sha256(&self.bytes)),
        };
        if stated != digest {
            return Err(mismatch(&format!("What the registry stored as {}", self.about()), &digest, &stated));
        }
        Ok(Flow::Done(Outcome::Stored(digest)))
    }
}
