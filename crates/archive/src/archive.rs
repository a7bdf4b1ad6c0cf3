//! An open archive.

use std::collections::HashMap;
use std::rc::Rc;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::config::{self, Config};
use crate::digest::hex;
use crate::error::{Code, Error, Finding, FindingCode, Result, Severity};
use crate::findings::{index_findings, name_findings, tar_findings, two_listings};
use crate::formats::oci_index::Line;
use crate::formats::{docker_v1, manifest_json, oci, oci_index, repositories};
use crate::members::{Listing, Members, Place};
use crate::model::{Format, Image, Layer, Name, Other, OtherKind};
use crate::recipe::Recipe;
use crate::reference::Reference;
use crate::source::Source;
use crate::tar::TarIndex;
use crate::write;

/// An image archive: its images, and the recipe of its bytes.
///
/// A value: edits give another archive and leave this one as it is. Cloning `S` should be cheap, as for an `Rc`.
#[derive(Debug, Clone)]
pub struct Archive<S> {
    pub(crate) members: Members<S>,
    format: Format,
    images: Vec<Image>,
    others: Vec<Other>,
    /// Layers that `index.json` has elsewhere than `manifest.json` does, each with the number of its image.
    pub(crate) copies: Vec<(usize, Layer)>,
    /// What each descriptor of `index.json` leads to.
    pub(crate) lines: Vec<Line>,
    findings: Vec<Finding>,
}

/// What an archive's documents say.
struct Contents {
    format: Format,
    images: Vec<Image>,
    others: Vec<Other>,
    copies: Vec<(usize, Layer)>,
    lines: Vec<Line>,
    findings: Vec<Finding>,
}

impl<S: Source + Clone> Archive<S> {
    /// Opens an archive. Only headers and metadata are read, whatever the archive's size.
    ///
    /// Fails as [`Indexer::step`](crate::Indexer::step) does, and with `not-an-image-archive`, `missing-entry`,
    /// `invalid-json`, `invalid-manifest` or `invalid-config`.
    pub fn open(source: S) -> Result<Self> {
        let index = TarIndex::read(&source)?;
        Self::from_index(source, index)
    }

    /// Opens an archive whose index was made before, in steps.
    pub fn from_index(source: S, index: TarIndex) -> Result<Self> {
        Self::assemble(Members::new(Recipe::whole(source), index))
    }

    /// Opens an unpacked archive: a folder, as the tar that it would be. `files` are its files by their paths in it.
    ///
    /// Fails as [`Self::open`] does.
    pub fn open_folder(files: impl IntoIterator<Item = (String, S)>) -> Result<Self> {
        Self::from_recipe(write::folder(files))
    }

    /// Opens an archive that is put together from parts: an edited one, say, that another instance edited.
    ///
    /// Fails as [`Self::open`] does.
    pub fn from_recipe(data: Recipe<S>) -> Result<Self> {
        let index = TarIndex::read(&data)?;
        Self::assemble(Members::new(data, index))
    }

    pub(crate) fn assemble(members: Members<S>) -> Result<Self> {
        let contents = members.within_budget(|| Self::read(&members))?;
        let Contents { format, images, others, copies, lines, findings } = contents;
        Ok(Self { members, format, images, others, copies, lines, findings })
    }

    fn read(members: &Members<S>) -> Result<Contents> {
        let mut findings = tar_findings(&members.index);
        let manifest = members.listing(manifest_json::PATH).transpose()?;
        let index = members.listing(oci_index::PATH).transpose()?;
        let repositories = members.listing(repositories::PATH).transpose()?;
        for path in [manifest_json::PATH, oci_index::PATH, repositories::PATH] {
            findings.extend(two_listings(members, path)?);
        }
        if manifest.is_none() && index.is_none() && repositories.is_none() && !docker_v1::is_there(members) {
            return Err(no_metadata());
        }
        let listed = manifest.map(|listing| manifest_json::read(members, &listing.bytes, &mut findings));
        let (mut images, format) = match (listed, &index, &repositories) {
            (Some(Ok(images)), None, _) => (images, Format::Docker),
            (Some(Ok(images)), Some(_), _) => (images, Format::DockerOci),
            // There are readers that do not miss it.
            (Some(Err(error)), Some(_), _) if is_of_listing(&error) => {
                let sentence = format!("{} Only readers of index.json take the archive.", error.message());
                findings.push(
                    Finding::new(FindingCode::InvalidListing, Severity::Warning, sentence)
                        .with("entry", manifest_json::PATH),
                );
                (Vec::new(), Format::Oci)
            }
            (Some(Err(error)), ..) => return Err(error),
            (None, Some(_), _) => (Vec::new(), Format::Oci),
            (None, None, names) => {
                let names = names.as_ref().map(|names| &*names.bytes);
                (docker_v1::read(members, names, &mut findings)?, Format::DockerV1)
            }
        };
        let mut listed = Vec::new();
        let mut others = Vec::new();
        let mut copies = Vec::new();
        let mut lines = Vec::new();
        if let Some(index) = &index {
            let own = images.len();
            let mut listing = oci_index::read(members, &index.bytes, &mut images, &mut findings);
            lines = listing.as_mut().map(|listing| std::mem::take(&mut listing.lines)).unwrap_or_default();
            if format == Format::Oci {
                others = read_layout(listing, &mut images, &mut findings)?;
            } else if let Some(listing) = listing {
                index_findings(&images, own, &listing.names, &mut findings);
                for (number, (image, names)) in images.iter_mut().zip(&listing.names).enumerate() {
                    let is_new = |name: &&Name| number >= own || name.is_bare();
                    image.names.extend(names.iter().filter(is_new).cloned());
                }
                listed.push((oci_index::PATH, Some(listing.names.into_iter().flatten().collect())));
                others = listing.others;
                copies = listing.copies;
            } else {
                listed.push((oci_index::PATH, None));
            }
        }
        if let Some(listing) = repositories.filter(|_| format != Format::DockerV1) {
            let names = repositories::read(&listing.bytes);
            let names = names.map(|names| names.into_iter().map(|(name, _)| name).collect());
            listed.push((repositories::PATH, names));
        }
        name_findings(&images, &lines, &listed, &mut findings);
        oci::check_layout(members, index.is_some(), &mut findings)?;
        Ok(Contents { format, images, others, copies, lines, findings })
    }

    /// The archive's layout.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The images: in the order of `manifest.json`, then those that only `index.json` lists, in its order.
    pub fn images(&self) -> &[Image] {
        &self.images
    }

    /// What its index lists beside the images: attestations, artefacts, images of which the archive has nothing.
    pub fn others(&self) -> &[Other] {
        &self.others
    }

    /// What is odd about the archive.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// What to write: the archive as it is now.
    pub fn recipe(&self) -> &Recipe<S> {
        &self.members.data
    }

    /// The bytes of an image's config, by the image's number. Fails with `no-such-image`, and as the source does.
    pub fn config(&self, image: usize) -> Result<Rc<[u8]>> {
        let found = self.images.get(image).ok_or_else(|| {
            Error::new(Code::NoSuchImage, "The archive has no image with that number.").with("image", image)
        })?;
        self.members.document(found.config_entry)
    }

    /// The archive's members.
    pub fn index(&self) -> &TarIndex {
        &self.members.index
    }

    /// The bytes of the member at a path, as they are stored. Fails with `missing-entry`.
    pub fn member(&self, path: &str) -> Result<Recipe<S>> {
        let found = self.members.index.find(path).and_then(|number| self.members.entry(number));
        let entry = found.ok_or_else(|| {
            Error::new(Code::MissingEntry, format!("The archive does not hold {path}.")).with("entry", path)
        })?;
        let mut recipe = Recipe::default();
        recipe.push_slice(&self.members.data, entry.data..entry.data + entry.size);
        Ok(recipe)
    }

    /// Checks that the source still holds what was indexed, before it is copied; fails with `source-changed`.
    ///
    /// The configs of the first and the last image are read again and must be what they were. That is a look at two
    /// places, not at every byte: not every browser says so when a file was rewritten after it was opened.
    pub fn recheck(&self) -> Result<()> {
        for image in self.images.first().into_iter().chain(self.images.last()) {
            let Some(entry) = self.members.entry(image.config_entry) else { continue };
            let known = self.members.document(image.config_entry)?;
            let mut bytes = known.to_vec();
            let read = self.members.data.read_at(entry.data, &mut bytes);
            if read.as_ref().is_err_and(|error| error.code() != Code::Truncated) {
                return read;
            }
            if read.is_err() || bytes != *known {
                let sentence = "The file has changed since it was opened. Open it again.";
                return Err(Error::new(Code::SourceChanged, sentence)
                    .with("entry", &*entry.path)
                    .with("offset", entry.data));
            }
        }
        Ok(())
    }

    /// Finds an image as Docker does: by its whole ID, by name (with `latest` where no tag is given), or by the
    /// beginning of its ID; or by its manifest's digest, which tells images apart that have one ID. A name that several
    /// images have belongs to the last of them; of the images for several platforms that share it, it means the one that
    /// most people mean.
    ///
    /// Fails with `no-such-image`, `ambiguous-image` or `invalid-reference`.
    pub fn find(&self, image: &str) -> Result<usize> {
        if let Some(found) = self.by_manifest(image) {
            return Ok(found);
        }
        let by_id = |id: &str| self.images.iter().position(|image| image.id == id);
        let bare = hex(image);
        // Docker 1.9's IDs have no algorithm.
        if bare.len() == 64
            && let Some(found) = self.images.iter().position(|image| hex(&image.id) == bare)
        {
            return Ok(found);
        }
        let name = Name::new(image);
        if let Some(found) = self.images.iter().rposition(|image| image.names.contains(&name)) {
            let line = self.line(found, &name).and_then(|line| self.lines.get(line));
            return Ok(line.map_or(found, |line| self.preferred(&line.images, found)));
        }
        let is_prefix = !bare.is_empty() && bare.bytes().all(|byte| byte.is_ascii_hexdigit());
        let mut ids: Vec<&str> = self.images.iter().map(|image| image.id.as_str()).collect();
        ids.retain(|id| is_prefix && hex(id).starts_with(bare));
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

    fn by_manifest(&self, digest: &str) -> Option<usize> {
        self.images.iter().position(|image| image.digest.as_deref() == Some(digest))
    }

    /// The images that are meant, as [`Self::find`] finds one: those for all platforms, where a name leads to several.
    pub fn choose(&self, image: &str) -> Result<Vec<usize>> {
        let found = self.find(image)?;
        let line = self.line(found, &Name::new(image)).and_then(|line| self.lines.get(line));
        Ok(line.map_or_else(|| vec![found], |line| line.images.clone()))
    }

    /// The last line of `index.json` that leads to an image by that name.
    pub(crate) fn line(&self, image: usize, name: &Name) -> Option<usize> {
        self.lines.iter().rposition(|line| line.name.as_ref() == Some(name) && line.has(image))
    }

    /// Of the images for several platforms, the one that most people mean.
    fn preferred(&self, images: &[usize], found: usize) -> usize {
        let is_common =
            |&&image: &&usize| self.images.get(image).is_some_and(|image| image.platform.is_common());
        images.iter().find(is_common).or(images.first()).copied().unwrap_or(found)
    }

    /// What `docker image inspect` prints for an image. Fails as [`Self::find`] does.
    pub fn inspect(&self, image: &str) -> Result<Inspect> {
        let found = self.find(image)?;
        let image = self.images.get(found).ok_or_else(|| no_such_image(image))?;
        let bytes = self.members.document(image.config_entry)?;
        Ok(Inspect {
            repo_tags: image.names.iter().map(ToString::to_string).collect(),
            parent: image.parent.clone(),
            size: image.size,
            root_fs: RootFs::of(image.layers.iter().filter_map(|layer| layer.diff_id.clone()).collect()),
            ..Inspect::of(&image.id, &bytes)?
        })
    }

    /// `manifest.json`, where the images are its own: one that could not be read stays as it is.
    pub(crate) fn manifest_listing(&self) -> Result<Option<Listing>> {
        let listing = self.members.listing(manifest_json::PATH).filter(|_| self.format != Format::Oci);
        listing.transpose()
    }

    /// The archive with other names, in every place that keeps names. `names` is per image; those of `places` go to that line
    /// of `index.json` alone, and are no longer those of what is no image.
    pub(crate) fn with_names(&self, names: &[Vec<Name>], places: &HashMap<Name, usize>) -> Result<Self> {
        let members = &self.members;
        let edited = members.within_budget(|| {
            let mut changed = Vec::new();
            if let Some(listing) = self.manifest_listing()? {
                let bytes = manifest_json::rewrite(&listing.bytes, names);
                changed.extend(bytes.map(|bytes| (Place::At(listing.entry), bytes)));
            }
            if let Some(listing) = members.listing(oci_index::PATH) {
                let listing = listing?;
                let bytes = oci_index::rewrite(members, &listing.bytes, &self.images, names, places)?;
                changed.extend(bytes.map(|bytes| (Place::At(listing.entry), bytes)));
            }
            let listing = members.listing(repositories::PATH).transpose()?;
            let bytes = listing.as_ref().map(|listing| &*listing.bytes);
            if let Some(bytes) = repositories::rewrite(members, bytes, &self.images, names) {
                changed.push((
                    listing.map_or(Place::New(repositories::PATH.to_owned()), |listing| {
                        Place::At(listing.entry)
                    }),
                    bytes,
                ));
            }
            members.with(changed)
        })?;
        Self::assemble(edited)
    }
}

/// Docker's sentence for a name or ID that is not there: it adds `latest` to whatever has no tag.
pub(crate) fn no_such_image(image: &str) -> Error {
    let name = Reference::parse(image).map_or_else(|_| image.to_owned(), |reference| reference.to_string());
    Error::new(Code::NoSuchImage, format!("No such image: {name}")).with("reference", image)
}

fn no_metadata() -> Error {
    Error::new(
        Code::NotAnImageArchive,
        "This tar is not an image archive: invalid archive: does not contain a manifest.json.",
    )
}

/// Whether it is `manifest.json` itself that makes no sense, and not what it names.
fn is_of_listing(error: &Error) -> bool {
    matches!(error.code(), Code::InvalidJson | Code::InvalidManifest)
}

/// Takes the images of a layout without `manifest.json` from its index.
///
/// Fails where the index is none, and as the first image does where none can be read.
fn read_layout(
    listing: Option<oci_index::Listing>,
    images: &mut [Image],
    findings: &mut Vec<Finding>,
) -> Result<Vec<Other>> {
    let Some(listing) = listing else {
        return Err(Error::new(Code::InvalidManifest, "index.json is not an image index.")
            .with("entry", oci_index::PATH));
    };
    if let Some(error) = listing.unread.filter(|error| images.is_empty() || error.is_of_source()) {
        return Err(error);
    }
    if images.is_empty() {
        let absent = listing.others.iter().find(|other| other.kind == OtherKind::Absent);
        if let Some(absent) = absent.filter(|_| listing.others.iter().all(|o| o.kind == OtherKind::Absent)) {
            let sentence =
                format!("The archive is incomplete: index.json lists {}, which is not there.", absent.digest);
            return Err(Error::new(Code::MissingEntry, sentence).with("digest", absent.digest.as_str()));
        }
        let sentence = "index.json lists no image.";
        findings.push(Finding::new(FindingCode::NoImages, Severity::Warning, sentence));
    }
    for (image, names) in images.iter_mut().zip(listing.names) {
        image.names = names;
    }
    Ok(listing.others)
}

/// What `docker image inspect` prints for one image.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs)] // the fields are Docker's own
pub struct Inspect {
    pub id: String,
    pub repo_tags: Vec<String>,
    pub repo_digests: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    pub comment: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    pub author: String,
    pub config: Box<RawValue>,
    pub architecture: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    pub os: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    pub size: u64,
    #[serde(rename = "RootFS")]
    pub root_fs: RootFs,
}

impl Inspect {
    /// What an image's config says. It has no names, no parent and no size.
    ///
    /// Fails with `invalid-config`.
    pub fn of(id: &str, config: &[u8]) -> Result<Self> {
        let Config { platform, created, author, comment, os_version, diff_ids, .. } =
            Config::read(config, id)?;
        Ok(Self {
            id: id.to_owned(),
            repo_tags: Vec::new(),
            repo_digests: Vec::new(),
            parent: None,
            comment: comment.unwrap_or_default(),
            created,
            author: author.unwrap_or_default(),
            config: config::container_value(config, id)?,
            architecture: platform.architecture,
            variant: platform.variant,
            os: Some(platform.os).filter(|os| !os.is_empty()).unwrap_or_else(|| "linux".to_owned()),
            os_version,
            size: 0,
            root_fs: RootFs::of(diff_ids),
        })
    }
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

impl RootFs {
    fn of(layers: Vec<String>) -> Self {
        Self { kind: "layers", layers }
    }
}
