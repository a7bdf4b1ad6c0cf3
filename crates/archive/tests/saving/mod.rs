//! Saving as an edge does it: what is needed is found out, then written.

use std::collections::HashMap;
use std::io::Write;
use std::rc::Rc;

use longshore_archive::{
    Algorithm, Archive, Compression, Limits, Measured, Need, Packing, Repacked, Result, Selection, Shipment,
    Source, Target, Unpacked, measure, needs, save, sha256, ship,
};

pub(crate) type Open = Archive<Rc<Vec<u8>>>;

/// What was found out about the layers of one archive.
type Known = (HashMap<usize, Measured>, HashMap<usize, Repacked<Rc<Vec<u8>>>>);

/// Writes some images of some archives.
pub(crate) fn save_some(
    images: &[(&Open, usize)],
    target: Target,
    packing: Option<Packing>,
) -> Result<Vec<u8>> {
    let recipe = with_known(images, target, packing, |selections| save(selections, target))?;
    let mut bytes = vec![0; usize::try_from(recipe.len()).unwrap()];
    recipe.read_at(0, &mut bytes)?;
    Ok(bytes)
}

/// Puts some images of some archives together for a registry.
#[allow(dead_code, reason = "not every test has to do with registries")]
pub(crate) fn ship_some(images: &[(&Open, usize)]) -> Result<Shipment<Rc<Vec<u8>>>> {
    with_known(images, Target::Registry, None, ship)
}

/// Finds out what has to be known of some images first.
fn with_known<T>(
    images: &[(&Open, usize)],
    target: Target,
    packing: Option<Packing>,
    work: impl FnOnce(&[Selection<'_, Rc<Vec<u8>>>]) -> Result<T>,
) -> Result<T> {
    let mut known: Vec<Known> = Vec::new();
    for (archive, image) in images {
        let (mut measured, mut repacked) = (HashMap::new(), HashMap::new());
        for (number, need) in needs(archive, *image, target, packing) {
            let entry = &archive.index().entries()[number];
            let range = entry.data..entry.data + entry.size;
            let limits = Some(Limits::default());
            let sha256s = (Algorithm::Sha256, Algorithm::Sha256);
            let found = measure(archive.recipe().clone(), range, sha256s.0, sha256s.1, limits)?;
            if let Need::Repacked(packing) = need {
                let mut layer = vec![0; usize::try_from(entry.size).unwrap()];
                archive.recipe().read_at(entry.data, &mut layer)?;
                let bytes = packed(&unpacked(&layer)?, packing);
                repacked.insert(number, Repacked { digest: sha256(&bytes), source: Rc::new(bytes), packing });
            }
            measured.insert(number, found);
        }
        known.push((measured, repacked));
    }
    let selections: Vec<_> = images
        .iter()
        .zip(&known)
        .map(|(&(archive, image), (measured, repacked))| Selection { archive, image, measured, repacked })
        .collect();
    work(&selections)
}

/// Writes all images of an archive.
#[allow(dead_code, reason = "not every test writes all of an archive")]
pub(crate) fn all(archive: &Open, target: Target) -> Open {
    let images: Vec<_> = (0..archive.images().len()).map(|image| (archive, image)).collect();
    Archive::open(Rc::new(save_some(&images, target, None).unwrap())).unwrap()
}

/// What the bytes hold, if they are compressed.
pub(crate) fn unpacked(bytes: &[u8]) -> Result<Vec<u8>> {
    let Some(compression) = Compression::of(bytes) else { return Ok(bytes.to_vec()) };
    let mut unpacked = Unpacked::new(bytes, 0..bytes.len() as u64, compression, Limits::default());
    let (mut out, mut buffer) = (Vec::new(), vec![0; 1 << 16]);
    loop {
        match unpacked.read(&mut buffer)? {
            0 => return Ok(out),
            count => out.extend_from_slice(&buffer[..count]),
        }
    }
}

pub(crate) fn packed(bytes: &[u8], packing: Packing) -> Vec<u8> {
    match packing {
        Packing::None => bytes.to_vec(),
        Packing::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        Packing::Zstd => {
            ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
        }
    }
}
