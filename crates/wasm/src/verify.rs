//! What is to be measured of an archive, and what follows from it. The measuring itself is the codec's.

#![allow(clippy::needless_pass_by_value)] // what wasm-bindgen gives is owned

use std::collections::HashMap;
use std::rc::Rc;

use js_sys::{Array, Object, Reflect};
use longshore_archive::{Archive, Code, Compression, Content, Error, Job, Measured, Recipe};
use wasm_bindgen::prelude::*;

use crate::archive::{Shared, parts_of};
use crate::error::{JsResult, to_js, to_throw};

/// An archive that is being verified, as it was when that began.
#[wasm_bindgen]
pub struct Verification {
    core: Rc<Archive<Shared>>,
    measured: HashMap<usize, Measured>,
}

impl Verification {
    pub(crate) fn new(core: Rc<Archive<Shared>>) -> Self {
        Self { core, measured: HashMap::new() }
    }
}

#[wasm_bindgen]
impl Verification {
    /// The members that are to be measured, with the bytes that they are made of.
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
        let known =
            [Compression::Gzip, Compression::Zstd, Compression::Bzip2, Compression::Xz, Compression::Lz4];
        let compression = known.into_iter().find(|known| compression.as_deref() == Some(known.name()));
        let size = whole(size);
        let content = Ok(Content { digest: digest.clone(), size, trailing: 0 });
        self.measured.insert(entry as usize, Measured { digest, size, compression, content });
    }

    /// Notes what a member holds.
    pub fn holds(&mut self, entry: u32, digest: String, size: f64, trailing: f64) {
        if let Some(measured) = self.measured.get_mut(&(entry as usize)) {
            measured.content = Ok(Content { digest, size: whole(size), trailing: whole(trailing) });
        }
    }

    /// Notes why a member cannot be unpacked.
    pub fn failed(&mut self, entry: u32, code: &str, message: &str) {
        let code = Code::ALL.iter().find(|known| known.as_str() == code).copied();
        if let Some(measured) = self.measured.get_mut(&(entry as usize)) {
            measured.content = Err(Error::new(code.unwrap_or(Code::InvalidCompression), message));
        }
    }

    /// What follows from what was found.
    #[wasm_bindgen(unchecked_return_type = "VerifyReport")]
    pub fn report(&self) -> JsResult {
        to_js(&self.core.report(&self.measured).map_err(to_throw)?)
    }
}

fn whole(number: f64) -> u64 {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a size below 2^53
    (number as u64)
}
