//! Says what every reader does with image archives: `cargo run --example compatibility FILE...`
//!
//! Prints one JSON document, which has a list of predictions for each file.
#![allow(clippy::print_stdout, reason = "that is what it is for")]

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use longshore_archive::{
    Algorithm, Compatibility, Compression, Limits, Measured, Result, Source, TarIndex, Unpacked,
    compatibility, measure,
};

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let mut predicted = BTreeMap::new();
    for file in std::env::args().skip(1) {
        let bytes = std::fs::read(&file)?;
        predicted.insert(file, predict(bytes)?);
    }
    println!("{}", serde_json::to_string_pretty(&predicted)?);
    Ok(())
}

fn predict(mut bytes: Vec<u8>) -> Result<Vec<Compatibility>> {
    let (mut packing, mut has_trailing) = (Vec::new(), false);
    while let Some(compression) = Compression::of(&bytes) {
        packing.push(compression);
        let trailing;
        (bytes, trailing) = unpack(&bytes, compression)?;
        has_trailing |= trailing > 0;
    }
    let source = Rc::new(bytes);
    let measured = measure_all(&source)?;
    Ok(compatibility(source, &packing, has_trailing, &measured))
}

/// What the bytes hold, and how many follow it.
fn unpack(bytes: &[u8], compression: Compression) -> Result<(Vec<u8>, u64)> {
    let mut unpacked = Unpacked::new(bytes, 0..Source::len(bytes), compression, Limits::default());
    let mut content = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        match unpacked.read(&mut buffer)? {
            0 => return Ok((content, unpacked.trailing())),
            count => content.extend(buffer.iter().take(count)),
        }
    }
}

/// Reads every member of the tar, if it is one.
fn measure_all(source: &Rc<Vec<u8>>) -> Result<HashMap<usize, Measured>> {
    let Ok(index) = TarIndex::read(source) else { return Ok(HashMap::new()) };
    let measure = |(number, entry): (usize, &longshore_archive::Entry)| {
        let range = entry.data..entry.data + entry.size;
        let limits = Some(Limits::default());
        Ok((number, measure(source.clone(), range, Algorithm::Sha256, Algorithm::Sha256, limits)?))
    };
    index.entries().iter().enumerate().map(measure).collect()
}
