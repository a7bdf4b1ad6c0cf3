//! Pull.

use longshore_archive::{Code, sha256};
use longshore_registry::{Credentials, Exchange, Failure, Outcome, Settings};

use super::{Reply, code, digest, drive, image, reply, session, with};

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
