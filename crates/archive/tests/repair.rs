//! Repairs: each only when asked, each listed before, and nothing lost.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failure should stop the test"
)]

use std::rc::Rc;

use longshore_archive::{Archive, Code, FindingCode, Limits, Repair, Source, Verdict};
use longshore_fixtures::{
    Content, Entry, ImageSpec, docker_hybrid, docker_hybrid_entries, docker_legacy, oci, tar,
};

type Open = Archive<Rc<Vec<u8>>>;

fn open(bytes: Vec<u8>) -> Open {
    Archive::open(Rc::new(bytes)).unwrap()
}

fn bytes(archive: &Open) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(archive.recipe().len()).unwrap()];
    archive.recipe().read_at(0, &mut bytes).unwrap();
    bytes
}

fn repairs(archive: &Open) -> Vec<Repair> {
    archive.repairs().into_iter().map(|proposal| proposal.repair).collect()
}

/// Repairs, and opens the result as a stranger would.
fn repaired(archive: &Open, repairs: &[Repair]) -> Open {
    let again = open(bytes(&archive.repair(repairs).unwrap()));
    assert_eq!(again.verify(Limits::default()).unwrap().verdict, Verdict::Intact);
    let ids = |archive: &Open| archive.images().iter().map(|image| image.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&again), ids(archive));
    again
}

fn images() -> [ImageSpec; 2] {
    [ImageSpec::new("app:1"), ImageSpec::new("db:5").label("a", "b")]
}

fn with(path: &str, document: &str) -> Open {
    let mut entries = docker_hybrid_entries(&images());
    let entry = entries.iter_mut().find(|entry| entry.path == path).unwrap();
    entry.content = Content::Bytes(document.into());
    open(tar(&entries))
}

#[test]
fn a_sound_archive_needs_no_repair() {
    assert!(repairs(&open(docker_legacy(&images()))).is_empty());
    // But Docker 25's has documents that nothing leads to.
    let archive = open(docker_hybrid(&images()));
    assert_eq!(repairs(&archive), [Repair::Orphans]);
    assert_eq!(archive.repair(&[Repair::Index]).unwrap_err().code(), Code::InvalidArgument);
}

#[test]
fn repositories_and_index_are_made_anew() {
    for (path, document, repair) in [
        ("repositories", "{app}", Repair::Repositories),
        ("repositories", r#"{"other":{"1":"abc"}}"#, Repair::Repositories),
        ("index.json", "nothing", Repair::Index),
        ("index.json", r#"{"schemaVersion":2,"manifests":[]}"#, Repair::Index),
    ] {
        let archive = with(path, document);
        assert!(repairs(&archive).contains(&repair), "{path} {document}: {:?}", archive.findings());
        let again = repaired(&archive, &[repair]);
        let odd: Vec<FindingCode> = again.findings().iter().map(|finding| finding.code).collect();
        assert!(odd.is_empty(), "{path} {document}: {odd:?}");
        assert!(again.images().iter().all(|image| image.digest.is_some()));
    }
}

#[test]
fn an_index_whose_manifests_are_gone_gets_new_ones() {
    let whole = open(docker_hybrid(&images()));
    let manifests: Vec<String> = whole
        .images()
        .iter()
        .map(|image| format!("blobs/{}", image.digest.as_ref().unwrap().replace(':', "/")))
        .collect();
    let mut entries = docker_hybrid_entries(&images());
    entries.retain(|entry| !manifests.contains(&entry.path));
    let archive = open(tar(&entries));
    let again = repaired(&archive, &[Repair::Index]);
    // Made as Docker makes them, they are the same.
    let digests =
        |archive: &Open| archive.images().iter().map(|image| image.digest.clone()).collect::<Vec<_>>();
    assert_eq!(digests(&again), digests(&whole));
}

#[test]
fn a_layout_gets_a_manifest_json() {
    let archive = open(oci(&images()));
    let again = repaired(&archive, &[Repair::Manifest]);
    assert_eq!(again.format().as_str(), "docker-oci");
    assert!(again.findings().is_empty(), "{:?}", again.findings());
    assert_eq!(again.images()[1].names[0].to_string(), "db:5");
}

#[test]
fn orphans_are_left_out_and_nothing_else() {
    let mut entries = docker_hybrid_entries(&images());
    entries.insert(3, Entry::file("notes.txt", "whatever"));
    let archive = open(tar(&entries));
    let listed = archive.repairs().remove(0);
    assert!(listed.entries.contains(&"notes.txt".to_owned()));
    let again = repaired(&archive, &[Repair::Orphans]);
    assert_eq!(again.index().entries().len(), archive.index().entries().len() - listed.entries.len());
    assert!(repairs(&again).is_empty());
    // Edits go on.
    let edit = archive.repair(&[Repair::Orphans]).unwrap().tag("app:1", "app:2").unwrap();
    assert_eq!(open(bytes(&edit.archive)).images()[0].names.len(), 2);
}
