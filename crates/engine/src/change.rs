//! What a verb does to the catalog's rows.

use longshore_archive::Result;
use serde::{Deserialize, Serialize};

use crate::catalog::Catalog;

/// Rows to put and keys to delete, and what Docker would print.
///
/// Plain data, to be written to the table in one transaction and then applied to the catalog.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Keys and values.
    pub put: Vec<(String, String)>,
    /// Keys.
    pub delete: Vec<String>,
    /// What Docker prints to stdout, line by line.
    #[serde(default)]
    pub lines: Vec<String>,
}

impl Change {
    /// The change that makes one catalog another one.
    pub fn between(before: &Catalog, after: &Catalog, lines: Vec<String>) -> Self {
        let mut change = Self { lines, ..Self::default() };
        let mut old = before.values_unlike(after).peekable();
        for (key, value) in after.values_unlike(before) {
            // Both in the order of their keys.
            while let Some((gone, _)) = old.next_if(|(old, _)| *old < key) {
                change.delete.push(gone);
            }
            let same = old.next_if(|(old, _)| *old == key);
            if same.is_none_or(|(_, old)| !old.is(value)) {
                change.put.push((key, value.to_json()));
            }
        }
        change.delete.extend(old.map(|(gone, _)| gone));
        change
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.put.is_empty() && self.delete.is_empty()
    }

    /// What undoes it. `before` is the catalog that the change was made for. It prints nothing.
    #[must_use]
    pub fn inverse(&self, before: &Catalog) -> Self {
        let mut inverse = Self::default();
        let keys = self.put.iter().map(|(key, _)| key).chain(&self.delete);
        for key in keys {
            match before.row(key) {
                Some(value) => inverse.put.push((key.clone(), value)),
                None => inverse.delete.push(key.clone()),
            }
        }
        inverse
    }
}

impl Catalog {
    /// Puts and deletes the rows of a change.
    ///
    /// Fails with `damaged-catalog`, and changes nothing, where the rows do not make a catalog: a change that was made
    /// for this one always does.
    pub fn apply(&mut self, change: &Change) -> Result<()> {
        let mut after = self.clone();
        for key in &change.delete {
            after.delete_row(key);
        }
        for (key, value) in &change.put {
            after.put_row(key, value)?;
        }
        after.check()?;
        *self = after;
        Ok(())
    }
}
