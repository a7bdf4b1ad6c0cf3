//! The protocol by tables, after the areas of the specification's conformance tests: pull, push, content discovery,
//! content management. What an exchange asks for is answered by a script.

#![allow(clippy::unwrap_used, clippy::panic)] // in what the tests share

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use longshore_archive::{Code, Error, Result, sha256};
use longshore_registry::{
    Answer, BlobOutcome, Body, Credentials, Exchange, Failure, Host, Outcome, Secret, Session, Settings,
    Step, Take,
};

const BASE: &str = "https://r.io/v2/";

fn session(settings: Settings) -> Rc<RefCell<Session>> {
    Session::new(Host::parse("r.io").unwrap(), settings).shared()
}

fn password() -> Credentials {
    Credentials::Password { user: Secret::new("me"), password: Secret::new("hunter2hunter2") }
}

/// What the other side does.
enum Reply {
    With(Answer),
    /// Content, and how it ends.
    Content(Answer, Vec<u8>, Option<Failure>),
    Not(Failure),
}

fn reply(status: u16) -> Answer {
    Answer::new(status, "")
}

/// Drives an exchange through a script. Each line is what is asked for, and the answer; what was really asked for comes back.
fn drive(exchange: &mut Exchange, who: &Credentials, replies: Vec<Reply>) -> (Vec<String>, Result<Outcome>) {
    let mut replies = VecDeque::from(replies);
    let mut asked = Vec::new();
    let outcome = loop {
        let step = match exchange.step(who) {
            Ok(step) => step,
            Err(error) => break Err(error),
        };
        let request = match step {
            Step::Done(outcome) => break Ok(outcome),
            Step::Wait(pause) => {
                asked.push(format!("wait {pause}"));
                continue;
            }
            Step::Send(request) => request,
        };
        let header = |name: &str| {
            let found = request.headers.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| format!(" {name}={}", value.expose())).unwrap_or_default()
        };
        let body = match &request.body {
            Body::Blob(range) => format!(" [{range:?}]"),
            Body::Bytes(bytes) => format!(" {}", String::from_utf8_lossy(bytes)),
            Body::Form(form) => format!(" {}", form.expose()),
            Body::None => String::new(),
        };
        let url = request.url.as_str().strip_prefix(BASE).unwrap_or(request.url.as_str());
        let method = request.method.as_str();
        asked.push(format!(
            "{method} {url}{}{}{}{body}",
            header("authorization"),
            header("content-range"),
            header("range")
        ));
        let here = |answer: Answer| {
            if answer.url.is_empty() { Answer { url: request.url.to_string(), ..answer } } else { answer }
        };
        let done = match replies.pop_front() {
            Some(Reply::With(answer)) => exchange.answered(&here(answer), who),
            Some(Reply::Content(head, bytes, end)) => {
                assert_eq!(request.take, Take::Content);
                let head = here(head);
                exchange.began(&head).and_then(|_| exchange.received(&bytes)).and_then(|()| match end {
                    Some(failure) => exchange.failed(failure),
                    None => exchange.answered(&head, who),
                })
            }
            Some(Reply::Not(failure)) => exchange.failed(failure),
            None => panic!("nobody expected {}", asked.last().unwrap()),
        };
        if let Err(error) = done {
            break Err(error);
        }
    };
    assert!(replies.is_empty(), "not asked for all: {asked:?} {outcome:?}");
    (asked, outcome)
}

fn code(result: Result<Outcome>) -> Code {
    result.unwrap_err().code()
}

fn with(answers: Vec<Answer>) -> Vec<Reply> {
    answers.into_iter().map(Reply::With).collect()
}

fn digest() -> String {
    sha256(b"0123456789")
}

// Push.

#[test]
fn a_blob_that_is_there_is_not_sent() {
    let session = session(Settings::default());
    let mut push = Exchange::push_blob(&session, "a/b", &digest(), 10);
    let (asked, outcome) = drive(&mut push, &Credentials::Anonymous, with(vec![reply(200)]));
    assert_eq!(asked, [format!("HEAD a/b/blobs/{}", digest())]);
    assert_eq!(outcome.unwrap(), Outcome::Blob(BlobOutcome::Exists));
    // So another repository can have it from there.
    let mut mount = Exchange::push_blob(&session, "c", &digest(), 10);
    let (asked, outcome) = drive(&mut mount, &Credentials::Anonymous, with(vec![reply(404), reply(201)]));
    let query = format!("mount={}&from=a%2Fb", digest().replace(':', "%3A"));
    assert_eq!(asked[1], format!("POST c/blobs/uploads/?{query}"));
    assert_eq!(outcome.unwrap(), Outcome::Blob(BlobOutcome::Mounted("a/b".into())));
}

#[test]
fn a_mount_that_is_refused_becomes_an_upload() {
    let refusals =
        [vec![reply(202).with("Location", "/up/1")], vec![reply(405), reply(202).with("Location", "/up/1")]];
    for refusal in refusals {
        let session = session(Settings::default());
        let mut push = Exchange::push_blob(&session, "a", &digest(), 10);
        drive(&mut push, &Credentials::Anonymous, with(vec![reply(200)])).1.unwrap();
        let mut push = Exchange::push_blob(&session, "c", &digest(), 10);
        let answers = [vec![reply(404)], refusal, vec![reply(201)]].concat();
        let (asked, outcome) = drive(&mut push, &Credentials::Anonymous, with(answers));
        assert_eq!(outcome.unwrap(), Outcome::Blob(BlobOutcome::Pushed));
        let query = digest().replace(':', "%3A");
        assert_eq!(*asked.last().unwrap(), format!("PUT https://r.io/up/1?digest={query} [0..10]"));
    }
}

#[test]
fn in_pieces_where_they_are_asked_for() {
    let session = session(Settings { chunk: Some(1 << 20), ..Settings::default() });
    let size = 5 << 19; // two and a half
    let mut push = Exchange::push_blob(&session, "a", &digest(), size);
    let answers = vec![
        reply(404),
        reply(202).with("Location", "/up/1?state=0"),
        reply(202).with("Location", "/up/1?state=1").with("Range", "0-1048575"),
        reply(202).with("Location", "/up/1?state=2").with("Range", "0-2097151"),
        reply(201),
    ];
    let (asked, outcome) = drive(&mut push, &Credentials::Anonymous, with(answers));
    assert_eq!(outcome.unwrap(), Outcome::Blob(BlobOutcome::Pushed));
    let up = "https://r.io/up/1?state=";
    let query = digest().replace(':', "%3A");
    let pieces = [
        format!("PATCH {up}0 content-range=0-1048575 [0..1048576]"),
        format!("PATCH {up}1 content-range=1048576-2097151 [1048576..2097152]"),
        format!("PUT {up}2&digest={query} content-range=2097152-2621439 [2097152..2621440]"),
    ];
    assert_eq!(asked[2..], pieces);
}

#[test]
fn a_registry_may_want_larger_or_smaller_pieces() {
    let open = session(Settings { chunk: Some(1 << 20), ..Settings::default() });
    let mut push = Exchange::push_blob(&open, "a", &digest(), 4 << 20);
    let begun = reply(202).with("Location", "/up").with("OCI-Chunk-Min-Length", "8388608");
    let (asked, _) = drive(&mut push, &Credentials::Anonymous, with(vec![reply(404), begun, reply(201)]));
    assert!(asked[2].starts_with("PUT") && asked[2].ends_with("[0..4194304]"), "{asked:?}");

    let mut push = Exchange::push_blob(&session(Settings::default()), "a", &digest(), 4 << 20);
    let up = |number: u8| reply(202).with("Location", &format!("/up/{number}"));
    let answers = vec![reply(404), up(1), reply(413), up(2), up(3).with("Range", "0-2097151"), reply(201)];
    let (asked, outcome) = drive(&mut push, &Credentials::Anonymous, with(answers));
    assert!(outcome.is_ok());
    assert!(asked[4].ends_with("content-range=0-2097151 [0..2097152]"), "{asked:?}");
    assert!(asked[5].starts_with("PUT https://r.io/up/3?"), "{asked:?}");
}

#[test]
fn an_upload_that_is_cut_off_goes_on_where_it_was() {
    let mut push = Exchange::push_blob(&session(Settings::default()), "a", &digest(), 100);
    let replies = vec![
        Reply::With(reply(404)),
        Reply::With(reply(202).with("Location", "/up/1")),
        Reply::Not(Failure::Network),
        Reply::With(reply(204).with("Location", "/up/2").with("Range", "0-59")),
        Reply::With(reply(201)),
    ];
    let (asked, outcome) = drive(&mut push, &Credentials::Anonymous, replies);
    assert!(outcome.is_ok());
    let query = digest().replace(':', "%3A");
    assert_eq!(
        asked[2..],
        [
            format!("PUT https://r.io/up/1?digest={query} [0..100]"),
            "wait 500".to_owned(),
            "GET https://r.io/up/1".to_owned(),
            format!("PUT https://r.io/up/2?digest={query} content-range=60-99 [60..100]"),
        ]
    );
}

#[test]
fn an_upload_that_the_registry_has_lost_begins_anew() {
    let lost = reply(404).with_body(br#"{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}"#);
    let mut push = Exchange::push_blob(&session(Settings::default()), "a", &digest(), 100);
    let replies = vec![
        Reply::With(reply(404)),
        Reply::With(reply(202).with("Location", "/up/1")),
        Reply::Not(Failure::Network),
        Reply::With(lost),
        Reply::With(reply(202).with("Location", "/up/2")),
        Reply::With(reply(201)),
    ];
    let (asked, outcome) = drive(&mut push, &Credentials::Anonymous, replies);
    assert!(outcome.is_ok());
    assert!(
        asked.last().unwrap().contains("/up/2") && asked.last().unwrap().ends_with("[0..100]"),
        "{asked:?}"
    );
}

#[test]
fn an_upload_that_never_gets_further_ends() {
    // What the registry says it has never grows; or it has nothing, each time.
    for range in ["0-9", "0-0"] {
        let mut push = Exchange::push_blob(&session(Settings::default()), "a", &digest(), 100);
        let mut outcome = None;
        for _ in 0..100 {
            match push.step(&Credentials::Anonymous) {
                Ok(Step::Send(request)) => {
                    let here = request.url.to_string();
                    let told = match (request.method.as_str(), &request.body) {
                        ("PUT", _) => push.failed(Failure::Network),
                        ("HEAD", _) => push.answered(&Answer::new(404, here), &Credentials::Anonymous),
                        ("POST", _) => push.answered(
                            &Answer::new(202, here).with("location", "/up"),
                            &Credentials::Anonymous,
                        ),
                        _ => push
                            .answered(&Answer::new(204, here).with("range", range), &Credentials::Anonymous),
                    };
                    if let Err(error) = told {
                        outcome = Some(error);
                        break;
                    }
                }
                Ok(_) => {}
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(outcome.expect("it has to end").code(), Code::Unreachable, "{range}");
    }
}

#[test]
fn what_the_registry_stored_is_compared() {
    let wrong = sha256(b"other");
    let mut push = Exchange::push_blob(&session(Settings::default()), "a", &digest(), 10);
    let answers = vec![
        reply(404),
        reply(202).with("Location", "/up"),
        reply(201).with("Docker-Content-Digest", &wrong),
    ];
    assert_eq!(code(drive(&mut push, &Credentials::Anonymous, with(answers)).1), Code::DigestMismatch);

    let refusal = reply(400).with_body(br#"{"errors":[{"code":"DIGEST_INVALID","message":"no"}]}"#);
    let mut push = Exchange::push_blob(&session(Settings::default()), "a", &digest(), 10);
    let answers = vec![reply(404), reply(202).with("Location", "/up"), refusal];
    assert_eq!(code(drive(&mut push, &Credentials::Anonymous, with(answers)).1), Code::DigestMismatch);

    let manifest = br#"{"schemaVersion":2}"#;
    let mut put = Exchange::push_manifest(&session(Settings::default()), "a", "1", "t", manifest);
    let stored = reply(201).with("Docker-Content-Digest", &sha256(manifest));
    let (asked, outcome) = drive(&mut put, &Credentials::Anonymous, with(vec![stored]));
    assert_eq!(asked, [r#"PUT a/manifests/1 {"schemaVersion":2}"#]);
    assert_eq!(outcome.unwrap(), Outcome::Stored(sha256(manifest)));
    let mut put = Exchange::push_manifest(&session(Settings::default()), "a", "1", "t", manifest);
    let stored = reply(201).with("Docker-Content-Digest", &wrong);
    assert_eq!(code(drive(&mut put, &Credentials::Anonymous, with(vec![stored])).1), Code::DigestMismatch);
}

#[test]
fn no_location_is_told_with_its_likely_reason() {
    let mut push = Exchange::push_blob(&session(Settings::default()), "a", &digest(), 10);
    let error = drive(&mut push, &Credentials::Anonymous, with(vec![reply(404), reply(202)])).1.unwrap_err();
    assert_eq!(error.code(), Code::InvalidAnswer);
    assert!(error.message().contains("Access-Control-Expose-Headers"), "{error}");
    // From https to http: no.
    let mut push = Exchange::push_blob(&session(Settings::default()), "a", &digest(), 10);
    let answers = vec![reply(404), reply(202).with("Location", "http://r.io/up")];
    assert_eq!(code(drive(&mut push, &Credentials::Anonymous, with(answers)).1), Code::InvalidAnswer);
}

// Pull.

fn image() -> Vec<u8> {
    let zero = format!("sha256:{:064}", 0);
    let blob = format!(r#"{{"mediaType":"x","digest":"{zero}","size":1}}"#);
    format!(r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{blob},"layers":[{blob}]}}"#)
        .into_bytes()
}

#[test]
fn manifests_are_what_their_digests_say() {
    let (bytes, right, wrong) = (image(), sha256(&image()), sha256(b"other"));
    let table = [
        ("1", None, Ok(())),
        ("1", Some(&right), Ok(())),
        ("1", Some(&wrong), Err(Code::DigestMismatch)),
        (right.as_str(), None, Ok(())),
        // The header says one thing, what was asked for another: that counts.
        (right.as_str(), Some(&wrong), Ok(())),
        (wrong.as_str(), Some(&wrong), Err(Code::DigestMismatch)),
    ];
    for (reference, header, expected) in table {
        let mut get = Exchange::manifest(&session(Settings::default()), "a", reference);
        let answer = reply(200).with_body(&bytes);
        let answer = header.iter().fold(answer, |answer, value| answer.with("docker-content-digest", value));
        let outcome = drive(&mut get, &Credentials::Anonymous, with(vec![answer])).1;
        match (expected, outcome) {
            (Ok(()), Ok(Outcome::Manifest(manifest))) => {
                assert_eq!((manifest.digest, manifest.bytes), (right.clone(), bytes.clone()));
            }
            (Err(expected), Err(error)) => assert_eq!(error.code(), expected),
            (_, outcome) => panic!("{reference} {header:?}: {outcome:?}"),
        }
    }
}

#[test]
fn documents_that_are_no_manifests_are_refused() {
    let bodies: [&[u8]; 6] = [
        b"<html>",
        b"{}",
        br#"{"manifests":[],"layers":[]}"#,
        br#"{"schemaVersion":1,"layers":[]}"#,
        br#"{"mediaType":"application/vnd.oci.image.index.v1+json","layers":[]}"#,
        b"",
    ];
    for body in bodies {
        let mut get = Exchange::manifest(&session(Settings::default()), "a", "1");
        let outcome = drive(&mut get, &Credentials::Anonymous, with(vec![reply(200).with_body(body)])).1;
        assert_eq!(code(outcome), Code::InvalidAnswer, "{}", String::from_utf8_lossy(body));
    }
}

fn download() -> Exchange {
    Exchange::blob(&session(Settings::default()), "a", &digest(), 10).unwrap()
}

#[test]
fn a_download_that_is_cut_off_goes_on_where_it_was() {
    let replies = vec![
        Reply::Content(reply(200), b"0123".to_vec(), Some(Failure::Network)),
        Reply::Content(
            reply(206).with("Content-Range", "bytes 4-9/10"),
            b"456".to_vec(),
            Some(Failure::Network),
        ),
        // Who knows no ranges begins anew.
        Reply::Content(reply(200), b"0123456789".to_vec(), None),
    ];
    let (asked, outcome) = drive(&mut download(), &Credentials::Anonymous, replies);
    assert_eq!(outcome.unwrap(), Outcome::Content);
    let get = format!("GET a/blobs/{}", digest());
    let ranges = ["", " range=bytes=4-", " range=bytes=7-"].map(|range| format!("{get}{range}"));
    assert_eq!(asked.into_iter().filter(|line| line.starts_with("GET")).collect::<Vec<_>>(), ranges);
}

#[test]
fn blobs_are_what_their_digests_say() {
    let wrong = || Reply::Content(reply(200), b"9876543210".to_vec(), None);
    let right = || Reply::Content(reply(200), b"0123456789".to_vec(), None);
    assert_eq!(
        code(drive(&mut download(), &Credentials::Anonymous, vec![wrong(), wrong()]).1),
        Code::DigestMismatch
    );
    assert!(drive(&mut download(), &Credentials::Anonymous, vec![wrong(), right()]).1.is_ok());
    // Never more than was promised.
    let more = Reply::Content(reply(200), b"0123456789x".to_vec(), None);
    assert_eq!(code(drive(&mut download(), &Credentials::Anonymous, vec![more]).1), Code::InvalidAnswer);
    // Less, again and again.
    let less = || Reply::Content(reply(200), b"012345678".to_vec(), None);
    let part = || Reply::Content(reply(206), Vec::new(), None);
    let replies = vec![less(), part(), part(), part(), part(), part()];
    assert_eq!(code(drive(&mut download(), &Credentials::Anonymous, replies).1), Code::InvalidAnswer);
    // Another part than was asked for.
    let cut = Reply::Content(reply(200), b"0123".to_vec(), Some(Failure::Network));
    let odd = Reply::Content(reply(206).with("content-range", "bytes 5-9/10"), b"56789".to_vec(), None);
    assert_eq!(code(drive(&mut download(), &Credentials::Anonymous, vec![cut, odd]).1), Code::InvalidAnswer);
}

// Content discovery.

#[test]
fn lists_are_read_to_their_end() {
    let mut tags = Exchange::tags(&session(Settings::default()), "a/b");
    let answers = vec![
        reply(200)
            .with("Link", r#"</v2/a/b/tags/list?last=2&n=2>; rel="next""#)
            .with_body(br#"{"tags":["1","2"]}"#),
        reply(200).with_body(br#"{"name":"a/b","tags":["3"]}"#),
    ];
    let (asked, outcome) = drive(&mut tags, &Credentials::Anonymous, with(answers));
    assert_eq!(asked, ["GET a/b/tags/list?n=1000", "GET a/b/tags/list?last=2&n=2"]);
    assert_eq!(outcome.unwrap(), Outcome::List(vec!["1".into(), "2".into(), "3".into()]));
    for (body, expected) in [("{\"tags\":null}", Ok(0)), ("{}", Ok(0)), ("[1]", Err(Code::InvalidAnswer))] {
        let mut tags = Exchange::tags(&session(Settings::default()), "a");
        let outcome =
            drive(&mut tags, &Credentials::Anonymous, with(vec![reply(200).with_body(body.as_bytes())])).1;
        let outcome = outcome.map(|outcome| match outcome {
            Outcome::List(list) => list.len(),
            other => panic!("{other:?}"),
        });
        assert_eq!(outcome.map_err(|error| error.code()), expected, "{body}");
    }
}

#[test]
fn lists_that_go_round_or_elsewhere_end() {
    for link in
        ["</v2/_catalog?n=1000>; rel=next", "<https://evil.com/>; rel=next", "<http://r.io/v2/x>; rel=next"]
    {
        let page = || reply(200).with("Link", link).with_body(br#"{"repositories":["a"]}"#);
        let mut catalog = Exchange::catalog(&session(Settings::default()));
        let mut ended = false;
        for _ in 0..5 {
            let Step::Send(request) = catalog.step(&Credentials::Anonymous).unwrap() else { panic!() };
            assert_eq!(request.url.host_str(), Some("r.io"));
            let answer = Answer { url: request.url.to_string(), ..page() };
            if let Err(error) = catalog.answered(&answer, &Credentials::Anonymous) {
                assert_eq!(error.code(), Code::InvalidAnswer);
                ended = true;
                break;
            }
        }
        assert!(ended, "{link}");
    }
}

#[test]
fn referrers_by_the_api_or_by_the_tag() {
    let index = br#"{"schemaVersion":2,"manifests":[{"mediaType":"m","digest":"d","size":1}]}"#;
    let found = Outcome::Referrers(vec![r#"{"mediaType":"m","digest":"d","size":1}"#.into()]);
    let mut referrers = Exchange::referrers(&session(Settings::default()), "a", "sha256:1");
    let (_, outcome) =
        drive(&mut referrers, &Credentials::Anonymous, with(vec![reply(200).with_body(index)]));
    assert_eq!(outcome.unwrap(), found);
    let mut referrers = Exchange::referrers(&session(Settings::default()), "a", "sha256:1");
    let answers = vec![reply(404), reply(200).with_body(index)];
    let (asked, outcome) = drive(&mut referrers, &Credentials::Anonymous, with(answers));
    assert_eq!(asked, ["GET a/referrers/sha256:1", "GET a/manifests/sha256-1"]);
    assert_eq!(outcome.unwrap(), found);
    let mut referrers = Exchange::referrers(&session(Settings::default()), "a", "sha256:1");
    let (_, outcome) = drive(&mut referrers, &Credentials::Anonymous, with(vec![reply(404), reply(404)]));
    assert_eq!(outcome.unwrap(), Outcome::Referrers(vec![]));
}

// Content management, and what is the same for all.

#[test]
fn deleting() {
    let mut delete = Exchange::delete(&session(Settings::default()), "a", "1");
    let (asked, outcome) = drive(&mut delete, &Credentials::Anonymous, with(vec![reply(202)]));
    assert_eq!((asked, outcome.unwrap()), (vec!["DELETE a/manifests/1".to_owned()], Outcome::Deleted));
    let mut delete = Exchange::delete(&session(Settings::default()), "a", "1");
    let (_, outcome) = drive(&mut delete, &Credentials::Anonymous, with(vec![reply(405)]));
    assert_eq!(code(outcome), Code::RegistryRefused);
}

#[test]
fn storms_pass_or_are_given_up() {
    let get = || Exchange::manifest(&session(Settings::default()), "a", "1");
    let fine = || reply(200).with_body(&image());
    let answers = vec![reply(429).with("Retry-After", "7"), reply(503), reply(500), fine()];
    let (asked, outcome) = drive(&mut get(), &Credentials::Anonymous, with(answers));
    assert!(outcome.is_ok());
    let waits: Vec<&String> = asked.iter().filter(|line| line.starts_with("wait")).collect();
    assert_eq!(waits, ["wait 7000", "wait 1000", "wait 2000"]);
    let (asked, outcome) = drive(&mut get(), &Credentials::Anonymous, with(vec![reply(500); 6]));
    assert_eq!(code(outcome), Code::RegistryFailed);
    assert_eq!(asked.len(), 11);
    // Who has never answered is not asked often; whom nobody may trust, once.
    let table = [(Failure::Network, 2), (Failure::Timeout, 2), (Failure::Certificate, 1), (Failure::Cors, 1)];
    for (failure, tries) in table {
        let replies = (0..tries).map(|_| Reply::Not(failure)).collect();
        let error = drive(&mut get(), &Credentials::Anonymous, replies).1.unwrap_err();
        assert_eq!(error.code(), Code::Unreachable, "{failure:?}");
        assert_eq!(error.detail()["reason"], longshore_archive::Fact::from(failure.as_str()));
    }
}

const BEARER: &str = r#"Bearer realm="https://auth.io/token",service="r.io",scope="repository:a:pull""#;

fn token(name: &str) -> Answer {
    reply(200).with_body(format!(r#"{{"token":"{name}"}}"#).as_bytes())
}

#[test]
fn tokens_are_fetched_kept_and_fetched_again() {
    let session = session(Settings::default());
    let challenge = || reply(401).with("WWW-Authenticate", BEARER);
    let page = || reply(200).with_body(br#"{"tags":["1"]}"#);
    let mut tags = Exchange::tags(&session, "a");
    let (asked, outcome) = drive(&mut tags, &password(), with(vec![challenge(), token("first"), page()]));
    assert!(outcome.is_ok());
    let basic = "authorization=Basic bWU6aHVudGVyMmh1bnRlcjI=";
    let realm = "https://auth.io/token?service=r.io&scope=repository%3Aa%3Apull&client_id=longshore";
    let list = "GET a/tags/list?n=1000";
    assert_eq!(
        asked,
        [list.to_owned(), format!("GET {realm} {basic}"), format!("{list} authorization=Bearer first")]
    );
    // The next one has it at once; when it has expired there is a new one.
    let mut tags = Exchange::tags(&session, "a");
    let (asked, outcome) = drive(&mut tags, &password(), with(vec![challenge(), token("second"), page()]));
    assert!(outcome.is_ok());
    assert_eq!(asked[0], format!("{list} authorization=Bearer first"));
    assert_eq!(asked[2], format!("{list} authorization=Bearer second"));
    // Nobody: without a password.
    let mut tags = Exchange::tags(&self::session(Settings::default()), "a");
    let (asked, _) = drive(&mut tags, &Credentials::Anonymous, with(vec![challenge(), token("x"), page()]));
    assert_eq!(asked[1], format!("GET {realm}"));
    // An identity token goes in a form.
    let mut tags = Exchange::tags(&self::session(Settings::default()), "a");
    let identity = Credentials::Identity(Secret::new("refresh-me"));
    let answers = vec![challenge(), reply(200).with_body(br#"{"access_token":"x"}"#), page()];
    let (asked, _) = drive(&mut tags, &identity, with(answers));
    let form = "grant_type=refresh_token&service=r.io&client_id=longshore&scope=repository%3Aa%3Apull&refresh_token=refresh-me";
    assert_eq!(asked[1], format!("POST https://auth.io/token {form}"));
}

#[test]
fn who_is_not_let_in_is_told_so() {
    let challenge = || reply(401).with("WWW-Authenticate", BEARER);
    let tags = || Exchange::tags(&session(Settings::default()), "a");
    let (_, outcome) = drive(&mut tags(), &password(), with(vec![challenge(), reply(401)]));
    assert_eq!(code(outcome), Code::Unauthorized);
    // Tokens that open nothing.
    let answers = vec![challenge(), token("a"), challenge(), token("b"), challenge()];
    assert_eq!(code(drive(&mut tags(), &password(), with(answers)).1), Code::Unauthorized);
    let basic = || reply(401).with("WWW-Authenticate", r#"Basic realm="x""#);
    let (asked, outcome) = drive(&mut tags(), &password(), with(vec![basic(), basic()]));
    assert_eq!((asked.len(), code(outcome)), (2, Code::Unauthorized));
    let (asked, outcome) = drive(&mut tags(), &Credentials::Anonymous, with(vec![basic()]));
    assert_eq!((asked.len(), code(outcome)), (1, Code::Unauthorized));
    // A browser that shows no challenge: the password is tried.
    let (asked, outcome) =
        drive(&mut tags(), &password(), with(vec![reply(401), reply(200).with_body(b"{}")]));
    assert!(outcome.is_ok() && asked[1].contains("Basic"), "{asked:?}");
}

// Where credentials go.

#[test]
fn a_token_service_is_named_over_the_registrys_own_scheme() {
    for realm in
        ["http://auth.io/token", "ftp://auth.io", "//auth.io", "https://u:p@auth.io/", "javascript:x", ""]
    {
        let challenge = reply(401).with("WWW-Authenticate", &format!("Bearer realm=\"{realm}\""));
        let mut tags = Exchange::tags(&session(Settings::default()), "a");
        let (asked, outcome) = drive(
            &mut tags,
            &password(),
            with(
                vec![challenge.clone()]
                    .into_iter()
                    .chain(
                        // Nothing named at all is as good as no challenge.
                        realm.is_empty().then(|| reply(401)),
                    )
                    .collect(),
            ),
        );
        let expected = if realm.is_empty() { Code::Unauthorized } else { Code::InvalidAnswer };
        assert_eq!(code(outcome), expected, "{realm}");
        assert!(asked.iter().all(|line| !line.contains("auth.io")), "{asked:?}");
    }
}

#[test]
fn another_origin_sees_no_credentials() {
    let elsewhere =
        ["https://cdn.io/x", "https://r.io:444/x", "https://r.io.evil.com/x", "https://r.io@evil.com/x"];
    for target in elsewhere {
        let session = session(Settings::default());
        let basic = reply(401).with("WWW-Authenticate", "Basic realm=x");
        let mut get = Exchange::blob(&session, "a", &digest(), 10).unwrap();
        let replies = vec![
            Reply::With(basic),
            Reply::With(reply(307).with("Location", target)),
            Reply::Content(reply(200), b"0123456789".to_vec(), None),
        ];
        let (asked, outcome) = drive(&mut get, &password(), replies);
        assert!(outcome.is_ok());
        assert!(asked[1].contains("authorization=Basic"), "{asked:?}");
        assert!(!asked[2].contains("authorization"), "{asked:?}");
        // An upload's address may be elsewhere, too.
        let mut push = Exchange::push_blob(&session, "a", &digest(), 10);
        let answers = vec![reply(404), reply(202).with("Location", target), reply(201)];
        let (asked, outcome) = drive(&mut push, &password(), with(answers));
        assert!(outcome.is_ok());
        assert!(asked[1].contains("authorization") && !asked[2].contains("authorization"), "{asked:?}");
    }
    // On the same origin they stay.
    let mut get = Exchange::blob(&session(Settings::default()), "a", &digest(), 10).unwrap();
    let replies = vec![
        Reply::With(reply(401).with("WWW-Authenticate", "Basic realm=x")),
        Reply::With(reply(307).with("Location", "/x")),
        Reply::Content(reply(200), b"0123456789".to_vec(), None),
    ];
    let (asked, _) = drive(&mut get, &password(), replies);
    assert!(asked[2].contains("authorization=Basic"), "{asked:?}");
}

#[test]
fn a_token_service_sends_nobody_elsewhere_with_a_secret() {
    let challenge = || reply(401).with("WWW-Authenticate", BEARER);
    let away = || reply(307).with("Location", "https://evil.com/t");
    let mut tags = Exchange::tags(&session(Settings::default()), "a");
    let answers = vec![challenge(), away(), token("x"), reply(200).with_body(b"{}")];
    let (asked, outcome) = drive(&mut tags, &password(), with(answers));
    assert!(outcome.is_ok());
    assert_eq!(asked[2], "GET https://evil.com/t");
    let mut tags = Exchange::tags(&session(Settings::default()), "a");
    let identity = Credentials::Identity(Secret::new("refresh-me"));
    let (asked, outcome) = drive(&mut tags, &identity, with(vec![challenge(), away()]));
    assert_eq!((asked.len(), code(outcome)), (2, Code::InvalidAnswer));
}

#[test]
fn redirects_end_and_never_leave_https() {
    for target in ["http://r.io/x", "ftp://r.io/x", "/v2/a/manifests/1"] {
        let mut get = Exchange::manifest(&session(Settings::default()), "a", "1");
        let mut outcome = Ok(());
        for _ in 0..10 {
            let Step::Send(request) = get.step(&Credentials::Anonymous).unwrap() else { panic!() };
            assert_eq!(request.url.scheme(), "https");
            let answer = Answer::new(302, request.url.as_str()).with("Location", target);
            outcome = get.answered(&answer, &Credentials::Anonymous);
            if outcome.is_err() {
                break;
            }
        }
        assert_eq!(outcome.unwrap_err().code(), Code::InvalidAnswer, "{target}");
    }
}

/// All that an error and what is being done show of themselves.
fn shown(error: &Error, exchange: &Exchange) -> String {
    format!("{error} {error:?} {exchange:?} {:?}", error.detail())
}

#[test]
fn nothing_that_prints_shows_a_secret() {
    let secrets = ["hunter2hunter2", "bWU6aHVudGVyMmh1bnRlcjI=", "token-of-mine"];
    // A registry that repeats all that it was sent.
    let echo = |status: u16| {
        let body =
            format!(r#"{{"errors":[{{"code":"DENIED","message":"not with {}"}}]}}"#, secrets.join(" or "));
        reply(status).with_body(body.as_bytes())
    };
    let basic = || reply(401).with("WWW-Authenticate", "Basic realm=x");
    let mut tags = Exchange::tags(&session(Settings::default()), "a");
    let error = drive(&mut tags, &password(), with(vec![basic(), echo(403)])).1.unwrap_err();
    for secret in &secrets[..2] {
        assert!(!shown(&error, &tags).contains(secret), "{}", shown(&error, &tags));
    }
    let mut tags = Exchange::tags(&session(Settings::default()), "a");
    let challenge = reply(401).with("WWW-Authenticate", BEARER);
    let answers = vec![challenge, token("token-of-mine"), echo(403)];
    let error = drive(&mut tags, &password(), with(answers)).1.unwrap_err();
    for secret in ["hunter2hunter2", "token-of-mine"] {
        assert!(!shown(&error, &tags).contains(secret), "{}", shown(&error, &tags));
    }
    assert!(!format!("{:?}", password()).contains("hunter2"));
    // Neither the requests themselves, nor the session.
    let session = session(Settings::default());
    let mut tags = Exchange::tags(&session, "a");
    let answers = vec![
        reply(401).with("WWW-Authenticate", BEARER),
        token("token-of-mine"),
        reply(200).with_body(b"{}"),
    ];
    for answer in answers {
        let Step::Send(request) = tags.step(&password()).unwrap() else { panic!() };
        for secret in secrets {
            assert!(!format!("{request:?}").contains(secret), "{request:?}");
        }
        tags.answered(&Answer { url: request.url.to_string(), ..answer }, &password()).unwrap();
    }
    for secret in secrets {
        assert!(!format!("{session:?}").contains(secret), "{session:?}");
    }
}
