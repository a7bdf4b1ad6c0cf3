//! The steps: what is chosen at random, and how a shell does it.

use crate::random::Random;

/// Where things are done: some of it is there, some comes to be, and some leads through links.
const PATHS: [&str; 26] = [
    "/w/a",
    "/w/a/f",
    "/w/a/g",
    "/w/a/d",
    "/w/a/d/f",
    "/w/a/d/d",
    "/w/a/d/d/f",
    "/w/b",
    "/w/b/f",
    "/w/b/g",
    "/w/f",
    "/w/h",
    "/w/l",
    "/w/l/f",
    "/w/l/d/x",
    "/w/m",
    "/w/n",
    "/w/e",
    "/w/e/x",
    "/w/x",
    "/w/x/y",
    "/w/x/y/z",
    "/w/x/../y",
    "/w/caf\u{e9} 100%",
    "/w/a/d/.x",
    "/w/y",
];

/// Where links lead.
const TARGETS: [&str; 5] = ["a", "/w/b", "x/y", "../w/f", "nowhere"];

/// What both containers undergo.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// A file gets another content, or is made.
    Write(&'static str, String),
    /// A file is taken away, whatever it is, and a new one is put there.
    Replace(&'static str, String),
    Append(&'static str, String),
    Mkdir(&'static str),
    MkdirParents(&'static str),
    Symlink(&'static str, &'static str),
    /// What is no directory goes.
    Remove(&'static str),
    RemoveAll(&'static str),
    Move(&'static str, &'static str),
    Chmod(&'static str, u32),
    Chown(&'static str, u64, u64),
    /// A file or a directory becomes an empty directory.
    ToDirectory(&'static str),
}

impl Step {
    pub(crate) fn random(random: &mut Random) -> Self {
        let path = |random: &mut Random| *random.pick(&PATHS);
        let text = |random: &mut Random| "x".repeat(random.below(5));
        match random.below(100) {
            0..14 => Self::Write(path(random), text(random)),
            14..22 => Self::Replace(path(random), text(random)),
            22..30 => Self::Append(path(random), text(random)),
            30..40 => Self::Mkdir(path(random)),
            // What fails on the way is not undone by `mkdir`.
            40..46 => Self::MkdirParents(
                Some(path(random)).filter(|path| !path.contains("..")).unwrap_or("/w/x/y/z"),
            ),
            46..52 => Self::Symlink(path(random), random.pick::<&str>(&TARGETS)),
            52..58 => Self::Remove(path(random)),
            58..63 => Self::RemoveAll(path(random)),
            63..79 => Self::Move(path(random), path(random)),
            79..87 => Self::Chmod(path(random), *random.pick(&[0o644, 0o755, 0o4711, 0o2750, 0o1777, 0])),
            87..94 => Self::Chown(path(random), *random.pick(&[0, 1000]), *random.pick(&[0, 7, 100_000])),
            _ => Self::ToDirectory(path(random)),
        }
    }

    /// What a shell of the container does.
    pub(crate) fn script(&self) -> String {
        match self {
            Self::Write(path, text) => format!("printf '%s' '{text}' > '{path}'"),
            Self::Replace(path, text) => format!("rm -rf '{path}' && printf '%s' '{text}' > '{path}'"),
            Self::Append(path, text) => format!("printf '%s' '{text}' >> '{path}'"),
            Self::Mkdir(path) => format!("mkdir '{path}'"),
            Self::MkdirParents(path) => format!("mkdir -p '{path}'"),
            // Into a directory, `ln` would make one by another name.
            Self::Symlink(path, target) => {
                format!("[ ! -e '{path}' ] && [ ! -L '{path}' ] && ln -s '{target}' '{path}'")
            }
            Self::Remove(path) => format!("rm '{path}'"),
            Self::RemoveAll(path) => format!("rm -r '{path}'"),
            // So would `mv`.
            Self::Move(from, to) => format!("[ ! -d '{to}' ] && mv '{from}' '{to}'"),
            Self::Chmod(path, mode) => format!("chmod {mode:o} '{path}'"),
            Self::Chown(path, uid, gid) => format!("chown {uid}:{gid} '{path}'"),
            Self::ToDirectory(path) => format!("rm -rf '{path}' && mkdir '{path}'"),
        }
    }
}
