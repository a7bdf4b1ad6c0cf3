//! Layers squashed, and files dropped from them: what is to be seen stays the same, and what went is nowhere.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failure should stop the test"
)]

mod layers;
mod rewriting;
mod saving;

use std::collections::BTreeSet;

use layers::{entries, entry, gzip, merged, read};
use longshore_archive::{Code, FileEntry, FileKind, Packing};
use longshore_fixtures::{Content, Entry, Kind, NameForm, tar};
use proptest::prelude::*;
use rewriting::{How, rewritten};

fn squashed(layers: &[Vec<u8>], first: usize) -> Vec<Vec<u8>> {
    rewritten(layers, &How::Squash(first)).unwrap().0
}

fn dropped(layers: &[Vec<u8>], paths: &[&str]) -> Vec<Vec<u8>> {
    rewritten(layers, &How::Drop(paths)).unwrap().0
}

/// A layer's entries, in its order.
fn told(layer: &[u8]) -> Vec<FileEntry> {
    let index = layers::index(layer).unwrap();
    (0..index.len()).map(|number| index.entry(number).unwrap()).collect()
}

/// Their paths.
fn listed(layer: &[u8]) -> Vec<String> {
    told(layer).into_iter().map(|file| file.path).collect()
}

/// All that the merged file system says of its files, but for the layers that they are of.
fn said(layers: &[Vec<u8>]) -> Vec<(FileEntry, Vec<u8>)> {
    let tree = merged(layers);
    let one = |entry: FileEntry| {
        let is_file = entry.kind == FileKind::File;
        let content = if is_file { read(&tree, layers, &entry.path).unwrap() } else { Vec::new() };
        let link = entry.link.clone().filter(|_| entry.kind == FileKind::Symlink);
        (FileEntry { layer: None, link, ..entry }, content)
    };
    entries(&tree).into_iter().map(one).collect()
}

#[test]
fn entries_that_stay_are_copied_with_their_extension_headers() {
    let pax = vec![("SCHILY.xattr.user.colour".to_owned(), "blue".to_owned())];
    let kept = Entry { pax, owner: "root", ..Entry::file("./etc//passwd", "root").mode(0o4755) };
    let long = Entry { name_form: NameForm::Gnu, ..Entry::symlink("/link", "../etc/passwd") };
    let device = Entry { kind: Kind::Other(b'3'), ..Entry::file("dev/null", "") };
    let layers = [
        tar(&[Entry::directory("etc/"), kept.clone(), Entry::file("etc/old", "old")]),
        tar(&[long.clone(), Entry::file("etc/old", "new"), Entry::directory("dev/"), device.clone()]),
    ];
    let expected = tar(&[
        Entry::directory("etc/"),
        kept,
        long,
        Entry::file("etc/old", "new"),
        Entry::directory("dev/"),
        device,
    ]);
    assert!(squashed(&layers, 0) == [expected.clone()]);
    // Whatever they are packed with.
    let packed = [gzip(&layers[0]), saving::packed(&layers[1], Packing::Zstd)];
    let (after, rewrite) = rewritten(&packed, &How::Squash(0)).unwrap();
    assert_eq!(rewrite.layers[0].packing, Packing::Zstd);
    assert!(saving::unpacked(&after[0]).unwrap() == expected);
    assert_eq!((rewrite.gone_count, rewrite.gone_bytes, rewrite.gone[0].path.as_str()), (1, 3, "etc/old"));
    let [layer] = &rewrite.layers[..] else { panic!("{rewrite:?}") };
    assert_eq!((layer.entries_before, layer.entries_after), (7, 6));
    assert_eq!(layer.after, expected.len() as u64);
}

#[test]
fn all_layers_as_one_hide_nothing() {
    let layers = [
        tar(&[Entry::directory("a/"), Entry::file("a/one", "1"), Entry::file("b", "b")]),
        tar(&[Entry::file("a/.wh..wh..opq", ""), Entry::file("a/two", "2"), Entry::file(".wh.b", "")]),
    ];
    assert_eq!(listed(&squashed(&layers, 0)[0]), ["a", "a/two"]);
}

#[test]
fn padding_that_is_left_out_is_filled_in() {
    let whole = [tar(&[Entry::file("a", "1")]), tar(&[Entry::file("b", "2")])];
    for pack in [<[u8]>::to_vec, gzip] {
        let short: Vec<_> = whole.iter().map(|layer| pack(&layer[..513])).collect();
        let after = saving::unpacked(&squashed(&short, 0)[0]).unwrap();
        assert!([after] == squashed(&whole, 0)[..]);
    }
}

#[test]
fn what_hides_something_below_stays() {
    let below = tar(&[
        Entry::directory("a/"),
        Entry::file("a/one", "1"),
        Entry::directory("a/in/"),
        Entry::file("a/in/x", "x"),
        Entry::directory("b/"),
        Entry::file("b/one", "1"),
        Entry::file("b/two", "2"),
        Entry::file("c", "c"),
    ]);
    let layers = [
        below.clone(),
        tar(&[
            Entry::file(".wh.a", ""),
            Entry::directory("b/"),
            Entry::file("b/.wh.one", ""),
            Entry::file("d", "d"),
        ]),
        // What was replaced as a whole is opaque; what the layers added themselves needs no whiteout.
        tar(&[
            Entry::directory("a/").mode(0o700),
            Entry::file("a/new", "n"),
            Entry::file(".wh.d", ""),
            Entry::file(".wh.c", ""),
        ]),
    ];
    let after = squashed(&layers, 1);
    assert!(after[0] == below);
    assert_eq!(listed(&after[1]), [".wh.c", "a/.wh..wh..opq", "b/.wh.one", "b", "a", "a/new"]);
    assert_eq!(said(&after), said(&layers));
}

#[test]
fn a_file_stays_that_has_lost_its_first_name() {
    let sparse = vec![
        ("GNU.sparse.major".to_owned(), "1".to_owned()),
        ("GNU.sparse.minor".to_owned(), "0".to_owned()),
        ("GNU.sparse.name".to_owned(), "holes".to_owned()),
        ("GNU.sparse.realsize".to_owned(), "3000000".to_owned()),
    ];
    let mut stored = b"1\n1000000\n5\n".to_vec();
    stored.resize(512, 0);
    stored.extend(b"solid");
    let layers = [
        tar(&[
            Entry::file("a", "content"),
            Entry { pax: sparse, ..Entry::file("GNUSparseFile.0/holes", stored) },
        ]),
        tar(&[Entry::hard_link("b", "a"), Entry::hard_link("c", "b"), Entry::hard_link("more", "holes")]),
        tar(&[Entry::file(".wh.a", ""), Entry::file(".wh.holes", "")]),
    ];
    for first in [0, 1] {
        let after = squashed(&layers, first);
        assert_eq!(said(&after), said(&layers));
        assert!(after[first].len() < 10_000, "a hole takes no room");
    }
}

#[test]
fn a_path_through_a_link_becomes_its_own() {
    let layers = [
        tar(&[
            Entry::directory("usr/"),
            Entry::directory("usr/lib/"),
            Entry::symlink("lib", "usr/lib"),
            Entry::file("usr/lib/two", "2"),
        ]),
        tar(&[Entry::file("lib/one", "1"), Entry::file("lib/.wh.two", "")]),
        tar(&[Entry::file(".wh.lib", "")]),
    ];
    for first in [0, 1] {
        let after = squashed(&layers, first);
        assert_eq!(said(&after), said(&layers));
        assert!(listed(&after[first]).contains(&"usr/lib/one".to_owned()));
    }
    // Here it is the link that goes.
    let after = dropped(&layers, &["lib"]);
    assert_eq!(said(&after), said(&layers));
    assert_eq!(listed(&after[1]), ["usr/lib/one", "usr/lib/.wh.two"]);
    assert_eq!(listed(&after[2]), [""; 0]);
}

#[test]
fn what_is_dropped_goes_with_all_its_names_and_whiteouts() {
    let layers = [
        tar(&[
            Entry::directory("app/"),
            Entry::file("app/secret", "first"),
            Entry::file("app/code", "code"),
            Entry::file("copy", "other"),
        ]),
        tar(&[Entry::file("app/secret", "second"), Entry::hard_link("copy", "app/secret")]),
        tar(&[Entry::file("app/.wh.secret", "")]),
        tar(&[Entry::file("app/code", "more")]),
    ];
    let (after, rewrite) = rewritten(&layers, &How::Drop(&["/app/secret"])).unwrap();
    assert_eq!(listed(&after[0]), ["app", "app/code", "copy"]);
    // Another name of it hid something.
    assert_eq!(listed(&after[1]), [".wh.copy"]);
    assert_eq!(after[2], [0; 1024]);
    assert!(after[3] == layers[3]);
    assert_eq!(rewrite.layers.iter().map(|layer| layer.first).collect::<Vec<_>>(), [0, 1, 2]);
    let gone: Vec<_> = rewrite.gone.iter().map(|file| (file.layer, file.path.as_str())).collect();
    assert_eq!(gone, [(0, "app/secret"), (1, "app/secret"), (1, "copy"), (2, "app/.wh.secret")]);
    // A folder goes with all that is in it.
    let after = dropped(&layers, &["app"]);
    assert_eq!(after.iter().map(|layer| listed(layer).len()).collect::<Vec<_>>(), [1, 1, 0, 0]);
}

#[test]
fn a_path_is_found_through_links_of_any_layer() {
    let layers = [
        tar(&[Entry::file("run/secret", "hidden"), Entry::symlink("var", "run")]),
        tar(&[Entry::file(".wh.var", ""), Entry::file(".wh.run", "")]),
    ];
    // The directory that only the path told of stays.
    assert_eq!(listed(&dropped(&layers, &["var/secret"])[0]), ["run", "var"]);
}

#[test]
fn what_cannot_be_is_refused() {
    let layers = [tar(&[Entry::file("a", "a")]), tar(&[Entry::file("b", "b")])];
    let code = |how: How<'_>| rewritten(&layers, &how).unwrap_err().code();
    assert_eq!(code(How::Squash(1)), Code::InvalidArgument);
    assert_eq!(code(How::Squash(9)), Code::InvalidArgument);
    assert_eq!(code(How::Drop(&[])), Code::InvalidArgument);
    assert_eq!(code(How::Drop(&["/"])), Code::InvalidArgument);
    assert_eq!(code(How::Drop(&["a", "c"])), Code::NoSuchFile);
}

/// What layers hold, and how each is packed.
fn some_layers() -> impl Strategy<Value = Vec<(Vec<Entry>, Packing)>> {
    let packing = prop::sample::select(vec![Packing::None, Packing::Gzip, Packing::Zstd]);
    prop::collection::vec((prop::collection::vec(entry(), 0..12), packing), 2..5)
}

fn written(layers: &[(Vec<Entry>, Packing)]) -> Vec<Vec<u8>> {
    layers.iter().map(|(entries, packing)| saving::packed(&tar(entries), *packing)).collect()
}

/// Whether a hard link leads to what another one later in the layer may replace: dropping that may take the first along
/// (docs/security.md). Docker refuses a layer that has a path twice.
fn has_lost_target(entries: &[Entry]) -> bool {
    let name = |path: &str| path.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned();
    entries.iter().enumerate().any(|(number, entry)| match &entry.kind {
        Kind::HardLink(target) => entries[number + 1..]
            .iter()
            .any(|later| matches!(later.kind, Kind::HardLink(_)) && name(&later.path) == name(target)),
        _ => false,
    })
}

#[test]
fn no_whiteout_makes_what_was_dropped() {
    let through = tar(&[Entry::symlink("link", "a"), Entry::file("link/.wh.x", ""), Entry::file("b", "")]);
    assert_eq!(listed(&dropped(&[through], &["a"])[0]), ["link", "b"]);
    // It takes away what its way leads through.
    let layers = [tar(&[Entry::symlink("link", "a/b/..")]), tar(&[Entry::file("link/.wh.b", "")])];
    assert!(listed(&dropped(&layers, &["a"])[1]).is_empty());
    // A file is in its way, which goes.
    let below = tar(&[Entry::file("a", "x"), Entry::hard_link("b", "a")]);
    let layers = [below, tar(&[Entry::file("a/.wh.x", ""), Entry::file("c", "")])];
    assert_eq!(
        dropped(&layers, &["b"]).iter().map(|layer| listed(layer)).collect::<Vec<_>>(),
        [&[][..], &["c"]]
    );
    // What it has made for others stays.
    let layers =
        [tar(&[Entry::file("d/x", "")]), tar(&[Entry::file(".wh.d", ""), Entry::file("d/.wh.x", "")])];
    assert_eq!(listed(&dropped(&layers, &["d/x"])[1]), [".wh.d", "d"]);
}

#[test]
fn one_name_and_one_directory_after_the_other_are_linear() {
    let many = 200_000;
    let mut links = vec![Entry::file("secret", "s")];
    links.extend((0..many).map(|_| Entry::hard_link("name", "secret")));
    assert_eq!(listed(&dropped(&[tar(&links)], &["secret"])[0]), [".wh.name"]);
    let path = |number: u32| format!("{number}/file");
    let below: Vec<_> = (0..many).map(|number| Entry::file(path(number), "")).collect();
    let hiding: Vec<_> = (0..many).map(|number| Entry::file(format!("{number}/.wh.file"), "")).collect();
    let after = squashed(&[tar(&below), tar(&hiding), tar(&[])], 1);
    assert_eq!(listed(&after[1]).len(), many as usize);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn squashing_keeps_what_is_to_be_seen(layers in some_layers(), from in any::<prop::sample::Index>()) {
        let layers = written(&layers);
        let first = from.index(layers.len() - 1);
        let (after, rewrite) = rewritten(&layers, &How::Squash(first)).unwrap();
        prop_assert_eq!(after.len(), first + 1);
        prop_assert!(after[..first] == layers[..first]);
        prop_assert_eq!(said(&after), said(&layers));
        let paths = listed(&after[first]);
        prop_assert!(first > 0 || paths.iter().all(|path| !path.contains(".wh.")), "{:?}", paths);
        prop_assert_eq!(rewrite.layers[0].entries_after, paths.len());
        // Docker refuses a layer that has a path twice.
        prop_assert_eq!(paths.iter().collect::<BTreeSet<_>>().len(), paths.len());
        // The same again.
        prop_assert!(rewritten(&layers, &How::Squash(first)).unwrap().0 == after);
    }
    #[test]
    fn dropping_leaves_nothing_and_takes_nothing_else(layers in some_layers(), which in any::<prop::sample::Index>()) {
        prop_assume!(!layers.iter().any(|(entries, _)| has_lost_target(entries)));
        let mut layers = layers;
        // Every file and every link is one that can be told from all others.
        for (number, entry) in layers.iter_mut().flat_map(|(entries, _)| entries).enumerate() {
            match &mut entry.kind {
                Kind::File => entry.content = Content::Bytes(format!("[secret {number}]").into()),
                Kind::Symlink(target) => {
                    *target = format!("{}{}", target.trim_end_matches('/'), "/".repeat(number + 1));
                }
                _ => {}
            }
        }
        // All that ever is there while the layers are unpacked.
        let mut seen = Vec::new();
        let mut untold = BTreeSet::new();
        for (number, (of_layer, packing)) in layers.iter().enumerate() {
            for count in 1..=of_layer.len() {
                let mut layers = layers[..=number].to_vec();
                layers[number] = (of_layer[..count].to_vec(), *packing);
                let layers = written(&layers);
                seen.extend(said(&layers));
                let implied = entries(&merged(&layers)).into_iter().filter(|file| file.layer.is_none());
                untold.extend(implied.map(|file| file.path));
            }
        }
        let layers = written(&layers);
        let left: Vec<_> = (1..=layers.len()).flat_map(|count| said(&layers[..count])).collect();
        let paths: BTreeSet<&str> = left.iter().map(|(file, _)| &*file.path).filter(|path| !path.is_empty()).collect();
        prop_assume!(!paths.is_empty());
        let path = *which.get(&paths.into_iter().collect::<Vec<_>>());
        let is_below = |file: &FileEntry| file.path == path || file.path.starts_with(&format!("{path}/"));
        let what = |(file, content): &(FileEntry, Vec<u8>)| (content.clone(), file.link.clone());
        let gone: BTreeSet<_> = seen
            .iter()
            .filter(|(file, _)| is_below(file) && file.kind != FileKind::Directory)
            .map(what)
            .collect();
        // Whiteouts may take away directories that are the way to it, or that no entry tells of.
        let is_gone = |one: &(FileEntry, Vec<u8>)| is_below(&one.0) || gone.contains(&what(one));
        let ways: Vec<String> = seen.iter().filter(|one| is_gone(one)).map(|(file, _)| file.path.clone()).collect();
        let is_way = |file: &FileEntry| {
            let is_above = || ways.iter().any(|way| way.starts_with(&format!("{}/", file.path)));
            file.kind == FileKind::Directory && (untold.contains(&file.path) || is_above())
        };
        let others = |layers: &[Vec<u8>]| {
            said(layers).into_iter().filter(|one| !is_gone(one) && !is_way(&one.0)).collect::<Vec<_>>()
        };
        let after = dropped(&layers, &[path]);
        prop_assert_eq!(others(&after), others(&layers));
        prop_assert!(!said(&after).iter().any(is_gone));
        prop_assert_eq!(after.len(), layers.len());
        for (before, after) in layers.iter().zip(&after) {
            let bytes = saving::unpacked(after).unwrap();
            for (secret, _) in gone.iter().filter(|(secret, _)| !secret.is_empty()) {
                prop_assert!(!bytes.windows(secret.len()).any(|window| window == secret));
            }
            prop_assert!(before == after || told(before) != told(after));
        }
        prop_assert!(dropped(&layers, &[path]) == after);
    }
}
