use super::*;
use std::io::Write as _;

/// Compresses in two parts where the format allows that.
pub(crate) fn pack(format: Format, bytes: &[u8]) -> Vec<u8> {
    let parts = if format == Format::Zlib { vec![bytes] } else { vec![&bytes[..bytes.len() / 2], &bytes[bytes.len() / 2..]] };
    parts.into_iter().flat_map(|part| pack_part(format, part)).collect()
}

fn pack_part(format: Format, bytes: &[u8]) -> Vec<u8> {
    match format {
        Format::Gzip => {
            let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            out.write_all(bytes).unwrap();
            out.finish().unwrap()
        }
        Format::Zlib => {
            let mut out = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
            out.write_all(bytes).unwrap();
            out.finish().unwrap()
        }
        Format::Bzip2 => {
            let mut out = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
            out.write_all(bytes).unwrap();
            out.finish().unwrap()
        }
        Format::Zstd => zstd::encode_all(bytes, 1).unwrap(),
        Format::Lz4 => {
            let mut out = lz4_flex::frame::FrameEncoder::new(Vec::new());
            out.write_all(bytes).unwrap();
            out.finish().unwrap()
        }
    }
}

#[test]
fn all_parts_of_a_file_come_out_in_pieces() {
    let text: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
    for format in [Format::Gzip, Format::Zlib, Format::Bzip2, Format::Zstd, Format::Lz4] {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&pack(format, &text)).unwrap();
        std::io::Seek::rewind(&mut file).unwrap();
        let mut unpacker = Unpacker::new(file, format).unwrap();
        let mut out = Vec::new();
        while !unpacker.ended {
            unpacker.fill(1000).unwrap();
            assert!(unpacker.pending.len() <= 1000);
            let count = unpacker.pending.len().min(999);
            out.extend_from_slice(&unpacker.pending[..count]);
            unpacker.consume(count);
            assert_eq!(unpacker.start, out.len() as u64);
        }
        out.extend_from_slice(&unpacker.pending);
        assert!(out == text, "{format:?}");
    }
}

#[test]
fn formats_have_the_names_of_the_configuration() {
    let names = ["gz", "z", "bz2", "zst", "lz4", "xz"].map(Format::named);
    assert_eq!(names, [Some(Format::Gzip), Some(Format::Zlib), Some(Format::Bzip2), Some(Format::Zstd), Some(Format::Lz4), None]);
}
