//! Lines of a Dockerfile that change a config, as `docker commit --change` takes them (moby `builder/dockerfile/dispatchers.go`,
//! buildkit `frontend/dockerfile/{parser,shell,instructions}`).

use std::iter::Peekable;
use std::str::Chars;

use crate::changes::{Change, ConfigChanges, refuse};
use crate::error::Result;
use crate::json::{self, Object};
use crate::time::duration;

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

/// Applies lines to the `config` object of a config, in order. Fails with `invalid-argument`, in Docker's words.
pub(crate) fn apply(lines: &[String], config: &mut Object<'_>) -> Result<()> {
    let lines = joined(lines);
    let lines: Vec<(String, &str)> = lines
        .iter()
        .map(|line| line.trim())
        .map(|line| line.split_once(char::is_whitespace).unwrap_or((line, "")))
        .map(|(word, rest)| (word.to_owned(), rest.trim()))
        .collect();
    // Docker looks at all of them first.
    if let Some((word, _)) =
        lines.iter().find(|(word, _)| !KNOWN.contains(&word.to_ascii_uppercase().as_str()))
    {
        return Err(refuse(format!("{word} is not a valid change command")));
    }
    let before = ["Cmd", "Entrypoint"].map(|key| (key, config.get(key).map(str::to_owned)));
    let mut own_command = None;
    for (word, rest) in &lines {
        let word = word.to_ascii_uppercase();
        // A command may be empty.
        if rest.is_empty() && !matches!(word.as_str(), "CMD" | "ENTRYPOINT") {
            return Err(refuse(format!("{word} requires at least one argument")));
        }
        one(&word, rest, config, &mut own_command)?;
    }
    // Without an entry point it is what the container has, and the command as well where there is none.
    let is_set = |config: &Object<'_>, key: &str| config.array(key).is_some_and(|words| !words.is_empty());
    if !is_set(config, "Entrypoint") {
        for (key, words) in before {
            if let Some(words) = words.filter(|_| !is_set(config, key)) {
                config.set(key, &words);
            }
        }
    }
    Ok(())
}

/// One line for each instruction. It goes on below where its line ends with a backslash, unless with two; comments and empty
/// lines between do not count, and neither does which of the lines were given together.
fn joined(lines: &[String]) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let mut open = None;
    for line in lines.iter().flat_map(|line| line.lines()) {
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
    all.retain(|line| !line.trim().is_empty());
    all
}

/// Applies one instruction.
fn one(word: &str, rest: &str, config: &mut Object<'_>, command: &mut Option<Vec<String>>) -> Result<()> {
    let mut changes = ConfigChanges::default();
    let variables: Vec<String> = config.read("Env").unwrap_or_default();
    let expanded = |text: &str| expand(text, &variables);
    let single = || match words(rest).as_slice() {
        [one] => expanded(one),
        _ => Err(refuse(format!("{word} requires exactly one argument"))),
    };
    match word {
        "CMD" => {
            let given = program(rest, config);
            changes.cmd = Change::Set(given.clone());
            // `[]` counts as none given: the next entry point takes it out.
            if command.is_some() || !given.is_empty() {
                *command = Some(given);
            }
        }
        "ENTRYPOINT" => {
            let words = program(rest, config);
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
            for word in words(rest) {
                // What a variable holds may be several ports, or none.
                for port in expanded(&word)?.split_whitespace() {
                    changes.exposed_ports.extend(ports(port)?.into_iter().map(|port| (port, true)));
                }
            }
        }
        "VOLUME" => {
            let paths = list(rest).unwrap_or_else(|| words(rest));
            for path in paths {
                changes.volumes.insert(expanded(&path)?.trim().to_owned(), true);
            }
        }
        "USER" => changes.user = Change::Set(single()?),
        "STOPSIGNAL" => changes.stop_signal = Change::Set(single()?),
        "WORKDIR" => {
            let path = expanded(rest)?;
            let current: String = config.read("WorkingDir").unwrap_or_default();
            let is_absolute = path.starts_with('/');
            changes.working_dir =
                Change::Set(if is_absolute { path } else { clean(&format!("/{current}/{path}")) });
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
            config.set("OnBuild", &json::array_of(known.into_iter().chain([json::string(rest)])));
        }
        _ => {
            let check = health_check(rest)?;
            config.set("Healthcheck", &check);
        }
    }
    changes.alter(config, &mut Vec::new())
}

/// The words of a command: none, those of a JSON array, or a line for the shell.
fn program(rest: &str, config: &Object<'_>) -> Vec<String> {
    if rest.is_empty() {
        return Vec::new();
    }
    list(rest).unwrap_or_else(|| {
        let shell = config.read::<Vec<String>>("Shell").filter(|shell| !shell.is_empty());
        let mut words = shell.unwrap_or_else(|| vec!["/bin/sh".to_owned(), "-c".to_owned()]);
        words.push(rest.to_owned());
        words
    })
}

fn list(text: &str) -> Option<Vec<String>> {
    serde_json::from_str(text).ok()
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
        let (key, value) = rest
            .split_once(char::is_whitespace)
            .ok_or_else(|| refuse(format!("{word} must have two arguments")))?;
        return Ok(vec![(key.to_owned(), value.trim_start().to_owned())]);
    }
    let pair = |word: String| match word.split_once('=') {
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
        None => {
            Err(refuse(format!("Syntax error - can't find = in {word:?}. Must be of the form: name=value")))
        }
    };
    words.into_iter().map(pair).collect()
}

/// A word without its quotes, with the values of variables.
fn expand(text: &str, variables: &[String]) -> Result<String> {
    let mut result = String::new();
    let mut characters = text.chars().peekable();
    let mut in_quotes = false;
    let open = || refuse("unexpected end of statement while looking for matching quote".to_owned());
    while let Some(character) = characters.next() {
        match character {
            '\'' if !in_quotes => loop {
                match characters.next().ok_or_else(open)? {
                    '\'' => break,
                    other => result.push(other),
                }
            },
            '"' => in_quotes = !in_quotes,
            '\\' => match characters.next() {
                Some(next) if !in_quotes || matches!(next, '"' | '$' | '\\') => result.push(next),
                next => {
                    result.push('\\');
                    result.extend(next);
                }
            },
            '$' => result.push_str(&variable(&mut characters, variables)?),
            other => result.push(other),
        }
    }
    if in_quotes { Err(open()) } else { Ok(result) }
}

/// What stands for `$name`, `${name}`, `${name:-word}` and `${name:+word}`, of which the dollar is read.
fn variable(characters: &mut Peekable<Chars<'_>>, variables: &[String]) -> Result<String> {
    let value = |name: &str| {
        let find = |text: &String| {
            text.split_once('=').filter(|(known, _)| *known == name).map(|(_, value)| value.to_owned())
        };
        variables.iter().find_map(find).unwrap_or_default()
    };
    let is_name = |character: &char| character.is_ascii_alphanumeric() || *character == '_';
    let braced = characters.next_if_eq(&'{').is_some();
    let mut name = String::new();
    while let Some(character) = characters.next_if(is_name) {
        name.push(character);
    }
    if !braced {
        return Ok(if name.is_empty() { "$".to_owned() } else { value(&name) });
    }
    let end = || refuse("syntax error: missing '}'".to_owned());
    if name.is_empty() {
        return Err(refuse("syntax error: bad substitution".to_owned()));
    }
    match characters.next().ok_or_else(end)? {
        '}' => Ok(value(&name)),
        ':' => {
            let modifier = characters.next().ok_or_else(end)?;
            let (mut word, mut depth) = (String::new(), 1);
            loop {
                let character = characters.next().ok_or_else(end)?;
                depth = match character {
                    '{' => depth + 1,
                    '}' => depth - 1,
                    _ => depth,
                };
                if depth == 0 {
                    break;
                }
                word.push(character);
            }
            let value = value(&name);
            match (modifier, value.is_empty()) {
                ('-', false) => Ok(value),
                ('+', true) => Ok(String::new()),
                // Each nests another, which must not be too deep for the stack.
                ('-' | '+', _) if word.len() >= 1024 => Err(refuse("a substitution is too long".to_owned())),
                ('-' | '+', _) => expand(&word, variables),
                _ => Err(refuse(format!("unsupported modifier ({modifier}) in substitution"))),
            }
        }
        other => Err(refuse(format!("unsupported modifier ({other}) in substitution"))),
    }
}

/// A port, or each of a range.
fn ports(text: &str) -> Result<Vec<String>> {
    let (numbers, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let Some((from, to)) = numbers.split_once('-') else { return Ok(vec![text.to_owned()]) };
    match (from.parse::<u16>(), to.parse::<u16>()) {
        (Ok(from), Ok(to)) if from <= to => {
            Ok((from..=to).map(|port| format!("{port}/{protocol}")).collect())
        }
        _ => Err(refuse(format!("invalid containerPort: {numbers}"))),
    }
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

/// The JSON of a health check: `[--interval=… --timeout=… --start-period=… --start-interval=… --retries=…] CMD …`, or `NONE`.
fn health_check(rest: &str) -> Result<String> {
    let mut fields = Object::default();
    let mut left = rest;
    while let Some(flag) = left.strip_prefix("--") {
        let (flag, more) = flag.split_once(char::is_whitespace).unwrap_or((flag, ""));
        left = more.trim_start();
        let (name, value) =
            flag.split_once('=').ok_or_else(|| refuse(format!("Missing a value on flag: {flag}")))?;
        let (key, number) = match name {
            "interval" => ("Interval", interval(value, name)?),
            "timeout" => ("Timeout", interval(value, name)?),
            "start-period" => ("StartPeriod", interval(value, name)?),
            "start-interval" => ("StartInterval", interval(value, name)?),
            "retries" => {
                let number = value.parse().ok().filter(|number| *number >= 0);
                ("Retries", number.ok_or_else(|| refuse(format!("--retries cannot be negative ({value})")))?)
            }
            _ => return Err(refuse(format!("Unknown flag: {name}"))),
        };
        if number != 0 {
            fields.push(key, number.to_string());
        }
    }
    let (kind, rest) = left.split_once(char::is_whitespace).unwrap_or((left, ""));
    let rest = rest.trim();
    let test = match kind.to_ascii_uppercase().as_str() {
        "" => return Err(refuse("HEALTHCHECK requires at least one argument".to_owned())),
        "NONE" if rest.is_empty() => vec!["NONE".to_owned()],
        "NONE" => return Err(refuse("HEALTHCHECK NONE takes no arguments".to_owned())),
        "CMD" if rest.is_empty() => return Err(refuse("Missing command after HEALTHCHECK CMD".to_owned())),
        "CMD" => match list(rest) {
            Some(words) => [vec!["CMD".to_owned()], words].concat(),
            None => vec!["CMD-SHELL".to_owned(), rest.to_owned()],
        },
        kind => return Err(refuse(format!("Unknown type {kind:?} in HEALTHCHECK (try CMD)"))),
    };
    let mut check = Object::default();
    check.push("Test", json::array_of(test.iter().map(|word| json::string(word))));
    for (key, value) in fields.members() {
        check.push(key, value.to_owned());
    }
    Ok(check.to_json())
}

/// A duration in nanoseconds: 0, or a millisecond at least.
fn interval(text: &str, flag: &str) -> Result<i64> {
    let nanoseconds = duration(text).map_err(refuse)?;
    if nanoseconds != 0 && nanoseconds < 1_000_000 {
        return Err(refuse(format!("Interval {flag:?} cannot be less than 1ms")));
    }
    Ok(nanoseconds)
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
            (r#"{"Cmd":["a"]}"#, &["CMD"], r#"{"Cmd":["a"]}"#),
            (r#"{"Cmd":["a"],"Entrypoint":["b"]}"#, &["cmd "], r#"{"Cmd":[],"Entrypoint":["b"]}"#),
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
            ("USER a b", "USER requires exactly one argument"),
            ("ONBUILD ONBUILD RUN x", "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"),
            ("ONBUILD from x", "FROM isn't allowed as an ONBUILD trigger"),
            ("EXPOSE x", "invalid containerPort: x"),
            ("EXPOSE", "EXPOSE requires at least one argument"),
            ("EXPOSE 82/foo", "Invalid proto: foo"),
            ("EXPOSE 82-83/foo", "Invalid proto: foo"),
            ("HEALTHCHECK CMD", "Missing command after HEALTHCHECK CMD"),
            ("HEALTHCHECK FOO x", "Unknown type \"FOO\" in HEALTHCHECK (try CMD)"),
            ("HEALTHCHECK --interval=1 CMD x", "time: missing unit in duration \"1\""),
            ("HEALTHCHECK --interval=-1s CMD x", "Interval \"interval\" cannot be less than 1ms"),
            ("STOPSIGNAL NOTHING", "invalid signal: NOTHING"),
        ] {
            assert_eq!(applied("{}", &[line]).unwrap_err().message(), sentence, "{line}");
        }
        for odd in
            ["ENV a=${", "ENV a=${b", "ENV a=${b:", "ENV a=${b:-", "ENV a='", "ENV a=\"\\", "ENV a=${b?c}"]
        {
            let _ = applied("{}", &[odd]);
        }
    }
}
