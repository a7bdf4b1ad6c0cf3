//! The image that containers are made of.

use longshore_fixtures::{Entry, ImageSpec, Layer, docker_legacy, tar};

/// What it is called.
pub(crate) const NAME: &str = "base:1";
/// When its files were written.
const THEN: u64 = 1_577_934_245;

/// An archive of it: directories, files, and links under `w`, in two layers.
pub(crate) fn archive(busybox: Vec<u8>) -> Vec<u8> {
    let old = |entry: Entry| entry.mtime(THEN);
    let lower = [
        Entry::file("busybox", busybox).mode(0o755),
        Entry::directory("tmp").mode(0o1777),
        // Where a volume is to be mounted, a running container has a directory.
        Entry::directory("tmp/v"),
        Entry::directory("w"),
        Entry::directory("w/a"),
        Entry::file("w/a/f", "one"),
        Entry::file("w/a/g", "two").mode(0o4755),
        Entry::directory("w/a/d").mode(0o700),
        Entry::file("w/a/d/f", "deep"),
        Entry::directory("w/a/d/d"),
        Entry::file("w/a/d/d/f", "deeper"),
        Entry::directory("w/b"),
        Entry::file("w/b/f", "gone"),
        Entry::file("w/f", "file"),
        Entry::symlink("w/l", "a"),
        Entry::symlink("w/m", "/w/a/f"),
        Entry::symlink("w/n", "nowhere"),
        Entry::hard_link("w/h", "w/f"),
        Entry::file("w/caf\u{e9} 100%", "odd"),
    ];
    let upper = [
        Entry::directory("w"),
        Entry::directory("w/b"),
        Entry::file("w/b/.wh.f", ""),
        Entry::file("w/b/g", "new"),
        Entry::directory("w/e"),
    ];
    let layer = |entries: &[Entry]| Layer::Tar(tar(&entries.iter().cloned().map(old).collect::<Vec<_>>()));
    docker_legacy(&[ImageSpec {
        layers: vec![layer(&lower), layer(&upper)],
        cmd: ["/busybox", "sleep", "100000"].map(str::to_owned).to_vec(),
        env: vec!["PATH=/bin".to_owned(), "A=1".to_owned()],
        volumes: vec!["/tmp/v".to_owned()],
        exposed_ports: vec!["80/tcp".to_owned()],
        // The steps need root.
        user: "0".to_owned(),
        author: "the base's".to_owned(),
        ..ImageSpec::new(NAME).label("kept", "yes")
    }])
}
