//! Errors on their way to JavaScript.

use js_sys::Reflect;
use longshore_archive::Error;
use wasm_bindgen::prelude::*;

use crate::values::to_js;

pub(crate) type JsResult<T = JsValue> = Result<T, JsValue>;

/// A failure as a JavaScript `Error` with `code` and `detail`.
#[allow(clippy::needless_pass_by_value)] // the shape that `map_err` wants
pub(crate) fn to_throw(error: Error) -> JsValue {
    let thrown: JsValue = js_sys::Error::new(error.message()).into();
    let detail = to_js(error.detail()).unwrap_or(JsValue::UNDEFINED);
    for (name, value) in [("code", error.code().as_str().into()), ("detail", detail)] {
        // Setting a property of an error made just now cannot fail.
        let _ = Reflect::set(&thrown, &name.into(), &value);
    }
    thrown
}
