//! OCI image layouts that are put together by hand.

use std::rc::Rc;

use longshore_archive::{Archive, Image, sha256};
use longshore_fixtures::{Entry, tar};

type Open = Archive<Rc<Vec<u8>>>;

/// A layout of blobs, and of what `index.json` lists: descriptors, each with its name.
pub(crate) struct Layout(pub(crate) Vec<Entry>);

impl Layout {
    pub(crate) fn blob(&mut self, bytes: impl Into<Vec<u8>>) -> (String, usize) {
        let bytes = bytes.into();
        let (digest, size) = (sha256(&bytes), bytes.len());
        let path = format!("blobs/{}", digest.replace(':', "/"));
        self.0.push(Entry::file(path, bytes));
        (digest, size)
    }

    /// An image of one layer; its descriptor.
    pub(crate) fn image(&mut self, architecture: &str, media_type: &str) -> String {
        self.image_of(architecture, architecture, media_type)
    }

    pub(crate) fn image_of(&mut self, content: &str, architecture: &str, media_type: &str) -> String {
        let layer = tar(&[Entry::file("file", content)]);
        let (layer, len) = self.blob(layer);
        let (config, config_len) = self.blob(format!(
            r#"{{"os":"linux","architecture":"{architecture}","rootfs":{{"type":"layers","diff_ids":["{layer}"]}}}}"#
        ));
        let (digest, size) = self.blob(format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{config}","size":{config_len}}},"layers":[{{"mediaType":"{media_type}","digest":"{layer}","size":{len},"annotations":{{"key":"kept"}}}}]}}"#
        ));
        format!(
            r#"{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{digest}","size":{size},"platform":{{"os":"linux","architecture":"{architecture}"}}}}"#
        )
    }

    pub(crate) fn index(&mut self, descriptors: &[&String]) -> String {
        let list: Vec<&str> = descriptors.iter().map(|text| text.as_str()).collect();
        let (digest, size) = self.blob(format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{}]}}"#,
            list.join(",")
        ));
        format!(
            r#"{{"mediaType":"application/vnd.oci.image.index.v1+json","digest":"{digest}","size":{size}}}"#
        )
    }

    pub(crate) fn open(mut self, tops: &[(&String, &str)]) -> Open {
        let top = |(descriptor, name): &(&String, &str)| {
            let open = descriptor.trim_end_matches('}');
            let closed = &descriptor[open.len()..descriptor.len() - 1];
            format!(
                r#"{open}{closed},"annotations":{{"org.opencontainers.image.ref.name":"docker.io/library/{name}"}}}}"#
            )
        };
        let list: Vec<String> = tops.iter().map(top).collect();
        let index = format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, list.join(","));
        self.0.push(Entry::file("index.json", index));
        Archive::open(Rc::new(tar(&self.0))).unwrap()
    }
}

pub(crate) const PLAIN: &str = "application/vnd.oci.image.layer.v1.tar";

/// Each image's architecture and names.
pub(crate) fn named(archive: &Open) -> Vec<(String, Vec<String>)> {
    let image = |image: &Image| {
        let mut names: Vec<_> = image.names.iter().map(ToString::to_string).collect();
        names.sort();
        (image.platform.architecture.clone(), names)
    };
    let mut all: Vec<_> = archive.images().iter().map(image).collect();
    all.sort();
    all
}
