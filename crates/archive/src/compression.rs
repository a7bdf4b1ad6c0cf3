//! Compressed files, told by their first bytes.

/// A compression format that container tools use, told by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
    /// bzip2.
    Bzip2,
    /// xz.
    Xz,
    /// LZ4 frames.
    Lz4,
}

impl Compression {
    /// Every format.
    pub const ALL: [Self; 5] = [Self::Gzip, Self::Zstd, Self::Bzip2, Self::Xz, Self::Lz4];

    /// The format with that name; `None` where none has it.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }

    /// What the first bytes of a file say; `None` where they are of no format known here.
    pub fn of(magic: &[u8]) -> Option<Self> {
        const MAGIC: [(&[u8], Compression); 5] = [
            (b"\x1f\x8b\x08", Compression::Gzip),
            (b"\x28\xb5\x2f\xfd", Compression::Zstd),
            (b"BZh", Compression::Bzip2),
            (b"\xfd7zXZ\0", Compression::Xz),
            (b"\x04\x22\x4d\x18", Compression::Lz4),
        ];
        // A zstd file may begin with a frame to be skipped; an LZ4 file that does is told by what follows.
        if let &[first, 0x2a, 0x4d, 0x18, ..] = magic
            && first & 0xf0 == 0x50
        {
            return Some(Self::Zstd);
        }
        MAGIC.iter().find(|(bytes, _)| magic.starts_with(bytes)).map(|&(_, compression)| compression)
    }

    /// The length of the frame to be skipped, of zstd or LZ4, that begins so.
    pub(crate) fn skipped(head: &[u8]) -> Option<u64> {
        match *head {
            [first, 0x2a, 0x4d, 0x18, a, b, c, d, ..] if first & 0xf0 == 0x50 => {
                Some(8 + u64::from(u32::from_le_bytes([a, b, c, d])))
            }
            _ => None,
        }
    }

    /// Its usual name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Bzip2 => "bzip2",
            Self::Xz => "xz",
            Self::Lz4 => "lz4",
        }
    }
}
