//! What the filters of several verbs have in common (moby `daemon/internal/filters`).

use std::collections::BTreeSet;

use longshore_archive::{Code, Error, Result};

/// A filter that is none, or with a value that makes no sense: `what` is the filter, or `filter=value`.
pub(crate) fn invalid(what: &str) -> Error {
    let filter = what.split_once('=').map_or(what, |(filter, _)| filter);
    Error::new(Code::InvalidArgument, format!("invalid filter '{what}'")).with("filter", filter)
}

/// The values of a filter, each once: filters are sets to Docker. Here they have an order, too.
pub(crate) fn values<'a>(filters: &'a [(String, String)], filter: &str) -> BTreeSet<&'a str> {
    filters.iter().filter(|(key, _)| key == filter).map(|(_, value)| value.as_str()).collect()
}

/// What a filter says that is yes or no, if it is there. Fails where it says neither or both.
pub(crate) fn boolean(filters: &[(String, String)], filter: &str) -> Result<Option<bool>> {
    let values = values(filters, filter);
    let has = |both: [&str; 2]| both.iter().any(|value| values.contains(value));
    let is_true = has(["1", "true"]);
    if values.is_empty() {
        Ok(None)
    } else if is_true == has(["0", "false"]) {
        let all: Vec<&str> = values.into_iter().collect();
        Err(invalid(&format!("{filter}=[{}]", all.join(" "))))
    } else {
        Ok(Some(is_true))
    }
}
