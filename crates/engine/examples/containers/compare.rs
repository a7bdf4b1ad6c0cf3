//! What two containers were committed to, side by side.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use longshore_archive::{Archive, CommitChanges, FileKind, Recipe, Target as Form, sha256};
use longshore_engine::CommitOptions;

use crate::docker::Docker;
use crate::mine::{Mine, bytes_of, tree_of};
use crate::ours::{Bytes, whole};

/// What a container adds to the files of its image.
const OF_CONTAINERS: [&str; 10] = [
    ".dockerenv",
    "dev",
    "dev/console",
    "dev/pts",
    "dev/shm",
    "etc",
    "etc/hostname",
    "etc/hosts",
    "etc/mtab",
    "etc/resolv.conf",
];

pub(crate) struct Pair<'a> {
    docker: &'a Docker,
    directory: PathBuf,
    seed: u64,
}

impl<'a> Pair<'a> {
    pub(crate) fn new(docker: &'a Docker, directory: &Path, seed: u64) -> Self {
        Self { docker, directory: directory.to_owned(), seed }
    }

    /// Commits both; the inner error is a difference.
    pub(crate) fn commit(
        &mut self,
        name: &str,
        mine: &mut Mine,
        options: &CommitOptions,
    ) -> Result<Result<(), String>, Box<dyn Error>> {
        let mut arguments = vec!["commit"];
        arguments.extend(options.commit.author.iter().flat_map(|author| ["--author", author]));
        arguments.extend(options.commit.message.iter().flat_map(|message| ["--message", message]));
        if let CommitChanges::Instructions(lines) = &options.commit.changes {
            arguments.extend(lines.iter().flat_map(|line| ["--change", line]));
        }
        arguments.push(name);
        let theirs = self.docker.run(&arguments)?;
        let ours = mine.commit(options)?;
        let (theirs, ours) = match (theirs.lines.first(), ours) {
            (Some(theirs), Ok(ours)) => (theirs.clone(), ours),
            (None, Err(error)) => {
                // Docker 20.10 has the word in small letters.
                let sentence = theirs.errors.join("\n");
                let same = sentence.to_lowercase() == error.message().to_lowercase();
                return Ok(if same { Ok(()) } else { Err(format!("{sentence}\n{}", error.message())) });
            }
            (_, ours) => return Ok(Err(format!("Docker: {theirs:?}, ours: {ours:?}"))),
        };
        // What Docker keeps in its store it says in its own archive.
        let file = self.directory.join(format!("theirs-{}.tar", self.seed));
        self.docker.must(&["save", "--output", &file.to_string_lossy(), &theirs])?;
        let their_archive = Archive::open(Rc::new(std::fs::read(&file)?))?;
        let our_archive = mine.ours.save(std::slice::from_ref(&ours))?;
        let (one, two) = (described(&their_archive)?, described(&our_archive)?);
        if one != two {
            return Ok(Err(format!("config:\n  Docker: {one:#?}\n  Longshore: {two:#?}")));
        }
        let own = self.directory.join(format!("ours-{}.tar", self.seed));
        std::fs::write(&own, whole(&our_archive, Form::DockerLegacy)?)?;
        self.docker.must(&["load", "--input", &own.to_string_lossy()])?;
        let (one, two) = (self.exported(&theirs)?, self.exported(&ours)?);
        for image in [&theirs, &ours] {
            self.docker.must(&["rmi", "--no-prune", image])?;
        }
        Ok(if one == two { Ok(()) } else { Err(format!("files: {}", unlike(&one, &two))) })
    }

    /// Every file of an image as Docker unpacks it: kind, mode, owner, size, link, and a hash of its content.
    fn exported(&self, image: &str) -> Result<Vec<String>, Box<dyn Error>> {
        let container = self.docker.must(&["create", image, "x"])?.concat();
        let file = self.directory.join(format!("export-{}.tar", self.seed));
        self.docker.must(&["export", "--output", &file.to_string_lossy(), &container])?;
        self.docker.must(&["rm", &container])?;
        let layers: Vec<Recipe<Bytes>> = vec![Recipe::whole(Rc::new(std::fs::read(&file)?))];
        let tree = tree_of(&layers)?;
        let mut files = Vec::new();
        for number in 1..tree.len() {
            let Some(entry) = tree.entry(number) else { continue };
            if OF_CONTAINERS.contains(&entry.path.as_str()) || entry.path == "proc" || entry.path == "sys" {
                continue;
            }
            let mut hash = String::new();
            if entry.kind == FileKind::File {
                let mut reader = longshore_archive::FileReader::new(
                    &tree,
                    number,
                    layers.clone(),
                    longshore_archive::Limits::default(),
                )?;
                let mut content = Vec::new();
                while let Some(piece) = reader.read(1 << 20)? {
                    content.extend(bytes_of(&piece)?);
                }
                hash = sha256(&content);
            }
            let (kind, mode, link) = (entry.kind, entry.mode, entry.link.unwrap_or_default());
            files.push(format!(
                "{} {kind:?} {mode:o} {}:{} {} {link} {hash}",
                entry.path, entry.uid, entry.gid, entry.size
            ));
        }
        Ok(files)
    }
}

/// What an archive's only image says of itself, without what depends on when and where it was made.
fn described(archive: &Archive<Bytes>) -> Result<BTreeMap<&'static str, String>, Box<dyn Error>> {
    let image = archive.images().first().ok_or("no image")?;
    let config = longshore_archive::Config::read(&archive.config(0)?, &image.id)?;
    let history: Vec<_> = config
        .history
        .iter()
        .map(|step| (&step.created_by, &step.author, &step.comment, step.empty_layer, step.layer))
        .collect();
    let mut container = config.container.clone();
    container.exposed_ports.sort();
    container.volumes.sort();
    let below: Vec<_> = config.diff_ids.iter().take(2).collect();
    Ok(BTreeMap::from([
        ("author", format!("{:?}", config.author)),
        ("platform", format!("{:?}", config.platform)),
        ("history", format!("{history:#?}")),
        ("container", format!("{container:#?}")),
        ("layers", format!("{} {below:?}", config.diff_ids.len())),
    ]))
}

pub(crate) fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

/// What only one of two lists has.
pub(crate) fn unlike(theirs: &[String], ours: &[String]) -> String {
    let only = |these: &[String], those: &[String]| {
        let those: BTreeSet<&String> = those.iter().collect();
        let only: Vec<&str> = these.iter().filter(|line| !those.contains(line)).map(String::as_str).collect();
        only.join("\n    ")
    };
    format!("\n  Docker alone:\n    {}\n  Longshore alone:\n    {}", only(theirs, ours), only(ours, theirs))
}
