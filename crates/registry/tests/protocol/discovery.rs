//! Content discovery.

use longshore_archive::Code;
use longshore_registry::{Answer, Credentials, Exchange, Outcome, Settings, Step};

use super::{code, drive, reply, session, with};

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
fn lists_are_bounded() {
    // Every page goes on with another one, with so many names on each.
    let read = |names: usize| {
        let body = format!(r#"{{"repositories":[{}]}}"#, vec![r#""a""#; names].join(","));
        let mut catalog = Exchange::catalog(&session(Settings::default()));
        for page in 1.. {
            let Step::Send(request) = catalog.step(&Credentials::Anonymous).unwrap() else { panic!() };
            let link = format!("</v2/_catalog?last={page}>; rel=next");
            let answer = reply(200).with("Link", &link).with_body(body.as_bytes());
            let answer = Answer { url: request.url.to_string(), ..answer };
            if let Err(error) = catalog.answered(&answer, &Credentials::Anonymous) {
                return (page, error);
            }
        }
        unreachable!()
    };
    let (page, error) = read(50_000);
    assert_eq!((page, error.code(), &error.detail()["limit"]), (5, Code::LimitExceeded, &"list".into()));
    let (page, error) = read(0);
    assert_eq!((page, error.code()), (5001, Code::InvalidAnswer));
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
    // The tag is as short as the specification has it, and what it is refused with is the end.
    let sha512 = format!("sha512:{}", "a".repeat(128));
    for status in [400, 405] {
        let mut referrers = Exchange::referrers(&session(Settings::default()), "a", &sha512);
        let answers = with(vec![reply(404), reply(status)]);
        let (asked, outcome) = drive(&mut referrers, &Credentials::Anonymous, answers);
        assert_eq!(asked[1], format!("GET a/manifests/sha512-{}", "a".repeat(64)));
        assert_eq!(code(outcome), Code::RegistryRefused);
    }
}
