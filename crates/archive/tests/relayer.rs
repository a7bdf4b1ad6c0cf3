//! Images with other layers: what is to be seen stays, what is not meant stays byte for byte, and all digests hold.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failure should stop the test"
)]

mod layers;
mod opened;
mod rewriting;
mod saving;

use std::collections::BTreeSet;

use longshore_archive::{Archive, Code, Image, Limits, Source, Verdict};
use longshore_fixtures::{
    Entry, ImageSpec, Layer, containerd, crane, docker_hybrid, docker_legacy, docker_legacy_entries,
    docker_v1, oci, oci_platforms, skopeo, tar,
};
use opened::{below_dot, bytes_of, members, open, orphans, verdicts};
use rewriting::{How, relayered};
use saving::Open;

/// The bytes of an image's layers, as they are stored.
fn stored(archive: &Open, image: usize) -> Vec<Vec<u8>> {
    let count = archive.images()[image].layers.len();
    let layer = |layer: usize| {
        let data = archive.layer_data(image, layer).unwrap();
        let mut bytes = vec![0; usize::try_from(data.len()).unwrap()];
        data.read_at(0, &mut bytes).unwrap();
        bytes
    };
    (0..count).map(layer).collect()
}

fn names(image: &Image) -> Vec<String> {
    image.names.iter().map(ToString::to_string).collect()
}

/// Rewrites the layers of each image in turn; gives the archives, opened again.
fn each(archive: &Open, what: &str, how: &How<'_>) -> Vec<Open> {
    let before = archive.verify(Limits::default()).unwrap().verdict;
    let mut all = Vec::new();
    for (number, image) in archive.images().iter().enumerate() {
        let was = stored(archive, number);
        let edited = match relayered(archive, number, how) {
            Ok(edited) => edited,
            // Nothing to squash, nothing to drop; or layers that are no tars, as packed ones of filesystems are.
            Err(error)
                if [Code::InvalidArgument, Code::NoSuchFile, Code::InvalidTar].contains(&error.code()) =>
            {
                continue;
            }
            Err(error) => panic!("{what}: {error}"),
        };
        let again = open(bytes_of(&edited.archive));
        assert_eq!(again.images().len(), archive.images().len(), "{what}");
        for (other, (old, new)) in archive.images().iter().zip(again.images()).enumerate() {
            assert_eq!(names(old), names(new), "{what}");
            assert_eq!(old.index.is_some(), new.index.is_some(), "{what}");
            if old.id != image.id {
                assert_eq!((&old.id, &old.digest), (&new.id, &new.digest), "{what}");
                assert!(stored(archive, other) == stored(&again, other), "{what}: {}", old.id);
                continue;
            }
            assert_eq!(new.id, edited.ids[0], "{what}");
            assert_eq!(old.digest.is_some(), new.digest.is_some(), "{what}");
            assert_eq!(
                (&new.config, &new.created, &new.platform),
                (&old.config, &old.created, &old.platform),
                "{what}"
            );
            let now = stored(&again, other);
            if let How::Squash(first) = how {
                assert_eq!(now.len(), first + 1, "{what}");
                assert!(now[..*first] == was[..*first], "{what}");
                assert_eq!(
                    layers::seen(&layers::merged(&now), &now),
                    layers::seen(&layers::merged(&was), &was),
                    "{what}"
                );
            } else {
                assert_eq!(now.len(), was.len(), "{what}");
                assert_eq!(new.history, old.history, "{what}");
            }
        }
        assert!(
            again.verify(Limits::default()).unwrap().verdict <= before,
            "{what}: {:?}",
            again.verify(Limits::default())
        );
        let new: Vec<_> = orphans(&again).difference(&orphans(archive)).cloned().collect();
        assert!(new.is_empty(), "{what} keeps {new:?}");
        assert_eq!(again.findings().len(), archive.findings().len(), "{what}: {:?}", again.findings());
        // The same again.
        assert!(bytes_of(&relayered(archive, number, how).unwrap().archive) == bytes_of(&again), "{what}");
        all.push(again);
    }
    all
}

/// Three images: two share two layers and have a third of their own, the last has nothing in common with them.
fn images() -> [ImageSpec; 3] {
    let base = Layer::Tar(tar(&[
        Entry::directory("app/"),
        Entry::file("app/secret", "correct-horse"),
        Entry::file("old", "o"),
    ]));
    let second = Layer::Tar(tar(&[
        Entry::file(".wh.old", ""),
        Entry::hard_link("app/code", "app/secret"),
        Entry::file("new", "n"),
    ]));
    let of = |name: &str, top: &str| ImageSpec {
        layers: vec![base.clone(), second.clone(), Layer::files(&[(top, top)])],
        ..ImageSpec::new(name)
    };
    [
        of("app:1", "app/one").name("app:latest"),
        of("app:2", "app/two"),
        ImageSpec {
            layers: vec![Layer::files(&[("a", "1")]), Layer::files(&[("b", "2")])],
            ..ImageSpec::new("other:3")
        },
    ]
}

fn archives() -> Vec<(&'static str, Vec<u8>)> {
    let images = images();
    vec![
        ("legacy", docker_legacy(&images)),
        ("hybrid", docker_hybrid(&images)),
        ("containerd", containerd(&images)),
        ("containerd, gzip", containerd(&images.clone().map(|image| ImageSpec { gzip: true, ..image }))),
        ("skopeo", skopeo(&images[0])),
        ("crane", crane(&images)),
        ("oci", oci(&images)),
    ]
}

#[test]
fn who_loaded_it_goes_on_loading_it() {
    let archive = open(below_dot(docker_legacy_entries(&images())));
    for squashed in each(&archive, "below a dot", &How::Squash(0)) {
        assert_eq!(verdicts(&squashed), verdicts(&archive));
    }
}

#[test]
fn squashed_images_are_what_they_were() {
    for (what, bytes) in archives() {
        let archive = open(bytes);
        assert_eq!(archive.verify(Limits::default()).unwrap().verdict, Verdict::Intact, "{what}");
        let all = each(&archive, what, &How::Squash(0));
        assert_eq!(all.len(), archive.images().len(), "{what}");
        let [image, ..] = all[0].images() else { panic!("{what}") };
        // Docker's own words, and the story stays to be read.
        let old = &archive.images()[0];
        let [steps @ .., last] = &image.history[..] else { panic!("{what}") };
        assert!(steps.iter().all(|step| step.empty_layer), "{what}");
        assert_eq!(steps.len(), old.history.len(), "{what}");
        assert!(steps.iter().zip(&old.history).all(|(new, old)| new.created_by == old.created_by), "{what}");
        assert_eq!(
            (last.layer, last.comment.clone()),
            (Some(0), Some(format!("create new from {}", old.id))),
            "{what}"
        );
        assert_eq!(last.created, image.created, "{what}");
        let top = each(&archive, what, &How::Squash(1));
        let [image, ..] = top[0].images() else { panic!("{what}") };
        assert_eq!(image.history.last().unwrap().layer, Some(1), "{what}");
    }
}

#[test]
fn what_is_dropped_is_nowhere() {
    let has = |bytes: &[u8]| bytes.windows(13).any(|window| window == b"correct-horse");
    for (what, bytes) in archives() {
        let mut archive = open(bytes);
        assert_eq!(
            each(&archive, what, &How::Drop(&["/app/secret"])).len(),
            archive.images().len().min(2),
            "{what}"
        );
        // As long as another image has the layer, that stays.
        for image in 0..archive.images().len().min(2) {
            archive = relayered(&archive, image, &How::Drop(&["/app/secret"])).unwrap().archive;
        }
        let bytes = bytes_of(&archive);
        for (path, bytes) in members(&open(bytes)) {
            assert!(!has(&saving::unpacked(&bytes).unwrap()), "{what}: {path}");
        }
        assert_eq!(archive.verify(Limits::default()).unwrap().verdict, Verdict::Intact, "{what}");
    }
}

#[test]
fn plain_layers_are_not_copied() {
    let noise = Layer::Generated { bytes: 3_000_000, seed: 1 };
    let layers = vec![Layer::files(&[("secret", "s")]), noise.clone()];
    let archive = open(docker_legacy(&[ImageSpec { layers, ..ImageSpec::new("app:1") }]));
    let edited = relayered(&archive, 0, &How::Squash(0)).unwrap().archive;
    let fresh = |part: &longshore_archive::Part<_>| match part {
        longshore_archive::Part::Bytes(bytes) => bytes.len(),
        longshore_archive::Part::Range { .. } => 0,
    };
    let fresh: u64 = edited.recipe().parts().iter().map(fresh).sum();
    assert!(fresh < 20_000, "{fresh}");
}

#[test]
fn one_platform_is_rewritten_beside_the_others() {
    let arm = ImageSpec { architecture: "arm64".to_owned(), ..images()[0].clone() };
    let archive = open(oci_platforms(&[images()[0].clone(), arm]));
    let edited = &each(&archive, "platforms", &How::Squash(1))[0];
    let indexes: BTreeSet<_> = edited.images().iter().map(|image| &image.index).collect();
    assert_eq!(indexes.len(), 1);
}

#[test]
fn children_of_what_is_another_image_now_have_no_parent() {
    let archive = open(docker_legacy(&images()));
    let [first, second, _] = archive.images() else { panic!() };
    let (id, child) = (first.id.clone(), second.id.clone());
    let old = r#""RepoTags":["app:2"]"#;
    let with_parent = format!(r#""Parent":"{id}","RepoTags":["app:2"]"#);
    let text =
        String::from_utf8(members(&archive).into_iter().find(|(path, _)| path == "manifest.json").unwrap().1)
            .unwrap();
    let text = text.replace(old, &with_parent);
    let files = members(&archive).into_iter().filter(|(path, _)| path != "manifest.json");
    let files = files.chain([("manifest.json".to_owned(), text.into_bytes())]);
    let archive = Archive::open_folder(files.map(|(path, bytes)| (path, std::rc::Rc::new(bytes)))).unwrap();
    let parents = |archive: &Open| {
        archive.images().iter().map(|image| (image.id.clone(), image.parent.clone())).collect::<Vec<_>>()
    };
    assert!(parents(&archive).contains(&(child, Some(id.clone()))));
    let image = archive.find(&id).unwrap();
    let edited = relayered(&archive, image, &How::Squash(0)).unwrap().archive;
    assert!(parents(&edited).iter().all(|(_, parent)| parent.is_none()));
}

#[test]
fn what_cannot_be_is_refused() {
    let archive = open(docker_v1(&images()));
    let id = archive.images()[0].id.clone();
    assert_eq!(archive.relayer(&[(&id, &[])]).unwrap_err().code(), Code::InvalidArgument);
    let archive = open(docker_legacy(&images()));
    assert_eq!(archive.relayer(&[("sha256:no", &[])]).unwrap_err().code(), Code::NoSuchImage);
}

#[test]
#[ignore = "needs LONGSHORE_CORPUS"]
fn the_corpus_can_be_squashed() {
    let mut squashed = 0;
    let archives = opened::corpus(|archive, path| {
        // Layers that are not there cannot be read.
        let is_whole =
            archive.images().iter().all(|image| image.layers.iter().all(|layer| layer.entry.is_some()));
        let is_intact = || archive.verify(Limits::default()).unwrap().verdict == Verdict::Intact;
        if is_whole && archive.images().len() < 10 && archive.recipe().len() < 12_000_000 && is_intact() {
            squashed += each(archive, path, &How::Squash(0)).len();
        }
    });
    println!("images squashed: {squashed}, of {archives} archives");
    assert!(squashed > 20);
}
