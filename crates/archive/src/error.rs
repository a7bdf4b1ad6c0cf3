//! Failures and findings: what stops an archive from being used, and what is merely odd about it.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

/// Facts about a failure or finding, by name: `entry`, `offset`, `expected`, `actual`, …
pub type Detail = BTreeMap<&'static str, Fact>;

/// One fact of a [`Detail`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(untagged)]
pub enum Fact {
    /// A name or a quotation.
    Text(String),
    /// An offset, a size or a count.
    Number(u64),
}

impl From<&str> for Fact {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Fact {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<u64> for Fact {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<usize> for Fact {
    fn from(number: usize) -> Self {
        Self::Number(number as u64)
    }
}

macro_rules! codes {
    ($(#[$meta:meta])* $name:ident { $($(#[doc = $doc:literal])+ $variant:ident = $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum $name { $($(#[doc = $doc])+ $variant,)+ }

        impl $name {
            /// Every code, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The code as users of the library see it. It never changes once released.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    };
}

codes! {
    /// Why something could not be done. Callers act on these; people read [`Error::message`].
    Code {
        /// The source holds no bytes.
        EmptyFile = "empty-file",
        /// The first block is not a tar header.
        NotATar = "not-a-tar",
        /// The source is a compressed file that has to be unpacked first.
        Compressed = "compressed",
        /// The source ends inside a header or a member.
        Truncated = "truncated",
        /// A tar header, pax record or long name makes no sense.
        InvalidTar = "invalid-tar",
        /// A readable tar without image metadata.
        NotAnImageArchive = "not-an-image-archive",
        /// The metadata names a member that the archive does not hold.
        MissingEntry = "missing-entry",
        /// `manifest.json` is not JSON.
        InvalidJson = "invalid-json",
        /// `manifest.json` is JSON of the wrong shape; or `index.json`, `repositories` or a manifest is unusable and nothing stands in for it.
        InvalidManifest = "invalid-manifest",
        /// An image's config is not a JSON object, or of the wrong shape.
        InvalidConfig = "invalid-config",
        /// Compressed data is damaged.
        InvalidCompression = "invalid-compression",
        /// A document, a header, the number of members, what compressed data unpacks to or the memory that this takes is beyond what is allowed.
        LimitExceeded = "limit-exceeded",
        /// A name that Docker's grammar refuses.
        InvalidReference = "invalid-reference",
        /// The image has that name already, or two images would get it.
        DuplicateReference = "duplicate-reference",
        /// No image of the archive has that name or ID.
        NoSuchImage = "no-such-image",
        /// Several images' IDs start with that prefix.
        AmbiguousImage = "ambiguous-image",
        /// The image or the container has no file at that path.
        NoSuchFile = "no-such-file",
        /// Something stands at that path already.
        FileExists = "file-exists",
        /// What was to be a directory is none.
        NotADirectory = "not-a-directory",
        /// What was to be a file is a directory.
        IsADirectory = "is-a-directory",
        /// `index.json` does not know an image of `manifest.json`, so no name can be put there.
        IndexMismatch = "index-mismatch",
        /// Something that has to be known first was not given, or an option makes no sense.
        InvalidArgument = "invalid-argument",
        /// A document, or what came from a registry or arrived there, is not what its digest says.
        DigestMismatch = "digest-mismatch",
        /// No container of the store has that name or ID.
        NoSuchContainer = "no-such-container",
        /// Several containers' IDs start with that prefix.
        AmbiguousContainer = "ambiguous-container",
        /// Another container has that name.
        NameInUse = "name-in-use",
        /// An image cannot be removed: something needs it.
        ImageInUse = "image-in-use",
        /// An image of the store lacks a blob, or has one that is not what its digest says.
        DamagedImage = "damaged-image",
        /// A row of the store's catalog cannot be read, or leads to nothing.
        DamagedCatalog = "damaged-catalog",
        /// The source no longer holds the bytes that it held when it was opened.
        SourceChanged = "source-changed",
        /// The source could not be read.
        ReadFailed = "read-failed",
        /// A registry gives no answer.
        Unreachable = "unreachable",
        /// A registry wants credentials, or others.
        Unauthorized = "unauthorized",
        /// A registry does not allow that with these credentials.
        Denied = "denied",
        /// A registry does not have that.
        NotFound = "not-found",
        /// There is no image for that platform.
        NoSuchPlatform = "no-such-platform",
        /// A registry refuses, in its own words.
        RegistryRefused = "registry-refused",
        /// A registry fails, however often it is asked.
        RegistryFailed = "registry-failed",
        /// A registry's answer makes no sense.
        InvalidAnswer = "invalid-answer",
    }
}

codes! {
    /// What is odd about an archive that opened all the same.
    FindingCode {
        /// Two members share a path; readers differ on which one counts.
        DuplicateEntry = "duplicate-entry",
        /// A metadata document has a key twice; readers differ on which one counts.
        DuplicateKey = "duplicate-json-key",
        /// Bytes follow the JSON of a metadata document, or the compressed data of a layer; some readers or all refuse that.
        TrailingBytes = "trailing-bytes",
        /// The tar has no end-of-archive blocks.
        NoEndBlocks = "no-end-blocks",
        /// A member's path is not UTF-8.
        InvalidUtf8 = "invalid-utf8",
        /// A member's path leads out of the archive, is absolute, or has characters that cannot be seen.
        OddPath = "odd-path",
        /// `manifest.json`, `repositories` and `index.json` do not give the images the same names.
        NamesDisagree = "names-disagree",
        /// A name in the archive that Docker would refuse.
        InvalidName = "invalid-name",
        /// Two images of the archive have the same name; Docker gives it to the last.
        DuplicateName = "duplicate-name",
        /// An image without a name.
        Untagged = "untagged",
        /// The config's file name is a digest, but not the one of its content.
        ConfigNameMismatch = "config-name-mismatch",
        /// The config lists another number of layers than the manifest.
        LayerCountMismatch = "layer-count-mismatch",
        /// A diff ID of the config is not a digest.
        InvalidDiffId = "invalid-diff-id",
        /// A non-distributable layer that the archive leaves out.
        ForeignLayerAbsent = "foreign-layer-absent",
        /// A layer is compressed otherwise than its media type says.
        MediaTypeMismatch = "media-type-mismatch",
        /// `manifest.json` lists no image.
        NoImages = "no-images",
        /// Readers see different images in the same bytes.
        Ambiguous = "ambiguous",
        /// A blob's digest is not the one that it is known by.
        DigestMismatch = "digest-mismatch",
        /// A blob's size is not the one that its descriptor states.
        SizeMismatch = "size-mismatch",
        /// A layer's content is not the one that the config lists.
        DiffIdMismatch = "diff-id-mismatch",
        /// A layer cannot be unpacked.
        DamagedLayer = "damaged-layer",
        /// A layer unpacks to more than is allowed, or takes more memory for that: whether it is intact is not known.
        LimitExceeded = "limit-exceeded",
        /// Nothing leads to a member.
        Unreferenced = "unreferenced",
        /// Bytes follow the end of the tar.
        TrailingData = "trailing-data",
        /// The history tells of another number of layers than the config lists.
        HistoryMismatch = "history-mismatch",
        /// A descriptor without a valid digest, too many of them, or a document that is no manifest.
        InvalidDescriptor = "invalid-descriptor",
        /// An image or an artefact that the index lists beside others cannot be read, or a part of it is not there.
        IncompleteImage = "incomplete-image",
        /// A tag without a repository.
        BareTag = "bare-tag",
        /// `oci-layout` is not what `index.json` asks for; readers differ on whether they look.
        InvalidLayout = "invalid-layout",
        /// The format of Docker 1.9, in which nothing has a digest.
        NoDigests = "no-digests",
        /// `index.json`, `repositories`, or `manifest.json` beside an `index.json` cannot be read; other readers do not miss them.
        InvalidListing = "invalid-listing",
    }
}

/// A failure: a stable code, a sentence for people, and the facts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(Box<Inner>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Inner {
    code: Code,
    message: String,
    detail: Detail,
}

/// What every fallible call of this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A failure with its sentence and no facts yet.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self(Box::new(Inner { code, message: message.into(), detail: Detail::new() }))
    }

    /// Adds one fact.
    #[must_use]
    pub fn with(mut self, name: &'static str, fact: impl Into<Fact>) -> Self {
        self.0.detail.insert(name, fact.into());
        self
    }

    /// What went wrong, for programs.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// What went wrong, for people.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The facts.
    pub fn detail(&self) -> &Detail {
        &self.0.detail
    }

    /// Whether the storage failed, rather than what it holds being wrong.
    pub fn is_of_source(&self) -> bool {
        matches!(self.code(), Code::ReadFailed | Code::SourceChanged)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.0.message, self.0.code)
    }
}

impl std::error::Error for Error {}

/// How much a [`Finding`] matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Some reader will see another archive, or refuse it.
    Warning,
    /// The archive is damaged: most readers will refuse it.
    Error,
}

/// Something odd about an archive that did not keep it from opening.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Finding {
    /// What it is, for programs.
    pub code: FindingCode,
    /// How much it matters.
    pub severity: Severity,
    /// What it is, for people.
    pub message: String,
    /// The facts.
    pub detail: Detail,
}

impl Finding {
    pub(crate) fn new(code: FindingCode, severity: Severity, message: impl Into<String>) -> Self {
        Self { code, severity, message: message.into(), detail: Detail::new() }
    }

    pub(crate) fn with(mut self, name: &'static str, fact: impl Into<Fact>) -> Self {
        self.detail.insert(name, fact.into());
        self
    }
}
