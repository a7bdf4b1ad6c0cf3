//! A layer's uncompressed bytes, whatever it is packed with.

use crate::compression::Compression;
use crate::error::{Error, Result};
use crate::recipe::Recipe;
use crate::source::{Source, past_end};
use crate::unpack::{Limits, Unpacked};

use super::gzip::{Checkpoints, Gunzip};

/// How much is unpacked at a time.
const PIECE: usize = 128 << 10;

/// A layer's uncompressed bytes, read from start to end.
pub(super) enum LayerStream<S: Source + Clone> {
    Plain {
        data: Recipe<S>,
        at: u64,
    },
    Gzip(Box<Gunzip<S>>),
    /// Of what the other decoders gave, the bytes of `piece` in `ready` were not read yet.
    Other {
        unpacked: Box<Unpacked<Recipe<S>>>,
        piece: Vec<u8>,
        ready: std::ops::Range<usize>,
    },
}

/// How a layer is compressed, by its first bytes.
pub(super) fn compression_of<S: Source + Clone>(data: &Recipe<S>) -> Result<Option<Compression>> {
    let mut head = [0; 8];
    #[allow(clippy::cast_possible_truncation)] // at most eight
    let known = data.len().min(8) as usize;
    data.read_at(0, head.get_mut(..known).unwrap_or_default())?;
    Ok(Compression::of(&head))
}

impl<S: Source + Clone> LayerStream<S> {
    /// From the beginning; gzip notes its checkpoints.
    pub(super) fn noting(data: Recipe<S>, compression: Option<Compression>, limits: Limits) -> Self {
        match compression {
            Some(Compression::Gzip) => Self::Gzip(Box::new(Gunzip::noting(data, limits))),
            other => Self::at(data, other, limits, &Checkpoints::default(), 0),
        }
    }

    /// From the nearest place before that byte from which it can be read.
    pub(super) fn at(
        data: Recipe<S>,
        compression: Option<Compression>,
        limits: Limits,
        checkpoints: &Checkpoints,
        offset: u64,
    ) -> Self {
        match compression {
            None => Self::Plain { data, at: offset },
            Some(Compression::Gzip) => Self::Gzip(Box::new(Gunzip::at(data, limits, checkpoints, offset))),
            Some(other) => {
                let range = 0..data.len();
                let unpacked = Box::new(Unpacked::new(data, range, other, limits));
                Self::Other { unpacked, piece: vec![0; PIECE], ready: 0..0 }
            }
        }
    }

    /// Uncompressed bytes before the next one.
    pub(super) fn position(&self) -> u64 {
        match self {
            Self::Plain { at, .. } => *at,
            Self::Gzip(gunzip) => gunzip.position(),
            Self::Other { unpacked, ready, .. } => unpacked.given() - ready.len() as u64,
        }
    }

    /// Bytes of the layer as stored that were read so far.
    pub(super) fn consumed(&self) -> u64 {
        match self {
            Self::Plain { data, at } => (*at).min(data.len()),
            Self::Gzip(gunzip) => gunzip.consumed(),
            Self::Other { unpacked, .. } => unpacked.consumed(),
        }
    }

    /// Fills the beginning of `buf`; 0 at the end.
    pub(super) fn read(&mut self, buf: &mut [u8]) -> Result<usize> {
        if let Self::Plain { data, at } = self {
            let len = buf.len().min(usize::try_from(data.len().saturating_sub(*at)).unwrap_or(usize::MAX));
            data.read_at(*at, buf.get_mut(..len).unwrap_or_default())?;
            *at += len as u64;
            return Ok(len);
        }
        let bytes = self.unpacked()?;
        let len = bytes.len().min(buf.len());
        for (to, from) in buf.iter_mut().zip(bytes) {
            *to = *from;
        }
        self.consume(len);
        Ok(len)
    }

    /// Fills `buf`; fails with `truncated` where the layer ends before.
    pub(super) fn read_exact(&mut self, buf: &mut [u8]) -> Result<()> {
        let mut done = 0;
        while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.read(rest)? {
                0 => return Err(self.ends_early(rest.len())),
                count => done += count,
            }
        }
        Ok(())
    }

    /// Goes past up to `bytes` bytes, unpacking no more than a piece; 0 at the end.
    pub(super) fn skip(&mut self, bytes: u64) -> Result<u64> {
        if let Self::Plain { data, at } = self {
            let len = bytes.min(data.len().saturating_sub(*at));
            *at += len;
            return Ok(len);
        }
        let len = usize::try_from(bytes).unwrap_or(usize::MAX).min(self.unpacked()?.len());
        self.consume(len);
        Ok(len as u64)
    }

    /// The error for a layer that ends where it should not.
    pub(super) fn ends_early(&self, wanted: usize) -> Error {
        past_end(self.position(), wanted, self.position())
    }

    /// The places from which the layer can be read, where they were noted.
    pub(super) fn into_checkpoints(self) -> Checkpoints {
        match self {
            Self::Gzip(gunzip) => gunzip.into_checkpoints(),
            _ => Checkpoints::default(),
        }
    }

    fn unpacked(&mut self) -> Result<&[u8]> {
        match self {
            Self::Plain { .. } => Ok(&[]),
            Self::Gzip(gunzip) => gunzip.fill(),
            Self::Other { unpacked, piece, ready } => {
                if ready.start >= ready.end {
                    *ready = 0..unpacked.read(piece)?;
                }
                Ok(piece.get(ready.clone()).unwrap_or_default())
            }
        }
    }

    fn consume(&mut self, bytes: usize) {
        match self {
            Self::Plain { .. } => {}
            Self::Gzip(gunzip) => gunzip.consume(bytes),
            Self::Other { ready, .. } => ready.start = (ready.start + bytes).min(ready.end),
        }
    }
}
