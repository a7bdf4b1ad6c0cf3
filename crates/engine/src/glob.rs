//! Patterns for names (Go's `path.Match`).

use longshore_archive::{Code, Error, Result};

/// A piece of a pattern that stands for one character.
enum Piece {
    Exactly(char),
    /// `?`
    Any,
    /// `[a-z]`, `[^0-9]`
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
    /// `*`: any number of characters.
    Star,
}

/// A pattern: `*` and `?` stand for anything but a slash, `[a-z]` for one of these.
pub(crate) struct Glob(Vec<Piece>);

impl Glob {
    /// Reads a pattern; fails with `invalid-argument` and Docker's sentence.
    pub(crate) fn parse(pattern: &str) -> Result<Self> {
        let bad = || Error::new(Code::InvalidArgument, "syntax error in pattern").with("pattern", pattern);
        let mut pieces = Vec::new();
        let mut rest = pattern.chars().peekable();
        while let Some(next) = rest.next() {
            pieces.push(match next {
                '*' => Piece::Star,
                '?' => Piece::Any,
                '\\' => Piece::Exactly(rest.next().ok_or_else(bad)?),
                '[' => {
                    let negated = rest.next_if_eq(&'^').is_some();
                    let mut ranges = Vec::new();
                    let one = |rest: &mut std::iter::Peekable<std::str::Chars<'_>>| match rest.next() {
                        Some('\\') => rest.next().ok_or_else(bad),
                        Some('-' | ']') | None => Err(bad()),
                        Some(other) => Ok(other),
                    };
                    while ranges.is_empty() || rest.next_if_eq(&']').is_none() {
                        let low = one(&mut rest)?;
                        let high = if rest.next_if_eq(&'-').is_some() { one(&mut rest)? } else { low };
                        ranges.push((low, high));
                    }
                    Piece::Class { negated, ranges }
                }
                other => Piece::Exactly(other),
            });
        }
        Ok(Self(pieces))
    }

    /// Whether the whole text is what the pattern means.
    pub(crate) fn matches(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        let (mut piece, mut at) = (0, 0);
        // The last star, and where what it stands for ends: a star before it need not be tried again.
        let mut star: Option<(usize, usize)> = None;
        loop {
            match (self.0.get(piece), text.get(at)) {
                (None, None) => return true,
                (Some(Piece::Star), _) => {
                    star = Some((piece, at));
                    piece += 1;
                }
                (Some(one), Some(&c)) if one.matches(c) => {
                    piece += 1;
                    at += 1;
                }
                _ => {
                    let Some((after, end)) = star else { return false };
                    if text.get(end).is_none_or(|&c| c == '/') {
                        return false;
                    }
                    star = Some((after, end + 1));
                    piece = after + 1;
                    at = end + 1;
                }
            }
        }
    }
}

impl Piece {
    fn matches(&self, c: char) -> bool {
        match self {
            Self::Exactly(own) => *own == c,
            Self::Any => c != '/',
            Self::Class { negated, ranges } => {
                ranges.iter().any(|&(low, high)| low <= c && c <= high) != *negated
            }
            Self::Star => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Glob;

    #[test]
    fn as_gos_path_match() {
        for (pattern, text, matches) in [
            ("abc", "abc", true),
            ("*", "abc", true),
            ("*c", "abc", true),
            ("a*", "a", true),
            ("a*", "ab/c", false),
            ("a*/b", "abc/b", true),
            ("a*/b", "a/c/b", false),
            ("a*b*c*d*e*/f", "axbxcxdxe/f", true),
            ("a*b*c*d*e*/f", "axbxcxdxexxx/fff", false),
            ("a*b?c*x", "abxbbxdbxebxczzx", true),
            ("a*b?c*x", "abxbbxdbxebxczzy", false),
            ("ab[c]", "abc", true),
            ("ab[b-d]", "abc", true),
            ("ab[e-g]", "abc", false),
            ("ab[^c]", "abc", false),
            ("ab[^e-g]", "abc", true),
            ("a\\*b", "a*b", true),
            ("a?b", "a/b", false),
            ("*x", "xxx", true),
            ("", "", true),
            ("", "a", false),
        ] {
            assert_eq!(Glob::parse(pattern).unwrap().matches(text), matches, "{pattern} {text}");
        }
        for bad in ["[]a]", "[-]", "[x-]", "[", "a[", "[^bc", "\\"] {
            assert_eq!(Glob::parse(bad).err().unwrap().message(), "syntax error in pattern", "{bad}");
        }
    }
}
