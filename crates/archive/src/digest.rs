//! Digests: how they are written, and how they are computed.

use oci_spec::image::Digest;
use sha2::{Digest as _, Sha256, Sha512};

/// The hashes that container tools name their blobs by (OCI image specification, `descriptor.md`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Algorithm {
    /// The one that everybody uses.
    #[default]
    Sha256,
    /// The other one that the specification registers.
    Sha512,
}

impl Algorithm {
    /// The algorithm of a digest; `None` where the text is no digest, or one of another algorithm.
    pub fn of(digest: &str) -> Option<Self> {
        let (algorithm, _) = self::digest(digest)?.split_once(':')?;
        [Self::Sha256, Self::Sha512].into_iter().find(|known| known.as_str() == algorithm)
    }

    /// Its name in a digest.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    /// Begins to hash.
    pub fn hasher(self) -> Hasher {
        match self {
            Self::Sha256 => Hasher::Sha256(Sha256::new()),
            Self::Sha512 => Hasher::Sha512(Box::new(Sha512::new())),
        }
    }

    /// The digest of some bytes, as text.
    pub fn digest(self, bytes: &[u8]) -> String {
        let mut hasher = self.hasher();
        hasher.update(bytes);
        hasher.finish()
    }
}

/// A hash that is computed outside: wasm does not reach the processor's own instructions for it.
pub trait Hashing: std::fmt::Debug {
    /// Adds bytes.
    fn update(&mut self, bytes: &[u8]);
    /// The digest as text: `sha256:…`.
    fn finish(self: Box<Self>) -> String;
}

/// A digest that is being computed.
#[derive(Debug)]
pub enum Hasher {
    #[doc(hidden)]
    Sha256(Sha256),
    #[doc(hidden)]
    Sha512(Box<Sha512>),
    /// By someone else.
    Outside(Box<dyn Hashing>),
}

impl Hasher {
    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(state) => state.update(bytes),
            Self::Sha512(state) => state.update(bytes),
            Self::Outside(hashing) => hashing.update(bytes),
        }
    }

    /// The digest as text: `sha256:…`.
    pub fn finish(self) -> String {
        match self {
            Self::Sha256(state) => text(Algorithm::Sha256, &state.finalize()),
            Self::Sha512(state) => text(Algorithm::Sha512, &state.finalize()),
            Self::Outside(hashing) => hashing.finish(),
        }
    }
}

fn text(algorithm: Algorithm, hash: &[u8]) -> String {
    let mut text = format!("{}:", algorithm.as_str());
    for byte in hash {
        for nibble in [byte >> 4, byte & 15] {
            text.extend(char::from_digit(nibble.into(), 16));
        }
    }
    text
}

/// The sha256 digest of some bytes.
pub fn sha256(bytes: &[u8]) -> String {
    Algorithm::Sha256.digest(bytes)
}

/// What names and Docker's output have of a sha256 digest: its hexadecimal digits. Of anything else, all.
pub fn hex(digest: &str) -> &str {
    digest.strip_prefix("sha256:").unwrap_or(digest)
}

/// `text`, if it is a digest that the OCI image specification allows.
pub(crate) fn digest(text: &str) -> Option<&str> {
    text.parse::<Digest>().is_ok().then_some(text)
}

/// Where an OCI image layout keeps the blob with that digest: `blobs/sha256/…`. `None` where the text is no digest.
pub fn blob_path(digest: &str) -> Option<String> {
    let digest: Digest = digest.parse().ok()?;
    Some(format!("blobs/{}/{}", digest.algorithm(), digest.digest()))
}

/// The digest that a member's name claims: `<hex>.json`, `sha256:<hex>`, `blobs/sha256/<hex>`, `<hex>.tar.gz`.
pub(crate) fn in_name(path: &str) -> Option<String> {
    let mut components = path.rsplit('/');
    let name = components.next().unwrap_or(path);
    let algorithm = match components.next() {
        Some("sha512") => "sha512",
        _ => "sha256",
    };
    let name = hex(name);
    let digits = name.split('.').next().unwrap_or(name);
    let digest = format!("{algorithm}:{digits}");
    self::digest(&digest).is_some().then_some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_in_names() {
        let hex = "ab".repeat(32);
        for path in [
            format!("{hex}.json"),
            format!("sha256:{hex}"),
            format!("blobs/sha256/{hex}"),
            format!("{hex}.tar.gz"),
        ] {
            assert_eq!(in_name(&path).unwrap(), format!("sha256:{hex}"), "{path}");
        }
        assert_eq!(in_name(&format!("blobs/sha512/{hex}{hex}")).unwrap(), format!("sha512:{hex}{hex}"));
        assert_eq!(in_name(&format!("blobs/sha512/{hex}")), None);
        assert_eq!(in_name("config.json"), None);
    }

    #[test]
    fn both_algorithms() {
        let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(sha256(b""), empty);
        assert_eq!(Algorithm::of(empty), Some(Algorithm::Sha256));
        assert_eq!(Algorithm::of(&Algorithm::Sha512.digest(b"x")), Some(Algorithm::Sha512));
        assert_eq!(Algorithm::of("sha256:12"), None);
    }
}
