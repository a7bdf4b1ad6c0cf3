//! Real archives by other people's tools: every file below `LONGSHORE_CORPUS`, whose `INDEX.tsv` says what each is.
//!
//! Images and layers are counted a second time here, by unpacking the whole tar and following its documents the
//! plain way, so that the index and the readers are judged by something else than themselves.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failure should stop the test"
)]

mod saving;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use longshore_archive::{Archive, FindingCode, Format, Limits, Source, Target, Verdict, sha256};
use serde_json::Value;

/// What a plain reader makes of one image: its ID and the number of its layers.
type Plain = BTreeSet<(String, usize)>;

struct Row {
    path: PathBuf,
    kind: String,
    validity: String,
    /// What skopeo and podman said.
    peers: [String; 2],
}

fn rows(corpus: &Path) -> Vec<Row> {
    let text = std::fs::read_to_string(corpus.join("INDEX.tsv")).unwrap();
    let row = |row: &str| {
        let columns: Vec<&str> = row.split('\t').collect();
        let column = |number: usize| columns.get(number).copied().unwrap_or_default().to_owned();
        Row {
            path: corpus.join(columns[0]),
            kind: column(1),
            validity: column(3),
            peers: [column(6), column(7)],
        }
    };
    text.lines().skip(1).map(row).collect()
}

fn plain(tar: &[u8]) -> Plain {
    let mut members: HashMap<String, Vec<u8>> = HashMap::new();
    for entry in tar::Archive::new(Cursor::new(tar)).entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        members.insert(path.trim_start_matches("./").to_owned(), content);
    }
    let field = |item: &Value, name: &str| {
        let object = item.as_object().unwrap();
        object.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).unwrap().1.clone()
    };
    let mut images = Plain::new();
    if let Some(manifest) = members.get("manifest.json") {
        let manifest: Value = serde_json::from_slice(manifest).unwrap();
        for item in manifest.as_array().unwrap() {
            let config = field(item, "Config");
            let layers = field(item, "Layers").as_array().unwrap().len();
            images.insert((sha256(&members[config.as_str().unwrap().trim_start_matches("./")]), layers));
        }
    }
    let mut todo: Vec<Value> =
        members.get("index.json").map(|index| serde_json::from_slice(index).unwrap()).into_iter().collect();
    while let Some(document) = todo.pop() {
        let blob = |descriptor: &Value| {
            members.get(&format!("blobs/{}", descriptor["digest"].as_str().unwrap().replace(':', "/")))
        };
        for child in document["manifests"].as_array().into_iter().flatten() {
            todo.extend(blob(child).map(|bytes| serde_json::from_slice::<Value>(bytes).unwrap()));
        }
        let layers = document["layers"].as_array().into_iter().flatten();
        let is_layer = |layer: &Value| {
            let media_type = layer["mediaType"].as_str().unwrap();
            media_type.contains("image.layer") || media_type.contains("rootfs.diff")
        };
        if layers.clone().any(is_layer) {
            images.insert((sha256(blob(&document["config"]).unwrap()), layers.count()));
        }
    }
    images
}

/// What the index's verdict asks of us; `None` where it is what is found.
fn disagreement(row: &Row, found: &Found) -> Option<String> {
    let is_image = ["docker-archive", "hybrid", "oci"].iter().any(|kind| row.kind.starts_with(kind));
    let wanted = match row.validity.as_str() {
        valid if valid.starts_with("valid") && is_image => matches!(found, Found::Opened(Verdict::Intact)),
        // One of these lacks the layers that its layers stand on.
        shape if shape.starts_with("v1.0 shape") && is_image => match found {
            Found::Opened(verdict) => *verdict == Verdict::Unproven,
            Found::Refused(code) => code == "missing-entry",
            Found::Nothing => false,
        },
        "deliberate: manifest.json removed (v1.0 shape)" => matches!(found, Found::Opened(Verdict::Unproven)),
        // Whether what was left out is an image at all is for the test below.
        "deliberate: foreign layer blob omitted" => matches!(found, Found::Opened(_)),
        "deliberately broken" | "hand-trimmed/inconsistent" => {
            !matches!(found, Found::Opened(Verdict::Intact | Verdict::Unproven))
        }
        _ => matches!(found, Found::Refused(_)),
    };
    (!wanted)
        .then(|| format!("{}: {found:?}, but it is: {} ({})", row.path.display(), row.validity, row.kind))
}

/// What has to survive a conversion: IDs, names that Docker knows, diff IDs.
fn essence(archive: &saving::Open) -> BTreeSet<(String, Vec<String>, Vec<Option<String>>)> {
    let image = |image: &longshore_archive::Image| {
        let tagged =
            image.names.iter().filter(|name| name.reference().is_some_and(|name| name.tag().is_some()));
        let mut names: Vec<_> = tagged.map(ToString::to_string).collect();
        names.sort();
        (image.id.clone(), names, image.layers.iter().map(|layer| layer.diff_id.clone()).collect())
    };
    archive.images().iter().map(image).collect()
}

/// docker → oci → docker → docker-legacy: what is written is intact, and still the same images.
fn round_trip(archive: &saving::Open) -> Vec<String> {
    let mut wrong = Vec::new();
    let oci = saving::all(archive, Target::Oci);
    let docker = saving::all(&oci, Target::Docker);
    for (what, written) in [("oci", &oci), ("docker", &docker)] {
        let report = written.verify(Limits::default()).unwrap();
        if report.verdict != Verdict::Intact || essence(written) != essence(archive) {
            wrong.push(format!("as {what}: {:?} {:?}", essence(written), report.findings));
        }
    }
    // The older layout has no place for what is not there, nor for several platforms of one name.
    let is_simple = |image: &longshore_archive::Image| {
        image.index.is_none() && image.layers.iter().all(|layer| layer.entry.is_some())
    };
    if archive.images().iter().all(is_simple) {
        let legacy = saving::all(&docker, Target::DockerLegacy);
        if legacy.verify(Limits::default()).unwrap().verdict != Verdict::Intact
            || essence(&legacy) != essence(archive)
        {
            wrong.push(format!("as docker-legacy: {:?}", essence(&legacy)));
        }
    }
    wrong
}

#[derive(Debug)]
enum Found {
    Opened(Verdict),
    /// Opens, but lists no image.
    Nothing,
    Refused(String),
}

#[test]
#[ignore = "needs LONGSHORE_CORPUS"]
fn every_archive_is_what_the_index_says() {
    let corpus = PathBuf::from(std::env::var_os("LONGSHORE_CORPUS").unwrap());
    let mut wrong = Vec::new();
    let mut table: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
    let mut refused_by_peers = Vec::new();
    let mut converted = 0;
    for row in rows(&corpus) {
        let tar = saving::unpacked(&std::fs::read(&row.path).unwrap());
        let opened = tar.as_ref().map_err(Clone::clone).and_then(|tar| Archive::open(Rc::new(tar.clone())));
        let found = match &opened {
            Err(error) => Found::Refused(error.code().to_string()),
            Ok(archive) if archive.images().is_empty() && archive.others().is_empty() => Found::Nothing,
            Ok(archive) => {
                let report = archive.verify(Limits::default()).unwrap();
                if row.validity.starts_with("valid") && report.verdict != Verdict::Intact {
                    wrong.push(format!("{}: {:?}", row.path.display(), report.findings));
                }
                Found::Opened(report.verdict)
            }
        };
        wrong.extend(disagreement(&row, &found));
        if let (Ok(archive), Ok(tar)) = (&opened, &tar) {
            if row.validity.starts_with("valid") && archive.format() != Format::DockerV1 {
                let images: Plain =
                    archive.images().iter().map(|image| (image.id.clone(), image.layers.len())).collect();
                if images != plain(tar) {
                    wrong.push(format!("{}: {images:?} instead of {:?}", row.path.display(), plain(tar)));
                }
                if row.peers.iter().any(|peer| peer.contains("FAIL")) {
                    refused_by_peers.push(row.path.file_name().unwrap().to_string_lossy().into_owned());
                }
            }
            let foreign =
                archive.findings().iter().any(|finding| finding.code == FindingCode::ForeignLayerAbsent);
            if foreign != (row.validity == "deliberate: foreign layer blob omitted") {
                wrong.push(format!("{}: a foreign layer that is absent: {foreign}", row.path.display()));
            }
            let mut same = vec![0; tar.len()];
            archive.recipe().read_at(0, &mut same).unwrap();
            assert!(same == *tar, "{}: same is the same", row.path.display());
            let is_whole = matches!(found, Found::Opened(Verdict::Intact)) && !archive.images().is_empty();
            let names: Vec<_> = archive
                .images()
                .iter()
                .filter(|image| image.index.is_none())
                .flat_map(|image| &image.names)
                .collect();
            // Two images of one name cannot be written.
            let is_clear = names.iter().collect::<std::collections::HashSet<_>>().len() == names.len();
            if is_whole && is_clear {
                converted += 1;
                let told = |what| format!("{} {what}", row.path.display());
                wrong.extend(round_trip(archive).into_iter().map(told));
            }
        }
        let outcome = match found {
            Found::Opened(verdict) => format!("opened, {verdict:?}").to_lowercase(),
            Found::Nothing => "opened, no image".to_owned(),
            Found::Refused(code) => format!("refused, {code}"),
        };
        *table.entry(row.kind).or_default().entry(outcome).or_default() += 1;
    }
    for (kind, outcomes) in &table {
        println!("{kind}");
        for (outcome, count) in outcomes {
            println!("{count:>6}  {outcome}");
        }
    }
    println!("converted, and intact afterwards: {converted}");
    println!("valid, and refused by skopeo or podman: {}", refused_by_peers.len());
    for name in &refused_by_peers {
        println!("        {name}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
