//! Real archives by other people's tools: every file below `LONGSHORE_CORPUS`, whose `INDEX.tsv` says what each is.
//!
//! Images and layers are counted a second time here, by unpacking the whole tar and following `manifest.json` the
//! plain way, so that the index and the readers are judged by something else than themselves.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failure should stop the test"
)]

use std::collections::HashMap;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::rc::Rc;

use longshore_archive::{Archive, Code, Compression, sha256};
use serde_json::Value;

/// What a plain reader makes of one image: its ID and the number of its layers.
type Plain = Vec<(String, usize)>;

fn plain(tar: &[u8]) -> Plain {
    let mut members: HashMap<String, Vec<u8>> = HashMap::new();
    for entry in tar::Archive::new(Cursor::new(tar)).entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        members.insert(path.trim_start_matches("./").to_owned(), content);
    }
    let manifest: Value = serde_json::from_slice(&members["manifest.json"]).unwrap();
    let field = |item: &Value, name: &str| {
        let object = item.as_object().unwrap();
        object.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).unwrap().1.clone()
    };
    let image = |item: &Value| {
        let config = field(item, "Config");
        let layers = field(item, "Layers").as_array().unwrap().len();
        (sha256(&members[config.as_str().unwrap().trim_start_matches("./")]), layers)
    };
    manifest.as_array().unwrap().iter().map(image).collect()
}

/// The file's bytes, unpacked by the tool for its format where it is compressed.
fn unpacked(path: &Path) -> Vec<u8> {
    let bytes = std::fs::read(path).unwrap();
    let tool = match Compression::of(&bytes) {
        None => return bytes,
        Some(compression) => compression.name(),
    };
    let output = Command::new(tool).arg("-dc").arg(path).stderr(Stdio::inherit()).output();
    output.unwrap_or_else(|error| panic!("{tool} is needed to unpack {}: {error}", path.display())).stdout
}

fn index(corpus: &Path) -> Vec<(PathBuf, String, String)> {
    let text = std::fs::read_to_string(corpus.join("INDEX.tsv")).unwrap();
    let rows = text.lines().skip(1).map(|row| {
        let columns: Vec<&str> = row.split('\t').collect();
        (corpus.join(columns[0]), columns[1].to_owned(), columns[3].to_owned())
    });
    rows.collect()
}

#[test]
fn every_archive_opens_or_says_why_not() {
    let Some(corpus) = std::env::var_os("LONGSHORE_CORPUS").map(PathBuf::from) else {
        println!("skipped: no LONGSHORE_CORPUS");
        return;
    };
    let mut opened = 0;
    let mut refused: HashMap<Code, usize> = HashMap::new();
    let mut wrong = Vec::new();
    for (path, kind, validity) in index(&corpus) {
        let packed = std::fs::read(&path).unwrap();
        let compressed = Compression::of(&packed).is_some();
        let straight = Archive::open(Rc::new(packed)).err().map(|error| error.code());
        if compressed != (straight == Some(Code::Compressed)) {
            wrong.push(format!("{}: compressed, but {straight:?}", path.display()));
        }
        let must_open = validity.starts_with("valid")
            && (kind.starts_with("docker-archive") || kind.starts_with("hybrid"));
        let tar = Rc::new(if compressed { unpacked(&path) } else { std::fs::read(&path).unwrap() });
        match Archive::open(tar.clone()) {
            Ok(archive) => {
                opened += 1;
                let images: Plain =
                    archive.images().iter().map(|image| (image.id.clone(), image.layers.len())).collect();
                if must_open && images != plain(&tar) {
                    wrong.push(format!("{}: {images:?} instead of {:?}", path.display(), plain(&tar)));
                }
            }
            Err(error) => {
                *refused.entry(error.code()).or_default() += 1;
                if must_open {
                    wrong.push(format!("{}: {error} {:?}", path.display(), error.detail()));
                }
            }
        }
    }
    let mut refused: Vec<_> = refused.into_iter().collect();
    refused.sort();
    println!("opened {opened}; refused {refused:?}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(opened > 0);
}
