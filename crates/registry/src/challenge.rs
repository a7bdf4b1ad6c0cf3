//! What a registry wants to see before it answers: `WWW-Authenticate` (RFC 9110; distribution's `spec/auth/token.md`).

/// How a registry wants to know who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Challenge {
    Basic,
    /// With a token of the service at `realm`.
    Bearer {
        realm: String,
        service: Option<String>,
        scope: Option<String>,
    },
}

/// The best challenge of these headers that there is an answer to: a token's over a password's.
pub(crate) fn best<'a>(headers: impl Iterator<Item = &'a str>) -> Option<Challenge> {
    let mut basic = None;
    for header in headers {
        for challenge in http_auth::parse_challenges(header).unwrap_or_default() {
            let value = |name: &str| {
                let found = challenge.params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
                found.map(|(_, value)| value.to_unescaped()).filter(|value| !value.is_empty())
            };
            if challenge.scheme.eq_ignore_ascii_case("basic") {
                basic = Some(Challenge::Basic);
            } else if challenge.scheme.eq_ignore_ascii_case("bearer")
                && let Some(realm) = value("realm")
            {
                return Some(Challenge::Bearer { realm, service: value("service"), scope: value("scope") });
            }
        }
    }
    basic
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(header: &str) -> Option<Challenge> {
        best([header].into_iter())
    }

    #[test]
    fn challenges() {
        let hub = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/nginx:pull,push""#;
        let bearer = Challenge::Bearer {
            realm: "https://auth.docker.io/token".into(),
            service: Some("registry.docker.io".into()),
            scope: Some("repository:library/nginx:pull,push".into()),
        };
        assert_eq!(of(hub), Some(bearer.clone()));
        assert_eq!(of(&format!(r#"Basic realm="x", {hub}"#)), Some(bearer.clone()));
        assert_eq!(best([r#"basic realm="x""#, hub].into_iter()), Some(bearer));
        assert_eq!(of(r#"Basic realm="Registry""#), Some(Challenge::Basic));
        assert_eq!(
            of(r#"BEARER Realm="a""#),
            Some(Challenge::Bearer { realm: "a".into(), service: None, scope: None })
        );
        for none in
            ["", "Negotiate", r#"Bearer service="a""#, r#"Digest realm="a""#, "Bearer realm=\"", "=,;"]
        {
            assert_eq!(of(none), None, "{none}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(text in ".{0,120}", realm in "[ -~]{0,20}") {
            of(&text);
            of(&format!("Bearer realm=\"{realm}\",{text}"));
        }
    }
}
