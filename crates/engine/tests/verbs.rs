//! The verbs, one after the other, on archives that the fixtures lay out.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failure should stop the test")]

mod common;

use common::{Bytes, blobs_of, folder, kept, line, platform, platforms, saved};
use longshore_archive::{Archive, Code, Result};
use longshore_engine::{Catalog, Change, Image, Incoming, ListOptions, PruneOptions, RmiOptions, Use};
use longshore_fixtures::{self as fixtures, ImageSpec, Layer};

fn incoming(bytes: Vec<u8>) -> Incoming {
    Incoming::of(&kept(bytes)).unwrap()
}

/// A catalog with archives in it.
fn with(archives: &[Vec<u8>]) -> Catalog {
    let mut catalog = Catalog::default();
    for bytes in archives {
        done(&mut catalog, |catalog| catalog.load(&incoming(bytes.clone())));
    }
    catalog
}

/// Does what a verb says; gives what Docker prints.
fn done(catalog: &mut Catalog, verb: impl FnOnce(&Catalog) -> Result<Change>) -> Vec<String> {
    let change = verb(catalog).unwrap();
    catalog.apply(&change).unwrap();
    change.lines
}

/// Removes; gives what Docker prints, with IDs shortened to what they are of.
fn removed(catalog: &mut Catalog, image: &str, options: &RmiOptions<'_>) -> Result<Vec<String>> {
    let removal = catalog.rmi(&[image.to_owned()], options);
    if let Some(error) = removal.errors().next() {
        assert!(removal.change.is_empty());
        return Err(error.clone());
    }
    Ok(done(catalog, |_| Ok(removal.change)))
}

/// The names and platforms that `docker images` shows.
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

fn id(catalog: &Catalog, name: &str) -> String {
    catalog.find_image(name).unwrap().id().to_owned()
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
        platforms("multi:1", &["arm64", "amd64"]),
        line("a", &[&[], &["app:1"], &["app:2", "app:3"]]),
    ];
    for bytes in archives {
        let archive = kept(bytes);
        let incoming = Incoming::of(&archive).unwrap();
        let mut catalog = Catalog::default();
        assert_eq!(catalog.plan(&incoming).unwrap().blobs.len(), incoming.blobs().len());
        done(&mut catalog, |catalog| catalog.load(&incoming));
        assert_eq!(Catalog::from_rows(catalog.rows()).unwrap(), catalog);
        assert!(catalog.load(&incoming).unwrap().is_empty());
        assert!(catalog.plan(&incoming).unwrap().blobs.is_empty());
        let mut wanted = Vec::new();
        for listed in &incoming.listed {
            match listed.names.as_slice() {
                [] => wanted.push(listed.target.digest().to_owned()),
                names => wanted.extend(names.iter().cloned()),
            }
        }
        let folder = folder(&catalog.save(&wanted, &[]).unwrap(), &blobs_of(&archive));
        assert!(
            folder.findings().iter().all(|finding| finding.code.as_str() == "untagged"),
            "{:?}",
            folder.findings()
        );
        assert_eq!(Incoming::of(&folder).unwrap(), incoming);
        // What Docker 25 and later write is the same, whether from the archive or from the store.
        assert!(saved(&folder) == saved(&archive));
    }
}

#[test]
fn an_image_for_several_platforms_is_one() {
    let mut catalog = with(&[platforms("multi:1", &["arm64", "amd64"])]);
    assert_eq!(shown(&catalog), ["multi:1 amd64", "multi:1 arm64"]);
    done(&mut catalog, |catalog| catalog.tag("multi:1", "multi:2"));
    assert_eq!(shown(&catalog).len(), 4);
    assert_eq!(catalog.inspect("multi:2").unwrap().architecture, "amd64");
    assert_eq!(catalog.inspect("multi:2").unwrap().repo_tags, ["multi:1", "multi:2"]);
    // One platform alone goes by force only, and the name stays with the other.
    let arm = catalog.images(&ListOptions::default()).unwrap();
    let arm = &arm.iter().find(|row| row.platform.architecture == "arm64").unwrap().id;
    let error = removed(&mut catalog, arm, &RmiOptions::default()).unwrap_err();
    assert_eq!(error.code(), Code::ImageInUse);
    let platform = ["linux/arm64".to_owned()];
    let one = catalog.save(&["multi:1".to_owned()], &platform).unwrap();
    assert!(one.documents.iter().any(|(path, text)| path == "manifest.json" && text.contains("multi:1")));
    assert!(one.blobs.len() < catalog.save(&["multi:1".to_owned()], &[]).unwrap().blobs.len());
    let force = RmiOptions { force: true, ..RmiOptions::default() };
    assert_eq!(removed(&mut catalog, arm, &force).unwrap().len(), 2);
    assert_eq!(shown(&catalog), ["multi:1 amd64", "multi:2 amd64"]);
    let error = catalog.save(&["multi:1".to_owned()], &platform).unwrap_err();
    assert_eq!(error.code(), Code::NoSuchPlatform);
    assert_eq!(error.message(), "no suitable export target found for platform linux/arm64");
    // Loading it again brings the platform back; then the last name takes everything along.
    done(&mut catalog, |catalog| catalog.load(&incoming(platforms("multi:1", &["arm64", "amd64"]))));
    assert_eq!(shown(&catalog).len(), 4);
    assert_eq!(removed(&mut catalog, "multi:2", &RmiOptions::default()).unwrap(), ["Untagged: multi:2"]);
    // The name, the index, two images, a layer of each.
    assert_eq!(removed(&mut catalog, "multi:1", &RmiOptions::default()).unwrap().len(), 6);
    assert_eq!(catalog, Catalog::default());
}

/// An image for three platforms, which share a layer, in a store that has the first of them already: packed otherwise. With its
/// archive.
fn packed_otherwise() -> (Catalog, Archive<Bytes>) {
    let shared = [Layer::files(&[("b", "two")])];
    let all = ["amd64", "arm64", "s390x"].map(|one| platform("multi:1", one, &shared));
    let packed = fixtures::containerd(&[ImageSpec { gzip: true, names: vec![], ..all[0].clone() }]);
    let whole = fixtures::oci_platforms(&all);
    (with(&[packed, whole.clone()]), kept(whole))
}

#[test]
fn what_an_index_lists_packed_otherwise_than_it_is_kept_goes_with_it() {
    let (mut catalog, archive) = packed_otherwise();
    let whole = Incoming::of(&archive).unwrap();
    let [packed, arm, other] = whole.images.as_slice() else { panic!() };
    let index = whole.indexes[0].digest.as_str();
    assert_ne!(catalog.image(packed.id()).unwrap().manifest(), packed.manifest());
    let has = |catalog: &Catalog, image: &Image| {
        let blobs = catalog.index(index).unwrap().blobs.iter();
        let there: Vec<&String> = blobs.map(|blob| &blob.digest).collect();
        image.blobs().map(|blob| there.contains(&&blob.digest)).collect::<Vec<_>>()
    };
    let force = RmiOptions { force: true, ..RmiOptions::default() };
    // What is shared stays, for the listed manifest needs it, and so does what may be shared.
    let before = catalog.clone();
    for gone in [arm, other] {
        removed(&mut catalog, gone.id(), &force).unwrap();
    }
    assert_eq!((has(&catalog, packed), has(&catalog, arm)), (vec![true; 4], vec![false, false, true, true]));
    // What is not known to be a layer of the image that goes stays for as long as the index does.
    catalog = before;
    removed(&mut catalog, packed.id(), &force).unwrap();
    assert_eq!((has(&catalog, packed), has(&catalog, arm)), (vec![false, false, true, true], vec![true; 4]));
    removed(&mut catalog, "multi:1", &RmiOptions::default()).unwrap();
    assert_eq!(catalog, Catalog::default());
}

#[test]
fn what_an_index_lists_packed_otherwise_than_it_is_kept_is_saved_as_it_is_listed() {
    let (catalog, archive) = packed_otherwise();
    let (whole, blobs) = (Incoming::of(&archive).unwrap(), blobs_of(&archive));
    let [packed, arm, other] = whole.images.as_slice() else { panic!() };
    let platforms = ["linux/amd64", "linux/arm64"].map(str::to_owned);
    let export = catalog.save(&["multi:1".to_owned()], &platforms).unwrap();
    let there: Vec<&String> = export.blobs.iter().map(|blob| &blob.digest).collect();
    assert!(packed.blobs().chain(arm.blobs()).all(|blob| there.contains(&&blob.digest)));
    // The third does not come along.
    assert!(!there.contains(&&other.manifest().digest));
    // All of it is what was loaded, and nothing of how one of them is kept.
    let folder = folder(&catalog.save(&["multi:1".to_owned()], &[]).unwrap(), &blobs);
    assert!(saved(&folder) == saved(&archive));
}

#[test]
fn a_name_that_leads_elsewhere_moves() {
    let mut catalog = with(&[fixtures::docker_hybrid(&[ImageSpec::new("app:1")])]);
    let old = id(&catalog, "app:1");
    let other = incoming(platforms("app:1", &["amd64"]));
    let plan = catalog.plan(&other).unwrap();
    assert_eq!((plan.moves.len(), plan.names.len(), plan.added.len()), (1, 0, 1));
    assert_eq!(
        (plan.moves[0].from.as_str(), plan.moves[0].to.as_str()),
        (old.as_str(), other.listed[0].target.digest())
    );
    let lines = done(&mut catalog, |catalog| catalog.load(&other));
    let told = format!("The image app:1 already exists, renaming the old one with ID {old} to empty string");
    assert_eq!(lines, [told, "Loaded image: app:1".to_owned()]);
    assert_eq!(shown(&catalog).len(), 2);
    // What nothing leads to any more can be pruned.
    let pruned = catalog.prune(&PruneOptions::default()).unwrap();
    assert!(pruned.reclaimed > 0);
    assert_eq!(pruned.change.lines[..2], ["Deleted Images:".to_owned(), format!("deleted: {old}")]);
    done(&mut catalog, |_| Ok(pruned.change));
    assert_eq!(shown(&catalog), ["app:1 amd64"]);
}

#[test]
fn of_images_with_one_name_the_last_gets_it() {
    let spec =
        |text: &str| ImageSpec { layers: vec![Layer::files(&[("file", text)])], ..ImageSpec::new("app:1") };
    for write in [fixtures::docker_legacy, fixtures::docker_hybrid] {
        let twins = incoming(write(&[spec("one"), spec("two"), spec("three")]));
        let mut catalog = Catalog::default();
        let plan = catalog.plan(&twins).unwrap();
        let ids: Vec<&str> = twins.images.iter().map(longshore_engine::Image::id).collect();
        let repeated: Vec<_> = plan.repeated.iter().map(|one| (&*one.name, &*one.from, &*one.to)).collect();
        assert_eq!(repeated, [("app:1", ids[0], ids[1]), ("app:1", ids[1], ids[2])]);
        assert_eq!((plan.names, plan.moves, plan.added.len()), (vec!["app:1".to_owned()], vec![], 3));
        let renamed = |id: &str| {
            format!("The image app:1 already exists, renaming the old one with ID {id} to empty string")
        };
        let loaded = || "Loaded image: app:1".to_owned();
        assert_eq!(
            done(&mut catalog, |catalog| catalog.load(&twins)),
            [loaded(), renamed(ids[0]), loaded(), renamed(ids[1]), loaded()],
        );
        assert_eq!(id(&catalog, "app:1"), ids[2]);
        assert_eq!(shown(&catalog).len(), 3);
    }
}

#[test]
fn parents_go_with_their_children_and_not_before() {
    let line = || line("a", &[&[], &["mid:1"], &["top:1"]]);
    let mut catalog = with(&[line()]);
    let (mid, top) = (id(&catalog, "mid:1"), id(&catalog, "top:1"));
    assert_eq!(catalog.image(&top).unwrap().parent(), Some(mid.as_str()));
    let steps = catalog.history("top:1").unwrap();
    assert_eq!(steps.iter().filter(|step| step.id.is_some()).count(), 3);
    assert_eq!(
        (steps[1].id.as_deref(), steps[1].tags.as_slice()),
        (Some(mid.as_str()), &["mid:1".to_owned()][..])
    );
    let error =
        removed(&mut catalog, &mid, &RmiOptions { force: true, ..RmiOptions::default() }).unwrap_err();
    let sentence = format!(
        "conflict: unable to delete {} (cannot be forced) - image has dependent child images",
        &mid[7..19]
    );
    assert_eq!(error.message(), sentence);
    // The last name goes, the image becomes an intermediate one.
    assert_eq!(removed(&mut catalog, "mid:1", &RmiOptions::default()).unwrap(), ["Untagged: mid:1"]);
    assert_eq!(shown(&catalog), ["top:1 amd64"]);
    let all = ListOptions { all: true, ..ListOptions::default() };
    assert_eq!(catalog.images(&all).unwrap().len(), 3);
    let no_prune = RmiOptions { no_prune: true, ..RmiOptions::default() };
    assert_eq!(removed(&mut catalog.clone(), "top:1", &no_prune).unwrap().len(), 3);
    assert_eq!(removed(&mut catalog, "top:1", &RmiOptions::default()).unwrap().len(), 7);
    assert_eq!(catalog, Catalog::default());
}

#[test]
fn what_containers_use_stays() {
    let mut catalog = with(&[fixtures::docker_hybrid(&[ImageSpec::new("app:1")])]);
    let image = id(&catalog, "app:1");
    let container = "c".repeat(64);
    let running = |running| [Use { id: container.clone(), image: image.clone(), running, chain_ids: vec![] }];
    let (runs, stands) = (running(true), running(false));
    let mut fails = |argument: &str, force: bool, in_use: &[Use]| {
        let options = RmiOptions { force, in_use, ..RmiOptions::default() };
        removed(&mut catalog, argument, &options).unwrap_err().message().to_owned()
    };
    let short = &image[7..19];
    assert_eq!(
        fails("app:1", false, &stands),
        format!(
            "conflict: unable to remove repository reference \"app:1\" (must force) - container cccccccccccc is using its referenced image {short}"
        )
    );
    assert_eq!(
        fails(&image, false, &stands),
        format!(
            "conflict: unable to delete {short} (must be forced) - image is being used by stopped container cccccccccccc"
        )
    );
    assert_eq!(
        fails(&image, true, &runs),
        format!(
            "conflict: unable to delete {short} (cannot be forced) - image is being used by running container cccccccccccc"
        )
    );
    let options = PruneOptions { all: true, in_use: &stands, ..PruneOptions::default() };
    assert_eq!(catalog.prune(&options).unwrap().change.lines, ["Total reclaimed space: 0B"]);
    let pruned = |all, filters: &[(&str, &str)]| {
        let filters: Vec<_> =
            filters.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let options = PruneOptions { all, filters: &filters, ..PruneOptions::default() };
        catalog.prune(&options).map(|pruned| pruned.removed.len()).map_err(|error| error.message().to_owned())
    };
    assert!(pruned(false, &[("dangling", "false")]).unwrap() > 0);
    assert_eq!(pruned(true, &[("dangling", "true"), ("dangling", "1")]), Ok(0));
    for (filters, sentence) in [
        (&[("dangling", "1"), ("dangling", "0")][..], "invalid filter 'dangling=[0 1]'"),
        (&[("dangling", "yes")], "invalid filter 'dangling=[yes]'"),
        (&[("reference", "app")], "invalid filter 'reference'"),
        (&[("until", "2000-01-01"), ("until", "2030-01-01")], "more than one until filter specified"),
    ] {
        assert_eq!(pruned(true, filters), Err(sentence.to_owned()));
    }
    assert_eq!(pruned(true, &[("until", "1971-01-01T00:00"), ("until", "1971-01-01T00:00")]), Ok(0));
    assert_eq!((catalog.df(&stands).active, catalog.df(&stands).reclaimable), (1, 0));
    // By name and by force, the name goes and the image stays.
    let force = RmiOptions { force: true, in_use: &runs, ..RmiOptions::default() };
    assert_eq!(removed(&mut catalog, "app:1", &force).unwrap(), ["Untagged: app:1"]);
    // A container that stands still is overruled, but keeps its layers.
    let force = RmiOptions { force: true, in_use: &stands, ..RmiOptions::default() };
    assert_eq!(removed(&mut catalog, &image, &force).unwrap(), [format!("Deleted: {image}")]);
}

#[test]
fn what_is_damaged_is_told_and_mended() {
    let spec = || ImageSpec::new("app:1").layer(Layer::files(&[("b", "two")]));
    let raw = incoming(fixtures::docker_hybrid(&[spec()]));
    let packed = incoming(fixtures::containerd(&[ImageSpec { gzip: true, ..spec() }]));
    for again in [&raw, &packed] {
        let mut catalog = Catalog::default();
        done(&mut catalog, |catalog| catalog.load(&raw));
        let lost = raw.images[0].layers()[1].digest.clone();
        done(&mut catalog, |catalog| Ok(catalog.damage(&lost)));
        assert!(catalog.images(&ListOptions::default()).unwrap()[0].damaged);
        assert_eq!(catalog.save(&["app:1".to_owned()], &[]).unwrap_err().code(), Code::DamagedImage);
        let plan = catalog.plan(again).unwrap();
        assert_eq!(plan.mended, [raw.images[0].id()]);
        assert!(!plan.blobs.is_empty());
        done(&mut catalog, |catalog| catalog.load(again));
        assert!(catalog.image(raw.images[0].id()).unwrap().damaged().is_empty());
        catalog.save(&["app:1".to_owned()], &[]).unwrap();
        // A mark that was put on what is right goes.
        let whole = catalog.clone();
        let mine = catalog.image(raw.images[0].id()).unwrap().layers()[1].digest.clone();
        done(&mut catalog, |catalog| Ok(catalog.damage(&mine)));
        catalog.mend(&[lost.clone()].into());
        assert_eq!(catalog.images(&ListOptions::default()).unwrap()[0].damaged, mine != lost);
        catalog.mend(&[mine].into());
        assert!(Change::between(&whole, &catalog, Vec::new()).is_empty());
        // Of an image that is whole, other blobs are not taken.
        assert!(
            catalog.plan(&raw).unwrap().blobs.is_empty() && catalog.plan(&packed).unwrap().blobs.is_empty()
        );
    }
}

#[test]
fn several_are_removed_and_each_is_told() {
    let mut catalog = with(&[fixtures::docker_hybrid(&[ImageSpec::new("app:1").name("app:2")])]);
    let images = ["nosuch", "app:1", "Foo", "app:2"].map(str::to_owned);
    let removal = catalog.rmi(&images, &RmiOptions::default());
    let told: Vec<_> = removal.items.iter().map(|item| (item.image.as_str(), item.outcome.is_ok())).collect();
    assert_eq!(told, [("nosuch", false), ("app:1", true), ("Foo", false), ("app:2", true)]);
    assert!(removal.failed);
    let only =
        |image: &str| catalog.rmi(&[image.to_owned()], &RmiOptions { force: true, ..RmiOptions::default() });
    assert!(!only("nosuch").failed && only("Foo").failed);
    catalog.apply(&removal.change).unwrap();
    assert_eq!(catalog, Catalog::default());
}

#[test]
fn tags_follow_the_habit_and_do_not_move_back_unseen() {
    let spec = |name: &str, created: u64| ImageSpec { created, ..ImageSpec::new(name).label("name", name) };
    let mut catalog = with(&[fixtures::docker_hybrid(&[
        spec("app:2.1.10", 2000).name("app:latest").name("app:2"),
        spec("app:2.1.9", 3000),
        spec("old:x", 1000),
        spec("new:x", 4000),
    ])]);
    let tagging = |catalog: &Catalog, source: &str, target: &str| catalog.tagging(source, target).unwrap();
    let told = tagging(&catalog, "app:2.1.9", "app");
    assert_eq!((told.name.as_str(), told.backwards), ("app:latest", vec!["app:latest".to_owned()]));
    assert!(told.from.is_some());
    let told = tagging(&catalog, "new:x", "app:2.1.11");
    assert_eq!(told.aliases, ["app:2.1", "app:2", "app:latest"]);
    assert!(told.backwards.is_empty() && told.from.is_none());
    // By date, where there is no version.
    assert_eq!(tagging(&catalog, "old:x", "app").backwards, ["app:latest"]);
    assert!(tagging(&catalog, "new:x", "app").backwards.is_empty());
    // By version, however old the image is.
    assert!(tagging(&catalog, "old:x", "app:3.0.0").backwards.is_empty());
    assert_eq!(tagging(&catalog, "new:x", "app:1.9.9").backwards, ["app:latest"]);
    done(&mut catalog, |catalog| catalog.tag("app:2.1.9", "app"));
    assert_eq!(id(&catalog, "app"), id(&catalog, "app:2.1.9"));
}

#[test]
fn what_comes_before_a_release_is_older_and_equal_versions_go_by_date() {
    let spec = |names: &[&str], created: u64| ImageSpec {
        created,
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        layers: vec![Layer::files(&[("made", &created.to_string())])],
        ..ImageSpec::untagged()
    };
    let catalog = with(&[fixtures::docker_legacy(&[
        spec(&["app:2.0.0", "app:latest"], 2000),
        spec(&["app:2.0.0-rc1"], 3000),
        spec(&["app:2.0.0-alpine"], 1000),
        spec(&["app:2.0.0-debian"], 4000),
        spec(&["next:1.0.0-rc2", "next:latest"], 2000),
        spec(&["next:1.0.0-rc1"], 1000),
        spec(&["next:1.0.0"], 500),
    ])]);
    for (source, target, is_back) in [
        ("app:2.0.0-rc1", "app", true),
        ("app:2.0.0-alpine", "app", true),
        ("app:2.0.0-debian", "app", false),
        ("next:1.0.0-rc1", "next", true),
        ("next:1.0.0", "next", false),
    ] {
        assert_eq!(!catalog.tagging(source, target).unwrap().backwards.is_empty(), is_back, "{source}");
    }
}

#[test]
fn what_is_older_than_a_day_is_found_by_who_knows_the_time() {
    let made = ImageSpec { created: 1_577_934_245, ..ImageSpec::new("app:1") };
    let catalog = with(&[fixtures::docker_legacy(&[made])]);
    let rows = |until: &str, now: Option<&str>| {
        let filters = vec![("until".to_owned(), until.to_owned())];
        let now = now.and_then(longshore_archive::Timestamp::parse);
        catalog.images(&ListOptions { filters, now, ..ListOptions::default() }).map(|rows| rows.len())
    };
    assert_eq!(rows("24h", Some("2020-01-03T03:04:04Z")), Ok(0));
    assert_eq!(rows("24h", Some("2020-01-03T03:04:05Z")), Ok(1));
    assert_eq!(rows("2020-01-02T03:04:05Z", None), Ok(1));
    assert_eq!(rows("24h", None).unwrap_err().code(), Code::InvalidArgument);
    let sentence = "failed to parse value as time or duration: \"soon\"";
    assert_eq!(rows("soon", None).unwrap_err().message(), sentence);
    let filters = ["1", "0", "1"].map(|value| ("dangling".to_owned(), value.to_owned())).to_vec();
    let error = catalog.images(&ListOptions { filters, ..ListOptions::default() }).unwrap_err();
    assert_eq!(error.message(), "invalid filter 'dangling=[0 1]'");
}

#[test]
fn rows_that_lead_to_nothing_are_refused_by_name() {
    let catalog = with(&[line("a", &[&[], &["app:1"]]), platforms("multi:1", &["amd64"])]);
    let rows: Vec<_> = catalog.rows().collect();
    for (gone, _) in rows.iter().filter(|(key, _)| key.starts_with("image/") || key.starts_with("index/")) {
        let others = rows.iter().filter(|(key, _)| key != gone).cloned();
        let error = Catalog::from_rows(others).unwrap_err();
        assert_eq!(error.code(), Code::DamagedCatalog);
        assert!(error.detail().contains_key("key"));
    }
    let unknown = rows.iter().cloned().chain([("other/x".to_owned(), "nonsense".to_owned())]);
    assert_eq!(Catalog::from_rows(unknown).unwrap(), catalog);
}

#[test]
fn rows_that_are_not_what_their_config_says_are_refused_by_name() {
    let layers = vec![Layer::files(&[("a", "1")]), Layer::files(&[("b", "2")])];
    let catalog = with(&[fixtures::docker_hybrid(&[ImageSpec { layers, ..ImageSpec::new("app:1") }])]);
    let rows: Vec<_> = catalog.rows().collect();
    let refused = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut rows = rows.clone();
        let (key, value) = rows.iter_mut().find(|(key, _)| key.starts_with("image/")).unwrap();
        let key = key.clone();
        let mut row = serde_json::from_str(value).unwrap();
        change(&mut row);
        *value = row.to_string();
        let error = Catalog::from_rows(rows).unwrap_err();
        assert_eq!((error.code(), &error.detail()["key"]), (Code::DamagedCatalog, &key.into()), "{error}");
        error.message().to_owned()
    };
    let other = longshore_archive::sha256(b"other");
    let config = refused(&|row| {
        let text = row["config"].as_str().unwrap().replace("amd64", "amd65");
        assert_ne!(row["config"], text);
        row["config"] = text.into();
    });
    assert!(config.contains("is not what its digest says"), "{config}");
    let id = refused(&|row| row["id"] = other.clone().into());
    assert!(id.contains("is not what its digest says"), "{id}");
    for layer in 0..2 {
        let told = refused(&|row| row["layers"][layer]["diffId"] = other.clone().into());
        assert!(told.contains(&format!("invalid diffID for layer {layer}")), "{told}");
    }
    for number in [1, 3] {
        let told = refused(&|row| {
            let all = row["layers"].as_array_mut().unwrap();
            *all = all.iter().cycle().take(number).cloned().collect();
        });
        assert!(told.contains("layers length mismatch"), "{told}");
    }
}

#[test]
fn a_parent_is_one_step_less_or_none() {
    let incoming = incoming(line("a", &[&["a:1"], &["b:1"], &["c:1"]]));
    let with_parent = |parent: usize| {
        let mut text = serde_json::to_value(&incoming).unwrap();
        text["images"][2]["parent"] = incoming.images[parent].id().into();
        let catalog = Catalog::default();
        let mut after = catalog.clone();
        after.apply(&catalog.load(&serde_json::from_value(text).unwrap()).unwrap()).unwrap();
        after.find_image("c:1").unwrap().parent().map(str::to_owned)
    };
    assert_eq!(with_parent(1).as_deref(), Some(incoming.images[1].id()));
    assert_eq!(with_parent(0), None);
    assert_eq!(with_parent(2), None);
}

#[test]
fn nothing_is_made_from_itself() {
    // Without a history, anything may be anything's parent.
    let spec = |name: &str| ImageSpec { history: Some(vec![]), ..ImageSpec::new(name).label("name", name) };
    let specs = [spec("a:1"), spec("b:1"), spec("c:1")];
    let mut incoming = incoming(fixtures::docker_hybrid(&specs));
    let mut text = serde_json::to_value(&incoming).unwrap();
    for (image, parent) in [(0, 1), (1, 2), (2, 0)] {
        text["images"][image]["parent"] = specs[parent].id().into();
    }
    incoming = serde_json::from_value(text).unwrap();
    let mut catalog = Catalog::default();
    done(&mut catalog, |catalog| catalog.load(&incoming));
    assert_eq!(catalog.all_images().filter(|image| image.parent().is_some()).count(), 2);
    // Nor in rows.
    let orphan = catalog.all_images().find(|image| image.parent().is_none()).unwrap().id().to_owned();
    let child = catalog.all_images().find(|image| image.parent() == Some(&orphan)).unwrap().id().to_owned();
    let mut rows: Vec<_> = catalog.rows().collect();
    for (_, value) in rows.iter_mut().filter(|(key, _)| key.ends_with(&orphan)) {
        let mut image: serde_json::Value = serde_json::from_str(value).unwrap();
        image["parent"] = child.clone().into();
        *value = image.to_string();
    }
    let error = Catalog::from_rows(rows).unwrap_err();
    assert!(error.message().contains("its parent was made from it"), "{error}");
}

#[test]
fn thousands_of_images_are_no_trouble() {
    let template = incoming(fixtures::docker_hybrid(&[ImageSpec::new("app:0")]));
    let mut all = Incoming::default();
    for number in 0..3000 {
        let mut text = serde_json::to_value(&template).unwrap();
        let image = &mut text["images"][0];
        let config =
            image["config"].as_str().unwrap().replacen('{', &format!("{{\"author\":\"{number}\","), 1);
        let id = longshore_archive::sha256(config.as_bytes());
        (image["id"], image["config"]) = (id.clone().into(), config.into());
        text["listed"][0] = serde_json::json!({ "target": { "image": id }, "names": [format!("app:{number}"), format!("db:{number}")] });
        let one: Incoming = serde_json::from_value(text).unwrap();
        all.images.extend(one.images);
        all.listed.extend(one.listed);
    }
    let mut catalog = Catalog::default();
    assert_eq!(catalog.plan(&all).unwrap().names.len(), 6000);
    done(&mut catalog, |catalog| catalog.load(&all));
    assert_eq!(Catalog::from_rows(catalog.rows()).unwrap(), catalog);
    assert_eq!(shown(&catalog).len(), 6000);
    assert_eq!(catalog.save(&["app".to_owned(), "db".to_owned()], &[]).unwrap().blobs.len(), 3002);
    assert_eq!(catalog.df(&[]).total, 3000);
    let names: Vec<String> = (0..3000).map(|number| format!("db:{number}")).collect();
    done(&mut catalog, |catalog| Ok(catalog.rmi(&names, &RmiOptions::default()).change));
    let options = PruneOptions { all: true, ..PruneOptions::default() };
    done(&mut catalog, |catalog| Ok(catalog.prune(&options)?.change));
    assert_eq!(catalog, Catalog::default());
}

/// An archive whose only image is given names that no tool writes.
fn named(names: &[&str]) -> Vec<u8> {
    let mut entries = fixtures::docker_legacy_entries(&[ImageSpec::new("app:1")]);
    entries.retain(|entry| entry.path != "repositories");
    for entry in entries.iter_mut().filter(|entry| entry.path == "manifest.json") {
        let fixtures::Content::Bytes(bytes) = &mut entry.content else { continue };
        let text = String::from_utf8(bytes.clone()).unwrap();
        *bytes = text.replace(r#"["app:1"]"#, &serde_json::to_string(names).unwrap()).into_bytes();
    }
    fixtures::tar(&entries)
}

#[test]
fn names_that_cannot_be_kept_are_left_out() {
    let digest = format!("sha256:{}", "a".repeat(64));
    let (both, pinned) = (format!("app:1@{digest}"), format!("app@{digest}"));
    let names = ["Upper:1", &both, &pinned, "a:b:c", "", &"a".repeat(64), "1.0", "ok:1"];
    let catalog = with(&[named(&names)]);
    assert_eq!(shown(&catalog), ["1.0:latest amd64", "ok:1 amd64"]);
}

#[test]
fn times_that_are_none_are_refused_in_dockers_words() {
    let time = |text: &str| format!("parsing time {text} as \"2006-01-02T15:04:05Z07:00\"");
    for (from, to, sentence) in [
        ("1970-01-01T00:00:00Z", "1970-01-01 00:00:00Z", time("\"1970-01-01 00:00:00Z\"")),
        ("1970-01-01T00:00:00Z", "", time("\"\"")),
        ("created_by", "created", time("\"step\"")),
    ] {
        let step = fixtures::HistoryStep { created_by: "step".to_owned(), empty_layer: false };
        let spec = ImageSpec { created: 0, history: Some(vec![step]), ..ImageSpec::new("app:1") };
        let mut entries = fixtures::docker_legacy_entries(&[spec]);
        for entry in &mut entries {
            let fixtures::Content::Bytes(bytes) = &mut entry.content else { continue };
            let Ok(text) = String::from_utf8(bytes.clone()) else { continue };
            *bytes = text.replace(from, to).into_bytes();
        }
        let error = Incoming::of(&kept(fixtures::tar(&entries))).unwrap_err();
        assert_eq!((error.code(), error.message()), (Code::InvalidConfig, sentence.as_str()), "{from}");
    }
}

#[test]
fn inspecting_tells_what_the_config_says_and_linux_where_it_does_not() {
    let inspected = |from: &str, to: &str| {
        let mut entries = fixtures::docker_legacy_entries(&[ImageSpec::new("app:1")]);
        for entry in &mut entries {
            let fixtures::Content::Bytes(bytes) = &mut entry.content else { continue };
            let Ok(text) = String::from_utf8(bytes.clone()) else { continue };
            *bytes = text.replace(from, to).into_bytes();
        }
        let catalog = with(&[fixtures::tar(&entries)]);
        let inspect = catalog.inspect("app:1").unwrap();
        (inspect.os, inspect.os_version, inspect.comment)
    };
    let linux = || "linux".to_owned();
    let comment = r#""comment":"its own","os":"linux""#;
    assert_eq!(inspected(r#""os":"linux""#, comment), (linux(), None, "its own".to_owned()));
    assert_eq!(inspected(r#""os":"linux""#, r#""os":"""#), (linux(), None, String::new()));
    let windows = inspected(r#""os":"linux""#, r#""os":"windows","os.version":"10.0""#);
    assert_eq!(windows, ("windows".to_owned(), Some("10.0".to_owned()), String::new()));
}

#[test]
fn what_is_pulled_is_known_by_its_digest_too() {
    let pull = |catalog: &mut Catalog, reference: &str| {
        let mut pulled = incoming(fixtures::oci(&[ImageSpec::new("registry.local/app:1")]));
        pulled.pulled(reference).unwrap();
        done(catalog, |catalog| catalog.load(&pulled))
    };
    let mut catalog = Catalog::default();
    assert_eq!(pull(&mut catalog, "registry.local/app:1"), ["Loaded image: registry.local/app:1"]);
    let row = catalog.images(&ListOptions::default()).unwrap().remove(0);
    let digest = row.digest.unwrap();
    let pinned = format!("registry.local/app@{digest}");
    assert_eq!(digest, catalog.image(&row.id).unwrap().manifest().digest);
    assert_eq!(catalog.inspect(&pinned).unwrap().repo_digests, [pinned.as_str()]);
    assert_eq!(catalog.save(std::slice::from_ref(&pinned), &[]).unwrap().blobs.len(), 3);

    // Another repository stands against removing it by its ID; with the last tag of one its digest goes.
    pull(&mut catalog, &format!("registry.local/copy:2@{digest}"));
    let options = RmiOptions::default();
    assert_eq!(removed(&mut catalog, &row.id, &options).unwrap_err().code(), Code::ImageInUse);
    assert_eq!(
        removed(&mut catalog, "registry.local/app:1", &options).unwrap(),
        ["Untagged: registry.local/app:1".to_owned(), format!("Untagged: {pinned}")]
    );
    let copy = format!("registry.local/copy@{digest}");
    let asked = |dangling: &str| {
        let filters = vec![("dangling".to_owned(), dangling.to_owned())];
        catalog.images(&ListOptions { filters, ..ListOptions::default() }).unwrap()
    };
    for rows in [asked("true"), asked("false")] {
        assert_eq!(rows[0].repository.as_deref(), Some("registry.local/copy"));
        assert_eq!((rows.len(), &rows[0].tag, &rows[0].digest), (1, &None, &Some(digest.clone())));
    }
    let pruned = catalog.prune(&PruneOptions::default()).unwrap();
    assert_eq!(pruned.change.lines[1], format!("untagged: {copy}"));

    // Asked for by its digest alone, it is told by that.
    let mut catalog = Catalog::default();
    assert_eq!(pull(&mut catalog, &format!("copy@{digest}")), [format!("Loaded image: copy@{digest}")]);
}
