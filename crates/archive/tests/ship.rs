//! Images as a registry keeps them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failure should stop the test")]

mod saving;

use std::collections::HashSet;
use std::rc::Rc;

use longshore_archive::{Archive, Code, Compression, Packing, Shipment, Source, Target, sha256};
use longshore_fixtures::{ImageSpec, docker_legacy};
use saving::{Open, all, ship_some};

fn open(bytes: Vec<u8>) -> Open {
    Archive::open(Rc::new(bytes)).unwrap()
}

fn ship_all(archive: &Open) -> Shipment<Rc<Vec<u8>>> {
    let images: Vec<_> = (0..archive.images().len()).map(|image| (archive, image)).collect();
    ship_some(&images).unwrap()
}

fn two() -> Open {
    open(docker_legacy(&[ImageSpec::new("app:1"), ImageSpec::new("db:1")]))
}

#[test]
fn every_blob_is_what_it_is_called_and_comes_before_what_refers_to_it() {
    for archive in [two(), all(&two(), Target::Docker), all(&two(), Target::Oci)] {
        let shipment = ship_all(&archive);
        let mut there = HashSet::new();
        for blob in &shipment.blobs {
            let mut bytes = vec![0; usize::try_from(blob.content.len()).unwrap()];
            blob.content.read_at(0, &mut bytes).unwrap();
            assert_eq!(sha256(&bytes), blob.digest);
            assert!(there.insert(blob.digest.clone()), "each once");
            if blob.is_layer {
                assert_eq!(Compression::of(&bytes), Some(Compression::Gzip));
            }
        }
        for manifest in &shipment.manifests {
            assert_eq!(sha256(&manifest.bytes), manifest.digest);
            assert!(manifest.refers.iter().all(|digest| there.contains(digest)));
            there.insert(manifest.digest.clone());
        }
        let names: Vec<String> =
            shipment.roots.iter().flat_map(|root| &root.names).map(ToString::to_string).collect();
        assert_eq!(names, ["app:1", "db:1"]);
        assert!(shipment.roots.iter().all(|root| there.contains(&root.digest)));
    }
}

#[test]
fn what_is_compressed_already_stays_with_its_manifest() {
    let archive = two();
    let images: Vec<_> = (0..2).map(|image| (&archive, image)).collect();
    for packing in [Packing::Gzip, Packing::Zstd] {
        let layout = open(saving::save_some(&images, Target::Oci, Some(packing)).unwrap());
        let digests: Vec<_> = layout.images().iter().map(|image| image.digest.clone().unwrap()).collect();
        let shipped: Vec<_> = ship_all(&layout).roots.into_iter().map(|root| root.digest).collect();
        assert_eq!(shipped, digests, "{packing:?}");
    }
}

#[test]
fn two_images_of_one_name_are_refused() {
    let (one, other) = (two(), open(docker_legacy(&[ImageSpec::new("app:1").label("other", "one")])));
    let error = ship_some(&[(&one, 0), (&other, 0)]).unwrap_err();
    assert_eq!(error.code(), Code::DuplicateReference);
}
