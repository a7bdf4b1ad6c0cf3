//! A real Docker Engine, by its command line, and where that is slow by its socket.
#![allow(dead_code, reason = "no example needs all of it")]

use std::error::Error;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use crate::ours::{ImageState, Outcome};

pub(crate) struct Docker {
    program: String,
    socket: PathBuf,
}

impl Docker {
    pub(crate) fn new(program: &str, socket: &Path) -> Self {
        Self { program: program.to_owned(), socket: socket.to_owned() }
    }

    /// Runs a command; what it prints and how it ends.
    pub(crate) fn run(&self, arguments: &[&str]) -> Result<Outcome, Box<dyn Error>> {
        let output = Command::new(&self.program)
            .env("DOCKER_HOST", format!("unix://{}", self.socket.display()))
            .args(arguments)
            .output()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let lines = |bytes: &[u8]| text(bytes).lines().map(str::to_owned).collect::<Vec<_>>();
        let sentence = |line: &String| {
            let line = line.strip_prefix("Error response from daemon: ").unwrap_or(line);
            line.strip_prefix("Error: ").unwrap_or(line).to_owned()
        };
        Ok(Outcome {
            failed: !output.status.success(),
            lines: lines(&output.stdout),
            errors: lines(&output.stderr).iter().map(sentence).collect(),
        })
    }

    /// Runs a command that has to end well; what it prints.
    pub(crate) fn must(&self, arguments: &[&str]) -> Result<Vec<String>, Box<dyn Error>> {
        let outcome = self.run(arguments)?;
        if outcome.failed {
            Err(format!("docker {arguments:?}: {:?}", outcome.errors).into())
        } else {
            Ok(outcome.lines)
        }
    }

    /// Every image, with its names and its parent.
    pub(crate) fn state(&self) -> Result<Vec<ImageState>, Box<dyn Error>> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Summary {
            id: String,
            parent_id: String,
            repo_tags: Option<Vec<String>>,
        }
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.write_all(b"GET /images/json?all=1 HTTP/1.0\r\nHost: docker\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (_, body) = answer.split_once("\r\n\r\n").ok_or("no answer")?;
        let summaries: Vec<Summary> = serde_json::from_str(body)?;
        let state = |summary: Summary| {
            let mut names = summary.repo_tags.unwrap_or_default();
            names.retain(|name| name != "<none>:<none>");
            names.sort();
            ImageState { id: summary.id, parent: summary.parent_id, names }
        };
        let mut images: Vec<ImageState> = summaries.into_iter().map(state).collect();
        images.sort();
        Ok(images)
    }

    /// Removes every container and every image.
    pub(crate) fn empty(&self) -> Result<(), Box<dyn Error>> {
        let containers = self.run(&["ps", "--all", "--quiet"])?.lines;
        if !containers.is_empty() {
            let remove = ["rm", "--force"].into_iter();
            self.run(&remove.chain(containers.iter().map(String::as_str)).collect::<Vec<_>>())?;
        }
        // In Docker's order, what has children may come before them.
        for _ in 0..20 {
            if self.state()?.is_empty() {
                return Ok(());
            }
            self.run(&["image", "prune", "--all", "--force"])?;
        }
        Err("images that do not go".into())
    }
}
