use crate::wire::{Reader, put_varint};
use crate::{EncodeError, FormatError, PART_RAW_MAX, Part};
use std::borrow::Cow;
use std::ops::Range;
use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::{CParameter, DCtx, InBuffer, OutBuffer, ResetDirective};

/// Match table of zstd level 1, twice its default: about 1 % smaller on logs for hardly more time.
const LEVEL_1_HASH_LOG: u32 = 15;

/// Parts larger than this are decompressed whole.
const WINDOW_MAX: usize = 8 << 20;

/// Where a part stands in its object, and what its bytes must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// What it is.
    pub part: Part,
    /// Where it begins in the object.
    pub offset: u64,
    /// Bytes as stored.
    pub stored_len: u32,
    /// Bytes after decompression; equal to `stored_len` when it is stored as it is.
    pub raw_len: u32,
    /// CRC-32 of the stored bytes.
    pub crc: u32,
}

impl Extent {
    /// The bytes of the object to read.
    pub fn range(&self) -> Range<u64> {
        self.offset..self.offset + u64::from(self.stored_len)
    }

    /// Whether `stored` are the bytes that were written.
    ///
    /// # Errors
    /// [`FormatError::Length`] or [`FormatError::Checksum`].
    pub fn check(&self, stored: &[u8]) -> Result<(), FormatError> {
        let Extent { part, offset, stored_len, crc, .. } = *self;
        if stored.len() != stored_len as usize {
            return Err(FormatError::Length { part, offset, found: stored.len() as u64, want: u64::from(stored_len) });
        }
        let computed = crc32fast::hash(stored);
        if computed != crc { Err(FormatError::Checksum { part, offset, stored: crc, computed }) } else { Ok(()) }
    }

    /// Checks and decompresses.
    pub(crate) fn open<'a>(&self, stored: &'a [u8], unpacker: &mut Unpacker) -> Result<Cow<'a, [u8]>, FormatError> {
        self.check(stored)?;
        if self.stored_len == self.raw_len {
            return Ok(Cow::Borrowed(stored));
        }
        unpacker.decompress(stored, self.raw_len as usize).map(Cow::Owned).ok_or_else(|| self.malformed("it does not decompress"))
    }

    /// Checks and decompresses the first `len` bytes, or some more.
    pub(crate) fn open_start<'a>(&self, stored: &'a [u8], len: usize, unpacker: &mut Unpacker) -> Result<Cow<'a, [u8]>, FormatError> {
        let raw_len = self.raw_len as usize;
        // The last bit costs less than the other way of decompressing, which keeps a window as large as the part.
        if self.stored_len == self.raw_len || len > raw_len - raw_len / 8 || raw_len > WINDOW_MAX {
            return self.open(stored, unpacker);
        }
        self.check(stored)?;
        unpacker.decompress_start(stored, len).map(Cow::Owned).ok_or_else(|| self.malformed("it does not decompress"))
    }

    pub(crate) fn malformed(&self, what: &'static str) -> FormatError {
        FormatError::Malformed { part: self.part, offset: self.offset, what }
    }

    pub(crate) fn reader<'a>(&self, raw: &'a [u8]) -> Reader<'a> {
        Reader::new(raw, self.part, self.offset)
    }

    /// Appends lengths and checksum; part and offset follow from the place.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, u64::from(self.stored_len));
        put_varint(out, u64::from(self.raw_len));
        out.extend_from_slice(&self.crc.to_le_bytes());
    }

    /// Reads what [`Extent::put`] wrote for the part at `offset`, and moves `offset` behind it.
    pub(crate) fn take(reader: &mut Reader<'_>, part: Part, offset: &mut u64) -> Result<Extent, FormatError> {
        let stored_len = reader.at_most(PART_RAW_MAX, "a part is too long")? as u32;
        let raw_len = reader.at_most(PART_RAW_MAX, "a part is too long")? as u32;
        if !is_possible(stored_len, raw_len) {
            return Err(reader.malformed("a part has an impossible length"));
        }
        let extent = Extent { part, offset: *offset, stored_len, raw_len, crc: reader.u32()? };
        *offset += u64::from(stored_len);
        Ok(extent)
    }
}

/// Whether so many bytes can stand for so many: never more than raw, and no frame of zstd, whose blocks take 4 bytes at least and hold 128 KiB at
/// most, can stand for more than this. So a few bytes do not make a reader reserve room for very many.
pub(crate) fn is_possible(stored_len: u32, raw_len: u32) -> bool {
    stored_len <= raw_len && raw_len as usize <= PART_RAW_MAX && u64::from(raw_len) <= u64::from(stored_len) << 15
}

/// Compresses parts onto the end of an object, with one context for all.
pub(crate) struct Packer {
    compressor: Compressor<'static>,
    scratch: Vec<u8>,
}

impl Packer {
    pub(crate) fn new(level: i32) -> Result<Self, EncodeError> {
        let mut compressor = Compressor::new(level).map_err(|source| EncodeError::Compress { what: "nothing yet", source })?;
        if level == 1 {
            compressor
                .set_parameter(CParameter::HashLog(LEVEL_1_HASH_LOG))
                .map_err(|source| EncodeError::Compress { what: "nothing yet", source })?;
        }
        Ok(Packer { compressor, scratch: Vec::new() })
    }

    /// Appends `raw`, compressed when that saves a sixteenth or more.
    pub(crate) fn append(&mut self, out: &mut Vec<u8>, raw: &[u8], part: Part, what: &'static str) -> Result<Extent, EncodeError> {
        if raw.len() > PART_RAW_MAX {
            return Err(EncodeError::ObjectTooLarge { what });
        }
        self.scratch.clear();
        self.scratch.reserve(zstd::zstd_safe::compress_bound(raw.len()));
        self.compressor.compress_to_buffer(raw, &mut self.scratch).map_err(|source| EncodeError::Compress { what, source })?;
        let stored = if self.scratch.len() < raw.len() - raw.len() / 16 { &self.scratch } else { raw };
        let offset = out.len() as u64;
        out.extend_from_slice(stored);
        Ok(Extent { part, offset, stored_len: stored.len() as u32, raw_len: raw.len() as u32, crc: crc32fast::hash(stored) })
    }
}

/// Decompresses parts, with one context for all.
pub(crate) struct Unpacker {
    decompressor: Decompressor<'static>,
    /// For parts of which only the start is wanted; it keeps a window.
    stream: Option<DCtx<'static>>,
}

impl Unpacker {
    pub(crate) fn new() -> Self {
        let decompressor = Decompressor::new().expect("a context without dictionary needs nothing that can fail");
        Unpacker { decompressor, stream: None }
    }

    /// Exactly `raw_len` bytes, or `None` when `stored` does not decompress to that many.
    fn decompress(&mut self, stored: &[u8], raw_len: usize) -> Option<Vec<u8>> {
        let mut raw = Vec::with_capacity(raw_len);
        self.decompressor.decompress_to_buffer(stored, &mut raw).ok()?;
        (raw.len() == raw_len).then_some(raw)
    }

    /// The first `len` bytes, or `None` when `stored` does not decompress to as many.
    fn decompress_start(&mut self, stored: &[u8], len: usize) -> Option<Vec<u8>> {
        let stream = self.stream.get_or_insert_with(DCtx::create);
        stream.reset(ResetDirective::SessionOnly).ok()?;
        let mut raw = Vec::with_capacity(len);
        let (mut input, mut output) = (InBuffer::around(stored), OutBuffer::around(&mut raw));
        while output.pos() < len {
            let before = (input.pos, output.pos());
            let rest = stream.decompress_stream(&mut output, &mut input).ok()?;
            if rest == 0 || (input.pos, output.pos()) == before {
                break;
            }
        }
        (raw.len() >= len).then_some(raw)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_of_a_part_is_what_all_of_it_begins_with() {
        let raw: Vec<u8> = (0..600_000u32).flat_map(|i| (i.wrapping_mul(0x9E37_79B9) >> 20).to_le_bytes()).collect();
        let (mut stored, mut unpacker) = (Vec::new(), Unpacker::new());
        let extent = Packer::new(1).expect("a level").append(&mut stored, &raw, Part::Info, "a test").expect("it fits");
        assert!(extent.stored_len < extent.raw_len);
        for len in [0, 1, 1000, 131_072, 131_073, 700_000, raw.len() - 1, raw.len()] {
            let start = extent.open_start(&stored, len, &mut unpacker).expect("just written");
            assert!(start.len() >= len && raw.starts_with(&start), "{len}");
        }
        assert!(extent.open_start(&stored[..1000], 10, &mut unpacker).is_err());
        assert_eq!(unpacker.decompress_start(&stored[..1000], 700_000), None);
        assert_eq!(unpacker.decompress_start(b"no frame", 1), None);
        assert!(unpacker.decompress_start(&stored, 700_000).is_some());
    }
}
