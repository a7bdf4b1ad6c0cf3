//! What to ask a registry next, and what its answer means: the OCI distribution specification 1.1 and Docker's API v2.
//!
//! Nothing here does I/O, waits, or knows the time. A [`Session`] is what is known of one registry; an [`Exchange`] is one
//! thing to be done there. It says step by step which request to send or how long to wait, and is told what came of it.
//! Exchanges of one session may run at the same time: they share what the session learns.
//!
//! ```
//! use longshore_registry::{Answer, Credentials, Exchange, Host, Outcome, Session, Settings, Step};
//! # fn main() -> longshore_archive::Result<()> {
//! let session = Session::new(Host::parse("registry.local:5000")?, Settings::default()).shared();
//! let mut tags = Exchange::tags(&session, "team/app");
//! let Step::Send(request) = tags.step(&Credentials::Anonymous)? else { panic!() };
//! assert_eq!(request.url.as_str(), "https://registry.local:5000/v2/team/app/tags/list?n=1000");
//! tags.answered(&Answer::new(200, request.url.as_str()).with_body(br#"{"tags":["1","2"]}"#), &Credentials::Anonymous)?;
//! let Step::Done(Outcome::List(list)) = tags.step(&Credentials::Anonymous)? else { panic!() };
//! assert_eq!(list, ["1", "2"]);
//! # Ok(())
//! # }
//! ```
//!
//! Credentials are handed to each step and kept nowhere. They go to the registry's own origin, or to the token service that
//! it named, over the same scheme; nothing that prints shows them.

mod authority;
mod challenge;
mod error;
mod exchange;
mod headers;
mod host;
mod http;
mod layout;
mod operation;
mod secret;
mod session;

pub use exchange::{Exchange, Outcome, Step};
pub use host::Host;
pub use http::{Answer, Body, Failure, HeaderValue, Method, Redirects, Request, Take};
pub use layout::{Chosen, Descriptor, assert_for, choose, descriptors, index_json, mirrored};
pub use operation::{BlobOutcome, Manifest};
pub use secret::{Credentials, Secret};
pub use session::{Session, Settings};
