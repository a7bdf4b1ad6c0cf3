//! Layers as tests make them, and what they come to.
#![allow(dead_code, reason = "not every test needs all of it")]

use std::collections::BTreeMap;
use std::io::Write;
use std::rc::Rc;

use longshore_archive::{
    FileEntry, FileKind, FileReader, Limits, Recipe, Result, SharedIndex, Source, Tree, index_layer, merge,
};
use longshore_fixtures::Entry;
use proptest::prelude::*;

pub(crate) type Bytes = Rc<Vec<u8>>;

pub(crate) fn recipe(bytes: &[u8]) -> Recipe<Bytes> {
    Recipe::whole(Rc::new(bytes.to_vec()))
}

pub(crate) fn index(bytes: &[u8]) -> Result<SharedIndex> {
    index_layer(recipe(bytes), Limits::default())
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn merged(layers: &[Vec<u8>]) -> Rc<Tree> {
    Rc::new(merge(layers.iter().map(|layer| index(layer).unwrap()).collect()).unwrap())
}

pub(crate) fn entries(tree: &Tree) -> Vec<FileEntry> {
    (0..tree.len()).map(|number| tree.entry(number).unwrap()).collect()
}

pub(crate) fn all<S: Source + Clone>(mut next: impl FnMut() -> Result<Option<Recipe<S>>>) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    while let Some(piece) = next()? {
        let mut bytes = vec![0; usize::try_from(piece.len()).unwrap()];
        piece.read_at(0, &mut bytes)?;
        out.extend(bytes);
    }
    Ok(out)
}

pub(crate) fn read(tree: &Rc<Tree>, layers: &[Vec<u8>], path: &str) -> Result<Vec<u8>> {
    let number = tree.find(path.as_bytes(), true).unwrap();
    let layers = layers.iter().map(|layer| recipe(layer)).collect();
    let mut reader = FileReader::new(tree, number, layers, Limits::default())?;
    all(|| reader.read(50_000))
}

pub(crate) fn noise(len: usize, seed: u32) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state
    };
    // Half of it compresses.
    (0..len)
        .map(|at| if at / 1000 % 2 == 0 { next().to_le_bytes()[1] } else { at.to_le_bytes()[0] % 50 })
        .collect()
}

pub(crate) fn name() -> impl Strategy<Value = String> {
    let component = prop::sample::select(vec!["a", "b", "c", "..", "ü"]);
    let last = prop::sample::select(vec!["a", "b", "c", "ü", ".wh.a", ".wh.b", ".wh..wh..opq"]);
    (prop::collection::vec(component, 0..3), last)
        .prop_map(|(parts, last)| [&parts[..], &[last]].concat().join("/"))
}

pub(crate) fn target() -> impl Strategy<Value = String> {
    let component = prop::sample::select(vec!["a", "b", "c", "..", "ü", ""]);
    prop::collection::vec(component, 1..4).prop_map(|parts| parts.join("/"))
}

pub(crate) fn entry() -> impl Strategy<Value = Entry> {
    (name(), target(), 0..6_u8, 0..2000_usize).prop_map(|(path, target, kind, len)| match kind {
        0 => Entry::directory(path),
        1 => Entry::symlink(path, target),
        2 => Entry::hard_link(path, target),
        _ => Entry::file(path, noise(len, u32::from(kind) + 1)),
    })
}

/// Kind, mode, target, names, content.
pub(crate) type Seen = (FileKind, u32, Option<String>, u32, Vec<u8>);

/// What somebody sees who looks at a tree: kinds, modes, links and contents by path.
pub(crate) fn seen(tree: &Rc<Tree>, layers: &[Vec<u8>]) -> BTreeMap<String, Seen> {
    let one = |entry: FileEntry| {
        let content =
            if entry.kind == FileKind::File { content(tree, layers, &entry.path) } else { Vec::new() };
        (
            entry.path,
            (
                entry.kind,
                entry.mode,
                entry.link.filter(|_| entry.kind == FileKind::Symlink),
                entry.links,
                content,
            ),
        )
    };
    entries(tree).into_iter().skip(1).map(one).collect()
}

pub(crate) fn content(tree: &Rc<Tree>, layers: &[Vec<u8>], path: &str) -> Vec<u8> {
    read(tree, layers, path).unwrap()
}
