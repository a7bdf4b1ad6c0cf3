//! The formats, one file for each place where an archive keeps its names. Nothing outside knows them apart.

pub(crate) mod manifest_json;
pub(crate) mod oci_index;
pub(crate) mod repositories;
