//! Layouts other than Docker's own: OCI image layouts and what Docker 1.9 wrote.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failure should stop the test"
)]

use std::rc::Rc;

use longshore_archive::{Archive, Code, ConfigChanges, FindingCode, Format, OtherKind, Source, sha256};
use longshore_fixtures::{
    Content, Entry, ImageSpec, Layer, containerd_entries, docker_hybrid_entries, docker_legacy_entries,
    docker_v1, docker_v1_entries, oci, oci_entries, oci_platforms_entries, tar,
};

type Open = Archive<Rc<Vec<u8>>>;

fn open(bytes: Vec<u8>) -> Open {
    Archive::open(Rc::new(bytes)).unwrap()
}

fn codes(archive: &Open) -> Vec<FindingCode> {
    archive.findings().iter().map(|finding| finding.code).collect()
}

fn names(archive: &Open) -> Vec<Vec<String>> {
    archive.images().iter().map(|image| image.names.iter().map(ToString::to_string).collect()).collect()
}

fn spec(name: &str, architecture: &str) -> ImageSpec {
    let mut spec = ImageSpec::new(name).layer(Layer::files(&[("usr/arch", architecture)]));
    architecture.clone_into(&mut spec.architecture);
    spec
}

fn bytes(archive: &Open) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(archive.recipe().len()).unwrap()];
    archive.recipe().read_at(0, &mut bytes).unwrap();
    bytes
}

fn index_json(archive: &Open) -> serde_json::Value {
    let entry = &archive.index().entries()[archive.index().find("index.json").unwrap()];
    let mut bytes = vec![0; usize::try_from(entry.size).unwrap()];
    archive.recipe().read_at(entry.data, &mut bytes).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

/// Puts another document in place of `index.json`.
fn with_index(mut entries: Vec<Entry>, document: &serde_json::Value) -> Vec<u8> {
    let index = entries.iter_mut().find(|entry| entry.path == "index.json").unwrap();
    index.content = Content::Bytes(document.to_string().into());
    tar(&entries)
}

fn layout() -> Entry {
    Entry::file("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#)
}

fn blob(document: &str) -> Entry {
    Entry::file(format!("blobs/{}", sha256(document.as_bytes()).replace(':', "/")), document)
}

fn descriptor(media_type: &str, document: &str) -> serde_json::Value {
    serde_json::json!({ "mediaType": media_type, "digest": sha256(document.as_bytes()), "size": document.len() })
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

#[test]
fn a_layout_by_skopeo_opens_and_is_retagged_in_its_own_style() {
    let mut images = [ImageSpec::new("localhost/base:1"), ImageSpec::new("localhost/app:2").label("a", "b")];
    images[1].gzip = true;
    let archive = open(oci(&images));
    assert_eq!(archive.format(), Format::Oci);
    assert_eq!(names(&archive), [["localhost/base:1"], ["localhost/app:2"]]);
    assert!(codes(&archive).is_empty(), "{:?}", archive.findings());
    let layer = &archive.images()[1].layers[0];
    assert!(layer.media_type.ends_with("+gzip") && layer.digest != layer.diff_id);

    let edit = archive.tag("localhost/app:2", "mirror.local/app:2").unwrap();
    let again = open(bytes(&edit.archive));
    assert_eq!(names(&again)[1], ["localhost/app:2", "mirror.local/app:2"]);
    let annotations = index_json(&again)["manifests"][2]["annotations"].clone();
    assert_eq!(annotations, serde_json::json!({ "org.opencontainers.image.ref.name": "mirror.local/app:2" }));
    assert_eq!(
        bytes(&edit.archive.untag("mirror.local/app:2").unwrap().archive).len(),
        bytes(&archive).len()
    );
}

#[test]
fn the_layer_that_was_asked_for_is_told_of() {
    let archive = open(tar(&oci_platforms_entries(&[spec("app:1", "amd64")])));
    for (last, count) in [(None, 2), (Some(1), 2), (Some(0), 1)] {
        assert_eq!(archive.layers_data(0, last).unwrap().len(), count, "{last:?}");
    }
    let error = archive.layers_data(0, Some(99)).unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    assert_eq!(error.message(), "The image has no layer 99: it has 2, counted from 0.");
}

#[test]
fn platforms_share_their_names_and_attestations_are_no_images() {
    let images = [spec("app:1", "arm64"), spec("app:1", "amd64")];
    let archive = open(tar(&oci_platforms_entries(&images)));
    assert_eq!(names(&archive), [["app:1"], ["app:1"]]);
    assert!(codes(&archive).is_empty(), "{:?}", archive.findings());
    let kinds: Vec<_> = archive.others().iter().map(|other| other.kind).collect();
    assert_eq!(kinds, [OtherKind::Attestation; 2]);
    assert_eq!(archive.others()[0].subject, archive.images()[0].digest);
    assert!(archive.images()[0].index.is_some());
    // As on most machines.
    assert_eq!(archive.find("app:1").unwrap(), 1);

    let edit = archive.tag("app", "team/app:2").unwrap_err();
    assert_eq!(edit.code(), Code::NoSuchImage);
    let edit = archive.tag("app:1", "team/app:2").unwrap();
    assert_eq!(names(&edit.archive), [["app:1", "team/app:2"], ["app:1", "team/app:2"]]);
    let annotations = index_json(&edit.archive)["manifests"][1]["annotations"].clone();
    assert_eq!(annotations["io.containerd.image.name"], "docker.io/team/app:2");
    assert_eq!(annotations["org.opencontainers.image.ref.name"], "2");
    let renamed = edit.archive.rename(&[]).unwrap();
    assert_eq!(names(&renamed.archive), names(&edit.archive));
}

#[test]
fn a_manifest_json_that_cannot_be_read_stays_as_it_is() {
    let images = [spec("app:1", "amd64"), spec("db:1", "arm64")];
    let first = docker_hybrid_entries(&images).into_iter().find(|entry| entry.path == "manifest.json");
    let Content::Bytes(first) = first.unwrap().content else { panic!("it is a document") };
    let items: Vec<serde_json::Value> = serde_json::from_slice(&first).unwrap();
    let [none, text, list] = [
        r#"{"RepoTags":["x:1"]}"#,
        r#"{"Config":"a.json","RepoTags":"x:1"}"#,
        r#"{"Config":"a.json","Layers":{}}"#,
    ];
    for bad in [none, text, list] {
        let bad: serde_json::Value = serde_json::from_str(bad).unwrap();
        let document = serde_json::json!([items[1], items[0], bad]).to_string();
        let mut entries = docker_hybrid_entries(&images);
        let manifest = entries.iter_mut().find(|entry| entry.path == "manifest.json").unwrap();
        manifest.content = Content::Bytes(document.clone().into());
        let archive = open(tar(&entries));
        assert_eq!(
            (archive.format(), names(&archive)),
            (Format::Oci, vec![vec!["app:1".to_owned()], vec!["db:1".to_owned()]])
        );
        let changes = ConfigChanges::read(r#"{"labels":{"a":"b"}}"#).unwrap();
        let edits = [
            archive.tag("app:1", "new:1").unwrap().archive,
            archive.untag("app:1").unwrap().archive,
            archive.remove("app:1").unwrap().archive,
            archive.reconfigure("app:1", &changes).unwrap().archive,
        ];
        for edited in edits {
            let mut kept = Vec::new();
            let member = edited.member("manifest.json").unwrap();
            kept.resize(usize::try_from(member.len()).unwrap(), 0);
            member.read_at(0, &mut kept).unwrap();
            assert_eq!(String::from_utf8(kept).unwrap(), document);
        }
    }
}

#[test]
fn what_a_sparse_index_leaves_out_is_not_in_the_archive() {
    let images = [spec("app:1", "arm64"), spec("app:1", "amd64")];
    let whole = open(tar(&oci_platforms_entries(&images)));
    let absent = &whole.images()[0];
    let gone: Vec<String> =
        [&absent.id, absent.digest.as_ref().unwrap(), absent.layers[1].digest.as_ref().unwrap()]
            .iter()
            .map(|digest| format!("blobs/{}", digest.replace(':', "/")))
            .collect();
    let mut entries = oci_platforms_entries(&images);
    entries.retain(|entry| !gone.contains(&entry.path));
    let archive = open(tar(&entries));
    assert_eq!(archive.images().len(), 1);
    let other = &archive.others()[0];
    assert_eq!(
        (other.kind, other.platform.as_ref().unwrap().architecture.as_str()),
        (OtherKind::Absent, "arm64")
    );
    // Without its manifest it is absent; with its manifest and without its layers it is incomplete.
    let mut entries = oci_platforms_entries(&images);
    entries.retain(|entry| entry.path != gone[2]);
    let archive = open(tar(&entries));
    assert_eq!((archive.images().len(), codes(&archive)), (1, vec![FindingCode::IncompleteImage]));

    let mut entries = oci_entries(&[spec("app:1", "amd64")]);
    entries.retain(|entry| !entry.path.starts_with("blobs/"));
    assert_eq!(Archive::open(Rc::new(tar(&entries))).unwrap_err().code(), Code::MissingEntry);
}

#[test]
fn bare_tags_are_references_without_a_repository() {
    let mut entries = oci_entries(&[ImageSpec::new("localhost/app:1")]);
    let index = entries.iter_mut().find(|entry| entry.path == "index.json").unwrap();
    let Content::Bytes(text) = &index.content else { panic!("the index is text") };
    index.content =
        Content::Bytes(String::from_utf8(text.clone()).unwrap().replace("localhost/app:1", "1.25").into());
    let archive = open(tar(&entries));
    assert_eq!(
        (names(&archive), codes(&archive)),
        (vec![vec!["1.25".to_owned()]], vec![FindingCode::BareTag])
    );
    let edit = archive.tag("1.25", "nginx:1.25").unwrap();
    assert_eq!(names(&open(bytes(&edit.archive))), [["1.25", "nginx:1.25"]]);
    let edit = edit.archive.untag("1.25").unwrap();
    assert_eq!(names(&open(bytes(&edit.archive))), [["nginx:1.25"]]);
}

#[test]
fn documents_that_claim_two_kinds_are_left_out() {
    let both = format!(r#"{{"mediaType":"{INDEX}","manifests":[],"config":{{}},"layers":[]}}"#);
    let entries = vec![layout(), blob(&both), Entry::file("index.json", "")];
    let document = serde_json::json!({ "manifests": [descriptor(INDEX, &both)] });
    let archive = open(with_index(entries, &document));
    assert_eq!(codes(&archive), [FindingCode::Ambiguous, FindingCode::NoImages]);
}

#[test]
fn cycles_depth_and_bad_digests_end() {
    // A cycle by name: the content is not what the digest says, which is all that a cycle can be.
    let fake = "sha256:".to_owned() + &"ab".repeat(32);
    let text = serde_json::json!({ "manifests": [{ "mediaType": INDEX, "digest": fake, "size": 1 }] });
    let cycle = Entry::file(format!("blobs/{}", fake.replace(':', "/")), text.to_string());
    let archive = open(tar(&[cycle, Entry::file("index.json", text.to_string())]));
    assert!(codes(&archive).contains(&FindingCode::DigestMismatch));
    assert!(archive.images().is_empty());

    let mut entries = Vec::new();
    let mut inner = r#"{"manifests":[]}"#.to_owned();
    for _ in 0..20 {
        entries.push(blob(&inner));
        inner = serde_json::json!({ "manifests": [descriptor(INDEX, &inner)] }).to_string();
    }
    entries.push(Entry::file("index.json", inner));
    assert!(codes(&open(tar(&entries))).contains(&FindingCode::InvalidDescriptor));

    // What is no digest leads nowhere, even where a member stands.
    let config = r#"{"rootfs":{"diff_ids":[]}}"#;
    let image = serde_json::json!({ "config": descriptor(CONFIG, config), "layers": [] }).to_string();
    let with = |digest: &str, path: &str| {
        let listed = serde_json::json!({ "mediaType": MANIFEST, "digest": digest, "size": image.len() });
        let index = serde_json::json!({ "manifests": [listed] }).to_string();
        let index = Entry::file("index.json", index);
        open(tar(&[layout(), blob(config), Entry::file(path, image.as_str()), index]))
    };
    let long = "ab".repeat(33);
    for (digest, path) in [
        ("nope", "blobs/nope"),
        ("nope", "blobs/sha256/nope"),
        ("sha256:12", "blobs/sha256/12"),
        (&format!("sha256:{long}"), &format!("blobs/sha256/{long}")),
        ("sha256:", "blobs/sha256"),
        ("../../etc/passwd", "etc/passwd"),
        ("sha256:../../etc/passwd", "etc/passwd"),
    ] {
        let archive = with(digest, path);
        assert_eq!(codes(&archive), [FindingCode::InvalidDescriptor, FindingCode::NoImages], "{digest}");
        assert!(archive.images().is_empty());
    }
    // A digest that nobody here can compute is one, and its blob an image's.
    let hex = "d41d8cd98f00b204e9800998ecf8427e";
    let archive = with(&format!("md5:{hex}"), &format!("blobs/md5/{hex}"));
    assert_eq!((archive.images().len(), codes(&archive)), (1, vec![FindingCode::Untagged]));
}

#[test]
fn artefacts_are_no_images() {
    let chart = r#"{"name":"chart"}"#;
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "config": descriptor("application/vnd.cncf.helm.config.v1+json", chart),
        "layers": [descriptor("application/tar+gzip", "x")],
    })
    .to_string();
    let index = serde_json::json!({ "manifests": [descriptor(MANIFEST, &manifest)] });
    let mut entries =
        vec![layout(), blob(chart), blob(&manifest), Entry::file("index.json", index.to_string()), blob("x")];
    let archive = open(tar(&entries));
    assert_eq!(archive.others()[0].kind, OtherKind::Artifact);
    assert_eq!(codes(&archive), [FindingCode::NoImages]);
    entries.pop();
    assert_eq!(codes(&open(tar(&entries))), [FindingCode::IncompleteImage, FindingCode::NoImages]);
}

#[test]
fn two_indexes_that_lead_to_two_images_are_ambiguous() {
    let entries =
        containerd_entries(&[ImageSpec::new("app:1"), ImageSpec::new("app:2").label("other", "image")]);
    let index: serde_json::Value = {
        let entry = entries.iter().find(|entry| entry.path == "index.json").unwrap();
        let Content::Bytes(bytes) = &entry.content else { panic!("the index is text") };
        serde_json::from_slice(bytes).unwrap()
    };
    let mut swapped = index.clone();
    let annotations = |number: usize| index["manifests"][number]["annotations"].clone();
    swapped["manifests"][0]["annotations"] = annotations(1);
    swapped["manifests"][1]["annotations"] = annotations(0);
    let archive = open(with_index(entries, &swapped));
    let ambiguous = archive.findings().iter().filter(|finding| finding.code == FindingCode::Ambiguous);
    assert_eq!(ambiguous.count(), 2, "{:?}", archive.findings());
}

#[test]
fn an_image_that_is_there_packed_otherwise_too_is_two() {
    let packed = containerd_entries(&[ImageSpec { gzip: true, ..spec("app:1", "amd64") }]);
    let whole = oci_platforms_entries(&[spec("multi:1", "amd64"), spec("multi:1", "arm64")]);
    let listed = |entries: &[Entry]| index_json(&open(tar(entries)))["manifests"][0].clone();
    for manifests in [[listed(&packed), listed(&whole)], [listed(&whole), listed(&packed)]] {
        let index = serde_json::json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests });
        let blobs = whole.iter().filter(|entry| entry.path.starts_with("blobs/sha256/")).cloned();
        let archive = open(with_index(packed.iter().cloned().chain(blobs).collect(), &index));
        // manifest.json has the one that is packed, which no index lists.
        assert_eq!(names(&archive), [["app:1"], ["multi:1"], ["multi:1"]]);
        let [own, amd64, arm64] = archive.images() else { panic!() };
        assert_eq!((&own.id, own.index.is_some()), (&amd64.id, false));
        assert_eq!(own.digest.as_deref(), listed(&packed)["digest"].as_str());
        assert!(own.layers.iter().all(|layer| layer.media_type.ends_with("gzip")));
        assert!(amd64.index.is_some() && amd64.index == arm64.index);
        assert!(amd64.layers.iter().all(|layer| layer.media_type.ends_with("tar")));
    }
}

#[test]
fn platforms_that_only_the_index_lists_are_images_too() {
    let images = [spec("app:1", "amd64"), spec("app:1", "arm64")];
    let mut entries = oci_platforms_entries(&images);
    let amd64 = containerd_entries(&images[..1]);
    entries.push(amd64.into_iter().find(|entry| entry.path == "manifest.json").unwrap());
    let archive = open(tar(&entries));
    assert_eq!(archive.format(), Format::DockerOci);
    assert_eq!(names(&archive), [["app:1"], ["app:1"]]);
    assert!(codes(&archive).is_empty(), "{:?}", archive.findings());
    let edit = archive.tag("app:1", "app:2").unwrap();
    assert_eq!(names(&open(bytes(&edit.archive))), [["app:1", "app:2"], ["app:1", "app:2"]]);
}

#[test]
fn what_docker_1_9_wrote_opens_and_is_retagged() {
    let images = [ImageSpec::new("app:1").layer(Layer::files(&[("b", "2")])), ImageSpec::new("db:5")];
    let archive = open(docker_v1(&images));
    assert_eq!(archive.format(), Format::DockerV1);
    assert_eq!(names(&archive), [["app:1"], ["db:5"]]);
    assert_eq!(archive.images()[0].layers.len(), 2);
    assert_eq!(archive.find(&archive.images()[0].id[..12]).unwrap(), 0);
    let edit = archive.tag("app:1", "team/app:2").unwrap();
    assert_eq!(names(&open(bytes(&edit.archive)))[0], ["app:1", "team/app:2"]);
    // An image that loses its last name stays, as everywhere.
    let edit = archive.untag("app:1").unwrap();
    assert_eq!(names(&open(bytes(&edit.archive))), [vec!["db:5".to_owned()], vec![]]);
    // But for one that another is built on: only its name said that it is more than a layer of that.
    let mut entries = docker_v1_entries(&images[..1]);
    let top = open(tar(&entries)).images()[0].id.clone();
    let is_below = |path: &str| path.ends_with("/json") && !path.starts_with(&top);
    let below = entries.iter().find(|entry| is_below(&entry.path)).unwrap().path.replace("/json", "");
    let named = serde_json::json!({ "app": { "1": top }, "base": { "1": below } });
    let listing = entries.iter_mut().find(|entry| entry.path == "repositories").unwrap();
    listing.content = Content::Bytes(named.to_string().into());
    let archive = open(tar(&entries));
    assert_eq!(names(&archive), [["app:1"], ["base:1"]]);
    assert_eq!(names(&open(bytes(&archive.untag("base:1").unwrap().archive))), [["app:1"]]);
    // Saved by its ID, an image has no name and the archive no `repositories`.
    let mut entries = docker_legacy_entries(&[ImageSpec::untagged()]);
    entries.retain(|entry| entry.path.contains('/'));
    assert_eq!(names(&open(tar(&entries))), [Vec::<String>::new()]);
}

#[test]
fn a_hybrid_without_manifest_json_is_a_layout() {
    let images =
        [ImageSpec::new("app:1"), ImageSpec::new("registry.local:5000/team/app:2").label("other", "image")];
    let whole = open(tar(&docker_hybrid_entries(&images)));
    let mut entries = docker_hybrid_entries(&images);
    entries.retain(|entry| entry.path != "manifest.json" && entry.path != "repositories");
    let layout = open(tar(&entries));
    assert_eq!(layout.format(), Format::Oci);
    assert_eq!(names(&layout), names(&whole));
    let ids = |archive: &Open| archive.images().iter().map(|image| image.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&layout), ids(&whole));
}

#[test]
fn a_folder_opens_as_the_tar_that_it_would_be() {
    let images = [ImageSpec::new("localhost/app:1"), ImageSpec::new("localhost/db:2").label("a", "b")];
    let whole = open(oci(&images));
    let file = |entry: &longshore_archive::Entry| {
        let mut bytes = vec![0; usize::try_from(entry.size).unwrap()];
        whole.recipe().read_at(entry.data, &mut bytes).unwrap();
        (entry.path.to_string(), Rc::new(bytes))
    };
    let files = whole.index().entries().iter().filter(|entry| !entry.path.ends_with('/'));
    let folder = Archive::open_folder(files.rev().map(file)).unwrap();
    assert_eq!(names(&folder), names(&whole));
    let edit = folder.tag("localhost/app:1", "localhost/app:2").unwrap();
    assert_eq!(names(&open(bytes(&edit.archive)))[0].len(), 2);
    let none: [(String, Rc<Vec<u8>>); 0] = [];
    assert_eq!(Archive::open_folder(none).unwrap_err().code(), Code::NotAnImageArchive);
}
