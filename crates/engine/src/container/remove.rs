//! `docker rm` (docker/cli `command/container/rm.go`).

use longshore_archive::{Code, Error, Result};

use crate::catalog::Catalog;
use crate::change::Change;

/// What became of one argument of `docker rm`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemovedContainer {
    /// The argument, which Docker prints.
    pub container: String,
    /// Why nothing was removed.
    pub outcome: Result<()>,
}

/// What `docker rm` does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerRemoval {
    /// What becomes of the catalog. An argument that fails does not keep the others from being removed.
    pub change: Change,
    /// Argument by argument, in order.
    pub items: Vec<RemovedContainer>,
}

impl Catalog {
    /// `docker rm`: takes containers away, with all that was changed in them.
    ///
    /// An argument fails as [`Self::find_container`] does.
    pub fn rm(&self, containers: &[String]) -> ContainerRemoval {
        let mut after = self.clone();
        let mut remove = |container: &str| {
            if container.is_empty() {
                return Err(Error::new(Code::InvalidArgument, "container name cannot be empty"));
            }
            let id = after.find_container(container)?.id.clone();
            after.remove_container(&id);
            Ok(())
        };
        let item = |container: &String| RemovedContainer {
            container: container.clone(),
            outcome: remove(container),
        };
        let items: Vec<RemovedContainer> = containers.iter().map(item).collect();
        let done = items.iter().filter(|item| item.outcome.is_ok());
        let lines = done.map(|item| item.container.clone()).collect();
        ContainerRemoval { change: Change::between(self, &after, lines), items }
    }
}
