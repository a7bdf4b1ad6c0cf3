//! The edge of Longshore: what JavaScript calls, and the sources that JavaScript has.
//!
//! One crate, two modules: `core` opens, edits and judges archives, `codec` hashes and unpacks their bytes. Only the
//! first is needed to begin with. Values cross as plain data through serde; errors as a JavaScript `Error` with `code`
//! and `detail`.

#[cfg(feature = "core")]
mod archive;
#[cfg(feature = "codec")]
mod codec;
mod error;
#[cfg(feature = "core")]
mod names;
mod source;
#[cfg(feature = "core")]
mod verify;

#[cfg(feature = "core")]
pub use crate::archive::{Archive, Opening, open_blob, open_bytes, open_file};
#[cfg(feature = "codec")]
pub use crate::codec::{Hash, Measure, Unpack, compression_of, read_failure};
#[cfg(feature = "core")]
pub use crate::names::{parse_reference, suggest_tags};
#[cfg(feature = "core")]
pub use crate::verify::Verification;

use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::*;

#[cfg(feature = "core")]
#[wasm_bindgen(typescript_custom_section)]
const CORE_TYPES: &str = "import type { ArchiveView, ImageInspect, NameChange, Reference, RenameRule, VerifyReport } from './types.js';\nimport type { Job } from './protocol.js';";

#[cfg(all(feature = "codec", not(feature = "core")))]
#[wasm_bindgen(typescript_custom_section)]
const CODEC_TYPES: &str = "import type { Limits, Packing } from './types.js';\nimport type { Measured, Part, ReadSync } from './protocol.js';";

/// A panic takes the instance with it; the reason should not go too.
#[wasm_bindgen(start)]
fn start() {
    std::panic::set_hook(Box::new(|info| gloo::console::error!(info.to_string())));
}

/// Bytes of the instance's memory. It only ever grows.
#[wasm_bindgen(js_name = memoryUsed)]
pub fn memory_used() -> f64 {
    let memory = wasm_bindgen::memory().unchecked_into::<js_sys::WebAssembly::Memory>();
    f64::from(memory.buffer().unchecked_into::<js_sys::ArrayBuffer>().byte_length())
}
