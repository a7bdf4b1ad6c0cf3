//! `docker image inspect`.

use longshore_archive::{Inspect, Result};

use crate::catalog::{Catalog, Target};

impl Catalog {
    /// What `docker image inspect` prints for an image. Fails as [`Self::find`] does.
    pub fn inspect(&self, image: &str) -> Result<Inspect> {
        let image = self.find_image(image)?;
        let own = Target::Image(image.id().to_owned());
        let indexes = self.listings(image.id()).map(|index| Target::Index(index.digest.clone()));
        let names: Vec<_> = [own]
            .into_iter()
            .chain(indexes)
            .flat_map(|target| self.names_of(&target).cloned().collect::<Vec<_>>())
            .collect();
        let texts = |digests: bool| {
            names.iter().filter(|name| name.digest().is_some() == digests).map(ToString::to_string).collect()
        };
        Ok(Inspect {
            repo_tags: texts(false),
            repo_digests: texts(true),
            parent: image.parent().map(str::to_owned),
            size: image.size(),
            ..Inspect::of(image.id(), image.config_text().as_bytes())?
        })
    }
}
