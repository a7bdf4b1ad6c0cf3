//! The headers that registries answer with: `Link`, `Range`, `Content-Range`, `Retry-After`.

use std::time::Duration;

use crate::http::Answer;

/// How much a registry may ask to wait: more is as good as no.
const MAX_WAIT: Duration = Duration::from_secs(300);

/// The target of `Link` with the relation `next` (RFC 8288).
pub(crate) fn next_link(header: &str) -> Option<&str> {
    let mut rest = header;
    loop {
        let (_, after) = rest.split_once('<')?;
        let (target, after) = after.split_once('>')?;
        // Its parameters end where the next link begins.
        let parameters = after
            .split_once(',')
            .map_or(after, |(own, next)| if next.trim_start().starts_with('<') { own } else { after });
        let is_next = parameters.split(';').any(|parameter| {
            let Some((name, value)) = parameter.split_once('=') else { return false };
            let relations = value.trim().trim_end_matches(',').trim_matches('"');
            name.trim().eq_ignore_ascii_case("rel")
                && relations.split_ascii_whitespace().any(|relation| relation.eq_ignore_ascii_case("next"))
        });
        if is_next {
            return Some(target);
        }
        rest = after;
    }
}

/// How many bytes of an upload are there, by its `Range`: `0-1023`, with or without `bytes=`. Nothing and one byte look alike
/// in it; it is nothing then.
pub(crate) fn uploaded(header: &str) -> Option<u64> {
    let range = header.trim();
    let range = range.strip_prefix("bytes").map_or(range, |rest| rest.trim_start_matches(['=', ' ']));
    let (from, to) = range.split_once('-')?;
    let to: u64 = to.trim().parse().ok()?;
    if from.trim() != "0" {
        return None;
    }
    if to == 0 { Some(0) } else { to.checked_add(1) }
}

/// Where the part of a blob begins that an answer holds, by its `Content-Range`: `bytes 100-199/200`.
pub(crate) fn part_begins(header: &str) -> Option<u64> {
    let (from, _) = header.trim().strip_prefix("bytes")?.trim_start().split_once('-')?;
    from.parse().ok()
}

/// How long the registry asks to wait: in seconds, or until a time, of which its own clock says how far it is.
pub(crate) fn retry_after(answer: &Answer) -> Option<Duration> {
    let value = answer.header("retry-after")?.trim();
    let wait = if let Ok(seconds) = value.parse() {
        Duration::from_secs(seconds)
    } else {
        let until = httpdate::parse_http_date(value).ok()?;
        let now = httpdate::parse_http_date(answer.header("date")?).ok()?;
        until.duration_since(now).unwrap_or_default()
    };
    Some(wait.min(MAX_WAIT))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn links() {
        let table = [
            (r#"</v2/a/tags/list?last=b&n=2>; rel="next""#, Some("/v2/a/tags/list?last=b&n=2")),
            ("<x>; rel=next", Some("x")),
            (r#"<x>; rel="prev", <y>; rel="next""#, Some("y")),
            (r#"<x>; title="a, b"; rel="first next""#, Some("x")),
            (r#"<x>; rel="prev""#, None),
            ("", None),
            ("<", None),
        ];
        for (header, expected) in table {
            assert_eq!(next_link(header), expected, "{header}");
        }
    }

    #[test]
    fn ranges() {
        let table = [
            ("0-1023", Some(1024)),
            ("bytes=0-9", Some(10)),
            ("0-0", Some(0)),
            ("5-9", None),
            ("0-", None),
            ("-1", None),
            ("0-18446744073709551615", None),
        ];
        for (header, expected) in table {
            assert_eq!(uploaded(header), expected, "{header}");
        }
        assert_eq!(part_begins("bytes 100-199/200"), Some(100));
        assert_eq!(part_begins("bytes */200"), None);
    }

    #[test]
    fn waits() {
        let answer = |value: &str| Answer::new(429, "https://a/").with("Retry-After", value);
        assert_eq!(retry_after(&answer("3")), Some(Duration::from_secs(3)));
        assert_eq!(retry_after(&answer("99999999")), Some(MAX_WAIT));
        assert_eq!(retry_after(&answer("soon")), None);
        let dated = answer("Wed, 21 Oct 2015 07:28:10 GMT").with("Date", "Wed, 21 Oct 2015 07:28:00 GMT");
        assert_eq!(retry_after(&dated), Some(Duration::from_secs(10)));
    }

    proptest! {
        #[test]
        fn nothing_panics(text in ".{0,80}") {
            next_link(&text);
            uploaded(&text);
            part_begins(&text);
            retry_after(&Answer::new(429, "").with("retry-after", &text).with("date", &text));
        }
    }
}
