//! A container's files against a model of a file system, and its layer against both.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failure should stop the test"
)]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use longshore_archive::{
    Code, FileEntry, FileKind, FileReader, Limits, Recipe, SharedIndex, Source, Tree, index_layer, merge,
    sha256,
};
use longshore_engine::{Applied, Attributes, Content, Edit, LayerPart, Node, Operation, Overlay, path_bytes};
use longshore_fixtures::{Entry, Kind, tar};
use proptest::prelude::*;

type Bytes = Rc<Vec<u8>>;

const NOW: i64 = 1_600_000_000;

/// Layers, and the tree that they come to.
#[derive(Clone)]
struct Layers {
    data: Vec<Recipe<Bytes>>,
    indexes: Vec<SharedIndex>,
    tree: Rc<Tree>,
}

impl Layers {
    fn of(layers: Vec<Vec<u8>>) -> Self {
        let data: Vec<_> = layers.into_iter().map(|bytes| Recipe::whole(Rc::new(bytes))).collect();
        let indexes: Vec<_> =
            data.iter().map(|data| index_layer(data.clone(), Limits::default()).unwrap()).collect();
        let tree = Rc::new(merge(indexes.clone()).unwrap());
        Self { data, indexes, tree }
    }

    fn read(&self, number: usize) -> Vec<u8> {
        let mut reader = FileReader::new(&self.tree, number, self.data.clone(), Limits::default()).unwrap();
        let mut bytes = Vec::new();
        while let Some(recipe) = reader.read(1 << 20).unwrap() {
            let at = bytes.len();
            bytes.resize(at + usize::try_from(recipe.len()).unwrap(), 0);
            recipe.read_at(0, &mut bytes[at..]).unwrap();
        }
        bytes
    }

    /// What a process would see of every file.
    fn files(&self) -> Files {
        let file = |number: usize| {
            let FileEntry { path, kind, mode, uid, gid, mtime, link, .. } = self.tree.entry(number).unwrap();
            let content = if kind == FileKind::File { self.read(number) } else { Vec::new() };
            (path, Seen { kind, mode, uid, gid, mtime, link, content })
        };
        (1..self.tree.len()).map(file).collect()
    }
}

type Files = BTreeMap<String, Seen>;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    kind: FileKind,
    mode: u32,
    uid: u64,
    gid: u64,
    mtime: i64,
    link: Option<String>,
    content: Vec<u8>,
}

/// Without the times of directories, which a layer does not keep.
fn untimed(files: &Files) -> Files {
    let untimed = |(path, seen): (&String, &Seen)| {
        let mtime = if seen.kind == FileKind::Directory { 0 } else { seen.mtime };
        (path.clone(), Seen { mtime, ..seen.clone() })
    };
    files.iter().map(untimed).collect()
}

fn base() -> Vec<u8> {
    tar(&[
        Entry::directory("bin").mode(0o755),
        Entry::file("bin/sh", "shell").mode(0o4755),
        Entry::directory("etc"),
        Entry::file("etc/motd", "hello"),
        Entry::directory("etc/d"),
        Entry::file("etc/d/x", "x"),
        Entry::directory("etc/d/e"),
        Entry::file("etc/d/e/y", "y"),
        Entry::file("etc-x", "beside"),
        Entry::symlink("link", "etc/motd"),
        Entry::symlink("to-etc", "/etc"),
        Entry::hard_link("same", "etc/motd"),
    ])
}

/// A container over layers, and a store of blobs.
struct Container {
    layers: Layers,
    overlay: Overlay,
    blobs: HashMap<String, Vec<u8>>,
    /// What the edits came to.
    rows: BTreeMap<String, Node>,
}

impl Container {
    fn new() -> Self {
        let layers = Layers::of(vec![base()]);
        let overlay = Overlay::new(layers.tree.clone(), []).unwrap();
        Self { layers, overlay, blobs: HashMap::new(), rows: BTreeMap::new() }
    }

    /// Keeps a content between others, in one blob.
    fn keep(&mut self, bytes: &[u8]) -> Content {
        let blob = [b"before".as_slice(), bytes, b"after"].concat();
        let (digest, size) = (sha256(&blob), blob.len() as u64);
        self.blobs.insert(digest.clone(), blob);
        Content { digest, size, offset: 6, length: bytes.len() as u64 }
    }

    /// Does operations as an edge does: contents first that have to be copied.
    fn apply(&mut self, operations: &[Operation]) -> longshore_archive::Result<Edit> {
        let edit = match self.overlay.apply(operations, NOW)? {
            Applied::Edited(edit) => edit,
            Applied::Wanting { image, .. } => {
                self.copy(image);
                let Applied::Edited(edit) = self.overlay.apply(operations, NOW)? else {
                    panic!("still wanting")
                };
                edit
            }
        };
        self.take(&edit);
        Ok(edit)
    }

    fn copy(&mut self, numbers: Vec<usize>) {
        for number in numbers {
            let bytes = self.layers.read(number);
            let content = self.keep(&bytes);
            self.overlay.copied(number, content);
        }
    }

    /// Unpacks a tar as an edge does.
    fn unpack(&mut self, tar: &[u8], directory: &str) -> longshore_archive::Result<()> {
        let data = Recipe::whole(Rc::new(tar.to_vec()));
        let index = index_layer(data.clone(), Limits::default()).unwrap();
        let files = Layers { data: vec![data], indexes: Vec::new(), tree: Rc::new(Tree::of_tar(index)) };
        let mut contents = HashMap::new();
        loop {
            match self.overlay.unpack(&files.tree, &contents, directory.as_bytes())? {
                Applied::Edited(edit) => {
                    self.take(&edit);
                    return Ok(());
                }
                Applied::Wanting { image, tar } => {
                    self.copy(image);
                    contents.extend(tar.into_iter().map(|number| (number, self.keep(&files.read(number)))));
                }
            }
        }
    }

    fn take(&mut self, edit: &Edit) {
        self.rows.extend(edit.put.iter().cloned());
        for path in &edit.delete {
            assert!(self.rows.remove(path).is_some());
        }
    }

    fn layer(&self) -> Vec<u8> {
        let parts = self.overlay.layer().map(|part| match part {
            LayerPart::Bytes(bytes) => bytes,
            LayerPart::Content(Content { digest, offset, length, .. }) => {
                let range = usize::try_from(offset).unwrap()..usize::try_from(offset + length).unwrap();
                self.blobs[&digest][range].to_vec()
            }
        });
        parts.collect::<Vec<_>>().concat()
    }

    fn committed(&self) -> Layers {
        let layers = [base()].into_iter().chain((!self.overlay.is_empty()).then(|| self.layer()));
        Layers::of(layers.collect())
    }

    fn diff(&self) -> Vec<String> {
        self.overlay.diff().iter().map(ToString::to_string).collect()
    }

    fn write(&mut self, path: &str, text: &str) -> Operation {
        let content = self.keep(text.as_bytes());
        Operation::Write { path: path.into(), content, attributes: Attributes::default() }
    }
}

fn mkdir(path: &str) -> Operation {
    Operation::Mkdir { path: path.into(), parents: false, attributes: Attributes::default() }
}

fn symlink(path: &str, target: &str) -> Operation {
    Operation::Symlink { path: path.into(), target: target.into() }
}

fn remove(path: &str) -> Operation {
    Operation::Remove { path: path.into() }
}

fn rename(from: &str, to: &str) -> Operation {
    Operation::Move { from: from.into(), to: to.into() }
}

fn chmod(path: &str, mode: u32) -> Operation {
    Operation::Change {
        path: path.into(),
        attributes: Attributes { mode: Some(mode), ..Attributes::default() },
    }
}

fn chown(path: &str, uid: u64) -> Operation {
    Operation::Change {
        path: path.into(),
        attributes: Attributes { uid: Some(uid), ..Attributes::default() },
    }
}

#[test]
fn lines_as_docker_prints_them() {
    let mut one = Container::new();
    let motd = one.write("/to-etc/motd", "other");
    let new = one.write("/etc/a/b/f", "new");
    one.apply(&[motd, mkdir("etc/a"), mkdir("etc/a/b"), new, remove("bin/sh")]).unwrap();
    let told = ["C /bin", "D /bin/sh", "C /etc", "A /etc/a", "A /etc/a/b", "A /etc/a/b/f", "C /etc/motd"];
    assert_eq!(one.diff(), told);
    // A directory that becomes a file is one change; what is below a new directory is told.
    let file = one.write("etc/d", "file");
    one.apply(&[remove("etc/d"), file, remove("etc-x"), mkdir("etc-x"), mkdir("etc-x/in")]).unwrap();
    assert!(one.diff().iter().filter(|line| line.contains("etc/d")).eq(["C /etc/d"]));
    assert!(one.diff().iter().filter(|line| line.contains("etc-x")).eq(["C /etc-x", "A /etc-x/in"]));
}

#[test]
fn a_replaced_directory_is_opaque() {
    let mut one = Container::new();
    let kept = one.write("etc/d/x", "again");
    one.apply(&[remove("etc/d"), mkdir("etc/d"), kept]).unwrap();
    assert_eq!(one.diff(), ["C /etc", "C /etc/d", "D /etc/d/e", "C /etc/d/x"]);
    let layers = Layers::of(vec![base(), one.layer()]);
    let index = &layers.indexes[1];
    let paths: Vec<_> = (0..index.len()).map(|number| index.entry(number).unwrap().path).collect();
    assert_eq!(paths, ["etc", "etc/d", "etc/d/.wh..wh..opq", "etc/d/x"]);
    assert!(!layers.files().contains_key("etc/d/e"));
}

#[test]
fn what_comes_back_is_no_change() {
    let mut one = Container::new();
    let edit = one.apply(&[mkdir("new"), remove("new")]).unwrap();
    assert!(edit.is_empty());
    one.apply(&[mkdir("new")]).unwrap();
    let edit = one.apply(&[remove("new")]).unwrap();
    assert_eq!((edit.put.len(), edit.delete.as_slice()), (0, &["new".to_owned()][..]));
    // Nobody has to copy what stays as it is.
    let same = one.overlay.apply(&[chmod("etc/motd", 0o644)], NOW).unwrap();
    assert_eq!(same, Applied::Edited(Edit::default()));
    assert!(one.overlay.is_empty() && one.diff().is_empty());
    // Another mode and back: in the upper directory, but no difference.
    one.apply(&[chmod("etc/motd", 0o600), chmod("etc/motd", 0o644)]).unwrap();
    assert_eq!((one.overlay.len(), one.diff().len()), (1, 0));
}

#[test]
fn all_is_done_or_nothing() {
    let mut one = Container::new();
    let error = one.apply(&[mkdir("new"), rename("etc", "other"), remove("nosuch")]).unwrap_err();
    assert_eq!((error.code(), error.message()), (Code::NoSuchFile, "No such file or directory: /nosuch."));
    assert!(one.overlay.is_empty());
    let Applied::Wanting { image, .. } =
        one.overlay.apply(&[mkdir("new"), rename("etc", "other")], NOW).unwrap()
    else {
        panic!("etc has files");
    };
    assert_eq!(image.len(), 3);
    assert!(one.overlay.is_empty());
}

#[test]
fn refusals() {
    let mut one = Container::new();
    let content = one.keep(b"");
    let write = |path: &str| Operation::Write {
        path: path.into(),
        content: content.clone(),
        attributes: Attributes::default(),
    };
    for (operation, code) in [
        (write("nosuch/a"), Code::NoSuchFile),
        (write("etc"), Code::IsADirectory),
        (write("etc/motd/a"), Code::NotADirectory),
        (write("etc/.wh.a"), Code::InvalidArgument),
        (write(&"a".repeat(256)), Code::InvalidArgument),
        (write(""), Code::IsADirectory),
        (mkdir("etc"), Code::FileExists),
        (mkdir("link"), Code::FileExists),
        (symlink("etc/motd", "a"), Code::FileExists),
        (symlink("new", ""), Code::InvalidArgument),
        (remove("/"), Code::InvalidArgument),
        (remove("etc/.."), Code::InvalidArgument),
        (remove("/etc/."), Code::InvalidArgument),
        (remove("etc/d/..//"), Code::InvalidArgument),
        (rename("etc", "etc/d/z"), Code::InvalidArgument),
        (chmod("etc/motd", 0o10000), Code::InvalidArgument),
        (chown("etc/motd", 1 << 32), Code::InvalidArgument),
        (rename("etc", "etc-x"), Code::NotADirectory),
        (rename("etc-x", "etc"), Code::IsADirectory),
        (rename("bin", "etc"), Code::FileExists),
        (chmod("nosuch", 0), Code::NoSuchFile),
    ] {
        assert_eq!(one.apply(std::slice::from_ref(&operation)).unwrap_err().code(), code, "{operation:?}");
    }
    one.apply(&[symlink("a", "b"), symlink("b", "a")]).unwrap();
    assert_eq!(one.apply(&[write("a")]).unwrap_err().code(), Code::InvalidArgument);
    // A link that leads nowhere is where the file comes to be, as for any process.
    one.apply(&[symlink("dangling", "/etc/new"), write("dangling")]).unwrap();
    assert!(one.diff().contains(&"A /etc/new".to_owned()));
}

#[test]
fn operations_are_read_from_json() {
    let text = r#"[{"do":"write","path":"/100%","content":{"digest":"sha256:00","size":9,"offset":2,"length":1},"attributes":{"mode":384}},
        {"do":"mkdir","path":"a/b","parents":true},{"do":"move","from":"a","to":"b"}]"#;
    let operations: Vec<Operation> = serde_json::from_str(text).unwrap();
    assert_eq!(operations.len(), 3);
    assert_eq!(Container::new().apply(&operations).unwrap_err().code(), Code::InvalidArgument);
}

#[test]
fn a_tar_is_unpacked_as_docker_cp_does() {
    let mut one = Container::new();
    let files = tar(&[
        Entry::file("to-etc/implied", "through a link"),
        Entry::directory("etc").mode(0o700),
        Entry::file("etc/d", "no directory any more"),
        Entry::hard_link("etc/e", "etc/d"),
        Entry::directory("link").mode(0o711),
    ]);
    one.unpack(&files, "/").unwrap();
    assert_eq!(one.diff(), ["C /etc", "C /etc/d", "A /etc/e", "A /etc/implied", "C /link"]);
    let seen = one.committed().files();
    assert_eq!((seen["link"].kind, seen["etc"].mode), (FileKind::Directory, 0o700));
    assert_eq!(
        (&seen["etc/e"].content[..], &seen["etc/motd"].content[..]),
        (&b"no directory any more"[..], &b"hello"[..])
    );
}

/// Each entry finds the container's files as they are then, and the links among them.
#[test]
fn a_tar_finds_the_files_as_they_are() {
    let mut one = Container::new();
    let files = tar(&[
        Entry::hard_link("hx", "motd"),
        Entry::hard_link("hy", "d/../hx"),
        Entry::symlink("nl", "/bin"),
        Entry::file("nl/x", "through its own link"),
        Entry::file("n/a/x", "first"),
        Entry::file("n/a/x", "again"),
        Entry::symlink("n/l", "a"),
        Entry::file("n/l/y", "y"),
        Entry::directory("n/l"),
        Entry::file("n/l/z", "z"),
    ]);
    one.unpack(&files, "to-etc").unwrap();
    let told = ["C /bin", "A /bin/x", "C /etc", "A /etc/hx", "A /etc/hy", "A /etc/n", "A /etc/n/a"];
    assert_eq!(one.diff()[..7], told);
    let told = ["A /etc/n/a/x", "A /etc/n/a/y", "A /etc/n/l", "A /etc/n/l/z", "A /etc/nl"];
    assert_eq!(one.diff()[7..], told);
    let seen = one.committed().files();
    assert_eq!((&seen["etc/hx"].content[..], &seen["etc/hy"].content[..]), (&b"hello"[..], &b"hello"[..]));
    assert_eq!(seen["etc/n/a/x"].content, b"again");
    // The directory that it is unpacked into may go by that.
    let files = tar(&[Entry::symlink("r", "/"), Entry::file("r/etc", "no directory"), Entry::file("x", "")]);
    assert_eq!(one.unpack(&files, "etc").unwrap_err().code(), Code::NotADirectory);
    // A deep way is no work to speak of, told entry by entry or not.
    let deep = |count: usize| "a/".repeat(count);
    let chain: Vec<_> = (1..2000).map(|count| Entry::directory(deep(count))).collect();
    one.unpack(&tar(&[Entry::file(format!("{}x", deep(2000)), "")]), "/").unwrap();
    one.unpack(&tar(&chain), "/bin").unwrap();
    assert_eq!(one.diff().len(), 12 + 2001 + 1999);
}

#[test]
fn what_a_tar_cannot_bring() {
    let mut one = Container::new();
    let before = one.overlay.len();
    for (entry, code, sentence) in [
        (Entry::hard_link("hx", "nosuch"), Code::NoSuchFile, "No such file or directory: /etc/nosuch."),
        (Entry::hard_link("hx", "d"), Code::IsADirectory, "Is a directory: /etc/d."),
        (Entry::hard_link("motd", "motd"), Code::NoSuchFile, "No such file or directory: /etc/motd."),
        (
            Entry::hard_link("hx", "../link"),
            Code::InvalidArgument,
            "The tar leads out of the directory: /hx.",
        ),
        (Entry::file("motd/x", ""), Code::NotADirectory, "Not a directory: /etc/motd/x."),
        (
            Entry::file("a/../../evil", ""),
            Code::InvalidArgument,
            "The tar leads out of the directory: /evil.",
        ),
        (Entry::file(".wh.motd", ""), Code::InvalidArgument, "No file can be called so: /etc/.wh.motd."),
        (Entry::file(".wh.a/b", ""), Code::InvalidArgument, "No file can be called so: /etc/.wh.a."),
        (Entry::symlink("l", ""), Code::InvalidArgument, "A link cannot lead there: /etc/l."),
        (
            Entry { kind: Kind::Other(b'3'), ..Entry::file("c", "") },
            Code::InvalidArgument,
            "A device cannot be 0:0: /etc/c.",
        ),
    ] {
        let error = one.unpack(&tar(&[Entry::file("first", ""), entry]), "/etc").unwrap_err();
        assert_eq!((error.code(), error.message()), (code, sentence));
        assert_eq!(one.overlay.len(), before);
    }
    // Nothing is outside of the root.
    one.unpack(&tar(&[Entry::file("../in", ""), Entry::file("/../etc/too", "")]), "/").unwrap();
    one.unpack(&tar(&[Entry::file("/../here", ""), Entry::directory(".").mode(0o700)]), "/etc").unwrap();
    assert_eq!(one.diff(), ["C /etc", "A /etc/here", "A /etc/too", "A /in"]);
}

#[test]
fn a_hundred_thousand_changes() {
    let mut one = Container::new();
    let content = one.keep(b"x");
    let write = |number: usize| Operation::Write {
        path: format!("many/{number}").into(),
        content: content.clone(),
        attributes: Attributes::default(),
    };
    let operations: Vec<Operation> = [mkdir("many")].into_iter().chain((0..100_000).map(write)).collect();
    one.apply(&operations).unwrap();
    assert_eq!(one.diff().len(), 100_001);
    let again = Overlay::new(one.layers.tree.clone(), one.rows.clone()).unwrap();
    assert_eq!(again.len(), 100_001);
    assert_eq!(one.apply(&[rename("many", "more")]).unwrap().put.len(), 100_001);
    assert_eq!(one.committed().tree.len(), one.layers.tree.len() + 100_001);
}

/// A way as deep as a path can be is no work to speak of; one that is too long is refused before anything is done.
#[test]
fn deep_paths() {
    let mut one = Container::new();
    let deep = "a/".repeat(2047);
    let mkdir_all =
        |path: &str| Operation::Mkdir { path: path.into(), parents: true, attributes: Attributes::default() };
    let file = one.write(&format!("{deep}x"), "deep");
    assert_eq!(one.apply(&[mkdir_all(&deep), file]).unwrap().put.len(), 2048);
    let again = Overlay::new(one.layers.tree.clone(), one.rows.clone()).unwrap();
    assert_eq!(again.diff().len(), 2048);
    let error = one.apply(&[mkdir_all(&"b/".repeat(2048))]).unwrap_err();
    assert_eq!((error.code(), one.overlay.len()), (Code::InvalidArgument, 2048));
    // Up and down again, and through links, in the middle of what is being made.
    one.apply(&[mkdir_all("new/../to-etc/d/n/../m"), remove("a")]).unwrap();
    assert_eq!(one.diff(), ["C /etc", "C /etc/d", "A /etc/d/m", "A /etc/d/n", "A /new"]);
    one.apply(&[symlink("dangling", "nosuch")]).unwrap();
    for (path, code) in [
        ("dangling", Code::FileExists),
        ("dangling/x", Code::FileExists),
        ("link", Code::NotADirectory),
        ("etc/motd/x", Code::NotADirectory),
    ] {
        assert_eq!(one.apply(&[mkdir_all(path)]).unwrap_err().code(), code, "{path}");
    }
}

#[test]
fn a_change_in_no_directory_is_damage() {
    for rows in [[("etc/motd/a", Node::Removed)], [("nosuch/a", Node::Removed)], [("a//b", Node::Removed)]] {
        let rows = rows.map(|(path, node)| (path.to_owned(), node));
        let error = Overlay::new(Container::new().layers.tree, rows).unwrap_err();
        assert_eq!(error.code(), Code::DamagedCatalog);
    }
}

const PATHS: [&str; 14] = [
    "bin",
    "bin/sh",
    "etc",
    "etc/motd",
    "etc/d",
    "etc/d/x",
    "etc/d/e",
    "etc/d/e/y",
    "etc-x",
    "same",
    "new",
    "new/a",
    "new/a/b",
    "etc/d/e/new",
];

#[derive(Debug, Clone)]
enum Step {
    Write(usize, u8),
    Mkdir(usize),
    Symlink(usize),
    Remove(usize),
    Move(usize, usize),
    Chmod(usize, u32),
    Chown(usize, u64),
}

fn step() -> impl Strategy<Value = Step> {
    let path = || 0..PATHS.len();
    prop_oneof![
        3 => (path(), 0..4_u8).prop_map(|(path, text)| Step::Write(path, text)),
        3 => path().prop_map(Step::Mkdir),
        1 => path().prop_map(Step::Symlink),
        3 => path().prop_map(Step::Remove),
        3 => (path(), path()).prop_map(|(from, to)| Step::Move(from, to)),
        1 => (path(), prop_oneof![Just(0o644_u32), Just(0o4711)]).prop_map(|(path, mode)| Step::Chmod(path, mode)),
        1 => (path(), 0..2_u64).prop_map(|(path, uid)| Step::Chown(path, uid)),
    ]
}

/// The model: plain paths, each with what stands there. No path leads through a link.
fn play(files: &mut Files, step: &Step) -> Option<()> {
    let is_directory = |files: &Files, path: &str| {
        path.is_empty() || files.get(path).is_some_and(|seen| seen.kind == FileKind::Directory)
    };
    let parent = |path: &str| path.rsplit_once('/').map_or("", |(parent, _)| parent).to_owned();
    let below = |files: &Files, path: &str| -> Vec<String> {
        let prefix = format!("{path}/");
        files.keys().filter(|other| *other == path || other.starts_with(&prefix)).cloned().collect()
    };
    let new = |kind, mode| Seen { kind, mode, uid: 0, gid: 0, mtime: NOW, link: None, content: Vec::new() };
    match step {
        Step::Write(path, text) => {
            let path = PATHS[*path];
            if !is_directory(files, &parent(path)) || is_directory(files, path) {
                return None;
            }
            let seen = files.entry(path.to_owned()).or_insert_with(|| new(FileKind::File, 0o644));
            if seen.kind != FileKind::File {
                return None;
            }
            (seen.mtime, seen.content) = (NOW, vec![*text; 3]);
        }
        Step::Mkdir(path) | Step::Symlink(path) => {
            let path = PATHS[*path];
            if !is_directory(files, &parent(path)) || files.contains_key(path) {
                return None;
            }
            let seen = match step {
                Step::Mkdir(_) => new(FileKind::Directory, 0o755),
                _ => Seen { link: Some("nosuch".to_owned()), ..new(FileKind::Symlink, 0o777) },
            };
            files.insert(path.to_owned(), seen);
        }
        Step::Remove(path) => {
            let gone = below(files, PATHS[*path]);
            gone.first()?;
            files.retain(|path, _| !gone.contains(path));
        }
        Step::Move(from, to) => {
            let (from, to) = (PATHS[*from], PATHS[*to]);
            let moved = below(files, from);
            moved.first()?;
            if from == to {
                return Some(());
            }
            if !is_directory(files, &parent(to)) || to.starts_with(&format!("{from}/")) {
                return None;
            }
            if files.contains_key(to)
                && (is_directory(files, from) != is_directory(files, to) || below(files, to).len() > 1)
            {
                return None;
            }
            let moved: Vec<_> =
                moved.into_iter().map(|path| (path.clone(), files.remove(&path).unwrap())).collect();
            files.remove(to);
            files
                .extend(moved.into_iter().map(|(path, seen)| (format!("{to}{}", &path[from.len()..]), seen)));
        }
        Step::Chmod(path, mode) => {
            let seen = files.get_mut(PATHS[*path]).filter(|seen| seen.kind != FileKind::Symlink)?;
            seen.mode = *mode;
        }
        Step::Chown(path, uid) => {
            let seen = files.get_mut(PATHS[*path]).filter(|seen| seen.kind != FileKind::Symlink)?;
            seen.uid = *uid;
            if seen.kind != FileKind::Directory {
                seen.mode &= if seen.mode & 0o010 != 0 { !0o6000 } else { !0o4000 };
            }
        }
    }
    Some(())
}

impl Container {
    fn operation(&mut self, step: &Step) -> Operation {
        match step {
            Step::Write(path, text) => {
                let content = self.keep(&[*text; 3]);
                Operation::Write { path: PATHS[*path].into(), content, attributes: Attributes::default() }
            }
            Step::Mkdir(path) => mkdir(PATHS[*path]),
            Step::Symlink(path) => symlink(PATHS[*path], "nosuch"),
            Step::Remove(path) => remove(PATHS[*path]),
            Step::Move(from, to) => rename(PATHS[*from], PATHS[*to]),
            Step::Chmod(path, mode) => chmod(PATHS[*path], *mode),
            Step::Chown(path, uid) => chown(PATHS[*path], *uid),
        }
    }
}

/// What `docker diff` says of two file systems, as moby's naive comparison finds it.
fn compared(before: &Files, after: &Files) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    let mut tell = |kind: &str, path: &str| {
        let above = path.match_indices('/').map(|(at, _)| &path[..at]);
        let same = |above: &&str| before.contains_key(*above) && after.contains_key(*above);
        lines.extend(above.filter(same).map(|above| format!("C /{above}")));
        lines.insert(format!("{kind} /{path}"));
    };
    for (path, seen) in after {
        match before.get(path) {
            None => tell("A", path),
            Some(old) => {
                let is_directory = seen.kind == FileKind::Directory;
                let looked_at = |seen: &Seen| {
                    let size = seen.content.len() + seen.link.as_ref().map_or(0, String::len);
                    let more = (!is_directory).then_some((size, seen.mtime));
                    (seen.kind, seen.mode, seen.uid, more)
                };
                if looked_at(seen) != looked_at(old) {
                    tell("C", path);
                }
            }
        }
    }
    for path in before.keys().filter(|path| !after.contains_key(*path)) {
        let parent = path.rsplit_once('/').map(|(parent, _)| parent);
        let is_told = parent
            .is_none_or(|parent| after.get(parent).is_some_and(|seen| seen.kind == FileKind::Directory));
        if is_told {
            tell("D", path);
        }
    }
    lines
}

fn entry() -> impl Strategy<Value = Entry> {
    const NAMES: &[&str] = &["a", "b", "d", "e", "x", "etc", "bin", "motd", ".."];
    let path = || prop::collection::vec(prop::sample::select(NAMES), 1..4).prop_map(|names| names.join("/"));
    prop_oneof![
        3 => (path(), 0..3_usize).prop_map(|(path, size)| Entry::file(path, "x".repeat(size))),
        2 => path().prop_map(Entry::directory),
        1 => (path(), path(), prop_oneof![Just(""), Just("/")]).prop_map(|(path, to, root)| Entry::symlink(path, format!("{root}{to}"))),
        1 => (path(), path()).prop_map(|(path, to)| Entry::hard_link(path, to)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever its links lead to, and whatever it puts in the place of what: each change is in a directory, and the layer says the same.
    #[test]
    fn any_tar(entries in prop::collection::vec(entry(), 1..12), directory in prop::sample::select(&["/", "etc", "to-etc/d"][..])) {
        let mut one = Container::new();
        if one.unpack(&tar(&entries), directory).is_err() {
            prop_assert!(one.overlay.is_empty());
        }
        let again = Overlay::new(one.layers.tree.clone(), one.rows.clone()).unwrap();
        prop_assert_eq!(again.diff(), one.overlay.diff());
        let lines: BTreeSet<String> = one.diff().into_iter().collect();
        prop_assert_eq!(lines, compared(&one.layers.files(), &one.committed().files()));
    }

    #[test]
    fn any_sequence_of_operations(steps in prop::collection::vec(step(), 1..24)) {
        let mut one = Container::new();
        let before = one.layers.files();
        let mut model = before.clone();
        for step in &steps {
            let mut after = model.clone();
            let fits = play(&mut after, step).is_some();
            // A write through a link that leads nowhere makes a file, which the model does not know.
            if !fits && matches!(step, Step::Write(path, _) if model.get(PATHS[*path]).is_some_and(|seen| seen.kind == FileKind::Symlink)) {
                continue;
            }
            let (old, operation) = (one.rows.clone(), one.operation(step));
            let done = one.apply(&[operation]);
            prop_assert_eq!(done.is_ok(), fits, "{:?}: {:?}", step, done);
            if fits {
                model = after;
            } else {
                prop_assert_eq!(&one.rows, &old);
            }
        }
        // The files of the image with the layer are those that one saw.
        let committed = one.committed();
        prop_assert_eq!(untimed(&committed.files()), untimed(&model));
        let lines: BTreeSet<String> = one.diff().into_iter().collect();
        prop_assert_eq!(lines.len(), one.overlay.diff().len());
        prop_assert_eq!(lines, compared(&before, &model));
        // A container of it has no difference; the rows say all there is to it.
        prop_assert!(Overlay::new(committed.tree, []).unwrap().diff().is_empty());
        let again = Overlay::new(one.layers.tree.clone(), one.rows.clone()).unwrap();
        prop_assert_eq!(again.diff(), one.overlay.diff());
        prop_assert_eq!(again.layer().collect::<Vec<_>>(), one.overlay.layer().collect::<Vec<_>>());
        prop_assert!(one.rows.keys().all(|path| path_bytes(path).is_some()));
    }
}
