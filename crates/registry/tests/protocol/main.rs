//! The protocol by tables, after the areas of the specification's conformance tests: pull, push, content discovery,
//! content management. What an exchange asks for is answered by a script.

#![allow(clippy::unwrap_used, clippy::panic)] // in what the tests share

mod credentials;
mod discovery;
mod management;
mod pull;
mod push;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use longshore_archive::{Code, Result, sha256};
use longshore_registry::{
    Answer, Body, Credentials, Exchange, Failure, Host, Outcome, Secret, Session, Settings, Step, Take,
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

fn image() -> Vec<u8> {
    let zero = format!("sha256:{:064}", 0);
    let blob = format!(r#"{{"mediaType":"x","digest":"{zero}","size":1}}"#);
    format!(r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{blob},"layers":[{blob}]}}"#)
        .into_bytes()
}
