//! Laws that hold for any sequence of verbs, and for rows and archives that an attacker wrote.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failure should stop the test")]

mod common;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use common::{blobs_of, folder, kept, line, platform, platforms, saved};
use longshore_archive::{Archive, Code};
use longshore_engine::{
    CONTAINERS, Carried, Catalog, Change, Container, Content, CreateOptions, Edit, File, Image, Incoming,
    Index, Kind, ListOptions, Manifest, Node, PruneOptions, RmiOptions, Target,
};
use longshore_fixtures::{self as fixtures, ImageSpec, Layer};
use proptest::prelude::*;

const NAMES: [&str; 7] =
    ["app:1", "app:2", "app", "team/app:1", "localhost:5000/app:1", "multi:1", "nosuch:1"];

#[derive(Debug, Clone)]
enum Step {
    Load(usize),
    Tag(Which, usize),
    Rmi(Vec<Which>, bool, bool),
    Prune(bool),
    Damage(usize),
    Create(Which, u8),
    /// The number of a container, and of a path; what stands there then, if anything.
    Edit(usize, usize, Option<Node>),
    Rename(usize, u8),
    Rm(usize),
    /// The number of an index, and which of its images, by bits; all of them where there are none.
    Save(usize, u8),
    Collect,
}

/// A name, or the ID of an image that is there.
#[derive(Debug, Clone)]
enum Which {
    Name(usize),
    Image(usize),
    Index(usize),
}

fn which() -> impl Strategy<Value = Which> {
    prop_oneof![
        3 => (0..NAMES.len()).prop_map(Which::Name),
        1 => (0..20_usize).prop_map(Which::Image),
        1 => (0..3_usize).prop_map(Which::Index),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..10_usize).prop_map(Step::Load),
        3 => (which(), 0..NAMES.len()).prop_map(|(source, target)| Step::Tag(source, target)),
        4 => (prop::collection::vec(which(), 1..3), any::<bool>(), any::<bool>())
            .prop_map(|(images, force, no_prune)| Step::Rmi(images, force, no_prune)),
        1 => any::<bool>().prop_map(Step::Prune),
        1 => (0..40_usize).prop_map(Step::Damage),
        2 => (which(), any::<u8>()).prop_map(|(image, id)| Step::Create(image, id)),
        3 => (0..9_usize, 0..PATHS.len(), prop::option::of(node()))
            .prop_map(|(container, path, node)| Step::Edit(container, path, node)),
        1 => (0..9_usize, any::<u8>()).prop_map(|(container, name)| Step::Rename(container, name)),
        1 => (0..9_usize).prop_map(Step::Rm),
        2 => (0..3_usize, 0..8_u8).prop_map(|(index, images)| Step::Save(index, images)),
        1 => Just(Step::Collect),
    ]
}

const PATHS: [&str; 4] = ["a", "a/b", "caf%E9", "100%25"];

fn node() -> impl Strategy<Value = Node> {
    let kind = prop_oneof![
        "[a-c]".prop_map(|text| Kind::Regular(content(&text))),
        any::<bool>().prop_map(|opaque| Kind::Directory { opaque }),
        prop::collection::vec(1..=255_u8, 1..4).prop_map(|target| Kind::Symlink { target }),
        Just(Kind::CharacterDevice(1, 3)),
        Just(Kind::Fifo),
    ];
    let file = (kind, 0..0o10000_u32, 0..3_u64, -5..5_i64);
    let file = file.prop_map(|(kind, mode, uid, mtime)| {
        Node::There(File { kind, mode, uid, gid: 0, mtime, xattrs: Vec::new() })
    });
    prop_oneof![1 => Just(Node::Removed), 4 => file]
}

fn content(text: &str) -> Content {
    Content::whole(longshore_archive::sha256(text.as_bytes()), text.len() as u64)
}

/// Archives, every blob of theirs, and what each manifest leads to.
struct World {
    incoming: Vec<Incoming>,
    blobs: HashMap<String, Vec<u8>>,
    leads: HashMap<String, BTreeSet<String>>,
}

fn world() -> World {
    let spec = |name: &str, gzip: bool| ImageSpec {
        gzip,
        ..ImageSpec::new(name).layer(Layer::files(&[("layer", "1")]))
    };
    let multi = ["amd64", "arm64", "s390x"];
    let multi = multi.map(|one| platform("multi:1", one, &[Layer::files(&[("shared", "1")])]));
    let archives = [
        line("a", &[&[], &["app:1"], &["app:2"]]),
        line("a", &[&["app:1"], &[], &[]]),
        line("b", &[&["app:1", "team/app:1"], &[]]),
        fixtures::docker_hybrid(&[spec("app:latest", false)]),
        fixtures::containerd(&[spec("app:latest", true)]),
        fixtures::oci_platforms(&multi),
        platforms("app:2", &["amd64"]),
        fixtures::docker_hybrid(&[ImageSpec::new("team/app:1"), spec("localhost:5000/app:1", false)]),
        // Two of the three, packed otherwise.
        fixtures::containerd(&[ImageSpec { gzip: true, ..multi[0].clone() }]),
        fixtures::containerd(&[ImageSpec { gzip: true, ..multi[1].clone() }.name("app:1")]),
    ];
    let archives: Vec<_> = archives.into_iter().map(kept).collect();
    let written = ["a", "b", "c"].map(|text| (content(text).digest, text.as_bytes().to_vec()));
    let incoming: Vec<_> = archives.iter().map(|archive| Incoming::of(archive).unwrap()).collect();
    let blobs: HashMap<_, _> = archives.iter().flat_map(blobs_of).chain(written).collect();
    let listed = incoming.iter().flat_map(|one| &one.indexes).flat_map(|index| &index.manifests);
    let own = incoming.iter().flat_map(|one| &one.images).map(|image| &image.manifest().digest);
    let manifests = listed.map(|manifest| &manifest.digest).chain(own);
    let leads = manifests.map(|digest| (digest.clone(), led_to(digest, &blobs))).collect();
    World { incoming, blobs, leads }
}

/// What an image is made of is what its manifest says.
fn is_as_its_manifest(image: &Image, world: &World) -> bool {
    world.leads[&image.manifest().digest] == image.blobs().map(|blob| blob.digest).collect()
}

/// A manifest, and what it lists.
fn led_to(digest: &str, blobs: &HashMap<String, Vec<u8>>) -> BTreeSet<String> {
    let manifest: serde_json::Value = serde_json::from_slice(&blobs[digest]).unwrap();
    let of = |descriptor: &serde_json::Value| descriptor["digest"].as_str().unwrap().to_owned();
    let layers = manifest["layers"].as_array().unwrap().iter().map(of);
    layers.chain([of(&manifest["config"]), digest.to_owned()]).collect()
}

/// The store: rows' catalog, and which blobs are kept.
#[derive(Default)]
struct Store {
    catalog: Catalog,
    kept: BTreeSet<String>,
    lost: BTreeSet<String>,
}

impl Store {
    fn named(&self, which: &Which) -> String {
        let one = |ids: Vec<&str>, number: usize| {
            ids.get(number % ids.len().max(1)).map_or_else(|| "nosuch".to_owned(), |id| (*id).to_owned())
        };
        match which {
            Which::Name(name) => NAMES[*name].to_owned(),
            Which::Image(image) => one(self.catalog.all_images().map(Image::id).collect(), *image),
            Which::Index(index) => {
                one(self.catalog.all_indexes().map(|index| index.digest.as_str()).collect(), *index)
            }
        }
    }

    fn container(&self, number: usize) -> Option<String> {
        let ids: Vec<&str> = self.catalog.all_containers().map(|container| container.id.as_str()).collect();
        ids.get(number % ids.len().max(1)).map(|id| (*id).to_owned())
    }

    /// Applies a change; it can be undone, and rows are all there is to a catalog.
    fn apply(&mut self, change: &Change) {
        let before = self.catalog.clone();
        self.catalog.apply(change).unwrap();
        let mut undone = self.catalog.clone();
        undone.apply(&change.inverse(&before)).unwrap();
        // All of it, what follows from the rows included.
        assert!(format!("{undone:?}") == format!("{before:?}"), "not undone");
        let read = Catalog::from_rows(self.catalog.rows()).unwrap();
        assert!(format!("{read:?}") == format!("{:?}", self.catalog), "not read as written");
    }

    fn play(&mut self, step: &Step, world: &World) {
        match step {
            Step::Load(archive) => {
                let incoming = &world.incoming[*archive];
                for blob in self.catalog.plan(incoming).unwrap().blobs {
                    assert_eq!(world.blobs[&blob.digest].len() as u64, blob.size);
                    self.lost.remove(&blob.digest);
                    self.kept.insert(blob.digest);
                }
                self.apply(&self.catalog.load(incoming).unwrap());
                assert!(self.catalog.load(incoming).unwrap().is_empty());
                assert!(self.catalog.plan(incoming).unwrap().blobs.is_empty());
            }
            Step::Tag(source, target) => {
                if let Ok(change) = self.catalog.tag(&self.named(source), NAMES[*target]) {
                    self.apply(&change);
                }
            }
            Step::Rmi(images, force, no_prune) => {
                let images: Vec<String> = images.iter().map(|image| self.named(image)).collect();
                let in_use = self.catalog.uses();
                let options = RmiOptions { force: *force, no_prune: *no_prune, in_use: &in_use };
                let removal = self.catalog.rmi(&images, &options);
                self.apply(&removal.change);
            }
            Step::Prune(all) => {
                let options = PruneOptions { all: *all, ..PruneOptions::default() };
                self.apply(&self.catalog.prune(&options).unwrap().change);
                if *all {
                    assert!(self.catalog.all_images().next().is_none(), "not empty");
                }
            }
            Step::Create(image, id) => {
                let options = CreateOptions {
                    id: format!("{id:064x}"),
                    name: format!("name-{id}"),
                    created: "2020-01-02T03:04:05Z".to_owned(),
                };
                if let Ok(change) = self.catalog.create(&self.named(image), &options) {
                    self.apply(&change);
                    assert!(self.catalog.create(&self.named(image), &options).is_err());
                }
            }
            Step::Edit(container, path, node) => {
                let Some(id) = self.container(*container) else { return };
                let path = PATHS[*path].to_owned();
                let edit = match node {
                    Some(node) => Edit { put: vec![(path, node.clone())], ..Edit::default() },
                    None => Edit { delete: vec![path], ..Edit::default() },
                };
                for content in edit.put.iter().filter_map(|(_, node)| node.content()) {
                    self.lost.remove(&content.digest);
                    self.kept.insert(content.digest.clone());
                }
                self.apply(&self.catalog.edit(&id, &edit).unwrap());
            }
            Step::Rename(container, name) => {
                let Some(id) = self.container(*container) else { return };
                if let Ok(change) = self.catalog.rename(&id, &format!("name-{name}")) {
                    self.apply(&change);
                }
            }
            Step::Rm(container) => {
                let Some(id) = self.container(*container) else { return };
                let removal = self.catalog.rm(&[id, "nosuch".to_owned()]);
                assert!(removal.items[0].outcome.is_ok() && removal.items[1].outcome.is_err());
                self.apply(&removal.change);
            }
            Step::Damage(number) => {
                let blobs = self.catalog.blobs();
                if let Some(digest) = blobs.keys().nth(number % blobs.len().max(1)) {
                    self.kept.remove(digest);
                    self.lost.insert(digest.clone());
                    self.apply(&self.catalog.damage(digest));
                }
            }
            Step::Save(index, images) => self.save(*index, *images, world),
            Step::Collect => {
                let needed = self.catalog.blobs();
                self.kept.retain(|digest| needed.contains_key(digest));
                self.lost.retain(|digest| needed.contains_key(digest));
                // Nothing without an owner, nothing missing but what is known to be.
                let all: BTreeSet<_> = self.kept.union(&self.lost).collect();
                assert!(needed.keys().eq(all));
            }
        }
        self.check(world);
    }

    fn check(&self, world: &World) {
        let needed = self.catalog.blobs();
        for digest in needed.keys() {
            assert!(self.kept.contains(digest) != self.lost.contains(digest), "{digest}");
        }
        // What has lost a blob says so, and nothing else does.
        let bases = self.catalog.all_containers().filter_map(|container| container.base.as_ref());
        for image in self.catalog.all_images().chain(bases) {
            let lost: BTreeSet<String> =
                image.blobs().map(|blob| blob.digest).filter(|digest| self.lost.contains(digest)).collect();
            assert_eq!(*image.damaged(), lost);
            assert!(is_as_its_manifest(image, world));
        }
        for index in self.catalog.all_indexes() {
            let lost: BTreeSet<String> = index
                .all_blobs()
                .map(|blob| blob.digest)
                .filter(|digest| self.lost.contains(digest))
                .collect();
            assert_eq!(index.damaged, lost);
            // What is here of what it lists is here as it lists it.
            let there: BTreeSet<String> = index.all_blobs().map(|blob| blob.digest).collect();
            for manifest in index.manifests.iter().filter(|manifest| manifest.image.is_some()) {
                assert!(world.leads[&manifest.digest].is_subset(&there));
            }
        }
        for row in self.catalog.ps(true, &[]).unwrap() {
            let contents = self.catalog.upper(&row.id).filter_map(|(_, node)| node.content());
            let contents = contents.map(|content| content.digest.clone());
            let base = self.catalog.base_of(self.catalog.find_container(&row.id).unwrap());
            let of_base = base.unwrap().blobs().map(|blob| blob.digest);
            assert_eq!(row.damaged, { contents }.chain(of_base).any(|digest| self.lost.contains(&digest)));
        }
        let rows = self.catalog.images(&ListOptions { all: true, ..ListOptions::default() }).unwrap();
        let shown: BTreeSet<&str> = rows.iter().map(|row| row.id.as_str()).collect();
        assert_eq!(shown.len(), self.catalog.all_images().count());
        for (name, target) in self.catalog.names() {
            assert_eq!(self.catalog.find(&name.to_string()).unwrap().target, *target);
            self.catalog.history(&name.to_string()).unwrap();
            self.catalog.inspect(&name.to_string()).unwrap();
        }
        // What a container stands on is there, be it the store's or its own.
        assert!(self.catalog.all_containers().all(|container| self.catalog.base_of(container).is_some()));
        let names: BTreeSet<&String> =
            self.catalog.all_containers().map(|container: &Container| &container.name).collect();
        assert_eq!(self.catalog.ps(true, &[]).unwrap().len(), names.len());
        let usage = self.catalog.df(&self.catalog.uses());
        assert_eq!(usage.size, needed.values().sum::<u64>());
        if self.lost.is_empty() {
            self.round_trip(world);
        }
    }

    /// Some platforms of an image are saved as their index lists them, and no others come along.
    fn save(&self, index: usize, images: u8, world: &World) {
        let all: Vec<_> = self.catalog.all_indexes().collect();
        let Some(index) = all.get(index % all.len().max(1)) else { return };
        let is_chosen = |number: usize| images == 0 || images >> number & 1 == 1;
        let chosen = index.images().enumerate().filter(|(number, _)| is_chosen(*number));
        let chosen: BTreeSet<&str> = chosen.map(|(_, id)| id).collect();
        let platform = |id: &&str| self.catalog.image(id).unwrap().platform().to_string();
        let platforms: Vec<String> = chosen.iter().map(platform).filter(|_| images > 0).collect();
        if chosen.is_empty() {
            return;
        }
        let export = match self.catalog.save(std::slice::from_ref(&index.digest), &platforms) {
            Ok(export) => export,
            Err(error) => {
                assert!(error.code() == Code::DamagedImage && !self.lost.is_empty(), "{error}");
                return;
            }
        };
        let there: BTreeSet<String> = export.blobs.iter().map(|blob| blob.digest.clone()).collect();
        assert!(there.is_subset(&self.kept));
        let is_chosen =
            |manifest: &&Manifest| manifest.image.as_deref().is_some_and(|id| chosen.contains(id));
        let listed = || index.manifests.iter().filter(is_chosen);
        // One platform alone goes as it is kept.
        let is_index = images == 0 || chosen.len() > 1;
        for manifest in listed().filter(|_| is_index) {
            assert!(world.leads[&manifest.digest].is_subset(&there));
        }
        let folder = folder(&export, &world.blobs);
        for archive in [Archive::open(Rc::new(saved(&folder))).unwrap(), folder] {
            let incoming = Incoming::of(&archive).unwrap();
            assert_eq!(incoming.images.iter().map(Image::id).collect::<BTreeSet<_>>(), chosen);
            assert!(incoming.images.iter().all(|image| is_as_its_manifest(image, world)));
            let indexes: Vec<&String> = incoming.indexes.iter().map(|index| &index.digest).collect();
            assert_eq!(indexes, Vec::from_iter(Some(&index.digest).filter(|_| is_index)));
            let saved = incoming.indexes.iter().flat_map(|index| &index.manifests).filter(is_chosen);
            assert!(!is_index || saved.eq(listed()));
        }
    }

    /// All that is saved and loaded into an empty store is the same there; an image that only a container kept is an image again.
    fn round_trip(&self, world: &World) {
        let Ok(export) = self.catalog.save_all() else {
            assert!(self.catalog.rows().next().is_none());
            return;
        };
        let folder = folder(&export, &world.blobs);
        let mut incoming = Incoming::of(&Archive::open(Rc::new(saved(&folder))).unwrap()).unwrap();
        if let Some((_, containers)) = export.documents.iter().find(|(path, _)| path == CONTAINERS) {
            incoming.containers = Carried::read(containers).unwrap();
        }
        assert!(incoming.images.iter().all(|image| is_as_its_manifest(image, world)));
        let mut other = Catalog::default();
        other.apply(&other.load(&incoming).unwrap()).unwrap();
        assert!(other.load(&incoming).unwrap().is_empty());
        let names = |catalog: &Catalog| -> BTreeMap<String, Target> {
            catalog.names().map(|(name, target)| (name.to_string(), target.clone())).collect()
        };
        let ids = |catalog: &Catalog| -> Vec<(String, Option<String>)> {
            catalog
                .all_images()
                .map(|image| (image.id().to_owned(), image.parent().map(str::to_owned)))
                .collect()
        };
        let bases = self.catalog.all_containers().filter_map(|container| container.base.as_ref());
        let bases = bases.filter(|base| self.catalog.image(base.id()).is_none());
        let bases: BTreeSet<_> = bases.map(|base| (base.id().to_owned(), None)).collect();
        assert_eq!(names(&other), names(&self.catalog));
        assert_eq!(BTreeSet::from_iter(ids(&other)), &BTreeSet::from_iter(ids(&self.catalog)) | &bases);
        let containers = |catalog: &Catalog| -> Vec<_> {
            let rows = catalog.rows().filter(|(key, _)| key.starts_with("change/"));
            let containers = catalog.all_containers();
            rows.chain(
                containers
                    .map(|one| (one.id.clone(), format!("{:?}", Container { base: None, ..one.clone() }))),
            )
            .collect()
        };
        assert_eq!(containers(&other), containers(&self.catalog));
        // What a container kept may be what an index lists.
        let has_base = self.catalog.all_containers().any(|container| container.base.is_some());
        let indexes = |catalog: &Catalog| -> Vec<_> {
            let manifests = |index: &Index| (!has_base).then(|| index.manifests.clone());
            catalog.all_indexes().map(|index| (index.digest.clone(), manifests(index))).collect()
        };
        assert_eq!(indexes(&other), indexes(&self.catalog));
    }
}

/// Some text with a stretch of it replaced.
fn bent(text: &str, at: usize, len: usize, with: &str) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    let start = at % (chars.len() + 1);
    let end = (start + len).min(chars.len());
    chars.splice(start..end, with.chars());
    chars.into_iter().collect()
}

/// What a container kept of an image does not stand for the image that came back, whose parent is known.
#[test]
fn an_image_that_comes_back_is_saved_with_its_parent() {
    let world = world();
    let mut store = Store::default();
    for step in [Step::Load(0), Step::Create(Which::Name(0), 0), Step::Prune(true), Step::Load(0)] {
        store.play(&step, &world);
    }
    assert!(store.catalog.all_images().any(|image| image.parent().is_some()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_sequence_of_verbs(steps in prop::collection::vec(step(), 1..24)) {
        let world = world();
        let mut store = Store::default();
        for step in &steps {
            store.play(step, &world);
        }
        store.play(&Step::Prune(true), &world);
        while store.container(0).is_some() {
            store.play(&Step::Rm(0), &world);
        }
        store.play(&Step::Collect, &world);
        prop_assert!(store.kept.is_empty());
    }

    #[test]
    fn hostile_rows_never_panic(
        row in any::<usize>(),
        at in any::<usize>(),
        len in 0..60_usize,
        with in "[\\PC]{0,8}|sha256:|null|-1|99999999999999999999|\"|\\{|\\]",
        in_key in any::<bool>(),
    ) {
        let world = world();
        let mut catalog = Catalog::default();
        for incoming in &world.incoming {
            catalog.apply(&catalog.load(incoming).unwrap()).unwrap();
        }
        let options = CreateOptions {
            id: "a".repeat(64),
            name: "one".to_owned(),
            created: "2020-01-02T03:04:05Z".to_owned(),
        };
        catalog.apply(&catalog.create("app:1", &options).unwrap()).unwrap();
        let file = |kind| Node::There(File { kind, mode: 0, uid: 0, gid: 0, mtime: 0, xattrs: Vec::new() });
        let put = vec![("a%25".to_owned(), file(Kind::Regular(content("a")))), ("b".to_owned(), Node::Removed)];
        catalog.apply(&catalog.edit("one", &Edit { put, ..Edit::default() }).unwrap()).unwrap();
        let mut rows: Vec<_> = catalog.rows().collect();
        let row = row % rows.len();
        let (key, value) = &mut rows[row];
        let part = if in_key { key } else { value };
        *part = bent(part, at, len, &with);
        match Catalog::from_rows(rows) {
            Err(error) => prop_assert_eq!(error.code(), Code::DamagedCatalog),
            Ok(catalog) => use_all(&catalog),
        }
    }

    #[test]
    fn hostile_archives_never_panic(
        archive in any::<usize>(),
        at in any::<usize>(),
        len in 0..80_usize,
        with in "[\\PC]{0,8}|sha256:|null|-1|9007199254740992|\"|\\{|\\]",
    ) {
        let world = world();
        let incoming = &world.incoming[archive % world.incoming.len()];
        let text = bent(&serde_json::to_string(incoming).unwrap(), at, len, &with);
        let mut catalog = Catalog::default();
        catalog.apply(&catalog.load(&world.incoming[0]).unwrap()).unwrap();
        if let Ok(incoming) = serde_json::from_str::<Incoming>(&text)
            && let (Ok(_), Ok(change)) = (catalog.plan(&incoming), catalog.load(&incoming))
        {
            catalog.apply(&change).unwrap();
            use_all(&catalog);
        }
    }
}

/// Asks every question of a catalog, and every verb.
fn use_all(catalog: &Catalog) {
    let all = ListOptions { all: true, ..ListOptions::default() };
    let names: Vec<String> = catalog.names().map(|(name, _)| name.to_string()).collect();
    catalog.images(&all).unwrap();
    catalog.df(&catalog.uses());
    catalog.ps(true, &[]).unwrap();
    catalog.rm(&["one".to_owned()]);
    for name in &names {
        let _ = (catalog.history(name), catalog.inspect(name), catalog.tagging(name, "app:1.2.3"));
        let _ = (catalog.save(std::slice::from_ref(name), &[]), catalog.tag(name, "other:1"));
    }
    catalog.rmi(&names, &RmiOptions { force: true, ..RmiOptions::default() });
    catalog.prune(&PruneOptions { all: true, ..PruneOptions::default() }).unwrap();
}
