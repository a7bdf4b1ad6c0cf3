//! An open archive.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::config;
use crate::digest::sha256;
use crate::error::{Code, Error, Finding, FindingCode, Result, Severity};
use crate::formats::{docker_v1, manifest_json, oci_index, repositories};
use crate::members::{Members, Place};
use crate::model::{Format, Image, Name, Other, OtherKind};
use crate::recipe::Recipe;
use crate::reference::Reference;
use crate::source::Source;
use crate::tar::{Entry, TarIndex};
use crate::verify::two_contents;
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
    findings: Vec<Finding>,
}

/// What an archive's documents say.
struct Contents {
    format: Format,
    images: Vec<Image>,
    others: Vec<Other>,
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
        let Contents { format, images, others, findings } = contents;
        Ok(Self { members, format, images, others, findings })
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
        let mut images = match (&manifest, &index, &repositories) {
            (Some(manifest), ..) => manifest_json::read(members, &manifest.bytes, &mut findings)?,
            (None, Some(_), _) => Vec::new(),
            (None, None, names) => {
                docker_v1::read(members, names.as_ref().map(|names| &*names.bytes), &mut findings)?
            }
        };
        let format = match (&manifest, &index) {
            (Some(_), None) => Format::Docker,
            (Some(_), Some(_)) => Format::DockerOci,
            (None, Some(_)) => Format::Oci,
            (None, None) => Format::DockerV1,
        };
        let mut listed = Vec::new();
        let mut others = Vec::new();
        if let Some(index) = &index {
            let own = images.len();
            let listing = oci_index::read(members, &index.bytes, &mut images, &mut findings);
            if format == Format::Oci {
                others = read_layout(listing, &mut images, &mut findings)?;
            } else if let Some(listing) = listing {
                index_findings(&images, own, &listing.names, &mut findings);
                for (image, names) in images.iter_mut().zip(&listing.names).skip(own) {
                    image.names.clone_from(names);
                }
                listed.push((oci_index::PATH, Some(listing.names.into_iter().flatten().collect())));
                others = listing.others;
            } else {
                listed.push((oci_index::PATH, None));
            }
        }
        if let Some(listing) = repositories.filter(|_| format != Format::DockerV1) {
            let names = repositories::read(&listing.bytes);
            let names = names.map(|names| names.into_iter().map(|(name, _)| name).collect());
            listed.push((repositories::PATH, names));
        }
        name_findings(&images, &listed, &mut findings);
        Ok(Contents { format, images, others, findings })
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
    /// images have belongs to the last of them.
    ///
    /// Fails with `no-such-image`, `ambiguous-image` or `invalid-reference`.
    pub fn find(&self, image: &str) -> Result<usize> {
        if let Some(found) = self.by_manifest(image) {
            return Ok(found);
        }
        let by_id = |id: &str| self.images.iter().position(|image| image.id == id);
        let bare = image.strip_prefix("sha256:").unwrap_or(image);
        // Docker 1.9's IDs have no algorithm.
        let hex = |id: &'_ str| id.strip_prefix("sha256:").unwrap_or(id).to_owned();
        if bare.len() == 64
            && let Some(found) = self.images.iter().position(|image| hex(&image.id) == bare)
        {
            return Ok(found);
        }
        let name = Name::new(image);
        if let Some(found) = self.images.iter().rposition(|image| image.names.contains(&name)) {
            return Ok(self.preferred(found));
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
        let Some(one) = self.images.get(found) else { return Ok(Vec::new()) };
        if one.index.is_none() || !one.names.contains(&Name::new(image)) {
            return Ok(vec![found]);
        }
        let same = self.images.iter().enumerate().filter(|(_, other)| other.index == one.index);
        Ok(same.map(|(number, _)| number).collect())
    }

    /// Of the images for several platforms that share their names with that one, the one that most people mean.
    pub(crate) fn preferred(&self, found: usize) -> usize {
        let Some(index) = self.images.get(found).and_then(|image| image.index.as_ref()) else { return found };
        let same = || self.images.iter().enumerate().filter(|(_, image)| image.index.as_ref() == Some(index));
        let common = |image: &Image| image.platform.os == "linux" && image.platform.architecture == "amd64";
        let first = same().find(|(_, image)| common(image)).or_else(|| same().next());
        first.map_or(found, |(number, _)| number)
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
            parent: image.parent.clone(),
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
        let edited = members.within_budget(|| {
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

/// Notes a listing that the archive has twice, and not twice the same.
fn two_listings<S: Source + Clone>(members: &Members<S>, path: &str) -> Result<Option<Finding>> {
    let Some(entry) = members.index.resolve(path) else { return Ok(None) };
    let mut contents = Vec::new();
    for same in members.index.same_path(entry) {
        contents.push(sha256(&members.read_listing(same)?));
    }
    Ok(match contents.as_slice() {
        [first, .., last] if first != last => Some(two_contents(path, last, first)),
        _ => None,
    })
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

/// Notes names by which `manifest.json` and `index.json` lead to different images.
fn index_findings(images: &[Image], own: usize, listed: &[Vec<Name>], findings: &mut Vec<Finding>) {
    let mut there: HashMap<&Name, (&Image, HashSet<&str>)> = HashMap::new();
    for (names, image) in listed.iter().zip(images) {
        for name in names {
            there.entry(name).or_insert((image, HashSet::new())).1.insert(&image.id);
        }
    }
    for image in images.iter().take(own) {
        for name in &image.names {
            let Some((other, ids)) = there.get(name) else { continue };
            if ids.contains(image.id.as_str()) {
                continue;
            }
            findings.push(
                Finding::new(
                    FindingCode::Ambiguous,
                    Severity::Error,
                    format!(
                        "{name} is {} to Docker's classic store, skopeo and crane, which read manifest.json, but {} to containerd and podman, which read index.json.",
                        image.id, other.id
                    ),
                )
                .with("reference", name.to_string())
                .with("expected", image.id.as_str())
                .with("actual", other.id.as_str()),
            );
        }
    }
}

/// So many members are listed for each thing that is odd about them; of the others it is said how many there are.
const LISTED: usize = 100;

fn tar_findings(index: &TarIndex) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut note =
        |code, severity, entries: &mut dyn Iterator<Item = &Entry>, sentence: &dyn Fn(&Entry) -> String| {
            for entry in Iterator::take(&mut *entries, LISTED) {
                let finding = Finding::new(code, severity, sentence(entry)).with("entry", &*entry.path);
                findings.push(match entry.overruled.filter(|_| code == FindingCode::Ambiguous) {
                    None => finding.with("offset", entry.header),
                    Some(stated) => finding
                        .with("offset", entry.header)
                        .with("expected", entry.size)
                        .with("actual", stated),
                });
            }
            let more = entries.count();
            if more > 0 {
                let sentence = format!("The same is true of {more} members more.");
                findings.push(Finding::new(code, severity, sentence).with("actual", more));
            }
        };
    let all = || index.entries().iter();
    note(FindingCode::DuplicateEntry, Severity::Warning, &mut index.duplicates(), &|entry| {
        format!(
            "The archive has {} more than once. Docker takes the last, skopeo, podman and crane the first.",
            entry.path
        )
    });
    // A size that the header has no room for leaves the field empty.
    let disagrees =
        |entry: &&Entry| entry.overruled.is_some_and(|stated| stated != 0 && stated != entry.size);
    note(FindingCode::Ambiguous, Severity::Error, &mut all().filter(disagrees), &|entry| {
        format!(
            "The header of {} says {} bytes, its pax record {}: Docker, containerd, skopeo and crane go by the record, some other readers by the header, and read another archive from there on.",
            entry.path,
            entry.overruled.unwrap_or_default(),
            entry.size
        )
    });
    note(FindingCode::InvalidUtf8, Severity::Info, &mut all().filter(|entry| !entry.utf8), &|entry| {
        format!("The path of the member {} is not UTF-8.", entry.path)
    });
    note(FindingCode::OddPath, Severity::Info, &mut all().filter(|entry| is_odd(&entry.path)), &|entry| {
        format!(
            "The path of the member {} leads out of the archive, is absolute, or has characters that cannot be seen.",
            entry.path
        )
    });
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

/// Whether whoever unpacks or prints a path may be surprised by it.
fn is_odd(path: &str) -> bool {
    // Controls, and those that turn the direction of the text around them.
    let is_unseen = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    path.starts_with('/') || path.split('/').any(|part| part == "..") || path.contains(is_unseen)
}

fn name_findings(
    images: &[Image],
    others: &[(&'static str, Option<Vec<Name>>)],
    findings: &mut Vec<Finding>,
) {
    let all = || images.iter().flat_map(|image| image.names.iter().map(move |name| (image, name)));
    // Images for several platforms are one image to whoever names them.
    let mut seen = HashSet::new();
    let is_first = |image: &&Image| image.index.as_ref().is_none_or(|index| seen.insert(index.clone()));
    for image in images.iter().filter(|image| image.names.is_empty()).filter(is_first) {
        findings.push(
            Finding::new(
                FindingCode::Untagged,
                Severity::Info,
                format!("The image {} has no name.", image.id),
            )
            .with("image", image.id.as_str()),
        );
    }
    let mut bare = HashSet::new();
    for (image, name) in all() {
        if name.reference().is_none() && Reference::parse_bare(name.text()).is_ok() {
            if !bare.insert(name) {
                continue;
            }
            let sentence = format!("The reference \"{}\" is a tag without a repository.", name.text());
            findings.push(
                Finding::new(FindingCode::BareTag, Severity::Info, sentence)
                    .with("image", image.id.as_str())
                    .with("reference", name.text()),
            );
            continue;
        }
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
    let mut owners: HashMap<&Name, &Image> = HashMap::new();
    for (image, name) in all() {
        // Images for several platforms share the names of their index.
        let is_other =
            |owner: &Image| owner.id != image.id && (image.index.is_none() || owner.index != image.index);
        if owners.insert(name, image).is_some_and(is_other) {
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
