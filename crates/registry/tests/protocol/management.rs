//! Content management, and what is the same for all.

use longshore_archive::Code;
use longshore_registry::{Credentials, Exchange, Failure, Outcome, Settings, Step};

use super::{Reply, code, drive, image, reply, session, with};

#[test]
fn deleting() {
    let mut delete = Exchange::delete(&session(Settings::default()), "a", "1");
    let (asked, outcome) = drive(&mut delete, &Credentials::Anonymous, with(vec![reply(202)]));
    assert_eq!((asked, outcome.unwrap()), (vec!["DELETE a/manifests/1".to_owned()], Outcome::Deleted));
    // The answer that it is gone may be what was lost.
    let mut delete = Exchange::delete(&session(Settings::default()), "a", "1");
    let (_, outcome) = drive(&mut delete, &Credentials::Anonymous, with(vec![reply(504), reply(404)]));
    assert_eq!(outcome.unwrap(), Outcome::Deleted);
}

#[test]
fn deleting_may_be_refused() {
    let table = [
        (405, "", Code::RegistryRefused, "The registry refuses removing 1 of a (status 405)."),
        // As Docker's registry says it of a tag.
        (
            400,
            r#"{"errors":[{"code":"DIGEST_INVALID","message":"no such digest"}]}"#,
            Code::RegistryRefused,
            "The registry refuses removing 1 of a (status 400): no such digest.",
        ),
        (
            404,
            r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#,
            Code::NotFound,
            "The registry does not have a:1: manifest unknown.",
        ),
        (403, "", Code::Denied, "The registry does not allow removing 1 of a."),
    ];
    for (status, body, code, sentence) in table {
        let mut delete = Exchange::delete(&session(Settings::default()), "a", "1");
        let answers = with(vec![reply(status).with_body(body.as_bytes())]);
        let error = drive(&mut delete, &Credentials::Anonymous, answers).1.unwrap_err();
        assert_eq!((error.code(), error.message()), (code, sentence));
    }
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
    // A browser says `cors` where a line was cut, too: once the registry has answered it may be that.
    let known = session(Settings::default());
    let ping = drive(&mut Exchange::ping(&known), &Credentials::Anonymous, with(vec![reply(200)])).1;
    assert_eq!(ping.unwrap(), Outcome::Welcome);
    let get = || Exchange::manifest(&known, "a", "1");
    let cut = || Reply::Not(Failure::Cors);
    assert!(drive(&mut get(), &Credentials::Anonymous, vec![cut(), Reply::With(fine())]).1.is_ok());
    assert_eq!(code(drive(&mut get(), &Credentials::Anonymous, vec![cut(), cut()]).1), Code::Unreachable);
}

#[test]
fn nobody_waits_longer_than_a_timer_can() {
    let mut get =
        Exchange::manifest(&session(Settings { patience: u64::MAX, ..Settings::default() }), "a", "1");
    let Step::Send(request) = get.step(&Credentials::Anonymous).unwrap() else { panic!("nothing is sent") };
    assert_eq!(request.patience, 2_147_483_647);
}
