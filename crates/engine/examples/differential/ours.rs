//! This crate, with a store that keeps everything in memory.
#![allow(dead_code, reason = "no example needs all of it")]

use std::collections::HashMap;
use std::error::Error;
use std::path::Path;
use std::rc::Rc;

use longshore_archive::{Archive, Result, Selection, Source, Target as Form, save};
use longshore_engine::{Catalog, Change, Export, Incoming, Target, Use};

pub(crate) type Bytes = Rc<Vec<u8>>;

/// What a command prints, and how it ends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) failed: bool,
    /// On stdout.
    pub(crate) lines: Vec<String>,
    /// On stderr, without what the command line puts before the engine's words.
    pub(crate) errors: Vec<String>,
}

impl Outcome {
    pub(crate) fn of(result: Result<Vec<String>>) -> Self {
        match result {
            Ok(lines) => Self { lines, ..Self::default() },
            Err(error) => Self { failed: true, lines: Vec::new(), errors: vec![error.message().to_owned()] },
        }
    }
}

/// An image as both are asked for it after each step.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ImageState {
    pub(crate) id: String,
    pub(crate) parent: String,
    pub(crate) names: Vec<String>,
}

/// The store.
#[derive(Default)]
pub(crate) struct Ours {
    pub(crate) catalog: Catalog,
    pub(crate) containers: Vec<Use>,
    blobs: HashMap<String, Bytes>,
}

impl Ours {
    /// Does what a verb says.
    pub(crate) fn change(&mut self, change: Result<Change>) -> Outcome {
        Outcome::of(change.and_then(|change| {
            self.catalog.apply(&change)?;
            Ok(change.lines)
        }))
    }

    pub(crate) fn load(&mut self, file: &Path) -> std::result::Result<Outcome, Box<dyn Error>> {
        let archive = whole(&Archive::open(Rc::new(std::fs::read(file)?))?, Form::Docker)?;
        let archive = Archive::open(Rc::new(archive))?;
        let incoming = Incoming::of(&archive)?;
        for blob in self.catalog.plan(&incoming)?.blobs {
            let path = longshore_archive::blob_path(&blob.digest).unwrap_or_default();
            let entry = archive.index().resolve(&path).and_then(|entry| archive.index().entries().get(entry));
            let entry = entry.ok_or("the archive lacks a blob")?;
            let mut bytes = vec![0; usize::try_from(entry.size)?];
            archive.recipe().read_at(entry.data, &mut bytes)?;
            self.blobs.insert(blob.digest, Rc::new(bytes));
        }
        let change = self.catalog.load(&incoming);
        let outcome = self.change(change);
        // What collection would do.
        let kept = self.catalog.blobs();
        self.blobs.retain(|digest, _| kept.contains_key(digest));
        Ok(outcome)
    }

    /// Keeps a blob; gives its digest.
    pub(crate) fn keep(&mut self, bytes: Vec<u8>) -> String {
        let digest = longshore_archive::sha256(&bytes);
        self.blobs.insert(digest.clone(), Rc::new(bytes));
        digest
    }

    /// A blob that is kept.
    pub(crate) fn blob(&self, digest: &str) -> Option<&Bytes> {
        self.blobs.get(digest)
    }

    /// The archive that some images are saved as: a folder of it.
    pub(crate) fn save(&self, images: &[String]) -> Result<Archive<Bytes>> {
        Archive::open_folder(self.folder(self.catalog.save(images, &[])?))
    }

    /// The documents and blobs of an archive, by their paths.
    pub(crate) fn folder(&self, export: Export) -> Vec<(String, Bytes)> {
        let documents = export.documents.into_iter().map(|(path, text)| (path, Rc::new(text.into_bytes())));
        let blobs = export
            .blobs
            .into_iter()
            .filter_map(|blob| Some((blob.path, self.blobs.get(&blob.digest)?.clone())));
        documents.chain(blobs).collect()
    }

    /// Every image, with its names and its parent.
    pub(crate) fn state(&self) -> Vec<ImageState> {
        let state = |image: &longshore_engine::Image| {
            let names = self.catalog.names_of(&Target::Image(image.id().to_owned()));
            let mut names: Vec<String> = names.map(ToString::to_string).collect();
            names.sort();
            ImageState {
                id: image.id().to_owned(),
                parent: image.parent().unwrap_or_default().to_owned(),
                names,
            }
        };
        self.catalog.all_images().map(state).collect()
    }
}

/// All images of an archive, in one form.
pub(crate) fn whole(archive: &Archive<Bytes>, form: Form) -> Result<Vec<u8>> {
    ordered(archive, form, 0..archive.images().len())
}

/// Images of an archive, by their numbers, in that order and one form.
pub(crate) fn ordered(
    archive: &Archive<Bytes>,
    form: Form,
    images: impl IntoIterator<Item = usize>,
) -> Result<Vec<u8>> {
    let (measured, repacked) = (HashMap::new(), HashMap::new());
    let select = |image| Selection { archive, image, measured: &measured, repacked: &repacked };
    let selections: Vec<_> = images.into_iter().map(select).collect();
    let recipe = save(&selections, form)?;
    let mut bytes = vec![0; usize::try_from(recipe.len()).unwrap_or_default()];
    recipe.read_at(0, &mut bytes)?;
    Ok(bytes)
}
