//! The edge of Longshore: what JavaScript calls, and the sources that JavaScript has.
//!
//! Values cross as plain data through serde; errors as a JavaScript `Error` with `code` and `detail`.

mod archive;
mod error;
mod source;

pub use crate::archive::{Archive, Opening, open_blob, open_bytes, open_file};

use longshore_archive::{Reference, aliases};
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::*;

use crate::error::{JsResult, to_js, to_throw};

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str =
    "import type { ArchiveView, ImageInspect, NameChange, Reference, RenameRule } from './types.js';";

/// A panic takes the instance with it; the reason should not go too.
#[wasm_bindgen(start)]
fn start() {
    std::panic::set_hook(Box::new(|info| gloo::console::error!(info.to_string())));
}

/// Takes a name apart; throws `invalid-reference`.
#[wasm_bindgen(js_name = parseReference, unchecked_return_type = "Reference")]
pub fn parse_reference(text: &str) -> JsResult {
    to_js(&Reference::parse(text).map_err(to_throw)?)
}

/// The tags that usually stand beside a version tag.
#[wasm_bindgen(js_name = suggestTags)]
pub fn suggest_tags(tag: &str) -> Vec<String> {
    aliases(tag)
}

/// Bytes of the instance's memory. It only ever grows.
#[wasm_bindgen(js_name = memoryUsed)]
pub fn memory_used() -> f64 {
    let memory = wasm_bindgen::memory().unchecked_into::<js_sys::WebAssembly::Memory>();
    f64::from(memory.buffer().unchecked_into::<js_sys::ArrayBuffer>().byte_length())
}
