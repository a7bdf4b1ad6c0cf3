//! What `verify` finds.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failure should stop the test"
)]

use std::rc::Rc;

use longshore_archive::{
    Algorithm, Archive, FindingCode, Limits, Report, Role, Severity, Source, Verdict, sha256,
};
use longshore_fixtures::{
    Content, Entry, ImageSpec, Kind, Layer, containerd, crane, docker_hybrid, docker_hybrid_entries,
    docker_legacy, docker_legacy_entries, docker_v1, oci, oci_entries, oci_platforms, skopeo, tar,
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

/// What comes of an archive: the verdict, and the errors that it follows from.
fn judged(bytes: Vec<u8>) -> (Verdict, Vec<FindingCode>) {
    let report = verify(bytes);
    (report.verdict, errors(&report))
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

/// A layer is measured once: what another image says of it by another algorithm stays open.
#[test]
fn a_diff_id_by_another_algorithm_is_no_mismatch() {
    let layer = tar(&[Entry::file("file", "content")]);
    let digests = [sha256(&layer), Algorithm::Sha512.digest(&layer)];
    let configs = digests.map(|digest| format!(r#"{{"os":"linux","rootfs":{{"diff_ids":["{digest}"]}}}}"#));
    let item = |number: usize| {
        format!(r#"{{"Config":"{number}","RepoTags":["app:{number}"],"Layers":["layer.tar"]}}"#)
    };
    let report = verify(tar(&[
        Entry::file("0", configs[0].as_str()),
        Entry::file("1", configs[1].as_str()),
        Entry::file("layer.tar", layer),
        Entry::file("manifest.json", format!("[{},{}]", item(0), item(1))),
    ]));
    assert_eq!((report.verdict, errors(&report)), (Verdict::Unproven, vec![]));
    let verdicts: Vec<_> = report.images.iter().map(|image| image.verdict).collect();
    assert_eq!(verdicts, [Verdict::Intact, Verdict::Unproven]);
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

/// A hybrid whose `index.json` leads to another manifest than it did; that one is given as it was.
fn with_manifest(bend: impl Fn(&mut serde_json::Value), more: &[Entry]) -> Vec<u8> {
    let mut entries = docker_hybrid_entries(&[spec()]);
    let document = |entries: &[Entry], path: &str| -> serde_json::Value {
        let Content::Bytes(bytes) = &entries.iter().find(|entry| entry.path == path).unwrap().content else {
            panic!("it is a document")
        };
        serde_json::from_slice(bytes).unwrap()
    };
    let mut index = document(&entries, "index.json");
    let descriptor = &mut index["manifests"][0];
    let path = format!("blobs/{}", descriptor["digest"].as_str().unwrap().replace(':', "/"));
    let mut manifest = document(&entries, &path);
    bend(&mut manifest);
    let manifest = manifest.to_string();
    descriptor["digest"] = sha256(manifest.as_bytes()).into();
    descriptor["size"] = manifest.len().into();
    entries.retain(|entry| entry.path != path && entry.path != "index.json");
    entries.extend([blob(&manifest), Entry::file("index.json", index.to_string())]);
    entries.extend_from_slice(more);
    tar(&entries)
}

fn blob(content: &str) -> Entry {
    Entry::file(format!("blobs/{}", sha256(content.as_bytes()).replace(':', "/")), content)
}

#[test]
fn a_hybrid_whose_documents_disagree_is_no_hybrid() {
    use serde_json::json;
    assert_eq!(judged(with_manifest(|_| {}, &[])), (Verdict::Intact, vec![]));
    // What the first Docker 25 wrote: no layers, or wrong sizes.
    assert_eq!(
        judged(with_manifest(|manifest| manifest["layers"] = json!([]), &[])),
        (Verdict::Damaged, vec![FindingCode::LayerCountMismatch])
    );
    for place in ["/layers/0/size", "/config/size"] {
        assert_eq!(
            judged(with_manifest(|manifest| *manifest.pointer_mut(place).unwrap() = json!(7), &[])),
            (Verdict::Damaged, vec![FindingCode::SizeMismatch]),
            "{place}"
        );
    }
    assert_eq!(
        judged(with_manifest(|manifest| manifest["layers"][0]["digest"] = sha256(b"?").into(), &[])),
        (Verdict::Damaged, vec![FindingCode::IncompleteImage])
    );
    // Another layer than the config lists, which is what its name says.
    let evil = "evil".repeat(128);
    let bend = |manifest: &mut serde_json::Value| {
        manifest["layers"][0]["digest"] = sha256(evil.as_bytes()).into();
        manifest["layers"][0]["size"] = evil.len().into();
    };
    assert_eq!(
        judged(with_manifest(bend, &[blob(&evil)])),
        (Verdict::Damaged, vec![FindingCode::DiffIdMismatch])
    );
}

/// What is odd about an archive, but for what is only to know.
fn warnings(bytes: Vec<u8>) -> Vec<FindingCode> {
    let report = verify(bytes);
    assert_eq!(report.verdict, Verdict::Intact, "{:?}", report.findings);
    let warnings = report.findings.iter().filter(|finding| finding.severity == Severity::Warning);
    warnings.map(|finding| finding.code).collect()
}

#[test]
fn a_layout_that_containerd_reads_otherwise_is_told() {
    for entries in [oci_entries(&[spec()]), docker_hybrid_entries(&[spec()])] {
        let with = |layout: Option<&[u8]>| {
            let others = entries.iter().filter(|entry| entry.path != "oci-layout").cloned();
            let layout = layout.map(|layout| Entry::file("oci-layout", layout));
            warnings(tar(&others.chain(layout).collect::<Vec<_>>()))
        };
        let sound = br#"{"imageLayoutVersion": "1.0.0"}"#;
        assert_eq!(with(Some(sound)), []);
        for odd in [r#"{"imageLayoutVersion":"2.0.0"}"#, "{}", "[]", "", r#"{"imageLayoutVersion":1}"#] {
            assert_eq!(with(Some(odd.as_bytes())), [FindingCode::InvalidLayout], "{odd}");
        }
        assert_eq!(with(None), [FindingCode::InvalidLayout]);
        // No bit of it turns unseen, but where it means the same.
        for (at, bit) in (0..sound.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            let mut bytes = sound.to_vec();
            bytes[at] ^= 1 << bit;
            let is_same = bytes.eq_ignore_ascii_case(sound);
            assert_eq!(with(Some(&bytes)).is_empty(), is_same, "{}", String::from_utf8_lossy(&bytes));
        }
    }
    let mut entries = docker_legacy_entries(&[spec()]);
    entries.push(Entry::file("oci-layout", r#"{"imageLayoutVersion": "1.0.0"}"#));
    assert_eq!(warnings(tar(&entries)), [FindingCode::InvalidLayout]);
}

#[test]
fn a_copy_in_a_descriptor_that_is_another_is_told() {
    let layer = "eHg=";
    for (data, is_odd) in [(None, false), (Some("e30"), true), (Some("e30="), true), (Some("?"), true)] {
        for place in ["/config", "/layers/0"] {
            let bend = |manifest: &mut serde_json::Value| {
                let part = manifest.pointer_mut(place).unwrap();
                if let Some(data) = data {
                    part["data"] = data.into();
                }
            };
            let expected = if is_odd { vec![FindingCode::InvalidDescriptor] } else { Vec::new() };
            assert_eq!(warnings(with_manifest(bend, &[])), expected, "{place} {data:?}");
        }
    }
    // One that is right, of an artefact that is nowhere else.
    let digest = sha256(b"xx");
    for (data, findings) in [(layer, vec![]), ("eHk=", vec![FindingCode::InvalidDescriptor])] {
        let bend = |manifest: &mut serde_json::Value| {
            manifest["subject"] = serde_json::Value::Null;
            manifest["layers"] = serde_json::json!([
                { "mediaType": "application/json", "digest": digest, "size": 2, "data": data },
            ]);
        };
        let archive = Archive::open(Rc::new(with_manifest(bend, &[]))).unwrap();
        let found = archive.findings().iter().map(|finding| finding.code);
        let found: Vec<_> = found.filter(|code| *code == FindingCode::InvalidDescriptor).collect();
        assert_eq!(found, findings, "{data}");
    }
}

#[test]
fn layer_sources_that_are_not_the_layers_are_told() {
    let bytes = docker_hybrid(&[spec()]);
    assert_eq!(warnings(bytes), []);
    let with = |bend: &dyn Fn(&mut serde_json::Value)| {
        let mut entries = docker_hybrid_entries(&[spec()]);
        let entry = entries.iter_mut().find(|entry| entry.path == "manifest.json").unwrap();
        let Content::Bytes(bytes) = &entry.content else { panic!("it is a document") };
        let mut manifest: serde_json::Value = serde_json::from_slice(bytes).unwrap();
        let sources = manifest[0]["LayerSources"].as_object_mut().unwrap();
        bend(sources.values_mut().next().unwrap());
        entry.content = Content::Bytes(manifest.to_string().into());
        warnings(tar(&entries))
    };
    assert_eq!(with(&|source| source["size"] = 7.into()), [FindingCode::InvalidDescriptor]);
    assert_eq!(with(&|source| source["digest"] = sha256(b"?").into()), [FindingCode::InvalidDescriptor]);
}

#[test]
fn a_hybrid_may_have_its_layers_twice() {
    let archive = Archive::open(Rc::new(docker_hybrid(&[spec()]))).unwrap();
    let layer = archive.layer_data(0, 0).unwrap();
    let mut plain = vec![0; usize::try_from(layer.len()).unwrap()];
    layer.read_at(0, &mut plain).unwrap();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut encoder, &plain).unwrap();
    let packed = encoder.finish().unwrap();
    let digest = sha256(&packed);
    let (path, size) = (format!("blobs/{}", digest.replace(':', "/")), packed.len());
    let bend = |manifest: &mut serde_json::Value| {
        manifest["layers"][0] = serde_json::json!({
            "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
            "digest": digest,
            "size": size,
        });
    };
    let report = verify(with_manifest(bend, &[Entry::file(path.as_str(), packed.clone())]));
    assert_eq!((report.verdict, errors(&report)), (Verdict::Intact, vec![]), "{:?}", report.findings);
    assert_eq!(report.findings.iter().filter(|finding| finding.severity != Severity::Info).count(), 0);
}

#[test]
fn two_configs_of_one_path_are_ambiguous_when_they_differ() {
    let entries = docker_legacy_entries(&[spec()]);
    let config = entries
        .iter()
        .position(|entry| entry.path.strip_suffix(".json").is_some_and(|stem| stem.len() == 64))
        .unwrap();
    let other = r#"{"os":"linux","rootfs":{"diff_ids":[]}}"#;
    let mut twice = entries.clone();
    twice.insert(0, Entry::file(entries[config].path.as_str(), other));
    let report = verify(tar(&twice));
    assert_eq!((report.verdict, errors(&report)), (Verdict::Ambiguous, vec![FindingCode::Ambiguous]));
    // The same, through a link; and of the listing.
    for path in [entries[config].path.as_str(), "manifest.json"] {
        let mut linked = entries.clone();
        let content = if path == "manifest.json" { "[]" } else { other };
        let link = Entry { kind: Kind::Symlink("other".into()), ..Entry::file(path, "") };
        linked.splice(0..0, [Entry::file("other", content), link]);
        assert_eq!(judged(tar(&linked)), (Verdict::Ambiguous, vec![FindingCode::Ambiguous]), "{path}");
    }
}

#[test]
fn an_image_without_all_its_parts_is_damage_beside_others_too() {
    let entries = oci_entries(&[spec(), ImageSpec::new("db:5").layer(Layer::files(&[("etc/db", "other")]))]);
    assert_eq!(verify(tar(&entries)).verdict, Verdict::Intact);
    let archive = Archive::open(Rc::new(tar(&entries))).unwrap();
    let db = &archive.images()[1];
    let manifest = format!("blobs/{}", db.digest.as_ref().unwrap().replace(':', "/"));
    for gone in [manifest, db.layers.last().unwrap().path.clone()] {
        let mut entries = entries.clone();
        entries.retain(|entry| entry.path != gone);
        assert_eq!(judged(tar(&entries)), (Verdict::Damaged, vec![FindingCode::IncompleteImage]), "{gone}");
    }
}

#[test]
fn what_follows_a_config_is_damage() {
    let config = r#"{"os":"linux","rootfs":{"diff_ids":[]}} garbage"#;
    let manifest = r#"[{"Config":"c.json","RepoTags":["app:1"],"Layers":[]}]"#;
    assert_eq!(
        judged(tar(&[Entry::file("c.json", config), Entry::file("manifest.json", manifest)])),
        (Verdict::Damaged, vec![FindingCode::TrailingBytes])
    );
}

#[test]
fn nobody_can_tell_what_an_encrypted_layer_holds() {
    let variant =
        longshore_fixtures::variants::all().into_iter().find(|one| one.name == "oci-layer-encrypted");
    assert_eq!(judged(variant.unwrap().bytes), (Verdict::Unproven, Vec::new()));
}

#[test]
fn zeros_by_the_hundred_megabytes_are_no_bomb() {
    let sparse = Layer::Tar(tar(&[Entry::file("var/log/lastlog", vec![0; 80 << 20])]));
    let spec = ImageSpec { gzip: true, layers: vec![sparse], ..ImageSpec::new("app:1") };
    assert_eq!(verify(oci(&[spec])).verdict, Verdict::Intact);
}
