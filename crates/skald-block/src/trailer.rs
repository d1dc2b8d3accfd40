use crate::extent::is_possible;
use crate::wire::Reader;
use crate::{Extent, FormatError, Part};
use std::ops::Range;

/// First and last bytes of every object.
pub(crate) const MAGIC: [u8; 8] = *b"SKALDOBJ";
/// Format version written and read here.
pub(crate) const VERSION: u32 = 2;
const SECTIONS: usize = 4;

/// A section at the end of an object, in the order in which they stand. All but the first are the footer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Section {
    /// Labels of the streams.
    Streams = 0,
    /// Who wrote what.
    Info = 1,
    /// Blocks, their columns and runs.
    Directory = 2,
    /// Shape of the filters.
    Filters = 3,
}

impl Section {
    pub(crate) const ALL: [Section; SECTIONS] = [Section::Streams, Section::Info, Section::Directory, Section::Filters];

    pub(crate) fn part(self) -> Part {
        match self {
            Section::Streams => Part::Streams,
            Section::Info => Part::Info,
            Section::Directory => Part::Directory,
            Section::Filters => Part::Filters,
        }
    }
}

/// The last bytes of an object: where its sections stand, and their checksums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trailer {
    sections: [Extent; SECTIONS],
}

impl Trailer {
    /// Bytes of every trailer.
    pub const LEN: usize = 72;

    pub(crate) fn new(sections: [Extent; SECTIONS]) -> Self {
        Trailer { sections }
    }

    pub(crate) fn encode(&self) -> [u8; Self::LEN] {
        let mut out = Vec::with_capacity(Self::LEN);
        out.extend_from_slice(&self.sections[0].offset.to_le_bytes());
        for section in &self.sections {
            [section.stored_len, section.raw_len, section.crc].iter().for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
        }
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&crc32fast::hash(&out).to_le_bytes());
        out.extend_from_slice(&MAGIC);
        out.try_into().expect("8 + 4 × 12 + 4 + 4 + 8 bytes were written")
    }

    /// Reads the trailer of an object of `object_len` bytes from its last bytes, at least [`Trailer::LEN`] of them.
    ///
    /// # Errors
    /// When this is no data object, is damaged, was cut short, or has another version.
    pub fn parse(tail: &[u8], object_len: u64) -> Result<Self, FormatError> {
        let too_short = FormatError::TooShort { len: object_len.min(tail.len() as u64) };
        let bytes: &[u8; Self::LEN] = tail.last_chunk().ok_or(too_short.clone())?;
        let offset = object_len.checked_sub(Self::LEN as u64).ok_or(too_short)?;
        if bytes[64..] != MAGIC {
            return Err(FormatError::Magic { part: Part::Trailer, offset });
        }
        let mut reader = Reader::new(&bytes[56..64], Part::Trailer, offset);
        let (version, stored) = (reader.u32()?, reader.u32()?);
        let computed = crc32fast::hash(&bytes[..60]);
        if stored != computed {
            return Err(FormatError::Checksum { part: Part::Trailer, offset, stored, computed });
        }
        if version != VERSION {
            return Err(FormatError::Version { found: version, known: VERSION });
        }
        Self::parse_sections(Reader::new(&bytes[..56], Part::Trailer, offset), offset)
    }

    fn parse_sections(mut reader: Reader<'_>, end: u64) -> Result<Self, FormatError> {
        let mut offset = u64::from_le_bytes(reader.array()?);
        let mut take = |section: Section| {
            let (stored_len, raw_len, crc) = (reader.u32()?, reader.u32()?, reader.u32()?);
            if !is_possible(stored_len, raw_len) {
                return Err(reader.malformed("a section has an impossible length"));
            }
            let extent = Extent { part: section.part(), offset, stored_len, raw_len, crc };
            offset = offset.checked_add(u64::from(stored_len)).ok_or_else(|| reader.malformed("a section lies outside the object"))?;
            Ok(extent)
        };
        let sections = [take(Section::Streams)?, take(Section::Info)?, take(Section::Directory)?, take(Section::Filters)?];
        if sections[0].offset < MAGIC.len() as u64 || offset != end {
            return Err(reader.malformed("the footer does not end where the trailer begins"));
        }
        Ok(Trailer { sections })
    }

    /// Where a section stands.
    pub fn section(&self, section: Section) -> &Extent {
        &self.sections[section as usize]
    }

    /// Where the footer stands: all sections but the stream table, which stands right before it.
    pub fn footer_range(&self) -> Range<u64> {
        self.section(Section::Info).offset..self.section(Section::Filters).range().end
    }
}
