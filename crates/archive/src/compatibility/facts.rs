//! What the readers share: the members by name, `manifest.json`, and what is known of layers.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;

use crate::compression::Compression;
use crate::digest::digest;
use crate::error::Code;
use crate::files::{MAX_NAME, MAX_PATH, Odd, Oddity};
use crate::json::{self, Object};
use crate::measure::Measured;
use crate::members::Members;
use crate::source::Source;
use crate::tar::{BLOCK, Entry, EntryKind, beside, clean};

use super::{Flaw, Reader};

/// The longest window of a zstd frame that Go's decoder takes, 512 MiB, as the frame's header states it.
const MAX_ZSTD_WINDOW: u8 = 19 << 3;

/// An archive, as far as it is known.
pub(super) struct Facts<'a, S> {
    members: &'a Members<S>,
    measured: &'a HashMap<usize, Measured>,
    /// How the file was compressed, from outside in.
    pub(super) packing: Vec<Compression>,
    /// Whether bytes follow what was compressed.
    pub(super) trailing: bool,
    /// The first member of each name.
    first: HashMap<String, usize>,
    /// The last regular file of each name, by its type a plain one.
    last: HashMap<String, usize>,
    /// The last symbolic link of each name, as it is written.
    links: HashMap<Rc<str>, usize>,
}

impl<'a, S: Source + Clone> Facts<'a, S> {
    pub(super) fn new(members: &'a Members<S>, measured: &'a HashMap<usize, Measured>) -> Self {
        let (mut first, mut last, mut links) = (HashMap::new(), HashMap::new(), HashMap::new());
        for (number, entry) in members.index.entries().iter().enumerate() {
            let name = clean(&entry.path);
            match entry.kind {
                EntryKind::File if !entry.is_contiguous => _ = last.insert(name.clone(), number),
                EntryKind::Symlink => _ = links.insert(entry.path.clone(), number),
                _ => {}
            }
            first.entry(name).or_insert(number);
        }
        Self { members, measured, packing: Vec::new(), trailing: false, first, last, links }
    }

    pub(super) fn entries(&self) -> &[Entry] {
        self.members.index.entries()
    }

    /// The first member of that name: for those who read a tar until they have found what they look for.
    pub(super) fn first(&self, path: &str) -> Option<(usize, &Entry)> {
        let number = *self.first.get(&clean(path))?;
        Some((number, self.entries().get(number)?))
    }

    /// The last regular file that is written with that very path: for those who keep a table of what they have seen.
    pub(super) fn last(&self, path: &str) -> Option<usize> {
        self.last.get(path).copied()
    }

    /// Where the symbolic link of that very path leads.
    pub(super) fn link(&self, path: &str) -> Option<String> {
        let entry = self.entries().get(*self.links.get(path)?)?;
        Some(beside(path, entry.link.as_deref()?))
    }

    /// The regular file at that path after unpacking the archive into a directory.
    pub(super) fn unpacked(&self, path: &str) -> Option<usize> {
        self.members.index.resolve(path)
    }

    /// Why the archive cannot be unpacked into a directory. `any_path` is whether members may have paths that leave it.
    pub(super) fn unpacking_flaw(&self, any_path: bool) -> Option<Flaw> {
        let inside = |path: &str| clean(&format!("/{path}"));
        let mut seen = HashSet::new();
        // By the hashes of their paths.
        let mut files = HashSet::new();
        for entry in self.entries() {
            let path = &*entry.path;
            let place = inside(path);
            let above: Vec<u64> = ways(&place).collect();
            let Some((own, above)) = above.split_last() else { continue };
            let is_below_file = above.iter().any(|above| files.contains(above));
            let has_long_name = place.split('/').any(|name| name.len() > MAX_NAME);
            if is_below_file || has_long_name || place.len() > MAX_PATH {
                return Some(Flaw::of_form(format!(
                    "The member \"{path}\" is below a file, or has a name that is too long for one."
                )));
            }
            if matches!(entry.kind, EntryKind::File | EntryKind::HardLink) {
                files.insert(*own);
            } else {
                files.remove(own);
            }
            if !any_path && leaves(path) {
                return Some(Flaw::of_form(format!(
                    "The member \"{path}\" has a path that leaves the archive."
                )));
            }
            let link = entry.link.as_deref().unwrap_or_default();
            let is_out = match entry.kind {
                EntryKind::Symlink => leaves(&beside(path.trim_start_matches('/'), link)),
                EntryKind::HardLink => !seen.contains(&inside(link)),
                _ => false,
            };
            if is_out {
                return Some(Flaw::of_form(format!(
                    "The member \"{path}\" is a link to nothing in the archive."
                )));
            }
            seen.insert(place);
        }
        None
    }

    /// The content of a document, if the reader takes one of that length.
    pub(super) fn document(&self, number: usize, limit: u64) -> Result<Rc<[u8]>, Flaw> {
        if self.entries().get(number).is_none_or(|entry| entry.size > limit) {
            return Err(Flaw::of_image("A metadata document of the archive is too long."));
        }
        self.members.read_listing(number).map_err(|error| Flaw::of_image(error.message()))
    }

    /// What is wrong with a layer whose content shall have that digest, for a reader that knows these compressions.
    pub(super) fn layer_flaw(&self, number: usize, diff_id: &str, known: &[Compression]) -> Option<Flaw> {
        let wrong = |what: &str| Some(Flaw::of_image(format!("The layer {diff_id} {what}.")));
        if digest(diff_id).is_none() {
            return Some(Flaw::of_image(format!(
                "The config has a diff ID that is no digest: \"{diff_id}\"."
            )));
        }
        if let Some(flaw) = self.compression_flaw(number, known) {
            return Some(flaw);
        }
        match &self.measured.get(&number)?.content {
            Err(_) if self.is_too_much(number) => None,
            Err(_) => wrong("cannot be unpacked: its compressed data is damaged"),
            Ok(content) if differ(&content.digest, diff_id) => {
                wrong("is not what the config says: its digest is another")
            }
            Ok(_) => None,
        }
    }

    /// Whether a layer could not be unpacked here, though nothing says that it is damaged.
    pub(super) fn is_too_much(&self, number: usize) -> bool {
        let content = self.measured.get(&number).map(|measured| &measured.content);
        content
            .is_some_and(|content| content.as_ref().is_err_and(|error| error.code() == Code::LimitExceeded))
    }

    /// What is wrong with a layer's compression, for a reader that knows these.
    pub(super) fn compression_flaw(&self, number: usize, known: &[Compression]) -> Option<Flaw> {
        let compression = self.compression(number)?;
        if !known.contains(&compression) {
            let name = compression.name();
            return Some(Flaw::of_form(format!(
                "A layer is compressed with {name}, which it cannot unpack."
            )));
        }
        let [_, _, _, _, flags, window] = self.bytes_at(self.entries().get(number)?.data)?;
        let is_single_segment = flags & 0x20 != 0;
        (compression == Compression::Zstd && !is_single_segment && window > MAX_ZSTD_WINDOW).then(|| {
            Flaw::of_form("A layer is compressed with zstd, which looks back over more than 512 MiB.")
        })
    }

    /// Go's readers of compressed data refuse what follows that of a layer. `but` is what the reader leaves to a program that
    /// does not.
    pub(super) fn trailing_flaw(&self, number: usize, but: Option<Compression>) -> Option<Flaw> {
        let measured = self.measured.get(&number)?;
        let has_trailing = measured.content.as_ref().is_ok_and(|content| content.trailing > 0);
        let flaw = || Flaw::of_form("Bytes follow the compressed data of a layer.");
        (has_trailing && measured.compression != but).then(flaw)
    }

    /// Bytes of the archive; nothing where they cannot be read.
    pub(super) fn bytes_at<const N: usize>(&self, offset: u64) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        self.members.data.read_at(offset, &mut bytes).ok().map(|()| bytes)
    }

    /// Go's tar reader takes one zero block for the end of the archive only where nothing follows.
    pub(super) fn end_flaw(&self) -> Option<Flaw> {
        let (index, len) = (&self.members.index, self.members.data.len());
        let next = index.end() + BLOCK;
        let is_out = !index.has_end_blocks() || next + BLOCK > len || self.bytes_at::<512>(next)? == [0; 512];
        (!is_out).then(|| Flaw::of_form("The tar ends with a single zero block, but more follows."))
    }

    pub(super) fn compression(&self, number: usize) -> Option<Compression> {
        self.entries().get(number)?.compression()
    }

    /// Whether a member was read and is not what its digest says.
    pub(super) fn is_corrupt(&self, number: usize, digest: &str) -> bool {
        self.measured.get(&number).is_some_and(|measured| differ(&measured.digest, digest))
    }

    /// Why a reader cannot unpack a layer, by what was noted of its entries.
    pub(super) fn content_flaw(&self, number: usize, reader: Reader) -> Option<Flaw> {
        let odd = &self.measured.get(&number)?.odd;
        odd.iter().find(|odd| refuses(reader, odd.what)).map(|odd| Flaw::of_image(sentence(odd)))
    }
}

/// Whether a reader refuses layers that have it.
fn refuses(reader: Reader, what: Oddity) -> bool {
    let is_docker = matches!(reader, Reader::Docker24 | Reader::Docker25);
    match what {
        // These do not look into layers.
        _ if matches!(reader, Reader::Skopeo | Reader::Crane) => false,
        // The others unpack in a place of which nothing is above.
        Oddity::Above => reader == Reader::Docker25,
        // Their stores keep the layer's headers, one for each path.
        Oddity::Twice => is_docker || reader == Reader::Podman,
        // podman unpacks what it is given, and once more when it stores that.
        Oddity::Packed => reader != Reader::Podman,
        _ => true,
    }
}

fn sentence(odd: &Odd) -> String {
    let path = &odd.path;
    match odd.what {
        Oddity::Above => format!("A layer has a member \"{path}\", which leaves the image."),
        Oddity::Twice => format!("A layer has the path \"{path}\" more than once."),
        Oddity::NoTar => "A layer is no tar archive, or ends early.".to_owned(),
        Oddity::Packed => "A layer is compressed twice.".to_owned(),
        Oddity::Type => format!("A layer has a member \"{path}\" of a type that is not unpacked."),
        Oddity::TooLong => format!("A layer has a name that is too long for Linux: \"{path}\"."),
        Oddity::BelowFile => format!("A layer has a member \"{path}\" below what is no directory."),
        Oddity::DeadLink => format!("A layer has a hard link \"{path}\" to no file of that layer."),
        Oddity::Whiteout => {
            format!("A layer has a whiteout \"{path}\" that has no name, or hides what the layer has itself.")
        }
    }
}

/// Whether two digests contradict each other: not where they are by different algorithms.
fn differ(a: &str, b: &str) -> bool {
    let algorithm = |digest: &str| digest.split(':').next().map(str::to_owned);
    algorithm(a) == algorithm(b) && a != b
}

/// One image of `manifest.json`, with whatever names it has.
#[derive(Debug, Default)]
pub(super) struct Item {
    pub(super) config: String,
    pub(super) tags: Vec<String>,
    pub(super) layers: Vec<String>,
}

/// Reads `manifest.json` as Go does: `None` where it is `null`. `whole` is whether nothing may follow the JSON.
pub(super) fn items(bytes: &[u8], whole: bool) -> Result<Option<Vec<Item>>, Flaw> {
    let flaw = |reason: &str| Flaw::of_image(format!("manifest.json cannot be read: {reason}."));
    let document = json::first_value(bytes).map_err(|reason| flaw(&reason))?;
    if whole && !document.after.trim().is_empty() {
        return Err(Flaw::of_form("Bytes follow the JSON of manifest.json."));
    }
    if document.value == "null" {
        return Ok(None);
    }
    let items = json::array(document.value).ok_or_else(|| flaw("it is not an array"))?;
    let items: Option<Vec<Item>> = items.into_iter().map(item).collect();
    items.map(Some).ok_or_else(|| flaw("an image in it has a value of the wrong type"))
}

fn item(text: &str) -> Option<Item> {
    if text == "null" {
        return Some(Item::default());
    }
    let object = Object::parse(text)?;
    let list = |key: &str| match object.get(key) {
        None => Some(Vec::new()),
        // Go reads a `null` in a list of strings as an empty one.
        Some(_) => object
            .read::<Vec<Option<String>>>(key)
            .map(|list| list.into_iter().map(Option::unwrap_or_default).collect::<Vec<_>>()),
    };
    let config = match object.get("Config") {
        None => String::new(),
        Some(_) => object.read("Config")?,
    };
    Some(Item { config, tags: list("RepoTags")?, layers: list("Layers")? })
}

/// The hashes of the ways to the directories above a path, from the root down, and of the path itself: no more work than the path is
/// long.
fn ways(path: &str) -> impl Iterator<Item = u64> {
    let mut hasher = DefaultHasher::new();
    path.split('/').map(move |name| {
        name.hash(&mut hasher);
        hasher.finish()
    })
}

/// Whether a member's path leads out of the directory that it is unpacked into.
fn leaves(path: &str) -> bool {
    clean(path.trim_start_matches('/')).split('/').next() == Some("..")
}

/// Names, each once.
pub(super) fn distinct(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen = HashSet::new();
    names.filter(|name| seen.insert(name.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_as_go_does() {
        for (path, cleaned) in [
            ("", "."),
            ("./a//b/", "a/b"),
            ("/a", "/a"),
            ("/../a", "/a"),
            ("a/../../b", "../b"),
            ("../../b", "../../b"),
        ] {
            assert_eq!(clean(path), cleaned);
        }
        assert_eq!(beside("a/b", "../c"), "c");
        assert_eq!(beside("b", "../c"), "../c");
        assert_eq!(beside("a/b", "/c"), "a/c");
        assert!(leaves("a/../../b") && leaves("/../b") && !leaves("a/../b") && !leaves("..b"));
    }
}
