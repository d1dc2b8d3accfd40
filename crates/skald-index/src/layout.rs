use crate::wire::Reader;
use crate::{FormatError, Part};
use std::ops::Range;

/// Last bytes of every index file.
const MAGIC: [u8; 8] = *b"SKALDIDX";
/// Format version written and read here.
const VERSION: u32 = 1;

/// Parts of the core, in the order in which they stand. The files behind the first three are tantivy's.
pub(crate) const PARTS: [Part; 9] = [
    Part::Info,
    Part::RowTable,
    Part::LongLabels,
    Part::Terms("term"),
    Part::Terms("idx"),
    Part::Terms("fast"),
    Part::Terms("fieldnorm"),
    Part::Terms("pos"),
    Part::Terms("meta.json"),
];

/// Where the core of an index file stands: all that is behind the rows, in one piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    core_start: u64,
    parts: [(u32, u32); PARTS.len()],
}

impl Layout {
    /// Bytes of every tail.
    pub const TAIL_LEN: usize = 8 + 8 * PARTS.len() + 16;

    /// Describes a core that begins at `core_start` and has these parts.
    pub(crate) fn new<B: AsRef<[u8]>>(core_start: u64, parts: &[B; PARTS.len()]) -> Option<Self> {
        let mut lens = [(0, 0); PARTS.len()];
        for (to, part) in lens.iter_mut().zip(parts) {
            *to = (u32::try_from(part.as_ref().len()).ok()?, crc32fast::hash(part.as_ref()));
        }
        Some(Layout { core_start, parts: lens })
    }

    pub(crate) fn encode(&self) -> [u8; Self::TAIL_LEN] {
        let mut out = Vec::with_capacity(Self::TAIL_LEN);
        out.extend_from_slice(&self.core_start.to_le_bytes());
        for (len, crc) in self.parts {
            out.extend_from_slice(&len.to_le_bytes());
            out.extend_from_slice(&crc.to_le_bytes());
        }
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&crc32fast::hash(&out).to_le_bytes());
        out.extend_from_slice(&MAGIC);
        out.try_into().expect("as many bytes were written")
    }

    /// Reads the tail of a file of `file_len` bytes from its last bytes, at least [`Layout::TAIL_LEN`] of them.
    ///
    /// # Errors
    /// When this is no index file, is damaged, was cut short, or has another version.
    pub fn parse(tail: &[u8], file_len: u64) -> Result<Self, FormatError> {
        let too_short = FormatError::TooShort { len: file_len.min(tail.len() as u64) };
        let bytes: &[u8; Self::TAIL_LEN] = tail.last_chunk().ok_or(too_short.clone())?;
        let core_end = file_len.checked_sub(Self::TAIL_LEN as u64).ok_or(too_short)?;
        let (sums, end) = bytes.split_at(Self::TAIL_LEN - 12);
        if end[4..] != MAGIC {
            return Err(FormatError::Magic);
        }
        let (stored, computed) = (Reader::new(end, Part::Tail).u32()?, crc32fast::hash(sums));
        if stored != computed {
            return Err(FormatError::Checksum { part: Part::Tail, stored, computed });
        }
        let found = Reader::new(&sums[sums.len() - 4..], Part::Tail).u32()?;
        if found != VERSION {
            return Err(FormatError::Version { found, known: VERSION });
        }
        Self::parse_parts(Reader::new(sums, Part::Tail), core_end)
    }

    fn parse_parts(mut reader: Reader<'_>, core_end: u64) -> Result<Self, FormatError> {
        let core_start = u64::from_le_bytes(reader.take(8)?.try_into().expect("taken with this length"));
        let mut parts = [(0, 0); PARTS.len()];
        for part in &mut parts {
            *part = (reader.u32()?, reader.u32()?);
        }
        let core_len: u64 = parts.iter().map(|(len, _)| u64::from(*len)).sum();
        if core_start.checked_add(core_len) != Some(core_end) {
            return Err(reader.malformed("the core does not end where the tail begins"));
        }
        Ok(Layout { core_start, parts })
    }

    /// Where the core stands in the file. It ends where the tail begins; the rows are before it.
    pub fn core(&self) -> Range<u64> {
        self.core_start..self.core_start + self.parts.iter().map(|(len, _)| u64::from(*len)).sum::<u64>()
    }

    /// Cuts the core into its parts, each with its checksum verified.
    pub(crate) fn verify(&self, core: &[u8]) -> Result<[Range<usize>; PARTS.len()], FormatError> {
        let (found, want) = (core.len() as u64, self.core().end - self.core_start);
        if found != want {
            return Err(FormatError::Length { found, want });
        }
        let mut ranges = [const { 0..0 }; PARTS.len()];
        let mut start = 0;
        for (i, (len, stored)) in self.parts.into_iter().enumerate() {
            let range = start..start + len as usize;
            let computed = crc32fast::hash(&core[range.clone()]);
            if computed != stored {
                return Err(FormatError::Checksum { part: PARTS[i], stored, computed });
            }
            start = range.end;
            ranges[i] = range;
        }
        Ok(ranges)
    }
}
