//! Who is let in, and where credentials go.

use longshore_archive::{Code, Error};
use longshore_registry::{Answer, Credentials, Exchange, Secret, Settings, Step};

use super::{Reply, code, digest, drive, password, reply, session, with};

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

/// The next request, and what it shows.
fn next(exchange: &mut Exchange) -> (String, Option<String>) {
    let Step::Send(request) = exchange.step(&password()).unwrap() else { panic!() };
    let shown = request.headers.iter().find(|(name, _)| *name == "authorization");
    (request.url.to_string(), shown.map(|(_, value)| value.expose().to_owned()))
}

fn tell(exchange: &mut Exchange, url: &str, answer: Answer) {
    exchange.answered(&Answer { url: url.to_owned(), ..answer }, &password()).unwrap();
}

#[test]
fn what_was_refused_to_all_at_once_is_shown_by_each() {
    let session = session(Settings::default());
    let mut all = ["a", "b", "c"].map(|repository| Exchange::tags(&session, repository));
    let sent = all.each_mut().map(next);
    for (one, (url, shown)) in all.iter_mut().zip(&sent) {
        assert_eq!(*shown, None);
        tell(one, url, reply(401).with("WWW-Authenticate", "Basic realm=x"));
    }
    for one in &mut all {
        let (url, shown) = next(one);
        assert_eq!(shown.unwrap(), "Basic bWU6aHVudGVyMmh1bnRlcjI=");
        tell(one, &url, reply(200).with_body(b"{}"));
    }
}

#[test]
fn a_token_that_another_fetched_meanwhile_serves() {
    let session = session(Settings::default());
    let challenge = || reply(401).with("WWW-Authenticate", BEARER);
    // Without a token, then with one that has expired.
    for name in ["first", "second"] {
        let mut both = ["a", "a"].map(|repository| Exchange::tags(&session, repository));
        let sent = both.each_mut().map(next);
        let [one, other] = &mut both;
        tell(one, &sent[0].0, challenge());
        let (realm, _) = next(one);
        assert!(realm.starts_with("https://auth.io/token"), "{realm}");
        tell(one, &realm, token(name));
        tell(other, &sent[1].0, challenge());
        for one in [one, other] {
            assert_eq!(next(one).1.unwrap(), format!("Bearer {name}"));
        }
    }
}

#[test]
fn who_asks_again_elsewhere_is_not_answered_without_end() {
    // A browser follows redirects by itself: an upload elsewhere may end up at the registry, which wants what is not shown there.
    for challenge in ["Basic realm=x", BEARER] {
        let mut push = Exchange::push_blob(&session(Settings::default()), "a", &digest(), 10);
        let refused = Answer::new(401, "https://r.io/v2/").with("WWW-Authenticate", challenge);
        let answers = vec![reply(404), reply(202).with("Location", "https://cdn.io/x"), refused];
        assert_eq!(code(drive(&mut push, &password(), with(answers)).1), Code::Unauthorized);
    }
}

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
        let said = secrets.join(" or ");
        let body = format!(r#"{{"errors":[{{"code":"NO {said}","message":"not with {said}"}}]}}"#);
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
