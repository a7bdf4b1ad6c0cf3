//! Names, as JavaScript sees them.

use longshore_archive::{Reference, aliases};
use wasm_bindgen::prelude::*;

use crate::error::{JsResult, to_throw};
use crate::values::to_js;

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
