//! Images taken out of archives: the others stay what they were, and nothing stays that only the one needed.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failure should stop the test"
)]

mod opened;
mod saving;

use std::collections::BTreeSet;

use longshore_archive::{Code, Image, Limits, Target};
use longshore_fixtures::{
    ImageSpec, Layer, containerd, crane, docker_hybrid, docker_legacy, docker_v1, oci, oci_platforms,
};
use opened::{open, orphans};
use saving::Open;

/// The archive as a stranger finds it after it was written.
fn reopened(archive: &Open) -> Open {
    open(opened::bytes_of(archive))
}

/// What tells an image, and its names.
fn told(image: &Image) -> (String, Option<String>, Vec<String>, usize) {
    let names = image.names.iter().map(ToString::to_string).collect();
    (image.id.clone(), image.digest.clone(), names, image.layers.len())
}

/// Removes each image in turn. What was odd before is so afterwards, and nothing new.
fn removes_each(archive: &Open, what: &str) {
    let before = archive.verify(Limits::default()).unwrap().verdict;
    for image in archive.images() {
        let gone = image.names.first().map_or_else(|| image.id.clone(), ToString::to_string);
        let chosen = archive.choose(&gone).unwrap();
        let edit = match archive.remove(&gone) {
            Ok(edit) => edit,
            Err(error) => {
                assert_eq!(error.code(), Code::InvalidArgument, "{what}: {error}");
                continue;
            }
        };
        let kept = archive.images().iter().enumerate().filter(|(number, _)| !chosen.contains(number));
        let kept: Vec<_> = kept.map(|(_, image)| told(image)).collect();
        let again = reopened(&edit.archive);
        assert_eq!(again.images().iter().map(told).collect::<Vec<_>>(), kept, "{what} without {gone}");
        let names: BTreeSet<_> = edit.changes.iter().filter_map(|change| change.from.clone()).collect();
        let lost =
            chosen.iter().flat_map(|&number| archive.images()[number].names.iter().map(ToString::to_string));
        assert_eq!(names, lost.collect(), "{what} without {gone}");
        assert!(again.verify(Limits::default()).unwrap().verdict <= before, "{what} without {gone}");
        let new: Vec<_> = orphans(&again).difference(&orphans(archive)).cloned().collect();
        assert!(new.is_empty(), "{what} without {gone} keeps {new:?}");
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
fn the_others_stay() {
    for (what, bytes) in [
        ("legacy", docker_legacy(&images())),
        ("hybrid", docker_hybrid(&images())),
        ("containerd", containerd(&images())),
        ("crane", crane(&images())),
        ("oci", oci(&images())),
        ("docker 1.9", docker_v1(&images())),
    ] {
        let archive = open(bytes);
        assert_eq!(archive.images().len(), 3, "{what}");
        removes_each(&archive, what);
    }
}

#[test]
fn the_last_one_stays_too() {
    let archive = open(docker_legacy(&[ImageSpec::new("app:1")]));
    assert_eq!(archive.remove("app:1").unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(archive.remove("db").unwrap_err().code(), Code::NoSuchImage);
}

/// A name means the images for all platforms; an ID means one, which the index would go on listing.
#[test]
fn platforms_go_together() {
    let arm = ImageSpec { architecture: "arm64".to_owned(), ..ImageSpec::new("app:1") };
    let other = open(oci(&[ImageSpec::new("other:3").label("a", "b")]));
    let both = open(oci_platforms(&[ImageSpec::new("app:1"), arm]));
    assert_eq!(both.remove("app:1").unwrap_err().code(), Code::InvalidArgument, "nothing is left");
    let all = [(&both, 0), (&both, 1), (&other, 0)];
    let merged = open(saving::save_some(&all, Target::Oci, None).unwrap());
    assert_eq!(merged.images().len(), 3);
    let one = merged.images()[0].id.clone();
    assert_eq!(merged.remove(&one).unwrap_err().code(), Code::InvalidArgument);
    let left = reopened(&merged.remove("app:1").unwrap().archive);
    assert_eq!(
        left.images().iter().map(told).collect::<Vec<_>>(),
        other.images().iter().map(told).collect::<Vec<_>>()
    );
    assert!(orphans(&left).is_empty());
}

#[test]
#[ignore = "needs LONGSHORE_CORPUS"]
fn the_corpus_loses_its_images_one_by_one() {
    let removed = opened::every_archive(|archive, path| {
        let has_several = archive.images().len() > 1;
        if has_several {
            removes_each(archive, path);
        }
        has_several
    });
    println!("archives of several images: {removed}");
    assert!(removed > 5);
}
