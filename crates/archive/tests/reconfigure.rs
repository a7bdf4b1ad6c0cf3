//! Images with another config: everything but that stays what it was, and nothing of the old config stays.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failure should stop the test"
)]

mod opened;
mod saving;

use std::collections::BTreeSet;

use longshore_archive::{Code, ConfigChanges, Image, Limits};
use longshore_fixtures::{
    ImageSpec, Layer, containerd, crane, docker_hybrid, docker_legacy, docker_legacy_entries, docker_v1, oci,
    oci_platforms,
};
use opened::{below_dot, bytes_of, members, open, orphans, verdicts};
use saving::Open;

const CHANGES: &str = r#"{"labels":{"edited":"yes"},"env":{"EDITED":"1"},"created":"2024-02-29T12:00:00Z"}"#;

fn changes(text: &str) -> ConfigChanges {
    ConfigChanges::read(text).unwrap()
}

/// What an edit of the config leaves as it is.
fn kept(image: &Image) -> (Vec<String>, Vec<(String, u64)>) {
    let names = image.names.iter().map(ToString::to_string).collect();
    (names, image.layers.iter().map(|layer| (layer.path.clone(), layer.size)).collect())
}

/// Edits each image in turn.
fn edits_each(archive: &Open, what: &str) {
    let before = archive.verify(Limits::default()).unwrap().verdict;
    for image in archive.images() {
        let edited = archive.reconfigure(&image.id, &changes(CHANGES)).unwrap();
        let again = open(bytes_of(&edited.archive));
        let [id] = &edited.ids[..] else { panic!("{what}: {:?}", edited.ids) };
        assert_eq!(again.images().len(), archive.images().len(), "{what}");
        for (old, new) in archive.images().iter().zip(again.images()) {
            assert_eq!(kept(old), kept(new), "{what}");
            assert_eq!(old.index.is_some(), new.index.is_some(), "{what}");
            if old.id != image.id {
                assert_eq!((&old.id, &old.digest), (&new.id, &new.digest), "{what}");
                continue;
            }
            assert_eq!(&new.id, id, "{what}");
            assert_eq!(old.digest.is_some(), new.digest.is_some(), "{what}");
            assert!(old.digest.is_none() || old.digest != new.digest, "{what}");
            assert_eq!(new.config.labels["edited"], "yes", "{what}");
            assert!(new.config.env.contains(&"EDITED=1".to_owned()), "{what}");
            assert_eq!(new.created.as_deref(), Some("2024-02-29T12:00:00Z"), "{what}");
            assert_eq!(new.platform, old.platform, "{what}");
            if !old.history.is_empty() {
                assert_eq!(new.history[..old.history.len()], old.history, "{what}");
                let step = new.history.last().unwrap();
                assert!(step.empty_layer, "{what}");
                assert_eq!(step.created_by.as_deref(), Some("ENV EDITED=1; LABEL edited=yes"), "{what}");
            }
        }
        // Whatever is new is a document: every layer is the very member that it was.
        let old = members(archive);
        for (path, bytes) in members(&again).difference(&old) {
            assert_eq!(bytes.first().map(|byte| b"{[".contains(byte)), Some(true), "{what}: {path}");
        }
        assert!(again.verify(Limits::default()).unwrap().verdict <= before, "{what}");
        let new: Vec<_> = orphans(&again).difference(&orphans(archive)).cloned().collect();
        assert!(new.is_empty(), "{what} keeps {new:?}");
    }
}

/// Three images, two of which share their first layer.
fn images() -> [ImageSpec; 3] {
    [
        ImageSpec::new("app:1").name("app:latest").layer(Layer::files(&[("app", "1")])),
        ImageSpec::new("db:5").label("a", "b"),
        ImageSpec { layers: vec![Layer::files(&[("other", "3")])], ..ImageSpec::new("other:3") },
    ]
}

#[test]
fn who_loaded_it_goes_on_loading_it() {
    let archive = open(below_dot(docker_legacy_entries(&images()[..1])));
    let edited = archive.reconfigure("app:1", &changes(CHANGES)).unwrap().archive;
    assert_eq!(verdicts(&edited), verdicts(&archive));
}

#[test]
fn all_but_the_config_stays() {
    for (what, bytes) in [
        ("legacy", docker_legacy(&images())),
        ("hybrid", docker_hybrid(&images())),
        ("containerd", containerd(&images())),
        ("crane", crane(&images())),
        ("oci", oci(&images())),
    ] {
        edits_each(&open(bytes), what);
    }
}

#[test]
fn what_is_taken_out_is_in_no_byte() {
    let secret = "correct-horse-battery";
    for (what, bytes) in [
        ("legacy", docker_legacy(&[ImageSpec::new("app:1").label("key", secret)])),
        ("hybrid", docker_hybrid(&[ImageSpec::new("app:1").label("key", secret)])),
        ("oci", oci(&[ImageSpec::new("app:1").label("key", secret)])),
    ] {
        let has = |bytes: &[u8]| bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(has(&bytes), "{what}");
        let edited = open(bytes).reconfigure("app:1", &changes(r#"{"labels":{"key":null}}"#)).unwrap();
        assert!(!has(&bytes_of(&edited.archive)), "{what}");
    }
}

#[test]
fn a_name_means_all_platforms_and_an_id_one() {
    let arm = ImageSpec { architecture: "arm64".to_owned(), ..ImageSpec::new("app:1") };
    let archive = open(oci_platforms(&[ImageSpec::new("app:1"), arm]));
    edits_each(&archive, "platforms");
    let all = archive.reconfigure("app:1", &changes(CHANGES)).unwrap();
    assert_eq!(all.ids.len(), archive.images().len());
    assert!(all.archive.images().iter().all(|image| image.config.labels.contains_key("edited")));
    let indexes: BTreeSet<_> = all.archive.images().iter().map(|image| &image.index).collect();
    assert_eq!(indexes.len(), 1);
}

#[test]
fn what_cannot_be_is_refused() {
    let archive = open(docker_legacy(&images()));
    let code = |image: &str, text: &str| archive.reconfigure(image, &changes(text)).unwrap_err().code();
    assert_eq!(code("db", CHANGES), Code::NoSuchImage);
    assert_eq!(code("db:5", r#"{"labels":{"a":"b"}}"#), Code::InvalidArgument);
    assert_eq!(code("db:5", "{}"), Code::InvalidArgument);
    let old = open(docker_v1(&images()));
    assert_eq!(old.reconfigure("app:1", &changes(CHANGES)).unwrap_err().code(), Code::InvalidArgument);
}

#[test]
#[ignore = "needs LONGSHORE_CORPUS"]
fn the_corpus_can_be_edited() {
    let edited = opened::corpus(edits_each);
    println!("archives edited: {edited}");
}
