//! Real archives by other people's tools, every file below `LONGSHORE_CORPUS`: into a store and out of it again.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failure should stop the test")]

mod common;
#[path = "../../archive/tests/saving/mod.rs"]
mod saving;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use common::{blobs_of, folder};
use longshore_archive::{Archive, Limits, Target, Verdict};
use longshore_engine::{Catalog, Incoming, PruneOptions};

fn files(corpus: &Path) -> Vec<PathBuf> {
    let text = std::fs::read_to_string(corpus.join("INDEX.tsv")).unwrap();
    text.lines().skip(1).filter_map(|row| Some(corpus.join(row.split('\t').next()?))).collect()
}

/// Whether no two images have one name: they cannot be written.
fn is_clear(archive: &saving::Open) -> bool {
    let own = archive.images().iter().filter(|image| image.index.is_none());
    let names: Vec<_> = own.flat_map(|image| &image.names).collect();
    names.iter().collect::<HashSet<_>>().len() == names.len()
}

/// Loads an archive and saves all of it again; gives what is wrong.
fn round_trip(archive: &saving::Open) -> Result<Incoming, String> {
    let told = |error: longshore_archive::Error| error.to_string();
    let incoming = Incoming::of(archive).map_err(told)?;
    let mut catalog = Catalog::default();
    let change = catalog.load(&incoming).map_err(told)?;
    catalog.apply(&change).map_err(told)?;
    if Catalog::from_rows(catalog.rows()).map_err(told)? != catalog {
        return Err("the rows are not the catalog".to_owned());
    }
    let mut wanted = Vec::new();
    for listed in &incoming.listed {
        match listed.names.as_slice() {
            [] => wanted.push(listed.target.digest().to_owned()),
            names => wanted.extend(names.iter().cloned()),
        }
    }
    let out = folder(&catalog.save(&wanted, &[]).map_err(told)?, &blobs_of(archive));
    let again = Incoming::of(&out).map_err(told)?;
    let same = incoming == again;
    if !same {
        return Err(format!("another one comes out: {:?} instead of {:?}", again.listed, incoming.listed));
    }
    if out.verify(Limits::default()).map_err(told)?.verdict != Verdict::Intact {
        return Err("what comes out is damaged".to_owned());
    }
    Ok(incoming)
}

#[test]
#[ignore = "needs LONGSHORE_CORPUS"]
fn every_intact_archive_goes_in_and_comes_out() {
    let corpus = PathBuf::from(std::env::var_os("LONGSHORE_CORPUS").unwrap());
    let mut wrong = Vec::new();
    let mut all = Catalog::default();
    let mut count = 0;
    for path in files(&corpus) {
        let Ok(tar) = saving::unpacked(&std::fs::read(&path).unwrap()) else { continue };
        let Ok(archive) = Archive::open(Rc::new(tar)) else { continue };
        let is_whole = archive.verify(Limits::default()).unwrap().verdict == Verdict::Intact;
        if archive.images().is_empty() || !is_whole || !is_clear(&archive) {
            continue;
        }
        count += 1;
        match round_trip(&saving::all(&archive, Target::Docker)) {
            Err(why) => wrong.push(format!("{}: {why}", path.display())),
            Ok(incoming) => {
                let before = all.blobs();
                let bytes = all.plan(&incoming).unwrap().bytes;
                all.apply(&all.load(&incoming).unwrap()).unwrap();
                let added: u64 = all
                    .blobs()
                    .iter()
                    .filter(|(blob, _)| !before.contains_key(*blob))
                    .map(|(_, size)| size)
                    .sum();
                assert_eq!(added, bytes, "{}", path.display());
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!("{count} archives, {} images, {} bytes", all.all_images().count(), all.df(&[]).size);
    assert!(Catalog::from_rows(all.rows()).unwrap() == all);
    let pruned = all.prune(&PruneOptions { all: true, ..PruneOptions::default() }).unwrap();
    assert_eq!(pruned.reclaimed, all.df(&[]).size);
    all.apply(&pruned.change).unwrap();
    assert!(all == Catalog::default());
}
