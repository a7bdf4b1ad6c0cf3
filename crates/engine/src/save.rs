//! `docker save` (moby `image/tarexport/save.go`): which documents and blobs make up an archive of some images.

use std::collections::{BTreeMap, BTreeSet};

use longshore_archive::{Algorithm, Code, Error, Reference, Result, blob_path};
use serde::Serialize;

use crate::catalog::{Catalog, Found, Target, json, no_such_image};
use crate::container::CONTAINERS;
use crate::image::{Descriptor, Image, Index, Manifest};

const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// An archive to be, as the files of a folder: an OCI layout beside `manifest.json`, as Docker 25 and later write it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Export {
    /// Paths and contents of the documents: `oci-layout`, `index.json` and `manifest.json`, which goes without what only an index
    /// can say.
    pub documents: Vec<(String, String)>,
    /// The blobs, by path.
    pub blobs: Vec<ExportedBlob>,
}

/// A blob of an [`Export`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ExportedBlob {
    /// Where it goes: `blobs/sha256/…`.
    pub path: String,
    /// Its digest.
    pub digest: String,
    /// Bytes.
    pub size: u64,
}

impl ExportedBlob {
    /// None for a digest that is none.
    pub(crate) fn of(digest: String, size: u64) -> Option<Self> {
        Some(Self { path: blob_path(&digest)?, digest, size })
    }
}

/// What is chosen, with the names that it is to have; in the order in which it was asked for, each once.
#[derive(Default)]
struct Chosen {
    targets: Vec<(Target, Vec<Reference>)>,
    places: BTreeMap<Target, usize>,
    /// Each name leads to one target.
    names: BTreeSet<Reference>,
}

impl Chosen {
    fn add(&mut self, target: Target, name: Option<Reference>) {
        let place = *self.places.entry(target.clone()).or_insert(self.targets.len());
        if place == self.targets.len() {
            self.targets.push((target, Vec::new()));
        }
        if let (Some((_, names)), Some(name)) = (self.targets.get_mut(place), name)
            && self.names.insert(name.clone())
        {
            names.push(name);
        }
    }
}

impl Catalog {
    /// `docker save`: a name with a tag is that image under that name; a repository alone is all its tags; an ID, or a
    /// name with a digest, is the image without a name. An image for several platforms is all of them, or those of
    /// `platforms` (`linux/arm64`); one platform alone goes without the index.
    ///
    /// Fails with `no-such-image`, in the words of Docker's classic store, with `no-such-platform` where one of the images is
    /// not for one of the platforms, with `invalid-reference`, `invalid-argument` where nothing is asked for, and
    /// `damaged-image`.
    pub fn save(&self, images: &[String], platforms: &[String]) -> Result<Export> {
        if images.is_empty() {
            return Err(no_image());
        }
        let mut chosen = Chosen::default();
        for image in images {
            for (target, name) in self.asked(image)? {
                for target in self.of_platforms(&target, platforms)? {
                    chosen.add(target, name.clone());
                }
            }
        }
        self.export(&chosen, platforms)
    }

    /// All images, under all their names, and the working containers: what [`Self::load`] takes in again. An image that is
    /// gone but for a container comes along as one without a name.
    ///
    /// Fails with `invalid-argument` where there is no image, with `damaged-image`, and `limit-exceeded` where far too much
    /// is changed in containers.
    pub fn save_all(&self) -> Result<Export> {
        let mut all = self.clone();
        // What was loaded again counts, not what a container kept before: that knows no parent.
        for base in self.bases().filter(|base| self.image(base.id()).is_none()) {
            all.put_image(base.clone());
        }
        let mut chosen = Chosen::default();
        for (name, target) in all.names().filter(|(name, _)| name.digest().is_none()) {
            chosen.add(target.clone(), Some(name.clone()));
        }
        for index in all.all_indexes() {
            chosen.add(Target::Index(index.digest.clone()), None);
        }
        for image in all.all_images().filter(|image| all.listings(image.id()).next().is_none()) {
            chosen.add(Target::Image(image.id().to_owned()), None);
        }
        if chosen.targets.is_empty() {
            return Err(no_image());
        }
        let mut export = all.export(&chosen, &[])?;
        if let Some(containers) = all.carried()? {
            export.documents.push((CONTAINERS.to_owned(), containers));
            let contents = all.blobs_of_containers();
            let contents = contents.filter_map(|(digest, size)| ExportedBlob::of(digest, size));
            let all: BTreeSet<ExportedBlob> = export.blobs.into_iter().chain(contents).collect();
            export.blobs = all.into_iter().collect();
        }
        Ok(export)
    }

    /// What one argument means.
    fn asked(&self, image: &str) -> Result<Vec<(Target, Option<Reference>)>> {
        let is_whole_id = image.len() == 64 && !image.contains(':');
        let by_id = |found: Option<Target>| {
            let target = found.ok_or_else(|| no_such_image(image, image))?;
            Ok(vec![(target, None)])
        };
        if is_whole_id || Algorithm::of(image).is_some() {
            let Found { target, name } = self.find(image)?;
            return Ok(vec![(target, name)]);
        }
        let bare = Reference::parse_bare(image)?;
        if bare.familiar_name() == "sha256" {
            return by_id(self.search(image)?);
        }
        if bare.tag().is_none() && bare.digest().is_none() {
            let of_repository = |(name, _): &(&Reference, &Target)| {
                name.domain() == bare.domain() && name.path() == bare.path()
            };
            let tagged = |name: &Reference| Some(name.clone()).filter(|name| name.digest().is_none());
            let all: Vec<_> = self
                .names()
                .filter(of_repository)
                .map(|(name, target)| (target.clone(), tagged(name)))
                .collect();
            return if all.is_empty() { by_id(self.search(image)?) } else { Ok(all) };
        }
        let target = self.get(&bare).ok_or_else(|| {
            Error::new(Code::NoSuchImage, "reference does not exist").with("reference", image)
        })?;
        Ok(vec![(target.clone(), Some(bare).filter(|name| name.digest().is_none()))])
    }

    /// A target, or those of its images that are for some platforms: one is itself, several stay with their index.
    fn of_platforms(&self, target: &Target, platforms: &[String]) -> Result<Vec<Target>> {
        if platforms.is_empty() {
            return Ok(vec![target.clone()]);
        }
        let ids: Vec<&str> = match target {
            Target::Image(id) => vec![id],
            Target::Index(digest) => self.index(digest).into_iter().flat_map(Index::images).collect(),
        };
        let is_for =
            |id: &str, platform: &str| self.image(id).is_some_and(|image| image.platform().matches(platform));
        if let Some(absent) = platforms.iter().find(|platform| !ids.iter().any(|id| is_for(id, platform))) {
            let sentence = format!("no suitable export target found for platform {absent}");
            return Err(Error::new(Code::NoSuchPlatform, sentence)
                .with("reference", target.digest())
                .with("platform", absent.as_str()));
        }
        let wanted: BTreeSet<&str> =
            ids.into_iter().filter(|id| platforms.iter().any(|platform| is_for(id, platform))).collect();
        Ok(match wanted.first() {
            Some(only) if wanted.len() == 1 => vec![Target::Image((*only).to_owned())],
            _ => vec![target.clone()],
        })
    }

    fn export(&self, chosen: &Chosen, platforms: &[String]) -> Result<Export> {
        let mut descriptors = Vec::new();
        let mut items: Vec<(&Image, Vec<Reference>)> = Vec::new();
        let mut places: BTreeMap<&str, usize> = BTreeMap::new();
        let mut blobs: BTreeMap<String, u64> = BTreeMap::new();
        let is_for =
            |image: &Image| platforms.is_empty() || platforms.iter().any(|one| image.platform().matches(one));
        for (target, names) in &chosen.targets {
            let part = match target {
                Target::Index(digest) => self.index(digest).map(|index| self.part(index, is_for)),
                Target::Image(_) => None,
            };
            // What is kept packed otherwise than the index lists it would contradict that in `manifest.json`.
            let is_as_listed = |manifest: &&Manifest| self.is_as_listed(manifest);
            let listed = part.iter().flat_map(|index| &index.manifests).filter(is_as_listed);
            let ids: Vec<&str> = match target {
                Target::Image(id) => vec![id],
                Target::Index(_) => listed.filter_map(|manifest| manifest.image.as_deref()).collect(),
            };
            let images: Vec<&Image> = ids.iter().filter_map(|id| self.image(id)).collect();
            for image in &images {
                whole_or_error(image.id(), image.damaged())?;
                blobs.extend(image.blobs().map(|blob| (blob.digest, blob.size)));
            }
            let mut preferred = images.first().copied();
            let mut top = preferred.map(|image| image.manifest().clone());
            if let Some(index) = &part {
                whole_or_error(&index.digest, &index.damaged)?;
                blobs.extend(index.all_blobs().map(|blob| (blob.digest, blob.size)));
                top = Some(Descriptor {
                    digest: index.digest.clone(),
                    size: index.size,
                    media_type: index.media_type.clone(),
                });
                let common = images.iter().find(|image| image.platform().is_common());
                preferred = common.copied().or(preferred);
            }
            let Some(top) = top else { continue };
            if names.is_empty() {
                descriptors.push(descriptor(&top, None));
            }
            descriptors.extend(names.iter().map(|name| descriptor(&top, Some(name))));
            if let Some(image) = preferred {
                let place = *places.entry(image.id()).or_insert(items.len());
                match items.get_mut(place) {
                    Some((_, known)) => known.extend(names.iter().cloned()),
                    None => items.push((image, names.clone())),
                }
            }
        }
        let there: BTreeSet<&str> = items.iter().map(|(image, _)| image.id()).collect();
        let items: Vec<Item> = items.iter().map(|(image, names)| Item::new(image, names, &there)).collect();
        let index = IndexJson { schema_version: 2, media_type: OCI_INDEX, manifests: descriptors };
        let mut documents = vec![
            ("index.json".to_owned(), json(&index)),
            ("oci-layout".to_owned(), r#"{"imageLayoutVersion": "1.0.0"}"#.to_owned()),
        ];
        if !items.is_empty() {
            documents.insert(1, ("manifest.json".to_owned(), json(&items) + "\n"));
        }
        Ok(Export {
            documents,
            blobs: blobs.into_iter().filter_map(|(digest, size)| ExportedBlob::of(digest, size)).collect(),
        })
    }
}

fn no_image() -> Error {
    Error::new(Code::InvalidArgument, "No image is to be saved.")
}

fn whole_or_error(id: &str, damaged: &BTreeSet<String>) -> Result<()> {
    let Some(lost) = damaged.first() else { return Ok(()) };
    let sentence = format!("The store has lost the blob {lost} of {id}. Load the image again.");
    Err(Error::new(Code::DamagedImage, sentence).with("image", id).with("digest", lost.as_str()))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct IndexJson {
    schema_version: u32,
    media_type: &'static str,
    manifests: Vec<Entry>,
}

/// A descriptor of `index.json`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    media_type: String,
    digest: String,
    size: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<&'static str, String>,
}

fn descriptor(top: &Descriptor, name: Option<&Reference>) -> Entry {
    let mut annotations = BTreeMap::new();
    if let Some(name) = name {
        annotations.insert("io.containerd.image.name", name.canonical());
        annotations.extend(name.tag().map(|tag| ("org.opencontainers.image.ref.name", tag.to_owned())));
    }
    let Descriptor { digest, size, media_type } = top.clone();
    Entry { media_type, digest, size, annotations }
}

/// One image of `manifest.json`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<String>,
    layer_sources: BTreeMap<String, Descriptor>,
}

impl Item {
    fn new(image: &Image, names: &[Reference], there: &BTreeSet<&str>) -> Self {
        let path = |digest: &str| blob_path(digest).unwrap_or_default();
        let source = |layer: &crate::image::Layer| {
            let (digest, media_type) = (layer.digest.clone(), layer.media_type.clone());
            (layer.diff_id.clone(), Descriptor { digest, size: layer.size, media_type })
        };
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        Self {
            config: path(image.id()),
            repo_tags: Some(names).filter(|names| !names.is_empty()),
            layers: image.layers().iter().map(|layer| path(&layer.digest)).collect(),
            parent: image.parent().filter(|parent| there.contains(parent)).map(str::to_owned),
            layer_sources: image.layers().iter().map(source).collect(),
        }
    }
}
