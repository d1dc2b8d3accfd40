use super::*;
use crate::skald::v1;
use proptest::prelude::*;
use prost::Message;
use skald_model::{RowsBuilder, Timestamp};

fn tenant() -> TenantId {
    TenantId::parse("team-a").expect("valid")
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied()).expect("no name twice")
}

fn rows() -> Rows {
    let mut builder = RowsBuilder::default();
    builder.push(Timestamp(i64::MIN), b"first");
    builder.set_metadata("trace", b"\xff\xfe", false);
    builder.set_metadata("detected_level", b"info", true);
    builder.push(Timestamp(2), b"");
    builder.push(Timestamp(1), &[b'x'; 300]);
    builder.set_metadata("detected_level", b"error", false);
    builder.finish()
}

fn sample() -> Vec<u8> {
    let one = rows();
    let mut builder = RowsBuilder::default();
    builder.push(Timestamp(7), b"y");
    let two = builder.finish();
    encode_frame(&tenant(), &[(labels(&[("a", "1"), ("b", "")]), &one), (Labels::empty(), &two)])
}

#[test]
fn what_is_encoded_comes_back() {
    let (whose, streams) = decode_frame(sample().into()).expect("a frame");
    assert_eq!(whose, tenant());
    assert_eq!(streams.len(), 2);
    assert_eq!(streams[0], (labels(&[("a", "1")]), rows()));
    assert_eq!(streams[1].0, Labels::empty());
    let (_, none) = decode_frame(encode_frame(&tenant(), &[]).into()).expect("a frame");
    assert!(none.is_empty());
}

#[test]
fn a_frame_is_the_message_of_the_proto_file() {
    let message = v1::Frame::decode(&sample()[..]).expect("a message");
    assert_eq!(message.tenant, "team-a");
    assert_eq!(message.streams[0].line_lengths, [5, 0, 300]);
    assert_eq!(message.streams[0].timestamps, [i64::MIN, 2, 1]);
    assert_eq!(message.streams[0].metadata[1].value_lengths, [4, 0, 0]);
    assert!(message.streams[0].metadata[1].derived);
    assert_eq!(message.encode_to_vec(), sample());
}

#[test]
fn a_frame_of_version_1_reads_and_is_written_as_ever() {
    let golden = include_bytes!("../../tests/golden/frame-1.bin");
    assert_eq!(sample(), golden);
    assert_eq!(decode_frame(Bytes::from_static(golden)).expect("a frame").1[0].1, rows());
}

#[test]
fn dictionary_columns_are_written_row_by_row() {
    let column = Column::dictionary_of("n".into(), true, vec![1, 0], vec![0, 2], b"ab".to_vec());
    let rows = Rows::from_columns(vec![1, 2], vec![1, 1], b"x".to_vec(), vec![column]).expect("fits");
    let (_, streams) = decode_frame(encode_frame(&tenant(), &[(Labels::empty(), &rows)]).into()).expect("a frame");
    let back = &streams[0].1.columns()[0];
    assert_eq!((back.value(0), back.value(1), back.is_derived()), (&b"ab"[..], &b""[..], true));
}

fn message() -> v1::Frame {
    v1::Frame::decode(&sample()[..]).expect("a message")
}

#[track_caller]
fn check(change: impl FnOnce(&mut v1::Frame), want: &str) {
    let mut message = message();
    change(&mut message);
    let error = decode_frame(message.encode_to_vec().into()).expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert_eq!(error.to_string(), want);
}

#[test]
fn what_would_break_rows_is_refused() {
    check(|m| m.tenant.clear(), "frame has no valid tenant");
    check(|m| m.tenant = "a/b".into(), "frame has no valid tenant");
    check(|m| m.streams[0].timestamps.clear(), "stream 0: timestamps are missing or torn");
    check(|m| m.streams[0].line_lengths[0] = u32::MAX, "stream 0: lengths reach past the bytes");
    check(|m| m.streams[0].line_lengths[0] = 4, "stream 0: lengths do not match the rows or bytes");
    check(|m| m.streams[0].line_lengths.push(0), "stream 0: lengths do not match the rows or bytes");
    check(|m| m.streams[0].timestamps.push(0), "stream 0: lengths do not match the rows or bytes");
    check(|m| m.streams[0].metadata[0].value_lengths.clear(), "stream 0: lengths do not match the rows or bytes");
    check(|m| m.streams[0].metadata[0].name.clear(), "stream 0: a metadata column has no name");
    check(|m| m.streams[0].metadata[0].name = "detected_level".into(), "stream 0: a metadata name comes twice");
    check(|m| m.streams[0].metadata[2].derived = true, "stream 0: a metadata name comes twice");
    check(|m| m.streams[0].labels.push(v1::Label { name: "a".into(), value: "2".into() }), "labels of stream 0 are no label set");
    check(|m| m.streams[1].labels = m.streams[0].labels.clone(), "stream 1: its labels came before");
}

#[test]
fn a_torn_frame_is_refused_at_every_byte_inside_a_stream() {
    let whole = sample();
    let tenant_end = 2 + tenant().as_str().len();
    let one = { v1::Frame { streams: message().streams[..1].to_vec(), ..message() }.encode_to_vec().len() };
    for end in (0..whole.len()).filter(|end| *end != tenant_end && *end != one) {
        assert!(decode_frame(whole[..end].to_vec().into()).is_err(), "{end}");
    }
}

type Row = (i64, Vec<u8>, Vec<u8>);

proptest! {
    #![proptest_config(skald_testkit::property(128))]

    #[test]
    fn any_rows_come_back(streams in prop::collection::vec(prop::collection::vec(any::<Row>(), 1..6), 0..4)) {
        let built: Vec<(Labels, Rows)> = streams.iter().enumerate().map(|(i, entries)| {
            let mut builder = RowsBuilder::default();
            for (timestamp, line, value) in entries {
                builder.push(Timestamp(*timestamp), line);
                builder.set_metadata("m", value, false);
            }
            (labels(&[("i", &i.to_string())]), builder.finish())
        }).collect();
        let borrowed: Vec<(Labels, &Rows)> = built.iter().map(|(labels, rows)| (labels.clone(), rows)).collect();
        let (_, back) = decode_frame(encode_frame(&tenant(), &borrowed).into()).expect("a frame");
        prop_assert_eq!(back, built);
    }

    #[test]
    fn hostile_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode_frame(bytes.into());
    }

    #[test]
    fn mutated_frames_never_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let mut bytes = sample();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let _ = decode_frame(bytes.into());
    }
}
