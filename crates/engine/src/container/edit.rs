//! Changes of a container's files, as rows.

use std::collections::BTreeSet;

use longshore_archive::{Code, Error, Result};
use serde::{Deserialize, Serialize};

use super::{Node, check_path};
use crate::catalog::{Catalog, change_key, container_key, json};
use crate::change::Change;

/// What becomes of a container's changes: what an [`Overlay`](crate::Overlay) says after each step. As JSON, `put` has pairs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Edit {
    /// Paths, in the form of [`path_text`](crate::path_text), and what stands there now.
    pub put: Vec<(String, Node)>,
    /// Paths of which the upper directory has nothing any more.
    pub delete: Vec<String>,
}

impl Edit {
    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.put.is_empty() && self.delete.is_empty()
    }
}

impl Catalog {
    /// Takes down what was changed in a container. It prints nothing. The contents of all files of the edit have to be there with
    /// the change: containers that have lost one are marked no more.
    ///
    /// Fails as [`Self::find_container`] does, and with `invalid-argument` for a path that is none.
    pub fn edit(&self, container: &str, edit: &Edit) -> Result<Change> {
        let id = self.find_container(container)?.id.as_str();
        let mut change = Change::default();
        let mut brought = BTreeSet::new();
        for (path, node) in &edit.put {
            check_path(path)?;
            if let Some(content) = node.content() {
                content.check()?;
                brought.insert(content.digest.clone());
            }
            if self.change_at(id, path) != Some(node) {
                change.put.push((change_key(id, path), json(node)));
            }
        }
        for path in &edit.delete {
            check_path(path)?;
            change.delete.push(change_key(id, path));
        }
        for container in self.mended_containers(&brought) {
            change.put.push((container_key(&container.id), json(&container)));
        }
        let paths = || edit.put.iter().map(|(path, _)| path).chain(&edit.delete);
        if paths().collect::<BTreeSet<_>>().len() != paths().count() {
            return Err(Error::new(Code::InvalidArgument, "an edit has one change at most for a path"));
        }
        Ok(change)
    }
}
