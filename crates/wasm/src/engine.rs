//! Docker's rules for a store, as JavaScript asks them. What keeps the rows is JavaScript's.

#![allow(clippy::needless_pass_by_value)] // what wasm-bindgen gives is owned

use std::collections::BTreeMap;

use longshore_archive::{Code, Error, Result};
use longshore_engine::{Catalog as Core, Change, Incoming, ListOptions, PruneOptions, RmiOptions};
use serde::Serialize;
use wasm_bindgen::prelude::*;

use crate::error::{JsResult, to_js, to_throw};

/// A store's images and their names. Verbs change nothing: they say which rows to put and to delete, which is then applied.
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

#[derive(Serialize)]
struct Nothing {}

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

    /// What loading an archive would do.
    #[wasm_bindgen(unchecked_return_type = "Verbs['plan']['result']")]
    pub fn plan(&self, incoming: &str) -> JsResult {
        let plan = read(incoming).and_then(|incoming| self.core.plan(&incoming));
        to_js(&plan.map_err(to_throw)?)
    }

    /// `docker load`.
    #[wasm_bindgen(unchecked_return_type = "Verbs['load']['result']")]
    pub fn load(&self, incoming: &str) -> JsResult {
        let incoming = read(incoming).map_err(to_throw)?;
        let change = self.core.load(&incoming).map_err(to_throw)?;
        let brought = incoming.blobs();
        // Also what the store should have: it may have been lost.
        self.planned(change, Nothing {}, |digest| brought.contains_key(digest))
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
        self.planned(change, Nothing {}, |_| false)
    }

    /// `docker rmi`.
    #[wasm_bindgen(unchecked_return_type = "Verbs['rmi']['result']")]
    pub fn rmi(&self, images: Vec<String>, force: bool, no_prune: bool) -> JsResult {
        #[derive(Serialize)]
        struct Items {
            items: Vec<RemovedItem>,
        }
        let removal = self.core.rmi(&images, &RmiOptions { force, no_prune, in_use: &[] });
        let items = removal.items.into_iter().map(|item| {
            let (removed, error) = match item.outcome {
                Ok(removed) => (removed, None),
                Err(error) => (Vec::new(), Some(error)),
            };
            RemovedItem {
                image: item.image,
                lines: removed.iter().map(ToString::to_string).collect(),
                error: error.map(|error| Failure {
                    code: error.code().as_str(),
                    message: error.message().to_owned(),
                    detail: error.detail().clone(),
                }),
            }
        });
        let items = Items { items: items.collect() };
        self.planned(removal.change, items, |_| false)
    }

    /// `docker image prune`. Filters are names and values by turns.
    #[wasm_bindgen(unchecked_return_type = "Verbs['prune']['result']")]
    pub fn prune(&self, all: bool, filters: Vec<String>) -> JsResult {
        #[derive(Serialize)]
        struct Reclaimed {
            reclaimed: u64,
        }
        let filters = pairs(filters);
        let options = PruneOptions { all, filters: &filters, in_use: &[] };
        let pruned = self.core.prune(&options).map_err(to_throw)?;
        self.planned(pruned.change, Reclaimed { reclaimed: pruned.reclaimed }, |_| false)
    }

    /// Marks what needs blobs that are lost.
    #[wasm_bindgen(unchecked_return_type = "Verbs['damage']['result']")]
    pub fn damage(&self, digests: Vec<String>) -> JsResult {
        let mut after = self.core.clone();
        for digest in &digests {
            let change = after.damage(digest);
            after.apply(&change).map_err(to_throw)?;
        }
        let change = Change::between(&self.core, &after, Vec::new());
        self.planned(change, Nothing {}, |_| false)
    }

    /// `docker images`. Filters are names and values by turns.
    #[wasm_bindgen(unchecked_return_type = "Verbs['images']['result']")]
    pub fn images(&self, all: bool, filters: Vec<String>) -> JsResult {
        let options = ListOptions { all, filters: pairs(filters) };
        to_js(&self.core.images(&options).map_err(to_throw)?)
    }

    /// `docker image inspect`.
    #[wasm_bindgen(unchecked_return_type = "Verbs['inspect']['result']")]
    pub fn inspect(&self, image: &str) -> JsResult {
        let inspect = self.core.inspect(image).map_err(to_throw)?;
        to_js(&inspect)
    }

    /// `docker history`.
    #[wasm_bindgen(unchecked_return_type = "Verbs['history']['result']")]
    pub fn history(&self, image: &str) -> JsResult {
        to_js(&self.core.history(image).map_err(to_throw)?)
    }

    /// `docker system df -v`.
    #[wasm_bindgen(unchecked_return_type = "Verbs['df']['result']")]
    pub fn df(&self) -> JsResult {
        to_js(&self.core.df(&[]))
    }

    /// `docker save`: what makes up the archive.
    #[wasm_bindgen(unchecked_return_type = "Verbs['save']['result']")]
    pub fn save(&self, images: Vec<String>, platforms: Vec<String>) -> JsResult {
        to_js(&self.core.save(&images, &platforms).map_err(to_throw)?)
    }

    /// Every blob that is needed.
    #[wasm_bindgen(unchecked_return_type = "Verbs['blobs']['result']")]
    pub fn blobs(&self) -> JsResult {
        to_js(&needed(self.core.blobs(), |_| true))
    }

    fn planned<T: Serialize>(&self, change: Change, more: T, brought: impl Fn(&str) -> bool) -> JsResult {
        let mut after = self.core.clone();
        after.apply(&change).map_err(to_throw)?;
        let before = self.core.blobs();
        let needs = needed(after.blobs(), |digest| brought(digest) || !before.contains_key(digest));
        let inverse = change.inverse(&self.core);
        let inverse = Rows { put: inverse.put, delete: inverse.delete };
        let Change { put, delete, lines } = change;
        to_js(&Planned { put, delete, lines, inverse, needs, more })
    }
}

fn needed(blobs: BTreeMap<String, u64>, is_needed: impl Fn(&str) -> bool) -> Vec<Needed> {
    let needed = blobs.into_iter().filter(|(digest, _)| is_needed(digest));
    needed.map(|(digest, size)| Needed { digest, size }).collect()
}

fn read(incoming: &str) -> Result<Incoming> {
    serde_json::from_str(incoming).map_err(|error| {
        Error::new(Code::InvalidArgument, format!("This is nothing that a store could take in: {error}."))
    })
}

fn pairs(texts: Vec<String>) -> Vec<(String, String)> {
    let mut texts = texts.into_iter();
    std::iter::from_fn(|| Some((texts.next()?, texts.next()?))).collect()
}
