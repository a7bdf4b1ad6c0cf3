//! Has a real container and one of this crate undergo the same, and compares: what can be done, `docker diff`, and after `docker
//! commit` files, layers, config and history.
//!
//! ```text
//! containers --docker PROGRAM --socket PATH --directory PATH --busybox FILE [--steps N] [--rounds N] [--seed N]
//! ```
//!
//! The steps are random, and the same for the same seed. The first difference ends the run.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "that is what it is for")]

#[path = "containers/base.rs"]
mod base;
#[path = "containers/changes.rs"]
mod changes;
#[path = "containers/compare.rs"]
mod compare;
#[path = "differential/docker.rs"]
mod docker;
#[path = "containers/mine.rs"]
mod mine;
#[path = "differential/ours.rs"]
mod ours;
#[path = "differential/random.rs"]
mod random;
#[path = "containers/steps.rs"]
mod steps;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use compare::Pair;
use docker::Docker;
use mine::Mine;
use random::Random;
use steps::Step;

/// So many steps at most before what `docker diff` says is compared.
const BATCH: usize = 8;

struct Options {
    docker: String,
    socket: PathBuf,
    directory: PathBuf,
    busybox: PathBuf,
    steps: usize,
    rounds: u64,
    seed: u64,
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let options = parse(std::env::args().skip(1))?;
    let docker = Docker::new(&options.docker, &options.socket);
    docker.empty()?;
    let archive = options.directory.join("base.tar");
    std::fs::write(&archive, base::archive(std::fs::read(&options.busybox)?))?;
    docker.must(&["load", "--input", &archive.to_string_lossy()])?;
    let started = Instant::now();
    let (mut done, mut told) = (0, 0);
    for round in 0..options.rounds {
        let seed = options.seed + round;
        match play(seed, options.steps, &docker, &archive, &options.directory)? {
            Ok(counts) => (done, told) = (done + counts.0, told + counts.1),
            Err(difference) => {
                println!("seed {seed}: they differ\n{difference}");
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    docker.empty()?;
    let (seed, seconds) = (options.seed, started.elapsed().as_secs());
    println!(
        "{done} operations, {told} lines of diff, {} rounds from seed {seed}, {seconds} s",
        options.rounds
    );
    Ok(ExitCode::SUCCESS)
}

/// One container on either side: so many steps, then a commit. Gives how many operations were done, and how many lines were
/// compared; the inner error is a difference.
fn play(
    seed: u64,
    steps: usize,
    docker: &Docker,
    archive: &std::path::Path,
    directory: &std::path::Path,
) -> Result<Result<(usize, usize), String>, Box<dyn Error>> {
    let mut random = Random::new(seed);
    let name = format!("container-{seed}");
    docker.must(&["run", "--detach", "--network", "none", "--name", &name, base::NAME])?;
    let mut mine = Mine::new(archive, &name)?;
    let mut played = Vec::new();
    let (mut done, mut told) = (0, 0);
    while played.len() < steps {
        let batch: Vec<Step> = (0..(1 + random.below(BATCH)).min(steps - played.len()))
            .map(|_| Step::random(&mut random))
            .collect();
        let script: Vec<String> =
            batch.iter().map(|step| format!("({}) >/dev/null 2>&1; echo $?", step.script())).collect();
        let theirs = docker.must(&["exec", &name, "/busybox", "sh", "-c", &script.join("\n")])?;
        for (step, status) in batch.iter().zip(&theirs) {
            let is_done = mine.play(step)?;
            done += usize::from(is_done.is_ok());
            if is_done.is_ok() != (status == "0") {
                let tail = tail(&played, &batch);
                return Ok(Err(format!(
                    "{tail}\n{step:?}: Docker's ends with {status}, ours with {is_done:?}"
                )));
            }
        }
        let lines = docker.must(&["diff", &name])?;
        let (theirs, ours) = (compare::sorted(lines), mine.diff());
        if theirs != ours {
            let tail = tail(&played, &batch);
            return Ok(Err(format!("{tail}\ndiff: {}", compare::unlike(&theirs, &ours))));
        }
        told += ours.len();
        played.extend(batch);
    }
    docker.must(&["stop", "--time", "0", &name])?;
    let commit = changes::random(&mut random);
    let mut pair = Pair::new(docker, directory, seed);
    let difference = pair.commit(&name, &mut mine, &commit)?;
    docker.must(&["rm", "--force", &name])?;
    Ok(difference.map(|()| (done, told)).map_err(|difference| {
        format!("{}\nafter the commit with {commit:?}:\n{difference}", tail(&played, &[]))
    }))
}

/// The last steps.
fn tail(played: &[Step], batch: &[Step]) -> String {
    let steps = played.iter().chain(batch).map(|step| format!("  {step:?}"));
    let steps: Vec<String> = steps.collect();
    steps.get(steps.len().saturating_sub(40)..).unwrap_or_default().join("\n")
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options, Box<dyn Error>> {
    let mut options = Options {
        docker: "docker".to_owned(),
        socket: PathBuf::new(),
        directory: PathBuf::new(),
        busybox: PathBuf::new(),
        steps: 100,
        rounds: 4,
        seed: 1,
    };
    while let Some(argument) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{argument} has no value"))?;
        match argument.as_str() {
            "--docker" => options.docker = value,
            "--socket" => options.socket = value.into(),
            "--directory" => options.directory = value.into(),
            "--busybox" => options.busybox = value.into(),
            "--steps" => options.steps = value.parse()?,
            "--rounds" => options.rounds = value.parse()?,
            "--seed" => options.seed = value.parse()?,
            _ => return Err(format!("unknown option {argument}").into()),
        }
    }
    Ok(options)
}
