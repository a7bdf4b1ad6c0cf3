//! `docker images` (moby `daemon/images/images.go`, docker/cli `formatter/image.go`).

use std::collections::BTreeMap;

use longshore_archive::{Platform, Reference, Result, Timestamp};
use serde::{Deserialize, Serialize};

use crate::catalog::{Catalog, Target};
use crate::filter::{boolean, invalid};
use crate::glob::Glob;
use crate::image::Image;
use crate::until::until;

/// What `docker images` is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListOptions {
    /// Also images without a name that others were made from (`--all`).
    pub all: bool,
    /// `--filter KEY=VALUE`, each a key and a value: `reference`, `dangling`, `before`, `since`, `label`, `until`.
    pub filters: Vec<(String, String)>,
    /// What time it is, for a filter that says how long ago; without it, such a filter makes no sense.
    #[serde(skip)]
    pub now: Option<Timestamp>,
}

/// One row of `docker images`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// As Docker prints it; `None` is its `<none>`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// `None` is Docker's `<none>`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// The digest that the image has in that repository, where it is known by one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The image's ID.
    pub id: String,
    /// Digest of the index through which it has the name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<String>,
    /// The machine that it was built for.
    pub platform: Platform,
    /// RFC 3339, as the config states it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Sum of the layers' sizes as stored.
    pub size: u64,
    /// Whether a blob of it is lost or not what its digest says.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub damaged: bool,
}

/// Filters, read.
#[derive(Default)]
struct Filters {
    references: Vec<Glob>,
    dangling: Option<bool>,
    before: Option<Timestamp>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    labels: Labels,
}

/// Labels that an image must have: keys, some with values.
#[derive(Debug, Default)]
pub(crate) struct Labels(Vec<(String, Option<String>)>);

impl Labels {
    /// Adds `key` or `key=value`.
    pub(crate) fn add(&mut self, text: &str) {
        self.0.push(match text.split_once('=') {
            Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
            None => (text.to_owned(), None),
        });
    }

    /// Whether all of them are there.
    pub(crate) fn are_on(&self, image: &Image) -> bool {
        let own = &image.config().container.labels;
        let is_on = |(key, value): &(String, Option<String>)| {
            own.get(key).is_some_and(|own| value.as_ref().is_none_or(|value| value == own))
        };
        self.0.iter().all(is_on)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Catalog {
    /// `docker images`: a row for each name of each image, newest first; images of one age by ID, names in Docker's order.
    /// An image for several platforms has a row for each of them.
    ///
    /// Fails with `invalid-argument` for a filter that makes no sense, and as [`Self::find`] does for an image that a
    /// filter names.
    pub fn images(&self, options: &ListOptions) -> Result<Vec<Row>> {
        let filters = self.filters(options)?;
        let mut images: Vec<&Image> = self.all_images().filter(|image| filters.take(image)).collect();
        let age = |image: &Image| {
            image.config().created.as_deref().and_then(Timestamp::parse).map(|time| time.seconds)
        };
        images.sort_by_key(|image| std::cmp::Reverse(age(image)));
        Ok(images.into_iter().flat_map(|image| self.rows_of(image, options.all, &filters)).collect())
    }

    fn rows_of(&self, image: &Image, all: bool, filters: &Filters) -> Vec<Row> {
        let id = image.id();
        let own = Target::Image(id.to_owned());
        let indexes = self.listings(id).map(|index| Target::Index(index.digest.clone()));
        let mut rows = Vec::new();
        for target in [own].into_iter().chain(indexes) {
            let index = match &target {
                Target::Index(digest) => Some(digest.clone()),
                Target::Image(_) => None,
            };
            let names: Vec<&Reference> = self.names_of(&target).filter(|name| filters.fit(name)).collect();
            for (repository, tag, digest) in by_repository(&names) {
                let index = index.clone();
                rows.push(Row { repository: Some(repository), tag, digest, index, ..nameless(image) });
            }
        }
        let has_children = self.children(id).next().is_some();
        match filters.dangling {
            Some(false) => rows,
            // What has children dangles only for as long as it is not asked for by that filter.
            Some(true) if has_children || rows.iter().any(|row| row.tag.is_some()) => Vec::new(),
            _ if rows.is_empty() && filters.references.is_empty() && (all || !has_children) => {
                vec![nameless(image)]
            }
            _ => rows,
        }
    }

    fn filters(&self, options: &ListOptions) -> Result<Filters> {
        let mut filters = Filters { dangling: boolean(&options.filters, "dangling")?, ..Filters::default() };
        for (key, value) in &options.filters {
            let created = || Ok(created(self.find_image(value)?));
            match key.as_str() {
                "reference" => filters.references.push(Glob::parse(value)?),
                "dangling" => {}
                "before" => filters.before = Some(created()?),
                "since" => filters.since = Some(created()?),
                "label" => filters.labels.add(value),
                "until" => filters.until = Some(until(value, options.now)?),
                _ => return Err(invalid(key)),
            }
        }
        Ok(filters)
    }
}

impl Filters {
    fn take(&self, image: &Image) -> bool {
        let created = created(image);
        self.before.is_none_or(|before| created < before)
            && self.since.is_none_or(|since| created > since)
            && self.until.is_none_or(|until| created <= until)
            && self.labels.are_on(image)
    }

    fn fit(&self, name: &Reference) -> bool {
        let forms = [name.to_string(), name.familiar_name(), name.canonical(), name.name()];
        let matches = |glob: &Glob| forms.iter().any(|form| glob.matches(form));
        self.references.is_empty() || self.references.iter().any(matches)
    }
}

/// When an image was made. Go's zero time, the year 1, where that is not known.
pub(crate) fn created(image: &Image) -> Timestamp {
    const ZERO: Timestamp = Timestamp { seconds: -62_135_596_800, nanoseconds: 0 };
    image.config().created.as_deref().and_then(Timestamp::parse).unwrap_or(ZERO)
}

fn nameless(image: &Image) -> Row {
    Row {
        repository: None,
        tag: None,
        digest: None,
        id: image.id().to_owned(),
        index: None,
        platform: image.platform().clone(),
        created: image.config().created.clone(),
        size: image.size(),
        damaged: !image.damaged().is_empty(),
    }
}

/// Repository, tag and digest of each row: a digest goes with the tags of its repository, or has a row of its own.
fn by_repository(names: &[&Reference]) -> Vec<(String, Option<String>, Option<String>)> {
    let mut digests: BTreeMap<String, String> = BTreeMap::new();
    for name in names {
        if let Some(digest) = name.digest() {
            digests.entry(name.familiar_name()).or_insert_with(|| digest.to_owned());
        }
    }
    let mut rows = Vec::new();
    let mut alone = digests.clone();
    for name in names {
        if let Some(tag) = name.tag().filter(|_| name.digest().is_none()) {
            let repository = name.familiar_name();
            alone.remove(&repository);
            let digest = digests.get(&repository).cloned();
            rows.push((repository, Some(tag.to_owned()), digest));
        }
    }
    rows.extend(alone.into_iter().map(|(repository, digest)| (repository, None, Some(digest))));
    rows
}
