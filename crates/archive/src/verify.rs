//! Whether an archive is what its digests say, to the last byte.
//!
//! The bytes are measured elsewhere, in parallel if there is more than one processor: [`Archive::blobs_to_measure`]
//! says what is to be measured, [`Archive::report`] what follows from it. [`Archive::verify`] does it all in one go.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Range;

use serde::Serialize;

use crate::archive::Archive;
use crate::digest::{self, Algorithm};
use crate::error::{Code, Error, Fact, Finding, FindingCode, Result, Severity};
use crate::formats::{manifest_json, oci, oci_index, repositories};
use crate::measure::{Measured, measure};
use crate::model::{Format, Image, Layer, Name};
use crate::source::{Source, read_vec, sum};
use crate::tar::EntryKind;
use crate::unpack::Limits;

/// How much after the end of a tar is looked at.
const TAIL: u64 = 1 << 20;

/// A member whose bytes [`Archive::report`] needs to know about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Number of the member in the archive's index.
    pub entry: usize,
    /// Where its content stands in the archive.
    pub range: Range<u64>,
    /// For the digest of the bytes as stored.
    pub stored: Algorithm,
    /// For the digest of what they hold.
    pub content: Algorithm,
    /// Whether they are to be unpacked, if they are compressed: the diff ID of a layer is that of its content.
    pub unpack: bool,
}

/// What is true of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Every digest holds.
    Intact,
    /// A layer has no digest (Docker 1.9's format has none), or one of an algorithm that is not known, or it could not be unpacked
    /// within the limits, or is encrypted: nothing shows that what it holds is what it should be.
    Unproven,
    /// Two readers would see two different images.
    Ambiguous,
    /// Something is not what it should be, or not there.
    Damaged,
}

/// What [`Archive::report`] finds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The worst of all that follows.
    pub verdict: Verdict,
    /// Each image of the archive, in its order.
    pub images: Vec<ImageReport>,
    /// Each member that was measured, in the archive's order.
    pub blobs: Vec<BlobReport>,
    /// All that is odd, that which was known when the archive was opened included.
    pub findings: Vec<Finding>,
    /// How many bytes were measured.
    pub bytes: u64,
}

/// What is true of one image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageReport {
    /// The image's ID.
    pub id: String,
    /// Its names.
    #[serde(rename = "references")]
    pub names: Vec<Name>,
    /// The worst of its config, its manifest and its layers.
    pub verdict: Verdict,
}

/// What a member is to the images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// An image's config.
    Config,
    /// A layer.
    Layer,
    /// A manifest, an index, an attestation, or anything else that an index leads to.
    Other,
    /// Nothing leads to it.
    Unreferenced,
}

/// What is true of one member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BlobReport {
    /// The member's path.
    pub path: String,
    /// What it is.
    pub role: Role,
    /// Digest of its bytes as stored.
    pub digest: String,
    /// Their number.
    pub size: u64,
    /// How they are compressed: `gzip`, `zstd`, …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compression: Option<&'static str>,
    /// Digest of what they hold, where that was asked for and could be unpacked: a layer's diff ID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_digest: Option<String>,
    /// Bytes that they hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_size: Option<u64>,
    /// Whether its digests hold.
    pub verdict: Verdict,
}

impl<S: Source + Clone> Archive<S> {
    /// Which members are to be measured for [`Self::report`], in the archive's order.
    pub fn blobs_to_measure(&self) -> Vec<Job> {
        let members = &self.members;
        let mut layers: BTreeMap<usize, &Layer> = BTreeMap::new();
        let copies = self.copies.iter().map(|(_, layer)| layer);
        for layer in self.images().iter().flat_map(|image| &image.layers).chain(copies) {
            let Some(entry) = layer.entry.filter(|entry| !layers.contains_key(entry)) else { continue };
            // Readers differ on which of several members of one path is the layer.
            for entry in [entry].into_iter().chain(members.index.occurrences(entry)) {
                layers.entry(entry).or_insert(layer);
            }
        }
        // Many images may have one config.
        let configs: BTreeSet<usize> = self.images().iter().map(|image| image.config_entry).collect();
        let configs: BTreeSet<usize> = configs
            .into_iter()
            .flat_map(|entry| members.index.occurrences(entry).into_iter().chain([entry]))
            .collect();
        let is_layout = self.is_layout();
        let job = |(number, entry): (usize, &crate::tar::Entry)| {
            let layer = layers.get(&number);
            let named = digest::in_name(&entry.path).filter(|_| is_layout && is_blob(&entry.path));
            if entry.kind != EntryKind::File
                || layer.is_none() && named.is_none() && !configs.contains(&number)
            {
                return None;
            }
            let stated = layer.and_then(|layer| layer.digest.as_deref()).or(named.as_deref());
            let diff_id = layer.and_then(|layer| layer.diff_id.as_deref());
            let content = diff_id.and_then(Algorithm::of).unwrap_or_default();
            Some(Job {
                entry: number,
                range: entry.data..entry.data + entry.size,
                stored: stated.and_then(Algorithm::of).unwrap_or(content),
                content,
                unpack: layer.is_some_and(|layer| !layer.is_encrypted()),
            })
        };
        members.index.entries().iter().enumerate().filter_map(job).collect()
    }

    /// Whether the archive has, or is, an OCI layout, in which names are digests.
    fn is_layout(&self) -> bool {
        let index = &self.members.index;
        [oci_index::PATH, oci::LAYOUT].iter().any(|path| index.resolve(path).is_some())
    }

    /// What follows from the measured members, by their numbers.
    ///
    /// Fails where the archive cannot be read.
    pub fn report(&self, measured: &HashMap<usize, Measured>) -> Result<Report> {
        let mut findings = self.findings().to_vec();
        let mut damaged: BTreeSet<usize> = BTreeSet::new();
        let is_mismatch = |finding: &&Finding| finding.code == FindingCode::DigestMismatch;
        let expected = |finding: &Finding| finding.detail.get("expected").cloned();
        let mut mismatches: HashSet<_> = findings.iter().filter(is_mismatch).map(expected).collect();
        let mut note = |entry: Option<usize>, finding: Finding| {
            if finding.severity == Severity::Error {
                damaged.extend(entry);
            }
            if !is_mismatch(&&finding) || mismatches.insert(expected(&finding)) {
                findings.push(finding);
            }
        };
        let configs: HashSet<usize> = self.images().iter().map(|image| image.config_entry).collect();
        let layers = self.images().iter().flat_map(|image| &image.layers);
        let layers: HashSet<usize> = layers.filter_map(|layer| layer.entry).collect();
        let is_layout = self.is_layout();
        for (&number, measured) in sorted(measured) {
            let Some(entry) = self.members.entry(number) else { continue };
            let Some(stated) = digest::in_name(&entry.path) else { continue };
            if Algorithm::of(&stated) == Algorithm::of(&measured.digest) && stated != measured.digest {
                // Elsewhere than in a layout, the name of a file is no promise.
                let is_promise = is_layout && is_blob(&entry.path);
                let is_config = configs.contains(&number);
                let severity = if is_promise { Severity::Error } else { Severity::Warning };
                // Of a config, opening it has told already.
                if is_promise || !is_config {
                    note(Some(number), digest_mismatch(&entry.path, &stated, &measured.digest, severity));
                }
            }
        }
        let own = self.images().iter().flat_map(|image| image.layers.iter().map(move |layer| (image, layer)));
        let copies =
            self.copies.iter().filter_map(|(image, layer)| Some((self.images().get(*image)?, layer)));
        for (image, layer) in own.chain(copies) {
            let Some(entry) = layer.entry else { continue };
            if let Some(measured) = measured.get(&entry) {
                check_layer(image, layer, measured, &mut |finding| note(Some(entry), finding));
            }
        }
        let all: BTreeSet<usize> = layers.iter().chain(&configs).copied().collect();
        for finding in all.into_iter().flat_map(|entry| self.others_of(entry, measured)) {
            note(None, finding);
        }
        if let Some(finding) = self.tail()? {
            note(None, finding);
        }
        let orphans = self.orphans();
        for entry in orphans.iter().filter_map(|&number| self.members.entry(number)) {
            let sentence = format!("Nothing in the archive leads to {}.", entry.path);
            let finding = Finding::new(FindingCode::Unreferenced, Severity::Info, sentence);
            note(None, finding.with("entry", &*entry.path));
        }
        findings.dedup();
        let is_cut = |number: usize| {
            measured.get(&number).is_some_and(|measured| measured.content.as_ref().is_err_and(is_of_limit))
        };
        let blobs: Vec<BlobReport> = sorted(measured)
            .filter_map(|(&number, measured)| {
                let verdict = match () {
                    () if damaged.contains(&number) => Verdict::Damaged,
                    () if is_cut(number) => Verdict::Unproven,
                    () => Verdict::Intact,
                };
                let role = if configs.contains(&number) {
                    Role::Config
                } else if layers.contains(&number) {
                    Role::Layer
                } else if orphans.contains(&number) {
                    Role::Unreferenced
                } else {
                    Role::Other
                };
                self.blob_report(number, measured, verdict, role)
            })
            .collect();
        // What is wrong with each image, by its ID.
        let mut wrong: HashMap<&str, Verdict> = HashMap::new();
        for finding in findings.iter().filter(|finding| finding.severity == Severity::Error) {
            if let Some(Fact::Text(id)) = finding.detail.get("image") {
                let worst = wrong.entry(id).or_insert(Verdict::Intact);
                *worst = verdict_of(finding).max(*worst);
            }
        }
        let is_open =
            |layer: &Layer, entry| measured.get(&entry).is_some_and(|measured| is_open(layer, measured));
        let report = |image| self.image_report(image, &damaged, &wrong, is_open);
        let images: Vec<ImageReport> = self.images().iter().map(report).collect();
        let worst =
            images.iter().map(|image| image.verdict).chain(blobs.iter().map(|blob| blob.verdict)).max();
        let of_findings =
            findings.iter().filter(|finding| finding.severity == Severity::Error).map(verdict_of).max();
        Ok(Report {
            verdict: worst.into_iter().chain(of_findings).max().unwrap_or(Verdict::Intact),
            bytes: sum(blobs.iter().map(|blob| blob.size)),
            images,
            blobs,
            findings,
        })
    }

    /// Notes members of the same path that are not the same.
    fn others_of(&self, entry: usize, measured: &HashMap<usize, Measured>) -> Vec<Finding> {
        let path = self.members.entry(entry).map_or("", |entry| &*entry.path);
        let Some(own) = measured.get(&entry) else { return Vec::new() };
        let others =
            self.members.index.occurrences(entry).into_iter().filter_map(|other| measured.get(&other));
        others
            .filter(|other| other.digest != own.digest)
            .map(|other| two_contents(path, &own.digest, &other.digest))
            .collect()
    }

    /// Measures and reports in one go. Fails where the archive cannot be read.
    pub fn verify(&self, limits: Limits) -> Result<Report> {
        let mut measured = HashMap::new();
        for Job { entry, range, stored, content, unpack } in self.blobs_to_measure() {
            let found = measure(self.recipe().clone(), range, stored, content, unpack.then_some(limits))?;
            measured.insert(entry, found);
        }
        self.report(&measured)
    }

    fn blob_report(
        &self,
        number: usize,
        measured: &Measured,
        verdict: Verdict,
        role: Role,
    ) -> Option<BlobReport> {
        let content = measured.content.as_ref().ok().filter(|_| role == Role::Layer);
        Some(BlobReport {
            path: self.members.entry(number)?.path.to_string(),
            role,
            digest: measured.digest.clone(),
            size: measured.size,
            compression: measured.compression.map(crate::Compression::name),
            content_digest: content.map(|content| content.digest.clone()),
            content_size: content.map(|content| content.size),
            verdict,
        })
    }

    fn image_report(
        &self,
        image: &Image,
        damaged: &BTreeSet<usize>,
        wrong: &HashMap<&str, Verdict>,
        is_open: impl Fn(&Layer, usize) -> bool,
    ) -> ImageReport {
        let manifest = image.digest.as_deref().and_then(digest::blob_path);
        let manifest = manifest.and_then(|path| self.members.index.resolve(&path));
        let entries = image.layers.iter().filter_map(|layer| layer.entry);
        let entries = entries.chain([image.config_entry]).chain(manifest);
        let of_findings = wrong.get(image.id.as_str()).copied();
        let of_members = if { entries }.any(|entry| damaged.contains(&entry)) {
            Verdict::Damaged
        } else {
            Verdict::Intact
        };
        let is_unproven = |layer: &Layer| {
            let stated = || [&layer.diff_id, &layer.digest].into_iter().flatten();
            // A digest of an algorithm that is not known proves as little as none, and what it promises is open. So is what
            // encrypted bytes hold.
            layer.is_encrypted()
                || stated().next().is_none()
                || stated().any(|digest| Algorithm::of(digest).is_none())
        };
        let unproven = image
            .layers
            .iter()
            .any(|layer| layer.entry.is_some_and(|entry| is_open(layer, entry) || is_unproven(layer)));
        let proof = if unproven { Verdict::Unproven } else { Verdict::Intact };
        let verdict = of_members.max(proof).max(of_findings.unwrap_or(Verdict::Intact));
        ImageReport { id: image.id.clone(), names: image.names.clone(), verdict }
    }

    /// The members that something leads to, or that every archive of its kind has.
    pub(crate) fn known_members(&self) -> BTreeSet<usize> {
        let index = &self.members.index;
        let mut known: BTreeSet<usize> = BTreeSet::new();
        let listings = [manifest_json::PATH, oci_index::PATH, repositories::PATH];
        known.extend(listings.iter().filter_map(|path| index.resolve(path)));
        // Without an index there is nothing that it could be of.
        known.extend(index.resolve(oci_index::PATH).and_then(|_| index.resolve(oci::LAYOUT)));
        for image in self.images() {
            known.insert(image.config_entry);
            known.extend(image.layers.iter().filter_map(|layer| layer.entry));
        }
        if let Some(Ok(listing)) = self.members.listing(oci_index::PATH) {
            known.extend(oci::reachable(&self.members, &listing.bytes).into_values());
        }
        // Docker's layer directories hold three files. In the format of Docker 1.9, one that no image has may belong to
        // an image that was saved elsewhere.
        let is_v1 = self.format() == Format::DockerV1;
        for (number, entry) in index.entries().iter().enumerate() {
            let Some((directory, name)) = entry.path.rsplit_once('/') else { continue };
            let has = |name: &str| index.resolve(&format!("{directory}/{name}"));
            if matches!(name, "json" | "VERSION")
                && has("layer.tar").is_some_and(|layer| known.contains(&layer))
                || is_v1 && matches!(name, "json" | "VERSION" | "layer.tar") && has("json").is_some()
            {
                known.insert(number);
            }
        }
        let same = index.same_paths(known.iter().copied());
        known.extend(same);
        known
    }

    /// What stands after the end of the tar.
    fn tail(&self) -> Result<Option<Finding>> {
        let len = self.recipe().len();
        // The file may end before its last member's padding does.
        let start = self.members.index.end().min(len);
        let size = usize::try_from((len - start).min(TAIL)).unwrap_or(0);
        let tail = read_vec(self.recipe(), start, size)?;
        let Some(first) = tail.iter().position(|&byte| byte != 0) else { return Ok(None) };
        let sentence = if first < 1024 {
            "The tar ends with a single zero block, but more follows: Go's readers refuse it, others stop there or read on."
        } else {
            "Bytes follow the end of the tar. Most readers ignore them."
        };
        Ok(Some(
            Finding::new(FindingCode::TrailingData, Severity::Warning, sentence)
                .with("offset", start + first as u64),
        ))
    }
}

fn sorted(measured: &HashMap<usize, Measured>) -> impl Iterator<Item = (&usize, &Measured)> {
    measured.iter().collect::<BTreeMap<_, _>>().into_iter()
}

/// Whether a path is that of a blob of a layout, whose name is the digest of its content.
fn is_blob(path: &str) -> bool {
    path.trim_start_matches("./").trim_start_matches('/').starts_with("blobs/") && !path.ends_with(".tar.gz")
}

fn verdict_of(finding: &Finding) -> Verdict {
    if finding.code == FindingCode::Ambiguous { Verdict::Ambiguous } else { Verdict::Damaged }
}

/// Whether bytes are too many, rather than wrong.
fn is_of_limit(error: &Error) -> bool {
    error.code() == Code::LimitExceeded
}

/// Whether it is not known if a layer is what its digests say: it is cut off, or was measured by the algorithms of another image,
/// which states others.
fn is_open(layer: &Layer, measured: &Measured) -> bool {
    let is_other = |stated: &Option<String>, measured: &str| {
        stated.as_ref().is_some_and(|stated| Algorithm::of(stated) != Algorithm::of(measured))
    };
    let content = measured.content.as_ref();
    is_other(&layer.digest, &measured.digest)
        || content.map_or_else(is_of_limit, |content| is_other(&layer.diff_id, &content.digest))
}

fn digest_mismatch(path: &str, stated: &str, actual: &str, severity: Severity) -> Finding {
    Finding::new(
        FindingCode::DigestMismatch,
        severity,
        format!("{path} is not what its name says: its digest is {actual}."),
    )
    .with("entry", path)
    .with("expected", stated)
    .with("actual", actual)
}

fn check_layer(image: &Image, layer: &Layer, measured: &Measured, note: &mut dyn FnMut(Finding)) {
    let finding = |code, severity, sentence: String| {
        Finding::new(code, severity, sentence)
            .with("image", image.id.as_str())
            .with("entry", layer.path.as_str())
    };
    // A name in a path has been compared with the bytes already; what a manifest states has not.
    let stated = layer.digest.as_ref().filter(|_| image.digest.is_some());
    if let Some(stated) = stated.filter(|stated| **stated != measured.digest)
        && Algorithm::of(stated) == Algorithm::of(&measured.digest)
    {
        let sentence = format!("The layer {} is damaged: its digest is {}.", layer.path, measured.digest);
        note(
            finding(FindingCode::DigestMismatch, Severity::Error, sentence)
                .with("expected", stated.as_str())
                .with("actual", measured.digest.as_str()),
        );
    }
    let content = match &measured.content {
        Ok(content) => content,
        Err(error) => {
            let sentence = format!("The layer {} cannot be unpacked. {}", layer.path, error.message());
            let found = if is_of_limit(error) {
                finding(FindingCode::LimitExceeded, Severity::Warning, sentence)
            } else {
                finding(FindingCode::DamagedLayer, Severity::Error, sentence)
            };
            return note(found.with("reason", error.code().as_str()));
        }
    };
    if content.trailing > 0 {
        let sentence = format!(
            "{} bytes follow the compressed data of the layer {}: skopeo and podman refuse it, and Docker takes it only if it is gzip and unpigz is there.",
            content.trailing, layer.path
        );
        note(finding(FindingCode::TrailingBytes, Severity::Warning, sentence));
    }
    let is_encrypted = layer.is_encrypted();
    if let Some(diff_id) =
        layer.diff_id.as_ref().filter(|diff_id| **diff_id != content.digest && !is_encrypted)
        && Algorithm::of(diff_id) == Algorithm::of(&content.digest)
    {
        let sentence = format!(
            "The layer {} is not the one that the config lists: its diff ID is {}.",
            layer.path, content.digest
        );
        note(
            finding(FindingCode::DiffIdMismatch, Severity::Error, sentence)
                .with("expected", diff_id.as_str())
                .with("actual", content.digest.as_str()),
        );
    }
}

/// Two members of one path that differ.
pub(crate) fn two_contents(path: &str, last: &str, first: &str) -> Finding {
    Finding::new(
        FindingCode::Ambiguous,
        Severity::Error,
        format!("The archive has two different members {path}: Docker reads the last ({last}), skopeo, podman and crane the first ({first})."),
    )
    .with("entry", path)
    .with("expected", last)
    .with("actual", first)
}
