//! Opening, editing and saving an archive, as JavaScript sees it.

#![allow(clippy::needless_pass_by_value)] // what wasm-bindgen gives is owned

use std::rc::Rc;

use gloo::file::Blob;
use js_sys::{Array, Function, Uint8Array};
use longshore_archive::{
    Archive as Core, Code, Edit, Error, Finding, Format, Image, Indexer, Other, ReadAhead, Reads, RenameRule,
    Source,
};
use serde::Serialize;
use wasm_bindgen::prelude::*;
use web_sys::FileReaderSync;

use crate::error::{JsResult, to_throw};
use crate::source::{JsSource, Shared, parts_of, recipe_of};
use crate::values::{from_js, inspect_to_js, to_js};

/// How many members all states of an archive may index together: some 30 MB.
const STATES_MEMBERS: usize = 300_000;

/// How many members one step goes past: some milliseconds of work.
const STEP: usize = 64;

/// An archive that is being indexed, a step at a time, so that a Worker can report and be stopped between.
#[wasm_bindgen]
pub struct Opening {
    source: Shared,
    indexer: Indexer,
}

impl Opening {
    fn new(source: JsSource) -> Self {
        Self { source: Rc::new(ReadAhead::new(source)), indexer: Indexer::default() }
    }
}

/// Begins to open a `Blob` or `File`. Works in a Worker only.
#[wasm_bindgen(js_name = openBlob)]
pub fn open_blob(blob: web_sys::Blob) -> JsResult<Opening> {
    Ok(Opening::new(JsSource::Blob { blob: Blob::from(blob), reader: FileReaderSync::new()? }))
}

/// Begins to open an array, which must not change from now on.
#[wasm_bindgen(js_name = openBytes)]
pub fn open_bytes(bytes: Uint8Array) -> Opening {
    Opening::new(JsSource::Bytes(bytes))
}

/// Begins to open a file descriptor of `size` bytes, read by Node's `fs.readSync`.
#[wasm_bindgen(js_name = openFile)]
pub fn open_file(fd: u32, size: f64, read_sync: Function) -> Opening {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a file's size
    Opening::new(JsSource::File { fd, len: size as u64, read_sync })
}

/// Opens the files of a folder, by their paths, as the tar that it would be. Throws as [`Opening::finish`] does.
#[wasm_bindgen(js_name = openFolder)]
pub fn open_folder(
    paths: Vec<String>,
    #[wasm_bindgen(unchecked_param_type = "SessionSource[]")] sources: &Array,
) -> JsResult<Archive> {
    let mut files = Vec::with_capacity(paths.len());
    for (path, source) in paths.into_iter().zip(sources.iter()) {
        files.push((path, Rc::new(ReadAhead::new(JsSource::of(&source)?))));
    }
    // What is not there cannot change.
    let none = || Rc::new(ReadAhead::new(JsSource::Bytes(Uint8Array::new_with_length(0))));
    let source = files.first().map_or_else(none, |(_, source)| source.clone());
    let core = Core::open_folder(files).map_err(to_throw)?;
    Ok(Archive { source, states: vec![Rc::new(core)], current: 0 })
}

#[wasm_bindgen]
impl Opening {
    /// Does some milliseconds of work; `true` when the archive is indexed.
    pub fn step(&mut self) -> JsResult<bool> {
        self.indexer.step(&self.source, STEP).map_err(to_throw)
    }

    /// Bytes of the archive passed so far, and in all.
    #[wasm_bindgen(unchecked_return_type = "{ done: number, total: number }")]
    pub fn progress(&self) -> JsResult {
        #[derive(Serialize)]
        struct Progress {
            done: u64,
            total: u64,
        }
        to_js(&Progress { done: self.indexer.position().min(self.source.len()), total: self.source.len() })
    }

    /// Reads the metadata.
    pub fn finish(self) -> JsResult<Archive> {
        let core = Core::from_index(self.source.clone(), self.indexer.finish()).map_err(to_throw)?;
        Ok(Archive { source: self.source, states: vec![Rc::new(core)], current: 0 })
    }
}

/// An open archive with its edits, each of which can be undone.
#[wasm_bindgen]
pub struct Archive {
    source: Shared,
    /// Never empty. States share all that they do not change.
    states: Vec<Rc<Core<Shared>>>,
    current: usize,
}

#[derive(Serialize)]
struct View<'a> {
    format: Format,
    images: &'a [Image],
    others: &'a [Other],
    findings: &'a [Finding],
    size: u64,
    undoable: usize,
    redoable: usize,
    reads: Reads,
}

#[wasm_bindgen]
impl Archive {
    /// Everything about the archive as it is now.
    #[wasm_bindgen(unchecked_return_type = "ArchiveView")]
    pub fn view(&self) -> JsResult {
        let core = self.core()?;
        to_js(&View {
            format: core.format(),
            images: core.images(),
            others: core.others(),
            findings: core.findings(),
            size: core.recipe().len(),
            undoable: self.current,
            redoable: self.states.len() - 1 - self.current,
            reads: self.source.reads(),
        })
    }

    /// What `docker image inspect` prints.
    #[wasm_bindgen(unchecked_return_type = "ImageInspect")]
    pub fn inspect(&self, image: &str) -> JsResult {
        inspect_to_js(&self.core()?.inspect(image).map_err(to_throw)?)
    }

    /// The IDs of the images that are meant by a name: those for all its platforms.
    pub fn choose(&self, image: &str) -> JsResult<Vec<String>> {
        let core = self.core()?;
        let mut ids: Vec<String> = Vec::new();
        for number in core.choose(image).map_err(to_throw)? {
            let image = core.images().get(number);
            ids.extend(image.map(|image| image.id.clone()).filter(|id| !ids.contains(id)));
        }
        Ok(ids)
    }

    /// Gives an image one more name.
    #[wasm_bindgen(unchecked_return_type = "NameChange[]")]
    pub fn tag(&mut self, source: &str, target: &str) -> JsResult {
        let edit = self.core()?.tag(source, target);
        self.apply(edit)
    }

    /// Takes a name away.
    #[wasm_bindgen(unchecked_return_type = "NameChange[]")]
    pub fn untag(&mut self, reference: &str) -> JsResult {
        let edit = self.core()?.untag(reference);
        self.apply(edit)
    }

    /// Renames by rules.
    #[wasm_bindgen(unchecked_return_type = "NameChange[]")]
    pub fn rename(
        &mut self,
        #[wasm_bindgen(unchecked_param_type = "RenameRule[]")] rules: JsValue,
    ) -> JsResult {
        let rules: Vec<RenameRule> = from_js(&rules)?;
        let edit = self.core()?.rename(&rules);
        self.apply(edit)
    }

    /// Goes back before the last edit; `false` where there is none.
    pub fn undo(&mut self) -> bool {
        let there_is = self.current > 0;
        self.current -= usize::from(there_is);
        there_is
    }

    /// Does the last undone edit again; `false` where there is none.
    pub fn redo(&mut self) -> bool {
        let there_is = self.current + 1 < self.states.len();
        self.current += usize::from(there_is);
        there_is
    }

    /// What to write, in order: new bytes, and ranges of what the archive was opened from. Throws `source-changed`.
    #[wasm_bindgen(
        unchecked_return_type = "(Uint8Array | { source: Blob | Uint8Array | number, offset: number, length: number })[]"
    )]
    pub fn parts(&self) -> JsResult<Array> {
        let core = self.core()?;
        self.source.forget();
        core.recheck().map_err(to_throw)?;
        parts_of(core.recipe())
    }

    /// What a member is made of. Throws `missing-entry`.
    #[wasm_bindgen(unchecked_return_type = "Part[]")]
    pub fn member(&self, path: &str) -> JsResult<Array> {
        parts_of(&self.core()?.member(path).map_err(to_throw)?)
    }

    /// The text of a member, where there is one. Throws `limit-exceeded` for one that is longer than `limit`, and `invalid-json` for one
    /// that is no text.
    pub fn text(&self, path: &str, limit: f64) -> JsResult<Option<String>> {
        let Ok(recipe) = self.core()?.member(path) else { return Ok(None) };
        let refused = |code, sentence: &str| {
            to_throw(Error::new(code, format!("{path} {sentence}.")).with("entry", path))
        };
        #[allow(clippy::cast_precision_loss)] // below 2^53
        if recipe.len() as f64 > limit {
            return Err(refused(Code::LimitExceeded, "is too long for what it is"));
        }
        let mut bytes = vec![0; usize::try_from(recipe.len()).unwrap_or_default()];
        recipe.read_at(0, &mut bytes).map_err(to_throw)?;
        String::from_utf8(bytes).map(Some).map_err(|_| refused(Code::InvalidJson, "is no text"))
    }

    /// Makes what was made of the archive elsewhere its current state, as an edit.
    pub fn replace(
        &mut self,
        #[wasm_bindgen(unchecked_param_type = "readonly Part[]")] parts: &Array,
        #[wasm_bindgen(js_name = readSync, unchecked_param_type = "ReadSync | undefined")] read_sync: Option<
            Function,
        >,
    ) -> JsResult<()> {
        let recipe = recipe_of(parts, read_sync.as_ref(), vec![self.source.clone()])?;
        self.push(Core::from_recipe(recipe).map_err(to_throw)?);
        Ok(())
    }
}

impl Archive {
    fn core(&self) -> JsResult<&Rc<Core<Shared>>> {
        self.states.get(self.current).ok_or_else(|| JsError::new("the archive has no state").into())
    }

    /// Makes an edit the current state. One that changed nothing leaves no trace.
    fn apply(&mut self, edit: longshore_archive::Result<Edit<Shared>>) -> JsResult {
        let Edit { archive, changes } = edit.map_err(to_throw)?;
        if !changes.is_empty() {
            self.push(archive);
        }
        to_js(&changes)
    }

    fn push(&mut self, archive: Core<Shared>) {
        let members = archive.index().entries().len();
        self.states.truncate(self.current + 1);
        self.states.push(Rc::new(archive));
        // The oldest edits can no longer be undone where their indexes would fill the memory.
        while self.states.len() > 2 && self.states.len() * members > STATES_MEMBERS {
            self.states.remove(0);
        }
        self.current = self.states.len() - 1;
    }
}
