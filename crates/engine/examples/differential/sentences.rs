//! Sentences that two versions of Docker write differently: the first table of docs/semantics.md's last section.

use std::collections::BTreeMap;
use std::error::Error;

use longshore_archive::{Algorithm, Reference};

const SECTION: &str = "## Where Docker's versions differ";

/// The table.
pub(crate) struct Sentences(Vec<(Template, Template)>);

/// Literal text with named holes: `repository name (<name>) must be lowercase`.
struct Template(Vec<Part>);

enum Part {
    Text(String),
    Hole(String),
}

impl Sentences {
    /// Reads the table out of the document.
    pub(crate) fn read(document: &str) -> Result<Self, Box<dyn Error>> {
        let section = document.split(SECTION).nth(1).ok_or("the document has no such section")?;
        let table = section
            .lines()
            .skip_while(|line| !line.starts_with('|'))
            .take_while(|line| line.starts_with('|'));
        let cell = |cell: &str| Some(Template::parse(cell.trim().strip_prefix('`')?.strip_suffix('`')?));
        let row = |line: &str| {
            let mut cells = line.trim_matches('|').split('|');
            Some((cell(cells.next()?)?, cell(cells.next()?)?))
        };
        let rows: Vec<_> = table.filter_map(row).collect();
        if rows.is_empty() { Err("the table has no rows".into()) } else { Ok(Self(rows)) }
    }

    /// A sentence of Docker 20.10, as Longshore says it. What it does not say stays a hole.
    pub(crate) fn theirs(&self, sentence: &str) -> String {
        let mut text = sentence.to_owned();
        for (theirs, ours) in &self.0 {
            if let Some((range, holes)) = theirs.find(&text) {
                text.replace_range(range, &ours.fill(&holes));
            }
        }
        with_tag(text)
    }

    /// One of ours, with holes for what Docker 20.10 does not say.
    pub(crate) fn ours(&self, sentence: &str) -> String {
        let mut text = sentence.to_owned();
        for (theirs, ours) in
            self.0.iter().filter(|(theirs, ours)| !ours.names().all(|name| theirs.has(name)))
        {
            if let Some((range, mut holes)) = ours.find(&text) {
                holes.retain(|name, _| theirs.has(name));
                text.replace_range(range, &ours.fill(&holes));
            }
        }
        with_tag(text)
    }
}

/// What is not there is told with the tag that was never asked for, or without; a whole ID with its algorithm, or without.
fn with_tag(text: String) -> String {
    let Some(name) = text.strip_prefix("No such image: ") else { return text };
    let whole = format!("sha256:{}", name.trim_start_matches("sha256:"));
    if Algorithm::of(&whole).is_some() {
        return format!("No such image: {whole}");
    }
    Reference::parse(name).map_or(text.clone(), |name| format!("No such image: {name}"))
}

impl Template {
    fn parse(text: &str) -> Self {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('<') {
            let Some((name, after)) = after.split_once('>') else { break };
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(Part::Hole(name.to_owned()));
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Self(parts)
    }

    /// The names of the holes.
    fn names(&self) -> impl Iterator<Item = &String> {
        self.0.iter().filter_map(|part| match part {
            Part::Hole(name) => Some(name),
            Part::Text(_) => None,
        })
    }

    fn has(&self, name: &str) -> bool {
        self.names().any(|own| own == name)
    }

    /// The text, with the holes filled as far as that is known.
    fn fill(&self, holes: &BTreeMap<String, String>) -> String {
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Hole(name) => holes.get(name).cloned().unwrap_or_else(|| format!("<{name}>")),
        };
        self.0.iter().map(part).collect()
    }

    /// Where the template stands in a text, and what is in its holes.
    fn find(&self, text: &str) -> Option<(std::ops::Range<usize>, BTreeMap<String, String>)> {
        let mut holes = BTreeMap::new();
        let mut open: Option<&String> = None;
        let (mut start, mut at) = (None, 0);
        for part in &self.0 {
            match part {
                Part::Hole(name) => open = Some(name),
                Part::Text(literal) => {
                    let found = at + text.get(at..)?.find(literal.as_str())?;
                    match open.take() {
                        Some(name) => drop(holes.insert(name.clone(), text.get(at..found)?.to_owned())),
                        None if start.is_some() && found != at => return None,
                        None => {}
                    }
                    start.get_or_insert(found);
                    at = found + literal.len();
                }
            }
        }
        if let Some(name) = open {
            holes.insert(name.clone(), text.get(at..)?.to_owned());
            at = text.len();
        }
        Some((start?..at, holes))
    }
}
