//! Layers made of entries of others, as JavaScript sees them.

#![allow(clippy::needless_pass_by_value)] // what wasm-bindgen gives is owned

use js_sys::{Array, Float64Array, Function, Reflect, Uint8Array};
use longshore_archive::{LayerPlan, NewLayer, Packing, Piece, Recipe, Rewrite, Rewriting, RewrittenLayer};
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::*;

use crate::codec::{limits_of, source_of};
use crate::error::{JsResult, to_throw};
use crate::source::{Shared, parts_of};
use crate::values::{to_js, whole};

/// What becomes of layers, with what the new ones are made of: parts, where nothing has to be unpacked or packed; else the
/// old layers, and what comes from where in three numbers each: the layer, or -1 for new bytes, and the first and last byte.
pub(crate) fn described(rewrite: &Rewrite, old: &[Recipe<Shared>], are_plain: &[bool]) -> JsResult {
    let value = to_js(rewrite)?;
    let layers: Array = Reflect::get(&value, &"layers".into())?.unchecked_into();
    for (target, layer) in layers.iter().zip(&rewrite.layers) {
        Reflect::set(&target, &"packing".into(), &layer.packing.as_str().into())?;
        if is_range(layer, are_plain) {
            Reflect::set(&target, &"parts".into(), &parts_of(&layer.plan.recipe(old))?.into())?;
            continue;
        }
        let sources = Array::new();
        for (number, data) in old.iter().enumerate() {
            let is_needed = layer.plan.pieces.iter().any(|piece| layer_of(piece) == Some(number));
            sources.push(&if is_needed { parts_of(data)? } else { Array::new() }.into());
        }
        let mut pieces = Vec::with_capacity(layer.plan.pieces.len() * 3);
        for piece in &layer.plan.pieces {
            let (Piece::Old { range, .. } | Piece::Fresh(range)) = piece;
            #[allow(clippy::cast_precision_loss)] // below 2^53
            pieces.extend([
                layer_of(piece).map_or(-1.0, |layer| layer as f64),
                range.start as f64,
                range.end as f64,
            ]);
        }
        Reflect::set(&target, &"sources".into(), &sources.into())?;
        Reflect::set(&target, &"pieces".into(), &Float64Array::from(&pieces[..]).into())?;
        Reflect::set(&target, &"fresh".into(), &Uint8Array::from(&layer.plan.fresh[..]).into())?;
    }
    Ok(value)
}

fn layer_of(piece: &Piece) -> Option<usize> {
    match piece {
        Piece::Old { layer, .. } => Some(*layer),
        Piece::Fresh(_) => None,
    }
}

fn is_range(layer: &RewrittenLayer, are_plain: &[bool]) -> bool {
    let mut needed = layer.plan.pieces.iter().filter_map(layer_of);
    layer.packing == Packing::None && needed.all(|layer| are_plain.get(layer) == Some(&true))
}

/// A new layer's bytes on their way.
#[wasm_bindgen]
pub struct LayerWriting {
    rewriting: Rewriting<Shared>,
}

#[wasm_bindgen]
impl LayerWriting {
    /// Begins with the old layers, and with what comes from where.
    #[wasm_bindgen(constructor)]
    pub fn new(
        #[wasm_bindgen(unchecked_param_type = "readonly Part[][]")] sources: &Array,
        #[wasm_bindgen(js_name = readSync, unchecked_param_type = "ReadSync | undefined")] read_sync: Option<
            Function,
        >,
        pieces: Vec<f64>,
        fresh: Vec<u8>,
        #[wasm_bindgen(unchecked_param_type = "LayerPacking")] packing: &str,
        #[wasm_bindgen(unchecked_param_type = "Limits")] limits: JsValue,
    ) -> JsResult<Self> {
        let mut layers = Vec::new();
        for parts in sources.iter() {
            layers.push(source_of(parts.unchecked_ref(), read_sync.as_ref())?);
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // as `described` gave them
        let piece = |numbers: &[f64]| match *numbers {
            [layer, start, end] if layer >= 0.0 => {
                Some(Piece::Old { layer: layer as usize, range: start as u64..end as u64 })
            }
            [_, start, end] => Some(Piece::Fresh(start as u64..end as u64)),
            _ => None,
        };
        let plan = LayerPlan { pieces: pieces.chunks(3).filter_map(piece).collect(), fresh };
        let packing = Packing::named(packing).unwrap_or(Packing::None);
        let limits = limits_of(limits)?.unwrap_or_default();
        Ok(Self { rewriting: Rewriting::new(plan, layers, packing, limits) })
    }

    /// The next of the new bytes, which may be none; `undefined` at the end.
    pub fn read(&mut self) -> JsResult<Option<Uint8Array>> {
        Ok(self.rewriting.step().map_err(to_throw)?.map(|bytes| Uint8Array::from(&bytes[..])))
    }

    /// Bytes made so far, before they were packed.
    pub fn done(&self) -> f64 {
        #[allow(clippy::cast_precision_loss)] // below 2^53
        (self.rewriting.done() as f64)
    }

    /// Digest of what the new bytes hold.
    pub fn finish(self) -> String {
        self.rewriting.finish()
    }
}

/// New layers as JavaScript has them.
pub(crate) fn new_layers(layers: &JsValue, read_sync: Option<&Function>) -> JsResult<Vec<NewLayer<Shared>>> {
    let mut new = Vec::new();
    for layer in layers.unchecked_ref::<Array>().iter() {
        let data = source_of(Reflect::get(&layer, &"parts".into())?.unchecked_ref(), read_sync)?;
        let text = |name: &str| {
            Ok::<_, JsValue>(Reflect::get(&layer, &name.into())?.as_string().unwrap_or_default())
        };
        let number = |name: &str| {
            let number = Reflect::get(&layer, &name.into())?.as_f64().map_or(0, whole);
            Ok::<_, JsValue>(usize::try_from(number).unwrap_or(usize::MAX))
        };
        new.push(NewLayer {
            first: number("first")?,
            count: number("count")?,
            data,
            packing: Packing::named(&text("packing")?).unwrap_or(Packing::None),
            digest: text("digest")?,
            diff_id: text("diffId")?,
        });
    }
    Ok(new)
}
