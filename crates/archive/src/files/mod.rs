//! The files inside layers: what each layer holds, what they come to together, and the files' bytes.
//!
//! A layer is read once: [`Indexing`] makes its [`LayerIndex`], whatever it is packed with. [`Merging`] unpacks the
//! layers' indexes one after the other into a [`Tree`], as an engine unpacks layers into a folder. [`FileReader`] and
//! [`Export`] go back to the layers for the bytes. All work is done in steps, so that a Worker can report between
//! them and be stopped.

mod changes;
mod compare;
mod drop;
mod efficiency;
mod export;
mod growing;
mod gzip;
mod header;
mod indexing;
mod layer;
mod member;
mod merge;
mod odd;
mod paths;
mod read;
mod rewrite;
mod search;
mod sparse;
mod squash;
mod stream;
mod tree;

pub use changes::{Changing, LayerChange};
pub use compare::{Comparing, Difference, Side};
pub use drop::Dropping;
pub use efficiency::{Efficiency, WastedPath, Weighing};
pub use export::Export;
pub use indexing::{Indexing, index_layer};
pub use layer::{FileEntry, FileKind, LayerIndex, RawXattr, SharedIndex, Xattr};
pub use member::TarMember;
pub use merge::{ChangeKind, Merging, merge};
pub use odd::{Looking, Odd, Oddity};
pub(crate) use odd::{MAX_NAME, MAX_PATH};
pub use read::FileReader;
pub use rewrite::{GoneFile, LayerPlan, Piece, Rewrite, Rewriting, RewrittenLayer};
pub use search::{Match, Query, Search};
pub use squash::Squashing;
pub use tree::{Tree, Written};

use crate::archive::Archive;
use crate::error::{Code, Error, Result};
use crate::recipe::Recipe;
use crate::source::Source;

impl<S: Source + Clone> Archive<S> {
    /// The bytes of an image's layer as they are stored; both are counted from 0.
    ///
    /// Fails with `missing-entry` where the archive leaves it out, and `invalid-argument` where it is encrypted or there is
    /// none of that number.
    pub fn layer_data(&self, image: usize, layer: usize) -> Result<Recipe<S>> {
        let layers = self.images().get(image).map_or(&[][..], |image| &image.layers);
        let found = layers.get(layer).ok_or_else(|| {
            let sentence =
                format!("The image has no layer {layer}: it has {}, counted from 0.", layers.len());
            Error::new(Code::InvalidArgument, sentence).with("actual", layer)
        })?;
        if found.is_encrypted() {
            return Err(
                Error::new(Code::InvalidArgument, "The layer is encrypted.").with("entry", &*found.path)
            );
        }
        let entry = found.entry.and_then(|entry| self.members.entry(entry)).ok_or_else(|| {
            let sentence = format!("The archive does not hold the layer {}.", found.path);
            Error::new(Code::MissingEntry, sentence).with("entry", &*found.path)
        })?;
        let mut data = Recipe::default();
        data.push_slice(self.recipe(), entry.data..entry.data + entry.size);
        Ok(data)
    }

    /// The bytes of an image's layers, bottom first: up to and with `last`, or of all of them. Fails as [`Self::layer_data`] does.
    pub fn layers_data(&self, image: usize, last: Option<usize>) -> Result<Vec<Recipe<S>>> {
        let all = self.images().get(image).map_or(0, |image| image.layers.len());
        if let Some(last) = last {
            // What fails is the one that was asked for, rather than the first that is missing.
            self.layer_data(image, last)?;
        }
        (0..last.map_or(all, |last| last + 1)).map(|layer| self.layer_data(image, layer)).collect()
    }
}
