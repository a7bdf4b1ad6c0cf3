//! What Docker does with images, as pure functions.
//!
//! A [`Catalog`] is a value: images and what they are called. Each verb (`load`, `tag`, `rmi`, `prune`) reads it and
//! gives a [`Change`], the rows of a key-value table to put and delete, and the lines that Docker would print; or it
//! fails in Docker's words. Nothing here reads or writes anything, knows the time, or rolls dice: what keeps the rows and
//! the blobs knows no rule, and this crate knows nothing of what keeps them.
//!
//! ```
//! use std::rc::Rc;
//! use longshore_archive::Archive;
//! use longshore_engine::{Catalog, Incoming, ListOptions};
//! # fn main() -> longshore_archive::Result<()> {
//! # let bytes = longshore_fixtures::docker_hybrid(&[longshore_fixtures::ImageSpec::new("mysql:5.5.16")]);
//! let archive = Archive::open(Rc::new(bytes))?;
//! let mut catalog = Catalog::default();
//! let change = catalog.load(&Incoming::of(&archive)?)?;
//! assert_eq!(change.lines, ["Loaded image: mysql:5.5.16"]);
//! catalog.apply(&change)?;
//! catalog.apply(&catalog.tag("mysql:5.5.16", "mysql")?)?;
//! let rows = catalog.images(&ListOptions::default())?;
//! assert_eq!(rows.iter().map(|row| row.tag.as_deref().unwrap_or_default()).collect::<Vec<_>>(), ["5.5.16", "latest"]);
//! # Ok(())
//! # }
//! ```
//!
//! The rules, where they are from, and where Docker's versions differ: `docs/semantics.md`.

mod catalog;
mod change;
mod container;
mod damage;
mod df;
mod filter;
mod glob;
mod history;
mod image;
mod incoming;
mod inspect;
mod list;
mod load;
mod overlay;
mod prune;
mod rmi;
mod save;
mod tag;
mod units;
mod until;

pub use catalog::{Catalog, Found, Target};
pub use change::Change;
pub use container::{
    CONTAINERS, Carried, CommitOptions, Committed, Container, ContainerRemoval, ContainerRow, Content,
    CreateOptions, Edit, File, Kind, MAX_CONTAINERS, NewLayer, Node, RemovedContainer, path_bytes, path_text,
};
pub use df::{ImageUsage, Usage};
pub use history::Step;
pub use image::{Blob, Descriptor, Image, Index, Layer, Manifest};
pub use incoming::{Incoming, Listed};
pub use list::{ListOptions, Row};
pub use load::{Move, Plan};
pub use overlay::{Applied, Attributes, Difference, LayerPart, LayerParts, Operation, Overlay, Sight};
pub use prune::{PruneOptions, Pruned};
pub use rmi::{Removal, Removed, RemovedItem, RmiOptions, Use};
pub use save::{Export, ExportedBlob};
pub use tag::Tagging;
pub use units::human_size;
