//! One file for each document that says what is in an archive.

pub(crate) mod docker_v1;
pub(crate) mod layer_folders;
pub(crate) mod manifest_json;
pub(crate) mod oci;
pub(crate) mod oci_index;
pub(crate) mod repositories;

use crate::compression::Compression;
use crate::config::Config;
use crate::digest::digest;
use crate::error::{Finding, FindingCode, Severity};
use crate::json;
use crate::members::Members;
use crate::model::{Image, Layer, Name};
use crate::source::{Source, sum};
use crate::tar::Entry;

/// What a document says about an image beside its config and its layers.
struct Identity {
    id: String,
    /// The manifest's digest.
    digest: Option<String>,
    names: Vec<Name>,
    config_entry: usize,
}

/// Puts an image together, and notes where config and layers do not agree.
fn image(identity: Identity, config: Config, layers: Vec<Layer>, findings: &mut Vec<Finding>) -> Image {
    let Identity { id, digest, names, config_entry } = identity;
    let Config { platform, created, author, mut history, container, diff_ids, .. } = config;
    if layers.len() != diff_ids.len() {
        findings.push(
            Finding::new(
                FindingCode::LayerCountMismatch,
                Severity::Error,
                format!(
                    "The manifest lists {} layers for {id}, the config {}. Docker refuses that.",
                    layers.len(),
                    diff_ids.len()
                ),
            )
            .with("image", id.as_str())
            .with("expected", diff_ids.len())
            .with("actual", layers.len()),
        );
    }
    for bad in diff_ids.iter().filter(|diff_id| self::digest(diff_id).is_none()) {
        findings.push(
            Finding::new(
                FindingCode::InvalidDiffId,
                Severity::Error,
                format!("The config of {id} gives \"{bad}\" as a layer's diff ID, which is no digest."),
            )
            .with("image", id.as_str())
            .with("actual", bad.as_str()),
        );
    }
    let steps = history.iter().filter(|step| !step.empty_layer).count();
    if !history.is_empty() && steps != diff_ids.len() {
        findings.push(
            Finding::new(
                FindingCode::HistoryMismatch,
                Severity::Warning,
                format!("The history of {id} tells of {steps} layers, its config of {}.", diff_ids.len()),
            )
            .with("image", id.as_str())
            .with("expected", diff_ids.len())
            .with("actual", steps),
        );
    }
    for entry in &mut history {
        entry.layer = entry.layer.filter(|&layer| layer < layers.len());
    }
    Image {
        id,
        digest,
        index: None,
        parent: None,
        names,
        platform,
        created,
        author,
        size: sum(layers.iter().map(|layer| layer.size)),
        layers,
        history,
        config: container,
        config_entry,
    }
}

/// Notes what readers of a config, a manifest or an index make different things of: an object that has a key twice, of which
/// Go's readers take the last, others the first or none; and bytes that follow the JSON, which Go's readers refuse.
fn note_flaws(path: &str, bytes: &[u8], findings: &mut Vec<Finding>) {
    let Ok(document) = json::first_value(bytes) else { return };
    if let Some(key) = json::repeated_key(document.value) {
        let sentence =
            format!("{path} has the key \"{key}\" twice in one object; Go's readers take the last.");
        findings.push(
            Finding::new(FindingCode::DuplicateKey, Severity::Warning, sentence)
                .with("entry", path)
                .with("key", key),
        );
    }
    if !document.after.trim_ascii().is_empty() {
        let sentence =
            format!("Bytes follow the JSON of {path}: Docker, containerd, skopeo and podman refuse it.");
        findings
            .push(Finding::new(FindingCode::TrailingBytes, Severity::Error, sentence).with("entry", path));
    }
}

/// Notes a layer that is compressed otherwise than its media type says.
fn check_media_type<S: Source + Clone>(members: &Members<S>, layer: &Layer, findings: &mut Vec<Finding>) {
    let media_type = layer.media_type.as_str();
    let entry = layer.entry.and_then(|entry| members.entry(entry));
    let found = entry.and_then(Entry::compression).map(Compression::name);
    let stated = ["gzip", "zstd"].into_iter().find(|name| media_type.ends_with(name));
    // Nothing can be said of encrypted bytes, nor of a layer that is not there.
    if stated == found || layer.entry.is_none() || layer.is_encrypted() {
        return;
    }
    findings.push(
        Finding::new(
            FindingCode::MediaTypeMismatch,
            Severity::Warning,
            format!(
                "The layer {} is called {media_type}, but its first bytes say {}.",
                layer.path,
                found.unwrap_or("uncompressed")
            ),
        )
        .with("entry", layer.path.as_str())
        .with("expected", media_type)
        .with("actual", found.unwrap_or("none")),
    );
}
