//! Bytes of the log, as in `docs/formats/wal.md`. All numbers are little-endian.

use skald_model::{DiskId, Generation};

/// Version that this release writes, and the only one it reads.
pub(crate) const VERSION: u32 = 1;
/// Bytes before the first record of a segment.
pub(crate) const SEGMENT_HEADER_LEN: usize = 56;
/// Bytes before each body.
pub(crate) const RECORD_HEADER_LEN: usize = 24;
/// Begins each record, so that replay finds the next one after a damaged one.
pub(crate) const MARKER: [u8; 4] = [0xf5, b'S', b'k', 0xa1];
/// No release writes a longer body, whatever is configured.
pub(crate) const BODY_LEN_MAX: u32 = 1 << 30;
/// Bytes of the file that keeps the number of the next generation.
pub(crate) const NUMBER_FILE_LEN: usize = 2 * NUMBER_COPY_LEN;

const SEGMENT_MAGIC: [u8; 8] = *b"SKALDWAL";
const NUMBER_MAGIC: [u8; 8] = *b"SKALDGEN";
/// One copy fills a sector of the disk, so that a bad sector costs one.
const NUMBER_COPY_LEN: usize = 4096;

/// Which segment a byte belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentId {
    pub(crate) disk: DiskId,
    pub(crate) generation: Generation,
    pub(crate) segment: u64,
}

impl SegmentId {
    fn to_bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes[..16].copy_from_slice(&self.disk.0.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.generation.0.to_le_bytes());
        bytes[24..].copy_from_slice(&self.segment.to_le_bytes());
        bytes
    }
}

/// The first bytes of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) version: u32,
    pub(crate) id: SegmentId,
    /// Sequence number of the first record: how many records of the generation were acknowledged before this segment.
    pub(crate) first_sequence: u64,
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> [u8; SEGMENT_HEADER_LEN] {
        let mut bytes = [0; SEGMENT_HEADER_LEN];
        bytes[..8].copy_from_slice(&SEGMENT_MAGIC);
        bytes[8..12].copy_from_slice(&self.version.to_le_bytes());
        bytes[12..44].copy_from_slice(&self.id.to_bytes());
        bytes[44..52].copy_from_slice(&self.first_sequence.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..52]);
        bytes[52..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// `None` when the bytes are no intact header. The version comes first and is checked by the caller.
    pub(crate) fn decode(bytes: &[u8; SEGMENT_HEADER_LEN]) -> Option<Self> {
        let intact = bytes[..8] == SEGMENT_MAGIC && crc32fast::hash(&bytes[..52]) == u32_at(bytes, 52);
        intact.then(|| SegmentHeader {
            version: u32_at(bytes, 8),
            id: SegmentId { disk: disk_at(bytes, 12), generation: Generation(u64_at(bytes, 28)), segment: u64_at(bytes, 36) },
            first_sequence: u64_at(bytes, 44),
        })
    }
}

/// What stands before a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    pub(crate) body_len: u32,
    pub(crate) sequence: u64,
    pub(crate) body_crc: u32,
}

impl RecordHeader {
    pub(crate) fn of(body: &[u8], body_len: u32, sequence: u64) -> Self {
        RecordHeader { body_len, sequence, body_crc: crc32fast::hash(body) }
    }

    /// The place is part of the checksum: bytes that are a record elsewhere, or the content of a body, are none here.
    pub(crate) fn encode(&self, id: &SegmentId, offset: u64) -> [u8; RECORD_HEADER_LEN] {
        let mut bytes = [0; RECORD_HEADER_LEN];
        bytes[..4].copy_from_slice(&MARKER);
        bytes[4..8].copy_from_slice(&self.body_len.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.body_crc.to_le_bytes());
        let crc = record_crc(&bytes, id, offset);
        bytes[20..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// `None` when the bytes are no intact header of a record at this place.
    pub(crate) fn decode(bytes: &[u8; RECORD_HEADER_LEN], id: &SegmentId, offset: u64) -> Option<Self> {
        let header = RecordHeader { body_len: u32_at(bytes, 4), sequence: u64_at(bytes, 8), body_crc: u32_at(bytes, 16) };
        let intact = bytes[..4] == MARKER && header.body_len <= BODY_LEN_MAX && record_crc(bytes, id, offset) == u32_at(bytes, 20);
        intact.then_some(header)
    }

    /// Bytes of the whole record.
    pub(crate) fn record_len(&self) -> u64 {
        RECORD_HEADER_LEN as u64 + u64::from(self.body_len)
    }
}

fn record_crc(bytes: &[u8; RECORD_HEADER_LEN], id: &SegmentId, offset: u64) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&id.to_bytes());
    hasher.update(&offset.to_le_bytes());
    hasher.update(&bytes[..20]);
    hasher.finalize()
}

/// What the number file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NextGeneration {
    pub(crate) version: u32,
    pub(crate) disk: DiskId,
    pub(crate) next: Generation,
}

impl NextGeneration {
    /// The same copy twice.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut copy = [0; NUMBER_COPY_LEN];
        copy[..8].copy_from_slice(&NUMBER_MAGIC);
        copy[8..12].copy_from_slice(&self.version.to_le_bytes());
        copy[12..28].copy_from_slice(&self.disk.0.to_le_bytes());
        copy[28..36].copy_from_slice(&self.next.0.to_le_bytes());
        let crc = crc32fast::hash(&copy[..36]);
        copy[36..40].copy_from_slice(&crc.to_le_bytes());
        copy.repeat(2)
    }

    /// The first intact copy.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let intact = |copy: &&[u8]| copy.len() >= 40 && copy[..8] == NUMBER_MAGIC && crc32fast::hash(&copy[..36]) == u32_at(copy, 36);
        let copy = bytes.chunks(NUMBER_COPY_LEN).find(intact)?;
        Some(NextGeneration { version: u32_at(copy, 8), disk: disk_at(copy, 12), next: Generation(u64_at(copy, 28)) })
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

fn disk_at(bytes: &[u8], at: usize) -> DiskId {
    DiskId(u128::from_le_bytes(bytes[at..at + 16].try_into().expect("sixteen bytes")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: SegmentId = SegmentId { disk: DiskId(7), generation: Generation(3), segment: 2 };

    #[test]
    fn headers_read_back_as_written() {
        let segment = SegmentHeader { version: VERSION, id: ID, first_sequence: 12 };
        assert_eq!(SegmentHeader::decode(&segment.encode()), Some(segment));
        let record = RecordHeader::of(b"body", 4, 99);
        assert_eq!(RecordHeader::decode(&record.encode(&ID, 56), &ID, 56), Some(record));
        let number = NextGeneration { version: VERSION, disk: DiskId(7), next: Generation(4) };
        assert_eq!(NextGeneration::decode(&number.encode()), Some(number));
    }

    #[test]
    fn a_flipped_bit_in_a_header_is_found() {
        let segment = SegmentHeader { version: VERSION, id: ID, first_sequence: 12 }.encode();
        for bit in 0..8 * SEGMENT_HEADER_LEN {
            let mut bytes = segment;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentHeader::decode(&bytes), None, "bit {bit}");
        }
        let record = RecordHeader::of(b"body", 4, 99).encode(&ID, 56);
        for bit in 0..8 * RECORD_HEADER_LEN {
            let mut bytes = record;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(RecordHeader::decode(&bytes, &ID, 56), None, "bit {bit}");
        }
    }

    #[test]
    fn a_record_is_none_at_another_place() {
        let bytes = RecordHeader::of(b"body", 4, 99).encode(&ID, 56);
        assert_eq!(RecordHeader::decode(&bytes, &ID, 57), None);
        assert_eq!(RecordHeader::decode(&bytes, &SegmentId { segment: 3, ..ID }, 56), None);
        assert_eq!(RecordHeader::decode(&bytes, &SegmentId { generation: Generation(4), ..ID }, 56), None);
        assert_eq!(RecordHeader::decode(&bytes, &SegmentId { disk: DiskId(8), ..ID }, 56), None);
    }

    #[test]
    fn one_copy_of_the_number_is_enough() {
        let number = NextGeneration { version: VERSION, disk: DiskId(7), next: Generation(4) };
        let mut bytes = number.encode();
        bytes[30] ^= 1;
        assert_eq!(NextGeneration::decode(&bytes), Some(number));
        bytes[NUMBER_COPY_LEN + 30] ^= 1;
        assert_eq!(NextGeneration::decode(&bytes), None);
    }
}
