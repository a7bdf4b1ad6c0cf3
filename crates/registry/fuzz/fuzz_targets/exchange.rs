//! Anything as what a registry sends: what is asked of it stays what it was, and what nobody may see stays unseen.
//!
//! The first byte says what is to be done; then come answers, each ended by a NUL: a line with the status, headers, an empty
//! line, a body. An answer without a status is a failure.
#![no_main]

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use libfuzzer_sys::fuzz_target;
use longshore_archive::{Error, sha256};
use longshore_registry::{
    Answer, Body, Credentials, Exchange, Failure, HeaderValue, Host, Outcome, Request, Secret, Session, Settings, Step,
    Take, choose, descriptors,
};

const REPOSITORY: &str = "team/app";
const CONTENT: &[u8] = b"0123456789";
/// More requests than there are answers are due to those that come again, and those for tokens.
const MOST: usize = 200;

fuzz_target!(|bytes: &[u8]| {
    let Some((&first, script)) = bytes.split_first() else { return };
    // No registry can guess it, and so no answer can have it: it follows from the answers.
    let password = sha256(script).replace("sha256:", "");
    let basic = BASE64.encode(format!("me:{password}"));
    let hidden = [password.as_str(), &basic];
    let who = Credentials::Password { user: Secret::new("me"), password: Secret::new(password.clone()) };
    let chunk = (first & 0x80 != 0).then_some(4);
    let session = Session::new(Host::parse("r.io").unwrap(), Settings { chunk, ..Settings::default() }).shared();
    let (digest, size) = (sha256(CONTENT), CONTENT.len() as u64);
    let mut exchange = match first & 0x7f {
        0 => Exchange::ping(&session),
        1 => Exchange::push_blob(&session, REPOSITORY, &digest, size),
        2 => Exchange::push_manifest(&session, REPOSITORY, "1", "application/json", CONTENT),
        3 => Exchange::manifest(&session, REPOSITORY, "1"),
        4 => Exchange::blob(&session, REPOSITORY, &digest, size).unwrap(),
        5 => Exchange::tags(&session, REPOSITORY),
        6 => Exchange::catalog(&session),
        7 => Exchange::referrers(&session, REPOSITORY, &digest),
        8 => Exchange::delete(&session, REPOSITORY, &digest),
        _ => Exchange::manifest(&session, REPOSITORY, &digest),
    };
    let mut answers = script.split(|byte| *byte == 0);
    let mut received = Vec::new();
    for _ in 0..MOST + script.len() {
        let request = match exchange.step(&who) {
            Ok(Step::Send(request)) => request,
            Ok(Step::Wait(_)) => continue,
            Ok(Step::Done(outcome)) => return done(&outcome, &received),
            Err(error) => return told(&error, &hidden),
        };
        seen(&request, &hidden);
        let Some(answer) = answers.next().and_then(|text| answer(text, &request)) else {
            if let Err(error) = exchange.failed(Failure::Network) {
                return told(&error, &hidden);
            }
            continue;
        };
        let taken = if request.take == Take::Content && (200..300).contains(&answer.status) {
            exchange.began(&answer).and_then(|at| {
                received.truncate(usize::try_from(at).unwrap());
                received.extend_from_slice(&answer.body);
                exchange.received(&answer.body)
            })
        } else {
            Ok(())
        };
        if let Err(error) = taken.and_then(|()| exchange.answered(&answer, &who)) {
            return told(&error, &hidden);
        }
    }
    panic!("it never ends");
});

fn answer(text: &[u8], request: &Request) -> Option<Answer> {
    let mut lines = text.splitn(2, |byte| *byte == b'\n');
    let status = std::str::from_utf8(lines.next()?).ok()?.trim().parse().ok()?;
    let mut answer = Answer::new(status, request.url.as_str());
    let mut rest = lines.next().unwrap_or_default();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len()));
        rest = tail.get(1..).unwrap_or_default();
        if line.is_empty() {
            break;
        }
        let line = String::from_utf8_lossy(line);
        // A host that is not ASCII is refused; on the way there, this version of idna_adapter has an assertion that does not hold,
        // in debug builds alone.
        if let Some((name, value)) = line.split_once(':').filter(|(_, value)| value.is_ascii()) {
            answer = answer.with(name.trim(), value.trim());
        }
    }
    Some(answer.with_body(rest))
}

/// What is sent goes where it may.
fn seen(request: &Request, hidden: &[&str; 2]) {
    let is_here = request.url.as_str().starts_with("https://r.io/");
    assert!(matches!(request.url.scheme(), "http" | "https"));
    let shown = request.headers.iter().find_map(|(name, value)| (*name == "authorization").then_some(value));
    if shown.is_some() || matches!(request.body, Body::Form(_)) {
        assert_eq!(request.url.scheme(), "https", "never where everybody reads");
    }
    if let Some(value) = shown {
        assert!(matches!(value, HeaderValue::Secret(_)));
        assert!(is_here || value.expose() == format!("Basic {}", hidden[1]), "the registry's tokens are its own");
    }
    assert!(!hidden.iter().any(|text| request.url.as_str().contains(text)));
    if let Body::Blob(range) = &request.body {
        assert!(range.start <= range.end && range.end <= CONTENT.len() as u64);
    }
}

fn done(outcome: &Outcome, received: &[u8]) {
    match outcome {
        Outcome::Content => assert_eq!(received, CONTENT),
        Outcome::Manifest(manifest) => {
            assert_eq!(manifest.digest, sha256(&manifest.bytes));
            let _ = descriptors(manifest);
            let _ = choose(manifest, None);
        }
        _ => {}
    }
}

/// What went wrong can be shown to everybody.
fn told(error: &Error, hidden: &[&str; 2]) {
    let text = format!("{error:?} {error}");
    assert!(!hidden.iter().any(|hidden| text.contains(hidden)), "{text}");
}
