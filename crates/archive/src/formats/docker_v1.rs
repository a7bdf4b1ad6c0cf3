//! What Docker up to 1.9 wrote: a directory for each layer, chained by `parent`, and `repositories` that names the top
//! ones (Docker image specification v1.0). Docker 1.10 to 28 still load it.

use std::collections::{HashMap, HashSet};

use super::{Identity, image, repositories};
use crate::config::Config;
use crate::error::{Code, Error, Finding, FindingCode, Result, Severity};
use crate::json::{self, Object};
use crate::members::Members;
use crate::model::{HistoryEntry, Image, Layer, Name};
use crate::source::Source;

/// The most layers that Docker stacked.
const MAX_LAYERS: usize = 1000;

/// Whether there are layer directories of this format.
pub(crate) fn is_there<S: Source + Clone>(members: &Members<S>) -> bool {
    layer_ids(members).next().is_some()
}

fn layer_ids<S: Source + Clone>(members: &Members<S>) -> impl Iterator<Item = &str> {
    members.index.entries().iter().filter_map(|entry| {
        let id = entry.path.strip_prefix("./").unwrap_or(&entry.path).strip_suffix("/json")?;
        let is_id = id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_id.then_some(id)
    })
}

/// Reads the images that `repositories` names, then those that have no name: they are nobody's parents.
pub(crate) fn read<S: Source + Clone>(
    members: &Members<S>,
    listing: Option<&[u8]>,
    findings: &mut Vec<Finding>,
) -> Result<Vec<Image>> {
    let mut order = Vec::new();
    let mut names: HashMap<String, Vec<Name>> = HashMap::new();
    if let Some(listing) = listing {
        let listed = repositories::read(listing).ok_or_else(|| {
            Error::new(Code::InvalidManifest, "repositories cannot be read, and there is no manifest.json.")
                .with("entry", repositories::PATH)
        })?;
        members.spend_items(listed.len())?;
        for (name, id) in listed {
            if !names.contains_key(&id) {
                order.push(id.clone());
            }
            names.entry(id).or_default().push(name);
        }
    }
    let parents: HashSet<String> = layer_ids(members).filter_map(|id| parent(members, id)).collect();
    let mut known: HashSet<String> = order.iter().cloned().collect();
    let is_nameless = |id: &&str| !parents.contains(*id) && known.insert((*id).to_owned());
    order.extend(layer_ids(members).filter(is_nameless).map(str::to_owned));
    if order.is_empty() {
        findings.push(Finding::new(FindingCode::NoImages, Severity::Warning, "repositories lists no image."));
    }
    let mut images = Vec::with_capacity(order.len());
    let mut unread = None;
    for id in order {
        let names = names.remove(&id).unwrap_or_default();
        let is_asked_for = !names.is_empty();
        match chain(members, id, names, findings) {
            Ok(image) => images.push(image),
            Err(error) if is_asked_for || error.is_of_source() => return Err(error),
            // A layer that nobody names may be a part of what was saved elsewhere.
            Err(error) => {
                let sentence = format!("An image without a name cannot be read. {}", error.message());
                findings.push(Finding::new(FindingCode::IncompleteImage, Severity::Warning, sentence));
                unread.get_or_insert(error);
            }
        }
    }
    match unread {
        Some(error) if images.is_empty() => Err(error),
        _ => Ok(images),
    }
}

fn parent<S: Source + Clone>(members: &Members<S>, id: &str) -> Option<String> {
    let bytes = members.document(members.resolve(&format!("{id}/json"))?).ok()?;
    Object::parse(json::first_value(&bytes).ok()?.value)?.read("parent")
}

/// Follows an image's layers from the top down.
fn chain<S: Source + Clone>(
    members: &Members<S>,
    id: String,
    names: Vec<Name>,
    findings: &mut Vec<Finding>,
) -> Result<Image> {
    let mut layers = Vec::new();
    let mut history = Vec::new();
    let mut top = None;
    let mut seen = HashSet::new();
    let mut next = Some(id.clone());
    while let Some(layer_id) = next {
        if layers.len() >= MAX_LAYERS || !seen.insert(layer_id.clone()) {
            return Err(Error::new(
                Code::InvalidManifest,
                format!("The layers of {id} are their own parents."),
            )
            .with("image", id));
        }
        let path = format!("{layer_id}/json");
        let entry = members.resolve(&path).ok_or_else(|| missing(&path))?;
        let bytes = members.document(entry)?;
        // The reader of configs says what is wrong with it.
        let config = Config::read(&bytes, &path)?;
        let document = json::first_value(&bytes).ok();
        let object = document.and_then(|document| Object::parse(document.value)).unwrap_or_default();
        let throwaway = object.read("throwaway").unwrap_or(false);
        history.push(HistoryEntry {
            created: config.created.clone(),
            created_by: created_by(&object),
            author: config.author.clone(),
            comment: object.read::<String>("comment").filter(|comment| !comment.is_empty()),
            empty_layer: throwaway,
            layer: None,
        });
        if !throwaway {
            layers.push(layer(members, &layer_id)?);
        }
        next = object.read::<String>("parent").filter(|parent| !parent.is_empty());
        top.get_or_insert((config, entry));
    }
    layers.reverse();
    history.reverse();
    let Some((mut config, config_entry)) = top else { return Err(missing(&id)) };
    for (number, step) in history.iter_mut().filter(|step| !step.empty_layer).enumerate() {
        step.layer = Some(number);
    }
    config.history = history;
    // There are no diff IDs in this format, so what is found to be missing does not count.
    let identity = Identity { id, digest: None, names, config_entry };
    let image = image(identity, config, layers, &mut Vec::new());
    findings.push(
        Finding::new(
            FindingCode::NoDigests,
            Severity::Info,
            format!(
                "The image {} is in the format of Docker 1.9, which has no digests: damage cannot be told.",
                image.id
            ),
        )
        .with("image", image.id.as_str()),
    );
    Ok(image)
}

fn layer<S: Source + Clone>(members: &Members<S>, id: &str) -> Result<Layer> {
    let path = format!("{id}/layer.tar");
    let number = members.resolve(&path).ok_or_else(|| missing(&path))?;
    let (size, compression) =
        members.entry(number).map_or((0, None), |entry| (entry.size, entry.compression()));
    let media_type = super::manifest_json::media_type(compression).to_owned();
    Ok(Layer { digest: None, diff_id: None, media_type, size, path, entry: Some(number) })
}

/// As Docker makes a history of such a document.
fn created_by(object: &Object<'_>) -> Option<String> {
    let command: Vec<String> = object.object("container_config")?.read("Cmd")?;
    Some(command.join(" ")).filter(|command| !command.is_empty())
}

fn missing(path: &str) -> Error {
    let sentence = format!("The archive is incomplete: {path} is not there.");
    Error::new(Code::MissingEntry, sentence).with("entry", path)
}
