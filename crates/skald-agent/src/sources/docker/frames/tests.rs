use super::*;
use Stream::{Stderr, Stdout};
use proptest::prelude::*;

const T1: &str = "2024-06-10T06:13:20.000000001Z";
const T2: &str = "2024-06-10T06:13:20.100000000Z";
/// In nanoseconds.
const N1: i64 = 1_718_000_000_000_000_001;
const N2: i64 = 1_718_000_000_100_000_000;
const LINE_MAX: usize = 256 << 10;

fn frame(kind: u8, payload: &str) -> Vec<u8> {
    let mut bytes = vec![kind, 0, 0, 0];
    bytes.extend((payload.len() as u32).to_be_bytes());
    bytes.extend(payload.as_bytes());
    bytes
}

fn line(stream: Stream, at: i64, text: &str) -> Line {
    Line { stream, timestamp: Timestamp(at), text: text.to_owned(), is_cut: false, begun: None }
}

/// Lines and malformed ones, from bytes in chunks of a size.
fn decode(is_terminal: bool, line_max: usize, bytes: &[u8], chunk: usize) -> Result<(Vec<Line>, u64), FrameError> {
    let (mut decoder, mut lines) = (Decoder::new(is_terminal, line_max), Vec::new());
    for chunk in bytes.chunks(chunk) {
        decoder.feed(chunk, &mut lines)?;
    }
    decoder.finish(&mut lines);
    Ok((lines, decoder.take_malformed()))
}

#[track_caller]
fn check(is_terminal: bool, bytes: &[u8], want: &[Line]) {
    for chunk in [1, 3, 7, 8, 1000, usize::MAX] {
        assert_eq!(decode(is_terminal, LINE_MAX, bytes, chunk), Ok((want.to_vec(), 0)), "in chunks of {chunk}");
    }
}

#[test]
fn frames_cut_anywhere_become_lines_of_their_streams() {
    let bytes = [
        frame(1, &format!("{T1} hello\n")),
        frame(2, &format!("{T2} oops: \u{e9}\n")),
        frame(1, ""),
        frame(1, &format!("{T2} \n")),
        frame(0, &format!("{T2}  indented \n")),
    ]
    .concat();
    let want = [line(Stdout, N1, "hello"), line(Stderr, N2, "oops: \u{e9}"), line(Stdout, N2, ""), line(Stdout, N2, " indented ")];
    check(false, &bytes, &want);
}

#[test]
fn a_line_in_pieces_is_joined_though_the_other_stream_writes_between() {
    let bytes = [
        frame(1, &format!("{T1} one,")),
        frame(2, &format!("{T2} err\n")),
        frame(1, &format!("{T1} two,")),
        frame(1, &format!("{T1} three\n")),
        frame(1, &format!("{T1} next\n")),
    ]
    .concat();
    let err = Line { begun: Some(Timestamp(N1)), ..line(Stderr, N2, "err") };
    check(false, &bytes, &[err, line(Stdout, N1, "one,two,three"), line(Stdout, N1, "next")]);
}

#[test]
fn a_line_whose_end_never_came_ends_where_the_next_begins() {
    let bytes =
        [frame(1, &format!("{T1} died in the midd")), frame(1, &format!("{T2} restarted\n")), frame(1, &format!("{T2} last"))].concat();
    check(false, &bytes, &[line(Stdout, N1, "died in the midd"), line(Stdout, N2, "restarted"), line(Stdout, N2, "last")]);
}

#[test]
fn several_lines_in_one_frame_are_several() {
    let bytes = frame(1, &format!("{T1} a\n{T2} b\nno time\n"));
    check(false, &bytes, &[line(Stdout, N1, "a"), line(Stdout, N2, "b"), line(Stdout, N2, "no time")]);
}

#[test]
fn a_terminal_has_no_frames_and_ends_lines_its_own_way() {
    let bytes = format!("{T1} a\r\n{T2} \n{T2} b \r c\r\n{T2} unfinished");
    let want = [line(Stdout, N1, "a"), line(Stdout, N2, ""), line(Stdout, N2, "b \r c"), line(Stdout, N2, "unfinished")];
    check(true, bytes.as_bytes(), &want);
}

#[test]
fn a_long_line_of_a_terminal_loses_the_times_between_its_pieces() {
    let (a, b) = ("a".repeat(PIECE_BYTES), "b".repeat(PIECE_BYTES));
    let bytes = format!("{T1} {a}{T1} {b}{T1} c\r\n");
    let (lines, _) = decode(true, LINE_MAX, bytes.as_bytes(), 4096).unwrap();
    assert_eq!(lines, [line(Stdout, N1, &format!("{a}{b}c"))]);
    // An engine that does not split.
    let bytes = format!("{T1} {a}{b}\n");
    let (lines, _) = decode(true, LINE_MAX, bytes.as_bytes(), 4096).unwrap();
    assert_eq!(lines, [line(Stdout, N1, &format!("{a}{b}"))]);
}

#[test]
fn what_is_too_long_loses_its_end_and_no_half_of_a_character_stays() {
    let check = |is_terminal: bool, bytes: Vec<u8>, want: &str| {
        let (lines, _) = decode(is_terminal, 4, &bytes, 5).unwrap();
        let texts: Vec<(&str, bool)> = lines.iter().map(|line| (line.text.as_str(), line.is_cut)).collect();
        assert_eq!(texts, [(want, true), ("next", false)]);
    };
    let next = frame(1, &format!("{T2} next\n"));
    check(
        false,
        [frame(1, &format!("{T1} abc")), frame(1, &format!("{T1} def")), frame(1, &format!("{T1} ghi\n")), next.clone()].concat(),
        "abcd",
    );
    check(false, [frame(1, &format!("{T1} {}\n", "x".repeat(100_000))), next.clone()].concat(), "xxxx");
    check(false, [frame(1, &format!("{T1} abc\u{e9}\n")), next].concat(), "abc");
    check(true, format!("{T1} {}\n{T2} next\n", "x".repeat(100_000)).into_bytes(), "xxxx");
}

#[test]
fn a_line_without_a_time_is_counted() {
    let bytes = [frame(1, "no time\n"), frame(1, &format!("{T1} a\n"))].concat();
    assert_eq!(decode(false, LINE_MAX, &bytes, 9), Ok((vec![line(Stdout, N1, "a")], 1)));
    assert_eq!(decode(true, LINE_MAX, b"2024 x\n2024-06-10 x\n", 9), Ok((Vec::new(), 2)));
}

#[test]
fn an_answer_that_is_no_log_is_an_error() {
    assert_eq!(decode(false, LINE_MAX, format!("{T1} a line without a frame\n").as_bytes(), 9), Err(FrameError::NoFrame));
    assert_eq!(decode(false, LINE_MAX, &frame(3, "cannot read"), 9), Err(FrameError::Engine("cannot read".to_owned())));
}

#[test]
fn what_is_not_utf8_is_replaced() {
    let bytes = [format!("{T1} a").as_bytes(), b"\xffb\n"].concat();
    check(true, &bytes, &[line(Stdout, N1, "a\u{fffd}b")]);
}

proptest! {
    #![proptest_config(skald_testkit::property(128))]

    #[test]
    fn any_bytes_are_taken_or_refused_the_same_in_any_chunks(
        pieces in prop::collection::vec((0u8..5, "(2024-06-10T06:13:20.00000000[12]Z )?[a\n\r ]{0,6}"), 0..8),
        cut in 0usize..20,
        is_terminal: bool,
        chunk in 1usize..20,
    ) {
        let mut bytes: Vec<u8> = pieces.iter().flat_map(|(kind, text)| frame(*kind, text)).collect();
        bytes.truncate(bytes.len().saturating_sub(cut));
        prop_assert_eq!(decode(is_terminal, 16, &bytes, chunk), decode(is_terminal, 16, &bytes, usize::MAX));
    }
}
