//! The headers that registries answer with: `Link`, `Range`, `Content-Range`, `Retry-After`.

use std::time::Duration;

use url::Url;

use crate::http::Answer;

/// How much a registry may ask to wait: more is as good as no.
const MAX_WAIT: Duration = Duration::from_secs(300);

/// An address as a registry states it; it may be relative to `here`. A host has to be ASCII as it stands: what else
/// hosts can be is what [`Url`] cannot tell here, where it knows nothing of Unicode, and decoding might make it that.
pub(crate) fn address(text: &str, here: Option<&Url>) -> Option<Url> {
    let is_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    let text = text.trim();
    let (_, rest) =
        text.split_once(':').filter(|(scheme, _)| scheme.bytes().all(is_scheme)).unwrap_or(("", text));
    // Browsers read any number of slashes before a host, of either kind. Of a path this is the first part.
    let host = rest.trim_start_matches(['/', '\\']).split(['/', '\\', '?', '#']).next().unwrap_or_default();
    if !host.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'%') || text.contains(char::is_control) {
        return None;
    }
    Url::options().base_url(here).parse(text).ok()
}

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
    fn addresses() {
        let here = Url::parse("https://a.io/v2/x/blobs/uploads/").ok();
        let table = [
            ("/v2/x%2Fy?state=a:b%3D", Some("https://a.io/v2/x%2Fy?state=a:b%3D")),
            ("?n=2&last=%41", Some("https://a.io/v2/x/blobs/uploads/?n=2&last=%41")),
            ("1/\u{e4}", Some("https://a.io/v2/x/blobs/uploads/1/%C3%A4")),
            ("HTTPS://B.io/%41", Some("https://b.io/%41")),
            ("//b.io", Some("https://b.io/")),
            ("https:/QQ%a2/token", None),
            ("https://\u{e4}Q.io", None),
            ("\\\\%41.io\\x", None),
            ("ht\ttps://b.io", None),
        ];
        for (text, expected) in table {
            assert_eq!(address(text, here.as_ref()).as_ref().map(Url::as_str), expected, "{text}");
        }
        assert_eq!(address("/v2/", None), None);
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
            address(&text, Url::parse("https://a/v2/").ok().as_ref());
            address(&format!("https:/{text}"), None);
            retry_after(&Answer::new(429, "").with("retry-after", &text).with("date", &text));
        }
    }
}
