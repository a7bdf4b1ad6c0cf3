//! What a pulled manifest leads to, and the names and documents on the way between an archive and a registry.

use longshore_archive::{Algorithm, MAX_LEN, Platform, Reference, Result};
use serde::{Deserialize, Serialize};

use crate::error::invalid;
use crate::operation::Manifest;

/// Media types of layers that are not to be distributed: they are not asked for.
const FOREIGN: [&str; 2] =
    ["application/vnd.docker.image.rootfs.foreign", "application/vnd.oci.image.layer.nondistributable"];

/// What a manifest or an index refers to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// Its media type.
    pub media_type: String,
    /// Its digest.
    pub digest: String,
    /// Its size in bytes.
    pub size: u64,
    /// Whether it is a manifest or an index, rather than a blob.
    pub is_manifest: bool,
    /// The platform that an index gives it.
    #[serde(skip)]
    pub platform: Option<Platform>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    #[serde(default)]
    media_type: String,
    digest: String,
    size: u64,
    platform: Option<ListedPlatform>,
}

#[derive(Deserialize)]
struct ListedPlatform {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    variant: Option<String>,
}

impl From<ListedPlatform> for Platform {
    fn from(ListedPlatform { os, architecture, variant }: ListedPlatform) -> Self {
        Self { os, architecture, variant }
    }
}

#[derive(Deserialize)]
struct Document {
    config: Option<Listed>,
    #[serde(default)]
    layers: Vec<Listed>,
    #[serde(default)]
    manifests: Vec<Listed>,
}

/// All that a manifest or an index refers to and a registry has, in its order.
///
/// Fails with `invalid-answer` where a digest is none, or a size makes no sense.
pub fn descriptors(manifest: &Manifest) -> Result<Vec<Descriptor>> {
    let odd = || {
        invalid(format!("The manifest {} makes no sense.", manifest.digest))
            .with("digest", manifest.digest.as_str())
    };
    let document: Document = serde_json::from_slice(&manifest.bytes).map_err(|_| odd())?;
    let blobs = document.config.into_iter().chain(document.layers).map(|one| (one, false));
    let mut found = Vec::new();
    for (one, is_manifest) in blobs.chain(document.manifests.into_iter().map(|one| (one, true))) {
        if Algorithm::of(&one.digest).is_none() || one.size > MAX_LEN {
            return Err(odd());
        }
        if FOREIGN.iter().any(|foreign| one.media_type.starts_with(foreign)) {
            continue;
        }
        let platform = one.platform.map(Platform::from);
        let Listed { media_type, digest, size, .. } = one;
        found.push(Descriptor { media_type, digest, size, is_manifest, platform });
    }
    Ok(found)
}

/// What to get of a manifest that a name leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chosen {
    /// That manifest: it is the image, or all platforms are wanted.
    Itself,
    /// The one for the platform.
    One(Descriptor),
}

/// Chooses the image for a platform: `linux/arm64`, `linux/arm/v7`; `all` for all of them. Where there is none for just that
/// platform it is the nearest that runs there. Without one it is `linux/amd64`, or the only one that there is.
///
/// Fails with `no-such-platform`, which lists those that there are.
pub fn choose(manifest: &Manifest, platform: Option<&str>) -> Result<Chosen> {
    let all = descriptors(manifest)?;
    if platform == Some("all") || !all.iter().any(|one| one.is_manifest) {
        return Ok(Chosen::Itself);
    }
    let is_image = |one: &&Descriptor| one.platform.as_ref().is_none_or(|platform| platform.os != "unknown");
    let images: Vec<&Descriptor> = all.iter().filter(is_image).collect();
    let wanted = platform.unwrap_or("linux/amd64");
    let distance = |one: &&Descriptor| one.platform.as_ref()?.distance(wanted);
    let near = images.iter().filter_map(|&one| Some((distance(&one)?, one)));
    let found = near.min_by_key(|&(distance, _)| distance).map(|(_, one)| one);
    let only = || images.first().copied().filter(|_| platform.is_none() && images.len() == 1);
    if let Some(found) = found.or_else(only) {
        return Ok(Chosen::One(found.clone()));
    }
    Err(Platform::absent(wanted, images.iter().filter_map(|one| one.platform.as_ref())))
}

/// Fails with `no-such-platform` where an image, by its config, is for another platform than the one that is wanted, and does not
/// run there. Of what is no image, nobody can say.
pub fn assert_for(config: &[u8], platform: &str) -> Result<()> {
    let Ok(own) = serde_json::from_slice::<ListedPlatform>(config).map(Platform::from) else { return Ok(()) };
    if own.os.is_empty() || own.architecture.is_empty() || own.distance(platform).is_some() {
        return Ok(());
    }
    Err(Platform::absent(platform, std::iter::once(&own)))
}

/// The `index.json` of a layout with one manifest, under these names.
pub fn index_json(manifest: &Manifest, names: &[Reference]) -> String {
    let descriptor = |name: Option<&Reference>| {
        let mut descriptor = serde_json::json!({
            "mediaType": manifest.media_type,
            "digest": manifest.digest,
            "size": manifest.bytes.len(),
        });
        if let (Some(name), Some(descriptor)) = (name, descriptor.as_object_mut()) {
            // In full in both, so that containerd and podman see the same.
            let name = name.canonical();
            let annotations = serde_json::json!({ "io.containerd.image.name": name, "org.opencontainers.image.ref.name": name });
            descriptor.insert("annotations".to_owned(), annotations);
        }
        descriptor
    };
    let manifests: Vec<_> = if names.is_empty() {
        vec![descriptor(None)]
    } else {
        names.iter().map(|name| descriptor(Some(name))).collect()
    };
    let index = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": manifests,
    });
    index.to_string()
}

/// The name that an image gets in a mirror: `nginx:1` in `registry.local/mirror` is `registry.local/mirror/nginx:1`.
///
/// Fails with `invalid-reference`.
pub fn mirrored(name: &str, mirror: &str) -> Result<Reference> {
    let name = Reference::parse(name)?;
    let mirror = mirror.trim_end_matches('/');
    Reference::parse_target(&format!("{mirror}/{}", name.without_registry()))
}

#[cfg(test)]
mod tests {
    use longshore_archive::Code;

    use super::*;

    fn index(platforms: &[&str]) -> Manifest {
        let one = |(number, platform): (usize, &&str)| {
            let mut parts = platform.split('/');
            let variant = |variant: &str| format!(r#","variant":"{variant}""#);
            format!(
                r#"{{"mediaType":"m","digest":"sha256:{number:064x}","size":7,"platform":{{"os":"{}","architecture":"{}"{}}}}}"#,
                parts.next().unwrap(),
                parts.next().unwrap(),
                parts.next().map(variant).unwrap_or_default()
            )
        };
        let manifests: Vec<String> = platforms.iter().enumerate().map(one).collect();
        let text = format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, manifests.join(","));
        Manifest { media_type: "i".into(), digest: "d".into(), bytes: text.into_bytes() }
    }

    #[test]
    fn platforms_are_chosen() {
        let several = index(&["linux/amd64", "linux/arm/v7", "linux/arm64/v8", "unknown/unknown"]);
        let table =
            [(None, 0), (Some("linux/amd64"), 0), (Some("linux/arm/v7"), 1), (Some("linux/arm64"), 2)];
        for (platform, number) in table {
            let Chosen::One(one) = choose(&several, platform).unwrap() else { panic!("{platform:?}") };
            assert_eq!(one.digest, format!("sha256:{number:064x}"), "{platform:?}");
        }
        assert_eq!(choose(&several, Some("all")).unwrap(), Chosen::Itself);
        let error = choose(&several, Some("linux/s390x")).unwrap_err();
        assert_eq!(error.code(), Code::NoSuchPlatform);
        assert!(error.message().contains("linux/amd64, linux/arm/v7, linux/arm64/v8"), "{error}");
        // Without a wish, the only one is as good as any.
        assert!(matches!(choose(&index(&["linux/arm64", "unknown/unknown"]), None).unwrap(), Chosen::One(_)));
        assert!(choose(&index(&["linux/arm64", "linux/s390x"]), None).is_err());
    }

    #[test]
    fn an_image_is_for_the_platform_of_its_config() {
        let config = r#"{"os":"linux","architecture":"arm","variant":"v6"}"#;
        for (config, platform) in
            [(config, "linux/arm/v7"), ("{}", "linux/amd64"), ("no JSON", "linux/amd64")]
        {
            assert_for(config.as_bytes(), platform).unwrap();
        }
        let error = assert_for(config.as_bytes(), "linux/arm64").unwrap_err();
        assert_eq!(error.message(), "There is no image for linux/arm64. There is: linux/arm/v6.");
    }

    #[test]
    fn the_nearest_platform_is_chosen() {
        for (there, wanted, number) in [
            (&["linux/arm64"][..], "linux/arm64/v8", Some(0)),
            (&["linux/arm64/v8"], "linux/arm64", Some(0)),
            (&["linux/amd64/v3", "linux/amd64"], "linux/amd64", Some(1)),
            (&["linux/arm/v5", "linux/arm/v6", "linux/arm/v7"], "linux/arm", Some(2)),
            (&["linux/arm/v5", "linux/arm/v6", "linux/arm/v7"], "linux/arm/v8", Some(2)),
            (&["linux/arm/v5", "linux/arm/v6"], "linux/arm/v7", Some(1)),
            (&["linux/arm/v7"], "linux/arm/v6", None),
        ] {
            let chosen = match choose(&index(there), Some(wanted)) {
                Ok(Chosen::One(one)) => Some(one.digest),
                _ => None,
            };
            let expected = number.map(|number: usize| format!("sha256:{number:064x}"));
            assert_eq!(chosen, expected, "{there:?} {wanted}");
        }
    }

    #[test]
    fn mirrors_keep_the_path() {
        let table = [
            ("nginx", "registry.local/mirror", "registry.local/mirror/nginx:latest"),
            ("quay.io/team/app:2", "registry.local:5000", "registry.local:5000/team/app:2"),
            ("docker.io/library/a:1", "r.io/m/", "r.io/m/a:1"),
        ];
        for (name, mirror, expected) in table {
            assert_eq!(mirrored(name, mirror).unwrap().to_string(), expected);
        }
        assert_eq!(mirrored("a", "UPPER CASE").unwrap_err().code(), Code::InvalidReference);
    }

    #[test]
    fn sizes_and_digests_are_checked() {
        for body in [
            r#"{"layers":[{"digest":"sha256:1","size":1}]}"#,
            r#"{"layers":[{"digest":"sha256:0000000000000000000000000000000000000000000000000000000000000000","size":18446744073709551615}]}"#,
            r#"{"layers":[{"digest":"sha256:0000000000000000000000000000000000000000000000000000000000000000","size":-1}]}"#,
            "[]",
        ] {
            let manifest = Manifest { media_type: String::new(), digest: "d".into(), bytes: body.into() };
            assert_eq!(descriptors(&manifest).unwrap_err().code(), Code::InvalidAnswer, "{body}");
        }
    }
}
