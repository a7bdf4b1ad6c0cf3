//! Lines of a Dockerfile that change a config, as `docker commit --change` takes them (moby `builder/dockerfile/dispatchers.go`,
//! buildkit `frontend/dockerfile/{parser,shell,instructions}`).

mod expand;
mod health;

use crate::changes::{Change, ConfigChanges, protocol, refuse, toggle};
use crate::error::Result;
use crate::json::{self, Object};

use expand::expand;
use health::health_check;

/// The instructions that Docker takes.
const KNOWN: [&str; 11] = [
    "CMD",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "HEALTHCHECK",
    "LABEL",
    "ONBUILD",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// What stands between the words of an instruction: no other white space does.
const SPACES: [char; 5] = [' ', '\t', '\x0b', '\x0c', '\r'];

/// Applies lines to the `config` object of a config, in order. Fails with `invalid-argument`, in Docker's words.
pub(crate) fn apply(lines: &[String], config: &mut Object<'_>) -> Result<()> {
    let given = joined(lines);
    if given.is_empty() && !lines.is_empty() {
        return Err(refuse("file with no instructions".to_owned()));
    }
    let lines: Vec<(&str, &str)> = given
        .iter()
        .map(|line| line.trim())
        .map(|line| line.split_once(SPACES).unwrap_or((line, "")))
        .map(|(word, rest)| (word, rest.trim()))
        .collect();
    // Docker looks at all of them first.
    if let Some((word, _)) =
        lines.iter().find(|(word, _)| !KNOWN.contains(&word.to_ascii_uppercase().as_str()))
    {
        return Err(refuse(format!("{word} is not a valid change command")));
    }
    let before = ["User", "Cmd", "Entrypoint"].map(|key| (key, config.get(key).map(str::to_owned)));
    let check = config.get("Healthcheck").map(str::to_owned);
    let mut own_command = None;
    for (word, rest) in lines {
        one(&word.to_ascii_uppercase(), rest, config, &mut own_command)?;
    }
    // What is empty then is as the container has it (moby `daemon/commit.go`); what it runs, though, only where there is no
    // entry point.
    let is_set = |config: &Object<'_>, key: &str| {
        config.array(key).is_some_and(|words| !words.is_empty())
            || config.read::<String>(key).is_some_and(|text| !text.is_empty())
    };
    let runs = is_set(config, "Entrypoint");
    for (key, value) in before {
        if let Some(value) = value.filter(|_| (key == "User" || !runs) && !is_set(config, key)) {
            config.set(key, &value);
        }
    }
    let merged = (check.as_deref().and_then(Object::parse), config.object("Healthcheck"));
    if let (Some(old), Some(mut new)) = merged {
        let lacks = |(key, value): &(&str, &str)| !matches!(*value, "0" | "null") && new.get(key).is_none();
        let lacking: Vec<(&str, &str)> = old.members().filter(lacks).collect();
        if !lacking.is_empty() {
            for (key, value) in lacking {
                new.push(key, value.to_owned());
            }
            let text = new.to_json();
            config.set("Healthcheck", &text);
        }
    }
    Ok(())
}

/// One line for each instruction. It goes on below where its line ends with a backslash, unless with two; comments and empty
/// lines between do not count, and neither does which of the lines were given together.
fn joined(lines: &[String]) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let mut open = None;
    let text = lines.join("\n");
    for line in text.strip_prefix('\u{feff}').unwrap_or(&text).lines() {
        let seen = line.trim_start();
        if seen.trim_end().is_empty() || seen.starts_with('#') {
            continue;
        }
        let end = line.trim_end_matches([' ', '\t']);
        let rest = end.strip_suffix('\\').filter(|rest| !rest.ends_with('\\'));
        let begun = open.take().unwrap_or_default();
        let whole: String = begun + rest.unwrap_or(line);
        if rest.is_some() {
            open = Some(whole);
        } else {
            all.push(whole);
        }
    }
    all.extend(open);
    all
}

/// Applies one instruction.
fn one(word: &str, line: &str, config: &mut Object<'_>, command: &mut Option<Vec<String>>) -> Result<()> {
    let (flags, rest) = flags_of(line);
    // A command may be empty.
    if rest.is_empty() && !matches!(word, "CMD" | "ENTRYPOINT") {
        let wanted = if matches!(word, "USER" | "WORKDIR" | "STOPSIGNAL") { "exactly" } else { "at least" };
        return Err(refuse(format!("{word} requires {wanted} one argument")));
    }
    if !matches!(word, "HEALTHCHECK" | "STOPSIGNAL") {
        values_of(&flags, &[])?;
    }
    let mut changes = ConfigChanges::default();
    let variables: Vec<String> = config.read("Env").unwrap_or_default();
    let expanded = |text: &str| expand(text, &variables);
    match word {
        "CMD" => {
            let given = program(rest, config)?;
            changes.cmd = Change::Set(given.clone());
            // Without words it counts as none given: the next entry point takes it out.
            if command.is_some() || !rest.is_empty() && !given.is_empty() {
                *command = Some(given);
            }
        }
        "ENTRYPOINT" => {
            let words = if rest.is_empty() { Vec::new() } else { program(rest, config)? };
            changes.entrypoint = if words.is_empty() { Change::Clear } else { Change::Set(words) };
            changes.cmd = command.clone().map_or(Change::Keep, Change::Set);
        }
        "ENV" | "LABEL" => {
            let pairs = pairs_of(word, rest)?;
            let pairs = pairs.iter().map(|(key, value)| Ok((expanded(key)?, expanded(value)?)));
            for (key, value) in pairs.collect::<Result<Vec<_>>>()? {
                if key.is_empty() {
                    return Err(refuse(format!("{word} names can not be blank")));
                }
                // One by one: variables keep the order in which they are given.
                let mut one = ConfigChanges::default();
                (if word == "ENV" { &mut one.env } else { &mut one.labels }).insert(key, Change::Set(value));
                one.alter(config, &mut Vec::new())?;
            }
        }
        "EXPOSE" => {
            let mut all = Vec::new();
            for word in rest.split(SPACES) {
                // What a variable holds may be several ports, or none.
                for port in expanded(word)?.split_whitespace() {
                    all.extend(ports(port)?.into_iter().map(|port| (port, true)));
                }
            }
            all.sort();
            toggle(config, "ExposedPorts", word, &all, &mut Vec::new());
        }
        "VOLUME" => {
            let split = || rest.split(SPACES).filter(|path| !path.is_empty()).map(str::to_owned).collect();
            let paths = list(rest)?.unwrap_or_else(split);
            if paths.is_empty() {
                return Err(refuse("VOLUME requires at least one argument".to_owned()));
            }
            for path in paths {
                changes.volumes.insert(expanded(&path)?.trim().to_owned(), true);
            }
        }
        "USER" => changes.user = Change::Set(expanded(rest)?),
        "STOPSIGNAL" => changes.stop_signal = Change::Set(expanded(rest)?),
        "WORKDIR" => {
            let path = expanded(rest)?;
            let current: String = config.read("WorkingDir").unwrap_or_default();
            if path.is_empty() {
                return Err(refuse("cannot normalize nothing".to_owned()));
            }
            let above = if path.starts_with('/') { "" } else { &current };
            changes.working_dir = Change::Set(clean(&format!("{above}/{path}")));
        }
        "ONBUILD" => {
            let trigger = rest.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
            match trigger.as_str() {
                "ONBUILD" => {
                    return Err(refuse("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed".to_owned()));
                }
                "FROM" | "MAINTAINER" => {
                    return Err(refuse(format!("{trigger} isn't allowed as an ONBUILD trigger")));
                }
                _ => {}
            }
            let known: Vec<String> =
                config.array("OnBuild").unwrap_or_default().into_iter().map(str::to_owned).collect();
            config.set("OnBuild", &json::array_of(known.into_iter().chain([json::string(line)])));
        }
        _ => {
            let check = health_check(&flags, rest)?;
            config.set("Healthcheck", &check);
        }
    }
    changes.alter(config, &mut Vec::new())
}

/// The flags that an instruction begins with, without their quotes, and what follows them.
fn flags_of(mut rest: &str) -> (Vec<String>, &str) {
    let mut flags = Vec::new();
    while let Some(begun) = rest.strip_prefix("--") {
        let mut characters = begun.chars();
        let (mut flag, mut quote) = (String::new(), None);
        while let Some(character) = characters.next() {
            match character {
                '\\' => flag.extend(characters.next()),
                end if quote == Some(end) => quote = None,
                '\'' | '"' if quote.is_none() => quote = Some(character),
                space if space.is_whitespace() && quote.is_none() => break,
                other => flag.push(other),
            }
        }
        rest = characters.as_str().trim_start();
        if flag.is_empty() {
            break;
        }
        flags.push(flag);
    }
    (flags, rest)
}

/// Flags by name, with their values. Fails for one that is not among the names, comes twice, or has no value.
fn values_of<'a>(flags: &'a [String], names: &[(&str, &str)]) -> Result<Vec<(&'a str, &'a str)>> {
    let mut values: Vec<(&str, &str)> = Vec::new();
    for flag in flags {
        let (name, value) =
            flag.split_once('=').map_or((flag.as_str(), None), |(name, value)| (name, Some(value)));
        let trouble = if !names.iter().any(|(known, _)| *known == name) {
            "unknown flag"
        } else if values.iter().any(|(known, _)| *known == name) {
            "duplicate flag specified"
        } else if let Some(value) = value {
            values.push((name, value));
            continue;
        } else {
            "missing a value on flag"
        };
        return Err(refuse(format!("{trouble}: {name}")));
    }
    Ok(values)
}

/// The words of a command: those of a JSON array, or a line for the shell, which is nothing but the shell without one.
fn program(rest: &str, config: &Object<'_>) -> Result<Vec<String>> {
    Ok(list(rest)?.unwrap_or_else(|| {
        let shell = config.read::<Vec<String>>("Shell").filter(|shell| !shell.is_empty());
        let mut words = shell.unwrap_or_else(|| vec!["/bin/sh".to_owned(), "-c".to_owned()]);
        words.extend((!rest.is_empty()).then(|| rest.to_owned()));
        words
    }))
}

/// The strings of a JSON array; `None` where the text is something else.
fn list(text: &str) -> Result<Option<Vec<String>>> {
    let Some(words) = json::array(text) else { return Ok(None) };
    let words: Option<Vec<String>> = words.into_iter().map(|word| serde_json::from_str(word).ok()).collect();
    let strings = "when using JSON array syntax, arrays must be comprised of strings only";
    words.map(Some).ok_or_else(|| refuse(strings.to_owned()))
}

/// Words between white space, with their quotes.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character.is_whitespace() && quote.is_none() {
            words.extend((!word.is_empty()).then(|| std::mem::take(&mut word)));
            continue;
        }
        word.push(character);
        match (character, quote) {
            ('\\', None | Some('"')) => word.extend(characters.next()),
            ('\'' | '"', None) => quote = Some(character),
            (end, Some(begin)) if end == begin => quote = None,
            _ => {}
        }
    }
    words.extend((!word.is_empty()).then_some(word));
    words
}

/// Names and values, as they are written: `a=1 b=2`, or one name and the rest of the line.
fn pairs_of(word: &str, rest: &str) -> Result<Vec<(String, String)>> {
    let words = words(rest);
    if words.first().is_some_and(|first| !first.contains('=')) {
        let (key, value) =
            rest.split_once(SPACES).ok_or_else(|| refuse(format!("{word} must have two arguments")))?;
        return Ok(vec![(key.to_owned(), value.trim_start_matches(SPACES).to_owned())]);
    }
    let pair = |word: String| match word.split_once('=') {
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
        None => {
            Err(refuse(format!("Syntax error - can't find = in {word:?}. Must be of the form: name=value")))
        }
    };
    words.into_iter().map(pair).collect()
}

/// A container's ports that a text means, `[[IP:]HOST:]PORT[/PROTOCOL]`, each a number or a range
/// (`github.com/docker/go-connections/nat`).
fn ports(text: &str) -> Result<Vec<String>> {
    let (host, own) = text.rsplit_once(':').unwrap_or(("", text));
    let (numbers, kind) = own.split_once('/').unwrap_or((own, ""));
    if numbers.is_empty() {
        return Err(refuse(format!("no port specified: {text}<empty>")));
    }
    let host = host.rsplit_once(':').map_or(host, |(_, host)| host);
    let (from, to) = range(numbers).ok_or_else(|| refuse(format!("invalid containerPort: {numbers}")))?;
    if !host.is_empty() {
        let (first, last) = range(host).ok_or_else(|| refuse(format!("invalid hostPort: {host}")))?;
        if from != to && to - from != last - first {
            let what = "invalid ranges specified for container and host Ports";
            return Err(refuse(format!("{what}: {numbers} and {host}")));
        }
    }
    let kind = protocol(if kind.is_empty() { "tcp" } else { kind })?;
    Ok((from..=to).map(|port| format!("{port}/{kind}")).collect())
}

/// A number, or the first and the last of several.
fn range(text: &str) -> Option<(u16, u16)> {
    let number = |text: &str| text.parse().ok().filter(|_| !text.starts_with('+'));
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    Some((number(from)?, number(to)?)).filter(|(from, to)| from <= to)
}

/// A path as Go's `filepath.Clean` has it; it begins with a slash.
fn clean(path: &str) -> String {
    let mut names: Vec<&str> = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => drop(names.pop()),
            name => names.push(name),
        }
    }
    format!("/{}", names.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(config: &str, lines: &[&str]) -> Result<String> {
        let mut object = Object::parse(config).unwrap();
        let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        apply(&lines, &mut object)?;
        Ok(object.to_json())
    }

    #[test]
    fn instructions() {
        for (config, lines, after) in [
            ("{}", &["CMD echo hi"][..], r#"{"Cmd":["/bin/sh","-c","echo hi"]}"#),
            (r#"{"Shell":["/bin/ash"]}"#, &["cmd x"], r#"{"Shell":["/bin/ash"],"Cmd":["/bin/ash","x"]}"#),
            (r#"{"Cmd":["a"]}"#, &["ENTRYPOINT [\"b\"]"], r#"{"Entrypoint":["b"]}"#),
            (
                r#"{"Cmd":["a"]}"#,
                &["CMD [\"c\"]", "ENTRYPOINT [\"b\"]"],
                r#"{"Cmd":["c"],"Entrypoint":["b"]}"#,
            ),
            (r#"{"Cmd":["a"]}"#, &["CMD []"], r#"{"Cmd":["a"]}"#),
            (r#"{"Cmd":["a"]}"#, &["CMD"], r#"{"Cmd":["/bin/sh","-c"]}"#),
            (r#"{"Cmd":["a"]}"#, &["CMD", "ENTRYPOINT [\"b\"]"], r#"{"Entrypoint":["b"]}"#),
            (r#"{"Cmd":["a"],"Entrypoint":["b"]}"#, &["CMD []"], r#"{"Cmd":[],"Entrypoint":["b"]}"#),
            ("{}", &["CMD [\"a\"] # c"], r#"{"Cmd":["/bin/sh","-c","[\"a\"] # c"]}"#),
            (r#"{"Cmd":["a"],"Entrypoint":["b"]}"#, &["ENTRYPOINT"], r#"{"Cmd":["a"],"Entrypoint":["b"]}"#),
            (
                r#"{"Cmd":["a"],"Entrypoint":["b"]}"#,
                &["ENTRYPOINT []"],
                r#"{"Cmd":["a"],"Entrypoint":["b"]}"#,
            ),
            (
                r#"{"Env":["A=1"]}"#,
                &["ENV B=$A C=\"x ${A}\" D='$A' E=\\$A", "ENV F g  h"],
                r#"{"Env":["A=1","B=1","C=x 1","D=$A","E=$A","F=g  h"]}"#,
            ),
            (r#"{"Env":["A=1"]}"#, &["ENV A=2 B=${A:-9}${X:-8}${A:+7}${X:+6}"], r#"{"Env":["A=2","B=187"]}"#),
            (
                "{}",
                &["EXPOSE 80 53/UDP 8000-8001/tcp"],
                r#"{"ExposedPorts":{"53/udp":{},"80/tcp":{},"8000/tcp":{},"8001/tcp":{}}}"#,
            ),
            (
                r#"{"Env":["P=1 2/udp"]}"#,
                &["EXPOSE $P ${Q}"],
                r#"{"Env":["P=1 2/udp"],"ExposedPorts":{"1/tcp":{},"2/udp":{}}}"#,
            ),
            ("{}", &["EXPOSE ${P}"], "{}"),
            (
                "{}",
                &["EXPOSE 80:90 127.0.0.1:1:91 8080:80/udp 80-81:70-71 60-69:6 0 81/"],
                r#"{"ExposedPorts":{"0/tcp":{},"6/tcp":{},"70/tcp":{},"71/tcp":{},"80/udp":{},"81/tcp":{},"90/tcp":{},"91/tcp":{}}}"#,
            ),
            (
                r#"{"Env":["A=","A=1","E="]}"#,
                &["ENV B=a$$$@$*$#$?$-$!$0 C=${A?x}${E-y}${E:-z}${X-z}${X+z}${E+\"}\"} D=$1x$"],
                r#"{"Env":["A=","A=1","E=","B=a","C=1zz}","D=x$"]}"#,
            ),
            (
                "{}",
                &["\u{feff}ENV -- a=b\u{a0}c=d", "ENV e f\u{a0}g"],
                "{\"Env\":[\"a=b\",\"c=d\",\"e=f\u{a0}g\"]}",
            ),
            (
                "{}",
                &["WORKDIR /a/./b/", "USER a b", "VOLUME -- [\"/a\"]"],
                r#"{"WorkingDir":"/a/b","User":"a b","Volumes":{"/a":{}}}"#,
            ),
            (r#"{"User":"app"}"#, &["USER $UNSET"], r#"{"User":"app"}"#),
            (r#"{"User":"app"}"#, &["USER b", "USER \"\""], r#"{"User":"app"}"#),
            ("{}", &["LABEL a=b \"c d\"=e", "LABEL f g"], r#"{"Labels":{"a":"b","c d":"e","f":"g"}}"#),
            ("{}", &["VOLUME /a /b", "VOLUME [\"/c d\"]"], r#"{"Volumes":{"/a":{},"/b":{},"/c d":{}}}"#),
            (
                r#"{"WorkingDir":"/a"}"#,
                &["WORKDIR b/../c", "USER $U:1"],
                r#"{"WorkingDir":"/a/c","User":":1"}"#,
            ),
            ("{}", &["ONBUILD RUN x", "STOPSIGNAL 9"], r#"{"OnBuild":["RUN x"],"StopSignal":"9"}"#),
            (
                "{}",
                &["HEALTHCHECK --interval=1m30s --retries=2 CMD curl x"],
                r#"{"Healthcheck":{"Test":["CMD-SHELL","curl x"],"Interval":90000000000,"Retries":2}}"#,
            ),
            ("{}", &["HEALTHCHECK NONE", "# no more", ""], r#"{"Healthcheck":{"Test":["NONE"]}}"#),
            ("{}", &["HEALTHCHECK --interval=5s --foo NONE []"], r#"{"Healthcheck":{"Test":["NONE"]}}"#),
            (
                "{}",
                &["HEALTHCHECK --retries= --interval=\"5s\" --timeout=0 -- CMD [\"a\", \"b\"]"],
                r#"{"Healthcheck":{"Test":["CMD","a","b"],"Interval":5000000000}}"#,
            ),
            (
                r#"{"Healthcheck":{"Test":["CMD","a"],"Interval":5000000000,"Timeout":0,"Retries":3}}"#,
                &["HEALTHCHECK --timeout=1s CMD x", "HEALTHCHECK --retries=2 CMD x", "HEALTHCHECK NONE"],
                r#"{"Healthcheck":{"Test":["NONE"],"Interval":5000000000,"Retries":3}}"#,
            ),
            ("{}", &[], "{}"),
        ] {
            assert_eq!(applied(config, lines).unwrap(), after, "{lines:?}");
        }
    }

    /// As Docker 20.10 reads them.
    #[test]
    fn instructions_that_go_on() {
        for (lines, after) in [
            (&["ENV A=1 \\\n B=2"][..], r#"{"Env":["A=1","B=2"]}"#),
            (&["ENV A=1 \\", " B=2"], r#"{"Env":["A=1","B=2"]}"#),
            (&["ENV A=1 \\\n\n  # no\n B=2"], r#"{"Env":["A=1","B=2"]}"#),
            (&["ENV A=1 \\"], r#"{"Env":["A=1"]}"#),
            (&["ENV A=1\r\nENV B=2"], r#"{"Env":["A=1","B=2"]}"#),
            (&["ENV A=\"1 \\\n B=2\""], r#"{"Env":["A=1  B=2"]}"#),
            (&["CMD echo \\\n  hi   \\  \n there"], r#"{"Cmd":["/bin/sh","-c","echo   hi    there"]}"#),
            (&["CMD [ \"a\", \\\n \"b\" ]"], r#"{"Cmd":["a","b"]}"#),
        ] {
            assert_eq!(applied("{}", lines).unwrap(), after, "{lines:?}");
        }
        // With two there is nothing to go on.
        assert_eq!(
            applied("{}", &["CMD a \\\\\nb"]).unwrap_err().message(),
            "b is not a valid change command"
        );
    }

    #[test]
    fn refusals_in_dockers_words() {
        for (line, sentence) in [
            ("RUN x", "RUN is not a valid change command"),
            ("SHELL [\"a\"]", "SHELL is not a valid change command"),
            ("ENV", "ENV requires at least one argument"),
            ("ENV a", "ENV must have two arguments"),
            ("LABEL a=1 b", "Syntax error - can't find = in \"b\". Must be of the form: name=value"),
            ("USER", "USER requires exactly one argument"),
            ("USER --x", "USER requires exactly one argument"),
            ("WORKDIR", "WORKDIR requires exactly one argument"),
            ("WORKDIR ${UNSET}", "cannot normalize nothing"),
            ("WORKDIR \"\"", "cannot normalize nothing"),
            ("ENV\u{a0}a=b", "ENV\u{a0}a=b is not a valid change command"),
            ("ENV --foo a=b", "unknown flag: foo"),
            ("LABEL --x=y a=b", "unknown flag: x"),
            ("CMD --foo a", "unknown flag: foo"),
            ("ONBUILD --foo RUN x", "unknown flag: foo"),
            ("CMD [\"a\", 1]", "when using JSON array syntax, arrays must be comprised of strings only"),
            (
                "VOLUME [\"/a\", null]",
                "when using JSON array syntax, arrays must be comprised of strings only",
            ),
            ("VOLUME []", "VOLUME requires at least one argument"),
            ("ENV a=${X?not", "failed to process \"${X?not\": syntax error: missing '}'"),
            ("ENV a=\"${X:?not there}\"", "failed to process \"\\\"${X:?not there}\\\"\": X: not there"),
            ("USER ${X?}", "failed to process \"${X?}\": X: is not allowed to be unset"),
            ("USER ${X:+a", "failed to process \"${X:+a\": syntax error: missing '}'"),
            ("USER ${X:x}", "failed to process \"${X:x}\": unsupported modifier (:x) in substitution"),
            ("USER ${}", "failed to process \"${}\": syntax error: bad substitution"),
            (
                "ENV a='",
                "failed to process \"'\": unexpected end of statement while looking for matching single-quote",
            ),
            (
                "EXPOSE \"80",
                "failed to process \"\\\"80\": unexpected end of statement while looking for matching double-quote",
            ),
            ("", "file with no instructions"),
            (" \n#", "file with no instructions"),
            ("\\", " is not a valid change command"),
            ("ONBUILD ONBUILD RUN x", "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"),
            ("ONBUILD from x", "FROM isn't allowed as an ONBUILD trigger"),
            ("EXPOSE x", "invalid containerPort: x"),
            ("EXPOSE", "EXPOSE requires at least one argument"),
            ("EXPOSE 82/foo", "invalid proto: foo"),
            ("EXPOSE 82-83/foo", "invalid proto: foo"),
            ("EXPOSE 83-82", "invalid containerPort: 83-82"),
            ("EXPOSE +82", "invalid containerPort: +82"),
            ("EXPOSE 80:", "no port specified: 80:<empty>"),
            ("EXPOSE /tcp", "no port specified: /tcp<empty>"),
            ("EXPOSE a:80", "invalid hostPort: a"),
            ("EXPOSE 1-3:80-81", "invalid ranges specified for container and host Ports: 80-81 and 1-3"),
            ("HEALTHCHECK CMD", "Missing command after HEALTHCHECK CMD"),
            ("HEALTHCHECK CMD []", "Missing command after HEALTHCHECK CMD"),
            ("HEALTHCHECK NONE x", "HEALTHCHECK NONE takes no arguments"),
            ("HEALTHCHECK --interval=1s --interval=1s CMD x", "duplicate flag specified: interval"),
            ("HEALTHCHECK --interval CMD x", "missing a value on flag: interval"),
            ("HEALTHCHECK --retries=x CMD x", "strconv.ParseInt: parsing \"x\": invalid syntax"),
            ("HEALTHCHECK --retries=-1 CMD x", "--retries cannot be negative (-1)"),
            (
                "HEALTHCHECK --retries=99999999999 CMD x",
                "strconv.ParseInt: parsing \"99999999999\": value out of range",
            ),
            ("HEALTHCHECK FOO x", "Unknown type \"FOO\" in HEALTHCHECK (try CMD)"),
            ("HEALTHCHECK --interval=1 CMD x", "time: missing unit in duration \"1\""),
            ("HEALTHCHECK --interval=-1s CMD x", "Interval \"interval\" cannot be less than 1ms"),
            ("STOPSIGNAL NOTHING", "invalid signal: NOTHING"),
        ] {
            assert_eq!(applied("{}", &[line]).unwrap_err().message(), sentence, "{line}");
        }
        let deep = format!("ENV a={}", "${X:-\"".repeat(10_000));
        assert!(applied("{}", &[&deep]).unwrap_err().message().ends_with("a substitution is too deep"));
        for odd in [
            "ENV a=${",
            "ENV a=${b",
            "ENV a=${b:",
            "ENV a=${b:-",
            "ENV a=\"\\",
            "HEALTHCHECK --\"",
            "ENV --\\",
        ] {
            applied("{}", &[odd]).unwrap_err();
        }
    }
}
