//! Changes to an image's config, as `docker commit --change` makes them (moby `builder/dockerfile/dispatchers.go`).

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Deserializer};

use crate::config::object;
use crate::error::{Code, Error, Result};
use crate::json::{self, Object};
use crate::time::Timestamp;

/// What becomes of one field.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Change<T> {
    /// It stays as it is.
    #[default]
    Keep,
    /// It is taken out. `null` in JSON.
    Clear,
    /// It becomes this.
    Set(T),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Change<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(deserializer)?.map_or(Self::Clear, Self::Set))
    }
}

/// Changes to a config. What is not mentioned stays as it is; as JSON, names are in camel case.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ConfigChanges {
    /// Environment variables by name: set, or taken out.
    pub env: BTreeMap<String, Change<String>>,
    /// Labels by key: set, or taken out.
    pub labels: BTreeMap<String, Change<String>>,
    /// Ports, `80` or `80/tcp`: whether they are exposed.
    pub exposed_ports: BTreeMap<String, bool>,
    /// Paths of volumes: whether they are volumes.
    pub volumes: BTreeMap<String, bool>,
    /// The command's words. Docker's shell form is `["/bin/sh", "-c", …]`.
    pub cmd: Change<Vec<String>>,
    /// The entry point's words. Where it changes and `cmd` is not mentioned, the command is taken out, as Docker does it.
    pub entrypoint: Change<Vec<String>>,
    /// The user, or the user and the group after a colon.
    pub user: Change<String>,
    /// The working directory, from the root.
    pub working_dir: Change<String>,
    /// The signal that stops a container: `SIGTERM`, `9`, …
    pub stop_signal: Change<String>,
    /// Who made the image.
    pub author: Change<String>,
    /// When the image was made, RFC 3339; the new step of its history says the same. Without it the step has the time that
    /// the image has already.
    pub created: Option<String>,
    /// The comment of the new step.
    pub message: Option<String>,
}

/// Linux' signals, as Docker knows them (moby `sys/signal`); `RTMIN` and `RTMAX` may have an offset.
const SIGNALS: [&str; 34] = [
    "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL", "PIPE",
    "POLL", "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP", "TTIN", "TTOU",
    "URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ",
];

pub(crate) fn refuse(sentence: String) -> Error {
    Error::new(Code::InvalidArgument, sentence)
}

impl ConfigChanges {
    /// Reads changes from JSON. Fails with `invalid-argument`.
    pub fn read(text: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|error| refuse(format!("The changes make no sense: {error}.")))
    }

    /// The config with the changes and a step of its history that tells of them; every other key keeps its place and its
    /// text. `path` is for errors.
    ///
    /// Fails with `invalid-argument` for a value that Docker refuses, or where nothing would change, and with
    /// `invalid-config`.
    pub(crate) fn apply(&self, bytes: &[u8], path: &str) -> Result<Vec<u8>> {
        let mut document = object(bytes, path)?;
        let before = document.to_json();
        let text = document.get("config").unwrap_or("{}").to_owned();
        let mut config = Object::parse(&text).unwrap_or_default();
        let mut steps = Vec::new();
        self.alter(&mut config, &mut steps)?;
        if config.to_json() != Object::parse(&text).unwrap_or_default().to_json() {
            document.set("config", &config.to_json());
        }
        put(&mut document, "author", "MAINTAINER", &self.author, |author| json::string(author), &mut steps);
        if let Some(created) = &self.created {
            if Timestamp::parse(created).is_none() {
                return Err(refuse(format!("\"{created}\" is no time as RFC 3339 has it.")));
            }
            document.set("created", &json::string(created));
        }
        if document.to_json() == before {
            return Err(refuse("The image is like that already: nothing would change.".to_owned()));
        }
        self.record(&mut document, &steps);
        Ok(json::first_value(bytes)
            .map_or_else(|_| Vec::new(), |first| first.with_value(&document.to_json())))
    }

    /// Changes the `config` object of a config, and tells of it in the words of a Dockerfile.
    pub(crate) fn alter(&self, config: &mut Object<'_>, steps: &mut Vec<String>) -> Result<()> {
        self.environment(config, steps)?;
        self.label(config, steps)?;
        let ports = self.exposed_ports.iter().map(|(port, on)| Ok((self::port(port)?, *on)));
        let mut ports = ports.collect::<Result<Vec<_>>>()?;
        // Buildah leaves out the protocol where it is the usual one.
        let bare = |(port, on): &(String, bool)| port.strip_suffix("/tcp").filter(|_| !on).map(str::to_owned);
        ports.extend(ports.iter().filter_map(bare).map(|port| (port, false)).collect::<Vec<_>>());
        toggle(config, "ExposedPorts", "EXPOSE", &ports, steps);
        let volumes = self.volumes.iter().map(|(path, on)| {
            let path = Some(path.trim()).filter(|path| !path.is_empty());
            Ok((
                path.ok_or_else(|| refuse("VOLUME specified can not be an empty string".into()))?.to_owned(),
                *on,
            ))
        });
        toggle(config, "Volumes", "VOLUME", &volumes.collect::<Result<Vec<_>>>()?, steps);
        let words = |words: &Vec<String>| json::array_of(words.iter().map(|word| json::string(word)));
        put(config, "Entrypoint", "ENTRYPOINT", &self.entrypoint, words, steps);
        if self.entrypoint != Change::Keep && self.cmd == Change::Keep {
            config.remove("Cmd");
        }
        put(config, "Cmd", "CMD", &self.cmd, words, steps);
        put(config, "User", "USER", &self.user, |user| json::string(user), steps);
        if let Change::Set(directory) = &self.working_dir
            && !is_absolute(directory)
        {
            return Err(refuse(format!("The working directory \"{directory}\" does not begin at the root.")));
        }
        put(config, "WorkingDir", "WORKDIR", &self.working_dir, |path| json::string(path), steps);
        if let Change::Set(signal) = &self.stop_signal
            && !is_signal(signal)
        {
            return Err(refuse(format!("invalid signal: {signal}")));
        }
        put(config, "StopSignal", "STOPSIGNAL", &self.stop_signal, |name| json::string(name), steps);
        Ok(())
    }

    fn environment(&self, config: &mut Object<'_>, steps: &mut Vec<String>) -> Result<()> {
        if self.env.is_empty() {
            return Ok(());
        }
        let mut variables: Vec<(String, String)> = Vec::new();
        for text in config.array("Env").unwrap_or_default() {
            let whole: String = serde_json::from_str(text).unwrap_or_default();
            let name = whole.split_once('=').map_or(whole.as_str(), |(name, _)| name);
            variables.push((name.to_owned(), text.to_owned()));
        }
        let told = steps.len();
        for (name, change) in &self.env {
            if name.is_empty() || name.contains(['=', '\0']) {
                return Err(refuse(format!("\"{name}\" cannot be the name of a variable.")));
            }
            let value = match change {
                Change::Keep => continue,
                Change::Clear => None,
                Change::Set(value) => Some(json::string(&format!("{name}={value}"))),
            };
            let step = match change {
                Change::Set(value) => format!("ENV {name}={value}"),
                _ => format!("ENV -{name}"),
            };
            replace(&mut variables, name, value).then(|| steps.push(step));
        }
        if steps.len() == told {
            return Ok(());
        }
        config.set("Env", &json::array_of(variables.into_iter().map(|(_, text)| text)));
        Ok(())
    }

    fn label(&self, config: &mut Object<'_>, steps: &mut Vec<String>) -> Result<()> {
        if self.labels.is_empty() {
            return Ok(());
        }
        let old = config.object("Labels").unwrap_or_default();
        let mut labels: Vec<(String, String)> =
            old.members().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        let told = steps.len();
        for (key, change) in &self.labels {
            if key.is_empty() {
                return Err(refuse("A label has a key.".to_owned()));
            }
            let (value, step) = match change {
                Change::Keep => continue,
                Change::Clear => (None, format!("LABEL -{key}")),
                Change::Set(value) => (Some(json::string(value)), format!("LABEL {key}={value}")),
            };
            replace(&mut labels, key, value).then(|| steps.push(step));
        }
        if steps.len() == told {
            return Ok(());
        }
        let mut object = Object::default();
        for (key, value) in labels {
            object.push(&key, value);
        }
        config.set("Labels", &object.to_json());
        Ok(())
    }

    /// Adds the step. An image without a history gets none: its one step would tell of no layer.
    fn record(&self, document: &mut Object<'_>, steps: &[String]) {
        let Some(history) = document.array("history").filter(|history| !history.is_empty()) else { return };
        let mut step = Object::default();
        if let Some(created) = document.get("created") {
            step.push("created", created.to_owned());
        }
        step.push("created_by", json::string(&steps.join("; ")));
        if let Some(message) = &self.message {
            step.push("comment", json::string(message));
        }
        step.push("empty_layer", "true".to_owned());
        let history = history.into_iter().map(str::to_owned).chain([step.to_json()]);
        let text = json::array_of(history);
        document.set("history", &text);
    }
}

/// Puts a value in the place of the first with that key, or at the end, or takes all of them out. Whether that changes
/// anything.
fn replace(list: &mut Vec<(String, String)>, key: &str, value: Option<String>) -> bool {
    let mut known = list.iter().enumerate().filter(|(_, (known, _))| known == key);
    let (first, is_alone) = (known.next(), known.next().is_none());
    let at = first.map(|(at, _)| at);
    if is_alone && first.map(|(_, (_, value))| value) == value.as_ref() {
        return false;
    }
    list.retain(|(known, _)| known != key);
    if let Some(value) = value {
        list.insert(at.unwrap_or(list.len()), (key.to_owned(), value));
    }
    true
}

/// Changes one field.
fn put<T>(
    object: &mut Object<'_>,
    key: &str,
    instruction: &str,
    change: &Change<T>,
    text: impl Fn(&T) -> String,
    steps: &mut Vec<String>,
) {
    let before = object.get(key).map(str::to_owned);
    let step = match change {
        Change::Keep => return,
        Change::Clear => {
            object.remove(key);
            format!("{instruction} -")
        }
        Change::Set(value) => {
            let text = text(value);
            object.set(key, &text);
            let bare = serde_json::from_str::<String>(&text).unwrap_or(text);
            format!("{instruction} {bare}")
        }
    };
    if object.get(key) != before.as_deref() {
        steps.push(step);
    }
}

/// Adds keys to a set and takes others out.
pub(crate) fn toggle(
    config: &mut Object<'_>,
    key: &str,
    instruction: &str,
    wanted: &[(String, bool)],
    steps: &mut Vec<String>,
) {
    if wanted.is_empty() {
        return;
    }
    let old = config.object(key).unwrap_or_default();
    let mut members: Vec<(&str, &str)> = old.members().collect();
    let mut present: HashSet<&str> = members.iter().map(|(name, _)| *name).collect();
    let told = steps.len();
    for (name, is_on) in wanted {
        let is_changed = if *is_on { present.insert(name) } else { present.remove(name.as_str()) };
        if is_changed {
            steps.push(format!("{instruction} {}{name}", if *is_on { "" } else { "-" }));
        }
    }
    if steps.len() == told {
        return;
    }
    members.extend(wanted.iter().map(|(name, _)| (name.as_str(), "{}")));
    let mut object = Object::default();
    for (name, value) in members {
        if present.remove(name) {
            object.push(name, value.to_owned());
        }
    }
    // As Docker writes none.
    let text = if object.is_empty() { "null".to_owned() } else { object.to_json() };
    config.set(key, &text);
}

/// A port with its protocol, as configs write it (`github.com/docker/go-connections`).
fn port(text: &str) -> Result<String> {
    let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let is_number = number.bytes().all(|byte| byte.is_ascii_digit());
    let Some(number) = number.parse::<u16>().ok().filter(|number| is_number && *number > 0) else {
        return Err(refuse(format!("invalid containerPort: {text}")));
    };
    Ok(format!("{number}/{}", self::protocol(protocol)?))
}

/// A port's protocol, as configs write it.
pub(crate) fn protocol(text: &str) -> Result<String> {
    let name = text.to_ascii_lowercase();
    if !["tcp", "udp", "sctp"].contains(&name.as_str()) {
        return Err(refuse(format!("invalid proto: {name}")));
    }
    Ok(name)
}

/// Whether a path begins at the root, Linux' or that of a Windows drive.
fn is_absolute(path: &str) -> bool {
    let mut characters = path.chars();
    match characters.next() {
        Some('/' | '\\') => true,
        Some(drive) => drive.is_ascii_alphabetic() && characters.next() == Some(':'),
        None => false,
    }
}

fn is_signal(text: &str) -> bool {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse::<u8>().is_ok_and(|number| (1..=64).contains(&number));
    }
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    let offset = |rest: &str, sign| {
        rest.is_empty() || rest.strip_prefix(sign).is_some_and(|n| n.parse::<u8>().is_ok_and(|n| n <= 15))
    };
    SIGNALS.contains(&name)
        || name.strip_prefix("RTMIN").is_some_and(|rest| offset(rest, '+'))
        || name.strip_prefix("RTMAX").is_some_and(|rest| offset(rest, '-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(config: &str, changes: &str) -> Result<String> {
        let bytes = ConfigChanges::read(changes)?.apply(config.as_bytes(), "config")?;
        Ok(String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn what_is_not_mentioned_keeps_its_place_and_its_text() {
        let before = r#"{"z":1.50e1,"config":{"Env":["A=\u0031","B=2"],"Labels":{"k":"v","K":"V"},"Odd":[1]},"created":"2020-01-01T00:00:00Z","history":[{"x":1}]}
"#;
        let after = applied(before, r#"{"env":{"B":"3","C":"4"},"labels":{"K":null}}"#).unwrap();
        assert_eq!(
            after,
            r#"{"z":1.50e1,"config":{"Env":["A=\u0031","B=3","C=4"],"Labels":{"k":"v"},"Odd":[1]},"created":"2020-01-01T00:00:00Z","history":[{"x":1},{"created":"2020-01-01T00:00:00Z","created_by":"ENV B=3; ENV C=4; LABEL -K","empty_layer":true}]}
"#
        );
    }

    #[test]
    fn another_entry_point_takes_the_command_out_as_docker_does() {
        let before = r#"{"config":{"Cmd":["a"],"Entrypoint":["b"]}}"#;
        assert_eq!(applied(before, r#"{"entrypoint":["c"]}"#).unwrap(), r#"{"config":{"Entrypoint":["c"]}}"#);
        let both = applied(before, r#"{"entrypoint":null,"cmd":["d"]}"#).unwrap();
        assert_eq!(both, r#"{"config":{"Cmd":["d"]}}"#);
    }

    #[test]
    fn a_config_without_a_container_gets_one() {
        let after = applied("{}", r#"{"exposedPorts":{"80":true},"user":"app","author":"me"}"#).unwrap();
        assert_eq!(after, r#"{"config":{"ExposedPorts":{"80/tcp":{}},"User":"app"},"author":"me"}"#);
    }

    #[test]
    fn ports_go_whichever_way_they_are_written() {
        let config = |ports: &str| format!(r#"{{"config":{{"ExposedPorts":{ports}}}}}"#);
        for (before, after) in [
            (r#"{"80":{}}"#, "null"),
            (r#"{"80/tcp":{}}"#, "null"),
            (r#"{"80":{},"80/tcp":{},"80/udp":{}}"#, r#"{"80/udp":{}}"#),
        ] {
            for port in ["80", "80/TCP"] {
                let changes = format!(r#"{{"exposedPorts":{{"{port}":false}}}}"#);
                assert_eq!(applied(&config(before), &changes).unwrap(), config(after), "{before} {port}");
            }
        }
    }

    #[test]
    fn what_docker_refuses_is_refused() {
        for changes in [
            r#"{"env":{"A=B":"1"}}"#,
            r#"{"labels":{"":"1"}}"#,
            r#"{"exposedPorts":{"0":true}}"#,
            r#"{"exposedPorts":{"+80":true}}"#,
            r#"{"exposedPorts":{"80/http":true}}"#,
            r#"{"volumes":{" ":true}}"#,
            r#"{"workingDir":"here"}"#,
            r#"{"stopSignal":"SIGNOTHING"}"#,
            r#"{"stopSignal":"0"}"#,
            r#"{"created":"yesterday"}"#,
            r#"{"message":"nothing"}"#,
            r#"{"user":"app"}"#,
            r#"{"env":{"A":null},"labels":{"A":null},"volumes":{"/a":false},"cmd":null}"#,
            r#"{"unknown":1}"#,
            "[",
        ] {
            let error = applied(r#"{"config":{"User":"app"}}"#, changes).unwrap_err();
            assert_eq!(error.code(), Code::InvalidArgument, "{changes}");
        }
        for signal in ["9", "SIGTERM", "usr1", "SIGRTMIN+3", "RTMAX"] {
            applied("{}", &format!(r#"{{"stopSignal":"{signal}"}}"#)).unwrap();
        }
    }
}
