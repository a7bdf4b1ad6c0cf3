//! Container image archives: what `docker save` writes and its relatives, opened, read, retagged and rewritten
//! without copying a layer.
//!
//! An archive is an index over an immutable [`Source`]. An edit yields a [`Recipe`]: ranges of the source and a few
//! new bytes, in order. A recipe is itself a source, so it can be opened, read and edited again before anything is
//! written.
//!
//! ```
//! use std::rc::Rc;
//! use longshore_archive::{Archive, Source};
//! # fn main() -> longshore_archive::Result<()> {
//! # let bytes = longshore_fixtures::docker_legacy(&[longshore_fixtures::ImageSpec::new("mysql:5.5.16")]);
//! let archive = Archive::open(Rc::new(bytes))?;
//! let edit = archive.tag("mysql:5.5.16", "registry.local/team/mysql:5.5")?;
//! let names: Vec<_> = edit.archive.images()[0].names.iter().map(ToString::to_string).collect();
//! assert_eq!(names, ["mysql:5.5.16", "registry.local/team/mysql:5.5"]);
//! assert!(edit.archive.recipe().len() > 0); // what to write
//! # Ok(())
//! # }
//! ```
//!
//! The crate is synchronous and does no I/O of its own but [`FileSource`]'s. It never panics on input: what it cannot
//! use is an [`Error`] with a stable [`Code`], what is merely odd a [`Finding`].

mod archive;
mod changes;
mod commit;
mod compatibility;
mod compression;
mod config;
mod digest;
mod edit;
mod error;
mod files;
mod findings;
mod formats;
mod gzip;
mod instructions;
mod json;
mod listed;
mod measure;
mod members;
mod model;
mod pack;
mod platform;
mod recipe;
mod reconfigure;
mod reference;
mod relayer;
mod remove;
mod repair;
mod rework;
mod source;
mod tar;
mod time;
mod unpack;
mod verify;
mod write;

pub use archive::{Archive, Inspect, RootFs};
pub use changes::{Change, ConfigChanges};
pub use commit::{Commit, CommitChanges};
pub use compatibility::{Compatibility, LoadVerdict, Loaded, Reader, compatibility};
pub use compression::Compression;
pub use config::Config;
pub use digest::{Algorithm, Hasher, Hashing, blob_path, hex, sha256};
pub use edit::{Edit, NameChange, RenameRule};
pub use error::{Code, Detail, Error, Fact, Finding, FindingCode, Result, Severity};
pub use files::*;
pub use listed::{Descriptor, ImageIndex, Listed, Listing, Target as ListedTarget};
pub use measure::{Content, Measured, Measuring, measure};
pub use model::{ContainerConfig, Format, HealthCheck, HistoryEntry, Image, Layer, Name, Other, OtherKind};
pub use pack::{Packer, Repacking};
pub use platform::Platform;
pub use recipe::{Part, Recipe};
pub use reconfigure::Reconfigured;
pub use reference::{Reference, aliases, is_unfinished};
pub use relayer::NewLayer;
pub use repair::{Proposal, Repair};
#[cfg(any(unix, windows))]
pub use source::FileSource;
pub use source::{MAX_LEN, ReadAhead, Reads, Source};
pub use tar::{Entry, EntryKind, Indexer, TarIndex};
pub use time::{Timestamp, duration};
pub use unpack::{Limits, Unpacked};
pub use verify::{BlobReport, ImageReport, Job, Report, Role, Verdict};
pub use write::{
    Need, Packing, Repacked, Selection, Shipment, ShippedBlob, ShippedManifest, ShippedRoot, Target,
    left_out, needs, save, ship,
};
