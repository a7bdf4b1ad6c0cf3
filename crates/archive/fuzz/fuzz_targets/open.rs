//! Any bytes: an archive or an error. What opens can be looked at, edited and verified, and keeps its promises.
#![no_main]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use libfuzzer_sys::fuzz_target;
use longshore_archive::{
    Algorithm, Archive, Edit, Limits, Need, Recipe, RenameRule, Selection, Source, Target, Verdict,
    compatibility, measure, needs, save,
};

const LIMITS: Limits = Limits { bytes: 1 << 20, ratio: 100, free: 64 << 20 };

type Bytes = Rc<Vec<u8>>;

/// What the images are called, by their IDs.
type Names = BTreeMap<String, BTreeSet<String>>;

fuzz_target!(|data: &[u8]| {
    let bytes = Rc::new(with_checksums(data.to_vec()));
    let Ok(archive) = Archive::open(bytes.clone()) else { return };
    assert!(flat(archive.recipe()) == *bytes, "an archive without edits is its source");
    archive.recheck().unwrap();
    look_at(&archive);

    let first = archive.images().first().map(|image| image.id.clone()).unwrap_or_default();
    let name = archive.images().iter().flat_map(|image| &image.names).next().map(ToString::to_string);
    let target = "fuzz.example/name:tag";
    if let Ok(edit) = archive.tag(&first, target) {
        check(&archive, &edit);
        edit.archive.find(target).unwrap();
        // And an edit of an edit.
        let back = edit.archive.untag(target).unwrap();
        check(&edit.archive, &back);
        back.archive.find(target).unwrap_err();
    }
    if let Some(edit) = name.and_then(|name| archive.untag(&name).ok()) {
        check(&archive, &edit);
    }
    if let Ok(edit) = archive.rename(&[RenameRule { from: String::new(), to: "fuzz.example/all".into() }]) {
        check(&archive, &edit);
    }

    // Memory and a source that never fails: whatever is wrong is a finding.
    let report = archive.verify(LIMITS).unwrap();
    assert_eq!(report.images.len(), archive.images().len());
    let predicted = archive.compatibility(&[], false, &HashMap::new());
    assert_eq!(predicted, compatibility(bytes, &[], false, &HashMap::new()));
    for proposal in archive.repairs() {
        // Some cannot be had after all; what can be had is sound.
        let Ok(repaired) = archive.repair(&[proposal.repair]) else { continue };
        let again = reopened(repaired.recipe());
        assert_eq!(again.images(), repaired.images());
        assert!(ids(&again).is_superset(&ids(&archive)), "a repair loses nothing");
        let verdict = again.verify(LIMITS).unwrap().verdict;
        assert!(report.verdict != Verdict::Intact || verdict == Verdict::Intact, "{:?}", proposal.repair);
    }
    for target in [Target::Docker, Target::DockerLegacy, Target::Oci] {
        write(&archive, report.verdict, target);
    }
});

/// Writes all images, and opens and verifies what was written.
fn write(archive: &Archive<Bytes>, verdict: Verdict, target: Target) {
    let mut measured = HashMap::new();
    for image in 0..archive.images().len() {
        for (entry, need) in needs(archive, image, target, None) {
            if need != Need::Measured {
                return;
            }
            let member = &archive.index().entries()[entry];
            let range = member.data..member.data + member.size;
            let sha256 = Algorithm::Sha256;
            let found = measure(archive.recipe().clone(), range, sha256, sha256, Some(LIMITS)).unwrap();
            measured.insert(entry, found);
        }
    }
    let repacked = HashMap::new();
    let images = 0..archive.images().len();
    let selections: Vec<_> =
        images.map(|image| Selection { archive, image, measured: &measured, repacked: &repacked }).collect();
    let Ok(recipe) = save(&selections, target) else { return };
    let written = reopened(&recipe);
    // Docker 1.9's IDs are none, and only a layout can have others than sha256.
    let are_kept = archive.images().iter().all(|image| image.id.starts_with("sha256:"));
    if are_kept {
        assert_eq!(ids(&written), ids(archive), "{target:?}");
    }
    let report = written.verify(LIMITS).unwrap();
    assert!(
        verdict != Verdict::Intact || report.verdict == Verdict::Intact,
        "{target:?}: {:?}",
        report.findings
    );
}

fn ids(archive: &Archive<Bytes>) -> BTreeSet<String> {
    archive.images().iter().map(|image| image.id.clone()).collect()
}

fn reopened(recipe: &Recipe<Bytes>) -> Archive<Bytes> {
    Archive::open(Rc::new(flat(recipe))).unwrap()
}

/// The fuzzer cannot know what a checksum is.
fn with_checksums(mut bytes: Vec<u8>) -> Vec<u8> {
    for block in bytes.chunks_exact_mut(512).filter(|block| block[257..262] == *b"ustar") {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().copied().map(u32::from).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    bytes
}

fn look_at(archive: &Archive<Bytes>) {
    for image in archive.images() {
        archive.inspect(&image.id).unwrap();
        assert!(
            image
                .layers
                .iter()
                .all(|layer| layer.entry.is_none_or(|entry| entry < archive.index().entries().len()))
        );
        let known = |layer: Option<usize>| layer.is_none_or(|layer| layer < image.layers.len());
        assert!(image.history.iter().all(|step| known(step.layer)));
    }
    let shown = format!("{:?} {:?} {:?}", archive.format(), archive.others(), archive.findings());
    assert!(!shown.is_empty());
}

/// What was promised is what is there when the edited archive is opened again.
fn check(before: &Archive<Bytes>, edit: &Edit<Bytes>) {
    let after = &edit.archive;
    let mut wanted = names(before);
    for change in &edit.changes {
        if let Some(name) = &change.from {
            wanted.get_mut(&change.image).unwrap().remove(name);
        }
    }
    for change in &edit.changes {
        if let Some(name) = &change.to {
            wanted.get_mut(&change.image).unwrap().insert(name.clone());
        }
    }
    // In Docker 1.9's format a name is what makes an image of a layer that others are built on.
    let found = names(after);
    wanted.retain(|id, names| !names.is_empty() || id.starts_with("sha256:") || found.contains_key(id));
    assert_eq!(found, wanted);
    let reopened = Archive::open(Rc::new(flat(after.recipe()))).unwrap();
    assert_eq!(reopened.images(), after.images());
    assert_eq!(reopened.findings(), after.findings());
    assert_eq!(reopened.index().entries(), after.index().entries());
}

fn names(archive: &Archive<Bytes>) -> Names {
    let mut names = Names::new();
    for image in archive.images() {
        names.entry(image.id.clone()).or_default().extend(image.names.iter().map(ToString::to_string));
    }
    names
}

fn flat(recipe: &Recipe<Bytes>) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(recipe.len()).unwrap()];
    recipe.read_at(0, &mut bytes).unwrap();
    bytes
}
