//! What stands in tar headers and pax records: read alike in an archive, where the walk hops, and in a layer, where it streams.

use tar::Header;

use crate::error::{Code, Error, Result};
use crate::source::MAX_LEN;

/// The longest pax or GNU long-name payload that is read. Real ones are a few KiB.
pub(crate) const MAX_EXTENSION: u64 = 1 << 20;

/// The `length key=value\n` records of a pax header (POSIX.1-2001); `None` for one that is malformed, then nothing.
pub(crate) struct PaxRecords<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for PaxRecords<'a> {
    type Item = Option<(&'a [u8], &'a [u8])>;

    fn next(&mut self) -> Option<Self::Item> {
        let all = std::mem::take(&mut self.0);
        // Some writers fill up the payload with zeros.
        if all.iter().all(|&byte| byte == 0) {
            return None;
        }
        let record = || {
            let space = all.iter().position(|&byte| byte == b' ')?;
            let len: usize = std::str::from_utf8(all.get(..space)?).ok()?.parse().ok()?;
            let (key_value, newline) = all.get(space + 1..len)?.split_last_chunk::<1>()?;
            let equals = key_value.iter().position(|&byte| byte == b'=')?;
            let (key, value) = (key_value.get(..equals)?, key_value.get(equals + 1..)?);
            // As Go's reader has it.
            let whole = match key {
                b"path" | b"linkpath" | b"uname" | b"gname" => value,
                key => key,
            };
            let holds = newline == b"\n" && !key.is_empty() && !whole.contains(&0);
            holds.then_some((len, key, value))
        };
        Some(record().map(|(len, key, value)| {
            self.0 = all.get(len..).unwrap_or_default();
            (key, value)
        }))
    }
}

/// A length that is known to be small, as the machine's size type.
pub(crate) fn bounded(len: u64, offset: u64) -> Result<usize> {
    usize::try_from(len).map_err(|_| invalid("A tar header is too long", offset))
}

pub(crate) fn invalid(sentence: &str, offset: u64) -> Error {
    Error::new(Code::InvalidTar, format!("{sentence}.")).with("offset", offset)
}

/// Whether the header's checksum is the sum of its bytes, taken as unsigned or, as some old writers did, signed.
pub(crate) fn checksum_holds(header: &Header) -> bool {
    let Some(stated) = octal(&header.as_old().cksum) else { return false };
    let sum = |value: fn(u8) -> i64| -> i64 {
        let bytes = header.as_bytes().iter().enumerate();
        bytes.map(|(i, &byte)| if (148..156).contains(&i) { 32 } else { value(byte) }).sum()
    };
    let stated = stated.cast_signed();
    sum(i64::from) == stated || sum(|byte| i64::from(byte.cast_signed())) == stated
}

/// The size that a header states.
pub(crate) fn stated_size(header: &Header, at: u64) -> Result<u64> {
    let size = number(&header.as_old().size).filter(|&size| size <= MAX_LEN);
    size.ok_or_else(|| invalid("A tar header states a size that makes no sense", at))
}

/// The number in a field, as Go's reader has it; `None` for a negative one, too.
fn number(field: &[u8]) -> Option<u64> {
    let Some((first, rest)) = field.split_first().filter(|(first, _)| **first >= 0x80) else {
        return octal(field);
    };
    // In base 256.
    let positive = Some(u64::from(first & 0x7f)).filter(|first| first & 0x40 == 0);
    rest.iter().try_fold(positive?, |sum, &byte| (sum >> 56 == 0).then_some(sum << 8 | u64::from(byte)))
}

/// Octal digits between blanks, as Go's reader has it; 0 for nothing but blanks.
fn octal(field: &[u8]) -> Option<u64> {
    let is_blank = |byte: &u8| matches!(byte, 0 | b' ');
    let Some(start) = field.iter().position(|byte| !is_blank(byte)) else { return Some(0) };
    let end = field.iter().rposition(|byte| !is_blank(byte))?;
    let mut digits = field.get(start..=end)?.iter().take_while(|byte| **byte != 0);
    digits.try_fold(0, |sum, digit| matches!(digit, b'0'..=b'7').then(|| sum * 8 + u64::from(digit - b'0')))
}

/// Whether it is a directory from before there was a type for it, as Go's reader has it: a file of no type whose name ends in a slash.
pub(crate) fn is_old_directory(header: &Header, path: &[u8]) -> bool {
    header.as_old().linkflag == [0] && path.ends_with(b"/")
}

/// What a GNU long name or long link holds: it ends at NUL. An empty one is none.
pub(crate) fn long_name(payload: &[u8]) -> Option<Vec<u8>> {
    let name = payload.split(|&byte| byte == 0).next().filter(|name| !name.is_empty());
    name.map(<[u8]>::to_vec)
}

/// The error for an extension header that is longer than any that is needed.
pub(crate) fn too_long(offset: u64, size: u64) -> Error {
    Error::new(Code::LimitExceeded, "A tar extension header is too long.")
        .with("offset", offset)
        .with("expected", MAX_EXTENSION)
        .with("actual", size)
}

/// A number that a pax record states.
pub(crate) fn pax_number(value: &[u8], at: u64) -> Result<u64> {
    let number = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
    let number = number.filter(|&number| number <= MAX_LEN);
    number.ok_or_else(|| invalid("A pax header states a number that makes no sense", at))
}
