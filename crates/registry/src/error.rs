//! What a registry says went wrong (OCI distribution specification, "Error codes").

use longshore_archive::{Code, Error, Fact};
use serde::Deserialize;
use url::Url;

use crate::http::{Answer, Failure};

/// The most of a registry's own words that is shown.
const MAX_WORDS: usize = 300;

/// The first error of an answer's body.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Told {
    pub(crate) code: String,
    pub(crate) message: String,
}

/// Reads the body of an error: `{"errors":[{"code","message","detail"}]}`; the words alone where it is something else.
pub(crate) fn told(answer: &Answer) -> Told {
    #[derive(Deserialize)]
    struct Errors {
        errors: Vec<One>,
    }
    #[derive(Deserialize)]
    struct One {
        #[serde(default)]
        code: serde_json::Value,
        #[serde(default)]
        message: serde_json::Value,
    }
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let parsed: Option<Errors> = serde_json::from_slice(&answer.body).ok();
    if let Some(one) = parsed.and_then(|body| body.errors.into_iter().next()) {
        return Told { code: words(&text(&one.code)), message: words(&text(&one.message)) };
    }
    // A page for people says nothing in one line.
    let body = String::from_utf8_lossy(&answer.body);
    let is_plain = !body.trim_start().starts_with(['<', '{', '[']);
    Told { code: String::new(), message: if is_plain { words(&body) } else { String::new() } }
}

/// Somebody else's words: in one line, and not too many.
fn words(text: &str) -> String {
    let line: String =
        text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_WORDS).collect();
    line.trim().to_owned()
}

/// The failure that an answer means. `what` is what was asked for: `the manifest of team/app:1`.
pub(crate) fn refused(answer: &Answer, what: &str) -> Error {
    failure(answer, meaning(answer), what)
}

/// The code of the failure that an answer means.
pub(crate) fn meaning(answer: &Answer) -> Code {
    match (told(answer).code.as_str(), answer.status) {
        ("DIGEST_INVALID", _) => Code::DigestMismatch,
        ("UNAUTHORIZED", _) | (_, 401) => Code::Unauthorized,
        ("DENIED", _) | (_, 403) => Code::Denied,
        ("NAME_UNKNOWN" | "MANIFEST_UNKNOWN" | "BLOB_UNKNOWN" | "MANIFEST_BLOB_UNKNOWN", _) | (_, 404) => {
            Code::NotFound
        }
        (_, 429 | 500..) => Code::RegistryFailed,
        _ => Code::RegistryRefused,
    }
}

/// The failure of that code, with what the registry says.
pub(crate) fn failure(answer: &Answer, kind: Code, what: &str) -> Error {
    let Told { code, message } = told(answer);
    let says = match (message.as_str(), code.as_str()) {
        ("", "") => String::new(),
        ("", words) | (words, _) => format!(": {words}"),
    };
    let sentence = match kind {
        Code::Unauthorized => format!("The registry wants other credentials for {what}{says}."),
        Code::Denied => format!("The registry does not allow {what}{says}."),
        Code::NotFound => format!("The registry does not have {what}{says}."),
        Code::DigestMismatch => format!("The registry got other bytes than those of {what}{says}."),
        Code::RegistryFailed => format!("The registry fails with {what} (status {}){says}.", answer.status),
        _ => format!("The registry refuses {what} (status {}){says}.", answer.status),
    };
    let error = Error::new(kind, sentence).with("status", u64::from(answer.status));
    if code.is_empty() { error } else { error.with("registryCode", code) }
}

/// The failure where there is no answer.
pub(crate) fn unreachable(url: &Url, failure: Failure) -> Error {
    let host = url.origin().ascii_serialization();
    let sentence = match failure {
        Failure::Network => format!("{host} cannot be reached, or the connection is cut again and again."),
        Failure::Timeout => format!("{host} does not answer."),
        Failure::Certificate => format!("{host} has a certificate that is not trusted."),
        Failure::Cors => {
            format!("{host} answers, but does not let pages of other origins talk to it (CORS).")
        }
    };
    Error::new(Code::Unreachable, sentence).with("reason", failure.as_str()).with("origin", host)
}

/// The failure where an answer makes no sense.
pub(crate) fn invalid(sentence: impl Into<String>) -> Error {
    Error::new(Code::InvalidAnswer, sentence)
}

/// The failure where bytes are others than their digest says.
pub(crate) fn mismatch(what: &str, expected: &str, actual: &str) -> Error {
    Error::new(Code::DigestMismatch, format!("{what} is not what its digest says."))
        .with("expected", expected)
        .with("actual", actual)
}

/// The error with `secrets` taken out: a registry may repeat what it was sent.
pub(crate) fn without<'a>(error: &Error, secrets: impl Iterator<Item = &'a str>) -> Error {
    let secrets: Vec<&str> = secrets.filter(|secret| secret.len() >= 4).collect();
    let clean = |text: &str| secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "•••"));
    let bare = Error::new(error.code(), clean(error.message()));
    error.detail().iter().fold(bare, |bare, (name, fact)| match fact {
        Fact::Text(text) => bare.with(name, clean(text)),
        Fact::Number(_) => bare.with(name, fact.clone()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bodies_become_codes_and_sentences() {
        let table: [(u16, &str, Code); 9] = [
            (
                404,
                r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":{"Tag":"x"}}]}"#,
                Code::NotFound,
            ),
            (404, "<html>404</html>", Code::NotFound),
            (403, r#"{"errors":[{"code":"DENIED","message":"no"}]}"#, Code::Denied),
            (401, "", Code::Unauthorized),
            (400, r#"{"errors":[{"code":"DIGEST_INVALID","message":"x"}]}"#, Code::DigestMismatch),
            (400, r#"{"errors":[{"code":"TAG_INVALID"}]}"#, Code::RegistryRefused),
            (500, "oops", Code::RegistryFailed),
            (429, r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}"#, Code::RegistryFailed),
            (405, r#"{"errors":[]}"#, Code::RegistryRefused),
        ];
        for (status, body, code) in table {
            let error = refused(&Answer::new(status, "https://a/").with_body(body.as_bytes()), "it");
            assert_eq!(error.code(), code, "{body}");
            assert!(!error.message().contains('<'), "{error}");
        }
    }

    proptest! {
        #[test]
        fn any_body_is_a_sentence_in_one_line(status in 400u16..600, body in proptest::collection::vec(any::<u8>(), 0..400)) {
            let error = refused(&Answer::new(status, "https://a/").with_body(&body), "it");
            prop_assert!(!error.message().chars().any(char::is_control));
            prop_assert!(error.message().chars().count() < 2 * MAX_WORDS);
        }
    }
}
