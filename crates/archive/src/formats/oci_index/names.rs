//! How an index gives names.

use std::collections::{HashMap, HashSet};

use super::Descriptor;
use crate::json::{self, Object};
use crate::model::{Image, Name};
use crate::reference::Reference;

/// The name in full, as containerd and Docker write it.
const CONTAINERD_NAME: &str = "io.containerd.image.name";
/// The tag alone, or whatever a tool thinks a reference is (OCI image specification, `annotations.md`).
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// How an index writes names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// As Docker and containerd do: in full in an annotation of their own, and the tag.
    Containerd,
    /// As skopeo and podman do: in full, in the annotation that is for tags.
    InFull,
    /// In full in both: containerd and podman see the same name.
    Both,
}

impl Style {
    /// The style of an index's own names.
    pub(super) fn of(descriptors: &[Descriptor<'_>]) -> Self {
        let has_path = |name: &String| name.contains([':', '/']);
        let mut style = None;
        for descriptor in descriptors.iter().filter(|descriptor| descriptor.name.is_some()) {
            let object = Object::parse(descriptor.text).unwrap_or_default();
            let annotations = object.object("annotations").unwrap_or_default();
            let in_full = annotations.read::<String>(REF_NAME).as_ref().is_some_and(has_path);
            let own = match (annotations.get(CONTAINERD_NAME), in_full) {
                (None, true) => Self::InFull,
                (Some(_), true) => Self::Both,
                (_, false) => Self::Containerd,
            };
            if *style.get_or_insert(own) != own {
                return Self::Containerd;
            }
        }
        style.unwrap_or(Self::Containerd)
    }
}

/// The annotations that give a name.
pub(crate) fn annotations_of(name: &Name, style: Style) -> Vec<(&'static str, String)> {
    let Some(reference) = name.reference() else { return vec![(REF_NAME, name.text().to_owned())] };
    let full = reference.canonical();
    match style {
        Style::InFull => vec![(REF_NAME, full)],
        Style::Both => vec![(CONTAINERD_NAME, full.clone()), (REF_NAME, full)],
        Style::Containerd => {
            let tag = reference.tag().map(|tag| (REF_NAME, tag.to_owned()));
            [(CONTAINERD_NAME, full)].into_iter().chain(tag).collect()
        }
    }
}

/// A descriptor with another name, or without one.
pub(crate) fn with_name(descriptor: &str, name: Option<&Name>, style: Style) -> String {
    let mut descriptor = Object::parse(descriptor).unwrap_or_default();
    let text = descriptor.get("annotations").unwrap_or("{}").to_owned();
    let mut annotations = Object::parse(&text).unwrap_or_default();
    annotations.remove(CONTAINERD_NAME);
    annotations.remove(REF_NAME);
    for (key, value) in name.map(|name| annotations_of(name, style)).unwrap_or_default() {
        annotations.push(key, json::string(&value));
    }
    if annotations.is_empty() {
        descriptor.remove("annotations");
    } else {
        descriptor.set("annotations", &annotations.to_json());
    }
    descriptor.to_json()
}

/// The names that images have already.
pub(super) struct KnownNames<'a> {
    names: HashSet<(usize, &'a Name)>,
    /// The first of each image with a tag.
    by_tag: HashMap<(usize, &'a str), &'a Name>,
}

impl<'a> KnownNames<'a> {
    pub(super) fn of(images: &'a [Image]) -> Self {
        let (mut names, mut by_tag) = (HashSet::new(), HashMap::new());
        for (number, image) in images.iter().enumerate() {
            for name in &image.names {
                names.insert((number, name));
                if let Some(tag) = name.reference().and_then(Reference::tag) {
                    by_tag.entry((number, tag)).or_insert(name);
                }
            }
        }
        Self { names, by_tag }
    }

    /// What some images have of that reference: it as a name, or as a tag alone, or else the first name with that tag.
    fn find(&self, own: &[usize], reference: &str) -> Option<Name> {
        for name in [Name::new(reference), Name::bare(reference)] {
            if own.iter().any(|&image| self.names.contains(&(image, &name))) {
                return Some(name);
            }
        }
        own.iter().find_map(|&image| self.by_tag.get(&(image, reference))).copied().cloned()
    }
}

/// The name that a descriptor's annotations give, as containerd reads them: the full name where there is one; else
/// the reference, which is often the bare tag of a name that `manifest.json` has in full.
pub(super) fn name(descriptor: &Object<'_>, own: &[usize], known: &KnownNames<'_>) -> Option<Name> {
    let annotations = descriptor.object("annotations")?;
    if let Some(full) = annotations.read::<String>(CONTAINERD_NAME) {
        return Some(Name::new(full));
    }
    let text: String = annotations.read(REF_NAME).filter(|text: &String| !text.is_empty())?;
    let alone = || if text.contains([':', '/', '@']) { Name::new(&*text) } else { Name::bare(&*text) };
    Some(known.find(own, &text).unwrap_or_else(alone))
}
