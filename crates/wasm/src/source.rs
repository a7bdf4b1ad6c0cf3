//! Bytes that JavaScript holds: a `Blob` in a Worker, a file descriptor in Node, an array.

use std::rc::Rc;

use gloo::file::Blob;
use js_sys::{Array, Function, Object, Reflect, Uint8Array};
use longshore_archive::{Code, Error, Part, ReadAhead, Recipe, Result, Source};
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::*;
use web_sys::FileReaderSync;

/// A source that reads ahead, and is read from several places.
pub(crate) type Shared = Rc<ReadAhead<JsSource>>;

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
    /// Bytes that are made when they are needed, which is not here: only their number is known.
    Later {
        len: u64,
    },
}

impl JsSource {
    /// What JavaScript gives: a `Blob`, an array, a file of Node's with the function that reads it, or a size alone.
    pub(crate) fn of(value: &JsValue) -> Result<Self, JsValue> {
        if let Some(blob) = value.dyn_ref::<web_sys::Blob>() {
            return Ok(Self::Blob { blob: Blob::from(blob.clone()), reader: FileReaderSync::new()? });
        }
        if let Some(bytes) = value.dyn_ref::<Uint8Array>() {
            return Ok(Self::Bytes(bytes.clone()));
        }
        let number =
            |name: &str| Ok::<_, JsValue>(Reflect::get(value, &name.into())?.as_f64().unwrap_or_default());
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a descriptor and a size
        let (fd, len) = (number("fd")? as u32, number("size")? as u64);
        Ok(match Reflect::get(value, &"readSync".into())?.dyn_into() {
            Ok(read_sync) => Self::File { fd, len, read_sync },
            Err(_) => Self::Later { len },
        })
    }

    /// The value that JavaScript gave: it makes slices of it when the archive is saved.
    pub(crate) fn value(&self) -> JsValue {
        match self {
            Self::Blob { blob, .. } => AsRef::<web_sys::Blob>::as_ref(blob).into(),
            Self::File { fd, .. } => (*fd).into(),
            Self::Bytes(bytes) => bytes.into(),
            Self::Later { .. } => JsValue::UNDEFINED,
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
            Self::Later { .. } => Err(JsError::new("these bytes are not made yet").into()),
        }
    }
}

impl Source for JsSource {
    fn len(&self) -> u64 {
        match self {
            Self::Blob { blob, .. } => blob.size(),
            Self::File { len, .. } | Self::Later { len } => *len,
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

/// The parts as one recipe, with one source for all parts of the same thing: one of the `known`, where it is that. A `Blob`
/// among them can only be read in a Worker, a number only by `read_sync`.
pub(crate) fn recipe_of(
    parts: &Array,
    read_sync: Option<&Function>,
    mut known: Vec<Shared>,
) -> Result<Recipe<Shared>, JsValue> {
    let mut recipe = Recipe::default();
    for part in parts.iter() {
        // Thousands of them are no reason to look through thousands each time: each is its own.
        if let Some(bytes) = part.dyn_ref::<Uint8Array>() {
            let source = Rc::new(ReadAhead::new(JsSource::Bytes(bytes.clone())));
            recipe.push(Part::Range { len: source.len(), source, offset: 0 });
            continue;
        }
        let get = |name: &str| Reflect::get(&part, &name.into());
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // below 2^53
        let number = |value: JsValue| value.as_f64().unwrap_or_default() as u64;
        let (offset, len) = (number(get("offset")?), number(get("length")?));
        let source = get("source")?;
        let source = if source.as_f64().is_some() {
            let fd = u32::try_from(number(source)).unwrap_or(u32::MAX);
            let read_sync = read_sync.cloned().ok_or_else(|| JsError::new("nothing reads files here"))?;
            JsSource::File { fd, len: offset + len, read_sync }
        } else {
            JsSource::of(&source)?
        };
        recipe.push(Part::Range { source: shared(source, &mut known), offset, len });
    }
    Ok(recipe)
}

/// What is known of the same thing. A file's length is only known to be as far as the part goes: a longer one takes its place.
fn shared(source: JsSource, known: &mut Vec<Shared>) -> Shared {
    let value = source.value();
    let same = known.iter().position(|other| Object::is(&other.inner().value(), &value));
    if let Some(same) = same.and_then(|at| known.get_mut(at)) {
        if same.len() < source.len() {
            *same = Rc::new(ReadAhead::new(source));
        }
        return same.clone();
    }
    let new = Rc::new(ReadAhead::new(source));
    known.push(new.clone());
    new
}

/// A recipe's parts as JavaScript takes them.
pub(crate) fn parts_of(recipe: &Recipe<Shared>) -> Result<Array, JsValue> {
    let parts = Array::new();
    for part in recipe.parts() {
        match part {
            Part::Bytes(bytes) => parts.push(&Uint8Array::from(&**bytes)),
            Part::Range { source, offset, len } => {
                let range = Object::new();
                #[allow(clippy::cast_precision_loss)] // below 2^53
                let fields: [(&str, JsValue); 3] = [
                    ("source", source.inner().value()),
                    ("offset", (*offset as f64).into()),
                    ("length", (*len as f64).into()),
                ];
                for (name, value) in fields {
                    Reflect::set(&range, &name.into(), &value)?;
                }
                parts.push(&range)
            }
        };
    }
    Ok(parts)
}
