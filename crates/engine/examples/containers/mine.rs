//! A container of this crate, with a store that keeps everything in memory.

use std::error::Error;
use std::path::Path;
use std::rc::Rc;

use longshore_archive::{Archive, Code, FileKind, FileReader, Limits, Recipe, Source, index_layer, merge};
use longshore_engine::{
    Applied, Attributes, CommitOptions, Content, CreateOptions, File, Kind, LayerPart, NewLayer, Operation,
    Overlay, Sight,
};

use crate::base;
use crate::ours::{Bytes, Ours};
use crate::steps::Step;

/// When its files are written: not when those of the image were.
const NOW: i64 = 1_700_000_000;

pub(crate) struct Mine {
    pub(crate) ours: Ours,
    id: String,
    overlay: Overlay,
    layers: Vec<Recipe<Bytes>>,
}

impl Mine {
    pub(crate) fn new(archive: &Path, name: &str) -> Result<Self, Box<dyn Error>> {
        let mut ours = Ours::default();
        ours.load(archive)?;
        let options = CreateOptions {
            id: "c".repeat(64),
            name: name.to_owned(),
            created: "2023-11-14T22:13:20Z".to_owned(),
        };
        ours.catalog.apply(&ours.catalog.create(base::NAME, &options)?)?;
        // Its files are those of an archive that has no other image.
        let archive = Archive::open_folder(ours.folder(ours.catalog.view(name, None)?))?;
        let layers = layers_of(&archive, 0)?;
        let overlay = Overlay::new(tree_of(&layers)?, [])?;
        Ok(Self { ours, id: options.id, overlay, layers })
    }

    pub(crate) fn diff(&self) -> Vec<String> {
        let mut lines: Vec<String> =
            self.overlay.diff().iter().map(|line| line.to_string().replace("%25", "%")).collect();
        lines.sort();
        lines
    }

    /// Does a step; the inner error is why it cannot be done.
    pub(crate) fn play(&mut self, step: &Step) -> Result<longshore_archive::Result<()>, Box<dyn Error>> {
        let operations = match self.operations(step)? {
            Ok(operations) => operations,
            Err(refused) => return Ok(Err(refused)),
        };
        // One after the other, as a shell does them: what is done stays done.
        for operation in operations {
            if let Err(refused) = self.apply(&operation)? {
                return Ok(Err(refused));
            }
        }
        Ok(Ok(()))
    }

    fn apply(&mut self, operation: &Operation) -> Result<longshore_archive::Result<()>, Box<dyn Error>> {
        loop {
            match self.overlay.apply(std::slice::from_ref(operation), NOW) {
                Err(refused) => return Ok(Err(refused)),
                Ok(Applied::Edited(edit)) => {
                    let change = self.ours.catalog.edit(&self.id, &edit)?;
                    self.ours.catalog.apply(&change)?;
                    return Ok(Ok(()));
                }
                Ok(Applied::Wanting { image, .. }) => {
                    for number in image {
                        let bytes = self.read(number)?;
                        let content = self.keep(bytes);
                        self.overlay.copied(number, content);
                    }
                }
            }
        }
    }

    fn keep(&mut self, bytes: Vec<u8>) -> Content {
        let size = bytes.len() as u64;
        Content::whole(self.ours.keep(bytes), size)
    }

    fn read(&self, number: usize) -> Result<Vec<u8>, Box<dyn Error>> {
        let mut reader =
            FileReader::new(self.overlay.base(), number, self.layers.clone(), Limits::default())?;
        let mut bytes = Vec::new();
        while let Some(recipe) = reader.read(1 << 20)? {
            bytes.extend(bytes_of(&recipe)?);
        }
        Ok(bytes)
    }

    fn kind(&self, path: &str, last: bool) -> longshore_archive::Result<FileKind> {
        Ok(match self.overlay.look(path.as_bytes(), last)? {
            Sight::Image(number) => self.overlay.base().kind(number),
            Sight::Changed(file) => file.kind.of_file(),
        })
    }

    /// What a step comes to; the inner error is why a tool does not do it.
    fn operations(
        &mut self,
        step: &Step,
    ) -> Result<longshore_archive::Result<Vec<Operation>>, Box<dyn Error>> {
        let refuse = |sentence: &str| Ok(Err(longshore_archive::Error::new(Code::InvalidArgument, sentence)));
        let bytes = |text: &str| text.as_bytes().to_vec();
        let remove = |path: &str| Operation::Remove { path: bytes(path) };
        let attributes = Attributes::default();
        let is_there = |mine: &Self, path: &str| mine.kind(path, false).is_ok();
        Ok(Ok(match step {
            Step::Write(path, text) | Step::Replace(path, text) => {
                let mut operations = Vec::new();
                if matches!(step, Step::Replace(..)) && is_there(self, path) {
                    operations.push(remove(path));
                }
                let content = self.keep(bytes(text));
                operations.push(Operation::Write { path: bytes(path), content, attributes });
                operations
            }
            Step::Append(path, text) => {
                let mut content = match self.overlay.look(path.as_bytes(), true) {
                    Ok(Sight::Image(number)) if self.overlay.base().kind(number) == FileKind::File => {
                        self.read(number)?
                    }
                    Ok(Sight::Changed(File { kind: Kind::Regular(content), .. })) => {
                        self.ours.blob(&content.digest).ok_or("a content is not kept")?.to_vec()
                    }
                    _ => Vec::new(),
                };
                content.extend(text.as_bytes());
                // Opened and closed, a file is as it was.
                if text.is_empty() && self.kind(path, true).is_ok_and(|kind| kind == FileKind::File) {
                    return Ok(Ok(Vec::new()));
                }
                vec![Operation::Write { path: bytes(path), content: self.keep(content), attributes }]
            }
            Step::Mkdir(path) => vec![Operation::Mkdir { path: bytes(path), parents: false, attributes }],
            Step::MkdirParents(path) => {
                vec![Operation::Mkdir { path: bytes(path), parents: true, attributes }]
            }
            Step::Symlink(path, target) => {
                vec![Operation::Symlink { path: bytes(path), target: bytes(target) }]
            }
            Step::Remove(path) if self.kind(path, false).is_ok_and(|kind| kind == FileKind::Directory) => {
                return refuse("a directory");
            }
            Step::Remove(path) | Step::RemoveAll(path) => vec![remove(path)],
            // `mv` looks where a link leads, and gives up where that has no end.
            Step::Move(_, to)
                if self.kind(to, true).map_or_else(
                    |error| error.code() == Code::InvalidArgument,
                    |kind| kind == FileKind::Directory,
                ) =>
            {
                return refuse("not for mv");
            }
            Step::Move(from, to) => vec![Operation::Move { from: bytes(from), to: bytes(to) }],
            Step::Chmod(path, mode) => {
                let attributes = Attributes { mode: Some(*mode), ..attributes };
                vec![Operation::Change { path: bytes(path), attributes }]
            }
            Step::Chown(path, uid, gid) => {
                let attributes = Attributes { uid: Some(*uid), gid: Some(*gid), ..attributes };
                vec![Operation::Change { path: bytes(path), attributes }]
            }
            Step::ToDirectory(path) => {
                let mkdir = Operation::Mkdir { path: bytes(path), parents: false, attributes };
                is_there(self, path).then(|| remove(path)).into_iter().chain([mkdir]).collect()
            }
        }))
    }

    /// `docker commit`; the new image's ID, or why there is none.
    pub(crate) fn commit(
        &mut self,
        options: &CommitOptions,
    ) -> Result<longshore_archive::Result<String>, Box<dyn Error>> {
        let mut bytes = Vec::new();
        for part in self.overlay.layer() {
            match part {
                LayerPart::Bytes(part) => bytes.extend(part),
                LayerPart::Content(Content { digest, offset, length, .. }) => {
                    let blob = self.ours.blob(&digest).ok_or("a content is not kept")?;
                    let (from, to) = (usize::try_from(offset)?, usize::try_from(offset + length)?);
                    bytes.extend(blob.get(from..to).ok_or("a content is beyond its blob")?);
                }
            }
        }
        let layer = (!self.overlay.is_empty()).then(|| {
            let size = bytes.len() as u64;
            NewLayer { diff_id: self.ours.keep(bytes), size }
        });
        let committed = match self.ours.catalog.commit(&self.id, layer.as_ref(), options) {
            Ok(committed) => committed,
            Err(refused) => return Ok(Err(refused)),
        };
        for (_, text) in committed.documents {
            self.ours.keep(text.into_bytes());
        }
        self.ours.catalog.apply(&committed.change)?;
        Ok(Ok(committed.id))
    }
}

/// The layers of an image of an archive, bottom first.
pub(crate) fn layers_of(
    archive: &Archive<Bytes>,
    image: usize,
) -> Result<Vec<Recipe<Bytes>>, Box<dyn Error>> {
    let count = archive.images().get(image).map_or(0, |image| image.layers.len());
    Ok((0..count).map(|layer| archive.layer_data(image, layer)).collect::<longshore_archive::Result<_>>()?)
}

/// What layers come to.
pub(crate) fn tree_of(layers: &[Recipe<Bytes>]) -> Result<Rc<longshore_archive::Tree>, Box<dyn Error>> {
    let index = |layer: &Recipe<Bytes>| index_layer(layer.clone(), Limits::default());
    Ok(Rc::new(merge(layers.iter().map(index).collect::<longshore_archive::Result<_>>()?)?))
}

pub(crate) fn bytes_of(recipe: &Recipe<Bytes>) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut bytes = vec![0; usize::try_from(recipe.len())?];
    recipe.read_at(0, &mut bytes)?;
    Ok(bytes)
}
