//! Archives made from images of others.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failure should stop the test"
)]

mod layouts;
mod saving;

use std::collections::HashMap;
use std::rc::Rc;

use layouts::{Layout, PLAIN, named};
use longshore_archive::{
    Archive, Code, Limits, Packing, Part, Selection, Source, Target, Verdict, left_out, needs, save, sha256,
};
use longshore_fixtures::{
    Content, ImageSpec, Layer, containerd, crane, docker_hybrid, docker_legacy, docker_legacy_entries,
    docker_v1, oci, oci_platforms, skopeo, tar,
};
use proptest::prelude::*;
use saving::{Open, all, packed, save_some};

fn open(bytes: Vec<u8>) -> Open {
    Archive::open(Rc::new(bytes)).unwrap()
}

/// What has to survive: IDs, names, platforms, diff IDs.
fn essence(archive: &Open) -> Vec<(String, Vec<String>, Vec<Option<String>>)> {
    let image = |image: &longshore_archive::Image| {
        let names = image.names.iter().map(ToString::to_string).collect();
        (image.id.clone(), names, image.layers.iter().map(|layer| layer.diff_id.clone()).collect())
    };
    archive.images().iter().map(image).collect()
}

fn assert_clean(archive: &Open, what: &str) {
    let report = archive.verify(Limits::default()).unwrap();
    assert_eq!(report.verdict, Verdict::Intact, "{what}: {:?}", report.findings);
    let warnings =
        report.findings.iter().filter(|finding| finding.severity != longshore_archive::Severity::Info);
    assert_eq!(warnings.count(), 0, "{what}: {:?}", report.findings);
}

fn two() -> [ImageSpec; 2] {
    let mut app = ImageSpec::new("app:1").layer(Layer::files(&[("usr/bin/app", "program")]));
    app = app.name("registry.local:5000/team/app:latest");
    [app, ImageSpec::new("team/db:5.5.16").label("kind", "database")]
}

#[test]
fn docker_is_what_docker_25_writes_and_legacy_what_docker_24_wrote() {
    let images = two();
    let hybrid = docker_hybrid(&images);
    let legacy = docker_legacy(&images);
    for source in [&hybrid, &legacy] {
        let archive = open(source.clone());
        let images = [(&archive, 0), (&archive, 1)];
        assert!(save_some(&images, Target::Docker, None).unwrap() == hybrid, "docker");
        // Times of directories that hold only links are the clock's in Docker's own.
        assert!(
            save_some(&images[..1], Target::DockerLegacy, None).unwrap() == docker_legacy(&two()[..1]),
            "legacy"
        );
    }
}

#[test]
fn every_layout_becomes_every_other_and_back() {
    let mut zipped = two();
    for image in &mut zipped {
        image.gzip = true;
    }
    for (name, bytes) in [
        ("legacy", docker_legacy(&two())),
        ("hybrid", docker_hybrid(&two())),
        ("containerd", containerd(&zipped)),
        ("crane", crane(&two())),
        ("skopeo", skopeo(&two()[0])),
        ("oci", oci(&two())),
        ("oci, gzip", oci(&zipped)),
    ] {
        let archive = open(bytes);
        for target in [Target::Docker, Target::DockerLegacy, Target::Oci] {
            let written = all(&archive, target);
            assert_eq!(essence(&written), essence(&archive), "{name} as {target:?}");
            assert_clean(&written, name);
            for back in [Target::Docker, Target::DockerLegacy, Target::Oci] {
                let back_again = all(&written, back);
                assert_eq!(essence(&back_again), essence(&archive), "{name} as {target:?} as {back:?}");
                assert_clean(&back_again, name);
            }
        }
        // What has manifests keeps them.
        let digests =
            |archive: &Open| archive.images().iter().map(|image| image.digest.clone()).collect::<Vec<_>>();
        if archive.images()[0].digest.is_some() {
            assert_eq!(digests(&all(&archive, Target::Oci)), digests(&archive), "{name}");
            assert_eq!(digests(&all(&archive, Target::Docker)), digests(&archive), "{name}");
        }
    }
}

#[test]
fn docker_1_9_gets_configs() {
    let archive = open(docker_v1(&two()));
    for target in [Target::Docker, Target::DockerLegacy, Target::Oci] {
        let written = all(&archive, target);
        assert_clean(&written, "v1");
        assert_eq!(written.images()[0].layers.len(), 2);
        assert_eq!(written.images()[1].names[0].to_string(), "team/db:5.5.16");
    }
}

/// The config that Docker makes of an image whose `json` that is.
fn config_of(json: &str) -> String {
    use longshore_fixtures::Entry;
    let id = "0123456789abcdef".repeat(4);
    let archive = open(longshore_fixtures::tar(&[
        Entry::file(format!("{id}/json"), json),
        Entry::file(format!("{id}/layer.tar"), longshore_fixtures::tar(&[])),
        Entry::file("repositories", format!(r#"{{"app":{{"1":"{id}"}}}}"#)),
    ]));
    let written = all(&archive, Target::Docker);
    let config = String::from_utf8(written.config(0).unwrap().to_vec()).unwrap();
    config.replace(written.images()[0].layers[0].diff_id.as_ref().unwrap(), "DIFF")
}

/// As Docker 20.10 made them; `tests/interop/convert.test.mjs` asks it.
#[test]
fn configs_for_docker_1_9_are_written_as_go_writes() {
    let container = r#"{ "Cmd": ["a && b <c>\u2028\"& "], "Healthcheck": {}, "Labels": {"b": "", "a": ""} }"#;
    let json = |version: &str| {
        format!(
            r#"{{ "id": "x", "os": "linux", {version} "unknown": [1.0, "&"], "container_config": {container},
                "created": "2014-10-13T21:19:18.674353810Z", "Size": 5, "author": "" }}"#
        )
    };
    let history = r#""history":[{"created":"2014-10-13T21:19:18.67435381Z","created_by":"a \u0026\u0026 b \u003cc\u003e\u2028\"\u0026 "}]"#;
    let rootfs = r#""rootfs":{"type":"layers","diff_ids":["DIFF"]}"#;
    let written = r#"{"Cmd":["a \u0026\u0026 b \u003cc\u003e\u2028\"\u0026 "],"Healthcheck":{},"Labels":{"b":"","a":""}}"#;
    for version in ["1.8.3", "1.9.1-rc1", "2"] {
        let version_key = format!(r#""docker_version": "{version}","#);
        assert_eq!(
            config_of(&json(&version_key)),
            format!(
                r#"{{"author":"","container_config":{written},"created":"2014-10-13T21:19:18.674353810Z","docker_version":"{version}",{history},"os":"linux",{rootfs},"unknown":[1.0,"\u0026"]}}"#
            )
        );
    }
    // Before, and where nobody says, what nobody knows is left out, and what is not there is put in.
    let written = r#"{"Hostname":"","Domainname":"","User":"","AttachStdin":false,"AttachStdout":false,"AttachStderr":false,"Tty":false,"OpenStdin":false,"StdinOnce":false,"Env":null,"Cmd":["a \u0026\u0026 b \u003cc\u003e\u2028\"\u0026 "],"Healthcheck":{},"Image":"","Volumes":null,"WorkingDir":"","Entrypoint":null,"OnBuild":null,"Labels":{"a":"","b":""}}"#;
    for (version, kept) in [
        ("", ""),
        (r#""docker_version": "1.8.3-dev","#, r#""docker_version":"1.8.3-dev","#),
        (r#""docker_version": "1.6","#, r#""docker_version":"1.6","#),
    ] {
        assert_eq!(
            config_of(&json(version)),
            format!(
                r#"{{"container_config":{written},"created":"2014-10-13T21:19:18.67435381Z",{kept}{history},"os":"linux",{rootfs}}}"#
            )
        );
    }
}

fn platforms() -> Open {
    let spec = |architecture: &str| {
        let mut spec = ImageSpec::new("app:1").layer(Layer::files(&[("arch", architecture)]));
        architecture.clone_into(&mut spec.architecture);
        spec
    };
    open(oci_platforms(&[spec("arm64"), spec("amd64"), spec("s390x")]))
}

#[test]
fn platforms_stay_together_or_are_chosen() {
    let archive = platforms();
    for target in [Target::Oci, Target::Docker] {
        let whole = all(&archive, target);
        assert_clean(&whole, "platforms");
        assert_eq!(
            (whole.images().len(), whole.others().len()),
            (3, 3),
            "{target:?}: with their attestations"
        );
        let mut indexes: Vec<_> = whole.images().iter().map(|image| image.index.clone()).collect();
        indexes.dedup();
        assert_eq!(indexes, [archive.images()[0].index.clone()]);
        assert!(whole.images().iter().all(|image| image.names[0].to_string() == "app:1"));

        let two = open(save_some(&[(&archive, 0), (&archive, 1)], target, None).unwrap());
        assert_clean(&two, "two platforms");
        assert_eq!((two.images().len(), two.others().len()), (2, 0), "{target:?}");
        let one = open(save_some(&[(&archive, 1)], target, None).unwrap());
        assert_clean(&one, "one platform");
        assert_eq!(one.images()[0].index, None);
        assert_eq!(one.images()[0].digest, archive.images()[1].digest);
    }
    // One platform has the names where there is no place for an index.
    let legacy = all(&archive, Target::DockerLegacy);
    assert_clean(&legacy, "legacy");
    let names: Vec<_> = legacy.images().iter().map(|image| image.names.len()).collect();
    assert_eq!(names, [0, 1, 0]);
}

#[test]
fn images_of_several_archives_share_their_layers() {
    let one = open(docker_legacy(&two()[..1]));
    let other = open(oci(&two()[1..]));
    for target in [Target::Docker, Target::DockerLegacy, Target::Oci] {
        let merged = open(save_some(&[(&one, 0), (&other, 0)], target, None).unwrap());
        assert_clean(&merged, "merged");
        let together = open(docker_hybrid(&two()));
        assert_eq!(essence(&merged), essence(&together));
        let blobs = |archive: &Open| {
            let mut entries: Vec<_> =
                archive.images().iter().flat_map(|image| &image.layers).map(|l| l.entry).collect();
            entries.sort();
            entries.dedup();
            entries.len()
        };
        assert_eq!(blobs(&merged), 2, "the base is there once");
    }
    // The same image twice is one image with both names; another one of the same name is refused.
    let retagged = one.tag("app:1", "app:2").unwrap().archive;
    let merged = open(save_some(&[(&one, 0), (&retagged, 0)], Target::Docker, None).unwrap());
    assert_eq!((merged.images().len(), merged.images()[0].names.len()), (1, 3));
    let clash = other.tag("team/db:5.5.16", "app:1").unwrap().archive;
    let error = save_some(&[(&one, 0), (&clash, 0)], Target::Docker, None).unwrap_err();
    assert_eq!(error.code(), Code::DuplicateReference);
}

#[test]
fn names_that_docker_has_no_place_for_are_told() {
    let mut bytes = oci(&[ImageSpec::new("app:1"), ImageSpec::new("team/db:5")]);
    // A tag alone, as long as the name was.
    let name = open(bytes.clone()).images()[0].names[0].text().to_owned();
    let tag = "t".repeat(name.len());
    while let Some(at) = bytes.windows(name.len()).position(|window| window == name.as_bytes()) {
        bytes[at..at + name.len()].copy_from_slice(tag.as_bytes());
    }
    let archive = open(bytes);
    let (measured, repacked) = (HashMap::new(), HashMap::new());
    let select = |image| Selection { archive: &archive, image, measured: &measured, repacked: &repacked };
    let told = |target| left_out(&[select(0), select(1), select(0)], target).join(" ");
    assert_eq!((told(Target::Docker), told(Target::DockerLegacy)), (tag.clone(), tag));
    assert!(told(Target::Oci).is_empty() && told(Target::Registry).is_empty());
    assert!(left_out(&[select(1)], Target::Docker).is_empty());
}

#[test]
fn a_name_with_a_tag_and_a_digest_is_not_the_tag() {
    let name = format!("app:1@sha256:{}", "a".repeat(64));
    let mut entries = docker_legacy_entries(&[ImageSpec::new("app:1")]);
    for entry in entries.iter_mut().filter(|entry| entry.path == "manifest.json") {
        let Content::Bytes(bytes) = &mut entry.content else { continue };
        *bytes = String::from_utf8_lossy(bytes).replace("app:1", &name).into_bytes();
    }
    let archive = open(tar(&entries));
    for target in [Target::Docker, Target::DockerLegacy, Target::Store] {
        assert!(all(&archive, target).images()[0].names.is_empty(), "{target:?}");
        let (measured, repacked) = (HashMap::new(), HashMap::new());
        let selection = Selection { archive: &archive, image: 0, measured: &measured, repacked: &repacked };
        assert_eq!(left_out(&[selection], target), [name.as_str()]);
    }
}

#[test]
fn layers_are_packed_anew_on_demand() {
    let archive = open(docker_legacy(&two()));
    let images = [(&archive, 0), (&archive, 1)];
    for packing in [Packing::Gzip, Packing::Zstd] {
        let written = open(save_some(&images, Target::Oci, Some(packing)).unwrap());
        assert_eq!(essence(&written), essence(&archive));
        assert_clean(&written, "packed");
        assert!(written.images()[0].layers.iter().all(|layer| layer.digest != layer.diff_id));
        let back = open(save_some(&[(&written, 0)], Target::Docker, Some(Packing::None)).unwrap());
        assert!(back.images()[0].layers.iter().all(|layer| layer.digest == layer.diff_id));
        // Docker up to 24 knows gzip, but not zstd.
        let wanted = needs(&written, 0, Target::DockerLegacy, None);
        assert_eq!(wanted.is_empty(), packing == Packing::Gzip);
        assert_clean(&all(&written, Target::DockerLegacy), "legacy");
    }
    // Those for several platforms stay together.
    let archive = platforms();
    let images = [(&archive, 0), (&archive, 1), (&archive, 2)];
    let written = open(save_some(&images, Target::Oci, Some(Packing::Gzip)).unwrap());
    assert_eq!(essence(&written), essence(&archive));
    assert_clean(&written, "packed platforms");
}

#[test]
fn sha512_layouts_come_through() {
    // A layout whose blobs are all named by sha512.
    let archive = open(oci(&two()));
    let digest512 = |bytes: &[u8]| longshore_archive::Algorithm::Sha512.digest(bytes);
    let content = |digest: &str| {
        let path = format!("blobs/{}", digest.replace(':', "/"));
        let entry = &archive.index().entries()[archive.index().find(&path).unwrap()];
        let mut bytes = vec![0; usize::try_from(entry.size).unwrap()];
        archive.recipe().read_at(entry.data, &mut bytes).unwrap();
        bytes
    };
    let image = &archive.images()[0];
    let mut manifest = String::from_utf8(content(image.digest.as_ref().unwrap())).unwrap();
    let mut entries = Vec::new();
    let blob = |bytes: Vec<u8>| {
        longshore_fixtures::Entry::file(format!("blobs/{}", digest512(&bytes).replace(':', "/")), bytes)
    };
    let layers = image.layers.iter().map(|layer| layer.digest.clone().unwrap());
    for digest in layers.chain([image.id.clone()]) {
        let bytes = content(&digest);
        manifest = manifest.replace(&digest, &digest512(&bytes));
        entries.push(blob(bytes));
    }
    let index = format!(
        r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{}","size":{}}}]}}"#,
        digest512(manifest.as_bytes()),
        manifest.len()
    );
    entries.push(blob(manifest.into_bytes()));
    entries.push(longshore_fixtures::Entry::file("index.json", index));
    entries.push(longshore_fixtures::Entry::file("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#));
    let layout = open(longshore_fixtures::tar(&entries));
    assert!(layout.images()[0].id.starts_with("sha512:"));
    assert_clean(&layout, "sha512");
    let again = all(&layout, Target::Oci);
    assert_eq!(essence(&again), essence(&layout));
    assert_clean(&again, "sha512 again");
    // Readers of manifest.json know an image by its config's sha256, and so does the index beside it.
    for target in [Target::Docker, Target::DockerLegacy] {
        let written = all(&layout, target);
        assert_clean(&written, "sha512 for Docker");
        assert_eq!(
            (written.images().len(), written.images()[0].id.as_str()),
            (1, archive.images()[0].id.as_str())
        );
    }
}

#[test]
fn an_index_below_an_index_stays_one_image() {
    let mut layout = Layout(Vec::new());
    let [amd64, arm64, s390x] = ["amd64", "arm64", "s390x"].map(|name| layout.image(name, PLAIN));
    let below = layout.index(&[&amd64, &arm64]);
    let top = layout.index(&[&below, &s390x]);
    let archive = layout.open(&[(&top, "app:1")]);
    for target in [Target::Oci, Target::Docker] {
        let written = all(&archive, target);
        assert_clean(&written, "nested");
        assert_eq!(named(&written), named(&archive));
        assert_eq!(written.images()[0].index, archive.images()[0].index, "{target:?}");
        // Some of them stay together, too.
        let two = open(save_some(&[(&archive, 1), (&archive, 2)], target, None).unwrap());
        assert_clean(&two, "two of nested");
        assert_eq!(named(&two), named(&archive)[1..]);
        assert!(two.images()[0].index.is_some() && two.images()[0].index == two.images()[1].index);
    }
}

#[test]
fn names_lead_to_what_they_led_to() {
    // An image by itself and under an index, and one under two indexes.
    let mut layout = Layout(Vec::new());
    let [amd64, arm64, s390x] = ["amd64", "arm64", "s390x"].map(|name| layout.image(name, PLAIN));
    let first = layout.index(&[&arm64, &amd64]);
    let second = layout.index(&[&amd64, &s390x]);
    let archive = layout.open(&[(&first, "one:1"), (&second, "two:1"), (&amd64, "three:1")]);
    let expected = named(&archive);
    assert_eq!(expected[0].1, ["one:1", "three:1", "two:1"]);
    assert_eq!(
        (&expected[1].1[..], &expected[2].1[..]),
        (&["one:1".to_owned()][..], &["two:1".to_owned()][..])
    );
    for target in [Target::Oci, Target::Docker] {
        let written = all(&archive, target);
        assert_eq!(written.verify(Limits::default()).unwrap().verdict, Verdict::Intact);
        assert_eq!(named(&written), expected, "{target:?}");
        assert_eq!(named(&all(&written, Target::Oci)), expected, "{target:?}, again");
    }
    let legacy = all(&archive, Target::DockerLegacy);
    assert_clean(&legacy, "overlapping, legacy");
    assert_eq!(named(&legacy)[0].1, ["one:1", "three:1", "two:1"]);
}

#[test]
fn an_image_with_two_manifests_keeps_each_name_once() {
    let mut layout = Layout(Vec::new());
    let [one, other] =
        [PLAIN, "application/vnd.docker.image.rootfs.diff.tar"].map(|kind| layout.image("amd64", kind));
    let archive = layout.open(&[(&one, "app:1"), (&other, "app:1"), (&other, "app:2")]);
    for target in [Target::Oci, Target::Docker, Target::DockerLegacy] {
        let written = all(&archive, target);
        assert_clean(&written, "two manifests");
        assert!(
            written.images().iter().any(|image| image.names.iter().any(|name| name.to_string() == "app:2"))
        );
        let owners =
            written.images().iter().flat_map(|image| &image.names).filter(|name| name.to_string() == "app:1");
        assert_eq!(owners.count(), 1, "{target:?}");
    }
}

#[test]
fn a_layer_that_stays_keeps_its_annotations() {
    let mut layout = Layout(Vec::new());
    // The bytes are no matter: nobody without a key can tell.
    let image = layout.image("amd64", "application/vnd.oci.image.layer.v1.tar+encrypted");
    let archive = layout.open(&[(&image, "app:1")]);
    let written = save_some(&[(&archive, 0)], Target::Oci, Some(Packing::Gzip)).unwrap();
    assert_eq!(open(written.clone()).images()[0].digest, archive.images()[0].digest);
    for target in [Target::Docker, Target::DockerLegacy] {
        let refused = save_some(&[(&archive, 0)], target, None).unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "manifest.json cannot say that it is encrypted");
    }

    let mut layout = Layout(Vec::new());
    let image = layout.image("amd64", "application/vnd.docker.image.rootfs.diff.tar");
    // A config that is not what its digest says makes a new manifest, in the OCI's own words.
    let config = layout.0.iter().position(|entry| matches!(&entry.content, longshore_fixtures::Content::Bytes(bytes) if bytes.starts_with(br#"{"os""#)));
    let entry = &mut layout.0[config.unwrap()];
    let longshore_fixtures::Content::Bytes(bytes) = &entry.content else { panic!("it is a config") };
    entry.content = longshore_fixtures::Content::Bytes(
        String::from_utf8(bytes.clone()).unwrap().replace("linux", "Linux").into(),
    );
    let written = open(save_some(&[(&layout.open(&[(&image, "app:1")]), 0)], Target::Oci, None).unwrap());
    assert_clean(&written, "another config");
    assert_eq!(written.images()[0].layers[0].media_type, PLAIN);
}

#[test]
fn what_is_said_of_an_image_stays_where_its_layers_are_packed_anew() {
    const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    const INDEX: &str = "application/vnd.oci.image.index.v1+json";
    let mut layout = Layout(Vec::new());
    let (subject, _) = layout.blob("{}");
    let images = ["amd64", "arm64", "s390x"].map(|architecture| {
        let (layer, len) = layout.blob(tar(&[longshore_fixtures::Entry::file("file", architecture)]));
        let (config, config_len) = layout.blob(format!(
            r#"{{"os":"linux","architecture":"{architecture}","rootfs":{{"type":"layers","diff_ids":["{layer}"]}}}}"#
        ));
        let (digest, size) = layout.blob(format!(
            r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","artifactType":"application/app","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{config}","size":{config_len},"annotations":{{"of":"config"}}}},"layers":[{{"mediaType":"{PLAIN}","digest":"{layer}","size":{len}}}],"subject":{{"mediaType":"application/app","digest":"{subject}","size":2}},"annotations":{{"of":"manifest"}}}}"#
        ));
        // What a descriptor has of what it leads to is true of that alone.
        format!(r#"{{"mediaType":"{MANIFEST}","digest":"{digest}","size":{size},"data":"eA=="}}"#)
    });
    let (digest, size) = layout.blob(format!(
        r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{}],"annotations":{{"of":"index"}}}}"#,
        images.join(",")
    ));
    let index = format!(r#"{{"mediaType":"{INDEX}","digest":"{digest}","size":{size}}}"#);
    let archive = layout.open(&[(&index, "app:1")]);
    assert_eq!(archive.images().len(), 3);

    let value = |archive: &Open, digest: &str| -> serde_json::Value {
        let member = archive.member(&format!("blobs/{}", digest.replace(':', "/"))).unwrap();
        let mut bytes = vec![0; usize::try_from(member.len()).unwrap()];
        member.read_at(0, &mut bytes).unwrap();
        serde_json::from_slice(&bytes).unwrap()
    };
    for (images, packing) in [(0..3, Some(Packing::Gzip)), (0..2, None)] {
        let images: Vec<_> = images.map(|image| (&archive, image)).collect();
        let written = open(save_some(&images, Target::Oci, packing).unwrap());
        for image in written.images() {
            let manifest = value(&written, image.digest.as_ref().unwrap());
            assert_eq!(manifest["annotations"]["of"], "manifest");
            assert_eq!(manifest["artifactType"], "application/app");
            assert_eq!(manifest["subject"]["digest"], subject.as_str());
            assert_eq!(manifest["config"]["annotations"]["of"], "config");
        }
        let index = value(&written, written.images()[0].index.as_ref().unwrap());
        assert_eq!(index["annotations"]["of"], "index");
        for descriptor in index["manifests"].as_array().unwrap() {
            assert_eq!(descriptor.get("data").is_some(), packing.is_none());
        }
    }
}

#[test]
fn a_compressed_layer_that_is_called_a_tar_gets_its_type() {
    let mut variants = longshore_fixtures::variants::all().into_iter();
    let archive = open(variants.find(|variant| variant.name == "oci-layer-gzip-as-tar").unwrap().bytes);
    for target in [Target::Docker, Target::Oci] {
        for packing in [None, Some(Packing::Gzip)] {
            let written = open(save_some(&[(&archive, 0)], target, packing).unwrap());
            assert_clean(&written, "a corrected type");
            assert_eq!(
                written.images()[0].layers[0].media_type,
                "application/vnd.oci.image.layer.v1.tar+gzip"
            );
            assert_eq!(essence(&written), essence(&archive));
        }
    }
}

#[test]
fn a_name_of_a_file_is_no_digest() {
    use longshore_fixtures::Entry;
    // Named by what it holds, not by what it is.
    let layer = longshore_fixtures::tar(&[Entry::file("file", "content")]);
    let diff_id = sha256(&layer);
    let config = format!(r#"{{"os":"linux","rootfs":{{"type":"layers","diff_ids":["{diff_id}"]}}}}"#);
    let path = format!("{}.tar.gz", &diff_id[7..]);
    let manifest = format!(r#"[{{"Config":"config.json","RepoTags":["app:1"],"Layers":["{path}"]}}]"#);
    let archive = open(longshore_fixtures::tar(&[
        Entry::file("config.json", config),
        Entry::file(path, packed(&layer, Packing::Gzip)),
        Entry::file("manifest.json", manifest),
    ]));
    for target in [Target::Docker, Target::Oci] {
        assert_clean(&all(&archive, target), "named by its diff ID");
    }
}

#[test]
fn an_image_stays_one_whatever_type_is_stated_of_its_layer() {
    use longshore_fixtures::Entry;
    let layer = longshore_fixtures::tar(&[Entry::file("file", "content")]);
    let diff_id = sha256(&layer);
    let config = format!(r#"{{"os":"linux","rootfs":{{"type":"layers","diff_ids":["{diff_id}"]}}}}"#);
    let about = [r#""mediaType":"application/+encrypted""#, r#""mediaType":"application/vnd.in-toto+json""#];
    let about = about.map(|about| (about, true)).into_iter().chain([
        (r#""urls":["https://layers.example/1"]"#, false),
        (r#""mediaType":"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip""#, false),
    ]);
    for (about, is_there) in about {
        let source = format!(r#"{{"{diff_id}":{{{about},"digest":"{diff_id}","size":{}}}}}"#, layer.len());
        let manifest = format!(
            r#"[{{"Config":"config.json","RepoTags":["app:1"],"Layers":["layer.tar"],"LayerSources":{source}}}]"#
        );
        let mut entries =
            vec![Entry::file("config.json", config.as_str()), Entry::file("manifest.json", manifest)];
        entries.extend(is_there.then(|| Entry::file("layer.tar", layer.clone())));
        let archive = open(longshore_fixtures::tar(&entries));
        let written = all(&archive, Target::Oci);
        assert_eq!(essence(&written), essence(&archive), "{about}");
        assert_eq!(written.verify(Limits::default()).unwrap().verdict, Verdict::Intact, "{about}");
    }
}

#[test]
fn what_is_new_between_two_layers_is_one_part() {
    let specs: Vec<ImageSpec> = (0..300).map(|number| ImageSpec::new(&format!("app:{number}"))).collect();
    let archive = open(docker_legacy(&specs));
    let (measured, repacked) = (HashMap::new(), HashMap::new());
    let selection = |image| Selection { archive: &archive, image, measured: &measured, repacked: &repacked };
    let selections: Vec<_> = (0..archive.images().len()).map(selection).collect();
    for target in [Target::Docker, Target::DockerLegacy, Target::Oci] {
        let recipe = save(&selections, target).unwrap();
        let is_new = |part: &Part<_>| matches!(part, Part::Bytes(_));
        let torn = recipe
            .parts()
            .windows(2)
            .find(|pair| pair.iter().all(is_new) && pair.iter().map(Part::len).sum::<u64>() <= 1 << 20);
        assert!(torn.is_none(), "{target:?}");
    }
}

#[test]
fn thousands_of_images_are_no_trouble() {
    let mut layout = Layout(Vec::new());
    let images: Vec<String> = (0..1000).map(|number| layout.image(&number.to_string(), PLAIN)).collect();
    let top = layout.index(&images.iter().collect::<Vec<_>>());
    let mut tops: Vec<(&String, &str)> = vec![(&top, "all:1")];
    let names: Vec<String> = (0..1000).map(|number| format!("app:{number}")).collect();
    tops.extend(images.iter().zip(&names).map(|(image, name)| (image, name.as_str())));
    let archive = layout.open(&tops);
    for target in [Target::Oci, Target::Docker, Target::DockerLegacy] {
        let images: Vec<_> = (0..1000).map(|image| (&archive, image)).collect();
        save_some(&images, target, None).unwrap();
    }
}

fn spec() -> impl Strategy<Value = ImageSpec> {
    let layers = prop::collection::vec((any::<u8>(), any::<bool>()), 0..4);
    (
        prop::sample::subsequence(vec!["a:1", "b:2", "x.io/team/c:3"], 0..=3),
        layers,
        any::<bool>(),
        any::<u8>(),
    )
        .prop_map(|(names, layers, gzip, label)| {
            let mut spec = ImageSpec::untagged().label("label", &label.to_string());
            spec.gzip = gzip;
            for (seed, _) in layers {
                spec = spec.layer(Layer::files(&[("file", &seed.to_string())]));
            }
            spec.names = names.into_iter().map(ToOwned::to_owned).collect();
            spec
        })
}

#[test]
fn what_an_image_was_made_from_is_kept_where_that_is_written_too() {
    let specs = [ImageSpec::new("app:1"), ImageSpec::new("app:2").label("made", "from the first")];
    let first = specs[0].id();
    let mut entries = longshore_fixtures::docker_legacy_entries(&specs);
    for entry in entries.iter_mut().filter(|entry| entry.path == "manifest.json") {
        let longshore_fixtures::Content::Bytes(bytes) = &mut entry.content else { continue };
        let mut items: Vec<serde_json::Map<String, serde_json::Value>> =
            serde_json::from_slice(bytes).unwrap();
        items[1].insert("Parent".to_owned(), first.clone().into());
        *bytes = serde_json::to_vec(&items).unwrap();
    }
    let archive = open(longshore_fixtures::tar(&entries));
    for target in [Target::Docker, Target::DockerLegacy] {
        let both = all(&archive, target);
        assert_eq!(both.images()[1].parent.as_deref(), Some(first.as_str()));
        let alone = save_some(&[(&archive, 1)], target, None).unwrap();
        assert_eq!(open(alone).images()[0].parent, None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// docker → oci → docker, and every other way: IDs, names and diff IDs stay, and all is intact.
    #[test]
    fn conversions_keep_what_an_image_is(image in spec(), layout in 0..4_usize, first in 0..3_usize, second in 0..3_usize) {
        const TARGETS: [Target; 3] = [Target::Docker, Target::DockerLegacy, Target::Oci];
        let images = [image];
        let archive = open(match layout {
            0 => docker_legacy(&images),
            1 => docker_hybrid(&images),
            2 => containerd(&images),
            _ => oci(&images),
        });
        let there = all(&archive, TARGETS[first]);
        let back = all(&there, TARGETS[second]);
        prop_assert_eq!(essence(&back), essence(&archive));
        assert_clean(&back, "converted");
        // The same again gives the same bytes.
        let again = save_some(&[(&there, 0)], TARGETS[second], None).unwrap();
        prop_assert!(again == save_some(&[(&there, 0)], TARGETS[second], None).unwrap());
    }
}
