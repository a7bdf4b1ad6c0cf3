//! The files inside layers: whatever a layer is packed with, whatever is in it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failure should stop the test"
)]

mod layers;

use std::rc::Rc;

use layers::{Bytes, all, entries, entry, gzip, index, merged, noise, read, recipe, seen};
use longshore_archive::{
    ChangeKind, Changing, Code, Comparing, Efficiency, Export, FileKind, FileReader, Indexing, LayerChange,
    Limits, Match, Query, Recipe, Result, Search, Side, Tree, Weighing, merge,
};
use longshore_fixtures::{Content, Entry, Kind, NameForm, tar};
use proptest::prelude::*;

fn paths(tree: &Tree) -> Vec<String> {
    entries(tree).into_iter().skip(1).map(|entry| entry.path).collect()
}

fn exported(tree: &Rc<Tree>, layers: &[Vec<u8>], path: &str) -> Vec<u8> {
    let number = tree.find(path.as_bytes(), false).unwrap();
    let layers = layers.iter().map(|layer| recipe(layer)).collect();
    let mut export = Export::new(tree.clone(), number, layers, Limits::default());
    all(|| export.step(100_000)).unwrap()
}

fn changes(layers: &[Vec<u8>]) -> Vec<LayerChange> {
    let mut changing = Changing::new(layers.iter().map(|layer| index(layer).unwrap()).collect()).unwrap();
    while !changing.step(3) {}
    (0..changing.len()).map(|number| changing.get(number).unwrap()).collect()
}

fn brief(changes: &[LayerChange]) -> Vec<(ChangeKind, &str, u64)> {
    changes.iter().map(|one| (one.change, one.file.path.as_str(), one.bytes)).collect()
}

fn efficiency(layers: &[Vec<u8>]) -> Efficiency {
    let mut weighing = Weighing::new(layers.iter().map(|layer| index(layer).unwrap()).collect()).unwrap();
    while !weighing.step(3) {}
    weighing.finish()
}

fn searched(tree: &Rc<Tree>, layers: &[Vec<u8>], query: &Query) -> Vec<Match> {
    searched_in(tree, 0, layers, query)
}

fn searched_in(tree: &Rc<Tree>, number: usize, layers: &[Vec<u8>], query: &Query) -> Vec<Match> {
    let layers = layers.iter().map(|layer| recipe(layer)).collect();
    let mut search = Search::new(tree.clone(), number, query, layers, Limits::default()).unwrap();
    let mut found = Vec::new();
    loop {
        let ended = search.step(10_000).unwrap();
        found.extend(search.take());
        if ended {
            return found;
        }
    }
}

#[test]
fn an_entry_has_all_that_the_tar_says() {
    let pax = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let layer = tar(&[
        Entry {
            pax: vec![
                pax("uid", "3000000"),
                pax("gname", "größe"),
                pax("mtime", "-1.5"),
                pax("SCHILY.xattr.user.colour", "blue"),
            ],
            owner: "root",
            ..Entry::file("./etc/../etc//passwd", "root").mode(0o104_755)
        },
        Entry { name_form: NameForm::Gnu, ..Entry::symlink("/link", "../../etc/passwd") },
        Entry { kind: Kind::Other(b'3'), ..Entry::file("dev/null", "") },
        Entry { kind: Kind::Other(b'6'), ..Entry::file("pipe", "") },
        Entry { kind: Kind::Other(b'g'), ..Entry::file("pax_global_header", "12 comment=a") },
        Entry::hard_link("hard", "./etc/passwd"),
        Entry::directory("../../up/"),
        Entry { kind: Kind::Other(0), ..Entry::file("old/", "") },
        Entry::file("file/", "content"),
    ]);
    let index = index(&layer).unwrap();
    let entries: Vec<_> = (0..index.len()).map(|number| index.entry(number).unwrap()).collect();
    let file = &entries[0];
    assert_eq!(
        (file.path.as_str(), file.kind, file.mode, file.size),
        ("etc/passwd", FileKind::File, 0o4755, 4)
    );
    assert_eq!((file.uid, file.gid, file.mtime), (3_000_000, 0, -1));
    assert_eq!((file.user.as_deref(), file.group.as_deref()), (Some("root"), Some("größe")));
    assert_eq!((file.xattrs[0].name.as_str(), &*file.xattrs[0].value), ("user.colour", &b"blue"[..]));
    let rest: Vec<_> =
        entries[1..].iter().map(|one| (one.path.as_str(), one.kind, one.link.as_deref())).collect();
    assert_eq!(
        rest,
        [
            ("link", FileKind::Symlink, Some("../../etc/passwd")),
            ("dev/null", FileKind::CharacterDevice, None),
            ("pipe", FileKind::Fifo, None),
            ("hard", FileKind::HardLink, Some("etc/passwd")),
            ("up", FileKind::Directory, None),
            ("old", FileKind::Directory, None),
            ("file", FileKind::File, None),
        ]
    );
}

#[test]
fn whiteouts_hide_what_is_below_and_only_that() {
    let below = tar(&[
        Entry::directory("a/"),
        Entry::file("a/one", "1"),
        Entry::file("a/two", "22"),
        Entry::directory("b/"),
        Entry::file("b/three", "333"),
        Entry::file("b/sub/four", "4444"),
        Entry::file("c", "c"),
    ]);
    let above = tar(&[
        Entry::file("a/.wh.one", ""),
        Entry::directory("b/"),
        Entry::file("b/five", "55555"),
        // After what is in the same directory, and still only for lower layers.
        Entry::file("b/.wh..wh..opq", ""),
        Entry::file("c", "changed"),
        Entry::file("d", "new"),
        Entry::file(".wh.d", ""),
        Entry::file(".wh.nothing", ""),
        Entry::file(".wh..", ""),
        Entry::file(".wh...", ""),
        Entry::file("a/.wh.", ""),
        Entry::file(".wh..wh.aufs", ""),
    ]);
    let layers = [below, above];
    let tree = merged(&layers);
    assert_eq!(paths(&tree), ["a", "a/two", "b", "b/five", "c", "d"]);
    assert_eq!(read(&tree, &layers, "/c").unwrap(), b"changed");
    let c = tree.entry(tree.find(b"c", true).unwrap()).unwrap();
    assert_eq!(c.layer, Some(1));
    let mut found = changes(&layers);
    found.sort_by(|a, b| a.file.path.cmp(&b.file.path));
    assert_eq!(
        brief(&found),
        [
            (ChangeKind::Deleted, "a/one", 1),
            (ChangeKind::Changed, "b", 0),
            (ChangeKind::Added, "b/five", 5),
            (ChangeKind::Deleted, "b/sub", 4),
            (ChangeKind::Deleted, "b/three", 3),
            (ChangeKind::Changed, "c", 7),
            (ChangeKind::Added, "d", 3),
        ]
    );
    let Efficiency { total, wasted, paths, .. } = efficiency(&layers);
    assert_eq!((total, wasted), (26, 9));
    let told: Vec<_> = paths.iter().map(|one| (one.path.as_str(), one.bytes)).collect();
    assert_eq!(told, [("b/sub/four", 4), ("b/three", 3), ("a/one", 1), ("c", 1)]);
}

#[test]
fn whiteouts_make_the_directory_that_they_are_in() {
    let above =
        tar(&[Entry::file(".wh.a", ""), Entry::file("a/.wh..wh..opq", ""), Entry::file("b/c/.wh.d", "")]);
    assert_eq!(paths(&merged(&[tar(&[Entry::file("a/x", "x")]), above])), ["a", "b", "b/c"]);
    // As soon as nothing is in its way.
    let late = ["a/.wh.x", ".wh.a", "a/y"].map(|path| Entry::file(path, ""));
    assert_eq!(paths(&merged(&[tar(&[Entry::file("a", "x")]), tar(&late)])), ["a", "a/y"]);
}

#[test]
fn what_a_layer_takes_away_again_is_no_change() {
    let layer = [
        Entry::file("d/x", "x"),
        Entry::file("d", "dd"),
        Entry::file("late/y", "y"),
        Entry::directory("late/"),
        Entry::file("e/z/f", "f"),
        Entry::file("e", "e"),
        Entry::directory("e/"),
        Entry::file("e/z/g", "gg"),
    ];
    let added = [("d", 2), ("late/y", 1), ("late", 0), ("e", 0), ("e/z/g", 2)];
    assert_eq!(brief(&changes(&[tar(&layer)])), added.map(|(path, bytes)| (ChangeKind::Added, path, bytes)));
    let below = tar(&[Entry::directory("e/"), Entry::file("late/y", "")]);
    let found = changes(&[below, tar(&layer)]);
    let changed: Vec<_> = found.iter().filter(|one| one.change == ChangeKind::Changed).collect();
    assert_eq!(changed.iter().map(|one| &*one.file.path).collect::<Vec<_>>(), ["late/y", "late", "e"]);
}

#[test]
fn the_score_is_that_of_dive() {
    // Two paths: one of 100 bytes stored twice, and one of 50 that is deleted as part of its directory.
    let layers = [
        tar(&[Entry::file("a", [0; 100]), Entry::directory("d/"), Entry::file("d/b", [0; 50])]),
        tar(&[Entry::file("a", [1; 100]), Entry::file(".wh.d", "")]),
    ];
    let Efficiency { score, wasted, .. } = efficiency(&layers);
    // d/b: 50 of 50. d: its whiteout counts 50 of 50. a: 100 of 200.
    assert!((score - 200.0 / 300.0).abs() < 1e-9, "{score}");
    assert_eq!(wasted, 150);
    // a: 0 of 100. b: 50 of 50.
    for link in [Entry::symlink("a", "b"), Entry::hard_link("a", "b")] {
        let layers = [tar(&[Entry::file("a", [0; 100]), Entry::file("b", [0; 50])]), tar(&[link])];
        assert!((efficiency(&layers).score - 50.0 / 150.0).abs() < 1e-9);
    }
    assert!((efficiency(&[tar(&[])]).score - 1.0).abs() < 1e-9);
}

#[test]
fn paths_through_links_stay_inside_the_root() {
    let layers = [
        tar(&[
            Entry::directory("usr/lib/"),
            Entry::symlink("lib", "usr/lib"),
            Entry::symlink("up", "../../../usr"),
            Entry::symlink("loop", "loop2"),
            Entry::symlink("loop2", "loop"),
            Entry::symlink("gone", "/not/there"),
            Entry::file("file", "x"),
        ]),
        tar(&[
            Entry::file("lib/one", "1"),
            Entry::file("up/two", "2"),
            Entry::file("loop/three", "3"),
            Entry::file("gone/four", "4"),
            Entry::file("file/five", "5"),
            Entry::hard_link("six", "lib/one"),
            Entry::hard_link("seven", "nowhere"),
            Entry::hard_link("eight", "usr"),
            Entry::hard_link("self", "self"),
        ]),
    ];
    let tree = merged(&layers);
    let names = ["file", "gone", "lib", "loop", "loop2", "not", "not/there", "not/there/four", "six", "up"];
    let inside = ["usr", "usr/lib", "usr/lib/one", "usr/two"];
    assert_eq!(paths(&tree), [&names[..], &inside[..]].concat());
    assert_eq!(read(&tree, &layers, "lib/one").unwrap(), b"1");
    assert_eq!(read(&tree, &layers, "six").unwrap(), b"1");
    assert_eq!(tree.find(b"loop", true), None);
    let six = tree.entry(tree.find(b"six", true).unwrap()).unwrap();
    assert_eq!((six.kind, six.links), (FileKind::File, 2));
    let loops = tree.find(b"loop", false).unwrap();
    let error =
        FileReader::new(&tree, loops, layers.iter().map(|layer| recipe(layer)).collect(), Limits::default());
    assert_eq!(error.unwrap_err().code(), Code::InvalidArgument);
}

#[test]
fn a_file_replaces_a_directory_and_the_other_way_round() {
    let layers = [
        tar(&[
            Entry::file("a/b/c", "deep"),
            Entry::file("d", "file"),
            Entry::file("twice", "1"),
            Entry::file("twice", "2"),
        ]),
        tar(&[Entry::file("a", "flat"), Entry::file("d/e", "x"), Entry::directory("d/")]),
        tar(&[Entry::directory("a/"), Entry::file(".wh.d", ""), Entry::file("d/f", "y")]),
    ];
    assert_eq!(paths(&merged(&layers[..1])), ["a", "a/b", "a/b/c", "d", "twice"]);
    // What cannot be unpacked, because a file is in its way, is not there.
    assert_eq!(paths(&merged(&layers[..2])), ["a", "d", "twice"]);
    assert_eq!(paths(&merged(&layers)), ["a", "d", "d/f", "twice"]);
    assert_eq!(read(&merged(&layers), &layers, "twice").unwrap(), b"2");
}

fn sparse(format: &str) -> Vec<u8> {
    let pax = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let stored = [&b"head"[..], b"tail"].concat();
    let mut name = Entry::file("GNUSparseFile.1/name", stored.clone());
    name.pax = match format {
        "0.0" => vec![
            pax("GNU.sparse.size", "100004"),
            pax("GNU.sparse.numblocks", "2"),
            pax("GNU.sparse.offset", "0"),
            pax("GNU.sparse.numbytes", "4"),
            pax("GNU.sparse.offset", "100000"),
            pax("GNU.sparse.numbytes", "4"),
        ],
        "0.1" => vec![pax("GNU.sparse.size", "100004"), pax("GNU.sparse.map", "0,4,100000,4")],
        _ => vec![
            pax("GNU.sparse.major", "1"),
            pax("GNU.sparse.minor", "0"),
            pax("GNU.sparse.realsize", "100004"),
        ],
    };
    name.pax.push(pax("GNU.sparse.name", "real"));
    if format == "1.0" {
        let mut map = b"2\n0\n4\n100000\n4\n".to_vec();
        map.resize(512, 0);
        map.extend(stored);
        name.content = Content::Bytes(map);
    }
    tar(&[name, Entry::file("after", "it")])
}

#[test]
fn sparse_files_have_their_holes() {
    for format in ["0.0", "0.1", "1.0"] {
        for pack in [false, true] {
            let layer = if pack { gzip(&sparse(format)) } else { sparse(format) };
            let layers = [layer];
            let tree = merged(&layers);
            let mut whole = vec![0; 100_004];
            whole[..4].copy_from_slice(b"head");
            whole[100_000..].copy_from_slice(b"tail");
            assert_eq!(tree.entry(tree.find(b"real", true).unwrap()).unwrap().size, 100_004, "{format}");
            assert_eq!(read(&tree, &layers, "real").unwrap(), whole, "{format}");
            assert_eq!(read(&tree, &layers, "after").unwrap(), b"it", "{format}");
        }
    }
    let mut old = Entry::file("old", "headtail");
    old.kind = Kind::Other(b'S');
    let mut bytes = tar(&[old, Entry::file("after", "it")]);
    bytes[257..265].copy_from_slice(b"ustar  \0");
    for (at, number) in [(386, 0), (398, 4), (410, 100_000), (422, 4), (483, 100_004)] {
        bytes[at..at + 12].copy_from_slice(format!("{number:011o}\0").as_bytes());
    }
    bytes[148..156].copy_from_slice(b"        ");
    let sum: u32 = bytes[..512].iter().map(|&byte| u32::from(byte)).sum();
    bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let layers = [bytes];
    let tree = merged(&layers);
    let content = read(&tree, &layers, "old").unwrap();
    assert_eq!((content.len(), &content[..4], &content[100_000..]), (100_004, &b"head"[..], &b"tail"[..]));
    assert_eq!(read(&tree, &layers, "after").unwrap(), b"it");
}

#[test]
fn a_packed_layer_is_read_from_the_middle() {
    let files: Vec<Entry> =
        (0..40).map(|number| Entry::file(format!("{number:02}"), noise(777_777, number + 1))).collect();
    let plain = tar(&files);
    // Two members, as some compressors write.
    let (first, second) = plain.split_at(10_000_123);
    let packed = [gzip(first), gzip(second), vec![0; 100]].concat();
    let mut indexing = Indexing::new(recipe(&packed), Limits::default()).unwrap();
    while !indexing.step(1 << 20).unwrap() {}
    let tree = Rc::new(merge(vec![indexing.finish()]).unwrap());
    for number in [39, 0, 20, 13, 38] {
        let counted = Rc::new(longshore_archive::ReadAhead::new(Rc::new(packed.clone())));
        let file = tree.find(format!("{number:02}").as_bytes(), true).unwrap();
        let mut reader =
            FileReader::new(&tree, file, vec![Recipe::whole(counted.clone())], Limits::default()).unwrap();
        let content = all(|| reader.read(100_000)).unwrap();
        let expected = noise(777_777, number + 1);
        let at = content.iter().zip(&expected).position(|(a, b)| a != b);
        assert_eq!((at, content.len()), (None, expected.len()), "{number}");
        let most = 9 << 20;
        assert!(counted.reads().bytes < most, "{number}: {:?} of {}", counted.reads(), packed.len());
    }
}

#[test]
fn several_files_are_read_in_one_pass() {
    let content = |number: usize| noise(number * 1000 % 7001, u32::try_from(number).unwrap() + 1);
    let files: Vec<Entry> =
        (0..3000).map(|number| Entry::file(format!("{number:04}"), content(number))).collect();
    let plain = tar(&files);
    for layer in [gzip(&plain), plain] {
        let tree = Rc::new(merge(vec![index(&layer).unwrap()]).unwrap());
        let number = |file: usize| tree.find(format!("{file:04}").as_bytes(), true).unwrap();
        let wanted: Vec<usize> = (0..3000).filter(|file| file % 3 != 1).rev().collect();
        let numbers: Vec<usize> = wanted.iter().copied().map(number).collect();
        let counted = Rc::new(longshore_archive::ReadAhead::new(Rc::new(layer.clone())));
        let layers = vec![Recipe::whole(counted.clone())];
        let mut reader = FileReader::several(&tree, &numbers, layers, Limits::default()).unwrap();
        let (order, sizes): (Vec<usize>, Vec<u64>) = reader.files().unzip();
        let expected: Vec<usize> = wanted.iter().rev().copied().collect();
        assert_eq!(order, expected.iter().copied().map(number).collect::<Vec<_>>());
        assert_eq!(sizes, expected.iter().map(|&file| content(file).len() as u64).collect::<Vec<_>>());
        let bytes = all(|| reader.read(1 << 20)).unwrap();
        assert!(bytes == expected.into_iter().flat_map(content).collect::<Vec<_>>());
        assert!(
            counted.reads().bytes <= layer.len() as u64 + (1 << 20),
            "{:?} of {}",
            counted.reads(),
            layer.len()
        );
    }
}

#[test]
fn what_is_wrong_with_a_layer_is_told() {
    let code = |bytes: &[u8]| index(bytes).unwrap_err().code();
    let layer = tar(&[Entry::file("a", noise(5000, 3)), Entry::file("b", "b")]);
    assert_eq!(code(&layer[..3000]), Code::Truncated);
    let packed = gzip(&layer);
    assert_eq!(code(&packed[..packed.len() / 2]), Code::Truncated);
    let mut damaged = packed.clone();
    let len = damaged.len();
    damaged[len - 6] ^= 1;
    assert_eq!(code(&damaged), Code::InvalidCompression);
    assert_eq!(code(&tar(&[Entry { bad_checksum: true, ..Entry::file("a", "") }])), Code::InvalidTar);
    assert_eq!(code(&tar(&[Entry::file("a/".repeat(3000), "")])), Code::LimitExceeded);
    let huge =
        Entry { pax: vec![("size".to_owned(), "9007199254740993".to_owned())], ..Entry::file("a", "") };
    assert_eq!(code(&tar(&[huge])), Code::InvalidTar);
    let zeros = gzip(&vec![0; 200 << 20]);
    assert!(index(&zeros).unwrap().is_empty());
    assert!(index(b"").unwrap().is_empty());
    let map = |map: &str| {
        let pax = [("GNU.sparse.size", "10"), ("GNU.sparse.map", map)];
        let pax = pax.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
        code(&tar(&[Entry { pax, ..Entry::file("a", "12345") }]))
    };
    for wrong in ["0,6", "0,4", "0,2,1,2", "9,5", "0", "x,1", "18446744073709551615,2"] {
        assert_eq!(map(wrong), Code::InvalidTar, "{wrong}");
    }
}

#[test]
fn the_padding_of_the_last_file_may_be_left_out() {
    let layer = tar(&[Entry::file("a", "content")]);
    for end in [519, 800] {
        for layer in [layer[..end].to_vec(), gzip(&layer[..end])] {
            let layers = [layer];
            assert_eq!(read(&merged(&layers), &layers, "a").unwrap(), b"content");
        }
    }
    assert_eq!(index(&layer[..518]).unwrap_err().code(), Code::Truncated);
    assert_eq!(index(&gzip(&layer[..518])).unwrap_err().code(), Code::Truncated);
}

#[test]
fn a_million_entries_are_small() {
    let mut bytes = Vec::new();
    let mut writer = longshore_fixtures::TarWriter::new(&mut bytes);
    for number in 0..1_000_000 {
        writer
            .append(&Entry::file(format!("usr/share/package-{}/file-{number:07}", number / 50), ""))
            .unwrap();
    }
    writer.finish().unwrap();
    let index = index(&bytes).unwrap();
    drop(bytes);
    assert_eq!(index.len(), 1_000_000);
    assert!(index.memory() < 50 << 20, "{}", index.memory());
    let tree = merge(vec![index]).unwrap();
    assert_eq!(tree.len(), 1_000_000 + 20_000 + 3);
    assert!(tree.find(b"usr/share/package-19999/file-0999999", true).is_some());
    assert!(tree.memory() < 64 << 20, "{}", tree.memory());
}

#[test]
fn every_file_may_have_an_owner_of_its_own() {
    let file = |number: u64| {
        let pax = vec![("uid".to_owned(), number.to_string())];
        Entry { pax, ..Entry::file("a", "") }
    };
    let index = index(&tar(&(0..70_000).map(file).collect::<Vec<_>>())).unwrap();
    assert!((0..70_000).all(|number| index.entry(number).unwrap().uid == number as u64));
}

#[test]
fn a_folder_is_exported_by_its_name() {
    let layers = [tar(&[
        Entry::directory("usr/share/doc/"),
        Entry::file("usr/share/doc/b", "text"),
        Entry::hard_link("usr/share/doc/c", "usr/share/doc/b"),
        Entry::file(format!("usr/share/doc/{}", "long".repeat(40)), "x"),
    ])];
    let tree = merged(&layers);
    let again = [exported(&tree, &layers, "/usr/share/doc")];
    let inner = merged(&again);
    let long = format!("doc/{}", "long".repeat(40));
    assert_eq!(paths(&inner), ["doc", "doc/b", "doc/c", long.as_str()]);
    assert_eq!(inner.entry(inner.find(b"doc/c", true).unwrap()).unwrap().links, 2);
    assert_eq!(read(&inner, &again, "doc/c").unwrap(), b"text");
}

/// A fuzz target found it: the first name of a tar stands where a compressed file says what it is.
#[test]
fn names_that_look_compressed_are_exported_all_the_same() {
    for name in ["BZh91", "\u{4}\"M\u{18}", "dir"] {
        let layers = [tar(&[
            Entry::file(format!("./{name}/file"), "text"),
            Entry::file(format!("./{name}/BZh"), "x"),
        ])];
        let tree = merged(&layers);
        let again = [exported(&tree, &layers, &format!("/{name}"))];
        let inner = merged(&again);
        assert_eq!(paths(&inner), paths(&tree));
        assert_eq!(read(&inner, &again, &format!("{name}/file")).unwrap(), b"text");
    }
}

#[test]
fn files_are_found_by_name_and_by_content() {
    let mut large = noise(600_000, 9);
    large[262_140..262_150].copy_from_slice(b"the secret");
    let layers = [gzip(&tar(&[
        Entry::file("etc/passwd", "root"),
        Entry::file("etc/ssh/id_rsa", "the secret key"),
        Entry::file("var/large", large),
        Entry::hard_link("var/other", "var/large"),
        Entry::file("a+b.txt", ""),
    ]))];
    let tree = merged(&layers);
    let find = |glob: Option<&str>, regex: Option<&str>, bytes: Option<&[u8]>| {
        let query = Query {
            glob: glob.map(str::to_owned),
            regex: regex.map(str::to_owned),
            bytes: bytes.map(<[u8]>::to_vec),
        };
        let found = searched(&tree, &layers, &query);
        found.into_iter().map(|one| (one.file.path, one.offset)).collect::<Vec<_>>()
    };
    let names =
        |found: Vec<(String, Option<u64>)>| found.into_iter().map(|(path, _)| path).collect::<Vec<_>>();
    assert_eq!(names(find(Some("id_*"), None, None)), ["etc/ssh/id_rsa"]);
    assert_eq!(names(find(Some("etc/*"), None, None)), ["etc/passwd", "etc/ssh"]);
    assert_eq!(names(find(Some("/etc/**"), None, None)), ["etc/passwd", "etc/ssh", "etc/ssh/id_rsa"]);
    assert_eq!(names(find(Some("**/id_[a-r]sa"), None, None)), ["etc/ssh/id_rsa"]);
    assert_eq!(names(find(Some("a+?.txt"), None, None)), ["a+b.txt"]);
    assert_eq!(
        names(find(None, Some("^/(etc|var)/[^/]+$"), None)),
        ["etc/passwd", "etc/ssh", "var/large", "var/other"]
    );
    let secret = [("etc/ssh/id_rsa".to_owned(), Some(0)), ("var/large".to_owned(), Some(262_140))];
    assert_eq!(find(None, None, Some(b"the secret")), secret);
    assert_eq!(find(Some("id_*"), None, Some(b"the secret")), secret[..1]);
    assert_eq!(names(find(Some("a[]+]b.txt"), None, None)), ["a+b.txt"]);
    let files = ["a+b.txt", "etc/passwd", "etc/ssh/id_rsa", "var/large", "var/other"];
    assert_eq!(names(find(None, None, Some(b""))), files);
    // What is searched is not among what is found, unless it is a file.
    let all =
        [&files[..1], &["etc"], &files[1..2], &["etc/ssh"], &files[2..3], &["var"], &files[3..]].concat();
    assert_eq!(names(find(None, Some("."), None)), all);
    for (path, expected) in [("", &all[..]), ("etc/ssh", &["etc/ssh/id_rsa"]), ("var/large", &["var/large"])]
    {
        let number = tree.find(path.as_bytes(), false).unwrap();
        let found = searched_in(&tree, number, &layers, &Query::default());
        assert_eq!(found.iter().map(|one| &*one.file.path).collect::<Vec<_>>(), expected);
    }
    let glob = |glob: &str| Query { glob: Some(glob.to_owned()), ..Query::default() };
    let regex = Query { regex: Some("(".to_owned()), ..Query::default() };
    for wrong in [regex, glob("["), glob("[]"), glob("a[b"), glob("[!"), glob("[z-a]")] {
        let error = Search::<Bytes>::new(tree.clone(), 0, &wrong, Vec::new(), Limits::default()).unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument, "{wrong:?}");
    }
}

#[test]
fn only_directories_are_listed() {
    let layers = [tar(&[Entry::file("etc/passwd", "root"), Entry::symlink("to-etc", "etc")])];
    let tree = merged(&layers);
    for path in ["", "/", "etc", "/to-etc/"] {
        tree.directory(path.as_bytes()).unwrap();
    }
    for (path, code) in [("etc/passwd", Code::NotADirectory), ("nothing", Code::NoSuchFile)] {
        assert_eq!(tree.directory(path.as_bytes()).unwrap_err().code(), code, "{path}");
    }
}

#[test]
fn two_file_systems_are_compared_by_what_they_hold() {
    let before = [tar(&[
        Entry::file("same", "content"),
        Entry::file("touched", "content").mtime(5),
        Entry::file("content", "one"),
        Entry::file("mode", "x"),
        Entry::file("gone/deep", "x"),
        Entry::symlink("link", "a"),
        Entry::file("kind", "x"),
        Entry::file("implied/x", ""),
        Entry::file("told/x", ""),
    ])];
    let after = [gzip(&tar(&[
        Entry::symlink("link", "b"),
        Entry::file("touched", "content").mtime(6),
        Entry::file("same", "content"),
        Entry::file("content", "two"),
        Entry::file("mode", "x").mode(0o755),
        Entry::directory("kind/"),
        Entry::file("new", "x"),
        Entry { pax: vec![("uid".to_owned(), "5".to_owned())], ..Entry::directory("implied/").mode(0o1777) },
        Entry::file("implied/x", ""),
        Entry::directory("told/"),
        Entry::file("told/x", ""),
    ]))];
    let side = |layers: &[Vec<u8>]| Side {
        tree: merged(layers),
        layers: layers.iter().map(|one| recipe(one)).collect(),
    };
    let mut comparing = Comparing::new(side(&before), side(&after), Limits::default());
    while !comparing.step(100).unwrap() {}
    let found: Vec<_> = (0..comparing.len()).map(|number| comparing.get(number).unwrap()).collect();
    let path = |one: &longshore_archive::Difference| {
        one.after.as_ref().or(one.before.as_ref()).map(|file| file.path.clone()).unwrap()
    };
    let told: Vec<_> = found.iter().map(|one| (one.change, path(one), one.what.join(" "))).collect();
    let expected = [
        (ChangeKind::Changed, "content", "content"),
        (ChangeKind::Deleted, "gone", ""),
        (ChangeKind::Deleted, "gone/deep", ""),
        (ChangeKind::Changed, "implied", "mode owner"),
        (ChangeKind::Changed, "kind", "kind"),
        (ChangeKind::Changed, "link", "link"),
        (ChangeKind::Changed, "mode", "mode"),
        (ChangeKind::Added, "new", ""),
    ];
    assert_eq!(told, expected.map(|(change, path, what)| (change, path.to_owned(), what.to_owned())));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_is_exported_is_what_is_seen(layers in prop::collection::vec(prop::collection::vec(entry(), 0..12), 1..4), pack in any::<bool>()) {
        let layers: Vec<Vec<u8>> = layers.iter().map(|layer| tar(layer)).collect();
        let packed: Vec<Vec<u8>> = layers.iter().map(|layer| if pack { gzip(layer) } else { layer.clone() }).collect();
        let tree = merged(&packed);
        let expected = seen(&tree, &packed);
        prop_assert_eq!(&seen(&merged(&layers), &layers), &expected);
        // Names that would be whiteouts cannot come out of a merge, so the tar of it is a layer that says the same.
        prop_assert!(expected.keys().all(|path| !path.contains(".wh.")));
        let again = [exported(&tree, &packed, "/")];
        prop_assert_eq!(&seen(&merged(&again), &again), &expected);
        // It adds all of it, and differs in nothing.
        let added = changes(&again);
        prop_assert!(added.iter().all(|one| one.change == ChangeKind::Added));
        prop_assert_eq!(added.len(), expected.len());
        let side = |layers: &[Vec<u8>]| Side { tree: merged(layers), layers: layers.iter().map(|one| recipe(one)).collect() };
        let mut comparing = Comparing::new(side(&packed), side(&again), Limits::default());
        while !comparing.step(1000).unwrap() {}
        prop_assert!(comparing.is_empty(), "{:?}", comparing.get(0));
        // Sorted, parents first, and in bounds.
        let numbers: Vec<usize> = (0..tree.len()).flat_map(|number| tree.children(number).collect::<Vec<_>>()).collect();
        prop_assert_eq!(numbers.len() + 1, tree.len());
        let Efficiency { score, total, wasted, .. } = efficiency(&layers);
        prop_assert!((0.0..=1.0).contains(&score));
        prop_assert!(wasted <= total);
    }

    #[test]
    fn damage_never_panics(layers in prop::collection::vec(prop::collection::vec(entry(), 1..8), 1..3), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let layers: Vec<Vec<u8>> = layers.iter().map(|layer| {
            let mut bytes = tar(layer);
            let at = at.index(bytes.len());
            bytes[at] = byte;
            bytes
        }).collect();
        let Ok(indexes) = layers.iter().map(|layer| index(layer)).collect::<Result<Vec<_>>>() else { return Ok(()) };
        let tree = Rc::new(merge(indexes).unwrap());
        for number in 0..tree.len() {
            let layers = layers.iter().map(|layer| recipe(layer)).collect();
            if let Ok(mut reader) = FileReader::new(&tree, number, layers, Limits::default()) {
                let _ = all(|| reader.read(1000));
            }
        }
    }
}
