//! What takes more than headers: whether an archive is intact, who would load it, what can be repaired.

#![allow(clippy::needless_pass_by_value)] // what wasm-bindgen gives is owned

use std::rc::Rc;

use js_sys::{Array, Function, Object, Reflect};
use longshore_archive::{Archive, Compression, ConfigChanges, Job, Recipe, Reconfigured, Repair};
use wasm_bindgen::prelude::*;

use crate::error::{JsResult, to_throw};
use crate::found::Found;
use crate::rewrite::new_layers;
use crate::source::{Shared, parts_of, recipe_of};
use crate::values::{from_js, to_js};

/// An archive as it was when it was handed over, edits included.
#[wasm_bindgen]
pub struct Examination {
    core: Rc<Archive<Shared>>,
    found: Found,
}

impl Examination {
    pub(crate) fn core(&self) -> Rc<Archive<Shared>> {
        self.core.clone()
    }
}

#[wasm_bindgen]
impl Examination {
    /// Opens an archive from its parts; throws as opening one does.
    #[wasm_bindgen(constructor)]
    pub fn new(
        #[wasm_bindgen(unchecked_param_type = "readonly Part[]")] parts: &Array,
        #[wasm_bindgen(js_name = readSync, unchecked_param_type = "ReadSync | undefined")] read_sync: Option<
            Function,
        >,
    ) -> JsResult<Self> {
        let recipe = recipe_of(parts, read_sync.as_ref(), Vec::new())?;
        let core = Archive::from_recipe(recipe).map_err(to_throw)?;
        Ok(Self { core: Rc::new(core), found: Found::default() })
    }

    /// The members that are to be measured before there can be a report, with the bytes that they are made of.
    #[wasm_bindgen(unchecked_return_type = "Job[]")]
    pub fn jobs(&self) -> JsResult<Array> {
        let jobs = Array::new();
        for Job { entry, range, stored, content, unpack } in self.core.blobs_to_measure() {
            let size = range.end - range.start;
            let mut recipe = Recipe::default();
            recipe.push_slice(self.core.recipe(), range);
            let job = Object::new();
            #[allow(clippy::cast_precision_loss)] // below 2^53
            let fields: [(&str, JsValue); 6] = [
                ("entry", (entry as f64).into()),
                ("size", (size as f64).into()),
                ("stored", stored.as_str().into()),
                ("content", content.as_str().into()),
                ("unpack", unpack.into()),
                ("parts", parts_of(&recipe)?.into()),
            ];
            for (name, value) in fields {
                Reflect::set(&job, &name.into(), &value)?;
            }
            jobs.push(&job);
        }
        Ok(jobs)
    }

    /// Notes what was found of a member; what it holds is what is stored, unless one of the next two says otherwise.
    pub fn found(&mut self, entry: u32, digest: String, size: f64, compression: Option<String>) {
        self.found.found(entry, digest, size, compression.as_deref());
    }

    /// Notes what a member holds.
    pub fn holds(&mut self, entry: u32, digest: String, size: f64, trailing: f64) {
        self.found.holds(entry, digest, size, trailing);
    }

    /// Notes why a member cannot be unpacked.
    pub fn failed(&mut self, entry: u32, code: &str, message: &str) {
        self.found.failed(entry, code, message);
    }

    /// Notes something odd in what a member holds.
    pub fn odd(&mut self, entry: u32, what: &str, path: String) {
        self.found.odd(entry, what, path);
    }

    /// What follows from what was found.
    #[wasm_bindgen(unchecked_return_type = "VerifyReport")]
    pub fn report(&self) -> JsResult {
        to_js(&self.core.report(&self.found.0).map_err(to_throw)?)
    }

    /// What every reader at the other end would do with the archive, by what was found. `packing` is what was around it, from outside in, and
    /// `trailing` whether bytes follow that.
    #[wasm_bindgen(unchecked_return_type = "Compatibility[]")]
    pub fn compatibility(
        &self,
        #[wasm_bindgen(unchecked_param_type = "Packing[]")] packing: Vec<String>,
        trailing: bool,
    ) -> JsResult {
        let packing: Vec<Compression> = packing.iter().filter_map(|name| Compression::named(name)).collect();
        to_js(&self.core.compatibility(&packing, trailing, &self.found.0))
    }

    /// The repairs that the archive can have.
    #[wasm_bindgen(unchecked_return_type = "RepairProposal[]")]
    pub fn repairs(&self) -> JsResult {
        to_js(&self.core.repairs())
    }

    /// The archive without an image: what to write, in order.
    #[wasm_bindgen(unchecked_return_type = "Part[]")]
    pub fn without(&self, image: &str) -> JsResult<Array> {
        parts_of(self.core.remove(image).map_err(to_throw)?.archive.recipe())
    }

    /// The archive in which an image has another config, and the IDs of what was changed. `changes` is JSON, in which what
    /// is taken out (`null`) can be told from what is not mentioned.
    #[wasm_bindgen(unchecked_return_type = "{ ids: string[]; parts: Part[] }")]
    pub fn reconfigure(&self, image: &str, changes: &str) -> JsResult {
        let changes = ConfigChanges::read(changes).map_err(to_throw)?;
        edited(&self.core.reconfigure(image, &changes).map_err(to_throw)?)
    }

    /// The archive in which images have other layers, and the IDs that they have there.
    #[wasm_bindgen(unchecked_return_type = "{ ids: string[]; parts: Part[] }")]
    pub fn relayer(
        &self,
        #[wasm_bindgen(unchecked_param_type = "readonly NewLayers[]")] images: &Array,
        #[wasm_bindgen(js_name = readSync, unchecked_param_type = "ReadSync | undefined")] read_sync: Option<
            Function,
        >,
    ) -> JsResult {
        let mut all = Vec::new();
        for image in images.iter() {
            let get = |key: &str| Reflect::get(&image, &key.into());
            let id = get("image")?.as_string().unwrap_or_default();
            all.push((id, new_layers(&get("layers")?, read_sync.as_ref())?));
        }
        let all: Vec<_> = all.iter().map(|(id, layers)| (id.as_str(), layers.as_slice())).collect();
        edited(&self.core.relayer(&all).map_err(to_throw)?)
    }

    /// The archive after some repairs: what to write, in order.
    #[wasm_bindgen(unchecked_return_type = "Part[]")]
    pub fn repair(
        &self,
        #[wasm_bindgen(unchecked_param_type = "RepairKind[]")] repairs: JsValue,
    ) -> JsResult<Array> {
        let repairs: Vec<Repair> = from_js(&repairs)?;
        parts_of(self.core.repair(&repairs).map_err(to_throw)?.recipe())
    }
}

/// An edited archive's parts, and the IDs that images have there.
fn edited(edited: &Reconfigured<Shared>) -> JsResult {
    let made = Object::new();
    Reflect::set(&made, &"ids".into(), &to_js(&edited.ids)?)?;
    Reflect::set(&made, &"parts".into(), &parts_of(edited.archive.recipe())?.into())?;
    Ok(made.into())
}
