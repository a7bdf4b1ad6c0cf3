//! Layers rewritten as an edge does it: what becomes of them is planned, then their bytes are made.

use std::rc::Rc;

use longshore_archive::{
    Archive, Dropping, LayerPlan, NewLayer, Packing, Recipe, Result, Rewrite, Rewriting, SharedIndex, Source,
    Squashing, index_layer, sha256,
};
use longshore_archive::{Limits, Reconfigured};

type Bytes = Rc<Vec<u8>>;

/// What is to be done to an image's layers.
#[derive(Debug, Clone)]
pub(crate) enum How<'a> {
    /// Those from that one on become one.
    Squash(usize),
    /// These paths go.
    Drop(&'a [&'a str]),
}

/// What becomes of layers.
pub(crate) fn planned(layers: &[Recipe<Bytes>], how: &How<'_>) -> Result<Rewrite> {
    let indexes = layers
        .iter()
        .map(|layer| index_layer(layer.clone(), Limits::default()))
        .collect::<Result<Vec<SharedIndex>>>()?;
    match how {
        How::Squash(first) => {
            let mut squashing = Squashing::new(indexes, *first)?;
            while !squashing.step(3)? {}
            Ok(squashing.finish())
        }
        How::Drop(paths) => {
            let paths: Vec<&[u8]> = paths.iter().map(|path| path.as_bytes()).collect();
            let mut dropping = Dropping::new(indexes, &paths)?;
            while !dropping.step(3)? {}
            Ok(dropping.finish())
        }
    }
}

/// A new layer's bytes, and its diff ID.
pub(crate) fn made(
    plan: &LayerPlan,
    layers: &[Recipe<Bytes>],
    packing: Packing,
) -> Result<(Vec<u8>, String)> {
    let mut rewriting = Rewriting::new(plan.clone(), layers.to_vec(), packing, Limits::default());
    let mut bytes = Vec::new();
    while let Some(piece) = rewriting.step()? {
        bytes.extend(piece);
    }
    assert_eq!(rewriting.done(), plan.size());
    Ok((bytes, rewriting.finish()))
}

/// The layers afterwards, and what was said of it.
#[allow(dead_code, reason = "not every test has layers alone")]
pub(crate) fn rewritten(layers: &[Vec<u8>], how: &How<'_>) -> Result<(Vec<Vec<u8>>, Rewrite)> {
    let recipes: Vec<_> = layers.iter().map(|layer| Recipe::whole(Rc::new(layer.clone()))).collect();
    let rewrite = planned(&recipes, how)?;
    let mut after = layers.to_vec();
    for layer in rewrite.layers.iter().rev() {
        let (bytes, diff_id) = made(&layer.plan, &recipes, layer.packing)?;
        if layer.packing == Packing::None {
            assert_eq!(diff_id, sha256(&bytes));
        }
        after.splice(layer.first..layer.first + layer.count, [bytes]);
    }
    Ok((after, rewrite))
}

/// The archive in which an image's layers are rewritten.
#[allow(dead_code, reason = "not every test has archives")]
pub(crate) fn relayered(
    archive: &Archive<Bytes>,
    image: usize,
    how: &How<'_>,
) -> Result<Reconfigured<Bytes>> {
    let layers = (0..archive.images()[image].layers.len())
        .map(|layer| archive.layer_data(image, layer))
        .collect::<Result<Vec<_>>>()?;
    let rewrite = planned(&layers, how)?;
    let mut new = Vec::new();
    for layer in &rewrite.layers {
        let (bytes, diff_id) = made(&layer.plan, &layers, layer.packing)?;
        let is_plain = |layer: &Recipe<Bytes>| {
            let mut head = [0; 6];
            layer.read_at(0, &mut head).unwrap();
            longshore_archive::Compression::of(&head).is_none()
        };
        let digest = sha256(&bytes);
        // Plain layers are not copied.
        let data = if layers.iter().all(is_plain) {
            let data = layer.plan.recipe(&layers);
            assert_eq!(data.len(), bytes.len() as u64);
            data
        } else {
            Recipe::whole(Rc::new(bytes))
        };
        let (first, count, packing) = (layer.first, layer.count, layer.packing);
        new.push(NewLayer { first, count, data, packing, digest, diff_id });
    }
    let id = archive.images()[image].id.clone();
    archive.relayer(&[(&id, &new)])
}
