//! What commits say: `--author`, `--message` and `--change`.

use longshore_archive::{Commit, CommitChanges};
use longshore_engine::CommitOptions;

use crate::random::Random;

/// Lines of a Dockerfile, some of which Docker refuses.
const LINES: [&str; 62] = [
    "CMD [\"/busybox\", \"sleep\", \"7\"]",
    "CMD echo  hi 'there'",
    "CMD []",
    "ENTRYPOINT [\"/busybox\"]",
    "ENTRYPOINT exec top",
    "ENTRYPOINT []",
    "ENV B=$A C=\"x ${A}\" D='$A' E=a\\ b",
    "ENV Z=1 A=2",
    "ENV F g  h",
    "ENV G=${A:-9}${NOTHING:-8}${A:+7}${NOTHING:+6}",
    "EXPOSE 80 443/TCP",
    "EXPOSE 53/udp 8000-8002",
    "LABEL a=b \"c d\"=e kept=no",
    "LABEL f g h",
    "ONBUILD RUN touch /x",
    "onbuild COPY . /y",
    "USER app",
    "USER 1000:1000",
    "VOLUME /data /more",
    "VOLUME [\"/with space\"]",
    "WORKDIR /srv",
    "WORKDIR sub/../dir",
    "HEALTHCHECK --interval=1m30s --retries=3 CMD curl -f http://localhost",
    "HEALTHCHECK --timeout=1.5s CMD [\"/busybox\", \"true\"]",
    "HEALTHCHECK NONE",
    "HEALTHCHECK --retries=2 --interval=\"5s\" --timeout= CMD x",
    "HEALTHCHECK --start-period=1m --foo NONE",
    "CMD",
    "ENV -- H=$$$?$@ I=${A:+b}",
    "EXPOSE 127.0.0.1:8080:90 8080:81/udp 60-61:70-71 0 82/",
    "LABEL i=a\u{a0}b j=\"k l\"",
    "USER \"\"",
    "USER $NOTHING",
    "USER a b",
    "VOLUME -- /more",
    "RUN true",
    "ENV a",
    "EXPOSE none",
    "SHELL [\"/bin/ash\"]",
    "HEALTHCHECK nothing",
    "",
    "# nothing",
    "CMD [\"a\", 1]",
    "ENV --foo a=b",
    "ENV a=${NOTHING:?none}",
    "ENV a=\"b",
    "ENV\u{a0}a=b",
    "EXPOSE /tcp",
    "EXPOSE 80:",
    "EXPOSE a:80",
    "EXPOSE 80/x",
    "HEALTHCHECK --interval=1s --interval=1s CMD x",
    "HEALTHCHECK --retries=99999999999 CMD x",
    "HEALTHCHECK --retries=x CMD x",
    "HEALTHCHECK --timeout CMD x",
    "HEALTHCHECK CMD []",
    "LABEL --x=y a=b",
    "USER",
    "USER --x",
    "VOLUME []",
    "WORKDIR",
    "WORKDIR ${NOTHING}",
];
/// How many of these Docker takes.
const TAKEN: usize = 35;

/// A few lines, in one of eight cases one that is refused.
pub(crate) fn random(random: &mut Random) -> CommitOptions {
    let good = LINES.get(..TAKEN).unwrap_or_default();
    let mut lines: Vec<String> = (0..random.below(6)).map(|_| (*random.pick(good)).to_owned()).collect();
    if random.below(8) == 0 {
        lines.push((*random.pick(&LINES)).to_owned());
    }
    let text = |random: &mut Random, text: &str| (random.below(2) == 0).then(|| text.to_owned());
    CommitOptions {
        reference: None,
        commit: Commit {
            author: text(random, "somebody <some@body>"),
            message: text(random, "a message"),
            created: "2024-01-01T00:00:00Z".to_owned(),
            changes: CommitChanges::Instructions(lines),
        },
    }
}
