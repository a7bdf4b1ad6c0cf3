//! The edge of Longshore: what JavaScript calls, and the sources that JavaScript has.
//!
//! One crate, four modules: `core` opens and edits archives by their headers and metadata; what is needed later, if at all,
//! is `codec`, which hashes and unpacks bytes, judges archives, and makes others, `engine`, which knows Docker's rules for a
//! store, and `registry`, which talks to registries. Values cross as plain data through serde;
//! errors as a JavaScript `Error` with `code` and `detail`.

#[cfg(feature = "core")]
mod archive;
#[cfg(feature = "codec")]
mod codec;
#[cfg(feature = "engine")]
mod engine;
mod error;
#[cfg(feature = "codec")]
mod examine;
#[cfg(feature = "codec")]
mod files;
#[cfg(feature = "codec")]
mod found;
#[cfg(feature = "codec")]
mod incoming;
#[cfg(feature = "core")]
mod names;
#[cfg(feature = "codec")]
mod overlay;
#[cfg(feature = "registry")]
mod registry;
#[cfg(feature = "codec")]
mod repack;
#[cfg(feature = "codec")]
mod rewrite;
#[cfg(any(feature = "core", feature = "codec"))]
mod source;
mod values;
#[cfg(feature = "codec")]
mod write;

#[cfg(feature = "core")]
pub use crate::archive::{Archive, Opening, open_blob, open_bytes, open_file, open_folder};
#[cfg(feature = "codec")]
pub use crate::codec::{Hash, Look, Measure, Unpack, compression_of, read_failure};
#[cfg(feature = "engine")]
pub use crate::engine::{Catalog, carried, carried_at};
#[cfg(feature = "codec")]
pub use crate::examine::Examination;
#[cfg(feature = "codec")]
pub use crate::files::{FileStream, FileTree, FileWork, Files, TarFiles};
#[cfg(feature = "core")]
pub use crate::names::{parse_reference, suggest_tags};
#[cfg(feature = "codec")]
pub use crate::overlay::Overlay;
#[cfg(feature = "registry")]
pub use crate::registry::{Exchange, Registry, assert_for, choose, index_json, mirrored, named};
#[cfg(feature = "codec")]
pub use crate::repack::{Pack, Repack};
#[cfg(feature = "codec")]
pub use crate::rewrite::LayerWriting;
#[cfg(feature = "codec")]
pub use crate::write::Writing;

use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::*;

#[cfg(feature = "core")]
#[wasm_bindgen(typescript_custom_section)]
const CORE_TYPES: &str = "import type { ArchiveView, ImageInspect, NameChange, Reference, RenameRule } from './types.js';\nimport type { Part, ReadSync, SessionSource } from './protocol.js';";

#[cfg(all(feature = "codec", not(feature = "core")))]
#[wasm_bindgen(typescript_custom_section)]
const CODEC_TYPES: &str = "import type { Compatibility, FilePage, LayerPacking, Limits, Packing, RenameRule, RepairKind, RepairProposal, VerifyReport, WriteFormat } from './types.js';\nimport type { Difference, FoundOdd, Hashing, Incoming, Job, Later, LayerNeed, LayerPart, Measured, NewLayers, OverlayStep, Part, ReadSync, SessionSource, Shipment } from './protocol.js';";

#[cfg(all(feature = "registry", not(any(feature = "core", feature = "codec", feature = "engine"))))]
#[wasm_bindgen(typescript_custom_section)]
const REGISTRY_TYPES: &str = "import type { Reference } from './types.js';\nimport type { ManifestGot, Named, RegistryAccess, RegistryStep, Referred } from './registry-protocol.js';";

#[cfg(all(feature = "engine", not(any(feature = "core", feature = "codec", feature = "registry"))))]
#[wasm_bindgen(typescript_custom_section)]
const ENGINE_TYPES: &str = "import type { KeptBlob, Verbs } from './protocol.js';";

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
