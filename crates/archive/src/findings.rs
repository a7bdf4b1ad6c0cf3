//! What is odd about an archive that opens.

use std::collections::{HashMap, HashSet};

use crate::digest::sha256;
use crate::error::{Finding, FindingCode, Result, Severity};
use crate::formats::oci_index::{Line, NameIndexes};
use crate::members::Members;
use crate::model::{Image, Name};
use crate::reference::Reference;
use crate::source::Source;
use crate::tar::{Entry, TarIndex};
use crate::verify::two_contents;

/// Notes a listing that the archive has twice, and not twice the same.
pub(crate) fn two_listings<S: Source + Clone>(members: &Members<S>, path: &str) -> Result<Option<Finding>> {
    let Some(entry) = members.index.resolve(path) else { return Ok(None) };
    let mut contents = Vec::new();
    for same in members.index.occurrences(entry) {
        contents.push(sha256(&members.read_listing(same)?));
    }
    Ok(match contents.as_slice() {
        [first, .., last] if first != last => Some(two_contents(path, last, first)),
        _ => None,
    })
}

/// Notes names by which `manifest.json` and `index.json` lead to different images.
pub(crate) fn index_findings(
    images: &[Image],
    own: usize,
    listed: &[Vec<Name>],
    findings: &mut Vec<Finding>,
) {
    let mut there: HashMap<&Name, (&Image, HashSet<&str>)> = HashMap::new();
    for (names, image) in listed.iter().zip(images) {
        for name in names {
            there.entry(name).or_insert((image, HashSet::new())).1.insert(&image.id);
        }
    }
    let unlisted = images.iter().take(own).find(|image| image.digest.is_none());
    // Those for other platforms stand in an index of their own.
    let extra = images.iter().skip(own).find(|image| image.index.is_none());
    if let (Some(one), Some(other)) = (unlisted, extra) {
        findings.push(
            Finding::new(
                FindingCode::Ambiguous,
                Severity::Error,
                format!(
                    "manifest.json lists the image {}, and index.json {} instead: Docker's classic store, skopeo and crane read the former, containerd and podman the latter.",
                    one.id, other.id
                ),
            )
            .with("expected", one.id.as_str())
            .with("actual", other.id.as_str()),
        );
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

pub(crate) fn tar_findings(index: &TarIndex) -> Vec<Finding> {
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

pub(crate) fn name_findings(
    images: &[Image],
    lines: &[Line],
    others: &[(&'static str, Option<Vec<Name>>)],
    findings: &mut Vec<Finding>,
) {
    let numbered = || images.iter().enumerate();
    let all =
        || numbered().flat_map(|(number, image)| image.names.iter().map(move |name| (number, image, name)));
    let indexes = NameIndexes::of(lines);
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
    for (_, image, name) in all() {
        if name.is_bare() {
            if !bare.insert(name) {
                continue;
            }
            let sentence = format!(
                "The reference \"{}\" is a tag without a repository: Docker has no word for it, and containerd and podman take it for a repository.",
                name.text()
            );
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
    let mut owners: HashMap<&Name, (&Image, Option<&String>)> = HashMap::new();
    for (number, image, name) in all() {
        // Images for several platforms share the names of their index.
        let index = indexes.get(number, image, name);
        let is_other = |(owner, other): (&Image, Option<&String>)| {
            owner.id != image.id && (index.is_none() || other != index)
        };
        if owners.insert(name, (image, index)).is_some_and(is_other) {
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
        let missing = all().map(|(_, _, name)| name).find(|name| !name.is_bare() && !there.contains(name));
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
