//! An archive on its way into the store.

use std::collections::{BTreeMap, BTreeSet};

use longshore_archive::{Archive, Code, Error, ListedTarget, Name, Reference, Result, Source};
use serde::{Deserialize, Serialize};

use crate::catalog::Target;
use crate::container::{Carried, Content};
use crate::image::{Blob, Descriptor, Image, Index, Layer, Manifest, Row};

/// What an archive holds, as the store would keep it: data, without the blobs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incoming {
    /// Each once, in the archive's order.
    pub images: Vec<Image>,
    /// The indexes of images for several platforms.
    pub indexes: Vec<Index>,
    /// What the archive lists and under which names, in its order.
    pub listed: Vec<Listed>,
    /// Working containers, where the archive is that of a whole store.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub containers: Vec<Carried>,
}

/// Something that an archive lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// One of the images or indexes.
    pub target: Target,
    /// Its names, each with a tag or with a digest, as Docker prints them.
    pub names: Vec<String>,
}

impl Incoming {
    /// What an archive holds. It has to be in the form [`Target::Docker`](longshore_archive::Target::Docker): every
    /// image with a manifest, every blob by its digest.
    ///
    /// Fails with `invalid-argument` where it is not, with `invalid-manifest`, in Docker's words, where `docker load`
    /// would fail, and as [`Config::loadable`](longshore_archive::Config::loadable) does. A name without a tag gets `latest`, as in
    /// Docker's containerd store; what has no place in that form ([`left_out`](longshore_archive::left_out)) is left out here.
    pub fn of<S: Source + Clone>(archive: &Archive<S>) -> Result<Self> {
        let listing = archive.listing()?;
        let mut incoming = Self::default();
        let mut known = BTreeSet::new();
        for number in 0..archive.images().len() {
            let image = image(archive, number)?;
            if known.insert(image.id().to_owned()) {
                incoming.images.push(image);
            }
        }
        let id = |number: usize| archive.images().get(number).map(|image| image.id.clone());
        for index in &listing.indexes {
            let manifest = |(digest, image): &(String, Option<usize>)| Manifest {
                digest: digest.clone(),
                image: image.and_then(id),
            };
            let blob =
                |(digest, size): &(String, u64)| Blob { digest: digest.clone(), size: *size, diff_id: None };
            incoming.indexes.push(Index {
                digest: index.document.digest.clone(),
                size: index.document.size,
                media_type: index.document.media_type.clone(),
                manifests: index.manifests.iter().map(manifest).collect(),
                blobs: index.blobs.iter().map(blob).collect(),
                damaged: BTreeSet::new(),
            });
        }
        for listed in &listing.listed {
            let target = match listed.target {
                ListedTarget::Image(number) => id(number).map(Target::Image),
                ListedTarget::Index(number) => {
                    listing.indexes.get(number).map(|index| Target::Index(index.document.digest.clone()))
                }
            };
            let Some(target) = target else { continue };
            let references = listed.names.iter().filter_map(Name::reference);
            let tags = references.filter(|name| name.digest().is_none());
            incoming.listed.push(Listed { target, names: tags.map(ToString::to_string).collect() });
        }
        incoming.check()?;
        Ok(incoming)
    }

    /// Gives what a pull brought its names: the tag that was asked for, unless a digest was, and the digest that it has in the
    /// registry (moby `distribution/pull_v2.go`).
    ///
    /// Fails with `invalid-reference`.
    pub fn pulled(&mut self, reference: &str) -> Result<()> {
        let asked = Reference::parse(reference)?;
        let Some(listed) = self.listed.first_mut() else { return Ok(()) };
        let digest = match &listed.target {
            Target::Index(digest) => digest,
            Target::Image(id) => {
                let image = self.images.iter().find(|image| image.id() == id);
                image.map_or(id, |image| &image.manifest().digest)
            }
        };
        let pinned = format!("{}@{digest}", asked.familiar_name());
        let tag = Some(asked).filter(|asked| asked.digest().is_none()).map(|asked| asked.to_string());
        listed.names = tag.into_iter().chain([pinned]).collect();
        Ok(())
    }

    /// Every blob of it, each once.
    pub fn blobs(&self) -> BTreeMap<String, Blob> {
        let mut blobs = BTreeMap::new();
        // What is a layer for an image is just a blob for an index.
        for blob in
            self.indexes.iter().flat_map(Index::all_blobs).chain(self.images.iter().flat_map(Image::blobs))
        {
            blobs.insert(blob.digest.clone(), blob);
        }
        for Content { digest, size, .. } in self.containers.iter().flat_map(Carried::contents) {
            let blob = || Blob { digest: digest.clone(), size: *size, diff_id: None };
            blobs.entry(digest.clone()).or_insert_with(blob);
        }
        blobs
    }

    /// The names, with what they lead to. Fails as [`Self::check`] does.
    pub(crate) fn references(&self) -> Result<Vec<(&Target, Vec<Reference>)>> {
        let names = |listed: &Listed| listed.names.iter().map(|name| named(name)).collect::<Result<Vec<_>>>();
        self.listed.iter().map(|listed| Ok((&listed.target, names(listed)?))).collect()
    }

    /// Fails with `invalid-argument` where it lists what it does not hold, with `invalid-reference`, and with `invalid-manifest`
    /// for a container that makes no sense.
    pub(crate) fn check(&self) -> Result<()> {
        let images: BTreeSet<&str> = self.images.iter().map(Image::id).collect();
        let indexes: BTreeSet<&str> = self.indexes.iter().map(|index| index.digest.as_str()).collect();
        let absent = |digest: &str| {
            let sentence = format!("The archive lists {digest}, which it does not hold.");
            Err(Error::new(Code::InvalidArgument, sentence).with("digest", digest))
        };
        for index in &self.indexes {
            index.check()?;
            if let Some(id) = index.images().find(|id| !images.contains(id)) {
                return absent(id);
            }
        }
        self.containers.iter().try_for_each(Carried::check)?;
        for (target, _) in self.references()? {
            let there = match target {
                Target::Image(id) => images.contains(id.as_str()),
                Target::Index(digest) => indexes.contains(digest.as_str()),
            };
            if !there {
                return absent(target.digest());
            }
        }
        Ok(())
    }
}

fn named(name: &str) -> Result<Reference> {
    let reference = Reference::parse(name)?;
    if reference.tag().is_some() && reference.digest().is_some() {
        let sentence = format!("invalid tag {name:?}");
        return Err(Error::new(Code::InvalidReference, sentence).with("reference", name));
    }
    Ok(reference)
}

fn image<S: Source + Clone>(archive: &Archive<S>, number: usize) -> Result<Image> {
    let unprepared = || {
        let sentence = "The archive has to be in the form of `docker` before it can be kept.";
        Error::new(Code::InvalidArgument, sentence).with("image", number)
    };
    let image = archive.images().get(number).ok_or_else(unprepared)?;
    let manifest = archive.manifest(number).ok_or_else(unprepared)?;
    let config = String::from_utf8(archive.config(number)?.to_vec()).map_err(|_| unprepared())?;
    let diff_ids = longshore_archive::Config::loadable(config.as_bytes(), &image.id)?.diff_ids;
    let mut layers = Vec::with_capacity(image.layers.len());
    for (place, layer) in image.layers.iter().enumerate() {
        layers.push(Layer {
            digest: layer.digest.clone().ok_or_else(unprepared)?,
            diff_id: diff_ids.get(place).cloned().unwrap_or_default(),
            media_type: layer.media_type.clone(),
            size: layer.size,
            absent: layer.entry.is_none(),
        });
    }
    let longshore_archive::Descriptor { digest, size, media_type } = manifest;
    Image::try_from(Row {
        id: image.id.clone(),
        config,
        manifest: Descriptor { digest, size, media_type },
        layers,
        parent: image.parent.clone(),
        damaged: BTreeSet::new(),
    })
}
