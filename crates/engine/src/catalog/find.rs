//! What a name or an ID means, as Docker finds it.

use std::collections::BTreeSet;

use longshore_archive::{Algorithm, Code, Error, Reference, Result, hex};

use crate::image::{Image, Index};

use super::{Catalog, Target, key};

/// What was meant by a name or an ID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What it leads to.
    pub target: Target,
    /// The name by which it was found; `None`: by its ID.
    pub name: Option<Reference>,
}

impl Catalog {
    /// Finds what is meant as Docker does: a whole ID, a name (`latest` where no tag is given), or the beginning of an
    /// ID. A name wins over an ID that begins so.
    ///
    /// Fails with `no-such-image`, with `ambiguous-image` where several IDs begin so (Docker's sentence is the same), and
    /// with `invalid-reference`.
    pub fn find(&self, image: &str) -> Result<Found> {
        let whole =
            if is_hex(image) && image.len() == 64 { format!("sha256:{image}") } else { image.to_owned() };
        if Algorithm::of(&whole).is_some() {
            let target = self.by_digest(&whole).ok_or_else(|| no_such_image(&whole, image))?;
            return Ok(Found { target, name: None });
        }
        let reference = Reference::parse(image)?;
        if let Some((name, target)) = self.names.get(&key(&reference)) {
            return Ok(Found { target: target.clone(), name: Some(name.clone()) });
        }
        match self.search(image)? {
            Some(target) => Ok(Found { target, name: None }),
            None => Err(no_such_image(&reference.to_string(), image)),
        }
    }

    /// As [`Self::find`], for verbs that are about one image: of an image for several platforms, the one for
    /// `linux/amd64`, or the first.
    pub fn find_image(&self, image: &str) -> Result<&Image> {
        let found = self.find(image)?;
        self.preferred(&found.target).ok_or_else(|| no_such_image(image, image))
    }

    /// The image that a name means to a reader of one platform.
    pub(crate) fn preferred(&self, target: &Target) -> Option<&Image> {
        match target {
            Target::Image(id) => self.image(id),
            Target::Index(digest) => {
                let images = || self.index(digest).into_iter().flat_map(Index::images);
                let mut images = images().filter_map(|id| self.image(id));
                let first = images.next()?;
                let is_common = |image: &&Image| image.platform().is_common();
                Some([first].into_iter().chain(images).find(is_common).unwrap_or(first))
            }
        }
    }

    fn by_digest(&self, digest: &str) -> Option<Target> {
        let image = self.images.contains_key(digest).then(|| Target::Image(digest.to_owned()));
        image.or_else(|| self.indexes.contains_key(digest).then(|| Target::Index(digest.to_owned())))
    }

    /// What has an ID that begins so.
    pub(crate) fn search(&self, image: &str) -> Result<Option<Target>> {
        let hex = hex(image);
        if hex.is_empty() || !is_hex(hex) {
            return Ok(None);
        }
        let prefix = format!("sha256:{hex}");
        let mut found = BTreeSet::new();
        let begins = |id: &&String| id.starts_with(&prefix);
        found.extend(self.images.range(prefix.clone()..).map(|(id, _)| id).take_while(begins).take(2));
        found.extend(self.indexes.range(prefix.clone()..).map(|(id, _)| id).take_while(begins).take(2));
        match found.len() {
            0 | 1 => Ok(found.first().and_then(|id| self.by_digest(id))),
            _ => {
                let name = Reference::parse(image).map_or_else(|_| image.to_owned(), |name| name.to_string());
                let sentence = format!("No such image: {name}");
                Err(Error::new(Code::AmbiguousImage, sentence).with("reference", image))
            }
        }
    }
}

/// Docker's sentence.
pub(crate) fn no_such_image(name: &str, asked: &str) -> Error {
    Error::new(Code::NoSuchImage, format!("No such image: {name}")).with("reference", asked)
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
