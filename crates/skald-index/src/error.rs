use crate::InputError;
use skald_model::{ErrorKind, Labels};
use std::fmt;

/// A separately checksummed part of an index file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// The last bytes.
    Tail,
    /// Counts, times and object names.
    Info,
    /// Lengths and checksums of the row blocks.
    RowTable,
    /// Labels too long for the dictionary.
    LongLabels,
    /// One of tantivy's files, by its extension.
    Terms(&'static str),
    /// Labels and references of neighbouring streams; numbers count from 0.
    Rows(u32),
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Part::Tail => f.write_str("tail"),
            Part::Info => f.write_str("info"),
            Part::RowTable => f.write_str("row table"),
            Part::LongLabels => f.write_str("table of long labels"),
            Part::Terms(file) => write!(f, "term file '{file}'"),
            Part::Rows(block) => write!(f, "row block {block}"),
        }
    }
}

/// Why stored bytes are not what a writer wrote.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// Fewer bytes than any index file has.
    #[error("{len} bytes are too few for an index file")]
    TooShort {
        /// Bytes there are.
        len: u64,
    },
    /// Not an index file, or its end is damaged.
    #[error("the file lacks the mark of an index file")]
    Magic,
    /// Written by a version that this one does not know.
    #[error("index file has format version {found}, known is version {known}")]
    Version {
        /// Version in the tail.
        found: u32,
        /// The version read here.
        known: u32,
    },
    /// Bytes changed since they were written.
    #[error("{part} has checksum {computed:08x} where {stored:08x} is expected")]
    Checksum {
        /// What is damaged.
        part: Part,
        /// Checksum that was written.
        stored: u32,
        /// Checksum of what is there.
        computed: u32,
    },
    /// Another number of bytes was handed in than the part has.
    #[error("{found} bytes were read where {want} are expected")]
    Length {
        /// Bytes handed in.
        found: u64,
        /// Bytes wanted.
        want: u64,
    },
    /// The checksum is right and the content makes no sense.
    #[error("{part} is malformed: {what}")]
    Malformed {
        /// What is malformed.
        part: Part,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The checksums are right and tantivy cannot read its files.
    #[error("terms cannot be read: {0}")]
    Terms(String),
}

impl FormatError {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Version { .. } => ErrorKind::NotImplemented,
            Self::TooShort { .. } | Self::Magic | Self::Checksum { .. } | Self::Length { .. } | Self::Malformed { .. } | Self::Terms(_) => {
                ErrorKind::Corrupt
            }
        }
    }
}

/// Why streams cannot become an index file.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Streams must come in ascending label order, each once.
    #[error("stream {labels} does not come after the stream before it")]
    StreamOrder {
        /// The stream.
        labels: Labels,
    },
    /// A stream stands in the index for the rows that objects have of it.
    #[error("stream {labels} has no reference")]
    NoReference {
        /// The stream.
        labels: Labels,
    },
    /// An object has one run of numbers for a stream, not two.
    #[error("stream {labels} has two references to object '{object}'")]
    ReferenceTwice {
        /// The stream.
        labels: Labels,
        /// The object's name.
        object: String,
    },
    /// A reference to an object that was not named.
    #[error("stream {labels} refers to object number {object} of {objects}")]
    UnknownObject {
        /// The stream.
        labels: Labels,
        /// Number in the reference.
        object: u32,
        /// How many objects there are.
        objects: usize,
    },
    /// A reference ends before it begins.
    #[error("a reference of stream {labels} has its times reversed")]
    TimeOrder {
        /// The stream.
        labels: Labels,
    },
    /// Each object is named once.
    #[error("object '{name}' is named twice")]
    ObjectTwice {
        /// The object's name.
        name: String,
    },
    /// A count or a size passes what the format can say.
    #[error("{what} of the index pass {max}")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// Most that fits.
        max: u64,
    },
    /// tantivy refused.
    #[error("terms cannot be written: {0}")]
    Terms(String),
}

impl BuildError {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::TooLarge { .. } => ErrorKind::TooLarge,
            Self::StreamOrder { .. }
            | Self::NoReference { .. }
            | Self::ReferenceTwice { .. }
            | Self::UnknownObject { .. }
            | Self::TimeOrder { .. }
            | Self::ObjectTwice { .. }
            | Self::Terms(_) => ErrorKind::Internal,
        }
    }
}

/// Why a question to an index has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// A pattern that is no regular expression.
    #[error("error parsing regexp: {reason}: `{pattern}`")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it, on one line.
        reason: String,
    },
    /// A pattern whose program would take too much memory.
    #[error("error parsing regexp: expression too large: `{pattern}`")]
    PatternTooLarge {
        /// The pattern.
        pattern: String,
    },
    /// The index is damaged in a way that its checksums do not show.
    #[error("index cannot be read")]
    Format(#[from] FormatError),
}

impl QueryError {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Pattern { .. } | Self::PatternTooLarge { .. } => ErrorKind::InvalidInput,
            Self::Format(err) => err.kind(),
        }
    }
}

/// Why indexes cannot be merged.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// An input could not be read.
    #[error("read input {input}")]
    Input {
        /// Number of the input, from 0.
        input: usize,
        /// Why.
        #[source]
        source: InputError,
    },
    /// Streams of an input do not ascend.
    #[error("stream {labels} of input {input} does not come after the stream before it")]
    StreamOrder {
        /// Number of the input, from 0.
        input: usize,
        /// The stream.
        labels: Labels,
    },
    /// A reference to an object that the input does not name.
    #[error("stream {labels} of input {input} refers to object number {object}")]
    UnknownObject {
        /// Number of the input, from 0.
        input: usize,
        /// The stream.
        labels: Labels,
        /// Number in the reference.
        object: u32,
    },
    /// Two inputs say different things of a stream in one object.
    #[error("inputs disagree on stream {labels} in object '{object}'")]
    Disagree {
        /// The stream.
        labels: Labels,
        /// The object's name.
        object: String,
    },
    /// The result cannot be written.
    #[error("write merged index")]
    Build(#[from] BuildError),
}

impl MergeError {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Input { .. } | Self::StreamOrder { .. } | Self::UnknownObject { .. } | Self::Disagree { .. } => ErrorKind::Corrupt,
            Self::Build(err) => err.kind(),
        }
    }
}
