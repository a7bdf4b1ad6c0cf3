//! What an archive of 10 GB costs: headers and metadata, whatever lies between.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failure should stop the test")]

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::rc::Rc;

use longshore_archive::{Archive, FileSource, ReadAhead, Source, TarIndex};
use longshore_fixtures::{ImageSpec, Layer, docker_legacy_entries, tar};

const GROWTH: u64 = 340 << 20;

/// Writes an archive of 30 layers whose layers are all zeros in a sparse file, 10 GB that take no room.
fn write_sparse(file: &mut File) {
    let spec = (0..30)
        .fold(ImageSpec::new("big:1"), |spec, seed| spec.layer(Layer::Generated { bytes: 2000, seed }));
    let small = tar(&docker_legacy_entries(&[spec]));
    let index = TarIndex::read(&small).unwrap();
    let slice = |from: u64, to: u64| &small[usize::try_from(from).unwrap()..usize::try_from(to).unwrap()];
    for entry in index.entries() {
        let mut header = tar::Header::from_byte_slice(slice(entry.header, entry.data)).clone();
        if entry.path.ends_with("layer.tar") && entry.size > 0 {
            header.set_size(entry.size + GROWTH);
            header.set_cksum();
            file.write_all(header.as_bytes()).unwrap();
            let padded = (entry.size + GROWTH).next_multiple_of(512);
            file.seek(SeekFrom::Current(i64::try_from(padded).unwrap())).unwrap();
        } else {
            file.write_all(slice(entry.start, entry.end())).unwrap();
        }
    }
    file.write_all(&[0; 1024]).unwrap();
}

#[test]
fn ten_gigabytes_cost_some_kilobytes() {
    let path = std::env::temp_dir().join(format!("longshore-large-{}.tar", std::process::id()));
    write_sparse(&mut File::create(&path).unwrap());
    let file = FileSource::open(&path).unwrap();
    std::fs::remove_file(&path).unwrap(); // it stays readable while it is open
    let source = Rc::new(ReadAhead::new(file));
    assert!(source.len() > 10_000_000_000);

    let archive = Archive::open(source.clone()).unwrap();
    assert_eq!(archive.images()[0].layers.len(), 31);
    assert!(archive.images()[0].size > 10_000_000_000);
    let opened = source.reads();
    assert!(opened.bytes < 1 << 20, "{opened:?}");

    let edit = archive.tag("big:1", "registry.local/big:2").unwrap();
    let edited = source.reads();
    assert!(
        edited.bytes - opened.bytes < 64 << 10,
        "an edit reads the headers of what it changes: {edited:?}"
    );
    let recipe = edit.archive.recipe();
    assert!(recipe.parts().len() < 8, "{} parts", recipe.parts().len());
    let mut end = [1; 1024];
    recipe.read_at(recipe.len() - 1024, &mut end).unwrap();
    assert_eq!(end, [0; 1024]);
    assert_eq!(Archive::open(Rc::new(recipe.clone())).unwrap().images(), edit.archive.images());
}
