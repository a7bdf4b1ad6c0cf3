//! Push.

use longshore_archive::{Code, sha256};
use longshore_registry::{Answer, BlobOutcome, Credentials, Exchange, Failure, Outcome, Settings, Step};

use super::{Reply, code, digest, drive, reply, session, with};

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
fn pieces_that_are_too_large_and_too_small_are_refused() {
    // A registry that wants no less than what the proxy before it does not let through.
    let mut push = Exchange::push_blob(&session(Settings::default()), "a", &digest(), 1 << 30);
    let begun = || reply(202).with("Location", "/up").with("OCI-Chunk-Min-Length", "16777216");
    let answers = (0..3).flat_map(|_| [begun(), reply(413)]);
    let (asked, outcome) =
        drive(&mut push, &Credentials::Anonymous, with([reply(404)].into_iter().chain(answers).collect()));
    assert_eq!(outcome.unwrap_err().code(), Code::RegistryRefused);
    let tried =
        asked.iter().filter_map(|line| line.split_once('[')).map(|(_, piece)| piece).collect::<Vec<_>>();
    assert_eq!(tried, ["0..1073741824]", "0..33554432]", "0..16777216]"]);
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
        Reply::With(reply(404)),
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
fn an_upload_whose_last_answer_is_lost_is_done() {
    let session = session(Settings::default());
    for end in [Reply::With(reply(504)), Reply::Not(Failure::Network)] {
        let mut push = Exchange::push_blob(&session, "a", &digest(), 100);
        let replies = vec![
            Reply::With(reply(404)),
            Reply::With(reply(202).with("Location", "/up/1")),
            end,
            Reply::With(reply(404)),
            Reply::With(reply(200)),
        ];
        let (asked, outcome) = drive(&mut push, &Credentials::Anonymous, replies);
        let look = format!("HEAD a/blobs/{}", digest());
        assert_eq!(asked[4..], ["GET https://r.io/up/1".to_owned(), "wait 1000".to_owned(), look]);
        assert_eq!(outcome.unwrap(), Outcome::Blob(BlobOutcome::Pushed));
    }
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
