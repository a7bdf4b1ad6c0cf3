//! The verbs, one after the other, on archives that the fixtures lay out.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failure should stop the test")]

use std::collections::HashMap;
use std::rc::Rc;

use longshore_archive::{Archive, Recipe, Result, Source, Target as Form, save};
use longshore_engine::{Catalog, Change, Export, Incoming, ListOptions};
use longshore_fixtures::{self as fixtures, ImageSpec, Layer};

type Bytes = Rc<Vec<u8>>;

/// An archive in the form in which it is kept.
fn kept(bytes: Vec<u8>) -> Archive<Bytes> {
    let archive = Archive::open(Rc::new(bytes)).unwrap();
    let (measured, repacked) = (HashMap::new(), HashMap::new());
    let selections: Vec<_> = (0..archive.images().len())
        .map(|image| longshore_archive::Selection {
            archive: &archive,
            image,
            measured: &measured,
            repacked: &repacked,
        })
        .collect();
    Archive::from_recipe(save(&selections, Form::Docker).unwrap()).unwrap()
}

fn incoming(bytes: Vec<u8>) -> Incoming {
    Incoming::of(&kept(bytes)).unwrap()
}

/// Does what a verb says; gives what Docker prints.
fn done(catalog: &mut Catalog, verb: impl FnOnce(&Catalog) -> Result<Change>) -> Vec<String> {
    let change = verb(catalog).unwrap();
    catalog.apply(&change).unwrap();
    change.lines
}

/// The names and IDs that `docker images` shows, shortened.
fn shown(catalog: &Catalog) -> Vec<String> {
    let rows = catalog.images(&ListOptions::default()).unwrap();
    let none = || "<none>".to_owned();
    rows.into_iter()
        .map(|row| {
            let name = format!("{}:{}", row.repository.unwrap_or_else(none), row.tag.unwrap_or_else(none));
            format!("{name} {}", row.platform.architecture)
        })
        .collect()
}

fn folder(export: &Export, blobs: &HashMap<String, Vec<u8>>) -> Archive<Bytes> {
    let documents =
        export.documents.iter().map(|(path, text)| (path.clone(), Rc::new(text.clone().into_bytes())));
    let blobs = export.blobs.iter().map(|blob| {
        assert_eq!(blobs[&blob.digest].len() as u64, blob.size);
        (blob.path.clone(), Rc::new(blobs[&blob.digest].clone()))
    });
    Archive::open_folder(documents.chain(blobs)).unwrap()
}

fn bytes_of(recipe: &Recipe<Bytes>) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(recipe.len()).unwrap()];
    recipe.read_at(0, &mut bytes).unwrap();
    bytes
}

/// The blobs of an archive, by digest.
fn blobs_of(archive: &Archive<Bytes>) -> HashMap<String, Vec<u8>> {
    let mut blobs = HashMap::new();
    for entry in archive.index().entries() {
        if let Some(hex) = entry.path.strip_prefix("blobs/sha256/").filter(|hex| !hex.is_empty()) {
            let mut bytes = vec![0; usize::try_from(entry.size).unwrap()];
            archive.recipe().read_at(entry.data, &mut bytes).unwrap();
            blobs.insert(format!("sha256:{hex}"), bytes);
        }
    }
    blobs
}

#[test]
fn what_goes_in_comes_out() {
    let shared = Layer::files(&[("a", "shared")]);
    let spec = |name: &str, text: &str| ImageSpec {
        layers: vec![shared.clone(), Layer::files(&[("b", text)])],
        ..ImageSpec::new(name)
    };
    let archives = [
        fixtures::docker_hybrid(&[spec("app:1", "one"), spec("app:2", "two").name("other:x")]),
        fixtures::containerd(&[ImageSpec { gzip: true, ..spec("app:1", "one") }]),
        fixtures::docker_legacy(&[spec("app:1", "one"), ImageSpec { names: vec![], ..spec("", "two") }]),
        platforms("multi:1"),
    ];
    for bytes in archives {
        let archive = kept(bytes);
        let incoming = Incoming::of(&archive).unwrap();
        let mut catalog = Catalog::default();
        let plan = catalog.plan(&incoming).unwrap();
        assert_eq!(plan.blobs.len(), catalog_blobs(&incoming));
        done(&mut catalog, |catalog| catalog.load(&incoming));
        assert_eq!(Catalog::from_rows(catalog.rows()).unwrap(), catalog);
        assert!(catalog.load(&incoming).unwrap().is_empty());
        assert!(catalog.plan(&incoming).unwrap().blobs.is_empty());
        let wanted: Vec<String> = incoming
            .listed
            .iter()
            .flat_map(|listed| {
                if listed.names.is_empty() {
                    vec![listed.target.digest().to_owned()]
                } else {
                    listed.names.clone()
                }
            })
            .collect();
        let export = catalog.save(&wanted, &[]).unwrap();
        let folder = folder(&export, &blobs_of(&archive));
        assert!(
            folder.findings().iter().all(|finding| finding.code.as_str() == "untagged"),
            "{:?}",
            folder.findings()
        );
        assert_eq!(Incoming::of(&folder).unwrap(), incoming);
        // What Docker 25 and later write is the same, whether from the archive or from the store.
        let (measured, repacked) = (HashMap::new(), HashMap::new());
        let saved = |archive: &Archive<Bytes>| {
            let all = 0..archive.images().len();
            let selections: Vec<_> = all
                .map(|image| longshore_archive::Selection {
                    archive,
                    image,
                    measured: &measured,
                    repacked: &repacked,
                })
                .collect();
            bytes_of(&save(&selections, Form::Docker).unwrap())
        };
        assert!(saved(&folder) == saved(&archive));
    }
}

fn catalog_blobs(incoming: &Incoming) -> usize {
    incoming.blobs().len()
}

fn platforms(name: &str) -> Vec<u8> {
    let spec = |architecture: &str| ImageSpec {
        architecture: architecture.to_owned(),
        layers: vec![Layer::files(&[("arch", architecture)])],
        ..ImageSpec::new(name)
    };
    fixtures::oci_platforms(&[spec("arm64"), spec("amd64")])
}

#[test]
fn an_image_for_several_platforms_is_one() {
    let mut catalog = Catalog::default();
    let incoming = incoming(platforms("multi:1"));
    assert_eq!(done(&mut catalog, |catalog| catalog.load(&incoming)), ["Loaded image: multi:1"]);
    assert_eq!(shown(&catalog), ["multi:1 amd64", "multi:1 arm64"].map(str::to_owned));
    done(&mut catalog, |catalog| catalog.tag("multi:1", "multi:2"));
    assert_eq!(shown(&catalog).len(), 4);
    assert_eq!(catalog.inspect("multi:2").unwrap().architecture, "amd64");
}
