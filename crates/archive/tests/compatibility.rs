//! What is predicted of every variant is what the readers did with it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure should stop the test")]

use std::collections::HashMap;
use std::rc::Rc;

use longshore_archive::{
    Algorithm, Archive, Compatibility, Compression, Limits, LoadVerdict, Measured, Need, Reader, Repacked,
    Selection, Source, TarIndex, Target, Unpacked, compatibility, measure, needs, save,
};
use longshore_fixtures::ImageSpec;
use longshore_fixtures::variants::{self, Outcome, Packing, READERS, Variant};

fn compression(packing: Packing) -> Compression {
    match packing {
        Packing::Gzip => Compression::Gzip,
        Packing::Bzip2 => Compression::Bzip2,
        Packing::Xz => Compression::Xz,
        Packing::Zstd => Compression::Zstd,
        Packing::Lz4 => Compression::Lz4,
    }
}

/// Every member, read whole.
fn measured(source: &Rc<Vec<u8>>) -> HashMap<usize, Measured> {
    let Ok(index) = TarIndex::read(source) else { return HashMap::new() };
    let entries = index.entries().iter().enumerate();
    let measure = |range| {
        measure(source.clone(), range, Algorithm::Sha256, Algorithm::Sha256, Some(Limits::default())).unwrap()
    };
    entries.map(|(number, entry)| (number, measure(entry.data..entry.data + entry.size))).collect()
}

/// Whether bytes follow what the file was compressed to.
fn has_trailing(file: &[u8], packing: Compression) -> bool {
    let mut unpacked = Unpacked::new(file, 0..file.len() as u64, packing, Limits::default());
    let mut buffer = vec![0; 64 << 10];
    while unpacked.read(&mut buffer).unwrap() > 0 {}
    unpacked.trailing() > 0
}

fn predict(variant: &Variant) -> Vec<Compatibility> {
    let source = Rc::new(variant.unpacked());
    let packing: Vec<_> = variant.outer.iter().copied().map(compression).collect();
    let trailing = packing.first().is_some_and(|&packing| has_trailing(&variant.bytes, packing));
    let measured = measured(&source);
    let predicted = compatibility(source.clone(), &packing, trailing, &measured);
    if let Ok(archive) = Archive::open(source) {
        assert_eq!(archive.compatibility(&packing, trailing, &measured), predicted, "{}", variant.name);
    }
    predicted
}

fn outcome(verdict: LoadVerdict) -> Outcome {
    match verdict {
        LoadVerdict::Loads => Outcome::Accepts,
        LoadVerdict::Broken => Outcome::Broken,
        LoadVerdict::Refuses => Outcome::Refuses,
    }
}

#[test]
fn every_variant_fares_as_predicted() {
    assert_eq!(Reader::ALL.map(Reader::as_str), READERS);
    let mut checked = 0;
    let mut wrong = Vec::new();
    for variant in variants::all() {
        for (predicted, expected) in predict(&variant).into_iter().zip(variant.expected) {
            let Some(expected) = expected else { continue };
            checked += 1;
            if outcome(predicted.verdict) != expected {
                wrong.push(format!("{}: {expected:?}, not {predicted:?}", variant.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {checked}: {wrong:#?}", wrong.len());
    assert!(checked > 800, "{checked}");
}

#[test]
fn a_reason_wherever_not_all_is_well() {
    for variant in variants::all() {
        for predicted in predict(&variant) {
            let is_well = predicted.verdict == LoadVerdict::Loads;
            assert_eq!(predicted.reason.is_none(), is_well, "{}: {predicted:?}", variant.name);
            assert!(predicted.reason.iter().all(|reason| reason.ends_with('.')), "{predicted:?}");
            assert!(!is_well || predicted.remedy.is_none(), "{}: {predicted:?}", variant.name);
        }
    }
}

fn of(predicted: &[Compatibility], reader: Reader) -> &Compatibility {
    predicted.iter().find(|predicted| predicted.reader == reader).unwrap()
}

fn variant(name: &str) -> Vec<Compatibility> {
    predict(&variants::all().into_iter().find(|variant| variant.name == name).unwrap())
}

#[test]
fn each_reader_has_names_of_its_own() {
    let names = |variant_name: &str, reader: Reader| -> Vec<Vec<String>> {
        let predicted = variant(variant_name);
        of(&predicted, reader).images.iter().map(|image| image.names.clone()).collect()
    };
    assert_eq!(names("legacy", Reader::Docker24), [["legacy:1"]]);
    assert_eq!(names("legacy", Reader::Podman), [["localhost/legacy:1"]]);
    assert_eq!(names("legacy", Reader::Skopeo), [["docker.io/library/legacy:1"]]);
    assert_eq!(names("tag-full", Reader::Podman), [["docker.io/library/tag-full:1"]]);
    assert_eq!(names("tag-bare", Reader::Docker25Containerd), [["tag-bare:latest"]]);
    assert_eq!(names("oci-ref-tag", Reader::Podman), [["localhost/t1:latest"]]);
    assert_eq!(names("oci-ref-tag", Reader::Docker25Containerd), [["t1:latest"]]);
    assert_eq!(names("manifest-twice", Reader::Docker24), [["manifest-twice:2"]]);
    assert_eq!(names("manifest-twice", Reader::Crane), [["manifest-twice:1"]]);
    assert_eq!(names("two-same-tag", Reader::Docker24), [vec![], vec!["two-same-tag:1"]]);
    assert_eq!(names("two-same-tag", Reader::Podman), [["localhost/two-same-tag:1"]]);
    assert_eq!(names("hybrid-names-differ", Reader::Docker25), [["hybrid-names-differ:1"]]);
    assert_eq!(names("hybrid-names-differ", Reader::Docker25Containerd), [["hybrid-names-differ:other"]]);
}

#[test]
fn ids_are_of_the_config_or_of_the_manifest() {
    let image = ImageSpec::new("app:1");
    let archive =
        Archive::open(Rc::new(longshore_fixtures::docker_hybrid(std::slice::from_ref(&image)))).unwrap();
    let predicted = archive.compatibility(&[], false, &HashMap::new());
    for predicted in &predicted {
        let id = predicted.images.first().unwrap().id.clone().unwrap();
        let is_config = predicted.reader != Reader::Docker25Containerd;
        assert_eq!(id == image.id(), is_config, "{predicted:?}");
        assert_eq!(
            Some(&id) == archive.images().first().unwrap().digest.as_ref(),
            !is_config,
            "{predicted:?}"
        );
    }
}

#[test]
fn one_of_several_images_is_named_to_skopeo() {
    let predicted = variant("two-tagged");
    assert!(of(&predicted, Reader::Skopeo).reason.as_ref().unwrap().contains("docker-archive:FILE:NAME"));
}

#[test]
fn a_remedy_where_another_format_helps() {
    let remedy = |name: &str, reader| of(&variant(name), reader).remedy;
    assert_eq!(remedy("oci-gzip", Reader::Docker24), Some(Target::Docker));
    assert_eq!(remedy("v1", Reader::Docker25), Some(Target::Docker));
    assert_eq!(remedy("archive-zstd", Reader::Docker24), Some(Target::Docker));
    assert_eq!(remedy("layers-xz", Reader::Docker25Containerd), Some(Target::Docker));
    assert_eq!(remedy("layer-symlink-first", Reader::Podman), Some(Target::Docker));
    assert_eq!(remedy("hybrid-layer-corrupt", Reader::Docker24), None);
    assert_eq!(remedy("layer-absent", Reader::Skopeo), None);
    assert_eq!(remedy("oci-layer-gzip-as-tar", Reader::Docker25Containerd), Some(Target::Docker));
    assert_eq!(remedy("oci-layer-encrypted", Reader::Docker24), None);
    assert_eq!(remedy("layers-xz-window", Reader::Crane), None);
    assert_eq!(remedy("legacy", Reader::Skopeo), None);
}

/// The whole archive in another layout, its layers as tars.
fn rewritten(archive: &Archive<Rc<Vec<u8>>>, target: Target) -> longshore_archive::Result<Vec<u8>> {
    let read = |range: std::ops::Range<u64>| {
        let mut bytes = vec![0; usize::try_from(range.end - range.start).unwrap()];
        archive.recipe().read_at(range.start, &mut bytes).unwrap();
        bytes
    };
    let mut repacked = HashMap::new();
    let mut measured = HashMap::new();
    for image in 0..archive.images().len() {
        for (number, need) in needs(archive, image, target, Some(longshore_archive::Packing::None)) {
            let entry = archive.index().entries().get(number).unwrap();
            let range = entry.data..entry.data + entry.size;
            let (sha256, limits) = (Algorithm::Sha256, Some(Limits::default()));
            measured
                .insert(number, measure(archive.recipe().clone(), range.clone(), sha256, sha256, limits)?);
            if let Need::Repacked(packing) = need {
                let packings = [Packing::Gzip, Packing::Bzip2, Packing::Xz, Packing::Zstd, Packing::Lz4];
                let stored = Compression::of(&entry.magic);
                let known = packings.into_iter().find(|packing| Some(compression(*packing)) == stored);
                let bytes = known.unwrap().unpack(&read(range)).unwrap();
                let digest = longshore_archive::sha256(&bytes);
                repacked.insert(number, Repacked { digest, source: Rc::new(bytes), packing });
            }
        }
    }
    let selection = |image| Selection { archive, image, measured: &measured, repacked: &repacked };
    let recipe = save(&(0..archive.images().len()).map(selection).collect::<Vec<_>>(), target)?;
    let mut bytes = vec![0; usize::try_from(recipe.len()).unwrap()];
    recipe.read_at(0, &mut bytes)?;
    Ok(bytes)
}

#[test]
fn the_remedy_helps() {
    let mut helped = 0;
    let mut wrong = Vec::new();
    for variant in variants::all() {
        let Ok(archive) = Archive::open(Rc::new(variant.unpacked())) else { continue };
        for ill in predict(&variant) {
            let Some(target) = ill.remedy else { continue };
            let again = rewritten(&archive, target).map(|bytes| {
                let source = Rc::new(bytes);
                compatibility(source.clone(), &[], false, &measured(&source))
            });
            match again.as_ref().map(|predicted| of(predicted, ill.reader)) {
                Ok(well) if well.verdict == LoadVerdict::Loads => helped += 1,
                Ok(well) => wrong.push(format!("{}: {ill:?} {:?}", variant.name, well.reason)),
                Err(error) => wrong.push(format!("{}: {ill:?} {error}", variant.name)),
            }
        }
    }
    assert!(wrong.is_empty(), "{} and {helped} helped: {wrong:#?}", wrong.len());
    assert!(helped > 100, "{helped}");
}

#[test]
fn as_javascript_has_it() {
    let predicted = variant("oci-nameless");
    let json = serde_json::to_value(of(&predicted, Reader::Docker24)).unwrap();
    assert_eq!(json["reader"], "docker-24");
    assert_eq!(json["verdict"], "refuses");
    assert_eq!(json["remedy"], "docker");
    assert_eq!(json["images"], serde_json::json!([]));
    let json = serde_json::to_value(of(&predicted, Reader::Podman)).unwrap();
    assert_eq!(json["verdict"], "loads");
    assert!(json["images"][0]["id"].as_str().unwrap().starts_with("sha256:"));
    assert!(json.get("reason").is_none());
}

/// Bits flipped where the headers and documents are: whatever comes of it, every reader has an answer.
#[test]
fn damage_is_answered_too() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % u64::try_from(below).unwrap()).unwrap()
    };
    for variant in variants::all() {
        let whole = variant.unpacked();
        for _ in 0..10 {
            let mut bytes = whole.clone();
            for _ in 0..3 {
                let at = random(bytes.len().max(1));
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << random(8);
                }
            }
            bytes.truncate(whole.len() - random(2) * random(whole.len().max(1)));
            let predicted = compatibility(Rc::new(bytes), &[], false, &HashMap::new());
            assert_eq!(predicted.len(), Reader::ALL.len());
        }
    }
}
