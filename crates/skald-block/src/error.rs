use skald_model::{Day, ErrorKind, Labels, Timestamp};
use std::fmt;

/// A separately checksummed part of a data object. Numbers count from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// The first bytes.
    Header,
    /// The last bytes.
    Trailer,
    /// Footer section: who wrote what.
    Info,
    /// Footer section: labels of the streams.
    Streams,
    /// Footer section: blocks, their columns and runs.
    Directory,
    /// Footer section: shape of the filters.
    Filters,
    /// One page of the filters.
    FilterPage(u32),
    /// Timestamps of a block.
    Timestamps {
        /// Number of the block.
        block: u32,
    },
    /// Line lengths of a block.
    LineLengths {
        /// Number of the block.
        block: u32,
    },
    /// A frame of lines.
    Lines {
        /// Number of the block.
        block: u32,
        /// Number of the frame in it.
        frame: u32,
    },
    /// A metadata column.
    Column {
        /// Number of the block.
        block: u32,
        /// Number of the column in it.
        column: u32,
    },
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Part::Header => f.write_str("header"),
            Part::Trailer => f.write_str("trailer"),
            Part::Info => f.write_str("footer info"),
            Part::Streams => f.write_str("stream table"),
            Part::Directory => f.write_str("directory"),
            Part::Filters => f.write_str("filter description"),
            Part::FilterPage(page) => write!(f, "filter page {page}"),
            Part::Timestamps { block } => write!(f, "timestamps of block {block}"),
            Part::LineLengths { block } => write!(f, "line lengths of block {block}"),
            Part::Lines { block, frame } => write!(f, "lines of block {block}, frame {frame}"),
            Part::Column { block, column } => write!(f, "metadata column {column} of block {block}"),
        }
    }
}

/// Why stored bytes are not what a writer wrote.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// Fewer bytes than any object has.
    #[error("{len} bytes are too few for a data object")]
    TooShort {
        /// Bytes there are.
        len: u64,
    },
    /// Not a data object, or its ends are damaged.
    #[error("{part} at offset {offset} lacks the mark of a data object")]
    Magic {
        /// Header or trailer.
        part: Part,
        /// Offset in the object.
        offset: u64,
    },
    /// Written by a version that this one does not know.
    #[error("data object has format version {found}, known is version {known}")]
    Version {
        /// Version in the trailer.
        found: u32,
        /// The version read here.
        known: u32,
    },
    /// Bytes changed since they were written.
    #[error("{part} at offset {offset} has checksum {computed:08x} where {stored:08x} is expected")]
    Checksum {
        /// What is damaged.
        part: Part,
        /// Where it begins in the object.
        offset: u64,
        /// Checksum that was written.
        stored: u32,
        /// Checksum of what is there.
        computed: u32,
    },
    /// Another number of bytes was handed in than the part has.
    #[error("{part} at offset {offset} has {found} bytes where {want} are expected")]
    Length {
        /// What was read.
        part: Part,
        /// Where it begins in the object.
        offset: u64,
        /// Bytes handed in.
        found: u64,
        /// Bytes it has.
        want: u64,
    },
    /// The checksum is right and the content makes no sense.
    #[error("{part} at offset {offset} is malformed: {what}")]
    Malformed {
        /// What is malformed.
        part: Part,
        /// Where it begins in the object.
        offset: u64,
        /// What is wrong with it.
        what: &'static str,
    },
}

impl FormatError {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Version { .. } => ErrorKind::NotImplemented,
            Self::TooShort { .. } | Self::Magic { .. } | Self::Checksum { .. } | Self::Length { .. } | Self::Malformed { .. } => {
                ErrorKind::Corrupt
            }
        }
    }
}

/// Why rows cannot become a data object.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// Streams must come in ascending label order, each once.
    #[error("stream {labels} does not come after the stream before it")]
    StreamOrder {
        /// The stream.
        labels: Labels,
    },
    /// Rows must be sorted by time.
    #[error("rows of stream {labels} are not sorted by time")]
    RowOrder {
        /// The stream.
        labels: Labels,
    },
    /// A metadata name may come once as pushed and once as derived.
    #[error("rows of stream {labels} have the metadata column '{name}' twice")]
    ColumnTwice {
        /// The stream.
        labels: Labels,
        /// Metadata name.
        name: String,
    },
    /// An entry of another day than the object's.
    #[error("entry at {at} in stream {labels} is not of {day}")]
    OutsideDay {
        /// The stream.
        labels: Labels,
        /// Time of the entry.
        at: Timestamp,
        /// Day of the object.
        day: Day,
    },
    /// A line or the metadata of one entry are too large for the format.
    #[error("entry at {at} in stream {labels} has {bytes} bytes of {what}, at most {max} fit")]
    RowTooLarge {
        /// The stream.
        labels: Labels,
        /// Time of the entry.
        at: Timestamp,
        /// `line` or `metadata`.
        what: &'static str,
        /// Bytes of it.
        bytes: usize,
        /// Most bytes that fit.
        max: usize,
    },
    /// A count or a size of the object passes what the format can say.
    #[error("data object has too many {what}")]
    ObjectTooLarge {
        /// What there is too much of.
        what: &'static str,
    },
    /// No entry was added.
    #[error("a data object needs at least one entry")]
    Empty,
    /// The compressor refused.
    #[error("compress {what}")]
    Compress {
        /// What was compressed.
        what: &'static str,
        /// Cause.
        #[source]
        source: std::io::Error,
    },
}

impl EncodeError {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::StreamOrder { .. } | Self::RowOrder { .. } | Self::ColumnTwice { .. } | Self::OutsideDay { .. } | Self::Empty => {
                ErrorKind::InvalidInput
            }
            Self::RowTooLarge { .. } | Self::ObjectTooLarge { .. } => ErrorKind::TooLarge,
            Self::Compress { .. } => ErrorKind::Internal,
        }
    }
}
