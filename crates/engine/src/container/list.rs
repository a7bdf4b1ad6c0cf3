//! `docker ps` (moby `daemon/list.go`, docker/cli `formatter/container.go`).

use std::collections::BTreeMap;

use longshore_archive::{Result, Timestamp};
use regex_lite::Regex;
use serde::Serialize;

use super::{Container, Content};
use crate::catalog::Catalog;
use crate::filter::{boolean, invalid};
use crate::image::Image;
use crate::list::Labels;

/// One row of `docker ps --all`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerRow {
    /// The container's ID.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The image's name that was asked for, where it still means that image; else the image's ID.
    pub image: String,
    /// The image's ID.
    pub image_id: String,
    /// What would run: entry point and command, joined by spaces.
    pub command: String,
    /// RFC 3339.
    pub created: String,
    /// `Created`: nothing ever runs.
    pub status: &'static str,
    /// How many paths were changed.
    pub changes: usize,
    /// Bytes of what was written.
    pub size: u64,
    /// Whether a blob of it or of its image is lost or not what its digest says.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub damaged: bool,
}

/// Filters, read.
#[derive(Default)]
struct Filters {
    /// What is no regular expression fits nothing.
    names: Vec<Option<Regex>>,
    /// IDs of containers; `None`: there is no such container, or more than one.
    ids: Vec<Option<String>>,
    /// IDs of images and of all that was made from them; `None`: there is no such image.
    ancestors: Vec<Option<String>>,
    statuses: Vec<String>,
    labels: Labels,
    /// Filters that are about what runs: whether a container fits that never did.
    others: BTreeMap<String, bool>,
    before: Option<Timestamp>,
    since: Option<Timestamp>,
}

const STATUSES: [&str; 7] = ["created", "restarting", "running", "removing", "paused", "exited", "dead"];

impl Catalog {
    /// `docker ps`, newest first: without `all`, only what runs, which is nothing, unless a filter asks for a status.
    /// Filters, each a key and a value: `name` (a regular expression, which may expect a slash before the name), `id` (the
    /// beginning of one), `ancestor`, `status`, `label`, `before`, `since`. Docker's others are about what runs, so that all
    /// containers fit `health=none`, `is-task=false` and any `isolation`, and none does `exited`, `expose`, `network`, `publish`,
    /// `volume` and another `health`.
    ///
    /// Fails with `invalid-argument` for a filter that makes no sense, and with `no-such-container` for one that `before`
    /// or `since` name.
    pub fn ps(&self, all: bool, filters: &[(String, String)]) -> Result<Vec<ContainerRow>> {
        let filters = self.container_filters(filters)?;
        let is_shown =
            all || !filters.statuses.is_empty() || filters.before.is_some() || filters.since.is_some();
        let is_wanted = |container: &&Container| is_shown && self.takes(&filters, container);
        let mut containers: Vec<&Container> = self.all_containers().filter(is_wanted).collect();
        containers.sort_by_key(|container| std::cmp::Reverse(Timestamp::parse(&container.created)));
        Ok(containers.into_iter().map(|container| self.container_row(container)).collect())
    }

    fn container_row(&self, container: &Container) -> ContainerRow {
        let is_same = self.find_image(&container.reference).is_ok_and(|image| image.id() == container.image);
        let base = self.base_of(container);
        let config = base.map(|image| &Image::config(image).container);
        let words =
            config.into_iter().flat_map(|config| [&config.entrypoint, &config.cmd]).flatten().flatten();
        let is_lost = |content: &Content| container.lost.contains(&content.digest);
        ContainerRow {
            id: container.id.clone(),
            name: container.name.clone(),
            image: if is_same { &container.reference } else { &container.image }.clone(),
            image_id: container.image.clone(),
            command: words.map(String::as_str).collect::<Vec<_>>().join(" "),
            created: container.created.clone(),
            status: "Created",
            changes: self.upper(&container.id).count(),
            size: self.contents(&container.id).fold(0, |sum, content| sum.saturating_add(content.length)),
            damaged: base.is_some_and(|base| !base.damaged().is_empty())
                || self.contents(&container.id).any(is_lost),
        }
    }

    fn container_filters(&self, filters: &[(String, String)]) -> Result<Filters> {
        let mut read = Filters::default();
        let is_task = boolean(filters, "is-task")?;
        let created = |container: &str| Ok(Timestamp::parse(&self.find_container(container)?.created));
        for (key, value) in filters {
            match key.as_str() {
                "name" => read.names.push(Regex::new(value).ok()),
                "id" => {
                    let mut begin = self.containers_that_begin(value);
                    let found = begin.next().filter(|_| begin.next().is_none());
                    read.ids.push(found.map(|container| container.id.clone()));
                }
                "ancestor" => {
                    read.ancestors.push(self.find_image(value).ok().map(|image| image.id().to_owned()));
                }
                "status" if STATUSES.contains(&value.as_str()) => read.statuses.push(value.clone()),
                "status" => return Err(invalid(&format!("status={value}"))),
                "label" => read.labels.add(value),
                "before" => read.before = created(value)?,
                "since" => read.since = created(value)?,
                "exited" | "expose" | "health" | "is-task" | "isolation" | "network" | "publish"
                | "volume" => {
                    let fits = key == "isolation"
                        || key == "health" && value == "none"
                        || key == "is-task" && is_task == Some(false);
                    *read.others.entry(key.clone()).or_default() |= fits;
                }
                _ => return Err(invalid(key)),
            }
        }
        Ok(read)
    }

    fn takes(&self, filters: &Filters, container: &Container) -> bool {
        let created = Timestamp::parse(&container.created);
        let fits_name = |name: &Regex| {
            [&container.name, &format!("/{}", container.name)].iter().any(|one| name.is_match(one))
        };
        any(&filters.names, |name| name.as_ref().is_some_and(fits_name))
            && any(&filters.ids, |id| id.as_ref() == Some(&container.id))
            && any(&filters.statuses, |status| status == "created")
            && filters.others.values().all(|fits| *fits)
            && any(&filters.ancestors, |id| id.as_ref().is_some_and(|id| self.descends(container, id)))
            && (filters.labels.is_empty()
                || self.base_of(container).is_some_and(|base| filters.labels.are_on(base)))
            && filters.before.is_none_or(|before| created < Some(before))
            && filters.since.is_none_or(|since| created > Some(since))
    }

    /// Whether a container was made from an image or from what was made from it.
    fn descends(&self, container: &Container, ancestor: &str) -> bool {
        let parent = |image: &&Image| self.image(image.parent()?);
        let mut images = std::iter::successors(self.base_of(container), parent);
        images.any(|image| image.id() == ancestor)
    }
}

/// Whether a filter takes something: each of its values is enough, and without any it takes all.
fn any<T>(wanted: &[T], fits: impl FnMut(&T) -> bool) -> bool {
    wanted.is_empty() || wanted.iter().any(fits)
}
