//! Where a registry is.

use std::net::IpAddr;

use longshore_archive::{Code, Error, Result};
use url::{Host as UrlHost, Origin, Url};

/// Docker Hub's name in references, and where its registry is.
const HUB: &str = "docker.io";
const HUB_HOST: &str = "registry-1.docker.io";

/// A registry's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    name: String,
    base: Url,
}

impl Host {
    /// Reads what stands before the first slash of a reference: `docker.io`, `registry.local:5000`. It means `https`, but on
    /// this machine (`localhost`, 127.0.0.0/8, `::1`) `http`, as Docker has it; with `http://` or `https://` before it, that.
    ///
    /// Fails with `invalid-argument`.
    pub fn parse(text: &str) -> Result<Self> {
        let (scheme, name) = match text.split_once("://") {
            Some((scheme @ ("http" | "https"), name)) => (Some(scheme), name),
            Some(_) => return Err(invalid(text)),
            None => (None, text),
        };
        let name = name.strip_suffix('/').unwrap_or(name);
        let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]_".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_host) {
            return Err(invalid(text));
        }
        let host = if matches!(name, HUB | "index.docker.io") { HUB_HOST } else { name };
        let base = |scheme: &str| Url::parse(&format!("{scheme}://{host}/v2/")).map_err(|_| invalid(text));
        let secure = base("https")?;
        let scheme = scheme.unwrap_or(if is_local(&secure) { "http" } else { "https" });
        Ok(Self { name: name.to_owned(), base: base(scheme)? })
    }

    /// As it stands in references.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where its API begins: `https://registry.local:5000/v2/`.
    pub fn base(&self) -> &Url {
        &self.base
    }

    /// The only origin that credentials and tokens go to, the token service's apart.
    pub(crate) fn origin(&self) -> Origin {
        self.base.origin()
    }

    /// A URL of the API. What is between the slashes has been checked, or it is escaped.
    pub(crate) fn url(&self, segments: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty();
            // A repository's own slashes are slashes of the path.
            path.extend(
                segments.iter().flat_map(|segment| segment.split('/')).filter(|part| !part.is_empty()),
            );
        }
        url
    }
}

fn is_local(url: &Url) -> bool {
    match url.host() {
        Some(UrlHost::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(UrlHost::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
        Some(UrlHost::Ipv6(address)) => IpAddr::V6(address).is_loopback(),
        None => false,
    }
}

fn invalid(text: &str) -> Error {
    // Who writes credentials there shall not find them in an error.
    let text = text.rsplit_once('@').map_or(text, |(_, host)| host);
    Error::new(Code::InvalidArgument, format!("{text} is no registry.")).with("registry", text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_addresses() {
        let table = [
            ("docker.io", "https://registry-1.docker.io/v2/"),
            ("registry.local:5000", "https://registry.local:5000/v2/"),
            ("localhost:5000", "http://localhost:5000/v2/"),
            ("127.0.0.1:5000", "http://127.0.0.1:5000/v2/"),
            ("[::1]:5000", "http://[::1]:5000/v2/"),
            ("https://localhost:5000", "https://localhost:5000/v2/"),
            ("http://registry.local/", "http://registry.local/v2/"),
        ];
        for (text, base) in table {
            assert_eq!(Host::parse(text).unwrap().base().as_str(), base, "{text}");
        }
        for text in ["", "a/b", "user@host", "a?b", "a#b", "a\\b", "ftp://a", "a b", "http://user:pass@host"]
        {
            let error = Host::parse(text).unwrap_err();
            assert_eq!(error.code(), Code::InvalidArgument, "{text}");
            assert!(!format!("{error:?}").contains("user"), "{error:?}");
        }
        let host = Host::parse("a.b").unwrap();
        assert_eq!(host.url(&["team/app", "tags", "list"]).as_str(), "https://a.b/v2/team/app/tags/list");
        // Whatever comes, it stays below /v2/ and in the path.
        for odd in ["../../x", "a?b#c", "..%2f"] {
            let url = host.url(&[odd, "y"]);
            assert!(url.path().starts_with("/v2/") && url.query().is_none(), "{url}");
        }
    }
}
