//! Any text as a name: what is one stays itself when it is printed and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use longshore_archive::{Reference, aliases};

fuzz_target!(|text: &str| {
    for alias in aliases(text) {
        // The alias of a tag is a tag.
        if Reference::parse(&format!("name:{text}")).is_ok() {
            assert_eq!(Reference::parse(&format!("name:{alias}")).unwrap().tag(), Some(alias.as_str()));
        }
    }
    let Ok(reference) = Reference::parse(text) else { return };
    assert_eq!(Reference::parse(&reference.to_string()).as_ref(), Ok(&reference));
    assert_eq!(Reference::parse(&reference.canonical()).as_ref(), Ok(&reference));
    assert_eq!(reference.canonical().split_once('/').map(|(domain, _)| domain), Some(reference.domain()));
    assert!(reference.tag().is_some() || reference.digest().is_some());
    if let Ok(target) = Reference::parse_target(text) {
        assert_eq!(target, reference);
    }
});
