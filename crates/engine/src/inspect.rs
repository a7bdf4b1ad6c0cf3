//! `docker image inspect`.

use longshore_archive::{Inspect, Result, RootFs, container_value};

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
        let config = image.config();
        let comment = config.history.last().and_then(|step| step.comment.clone());
        let texts = |digests: bool| {
            names.iter().filter(|name| name.digest().is_some() == digests).map(ToString::to_string).collect()
        };
        Ok(Inspect {
            id: image.id().to_owned(),
            repo_tags: texts(false),
            repo_digests: texts(true),
            parent: image.parent().map(str::to_owned),
            comment: comment.unwrap_or_default(),
            created: config.created.clone(),
            author: config.author.clone().unwrap_or_default(),
            config: container_value(image.config_text().as_bytes(), image.id())?,
            architecture: config.platform.architecture.clone(),
            variant: config.platform.variant.clone(),
            os: config.platform.os.clone(),
            size: image.size(),
            root_fs: RootFs { kind: "layers", layers: config.diff_ids.clone() },
        })
    }
}
