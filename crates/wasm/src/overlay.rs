//! The files of a container, as JavaScript sees them.

#![allow(clippy::needless_pass_by_value)] // what wasm-bindgen gives is owned

use std::collections::HashMap;

use js_sys::{Array, Uint8Array};
use longshore_engine::{Applied, Content, LayerPart, LayerParts, Operation, Overlay as Core};
use serde::Serialize;
use wasm_bindgen::prelude::*;

use crate::error::{JsResult, to_throw};
use crate::files::FileTree;
use crate::values::{from_json, to_js};

/// How many parts of a layer cross at a time.
const PAGE: usize = 1000;

/// A container's changes over the file system of its image. An operation says what it changes, for the engine's `edit`.
///
/// What the image has of a file that is changed in any way has to be among the blobs first: such an operation gives numbers
/// of files, and does nothing. The caller reads them by the tree's `readNumbers`, keeps them, says so by `copied`, and asks again.
#[wasm_bindgen]
pub struct Overlay {
    core: Core,
    layer: Option<LayerParts>,
    unpacked: HashMap<usize, Content>,
}

/// What came of operations: the edit, as JSON, or the files whose contents have to be kept first, by their numbers: of the image,
/// and of a tar.
#[derive(Default, Serialize)]
struct Step {
    #[serde(skip_serializing_if = "Option::is_none")]
    edit: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    wanting: Vec<usize>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unpacking: Vec<usize>,
}

#[wasm_bindgen]
impl Overlay {
    /// Begins with the tree of the image, and what the engine's `changes` gives.
    #[wasm_bindgen(constructor)]
    pub fn new(tree: &FileTree, changes: &str) -> JsResult<Self> {
        let rows: Vec<(String, longshore_engine::Node)> = from_json(changes).map_err(to_throw)?;
        let core = Core::new(tree.tree().clone(), rows).map_err(to_throw)?;
        Ok(Self { core, layer: None, unpacked: HashMap::new() })
    }

    /// Does operations, all or none: JSON, a list of objects. `do` says what:
    /// `write` (`path`, `content: { digest, size, offset, length }`, `attributes`), `mkdir` (`path`, `parents`, `attributes`), `symlink` (`path`,
    /// `target`), `remove` (`path`), `move` (`from`, `to`), `change` (`path`, `attributes`). `attributes` are `mode`, `uid`,
    /// `gid` and `mtime`, each of which may be left out. `now` is in seconds since 1970.
    #[wasm_bindgen(unchecked_return_type = "OverlayStep")]
    pub fn apply(&mut self, operations: &str, now: f64) -> JsResult {
        let operations: Vec<Operation> = from_json(operations).map_err(to_throw)?;
        #[allow(clippy::cast_possible_truncation)] // below 2^53
        let applied = self.core.apply(&operations, now as i64).map_err(to_throw)?;
        step(applied)
    }

    /// Says where in which blob the content of the image's file of that number is.
    pub fn copied(&mut self, number: u32, digest: String, size: f64, offset: f64, length: f64) {
        self.core.copied(number as usize, content(digest, size, offset, length));
    }

    /// Unpacks a tar into a directory, as `docker cp` does. What it wants of the tar's files is to be told by `unpacked`; of the
    /// image's, to which its hard links lead, by `copied`.
    #[wasm_bindgen(unchecked_return_type = "OverlayStep")]
    pub fn unpack(&mut self, tar: &FileTree, directory: &str) -> JsResult {
        let applied = self.core.unpack(tar.tree(), &self.unpacked, directory.as_bytes()).map_err(to_throw)?;
        if matches!(applied, Applied::Edited(_)) {
            self.unpacked.clear();
        }
        step(applied)
    }

    /// Says where in which blob the content of the tar's file of that number is.
    pub fn unpacked(&mut self, number: u32, digest: String, size: f64, offset: f64, length: f64) {
        self.unpacked.insert(number as usize, content(digest, size, offset, length));
    }

    /// `docker diff`.
    #[wasm_bindgen(unchecked_return_type = "Difference[]")]
    pub fn diff(&self) -> JsResult {
        to_js(&self.core.diff())
    }

    /// How many paths were changed: with none, a commit has no layer.
    pub fn changes(&self) -> usize {
        self.core.len()
    }

    /// Begins to make the layer that the changes are, as they are now.
    #[wasm_bindgen(js_name = beginLayer)]
    pub fn begin_layer(&mut self) {
        self.layer = Some(self.core.layer());
    }

    /// The next of the layer's parts, which follow each other: bytes, or ranges of blobs of the store; `undefined` at the end.
    #[wasm_bindgen(js_name = nextLayerParts, unchecked_return_type = "LayerPart[] | undefined")]
    pub fn next_layer_parts(&mut self) -> JsResult {
        let parts = Array::new();
        for part in self.layer.iter_mut().flatten().take(PAGE) {
            match part {
                LayerPart::Bytes(bytes) => parts.push(&Uint8Array::from(&bytes[..])),
                LayerPart::Content(content) => parts.push(&to_js(&content)?),
            };
        }
        if parts.length() == 0 {
            self.layer = None;
            return Ok(JsValue::UNDEFINED);
        }
        Ok(parts.into())
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // below 2^53
fn content(digest: String, size: f64, offset: f64, length: f64) -> Content {
    Content { digest, size: size as u64, offset: offset as u64, length: length as u64 }
}

fn step(applied: Applied) -> JsResult {
    to_js(&match applied {
        Applied::Edited(edit) => {
            let edit = serde_json::to_string(&edit).map_err(|error| JsError::new(&error.to_string()))?;
            Step { edit: Some(edit), ..Step::default() }
        }
        Applied::Wanting { image: wanting, tar: unpacking } => Step { wanting, unpacking, ..Step::default() },
    })
}
