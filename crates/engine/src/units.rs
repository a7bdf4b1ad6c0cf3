//! Sizes as Docker prints them (`github.com/docker/go-units`).

/// A size with so many significant digits, in powers of 1000: `5.48MB`. Docker uses three for images and layers, four for
/// sums.
pub fn human_size(bytes: u64, digits: usize) -> String {
    const UNITS: [&str; 9] = ["B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"];
    #[allow(clippy::cast_precision_loss)] // Docker's own arithmetic
    let mut size = bytes as f64;
    let mut units = UNITS.iter();
    let mut unit = units.next();
    while size >= 1000.0 {
        size /= 1000.0;
        unit = units.next().or(unit);
    }
    format!("{}{}", general(size, digits), unit.unwrap_or(&""))
}

/// Go's `%.*g` for what is below 1000 and has up to nine digits.
fn general(value: f64, digits: usize) -> String {
    // How many digits stand before the point once it is rounded to that many in all.
    let rounded = format!("{value:.*e}", digits.saturating_sub(1));
    let exponent: usize =
        rounded.rsplit_once('e').and_then(|(_, exponent)| exponent.parse().ok()).unwrap_or(0);
    if exponent >= digits {
        // 999.96 with four digits: Go writes an exponent.
        let (mantissa, _) = rounded.split_once('e').unwrap_or((&rounded, ""));
        return format!("{}e+{exponent:02}", trimmed(mantissa));
    }
    let text = format!("{value:.*}", digits - 1 - exponent);
    trimmed(&text).to_owned()
}

fn trimmed(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

#[cfg(test)]
mod tests {
    use super::human_size;

    #[test]
    fn as_docker_prints_them() {
        for (bytes, three, four) in [
            (0, "0B", "0B"),
            (6, "6B", "6B"),
            (999, "999B", "999B"),
            (1000, "1kB", "1kB"),
            (1024, "1.02kB", "1.024kB"),
            (1_995_500, "2MB", "1.996MB"),
            (4_261_502, "4.26MB", "4.262MB"),
            (123_456_789, "123MB", "123.5MB"),
            (999_600_000, "1e+03MB", "999.6MB"),
            (77_000_000_000, "77GB", "77GB"),
            ((1 << 53) - 1, "9.01PB", "9.007PB"),
        ] {
            assert_eq!(human_size(bytes, 3), three, "{bytes}");
            assert_eq!(human_size(bytes, 4), four, "{bytes}");
        }
    }
}
