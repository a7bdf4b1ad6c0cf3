//! An open archive.

use std::collections::{HashMap, HashSet};

use serde::Serialize;
use serde_json::Value;

use crate::config;
use crate::digest::sha256;
use crate::error::{Code, Error, Finding, FindingCode, Result, Severity};
use crate::formats::{manifest_json, oci_index, repositories};
use crate::members::{Members, Place};
use crate::model::{Format, Image, Name};
use crate::recipe::Recipe;
use crate::reference::Reference;
use crate::source::Source;
use crate::tar::TarIndex;

/// An image archive: its images, and the recipe of its bytes.
///
/// A value: edits give another archive and leave this one as it is. Cloning `S` should be cheap, as for an `Rc`.
#[derive(Debug, Clone)]
pub struct Archive<S> {
    pub(crate) members: Members<S>,
    format: Format,
    images: Vec<Image>,
    findings: Vec<Finding>,
}

impl<S: Source + Clone> Archive<S> {
    /// Opens an archive. Only headers and metadata are read, whatever the archive's size.
    ///
    /// Fails as [`Indexer::step`](crate::Indexer::step) does, and with `not-an-image-archive`, `unsupported-format`,
    /// `missing-entry`, `invalid-json`, `invalid-manifest` or `invalid-config`.
    pub fn open(source: S) -> Result<Self> {
        let index = TarIndex::read(&source)?;
        Self::from_index(source, index)
    }

    /// Opens an archive whose index was made before, in steps.
    pub fn from_index(source: S, index: TarIndex) -> Result<Self> {
        Self::assemble(Members::new(Recipe::whole(source), index))
    }

    fn assemble(members: Members<S>) -> Result<Self> {
        let Some(manifest) = members.listing(manifest_json::PATH) else {
            return Err(without_manifest(&members.index));
        };
        let mut findings = tar_findings(&members.index);
        let mut images = manifest_json::read(&members, &manifest?.bytes, &mut findings)?;
        let mut format = Format::Docker;
        let mut others = Vec::new();
        if let Some(index) = members.listing(oci_index::PATH) {
            format = Format::DockerOci;
            let names = oci_index::read(&members, &index?.bytes, &mut images, &mut findings);
            others.push((oci_index::PATH, names.map(|names| names.into_iter().flatten().collect())));
        }
        if let Some(listing) = members.listing(repositories::PATH) {
            let names = repositories::read(&listing?.bytes);
            others.push((
                repositories::PATH,
                names.map(|names| names.into_iter().map(|(name, _)| name).collect()),
            ));
        }
        name_findings(&images, &others, &mut findings);
        Ok(Self { members, format, images, findings })
    }

    /// The archive's layout.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The images, in the order of `manifest.json`.
    pub fn images(&self) -> &[Image] {
        &self.images
    }

    /// What is odd about the archive.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// What to write: the archive as it is now.
    pub fn recipe(&self) -> &Recipe<S> {
        &self.members.data
    }

    /// The archive's members.
    pub fn index(&self) -> &TarIndex {
        &self.members.index
    }

    /// Checks that the source still holds what was indexed, before it is copied; fails with `source-changed`.
    ///
    /// The configs of the first and the last image are read again and must have the images' IDs. That is a look at two
    /// places, not at every byte: not every browser says so when a file was rewritten after it was opened.
    pub fn recheck(&self) -> Result<()> {
        for image in self.images.first().into_iter().chain(self.images.last()) {
            let Some(entry) = self.members.entry(image.config_entry) else { continue };
            let mut bytes = self.members.document(image.config_entry)?.to_vec();
            let read = self.members.data.read_at(entry.data, &mut bytes);
            if read.as_ref().is_err_and(|error| error.code() != Code::Truncated) {
                return read;
            }
            if read.is_err() || sha256(&bytes) != image.id {
                let sentence = "The file has changed since it was opened. Open it again.";
                return Err(Error::new(Code::SourceChanged, sentence)
                    .with("entry", &*entry.path)
                    .with("offset", entry.data));
            }
        }
        Ok(())
    }

    /// Finds an image as Docker does: by its whole ID, by name (with `latest` where no tag is given), or by the
    /// beginning of its ID. A name that several images have belongs to the last of them.
    ///
    /// Fails with `no-such-image`, `ambiguous-image` or `invalid-reference`.
    pub fn find(&self, image: &str) -> Result<usize> {
        let by_id = |id: &str| self.images.iter().position(|image| image.id == id);
        let bare = image.strip_prefix("sha256:").unwrap_or(image);
        if bare.len() == 64
            && let Some(found) = by_id(&format!("sha256:{bare}"))
        {
            return Ok(found);
        }
        let name = Name::new(image);
        if let Some(found) = self.images.iter().rposition(|image| image.names.contains(&name)) {
            return Ok(found);
        }
        let prefix = format!("sha256:{bare}");
        let is_prefix = !bare.is_empty() && bare.bytes().all(|byte| byte.is_ascii_hexdigit());
        let mut ids: Vec<&str> = self.images.iter().map(|image| image.id.as_str()).collect();
        ids.retain(|id| is_prefix && id.starts_with(&prefix));
        ids.sort_unstable();
        ids.dedup();
        match ids.as_slice() {
            [] => Err(no_such_image(image)),
            [id] => by_id(id).ok_or_else(|| no_such_image(image)),
            _ => Err(Error::new(
                Code::AmbiguousImage,
                format!("Multiple IDs found with provided prefix: {image}"),
            )
            .with("reference", image)),
        }
    }

    /// What `docker image inspect` prints for an image. Fails as [`Self::find`] does.
    pub fn inspect(&self, image: &str) -> Result<Inspect> {
        let found = self.find(image)?;
        let image = self.images.get(found).ok_or_else(|| no_such_image(image))?;
        let bytes = self.members.document(image.config_entry)?;
        let comment = image.history.last().and_then(|entry| entry.comment.clone());
        Ok(Inspect {
            id: image.id.clone(),
            repo_tags: image.names.iter().map(ToString::to_string).collect(),
            repo_digests: Vec::new(),
            comment: comment.unwrap_or_default(),
            created: image.created.clone(),
            author: image.author.clone().unwrap_or_default(),
            config: config::container_value(&bytes, &image.id)?,
            architecture: image.platform.architecture.clone(),
            variant: image.platform.variant.clone(),
            os: image.platform.os.clone(),
            size: image.size,
            root_fs: RootFs {
                kind: "layers",
                layers: image.layers.iter().filter_map(|layer| layer.diff_id.clone()).collect(),
            },
        })
    }

    /// The archive with other names, in every place that keeps names. `names` is per image.
    pub(crate) fn with_names(&self, names: &[Vec<Name>]) -> Result<Self> {
        let members = &self.members;
        let mut changed = Vec::new();
        if let Some(listing) = members.listing(manifest_json::PATH) {
            let listing = listing?;
            let bytes = manifest_json::rewrite(&listing.bytes, names);
            changed.extend(bytes.map(|bytes| (Place::At(listing.entry), bytes)));
        }
        if let Some(listing) = members.listing(oci_index::PATH) {
            let listing = listing?;
            let bytes = oci_index::rewrite(members, &listing.bytes, &self.images, names)?;
            changed.extend(bytes.map(|bytes| (Place::At(listing.entry), bytes)));
        }
        let listing = members.listing(repositories::PATH).transpose()?;
        let bytes = listing.as_ref().map(|listing| &*listing.bytes);
        if let Some(bytes) = repositories::rewrite(members, bytes, &self.images, names) {
            changed.push((
                listing.map_or(Place::New(repositories::PATH), |listing| Place::At(listing.entry)),
                bytes,
            ));
        }
        Self::assemble(members.with(changed)?)
    }
}

/// Docker's sentence for a name or ID that is not there: it adds `latest` to whatever has no tag.
pub(crate) fn no_such_image(image: &str) -> Error {
    let name = Reference::parse(image).map_or_else(|_| image.to_owned(), |reference| reference.to_string());
    Error::new(Code::NoSuchImage, format!("No such image: {name}")).with("reference", image)
}

/// Says what an archive without `manifest.json` is instead.
fn without_manifest(index: &TarIndex) -> Error {
    let unsupported = |format: Format, what: &str| {
        Error::new(Code::UnsupportedFormat, format!("This is {what}, which cannot be opened yet."))
            .with("format", format.as_str())
    };
    if index.resolve(oci_index::PATH).is_some() {
        return unsupported(Format::Oci, "an OCI image layout without manifest.json");
    }
    if index.resolve(repositories::PATH).is_some() {
        return unsupported(Format::DockerV1, "an archive by Docker 1.9 or earlier, without manifest.json");
    }
    Error::new(
        Code::NotAnImageArchive,
        "This tar is not an image archive: invalid archive: does not contain a manifest.json.",
    )
}

fn tar_findings(index: &TarIndex) -> Vec<Finding> {
    let mut findings = Vec::new();
    for entry in index.duplicates() {
        findings.push(
            Finding::new(
                FindingCode::DuplicateEntry,
                Severity::Warning,
                format!(
                    "The archive has {} more than once. Docker takes the last, skopeo, podman and crane the first.",
                    entry.path
                ),
            )
            .with("entry", &*entry.path)
            .with("offset", entry.header),
        );
    }
    for entry in index.entries().iter().filter(|entry| !entry.utf8) {
        findings.push(
            Finding::new(
                FindingCode::InvalidUtf8,
                Severity::Info,
                format!("The path of the member {} is not UTF-8.", entry.path),
            )
            .with("entry", &*entry.path)
            .with("offset", entry.header),
        );
    }
    if !index.has_end_blocks() {
        findings.push(
            Finding::new(
                FindingCode::NoEndBlocks,
                Severity::Info,
                "The tar has no end-of-archive blocks. It may have been cut off between two members.",
            )
            .with("offset", index.end()),
        );
    }
    findings
}

fn name_findings(
    images: &[Image],
    others: &[(&'static str, Option<Vec<Name>>)],
    findings: &mut Vec<Finding>,
) {
    let all = || images.iter().flat_map(|image| image.names.iter().map(move |name| (image, name)));
    for image in images.iter().filter(|image| image.names.is_empty()) {
        findings.push(
            Finding::new(
                FindingCode::Untagged,
                Severity::Info,
                format!("The image {} has no name.", image.id),
            )
            .with("image", image.id.as_str()),
        );
    }
    for (image, name) in all() {
        // Docker asks for a tag here: `foo` alone is refused, though it would do on a command line.
        let has_tag =
            name.reference().is_some() && Reference::parse_bare(name.text()).is_ok_and(|r| r.tag().is_some());
        if !has_tag {
            findings.push(
                Finding::new(
                    FindingCode::InvalidName,
                    Severity::Warning,
                    format!("Docker refuses the name \"{}\": invalid tag.", name.text()),
                )
                .with("image", image.id.as_str())
                .with("reference", name.text()),
            );
        }
    }
    let mut owners: HashMap<&Name, &str> = HashMap::new();
    for (image, name) in all() {
        if owners.insert(name, &image.id).is_some_and(|owner| owner != image.id) {
            findings.push(
                Finding::new(
                    FindingCode::DuplicateName,
                    Severity::Warning,
                    format!("Two images have the name {name}. Docker gives it to the last; skopeo refuses the archive."),
                )
                .with("image", image.id.as_str())
                .with("reference", name.to_string()),
            );
        }
    }
    for (path, names) in others {
        let Some(names) = names else {
            findings.push(
                Finding::new(
                    FindingCode::InvalidListing,
                    Severity::Warning,
                    format!("{path} cannot be read. Docker goes by manifest.json; tools that need {path} will fail."),
                )
                .with("entry", *path),
            );
            continue;
        };
        let there: HashSet<&Name> = names.iter().collect();
        let missing = all().map(|(_, name)| name).find(|name| !there.contains(name));
        let extra = names.iter().find(|name| !owners.contains_key(name));
        for (name, sentence) in [(missing, "lacks the name"), (extra, "has another name")] {
            findings.extend(name.map(|name| {
                Finding::new(
                    FindingCode::NamesDisagree,
                    Severity::Warning,
                    format!("{path} {sentence} {name}: tools that read it see other names than tools that read manifest.json."),
                )
                .with("entry", *path)
                .with("reference", name.to_string())
            }));
        }
    }
}

/// What `docker image inspect` prints for one image.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs)] // the fields are Docker's own
pub struct Inspect {
    pub id: String,
    pub repo_tags: Vec<String>,
    pub repo_digests: Vec<String>,
    pub comment: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    pub author: String,
    pub config: Value,
    pub architecture: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    pub os: String,
    pub size: u64,
    #[serde(rename = "RootFS")]
    pub root_fs: RootFs,
}

/// The layers of an [`Inspect`].
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct RootFs {
    /// Always `layers`.
    #[serde(rename = "Type")]
    pub kind: &'static str,
    /// Diff IDs, bottom first.
    pub layers: Vec<String>,
}
