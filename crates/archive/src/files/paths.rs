//! Paths that are followed inside a root, as a process confined to it would.

/// The most links that are followed on one way, as Linux does.
const MAX_LINKS: usize = 40;
/// The longest way, all links on it included.
const MAX_WAY: usize = 2 * 4096;
/// How deep a file may be: what fits a path.
const MAX_DEPTH: usize = 2048;

/// What stands at one step of a way.
pub(super) struct Step {
    /// Its number.
    pub(super) node: u32,
    /// Where it leads, if it is a symbolic link.
    pub(super) link: Option<Vec<u8>>,
}

/// Follows `path` from the root, and the last component too if `last` says so; links stay inside the root.
///
/// `step` says what stands in a directory under a name, `parent` which directory one is in; the root is in itself.
pub(super) fn follow(
    path: &[u8],
    last: bool,
    root: u32,
    parent: impl Fn(u32) -> u32,
    mut step: impl FnMut(u32, &[u8]) -> Option<Step>,
) -> Option<u32> {
    let mut todo: Vec<Vec<u8>> = components(path).rev().map(<[u8]>::to_vec).collect();
    let (mut at, mut depth, mut links, mut len) = (root, 0_usize, 0, path.len());
    while let Some(component) = todo.pop() {
        if component == b".." {
            at = parent(at);
            depth = depth.saturating_sub(1);
            continue;
        }
        let found = step(at, &component)?;
        if let Some(link) = found.link.filter(|_| last || !todo.is_empty()) {
            links += 1;
            len += link.len();
            if links > MAX_LINKS || len > MAX_WAY {
                return None;
            }
            if link.first() == Some(&b'/') {
                (at, depth) = (root, 0);
            }
            todo.extend(components(&link).rev().map(<[u8]>::to_vec));
        } else {
            at = found.node;
            depth += 1;
            if depth > MAX_DEPTH {
                return None;
            }
        }
    }
    Some(at)
}

/// The path's components, without `.` and empty ones.
pub(super) fn components(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|&byte| byte == b'/').filter(|component| !matches!(*component, b"" | b"."))
}
