//! What the codec found of members, as it comes back: piece by piece, because that takes less code than a whole.

use std::collections::HashMap;

use longshore_archive::{Code, Compression, Content, Error, Measured, Odd, Oddity};

use crate::values::whole;

/// What was found, by the members' numbers.
#[derive(Default)]
pub(crate) struct Found(pub(crate) HashMap<usize, Measured>);

impl Found {
    /// Notes a member's bytes; what they hold is what is stored, unless one of the next two says otherwise.
    pub(crate) fn found(&mut self, entry: u32, digest: String, size: f64, compression: Option<&str>) {
        let compression = compression.and_then(Compression::named);
        let size = whole(size);
        let content = Ok(Content { digest: digest.clone(), size, trailing: 0 });
        self.0.insert(entry as usize, Measured { digest, size, compression, content, odd: Vec::new() });
    }

    /// Notes what a member holds.
    pub(crate) fn holds(&mut self, entry: u32, digest: String, size: f64, trailing: f64) {
        if let Some(measured) = self.0.get_mut(&(entry as usize)) {
            measured.content = Ok(Content { digest, size: whole(size), trailing: whole(trailing) });
        }
    }

    /// Notes something odd in what a member holds.
    pub(crate) fn odd(&mut self, entry: u32, what: &str, path: String) {
        if let (Some(measured), Some(what)) = (self.0.get_mut(&(entry as usize)), Oddity::named(what)) {
            measured.odd.push(Odd { what, path });
        }
    }

    /// Notes why a member cannot be unpacked.
    pub(crate) fn failed(&mut self, entry: u32, code: &str, message: &str) {
        let code = Code::ALL.iter().find(|known| known.as_str() == code).copied();
        if let Some(measured) = self.0.get_mut(&(entry as usize)) {
            measured.content = Err(Error::new(code.unwrap_or(Code::InvalidCompression), message));
        }
    }
}
