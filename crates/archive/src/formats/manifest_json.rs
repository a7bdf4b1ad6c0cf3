//! `manifest.json`: the list of images that every Docker archive since 1.10 has (moby `image/tarexport`).

use std::collections::{BTreeSet, HashMap, HashSet};

use super::{Identity, note_flaws};
use crate::compression::Compression;
use crate::config::Config;
use crate::digest::{self, Algorithm, digest, sha256};
use crate::error::{Code, Error, Finding, FindingCode, Result, Severity};
use crate::json::{self, Object};
use crate::members::Members;
use crate::model::{FOREIGN_LAYER, Image, Layer, Name, is_foreign, is_layer};
use crate::source::Source;
use crate::tar::EntryKind;

pub(crate) const PATH: &str = "manifest.json";

/// Reads the images that the document lists.
pub(crate) fn read<S: Source + Clone>(
    members: &Members<S>,
    bytes: &[u8],
    findings: &mut Vec<Finding>,
) -> Result<Vec<Image>> {
    let document = json::first_value(bytes).map_err(|reason| {
        Error::new(Code::InvalidJson, format!("manifest.json is not JSON: {reason}."))
            .with("entry", PATH)
            .with("reason", reason)
    })?;
    if !document.after.trim().is_empty() {
        findings.push(
            Finding::new(
                FindingCode::TrailingBytes,
                Severity::Warning,
                "Bytes follow the JSON of manifest.json. Docker ignores them; skopeo and podman refuse the archive.",
            )
            .with("entry", PATH),
        );
    }
    let items = json::array(document.value).ok_or_else(|| {
        let is_manifest = Object::parse(document.value).is_some_and(|object| object.get("schemaVersion").is_some());
        // What `skopeo copy … dir:` and `podman save --format docker-dir` write.
        let reason = "it is the manifest of one image, as skopeo's dir: has it, not the list of images that docker save writes";
        invalid(if is_manifest { reason } else { "it is not an array" })
    })?;
    members.spend_items(items.len())?;
    if items.is_empty() {
        findings.push(Finding::new(
            FindingCode::NoImages,
            Severity::Warning,
            "manifest.json lists no image. Docker loads such an archive without a word.",
        ));
    }
    // Whether it makes sense does not depend on what it names.
    for (index, text) in items.iter().enumerate() {
        item(index, text)?;
    }
    items.into_iter().enumerate().map(|(index, text)| image(members, index, text, findings)).collect()
}

/// What an item says.
struct Item<'a> {
    object: Object<'a>,
    names: Vec<Name>,
    config: String,
    layers: Vec<String>,
}

fn item(index: usize, text: &str) -> Result<Item<'_>> {
    let object = Object::parse(text).ok_or_else(|| invalid("an item of it is not an object"))?;
    let names = names(&object, index)?;
    let layers = match object.get("Layers") {
        None => Vec::new(),
        Some(_) => {
            object.read("Layers").ok_or_else(|| invalid("the Layers of an item are not a list of names"))?
        }
    };
    let config = object.read("Config").ok_or_else(|| invalid("an item of it has no Config"))?;
    Ok(Item { object, names, config, layers })
}

fn invalid(reason: &str) -> Error {
    Error::new(Code::InvalidManifest, format!("manifest.json cannot be used: {reason}."))
        .with("entry", PATH)
        .with("reason", reason)
}

fn missing<S: Source + Clone>(members: &Members<S>, what: &str, path: &str) -> Error {
    let entry = members.index.find(path).and_then(|entry| members.entry(entry));
    let why = match entry.map(|entry| entry.kind) {
        Some(EntryKind::Sparse) => "which is stored with holes (tar --sparse), and that is not read here",
        _ => "which is not there",
    };
    let sentence = format!("The archive is incomplete: manifest.json names the {what} \"{path}\", {why}.");
    Error::new(Code::MissingEntry, sentence).with("entry", path)
}

/// Reads one item: an image.
fn image<S: Source + Clone>(
    members: &Members<S>,
    index: usize,
    text: &str,
    findings: &mut Vec<Finding>,
) -> Result<Image> {
    let Item { object: item, names, config: config_path, layers: paths } = item(index, text)?;
    if let Some(key) = item.duplicate_key() {
        findings.push(
            Finding::new(
                FindingCode::DuplicateKey,
                Severity::Warning,
                format!(
                    "manifest.json has the key \"{key}\" twice in one image; Go's readers take the last."
                ),
            )
            .with("entry", PATH)
            .with("key", key),
        );
    }
    members.spend_items(names.len() + paths.len())?;
    let config_entry =
        members.resolve(&config_path).ok_or_else(|| missing(members, "config", &config_path))?;
    let bytes = members.document(config_entry)?;
    let config = Config::read(&bytes, &config_path)?;
    members.spend_items(config.items())?;
    note_flaws(&config_path, &bytes, findings);
    let id = sha256(&bytes);
    if let Some(claimed) = digest::in_name(&config_path).filter(|claimed| *claimed != id) {
        findings.push(
            Finding::new(
                FindingCode::ConfigNameMismatch,
                Severity::Warning,
                format!("The config {config_path} is not what its name says: its digest is {id}."),
            )
            .with("entry", config_path.as_str())
            .with("expected", claimed)
            .with("actual", id.as_str()),
        );
    }
    let sources = item.object("LayerSources").unwrap_or_default();
    // Here the keys are data, of which there may be many.
    let sources: HashMap<&str, &str> = sources.members().collect();
    let mut layers = Vec::with_capacity(paths.len());
    for (position, path) in paths.into_iter().enumerate() {
        let diff_id = config.diff_ids.get(position);
        layers.push(layer(members, path, diff_id, &sources, &id, findings)?);
    }
    let identity = Identity { id, digest: None, names, config_entry };
    let mut image = super::image(identity, config, layers, findings);
    image.parent = item.read("Parent").filter(|parent: &String| digest(parent).is_some());
    Ok(image)
}

fn layer<S: Source + Clone>(
    members: &Members<S>,
    path: String,
    diff_id: Option<&String>,
    sources: &HashMap<&str, &str>,
    image: &str,
    findings: &mut Vec<Finding>,
) -> Result<Layer> {
    let diff_id = diff_id.cloned();
    let source = diff_id.as_deref().and_then(|diff_id| Object::parse(sources.get(diff_id)?));
    // With another type it would be no layer in a manifest that is written for it.
    let stated: Option<String> = source.as_ref().and_then(|source| source.read("mediaType"));
    let stated = stated.filter(|stated| is_layer(stated));
    let Some(entry) = members.resolve(&path) else {
        let foreign = source.as_ref().is_some_and(|source| source.get("urls").is_some())
            || stated.as_deref().is_some_and(is_foreign);
        if !foreign {
            return Err(missing(members, "layer", &path));
        }
        findings.push(
            Finding::new(
                FindingCode::ForeignLayerAbsent,
                Severity::Warning,
                format!("The layer {path} may not be distributed, and the archive leaves it out."),
            )
            .with("image", image)
            .with("entry", path.as_str()),
        );
        return Ok(Layer {
            digest: source.as_ref().and_then(|source| source.read("digest")),
            diff_id,
            media_type: stated.unwrap_or_else(|| FOREIGN_LAYER.to_owned()),
            size: source.as_ref().and_then(|source| source.number("size")).unwrap_or(0),
            path,
            entry: None,
        });
    };
    let (size, compression) =
        members.entry(entry).map_or((0, None), |entry| (entry.size, entry.compression()));
    let digest = match compression {
        None => diff_id.clone().filter(|diff_id| digest(diff_id).is_some()),
        Some(_) => digest::in_name(&path),
    };
    let is_wrong = |source: &Object<'_>| {
        let differs = |stated: String| {
            // Those of two algorithms do not contradict each other.
            digest.as_ref().is_some_and(|own| *own != stated && Algorithm::of(own) == Algorithm::of(&stated))
        };
        source.number("size").is_some_and(|stated| stated != size)
            || source.read("digest").is_some_and(differs)
    };
    if source.as_ref().is_some_and(is_wrong) {
        findings.push(
            Finding::new(
                FindingCode::InvalidDescriptor,
                Severity::Warning,
                format!("LayerSources of manifest.json gives the layer {path} a size or a digest that it does not have."),
            )
            .with("image", image)
            .with("entry", path.as_str()),
        );
    }
    Ok(Layer {
        digest,
        diff_id,
        media_type: stated.unwrap_or_else(|| media_type(compression).to_owned()),
        size,
        path,
        entry: Some(entry),
    })
}

/// The media type of a layer that no manifest gives one.
pub(crate) fn media_type(compression: Option<Compression>) -> &'static str {
    match compression {
        None => "application/vnd.docker.image.rootfs.diff.tar",
        Some(Compression::Gzip) => "application/vnd.docker.image.rootfs.diff.tar.gzip",
        Some(Compression::Zstd) => "application/vnd.docker.image.rootfs.diff.tar.zstd",
        // Docker accepts these, but no registry has a type for them.
        Some(Compression::Bzip2) => "application/x-bzip2",
        Some(Compression::Xz) => "application/x-xz",
        Some(Compression::Lz4) => "application/x-lz4",
    }
}

/// The names of one item, each once.
fn names(item: &Object<'_>, index: usize) -> Result<Vec<Name>> {
    if item.get("RepoTags").is_none() {
        return Ok(Vec::new());
    }
    let texts: Vec<String> = item
        .read("RepoTags")
        .ok_or_else(|| invalid("the RepoTags of an item are not a list of names").with("item", index))?;
    let mut seen = HashSet::new();
    Ok(texts.into_iter().map(Name::new).filter(|name| seen.insert(name.clone())).collect())
}

/// The `LayerSources` of the item with that number: descriptors by diff ID.
pub(crate) fn sources(bytes: &[u8], item: usize) -> Option<HashMap<String, String>> {
    let item = Object::parse(json::array(json::first_value(bytes).ok()?.value)?.get(item)?)?;
    let sources = item.object("LayerSources")?;
    Some(sources.members().map(|(diff_id, text)| (diff_id.to_owned(), text.to_owned())).collect())
}

/// The document without some of its images; `None` where it lists none of them.
pub(crate) fn without(bytes: &[u8], images: &BTreeSet<usize>) -> Option<Vec<u8>> {
    let document = json::first_value(bytes).ok()?;
    let items = json::array(document.value)?;
    let count = items.len();
    let kept = items.into_iter().enumerate().filter(|(number, _)| !images.contains(number));
    let kept: Vec<String> = kept.map(|(_, text)| text.to_owned()).collect();
    (kept.len() < count).then(|| document.with_value(&json::array_of(kept)))
}

/// What an image's item says after an edit of the image.
pub(crate) struct Reworked {
    /// The path of its config.
    pub(crate) config: String,
    /// The paths of its layers, where these are others.
    pub(crate) layers: Option<Vec<String>>,
    /// The descriptors of new layers, by diff ID; of the old ones only those of these diff IDs stay.
    pub(crate) sources: Vec<(String, String)>,
    pub(crate) diff_ids: Vec<String>,
}

/// The document in which some images, whose ID was `id`, are others; `None` where it lists none of them.
pub(crate) fn reworked(bytes: &[u8], id: &str, images: &HashMap<usize, Reworked>) -> Option<Vec<u8>> {
    let document = json::first_value(bytes).ok()?;
    let item = |(number, text): (usize, &str)| {
        let Some(mut item) = Object::parse(text) else { return text.to_owned() };
        let is_child = item.read::<String>("Parent").as_deref() == Some(id);
        let new = images.get(&number);
        if new.is_none() && !is_child {
            return text.to_owned();
        }
        // Nobody was made in one step from what is another image now, nor is that made from anything: Docker would refuse.
        item.remove("Parent");
        let Some(new) = new else { return item.to_json() };
        item.set("Config", &json::string(&new.config));
        if let Some(layers) = &new.layers {
            item.set("Layers", &json::array_of(layers.iter().map(|path| json::string(path))));
            if let Some(old) = item.object("LayerSources") {
                let mut sources = Object::default();
                let kept: HashSet<&str> = new.diff_ids.iter().map(String::as_str).collect();
                for (diff_id, text) in old.members().filter(|(diff_id, _)| kept.contains(diff_id)) {
                    sources.push(diff_id, text.to_owned());
                }
                for (diff_id, text) in &new.sources {
                    sources.set(diff_id, text);
                }
                let text = sources.to_json();
                item.set("LayerSources", &text);
            }
        }
        item.to_json()
    };
    let items: Vec<String> = json::array(document.value)?.into_iter().enumerate().map(item).collect();
    (!images.is_empty()).then(|| document.with_value(&json::array_of(items)))
}

/// The document with other names; `None` where it has them already. `names` is per image.
pub(crate) fn rewrite(bytes: &[u8], names: &[Vec<Name>]) -> Option<Vec<u8>> {
    let document = json::first_value(bytes).ok()?;
    let mut changed = false;
    let items: Vec<String> = json::array(document.value)?
        .into_iter()
        .zip(names)
        .enumerate()
        .map(|(index, (text, wanted))| {
            let Some(mut item) = Object::parse(text) else { return text.to_owned() };
            let wanted: Vec<&Name> = wanted.iter().filter(|name| !name.is_bare()).collect();
            if self::names(&item, index).is_ok_and(|present| present.iter().eq(wanted.iter().copied())) {
                return text.to_owned();
            }
            changed = true;
            // As Docker writes an image without names.
            let tags = if wanted.is_empty() {
                "null".to_owned()
            } else {
                json::array_of(wanted.iter().map(|name| json::string(name.text())))
            };
            item.set("RepoTags", &tags);
            item.to_json()
        })
        .collect();
    changed.then(|| document.with_value(&json::array_of(items)))
}
