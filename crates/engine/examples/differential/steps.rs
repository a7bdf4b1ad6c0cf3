//! The steps: what is chosen at random, and how both play it.

use std::error::Error;
use std::rc::Rc;

use longshore_archive::{Archive, Reference, TarIndex, Target as Form};
use longshore_engine::{ListOptions, PruneOptions, RmiOptions, Use};

use crate::docker::Docker;
use crate::ours::{Bytes, Ours, Outcome, ordered, whole};
use crate::random::Random;
use crate::sentences::Sentences;
use crate::world::{FILTERS, NAMES, NOTHING, REPOSITORIES, World};

/// What both are told to do.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// `docker load`, of an archive by its number.
    Load(usize),
    Tag(String, String),
    Rmi {
        images: Vec<String>,
        force: bool,
        no_prune: bool,
    },
    Prune {
        all: bool,
    },
    Images {
        filters: Vec<(String, String)>,
        all: bool,
    },
    History(String),
    Inspect(String),
    Df,
    Save(Vec<String>),
    /// Each loads what the other one saves; ours in the newer layout or the older one.
    Exchange(Vec<String>, bool),
    /// `docker create` or `docker run`, where the image has no container yet.
    Create(String, bool),
    /// `docker rm --force` of the oldest container.
    Remove,
}

impl Step {
    pub(crate) fn random(random: &mut Random, world: &World) -> Self {
        let image = |random: &mut Random| image(random, world);
        let several = |random: &mut Random| (0..=random.below(3)).map(|_| image(random)).collect();
        match random.below(100) {
            0..18 => Self::Load(random.below(world.archives.len())),
            18..36 => Self::Tag(image(random), target(random, world)),
            36..42 => Self::Rmi {
                images: several(random),
                force: random.below(3) == 0,
                no_prune: random.below(4) == 0,
            },
            42..62 => Self::Rmi {
                images: vec![image(random)],
                force: random.below(4) == 0,
                no_prune: random.below(5) == 0,
            },
            62..64 => Self::Prune { all: random.below(3) == 0 },
            64..72 => Self::Images { filters: filters(random, world), all: random.below(3) == 0 },
            72..76 => Self::History(image(random)),
            76..80 => Self::Inspect(image(random)),
            80..81 => Self::Df,
            81..89 => Self::Save(several(random)),
            89..93 => Self::Exchange(several(random), random.below(2) == 0),
            93..97 => Self::Create(image(random), random.below(3) == 0),
            _ => Self::Remove,
        }
    }

    pub(crate) fn verb(&self) -> &'static str {
        match self {
            Self::Load(_) => "load",
            Self::Tag(..) => "tag",
            Self::Rmi { .. } => "rmi",
            Self::Prune { .. } => "prune",
            Self::Images { .. } => "images",
            Self::History(_) => "history",
            Self::Inspect(_) => "inspect",
            Self::Df => "df",
            Self::Save(_) => "save",
            Self::Exchange(..) => "exchange",
            Self::Create(..) => "create",
            Self::Remove => "rm",
        }
    }
}

/// A name, or an ID in one of the forms that it may have, or something that leads nowhere.
fn image(random: &mut Random, world: &World) -> String {
    match random.below(20) {
        0..12 => random.pick(&NAMES).to_string(),
        12..17 => {
            let id = random.pick(&world.ids);
            let hex = id.trim_start_matches("sha256:");
            match random.below(5) {
                0 => id.clone(),
                1 => hex.to_owned(),
                2 => hex.chars().take(12).collect(),
                3 => hex.chars().take(5).collect(),
                _ => id.chars().take(20).collect(),
            }
        }
        17..18 => random.pick(&REPOSITORIES).to_string(),
        _ => random.pick(&NOTHING).to_string(),
    }
}

/// A name to be given; now and then one that is also the beginning of an ID.
fn target(random: &mut Random, world: &World) -> String {
    match random.below(20) {
        0 => random.pick(&world.ids).trim_start_matches("sha256:").chars().take(6).collect(),
        1 => random.pick(&NOTHING).to_string(),
        2 => "sha256:5".to_owned(),
        _ => random.pick(&NAMES).to_string(),
    }
}

/// No filter, one, or one and a reference.
fn filters(random: &mut Random, world: &World) -> Vec<(String, String)> {
    let mut filters = Vec::new();
    match random.below(4) {
        0 => {}
        1 => filters.push((random.pick(&["before", "since"]).to_string(), image(random, world))),
        _ => {
            let (key, value) = random.pick(&FILTERS);
            filters.push(((*key).to_owned(), (*value).to_owned()));
        }
    }
    if random.below(4) == 0 {
        // Docker 20.10 knows patterns for names as it prints them only.
        let repository = Reference::parse_bare(random.pick::<&str>(&REPOSITORIES));
        filters.extend(repository.map(|name| ("reference".to_owned(), name.familiar_name())));
    }
    filters
}

/// Has both play a step. The inner error says how they differ.
pub(crate) fn play(
    step: &Step,
    docker: &Docker,
    ours: &mut Ours,
    world: &World,
    sentences: &Sentences,
) -> Result<Result<(), String>, Box<dyn Error>> {
    let (mut theirs, mut mine) = match step {
        Step::Load(archive) => {
            let file = world.archives.get(*archive).ok_or("no such archive")?;
            (docker.run(&["load", "--quiet", "--input", &file.to_string_lossy()])?, ours.load(file)?)
        }
        Step::Tag(source, target) => {
            let change = ours.catalog.tag(source, target);
            (docker.run(&["tag", source, target])?, ours.change(change))
        }
        Step::Rmi { images, force, no_prune } => {
            let mut arguments = vec!["rmi"];
            arguments.extend(force.then_some("--force"));
            arguments.extend(no_prune.then_some("--no-prune"));
            arguments.extend(images.iter().map(String::as_str));
            let options = RmiOptions { force: *force, no_prune: *no_prune, in_use: &ours.containers };
            let removal = ours.catalog.rmi(images, &options);
            let errors = removal.errors().map(|error| error.message().to_owned()).collect();
            let lines = ours.change(Ok(removal.change)).lines;
            (docker.run(&arguments)?, Outcome { failed: removal.failed, lines, errors })
        }
        Step::Prune { all } => {
            let mut arguments = vec!["image", "prune", "--force"];
            arguments.extend(all.then_some("--all"));
            let options = PruneOptions { all: *all, in_use: &ours.containers, ..PruneOptions::default() };
            let pruned = ours.catalog.prune(&options).map(|pruned| pruned.change);
            let (mut theirs, mut mine) = (docker.run(&arguments)?, ours.change(pruned));
            for lines in [&mut theirs.lines, &mut mine.lines] {
                // Docker's order is that of a map, and it counts what files take.
                lines.retain(|line| !line.starts_with("Total reclaimed space: "));
                lines.sort();
            }
            (theirs, mine)
        }
        Step::Images { filters, all } => images(filters, *all, docker, ours)?,
        Step::History(image) => {
            let format = "{{.ID}}\t{{.CreatedBy}}\t{{.Comment}}";
            let line = |step: longshore_engine::Step| {
                format!(
                    "{}\t{}\t{}",
                    step.id.as_deref().unwrap_or("<missing>"),
                    step.created_by,
                    step.comment
                )
            };
            let steps = ours.catalog.history(image).map(|steps| steps.into_iter().map(line).collect());
            (docker.run(&["history", "--no-trunc", "--format", format, image])?, Outcome::of(steps))
        }
        Step::Inspect(image) => {
            let format = "{{.Id}} {{.Parent}} {{.RepoTags}} {{.Os}}/{{.Architecture}} {{.RootFS.Layers}}";
            let mut theirs = docker.run(&["image", "inspect", "--format", format, image])?;
            theirs.lines.retain(|line| !line.is_empty());
            let line = |image: longshore_archive::Inspect| {
                let [names, layers] = [&image.repo_tags, &image.root_fs.layers].map(|list| list.join(" "));
                let parent = image.parent.unwrap_or_default();
                vec![format!(
                    "{} {parent} [{names}] {}/{} [{layers}]",
                    image.id, image.os, image.architecture
                )]
            };
            (theirs, Outcome::of(ours.catalog.inspect(image).map(line)))
        }
        Step::Df => {
            let mut theirs =
                docker.run(&["system", "df", "--format", "{{.Type}} {{.TotalCount}} {{.Active}}"])?;
            theirs.lines.retain(|line| line.starts_with("Images "));
            let usage = ours.catalog.df(&ours.containers);
            (theirs, Outcome::of(Ok(vec![format!("Images {} {}", usage.total, usage.active)])))
        }
        Step::Save(images) => return save(images, docker, ours, world, sentences),
        Step::Exchange(images, newer) => return exchange(images, *newer, docker, ours, world, sentences),
        Step::Create(image, runs) => {
            create(image, *runs && world.runs, docker, ours)?;
            return Ok(Ok(()));
        }
        Step::Remove => {
            if !ours.containers.is_empty() {
                docker.run(&["rm", "--force", &ours.containers.remove(0).id])?;
            }
            return Ok(Ok(()));
        }
    };
    Ok(compare(&mut theirs, &mut mine, sentences))
}

/// Makes a container, which may run.
fn create(image: &str, running: bool, docker: &Docker, ours: &mut Ours) -> Result<(), Box<dyn Error>> {
    let Ok(found) = ours.catalog.find_image(image) else { return Ok(()) };
    if ours.containers.iter().any(|container| container.image == found.id()) {
        return Ok(());
    }
    let mut arguments = if running { vec!["run", "--detach"] } else { vec!["create"] };
    arguments.extend(["--network", "none", found.id()]);
    arguments.extend(running.then_some(["/busybox", "sleep", "1000"]).into_iter().flatten());
    let created = docker.run(&arguments)?;
    let id = created
        .lines
        .first()
        .filter(|_| !created.failed)
        .ok_or_else(|| format!("docker create: {created:?}"))?;
    ours.containers.push(Use {
        id: id.clone(),
        image: found.id().to_owned(),
        running,
        chain_ids: found.chain_ids().to_vec(),
    });
    Ok(())
}

fn images(
    filters: &[(String, String)],
    all: bool,
    docker: &Docker,
    ours: &Ours,
) -> Result<(Outcome, Outcome), Box<dyn Error>> {
    let filters_: Vec<String> = filters.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let mut arguments = vec!["images", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}"];
    arguments.extend(all.then_some("--all"));
    arguments.extend(filters_.iter().flat_map(|filter| ["--filter", filter]));
    let mut theirs = docker.run(&arguments)?;
    let line = |row: longshore_engine::Row| {
        let [repository, tag] =
            [row.repository, row.tag].map(|text| text.unwrap_or_else(|| "<none>".to_owned()));
        format!("{repository}:{tag} {}", row.id)
    };
    let rows = ours.catalog.images(&ListOptions { all, filters: filters.to_vec(), now: None });
    let mut mine = Outcome::of(rows.map(|rows| rows.into_iter().map(line).collect()));
    // Of images of one age Docker's order is that of a map.
    theirs.lines.sort();
    mine.lines.sort();
    Ok((theirs, mine))
}

/// An image of an archive: ID, parent, names.
type Saved = (String, Option<String>, Vec<String>);

fn contents(archive: &Archive<Bytes>) -> Vec<Saved> {
    let saved = |image: &longshore_archive::Image| {
        let names = image.names.iter().map(ToString::to_string).collect();
        (image.id.clone(), image.parent.clone(), names)
    };
    let mut images: Vec<_> = archive.images().iter().map(saved).collect();
    images.sort();
    images
}

fn save(
    images: &[String],
    docker: &Docker,
    ours: &Ours,
    world: &World,
    sentences: &Sentences,
) -> Result<Result<(), String>, Box<dyn Error>> {
    let file = world.directory.join("theirs.tar");
    let mut arguments = vec!["save".to_owned(), "--output".to_owned(), file.to_string_lossy().into_owned()];
    arguments.extend(images.iter().cloned());
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut theirs = docker.run(&arguments)?;
    let saved = ours.save(images);
    let mut mine = Outcome::of(saved.as_ref().map(|_| Vec::new()).map_err(Clone::clone));
    let same = compare(&mut theirs, &mut mine, sentences);
    let (Ok(mine), Ok(())) = (saved, &same) else { return Ok(same) };
    let bytes = std::fs::read(&file)?;
    let theirs = Archive::open(Rc::new(bytes.clone()))?;
    if contents(&theirs) != contents(&mine) {
        let (theirs, mine) = (contents(&theirs), contents(&mine));
        return Ok(Err(format!("what is saved:\n  Docker: {theirs:#?}\n  Longshore: {mine:#?}")));
    }
    // Of several images Docker's order is that of a map, and links to layers have the clock's time.
    let place = |image: &longshore_archive::Image| mine.images().iter().position(|own| own.id == image.id);
    let order: Vec<usize> = theirs.images().iter().filter_map(place).collect();
    let is_single = order.len() == 1;
    let [bytes, own] = [bytes, ordered(&mine, Form::DockerLegacy, order)?];
    let is_same = if is_single { bytes == own } else { without_times(bytes)? == without_times(own)? };
    if !is_same {
        return Ok(Err("what is saved is not the same, byte for byte".to_owned()));
    }
    Ok(Ok(()))
}

/// A tar without the times of its members, and the checksums that are of them.
fn without_times(mut tar: Vec<u8>) -> Result<Vec<u8>, Box<dyn Error>> {
    for entry in TarIndex::read(&tar)?.entries() {
        let header = usize::try_from(entry.header)?;
        tar.get_mut(header + 136..header + 156).ok_or("a header beyond the end")?.fill(0);
    }
    Ok(tar)
}

fn exchange(
    images: &[String],
    newer: bool,
    docker: &Docker,
    ours: &mut Ours,
    world: &World,
    sentences: &Sentences,
) -> Result<Result<(), String>, Box<dyn Error>> {
    if let Err(difference) = save(images, docker, ours, world, sentences)? {
        return Ok(Err(difference));
    }
    let Ok(saved) = ours.save(images) else { return Ok(Ok(())) };
    let (by_docker, by_us) = (world.directory.join("theirs.tar"), world.directory.join("ours.tar"));
    std::fs::write(&by_us, whole(&saved, if newer { Form::Docker } else { Form::DockerLegacy })?)?;
    let mut theirs = docker.run(&["load", "--quiet", "--input", &by_us.to_string_lossy()])?;
    let mut mine = ours.load(&by_docker)?;
    for lines in [&mut theirs.lines, &mut mine.lines] {
        // Which image is the last, and whether IDs are told, is up to Docker's map.
        lines.retain(|line| !line.starts_with("Loaded image ID: "));
        lines.sort();
    }
    Ok(compare(&mut theirs, &mut mine, sentences))
}

fn compare(theirs: &mut Outcome, mine: &mut Outcome, sentences: &Sentences) -> Result<(), String> {
    let told = format!("  Docker: {theirs:#?}\n  Longshore: {mine:#?}");
    theirs.errors.iter_mut().for_each(|sentence| *sentence = sentences.theirs(sentence));
    mine.errors.iter_mut().for_each(|sentence| *sentence = sentences.ours(sentence));
    if theirs == mine { Ok(()) } else { Err(told) }
}
