//! Has a real Docker Engine and this crate do the same, and compares after each step.
//!
//! ```text
//! differential --docker PROGRAM --socket PATH --semantics FILE --directory PATH [--busybox FILE] [--steps N] [--seed N]
//! ```
//!
//! With a static busybox, containers run, too.
//!
//! The steps are random, and the same for the same seed. Compared are exit codes, printed lines, sentences of failure (by the
//! table of `docs/semantics.md`), all images with names and parents, and what is saved. The first difference ends the run: the
//! steps that led there are printed, without those that do not matter for it.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "that is what it is for")]

#[path = "differential/docker.rs"]
mod docker;
#[path = "differential/ours.rs"]
mod ours;
#[path = "differential/random.rs"]
mod random;
#[path = "differential/sentences.rs"]
mod sentences;
#[path = "differential/steps.rs"]
mod steps;
#[path = "differential/world.rs"]
mod world;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use docker::Docker;
use ours::Ours;
use random::Random;
use sentences::Sentences;
use steps::{Step, play};
use world::World;

/// After so many steps both begin anew, so that what led to a difference is not too long to be made shorter.
const ROUND: usize = 250;

struct Options {
    docker: String,
    socket: PathBuf,
    semantics: PathBuf,
    directory: PathBuf,
    busybox: Option<PathBuf>,
    steps: usize,
    seed: u64,
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let options = parse(std::env::args().skip(1))?;
    let docker = Docker::new(&options.docker, &options.socket);
    let sentences = Sentences::read(&std::fs::read_to_string(&options.semantics)?)?;
    let world = World::make(&options.directory, options.busybox.as_deref())?;
    let started = Instant::now();
    let mut random = Random::new(options.seed);
    let mut counts = std::collections::BTreeMap::new();
    let mut done = 0;
    while done < options.steps {
        let mut steps = Vec::new();
        let mut players = Players::new(&docker, &world, &sentences)?;
        while steps.len() < ROUND && done < options.steps {
            let step = Step::random(&mut random, &world);
            *counts.entry(step.verb()).or_insert(0) += 1;
            steps.push(step);
            done += 1;
            if let Err(difference) = players.play(steps.last())? {
                let (steps, difference) = shrunk(steps, difference, &docker, &world, &sentences)?;
                println!("seed {}: they differ after\n", options.seed);
                for step in &steps {
                    println!("  {step:?}");
                }
                println!("\n{difference}");
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    println!("{done} steps, seed {}, {} s: {counts:?}", options.seed, started.elapsed().as_secs());
    docker.empty()?;
    Ok(ExitCode::SUCCESS)
}

/// Both of them, side by side.
struct Players<'a> {
    docker: &'a Docker,
    world: &'a World,
    sentences: &'a Sentences,
    ours: Ours,
}

impl<'a> Players<'a> {
    fn new(docker: &'a Docker, world: &'a World, sentences: &'a Sentences) -> Result<Self, Box<dyn Error>> {
        docker.empty()?;
        Ok(Self { docker, world, sentences, ours: Ours::default() })
    }

    /// Plays a step; the inner error is a difference.
    fn play(&mut self, step: Option<&Step>) -> Result<Result<(), String>, Box<dyn Error>> {
        let Some(step) = step else { return Ok(Ok(())) };
        if let Err(difference) = play(step, self.docker, &mut self.ours, self.world, self.sentences)? {
            return Ok(Err(difference));
        }
        let (theirs, ours) = (self.docker.state()?, self.ours.state());
        if theirs == ours {
            return Ok(Ok(()));
        }
        Ok(Err(format!("images afterwards:\n  Docker: {theirs:#?}\n  Longshore: {ours:#?}")))
    }
}

/// The same difference, with fewer steps: whole stretches are left out, then shorter ones, then single steps.
fn shrunk(
    mut steps: Vec<Step>,
    mut difference: String,
    docker: &Docker,
    world: &World,
    sentences: &Sentences,
) -> Result<(Vec<Step>, String), Box<dyn Error>> {
    let mut length = steps.len() / 2;
    while length > 0 {
        let mut at = 0;
        while at + length < steps.len() {
            let mut fewer = steps.clone();
            fewer.drain(at..at + length);
            let mut players = Players::new(docker, world, sentences)?;
            let mut found = None;
            for (number, step) in fewer.iter().enumerate() {
                if let Err(difference) = players.play(Some(step))? {
                    found = Some((number, difference));
                    break;
                }
            }
            match found {
                Some((number, other)) => {
                    fewer.truncate(number + 1);
                    (steps, difference) = (fewer, other);
                }
                None => at += length,
            }
        }
        length /= 2;
    }
    Ok((steps, difference))
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options, Box<dyn Error>> {
    let mut options = Options {
        docker: "docker".to_owned(),
        socket: PathBuf::new(),
        semantics: PathBuf::new(),
        directory: PathBuf::new(),
        busybox: None,
        steps: 2000,
        seed: 1,
    };
    while let Some(argument) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{argument} has no value"))?;
        match argument.as_str() {
            "--docker" => options.docker = value,
            "--socket" => options.socket = value.into(),
            "--semantics" => options.semantics = value.into(),
            "--directory" => options.directory = value.into(),
            "--busybox" => options.busybox = Some(value.into()),
            "--steps" => options.steps = value.parse()?,
            "--seed" => options.seed = value.parse()?,
            _ => return Err(format!("unknown option {argument}").into()),
        }
    }
    Ok(options)
}
