//! Packing bytes anew, as JavaScript sees it.

#![allow(clippy::needless_pass_by_value)] // what wasm-bindgen gives is owned

use js_sys::{Array, Function, Uint8Array};
use longshore_archive::{Packer, Packing, Repacking, Source};
use wasm_bindgen::prelude::*;

use crate::codec::{Bytes, limits_of, source_of};
use crate::error::{JsResult, to_throw};

/// Packs bytes that JavaScript reads, and that are not packed.
#[wasm_bindgen]
pub struct Pack {
    packer: Packer,
}

#[wasm_bindgen]
impl Pack {
    /// Begins to pack as `none`, `gzip` or `zstd`.
    #[wasm_bindgen(constructor)]
    pub fn new(#[wasm_bindgen(unchecked_param_type = "LayerPacking")] packing: &str) -> Self {
        Self { packer: Packer::new(Packing::named(packing).unwrap_or(Packing::None)) }
    }

    /// Takes bytes, and gives the next of the packed ones, which may be none.
    pub fn push(&mut self, bytes: &[u8]) -> JsResult<Uint8Array> {
        Ok(Uint8Array::from(&*self.packer.push(bytes).map_err(to_throw)?))
    }

    /// The last of the packed bytes.
    pub fn finish(mut self) -> JsResult<Uint8Array> {
        Ok(Uint8Array::from(&*self.packer.finish().map_err(to_throw)?))
    }
}

/// Bytes on their way from whatever packing they have into another one.
#[wasm_bindgen]
pub struct Repack {
    repacking: Repacking<Bytes>,
}

#[wasm_bindgen]
impl Repack {
    /// Begins to pack as `none`, `gzip` or `zstd`.
    #[wasm_bindgen(constructor)]
    pub fn new(
        #[wasm_bindgen(unchecked_param_type = "readonly Part[]")] parts: &Array,
        #[wasm_bindgen(js_name = readSync, unchecked_param_type = "ReadSync | undefined")] read_sync: Option<
            Function,
        >,
        #[wasm_bindgen(unchecked_param_type = "LayerPacking")] packing: &str,
        #[wasm_bindgen(unchecked_param_type = "Limits")] limits: JsValue,
    ) -> JsResult<Self> {
        let source = source_of(parts, read_sync.as_ref())?;
        let range = 0..source.len();
        let packing = Packing::named(packing).unwrap_or(Packing::None);
        let limits = limits_of(limits)?.unwrap_or_default();
        Ok(Self { repacking: Repacking::new(source, range, packing, limits).map_err(to_throw)? })
    }

    /// The next of the new bytes, which may be none; `undefined` at the end.
    pub fn read(&mut self) -> JsResult<Option<Uint8Array>> {
        Ok(self.repacking.step().map_err(to_throw)?.map(|bytes| Uint8Array::from(&bytes[..])))
    }

    /// Bytes read so far.
    pub fn consumed(&self) -> f64 {
        #[allow(clippy::cast_precision_loss)] // below 2^53
        (self.repacking.consumed() as f64)
    }

    /// Digest of what the new bytes hold.
    pub fn finish(self) -> String {
        self.repacking.finish()
    }
}
