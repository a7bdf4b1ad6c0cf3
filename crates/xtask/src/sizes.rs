//! How many bytes people download.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::{Result, failed, root};

/// The most that each wasm module may take as gzip: what a static host sends. The codec's part for files inside layers, with
/// regular expressions and a decoder that begins in the middle, is some 90 KB; what an archive brings to a
/// store some 30 KB, editing configs and rewriting layers some 25 KB each, containers some 45 KB. Containers are some
/// 70 KB of the engine, most of it what commits do to configs.
const WASM_GZIP: [(&str, usize); 4] = [
    ("core_bg.wasm", 155_000),
    ("codec_bg.wasm", 650_000),
    ("engine_bg.wasm", 295_000),
    ("registry_bg.wasm", 140_000),
];
/// The most that the first load of the page may take as brotli, everything that it requests counted.
const FIRST_LOAD_BROTLI: usize = 200_000;

/// What the page loads when something takes more than headers, or the store, or a section is opened.
const LATER: &[&str] = &[
    "catalog.js",
    "codec.js",
    "codec_bg.wasm",
    "codec-tasks.js",
    "codec-worker.js",
    "config-form.js",
    "container.js",
    "contents.js",
    "database.js",
    "database-keeping.js",
    "database-shelf.js",
    "engine.js",
    "engine_bg.wasm",
    "keep-tasks.js",
    "keeper.js",
    "keeping.js",
    "rewriting.js",
    "session-files.js",
    "store.js",
    "temporary.js",
    "unpacking.js",
];
/// What it loads for a registry: all files whose names begin so.
const REGISTRY: &str = "registry";

/// Whether the page loads a file of that name at once. Those of Node it never does.
fn is_first(name: &str) -> bool {
    !LATER.contains(&name) && !name.starts_with(REGISTRY) && name != "node.js" && !name.starts_with("node-")
}

struct Sizes {
    raw: usize,
    gzip: usize,
    brotli: usize,
}

fn measure(path: &Path) -> Result<Sizes> {
    let bytes = fs::read(path).map_err(failed(path.display()))?;
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(&bytes).map_err(failed("gzip"))?;
    let mut brotli = Vec::new();
    brotli::BrotliCompress(&mut bytes.as_slice(), &mut brotli, &brotli::enc::BrotliEncoderParams::default())
        .map_err(failed("brotli"))?;
    Ok(Sizes { raw: bytes.len(), gzip: gzip.finish().map_err(failed("gzip"))?.len(), brotli: brotli.len() })
}

/// Prints a row for each file, and their sum.
fn table(files: &[PathBuf]) -> Result<Sizes> {
    println!("{:>10} {:>10} {:>10}", "raw", "gzip", "brotli");
    let row = |sizes: &Sizes, name: &str| {
        println!("{:>10} {:>10} {:>10}  {name}", sizes.raw, sizes.gzip, sizes.brotli);
    };
    let mut sum = Sizes { raw: 0, gzip: 0, brotli: 0 };
    for file in files {
        let sizes = measure(file)?;
        row(&sizes, &file.strip_prefix(root()).unwrap_or(file).display().to_string());
        sum.raw += sizes.raw;
        sum.gzip += sizes.gzip;
        sum.brotli += sizes.brotli;
    }
    if files.len() > 1 {
        row(&sum, "in all");
    }
    Ok(sum)
}

/// Measures all that the page loads, and fails where it is over the budget.
pub(crate) fn check() -> Result<()> {
    let dist = root().join("dist");
    let mut files = Vec::new();
    for folder in ["", "app", "lib"] {
        let folder = dist.join(folder);
        for entry in fs::read_dir(&folder).map_err(failed(folder.display()))? {
            files.push(entry.map_err(failed(folder.display()))?.path());
        }
    }
    files.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let loaded = ["html", "css", "js", "svg", "wasm"]
            .iter()
            .any(|end| path.extension().is_some_and(|is| is == *end));
        path.is_file() && loaded && is_first(&name)
    });
    files.sort();
    let first_load = table(&files)?.brotli;
    let within = |what: &str, is: usize, budget: usize| {
        println!("{what}: {is} of {budget} bytes");
        if is <= budget { Ok(()) } else { Err(format!("{what} is over its budget")) }
    };
    for (name, budget) in WASM_GZIP {
        let is = measure(&dist.join("lib").join(name))?.gzip;
        within(&format!("{name} as gzip"), is, budget)?;
    }
    within("the first load of the page as brotli", first_load, FIRST_LOAD_BROTLI)
}
