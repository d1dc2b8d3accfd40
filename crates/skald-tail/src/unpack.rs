//! Reading compressed files from their beginning.

use crate::target::Format;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read};

/// A file being decompressed, and the bytes that are not handed out yet.
pub(crate) struct Unpacker {
    reader: Box<dyn Read + Send>,
    /// Decompressed bytes from `start` on.
    pub pending: Vec<u8>,
    /// Place of the first pending byte in the decompressed file.
    pub start: u64,
    /// No more will come.
    pub ended: bool,
    /// Lines that were cut off its beginning.
    pub lines: u64,
}

impl Unpacker {
    /// Memory is bounded by what the format allows: 128 MiB for Zstandard at its widest, single megabytes else.
    pub(crate) fn new(file: File, format: Format) -> io::Result<Self> {
        Ok(Unpacker { reader: reader(file, format)?, pending: Vec::new(), start: 0, ended: false, lines: 0 })
    }

    /// Decompresses until `len` bytes are pending, or the file ends. An error leaves what came before it.
    pub(crate) fn fill(&mut self, len: usize) -> io::Result<()> {
        let missing = len.saturating_sub(self.pending.len());
        if missing == 0 || self.ended {
            return Ok(());
        }
        let read = self.reader.by_ref().take(missing as u64).read_to_end(&mut self.pending);
        self.ended = !matches!(read, Ok(count) if count == missing);
        read.map(drop)
    }

    /// Lets go of the first `count` pending bytes.
    pub(crate) fn consume(&mut self, count: usize) {
        self.pending.drain(..count);
        self.start += count as u64;
    }

    /// The first decompressed bytes of a file, at most `len`.
    pub(crate) fn head(file: File, format: Format, len: usize) -> io::Result<Vec<u8>> {
        let mut unpacker = Unpacker::new(file, format)?;
        unpacker.fill(len)?;
        Ok(unpacker.pending)
    }
}

fn reader(file: File, format: Format) -> io::Result<Box<dyn Read + Send>> {
    let input = BufReader::with_capacity(64 << 10, file);
    Ok(match format {
        Format::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(input)),
        Format::Zlib => Box::new(flate2::bufread::ZlibDecoder::new(input)),
        Format::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(input)),
        Format::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(input)?),
        Format::Lz4 => Box::new(Lz4Frames(lz4_flex::frame::FrameDecoder::new(input))),
    })
}

/// All frames of a file; the decoder says "end" after each.
struct Lz4Frames(lz4_flex::frame::FrameDecoder<BufReader<File>>);

impl Read for Lz4Frames {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.0.read(buffer)?;
            if count > 0 || buffer.is_empty() || self.0.get_mut().fill_buf()?.is_empty() {
                return Ok(count);
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
