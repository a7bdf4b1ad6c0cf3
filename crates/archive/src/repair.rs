//! Repairs that lose nothing: documents made anew from those that are sound, and members left out that nothing needs.

use std::collections::{BTreeSet, HashMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::archive::Archive;
use crate::digest::{blob_path, sha256};
use crate::error::{Code, Error, FindingCode, Result};
use crate::formats::oci_index::{self, Style, annotations_of};
use crate::formats::{manifest_json, oci, repositories};
use crate::json;
use crate::members::Place;
use crate::model::{Format, Image, Layer, Name};
use crate::source::Source;
use crate::tar::{EntryKind, normal};
use crate::write::{OCI_CONFIG, OCI_INDEX, OCI_MANIFEST, descriptor, manifest_of};

/// Something that can be repaired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Repair {
    /// Makes `repositories` anew from `manifest.json`.
    Repositories,
    /// Makes `index.json` anew from `manifest.json`.
    Index,
    /// Makes a `manifest.json` from `index.json`, so that Docker up to 24, skopeo's `docker-archive` and crane load it.
    Manifest,
    /// Makes `oci-layout` anew, without which containerd does not take `index.json` for a layout's.
    Layout,
    /// Leaves out what nothing in the archive leads to.
    Orphans,
}

/// A repair that an archive can have, and what it would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Proposal {
    /// What it is.
    pub repair: Repair,
    /// What it would do, for people.
    pub message: String,
    /// The members that it would change, add or leave out.
    pub entries: Vec<String>,
}

impl<S: Source + Clone> Archive<S> {
    /// The repairs that the archive can have.
    pub fn repairs(&self) -> Vec<Proposal> {
        let is_odd = |path: &str| {
            self.findings().iter().any(|finding| {
                matches!(finding.code, FindingCode::NamesDisagree | FindingCode::InvalidListing)
                    && finding.detail.get("entry").is_some_and(|entry| *entry == path.into())
            })
        };
        // One of another version may say more than is known here.
        let is_layout_odd = self.findings().iter().any(|finding| {
            finding.code == FindingCode::InvalidLayout && !finding.detail.contains_key("actual")
        });
        let is_ambiguous = self.findings().iter().any(|finding| {
            finding.code == FindingCode::Ambiguous && finding.detail.contains_key("reference")
        });
        let of = |repair, path: &str, source: &str| Proposal {
            repair,
            message: format!("Make {path} anew from {source}."),
            entries: vec![path.to_owned()],
        };
        let mut proposals = Vec::new();
        if is_odd(repositories::PATH) {
            proposals.push(of(Repair::Repositories, repositories::PATH, manifest_json::PATH));
        }
        if self.format() == Format::DockerOci && (is_odd(oci_index::PATH) || is_ambiguous) {
            proposals.push(of(Repair::Index, oci_index::PATH, manifest_json::PATH));
        }
        if self.format() == Format::Oci && !self.images().is_empty() {
            proposals.push(of(Repair::Manifest, manifest_json::PATH, oci_index::PATH));
        }
        // What containerd reads by it has to be what others read.
        if is_layout_odd
            && matches!(self.format(), Format::Oci | Format::DockerOci)
            && !is_odd(oci_index::PATH)
            && !is_ambiguous
        {
            proposals.push(of(Repair::Layout, oci::LAYOUT, oci_index::PATH));
        }
        let orphans = self.orphans();
        if !orphans.is_empty() {
            let paths = orphans.iter().filter_map(|&number| self.members.entry(number));
            proposals.push(Proposal {
                repair: Repair::Orphans,
                message: format!("Leave out {} members that nothing leads to.", orphans.len()),
                entries: paths.map(|entry| entry.path.to_string()).collect(),
            });
        }
        proposals
    }

    /// The archive after some repairs, one after the other.
    ///
    /// Fails with `invalid-argument` for a repair that it cannot have, and with `index-mismatch` where `index.json`
    /// would need a manifest whose digests are not known.
    pub fn repair(&self, repairs: &[Repair]) -> Result<Self> {
        let mut archive = self.clone();
        for &repair in repairs {
            if !archive.repairs().iter().any(|proposal| proposal.repair == repair) {
                return Err(Error::new(
                    Code::InvalidArgument,
                    "The archive has nothing for that repair to do.",
                ));
            }
            archive = match repair {
                Repair::Repositories => archive.with_repositories()?,
                Repair::Index => archive.with_index()?,
                Repair::Manifest => archive.with_manifest()?,
                Repair::Layout => archive.with_layout()?,
                Repair::Orphans => Self::assemble(archive.members.without(&archive.orphans())?)?,
            };
        }
        Ok(archive)
    }

    /// The files that nothing leads to.
    pub(crate) fn orphans(&self) -> BTreeSet<usize> {
        let known = self.known_members();
        let entries = self.index().entries().iter().enumerate();
        entries
            .filter(|(number, entry)| entry.kind == EntryKind::File && !known.contains(number))
            .map(|(number, _)| number)
            .collect()
    }

    fn with_documents(&self, changed: Vec<(Place, Vec<u8>)>) -> Result<Self> {
        Self::assemble(self.members.within_budget(|| self.members.with(changed))?)
    }

    fn place_of(&self, path: &str) -> Place {
        self.index().resolve(path).map_or_else(|| Place::New(path.to_owned()), Place::At)
    }

    fn with_repositories(&self) -> Result<Self> {
        let names: Vec<Vec<Name>> = self.images().iter().map(|image| image.names.clone()).collect();
        let bytes = repositories::rewrite(&self.members, Some(b"{}\n"), self.images(), &names);
        let bytes = bytes.unwrap_or_else(|| b"{}\n".to_vec());
        self.with_documents(vec![(self.place_of(repositories::PATH), bytes)])
    }

    fn with_layout(&self) -> Result<Self> {
        let known = self.members.listing(oci::LAYOUT).and_then(Result::ok);
        let layout = oci::layout_of(known.as_ref().map(|known| &*known.bytes).unwrap_or_default());
        self.with_documents(vec![(self.place_of(oci::LAYOUT), layout.into_bytes())])
    }

    fn with_index(&self) -> Result<Self> {
        let listing = self.members.listing(oci_index::PATH).transpose()?;
        let mut changed = Vec::new();
        let mut descriptors = Vec::new();
        let manifests = oci_index::manifests_by_config(&self.members);
        let listed = listing.as_ref().map(|listing| &listing.bytes);
        let tops =
            listed.map(|bytes| oci_index::tops(&self.members, bytes, self.images())).unwrap_or_default();
        // What is no image stays as it is, and so does an index of images for several platforms.
        descriptors.extend(tops.iter().filter(|top| top.images.is_empty()).map(|top| top.text.clone()));
        let indexes: HashMap<&String, &String> = tops.iter().map(|top| (&top.digest, &top.text)).collect();
        // An image that is there with several manifests has a descriptor for each.
        let own = |image: &Image| {
            let digest = image.digest.as_ref()?;
            let entry = self.index().resolve(&blob_path(digest)?)?;
            let media_type = json::Object::parse(indexes.get(digest)?)?.read("mediaType")?;
            Some((media_type, digest.clone(), self.members.entry(entry)?.size))
        };
        let mut known = HashSet::new();
        // The images of manifest.json come first: their names are theirs.
        let mut taken = HashSet::new();
        for image in self.images() {
            let index = image.index.as_ref().and_then(|index| indexes.get(index));
            if index.is_some() && !known.insert(&image.index) {
                continue;
            }
            let names: Vec<&Name> = image.names.iter().filter(|name| taken.insert(*name)).collect();
            if let Some(text) = index {
                let of = |name| oci_index::with_name(text, name, Style::Containerd);
                descriptors.extend(names.iter().map(|name| of(Some(name))));
                descriptors.extend(names.is_empty().then(|| of(None)));
                continue;
            }
            let (media_type, digest, size) =
                if let Some(found) = own(image).or_else(|| manifests.get(&image.id).cloned()) {
                    found
                } else {
                    let text = self.manifest_of(image)?;
                    let digest = sha256(text.as_bytes());
                    let size = text.len() as u64;
                    let path = blob_path(&digest).unwrap_or_default();
                    if self.index().find(&path).is_none() {
                        changed.push((Place::New(path), text.into_bytes()));
                    }
                    (OCI_MANIFEST.to_owned(), digest, size)
                };
            let of = |annotations: &[(&str, String)]| descriptor(&media_type, &digest, size, annotations);
            descriptors.extend(names.iter().map(|name| of(&annotations_of(name, Style::Containerd))));
            if names.is_empty() {
                descriptors.push(of(&[]));
            }
        }
        let text = format!(
            r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":{}}}"#,
            json::array_of(descriptors)
        );
        changed.push((self.place_of(oci_index::PATH), text.into_bytes()));
        self.with_documents(changed)
    }

    /// A manifest for an image whose config and layers stand where a layout has them.
    fn manifest_of(&self, image: &Image) -> Result<String> {
        let fail = || {
            Error::new(Code::IndexMismatch, format!("No manifest can be made for the image {}.", image.id))
                .with("image", image.id.as_str())
        };
        let is_there =
            |digest: &str| blob_path(digest).and_then(|path| self.index().resolve(&path)).is_some();
        let layer = |layer: &Layer| {
            let digest = layer.digest.as_deref().filter(|digest| is_there(digest)).ok_or_else(fail)?;
            Ok(descriptor(&layer.media_type, digest, layer.size, &[]))
        };
        let layers: Vec<String> = image.layers.iter().map(layer).collect::<Result<_>>()?;
        let config =
            self.members.entry(image.config_entry).filter(|_| is_there(&image.id)).ok_or_else(fail)?;
        Ok(format!(
            r#"{{"schemaVersion":2,"mediaType":"{OCI_MANIFEST}","config":{},"layers":{}}}"#,
            descriptor(OCI_CONFIG, &image.id, config.size, &[]),
            json::array_of(layers)
        ))
    }

    /// Of each index, the image that most people mean: see [`Self::preferred`].
    fn all_preferred(&self) -> HashMap<&String, usize> {
        let mut preferred = HashMap::new();
        for (number, image) in self.images().iter().enumerate() {
            let Some(index) = &image.index else { continue };
            let is_common = |image: &Image| image.platform.is_common();
            let known = *preferred.entry(index).or_insert(number);
            if is_common(image) && !self.images().get(known).is_some_and(is_common) {
                preferred.insert(index, number);
            }
        }
        preferred
    }

    /// `LayerSources` of the layers that may not be distributed and are not there: without them, readers would miss
    /// these.
    fn absent_sources(&self, image: &Image) -> String {
        let manifest = image.digest.as_deref().and_then(|digest| manifest_of(self, digest));
        let stated = manifest.map(|manifest| manifest.layers).unwrap_or_default();
        let absent = |(number, layer): (usize, &Layer)| {
            let diff_id = layer.diff_id.as_ref().filter(|_| layer.entry.is_none())?;
            Some(format!("{}:{}", json::string(diff_id), stated.get(number)?.text))
        };
        let sources: Vec<String> = image.layers.iter().enumerate().filter_map(absent).collect();
        if sources.is_empty() {
            return String::new();
        }
        format!(r#","LayerSources":{{{}}}"#, sources.join(","))
    }

    fn with_manifest(&self) -> Result<Self> {
        let path = |entry: Option<usize>| {
            let entry = entry.and_then(|entry| self.members.entry(entry));
            json::string(&entry.map(|entry| normal(&entry.path)).unwrap_or_default())
        };
        let mut items: Vec<(&Image, Vec<&Name>)> = Vec::new();
        let mut known: HashMap<&str, usize> = HashMap::new();
        let preferred = self.all_preferred();
        for (number, image) in self.images().iter().enumerate() {
            // Of the images for several platforms, the one that most people mean, as containerd does it.
            let is_other = image.index.as_ref().is_some_and(|index| preferred.get(index) != Some(&number));
            if is_other {
                continue;
            }
            // An image that is there with several manifests has the names of all of them.
            let at = *known.entry(&image.id).or_insert(items.len());
            match items.get_mut(at) {
                Some((_, names)) => names.extend(&image.names),
                None => items.push((image, image.names.iter().collect())),
            }
        }
        let item = |(image, names): (&Image, Vec<&Name>)| {
            let mut seen = HashSet::new();
            let tagged = names.into_iter().filter(|name| seen.insert(*name));
            let tagged = tagged.filter_map(|name| name.reference().filter(|name| name.tag().is_some()));
            let tags: Vec<_> = tagged.map(|name| json::string(&name.to_string())).collect();
            let tags = if tags.is_empty() { "null".to_owned() } else { json::array_of(tags) };
            let layers = image.layers.iter().map(|layer| match layer.entry {
                Some(entry) => path(Some(entry)),
                None => json::string(&layer.path),
            });
            let (config, layers) = (path(Some(image.config_entry)), json::array_of(layers));
            let sources = self.absent_sources(image);
            format!(r#"{{"Config":{config},"RepoTags":{tags},"Layers":{layers}{sources}}}"#)
        };
        let items: Vec<String> = items.into_iter().map(item).collect();
        // One may be there that is none.
        let place = self.place_of(manifest_json::PATH);
        self.with_documents(vec![(place, json::array_of(items).into_bytes())])
    }
}
