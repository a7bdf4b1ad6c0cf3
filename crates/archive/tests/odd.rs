//! What bad input and bad requests get.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failure should stop the test"
)]

use std::cell::RefCell;
use std::rc::Rc;

use longshore_archive::{Archive, Code, Compression, FindingCode, Recipe, RenameRule, Source, TarIndex};
use longshore_fixtures::{
    Entry, HistoryStep, ImageSpec, NameForm, docker_hybrid, docker_legacy, docker_legacy_entries, docker_v1,
    oci_entries, odd, tar,
};

fn open(bytes: Vec<u8>) -> Archive<Rc<Vec<u8>>> {
    Archive::open(Rc::new(bytes)).unwrap()
}

fn findings(archive: &Archive<Rc<Vec<u8>>>) -> Vec<FindingCode> {
    archive.findings().iter().map(|finding| finding.code).collect()
}

fn text(recipe: &Recipe<Rc<Vec<u8>>>, index: &TarIndex, path: &str) -> String {
    let entry = &index.entries()[index.find(path).unwrap()];
    let mut bytes = vec![0; usize::try_from(entry.size).unwrap()];
    recipe.read_at(entry.data, &mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

fn listing(archive: &Archive<Rc<Vec<u8>>>, path: &str) -> String {
    text(archive.recipe(), archive.index(), path)
}

#[test]
fn every_broken_file_gets_its_code() {
    let files = odd::all();
    let got = |file: &odd::Odd| match Archive::open(Rc::new(file.bytes.clone())) {
        Err(error) => error.code().as_str(),
        Ok(_) => "opened",
    };
    // What is wrong with a compressed file shows when it is unpacked.
    let packed = |file: &odd::Odd| Compression::of(&file.bytes).is_some();
    let expected = |file: &odd::Odd| if packed(file) { "compressed" } else { file.code };
    let wrong = files.iter().filter(|file| got(file) != expected(file));
    let wrong: Vec<_> = wrong.map(|file| format!("{}: {}", file.file_name(), got(file))).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_is_no_tar_is_named() {
    let refused = |bytes: &[u8]| Archive::open(Rc::new(bytes.to_vec())).unwrap_err();
    let skip = b"\x50\x2a\x4d\x18\x04\0\0\0skip";
    for (magic, name) in [(b"\x04\x22\x4d\x18", "lz4"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"....", "zstd")] {
        let error = refused(&[&skip[..], skip, magic, &[0; 600]].concat());
        assert_eq!((error.code(), &error.detail()["compression"]), (Code::Compressed, &name.into()));
    }
    for (magic, name) in [
        (&b"\x02\x21\x4c\x18\xc6\x02\0\0"[..], "LZ4 in its legacy format"),
        (b"\x5d\0\0\x80\0\xff\xff\xff", "lzma"),
        (b"PK\x03\x04", "zip"),
    ] {
        let error = refused(&[magic, &[7; 600]].concat());
        assert_eq!(error.code(), Code::NotATar);
        assert!(error.message().contains(name), "{error:?}");
    }
}

#[test]
fn refused_edits_say_why() {
    let archive = open(docker_legacy(&[
        ImageSpec::new("mysql:5.5").name("mysql:5.5.16"),
        ImageSpec::new("nginx:latest").label("a", "b"),
    ]));
    let tag = |source, target| archive.tag(source, target).unwrap_err();
    let code = |source, target| tag(source, target).code();
    assert_eq!(code("mysql:5.5", "Foo"), Code::InvalidReference);
    assert_eq!(code("mysql:5.5", "mysql:5.5.16"), Code::DuplicateReference);
    assert_eq!(code("mysql", "x"), Code::NoSuchImage);
    assert_eq!(tag("nosuch", "x").message(), "No such image: nosuch:latest");
    assert_eq!(code("", "x"), Code::NoSuchImage);
    assert_eq!(archive.untag("mysql:8").unwrap_err().code(), Code::NoSuchImage);
    assert_eq!(archive.untag("Mysql:8").unwrap_err().code(), Code::InvalidReference);
    let rule = |from: &str, to: &str| RenameRule { from: from.into(), to: to.into() };
    let clash = archive.rename(&[rule("mysql:5.5", "x:1"), rule("nginx", "x:1")]);
    assert_eq!(clash.unwrap_err().code(), Code::InvalidReference, "nginx:latest would become x:1:latest");
    let clash = archive.rename(&[rule("mysql:5.5", "x:1"), rule("nginx:latest", "x:1")]);
    assert_eq!(clash.unwrap_err().code(), Code::DuplicateReference);
    assert!(archive.rename(&[rule("nosuch", "x")]).unwrap().changes.is_empty());
    let local = open(docker_legacy(&[ImageSpec::new("localhost:5000/team/x:dev")]));
    assert!(local.rename(&[rule("localhost", "docker.io")]).unwrap().changes.is_empty());
    for from in ["localhost:5000", "localhost:5000/team/x"] {
        assert_eq!(local.rename(&[rule(from, "docker.io/a/b")]).unwrap().changes.len(), 1, "{from}");
    }
}

#[test]
fn images_are_found_as_docker_finds_them() {
    let archive = open(docker_legacy(&[ImageSpec::new("a:latest"), ImageSpec::new("b:1").label("n", "1")]));
    let id = archive.images()[1].id.clone();
    for image in ["b:1", "docker.io/library/b:1", &id, &id[7..], &id[7..19], &id[..15]] {
        assert_eq!(archive.find(image).unwrap(), 1, "{image}");
    }
    assert_eq!(archive.find("a").unwrap(), 0);
    // Ten images: two IDs begin alike in one digit of sixteen, or else in none that this test could use.
    let many: Vec<_> = (0..17).map(|n| ImageSpec::untagged().label("n", &n.to_string())).collect();
    let archive = open(docker_legacy(&many));
    let first = |n: usize| &archive.images()[n].id[7..8];
    let twin = (1..17).find_map(|n| (0..n).find(|&m| first(m) == first(n)).map(|_| first(n))).unwrap();
    assert_eq!(archive.find(twin).unwrap_err().code(), Code::AmbiguousImage);
}

#[test]
fn a_tag_moves_from_another_image() {
    let archive = open(docker_hybrid(&[ImageSpec::new("app:1"), ImageSpec::new("app:2").label("v", "2")]));
    let edit = archive.tag("app:2", "app:1").unwrap();
    assert_eq!(edit.changes.len(), 2);
    assert!(edit.archive.images()[0].names.is_empty());
    assert_eq!(edit.archive.find("app:1").unwrap(), 1);
    // The index keeps the first image, without a name, as Docker writes it.
    let index: serde_json::Value = serde_json::from_str(&listing(&edit.archive, "index.json")).unwrap();
    let manifests = index["manifests"].as_array().unwrap();
    assert_eq!(manifests.iter().filter(|descriptor| descriptor.get("annotations").is_none()).count(), 1);
    assert_eq!(manifests.len(), 3);
}

#[test]
fn every_place_gets_a_name_as_docker_writes_it() {
    let archive = open(docker_hybrid(&[ImageSpec::new("mysql:5.5.16")]));
    let edit = archive.tag("mysql:5.5.16", "registry.local:5000/team/mysql").unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&listing(&edit.archive, "manifest.json")).unwrap();
    assert_eq!(
        manifest[0]["RepoTags"],
        serde_json::json!(["mysql:5.5.16", "registry.local:5000/team/mysql:latest"])
    );
    let index: serde_json::Value = serde_json::from_str(&listing(&edit.archive, "index.json")).unwrap();
    let annotations = &index["manifests"][1]["annotations"];
    assert_eq!(annotations["io.containerd.image.name"], "registry.local:5000/team/mysql:latest");
    assert_eq!(annotations["org.opencontainers.image.ref.name"], "latest");
    let repositories: serde_json::Value =
        serde_json::from_str(&listing(&edit.archive, "repositories")).unwrap();
    assert_eq!(repositories["registry.local:5000/team/mysql"]["latest"], repositories["mysql"]["5.5.16"]);
}

#[test]
fn an_untagged_archive_gets_its_repositories() {
    let archive = open(docker_legacy(&[ImageSpec::untagged()]));
    assert!(archive.index().find("repositories").is_none());
    let edit = archive.tag(&archive.images()[0].id, "app:1").unwrap();
    let top = archive.images()[0].layers[0].path.strip_suffix("/layer.tar").unwrap().to_owned();
    assert_eq!(listing(&edit.archive, "repositories"), format!("{{\"app\":{{\"1\":\"{top}\"}}}}\n"));
    // And an archive that has none, and no layer directories either, gets none.
    let crane = open(longshore_fixtures::crane(&[ImageSpec::new("a:1")]));
    assert!(crane.tag("a:1", "b:1").unwrap().archive.index().find("repositories").is_none());
}

#[test]
fn names_in_full_stay_in_full() {
    let archive = open(longshore_fixtures::skopeo(&ImageSpec::new("app:1")));
    assert_eq!(archive.images()[0].names[0].text(), "docker.io/library/app:1");
    let edit = archive.tag("app:1", "other:2").unwrap();
    assert_eq!(edit.archive.images()[0].names[1].text(), "docker.io/library/other:2");
    assert_eq!(edit.changes[0].to.as_deref(), Some("other:2"));
}

/// A legacy archive whose manifest.json was replaced.
fn with_manifest(edit: impl Fn(&str) -> String) -> Vec<u8> {
    let mut entries = docker_legacy_entries(&[ImageSpec::new("app:1")]);
    replace(&mut entries, |path| path == "manifest.json", edit);
    tar(&entries)
}

/// Puts another text into one member.
fn replace(entries: &mut [Entry], is_meant: impl Fn(&str) -> bool, edit: impl Fn(&str) -> String) {
    let entry = entries.iter_mut().find(|entry| is_meant(&entry.path)).unwrap();
    let longshore_fixtures::Content::Bytes(bytes) = &mut entry.content else { panic!("bytes") };
    *bytes = edit(std::str::from_utf8(bytes).unwrap()).into();
}

#[test]
fn unknown_keys_order_and_spelling_survive() {
    let bytes = with_manifest(|json| {
        json.replace("[{", r#"[{"x-first": {"b" : 1.0, "a":2},"#).replace("RepoTags", "repoTags")
    });
    let archive = open(bytes);
    let before = listing(&archive, "manifest.json");
    let after = listing(&archive.tag("app:1", "app:2").unwrap().archive, "manifest.json");
    assert_eq!(
        after,
        before.replace(r#"["app:1"]"#, r#"["app:1","app:2"]"#).replace(r#"first": {"#, r#"first":{"#)
    );
}

#[test]
fn both_of_two_manifests_are_renamed() {
    let mut entries = docker_legacy_entries(&[ImageSpec::new("app:1")]);
    let manifest = entries.iter().find(|entry| entry.path == "manifest.json").unwrap().clone();
    entries.insert(0, Entry { path: "./manifest.json".into(), ..manifest });
    let archive = open(tar(&entries));
    assert!(findings(&archive).contains(&FindingCode::DuplicateEntry));
    let edit = archive.tag("app:1", "app:2").unwrap();
    let index = edit.archive.index();
    for entry in index.entries().iter().filter(|entry| entry.path.ends_with("manifest.json")) {
        let mut bytes = vec![0; usize::try_from(entry.size).unwrap()];
        edit.archive.recipe().read_at(entry.data, &mut bytes).unwrap();
        assert!(String::from_utf8(bytes).unwrap().contains("app:2"), "{}", entry.path);
    }
}

#[test]
fn headers_of_every_kind_are_read_and_kept() {
    let forms = [NameForm::Fit, NameForm::Gnu, NameForm::Pax];
    for form in forms {
        let mut entries = docker_legacy_entries(&[ImageSpec::new("app:1")]);
        for entry in &mut entries {
            entry.name_form = form;
            entry.base256_size = true;
            entry.pax.push(("comment".into(), "line one\nline two".into()));
        }
        // A pax size overrules the header's, and is right again after an edit.
        for entry in entries.iter_mut().filter(|entry| entry.path == "manifest.json") {
            let longshore_fixtures::Content::Bytes(bytes) = &entry.content else { panic!("bytes") };
            entry.pax.push(("size".into(), bytes.len().to_string()));
            entry.claimed_size = Some(0);
        }
        let archive = open(tar(&entries));
        let edit = archive.tag("app:1", "app:2").unwrap();
        let mut bytes = vec![0; usize::try_from(edit.archive.recipe().len()).unwrap()];
        edit.archive.recipe().read_at(0, &mut bytes).unwrap();
        let reopened = open(bytes);
        assert_eq!(reopened.images(), edit.archive.images(), "{form:?}");
        assert_eq!(reopened.images()[0].names.len(), 2);
    }
}

#[test]
fn odd_but_usable_archives_have_findings() {
    let codes = |bytes| findings(&open(bytes));
    assert!(codes(with_manifest(|json| format!("{json} trailing"))).contains(&FindingCode::TrailingBytes));
    assert!(codes(with_manifest(|json| json.replace("app:1", "App:1"))).contains(&FindingCode::InvalidName));
    assert!(codes(with_manifest(|json| json.replace("app:1", "app"))).contains(&FindingCode::InvalidName));
    assert!(
        codes(with_manifest(|json| json.replace("app:1", "app:2"))).contains(&FindingCode::NamesDisagree)
    );
    assert!(
        codes(with_manifest(|json| json.replace(r#"["app:1"]"#, "null"))).contains(&FindingCode::Untagged)
    );
    assert_eq!(codes(with_manifest(|_| "[]".into())), [FindingCode::NoImages, FindingCode::NamesDisagree]);
    assert!(
        codes(with_manifest(|json| json.replace("\"RepoTags\"", "\"repotags\":[],\"RepoTags\"")))
            .contains(&FindingCode::DuplicateKey)
    );
    let whole = docker_legacy(&[ImageSpec::new("app:1")]);
    assert!(codes(whole.clone()).is_empty());
    assert_eq!(codes(whole[..whole.len() - 1024].to_vec()), [FindingCode::NoEndBlocks]);

    let app = || ImageSpec::new("app:1");
    let of = |config: &str| ImageSpec { config: Some(config.into()), ..app() };
    let mut renamed = docker_legacy_entries(&[app()]);
    replace(&mut renamed, |path| !path.contains('/') && path.len() > 64, |json| format!("{json} "));
    let mut called = oci_entries(&[app()]);
    replace(
        &mut called,
        |path| path == "index.json",
        |json| json.replace("image.manifest.v1", "image.index.v1"),
    );
    let step = HistoryStep { created_by: "step".to_owned(), empty_layer: false };
    for (bytes, code) in [
        (tar(&renamed), FindingCode::ConfigNameMismatch),
        (tar(&called), FindingCode::MediaTypeMismatch),
        (
            docker_legacy(&[ImageSpec { history: Some(vec![step.clone(), step]), ..app() }]),
            FindingCode::HistoryMismatch,
        ),
        (docker_legacy(&[of(r#"{"rootfs":{"diff_ids":["sha256:12"]}}"#)]), FindingCode::InvalidDiffId),
        (docker_v1(&[app()]), FindingCode::NoDigests),
        (docker_legacy(&[app(), app().label("other", "image")]), FindingCode::DuplicateName),
    ] {
        assert_eq!(codes(bytes), [code]);
    }
}

#[test]
fn an_unreadable_listing_is_a_finding_and_stays() {
    for path in ["repositories", "index.json"] {
        let mut entries = longshore_fixtures::docker_hybrid_entries(&[ImageSpec::new("app:1")]);
        for entry in entries.iter_mut().filter(|entry| entry.path == path) {
            entry.content = longshore_fixtures::Content::Bytes(b"{app}".into());
        }
        let archive = open(tar(&entries));
        assert_eq!(findings(&archive), [FindingCode::InvalidListing]);
        assert_eq!(listing(&archive.tag("app:1", "app:2").unwrap().archive, path), "{app}");
    }
}

#[test]
fn tags_that_differ_in_case_are_two() {
    let archive = open(docker_legacy(&[ImageSpec::new("app:v1").name("app:V1")]));
    let edit = archive.untag("app:V1").unwrap();
    let names: Vec<_> = edit.archive.images()[0].names.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["app:v1"]);
    assert!(findings(&edit.archive).is_empty(), "{:?}", edit.archive.findings());
    assert!(findings(&edit.archive.tag("app:v1", "app:V1").unwrap().archive).is_empty());
}

/// A file that others may write to.
struct Changing(RefCell<Vec<u8>>);

impl Source for Changing {
    fn len(&self) -> u64 {
        self.0.borrow().len() as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> longshore_archive::Result<()> {
        self.0.borrow().read_at(offset, buf)
    }
}

#[test]
fn a_file_that_changed_is_noticed_before_it_is_saved() {
    let source = Rc::new(Changing(RefCell::new(docker_legacy(&[ImageSpec::new("app:1")]))));
    let edit = Archive::open(source.clone()).unwrap().tag("app:1", "app:2").unwrap();
    edit.archive.recheck().unwrap();
    *source.0.borrow_mut() = docker_legacy(&[ImageSpec::new("app:1").label("other", "image")]);
    assert_eq!(edit.archive.recheck().unwrap_err().code(), Code::SourceChanged);
    source.0.borrow_mut().truncate(1000);
    assert_eq!(edit.archive.recheck().unwrap_err().code(), Code::SourceChanged);
}

#[test]
fn a_disagreement_is_mended_by_the_first_edit() {
    let archive = open(with_manifest(|json| json.replace("app:1", "app:2")));
    assert!(findings(&archive).contains(&FindingCode::NamesDisagree));
    let edit = archive.tag("app:2", "app:3").unwrap();
    assert!(findings(&edit.archive).is_empty(), "{:?}", edit.archive.findings());
    assert!(!listing(&edit.archive, "repositories").contains("\"1\""));
}
