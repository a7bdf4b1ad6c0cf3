//! Which image and which index a name of a layout means, and what edits make of it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failure should stop the test"
)]

mod layouts;

use std::rc::Rc;

use layouts::{Layout, PLAIN, named};
use longshore_archive::{Archive, Code, Edit, Finding, FindingCode, RenameRule, Result, Source};

type Open = Archive<Rc<Vec<u8>>>;

/// Each descriptor of `index.json`: which of `tops` it is, and its name.
fn listed(archive: &Open, tops: &[&String]) -> Vec<(usize, Option<String>)> {
    let entry = &archive.index().entries()[archive.index().find("index.json").unwrap()];
    let mut bytes = vec![0; usize::try_from(entry.size).unwrap()];
    archive.recipe().read_at(entry.data, &mut bytes).unwrap();
    let index: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    let one = |descriptor: &serde_json::Value| {
        let digest = descriptor["digest"].as_str().unwrap();
        let name = descriptor["annotations"]["org.opencontainers.image.ref.name"].as_str();
        let name = name.map(|name| name.trim_start_matches("docker.io/library/").to_owned());
        (tops.iter().position(|top| top.contains(digest)).unwrap(), name)
    };
    index["manifests"].as_array().unwrap().iter().map(one).collect()
}

/// As of two tags of which amd64 alone was built anew between them.
#[test]
fn a_name_means_what_its_own_index_lists() {
    let mut layout = Layout(Vec::new());
    let [old, arm64] = ["amd64", "arm64"].map(|name| layout.image(name, PLAIN));
    let new = layout.image_of("built anew", "amd64", PLAIN);
    let other = layout.image("s390x", PLAIN);
    let (first, second) = (layout.index(&[&arm64, &old]), layout.index(&[&new, &arm64]));
    let tops = [&first, &second, &other];
    let archive = layout.open(&[(&first, "app:1"), (&second, "app:2"), (&other, "other:1")]);
    let number = |descriptor: &String| {
        let is_it = |digest: &String| descriptor.contains(digest.as_str());
        archive.images().iter().position(|image| image.digest.as_ref().is_some_and(is_it)).unwrap()
    };
    let [old, arm64, new] = [&old, &arm64, &new].map(number);
    for (name, image) in [("app:1", old), ("app:2", new)] {
        assert_eq!(archive.find(name).unwrap(), image, "{name}");
        let mut chosen = archive.choose(name).unwrap();
        chosen.sort_unstable();
        let mut expected = [arm64, image];
        expected.sort_unstable();
        assert_eq!(chosen, expected, "{name}");
    }
    let entries = |edit: Result<Edit<_>>| {
        let entries = listed(&edit.unwrap().archive, &tops);
        entries.into_iter().map(|(top, name)| (top, name.unwrap_or_default())).collect::<Vec<_>>()
    };
    let expect = |names: &[(usize, &str)]| {
        names.iter().map(|(top, name)| (*top, (*name).to_owned())).collect::<Vec<_>>()
    };
    assert_eq!(
        entries(archive.tag("app:1", "x:1")),
        expect(&[(0, "app:1"), (0, "x:1"), (1, "app:2"), (2, "other:1")])
    );
    assert_eq!(
        entries(archive.tag("app:2", "x:1")),
        expect(&[(0, "app:1"), (1, "app:2"), (1, "x:1"), (2, "other:1")])
    );
    // A name moves from one to the other, though they share an image.
    assert_eq!(
        entries(archive.tag("app:2", "app:1")),
        expect(&[(0, ""), (1, "app:2"), (1, "app:1"), (2, "other:1")])
    );
    assert_eq!(archive.tag("app:2", "app:2").unwrap_err().code(), Code::DuplicateReference);
    let rule = |from: &str, to: &str| [RenameRule { from: from.to_owned(), to: to.to_owned() }];
    assert_eq!(
        entries(archive.rename(&rule("app", "team"))),
        expect(&[(0, "team:1"), (1, "team:2"), (2, "other:1")])
    );
    assert_eq!(archive.rename(&rule("app:1", "app:2")).unwrap_err().code(), Code::DuplicateReference);
    // The other index would go on listing the image for arm64.
    assert_eq!(archive.remove("app:1").unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(archive.remove("other:1").unwrap().archive.images().len(), 3);
    let is_of_names = |finding: &&Finding| finding.code == FindingCode::DuplicateName;
    assert_eq!(archive.findings().iter().find(is_of_names), None);
}

#[test]
fn a_name_leaves_what_is_no_image() {
    let chart = r#"{"schemaVersion":2,"artifactType":"application/chart","config":{"mediaType":"application/chart","digest":"DIGEST","size":2},"layers":[]}"#;
    for is_there in [false, true] {
        let mut layout = Layout(Vec::new());
        let base = layout.image("amd64", PLAIN);
        let (config, _) = layout.blob("{}");
        let (digest, size) = layout.blob(chart.replace("DIGEST", &config));
        if !is_there {
            layout.0.pop();
        }
        let other = format!(
            r#"{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{digest}","size":{size}}}"#
        );
        let archive = layout.open(&[(&other, "app:1"), (&base, "base:1")]);
        assert_eq!((archive.images().len(), archive.others().len()), (1, 1));
        let tagged = archive.tag("base:1", "app:1").unwrap().archive;
        let name = |name: &str| Some(name.to_owned());
        assert_eq!(
            listed(&tagged, &[&other, &base]),
            [(0, None), (1, name("base:1")), (1, name("app:1"))],
            "{is_there}"
        );
        assert!(tagged.others()[0].names.is_empty());
    }
}

#[test]
fn a_name_goes_where_the_name_before_it_leads() {
    let mut layout = Layout(Vec::new());
    let [amd64, arm64, s390x] = ["amd64", "arm64", "s390x"].map(|name| layout.image(name, PLAIN));
    let (first, second) = (layout.index(&[&arm64, &amd64]), layout.index(&[&amd64, &s390x]));
    let tops = [&first, &second, &amd64];
    let archive = layout.open(&[(&first, "one:1"), (&second, "two:1"), (&amd64, "three:1")]);
    for (number, name) in ["one:1", "two:1", "three:1"].into_iter().enumerate() {
        let tagged = listed(&archive.tag(name, "x:1").unwrap().archive, &tops);
        let new: Vec<_> = tagged.iter().filter(|(_, name)| name.as_deref() == Some("x:1")).collect();
        assert_eq!(new, [&(number, Some("x:1".to_owned()))], "{name}");
        assert_eq!(archive.choose(name).unwrap().len(), [2, 2, 1][number], "{name}");
    }
    // By its ID, the image itself is meant.
    let number = archive.find("three:1").unwrap();
    let tagged = archive.tag(&archive.images()[number].id, "x:1").unwrap().archive;
    assert_eq!(tagged.choose("x:1").unwrap(), [number]);
    let moved = archive.tag("three:1", "one:1").unwrap().archive;
    assert_eq!(moved.choose("one:1").unwrap(), [number]);
    assert_eq!(named(&moved)[1].1, [""; 0]);
}
