//! Laws that hold for any archive and any edit.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failure should stop the test"
)]

use std::collections::BTreeSet;
use std::rc::Rc;

use longshore_archive::{
    Archive, Code, Edit, Entry, FindingCode, Recipe, Reference, RenameRule, Source, TarIndex,
};
use longshore_fixtures as fixtures;
use longshore_fixtures::{ImageSpec, Layer};
use proptest::prelude::*;

type Bytes = Rc<Vec<u8>>;

/// What an archive's images are called, as a reader of names would say it: by image ID.
type Promise = Vec<(String, BTreeSet<String>)>;

const NAMES: [&str; 6] =
    ["app:1", "app:2", "team/app:latest", "registry.local:5000/team/app:1", "localhost/x:y", "db:5.5.16"];
const LISTINGS: [&str; 3] = ["manifest.json", "repositories", "index.json"];

#[derive(Debug, Clone, Copy)]
enum Layout {
    Legacy,
    Hybrid,
    Containerd,
    Skopeo,
    Crane,
}

#[derive(Debug, Clone)]
enum Step {
    Tag(usize, usize),
    Untag(usize),
    Rename(String, String),
}

fn image() -> impl Strategy<Value = (Vec<usize>, Vec<usize>, bool)> {
    let layers = prop::collection::vec(0..4usize, 1..4);
    let names = prop::collection::vec(0..NAMES.len(), 0..3);
    (layers, names, any::<bool>())
}

fn layout() -> impl Strategy<Value = Layout> {
    prop::sample::select(vec![
        Layout::Legacy,
        Layout::Hybrid,
        Layout::Containerd,
        Layout::Skopeo,
        Layout::Crane,
    ])
}

fn step() -> impl Strategy<Value = Step> {
    let registry = prop::sample::select(vec!["registry.local", "mirror.example:8443/all", "localhost"]);
    let from =
        prop::sample::select(vec!["", "docker.io", "app", "team", "registry.local:5000", "app:1", "library"]);
    prop_oneof![
        (0..3usize, 0..NAMES.len()).prop_map(|(image, name)| Step::Tag(image, name)),
        (0..NAMES.len()).prop_map(Step::Untag),
        (from, registry).prop_map(|(from, to)| Step::Rename(from.into(), to.into())),
    ]
}

/// An archive of some images that share layers; no name is given twice.
fn archive_bytes(layout: Layout, images: Vec<(Vec<usize>, Vec<usize>, bool)>) -> Vec<u8> {
    let mut taken = BTreeSet::new();
    let spec = |(index, (layers, names, gzip)): (usize, (Vec<usize>, Vec<usize>, bool))| {
        let layer = |number: &usize| Layer::Generated { bytes: 700 * *number as u64, seed: *number as u64 };
        ImageSpec {
            names: names
                .into_iter()
                .filter(|name| taken.insert(*name))
                .map(|name| NAMES[name].to_owned())
                .collect(),
            layers: layers.iter().map(layer).collect(),
            gzip,
            ..ImageSpec::untagged().label("image", &index.to_string())
        }
    };
    let specs: Vec<ImageSpec> = images.into_iter().enumerate().map(spec).collect();
    match layout {
        Layout::Legacy => fixtures::docker_legacy(&specs),
        Layout::Hybrid => fixtures::docker_hybrid(&specs),
        Layout::Containerd => fixtures::containerd(&specs),
        Layout::Skopeo => fixtures::skopeo(&specs[0]),
        Layout::Crane => fixtures::crane(&specs),
    }
}

fn flat(recipe: &Recipe<Bytes>) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(recipe.len()).unwrap()];
    recipe.read_at(0, &mut bytes).unwrap();
    bytes
}

fn promise(archive: &Archive<Bytes>) -> Promise {
    let names = |image: &longshore_archive::Image| image.names.iter().map(ToString::to_string).collect();
    archive.images().iter().map(|image| (image.id.clone(), names(image))).collect()
}

/// What the step should do to the names, worked out without the library's edits.
fn expected(before: &Promise, step: &Step) -> Option<Promise> {
    let mut after = before.clone();
    let familiar = |name: &str| Reference::parse(name).unwrap().to_string();
    match step {
        Step::Tag(image, name) => {
            let name = familiar(NAMES[*name]);
            if after.get(*image)?.1.contains(&name) {
                return None;
            }
            for (_, names) in &mut after {
                names.remove(&name);
            }
            after[*image].1.insert(name);
        }
        Step::Untag(name) => {
            let name = familiar(NAMES[*name]);
            if !after.iter().any(|(_, names)| names.contains(&name)) {
                return None;
            }
            for (_, names) in &mut after {
                names.remove(&name);
            }
        }
        Step::Rename(from, to) => {
            for (_, names) in &mut after {
                *names = names.iter().map(|name| renamed(name, from, to)).collect();
            }
            let all: Vec<_> = after.iter().flat_map(|(_, names)| names).collect();
            if all.iter().collect::<BTreeSet<_>>().len() < all.len() {
                return None;
            }
        }
    }
    Some(after)
}

/// The rule for the names and prefixes that this test uses, by the full form of both.
fn renamed(name: &str, from: &str, to: &str) -> String {
    let reference = Reference::parse(name).unwrap();
    let full = reference.canonical();
    if from.is_empty() {
        let path = full.split_once('/').unwrap().1;
        let path = if full.starts_with("docker.io/library/") { &path["library/".len()..] } else { path };
        return Reference::parse(&format!("{to}/{path}")).unwrap().to_string();
    }
    let prefixes = match from {
        "app" => vec!["docker.io/library/app"],
        "app:1" => vec!["docker.io/library/app:1"],
        "team" => vec!["docker.io/team"],
        "library" => vec!["docker.io/library"],
        other => vec![other],
    };
    for prefix in prefixes {
        if let Some(rest) = full.strip_prefix(prefix)
            && (rest.is_empty() || rest.starts_with(['/', ':']))
        {
            return Reference::parse(&format!("{to}{rest}")).unwrap().to_string();
        }
    }
    name.to_owned()
}

fn apply(archive: &Archive<Bytes>, step: &Step) -> longshore_archive::Result<Edit<Bytes>> {
    match step {
        Step::Tag(image, name) => {
            let id = archive.images().get(*image).map_or("nothing", |image| image.id.as_str()).to_owned();
            archive.tag(&id, NAMES[*name])
        }
        Step::Untag(name) => archive.untag(NAMES[*name]),
        Step::Rename(from, to) => archive.rename(&[RenameRule { from: from.clone(), to: to.clone() }]),
    }
}

/// A member's bytes: extension headers, header, content and padding.
fn member<'a>(bytes: &'a [u8], entry: &Entry) -> &'a [u8] {
    &bytes[usize::try_from(entry.start).unwrap()..usize::try_from(entry.end()).unwrap()]
}

fn nothing_else_changed(before: &[u8], after: &[u8]) -> Result<(), TestCaseError> {
    let (old, new) = (TarIndex::read(&before.to_vec()).unwrap(), TarIndex::read(&after.to_vec()).unwrap());
    let is_listing = |entry: &Entry| LISTINGS.contains(&&*entry.path);
    prop_assert!(old.entries().len() <= new.entries().len(), "nothing is lost");
    for (old, new) in old.entries().iter().zip(new.entries()) {
        prop_assert_eq!(&old.path, &new.path, "the order holds");
        if is_listing(old) {
            prop_assert_eq!(
                &member(before, old)[..124],
                &member(after, new)[..124],
                "the header holds, up to the size"
            );
        } else {
            prop_assert_eq!(member(before, old), member(after, new), "{} changed", &old.path);
        }
    }
    let added: Vec<_> = new.entries().iter().skip(old.entries().len()).map(|entry| &*entry.path).collect();
    prop_assert!(added.is_empty() || added == ["repositories"], "{added:?}");
    let tail = |bytes: &[u8], index: &TarIndex| bytes[usize::try_from(index.end()).unwrap()..].to_vec();
    prop_assert_eq!(tail(before, &old), tail(after, &new), "what follows the members holds");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Every member but the lists of names stays, byte for byte and in its place; what was saved opens to just the
    /// model that the edit promised; and all places where names stand agree.
    #[test]
    fn an_edit_does_what_it_says_and_nothing_else(
        layout in layout(),
        images in prop::collection::vec(image(), 1..4),
        steps in prop::collection::vec(step(), 1..6),
    ) {
        let original: Bytes = Rc::new(archive_bytes(layout, images));
        let mut archive = Archive::open(original.clone()).unwrap();
        prop_assert_eq!(&flat(archive.recipe()), &*original, "an archive without edits is its source");
        for step in steps {
            let before = promise(&archive);
            let Some(wanted) = expected(&before, &step) else {
                let error = apply(&archive, &step).unwrap_err();
                prop_assert!(matches!(error.code(), Code::NoSuchImage | Code::DuplicateReference), "{error}");
                continue;
            };
            let edit = apply(&archive, &step).unwrap();
            prop_assert_eq!(promise(&edit.archive), wanted, "{:?}", &step);
            prop_assert_eq!(edit.changes.is_empty(), promise(&edit.archive) == before);

            let bytes = flat(edit.archive.recipe());
            nothing_else_changed(&flat(archive.recipe()), &bytes)?;
            let reopened = Archive::open(Rc::new(bytes.clone())).unwrap();
            prop_assert_eq!(reopened.images(), edit.archive.images());
            prop_assert_eq!(reopened.findings(), edit.archive.findings());
            prop_assert_eq!(reopened.index().entries(), edit.archive.index().entries());
            let disagreement = reopened.findings().iter().find(|finding| finding.code == FindingCode::NamesDisagree);
            prop_assert!(disagreement.is_none(), "{disagreement:?}");

            // The same edit of the same bytes gives the same bytes, also after a recipe was written out.
            let again = apply(&Archive::open(Rc::new(flat(archive.recipe()))).unwrap(), &step).unwrap();
            prop_assert_eq!(flat(again.archive.recipe()), bytes);
            archive = edit.archive;
        }
    }

    /// Input may be anything: the answer is an archive or an error.
    #[test]
    fn damage_never_panics(
        layout in layout(),
        images in prop::collection::vec(image(), 1..3),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..40),
        cut in any::<prop::sample::Index>(),
        fix_checksums in any::<bool>(),
    ) {
        let mut bytes = archive_bytes(layout, images);
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        bytes.truncate(cut.index(bytes.len() * 2).min(bytes.len()));
        if fix_checksums {
            for block in bytes.chunks_exact_mut(512).filter(|block| block[257..262] == *b"ustar") {
                let sum: u32 = block.iter().enumerate().map(|(i, &b)| if (148..156).contains(&i) { 32 } else { b.into() }).sum();
                block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            }
        }
        if let Ok(archive) = Archive::open(Rc::new(bytes)) {
            for image in archive.images() {
                let edit = archive.tag(&image.id, "some.registry/name:tag");
                prop_assert!(edit.is_ok() || edit.is_err_and(|error| error.code() != Code::ReadFailed));
                let _ = archive.inspect(&image.id);
            }
            let _ = archive.rename(&[RenameRule { from: String::new(), to: "r.example".into() }]);
        }
    }

    #[test]
    fn a_name_survives_its_own_printing(text in "[a-zA-Z0-9._:/@-]{0,40}") {
        if let Ok(reference) = Reference::parse(&text) {
            prop_assert_eq!(&Reference::parse(&reference.to_string()).unwrap(), &reference);
            prop_assert_eq!(&Reference::parse(&reference.canonical()).unwrap(), &reference);
        }
    }
}
