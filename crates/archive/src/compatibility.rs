//! What each of the programs that load image archives does with one: the same bytes are another image, or none, to
//! another reader.
//!
//! One file per reader. They share how documents are read (`facts.rs`, `oci.rs`); where each looks for a path, which
//! compressions it unpacks and what it checks is its own.

mod config;
mod containerd;
mod containers_image;
mod crane;
mod docker;
mod facts;
mod oci;
mod remedy;
mod types;

use std::collections::{HashMap, HashSet};

use serde::{Serialize, Serializer};

use crate::archive::Archive;
use crate::compression::Compression;
use crate::measure::Measured;
use crate::members::Members;
use crate::recipe::Recipe;
use crate::source::Source;
use crate::tar::TarIndex;
use crate::write::Target;
use facts::Facts;

/// A program that loads image archives. All are taken to run on Linux and amd64, with an empty store: Docker does not
/// look at layers that it has already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reader {
    /// `docker load` of Docker Engine up to 24, as 20.10.24 does it.
    Docker24,
    /// `docker load` of Docker Engine 25 and later with the graph-driver store, as 29 does it.
    Docker25,
    /// `docker load` of Docker Engine with the containerd image store; `nerdctl` imports alike, and so does `ctr`, if the file is
    /// not compressed and the image is for its own platform.
    Docker25Containerd,
    /// `podman load`, as 4.3.1 does it.
    Podman,
    /// `skopeo copy` as 1.9.3 does it: from `docker-archive:` if the archive has a `manifest.json`, else from
    /// `oci-archive:`.
    Skopeo,
    /// `crane push` and whatever else reads archives by go-containerregistry.
    Crane,
}

impl Reader {
    /// Every reader.
    pub const ALL: [Self; 6] =
        [Self::Docker24, Self::Docker25, Self::Docker25Containerd, Self::Podman, Self::Skopeo, Self::Crane];

    /// The reader as the library's users see it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Docker24 => "docker-24",
            Self::Docker25 => "docker-25",
            Self::Docker25Containerd => "containerd",
            Self::Podman => "podman",
            Self::Skopeo => "skopeo",
            Self::Crane => "crane",
        }
    }

    /// The reader in a sentence.
    const fn name(self) -> &'static str {
        match self {
            Self::Docker24 => "Docker up to 24",
            Self::Docker25 => "Docker 25 and later",
            Self::Docker25Containerd => "containerd",
            Self::Podman => "podman",
            Self::Skopeo => "skopeo",
            Self::Crane => "crane",
        }
    }

    fn read<S: Source + Clone>(self, facts: &Facts<'_, S>) -> Reading {
        match self {
            Self::Docker24 | Self::Docker25 => docker::read(facts, self),
            Self::Docker25Containerd => containerd::read(facts),
            Self::Podman => containers_image::podman(facts),
            Self::Skopeo => containers_image::skopeo(facts),
            Self::Crane => crane::read(facts),
        }
    }
}

impl Serialize for Reader {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// What a reader does with an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoadVerdict {
    /// It loads the archive, and all is well.
    Loads,
    /// It says that it loaded the archive, but an image is broken.
    Broken,
    /// It fails.
    Refuses,
}

/// An image as a reader has it afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Loaded {
    /// The image's ID there: the digest of its config, and for containerd that of its manifest or index. Absent where the
    /// reader makes up a document that it hashes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Its names, as the reader prints them.
    pub names: Vec<String>,
}

/// What one reader does with an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Compatibility {
    /// The reader.
    pub reader: Reader,
    /// What it does.
    pub verdict: LoadVerdict,
    /// The images that it has afterwards. Docker keeps those that came before the one at which it failed; they are not
    /// listed.
    pub images: Vec<Loaded>,
    /// Why it refuses, or why the image is broken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The layout in which the reader would load the same images, their layers stored as tars.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<Target>,
}

impl<S: Source + Clone> Archive<S> {
    /// What every reader does with this archive.
    ///
    /// `packing` is how the file was compressed, from outside in: nothing, for a plain tar. `trailing` is whether bytes
    /// follow what is compressed; see [`Content::trailing`](crate::Content). `measured` has what was
    /// learnt of members by reading them whole, by their number in [`Archive::index`]; what is not there is taken to be
    /// intact.
    pub fn compatibility(
        &self,
        packing: &[Compression],
        trailing: bool,
        measured: &HashMap<usize, Measured>,
    ) -> Vec<Compatibility> {
        predict(&self.members, packing, trailing, measured)
    }
}

/// What every reader does with an archive, whether or not [`Archive::open`] can read it. `source` is the archive without
/// its outer compressions; see [`Archive::compatibility`].
#[expect(clippy::implicit_hasher, reason = "whoever measures collects into the usual map")]
pub fn compatibility<S: Source + Clone>(
    source: S,
    packing: &[Compression],
    trailing: bool,
    measured: &HashMap<usize, Measured>,
) -> Vec<Compatibility> {
    match TarIndex::read(&source) {
        Ok(index) => predict(&Members::new(Recipe::whole(source), index), packing, trailing, measured),
        Err(error) => {
            let refusal = |reader| answer(reader, Err(Flaw::of_image(error.message())), || false);
            Reader::ALL.into_iter().map(refusal).collect()
        }
    }
}

fn predict<S: Source + Clone>(
    members: &Members<S>,
    packing: &[Compression],
    trailing: bool,
    measured: &HashMap<usize, Measured>,
) -> Vec<Compatibility> {
    let mut facts = Facts::new(members, measured);
    let is_well = |reading: &Reading| reading.as_ref().is_ok_and(|read| read.flaw.is_none());
    let mut readings = Reader::ALL.map(|reader| reader.read(&facts));
    // Where it is not known what the images are made of, one that somebody can read will do.
    let is_read = readings.iter().any(is_well);
    if !packing.is_empty() || trailing {
        facts.packing = packing.to_vec();
        facts.trailing = trailing;
        readings = Reader::ALL.map(|reader| reader.read(&facts));
    }
    let end_flaw = facts.end_flaw();
    let predict = |(reader, reading): (Reader, Reading)| {
        let helps = || remedy::helps(&facts, reader).unwrap_or(is_read);
        // crane reads no further than to what it looks for.
        let end_flaw = end_flaw.clone().filter(|_| reader != Reader::Crane);
        answer(reader, end_flaw.map_or(reading, Err), helps)
    };
    Reader::ALL.into_iter().zip(readings).map(predict).collect()
}

fn answer(reader: Reader, reading: Reading, helps: impl FnOnce() -> bool) -> Compatibility {
    let (verdict, images, flaw) = match reading {
        Ok(Read { images, flaw: None }) => (LoadVerdict::Loads, images, None),
        Ok(Read { images, flaw }) => (LoadVerdict::Broken, images, flaw),
        Err(flaw) => (LoadVerdict::Refuses, Vec::new(), Some(flaw)),
    };
    // Every reader loads this layout.
    let remedy = flaw.as_ref().is_some_and(|flaw| flaw.of_form && helps()).then_some(Target::Docker);
    Compatibility { reader, verdict, images, reason: flaw.map(|flaw| flaw.sentence), remedy }
}

/// How a reader fares: `Err` where it refuses.
type Reading = Result<Read, Flaw>;

#[derive(Debug, Default)]
struct Read {
    images: Vec<Loaded>,
    /// Why an image is broken, though the reader does not say so.
    flaw: Option<Flaw>,
}

/// What is wrong with an archive, for one reader.
#[derive(Debug, Clone)]
struct Flaw {
    sentence: String,
    /// Whether it is in how the archive is written, and not in the images.
    of_form: bool,
}

impl Flaw {
    fn of_form(sentence: impl Into<String>) -> Self {
        Self { sentence: sentence.into(), of_form: true }
    }

    fn of_image(sentence: impl Into<String>) -> Self {
        Self { sentence: sentence.into(), of_form: false }
    }
}

/// What a store has when one image after the other was put into it: an image counts once, and a name belongs to the
/// image that came last.
fn stored(loaded: Vec<Loaded>) -> Vec<Loaded> {
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut store: Vec<Loaded> = Vec::new();
    let mut named: Vec<(String, usize)> = Vec::new();
    for image in loaded {
        let new = store.len();
        let place = image.id.as_ref().map_or(new, |id| *places.entry(id.clone()).or_insert(new));
        named.extend(image.names.into_iter().map(|name| (name, place)));
        if place == new {
            store.push(Loaded { id: image.id, names: Vec::new() });
        }
    }
    let owners: HashMap<String, usize> = named.iter().cloned().collect();
    let mut given = HashSet::new();
    for (name, place) in named {
        if owners.get(&name) == Some(&place)
            && given.insert(name.clone())
            && let Some(image) = store.get_mut(place)
        {
            image.names.push(name);
        }
    }
    store
}
