//! The machines that images are for.

use std::fmt;

use serde::Serialize;

use crate::error::{Code, Error, Result};

/// The machine that an image was built for. Empty where the config is silent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Platform {
    /// `linux`, `windows`, …
    pub os: String,
    /// Go's name for it: `amd64`, `arm64`, …
    pub architecture: String,
    /// `v7`, `v8`, …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl Platform {
    /// Whether it is one that `text` means: `linux/arm64`, or `linux/arm/v7`. Without a variant, any will do.
    pub fn matches(&self, text: &str) -> bool {
        self.distance(text) == Some(0) || text.split_once('/') == Some((&self.os, &self.architecture))
    }

    /// Whether it is the one that most people mean: of images for several, readers without a choice take this one.
    pub fn is_common(&self) -> bool {
        self.os == "linux" && self.architecture == "amd64"
    }

    /// How far it is from the one that `text` means: 0 where it is that one, more where it does as well; `None` where it does
    /// not. (containerd `platforms.Normalize`, `platformVector`)
    pub fn distance(&self, text: &str) -> Option<u8> {
        let mut parts = text.splitn(3, '/');
        let (os, architecture, variant) = (parts.next(), parts.next(), parts.next());
        if os != Some(self.os.as_str()) || architecture != Some(self.architecture.as_str()) {
            return None;
        }
        let usual = match self.architecture.as_str() {
            "arm" => "v7",
            "arm64" => "v8",
            "amd64" => "v1",
            _ => "",
        };
        let own = self.variant.as_deref().filter(|own| !own.is_empty()).unwrap_or(usual);
        let wanted = variant.unwrap_or(usual);
        if wanted == own {
            return Some(0);
        }
        if self.architecture != "arm" {
            return variant.is_none().then_some(1);
        }
        // Such a machine also runs what is for older ones, down to v5.
        let number = |variant: &str| variant.strip_prefix('v')?.parse::<u8>().ok();
        number(wanted)?.checked_sub(number(own).filter(|&own| own >= 5)?)
    }

    /// Fails with `no-such-platform` where one that is wanted is none of those that there are.
    pub fn all_there<'a>(wanted: &[String], there: impl Iterator<Item = &'a Self> + Clone) -> Result<()> {
        match wanted.iter().find(|wanted| !there.clone().any(|platform| platform.matches(wanted))) {
            Some(absent) => Err(Self::absent(absent, there)),
            None => Ok(()),
        }
    }

    /// The failure where one that is wanted is none of those that there are.
    pub fn absent<'a>(wanted: &str, there: impl Iterator<Item = &'a Self>) -> Error {
        let mut texts: Vec<String> = Vec::new();
        for text in there.map(ToString::to_string) {
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        let sentence = format!("There is no image for {wanted}. There is: {}.", texts.join(", "));
        Error::new(Code::NoSuchPlatform, sentence).with("expected", wanted).with("actual", texts.join(" "))
    }
}

/// As it is written on command lines: `linux/arm/v7`.
impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.iter().try_for_each(|variant| write!(f, "/{variant}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(text: &str) -> Platform {
        let mut parts = text.splitn(3, '/').map(str::to_owned);
        let mut next = || parts.next();
        Platform { os: next().unwrap(), architecture: next().unwrap(), variant: next() }
    }

    #[test]
    fn variants_that_are_meant_and_those_that_do_as_well() {
        for (wanted, own, distance, matches) in [
            ("linux/amd64", "linux/amd64", Some(0), true),
            ("linux/amd64", "linux/arm64", None, false),
            ("linux/amd64", "windows/amd64", None, false),
            ("linux/amd64/v1", "linux/amd64", Some(0), true),
            ("linux/amd64", "linux/amd64/v3", Some(1), true),
            ("linux/amd64/v3", "linux/amd64", None, false),
            ("linux/arm64/v8", "linux/arm64", Some(0), true),
            ("linux/arm64", "linux/arm64/v8", Some(0), true),
            ("linux/arm64/v9", "linux/arm64", None, false),
            ("linux/arm", "linux/arm/v7", Some(0), true),
            ("linux/arm/v7", "linux/arm", Some(0), true),
            ("linux/arm", "linux/arm/v6", Some(1), true),
            ("linux/arm", "linux/arm/v8", None, true),
            ("linux/arm/v8", "linux/arm/v7", Some(1), false),
            ("linux/arm/v8", "linux/arm/v5", Some(3), false),
            ("linux/arm/v7", "linux/arm/v8", None, false),
            ("linux/arm/v7", "linux/arm/v4", None, false),
            ("linux", "linux/amd64", None, false),
        ] {
            let own = platform(own);
            assert_eq!((own.distance(wanted), own.matches(wanted)), (distance, matches), "{wanted} {own}");
        }
    }

    #[test]
    fn each_that_is_wanted_has_to_be_there() {
        let there = ["linux/amd64", "linux/arm64/v8", "linux/amd64"].map(platform);
        let check = |wanted: &[&str]| {
            let wanted: Vec<String> = wanted.iter().map(|&wanted| wanted.to_owned()).collect();
            Platform::all_there(&wanted, there.iter())
        };
        check(&[]).unwrap();
        check(&["linux/arm64", "linux/amd64"]).unwrap();
        let error = check(&["linux/amd64", "linux/s390x"]).unwrap_err();
        assert_eq!(error.code(), Code::NoSuchPlatform);
        let sentence = "There is no image for linux/s390x. There is: linux/amd64, linux/arm64/v8.";
        assert_eq!(error.message(), sentence);
    }
}
