//! An edited archive before anything is written: an ordered list of parts.

use std::ops::Range;
use std::rc::Rc;

use crate::error::Result;
use crate::source::{Source, past_end};

/// One part of a [`Recipe`].
#[derive(Debug, Clone)]
pub enum Part<S> {
    /// Bytes that stand in a source already.
    Range {
        /// The source.
        source: S,
        /// Where in the source the part begins.
        offset: u64,
        /// Its length in bytes.
        len: u64,
    },
    /// Bytes made here.
    Bytes(Rc<[u8]>),
}

impl<S> Part<S> {
    /// Length in bytes.
    pub fn len(&self) -> u64 {
        match self {
            Self::Range { len, .. } => *len,
            Self::Bytes(bytes) => Source::len(bytes),
        }
    }

    /// Whether the part holds no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Parts of sources and new bytes, one after the other; itself a [`Source`].
///
/// No part is empty, and parts never nest: a slice of a recipe refers to the sources that the recipe refers to.
#[derive(Debug, Clone)]
pub struct Recipe<S> {
    parts: Vec<Part<S>>,
    /// Where each part ends.
    ends: Vec<u64>,
}

impl<S> Default for Recipe<S> {
    fn default() -> Self {
        Self { parts: Vec::new(), ends: Vec::new() }
    }
}

impl<S: Source + Clone> Recipe<S> {
    /// The recipe of a whole source, unchanged.
    pub fn whole(source: S) -> Self {
        let len = source.len();
        let mut recipe = Self::default();
        recipe.push(Part::Range { source, offset: 0, len });
        recipe
    }

    /// The parts, in order.
    pub fn parts(&self) -> &[Part<S>] {
        &self.parts
    }

    /// Appends a part.
    pub fn push(&mut self, part: Part<S>) {
        if !part.is_empty() {
            self.ends.push(self.end() + part.len());
            self.parts.push(part);
        }
    }

    /// Appends new bytes.
    pub fn push_bytes(&mut self, bytes: impl Into<Rc<[u8]>>) {
        self.push(Part::Bytes(bytes.into()));
    }

    /// Appends a range of another recipe. What lies beyond that recipe's end is left out.
    pub fn push_slice(&mut self, of: &Self, range: Range<u64>) {
        for (part, start) in of.parts_from(range.start) {
            if start >= range.end {
                break;
            }
            let from = range.start.saturating_sub(start);
            let to = part.len().min(range.end - start);
            match part {
                Part::Range { source, offset, .. } => {
                    self.push(Part::Range { source: source.clone(), offset: offset + from, len: to - from });
                }
                Part::Bytes(bytes) if (from, to) == (0, part.len()) => self.push(Part::Bytes(bytes.clone())),
                Part::Bytes(bytes) => {
                    #[allow(clippy::cast_possible_truncation)] // both are at most the slice's length
                    if let Some(slice) = bytes.get(from as usize..to as usize) {
                        self.push_bytes(slice);
                    }
                }
            }
        }
    }

    /// Appends all of another recipe.
    pub fn append(&mut self, other: Self) {
        for part in other.parts {
            self.push(part);
        }
    }

    /// How many of its bytes stand in memory: those of a source take none.
    pub(crate) fn in_memory(&self) -> u64 {
        self.parts.iter().filter(|part| matches!(part, Part::Bytes(_))).map(Part::len).sum()
    }

    fn end(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0)
    }

    /// The parts from the one that holds `offset` on, each with the position of its first byte.
    fn parts_from(&self, offset: u64) -> impl Iterator<Item = (&Part<S>, u64)> {
        let first = self.ends.partition_point(|&end| end <= offset);
        self.parts.iter().zip(&self.ends).skip(first).map(|(part, end)| (part, end - part.len()))
    }
}

impl<S: Source + Clone> Source for Recipe<S> {
    fn len(&self) -> u64 {
        self.end()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let wanted = buf.len();
        if offset.saturating_add(wanted as u64) > self.end() {
            return Err(past_end(offset, wanted, self.end()));
        }
        let mut rest = buf;
        let mut at = offset;
        for (part, start) in self.parts_from(offset) {
            if rest.is_empty() {
                break;
            }
            let skip = at - start;
            let count = usize::try_from(part.len() - skip).map_or(rest.len(), |left| left.min(rest.len()));
            let (head, tail) = rest.split_at_mut(count);
            match part {
                Part::Range { source, offset, .. } => source.read_at(offset + skip, head)?,
                Part::Bytes(bytes) => bytes[..].read_at(skip, head)?,
            }
            rest = tail;
            at += count as u64;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::read_vec;
    use proptest::prelude::*;

    type Bytes = Rc<Vec<u8>>;

    /// A recipe of three parts and what it should read as.
    fn sample() -> (Recipe<Bytes>, Vec<u8>) {
        let source: Bytes = Rc::new((0..200).collect());
        let mut recipe = Recipe::default();
        recipe.push(Part::Range { source: source.clone(), offset: 10, len: 50 });
        recipe.push_bytes(&b"hello"[..]);
        recipe.push(Part::Range { source, offset: 100, len: 100 });
        let flat = (10..60).chain(*b"hello").chain(100..200).collect();
        (recipe, flat)
    }

    proptest! {
        #[test]
        fn a_recipe_reads_as_its_parts_laid_end_to_end(from in 0..160usize, len in 0..160usize) {
            let (recipe, flat) = sample();
            let read = read_vec(&recipe, from as u64, len);
            match flat.get(from..from + len) {
                Some(expected) => prop_assert_eq!(read.unwrap(), expected),
                None => prop_assert!(read.is_err()),
            }
        }

        #[test]
        fn slices_of_recipes_are_flat_and_right(a in 0..155u64, b in 0..155u64, c in 0..155u64) {
            let (recipe, flat) = sample();
            let mut spliced = Recipe::default();
            spliced.push_slice(&recipe, a.min(b)..a.max(b));
            spliced.push_bytes(&b"|"[..]);
            spliced.push_slice(&recipe, c..recipe.len());
            let slice = |from: u64, to: u64| flat[usize::try_from(from).unwrap()..usize::try_from(to).unwrap()].to_vec();
            let expected = [slice(a.min(b), a.max(b)), b"|".to_vec(), slice(c, 155)].concat();
            prop_assert_eq!(spliced.len(), expected.len() as u64);
            prop_assert_eq!(read_vec(&spliced, 0, expected.len()).unwrap(), expected);
        }
    }
}
