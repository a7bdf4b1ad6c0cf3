//! Archives that are put together by hand.

use std::rc::Rc;

use longshore_archive::{Archive, FindingCode, Recipe, Source};
use longshore_fixtures::{Content, Entry, tar};

pub(crate) type Bytes = Rc<Vec<u8>>;

pub(crate) fn open(bytes: Vec<u8>) -> Archive<Bytes> {
    Archive::open(Rc::new(bytes)).unwrap()
}

pub(crate) fn codes(archive: &Archive<Bytes>) -> Vec<FindingCode> {
    archive.findings().iter().map(|finding| finding.code).collect()
}

pub(crate) fn flat(recipe: &Recipe<Bytes>) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(recipe.len()).unwrap()];
    recipe.read_at(0, &mut bytes).unwrap();
    bytes
}

pub(crate) fn replace(entries: &mut [Entry], path: &str, text: &str) {
    let entry = entries.iter_mut().find(|entry| entry.path == path).unwrap();
    entry.content = Content::Bytes(text.into());
}

/// An archive of `manifest.json` and some more.
pub(crate) fn listed(manifest: &str, more: &[Entry]) -> Vec<u8> {
    tar(&[&[Entry::file("manifest.json", manifest)], more].concat())
}

pub(crate) fn tiny_config() -> Entry {
    Entry::file("c", "{}")
}

/// Puts bytes into the first header and makes its checksum right again.
pub(crate) fn with_header(mut bytes: Vec<u8>, at: usize, field: &[u8]) -> Vec<u8> {
    bytes[at..at + field.len()].copy_from_slice(field);
    bytes[148..156].fill(b' ');
    let sum: u32 = bytes[..512].iter().copied().map(u32::from).sum();
    bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    bytes
}
