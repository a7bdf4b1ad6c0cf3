//! Working containers: an image and what was changed in it. Nothing runs.

mod carry;
mod commit;
mod create;
mod edit;
mod list;
mod node;
mod remove;

use std::collections::BTreeSet;

use longshore_archive::{Algorithm, Code, Error, Result, Timestamp};
use serde::{Deserialize, Serialize};

use crate::catalog::Catalog;
use crate::image::Image;
use crate::rmi::Use;

pub use carry::{CONTAINERS, Carried, MAX_CONTAINERS};
pub use commit::{CommitOptions, Committed, NewLayer};
pub use create::CreateOptions;
pub use edit::Edit;
pub use list::ContainerRow;
pub use node::{Content, File, Kind, Node, path_bytes, path_text};
pub(crate) use node::{MAX_PATH, Upper, check_path, is_target};
pub use remove::{ContainerRemoval, RemovedContainer};

/// A working container, but for its changes: those are rows of their own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Container {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Its name, which no other container has.
    pub name: String,
    /// ID of the image that it was made from.
    pub image: String,
    /// What that image was called when the container was made.
    pub reference: String,
    /// RFC 3339.
    pub created: String,
    /// The image, once it is gone from the store: the container stands on its layers, so their blobs stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Image>,
    /// Blobs with contents of files that were written, and that are lost or not what their digests say.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub lost: BTreeSet<String>,
}

impl Container {
    /// Fails with `invalid-argument` where a field is not what it should be.
    pub(crate) fn check(&self) -> Result<()> {
        let invalid = |what: &str| Err(Error::new(Code::InvalidArgument, format!("the {what} is none")));
        if !is_id(&self.id) {
            return invalid("ID");
        }
        if Timestamp::parse(&self.created).is_none() {
            return invalid("time");
        }
        let is_other = |base: &Image| base.id() != self.image;
        if Algorithm::of(&self.image).is_none() || self.base.as_ref().is_some_and(is_other) {
            return invalid("image");
        }
        create::check_name(&self.name)
    }
}

fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

impl Catalog {
    /// The container that is meant: by its whole ID, its name, or the beginning of its ID, in this order (moby
    /// `daemon/container.go`).
    ///
    /// Fails with `no-such-container`, and with `ambiguous-container` where several IDs begin so.
    pub fn find_container(&self, container: &str) -> Result<&Container> {
        let name = container.strip_prefix('/').unwrap_or(container);
        let mut all = self.all_containers();
        if let Some(found) =
            all.find(|one| one.id == container).or_else(|| self.all_containers().find(|one| one.name == name))
        {
            return Ok(found);
        }
        let mut begin = self.containers_that_begin(container);
        let (code, sentence) = match (begin.next(), begin.next()) {
            (Some(found), None) => return Ok(found),
            (None, _) => (Code::NoSuchContainer, format!("No such container: {container}")),
            (Some(_), Some(_)) => {
                (Code::AmbiguousContainer, format!("multiple IDs found with provided prefix: {container}"))
            }
        };
        Err(Error::new(code, sentence).with("container", container))
    }

    /// Contents of the files that were written in the container with that whole ID.
    pub(crate) fn contents(&self, id: &str) -> impl Iterator<Item = &Content> {
        self.upper(id).filter_map(|(_, node)| node.content())
    }

    /// Those whose IDs begin so: none for an empty beginning.
    fn containers_that_begin(&self, id: &str) -> impl Iterator<Item = &Container> {
        self.all_containers().filter(move |one| !id.is_empty() && one.id.starts_with(id))
    }

    /// The containers, as what stands against removing images: each is a stopped one for Docker.
    pub fn uses(&self) -> Vec<Use> {
        let one = |container: &Container| Use {
            id: container.id.clone(),
            image: container.image.clone(),
            running: false,
            chain_ids: self.base_of(container).map_or_else(Vec::new, |base| base.chain_ids().to_vec()),
        };
        self.all_containers().map(one).collect()
    }

    /// Has each container that stands on an image keep it: it is about to go.
    pub(crate) fn keep_for_containers(&mut self, id: &str) {
        let Some(image) = self.image(id).cloned() else { return };
        let stands = |one: &&Container| one.image == id && one.base.is_none();
        let standing: Vec<Container> = self.all_containers().filter(stands).cloned().collect();
        for container in standing {
            self.put_container(Container { base: Some(image.with_parent(None)), ..container });
        }
    }
}
