//! `docker create` and `docker rename` (moby `daemon/names.go`, `daemon/create.go`, `daemon/rename.go`).

use std::collections::BTreeSet;

use longshore_archive::{Code, Error, Result};

use super::Container;
use crate::catalog::Catalog;
use crate::change::Change;

/// What a new container is to be. Nothing here knows the time or rolls dice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CreateOptions {
    /// 64 hexadecimal digits, at random.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Now, in RFC 3339.
    pub created: String,
}

/// Fails with `invalid-argument`, in Docker's words, for what cannot be a name.
pub(super) fn check_name(name: &str) -> Result<()> {
    let bare = name.strip_prefix('/').unwrap_or(name);
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    let begins = bare.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    if begins && bare.len() > 1 && bare.bytes().all(is_allowed) {
        return Ok(());
    }
    let sentence = format!("Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed");
    Err(Error::new(Code::InvalidArgument, sentence).with("container", name))
}

impl Catalog {
    /// `docker create`: a container of an image, which prints its ID. Of an image for several platforms it is the one that
    /// [`Self::find_image`] gives.
    ///
    /// Fails as that does, with `invalid-argument` for a name that Docker refuses or an ID that is none, and with
    /// `name-in-use`.
    pub fn create(&self, image: &str, options: &CreateOptions) -> Result<Change> {
        let name = self.free_name(&options.name)?;
        let found = self.find_image(image)?;
        let container = Container {
            id: options.id.clone(),
            name,
            image: found.id().to_owned(),
            reference: image.to_owned(),
            created: options.created.clone(),
            base: None,
            lost: BTreeSet::new(),
        };
        container.check()?;
        if self.all_containers().any(|other| other.id == container.id) {
            return Err(Error::new(Code::InvalidArgument, "another container has that ID"));
        }
        let mut after = self.clone();
        after.put_container(container);
        Ok(Change::between(self, &after, vec![options.id.clone()]))
    }

    /// `docker rename`. Fails as [`Self::find_container`] does, with `invalid-argument` and `name-in-use`, in Docker's words.
    pub fn rename(&self, container: &str, name: &str) -> Result<Change> {
        let refuse = |sentence: &str| Err(Error::new(Code::InvalidArgument, sentence));
        if container.is_empty() || name.is_empty() {
            return refuse("Neither old nor new names may be empty");
        }
        let found = self.find_container(container)?;
        if name.strip_prefix('/').unwrap_or(name) == found.name {
            return refuse("Renaming a container with the same name as its current name");
        }
        // Docker puts the slash before it that it keeps names with, and says so.
        let name = format!("/{}", name.strip_prefix('/').unwrap_or(name));
        let name = self.free_name(&name).map_err(|error| {
            let sentence = format!("Error when allocating new name: {}", error.message());
            Error::new(error.code(), sentence).with("container", name)
        })?;
        let mut after = self.clone();
        after.put_container(Container { name, ..found.clone() });
        Ok(Change::between(self, &after, Vec::new()))
    }

    /// A name that a container can have, as it is kept.
    fn free_name(&self, name: &str) -> Result<String> {
        check_name(name)?;
        let name = name.strip_prefix('/').unwrap_or(name);
        match self.all_containers().find(|other| other.name == name) {
            None => Ok(name.to_owned()),
            Some(other) => {
                let sentence = format!(
                    "Conflict. The container name \"/{name}\" is already in use by container \"{}\". You have to remove (or rename) that container to be able to reuse that name.",
                    other.id
                );
                Err(Error::new(Code::NameInUse, sentence).with("container", name))
            }
        }
    }
}
