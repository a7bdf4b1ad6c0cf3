//! Archives as tests look at them after an edit.
#![allow(dead_code, reason = "not every test needs all of it")]

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::rc::Rc;

use longshore_archive::{Archive, EntryKind, Format, LoadVerdict, Repair, Source};
use longshore_fixtures::{Entry, tar};

use crate::saving::{self, Open};

pub(crate) fn open(bytes: Vec<u8>) -> Open {
    Archive::open(Rc::new(bytes)).unwrap()
}

pub(crate) fn bytes_of(archive: &Open) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(archive.recipe().len()).unwrap()];
    archive.recipe().read_at(0, &mut bytes).unwrap();
    bytes
}

/// The members as `tar -C folder .` writes them.
pub(crate) fn below_dot(mut entries: Vec<Entry>) -> Vec<u8> {
    for entry in &mut entries {
        entry.path.insert_str(0, "./");
    }
    tar(&entries)
}

/// What each reader is predicted to make of it.
pub(crate) fn verdicts(archive: &Open) -> Vec<LoadVerdict> {
    let predicted = archive.compatibility(&[], false, &HashMap::new());
    predicted.iter().map(|predicted| predicted.verdict).collect()
}

pub(crate) fn orphans(archive: &Open) -> BTreeSet<String> {
    let proposals = archive.repairs().into_iter();
    proposals
        .filter(|proposal| proposal.repair == Repair::Orphans)
        .flat_map(|proposal| proposal.entries)
        .collect()
}

/// The bytes of each member, by its path.
pub(crate) fn members(archive: &Open) -> BTreeSet<(String, Vec<u8>)> {
    let files = archive.index().entries().iter().filter(|entry| entry.kind == EntryKind::File);
    files
        .map(|entry| {
            let mut bytes = vec![0; usize::try_from(entry.size).unwrap()];
            archive.recipe().read_at(entry.data, &mut bytes).unwrap();
            (entry.path.to_string(), bytes)
        })
        .collect()
}

/// Opens every archive below `LONGSHORE_CORPUS`, and says of how many `with` was true.
pub(crate) fn every_archive(mut with: impl FnMut(&Open, &str) -> bool) -> usize {
    let mut taken = 0;
    let mut folders = vec![PathBuf::from(std::env::var_os("LONGSHORE_CORPUS").unwrap())];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let Ok(tar) = saving::unpacked(&std::fs::read(&path).unwrap()) else { continue };
            let Ok(archive) = Archive::open(Rc::new(tar)) else { continue };
            taken += usize::from(with(&archive, &path.display().to_string()));
        }
    }
    taken
}

/// Those whose images have configs, and how many there are: more than 50.
pub(crate) fn corpus(mut with: impl FnMut(&Open, &str)) -> usize {
    let opened = every_archive(|archive, path| {
        let has_configs = archive.format() != Format::DockerV1 && !archive.images().is_empty();
        if has_configs {
            with(archive, path);
        }
        has_configs
    });
    assert!(opened > 50);
    opened
}
