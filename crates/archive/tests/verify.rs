//! What `verify` finds.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failure should stop the test"
)]

use std::rc::Rc;

use longshore_archive::{Archive, FindingCode, Limits, Report, Role, Severity, Verdict};
use longshore_fixtures::{
    Content, Entry, ImageSpec, Layer, containerd, crane, docker_hybrid, docker_legacy, docker_legacy_entries,
    docker_v1, oci, oci_entries, oci_platforms, skopeo, tar,
};
use proptest::prelude::*;

fn verify(bytes: Vec<u8>) -> Report {
    Archive::open(Rc::new(bytes)).unwrap().verify(Limits::default()).unwrap()
}

/// The codes of what makes readers refuse the archive, or see another one.
fn errors(report: &Report) -> Vec<FindingCode> {
    let errors = report.findings.iter().filter(|finding| finding.severity == Severity::Error);
    errors.map(|finding| finding.code).collect()
}

fn spec() -> ImageSpec {
    ImageSpec::new("app:1").layer(Layer::files(&[("etc/app", "settings"), ("usr/bin/app", "program")]))
}

fn zipped() -> ImageSpec {
    ImageSpec { gzip: true, ..spec() }
}

#[test]
fn what_every_producer_writes_is_intact() {
    let two = [spec(), ImageSpec { gzip: true, ..ImageSpec::new("db:5").label("a", "b") }];
    for (name, bytes) in [
        ("docker", docker_legacy(&two)),
        ("hybrid", docker_hybrid(&two)),
        ("containerd", containerd(&two)),
        ("skopeo", skopeo(&spec())),
        ("crane", crane(&two)),
        ("oci", oci(&two)),
        ("platforms", oci_platforms(&[spec(), zipped()])),
    ] {
        let report = verify(bytes);
        assert_eq!(report.verdict, Verdict::Intact, "{name}: {:?}", report.findings);
        assert!(report.images.iter().all(|image| image.verdict == Verdict::Intact));
        assert!(report.blobs.iter().any(|blob| blob.role == Role::Layer && blob.content_digest.is_some()));
        let odd = |finding: &&longshore_archive::Finding| finding.severity != Severity::Info;
        assert_eq!(report.findings.iter().find(odd), None, "{name}");
        let orphans =
            report.findings.iter().filter(|finding| finding.code == FindingCode::Unreferenced).count();
        // Docker 25 writes a document for each layer that nothing refers to.
        assert_eq!(orphans, if name == "hybrid" { 3 } else { 0 }, "{name}: {:?}", report.findings);
    }
    assert_eq!(verify(docker_v1(&[spec()])).verdict, Verdict::Unproven);
}

#[test]
fn a_digest_that_nobody_can_compute_proves_nothing() {
    let config = format!(r#"{{"os":"linux","rootfs":{{"diff_ids":["sha384:{}"]}}}}"#, "ab".repeat(48));
    let report = verify(tar(&[
        Entry::file("config.json", config),
        Entry::file("layer.tar", vec![0; 1024]),
        Entry::file(
            "manifest.json",
            r#"[{"Config":"config.json","RepoTags":["app:1"],"Layers":["layer.tar"]}]"#,
        ),
    ]));
    assert_eq!((report.verdict, errors(&report)), (Verdict::Unproven, vec![]));
}

/// crane names a layer for the digest of its bytes: that one holds, but what the config says of their content stays open.
#[test]
fn a_diff_id_that_nobody_can_compute_proves_nothing() {
    let mut bytes = crane(&[spec()]);
    assert_eq!(verify(bytes.clone()).verdict, Verdict::Intact);
    let stated = br#""diff_ids":["sha256:"#;
    let at = bytes.windows(stated.len()).position(|window| window == stated).unwrap() + stated.len();
    bytes[at - 2] = b'5';
    let report = verify(bytes);
    assert_eq!((report.verdict, errors(&report)), (Verdict::Unproven, vec![]));
}

/// Bends the layer with that number of the members.
fn bent(mut entries: Vec<Entry>, layer: usize, bend: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
    let layers = entries.iter_mut().filter(|entry| matches!(entry.content, Content::Blob(_)));
    let entry = layers.into_iter().nth(layer).unwrap();
    let Content::Blob(blob) = &entry.content else { panic!("it is a layer") };
    let mut bytes = Vec::new();
    blob.write_to(&mut bytes).unwrap();
    bend(&mut bytes);
    entry.content = Content::Bytes(bytes);
    tar(&entries)
}

#[test]
fn a_damaged_layer_is_named() {
    let flip = |bytes: &mut Vec<u8>| bytes[600] ^= 1;
    let report = verify(bent(docker_legacy_entries(&[spec()]), 0, flip));
    assert_eq!((report.verdict, errors(&report)), (Verdict::Damaged, vec![FindingCode::DiffIdMismatch]));
    assert_eq!(report.images[0].verdict, Verdict::Damaged);
    let damaged: Vec<_> = report.blobs.iter().filter(|blob| blob.verdict == Verdict::Damaged).collect();
    assert!(damaged.len() == 1 && damaged[0].role == Role::Layer && damaged[0].path.ends_with("layer.tar"));

    let report = verify(bent(oci_entries(&[zipped()]), 0, |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x55;
    }));
    assert!(errors(&report).contains(&FindingCode::DigestMismatch), "{:?}", report.findings);

    // The right layer, followed by something.
    let report = verify(bent(oci_entries(&[zipped()]), 0, |bytes| bytes.extend(b"junk")));
    let codes: Vec<_> = report.findings.iter().map(|finding| finding.code).collect();
    assert!(
        codes.contains(&FindingCode::TrailingBytes) && codes.contains(&FindingCode::SizeMismatch),
        "{codes:?}"
    );

    // No layer at all any more.
    let report = verify(bent(oci_entries(&[zipped()]), 0, |bytes| bytes.truncate(20)));
    assert!(errors(&report).contains(&FindingCode::DamagedLayer));
}

#[test]
fn two_members_of_one_path_are_ambiguous_when_they_differ() {
    let mut entries = docker_legacy_entries(&[spec()]);
    let twice = entries.iter().find(|entry| matches!(entry.content, Content::Blob(_))).unwrap().clone();
    entries.push(twice.clone());
    let report = verify(tar(&entries));
    assert_eq!(report.verdict, Verdict::Intact, "twice the same is harmless: {:?}", report.findings);

    let last = entries.last_mut().unwrap();
    last.content = Content::Bytes(b"something else".into());
    let report = verify(tar(&entries));
    assert!(errors(&report).contains(&FindingCode::Ambiguous));

    let mut entries = docker_legacy_entries(&[spec()]);
    let manifest = entries.iter().find(|entry| entry.path == "manifest.json").unwrap().clone();
    entries.insert(0, Entry { content: Content::Bytes(b"[]".into()), ..manifest });
    let report = verify(tar(&entries));
    assert_eq!((report.verdict, errors(&report)), (Verdict::Ambiguous, vec![FindingCode::Ambiguous]));
}

#[test]
fn a_pax_size_that_is_not_the_headers_is_ambiguous() {
    let mut entries = docker_legacy_entries(&[spec()]);
    let layer = entries.iter_mut().find(|entry| entry.path.ends_with("VERSION")).unwrap();
    layer.pax.push(("size".to_owned(), "3".to_owned()));
    layer.claimed_size = Some(1);
    let report = verify(tar(&entries));
    assert_eq!((report.verdict, errors(&report)), (Verdict::Ambiguous, vec![FindingCode::Ambiguous]));
}

#[test]
fn what_follows_the_end_of_the_tar_is_told() {
    let mut bytes = docker_legacy(&[spec()]);
    bytes.extend(b"a second archive, perhaps");
    let report = verify(bytes);
    assert!(report.findings.iter().any(|finding| finding.code == FindingCode::TrailingData));
    assert_eq!(report.verdict, Verdict::Intact);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// In a layout, every byte of every blob counts.
    #[test]
    fn no_byte_of_a_blob_changes_unseen(at in any::<prop::sample::Index>(), flip in 1_u8..=255) {
        let mut bytes = oci(&[zipped()]);
        let archive = Archive::open(Rc::new(bytes.clone())).unwrap();
        let blobs: Vec<u64> = archive.blobs_to_measure().into_iter().flat_map(|job| job.range).collect();
        let at = usize::try_from(*at.get(&blobs)).unwrap();
        bytes[at] ^= flip;
        if let Ok(archive) = Archive::open(Rc::new(bytes)) {
            let verdict = archive.verify(Limits::default()).unwrap().verdict;
            prop_assert!(verdict != Verdict::Intact || archive.images().is_empty());
        }
    }
}
