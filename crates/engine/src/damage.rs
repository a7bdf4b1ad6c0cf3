//! Blobs that are lost, or not what their digests say.

use std::collections::BTreeSet;

use crate::catalog::Catalog;
use crate::change::Change;
use crate::container::Container;
use crate::image::{Image, Index};

impl Catalog {
    /// Marks what needs a blob that is lost, or not what its digest says. [`Self::load`] of what has it mends it.
    #[must_use]
    pub fn damage(&self, digest: &str) -> Change {
        let mut after = self.clone();
        for image in self.all_images().filter(|image| image.blobs().any(|blob| blob.digest == digest)) {
            let damaged = image.damaged().iter().cloned().chain([digest.to_owned()]).collect();
            after.put_image(image.with_damage(damaged));
        }
        for index in self.all_indexes().filter(|index| index.all_blobs().any(|blob| blob.digest == digest)) {
            let mut index = index.clone();
            index.damaged.insert(digest.to_owned());
            after.put_index(index);
        }
        after.damage_bases(|base| {
            let is_of = base.blobs().any(|blob| blob.digest == digest);
            is_of.then(|| base.damaged().iter().cloned().chain([digest.to_owned()]).collect())
        });
        let has_it =
            |container: &&Container| after.contents(&container.id).any(|content| content.digest == digest);
        let containers: Vec<Container> = after.all_containers().filter(has_it).cloned().collect();
        for mut container in containers {
            container.lost.insert(digest.to_owned());
            after.put_container(container);
        }
        Change::between(self, &after, Vec::new())
    }

    /// The blobs that are marked.
    pub(crate) fn lost(&self) -> BTreeSet<String> {
        let images = self.all_images().chain(self.bases()).flat_map(Image::damaged);
        let indexes = self.all_indexes().flat_map(|index| &index.damaged);
        let contents = self.all_containers().flat_map(|container| &container.lost);
        images.chain(indexes).chain(contents).cloned().collect()
    }

    /// Takes the marks away from what has these blobs again.
    pub fn mend(&mut self, brought: &BTreeSet<String>) {
        let is_mended = |damaged: &BTreeSet<String>| !damaged.is_disjoint(brought);
        let images: Vec<Image> =
            self.all_images().filter(|image| is_mended(image.damaged())).cloned().collect();
        for image in images {
            self.put_image(image.with_damage(image.damaged() - brought));
        }
        let indexes: Vec<Index> =
            self.all_indexes().filter(|index| is_mended(&index.damaged)).cloned().collect();
        for mut index in indexes {
            index.damaged = &index.damaged - brought;
            self.put_index(index);
        }
        self.damage_bases(|base| is_mended(base.damaged()).then(|| base.damaged() - brought));
        for container in self.mended_containers(brought) {
            self.put_container(container);
        }
    }

    /// The containers that have lost contents which are here again, without their marks.
    pub(crate) fn mended_containers(&self, brought: &BTreeSet<String>) -> Vec<Container> {
        let lacking = self.all_containers().filter(|container| !container.lost.is_disjoint(brought));
        lacking.map(|container| Container { lost: &container.lost - brought, ..container.clone() }).collect()
    }

    /// Marks what containers kept of images that are gone, where `damage` says how.
    fn damage_bases(&mut self, damage: impl Fn(&Image) -> Option<BTreeSet<String>>) {
        let damaged = |container: &Container| {
            let base = container.base.as_ref()?;
            Some(Container { base: Some(base.with_damage(damage(base)?)), ..container.clone() })
        };
        let containers: Vec<Container> = self.all_containers().filter_map(damaged).collect();
        for container in containers {
            self.put_container(container);
        }
    }
}
