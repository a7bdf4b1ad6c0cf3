//! Image names by Docker's grammar (`github.com/distribution/reference` 0.6, as Docker 29 uses it).

use std::fmt;

use serde::{Serialize, Serializer};

use crate::error::{Code, Error, Result};

const DEFAULT_DOMAIN: &str = "docker.io";
const LEGACY_DOMAIN: &str = "index.docker.io";
const OFFICIAL: &str = "library/";
const DEFAULT_TAG: &str = "latest";
const MAX_PATH: usize = 255;
const MAX_TAG: usize = 128;

/// A name in its normal form: registry host, repository path, and a tag, a digest, or both.
///
/// Prints as Docker prints it (the familiar form), and orders by the normal form.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    domain: String,
    path: String,
    tag: Option<String>,
    digest: Option<String>,
}

impl Reference {
    /// Reads a name as Docker does: `docker.io` and `library/` are added where they are left out, and the tag
    /// `latest` where there is neither tag nor digest.
    ///
    /// Fails with `invalid-reference` and Docker's own sentence.
    pub fn parse(text: &str) -> Result<Self> {
        let mut reference = Self::parse_bare(text)?;
        if reference.tag.is_none() && reference.digest.is_none() {
            reference.tag = Some(DEFAULT_TAG.to_owned());
        }
        Ok(reference)
    }

    /// Reads a name and adds no tag.
    pub fn parse_bare(text: &str) -> Result<Self> {
        let fail =
            |sentence: String| Err(Error::new(Code::InvalidReference, sentence).with("reference", text));
        if is_hex(text, 64) {
            return fail(format!(
                "invalid repository name ({text}), cannot specify 64-byte hexadecimal strings"
            ));
        }
        let (domain, rest) = split_domain(text);
        let name = rest.split_once(':').map_or(rest.as_str(), |(name, _)| name);
        if name.chars().any(char::is_uppercase) {
            return fail(format!("invalid reference format: repository name ({name}) must be lowercase"));
        }
        let (name_and_tag, digest) = match rest.split_once('@') {
            Some((before, digest)) => (before, Some(digest)),
            None => (rest.as_str(), None),
        };
        let (path, tag) = match name_and_tag.split_once(':') {
            Some((path, tag)) => (path, Some(tag)),
            None => (name_and_tag, None),
        };
        if !is_domain(&domain)
            || !path.split('/').all(is_path_component)
            || !tag.is_none_or(is_tag)
            || !digest.is_none_or(is_digest_shape)
        {
            return fail("invalid reference format".to_owned());
        }
        if path.len() > MAX_PATH {
            return fail(format!("repository name must not be more than {MAX_PATH} characters"));
        }
        if let Some(problem) = digest.and_then(digest_problem) {
            return fail(problem.to_owned());
        }
        Ok(Self {
            domain,
            path: path.to_owned(),
            tag: tag.map(str::to_owned),
            digest: digest.map(str::to_owned),
        })
    }

    /// Reads a name that an image is to be given, with `docker tag`'s own refusals on top.
    pub fn parse_target(text: &str) -> Result<Self> {
        let reference = Self::parse(text)?;
        let fail = |sentence: &str| Err(Error::new(Code::InvalidReference, sentence).with("reference", text));
        if reference.digest.is_some() {
            return fail("refusing to create a tag with a digest reference");
        }
        if reference.familiar_name() == "sha256" {
            return fail("refusing to create an ambiguous tag using digest algorithm as name");
        }
        Ok(reference)
    }

    /// The registry's host, and port where there is one: `docker.io`, `registry.local:5000`.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The repository within the registry: `library/nginx`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The tag.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest.
    pub fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }

    /// The repository in full: `docker.io/library/nginx`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.domain, self.path)
    }

    /// The repository as Docker prints it: `nginx`. In full where that would be read as another one: Docker prints
    /// `docker.io/quay.io/app` as `quay.io/app`.
    pub fn familiar_name(&self) -> String {
        let short = self.short_path();
        let (domain, path) = split_domain(short);
        if domain == self.domain && path == self.path { short.to_owned() } else { self.name() }
    }

    /// The path, without `library/` where that would be added again.
    fn short_path(&self) -> &str {
        let official = self.path.strip_prefix(OFFICIAL).filter(|rest| !rest.contains('/'));
        official.filter(|_| self.domain == DEFAULT_DOMAIN).unwrap_or(&self.path)
    }

    /// The whole name in full: `docker.io/library/nginx:latest`.
    pub fn canonical(&self) -> String {
        self.name() + &self.suffix()
    }

    /// The name within its registry: `nginx:latest`, `team/app:1`.
    pub fn without_registry(&self) -> String {
        format!("{}{}", self.short_path(), self.suffix())
    }

    fn suffix(&self) -> String {
        let tag = self.tag.as_ref().map(|tag| format!(":{tag}")).unwrap_or_default();
        let digest = self.digest.as_ref().map(|digest| format!("@{digest}")).unwrap_or_default();
        tag + &digest
    }
}

/// The familiar form: what Docker prints.
impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.familiar_name(), self.suffix())
    }
}

impl std::str::FromStr for Reference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

/// `{ familiar, canonical, domain, path, tag?, digest? }`
impl Serialize for Reference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Parts<'a> {
            familiar: String,
            canonical: String,
            domain: &'a str,
            path: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            tag: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            digest: Option<&'a str>,
        }
        Parts {
            familiar: self.to_string(),
            canonical: self.canonical(),
            domain: self.domain(),
            path: self.path(),
            tag: self.tag(),
            digest: self.digest(),
        }
        .serialize(serializer)
    }
}

/// The tags that people give an image beside its version tag: for `2.1.10` these are `2.1`, `2` and `latest`; for
/// `8.0.36-debian` they are `8.0-debian`, `8-debian` and `debian`. None for what is not a release's version.
pub fn aliases(tag: &str) -> Vec<String> {
    let (version, flavour) = match tag.split_once('-') {
        Some((version, flavour)) => (version, Some(flavour)),
        None => (tag, None),
    };
    let (prefix, numbers) = match version.strip_prefix('v') {
        Some(numbers) => ("v", numbers),
        None => ("", version),
    };
    let numbers: Vec<&str> = numbers.split('.').collect();
    let is_number = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    // `1-` and `1--x` are tags too, but what follows their first dash is none.
    if !numbers.iter().all(is_number)
        || flavour.is_some_and(|flavour| !is_tag(flavour) || is_unfinished(flavour))
    {
        return Vec::new();
    }
    let shorter = (1..numbers.len()).rev().filter_map(|count| {
        let head = numbers.get(..count)?.join(".");
        Some(flavour.map_or_else(|| format!("{prefix}{head}"), |flavour| format!("{prefix}{head}-{flavour}")))
    });
    shorter.chain([flavour.unwrap_or(DEFAULT_TAG).to_owned()]).collect()
}

/// Whether what follows a version's dash says that it comes before that version: `rc1`, `beta.2`.
pub fn is_unfinished(flavour: &str) -> bool {
    let words = ["rc", "alpha", "beta", "dev", "pre", "snapshot", "nightly", "canary"];
    let flavour = flavour.to_lowercase();
    words.iter().any(|word| flavour.starts_with(word))
}

fn is_hex(text: &str, len: usize) -> bool {
    text.len() == len && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Tells the registry's host from the repository, by Docker's rule: the first element is a host if it is
/// `localhost`, or has a dot, a colon or an upper-case letter.
fn split_domain(text: &str) -> (String, String) {
    let (domain, rest) = match text.split_once('/') {
        Some((LEGACY_DOMAIN, rest)) => (DEFAULT_DOMAIN, rest),
        Some((first, rest))
            if first == "localhost"
                || first.contains(['.', ':'])
                || first.chars().any(char::is_uppercase) =>
        {
            (first, rest)
        }
        _ => (DEFAULT_DOMAIN, text),
    };
    let official = if domain == DEFAULT_DOMAIN && !rest.contains('/') { OFFICIAL } else { "" };
    (domain.to_owned(), format!("{official}{rest}"))
}

/// Host names or an IPv6 address in brackets, then perhaps a port.
fn is_domain(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) => {
            let hex =
                !address.is_empty() && address.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b':');
            if !hex {
                return false;
            }
            match rest.strip_prefix(':') {
                Some(port) => (None, Some(port)),
                None if rest.is_empty() => (None, None),
                None => return false,
            }
        }
        None => match text.split_once(':') {
            Some((host, port)) => (Some(host), Some(port)),
            None => (Some(text), None),
        },
    };
    let is_label = |label: &str| {
        let alphanumeric = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        let bytes = label.as_bytes();
        alphanumeric(bytes.first())
            && alphanumeric(bytes.last())
            && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
    };
    host.is_none_or(|host| host.split('.').all(is_label))
        && port.is_none_or(|port| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Lower-case letters and digits, in runs parted by `.`, `_`, `__` or any number of `-`.
fn is_path_component(text: &str) -> bool {
    let mut rest = text;
    loop {
        let run = rest.bytes().take_while(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9')).count();
        if run == 0 {
            return false;
        }
        rest = rest.get(run..).unwrap_or_default();
        if rest.is_empty() {
            return true;
        }
        let separator = rest.bytes().take_while(|byte| matches!(byte, b'.' | b'_' | b'-')).count();
        match rest.get(..separator) {
            Some("." | "_" | "__") => {}
            Some(dashes) if separator > 0 && dashes.bytes().all(|byte| byte == b'-') => {}
            _ => return false,
        }
        rest = rest.get(separator..).unwrap_or_default();
    }
}

fn is_tag(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.len() <= MAX_TAG
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|byte| word(byte) || matches!(byte, b'.' | b'-'))
}

/// `algorithm:hex`, as the grammar has it.
fn is_digest_shape(text: &str) -> bool {
    let Some((algorithm, hex)) = text.split_once(':') else { return false };
    let is_component = |part: &str| {
        part.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic())
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    algorithm.split(['-', '_', '+', '.']).all(is_component)
        && hex.len() >= 32
        && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// What go-digest has against a digest that fits the grammar.
fn digest_problem(text: &str) -> Option<&'static str> {
    let (algorithm, hex) = text.split_once(':')?;
    let len = match algorithm {
        "sha256" => 64,
        "sha384" => 96,
        "sha512" => 128,
        _ => return Some("unsupported digest algorithm"),
    };
    if hex.len() != len {
        return Some("invalid checksum digest length");
    }
    (!is_hex(hex, len)).then_some("invalid checksum digest format")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_and_familiar_forms() {
        let table = [
            ("nginx", "docker.io/library/nginx:latest", "nginx:latest"),
            ("library/nginx:1", "docker.io/library/nginx:1", "nginx:1"),
            ("docker.io/nginx", "docker.io/library/nginx:latest", "nginx:latest"),
            ("index.docker.io/team/app:2", "docker.io/team/app:2", "team/app:2"),
            ("registry.local:5000/a/b:c", "registry.local:5000/a/b:c", "registry.local:5000/a/b:c"),
            ("localhost/x:1", "localhost/x:1", "localhost/x:1"),
            ("foo__bar", "docker.io/library/foo__bar:latest", "foo__bar:latest"),
            ("foo---bar:_x", "docker.io/library/foo---bar:_x", "foo---bar:_x"),
            ("FOO/bar:1", "FOO/bar:1", "FOO/bar:1"),
            ("Foo.com/bar", "Foo.com/bar:latest", "Foo.com/bar:latest"),
            ("[::1]:5000/foo", "[::1]:5000/foo:latest", "[::1]:5000/foo:latest"),
            ("docker.io/library/a/b", "docker.io/library/a/b:latest", "library/a/b:latest"),
            ("docker.io/quay.io/app:1", "docker.io/quay.io/app:1", "docker.io/quay.io/app:1"),
            ("docker.io/localhost/app:1", "docker.io/localhost/app:1", "docker.io/localhost/app:1"),
            ("docker.io/docker.io/app:1", "docker.io/docker.io/app:1", "docker.io/docker.io/app:1"),
        ];
        for (text, canonical, familiar) in table {
            let reference = Reference::parse(text).unwrap();
            assert_eq!(reference.canonical(), canonical, "{text}");
            assert_eq!(reference.to_string(), familiar, "{text}");
            assert_eq!(Reference::parse(familiar).unwrap(), reference, "{text}");
        }
        let digest = format!("sha256:{}", "a1".repeat(32));
        let pinned = Reference::parse(&format!("foo@{digest}")).unwrap();
        assert_eq!((pinned.tag(), pinned.digest()), (None, Some(digest.as_str())));
    }

    #[test]
    fn refusals_in_dockers_words() {
        let long = "a".repeat(248);
        let hex = "0123456789abcdef".repeat(4);
        let lower = "invalid reference format: repository name (library/Foo) must be lowercase";
        let format = "invalid reference format";
        let table = [
            ("Foo", lower),
            ("Foo:1", lower),
            ("a/Foo", "invalid reference format: repository name (a/Foo) must be lowercase"),
            ("", format),
            ("foo___bar", format),
            ("foo..bar", format),
            ("foo-/bar", format),
            ("foo:", format),
            (":foo", format),
            ("a//b", format),
            ("foo/bar/", format),
            ("http://x", format),
            (" foo", format),
            ("foo:-x", format),
            ("foo:.x", format),
            ("<none>:<none>", format),
            ("foo@sha256:abc", format),
            ("foo:1\n", format),
            (&long, "repository name must not be more than 255 characters"),
            (&format!("foo:{}", "x".repeat(129)), format),
            (&hex, &format!("invalid repository name ({hex}), cannot specify 64-byte hexadecimal strings")),
            (&format!("foo@md5:{hex}"), "unsupported digest algorithm"),
            (&format!("foo@sha256:{}", "ab".repeat(16)), "invalid checksum digest length"),
            (&format!("foo@sha256:{}", "AB".repeat(32)), "invalid checksum digest format"),
        ];
        for (text, sentence) in table {
            let error = Reference::parse(text).unwrap_err();
            assert_eq!((error.code(), error.message()), (Code::InvalidReference, sentence), "{text:?}");
        }
        assert!(Reference::parse(&"a".repeat(247)).is_ok());
        let target = |text: &str| Reference::parse_target(text).unwrap_err().message().to_owned();
        assert_eq!(target(&format!("a@sha256:{hex}")), "refusing to create a tag with a digest reference");
        assert_eq!(target("sha256:1"), "refusing to create an ambiguous tag using digest algorithm as name");
    }

    #[test]
    fn aliases_follow_the_habit() {
        assert_eq!(aliases("2.1.10"), ["2.1", "2", "latest"]);
        assert_eq!(aliases("5.5.16"), ["5.5", "5", "latest"]);
        assert_eq!(aliases("v1.2"), ["v1", "latest"]);
        assert_eq!(aliases("8.0.36-debian"), ["8.0-debian", "8-debian", "debian"]);
        assert_eq!(aliases("7"), ["latest"]);
        for tag in ["latest", "1.2.3-rc1", "", "1..2", "bookworm", "1-", "1--x", "1-.x"] {
            assert!(aliases(tag).is_empty(), "{tag}");
        }
    }
}
