//! Errors and values on their way to JavaScript.

#[cfg(any(feature = "core", feature = "engine"))]
use js_sys::JSON;
use js_sys::Reflect;
use longshore_archive::Error;
use serde::Serialize;
use wasm_bindgen::prelude::*;

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

/// What another module, or JavaScript, gives as JSON. Fails with `invalid-argument`.
#[cfg(any(feature = "codec", feature = "engine"))]
pub(crate) fn from_json<T: serde::de::DeserializeOwned>(text: &str) -> longshore_archive::Result<T> {
    serde_json::from_str(text).map_err(|error| {
        Error::new(
            longshore_archive::Code::InvalidArgument,
            format!("What is given makes no sense: {error}."),
        )
    })
}

/// Plain data: maps as objects, numbers as numbers.
pub(crate) fn to_js<T: Serialize + ?Sized>(value: &T) -> JsResult {
    Ok(value.serialize(&serde_wasm_bindgen::Serializer::json_compatible())?)
}

/// What `docker image inspect` prints. The config, which is kept as its text, is read by JavaScript's own parser: it is there
/// already.
#[cfg(any(feature = "core", feature = "engine"))]
pub(crate) fn inspect_to_js(inspect: &longshore_archive::Inspect) -> JsResult {
    let value = to_js(inspect)?;
    Reflect::set(&value, &"Config".into(), &JSON::parse(inspect.config.get())?)?;
    Ok(value)
}
