//! What an archive brings to a store.

#![allow(clippy::needless_pass_by_value)] // what wasm-bindgen gives is owned

use std::collections::BTreeMap;

use js_sys::{Array, Object, Reflect};
use longshore_archive::{RenameRule, blob_path};
use longshore_engine::Incoming;
use wasm_bindgen::prelude::*;

use crate::error::{JsResult, to_throw};
use crate::examine::Examination;
use crate::source::parts_of;
use crate::values::from_js;

#[wasm_bindgen]
impl Examination {
    /// What the archive, which is in the form `docker`, brings to a store, with its names changed by rules.
    #[wasm_bindgen(unchecked_return_type = "Pick<Incoming, 'incoming' | 'blobs'>")]
    pub fn incoming(
        &self,
        #[wasm_bindgen(unchecked_param_type = "RenameRule[]")] rules: JsValue,
    ) -> JsResult {
        let archive = self.core();
        let rules: Vec<RenameRule> = from_js(&rules)?;
        let renamed = if rules.is_empty() { None } else { Some(archive.rename(&rules).map_err(to_throw)?) };
        let core = renamed.as_ref().map_or(&*archive, |edit| &edit.archive);
        let incoming = Incoming::of(core).map_err(to_throw)?;
        // One blob may be a layer of several images, each of which says what it holds.
        let mut layers: BTreeMap<&str, Vec<(usize, &str)>> = BTreeMap::new();
        for image in &incoming.images {
            for (number, layer) in image.layers().iter().enumerate() {
                let stated = layers.entry(&layer.digest).or_default();
                if stated.iter().all(|(_, diff_id)| *diff_id != layer.diff_id) {
                    stated.push((number, &layer.diff_id));
                }
            }
        }
        let blobs = Array::new();
        for blob in incoming.blobs().into_values() {
            let path = blob_path(&blob.digest).unwrap_or_default();
            let recipe = core.member(&path).map_err(to_throw)?;
            let stated = Array::new();
            for (number, diff_id) in layers.get(blob.digest.as_str()).into_iter().flatten() {
                let layer = Object::new();
                #[allow(clippy::cast_precision_loss)] // below 2^53
                Reflect::set(&layer, &"layer".into(), &(*number as f64).into())?;
                Reflect::set(&layer, &"diffId".into(), &(*diff_id).into())?;
                stated.push(&layer);
            }
            let object = Object::new();
            #[allow(clippy::cast_precision_loss)] // below 2^53
            let fields: [(&str, JsValue); 4] = [
                ("digest", blob.digest.as_str().into()),
                ("size", (blob.size as f64).into()),
                ("layers", stated.into()),
                ("parts", parts_of(&recipe)?.into()),
            ];
            for (name, value) in fields {
                Reflect::set(&object, &name.into(), &value)?;
            }
            blobs.push(&object);
        }
        let text = serde_json::to_string(&incoming).map_err(|error| JsError::new(&error.to_string()))?;
        let given = Object::new();
        Reflect::set(&given, &"incoming".into(), &text.into())?;
        Reflect::set(&given, &"blobs".into(), &blobs)?;
        Ok(given.into())
    }
}
