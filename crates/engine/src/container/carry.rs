//! Working containers on their way from one store to another: a document in the archive of all images, which no other tool reads.

use std::collections::{BTreeSet, HashSet};

use longshore_archive::{Code, Error, Result};
use serde::{Deserialize, Serialize};

use super::{Container, Content, Node, check_path};
use crate::catalog::{Catalog, json};
use crate::save::ExportedBlob;

/// Where that document is.
pub const CONTAINERS: &str = "longshore-containers.json";
/// The longest one: some hundred thousand changed files.
pub const MAX_CONTAINERS: u64 = 64 << 20;
/// What is written, and all that is read.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Document {
    version: u32,
    containers: Vec<Carried>,
}

/// A working container, and what was changed in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carried {
    /// The container, whose image comes along as an image.
    pub container: Container,
    /// Paths, in the form of [`path_text`](crate::path_text), and what stands there.
    pub changes: Vec<(String, Node)>,
}

impl Carried {
    /// Reads the document. Fails with `invalid-manifest` where it makes no sense, or is of a version that is unknown here.
    pub fn read(document: &str) -> Result<Vec<Self>> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let Versioned { version } = serde_json::from_str(document).map_err(|error| invalid(&error))?;
        if version != VERSION {
            return Err(invalid(&format!("version {version} is unknown here")));
        }
        let Document { containers, .. } = serde_json::from_str(document).map_err(|error| invalid(&error))?;
        Ok(containers)
    }

    /// The blobs with the contents of files that were written in containers, each once.
    pub fn blobs(all: &[Self]) -> Vec<ExportedBlob> {
        let blob = |content: &Content| ExportedBlob::of(content.digest.clone(), content.size);
        let blobs: BTreeSet<ExportedBlob> = all.iter().flat_map(Self::contents).filter_map(blob).collect();
        blobs.into_iter().collect()
    }

    /// The contents of files that were written.
    pub(crate) fn contents(&self) -> impl Iterator<Item = &Content> {
        self.changes.iter().filter_map(|(_, node)| node.content())
    }

    /// Fails with `invalid-manifest` where a field is not what it should be.
    pub(crate) fn check(&self) -> Result<()> {
        let mut paths = self.changes.iter().map(|(path, _)| check_path(path));
        self.container
            .check()
            .and_then(|()| paths.try_for_each(|path| path))
            .map_err(|error| invalid(&error.message()))
    }
}

fn invalid(reason: &dyn std::fmt::Display) -> Error {
    let sentence = format!("The containers in {CONTAINERS} cannot be read: {reason}.");
    Error::new(Code::InvalidManifest, sentence).with("entry", CONTAINERS)
}

impl Catalog {
    /// What stands for the containers in an archive, where there are any. Fails with `limit-exceeded` where that is longer
    /// than what is read.
    pub(crate) fn carried(&self) -> Result<Option<String>> {
        let carry = |container: &Container| {
            let changes = self.upper(&container.id).map(|(path, node)| (path.to_owned(), node.clone()));
            let container = Container { base: None, lost: BTreeSet::new(), ..container.clone() };
            Carried { changes: changes.collect(), container }
        };
        let containers: Vec<Carried> = self.all_containers().map(carry).collect();
        if containers.is_empty() {
            return Ok(None);
        }
        let text = json(&Document { version: VERSION, containers });
        if text.len() as u64 > MAX_CONTAINERS {
            let sentence =
                "So many files are changed in the containers that no archive can have them: commit them.";
            return Err(Error::new(Code::LimitExceeded, sentence)
                .with("expected", MAX_CONTAINERS)
                .with("actual", text.len()));
        }
        Ok(Some(text))
    }

    /// Takes containers in, but for those that are here: under their names or, where these are taken, under what `docker create` would
    /// be told without one. Fails with `no-such-image` where one stands on an image that is not here.
    pub(crate) fn take_containers(&mut self, carried: &[Carried]) -> Result<()> {
        let mut taken: HashSet<String> =
            self.all_containers().map(|container| container.name.clone()).collect();
        for Carried { container, changes } in carried {
            if self.container(&container.id).is_some() {
                continue;
            }
            if self.image(&container.image).is_none() {
                let sentence = format!(
                    "The container {} stands on the image {}, which is neither here nor in the archive.",
                    container.name, container.image
                );
                return Err(Error::new(Code::NoSuchImage, sentence).with("image", container.image.as_str()));
            }
            let names = [&container.name, &container.id[..12], &container.id];
            let name =
                names.into_iter().find(|name| !taken.contains(*name)).unwrap_or(&container.id).to_owned();
            taken.insert(name.clone());
            let container = Container { name, base: None, lost: BTreeSet::new(), ..container.clone() };
            self.put_changes(&container.id, changes.iter().cloned());
            self.put_container(container);
        }
        Ok(())
    }
}
