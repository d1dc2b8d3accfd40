use super::*;
use crate::loki::v1;
use proptest::prelude::*;
use prost::Message;

fn pair(name: &str, value: &[u8]) -> v1::LabelPair {
    v1::LabelPair { name: name.as_bytes().to_vec().into(), value: value.to_vec().into() }
}

fn entry(seconds: i64, nanos: i32, line: &[u8], structured_metadata: Vec<v1::LabelPair>) -> v1::Entry {
    let timestamp = Some(v1::Timestamp { seconds, nanos });
    v1::Entry { timestamp, line: line.to_vec().into(), structured_metadata, parsed: vec![pair("ignored", b"x")] }
}

type Entry = (i64, Vec<u8>, Vec<(Vec<u8>, Vec<u8>)>);

fn read(body: &[u8]) -> Result<Vec<(Vec<u8>, Vec<Entry>)>, WireError> {
    read_push(body)
        .map(|stream| {
            let stream = stream?;
            let entries = stream.entries().map(|entry| {
                let entry = entry?;
                let metadata = entry.metadata().map(|pair| pair.map(|(n, v)| (n.to_vec(), v.to_vec()))).collect::<Result<Vec<_>, _>>()?;
                assert_eq!(entry.has_metadata, !metadata.is_empty());
                Ok((entry.timestamp.0, entry.line.to_vec(), metadata))
            });
            let entries: Vec<_> = entries.collect::<Result<_, WireError>>()?;
            assert_eq!(stream.entries_len, entries.len());
            Ok((stream.labels.to_vec(), entries))
        })
        .collect()
}

fn body() -> Vec<u8> {
    let entries = vec![entry(1, 2, b"one", vec![pair("a", b"\xff"), pair("b", b"")]), entry(-1, 0, b"\xff\x00", vec![])];
    let stream = v1::Stream { labels: "{a=\"1\"}".into(), entries, hash: 7 };
    let empty = v1::Stream { labels: "{}".into(), entries: vec![], hash: 0 };
    v1::PushRequest { streams: vec![stream, empty], format: "loki".into() }.encode_to_vec()
}

#[test]
fn reads_what_the_generated_messages_write() {
    let metadata = vec![(b"a".to_vec(), b"\xff".to_vec()), (b"b".to_vec(), vec![])];
    let entries = vec![(1_000_000_002, b"one".to_vec(), metadata), (-1_000_000_000, b"\xff\x00".to_vec(), vec![])];
    assert_eq!(read(&body()), Ok(vec![(b"{a=\"1\"}".to_vec(), entries), (b"{}".to_vec(), vec![])]));
    assert_eq!(read(&[]), Ok(vec![]));
}

#[test]
fn unknown_fields_are_skipped() {
    // Field 9 as varint, fixed 64, bytes and fixed 32.
    let unknown = [&[0x48, 0xff, 0x01][..], &[0x49, 0, 0, 0, 0, 0, 0, 0, 0], &[0x4a, 1, 0], &[0x4d, 0, 0, 0, 0]].concat();
    let mut with = unknown.clone();
    with.extend(body());
    with.extend(unknown);
    assert_eq!(read(&with), read(&body()));
}

#[test]
fn what_is_no_message_is_refused() {
    let check = |bytes: &[u8], want| assert_eq!(read(bytes), Err(want), "{bytes:?}");
    check(&[0x0a, 5, 1], WireError::Truncated);
    check(&[0x0a], WireError::Truncated);
    check(&[0x08, 1], WireError::WireType(1));
    check(&[0x0b], WireError::Tag(0x0b));
    check(&[0x02, 0], WireError::Tag(2));
    check(&[0xff; 11], WireError::Varint);
    check(&[0x4d, 0, 0], WireError::Truncated);
    let stream = v1::Stream { entries: vec![entry(1, -1, b"", vec![])], ..Default::default() };
    check(&v1::PushRequest { streams: vec![stream], ..Default::default() }.encode_to_vec(), WireError::Nanos(-1));
}

#[test]
fn times_beyond_nanoseconds_are_cut() {
    let of = |seconds| {
        let stream = v1::Stream { entries: vec![entry(seconds, 0, b"", vec![])], ..Default::default() };
        let body = v1::PushRequest { streams: vec![stream], ..Default::default() }.encode_to_vec();
        read(&body).expect("a message")[0].1[0].0
    };
    assert_eq!((of(i64::MAX), of(i64::MIN)), (i64::MAX, i64::MIN));
}

proptest! {
    #![proptest_config(skald_testkit::property(256))]

    #[test]
    fn hostile_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&bytes);
    }

    #[test]
    fn mutated_bodies_never_panic(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let mut bytes = body();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        bytes.truncate(cut.index(bytes.len()) + 1);
        let _ = read(&bytes);
    }
}
