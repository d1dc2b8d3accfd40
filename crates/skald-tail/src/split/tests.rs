use super::*;
use proptest::prelude::*;

fn lines_of(bytes: &[u8], take: usize) -> (Vec<(usize, String)>, Handed) {
    let mut lines = Vec::new();
    let handed = hand_out(bytes, Coding::Utf8, &mut |start, line| {
        if lines.len() == take {
            return Flow::NoRoom;
        }
        lines.push((start, line.to_owned()));
        Flow::Go
    });
    (lines, handed)
}

#[track_caller]
fn check(bytes: &[u8], want: &[(usize, &str)], rest: usize) {
    let (lines, handed) = lines_of(bytes, usize::MAX);
    let want: Vec<(usize, String)> = want.iter().map(|(start, line)| (*start, (*line).to_owned())).collect();
    assert_eq!((lines, bytes.len() - handed.bytes), (want, rest));
}

#[test]
fn lines_end_with_their_end() {
    check(b"", &[], 0);
    check(b"a", &[], 1);
    check(b"a\n\nb\r\nc", &[(0, "a"), (2, ""), (3, "b\r")], 1);
    check(b"a\n\xff\xfe\nb\n", &[(0, "a"), (2, "\u{fffd}\u{fffd}"), (5, "b")], 0);
    check(b"a\n\xe4", &[(0, "a")], 1);
}

#[test]
fn nul_bytes_before_a_line_are_left_out() {
    check(b"\0\0a\0b\n\0\n\0", &[(2, "a\0b"), (7, "")], 1);
    check(b"\0\0a\xff\n", &[(2, "a\u{fffd}")], 0);
    let handed = hand_out_whole(&[0; 9], Coding::Utf8, &mut |_, _| panic!("no line"));
    assert_eq!((handed.bytes, handed.nuls, handed.lines), (9, 9, 0));
}

#[test]
fn a_pause_comes_after_its_line() {
    for bytes in [&b"a\nb\n"[..], b"a\nb\xff\n"] {
        let handed = hand_out(bytes, Coding::Utf8, &mut |_, _| Flow::Pause(std::time::Duration::from_secs(1)));
        assert_eq!((handed.bytes, handed.lines), (2, 1));
        assert!(matches!(handed.flow, Flow::Pause(_)));
    }
}

proptest! {
    #![proptest_config(skald_testkit::property(200))]

    #[test]
    fn going_on_where_it_ended_gives_the_same_lines(bytes in prop::collection::vec(prop_oneof![Just(b'\n'), Just(0), Just(0xc3), Just(b'a')], 0..60), take in 1..5_usize) {
        let (all, handed) = lines_of(&bytes, usize::MAX);
        let (mut from, mut pieces) = (0, Vec::new());
        loop {
            let (lines, handed) = lines_of(&bytes[from..], take);
            pieces.extend(lines.into_iter().map(|(start, line)| (from + start, line)));
            from += handed.bytes;
            if handed.flow == Flow::Go {
                break;
            }
        }
        prop_assert_eq!(from, handed.bytes);
        prop_assert_eq!(pieces, all);
    }
}
