use super::*;
use crate::Format;

#[test]
fn long_lines_come_in_pieces() {
    let mut bench = Bench::new("*.log", true);
    bench.config.line_bytes_max = 64;
    bench.write("a.log", format!("{}\nshort\n{}", "ä".repeat(50), "b".repeat(70)));
    bench.restart().go();
    assert_eq!(bench.taken(), [&*"ä".repeat(32), &"ä".repeat(18), "short", &"b".repeat(64)]);
    bench.append("a.log", "end\n");
    bench.go().expect(["bbbbbbend"]);
    assert_eq!(bench.tailer.stats().long_line_pieces, 2);
    assert!(bench.sink.positions.values().all(|position| position.offset == 181));
}

#[test]
fn a_long_line_that_grows_slowly_is_one_line() {
    let mut bench = Bench::new("*.log", true);
    for _ in 0..5 {
        bench.append("a.log", "x".repeat(100_000));
        bench.go().expect([]);
    }
    bench.append("a.log", "\nnext\n");
    bench.go();
    assert_eq!(bench.taken(), [&*"x".repeat(500_000), "next"]);
    assert!(bench.tailer.turns.buffer.len() <= crate::reading::PIECE_BYTES);
}

#[test]
fn encodings_are_decoded_and_lines_split_by_characters() {
    let line = "Ωﬆ 上ਊ\n";
    let utf16 = |text: &str, big: bool| -> Vec<u8> {
        text.encode_utf16().flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect()
    };
    let utf32 = |text: &str| -> Vec<u8> { text.chars().flat_map(|c| (c as u32).to_le_bytes()).collect() };
    let cases: [(Option<&str>, Vec<u8>); 7] = [
        (Some("utf-16le"), utf16(line, false)),
        (Some("UTF-16BE"), utf16(line, true)),
        (Some("utf-16"), utf16(&format!("\u{feff}{line}"), true)),
        (None, utf16(&format!("\u{feff}{line}"), false)),
        (Some("utf-32"), utf32(line)),
        (None, format!("\u{feff}{line}").into_bytes()),
        (Some("gb18030"), encoding_rs::GB18030.encode(line).0.into_owned()),
    ];
    for (encoding, bytes) in cases {
        let mut bench = Bench::new("*.log", true);
        bench.targets[0].encoding = encoding.map(str::to_owned);
        bench.restart();
        // In pieces, so that characters are cut.
        for byte in &bytes {
            bench.append("a.log", [*byte]);
            bench.go();
        }
        bench.expect(["Ωﬆ 上ਊ"]);
        bench.append("a.log", &bytes);
        bench.restart().go();
        assert_eq!(bench.taken().len(), 1, "{encoding:?}");
        assert_eq!(bench.sink.positions.values().next().unwrap().offset, 2 * bytes.len() as u64);
        assert_eq!(bench.tailer.stats().lines_replaced, 0);
    }
}

#[test]
fn bytes_that_are_no_characters_are_replaced_and_counted() {
    let mut bench = Bench::new("*.log", true);
    bench.write("a.log", b"good\nb\xffd\ngood\n");
    bench.go().expect(["good", "b\u{fffd}d", "good"]);
    assert_eq!(bench.tailer.stats().lines_replaced, 1);
}

#[test]
fn compressed_files_are_read_once_and_their_positions_count_lines() {
    for format in [Format::Gzip, Format::Zlib, Format::Bzip2, Format::Zstd, Format::Lz4] {
        let mut bench = Bench::new("*.z", true);
        bench.targets[0].decompression = Some(Decompression { format, initial_delay: Duration::ZERO });
        bench.write("a.z", pack(format, format!("{}no end", text(0, 20_000)).as_bytes()));
        bench.sink.room = Some(15_000);
        bench.restart().go();
        assert_eq!(bench.taken(), texts(0, 15_000), "{format:?}");
        assert_eq!(bench.sink.positions.values().next().unwrap().offset, 15_000);
        bench.sink.room = None;
        bench.restart().go();
        let starts: Vec<u64> = bench.sink.lines.iter().map(|(_, start, _)| *start).collect();
        assert_eq!(starts, (15_000..20_001).collect::<Vec<u64>>());
        assert_eq!(bench.taken().last().unwrap(), "no end");
        bench.restart().go().expect([]);
        assert!(matches!(bench.tailer.files()[..], [FileStatus { compressed: true, offset: 20_001, .. }]));
    }
}

#[test]
fn a_compressed_file_that_is_still_written_is_read_on_when_it_grows() {
    Bench::both("*.gz", |mut bench| {
        bench.targets[0].decompression = Some(Decompression { format: Format::Gzip, initial_delay: Duration::ZERO });
        let packed = pack(Format::Gzip, text(0, 40_000).as_bytes());
        bench.write("a.gz", &packed[..packed.len() / 2]);
        bench.restart().go();
        let first = bench.taken();
        assert!(!first.is_empty() && first.len() < 40_000);
        assert_eq!(bench.tailer.stats().unreadable, 1);
        bench.append("a.gz", &packed[packed.len() / 2..]);
        bench.go();
        assert_eq!([first, bench.taken()].concat(), texts(0, 40_000));
    });
}

#[test]
fn a_compressed_file_is_left_alone_while_it_was_just_written() {
    let mut bench = Bench::new("*.gz", true);
    bench.targets[0].decompression = Some(Decompression { format: Format::Gzip, initial_delay: Duration::from_secs(3600) });
    bench.write("a.gz", pack(Format::Gzip, b"one\n"));
    bench.restart().go().expect([]);
    let written = std::time::SystemTime::now() - Duration::from_secs(3601);
    fs::File::options().write(true).open(bench.path("a.gz")).unwrap().set_modified(written).unwrap();
    bench.after(Duration::from_secs(3600)).expect(["one"]);
}

#[test]
fn a_damaged_file_ends_at_its_damage_and_harms_no_other() {
    let mut bench = Bench::new("*.gz", true);
    bench.targets[0].decompression = Some(Decompression { format: Format::Gzip, initial_delay: Duration::ZERO });
    let mut packed = pack(Format::Gzip, text(0, 40_000).as_bytes());
    let middle = packed.len() / 2;
    packed[middle..middle + 50].fill(0xaa);
    bench.write("a.gz", packed);
    bench.write("b.gz", pack(Format::Gzip, b"whole\n"));
    bench.write("c.gz", "no gzip at all");
    bench.restart().go();
    let lines = bench.taken();
    assert!(lines.contains(&"whole".to_owned()) && lines.len() > 100);
    assert_eq!(bench.tailer.stats().unreadable, 2);
}
