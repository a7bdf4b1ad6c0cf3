//! The config of an image that a container is committed to (moby `image/image.go`, `daemon/commit.go`).

use serde::Deserialize;

use crate::changes::{ConfigChanges, refuse};
use crate::config::{Config, object};
use crate::error::Result;
use crate::instructions;
use crate::json::{self, Object};
use crate::time::Timestamp;

/// What `docker commit` says beside the container and the new name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Commit {
    /// `--author`. Without one the image has none, whoever made its base.
    pub author: Option<String>,
    /// `--message`.
    pub message: Option<String>,
    /// `--change`.
    pub changes: CommitChanges,
    /// When, in RFC 3339.
    pub created: String,
}

/// Changes to the config, in either form.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum CommitChanges {
    /// Lines of a Dockerfile: `CMD`, `ENTRYPOINT`, `ENV`, `EXPOSE`, `HEALTHCHECK`, `LABEL`, `ONBUILD`, `STOPSIGNAL`, `USER`,
    /// `VOLUME`, `WORKDIR`.
    Instructions(Vec<String>),
    /// Field by field; `author`, `created` and `message` are not for this.
    Fields(Box<ConfigChanges>),
}

impl Default for CommitChanges {
    fn default() -> Self {
        Self::Instructions(Vec::new())
    }
}

impl Commit {
    /// The new image's config: the base's, with the changes, one more step of its history, and one more layer, by its diff ID,
    /// unless there is none. Every other key keeps its place and its text. `path` is for errors.
    ///
    /// Fails with `invalid-config`, and with `invalid-argument`, in Docker's words, for changes that Docker refuses.
    pub fn config(&self, base: &[u8], layer: Option<&str>, path: &str) -> Result<Vec<u8>> {
        if Timestamp::parse(&self.created).is_none() {
            return Err(refuse(format!("\"{}\" is no time as RFC 3339 has it.", self.created)));
        }
        let mut document = object(base, path)?;
        let read = Config::read(base, path)?;
        let text = document.get("config").unwrap_or("{}").to_owned();
        let mut config = Object::parse(&text).unwrap_or_default();
        // What a container does not get from its image, what is made of it has not either.
        config.remove("OnBuild");
        match &self.changes {
            CommitChanges::Instructions(lines) => instructions::apply(lines, &mut config)?,
            CommitChanges::Fields(changes) => changes.alter(&mut config, &mut Vec::new())?,
        }
        document.set("config", &config.to_json());
        let created = json::string(&self.created);
        document.set("created", &created);
        match self.author.as_ref().filter(|author| !author.is_empty()) {
            Some(author) => document.set("author", &json::string(author)),
            None => document.remove("author"),
        }
        if let Some(layer) = layer {
            let diff_ids = read.diff_ids.iter().map(String::as_str).chain([layer]).map(json::string);
            let mut root = document.object("rootfs").unwrap_or_default();
            root.set("diff_ids", &json::array_of(diff_ids));
            let root = root.to_json();
            document.set("rootfs", &root);
        }
        let mut step = Object::default();
        step.push("created", created);
        let command = read.container.cmd.unwrap_or_default().join(" ");
        for (key, text) in [
            ("author", self.author.as_deref().unwrap_or_default()),
            ("created_by", &command),
            ("comment", self.message.as_deref().unwrap_or_default()),
        ] {
            if !text.is_empty() {
                step.push(key, json::string(text));
            }
        }
        if layer.is_none() {
            step.push("empty_layer", "true".to_owned());
        }
        let history = document.array("history").unwrap_or_default().into_iter().map(str::to_owned);
        let history = json::array_of(history.chain([step.to_json()]));
        document.set("history", &history);
        Ok(document.to_json().into_bytes())
    }
}
