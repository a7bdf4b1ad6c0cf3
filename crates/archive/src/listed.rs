//! What an archive's names lead to: images, and the indexes that list one image for several platforms.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::archive::Archive;
use crate::error::{Code, Error, Result};
use crate::model::Name;
use crate::source::Source;
use crate::write::{original, roots};

/// The lines by which an archive is entered, and what they lead to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// In the order of the archive's images; what leads to several of them stands with the first.
    pub listed: Vec<Listed>,
    /// The indexes that `listed` refers to, each once.
    pub indexes: Vec<ImageIndex>,
}

/// Something that is listed under any number of names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// What the names lead to.
    pub target: Target,
    /// Each once, in the archive's order.
    pub names: Vec<Name>,
}

/// What is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Target {
    /// One image, by its number.
    Image(usize),
    /// An index, by its number in [`Listing::indexes`].
    Index(usize),
}

/// A blob as the documents of a layout describe it (OCI image specification, `descriptor.md`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// Its digest.
    pub digest: String,
    /// Bytes.
    pub size: u64,
    /// What it is.
    pub media_type: String,
}

/// An index that lists one image for several platforms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageIndex {
    /// The index itself.
    pub document: Descriptor,
    /// Digests of the manifests that it lists, in order, nested indexes followed, with the numbers of those that are
    /// images of the archive.
    pub manifests: Vec<(String, Option<usize>)>,
    /// Digest and size of every blob of the archive that it leads to, by digest; the index itself is not among them.
    pub blobs: Vec<(String, u64)>,
}

impl<S: Source + Clone> Archive<S> {
    /// What the archive lists, and under which names.
    ///
    /// Fails with `digest-mismatch` for an index that is not what its digest says.
    pub fn listing(&self) -> Result<Listing> {
        let mut listing = Listing::default();
        let mut known: HashMap<String, usize> = HashMap::new();
        let mut images: HashMap<&str, usize> = HashMap::new();
        for (number, image) in self.images().iter().enumerate() {
            images.extend(image.digest.as_deref().map(|digest| (digest, number)));
        }
        for (number, roots) in roots(self).into_iter().enumerate() {
            for root in roots {
                let Some(index) = root.index else {
                    listing.listed.push(Listed { target: Target::Image(number), names: root.names });
                    continue;
                };
                if let Some(&at) = known.get(&index.digest) {
                    if let Some(listed) = listing.listed.get_mut(at) {
                        listed.names.extend(root.names);
                    }
                    continue;
                }
                let document = index.document.as_ref().ok_or_else(|| {
                    let sentence = format!("The index {} is not what its digest says.", index.digest);
                    Error::new(Code::DigestMismatch, sentence).with("digest", index.digest.as_str())
                })?;
                let digest_of = |path: &str| {
                    let (algorithm, hex) = path.strip_prefix("blobs/")?.split_once('/')?;
                    Some(format!("{algorithm}:{hex}"))
                };
                let blobs: BTreeSet<(String, u64)> = index
                    .blobs
                    .iter()
                    .filter_map(|(path, content)| Some((digest_of(path)?, content.len())))
                    .collect();
                known.insert(index.digest.clone(), listing.listed.len());
                let target = Target::Index(listing.indexes.len());
                listing.listed.push(Listed { target, names: root.names });
                listing.indexes.push(ImageIndex {
                    document: Descriptor {
                        digest: document.digest.clone(),
                        size: document.bytes.len(),
                        media_type: document.media_type.clone(),
                    },
                    manifests: index
                        .leaves
                        .iter()
                        .map(|leaf| (leaf.clone(), images.get(leaf.as_str()).copied()))
                        .collect(),
                    blobs: blobs.into_iter().collect(),
                });
            }
        }
        for listed in &mut listing.listed {
            let mut seen = HashSet::new();
            listed.names.retain(|name| seen.insert(name.clone()));
        }
        Ok(listing)
    }

    /// The manifest of an image, by the image's number; `None` where the archive has none that is what its digest says.
    pub fn manifest(&self, image: usize) -> Option<Descriptor> {
        let document = original(self, self.images().get(image)?.digest.as_deref()?)?;
        let size = document.bytes.len();
        Some(Descriptor { digest: document.digest, size, media_type: document.media_type })
    }
}
