//! Hashing and unpacking, as JavaScript sees them: a step at a time, so that a Worker can report between steps.

#![allow(clippy::needless_pass_by_value)] // what wasm-bindgen gives is owned

use js_sys::{Array, Function, Uint8Array};
use longshore_archive::{
    Algorithm, Compression, Hasher, Hashing, Limits, Looking, Measured, Measuring, Odd, Recipe, Source,
    Unpacked,
};
use serde::{Deserialize, Serialize};
use wasm_bindgen::prelude::*;

use crate::error::{JsResult, to_throw};
use crate::source::{Shared, failed_read, recipe_of};
use crate::values::{from_js, to_js};

/// The same type as that of archives, so that no decoder is there twice.
pub(crate) type Bytes = Recipe<Shared>;

/// How much of what JavaScript hands over is copied at a time.
const PIECE: usize = 256 << 10;

/// What the caller allows.
#[derive(Deserialize)]
struct Allowed {
    bytes: Option<u64>,
    ratio: Option<u64>,
}

/// The parts as one source, read in large pieces from start to end.
pub(crate) fn source_of(parts: &Array, read_sync: Option<&Function>) -> JsResult<Bytes> {
    recipe_of(parts, read_sync, Vec::new())
}

pub(crate) fn limits_of(limits: JsValue) -> JsResult<Option<Limits>> {
    let allowed: Option<Allowed> = from_js(&limits)?;
    let usual = Limits::default();
    Ok(allowed.map(|Allowed { bytes, ratio }| Limits {
        bytes: bytes.unwrap_or(usual.bytes),
        ratio: ratio.unwrap_or(usual.ratio),
        // Who states a ratio means it, but for small files of zeros, which are harmless.
        free: ratio.map_or(usual.free, |_| 64 << 20),
    }))
}

fn algorithm(name: &str) -> Algorithm {
    if name == Algorithm::Sha512.as_str() { Algorithm::Sha512 } else { Algorithm::Sha256 }
}

/// How a file is compressed that begins with these bytes.
#[wasm_bindgen(js_name = compressionOf, unchecked_return_type = "Packing | undefined")]
pub fn compression_of(head: &[u8]) -> Option<String> {
    Compression::of(head).map(|compression| compression.name().to_owned())
}

/// The error for what a browser threw when it was asked for a file's bytes.
#[wasm_bindgen(js_name = readFailure)]
pub fn read_failure(thrown: JsValue, offset: f64) -> JsValue {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // below 2^53
    to_throw(failed_read(&thrown, offset as u64))
}

/// A digest of bytes that JavaScript reads.
#[wasm_bindgen]
pub struct Hash {
    hasher: Hasher,
    buffer: Vec<u8>,
}

#[wasm_bindgen]
impl Hash {
    /// Begins with `sha256` or `sha512`.
    #[wasm_bindgen(constructor)]
    pub fn new(#[wasm_bindgen(js_name = algorithm)] name: &str) -> Self {
        Self { hasher: algorithm(name).hasher(), buffer: vec![0; PIECE] }
    }

    /// Adds bytes.
    #[allow(clippy::cast_possible_truncation)] // a piece is small
    pub fn update(&mut self, bytes: &Uint8Array) {
        let mut done = 0;
        while done < bytes.length() {
            let end = bytes.length().min(done + PIECE as u32);
            if let Some(piece) = self.buffer.get_mut(..(end - done) as usize) {
                bytes.subarray(done, end).copy_to(piece);
                self.hasher.update(piece);
            }
            done = end;
        }
    }

    /// The digest: `sha256:…`.
    pub fn finish(self) -> String {
        self.hasher.finish()
    }
}

#[wasm_bindgen]
extern "C" {
    /// What JavaScript hashes with.
    #[derive(Debug)]
    type Hashes;
    #[wasm_bindgen(method)]
    fn update(this: &Hashes, bytes: &Uint8Array);
    #[wasm_bindgen(method)]
    fn finish(this: &Hashes) -> String;
}

/// A hash of JavaScript's, and what its bytes are copied through.
#[derive(Debug)]
struct Outside {
    hashes: Hashes,
    buffer: Uint8Array,
}

impl Hashing for Outside {
    #[allow(clippy::cast_possible_truncation)] // a piece is small
    fn update(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(PIECE) {
            let copy = self.buffer.subarray(0, piece.len() as u32);
            copy.copy_from(piece);
            self.hashes.update(&copy);
        }
    }

    fn finish(self: Box<Self>) -> String {
        self.hashes.finish()
    }
}

/// A hasher that JavaScript has, if it has one.
fn hasher_of(hash: Option<&Function>, algorithm: Algorithm) -> Hasher {
    let made = hash.and_then(|hash| hash.call1(&JsValue::UNDEFINED, &algorithm.as_str().into()).ok());
    made.map_or_else(
        || algorithm.hasher(),
        |made| {
            #[allow(clippy::cast_possible_truncation)] // it is small
            let buffer = Uint8Array::new_with_length(PIECE as u32);
            Hasher::Outside(Box::new(Outside { hashes: made.unchecked_into(), buffer }))
        },
    )
}

/// Both digests of some bytes: as stored, and of what they hold.
#[wasm_bindgen]
pub struct Measure {
    measuring: Measuring<Bytes>,
}

#[derive(Serialize)]
struct Found<'a> {
    digest: &'a str,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    compression: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<FoundContent<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Failure<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    odd: Vec<FoundOdd<'a>>,
}

#[derive(Serialize)]
struct FoundContent<'a> {
    digest: &'a str,
    size: u64,
    trailing: u64,
}

#[derive(Serialize)]
struct FoundOdd<'a> {
    what: &'static str,
    path: &'a str,
}

#[derive(Serialize)]
struct Failure<'a> {
    code: &'static str,
    message: &'a str,
}

#[wasm_bindgen]
impl Measure {
    /// Begins. Without `limits` nothing is unpacked. `hash` makes hashers that are faster than those in here.
    #[wasm_bindgen(constructor)]
    pub fn new(
        #[wasm_bindgen(unchecked_param_type = "readonly Part[]")] parts: &Array,
        #[wasm_bindgen(js_name = readSync, unchecked_param_type = "ReadSync | undefined")] read_sync: Option<
            Function,
        >,
        stored: &str,
        content: &str,
        #[wasm_bindgen(unchecked_param_type = "Limits | undefined")] limits: JsValue,
        #[wasm_bindgen(unchecked_param_type = "((algorithm: string) => Hashing) | undefined")] hash: Option<
            Function,
        >,
    ) -> JsResult<Self> {
        let source = source_of(parts, read_sync.as_ref())?;
        let range = 0..source.len();
        let limits = limits_of(limits)?;
        let (stored, content) = (algorithm(stored), algorithm(content));
        let hasher = |algorithm| hasher_of(hash.as_ref(), algorithm);
        let measuring = Measuring::with(source, range, stored, content, limits, hasher);
        Ok(Self { measuring: measuring.map_err(to_throw)? })
    }

    /// Goes on for about that many bytes; `true` at the end.
    pub fn step(&mut self, bytes: u32) -> JsResult<bool> {
        self.measuring.step(bytes.into()).map_err(to_throw)
    }

    /// Bytes read so far.
    pub fn consumed(&self) -> f64 {
        #[allow(clippy::cast_precision_loss)] // below 2^53
        (self.measuring.consumed() as f64)
    }

    /// What was found.
    #[wasm_bindgen(unchecked_return_type = "Measured")]
    pub fn finish(self) -> JsResult {
        let Measured { digest, size, compression, content, odd } = self.measuring.finish();
        to_js(&Found {
            digest: &digest,
            size,
            compression: compression.map(Compression::name),
            content: content.as_ref().ok().map(|content| FoundContent {
                digest: &content.digest,
                size: content.size,
                trailing: content.trailing,
            }),
            error: content
                .as_ref()
                .err()
                .map(|error| Failure { code: error.code().as_str(), message: error.message() }),
            odd: found_odd(&odd),
        })
    }
}

fn found_odd(odd: &[Odd]) -> Vec<FoundOdd<'_>> {
    odd.iter().map(|odd| FoundOdd { what: odd.what.name(), path: &odd.path }).collect()
}

/// What in a layer makes readers refuse it, of bytes that JavaScript reads.
#[wasm_bindgen]
#[derive(Default)]
pub struct Look {
    looking: Looking,
    buffer: Vec<u8>,
}

#[wasm_bindgen]
impl Look {
    /// Begins.
    #[wasm_bindgen(constructor)]
    pub fn new() -> Self {
        Self::default()
    }

    /// Looks at the next bytes, of which only the headers are copied.
    #[allow(clippy::cast_possible_truncation)] // all are within the length of the bytes
    pub fn update(&mut self, bytes: &Uint8Array) {
        let len = bytes.length();
        let mut done = 0;
        while done < len {
            done += self.looking.pass((len - done) as usize) as u32;
            let end = len.min(done + self.looking.wanted() as u32);
            self.buffer.resize((end - done) as usize, 0);
            bytes.subarray(done, end).copy_to(&mut self.buffer);
            self.looking.push(&self.buffer);
            done = end;
        }
    }

    /// What was odd.
    #[wasm_bindgen(unchecked_return_type = "FoundOdd[]")]
    pub fn finish(self) -> JsResult {
        to_js(&found_odd(&self.looking.finish()))
    }
}

/// What compressed bytes hold.
#[wasm_bindgen]
pub struct Unpack {
    unpacked: Unpacked<Bytes>,
    buffer: Vec<u8>,
}

#[wasm_bindgen]
impl Unpack {
    /// Begins. What the bytes are compressed with is told by the first of them.
    #[wasm_bindgen(constructor)]
    pub fn new(
        #[wasm_bindgen(unchecked_param_type = "readonly Part[]")] parts: &Array,
        #[wasm_bindgen(js_name = readSync, unchecked_param_type = "ReadSync | undefined")] read_sync: Option<
            Function,
        >,
        #[wasm_bindgen(unchecked_param_type = "Limits")] limits: JsValue,
    ) -> JsResult<Self> {
        let source = source_of(parts, read_sync.as_ref())?;
        let mut head = [0; 8];
        let known = source.len().min(8) as usize;
        source.read_at(0, head.get_mut(..known).unwrap_or_default()).map_err(to_throw)?;
        let compression =
            Compression::of(&head).ok_or_else(|| JsError::new("these bytes are not compressed"))?;
        let range = 0..source.len();
        let limits = limits_of(limits)?.unwrap_or_default();
        Ok(Self { unpacked: Unpacked::new(source, range, compression, limits), buffer: Vec::new() })
    }

    /// The next bytes, as many as fit into `max` or nearly so; `undefined` at the end.
    pub fn read(&mut self, max: u32) -> JsResult<Option<Uint8Array>> {
        self.buffer.resize(max as usize, 0);
        let mut filled = 0;
        while let Some(rest) = self.buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.unpacked.read(rest).map_err(to_throw)? {
                0 => break,
                count => filled += count,
            }
        }
        Ok(self.buffer.get(..filled).filter(|bytes| !bytes.is_empty()).map(Uint8Array::from))
    }

    /// Bytes read so far.
    pub fn consumed(&self) -> f64 {
        #[allow(clippy::cast_precision_loss)] // below 2^53
        (self.unpacked.consumed() as f64)
    }

    /// Bytes after the compressed data that are none; known at the end.
    pub fn trailing(&self) -> f64 {
        #[allow(clippy::cast_precision_loss)] // below 2^53
        (self.unpacked.trailing() as f64)
    }
}
