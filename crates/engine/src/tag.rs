//! `docker tag`, and what people mean by it.

use longshore_archive::{Algorithm, Error, Reference, Result, Timestamp, aliases, is_unfinished};
use serde::Serialize;

use crate::catalog::{Catalog, Target};
use crate::change::Change;
use crate::image::Image;

/// What there is to say of a tag before it is given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tagging {
    /// The name that would be given, as Docker prints it.
    pub name: String,
    /// ID of the image, or digest of the index, that has it now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The names that go with a version by habit and that lead elsewhere or nowhere: `2.1`, `2` and `latest` for `2.1.10`.
    pub aliases: Vec<String>,
    /// Of that name and its aliases, those that lead to something newer than the image: the tag would move back.
    pub backwards: Vec<String>,
}

impl Catalog {
    /// `docker tag`: the target leads to what the source does, whatever had that name before. An image for several
    /// platforms gets it as a whole.
    ///
    /// Fails in Docker's words with `invalid-reference` for either name, and as [`Self::find`] does for the source.
    pub fn tag(&self, source: &str, target: &str) -> Result<Change> {
        let (found, name) = self.to_be_tagged(source, target)?;
        let mut after = self.clone();
        after.name(name, found);
        Ok(Change::between(self, &after, Vec::new()))
    }

    fn to_be_tagged(&self, source: &str, target: &str) -> Result<(Target, Reference)> {
        let invalid = |text: &str, error: &Error| {
            let sentence = format!(
                "error parsing reference: {text:?} is not a valid repository/tag: {}",
                error.message()
            );
            Error::new(error.code(), sentence).with("reference", text)
        };
        // The command line looks at both names before the engine looks for the source.
        if !is_whole_id(source) {
            Reference::parse(source).map_err(|error| invalid(source, &error))?;
        }
        let name = Reference::parse(target).map_err(|error| invalid(target, &error))?;
        if name.digest().is_some() {
            Reference::parse_target(target)?;
        }
        let found = self.find(source)?;
        Ok((found.target, Reference::parse_target(target)?))
    }

    /// What to say of `docker tag SOURCE TARGET` beforehand. Fails as [`Self::tag`] does.
    ///
    /// Whether a tag would move back is told by versions: that of the target, or of the source's tags in the same
    /// repository, against those of what has the tag now. Where either has none, or both have one, by when the images were created.
    pub fn tagging(&self, source: &str, target: &str) -> Result<Tagging> {
        let (found, name) = self.to_be_tagged(source, target)?;
        let tag = name.tag().unwrap_or_default().to_owned();
        let sibling = |tag: &str| Reference::parse(&format!("{}:{tag}", name.name())).ok();
        let own = version(&tag).or_else(|| self.version_of(&found, &name));
        let is_newer = |other: &Reference| {
            let Some(there) = self.get(other).filter(|there| **there != found) else { return false };
            match (&own, self.version_of(there, other)) {
                (Some(own), Some(there)) if there != *own => there > *own,
                _ => self.created(there) > self.created(&found),
            }
        };
        let aliases: Vec<Reference> = aliases(&tag).iter().filter_map(|tag| sibling(tag)).collect();
        let mut backwards: Vec<String> =
            aliases.iter().filter(|alias| is_newer(alias)).map(ToString::to_string).collect();
        // A version is what it is; what floats can move back.
        if !is_fixed(&tag) && is_newer(&name) {
            backwards.insert(0, name.to_string());
        }
        Ok(Tagging {
            name: name.to_string(),
            from: self.get(&name).filter(|there| **there != found).map(|there| there.digest().to_owned()),
            aliases: aliases
                .iter()
                .filter(|alias| self.get(alias) != Some(&found))
                .map(ToString::to_string)
                .collect(),
            backwards,
        })
    }

    /// The highest version among the tags that something has in a repository.
    fn version_of(&self, target: &Target, repository: &Reference) -> Option<Version> {
        let same = self
            .names_of(target)
            .filter(|name| name.domain() == repository.domain() && name.path() == repository.path());
        same.filter_map(|name| version(name.tag()?)).max()
    }

    fn created(&self, target: &Target) -> Option<Timestamp> {
        self.preferred(target).and_then(|image| Timestamp::parse(Image::config(image).created.as_deref()?))
    }
}

/// A version's numbers, and whether it is the release of that version: what comes before that is less.
type Version = (Vec<u64>, bool);

/// The version in a tag: `2.1.10`, `v1.2-alpine`, `2.0.0-rc1`. One number alone may be anything.
fn version(tag: &str) -> Option<Version> {
    let text = tag.strip_prefix('v').unwrap_or(tag);
    let (numbers, flavour) = text.split_once('-').unwrap_or((text, ""));
    let numbers: Vec<u64> = numbers.split('.').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    (numbers.len() > 1).then(|| (numbers, !is_unfinished(flavour)))
}

/// Whether a tag is a release's own, in three numbers or more, rather than one that moves from release to release.
fn is_fixed(tag: &str) -> bool {
    version(tag).is_some_and(|(numbers, _)| numbers.len() > 2)
}

fn is_whole_id(text: &str) -> bool {
    [text, &format!("sha256:{text}")].into_iter().any(|id| Algorithm::of(id).is_some())
}
