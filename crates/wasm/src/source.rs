//! Bytes that JavaScript holds: a `Blob` in a Worker, a file descriptor in Node, an array.

use gloo::file::Blob;
use js_sys::{Array, Function, Reflect, Uint8Array};
use longshore_archive::{Code, Error, Result, Source};
use wasm_bindgen::prelude::*;
use web_sys::FileReaderSync;

pub(crate) enum JsSource {
    /// Read synchronously, which only a Worker may do.
    Blob {
        blob: Blob,
        reader: FileReaderSync,
    },
    /// Read by Node's `fs.readSync`.
    File {
        fd: u32,
        len: u64,
        read_sync: Function,
    },
    Bytes(Uint8Array),
}

impl JsSource {
    /// The value that JavaScript gave: it makes slices of it when the archive is saved.
    #[cfg(feature = "core")]
    pub(crate) fn value(&self) -> JsValue {
        match self {
            Self::Blob { blob, .. } => AsRef::<web_sys::Blob>::as_ref(blob).into(),
            Self::File { fd, .. } => (*fd).into(),
            Self::Bytes(bytes) => bytes.into(),
        }
    }

    /// The bytes at `offset`: fewer than `len` where the source ends.
    fn bytes(&self, offset: u64, len: usize) -> Result<Uint8Array, JsValue> {
        let end = offset + len as u64;
        match self {
            Self::Blob { blob, reader } => {
                let slice = blob.slice(offset, end);
                Ok(Uint8Array::new(&reader.read_as_array_buffer(slice.as_ref())?.into()))
            }
            Self::File { fd, read_sync, .. } => {
                let length = u32::try_from(len).unwrap_or(u32::MAX);
                let buffer = Uint8Array::new_with_length(length);
                let mut done = 0;
                while done < length {
                    #[allow(clippy::cast_precision_loss)] // offsets are below 2^53
                    let position = (offset + u64::from(done)) as f64;
                    let arguments = Array::of5(
                        &(*fd).into(),
                        &buffer,
                        &done.into(),
                        &(length - done).into(),
                        &position.into(),
                    );
                    let read = read_sync.apply(&JsValue::UNDEFINED, &arguments)?.as_f64().unwrap_or(0.0);
                    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // at most `length`
                    let read = read as u32;
                    if read == 0 {
                        break;
                    }
                    done += read;
                }
                Ok(buffer.subarray(0, done))
            }
            #[allow(clippy::cast_possible_truncation)] // an array is shorter than 2^32
            Self::Bytes(bytes) => Ok(bytes.subarray(offset as u32, end as u32)),
        }
    }
}

impl Source for JsSource {
    fn len(&self) -> u64 {
        match self {
            Self::Blob { blob, .. } => blob.size(),
            Self::File { len, .. } => *len,
            Self::Bytes(bytes) => bytes.length().into(),
        }
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let bytes = self.bytes(offset, buf.len()).map_err(|thrown| failed_read(&thrown, offset))?;
        if bytes.length() as usize != buf.len() {
            return Err(Error::new(Code::Truncated, "The file ends early: some of its bytes are missing.")
                .with("offset", offset)
                .with("expected", offset + buf.len() as u64)
                .with("actual", offset + u64::from(bytes.length())));
        }
        bytes.copy_to(buf);
        Ok(())
    }
}

/// What browsers and Node throw when a file cannot be read.
pub(crate) fn failed_read(thrown: &JsValue, offset: u64) -> Error {
    let text = |key: &str| Reflect::get(thrown, &key.into()).ok().and_then(|value| value.as_string());
    let name = text("name").unwrap_or_default();
    // A file that was rewritten, moved or deleted: Chromium and WebKit by the standard's names, Firefox in a Worker by
    // its own codes, of which it has several.
    let changed = matches!(name.as_str(), "NotReadableError" | "NotFoundError" | "AbortError")
        || name.starts_with("NS_");
    let error = if changed {
        Error::new(Code::SourceChanged, "The file has changed or is gone since it was opened. Open it again.")
    } else {
        Error::new(
            Code::ReadFailed,
            format!(
                "The file cannot be read: {}.",
                text("message").filter(|message| !message.is_empty()).unwrap_or_else(|| name.clone())
            ),
        )
    };
    error.with("offset", offset).with("reason", name)
}
