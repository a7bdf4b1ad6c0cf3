//! The files inside layers, as JavaScript sees them: everything in steps, so that a Worker can report and be stopped.

#![allow(clippy::needless_pass_by_value)] // what wasm-bindgen gives is owned

use std::collections::HashMap;
use std::rc::Rc;

use js_sys::{Array, Function};
use longshore_archive::{
    Archive, Changing, Comparing, Dropping, Export, FileEntry, FileReader, Indexing, Layer, Limits, Merging,
    Part, Query, Recipe, Rewrite, Search, SharedIndex, Side, Source, Squashing, Tree, Weighing,
};
use serde::{Deserialize, Serialize};
use wasm_bindgen::prelude::*;

use crate::codec::limits_of;
use crate::error::{JsResult, to_throw};
use crate::rewrite::described;
use crate::source::{Shared, parts_of, recipe_of};
use crate::values::{from_js, to_js};

/// How many entries one step merges or weighs: some milliseconds of work.
const ENTRIES: usize = 20_000;
/// How many bytes one step goes through.
const BYTES: u64 = 4 << 20;
/// How many things cross at a time.
const PAGE: usize = 1000;

/// Where a layer's bytes stand: the sources' addresses, which are theirs alone while they are kept.
type Key = Vec<(usize, u64, u64)>;

fn key_of(data: &Recipe<Shared>) -> Key {
    let part = |part: &Part<Shared>| match part {
        Part::Range { source, offset, len } => (Rc::as_ptr(source) as usize, *offset, *len),
        Part::Bytes(bytes) => (Rc::as_ptr(bytes).cast::<u8>() as usize, 0, Source::len(bytes)),
    };
    data.parts().iter().map(part).collect()
}

/// The indexes of an archive's layers, each made once.
#[wasm_bindgen]
pub struct Files {
    core: Archive<Shared>,
    /// The sources that the keys are of, by their numbers: each that was ever met.
    sources: Vec<Shared>,
    indexes: HashMap<Key, SharedIndex>,
    /// What is being made.
    work: Option<Work>,
}

struct Work {
    layers: Vec<Recipe<Shared>>,
    limits: Limits,
    indexing: Option<Box<Indexing<Shared>>>,
    merging: Option<Box<Merging>>,
    /// Which layer is next, bytes of those before it, and of all.
    next: usize,
    done: u64,
    total: u64,
}

#[wasm_bindgen]
impl Files {
    /// Begins with an archive's parts; throws as opening one does.
    #[wasm_bindgen(constructor)]
    pub fn new(
        #[wasm_bindgen(unchecked_param_type = "readonly Part[]")] parts: &Array,
        #[wasm_bindgen(js_name = readSync, unchecked_param_type = "ReadSync | undefined")] read_sync: Option<
            Function,
        >,
    ) -> JsResult<Self> {
        let core = opened(parts, read_sync.as_ref(), Vec::new())?;
        let sources = sources_of(&core);
        Ok(Self { core, sources, indexes: HashMap::new(), work: None })
    }

    /// Takes the archive as it is after an edit: layers that it still has keep their indexes.
    pub fn refresh(
        &mut self,
        #[wasm_bindgen(unchecked_param_type = "readonly Part[]")] parts: &Array,
        #[wasm_bindgen(js_name = readSync, unchecked_param_type = "ReadSync | undefined")] read_sync: Option<
            Function,
        >,
    ) -> JsResult<()> {
        self.core = opened(parts, read_sync.as_ref(), self.sources.clone())?;
        self.sources =
            sources_of(&self.core).into_iter().fold(std::mem::take(&mut self.sources), |mut all, one| {
                if !all.iter().any(|known| Rc::ptr_eq(known, &one)) {
                    all.push(one);
                }
                all
            });
        Ok(())
    }

    /// Takes over what another archive knows of layers that this has too, by their blobs' digests. Both have to be out of one
    /// store, which has seen to it that its blobs are what their digests say.
    pub fn know(&mut self, other: &Files) {
        let known: HashMap<String, &SharedIndex> = other
            .digests()
            .into_iter()
            .filter_map(|(digest, key)| Some((digest, other.indexes.get(&key)?)))
            .collect();
        for (digest, key) in self.digests() {
            if let Some(&index) = known.get(&digest) {
                self.indexes.insert(key, index.clone());
            }
        }
    }

    /// Begins to make the file system of an image, up to and with a layer, or with all of them.
    pub fn begin(
        &mut self,
        image: &str,
        layer: Option<u32>,
        #[wasm_bindgen(unchecked_param_type = "Limits")] limits: JsValue,
    ) -> JsResult<()> {
        let limits = limits_of(limits)?.unwrap_or_default();
        let layers = self.layers(image, layer).map_err(to_throw)?;
        let total =
            layers.iter().filter(|data| !self.indexes.contains_key(&key_of(data))).map(Source::len).sum();
        self.work = Some(Work { layers, limits, indexing: None, merging: None, next: 0, done: 0, total });
        Ok(())
    }

    /// Goes on; the file system when it is made.
    pub fn step(&mut self) -> JsResult<Option<FileTree>> {
        let Some(mut work) = self.work.take() else { return Err(JsError::new("nothing was begun").into()) };
        let tree = self.advance(&mut work).map_err(to_throw)?;
        if tree.is_none() {
            self.work = Some(work);
            return Ok(None);
        }
        let Work { layers, limits, .. } = work;
        Ok(tree.map(|tree| FileTree { tree: Rc::new(tree), layers, limits }))
    }

    /// Bytes of layers that were indexed, of those that have to be.
    pub fn done(&self) -> f64 {
        let work = self.work.as_ref();
        let now = work.and_then(|work| work.indexing.as_ref()).map_or(0, |indexing| indexing.consumed());
        number(work.map_or(0, |work| work.done) + now)
    }

    /// How many have to be.
    pub fn total(&self) -> f64 {
        number(self.work.as_ref().map_or(0, |work| work.total))
    }
}

impl Files {
    fn layers(&self, image: &str, layer: Option<u32>) -> longshore_archive::Result<Vec<Recipe<Shared>>> {
        self.core.layers_data(self.core.find(image)?, layer.map(|layer| layer as usize))
    }

    /// The digest of each layer of each image, and where it stands.
    fn digests(&self) -> Vec<(String, Key)> {
        let mut digests = Vec::new();
        for (number, image) in self.core.images().iter().enumerate() {
            for (layer, Layer { digest, .. }) in image.layers.iter().enumerate() {
                if let (Some(digest), Ok(data)) = (digest, self.core.layer_data(number, layer)) {
                    digests.push((digest.clone(), key_of(&data)));
                }
            }
        }
        digests
    }

    fn advance(&mut self, work: &mut Work) -> longshore_archive::Result<Option<Tree>> {
        if let Some(merging) = &mut work.merging {
            if !merging.step(ENTRIES) {
                return Ok(None);
            }
            return Ok(work.merging.take().map(|merging| merging.finish()));
        }
        if let Some(indexing) = &mut work.indexing {
            if indexing.step(BYTES)?
                && let (Some(indexing), Some(data)) = (work.indexing.take(), work.layers.get(work.next))
            {
                self.indexes.insert(key_of(data), indexing.finish());
                work.done += data.len();
                work.next += 1;
            }
            return Ok(None);
        }
        while let Some(data) = work.layers.get(work.next) {
            if !self.indexes.contains_key(&key_of(data)) {
                work.indexing = Some(Box::new(Indexing::new(data.clone(), work.limits)?));
                return Ok(None);
            }
            work.next += 1;
        }
        let indexes =
            work.layers.iter().filter_map(|data| self.indexes.get(&key_of(data)).cloned()).collect();
        work.merging = Some(Box::new(Merging::new(indexes)?));
        Ok(None)
    }
}

fn opened(parts: &Array, read_sync: Option<&Function>, known: Vec<Shared>) -> JsResult<Archive<Shared>> {
    Archive::from_recipe(recipe_of(parts, read_sync, known)?).map_err(to_throw)
}

fn sources_of(core: &Archive<Shared>) -> Vec<Shared> {
    let source = |part: &Part<Shared>| match part {
        Part::Range { source, .. } => Some(source.clone()),
        Part::Bytes(_) => None,
    };
    let mut sources: Vec<Shared> = core.recipe().parts().iter().filter_map(source).collect();
    sources.dedup_by(|a, b| Rc::ptr_eq(a, b));
    sources
}

fn number(number: u64) -> f64 {
    #[allow(clippy::cast_precision_loss)] // below 2^53
    (number as f64)
}

/// What crosses of a list: some of it, and where it goes on.
#[derive(Serialize)]
struct Page {
    entries: Vec<FileEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<usize>,
}

#[derive(Deserialize)]
struct Wanted {
    glob: Option<String>,
    regex: Option<String>,
}

/// The file system of an image.
#[wasm_bindgen]
pub struct FileTree {
    tree: Rc<Tree>,
    layers: Vec<Recipe<Shared>>,
    limits: Limits,
}

impl FileTree {
    pub(crate) fn tree(&self) -> &Rc<Tree> {
        &self.tree
    }

    fn at(&self, path: &str, last: bool) -> JsResult<usize> {
        self.tree.lookup(path.as_bytes(), last).map_err(to_throw)
    }
}

#[wasm_bindgen]
impl FileTree {
    /// The same file system once more, to be freed by itself.
    #[must_use]
    pub fn share(&self) -> Self {
        Self { tree: self.tree.clone(), layers: self.layers.clone(), limits: self.limits }
    }

    /// What is in a directory, sorted; with `recursive`, in those below it too. From where the page before went on.
    #[wasm_bindgen(unchecked_return_type = "FilePage")]
    pub fn list(&self, path: &str, recursive: bool, from: Option<u32>, limit: Option<u32>) -> JsResult {
        let folder = self.tree.directory(path.as_bytes()).map_err(to_throw)?;
        let limit = limit.map_or(PAGE, |limit| limit as usize);
        let end = self.tree.end(folder);
        let mut at = from.map_or(folder + 1, |from| from as usize).max(folder + 1);
        let mut entries = Vec::new();
        while at < end && entries.len() < limit {
            entries.extend(self.tree.entry(at));
            at = if recursive { at + 1 } else { self.tree.end(at) };
        }
        to_js(&Page { entries, next: (at < end).then_some(at) })
    }

    /// Begins to read a file.
    pub fn read(&self, path: &str) -> JsResult<FileStream> {
        let number = self.at(path, true)?;
        let reader =
            FileReader::new(&self.tree, number, self.layers.clone(), self.limits).map_err(to_throw)?;
        Ok(FileStream { stream: Stream::File(Box::new(reader)) })
    }

    /// Begins to read the files of these numbers, one after the other: `order` has each with its size, as they come.
    #[wasm_bindgen(js_name = readNumbers, unchecked_return_type = "{ order: [number: number, size: number][], stream: FileStream }")]
    pub fn read_numbers(&self, numbers: Vec<u32>) -> JsResult {
        let numbers: Vec<usize> = numbers.into_iter().map(|number| number as usize).collect();
        let reader =
            FileReader::several(&self.tree, &numbers, self.layers.clone(), self.limits).map_err(to_throw)?;
        let order = to_js(&reader.files().collect::<Vec<_>>())?;
        let begun = js_sys::Object::new();
        js_sys::Reflect::set(&begun, &"order".into(), &order)?;
        js_sys::Reflect::set(
            &begun,
            &"stream".into(),
            &FileStream { stream: Stream::File(Box::new(reader)) }.into(),
        )?;
        Ok(begun.into())
    }

    /// Begins to make a tar of a file or a directory.
    pub fn export(&self, path: &str) -> JsResult<FileStream> {
        let number = self.at(path, false)?;
        let export = Export::new(self.tree.clone(), number, self.layers.clone(), self.limits);
        Ok(FileStream { stream: Stream::Tar(Box::new(export)) })
    }

    /// Begins to look for files.
    pub fn search(
        &self,
        path: &str,
        #[wasm_bindgen(unchecked_param_type = "{ glob?: string; regex?: string }")] wanted: JsValue,
        bytes: Option<Vec<u8>>,
    ) -> JsResult<FileWork> {
        let number = self.at(path, true)?;
        let Wanted { glob, regex } = from_js(&wanted)?;
        let query = Query { glob, regex, bytes };
        let search = Search::new(self.tree.clone(), number, &query, self.layers.clone(), self.limits);
        Ok(FileWork::new(Kind::Search(Box::new(search.map_err(to_throw)?))))
    }

    /// Begins to find what the uppermost layer changes.
    pub fn changes(&self) -> JsResult<FileWork> {
        let changing = Changing::new(self.tree.layers().to_vec()).map_err(to_throw)?;
        Ok(FileWork::new(Kind::Changes(Box::new(changing))))
    }

    /// Begins to find what of the layers is in vain.
    pub fn efficiency(&self) -> JsResult<FileWork> {
        let weighing = Weighing::new(self.tree.layers().to_vec()).map_err(to_throw)?;
        Ok(FileWork::new(Kind::Efficiency(Some(Box::new(weighing)))))
    }

    /// Begins to find out what becomes of the layers when those from one on become one.
    pub fn squash(&self, first: u32) -> JsResult<FileWork> {
        let squashing = Squashing::new(self.tree.layers().to_vec(), first as usize).map_err(to_throw)?;
        Ok(self.rewriting(Planning::Squash(squashing)))
    }

    /// Begins to find out what becomes of the layers when some paths go.
    pub fn drop(&self, paths: Vec<String>) -> JsResult<FileWork> {
        let paths: Vec<&[u8]> = paths.iter().map(String::as_bytes).collect();
        let dropping = Dropping::new(self.tree.layers().to_vec(), &paths).map_err(to_throw)?;
        Ok(self.rewriting(Planning::Drop(dropping)))
    }

    /// Begins to compare it with another.
    pub fn compare(&self, other: &FileTree) -> FileWork {
        let side = |tree: &Self| Side { tree: tree.tree.clone(), layers: tree.layers.clone() };
        FileWork::new(Kind::Compare(Box::new(Comparing::new(side(self), side(other), self.limits))))
    }
}

impl FileTree {
    fn rewriting(&self, planning: Planning) -> FileWork {
        let are_plain = self.tree.layers().iter().map(|index| index.compression().is_none()).collect();
        let layers = self.layers.clone();
        FileWork::new(Kind::Rewrite(Box::new(LayerWork { planning: Some(planning), layers, are_plain })))
    }
}

/// Layers that are to be rewritten: the plan until it is told, their bytes, and whether each is not packed.
struct LayerWork {
    planning: Option<Planning>,
    layers: Vec<Recipe<Shared>>,
    are_plain: Vec<bool>,
}

enum Planning {
    Squash(Squashing),
    Drop(Dropping),
}

impl Planning {
    fn step(&mut self) -> longshore_archive::Result<bool> {
        match self {
            Self::Squash(squashing) => squashing.step(ENTRIES),
            Self::Drop(dropping) => dropping.step(ENTRIES),
        }
    }

    fn finish(self) -> Rewrite {
        match self {
            Self::Squash(squashing) => squashing.finish(),
            Self::Drop(dropping) => dropping.finish(),
        }
    }
}

/// A tar, packed or not, whose files are being found.
#[wasm_bindgen]
pub struct TarFiles {
    data: Recipe<Shared>,
    limits: Limits,
    indexing: Option<Box<Indexing<Shared>>>,
}

#[wasm_bindgen]
impl TarFiles {
    /// Begins.
    #[wasm_bindgen(constructor)]
    pub fn new(
        #[wasm_bindgen(unchecked_param_type = "readonly Part[]")] parts: &Array,
        #[wasm_bindgen(js_name = readSync, unchecked_param_type = "ReadSync | undefined")] read_sync: Option<
            Function,
        >,
        #[wasm_bindgen(unchecked_param_type = "Limits")] limits: JsValue,
    ) -> JsResult<Self> {
        let data = recipe_of(parts, read_sync.as_ref(), Vec::new())?;
        let limits = limits_of(limits)?.unwrap_or_default();
        let indexing = Some(Box::new(Indexing::new(data.clone(), limits).map_err(to_throw)?));
        Ok(Self { data, limits, indexing })
    }

    /// Goes on; the entries at the end, for an overlay's `unpack`.
    pub fn step(&mut self) -> JsResult<Option<FileTree>> {
        let Some(indexing) = &mut self.indexing else { return Ok(None) };
        if !indexing.step(BYTES).map_err(to_throw)? {
            return Ok(None);
        }
        let tree = self.indexing.take().map(|indexing| Rc::new(Tree::of_tar(indexing.finish())));
        Ok(tree.map(|tree| FileTree { tree, layers: vec![self.data.clone()], limits: self.limits }))
    }
}

enum Stream {
    File(Box<FileReader<Shared>>),
    Tar(Box<Export<Shared>>),
}

/// The bytes of a file or of a tar.
#[wasm_bindgen]
pub struct FileStream {
    stream: Stream,
}

#[wasm_bindgen]
impl FileStream {
    /// The next parts: none, where it takes long to get to them; `undefined` at the end.
    #[wasm_bindgen(js_name = next, unchecked_return_type = "Part[] | undefined")]
    pub fn advance(&mut self) -> JsResult {
        #[allow(clippy::cast_possible_truncation)] // four MiB
        let max = BYTES as usize;
        let parts = match &mut self.stream {
            Stream::File(reader) => reader.read(max),
            Stream::Tar(export) => export.step(max),
        };
        Ok(match parts.map_err(to_throw)? {
            Some(recipe) => parts_of(&recipe)?.into(),
            None => JsValue::UNDEFINED,
        })
    }
}

enum Kind {
    Search(Box<Search<Shared>>),
    Changes(Box<Changing>),
    Efficiency(Option<Box<Weighing>>),
    Compare(Box<Comparing<Shared>>),
    Rewrite(Box<LayerWork>),
}

/// Work that ends in a list.
#[wasm_bindgen]
pub struct FileWork {
    kind: Kind,
    ended: bool,
    given: usize,
}

#[wasm_bindgen]
impl FileWork {
    /// Goes on: what was found since; `undefined` at the end.
    #[wasm_bindgen(js_name = next, unchecked_return_type = "unknown[] | undefined")]
    pub fn advance(&mut self) -> JsResult {
        if !self.ended {
            self.ended = match &mut self.kind {
                Kind::Search(search) => search.step(BYTES).map_err(to_throw)?,
                Kind::Changes(changing) => changing.step(ENTRIES),
                Kind::Efficiency(weighing) => weighing.as_mut().is_none_or(|weighing| weighing.step(ENTRIES)),
                Kind::Compare(comparing) => comparing.step(BYTES).map_err(to_throw)?,
                Kind::Rewrite(rewrite) => match &mut rewrite.planning {
                    Some(planning) => planning.step().map_err(to_throw)?,
                    None => true,
                },
            };
            if let Kind::Search(search) = &mut self.kind {
                return to_js(&search.take());
            }
            return to_js(&[(); 0]);
        }
        let page = self.given..self.given + PAGE;
        self.given = page.end;
        match &mut self.kind {
            Kind::Changes(changing) if page.start < changing.len() => {
                to_js(&page.filter_map(|number| changing.get(number)).collect::<Vec<_>>())
            }
            Kind::Compare(comparing) if page.start < comparing.len() => {
                to_js(&page.filter_map(|number| comparing.get(number)).collect::<Vec<_>>())
            }
            Kind::Efficiency(weighing) if weighing.is_some() => {
                to_js(&weighing.take().map(|weighing| weighing.finish()).into_iter().collect::<Vec<_>>())
            }
            Kind::Rewrite(rewrite) => {
                let LayerWork { planning, layers, are_plain } = &mut **rewrite;
                let Some(planning) = planning.take() else { return Ok(JsValue::UNDEFINED) };
                Ok(Array::of1(&described(&planning.finish(), layers, are_plain)?).into())
            }
            _ => Ok(JsValue::UNDEFINED),
        }
    }

    /// Bytes gone through so far.
    pub fn done(&self) -> f64 {
        number(self.progress().0)
    }

    /// Bytes to go through; 0 while nobody knows.
    pub fn total(&self) -> f64 {
        number(self.progress().1)
    }
}

impl FileWork {
    fn new(kind: Kind) -> Self {
        Self { kind, ended: false, given: 0 }
    }

    fn progress(&self) -> (u64, u64) {
        match &self.kind {
            Kind::Search(search) => search.progress(),
            Kind::Compare(comparing) => comparing.progress(),
            _ => (0, 0),
        }
    }
}
