//! A container's changes as a layer (OCI image specification, `layer.md`).

use std::collections::{BTreeSet, btree_set};
use std::rc::Rc;

use longshore_archive::{FileKind, TarMember, Tree, Xattr};
use serde::Serialize;

use super::{Overlay, UpperFiles, ancestors, file_of, in_base, join, parent};
use crate::container::{Content, File, Kind, Node};

/// How many bytes of headers are given at a time, more or less.
const PIECE: usize = 64 << 10;

/// What follows next in a layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LayerPart {
    /// These bytes: headers, and what fills up blocks.
    Bytes(Vec<u8>),
    /// Of a blob of the store.
    Content(Content),
}

/// The parts of a layer, which is an uncompressed tar, of the changes as they were when it was begun; see [`Overlay::layer`].
#[derive(Debug)]
pub struct LayerParts {
    base: Rc<Tree>,
    upper: Rc<UpperFiles>,
    paths: btree_set::IntoIter<Vec<u8>>,
    bytes: Vec<u8>,
    content: Option<Content>,
    ended: bool,
}

impl Overlay {
    /// The layer that the changes are: what is in the upper directory and the directories above that, sorted by path, whiteouts
    /// as empty files named `.wh.…`, and `.wh..wh..opq` in a directory that took the place of one of the image. The same
    /// changes give the same bytes. Without any change there is no layer: see [`Self::is_empty`].
    pub fn layer(&self) -> LayerParts {
        let mut paths: BTreeSet<Vec<u8>> = BTreeSet::new();
        for path in self.upper.keys() {
            for above in ancestors(path) {
                if !paths.insert(above.to_vec()) {
                    break;
                }
            }
            paths.insert(path.clone());
        }
        LayerParts {
            base: self.base.clone(),
            upper: self.upper.clone(),
            paths: paths.into_iter(),
            bytes: Vec::new(),
            content: None,
            ended: false,
        }
    }
}

impl Iterator for LayerParts {
    type Item = LayerPart;

    fn next(&mut self) -> Option<LayerPart> {
        if let Some(content) = self.content.take() {
            return Some(LayerPart::Content(content));
        }
        while self.content.is_none() && self.bytes.len() < PIECE && !self.ended {
            if let Some(path) = self.paths.next() {
                self.push(&path);
            } else {
                self.bytes.resize(self.bytes.len() + 1024, 0);
                self.ended = true;
            }
        }
        let bytes = std::mem::take(&mut self.bytes);
        // What fills up the content's last block comes after it.
        if let Some(content) = &self.content {
            self.bytes.resize(TarMember::padding(content.length), 0);
        }
        (!bytes.is_empty()).then_some(LayerPart::Bytes(bytes))
    }
}

impl LayerParts {
    /// The header of what is at a path, and its content.
    fn push(&mut self, path: &[u8]) {
        let file = match self.upper.get(path) {
            Some(Node::Removed) => return self.whiteout(path),
            Some(Node::There(file)) => file.clone(),
            // Only a directory is there without having been changed.
            None => {
                match in_base(&self.base, path)
                    .and_then(|number| file_of(&self.base, number, Content::default))
                {
                    Some(file) => file,
                    None => return,
                }
            }
        };
        let File { kind, mode, uid, gid, mtime, xattrs } = file;
        let raw = |Xattr { name, value }: Xattr| (name.into_bytes().into_boxed_slice(), value);
        let mut member = TarMember {
            kind: kind.of_file(),
            path: path.to_vec(),
            mode,
            uid,
            gid,
            mtime,
            xattrs: xattrs.into_iter().map(raw).collect(),
            ..TarMember::default()
        };
        let mut is_opaque = false;
        match kind {
            Kind::Regular(content) => {
                member.size = content.length;
                self.content = Some(content).filter(|content| content.length > 0);
            }
            Kind::Directory { opaque } => is_opaque = opaque,
            Kind::Symlink { target } => member.link = target,
            Kind::CharacterDevice(major, minor) | Kind::BlockDevice(major, minor) => {
                member.device = Some((major, minor));
            }
            Kind::Fifo => {}
        }
        self.bytes.append(&mut member.header());
        if is_opaque {
            self.mark(join(path, b".wh..wh..opq"));
        }
    }

    fn whiteout(&mut self, path: &[u8]) {
        let directory = parent(path);
        let name = path.get(directory.len()..).unwrap_or_default();
        let name = name.strip_prefix(b"/").unwrap_or(name);
        self.mark(join(directory, &[b".wh.", name].concat()));
    }

    /// An empty file that stands for something: always the same.
    fn mark(&mut self, path: Vec<u8>) {
        let member = TarMember { kind: FileKind::File, path, mode: 0, ..TarMember::default() };
        self.bytes.append(&mut member.header());
    }
}
