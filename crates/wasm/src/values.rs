//! Plain values on their way to JavaScript and back.

#[cfg(any(feature = "core", feature = "codec", feature = "engine"))]
use js_sys::JSON;
#[cfg(any(feature = "codec", feature = "registry"))]
use js_sys::Object;
#[cfg(any(feature = "core", feature = "codec", feature = "engine", feature = "registry"))]
use js_sys::Reflect;
#[cfg(any(feature = "core", feature = "codec", feature = "engine"))]
use longshore_archive::Error;
use serde::Serialize;
#[cfg(any(feature = "core", feature = "codec", feature = "registry"))]
use wasm_bindgen::JsValue;

use crate::error::JsResult;
#[cfg(any(feature = "core", feature = "codec"))]
use crate::error::to_throw;

/// Plain data from JavaScript, by way of JSON: a reader of JavaScript's own values brings with it all that it takes to print
/// numbers in errors. Fails with `invalid-argument`.
#[cfg(any(feature = "core", feature = "codec"))]
pub(crate) fn from_js<T: serde::de::DeserializeOwned>(value: &JsValue) -> JsResult<T> {
    // What is undefined has no text.
    let text = JSON::stringify(value)?.as_string();
    from_json(text.as_deref().unwrap_or("null")).map_err(to_throw)
}

/// What another module, or JavaScript, gives as JSON. Fails with `invalid-argument`.
#[cfg(any(feature = "core", feature = "codec", feature = "engine"))]
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

/// A plain object.
#[cfg(any(feature = "codec", feature = "registry"))]
pub(crate) fn object(fields: &[(&str, JsValue)]) -> JsResult {
    let object = Object::new();
    for (name, value) in fields {
        Reflect::set(&object, &(*name).into(), value)?;
    }
    Ok(object.into())
}

/// A size, an offset or a count, which is whole and below 2^53.
#[cfg(any(feature = "codec", feature = "registry"))]
pub(crate) fn whole(number: f64) -> u64 {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // see above
    (number as u64)
}
