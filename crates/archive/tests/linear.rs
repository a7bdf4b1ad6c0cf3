//! Archives of very many things: work grows no faster than they do.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failure should stop the test"
)]

mod crafted;

use std::fmt::Write as _;
use std::rc::Rc;

use crafted::{codes, flat, listed, open, replace, tiny_config, with_header};
use longshore_archive::{
    Archive, Code, FindingCode, Limits, Recipe, RenameRule, TarIndex, Verdict, index_layer, merge,
};
use longshore_fixtures::{
    Content, Entry, ImageSpec, Kind, docker_hybrid_entries, docker_legacy, docker_legacy_entries,
    oci_entries, tar,
};

/// A test is some twenty times as slow without optimization.
const MANY: usize = if cfg!(debug_assertions) { 1000 } else { 5000 };

#[test]
fn more_members_than_are_allowed_are_refused_with_the_limit() {
    let bytes = many_members(250_001);
    let error = TarIndex::read(&bytes).unwrap_err();
    assert_eq!(error.code(), Code::LimitExceeded);
    assert_eq!(
        (&error.detail()["limit"], &error.detail()["expected"]),
        (&"members".into(), &250_000_u64.into())
    );
}

#[test]
fn as_many_members_as_are_allowed_open() {
    let bytes = Rc::new(many_members(249_000));
    let archive = Archive::open(bytes).unwrap();
    assert_eq!(archive.index().entries().len(), 249_000 + 7);
    let edit = archive.tag("app:1", "app:2").unwrap();
    assert!(edit.archive.recipe().parts().len() < 10);
    let report = archive.verify(Limits::default()).unwrap();
    assert_eq!(report.verdict, Verdict::Intact);
}

/// A legacy archive and so many empty files.
fn many_members(count: usize) -> Vec<u8> {
    let image = docker_legacy(&[ImageSpec::new("app:1")]);
    let mut bytes = Vec::with_capacity(image.len() + count * 512);
    let mut empty = tar(&[Entry::file("empty/0000000", "")]);
    empty.truncate(512);
    for number in 0..count {
        let named = with_header(empty.clone(), 6, format!("{number:07}").as_bytes());
        bytes.extend(named);
    }
    bytes.extend(image);
    bytes
}

#[test]
fn one_path_many_times_is_linear() {
    let mut entries = docker_legacy_entries(&[ImageSpec::new("app:1")]);
    let layer = entries.iter().find(|entry| entry.path.ends_with("layer.tar")).unwrap().path.clone();
    let manifest = entries.iter().find(|entry| entry.path == "manifest.json").unwrap().clone();
    for _ in 0..20_000 {
        entries.insert(0, Entry::file(&layer, "x"));
        entries.push(manifest.clone());
    }
    let archive = open(tar(&entries));
    let edit = archive.tag("app:1", "app:2").unwrap();
    assert_eq!(open(flat(edit.archive.recipe())).images(), edit.archive.images());
    let report = archive.verify(Limits::default()).unwrap();
    assert_eq!(report.verdict, Verdict::Ambiguous);
}

#[test]
fn one_config_many_times_in_many_images_is_linear() {
    let manifest = format!("[{}]", vec![r#"{"Config":"c"}"#; 60_000].join(","));
    let archive = open(listed(&manifest, &vec![tiny_config(); 60_000]));
    assert_eq!(archive.images().len(), 60_000);
    assert_eq!(archive.blobs_to_measure().len(), 60_000);
}

#[test]
fn many_links_of_one_path_are_not_all_followed() {
    // Each leads a long way, link by link, to nowhere.
    let way = Entry { kind: Kind::Symlink("a/".repeat(2000)), ..Entry::file("way", "") };
    let link = Entry { kind: Kind::Symlink("way".into()), ..Entry::file("manifest.json", "") };
    let mut entries = vec![way];
    entries.extend(std::iter::repeat_n(link, 100_000));
    entries.extend(docker_legacy_entries(&[ImageSpec::new("app:1")]));
    let archive = open(tar(&entries));
    assert_eq!(archive.verify(Limits::default()).unwrap().images.len(), 1);
}

#[test]
fn objects_of_many_keys_are_linear() {
    let mut object = String::new();
    for number in 0..200_000 {
        write!(object, r#""k{number}":0,"#).unwrap();
    }
    let manifest = format!(r#"[{{{object}"Config":"c","RepoTags":["a:1"],"Layers":[]}}]"#);
    let archive = open(listed(&manifest, &[tiny_config()]));
    assert!(!codes(&archive).contains(&FindingCode::DuplicateKey));
    assert_eq!(archive.tag("a:1", "a:2").unwrap().archive.images()[0].names.len(), 2);
    let manifest = format!(r#"[{{{object}"K7":0,"Config":"c","Layers":[]}}]"#);
    assert!(codes(&open(listed(&manifest, &[tiny_config()]))).contains(&FindingCode::DuplicateKey));

    // As many layers, each looked for among as many sources.
    let layers = vec![r#""l""#; 150_000].join(",");
    let manifest = format!(r#"[{{"Config":"c","Layers":[{layers}],"LayerSources":{{{object}"":0}}}}]"#);
    let ids = vec![r#""k""#; 150_000].join(",");
    let config = Entry::file("c", format!(r#"{{"rootfs":{{"diff_ids":[{ids}]}}}}"#));
    open(listed(&manifest, &[config, Entry::file("l", "")]));
}

#[test]
fn one_image_of_many_names_is_linear() {
    let mut names = String::from(r#""a:0""#);
    for number in 1..50_000 {
        write!(names, r#","a:{number}""#).unwrap();
    }
    let manifest = format!(r#"[{{"Config":"c","RepoTags":[{names}],"Layers":[]}}]"#);
    let archive = open(listed(&manifest, &[tiny_config()]));
    assert_eq!(archive.images()[0].names.len(), 50_000);
    let rule = RenameRule { from: String::new(), to: "r.example".into() };
    let edit = archive.rename(&[rule]).unwrap();
    assert_eq!(edit.changes.len(), 50_000);
}

#[test]
fn an_index_of_many_names_is_linear() {
    let names: Vec<String> = (0..10_000).map(|number| format!("a:{number}")).collect();
    let mut image = ImageSpec::untagged();
    image.names.clone_from(&names);
    let mut entries = docker_hybrid_entries(&[image]);
    for entry in entries.iter_mut().filter(|entry| entry.path == "index.json") {
        let Content::Bytes(bytes) = &mut entry.content else { panic!("it is a document") };
        // In full, and in the annotation that is for tags.
        let text = String::from_utf8(bytes.clone()).unwrap();
        *bytes = text.replace("io.containerd.image.name", "other").into();
    }
    let archive = open(tar(&entries));
    assert_eq!(archive.images()[0].names.len(), names.len());
    assert!(codes(&archive).iter().all(|code| *code != FindingCode::NamesDisagree));
}

#[test]
fn thousands_of_images_open_and_are_edited() {
    let specs: Vec<_> = (0..MANY)
        .map(|number| ImageSpec {
            config: Some(format!(r#"{{"author":"{number}","rootfs":{{"diff_ids":[]}}}}"#).into()),
            layers: Vec::new(),
            ..ImageSpec::new(&format!("team/app:{number}"))
        })
        .collect();
    for (what, entries) in [
        ("legacy", docker_legacy_entries(&specs)),
        ("hybrid", longshore_fixtures::docker_hybrid_entries(&specs)),
        ("containerd", longshore_fixtures::containerd_entries(&specs)),
        ("oci", oci_entries(&specs)),
    ] {
        let bytes = Rc::new(tar(&entries));
        let archive = Archive::open(bytes).unwrap();
        assert_eq!(archive.images().len(), MANY, "{what}");
        let edit = archive.tag("team/app:999", "other:1").unwrap();
        assert_eq!(edit.archive.images()[999].names.len(), 2, "{what}");
        assert_eq!(archive.untag("team/app:7").unwrap().changes.len(), 1, "{what}");
        let rule = RenameRule { from: String::new(), to: "r.example".into() };
        assert_eq!(archive.rename(std::slice::from_ref(&rule)).unwrap().changes.len(), MANY, "{what}");
        assert_eq!(archive.verify(Limits::default()).unwrap().images.len(), MANY, "{what}");
    }
}

#[test]
fn an_index_that_leaves_out_many_images_takes_their_names() {
    let specs: Vec<_> = (0..500)
        .map(|number| ImageSpec {
            config: Some(format!(r#"{{"author":"{number}","rootfs":{{"diff_ids":[]}}}}"#).into()),
            layers: Vec::new(),
            ..ImageSpec::new(&format!("app:{number}"))
        })
        .collect();
    let mut entries = longshore_fixtures::docker_hybrid_entries(&specs);
    replace(&mut entries, "index.json", r#"{"manifests":[]}"#);
    let edit = open(tar(&entries)).tag("app:0", "app:x").unwrap();
    assert!(!codes(&edit.archive).contains(&FindingCode::NamesDisagree));
}

#[test]
fn whiteouts_over_and_over_are_linear() {
    let below = tar(&[Entry::file("d/below", "1"), Entry::file("d/e/f", "2")]);
    let mut above: Vec<_> = (0..30_000).map(|number| Entry::file(format!("d/e/{number}"), "")).collect();
    for _ in 0..30_000 {
        above.extend([".wh.d", "d/.wh.e", "d/e/.wh..wh..opq"].map(|path| Entry::file(path, "")));
    }
    let index = |bytes: Vec<u8>| index_layer(Recipe::whole(Rc::new(bytes)), Limits::default()).unwrap();
    let layers = vec![index(below), index(tar(&above))];
    let tree = merge(layers).unwrap();
    assert_eq!(tree.len(), 30_003);
    assert!(tree.find(b"d/below", false).is_none() && tree.find(b"d/e/f", false).is_none());
}

#[test]
fn many_wrong_digests_are_told_in_linear_time() {
    let mut entries = oci_entries(&[ImageSpec::new("localhost/app:1")]);
    entries.extend((0..20_000).map(|n| Entry::file(format!("blobs/sha256/{n:064x}"), "x")));
    let archive = open(tar(&entries));
    let report = archive.verify(Limits::default()).unwrap();
    let wrong = report.findings.iter().filter(|finding| finding.code == FindingCode::DigestMismatch);
    assert_eq!(wrong.count(), 20_000);
}
