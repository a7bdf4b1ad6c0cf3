//! Repairs: each only when asked, each listed before, and nothing lost.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failure should stop the test"
)]

mod saving;

use std::collections::HashMap;
use std::rc::Rc;

use longshore_archive::{
    Archive, Code, FindingCode, Limits, LoadVerdict, Reader, Repair, Source, Target, Verdict,
};
use longshore_fixtures::{
    Content, Entry, ImageSpec, docker_hybrid, docker_hybrid_entries, docker_legacy, docker_legacy_entries,
    docker_v1_entries, oci, oci_entries, oci_platforms, tar,
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
    // Those of manifest.json come first.
    let ids = |archive: &Open| {
        archive.images().iter().map(|image| image.id.clone()).collect::<std::collections::BTreeSet<_>>()
    };
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

    // containerd finds what is below a dot by names without one.
    let mut entries = oci_entries(&images());
    entries.retain(|entry| entry.path != "oci-layout");
    for entry in &mut entries {
        entry.path.insert_str(0, "./");
    }
    let again = repaired(&open(tar(&entries)), &[Repair::Manifest]);
    let read = again.compatibility(&[], false, &HashMap::new());
    let containerd = read.iter().find(|read| read.reader == Reader::Docker25Containerd).unwrap();
    assert_eq!(containerd.verdict, LoadVerdict::Loads, "{:?}", containerd.reason);
}

#[test]
fn an_oci_layout_is_made_anew_where_nothing_else_is_known_of_it() {
    let verdict = |archive: &Open| {
        let read = archive.compatibility(&[], false, &HashMap::new());
        read.into_iter().find(|read| read.reader == Reader::Docker25Containerd).unwrap().verdict
    };
    for (layout, kept) in [(None, ""), (Some("{imageLayoutVersion"), ""), (Some(r#"{"by":"me"}"#), "me")] {
        for mut entries in [oci_entries(&images()), docker_hybrid_entries(&images())] {
            entries.retain(|entry| entry.path != "oci-layout");
            entries.extend(layout.map(|layout| Entry::file("oci-layout", layout)));
            let archive = open(tar(&entries));
            let again = repaired(&archive, &[Repair::Layout]);
            assert_eq!(verdict(&again), LoadVerdict::Loads, "{layout:?}");
            assert!(again.findings().is_empty(), "{:?}", again.findings());
            assert!(String::from_utf8_lossy(&bytes(&again)).contains(kept));
        }
    }
    // Nobody knows what another version says.
    let mut entries = oci_entries(&images());
    entries.retain(|entry| entry.path != "oci-layout");
    entries.push(Entry::file("oci-layout", r#"{"imageLayoutVersion":"2.0.0"}"#));
    assert_eq!(repairs(&open(tar(&entries))), [Repair::Manifest]);
    // Without an index it is nothing, and keeps containerd from manifest.json.
    let mut entries = docker_legacy_entries(&images());
    entries.push(Entry::file("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#));
    let archive = open(tar(&entries));
    assert_eq!((verdict(&archive), repairs(&archive)), (LoadVerdict::Refuses, vec![Repair::Orphans]));
    assert_eq!(verdict(&repaired(&archive, &[Repair::Orphans])), LoadVerdict::Loads);
}

#[test]
fn tags_alone_are_kept_where_only_an_index_has_a_place_for_them() {
    let names =
        |archive: &Open| archive.images()[0].names.iter().map(ToString::to_string).collect::<Vec<_>>();
    let mut entries = oci_entries(&[ImageSpec::new("app:1")]);
    let index = entries.iter_mut().find(|entry| entry.path == "index.json").unwrap();
    let Content::Bytes(listed) = &index.content else { panic!("the index is text") };
    let listed = String::from_utf8(listed.clone()).unwrap();
    index.content = Content::Bytes(listed.replace("app:1", "a").into());
    let layout = open(tar(&entries));
    assert_eq!(names(&layout), ["a"]);
    let repaired = repaired(&layout, &[Repair::Manifest]);
    let saved = open(saving::save_some(&[(&layout, 0)], Target::Docker, None).unwrap());
    for hybrid in [&repaired, &saved] {
        assert_eq!(names(hybrid), ["a"]);
        let found: Vec<_> = hybrid.findings().iter().map(|finding| finding.code).collect();
        assert_eq!(found, [FindingCode::BareTag]);
        assert!(!repairs(hybrid).contains(&Repair::Index));
        // Edits keep it, and leave it out of what Docker reads.
        let tagged = open(bytes(&hybrid.tag("a", "app:1").unwrap().archive));
        assert_eq!(names(&tagged), ["app:1", "a"]);
        let found: Vec<_> = tagged.findings().iter().map(|finding| finding.code).collect();
        assert_eq!(found, [FindingCode::BareTag]);
        let untagged = open(bytes(&tagged.untag("a").unwrap().archive));
        assert_eq!((names(&untagged), untagged.findings()), (vec!["app:1".to_owned()], &[][..]));
    }
}

#[test]
fn a_manifest_json_that_is_none_makes_way_for_one() {
    let archive = with("manifest.json", "no JSON");
    assert!(archive.findings().iter().any(|finding| finding.code == FindingCode::InvalidListing));
    let again = repaired(&archive, &[Repair::Manifest]);
    assert!(again.findings().is_empty(), "{:?}", again.findings());
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

#[test]
fn an_index_that_is_made_anew_still_has_all_platforms() {
    let spec = |architecture: &str| {
        let mut spec = ImageSpec::new("app:1");
        architecture.clone_into(&mut spec.architecture);
        spec
    };
    let layout = open(oci_platforms(&[spec("arm64"), spec("amd64")]));
    let mut both = bytes(&repaired(&layout, &[Repair::Manifest]));
    let tags = br#""RepoTags":["app:1"]"#;
    let at = both.windows(tags.len()).position(|window| window == tags).unwrap();
    both[at + tags.len() - 3] = b'2';
    let archive = open(both);
    let again = repaired(&archive, &[Repair::Index]);
    assert!(again.findings().is_empty(), "{:?}", again.findings());
    assert_eq!(again.others().len(), layout.others().len(), "and their attestations");
    assert!(again.images().iter().all(|image| image.index == layout.images()[0].index));
    assert!(again.images().iter().all(|image| image.names[0].to_string() == "app:2"));
}

#[test]
fn an_image_with_two_manifests_keeps_all_its_names() {
    let zipped = ImageSpec { gzip: true, ..ImageSpec::new("app:2") };
    let archive = open(oci(&[ImageSpec::new("app:1"), zipped]));
    let again = repaired(&archive, &[Repair::Manifest]);
    let names: Vec<_> = again.images()[0].names.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["app:1", "app:2"]);
}

#[test]
fn a_layer_that_is_absent_by_right_is_no_obstacle() {
    let entry = |path: &str, bytes: &str| Entry::file(path.to_owned(), bytes);
    let blob = |bytes: &str| {
        let digest = longshore_archive::sha256(bytes.as_bytes());
        (digest.clone(), Entry::file(format!("blobs/{}", digest.replace(':', "/")), bytes))
    };
    let absent = format!("sha256:{}", "ab".repeat(32));
    let config = format!(r#"{{"os":"windows","architecture":"amd64","rootfs":{{"diff_ids":["{absent}"]}}}}"#);
    let (config_digest, config_entry) = blob(&config);
    let manifest = format!(
        r#"{{"schemaVersion":2,"config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{config_digest}","size":{}}},"layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"{absent}","size":7,"urls":["https://example.com/layer"]}}]}}"#,
        config.len()
    );
    let (digest, manifest_entry) = blob(&manifest);
    let index = format!(
        r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{digest}","size":{}}}]}}"#,
        manifest.len()
    );
    let archive = open(tar(&[config_entry, manifest_entry, entry("index.json", &index)]));
    let again = repaired(&archive, &[Repair::Manifest]);
    assert_eq!(again.images()[0].layers[0].size, 7);
}

#[test]
fn layer_directories_are_left_out_as_a_whole_or_not_at_all() {
    let id = "ab".repeat(32);
    let files = || [("json", "{}"), ("VERSION", "1.0"), ("layer.tar", "no image has it")];
    let with = |mut entries: Vec<Entry>, json: Option<&str>| {
        for (name, content) in files() {
            let content = json.filter(|_| name == "json").unwrap_or(content);
            entries.push(Entry::file(format!("{id}/{name}"), content));
        }
        open(tar(&entries))
    };
    let archive = with(docker_legacy_entries(&images()), None);
    let again = repaired(&archive, &[Repair::Orphans]);
    assert!(repairs(&again).is_empty(), "{:?}", again.repairs());
    // In the format of Docker 1.9 it is part of an image whose other layers are elsewhere.
    let elsewhere = format!(r#"{{"id":"{id}","parent":"{}"}}"#, "cd".repeat(32));
    let archive = with(docker_v1_entries(&images()), Some(&elsewhere));
    assert!(archive.findings().iter().any(|finding| finding.code == FindingCode::IncompleteImage));
    assert!(repairs(&archive).is_empty(), "{:?}", archive.repairs());
}
