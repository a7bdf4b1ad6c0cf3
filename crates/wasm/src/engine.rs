//! Docker's rules for a store, as JavaScript asks them. What keeps the rows is JavaScript's.

#![allow(clippy::needless_pass_by_value)] // what wasm-bindgen gives is owned

use std::collections::{BTreeMap, BTreeSet};

use longshore_archive::{Error, Timestamp};
use longshore_engine::{
    CONTAINERS, Carried, Catalog as Core, Change, CommitOptions, Committed, CreateOptions, Edit, Incoming,
    ListOptions, MAX_CONTAINERS, NewLayer, PruneOptions, RmiOptions,
};
use serde::Serialize;
use wasm_bindgen::prelude::*;

use crate::error::{JsResult, to_throw};
use crate::values::{from_json, inspect_to_js, to_js};

/// A store's images, their names and its containers. Verbs change nothing: they say which rows to put and to delete, which is then applied.
#[wasm_bindgen]
pub struct Catalog {
    core: Core,
}

/// A change on its way to JavaScript.
#[derive(Serialize)]
struct Planned<T> {
    put: Vec<(String, String)>,
    delete: Vec<String>,
    lines: Vec<String>,
    inverse: Rows,
    needs: Vec<Needed>,
    #[serde(flatten)]
    more: T,
}

#[derive(Serialize)]
struct Rows {
    put: Vec<(String, String)>,
    delete: Vec<String>,
}

/// A blob that the store has to have.
#[derive(Serialize)]
struct Needed {
    digest: String,
    size: u64,
}

/// What became of one image that was to be removed.
#[derive(Serialize)]
struct RemovedItem {
    image: String,
    lines: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Failure>,
}

#[derive(Serialize)]
struct Failure {
    code: &'static str,
    message: String,
    detail: longshore_archive::Detail,
}

impl Failure {
    fn of(error: &Error) -> Self {
        Self {
            code: error.code().as_str(),
            message: error.message().to_owned(),
            detail: error.detail().clone(),
        }
    }
}

/// What became of one container that was to be removed.
#[derive(Serialize)]
struct RemovedContainer {
    container: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Failure>,
}

/// A container, but for what was changed in it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ContainerView<'a> {
    id: &'a str,
    name: &'a str,
    /// ID of its image.
    image: &'a str,
    created: &'a str,
}

#[derive(Serialize)]
struct Nothing {}

/// Where an archive of a whole store has its working containers: a document, and its greatest length.
#[wasm_bindgen(js_name = carriedAt, unchecked_return_type = "[path: string, limit: number]")]
pub fn carried_at() -> JsResult {
    to_js(&(CONTAINERS, MAX_CONTAINERS))
}

/// The blobs that such a document is about: contents of files that were written.
#[wasm_bindgen(unchecked_return_type = "(KeptBlob & { path: string })[]")]
pub fn carried(document: &str) -> JsResult {
    let containers = Carried::read(document).map_err(to_throw)?;
    to_js(&Carried::blobs(&containers))
}

#[wasm_bindgen]
impl Catalog {
    /// Reads a catalog from its rows.
    #[wasm_bindgen(constructor)]
    pub fn new(keys: Vec<String>, values: Vec<String>) -> JsResult<Self> {
        Core::from_rows(keys.into_iter().zip(values)).map(|core| Self { core }).map_err(to_throw)
    }

    /// Puts and deletes rows of a change that was made.
    pub fn apply(&mut self, keys: Vec<String>, values: Vec<String>, delete: Vec<String>) -> JsResult<()> {
        let put = keys.into_iter().zip(values).collect();
        self.core.apply(&Change { put, delete, lines: Vec::new() }).map_err(to_throw)
    }

    /// What loading an archive would do; `containers` is the document of its working containers, if it has one.
    #[wasm_bindgen(unchecked_return_type = "Verbs['plan']['result']")]
    pub fn plan(&self, incoming: &str, containers: Option<String>) -> JsResult {
        let plan = with(incoming, containers).and_then(|incoming| self.core.plan(&incoming));
        to_js(&plan.map_err(to_throw)?)
    }

    /// `docker load`. The arguments are those of [`Self::plan`], and what was asked of a registry, if that is where it came from.
    #[wasm_bindgen(unchecked_return_type = "Verbs['load']['result']")]
    pub fn load(&self, incoming: &str, containers: Option<String>, pulled: Option<String>) -> JsResult {
        let mut incoming = with(incoming, containers).map_err(to_throw)?;
        if let Some(reference) = pulled {
            incoming.pulled(&reference).map_err(to_throw)?;
        }
        let change = self.core.load(&incoming).map_err(to_throw)?;
        // Also what the store should have: it may have been lost.
        self.planned(change, Nothing {}, &incoming.blobs().into_keys().collect())
    }

    /// What tagging would do beside giving the name.
    #[wasm_bindgen(unchecked_return_type = "Verbs['tagging']['result']")]
    pub fn tagging(&self, source: &str, target: &str) -> JsResult {
        to_js(&self.core.tagging(source, target).map_err(to_throw)?)
    }

    /// `docker tag`.
    #[wasm_bindgen(unchecked_return_type = "Verbs['tag']['result']")]
    pub fn tag(&self, source: &str, target: &str) -> JsResult {
        let change = self.core.tag(source, target).map_err(to_throw)?;
        self.planned(change, Nothing {}, &BTreeSet::new())
    }

    /// `docker rmi`.
    #[wasm_bindgen(unchecked_return_type = "Verbs['rmi']['result']")]
    pub fn rmi(&self, images: Vec<String>, force: bool, no_prune: bool) -> JsResult {
        #[derive(Serialize)]
        struct Items {
            items: Vec<RemovedItem>,
        }
        let in_use = self.core.uses();
        let removal = self.core.rmi(&images, &RmiOptions { force, no_prune, in_use: &in_use });
        let items = removal.items.into_iter().map(|item| {
            let (removed, error) = match item.outcome {
                Ok(removed) => (removed, None),
                Err(error) => (Vec::new(), Some(error)),
            };
            RemovedItem {
                image: item.image,
                lines: removed.iter().map(ToString::to_string).collect(),
                error: error.as_ref().map(Failure::of),
            }
        });
        let items = Items { items: items.collect() };
        self.planned(removal.change, items, &BTreeSet::new())
    }

    /// `docker image prune`. Filters are names and values by turns, `now` are milliseconds since 1970.
    #[wasm_bindgen(unchecked_return_type = "Verbs['prune']['result']")]
    pub fn prune(&self, all: bool, filters: Vec<String>, now: f64) -> JsResult {
        #[derive(Serialize)]
        struct Reclaimed {
            reclaimed: u64,
        }
        let filters = pairs(filters);
        let in_use = self.core.uses();
        let options = PruneOptions { all, filters: &filters, in_use: &in_use, now: instant(now) };
        let pruned = self.core.prune(&options).map_err(to_throw)?;
        self.planned(pruned.change, Reclaimed { reclaimed: pruned.reclaimed }, &BTreeSet::new())
    }

    /// Marks what needs blobs that are lost, and takes the marks of those away that turn out to be right.
    #[wasm_bindgen(unchecked_return_type = "Verbs['damage']['result']")]
    pub fn damage(&self, digests: Vec<String>, right: Vec<String>) -> JsResult {
        let mut after = self.core.clone();
        after.mend(&right.into_iter().collect());
        for digest in &digests {
            let change = after.damage(digest);
            after.apply(&change).map_err(to_throw)?;
        }
        let change = Change::between(&self.core, &after, Vec::new());
        self.planned(change, Nothing {}, &BTreeSet::new())
    }

    /// `docker images`. Filters and `now` as for [`Self::prune`].
    #[wasm_bindgen(unchecked_return_type = "Verbs['images']['result']")]
    pub fn images(&self, all: bool, filters: Vec<String>, now: f64) -> JsResult {
        let options = ListOptions { all, filters: pairs(filters), now: instant(now) };
        to_js(&self.core.images(&options).map_err(to_throw)?)
    }

    /// `docker image inspect`.
    #[wasm_bindgen(unchecked_return_type = "Verbs['inspect']['result']")]
    pub fn inspect(&self, image: &str) -> JsResult {
        inspect_to_js(&self.core.inspect(image).map_err(to_throw)?)
    }

    /// `docker history`.
    #[wasm_bindgen(unchecked_return_type = "Verbs['history']['result']")]
    pub fn history(&self, image: &str) -> JsResult {
        to_js(&self.core.history(image).map_err(to_throw)?)
    }

    /// `docker system df -v`.
    #[wasm_bindgen(unchecked_return_type = "Verbs['df']['result']")]
    pub fn df(&self) -> JsResult {
        to_js(&self.core.df(&self.core.uses()))
    }

    /// `docker save`: what makes up the archive.
    #[wasm_bindgen(unchecked_return_type = "Verbs['save']['result']")]
    pub fn save(&self, images: Vec<String>, platforms: Vec<String>) -> JsResult {
        to_js(&self.core.save(&images, &platforms).map_err(to_throw)?)
    }

    /// All images and the working containers, as what makes up an archive.
    #[wasm_bindgen(js_name = saveAll, unchecked_return_type = "Verbs['saveAll']['result']")]
    pub fn save_all(&self) -> JsResult {
        to_js(&self.core.save_all().map_err(to_throw)?)
    }

    /// `docker create`, with an ID of 64 hexadecimal digits, and a time in RFC 3339.
    #[wasm_bindgen(unchecked_return_type = "Verbs['create']['result']")]
    pub fn create(&self, image: &str, id: String, name: String, created: String) -> JsResult {
        let change = self.core.create(image, &CreateOptions { id, name, created }).map_err(to_throw)?;
        self.planned(change, Nothing {}, &BTreeSet::new())
    }

    /// `docker ps`. Filters are names and values by turns.
    #[wasm_bindgen(unchecked_return_type = "Verbs['ps']['result']")]
    pub fn ps(&self, all: bool, filters: Vec<String>) -> JsResult {
        to_js(&self.core.ps(all, &pairs(filters)).map_err(to_throw)?)
    }

    /// The container that a name or an ID means.
    #[wasm_bindgen(unchecked_return_type = "Verbs['container']['result']")]
    pub fn container(&self, container: &str) -> JsResult {
        let found = self.core.find_container(container).map_err(to_throw)?;
        to_js(&ContainerView {
            id: &found.id,
            name: &found.name,
            image: &found.image,
            created: &found.created,
        })
    }

    /// `docker rename`.
    #[wasm_bindgen(js_name = renameContainer, unchecked_return_type = "Verbs['renameContainer']['result']")]
    pub fn rename_container(&self, container: &str, name: &str) -> JsResult {
        let change = self.core.rename(container, name).map_err(to_throw)?;
        self.planned(change, Nothing {}, &BTreeSet::new())
    }

    /// `docker rm`.
    #[wasm_bindgen(js_name = removeContainers, unchecked_return_type = "Verbs['removeContainers']['result']")]
    pub fn remove_containers(&self, containers: Vec<String>) -> JsResult {
        #[derive(Serialize)]
        struct Items {
            items: Vec<RemovedContainer>,
        }
        let removal = self.core.rm(&containers);
        let items = removal.items.into_iter().map(|item| RemovedContainer {
            container: item.container,
            error: item.outcome.as_ref().err().map(Failure::of),
        });
        let items = Items { items: items.collect() };
        self.planned(removal.change, items, &BTreeSet::new())
    }

    /// What was changed in a container, as the codec's `Overlay` takes it: JSON.
    pub fn changes(&self, container: &str) -> JsResult<String> {
        let found = self.core.find_container(container).map_err(to_throw)?;
        let rows: Vec<_> = self.core.upper(&found.id).collect();
        serde_json::to_string(&rows).map_err(|error| JsError::new(&error.to_string()).into())
    }

    /// Takes down an edit that the codec's `Overlay` gave: JSON.
    #[wasm_bindgen(unchecked_return_type = "Verbs['edit']['result']")]
    pub fn edit(&self, container: &str, edit: &str) -> JsResult {
        let edit: Edit = from_json(edit).map_err(to_throw)?;
        let change = self.core.edit(container, &edit).map_err(to_throw)?;
        // Also what the store should have: it may have been lost.
        let brought: BTreeSet<String> = edit
            .put
            .iter()
            .filter_map(|(_, node)| node.content())
            .map(|content| content.digest.clone())
            .collect();
        self.planned(change, Nothing {}, &brought)
    }

    /// What makes up the archive whose only image has a container's files: without a layer those of its image; with the layer
    /// that its changes are, which is not among the blobs, all of them.
    #[wasm_bindgen(unchecked_return_type = "Verbs['view']['result']")]
    pub fn view(&self, container: &str, diff_id: Option<String>, size: Option<f64>) -> JsResult {
        let layer = layer_of(diff_id, size);
        to_js(&self.core.view(container, layer.as_ref()).map_err(to_throw)?)
    }

    /// `docker commit`, with the layer that the container's changes are, if there are any; `options` is JSON: `reference`, and
    /// `commit` with `author`, `message`, `created` and `changes`. Beside the change: the image's `id`, and `documents`,
    /// digests and texts of blobs that have to be kept, as the layer has.
    #[wasm_bindgen(unchecked_return_type = "Verbs['commit']['result']")]
    pub fn commit(
        &self,
        container: &str,
        diff_id: Option<String>,
        size: Option<f64>,
        options: &str,
    ) -> JsResult {
        #[derive(Serialize)]
        struct Made {
            id: String,
            documents: Vec<(String, String)>,
        }
        let options: CommitOptions = from_json(options).map_err(to_throw)?;
        let layer = layer_of(diff_id, size);
        let Committed { change, id, documents } =
            self.core.commit(container, layer.as_ref(), &options).map_err(to_throw)?;
        self.planned(change, Made { id, documents }, &BTreeSet::new())
    }

    /// Every blob that is needed.
    #[wasm_bindgen(unchecked_return_type = "Verbs['blobs']['result']")]
    pub fn blobs(&self) -> JsResult {
        to_js(&needed(self.core.blobs(), |_| true))
    }

    /// What JavaScript is to do. `brought` are digests of blobs that are here again with the change.
    fn planned<T: Serialize>(&self, change: Change, more: T, brought: &BTreeSet<String>) -> JsResult {
        let mut after = self.core.clone();
        after.apply(&change).map_err(to_throw)?;
        let known = self.core.blobs();
        let needs = needed(after.blobs(), |digest| brought.contains(digest) || !known.contains_key(digest));
        // They stay where it is undone: nothing has lost them then.
        let mut before = self.core.clone();
        before.mend(brought);
        let inverse = change.inverse(&before);
        let inverse = Rows { put: inverse.put, delete: inverse.delete };
        let Change { put, delete, lines } = change;
        to_js(&Planned { put, delete, lines, inverse, needs, more })
    }
}

/// What an archive brings, its containers included.
fn with(incoming: &str, containers: Option<String>) -> Result<Incoming, Error> {
    let mut incoming: Incoming = from_json(incoming)?;
    if let Some(document) = containers {
        incoming.containers = Carried::read(&document)?;
    }
    Ok(incoming)
}

fn needed(blobs: BTreeMap<String, u64>, is_needed: impl Fn(&str) -> bool) -> Vec<Needed> {
    let needed = blobs.into_iter().filter(|(digest, _)| is_needed(digest));
    needed.map(|(digest, size)| Needed { digest, size }).collect()
}

fn layer_of(diff_id: Option<String>, size: Option<f64>) -> Option<NewLayer> {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // below 2^53
    diff_id.map(|diff_id| NewLayer { diff_id, size: size.unwrap_or_default() as u64 })
}

fn instant(milliseconds: f64) -> Option<Timestamp> {
    #[allow(clippy::cast_possible_truncation)] // what is no time is none
    let milliseconds = milliseconds as i64;
    let nanoseconds = u32::try_from(milliseconds.rem_euclid(1000)).ok()? * 1_000_000;
    Some(Timestamp { seconds: milliseconds.div_euclid(1000), nanoseconds })
}

fn pairs(texts: Vec<String>) -> Vec<(String, String)> {
    let mut texts = texts.into_iter();
    std::iter::from_fn(|| Some((texts.next()?, texts.next()?))).collect()
}
