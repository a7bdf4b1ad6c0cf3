//! What the steps are about: images that share layers and were made from each other, archives of them, and names.

use std::collections::BTreeSet;
use std::error::Error;
use std::path::{Path, PathBuf};

use longshore_fixtures::{
    Content, HistoryStep, ImageSpec, Layer, docker_hybrid_entries, docker_legacy_entries, tar,
};

/// Names, some of which mean the same.
pub(crate) const NAMES: [&str; 12] = [
    "app:1",
    "app:2",
    "app",
    "app:2.1.10",
    "team/app:1",
    "localhost:5000/app:1.2",
    "docker.io/library/app:3",
    "db:5.5.16",
    "db",
    "app-x:1",
    "library/db:8",
    "index.docker.io/team/app",
];

/// What the names' repositories are.
pub(crate) const REPOSITORIES: [&str; 6] =
    ["app", "db", "team/app", "localhost:5000/app", "docker.io/library/app", "nosuch"];

/// What leads to nothing.
pub(crate) const NOTHING: [&str; 9] = [
    "nosuch",
    "nosuch:1",
    "Foo",
    "app:",
    "app..x",
    "app@sha256:1111111111111111111111111111111111111111111111111111111111111111",
    "sha256:1111111111111111111111111111111111111111111111111111111111111111",
    "2222222222222222222222222222222222222222222222222222222222222222",
    "sha256:1",
];

/// Filters of `docker images`, without those that name an image.
pub(crate) const FILTERS: [(&str, &str); 13] = [
    ("dangling", "true"),
    ("dangling", "false"),
    ("dangling", "maybe"),
    ("reference", "app"),
    ("reference", "app:*"),
    ("reference", "*"),
    ("reference", "*/*"),
    ("reference", "a?p:[1-2]"),
    ("reference", "localhost:5000/*:1.2"),
    ("label", "family"),
    ("label", "family=1"),
    ("label", "family=9"),
    ("nope", "1"),
];

pub(crate) struct World {
    /// IDs of the images.
    pub(crate) ids: Vec<String>,
    /// Archives of them.
    pub(crate) archives: Vec<PathBuf>,
    /// Where files may be written.
    pub(crate) directory: PathBuf,
    /// Whether a container of the images can be run.
    pub(crate) runs: bool,
}

/// An image and which of the others it was made from.
struct Member {
    spec: ImageSpec,
    parent: Option<usize>,
}

impl World {
    pub(crate) fn make(directory: &Path, busybox: Option<&Path>) -> Result<Self, Box<dyn Error>> {
        let members = members(busybox.map(std::fs::read).transpose()?);
        let ids: Vec<String> = members.iter().map(|member| member.spec.id()).collect();
        let mut archives = Vec::new();
        for (number, chosen) in archives_of(members.len()).into_iter().enumerate() {
            let path = directory.join(format!("in-{number}.tar"));
            std::fs::write(&path, archive(&members, &ids, &chosen, number)?)?;
            archives.push(path);
        }
        Ok(Self { ids, archives, directory: directory.to_owned(), runs: busybox.is_some() })
    }
}

/// Three families. Of one family, each is a layer more than its parent, or one command; one has a parent's layers without being
/// made from it.
fn members(busybox: Option<Vec<u8>>) -> Vec<Member> {
    let layer = |text: &str| Layer::files(&[("etc/", ""), ("etc/motd", text)]);
    let program = busybox.into_iter().map(|bytes| ("busybox".to_owned(), bytes));
    let base = Layer::Files(program.chain([("motd".to_owned(), b"base".to_vec())]).collect());
    let mut members: Vec<Member> = Vec::new();
    for family in 0..3_u64 {
        let spec = ImageSpec {
            layers: vec![base.clone()],
            history: Some(vec![step("base", false)]),
            created: 1_577_934_245 + family * 1000,
            ..ImageSpec::untagged().label("family", &family.to_string())
        };
        let first = members.len();
        members.push(Member { spec, parent: None });
        for (parent, text) in [(0, Some("one")), (1, Some("two")), (0, None), (3, Some("three"))] {
            let Some(from) = members.get(first + parent) else { continue };
            let mut spec = from.spec.clone();
            spec.layers.extend(text.map(layer));
            spec.history.get_or_insert_default().push(step(text.unwrap_or("command"), text.is_none()));
            if text.is_none() {
                spec.cmd.push(family.to_string());
            }
            members.push(Member { spec, parent: Some(first + parent) });
        }
        let stranger = members.get(first + 2).map(|member| member.spec.clone().label("stranger", "yes"));
        members.extend(stranger.map(|spec| Member { spec, parent: None }));
    }
    members
}

fn step(text: &str, empty_layer: bool) -> HistoryStep {
    HistoryStep { created_by: format!("/bin/sh -c {text}"), empty_layer }
}

/// The images of each archive, with their names: single ones, families, and mixtures.
fn archives_of(members: usize) -> Vec<Vec<(usize, Vec<&'static str>)>> {
    let name = |number: usize| NAMES.get(number % NAMES.len()).copied().unwrap_or("app");
    let name = |number| if name(number).contains(':') { name(number) } else { "app:latest" };
    let mut archives = Vec::new();
    for member in 0..members {
        archives.push(vec![(member, if member % 4 == 0 { vec![] } else { vec![name(member)] })]);
    }
    for family in (0..members).step_by(6) {
        let of = |members: &[usize], names: &[Vec<&'static str>]| {
            members.iter().map(|member| family + member).zip(names.iter().cloned()).collect::<Vec<_>>()
        };
        // A whole line, of which the last has a name; the same without; parents that have names, too; children first.
        archives.push(of(&[0, 1, 2], &[vec![], vec![], vec![name(family)]]));
        archives.push(of(&[0, 3, 4], &[vec![], vec![], vec![]]));
        archives.push(of(
            &[0, 1, 3],
            &[vec![name(family + 1)], vec![name(family + 2), name(family + 3)], vec![]],
        ));
        archives.push(of(
            &[2, 1, 0, 5],
            &[vec![name(family + 4)], vec![], vec![name(family + 5)], vec![name(family)]],
        ));
        archives.push(of(&[1, 2], &[vec![], vec![name(family + 7), name(family + 9)]]));
    }
    archives.push((0..members).map(|member| (member, vec![name(member)])).collect());
    for archive in &mut archives {
        // Two images of one name are refused before they come here.
        let mut seen = BTreeSet::new();
        for (_, names) in archive {
            names.retain(|name| seen.insert(*name));
        }
    }
    archives
}

/// Docker's own layout, the older one or the newer one, with `Parent` as Docker writes it.
fn archive(
    members: &[Member],
    ids: &[String],
    chosen: &[(usize, Vec<&'static str>)],
    number: usize,
) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut specs = Vec::new();
    let mut parents = Vec::new();
    for (member, names) in chosen {
        let Some(one) = members.get(*member) else { continue };
        specs.push(ImageSpec {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            ..one.spec.clone()
        });
        let parent = one.parent.filter(|parent| chosen.iter().any(|(other, _)| other == parent));
        parents.push(parent.and_then(|parent| ids.get(parent)));
    }
    let mut entries =
        if number.is_multiple_of(2) { docker_legacy_entries(&specs) } else { docker_hybrid_entries(&specs) };
    for entry in entries.iter_mut().filter(|entry| entry.path == "manifest.json") {
        let Content::Bytes(bytes) = &mut entry.content else { continue };
        let mut items: Vec<serde_json::Map<String, serde_json::Value>> = serde_json::from_slice(bytes)?;
        for (item, parent) in items.iter_mut().zip(&parents) {
            item.extend(parent.map(|parent| ("Parent".to_owned(), parent.as_str().into())));
        }
        *bytes = serde_json::to_vec(&items)?;
    }
    Ok(tar(&entries))
}
