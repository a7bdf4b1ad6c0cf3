//! An image with another config: a new ID, and with it new manifests and indexes, while its layers stay where they are.

use crate::archive::Archive;
use crate::changes::ConfigChanges;
use crate::error::{Code, Error, Result};
use crate::model::Format;
use crate::source::Source;

/// An archive in which images have another config.
#[derive(Debug, Clone)]
pub struct Reconfigured<S> {
    /// The archive after the edit.
    pub archive: Archive<S>,
    /// The IDs that the images have now, in the order in which they were chosen.
    pub ids: Vec<String>,
}

impl<S: Source + Clone> Archive<S> {
    /// Changes the config of an image, as `docker commit --change` does: the image gets a new ID and a new manifest, to
    /// which its names move; layers stay where they are, and what only the old image needed leaves the archive. A name
    /// means the images for all its platforms, as in [`Archive::choose`]; an index that lists the image is made anew,
    /// without the attestations of the old one.
    ///
    /// Fails as [`Archive::find`] does, and with `invalid-argument` for a change that Docker refuses, where nothing would
    /// change, or for an archive in the format of Docker 1.9, whose images have no config.
    pub fn reconfigure(&self, image: &str, changes: &ConfigChanges) -> Result<Reconfigured<S>> {
        let mut chosen = Vec::new();
        for number in self.choose(image)? {
            // An image that is there with different manifests has one ID.
            let id = self.images().get(number).map(|image| image.id.clone()).unwrap_or_default();
            if !chosen.contains(&id) {
                chosen.push(id);
            }
        }
        let mut archive = self.clone();
        let mut ids = Vec::new();
        for id in chosen {
            let (after, new) = archive.with_changed_config(&id, changes)?;
            archive = after;
            ids.push(new);
        }
        Ok(Reconfigured { archive, ids })
    }

    /// The archive in which the image with that ID has another config, and the ID that it has then.
    fn with_changed_config(&self, id: &str, changes: &ConfigChanges) -> Result<(Self, String)> {
        self.has_configs(id)?;
        let found = self.find(id)?;
        let bytes = self.config(found)?;
        let config = changes.apply(&bytes, id)?;
        self.members.within_budget(|| self.with_config(id, config, &[]))
    }

    /// Fails with `invalid-argument` where images have no config of their own.
    pub(crate) fn has_configs(&self, image: &str) -> Result<()> {
        if self.format() != Format::DockerV1 {
            return Ok(());
        }
        let sentence =
            "An image of Docker 1.9 has no config of its own: write the archive in another format first.";
        Err(Error::new(Code::InvalidArgument, sentence).with("image", image))
    }
}
