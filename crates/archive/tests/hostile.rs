//! Archives that were made to do harm: what they claim is bounded before it is believed, and what is refused says why.
//!
//! Beside these: `linear.rs` has archives of very many things, `odd.rs` every kind of broken file, `formats.rs` cycles, depth,
//! digests that are none and documents of two kinds, `verify.rs` damage and ambiguity, `laws.rs` random damage, and `unpack.rs` bombs of the other formats.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failure should stop the test"
)]

mod crafted;

use std::rc::Rc;

use longshore_archive::{
    Algorithm, Archive, Code, EntryKind, Error, FindingCode, Limits, Recipe, Severity, TarIndex, Verdict,
    index_layer, measure, sha256,
};
use longshore_fixtures::{
    Content, Entry, ImageSpec, Kind, Layer, docker_legacy, docker_legacy_entries, oci_entries, tar,
};

use crafted::{codes, flat, listed, open, replace, tiny_config, with_header};

fn refused(bytes: Vec<u8>) -> Error {
    Archive::open(Rc::new(bytes)).err().unwrap()
}

/// A legacy archive of one image, bent.
fn bent(bend: impl FnOnce(&mut Vec<Entry>)) -> Vec<u8> {
    let mut entries = docker_legacy_entries(&[ImageSpec::new("app:1")]);
    bend(&mut entries);
    tar(&entries)
}

fn one_file() -> Vec<u8> {
    tar(&[Entry::file("manifest.json", "[]"), Entry::file("next", "")])
}

// Sizes and offsets

#[test]
fn sizes_that_make_no_sense_are_refused() {
    let size = |field: &[u8; 12]| TarIndex::read(&with_header(one_file(), 124, field)).unwrap_err().code();
    // Base-256: -1, 2^53, 2^63, and all that eleven bytes hold.
    assert_eq!(size(&[0xff; 12]), Code::InvalidTar);
    assert_eq!(size(b"\x80\0\0\0\0\x20\0\0\0\0\0\0"), Code::InvalidTar);
    assert_eq!(size(b"\x80\0\0\0\x80\0\0\0\0\0\0\0"), Code::InvalidTar);
    assert_eq!(size(b"\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), Code::InvalidTar);
    assert_eq!(size(b"-0000000001\0"), Code::InvalidTar);
    // What counts to Go, and not to some: a sign, and the first bytes of a number that is too long.
    assert_eq!(size(b"+0000000001\0"), Code::InvalidTar);
    assert_eq!(size(b"\x80\x01\0\0\0\0\0\0\0\0\x02\0"), Code::InvalidTar);
    assert_eq!(size(b"\xc0\0\0\0\0\0\0\0\0\0\0\0"), Code::InvalidTar);
    assert_eq!(size(b"0x10\0\0\0\0\0\0\0\0"), Code::InvalidTar);
    // What could be, but is not there.
    assert_eq!(size(b"\x80\0\0\0\0\x1f\xff\xff\xff\xff\xff\xff"), Code::Truncated);
    assert_eq!(size(b"77777777777\0"), Code::Truncated);
    // Blanks on both sides, and what follows a NUL, are nothing.
    assert_eq!(size(b"\0\0 77777777 "), Code::Truncated);
    assert_eq!(size(b"777777777\0 x"), Code::Truncated);
    assert_eq!(size(b"777777 77\0 x"), Code::InvalidTar);
}

#[test]
fn pax_sizes_that_make_no_sense_are_refused() {
    let with = |size: &str| {
        let pax = vec![("size".to_owned(), size.to_owned())];
        TarIndex::read(&tar(&[Entry { pax, ..Entry::file("a", "b") }])).unwrap_err().code()
    };
    for size in ["-1", "1e3", "0x1", "9007199254740992", "18446744073709551615", "18446744073709551616", "1 "]
    {
        assert_eq!(with(size), Code::InvalidTar, "{size}");
    }
    for size in ["9007199254740991", "1000000"] {
        assert_eq!(with(size), Code::Truncated, "{size}");
    }
}

/// As Go's `archive/tar` has it.
#[test]
fn headers_hold_where_records_are_empty_and_devices_have_no_content() {
    let pax = ["path", "size", "linkpath"].map(|key| (key.to_owned(), String::new())).to_vec();
    let fifo = Entry { kind: Kind::Other(b'6'), claimed_size: Some(1 << 20), ..Entry::file("fifo", "") };
    let file = Entry { pax, ..Entry::file("a", "content") };
    let old = Entry { kind: Kind::Other(0), claimed_size: Some(1 << 20), ..Entry::file("old/", "") };
    let index = TarIndex::read(&tar(&[fifo, file, Entry::file("b/", "content"), old])).unwrap();
    let members: Vec<_> = index.entries().iter().map(|entry| (&*entry.path, entry.size)).collect();
    assert_eq!(members, [("fifo", 0), ("a", 7), ("b/", 7), ("old/", 0)]);
}

#[test]
fn what_is_stored_with_holes_is_not_said_to_be_absent() {
    let entries: Vec<_> = docker_legacy_entries(&[ImageSpec::new("app:1")])
        .into_iter()
        .map(|entry| {
            let is_layer = entry.path.ends_with("layer.tar");
            let holes = ("GNU.sparse.map".to_owned(), "0,1".to_owned());
            if is_layer { Entry { pax: vec![holes], ..entry } } else { entry }
        })
        .collect();
    let error = refused(tar(&entries));
    assert_eq!(error.code(), Code::MissingEntry);
    assert!(error.message().contains("tar --sparse"), "{error}");
}

/// As Go's `archive/tar` has it, in an archive and in a layer.
#[test]
fn of_extension_headers_gnus_names_count_for_most_and_the_last_pax_header() {
    let header = |kind: u8, payload: &str| Entry { kind: Kind::Other(kind), ..Entry::file("x", payload) };
    let bytes = tar(&[
        header(b'L', "gnu\0"),
        header(b'x', "12 path=pax\n"),
        Entry::file("a", ""),
        header(b'x', "12 path=pax\n"),
        header(b'x', "14 uname=root\n"),
        Entry::file("b", ""),
        header(b'x', "16 linkpath=pax\n"),
        header(b'K', "gnu\0"),
        header(b'L', "\0"),
        Entry::symlink("c", "d"),
    ]);
    let entries = TarIndex::read(&bytes).unwrap();
    let outside = |number: usize| &entries.entries()[number];
    let layer = index_layer(Recipe::whole(Rc::new(bytes.clone())), Limits::default()).unwrap();
    for (number, (path, link)) in [("gnu", None), ("b", None), ("c", Some("gnu"))].into_iter().enumerate() {
        assert_eq!((&*outside(number).path, outside(number).link.as_deref()), (path, link));
        let inside = layer.entry(number).unwrap();
        assert_eq!((&*inside.path, inside.link.as_deref()), (path, link));
    }
}

/// As Go's `archive/tar` has it: without a map, or by a version that nobody knows, a file is one like any other, and has its own
/// name.
#[test]
fn a_name_of_a_sparse_file_is_that_of_a_sparse_file_only() {
    let record = |(key, value): &(&str, &str)| (format!("GNU.sparse.{key}"), (*value).to_owned());
    let plain: [&[(&str, &str)]; 5] = [
        &[],
        &[("realsize", "3")],
        &[("major", "2"), ("minor", "0"), ("map", "none")],
        &[("major", "1"), ("minor", "1"), ("size", "none")],
        &[("major", "0")],
    ];
    let sparse: [&[(&str, &str)]; 4] = [
        &[("map", "0,3"), ("size", "5"), ("realsize", "4")],
        &[("offset", "0"), ("numbytes", "3"), ("realsize", "5")],
        &[("major", "0"), ("minor", "1"), ("map", "0,3"), ("size", "5")],
        &[("major", "1"), ("minor", "0"), ("realsize", "5")],
    ];
    for (records, is_sparse) in plain.iter().map(|of| (of, false)).chain(sparse.iter().map(|of| (of, true))) {
        let mut content = b"abc".to_vec();
        if records.first() == Some(&("major", "1")) && is_sparse {
            content.splice(..0, b"1\n0\n3\n".iter().copied().chain([0; 506]));
        }
        let mut entry = Entry::file("a", content);
        entry.pax = records.iter().chain(&[("name", "b")]).map(record).collect();
        let bytes = tar(&[entry]);
        let expected = if is_sparse { ("b", EntryKind::Sparse) } else { ("a", EntryKind::File) };
        let entries = TarIndex::read(&bytes).unwrap();
        let outside = &entries.entries()[0];
        assert_eq!((&*outside.path, outside.kind), expected, "{records:?}");
        let layer = index_layer(Recipe::whole(Rc::new(bytes)), Limits::default()).unwrap();
        let inside = layer.entry(0).unwrap();
        assert_eq!((&*inside.path, inside.size), (expected.0, if is_sparse { 5 } else { 3 }), "{records:?}");
    }
}

#[test]
fn malformed_pax_records_are_refused() {
    let with = |payload: &[u8]| {
        let pax = Entry { kind: Kind::Other(b'x'), ..Entry::file("pax", payload) };
        TarIndex::read(&tar(&[pax, Entry::file("a", "b")])).map(|index| index.entries()[0].path.to_string())
    };
    for payload in [
        &b"9 path=b"[..],
        b"99 path=b\n",
        b"path=b\n",
        b"0 path=b\n",
        b"-9 path=b\n",
        b"9 path b\n",
        b"12 path=b\0c\n",
        b"5 =b\n",
    ] {
        let shown = String::from_utf8_lossy(payload).into_owned();
        assert_eq!(with(payload).unwrap_err().code(), Code::InvalidTar, "{shown}");
    }
    assert_eq!(with(b"9 path=b\n").unwrap(), "b");
    assert_eq!(with(b"9 path=b\n9 path=c\n").unwrap(), "c", "the last counts, as everywhere");
}

#[test]
fn long_extension_headers_are_refused_unread() {
    let long = Entry { kind: Kind::Other(b'x'), ..Entry::file("pax", vec![b'a'; (1 << 20) + 1]) };
    let error = TarIndex::read(&tar(&[long, Entry::file("a", "b")])).unwrap_err();
    assert_eq!((error.code(), &error.detail()["expected"]), (Code::LimitExceeded, &(1_u64 << 20).into()));
}

// Members

#[test]
fn a_last_member_without_its_padding_is_followed_by_what_is_added() {
    let mut entries = docker_legacy_entries(&[ImageSpec::untagged()]);
    let manifest = entries.iter().position(|entry| entry.path == "manifest.json").unwrap();
    let manifest = entries.remove(manifest);
    entries.insert(0, manifest);
    entries.push(Entry::file("last", "x"));
    let whole = tar(&entries);
    let archive = open(whole[..whole.len() - 1024 - 511].to_vec());
    // There is no `repositories` yet: it is added at the end.
    let edit = archive.tag(&archive.images()[0].id, "app:1").unwrap();
    let again = open(flat(edit.archive.recipe()));
    assert_eq!(again.images(), edit.archive.images());
    assert_eq!(again.index().entries(), edit.archive.index().entries());
    assert!(again.index().find("repositories").is_some());
    // And where nothing is added, the end is where it would be.
    assert_eq!(archive.verify(Limits::default()).unwrap().verdict, Verdict::Intact);
    let once_more = archive.rename(&[]).unwrap();
    assert_eq!(open(flat(once_more.archive.recipe())).findings(), once_more.archive.findings());
}

#[test]
fn long_paths_are_bounded_together() {
    let long = "d/".repeat(500_000);
    let entries: Vec<_> = (0..80).map(|number| Entry::file(format!("{long}{number}"), "")).collect();
    let error = TarIndex::read(&tar(&entries)).unwrap_err();
    assert_eq!((error.code(), &error.detail()["limit"]), (Code::LimitExceeded, &"paths".into()));
}

// Names of members

#[test]
fn paths_are_keys_and_lead_nowhere_else() {
    let hostile =
        ["../../etc/passwd", "/etc/passwd", "a/../../b", "a\nb", "a\u{202e}gpj.exe", "..", "\u{1b}[2J"];
    let entries: Vec<_> = hostile.iter().map(|path| Entry::file(*path, "x")).collect();
    let index = TarIndex::read(&tar(&entries)).unwrap();
    for (number, path) in hostile.iter().enumerate() {
        assert_eq!(&*index.entries()[number].path, *path, "a path stays what it is");
        assert_eq!(index.find(path), Some(number));
    }
    assert_eq!(index.resolve("../../etc/passwd"), None, "above the root there is nothing");
    assert_eq!(index.resolve("a/../../b"), None);
    assert_eq!(index.resolve("/etc/passwd"), Some(1), "the root is the archive's");
    assert_eq!(index.resolve("x/y/../../etc/./passwd"), Some(1));

    let mut image = docker_legacy_entries(&[ImageSpec::new("app:1")]);
    image.extend(entries);
    let odd = codes(&open(tar(&image))).into_iter().filter(|code| *code == FindingCode::OddPath);
    assert_eq!(odd.count(), hostile.len());
    // Many of them are counted, not listed.
    image.extend((0..1000).map(|number| Entry::file(format!("../{number}"), "")));
    assert_eq!(codes(&open(tar(&image))).len(), 101);
}

#[test]
fn names_end_at_nul_and_need_not_be_utf8() {
    let index = TarIndex::read(&with_header(one_file(), 0, b"a\0b")).unwrap();
    assert_eq!((&*index.entries()[0].path, index.entries()[0].utf8), ("a", true));
    let archive = open(tar(&docker_legacy_entries(&[ImageSpec::new("app:1")])));
    assert!(codes(&archive).is_empty());
    let mut bytes = tar(&[Entry::file("xx", "")]);
    bytes.truncate(512);
    let mut bytes = with_header(bytes, 0, b"\xff\xfe");
    bytes.extend(docker_legacy(&[ImageSpec::new("app:1")]));
    let archive = open(bytes.clone());
    assert_eq!(codes(&archive), [FindingCode::InvalidUtf8]);
    // The bytes of the name survive an edit.
    let edited = flat(archive.tag("app:1", "app:2").unwrap().archive.recipe());
    assert_eq!(edited[..512], bytes[..512]);
}

#[test]
fn links_stay_inside_and_end() {
    let mut entries = vec![
        Entry::file("target", "x"),
        Entry::symlink("loop-a", "loop-b"),
        Entry::symlink("loop-b", "loop-a"),
        Entry::symlink("grow", "grow/x"),
        Entry::symlink("out", "../../../etc/passwd"),
        Entry::symlink("root", "/"),
        Entry::symlink("dot", "."),
        Entry::hard_link("hard", "../target"),
        Entry::symlink("far", "a/".repeat(3000)),
    ];
    entries.push(Entry::symlink("chain-0", "target"));
    entries.extend((1..60).map(|n| Entry::symlink(format!("chain-{n}"), format!("chain-{}", n - 1))));
    let index = TarIndex::read(&tar(&entries)).unwrap();
    for path in ["loop-a", "grow", "out", "root", "dot", "hard", "far", "chain-40", "chain-59"] {
        assert_eq!(index.resolve(path), None, "{path}");
    }
    for path in ["target", "root/target", "dot/dot/target", "root/root/dot/target", "chain-39"] {
        assert_eq!(index.resolve(path), Some(0), "{path}");
    }
    // A path as long as a document may be.
    assert_eq!(index.resolve(&"a/".repeat(10 << 20)), None);
    assert!(index.entries().iter().filter(|entry| entry.kind == EntryKind::Symlink).count() > 60);
}

#[test]
fn a_long_way_to_many_layers_is_refused() {
    let way = Entry::symlink("l", format!("{}layer", "a/../".repeat(800)));
    let mut manifest = r#"[{"Config":"c","Layers":["l""#.to_owned();
    manifest.push_str(&r#","l""#.repeat(900_000));
    manifest.push_str("]}]");
    let bytes = listed(&manifest, &[tiny_config(), Entry::file("layer", ""), way]);
    let error = refused(bytes);
    assert_eq!((error.code(), error.detail()["limit"].clone()), (Code::LimitExceeded, "metadata".into()));
}

// Documents

#[test]
fn documents_that_are_too_long_are_refused_with_the_limit() {
    for (path, limit) in
        [("manifest.json", 20_u64 << 20), ("index.json", 20 << 20), ("repositories", 20 << 20)]
    {
        let text = " ".repeat(usize::try_from(limit).unwrap() + 1);
        let error = refused(tar(&[Entry::file(path, text)]));
        assert_eq!(error.code(), Code::LimitExceeded, "{path}");
        assert_eq!((&error.detail()["entry"], &error.detail()["expected"]), (&path.into(), &limit.into()));
    }
    let config = ImageSpec { config: Some(vec![b' '; (4 << 20) + 1]), ..ImageSpec::new("app:1") };
    let error = refused(docker_legacy(&[config]));
    assert_eq!((error.code(), &error.detail()["expected"]), (Code::LimitExceeded, &(4_u64 << 20).into()));
}

#[test]
fn a_manifest_json_of_another_kind_is_refused_for_what_it_is() {
    for (manifest, reason) in [
        ("{}", "it is not an array"),
        ("7", "it is not an array"),
        (
            r#"{"schemaVersion":2,"layers":[]}"#,
            "it is the manifest of one image, as skopeo's dir: has it, not the list of images that docker save writes",
        ),
    ] {
        let error = refused(listed(manifest, &[]));
        assert_eq!((error.code(), &error.detail()["reason"]), (Code::InvalidManifest, &reason.into()));
    }
}

#[test]
fn depth_does_no_harm_wherever_it_is() {
    for (left, right) in [("[", "]"), (r#"{"a":"#, "}")] {
        let deep = format!("{}0{}", left.repeat(100_000), right.repeat(100_000));
        // Where nobody looks, it is kept as the text that it is.
        let manifest = format!(r#"[{{"Config":"c","RepoTags":["a:1"],"Layers":[],"x":{deep}}}]"#);
        let edit = open(listed(&manifest, &[tiny_config()])).tag("a:1", "a:2").unwrap();
        assert!(flat(edit.archive.recipe()).windows(1000).any(|bytes| bytes == &deep.as_bytes()[..1000]));
        let index = format!(r#"{{"manifests":[],"x":{deep}}}"#);
        assert_eq!(
            codes(&open(tar(&[Entry::file("index.json", index)]))),
            [FindingCode::NoImages, FindingCode::InvalidLayout]
        );
        for key in ["config", "rootfs", "history"] {
            let config = format!(r#"{{"{key}":{deep}}}"#);
            let archive = open(listed(r#"[{"Config":"c"}]"#, &[Entry::file("c", config)]));
            let _ = archive.inspect(&archive.images()[0].id);
        }
        // Where it stands for something, it is the wrong thing.
        let manifest = format!(r#"[{{"Config":"c","Layers":{deep}}}]"#);
        assert_eq!(refused(listed(&manifest, &[tiny_config()])).code(), Code::InvalidManifest);
        let repositories = bent(|entries| replace(entries, "repositories", &deep));
        assert_eq!(codes(&open(repositories)), [FindingCode::InvalidListing]);
    }
}

#[test]
fn few_bytes_do_not_become_many() {
    // Each item reads the same config of 4 MiB again.
    let config = Entry::file("c", format!(r#"{{"author":"{}"}}"#, "a".repeat(4_000_000)));
    let items = vec![r#"{"Config":"c"}"#; 100_000].join(",");
    let over = |error: &Error| (error.code(), error.detail().get("limit").cloned());
    let limit = (Code::LimitExceeded, Some("metadata".into()));
    let error = refused(listed(&format!("[{items}]"), &[config]));
    assert_eq!(over(&error), limit);
    // Layers and names of three bytes.
    for list in [r#""Layers":["c""#, r#""RepoTags":["c""#] {
        let manifest = format!(r#"[{{"Config":"c",{list}{}]}}]"#, r#","c""#.repeat(1_100_000));
        let result = Archive::open(Rc::new(listed(&manifest, &[tiny_config()])));
        // A name that stands there twice is one.
        match result {
            Ok(archive) => assert_eq!(archive.images()[0].names.len(), 1),
            Err(error) => assert_eq!(over(&error), limit),
        }
    }
    // A history of nothing, for each image anew.
    let history = Entry::file("c", format!(r#"{{"history":[{{}}{}]}}"#, ",{}".repeat(1_100_000)));
    assert_eq!(over(&refused(listed(r#"[{"Config":"c"}]"#, &[history]))), limit);
}

#[test]
fn an_index_that_leads_many_times_to_the_same_is_bounded() {
    let absent = |n: usize| format!(r#"{{"digest":"sha256:{n:064x}","size":1}}"#);
    let nested: Vec<_> = (0..30_000).map(absent).collect();
    let nested = format!(r#"{{"manifests":[{}]}}"#, nested.join(","));
    let digest = sha256(nested.as_bytes());
    let blob = Entry::file(format!("blobs/{}", digest.replace(':', "/")), nested.as_str());
    let descriptor = format!(r#"{{"digest":"{digest}","size":{}}}"#, nested.len());
    let index = format!(r#"{{"manifests":[{}]}}"#, vec![descriptor; 10_000].join(","));
    // Its descriptors lead nowhere, and not every one of them is followed to see that.
    assert_eq!(refused(tar(&[blob, Entry::file("index.json", index)])).code(), Code::MissingEntry);
}

#[test]
fn no_more_descriptors_than_are_allowed_are_followed() {
    let mut entries =
        oci_entries(&[ImageSpec::new("localhost/a:1"), ImageSpec::new("localhost/b:1").label("b", "")]);
    let index = entries.iter_mut().find(|entry| entry.path == "index.json").unwrap();
    let Content::Bytes(bytes) = &index.content else { panic!("the index is text") };
    let document: serde_json::Value = serde_json::from_slice(bytes).unwrap();
    let [first, last] = [0, 1].map(|number| document["manifests"][number].to_string());
    let absent = format!(r#"{{"digest":"sha256:{:064x}","size":1}}"#, 0);
    // With the first and all between, as many as are allowed.
    let between = vec![absent.as_str(); 100_000 - 1].join(",");
    index.content = Content::Bytes(format!(r#"{{"manifests":[{first},{between},{last}]}}"#).into());
    let archive = open(tar(&entries));
    assert_eq!((archive.images().len(), codes(&archive)), (1, vec![FindingCode::InvalidDescriptor]));
}

#[test]
fn a_key_that_stands_twice_is_told_wherever_it_is() {
    let twice = |bytes: Vec<u8>| {
        let archive = open(bytes);
        let found = archive.findings().iter().filter(|finding| finding.code == FindingCode::DuplicateKey);
        found.map(|finding| finding.detail["key"].clone()).collect::<Vec<_>>()
    };
    let config = r#"{"rootfs":{"diff_ids":[]},"config":{"User":"nobody","User":"root"}}"#;
    let spec = ImageSpec { config: Some(config.into()), layers: Vec::new(), ..ImageSpec::new("app:1") };
    assert_eq!(twice(docker_legacy(std::slice::from_ref(&spec))), ["User".into()]);
    assert_eq!(twice(tar(&oci_entries(&[spec]))), ["User".into()]);
    let mut entries = oci_entries(&[ImageSpec::new("localhost/app:1")]);
    let index = entries.iter_mut().find(|entry| entry.path == "index.json").unwrap();
    let Content::Bytes(bytes) = &mut index.content else { panic!("the index is text") };
    *bytes = String::from_utf8(bytes.clone())
        .unwrap()
        .replacen("\"digest\"", "\"digest\":\"\",\"digest\"", 1)
        .into();
    assert_eq!(twice(tar(&entries)), ["digest".into()]);
}

#[test]
fn numbers_and_types_that_make_no_sense_are_findings() {
    for size in ["-1", "1.5", "1e3", "\"7\"", "18446744073709551616", "null"] {
        let index = format!(r#"{{"manifests":[{{"digest":"sha256:{:064}","size":{size}}}]}}"#, 0);
        let archive = open(tar(&[Entry::file("index.json", index)]));
        assert!(codes(&archive).contains(&FindingCode::InvalidDescriptor), "{size}");
    }
    let config = r#"{"os":7,"config":[],"history":{},"rootfs":"x","created":[]}"#;
    let spec = ImageSpec { config: Some(config.into()), layers: Vec::new(), ..ImageSpec::new("app:1") };
    let archive = open(docker_legacy(&[spec]));
    assert_eq!((archive.images()[0].platform.os.as_str(), archive.images()[0].history.len()), ("", 0));
}

#[test]
fn claims_add_up_to_what_a_number_holds() {
    // Nobody checks the sizes of layers that are not there.
    for size in [(1_u64 << 53) - 1, 1 << 53, u64::MAX] {
        let diff_ids = [0, 1, 2].map(|number| sha256(&[number]));
        let config = format!(
            r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":{diff_ids:?}}}}}"#
        );
        let sources: Vec<_> = diff_ids
            .iter()
            .map(|id| {
                let media_type = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
                format!(r#""{id}":{{"mediaType":"{media_type}","digest":"{id}","size":{size}}}"#)
            })
            .collect();
        let manifest = format!(
            r#"[{{"Config":"c.json","RepoTags":["app:1"],"Layers":["0","1","2"],"LayerSources":{{{}}}}}]"#,
            sources.join(",")
        );
        let archive = open(tar(&[
            Entry::file("c.json", config.as_str()),
            Entry::file("manifest.json", manifest.as_str()),
        ]));
        let most = if size < 1 << 53 { size } else { 0 };
        assert_eq!(archive.images()[0].size, most, "{size}");
        assert!(archive.images()[0].layers.iter().all(|layer| layer.size == most));
    }
}

// Layers

#[test]
fn attributes_that_no_entry_has_take_no_memory() {
    let value = "a".repeat(1_000_000);
    let header = |number: usize| {
        let record = format!("SCHILY.xattr.user.{number}={value}\n");
        let length = record.len() + 8;
        Entry { kind: Kind::Other(b'x'), ..Entry::file("pax", format!("{length} {record}").as_str()) }
    };
    let layer = tar(&(0..70).map(header).collect::<Vec<_>>());
    let refused = index_layer(Recipe::whole(Rc::new(layer)), Limits::default()).unwrap_err();
    assert_eq!(refused.code(), Code::LimitExceeded);
}

#[test]
fn a_bomb_in_a_layer_proves_nothing_and_has_its_limit() {
    let bomb = Layer::Tar(vec![0; 100 << 20]);
    let spec = ImageSpec { gzip: true, layers: vec![bomb], ..ImageSpec::new("localhost/bomb:1") };
    let archive = open(longshore_fixtures::oci(&[spec]));
    for limits in [
        Limits { bytes: 10 << 20, ..Limits::default() },
        Limits { ratio: 20, free: 64 << 20, ..Limits::default() },
    ] {
        let report = archive.verify(limits).unwrap();
        let finding = report.findings.iter().find(|f| f.code == FindingCode::LimitExceeded).unwrap();
        assert_eq!(finding.detail["reason"], "limit-exceeded".into());
        assert_eq!(report.verdict, Verdict::Unproven);
    }
    assert_eq!(archive.verify(Limits::default()).unwrap().verdict, Verdict::Intact);
}

#[test]
fn a_layer_that_takes_too_much_memory_proves_nothing() {
    let variant =
        longshore_fixtures::variants::all().into_iter().find(|one| one.name == "layers-zstd-window");
    let report = open(variant.unwrap().bytes).verify(Limits::default()).unwrap();
    assert_eq!(report.verdict, Verdict::Unproven);
    let finding = report.findings.iter().find(|f| f.code == FindingCode::LimitExceeded).unwrap();
    assert_eq!(finding.severity, Severity::Warning);
    assert!(finding.message.contains("128 MiB"), "{}", finding.message);
}

#[test]
fn tiny_frames_that_ask_for_much_memory_are_cheap() {
    // A zstd frame of one byte that wants a window of 128 MiB.
    let frame = b"\x28\xb5\x2f\xfd\x00\x88\x09\x00\x00x".repeat(20_000);
    let len = frame.len() as u64;
    let found =
        measure(&frame, 0..len, Algorithm::Sha256, Algorithm::Sha256, Some(Limits::default())).unwrap();
    assert_eq!(found.content.unwrap().size, 20_000);
}

// Names of images

#[test]
fn names_that_no_reader_takes_stay_text() {
    let hostile = [
        "<script>alert(1)</script>",
        "app:1\u{202e}",
        "app:1\u{0}",
        "../../etc:1",
        "app:1\nroot:x",
        "\u{feff}app:1",
        "аpp:1",
    ];
    let list = serde_json::to_string(&hostile).unwrap();
    let archive =
        open(listed(&format!(r#"[{{"Config":"c","RepoTags":{list},"Layers":[]}}]"#), &[tiny_config()]));
    let image = &archive.images()[0];
    for (name, text) in image.names.iter().zip(hostile) {
        assert_eq!((name.text(), name.reference()), (text, None));
    }
    let invalid = codes(&archive).into_iter().filter(|code| *code == FindingCode::InvalidName);
    assert_eq!(invalid.count(), hostile.len());
    // They can be taken away, and come through an edit unchanged.
    let edit = archive.untag(hostile[0]).unwrap();
    let again = open(flat(edit.archive.recipe()));
    assert_eq!(again.images()[0].names.len(), hostile.len() - 1);
    assert_eq!(again.images()[0].names[0].text(), hostile[1]);
}
