//! What the descriptors of an index lead to.

use std::collections::HashMap;

use crate::model::{Image, Name};

/// What one descriptor of the index leads to, under the name that it gives.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) name: Option<Name>,
    /// The digest of the index for several platforms, where it leads to one.
    pub(crate) index: Option<String>,
    /// The images, by their numbers, in order.
    pub(crate) images: Vec<usize>,
}

impl Line {
    pub(crate) fn has(&self, image: usize) -> bool {
        self.images.binary_search(&image).is_ok()
    }
}

/// What leads to images by their names: the index for several platforms that lists one; of several of one name, the last.
pub(crate) struct NameIndexes<'a>(HashMap<(usize, &'a Name), &'a String>);

impl<'a> NameIndexes<'a> {
    pub(crate) fn of(lines: &'a [Line]) -> Self {
        let mut known = HashMap::new();
        for line in lines {
            let Some((name, index)) = line.name.as_ref().zip(line.index.as_ref()) else { continue };
            known.extend(line.images.iter().map(|&image| ((image, name), index)));
        }
        Self(known)
    }

    /// The index by which an image with that number has a name; else the one that lists it at all.
    pub(crate) fn get(&self, number: usize, image: &'a Image, name: &Name) -> Option<&'a String> {
        self.0.get(&(number, name)).copied().or(image.index.as_ref())
    }
}
