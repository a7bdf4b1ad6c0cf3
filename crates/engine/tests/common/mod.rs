//! What the tests share: archives in the form in which they are kept, and stores that are in memory.
#![allow(dead_code, reason = "no test needs all of it")]

use std::collections::HashMap;
use std::rc::Rc;

use longshore_archive::{Archive, Recipe, Selection, Source, Target as Form, save};
use longshore_engine::Export;
use longshore_fixtures::{self as fixtures, ImageSpec, Layer};

pub(crate) type Bytes = Rc<Vec<u8>>;

/// An archive in the form in which it is kept.
pub(crate) fn kept(bytes: Vec<u8>) -> Archive<Bytes> {
    let archive = Archive::open(Rc::new(bytes)).unwrap();
    Archive::open(Rc::new(saved(&archive))).unwrap()
}

/// All of an archive, as a store takes it in.
pub(crate) fn saved(archive: &Archive<Bytes>) -> Vec<u8> {
    let (measured, repacked) = (HashMap::new(), HashMap::new());
    let select = |image| Selection { archive, image, measured: &measured, repacked: &repacked };
    let selections: Vec<_> = (0..archive.images().len()).map(select).collect();
    bytes_of(&save(&selections, Form::Store).unwrap())
}

fn bytes_of(recipe: &Recipe<Bytes>) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(recipe.len()).unwrap()];
    recipe.read_at(0, &mut bytes).unwrap();
    bytes
}

/// The folder that an export says.
pub(crate) fn folder(export: &Export, blobs: &HashMap<String, Vec<u8>>) -> Archive<Bytes> {
    let documents =
        export.documents.iter().map(|(path, text)| (path.clone(), Rc::new(text.clone().into_bytes())));
    let blobs = export.blobs.iter().map(|blob| {
        assert_eq!(blobs[&blob.digest].len() as u64, blob.size);
        (blob.path.clone(), Rc::new(blobs[&blob.digest].clone()))
    });
    Archive::open_folder(documents.chain(blobs)).unwrap()
}

/// The blobs of an archive, by digest.
pub(crate) fn blobs_of(archive: &Archive<Bytes>) -> HashMap<String, Vec<u8>> {
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

/// An image for several platforms, each with an attestation.
pub(crate) fn platforms(name: &str, architectures: &[&str]) -> Vec<u8> {
    fixtures::oci_platforms(&architectures.iter().map(|one| platform(name, one, &[])).collect::<Vec<_>>())
}

/// An image for one platform.
pub(crate) fn platform(name: &str, architecture: &str, layers: &[Layer]) -> ImageSpec {
    let own = Layer::files(&[("arch", architecture)]);
    ImageSpec {
        architecture: architecture.to_owned(),
        layers: [&[own], layers].concat(),
        ..ImageSpec::new(name)
    }
}

/// A line of images, each made from the one before; the archive says so. Names go to each in turn.
pub(crate) fn line(label: &str, names: &[&[&str]]) -> Vec<u8> {
    let step = |text: String| fixtures::HistoryStep { created_by: text, empty_layer: false };
    let spec = |(number, names): (usize, &&[&str])| ImageSpec {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        layers: (0..=number).map(|layer| Layer::files(&[("layer", &format!("{layer}"))])).collect(),
        history: Some((0..=number).map(|layer| step(format!("step {layer}"))).collect()),
        ..ImageSpec::untagged().label("line", label)
    };
    let specs: Vec<ImageSpec> = names.iter().enumerate().map(spec).collect();
    let mut entries = fixtures::docker_legacy_entries(&specs);
    for entry in entries.iter_mut().filter(|entry| entry.path == "manifest.json") {
        let fixtures::Content::Bytes(bytes) = &mut entry.content else { continue };
        let mut items: Vec<serde_json::Map<String, serde_json::Value>> =
            serde_json::from_slice(bytes).unwrap();
        for (item, parent) in items.iter_mut().skip(1).zip(&specs) {
            item.insert("Parent".to_owned(), parent.id().into());
        }
        *bytes = serde_json::to_vec(&items).unwrap();
    }
    fixtures::tar(&entries)
}
